"""The vehicles of CARLA 0.9.15 and 0.9.16, as data.

Length, width and height of their boxes in mm are what those releases answer (collected by others who asked
them: Scenic's table of dimensions); names and classes are those of CARLA's vehicle catalogue. Kerb masses and
wheelbases are those of the real models, rounded; CARLA's own physics files differ here and there.
"""

from __future__ import annotations

VEHICLES = """
audi.a2                     3705 1789 1549  4 car        1 -         0 0  1000 2.40
audi.etron                  4856 2033 1649  4 car        1 electric  1 0  2490 2.93
audi.tt                     4181 1994 1385  4 car        1 -         1 0  1335 2.47
bh.crossbike                1509  866 1612  2 bicycle    1 -         0 0    90 1.05
bmw.grandtourer             4611 2242 1667  4 car        1 -         0 0  1450 2.78
carlamotors.carlacola       5204 2627 2467  4 truck      1 -         0 0  5500 2.95
carlamotors.european_hgv    7936 2891 3462  6 truck      2 -         0 0  9000 4.60
carlamotors.firetruck       8468 2891 3827  6 truck      2 emergency 1 1 12000 4.90
chevrolet.impala            5357 2033 1411  4 car        1 -         0 0  1700 2.84
citroen.c3                  3988 1851 1617  4 car        1 -         0 0  1100 2.47
diamondback.century         1656  582 1620  2 bicycle    1 -         0 0    90 1.05
dodge.charger_2020          5008 1882 1535  4 car        2 -         1 1  1900 3.05
dodge.charger_police        4974 2038 1542  4 car        1 emergency 1 0  1900 3.05
dodge.charger_police_2020   5238 1930 1638  4 car        2 emergency 1 1  1950 3.05
ford.ambulance              6366 2351 2431  4 van        2 emergency 1 1  3500 3.70
ford.crown                  5366 1801 1575  4 car        2 taxi      1 1  1850 2.91
ford.mustang                4718 1895 1301  4 car        1 -         1 0  1300 2.74
gazelle.omafiets            1843  659 1776  2 bicycle    1 -         0 0    95 1.12
harley-davidson.low_rider   2350  766 1649  2 motorcycle 1 -         0 0   390 1.63
jeep.wrangler_rubicon       3866 1905 1878  4 car        1 -         0 0  1750 2.42
kawasaki.ninja              2044  797 1523  2 motorcycle 1 -         0 0   270 1.41
lincoln.mkz_2017            4902 2128 1511  4 car        1 -         1 0  1760 2.85
lincoln.mkz_2020            4892 1837 1490  4 car        2 -         1 1  1760 2.85
mercedes.coupe              5027 2152 1651  4 car        1 -         1 0  1700 2.87
mercedes.coupe_2020         4674 1812 1442  4 car        2 -         1 1  1700 2.76
mercedes.sprinter           5915 1988 2561  4 van        2 -         1 1  2400 3.66
micro.microlino             2207 1481 1376  4 car        1 electric  0 0   550 1.57
mini.cooper_s               3806 1970 1475  4 car        1 -         0 0  1150 2.47
mini.cooper_s_2021          4553 2097 1767  4 car        2 -         1 1  1350 2.67
mitsubishi.fusorosa        10273 3944 4253  4 bus        2 -         1 0  5500 5.30
nissan.micra                3633 1845 1501  4 car        1 -         0 0  1000 2.43
nissan.patrol               4605 1932 1855  4 car        1 -         0 0  2400 2.85
nissan.patrol_2021          5566 2150 2045  4 car        2 -         1 1  2700 3.08
seat.leon                   4193 1816 1474  4 car        1 -         0 0  1250 2.58
tesla.cybertruck            6274 2390 2098  4 truck      1 electric  1 0  3000 3.81
tesla.model3                4792 2163 1488  4 car        1 electric  1 0  1850 2.88
toyota.prius                4514 2007 1525  4 car        1 electric  0 0  1400 2.70
vespa.zx125                 1817  866 1590  2 motorcycle 1 -         0 0   190 1.29
volkswagen.t2               4480 2069 2038  4 van        1 -         1 0  1300 2.40
volkswagen.t2_2021          4442 1775 1987  4 van        2 -         1 1  1300 2.40
yamaha.yzf                  2191  866 1530  2 motorcycle 1 -         0 0   270 1.40
"""
"""Name, length, width, height (mm), wheels, base type, generation, special type, lights, doors that open,
mass with rider or driver (kg), wheelbase (m)."""

COLOURS = {
    "car": ("255,255,255", "0,0,0", "180,180,184", "30,60,130", "140,20,24", "90,96,102"),
    "truck": ("255,68,0", "255,255,255"),
    "van": ("255,255,255", "200,200,205"),
    "bus": ("230,190,40",),
    "motorcycle": ("30,30,30", "50,96,170", "150,20,20"),
    "bicycle": ("86,127,176", "120,30,30"),
}
"""Recommended colours by base type; those of CARLA's own library differ by model."""

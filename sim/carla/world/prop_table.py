"""The static props and pedestrians of CARLA 0.9.15 and 0.9.16, as data.

Length, width and height of their boxes in mm are what those releases answer (collected by others who asked
them: Scenic's table of dimensions).
"""

from __future__ import annotations

PROPS = """
advertisement 1549 287 2443 | aporosatree 12958 12585 15633 | atm 713 874 2276 | barbeque 946 499 1264
barrel 460 471 807 | bench01 1544 736 970 | bench02 1564 545 509 | bench03 1583 513 513
bike helmet 186 277 171 | bin 548 638 1059 | box01 652 652 692 | box02 649 649 649 | box03 661 670 649
briefcase 543 181 433 | brokentile01 134 176 7 | brokentile02 210 152 8 | brokentile03 154 145 9
brokentile04 130 126 10 | busstop 3876 1894 2739 | busstoplb 1894 3876 2739 | calibrator 1548 690 202
chainbarrier 1494 239 889 | chainbarrierend 239 239 889 | clothcontainer 1239 1887 1810
clothesline 6652 1118 2061 | coconutpalm 8604 8886 20315 | colacan 68 72 110
constructioncone 344 344 586 | container 1932 1012 1714 | creasedbox01 809 713 118
creasedbox02 1633 713 212 | creasedbox03 1669 713 22 | cypresstree 4610 4628 15679
dirtdebris01 1857 1514 149 | dirtdebris02 1857 1514 149 | dirtdebris03 1857 1514 188
doghouse 1079 1272 1094 | foodcart 2285 4638 3573 | fountain 8402 8402 6924 | garbage01 53 53 87
garbage02 53 53 9 | garbage03 60 59 79 | garbage04 57 56 69 | garbage05 232 233 58
garbage06 366 213 77 | gardenlamp 297 281 648 | glasscontainer 1955 2009 1788 | gnome 367 376 883
guitarcase 1242 125 494 | haybale 1248 1193 1195 | haybalelb 1248 1193 1195 | ironplank 1452 1174 21
kiosk_01 1625 1654 3245 | mailbox 527 438 1157 | maptable 1573 617 1181 | mobile 80 7 166
motorhelmet 200 259 258 | pergola 5029 5085 3542 | plantpot01 1089 476 557 | plantpot02 1051 431 487
plantpot03 1051 431 487 | plantpot04 4967 737 125 | plantpot05 400 400 280 | plantpot06 1593 1593 850
plantpot07 495 476 557 | plantpot08 530 530 489 | plasticbag 311 403 552 | plasticchair 730 750 1271
plastictable 2482 2482 2480 | platformgarbage01 3633 1711 332 | purse 159 333 585
shoppingbag 474 243 601 | shoppingcart 669 1208 1079 | shoppingtrolley 506 331 1094 | slide 943 4122 1977
streetbarrier 1215 372 1069 | streetfountain 287 670 1259 | streetsign 1064 125 2154
streetsign01 2470 303 3878 | streetsign04 1171 125 2773 | swing 4105 1577 2572
swingcouch 1357 2362 2249 | table 2156 2152 846 | trafficcone01 883 882 1133 | trafficcone02 456 395 1183
trafficwarning 2373 2871 3570 | trampoline 4132 4132 2802 | trashbag 378 430 702
trashcan01 635 568 848 | trashcan02 524 514 1045 | trashcan03 629 545 934 | trashcan04 789 580 1016
trashcan05 789 580 1016 | travelcase 567 328 1263 | vendingmachine 873 1102 2108
warningaccident 1305 1055 1860 | warningconstruction 1305 1055 1860 | wateringcan 70 194 135
"""
"""Name, length, width and height (mm), separated by bars or line ends."""

WALKER_HEIGHTS = {
    **dict.fromkeys((*range(1, 9), *range(15, 32)), 1860),
    **dict.fromkeys((9, 10, 11), 1100),
    **dict.fromkeys((12, 13, 14), 1300),
    **dict.fromkeys((32, 33, 40, 41), 1840),
    **dict.fromkeys((42, 43, 44), 1830),
    **dict.fromkeys((39, 45, 46, 47), 1850),
    **dict.fromkeys((34, 38), 1870),
    **dict.fromkeys((48, 49), 1110),
    **dict.fromkeys((50, 51), 1905),
    35: 1915,
    36: 1920,
    37: 1920,
}
"""Heights (mm) of the pedestrians by number; 9 to 14, 48 and 49 are children."""
WALKER_WIDTHS = {**dict.fromkeys(WALKER_HEIGHTS, 375), **dict.fromkeys((9, 10, 11, 48, 49), 500)}
CHILDREN = (9, 10, 11, 12, 13, 14, 48, 49)
WALKER_SPEEDS = ("0.0", "1.4", "2.6")
"""Recommended m/s of the blueprint's attribute `speed`: standing, walking, running (ours, not CARLA's)."""

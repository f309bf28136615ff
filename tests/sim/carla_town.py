"""A small town for tests of the CARLA world: one straight road, flat or on a slope, with a light."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "carla_opendrive"
LANE, WALK = 3.5, 2.0


def _lane(number: int, kind: str, width: float) -> str:
    return f'<lane id="{number}" type="{kind}"><width sOffset="0" a="{width}" b="0" c="0" d="0"/></lane>'


def xodr(length: float = 3000.0, slope: float = 0.0, lanes: int = 1) -> str:
    """A road to the east from the origin; lane -1 runs along it, south of its middle (CARLA's y > 0)."""
    sides = {}
    for sign in (1, -1):
        rows = [_lane(sign * k, "driving", LANE) for k in range(1, lanes + 1)]
        rows.append(_lane(sign * (lanes + 1), "sidewalk", WALK))
        sides[sign] = "".join(reversed(rows) if sign > 0 else rows)
    return f"""<?xml version="1.0"?>
<OpenDRIVE><header revMajor="1" revMinor="4">
<geoReference><![CDATA[+proj=tmerc +lat_0=42 +lon_0=2]]></geoReference>
</header><road name="straight" length="{length}" id="1" junction="-1">
<type s="0" type="town"><speed max="50" unit="km/h"/></type>
<planView><geometry s="0" x="0" y="0" hdg="0" length="{length}"><line/></geometry></planView>
<elevationProfile><elevation s="0" a="0" b="{slope}" c="0" d="0"/></elevationProfile>
<lanes><laneSection s="0"><left>{sides[1]}</left><center><lane id="0" type="none"/></center>
<right>{sides[-1]}</right></laneSection></lanes>
<signals>
<signal name="light" id="7" s="200" t="-6" zOffset="2" hOffset="0" orientation="-" type="1000001">
<validity fromLane="-1" toLane="-1"/></signal>
<signal name="stop" id="8" s="400" t="-6" zOffset="1" hOffset="0" orientation="-" type="206">
<validity fromLane="-1" toLane="-1"/></signal>
</signals></road></OpenDRIVE>"""


def straight(folder: Path, **how: Any) -> Any:
    """The world of such a road."""
    from drive.datasets.opendrive.town import read_town
    from drive.sim.carla.world.world import CarlaWorld

    path = folder / "straight.xodr"
    path.write_text(xodr(**how))
    return CarlaWorld.load(read_town(path))


def town(name: str) -> Any:
    """A real town, or a skip where the data are not at hand."""
    from drive.datasets.opendrive.town import read_town

    path = DATA / f"{name}.xodr"
    if not path.exists():
        pytest.skip(f"{name}.xodr is not in ../shared/data")
    return read_town(path)


def run(world: Any, seconds: float, dt: float = 0.05) -> None:
    for _ in range(round(seconds / dt)):
        world.tick(dt)

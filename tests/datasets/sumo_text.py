"""A small SUMO network and demand, written by hand: two roads of two lanes each, a signal between them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from drive.sim.sumo import engine

# ruff: noqa: E501

NET = """<?xml version="1.0" encoding="UTF-8"?>
<net version="1.20">
    <location netOffset="0.00,0.00" convBoundary="0,-10,610,0" origBoundary="0,-10,610,0" projParameter="!"/>
    <edge id=":b_0" function="internal">
        <lane id=":b_0_0" index="0" speed="13.89" length="10.00" shape="300.00,-4.80 310.00,-4.80"/>
        <lane id=":b_0_1" index="1" speed="13.89" length="10.00" shape="300.00,-1.60 310.00,-1.60"/>
    </edge>
    <edge id="in" from="a" to="b" priority="1">
        <lane id="in_0" index="0" speed="13.89" length="300.00" width="3.20" shape="0.00,-4.80 300.00,-4.80"/>
        <lane id="in_1" index="1" speed="13.89" length="300.00" width="3.20" shape="0.00,-1.60 300.00,-1.60"/>
    </edge>
    <edge id="out" from="b" to="c" priority="1">
        <lane id="out_0" index="0" speed="13.89" length="300.00" OUT0 shape="310.00,-4.80 610.00,-4.80"/>
        <lane id="out_1" index="1" speed="13.89" length="300.00" shape="310.00,-1.60 610.00,-1.60"/>
    </edge>
    <edge id="back" from="c" to="b" priority="1">
        <lane id="back_0" index="0" speed="8.33" length="300.00" shape="610.00,1.60 310.00,1.60"/>
    </edge>
    <tlLogic id="b" type="static" programID="0" offset="OFFSET">
        <phase duration="40" state="GG"/>
        <phase duration="3" state="yy"/>
        <phase duration="20" state="rr"/>
    </tlLogic>
    <junction id="a" type="dead_end" x="0.00" y="0.00" incLanes="" intLanes="" shape="0.00,0.00 0.00,-6.40"/>
    <junction id="b" type="traffic_light" x="305.00" y="0.00" incLanes="in_0 in_1 back_0" intLanes=":b_0_0 :b_0_1"
        shape="300.00,0.00 310.00,0.00 310.00,-6.40 300.00,-6.40">
        <request index="0" response="00" foes="00" cont="0"/>
        <request index="1" response="00" foes="00" cont="0"/>
    </junction>
    <junction id="c" type="dead_end" x="610.00" y="0.00" incLanes="out_0 out_1" intLanes=""
        shape="610.00,3.20 610.00,-6.40"/>
    <connection from="in" to="out" fromLane="0" toLane="0" via=":b_0_0" tl="b" linkIndex="0" dir="s" state="o"/>
    <connection from="in" to="out" fromLane="1" toLane="1" via=":b_0_1" tl="b" linkIndex="1" dir="s" state="o"/>
    <connection from=":b_0" to="out" fromLane="0" toLane="0" dir="s" state="M"/>
    <connection from=":b_0" to="out" fromLane="1" toLane="1" dir="s" state="M"/>
</net>
"""

ROUTES = """<routes>
    <vType id="car" length="5.0" minGap="2.5" accel="2.6" decel="4.5" sigma="0.5"/>
    <vType id="coach" vClass="bus" length="12.0" sigma="0.5"/>
    <route id="through" edges="in out"/>
    VEHICLES
</routes>
"""

CONFIG = """<configuration>
    <input>
        <net-file value="small.net.xml"/>
        <route-files value="small.rou.xml"/>
        <additional-files value="small.add.xml"/>
    </input>
    <output><tripinfo-output value="tripinfos.xml"/><fcd-output value="fcd.xml"/></output>
    <time><begin value="0"/><end value="3600"/></time>
    <processing><time-to-teleport value="-1"/></processing>
</configuration>
"""

ADDITIONAL = """<additional>
    <e1Detector id="loop" lane="in_0" pos="100" freq="10" file="loops.xml"/>
    <busStop id="stop" lane="in_0" startPos="200" endPos="220"/>
</additional>
"""


def libsumo() -> Any:
    """SUMO, or the test is skipped; imported as the toolkit does, which leaves the environment as it was."""
    if importlib.util.find_spec("libsumo") is None:
        pytest.skip("libsumo is not installed")
    return engine.libsumo()


def net_text(offset: float = 0.0, out0: str = "") -> str:
    return NET.replace("OFFSET", f"{offset:g}").replace("OUT0", out0)


def write_demand(folder: Path, count: int = 40, every: float = 3.0, **net: str) -> Path:
    """A folder with network, demand and configuration; returns the configuration."""
    lines = [
        f'<vehicle id="v{k}" type="{"coach" if k % 10 == 5 else "car"}" route="through" depart="{every * k:g}" '
        f'departLane="{k % 2}" departSpeed="8"/>'
        for k in range(count)
    ]
    folder.mkdir(exist_ok=True)
    (folder / "small.net.xml").write_text(net_text(**net))
    (folder / "small.rou.xml").write_text(ROUTES.replace("VEHICLES", "\n    ".join(lines)))
    (folder / "small.add.xml").write_text(ADDITIONAL)
    (folder / "small.sumocfg").write_text(CONFIG)
    return folder / "small.sumocfg"

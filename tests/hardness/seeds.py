"""Small sound files of the formats that the toolkit reads but does not write: `seeds.py FOLDER` makes them.

`python -m drive.eval.hardness fuzz FOLDER` then has a seed for every reader.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
FILES = HERE.parent / "datasets"


def builders(name: str) -> SimpleNamespace:
    """One of the modules that write files for the readers' own tests."""
    return SimpleNamespace(**run_path(str(FILES / f"{name}.py")))


def write_seeds(folder: Path) -> Path:
    """Write them, a folder a format."""
    for make in (opendrive, routes, openscenario, commonroad, sumo, waymo, argoverse):
        place = folder / make.__name__
        place.mkdir(parents=True, exist_ok=True)
        make(place)
    return folder


def opendrive(folder: Path) -> None:
    t = builders("opendrive_text")
    shutil.copy(FILES / "opendrive_small.xodr", folder / "small.xodr")
    arc = t.geometry('<arc curvature="0.001"/>', 340.0, 60.0, 60.0)
    spiral = t.geometry('<spiral curvStart="0" curvEnd="0.01"/>', 30.0, 30.0, 30.0)
    poly = t.geometry(
        '<paramPoly3 aU="0" bU="1" cU="0" dU="0" aV="0" bV="0" cV="0.01" dV="0" pRange="arcLength"/>', 30.0
    )
    mark = '<roadMark sOffset="0" type="broken" color="white" width="0.12" laneChange="both"/>'
    road = t.road(
        1,
        t.section(
            t.lane(1, mark), t.lane(-1, '<speed sOffset="0" max="50" unit="km/h"/>' + mark), center=mark
        ),
        poly + spiral + arc,
        400.0,
        more='<elevationProfile><elevation s="0" a="1" b="0.02" c="0" d="0"/></elevationProfile>',
        offsets='<laneOffset s="0" a="0.5" b="0" c="0" d="0"/>',
    )
    (folder / "curved.xodr").write_text(t.document(road))


def routes(folder: Path) -> None:
    shutil.copy(FILES / "opendrive_small.xodr", folder / "Small.xodr")
    t = SimpleNamespace(**run_path(str(FILES / "test_carla_routes.py")))
    t.routes_file(folder, t.points_along(t.THROUGH, 3))


def openscenario(folder: Path) -> None:
    t = builders("openscenario_text")
    event = t.event("brake", t.speed(3.0, "linear", "rate", 2.0), t.after(1.0))
    turn = t.event(
        "turn",
        t.change('<AbsoluteTargetLane value="-2"/>'),
        t.after(2.0),
    )
    t.write(folder, event + turn)


def commonroad(folder: Path) -> None:
    t = builders("commonroad_text")
    states = [(k, 30.0 + 0.5 * k, 1.5, 0.0, 5.0) for k in range(40)]
    t.write(folder, t.document(t.ROAD + t.problem() + t.car("20", states)))


def sumo(folder: Path) -> None:
    (folder / "small.net.xml").write_text(builders("sumo_text").net_text())


def waymo(folder: Path) -> None:
    t = builders("waymo_records")
    t.write(folder / "scenes.tfrecord", t.scenario())


def argoverse(folder: Path) -> None:
    t = builders("argoverse_files")
    t.write_motion(folder)
    t.write_log(folder, *t.sensor_tables())


if __name__ == "__main__":
    print(write_seeds(Path(sys.argv[1])))

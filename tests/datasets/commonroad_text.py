"""Writes small CommonRoad files for the tests, which load this file by `runpy.run_path`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<commonRoad commonRoadVersion="{version}" benchmarkID="{benchmark}" timeStepSize="{dt}" '
    'source="{source}">\n'
)


def document(
    body: str, version="2020a", benchmark="DEU_Test-1_1_T-1", dt="0.1", source="hand-crafted"
) -> str:
    return (
        HEAD.format(version=version, benchmark=benchmark, dt=dt, source=source) + body + "\n</commonRoad>\n"
    )


def points(xy) -> str:
    return "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in xy)


def lanelet(name: str, x0: float, x1: float, right: float, left: float, extra="", marks=("", "")) -> str:
    """A straight lanelet along x between the lateral positions `right` and `left`, a vertex every 10 m."""
    xs = np.linspace(x0, x1, max(int(abs(x1 - x0) / 10.0), 1) + 1)
    bounds = ""
    for tag, y, mark in (("leftBound", left, marks[0]), ("rightBound", right, marks[1])):
        line = f"<lineMarking>{mark}</lineMarking>" if mark else ""
        bounds += f"<{tag}>{points((x, y) for x in xs)}{line}</{tag}>"
    return f'<lanelet id="{name}">{bounds}{extra}</lanelet>'


def exact(tag: str, value) -> str:
    return f"<{tag}><exact>{value}</exact></{tag}>"


def state(tag: str, step, x, y, heading=0.0, speed=None, extra="") -> str:
    velocity = "" if speed is None else exact("velocity", speed)
    place = f"<position><point><x>{x}</x><y>{y}</y></point></position>"
    turn = "" if heading is None else exact("orientation", heading)
    return f"<{tag}>{place}{turn}{exact('time', step)}{velocity}{extra}</{tag}>"


def car(name: str, states, kind="car", size=(4.0, 2.0), tag="dynamicObstacle") -> str:
    box = f"<rectangle><length>{size[0]}</length><width>{size[1]}</width></rectangle>"
    rest = "".join(state("state", *s) for s in states[1:])
    motion = f"<trajectory>{rest}</trajectory>" if tag == "dynamicObstacle" else ""
    first = state("initialState", *states[0])
    return f'<{tag} id="{name}"><type>{kind}</type><shape>{box}</shape>{first}{motion}</{tag}>'


def problem(name="9", x=5.0, y=1.5, speed=10.0, goal="", end=40) -> str:
    rest = exact("yawRate", 0.0) + exact("slipAngle", 0.0)
    time = f"<time><intervalStart>0</intervalStart><intervalEnd>{end}</intervalEnd></time>"
    start = state("initialState", 0, x, y, 0.0, speed, rest)
    return f'<planningProblem id="{name}">{start}<goalState>{goal}{time}</goalState></planningProblem>'


ROAD = lanelet("1", 0, 100, 0, 3)


def write(tmp_path: Path, text: str | bytes, name="scene.xml") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path

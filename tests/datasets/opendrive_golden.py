"""What CARLA's own map reader finds in road networks; writes opendrive_golden.json.

Run where the wheel `carla==0.9.16` is installed and the towns are in ../shared/data:
    python tests/datasets/opendrive_golden.py            # writes the file
    python tests/datasets/opendrive_golden.py --compare  # prints how our maps differ, on every network there
CARLA's y points to the right; here it has its sign changed, and headings as well.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path
from runpy import run_path

HERE = Path(__file__).parent
DATA = HERE.parents[1].parent / "shared" / "data"
MAPS = {
    "opendrive_small.xodr": HERE / "opendrive_small.xodr",
    **{f"{name}.xodr": DATA / f"carla_opendrive/{name}.xodr" for name in ("Town01", "Town04", "Town10HD")},
    "Town03_2019.xodr": DATA / "carla_opendrive/Town03_2019.xodr",
    **{name: DATA / f"esmini/xodr/{name}" for name in ("multi_intersections.xodr", "fabriksgatan.xodr")},
}
SHORT = 0.05
"""Lane sections below this many metres are passed through: nobody drives on them."""


def facts(path: Path, step: float) -> dict:
    """Waypoints every `step` metres as rows (lane, x, y, z, heading, width), lanes in junctions, pairs of
    lanes that follow each other, pairs (lane, left and right driving lane) and lanes by light."""
    import carla

    world = carla.Map(path.stem, path.read_text())
    short = short_sections(path)

    def key(w) -> str:
        return f"{w.road_id}.{w.section_id}.{w.lane_id}"

    rows, inside, beside = [], set(), {}
    for w in world.generate_waypoints(step):
        t = w.transform
        values = (t.location.x, -t.location.y, t.location.z, -math.radians(t.rotation.yaw), w.lane_width)
        # Some of its clothoids give NaN.
        if (w.road_id, w.section_id) in short or not all(map(math.isfinite, values)):
            continue
        rows.append((key(w), *(round(v, 4) for v in values)))
        if w.is_junction:
            inside.add(key(w))
        near = (w.get_left_lane(), w.get_right_lane())
        beside[key(w)] = [
            key(n) if n is not None and n.lane_type == carla.LaneType.Driving else "" for n in near
        ]
    follows = defaultdict(set)
    for a, b in world.get_topology():
        # A dead end is in its list as a lane that follows itself.
        if key(a) == key(b) and not b.next(1.0):
            continue
        follows[(a.road_id, a.section_id, a.lane_id)].add((b.road_id, b.section_id, b.lane_id))

    def onward(lane, seen):
        found = set()
        for n in follows.get(lane, ()):
            if n[:2] not in short:
                found.add(n)
            elif n not in seen:
                found |= onward(n, seen | {n})
        return found

    edges = {(a, b) for a in list(follows) if a[:2] not in short for b in onward(a, {a})}
    lights = defaultdict(set)
    for mark in world.get_all_landmarks_of_type("1000001"):
        for low, high in mark.get_lane_validities():
            ids = range(min(low, high), max(low, high) + 1)
            lights[mark.id] |= {f"{mark.road_id}:{i}" for i in ids if i}
    return {
        "waypoints": rows,
        "inside": sorted(inside),
        "beside": beside,
        "edges": sorted(">".join(".".join(map(str, k)) for k in edge) for edge in edges),
        "lights": {name: sorted(lanes) for name, lanes in sorted(lights.items())},
        "crosswalk_points": [(round(p.x, 4), round(-p.y, 4)) for p in world.get_crosswalks()],
    }


def short_sections(path: Path) -> set[tuple[int, int]]:
    found = set()
    for road in ET.parse(path).getroot().iter("road"):
        starts = sorted(float(s.get("s")) for s in road.iter("laneSection"))
        ends = [*starts[1:], float(road.get("length"))]
        found |= {
            (int(road.get("id")), k)
            for k, (a, b) in enumerate(zip(starts, ends, strict=True))
            if b - a < SHORT
        }
    return found


def digest(lines: list[str]) -> str:
    return hashlib.blake2b("\n".join(sorted(lines)).encode(), digest_size=12).hexdigest()


def short_form(found: dict) -> dict:
    """The facts in a few kilobytes: some waypoints, and digests of the rest."""
    rows = found["waypoints"]
    stride = max(len(rows) // 60, 1)
    return {
        "waypoints": rows[::stride],
        "edges": {"count": len(found["edges"]), "digest": digest(found["edges"])},
        "inside": {"count": len(found["inside"]), "digest": digest(found["inside"])},
        "beside": digest([f"{lane}|{a}|{b}" for lane, (a, b) in found["beside"].items()]),
        "lights": digest([f"{name}|{lanes}" for name, lanes in found["lights"].items()]),
        "crosswalk_points": found["crosswalk_points"][::9],
    }


def compare(paths: list[Path]) -> None:
    """One line a network: waypoints every 2 m and how far they lie from our lanes, links of both."""
    ours = run_path(str(HERE / "test_opendrive_oracle.py"))
    heads = ("points", "max mm", "mean mm", "links", "only CARLA's", "only ours")
    print(f"{'network':38}", *heads)
    for path in paths:
        roadmap = ours["built"](path)[1]
        want, links = facts(path, 2.0), ours["edges"](roadmap)
        rows = [row for row in want["waypoints"] if row[0] in roadmap.lane_ids]
        gap = 1e3 * ours["errors"](roadmap, rows)[:, 0]
        theirs = set(want["edges"])
        print(
            f"{path.name:38} {len(rows):6} {gap.max():6.1f} {gap.mean():7.1f} {len(links):5} "
            f"{len(theirs - links):12} {len(links - theirs):9}"
        )


if __name__ == "__main__" and "--compare" in sys.argv:
    compare(sorted(DATA.rglob("*.xodr")))
elif __name__ == "__main__":
    out = {name: short_form(facts(path, 2.0)) for name, path in MAPS.items()}
    lines = ",\n".join(
        f" {json.dumps(name)}: {{\n  "
        + ",\n  ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items())
        + "\n }"
        for name, found in out.items()
    )
    (HERE / "opendrive_golden.json").write_text("{\n" + lines + "\n}\n")

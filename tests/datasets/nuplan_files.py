"""nuPlan files for the tests, which load this file by `runpy.run_path`: ours, and made to look foreign."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyogrio.raw as pyogrio
import shapely
from pyogrio import list_layers

from drive.datasets.nuplan.utm import to_utm
from drive.roadmap import AreaKind, LaneKind, LaneSpec, RoadMap, RoadMapBuilder
from drive.scenario import Expert, Goal, Route, Scenario, tracks_from_rows
from drive.vehicle import AgentKind, VehicleParams

CITY = "us-nv-las-vegas-strip"


def map_path(folder: Path) -> Path:
    return next((folder / "maps" / CITY).glob("*/map.gpkg"))


def to_degrees(xy: np.ndarray, epsg: int) -> np.ndarray:
    """Longitude and latitude by Newton steps on the projection, which knows no inverse."""
    guess = np.tile((6.0 * (epsg % 100) - 183.0, 36.0), (len(xy), 1))
    step = 1e-6
    for _ in range(8):
        here = to_utm(guess, epsg)
        dx = (to_utm(guess + np.array([step, 0.0]), epsg) - here) / step
        dy = (to_utm(guess + np.array([0.0, step]), epsg) - here) / step
        gap, det = xy - here, dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]
        guess = guess + np.stack(
            (
                (gap[:, 0] * dy[:, 1] - gap[:, 1] * dy[:, 0]) / det,
                (dx[:, 0] * gap[:, 1] - dx[:, 1] * gap[:, 0]) / det,
            ),
            axis=-1,
        )
    return guess


def rewrite(path: Path, change) -> None:
    """Write a map anew; `change(name, shapes, columns)` gives a layer's new (shapes, columns, crs), or None
    to leave it out."""
    layers = []
    for name in [str(n) for n in list_layers(path)[:, 0]]:
        meta, fids, wkb, data = pyogrio.read(path, layer=name, return_fids=True)
        columns = dict(zip([str(f) for f in meta["fields"]], data, strict=True))
        shapes = None if wkb is None else shapely.from_wkb(wkb)
        layers.append((name, fids, shapes, columns, meta))
    path.unlink()
    for name, fids, shapes, columns, meta in layers:
        made = change(name, shapes, columns)
        if made is None:
            continue
        new, columns, crs = made
        masks = [np.isnan(v) if v.dtype.kind == "f" else None for v in columns.values()]
        kind = str(meta["geometry_type"]) if shapes is not None else None
        if shapes is not None:
            columns, masks = {"fid": fids, **columns}, [None, *masks]
        pyogrio.write(
            str(path),
            geometry=None if shapes is None else shapely.to_wkb(new),
            field_data=list(columns.values()),
            fields=np.asarray(list(columns), dtype=object),
            field_mask=masks,
            layer=name,
            driver="GPKG",
            geometry_type=kind,
            crs=crs if shapes is not None else None,
            append=False,
        )


def make_foreign(folder: Path, epsg: int = 32611) -> None:
    """Make files that we wrote look like somebody else's: degrees, boundaries with other rows and against the
    lane, ids as floats and text, nothing of ours beside nuPlan's columns and tables, no indices."""

    def change(name, shapes, columns):
        if name.startswith("drive_"):
            return None
        columns = {k: v for k, v in columns.items() if k != "drive"}
        if shapes is None:
            return shapes, columns, None
        if name == "boundaries":
            # Every second boundary runs the other way; all have a row in the middle of each segment.
            shapes = np.asarray([shapely.segmentize(s, s.length / 7.0) for s in shapes], dtype=object)
            shapes[::2] = shapely.reverse(shapes[::2])
        if name == "lanes_polygons":
            columns["left_boundary_fid"] = columns["left_boundary_fid"].astype(np.float64)
            columns["lane_group_fid"] = columns["lane_group_fid"].astype(str).astype(object)
        xy = shapely.get_coordinates(shapes)
        if len(xy):
            shapes = shapely.set_coordinates(shapes.copy(), to_degrees(xy, epsg))
        return shapes, columns, "EPSG:4326"

    rewrite(map_path(folder), change)
    for log in (folder / "logs").glob("*.db"):
        with closing(sqlite3.connect(log)) as db:
            db.execute("DROP TABLE drive_export")
            db.execute("ALTER TABLE track DROP COLUMN drive")
            for (name,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'index' AND sql NOT NULL"
            ).fetchall():
                db.execute(f"DROP INDEX {name}")
            db.commit()


def change_log(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def city_map(n: int, block: float = 120.0, spacing: float = 1.0) -> RoadMap:
    """A grid of n x n crossings, streets of two lanes each way, rows every `spacing` m, lights everywhere."""
    builder = RoadMapBuilder()
    half, width = 12.0, 3.5
    heading = {"e": (1, 0), "n": (0, 1), "w": (-1, 0), "s": (0, -1)}
    turn = {"l": 1, "t": 0, "r": -1}
    order = "enws"

    def lane_id(i: int, j: int, way: str, k: int) -> str:
        return f"{i}.{j}.{way}{k}"

    def line(start: np.ndarray, end: np.ndarray, count: int) -> np.ndarray:
        return start + np.linspace(0.0, 1.0, count)[:, None] * (end - start)

    for i in range(n):
        for j in range(n):
            here = block * np.array([i, j], dtype=np.float64)
            builder.add_area(
                here + half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]),
                AreaKind.INTERSECTION,
                f"x{i}.{j}",
            )
            for way in order:
                d = np.array(heading[way], dtype=np.float64)
                side = np.array([d[1], -d[0]])
                ni, nj = i + heading[way][0], j + heading[way][1]
                if 0 <= ni < n and 0 <= nj < n:
                    for k in range(2):
                        start = here + half * d + (0.5 + k) * width * side
                        center = line(
                            start, start + (block - 2 * half) * d, int((block - 2 * half) / spacing) + 1
                        )
                        follow = []
                        for t, by in turn.items():
                            out = order[(order.index(way) + by) % 4]
                            oi, oj = ni + heading[out][0], nj + heading[out][1]
                            right_lane = {"l": k == 0, "t": True, "r": k == 1}[t]
                            if right_lane and 0 <= oi < n and 0 <= oj < n:
                                follow.append((t, out))
                        builder.add(
                            LaneSpec(
                                lane_id(i, j, way, k),
                                center - 0.5 * width * side,
                                center + 0.5 * width * side,
                                center,
                                speed_limit=13.9,
                                successors=[f"{lane_id(i, j, way, k)}-{t}" for t, _ in follow],
                                left_lane=lane_id(i, j, way, 0) if k == 1 else None,
                                right_lane=lane_id(i, j, way, 1) if k == 0 else None,
                                group=f"g{i}.{j}.{way}",
                            )
                        )
                        for t, out in follow:
                            o = np.array(heading[out], dtype=np.float64)
                            end = (
                                block * np.array([ni, nj])
                                + half * o
                                + (0.5 + k) * width * np.array([o[1], -o[0]])
                            )
                            a, b = center[-1], end
                            u = np.linspace(0.0, 1.0, max(int(np.hypot(*(b - a)) / spacing), 8))[:, None]
                            # A cubic with the lanes' directions at its ends.
                            reach = 0.6 * np.hypot(*(b - a))
                            p1, p2 = a + reach * d * 0.9, b - reach * o * 0.9
                            curve = (
                                (1 - u) ** 3 * a
                                + 3 * u * (1 - u) ** 2 * p1
                                + 3 * u**2 * (1 - u) * p2
                                + u**3 * b
                            )
                            tangent = np.gradient(curve, axis=0)
                            normal = np.stack((-tangent[:, 1], tangent[:, 0]), -1)
                            normal /= np.hypot(*normal.T)[:, None]
                            builder.add(
                                LaneSpec(
                                    f"{lane_id(i, j, way, k)}-{t}",
                                    curve + 0.5 * width * normal,
                                    curve - 0.5 * width * normal,
                                    curve,
                                    LaneKind.CONNECTOR,
                                    13.9,
                                    True,
                                    [lane_id(ni, nj, out, k)],
                                    signal=f"{ni}.{nj}.{way}",
                                    stop_station=0.0,
                                )
                            )
    return builder.build()


def city_scenario(n: int, agents: int = 60, seconds: float = 15.0, spacing: float = 1.0) -> Scenario:
    """A drive straight through the middle of `city_map(n)`, with others standing and driving about."""
    roadmap = city_map(n, spacing=spacing)
    middle = n // 2
    lanes, i = [], 1
    while i < n - 2 and len(lanes) < 9:
        lane = f"{i}.{middle}.e1"
        lanes += [roadmap.lane_index(lane), roadmap.lane_index(f"{lane}-t")]
        i += 1
    count = round(seconds / 0.1) + 1
    start = roadmap.centerline(lanes[0])[5]
    t = 0.1 * np.arange(count)
    ego = np.zeros((count, 5))
    ego[:, 0], ego[:, 1], ego[:, 3] = start[0] + 10.0 * t, start[1], 10.0
    rng = np.random.default_rng(3)
    everywhere = np.ones(count, dtype=np.bool_)
    rows = [("ego", AgentKind.VEHICLE, (5.176, 2.297, 1.777), ego, everywhere)]
    for k in range(agents):
        states = np.zeros((count, 5))
        speed = float(rng.choice([0.0, 6.0]))
        place = rng.uniform(-80.0, 80.0, 2)
        states[:, 0], states[:, 1], states[:, 3] = start[0] + place[0] + speed * t, start[1] + place[1], speed
        rows.append((f"a{k}", AgentKind.VEHICLE, (4.6, 1.9, 1.6), states, everywhere))
    tracks = tracks_from_rows(rows)
    vehicle = VehicleParams()
    expert = np.zeros((count, 7))
    expert[:, 0], expert[:, 1], expert[:, 3] = ego[:, 0] - vehicle.rear_axle_to_center, ego[:, 1], 10.0
    signals = np.ones((len(roadmap.signal_ids), count), dtype=np.uint8)
    return Scenario(
        f"city/{n}",
        0.1,
        seconds,
        roadmap,
        tracks,
        0,
        expert[0],
        vehicle,
        Route(
            tuple(lanes),
            tuple(dict.fromkeys(int(roadmap.group[k]) for k in lanes)),
            goal=Goal(lanes=(lanes[-1],)),
        ),
        Expert(expert, "generated"),
        signals,
        family="city",
    )


def main(folder: Path, n: int = 19) -> None:
    """Print how long a city and a scenario in it take to read, by processor time."""
    import time

    from drive.datasets.nuplan import write_nuplan
    from drive.datasets.nuplan.city import _load, build_city, load_city
    from drive.datasets.nuplan.scenario import read_scenario

    os.environ["DRIVE_CACHE_DIR"] = str(folder / "cache")

    def timed(call, repeats: int) -> float:
        times = []
        for _ in range(repeats):
            before = time.process_time()
            call()
            times.append(time.process_time() - before)
        return float(np.median(times))

    full = city_scenario(n)
    tracks = full.tracks.select(np.arange(26))
    written = write_nuplan([full.with_(id="crowded"), full.with_(id="usual", tracks=tracks)], folder)
    make_foreign(folder)
    path = map_path(folder)
    city = build_city(path)
    kind, size = np.bincount(city.roadmap.kind), path.stat().st_size / 1e6
    print(f"map: {kind[0]} lanes, {kind[1]} connectors, {len(city.roadmap.points)} points, {size:.0f} MB")
    print(f"built from its layers: {timed(lambda: build_city(path), 5):.2f} s")
    load_city(path)

    def again() -> None:
        _load.cache_clear()
        load_city(path)

    print(f"from the cache on disk: {timed(again, 5):.2f} s")
    for one in written:
        read = read_scenario(one.log, one.token)
        boxes, lights = int(read.tracks.valid.sum()), int((read.signals > 0).sum())
        print(f"scenario: {read.duration:.0f} s, {read.tracks.num_agents} tracks, {boxes} boxes")
        print(f"          {lights} states of lights, {read.roadmap.num_lanes} lanes of the city")
        seconds = timed(lambda one=one: read_scenario(one.log, one.token), 15)
        print(f"          read, with the city in memory, in {1e3 * seconds:.0f} ms")


def straight_city(path: Path, lanes: int, rows: int = 20) -> None:
    """A map of so many straight lanes of 100 m in rows, each with a connector of 10 m to the next one."""
    per_row = 300
    k = np.arange(lanes)
    start = np.stack((500_000.0 + 110.0 * (k % per_row), 4_000_000.0 + 8.0 * (k // per_row)), axis=-1)
    along = np.linspace(0.0, 100.0, rows)

    def lines(first: np.ndarray, aside: float, at: np.ndarray) -> np.ndarray:
        xy = np.zeros((len(first), len(at), 2))
        xy[..., 0], xy[..., 1] = first[:, :1] + at, first[:, 1:] + aside
        return np.asarray(shapely.linestrings(xy), dtype=object)

    def put(name: str, kind: str, shapes: np.ndarray, fids: np.ndarray, **columns: np.ndarray) -> None:
        pyogrio.write(
            str(path),
            geometry=shapely.to_wkb(shapes),
            field_data=[fids, *columns.values()],
            fields=np.asarray(["fid", *columns], dtype=object),
            field_mask=[None, *(np.isnan(v) if v.dtype.kind == "f" else None for v in columns.values())],
            layer=name,
            driver="GPKG",
            geometry_type=kind,
            crs="EPSG:32611",
            append=False,
        )

    path.parent.mkdir(parents=True, exist_ok=True)
    fid, more = k + 1, lanes + 1 + np.flatnonzero(k % per_row < per_row - 1)
    before = more - lanes
    joints = start[before - 1] + np.array([100.0, 0.0])
    left, right = lines(start, 1.75, along[[0, -1]]), lines(start, -1.75, along[[0, -1]])
    ends = shapely.get_coordinates(left).reshape(-1, 2, 2), shapely.get_coordinates(right).reshape(-1, 2, 2)
    shapes = shapely.polygons(np.concatenate((ends[0], ends[1][:, ::-1]), axis=1))
    nothing = np.full(lanes, np.nan), np.full(len(more), np.nan)
    put(
        "lanes_polygons",
        "Polygon",
        shapes,
        fid,
        lane_fid=fid,
        lane_group_fid=fid + 4 * lanes,
        lane_index=np.zeros(lanes, dtype=np.int64),
        left_boundary_fid=fid,
        right_boundary_fid=fid + lanes,
    )
    connectors = lines(joints, 0.0, np.linspace(0.0, 10.0, 5))
    put(
        "lane_connectors",
        "LineString",
        connectors,
        more,
        exit_lane_fid=before,
        entry_lane_fid=before + 1,
        lane_group_connector_fid=more + 4 * lanes,
    )
    tight = lines(joints, 1.75, np.array([0.0, 10.0])), lines(joints, -1.75, np.array([0.0, 10.0]))
    bounds = {"left_boundary_fid": more + lanes, "right_boundary_fid": more + 2 * lanes}
    put(
        "gen_lane_connectors_scaled_width_polygons",
        "Polygon",
        shapely.buffer(connectors, 1.75, cap_style="flat"),
        more,
        lane_connector_fid=more,
        **bounds,
    )
    put(
        "boundaries",
        "LineString",
        np.concatenate((left, right, *tight)),
        np.concatenate((fid, fid + lanes, more + lanes, more + 2 * lanes)),
    )
    put(
        "baseline_paths",
        "LineString",
        np.concatenate((lines(start, 0.0, along), connectors)),
        np.arange(1, lanes + len(more) + 1),
        lane_fid=np.concatenate((fid.astype(float), nothing[1])),
        lane_connector_fid=np.concatenate((nothing[0], more.astype(float))),
    )
    one = shapely.box(*(start[0] - 5.0), *(start[0] + 50.0))
    for name in ("intersections", "crosswalks", "road_segments"):
        put(name, "Polygon", np.asarray([one], dtype=object), np.array([1]))
    put("stop_polygons", "Polygon", np.asarray([one]), np.array([1]), stop_polygon_type_fid=np.array([5]))
    pyogrio.write(
        str(path),
        geometry=None,
        field_data=[
            np.asarray(["projectedCoordSystem"], dtype=object),
            np.asarray(["EPSG:32611"], dtype=object),
        ],
        fields=np.asarray(["key", "value"], dtype=object),
        layer="meta",
        driver="GPKG",
        geometry_type=None,
        crs=None,
        append=False,
    )


def many(folder: Path, lanes: int) -> None:
    """Print the time and the memory that a map of so many lanes takes."""
    import resource
    import time

    from drive.datasets.nuplan.city import build_city

    path = folder / "city" / "1" / "map.gpkg"
    straight_city(path, lanes)
    low = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    before = time.process_time()
    built = build_city(path)
    seconds, high = time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kind, rows = np.bincount(built.roadmap.kind), len(built.roadmap.points)
    print(f"map: {kind[0]} lanes, {kind[1]} connectors, {rows} points, {path.stat().st_size / 1e6:.0f} MB")
    print(f"built in {seconds:.1f} s; memory at most {high / 1e6:.2f} GB, before it {low / 1e6:.2f} GB")


if __name__ == "__main__":
    with TemporaryDirectory() as made:
        if sys.argv[1:2] == ["lanes"]:
            many(Path(made), int(sys.argv[2]))
        else:
            main(Path(made), *(int(v) for v in sys.argv[1:2]))

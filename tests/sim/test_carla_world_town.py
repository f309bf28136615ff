"""Towns in the CARLA world: lights and their cycles, signs, spawn points, frames; CARLA's own reader."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from drive.errors import InputError
from drive.roadmap.index import GridIndex
from drive.sim.carla import frames
from drive.sim.carla.world.errors import ActorError
from drive.sim.carla.world.lights import trigger
from drive.sim.carla.world.town import STOP_SIGN, TRAFFIC_LIGHT
from drive.sim.carla.world.world import CarlaWorld

sys.path.insert(0, str(Path(__file__).parent))
from carla_town import run, straight, town, xodr

needs_carla = pytest.mark.skipif(importlib.util.find_spec("carla") is None, reason="needs the extra carla")
TOWNS = ("Town01", "Town10HD", "Town04")


@cache
def loaded(name: str):
    return town(name)


def states(world) -> dict[str, int]:
    return {s.id: int(k) for s, k in zip(world.lights.signs, world.lights.lamp[:, 3], strict=True)}


def ids_of_lights(world) -> dict[str, int]:
    return {world.actor(i).sign_id: i for i in world.actor_ids() if world.actor(i).kind == "light"}


def test_the_controllers_of_town01_take_turns():
    """Junction 26 has the controllers of signals 361, 362 and 360 in this order (Town01.xodr): each is green
    for 10 s, yellow for 3 s, red for 2 s, CARLA's defaults, while the others are red."""
    world = CarlaWorld.load(loaded("Town01"))
    assert len(world.lights.signs) == 36
    assert len(world.lights.cycle) == 12
    order = ("361", "362", "360")
    for tick in range(1, 900):
        world.tick(0.1)
        t = tick * 0.1
        now, within = int((t + 1e-6) // 15.0) % 3, (t + 1e-6) % 15.0
        want = 2 if within < 10.0 else 1 if within < 13.0 else 0
        seen = states(world)
        assert [seen[n] for n in order] == [want if k == now else 0 for k in range(3)]
    record = next(r for r in world.snapshot() if r["sign_id"] == b"361")
    assert (record["green"], record["yellow"], record["red"]) == (10.0, 3.0, 2.0)
    assert record["elapsed"] == pytest.approx(89.9 - 75.0 - 13.0, abs=1e-3)


def test_never_two_greens_of_one_junction_but_of_one_phase():
    world = CarlaWorld.load(loaded("Town10HD"))
    lamp = world.lights.lamp
    for _ in range(700):
        world.tick(0.1)
        for g in range(len(world.lights.cycle)):
            lit = lamp[(lamp[:, 1] == g) & (lamp[:, 3] != 0)]
            assert len(set(lit[:, 2].tolist())) <= 1


def test_lights_can_be_set_frozen_timed_and_reset():
    world = CarlaWorld.load(loaded("Town01"))
    light = ids_of_lights(world)
    assert sorted(world.actor(i).sign_id for i in world.light_group(light["361"])) == ["360", "361", "362"]
    world.freeze_light(light["360"])
    run(world, 20.0)
    assert states(world)["361"] == 2  # its group stands still
    assert states(world)["363"] != 2 or states(world)["365"] != 2
    world.set_light(light["362"], 2)
    run(world, 5.0)
    assert states(world)["362"] == 2
    world.freeze_lights(False)
    world.reset_lights()
    world.set_light_time(light["361"], "green", 1.0)
    world.set_light_time(light["361"], "yellow", 0.5)
    run(world, 1.2)
    assert states(world)["361"] == 1
    run(world, 0.5)
    assert states(world)["361"] == 0
    world.reset_light_group(light["360"])
    assert states(world)["361"] == 2
    for bad in (lambda: world.set_light(light["360"], 9),
                lambda: world.set_light_time(light["360"], "blue", 1.0),
                lambda: world.set_light_time(light["360"], "red", -1.0)):  # fmt: skip
        with pytest.raises(InputError):
            bad()
    with pytest.raises(ActorError, match="is no light"):
        world.freeze_light(world.spectator_id)
    assert world.destroy([light["360"]]) == [False]


def test_a_light_set_to_no_time_at_all_does_not_hang(tmp_path):
    world = straight(tmp_path)
    light = ids_of_lights(world)["7"]
    for stage in ("green", "yellow", "red"):
        world.set_light_time(light, stage, 0.0)
    run(world, 1.0)
    assert world.frame == 20


def test_a_car_before_a_light_knows_it(tmp_path):
    """The light at 200 m of the lane to the east: its box is the 4 m before, across the lane."""
    world = straight(tmp_path)
    light = ids_of_lights(world)["7"]
    car = world.spawn("vehicle.tesla.model3", (150.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    other = world.spawn("vehicle.tesla.model3", (250.0, -1.75, 0.0, 0.0, 180.0, 0.0))
    for i in (car, other):
        world.enable_constant_velocity(i, (10.0, 0.0, 0.0))
    told, crossed = [], []
    for _ in range(160):
        world.tick(0.05)
        record, far = world.snapshot()[-2:]
        if record["has_light"]:
            assert record["light_id"] == light
            assert record["light_state"] == states(world)["7"]
            told.append(float(record["x"]))
        crossed.append(int(far["has_light"]))
    # From the front bumper's entry (2.4 m ahead of the origin) to the middle's leaving.
    assert min(told) == pytest.approx(195.8 - 2.396, abs=0.6)
    assert max(told) == pytest.approx(199.8, abs=0.6)
    assert not any(crossed)  # it is not meant for those who come towards it


@pytest.mark.parametrize("name", TOWNS)
def test_spawn_points_are_on_lanes_and_leave_room(name):
    t = loaded(name)
    points = CarlaWorld.load(t).spawn_points
    assert {"Town01": 200, "Town10HD": 90, "Town04": 300}[name] < len(points) < 1500
    index = GridIndex.of(t.roadmap)
    for x, y, z, _, yaw, _ in points:
        lane, station, offset = index.nearest_lane((x, -y), heading=-np.radians(yaw))
        assert abs(offset) < 0.02
        assert not t.roadmap.intersection[lane]
        rows = t.roadmap.rows(lane)
        ground = np.interp(station, t.roadmap.station[rows], t.roadmap.elevation[rows])
        assert z == pytest.approx(ground + 0.5, abs=0.3)
    world = CarlaWorld.load(t)
    # The longest common car fits at every point at once, and there falls onto the road.
    cars = [world.spawn("vehicle.chevrolet.impala", p) for p in points]
    for car in cars:
        world.apply_control(car, hand_brake=True)
    run(world, 1.5)
    for p, car in zip(points, cars, strict=True):
        assert world.transform(car)[:2] == pytest.approx(p[:2], abs=0.05)
        assert world.transform(car)[2] < p[2] - 0.4


@pytest.mark.parametrize("name", TOWNS)
def test_trigger_boxes_lie_before_the_stop_lines_of_their_lanes(name):
    """The way on from every sample that clients take across a light's box leads into its junction."""
    t = loaded(name)
    index = GridIndex.of(t.roadmap)
    for sign in t.signs:
        if sign.type != TRAFFIC_LIGHT:
            continue
        x, y, _, cos, sin, along, across = trigger(sign)
        assert 0.7 < across < 9.0
        for part in np.arange(-0.9 * across, 0.9 * across, 1.0):
            # Its x axis runs to the right of the lanes' way.
            px, py = x - sin * part, y + cos * part
            lane, station, offset = index.nearest_lane((px, -py), heading=-np.arctan2(sin, cos))
            if t.roadmap.intersection[lane]:
                continue
            rest = t.roadmap.length[lane] - station
            assert abs(offset) < 2.5
            assert rest < along + 1.0 or any(t.roadmap.length[k] < 6.0 for k in t.roadmap.successors(lane))


def test_signs_are_where_the_file_has_them():
    t = loaded("Town10HD")
    stop = next(s for s in t.signs if s.id == "946")
    assert stop.type == STOP_SIGN
    # What carla.Map 0.9.16 finds for landmark 946 (printed once).
    assert stop.pose[:3] == pytest.approx((26.070728, 75.149963, 2.4024), abs=1e-3)
    speeds = [s.value for s in loaded("Town01").signs if s.type_id.startswith("traffic.speed_limit.")]
    assert (len(speeds), sorted(set(speeds))) == (22, [30.0, 60.0, 90.0])


@needs_carla
@pytest.mark.parametrize("name", TOWNS)
def test_lights_and_stops_are_those_of_carlas_own_reader(name):
    """Positions and directions of all signs, and where clients find the stop lines of lights."""
    import carla

    t = loaded(name)
    world = carla.Map(name, t.xodr)
    marks = {}
    for kind in ("1000001", "206", "205"):
        for mark in world.get_all_landmarks_of_type(kind):
            marks.setdefault(mark.id, []).append(mark.transform.location)
    signs = {s.id: s for s in t.signs if not s.type_id.startswith("traffic.speed")}
    assert set(signs) == set(marks)
    gaps = []
    for name_, sign in signs.items():
        # Where roads refer to a sign, the reader has a landmark for each, at places of their own.
        at = min(marks[name_], key=lambda p: np.hypot(sign.pose[0] - p.x, sign.pose[1] - p.y))
        gaps.append(float(np.hypot(sign.pose[0] - at.x, sign.pose[1] - at.y)))
        assert sign.pose[2] == pytest.approx(at.z, abs=0.3)
    # Signs that the file puts on a road, that reader moves off it, by steps of 0.25 m and more.
    assert np.median(gaps) < 0.26
    assert max(gaps) < (3.0 if name == "Town04" else 0.26)
    for sign in signs.values():
        if sign.type != TRAFFIC_LIGHT:
            continue
        x, y, z, cos, sin, _, across = trigger(sign)
        want = set()
        for mark in world.get_all_landmarks_from_id(sign.id):
            for low, high in mark.get_lane_validities():
                for lane in range(min(low, high), max(low, high) + 1):
                    point = world.get_waypoint_xodr(mark.road_id, lane, mark.s) if lane else None
                    if point is None or point.lane_type != carla.LaneType.Driving:
                        continue
                    before = point.previous(0.5 + (mark.s if lane < 0 else 0.0)) if point.is_junction else []
                    while before and before[0].is_junction:
                        before = before[0].previous(0.5)
                    found = before[0] if before else point
                    want.add((found.road_id, found.lane_id))
        got = set()
        for part in np.arange(-0.9 * across, 0.9 * across, 0.5):
            found = world.get_waypoint(carla.Location(x - sin * part, y + cos * part, z))
            got.add((found.road_id, found.lane_id))
        assert got & want, sign.id
        # A client walks on from these to the junction; they must be lanes that the light is meant for.
        assert len(got - want) <= 1, (sign.id, got, want)


@pytest.mark.parametrize("seed", range(20))
def test_frames_go_there_and_back_and_keep_the_geometry(seed):
    rng = np.random.default_rng(seed)
    pose = np.array((*rng.uniform(-100, 100, 3), rng.uniform(-89, 89), *rng.uniform(-180, 180, 2)))
    ours = frames.to_ours(pose)
    assert frames.to_carla(ours) == pytest.approx(pose)
    # A point in the vehicle's axes is the same place by either matrix: ours is Rz Ry Rx, right-handed.
    from drive.sim.sensors.camera import rotation

    point = rng.uniform(-5, 5, 3)
    theirs = (frames.matrix(pose) @ (*point, 1.0))[:3]
    mine = rotation(*ours[3:]) @ (point * (1.0, -1.0, 1.0)) + ours[:3]
    assert frames.flip(theirs) == pytest.approx(mine)
    assert frames.flip(frames.flip(point)) == pytest.approx(point)


def test_a_cross_product_keeps_its_meaning():
    """Turning left, the acceleration w x v of a car that goes forward points to its left, in both frames."""
    v, w = np.array((10.0, 0.0, 0.0)), np.array((0.0, 0.0, 0.5))
    left = np.cross(w, v)
    assert left[1] > 0.0
    # In CARLA's: yaw grows to the right, so the left turn has a negative rate; left is -y.
    theirs = np.cross(frames.flip_rate(w), frames.flip(v))
    assert frames.flip_rate(w)[2] == -0.5
    assert theirs[1] == -left[1]


@needs_carla
@pytest.mark.parametrize("seed", range(10))
def test_frames_are_those_of_carlas_transform(seed):
    import carla

    rng = np.random.default_rng(seed)
    pose = np.array((*rng.uniform(-100, 100, 3), rng.uniform(-89, 89), *rng.uniform(-180, 180, 2)))
    given = carla.Transform(carla.Location(*pose[:3]), carla.Rotation(*pose[3:]))
    assert frames.matrix(pose) == pytest.approx(np.array(given.get_matrix()), abs=1e-4)
    right = given.get_right_vector()
    assert frames.matrix(pose)[:3, 1] == pytest.approx((right.x, right.y, right.z), abs=1e-5)


def test_attached_actors_ride_along(tmp_path):
    world = straight(tmp_path)
    car = world.spawn("vehicle.tesla.model3", (100.0, 1.75, 0.0, 0.0, 90.0, 0.0))
    eye = world.spawn("sensor.camera.rgb", (2.0, 1.0, 1.5, -10.0, 30.0, 0.0), parent=car)
    world.tick(0.05)
    # Forward of a car that looks to +y is +y, its right is -x.
    assert world.transform(eye) == pytest.approx((99.0, 3.75, 1.5, -10.0, 120.0, 0.0))
    outer, inner = (3.0, 4.0, 5.0, 20.0, 70.0, -30.0), (1.0, 2.0, 3.0, -10.0, 40.0, 15.0)
    both = frames.matrix(outer) @ frames.matrix(inner)
    assert frames.matrix(frames.compose(outer, inner)) == pytest.approx(both)
    assert world.destroy([car]) == [True]
    world.tick(0.05)
    assert world.transform(eye)[:2] == pytest.approx((99.0, 3.75))  # it stays


def test_ids_grow_and_rows_follow_their_actors(tmp_path):
    world = straight(tmp_path)
    cars = [world.spawn("vehicle.audi.tt", (50.0 + 20.0 * k, 1.75, 0.0, 0.0, 0.0, 0.0)) for k in range(80)]
    eyes = [world.spawn("sensor.other.imu", (1.0, 0.0, 0.0, 0.0, 0.0, 0.0), parent=c) for c in cars]
    world.destroy(cars[::2])
    world.tick(0.05)
    snapshot = world.snapshot()
    assert snapshot["id"].tolist() == world.actor_ids() == sorted(world.actor_ids())
    for car, eye in itertools.islice(zip(cars[1::2], eyes[1::2], strict=True), 10):
        assert world.transform(eye)[0] == pytest.approx(world.transform(car)[0] + 1.0)
        assert snapshot[world.actors.row(car)]["x"] == pytest.approx(world.transform(car)[0])


def town_of(folder, text: str, encoding: str = "utf-8"):
    from drive.datasets.opendrive.town import read_town

    path = folder / "bad.xodr"
    path.write_bytes(text.encode(encoding))
    return read_town(path)


def test_files_that_are_none_are_refused_by_name(tmp_path):
    from drive.datasets.opendrive.town import read_town

    with pytest.raises(InputError, match=r"no\.xodr"):
        read_town(tmp_path / "no.xodr")
    for text in ("", "<OpenDRIVE>", xodr()[:-400], xodr().replace('s="200"', 's="nan"')):
        with pytest.raises(InputError, match=r"bad\.xodr"):
            town_of(tmp_path, text)


@pytest.mark.parametrize(
    ("geo", "want"),
    [("", (42.0, 2.0)), ("+lat_0=49 +lon_0=8", (49.0, 8.0)), ("+lat_0=1e99 +lon_0=--3", (42.0, 2.0))],
)
def test_an_origin_that_makes_no_sense_is_carlas_default(tmp_path, geo, want):
    found = town_of(tmp_path, xodr().replace("+proj=tmerc +lat_0=42 +lon_0=2", geo))
    assert found.geo == want


def test_signs_with_odd_ids_or_lanes_do_no_harm(tmp_path):
    text = xodr().replace('id="7"', f'id="{"7" * 40}"')
    assert [s.id for s in town_of(tmp_path, text).signs] == ["8"]  # clients have 32 bytes for an id
    text = xodr().replace('fromLane="-1" toLane="-1"', 'fromLane="-9" toLane="-7"')
    world = CarlaWorld.load(town_of(tmp_path, text))
    assert [s.half for s in world.town.signs] == [(0.0, 0.0, 0.0)] * 2  # meant for nobody
    run(world, 1.0)
    text = xodr().replace("straight", "stra\u00dfe").replace('"1.0"?', '"1.0" encoding="ISO-8859-1"?')
    sent = town_of(tmp_path, text, "latin-1").xodr
    assert "stra\u00dfe" in sent
    assert 'encoding="UTF-8"' in sent

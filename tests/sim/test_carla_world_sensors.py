"""Sensors of the CARLA world against values computed by hand, and against CARLA's own map."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from drive.errors import InputError
from drive.sim.carla.world.errors import ActorError
from drive.sim.carla.world.geodesy import geolocation
from drive.sim.carla.world.lettering import letters

sys.path.insert(0, str(Path(__file__).parent))
from carla_town import run, straight

CAR = "vehicle.tesla.model3"  # 4.792 x 2.163 x 1.488 m
NONE = (0.0,) * 6
QUIET = {"dropoff_general_rate": "0", "dropoff_intensity_limit": "0", "dropoff_zero_intensity": "0"}


@pytest.fixture
def world(tmp_path):
    return straight(tmp_path)


def one(world, sensor):
    """The single thing that a sensor says."""
    found = world.measure([sensor])
    assert [f[0] for f in found] == [sensor]
    return found[0][2]


def parked(world, name, x, y=1.75, yaw=0.0) -> int:
    actor = world.spawn(name, (x, y, 0.0, 0.0, yaw, 0.0))
    world.set_simulate_physics(actor, False)
    return actor


def test_gnss_by_hand(world):
    """At 42 N 2 E, a degree of latitude is 6378137 pi / 180 = 111319.49 m on the sphere and one of longitude
    cos 42 of that; 1000 m east, 300 m to the right of it, which is south."""
    car = parked(world, CAR, 1000.0, 300.0)
    sensor = world.spawn("sensor.other.gnss", (0.0, 0.0, 2.5, 0.0, 0.0, 0.0), parent=car)
    world.tick(0.05)
    lat, lon, alt = one(world, sensor)
    metres = 6378137.0 * math.pi / 180.0
    assert lat == pytest.approx(42.0 - 300.0 / metres, abs=1e-7)
    assert lon == pytest.approx(2.0 + 1000.0 / (metres * math.cos(math.radians(42.0))), abs=1e-9)
    assert alt == 2.5
    world.y_is_north = True
    world.tick(0.05)
    # The transverse Mercator's scale is 0.9996 at the meridian of the origin.
    assert one(world, sensor)[0] == pytest.approx(42.0 + 300.0 / 0.9996 / metres, abs=1e-6)


def test_the_signs_of_the_two_versions():
    """y = +20 about 0 N: -0.0001797 in 0.9.15, +0.0001797 in 0.9.16 (asked of both)."""
    assert geolocation(0.0, 20.0, 0.0, (0.0, 0.0))[0] == pytest.approx(-0.0001797, abs=1e-7)
    assert geolocation(0.0, 20.0, 0.0, (0.0, 0.0), True)[0] == pytest.approx(0.0001797, abs=1e-7)


@pytest.mark.skipif(importlib.util.find_spec("carla") is None, reason="needs the extra carla")
@pytest.mark.parametrize("place", [(10.0, 20.0, 3.0), (-250.0, 300.0, 0.0), (2000.0, -1500.0, 8.0)])
def test_geolocation_is_that_of_carlas_map(world, place):
    import carla

    town = carla.Map(
        "straight",
        world.town.xodr.replace("+proj=tmerc +lat_0=42 +lon_0=2", "+proj=tmerc +lat_0=0 +lon_0=0 +k=1"),
    )
    found = town.transform_to_geolocation(carla.Location(*place))
    mine = geolocation(*place, (0.0, 0.0), found.latitude * place[1] > 0.0)
    assert mine == pytest.approx((found.latitude, found.longitude, found.altitude), abs=1e-9)


def test_imu_feels_weight_turning_and_north(world):
    car = world.spawn(CAR, (1000.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    sensor = world.spawn("sensor.other.imu", NONE, parent=car)
    run(world, 0.2)
    felt, turn, compass = one(world, sensor)
    assert felt == pytest.approx((0.0, 0.0, 9.81), abs=1e-9)
    assert turn == (0.0, 0.0, 0.0)
    assert compass == pytest.approx(math.pi / 2)  # x is east
    world.set_target_velocity(car, (5.0, 0.0, 0.0))
    for _ in range(40):
        world.apply_control(car, throttle=0.5, steer=-0.3)
        world.tick(0.05)
    felt, turn, compass = one(world, sensor)
    v = float(np.hypot(*world.velocity(car)[:2]))
    assert turn[2] < 0.0  # to the left
    # Centripetal: to the left too, v times the rate; over a tick it turns by a few degrees.
    assert felt[1] == pytest.approx(v * turn[2], rel=0.1)
    assert compass == pytest.approx((math.radians(world.transform(car)[4]) + math.pi / 2) % (2 * math.pi))


def test_lidar_range_to_a_box_by_hand(world):
    """Eyes 1 m high at x = 1000, a car's tail at 1020 - 2.396; one channel, level, all round."""
    eye = world.spawn("sensor.lidar.ray_cast", (1000.0, 1.75, 1.0, 0.0, 0.0, 0.0), {
        "channels": "1", "range": "60", "points_per_second": "36000", "rotation_frequency": "20",
        "upper_fov": "0", "lower_fov": "0", **QUIET})  # fmt: skip
    parked(world, CAR, 1020.0)
    world.tick(0.05)
    points, counts, angle = one(world, eye)
    # 1800 rays a turn, 0.2 degrees apart; the tail is 2 atan(1.0817 / 17.604) = 7.03 degrees wide.
    assert counts.tolist() == [len(points)]
    assert len(points) == pytest.approx(7.03 / 0.2, abs=1.5)
    assert points[:, 0] == pytest.approx(1020.0 - 2.396 - 1000.0, abs=1e-3)
    assert np.abs(points[:, 1]).max() < 1.0818
    assert points[:, 2] == pytest.approx(0.0, abs=1e-6)
    far = np.linalg.norm(points[:, :3], axis=1)
    assert points[:, 3] == pytest.approx(np.exp(-0.004 * far), abs=1e-5)
    assert angle == pytest.approx(0.0, abs=1e-9)  # once round


def test_lidar_meets_the_ground_where_its_beams_point(world):
    """From 2 m, 30 degrees down: 4 m along the beam, also when the sensor is turned and its car drives."""
    car = world.spawn(CAR, (1000.0, 1.75, 0.0, 0.0, 40.0, 0.0))
    eye = world.spawn("sensor.lidar.ray_cast", (0.0, 0.0, 2.0, 0.0, 25.0, 0.0), {
        "channels": "2", "range": "60", "points_per_second": "2000", "upper_fov": "-10", "lower_fov": "-30",
        **QUIET}, parent=car)  # fmt: skip
    world.tick(0.05)
    points, counts, _ = one(world, eye)
    assert counts.tolist() == [50, 50]
    assert np.linalg.norm(points[50:, :3], axis=1) == pytest.approx(4.0, abs=1e-5)
    assert np.linalg.norm(points[:50, :3], axis=1) == pytest.approx(
        2.0 / math.sin(math.radians(10)), abs=1e-4
    )


def test_a_lidar_on_a_slope_sees_the_slope(tmp_path):
    world = straight(tmp_path, slope=0.05)
    eye = world.spawn("sensor.lidar.ray_cast", (1000.0, 0.0, 52.0, 0.0, 0.0, 0.0), {
        "channels": "1", "range": "90", "points_per_second": "20", "rotation_frequency": "20",
        "upper_fov": "-10",
        "lower_fov": "-10", **QUIET})  # fmt: skip
    world.tick(0.05)
    points, *_ = one(world, eye)
    # One ray a tick, at -180 degrees: down the hill; 2 m + 0.05 d = d tan 10.
    ((x, y, z, _),) = points
    d = 2.0 / (math.tan(math.radians(10.0)) - 0.05)
    assert (x, y) == pytest.approx((-d, 0.0), abs=0.02)
    assert z == pytest.approx(-d * math.tan(math.radians(10.0)), abs=0.01)


def test_semantic_lidar_names_what_it_hits(world):
    eye = world.spawn("sensor.lidar.ray_cast_semantic", (1000.0, 1.75, 1.0, 0.0, 0.0, 0.0), {
        "channels": "3", "range": "30", "points_per_second": "108000", "rotation_frequency": "20",
        "upper_fov": "0", "lower_fov": "-10"})  # fmt: skip
    car, walker = parked(world, CAR, 1012.0), parked(world, "walker.pedestrian.0001", 990.0)
    world.tick(0.05)
    points, counts, _ = one(world, eye)
    assert counts.sum() == len(points)
    assert points.dtype.itemsize == 24
    by_tag = {int(t): set(points["object"][points["tag"] == t].tolist()) for t in set(points["tag"].tolist())}
    # CARLA's labels since 0.9.14: road 1, sidewalk 2, pedestrian 12, car 14, ground 25.
    assert by_tag[14] == {car}
    assert by_tag[12] == {walker}
    assert by_tag[1] == by_tag[2] == by_tag[25] == {0}
    road = points[points["tag"] == 1]
    assert (road["y"] + 1.75).max() <= 3.5 + 0.2
    tail = points[(points["tag"] == 14) & (np.abs(points["y"]) < 0.05)]
    assert tail["cosine"].max() == pytest.approx(1.0, abs=1e-3)


def test_dropped_echoes_are_the_share_that_was_asked_for(world):
    parked(world, CAR, 1012.0)
    eye = world.spawn("sensor.lidar.ray_cast", (1000.0, 1.75, 2.0, 0.0, 0.0, 0.0), {
        "points_per_second": "400000", "range": "50", "upper_fov": "-5", "lower_fov": "-40",
        "dropoff_general_rate": "0.3", "dropoff_intensity_limit": "0"})  # fmt: skip
    world.tick(0.05)
    points, *_ = one(world, eye)
    assert len(points) / 20000 == pytest.approx(0.7, abs=0.02)


def test_radar_tells_the_speed_at_which_things_move_away(world):
    ego = world.spawn(CAR, (1000.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    lead = world.spawn(CAR, (1030.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    eye = world.spawn("sensor.other.radar", (2.5, 0.0, 0.7, 0.0, 0.0, 0.0), {
        "horizontal_fov": "20", "vertical_fov": "4", "points_per_second": "4000",
        "range": "60"}, parent=ego)  # fmt: skip
    for i, v in ((ego, 10.0), (lead, 16.0)):
        world.enable_constant_velocity(i, (v, 0.0, 0.0))
    run(world, 0.5)
    found = one(world, eye)
    gap = world.transform(lead)[0] - 2.396 - world.transform(ego)[0] - 2.5
    car = np.abs(found[:, 3] * np.cos(found[:, 1]) * np.cos(found[:, 2]) - gap) < 0.05
    assert car.sum() > 20
    assert found[car, 0] == pytest.approx(6.0 * np.cos(found[car, 1]) * np.cos(found[car, 2]), abs=1e-3)
    ground = ~car & (found[:, 2] < 0.0)
    assert (found[ground, 0] < 0.0).all()  # the road comes towards it


def test_an_obstacle_is_told_with_its_distance(world):
    ego = world.spawn(CAR, (1000.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    eye = world.spawn("sensor.other.obstacle", (0.0, 0.0, 1.0, 0.0, 0.0, 0.0), {
        "distance": "30", "hit_radius": "0.1"}, parent=ego)  # fmt: skip
    world.tick(0.05)
    assert world.measure([eye]) == []
    other = parked(world, CAR, 1020.0)
    world.tick(0.05)
    who, far = one(world, eye)
    assert who == other
    assert far == pytest.approx(20.0 - 2.396 - 0.1, abs=1e-3)


def test_sensors_keep_their_own_time(world):
    car = parked(world, CAR, 1000.0)
    slow = world.spawn("sensor.other.gnss", NONE, {"sensor_tick": "0.2"}, parent=car)
    fast = world.spawn("sensor.other.imu", NONE, parent=car)
    heard = []
    for _ in range(20):
        world.tick(0.05)
        heard.append([s for s, *_ in world.measure([slow, fast])])
        assert world.measure([slow, fast]) == []  # once a tick
    assert sum(fast in h for h in heard) == 20
    assert sum(slow in h for h in heard) == 5
    with pytest.raises(ActorError, match="is no sensor"):
        world.measure([car])


def camera(world, kind, pose, **attributes):
    eye = world.spawn(f"sensor.camera.{kind}", pose, {k: str(v) for k, v in attributes.items()})
    world.tick(0.05)
    return one(world, eye)


def test_pictures_have_the_size_asked_for_and_say_what_they_are(world):
    parked(world, CAR, 1012.0)
    pose = (1000.0, 1.75, 1.6, 0.0, 0.0, 0.0)
    shot, fov = camera(world, "rgb", pose, image_size_x=320, image_size_y=180, fov=70)
    assert (shot.shape, shot.dtype, fov) == ((180, 320, 4), np.dtype(np.uint8), 70.0)
    assert (shot[..., 3] == 255).all()
    # Sky: more blue than red, in this order of bytes.
    assert shot[5, 160, 0] > shot[5, 160, 2]
    text = letters("SYNTHETIC")
    scale = 1
    band = shot[-text.shape[0] * scale - 2 : -2, 2 : 2 + text.shape[1] * scale]
    assert ((band[..., 1] == 255) == (text > 0)).all()
    assert (band[text == 0][:, :3] == 0).all()
    for bad in ({"image_size_x": 0}, {"image_size_x": 100000}, {"fov": 180}):
        with pytest.raises(InputError, match="a camera"):
            camera(world, "rgb", pose, **bad)


def test_depth_of_the_road_and_of_a_car_by_hand(world):
    """1.6 m above the road, 90 degrees wide: a pixel v below the middle sees the ground at 1.6 f / v."""
    parked(world, CAR, 1012.0)
    pose = (1000.0, 1.75, 1.6, 0.0, 0.0, 0.0)
    shot, _ = camera(world, "depth", pose, image_size_x=200, image_size_y=200, fov=90)
    b, g, r = (shot[..., k].astype(np.float64) for k in range(3))
    depth = 1000.0 * (r + 256.0 * g + 65536.0 * b) / (256.0**3 - 1.0)  # as CARLA's documentation has it
    assert depth[180, 20] == pytest.approx(1.6 * 100.0 / 80.5, rel=1e-3)
    assert depth[115, 100] == pytest.approx(12.0 - 2.396, abs=0.25)
    assert depth[10, 100] == 1000.0


def test_labelled_pictures_show_road_car_and_sky(world):
    car = parked(world, CAR, 1012.0)
    pose = (1000.0, 1.75, 1.6, 0.0, 0.0, 0.0)
    size = {"image_size_x": 120, "image_size_y": 80}
    shot, _ = camera(world, "semantic_segmentation", pose, **size)
    assert (shot[78, 60, 2], shot[44, 60, 2], shot[3, 60, 2]) == (1, 14, 11)
    shot, _ = camera(world, "instance_segmentation", pose, **size)
    assert int(shot[44, 60, 0]) + 256 * int(shot[44, 60, 1]) == car


def test_points_under_a_place_and_rays_between_places(world):
    parked(world, CAR, 1012.0)
    at, label = world.project_point((1000.0, 1.75, 3.0), (0.0, 0.0, -1.0), 10.0)
    assert at == pytest.approx((1000.0, 1.75, 0.0))
    assert label == 1
    crossed = world.cast_ray((1000.0, 1.75, 1.0), (1030.0, 1.75, -0.5))
    assert [label for _, label in crossed] == [14, 1]
    assert crossed[0][0][0] == pytest.approx(1012.0 - 2.396, abs=1e-3)
    assert world.project_point((1000.0, 1.75, 3.0), (0.0, 0.0, 1.0), 10.0) is None


def test_physics_by_carlas_names(world):
    car = world.spawn("vehicle.lincoln.mkz_2017", (1000.0, 1.75, 0.0, 0.0, 0.0, 0.0))
    world.tick(0.05)
    told = world.physics_control(car)
    wheels = np.array([w.position for w in told.wheels]) / 100.0
    assert wheels[:2, 0] - wheels[2:, 0] == pytest.approx(2.85)  # the wheelbase, m
    assert told.wheels[0].max_steer_angle == 70.0
    from dataclasses import replace

    world.set_physics_control(car, replace(told, mass=3520.0))
    world.add_impulse(car, (3520.0, 0.0, 0.0))
    assert world.velocity(car)[0] == pytest.approx(1.0)
    assert world.physics_control(car).mass == 3520.0
    with pytest.raises(InputError, match="mass"):
        world.set_physics_control(car, replace(told, mass=math.nan))

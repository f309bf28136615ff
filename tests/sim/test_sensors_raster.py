"""The raster sensor: which cells are set, against shapely and by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import shapely

import drive
from drive.errors import InputError
from drive.eval.check.scenes import straight_map
from drive.geometry import box_corners, from_frame, rotate
from drive.roadmap import LaneSpec, RoadMapBuilder
from drive.roadmap.drivable import DrivableArea
from drive.roadmap.model import LaneKind
from drive.scenario import Route, SignalState, Task
from drive.sim.kernels.raster import draw_line, fill_quad
from drive.sim.sensors.raster import RASTER_CHANNELS, RasterSensor, RasterSettings
from drive.vehicle import AgentKind, VehicleParams

MOMENTS = run_path(str(Path(__file__).with_name("sensor_moments.py")))
VEHICLE = VehicleParams()
DRIVABLE, LANE, ROUTE, VEHICLES, VULNERABLE, STATIC, RED_LIGHT, PAST = range(8)
SCENES = ("gen/unprotected_left/1000", "gen/roundabout/3")
CENTRES = RasterSettings().centres()
NEAR = 1e-3
"""m from an edge within which a cell may be told to either side: kernels of the area are in float32."""


def seen(ego, agents=(), sizes=(), kinds=(), **more):
    """An observation of an ego (x, y, heading, speed) and agents (x, y, heading) that never moved."""
    found = MOMENTS["seen"](ego, [(*a, 0.0, 0.0) for a in agents], kinds=kinds, **more)
    return replace(found, agent_size=np.array([(*s, 1.6) for s in sizes]).reshape(len(agents), 3))


def straight_task(**how):
    """A lane `a` about y = 0 from x = 0 to 800 m, 3.5 m wide, and lane `b` left of it."""
    return Task(straight_map(**how), Route((0,)), VEHICLE, 0.1, 10.0)


def sense(task, observation, settings=None):
    return RasterSensor.start(task, settings).sense(observation)


def at(image, x, y):
    """The value of the cell that holds a place in the ego's frame."""
    how = RasterSettings()
    return image[int((y + 0.5 * how.cells * how.cell) / how.cell), int((x + how.behind) / how.cell)]


def assert_inside(image, polygon, ego):
    """A cell is set exactly where its middle lies in the polygon (shapely), but for rounding at its edge."""
    places = from_frame(CENTRES.reshape(-1, 2), ego[:3])
    inside = shapely.intersects_xy(polygon, *places.T)
    clear = shapely.distance(shapely.points(places), shapely.boundary(polygon)) > NEAR
    assert clear.mean() > 0.99
    np.testing.assert_array_equal((image.ravel() > 0)[clear], inside[clear])


def test_what_is_drawn_has_the_shape_that_is_asked_for():
    settings = RasterSettings(cells=40, cell=1.0, behind=5.0)
    image = sense(straight_task(), seen((100, 0, 0, 5)), settings)
    assert image.shape == (len(RASTER_CHANNELS), 40, 40)
    assert image.dtype == np.uint8
    assert settings.centres()[0, 0].tolist() == [-4.5, -19.5]
    assert settings.centres()[-1, -1].tolist() == [34.5, 19.5]
    for bad in (
        {"cells": 0},
        {"cells": 1.5},
        {"cell": 0.0},
        {"cell": math.nan},
        {"behind": -1.0},
        {"past": (0.0,)},
    ):
        with pytest.raises(InputError):
            RasterSettings(**bad)


@pytest.mark.parametrize("ref", SCENES)
def test_the_drivable_area_is_shapelys(watched, ref):
    task, observations = watched(drive.load_scenario(ref), 41)
    sensor = RasterSensor.start(task)
    for o in observations[::20]:
        assert_inside(sensor.sense(o)[DRIVABLE], DrivableArea.of(task.roadmap).polygon, o.ego)


def test_boxes_are_shapelys():
    generator = np.random.default_rng(3)
    ego = np.array([120.0, 1.0, 0.7, 5.0])
    for _ in range(20):
        x, y, h = generator.uniform((-10, -25, -4), (40, 25, 4))
        place = from_frame(np.array([x, y, h]), ego[:3])
        length, width = generator.uniform(1.5, 12.0), generator.uniform(1.2, 3.0)
        image = sense(straight_task(), seen(ego, [place], [(length, width)]))
        box = shapely.Polygon(box_corners(place[:2], place[2], length, width))
        assert_inside(image[VEHICLES], box, ego)
        assert set(np.unique(image[VEHICLES]).tolist()) <= {0, 255}


def test_quadrilaterals_are_shapelys():
    """Convex ones of any shape, in part outside."""
    generator = np.random.default_rng(5)
    for _ in range(100):
        hull = shapely.convex_hull(shapely.MultiPoint(generator.uniform(-8.0, 40.0, (4, 2))))
        corners = shapely.get_coordinates(hull)[:4]
        if hull.geom_type != "Polygon":
            continue
        image = np.zeros((32, 32), dtype=np.uint8)
        fill_quad(image, *corners.ravel().tolist(), 7)
        v, u = np.mgrid[:32, :32] + 0.5
        shape = shapely.Polygon(corners)
        inside = shapely.intersects_xy(shape, u, v)
        clear = shapely.distance(shapely.points(u, v), shapely.boundary(shape)) > 1e-6
        np.testing.assert_array_equal((image == 7)[clear], inside[clear])


def test_lines_have_no_gaps():
    """From one side of a line's cells to the other one meets a chain of cells that touch."""
    from scipy.ndimage import label

    generator = np.random.default_rng(7)
    for _ in range(60):
        a, b = generator.uniform(2.0, 30.0, (2, 2))
        image = np.zeros((32, 32), dtype=np.uint8)
        draw_line(image, *a, *b, 255)
        _, count = label(image, structure=np.ones((3, 3)))
        assert count == (1 if image.any() else 0)
        gap = shapely.distance(shapely.points(np.argwhere(image)[:, ::-1] + 0.5), shapely.LineString((a, b)))
        assert (gap <= 0.5 * math.sqrt(2.0) + 1e-9).all()
        assert image.astype(bool).sum() >= np.abs(b - a).max() - 2.0


def test_small_boxes_are_not_lost():
    """A pedestrian of 0.3 m is seen wherever it stands."""
    for x in np.linspace(5.0, 6.0, 9):
        for heading in (0.0, 0.4, 0.8):
            o = seen((100, 0, 0, 0), [(100.0 + x, 3.3, heading)], [(0.3, 0.3)], [AgentKind.PEDESTRIAN])
            image = sense(straight_task(), o)
            assert 1 <= (image[VULNERABLE] > 0).sum() <= 9
            assert not image[VEHICLES].any()


def test_everybody_is_in_its_channel_with_its_existence():
    kinds = [AgentKind.BUS, AgentKind.BICYCLE, AgentKind.STATIC, AgentKind.PEDESTRIAN, AgentKind.VEHICLE]
    agents = [(110, 0, 0), (110, 10, 0), (110, -10, 0), (120, 10, 0), (130, 0, 0)]
    o = seen((100, 0, 0, 0), agents, [(2.0, 2.0)] * 5, kinds, existence=[1.0, 0.6, 1.0, 1.0, 0.0])
    image = sense(straight_task(), o)
    places = ((10.2, 0.2), (10.2, 10.2), (10.2, -9.8), (20.2, 10.2), (30.2, 0.2))
    channels = (VEHICLES, VULNERABLE, STATIC, VULNERABLE, VEHICLES)
    values = [at(image[k], *place) for k, place in zip(channels, places, strict=True)]
    assert values == [255, 153, 255, 255, 0]
    # Each of 2 m x 2 m in 16 cells, and in no other channel.
    assert [(image[k] > 0).sum() for k in (VEHICLES, VULNERABLE, STATIC)] == [16, 32, 16]


def test_left_is_up_the_rows_and_forward_up_the_columns():
    o = seen((100, 0, math.pi / 2, 0), [(100, 20, 0), (90, 0, 0)], [(1.0, 1.0)] * 2)
    image = sense(straight_task(), o)[VEHICLES]
    assert at(image, 19.9, 0.1) == 255
    assert at(image, 0.1, 9.9) == 255
    assert (image > 0).sum() == 8


def test_lanes_and_route_of_a_straight_road():
    image = sense(straight_task(), seen((100.0, 0.2, 0.0, 5.0)))
    # Centrelines at y = 0 and 3.5 m, bounds at -1.75, 1.75 and 5.25; the ego is 0.2 m left.
    y = CENTRES[:, 0, 1]
    column = image[LANE][:, 60]
    centre = np.min(np.abs(y[:, None] + 0.2 - np.array([0.0, 3.5])), axis=1) < 0.249
    bound = np.min(np.abs(y[:, None] + 0.2 - np.array([-1.75, 1.75, 5.25])), axis=1) < 0.249
    assert (column[centre] == 255).all()
    assert (column[bound] == 128).all()
    assert (column > 0).sum() == 5
    # Both lanes are of the route; its line is the ego's lane's.
    route = image[ROUTE][:, 60]
    assert route[np.abs(y + 0.2) < 0.249].tolist() == [255]
    assert (route > 0).sum() == 14
    assert ((y[route > 0] + 0.2 > -1.75) & (y[route > 0] + 0.2 < 5.25)).all()


@pytest.mark.parametrize(
    ("state", "line", "lane"),
    [(SignalState.RED, 255, 128), (SignalState.YELLOW, 128, 64), (SignalState.GREEN, 0, 0)],
)
def test_a_light_is_drawn_as_it_is(state, line, lane):
    image = sense(straight_task(stop_at=120.0), seen((100.0, 0.0, 0.0, 5.0), signals=[state]))[RED_LIGHT]
    assert {at(image, x, y) for x in (5.0, 15.0, 30.0) for y in (-1.0, 0.2, 3.0)} == {lane}
    assert {max(at(image, 19.8, y), at(image, 20.2, y)) for y in (-1.2, 0.2, 1.2, 3.0)} == {line}
    assert not (image[CENTRES[..., 1] < -2.0]).any()


def test_a_stop_line_before_its_lane_is_drawn_there():
    """A lane that begins at x = 50 with a line 4 m before it, to be crossed only at green."""
    builder = RoadMapBuilder()
    for name, x0, more in (("a", 0.0, {}), ("b", 50.0, {"signal": "s", "stop_station": -4.0})):
        x = np.arange(x0, x0 + 50.1, 5.0)
        sides = (np.stack((x, np.full_like(x, y)), -1) for y in (2.0, -2.0))
        builder.add(LaneSpec(name, *sides, speed_limit=9.0, successors=("b",) if name == "a" else (), **more))
    task = Task(builder.build(), Route((0, 1)), VEHICLE, 0.1, 10.0)
    image = sense(task, seen((30.0, 0.0, 0.0, 5.0), signals=[SignalState.RED]))[RED_LIGHT]
    x = CENTRES[0, :, 0]
    assert set(x[image[64] == 255].tolist()) <= {15.75, 16.25}
    assert (image[64] == 255).any()
    assert (image[64][(x > 20.5)] == 128).all()
    assert not image[64][(x < 15.0) | ((x > 17.0) & (x < 19.5))].any()


def test_the_past_fades():
    """The ego at 10 m/s and a car that stood: the ego's box 5, 10 and 15 m behind, the car's at one place."""
    o = seen((100, 0, 0, 10), [(120, 6, 0)], [(2.0, 2.0)])
    history = o.ego_history.copy()
    history[:, 0] = 100.0 - np.arange(30, -1, -1)
    image = sense(straight_task(), replace(o, ego_history=history))[PAST]
    centre = VEHICLE.rear_axle_to_center
    assert [at(image, centre - d, 0.1) for d in (5.0, 10.0, 15.0)] == [192, 128, 64]
    assert at(image, 20.1, 6.1) == 192
    assert at(image, centre + 1.0, 0.1) == 0
    # Of a shorter history only what it holds.
    image = sense(straight_task(), replace(o, ego_history=history[-8:]))[PAST]
    assert [at(image, centre - d, 0.1) for d in (5.0, 10.0, 15.0)] == [192, 0, 0]


@pytest.mark.parametrize("ref", SCENES)
def test_a_turned_world_looks_the_same_up_to_rounding(watched, ref):
    """A cell may differ where an edge runs through its middle."""
    task, observations = watched(drive.load_scenario(ref), 31)
    angle, shift = 2.1, np.array([40.0, -90.0])
    m = task.roadmap

    def move(points):
        return rotate(points, angle) + shift

    there = replace(
        task,
        environment=replace(
            m, points=move(m.points), left=move(m.left), right=move(m.right), heading=m.heading + angle,
            areas=replace(m.areas, points=move(m.areas.points)),
        ),
        route=replace(task.route, line=move(task.route.line)),
    )  # fmt: skip
    ours, theirs = RasterSensor.start(task), RasterSensor.start(there)
    for o in observations:
        ego, past = o.ego.copy(), o.ego_history.copy()
        agents, history = o.agents.copy(), o.agent_history.copy()
        for rows in (ego, past, agents, history):
            rows[..., :2] = move(rows[..., :2])
            rows[..., 2] += angle
        a = ours.sense(o)
        b = theirs.sense(replace(o, ego=ego, ego_history=past, agents=agents, agent_history=history))
        assert (a != b).mean() < 3e-4


def test_bad_states_and_places():
    sensor = RasterSensor.start(straight_task())
    assert not sensor.sense(seen((math.nan, 0, 0, 1))).any()
    places = [(math.nan, 0, 0), (math.inf, 1, 0), (1e300, 1, 0), (105, 0, math.nan)]
    o = seen((100, 0, 0, 1), places, [(4.0, 2.0)] * 4)
    assert not sensor.sense(o)[VEHICLES].any()
    far = sensor.sense(seen((1e6, 1e6, 0, 1)))
    assert not far[:PAST].any()
    wide = sensor.sense(seen((100, 0, 0, 1), [(100, 0, 0)], [(1e9, 1e9)]))
    assert (wide[VEHICLES] == 255).all()


def test_a_map_without_lanes_for_cars():
    builder = RoadMapBuilder()
    x = np.arange(0.0, 50.1, 5.0)
    sides = (np.stack((x, np.full_like(x, y)), -1) for y in (1.0, -1.0))
    builder.add(LaneSpec("path", *sides, kind=LaneKind.SIDEWALK))
    image = sense(Task(builder.build(), Route(), VEHICLE, 0.1, 10.0), seen((20, 0, 0, 1)))
    assert not image[:PAST].any()


def test_nothing_is_drawn_twice_or_lost_where_lanes_lie_in_many_cells(watched):
    """Against a raster with the whole map in view: its part around the ego is the same."""
    task, observations = watched(drive.load_scenario(SCENES[0]), 21)
    o = observations[-1]
    near = sense(task, o)
    far = sense(task, o, RasterSettings(cells=1128, behind=16.0 + 250.0))
    part = far[:, 500:628, 500:628]
    for channel in (DRIVABLE, LANE, ROUTE, RED_LIGHT, VEHICLES):
        assert (near[channel] != part[channel]).mean() < 2e-4

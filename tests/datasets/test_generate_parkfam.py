"""Generated scenes with parked vehicles, road works and people who step out; people and buildings."""

import numpy as np
import pytest
import shapely

from drive.datasets.generate import generate
from drive.datasets.generate.buildings import add_buildings, footprint, row
from drive.datasets.generate.curves import chain
from drive.datasets.generate.drivers import EGO_BODY, Body, Driver
from drive.datasets.generate.kernels.base import PARKED
from drive.datasets.generate.people import (
    add_crossing,
    add_walker,
    start_lag,
    stop_way,
    stroll,
    walker_body,
)
from drive.datasets.generate.roads import Atlas, Profile, Road, add_road, carriageway, strip, winding
from drive.datasets.generate.traffic import Actor, Gate, Slow, Traffic, TrafficLane, Zone
from drive.geometry import box_corners, boxes_overlap, project_to_polyline
from drive.roadmap import AreaKind, LaneKind
from drive.roadmap.drivable import drivable_polygon
from drive.scenario import Scenario
from drive.vehicle import HEADING, SPEED, AgentKind, rear_to_center

EGO_LENGTH, EGO_WIDTH = 5.176, 2.297


def ego_center(s: Scenario) -> np.ndarray:
    assert s.expert is not None
    return rear_to_center(s.expert.states, s.vehicle.rear_axle_to_center)


def bound(s: Scenario, name: str, side: str) -> np.ndarray:
    """The left or right bound of all sections of a lane, one after another."""
    m = s.roadmap
    lanes = [i for i, x in enumerate(m.lane_ids) if x.split(".")[0] == name]
    return np.concatenate([getattr(m, side)[m.rows(i)] for i in lanes])


def boxes(s: Scenario) -> np.ndarray:
    t = s.tracks
    return box_corners(t.states[..., :2], t.states[..., HEADING], t.size[:, 0:1], t.size[:, 1:2])


# -- a vehicle stands in the only lane ----------------------------------------------------------------


def two_way(seeds: range, difficulty: float | None = None) -> list[Scenario]:
    return [generate("parked_vehicle_two_way", seed, difficulty) for seed in seeds]


def test_two_way_the_way_is_blocked_and_the_ego_passes_on_its_own_side() -> None:
    crossed = 0
    for s in two_way(range(6)):
        m = s.roadmap
        i = s.tracks.ids.index("parked0")
        assert s.tracks.speed[i].max() == 0.0
        lane = m.lane_ids.index(next(n for n in m.lane_ids if n.startswith("f1.")))
        assert m.left_lane[lane] == -1
        assert m.right_lane[lane] == -1
        # Nobody gets past without moving over: the rest of the lane is too narrow for the ego.
        _, into, _ = project_to_polyline(boxes(s)[i, 0], bound(s, "f1", "right"))
        width = float(np.hypot(*(m.left[m.lane_start[lane]] - m.right[m.lane_start[lane]])))
        assert width - into.max() < EGO_WIDTH + 0.65
        there, _, _ = project_to_polyline(s.tracks.states[i, 0, :2], s.route.line)
        station, _, _ = project_to_polyline(ego_center(s), s.route.line)
        assert station[0] < there < station[-1] + 15.0
        # Its middle never lies in the oncoming lane; its left side often does.
        lanes = [k for k, n in enumerate(m.lane_ids) if n.startswith("b1.")]
        oncoming = shapely.union_all([shapely.Polygon(m.polygon(k)) for k in lanes])
        assert shapely.distance(oncoming, shapely.points(ego_center(s))).min() > 0.3
        crossed += any(oncoming.intersects(shapely.Polygon(c)) for c in boxes(s)[s.ego])
    assert crossed >= 2


def test_two_way_hard_scenes_are_narrower_and_oncoming_drivers_are_never_forced_to_brake() -> None:
    room = {}
    for difficulty in (0.0, 1.0):
        gaps = []
        for s in two_way(range(20, 26), difficulty):
            i = s.tracks.ids.index("parked0")
            ego = box_corners(
                ego_center(s),
                s.expert.states[:, HEADING],
                EGO_LENGTH,
                EGO_WIDTH,  # type: ignore[union-attr]
            )
            parked = shapely.Polygon(boxes(s)[i, 0])
            gaps.append(min(parked.distance(shapely.Polygon(c)) for c in ego))
            for k, name in enumerate(s.tracks.ids):
                if name.startswith("o"):
                    here = s.tracks.valid[k]
                    assert np.diff(s.tracks.speed[k, here]).min(initial=0.0) / s.dt > -2.5
        room[difficulty] = np.mean(gaps)
    assert room[1.0] < room[0.0] - 0.08
    assert room[1.0] > 0.35


# -- road works ---------------------------------------------------------------------------------------


def works(tags: set[str], count: int) -> list[Scenario]:
    found = []
    for seed in range(60):
        s = generate("construction_narrowing", seed)
        if tags <= set(s.tags):
            found.append(s)
            if len(found) == count:
                break
    assert len(found) == count
    return found


@pytest.mark.parametrize("known", ["mapped", "unmapped"])
def test_works_close_the_lane_that_the_ego_leaves(known: str) -> None:
    for s in works({"closed", "leaves", known}, 2):
        m, t = s.roadmap, s.tracks
        name = m.lane_ids[s.route.lanes[0]].split(".")[0]
        left, right = bound(s, name, "left"), bound(s, name, "right")
        cones = [i for i, x in enumerate(t.ids) if x.startswith("cone")]
        assert len(cones) >= 5
        assert all(t.kind[i] == AgentKind.STATIC and t.speed[i].max() == 0.0 for i in cones)
        # The last cone stands at the far side of the lane, the first one at its edge.
        _, a, _ = project_to_polyline(t.states[cones, 0, :2], left)
        _, b, _ = project_to_polyline(t.states[cones, 0, :2], right)
        far = np.minimum(np.abs(a), np.abs(b))
        assert far[0] < 0.4
        assert far[-1] < 0.6
        assert np.sign(a[0] + b[0]) != np.sign(a[-1] + b[-1])
        station, _, _ = project_to_polyline(ego_center(s)[-1], left)
        taper, _, _ = project_to_polyline(t.states[cones[0], 0, :2], left)
        assert station > taper - 15.0
        _, side, _ = project_to_polyline(ego_center(s)[-1], left)
        inside = project_to_polyline(ego_center(s)[-1], right)[1] > 0.0 > side
        assert not inside
        lanes = [i for i, x in enumerate(m.lane_ids) if x.split(".")[0] == name]
        ends = [i for i in lanes if len(m.successors(i)) == 0]
        reach = project_to_polyline(m.points[m.rows(ends[-1])][-1], s.route.line)[0]
        if known == "mapped":
            assert reach < project_to_polyline(t.states[cones[-1], 0, :2], s.route.line)[0] + 5.0
            assert m.lane_ids[s.route.lanes[-1]].split(".")[0] != name
        else:
            assert m.lane_ids[s.route.lanes[-1]].split(".")[0] == name


def test_mapped_works_narrow_and_shift_the_lanes_and_lower_the_limit() -> None:
    for s in works({"narrowed", "mapped"}, 2):
        m = s.roadmap
        wide, limits = [], []
        for i, name in enumerate(m.lane_ids):
            if name.startswith("f1."):
                rows = m.rows(i)
                wide.append(np.hypot(*(m.left[rows] - m.right[rows]).T))
                limits.append(m.speed_limit[i])
        narrow = min(w.min() for w in wide)
        assert 2.7 < narrow < max(w.max() for w in wide) - 0.1
        assert len(set(limits)) == 2
        barrier = s.tracks.ids.index("barrier3")
        _, off, _ = project_to_polyline(boxes(s)[barrier, 0], bound(s, "f1", "right"))
        assert off.max() < 0.0


def test_unmapped_works_reach_into_the_lane() -> None:
    for s in works({"narrowed", "unmapped"}, 2):
        barrier = s.tracks.ids.index("barrier3")
        _, off, _ = project_to_polyline(boxes(s)[barrier, 0], bound(s, "f1", "right"))
        assert 0.2 < off.max() < 1.7
        _, side, _ = project_to_polyline(ego_center(s), bound(s, "f1", "left"))
        assert side.max() < -0.3


# -- somebody steps out -------------------------------------------------------------------------------


def in_sight(s: Scenario, who: int) -> np.ndarray:
    """Whether the ego's middle has a free line to the middle or a corner of a track, by Shapely."""
    t = s.tracks
    fixed = [shapely.Polygon(p) for p in s.roadmap.areas.of_kind(AreaKind.OCCLUDER)]
    corners, eye = boxes(s), ego_center(s)
    tall = [
        i
        for i in range(t.num_agents)
        if i not in (s.ego, who)
        and AgentKind(int(t.kind[i])).is_motor_vehicle
        and t.size[i, 2] >= s.vehicle.height
    ]
    out = np.zeros(t.num_steps, dtype=bool)
    for k in range(t.num_steps):
        walls = shapely.union_all([*fixed, *(shapely.Polygon(corners[i, k]) for i in tall if t.valid[i, k])])
        walls = shapely.buffer(walls, -1e-3)
        shapely.prepare(walls)
        points = [*corners[who, k], t.states[who, k, :2]]
        rays = [shapely.LineString([eye[k], p]) for p in points]
        out[k] = t.valid[who, k] and not shapely.intersects(walls, rays).all()
    return out


def comers(count: int, tag: str, difficulty: float) -> list[Scenario]:
    found = []
    for seed in range(80):
        s = generate("occluded_pedestrian", seed, difficulty)
        if tag in s.tags:
            found.append(s)
            if len(found) == count:
                break
    assert len(found) == count
    return found


@pytest.mark.parametrize("hidden_by", ["van", "bus", "corner", "across"])
def test_who_steps_out_is_hidden_and_the_ego_does_not_know_before_it_sees(hidden_by: str) -> None:
    for s in comers(2, hidden_by, 0.8):
        assert s.expert is not None
        who = s.tracks.ids.index("comer")
        moving = s.tracks.speed[who] > 0.3
        seen = in_sight(s, who) & moving
        assert seen.any()
        first = int(np.argmax(seen))
        # It moves unseen for a while, and comes to light near by.
        assert moving[:first].sum() >= 2
        near = np.hypot(*(s.tracks.states[who, first, :2] - ego_center(s)[first]))
        assert near < 55.0
        speed = s.expert.states[:, SPEED]
        assert np.diff(speed[: first + 4]).min() / s.dt > -0.5
        if "crosses" in s.tags:
            # Afterwards it brakes for it.
            assert np.diff(speed[first + 3 : first + 40]).min() / s.dt < -1.0


def test_who_waits_stays_out_of_the_lane_and_lets_the_ego_pass() -> None:
    for s in comers(2, "waits", 0.3):
        who = s.tracks.ids.index("comer")
        corners = boxes(s)[who, s.tracks.valid[who]]
        lane = shapely.union_all(
            [
                shapely.Polygon(s.roadmap.polygon(i))
                for i, n in enumerate(s.roadmap.lane_ids)
                if n[:3] == "f1."
            ]
        )
        assert not any(shapely.Polygon(c).intersects(lane) for c in corners)
        assert s.tracks.speed[who, -1] < 0.05
        there, _, _ = project_to_polyline(s.tracks.states[who, -1, :2], s.route.line)
        assert project_to_polyline(ego_center(s)[-1], s.route.line)[0] > there


def test_harder_scenes_leave_less_room_to_stop() -> None:
    need = {}
    for difficulty in (0.0, 1.0):
        braking = []
        for s in comers(5, "crosses", difficulty):
            assert s.expert is not None
            who = s.tracks.ids.index("comer")
            k = int(np.argmax(in_sight(s, who) & (s.tracks.speed[who] > 0.3)))
            last = int(np.flatnonzero(s.tracks.valid[who])[-1])
            way = s.tracks.states[who, last, :2] - s.tracks.states[who, k, :2]
            # Metres from the bumper to the line on which it walks, along the ego's heading.
            normal = np.array([-way[1], way[0]]) / np.hypot(*way)
            h = s.expert.states[k, HEADING]
            gap = abs((s.tracks.states[who, k, :2] - ego_center(s)[k]) @ normal)
            room = gap / abs(np.array([np.cos(h), np.sin(h)]) @ normal) - 0.5 * EGO_LENGTH
            limit = s.roadmap.limit(s.route.lanes[0], 0.0)
            braking.append(limit**2 / (2.0 * room))
        need[difficulty] = np.mean(braking)
    # What it takes of who drives at the limit, m/s^2.
    assert need[1.0] > need[0.0] + 0.5


# -- all four -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "family",
    ["parked_vehicle", "parked_vehicle_two_way", "construction_narrowing", "occluded_pedestrian"],
)
@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_who_drives_as_the_log_did_earns_a_good_score(family: str, difficulty: float) -> None:
    from drive.api import run

    for seed in (300, 301):
        log = run("log", generate(family, seed, difficulty), traffic="log")
        assert log.header["scores"]["nuplan_cls"]["score"] >= 0.9


@pytest.mark.parametrize("family", ["parked_vehicle_two_way", "occluded_pedestrian"])
def test_buildings_stand_beside_roads_and_pavements(family: str) -> None:
    s = generate(family, 4)
    houses = [shapely.Polygon(p) for p in s.roadmap.areas.of_kind(AreaKind.OCCLUDER)]
    assert len(houses) >= 8
    ground = shapely.union_all(
        [
            drivable_polygon(s.roadmap),
            *(shapely.Polygon(p) for p in s.roadmap.areas.of_kind(AreaKind.WALKWAY)),
            *(
                shapely.Polygon(s.roadmap.polygon(int(i)))
                for i in np.flatnonzero(np.isin(s.roadmap.kind, [LaneKind.SIDEWALK, LaneKind.BICYCLE]))
            ),
        ]
    )
    assert min(ground.distance(h) for h in houses) > 0.04
    for i, house in enumerate(houses):
        assert not any(house.intersection(other).area > 1e-6 for other in houses[i + 1 :])


# -- people -------------------------------------------------------------------------------------------


def crossing_of(length: float) -> tuple[Traffic, int]:
    traffic = Traffic()
    road = traffic.add_frame(chain([(300.0, 0.0, 0.0)]))
    traffic.add_lane(TrafficLane(road, Profile.of(-1.75), 10.0))
    return traffic, road


@pytest.mark.parametrize(("pace", "accel"), [(1.3, 1.5), (3.0, 2.5), (0.8, 2.0)])
def test_a_walker_starts_and_stops_where_it_was_told(pace: float, accel: float) -> None:
    rng = np.random.default_rng(1)
    traffic, _ = crossing_of(300.0)
    crossing = add_crossing(traffic, traffic.frames[0], 150.0, -8.0, 12.0)
    assert crossing.at(-8.0) == 0.0
    assert crossing.at(2.0) == 10.0
    body = walker_body(rng)
    stays = add_walker(traffic, crossing, "stays", body, pace, 1.0, 0.0, accel=accel, stop_at=9.0)
    goes = add_walker(
        traffic, crossing, "goes", body, pace, 1.0, 0.0, accel=accel, stop_at=6.0, rest=1.0, bias=1.0
    )
    drive = traffic.run(-1.0, 20.0)
    assert drive.log[stays, 0, 0] == 1.0
    assert drive.log[stays, -1, 0] == pytest.approx(9.0, abs=0.1)
    assert drive.log[stays, -1, 1] < 0.01
    # Pace times time less the lag of the start.
    assert drive.log[stays, 20, 0] == pytest.approx(1.0 + 2.0 * pace - start_lag(pace, accel), abs=0.1)
    before = int(np.argmax(drive.log[goes, :, 0] > 9.0))
    halt = int(np.argmin(drive.log[goes, 20:before, 1])) + 20
    assert drive.log[goes, halt, 0] == pytest.approx(6.0, abs=0.25)
    # Who walks on comes to a stand before the way of 20 m ends.
    assert 9.0 < drive.log[goes, -1, 0] < 20.0 - 0.5 * body.length
    assert drive.log[goes, -1, 1] < 0.05 or drive.log[goes, -1, 0] < 19.0
    # By hand: from 3 m/s, 2.5 m/s^2 down to 2.5 m/s takes 0.55 m, and as many metres as m/s from there.
    assert stop_way(3.0, 2.5) == pytest.approx(0.55 + 2.5)


def test_strollers_keep_to_the_pavement_and_never_meet() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        traffic = Traffic()
        curve = winding(rng, 400.0, (60.0, 200.0), (40.0, 90.0), (20.0, 60.0))
        frames = traffic.add_frame(curve), traffic.add_frame(curve.reversed())
        people = stroll(rng, traffic, frames, -6.0, 2.4, (100.0, 260.0), "p", most=12)
        assert len(people) >= 4
        drive = traffic.run(-6.0, 15.0)
        states = [drive.rear_states(i) for i in people]
        for x in states:
            _, side, _ = project_to_polyline(x[:, :2], curve.points)
            assert np.abs(side + 6.0).max() < 1.25
            steps = np.hypot(*np.diff(x[:, :2], axis=0).T) / 0.1
            assert np.abs(steps - 0.5 * (x[1:, SPEED] + x[:-1, SPEED])).max() < 0.05
        for i, a in enumerate(states):
            for b in states[i + 1 :]:
                pairs = (box_corners(x[:, :2], x[:, HEADING], 0.5, 0.6) for x in (a, b))
                assert not boxes_overlap(*pairs).any()


# -- buildings ----------------------------------------------------------------------------------------


def test_a_footprint_by_hand() -> None:
    straight = chain([(100.0, 0.0, 0.0)])
    ring = footprint(straight, 10.0, 30.0, -5.0, -15.0)
    assert {tuple(np.round(p, 9)) for p in ring} == {(10.0, -5.0), (30.0, -5.0), (30.0, -15.0), (10.0, -15.0)}
    assert shapely.Polygon(footprint(straight, 0.0, 20.0, 4.0, 14.0, notch=0.5)).area == pytest.approx(150.0)


def test_buildings_that_would_touch_a_lane_or_each_other_are_left_out() -> None:
    rng = np.random.default_rng(3)
    curve = winding(rng, 500.0, (40.0, 90.0), (40.0, 90.0), (10.0, 40.0))
    lanes = carriageway(1, 3.5, 10.0)
    walk = strip("fw", lanes[0], 2.0, LaneKind.SIDEWALK)
    atlas = Atlas()
    add_road(atlas, Road(curve, (*lanes, walk)), 0.0, 500.0)
    middle = curve.pose(np.array([250.0]))[0, :2]
    atlas.builder.add_area(middle + 40.0 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]), AreaKind.WALKWAY)
    # A building line in the middle of the pavement: only those with a setback have room.
    rings = [*row(rng, curve, (20.0, 480.0), -4.5), *row(rng, curve, (20.0, 480.0), 3.0)]
    added = add_buildings(atlas, rings)
    m = atlas.build()
    houses = [shapely.Polygon(p) for p in m.areas.of_kind(AreaKind.OCCLUDER)]
    assert 0 < added == len(houses) < len(rings)
    ground = [shapely.Polygon(m.polygon(i)) for i in range(m.num_lanes)]
    ground += [shapely.Polygon(p) for p in m.areas.of_kind(AreaKind.WALKWAY)]
    assert min(g.distance(h) for g in ground for h in houses) >= 0.299
    assert all(houses[i].disjoint(h) for i in range(len(houses)) for h in houses[i + 1 :])


# -- drivers ------------------------------------------------------------------------------------------


def lane_of(length: float = 400.0) -> tuple[Traffic, int]:
    traffic = Traffic()
    frame = traffic.add_frame(chain([(length, 0.0, 0.0)]))
    return traffic, traffic.add_lane(TrafficLane(frame, Profile.of(0.0), 14.0))


def test_a_stretch_is_driven_slowly_and_reached_gently() -> None:
    traffic, lane = lane_of()
    slow = (Slow(150.0, 190.0, 6.0),)
    i = traffic.add(Actor("ego", EGO_BODY, lane, 20.0, 13.0, Driver(factor=0.95, brake=1.6), slows=slow))
    drive = traffic.run(0.0, 30.0)
    s, v, a = drive.log[i].T
    assert v[(s > 151.0) & (s < 189.0)].max() < 6.2
    assert v[s < 80.0].min() > 12.0
    assert a.min() > -1.8
    assert v[s > 260.0].max() > 10.0


def test_a_driver_takes_notice_from_the_given_time_on() -> None:
    def drive_with(when: float) -> np.ndarray:
        traffic, lane = lane_of()
        i = traffic.add(Actor("ego", EGO_BODY, lane, 20.0, 10.0, Driver(factor=0.75)))
        crossing = add_crossing(traffic, traffic.frames[0], 90.0, -10.0, 10.0)
        who = add_walker(traffic, crossing, "w", walker_body(np.random.default_rng(0)), 1.2, 0.5, 0.0)
        zone = Zone(crossing.frame, crossing.at(-2.0), crossing.at(2.0), 3.0)
        traffic.gates.append(Gate(0, 86.0, zones=(zone,)))
        aware = np.full((2, 2), -np.inf)
        aware[i, who] = when
        return traffic.run(-1.0, 14.0, aware=aware).log[i]

    always, late, never = drive_with(-5.0), drive_with(3.0), drive_with(1e3)
    assert np.array_equal(late[:30], never[:30])
    assert not np.array_equal(always[:30], never[:30])
    assert late[31:60, 1].min() < never[31:60, 1].min() - 1.0
    # Nobody who is not noticed is braked for.
    assert never[:, 1].min() > 9.0


def test_parked_vehicles_are_no_reason_to_slow_down_where_they_leave_room() -> None:
    traffic, lane = lane_of()
    i = traffic.add(Actor("ego", EGO_BODY, lane, 20.0, 10.0, Driver(factor=0.75)))
    van = Body(AgentKind.VEHICLE, 5.5, 2.0, 2.4, 1.5)
    traffic.add(Actor("van", van, lane, 120.0, 0.0, bias=-2.4, mode=PARKED))
    assert traffic.run(0.0, 12.0).log[i, :, 1].min() > 9.5

"""Parts of the bridge that need no client: pedals, stop signs, speeds for bends, the agent's settings."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from drive.datasets.carla_routes.reader import read_routes
from drive.errors import InputError
from drive.planner import Control, ControlKind, Plan
from drive.roadmap import LaneSpec, RoadMap, RoadMapBuilder
from drive.roadmap.model import AreaKind
from drive.scenario import SignalState
from drive.sim.carla.advice import advised
from drive.sim.carla.agent import Config, get_entry_point
from drive.sim.carla.eyes import Figures, kind_of
from drive.sim.carla.pedals import Foot
from drive.sim.carla.stops import StopSigns
from drive.trajectory import Trajectory
from drive.vehicle import AgentKind, VehicleParams

CURVE = np.array(((0.0, 1.0), (20.0 / 3.6, 0.9), (60.0 / 3.6, 0.8), (120.0 / 3.6, 0.7)))
FIGURES = Figures(VehicleParams(), -1.4, CURVE, math.radians(70.0), 1800.0)


def straight_plan(speed: float, end: float, side: float = 0.0) -> Plan:
    """4 s ahead from a speed to another one, along x, and `side` metres to the left."""
    t = 0.1 * np.arange(41)
    v = np.linspace(speed, end, 41)
    states = np.zeros((41, 7))
    states[:, 0], states[:, 1], states[:, 3] = np.concatenate(([0.0], np.cumsum(0.1 * v[1:]))), side, v
    return Plan(Trajectory(t, states))


def at(speed: float) -> np.ndarray:
    return np.array([0.0, 0.0, 0.0, speed, 0.0, 0.0, 0.0])


def test_faster_and_slower_press_one_pedal_each() -> None:
    up, down, hold = (Foot(FIGURES).follow(straight_plan(8.0, v), 0.0, at(8.0)) for v in (16.0, 0.0, 8.0))
    assert up.brake == 0.0
    assert up.throttle > hold.throttle > 0.0
    assert down.throttle == 0.0
    assert 0.1 < down.brake < 0.5  # 2 m/s^2 of the 7.4 that the full brake has
    assert up.steer == hold.steer == 0.0


def test_a_plan_that_stands_is_held_by_the_brake() -> None:
    pressed = Foot(FIGURES).follow(straight_plan(0.0, 0.0), 0.0, at(0.05))
    assert (pressed.throttle, pressed.steer) == (0.0, 0.0)
    assert pressed.brake >= 0.5


@pytest.mark.parametrize("speed", [0.2, 0.5, 0.9, 1.2])
def test_a_plan_that_stops_is_not_crept_on_from(speed: float) -> None:
    """What was learnt at speed (the car does 0.6 m/s^2 less than was asked for) is no throttle at a line."""
    foot = Foot(FIGURES)
    foot.rest = -0.6
    pressed = foot.follow(straight_plan(0.2, 0.0), 0.0, at(speed))
    assert pressed.throttle == 0.0
    assert pressed.brake > 0.04


def test_a_plan_beside_the_ego_is_come_to_gently() -> None:
    """`pdm`'s plans jump a metre to the side at once, and back; a pursuit of them shakes the wheels."""
    foot, steers = Foot(FIGURES), []
    for k in range(20):
        plan = straight_plan(5.5, 5.5, side=1.0 if k // 2 % 2 else 0.0)
        plan.trajectory.times[:] += 0.05 * k
        steers.append(foot.follow(plan, 0.05 * k, at(5.5)).steer)
    assert np.abs(np.diff(steers)).max() < 0.08


def test_left_of_us_is_negative_for_carla_and_faster_cars_steer_more_for_a_bend() -> None:
    left = Foot(FIGURES).follow(straight_plan(8.0, 8.0, side=1.0), 0.0, at(8.0))
    right = Foot(FIGURES).follow(straight_plan(8.0, 8.0, side=-1.0), 0.0, at(8.0))
    assert left.steer < 0.0 < right.steer
    assert left.steer == pytest.approx(-right.steer)
    # The steering curve takes a share away at speed, so that the same bend asks for more.
    foot = Foot(FIGURES)
    assert abs(foot._steering(0.05, 25.0)) > abs(foot._steering(0.05, 5.0))


def test_pedals_given_by_a_planner_are_pressed() -> None:
    values = np.array([[0.7, 0.2, 0.0], [0.0, -0.4, 1.5]])
    plan = straight_plan(5.0, 5.0)
    plan = Plan(plan.trajectory, Control(ControlKind.PEDALS, values, 0.1))
    foot = Foot(FIGURES)
    first, second = foot.follow(plan, 0.05, at(5.0)), foot.follow(plan, 0.15, at(5.0))
    assert (first.throttle, first.steer, first.brake) == (0.7, -0.2, 0.0)
    assert (second.throttle, second.steer, second.brake) == (0.0, 0.4, 1.0)


def lane(name: str, points: np.ndarray, after: tuple[str, ...] = (), stop: float | None = None) -> LaneSpec:
    heading = np.gradient(points, axis=0)
    heading /= np.hypot(*heading.T)[:, None]
    normal = np.stack((-heading[:, 1], heading[:, 0]), axis=1)
    spec = LaneSpec(
        id=name, left=points + 1.75 * normal, right=points - 1.75 * normal, center=points, speed_limit=15.0
    )
    spec.successors = list(after)
    spec.stop_station = stop
    return spec


@pytest.fixture
def bend() -> RoadMap:
    """50 m along x, then a quarter circle of 10 m to the left, with a stop line where it begins."""
    builder = RoadMapBuilder()
    x = np.linspace(0.0, 50.0, 26)
    a = np.linspace(0.0, math.pi / 2.0, 32)
    builder.add(lane("way", np.stack((x, 0.0 * x), axis=1), ("turn",)))
    builder.add(lane("turn", np.stack((50.0 + 10.0 * np.sin(a), 10.0 - 10.0 * np.cos(a)), axis=1), stop=0.0))
    return builder.build()


def test_bends_get_the_speed_that_asks_for_3_m_s2(bend: RoadMap) -> None:
    limit = advised(bend).speed_limit
    assert limit[0] == 15.0
    assert limit[1] == pytest.approx(math.sqrt(3.0 * 10.0), rel=0.05)
    assert bend.speed_limit[1] == 15.0


BOX = np.array(((49.0, 2.0), (45.0, 2.0), (45.0, -2.0), (49.0, -2.0)))


def test_a_stop_sign_is_red_until_the_ego_stood_before_it(bend: RoadMap) -> None:
    signs = StopSigns.place([BOX, BOX + 500.0], ["stop_sign_7", "stop_sign_8"], bend)
    assert signs.known.signal_ids == ("stop_sign_7",)  # the other one rules no lane
    assert signs.known.signal.tolist() == [-1, 0]
    assert bend.signal.tolist() == [-1, -1]
    assert signs.logged.signal_ids == ()
    assert signs.logged.area_ids == ("stop_sign_7",)
    assert signs.logged.areas.kind.tolist() == [AreaKind.STOP]
    vehicle = VehicleParams()

    def seen(x: float, speed: float) -> list[int]:
        return signs.states(np.array([x, 0.0, 0.0, speed, 0.0, 0.0, 0.0]), vehicle).tolist()

    red, green = [int(SignalState.RED)], [int(SignalState.GREEN)]
    assert seen(10.0, 0.0) == red  # it stands, but far away
    assert seen(44.0, 3.0) == red  # it rolls through
    assert seen(44.0, 0.0) == green
    assert seen(50.0, 6.0) == green
    assert seen(90.0, 6.0) == red  # for the next time round


@pytest.mark.parametrize(
    ("type_id", "attributes", "kind"),
    [
        ("vehicle.tesla.model3", {"base_type": "car"}, AgentKind.VEHICLE),
        ("vehicle.mitsubishi.fusorosa", {"base_type": "bus"}, AgentKind.BUS),
        ("vehicle.bh.crossbike", {"number_of_wheels": "2"}, AgentKind.BICYCLE),
        ("vehicle.kawasaki.ninja", {"number_of_wheels": "2"}, AgentKind.MOTORCYCLE),
        ("vehicle.unknown.thing", {}, AgentKind.VEHICLE),
        ("walker.pedestrian.0001", {}, AgentKind.PEDESTRIAN),
        ("static.prop.streetbarrier", {}, AgentKind.STATIC),
        ("traffic.traffic_light", {}, None),
        ("sensor.other.imu", {}, None),
    ],
)
def test_who_is_who(type_id: str, attributes: dict[str, str], kind: AgentKind | None) -> None:
    assert kind_of(type_id, attributes) == kind


def test_the_agents_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAVE_PATH", raising=False)
    assert get_entry_point() == "ToolkitAgent"
    assert Config.read("idm") == Config("idm")
    assert Config.read("") == Config("pdm")
    file = tmp_path / "planner.toml"
    file.write_text('planner = "idm"\nseed = 3\nout = "runs"\n[settings]\nheadway = 1.2\n')
    made = Config.read(f"{file}+weights.bin")  # as Bench2Drive joins them
    assert made == Config("idm", {"headway": 1.2}, 3, tmp_path / "runs")
    file.write_text("plannr = 1")
    with pytest.raises(InputError, match=r"^planner.toml: 'plannr' is none of planner, settings, seed, out$"):
        Config.read(str(file))
    file.write_text("seed = 'x'")
    with pytest.raises(InputError, match=r"^planner.toml: seed is no int$"):
        Config.read(str(file))
    with pytest.raises(InputError, match=r"^none.toml: no readable configuration"):
        Config.read("none.toml")


ROUTES = """<routes><route id="5" town="Town01">
  <waypoints><position x="1" y="2" z="0"/><position x="50" y="2" z="0"/></waypoints>
  <scenarios><scenario name="a" type="ParkedObstacle">
    <trigger_point x="10" y="-4" z="0.5" yaw="90"/><distance value="41"/><flow from="14" to="34"/>
  </scenario><scenario name="b" type="ControlLoss"/></scenarios></route></routes>"""


def test_scenarios_of_a_route_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "routes.xml"
    path.write_text(ROUTES)
    (route,) = read_routes(path)
    (event,) = route.events
    assert route.scenarios == ("ParkedObstacle", "ControlLoss")
    assert event.trigger == pytest.approx((10.0, 4.0, 0.5, -math.pi / 2.0))
    assert (event.value("distance", 40.0), event.value("flow.to", 0.0)) == (41.0, 34.0)
    assert event.value("speed", 7.0) == 7.0
    path.write_text(ROUTES.replace('yaw="90"', 'yaw="east"'))
    with pytest.raises(InputError, match=r"routes.xml.*yaw='east' is no angle"):
        read_routes(path)


def test_a_planner_that_needs_the_log_is_refused() -> None:
    from drive.registry import load_planner
    from drive.sim.carla.bridge import check_planner

    with pytest.raises(InputError, match="needs the log, which the CARLA bridge does not give it"):
        check_planner(load_planner("log"))


def forked() -> RoadMap:
    """A lane of 100 m that parts into two of 700 m, each of which leads back to where it began."""
    builder, x = RoadMapBuilder(), np.linspace(100.0, 800.0, 71)
    builder.add(lane("in", np.stack((x[:11] - 100.0, 0.0 * x[:11]), axis=1), ("up", "down")))
    for name, side in (("up", 30.0), ("down", -30.0)):
        builder.add(lane(name, np.stack((x, side * (x - 100.0) / 700.0), axis=1), ("in",)))
    return builder.build()


def test_a_way_is_drawn_by_chance_and_goes_on_as_it_was() -> None:
    pytest.importorskip("torch", reason="the traffic policy needs torch")
    from random import Random

    from drive.sim.carla.crowd import WAY, drawn_way

    roads = forked()
    ways = [drawn_way(roads, 0, Random(k)) for k in range(20)]
    assert {way[1] for way in ways} == {1, 2}
    for way in ways:
        assert sum(roads.length[n] for n in way) >= WAY
        assert all(b in roads.successors(a) for a, b in pairwise(way))
        on = drawn_way(roads, way[1], Random(99), way)
        assert on[: len(way) - 1] == way[1:]


def test_cars_are_driven_by_the_manager_or_by_a_style() -> None:
    from drive.sim.carla.bridge import check_drivers

    check_drivers("carla_tm")
    with pytest.raises(InputError, match=r"driven by carla_tm or by rift:STYLE, not by 'idm'"):
        check_drivers("idm")

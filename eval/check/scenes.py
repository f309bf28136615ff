"""Small scenes made by hand, at the edge of sense: what a planner must survive, whatever it is good at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drive.roadmap import LaneSpec, RoadMap, RoadMapBuilder, route_line
from drive.scenario import Goal, Route, Scenario, SignalState, Tracks, tracks_from_rows
from drive.vehicle import AgentKind, VehicleParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Car = tuple[float, float, float]

SECONDS = 15.0
WIDTH = 3.5
RADIUS = 80.0


def straight_map(length: float = 800.0, limit: float = 15.0, stop_at: float | None = None) -> RoadMap:
    """Two lanes along x, `a` about y = 0 and `b` left of it; a signal on both where `stop_at` is given."""
    x = np.linspace(0.0, length, 161)
    return _two_lanes(lambda side: np.column_stack((x, np.full_like(x, side))), limit, stop_at)


def bend_map(limit: float = 12.0) -> RoadMap:
    """Two lanes on half a circle to the left; lane `a` has its middle at `RADIUS`, centre (0, RADIUS)."""
    angle = np.linspace(0.0, np.pi, 181)
    return _two_lanes(
        lambda side: np.column_stack(
            ((RADIUS - side) * np.sin(angle), RADIUS - (RADIUS - side) * np.cos(angle))
        ),
        limit,
        90.0,
    )


def _two_lanes(line: Callable[[float], Floats], limit: float, stop_at: float | None) -> RoadMap:
    """Lanes `a` and, left of it, `b`; `line(side)` is the polyline `side` metres left of a's middle."""
    builder = RoadMapBuilder()
    for name, low in (("a", -0.5 * WIDTH), ("b", 0.5 * WIDTH)):
        builder.add(
            LaneSpec(
                name,
                line(low + WIDTH),
                line(low),
                speed_limit=limit,
                left_lane="b" if name == "a" else None,
                right_lane="a" if name == "b" else None,
                signal="light" if stop_at is not None else None,
                stop_station=stop_at,
            )
        )
    return builder.build()


def straight_scene(
    roadmap: RoadMap,
    cars: Sequence[Car] = (),
    speed: float = 10.0,
    start: float = 20.0,
    signals: NDArray[np.uint8] | None = None,
    kinds: Sequence[AgentKind] | None = None,
    dt: float = 0.1,
) -> Scenario:
    """The ego at (start, 0) at a constant `speed`; `cars` are (x, y, speed) of others, driving along x."""
    t = dt * np.arange(round(SECONDS / dt) + 1)
    rear = VehicleParams().rear_axle_to_center
    rows = [
        np.column_stack((x + v * t, np.full_like(t, y), 0.0 * t, np.full_like(t, v), 0.0 * t))
        for x, y, v in [(start + rear, 0.0, speed), *cars]
    ]
    initial = np.array([start, 0.0, 0.0, speed, 0.0, 0.0, 0.0])
    return _scene("straight", roadmap, rows, initial, np.array([700.0, 0.0]), dt, signals, kinds)


def bend_scene() -> Scenario:
    """A bend with a car ahead, one beside, a walker on the verge, and a signal that turns red."""
    dt = 0.1
    t = dt * np.arange(round(SECONDS / dt) + 1)

    def circling(station: float, radius: float, speed: float) -> Floats:
        a = (station + speed * t) / radius
        pose = (radius * np.sin(a), RADIUS - radius * np.cos(a), a)
        return np.column_stack((*pose, speed * np.cos(a), speed * np.sin(a)))

    vehicle, speed = VehicleParams(), 9.0
    ego = circling(20.0, RADIUS, speed)
    a = 20.0 / RADIUS
    middle = np.array([RADIUS * np.sin(a), RADIUS - RADIUS * np.cos(a)])
    rear = middle - vehicle.rear_axle_to_center * np.array([np.cos(a), np.sin(a)])
    initial = np.array([*rear, a, speed, 0.0, np.arctan(vehicle.wheelbase / RADIUS), speed / RADIUS])
    others = [circling(45.0, RADIUS, 6.0), circling(25.0, RADIUS - WIDTH, 10.0), circling(70.0, 88.0, 1.2)]
    kinds = [AgentKind.VEHICLE, AgentKind.TRUCK, AgentKind.PEDESTRIAN]
    lights = np.where(t < 1.0, SignalState.GREEN, SignalState.RED)[None].astype(np.uint8)
    end = np.array([0.0, 2.0 * RADIUS])
    return _scene("bend", bend_map(), [ego, *others], initial, end, dt, lights, kinds)


def _scene(
    family: str,
    roadmap: RoadMap,
    states: Sequence[Floats],
    initial: Floats,
    goal: Floats,
    dt: float,
    signals: NDArray[np.uint8] | None,
    kinds: Sequence[AgentKind] | None,
) -> Scenario:
    samples, lanes = len(states[0]), (0,)
    rows = [
        (
            f"car{k}",
            AgentKind.VEHICLE if kinds is None or k == 0 else kinds[k - 1],
            (4.8, 1.9, 1.5),
            row,
            np.ones(samples, dtype=np.bool_),
        )
        for k, row in enumerate(states)
    ]
    if signals is None:
        signals = np.zeros((len(roadmap.signal_ids), samples), dtype=np.uint8)
    return Scenario(
        id=f"test/{family}/0",
        dt=dt,
        duration=SECONDS,
        environment=roadmap,
        tracks=tracks_from_rows(rows),
        ego=0,
        initial=initial,
        vehicle=VehicleParams(),
        route=Route(lanes, (0,), route_line(roadmap, lanes), Goal(position=goal)),
        expert=None,
        signals=signals,
        family=family,
    )


def at(scene: Scenario, *state: float) -> Scenario:
    """The scene with its ego at x, y, heading, speed (and acceleration, steering, yaw rate)."""
    initial = np.zeros(7)
    initial[: len(state)] = state
    return scene.with_(initial=initial)


def seen(scene: Scenario, valid: NDArray[np.bool_]) -> Scenario:
    """The scene in which road users are there only where `valid (A, T)`."""
    t = scene.tracks
    tracks = Tracks(np.where(valid[..., None], t.states, 0.0), valid, t.size, t.kind, t.rear_to_centre, t.ids)
    return scene.with_(tracks=tracks)


def nobody() -> Scenario:
    return straight_scene(straight_map())


def deserted() -> Scenario:
    """Three cars that are gone after half a second: their rows stay, and none is valid."""
    scene = straight_scene(straight_map(), [(45.0, 0.0, 8.0), (60.0, 3.5, 5.0), (80.0, 0.0, 9.0)])
    valid = scene.tracks.valid.copy()
    valid[1:, 5:] = False
    return seen(scene, valid)


def blocked() -> Scenario:
    return straight_scene(straight_map(), [(80.0, 0.0, 0.0), (80.0, 3.5, 0.0)])


def crowd() -> Scenario:
    """Sixty people on and beside the road."""
    rng = np.random.default_rng(0)
    places = np.column_stack((rng.uniform(40.0, 120.0, 60), rng.uniform(-6.0, 8.0, 60), np.zeros(60)))
    kinds = [AgentKind.PEDESTRIAN] * 60
    return straight_scene(straight_map(), [(x, y, v) for x, y, v in places.tolist()], kinds=kinds)


def vanishing() -> Scenario:
    """Cars that come and go, one of which is there for a single sample."""
    scene = straight_scene(
        straight_map(), [(45.0, 0.0, 8.0), (60.0, 3.5, 5.0), (70.0, 0.0, 3.0), (50.0, 3.5, 9.0)]
    )
    valid = scene.tracks.valid.copy()
    for row in range(1, 4):
        valid[row, 20 * row : 20 * row + 15] = False
    valid[1:4, 100:] = False
    valid[4, 1:] = False
    return seen(scene, valid)


def overlapping() -> Scenario:
    return straight_scene(straight_map(), [(22.0, 0.0, 0.0), (21.0, 0.5, 3.0)])


def ten_metres_of_road() -> Scenario:
    """Road and route end right ahead."""
    line = np.array([[0.0, 0.0], [10.0, 0.0]])
    x = np.array([0.0, 5.0, 10.0])
    builder = RoadMapBuilder()
    builder.add(LaneSpec("a", np.column_stack((x, x * 0.0 + 1.75)), np.column_stack((x, x * 0.0 - 1.75))))
    scene = at(nobody(), 2.0, 0.0, 0.0, 5.0)
    return scene.with_(environment=builder.build(), route=Route((0,), (0,), line, Goal(position=line[1])))


def end_of_route() -> Scenario:
    """The route ends 25 m ahead on a road that goes on."""
    scene = nobody()
    line = scene.route.line
    line = line[line[:, 0] <= 45.0]
    return scene.with_(route=replace(scene.route, line=line, goal=Goal(position=line[-1])))


def standing() -> Scenario:
    return at(straight_scene(straight_map(), [(40.0, 0.0, 0.0)]), 20.0)


def slow_clock() -> Scenario:
    return straight_scene(straight_map(), [(60.0, 0.0, 5.0)], dt=0.2)


@dataclass(frozen=True, slots=True)
class Trial:
    """A scene that planners must get through; `realtime` tells them their time budget, `detection` is their
    sensor.

    Everybody else keeps to the log: cars that IDM drives would not vanish.
    """

    name: str
    make: Callable[[], Scenario]
    realtime: bool = False
    detection: str = "none"


TRIALS = (
    Trial("an empty road", deserted),
    Trial("no agents at all", nobody),
    Trial("a blocked road", blocked),
    Trial("a crowd", crowd),
    Trial("vanishing agents", vanishing),
    Trial("an agent overlapping the ego", overlapping),
    Trial("the end of the route", end_of_route),
    Trial("the end of the road", ten_metres_of_road),
    Trial("a standing ego", standing),
    Trial("a clock of 0.2 s", slow_clock),
    Trial("a time budget", bend_scene, realtime=True),
    Trial("a faulty sensor", bend_scene, detection="position=2,speed=1,flicker=1,near=0"),
)

"""The rover planner as a planner: what it answers in the loop, under a shadow, and to impossible tasks."""

from dataclasses import replace

import numpy as np
import pytest

from drive.datasets.generate import generate
from drive.errors import InputError, ScenarioError
from drive.eval.check.scenes import bend_scene
from drive.planner import Observation, PlanStatus, check_plan
from drive.planners.rover.baselines import RoverFree, RoverSlope
from drive.planners.rover.config import RoverConfig
from drive.planners.rover.planner import Rover
from drive.scenario import Goal, Route, Task
from drive.terrain import Terrain
from drive.vehicle import SPEED, RoverParams

CONFIG = RoverConfig(track="host")


def flat(height=None, times=(0.0,), shadow=None):
    heights = np.zeros((81, 121)) if height is None else height
    sun = np.tile([[0.0, np.pi / 2.0]], (len(times), 1))
    empty = np.zeros(0) if shadow is None else shadow
    return Terrain(heights, 0.5, 1.62, np.array(times), sun, empty)


def task(terrain=None, goal=(45.0, 20.0), rover=None):
    """From (10, 20), heading along x; scene coordinates."""
    scene = generate("lunar_reference", 0)
    position = None if goal is None else np.asarray(goal, dtype=np.float64)
    return replace(
        Task.of(scene), environment=terrain or flat(), rover=rover or RoverParams(),
        route=Route(goal=Goal(position=position)),
    )  # fmt: skip


def seen(x=10.0, y=20.0, heading=0.0, speed=0.0, time=0.0, **extras):
    ego = np.zeros(10)
    ego[:4] = x, y, heading, speed
    none = np.zeros(0)
    return Observation(
        time, round(time / 0.2), ego, ego[None], np.zeros((0, 5)), np.zeros((0, 1, 5)),
        np.zeros((0, 1), dtype=bool), np.zeros((0, 3)), none.astype(np.uint8), none.astype(np.int64),
        none.astype(bool), none, np.zeros((0, 3, 3)), np.zeros((0, 2, 2)), none.astype(np.uint8),
        np.full(2, np.nan), extras=extras,
    )  # fmt: skip


def plan(config=CONFIG, observation=None, **about):
    observation = observation or seen()
    return check_plan(Rover(config).start(task(**about)).plan(observation), observation.time)


def test_a_plan_on_flat_ground_is_straight_and_at_full_speed():
    found = plan()
    states = found.trajectory.states
    assert found.status is PlanStatus.OK
    assert found.reason == "bound by the speed limit"
    assert states[0, :4] == pytest.approx([10.0, 20.0, 0.0, 0.05], rel=1e-3)
    assert np.abs(states[:, 1] - 20.0).max() < 0.05
    assert states[:, SPEED].max() == pytest.approx(0.8, rel=2e-3)
    assert found.trajectory.duration == pytest.approx(60.0)
    # 35 m at 0.8 m/s are 43.75 s; the ends take longer. It stands at the goal from then on.
    arrival = found.figures["arrival"]
    assert 44.0 < arrival < 55.0
    late = states[found.trajectory.times > arrival]
    assert late[:, :2] == pytest.approx(np.tile([45.0, 20.0], (len(late), 1)), abs=1e-6)
    assert (late[:, SPEED] == 0.0).all()
    # Full speed on the flat draws 60 + (70 + 48 + 25.6) * 0.8 W; starting draws no more.
    assert found.figures["planned_peak"] == pytest.approx(60.0 + 143.6 * 0.8, abs=2.0)


def test_equal_observations_give_equal_plans_and_leave_them_alone():
    first, second = (seen(), seen())
    a, b = plan(observation=first), plan(observation=second)
    assert np.array_equal(a.trajectory.states, b.trajectory.states)
    assert np.array_equal(first.ego, seen().ego)


def test_the_plan_is_kept_shifted_and_made_anew():
    session = Rover(CONFIG).start(task())
    first = session.plan(seen())
    at = first.trajectory.at(20.0)
    kept = session.plan(seen(*at[:4], time=20.0))
    assert kept.trajectory.at(30.0)[:2] == pytest.approx(first.trajectory.at(30.0)[:2], abs=1e-6)
    # Four seconds late, the same way is driven four seconds later.
    late = session.plan(seen(*at[:4], time=24.0))
    assert late.trajectory.at(34.0)[:2] == pytest.approx(first.trajectory.at(30.0)[:2], abs=0.1)
    # Two metres beside it, a new one begins there.
    beside = session.plan(seen(at[0], at[1] + 2.0, 0.0, 0.8, time=24.0))
    assert beside.trajectory.states[0, :2] == pytest.approx([at[0], at[1] + 2.0])
    assert beside.status is PlanStatus.OK


def test_a_rover_that_faces_away_turns_on_the_spot_first():
    found = plan(observation=seen(heading=np.pi - 0.1))
    states, times = found.trajectory.states, found.trajectory.times
    turning = times < (np.pi - 0.1) / 0.3 - 0.2
    assert states[turning, :2] == pytest.approx(np.tile([10.0, 20.0], (turning.sum(), 1)))
    assert np.abs(states[turning, 6]).max() == pytest.approx(0.3, rel=0.1)
    assert states[-1, :2] == pytest.approx([45.0, 20.0], abs=0.5)


def shadow_band(first, last):
    """Dark for x in [20, 30] m between two times, light before and after."""
    times = (0.0, first - 1.0, first, last, last + 1.0, 200.0)
    shadow = np.zeros((6, 81, 121))
    shadow[2:4, :, 40:61] = 1.0
    return flat(times=times, shadow=shadow)


def test_a_shadow_that_comes_is_slowed_for_before_it_is_there():
    # In the sun 70 + 60 + 100 W are there, in the dark 130: what 0.57 m/s on the flat draw.
    rover = replace(
        RoverParams(), generator_power=70.0, battery_power_max=60.0, solar_power_max=100.0,
        battery_capacity=4e4, battery_start=2e4, battery_min=1e4,
    )  # fmt: skip
    dark = shadow_band(10.0, 60.0)
    found, light = plan(terrain=dark, rover=rover), plan(rover=rover)
    assert found.status is PlanStatus.OK
    assert found.reason == "bound by the supply"
    t, s = found.trajectory.times, found.trajectory.states
    v = s[:, SPEED]
    resist = (70.0 + 60.0 * v + 40.0 * v * v) * v
    drawn = 60.0 + resist + np.maximum(225.0 * s[:, 4] * v, 0.0)
    allowed = np.minimum(200.0, 130.0 + 100.0 * dark.light_at(s[0, :2], 0.0) * np.array(
        [float(dark.light_at(p, when)) for p, when in zip(s[:, :2], t, strict=True)]
    ))  # fmt: skip
    assert (drawn <= 1.03 * allowed).all()
    inside = (s[:, 0] > 21.0) & (s[:, 0] < 29.0) & (t < 60.0)
    assert inside.any()
    assert v[inside].max() < 0.6
    entering = np.argmax(s[:, 0] > 19.5)
    assert v[entering] < 0.75
    assert light.trajectory.at(found.trajectory.times)[entering, SPEED] > 0.78
    # A shadow that is gone before the rover comes costs nothing.
    gone = plan(terrain=shadow_band(2.0, 5.0), rover=rover)
    assert gone.figures["arrival"] == pytest.approx(light.figures["arrival"], abs=0.5)


def wall():
    height = np.zeros((81, 121))
    height[:, 50:70] = 6.0
    return flat(height)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"goal": None}, "no goal"),
        ({"goal": (99.0, 20.0)}, "outside of the terrain"),
        ({"goal": (-3.0, 20.0)}, "outside of the terrain"),
        ({"terrain": wall()}, "slope limit"),
        ({"rover": RoverParams(power_limit=50.0)}, "power limit"),
        ({"rover": RoverParams(energy_budget=2000.0)}, "energy budget"),
        (
            {
                "rover": RoverParams(
                    solar_power_max=0.0, generator_power=0.0, battery_start=4e3, battery_min=1e3
                )
            },
            "battery",
        ),
        (
            {"rover": RoverParams(solar_power_max=0.0, generator_power=20.0, battery_power_max=10.0)},
            "power limit",
        ),
    ],
)
def test_impossible_tasks_are_answered_by_a_stop_and_what_stands_against_them(about, words):
    moving = seen(speed=0.5)
    for observation in (seen(), moving):
        found = plan(observation=observation, **about)
        assert found.status is PlanStatus.INFEASIBLE
        assert words in found.reason
        assert found.trajectory.states[-1, SPEED] == 0.0
    # Half a metre a second at 0.3 m/s^2 are 0.42 m.
    assert found.trajectory.states[-1, 0] == pytest.approx(10.0 + 0.5**2 / 0.6, abs=0.02)


def test_a_failure_is_not_searched_again_at_every_call():
    session = Rover(CONFIG).start(task(rover=RoverParams(energy_budget=2000.0)))
    first = session.plan(seen())
    assert session.plan(seen(time=1.0)).reason == first.reason
    assert session.plan(seen(time=9.0)).status is PlanStatus.INFEASIBLE


def test_a_spent_time_budget_gives_a_stop_or_the_old_motion():
    hurried = replace(seen(), time_budget=1e-9)
    session = Rover(CONFIG).start(task())
    assert session.plan(hurried).status is PlanStatus.TIMEOUT
    first = session.plan(seen())
    moved = replace(seen(12.0, 24.0, 0.0, 0.5, time=10.0), time_budget=1e-9)
    old = session.plan(moved)
    assert old.status is PlanStatus.TIMEOUT
    assert old.trajectory.at(20.0)[:2] == pytest.approx(first.trajectory.at(20.0)[:2], abs=1e-6)


def test_a_rover_at_its_goal_stands():
    found = plan(observation=seen(44.5, 20.2))
    assert found.status is PlanStatus.OK
    assert found.reason == "at the goal"
    assert (found.trajectory.states[:, SPEED] == 0.0).all()


def test_slopes_are_shunned_without_a_limit_on_power_by_the_slope_planner():
    scene = generate("lunar_reference", 0)
    observation = seen(*scene.initial[:3])
    figures = {}
    for name, config in (
        ("held", CONFIG),
        ("free", RoverConfig(track="host", power="off")),
        ("slope", RoverConfig(track="host", slope_only=True)),
    ):
        session = Rover(config).start(Task.of(scene))
        figures[name] = session.plan(observation).figures["planned_peak"]
    assert figures["held"] <= 201.0 < 230.0 < figures["free"]
    assert figures["slope"] < figures["free"]


def test_the_baselines_are_the_same_planner_without_its_limits():
    free, slope = RoverFree(), RoverSlope()
    assert (free.spec.name, slope.spec.name) == ("rover_free", "rover_slope")
    assert free.spec.needs == slope.spec.needs == Rover().spec.needs
    # Uphill all the way by 0.15, the limit holds the rover at 0.69 m/s; nothing holds the others.
    ramp = flat(np.tile(0.15 * 0.5 * np.arange(121), (81, 1)))
    peaks = {}
    for planner in (Rover(), free, slope):
        found = planner.start(task(terrain=ramp)).plan(seen())
        peaks[planner.spec.name] = found.figures["planned_peak"]
        assert found.control is not None  # each follows its own motion
    assert peaks["rover"] <= 201.0
    assert min(peaks["rover_free"], peaks["rover_slope"]) > 215.0


def test_roads_are_refused_and_settings_checked():
    with pytest.raises(ScenarioError, match="drives on terrain"):
        Rover().start(Task.of(bend_scene()))
    for bad in ({"jerk": 0.0}, {"outer": 0}, {"margin": 0.6}, {"power": "some"}, {"track": "me"}):
        with pytest.raises(InputError, match="rover's"):
            RoverConfig(**bad)

"""The rover's closed loop: its body, its battery, its tracker, and the rules of the harness."""

from dataclasses import replace

import numpy as np
import pytest

from drive.datasets.generate import generate
from drive.errors import InputError, PlanError, ScenarioError
from drive.eval.check.scenes import bend_scene
from drive.planner import Control, ControlKind, FunctionPlanner, Plan, PlannerSpec
from drive.planners.constant import Constant
from drive.planners.idm import IDM
from drive.planners.rover.config import RoverConfig
from drive.planners.rover.planner import Rover
from drive.runlog import RunLog
from drive.sim.loop import simulate
from drive.sim.rover import simulate_rover
from drive.sim.rover_body import Body, Disturbance, advance, load, stance
from drive.sim.rover_tracker import OpenLoop, RoverMPC
from drive.terrain import Terrain
from drive.vehicle import PITCH, ROLL, SPEED, YAW_RATE, RoverParams, Z

CALM = Disturbance(0.0, 0.0, 0.0, 0.0)
STORM = Disturbance(0.05, 0.01, 0.02)


def plane(slope_x=0.0, slope_y=0.0):
    y, x = np.meshgrid(0.5 * np.arange(61), 0.5 * np.arange(121), indexing="ij")
    sun = np.array([[0.0, np.pi / 2.0]])
    return Terrain(slope_x * x + slope_y * y, 0.5, 1.62, np.zeros(1), sun, np.zeros(0))


def scene(environment=None, seconds=20.0, rover=None, **state):
    """The reference scene, cut short, perhaps on other ground."""
    s = generate("lunar_reference", 0)
    n = round(seconds / s.dt)
    t = s.tracks
    initial = s.initial.copy()
    initial[:3] = state.get("pose", (10.0, 15.0, 0.0)) if environment is not None else initial[:3]
    initial[SPEED] = state.get("speed", 0.0)
    return s.with_(
        environment=environment or s.environment, rover=rover or s.rover, duration=n * s.dt, initial=initial,
        signals=s.signals[:, : n + 1],
        tracks=replace(t, states=t.states[:, : n + 1], valid=t.valid[:, : n + 1]),
    )  # fmt: skip


def steering(speed, turn=0.0):
    """A planner that asks for a speed and a turn rate and nothing else."""

    def plan(observation, task):
        poses = np.tile(observation.ego[:3], (5, 1))
        control = Control(ControlKind.SPEED_YAW_RATE, np.array([[speed, turn]]), 1.0)
        return replace(Plan.from_poses(observation, poses), control=control)

    return FunctionPlanner(PlannerSpec("steering", horizon=0.5, needs=("terrain",), rate=5.0), plan)


def test_a_rover_stands_on_its_wheels():
    # Uphill along x by 0.2, the left side high by 0.1: nose up is a negative pitch.
    terrain, rover = plane(0.2, 0.1), RoverParams()
    z, pitch, roll = stance(terrain, rover, 20.0, 10.0, 0.0)
    assert (z, np.tan(pitch), np.tan(roll)) == pytest.approx((5.0, -0.2, 0.1))
    z, pitch, roll = stance(terrain, rover, 20.0, 10.0, np.pi)
    assert (np.tan(pitch), np.tan(roll)) == pytest.approx((0.2, -0.1))


def test_the_load_is_the_sum_of_its_parts_by_hand():
    rover = RoverParams(drive_efficiency=0.5)
    # 60 base; (70 + 60 * 0.5 + 40 * 0.25) * 0.5 = 55 resistance; 225 (0.1 + 1.62 * 0.2) * 0.5 / 0.5 = 95.4.
    assert load(rover, 1.62, 0.5, 0.1, 0.2, 0.0) == pytest.approx(60.0 + 55.0 + 95.4)
    assert load(rover, 1.62, 0.5, 0.0, -0.2, 3.0) == pytest.approx(60.0 + 55.0 + 6.0)  # nothing is won back
    assert load(rover, 1.62, 0.0, 0.0, 0.0, 0.0) == 60.0
    assert load(rover, 1.62, -0.5, 0.0, -0.2, 0.0) == pytest.approx(60.0 + 55.0 + 225 * 1.62 * 0.2)


def test_wheels_slip_and_slide_and_the_battery_pays():
    terrain, rover = plane(0.0, 0.1), RoverParams(solar_power_max=0.0, generator_power=10.0)
    body = Body(20.0, 10.0, 0.0, 0.5, 0.0, 2e5)
    slipping = Disturbance(0.1, 0.0, 0.0, 0.2)
    rng = np.random.default_rng(0)
    told = [advance(body, terrain, rover, slipping, (0.0, 0.0), 0.0, 0.2, rng) for _ in range(50)]
    # Ten seconds at 0.5 m/s of the wheels, a tenth of it lost, and 0.2 of the cross slope of 0.1 downhill.
    assert body.x == pytest.approx(20.0 + 0.45 * 10.0)
    assert body.y == pytest.approx(10.0 - 0.2 * 0.1 * 0.5 * 10.0)
    assert told[0].mean == pytest.approx(60.0 + (70.0 + 30.0 + 10.0) * 0.5)
    assert body.used == pytest.approx(1150.0)
    assert body.charge == pytest.approx(2e5 - 1150.0 + 100.0)
    assert told[0].speed == pytest.approx(0.45)


def test_an_empty_battery_stops_the_wheels():
    body = Body(20.0, 10.0, 0.0, 0.5, 0.0, 1.0)
    rover = RoverParams(solar_power_max=0.0, generator_power=0.0)
    for _ in range(2):
        advance(body, plane(), rover, CALM, (0.1, 0.0), 0.0, 0.2, np.random.default_rng(0))
    assert body.charge == 0.0
    assert body.wheel_speed == 0.0


def test_a_control_of_speed_and_turn_is_driven_as_it_is():
    log = simulate_rover(scene(plane(), 10.0), steering(0.4, 0.2), disturbance=CALM)
    assert log.ego[-1, SPEED] == pytest.approx(0.4, rel=1e-3)
    assert log.ego[-1, YAW_RATE] == pytest.approx(0.2)
    # A circle of 2 m.
    middle = log.ego[5:, :2] + 2.0 * np.stack((-np.sin(log.ego[5:, 2]), np.cos(log.ego[5:, 2])), axis=1)
    assert np.abs(middle - middle[0]).max() < 0.02


def test_the_log_holds_the_energies_and_the_stance():
    s = scene(plane(0.05, 0.0), 10.0)
    log = simulate_rover(s, steering(0.5), disturbance=CALM)
    x = log.series
    assert log.terrain is s.environment
    assert log.roadmap is None
    assert x["energy_used"][-1] == pytest.approx(0.2 * x["power"][1:].sum())
    gained = 0.2 * x["supply"][1:].sum() - x["energy_used"][-1]
    assert x["battery"][-1] - x["battery"][0] == pytest.approx(gained)
    # Straight above a plane of slope 0.05: the panels see the cosine of its tilt.
    assert x["supply"] == pytest.approx(np.full(51, 110.0 + 120.0 / np.hypot(1.0, 0.05)))
    assert np.tan(x["pitch"]) == pytest.approx(np.full(51, -0.05))
    assert x["z"] == pytest.approx(0.05 * log.ego[:, 0])
    assert x["power_share"][1:] == pytest.approx(x["power_peak"][1:] / 200.0)
    assert log.header["failure"] is None
    assert log.expert_source == ""


def test_a_planner_sees_ten_columns_and_its_energies():
    seen = []

    def plan(observation, task):
        seen.append(observation)
        return Plan.from_poses(observation, np.tile(observation.ego[:3], (5, 1)))

    spec = PlannerSpec("watcher", horizon=0.5, needs=(), rate=1.0)
    simulate(scene(plane(0.1, 0.0), 4.0), FunctionPlanner(spec, plan))
    assert [o.time for o in seen] == [0.0, 1.0, 2.0, 3.0]
    assert all(o.ego.shape == (10,) for o in seen)
    assert np.tan(seen[0].ego[PITCH]) == pytest.approx(-0.1)
    assert seen[0].ego[Z] == pytest.approx(1.0)
    assert seen[0].ego[ROLL] == pytest.approx(0.0)
    wanted = {"battery", "energy_used", "power", "supply", "wheel_speed", "turn_rate", "slip"}
    assert set(seen[0].extras) == wanted
    assert seen[-1].extras["energy_used"] == pytest.approx(3.0 * 60.0, rel=0.1)


def test_equal_seeds_give_equal_runs_and_the_log_survives_the_disk(tmp_path):
    s = scene(seconds=12.0)
    runs = [simulate(s, Rover(), seed=seed) for seed in (3, 3, 4)]
    assert np.array_equal(runs[0].ego, runs[1].ego)
    assert all(np.array_equal(runs[0].series[n], runs[1].series[n]) for n in ("power", "battery", "slip"))
    assert not np.array_equal(runs[0].ego, runs[2].ego)
    again = RunLog.load(runs[0].save(tmp_path / "run.drive.npz"))
    assert np.array_equal(again.ego, runs[0].ego)
    assert again.terrain.content_hash == s.environment.content_hash


def test_the_tracker_holds_the_limit_under_slip_where_the_open_loop_does_not():
    s = scene(seconds=64.0)
    for seed in range(2):
        held = simulate_rover(s, Rover(), seed=seed, disturbance=STORM)
        assert held.series["power_peak"].max() <= 1.03 * 200.0
        assert np.hypot(*(held.ego[-1, :2] - s.route.goal.position)) < 1.0
    follow = Rover(RoverConfig(track="host"))
    followed = simulate_rover(s, follow, disturbance=STORM, tracker=OpenLoop())
    free = simulate_rover(s, Rover(RoverConfig(power="off")), disturbance=STORM)
    assert followed.series["power_peak"].max() > held.series["power_peak"].max()
    assert free.series["power_peak"].max() > 1.15 * 200.0


def test_the_host_follows_a_plan_without_a_control():
    s = scene(plane(), 20.0)

    def plan(observation, task):
        t = 0.2 * np.arange(1, 101)
        x = 10.0 + 0.5 * (observation.time + t)
        return Plan.from_poses(observation, np.stack((x, 15.0 + 0.0 * t, 0.0 * t), axis=1), 0.2)

    spec = PlannerSpec("line", horizon=20.0, dt=0.2, needs=("terrain",), rate=0.01)
    for disturbance in (CALM, STORM):
        log = simulate_rover(s, FunctionPlanner(spec, plan), disturbance=disturbance)
        assert log.ego[-1, :2] == pytest.approx([20.0, 15.0], abs=0.3)
        assert log.ego[50:, SPEED] == pytest.approx(np.full(51, 0.5), abs=0.06)


def test_planners_and_scenes_that_do_not_go_together_are_refused():
    terrain, road = scene(seconds=2.0), bend_scene()
    with pytest.raises(PlanError, match="'idm' drives on roads, and scenario 'gen/lunar_refer"):
        simulate(terrain, IDM())
    with pytest.raises(PlanError, match="'rover' drives on terrain"):
        simulate(road, Rover())
    assert len(simulate(terrain, Constant()).times) == 11  # who needs neither drives on both
    with pytest.raises(ScenarioError, match="names no rover"):
        simulate(terrain.with_(rover=None), Rover())
    with pytest.raises(ScenarioError, match="nobody leads"):
        simulate(terrain, Rover(), drivers={"rover": IDM()})


def test_a_planner_that_fails_ends_the_run():
    def plan(observation, task):
        if observation.time >= 1.0:
            raise ValueError("no idea")
        return Plan.from_poses(observation, np.tile(observation.ego[:3], (5, 1)))

    log = simulate(scene(seconds=4.0), FunctionPlanner(PlannerSpec("poor", needs=(), rate=5.0), plan))
    assert log.header["failure"] == {"class": "planner_error", "reason": "ValueError: no idea"}
    assert log.times[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("change", [{"slip": 0.6}, {"power_noise": -0.1}, {"memory": 0.0}])
def test_impossible_disturbances_are_refused(change):
    with pytest.raises(InputError, match="a rover's"):
        Disturbance(**change)


def test_the_tracker_comes_back_to_its_line():
    terrain, rover = plane(), RoverParams()
    from drive.sim.surface import Surface
    from drive.trajectory import Trajectory

    tracker = RoverMPC().start(terrain, rover, Surface.under(terrain, 1.2), 0.2)
    t = 0.2 * np.arange(151)
    poses = np.stack((10.0 + 0.5 * t, np.full(151, 15.0), np.zeros(151)), axis=1)
    line = Trajectory.from_poses(t, poses)
    body = Body(10.0, 15.5, -0.2, 0.5, 0.0, 2e5)
    drawn, speed, rng = 115.0, 0.5, np.random.default_rng(0)
    for k in range(100):
        pose = np.array([body.x, body.y, body.heading])
        move = tracker.command(
            line, 0.2 * k, pose, body.wheel_speed, body.turn_rate, 0.0, drawn, 200.0, speed
        )
        told = advance(body, terrain, rover, Disturbance(0.08, 0, 0), move, 0.2 * k, 0.2, rng)
        drawn, speed = told.mean, told.speed
    assert body.y == pytest.approx(15.0, abs=0.02)
    assert body.x == pytest.approx(20.0, abs=0.15)
    assert tracker.slip == pytest.approx(0.08, abs=0.01)

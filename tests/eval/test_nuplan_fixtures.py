"""The devkit's own test scenes: their expected values against ours, to its tolerance of 0.01.

Cases that ask for nothing but "in a lane", "in no lane" or one speed limit run on a straight road laid under
the scene along the ego's first heading; those that need the shapes of Las Vegas are named in `SKIPPED`, with
those that hold no expected value of their own.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drive.eval.metrics.nuplan import NUPLAN_CLS
from drive.eval.metrics.nuplan.collisions import ContactKind, find_contacts
from drive.eval.metrics.nuplan.ego import Ego
from drive.eval.metrics.nuplan.signals import dynamics, series_statistics
from drive.eval.metrics.nuplan.ttc import time_to_collision
from drive.vehicle import AgentKind, VehicleParams

ALL = Path(__file__).parents[2].parent / "shared" / "data" / "nuplan_fixtures"
FOLDER = ALL / "common"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the nuPlan fixtures are not on this machine")

NEEDS_MAP = "needs the real map of Las Vegas at the scene's coordinates"
OPEN_LOOP = "planner_expert_average_heading_error_within_bound/low_average_heading_error"
NO_VALUE = "has no expected value in it: the devkit's test states it, for "
SKIPPED = {
    "common/drivable_area_compliance/drivable_area_violation": NEEDS_MAP,
    "common/ego_lane_change/ego_lane_change": "the lane change metric carries no score, and " + NEEDS_MAP,
    "common/ego_progress_along_expert_route/ego_no_progress_along_expert_route": "the expert turns: "
    + NEEDS_MAP,
    "common/ego_is_comfortable/ego_is_comfortable": "its test never computes the six signals and so expects "
    "False",
    "idm/idm_agent_observation/baseline": NO_VALUE + "agents of a recorded scenario",
    "idm/idm_manager/green_traffic_lights": "agents follow lanes by their ids: " + NEEDS_MAP,
    "idm/idm_manager/merging": "agents follow lanes by their ids: " + NEEDS_MAP,
    "idm/idm_manager/red_traffic_lights": "agents follow lanes by their ids: " + NEEDS_MAP,
    "nuplan_map/baseline/no_baseline": NEEDS_MAP,
    "nuplan_map/connections/no_start_connection": NEEDS_MAP,
    "nuplan_map/get_nearest/lane": NEEDS_MAP,
    "nuplan_map/intersections/nearby": NEEDS_MAP,
    "nuplan_map/intersections/on_intersection_with_stop_lines": NEEDS_MAP,
    "nuplan_map/lanes/lane_is_left_of": NEEDS_MAP,
    "nuplan_map/lanes/lanes_in_same_roadblock": NEEDS_MAP,
    "nuplan_map/neighboring/all_map_objects": NEEDS_MAP,
    "nuplan_map/stop_lines/nearby": NEEDS_MAP,
    "nuplan_map/stop_lines/on_stopline": NEEDS_MAP,
    "scenario_dependent/ego_stop_at_stop_line/ego_stop_at_stop_line": NO_VALUE + "stop lines: " + NEEDS_MAP,
    "serialization/load_from_scene": NO_VALUE + "its own reader of such scenes",
    "utils/route_extractor/route_extractor": NO_VALUE + "lanes at its markers: " + NEEDS_MAP,
}
USED = {
    "driving_direction_compliance/ego_does_not_drive_backward",
    "driving_direction_compliance/ego_drives_backward",
    "driving_direction_compliance/ego_slightly_drives_backward",
    "ego_is_making_progress/ego_is_making_progress",
    "ego_lat_jerk/ego_lat_jerk",
    "ego_lon_jerk/ego_lon_jerk",
    "ego_mean_speed/ego_mean_speed",
    "ego_progress_along_expert_route/ego_no_route",
    "ego_yaw_rate/ego_yaw_rate",
    OPEN_LOOP,
    "no_ego_at_fault_collision/active_front_collision",
    "no_ego_at_fault_collision/multiple_collisions",
    "no_ego_at_fault_collision/stopped_ego_collision",
    "speed_limit_compliance/speed_limit_violation",
    "time_to_collision_within_bound/ego_stopped",
    "time_to_collision_within_bound/in_collision",
    "time_to_collision_within_bound/time_to_collision_above_threshold",
}
KINDS = {
    "vehicles": AgentKind.VEHICLE,
    "bicycles": AgentKind.BICYCLE,
    "pedestrians": AgentKind.PEDESTRIAN,
}


def states(entries) -> np.ndarray:
    out = np.zeros((len(entries), 7))
    for row, entry in zip(out, entries, strict=True):
        row[:3], row[3], row[4] = entry["pose"], entry["velocity"][0], entry["acceleration"][0]
    return out


def load_case(hand, name: str, limit: float | None = None, aside: float = 0.0):
    """(run, expected statistics, expected series). Positions are taken relative to the first pose; the road
    lies `aside` metres to the left of the scene."""
    scene = json.loads((FOLDER / f"{name}.json").read_text())
    frames = [scene["ego"], *scene.get("ego_future_states", [])]
    worlds = [scene["world"], *scene.get("world_future_states", [])]
    dt = (frames[1]["time_us"] - frames[0]["time_us"]) * 1e-6 if len(frames) > 1 else 0.1
    ego, expert = states(frames), states(scene.get("expert_ego_states", []))
    origin = ego[0, :2].copy()
    tracks: dict[str, dict] = {}
    for n, world in enumerate(worlds):
        for key, kind in KINDS.items():
            for item in world.get(key, []):
                track = tracks.setdefault(
                    str(item["id"]), {"kind": kind, "rows": {}, "size": item["box"]["size"]}
                )
                track["rows"][n] = (*item["box"]["pose"], item["speed"])
    agents = []
    for track in tracks.values():
        pose, velocity, valid = (
            np.zeros((len(frames), 3)),
            np.zeros((len(frames), 2)),
            np.zeros(len(frames), bool),
        )
        for n, (x, y, heading, speed) in track["rows"].items():
            pose[n] = x - origin[0], y - origin[1], heading
            velocity[n], valid[n] = (speed * np.cos(heading), speed * np.sin(heading)), True
        width, length = track["size"]
        agents.append(hand.agent(pose, velocity, (length, width), track["kind"], valid))
    for values in (ego, expert):
        values[:, :2] -= origin
    road = hand.road(
        [(aside - 100.0, aside + 100.0)], (-400.0, 400.0), limit, motion=hand.motion(float(ego[0, 2]))
    )
    run = hand.run(ego, agents, road, expert if len(expert) else None, dt=dt, vehicle=VehicleParams())
    expected = scene["expected"][0] if isinstance(scene["expected"], list) else scene["expected"]
    return run, [v for _, v in expected["statistics"]], expected.get("time_series", {}).get("values"), scene


def near(found, expected) -> None:
    np.testing.assert_allclose(np.asarray(found, dtype=float), np.asarray(expected, dtype=float), atol=1e-2)


def test_every_scene_is_used_or_skipped_for_a_reason() -> None:
    found = {str(p.relative_to(ALL).with_suffix("")) for p in ALL.rglob("*.json")}
    assert found == {f"common/{name}" for name in USED} | set(SKIPPED)


def test_whoever_has_an_expected_value_and_needs_no_map_is_used() -> None:
    for name, reason in SKIPPED.items():
        scene = json.loads((ALL / f"{name}.json").read_text())
        valued = bool({"expected", "expected_max_speed", "xtr"} & set(scene))
        assert valued is not reason.startswith(NO_VALUE), name


def contact_kinds(run) -> list[ContactKind]:
    contacts = find_contacts(run, Ego.of(run), np.ones(len(run.ego), dtype=bool))
    return [ContactKind(k) for k, s in zip(contacts.kind, contacts.sample, strict=True) if s >= 0]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("active_front_collision", [ContactKind.FRONT]),
        ("stopped_ego_collision", [ContactKind.STOPPED_EGO]),
        ("multiple_collisions", [ContactKind.FRONT, ContactKind.FRONT, ContactKind.LATERAL]),
    ],
)
def test_collisions(hand, name: str, kinds: list[ContactKind]) -> None:
    run, expected, _, _ = load_case(hand, f"no_ego_at_fault_collision/{name}")
    assert sorted(contact_kinds(run)) == kinds
    found = NUPLAN_CLS.evaluate(run).metrics["no_ego_at_fault_collisions"].statistics
    order = ["no_ego_at_fault_collisions", "number_of_all_at_fault_collisions"]
    order += [f"number_of_at_fault_collisions_with_{g}" for g in ("VRUs", "vehicles", "objects")]
    order += [k for k in found if "energy" in k]
    near([found[k] for k in order], expected)


@pytest.mark.parametrize("name", ["ego_stopped", "in_collision", "time_to_collision_above_threshold"])
def test_time_to_collision(hand, name: str) -> None:
    run, expected, series, scene = load_case(hand, f"time_to_collision_within_bound/{name}")
    ego = Ego.of(run)
    contacts = find_contacts(run, ego, np.ones(len(ego), dtype=bool))
    exposed = np.zeros(len(ego), dtype=bool)
    times = time_to_collision(run, ego, contacts, exposed, horizon=scene["metric_parameters"]["time_horizon"])
    near(times, series)
    assert NUPLAN_CLS.evaluate(run).metrics["time_to_collision_within_bound"].score == float(expected[1])


@pytest.mark.parametrize(
    ("name", "signal"),
    [
        ("ego_lon_jerk", "longitudinal_jerk"),
        ("ego_yaw_rate", "yaw_rate"),
        ("ego_lat_jerk", "lateral_acceleration"),
    ],
)
def test_signals(hand, name: str, signal: str) -> None:
    run, expected, series, _ = load_case(hand, f"{name}/{name}")
    values = getattr(dynamics(run, run.dt), signal)  # The lateral jerk: of an acceleration of 0.
    near(values, series)
    near(list(series_statistics("x", values).values()), expected[:4])


def test_mean_speed(hand) -> None:
    run, expected, _, _ = load_case(hand, "ego_mean_speed/ego_mean_speed")
    near(NUPLAN_CLS.evaluate(run).metrics["mean_speed"].score, expected[0])


@pytest.mark.parametrize(
    "name", ["ego_does_not_drive_backward", "ego_drives_backward", "ego_slightly_drives_backward"]
)
def test_direction(hand, name: str) -> None:
    run, expected, _, _ = load_case(hand, f"driving_direction_compliance/{name}")
    found = NUPLAN_CLS.evaluate(run).metrics["driving_direction_compliance"]
    near(found.statistics["min_progress_along_driving_direction_in_1_second_interval"], expected[1])
    # The last scene was made for a limit of 15 m instead of 6.
    assert found.score == (0.0 if "slightly" in name else expected[0])


def test_progress(hand) -> None:
    run, expected, _, _ = load_case(hand, "ego_is_making_progress/ego_is_making_progress")
    assert NUPLAN_CLS.evaluate(run).metrics["ego_is_making_progress"].score == float(expected[0])
    run, expected, _, _ = load_case(hand, "ego_progress_along_expert_route/ego_no_route", aside=1000.0)
    found = NUPLAN_CLS.evaluate(run).metrics["ego_progress_along_expert_route"].statistics
    near(list(found.values()), expected)


def test_speed_limit(hand) -> None:
    # 30 mph, which the expected overspeeds give away.
    run, expected, series, _ = load_case(hand, "speed_limit_compliance/speed_limit_violation", limit=13.41)
    found = NUPLAN_CLS.evaluate(run).metrics["speed_limit_compliance"]
    near(found.series["overspeed"], series)
    near(list(found.statistics.values()), expected)


def test_open_loop_heading(hand) -> None:
    open_loop = pytest.importorskip("drive.eval.metrics.open_loop", reason="there is no open-loop score")
    run, expected, _, _ = load_case(hand, OPEN_LOOP)
    # The devkit's test plans 10 s straight on from each state, a state a second.
    frames, ahead = len(run.ego), np.arange(11.0)
    plans = np.repeat(run.ego[:, None, :], 11, axis=1)
    for frame in plans:
        way = frame[:, 3] * ahead
        frame[:, 0], frame[:, 1] = (
            frame[:, 0] + way * np.cos(frame[:, 2]),
            frame[:, 1] + way * np.sin(frame[:, 2]),
        )
    run = replace(
        run,
        plan_step=np.arange(frames, dtype=np.int32),
        plan_start=11 * np.arange(frames + 1, dtype=np.int32),
        plan_times=(np.arange(frames)[:, None] + ahead).ravel(),
        plan_states=plans.reshape(-1, 7).astype(np.float32),
    )
    found = open_loop.metrics_of(open_loop.errors_of(run))
    score = found["planner_expert_average_heading_error_within_bound"]
    near([found[f"ahe_{h}s"].score for h in (3, 5, 8)], expected[:3])
    near(score.statistics["mean"], expected[4])
    assert (score.score > 0.0) is expected[3]

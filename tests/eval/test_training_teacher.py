"""The teacher against NAVSIM's score of the same motions, on a drive through a generated scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drive import registry
from drive.datasets.source import load
from drive.eval.metrics.navsim.aggregate import ego_progress, epdms
from drive.eval.metrics.navsim.comfort import history_comfort
from drive.eval.metrics.navsim.constants import MULTIPLIERS_2
from drive.eval.metrics.navsim.course import course_of
from drive.eval.metrics.navsim.moments import windows
from drive.eval.metrics.navsim.rules import find
from drive.geometry import from_frame
from drive.scenario import SignalState
from drive.sim.loop import simulate
from drive.sim.teacher import TEACHER_NAMES, Course, Others, Teacher, TeacherSettings

PUBLISHED = TeacherSettings(lights="touch", speeding=0.0, compat="reference")
COLUMNS = {
    "nc": "no_at_fault_collisions",
    "dac": "drivable_area_compliance",
    "ddc": "driving_direction_compliance",
    "tlc": "traffic_light_compliance",
    "ttc": "time_to_collision_within_bound",
    "lk": "lane_keeping",
}


def candidates(speed: float) -> np.ndarray:
    """Straight on, to the stop, faster, and round bends: `(K, 40, 3)`."""
    t = 0.1 * np.arange(1, 41)
    out = []
    for pace in (-4.0, -1.5, 0.0, 1.0, 2.2):
        for bend in (0.0, 0.004, -0.004, 0.02, -0.02, 0.1):
            v = np.clip(speed + pace * t, 0.0, None)
            s = np.cumsum(0.1 * v)
            h = bend * s
            out.append(np.stack((np.cumsum(0.1 * v * np.cos(h)), np.cumsum(0.1 * v * np.sin(h)), h), 1))
    return np.stack(out)


@pytest.mark.parametrize("name", ["gen/signalised_intersection/10003", "gen/cut_in/10001"])
def test_labels_are_the_terms_of_epdms(name) -> None:
    scenario = load(name)
    run = simulate(scenario, registry.load_planner("pdm"), keep_candidates=0)
    # A light that is red throughout, so that the rule has something to say.
    run = replace(run, signals=np.full_like(run.signals, SignalState.RED))
    found: dict[str, set[float]] = {}
    for moment in windows(run)[:3]:
        course = course_of(run, moment)
        assert course is not None
        # Track speeds are the present ones in both.
        others = Others(moment.agents, moment.valid, run.agent_size, run.agent_kind)
        if moment.agents.shape[1] < 50:
            continue
        limit = np.full(len(course.line), 99.0)
        lesson = Teacher(run.roadmap, run.vehicle, PUBLISHED).lesson(
            moment.ego[0], Course(course.line, limit, course.on_route), others, run.signals, moment.past
        )
        plans = candidates(float(moment.ego[0, 3]))
        reference = course.reference.copy()
        reference[:, :2] -= moment.ego[0, :2]
        labels = lesson.label(plans, reference.astype(np.float32))
        drives = labels.states.astype(np.float64)
        drives[..., :2] += moment.ego[0, :2]
        theirs, *own = find(run, moment, course, [course.reference, *drives], track_speed="now")
        base = theirs.product(MULTIPLIERS_2)
        for drive, one, row in zip(drives, own, labels.values, strict=True):
            told = dict(zip(TEACHER_NAMES, row.tolist(), strict=True))
            for short, column in COLUMNS.items():
                if short == "lk" and told["dac"] == 0.0 and told["lk"] != one.lane_keeping:
                    # Off the lanes, NAVSIM's junctions are areas of the map; the teacher's are lanes.
                    assert "intersection" in name
                    told["lk"] = one.lane_keeping
                    continue
                assert told[short] == getattr(one, column), (name, short)
                found.setdefault(short, set()).add(told[short])
            kept = one.product(MULTIPLIERS_2)
            progress = ego_progress(one.progress, kept, theirs.progress, base, "gen_gt")
            assert told["ep"] == pytest.approx(progress, abs=1e-4)
            comfort = history_comfort(moment.past, drive, run.vehicle.rear_axle_to_center)
            assert told["hc"] == float(all(comfort.values()))
            columns = {column: told[short] for short, column in COLUMNS.items()}
            columns |= {"ego_progress": told["ep"], "history_comfort": told["hc"]}
            assert told["score"] == pytest.approx(epdms(columns), abs=1e-5)  # 0 off the road
    # The comparison saw both sides of the rules that this scene can tell.
    assert {short for short, values in found.items() if len(values) > 1} >= {"dac", "ddc", "lk"}


def test_a_candidate_in_the_ego_frame_is_driven_where_the_plan_says() -> None:
    scenario = load("gen/lane_follow_curved/10000")
    run = simulate(scenario, registry.load_planner("pdm"), keep_candidates=0)
    k = 40
    ego = run.ego[k]
    others = Others(run.agents[:, k:], run.agent_valid[:, k:], run.agent_size, run.agent_kind)
    line = scenario.route.line
    course = Course(line, np.full(len(line), 30.0), tuple(range(scenario.roadmap.num_lanes)))
    lesson = Teacher(scenario.roadmap, scenario.vehicle).lesson(ego, course, others, run.signals[:, k:])
    plan = candidates(float(ego[3]))[12:13]  # straight on at the present speed
    driven = lesson.rollout(plan)[0, -1].astype(np.float64)
    wanted = from_frame(plan[0, -1], ego[:3]) - [ego[0], ego[1], 0.0]
    assert np.hypot(*(driven[:2] - wanted[:2])) < 1.0

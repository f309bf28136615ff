"""What of the batch primitives is timed: a table of rows, to which rows are added easily."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from drive.eval.perf import Row, Times, cores
from drive.eval.perf_camera import camera_rows
from drive.eval.perf_learn import learn_rows
from drive.eval.perf_process import process_rows
from drive.eval.perf_rift import rift_rows
from drive.eval.perf_scenes import CANDIDATE_STEPS, CROWD, batch_world, candidate_batch
from drive.eval.perf_step import part_rows
from drive.eval.perf_stl import stl_rows
from drive.sim.candidates import TERMS, Scores, Work, rollout, score
from drive.sim.world import step

WORLDS, CANDIDATES, OTHERS = 1024, 8192, 30


def kernel_rows(worlds: int = WORLDS, candidates: int = CANDIDATES) -> list[Row]:
    """The step, what learners read and see, the roll-out and the score, by parts, on one and all threads."""
    many = cores()
    around = f"{candidates} candidates x {CANDIDATE_STEPS} steps"
    judged = f"{around}, {OTHERS} agents"
    steps = float(candidates * CANDIDATE_STEPS)
    rows = [
        *step_rows(worlds, many),
        *part_rows(worlds),
        *learn_rows(worlds),
        *rift_rows(),
        *stl_rows(),
        *camera_rows(),
        *process_rows(),
        Row("rollout", "candidate-step", lambda: roll(candidates), steps, f"{around}, LQR and bicycle"),
        Row(
            "rollout/controls", "candidate-step", lambda: roll(candidates, controls=True), steps,
            f"{around}, bicycle alone",
        ),
        Row(
            "rollout/threads", "candidate-step", lambda: roll(candidates, many), steps,
            f"{around}, {many} threads", threads=many,
        ),
        Row("score", "candidate-step", lambda: judge(candidates, OTHERS), steps, judged),
        Row(
            "score/places", "candidate-step", lambda: judge(candidates, OTHERS, ()), steps,
            "input checks, box centres; the parts below are beside this one",
        ),
    ]  # fmt: skip
    rows += [
        Row(
            f"score/{term}", "candidate-step",
            lambda term=term: judge(candidates, OTHERS, (term,)), steps,  # type: ignore[misc]
            _ABOUT[term], minus="score/places",
        )
        for term in TERMS
    ]  # fmt: skip
    rows.append(
        Row(
            "score/threads", "candidate-step", lambda: judge(candidates, OTHERS, threads=many), steps,
            f"{judged}, {many} threads", threads=many,
        )
    )  # fmt: skip
    return rows


_ABOUT = {
    "area": "drivable area and direction, alone",
    "collision": "collisions with fault, alone",
    "progress": "progress, alone",
    "time_to_collision": "time to collision, alone; shares the search of neighbours with collisions",
    "comfort": "comfort, alone",
}


def step_rows(worlds: int, many: int) -> list[Row]:
    """The batch step, and what it costs for other kinds of agents."""
    about = f"{worlds} worlds x {CROWD} agents"

    def row(name: str, steps: int, controller: str, what: str, threads: int = 1) -> Row:
        return Row(
            name, "agent-step", lambda: lambda: advance(worlds, steps, controller, threads),
            float(worlds * CROWD * steps), f"{about}, {what}", threads=threads,
        )  # fmt: skip

    return [
        row("step", 1, "IDM", "IDM, one step a visit"),
        row("step/20", 20, "IDM", "IDM, 20 steps a visit"),
        row("step/control", 20, "CONTROL", "given controls: bicycle and collision, 20 steps a visit"),
        row("step/log", 20, "LOG", "replayed: collision, 20 steps a visit"),
        row("step/threads", 20, "IDM", f"IDM, 20 steps a visit, {many} threads", many),
    ]


def advance(worlds: int, steps: int, controller: str, threads: int = 1, repeats: int = 7) -> Times:
    """Times of an agent step while 40 steps are made, `steps` in one visit of a world.

    Agents that have left the road do not count.
    """
    start = batch_world(worlds, controller)
    visits = max(40 // steps, 1)
    cpu, wall = [], []
    for repeat in range(repeats + 1):
        world = step(start, steps=steps, threads=threads)
        process, clock = time.process_time(), time.perf_counter()
        for _ in range(visits):
            world = step(world, steps=steps, out=world, threads=threads)
        used = time.process_time() - process, time.perf_counter() - clock
        done = max(int(world.present.sum()), 1) * visits * steps
        if repeat:  # the first one warms up
            cpu.append(used[0] / done)
            wall.append(used[1] / done)
    return Times(cpu, wall)


def roll(candidates: int, threads: int = 1, controls: bool = False) -> Callable[[], Any]:
    """Work: roll out a batch of candidates into buffers of its own."""
    c = candidate_batch(candidates, OTHERS)
    out, work = c.states.copy(), Work.make(c.states.shape[1], threads=threads)
    if controls:
        return lambda: rollout(c.vehicle, c.start, controls=c.controls, out=out)
    return lambda: rollout(c.vehicle, c.start, c.poses, out=out, work=work, threads=threads)


def judge(
    candidates: int,
    agents: int,
    terms: tuple[str, ...] | None = None,
    threads: int = 1,
    segments: int = 0,
) -> Callable[[], Any]:
    """Work: score a batch of candidates into buffers of its own."""
    c = candidate_batch(candidates, agents, segments)
    out = Scores.empty(len(c.states))
    work = Work.make(c.states.shape[1], c.scene.agents.extent.shape[1], threads)
    return lambda: score(c.states, c.scene, terms=terms, out=out, work=work, threads=threads)


def advance_again(worlds: int, agents: int = CROWD, steps: int = 20) -> Callable[[], Any]:
    """Work: advance a batch of worlds by so many steps, from the same moment every time."""
    start = batch_world(worlds, agents=agents)
    out = step(start)
    return lambda: step(start, steps=steps, out=out)

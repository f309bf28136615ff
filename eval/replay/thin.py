"""Long and crowded runs at fewer samples, so that a page of any run stays one that a browser opens."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.eval.replay.events import reasons_of, statuses_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.runlog import RunLog

MAX_AGENTS = 256
MAX_SAMPLES = 6000
MAX_CELLS = 800_000
"""Samples times agents; a longer or fuller run is thinned in time."""


def thinned(run: RunLog, notes: list[str]) -> RunLog:
    """The run at every k-th sample where it is too long; adds a note that says so."""
    n = len(run.times)
    cells = n * min(len(run.agents), MAX_AGENTS)
    every = max(math.ceil(n / MAX_SAMPLES), math.ceil(cells / MAX_CELLS), 1)
    if every == 1:
        return run
    notes.append(f"This run has {n} samples: one in {every} is shown.")
    calls = np.flatnonzero(np.diff(run.plan_step // every, prepend=-1) > 0)
    m = len(run.plan_step)

    def of_calls(values: NDArray[Any]) -> NDArray[Any]:
        return values[calls] if len(values) == m else values[:0]

    def rows(start: NDArray[np.int32], count: int) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        if len(start) != m + 1:
            return np.zeros(0, dtype=np.intp), np.zeros(len(calls) + 1, dtype=np.int32)
        own = [np.arange(start[k], min(start[k + 1], count)) for k in calls]
        lengths = np.cumsum([0, *(len(o) for o in own)]).astype(np.int32)
        return np.concatenate([*own, np.zeros(0)]).astype(np.intp), lengths

    plan_rows, plan_start = rows(run.plan_start, len(run.plan_times))
    cand_rows, cand_start = rows(run.cand_start, len(run.cand_poses))
    statuses, reasons = statuses_of(run), reasons_of(run)
    kept = {name: getattr(run, name)[::every] for name in ("times", "ego", "expert", "logged_ego")}
    series = {
        name: values[::every] if len(values) == n else of_calls(values)
        for name, values in run.series.items()
        if values.shape in {(n,), (m,)}
    }
    return replace(
        run,
        **kept,
        agents=run.agents[:, ::every],
        agent_valid=run.agent_valid[:, ::every],
        signals=run.signals[:, ::every],
        agent_seen=run.agent_seen[:, ::every],
        plan_step=(run.plan_step[calls] // every).astype(np.int32),
        plan_latency=run.plan_latency[calls],
        plan_start=plan_start,
        plan_times=run.plan_times[plan_rows],
        plan_states=run.plan_states[plan_rows],
        cand_start=cand_start,
        cand_poses=run.cand_poses[cand_rows],
        cand_score=run.cand_score[cand_rows]
        if len(run.cand_score) == len(run.cand_poses)
        else run.cand_score[:0],
        cand_probability=run.cand_probability[cand_rows]
        if len(run.cand_probability)
        else run.cand_probability,
        cand_terms=run.cand_terms[cand_rows]
        if len(run.cand_terms) == len(run.cand_poses)
        else run.cand_terms[:0],
        cand_chosen=of_calls(run.cand_chosen),
        cand_shared=of_calls(run.cand_shared),
        series=series,
        header={
            **run.header,
            "plan_status": [statuses[k] for k in calls if k < len(statuses)],
            "plan_reason": {str(i): reasons[str(k)] for i, k in enumerate(calls) if str(k) in reasons},
        },
    )

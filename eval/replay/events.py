"""Moments of a run: ticks for the time line, and when each metric went wrong.

Bounds are those of the closed-loop score (`drive.eval.metrics.nuplan.constants`); a series that the run
does not hold yields no moments.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from drive.eval.metrics.nuplan import constants as c
from drive.vehicle import ACCELERATION

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

MERGE = 0.5
"""Spells closer together than this (s) are one."""
MAX_EVENTS = 400
STATUSES = ("ok", "degraded", "fallback", "infeasible", "timeout", "invalid")
OVERLOAD = 1.03
"""Share of what a rover may draw from which on it is an event, as the score `rover` counts it."""
COMFORT = (
    ("longitudinal_acceleration", *c.LON_ACCELERATION),
    ("lateral_acceleration", -c.LAT_ACCELERATION, c.LAT_ACCELERATION),
    ("jerk", -c.JERK, c.JERK),
    ("longitudinal_jerk", -c.LON_JERK, c.LON_JERK),
    ("yaw_rate", -c.YAW_RATE, c.YAW_RATE),
    ("yaw_acceleration", -c.YAW_ACCELERATION, c.YAW_ACCELERATION),
)


def events_of(run: RunLog) -> list[dict[str, Any]]:
    """Ticks for the time line: the log's events, changes of the plan's status, the failure, and spells.

    Each has `time`, `kind`, `text` and `grave`, which a mere change of the plan's status and a storyboard's
    event are not. Spells are off the road, a low time to collision, and braking harder than is comfortable.
    """
    given = run.header.get("events")
    listed = [_event(e, run) for e in given if isinstance(e, dict)] if isinstance(given, list) else []
    out = [e for e in listed if e is not None]
    if not any(e["kind"] == "status" for e in out):
        out += _status_changes(run)
    failure = run.header.get("failure")
    about = failure if isinstance(failure, dict) else {"class": str(failure)}
    if failure and not any(e["kind"] == about.get("class") for e in out):
        last = float(run.times[-1]) if len(run.times) else 0.0
        out.append(
            {"time": last, "kind": str(about.get("class")), "text": _text(about.get("reason")), "grave": True}
        )
    out += _spells(run)
    if len(out) > MAX_EVENTS:
        out = sorted(out, key=lambda e: not e["grave"])[:MAX_EVENTS]
    return sorted(out, key=lambda e: (e["time"], e["kind"]))


def moments_of(run: RunLog, lateral: tuple[Floats, Floats] | None = None) -> dict[str, float]:
    """Metric -> time (s) at which it went wrong, for the metrics of the closed-loop score that did.

    `lateral` is `along_route` of ego and expert, where both are known.
    """
    out: dict[str, float] = {}

    def put(metric: str, sample: int | None) -> None:
        if sample is not None and 0 <= sample < len(run.times):
            out[metric] = float(run.times[sample])

    put("no_ego_at_fault_collisions", _first(_series(run, "at_fault_collisions") > 0.0))
    put("drivable_area_compliance", _first(_series(run, "road_edge_distance") <= -c.OFF_ROAD_DISTANCE))
    put("driving_direction_compliance", _peak(_series(run, "progress_along_driving_direction")))
    ttc = _series(run, "time_to_collision")
    lowest = _peak(np.where(np.isfinite(ttc), 1.0 / np.maximum(ttc, 1e-3), 0.0))
    put("min_time_to_collision", lowest)
    if lowest is not None and ttc[lowest] <= c.TTC_BOUND:
        put("time_to_collision_within_bound", lowest)
    load = _series(run, "power_share")
    put("load_within_limit", _peak(np.where(load > OVERLOAD, load, 0.0)))
    put("slope_within_limit", _peak(_series(run, "tilt")))
    put("speed_limit_compliance", _peak(_series(run, "overspeed")))
    broken = [(v <= low) | (v >= high) for n, low, high in COMFORT for v in (_series(run, n),) if len(v)]
    put("ego_is_comfortable", _first(np.asarray(broken).any(0)) if broken else None)
    if lateral is not None:
        ahead = lateral[1] - lateral[0]
        for metric in ("ego_progress_along_expert_route", "ego_is_making_progress"):
            put(metric, _peak(ahead))
    return out


def along_route(run: RunLog, states: Floats) -> tuple[Floats, Floats]:
    """Station and signed offset (left positive), m, of rear axles `(N, >= 2)` on the route's line.

    NaN where the pose is not known; both empty without a route.
    """
    line = run.route_line.reshape(-1, run.route_line.shape[-1])[:, :2] if run.route_line.size else None
    if line is None or len(line) < 2 or not np.isfinite(line).all() or not len(states):
        return np.zeros(0), np.zeros(0)
    way = shapely.LineString(line)
    known = np.asarray(np.isfinite(states[:, :2]).all(-1))
    at = np.where(known[:, None], states[:, :2], line[0])
    points = shapely.points(at)
    station = np.asarray(shapely.line_locate_point(way, points), dtype=np.float64)
    steps = np.hypot(*np.diff(line, axis=0).T)
    k = np.clip(np.searchsorted(np.cumsum(steps), station), 0, len(steps) - 1)
    along, away = line[k + 1] - line[k], at - line[k]
    side = np.sign(along[:, 0] * away[:, 1] - along[:, 1] * away[:, 0])
    offset = side * np.asarray(shapely.distance(way, points), dtype=np.float64)
    return np.where(known, station, np.nan), np.where(known, offset, np.nan)


def statuses_of(run: RunLog) -> list[str]:
    """Status per planner call, by name."""
    given = run.header.get("plan_status")
    given = given if isinstance(given, list) else []
    named = [STATUSES[s] if isinstance(s, int) and 0 <= s < len(STATUSES) else str(s) for s in given]
    return named[: len(run.plan_step)]


def reasons_of(run: RunLog) -> dict[str, str]:
    """Call -> reason, where one was given."""
    given = run.header.get("plan_reason")
    if isinstance(given, dict):
        return {str(k): str(v)[:300] for k, v in given.items() if v}
    return {str(i): str(v)[:300] for i, v in enumerate(given) if v} if isinstance(given, list) else {}


def _status_changes(run: RunLog) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    statuses, reasons = statuses_of(run), reasons_of(run)
    for call, status in enumerate(statuses):
        if len(run.times) and status != (statuses[call - 1] if call else "ok"):
            step = min(max(int(run.plan_step[call]), 0), len(run.times) - 1)
            text = f"{status}: {reasons[str(call)]}" if str(call) in reasons else status
            out.append({"time": float(run.times[step]), "kind": "status", "text": text, "grave": False})
    return out


def _spells(run: RunLog) -> list[dict[str, Any]]:
    edge, ttc = _series(run, "road_edge_distance"), _series(run, "time_to_collision")
    braking = np.nan_to_num(run.ego[:, ACCELERATION]) if run.ego.shape[1] > ACCELERATION else np.zeros(0)
    out: list[dict[str, Any]] = []
    for kind, values, bound, words in (
        ("over_the_limit", -_series(run, "power_share"), -OVERLOAD, "{:.3f} of what was allowed"),
        ("off_road", edge, -c.OFF_ROAD_DISTANCE, "{:.1f} m beyond the edge"),
        ("low_time_to_collision", ttc, c.TTC_BOUND, "{:.2f} s"),
        ("hard_braking", braking, c.LON_ACCELERATION[0], "{:.1f} m/s²"),
    ):
        for first, last in _runs_of(values <= bound, run.times[: len(values)]):
            worst = float(np.nanmin(values[first : last + 1]))
            text = words.format(-worst if kind in ("off_road", "over_the_limit") else worst)
            if last > first:
                text += f", until {run.times[last]:.1f} s"
            out.append({"time": float(run.times[first]), "kind": kind, "text": text, "grave": True})
    return out


def _runs_of(bad: NDArray[np.bool_], times: Floats) -> list[tuple[int, int]]:
    """First and last samples of the spells in which `bad` holds, near ones merged."""
    out: list[tuple[int, int]] = []
    for k in np.flatnonzero(bad).tolist():
        if out and (k == out[-1][1] + 1 or times[k] - times[out[-1][1]] <= MERGE):
            out[-1] = (out[-1][0], k)
        else:
            out.append((k, k))
    return out


def _series(run: RunLog, name: str) -> Floats:
    """A series per sample, empty where the run has none of that length; NaN breaks no bound."""
    values = np.asarray(run.series.get(name, np.zeros(0)), dtype=np.float64)
    return values if values.shape == run.times.shape else np.zeros(0)


def _first(bad: ArrayLike) -> int | None:
    bad = np.asarray(bad)
    return int(np.argmax(bad)) if bad.any() else None


def _peak(values: Floats) -> int | None:
    """The sample of the largest value, None where nothing is above zero."""
    clean = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return int(np.argmax(clean)) if len(clean) and clean.max() > 0.0 else None


def _event(event: dict[str, Any], run: RunLog) -> dict[str, Any] | None:
    """One event of a header, whatever its writer called the fields; None without a time."""
    time, step = _named(event, "time", "t"), event.get("step")
    if time is None and isinstance(step, int) and len(run.times):
        time = float(run.times[min(max(step, 0), len(run.times) - 1)])
    if not isinstance(time, int | float) or not math.isfinite(time):
        return None
    kind = str(_named(event, "kind", "type", "name", "class") or "event")
    told = ("time", "t", "step", "kind", "type", "name", "class", "detail", "reason", "text")
    parts = [str(v) for v in (_named(event, "detail", "reason", "text"),) if v is not None]
    parts += [
        f"{k.replace('_', ' ')} {v}" for k, v in sorted(event.items()) if k not in told and v is not None
    ]
    fault = _series(run, "at_fault_collisions")
    if kind == "collision" and len(fault):
        near = np.abs(run.times - time) < 0.051
        parts.append("at fault" if (fault[near] > 0).any() else "not at fault")
    return {
        "time": float(time),
        "kind": kind,
        "text": _text(", ".join(parts)),
        "grave": kind not in ("status", "story"),
    }


def _text(value: object) -> str:
    return "" if value is None else str(value)[:300]


def _named(event: dict[str, Any], *names: str) -> Any:
    return next((event[n] for n in names if event.get(n) is not None), None)

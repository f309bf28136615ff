"""What the terminal shows of results: one line a planner, and what is needed to read it rightly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from drive.eval.bench.results import PairedDifference, Results, ranked

if TYPE_CHECKING:
    from rich.console import RenderableType

# Short heads for the long names of the metrics; others are shown as they are.
HEADS = {
    "no_ego_at_fault_collisions": "no fault",
    "drivable_area_compliance": "on road",
    "ego_is_making_progress": "moves",
    "driving_direction_compliance": "dir",
    "ego_progress_along_expert_route": "progress",
    "time_to_collision_within_bound": "ttc",
    "speed_limit_compliance": "limit",
    "ego_is_comfortable": "comfort",
    "route_completion": "completed",
    "infraction_penalty": "penalty",
    "driving_score": "score",
    "success_rate": "success",
    "comfortness": "comfort",
    "ability_overtaking": "overtaking",
    "ability_merging": "merging",
    "ability_emergency_brake": "brake",
    "ability_give_way": "give way",
    "ability_traffic_signs": "signs",
    "ability_mean": "abilities",
    "load_within_limit": "load",
    "slope_within_limit": "slope",
    "charge_kept": "charge",
    "no_at_fault_collisions": "no fault",
    "traffic_light_compliance": "lights",
    "ego_progress": "progress",
    "lane_keeping": "lane",
    "history_comfort": "comfort",
    "two_frame_extended_comfort": "2 frames",
    "second_stage": "stage 2",
    "planner_miss_rate_within_bound": "no miss",
    "planner_expert_average_l2_error_within_bound": "ade",
    "planner_expert_final_l2_error_within_bound": "fde",
    "planner_expert_average_heading_error_within_bound": "ahe",
    "planner_expert_final_heading_error_within_bound": "fhe",
}


NONE = "\u2013"


def results_table(results: Results) -> Group:
    """Scores with intervals, failures and latencies; the means of the metrics; differences; then notes.

    The tables stand below each other, so that each fits into 80 columns with names of planners up to 12
    letters and one score. Planners are in the order of the first score.
    """
    order = ranked(results)
    parts: list[RenderableType] = [_scores(results, order)]
    for score in results.scores:
        parts += _metrics(results, order, score)
        parts += _summaries(results, order, score)
    if len(order) > 1:
        # The best of those that do not know the future is what the others are held against.
        best = next((name for name in order if not results.planner(name)["privileged"]), order[0])
        others = [other for other in order if other != best]
        parts.append(
            differences_table([results.paired(best, o, score) for score in results.scores for o in others])
        )
    return Group(*parts, *(escape(line) for line in notes(results)))


def _scores(results: Results, order: Sequence[str]) -> Table:
    suite, data = results.data["suite"], results.data
    table = _table(
        f"{suite['id']}: {suite['valid']} scenarios{_mode(data)}, traffic {data['traffic']}, "
        f"seed {data['seed']}",
        ("planner", *(f"{score} [95 %]" for score in results.scores)),
        ("at fault", "goals", "failed", "p50 ms", "p95 ms"),
    )
    for name in order:
        planner = results.planner(name)
        goals, latency = planner["goals"], planner["latency_ms"]
        failed = {key: n for key, n in planner["failures"].items() if n and key.startswith("planner")}
        table.add_row(
            escape(name + ("*" if planner["privileged"] else "")),
            *(_estimate(planner["scores"][score]) for score in results.scores),
            _number(planner["at_fault_collisions"], "d"),
            f"{goals['reached']}/{goals['of']}" if goals["of"] else NONE,
            ", ".join(f"{n} {key.removeprefix('planner_')}" for key, n in failed.items()) or "0",
            _number(latency["p50"], ".2f"),
            _number(latency["p95"], ".2f"),
        )
    return table


def _mode(data: Mapping[str, Any]) -> str:
    """How plans were used, where not in closed loop."""
    return {"pseudo": " in pseudo-closed loop", "open": " in open loop"}.get(str(data.get("mode")), "")


def _metrics(results: Results, order: Sequence[str], score: str) -> list[Table]:
    """What a score is made of; of one with frames ("now.", "previous.") a table for each."""
    names = [
        name
        for name in results.data["score_metrics"].get(score, [])
        if any(_mean(results, planner, name) is not None for planner in order)
    ]
    # A name that another score has too stands behind this one's.
    frames: dict[str, dict[str, str]] = {}
    for name in names:
        frame, _, own = name.removeprefix(f"{score}/").rpartition(".")
        frames.setdefault(frame, {})[name] = HEADS.get(own, own)
    tables = []
    for frame, heads in frames.items():
        table = _table(
            f"what {score} is made of{f', {frame}' if frame else ''}, means",
            ("planner",),
            list(heads.values()),
        )
        for planner in order:
            table.add_row(escape(planner), *(_number(_mean(results, planner, name)) for name in heads))
        tables.append(table)
    return tables


def _summaries(results: Results, order: Sequence[str], score: str) -> list[Table]:
    """What a score says over all scenarios besides its mean, five figures a table."""
    found = {name: results.planner(name).get("summaries", {}).get(score, {}) for name in order}
    figures = [n for n in dict.fromkeys(n for row in found.values() for n in row) if n]
    tables = []
    for k in range(0, len(figures), 5):
        part = [n for n in figures[k : k + 5] if any(row.get(n) is not None for row in found.values())]
        if part:
            table = _table(f"{score} over all scenarios", ("planner",), [HEADS.get(n, n) for n in part])
            for name, row in found.items():
                table.add_row(escape(name), *(_number(row.get(n)) for n in part))
            tables.append(table)
    return tables


def differences_table(differences: Sequence[PairedDifference]) -> Table:
    """Paired differences, first minus second."""
    table = _table(
        "paired differences, scenario by scenario",
        ("first", "second", "score"),
        ("difference [95 %]", "n", ""),
    )
    for d in differences:
        table.add_row(
            escape(d.first),
            escape(d.second),
            escape(d.score),
            NONE
            if d.mean is None or d.ci95 is None
            else f"{d.mean:+.3f} [{d.ci95[0]:+.3f}, {d.ci95[1]:+.3f}]",
            str(d.n),
            ("clear" if d.clear else "not clear") + (f", {d.unpaired} unpaired" if d.unpaired else ""),
            end_section=False,
        )
    return table


def notes(results: Results) -> list[str]:
    """Lines below the table: what the figures mean here, and what was left out."""
    data = results.data
    lines = []
    if any(planner["privileged"] for planner in data["planners"]):
        lines.append("* knows the recorded future and cannot react: a reference, not a competitor.")
    experts = data["expert_sources"]
    if "idm" in experts:
        counts = ", ".join(f"{source} {n}" for source, n in experts.items())
        lines.append(
            f"Progress is measured against: {counts}. Where no driver was recorded it is an IDM drive "
            "to the goal: read goals and at-fault collisions beside the score."
        )
    if data.get("traffic", "log") not in ("log", "idm_compat", "none"):
        lines.append(
            f"Traffic '{data['traffic']}': road users that nuPlan's reactive mode removes "
            "(parked, off the lanes, appearing later) stay in the scene."
        )
    lines += data.get("score_remarks", {}).values()
    dropped = data.get("dropped", [])
    if dropped:
        first = dropped[0]
        lines.append(
            f"{len(dropped)} scenarios were dropped for every planner "
            f"(first: {first['id']}, {first['failure']})."
        )
    if data["skipped"]:
        first = data["skipped"][0]
        lines.append(
            f"{len(data['skipped'])} files were skipped (first: {first['file']}: {first['reason']})."
        )
    return lines


def verdict(results: Results) -> str | None:
    """Why these results are of no use, in a sentence: nothing was scored, or a planner never drove."""
    data = results.data
    if not data["suite"]["valid"]:
        reasons = "; ".join(sorted({one["failure"] for one in data["dropped"]})) or "no scenario"
        return f"no scenario could be scored ({reasons}): runs.jsonl in {results.path} has the messages"
    dead = [
        planner["name"]
        for planner in data["planners"]
        if sum(n for key, n in planner["failures"].items() if key.startswith("planner"))
        >= data["suite"]["valid"]
    ]
    if dead:
        return f"failed in every scenario: {', '.join(dead)} ('drive check PLANNER' says why)"
    return None


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(
        title=escape(title),
        title_justify="left",
        title_style="bold",
        box=None,
        header_style="bold",
        min_width=min(len(title), 79),
    )
    for index, head in enumerate(left):
        table.add_column(escape(head), justify="left" if index == 0 else "right", no_wrap=True)
    for head in right:
        table.add_column(escape(head), justify="right")
    return table


def _estimate(score: dict[str, Any]) -> str:
    if score["mean"] is None:
        return NONE
    low, high = score["ci95"]
    return f"{score['mean']:.3f} \\[{low:.3f}, {high:.3f}]"


def _mean(results: Results, planner: str, metric: str) -> float | None:
    value: float | None = results.planner(planner)["metrics"].get(metric)
    return value


def _number(value: float | None, form: str = ".2f") -> str:
    return NONE if value is None else format(value, form)

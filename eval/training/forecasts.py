"""How well forecasters foresee, in scenes that nothing was learnt from.

    python -m drive.eval.training.forecasts [--forecaster NAME ...] [--scenes 4] [--first-seed 9200]
        [--scenarios FILE ...] [--traffic idm]

The expert drives (in recorded scenes the human did), and every half second each forecaster is asked for the
next 4 s of all that are seen and move. ADE is the mean distance from where they came to be, FDE that after
4 s; intervals are of whole scenes drawn again. "Along lanes": bent as `stl_diffusion` bends them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive import registry
from drive.datasets import source
from drive.errors import DriveError, InputError, ScenarioError
from drive.eval.bench.statistics import Estimate, estimate
from drive.eval.training.collect import Collection, driven_moments
from drive.eval.training.scenes import scenes_of
from drive.forecast import expected
from drive.geometry import from_frame, to_frame
from drive.nn.store import DataRequest
from drive.scenario import Task
from drive.sim.forecast.flow import along_lanes
from drive.sim.forecast.movers import EVERY, KNOTS, followed, met
from drive.sim.sensors.vector import VectorSensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.forecast import Forecaster
    from drive.planner import Observation
    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

NAMES = ("constant_velocity", "steady", "learned")
GRID = 0.1
"""s; how finely forecasts are asked for."""
NINETY = 4.605
"""The square of the radius, in deviations, within which 90 % of a normal distribution on the plane lie."""


class Foreseen(NamedTuple):
    """Of one scene: distances `(N, KNOTS)` of each forecaster's places from the true ones, NaN where these
    are not known, and whether they lay in the ellipse of 90 %, `(N, KNOTS)`."""

    gap: dict[str, Floats]
    within: dict[str, Floats]


def foreseen(ref: str, request: DataRequest, forecasters: Mapping[str, Forecaster]) -> Foreseen:
    """What forecasters foresee in a scene, each by itself and along lanes. Raises ScenarioError for a scene
    that cannot be driven."""
    scenario = source.load(ref)
    pupil, moments = driven_moments(scenario, Collection(request), np.random.default_rng(request.seed))
    run = pupil.run
    sensor = VectorSensor.start(Task.of(scenario, request.seed), request.sizes)
    fine = np.linspace(0.0, KNOTS * EVERY, round(KNOTS * EVERY / GRID) + 1)[1:]
    looked = slice(round(EVERY / GRID) - 1, None, round(EVERY / GRID))
    gaps: dict[str, list[Floats]] = {}
    inside: dict[str, list[Floats]] = {}
    for moment in moments:
        o = moment.observation
        scene = sensor.sense(o)
        lanes = scene.lanes[scene.lanes_valid][..., :4].reshape(-1, 4).astype(np.float64)
        rows, true, known = _became(o, run)
        if not len(rows):
            continue
        for name, forecaster in forecasters.items():
            found = forecaster.forecast(o, o.time + fine)
            poses = expected(found, o.time + fine)[rows]
            miss = true - poses[:, looked, :2]
            best = found.probability[rows].argmax(1)
            spread = found.covariance[rows, best][:, looked] + 1e-6 * np.eye(2)
            far = np.einsum("nti,ntij,ntj->nt", miss, np.linalg.inv(spread), miss)
            inside.setdefault(name, []).append(np.where(known, far < NINETY, np.nan))
            bent = _bent(o, rows, poses, lanes, fine)[:, looked, :2]
            for label, away in ((name, miss), (f"{name}, along lanes", true - bent)):
                gaps.setdefault(label, []).append(
                    np.where(known, np.hypot(*np.moveaxis(away, -1, 0)), np.nan)
                )
    return Foreseen(*({n: np.concatenate(parts) for n, parts in one.items()} for one in (gaps, inside)))


def _became(o: Observation, run: RunLog) -> tuple[NDArray[np.intp], Floats, NDArray[np.bool_]]:
    """Who is seen and moves `(N,)`, their true places `(N, KNOTS, 2)`, and which of them are known."""
    rows, which = met(o, followed(o), run)
    at = o.step + np.rint(EVERY * np.arange(1, KNOTS + 1) / run.dt).astype(np.int64)
    within = np.minimum(at, len(run.times) - 1)
    true = run.agents[which][:, within, :2]
    known = run.agent_valid[which][:, within] & (at < len(run.times))
    away = np.hypot(*np.moveaxis(true - o.agents[rows, None, :2], -1, 0))
    speed = np.hypot(o.agents[rows, 3], o.agents[rows, 4])
    goes = (speed > 0.5) | (np.where(known, away, 0.0) > 1.0).any(1)
    return rows[goes], true[goes], known[goes]


def _bent(o: Observation, rows: NDArray[np.intp], poses: Floats, lanes: Floats, times: Floats) -> Floats:
    """Poses `(N, T, 3)` along lanes, which are seen from the ego."""
    own = o.ego[:3]
    now = np.column_stack((to_frame(o.agents[rows, :3], own), np.hypot(o.agents[rows, 3], o.agents[rows, 4])))
    return from_frame(along_lanes(to_frame(poses, own), now, o.agent_kind[rows], lanes, times), own)


def table(found: Sequence[Foreseen]) -> list[str]:
    """Lines of a Markdown table: each scene counts as many times as it has agents and moments."""
    names = sorted({name for one in found for name in one.gap}, key=lambda name: ("along" in name, name))
    lines = ["| | ADE, m [95 %] | FDE, m [95 %] | in the ellipse of 90 % |", "|---|---|---|---|"]
    for name in names:
        scenes = [one for one in found if name in one.gap]
        cells = [_pooled([one.gap[name].ravel() for one in scenes])]
        cells.append(_pooled([one.gap[name][:, -1] for one in scenes]))
        share = [one.within[name].ravel() for one in scenes if name in one.within]
        cells.append(f"{np.nanmean(np.concatenate(share)):.2f}" if share else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _pooled(parts: Sequence[Floats]) -> str:
    """The mean of all values of scenes, and its interval by scenes drawn again."""
    sums = np.array([(np.nansum(part), np.isfinite(part).sum()) for part in parts], dtype=np.float64)
    drawn = np.random.default_rng(0).integers(0, len(sums), (2000, len(sums)))
    many = sums[drawn].sum(1)
    low, high = np.quantile(many[:, 0] / np.maximum(many[:, 1], 1.0), (0.025, 0.975))
    return f"{sums[:, 0].sum() / max(sums[:, 1].sum(), 1.0):.3f} [{low:.3f}, {high:.3f}]"


def differences(found: Sequence[Foreseen], first: str = "learned") -> list[str]:
    """How much less the `first` one's ADE of a scene is than the others', paired by scene."""
    lines = []
    for suffix in ("", ", along lanes"):
        for name in sorted({name for one in found for name in one.gap}):
            if ("along" in name) != bool(suffix) or name == first + suffix:
                continue
            both = [one for one in found if name in one.gap and first + suffix in one.gap]
            less = [float(np.nanmean(o.gap[first + suffix]) - np.nanmean(o.gap[name])) for o in both]
            lines.append(
                f"{first}{suffix} - {name}: ADE of a scene {_told(estimate(less))}, {len(both)} scenes"
            )
    return lines


def _told(found: Estimate) -> str:
    if found.mean is None or found.ci95 is None:
        return "-"
    return f"{found.mean:+.3f} [{found.ci95[0]:+.3f}, {found.ci95[1]:+.3f}]"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: drive the scenes and print the table."""
    parser = argparse.ArgumentParser(prog="python -m drive.eval.training.forecasts", description=__doc__)
    parser.add_argument("--forecaster", action="append")
    parser.add_argument("--scenes", type=int, default=4, help="seeds of each family of the generator")
    parser.add_argument("--first-seed", type=int, default=9200)
    parser.add_argument("--scenarios", action="append", help="recorded ones instead")
    parser.add_argument("--traffic", default="idm")
    given = parser.parse_args(arguments)
    try:
        if given.scenes < 1:
            raise InputError("--scenes is 1 or more")
        request = DataRequest(
            scenes=0 if given.scenarios else given.scenes, first_seed=given.first_seed,
            scenarios=tuple(given.scenarios or ()), every=EVERY, twins=0.0, displaced=0.0,
            traffic=given.traffic,
        )  # fmt: skip
        asked = given.forecaster or NAMES
        forecasters = {name.partition(":")[0]: registry.load_forecaster(name) for name in asked}
        if len(forecasters) < len(asked):
            raise InputError("two of the forecasters have one name: compare them one by one")
        found = []
        for scene in scenes_of(request)[0]:
            try:
                one = foreseen(scene.ref, request, forecasters)
            except ScenarioError as error:
                print(f"{scene.ref}: {error}")
                continue
            if one.gap:
                found.append(one)
        if not found:
            raise InputError("no scene has anybody who moves")
        count = sum(len(next(iter(one.gap.values()))) for one in found)
        print("\n".join([*table(found), "", *differences(found)]))
        print(f"{len(found)} scenes, {count} agents at moments")
    except (DriveError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Bench2Drive's figures from the results that its evaluator wrote in CARLA.

Source: Bench2Drive 0.0.4 `tools/merge_route_json.py`, `ability_benchmark.py`,
`efficiency_smoothness_benchmark.py` (facts only). Routes that the results lack (a crash of the simulator)
count 0 in driving score and success; the published tool leaves them out of the abilities, so does this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.eval.metrics.carla.abilities import ABILITIES, abilities_of
from drive.eval.metrics.carla.bench2drive import efficiency
from drive.eval.metrics.carla.comfort import Motion, comfortness
from drive.eval.metrics.carla.constants import TICK

if TYPE_CHECKING:
    from drive.eval.metrics.carla.routes import RouteSet

MAX_BYTES = 256 * 1024 * 1024
_PERCENT = re.compile(r"(\d+(?:\.\d*)?)%")
_DONE = ("Completed", "Perfect")
_SLOW = "min_speed_infractions"


@dataclass(frozen=True, slots=True)
class RouteResult:
    """One route as the evaluator recorded it: score and completion in per cent, infraction messages."""

    id: str
    status: str
    score: float
    completion: float
    infractions: Mapping[str, tuple[str, ...]]

    @property
    def successful(self) -> bool:
        """Completed, and nothing written down but slow checkpoints."""
        others = any(v for k, v in self.infractions.items() if k != _SLOW)
        return self.status in _DONE and not others

    @property
    def efficiency(self) -> float | None:
        """Mean per cent of the traffic's speed over the checkpoints up to 1000 %."""
        found = [match for text in self.infractions.get(_SLOW, ()) if (match := _PERCENT.search(text))]
        return efficiency([float(match.group(1)) for match in found])


@dataclass(frozen=True, slots=True)
class Bench2DriveFigures:
    """The benchmark's figures, in [0, 1] but for the efficiency (1: as fast as the traffic).

    `missing` routes without a record; `undecided` failed routes of the signs' ability of which nobody said
    where their first junction lies: with one of them that ability and the mean have no value.
    """

    route_set: str
    hash: str
    driving_score: float
    success_rate: float
    efficiency: float | None
    comfortness: float | None
    abilities: Mapping[str, float | None]
    missing: tuple[str, ...]
    undecided: tuple[str, ...]

    @property
    def ability_mean(self) -> float | None:
        """Mean of the five abilities; None where one has no value."""
        known = [v for v in self.abilities.values() if v is not None]
        return sum(known) / len(known) if len(known) == len(ABILITIES) else None


def read_results(path: str | Path) -> tuple[RouteResult, ...]:
    """Records of a results file; raises InputError naming the file and what is wrong with it."""
    data = _read_json(Path(path))
    name = Path(path).name
    checkpoint = data.get("_checkpoint") if isinstance(data, dict) else None
    records = checkpoint.get("records") if isinstance(checkpoint, dict) else None
    if not isinstance(records, list):
        raise InputError(f"{name}: no results of the leaderboard: it has no _checkpoint.records")
    found: dict[str, RouteResult] = {}
    for number, record in enumerate(records):
        try:
            result = _record(record)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            raise InputError(f"{name}: record {number} is no whole route record") from None
        if result.id in found:
            raise InputError(f"{name}: the route {result.id} is recorded twice")
        found[result.id] = result
    return tuple(found.values())


def _record(record: Mapping[str, Any]) -> RouteResult:
    scores = record["scores"]
    score, completion = float(scores["score_composed"]), float(scores["score_route"])
    if not (0.0 <= score <= 100.0 and 0.0 <= completion <= 100.0):
        raise ValueError
    infractions = {str(k): tuple(str(text) for text in v) for k, v in record["infractions"].items()}
    # RouteScenario_3086_rep0 is the route 3086.
    return RouteResult(
        record["route_id"].split("_")[1], str(record["status"]), score, completion, infractions
    )


def figures(
    results: Sequence[RouteResult],
    routes: RouteSet,
    sign_shares: Mapping[str, float | None] | None = None,
    motions: Mapping[str, Motion] | None = None,
) -> Bench2DriveFigures:
    """The benchmark's figures; `sign_shares` by route as `routes.sign_share`, `motions` as `read_motion`.

    Raises InputError for a route set that is none of Bench2Drive's two, and for a record of another set.
    """
    name = routes.require_known()
    known = {route.id: route for route in routes.routes}
    strange = sorted({result.id for result in results} - set(known))
    if strange:
        raise InputError(f"route {strange[0]} of the results is not in {routes.file}")
    by_id = {result.id: result for result in results}
    count = len(known)
    asked: dict[str, list[float]] = {ability: [] for ability in ABILITIES}
    undecided: list[str] = []
    for route in known.values():
        result = by_id.get(route.id)
        for ability in abilities_of(route.kind) if result is not None else ():
            assert result is not None
            passed: bool | None = result.successful
            if ability == "traffic_signs" and not passed:
                passed = _read_the_sign(result, (sign_shares or {}).get(route.id, np.nan))
                if passed is None:
                    undecided.append(route.id)
                    continue
            asked[ability].append(float(bool(passed)))
    abilities = {a: sum(v) / len(v) if v else None for a, v in asked.items()}
    if undecided:
        abilities["traffic_signs"] = None
    speeds = [speed for result in results if (speed := result.efficiency) is not None]
    smooth = [c for m in (motions or {}).values() if (c := comfortness(m, quirks=True)) is not None]
    return Bench2DriveFigures(
        name,
        routes.hash,
        sum(result.score for result in results) / count / 100.0,
        sum(result.successful for result in results) / count,
        sum(speeds) / len(speeds) / 100.0 if speeds else None,
        sum(smooth) / len(smooth) if smooth else None,
        abilities,
        tuple(route for route in known if route not in by_id),
        tuple(undecided),
    )


def _read_the_sign(result: RouteResult, share: float | None) -> bool | None:
    """Whether a failed route still shows that signs are obeyed; None where an unknown junction decides."""
    if result.infractions.get("stop_infraction") or result.infractions.get("red_light") or share is None:
        return False
    if np.isnan(share):
        return None
    return result.completion / 100.0 > share


def read_motion(path: str | Path) -> Motion:
    """The ego's motion in a `metric_info.json` that Bench2Drive's agents write every 0.05 s.

    Accelerations ahead and aside are those of the vehicle's origin; CARLA's angular velocity is in degrees
    a second. Raises InputError naming the file for anything else.
    """
    data = _read_json(Path(path))
    try:
        rows = list(data.values())
        acceleration, forward, right = (
            np.asarray([row[key][:2] for row in rows], dtype=np.float64)
            for key in ("acceleration", "forward_vector", "right_vector")
        )
        rate = np.radians(np.asarray([row["angular_velocity"][2] for row in rows], dtype=np.float64))
        shapes = {acceleration.shape, forward.shape, right.shape}
        if shapes != {(len(rows), 2)} or not np.isfinite([acceleration, forward, right]).all():
            raise ValueError
    except (AttributeError, KeyError, TypeError, ValueError, IndexError):
        raise InputError(f"{Path(path).name}: no metric info of Bench2Drive") from None
    return Motion((acceleration * forward).sum(1), -(acceleration * right).sum(1), rate, TICK)


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path.name}: larger than {MAX_BYTES} bytes")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name}: no JSON ({' '.join(str(error).split())})") from None

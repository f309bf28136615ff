"""From rules to scores: progress, the human filter, the weighted sum, and the two stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.errors import UnknownNameError
from drive.eval.metrics.navsim import constants as c

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Columns = dict[str, float | None]

PROGRESS_MODES = ("v1", "v2", "gen_gt")
COMPATS = ("2025_09", "pre_2025_09")


def combine(
    columns: Mapping[str, float | None], multipliers: Iterable[str], weights: Mapping[str, float]
) -> float:
    """Product of the multipliers times the weighted mean of the rest; None leaves both."""
    product, total, used = 1.0, 0.0, 0.0
    for name in multipliers:
        value = columns.get(name)
        product *= 1.0 if value is None else value
    for name, weight in weights.items():
        value = columns.get(name)
        if value is not None:
            total, used = total + weight * value, used + weight
    return product * total / used if used else 0.0


def pdms(columns: Mapping[str, float | None]) -> float:
    """NC DAC (5 EP + 5 TTC + 2 C) / 12."""
    return combine(columns, c.MULTIPLIERS_1, c.WEIGHTS_1)


def epdms(columns: Mapping[str, float | None]) -> float:
    """NC DAC DDC TLC (5 EP + 5 TTC + 2 LK + 2 HC + 2 EC) / 16; over 14 where there is no second frame."""
    return combine(columns, c.MULTIPLIERS_2, c.WEIGHTS_2)


def ego_progress(metres: float, product: float, theirs: float, their_product: float, mode: str) -> float:
    """Progress in [0, 1] against PDM-Closed's `theirs` m; `product` of each one's multipliers.

    "v2" divides the metres by the better one's, who must keep the rules, and is 1 where that is 5 m or
    less; "v1" counts only metres of who keeps the rules, and is then 1 for those alone; "gen_gt", which
    labels a teacher's vocabulary, divides m by max(m, PDM's m) with m the metres of who keeps the rules.
    """
    mine, other = metres * product, theirs * their_product
    best = max(mine, other)
    far = best > c.PROGRESS_THRESHOLD
    if mode == "v2":
        return float(np.clip(metres / best, 0.0, 1.0)) if far else 1.0
    if mode == "v1":
        return mine / best if far else float(product > 0.0)
    if mode == "gen_gt":
        return mine / best if far else 1.0
    raise UnknownNameError("progress mode", mode, PROGRESS_MODES)


def human_filter(columns: Mapping[str, float | None], human: Mapping[str, float | None]) -> Columns:
    """The columns, 1 wherever the recorded driver's own is 0."""
    return {name: 1.0 if human.get(name) == 0.0 else value for name, value in columns.items()}


def stage_weights(end: ArrayLike, starts: ArrayLike) -> Floats:
    """Weights `(N,)` of follow-up starts `(N, 2)` for a plan that ends at `end (2,)`.

    exp(-d^2 / (2 0.1 m^2)), made to sum to 1; equal ones where the sum is next to 0, which is so beyond
    about 1.9 m from every start.
    """
    gap = np.asarray(starts, dtype=np.float64) - np.asarray(end, dtype=np.float64)
    weight = np.exp(-(gap**2).sum(-1) / (2.0 * c.KERNEL_VARIANCE))
    total = weight.sum()
    if total <= c.SUM_IS_ZERO or np.isnan(total):
        return np.full(len(gap), 1.0 / len(gap))
    return np.asarray(weight / total)


def two_stages(groups: Sequence[tuple[float, float]]) -> float:
    """Mean over frames of the first stage's score times the second's."""
    return sum(first * second for first, second in groups) / len(groups)

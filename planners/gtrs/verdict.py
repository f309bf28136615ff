"""How good picks are under the true teacher, on samples whose candidates are labelled.

The figures are of single plans, not of drives: they say whether a scorer learns, not how it drives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.nn._torch import Tensor, torch
from drive.nn.scene import SceneArrays
from drive.nn.tokens import SceneBatch, scene_batch
from drive.planners.gtrs.losses import difference
from drive.planners.gtrs.objective import LABEL_NAMES
from drive.planners.learned.profiles import Profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.gtrs.model import GTRSModel

SCORE = LABEL_NAMES.index("score")
FIELDS = ("future", "future_valid", "label_rows", "labels", "expert_score")


class Picks(NamedTuple):
    """True scores `(N,)` of samples: of the scorer's pick, the best candidate, the mean candidate (a random
    pick), the candidate nearest to going straight on at the same speed, and of the expert; and how far the
    pick ends from the expert in m."""

    picked: NDArray[np.float64]
    oracle: NDArray[np.float64]
    random: NDArray[np.float64]
    straight: NDArray[np.float64]
    expert: NDArray[np.float64]
    error: NDArray[np.float64]

    def figures(self) -> dict[str, float]:
        """Their means."""
        return {name: float(np.nanmean(values)) for name, values in zip(self._fields, self, strict=True)}


def scene_names(fields: tuple[str, ...]) -> tuple[str, ...]:
    """What of a training set an encoder reads."""
    own = tuple(f"scene.{name}" for name in SceneArrays._fields)
    return (*(name for name in own if name in fields), *(n for n in ("raster", "images") if n in fields))


def chunks(data: Any, rows: NDArray[np.intp], device: Any, size: int = 64) -> Iterator[dict[str, Tensor]]:
    """Samples as tensors, a few at a time, with what `picks` and scorers need."""
    names = (*scene_names(data.fields), *(name for name in FIELDS if name in data.fields))
    for begin in range(0, len(rows), size):
        taken = data.take(rows[begin : begin + size], names)
        yield {
            name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in taken.items()
        }


def moment(batch: Mapping[str, Tensor]) -> SceneBatch:
    """The scenes of a chunk."""
    return scene_batch(batch, batch["scene.ego"].device)


@torch.no_grad()
def picks(
    model: GTRSModel, data: Any, rows: NDArray[np.intp], poses: Tensor, profile: Profile, device: Any = "cpu"
) -> Picks:
    """What the scorer takes of each sample's labelled candidates; `poses (V, 40, 3)` of the vocabulary."""
    found: list[list[Tensor]] = []
    for batch in chunks(data, rows, device):
        view = moment(batch)
        candidates = poses[batch["label_rows"].long()]
        index = model.judge(model(view), view, candidates, profile, 1).index
        score = batch["labels"][..., SCORE].double()
        speed = batch["scene.ego"][:, 0].clamp(min=0.0)
        end = torch.stack((4.0 * speed, torch.zeros_like(speed)), -1)
        straight = (candidates[:, :, -1, :2] - end[:, None]).norm(dim=-1).argmin(1)
        each = torch.arange(len(index), device=index.device)
        away = difference(candidates[each, index], batch["future"].float().nan_to_num())
        last = away[:, -1, :2].norm(dim=-1).double()
        last = torch.where(batch["future_valid"][:, -1].bool(), last, torch.nan)
        found.append(
            [
                score[each, index],
                score.max(1).values,
                score.mean(1),
                score[each, straight],
                batch["expert_score"].double(),
                last,
            ]
        )
    return Picks(*(torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True)))


@torch.no_grad()
def spread(proposals: Tensor) -> Tensor:
    """The mean distance in m between two proposals' ends, `(B,)` of `(B, N >= 2, T, 3)`."""
    ends = proposals[:, :, -1, :2]
    count = ends.shape[1]
    apart: Tensor = torch.cdist(ends, ends).sum((1, 2)) / (count * (count - 1))
    return apart


__all__ = ["Picks", "chunks", "moment", "picks", "scene_names", "spread"]

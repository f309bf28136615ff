"""How far a scorer can be trusted where nobody showed it candidates: free search against it, then the truth.

A scorer learnt on a vocabulary is no safe reward. Others report that searching against this scorer lowers
the true score of planners that it was to improve (from 34.7 to 23.9 in one case): a search finds its errors.
`search` looks for motions that the scorer likes better than the best of its candidates, and `Drop` says what
the teacher thinks of them. Run it before using `Scorer` as an objective of anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.planners.gtrs.refine import gather
from drive.planners.gtrs.scorer import best
from drive.planners.learned.profiles import Profile, combine
from drive.sim.twin import roll_controls
from drive.vehicle import VehicleParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.tokens import SceneBatch
    from drive.planners.gtrs.model import GTRSModel

    Teach = Callable[[int, NDArray[np.float32]], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """`rounds` of `samples` motions a scene (cross-entropy: the best `elites` draw the next), or of gradient
    steps for as many motions; motions are rolled out from controls at `knots` times."""

    method: Literal["cem", "gradient"] = "cem"
    rounds: int = 6
    samples: int = 128
    elites: int = 16
    knots: int = 5
    acceleration: float = 2.0  # m/s^2, the spread of the first draw
    steering_rate: float = 0.08  # rad/s
    rate: float = 0.1  # of a gradient step, in spreads

    def __post_init__(self) -> None:
        if not 1 <= self.elites <= self.samples or self.rounds < 1 or self.knots < 2:
            raise InputError("a search needs rounds, two knots, and no more elites than samples")


class Drop(NamedTuple):
    """By scene `(B,)`: what the scorer and the teacher say of the candidates' best, and of what was found."""

    picked_believed: NDArray[np.float64]
    picked_true: NDArray[np.float64]
    found_believed: NDArray[np.float64]
    found_true: NDArray[np.float64]

    @property
    def drop(self) -> float:
        """What searching costs in true score, on the mean."""
        return float((self.picked_true - self.found_true).mean())

    def report(self) -> str:
        """One line."""
        gain = float((self.found_believed - self.picked_believed).mean())
        return (
            f"the search raises the scorer's combined score by {gain:.2f} and changes the true score from "
            f"{self.picked_true.mean():.3f} to {self.found_true.mean():.3f}"
        )


def search(
    model: GTRSModel,
    view: SceneBatch,
    candidates: Tensor,
    teach: Teach,
    profile: Profile,
    settings: SearchSettings | None = None,
    vehicle: VehicleParams | None = None,
    seed: int = 0,
) -> Drop:
    """Search against the scorer in B scenes, and ask the teacher; `candidates (B, K, 40, 3)` are the
    vocabulary's, `teach(row, poses (M, 40, 3)) -> (M,)` the true scores in one of the scenes."""
    s, car = settings or SearchSettings(), vehicle or VehicleParams()
    if model.scorer is None:
        raise InputError("these weights hold no scorer to search against")
    scorer = model.scorer
    with torch.no_grad():
        tokens = model(view)

    def believed(poses: Tensor) -> Tensor:
        return combine(scorer(tokens, view.scene, poses), profile)

    with torch.no_grad():
        own = believed(candidates)
        index, _ = best(own, 1)
        picked = gather(candidates, index[:, None])
    rolled = _Rolled(view.ego, car, s)
    draw = torch.Generator().manual_seed(seed)
    found = (_cem if s.method == "cem" else _gradient)(rolled, believed, s, draw)
    with torch.no_grad():
        top = believed(found)[:, 0]
    true = [
        [float(teach(row, poses[row].cpu().numpy())[0]) for row in range(len(poses))]
        for poses in (picked, found)
    ]
    return Drop(
        own.max(1).values.double().cpu().numpy(),
        np.array(true[0]),
        top.double().cpu().numpy(),
        np.array(true[1]),
    )


class _Rolled:
    """Motions `(B, M, 40, 3)` of knots `(B, M, N, 2)` in spreads, from the ego's present state."""

    def __init__(self, ego: Tensor, vehicle: VehicleParams, settings: SearchSettings) -> None:
        self.vehicle, self.settings, self.count = vehicle, settings, len(ego)
        still = torch.zeros_like(ego[:, 0])
        # Columns of the ego: speed, acceleration, steering, yaw rate.
        self.start = torch.stack((still, still, still, *ego[:, :4].unbind(1)), -1)
        self.spread = torch.tensor((settings.acceleration, settings.steering_rate), device=ego.device)

    def shape(self) -> tuple[int, int, int, int]:
        return (self.count, self.settings.samples, self.settings.knots, 2)

    def __call__(self, knots: Tensor) -> Tensor:
        b, m, n, _ = knots.shape
        flat = (knots * self.spread).reshape(b * m, n, 2).transpose(1, 2)
        fine = torch.nn.functional.interpolate(flat, size=40, mode="linear", align_corners=True).transpose(
            1, 2
        )
        start = self.start[:, None].expand(b, m, 7).reshape(b * m, 7)
        # Nobody is to gain by rolling backwards: the brakes end where the ego would stand.
        speed = (start[:, 3:4] + 0.1 * fine[..., 0].cumsum(1)).clamp(min=0.0)
        before = torch.cat((start[:, 3:4].clamp(min=0.0), speed[:, :-1]), 1)
        controls = torch.stack(((speed - before) / 0.1, fine[..., 1]), -1)
        driven: Tensor = roll_controls(self.vehicle, start, controls)[:, 1:, :3]
        return driven.reshape(b, m, 40, 3)


@torch.no_grad()
def _cem(rolled: _Rolled, believed: Callable[[Tensor], Tensor], s: SearchSettings, draw: Any) -> Tensor:
    b, _, n, _ = rolled.shape()
    device = rolled.spread.device
    mean, spread = torch.zeros((b, 1, n, 2), device=device), torch.ones((b, 1, n, 2), device=device)
    top, held = torch.full((b, 1), -torch.inf, device=device), torch.zeros((b, 1, 40, 3), device=device)
    for _ in range(s.rounds):
        knots = mean + spread * torch.randn(rolled.shape(), generator=draw).to(device)
        poses = rolled(knots)
        scores = torch.cat((top, believed(poses)), 1)
        value, at = scores.max(1, keepdim=True)
        held = gather(torch.cat((held, poses), 1), at)
        top = value
        elite = gather(knots, scores[:, 1:].topk(s.elites, dim=1).indices)
        mean, spread = elite.mean(1, keepdim=True), elite.std(1, keepdim=True).clamp(min=0.05)
    return held


def _gradient(rolled: _Rolled, believed: Callable[[Tensor], Tensor], s: SearchSettings, draw: Any) -> Tensor:
    knots = torch.randn(rolled.shape(), generator=draw).to(rolled.spread.device).requires_grad_(True)
    descent = torch.optim.Adam([knots], lr=s.rate)
    for _ in range(s.rounds):
        descent.zero_grad(set_to_none=True)
        (-believed(rolled(knots)).sum()).backward()  # type: ignore[no-untyped-call]
        descent.step()
    with torch.no_grad():
        poses = rolled(knots)
        return gather(poses, believed(poses).argmax(1, keepdim=True))


__all__ = ["Drop", "SearchSettings", "search"]

"""Group-relative policy optimisation of the denoising chain on the teacher's score of what it draws.

After ReCogDrive (arXiv 2506.08052): a group of chains for each moment, each sample driven by the teacher, its
score compared with the group's; the chains' probabilities are moved by that, the last steps most, and an
imitation term holds them to what the policy drew before. After DIVER (arXiv 2507.04049) who is unlike the
others of its group may be rewarded too, if it touches nobody and stays on the road.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.nn.chain import Chain, ChainSettings, log_probabilities_of, walk
from drive.nn.policy import OBJECTIVES, Advantage, group_advantage, policy_objective
from drive.nn.tokens import SceneBatch, scene_batch
from drive.planners.learned.scores import DAC, HC, LK, NC, SCORE, TLC, pdms
from drive.planners.stl_diffusion.bounds import relaxed
from drive.planners.stl_diffusion.calibrate import look_times
from drive.planners.stl_diffusion.config import STLDiffusionConfig
from drive.planners.stl_diffusion.model import PolicyNet
from drive.planners.stl_diffusion.policy import asked_of
from drive.planners.stl_diffusion.sampling import knotted
from drive.planners.stl_diffusion.scorer import Scorer
from drive.planners.stl_diffusion.signals import make_ground, moved_on
from drive.planners.stl_diffusion.template import Template

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.recipe import JudgedMoments

MODE = ("keep",)
SCORES = ("pdms", "teacher")
ACCELERATION = 4
"""The column of a roll-out's states."""


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """`group` chains a moment. `discount` weighs earlier denoising steps less. `imitation` weighs the chains
    of the policy as it was. The reward is `score` (pdms: NAVSIM's first; teacher: its second's terms with
    lights) plus `diversity` times how unlike its group a sample is; groups that differ by less than `floor`
    hardly count.
    """

    group: int = 8
    discount: float = 0.6
    imitation: float = 0.1
    score: str = "pdms"
    diversity: float = 0.0
    floor: float = 0.05
    chain: ChainSettings = field(default_factory=ChainSettings)

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise InputError(f"a tuning's score is {' or '.join(SCORES)}, not '{self.score}'")
        if self.group < 2 or not 0.0 < self.discount <= 1.0:
            raise InputError("a group has two chains or more, its discount lies in (0, 1]")
        if not min(self.imitation, self.diversity, self.floor) >= 0.0:
            raise InputError("a tuning's imitation, diversity and floor are 0 or more")


class Seen(NamedTuple):
    """Moments as the policy sees them when it is asked to keep its lane."""

    view: SceneBatch
    scorer: Scorer
    parameters: Tensor  # (B, 1, 6)


class Rewarded(NamedTuple):
    """What samples `(B, N)` are worth: rewards, scores, the teacher's labels `(B, N, 9)`, and how unlike
    their group they are."""

    reward: NDArray[np.float64]
    score: NDArray[np.float64]
    labels: NDArray[np.float64]
    unlike: NDArray[np.float64]


def seen_of(moments: JudgedMoments, rows: Sequence[int], model: PolicyNet, device: str) -> Seen:
    """Some moments with the formula that the planner asks by default; others go on as they move."""
    motion = model.settings.motion
    names = [name for name in moments.take([0]) if name.startswith(("scene.", "raster", "images"))]
    view = scene_batch(moments.take(list(rows), names), device)
    if view.scene is None:
        raise InputError("a policy learns from the arrays of scenes: the moments have none")
    times = look_times(motion, view.ego)
    ground = make_ground(view.scene, MODE, moved_on(view.scene, times))
    asked = asked_of(STLDiffusionConfig(), view.ego, len(MODE))
    scorer = Scorer(Template(motion.look_dt), motion, ground, MODE, relaxed(ground, asked, times))
    return Seen(view, scorer, asked)


def denoiser(model: PolicyNet, seen: Seen, count: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The network as a chain asks it, for `count` samples of each moment; slopes flow to all but the
    encoder."""
    with torch.no_grad():
        tokens = model.encoder(seen.view)
    g = seen.scorer.ground
    context = model.context(tokens, g.points, g.known, seen.parameters, MODE)

    def answer(noisy: Tensor, steps: Tensor) -> Tensor:
        shaped = noisy.view(len(context), 1, count, -1)
        return model.denoise(context, seen.parameters, shaped, steps[::count]).view_as(noisy)

    return answer


def drawn_chains(
    model: PolicyNet, seen: Seen, count: int, how: ChainSettings, generator: torch.Generator
) -> tuple[Chain, Tensor]:
    """`count` chains of each moment, all in one row `(B count, size)`, and what they drew, `(B, count, knots,
    2)`."""
    d, size = model.settings.diffusion, model.settings.motion.size
    rows = len(seen.parameters) * count
    start = torch.randn((rows, size), generator=generator, device=generator.device).to(seen.parameters)
    with torch.no_grad():
        chain = walk(d, denoiser(model, seen, count), start, how, generator)
    return chain, knotted(chain.sample(d)).view(-1, count, model.settings.motion.knots, 2)


def rewarded(
    moments: JudgedMoments, rows: Sequence[int], seen: Seen, drawn: Tensor, settings: TuneSettings
) -> Rewarded:
    """What the teacher says of samples `drawn (B, N, knots, 2)`."""
    states = seen.scorer.states(drawn[:, None])[:, 0].cpu().numpy()
    poses = np.ascontiguousarray(states[:, :, 1:, :3], dtype=np.float32)
    labels = np.stack([moments.judge(row, some) for row, some in zip(rows, poses, strict=True)])
    score = pdms(labels) if settings.score == "pdms" else labels[..., SCORE].astype(np.float64)
    unlike = unlikeness(poses)
    sound = labels[..., NC] * labels[..., DAC] * labels[..., TLC]
    return Rewarded(score + settings.diversity * sound * unlike, score, labels.astype(np.float64), unlike)


def unlikeness(poses: NDArray[Any]) -> NDArray[np.float64]:
    """How far paths `(B, N, T, >= 2)` lie from the others of their group on average, as a share of the
    group's mean length, squashed to below 1 (free of scale, and nothing is won by going to extremes)."""
    places = np.asarray(poses[..., :2], dtype=np.float64)
    gap = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1).mean(-1)
    count = places.shape[1]
    steps = np.linalg.norm(np.diff(places, axis=2), axis=-1).sum(-1)
    length = np.maximum(steps.mean(1, keepdims=True), 1.0)
    found: NDArray[np.float64] = np.tanh(gap.sum(-1) / max(count - 1, 1) / length)
    return found


def tune_loss(
    moments: JudgedMoments, before: PolicyNet, settings: TuneSettings, device: str
) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    """`loss(model, batch, generator)` for `drive.nn.fit`, of the moments `which (B,)` of a batch; `before` is
    the policy to be imitated."""
    how, n = settings.chain, settings.group
    advantage_of = Advantage(floor=settings.floor)

    def loss(model: Any, batch: Mapping[str, Tensor], generator: Any) -> tuple[Tensor, dict[str, Tensor]]:
        rows = batch["which"].tolist()
        seen = seen_of(moments, rows, model, device)
        chain, drawn = drawn_chains(model, seen, n, how, generator)
        told = rewarded(moments, rows, seen, drawn, settings)
        reward = torch.from_numpy(told.reward).float().to(device)
        advantage = group_advantage(reward, kind=advantage_of)
        network, d = denoiser(model, seen, n), model.settings.diffusion
        logp = log_probabilities_of(d, network, chain, how)  # (B n, K)
        late = settings.discount ** torch.arange(logp.shape[-1] - 1, -1, -1, device=logp.device)
        value = policy_objective(
            OBJECTIVES["reinforce"], logp, logp.detach(), advantage.view(-1, 1) * late.to(logp)
        )
        figures = {
            "reward": reward.mean(),
            "score": torch.tensor(told.score.mean()),
            "best": torch.tensor(told.score.max(1).mean()),
            "unlike": torch.tensor(told.unlike.mean()),
            "flat_groups": (reward.std(1) < 1e-6).float().mean(),
        }
        if settings.imitation > 0.0:
            old, _ = drawn_chains(before, seen, n, how, generator)
            kept = -log_probabilities_of(d, network, old, how).mean()
            value = value + settings.imitation * kept
            figures["imitation"] = kept.detach()
        return value, figures

    return loss


@torch.no_grad()
def measured(
    model: PolicyNet, moments: JudgedMoments, settings: TuneSettings, device: str, seed: int = 0
) -> dict[str, float]:
    """Of a group drawn for each moment, the same noise each time: score and best of the group; of what no
    reward looks at, the share that obeys the formula, the teacher's lane keeping and comfort, m/s^3 of jerk;
    and how unlike the samples are."""
    generator = torch.Generator().manual_seed(seed)
    found: list[tuple[float, ...]] = []
    for begin in range(0, len(moments), 16):
        rows = list(range(begin, min(begin + 16, len(moments))))
        seen = seen_of(moments, rows, model, device)
        _, drawn = drawn_chains(model, seen, settings.group, settings.chain, generator)
        told = rewarded(moments, rows, seen, drawn, settings)
        obeys = seen.scorer.robustness(drawn[:, None])[:, 0] > 0.0
        states = seen.scorer.states(drawn[:, None])[:, 0]
        jerk = states[..., 1:, ACCELERATION].diff(dim=-1).abs().mean((1, 2)) / seen.scorer.motion.dt
        found += zip(
            told.score.mean(1), told.score.max(1), obeys.float().mean(1).tolist(),
            told.labels[..., LK].mean(1), told.labels[..., HC].mean(1), jerk.tolist(), told.unlike.mean(1),
            told.labels[..., NC].mean(1),
            strict=True,
        )  # fmt: skip
    names = ("score", "best", "compliance", "lane", "comfort", "jerk", "unlike", "no_fault")
    return dict(zip(names, np.mean(found, axis=0).tolist(), strict=True))


__all__ = [
    "Rewarded", "Seen", "TuneSettings", "denoiser", "drawn_chains", "measured", "rewarded", "seen_of",
    "tune_loss", "unlikeness",
]  # fmt: skip

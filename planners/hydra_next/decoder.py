"""The three decoders of Hydra-NeXt over a scene's tokens: trajectories, controls, and a diffusion policy.

Source: the Hydra-NeXt repository (facts; written anew): Li et al., "Hydra-NeXt: Robust Closed-Loop Driving
with Open-Loop Training", 2025. Where ours differs: the ego's state is one of the scene's tokens, so every
decoder sees it, and the queries for controls begin with it; candidates look at the scene, and at each other
only with `self_attention`; the time of the denoising joins the noisy signal, not the scene, whose keys are
then computed once for all steps; what controls the vehicle sees, beside the scene, the candidates that the
trajectory decoder likes best (`advice`), without which it imitates and does not know what is dangerous.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from drive.errors import InputError, UnknownNameError
from drive.nn._torch import Tensor, nn, torch
from drive.nn.blocks import Decoder, Memory, mlp, sinusoidal
from drive.nn.diffusion import DiffusionSettings
from drive.nn.encoders import EncoderSettings, make_encoder
from drive.nn.geometry import GEOMETRY_COLUMNS, candidate_geometry, scaled
from drive.planners.hydra_next.kinematics import PedalModel
from drive.planners.hydra_next.signals import Bins, Coding
from drive.planners.learned.profiles import IMITATION

if TYPE_CHECKING:
    from drive.nn.scene import SceneArrays
    from drive.nn.tokens import SceneBatch, SceneTokens

ARCHITECTURE = "hydra_next-2"
HEADS = {
    "nc": "col", "lk": "slk", "ep": "ep",
    "dac": "dac", "ddc": "ddc", "tlc": "tlc", "ttc": "ttc", "hc": "hc",
}  # fmt: skip
"""The teacher's labels that can be learnt, and what Hydra-NeXt calls them."""
PUBLISHED_HEADS = ("nc", "lk", "ep")
ALL_HEADS = ("nc", "dac", "ddc", "tlc", "ttc", "lk", "ep", "hc")
STEP = 0.1
EVERY = 5
"""Steps of `STEP` s between two poses of a candidate and between two waypoints."""
CONTROL_ROWS = (0, 5, 10, 15)
"""The control decoder tells the controls of 0, 0.5, 1.0 and 1.5 s."""
HORIZON = 40
"""Poses of a candidate, 4 s."""
SIGNAL_STEPS = 10
SIGNAL_SIZE = 2 * SIGNAL_STEPS
"""The diffusion policy tells two channels at 10 Hz over 1 s."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The network's shape; width is the encoder's.

    `poses` waypoints half a second apart are what is looked at of a candidate, published are 6; `advice` of
    the best candidates are shown to those who decide on controls, published is none. `geometry` tells where
    they lie in the scene (vector scenes only) beside their coordinates. `teacher` names the labels that are
    learnt, of which only `PUBLISHED_HEADS` are published. `vocabulary` is the number of candidates that the
    weights bring with them. `diffusion` predicts the clean signal; published is the noise, whose errors are
    blown up where there is little else. `bins`, `coding` and `pedals` say what the expert's controls were
    made into.
    """

    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    heads: int = 4
    ffn: int = 128
    hidden: int = 128
    trajectory_layers: int = 2
    control_layers: int = 2
    policy_layers: int = 2
    dropout: float = 0.3
    poses: int = 8
    advice: int = 8
    geometry: bool = True
    self_attention: bool = False
    teacher: tuple[str, ...] = ALL_HEADS
    vocabulary: int = 1024
    diffusion: DiffusionSettings = field(
        default_factory=lambda: DiffusionSettings(steps=50, prediction="sample")
    )
    bins: Bins = field(default_factory=Bins)
    coding: Coding = field(default_factory=Coding)
    pedals: PedalModel = field(default_factory=PedalModel)

    def __post_init__(self) -> None:
        for name in self.teacher:
            if name not in HEADS:
                raise UnknownNameError("teacher's label", name, HEADS)
        if not 2 <= self.poses * EVERY <= HORIZON or self.poses < 2 or self.vocabulary < 1 or self.advice < 0:
            raise InputError(
                f"a model needs 2 to {HORIZON // EVERY} poses, a vocabulary and an advice of 0 or more"
            )


class ControlLogits(NamedTuple):
    """What the control decoder says of the four controls."""

    brake: Tensor  # (B, 4) logit that it brakes
    strength: Tensor  # (B, 4, brake bins)
    throttle: Tensor  # (B, 4, throttle bins)
    steer: Tensor  # (B, 4, steer bins)


class Verdicts(NamedTuple):
    """What the trajectory decoder says of candidates."""

    logits: dict[str, Tensor]  # (B, K) by head
    states: Tensor  # (B, K, 2 d), what was seen of each and thought of it


class TrajectoryDecoder(nn.Module):
    """Verdicts on candidates: imitation, and one logit for each of the teacher's labels."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        s, d = settings, settings.encoder.width
        self.settings = s
        columns = 2 + (len(GEOMETRY_COLUMNS) if s.geometry else 0)
        self.embed = mlp((s.poses * columns, s.hidden, d))
        self.decoder = Decoder(d, s.heads, s.trajectory_layers, s.ffn, self_attention=s.self_attention)
        self.status = nn.Linear(d, d)
        self.imitation = mlp((d, d, d, 1))
        self.teacher = nn.ModuleDict({name: mlp((d, d, 1)) for name in s.teacher})

    def forward(self, tokens: SceneTokens, scene: SceneArrays | None, candidates: Tensor) -> Verdicts:
        """Verdicts on candidates `(B, K, T, 3)` every `STEP` s."""
        s = self.settings
        reach = s.poses * EVERY
        if candidates.ndim != 4 or candidates.shape[-1] != 3 or candidates.shape[2] < reach:
            raise InputError(f"candidates must be (B, K, >= {reach}, 3), got {tuple(candidates.shape)}")
        candidates = candidates[:, :, :reach]
        features = [candidates[:, :, EVERY - 1 :: EVERY, :2] * 0.1]
        if s.geometry:
            if scene is None:
                raise InputError(
                    "this network looks at geometry, which needs vector scenes: set geometry=False"
                )
            features.append(scaled(candidate_geometry(scene, candidates, STEP, every=EVERY)))
        queries = self.embed(torch.cat(features, -1).flatten(2))
        decoded = self.decoder(queries, tokens.tokens, tokens.valid) + self.status(tokens.ego)[:, None]
        out = {IMITATION: self.imitation(decoded).squeeze(-1)}
        for name, head in self.teacher.items():
            out[name] = head(decoded).squeeze(-1)
        return Verdicts(out, torch.cat((queries, decoded), -1))


class Advice(nn.Module):
    """The best candidates as further tokens of the scene, for those who decide on controls.

    Nothing is learnt through them about the candidates: their states are taken as they are.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        s, d = settings, settings.encoder.width
        self.settings = s
        self.way = mlp((s.poses * 3, s.hidden, d))
        self.state = nn.Linear(2 * d, d)
        self.rank = nn.Parameter(torch.randn(s.advice, d) * d**-0.5)

    def forward(self, tokens: SceneTokens, verdicts: Verdicts, total: Tensor, poses: Tensor) -> SceneTokens:
        """The tokens, and one more for each of the best by `total (B, K)` of the candidates `poses`."""
        count = min(self.settings.advice, total.shape[1])
        best = total.detach().topk(count, dim=1).indices
        rows = torch.arange(len(best), device=best.device)[:, None]
        seen = poses[rows, best][:, :, EVERY - 1 : self.settings.poses * EVERY : EVERY]
        way = seen * seen.new_tensor((0.1, 0.1, 1.0))
        more = self.way(way.flatten(2)) + self.state(verdicts.states[rows, best].detach()) + self.rank[:count]
        valid = torch.cat((tokens.valid, tokens.valid.new_ones(best.shape)), 1)
        return tokens._replace(tokens=torch.cat((tokens.tokens, more), 1), valid=valid)


class ControlDecoder(nn.Module):
    """Four learnt queries beside the ego's token, one a control half a second after the other."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        s, d = settings, settings.encoder.width
        self.queries = nn.Parameter(torch.randn(len(CONTROL_ROWS), d) * d**-0.5)
        self.decoder = Decoder(d, s.heads, s.control_layers, s.ffn, self_attention=True)

        def head(size: int) -> nn.Sequential:
            return mlp((d, d, size), dropout=s.dropout)

        self.brake, self.strength = head(1), head(len(s.bins.brake))
        self.throttle, self.steer = head(len(s.bins.throttle)), head(len(s.bins.steer))

    def forward(self, tokens: SceneTokens) -> ControlLogits:
        queries = self.queries + tokens.tokens[:, :1]
        decoded = self.decoder(queries, tokens.tokens, tokens.valid)
        return ControlLogits(
            self.brake(decoded).squeeze(-1),
            self.strength(decoded),
            self.throttle(decoded),
            self.steer(decoded),
        )


class ControlPolicy(nn.Module):
    """The denoiser of control sequences: a whole noisy sequence is one query to the scene."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        s, d = settings, settings.encoder.width
        self.width = d
        self.embed = nn.Linear(SIGNAL_SIZE, d)
        self.time = mlp((d, d, d))
        self.decoder = Decoder(d, s.heads, s.policy_layers, s.ffn)
        self.out = nn.Linear(d, SIGNAL_SIZE)

    def remember(self, tokens: SceneTokens) -> tuple[Tensor, list[Memory]]:
        """The ego's token, and the scene as the layers look at it: computed once for all steps."""
        return tokens.tokens[:, :1], self.decoder.remember(tokens.tokens, tokens.valid)

    def forward(self, noisy: Tensor, steps: Tensor, scene: tuple[Tensor, list[Memory]]) -> Tensor:
        """What `DiffusionSettings.prediction` names, of `noisy (B, N, 20)` at `steps (B,)`."""
        time = self.time(sinusoidal(steps.to(noisy.dtype), self.width))[:, None]
        out: Tensor = self.out(self.decoder.attend(self.embed(noisy) + time + scene[0], scene[1])[-1])
        return out


class HydraNext(nn.Module):
    """Encoder and the three decoders; `vocabulary (K, 40, 3)` is part of the weights."""

    vocabulary: Tensor

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("vocabulary", torch.zeros(settings.vocabulary, HORIZON, 3))
        self.encoder = make_encoder(settings.encoder)
        self.trajectory = TrajectoryDecoder(settings)
        self.advice = Advice(settings) if settings.advice else None
        self.control = ControlDecoder(settings)
        self.policy = ControlPolicy(settings)

    def forward(self, batch: SceneBatch) -> SceneTokens:
        """The scene's tokens, which the decoders read."""
        tokens: SceneTokens = self.encoder(batch)
        return tokens

    def advised(self, tokens: SceneTokens, verdicts: Verdicts, total: Tensor, poses: Tensor) -> SceneTokens:
        """What the control decoder and the policy look at, of candidates `poses (B, K, T, 3)` and their score
        `total (B, K)`."""
        if self.advice is None:
            return tokens
        seen: SceneTokens = self.advice(tokens, verdicts, total, poses)
        return seen


__all__ = [
    "ALL_HEADS",
    "ARCHITECTURE",
    "CONTROL_ROWS",
    "EVERY",
    "HEADS",
    "HORIZON",
    "PUBLISHED_HEADS",
    "SIGNAL_SIZE",
    "SIGNAL_STEPS",
    "STEP",
    "Advice",
    "ControlDecoder",
    "ControlLogits",
    "ControlPolicy",
    "HydraNext",
    "ModelSettings",
    "TrajectoryDecoder",
    "Verdicts",
]

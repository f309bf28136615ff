"""The policy's network: every mode of every reference line is a candidate, with a score.

The shared encoder reads the moment; a query of line and mode is answered by a decoder, without looking at
other queries, so that neither their order nor lines that are not there matter. Tensor layout, heads and the
two stages after RIFT (arXiv 2505.03344) and its Pluto; candidates are drawn along their lines, so that their
lateral motion is that of the line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from drive.errors import InputError
from drive.nn._torch import Tensor, functional, nn, torch
from drive.nn.blocks import Decoder, mlp
from drive.nn.encoders import Encoder, EncoderSettings
from drive.nn.scene import SceneArrays, SceneSizes
from drive.nn.tokens import SceneBatch
from drive.sim.traffic.rift.kernels.base import (
    FACTS,
    FEARS,
    KNOTS,
    LINE_WIDTH,
    LINES,
    LOOK,
    MODES,
    POINT_COLUMNS,
    PROBES,
)
from drive.sim.traffic.rift.kernels.plans import ABOUT, LEAST, SHARPEST, STEEPEST, TURNED

ARCHITECTURE = "rift-1"
HEAD = "pi_head."
ANCHORS = (-4.0, -2.0, -0.8, 0.0, 0.8, 1.8)
"""m/s^2 of the modes; the network adds up to `LEEWAY` to each."""
LEEWAY = 1.5
SLOWEST, QUICKEST = 2.0, 5.0
"""s in which an offset from a line is worked off."""
KNOT_DT = 0.5
BEND = POINT_COLUMNS.index("curvature")
"""Of a line's columns: its curvature at the vehicle."""
SHRINK, NEAR, HARM = 8.0, 0.75, 3.0
"""Nats that a contact at once costs, falling to none at this share of the horizon, once more for each 15 m/s
at the end, and so many times more for each 15 m/s at the contact: who cannot avoid it brakes. Recordings hold
next to no hard braking: from them alone the head does not learn when it is due. A contact with one of the
others and one with who is ahead cost each: who fears to be struck from the side does not drive into the car
in front for it."""
FINAL = PROBES.index("final_speed") - len(PROBES) - len(FEARS)
_POINT = (20.0, 20.0, 1.0, 1.0, 0.05, 10.0)
_FACT = (2.0, 0.3, 50.0, 50.0, 50.0, 30.0, 10.0, 1.0, 30.0, 10.0, 1.0, 10.0, 10.0, 10.0, 1.0, 1.0)
SIZES = SceneSizes(
    agents=12, history=3, history_dt=0.5, lanes=15, lane_points=5, lane_length=20.0, edges=1, edge_points=4,
    route=16, route_step=4.0, route_behind=8.0,
)  # fmt: skip
"""What of a moment is kept: no edges of the road, and of the lanes those of the reference lines."""


@dataclass(frozen=True, slots=True)
class RiftSettings:
    """The network's sizes."""

    encoder: EncoderSettings = field(default_factory=lambda: EncoderSettings(sizes=SIZES))
    decoder_layers: int = 1
    hidden: int = 64

    def __post_init__(self) -> None:
        if self.encoder.kind != "vector" or self.encoder.sizes != SIZES:
            raise InputError("the traffic policy reads vectors, as many as SIZES says")
        if self.decoder_layers < 1 or self.hidden < 1:
            raise InputError("a policy's decoder_layers and hidden are 1 or more")


class Proposals(NamedTuple):
    """What is known of the candidates before they are drawn; C = LINES * MODES, line by line."""

    queries: Tensor  # (N, C, d)
    accelerations: Tensor  # (N, C, KNOTS) m/s^2
    lengths: Tensor  # (N, C) m over which the offset is worked off


class RiftPolicy(nn.Module):
    """Proposals from a moment, then scores from proposals and what becomes of them."""

    anchors: Tensor
    line_scale: Tensor

    def __init__(self, settings: RiftSettings | None = None) -> None:
        super().__init__()
        self.settings = s = settings or RiftSettings()
        d = s.encoder.width
        self.encoder = Encoder(s.encoder)
        self.line = mlp((LINE_WIDTH, 2 * d, d))
        self.mode = nn.Parameter(torch.randn(MODES, d) * 0.1)
        self.join = nn.Linear(2 * d, d)
        self.decoder = Decoder(d, s.encoder.heads, s.decoder_layers, s.encoder.ffn)
        self.motion = mlp((d, s.hidden, KNOTS + 1))
        self.pi_head = mlp((d + len(PROBES), s.hidden, 1))
        self.register_buffer("anchors", torch.tensor(ANCHORS), persistent=False)
        self.register_buffer("line_scale", torch.tensor(_POINT * len(LOOK) + _FACT), persistent=False)

    def propose(self, scene: SceneArrays, lines: Tensor, lines_valid: Tensor) -> Proposals:
        """Candidates of moments `scene`, their `lines (N, LINES, LINE_WIDTH)`, which of these there are."""
        known = lines.masked_fill(~lines_valid[..., None], 0.0)
        found = self.encoder(SceneBatch(scene, None, None, scene.ego))
        line = self.line(_close(known / self.line_scale))
        n = len(line)
        both = torch.cat(
            (
                line[:, :, None].expand(n, LINES, MODES, line.shape[-1]),
                self.mode[None, None].expand(n, LINES, MODES, line.shape[-1]),
            ),
            -1,
        )
        start = self.join(both).flatten(1, 2) + found.tokens[:, :1]
        queries = self.decoder(start, found.tokens, found.valid)
        out = self.motion(queries)
        accelerations = self.anchors.repeat(LINES)[None, :, None] + LEEWAY * torch.tanh(out[..., :KNOTS])
        seconds = SLOWEST + (QUICKEST - SLOWEST) * torch.sigmoid(out[..., KNOTS])
        facts = known[..., -len(FACTS) :]
        offset = facts[..., 0].abs().repeat_interleave(MODES, 1)
        speed = scene.ego[:, :1]
        lengths = torch.maximum(seconds * speed.clamp(min=4.0), (7.0 * offset).clamp(min=8.0)).clamp(max=80.0)
        return Proposals(queries, accelerations, lengths)

    def features(self, queries: Tensor, probes: Tensor) -> Tensor:
        """What the score is made from, (N, C, d + P + 3): frozen when the policy is tuned."""
        return torch.cat((queries, probes), -1)

    def score(self, features: Tensor) -> Tensor:
        """Logits (N, C): the head's, less what drivers shrink from: a near contact if nobody yields."""
        fears, final = features[..., -len(FEARS) :], features[..., FINAL]
        out: Tensor = self.pi_head(features[..., : -len(FEARS)]).squeeze(-1)
        soon = (1.0 - fears[..., :-1] / NEAR).clamp(min=0.0).sum(-1)
        return out - SHRINK * soon * (1.0 + final + HARM * fears[..., -1])


def _close(lines: Tensor) -> Tensor:
    """Distances are told so that 0 and 2 m differ more than 100 and 102."""
    facts = lines[..., -len(FACTS) :].clone()
    for k in (2, 3, 4, 5, 8):
        scale = _FACT[k]
        facts[..., k] = torch.exp(-(facts[..., k] * scale).clamp(min=0.0) / 12.0)
    return torch.cat((lines[..., : -len(FACTS)], facts), -1)


def travel(accelerations: Tensor, speed: Tensor) -> Tensor:
    """Metres (N, C, KNOTS) driven after each knot at `accelerations (N, C, KNOTS)` from `speed (N,)`.

    As the kernels drive them but in steps of a knot: who stands stays.
    """
    v = speed[:, None].clamp(min=0.0).expand(accelerations.shape[:2])
    out = []
    s = torch.zeros_like(v)
    for k in range(accelerations.shape[-1]):
        after = (v + KNOT_DT * accelerations[..., k]).clamp(min=0.0)
        s = s + 0.5 * KNOT_DT * (v + after)
        v = after
        out.append(s)
    return torch.stack(out, -1)


def offsets(way: Tensor, offset: Tensor, turn: Tensor, bent: Tensor, length: Tensor) -> Tensor:
    """Offsets (N, K) in m after `way (N, K)` m, from an offset, a turn in rad and a bend in 1/m (N,) against
    the line, worked off over `length (N,)` m: what `kernels.plans.draw` draws."""
    slope = turn.clamp(-float(STEEPEST), float(STEEPEST)).tan()
    most = float(TURNED) / slope.abs().clamp(min=1e-3)
    decay = torch.minimum(length / float(ABOUT), most).clamp(min=float(LEAST))
    first = slope * decay + offset
    second = 0.5 * (bent.clamp(-float(SHARPEST), float(SHARPEST)) * decay**2 + 2.0 * first - offset)
    u = way / decay[:, None]
    return (offset[:, None] + first[:, None] * u + second[:, None] * u**2) * torch.exp(-u)


def imitation_loss(
    model: Any, batch: Mapping[str, Tensor], generator: Any = None, *, smoothing: float = 0.1
) -> tuple[Tensor, dict[str, Tensor]]:
    """Winner takes all on the recorded motion, and the cross-entropy of the winner.

    The batch has the fields of `pretrain.FIELDS`. Of the recorded line's modes the one whose metres come
    nearest wins; it alone is drawn to the recording.
    """
    scene = SceneArrays(*(batch[f"scene.{name}"] for name in SceneArrays._fields))
    valid = batch["lines_valid"]
    found = model.propose(scene, batch["lines"], valid)
    metres = travel(found.accelerations, scene.ego[:, 0])  # (N, C, K)
    line = batch["target_line"].long()
    target = batch["target_s"]  # (N, K), along that line
    mine = metres.view(len(metres), LINES, MODES, -1)[torch.arange(len(line)), line]
    gap = (mine - target[:, None]).abs()
    weight = 1.0 / (1.0 + 0.05 * target.abs())[:, None]
    best = (gap * weight).mean(-1).detach().argmin(-1)
    winner = mine[torch.arange(len(line)), best]
    motion = (functional.smooth_l1_loss(winner, target, reduction="none") * weight[:, 0]).mean()
    logits = model.score(model.features(found.queries, batch["probes"]))
    mask = valid.repeat_interleave(MODES, 1)
    logits = logits.masked_fill(~mask, -1e8)
    log = torch.log_softmax(logits, -1)
    label = line * MODES + best
    hard = -log.gather(-1, label[:, None]).squeeze(-1)
    soft = -(log.masked_fill(~mask, 0.0).sum(-1) / mask.sum(-1))
    choice = ((1.0 - smoothing) * hard + smoothing * soft).mean()
    settle = batch["target_d"]  # (N, K) offset from the recorded line
    chosen = batch["lines"][torch.arange(len(line)), line]
    ego = scene.ego
    bent = torch.where(ego[:, 0] > 1.0, ego[:, 3] / ego[:, 0].clamp(min=1.0) - chosen[:, BEND], 0.0)
    length = found.lengths[torch.arange(len(line)), label]
    d = offsets(winner.detach(), chosen[:, -len(FACTS)], chosen[:, 1 - len(FACTS)], bent, length)
    side = functional.smooth_l1_loss(d, settle)
    loss = choice + motion + 0.5 * side
    with torch.no_grad():
        right = (logits.argmax(-1) == label).float().mean()
        acted = metres[torch.arange(len(line)), logits.argmax(-1)]
        miss = (acted[:, -1] - target[:, -1]).abs().mean()
    return loss, {"choice": choice, "motion": motion, "side": side, "right": right, "miss": miss}


__all__ = [
    "ANCHORS",
    "ARCHITECTURE",
    "HEAD",
    "SIZES",
    "Proposals",
    "RiftPolicy",
    "RiftSettings",
    "imitation_loss",
    "offsets",
    "travel",
]

"""Three encoders behind one `SceneTokens`: the arrays of a scene, a raster from above, pictures of cameras.

Each makes tokens of its input, puts the ego's own token before them, and lets all look at each other in
the same transformer. Normalisation is by groups or tokens, never by batches: one moment alone is encoded as
among others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from drive.errors import InputError
from drive.nn._torch import Tensor, nn, torch
from drive.nn.blocks import EncoderLayer, mlp, sinusoidal
from drive.nn.grids import ImageTokens, RasterTokens
from drive.nn.scene import (
    AGENT_COLUMNS,
    BODY_COLUMNS,
    EDGE_COLUMNS,
    EGO_COLUMNS,
    LANE_COLUMNS,
    LANE_INFO_COLUMNS,
    ROUTE_COLUMNS,
    SceneArrays,
    SceneSizes,
)
from drive.nn.tokens import SceneBatch, SceneTokens

KINDS = ("vector", "raster", "image")
ROUTE_CHUNK = 8  # points of the way in a token
PLACE = 24  # numbers that say where a piece lies, a coordinate
# What makes the columns of `scene` about one in size.
_EGO = (10.0, 3.0, 0.3, 0.3, 10.0, 2.0, 0.3, 50.0, 50.0, 50.0, 5.0, 2.0, 2.0, 3.0)
_NEAR = ("stop_distance", "red_distance", "goal_distance")
_NEAR_SCALE = 10.0
_AGENT = (20.0, 20.0, 1.0, 1.0, 10.0, 10.0)
_BODY = (5.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0)
_LANE = (20.0, 20.0, 1.0, 1.0, 2.0)
_LANE_INFO = (10.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
_EDGE = (20.0, 20.0)
_ROUTE = (20.0, 20.0, 1.0, 1.0, 0.05, 10.0, 4.0, 4.0, 20.0)


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """What an encoder is made of.

    `kind` is one of `KINDS`; `layers` transformer layers of `width`, `heads` and `ffn` follow the tokens.
    `sizes` matter to "vector"; `channels` (of the first convolutions) to "raster", which gives 8 x 8 tokens,
    and to "image", which gives 6 x 24.
    """

    kind: str = "vector"
    width: int = 64
    layers: int = 2
    heads: int = 4
    ffn: int = 128
    dropout: float = 0.0
    sizes: SceneSizes = field(default_factory=SceneSizes)
    channels: int = 32
    raster_channels: int = 8

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"there is no encoder '{self.kind}' (known: {', '.join(KINDS)})")
        if self.width < 2 or self.width % (2 * self.heads):
            raise InputError(
                f"an encoder's width ({self.width}) must be a multiple of twice its heads ({self.heads})"
            )
        if min(self.layers, self.ffn, self.channels, self.raster_channels) < 1 or self.channels % 8:
            raise InputError("an encoder's layers and sizes must be positive, its channels a multiple of 8")


def make_encoder(settings: EncoderSettings) -> nn.Module:
    """The encoder that `settings` describe: forward(SceneBatch) -> SceneTokens."""
    return Encoder(settings)


class Encoder(nn.Module):
    """Tokens of one kind of input and of the ego's state, through one transformer."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        self.settings = settings
        tokenizers = {"vector": VectorTokens, "raster": RasterTokens, "image": ImageTokens}
        self.tokenizer = tokenizers[settings.kind](settings)
        self.status = EgoStatus(settings.width)
        self.ego = nn.Linear(settings.width, settings.width)
        self.layers = nn.ModuleList(
            EncoderLayer(settings.width, settings.heads, settings.ffn, settings.dropout)
            for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(settings.width)

    def forward(self, batch: SceneBatch) -> SceneTokens:
        """Tokens of a batch; InputError when the batch lacks what this kind of encoder reads."""
        found, valid = self.tokenizer(batch)
        status = self.status(batch.ego)
        tokens = torch.cat((self.ego(status)[:, None], found), 1)
        if valid is None:
            mask = None
            valid = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        else:
            valid = torch.cat((torch.ones_like(valid[:, :1]), valid), 1)
            mask = valid
        for layer in self.layers:
            tokens = layer(tokens, mask)
        return SceneTokens(self.norm(tokens), valid, status)


class EgoStatus(nn.Module):
    """The ego's own state (B, 14) as one vector (B, d)."""

    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(_EGO), persistent=False)
        self.net = mlp((len(EGO_COLUMNS) + len(_NEAR), 2 * width, width))

    def forward(self, ego: Tensor) -> Tensor:
        # Distances of 0 and 2 m differ more than those of 100 and 102.
        ahead = torch.stack([ego[:, EGO_COLUMNS.index(name)] for name in _NEAR], -1)
        near = torch.exp(ahead.clamp(min=0.0) / -_NEAR_SCALE)
        out: Tensor = self.net(torch.cat((ego / self.scale, near), -1))
        return out


class VectorTokens(nn.Module):
    """One token an agent, a piece of lane, a piece of edge and a chunk of the way.

    A piece is told as it looks from its own middle, plus where that is.
    """

    agent_scale: Tensor
    body_scale: Tensor
    lane_scale: Tensor
    lane_info_scale: Tensor
    edge_scale: Tensor
    way_scale: Tensor

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        s, d = settings.sizes, settings.width
        if s.route % ROUTE_CHUNK:
            raise InputError(f"the way's points must come in chunks of {ROUTE_CHUNK}, got {s.route}")
        self.sizes = s
        place, hidden = 2 * PLACE + 2, 2 * d
        self.agents = mlp((s.history * (len(AGENT_COLUMNS) + 1) + len(BODY_COLUMNS) + place, hidden, d))
        self.lanes = mlp((s.lane_points * len(LANE_COLUMNS) + len(LANE_INFO_COLUMNS) + place, hidden, d))
        self.edges = mlp((s.edge_points * len(EDGE_COLUMNS) + place, hidden, d))
        self.route = mlp((ROUTE_CHUNK * (len(ROUTE_COLUMNS) + 1) + place, hidden, d))
        self.kinds = nn.Parameter(torch.randn(4, d) * 0.02)
        for name, scale in (
            ("agent", _AGENT), ("body", _BODY), ("lane", _LANE), ("lane_info", _LANE_INFO),
            ("edge", _EDGE), ("way", _ROUTE),
        ):  # fmt: skip
            self.register_buffer(f"{name}_scale", torch.tensor(scale), persistent=False)

    def forward(self, batch: SceneBatch) -> tuple[Tensor, Tensor]:
        """Tokens (B, L - 1, d) and which are valid; what invalid rows hold never matters."""
        scene = batch.scene
        if scene is None:
            raise InputError("this encoder reads the arrays of scenes, and the batch has none")
        _check_sizes(scene, self.sizes)
        parts = (self._agents(scene), self._lanes(scene), self._edges(scene), self._route(scene))
        tokens = [tokens + self.kinds[k] for k, (tokens, _) in enumerate(parts)]
        return torch.cat(tokens, 1), torch.cat([valid for _, valid in parts], 1)

    def _agents(self, scene: SceneArrays) -> tuple[Tensor, Tensor]:
        seen = scene.agents_valid & scene.agents_valid[..., -1:]
        states = _clean(scene.agents, seen)
        valid = seen[..., -1]
        now = states[..., -1, :2]
        local = _clean(torch.cat((states[..., :2] - now[..., None, :], states[..., 2:]), -1), seen)
        return self.agents(
            torch.cat(
                (
                    (local / self.agent_scale).flatten(2),
                    seen.to(states.dtype),
                    _clean(scene.bodies, valid) / self.body_scale,
                    _place(now),
                ),
                -1,
            )
        ), valid

    def _lanes(self, scene: SceneArrays) -> tuple[Tensor, Tensor]:
        points = _clean(scene.lanes, scene.lanes_valid)
        local, middle = _from_middle(points)
        info = _clean(scene.lane_info, scene.lanes_valid) / self.lane_info_scale
        shape = (local / self.lane_scale).flatten(2)
        return self.lanes(torch.cat((shape, info, _place(middle)), -1)), scene.lanes_valid

    def _edges(self, scene: SceneArrays) -> tuple[Tensor, Tensor]:
        local, middle = _from_middle(_clean(scene.edges, scene.edges_valid))
        return self.edges(
            torch.cat(((local / self.edge_scale).flatten(2), _place(middle)), -1)
        ), scene.edges_valid

    def _route(self, scene: SceneArrays) -> tuple[Tensor, Tensor]:
        b = scene.route.shape[0]
        known = scene.route_valid.view(b, -1, ROUTE_CHUNK)
        points = _clean(scene.route.view(b, -1, ROUTE_CHUNK, len(ROUTE_COLUMNS)), known)
        first = points[..., 0, :2]
        local = torch.cat((points[..., :2] - first[..., None, :], points[..., 2:]), -1)
        shape = (_clean(local, known) / self.way_scale).flatten(2)
        return self.route(torch.cat((shape, known.to(points.dtype), _place(first)), -1)), known.any(-1)


def _clean(values: Tensor, valid: Tensor) -> Tensor:
    """Zeros where a row is not valid, whatever it held."""
    while valid.ndim < values.ndim:
        valid = valid[..., None]
    return values.masked_fill(~valid, 0.0)


def _from_middle(points: Tensor) -> tuple[Tensor, Tensor]:
    """Pieces (B, N, P, C) with x, y counted from their middle points, and these (B, N, 2)."""
    middle = points[..., :2].mean(-2)
    return torch.cat((points[..., :2] - middle[..., None, :], points[..., 2:]), -1), middle


def _place(points: Tensor) -> Tensor:
    """Where points (..., 2) lie, in coarse and fine waves: (..., 2 * PLACE + 2)."""
    waves = sinusoidal(points, PLACE, shortest=4.0, longest=320.0)
    return torch.cat((points / 40.0, waves.flatten(-2)), -1)


def _check_sizes(scene: SceneArrays, sizes: SceneSizes) -> None:
    # Any number of agents, lanes and edges will do: each row is a token. What is in a row must fit.
    wanted = (sizes.history, sizes.lane_points, sizes.edge_points)
    found = (scene.agents.shape[2], scene.lanes.shape[2], scene.edges.shape[2])
    if found != wanted or scene.route.shape[1] % ROUTE_CHUNK:
        raise InputError(
            f"an encoder for {wanted} moments an agent, points a lane and points an edge got {found}, "
            f"and a way of {scene.route.shape[1]} points"
        )


__all__ = ["KINDS", "Encoder", "EncoderSettings", "make_encoder"]

"""Imitation: recorded vehicles as examples of what people do, and the two trainings of the base policy.

First everything is trained, the scoring head blind to what becomes of the candidates; then, with the rest
frozen, the head anew on the features that it will see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.errors import InputError, ScenarioError
from drive.nn._torch import functional, nn, torch
from drive.nn.rounds import epoch_rows
from drive.nn.scene import SceneArrays
from drive.nn.tokens import scene_tensors
from drive.sim.kernels.layout import Paths
from drive.sim.traffic.rift.fleet import Crowd, Fleet, Sight, bodies_of, crowd_states
from drive.sim.traffic.rift.kernels.base import FEARS, HORIZON, KNOTS, LINES, MODES, PROBES
from drive.sim.traffic.rift.kernels.sense import project_future
from drive.sim.traffic.rift.lines import compile_lines
from drive.sim.traffic.rift.net import SIZES, RiftPolicy, travel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from drive.scenario import Scenario

BASES = ("human", "aggressive", "cautious")
MOMENT = 5
"""Samples between two moments of a recording."""
STRAY = 1.6
"""m off every line at its end: what is recorded then is no example of following one."""
OWN_BONUS = 0.9
"""m by which another line must fit better than the own one to be the recorded one."""


class Moments(NamedTuple):
    """Examples of one scenario: `fleet` of N vehicles at their moments, what they saw, what they did.

    `metres (N, LINES, K)` and `offset` of their further way along each line, `line (N,)` that they took.
    """

    fleet: Fleet
    crowd: Crowd
    paths: Paths
    sight: Sight
    metres: NDArray[np.float32]
    offset: NDArray[np.float32]
    line: NDArray[np.int64]


def moments_of(scenario: Scenario, seed: int = 0, most: int = 120, shake: float = 0.5) -> Moments:
    """The examples in a recording: every vehicle on a lane each 0.5 s whose next 4 s are recorded.

    At most `most`, drawn by `seed`; of those that stand and go on standing a fifth. A share `shake` of the
    states is a little displaced, so that the way back is learned too. Raises ScenarioError where there are
    none.
    """
    if abs(scenario.dt - 0.1) > 1e-6:
        raise ScenarioError(f"scenario '{scenario.id}' has a step of {scenario.dt} s; examples need 0.1 s")
    tracks = scenario.tracks
    if tracks.num_steps <= HORIZON:
        raise ScenarioError(f"scenario '{scenario.id}' is shorter than the 4 s of an example")
    rng = np.random.default_rng(seed)
    lines = compile_lines(scenario)
    times = np.arange(0, tracks.num_steps - HORIZON, MOMENT)
    ahead = np.stack([tracks.valid[:, t : t + HORIZON + 1].all(1) for t in times], 1)  # (A, W)
    fit = ahead & (lines.path[:, times] >= 0)
    row, world = np.nonzero(fit)
    gone = np.hypot(*(lines.poses[row, times[world] + HORIZON] - lines.poses[row, times[world]])[:, :2].T)
    keep = (gone > 1.0) | (rng.random(len(row)) < 0.2)
    row, world = row[keep], world[keep]
    if len(row) > most:
        some = np.sort(rng.choice(len(row), most, replace=False))
        row, world = row[some], world[some]
    if len(row) == 0:
        raise ScenarioError(f"scenario '{scenario.id}' shows nobody who drives on a lane for 4 s")
    states = _states(lines.poses, lines.speed, tracks, row, times[world])
    moved = rng.random(len(row)) < shake
    states[:, 3] *= np.where(moved, rng.uniform(0.85, 1.15, len(row)), 1.0)
    side = np.where(moved, rng.normal(0.0, 0.25, len(row)), 0.0)
    states[:, 0] -= np.sin(states[:, 2]) * side
    states[:, 1] += np.cos(states[:, 2]) * side
    states[:, 2] += np.where(moved, rng.normal(0.0, 0.02, len(row)), 0.0)
    size = tracks.size
    own = np.stack((size[row, 0], size[row, 1], tracks.rear_to_centre[row], 0.6 * size[row, 0]), 1)
    fleet = Fleet.of(world, row, lines.path[row, times[world]], states, own)
    history = []
    for back in range(SIZES.history):
        at = times - back * MOMENT
        there = (tracks.valid[:, np.maximum(at, 0)] & (at >= 0)).T
        history.append(crowd_states(tracks.states[:, np.maximum(at, 0)].swapaxes(0, 1), there))
    body = np.repeat(bodies_of(size, tracks.kind)[None], len(times), 0)
    lights = scenario.signals[:, times].T if len(scenario.signals) else np.zeros((len(times), 1))
    crowd = Crowd(np.stack(history), body, np.ascontiguousarray(lights, dtype=np.uint8))
    sight = fleet.look(crowd, lines.paths)
    knots = times[world][:, None] + np.arange(0, HORIZON + 1, HORIZON // KNOTS)
    future = np.ascontiguousarray(lines.poses[row[:, None], knots, :2], dtype=np.float32)
    metres, offset = np.zeros((2, len(row), LINES, KNOTS), dtype=np.float32)
    p = lines.paths
    project_future(
        future, sight.line_path, sight.line_row, sight.lines_valid, p.rows, p.start, p.step, metres, offset
    )
    miss = np.where(sight.lines_valid, np.abs(offset[..., -1]), np.inf)
    miss[:, 0] -= OWN_BONUS
    line = miss.argmin(1)
    good = miss[np.arange(len(line)), line] < STRAY
    return _taken(Moments(fleet, crowd, lines.paths, sight, metres, offset, line), np.flatnonzero(good))


def _taken(m: Moments, which: NDArray[Any]) -> Moments:
    s = m.sight
    sight = Sight(SceneArrays(*(a[which] for a in s.scene)), *(a[which] for a in s[1:]))
    return m._replace(
        fleet=m.fleet.take(which), sight=sight, metres=m.metres[which], offset=m.offset[which],
        line=m.line[which],
    )  # fmt: skip


def _states(poses: Any, speed: Any, tracks: Any, row: Any, at: Any) -> NDArray[np.float32]:
    """Rear-axle states `(N, 7)` of recorded vehicles, rates from the sample before."""
    before = np.maximum(at - 1, 0)
    known = tracks.valid[row, before] & (at > 0)
    out = np.zeros((len(row), 7), dtype=np.float32)
    out[:, :3] = poses[row, at]
    out[:, 3] = np.maximum(speed[row, at], 0.0)
    a = np.where(known, (speed[row, at] - speed[row, before]) / 0.1, 0.0)
    turn = poses[row, at, 2] - poses[row, before, 2]
    rate = np.where(known, (np.mod(turn + np.pi, 2.0 * np.pi) - np.pi) / 0.1, 0.0)
    out[:, 4], out[:, 6] = np.clip(a, -8.0, 4.0), np.clip(rate, -1.0, 1.0)
    wheelbase = 0.6 * tracks.size[row, 0]
    out[:, 5] = np.arctan(np.clip(rate * wheelbase / np.maximum(out[:, 3], 1.0), -0.7, 0.7))
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """The moments of many scenarios as the fields of a training set: equal lengths `(N, ...)`."""

    fields: Mapping[str, NDArray[Any]]
    parts: tuple[Moments, ...]

    def __len__(self) -> int:
        return len(self.fields["lines"])

    @classmethod
    def of(cls, parts: Sequence[Moments], base: str = "human", share: float = 0.6, seed: int = 0) -> Examples:
        """Fields of moments; of a `base` other than "human" a `share` is relabelled.

        "aggressive": who drives as if nobody else and no signal were there; "cautious": at half the speed
        that is allowed at most, and never faster than recorded. On their own lines.
        """
        if base not in BASES:
            raise InputError(f"a base is one of {', '.join(BASES)}, not '{base}'")
        if not parts:
            raise InputError("imitation needs examples, and no scenario gave any")
        scene = [np.concatenate(a) for a in zip(*(m.sight.scene for m in parts), strict=True)]
        fields = {f"scene.{name}": a for name, a in zip(SceneArrays._fields, scene, strict=True)}
        line = np.concatenate([m.line for m in parts])
        every = np.arange(len(line))
        metres = np.concatenate([m.metres for m in parts])
        offset = np.concatenate([m.offset for m in parts])
        fields["lines"] = np.concatenate([m.sight.lines for m in parts])
        fields["lines_valid"] = np.concatenate([m.sight.lines_valid for m in parts])
        fields["target_s"], fields["target_d"] = metres[every, line], offset[every, line]
        if base != "human":
            other = np.random.default_rng(seed).random(len(line)) < share
            allowed = fields["lines"][:, 0, -4]
            free = _free(fields["scene.ego"][:, 0], (1.1 if base == "aggressive" else 0.5) * allowed)
            if base == "cautious":
                free = np.minimum(free, metres[every, 0])
            fields["target_s"] = np.where(other[:, None], free, fields["target_s"]).astype(np.float32)
            fields["target_d"] = np.where(other[:, None], 0.0, fields["target_d"]).astype(np.float32)
            line = np.where(other, 0, line)
        fields["target_line"] = line
        width = len(PROBES) + len(FEARS)
        fields["probes"] = np.zeros((len(line), LINES * MODES, width), dtype=np.float32)
        return cls(fields, tuple(parts))

    def batches(self, batch: int, seed: int) -> Callable[[int], Mapping[str, Any]]:
        """`batches(step)`: epoch after epoch in a new order; a pure function of the step."""

        def take(step: int) -> Mapping[str, Any]:
            rows = np.asarray(epoch_rows(len(self), batch, seed, step))
            return {name: a[rows] for name, a in self.fields.items()}

        return take


def _free(speed: NDArray[Any], goal: NDArray[Any]) -> NDArray[np.float32]:
    """Metres after each knot of who accelerates by up to 1.8 m/s^2 to a speed `goal (N,)`."""
    v, s, out = speed.astype(np.float64), np.zeros(len(speed)), []
    for k in range(HORIZON):
        after = np.maximum(v + 0.1 * np.clip((goal - v) / 1.0, -2.0, 1.8), 0.0)
        s = s + 0.05 * (v + after)
        v = after
        if (k + 1) % (HORIZON // KNOTS) == 0:
            out.append(s.copy())
    return np.stack(out, -1).astype(np.float32)


class HeadSet(NamedTuple):
    """What the scoring head learns from: `features (N, C, F)`, `valid (N, C)`, `label (N,)` by candidate."""

    features: NDArray[np.float32]
    valid: NDArray[np.bool_]
    label: NDArray[np.int64]


def head_set(net: RiftPolicy, examples: Examples) -> HeadSet:
    """The features of all examples under a frozen network, and the candidate nearest to what was done."""
    out, begin = [], 0
    with torch.inference_mode():
        for m in examples.parts:
            n = len(m.line)
            found = net.propose(
                scene_tensors(m.sight.scene), torch.from_numpy(m.sight.lines),
                torch.from_numpy(m.sight.lines_valid),
            )  # fmt: skip
            drawn = m.fleet.draw(
                m.sight, found.accelerations.numpy(), found.lengths.numpy(), m.crowd, m.paths
            )
            out.append(net.features(found.queries, torch.from_numpy(drawn.probes)).numpy())
            begin += n
            out.append(drawn.along[:, :, HORIZON // KNOTS :: HORIZON // KNOTS, 2])
    features, metres = np.concatenate(out[::2]), np.concatenate(out[1::2])
    f = examples.fields
    line, target = f["target_line"], f["target_s"]
    every = np.arange(len(line))
    mine = metres.reshape(len(line), LINES, MODES, KNOTS)[every, line]
    weight = 1.0 / (1.0 + 0.05 * np.abs(target))[:, None]
    best = (np.abs(mine - target[:, None]) * weight).mean(-1).argmin(-1)
    return HeadSet(features, np.repeat(f["lines_valid"], MODES, 1), line * MODES + best)


def train_head(
    net: RiftPolicy, data: HeadSet, *, epochs: int = 6, batch: int = 512, lr: float = 1e-3,
    smoothing: float = 0.1, seed: int = 0,
) -> dict[str, float]:  # fmt: skip
    """Train the scoring head alone, by cross-entropy with label smoothing; the last epoch's figures."""
    torch.manual_seed(seed)
    for layer in net.pi_head:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(net.pi_head.parameters(), lr=lr, weight_decay=1e-4)
    steps = max(len(data.label) // batch, 1) * epochs
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps + 1)
    figures: dict[str, float] = {}
    for _ in range(epochs):
        order = rng.permutation(len(data.label))
        losses, right = [], []
        for low in range(0, max(len(order) - batch + 1, 1), batch):
            rows = order[low : low + batch]
            valid, label = torch.from_numpy(data.valid[rows]), torch.from_numpy(data.label[rows])
            logits = net.score(torch.from_numpy(data.features[rows])).masked_fill(~valid, -1e8)
            log = functional.log_softmax(logits, -1)
            hard = -log.gather(-1, label[:, None]).squeeze(-1)
            soft = -log.masked_fill(~valid, 0.0).sum(-1) / valid.sum(-1)
            loss = ((1.0 - smoothing) * hard + smoothing * soft).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            plan.step()
            losses.append(float(loss.detach()))
            right.append(float((logits.argmax(-1) == label).float().mean()))
        figures = {"choice": float(np.mean(losses)), "right": float(np.mean(right))}
    return figures


def preference(net: RiftPolicy, examples: Examples) -> dict[str, float]:
    """What a policy prefers where people did something: `right`, the share in which it prefers the candidate
    nearest to that; `miss` and `best`, metres by which the way driven after 4 s of the preferred one and of
    the nearest one differ from theirs; `examples`, how many there were."""
    data = head_set(net, examples)
    every = np.arange(len(data.label))
    with torch.inference_mode():
        logits = net.score(torch.from_numpy(data.features)).masked_fill(~torch.from_numpy(data.valid), -1e8)
        chosen = logits.argmax(-1).numpy()
        ways = []
        for m in examples.parts:
            found = net.propose(
                scene_tensors(m.sight.scene), torch.from_numpy(m.sight.lines),
                torch.from_numpy(m.sight.lines_valid),
            )  # fmt: skip
            ways.append(travel(found.accelerations, torch.from_numpy(m.fleet.states[:, 3])).numpy()[..., -1])
    gone, target = np.concatenate(ways), examples.fields["target_s"][:, -1]
    return {
        "right": float((chosen == data.label).mean()),
        "miss": float(np.abs(gone[every, chosen] - target).mean()),
        "best": float(np.abs(gone[every, data.label] - target).mean()),
        "examples": float(len(every)),
    }


def gather(
    scenarios: Iterable[Scenario], seed: int = 0, note: Callable[[str], None] = lambda line: None
) -> list[Moments]:
    """The moments of scenarios, those left out that show nothing."""
    found = []
    for k, scenario in enumerate(scenarios):
        try:
            found.append(moments_of(scenario, seed + k))
        except ScenarioError as error:
            note(str(error))
    return found


__all__ = [
    "BASES",
    "Examples",
    "HeadSet",
    "Moments",
    "gather",
    "head_set",
    "moments_of",
    "preference",
    "train_head",
]

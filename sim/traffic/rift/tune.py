"""Group-relative tuning of the scoring head: rounds of driving, then epochs on what was visited.

All but the head is frozen, and so are the candidates: what the tuned policy may do is what people did, and
only its choice changes. A round that is finished is a checkpoint.
"""

from __future__ import annotations

import copy
import csv
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import DriveError, InputError
from drive.nn._torch import torch
from drive.nn.policy import entropy, group_advantage, log_probabilities
from drive.nn.tensors import read_tensors, write_tensors
from drive.progress import Listener
from drive.sim.traffic.rift.cache import Cache, collect, joined
from drive.sim.traffic.rift.guard import Guard, look
from drive.sim.traffic.rift.objectives import FLOOR, ROWS, Baseline, Batch, head_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from drive.sim.traffic.rift.net import RiftPolicy
    from drive.sim.traffic.rift.style import Style
    from drive.sim.traffic.rift.worlds import Worlds


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """How a style is tuned, in `rounds` of `epochs` in batches of `batch`, AdamW with `lr`, times `decay` a
    round, gradients cut to `clip`. Each `refresh`-th round drives one of the pool's `parts` anew and keeps
    `states` of what is visited; those between learn from what was kept last of each part, against the policy
    as it is when they begin. `scenes` seeds of each family make the pool. `objective` is one of
    `objectives.ROWS`.

    With a `guard` above 0 the speeds on the pool's scenes are to be no farther from the limits than `guard`
    times the base's: see `guard.Guard`, which has `hold` as well."""

    rounds: int = 12
    refresh: int = 12
    scenes: int = 2
    parts: int = 1
    states: int = 8192
    epochs: int = 4
    batch: int = 256
    lr: float = 1e-3
    decay: float = 0.95
    clip: float = 0.5
    weight_decay: float = 1e-5
    objective: str = "rift"
    guard: float = 0.0
    hold: float = 1.0

    def __post_init__(self) -> None:
        whole = (self.rounds, self.refresh, self.scenes, self.parts, self.states, self.epochs, self.batch)
        if min(whole) < 1 or not (self.lr > 0.0 and 0.0 < self.decay <= 1.0 and self.clip > 0.0):
            raise InputError("a tuning's numbers are 1 or more, its lr, decay and clip above 0")
        if not all(np.isfinite(v) and v >= 0.0 for v in (self.guard, self.hold)):
            raise InputError("a tuning's guard and hold are finite and not below 0")
        if self.objective not in ROWS:
            from drive.errors import UnknownNameError

            raise UnknownNameError("objective", self.objective, ROWS)


@dataclass(slots=True, eq=False)
class Tuning:
    """A tuning in progress, `done` rounds of it; `history` has a row of figures a round. `kept` is the round,
    counted from 1, whose head a guard has kept; without one it is the last."""

    net: RiftPolicy
    base: RiftPolicy
    done: int = 0
    kept: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def learn(
    net: RiftPolicy, base: RiftPolicy, cache: Cache, how: TuneSettings, number: int, seed: int,
    pace: float = 0.0,
) -> dict[str, float]:  # fmt: skip
    """One round's epochs on a cache, in place; the figures of its last epoch and of the round.

    `pace` is a reward a m/s for speed up to the limit beside the style's. Raises DriveError where the loss
    is not finite.
    """
    rng = np.random.default_rng((seed, 2, number))
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    data = [torch.from_numpy(np.ascontiguousarray(a)) for a in cache]
    features, valid, _, returns, sparse, wish, teacher, paced = data
    returns = returns + pace * paced
    with torch.no_grad():
        old = log_probabilities(net.score(features), valid)
        reference = log_probabilities(base.score(features), valid)
        draw = torch.multinomial(old.exp(), 1, generator=generator).squeeze(-1)
        before = old.argmax(-1)
    row = ROWS[how.objective]
    critic = Baseline(features.shape[-1]) if row.acted and row.objective and row.objective.ratio else None
    torch.manual_seed(int(rng.integers(2**31)))
    parameters = [*net.pi_head.parameters(), *(critic.parameters() if critic else ())]
    optimiser = torch.optim.AdamW(parameters, lr=how.lr * how.decay**number, weight_decay=how.weight_decay)
    figures: dict[str, list[float]] = {}
    for _ in range(how.epochs):
        figures = {}
        order = torch.from_numpy(rng.permutation(len(cache)))
        for low in range(0, len(order), how.batch):
            rows = order[low : low + how.batch]
            batch = Batch(
                features[rows], valid[rows], returns[rows], sparse[rows], wish[rows], teacher[rows],
                old[rows], reference[rows], draw[rows],
            )  # fmt: skip
            loss, told = head_loss(how.objective, net.score, batch, critic)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(parameters, how.clip)
            if not (torch.isfinite(loss) and torch.isfinite(norm)):
                raise DriveError(f"round {number}: the loss or its gradient is not finite; lower the lr")
            optimiser.step()
            for name, value in {"loss": loss.detach(), **told}.items():
                figures.setdefault(name, []).append(float(value))
    with torch.no_grad():
        logits = net.score(features)
        after = log_probabilities(logits, valid).argmax(-1)
        spread = returns.masked_fill(~valid, 0.0)
        count = valid.sum(-1)
        mean = spread.sum(-1) / count
        deviation = (((returns - mean[:, None]) ** 2).masked_fill(~valid, 0.0).sum(-1) / count).sqrt()
        gain = group_advantage(returns, valid, FLOOR)
        moved = (log_probabilities(logits, valid) - old).exp()
        ratio, worse = moved[valid], moved[valid & (gain < 0.0)]
        histogram = torch.histc(ratio.clamp(max=3.99), bins=8, min=0.0, max=4.0) / len(ratio)
        rows = torch.arange(len(after))
        out = {name: float(np.mean(values)) for name, values in figures.items()}
        out |= {
            "flips": float((after != before).float().mean()),
            "entropy": float(entropy(logits, valid).mean()),
            "return_before": float(returns[rows, before].mean()),
            "return_after": float(returns[rows, after].mean()),
            "return_best": float(returns.masked_fill(~valid, -1e9).max(-1).values.mean()),
            "advantage_after": float(gain[rows, after].mean()),
            "ratio_most_worse": float(worse.max()) if len(worse) else 1.0,
            "spread": float(deviation.mean()),
            "spread_floored": float((deviation < FLOOR.floor).float().mean()),
        }
        out |= {f"ratio_{0.5 * k:g}": float(v) for k, v in enumerate(histogram)}
    return out


def tune(
    net: RiftPolicy, style: Style, pool: Sequence[Callable[[], Worlds]], how: TuneSettings, folder: Path, *,
    seed: int = 0, resume: bool = False, progress: Listener | None = None,
    caches: Sequence[Cache] | None = None, rash: RiftPolicy | None = None,
) -> Tuning:  # fmt: skip
    """Tune a copy of `net`; `pool` makes the worlds of each part anew. With `caches` nothing is driven:
    rounds learn from them in turn. Half of the states are visited by a `rash` driver of the same trunk, where
    there is one: who drives as people do sees next to no danger, and learns nothing about it.

    Checkpoints and `log.csv` go to `folder`; with `resume` finished rounds are not done again, and the
    weights come out the same. Raises InputError where the folder holds a tuning and `resume` is off, or a
    guard has no scenes to drive.
    """
    told = progress or Listener()
    if how.guard and not pool:
        raise InputError("a tuning's guard drives the pool's scenes, and there are none")
    tuned = copy.deepcopy(net).eval()
    for name, parameter in tuned.named_parameters():
        parameter.requires_grad_(name.startswith("pi_head."))
    state = Tuning(tuned, net)
    folder.mkdir(parents=True, exist_ok=True)
    file, log = folder / "head.safetensors", folder / "log.csv"
    about = {k: str(v) for k, v in {**asdict(how), **asdict(style), "seed": seed}.items() if k != "meaning"}
    if file.exists():
        if not resume:
            raise InputError(f"'{folder}' holds a tuning: go on with it (resume), or choose another folder")
        _restore(state, file, log, folder / "about.csv", about)
        told.note(f"goes on after round {state.done} of {how.rounds}")
    else:
        _write_rows(folder / "about.csv", [about])
    kept: dict[int, Cache] = {}
    guard = Guard.of(net, pool, how.guard, how.hold) if how.guard else None
    for number in range(state.done, how.rounds):
        drove: dict[str, float] = {}
        turn, place = divmod(number, how.refresh)
        if caches is not None:
            cache = caches[number % len(caches)]
        else:
            if place == 0:
                rng = np.random.default_rng((seed, 1, number))
                part = turn % len(pool)
                share = how.states if rash is None else how.states // 2
                kept[part], drove = collect(tuned, pool[part](), style, rng, share)
                if rash is not None:
                    met, _ = collect(rash, pool[part](), style, rng, share)
                    kept[part] = joined((kept[part], met))
                _write_cache(folder / f"part{part}.npz", kept[part])
            for k in range(min(turn + 1, len(pool))):
                if k not in kept:
                    kept[k] = _read_cache(folder / f"part{k}.npz")
            # What was just visited comes first, then the parts take turns.
            cache = kept[(turn - place) % min(turn + 1, len(pool))]
        pace = guard.pace(state.history) if guard else 0.0
        figures = learn(tuned, net, cache, how, number, seed, pace)
        if guard:
            drove |= {"pace": pace, **look(tuned, pool)}
        state.history.append({"round": float(number), "states": float(len(cache)), **drove, **figures})
        state.done = number + 1
        head = {k: v for k, v in tuned.state_dict().items() if k.startswith("pi_head.")}
        if guard and guard.best(state.history) == state.done:
            write_tensors(folder / "kept.safetensors", head)
        _write_rows(log, state.history)
        write_tensors(file, {**head, "round": torch.tensor([state.done])})
        told.progress("rounds", state.done, how.rounds)
        crashed = f"crashed {drove['crashed']:.3f}, " if "crashed" in drove else ""
        told.note(
            f"round {state.done} of {how.rounds}: {crashed}return {figures['return_before']:.2f} -> "
            f"{figures['return_after']:.2f} of {figures['return_best']:.2f}, flips {figures['flips']:.3f}, "
            f"entropy {figures['entropy']:.2f}"
        )
        if guard:
            told.note(
                f"driven: {drove['wd_driven']:.2f} m/s from the limits (at most {guard.most:.2f}), crashed "
                f"{drove['crashed_driven']:.3f}, pace {pace:.2f}"
            )
    state.kept = guard.best(state.history) if guard else state.done
    if state.kept != state.done:
        tuned.load_state_dict(read_tensors(folder / "kept.safetensors")[0], strict=False)
        told.note(f"round {state.kept} is kept")
    return state


def _restore(state: Tuning, file: Path, log: Path, about: Path, wanted: dict[str, str]) -> None:
    with open(about, newline="") as handle:
        found = next(csv.DictReader(handle), {})
    changed = [k for k, v in wanted.items() if found.get(k) != v and k != "rounds"]
    if changed:
        raise InputError(f"'{file.parent}' was begun with another {changed[0]}: choose another folder")
    held, _ = read_tensors(file)
    state.done = int(held.pop("round")[0])
    state.net.load_state_dict(held, strict=False)
    with open(log, newline="") as handle:
        state.history = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(handle)]
    state.history = state.history[: state.done]


def _write_cache(path: Path, cache: Cache) -> None:
    part = path.with_suffix(".part.npz")
    np.savez(part, **cache._asdict())
    part.replace(path)


def _read_cache(path: Path) -> Cache:
    try:
        with np.load(path, allow_pickle=False) as held:
            return Cache(*(held[name] for name in Cache._fields))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"'{path}' is missing or damaged: begin anew in another folder") from error


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    part = path.with_suffix(".part")
    with open(part, "w", newline="") as handle:
        writer = csv.DictWriter(handle, list(dict.fromkeys(k for row in rows for k in row)))
        writer.writeheader()
        writer.writerows(rows)
    part.replace(path)


def head_parameters(net: RiftPolicy) -> dict[str, NDArray[np.float32]]:
    """The scoring head's parameters by name."""
    return {k: v.numpy().copy() for k, v in net.state_dict().items() if k.startswith("pi_head.")}


__all__ = ["TuneSettings", "Tuning", "head_parameters", "learn", "tune"]

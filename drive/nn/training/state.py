"""All that changes during a training, and how it goes into a checkpoint and comes back out of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from drive.errors import InputError
from drive.nn._torch import nn, torch
from drive.nn.training import checkpoint
from drive.nn.training.gradients import Batch, Gradients, Speed
from drive.nn.training.settings import FREE, FitSettings, mean_decay

Tensor = Any
Random = tuple[dict[str, Tensor], dict[str, Any]]


@dataclass
class TrainState:
    """The network, the running mean of its weights, the optimiser, the generator, and where the training is.

    `total` is the number of steps it will have; `best` the state of what was best in validation, with its
    step, figures and how many validations came since; `validated` the figures of the last one. `sums` add
    up the figures since the last row of the log, `last` are the means in it. `broken` is the first step
    whose loss or gradient was not finite, on the device, or -1.
    """

    model: nn.Module
    mean: nn.Module | None
    optimiser: Any
    generator: Any
    device: Any
    settings: FitSettings
    step: int = 0
    total: int = 0
    speed: Speed = "eager"
    seconds: float = 0.0
    best: dict[str, Tensor] = field(default_factory=dict)
    best_step: int = -1
    best_figures: dict[str, float] = field(default_factory=dict)
    stale: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    summed: int = 0
    last: dict[str, float] = field(default_factory=dict)
    validated: dict[str, float] = field(default_factory=dict)
    finished: str = ""
    broken: Tensor = None

    @property
    def kept(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.model if self.mean is None else self.mean

    def advance(self, gradients: Gradients, batch: Batch, rate: float) -> None:
        """One update of the weights and of their running mean. Nothing waits for the device."""
        value, figures = gradients(batch)
        clip = self.settings.clip or math.inf
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        if self.mean is not None:
            self._update(self.mean)
        self._add(value, norm, figures)
        self.step += 1

    def _update(self, mean: nn.Module) -> None:
        """Move the running mean towards the weights; buffers are taken as they are."""
        with torch.no_grad():
            own, new = [p.detach() for p in mean.parameters()], [p.detach() for p in self.model.parameters()]
            torch._foreach_lerp_(own, new, 1.0 - mean_decay(self.settings, self.step))
            for old, buffer in zip(mean.buffers(), self.model.buffers(), strict=True):
                old.copy_(buffer)

    def _add(self, value: Tensor, norm: Tensor, figures: Mapping[str, Tensor]) -> None:
        """Add a step's figures to the sums."""
        wrong = ~(torch.isfinite(value) & torch.isfinite(norm))
        if self.broken is None:
            self.broken = torch.full((), -1, dtype=torch.int64, device=self.device)
        self.broken = torch.where((self.broken < 0) & wrong, self.step, self.broken)
        found = {"loss": value, "grad_norm": norm.double(), **figures}
        if self.summed and set(found) != set(self.sums):
            strange = ", ".join(sorted(set(found) ^ set(self.sums)))
            raise InputError(f"a loss names the same figures in every step; these come and go: {strange}")
        # Graph replays write over their figures: the sums must be tensors of their own.
        self.sums = {k: self.sums[k] + v if self.summed else v.clone() for k, v in found.items()}
        self.summed += 1

    def means(self) -> dict[str, float]:
        """The mean of each figure since this was asked last. Waits for the device."""
        count, self.summed = self.summed, 0
        return {name: float(value) / count for name, value in self.sums.items()} if count else {}

    def judge(self, figures: Mapping[str, float], better: bool) -> None:
        """Remember a validation; the network is copied when it is the best so far."""
        self.stale = 0 if better else self.stale + 1
        self.validated = {k: v for k, v in figures.items() if math.isfinite(v)}
        if better:
            self.best_step, self.best_figures = self.step, self.validated
            if self.settings.keep == "best":
                self.best = {k: v.detach().cpu().clone() for k, v in self.kept.state_dict().items()}

    def first_broken(self) -> int | None:
        """The first step that was not finite. Waits for the device."""
        found = -1 if self.broken is None else int(self.broken)
        return None if found < 0 else found

    def save(self, folder: Path) -> Path:
        """Write all of it as a checkpoint."""
        tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        if self.mean is not None:
            tensors |= {f"mean.{k}": v for k, v in self.mean.state_dict().items()}
        optimiser, optimiser_scalars = checkpoint.pack_optimiser(self.optimiser)
        shared, shared_scalars = checkpoint.pack_random(self.device)
        for prefix, group in (
            ("best", self.best), ("sums", self.sums), ("optimiser", optimiser), ("random", shared),
        ):  # fmt: skip
            tensors |= {f"{prefix}.{k}": v for k, v in group.items()}
        tensors["generator"] = self.generator.get_state()
        scalars = {
            "settings": asdict(self.settings),
            "device": self.device.type,
            "threads": torch.get_num_threads(),
            "optimiser": optimiser_scalars,
            "random": shared_scalars,
            "last": {k: v if math.isfinite(v) else None for k, v in self.last.items()},
            **{name: getattr(self, name) for name in _SCALARS},
        }
        return checkpoint.save_checkpoint(folder, self.step, tensors, scalars)

    def restore(self, found: checkpoint.Checkpoint) -> list[str]:
        """Become what the checkpoint holds; returns notes for people.

        Raises InputError where the checkpoint is of other settings, another network or device.
        """
        scalars, path = found.scalars, found.path
        try:
            self._agree(scalars, path)
            groups = _split(found.tensors)
            for network, name in ((self.model, "model"), (self.mean, "mean")):
                if network is not None:
                    _load(network, groups.get(name, {}), path)
            self.best, self.sums = groups.get("best", {}), groups.get("sums", {})
            self.sums = {name: value.to(self.device) for name, value in self.sums.items()}
            checkpoint.unpack_optimiser(self.optimiser, groups.get("optimiser", {}), scalars["optimiser"])
            checkpoint.unpack_random(self.device, groups["random"], scalars["random"])
            self.generator.set_state(found.tensors["generator"])
            for name in _SCALARS:
                setattr(self, name, scalars[name])
            self.last = {k: math.nan if v is None else v for k, v in scalars["last"].items()}
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            why = " ".join(str(error).split())[:100]
            raise InputError(f"'{path}' is no checkpoint of this training: {why}") from error
        notes = list(found.notes)
        if scalars["threads"] != (now := torch.get_num_threads()):
            notes.append(f"begun with {scalars['threads']} threads, gone on with {now}: bits may differ")
        return notes

    def _agree(self, scalars: Mapping[str, Any], path: Path) -> None:
        if scalars["device"] != self.device.type:
            raise InputError(f"'{path}' was begun on {scalars['device']}: go on with it there")
        before, now = scalars["settings"], asdict(self.settings)
        for name in now:
            if name not in FREE and before.get(name) != now[name]:
                raise InputError(
                    f"'{path}' was begun with {name}={before.get(name)}, not {now[name]}: go on with that, "
                    "or begin anew in another folder"
                )


_SCALARS = (
    "step", "total", "speed", "seconds", "best_step", "best_figures", "validated", "stale", "summed",
    "finished",
)  # fmt: skip


def new_state(model: nn.Module, mean: nn.Module | None, settings: FitSettings, device: Any) -> TrainState:
    """A training at its start; `model` is on the device, `mean` the caller's own for the running mean.

    Raises InputError for a `mean` that is no copy of the network, or where `ema` is 0.
    """
    if mean is not None:
        if settings.ema == 0.0:
            raise InputError("a network for the running mean was given, but ema is 0")
        try:
            mean.to(device).load_state_dict(model.state_dict())
        except RuntimeError as error:
            why = " ".join(str(error).split())[:100]
            raise InputError(f"the network for the running mean is another one: {why}") from None
        mean.requires_grad_(False).eval()
    elif settings.ema > 0.0:
        mean = copy.deepcopy(model).requires_grad_(False).eval()
    generator = torch.Generator(device)
    generator.manual_seed(settings.seed)
    return TrainState(model, mean, make_optimiser(model, settings, device), generator, device, settings)


def make_optimiser(model: nn.Module, settings: FitSettings, device: Any) -> Any:
    """AdamW; biases, gains and other vectors do not decay."""
    weights = [p for p in model.parameters() if p.requires_grad]
    if not weights:
        raise InputError(f"{type(model).__name__} has no parameters to train")
    groups = [
        {"params": [p for p in weights if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], settings.lr, fused=device.type == "cuda")


def _split(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        prefix, _, name = key.partition(".")
        groups.setdefault(prefix, {})[name] = value
    return groups


def _load(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    held = {name: tuple(value.shape) for name, value in tensors.items()}
    if own != held:
        other = next(name for name in {**own, **held} if own.get(name) != held.get(name))
        raise InputError(
            f"'{path}' is of another network: '{other}' is {held.get(other, 'missing')} there and "
            f"{own.get(other, 'missing')} in {type(network).__name__}"
        )
    network.load_state_dict(tensors)


__all__ = ["TrainState", "make_optimiser", "new_state"]

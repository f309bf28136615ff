"""The base policies: imitation in two stages, from scenarios to a network."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.errors import InputError
from drive.nn._torch import torch
from drive.nn.fit import FitSettings, Fitted, fit, mean_loss
from drive.progress import Listener
from drive.sim.traffic.rift.net import RiftPolicy, RiftSettings, imitation_loss
from drive.sim.traffic.rift.policy import load_policy
from drive.sim.traffic.rift.pretrain import Examples, gather, head_set, preference, train_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from drive.scenario import Scenario
    from drive.sim.traffic.rift.pretrain import Moments

FAMILIES = (
    "lane_follow_curved", "stop_for_lead", "stop_and_go", "cut_in", "dense_merge", "dense_highway",
    "overtake_slow", "lane_change_for_route", "parked_vehicle", "parked_vehicle_two_way",
    "construction_narrowing", "occluded_pedestrian", "signalised_intersection", "t_junction_yield",
    "unprotected_left", "roundabout", "six_lanes", "slow_obstacles", "curved_overtake",
)  # fmt: skip
VALIDATION, TRAIN, TUNE, TEST = 9_000, 10_000, 2_000_000, 4_000_000
"""First seeds of the generator's scenes: held-out moments, imitation, tuning, and the test of what was tuned.
None is a suite's, and every seed has its own map."""


@dataclass(frozen=True, slots=True)
class BaseSettings:
    """How a base is made: `scenes` seeds of each of `families`, `held_out` for validation; `base` "human", or
    relabelled "aggressive" or "cautious". Recorded `scenarios` beside them are taken `repeats` times, each
    time with other moments and displacements, for recordings are few; `unseen` ones are only looked at
    afterwards. `licences` of the recordings go on the card. From weights to `start` with all is kept but the
    scoring head."""

    base: str = "human"
    families: tuple[str, ...] = FAMILIES
    scenes: int = 32
    held_out: int = 3
    scenarios: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    repeats: int = 8
    licences: tuple[str, ...] = ()
    start: str = ""
    batch: int = 128
    head_epochs: int = 6
    smoothing: float = 0.1
    fit: FitSettings = field(default_factory=lambda: FitSettings(steps=5000, warmup=200))
    model: RiftSettings = field(default_factory=RiftSettings)

    def __post_init__(self) -> None:
        if (
            min(self.scenes, self.held_out, self.batch, self.head_epochs, self.repeats) < 1
            or not self.families
        ):
            raise InputError(
                "a base needs families, and 1 or more scenes, held_out, batch, head_epochs and repeats"
            )


def generated(families: Iterable[str], first: int, count: int) -> Iterator[Scenario]:
    """Scenarios of the generator, one of each family after the other."""
    from drive.api import load_scenario

    families = tuple(families)
    for seed in range(first, first + count):
        for family in families:
            yield load_scenario(f"gen/{family}/{seed}")


def examples_of(
    settings: BaseSettings, seed: int = 0, progress: Listener | None = None
) -> tuple[Examples, Examples]:
    """Examples to learn from and to validate on, of generated scenes and, if there are any, recorded ones."""
    told = progress or Listener()
    recorded = recordings(settings.scenarios)
    total = settings.scenes * len(settings.families)

    def counted() -> Iterator[Scenario]:
        for _ in range(settings.repeats):
            yield from recorded
        for k, one in enumerate(generated(settings.families, TRAIN, settings.scenes)):
            told.progress("recordings", k, total)
            yield one

    noted: set[str] = set()

    def note(line: str) -> None:
        if line not in noted:
            noted.add(line)
            told.note(line)

    train = gather(counted(), seed, note)
    held = gather(generated(settings.families, VALIDATION, settings.held_out), seed, told.note)
    return Examples.of(train, settings.base, seed=seed), Examples.of(held, settings.base, seed=seed)


@lru_cache(maxsize=1)
def recordings(scenarios: tuple[str, ...]) -> list[Scenario]:
    """Recorded scenarios by their names or paths; they are read once to learn from and to look at."""
    from drive.api import load_scenarios

    return load_scenarios(list(scenarios)) if scenarios else []


def train_base(
    settings: BaseSettings, examples: Examples, held: Examples, folder: Path, *, seed: int = 0,
    resume: bool = False, device: str = "cpu", progress: Listener | None = None,
) -> tuple[RiftPolicy, Fitted | None, dict[str, float]]:  # fmt: skip
    """Both stages, or the second one alone where there are weights to start with; it is short, and done anew
    after an interruption. The figures say what the base prefers, too (`pretrain.preference`)."""
    told = progress or Listener()
    fitted = None
    if settings.start:
        net = copy.deepcopy(load_policy(settings.start)[0])
    else:
        net, fitted = _fit_all(settings, examples, held, folder, seed, resume, device, told)
    figures = {f"head_{k}": v for k, v in train_head(
        net, head_set(net, examples), epochs=settings.head_epochs, smoothing=settings.smoothing, seed=seed
    ).items()}  # fmt: skip
    figures |= {f"held_{k}": v for k, v in preference(net, held).items()}
    for name, scenarios in (("recorded", settings.scenarios), ("unseen", settings.unseen)):
        if parts := gather(recordings(scenarios), seed, told.note):
            figures |= {f"{name}_{k}": v for k, v in preference(net, Examples.of(parts)).items()}
    return net.eval(), fitted, {**(fitted.figures if fitted else {}), **figures}


def _fit_all(
    settings: BaseSettings, examples: Examples, held: Examples, folder: Path, seed: int, resume: bool,
    device: str, progress: Listener,
) -> tuple[RiftPolicy, Fitted]:  # fmt: skip
    """The first stage: everything learns, the scoring head blind to what becomes of the candidates."""
    torch.manual_seed(seed)
    net = RiftPolicy(settings.model)

    def loss(model: Any, batch: Any, generator: Any) -> Any:
        return imitation_loss(model, batch, generator, smoothing=settings.smoothing)

    count = max(min(len(held), 4096) // settings.batch, 1)
    validate = mean_loss(loss, held.batches(settings.batch, 0), count, device)
    fitted = fit(
        net, loss, examples.batches(settings.batch, seed), settings.fit, folder, validate=validate,
        resume=resume, device=device, progress=progress,
    )  # fmt: skip
    return net.to("cpu").eval(), fitted


def opposed(base: RiftPolicy, kind: str, examples: Sequence[Moments], epochs: int = 10) -> RiftPolicy:
    """A base of another kind, "aggressive" or "cautious": its head learns relabelled examples, the rest is
    the same."""
    net = copy.deepcopy(base)
    train_head(net, head_set(net, Examples.of(examples, kind)), epochs=epochs, batch=256)
    return net.eval()


__all__ = [
    "FAMILIES", "TEST", "TRAIN", "TUNE", "VALIDATION", "BaseSettings", "examples_of", "generated",
    "opposed", "recordings", "train_base",
]  # fmt: skip

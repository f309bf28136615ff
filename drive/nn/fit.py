"""The one training loop: every recipe of a learned planner runs through `fit`.

A training is a pure function of its settings, its seed and its batches (on the CPU: to the bit, with the same
number of threads). It may be stopped at any moment and gone on with; nothing but the time since the last
checkpoint is lost, and the weights come out as if it had never been stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drive.errors import DriveError, InputError
from drive.nn._torch import nn, torch
from drive.nn.training.checkpoint import load_checkpoint, newest, own_random, seed_all
from drive.nn.training.feed import Batches, Feed, to_device
from drive.nn.training.gradients import Loss, make_gradients, use_bf16
from drive.nn.training.interrupts import Interrupts
from drive.nn.training.log import TrainLog, read_log
from drive.nn.training.pace import plan_steps
from drive.nn.training.settings import FitSettings, learning_rate
from drive.nn.training.state import TrainState, new_state
from drive.progress import Listener, on_terminal

Validate = Callable[[Any], Mapping[str, float]]
SILENT = 60.0
"""Seconds after which a line is said about a training that is not validated."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A finished training: the network with the weights that are kept, on its device, in evaluation mode.

    `figures` are those of the validation in which these weights came out best, or the last means of the loss;
    `best_step` is -1 where nothing was validated; `stopped` says what ended it, `steps` or `early stop`.
    """

    model: nn.Module
    steps: int
    total: int
    best_step: int
    seconds: float
    figures: dict[str, float]
    stopped: str
    speed: str
    folder: Path


def fit(
    model: nn.Module,
    loss: Loss,
    batches: Batches,
    settings: FitSettings,
    folder: str | Path,
    *,
    validate: Validate | None = None,
    mean: nn.Module | None = None,
    resume: bool = False,
    device: str | torch.device = "cpu",
    progress: bool | Listener = True,
) -> Fitted:
    """Train `model` in place; checkpoints and the log go to `folder`.

    `batches(step)` gives the arrays of a step by name and is a pure function of the step, so that a training
    can be gone on with. `loss(model, batch, generator)` gives a scalar and named figures for the log (floats
    or scalar tensors; on a GPU tensors, which need not be waited for); all its randomness comes from the
    `torch.Generator` on the device, or from torch's shared one, which is seeded too. `validate(model)` gives
    named figures, among them `settings.watch`, where less is better; it sees the running mean of the weights.
    `mean` is a second network of the same kind, given by who wants to look at that running mean in the loss
    (a teacher).

    Raises InputError where the folder holds a training (unless `resume`), one of other settings or of another
    network; DriveError when the loss or its gradient is not finite, or the disk is full; KeyboardInterrupt or
    SystemExit after Ctrl-C or SIGTERM, when a checkpoint has been written.
    """
    folder, device = Path(folder), torch.device(device)
    saved = folder / "checkpoints"
    if not resume and newest(saved) is not None:
        raise InputError(f"'{folder}' holds a training: go on with it (resume), or choose another folder")
    with (
        nullcontext(progress) if isinstance(progress, Listener) else _listener(progress) as told,
        own_random(device),
        Interrupts() as interrupts,
    ):
        model.to(device)
        state = new_state(model, mean, settings, device)
        if (found := load_checkpoint(saved) if resume else None) is not None:
            for line in state.restore(found):
                told.note(line)
            done = f"was finished ({state.finished})" if state.finished else "goes on"
            told.note(f"{done} at step {state.step} of {state.total}")
        else:
            seed_all(settings.seed)
            plan = plan_steps(model, loss, batches, settings, device, validate)
            state.speed, state.total = plan.speed, plan.steps
            if plan.note:
                told.note(plan.note)
        if not state.finished:
            _loop(state, loss, batches, validate, folder, told, interrupts)
    return _fitted(state, folder)


def _loop(
    state: TrainState,
    loss: Loss,
    batches: Batches,
    validate: Validate | None,
    folder: Path,
    told: Listener,
    interrupts: Interrupts,
) -> None:
    settings, saved, total = state.settings, folder / "checkpoints", state.total
    model, device = state.model, state.device
    gradients = make_gradients(model, loss, state.generator, device, state.speed, use_bf16(settings, device))
    before, spoke = state.seconds, time.monotonic()
    began = checkpointed = time.perf_counter()

    def save() -> None:
        _check_finite(state, saved)
        state.seconds = before + time.perf_counter() - began
        state.save(saved)

    try:
        with closing(TrainLog(folder, state.step)) as log, closing(Feed(batches, device, total)) as feed:
            if state.step == 0:
                save()  # tells of a full disk at once, and fixes the number of steps
            model.train()
            while True:
                if interrupts.caught is not None:
                    save()
                    told.note(f"stopped at step {state.step} of {total}, with a checkpoint in '{saved}'")
                    interrupts.end()
                if state.step >= total:
                    break
                state.advance(gradients, feed(state.step), learning_rate(settings, state.step, total))
                step, last = state.step, state.step == total
                if step % settings.log_every == 0 or last:
                    _check_finite(state, saved)
                    seconds = before + time.perf_counter() - began
                    rate = learning_rate(settings, step - 1, total)
                    state.last = state.means()
                    log.write("log", step, {"seconds": seconds, "lr": rate, **state.last})
                    told.detail(f"loss {state.last['loss']:.4g}")
                    if time.monotonic() - spoke > SILENT:
                        told.note(f"step {step} of {total}: loss {state.last['loss']:.4g}")
                        spoke = time.monotonic()
                if validate is not None and (step % settings.validate_every == 0 or last):
                    _check_finite(state, saved)
                    figures, better = _validate(state, validate)
                    log.write("validation", step, figures)
                    told.note(_said(state, figures, better))
                    spoke = time.monotonic()
                    if settings.patience and state.stale >= settings.patience and not last:
                        state.finished = "early stop"
                        break
                told.progress("training", step, total)
                every = settings.checkpoint_every
                if (every and step % every == 0) or (
                    time.perf_counter() - checkpointed > 60.0 * settings.checkpoint_minutes
                ):
                    save()
                    checkpointed = time.perf_counter()
            state.finished = state.finished or "steps"
            save()
    except OSError as error:
        raise DriveError(
            f"{error.strerror or error} while writing to '{folder}' at step {state.step}; the last "
            f"checkpoint is {_name(saved)}: mend that, then go on with it (resume)"
        ) from error


def _validate(state: TrainState, validate: Validate) -> tuple[dict[str, float], bool]:
    """The figures of the network that is kept, and whether it is the best so far."""
    watch = state.settings.watch
    state.kept.eval()
    with torch.no_grad():
        figures = {name: float(value) for name, value in validate(state.kept).items()}
    state.model.train()
    if watch not in figures:
        raise InputError(f"validation gives no '{watch}' to watch, only {', '.join(figures) or 'nothing'}")
    if not math.isfinite(figures[watch]):
        raise DriveError(f"the validation's {watch} is {figures[watch]} at step {state.step}")
    best = state.best_figures.get(watch)
    better = best is None or figures[watch] < best
    state.judge(figures, better)
    return figures, better


def _said(state: TrainState, figures: Mapping[str, float], better: bool) -> str:
    shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    best = "best so far" if better else f"best was step {state.best_step}"
    loss = f"loss {state.last['loss']:.4g}; " if state.last else ""
    return f"step {state.step} of {state.total}: {loss}validation {shown} ({best})"


def _check_finite(state: TrainState, saved: Path) -> None:
    if (step := state.first_broken()) is not None:
        raise DriveError(
            f"the loss or its gradient is not finite in step {step} of {state.total}; the last good "
            f"checkpoint is {_name(saved)}: look at the batch of that step, or begin anew with a lower lr"
        )


def _name(saved: Path) -> str:
    path = newest(saved)
    return "not yet written" if path is None else f"'{path}'"


def _listener(shown: bool) -> AbstractContextManager[Listener]:
    return on_terminal() if shown else nullcontext(Listener())


def _fitted(state: TrainState, folder: Path) -> Fitted:
    kept = state.best or state.kept.state_dict()
    state.model.load_state_dict(kept)
    return Fitted(
        model=state.model.eval(),
        steps=state.step,
        total=state.total,
        best_step=state.best_step,
        seconds=state.seconds,
        figures=state.best_figures if state.best else state.validated or state.last,
        stopped=state.finished,
        speed=state.speed,
        folder=folder,
    )


def mean_loss(
    loss: Loss, batches: Batches, count: int, device: str | torch.device = "cpu", seed: int = 0
) -> Validate:
    """A validation: the mean of the loss and its figures over `count` batches, with the same draws each time.

    The batches are fetched once and stay on the device.
    """
    if count < 1:
        raise InputError(f"a validation needs at least one batch, got {count}")
    device = torch.device(device)
    held = [to_device(batches(number), device) for number in range(count)]

    def validate(model: nn.Module) -> dict[str, float]:
        generator = torch.Generator(device)
        generator.manual_seed(seed)
        sums: dict[str, torch.Tensor] = {}
        for batch in held:
            value, figures = loss(model, batch, generator)
            for name, figure in {"loss": value, **figures}.items():
                sums[name] = sums.get(name, 0.0) + torch.as_tensor(figure, dtype=torch.float64, device=device)
        return {name: float(total) / count for name, total in sums.items()}

    return validate


__all__ = ["FitSettings", "Fitted", "fit", "mean_loss", "read_log", "seed_all"]

"""How fast a training goes on this machine: which way of computing gradients, and how many steps fit."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_args

from drive.errors import InputError
from drive.nn._torch import nn, torch
from drive.nn.training.checkpoint import own_random
from drive.nn.training.feed import Batches, to_device
from drive.nn.training.gradients import Loss, Speed, make_gradients, use_bf16
from drive.nn.training.settings import FitSettings
from drive.nn.training.state import new_state

WARM, TIMED, AT_MOST = 3, 30, 10.0
GAIN = 0.9
"""A way of computing is taken over a simpler one when it needs at most this share of its time."""


class Plan(NamedTuple):
    """How the steps are computed, how many there are, and what people are told about it."""

    speed: Speed
    steps: int
    note: str


def plan_steps(
    model: nn.Module,
    loss: Loss,
    batches: Batches,
    settings: FitSettings,
    device: Any,
    validate: Callable[[Any], Mapping[str, float]] | None,
) -> Plan:
    """What `speed=auto` and `minutes` mean here. Measured on copies: the training is not touched."""
    known = settings.speed != "auto" or device.type == "cpu"
    speed: Speed = "eager" if settings.speed == "auto" else settings.speed
    if settings.steps > 0 and known:
        return Plan(speed, settings.steps, "")
    began = time.perf_counter()
    ways: tuple[Speed, ...] = (speed,) if known else get_args(Speed)
    taken: dict[Speed, float] = {}
    with own_random(device):
        for way in ways:
            try:
                taken[way] = _seconds_a_step(model, loss, batches, settings, device, way)
            except Exception:
                if known or way == "eager":  # what fails without tricks fails for a reason of its own
                    raise
        speed = ways[0]
        for way, seconds in taken.items():  # the simple ones come first
            speed = way if seconds <= GAIN * taken[speed] else speed
        note = ", ".join(f"{way} {1e3 * seconds:.3g} ms a step" for way, seconds in taken.items())
        if settings.steps > 0:
            return Plan(speed, settings.steps, f"{note}: {speed}")
        each = taken[speed] + _seconds_of_validation(model, validate) / settings.validate_every
    left = 60.0 * settings.minutes - (time.perf_counter() - began)
    steps = int(left / each)
    if steps < 1:
        raise InputError(
            f"not one step of {each:.3g} s fits into {settings.minutes:g} minutes with the measuring "
            f"({time.perf_counter() - began:.0f} s): give more minutes, or steps"
        )
    return Plan(speed, steps, f"{note}: {steps} steps in {settings.minutes:g} minutes")


def _seconds_a_step(
    model: nn.Module, loss: Loss, batches: Batches, settings: FitSettings, device: Any, speed: Any
) -> float:
    """The median time of a whole step, fetching its batch and updating the running mean included."""
    state = new_state(copy.deepcopy(model), None, settings, device)
    gradients = make_gradients(state.model, loss, state.generator, device, speed, use_bf16(settings, device))
    state.model.train()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < WARM + TIMED and (len(times) < WARM + 3 or time.perf_counter() - began < AT_MOST):
        if len(times) == WARM:
            began = time.perf_counter()
        before = time.perf_counter()
        batch = to_device(batches(len(times)), device)
        state.advance(gradients, batch, settings.lr)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - before)
    return statistics.median(times[WARM:])


def _seconds_of_validation(model: nn.Module, validate: Any) -> float:
    if validate is None:
        return 0.0
    before = time.perf_counter()
    with torch.no_grad():
        validate(copy.deepcopy(model).eval())
    return time.perf_counter() - before


__all__ = ["Plan", "plan_steps"]

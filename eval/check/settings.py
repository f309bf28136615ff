"""Whether a planner's settings can be set by name, are told again, and survive values that make no sense."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from drive import registry
from drive._imports import import_target
from drive.errors import DriveError, InputError
from drive.eval.check.report import Finding, Status
from drive.eval.check.witness import Call, copied
from drive.planner import check_plan
from drive.sim.asking import PlannerFailure, guarded

if TYPE_CHECKING:
    from drive.planner import Observation, Plan, Planner, Session
    from drive.scenario import Task

NAME = "settings"
BAD = ("0", "-1")
PATIENCE, LIMIT = 5.0, 5.0
"""Seconds for all bad values together, and for one call with one of them."""
FROZEN = "make it a frozen dataclass, of which every field has a default"


def check_settings(name: str, overrides: Mapping[str, object], task: Task, calls: list[Call]) -> Finding:
    """The finding about a planner that is known by name; `calls` are situations to try bad values in."""
    found = import_target(name, "") if ":" in name else registry.load("drive.planners", name)
    config_type = getattr(found, "config_type", None)
    if config_type is None:
        return Finding(NAME, Status.PASS, "it has none")
    if not (isinstance(config_type, type) and dataclasses.is_dataclass(config_type)):
        return Finding(NAME, Status.FAIL, "its config_type is no dataclass", FROZEN)
    if not getattr(config_type, "__dataclass_params__").frozen:  # noqa: B009 - typeshed does not know it
        return Finding(NAME, Status.FAIL, f"{config_type.__name__} is not frozen", FROZEN)
    planner = registry.load_planner(name, overrides)
    config = getattr(planner, "config", None)
    if type(config) is not config_type:
        advice = "keep the settings as self.config: results and run logs name them"
        return Finding(NAME, Status.FAIL, "the planner does not say how it is set", advice)
    leaves = dict(_leaves(config))
    for key, value in leaves.items():
        try:
            again = registry.configure(config_type, {key: _text(value)}, config)
        except InputError as error:
            advice = "fields hold numbers, text, true or false, tuples, enums, or dataclasses of these"
            return Finding(NAME, Status.FAIL, f"--set cannot set '{key}': {error}", advice)
        if again != config:
            return Finding(NAME, Status.FAIL, f"'{key}' set to {_text(value)} is not what it was before")
    return _bad_values(name, overrides, leaves, task, calls)


def _bad_values(
    name: str, overrides: Mapping[str, object], leaves: Mapping[str, object], task: Task, calls: list[Call]
) -> Finding:
    """Set each number to values that rarely make sense: refusing is right, and so is driving with them."""
    began, tried = time.perf_counter(), 0
    stumbles: list[str] = []
    numbers = [key for key, value in leaves.items() if type(value) in (int, float)]
    for key in numbers:
        if time.perf_counter() - began > PATIENCE:
            break
        tried += 1
        for value in BAD:
            try:
                planner = registry.load_planner(name, {**overrides, key: value})
            except DriveError:
                continue
            failure = _try(planner, task, calls)
            if failure is not None and failure.kind == "planner_timeout":
                return Finding(
                    NAME, Status.FAIL, f"with {key}={value} a call takes more than {LIMIT:g} s", _refuse(key)
                )
            if failure is not None:
                stumbles.append(f"{key}={value} is taken and then fails ({failure.reason})")
    text = f"{len(leaves)} can be set"
    if tried < len(numbers):
        text += f"; bad values were tried for {tried} of {len(numbers)}"
    if stumbles:
        first = stumbles[0].split("=")[0]
        more = f" and {len(stumbles) - 1} more" if len(stumbles) > 1 else ""
        return Finding(NAME, Status.WARN, f"{text}; {stumbles[0]}{more}", _refuse(first))
    return Finding(NAME, Status.PASS, text)


def _refuse(key: str) -> str:
    return f"raise InputError in __post_init__ for values that {key} cannot have"


def _try(planner: Planner, task: Task, calls: list[Call]) -> PlannerFailure | None:
    try:
        session = guarded(lambda: planner.start(task), LIMIT)
        for call in calls:
            given = copied(call.observation)
            guarded(partial(_asked, session, given), LIMIT)
    except PlannerFailure as failure:
        return failure
    return None


def _asked(session: Session, given: Observation) -> Plan:
    return check_plan(session.plan(given), given.time)


def _leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every field by its dotted name."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from _leaves(value, f"{prefix}{field.name}.")
        elif field.init:
            yield prefix + field.name, value


def _text(value: object) -> str:
    """The value as one would type it."""
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, tuple | list):
        return ",".join(_text(item) for item in value) + ("," if len(value) == 1 else "")
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

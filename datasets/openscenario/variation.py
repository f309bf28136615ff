"""Files that distribute parameters over another scenario: every combination of their deterministic sets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drive.datasets.openscenario.text import open_text
from drive.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from drive.datasets.openscenario.text import Text

MAX_VALUES = 10_000
SETS = "DeterministicMultiParameterDistribution"


@dataclass(frozen=True, slots=True)
class Variation:
    """A scenario file, and the axes along which its parameters vary: each a list of assignments."""

    file: Path
    axes: tuple[tuple[Mapping[str, str], ...], ...]

    def __len__(self) -> int:
        return math.prod(len(axis) for axis in self.axes)

    def values(self, number: int) -> dict[str, str]:
        """The parameters of a combination; the last axis varies fastest. InputError beyond the last one."""
        if not 0 <= number < len(self):
            raise InputError(f"there are {len(self)} combinations, numbered from 0; {number} is none of them")
        out: dict[str, str] = {}
        for axis in reversed(self.axes):
            number, k = divmod(number, len(axis))
            out |= axis[k]
        return out


def read_variation(path: Path) -> Variation:
    """Read a distribution of parameters. Raises InputError for random ones, which name no combinations."""
    text = open_text(path)
    block = text.child("ParameterValueDistribution")
    if block is None:
        raise InputError(f"{path.name}: it distributes no parameters")
    if block.child("Stochastic") is not None:
        raise InputError(f"{path.name}: its parameters are distributed at random, which is not read")
    target = path.parent / block.need("ScenarioFile").text("filepath").replace("\\", "/")
    if not target.is_file():
        raise InputError(f"{path.name}: the scenario '{target.name}' that it varies is not there")
    axes = [_axis(a) for a in block.need("Deterministic").children()]
    return Variation(target, tuple(a for a in axes if a))


def _axis(text: Text) -> tuple[Mapping[str, str], ...]:
    if text.tag == SETS:
        sets = text.need("ValueSetDistribution").children("ParameterValueSet")
        return tuple(
            {a.reference("parameterRef"): a.text("value") for a in s.children("ParameterAssignment")}
            for s in sets
        )
    name, kind = text.reference("parameterName"), text.only()
    if kind.tag == "DistributionSet":
        return tuple({name: e.text("value")} for e in kind.children("Element"))
    if kind.tag == "DistributionRange":
        span, step = kind.need("Range"), kind.number("stepWidth")
        low, high = span.number("lowerLimit"), span.number("upperLimit")
        if step <= 0.0 or high < low or (high - low) / step > MAX_VALUES:
            raise kind.fault(f"a range from {low:g} to {high:g} by {step:g} has no values to be used")
        return tuple({name: repr(low + k * step)} for k in range(math.floor((high - low) / step + 1e-9) + 1))
    raise kind.fault(f"a distribution <{kind.tag}> is not read")

"""The formulas of the policy: clauses as text in `template.toml`, modes as conjunctions of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drive.nn._torch import Tensor, torch
from drive.stl import And, Hard, Monitor, Soft, bind, compile
from drive.stl.book import RuleBook, read_book
from drive.stl.monitor import Backend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Floats = NDArray[np.float32]
PARAMETERS = ("vmin", "vmax", "dmin", "dmax", "dsafe", "thmax")
"""m/s, m/s, m, m, m, and 1 - cos of an angle."""
MODES = ("keep", "left", "right")
CLAUSES = {
    "keep": ("speed", "safe", "offset", "heading"),
    "left": ("speed", "safe", "offset_reached", "heading_reached"),
    "right": ("speed", "safe", "offset_reached", "heading_reached"),
}
BOUNDS = ("edge", "line")
REACH = "reach"
TERMS = ("speed", "safe", "offset", "heading", *BOUNDS)


@cache
def book() -> RuleBook:
    """The clauses."""
    name = "template.toml"
    return read_book(resources.files("drive.planners.stl_diffusion").joinpath(name).read_text("utf-8"), name)


@dataclass(frozen=True, slots=True)
class Template:
    """The formulas made ready for samples every `dt` s.

    Soft semantics (log-sum-exp at `temperature`) for slopes, hard ones for whatever is reported.
    """

    dt: float
    temperature: float = 20.0

    def robustness(
        self,
        signals: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        modes: Sequence[str],
        *,
        soft: bool = False,
        bounds: bool = True,
    ) -> Tensor:
        """Robustness `(B, M, N)` of signals `(B, M, N, T)`, row m under mode `modes[m]`.

        `parameters` by the names of PARAMETERS: `(B, M, 1)`, or traces `(B, M, 1, T)` of bounds that change.
        """
        found = []
        for row, mode in enumerate(modes):
            monitor = _monitor(CLAUSES[mode] + (BOUNDS if bounds else ()), self.dt, self._semantics(soft))
            found.append(_asked(monitor, signals, parameters, row))
        return torch.stack(found, 1)

    def terms(
        self, signals: Mapping[str, Tensor], parameters: Mapping[str, Tensor], modes: Sequence[str]
    ) -> dict[str, Tensor]:
        """The hard robustness of each clause alone, `(B, M, N)` by the names of TERMS."""
        out = {}
        for number, name in enumerate(TERMS):
            rows = [_monitor(((CLAUSES[mode] + BOUNDS)[number],), self.dt, Hard()) for mode in modes]
            out[name] = torch.stack(
                [_asked(monitor, signals, parameters, row) for row, monitor in enumerate(rows)], 1
            )
        return out

    def looked(
        self, signals: Mapping[str, Floats], parameters: Mapping[str, Floats], modes: Sequence[str]
    ) -> Floats:
        """`terms` of arrays `(B, M, N, T)`, stacked: `(6, B, M, N)`; parameters are traces `(B, M, 1, T)`."""
        some = signals["speed"]
        out = np.empty((len(TERMS), *some.shape[:-1]), some.dtype)
        for row, mode in enumerate(modes):
            mine = {name: value[:, row] for name, value in (*signals.items(), *parameters.items())}
            for number, clause in enumerate(CLAUSES[mode] + BOUNDS):
                out[number, :, row] = _monitor((clause,), self.dt, Hard(), "numpy").robustness(mine)
        return out

    def _semantics(self, soft: bool) -> Hard | Soft:
        return Soft(temperature=self.temperature) if soft else Hard()


@cache
def _monitor(
    clauses: tuple[str, ...], dt: float, semantics: Hard | Soft, backend: Backend = "torch"
) -> Monitor:
    rules = [book().rule(name) for name in clauses]
    formulas = [bind(r.formula, {k: v for k, v in r.parameters.items() if k == REACH}) for r in rules]
    whole = formulas[0] if len(formulas) == 1 else And(tuple(formulas))
    return compile(whole, dt, semantics=semantics, backend=backend)


def _asked(
    monitor: Monitor, signals: Mapping[str, Tensor], parameters: Mapping[str, Tensor], row: int
) -> Tensor:
    mine = {name: value[:, row] for name, value in signals.items()}
    fixed = {name: value[:, row] for name, value in parameters.items() if value.ndim == 3}
    moving = {name: value[:, row] for name, value in parameters.items() if value.ndim == 4}
    found: Tensor = monitor.robustness({**mine, **moving}, fixed)
    return found


def named(parameters: Tensor) -> dict[str, Tensor]:
    """Parameters `(B, M, 6)` by name, `(B, M, 1)` each."""
    return {name: parameters[..., k, None] for k, name in enumerate(PARAMETERS)}


__all__ = ["BOUNDS", "CLAUSES", "MODES", "PARAMETERS", "REACH", "TERMS", "Template", "book", "named"]

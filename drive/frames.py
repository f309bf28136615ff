"""Plans that were made once, driven for a few seconds and never made again: the pseudo-closed loop."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import RunLogError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class FrameKind(IntEnum):
    """Which of the two frames of a pair it is; the values are stored in files."""

    NOW = 0
    PREVIOUS = 1


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """F frames; in each the ego starts where it is put, and drives one plan. Ten samples a second.

    sample (F,) of the run at which the plan was made, where time goes on beyond the run too;
    kind (F,) of FrameKind; pair (F,) 0 in the recorded scene, i > 0 for the i-th follow-up start;
    human (F,) whether the recorded driver's motion was driven instead of a plan;
    ego (F, T, 7) the driven states, the first one where it started; past (F, P, 7) the states up to the
    one before, NaN where none are known; end (F, 2) where the plan ends;
    agents (F, A, K, 5), agent_valid (F, A, K) the others in TRACK_COLUMNS from the start on, K >= T;
    signals (F, S, T).
    """

    sample: NDArray[np.int32]
    kind: NDArray[np.uint8]
    pair: NDArray[np.int32]
    human: NDArray[np.bool_]
    ego: Floats
    past: Floats
    end: Floats
    agents: NDArray[np.float32]
    agent_valid: NDArray[np.bool_]
    signals: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.sample)

    def find(self, kind: FrameKind, pair: int = 0, human: bool = False) -> int | None:
        """The number of a frame, None where there is none of that kind."""
        rows = np.flatnonzero((self.kind == kind) & (self.pair == pair) & (self.human == human))
        return int(rows[0]) if len(rows) else None

    def copy(self) -> Frames:
        return Frames(**{name: values.copy() for name, values in self.to_arrays().items()})

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Frames:
        """Frames of stored arrays; RunLogError where they do not fit together."""
        missing = [f.name for f in fields(cls) if f.name not in arrays]
        if missing:
            raise RunLogError(f"its frames lack {', '.join(missing)}")
        made = cls(**{f.name: arrays[f.name] for f in fields(cls)})
        if made.ego.ndim != 3 or made.agents.ndim != 4 or made.signals.ndim != 3 or made.past.ndim != 3:
            raise RunLogError("its frames have arrays of the wrong number of axes")
        n, t, (a, k) = len(made), made.ego.shape[1], made.agents.shape[1:3]
        expected = {
            "kind": (n,),
            "pair": (n,),
            "human": (n,),
            "ego": (n, t, 7),
            "past": (n, made.past.shape[1], 7),
            "end": (n, 2),
            "agents": (n, a, k, 5),
            "agent_valid": (n, a, k),
            "signals": (n, made.signals.shape[1], t),
        }
        for name, shape in expected.items():
            found = getattr(made, name).shape
            if found != shape or k < t:
                raise RunLogError(f"its frames' array '{name}' has the shape {found} instead of {shape}")
        return made

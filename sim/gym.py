"""A Gymnasium vector environment on top of `VectorWorld`. gymnasium is the extra `rl`; this module imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import MissingExtraError

try:
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ModuleNotFoundError:
    raise MissingExtraError("gymnasium", "rl") from None

from drive.sim.kernels.features import ROW
from drive.sim.vector import Candidates, Rewards, VectorWorld

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from drive.scenario import Scenario

_MODES = {
    "same_step": AutoresetMode.SAME_STEP,
    "next_step": AutoresetMode.NEXT_STEP,
    "off": AutoresetMode.DISABLED,
}


class DriveVectorEnv(VectorEnv[Any, Any, Any]):
    """`gymnasium.vector.VectorEnv` of driving scenarios; the settings are those of `VectorWorld.of`.

    Observations are feature rows (`drive.sim.kernels.features`); actions a Box of acceleration in m/s^2 and
    steering rate in rad/s, or a Discrete number of a candidate. With `copy=False` observations and rewards
    are the world's own arrays, which the next step writes over.
    """

    def __init__(
        self,
        scenarios: str | Path | Sequence[str | Path | Scenario],
        num_envs: int | None = None,
        *,
        actions: Candidates | str = "control",
        repeat: int = 1,
        traffic: str = "idm",
        rewards: Rewards | None = None,
        autoreset: str = "next_step",
        threads: int = 1,
        copy: bool = True,
    ) -> None:
        self.world = VectorWorld.of(
            scenarios, num_envs, actions=actions, repeat=repeat, traffic=traffic, rewards=rewards,
            autoreset=autoreset, threads=threads,
        )  # fmt: skip
        self.copy = copy
        self.num_envs = self.world.num_envs
        self.metadata = {"render_modes": [], "autoreset_mode": _MODES[autoreset]}
        self.render_mode = None
        self.spec = None
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (ROW,), np.float32)
        if self.world.actions is None:
            self.single_action_space = spaces.Box(self.world.low, self.world.high, (2,), np.float32)
        else:
            self.single_action_space = spaces.Discrete(len(self.world.actions))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin anew; `options["reset_mask"] (N,)` chooses environments, as Gymnasium's own do."""
        super().reset(seed=seed)
        mask = None if options is None else options.get("reset_mask")
        observation = self.world.reset(seed, mask)
        return self._given(observation), {"scenario": self.world.scenario.copy()}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.world.step(actions)
        return (
            self._given(observation),
            self._given(reward),
            self._given(terminated),
            self._given(truncated),
            info,
        )

    def _given(self, array: Any) -> Any:
        return array.copy() if self.copy else array


__all__ = ["DriveVectorEnv"]

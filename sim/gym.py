"""Gymnasium environments on top of `VectorWorld`. gymnasium is the extra `rl`; this module imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import MissingExtraError

try:
    import gymnasium
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ModuleNotFoundError:
    raise MissingExtraError("gymnasium", "rl") from None

from drive.sim.kernels.features import ROW
from drive.sim.vector import VectorWorld

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from drive.scenario import Scenario

_MODES = {
    "same_step": AutoresetMode.SAME_STEP,
    "next_step": AutoresetMode.NEXT_STEP,
    "off": AutoresetMode.DISABLED,
}


def _spaces(world: VectorWorld) -> tuple[Any, Any]:
    """Observation and action space of one environment."""
    seen = spaces.Box(-np.inf, np.inf, (ROW,), np.float32)
    if world.vocabulary is not None:
        return seen, spaces.Discrete(len(world.vocabulary))
    return seen, spaces.Box(world.low, world.high, (2,), np.float32)


class DriveVectorEnv(VectorEnv[Any, Any, Any]):
    """`gymnasium.vector.VectorEnv` of driving scenarios; the settings are those of `VectorWorld.of`.

    Observations are feature rows (`drive.sim.kernels.features`); actions a Box of acceleration in m/s^2 and
    steering rate in rad/s, or a Discrete number of a trajectory. With `copy=False` what is returned are the
    world's own arrays, which the next step writes over.
    """

    def __init__(
        self,
        scenarios: str | Path | Sequence[str | Path | Scenario],
        num_envs: int | None = None,
        *,
        copy: bool = True,
        **settings: Any,
    ) -> None:
        self.world = VectorWorld.of(scenarios, num_envs, **settings)
        self.copy = copy
        self.num_envs = self.world.num_envs
        self.metadata = {"render_modes": [], "autoreset_mode": _MODES[self.world.autoreset]}
        self.render_mode = None
        self.spec = None
        self.single_observation_space, self.single_action_space = _spaces(self.world)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin anew. Options: `reset_mask (N,)` chooses environments, `scenarios` gives each its number."""
        super().reset(seed=seed)
        given = options or {}
        self.world.reset(seed, given.get("reset_mask"), given.get("scenarios"))
        return self._given(self.world.observation), {"scenario": self.world.scenario.copy()}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        *arrays, info = self.world.step(actions)
        observation, reward, terminated, truncated = map(self._given, arrays)
        return observation, reward, terminated, truncated, info

    def _given(self, array: Any) -> Any:
        return array.copy() if self.copy else array


class DriveEnv(gymnasium.Env[Any, Any]):
    """One world at a time as a `gymnasium.Env`; for learning at speed take `DriveVectorEnv`."""

    def __init__(self, scenarios: str | Path | Sequence[str | Path | Scenario], **settings: Any) -> None:
        self.world = VectorWorld.of(scenarios, 1, **settings, autoreset="off")
        self.metadata = {"render_modes": []}
        self.observation_space, self.action_space = _spaces(self.world)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin anew; a seed draws a new order of the scenarios, `options["scenario"]` chooses one."""
        super().reset(seed=seed)
        which = None if options is None else options.get("scenario")
        self.world.reset(seed, scenarios=None if which is None else np.array([which]))
        return self.world.observation[0].copy(), {"scenario": int(self.world.scenario[0])}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.world.step(np.asarray(action)[None])
        told = {name: value[0].item() for name, value in info.items()}
        return observation[0].copy(), float(reward[0]), bool(terminated[0]), bool(truncated[0]), told


__all__ = ["DriveEnv", "DriveVectorEnv"]

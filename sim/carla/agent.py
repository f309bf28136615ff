"""Any of our planners as an agent of CARLA's leaderboard and of Bench2Drive.

    leaderboard_evaluator.py --agent .../drive/sim/carla/agent.py --agent-config planner.toml

Written against leaderboard-2.1 (cfecdc8) and Bench2Drive (7ec25d1). The agent reads road users and lights
from the world itself, as the privileged experts of those benchmarks do: it shows what a planner is worth
behind perfect perception, and its place is not among agents that see by sensors.

The configuration is a planner's name, or a TOML file:

    planner = "pdm"
    out = "runs"            # where run logs go; none without it
    [settings]
    horizon_steps = 40
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive._imports import import_target
from drive.errors import InputError, PlanError
from drive.files import file_stem
from drive.registry import load_planner
from drive.sim.asking import PlannerFailure
from drive.sim.carla.bridge import PER_SAMPLE, check_planner
from drive.sim.carla.client import client_module
from drive.sim.carla.eyes import Eyes, figures_of, unseen
from drive.sim.carla.maps import bare_name
from drive.sim.carla.pedals import Foot
from drive.sim.carla.pilot import DT, WATCHDOG, Pilot
from drive.sim.carla.stage import STEP
from drive.sim.carla.stops import StopSigns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drive.planner import Plan

try:
    from leaderboard.autoagents.autonomous_agent import AutonomousAgent, Track
except ModuleNotFoundError:  # without the leaderboard nobody asks for the agent
    AutonomousAgent, Track = object, None

HERO = "hero"
FIRST_CALL = 600.0
"""Seconds for a planner's first call on a route: its kernels may compile then."""
_ERRAND = "drive.datasets.carla_routes.errand:errand_along"


@dataclass(frozen=True, slots=True)
class Config:
    """What the agent is told: a planner, its settings, a seed, and where run logs go."""

    planner: str = "pdm"
    settings: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0
    out: Path | None = None

    @classmethod
    def read(cls, given: str | None) -> Config:
        """From a TOML file or a planner's name; Bench2Drive's `config+checkpoint` is taken up to the plus.

        Raises InputError.
        """
        text = (given or "").partition("+")[0].strip()
        save = os.environ.get("SAVE_PATH")
        out = Path(save) if save else None
        if not text.endswith(".toml"):
            return cls(text or "pdm", out=out)
        path = Path(text)
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path.name}: no readable configuration ({error})") from None
        known = {"planner": str, "settings": dict, "seed": int, "out": str}
        for key, value in data.items():
            if key not in known:
                raise InputError(f"{path.name}: '{key}' is none of {', '.join(known)}")
            if not isinstance(value, known[key]):
                raise InputError(f"{path.name}: {key} is no {known[key].__name__}")
        kept = path.parent / data["out"] if "out" in data else out
        return cls(data.get("planner", "pdm"), data.get("settings", {}), data.get("seed", 0), kept)


def get_entry_point() -> str:
    """The name of the agent's class, which the evaluators ask for."""
    return "ToolkitAgent"


class ToolkitAgent(AutonomousAgent):  # type: ignore[misc]
    """One of our planners on one route of an evaluator."""

    def setup(self, path_to_conf_file: str, *rest: object) -> None:
        """Inherited. Makes the planner; raises InputError for one that CARLA cannot serve."""
        self.track = Track.SENSORS
        self.config = Config.read(path_to_conf_file)
        self.planner = load_planner(self.config.planner, self.config.settings or None)
        check_planner(self.planner)
        self.pilot: Pilot | None = None
        self.steps = 0

    def sensors(self) -> list[dict[str, Any]]:
        """Inherited. The evaluators want some; the planner's view does not come from them."""
        at = {"x": 0.0, "y": 0.0, "z": 1.6, "roll": 0.0, "pitch": 0.0, "yaw": 0.0}
        return [{"type": "sensor.speedometer", "reading_frequency": 20, "id": "SPEED", **at}]

    def set_global_plan(self, global_plan_gps: Any, global_plan_world_coord: Any) -> None:
        """Inherited. Keeps the route before it is thinned to a point every 200 m."""
        super().set_global_plan(global_plan_gps, global_plan_world_coord)
        places = [place for place, _ in global_plan_world_coord]
        where = [getattr(place, "location", place) for place in places]
        self.way = np.array([(p.x, -p.y, p.z) for p in where])

    def run_step(self, input_data: Any, timestamp: float) -> Any:
        """Inherited. A planner's failure ends in braking, and is told once."""
        carla = client_module()
        try:
            pressed = self._step()
        except PlannerFailure as error:
            raise PlanError(f"{self.planner.spec.name}: {error.kind}: {error.reason}") from None
        return carla.VehicleControl(throttle=pressed.throttle, steer=pressed.steer, brake=pressed.brake)

    def _step(self) -> Any:
        if self.pilot is None:
            self._begin()
        pilot = self.pilot
        assert pilot is not None
        frame = self.eyes.look(self.world.get_snapshot())
        late = self.steps % PER_SAMPLE
        if not late:
            pilot.note(frame, self.eyes.bodies)
            self.plan: Plan = pilot.think()
            pilot.watchdog = WATCHDOG
        self.steps += 1
        return self.foot.follow(self.plan, pilot.time + late * STEP, frame.ego)

    def _begin(self) -> None:
        from srunner.scenariomanager.carla_data_provider import CarlaDataProvider

        self.world = CarlaDataProvider.get_world()
        ours = [a for a in self.world.get_actors() if a.attributes.get("role_name") == HERO]
        if not ours:
            raise PlanError("the evaluator has no vehicle with the role name 'hero'")
        town = self.world.get_map()
        errand = import_target(_ERRAND, f"'{_ERRAND}'")(
            town.to_opendrive(), bare_name(town.name), self.way, f"{bare_name(town.name)}"
        )
        figures = figures_of(ours[0])
        self.eyes = Eyes(self.world, ours[0].id, figures, errand.origin, errand.roadmap.signal_ids)
        self.eyes.strangers |= unseen(self.world)
        self.foot = Foot(figures)
        stops = StopSigns.of(self.world, errand.roadmap, errand.origin)
        self.pilot = Pilot(errand, self.planner, figures, stops, self.config.seed, FIRST_CALL)

    def destroy(self) -> None:
        """Inherited. Leaves the run log, where one is asked for."""
        pilot, self.pilot = getattr(self, "pilot", None), None
        if pilot is None or self.config.out is None or len(pilot.egos) < 2:
            return
        log = pilot.log(
            {
                "planner": {
                    "name": self.planner.spec.name,
                    "config": dict(self.config.settings),
                    "privileged": False,
                },
                "traffic": "evaluator",
                "simulator": {"name": "carla", "town": pilot.errand.town, "step": STEP, "sample": DT},
            }
        )
        stem = file_stem(f"{self.planner.spec.name}-{pilot.errand.town}")
        number = 1
        while (path := self.config.out / f"{stem}-{number}.drive.npz").exists():
            number += 1
        log.save(path)

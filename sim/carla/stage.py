"""A stay in a CARLA world: synchronous steps, traffic, and everything as it was afterwards.

Whatever ends it (the end of the drive, an error, SIGINT, SIGTERM, a caller that hangs), the actors are
destroyed and the settings restored; only a killed process leaves them, and the next one finds them by their
role name (`drive.sim.carla.client.thaw`).
"""

from __future__ import annotations

import random
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from drive.errors import SimulationError
from drive.sim.carla.client import ROLE, client_module, free_port, line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType, TracebackType

    from drive.sim.carla.crowd import PolicyCars

STEP = 0.05
"""Seconds of a step: CARLA's physics is not made for more than 0.1 s, its agents expect 0.05 s."""
SILENCE = 120.0
"""Seconds without a step after which the watchdog gives the world back."""
TRAFFIC = ROLE + "traffic"


class Stage:
    """A world in synchronous mode, entered as a context; `spawned` are the ids of what is ours in it."""

    def __init__(self, client: Any, world: Any, seed: int = 0, silence: float = SILENCE) -> None:
        self.carla = client_module()
        self.client, self.world, self.seed, self.silence = client, world, seed, silence
        self.before = world.get_settings()
        self.spawned: list[int] = []
        self.traffic_manager: Any = None
        self.policy: PolicyCars | None = None
        """Who drives the cars of the traffic: CARLA's Traffic Manager, or the traffic policy."""
        self._handlers: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._left = False
        self._signal = 0
        self._beat = time.monotonic()
        self._done = threading.Event()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._asked_to_end)
        try:
            settings = self.world.get_settings()
            settings.synchronous_mode, settings.fixed_delta_seconds = True, STEP
            self.world.apply_settings(settings)
            self.tick()
        except BaseException:
            self.leave()
            raise
        threading.Thread(target=self._watch, daemon=True, name="carla watchdog").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def tick(self) -> Any:
        """One step of the world; its snapshot.

        Raises SimulationError when CARLA does not answer, KeyboardInterrupt or SystemExit after a signal.
        """
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self._signal:
            raise SystemExit(128 + self._signal)
        if self._left:
            raise SimulationError(f"no step for {self.silence:g} s: the CARLA world was given back")
        self._beat = time.monotonic()
        try:
            self.world.tick()
        except RuntimeError as error:
            raise SimulationError(f"CARLA did not step: {line(error)}") from None
        return self.world.get_snapshot()

    def spawn(self, blueprint: Any, transforms: Sequence[Any], role: str) -> Any:
        """An actor at the first of the transforms that is free. Raises SimulationError."""
        if blueprint.has_attribute("role_name"):
            blueprint.set_attribute("role_name", ROLE + role)
        for transform in transforms:
            actor = self.world.try_spawn_actor(blueprint, transform)
            if actor is not None:
                self.spawned.append(actor.id)
                return actor
        at = transforms[0].location
        raise SimulationError(f"CARLA has no room for {blueprint.id} at ({at.x:.1f}, {at.y:.1f})")

    def traffic(self, points: Sequence[Any], count: int, managed: bool = True) -> int:
        """Up to `count` cars at spawn points, `managed` by CARLA's own Traffic Manager or standing; how many
        there are."""
        if count < 1 or not points:
            return 0
        carla, rng, port = self.carla, random.Random(self.seed), 0
        if managed:
            manager = self.traffic_manager = self.client.get_trafficmanager(free_port())
            manager.set_synchronous_mode(True)
            manager.set_random_device_seed(self.seed)
            manager.set_global_distance_to_leading_vehicle(2.5)
            port = manager.get_port()
        cars = [
            b
            for b in self.world.get_blueprint_library().filter("vehicle.*")
            if b.has_attribute("base_type") and b.get_attribute("base_type").as_str() == "car"
        ]
        cars.sort(key=lambda b: str(b.id))
        places = list(points)
        rng.shuffle(places)
        batch = []
        for place in places[:count]:
            car = rng.choice(cars)
            car.set_attribute("role_name", TRAFFIC)
            spawn = carla.command.SpawnActor(car, place)
            if managed:
                spawn.then(carla.command.SetAutopilot(carla.command.FutureActor, True, port))
            batch.append(spawn)
        answers = self.client.apply_batch_sync(batch, False)
        made = [a.actor_id for a in answers if not a.error]
        self.spawned += made
        self.tick()
        return len(made)

    def hold(self, car: Any, held: bool) -> None:
        """Have a car of the traffic brake as hard as it can, or let it go on."""
        if self.policy is not None:
            self.policy.hold({car.id}, held)
        elif held:
            car.set_autopilot(False, self.traffic_manager.get_port())
        else:
            car.set_autopilot(True, self.traffic_manager.get_port())

    def leave(self) -> None:
        """Destroy what is ours, in reverse order, and restore the settings; once, and from any thread."""
        with self._lock:
            if self._left:
                return
            self._left = True
        self._done.set()
        _give_back(self.client, self.world, self.spawned, self.traffic_manager, self.before)
        self.traffic_manager = None
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _asked_to_end(self, number: int, frame: FrameType | None) -> None:
        # Not raised here: that would be taken for a fault of the planner that happens to think just now. A
        # second signal meets the handler that was there before.
        self._signal = number
        signal.signal(number, self._handlers.get(number) or signal.SIG_DFL)

    def _watch(self) -> None:
        while not self._done.wait(min(self.silence / 4.0, 1.0)):
            if time.monotonic() - self._beat < self.silence:
                continue
            with self._lock:
                if self._left:
                    return
                self._left = True
            # The caller hangs and may hold its own calls: handlers stay until it comes back.
            _give_back(self.client, self.world, self.spawned, self.traffic_manager, self.before)
            return


def _give_back(client: Any, world: Any, spawned: list[int], manager: Any, before: Any) -> None:
    """As far as it goes: a server that has died must not hide the error that is on its way.

    The Traffic Manager goes first, while the world stands still: it asks about its cars from a thread of its
    own, and the client does not survive an answer that one of them is gone.
    """
    carla = client_module()
    with suppress(RuntimeError):
        if manager is not None:
            manager.shut_down()
    with suppress(RuntimeError):
        if spawned:
            client.apply_batch_sync([carla.command.DestroyActor(i) for i in reversed(spawned)], False)
            # Who looks next shall not find them in the last snapshot.
            world.tick()
    with suppress(RuntimeError):
        world.apply_settings(before)
    spawned.clear()

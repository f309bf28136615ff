"""The server: CARLA's two ports over one `CarlaWorld`.

One thread does everything. In synchronous mode a client's `tick_cue` steps the world, the snapshot leaves on
the streaming port, and then the answer on the calling port; in asynchronous mode a timer steps it in real
time.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.errors import DriveError, InputError
from drive.sim.carla.calls import CALLS
from drive.sim.carla.calls.batch import Room
from drive.sim.carla.maps import Maps
from drive.sim.carla.sensors import record_of
from drive.sim.carla.session import Session
from drive.sim.carla.stall import EVERY, look_after
from drive.sim.carla.streams import OBSERVER, SENSORS, Streams
from drive.sim.carla.wire import records
from drive.sim.carla.wire.messages import MAX_MESSAGE
from drive.sim.carla.wire.shapes import CLEAR_NOON, Settings
from drive.sim.carla.wire.transport import Loop, Peer
from drive.sim.carla.wire.versions import DEFAULT, VERSIONS, Version

if TYPE_CHECKING:
    from drive.sim.carla.world.world import CarlaWorld

FREE_STEP = 0.05
"""Seconds of a step where the client has named none: twenty a second, in real time."""
ANNOUNCED_AFTER = 0.3
"""Seconds between the answer to `load_world` and its first snapshot. The client rebuilds its Traffic Manager
in the stream's callback; announced before the answer, it was seen to die of that."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a server is run."""

    host: str = "127.0.0.1"
    port: int = 2000
    streaming_port: int | None = None
    """The next one after `port` by default."""
    release: Version = VERSIONS[DEFAULT]
    unfreeze_after: float | None = 5.0
    """Seconds after which a synchronous world whose clients have gone runs on its own again; None: never."""
    reclaim: bool = False
    """Destroy what a client spawned when it goes; by default it stays, as in CARLA."""
    max_message: int = MAX_MESSAGE


class Server:
    """A world, the clients at it, and what is neither the world's nor a client's."""

    def __init__(
        self,
        maps: Maps,
        first: str,
        load: Callable[[Path, str], CarlaWorld],
        options: Options,
        log: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self.maps, self.options, self.log = maps, options, log
        self.release = options.release
        self._observer_type = self.release.sensor_type("world_observer")
        self.calls = CALLS
        self.room = Room()
        self.packed: dict[bytes, tuple[Any, bytes]] = {}
        """Answers that are known until what they tell changes (drive.sim.carla.calls.bare)."""
        self._load = load
        self.episode = 0
        self.frame = 0
        self.seconds = 0.0
        self.dt = FREE_STEP
        self.settings = Settings()
        self.weather: tuple[float, ...] = CLEAR_NOON
        self.traffic_managers: dict[int, tuple[str, int]] = {}
        self.sessions: set[Session] = set()
        self.world: CarlaWorld
        self._begin(first)
        self.loop = Loop()
        self.streams = Streams(self.stream_known, welcome=self._welcome)
        self._announce_at: float | None = None
        self._flags = 0
        self._stop = False
        try:
            self.port, self.streaming_port = self._listen(options)
        except DriveError:
            self.loop.close()
            raise
        self._next_step = time.monotonic() + FREE_STEP
        self.loop.after(FREE_STEP, self._free_run)
        self.loop.after(EVERY, self._look_after)

    def _listen(self, options: Options, tries: int = 20) -> tuple[int, int]:
        """The ports of calls and streams; clients look for streams at the next one."""
        port = self.loop.listen(options.host, options.port, self._greet)
        wanted = port + 1 if options.streaming_port is None else options.streaming_port
        try:
            return port, self.loop.listen(options.host, wanted, self.streams.greet)
        except DriveError:
            # A free port was asked for, and somebody has the one after it: another one then.
            if options.port != 0 or options.streaming_port is not None or tries <= 1:
                raise
        self.loop.deaf()
        return self._listen(options, tries - 1)

    # the episode

    def _begin(self, name: str) -> None:
        found, path = self.maps.find(name)
        world = self._load(path, found)  # raises for a map without use, and nothing has changed yet
        world.y_is_north = self.release.y_is_north
        self.world, self.map_name = world, found
        self.episode += 1
        self.seconds = 0.0

    def load_episode(self, name: str, reset_settings: bool) -> None:
        """Another world; the snapshot that tells of it leaves a moment later."""
        self._begin(name or self.map_name)
        if reset_settings:
            self.settings = Settings()
        self.weather = CLEAR_NOON
        self.traffic_managers.clear()
        for session in self.sessions:
            session.spawned.clear()
        for stream in [s for s in self.streams.readers if s != OBSERVER]:
            self.streams.end(stream)
        self._announce_at = time.monotonic() + ANNOUNCED_AFTER
        self.loop.after(ANNOUNCED_AFTER, self._announce)

    def _announce(self) -> None:
        if self._announce_at is not None and time.monotonic() >= self._announce_at:
            self._announce_at = None
            self._flags = records.MAP_CHANGED  # without it a client goes on with the map that it has
            self.step()
            self._flags = 0

    def apply_settings(self, session: Session, settings: Settings) -> int:
        """Returns the frame that the client waits for."""
        session.keeps = session.keeps or settings.synchronous
        self.settings = settings
        self.dt = settings.fixed_dt or FREE_STEP
        self._next_step = time.monotonic() + self.dt
        self._publish_state()
        return self.frame

    # time

    def tick(self, session: Session) -> int:
        """A client's cue. In asynchronous mode, as in the game, nothing is waited for."""
        if self.settings.synchronous:
            session.keeps = True
            session.batches.ticked()
            self.step()
        return self.frame

    def step(self) -> None:
        """One step of the world, its snapshot, and what its sensors have to say."""
        self.dt = self.settings.fixed_dt or FREE_STEP
        self.world.tick(self.dt)
        self.frame += 1
        self.seconds += self.dt
        self._publish_state()
        if len(self.streams.readers) > (OBSERVER in self.streams.readers) and self._announce_at is None:
            self._publish_sensors()

    def _free_run(self) -> None:
        now = time.monotonic()
        if self.settings.synchronous:
            self._next_step = now + FREE_STEP
        elif now >= self._next_step:
            try:
                self.step()
            except Exception as error:  # a fault of the world must not end the server
                self.broken("the step", error)
            # Where a step takes longer than it lasts, time is lost rather than calls left waiting.
            self._next_step = max(self._next_step + self.dt, time.monotonic() + 0.001)
        self.loop.after(max(self._next_step - time.monotonic(), 0.0005), self._free_run)

    # streams

    def stream_known(self, stream: int) -> bool:
        return stream == OBSERVER or self.is_a(stream - SENSORS, "sensor")

    def _welcome(self, stream: int, peer: Peer) -> None:
        if stream == OBSERVER and self._announce_at is None:
            peer.offer(self._state())

    def _state(self) -> memoryview:
        """The snapshot as it is sent; the next tick overwrites it."""
        message = self.world.actors.snapshot
        records.observed(
            message, self._observer_type, self.frame, self.seconds, self.episode, time.monotonic(), self.dt,
            self._flags,
        )  # fmt: skip
        return message

    def _publish_state(self) -> None:
        if self._announce_at is None and OBSERVER in self.streams.readers:
            self.streams.publish(OBSERVER, self._state())

    def _publish_sensors(self) -> None:
        for actor, kind, data in self.world.measure(self.streams.listened):
            record = record_of(self, actor, kind, data)
            if record is None:
                continue
            head = records.header(
                self.release.sensor_type(kind), self.frame, self.seconds, self.world.transform(actor)
            )
            self.streams.publish(actor + SENSORS, records.framed(head + record))

    # clients

    def _greet(self, peer: Peer) -> Session:
        session = Session(self, peer)
        self.sessions.add(session)
        return session

    def left(self, session: Session) -> None:
        """A client has gone, by its own will or not: nobody may wait for it for ever."""
        self.sessions.discard(session)
        for port in session.traffic_managers:
            self.traffic_managers.pop(port, None)
        if self.options.reclaim and session.spawned:
            self.destroy(sorted(session.spawned))
        waits = self.options.unfreeze_after
        if session.keeps and waits is not None and not self._stop:
            self.loop.after(waits, self._unfreeze)

    def _unfreeze(self) -> None:
        if self.settings.synchronous and not any(s.keeps for s in self.sessions):
            self.log("the client that ticked has gone: asynchronous mode again (its actors stay)")
            self.settings = replace(self.settings, synchronous=False, fixed_dt=None)
            self._next_step = time.monotonic() + FREE_STEP

    def _look_after(self) -> None:
        for session in self.sessions:
            look_after(session, self.traffic_managers, self.log)
        self.loop.after(EVERY, self._look_after)

    def is_a(self, actor: int, kind: str | None = None) -> bool:
        """Whether an actor of that kind (any, by default) is there."""
        return actor in self.world.actors.row_of and kind in (None, self.world.actor(actor).kind)

    def destroy(self, actors: list[int]) -> list[int]:
        """Returns those that were there."""
        there = self.world.destroy(actors)
        gone = [actor for actor, was in zip(actors, there, strict=True) if was]
        for actor in gone:
            self.streams.end(actor + SENSORS)
            for session in self.sessions:
                session.spawned.discard(actor)
        return gone

    def token(self, stream: int, session: Session | None = None) -> bytes:
        """Where a client has a stream: at the address by which it reached the server."""
        address = (127, 0, 0, 1) if session is None else session.local_address
        return records.token(stream, self.streaming_port, address)

    def broken(self, where: str, error: Exception) -> None:
        """A fault of ours; the trace goes to the log, and the server goes on."""
        lines: list[Any] = traceback.format_exception(error)
        self.log(f"internal error in {where}: {''.join(lines)[-2000:]}")

    # running

    def run(self) -> None:
        """Serve until `stop`."""
        try:
            while not self._stop:
                self.loop.once()
        finally:
            self._stop = True
            self.loop.close()
            self.maps.close()

    def stop(self) -> None:
        """End `run`, from any thread or a signal's handler."""
        self._stop = True
        self.loop.wake()


def check(options: Options) -> Options:
    """Raises InputError for ports that are none."""
    for port in (options.port, options.streaming_port):
        if port is not None and not 0 <= port <= 65534:
            raise InputError(f"{port} is no port")
    return options

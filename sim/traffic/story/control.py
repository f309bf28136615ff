"""Actions at work on entities: speeds, lanes, distances, trajectories."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drive.sim.traffic.story.model import (
    ChangeLane,
    ChangeOffset,
    FollowPoints,
    KeepDistance,
    Profile,
    Remove,
    Speed,
    Synchronise,
    TakeRoute,
    Teleport,
)
from drive.sim.traffic.story.people import Tracing
from drive.sim.traffic.story.shapes import Transition

if TYPE_CHECKING:
    from drive.sim.traffic.story.model import Doing
    from drive.sim.traffic.story.people import Cast, Person

GENTLE = 3.0
"""m/s^2 where an action sets no limit of its own."""
TIGHT = 1.0
"""1/s by which a distance that is off is worked off."""
CLOSE = 0.1
"""m or m/s within which something is reached."""
OFFSET_TIME = 2.0
"""s in which a lane's offset is changed where no greatest acceleration says how fast."""


@dataclass(slots=True, eq=False)
class Controls:
    """What governs each entity's speed at present: an action, with its transition where it has one."""

    cast: Cast
    along: dict[str, tuple[Doing, Transition | None]] = field(default_factory=dict)
    beside: dict[str, Doing] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def begin(self, name: str, doing: Doing, time: float = 0.0, init: bool = False) -> None:
        """Let an entity begin to act. What a planner drives is only put and given its speed at the start."""
        if not name:
            return
        p = self.cast.people[name]
        if p.outside and not init:
            return
        if isinstance(doing, Speed):
            self._speed(p, doing)
        elif isinstance(doing, ChangeLane):
            self._lane(p, doing)
        elif isinstance(doing, ChangeOffset):
            self._offset(p, doing)
        elif isinstance(doing, FollowPoints):
            p.tracing = Tracing.of(doing, time)
            if not p.there:
                x, y, heading = p.tracing.advance(0.0, 0.0)
                p.there, p.x, p.y, p.heading = True, x, y, heading
            p.aside, p.way = None, None
            self.beside[name] = doing
            if doing.times is not None:
                self.along.pop(name, None)
        elif isinstance(doing, Teleport):
            pose = self.cast.pose_of(doing.place, p)
            if pose is not None:
                p.put(pose, self.cast.lanes)
        elif isinstance(doing, Remove):
            p.there = False
        elif isinstance(doing, KeepDistance) and not doing.continuous and _unbounded(doing):
            self._jump(p, doing)
        elif isinstance(doing, (KeepDistance, Synchronise)):
            self.along[name] = (doing, None)
        elif isinstance(doing, TakeRoute):
            self._route(p, doing)

    def drop(self, name: str, doing: Doing) -> None:
        """Let an entity end an action before its time: it keeps its speed, and its place in the lane."""
        if name in self.along and self.along[name][0] is doing:
            del self.along[name]
        if self.beside.get(name) is doing:
            del self.beside[name]
            p = self.cast.people[name]
            p.aside = None
            if p.tracing is not None:
                p.tracing = None
                p.take_lane(self.cast.lanes)

    def busy(self, name: str, doing: Doing) -> bool:
        """Whether an entity is still at an action that it has begun."""
        if not name or self.cast.people[name].outside:
            return False
        if name in self.along and self.along[name][0] is doing:
            return True
        return self.beside.get(name) is doing

    def move(self, dt: float) -> None:
        """Move all on by a step; those whom a planner drives move elsewhere."""
        before = {name: p.speed for name, p in self.cast.people.items()}
        for name, p in self.cast.people.items():
            if p.outside or not p.there:
                continue
            speed = self._next_speed(name, p, dt, before)
            p.advance(speed, dt)
            self._finish(name, p)

    def _finish(self, name: str, p: Person) -> None:
        doing = self.beside.get(name)
        if p.tracing is not None:
            if p.tracing.finished:
                p.tracing = None
                p.take_lane(self.cast.lanes)
                self.beside.pop(name, None)
        elif doing is not None and p.aside is None and not getattr(doing, "continuous", False):
            del self.beside[name]
        if p.ended:
            p.there = False

    # -- along ----------------------------------------------------------------------------------------

    def _speed(self, p: Person, doing: Speed) -> None:
        t = Transition.of(p.speed, self._goal(p, doing), doing.profile)
        if t.shape == "step":
            p.speed = t.end
            self.along.pop(p.entity.name, None)
            if not doing.continuous:
                return
        self.along[p.entity.name] = (doing, t)

    def _goal(self, p: Person, doing: Speed) -> float:
        goal = doing.value
        if doing.entity:
            other = self.cast.people[doing.entity].speed
            goal = other * goal if doing.relative == "factor" else other + goal
        return min(goal, p.entity.max_speed)

    def _next_speed(self, name: str, p: Person, dt: float, speeds: dict[str, float]) -> float:
        doing, t = self.along.get(name, (None, None))
        if doing is None:
            return p.speed
        if isinstance(doing, Speed):
            assert t is not None
            speed = t.advance(dt, abs(p.speed) * dt)
            if t.finished:
                if doing.continuous:
                    return self._goal(p, doing)
                del self.along[name]
            return speed
        if isinstance(doing, KeepDistance):
            return self._keep(name, p, doing, dt, speeds)
        assert isinstance(doing, Synchronise)
        return self._synchronise(name, p, doing, dt)

    def _miss(self, p: Person, doing: KeepDistance) -> float:
        """m by which somebody is farther behind an entity than it wants to be."""
        ref = self.cast.people[doing.entity]
        if p.way is not None:
            away = p.way.foot(ref.x, ref.y)[0] - p.s
        else:
            away = (ref.x - p.x) * math.cos(p.heading) + (ref.y - p.y) * math.sin(p.heading)
        if doing.freespace:
            half = 0.5 * (p.entity.size[0] + ref.entity.size[0])
            away += ref.entity.rear_to_centre - p.entity.rear_to_centre
            away -= math.copysign(half, doing.value)
        # A gap in time is that of whoever follows.
        follower = ref if doing.value < 0.0 else p
        return away - doing.value * (follower.speed if doing.in_time else 1.0)

    def _jump(self, p: Person, doing: KeepDistance) -> None:
        """Be at the distance at once: nothing bounds how it is reached."""
        miss = self._miss(p, doing)
        if p.way is None:
            p.x, p.y = p.x + miss * math.cos(p.heading), p.y + miss * math.sin(p.heading)
        else:
            p.s += miss
            x, y, h = p.way.at(p.s)
            p.x, p.y, p.heading = x - p.d * math.sin(h), y + p.d * math.cos(h), h

    def _keep(self, name: str, p: Person, doing: KeepDistance, dt: float, speeds: dict[str, float]) -> float:
        miss = self._miss(p, doing)
        speed = speeds[doing.entity] + TIGHT * miss
        gain, brake = doing.acceleration or GENTLE, doing.braking or GENTLE
        speed = min(max(speed, p.speed - brake * dt), p.speed + gain * dt)
        speed = min(max(speed, 0.0), doing.speed or p.entity.max_speed)
        if not doing.continuous and abs(miss) < CLOSE:
            self.along.pop(name, None)
        return speed

    def _synchronise(self, name: str, p: Person, doing: Synchronise, dt: float) -> float:
        """The speed with which it is there when the master is: v_end as asked, the mean by what is left."""
        master = self.cast.people[doing.master]
        mine, theirs = self.cast.pose_of(doing.place, p), self.cast.pose_of(doing.master_place, master)
        if mine is None or theirs is None:
            self.along.pop(name, None)
            return p.speed
        left, other = _ahead(p, mine), _ahead(master, theirs)
        if left <= CLOSE or other <= CLOSE or master.speed <= CLOSE:
            if left <= CLOSE or other <= CLOSE:
                self.along.pop(name, None)
            return p.speed
        time = other / master.speed
        final = doing.final
        if final is not None and doing.relative:
            final += master.speed
        if final is None:
            speed = left / time
        else:
            # With a constant change of acceleration from here: the mean of both speeds drives what is left.
            speed = p.speed + 2.0 * (left / time - 0.5 * (p.speed + final)) * min(2.0 * dt / time, 1.0)
            speed += (final - p.speed) * dt / time
        limit_up, limit_down = p.entity.max_acceleration * dt, p.entity.max_braking * dt
        return min(max(speed, p.speed - limit_down, 0.0), p.speed + limit_up, p.entity.max_speed)

    # -- beside ---------------------------------------------------------------------------------------

    def _lane(self, p: Person, doing: ChangeLane) -> None:
        lanes, name = self.cast.lanes, p.entity.name
        if p.way is None:
            self.failed.append(f"{name} is on no lane to change from")
            return
        here = p.lane
        if doing.entity:
            ref = self.cast.people[doing.entity]
            lane = ref.lane if ref.way is not None else lanes.near(ref.x, ref.y)
            number = -1 if lane < 0 else int(lanes.numbers[lane])
            target = lanes.beside(lane, doing.lane) if ref is p else _counted(lanes, here, number, doing.lane)
        else:
            target = lanes.numbered(here, doing.lane)
        if target < 0:
            self.failed.append(f"{name} finds no lane to change to")
            return
        p.take_lane(lanes, target)
        against = -1.0 if p.way.against else 1.0
        self._go_aside(p, doing, against * lanes.along_road(target) * doing.offset, doing.profile)
        self.beside[name] = doing

    def _offset(self, p: Person, doing: ChangeOffset) -> None:
        if p.way is None:
            return
        sign = self.cast.lanes.along_road(p.lane) * (-1.0 if p.way.against else 1.0)
        goal = sign * doing.offset
        if doing.entity:
            ref = self.cast.people[doing.entity]
            goal += p.way.foot(ref.x, ref.y)[1]
        way = abs(goal - p.d)
        profile = Profile(doing.shape, "time", OFFSET_TIME)
        if doing.acceleration and way > 0.0:
            # The greatest acceleration of a sine over T is pi^2 way / (2 T^2).
            profile = Profile(doing.shape, "time", math.pi * math.sqrt(0.5 * way / doing.acceleration))
        self._go_aside(p, doing, goal, profile)
        self.beside[p.entity.name] = doing

    def _go_aside(self, p: Person, doing: Doing, goal: float, profile: Profile) -> None:
        p.tracing = None
        t = Transition.of(p.d, goal, profile)
        if t.shape == "step" and p.way is not None:
            p.d = goal
            x, y, h = p.way.at(p.s)
            p.x, p.y, p.aside = x - goal * math.sin(h), y + goal * math.cos(h), None
        else:
            p.aside = t

    def _route(self, p: Person, doing: TakeRoute) -> None:
        lanes = self.cast.lanes
        poses = [self.cast.pose_of(place, p) for place in doing.places]
        found = lanes.chain([(p.x, p.y, p.heading), *(q for q in poses if q is not None)])
        if len(found) > 1:
            p.route = tuple(found)
            p.take_lane(lanes, p.lane)


def _unbounded(doing: KeepDistance) -> bool:
    return doing.acceleration is None and doing.braking is None and doing.speed is None


def _ahead(p: Person, pose: tuple[float, float, float]) -> float:
    """m along its way to a place, negative where it is past it."""
    if p.way is not None:
        return p.way.foot(pose[0], pose[1])[0] - p.s
    c, s = math.cos(p.heading), math.sin(p.heading)
    return (pose[0] - p.x) * c + (pose[1] - p.y) * s


def _counted(lanes: object, here: int, number: int, count: int) -> int:
    """The lane beside `here` whose number is greater by `count` than `number`, 0 not counted."""
    from drive.sim.traffic.story.lanes import Lanes

    assert isinstance(lanes, Lanes)
    goal = number + count
    if number * goal <= 0 and count:
        goal += 1 if count > 0 else -1
    return lanes.numbered(here, goal)

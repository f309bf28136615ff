"""Road works: cones that taper, barriers, machines and the people who work there."""

from __future__ import annotations

import numpy as np

from drive.datasets.generate.drivers import Body, Driver
from drive.datasets.generate.kernels.base import PARKED, WALKER
from drive.datasets.generate.people import draw_pace, walker_body
from drive.datasets.generate.roads import Profile
from drive.datasets.generate.traffic import Actor, Order, Traffic, TrafficLane
from drive.vehicle import AgentKind

CONE = Body(AgentKind.STATIC, 0.4, 0.4, 0.75, 0.0)
BARRIER = Body(AgentKind.STATIC, 3.0, 0.4, 1.0, 0.0)


def add_works(
    rng: np.random.Generator,
    traffic: Traffic,
    frame: int,
    edge: tuple[float, float],
    taper: tuple[float, float],
    end: float,
    *,
    cones: int = 7,
    barriers: int = 7,
    lorry: bool = True,
) -> list[int]:
    """Works on a frame: closed from its offset `edge[0]` to `edge[1]`, which the objects' near faces keep to.

    Cones lead from one to the other between the stations `taper`, barriers stand on to station `end`,
    behind them a lorry and one to three workers. Returns the indices of all.
    """
    outer, inner = edge
    side = 1.0 if inner > outer else -1.0
    lane = traffic.add_lane(TrafficLane(frame, Profile.of(0.0), 1.0))
    made = []

    def stand(name: str, body: Body, station: float, offset: float, yaw: float = 0.0) -> None:
        rear = station - body.rear  # of who is meant to have its centre there
        made.append(
            traffic.add(Actor(name, body, lane, rear, 0.0, bias=offset, mode=PARKED, yaw=yaw))
        )  # fmt: skip

    turn = float(np.arctan2(inner - outer, taper[1] - taper[0]))
    for i in range(cones):
        u = i / max(cones - 1, 1)
        face = outer + u * (inner - outer)
        stand(f"cone{i}", CONE, taper[0] + u * (taper[1] - taper[0]), face - side * 0.5 * CONE.width)
    first = taper[1] + 0.5 * BARRIER.length + 2.4
    # One across the closed part ends the taper, for who has not noticed it.
    middle = 0.5 * (outer + inner)
    stand(
        "board",
        Body(AgentKind.STATIC, 0.3, 0.6 * abs(inner - outer), 1.6, 0.0),
        taper[1] + 1.0,
        middle,
        0.3 * turn,
    )
    for i, at in enumerate(np.linspace(first, end, barriers)):
        stand(f"barrier{i}", BARRIER, float(at), inner - side * 0.5 * BARRIER.width)
    room, busy = abs(inner - outer) - BARRIER.width, first
    if lorry and room > 2.6:
        body = Body(AgentKind.TRUCK, round(float(rng.uniform(6.5, 9.0)), 2), 2.4, 3.2, 2.0)
        at = first + 4.0 + 0.5 * body.length + float(rng.uniform(0.0, 0.3)) * (end - first)
        busy = at + 0.5 * body.length + 1.0
        stand("lorry", body, at, outer + side * (0.5 * body.width + 0.1))
    if room > 0.8:
        begin = busy + float(rng.uniform(0.0, 0.6)) * max(end - busy, 0.0)
        for i in range(int(rng.integers(1, 4))):
            at = begin + (6.0 + float(rng.uniform(0.0, 2.0))) * i
            pause = float(rng.uniform(-4.0, 6.0))
            orders = (Order(-100.0, pause, 0.0), Order(pause + 3.0, 100.0, 0.0))
            place = outer + side * float(rng.uniform(0.25, 0.6)) * room
            made.append(
                traffic.add(
                    Actor(
                        f"worker{i}", walker_body(rng), lane, at, 0.0, Driver(factor=0.5 * draw_pace(rng)),
                        bias=place, mode=WALKER, orders=orders,
                    )
                )
            )  # fmt: skip
    return made

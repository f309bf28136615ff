"""no_ego_at_fault_collisions: the first contact with each road user, its kind, and whose fault it was.

Source: nuplan-devkit `no_ego_at_fault_collisions.py`, `collision_utils.py`, `idm/utils.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.base import MetricResult
from drive.eval.metrics.nuplan import constants as c
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.eval.metrics.nuplan.ego import Ego
    from drive.runlog import RunLog

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

GROUPS = ("VRUs", "vehicles", "objects")
_ALLOWED = (c.ALLOWED_VRU, c.ALLOWED_VEHICLE, c.ALLOWED_OBJECT)


class ContactKind(IntEnum):
    """How a contact came about, in the order in which the rules are tried."""

    STOPPED_EGO = 0
    STOPPED_TRACK = 1
    FRONT = 2
    REAR = 3
    LATERAL = 4


@dataclass(frozen=True, slots=True, eq=False)
class Contacts:
    """The first contact with each of A road users: `sample (A,)` (-1: none), `kind (A,)` of `ContactKind`,
    `energy (A,)` loss of speed in m/s, `at_fault (A,)`."""

    sample: Ints
    kind: Ints
    energy: Floats
    at_fault: NDArray[np.bool_]


def agent_speed(run: RunLog) -> Floats:
    """Speeds `(A, N)`; static objects stand whatever their velocity says, as in the devkit."""
    speed = np.hypot(run.agents[..., 3], run.agents[..., 4])
    speed[run.agent_kind == AgentKind.STATIC] = 0.0
    return np.asarray(speed)


def bearing(ego: Ego, points: Floats) -> Floats:
    """Angle in degrees, 0 to 180, at which `points (..., N, 2)` are seen from the rear axle's heading.

    Rounding can lift the cosine above 1; the devkit's arccos is then NaN and drops the road user.
    """
    gap = points - ego.rear
    along = gap[..., 0] * np.cos(ego.heading) + gap[..., 1] * np.sin(ego.heading)
    away = np.hypot(gap[..., 0], gap[..., 1])
    return np.asarray(np.degrees(np.arccos(np.clip(along / np.maximum(away, 1e-12), -1.0, 1.0))))


def separation(gap: Floats, angle_a: Floats, half_a: Floats, angle_b: Floats, half_b: Floats) -> Floats:
    """How far pairs of oriented boxes are apart along the best of their four axes `(P,)`; <= 0: they meet.

    `gap (P, 2)` runs from centre a to centre b, `half (P, 2)` are half lengths and half widths.
    """
    turn = angle_b - angle_a
    cos, sin = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    out = np.full(len(gap), -np.inf)
    for angle, own, other in ((angle_a, half_a, half_b), (angle_b, half_b, half_a)):
        ca, sa = np.cos(angle), np.sin(angle)
        along = np.abs(gap[:, 0] * ca + gap[:, 1] * sa) - own[:, 0] - other[:, 0] * cos - other[:, 1] * sin
        across = np.abs(gap[:, 1] * ca - gap[:, 0] * sa) - own[:, 1] - other[:, 0] * sin - other[:, 1] * cos
        out = np.maximum(out, np.maximum(along, across))
    return out


def touching(run: RunLog, ego: Ego) -> tuple[Ints, Ints]:
    """Who touches the ego and when: road users `(P,)` and samples `(P,)`, user by user, in order of time."""
    half_ego = np.array([[0.5 * ego.length, 0.5 * ego.width]])
    half = 0.5 * run.agent_size[:, :2]
    gap = run.agents[..., :2] - ego.center
    reach = np.hypot(*half_ego[0]) + np.hypot(half[:, 0], half[:, 1])
    near = run.agent_valid & (gap[..., 0] ** 2 + gap[..., 1] ** 2 <= (reach**2)[:, None])
    who, when = np.nonzero(near)
    apart = separation(gap[who, when], ego.heading[when], half_ego, run.agents[who, when, 2], half[who])
    return who[apart <= 0.0], when[apart <= 0.0]


def find_contacts(run: RunLog, ego: Ego, together: NDArray[np.bool_]) -> Contacts:
    """First contacts of the ego; `together (N,)` says where its corners are in one or connected lanes."""
    count = len(run.agent_kind)
    contacts = Contacts(
        np.full(count, -1, dtype=np.intp),
        np.zeros(count, dtype=np.intp),
        np.zeros(count),
        np.zeros(count, dtype=np.bool_),
    )
    who, when = touching(run, ego)
    if len(who) == 0:
        return contacts
    hit, first = np.unique(who, return_index=True)
    sample = when[first]
    speed = agent_speed(run)[hit, sample]
    behind = bearing(ego, run.agents[hit][..., :2])[np.arange(len(hit)), sample] > c.BEHIND_ANGLE
    in_front = _front_touches(ego, sample, run.agents[hit, sample], 0.5 * run.agent_size[hit, :2])
    kind = np.select(
        [ego.speed[sample] <= c.STOPPED_SPEED, speed <= c.STOPPED_SPEED, behind, in_front],
        [ContactKind.STOPPED_EGO, ContactKind.STOPPED_TRACK, ContactKind.REAR, ContactKind.FRONT],
        ContactKind.LATERAL,
    )
    turn = ego.heading[sample] - run.agents[hit, sample, 2]
    v = ego.speed[sample]
    squared = v**2 + speed**2 - 2.0 * v * speed * np.cos(turn)
    contacts.sample[hit] = sample
    contacts.kind[hit] = kind
    contacts.energy[hit] = c.MASS_RATIO * np.sqrt(np.maximum(squared, 0.0))
    contacts.at_fault[hit] = (
        (kind == ContactKind.STOPPED_TRACK)
        | (kind == ContactKind.FRONT)
        | ((kind == ContactKind.LATERAL) & ~together[sample])
    )
    return contacts


def _front_touches(ego: Ego, sample: Ints, agents: Floats, half: Floats) -> NDArray[np.bool_]:
    """Whether the ego's front edge meets the boxes `agents (P, 5)` (a segment against a box, four axes)."""
    middle = 0.5 * (ego.corners[sample, 0] + ego.corners[sample, 3])
    edge = np.array([[0.0, 0.5 * ego.width]])
    return np.asarray(
        separation(agents[:, :2] - middle, ego.heading[sample], edge, agents[:, 2], half) <= 0.0
    )


def group_of(kind: NDArray[np.uint8]) -> Ints:
    """0 vulnerable road user, 1 vehicle, 2 object for each of `kind (A,)`."""
    table = [0 if k.is_vulnerable else 1 if k.is_motor_vehicle else 2 for k in AgentKind]
    return np.asarray(table, dtype=np.intp)[kind]


def collision_score(counts: tuple[int, int, int]) -> float:
    """Product over VRUs, vehicles, objects of max(0, 1 - n / (allowed + 1))."""
    score = 1.0
    for number, allowed in zip(counts, _ALLOWED, strict=True):
        score *= max(0.0, 1.0 - number / (allowed + 1))
    return score


def no_ego_at_fault_collisions(run: RunLog, contacts: Contacts) -> MetricResult:
    """1 without a collision that the ego caused; 0.5 with one object; 0 with more or anyone else."""
    group = group_of(run.agent_kind)
    energies = [contacts.energy[contacts.at_fault & (group == g)] for g in range(3)]
    counts = (len(energies[0]), len(energies[1]), len(energies[2]))
    statistics: dict[str, float | int | bool | None] = {
        "no_ego_at_fault_collisions": sum(counts) == 0,
        "number_of_all_at_fault_collisions": sum(counts),
        "number_of_all_collisions": int((contacts.sample >= 0).sum()),
    }
    statistics.update(
        {f"number_of_at_fault_collisions_with_{g}": n for g, n in zip(GROUPS, counts, strict=True)}
    )
    for name, values in zip(GROUPS, energies, strict=True):
        if len(values):
            statistics[f"max_collision_energy_with_{name}"] = float(values.max())
            statistics[f"min_collision_energy_with_{name}"] = float(values.min())
            statistics[f"mean_collision_energy_with_{name}"] = float(values.mean())
    series = np.zeros(len(run.ego))
    np.add.at(series, contacts.sample[contacts.at_fault], 1.0)
    return MetricResult(
        collision_score(counts), statistics=statistics, series={"at_fault_collisions": series}
    )

"""Ids of generated scenarios, and the function from an id to its scenario."""

from __future__ import annotations

import hashlib
import importlib
import re
from typing import TYPE_CHECKING, Any

from drive.errors import InputError, ScenarioError, UnknownNameError

if TYPE_CHECKING:
    from drive.scenario import Scenario

VERSION = "3"
"""Changes whenever any scenario changes; it is part of every seed."""
FAMILIES = (
    "lane_follow_curved",
    "stop_for_lead",
    "stop_and_go",
    "cut_in",
    "dense_merge",
    "dense_highway",
    "overtake_slow",
    "lane_change_for_route",
    "parked_vehicle",
    "parked_vehicle_two_way",
    "construction_narrowing",
    "occluded_pedestrian",
    "signalised_intersection",
    "t_junction_yield",
    "unprotected_left",
    "roundabout",
    "occluded_crossing",
    "occluded_crossing_empty",
    "six_lanes",
    "slow_obstacles",
    "curved_overtake",
    "curved_overtake_blocked",
)
TRIES = 50
PREFIX = "gen/"
MAX_RANGE = 1_000_000
DEFAULT_SEEDS = 10
"""Seeds that a family named without seeds stands for."""


def generate(family: str, seed: int, difficulty: float | None = None) -> Scenario:
    """The scenario `gen/<family>/<seed>`: a pure function of its id and of `VERSION`.

    `difficulty` runs from 0 (room and time for everybody) to 1 (as tight as people still manage without
    an accident); without it, it is drawn evenly from the seed. Its tags say `easy`, `medium` or `hard`,
    its provenance the number. A draw whose log is not fit (see `check`) is drawn again with the next
    number of the same seed.

    Raises UnknownNameError for a family that does not exist, InputError for a seed below 0 or a
    difficulty outside [0, 1] and ScenarioError when no draw is fit.
    """
    return generate_with_tries(family, seed, difficulty)[0]


def generate_with_tries(
    family: str, seed: int, difficulty: float | None = None
) -> tuple[Scenario, tuple[str, ...]]:
    """As `generate`, with the reasons for which earlier draws were refused."""
    if family not in FAMILIES:
        raise UnknownNameError("scenario family", family, FAMILIES)
    if seed < 0:
        raise InputError(f"the seed of a generated scenario is a number from 0 on, not {seed}")
    if difficulty is not None and not 0.0 <= difficulty <= 1.0:
        raise InputError(f"the difficulty of a generated scenario lies between 0 and 1, not at {difficulty}")
    # Compiled code and SciPy are loaded only by who generates.
    from drive.datasets.generate.check import check_log, check_place
    from drive.datasets.generate.draws import Draws
    from drive.datasets.generate.scene import to_log, to_scenario

    draw: Any = importlib.import_module(f"drive.datasets.generate.families.{family}").draw
    name = id_of(family, seed, difficulty)
    level = _drawn_difficulty(family, seed) if difficulty is None else float(difficulty)
    refused = []
    for attempt in range(TRIES):
        key = f"{VERSION}|{family}|{seed}|{attempt}".encode()
        number = int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little")
        try:
            drawn = draw(Draws.of(number), level)
            log = to_log(drawn)
            check_log(name, log.expert, log.tracks)
            scenario = to_scenario(drawn, log, name, family, VERSION, seed, level)
            check_place(scenario)
        except ScenarioError as error:
            refused.append(str(error))
        else:
            return scenario, tuple(refused)
    raise ScenarioError(f"'{name}': none of {TRIES} draws is fit, the last because {refused[-1]}")


def id_of(family: str, seed: int, difficulty: float | None = None) -> str:
    """`gen/cut_in/17`, or `gen/cut_in/17~0.8` of a given difficulty."""
    return f"{PREFIX}{family}/{seed}" + ("" if difficulty is None else f"~{difficulty:g}")


def _drawn_difficulty(family: str, seed: int) -> float:
    """In whole hundredths, even over the seeds; every attempt of a seed has the same."""
    key = f"{VERSION}|{family}|{seed}|difficulty".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") % 101 / 100.0


def parse(ref: str) -> list[tuple[str, int, float | None]]:
    """Families, seeds and difficulties of `gen/cut_in/17`, `gen/cut_in/17~0.8`, `gen/cut_in/0:10~0.8`,
    `gen/cut_in` (ten seeds) or `gen/*/0:2`."""
    match = re.fullmatch(r"gen/([^/~]+)(?:/(\d+)(?::(\d+))?)?(?:~(\d*\.?\d+))?", ref)
    if match is None:
        raise InputError(
            f"'{ref}' is no generated scenario; write gen/FAMILY/SEED, gen/FAMILY/FROM:TO or gen/*/FROM:TO,"
            " each with ~0.8 behind it for a difficulty of 0.8"
        )
    family, first, stop, level = match.groups()
    if family != "*" and family not in FAMILIES:
        raise UnknownNameError("scenario family", family, FAMILIES)
    low = int(first) if first is not None else 0
    high = int(stop) if stop is not None else low + 1 if first is not None else DEFAULT_SEEDS
    if not low < high <= low + MAX_RANGE:
        raise InputError(
            f"'{ref}' names no seeds: FROM:TO counts from FROM up to but without TO, at most {MAX_RANGE}"
        )
    difficulty = None if level is None else float(level)
    if difficulty is not None and difficulty > 1.0:
        raise InputError(f"'{ref}': a difficulty lies between 0 and 1")
    families = FAMILIES if family == "*" else (family,)
    return [(f, seed, difficulty) for f in families for seed in range(low, high)]


class GeneratorSource:
    """The generator as a source of scenarios, for refs that begin with `gen/`."""

    name = "gen"

    def matches(self, ref: str) -> bool:
        return ref == "gen" or ref.startswith(PREFIX)

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        """Ids that a ref stands for; every generated scenario has one ego, which is also its expert."""
        return [id_of(*found) for found in parse("gen/*" if ref in ("gen", PREFIX) else ref)]

    def load(self, ref: str) -> Scenario:
        found = parse(ref)
        if len(found) != 1:
            raise InputError(
                f"'{ref}' stands for {len(found)} scenarios; name one, such as gen/{found[0][0]}/0"
            )
        return generate(*found[0])


SOURCE = GeneratorSource()

"""Sound files to begin with, made by the toolkit's own writers: one small example of all that it writes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from drive import registry
from drive.errors import MissingExtraError
from drive.eval.hardness.targets import Seed

SCENE, TERRAIN = "gen/stop_for_lead/3", "gen/lunar_hills/1"
FORMULAS = (
    "always (speed < 3.0)",
    "always[0.0, 2.0] (gap > 1.0 implies eventually[0, 1.5] (speed <= limit + 0.5))",
    "(lead_gap - 2.0 * speed > -1e1) until[0.5, 3] not (speed >= 3 or gap < 0.5)",
)
FILTERS = (
    "family == 'cut_in' and 'x' in tags",
    "not (duration >= 8.0 or agents < -3)",
    "3 < agents <= 10 and id in ['a', 'b']",
)
REFERENCES = ("gen/cut_in/17", "gen/cut_in/3:9", "gen/dense_merge", "gen/lunar_hills/4", "no/such.xml#7@4")
SETTINGS = '[idm]\nheadway = 1.5\nname = "x"\n[pdm.lqr]\nweights = [1.0, 2, -3e4]\non = true\n'


def make_seeds(
    folder: Path, note: Callable[[str], None], wanted: Collection[str] = ()
) -> dict[str, list[Seed]]:
    """Write them below `folder`; by target, at least those `wanted`, which are all where none are named.

    What an extra is missing for is told and left out.
    """
    found: dict[str, list[Seed]] = {}
    for make, targets in MAKERS.items():
        if wanted and not targets & set(wanted):
            continue
        place = folder / make.__name__.strip("_")
        place.mkdir(parents=True, exist_ok=True)
        try:
            for name, seeds in make(place).items():
                found.setdefault(name, []).extend(seeds)
        except MissingExtraError as error:
            note(f"left out: {error}")
    return found


def _scenes(folder: Path) -> dict[str, list[Seed]]:
    scene, terrain = short(SCENE), short(TERRAIN)
    native = registry.load("drive.datasets", "native")
    commonroad = registry.load("drive.datasets", "commonroad")
    heights = folder / "ground.npz"
    ground: Any = terrain.environment
    np.savez(
        heights,
        height=ground.height[::4, ::4],
        resolution=4.0 * ground.resolution,
        gravity=1.62,
        sun=[0.6, 0.5],
    )
    return {
        "scenes:native": [
            Seed.of(path)
            for k, one in enumerate((scene, terrain))
            for path in native.write([one], folder / f"{k}.scene.npz")
        ],
        "scenes:commonroad": [Seed.of(path) for path in commonroad.write([scene], folder / "written.xml")],
        "scenes:dem": [Seed.of(heights)],
    }


def _nuplan(folder: Path) -> dict[str, list[Seed]]:
    registry.load("drive.datasets", "nuplan").write([short(SCENE)], folder)
    (log,) = folder.rglob("*.db")
    city = max(folder.rglob("*.gpkg"), key=lambda path: path.stat().st_size)
    return {"scenes:nuplan": [Seed.of(log), Seed.of(city, f"../../../logs/{log.name}", 3)]}


def _runs(folder: Path) -> dict[str, list[Seed]]:
    from drive.sim import simulate

    road = simulate(short(SCENE), registry.load_planner("idm"), traffic="idm")
    rover = simulate(short(TERRAIN), registry.load_planner("rover_free"))
    return {"run log": [Seed.of(run.save(folder / f"{k}.drive.npz")) for k, run in enumerate((road, rover))]}


def _learned(folder: Path) -> dict[str, list[Seed]]:
    from drive.nn._torch import nn, torch
    from drive.nn.vocabulary import Vocabulary
    from drive.nn.weights import Card, save_weights

    torch.manual_seed(0)
    path = folder / "net.safetensors"
    figures = ({"suite": "mini", "command": "drive bench", "mean": 0.5},)
    save_weights(
        path,
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)),
        Card("toy", "toy-1", "small", 3, {"width": 4}, figures=figures),
    )
    way = np.linspace(0.1, 4.0, 10)
    poses = np.stack([np.stack((v * way, 0.1 * way, 0.01 * way), 1) for v in (1.0, 5.0, 9.0)])
    words = Vocabulary(poses.astype(np.float32), 0.4, {"seed": 1, "method": "drawn"}).save(
        folder / "words.npz"
    )
    return {
        "weights": [Seed.of(path)],
        "card": [Seed.of(path.with_suffix(".json"))],
        "vocabulary": [Seed.of(words)],
    }


def _training(folder: Path) -> dict[str, list[Seed]]:
    from drive.nn.store import DataRequest, training_fields
    from drive.nn.writer import Writer

    fields = training_fields(DataRequest(families=("cut_in",), sensors=()), None)
    about: dict[str, Any] = {
        "request": {"sensors": [], "sizes": {}},
        "vocabulary": None,
        "teacher": {"version": "1"},
    }
    writer = Writer(folder, fields, about, resume=True)
    for seed in (1, 2):
        scene = {"ref": f"gen/cut_in/{seed}", "key": ["gen", "cut_in", str(seed)], "licence": "Apache-2.0"}
        writer.add(scene, {n: np.zeros((3, *f.shape), f.dtype) for n, f in fields.items()})
    writer.finish()
    return {
        "training set": [Seed.of(folder / "header.json")],
        "training array": [Seed.of(folder / "time.npy", "header.json")],
    }


def _bench(folder: Path) -> dict[str, list[Seed]]:
    from drive.eval.bench import Options, run_bench
    from drive.eval.bench.journal import NAME, RESULTS

    planners = [registry.load_planner(name) for name in ("constant", "idm")]
    run_bench(Options(planners=planners, scenarios=[short(SCENE)], out=folder, jobs=1, force=True))
    return {"journal": [Seed.of(folder / NAME)], "results": [Seed.of(folder / RESULTS)]}


def _texts(folder: Path) -> dict[str, list[Seed]]:
    from importlib import resources

    written = {
        "suite": [
            (f"{name}.toml", (resources.files("drive.eval") / "suites" / f"{name}.toml").read_text("utf-8"))
            for name in ("mini", "flicker")
        ],
        "rule book": [("road.toml", resources.files("drive.stl").joinpath("road.toml").read_text("utf-8"))],
        "settings": [("settings.toml", SETTINGS)],
        "formula": [(f"formula{k}.txt", text) for k, text in enumerate(FORMULAS)],
        "filter": [(f"filter{k}.txt", text) for k, text in enumerate(FILTERS)],
        "reference": [(f"reference{k}.txt", text) for k, text in enumerate(REFERENCES[:4])],
    }
    return {
        name: [_write(folder / file, text.encode()) for file, text in rows] for name, rows in written.items()
    }


def _messages(folder: Path) -> dict[str, list[Seed]]:
    host = sys.modules[registry.load("drive.hosts", "exec").__module__]
    poses = np.stack((np.arange(1.0, 41.0), np.zeros(40), np.zeros(40)), 1)
    states = np.zeros((2, 41, 7))
    plan = {
        "times": 0.1 * np.arange(41), "states": states[0], "status": "ok", "figures": {"cost": 1.0},
        "control": {"kind": "acceleration_steering", "values": np.zeros((5, 2)), "dt": 0.1},
        "candidates": {
            "times": 0.1 * np.arange(41), "states": states, "scores": {"a": np.zeros(2)}, "chosen": 1,
        },
    }  # fmt: skip
    told = (
        {"type": "plan", "session": 1, "plan": {"poses": poses, "speed": np.full(40, 5.0), "reason": "none"}},
        {
            "type": "plan",
            "session": 1,
            "plan": plan,
            "spec": {"name": "mine", "horizon": 4.0, "needs": ["road"]},
        },
    )
    out = {
        "planner message": [
            _write(folder / f"plan{k}.bin", host.wire.pack(one)) for k, one in enumerate(told)
        ]
    }
    try:
        import msgpack
    except ImportError:
        raise MissingExtraError("msgpack", "carla") from None
    pose = [[10.0, 2.0, 0.5], [0.0, 90.0, 0.0]]
    car = [14, "vehicle.tesla.model3", [["role_name", 4, "hero"]]]
    calls = [
        [0, 1, "version", [[False]]],
        [0, 2, "spawn_actor", [[False], car, pose]],
        [2, "tick_cue", [[False]]],
    ]
    stream = b"".join(msgpack.packb(call) for call in calls)
    return {**out, "CARLA request": [_write(folder / "calls.bin", stream)]}


def short(ref: str, steps: int = 12) -> Any:
    """The first steps of a scenario: a small file."""
    from drive.datasets.source import load
    from drive.eval.bench.worker import shortened

    return shortened(load(ref), steps)


def _write(path: Path, data: bytes) -> Seed:
    path.write_bytes(data)
    return Seed(path.name, data)


MAKERS: dict[Callable[[Path], dict[str, list[Seed]]], set[str]] = {
    _scenes: {"scenes:native", "scenes:commonroad", "scenes:dem"},
    _nuplan: {"scenes:nuplan"},
    _runs: {"run log"},
    _learned: {"weights", "card", "vocabulary"},
    _training: {"training set", "training array"},
    _bench: {"journal", "results"},
    _texts: {"suite", "rule book", "settings", "formula", "filter", "reference"},
    _messages: {"planner message", "CARLA request"},
}

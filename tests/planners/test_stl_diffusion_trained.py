"""What holds of three trainings of `stl_diffusion` and its baselines: slow, and only where there are some.

    for seed in 0 1 2; do
        drive train stl_diffusion --set data.scenes=40 --set augmented=out/stl/augmented --seed $seed \
            --out out/stl/ours-$seed
        drive train stl_diffusion --set data.scenes=40 --set augmented=out/stl/augmented --seed $seed \
            --set model.kind=vae --out out/stl/vae-$seed
    done  # and the other TRAININGS of drive.planners.stl_diffusion.acceptance
    drive train data --for stl_diffusion --out out/data
    python -m drive.eval.training.stl out/stl
    export DRIVE_STL=out/stl DRIVE_STL_DATA=out/data/validation
    pytest -m slow tests/planners/test_stl_diffusion_trained.py

The figures of the last run are in docs/stl_diffusion.md.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from drive.eval.training.appearing import avoided, scenes  # noqa: E402
from drive.eval.training.judged import planner_of  # noqa: E402
from drive.eval.training.stl import NO_FAULT, Rows, difference, driven  # noqa: E402
from drive.nn.store import TrainingSet  # noqa: E402
from drive.planners.stl_diffusion.acceptance import Bar, bars, collect, obeyed  # noqa: E402

FOLDER, DATA = os.environ.get("DRIVE_STL", ""), os.environ.get("DRIVE_STL_DATA", "")
SEEDS = (0, 1, 2)
ROWS, DEAR, SAMPLES = 300, 100, 16
ASKED = (
    "compliance, RefineNet - DDPM", "compliance, RefineNet - VAE",
    "compliance, strong guidance - DDPM guided at every step",
    "compliance, light guidance - DDPM guided at every step",
    "entropy, RefineNet - DDPM", "entropy, DDPM - mono", "entropy, VAE - vaemono",
    "compliance, choice among the last iterates - DDPM",
    "compliance, RefineNet - choice among the last iterates",
    "compliance, light guidance - RefineNet", "compliance, strong guidance - light guidance",
    "area, RefineNet / DDPM", "area, RefineNet / vaemono", "area, DDPM / mono", "area, VAE / vaemono",
    "gradients, DDPM guided at every step / light guidance",
    "gradients, DDPM guided at every step / strong guidance",
)  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="DRIVE_STL names no folder of trained weights"),
]


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    if not DATA:
        pytest.skip("DRIVE_STL_DATA names no held-out training set")
    return TrainingSet.open(Path(DATA))


@pytest.fixture(scope="module")
def asked(data: TrainingSet) -> dict[str, Bar]:
    return {bar.what: bar for bar in bars(collect(Path(FOLDER), data, SEEDS, ROWS, DEAR, SAMPLES))}


@pytest.mark.parametrize("what", ASKED)
def test_open_loop(asked: dict[str, Bar], what: str) -> None:
    if what not in asked:
        pytest.skip(f"'{FOLDER}' lacks a training for it")
    assert asked[what].found.mean >= asked[what].least


def test_samples_obey_changed_parameters(data: TrainingSet) -> None:
    found = {
        about: float(told.split()[0]) for about, told in obeyed(Path(FOLDER), data, SEEDS, DEAR, SAMPLES)
    }
    peak, faster, room, side = found.values()
    assert peak >= 0.8
    assert faster > 0.0
    assert room > 0.0
    assert side >= 0.9


def rows_of(name: str) -> Rows:
    found = driven(Path(FOLDER), name, 0, "idm")
    if len(found) < 200:
        pytest.skip(f"{name} was not driven on 200 scenes")
    return found


@pytest.mark.parametrize("other", ["ddpm", "vae", "idm"])
def test_closed_loop(other: str) -> None:
    ours, theirs = rows_of("ours"), rows_of(other)
    assert all(row["valid"] for row in ours.values())
    assert difference(ours, theirs).mean > 0.0  # type: ignore[operator]
    assert difference(ours, theirs, NO_FAULT).mean >= 0.0  # type: ignore[operator]


def test_a_box_that_appears_is_avoided_as_often_with_warm_starts() -> None:
    some = scenes(40)
    weights = Path(FOLDER) / "ours-0" / "stl_diffusion.safetensors"
    warm, anew = (
        avoided(planner_of(f"stl_diffusion weights={weights} {more}".strip())[1], some)
        for more in ("", "rti_steps=0")
    )
    assert warm.touched.sum() <= anew.touched.sum()

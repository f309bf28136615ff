"""The recipe of Hydra-NeXt on a set of a few made-up scenes: batches, bins, weights that drive, resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import test_hydra_network as made_up  # noqa: E402

from drive.nn.recipe import TrainingRun  # noqa: E402
from drive.nn.store import Field, TrainingSet  # noqa: E402
from drive.nn.training.settings import FitSettings  # noqa: E402
from drive.nn.vocabulary import Vocabulary  # noqa: E402
from drive.nn.weights import read_card  # noqa: E402
from drive.nn.writer import Writer  # noqa: E402
from drive.planners.hydra_next.config import HydraNextConfig  # noqa: E402
from drive.planners.hydra_next.decoder import ARCHITECTURE  # noqa: E402
from drive.planners.hydra_next.planner import HydraNextPlanner  # noqa: E402
from drive.planners.hydra_next.train import RECIPE, TrainConfig, batches_of, bins_of  # noqa: E402
from drive.progress import Listener  # noqa: E402


def written(folder: Path, count: int, seed: int) -> TrainingSet:
    arrays = made_up.scenes(count, seed) | {"time": np.zeros(count, dtype=np.float32)}
    fields = {n: Field(np.asarray(a).dtype.str, tuple(a.shape[1:])) for n, a in arrays.items()}
    about = {
        "request": {"sensors": ["vector"], "sizes": {}},
        "vocabulary": {"hash": VOCABULARY.hash},
        "teacher": {"version": "1"},
    }
    writer = Writer(folder, fields, about)
    writer.add({"ref": f"gen/x/{seed}", "key": ["gen", "x", str(seed)], "licence": "Apache-2.0"}, arrays)
    return writer.finish()


VOCABULARY = Vocabulary(made_up.VOCABULARY)
CONFIG = TrainConfig(
    fit=FitSettings(steps=6, warmup=2, validate_every=3, log_every=2, checkpoint_every=2),
    model=made_up.settings(), batch=4, keep=16, near=4, draws=2, rounds=0, held_out=8,
)  # fmt: skip


def training(folder: Path, sets: tuple[TrainingSet, TrainingSet], resume: bool = False) -> TrainingRun:
    def collect(*_: Any) -> TrainingSet:
        raise AssertionError("no rounds were asked for")

    return TrainingRun(folder, "hydra_next", "cpu", 0, resume, *sets, VOCABULARY, collect)


def pulled(what: str, done: int, total: int) -> None:
    """Ends the training at its fifth step."""
    if done >= 5:
        raise RuntimeError("the plug was pulled")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingSet, TrainingSet]:
    place = tmp_path_factory.mktemp("sets")
    return written(place / "train", 18, 1), written(place / "held-out", 8, 2)


def test_batches_are_a_function_of_the_step(sets: tuple[TrainingSet, TrainingSet]) -> None:
    data = sets[0]
    batches = batches_of(data, VOCABULARY, CONFIG.model, CONFIG, 3)
    one, again = batches(7), batches_of(data, VOCABULARY, CONFIG.model, CONFIG, 3)(7)
    assert set(one) == set(again)
    for name in one:
        np.testing.assert_array_equal(one[name], again[name])
    seen = np.concatenate([batches(step)["expert"][:, 0, 0] for step in range(4)])
    assert len(np.unique(seen)) == 16  # an epoch shows nothing twice
    assert not np.array_equal(batches(8)["signal"], one["signal"])


def test_bins_come_from_the_data(sets: tuple[TrainingSet, TrainingSet]) -> None:
    bins = bins_of(sets[0], CONFIG.model, replace(CONFIG, bins=(4, 5, 3)), 0)
    np.testing.assert_allclose(bins.steer, [-0.04775, 0.0, 0.04775], atol=1e-4)  # 0.05 rad of 60 degrees
    assert 0.0 < bins.throttle[-1] <= (1.0 + 0.3) / 3.0
    assert 0.0 < bins.brake[-1] <= (2.0 - 0.3) / 8.0


def test_a_training_writes_weights_that_drive_and_goes_on_where_it_was(
    tmp_path: Path, sets: tuple[TrainingSet, TrainingSet]
) -> None:
    whole = RECIPE.train(training(tmp_path / "whole", sets), CONFIG)
    card = read_card(whole)
    assert (card.recipe, card.architecture, card.vocabulary) == (
        "hydra_next",
        ARCHITECTURE,
        VOCABULARY.hash,
    )
    assert card.data == sets[0].hash
    assert 0.0 <= card.training["picked"] <= card.training["oracle"] <= 1.0
    planner = HydraNextPlanner(HydraNextConfig(weights=str(whole), candidates=20))
    assert planner.policy.model.settings.bins == bins_of(sets[0], CONFIG.model, CONFIG, 0)

    begun = tmp_path / "begun"
    with pytest.raises(RuntimeError, match="the plug was pulled"):
        RECIPE.train(replace(training(begun, sets), progress=Listener(progress=pulled)), CONFIG)
    again = RECIPE.train(training(begun, sets, resume=True), CONFIG)
    assert again.read_bytes() == whole.read_bytes()


def test_both_presets_and_the_data_that_they_need() -> None:
    assert set(RECIPE.presets) == {"cpu", "gpu"}
    for config in RECIPE.presets.values():
        plan = RECIPE.data(config)
        assert plan.train.sensors == ("vector",)
        assert plan.vocabulary is not None
        assert plan.vocabulary.data.sensors == ()

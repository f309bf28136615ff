"""The weights that are shipped: small, sound, of generated scenes alone, and fit to drive."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import drive
from drive import registry
from drive.nn.vocabulary import Vocabulary
from drive.nn.weights import read_card
from drive.planners.gtrs.planner import vocabulary_path

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "planners").glob("*/weights/*.safetensors"))


def test_the_planners_that_promise_weights_have_them() -> None:
    assert {path.stem for path in SHIPPED} >= {"autovla", "gtrs", "hydra_next", "regression", "stl_diffusion"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_weights_are_small_and_fit_their_card(path: Path) -> None:
    assert path.stat().st_size <= 10 * 2**20
    card = read_card(path)
    planner = path.stem.partition(".")[0]  # a reflex lies beside the network that it reads
    assert card.recipe.split("-")[0] == planner
    assert card.licences == ("Apache-2.0",)
    assert card.steps > 0
    assert card.figures, "a card says what its weights do in closed loop"
    for entry in card.figures:
        assert str(entry["command"]).startswith("drive bench --suite")
    if card.vocabulary and vocabulary_path(path).exists():
        assert Vocabulary.load(vocabulary_path(path)).hash == card.vocabulary
    if planner == "autovla":
        pytest.importorskip("transformers")
    assert registry.load_planner(planner).spec.name == planner


@pytest.mark.parametrize("planner", ["gtrs", "hydra_next", "stl_diffusion"])
def test_who_is_shipped_minds_a_leader_who_brakes(planner: str) -> None:
    log = drive.run(planner, "gen/stop_for_lead/101")
    assert log.header["failure"] is None
    found = log.header["scores"]["nuplan_cls"]
    assert found["score"] > 0.5
    assert found["metrics"]["no_ego_at_fault_collisions"] == 1.0

"""The regression baseline: its roll-out, its loss, and the whole way from scenes to a planner that drives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from drive import load_scenario
from drive.errors import InputError
from drive.eval.bench.planners import runnable_planners
from drive.eval.training import make_data
from drive.nn.encoders import EncoderSettings
from drive.nn.fit import FitSettings
from drive.nn.recipe import TrainingRun, configured
from drive.nn.scene import SceneSizes, empty_scene, stack_scenes
from drive.nn.store import DataRequest
from drive.nn.tokens import SceneBatch, scene_tensors
from drive.nn.weights import card_path
from drive.planners.regression import planner as module
from drive.planners.regression.model import Regression, RegressionSettings, imitation_loss, roll_out
from drive.planners.regression.planner import RegressionConfig, RegressionPlanner
from drive.planners.regression.train import RECIPE, TrainConfig
from drive.registry import load_planner
from drive.sim import simulate
from drive.sim.asking import lockstep
from drive.sim.loop import driving

SMALL = EncoderSettings(width=16, layers=1, heads=2, ffn=32)


def test_the_roll_out_brakes_to_a_stand_and_drives_arcs() -> None:
    # 10 m/s at -5 m/s^2 stands after 2 s and 10 m, and does not roll back.
    speed, flat = torch.tensor([10.0]), torch.zeros(1, 40)
    poses, v = roll_out(speed, flat - 5.0, flat)
    assert torch.allclose(poses[0, 19:, 0], torch.tensor(10.0))
    assert v[0, 19:].abs().max() == 0.0
    assert poses[..., 1:].abs().max() == 0.0
    # A circle of 20 m at 10 m/s: after 4 s it has turned by 2 rad.
    poses, v = roll_out(speed, flat, flat + 1 / 20.0)
    end = poses[0, -1]
    assert torch.allclose(
        end, torch.tensor([20 * np.sin(2.0), 20 * (1 - np.cos(2.0)), 2.0]).float(), atol=3e-2
    )
    assert (v == 10.0).all()
    # Mirrored curvature, mirrored way.
    mirrored, _ = roll_out(speed, flat, flat - 1 / 20.0)
    assert torch.allclose(mirrored * torch.tensor([1.0, -1.0, -1.0]), poses)


@pytest.mark.parametrize("output", ["controls", "poses"])
def test_the_network_answers_each_moment_for_itself(output: str) -> None:
    torch.manual_seed(0)
    model = Regression(RegressionSettings(encoder=SMALL, hidden=16, output=output)).eval()
    scene = scene_tensors(stack_scenes([empty_scene(SceneSizes())] * 3))
    speeds = torch.tensor([0.0, 5.0, 12.0])
    scene.ego[:, 0] = speeds
    poses, v = model(SceneBatch(scene, None, None, scene.ego))
    assert poses.shape == (3, 40, 3)
    assert v.shape == (3, 40)
    alone, _ = model(SceneBatch(type(scene)(*(f[1:2] for f in scene)), None, None, scene.ego[1:2]))
    assert torch.allclose(alone[0], poses[1], atol=1e-5)
    # Before any training it goes on at about its speed, straight ahead.
    assert torch.allclose(poses[:, -1, 0], 4.0 * speeds, atol=6.0)
    poses.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_only_known_poses_count() -> None:
    class Still(torch.nn.Module):
        def forward(self, batch: Any) -> Any:
            return torch.zeros(1, 40, 3), torch.zeros(1, 40)

    fields = {f"scene.{k}": v[None] for k, v in empty_scene(SceneSizes())._asdict().items()}
    future, valid = torch.zeros(1, 40, 3), torch.zeros(1, 40, dtype=torch.bool)
    future[0, :10, :2] = torch.tensor([3.0, 4.0])
    future[0, :10, 2] = 2.0 * np.pi - 0.1  # 0.1 rad the other way round
    future[0, 10:] = 99.0
    valid[0, :10] = True
    loss, figures = imitation_loss(Still(), {**fields, "future": future, "future_valid": valid})
    assert figures["ade"].item() == pytest.approx(5.0, abs=1e-3)
    assert figures["turn"].item() == pytest.approx(0.1, abs=1e-3)
    assert loss.item() == pytest.approx(5.2, abs=2e-3)
    assert figures["fde"].item() == 0.0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Weights of a few steps on a few scenes, and the run that made them."""
    folder = tmp_path_factory.mktemp("regression")
    request = DataRequest(families=("stop_for_lead",), scenes=3, every=0.5)
    train = make_data(request, folder / "train")
    held = make_data(replace(request, first_seed=20_000, scenes=1), folder / "held")
    config = configured(RECIPE, "cpu", {"fit.steps": "60", "fit.warmup": "5", "rounds": "0", "batch": "16"})
    config = replace(config, model=RegressionSettings(encoder=SMALL, hidden=32), held_out=32)
    config = replace(config, fit=replace(config.fit, ema=0.9, lr=3e-3))

    def collect(planner: Any, number: int, scenes: int | None) -> Any:
        raise AssertionError("no round was asked for")

    run = TrainingRun(folder / "out", "regression", "cpu", 3, False, train, held, None, collect)
    return RECIPE.train(run, config), run


def test_it_learns_and_its_card_says_from_what(trained: tuple[Path, Any]) -> None:
    path, run = trained
    card = json.loads(card_path(path).read_text())
    assert (card["recipe"], card["architecture"], card["seed"]) == ("regression", "regression-1", 3)
    assert card["data"] == run.train.hash
    assert card["steps"] == 60
    model = Regression(RegressionSettings(encoder=SMALL, hidden=32)).eval()
    rows = run.validation.take(np.arange(32))
    batch = {name: torch.from_numpy(values) for name, values in rows.items()}
    with torch.no_grad():
        untrained = imitation_loss(model, batch)[1]["ade"].item()
    assert card["training"]["ade"] < 0.7 * untrained


def test_what_was_trained_drives_alone_and_with_others(trained: tuple[Path, Any]) -> None:
    path, _ = trained
    made = load_planner("regression", {"weights": str(path)})
    scenes = [load_scenario(f"gen/stop_for_lead/{k}") for k in (1, 2)]
    alone = [simulate(scene, made, stop=40) for scene in scenes]
    together = lockstep([driving(scene, made, stop=40) for scene in scenes])
    for one, two in zip(alone, together, strict=True):
        assert not isinstance(two, Exception)
        assert one.header["failure"] is None
        assert set(one.header["plan_status"]) == {"ok"}
        # Sums in another order round differently; a metre's ten thousandth after four seconds at most.
        assert np.abs(one.ego - two.ego).max() < 1e-3


def test_weights_that_do_not_fit_are_told_in_one_line(trained: tuple[Path, Any], tmp_path: Path) -> None:
    path, _ = trained
    other = tmp_path / "other.safetensors"
    other.write_bytes(path.read_bytes()[:-100])
    about = json.loads(card_path(path).read_text())
    card_path(other).write_text(json.dumps(about))
    with pytest.raises(InputError, match="other"):
        RegressionPlanner(RegressionConfig(weights=str(other)))
    other.write_bytes(path.read_bytes())
    card_path(other).write_text(json.dumps({**about, "architecture": "gtrs-1"}))
    with pytest.raises(InputError, match="architecture 'gtrs-1', not 'regression-1'"):
        RegressionPlanner(RegressionConfig(weights=str(other)))


def test_without_weights_it_is_left_out_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WEIGHTS", tmp_path)
    names, notes = runnable_planners()
    assert "pdm" in names
    assert "regression" not in names
    (note,) = [line for line in notes if line.startswith("regression")]
    assert "drive train regression" in note


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(InputError, match="controls or poses, not 'words'"):
        RegressionSettings(output="words")
    with pytest.raises(InputError, match="batch and held_out"):
        TrainConfig(fit=FitSettings(steps=1), batch=0)

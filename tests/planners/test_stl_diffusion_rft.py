"""The denoising chain of `stl_diffusion` tuned by the scores of its own draws."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import stl_toy as toy
import torch

from drive import load_scenario
from drive.errors import InputError
from drive.eval.training.rewards import judged_moments
from drive.nn.chain import ChainSettings
from drive.nn.encoders import EncoderSettings
from drive.nn.fit import FitSettings
from drive.nn.recipe import TrainingRun
from drive.nn.store import DataRequest
from drive.nn.weights import Card, read_card, save_weights
from drive.planners.learned.scores import DAC, EP, NC, SCORE, TLC, TTC
from drive.planners.stl_diffusion.model import ARCHITECTURE, PolicyNet
from drive.planners.stl_diffusion.rft import RECIPE, RFTConfig
from drive.planners.stl_diffusion.tuning import (
    TuneSettings,
    measured,
    rewarded,
    seen_of,
    tune_loss,
    unlikeness,
)
from drive.registry import load_planner
from drive.sim import simulate

CHAIN = ChainSettings(count=5)


class Slow:
    """Moments whose judge praises who has driven less, down to half of what constant speed would be."""

    def __init__(self, count: int) -> None:
        self.header: dict[str, Any] = {}
        self.data = toy.ToySet.make(count, 3)
        self.family = ["toy"] * count

    def __len__(self) -> int:
        return len(self.data)

    def take(self, rows: Any, names: Any = None) -> Any:
        return self.data.take(np.asarray(rows), names)

    def judge(self, row: int, poses: Any) -> Any:
        speed = float(self.data.arrays["scene.ego"][row, 0])
        labels = np.ones((len(poses), 9), dtype=np.float32)
        labels[:, EP] = np.clip(2.0 - poses[:, -1, 0] / (2.0 * speed), 0.0, 1.0)
        labels[:, SCORE] = labels[:, EP]
        return labels


def model() -> PolicyNet:
    torch.manual_seed(0)
    return PolicyNet(toy.MODEL)


def tuned(settings: TuneSettings, steps: int = 25) -> tuple[dict[str, float], dict[str, float], float]:
    """Figures before and after some steps, and how far the denoiser has moved."""
    moments, net = Slow(8), model()
    before = copy.deepcopy(net).eval()
    first = measured(net, moments, settings, "cpu")  # type: ignore[arg-type]
    loss = tune_loss(moments, before, settings, "cpu")  # type: ignore[arg-type]
    optimiser = torch.optim.Adam(net.denoiser.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        value, _ = loss(net, {"which": torch.arange(8)}, generator)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    pairs = zip(net.denoiser.parameters(), before.denoiser.parameters(), strict=True)
    away = sum(float((a - b).detach().square().sum()) for a, b in pairs)
    return first, measured(net, moments, settings, "cpu"), away  # type: ignore[arg-type]


def test_what_is_praised_is_drawn_more_often_and_imitation_holds_back() -> None:
    free = TuneSettings(group=8, imitation=0.0, chain=CHAIN)
    first, after, away = tuned(free)
    assert after["score"] > first["score"] + 0.03
    _, _, held = tuned(replace(free, imitation=3.0))
    assert held < away


def test_equals_of_a_group_move_nothing() -> None:
    class Flat(Slow):
        def judge(self, row: int, poses: Any) -> Any:
            return np.ones((len(poses), 9), dtype=np.float32)

    moments, net = Flat(3), model()
    settings = TuneSettings(group=4, imitation=0.0, chain=CHAIN)
    loss = tune_loss(moments, copy.deepcopy(net), settings, "cpu")  # type: ignore[arg-type]
    value, figures = loss(net, {"which": torch.arange(3)}, torch.Generator().manual_seed(0))
    value.backward()
    assert value.item() == 0.0
    assert figures["flat_groups"] == 1.0
    assert all(p.grad is None or not p.grad.any() for p in net.denoiser.parameters())


def test_who_is_unlike_the_others_is_known_by_hand() -> None:
    x = np.linspace(0.0, 10.0, 41)
    path = np.stack((x, 0 * x), -1)
    beside = path + np.array((0.0, 2.0))
    found = unlikeness(np.stack((path, path, beside))[None])[0]
    # Mean lengths of 10 m: the two alike are 0 and 2 m from the others, the third twice 2 m.
    assert found == pytest.approx(np.tanh([0.1, 0.1, 0.2]))
    assert np.allclose(unlikeness(np.stack((path, path))[None]), 0.0)
    # Twice as large all over is as unlike.
    assert np.allclose(unlikeness(2.0 * np.stack((path, path, beside))[None]), found)
    assert (unlikeness(np.stack((path, 1e4 * beside))[None]) < 1.0 + 1e-12).all()


def test_diversity_is_rewarded_only_in_who_touches_nobody_and_stays_on_the_road() -> None:
    class Some(Slow):
        def judge(self, row: int, poses: Any) -> Any:
            labels = np.ones((len(poses), 9), dtype=np.float32)
            labels[0, NC], labels[1, DAC], labels[2, TLC] = 0.0, 0.0, 0.0
            labels[:, TTC] = 0.0
            return labels

    moments, net = Some(2), model()
    seen = seen_of(moments, [0, 1], net, "cpu")  # type: ignore[arg-type]
    drawn = 2.0 * torch.rand((2, 5, 8, 2), generator=torch.Generator().manual_seed(0)) - 1.0
    plain, diverse = (
        rewarded(moments, [0, 1], seen, drawn, TuneSettings(group=5, diversity=d))  # type: ignore[arg-type]
        for d in (0.0, 0.5)
    )
    assert np.array_equal(plain.reward, plain.score)
    more = diverse.reward - plain.reward
    assert not more[:, :3].any()
    assert np.allclose(more[:, 3:], 0.5 * diverse.unlike[:, 3:])
    assert (diverse.unlike > 0.0).all()
    assert (plain.score[:, :2] == 0.0).all()


def test_from_weights_to_tuned_ones_that_drive_and_again_after_a_stop(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = replace(toy.MODEL, encoder=replace(toy.ENCODER, sizes=EncoderSettings().sizes))
    start = tmp_path / "stl_diffusion.safetensors"
    about = {"model": asdict(whole)}
    save_weights(start, PolicyNet(whole), Card("stl_diffusion", ARCHITECTURE, config=about))
    request = DataRequest(families=("cut_in",), scenes=1, every=2.0, twins=0.0, displaced=0.0)
    config = RFTConfig(
        start=str(start), fit=replace(RFTConfig().fit, steps=4, warmup=1, validate_every=2),
        tune=TuneSettings(group=3, chain=CHAIN), data=request, batch=2, moments=3, held_out=2, guard=1.0,
    )  # fmt: skip
    kept: dict[Any, Any] = {}

    def moments(asked: DataRequest, count: int) -> Any:
        key = (asked.first_seed, count)
        kept[key] = kept.get(key) or judged_moments(asked, count)
        return kept[key]

    few = toy.ToySet.make(2, 1)
    run = TrainingRun(
        tmp_path / "run", "stl_diffusion-rft", "cpu", 1, False, few, few, None, toy.no_round, moments=moments
    )  # fmt: skip
    path = RECIPE.train(run, config)
    card = read_card(path)
    assert card.config["start"] == read_card(start).sha256
    assert set(card.config["before"]) == set(card.training) - {"watched"}
    same = {"encoder", "refine"}
    a, b = (dict(_tensors(p)) for p in (start, path))
    moved = {name.split(".")[0] for name in a if not np.array_equal(a[name], b[name])}
    assert "denoiser" in moved
    assert not moved & same
    before = path.read_bytes()
    path.unlink()
    assert RECIPE.train(replace(run, resume=True), config).read_bytes() == before
    planner = load_planner("stl_diffusion", {"weights": str(path), "candidates": "4", "rti_from": "9"})
    log = simulate(load_scenario("gen/cut_in/3"), planner, stop=3)
    assert log.header["failure"] is None


def _tensors(path: Path) -> Any:
    from drive.nn.tensors import read_tensors

    return {name: value.numpy() for name, value in read_tensors(path)[0].items()}


def test_bad_tunings_are_told(tmp_path: Path) -> None:
    for bad in (
        {"group": 1}, {"discount": 0.0}, {"imitation": -1.0}, {"score": "likes"}, {"diversity": -0.1},
    ):  # fmt: skip
        with pytest.raises(InputError):
            TuneSettings(**bad)  # type: ignore[arg-type]
    for worse in ({"batch": 0}, {"guard": 2.0}):
        with pytest.raises(InputError):
            RFTConfig(**worse)  # type: ignore[arg-type]
    run: Any = TrainingRun(tmp_path, "x", "cpu", 0, False, toy.ToySet.make(2, 1), None, None, toy.no_round)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="judged"):
        RECIPE.train(run, RFTConfig())
    vae = tmp_path / "v.safetensors"
    settings = replace(toy.MODEL, kind="vae")
    about = {"model": asdict(settings)}
    save_weights(vae, PolicyNet(settings), Card("stl_diffusion", ARCHITECTURE, config=about))
    with pytest.raises(InputError, match="vae"):
        RECIPE.train(replace(run, moments=lambda r, n: Slow(2)), RFTConfig(start=str(vae)))
    assert FitSettings(steps=1).steps == 1

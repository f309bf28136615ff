"""`stl_diffusion` trained on a toy road: augmentation, losses, sampling, the recipe, and the planner."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import stl_toy as toy
import torch

from drive import load_scenario
from drive.errors import InputError
from drive.nn.fit import FitSettings
from drive.nn.recipe import TrainingRun, configured
from drive.nn.weights import card_path
from drive.planners.stl_diffusion.augment import AugmentSettings, augmented
from drive.planners.stl_diffusion.config import STLDiffusionConfig
from drive.planners.stl_diffusion.evaluate import FIGURES, methods, moments_of, table
from drive.planners.stl_diffusion.losses import (
    ObjectiveSettings,
    PolicyLoss,
    RefineLoss,
    RefineSettings,
    expected_size,
    posed,
)
from drive.planners.stl_diffusion.model import PolicyNet
from drive.planners.stl_diffusion.motion import MotionSettings
from drive.planners.stl_diffusion.own import accepted
from drive.planners.stl_diffusion.planner import load_policy
from drive.planners.stl_diffusion.sampling import CTG, GUIDED, PLAIN, SampleSettings, draw, told_of
from drive.planners.stl_diffusion.scorer import OptimiseSettings
from drive.planners.stl_diffusion.template import MODES, PARAMETERS, TERMS
from drive.planners.stl_diffusion.train import RECIPE, TrainConfig, batches_of
from drive.registry import load_planner
from drive.sim import simulate

MODEL = toy.MODEL
AUGMENT = AugmentSettings(rows=12, samples=4, chunk=4, optimise=OptimiseSettings(steps=25))
DATA = toy.ToySet.make(24, 5)


def tensors(fields: Any) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.asarray(values)) for name, values in fields.items()}


@pytest.fixture(scope="module")
def extra(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return augmented(DATA, tmp_path_factory.mktemp("stl") / "augmented", AUGMENT, MotionSettings())


def test_an_augmentation_goes_on_where_it_was_killed(extra: Any, tmp_path: Path) -> None:
    assert len(extra) == 12
    again = tmp_path / "again"

    class Killed:
        fields, hash, header = DATA.fields, DATA.hash, DATA.header
        left = 1

        def __len__(self) -> int:
            return len(DATA)

        def take(self, rows: Any, names: Any = None) -> Any:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            return DATA.take(rows, names)

    with pytest.raises(KeyboardInterrupt):
        augmented(Killed(), again, AUGMENT, MotionSettings())
    assert augmented(DATA, again, AUGMENT, MotionSettings()).hash == extra.hash
    assert augmented(DATA, again, AUGMENT, MotionSettings()).hash == extra.hash  # opened, not made
    with pytest.raises(InputError, match="another augmentation"):
        augmented(DATA, again, replace(AUGMENT, samples=5), MotionSettings())


def test_an_augmentation_tells_what_obeys(extra: Any) -> None:
    rows = extra.take(np.arange(len(extra)))
    batch = tensors({**rows, **DATA.take(rows["row"], [n for n in DATA.fields if n.startswith("scene.")])})
    found = posed(batch, MODEL)
    rho = found.scorer.robustness(batch["drawn"])
    assert torch.allclose(rho, batch["robustness"], atol=1e-3)
    assert np.array_equal(found.known.numpy(), rows["known"])
    assert ((rho > 0.0) & found.known[..., None]).any()


@pytest.mark.parametrize("kind", ["ddpm", "vae"])
def test_losses_fall_and_every_part_learns(kind: str, extra: Any) -> None:
    torch.manual_seed(0)
    model = PolicyNet(replace(MODEL, kind=kind))
    hinge = 1.0 if kind == "vae" else 0.0
    loss = PolicyLoss(ObjectiveSettings(hinge=hinge, overlap=hinge))
    batch = tensors(batches_of(DATA, extra, 12, 0)(0))
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    seen = []
    for step in range(40):
        value, _ = loss(model, batch, torch.Generator().manual_seed(step % 4))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        seen.append(value.item())
    assert np.mean(seen[-4:]) < 0.75 * np.mean(seen[:4])
    idle = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0.0}
    # RefineNet has its own training; whatever else is idle says nothing on this road.
    assert not {
        n for n in idle if n.split(".")[0] in ("denoiser", "posterior", "likelihood", "mode", "about")
    }


def test_refining_teaches_who_breaks_the_formula_and_the_merging(extra: Any) -> None:
    torch.manual_seed(0)
    base = PolicyNet(MODEL).eval()
    batch = tensors(batches_of(DATA, extra, 12, 0)(0))
    loss = RefineLoss(base, RefineSettings(samples=4, sampling=replace(PLAIN, count=4)))
    optimiser = torch.optim.Adam(base.refine.parameters(), lr=3e-3)
    seen = []
    for _ in range(12):
        value, figures = loss(base.refine, batch, torch.Generator().manual_seed(1))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        seen.append(float(figures["hinge"]))
    assert seen[-1] < 0.9 * seen[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0.0 for p in base.refine.merge.parameters())
    drawn = 2.0 * torch.rand(2, 1, 6, 8, 2) - 1.0
    context, parameters = torch.randn(2, 1, 2 * toy.ENCODER.width), torch.ones(2, 1, 6)
    rho = torch.tensor([0.3, -0.2]).repeat(3).expand(2, 1, 6)
    with torch.no_grad():
        mended = base.refine(context, parameters, drawn, rho)
    assert torch.equal(mended[:, :, ::2], drawn[:, :, ::2])
    assert not torch.equal(mended[:, :, 1::2], drawn[:, :, 1::2])
    assert mended.abs().max() <= 1.0


def test_the_expected_size_rewards_who_differ_and_obey() -> None:
    far = torch.stack((torch.zeros(8, 2), torch.full((8, 2), 9.0)))[None, None]
    near = torch.zeros(1, 1, 2, 8, 2)
    good = torch.full((1, 1, 2), 1.0)
    # Two that are unlike: eigenvalues e^2 each, of which q^2 / (1 + q^2) are drawn.
    q = np.exp(1.0)
    assert expected_size(far, good, 2).item() == pytest.approx(q * q / (1 + q * q), abs=1e-4)
    # Two that are the same: one eigenvalue of 2 e^2, of two.
    assert expected_size(near, good, 2).item() == pytest.approx(q * q / (1 + 2 * q * q), abs=1e-3)
    wrong = torch.full((1, 1, 2), -0.05, requires_grad=True)
    expected_size(far, wrong, 2).sum().backward()
    assert (wrong.grad > 0.0).all()


def test_sampling_counts_and_is_the_same_again(extra: Any) -> None:
    torch.manual_seed(0)
    model = PolicyNet(MODEL).eval()
    found = posed(tensors(batches_of(DATA, extra, 2, 0)(0)), MODEL)
    with torch.no_grad():
        told = told_of(model, found.view, found.scorer, found.parameters)

    def drawn(settings: SampleSettings, **more: Any) -> Any:
        return draw(model, told, found.scorer, 4, settings, torch.Generator().manual_seed(7), **more)

    plain, again = drawn(PLAIN), drawn(PLAIN)
    assert plain.drawn.shape == (2, 3, 4, 8, 2)
    assert torch.equal(plain.drawn, again.drawn)
    assert (plain.calls, plain.gradients) == (20, 0)
    chosen = drawn(SampleSettings(rolls=0))
    assert (chosen.robustness >= plain.robustness).all()
    ours, ctg = drawn(GUIDED), drawn(CTG)
    assert ours.gradients == 8
    assert ctg.gradients == 3 * 20  # of 100 published steps, 300
    assert (drawn(SampleSettings(rolls=2)).robustness >= chosen.robustness).all()
    # From clean samples in one last step: little changes.
    warm = drawn(PLAIN, start=plain.drawn, visited=[0])
    assert warm.calls == 1
    with pytest.raises(InputError, match="fall"):
        drawn(PLAIN, start=plain.drawn, visited=[0, 3])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingRun, TrainConfig]:
    folder = tmp_path_factory.mktemp("recipe")
    config = TrainConfig(
        fit=FitSettings(steps=30, warmup=5, lr=3e-3, ema=0.9, validate_every=30),
        model=MODEL,
        refine=RefineSettings(steps=4, samples=4, sampling=replace(PLAIN, count=4)),
        augment=AUGMENT, batch=8, held_out=8, encoder="",
    )  # fmt: skip
    held = toy.ToySet.make(10, 9)
    run = TrainingRun(folder, "stl_diffusion", "cpu", 1, False, DATA, held, None, toy.no_round)
    return RECIPE.train(run, config), run, config


def test_a_recipe_writes_weights_with_their_card_and_goes_on(trained: Any, tmp_path: Path) -> None:
    path, run, config = trained
    card = json.loads(card_path(path).read_text())
    assert (card["recipe"], card["architecture"], card["steps"]) == ("stl_diffusion", "stl_diffusion-1", 34)
    assert card["config"]["model"]["refines"] is True
    assert card["licences"] == ["CC0-1.0"]
    before = path.read_bytes()
    path.unlink()
    assert RECIPE.train(replace(run, resume=True), config).read_bytes() == before
    model, _ = load_policy(path)
    rows = list(methods(moments_of(run.validation, 4, MODEL.motion), {"ours": model.eval()}, 4, 5, ctg=True))
    assert [r.gradients for r in rows] == [0, 5, 0, 0, 0, 8, 30, 60]
    for row in rows:
        assert all(np.isfinite(row.figures[name]).all() for name in FIGURES)
        assert (row.figures["success"] >= row.figures["compliance"] - 1e-9).all()
    text = table(rows, np.arange(4))
    assert "ours + refine + guidance" in text
    assert len(text.splitlines()) == 2 + len(rows)


class Listening:
    """A planner that keeps what another one plans."""

    def __init__(self, planner: Any) -> None:
        self.planner, self.spec, self.plans = planner, planner.spec, []

    def start(self, task: Any) -> Any:
        session, plans = self.planner.start(task), self.plans

        class Session:
            def plan(self, observation: Any) -> Any:
                plans.append(session.plan(observation))
                return plans[-1]

        return Session()


def test_what_was_trained_drives_and_goes_on_from_its_last_plan(trained: Any) -> None:
    path, _, _ = trained
    easy = {"dmin": "-9", "dmax": "9", "thmax": "1.9", "vmax": "40", "vmin": "-1", "dsafe": "0"}
    settings = {
        "weights": str(path),
        "candidates": "8",
        "sampling.count": "6",
        "shown": "3",
        "rti_jump": "99",
        "rti_wait": "0",
        "rti_guidance": "1",
        "variants": "0",
    }
    scene = load_scenario("gen/stop_for_lead/1")
    logs, heard = [], []
    for _ in range(2):
        heard.append(Listening(load_planner("stl_diffusion", {**settings, **easy})))
        logs.append(simulate(scene, heard[-1], stop=10))
    assert logs[0].header["failure"] is None
    assert np.array_equal(logs[0].ego, logs[1].ego)
    plans = heard[0].plans
    # A fresh call denoises in six steps, one that goes on in three; and is guided in as many as it is told.
    for k, plan in enumerate(plans):
        warm = plan.figures["warm"] == 1.0
        assert plan.figures["calls"] == (3.0 if warm else 6.0)
        assert plan.figures["gradients"] == (1.0 if warm else 3.0)
        assert k or not warm
        assert warm or plan.figures["restarted"] == float(k > 0)
        shown = plan.candidates
        assert shown.states.shape == (3, 41, 3)
        assert set(TERMS) < set(shown.scores)
        assert np.allclose(shown.states[shown.chosen, 1:], plan.trajectory.states[1:, :3], atol=1e-4)
    assert any(plan.figures["warm"] for plan in plans)
    alone = [load_planner("stl_diffusion", {**settings, **easy, "rti_steps": "0"})]
    heard.append(Listening(alone[0]))
    simulate(scene, heard[-1], stop=3)
    assert not any(plan.figures["warm"] for plan in heard[-1].plans)


def test_a_calibrated_formula_accepts_a_whole_set_and_no_tighter_one_does() -> None:
    found = accepted(DATA)
    assert found.moments > 10
    assert found.own == 1.0
    assert found.whole <= 1.0
    assert set(found.tighter) == set(PARAMETERS)
    assert all(share == 1.0 for name, share in found.tighter.items() if not np.isnan(share))


def test_bad_settings_are_told_in_one_line(trained: Any) -> None:
    path, _, _ = trained
    for bad in (
        {"mode": "up"}, {"dmin": "2", "dmax": "1"}, {"thmax": "0"}, {"candidates": "0"}, {"vmax": "nan"},
        {"rti_from": "20"}, {"sampling.candidates": "0"},
    ):  # fmt: skip
        with pytest.raises(InputError):
            load_planner("stl_diffusion", {"weights": str(path), **bad})
    with pytest.raises(InputError):
        load_planner("stl_diffusion", {"weights": str(path), "forecaster": "crystal_ball"})
    for bad in ({"model.kind": "gan"}, {"objective.shows": "all"}, {"augment.samples": "0"}, {"batch": "0"},
                {"model.motion.knots": "9"}):  # fmt: skip
        with pytest.raises(InputError):
            configured(RECIPE, "cpu", bad)
    assert STLDiffusionConfig().mode in MODES

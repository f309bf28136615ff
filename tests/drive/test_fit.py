"""The training loop: what it learns, and that stopping it anywhere changes nothing."""

from __future__ import annotations

import csv
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drive._imports import import_target
from drive.errors import DriveError, InputError
from drive.progress import Listener

torch: Any = pytest.importorskip("torch")
from drive.nn.fit import FitSettings, Fitted, fit, mean_loss, read_log  # noqa: E402
from drive.nn.training import pace  # noqa: E402
from drive.nn.training.checkpoint import load_checkpoint  # noqa: E402
from drive.nn.training.settings import learning_rate, mean_decay  # noqa: E402

SCRIPT = Path(__file__).with_name("fit_problem.py")
problem: Any = import_target(f"{SCRIPT}:train", "the tests").__globals__
SETTINGS: FitSettings = problem["SETTINGS"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Fitted]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("fit") / "undisturbed"
    fitted = problem["train"](folder)
    torch.set_num_threads(threads)
    return folder, fitted


def newest(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = max((folder / "checkpoints").glob("*.json"))
    return path, json.loads(path.read_text())


def rows(folder: Path) -> list[list[str]]:
    with open(folder / "log.csv", newline="") as file:
        table = list(csv.reader(file))
    at = table[0].index("seconds")
    return [row[:at] + row[at + 1 :] for row in table]


def assert_same(one: Path, other: Path) -> None:
    """Weights, running mean, best, optimiser, generators and sums lie in the tensors' file."""
    (a, mine), (b, theirs) = newest(one), newest(other)
    assert a.name == b.name
    assert mine["sha256"] == theirs["sha256"]
    assert a.with_suffix(".safetensors").read_bytes() == b.with_suffix(".safetensors").read_bytes()
    for scalars in (mine["scalars"], theirs["scalars"]):
        del scalars["seconds"]
    assert mine["scalars"] == theirs["scalars"]
    assert rows(one) == rows(other)
    assert (one / "validation.csv").read_bytes() == (other / "validation.csv").read_bytes()


def begin(folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), *more],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_step(process: subprocess.Popen[str], folder: Path, step: int) -> None:
    until = time.monotonic() + 60.0
    while process.poll() is None and time.monotonic() < until:
        found = sorted((folder / "checkpoints").glob("*.json"))
        if found and int(found[-1].stem) >= step:
            return
        time.sleep(0.005)
    raise AssertionError(f"step {step} did not come: {process.communicate()[1]}")


def test_it_learns_where_a_car_will_be(undisturbed: tuple[Path, Fitted]) -> None:
    folder, fitted = undisturbed
    car = problem["held_out"](1)
    with torch.no_grad():
        found = fitted.model(torch.from_numpy(car["seen"])).numpy()
    miss = np.linalg.norm(found[:, :2] - car["pose"][:, :2], axis=1).mean()
    spread = np.linalg.norm(car["pose"][:, :2] - car["pose"][:, :2].mean(0), axis=1).mean()
    assert miss < 0.25 * spread
    assert fitted.steps == fitted.total == 200
    assert fitted.stopped == "steps"
    log, validation = read_log(folder / "log.csv"), read_log(folder / "validation.csv")
    assert log["step"] == [10.0 * k for k in range(1, 21)]
    assert log["loss"][-1] < 0.2 * log["loss"][0]
    assert validation["step"] == [50.0, 100.0, 150.0, 200.0]
    assert fitted.figures["loss"] == pytest.approx(min(validation["loss"]), rel=1e-6)


def test_killed_anywhere_and_gone_on_with_it_is_the_same(
    undisturbed: tuple[Path, Fitted], tmp_path: Path
) -> None:
    """SIGKILL at a random moment, SIGTERM later, and Ctrl-C; then on to the end."""
    folder = tmp_path / "killed"
    first = random.SystemRandom().randrange(1, 100)
    process = begin(folder)
    wait_for_step(process, folder, first)
    process.kill()
    process.communicate()
    process = begin(folder, "--resume")
    wait_for_step(process, folder, first + 8)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    stopped = newest(folder)[1]["step"]
    assert process.returncode == 143, (first, said)
    assert "goes on at step" in said
    assert f"stopped at step {stopped} of 200, with a checkpoint in" in said
    with pytest.raises(KeyboardInterrupt):
        stopped_at(folder, stopped + 20, resume=True)
    fitted = problem["train"](folder, resume=True)
    assert_same(folder, undisturbed[0])
    for name, value in undisturbed[1].model.state_dict().items():
        assert torch.equal(value, fitted.model.state_dict()[name]), name
    assert fitted.figures == undisturbed[1].figures


def test_a_finished_training_is_not_trained_again(undisturbed: tuple[Path, Fitted]) -> None:
    folder, fitted = undisturbed
    path = newest(folder)[0]
    written = path.stat().st_mtime_ns
    again = problem["train"](folder, resume=True)
    assert path.stat().st_mtime_ns == written
    assert again.figures == fitted.figures
    for name, value in fitted.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_taken(
    undisturbed: tuple[Path, Fitted], tmp_path: Path
) -> None:
    folder, lines = tmp_path / "damaged", []
    with pytest.raises(KeyboardInterrupt):
        stopped_at(folder, 50)
    tensors = newest(folder)[0].with_suffix(".safetensors")
    data = bytearray(tensors.read_bytes())
    data[-3] ^= 1
    tensors.write_bytes(data)
    fit(
        problem["network"](), problem["loss"], problem["batches"], SETTINGS, folder, resume=True,
        validate=mean_loss(problem["loss"], problem["held_out"], 1), progress=Listener(lines.append),
    )  # fmt: skip
    assert "another SHA-256" in lines[0]
    assert lines[1] == "goes on at step 49 of 200"
    assert_same(folder, undisturbed[0])


def test_all_checkpoints_damaged(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stopped_at(tmp_path, 8)
    for path in (tmp_path / "checkpoints").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"no checkpoint in .* can be read: .*truncated"):
        problem["train"](tmp_path, resume=True)


def stopped_at(folder: Path, step: int, settings: FitSettings = SETTINGS, **more: Any) -> None:
    """Train, and press Ctrl-C while the batch of that step is fetched: that step is still made."""

    def batches(number: int) -> Any:
        if number == step - 1:
            signal.raise_signal(signal.SIGINT)
        return problem["batches"](number)

    problem["seed_all"](3)
    fit(
        problem["network"](), problem["loss"], batches, settings, folder, progress=False,
        validate=mean_loss(problem["loss"], problem["held_out"], 1), **more,
    )  # fmt: skip


def test_only_two_checkpoints_are_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stopped_at(tmp_path, 25)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "000000021.json", "000000021.safetensors", "000000025.json", "000000025.safetensors",
    ]  # fmt: skip


def test_shared_generators_and_handlers_are_given_back(tmp_path: Path) -> None:
    network, handler = problem["network"](), signal.getsignal(signal.SIGTERM)
    problem["seed_all"](1)
    wanted = torch.rand(3), np.random.random(3), random.random()
    problem["seed_all"](1)
    fit(
        network, problem["loss"], problem["batches"], replace(SETTINGS, steps=3), tmp_path, progress=False
    )  # fmt: skip
    assert torch.equal(torch.rand(3), wanted[0])
    np.testing.assert_array_equal(np.random.random(3), wanted[1])
    assert random.random() == wanted[2]
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_loss_that_is_not_finite_ends_it_and_names_the_step(tmp_path: Path) -> None:
    def broken(model: Any, batch: Any, generator: Any) -> Any:
        value, figures = problem["loss"](model, batch, generator)
        return (value * torch.log(batch["seen"][0, 0] - 100.0) if batch["bad"] else value), figures

    def batches(step: int) -> Any:
        return {**problem["batches"](step), "bad": np.array(step == 17)}

    with pytest.raises(DriveError, match=r"not finite in step 17 of 200; .*000000014\.safetensors") as told:
        fit(problem["network"](), broken, batches, SETTINGS, tmp_path, progress=False)
    assert "\n" not in str(told.value)
    found = load_checkpoint(tmp_path / "checkpoints")
    assert found is not None
    assert found.scalars["step"] == 14
    assert all(bool(torch.isfinite(v).all()) for k, v in found.tensors.items() if k.startswith("model."))


def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before(
    undisturbed: tuple[Path, Fitted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, sync = [], os.fsync

    def full(number: int) -> None:
        calls.append(number)
        if len(calls) == 6:  # of the third checkpoint, with two files each, the second
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DriveError, match=r"No space left .* at step 14; .*000000007\.safetensors'"):
        problem["train"](tmp_path)
    assert not [path for path in (tmp_path / "checkpoints").iterdir() if "part" in path.name]
    monkeypatch.undo()
    problem["train"](tmp_path, resume=True)
    assert_same(tmp_path, undisturbed[0])


def test_minutes_become_steps_once(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=0, minutes=0.02, checkpoint_every=5)
    with pytest.raises(KeyboardInterrupt):
        stopped_at(tmp_path, 9, settings)
    total = newest(tmp_path)[1]["scalars"]["total"]
    assert total > 20
    fitted = problem["train"](tmp_path, resume=True, settings=settings)
    assert fitted.steps == fitted.total == total


def test_too_few_minutes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not one step of .* fits into 1e-05 minutes"):
        problem["train"](tmp_path, settings=replace(SETTINGS, steps=0, minutes=1e-5))


def test_measuring_leaves_no_trace(undisturbed: tuple[Path, Fitted], tmp_path: Path) -> None:
    network = problem["network"]()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    shared = torch.get_rng_state()
    plan = pace.plan_steps(
        network, problem["loss"], problem["batches"], replace(SETTINGS, steps=0, minutes=0.02),
        torch.device("cpu"), mean_loss(problem["loss"], problem["held_out"], 1),
    )  # fmt: skip
    assert plan.speed == "eager"
    assert torch.equal(torch.get_rng_state(), shared)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


class Constant(torch.nn.Module):  # type: ignore[misc]
    """One number, pushed up by its loss at the learning rate's pace."""

    def __init__(self) -> None:
        super().__init__()
        self.p = torch.nn.Parameter(torch.zeros(()))


def push(model: Any, batch: Any, generator: Any) -> Any:
    return -model.p * batch["by"], {}


def test_early_stop_keeps_what_was_best(tmp_path: Path) -> None:
    figures, seen = iter([3.0, 2.0, 1.0, 4.0, 1.5, 9.0]), []

    def validate(model: Any) -> dict[str, float]:
        seen.append(float(model.p))
        return {"loss": next(figures)}

    settings = FitSettings(steps=1000, schedule="constant", validate_every=4, patience=2, ema=0.0, warmup=0)
    found = fit(
        Constant(), push, lambda step: {"by": np.ones(())}, settings, tmp_path, validate=validate,
        progress=False,
    )  # fmt: skip
    assert (found.stopped, found.steps, found.best_step) == ("early stop", 20, 12)
    assert found.figures == {"loss": 1.0}
    assert float(found.model.p.detach()) == seen[2]
    assert seen == sorted(seen)
    last = fit(
        Constant(), push, lambda step: {"by": np.ones(())}, replace(settings, steps=8, keep="last"),
        tmp_path / "last", validate=lambda model: {"loss": -float(model.p)}, progress=False,
    )  # fmt: skip
    assert float(last.model.p.detach()) == seen[1]


def test_validation_must_name_what_is_watched(tmp_path: Path) -> None:
    settings = FitSettings(steps=2, watch="metres")
    with pytest.raises(InputError, match="gives no 'metres' to watch, only loss"):
        fit(
            Constant(), push, lambda step: {"by": np.ones(())}, settings, tmp_path,
            validate=lambda model: {"loss": 1.0}, progress=False,
        )  # fmt: skip


def test_the_running_mean_has_its_closed_form(tmp_path: Path) -> None:
    """Decays (1 + k) / (10 + k) leave 1 / C(n + 9, 9) of the start after n steps; all shares sum to 1."""
    n, path = 6, []

    def watched(model: Any, batch: Any, generator: Any) -> Any:
        path.append(float(model.p.detach()))
        return push(model, batch, generator)

    settings = FitSettings(steps=n, ema=0.9, warmup=0, schedule="constant", lr=1.0, validate_every=99)
    found = fit(Constant(), watched, lambda step: {"by": np.ones(())}, settings, tmp_path, progress=False)
    checkpoint = load_checkpoint(tmp_path / "checkpoints")
    assert checkpoint is not None
    path.append(float(checkpoint.tensors["model.p"]))
    np.testing.assert_allclose(
        path, np.arange(n + 1), rtol=1e-5
    )  # Adam's step under a constant gradient is lr
    # After step k the new value enters with 9 / (10 + k), and is kept by the decays that follow.
    left = 1.0 / comb(n + 9, 9)
    expected = sum(k * (1.0 / comb(n + 9, 9)) * (comb(k + 9, 9) - comb(k + 8, 9)) for k in range(1, n + 1))
    assert left + sum(left * (comb(k + 9, 9) - comb(k + 8, 9)) for k in range(1, n + 1)) == pytest.approx(1.0)
    assert float(found.model.p.detach()) == pytest.approx(expected, rel=1e-5)
    assert mean_decay(settings, 10**6) == 0.9


def test_a_loss_may_look_at_the_running_mean(undisturbed: tuple[Path, Fitted], tmp_path: Path) -> None:
    """A teacher network of the caller's is the running mean, from the first step and after a resume."""
    teacher, gaps = problem["network"](), []

    def taught(model: Any, batch: Any, generator: Any) -> Any:
        both = zip(teacher.parameters(), model.parameters(), strict=True)
        gaps.append(max(float((a - b).detach().abs().max()) for a, b in both))
        return problem["loss"](model, batch, generator)

    def go(resume: bool) -> Fitted:
        problem["seed_all"](3)
        return fit(
            problem["network"](), taught, problem["batches"], SETTINGS, tmp_path, mean=teacher, resume=resume,
            validate=mean_loss(problem["loss"], problem["held_out"], 1), progress=False,
        )  # fmt: skip

    go(False)
    assert gaps[0] == 0.0
    assert 0.0 < gaps[-1] < 1.0
    assert_same(tmp_path, undisturbed[0])
    wanted = {name: value.clone() for name, value in teacher.state_dict().items()}
    teacher = problem["network"]()
    go(True)
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, wanted[name])


def test_a_running_mean_of_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the network for the running mean is another one"):
        fit(
            Constant(), push, problem["batches"], SETTINGS, tmp_path, mean=torch.nn.Linear(1, 1),
            progress=False,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (60, 0.6), (110, 0.2), (35, 0.882842712)]
)
def test_learning_rates(step: int, rate: float) -> None:
    settings = FitSettings(steps=110, lr=1.0, warmup=10, lr_end=0.2)
    assert learning_rate(settings, step, 110) == pytest.approx(rate)


def test_a_constant_rate() -> None:
    settings = FitSettings(steps=9, lr=0.5, warmup=2, schedule="constant")
    assert [learning_rate(settings, k, 9) for k in (0, 1, 2, 8)] == [0.25, 0.5, 0.5, 0.5]


def test_gradients_are_clipped(tmp_path: Path) -> None:
    """A gradient of 1e6 and one of 1: with clipping Adam sees 1 and 1, so both steps are lr."""
    settings = FitSettings(steps=2, ema=0.0, warmup=0, schedule="constant", lr=0.25, clip=1.0)
    by = {0: 1e6, 1: 1.0}
    found = fit(
        Constant(), push, lambda step: {"by": np.asarray(by[step])}, settings, tmp_path, progress=False
    )
    assert float(found.model.p.detach()) == pytest.approx(0.5, rel=1e-4)
    free = fit(
        Constant(), push, lambda step: {"by": np.asarray(by[step])}, replace(settings, clip=0.0),
        tmp_path / "free", progress=False,
    )  # fmt: skip
    assert float(free.model.p.detach()) < 0.45


def test_batches_may_be_mapped_files(tmp_path: Path) -> None:
    np.save(tmp_path / "by.npy", np.ones(4))
    held = np.load(tmp_path / "by.npy", mmap_mode="r")
    settings = FitSettings(steps=2, ema=0.0)
    fit(
        Constant(), lambda m, b, g: ((-m.p * b["by"]).sum(), {}), lambda step: {"by": held[:2]}, settings,
        tmp_path / "fit", progress=False,
    )  # fmt: skip
    assert held.tolist() == [1.0] * 4


def test_a_folder_in_use_is_not_written_over(undisturbed: tuple[Path, Fitted]) -> None:
    with pytest.raises(InputError, match="holds a training: go on with it"):
        problem["train"](undisturbed[0])


@pytest.mark.parametrize(
    ("change", "told"),
    [({"lr": 1.0}, r"begun with lr=0.01, not 1.0"), ({"seed": 6}, "begun with seed=5, not 6")],
)
def test_other_settings_are_refused(
    undisturbed: tuple[Path, Fitted], change: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        problem["train"](undisturbed[0], resume=True, settings=replace(SETTINGS, **change))


def test_another_network_is_refused(undisturbed: tuple[Path, Fitted]) -> None:
    with pytest.raises(InputError, match=r"of another network: '.*' is .* there and .* in Linear"):
        fit(
            torch.nn.Linear(4, 3), problem["loss"], problem["batches"], SETTINGS, undisturbed[0], resume=True,
            progress=False,
        )  # fmt: skip


def test_figures_keep_their_names(tmp_path: Path) -> None:
    def fickle(model: Any, batch: Any, generator: Any) -> Any:
        return -model.p * 1.0, {"odd": 1.0} if batch["by"] % 2 else {}

    with pytest.raises(InputError, match="these come and go: odd"):
        fit(
            Constant(), fickle, lambda step: {"by": np.asarray(step)}, FitSettings(steps=4), tmp_path,
            progress=False,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "needs steps or minutes"),
        ({"steps": 5, "lr": 0.0}, "lr must be more than 0"),
        ({"steps": 5, "lr": float("nan")}, "lr must be"),
        ({"steps": 5, "ema": 1.0}, "ema must be less than 1"),
        ({"steps": -1}, "steps must be 0 or more"),
    ],
)
def test_bad_settings(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        FitSettings(**values)


def test_a_graph_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a CUDA graph needs a CUDA device"):
        problem["train"](tmp_path, settings=replace(SETTINGS, speed="graph"))


@pytest.mark.cuda
@pytest.mark.parametrize("speed", ["eager", "graph"])
def test_on_a_gpu_it_learns_and_goes_on(speed: Any, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    settings = replace(SETTINGS, speed=speed)
    with pytest.raises(KeyboardInterrupt):
        stopped_at(tmp_path, 60, settings, device="cuda")
    found = fit(
        problem["network"](), problem["loss"], problem["batches"], settings, tmp_path, resume=True,
        validate=mean_loss(problem["loss"], problem["held_out"], 1, "cuda"), device="cuda", progress=False,
    )  # fmt: skip
    log = read_log(tmp_path / "log.csv")
    assert log["loss"][-1] < 0.2 * log["loss"][0]
    assert found.speed == speed

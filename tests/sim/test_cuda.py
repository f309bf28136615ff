"""The CUDA twins of the batch primitives.

Without a GPU: the comparisons of `cuda_cases.py` in Numba's simulator, and all kernels compiled for real
where NVVM is installed. On a GPU, `pytest -m cuda` runs the same comparisons at larger sizes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drive.errors import InputError, MissingExtraError, SimulationError
from drive.sim.cuda import device, upload_scenes

HERE = Path(__file__).parent


def gpu_is_here() -> bool:
    try:
        device.gpu()
    except (InputError, MissingExtraError):
        return False
    return True


def script(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script beside this file, in a process of its own: the simulator is chosen at import."""
    return subprocess.run(
        [sys.executable, str(HERE / name), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_simulator_agrees_with_the_cpu_and_the_references() -> None:
    done = script("cuda_cases.py", NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0].endswith("simulator")
    assert done.stdout.count("compared") == 14


def test_kernels_compile_for_real_without_spilling_or_doubles() -> None:
    done = script("cuda_ptx.py")
    if done.returncode == 3:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert set(rows) == {"step", "rollout", "rollout/controls", "score", "score without progress"}
    for name, row in rows.items():
        # The progress alone is meant to be computed in float64.
        assert (row["double"] > 0) == (name == "score"), name
        for target in ("sm_80", "sm_90"):
            assert row.get(target, {}).get("spills", 0) == 0, name


@pytest.mark.cuda
@pytest.mark.skipif(not gpu_is_here(), reason="no GPU here that CUDA can use")
def test_the_gpu_agrees_with_the_cpu_and_the_references() -> None:
    done = script("cuda_cases.py", "64")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("compared") == 14


@pytest.mark.cuda
@pytest.mark.skipif(not gpu_is_here(), reason="no GPU here that CUDA can use")
def test_the_gpu_is_timed() -> None:
    """Prints the figures with `-s`."""
    done = subprocess.run(
        [sys.executable, "-m", "drive", "perf", "--only", "cuda", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    for row in rows:
        print(f"{row['name']:<28}{row['wall_s'] * 1e9:>10.2f} ns  {row['about']}")
    assert {"cuda/step/16384", "cuda/rollout", "cuda/score"} <= {row["name"] for row in rows}


@pytest.mark.cuda
@pytest.mark.skipif(not gpu_is_here(), reason="no GPU here that CUDA can use")
def test_torch_shares_the_memory_of_states() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch was built without CUDA")
    from drive.sim import cuda
    from drive.vehicle import VehicleParams

    vehicle, start = VehicleParams(), np.array([0, 0, 0, 5, 0, 0, 0], dtype=np.float32)
    controls = torch.zeros((4, 10, 2), device="cuda")
    states = cuda.rollout(vehicle, start, controls=controls)
    shared = torch.as_tensor(states, device="cuda")
    assert shared.data_ptr() == states.__cuda_array_interface__["data"][0]
    assert shared[:, -1, 0].tolist() == pytest.approx([5.0] * 4)
    shared[0, 0, 0] = 7.0
    assert states.copy_to_host()[0, 0, 0] == 7.0


def test_errors_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'drive-toolkit\[cuda\]'"):
        device.gpu()
    with pytest.raises(MissingExtraError):
        upload_scenes([SimpleNamespace()])  # type: ignore[list-item]


@pytest.mark.skipif(find_spec("numba_cuda") is None or gpu_is_here(), reason="needs numba-cuda and no GPU")
def test_no_gpu_is_said_in_one_line() -> None:
    with pytest.raises(InputError, match="finds no GPU"):
        device.gpu()


class OnDevice:
    """The face of a device array."""

    __cuda_ndarray__ = True

    def __init__(self, shape: tuple[int, ...], dtype: Any = np.float32, contiguous: bool = True) -> None:
        self.shape, self.dtype, self.contiguous = shape, np.dtype(dtype), contiguous

    def is_c_contiguous(self) -> bool:
        return self.contiguous


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (OnDevice((3, 2)), r"pose must have the shape \(any, 5\), got \(3, 2\)"),
        (OnDevice((3,)), "shape"),
        (OnDevice((3, 5), np.float64), "pose must be float32, got float64"),
        (OnDevice((3, 5), contiguous=False), "contiguous"),
    ],
)
def test_arrays_on_the_device_that_do_not_fit_are_refused(array: OnDevice, message: str) -> None:
    with pytest.raises(InputError, match=message):
        device.borrowed(array, "pose", (np.float32,), (None, 5))
    fine = OnDevice((3, 5))
    assert device.borrowed(fine, "pose", (np.float32,), (None, 5)) is fine


def test_worlds_of_too_many_agents_are_refused() -> None:
    from drive.sim.cuda.worlds import size_for

    assert [size_for(n) for n in (1, 32, 33, 768)] == [32, 32, 64, 768]
    with pytest.raises(SimulationError, match="768 agents, got 769"):
        size_for(769)

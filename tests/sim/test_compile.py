"""How kernels are compiled and cached."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.errors import NumbaError

from drive.sim.kernels import compile as kernels
from drive.sim.kernels.compile import kernel


def test_nan_is_still_seen_inside_kernels() -> None:
    @kernel
    def count_nan(values: Any) -> int:
        found = 0
        for v in values:
            if np.isnan(v):
                found += 1
        return found

    assert count_nan(np.array([1.0, np.nan, 2.0, np.nan], dtype=np.float32)) == 2


def test_a_kernel_that_allocates_does_not_compile() -> None:
    @kernel
    def allocates(values: Any) -> Any:
        return np.zeros(len(values)) + values

    with pytest.raises((NumbaError, RuntimeError)):
        allocates(np.ones(3))


def test_the_cache_folder_changes_with_any_kernel_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kernels"
    shutil.copytree(Path(kernels.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    digest = kernels.source_digest(folder)
    assert digest == kernels.source_digest()
    helper = folder / "scalar.py"
    helper.write_text(helper.read_text().replace("TWO = ", "TWO  = "))
    kernels.source_digest.cache_clear()
    assert kernels.source_digest(folder) != digest
    kernels.source_digest.cache_clear()
    monkeypatch.setenv("DRIVE_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert kernels.cache_folder() == tmp_path / "elsewhere" / "kernels" / digest


def test_an_edited_helper_in_another_module_is_not_served_from_the_cache(tmp_path: Path) -> None:
    """What Numba's own cache gets wrong: it looks at the outer function's file only."""
    package = tmp_path / "kernels"
    package.mkdir()
    source = Path(kernels.__file__).read_text()
    (package / "compile.py").write_text(source)
    (package / "helper.py").write_text("from compile import scalar\n@scalar\ndef f(x):\n    return x + 1\n")
    (package / "outer.py").write_text(
        "from compile import kernel\nfrom helper import f\n@kernel\ndef g(x):\n    return f(x)\n"
    )
    env = {**os.environ, "DRIVE_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(package)}
    env.pop("PYTHONSAFEPATH", None)
    call = [sys.executable, "-c", "import outer; print(outer.g(1))"]

    def run() -> str:
        return subprocess.run(
            call, env=env, cwd=package, check=True, capture_output=True, text=True
        ).stdout.strip()

    assert run() == "2"
    assert list((tmp_path / "cache").rglob("*.nbc"))
    (package / "helper.py").write_text("from compile import scalar\n@scalar\ndef f(x):\n    return x + 5\n")
    assert run() == "6"


def test_the_process_that_compiles_computes_what_those_compute_that_load(tmp_path: Path) -> None:
    """Bit for bit: a callee's copy within a kernel rounds otherwise than the callee compiled alone."""
    package = tmp_path / "kernels"
    package.mkdir()
    (package / "compile.py").write_text(Path(kernels.__file__).read_text())
    (package / "sums.py").write_text(
        """
import numpy as np
from compile import kernel, routine

@routine
def eliminate(h, b, joint, tie, out):
    for z in range(len(h)):
        for i in range(4):
            for j in range(4):
                value = h[z, i, j]
                for m in range(6):
                    value -= h[z, i, 4 + m] * b[z, m, j]
                if i == j:
                    value += tie
                if joint and z > 0:
                    out[0, i, j] += value
                else:
                    out[z, i, j] = value

@kernel
def twice(h, b, tie, out):
    eliminate(h, b, True, tie, out)
    eliminate(h, b, False, tie, out[1:])

rng = np.random.default_rng(0)
out = np.zeros((4, 4, 4))
twice(rng.normal(size=(3, 10, 10)), rng.normal(size=(3, 6, 4)), 1.0, out)
print(out.tobytes().hex())
"""
    )
    env = {**os.environ, "DRIVE_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(package)}
    env.pop("PYTHONSAFEPATH", None)
    call = [sys.executable, "-c", "import sums"]
    cold, loaded = (
        subprocess.run(call, env=env, cwd=package, check=True, capture_output=True).stdout for _ in range(2)
    )
    assert cold == loaded

"""All CUDA kernels compiled for real, without a GPU: `python tests/sim/cuda_ptx.py` prints them as JSON.

Each becomes PTX for compute capability 8.0 by Numba and NVVM; where `ptxas` is at hand (the package
nvidia-cuda-nvcc-cu12), machine code for 8.0 and 9.0, with the registers and the local memory it takes.
Needs numba-cuda with NVVM: exits with 3 and says so where there is none.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np

CAPABILITY = (8, 0)
# What the library's sine and cosine do for angles beyond 100000 rad, which no vehicle has.
HUGE_ANGLE = re.compile(r"cvt\.rn\.f64\.s64|mul\.f64 .*0d3BF921FB54442D19|cvt\.rn\.f32\.f64|\.reg \.f64")


def kernels():
    """(name, Python function, argument types) of every kernel, the types those of real input."""
    from numba.cuda import types

    from drive.eval.check.scenes import straight_map, straight_scene
    from drive.eval.perf_scenes import candidate_batch
    from drive.sim import compile_world
    from drive.sim.cuda.scenes import pack_scenes
    from drive.sim.kernels import cuda_candidates, cuda_step
    from drive.sim.kernels.lqr import lqr_settings, speed_factor
    from drive.sim.kernels.score import PDM_RULES, Scratch
    from drive.sim.kernels.score_comfort import comfort_filters
    from drive.sim.traffic import IDM, cast

    def typed(value):
        if isinstance(value, tuple):
            return types.NamedTuple([typed(v) for v in value], type(value))
        if isinstance(value, np.ndarray):
            return types.Array(getattr(types, value.dtype.name), value.ndim, "C")
        return {bool: types.boolean, int: types.int64, np.float32: types.float32}[type(value)]

    def room(*shape, dtype=np.float32):
        return np.empty(shape, dtype=dtype)

    scene = straight_scene(straight_map(), [(60.0, 0.3, 8.0)])
    world = compile_world([cast(scene, IDM)], scene.dt)
    c = candidate_batch(2)
    rows = pack_scenes([c.scene], 50, 32)
    which, settings = np.zeros(1, dtype=np.int64), lqr_settings(c.vehicle).copy()
    factor = speed_factor(40, 0.1).copy()
    scratch = Scratch(
        room(4, 41, 2), room(4, 41, 2), room(41, 2), room(1, 41, 2, dtype=np.uint32),
        room(1, 2, dtype=np.uint32),
    )  # fmt: skip
    scored = (
        c.states, which, 1, rows, comfort_filters(41), PDM_RULES, 31, scratch, room(2, 6, dtype=np.uint8),
        room(2, 8),
    )  # fmt: skip
    table = {
        "step": (
            cuda_step.step_kernel(32),
            (world.motion, world.agents, world.paths, room(1, 2, 2), room(1, 2, 5), np.float32(0.1), 20,
             True),
        ),
        "rollout": (
            cuda_candidates.rollout_kernel(),
            (c.poses, room(1, 7), which, 1, factor, settings, room(160, 2), room(40, 2), c.states),
        ),
        "rollout/controls": (
            cuda_candidates.controls_kernel(), (c.controls, room(1, 7), which, 1, settings, c.states)
        ),
        "score": (cuda_candidates.score_kernel(True), scored),
        "score without progress": (cuda_candidates.score_kernel(False), scored),
    }  # fmt: skip
    return [(name, kernel.py_func, tuple(map(typed, given))) for name, (kernel, given) in table.items()]


def assembled(ptx: str) -> dict[str, dict[str, int]]:
    """Registers, bytes of stack and of spills by compute capability; empty without `ptxas`."""
    found = [shutil.which("ptxas")]
    places = find_spec("nvidia")
    if places is not None:
        found += [
            str(p) for root in places.submodule_search_locations or () for p in Path(root).glob("*/bin/ptxas")
        ]
    tool = next((p for p in found if p), None)
    if tool is None:
        return {}
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.ptx")
        path.write_text(ptx)
        for target in ("sm_80", "sm_90"):
            done = subprocess.run(
                [tool, "-v", f"-arch={target}", "-o", str(Path(folder, "kernel.cubin")), str(path)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            out[target] = {
                what: max(int(n) for n in re.findall(pattern, done.stderr))
                for what, pattern in (
                    ("registers", r"Used (\d+) registers"),
                    ("stack", r"(\d+) bytes stack frame"),
                    ("spills", r"(\d+) bytes spill stores"),
                )
            }
    return out


def main() -> None:
    try:
        import numba_cuda  # noqa: F401
        from numba import cuda
        from numba.cuda import dispatcher
        from numba.cuda.cudadrv import nvvm

        nvvm.NVVM()
    except Exception as error:
        print(f"no NVVM: {' '.join(str(error).split()) or type(error).__name__}")
        raise SystemExit(3) from error
    # Numba asks the device for which capability to compile the functions that a kernel calls.
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=CAPABILITY)
    rows = {}
    for name, function, arguments in kernels():
        ptx, _ = cuda.compile_ptx(function, arguments, cc=CAPABILITY)
        double = [line for line in ptx.splitlines() if re.search(r"\.f64\b", line)]
        rows[name] = {
            "double": sum(HUGE_ANGLE.search(line) is None for line in double),
            **assembled(ptx),
        }
    json.dump(rows, sys.stdout, indent=1)


if __name__ == "__main__":
    main()

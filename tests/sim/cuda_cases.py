"""The CUDA twins against the CPU's and the NumPy references: `python tests/sim/cuda_cases.py [SIZE [SEED]]`.

On the GPU, or with NUMBA_ENABLE_CUDASIM=1 in Numba's simulator. Inputs are drawn anew at every run, and
results are poisoned before it. SIZE multiplies worlds and candidates (1, what the simulator can bear).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np

from drive.datasets.source import load
from drive.eval.check.scenes import straight_map, straight_scene
from drive.geometry import wrap_angle
from drive.sim import Controller, compile_world, cuda, rollout, score, step
from drive.sim.candidates import PDM_RULES
from drive.sim.cuda.device import gpu
from drive.sim.kernels import reference
from drive.sim.kernels.layout import Motion
from drive.sim.kernels.reference_rollout import rollout_reference
from drive.sim.kernels.reference_score import score_reference
from drive.sim.kernels.score import NAVSIM_RULES, SCORE_NAMES
from drive.sim.kernels.score_comfort import PDM_WINDOWS, ComfortWindows
from drive.sim.traffic import IDM, LOG, MOBIL, cast

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") == "1"
JUMPS = 0.0 if SIMULATED else 2e-3
"""Share of agents or candidates that may differ: a GPU rounds in its own way, and a rule is a threshold."""
SCENES = SimpleNamespace(**run_path(str(Path(__file__).with_name("crossroads.py"))))
FAMILIES = (("signalised_intersection", IDM), ("dense_highway", MOBIL), ("dense_merge", IDM), ("cut_in", LOG))
PROGRESS = SCORE_NAMES.index("progress")


def differ(got, want, scale):
    """Which rows of `(N, ...)` differ by more than 1e-4 of their scale (NaN or infinite in both agrees)."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        near = np.abs(got - want) <= 1e-4 * np.maximum(np.abs(want), scale)
    near |= (got == want) | (np.isnan(got) & np.isnan(want))
    return ~near.reshape(len(near), -1).all(1)


def check(what, bad):
    assert bad.mean() <= JUMPS, f"{what}: {bad.sum()} of {len(bad)} differ"
    print(f"{what}: {len(bad)} compared, {bad.sum()} differ")


def motion_differs(got: Motion, want: Motion):
    """Which agents `(W * A,)` are not where, or not what, they should be."""
    agents = want.x.size
    bad = np.zeros(agents, dtype=bool)
    for name in Motion._fields:
        a, b = getattr(got, name), getattr(want, name)
        if name == "sample":
            np.testing.assert_array_equal(a, b)
        elif a.dtype.kind in "iu":
            bad |= (a != b).ravel()
        else:
            gap = wrap_angle(a.astype(float) - b) if name == "heading" else a.astype(float) - b
            # Accelerations and yaw rates are differences over a time step.
            scale = 10.0 if name in ("x", "y", "station") else 1.0
            bad |= (np.abs(gap) > 1e-4 * np.maximum(np.abs(b), scale)).ravel()
    return bad


def worlds_step_as_on_the_cpu(rng, size):
    for family, model in FAMILIES:
        scenes = [load(f"gen/{family}/{rng.integers(1000)}") for _ in range(2 * size)]
        casts = []
        for s in scenes:
            others = np.setdiff1d(np.arange(s.tracks.num_agents), [s.ego])
            steered = {int(i): Controller.CONTROL for i in rng.choice(others, 1)}
            casts.append(cast(s, model, steered))
        world = compile_world(casts, scenes[0].dt, model.anticipate)
        shape = (world.num_worlds, world.num_agents)
        bad = []
        for skip in (3, 30):
            world = step(world, steps=skip)
            world.motion.collided[:] = 77
            # Somebody who has not come yet: it enters where the log says, if the place is free.
            world.motion.presence[:, -1] = 0
            control = rng.normal(0.0, (1.0, 0.1), (*shape, 2)).astype(np.float32)
            pose = np.stack(
                [*(getattr(world.motion, n) for n in ("x", "y", "heading", "speed", "yaw_rate"))], -1
            )
            pose = pose + rng.normal(0.0, 0.3, (*shape, 5)).astype(np.float32)
            there = cuda.upload(world)
            for n in (1, 2):
                there.step(control, pose, steps=n)
                world = step(world, control, pose, steps=n)
                bad.append(motion_differs(there.to_host().motion, world.motion))
        check(f"step {family} {model.name}, {shape[0]} worlds x {shape[1]} agents", np.concatenate(bad))


def a_step_is_the_reference_s(rng, size):
    cars = [
        (20.0 + 25.0 * k + rng.uniform(0, 8), 3.5 * rng.integers(0, 2), rng.uniform(3, 14)) for k in range(8)
    ]
    scene = straight_scene(straight_map(), cars)
    world = compile_world([cast(scene, IDM)], scene.dt)
    world.motion.offset[:] = 0.0
    world.agents.stop_station[:] = np.nan  # the reference has no drivers who stop of their own will
    bad = []
    for _ in range(3):
        want = reference.idm_step(world, 0)
        there = cuda.upload(world)
        there.step()
        world = there.to_host()
        m = world.motion
        np.testing.assert_array_equal(m.collided[0].astype(bool), reference.collisions(world, 0))
        got = np.stack([getattr(m, n)[0] for n in ("x", "y", "heading", "speed", "steering", "yaw_rate")], -1)
        bad.append(differ(got[1:], want[1:], np.array([10.0, 10.0, 1.0, 1.0, 1.0, 1.0])))
    check("step, NumPy reference", np.concatenate(bad))


def boxes_collide_as_in_the_reference(rng, size):
    scene = straight_scene(straight_map(), [(100.0 + 8 * k, 0.0, 0.0) for k in range(11)])
    world = compile_world([cast(scene, LOG)] * 2 * size, scene.dt)
    m = world.motion
    world.agents.controller[:] = Controller.CONTROL
    m.x[:], m.y[:] = rng.uniform(0, 40, m.x.shape), rng.uniform(0, 15, m.y.shape)
    m.heading[:] = rng.uniform(-np.pi, np.pi, m.heading.shape)
    m.speed[:], m.steering[:], m.collided[:] = 0.0, 0.0, 77
    there = cuda.upload(world)
    there.step()
    after = there.to_host()
    want = np.stack([reference.collisions(after, w) for w in range(after.num_worlds)])
    assert 0 < want.sum() < want.size
    check("collisions, NumPy reference", (after.motion.collided.astype(bool) != want).ravel())


def device(values):
    return gpu().to_device(values)


def poisoned(shape):
    """Room for states full of NaN."""
    return device(np.full(shape, np.nan, dtype=np.float32))


def poses_of(rng, count, samples=41):
    t = 0.1 * np.arange(samples)
    v = np.clip(rng.uniform(0, 15, (count, 1)) + rng.uniform(-4, 1.5, (count, 1)) * t, 0, None)
    k = rng.uniform(-0.05, 0.05, (count, 1)) * np.sin(t * rng.uniform(0.5, 2, (count, 1)))
    h = 0.5 + np.cumsum(v * k, 1) * 0.1
    x, y = (np.cumsum(v * f(h), 1) * 0.1 for f in (np.cos, np.sin))
    return np.stack((x, y, wrap_angle(h)), -1).astype(np.float32)


def motions_roll_out_as_in_the_reference(rng, size):
    vehicle, count = SCENES.VEHICLE, 6 * size
    poses, start = poses_of(rng, count), np.array([0.2, -0.3, 0.45, 7.0, 0.5, 0.02, 0.1], dtype=np.float32)
    scale = np.array([10.0, 10.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    for compat in ("fixed", "reference"):
        out = poisoned((count, 41, 7))
        cuda.rollout(vehicle, start, poses, compat=compat, out=out)
        want = rollout_reference(poses.astype(float), start.astype(float), vehicle, 0.1, compat)
        got = out.copy_to_host().astype(float)
        got[..., 2] = want[..., 2] + wrap_angle(got[..., 2] - want[..., 2])
        check(f"roll-out {compat}, NumPy reference", differ(got, want, scale))
    controls = rng.normal(0.0, (1.0, 0.1), (count, 40, 2)).astype(np.float32)
    starts = np.tile(start, (2, 1))
    starts[1, 3] = 3.0
    which = rng.integers(0, 2, count)
    for scene, begin in ((None, start), (which, starts)):
        out = poisoned((count, 41, 7))
        cuda.rollout(vehicle, begin, controls=controls, scene=scene, out=out)
        want = rollout(vehicle, begin, controls=controls, scene=scene)
        check("roll-out of controls, CPU", differ(out.copy_to_host(), want, scale))
    out = poisoned((2, count // 2, 41, 7))
    cuda.rollout(vehicle, device(starts), device(poses.reshape(2, -1, 41, 3)), out=out)
    want = rollout(vehicle, starts, poses.reshape(2, -1, 41, 3))
    check(
        "roll-out (scene, candidate), CPU",
        differ(out.copy_to_host().reshape(-1, 41, 7), want.reshape(-1, 41, 7), scale),
    )


def scores_are_the_reference_s(rng, size):
    """Two scenes of different numbers of agents, one map; all candidates of both in one launch."""
    count = 6 * size
    drawn = [SCENES.random_scene(int(rng.integers(1 << 30)), count, agents) for agents in (34, 12)]
    scenes = [SCENES.scene_of(*agents) for _, *agents in drawn]
    states = np.stack([SCENES.local(s) for s, *_ in drawn])
    there = cuda.upload_scenes(scenes)
    for rules, windows in ((PDM_RULES, PDM_WINDOWS), (NAVSIM_RULES, ComfortWindows())):
        mine = cuda.DeviceScores(device(np.full((2, count, len(SCORE_NAMES)), -7.0, np.float32)),
                                 device(np.full((2, count, 6), 77, np.uint8)))  # fmt: skip
        cuda.score(states, there, rules=rules, windows=windows, out=mine)
        got, want = mine.to_host(), score(states, scenes, rules=rules, windows=windows)
        bad = differ(got.values.reshape(2 * count, -1), want.values.reshape(2 * count, -1), 1.0)
        bad |= (got.comfort != want.comfort).any(-1).ravel()
        check(f"score (scene, candidate), CPU, window {rules.direction_window}", bad)
    got = cuda.score(states[0], cuda.upload_scenes(scenes[0])).to_host()
    map_, route, line = SCENES.MAP, SCENES.ROUTE, SCENES.LINE
    truth, comfort = score_reference(drawn[0][0], SCENES.VEHICLE, *drawn[0][1:], map_, route, line)
    bad = differ(got.values, truth, 1.0) | (got.comfort != comfort).any(-1)
    check("score, shapely and SciPy", bad)
    only = cuda.score(states[0], cuda.upload_scenes(scenes[0]), terms=("area", "comfort")).to_host()
    assert np.isnan(only.column("progress")).all()
    np.testing.assert_array_equal(only.column("comfort"), got.column("comfort"))


CASES = (
    worlds_step_as_on_the_cpu,
    a_step_is_the_reference_s,
    boxes_collide_as_in_the_reference,
    motions_roll_out_as_in_the_reference,
    scores_are_the_reference_s,
)


def main(size: int = 1, seed: int | None = None) -> None:
    seed = int.from_bytes(os.urandom(4)) if seed is None else seed
    print(f"seed {seed}, {'simulator' if SIMULATED else 'GPU'}")
    for case in CASES:
        case(np.random.default_rng(seed), size)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

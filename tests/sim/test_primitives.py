"""The batch primitives `rollout` and `score`: their symmetries, their buffers, and what they refuse."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

import drive.sim
from drive.errors import InputError, UnknownNameError
from drive.sim.candidates import TERMS, Agents, Rules, Scores, ScoreScene, Work, pdm_score, rollout, score
from drive.sim.kernels.score import SCORE_NAMES, pack_agents
from drive.sim.kernels.score_contacts import FORECAST_EXTRA

SCENES = SimpleNamespace(**run_path(str(Path(__file__).with_name("crossroads.py"))))
LINE, STEPS, VEHICLE = SCENES.LINE, SCENES.STEPS, SCENES.VEHICLE
local, random_scene, run, scene_of = SCENES.local, SCENES.random_scene, SCENES.run, SCENES.scene_of
PROGRESS = SCORE_NAMES.index("progress")
EXACT = [k for k in range(len(SCORE_NAMES)) if k != PROGRESS]


def same_scores(one, other):
    """Equal in all but the progress, which is a length and may differ in its last digits."""
    np.testing.assert_array_equal(one[0][:, EXACT], other[0][:, EXACT])
    np.testing.assert_allclose(one[0][:, PROGRESS], other[0][:, PROGRESS], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(one[1], other[1])


def bits(scores):
    return [array.tobytes() for array in scores]


def moved(turn, shift, mirrored=False):
    """Functions that move points `(..., 2)`, and columns x, y, heading, and vx, vy behind them if any."""
    c, s = np.cos(turn), np.sin(turn)
    matrix = np.array([[c, s], [-s, c]])
    if mirrored:
        matrix = np.diag([1.0, -1.0]) @ matrix

    def points(p):
        return p @ matrix + shift

    def rows(states, velocity):
        out = states.copy()
        out[..., :2] = points(states[..., :2])
        out[..., 2] = (-states[..., 2] if mirrored else states[..., 2]) + turn
        if velocity:
            out[..., 3:5] = states[..., 3:5] @ matrix
        elif mirrored:
            out[..., 5:7] *= -1.0
        return out

    return points, rows


@pytest.mark.parametrize("seed", [20, 21, 22])
@pytest.mark.parametrize(
    ("turn", "shift", "mirrored"),
    [
        (0.0, (64.0, -32.0), False),
        (0.7, (3.0, 5.0), False),
        (-2.4, (0.0, 0.0), False),
        (0.0, (0.0, 0.0), True),
    ],
    ids=["moved", "turned", "turned back", "mirrored"],
)
def test_scores_do_not_see_a_rigid_motion_nor_a_mirror(seed, turn, shift, mirrored):
    """Every term is even in y: traffic on the left is judged as traffic on the right is."""
    states, tracks, *agents = random_scene(seed, candidates=24)
    points, rows = moved(turn, np.array(shift), mirrored)
    there = run(
        rows(states, False), rows(tracks, True), *agents,
        roadmap=SCENES.crossroads(points, mirrored), line=points(LINE),
    )  # fmt: skip
    same_scores(run(states, tracks, *agents), there)


def test_scores_do_not_depend_on_the_origin():
    scene = random_scene(4)
    same_scores(run(*scene), run(*scene, origin=(37.0, 12.0)))


def test_the_order_of_agents_does_not_matter():
    states, tracks, valid, size, kind = random_scene(23, candidates=24)
    order = np.random.default_rng(0).permutation(len(kind))
    there = run(states, tracks[order], valid[order], size[order], kind[order])
    assert bits(run(states, tracks, valid, size, kind)) == bits(there)


def test_absent_agents_change_nothing():
    states, tracks, valid, size, kind = random_scene(24, agents=31)
    whole = run(states, tracks, valid, size, kind)
    # Forty more, never there, on top of the road; they need a second word of agents.
    more = run(
        states,
        np.concatenate((tracks, np.tile(SCENES.track(20.0, 3.5), (40, 1, 1)))),
        np.concatenate((valid, np.zeros((40, valid.shape[1]), bool))),
        np.concatenate((size, np.tile([4.0, 2.0, 1.5], (40, 1)))),
        np.concatenate((kind, np.zeros(40, np.uint8))),
    )
    assert bits(whole) == bits(more)


def test_an_agent_to_skip_is_as_good_as_absent():
    states, tracks, valid, size, kind = random_scene(25)
    agents = pack_agents(tracks, valid, size, kind)
    skipped = agents._replace(skip=(np.arange(agents.extent.shape[1]) < 20).astype(np.uint8))
    scene = scene_of(tracks, valid, size, kind)
    with_skip = type(scene)(**{n: getattr(scene, n) for n in scene.__slots__} | {"agents": skipped})
    assert bits(score(local(states), with_skip)) == bits(
        run(states, tracks[20:], valid[20:], size[20:], kind[20:])
    )


def test_a_candidate_alone_and_in_any_order_gives_the_same_bits():
    states, *agents = random_scene(2, candidates=24)
    values, comfort = run(states, *agents)
    for b in (0, 7, 23):
        assert bits(run(states[b : b + 1], *agents)) == [
            values[b : b + 1].tobytes(),
            comfort[b : b + 1].tobytes(),
        ]
    order = np.random.default_rng(1).permutation(24)
    assert bits(run(states[order], *agents)) == [values[order].tobytes(), comfort[order].tobytes()]


def poses_and_starts(seed, scenes=3, each=17):
    rng = np.random.default_rng(seed)
    t = 0.1 * np.arange(STEPS)
    v, k = rng.uniform(1, 14, (scenes, each, 1)), rng.normal(0, 0.01, (scenes, each, 1))
    h = v * k * t
    poses = np.stack((np.cumsum(v * np.cos(h), -1) * 0.1, 3.5 + np.cumsum(v * np.sin(h), -1) * 0.1, h), -1)
    starts = np.zeros((scenes, 7))
    starts[:, 1], starts[:, 3] = 3.5, rng.uniform(3, 12, scenes)
    return poses.astype(np.float32), starts.astype(np.float32)


def test_scenes_by_candidates_equal_a_flat_batch_in_any_order_and_each_scene_alone():
    poses, starts = poses_and_starts(3)
    scenes = [scene_of(*random_scene(s, agents=n)[1:]) for s, n in ((30, 20), (31, 50), (32, 0 + 6))]
    states = rollout(VEHICLE, starts, poses)
    scores = score(states, scenes)
    assert states.shape == (3, 17, STEPS, 7)
    assert scores.values.shape == (3, 17, 8)
    for k in range(3):
        alone = rollout(VEHICLE, starts[k], poses[k])
        assert alone.tobytes() == states[k].tobytes()
        assert bits(score(alone, scenes[k])) == [a[k].tobytes() for a in scores]
    scene = np.random.default_rng(4).permutation(np.repeat(np.arange(3, dtype=np.int32), 17))
    place = np.argsort(np.argsort(scene, kind="stable"))
    flat = rollout(VEHICLE, starts, np.ascontiguousarray(poses.reshape(-1, STEPS, 3)[place]), scene=scene)
    assert flat.tobytes() == states.reshape(-1, STEPS, 7)[place].tobytes()
    mixed = score(flat, scenes, scene=scene)
    assert bits(mixed) == [a.reshape(51, -1)[place].tobytes() for a in scores]
    assert scores.column("progress").shape == (3, 17)
    total, progress = pdm_score(scores.values)
    for k in range(3):
        assert pdm_score(scores.values[k])[0].tobytes() == total[k].tobytes()
    assert progress.shape == (3, 17)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_do_not_change_a_bit(threads):
    poses, starts = poses_and_starts(5, scenes=2, each=40)
    controls = np.random.default_rng(6).normal(0, 0.3, (2, 40, STEPS - 1, 2)).astype(np.float32)
    scenes = [scene_of(*random_scene(s)[1:]) for s in (40, 41)]
    states = rollout(VEHICLE, starts, poses)
    work = Work.make(STEPS, 64, threads)
    assert rollout(VEHICLE, starts, poses, work=work, threads=threads).tobytes() == states.tobytes()
    driven = rollout(VEHICLE, starts, controls=controls)
    assert rollout(VEHICLE, starts, controls=controls, threads=threads).tobytes() == driven.tobytes()
    assert bits(score(states, scenes, work=work, threads=threads)) == bits(score(states, scenes))


def test_buffers_are_written_over_and_a_second_call_allocates_next_to_nothing():
    states, *agents = random_scene(6, candidates=400)
    scene, batch, poses = scene_of(*agents), local(states), local(states)[..., :3].copy()
    work, out = Work.make(STEPS, 64), Scores.empty(400)
    for array in (*out, *work.score[0], work.speed, work.curvature):
        array.fill(99)
    driven = np.full((400, STEPS, 7), np.nan, np.float32)
    assert score(batch, scene, out=out, work=work) is out
    assert bits(out) == bits(score(batch, scene))
    assert rollout(VEHICLE, batch[0, 0], poses, out=driven, work=work) is driven
    assert driven.tobytes() == rollout(VEHICLE, batch[0, 0], poses).tobytes()
    tracemalloc.start()
    try:
        score(batch, scene, out=out, work=work)
        rollout(VEHICLE, batch[0, 0], poses, out=driven, work=work)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000  # of 650 kB that go in and out


def test_terms_leave_out_the_rest():
    states, *agents = random_scene(7)
    scene, batch = scene_of(*agents), local(states)
    whole = score(batch, scene)
    columns = {
        "area": ("drivable_area", "driving_direction"),
        "collision": ("no_at_fault_collision", "collision_time"),
        "progress": ("progress",),
        "time_to_collision": ("time_to_collision", "ttc_time"),
        "comfort": ("comfort",),
    }
    assert set(columns) == set(TERMS)
    for term, names in columns.items():
        part = score(
            batch, scene, terms=[term], out=Scores(np.zeros((12, 8), np.float32), np.ones((12, 6), np.uint8))
        )
        for name in SCORE_NAMES:
            if name in names:
                assert part.column(name).tobytes() == whole.column(name).tobytes()
            else:
                assert np.isnan(part.column(name)).all()
        assert part.comfort.any() == (term == "comfort")


def test_an_empty_batch_and_an_empty_road_are_fine():
    scene = scene_of()
    assert score(np.zeros((0, STEPS, 7), np.float32), scene).values.shape == (0, 8)
    assert rollout(VEHICLE, np.zeros(7), np.zeros((0, STEPS, 3))).shape == (0, STEPS, 7)
    alone = score(local(SCENES.drive(0.0, 3.5, 5.0)), scene)
    assert alone.values[0, :2].tolist() == [1.0, 1.0]


def test_the_primitives_are_at_hand():
    assert drive.sim.rollout is rollout
    assert drive.sim.score is score


START, POSES = np.zeros(7, np.float32), np.zeros((4, STEPS, 3), np.float32)
BATCH = np.zeros((4, STEPS, 7), np.float32)


def with_value(array, at, value):
    out = array.copy()
    out[at] = value
    return out


def read_only(array):
    array.setflags(write=False)
    return array


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "either poses or controls"),
        ({"poses": POSES, "controls": POSES[:, :, :2]}, "either poses or controls"),
        ({"poses": POSES.tolist()}, "poses must be a NumPy array, got list"),
        ({"poses": POSES[0]}, r"poses must be \(N, T, >= 3\)"),
        ({"poses": POSES[:, :2].copy()}, "3 steps or more, got 2"),
        ({"poses": POSES.astype(int)}, "poses must be float32 or float64, got int64"),
        ({"poses": POSES.astype(np.float64)}, "start must be float64, got float32"),
        ({"poses": POSES[:, ::-1]}, "contiguous"),
        ({"poses": with_value(POSES, (2, 5, 1), np.nan)}, "poses of candidate 2 at step 5: column 1 is nan"),
        ({"poses": with_value(POSES, (1, 0, 0), 6e5)}, "too far from 0 for float32"),
        ({"poses": POSES, "start": with_value(START, 3, np.inf)}, "start of scene 0: column 3 is inf"),
        ({"poses": POSES, "start": np.zeros((3, 7), np.float32)}, "got 3 for 4 candidates"),
        ({"poses": POSES, "start": np.zeros((2, 6), np.float32)}, r"start must have the shape \(any, 7\)"),
        ({"poses": POSES, "scene": np.zeros(4)}, "4 integers"),
        ({"poses": POSES, "scene": np.array([0, 0, 0, 1])}, r"scene must lie in 0 .. 0, got 0 .. 1"),
        ({"poses": POSES[None], "scene": np.zeros(4, int)}, "the first axis is the scene"),
        ({"controls": POSES}, r"controls must be \(N, T, 2\)"),
        ({"poses": POSES, "out": np.zeros((4, STEPS, 6), np.float32)}, r"must have the shape \(4, 41, 7\)"),
        ({"poses": POSES, "work": Work.make(STEPS), "threads": 2}, "1 threads; Work.make"),
        ({"poses": POSES, "work": Work.make(30)}, "made for 30 samples"),
        ({"poses": POSES, "work": Work.make(STEPS, dtype=np.float64)}, "made for float64"),
        ({"poses": POSES, "threads": 0}, "threads must be at least 1"),
        ({"poses": POSES, "dt": 0.0}, "dt must be positive"),
        ({"poses": POSES, "compat": "exact"}, "compat must be one of"),
        ({"poses": BATCH, "out": BATCH}, "out shares memory with the input"),
        ({"poses": POSES, "out": read_only(BATCH.copy())}, "out is read-only"),
    ],
)  # fmt: skip
def test_rollout_refuses(given, message):
    with pytest.raises(InputError, match=message):
        rollout(VEHICLE, **{"start": START, **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"states": BATCH[..., :6]}, r"states must be \(N, T, 7\)"),
        ({"states": BATCH.astype(np.float64)}, r"float32, got float64; .astype\('float32'\)"),
        ({"states": np.asfortranarray(BATCH)}, "np.ascontiguousarray"),
        ({"states": with_value(BATCH, (3, 40, 3), np.nan)}, "candidate 3 at step 40: column 3 is nan"),
        ({"states": with_value(BATCH, (0, 1, 0), -2e5)}, "-200000 is too far from 0"),
        ({"states": np.zeros((4, STEPS + 1, 7), np.float32)}, "for 51 steps, 9 more .*, got 50"),
        ({"states": np.zeros((4, 3, 7), np.float32)}, "more than 3 samples"),
        ({"out": Scores.empty(3)}, r"out.values must have the shape \(4, 8\)"),
        ({"work": Work.make(STEPS, 32)}, r"32 agents and 1 threads; Work.make\(41, 64, 1\)"),
        ({"terms": ["collisions"]}, "did you mean 'collision'"),
        ({"scenes": []}, "got 0 for 4 candidates"),
        ({"out": Scores(read_only(Scores.empty(4).values), Scores.empty(4).comfort)}, "values is read-only"),
        ({"rules": Rules(dt=np.float32(0.0))}, "dt must be positive"),
    ],
)  # fmt: skip
def test_score_refuses(given, message):
    scene = scene_of(*random_scene(8)[1:])
    with pytest.raises(InputError, match=message):
        score(**{"states": BATCH, "scenes": scene, **given})


def test_scenes_refuse_bad_agents():
    _, tracks, valid, size, kind = random_scene(9)
    lost = with_value(tracks, (3, 7, 0), np.nan)
    with pytest.raises(InputError, match="agent 3 has states"):
        scene_of(lost, np.ones_like(valid), size, kind)
    # Where it is not valid, nobody looks.
    states = local(random_scene(9)[0])
    hidden = valid.copy()
    hidden[3] = False
    assert bits(score(states, scene_of(lost, hidden, size, kind))) == bits(
        score(states, scene_of(tracks, hidden, size, kind))
    )
    with pytest.raises(InputError, match="valid"):
        scene_of(tracks, valid[:-1], size, kind)
    with pytest.raises(InputError, match="line"):
        scene_of(line=LINE[:1])
    good = scene_of(tracks, valid, size, kind)
    raw = {n: getattr(good, n) for n in good.__slots__}
    for wrong, message in (
        (good.agents._replace(track=with_value(good.agents.track, (0, 2, 1), np.nan)), "agents.track"),
        (good.agents._replace(penalty=good.agents.penalty[:5]), "agents.penalty of scene 0"),
        (Agents(*(a[..., :40] for a in good.agents)), "multiple of 32, got 40"),
    ):
        with pytest.raises(InputError, match=message):
            score(states, type(good)(**{**raw, "agents": wrong}))
    for name, value in (
        ("ego", good.ego[:2]),
        ("ego", good.ego.astype(float)),
        ("station", good.station[:5]),
        ("window", np.array([0, len(LINE)], np.int32)),
        ("window", np.array([-1, 5], np.int32)),
    ):
        with pytest.raises(InputError, match=f"^{name} of scene 0"):
            score(states, type(good)(**{**raw, name: value}))
    with pytest.raises(InputError, match="agent 2 has a negative size"):
        scene_of(tracks, valid, with_value(size, (2, 1), -1.0), kind)
    with pytest.raises(InputError, match="origin"):
        scene_of(tracks, valid, size, kind, origin=(np.nan, 0.0))
    # Names of lanes that look like numbers, counts from the end, and numbers of another map.
    for route in (["00"], [-1], [SCENES.MAP.num_lanes]):
        with pytest.raises(InputError, match="on_route must be indices of lanes"):
            ScoreScene.of(SCENES.MAP, route, LINE, VEHICLE, (tracks, valid, size, kind))
    with pytest.raises(UnknownNameError, match="progress"):
        score(states, good).column("progres")


def test_rules_of_python_numbers_give_the_same_bits_as_numpys():
    states, *agents = random_scene(10)
    plain = Rules(*(number.item() if hasattr(number, "item") else number for number in Rules()))
    assert [type(number) for number in plain] == [int, int, int, float, float]
    rounded = plain._replace(dt=0.1)
    assert bits(run(states, *agents, rules=rounded)) == bits(run(states, *agents))


def test_short_horizons_and_other_steps_are_scored():
    states, tracks, *agents = random_scene(10)
    short = 21
    tracks, valid = tracks[:, : short + FORECAST_EXTRA], agents[0][:, : short + FORECAST_EXTRA]
    scene = scene_of(tracks, valid, *agents[1:], samples=short)
    batch = np.ascontiguousarray(local(states)[:, :short])
    early, late = score(batch, scene).values, run(states, *random_scene(10)[1:])[0]
    when = SCORE_NAMES.index("collision_time")
    # What happens in the first two seconds is the same, however long the rest is.
    soon = late[:, when] <= 2.0
    assert soon.any()
    np.testing.assert_array_equal(early[soon, when], late[soon, when])
    assert np.isinf(early[~soon, when]).all()
    halved = score(batch, scene, rules=Rules(dt=np.float32(0.05))).values
    hit = np.isfinite(early[:, when])
    np.testing.assert_allclose(halved[hit, when], 0.5 * early[hit, when])

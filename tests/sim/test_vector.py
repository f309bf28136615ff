"""Vector worlds: what a step does and rewards, resets, seeds, vocabularies, and the Gymnasium face."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import drive
from drive.errors import InputError, UnknownNameError
from drive.sim import VectorWorld, rollout
from drive.sim.kernels.features import ROW
from drive.sim.vector import COLLISION, GOAL, OFF_ROAD, OUTCOMES, RUNNING, TIME, Rewards

REFS = ["gen/cut_in/0:3", "gen/signalised_intersection/0:2"]
STILL, KEEP, BRAKE = (np.array(a, dtype=np.float32) for a in ((0, 0), (0, 0), (-9, 0)))


@pytest.fixture(scope="module")
def scenes() -> list[Any]:
    return [*drive.load_scenarios(REFS[0]), *drive.load_scenarios([REFS[1]])]


def straight_on(speeds: Any, samples: int = 31) -> Any:
    """Trajectories `(C, samples, 3)` straight ahead at so many m/s."""
    out = np.zeros((len(speeds), samples, 3), dtype=np.float32)
    out[..., 0] = np.asarray(speeds)[:, None] * 0.1 * np.arange(samples)
    return out


def random_drive(vector: VectorWorld, steps: int = 40, seed: int = 5) -> list[Any]:
    rng = np.random.default_rng(seed)
    out = [vector.reset(1).copy()]
    for _ in range(steps):
        if vector.vocabulary is None:
            actions: Any = rng.normal(0.0, (2.0, 0.2), (vector.num_envs, 2))
        else:
            actions = rng.integers(0, len(vector.vocabulary), vector.num_envs)
        *arrays, info = vector.step(actions)
        out += [*(a.copy() for a in arrays), info["outcome"], info["scenario"]]
    return out


@pytest.mark.parametrize("actions", ["control", straight_on((0.0, 5.0, 12.0))])
def test_seeds_and_actions_decide_whatever_the_threads(scenes: list[Any], actions: Any) -> None:
    drives = [random_drive(VectorWorld.of(scenes, 7, actions=actions, threads=n)) for n in (1, 1, 2)]
    for other in drives[1:]:
        for a, b in zip(drives[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert any((a != RUNNING).any() for a in drives[0][5::6]), "nobody's episode ended"


def test_a_world_drives_as_the_loop_does(straight: Any, scenario: Any) -> None:
    """On a free straight road: 10 m/s for a second is 10 m, worth 0.1 a metre; braking ends at standstill."""
    vector = VectorWorld.of([scenario(straight(), speed=10.0)], 2)
    rewards = []
    for _ in range(10):
        seen, reward, terminated, truncated, _ = vector.step(np.stack((KEEP, BRAKE)))
        rewards.append(reward.copy())
        assert not terminated.any()
        assert not truncated.any()
    assert sum(rewards)[0] == pytest.approx(1.0, abs=1e-3)
    assert seen[0, 0] == pytest.approx(10.0)
    # 9 m/s^2 are cut to the 8 that the car can: 10 + 9.2 + 8.4 + ... m/s, each for 0.1 s.
    assert sum(rewards)[1] == pytest.approx(0.1 * 0.1 * sum(10.0 - 0.8 * k for k in range(10)), abs=1e-3)
    for _ in range(5):
        seen = vector.step(np.stack((KEEP, BRAKE)))[0]
    assert seen[1, 0] == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(vector.ego_states()[0, :4], [35.0, 0.0, 0.0, 10.0], atol=1e-3)


@pytest.mark.parametrize(
    ("cars", "length", "steering", "outcome"),
    [([(50.0, 0.0, 0.0)], 800.0, 0.0, COLLISION), ([], 800.0, -0.3, OFF_ROAD), ([], 60.0, 0.0, GOAL),
     ([], 800.0, 0.0, TIME)],
)  # fmt: skip
def test_how_episodes_end(
    straight: Any, scenario: Any, cars: Any, length: float, steering: float, outcome: int
) -> None:
    vector = VectorWorld.of([scenario(straight(length), cars)], 1, autoreset="off", traffic="log")
    total = 0.0
    for k in range(200):
        control = np.array([[0.0, steering if k < 10 else 0.0]])
        _, reward, terminated, truncated, info = vector.step(control)
        total += float(reward[0])
        if terminated[0] or truncated[0]:
            break
    assert OUTCOMES[info["outcome"][0]] == OUTCOMES[outcome]
    assert (bool(terminated[0]), bool(truncated[0])) == (outcome != TIME, outcome == TIME)
    gone = 0.1 * float(vector.ego_states()[0, 0] - 20.0)
    once = -10.0 if outcome in (COLLISION, OFF_ROAD) else 0.0
    assert total == pytest.approx(gone + once, abs=0.02)
    assert info["episode_return"][0] == pytest.approx(total, abs=1e-4)
    # The front, 4.049 m before the axle, meets the rear of the car, 2.4 m behind its middle.
    if outcome == COLLISION:
        assert vector.ego_states()[0, 0] == pytest.approx(50.0 - 2.4 - 4.049 + 0.5, abs=0.51)
    if outcome == TIME:
        assert k == 149
    # Whoever has ended gets nothing more until it is reset.
    assert vector.step(control)[1][0] == 0.0
    there = vector.ego_states()
    assert vector.step(np.array([[3.0, 0.5]]))[2][0] == terminated[0]
    np.testing.assert_array_equal(vector.ego_states()[:, :3], there[:, :3])
    vector.reset(envs=np.array([True]))
    assert vector.outcome[0] == RUNNING
    assert vector.ego_states()[0, 0] == pytest.approx(20.0)


def test_autoresets_differ_only_in_when(scenes: list[Any]) -> None:
    worlds = {mode: VectorWorld.of(scenes, 3, autoreset=mode, seed=4) for mode in ("same_step", "next_step")}
    control = np.tile(np.array([1.5, 0.4]), (3, 1))
    for k in range(300):  # noqa: B007
        same, later = (w.step(control) for w in worlds.values())
        ended = same[2] | same[3]
        np.testing.assert_array_equal(ended, later[2] | later[3])
        np.testing.assert_array_equal(same[1], later[1])
        if ended.any():
            break
        np.testing.assert_array_equal(same[0], later[0])
    assert ended.any()
    assert k > 2
    np.testing.assert_array_equal(same[4]["final_obs"][ended], later[0][ended])
    np.testing.assert_array_equal(same[4]["_final_obs"], ended)
    first = same[0][ended].copy()
    assert (first[:, 0] != later[0][ended][:, 0]).any()
    # The next action is not driven by those that ended: they give their first observation.
    seen, reward, terminated, truncated, info = worlds["next_step"].step(control)
    np.testing.assert_array_equal(seen[ended], first)
    assert not reward[ended].any()
    assert not (terminated | truncated)[ended].any()
    np.testing.assert_array_equal(info["scenario"][ended], worlds["same_step"].scenario[ended])


def test_every_environment_meets_all_scenarios(scenes: list[Any]) -> None:
    vector = VectorWorld.of(scenes, 3, seed=9)
    met = []
    for _ in scenes:
        met.append(vector.scenario.copy())
        vector.reset()
    assert (np.sort(np.array(met), axis=0) == np.arange(len(scenes))[:, None]).all()
    vector.reset(envs=np.array([2, 0]), scenarios=np.array([1, 4]))
    # The n-th scenario is for the n-th environment named.
    assert vector.scenario[[2, 0]].tolist() == [1, 4]
    for env in (0, 2):
        start = scenes[vector.scenario[env]].initial
        np.testing.assert_allclose(vector.ego_states()[env, :4], start[:4], atol=1e-4)


def test_a_vocabulary_is_tracked_as_the_roll_out_does(straight: Any, scenario: Any) -> None:
    t = 0.1 * np.arange(31)
    vocabulary = straight_on((4.0, 12.0))
    vocabulary[1, :, 1] = 0.3 * t**2
    vocabulary[1, :, 2] = np.arctan2(0.6 * t, 12.0)
    s = scenario(straight(), speed=10.0)
    vector = VectorWorld.of([s], 2, actions=vocabulary, repeat=6)
    before = vector.ego_states()
    vector.step(np.array([0, 1]))
    turned = vocabulary.astype(np.float32) + np.array([20.0, 0.0, 0.0], dtype=np.float32)
    expected = rollout(s.vehicle, before, turned, compat="fixed")
    np.testing.assert_allclose(vector.ego_states(), expected[:, 6], atol=2e-3)
    assert vector.ego_states()[0, 3] < 9.0
    assert vector.ego_states()[1, 1] > 0.01
    # A second decision goes on from the steering and the acceleration that the first one ended with.
    again = vector.ego_states()
    assert abs(again[1, 5]) > 1e-3
    vector.step(np.array([0, 0]))
    # Each begins where its ego is: shifted there, and turned by its heading.
    c, sn = np.cos(again[:, None, 2]), np.sin(again[:, None, 2])
    here = vocabulary[[0, 0]]
    moved = np.stack((again[:, None, 0] + c * here[..., 0] - sn * here[..., 1],
                      again[:, None, 1] + sn * here[..., 0] + c * here[..., 1],
                      again[:, None, 2] + here[..., 2]), axis=-1)  # fmt: skip
    expected = rollout(s.vehicle, again, np.ascontiguousarray(moved, dtype=np.float32), compat="fixed")
    np.testing.assert_allclose(vector.ego_states(), expected[:, 6], atol=2e-3)


def test_a_reward_of_ones_own(scenes: list[Any]) -> None:
    vector = VectorWorld.of(scenes, 4, reward=lambda v: -(v.column("yaw_rate") ** 2) - v.column("over_limit"))
    _, reward, *_ = vector.step(np.zeros((4, 2)))
    expected = -(vector.column("yaw_rate") ** 2) - vector.column("over_limit")
    np.testing.assert_allclose(reward, expected)
    assert Rewards(progress=0.0)(vector).max() <= 0.0
    broken = VectorWorld.of(scenes, 4, reward=lambda v: np.full(4, np.nan))
    with pytest.raises(InputError, match="the reward must give finite numbers"):
        broken.step(np.zeros((4, 2)))
    broken = VectorWorld.of(scenes, 4, reward=lambda v: np.zeros(3))
    vector.hook = lambda world: np.full(4, np.nan)
    with pytest.raises(InputError, match="the reward must give finite numbers"):
        vector.step(np.zeros((4, 2)))
    with pytest.raises(InputError, match=r"the reward must give \(4,\) numbers, got \(3,\)"):
        broken.step(np.zeros((4, 2)))


@pytest.mark.parametrize("actions", ["control", straight_on((12.0,))])
def test_an_episode_that_ends_within_an_action_is_told_as_at_its_end(actions: Any, scenes: list[Any]) -> None:
    """Whatever `repeat` is and whoever drives on beside it."""
    seen = []
    for repeat, n in ((1, 1), (7, 1), (7, 3)):
        vector = VectorWorld.of(scenes, n, actions=actions, repeat=repeat, autoreset="same_step")
        vector.reset(scenarios=np.array([0, 4, 3])[:n])
        info: dict[str, Any] = {"outcome": np.zeros(n)}
        while info["outcome"][0] == RUNNING:
            if vector.vocabulary is None:
                action: Any = np.tile(np.array([-1.0, 0.0]), (n, 1))
                action[0] = (0.0, 0.15)
            else:
                action = np.zeros(n, dtype=np.int64)
            *_, info = vector.step(action)
        seen.append((info["final_obs"][0], info["outcome"][0], info["episode_return"][0]))
    for observation, outcome, total in seen[1:]:
        np.testing.assert_array_equal(observation, seen[1][0])
        assert outcome == seen[1][1]
        assert total == seen[1][2]
    if isinstance(actions, str):  # the tracker plans anew with each action
        np.testing.assert_allclose(seen[1][0], seen[0][0], atol=1e-3)
        assert seen[1][2] == pytest.approx(seen[0][2], abs=1e-4)


def test_controls_are_cut_to_the_limits_of_the_own_vehicle(straight: Any, scenario: Any) -> None:
    """Whatever the others of the batch can do."""
    quick = scenario(straight(), speed=10.0)
    slow = replace(quick, vehicle=replace(quick.vehicle, max_steering_rate=0.4, max_acceleration=1.0))
    vector = VectorWorld.of([slow, quick], 2)
    vector.reset(scenarios=np.array([0, 1]))
    vector.step(np.full((2, 2), 9.0))
    assert vector.high.tolist() == [quick.vehicle.max_acceleration, quick.vehicle.max_steering_rate]
    np.testing.assert_allclose(vector.ego_states()[:, 5], 0.1 * np.array((0.4, vector.high[1])), atol=1e-6)
    np.testing.assert_allclose(
        vector.ego_states()[:, 3], 10.0 + 0.1 * np.array((1.0, vector.high[0])), atol=1e-5
    )


def test_bad_settings_and_actions_are_refused(scenes: list[Any], straight: Any, scenario: Any) -> None:
    vector = VectorWorld.of(scenes[:1], 2)
    for actions, message in (
        (np.zeros(2), r"of the shape \(2, 2\), got float64 \(2,\)"),
        (np.array([["a", "b"]] * 2), "must be numbers"),
        ([[0.0, 0.0], [0.0]], "rows of equal length"),
        (np.array([[0.0, 0.0], [np.nan, 0.0]]), "controls of environment 1: column 0 is nan"),
    ):
        with pytest.raises(InputError, match=message):
            vector.step(actions)
    with pytest.raises(InputError, match="envs must be a mask"):
        vector.reset(envs=np.array([5]))
    with pytest.raises(InputError, match="each environment once"):
        vector.reset(envs=np.array([1, 1]))
    with pytest.raises(InputError, match="a seed must be a whole number, at least 0, got -1"):
        vector.reset(-1)
    with pytest.raises(UnknownNameError, match="did you mean 'progress'"):
        vector.column("progres")
    with pytest.raises(InputError, match="scenarios must be 2 numbers from 0 to 0"):
        vector.reset(scenarios=np.array([0, 1]))
    chosen = VectorWorld.of(scenes[:1], 2, actions=straight_on((3.0,)))
    with pytest.raises(InputError, match="by integers"):
        chosen.step(np.zeros(2))
    with pytest.raises(InputError, match="trajectories 0 to 0, got 0 to 1"):
        chosen.step(np.array([0, 1]))
    wrong = straight_on((3.0,)) + np.float32(1.0)
    for settings, message in (
        ({"actions": "pedals"}, "actions are 'control' or trajectories"),
        ({"actions": straight_on((3.0,)).astype(float)}, "actions must be float32"),
        ({"actions": straight_on((3.0,), 4), "repeat": 5}, "6 samples of each"),
        ({"actions": wrong}, "begins at the ego"),
        ({"actions": straight_on((np.nan,))}, "must be finite"),
        ({"autoreset": "never"}, "autoreset must be one of next_step, same_step, off"),
        ({"repeat": 0}, "repeat must be a whole number, at least 1, got 0"),
        ({"repeat": 1.5}, "repeat must be a whole number, at least 1, got 1.5"),
        ({"spacing": 2.5}, "a whole number, at least 1, got 2.5"),
        ({"seed": -1}, "a seed must be a whole number"),
        ({"reward": "progress"}, "a reward is a function of the vector world, got str"),
    ):
        with pytest.raises(InputError, match=message):
            VectorWorld.of(scenes[:1], 1, **settings)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError):
        VectorWorld.of(scenes[:1], 1, traffic="nobody")
    with pytest.raises(InputError, match="at least one scenario"):
        VectorWorld.of([])
    with pytest.raises(InputError, match=r"num_envs must be a whole number, at least 1, got 2\.5"):
        VectorWorld.of(scenes[:1], 2.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="named by a text or a path, got int"):
        VectorWorld.of([3])  # type: ignore[list-item]
    with pytest.raises(InputError, match="named by a text or a path, got Scenario"):
        drive.load_scenarios(scenes)
    with pytest.raises(InputError, match=r"a step of 0.05 s, 'gen/cut_in/0' one of 0.1"):
        VectorWorld.of([scenes[0], scenario(straight(), dt=0.05)])


class TestGymnasium:
    """The adapters, by Gymnasium's own checks and wrappers."""

    @pytest.fixture(autouse=True)
    def _gymnasium(self) -> None:
        pytest.importorskip("gymnasium")

    @pytest.mark.filterwarnings("ignore:.*For Box action spaces, we recommend using a symmetric")
    @pytest.mark.filterwarnings("ignore:.*A Box observation space m[a-z]+ value is -?infinity")
    @pytest.mark.parametrize("actions", ["control", straight_on((0.0, 8.0))])
    def test_the_single_environment_passes_the_checker(self, scenes: list[Any], actions: Any) -> None:
        from gymnasium.utils.env_checker import check_env

        from drive.sim.gym import DriveEnv

        env = DriveEnv(scenes, actions=actions, repeat=2)
        check_env(env, skip_render_check=True)
        _, info = env.reset(options={"scenario": 2})
        assert info["scenario"] == 2

    @pytest.mark.parametrize("mode", ["next_step", "same_step"])
    def test_wrappers_count_episodes_as_the_world_does(self, scenes: list[Any], mode: str) -> None:
        from gymnasium.wrappers.vector import RecordEpisodeStatistics

        from drive.sim.gym import DriveVectorEnv

        inner = DriveVectorEnv(scenes, 4, autoreset=mode)
        env = RecordEpisodeStatistics(inner)
        seen, _ = env.reset(seed=3)
        assert seen in env.observation_space
        env.action_space.seed(0)
        ends = 0
        for _ in range(120):
            seen, _, terminated, truncated, info = env.step(env.action_space.sample())
            assert seen in env.observation_space
            done = terminated | truncated
            if done.any():
                ends += int(done.sum())
                returned = info["episode_return"][done]
                np.testing.assert_allclose(info["episode"]["r"][done], returned, atol=1e-3)
        assert ends > 3

    def test_it_steps_as_as_many_single_environments(self, scenes: list[Any]) -> None:
        from drive.sim.gym import DriveEnv, DriveVectorEnv

        many, one = DriveVectorEnv(scenes, 3), DriveEnv(scenes)
        many.reset(seed=1, options={"scenarios": np.array([4, 0, 2])})
        one.reset(seed=1, options={"scenario": 0})
        assert many.single_observation_space.shape == (ROW,)
        held = None
        for k in range(30):
            action = np.array([0.5 - 0.05 * k, 0.01], dtype=np.float32)
            seen, reward, terminated, *_ = many.step(np.tile(action, (3, 1)))
            alone = one.step(action)
            np.testing.assert_array_equal(seen[1], alone[0])
            assert (reward[1], bool(terminated[1])) == (np.float32(alone[1]), alone[2])
            # What was given earlier is not written over.
            if held is not None:
                assert (held != seen).any()
            held = seen
            if terminated[1]:
                break
        assert k > 5

"""The learned forecaster: what it is told, how it drives others on, how it is trained, and the contract."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from drive.datasets import source  # noqa: E402
from drive.errors import InputError, UnknownNameError  # noqa: E402
from drive.eval.training.collect import Collection, driven_moments  # noqa: E402
from drive.eval.training.forecasts import differences, foreseen, table  # noqa: E402
from drive.eval.training.make import make_data  # noqa: E402
from drive.forecast import ConstantVelocity, Forecaster  # noqa: E402
from drive.geometry import from_frame, wrap_angle  # noqa: E402
from drive.nn.fit import FitSettings  # noqa: E402
from drive.nn.recipe import TrainingRun  # noqa: E402
from drive.nn.store import DataRequest  # noqa: E402
from drive.nn.weights import Card, save_weights  # noqa: E402
from drive.planner import Observation  # noqa: E402
from drive.registry import load_forecaster  # noqa: E402
from drive.sim.forecast.learned import Learned  # noqa: E402
from drive.sim.forecast.movers import EVERY, KNOTS, LAGS, OWN, followed, frames, met, told  # noqa: E402
from drive.sim.forecast.net import ARCHITECTURE, Forecast, NetSettings, driven  # noqa: E402
from drive.sim.forecast.recipe import RECIPE, TrainConfig  # noqa: E402
from drive.vehicle import AgentKind  # noqa: E402

PAST, DT = 16, 0.1
REQUEST = DataRequest(
    families=("cut_in",), scenes=1, every=1.0, twins=0.0, displaced=0.0, near=0, random=0, sensors=("movers",)
)


def observation(agents: Any, kinds: Any = None, ego: Any = (0.0, 0.0, 0.0, 5.0), gain: Any = None) -> Any:
    """Agents `(A, 5)` whose speeds changed by `gain (A,)` m/s^2 along their courses; all were always seen."""
    now = np.asarray(agents, dtype=np.float64).reshape(-1, 5)
    count = len(now)
    gain = np.zeros(count) if gain is None else np.asarray(gain, dtype=np.float64)
    back = DT * np.arange(PAST - 1, -1, -1)
    speed = np.hypot(now[:, 3], now[:, 4])
    way = now[:, 3:] / np.maximum(speed, 1e-9)[:, None]
    then = speed[:, None] - gain[:, None] * back
    past = np.repeat(now[:, None], PAST, 1)
    past[..., :2] -= way[:, None] * (0.5 * (speed[:, None] + then) * back)[..., None]
    past[..., 3:] = way[:, None] * then[..., None]
    whole = np.zeros(7)
    whole[:4] = ego
    return Observation(
        time=3.0, step=30, ego=whole, ego_history=np.tile(whole, (PAST, 1)), agents=now, agent_history=past,
        agent_history_valid=np.ones((count, PAST), dtype=np.bool_),
        agent_size=np.tile((4.5, 1.8, 1.5), (count, 1)),
        agent_kind=np.zeros(count, np.uint8) if kinds is None else np.asarray(kinds, np.uint8),
        agent_id=np.arange(1, count + 1), agent_valid=np.ones(count, dtype=np.bool_),
        existence=np.ones(count), covariance=np.zeros((count, 3, 3)),
        occlusion_edges=np.zeros((0, 2, 2)), signals=np.zeros(0, np.uint8), route_progress=np.zeros(2),
    )  # fmt: skip


def test_each_agent_is_told_its_past_and_its_neighbours_as_it_sees_them() -> None:
    north = math.pi / 2
    o = observation([[0.0, 50.0, north, 0.0, 10.0], [3.0, 70.0, north, 0.0, 8.0]], gain=[-2.0, 0.0])
    own, others, known = told(o, np.array([0]))
    assert own.shape == (1, OWN)
    assert np.allclose(own[0, :5], (10.0, 0.0, 4.5, 1.8, 0.0))
    assert own[0, 5 + AgentKind.VEHICLE] == 1.0
    begin = 5 + len(AgentKind)
    for k, lag in enumerate(LAGS):  # it braked with 2 m/s^2
        expected = (-(10.0 * lag + lag**2), 0.0, 0.0, 10.0 + 2.0 * lag, 0.0, 1.0)
        assert np.allclose(own[0, begin + 6 * k : begin + 6 * k + 6], expected)
    # The other is 20 m ahead, 3 m to the right, 2 m/s slower; the ego stands behind, athwart.
    assert known[0].tolist() == [True, True] + [False] * 6
    assert np.allclose(others[0, 0], (20.0, -3.0, 1.0, 0.0, -2.0, 0.0, 4.5, 1.8, 0.0))
    assert others[0, 1, 8] == 1.0
    assert np.allclose(others[0, 1, 2:6], (0.0, -1.0, -10.0, -5.0), atol=1e-9)
    assert not others[0, 2:].any()


def test_what_is_told_does_not_know_where_the_world_lies() -> None:
    rng = np.random.default_rng(0)
    agents = np.column_stack(
        (rng.uniform(-40, 40, (5, 2)), rng.uniform(-3, 3, 5), rng.uniform(-9, 9, (5, 2)))
    )
    o = observation(agents, gain=rng.uniform(-2, 2, 5))
    pose = np.array((-300.0, 40.0, 2.1))

    def moved(states: Any) -> Any:
        out = np.array(states)
        out[..., :3] = from_frame(out[..., :3], pose)
        out[..., 3:5] = from_frame(states[..., 3:5], np.array((0.0, 0.0, 2.1)))
        return out

    ego = o.ego.copy()
    ego[:3] = from_frame(o.ego[:3], pose)
    elsewhere = replace(o, agents=moved(o.agents), agent_history=moved(o.agent_history), ego=ego)
    rows = np.arange(5)
    for a, b in zip(told(o, rows), told(elsewhere, rows), strict=True):
        assert np.allclose(a, b, atol=1e-9)


def test_who_is_driven_on_brakes_to_a_stop_and_no_further() -> None:
    def go(velocity: Any, gain: float, turn: float) -> Any:
        whole = torch.full((1, KNOTS), 1.0, dtype=torch.float64)
        return driven(torch.tensor([velocity], dtype=torch.float64), gain * whole, turn * whole)[0].numpy()

    t = EVERY * np.arange(1, KNOTS + 1)
    assert np.allclose(go((6.0, 0.0), 0.0, 0.0), np.column_stack((6.0 * t, 0 * t, 0 * t)))
    assert np.allclose(go((0.0, 6.0), 0.0, 0.0), np.column_stack((0 * t, 6.0 * t, 0 * t)), atol=1e-9)
    stopped = go((4.0, 0.0), -4.0, 0.0)  # stands after 1 s and 2 m
    assert stopped[0, 0] == pytest.approx(1.5)
    assert np.allclose(stopped[1:, 0], 2.0)
    assert np.allclose(go((0.0, 0.0), -1.0, 0.5), 0.0, atol=1e-6)
    round_ = go((10.0, 0.0), 0.0, 0.42)
    rate = 0.42 * 10.0 / 10.5
    assert np.allclose(round_[:, 2], rate * t)
    radius = 10.0 / rate
    assert np.allclose(np.hypot(round_[:, 0], round_[:, 1] - radius), radius, atol=0.01)


@pytest.fixture
def untrained(tmp_path: Path) -> Learned:
    save_weights(tmp_path / "f.safetensors", Forecast(NetSettings(8, 4)), Card(
        recipe="forecaster", architecture=ARCHITECTURE, config={"model": {"hidden": 8, "others": 4}},
    ))  # fmt: skip
    return load_forecaster(f"learned:{tmp_path / 'f.safetensors'}")  # type: ignore[return-value]


def test_who_has_learnt_nothing_says_that_all_go_on(untrained: Learned) -> None:
    o = observation([[10.0, 5.0, 0.4, 7.0, 3.0], [-9.0, 1.0, 1.0, 0.0, 0.0]])
    times = o.time + np.array((0.0, 0.3, 2.0, 4.0, 6.0))
    found, plain = untrained.forecast(o, times), ConstantVelocity().forecast(o, times)
    assert np.allclose(found.mean, plain.mean, atol=1e-4)


@pytest.mark.parametrize("name", ["constant_velocity", "steady", "learned"])
def test_forecasters_keep_the_contract(name: str) -> None:
    forecaster = load_forecaster(name)
    assert isinstance(forecaster, Forecaster)
    agents = [[20.0, 3.0, 3.1, -8.0, 0.0], [5.0, -2.0, 0.0, 0.0, 0.0], [9.0, 9.0, 0.0, 1.0, 1.0]]
    o = observation(
        agents, kinds=[AgentKind.VEHICLE, AgentKind.STATIC, AgentKind.PEDESTRIAN], gain=[-1, 0, 0]
    )
    o.agent_history_valid[2, :-1] = False
    before = o.agents.copy()
    times = o.time + np.array((0.0, 0.5, 1.3, 4.0, 5.5))
    found = forecaster.forecast(o, times)
    assert found.mean.shape == (3, 1, 5, 3)
    assert found.covariance.shape == (3, 1, 5, 2, 2)
    assert np.isfinite(found.mean).all()
    assert np.allclose(found.mean[:, 0, 0], o.agents[:, :3], atol=1e-5)
    assert (np.linalg.eigvalsh(found.covariance) > -1e-9).all()
    assert np.allclose(found.mean[1, 0, :, :2], before[1, :2])
    assert np.array_equal(o.agents, before)
    nobody = forecaster.forecast(observation(np.zeros((0, 5))), times)
    assert nobody.mean.shape == (0, 1, 5, 3)
    with pytest.raises(InputError, match="before"):
        forecaster.forecast(o, times - 1.0)


def test_the_shipped_one_foresees_less_way_and_is_less_sure_the_harder_somebody_brakes() -> None:
    agents = [[0.0, 0.0, 0.0, 9.0, 0.0], [28.0, 0.0, 0.0, 0.0, 0.0]]
    ways, spreads = [], []
    for gain in (0.0, -1.0, -2.5, -4.0):
        o = observation(agents, ego=(0.0, -50.0, 0.0, 5.0), gain=[gain, 0.0])
        found = load_forecaster("learned").forecast(o, o.time + np.array((4.0,)))
        ways.append(found.mean[0, 0, 0, 0])
        spreads.append(found.covariance[0, 0, 0, 0, 0])
        assert found.covariance[0, 0, 0, 0, 0] > found.covariance[0, 0, 0, 1, 1]
    assert ways[0] < 38.0  # at constant velocity 36 m
    assert all(more - less > 2.0 for more, less in pairwise(ways))
    assert spreads == sorted(spreads)


def test_unknown_forecasters_are_named() -> None:
    with pytest.raises(UnknownNameError):
        load_forecaster("crystal_ball")
    with pytest.raises(InputError, match="no weights"):
        load_forecaster("learned:nowhere.safetensors")
    with pytest.raises(InputError, match="no variants"):
        load_forecaster("steady:fast")


def test_a_moment_tells_what_became_of_agents() -> None:
    scenario = source.load("gen/cut_in/10000")
    request = replace(REQUEST, sensors=())
    pupil, moments = driven_moments(scenario, Collection(request), np.random.default_rng(0))
    from drive.sim.forecast.movers import sensed

    o, run = moments[2].observation, pupil.run
    found = sensed(o, run)
    rows, which = met(o, followed(o), run)
    assert len(rows)
    frame = frames(o.agents[rows])
    for slot, row in enumerate(which):
        for k in range(KNOTS):
            at = o.step + 5 * (k + 1)
            assert found["movers.future_known"][slot, k] == run.agent_valid[row, at]
            place = from_frame(found["movers.future"][slot, k, :2], frame[slot])
            assert np.allclose(place, run.agents[row, at, :2], atol=1e-3)
            turned = found["movers.future"][slot, k, 2] + o.agents[rows[slot], 2]
            assert abs(wrap_angle(turned - run.agents[row, at, 2])) < 1e-4
    assert not found["movers.future_known"][len(rows) :].any()
    # Who is measured with noise is not found.
    noisy = replace(o, agents=o.agents + 0.1)
    assert not len(met(noisy, followed(noisy), run)[0])
    assert not sensed(noisy, run)["movers.future_known"].any()


def _never(*given: Any) -> Any:
    raise AssertionError("no round was asked for")


def test_from_drives_to_a_forecaster_and_its_figures(tmp_path: Path) -> None:
    train = make_data(REQUEST, tmp_path / "train")
    held = make_data(replace(REQUEST, first_seed=9000), tmp_path / "held")
    config = TrainConfig(
        fit=FitSettings(steps=150, warmup=5, lr=3e-3, ema=0.9, validate_every=50, keep="last"),
        model=NetSettings(16, 8), batch=4, held_out=8,
    )  # fmt: skip
    run = TrainingRun(tmp_path / "run", "forecaster", "cpu", 0, False, train, held, None, _never)
    path = RECIPE.train(run, config)
    before = path.read_bytes()
    path.unlink()
    assert RECIPE.train(replace(run, resume=True), config).read_bytes() == before
    asked = {"constant_velocity": ConstantVelocity(), "learned": load_forecaster(f"learned:{path}")}
    found = [foreseen("gen/cut_in/10000", REQUEST, asked)]  # which it has learnt from
    gap = {name: float(np.nanmean(values)) for name, values in found[0].gap.items()}
    assert set(gap) == {
        "constant_velocity",
        "learned",
        "constant_velocity, along lanes",
        "learned, along lanes",
    }
    assert gap["learned"] < gap["constant_velocity"]
    lines = table(found)
    assert len(lines) == 2 + 4
    assert len(differences(found)) == 2


def test_a_set_without_others_is_told() -> None:
    empty: Any = {"movers.own": np.zeros((3, 16, OWN)), "movers.future_known": np.zeros((3, 16, KNOTS), bool)}

    class Nobody:
        def __len__(self) -> int:
            return 3

        def take(self, rows: Any, names: Any) -> Any:
            return {name: empty[name][rows] for name in names}

    from drive.sim.forecast.recipe import scaled_to

    with pytest.raises(InputError, match="none"):
        scaled_to(Forecast(NetSettings(8, 4)), Nobody())  # type: ignore[arg-type]

"""What learned planners share: plans of decisions, memory, batches, fallbacks, weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from drive import load_scenario
from drive.errors import InputError, MissingWeightsError, PlanError
from drive.nn.encoders import EncoderSettings
from drive.planner import Candidates, Control, ControlKind, PlanStatus
from drive.planners.learned.decision import Decision, Memory
from drive.planners.learned.planner import LearnedPlanner, device_of, learned_spec
from drive.planners.learned.plans import densified, plan_of
from drive.planners.learned.shipped import digest_of, find_weights
from drive.sim import simulate
from drive.sim.asking import lockstep
from drive.sim.loop import driving
from drive.sim.observe import batch_observations


@dataclass
class Straight:
    """Goes on at the ego's speed plus a draw; `broken` rows of a batch give what is not finite."""

    noise: float = 0.0
    broken: tuple[float, ...] = ()
    sizes: list[int] = field(default_factory=list)

    def decide(self, batch: Any, observations: Any, memories: Any) -> list[Decision]:
        self.sizes.append(len(observations))
        assert batch.ego.shape == (len(observations), 14)
        assert batch.scene.agents.shape[0] == len(observations)
        found = []
        for row, memory in enumerate(memories):
            speed = float(batch.ego[row, 0]) + self.noise * memory.rng().normal()
            poses = np.zeros((40, 3), dtype=np.float32)
            poses[:, 0] = 0.1 * speed * np.arange(1, 41)
            if speed in self.broken:
                poses[7, 1] = np.nan
            both = Candidates(
                0.1 * np.arange(1, 41), np.stack((poses, poses + np.array([0, 1, 0]))), chosen=0
            )
            found.append(Decision(poses, candidates=both, figures={"number": float(memory.calls)}))
        return found


def planner(policy: Any) -> LearnedPlanner:
    encoder = EncoderSettings()
    return LearnedPlanner(learned_spec("straight", encoder), policy, encoder)


@pytest.fixture(scope="module")
def scene() -> Any:
    return load_scenario("gen/stop_for_lead/3")


@dataclass
class Witness:
    """A planner whose observations are kept."""

    inner: LearnedPlanner
    seen: list[Any] = field(default_factory=list)

    @property
    def spec(self) -> Any:
        return self.inner.spec

    def start(self, task: Any) -> Any:
        self.session, self.task = self.inner.start(task), task
        return self

    def plan(self, observation: Any) -> Any:
        self.seen.append(observation)
        return self.session.plan(observation)


@pytest.fixture(scope="module")
def moments(scene: Any) -> Witness:
    witness = Witness(planner(Straight()))
    simulate(scene, witness, stop=20)
    return witness


def test_a_plan_begins_with_the_ego_and_lies_where_its_frame_says(moments: Witness) -> None:
    o = replace(moments.seen[3], ego=np.array([100.0, 50.0, np.pi / 2, 4.0, 0.5, 0.1, 0.2]), time=2.0)
    poses = np.array([[1.0, 0.5, 0.1], [2.0, 1.0, 0.2]])
    control = Control(ControlKind.ACCELERATION_STEERING, np.ones((2, 2)), 0.1)
    others = Candidates(np.array([0.1, 0.2]), poses[None], {"nc": np.array([1.0])}, chosen=0)
    plan = plan_of(Decision(poses, speed=np.array([5.0, 6.0]), control=control, candidates=others), o)
    assert np.array_equal(plan.trajectory.states[0], o.ego)
    assert np.allclose(plan.trajectory.times, [2.0, 2.1, 2.2])
    # The ego looks along y: forward is up, left is towards smaller x.
    assert np.allclose(plan.trajectory.states[1:, :2], [[99.5, 51.0], [99.0, 52.0]])
    assert np.allclose(plan.trajectory.states[1:, 2], np.pi / 2 + np.array([0.1, 0.2]))
    assert np.allclose(plan.trajectory.states[1:, 3], [5.0, 6.0])
    assert plan.control is control
    assert plan.candidates is not None
    assert np.allclose(plan.candidates.times, [2.0, 2.1, 2.2])
    assert np.allclose(plan.candidates.states[0, :, :2], [[100.0, 50.0], [99.5, 51.0], [99.0, 52.0]])
    with pytest.raises(PlanError, match=r"must be \(T, 3\), got \(2, 2\)"):
        plan_of(Decision(poses[:, :2]), o)


def test_coarse_poses_are_filled_in() -> None:
    t = 0.5 * np.arange(1, 9)
    straight = np.column_stack((8.0 * t, 0 * t, 0 * t))
    poses, speed = densified(straight, 0.5, 8.0, np.full(8, 8.0))
    assert poses.shape == (40, 3)
    assert np.allclose(poses[:, 0], 0.8 * np.arange(1, 41))
    assert np.allclose(poses[:, 1:], 0.0)
    assert speed is not None
    assert np.allclose(speed, 8.0)
    # On a circle of 20 m at 6 m/s the filled-in poses lie on it as well, to a few centimetres.
    angle = 6.0 * t / 20.0
    circle = np.column_stack((20.0 * np.sin(angle), 20.0 * (1.0 - np.cos(angle)), angle))
    poses, none = densified(circle, 0.5, 6.0)
    assert none is None
    assert np.allclose(poses[4::5], circle)
    assert np.abs(np.hypot(poses[:, 0], poses[:, 1] - 20.0) - 20.0).max() < 0.05
    assert np.abs(poses[:, 2] - 6.0 * 0.1 * np.arange(1, 41) / 20.0).max() < 1e-9


def test_what_a_session_remembers(moments: Witness) -> None:
    session = planner(Straight()).start(moments.task)
    first, later = moments.seen[0], moments.seen[5]
    assert not session.memory.ahead(first)[1].any()
    session.plan(first)
    speed = float(first.ego[3])
    x, y, heading = first.ego[:3]
    # Half a second on, where the plan would have it: what lies ahead is the rest of the straight line.
    there = np.array([x + 0.5 * speed * np.cos(heading), y + 0.5 * speed * np.sin(heading), heading])
    later = replace(later, time=first.time + 0.5, ego=np.concatenate((there, first.ego[3:])))
    poses, known = session.memory.ahead(later)
    assert known.sum() == 35
    assert np.allclose(poses[known][:, 0], 0.1 * speed * np.arange(1, 36), atol=1e-4)
    assert np.allclose(poses[known][:, 1:], 0.0, atol=1e-4)
    assert session.memory.calls == 1
    draws = [Memory(seed=4, calls=k).rng().normal() for k in (0, 1, 0)]
    assert draws[0] == draws[2] != draws[1]


def test_who_is_in_the_batch_is_not_felt(scene: Any) -> None:
    scenes = [scene, load_scenario("gen/cut_in/3"), load_scenario("gen/roundabout/1")]
    alone = [simulate(s, planner(Straight(noise=0.3)), seed=5, stop=30) for s in scenes]
    policy = Straight(noise=0.3)
    one = planner(policy)
    together = lockstep([driving(s, one, seed=5, stop=30) for s in scenes])
    assert set(policy.sizes) == {3}
    for a, b in zip(alone, together, strict=True):
        assert not isinstance(b, Exception)
        assert np.array_equal(a.ego, b.ego)
        assert np.array_equal(a.plan_states, b.plan_states)
        assert a.series["plan.number"].tolist() == list(range(31))


@pytest.mark.parametrize("kind", ["raster", "image"])
def test_other_encoders_are_shown_their_pictures(kind: str, scene: Any) -> None:
    shown: list[Any] = []

    class Looks(Straight):
        def decide(self, batch: Any, observations: Any, memories: Any) -> list[Decision]:
            shown.append(batch.raster if kind == "raster" else batch.images)
            return super().decide(batch, observations, memories)

    encoder = EncoderSettings(kind=kind)
    made = LearnedPlanner(learned_spec("looks", encoder), Looks(), encoder)
    both = lockstep([driving(s, made, stop=3) for s in (scene, load_scenario("gen/cut_in/3"))])
    assert all(not isinstance(run, Exception) and run.header["failure"] is None for run in both)
    assert len(shown) == 4
    shape = (2, 8, 128, 128) if kind == "raster" else (2, 3, 96, 128, 3)
    assert all(tuple(tensor.shape) == shape and str(tensor.dtype) == "torch.uint8" for tensor in shown)
    assert all(int(tensor[row].max()) > 0 for tensor in shown for row in (0, 1))
    # Each row of the batch is its own scene's.
    assert (shown[0][0] != shown[0][1]).any()


def test_an_image_encoder_without_pictures_brakes(moments: Witness) -> None:
    encoder = EncoderSettings(kind="image")
    made = LearnedPlanner(learned_spec("blind", encoder), Straight(), encoder)
    plan = made.start(moments.task).plan(moments.seen[0])
    assert (plan.status, plan.reason) == (PlanStatus.FALLBACK, "no picture of camera 'front_left'")


def test_a_row_that_is_not_finite_or_sees_no_road_brakes_alone(moments: Witness) -> None:
    seen = [moments.seen[k] for k in (0, 5, 10)]
    lost = replace(seen[1], ego=seen[1].ego + np.array([1e5, 1e5, 0, 0, 0, 0, 0]))
    bad = float(np.float32(seen[2].ego[3]))
    made = planner(Straight(broken=(bad,)))
    sessions = [made.start(moments.task) for _ in seen]
    good, away, broken = made.plan_batch(sessions, batch_observations([seen[0], lost, seen[2]]))
    assert made.policy.sizes == [2]  # type: ignore[attr-defined]
    assert good.status is PlanStatus.OK
    assert (away.status, away.reason) == (PlanStatus.FALLBACK, "no road in sight")
    assert (broken.status, broken.reason) == (PlanStatus.FALLBACK, "the network's output is not finite")
    for plan, observation in ((away, lost), (broken, seen[2])):
        states = plan.trajectory.states
        assert np.allclose(states[0], observation.ego)
        assert states[-1, 3] == 0.0
        assert len(states) == 41
        assert (np.diff(states[:, 3]) <= 0.0).all()


def test_where_weights_are_found(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match="drive train nimble makes them"):
        find_weights("nimble", "", tmp_path)
    with pytest.raises(MissingWeightsError, match="drive train nimble-two makes them"):
        find_weights("nimble", "", tmp_path, "nimble-two")
    for name in ("a", "nimble"):
        (tmp_path / f"{name}.safetensors").write_bytes(name.encode())
    assert [p.name for p in find_weights("nimble", "", tmp_path)] == ["nimble.safetensors"]
    both = find_weights("nimble", f"a, {tmp_path / 'nimble.safetensors'}", tmp_path)
    assert [p.stem for p in both] == ["a", "nimble"]
    assert digest_of(both) != digest_of(both[::-1][:1])
    with pytest.raises(InputError, match=r"no weights 'b'; give a file .safetensors, or a, or nimble"):
        find_weights("nimble", "b", tmp_path)


def test_devices() -> None:
    assert device_of("cpu") == "cpu"
    assert device_of("auto") in ("cpu", "cuda")
    with pytest.raises(InputError, match="device 'toaster' cannot be used here"):
        device_of("toaster")

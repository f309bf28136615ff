"""Cameras in the loop: what planners are given, how often, in which mode, and what a log shows of it again."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from drive.api import load_scenario
from drive.errors import InputError, PlanError, RunLogError
from drive.eval.check.scenes import bend_scene, straight_map
from drive.eval.check.terrain_scenes import hills_scene
from drive.planner import CameraSpec, Observation, Plan, PlannerSpec, Session
from drive.runlog import RunLog
from drive.scenario import Scenario, Task
from drive.sim.loop import simulate
from drive.sim.modes import simulate_mode
from drive.sim.observe import batch_observations
from drive.sim.sensors.camera import CameraRig, Moment
from drive.sim.sensors.camera_run import png, render_run, save_png
from drive.sim.sensors.camera_views import AROUND, BACK, FRONT, VIEWS

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SMALL = replace(FRONT, width=48, height=32, intrinsics=(40.0, 40.0, 24.0, 16.0))


@dataclass
class Looker:
    """Goes straight on at its speed, and keeps what it was shown."""

    cameras: tuple[CameraSpec, ...] = (SMALL,)
    rate: float = 10.0
    needs: tuple[str, ...] = ("road",)
    seen: list[Observation] = field(default_factory=list)
    horizon: float = 4.0

    @property
    def spec(self) -> PlannerSpec:
        return PlannerSpec("looker", horizon=4.0, rate=self.rate, cameras=self.cameras, needs=self.needs)

    def start(self, task: Task) -> Session:
        return self

    def plan(self, o: Observation) -> Plan:
        self.seen.append(o)
        way = o.ego[3] * 0.1 * np.arange(1, 41)
        c, s = np.cos(o.ego[2]), np.sin(o.ego[2])
        return Plan.from_poses(
            o, np.column_stack((o.ego[0] + way * c, o.ego[1] + way * s, np.full(40, o.ego[2])))
        )


def test_a_log_shows_again_bit_for_bit_what_the_planner_was_shown(tmp_path: Path) -> None:
    planner = Looker((SMALL, replace(AROUND, width=96, height=24, intrinsics=(15.3, 15.3, 48.0, 12.0))))
    run = simulate(bend_scene(), planner, stop=30)
    again = RunLog.load(run.save(tmp_path / "a.drive.npz"))
    for camera in planner.cameras:
        frames = list(render_run(again, camera))
        assert len(frames) == len(planner.seen) == 31
        for frame, observation in zip(frames, planner.seen, strict=True):
            shown = observation.images[camera.name]
            assert shown.shape == (1, camera.height, camera.width, 3)
            assert shown.dtype == np.uint8
            assert np.array_equal(shown[0], frame)
        # The world moves.
        assert len({frame.tobytes() for frame in frames}) > 25
    some = list(render_run(again, SMALL, [30, 3]))
    assert np.array_equal(some[1], planner.seen[3].images["front"][0])
    with pytest.raises(InputError, match="has no sample 31"):
        list(render_run(again, SMALL, [31]))


def test_pictures_come_at_the_cameras_own_rate_with_their_history() -> None:
    fast = replace(SMALL, name="fast", rate=5.0, frames=3)
    slow = replace(SMALL, name="slow", rate=2.0, frames=2)
    each, planner = Looker(), Looker((fast, slow), rate=10.0 / 3.0)
    simulate(bend_scene(), each, stop=21)
    run = simulate(bend_scene(), planner, stop=21)
    assert [o.step for o in planner.seen] == [0, 3, 6, 9, 12, 15, 18, 21]
    by_step = {o.step: o.images["front"][0] for o in each.seen}
    frames = list(render_run(run, SMALL))
    assert np.array_equal(frames[9], planner.seen[3].images["fast"][-1]) is False
    for o in planner.seen:
        # Pictures at 0, 2, 4 ... and at 0, 5, 10 ...; before the first one, the first.
        latest = o.step - o.step % 2
        for k, at in enumerate((latest - 4, latest - 2, latest)):
            assert np.array_equal(o.images["fast"][k], frames[max(at, 0)]), (o.step, at)
        latest = o.step - o.step % 5
        for k, at in enumerate((latest - 5, latest)):
            assert np.array_equal(o.images["slow"][k], frames[max(at, 0)]), (o.step, at)
    assert np.array_equal(by_step[0], frames[0])


def test_a_planner_may_write_into_its_pictures_and_the_next_ones_are_right() -> None:
    class Vandal(Looker):
        def plan(self, o: Observation) -> Plan:
            plan = super().plan(replace(o, images={k: v.copy() for k, v in o.images.items()}))
            o.images["front"][:] = 0
            return plan

    camera = (replace(SMALL, frames=2),)
    good, bad = Looker(camera), Vandal(camera)
    for planner in (good, bad):
        simulate(bend_scene(), planner, stop=5)
    for one, other in zip(good.seen, bad.seen, strict=True):
        assert np.array_equal(one.images["front"], other.images["front"])


def test_without_cameras_there_are_no_pictures(scenario: Callable[..., Scenario]) -> None:
    planner = Looker(())
    simulate(scenario(straight_map()), planner, stop=3)
    assert all(o.images == {} for o in planner.seen)


def test_open_and_pseudo_modes_show_pictures_too() -> None:
    scene = load_scenario("gen/cut_in/3")
    for mode in ("open", "pseudo"):
        planner = Looker((replace(SMALL, frames=2, rate=2.0),))
        run = simulate_mode(mode, scene, planner, traffic="log")
        assert run.header["failure"] is None
        assert planner.seen
        for o in planner.seen:
            images = o.images["front"]
            assert images.shape == (2, 32, 48, 3)
            # What the ego has seen at this sample, going where the recorded driver went.
            latest = o.step - o.step % 5
            frames = render_run(run, SMALL, [max(latest - 5, 0), latest])
            if mode == "open" or o.step == planner.seen[0].step:
                assert all(np.array_equal(a, b) for a, b in zip(images, frames, strict=True))


def test_batches_keep_their_pictures() -> None:
    planner = Looker((SMALL, replace(SMALL, name="back", frames=2)))
    simulate(bend_scene(), planner, stop=4)
    batch = batch_observations(planner.seen)
    assert batch.images["front"].shape == (5, 1, 32, 48, 3)
    for k, o in enumerate(planner.seen):
        assert batch[k].images.keys() == o.images.keys()
        assert all(np.array_equal(batch[k].images[name], o.images[name]) for name in o.images)
    plain = [replace(o, images={}) for o in planner.seen]
    assert batch_observations(plain).images == {}
    with pytest.raises(InputError, match="the same cameras"):
        batch_observations([planner.seen[0], *plain])


def test_another_tracks_driver_sees_the_ego_and_not_itself(scenario: Callable[..., Scenario]) -> None:
    # It drives 20 m behind the ego, or alone.
    camera = replace(SMALL, intrinsics=(80.0, 80.0, 24.0, 16.0))
    behind, alone = Looker((camera,)), Looker((camera,))
    near = scenario(straight_map(), [(0.5, 0.0, 10.0)], start=20.0)
    far = scenario(straight_map(), [(0.5, 0.0, 10.0)], start=600.0)
    simulate(near, Looker(()), drivers={"car1": behind}, stop=1)
    simulate(far, Looker(()), drivers={"car1": alone}, stop=1)
    one, other = (p.seen[0].images["front"][0].astype(int) for p in (behind, alone))
    rows, columns = np.nonzero(np.abs(one - other).max(-1) > 20)
    # The ego's rear is 1.9 m wide and about 17 m away: 9 pixels around the middle column.
    assert 6 <= np.ptp(columns) + 1 <= 13
    assert abs(columns.mean() - 23.5) < 1.5


def test_what_hides_agents_from_the_list_does_not_take_them_out_of_the_picture() -> None:
    planners = [Looker(), Looker()]
    simulate(bend_scene(), planners[0], stop=2)
    simulate(bend_scene(), planners[1], stop=2, visibility="line_of_sight:5", detection="flicker=1,near=0")
    assert [int(p.seen[-1].agent_valid.sum()) for p in planners] == [3, 1]
    for a, b in zip(planners[0].seen, planners[1].seen, strict=True):
        assert np.array_equal(a.images["front"], b.images["front"])


def test_cameras_on_terrain_are_refused() -> None:
    with pytest.raises(PlanError, match="asks for cameras, which see roads"):
        simulate(hills_scene(), Looker(needs=("terrain",)))


def test_brake_lights_follow_the_log(scenario: Callable[..., Scenario]) -> None:
    scene = scenario(straight_map(), [(40.0, 0.0, 8.0)])
    states = scene.tracks.states.copy()
    states[1, 5:, 3] = 8.0 - 2.0 * 0.1 * np.arange(states.shape[1] - 5)
    states[1, 12:, 3] = states[1, 12, 3]
    from drive.sim.observe import Record

    record = Record(states.swapaxes(0, 1), scene.tracks.valid.T.copy(), scene.signals.copy())
    lit = [bool(Moment.of(record, k, scene.dt).braking[1]) for k in range(15)]
    assert lit == [False] * 6 + [True] * 7 + [False] * 2


def test_a_log_that_does_not_fit_is_refused() -> None:
    run = simulate(bend_scene(), Looker(()), stop=3)
    assert run.roadmap is not None
    broken = replace(run, signals=np.zeros((7, len(run.times)), dtype=np.uint8))
    with pytest.raises(RunLogError, match="states of 7 signals, its map has 1"):
        next(render_run(broken, SMALL))
    with pytest.raises(InputError, match="cameras see roads"):
        next(render_run(replace(run, roadmap=None), SMALL))
    agents = run.agents.copy()
    agents[0, 2] = np.nan
    odd = replace(run, agents=agents, agent_kind=np.full(len(agents), 99, dtype=np.uint8))
    assert len(list(render_run(odd, SMALL))) == 4


def test_a_png_is_what_others_read(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    data = png(image)
    # By hand: signature, then chunks of length, name, data, CRC.
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(name + body)
        chunks[name], at = body, at + 12 + size
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (7, 5)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(5, 22)
    assert not rows[:, 0].any()
    assert np.array_equal(rows[:, 1:].reshape(5, 7, 3), image)
    path = save_png(tmp_path / "deep" / "a.png", image)
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    with pillow.open(path) as opened:
        assert np.array_equal(np.asarray(opened), image)


@pytest.mark.parametrize(
    "ref",
    [
        "gen/unprotected_left/1000",
        "gen/occluded_pedestrian/3",
        "gen/signalised_intersection/5",
        "commonroad/recorded/USA_Lanker-1_1_T-1.xml",
        "carla_opendrive/Town03_2019.xodr",
    ],
)
def test_scenes_of_all_sorts_can_be_seen(ref: str) -> None:
    if not ref.startswith("gen/"):
        if not (DATA / ref).exists():
            pytest.skip("the recorded scenes are not here")
        ref = str(DATA / ref)
    scene = load_scenario(ref)
    high = replace(FRONT, name="high", pose=(0.0, 0.0, 60.0, 0.0, np.pi / 2.0, 0.0))
    specs = (*VIEWS, BACK, AROUND, high)
    t = scene.tracks
    rig = CameraRig.of(specs, scene.roadmap, t.size, t.kind, scene.ego)
    for k in (0, scene.num_steps):
        now = Moment(t.states[:, k], t.valid[:, k], np.zeros(t.num_agents, np.bool_), scene.signals[:, k])
        pose = scene.initial[:3] if k == 0 else t.rear_axle_poses(scene.ego)[k]
        images = [rig.shoot(which, pose, now) for which in range(len(specs))]
        for spec, image in zip(specs, images, strict=True):
            assert image.shape == (spec.height, spec.width, 3)
            assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
    # From above, the ego stands on grey ground: no colour is much stronger than another.
    alone = replace(now, present=np.zeros(t.num_agents, np.bool_))
    from_above = rig.shoot(len(specs) - 1, scene.initial[:3], alone).astype(int)
    middle = from_above[46:50, 62:66].reshape(-1, 3)
    assert np.ptp(middle, axis=1).max() < 16

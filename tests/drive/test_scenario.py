"""Scenarios: what is refused, what the content hash sees, and that they cannot be changed."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from drive.errors import ScenarioError
from drive.roadmap import LaneSpec, RoadMapBuilder
from drive.scenario import (
    Expert,
    Goal,
    Provenance,
    Route,
    Scenario,
    SignalState,
    Task,
    Tracks,
    tracks_from_rows,
)
from drive.terrain import Terrain
from drive.vehicle import AgentKind, RoverParams, VehicleParams

N = 11  # samples of one second at 0.1 s


def road(width=4.0, signal="s1"):
    at = np.linspace(0, 100, 11)
    builder = RoadMapBuilder()
    left, right = (np.stack((at, at * 0 + side * width / 2), -1) for side in (1, -1))
    builder.add(LaneSpec("a", left, right, signal=signal))
    return builder.build()


def moving(x0, speed):
    states = np.zeros((N, 5))
    states[:, 0] = x0 + speed * 0.1 * np.arange(N)
    states[:, 3] = speed
    return states


def tracks():
    valid = np.ones(N, dtype=bool)
    late = valid & (np.arange(N) > 4)
    return tracks_from_rows(
        [
            ("ego", AgentKind.VEHICLE, (5.0, 2.0, 1.5), moving(0, 10), valid),
            ("walker", AgentKind.PEDESTRIAN, (0.5, 0.5, 1.8), moving(50, 1), late),
        ]
    )


def scenario(**changes):
    fields = {
        "id": "test/1",
        "dt": 0.1,
        "duration": 1.0,
        "environment": road(),
        "tracks": tracks(),
        "ego": 0,
        "initial": np.array([0.0, 0, 0, 10, 0, 0, 0]),
        "vehicle": VehicleParams(),
        "route": Route(
            (0,), (0,), np.array([[0.0, 0], [100, 0]]), Goal(np.array([90.0, 0])), ((50.0, "left"),)
        ),
        "expert": Expert(np.zeros((N, 7)), "human"),
        "signals": np.full((1, N), SignalState.GREEN),
    }
    return Scenario(**{**fields, **changes})


def test_samples_are_one_more_than_steps():
    s = scenario()
    assert s.num_steps == 10
    assert s.times == pytest.approx(np.linspace(0, 1, 11))
    assert s.signals.dtype == np.uint8


def test_tracks_from_rows_hide_what_is_not_valid_and_place_rear_axles():
    t = tracks()
    assert not t.states[1, :5].any()
    assert t.states[1, 5, 0] == pytest.approx(50.5)
    assert t.rear_to_centre.tolist() == pytest.approx([1.4, 0.0])
    assert t.rear_axle_poses(0)[0] == pytest.approx([-1.4, 0, 0])
    assert t.speed[0].tolist() == [10.0] * N
    assert t.select(np.array([False, True])).ids == ("walker",)
    assert t.select(np.array([1, 0])).kind.tolist() == [AgentKind.PEDESTRIAN, AgentKind.VEHICLE]


def test_equal_inputs_have_equal_hashes_and_names_do_not_count():
    base = scenario().content_hash
    assert scenario().content_hash == base
    assert (
        scenario(id="other", tags=("x",), provenance=Provenance("f.xml"), origin=(5e5, 4e6)).content_hash
        == base
    )
    assert scenario(duration=1).content_hash == base
    t = tracks()
    narrow = Tracks(
        t.states, t.valid.astype(int), t.size.tolist(), t.kind.astype(np.int64), t.rear_to_centre, t.ids
    )
    assert scenario(tracks=narrow).content_hash == base
    assert scenario(signals=np.ones((1, N), dtype=np.int64)).content_hash == base


def bumped(array, index, by=1e-9):
    out = np.array(array)
    out[index] += by
    return out


def changed_scenarios():
    t, r = tracks(), scenario().route
    yield "vehicle", {"vehicle": VehicleParams(length=5.0)}
    yield "rover", {"rover": RoverParams()}
    yield "map", {"environment": road(width=4.001)}
    yield "ego", {"ego": 1}
    yield "initial", {"initial": bumped(scenario().initial, 3)}
    yield "signal", {"signals": bumped(scenario().signals, (0, 7), 1)}
    yield "state", {"tracks": replace(t, states=bumped(t.states, (1, 8, 2)))}
    yield "valid", {"tracks": replace(t, valid=np.ones((2, N), dtype=bool))}
    yield "size", {"tracks": replace(t, size=bumped(t.size, (1, 2)))}
    yield "kind", {"tracks": replace(t, kind=bumped(t.kind, 1, 1))}
    yield "rear", {"tracks": replace(t, rear_to_centre=bumped(t.rear_to_centre, 0))}
    yield "no expert", {"expert": None}
    yield "expert", {"expert": Expert(np.ones((N, 7)), "human")}
    yield "expert's source", {"expert": Expert(np.zeros((N, 7)), "generated")}
    yield "route lanes", {"route": replace(r, lanes=(0, 0))}
    yield "route groups", {"route": replace(r, groups=())}
    yield "route line", {"route": replace(r, line=bumped(r.line, (1, 1)))}
    yield "commands", {"route": replace(r, commands=((50.0, "right"),))}
    for name, value in (
        ("position", np.array([91.0, 0])),
        ("polygon", np.eye(3)[:, :2]),
        ("lanes", (0,)),
        ("heading", (0.0, 1.0)),
        ("speed", (0.0, 1.0)),
        ("time", (0.0, 1.0)),
    ):
        yield f"goal {name}", {"route": replace(r, goal=replace(r.goal, **{name: value}))}


def test_a_stand_in_for_the_expert_leaves_the_scenario_the_same():
    bare = scenario(expert=None)
    filled = bare.with_(expert=Expert(np.ones((N, 7)), "idm"))
    assert filled.content_hash == bare.content_hash


def test_every_change_that_matters_changes_the_hash():
    hashes = {"base": scenario().content_hash}
    for name, change in changed_scenarios():
        hashes[name] = scenario(**change).content_hash
    assert len(set(hashes.values())) == len(hashes) > 20


def test_a_scenario_cannot_be_changed_and_does_not_lock_its_makers_arrays():
    states = np.array(tracks().states)
    s = scenario(tracks=replace(tracks(), states=states))
    for array in (s.tracks.states, s.tracks.valid, s.initial, s.signals, s.route.line, s.expert.states):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    states[0, 0, 0] = 0.0  # the maker's own array stays writeable
    with pytest.raises(FrozenInstanceError):
        s.dt = 0.2
    assert s.with_(id="b").id == "b"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dt": 0.0}, "make no clock"),
        ({"dt": np.nan}, "make no clock"),
        ({"duration": np.inf}, "make no clock"),
        ({"duration": 0.05}, "make no clock"),
        ({"duration": 1.03}, "no multiple of dt"),
        ({"duration": 2.0}, "tracks cover 11 samples, not 21"),
        ({"ego": 2}, "no track is the ego"),
        ({"ego": -1}, "no track is the ego"),
        ({"initial": np.full(7, np.nan)}, "initial state"),
        ({"initial": np.zeros(5)}, "initial state"),
        ({"signals": np.zeros((1, 4), dtype=np.uint8)}, r"signals cover \(1, 4\)"),
        ({"signals": np.zeros((0, N), dtype=np.uint8)}, "states of 0 signals, its map 1"),
        ({"signals": np.full((1, N), 9)}, "unknown state 9"),
        ({"expert": Expert(np.zeros((3, 7)), "human")}, "expert covers 3 samples"),
        ({"route": Route((5,))}, "names a lane"),
        ({"route": Route(goal=Goal(lanes=(-1,)))}, "names a lane"),
    ],
)
def test_inconsistent_scenarios_are_refused_by_name(change, message):
    with pytest.raises(ScenarioError, match=f"scenario 'test/1': .*{message}"):
        scenario(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": np.zeros((2, N, 4))}, "shapes"),
        ({"size": np.zeros((2, 3))}, "size that is not positive"),
        ({"size": np.full((2, 3), np.inf)}, "size that is not positive"),
        ({"ids": ("a",)}, "1 ids"),
        ({"valid": np.ones(N, dtype=bool)}, "valid mask"),
        ({"states": np.full((2, N, 5), np.nan)}, "not finite while it is marked valid"),
        ({"rear_to_centre": np.array([np.nan, 0.0])}, "rear axle"),
    ],
)
def test_inconsistent_tracks_are_refused(change, message):
    with pytest.raises(ScenarioError, match=message):
        replace(tracks(), **change)


def test_routes_experts_and_empty_rows_are_checked():
    with pytest.raises(ScenarioError, match="route's line"):
        Route(line=np.zeros((4, 3)))
    with pytest.raises(ScenarioError, match="route's line"):
        Route(line=np.array([[0.0, np.nan]]))
    with pytest.raises(ScenarioError, match="expert needs"):
        Expert(np.zeros((4, 3)), "human")
    with pytest.raises(ScenarioError, match="at least one track"):
        tracks_from_rows([])
    assert not Route().known


def test_a_task_holds_the_log_only_for_the_privileged():
    s = scenario()
    task = Task.of(s, seed=3)
    assert (task.log, task.seed, task.dt, task.route) == (None, 3, 0.1, s.route)
    assert task.roadmap is s.environment
    assert Task.of(s, privileged=True).log is s


def test_a_rover_drives_on_a_terrain():
    ground = Terrain(np.zeros((4, 5)), 1.0, 1.62, np.zeros(0), np.zeros((0, 2)), np.zeros(0))
    s = scenario(
        environment=ground, rover=RoverParams(), route=Route(), signals=np.zeros((0, N), dtype=np.uint8)
    )
    assert Task.of(s).rover == RoverParams()
    with pytest.raises(ScenarioError, match="has a terrain"):
        _ = s.roadmap
    with pytest.raises(ScenarioError, match="needs a road map"):
        _ = Task.of(s).roadmap

"""Routes: cheapest lane sequences as networkx finds them, and continuous reference lines."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drive.errors import MapError
from drive.geometry import arc_length
from drive.roadmap import (
    LaneKind,
    LaneSpec,
    RoadMapBuilder,
    extend_route,
    find_route,
    route_groups,
    route_line,
    straightest_successor,
)
from drive.roadmap.route import LANE_CHANGE_COST

nx = pytest.importorskip("networkx", reason="networkx is the other program here")


def lane(lane_id, start, end, width=3.5, points=11, **fields):
    a, b = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    u = np.linspace(0, 1, points)[:, None]
    along = (b - a) / np.hypot(*(b - a))
    normal = np.array([-along[1], along[0]]) * width / 2
    center = a + u * (b - a)
    return LaneSpec(lane_id, center + normal, center - normal, **fields)


def random_graph(rng, count=25):
    builder = RoadMapBuilder()
    for i in range(count):
        near = [str(j) for j in rng.permutation(count)[:3] if j != i]
        builder.add(
            lane(
                str(i),
                (0, 10 * i),
                (rng.uniform(5, 60), 10 * i),
                successors=near[: rng.integers(0, 3)],
                left_lane=str(rng.integers(0, 2 * count)),  # half of them do not exist
                left_change=bool(rng.integers(0, 2)),
                right_lane=str(rng.integers(0, 4 * count)),
                kind=LaneKind.BICYCLE if rng.random() < 0.1 else LaneKind.LANE,
            )
        )
    return builder.build()


def two_ways():
    """Two lanes side by side; from the right one a way of 50 m leads on, from the left one a way of 60 m."""
    builder = RoadMapBuilder()
    builder.add(lane("right", (0, 0), (50, 0), successors=["near"], left_lane="left"))
    builder.add(lane("left", (0, 3.5), (50, 3.5), successors=["far"], right_lane="right"))
    builder.add(lane("near", (50, 0), (100, 0), successors=["end"]))
    builder.add(lane("far", (50, 3.5), (109, 8), successors=["end"]))
    builder.add(lane("end", (100, 0), (150, 0)))
    return builder.build()


def test_a_search_among_given_lanes_takes_no_other_way():
    m = two_ways()
    names = [m.lane_ids[k] for k in find_route(m, 0, (4,))]
    assert names == ["right", "near", "end"]
    names = [m.lane_ids[k] for k in find_route(m, 0, (4,), among={0, 1, 3, 4})]
    assert names == ["right", "left", "far", "end"]
    assert find_route(m, 0, (4,), among={0, 2}) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_cheapest_sequences_are_those_of_networkx(seed):
    rng = np.random.default_rng(seed)
    m = random_graph(rng)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(m.num_lanes))

    def edge(a, b, weight):
        if m.kind[b] == LaneKind.LANE:
            graph.add_edge(a, b, weight=min(weight, graph.get_edge_data(a, b, {"weight": np.inf})["weight"]))

    for i in range(m.num_lanes):
        for j in m.successors(i):
            edge(i, int(j), m.length[i])
        for near, allowed in ((m.left_lane, m.left_change), (m.right_lane, m.right_change)):
            if allowed[i]:
                edge(i, int(near[i]), LANE_CHANGE_COST)
    for start in range(0, m.num_lanes, 3):
        goals = {int(g) for g in rng.integers(0, m.num_lanes, 2)}
        far = nx.single_source_dijkstra_path_length(graph, start)
        costs = [far[g] for g in goals if g in far]
        route = find_route(m, start, goals)
        assert (route is None) == (not costs)
        if route is not None:
            assert route[0] == start
            assert route[-1] in goals
            assert nx.path_weight(graph, route, "weight") == pytest.approx(min(costs))


def motorway():
    """Three lanes side by side (0 right, 1 middle, 2 left), each followed by another of 100 m."""
    builder = RoadMapBuilder()
    for part in (0, 1):
        for k in range(3):
            builder.add(
                lane(
                    f"{part}{k}",
                    (100 * part, 3.5 * k),
                    (100 * part + 100, 3.5 * k),
                    successors=(f"1{k}",) if part == 0 else (),
                    left_lane=f"{part}{k + 1}",
                    right_lane=f"{part}{k - 1}",
                )
            )
    return builder.build()


def test_a_lane_change_costs_as_stated_and_a_forbidden_one_is_not_made():
    m = motorway()
    assert find_route(m, 0, [5]) in {(0, 1, 2, 5), (0, 1, 4, 5), (0, 3, 4, 5)}
    assert find_route(m, 0, [0]) == (0,)
    assert find_route(m, 3, [0]) is None
    assert find_route(m, 0, [5], max_length=10.0) is None
    m = replace(m, left_change=np.zeros_like(m.left_change))
    assert find_route(m, 0, [5]) is None
    assert find_route(m, 2, [3]) is not None


@pytest.mark.parametrize("lanes", [(0, 3), (0, 1, 4), (0, 3, 4), (0, 1, 2, 5), (2, 1, 0, 3), (0, 1, 4, 5)])
def test_lines_along_lane_changes_are_continuous(lanes):
    m = motorway()
    line = route_line(m, lanes)
    step = np.diff(line, axis=0)
    assert np.hypot(*step.T).max() <= 10.5
    assert (step[:, 0] > 0).all()  # never backwards
    assert np.abs(np.arctan2(step[:, 1], step[:, 0])).max() < 0.25  # at most 3.5 m aside in 20 m
    assert line[0].tolist() == m.centerline(lanes[0])[0].tolist()
    assert line[-1].tolist() == m.centerline(lanes[-1])[-1].tolist()


def test_a_single_change_crosses_the_middle_of_the_shared_stretch():
    m = motorway()
    line = route_line(m, (0, 1))
    y = np.interp([29.0, 50.0, 71.0], line[:, 0], line[:, 1])
    assert y == pytest.approx([0.0, 1.75, 3.5], abs=1e-9)


def test_jumps_and_empty_sequences_are_refused():
    m = motorway()
    with pytest.raises(MapError, match="at least one lane"):
        route_line(m, ())
    builder = RoadMapBuilder()
    builder.add(lane("a", (0, 0), (10, 0)))
    builder.add(lane("b", (500, 0), (510, 0)))
    with pytest.raises(MapError, match="jumps from lane 'a' to 'b'"):
        route_line(builder.build(), (0, 1))


def ring(quarters=4, radius=20.0):
    """A roundabout of quarter arcs with an exit that leaves straight on at the first one's end."""
    builder = RoadMapBuilder()
    for k in range(quarters):
        phi = np.linspace(k, k + 1, 20) * np.pi / 2
        out = np.stack((np.cos(phi), np.sin(phi)), -1)
        after = (f"q{(k + 1) % quarters}",)
        builder.add(LaneSpec(f"q{k}", out * (radius - 2), out * (radius + 2), successors=after))
    return builder.build()


def test_extending_a_route_on_a_ring_ends_before_it_repeats():
    m = ring()
    assert extend_route(m, (1,), 1e9) == (1, 2, 3, 0)
    assert extend_route(m, (1,), 40.0) == (1, 2, 3)  # each quarter is 31 m long
    assert extend_route(m, (1,), 0.0) == (1,)
    assert find_route(m, 2, [1]) == (2, 3, 0, 1)
    line = route_line(m, (0, 1, 2, 3))
    assert np.hypot(*line.T) == pytest.approx(np.full(len(line), 20.0))
    assert arc_length(line)[-1] == pytest.approx(2 * np.pi * 20, rel=1e-3)


def test_straightest_successor_prefers_the_smaller_turn_and_motor_lanes():
    builder = RoadMapBuilder()
    builder.add(lane("in", (0, 0), (20, 0), successors=("bike", "left", "on")))
    phi = np.linspace(0, np.pi / 2, 12)
    bend = np.stack((20 + 12 * np.sin(phi), 12 - 12 * np.cos(phi)), -1)
    normal = np.stack((-np.sin(phi), np.cos(phi)), -1)
    builder.add(LaneSpec("left", bend + normal, bend - normal))
    builder.add(lane("on", (20, 0), (40, 1)))
    builder.add(lane("bike", (20, 0), (40, 0), kind=LaneKind.BICYCLE))
    m = builder.build()
    assert straightest_successor(m, 0) == m.lane_index("on")
    assert straightest_successor(m, m.lane_index("on")) == -1


def test_groups_along_a_route_merge_repeats():
    m = motorway()
    assert route_groups(m, (0, 1, 4)) == (int(m.group[0]), int(m.group[3]))

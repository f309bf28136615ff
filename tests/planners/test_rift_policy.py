"""The traffic policy at the ego's wheel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch")

from drive.eval.check.scenes import straight_map, straight_scene  # noqa: E402
from drive.planners.rift_policy import RiftPolicyPlanner  # noqa: E402
from drive.sim import simulate  # noqa: E402
from drive.sim.traffic.model import load_traffic  # noqa: E402
from drive.vehicle import VehicleParams  # noqa: E402

FRONT = VehicleParams().rear_axle_to_center + 0.5 * VehicleParams().length


def test_it_stops_behind_who_stands() -> None:
    """From 10 m/s behind somebody who stands at x = 90 m; the recorded drive goes through."""
    s = straight_scene(straight_map(), [(90.0, 0.0, 0.0)])
    log = simulate(s, RiftPolicyPlanner(), traffic=load_traffic("log"))
    gap = 90.0 - 0.5 * s.tracks.size[1, 0] - (log.ego[:, 0] + FRONT)
    assert gap.min() > 0.1
    assert log.ego[-1, 3] < 0.3
    assert np.abs(log.ego[:, 1]).max() < 4.5  # on its lane, or on the one beside it


def test_its_plan_is_the_candidate_that_it_chose() -> None:
    """As it was drawn: the simulator's tracker is the first to drive it."""
    s = straight_scene(straight_map(), [(60.0, 0.0, 4.0)])
    log = simulate(s, RiftPolicyPlanner(), traffic=load_traffic("log"))
    assert len(log.cand_chosen) > 10
    for call, chosen in enumerate(log.cand_chosen):
        drawn = log.cand_poses[log.cand_start[call] + chosen][1:]
        every = round(log.header["cand_dt"] / 0.1)
        found = log.plan_states_of(call)[every::every]
        np.testing.assert_allclose(found[: len(drawn), :3], drawn[: len(found), :3], atol=1e-3)

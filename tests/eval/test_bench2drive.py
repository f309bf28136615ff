"""Bench2Drive's figures, of our runs and of results files made by hand, against values worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drive.errors import InputError
from drive.eval.metrics.carla import BENCH2DRIVE
from drive.eval.metrics.carla.abilities import ABILITIES, abilities_of, scenario_type
from drive.eval.metrics.carla.bench2drive import efficiency, passed_the_sign
from drive.eval.metrics.carla.comfort import Motion, comfortable, comfortness
from drive.eval.metrics.carla.results import figures, read_motion, read_results
from drive.eval.metrics.carla.routes import BENCH2DRIVE_SETS, CarlaRoute, RouteSet, read_routes, sign_share
from drive.roadmap import LaneKind, LaneSpec, RoadMapBuilder

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "carla_routes"
real = pytest.mark.skipif(not FOLDER.is_dir(), reason="the CARLA route files are not on this machine")
KNOWN = next(iter(BENCH2DRIVE_SETS))


# --- Abilities ---


def test_every_type_of_the_first_set_has_the_published_number_of_abilities() -> None:
    assert {name: len(kinds) for name, kinds in ABILITIES.items()} == {
        "overtaking": 9,
        "merging": 16,
        "emergency_brake": 12,
        "give_way": 2,
        "traffic_signs": 19,
    }
    assert abilities_of("PedestrianCrossing") == ("emergency_brake", "traffic_signs")
    assert abilities_of("SignalizedJunctionLeftTurn") == ("merging", "traffic_signs")
    assert abilities_of("nobody knows") == ()


@real
def test_the_published_counts_of_routes_by_ability() -> None:
    routes = read_routes(FOLDER / "bench2drive_nc_nd" / "bench2drive220.xml")
    assert (len(routes.routes), len({r.kind for r in routes.routes})) == (220, 44)
    counts = {name: sum(name in abilities_of(r.kind) for r in routes.routes) for name in ABILITIES}
    assert counts == {
        "overtaking": 45,
        "merging": 80,
        "emergency_brake": 60,
        "give_way": 10,
        "traffic_signs": 95,
    }
    lengths = sorted(r.length for r in routes.routes)
    assert lengths[0] == pytest.approx(49.0, abs=1.0)
    assert lengths[-1] == pytest.approx(222.0, abs=1.0)


def test_what_our_families_stand_for() -> None:
    assert scenario_type("parked_vehicle") == "ParkedObstacle"
    assert scenario_type("lane_change_for_route", ("exit", "one_change")) == "HighwayExit"
    assert scenario_type("lane_change_for_route", ("fork",)) == "SequentialLaneChange"
    assert scenario_type("signalised_intersection", ("intersection", "left")) == "SignalizedJunctionLeftTurn"
    light = "VanillaSignalizedTurnEncounter"
    for tag, colour in (("green", "Green"), ("turns_red", "Red"), ("turns_green", "Red")):
        assert scenario_type("signalised_intersection", ("straight", tag)) == f"{light}{colour}Light"
    assert scenario_type("unprotected_left", ("lights",)) == "SignalizedJunctionLeftTurn"
    assert scenario_type("roundabout") is None
    kinds = {k for kinds in ABILITIES.values() for k in kinds}
    for family in ("cut_in", "stop_for_lead", "occluded_pedestrian", "dense_merge", "t_junction_yield"):
        assert scenario_type(family) in kinds


# --- Our runs ---


def scene(hand, ego, agents=(), family="", tags=(), roadmap=None, failure=None):
    run = hand.run(ego, agents, goal={"position": [100.0, 0.0], "time": [0.0, 1e6]}, failure=failure)
    header = {**run.header, "scenario": {**run.header["scenario"], "family": family, "tags": list(tags)}}
    return replace(run, header=header, route_line=np.array([[0.0, 0.0], [400.0, 0.0]]), roadmap=roadmap)


def values(run) -> dict[str, float | None]:
    found = BENCH2DRIVE.evaluate(run)
    out = {name: metric.score for name, metric in found.metrics.items()}
    assert BENCH2DRIVE.recompute(out) == found.score
    assert set(out) | {"bench2drive"} == set(BENCH2DRIVE.explain())
    return {**out, "bench2drive": found.score}


def test_a_slow_drive_is_a_success_and_a_touch_is_none(hand) -> None:
    far = hand.agent((900.0, 0.0, 0.0), (20.0, 0.0))
    ego = hand.drive(0.0, 10.0, 121)
    slow = values(scene(hand, ego, [far], "parked_vehicle"))
    assert (slow["bench2drive"], slow["success"], slow["efficiency"]) == (1.0, 1.0, 0.5)
    assert (slow["ability_overtaking"], slow["ability_merging"]) == (1.0, None)
    box = hand.agent((40.0, 1.5, 0.0), size=(1.0, 2.0))
    touched = values(scene(hand, ego, [far, box], "parked_vehicle"))
    assert (touched["bench2drive"], touched["success"]) == (pytest.approx(0.6), 0.0)
    assert (touched["route_completion"], touched["ability_overtaking"]) == (1.0, 0.0)
    short = values(scene(hand, hand.drive(0.0, 10.0, 91), [far]))
    assert (short["bench2drive"], short["success"]) == (pytest.approx(0.89), 0.0)
    assert all(short[f"ability_{name}"] is None for name in ABILITIES)
    failed = values(replace(scene(hand, ego, [far], "parked_vehicle")).with_header(failure=None))
    assert failed["success"] == 1.0


def test_efficiency_leaves_out_what_is_above_ten_times_the_traffic() -> None:
    assert efficiency([100.0, 50.0]) == 75.0
    assert efficiency([1000.0, 0.0]) == 500.0
    assert efficiency([1000.1, 50.0]) == 50.0
    assert efficiency([1000.1]) is None
    assert efficiency([]) is None


def test_who_passed_the_junction_by_the_lights_has_read_the_sign() -> None:
    # The junction is at 40 m of 100 m: 48 m must be exceeded.
    for completion, passed in ((48.0, False), (48.1, True)):
        assert passed_the_sign(completion, 40.0, 100.0, {}) is passed
    assert not passed_the_sign(100.0, None, 100.0, {})
    for name in ("stop_infraction", "red_light"):
        assert not passed_the_sign(90.0, 40.0, 100.0, {name: 1})
    assert passed_the_sign(90.0, 40.0, 100.0, {"collisions_vehicle": 3})


def test_the_signs_of_a_run_that_failed_behind_the_junction(hand) -> None:
    # Junction from x = 40 to 60; the drive touches somebody at about 70 m.
    road = hand.road(ends=(-100.0, 40.0, 60.0, 400.0), connectors=(1,), intersection=(1,))
    box = hand.agent((74.0, 1.5, 0.0), size=(1.0, 2.0))
    for samples, passed in ((80, 1.0), (46, 0.0)):
        run = scene(hand, hand.drive(0.0, 10.0, samples), [box], "t_junction_yield", (), road)
        assert values(run)["ability_traffic_signs"] == passed
        assert values(run)["success"] == 0.0


def test_the_figures_over_all_scenes() -> None:
    rows = [
        {"family": "parked_vehicle", "tags": [], "metrics": {"bench2drive": 1.0, "success": 1.0,
         "efficiency": 1.2, "comfortness": 0.5, "ability_overtaking": 1.0}},
        {"family": "construction_narrowing", "tags": [], "metrics": {"bench2drive": 0.6, "success": 0.0,
         "efficiency": None, "comfortness": 0.1, "ability_overtaking": 0.0}},
        # The planner failed: nothing but the score of 0 is known.
        {"family": "parked_vehicle_two_way", "tags": [], "metrics": {"bench2drive": 0.0}},
        {"family": "stop_and_go", "tags": [], "metrics": {"bench2drive": 1.0, "success": 1.0}},
    ]  # fmt: skip
    found = BENCH2DRIVE.summary(rows)
    assert found["driving_score"] == pytest.approx(0.65)
    assert found["success_rate"] == pytest.approx(0.5)
    assert found["efficiency"] == pytest.approx(1.2)
    assert found["comfortness"] == pytest.approx(0.3)
    assert found["ability_overtaking"] == pytest.approx(1 / 3)
    assert found["ability_give_way"] is None
    assert found["ability_mean"] is None
    assert "no figures of that benchmark" in BENCH2DRIVE.remark({"id": "val", "hash": "abc", "scenarios": 4})
    assert BENCH2DRIVE.summary([])["driving_score"] is None


# --- Comfort ---


def smooth(n: int, ahead: float = 0.0, left: float = 0.0, rate: float = 0.0) -> Motion:
    return Motion(*(np.full(n, v) for v in (ahead, left, rate)), dt=0.05)


@pytest.mark.parametrize(
    ("motion", "quirks", "held"),
    [
        (smooth(20, ahead=2.39), False, True),
        (smooth(20, ahead=2.41), False, False),
        (smooth(20, ahead=-4.04), False, True),
        (smooth(20, ahead=-4.06), False, False),
        (smooth(20, left=4.88), False, True),
        (smooth(20, left=-4.90), False, False),
        (smooth(20, rate=0.94), False, True),
        (smooth(20, rate=0.96), False, False),
        # The published tool holds degrees against the bound in radians: 0.95 degrees a second.
        (smooth(20, rate=np.radians(0.94)), True, True),
        (smooth(20, rate=np.radians(0.96)), True, False),
    ],
)
def test_the_bounds_of_comfort(motion: Motion, quirks: bool, held: bool) -> None:
    assert comfortable(motion, quirks) is held


def test_jerk_and_yaw_acceleration_of_straight_lines() -> None:
    t = 0.05 * (np.arange(7) - 3.0)
    for slope, held, mirrored in (
        (4.1, True, True),
        (4.2, False, True),
        (8.2, False, True),
        (8.3, False, False),
    ):
        line = Motion(slope * t, 0 * t, 0 * t, 0.05)
        assert comfortable(line, quirks=False) is held
        # The published tool takes 0.1 s for the step of 0.05 s: half the jerk, against 4.13.
        assert comfortable(line, quirks=True) is mirrored
    for slope, held in ((1.92, True), (1.94, False)):
        assert comfortable(Motion(0 * t, 0 * t, slope * t, 0.05), quirks=False) is held
    # There the rate stands for its own derivative: 0.5 degrees a second is too little for either bound.
    assert comfortable(Motion(0 * t, 0 * t, np.radians(0.5) * np.sign(t), 0.05), quirks=True)


def test_stretches_of_twenty_samples() -> None:
    calm, rough = np.zeros(20), np.full(20, 9.0)
    for parts, share in (((calm, rough), 0.5), ((calm, calm, calm, rough), 0.75), ((calm, rough[:19]), 1.0)):
        ahead = np.concatenate(parts)
        motion = Motion(ahead, 0 * ahead, 0 * ahead, 0.05)
        assert comfortness(motion, quirks=False) == share
    assert comfortness(smooth(7, ahead=9.0), quirks=True) == 0.0
    assert comfortness(smooth(2), quirks=True) is None


# --- Results files ---


def route(name: str, kind: str = "", town: str = "Town01") -> CarlaRoute:
    return CarlaRoute(name, town, kind, ((0.0, 0.0), (100.0, 0.0)))


ROUTES = RouteSet(
    "routes.xml",
    (
        route("1", "ParkedObstacle"),
        route("2", "ParkedObstacle"),
        route("3", "HighwayCutIn"),
        route("4", "PedestrianCrossing"),
        route("5", "T_Junction"),
        route("6", "InvadingTurn"),
        route("7", "Accident"),
        route("8", "VehicleTurningRoute"),
    ),
    KNOWN,
)


def entry(name: str, status: str, route_score: float, composed: float, **infractions: list[str]) -> dict:
    return {
        "route_id": f"RouteScenario_{name}_rep0",
        "status": status,
        "infractions": {"collisions_vehicle": [], "min_speed_infractions": [], **infractions},
        "scores": {"score_route": route_score, "score_penalty": 1.0, "score_composed": composed},
    }


def speed(percent: float) -> str:
    return f"Average speed is {percent}% of the surrounding traffic's one"


RECORDS = [
    entry("1", "Completed", 100.0, 100.0, min_speed_infractions=[speed(50.0), speed(150.5)]),
    entry("2", "Completed", 100.0, 60.0, collisions_vehicle=["hit"], min_speed_infractions=[speed(1200)]),
    entry("3", "Perfect", 100.0, 100.0),
    # Failed behind its junction, by the lights: the signs are read, the brake was not.
    entry("4", "Failed - Agent got blocked", 70.0, 70.0, vehicle_blocked=["blocked"]),
    entry("5", "Failed", 80.0, 56.0, red_light=["ran"], min_speed_infractions=[speed(80)]),
    entry("6", "Completed", 100.0, 100.0),
    # 7 is missing: the simulator crashed.
    entry("8", "Failed", 30.0, 30.0, route_dev=["left"]),
]


def write(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data))
    return path


def test_a_results_file_with_missing_and_failed_routes(tmp_path: Path) -> None:
    file = write(tmp_path / "merged.json", {"_checkpoint": {"records": RECORDS}})
    shares = {"4": 0.5, "5": 0.2, "8": 0.4}
    motions = {"1": smooth(40), "2": smooth(40, ahead=9.0)}
    found = figures(read_results(file), ROUTES, shares, motions)
    assert found.driving_score == pytest.approx(516 / 800)
    assert found.success_rate == 3 / 8
    # 100.25, nothing below 1000, 80: the mean over the routes that have any.
    assert found.efficiency == pytest.approx((1.0025 + 0.8) / 2)
    assert found.comfortness == 0.5
    assert found.abilities == {
        "overtaking": 0.5,  # 7 is left out, as the published tool does
        "merging": 1.0,
        "emergency_brake": 0.0,
        "give_way": 1.0,
        "traffic_signs": pytest.approx(1 / 3),
    }
    assert found.ability_mean == pytest.approx((0.5 + 1.0 + 0.0 + 1.0 + 1 / 3) / 5)
    assert (found.missing, found.undecided) == (("7",), ())
    assert found.route_set == "bench2drive220.xml (0.0.3)"


def test_without_junctions_the_signs_have_no_value(tmp_path: Path) -> None:
    file = write(tmp_path / "merged.json", {"_checkpoint": {"records": RECORDS}})
    found = figures(read_results(file), ROUTES)
    assert (found.abilities["traffic_signs"], found.ability_mean) == (None, None)
    assert found.undecided == ("4", "8")  # 5 ran a light: its junction does not matter


def test_an_unknown_route_set_is_refused(tmp_path: Path) -> None:
    results = read_results(write(tmp_path / "r.json", {"_checkpoint": {"records": RECORDS}}))
    with pytest.raises(InputError, match="hash 0000: that is not one of its route sets"):
        figures(results, replace(ROUTES, hash="0000"))
    with pytest.raises(InputError, match=r"route 9 of the results is not in routes\.xml"):
        figures([replace(results[0], id="9")], ROUTES)


@real
def test_the_real_route_sets_are_known_or_refused() -> None:
    folder = FOLDER / "bench2drive_nc_nd"
    assert read_routes(folder / "bench2drive220.xml").require_known() == "bench2drive220.xml (0.0.3)"
    with pytest.raises(InputError, match=r"10 routes with the hash \w{16}: that is the subset Dev10"):
        read_routes(folder / "drivetransformer_bench2drive_dev10.xml").require_known()
    training = read_routes(FOLDER / "leaderboard" / "routes_training.xml")
    assert (len(training.routes), len({r.town for r in training.routes})) == (90, 1)
    with pytest.raises(InputError, match="not one of its route sets"):
        training.require_known()


def test_the_hash_is_of_the_content_not_of_the_file(tmp_path: Path) -> None:
    def write_routes(x: float, space: str = " ", order: tuple[str, ...] = ("1", "2")) -> RouteSet:
        routes = "".join(
            f'<route id="{k}"{space}town="Town01"><waypoints><position x="{x}" y="0" z="1"/>'
            '<position x="9" y="0" z="1"/></waypoints><scenarios><scenario type="Accident"/></scenarios>'
            "</route>"
            for k in order
        )
        path = tmp_path / "routes.xml"
        path.write_text(f"<routes>{routes}</routes>")
        return read_routes(path)

    one = write_routes(1.0)
    assert write_routes(1.0, "\n  ").hash == one.hash == write_routes(1.0, order=("2", "1")).hash
    assert write_routes(1.1).hash != one.hash
    assert write_routes(1.0, order=("1", "3")).hash != one.hash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<scenarios/>", "should be <routes>"),
        ("<routes></routes>", "there is no route"),
        ("<routes><route><waypoints/></route></routes>", "line 1: a route needs an id and two positions"),
        (
            '<routes><route id="1"><waypoints><position x="nan" y="0"/></waypoints></route></routes>',
            "the numbers",
        ),
        (
            '<routes><route id="1"><waypoints><position x="1"/></waypoints></route></routes>',
            "the numbers x and y",
        ),
        ("<routes>", "not well-formed"),
        ('<!DOCTYPE r [<!ENTITY a "b">]><routes/>', "entity declaration is refused"),
    ],
)
def test_bad_route_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_routes(path)
    assert str(error.value).startswith("bad.xml")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "no JSON"),
        ("[]", "no results of the leaderboard"),
        ('{"_checkpoint": {"records": [{}]}}', "record 0 is no whole route record"),
        (json.dumps({"_checkpoint": {"records": [entry("1", "Completed", 100.0, 101.0)]}}), "record 0"),
        (json.dumps({"_checkpoint": {"records": [entry("1", "Completed", float("nan"), 1.0)]}}), "record 0"),
        (json.dumps({"_checkpoint": {"records": [RECORDS[0], RECORDS[0]]}}), "route 1 is recorded twice"),
    ],
)
def test_bad_results_files(tmp_path: Path, data: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(data)
    with pytest.raises(InputError, match=message):
        read_results(path)
    with pytest.raises(InputError, match=r"gone\.json: cannot be read"):
        read_results(tmp_path / "gone.json")


def test_metric_info_is_read_in_the_vehicles_axes(tmp_path: Path) -> None:
    # Heading +y in CARLA's left-handed frame: right is -x. 1 m/s^2 ahead, 2 to the right, 9 degrees a second.
    row = {
        "acceleration": [-2.0, 1.0, 0.0],
        "angular_velocity": [0.0, 0.0, 9.0],
        "forward_vector": [0.0, 1.0, 0.0],
        "right_vector": [-1.0, 0.0, 0.0],
    }
    motion = read_motion(write(tmp_path / "metric_info.json", {str(k): row for k in range(30)}))
    assert motion.ahead == pytest.approx(1.0)
    assert motion.left == pytest.approx(-2.0)
    assert motion.yaw_rate == pytest.approx(np.pi / 20.0)
    assert (comfortness(motion, quirks=True), comfortness(motion, quirks=False)) == (0.0, 1.0)
    for bad in (
        {"0": {}},
        [1],
        {"0": {**row, "acceleration": [1.0]}},
        {"0": {**row, "acceleration": [None, 1]}},
    ):
        with pytest.raises(InputError, match="no metric info"):
            read_motion(write(tmp_path / "bad.json", bad))


def test_where_a_route_has_passed_its_first_junction() -> None:
    # In the map y runs up, on the route in CARLA's frame down: the lane along y = -30 there is y = 30 here.
    builder = RoadMapBuilder()
    for name, a, b in (("in", 0.0, 60.0), ("mid", 60.0, 80.0), ("out", 80.0, 200.0)):
        x = np.linspace(a, b, 5)
        left, right = (np.stack((x, np.full(5, y)), axis=1) for y in (-28.0, -32.0))
        kind = LaneKind.CONNECTOR if name == "mid" else LaneKind.LANE
        builder.add(LaneSpec(name, left, right, kind=kind, intersection=name == "mid"))
    road = builder.build()
    straight = CarlaRoute("1", "Town01", "", ((0.5, 30.0), (100.5, 30.0)))
    assert sign_share(straight, road) == pytest.approx((60.0 + 8.0) / 100.0, abs=0.01)
    assert sign_share(replace(straight, points=((0.5, 30.0), (50.5, 30.0))), road) is None

"""Pictures against an oracle: rays by scipy's rotations, boxes by slabs, coverage by shapely."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import shapely
from scipy.spatial.transform import Rotation

from drive.errors import InputError, MapError
from drive.planner import CameraSpec
from drive.roadmap import AreaKind, LaneSpec, Marking, RoadMap, RoadMapBuilder
from drive.scenario import SignalState
from drive.sim.kernels.camera_paint import CELL, LEVELS, SIDE
from drive.sim.sensors.camera import CameraRig, Moment
from drive.sim.sensors.camera_paint import COLOURS, Layer, RoadPaint
from drive.sim.sensors.camera_views import (
    AROUND,
    BACK,
    FRONT,
    VIEWS,
    named,
    panorama,
    turned,
)
from drive.vehicle import AgentKind

ORIGIN = np.zeros(3)


def road(
    length: float = 300.0,
    signal: str | None = None,
    stop: float | None = None,
    areas: tuple[tuple[np.ndarray, AreaKind], ...] = (),
) -> RoadMap:
    """One lane along x, 4 m wide about y = 0 from x = -100, solid on its left and dashed on its right."""
    x = np.linspace(-100.0, length, 81)
    builder = RoadMapBuilder()
    builder.add(
        LaneSpec(
            "a",
            np.column_stack((x, np.full_like(x, 2.0))),
            np.column_stack((x, np.full_like(x, -2.0))),
            left_marking=Marking.SOLID,
            right_marking=Marking.DASHED,
            signal=signal,
            stop_station=stop,
        )
    )
    for ring, kind in areas:
        builder.add_area(ring, kind)
    return builder.build()


def moment(
    boxes: list[tuple[float, float, float]], braking: list[bool] | None = None, signals: tuple[int, ...] = ()
) -> Moment:
    centers = np.zeros((len(boxes), 5))
    if boxes:
        centers[:, :3] = boxes
    return Moment(
        centers,
        np.ones(len(boxes), dtype=np.bool_),
        np.array(braking if braking is not None else [False] * len(boxes), dtype=np.bool_),
        np.array(signals, dtype=np.uint8),
    )


def rig(
    specs: tuple[CameraSpec, ...],
    sizes: list[tuple[float, float, float]],
    kinds: list[AgentKind] | None = None,
    roadmap: RoadMap | None = None,
) -> CameraRig:
    kind = np.array(kinds if kinds is not None else [AgentKind.UNKNOWN] * len(sizes), dtype=np.uint8)
    return CameraRig.of(specs, roadmap or road(), np.array(sizes, dtype=np.float64).reshape(-1, 3), kind, -1)


def rays(spec: CameraSpec, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Origin (3,) and directions (H, W, 3) in the world, one camera length ahead each."""
    fx, fy, cx, cy = spec.intrinsics
    x, y, z, roll, pitch, yaw = spec.pose
    u, v = np.meshgrid(np.arange(spec.width) + 0.5, np.arange(spec.height) + 0.5)
    if spec.projection == "pinhole":
        own = np.stack((np.ones_like(u), (cx - u) / fx, (cy - v) / fy), axis=-1)
    else:
        own = np.stack((np.cos((cx - u) / fx), np.sin((cx - u) / fx), (cy - v) / fy), axis=-1)
    ego = Rotation.from_euler("Z", pose[2])
    turn = ego * Rotation.from_euler("ZYX", [yaw, pitch, roll])
    eye = ego.apply([x, y, z]) + np.array([pose[0], pose[1], 0.0])
    return eye, turn.apply(own.reshape(-1, 3)).reshape(own.shape)


def pixel(spec: CameraSpec, pose: np.ndarray, point: tuple[float, float, float]) -> tuple[int, int]:
    """Row and column of the pixel in which a pinhole camera has a point of the world."""
    fx, fy, cx, cy = spec.intrinsics
    x, y, z, roll, pitch, yaw = spec.pose
    ego = Rotation.from_euler("Z", pose[2])
    local = ego.apply(np.array(point) - [pose[0], pose[1], 0.0], inverse=True) - [x, y, z]
    px, py, pz = Rotation.from_euler("ZYX", [yaw, pitch, roll]).apply(local, inverse=True)
    assert px > 0.0
    return math.floor(cy - fy * pz / px), math.floor(cx - fx * py / px)


def slabs(
    eye: np.ndarray, d: np.ndarray, box: tuple[float, float, float], size: tuple[float, float, float]
) -> np.ndarray:
    """Depth at which each ray enters a box from outside, infinite where it does not."""
    turn = Rotation.from_euler("Z", box[2])
    o = turn.apply(eye - [box[0], box[1], 0.5 * size[2]], inverse=True)
    d = turn.apply(d.reshape(-1, 3), inverse=True).reshape(d.shape)
    half = 0.5 * np.array(size)
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (-half - o) / d, (half - o) / d
    low, high = np.fmin(a, b).max(-1), np.fmax(a, b).min(-1)
    return np.where((low <= high) & (low > 0.05), low, np.inf)


SPECS = [
    FRONT,
    BACK,
    replace(FRONT, pose=(1.5, 0.3, 1.4, 0.2, 0.1, 0.3)),
    replace(FRONT, pose=(-1.0, 0.0, 2.5, -0.4, -0.2, -1.0)),
    replace(FRONT, pose=(0.0, 0.0, 40.0, 0.0, 0.5 * math.pi, 0.0), intrinsics=(90.0, 130.0, 50.0, 60.0)),
    AROUND,
    replace(AROUND, width=300, pose=(0.5, -0.5, 1.7, 0.1, -0.15, 2.0)),
]


@pytest.mark.parametrize("spec", SPECS, ids=range(len(SPECS)))
def test_every_pixel_of_a_box_and_of_the_ground_is_where_the_rays_say(spec: CameraSpec) -> None:
    # Ahead, beside across the camera's plane, behind, touching the picture's edge, far, tall and flat.
    boxes = [
        (12.0, 1.0, 0.4),
        (3.0, 6.0, 0.1),
        (-9.0, -2.0, 2.0),
        (8.0, -7.0, 1.2),
        (80.0, 3.0, 0.0),
        (-1.0, -4.5, 0.0),
    ]
    sizes = [
        (4.5, 1.9, 1.5),
        (14.0, 2.5, 3.6),
        (5.0, 2.0, 1.4),
        (0.6, 0.6, 1.8),
        (4.0, 2.0, 2.0),
        (6.0, 1.5, 0.5),
    ]
    pose = np.array([3.0, -0.5, 0.2])
    r = rig((spec,), sizes)
    image = r.shoot(0, pose, moment(boxes))
    assert image.shape == (spec.height, spec.width, 3)
    depth = r.lenses[0].depth
    eye, d = rays(spec, pose)
    with np.errstate(divide="ignore"):
        ground = np.where(d[..., 2] < -1e-6, -eye[2] / d[..., 2], np.inf)
    expected = np.minimum.reduce([ground, *(slabs(eye, d, b, s) for b, s in zip(boxes, sizes, strict=True))])
    found = np.where(depth > 1e29, np.inf, depth)
    with np.errstate(invalid="ignore"):
        off = ~(np.isclose(found, expected, rtol=1e-9) | (found == expected))
    # A ray through an edge may fall to either side of it.
    assert off.sum() <= 2
    assert (np.isfinite(expected) & (expected < ground)).sum() > 100


def test_corners_of_a_box_lie_where_the_pinhole_formula_puts_them() -> None:
    spec = CameraSpec("c", 400, 300, (250.0, 260.0, 190.0, 140.0), (1.5, 0.0, 1.5, 0.0, 0.0, 0.0))
    pose = np.array([10.0, 0.0, 0.0])
    box = rig((spec,), [(4.0, 2.0, 1.6)])
    image = box.shoot(0, pose, moment([(33.5, 1.0, 0.0)])).astype(int)
    # The rear face is at 31.5, 20 m ahead: from y = 0 to 2 and z = 0 to 1.6 it spans, by hand,
    # u = 190 - 250 * 2 / 20 = 165 to 190 and v = 140 - 260 * 0.1 / 20 = 138.7 to 159.5.
    purple = (image[..., 2] > image[..., 1] + 20) & (image[..., 0] > image[..., 1] + 10)
    rows, columns = np.nonzero(purple)
    assert (columns.min(), columns.max()) == (165, 189)
    # Row 138's middle, 138.5, is above 138.7; from 1.5 m up nothing of the roof at 1.6 m is seen.
    assert (rows.min(), rows.max()) == (139, 158)


def test_a_stop_line_the_paint_and_the_road_are_where_they_are_projected() -> None:
    spec = replace(named("front", (960, 720)), pose=(1.0, 0.2, 1.5, 0.02, 0.1, 0.05))
    # The line is at station 120 of a lane that begins at x = -100.
    street = road(stop=120.0, signal="s")
    pose = np.array([8.0, 0.4, -0.03])
    image = rig((spec,), [], roadmap=street).shoot(0, pose, moment([], signals=(SignalState.RED,)))
    paint, asphalt, grass = (np.array(COLOURS[k]) for k in (Layer.PAINT, Layer.ROAD, Layer.GROUND))

    def seen(x: float, y: float) -> np.ndarray:
        row, column = pixel(spec, pose, (x, y, 0.0))
        return image[row, column].astype(float)

    for at, colour in (
        ((20.0, 0.0), paint),  # on the stop line, 0.4 m wide
        ((19.2, 0.0), asphalt),
        ((20.8, 0.0), asphalt),
        ((15.3, 2.0), paint),  # the solid line
        ((15.3, 2.6), grass),
        ((15.3, 1.4), asphalt),
        ((9.5 + 8.0, -2.0), paint),  # dashes of 3 m every 9 m from x = -100: 17 to 20 is one
        ((21.5, -2.0), 0.5 * (asphalt + grass)),  # and 20 to 26 none: the edge alone
    ):
        # A line of 0.15 m fills no cell of 0.1 m wholly.
        assert np.abs(seen(*at) - colour).max() < (45.0 if abs(at[1]) == 2.0 else 12.0), at


def test_a_yawed_camera_sees_the_same_world_shifted() -> None:
    street = road(
        areas=((np.array([[20.0, 8.0], [34.0, 8.0], [34.0, 16.0], [20.0, 16.0]]), AreaKind.OCCLUDER),)
    )
    boxes, sizes = [(15.0, 1.0, 0.3), (10.0, -8.0, 1.0)], [(4.5, 1.9, 1.5), (2.0, 2.0, 3.0)]
    columns = 64  # of 768: 30 degrees
    angle = columns * 2.0 * math.pi / AROUND.width
    assert math.degrees(angle) == pytest.approx(30.0)
    yawed = replace(AROUND, pose=(*AROUND.pose[:5], angle))
    r = rig((AROUND, yawed), sizes, roadmap=street)
    straight, left = (r.shoot(k, ORIGIN, moment(boxes)) for k in (0, 1))
    # The same by a turn of the ego: the camera stands over the rear axle.
    ego = r.shoot(0, np.array([0.0, 0.0, angle]), moment(boxes))
    shifted, exact = turned(straight, 0.52)
    assert exact == pytest.approx(angle)
    for other in (left, ego):
        gap = np.abs(other.astype(int) - shifted).max(-1)
        # Rounding may choose the neighbouring cell of the ground, or the other side of an edge.
        assert (gap > 2).mean() < 0.005
    assert (np.abs(straight.astype(int) - shifted).max(-1) > 2).mean() > 0.1
    # A pinhole: the homography of a pure rotation.
    pinhole = (FRONT, replace(FRONT, pose=(*FRONT.pose[:5], math.radians(30.0))))
    one, other = (
        rig(pinhole, sizes, roadmap=street).shoot(k, ORIGIN, moment(boxes)).astype(int) for k in (0, 1)
    )
    _, d = rays(pinhole[1], ORIGIN)
    fx, fy, cx, cy = FRONT.intrinsics
    u, v = cx - fx * d[..., 1] / d[..., 0], cy - fy * d[..., 2] / d[..., 0]
    inside = (d[..., 0] > 0) & (u > 0) & (u < FRONT.width) & (v > 0) & (v < FRONT.height)
    assert inside.mean() > 0.3
    warped = one[np.floor(v[inside]).astype(int), np.floor(u[inside]).astype(int)]
    assert (np.abs(warped - other[inside]).max(-1) > 30).mean() < 0.06


def test_a_panorama_of_three_views_has_no_seams() -> None:
    # A wall across all three views and boxes that straddle both seams.
    wall = np.array([[25.0, -60.0], [26.0, -60.0], [26.0, 60.0], [25.0, 60.0]])
    at = [(10.0 * math.cos(a), 10.0 * math.sin(a), a) for a in (math.pi / 6, -math.pi / 6)]
    r = rig(VIEWS, [(2.0, 6.0, 2.0)] * 2, roadmap=road(areas=((wall, AreaKind.OCCLUDER),)))
    images = {spec.name: r.shoot(k, ORIGIN, moment(at)) for k, spec in enumerate(VIEWS)}
    wide = panorama(images)
    assert wide.shape == (96, 384, 3)
    step = np.abs(np.diff(wide.astype(int), axis=1)).mean(axis=(0, 2))
    for seam in (127, 255):
        assert step[seam] <= max(step[seam - 2 : seam + 3][[0, 1, 3, 4]].max(), 1.0) + 0.5
    # The boxes' faces stand square to the seams: their tops are level there, at the same row in both views.
    is_box = (wide[..., 2].astype(int) > wide[..., 1].astype(int) + 8) & (wide[..., 0] > wide[..., 1])
    for seam in (127, 255):
        assert is_box[:, seam].any()
        assert np.argmax(is_box[:, seam]) == np.argmax(is_box[:, seam + 1])


def test_what_is_nearer_hides_what_is_behind_it_whoever_comes_first_in_the_list() -> None:
    boxes, sizes = [(10.0, 0.0, 0.0), (20.0, 0.0, 0.0)], [(4.0, 3.0, 2.5), (4.0, 2.0, 1.5)]
    both = rig((FRONT,), sizes).shoot(0, ORIGIN, moment(boxes))
    swapped = rig((FRONT,), sizes[::-1]).shoot(0, ORIGIN, moment(boxes[::-1]))
    alone = rig((FRONT,), sizes[:1]).shoot(0, ORIGIN, moment(boxes[:1]))
    assert np.array_equal(both, swapped)
    assert np.array_equal(both, alone)
    # Behind a wall nobody is seen; before it everybody.
    wall = np.array([[15.0, -9.0], [16.0, -9.0], [16.0, 9.0], [15.0, 9.0]])
    street = road(areas=((wall, AreaKind.OCCLUDER),))
    empty = rig((FRONT,), [], roadmap=street).shoot(0, ORIGIN, moment([]))
    hidden = rig((FRONT,), sizes[1:], roadmap=street).shoot(0, ORIGIN, moment(boxes[1:]))
    before = rig((FRONT,), sizes[:1], roadmap=street).shoot(0, ORIGIN, moment(boxes[:1]))
    assert np.array_equal(empty, hidden)
    assert not np.array_equal(empty, before)


def test_what_is_behind_the_camera_or_around_it_is_not_seen() -> None:
    nothing = rig((FRONT,), []).shoot(0, ORIGIN, moment([]))
    for box, size in (
        ((-10.0, 0.0, 0.5), (5.0, 2.0, 2.0)),
        ((-1.0, 9.0, 0.0), (1.9, 2.0, 2.0)),
        ((0.0, 0.0, 0.0), (4.0, 4.0, 4.0)),  # the camera is in it
    ):
        seen = rig((FRONT,), [size]).shoot(0, ORIGIN, moment([box]))
        above = slice(0, 48)  # whoever stands around the camera shades the ground before it
        assert np.array_equal(nothing[above], seen[above])
    around = rig((AROUND,), [(5.0, 2.0, 2.0)]).shoot(0, ORIGIN, moment([(-10.0, 0.0, 0.5)]))
    # All around it is: at both ends of the picture.
    plain = rig((AROUND,), []).shoot(0, ORIGIN, moment([]))
    columns = np.flatnonzero((around != plain).any((0, 2)))
    assert columns.min() == 0
    assert columns.max() == 767
    assert ((columns < 100) | (columns > 667)).all()


def test_roll_and_pitch_turn_as_the_right_hand_does() -> None:
    def horizon(*angles: float) -> np.ndarray:
        """First row of ground in each column."""
        spec = replace(FRONT, pose=(0.0, 0.0, 1.6, *angles))
        r = rig((spec,), [])
        r.shoot(0, ORIGIN, moment([]))
        return np.argmax(r.lenses[0].depth < 1e29, axis=0)

    assert set(horizon(0.0, 0.0, 0.0)) == {48}
    # Nose down by 0.1 rad: the horizon rises by f tan 0.1 = 11.12 pixels.
    assert set(horizon(0.0, 0.1, 0.0)) == {37}
    # The left side up by 0.2 rad: the horizon falls to the left and rises to the right by u tan 0.2.
    rolled = horizon(0.2, 0.0, 0.0)
    assert rolled[0] - rolled[-1] == pytest.approx(127 * math.tan(0.2), abs=1.5)


@pytest.mark.parametrize(
    "state", [SignalState.RED, SignalState.YELLOW, SignalState.GREEN, SignalState.UNKNOWN]
)
def test_a_light_has_the_colour_of_its_signal(state: SignalState) -> None:
    spec = named("front", (640, 480))
    street = road(stop=120.0, signal="s")
    pose = np.array([5.0, 0.0, 0.0])
    image = rig((spec,), [], roadmap=street).shoot(0, pose, moment([], signals=(state,))).astype(int)
    # The head stands 0.3 m right of the lane's bound and beyond the line at x = 20, between 2.1 and 3.06 m.
    lit = {}
    for which, height in ((SignalState.RED, 2.9), (SignalState.YELLOW, 2.58), (SignalState.GREEN, 2.26)):
        row, column = pixel(spec, pose, (20.3 - 0.15, -2.3, height))
        lit[which] = image[row, column]
    for which, colour in lit.items():
        assert (colour.max() > 180) == (which == state), (which, colour)
    if state in lit:
        red, green, _ = lit[state]
        assert (red > 150, green > 150) == {
            SignalState.RED: (True, False),
            SignalState.YELLOW: (True, True),
            SignalState.GREEN: (False, True),
        }[state]
    # From behind it is dark, and a lamp far away is a pixel at least.
    back = rig((BACK,), [], roadmap=street).shoot(0, np.array([30.0, 0.0, 0.0]), moment([], signals=(state,)))
    assert not (np.ptp(back[:50].astype(int), axis=2) > 120).any()
    far = rig((FRONT,), [], roadmap=street).shoot(
        0, np.array([-60.0, 0.0, 0.0]), moment([], signals=(state,))
    )
    assert (np.ptp(far.astype(int), axis=2) > 120).any() == (state in lit)


def test_lanes_that_share_a_stop_line_have_a_head_for_each_signal() -> None:
    x = np.linspace(0.0, 40.0, 21)
    builder = RoadMapBuilder()
    for name, signal in (("a", "s"), ("b", "s"), ("c", "t")):
        left, right = (np.column_stack((x, np.full_like(x, y))) for y in (2.0, -2.0))
        builder.add(LaneSpec(name, left, right, signal=signal, stop_station=0.0))
    street = rig((FRONT,), [], roadmap=builder.build()).street
    assert street.signal.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.hypot(*(street.bulbs[0, :2] - street.bulbs[3, :2])) == pytest.approx(0.45)


def test_who_brakes_shows_it() -> None:
    spec = named("front", (640, 480))
    size, at = (4.6, 1.8, 1.5), [(14.0, 0.0, 0.0)]
    r = rig((spec,), [size], [AgentKind.VEHICLE])
    # A rear lamp: 0.74 of the body's 0.84 m up and 0.1 of the width from the side.
    row, column = pixel(spec, ORIGIN, (14.0 - 2.3, 0.72, 0.62))
    calm, hard = (r.shoot(0, ORIGIN, moment(at, [b]))[row, column].astype(int) for b in (False, True))
    assert calm[0] < 140
    assert hard[0] > 190
    assert hard[0] > 3 * hard[1]


@pytest.mark.parametrize("kind", list(AgentKind))
def test_everybody_is_as_large_as_they_are(kind: AgentKind) -> None:
    size, box = (4.0, 1.6, 1.8), (12.0, 0.5, 0.0)
    r = rig((FRONT, AROUND), [size], [kind])
    for k, spec in enumerate((FRONT, AROUND)):
        r.shoot(k, ORIGIN, moment([box]))
        depth = r.lenses[k].depth
        eye, d = rays(spec, ORIGIN)
        whole = slabs(eye, d, box, size)
        with np.errstate(divide="ignore"):
            ground = np.where(d[..., 2] < -1e-6, -eye[2] / d[..., 2], np.inf)
        is_body = depth < np.minimum(ground, 1e29) - 1e-6
        assert is_body.sum() > 60
        assert not (is_body & ~np.isfinite(whole)).any()
        # From top to bottom, and from side to side.
        for axis in (0, 1):
            own, box_span = (np.flatnonzero(m.any(axis)) for m in (is_body, np.isfinite(whole)))
            assert abs(own[0] - box_span[0]) <= 2
            assert abs(own[-1] - box_span[-1]) <= 2


def test_kinds_have_colours_of_their_own() -> None:
    kinds = [AgentKind.VEHICLE, AgentKind.PEDESTRIAN, AgentKind.BICYCLE, AgentKind.STATIC]
    found = []
    for kind in kinds:
        r = rig((FRONT,), [(1.0, 2.0, 2.0)], [kind])
        image = r.shoot(0, ORIGIN, moment([(6.0, 0.0, 0.0)])).astype(float)
        depth = r.lenses[0].depth
        found.append(image[(depth > 5.4) & (depth < 5.6)].mean(0))
    for k, colour in enumerate(found):
        assert all(np.abs(colour - other).max() > 30.0 for other in found[:k]), kinds[k]


def test_what_the_ground_rasters_hold_is_exact_in_area() -> None:
    ring = np.array([[3.05, 2.0], [9.0, 3.33], [7.7, 12.0], [5.0, 6.0], [2.2, 11.1]])  # not convex
    street = road(areas=((ring[::-1], AreaKind.WALKWAY),))
    r = rig((FRONT,), [], roadmap=street)
    r.shoot(0, ORIGIN, moment([]))
    base, walk = np.array(COLOURS[Layer.GROUND]), np.array(COLOURS[Layer.WALK])
    shape = shapely.Polygon(ring).difference(shapely.box(-1e3, -2.5, 1e3, 2.5))
    for level in (0, 2, 4):
        side = CELL * 2**level
        for i in range(int(2.6 / side) + 1, int(13.0 / side)):
            for j in range(int(1.0 / side), int(10.0 / side)):
                cell = shapely.box(j * side, i * side, (j + 1) * side, (i + 1) * side)
                share = shape.intersection(cell).area / side**2
                expected = base + share * (walk - base)
                packed = int(r.cells[level, i % SIDE, j % SIDE])
                found = np.array([packed & 255, packed >> 8 & 255, packed >> 16])
                assert np.abs(found - expected).max() < 0.6, (level, i, j)


def test_pictures_do_not_depend_on_where_the_camera_was_before() -> None:
    boxes, sizes = [(40.0, 1.0, 0.3), (52.0, -3.0, 0.0)], [(4.5, 1.9, 1.5), (8.0, 2.4, 3.0)]
    specs, pose, now = (FRONT, AROUND), np.array([31.7, 0.4, 0.1]), moment(boxes)
    fresh, used = rig(specs, sizes), rig(specs, sizes)
    for x in (0.0, 5.3, -700.0, 4e5, 31.0):
        used.shoot(0, np.array([x, 0.5 * x, 1.0]), now)
    for k in range(2):
        assert np.array_equal(fresh.shoot(k, pose, now), used.shoot(k, pose, now))
    assert np.array_equal(fresh.shoot(0, pose, now), fresh.shoot(0, pose, now))


def test_a_scene_is_the_same_wherever_it_lies() -> None:
    shift = np.array([512.0 * CELL * 2**LEVELS, -256.0 * CELL * 2**LEVELS])

    def picture(by: np.ndarray) -> np.ndarray:
        x = np.linspace(-100.0, 300.0, 81)
        builder = RoadMapBuilder()
        bounds = (np.column_stack((x, np.full_like(x, y))) + by for y in (2.0, -2.0))
        builder.add(LaneSpec("a", *bounds, left_marking=Marking.SOLID, right_marking=Marking.DOUBLE_SOLID))
        r = rig((FRONT,), [(4.5, 1.9, 1.5)], roadmap=builder.build())
        return r.shoot(0, np.array([*by, 0.1]), moment([(20.0 + by[0], 1.0 + by[1], 0.2)])).astype(int)

    assert (np.abs(picture(np.zeros(2)) - picture(shift)).max(-1) > 2).mean() < 0.002


def test_strange_but_possible_cameras_take_pictures() -> None:
    boxes, sizes = [(12.0, 0.0, 0.2)], [(4.5, 1.9, 1.5)]
    for spec in (
        CameraSpec("wide", 64, 48, (1.44, 1.08, 32.0, 24.0)),
        CameraSpec("tele", 64, 48, (12_800.0, 9_600.0, 32.0, 24.0)),
        CameraSpec("pixel", 1, 1, (1.0, 1.0, 0.5, 0.5)),
        CameraSpec("aside", 64, 48, (60.0, 60.0, -600.0, 500.0)),
        CameraSpec("high", 64, 48, (60.0, 60.0, 32.0, 24.0), (0.0, 0.0, 500.0, 0.0, 1.57, 0.0)),
        CameraSpec("low", 64, 48, (60.0, 60.0, 32.0, 24.0), (0.0, 0.0, 0.01, 0.0, 0.0, 0.0)),
        CameraSpec("up", 64, 48, (60.0, 60.0, 32.0, 24.0), (0.0, 0.0, 1.0, 3.0, -1.57, 6.0)),
    ):
        image = rig((spec,), sizes).shoot(0, ORIGIN, moment(boxes))
        assert image.shape == (spec.height, spec.width, 3)
        assert image.max() > 20


def test_nobody_with_numbers_that_make_no_sense_is_drawn() -> None:
    nothing = rig((FRONT,), []).shoot(0, ORIGIN, moment([]))
    for box, size in (
        ((math.nan, 0.0, 0.0), (4.0, 2.0, 2.0)),
        ((10.0, 0.0, math.nan), (4.0, 2.0, 2.0)),
        ((1e300, 0.0, 0.0), (4.0, 2.0, 2.0)),
        ((10.0, 0.0, 0.0), (math.inf, 2.0, 2.0)),
        ((10.0, 0.0, 0.0), (4.0, math.nan, 2.0)),
    ):
        assert np.array_equal(nothing, rig((FRONT,), [size]).shoot(0, ORIGIN, moment([box])))
    # A kind that nobody knows is drawn as the unknown kind.
    r = CameraRig.of((FRONT,), road(), np.array([[4.0, 2.0, 2.0]]), np.array([200], dtype=np.uint8), -1)
    known = rig((FRONT,), [(4.0, 2.0, 2.0)])
    at = moment([(10.0, 0.0, 0.0)])
    assert np.array_equal(r.shoot(0, ORIGIN, at), known.shoot(0, ORIGIN, at))
    for pose in ([math.nan, 0.0, 0.0], [0.0, math.inf, 0.0], [1e9, 0.0, 0.0], [0.0, 0.0, math.nan]):
        with pytest.raises(InputError, match="no camera can be at"):
            known.shoot(0, np.array(pose), at)


def test_a_map_too_large_to_be_seen_is_refused() -> None:
    ring = np.array([[0.0, 0.0], [3e6, 0.0], [3e6, 3e6], [0.0, 3e6]])
    with pytest.raises(MapError, match="too large to be seen by a camera"):
        RoadPaint.of(road(areas=((ring, AreaKind.ROAD),)))

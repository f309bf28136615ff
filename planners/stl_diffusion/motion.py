"""What is drawn: accelerations and yaw rates at a few knots, and the roll-out that they mean.

As published, the two controls are acceleration and yaw rate; unlike there, speeds end at 0, the wheels turn
continuously from where they are, and slow vehicles turn no tighter than they can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from drive.errors import InputError
from drive.nn._torch import Tensor, functional, torch
from drive.nn.scene import EGO_COLUMNS
from drive.sim.twin import roll_controls
from drive.vehicle import VehicleParams

VEHICLE = VehicleParams()
"""All vehicles are rolled out as this one would with the same curvature: the motion is the same."""
_EGO = {name: k for k, name in enumerate(EGO_COLUMNS)}


@dataclass(frozen=True, slots=True)
class MotionSettings:
    """`knots` of `every` steps of `dt` s; what -1 and 1 mean: `acceleration` from and to in m/s^2, `yaw_rate`
    in rad/s either way, below `slowest` m/s that of this speed; `curvature` in 1/m at most. Every `look`-th
    state is judged."""

    knots: int = 8
    every: int = 5
    dt: float = 0.1
    look: int = 2
    braking: float = 6.0
    acceleration: float = 3.0
    yaw_rate: float = 0.5
    slowest: float = 3.0
    curvature: float = 0.2

    def __post_init__(self) -> None:
        if min(self.knots, self.every, self.look) < 1 or self.steps % self.look:
            raise InputError("a motion's knots, every and look are 1 or more, look divides all steps")
        for name in ("dt", "braking", "acceleration", "yaw_rate", "slowest", "curvature"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise InputError(f"a motion's {name} must be positive and finite, not {getattr(self, name)}")

    @property
    def steps(self) -> int:
        """Steps of the roll-out."""
        return self.knots * self.every

    @property
    def size(self) -> int:
        """How many numbers are drawn."""
        return 2 * self.knots

    @property
    def look_dt(self) -> float:
        """Seconds between two judged states."""
        return self.dt * self.look

    @property
    def centre(self) -> float:
        """The acceleration that 0 means."""
        return 0.5 * (self.acceleration - self.braking)

    @property
    def half(self) -> float:
        """The change of acceleration that 1 means."""
        return 0.5 * (self.acceleration + self.braking)


def roll(settings: MotionSettings, ego: Tensor, drawn: Tensor) -> Tensor:
    """States `(B, ..., steps + 1, 7)` of `drawn (B, ..., knots, 2)` from moments `ego (B, 14)`, in the
    columns of `drive.vehicle` and the ego's frame (the steering angle is `VEHICLE`'s)."""
    s = settings
    shape = drawn.shape[:-2]
    wide = ego.view(len(ego), *[1] * (len(shape) - 1), -1).expand(*shape, -1)
    speed = wide[..., _EGO["speed"]].clamp(min=0.0)
    acceleration = (s.centre + s.half * drawn[..., 0]).repeat_interleave(s.every, -1)
    free = speed[..., None] + s.dt * acceleration.cumsum(-1)
    # Who cannot go below 0 is pushed back by the least value so far (Skorokhod's reflection).
    after = free - free.cummin(-1).values.clamp(max=0.0)
    before = torch.cat((speed[..., None], after[..., :-1]), -1)
    turned = s.yaw_rate * drawn[..., 1] / after[..., s.every - 1 :: s.every].clamp(min=s.slowest)
    angle = torch.atan(VEHICLE.wheelbase * turned.clamp(-s.curvature, s.curvature))
    now = torch.tan(wide[..., _EGO["steering"]]) / wide[..., _EGO["wheelbase"]].clamp(min=0.5)
    held = torch.atan(VEHICLE.wheelbase * now)
    angles = torch.cat((held[..., None], angle), -1)
    rate = ((angles[..., 1:] - angles[..., :-1]) / (s.every * s.dt)).repeat_interleave(s.every, -1)
    zero = torch.zeros_like(speed)
    start = torch.stack(
        (zero, zero, zero, speed, wide[..., _EGO["acceleration"]], held, wide[..., _EGO["yaw_rate"]]), -1
    )
    controls = torch.stack(((after - before) / s.dt, rate), -1)
    states: Tensor = roll_controls(VEHICLE, start, controls, s.dt)
    return states


def guess(settings: MotionSettings, poses: Tensor, speed: Tensor) -> Tensor:
    """What would have to be drawn for poses `(B, steps, 3)` from `speed (B,)` on, about: `(B, knots, 2)`."""
    s = settings
    way = torch.cat((torch.zeros_like(poses[:, :1]), poses), 1)
    speeds = torch.cat((speed[:, None], along(way) / s.dt), 1)[:, :: s.every]
    acceleration = (speeds[:, 1:] - speeds[:, :-1]) / (s.every * s.dt)
    turn = functional.pad(wrapped(way[:, 1:, 2] - way[:, :-1, 2]) / s.dt, (0, 1), mode="replicate")
    yaw = 0.5 * (turn[:, s.every - 1 : -1 : s.every] + turn[:, s.every :: s.every])
    return torch.stack(((acceleration - s.centre) / s.half, yaw / s.yaw_rate), -1).clamp(-1.0, 1.0)


def fitted(settings: MotionSettings, ego: Tensor, poses: Tensor, known: Tensor, steps: int = 60) -> Tensor:
    """What has to be drawn for a roll-out along poses `(B, steps, 3)`, as far as these are `known`."""
    drawn = guess(settings, poses, ego[:, _EGO["speed"]]).detach().requires_grad_()
    optimiser = torch.optim.Adam([drawn], lr=0.03)
    weight = known.to(poses.dtype)
    for _ in range(steps):
        optimiser.zero_grad()
        states = roll(settings, ego, drawn)[:, 1:]
        miss = (states[..., :2] - poses[..., :2]).square().sum(-1)
        miss = miss + 4.0 * wrapped(states[..., 2] - poses[..., 2]).square()
        loss = (weight * miss).sum() + 10.0 * outside(drawn).sum()
        (drawn.grad,) = torch.autograd.grad(loss, (drawn,))
        optimiser.step()
    return drawn.detach().clamp(-1.0, 1.0)


def states_of(settings: MotionSettings, poses: Tensor) -> Tensor:
    """States `(B, steps + 1, 7)` of poses `(B, steps, 3)`; what a pose does not tell is 0."""
    whole = torch.cat((torch.zeros_like(poses[:, :1]), poses), 1)
    driven = along(whole) / settings.dt
    states = torch.zeros(*whole.shape[:-1], 7, dtype=poses.dtype, device=poses.device)
    states[..., :3] = whole
    states[:, 1:, 3], states[:, 0, 3] = driven, driven[:, 0]
    return states


def judged(settings: MotionSettings, states: Tensor) -> Tensor:
    """The states that are judged, of all `(..., steps + 1, 7)`: the present one is nobody's merit."""
    return states[..., settings.look :: settings.look, :]


def shifted(settings: MotionSettings, drawn: Tensor, seconds: float) -> Tensor:
    """What was drawn `(..., knots, 2)`, as it goes on after `seconds`; the last knot is held.

    Controls do not know a frame: nothing else is to be moved.
    """
    at = seconds / (settings.every * settings.dt) + torch.arange(settings.knots, dtype=torch.float64)
    at = at.clamp(0.0, settings.knots - 1)
    low = at.floor().long()
    share = (at - low).to(drawn.dtype).to(drawn.device)[:, None]
    high = (low + 1).clamp(max=settings.knots - 1)
    low, high = low.to(drawn.device), high.to(drawn.device)
    return torch.lerp(drawn[..., low, :], drawn[..., high, :], share)


def outside(drawn: Tensor) -> Tensor:
    """By how much the squares of what is drawn exceed 1 (Meng and Fan's penalty)."""
    return torch.relu(drawn.square() - 1.0)


def along(poses: Tensor) -> Tensor:
    """Signed metres `(B, T - 1)` between poses `(B, T, 3)`."""
    change = poses[:, 1:] - poses[:, :-1]
    half = poses[:, :-1, 2] + 0.5 * wrapped(change[..., 2])
    return change[..., 0] * torch.cos(half) + change[..., 1] * torch.sin(half)


def wrapped(angle: Tensor) -> Tensor:
    """Angles to (-pi, pi]; what flows back is that of the angle."""
    return angle - 2.0 * math.pi * torch.round(angle.detach() / (2.0 * math.pi))


__all__ = [
    "VEHICLE", "MotionSettings", "fitted", "guess", "judged", "outside", "roll", "shifted", "states_of",
    "wrapped",
]  # fmt: skip

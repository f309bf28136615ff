"""What the network's answers are made into: one fused control, a plan, and what else was considered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.errors import InputError
from drive.geometry import wrap_angle
from drive.nn._torch import Tensor, torch
from drive.nn.diffusion import sample
from drive.nn.scene import EGO_COLUMNS
from drive.nn.vocabulary import Vocabulary
from drive.planner import Candidates, Control, ControlKind
from drive.planners.hydra_next import pid
from drive.planners.hydra_next.decoder import EVERY, HEADS, SIGNAL_STEPS, STEP, HydraNext
from drive.planners.hydra_next.kinematics import (
    BRAKE,
    STEER,
    THROTTLE,
    EgoKinematics,
    Kinematics,
    PedalKinematics,
)
from drive.planners.hydra_next.profiles import PROFILES
from drive.planners.hydra_next.refine import densify, fuse, joined, match
from drive.planners.learned.decision import Decision
from drive.planners.learned.lights import held_at_red, red_light_cost
from drive.planners.learned.profiles import IMITATION, Profile, combine, emphasised, find_profile
from drive.sim.kernels.lqr import ACCELERATION_LAG
from drive.vehicle import ACCELERATION, SPEED, STEERING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drive.nn.tokens import SceneBatch, SceneTokens
    from drive.planner import Observation
    from drive.planners.hydra_next.config import HydraNextConfig
    from drive.planners.hydra_next.decoder import ControlLogits
    from drive.planners.learned.decision import Memory

    Floats = NDArray[np.float64]

WHEELBASE = EGO_COLUMNS.index("wheelbase")
LIGHTS_WITHIN = 4.0
"""s: whom a red light holds within that time, his trajectory alone says how fast to go."""
STOP_TIME = 0.5
"""s: braking eases off below the speed at which it would end sooner; the ego's lag then does not carry it
backwards."""


class Scored(NamedTuple):
    """The candidates of B moments and what is thought of them."""

    poses: Floats  # (B, K, 40, 3)
    total: Floats  # (B, K)
    heads: Mapping[str, Floats]  # probabilities (B, K) by the name of HEADS


@dataclass(eq=False)
class HydraNextPolicy:
    """The network and how it drives; holds no state of a session."""

    model: HydraNext
    config: HydraNextConfig
    vocabulary: Vocabulary
    noise: Tensor
    profile: Profile

    @classmethod
    def of(cls, model: HydraNext, config: HydraNextConfig) -> HydraNextPolicy:
        """The policy of a network on its device, in evaluation mode."""
        generator = torch.Generator().manual_seed(config.seed)
        noise = torch.randn((config.proposals, 2 * SIGNAL_STEPS), generator=generator)
        vocabulary = Vocabulary(model.vocabulary.cpu().numpy(), STEP)
        profile = emphasised(find_profile(config.profile, PROFILES), config.emphasis)
        missing = [name for name in profile.heads if name not in (IMITATION, *model.settings.teacher)]
        if missing:
            raise InputError(
                f"profile '{config.profile}' weighs '{missing[0]}', for which these weights have no head"
            )
        return cls(model.eval(), config, vocabulary, noise.to(model.vocabulary.device), profile)

    def decide(
        self, batch: SceneBatch, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[Decision]:
        c = self.config
        tokens = self.model(batch)
        scored, seen = self._scored(tokens, batch, [float(o.ego[SPEED]) for o in observations])
        first = None
        if c.decodes:
            first = self._controls(self.model.control(seen))
        signals = self.propose(seen) if c.proposes else None
        proposals = None if signals is None else self._pedals(signals)
        wheelbase = batch.ego[:, WHEELBASE].double().cpu().numpy()
        held = np.zeros(len(observations), dtype=np.bool_)
        if batch.scene is not None and c.red_lights > 0.0:
            held = held_at_red(batch.scene, LIGHTS_WITHIN).cpu().numpy()
        return [
            self._decision(
                scored, row, None if first is None else first[row],
                None if proposals is None else proposals[row], float(wheelbase[row]), o, memory,
                bool(held[row]),
            )
            for row, (o, memory) in enumerate(zip(observations, memories, strict=True))
        ]  # fmt: skip

    def propose(self, tokens: SceneTokens) -> Tensor:
        """Control sequences as signals `(B, N, 20)`."""
        c, policy = self.config, self.model.policy
        memory = policy.remember(tokens)
        shape = (len(tokens.tokens), *self.noise.shape)
        generator = torch.Generator().manual_seed(c.seed)
        return sample(
            self.model.settings.diffusion,
            lambda noisy, steps: policy(noisy, steps, memory),
            shape,
            generator,
            count=c.denoising,
            eta=c.eta,
            start=self.noise.expand(shape),
            device=self.noise.device,
        )

    def _scored(
        self, tokens: SceneTokens, batch: SceneBatch, speeds: Sequence[float]
    ) -> tuple[Scored, SceneTokens]:
        """The candidates' verdicts, and what is shown to those who decide on controls."""
        c, model = self.config, self.model
        rows = np.stack([self.vocabulary.near(max(v, 0.0), c.candidates) for v in speeds])
        poses = model.vocabulary[torch.from_numpy(rows.astype(np.int64)).to(model.vocabulary.device)]
        verdicts = model.trajectory(tokens, batch.scene, poses)
        logits = verdicts.logits
        total = combine(logits, self.profile)
        if c.red_lights > 0.0:
            total = total + red_light_cost(batch.scene, poses, c.red_lights, STEP)
        shares = {
            HEADS.get(name, name): values.softmax(1) if name == IMITATION else values.sigmoid()
            for name, values in logits.items()
        }
        scored = Scored(
            self.vocabulary.poses[rows].astype(np.float64),
            total.double().cpu().numpy(),
            {name: values.double().cpu().numpy() for name, values in shares.items()},
        )
        return scored, model.advised(tokens, verdicts, total, poses)

    def _controls(self, logits: ControlLogits) -> Floats:
        """Pedals `(B, 4, 3)` of the control decoder."""
        c, bins = self.config, self.model.settings.bins

        def value(scores: Tensor, levels: tuple[float, ...]) -> Floats:
            numbers: Floats = scores.double().cpu().numpy()
            of = np.asarray(levels)
            if c.likeliest:
                return np.asarray(of[numbers.argmax(-1)])
            share = np.exp(numbers - numbers.max(-1, keepdims=True))
            return np.asarray((share * of).sum(-1) / share.sum(-1))

        brakes = torch.sigmoid(logits.brake).double().cpu().numpy() > c.brake_threshold
        out = np.zeros((*brakes.shape, 3))
        out[..., BRAKE] = np.where(brakes, value(logits.strength, bins.brake), 0.0)
        out[..., THROTTLE] = np.where(brakes, 0.0, value(logits.throttle, bins.throttle))
        out[..., STEER] = value(logits.steer, bins.steer)
        return out

    def _pedals(self, signals: Tensor) -> Floats:
        """Pedals `(B, N, 10, 3)` of signals `(B, N, 20)`."""
        s = signals.double().cpu().numpy()
        return self.model.settings.coding.decode(s.reshape(*s.shape[:-1], SIGNAL_STEPS, 2))

    def _decision(
        self,
        scored: Scored,
        row: int,
        first: Floats | None,
        proposals: Floats | None,
        wheelbase: float,
        observation: Observation,
        memory: Memory,
        held: bool = False,
    ) -> Decision:
        c, settings = self.config, self.model.settings
        speed = float(observation.ego[SPEED])
        best = int(np.argmax(scored.total[row]))
        tau = scored.poses[row, best]
        if not isinstance(memory.state, pid.Errors):
            memory.state = pid.Errors()
        waypoints = tau[EVERY - 1 : pid.WAYPOINTS * EVERY : EVERY]
        votes = {"trajectory": pid.drive(waypoints, speed, wheelbase, c.pid, settings.pedals, memory.state)}
        vehicle = self._vehicle(wheelbase, observation)
        start = np.array([0.0, 0.0, 0.0, max(speed, 0.0)])
        after = tau  # what is driven after the first control
        if first is not None:
            votes["control"] = first[0]
        if proposals is not None:
            rolled = vehicle.roll(start, proposals)
            chosen = int(match(rolled, waypoints[:2]))
            votes["match_trajectory"] = proposals[chosen, 0]
            votes["average"] = proposals[:, 0].mean(0)
            if first is not None:
                drawn = vehicle.roll(start, densify(first)[:SIGNAL_STEPS])
                votes["match_control"] = proposals[int(match(rolled, drawn[[4, 9]])), 0]
            after = joined(rolled[chosen][:, :3], tau)
        taking_part = np.stack([votes[name] for name in c.branches])
        fused = fuse(taking_part, speed)
        if held:  # the others have seen few red lights
            fused[[THROTTLE, BRAKE]] = votes["trajectory"][[THROTTLE, BRAKE]]
        ahead = joined(vehicle.roll(start, fused[None])[:, :3], after)
        ahead[:, 2] = wrap_angle(ahead[:, 2])
        control = None
        if c.drive == "control":
            control = Control(ControlKind.ACCELERATION_STEERING, self.command(fused, observation)[None], STEP)
        figures = {
            "throttle": float(fused[THROTTLE]),
            "brake": float(fused[BRAKE]),
            "steer": float(fused[STEER]),
            "brake_votes": float((taking_part[:, BRAKE] > 0.0).sum()),
        }
        return Decision(
            ahead if c.drive == "control" else tau,
            STEP,
            candidates=self._candidates(scored, row, best, after if proposals is not None else None),
            control=control,
            figures=figures,
        )

    def _vehicle(self, wheelbase: float, observation: Observation) -> Kinematics:
        """Whose answer to pedals is foreseen: our ego's, or the published vehicle's."""
        if self.config.compat == "consistent":
            acceleration, steering = observation.ego[[ACCELERATION, STEERING]].tolist()
            return EgoKinematics(wheelbase, self.model.settings.pedals, STEP, acceleration, steering)
        return PedalKinematics(STEP, self.config.compat)

    def command(self, pedals: Floats, observation: Observation) -> Floats:
        """Acceleration in m/s^2 and steering angle in rad (2,) for the ego; it is not braked backwards."""
        acceleration, steering = self.model.settings.pedals.motion(pedals)
        speed, now = float(observation.ego[SPEED]), float(observation.ego[ACCELERATION])
        # What leads, through the ego's lag, to a speed of 0 after one step.
        stop = now - (1.0 + ACCELERATION_LAG / STEP) * (speed / STEP + now)
        return np.array([max(float(acceleration), -speed / STOP_TIME, stop), float(steering)])

    def _candidates(self, scored: Scored, row: int, best: int, refined: Floats | None) -> Candidates | None:
        """The best of the vocabulary, and last the trajectory that begins with the matched proposal."""
        if not self.config.shown:
            return None
        total = scored.total[row]
        order = np.argsort(-total, kind="stable")[: self.config.shown]
        share = np.exp(total - total.max())
        share /= share.sum()
        states = scored.poses[row, order]
        scores = {"total": total[order]}
        scores |= {name: values[row, order] for name, values in scored.heads.items()}
        scores["refined"] = np.zeros(len(order))
        if refined is not None:
            states = np.concatenate((states, refined[None]))
            scores = {name: np.append(values, values[0]) for name, values in scores.items()}
            scores["refined"][-1] = 1.0
        return Candidates(
            STEP * np.arange(1, states.shape[1] + 1), states, scores, chosen=int(np.argmax(order == best))
        )


__all__ = ["HydraNextPolicy", "Scored"]

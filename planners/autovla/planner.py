"""The planner `autovla`: reads cameras and state, thinks fast or slowly, and answers in action tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import torch
from drive.nn.scene import SceneSizes
from drive.planner import PlannerSpec, PlanStatus
from drive.planners.autovla.codebook import DT, Codebook
from drive.planners.autovla.decode import (
    ACTION,
    FREE,
    MODES,
    Answer,
    InvalidAnswer,
    Sampled,
    sample,
    static_part,
)
from drive.planners.autovla.product import (
    CODEBOOK,
    TOKENIZER,
    Product,
    Setup,
    load_product,
    product_of_folder,
)
from drive.planners.autovla.prompt import PAPER_CAMERAS, Prompt, make_prompt
from drive.planners.autovla.reflex import BRAKES, load_reflex, reflex_file, slowed
from drive.planners.autovla.scene_words import state_text
from drive.planners.learned.decision import Decision
from drive.planners.learned.planner import device_of
from drive.planners.learned.plans import plan_of
from drive.planners.learned.shipped import digest_of, find_weights
from drive.planners.road.plans import braking_plan
from drive.sim.sensors.camera_views import named
from drive.sim.sensors.past import past_poses
from drive.sim.sensors.vector import VectorSensor
from drive.vehicle import SPEED

if TYPE_CHECKING:
    from drive.planner import CameraSpec, Observation, ObservationBatch, Plan
    from drive.planners.autovla.reflex import Reflex
    from drive.scenario import Task

WEIGHTS = Path(__file__).parent / "weights"
CAMERA_RATE = 2.0
"""Hz of the cameras; the planner is called as often, or that divided by a whole number."""
SIZES = SceneSizes()


@dataclass(frozen=True, slots=True)
class AutoVLAConfig:
    """`weights` are a file, the name of shipped ones, or "" for the shipped ones; or a folder with published
    Qwen2.5-VL weights that were fine-tuned, with `codebook` the file of its actions.

    `thinking` is "auto", "fast" or "slow", `rate` in Hz how often it is asked: 2 or less, plans are driven on
    in between. Answers are the likeliest ones at the `temperature` 0, else drawn. Thoughts have at most
    `thought` tokens (0: as trained). With the `reflex` that lies beside the weights the ego brakes for whom
    the network sees ahead, whatever it answers. `device` "cpu", "cuda" or "auto"; `batch` is how many
    scenarios `drive bench` asks about at once.
    """

    weights: str = ""
    codebook: str = ""
    thinking: str = "auto"
    rate: float = 2.0
    temperature: float = 0.0
    thought: int = 0
    reflex: bool = True
    device: str = "cpu"
    batch: int = 4

    def __post_init__(self) -> None:
        if self.thinking not in MODES:
            raise InputError(f"thinking is one of {', '.join(MODES)}, not '{self.thinking}'")
        if (
            not 0.0 < self.rate <= CAMERA_RATE
            or abs(CAMERA_RATE / self.rate - round(CAMERA_RATE / self.rate)) > 1e-6
        ):
            raise InputError(
                f"autovla's rate is {CAMERA_RATE:g} Hz divided by a whole number, not {self.rate:g}"
            )
        if not 0.0 <= self.temperature < np.inf or self.thought < 0:
            raise InputError("autovla's temperature and thought are 0 or more")


def cameras_of(setup: Setup) -> tuple[CameraSpec, ...]:
    """The cameras that a setup's clips are of; none for the text variant."""
    if not setup.pictures:
        return ()
    return tuple(
        replace(named(name, setup.picture), rate=CAMERA_RATE, frames=setup.frames) for name in setup.cameras
    )


class AutoVLAPlanner:
    """A small vision-language-action model: it sees by cameras, thinks when it must, and drives."""

    config_type = AutoVLAConfig

    def __init__(self, config: AutoVLAConfig | None = None) -> None:
        self.config = c = config or AutoVLAConfig()
        device = device_of(c.device)
        reflex: Reflex | None = None
        if c.weights and Path(c.weights).is_dir():
            if not c.codebook:
                raise InputError("autovla: weights in a folder need their codebook, an npz file")
            files: tuple[Path, ...] = (Path(c.codebook), *sorted(Path(c.weights).glob("*.safetensors")))
            # As published: ten actions, five seconds.
            setup = Setup(actions=10, picture=(392, 252), thought=512, cameras=PAPER_CAMERAS)
            product = product_of_folder(Path(c.weights), Codebook.load(c.codebook), setup, device)
        else:
            path = find_weights("autovla", c.weights, WEIGHTS, "autovla-sft")[0]
            files = (path, path.with_suffix(TOKENIZER), path.with_suffix(CODEBOOK))
            product, _ = load_product(path, device)
            if c.reflex and (reflex := load_reflex(path)) is not None:
                files = (*files, reflex_file(path))
        if c.thought:
            product = replace(product, setup=replace(product.setup, thought=c.thought))
        self._begin(product, device)
        self.reflex = reflex
        self.digest = digest_of(files)

    def _begin(self, product: Product, device: str) -> None:
        setup = product.setup
        self.product, self.device, self.batch = product, device, self.config.batch
        self.grammar = product.grammar
        self.static = static_part(product.vla, product.phrases)
        self.spec = PlannerSpec(
            "autovla",
            horizon=setup.actions * DT,
            rate=self.config.rate,
            history=(SIZES.history - 1) * SIZES.history_dt,
            needs=("road", "route"),
            cameras=cameras_of(setup),
        )

    def start(self, task: Task) -> AutoVLASession:
        return AutoVLASession(self, task, VectorSensor.start(task, SIZES))

    def plan_batch(
        self, sessions: Sequence[AutoVLASession], observations: ObservationBatch | Sequence[Observation]
    ) -> list[Plan]:
        """One plan for each session; those that see nothing brake, the others are asked at once."""
        seen = [observations[row] for row in range(len(sessions))]
        asked = [session.prompt(o) for session, o in zip(sessions, seen, strict=True)]
        prompts = [prompt for prompt in asked if isinstance(prompt, Prompt)]
        own = [session for session, prompt in zip(sessions, asked, strict=True) if isinstance(prompt, Prompt)]
        found = iter(self._sampled(prompts, own))
        plans = []
        for session, o, prompt in zip(sessions, seen, asked, strict=True):
            if isinstance(prompt, Prompt):
                plans.append(session.told(o, next(found)))
            else:
                plans.append(session.lost(o, prompt))
        return plans

    def _sampled(self, prompts: Sequence[Prompt], sessions: Sequence[AutoVLASession]) -> list[Sampled]:
        if not prompts:
            return []
        c, vla = self.config, self.product.vla
        how: dict[str, Any] = {"mode": c.thinking, "static": self.static}
        if c.temperature == 0.0:
            return [one for (one,) in sample(vla, self.grammar, prompts, **how)]
        found = []
        for prompt, session in zip(prompts, sessions, strict=True):
            # By itself, so that what is drawn does not depend on who else is asked about.
            generator = torch.Generator(self.device)
            generator.manual_seed((session.task.seed + 1) * 1_000_003 + session.calls)
            how["generator"] = generator
            found.append(sample(vla, self.grammar, [prompt], temperature=c.temperature, **how)[0][0])
        return found


@dataclass(slots=True, eq=False)
class AutoVLASession:
    """One ego in one scenario."""

    planner: AutoVLAPlanner
    task: Task
    vector: VectorSensor
    calls: int = 0
    last: Plan | None = field(default=None)

    def plan(self, observation: Observation) -> Plan:
        return self.planner.plan_batch([self], [observation])[0]

    def prompt(self, o: Observation) -> Prompt | str:
        """The prompt of what is observed, or why there is none."""
        product = self.planner.product
        scene = self.vector.sense(o)
        if not (scene.route_valid.any() or scene.lanes_valid.any()):
            return "no road in sight"
        if not (all(np.isfinite(array).all() for array in scene) and np.isfinite(o.ego_history).all()):
            return "what is sensed is not finite"
        clips = None
        if product.setup.pictures:
            missing = [name for name in product.setup.cameras if name not in o.images]
            if missing:
                return f"no picture of camera '{missing[0]}'"
            clips = np.stack([o.images[name] for name in product.setup.cameras])
        past = past_poses(o.ego_history, SIZES, self.task.dt)
        return make_prompt(product.phrases, state_text(scene, past, product.setup.prompt), clips)

    def told(self, o: Observation, one: Sampled) -> Plan:
        """The plan of an answer."""
        planner = self.planner
        try:
            if one.overlong:
                raise InvalidAnswer(f"the thought has no end within {planner.grammar.longest} tokens")
            answer = planner.grammar.parse(one.ids)
        except InvalidAnswer as error:
            return self.lost(o, f"invalid answer: {error}", PlanStatus.INVALID)
        poses = planner.product.codebook.decode(np.array(answer.actions))
        figures, reason = figures_of(answer, one), said(answer)
        if planner.reflex is not None and one.state is not None:
            speed = max(float(o.ego[SPEED]), 0.0)
            figures["pressure"] = felt = planner.reflex.felt(one.state, speed)
            if felt > BRAKES:
                poses = slowed(poses, DT, speed, felt)
                reason += f"; slowed for who is ahead ({felt:.2f})"
        decision = Decision(poses, DT, figures=figures, reason=reason)
        plan = plan_of(decision, o)
        self.last, self.calls = plan, self.calls + 1
        return plan

    def lost(self, o: Observation, why: str, status: PlanStatus = PlanStatus.FALLBACK) -> Plan:
        """Without an answer: what is left of the last plan while it reaches a second on, else to brake."""
        self.calls += 1
        last = self.last
        if last is not None and last.trajectory.times[-1] >= o.time + 1.0 and np.isfinite(o.ego).all():
            times = np.arange(o.time, float(last.trajectory.times[-1]) + 1e-9, 0.1)
            states = np.array(last.trajectory.at(times))
            states[0] = o.ego[: states.shape[1]]
            trajectory = type(last.trajectory).uniform(o.time, 0.1, states)
            return replace(
                last, trajectory=trajectory, status=status, reason=f"{why}; the last plan goes on", figures={}
            )
        return braking_plan(o, self.task.vehicle, why, status, horizon=self.planner.spec.horizon)


def figures_of(answer: Answer, one: Sampled) -> dict[str, float]:
    """Numbers of an answer for charts: slow or not, tokens of the thought, how sure it was of its actions
    (the mean log-probability), and the actions themselves."""
    logp = [value for value, kind in zip(one.logp, one.kinds, strict=True) if kind == ACTION]
    told = {"slow": float(answer.slow), "thought": float(one.kinds.count(FREE)), "sure": float(np.mean(logp))}
    return told | {f"action_{k}": float(a) for k, a in enumerate(answer.actions)}


def said(answer: Answer) -> str:
    """The answer as a person reads it."""
    actions = " ".join(str(a) for a in answer.actions)
    return f"{'slow' if answer.slow else 'fast'}: {answer.thought} [{actions}]".replace(":  [", ": [")


__all__ = ["AutoVLAConfig", "AutoVLAPlanner", "AutoVLASession", "cameras_of", "figures_of", "said"]

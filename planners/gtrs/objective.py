"""The loss of one batch: the original view, turned views, soft targets, the refinement and the generator.

L = L_original + mean over views L_turned + L_soft + L_refine + w L_generator (GTRS 3.2, 3.3 and 3.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from drive.errors import InputError
from drive.nn._torch import Tensor, nn, torch
from drive.nn.augment import rotate_poses, rotate_scene
from drive.nn.tokens import SceneBatch, scene_batch
from drive.planners.gtrs.aug import AugSettings, draw_angles, shift_panorama
from drive.planners.gtrs.losses import imitation_target, scorer_loss, soften, soften_plan, targets
from drive.planners.gtrs.profiles import PROFILES
from drive.planners.gtrs.refine import gather
from drive.planners.gtrs.scorer import rank
from drive.planners.learned.profiles import IMITATION, find_profile

if TYPE_CHECKING:
    from drive.nn.tokens import SceneTokens
    from drive.planners.gtrs.model import GTRSModel

LABEL_NAMES = ("nc", "dac", "ddc", "tlc", "ep", "ttc", "lk", "hc", "score")
"""The columns of a training set's labels: `drive.sim.teacher.TEACHER_NAMES`."""


@dataclass(frozen=True, slots=True)
class ObjectiveSettings:
    """Weights of the parts; `profile` chooses whom the refinement looks at, `three_to_two` counts half marks
    as none, `field_of_view` rad is what pictures cover in all."""

    generator: float = 2.0
    three_to_two: bool = True
    profile: str = "aug"
    aug: AugSettings = field(default_factory=AugSettings)
    field_of_view: float = 3.0


class Objective:
    """`objective(model, batch, generator) -> (loss, figures)` over a training set's fields.

    `poses (V, 40, 3)` are those of the vocabulary that "label_rows" count, on the device; `teacher` is the
    running mean of the student, whom soft targets need.
    """

    def __init__(self, settings: ObjectiveSettings, poses: Tensor, teacher: GTRSModel | None = None) -> None:
        self.settings, self.poses, self.teacher = settings, poses, teacher
        if settings.aug.soft and teacher is None:
            raise InputError("soft targets need the running mean of the weights: set fit.ema")

    def __call__(
        self, model: nn.Module, batch: Mapping[str, Tensor], generator: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        s, aug = self.settings, self.settings.aug
        student = cast("GTRSModel", model)
        view = scene_batch(batch, batch["scene.ego"].device)
        valid = batch["future_valid"].bool()
        expert = batch["future"].float().nan_to_num()
        lesson = _Lesson(
            self.poses[batch["label_rows"].long()] if student.scorer is not None else expert[:, None],
            targets(batch["labels"], LABEL_NAMES, s.three_to_two) if student.scorer is not None else {},
            expert,
            valid,
        )
        tokens = student(view)
        total, figures = self._view(student, tokens, view, lesson, 0.0)
        if student.generator is not None:
            part = student.generator.loss(tokens, expert, valid.all(1), generator)
            total, figures["generator"] = total + s.generator * part, part.detach()
        if student.scorer is not None and student.training:
            for _ in range(aug.views):
                angle = draw_angles(len(expert), aug, generator).to(expert.device)
                turned, other = turn_view(view, angle, s.field_of_view), lesson.turned(angle)
                part, _ = self._view(student, student(turned), turned, other, -angle)
                total = total + part / aug.views
                figures["turned"] = figures.get("turned", 0.0) + part.detach() / aug.views
            if aug.soft and self.teacher is not None:
                part = self._soft(student, self.teacher, tokens, view, lesson)
                total, figures["soft"] = total + part, part.detach()
        return total, figures

    def _view(
        self, model: GTRSModel, tokens: SceneTokens, view: SceneBatch, lesson: _Lesson, turn: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if model.scorer is None:
            return torch.zeros((), device=view.ego.device), {}
        states = model.scorer.states(tokens, view.scene, lesson.candidates, turn)
        logits = model.scorer.heads(states)
        total, figures = scorer_loss(logits, lesson.target, lesson.imitation(), lesson.known())
        if model.refiner is not None:
            with torch.no_grad():
                held = {name: values.detach() for name, values in logits.items()}
                rows = rank(
                    held, find_profile(self.settings.profile, PROFILES), model.refiner.settings.topk
                ).topk
            few = lesson.at(rows)
            layers = model.refiner(gather(states, rows), tokens)
            for logits in layers:
                part, _ = scorer_loss(logits, few.target, few.imitation(), few.known())
                total = total + part / len(layers)
            figures["refine"] = part.detach()
        return total, figures

    def _soft(
        self, student: GTRSModel, teacher: GTRSModel, tokens: SceneTokens, view: SceneBatch, lesson: _Lesson
    ) -> Tensor:
        """The loss against targets that the slow teacher has moved by little."""
        aug = self.settings.aug
        assert student.scorer is not None
        assert teacher.scorer is not None
        with torch.no_grad():
            theirs = teacher.scorer(teacher(view), view.scene, lesson.candidates)
            pick = rank(theirs, find_profile(self.settings.profile, PROFILES), 1).index
            plan = gather(lesson.candidates, pick[:, None])[:, 0]
            soft = {
                name: soften(values, theirs[name], aug.soft_limit) if name in theirs else values
                for name, values in lesson.target.items()
            }
            expert = soften_plan(lesson.expert, plan, aug.plan_limit)
        moved = replace(lesson, target=soft, expert=expert)
        logits = student.scorer(tokens, view.scene, lesson.candidates)
        total, _ = scorer_loss(logits, moved.target, moved.imitation(), moved.known())
        return total


@dataclass(frozen=True, slots=True, eq=False)
class _Lesson:
    """Candidates `(B, K, T, 3)`, their targets `(B, K)` by head, and the expert `(B, T, 3)` where valid."""

    candidates: Tensor
    target: Mapping[str, Tensor]
    expert: Tensor
    valid: Tensor

    def known(self) -> Tensor:
        return self.valid.any(1)

    def imitation(self) -> Tensor:
        return imitation_target(self.candidates, self.expert, self.valid)

    def turned(self, angle: Tensor) -> _Lesson:
        """The same lesson as an ego turned by `angle (B,)` to the left would see it: labels stay."""
        return replace(
            self, candidates=rotate_poses(self.candidates, -angle), expert=rotate_poses(self.expert, -angle)
        )

    def at(self, rows: Tensor) -> _Lesson:
        """Some candidates `(B, k)` alone."""
        return replace(
            self,
            candidates=gather(self.candidates, rows),
            target={name: values.gather(1, rows) for name, values in self.target.items()},
        )


def turn_view(view: SceneBatch, angle: Tensor, field_of_view: float = 3.0) -> SceneBatch:
    """The moment as an ego turned by `angle (B,)` to the left would see it. Rasters cannot be turned."""
    if view.raster is not None and view.images is None:
        raise InputError("turned views need vector scenes or pictures: set aug.views=0 for rasters")
    # The scene turns the other way: what lay ahead then lies to the right.
    scene = None if view.scene is None else rotate_scene(view.scene, -angle)
    images = None if view.images is None else shift_panorama(view.images, angle, field_of_view)
    return SceneBatch(scene, None, images, view.ego if scene is None else scene.ego)


__all__ = ["IMITATION", "LABEL_NAMES", "Objective", "ObjectiveSettings", "turn_view"]

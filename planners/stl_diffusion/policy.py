"""How the policy drives: samples in the modes asked for, one chosen, and the next call started from them.

Real-time iteration after Duan et al. 2025 (RTI-DP): the last samples, as they go on from now, are denoised in
the last few steps alone. Controls do not know a frame, so that nothing else is to be moved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.forecast import expected
from drive.geometry import to_frame
from drive.nn._torch import Tensor, torch
from drive.nn.diffusion import add_noise
from drive.nn.scene import EGO_COLUMNS, SceneArrays
from drive.nn.tokens import SceneBatch
from drive.planner import Candidates, PlanStatus
from drive.planners.learned.decision import Decision
from drive.planners.stl_diffusion.bounds import NO_LIMIT, relaxed
from drive.planners.stl_diffusion.calibrate import look_times
from drive.planners.stl_diffusion.choice import SECONDS, utility
from drive.planners.stl_diffusion.motion import shifted
from drive.planners.stl_diffusion.patience import Stood, standing
from drive.planners.stl_diffusion.sampling import Drawn, Told, draw, told_of
from drive.planners.stl_diffusion.scorer import Looked, Scorer, joined
from drive.planners.stl_diffusion.signals import Others, make_ground, oncoming
from drive.planners.stl_diffusion.template import MODES, TERMS, Template
from drive.planners.stl_diffusion.variants import variants
from drive.sim.forecast.flow import along_lanes
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.forecast import Forecaster
    from drive.planner import Observation
    from drive.planners.learned.decision import Memory
    from drive.planners.stl_diffusion.config import STLDiffusionConfig
    from drive.planners.stl_diffusion.model import PolicyNet

SLACK = 0.2
"""m/s; how far variants stay below the greatest speed."""
WITHIN = 0.15
"""m; how far a way beside the lane's middle stays within its bound."""
LANE, SWAY, TURNED = 1.2, 0.1, 0.8
"""m, m per m, rad: who is behind and no farther aside, nor turned more, follows the ego."""
GRID = 0.2
"""s; how finely forecasts are asked for."""
_EGO = {name: k for k, name in enumerate(EGO_COLUMNS)}


class Last(NamedTuple):
    """What a session keeps: all samples `(M, N, knots, 2)`, which was driven, how robust it seemed, the time
    of the call, that of the last one that began anew, and what is known of standing."""

    drawn: Tensor
    chosen: int
    robustness: float
    time: float
    begun: float
    stood: Stood


@dataclass(eq=False)
class STLPolicy:
    """Network and settings; no state of a session."""

    model: PolicyNet
    config: STLDiffusionConfig
    forecaster: Forecaster

    @property
    def modes(self) -> tuple[str, ...]:
        return MODES if self.config.mode == "any" else (self.config.mode,)

    def decide(
        self, batch: SceneBatch, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[Decision]:
        # Slopes are asked of what was made here, which inference mode does not allow.
        with torch.inference_mode(False), torch.no_grad():
            rows = range(len(observations))
            stood = self._stood(batch, observations, memories)
            # With a wider bound others are drawn.
            warm = [
                row
                for row in rows
                if self._goes_on(observations[row], memories[row])
                and stood[row].wide(observations[row].time)
                == memories[row].state.stood.wide(observations[row].time)
            ]
            out: dict[int, Decision] = {}
            again = []
            for row, decision in zip(
                warm, self._of(warm, True, batch, observations, memories, stood), strict=True
            ):
                if decision is None:
                    again.append(row)
                else:
                    out[row] = decision
            fresh = [row for row in rows if row not in out]
            for row, decision in zip(
                fresh, self._of(fresh, False, batch, observations, memories, stood), strict=True
            ):
                if decision is not None:
                    decision.figures["restarted"] = float(row in again)  # type: ignore[index]
                    out[row] = decision
            return [out[row] for row in rows]

    def _stood(
        self, batch: SceneBatch, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[Stood]:
        """What is known of each ego's standing, now."""
        egos = batch.ego.cpu().numpy()
        return [
            (m.state.stood if isinstance(m.state, Last) else Stood()).next(self.config.patience, o, ego)
            for o, m, ego in zip(observations, memories, egos, strict=True)
        ]

    def _goes_on(self, observation: Observation, memory: Memory) -> bool:
        last = memory.state
        return (
            self.config.rti_steps > 0
            and self.model.settings.kind == "ddpm"
            and isinstance(last, Last)
            and 0.0 <= observation.time - last.time <= 1.0
        )

    def _of(
        self,
        rows: Sequence[int],
        warm: bool,
        batch: SceneBatch,
        observations: Sequence[Observation],
        memories: Sequence[Memory],
        known: Sequence[Stood],
    ) -> list[Decision | None]:
        """Decisions for some rows; None where a warm start is not good enough."""
        if not rows:
            return []
        c, motion = self.config, self.model.settings.motion
        view = picked(batch, rows)
        assert view.scene is not None
        seen, kept = [observations[row] for row in rows], [memories[row] for row in rows]
        times = look_times(motion, view.ego)
        lanes = lanes_of(view.scene)
        others, later = others_of(seen, self.forecaster, (times, times + SECONDS), c.others, lanes, c.walkers)
        ground = make_ground(view.scene, self.modes, others)
        stood = [known[row] for row in rows]
        wide = torch.tensor([one.wide(o.time) for one, o in zip(stood, seen, strict=True)])
        wanted = asked_of(c, view.ego, len(self.modes), wide.to(view.ego))
        template = Template(motion.look_dt)
        bounds = relaxed(ground, wanted, times)
        scorer = Scorer(template, motion, ground, self.modes, bounds, lag=c.lag)
        told = told_of(self.model, view, scorer, wanted)
        gone = None
        if warm:
            drawn, gone = self._warm(told, scorer, seen, kept)
        else:
            shape = (len(self.modes), c.candidates, motion.knots, 2)
            noise = torch.from_numpy(np.stack([m.rng().standard_normal(shape) for m in kept]))
            drawn = draw(
                self.model, told, scorer, c.candidates, c.sampling,
                torch.Generator().manual_seed(c.seed), noise=noise.to(told.context),
            )  # fmt: skip
        return self._decisions(scorer, drawn, gone, later, oncoming(view.scene), seen, kept, stood, wide)

    def _warm(
        self, told: Told, scorer: Scorer, seen: Sequence[Observation], memories: Sequence[Memory]
    ) -> tuple[Drawn, Tensor]:
        """Samples from the last ones, and how robust the last plan is now, `(B,)`."""
        c, s = self.config, self.model.settings
        start = torch.stack(
            [
                shifted(s.motion, m.state.drawn, o.time - m.state.time)
                for o, m in zip(seen, memories, strict=True)
            ]
        ).to(told.context)
        visited = sorted(
            {round(c.rti_from * k / max(c.rti_steps - 1, 1)) for k in range(c.rti_steps)}, reverse=True
        )
        noisy = start
        if c.rti_noise:
            white = torch.from_numpy(np.stack([m.rng().standard_normal(start.shape[1:]) for m in memories]))
            at = torch.full((len(start),), visited[0], device=start.device)
            noisy = add_noise(s.diffusion, start, white.to(start), at)
        how = replace(c.sampling, guidance=replace(c.sampling.guidance, steps=c.rti_guidance))
        found = draw(
            self.model, told, scorer, c.candidates, how, torch.Generator().manual_seed(c.seed),
            start=noisy, visited=visited, kept=start,
        )  # fmt: skip
        assert found.before is not None
        rho = found.before.robustness.flatten(1)
        return found, rho[torch.arange(len(start)), [m.state.chosen for m in memories]]

    def _decisions(
        self,
        scorer: Scorer,
        found: Drawn,
        gone: Tensor | None,
        later: Others,
        narrow: Tensor,
        seen: Sequence[Observation],
        memories: Sequence[Memory],
        stood: Sequence[Stood],
        wide: Tensor,
    ) -> list[Decision | None]:
        c, motion = self.config, self.model.settings.motion
        looked = found.looked
        held = None if gone is None else torch.tensor([m.state.chosen for m in memories])
        worth = utility(scorer, looked, found.drawn, c.choice, later, held)
        if c.variants:
            more = self._variants(scorer, looked, worth, narrow)
            seen_too = scorer.look(more)
            found = found._replace(drawn=torch.cat((found.drawn, more), 2))
            worth = torch.cat((worth, utility(scorer, seen_too, more, c.choice, later)), 2)
            looked = joined((looked, seen_too))
        found = found._replace(looked=looked)
        if wide.any():
            worth = worth - c.patience.worth * (
                standing(looked.states) & wide.to(worth.device)[:, None, None]
            )
        states, number = looked.states, found.drawn.shape[2]
        terms = dict(zip(TERMS, looked.terms, strict=True))
        flat = worth.flatten(1)
        choice = flat.argmax(1).tolist()
        shown = flat.topk(min(c.shown, flat.shape[1]), 1).indices if c.shown else None
        if shown is not None:  # of equals another one might be told of
            missing = (shown != torch.tensor(choice)[:, None]).all(1)
            shown[missing, -1] = torch.tensor(choice)[missing]
        out: list[Decision | None] = []
        for row, (o, memory) in enumerate(zip(seen, memories, strict=True)):
            rho = float(found.robustness[row].flatten()[choice[row]])
            if (
                gone is not None
                and o.time - memory.state.begun > c.rti_wait - 1e-6
                and (
                    float(found.robustness[row].max()) < 0.0
                    or float(gone[row]) < min(memory.state.robustness, 0.5) - c.rti_jump
                )
            ):
                out.append(None)
                continue
            kept, chosen = last_of(found.drawn[row], worth[row], choice[row], c.candidates)
            begun = o.time if gone is None else memory.state.begun
            memory.state = Last(kept, chosen, rho, o.time, begun, stood[row])
            driven = states[row].flatten(0, 1)[choice[row]]
            figures = {
                "robustness": rho,
                "compliance": float((found.robustness[row, :, : c.candidates] > 0.0).float().mean()),
                "variant": float(choice[row] % number >= c.candidates),
                "mode": float(MODES.index(self.modes[choice[row] // number])),
                "gradients": float(found.gradients),
                "calls": float(found.calls),
                "warm": float(gone is not None),
                "wide": float(wide[row]),
            }
            poses = driven[1:].double().cpu().numpy()
            out.append(
                Decision(
                    poses[:, :3],
                    motion.dt,
                    speed=poses[:, 3],
                    candidates=None if shown is None else self._candidates(
                        row, shown[row], choice[row], states, flat, found, terms
                    ),
                    figures=figures,
                    status=PlanStatus.OK if rho > 0.0 else PlanStatus.DEGRADED,
                    reason="" if rho > 0.0 else "no sample obeys the formula",
                )
            )  # fmt: skip
        return out

    def _variants(self, scorer: Scorer, looked: Looked, worth: Tensor, narrow: Tensor) -> Tensor:
        """The paths of the best samples of each mode, of the one that gets farthest on the road, the lane
        itself, and a way along its left bound unless that is `narrow (B,)`, at other speeds."""
        lane = torch.stack([looked.terms[TERMS.index(name)] for name in ("offset", "heading", "edge")]).amin(
            0
        )
        far = torch.where(lane > 0.0, looked.states[..., 3].sum(-1), lane).argmax(2, keepdim=True)
        best = worth.topk(min(self.config.variants, worth.shape[2]), 2).indices
        rows = torch.cat((best, far), 2)[..., None, None].expand(-1, -1, -1, *looked.states.shape[3:])
        caps = scorer.parameters["vmax"][:, :, 0, -1] - SLACK
        left = (scorer.parameters["dmax"][:, :, 0, -1] - WITHIN).clamp(min=0.0)
        left = left.masked_fill(narrow[:, None], 0.0)
        asides = torch.stack((torch.zeros_like(left), left), 2)
        if narrow.all():
            asides = asides[:, :, :1]
        return variants(scorer.motion, looked.states.gather(2, rows), scorer.ground.way, caps, asides)

    def _candidates(
        self, row: int, picked: Tensor, choice: int, states: Tensor, utility: Tensor, found: Drawn,
        terms: dict[str, Tensor],
    ) -> Candidates:  # fmt: skip
        def of(values: Tensor) -> Any:
            return values[row].flatten()[picked].double().cpu().numpy()

        motion = self.model.settings.motion
        poses = states[row, ..., 1:, :3].flatten(0, 1)[picked].double().cpu().numpy()
        scores = {"total": of(utility), "robustness": of(found.robustness)}
        scores |= {name: of(values) for name, values in terms.items()}
        number = picked.cpu().numpy()
        scores["mode"] = np.array([MODES.index(self.modes[k // found.drawn.shape[2]]) for k in number], float)
        times = motion.dt * np.arange(1, poses.shape[1] + 1)
        return Candidates(times, poses, scores, chosen=int(np.flatnonzero(number == choice)[0]))


def last_of(drawn: Tensor, worth: Tensor, choice: int, count: int) -> tuple[Tensor, int]:
    """What is kept of samples and variants `(M, N, knots, 2)`: the `count` samples of each mode, and the
    number of the chosen one among them; a variant that was chosen takes the place of its mode's worst."""
    mode, index = divmod(choice, drawn.shape[1])
    kept = drawn[:, :count].clone()
    if index >= count:
        worst = int(worth[mode, :count].argmin())
        kept[mode, worst] = drawn[mode, index]
        index = worst
    return kept, mode * count + index


def picked(batch: SceneBatch, rows: Sequence[int]) -> SceneBatch:
    """Some moments of a batch, as tensors of their own."""

    def some(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor[list(rows)].clone()

    scene = None if batch.scene is None else SceneArrays(*(some(field) for field in batch.scene))
    ego = batch.ego[list(rows)].clone() if scene is None else scene.ego
    return SceneBatch(scene, some(batch.raster), some(batch.images), ego)


def following(observation: Observation, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Who of `rows` drives behind the ego in its lane: it minds the ego. Its forecast would have it run into
    whoever brakes."""
    o = observation
    poses = to_frame(o.agents[rows, :3], o.ego[:3])
    front = poses[:, 0] + 0.5 * o.agent_size[rows, 0]
    aside = np.abs(poses[:, 1]) < LANE + SWAY * -poses[:, 0]
    found: NDArray[np.bool_] = (front < 0.0) & aside & (np.abs(poses[:, 2]) < TURNED)
    return found


def asked_of(config: STLDiffusionConfig, ego: Tensor, modes: int, wide: Tensor | None = None) -> Tensor:
    """The settings as parameters `(B, modes, 6)`; without a speed of its own the way's limit. Where it is
    `wide (B,)`, 1 or 0, more room to the right."""
    c = config
    limit = ego[:, _EGO["limit"]]
    limit = torch.where(limit > 0.5, limit, torch.full_like(limit, NO_LIMIT))
    vmax = limit if c.vmax <= 0.0 else torch.full_like(limit, c.vmax)
    values = [torch.full_like(limit, v) for v in (c.vmin, c.dmin, c.dmax, c.dsafe, c.thmax)]
    if wide is not None:
        values[1] = values[1] - c.patience.wider * wide
    row = torch.stack((values[0], vmax, *values[1:]), -1)
    return row[:, None].expand(-1, modes, -1)


def lanes_of(scene: SceneArrays) -> list[NDArray[np.float64]]:
    """The points of all lanes in sight of each moment, `(S, 4)`, with cosine and sine."""
    points, there = scene.lanes[..., :4].double().cpu().numpy(), scene.lanes_valid.cpu().numpy()
    return [row[mask].reshape(-1, 4) for row, mask in zip(points, there, strict=True)]


def others_of(
    seen: Sequence[Observation],
    forecaster: Forecaster,
    times: Sequence[Tensor],
    most: int,
    lanes: Sequence[NDArray[np.float64]] = (),
    walkers: float = 0.0,
) -> list[Others]:
    """The `most` nearest agents of each observation, where they are forecast to be at each of some `times`,
    in the ego's frame.

    Forecasts that came with an observation are taken as they are, others bent along `lanes` (of `lanes_of`).
    """
    asked = [some.double().cpu().numpy() for some in times]
    fine = np.arange(1, round(max(some[-1] for some in asked) / GRID) + 2) * GRID
    rows = []
    for o in seen:
        there = np.flatnonzero(o.agent_valid & np.isfinite(o.agents).all(1))
        there = there[~following(o, there)]
        gap = np.hypot(*(o.agents[there, :2] - o.ego[:2]).T)
        rows.append(there[np.argsort(gap, kind="stable")[:most]])
    wide = max(max((len(r) for r in rows), default=0), 1)
    places = [np.zeros((len(seen), wide, len(some), 4)) for some in asked]
    half, valid = np.zeros((len(seen), wide, 2)), np.zeros((len(seen), wide), dtype=np.bool_)
    for k, (o, row) in enumerate(zip(seen, rows, strict=True)):
        if not len(row):
            continue
        found = o.forecasts or forecaster.forecast(o, o.time + fine)
        poses = to_frame(expected(found, o.time + fine)[row], o.ego[:3])
        if lanes and not o.forecasts:
            at = to_frame(o.agents[row, :3], o.ego[:3])
            now = np.column_stack((at, np.hypot(o.agents[row, 3], o.agents[row, 4])))
            poses = along_lanes(poses, now, o.agent_kind[row], lanes[k], fine)
        table = np.concatenate((poses[..., :2], np.cos(poses[..., 2:]), np.sin(poses[..., 2:])), -1)
        for place, some in zip(places, asked, strict=True):
            place[k, : len(row)] = between(table, fine, some)
        half[k, : len(row)], valid[k, : len(row)] = 0.5 * o.agent_size[row, :2], True
        half[k, : len(row)][o.agent_kind[row] == AgentKind.PEDESTRIAN] += walkers
    device = times[0].device
    sizes, known = torch.from_numpy(half).float().to(device), torch.from_numpy(valid).to(device)
    return [Others(torch.from_numpy(place).float().to(device), sizes, known) for place in places]


def between(values: NDArray[np.float64], times: NDArray[np.float64], asked: NDArray[np.float64]) -> Any:
    """`values (A, T, C)` at `times` as they are at the times `asked`, linear in between."""
    after = np.clip(np.searchsorted(times, asked - 1e-9), 1, len(times) - 1)
    share = np.clip((asked - times[after - 1]) / (times[after] - times[after - 1]), 0.0, 1.0)[:, None]
    return (1.0 - share) * values[:, after - 1] + share * values[:, after]


__all__ = ["Last", "STLPolicy", "asked_of", "others_of", "picked"]

"""What a trained scorer is worth on held-out moments, as a table with bootstrap intervals.

    python -m drive.planners.gtrs.evaluate DATA WEIGHTS [--other DATA --words VOCABULARY]
        [--regression WEIGHTS] [--rows N]

DATA is a training set of held-out scenes with labels (`drive train data`), OTHER the same scenes labelled for
another vocabulary. Every figure is a mean of the teacher's true scores over moments; a moment is no drive.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drive.errors import DriveError, InputError
from drive.nn._torch import Tensor, torch
from drive.nn.store import TrainingSet
from drive.nn.vocabulary import Vocabulary
from drive.planners.gtrs.losses import difference
from drive.planners.gtrs.model import GTRSModel
from drive.planners.gtrs.objective import LABEL_NAMES
from drive.planners.gtrs.planner import load_all, vocabulary_path
from drive.planners.gtrs.profiles import PROFILES
from drive.planners.gtrs.verdict import SCORE, chunks, moment, picks
from drive.planners.learned.intervals import bootstrap
from drive.planners.learned.profiles import Profile, emphasised, find_profile

Floats = NDArray[np.float64]


def auroc(odds: Floats, truth: NDArray[np.bool_]) -> float:
    """The chance that a true one is rated above one that is not, half for equals; NaN where all are one."""
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return float("nan")
    _, of, count = np.unique(odds, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - 0.5 * (count - 1))[of]
    return float((rank[truth].sum() - positive * (positive + 1) / 2.0) / (positive * negative))


def brier(odds: Floats, truth: NDArray[np.bool_]) -> tuple[float, float]:
    """The mean squared error of the odds, and that of who always says how often it is true."""
    rate = truth.mean()
    return float(np.square(odds - truth).mean()), float(rate * (1.0 - rate))


@torch.no_grad()
def calibration(
    model: GTRSModel, data: Any, rows: NDArray[np.intp], poses: Tensor, heads: Iterable[str] = ("nc", "dac")
) -> dict[str, tuple[float, float, float]]:
    """By head: AUROC, Brier score, and the Brier score of the base rate, over all labelled candidates."""
    scorer = model.scorer
    if scorer is None:
        raise InputError("these weights hold no scorer")
    odds: dict[str, list[Floats]] = {name: [] for name in heads}
    truth: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in heads}
    for batch in chunks(data, rows, "cpu"):
        view = moment(batch)
        logits = scorer(model(view), view.scene, poses[batch["label_rows"].long()])
        for name in odds:
            odds[name].append(torch.sigmoid(logits[name]).double().numpy().ravel())
            truth[name].append((batch["labels"][..., LABEL_NAMES.index(name)] > 0.75).numpy().ravel())
    out = {}
    for name in odds:
        p, y = np.concatenate(odds[name]), np.concatenate(truth[name])
        out[name] = (auroc(p, y), *brier(p, y))
    return out


@torch.no_grad()
def relative(
    model: GTRSModel, data: Any, rows: NDArray[np.intp], poses: Tensor, profile: Profile, share: int = 1
) -> Floats:
    """The pick's true score over the best one's, `(N,)`, of every `share`-th labelled candidate by chance."""
    rng, found = np.random.default_rng(0), []
    for batch in chunks(data, rows, "cpu"):
        count = batch["label_rows"].shape[1]
        kept = torch.from_numpy(np.sort(rng.permutation(count)[: max(count // share, 1)]))
        view, score = moment(batch), batch["labels"][:, kept, SCORE].double()
        candidates = poses[batch["label_rows"][:, kept].long()]
        index = model.judge(model(view), view, candidates, profile, 1).index
        best = score.max(1).values
        picked = score[torch.arange(len(index)), index]
        found.append(torch.where(best > 0.0, picked / best.clamp(min=1e-6), torch.ones_like(best)).numpy())
    return np.concatenate(found)


@torch.no_grad()
def progress(model: GTRSModel, data: Any, rows: NDArray[np.intp], poses: Tensor, profile: Profile) -> Floats:
    """How far ahead the pick ends in m, `(N,)`."""
    found = []
    for batch in chunks(data, rows, "cpu"):
        view, candidates = moment(batch), poses[batch["label_rows"].long()]
        index = model.judge(model(view), view, candidates, profile, 1).index
        found.append(candidates[torch.arange(len(index)), index, -1, 0].double().numpy())
    return np.concatenate(found)


@torch.no_grad()
def snapped(answer: Callable[[Any], Tensor], data: Any, rows: NDArray[np.intp], poses: Tensor) -> Floats:
    """True scores of plans `answer(view) -> (B, 40, 3)`, each taken to its nearest labelled candidate."""
    found = []
    for batch in chunks(data, rows, "cpu"):
        plan, candidates = answer(moment(batch)), poses[batch["label_rows"].long()]
        away = difference(candidates, plan[:, None])[..., :2].norm(dim=-1).mean(-1)
        score = batch["labels"][..., SCORE].double()
        found.append(score[torch.arange(len(plan)), away.argmin(1)].numpy())
    return np.concatenate(found)


def table(
    model: GTRSModel,
    data: Any,
    vocabulary: Vocabulary,
    profile: Profile,
    rows: int = 2000,
    other: tuple[Any, Vocabulary] | None = None,
    plans: Mapping[str, Callable[[Any], Tensor]] | None = None,
) -> list[tuple[str, str]]:
    """Rows of the table: what, and its figure. `plans` are other planners' answers, by name."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(data))[:rows])
    groups = data.take(chosen, ("scene_number",))["scene_number"]
    poses = torch.tensor(vocabulary.poses)

    def interval(values: Floats) -> str:
        return str(bootstrap(values, groups))

    p = picks(model, data, chosen, poses, profile)
    out = [("moments, scenes", f"{len(chosen)}, {len(np.unique(groups))}")]
    out += [(f"true score, {name}", interval(getattr(p, name))) for name in p._fields[:5]]
    out += [
        ("scorer - random", interval(p.picked - p.random)),
        ("scorer - straight", interval(p.picked - p.straight)),
        ("oracle - scorer (regret)", interval(p.oracle - p.picked)),
        ("expert - scorer", interval(p.expert - p.picked)),
    ]
    for name, answer in (plans or {}).items():
        theirs = snapped(answer, data, chosen, poses)
        out += [
            (f"true score, {name} (snapped)", interval(theirs)),
            (f"scorer - {name}", interval(p.picked - theirs)),
        ]
    if model.generator is not None:
        draw = torch.Generator().manual_seed(0)
        size = model.generator.size

        def one(view: Any) -> Tensor:
            noise = torch.randn((len(view.ego), 1, size), generator=draw)
            return model.propose(model(view), view, noise)[:, 0]

        out.append(
            ("true score, a proposal by chance (snapped)", interval(snapped(one, data, chosen, poses)))
        )
    for name, (area, own, base) in calibration(model, data, chosen, poses).items():
        out.append((f"{name}: AUROC, Brier (base rate)", f"{area:.3f}, {own:.4f} ({base:.4f})"))
    for share in (1, 2, 4, 16):
        name = "all" if share == 1 else f"1/{share}"
        out.append(
            (
                f"relative score, {name} of the candidates",
                interval(relative(model, data, chosen, poses, profile, share)),
            )
        )
    farther = progress(model, data, chosen, poses, emphasised(profile, "ep=3"))
    out.append(("metres more with ep=3", interval(farther - progress(model, data, chosen, poses, profile))))
    if other is not None:
        theirs, words = other
        some = np.sort(np.random.default_rng(0).permutation(len(theirs))[:rows])
        scenes = theirs.take(some, ("scene_number",))["scene_number"]
        unseen = relative(model, theirs, some, torch.tensor(words.poses), profile)
        out.append((f"relative score, unseen vocabulary of {len(words)}", str(bootstrap(unseen, scenes))))
    return out


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m drive.planners.gtrs.evaluate", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--other", type=Path, help="the same kind of set, labelled for another vocabulary")
    parser.add_argument("--words", type=Path, help="the vocabulary of OTHER")
    parser.add_argument("--regression", type=Path, help="weights of the regression baseline")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--profile", default="")
    given = parser.parse_args(arguments)
    try:
        (model,), (card,) = load_all((given.weights,), "cpu")
        vocabulary = Vocabulary.load(vocabulary_path(given.weights))
        data = TrainingSet.open(given.data).expect(vocabulary=vocabulary)
        profile = find_profile(given.profile or str(card.config.get("profile") or "closed_loop"), PROFILES)
        other = None
        if given.other is not None:
            if given.words is None:
                raise InputError("--other needs --words, the vocabulary that it is labelled for")
            words = Vocabulary.load(given.words)
            other = (TrainingSet.open(given.other).expect(vocabulary=words), words)
        plans = {} if given.regression is None else {"regression": _regression(given.regression)}
        found = table(model, data, vocabulary, profile, given.rows, other, plans)
    except DriveError as error:
        parser.exit(1, f"error: {error}\n")
    width = max(len(name) for name, _ in found)
    for name, figure in found:
        print(f"{name:<{width}}  {figure}")
    return 0


def _regression(path: Path) -> Callable[[Any], Tensor]:
    from drive.nn.weights import load_weights
    from drive.planners.regression.planner import network_of

    network, _ = load_weights(path, network_of)

    def answer(view: Any) -> Tensor:
        found: Tensor = network(view)[0]
        return found

    return answer


if __name__ == "__main__":
    raise SystemExit(main())

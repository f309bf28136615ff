"""What holds of trained planners, whoever trained them: slow, and only where there are some.

    for seed in 0 1; do for r in gtrs imitation diffusion regression hydra_next; do
        drive train $r --seed $seed --out out/trained/$r-$seed; done; done
    drive train data --for gtrs --out out/trained/data
    python -m drive.eval.training.trained out/trained
    DRIVE_TRAINED=out/trained pytest -m slow tests/planners/test_trained.py

The figures come to lie in the folder, in `acceptance.txt`; those of the last run are in docs/learned.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from drive.eval.bench.results import compare  # noqa: E402
from drive.eval.bench.statistics import Estimate, estimate  # noqa: E402
from drive.eval.training.judged import judged, planner_of  # noqa: E402
from drive.eval.training.oracle import Asked, moments_of  # noqa: E402
from drive.eval.training.reaction import compare_reactions, reactions  # noqa: E402
from drive.eval.training.scenes import VALIDATION  # noqa: E402
from drive.eval.training.trained import SCORE, Found, collected, weights_of  # noqa: E402
from drive.nn.store import DataRequest, TrainingSet  # noqa: E402
from drive.nn.tokens import scene_batch  # noqa: E402
from drive.nn.vocabulary import Vocabulary  # noqa: E402
from drive.planners.gtrs.evaluate import calibration, relative  # noqa: E402
from drive.planners.gtrs.planner import load_all, vocabulary_path  # noqa: E402
from drive.planners.gtrs.profiles import PROFILES  # noqa: E402
from drive.planners.gtrs.search import search  # noqa: E402
from drive.planners.gtrs.verdict import picks  # noqa: E402
from drive.planners.learned.intervals import bootstrap  # noqa: E402
from drive.planners.learned.senses import Senses, batch_of  # noqa: E402

FOLDER = os.environ.get("DRIVE_TRAINED", "")
SEEDS = (0, 1)
MOMENTS = 400

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="DRIVE_TRAINED names no folder of trained weights"),
]

Record = Callable[[str], None]


@pytest.fixture(scope="module")
def record() -> Iterator[Record]:
    """Takes down figures, for the folder and for whoever runs this with -s."""
    lines: list[str] = []

    def say(line: str) -> None:
        print(line)
        lines.append(line)

    yield say
    with (Path(FOLDER) / "acceptance.txt").open("a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


@pytest.fixture(scope="module")
def driven() -> dict[tuple[str, int | None], Found]:
    return {(f.name, f.seed): f for f in collected(Path(FOLDER), SEEDS)}


@pytest.fixture(scope="module")
def asked() -> Asked:
    """A moment of each of 400 held-out scenes."""
    return moments_of(DataRequest(first_seed=VALIDATION, scenes=25), MOMENTS)


def weights(recipe: str, seed: int) -> Path:
    path = weights_of(Path(FOLDER), recipe, seed)
    if not path.is_file():
        pytest.skip(f"there is no '{path}'")
    return path


def told(found: Estimate) -> str:
    assert found.mean is not None
    assert found.ci95 is not None
    return f"{found.mean:+.3f} [{found.ci95[0]:+.3f}, {found.ci95[1]:+.3f}]"


def difference(
    driven: dict[tuple[str, int | None], Found], first: tuple[str, int], second: tuple[str, int | None]
) -> tuple[float, float, float]:
    if first not in driven or second not in driven:
        pytest.skip(f"{first} and {second} were not driven")
    a, b = driven[first], driven[second]
    found = compare((a.results, a.planner), (b.results, b.planner), SCORE)
    assert found.n >= 400
    assert found.mean is not None
    assert found.ci95 is not None
    return found.mean, *found.ci95


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["gtrs", "hydra_next"])
def test_no_call_fails(driven: dict[tuple[str, int | None], Found], name: str, seed: int) -> None:
    if (name, seed) not in driven:
        pytest.skip(f"{name} {seed} was not driven")
    failures = driven[name, seed].results.planner(name)["failures"]
    assert not sum(n for key, n in failures.items() if key.startswith("planner"))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_scorer_beats_regression_and_idm(driven: dict[tuple[str, int | None], Found], seed: int) -> None:
    assert difference(driven, ("gtrs", seed), ("regression", seed))[1] > 0.0
    assert difference(driven, ("gtrs", seed), ("idm", None))[0] > 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_all_branches_beat_the_trajectory_decoder_alone(
    driven: dict[tuple[str, int | None], Found], seed: int
) -> None:
    assert difference(driven, ("hydra_next", seed), ("trajectory", seed))[1] > 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_verdicts_on_held_out_moments(record: Record, seed: int) -> None:
    """Against chance, by calibration, of a part of the candidates."""
    folder = Path(FOLDER) / "data" / "validation"
    if not folder.is_dir():
        pytest.skip(f"there is no '{folder}'")
    path = weights("gtrs", seed)
    (model,), _ = load_all((path,), "cpu")
    vocabulary = Vocabulary.load(vocabulary_path(path))
    data = TrainingSet.open(folder).expect(vocabulary=vocabulary)
    poses, profile = torch.tensor(vocabulary.poses), PROFILES["closed_loop"]
    rows = np.sort(np.random.default_rng(0).permutation(len(data))[:2000])
    groups = data.take(rows, ("scene_number",))["scene_number"]
    found = picks(model, data, rows, poses, profile)
    over = bootstrap(found.picked - found.random, groups)
    record(
        f"gtrs {seed}: picked {found.picked.mean():.3f}, oracle {found.oracle.mean():.3f}, - random {over}"
    )
    assert over.low > 0.3
    for name, (area, own, base) in calibration(model, data, rows, poses).items():
        record(f"gtrs {seed}: {name} AUROC {area:.3f}, Brier {own:.4f}, by the base rate {base:.4f}")
        assert area >= 0.85
        assert own < base
    shares = [relative(model, data, rows, poses, profile, share).mean() for share in (1, 2, 4, 16)]
    record(f"gtrs {seed}: of 1, 1/2, 1/4, 1/16 of the candidates {np.round(shares, 3).tolist()}")
    assert (np.diff(shares) > -0.01).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_scorer_chooses_among_proposals(record: Record, asked: Asked, seed: int) -> None:
    path = weights("gtrs", seed)
    few = "topk=32 keep_plan=false refine=false"
    _, own = planner_of(f"gtrs weights={path} candidates=0 proposals=32 {few}")
    _, words = planner_of(f"gtrs weights={path}")
    _, both = planner_of(f"gtrs weights={path} proposals=32")
    chosen, plain, union = (judged(planner, asked) for planner in (own, words, both))
    gain = (chosen.score - chosen.mean).mean() / (chosen.best - chosen.mean).mean()
    more = estimate(union.score - plain.score)
    record(
        f"gtrs {seed}: of 32 proposals by chance {chosen.mean.mean():.3f}, picked {chosen.score.mean():.3f}, "
        f"best {chosen.best.mean():.3f} ({100.0 * gain:.0f} % of the way); vocabulary "
        f"{plain.score.mean():.3f}, with proposals {told(more)}"
    )
    assert gain >= 0.3
    assert more.ci95 is not None
    assert more.ci95[1] >= 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_what_searching_against_the_scorer_costs(record: Record, asked: Asked, seed: int) -> None:
    """No bar: a scorer is not safe as a reward, and the figure says how unsafe."""
    (model,), _ = load_all((weights("gtrs", seed),), "cpu")
    vocabulary = Vocabulary.load(vocabulary_path(weights("gtrs", seed)))
    encoder = model.settings.encoder
    some = range(0, len(asked), max(len(asked) // 64, 1))
    views = [Senses.start(asked.tasks[k], encoder).sense(asked.observations[k]) for k in some]
    candidates = np.stack(
        [vocabulary.poses[vocabulary.near(float(asked.observations[k].ego[3]), 512)] for k in some]
    )

    def teach(row: int, poses: np.ndarray) -> np.ndarray:
        shown = asked.shown[list(some)[row]]
        return np.asarray(shown.lesson.label(poses, shown.reference).values[:, -1])

    found = search(
        model, batch_of(views, "cpu"), torch.from_numpy(candidates), teach, PROFILES["closed_loop"]
    )
    record(f"gtrs {seed}: {found.report()}")
    assert (found.found_believed >= found.picked_believed - 1e-6).mean() > 0.5
    assert np.isfinite(found.drop)


@pytest.mark.parametrize("seed", SEEDS)
def test_refined_plans_can_be_driven_and_are_worth_as_much(record: Record, asked: Asked, seed: int) -> None:
    path = weights("hydra_next", seed)
    _, refined = planner_of(f"hydra_next weights={path}")
    _, raw = planner_of(f"hydra_next weights={path} branches=trajectory, drive=trajectory")
    ours, theirs = judged(refined, asked), judged(raw, asked)
    less = estimate(ours.score - theirs.score)
    record(
        f"hydra_next {seed}: raw plans {theirs.score.mean():.3f}, {100 * theirs.breaks.mean():.1f} % break "
        f"limits; refined {ours.score.mean():.3f}, {100 * ours.breaks.mean():.1f} %; {told(less)}"
    )
    assert ours.breaks.mean() < theirs.breaks.mean()
    assert less.mean is not None
    assert less.mean >= -0.02


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("profile", ["closed_loop", "published"])
def test_branches_brake_as_soon_for_who_cuts_in(record: Record, seed: int, profile: str) -> None:
    how = f"hydra_next weights={weights('hydra_next', seed)} profile={profile}"
    whole = reactions(planner_of(how)[1], 150)
    alone = reactions(planner_of(f"{how} branches=trajectory,")[1], 150)
    by = compare_reactions(whole, alone)
    false = 100.0 * whole.false_brake.mean(), 100.0 * alone.false_brake.mean()
    record(
        f"hydra_next {seed}, {profile}: median reaction {whole.median:.2f} s, trajectory alone "
        f"{alone.median:.2f} s, paired {by}; false brakes {false[0]:.0f} % and {false[1]:.0f} %"
    )
    assert by.median_ci95[1] <= 0.1  # later by no more than a step
    assert false[0] <= false[1] + 2.0


def test_scene_batches_are_what_networks_read(asked: Asked) -> None:
    """The moments above are shown as those of a training set."""
    (model,), _ = load_all((weights("gtrs", 0),), "cpu")
    view = Senses.start(asked.tasks[0], model.settings.encoder).sense(asked.observations[0])
    fields = {f"scene.{name}": values[None] for name, values in view.scene._asdict().items()}
    with torch.no_grad():
        one, other = model(scene_batch(fields)), model(batch_of([view], "cpu"))
    torch.testing.assert_close(one.ego, other.ego, atol=1e-4, rtol=1e-4)

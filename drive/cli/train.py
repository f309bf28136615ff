"""`drive train`: learned planners from their recipes, and the data and vocabularies that they are made of."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from drive import registry
from drive._imports import import_target
from drive.cli._load import load
from drive.errors import DriveError, InputError
from drive.files import write_whole
from drive.progress import Listener, on_terminal

RECIPE = "NAME"
SCHEMA = "drive-train/1"
RUN = "run.json"


class _Group(TyperGroup):
    """Any name that is no command of its own is a recipe's."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in self.commands and args[0] != RECIPE:
            return super().resolve_command(ctx, args)
        if args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        return "", self.commands[RECIPE], args


app = typer.Typer(
    cls=_Group,
    help="Train a learned planner; `drive list recipes` names them.\n\n"
    "\b\nExamples:\n  drive train gtrs --preset cpu --out out/gtrs\n"
    "  drive train gtrs --out out/gtrs --resume",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="K=V", help="A setting, as fit.lr=0.001.")
]
Jobs = Annotated[int | None, typer.Option(metavar="N", help="Processes that collect; default one a core.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(RECIPE)
def recipe(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A recipe (drive list recipes), or FILE.py:NAME.")
    ],
    preset: Annotated[
        str | None, typer.Option(metavar="cpu|gpu", help="Which of the recipe's settings; default cpu.")
    ] = None,
    settings: Settings = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of all randomness; default 0.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="cpu|cuda|auto", help="Default auto: a GPU where there is one.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="What `drive train data --for` made; default: made in the cache."),
    ] = None,
    jobs: Jobs = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where all goes; default out/train-NAME-DATE.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training in --out, as it was begun.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the training in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Train a planner by its recipe and write its weights, with a card.

    What it learns from is made first, and kept in the cache. Ctrl-C or a kill costs the time since the last
    checkpoint: --resume goes on, and the weights come out the same.

    \b
    Examples:
      drive train regression --preset cpu --seed 1 --out out/regression
      drive train regression --out out/regression --resume
      drive train gtrs --preset gpu --set fit.minutes=10 --device cuda
    """
    if resume and (force or out is None):
        raise InputError("--resume and --force exclude each other" if force else "--resume needs --out DIR")
    found = _recipe(name)
    place = out or Path("out", time.strftime(f"train-{found.name}-%Y%m%d-%H%M%S"))
    asked = {
        "recipe": name,
        "preset": preset,
        "settings": None if settings is None else _pairs(settings),
        "seed": seed,
        "device": device,
        "data": None if data is None else str(data.resolve()),
    }
    begun = _begin(place, asked, resume, force)
    config = load("drive.nn.recipe:configured")(found, begun["preset"], begun["settings"])
    begun["device"] = load("drive.planners.learned.planner:device_of")(begun["device"])
    wanted = found.data(config)
    plan = None if wanted is None else load("drive.eval.training.prepare:plan_of")(wanted)
    write_whole(place / RUN, json.dumps({"schema": SCHEMA, **begun}, indent=1) + "\n")
    with _stopped(f"drive train {name} --out {place}"), on_terminal() as listener:
        try:
            sets = None if plan is None else _sets(plan, begun["data"], jobs, listener)
        except DriveError:
            if [path.name for path in place.iterdir()] == [RUN]:  # another try needs no --force
                (place / RUN).unlink()
            raise
        if sets is not None:
            listener.note(
                f"{found.name}: {len(sets.train)} samples to train on, {len(sets.validation)} to validate, "
                f"on {begun['device']}"
            )
        path = _train(found, config, begun, place, plan, sets, listener)
    _report(path, place, getattr(found, "planner", found.name), as_json)


@app.command("data")
def data(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the set goes.")],
    recipe: Annotated[
        str | None,
        typer.Option("--for", metavar="NAME", help="All that this recipe needs: vocabulary and both sets."),
    ] = None,
    preset: Annotated[str, typer.Option(metavar="cpu|gpu", help="With --for: which settings.")] = "cpu",
    settings: Settings = None,
    vocabulary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Label the samples for this vocabulary.")
    ] = None,
    jobs: Jobs = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a set that was begun.")] = False,
    as_json: Json = False,
) -> None:
    """Make a training set of generated or recorded scenes.

    \b
    Examples:
      drive train data --out out/set --set scenes=20 --set families=cut_in,stop_and_go
      drive train data --out out/labelled --vocabulary out/words.npz --set near=128
      drive train data --for gtrs --preset gpu --out out/gtrs-data
    """
    told: dict[str, Any]
    with on_terminal() as listener, _stopped(_again(out, recipe, preset, settings, vocabulary)):
        if recipe is not None:
            if vocabulary is not None:
                raise InputError("--for brings its own vocabulary: leave --vocabulary out")
            made = _recipe(recipe)
            config = load("drive.nn.recipe:configured")(made, preset, _pairs(settings or []))
            if (wanted := made.data(config)) is None:
                raise InputError(f"recipe '{recipe}' makes its own data while it trains")
            plan = load("drive.eval.training.prepare:plan_of")(wanted)
            found = load("drive.eval.training.prepare:prepare")(
                plan, out, jobs=jobs or _cores(), listener=listener
            )
            sets = {"train": found.train, "validation": found.validation}
        else:
            request = registry.configure(load("drive.nn.store:DataRequest"), _pairs(settings or []))
            sets = {
                "set": load("drive.eval.training:make_data")(
                    request, out, vocabulary=vocabulary, jobs=jobs or _cores(), resume=resume,
                    progress=listener.progress, note=listener.note,
                )
            }  # fmt: skip
    told = {key: _about(one) for key, one in sets.items()}
    if as_json:
        print(json.dumps(told, indent=1))
        return
    for key, about in told.items():
        print(f"{key}: {about['samples']} samples of {about['scenes']} scenes in {about['folder']}")


@app.command("vocab")
def vocab(
    data: Annotated[Path, typer.Option(metavar="DIR", help="The set whose futures it is made of.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where it goes, an npz file.")],
    size: Annotated[int, typer.Option(metavar="N", help="How many trajectories.")] = 1024,
    grid: Annotated[float, typer.Option(metavar="SHARE", help="Of them from a kinematic grid.")] = 0.25,
    method: Annotated[str, typer.Option(metavar="M", help="kmeans or farthest.")] = "kmeans",
    iterations: Annotated[int, typer.Option(metavar="N", help="Of k-means, at most.")] = 20,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a vocabulary of trajectories out of the futures in a training set.

    \b
    Example:
      drive train vocab --data out/set --size 1024 --out out/words.npz
    """
    with on_terminal() as listener:
        made = load("drive.eval.training:make_vocabulary")(
            out, data, size=size, grid=grid, method=method, seed=seed, iterations=iterations,
            progress=listener.progress,
        )  # fmt: skip
    told = {"file": str(out), "size": len(made), "hash": made.hash, "horizon": made.horizon}
    if as_json:
        print(json.dumps(told, indent=1))
    else:
        print(f"{out}: {len(made)} trajectories of {made.horizon:g} s, hash {made.hash}")


def _recipe(name: str) -> Any:
    """The recipe of that name, or `module:attribute`, or `path/to/file.py:attribute`."""
    if ":" not in name:
        registry.entry("drive.recipes", name)
    load("drive.nn.tensors")  # whoever lacks the extra is told before anything slow begins
    found = import_target(name, f"recipe '{name}'") if ":" in name else registry.load("drive.recipes", name)
    lacking = [part for part in ("name", "presets", "data", "train") if not hasattr(found, part)]
    if lacking:
        raise DriveError(f"recipe '{name}' is none: it lacks {', '.join(lacking)}")
    return found


def _begin(place: Path, asked: dict[str, Any], resume: bool, force: bool) -> dict[str, Any]:
    """What the training in `place` is: as it was begun, or as it is asked for now."""
    file = place / RUN
    if resume and file.exists():
        try:
            begun: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if begun.pop("schema") != SCHEMA or set(begun) != set(asked):
                raise KeyError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"'{file}' is damaged or of another version: begin anew with --force") from None
        for key, value in asked.items():
            same = value is None or value == begun[key] or (key == "device" and value == "auto")
            if not same:
                raise InputError(
                    f"'{place}' was begun with {key} {_shown(begun[key])}, not {_shown(value)}: "
                    "leave that out, or give another --out"
                )
        return begun
    if file.exists():
        if not force:
            raise InputError(
                f"'{place}' holds a training: go on with --resume, replace it with --force, or give another "
                "--out"
            )
        shutil.rmtree(place)
    usual = {"preset": "cpu", "settings": {}, "seed": 0, "device": "auto"}
    return {key: usual.get(key) if value is None else value for key, value in asked.items()}


def _shown(value: object) -> str:
    return ", ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)


def _sets(plan: Any, data: str | None, jobs: int | None, listener: Listener) -> Any:
    if data is not None:
        return load("drive.eval.training.prepare:prepared")(Path(data), plan)
    folder = load("drive.eval.training.prepare:cached_folder")(plan)
    return load("drive.eval.training.prepare:prepare")(plan, folder, jobs=jobs or _cores(), listener=listener)


def _train(
    found: Any, config: Any, begun: dict[str, Any], place: Path, plan: Any, sets: Any, listener: Listener
) -> Path:
    run = load("drive.nn.recipe:TrainingRun")(
        folder=place,
        recipe=found.name,
        preset=begun["preset"],
        seed=begun["seed"],
        # A folder in which nothing is finished yet is begun by this as well.
        resume=True,
        train=None if sets is None else sets.train,
        validation=None if sets is None else sets.validation,
        vocabulary=None if sets is None else sets.vocabulary,
        collect=None
        if sets is None
        else load("drive.eval.training.prepare:rounds")(sets, plan, place / "rounds", listener),
        device=begun["device"],
        progress=listener,
        moments=lambda request, count: load("drive.eval.training.rewards:judged_moments")(
            request, count, listener.progress
        ),
    )
    load("drive.nn.fit:seed_all")(begun["seed"])
    return Path(found.train(run, config))


def _report(path: Path, place: Path, name: str, as_json: bool) -> None:
    card = load("drive.nn.weights:read_card")(path)
    log = max(place.rglob("log.csv"), key=lambda file: file.stat().st_mtime_ns, default=None)
    told = {
        "weights": str(path),
        "card": str(load("drive.nn.weights:card_path")(path)),
        "log": None if log is None else str(log),
        "bytes": path.stat().st_size,
        "recipe": card.recipe,
        "preset": card.preset,
        "seed": card.seed,
        "steps": card.steps,
        "seconds": card.seconds,
        "device": card.device,
        "training": dict(card.training),
        "try": f"drive bench --traffic {name}:{path}"
        if name in registry.names("drive.traffic")
        else f"drive bench --planner stl_diffusion --set stl_diffusion.forecaster={name}:{path}"
        if name in registry.names("drive.forecasters")
        else f"drive bench --planner {name} --set {name}.weights={path}",
    }
    if (note := load("drive.nn.weights:shipping_note")(path)) is not None:
        print(f"drive: note: {note}", file=sys.stderr)
    if as_json:
        print(json.dumps(told, indent=1, allow_nan=False))
        return
    figures = ", ".join(f"{key} {value:.4g}" for key, value in card.training.items())
    print(f"{card.steps} steps in {card.seconds:.0f} s on {card.device}; validation: {figures or 'none'}")
    for key in ("weights", "card", "log", "try"):
        if told[key] is not None:
            print(f"{key + ':':<9}{told[key]}")


def _about(found: Any) -> dict[str, Any]:
    return {
        "folder": str(found.folder),
        "samples": len(found),
        "scenes": len(found.header["scenes"]),
        "skipped": len(found.header["skipped"]),
        "hash": found.hash,
    }


def _pairs(settings: Iterable[str]) -> dict[str, object]:
    """`["fit.lr=0.001"]` as `{"fit.lr": "0.001"}`."""
    pairs: dict[str, object] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not (equals and key.strip()):
            raise InputError(f"'{text}' is not a setting: write FIELD=VALUE, for instance fit.lr=0.001")
        pairs[key.strip()] = value.strip()
    return pairs


def _again(
    out: Path, recipe: str | None, preset: str, settings: list[str] | None, vocabulary: Path | None
) -> str:
    words = ["drive", "train", "data", "--out", str(out)]
    words += ["--for", recipe, "--preset", preset] if recipe else []
    words += [word for text in settings or () for word in ("--set", text)]
    words += ["--vocabulary", str(vocabulary)] if vocabulary else []
    return shlex.join(words)


def _cores() -> int:
    return load("drive.eval.perf:cores")()  # type: ignore[no-any-return]


@contextmanager
def _stopped(command: str) -> Iterator[None]:
    """Let SIGTERM end things as Ctrl-C does, with everything closed, and say how to go on."""
    caught = False

    def handle(number: int, frame: object) -> None:
        nonlocal caught
        caught = True
        raise KeyboardInterrupt  # a planner's own SystemExit is taken for its failure, and driven on

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        print(f"go on with: {command} --resume", file=sys.stderr)
        if caught:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


__all__ = ["app"]

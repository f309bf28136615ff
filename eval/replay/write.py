"""`write_replay`: run logs in, one page out; `notebook_frame`: the same inside a notebook."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError, RunLogError
from drive.eval.replay.mapdata import pack_map
from drive.eval.replay.pack import Packer
from drive.eval.replay.page import asset, build_page, script_of
from drive.eval.replay.rundata import pack_run, seen_box
from drive.eval.replay.terraindata import pack_terrain
from drive.files import write_whole
from drive.runlog import SUFFIX, RunLog

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN = 150.0
"""Metres of map kept around what the ego, its expert and its logged self saw."""
MAX_RUNS = 48
SCRIPTS = (
    *("decode.js", "scene.js", "colours.js", "roads.js", "terrain.js", "actors.js", "sight.js", "heat.js"),
    *(
        "stage.js",
        "charts.js",
        "rules.js",
        "panels.js",
        "candidates.js",
        "timeline.js",
        "legend.js",
        "picture.js",
        "pointer.js",
    ),
    *("link.js", "app.js"),
)


def write_replay(
    runs: RunLog | str | Path | Sequence[RunLog | str | Path],
    output: str | Path,
    *,
    compress: bool = True,
    notes: Sequence[str] = (),
) -> Path:
    """Write one self-contained page that replays the runs; returns its path.

    Runs of one scenario share the map and are drawn side by side. Equal inputs give equal bytes.
    `compress=False` is for browsers that cannot inflate (older than 2023); `notes` are shown on the page.
    Raises InputError for no run or more than `MAX_RUNS`, RunLogError for a file that is none.
    """
    listed = [runs] if isinstance(runs, RunLog | str | Path) else list(runs)
    if len(listed) > MAX_RUNS:
        raise InputError(
            f"{len(listed)} runs are too many for one page (at most {MAX_RUNS}); choose some with --filter"
        )
    logs = [run if isinstance(run, RunLog) else RunLog.load(run) for run in listed]
    return write_whole(Path(output), page_text(logs, compress, notes))


def page_text(logs: Sequence[RunLog], compress: bool = True, notes: Sequence[str] = ()) -> str:
    """The page as text. Raises InputError without a run."""
    if not logs:
        raise InputError("a replay needs at least one run")
    data = page_data(logs, compress)
    for run in data["runs"]:
        run["notes"] += notes
    title = " · ".join(dict.fromkeys(str(run["scenario"].get("id", "run")) for run in data["runs"]))
    planners = ", ".join(dict.fromkeys(str(run["planner"].get("name", "?")) for run in data["runs"]))
    package = "drive.eval.replay"
    return build_page(
        f"{title[:120]} - {planners[:80]}",
        asset(package, "page.html"),
        asset(package, "page.css"),
        script_of(package, SCRIPTS),
        data,
    )


def write_problems(problems: Sequence[str], output: str | Path) -> Path:
    """Write a page of what cannot be shown, and why, for runs of which none can be read; returns its path."""
    rows = "".join(f"<li>{html.escape(line)}</li>" for line in problems)
    advice = "The other files beside a run (results.json, report.html) do not depend on its log."
    body = f"<h1>No run to replay</h1>\n<ul>{rows}</ul>\n<p>{advice}</p>"
    style = "body{font:16px/1.5 system-ui,sans-serif;max-width:46em;margin:3em auto;padding:0 1em}"
    return write_whole(Path(output), build_page("No run to replay", body, style, ""))


def notebook_frame(run: RunLog, height: int = 680) -> str:
    """The page inside a frame: notebooks remove scripts from HTML, and leave a frame its own document.

    The frame may run its script and download a picture, and has no access to the notebook.
    """
    page = html.escape(page_text([run]), quote=True)
    return (
        f'<iframe srcdoc="{page}" sandbox="allow-scripts allow-downloads" title="replay of a run" '
        f'width="100%" height="{height}" style="border:1px solid #8884;border-radius:8px"></iframe>'
    )


def load_runs(paths: Sequence[Path]) -> tuple[list[RunLog], list[str]]:
    """The runs that can be read, and one line about each file that cannot."""
    logs: list[RunLog] = []
    problems: list[str] = []
    for path in paths:
        try:
            logs.append(RunLog.load(path))
        except RunLogError as error:
            problems.append(str(error))
    return logs, problems


def page_data(logs: Sequence[RunLog], compress: bool = True) -> dict[str, Any]:
    """What the page's script reads: runs, maps and the packed arrays."""
    packer = Packer()
    scenes: dict[str, list[int]] = {}
    for i, run in enumerate(logs):
        scenes.setdefault(_scene_key(run), []).append(i)
    maps: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = [{} for _ in logs]
    for scene, members in enumerate(scenes.values()):
        boxes = np.asarray([seen_box(logs[i], MARGIN) for i in members])
        box = (*boxes[:, :2].min(0).tolist(), *boxes[:, 2:].max(0).tolist())
        # The page draws in single precision: it stays exact near the middle of what is seen.
        offset = np.rint(0.5 * (np.asarray(box[:2]) + np.asarray(box[2:])))
        roadmap, terrain = logs[members[0]].roadmap, logs[members[0]].terrain
        if roadmap is not None:
            maps.append(pack_map(packer, f"map{len(maps)}", roadmap, box, offset))
        elif terrain is not None:
            maps.append(pack_terrain(packer, f"map{len(maps)}", terrain, offset))
        for i in members:
            entries[i] = pack_run(packer, f"run{i}", logs[i], offset)
            entries[i].update(
                scene=scene,
                map=None if roadmap is None and terrain is None else len(maps) - 1,
                offset=offset.tolist(),
            )
    return {"schema": "drive-replay/1", "runs": entries, "maps": maps, **packer.finish(compress)}


def find_runs(place: str | Path, containing: str = "") -> list[Path]:
    """Run logs in a file or, at any depth, in a folder, sorted by name.

    `containing` is a part of the name, or of a scenario's id, of which names hold `_` for `/`.

    Raises InputError where there is none.
    """
    path = Path(place)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    found = [path] if path.is_file() else sorted(path.rglob(f"*{SUFFIX}"))
    names = {p: p.name if p == path else p.relative_to(path).as_posix() for p in found}
    as_name = containing.replace("/", "_")
    found = [p for p, name in names.items() if containing in name or as_name in name]
    if not found:
        about = f" with '{containing}' in its name" if containing else ""
        raise InputError(f"{path} holds no run log (*{SUFFIX}){about}")
    return found


def _scene_key(run: RunLog) -> str:
    about = run.header.get("scenario") or {}
    ground = run.roadmap or run.terrain
    return f"{about.get('id')}|{about.get('hash')}|{'' if ground is None else ground.content_hash}"

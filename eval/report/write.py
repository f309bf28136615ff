"""`write_report`: from a folder with results to `report.html` and the replays it links to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from drive.eval.bench.results import PairedDifference, Results
from drive.eval.bench.statistics import paired_difference
from drive.eval.replay.page import asset, build_page, script_of
from drive.eval.report import explorer, findings, origin, tables
from drive.eval.report.markup import counted, esc, words
from drive.eval.report.read import Group, Report, number, read
from drive.eval.report.scenes import Progress, Scenes, write_scenes
from drive.files import write_whole

NAME = "report.html"
PACKAGE = "drive.eval.report"
SCRIPTS = ("page.js", "sort.js", "scenes.js", "start.js")


def write_report(results_dir: str | Path, progress: Progress | None = None) -> Path:
    """Write `report.html` beside `results.json`, and replays of scenes below `replays/`.

    All scenes of a benchmark of at most 1000 runs get a replay, else those worth one (`wanted_scenes`).
    Equal results give equal bytes. `progress(what, done, total)` is told how it goes. Raises InputError
    where there are no results.
    """
    results = Results.load(results_dir)
    folder = results.path
    report = read(results.data)
    scenes = write_scenes(report, folder, progress)
    page = build_page(
        f"Benchmark {_suite(report).get('id', '')}",
        body_of(report, scenes, differences_of(report)),
        style(),
        script_of(PACKAGE, SCRIPTS),
        explorer.data(report, scenes),
    )
    return write_whole(folder / NAME, page)


def style() -> str:
    """The style sheet with eleven shades: from the low colour over the middle one to the high one."""
    shades = [
        f".h{k} {{ background: color-mix(in oklab, var(--{'high' if k > 5 else 'low'}) "
        f"{abs(k - 5) * 20}%, var(--middle)); }}"
        for k in range(11)
    ]
    return asset(PACKAGE, "report.css") + "\n".join(shades) + "\n"


def differences_of(report: Report) -> list[PairedDifference]:
    """Paired differences of all pairs by each score, the better by the first one first; none where nothing
    says which scenarios pair."""
    valid = [[row for row in p.rows if row.valid] for p in report.planners]
    names = [p.name for p in report.planners]
    if len(set(names)) < len(names) or not all(r.hash for rows in valid for r in rows):
        return []
    found = []
    for score in report.scores:
        values = [
            {(r.scenario, r.hash): v for r in rows if (v := r.values.get(score)) is not None}
            for rows in valid
        ]
        for a, b in combinations([k for k, known in enumerate(values) if known], 2):
            mean = paired_difference(values[a], values[b])
            apart = len({key[0] for key in values[a].keys() ^ values[b].keys()})
            found.append(PairedDifference(score, names[a], names[b], mean.mean, mean.ci95, mean.n, apart))
    return found


def body_of(report: Report, scenes: Scenes, differences: Sequence[PairedDifference] = ()) -> str:
    """The page's body: its sections, those without content left out, and the links to them."""
    parts = [part for part in _sections(report, scenes, differences) if part.markup]
    halves = [part for part in parts if part.half]
    if len(halves) < 2 or tables.roomy(report):
        main = "\n".join(part.section for part in parts)
    else:
        # Two columns, each closed up, rather than rows as high as their higher half.
        first = parts.index(halves[0])
        left, right = halves[::2], halves[1::2]
        before, after = parts[:first], [part for part in parts[first:] if not part.half]
        parts = [*before, *left, *right, *after]
        columns = "\n".join(
            "<div>\n" + "\n".join(part.section for part in side) + "\n</div>" for side in (left, right)
        )
        main = "\n".join(
            [
                *(p.section for p in before),
                f'<div class="columns">{columns}</div>',
                *(p.section for p in after),
            ]
        )
    links = "".join(f'<a href="#{part.name}">{part.title}</a>' for part in parts)
    return f'{_header(report)}<nav aria-label="Sections">{links}</nav>\n<main>\n{main}\n</main>'


@dataclass(frozen=True, slots=True)
class Part:
    """A section; halves stand in two columns where there is room."""

    name: str
    title: str
    about: str
    markup: str
    half: bool = False

    @property
    def section(self) -> str:
        about = f"<p>{self.about}</p>\n" if self.about else ""
        return f'<section id="{self.name}">\n<h2>{self.title}</h2>\n{about}{self.markup}\n</section>'


def _sections(report: Report, scenes: Scenes, differences: Sequence[PairedDifference]) -> Iterator[Part]:
    score = words(report.main)
    planners = [findings.headline(report, [d for d in differences if d.score == report.main])]
    if report.planners:
        planners += [tables.planners_table(report), f"<p>{_MEANS}</p>"]
    planners.append(findings.notes(report, scenes, _experts(report)))
    yield Part("planners", "Planners", "", "\n".join(p for p in planners if p))
    if differences:
        many = len(report.planners) > tables.MANY
        pairs = tables.paired_square if many else tables.paired_list
        several = len(report.scores) > 1
        about = _PAIRED.format("scores" if several else score) + (_SQUARE if many else "")
        markup = "\n".join(
            (f"<h3>{words(name)}</h3>" if several else "")
            + pairs(report, [d for d in differences if d.score == name])
            for name in report.scores
        )
        yield Part("differences", "Paired differences", about, markup, True)
    yield Part("latency", "Latency", _LATENCY, tables.latency_table(report), True)
    told = _FAMILIES.format("scores" if len(report.scores) > 1 else score)
    yield Part("families", "Families", told, _by_score(report, report.families), True)
    yield Part("tags", "Difficulty and tags", _TAGS, _by_score(report, report.tags), True)
    yield Part("metrics", "Metrics", _METRICS, tables.metrics_table(report), True)
    yield Part("failures", "Failures", "", findings.failures(report, scenes) if report.planners else "", True)
    if report.main:
        worst = findings.worst(report, scenes)
        yield Part("worst", "Worst scenes", f"Where each planner lost most {score}, and by what.", worst)
    if report.main and len(report.planners) > 1:
        apart = explorer.different(report)
        yield Part("apart", "Most different scenes", "", apart)
    yield Part("all", "All scenes", _ALL, explorer.controls(report) if report.scenarios else "")
    yield Part("settings", "Settings", "", origin.settings(report) if report.planners else "")
    yield Part("origin", "How to reproduce", "", origin.reproduce(report))


_LOOPS = {"pseudo": "pseudo-closed loop", "open": "open loop"}
_MEANS = (
    "Means over scenarios and their 95 % bootstrap intervals, on an axis from 0 to 1. A planner that fails "
    "scores 0 in that scenario; a scenario that the simulator cannot drive counts for none."
)
_PAIRED = (
    "The same scenarios driven by two planners: the mean difference of their {} and its 95 % bootstrap "
    "interval. A difference is clear where the interval leaves out 0. A pair leads to the scenes in which "
    "the two differ most."
)
_SQUARE = (
    " Each cell is the row's planner minus the column's; clear ones are coloured, blue where the row's is "
    "better."
)
_LATENCY = (
    "The wall time of one call of the planner on the machine named below, on a logarithmic axis. The height "
    "of a bar grows with the root of its share of calls; lines mark the median, the 95th (dashed) and the "
    "99th (dotted) percentile."
)
_FAMILIES = "Mean {} in the n scenes of each family. A cell leads to its scenes, the worst first."
_TAGS = "The same scenes by what else they hold; tags that only repeat a family, or are rare, are left out."
_METRICS = "Shaded ones lie in [0, 1] and make up the score; the others are figures in their own unit."
_ALL = (
    "A linked value opens the replay, all planners in it; a scenario's name shows every metric of every "
    "planner. \u2715 marks a failure."
)


def _header(report: Report) -> str:
    data, suite = report.data, _suite(report)
    facts = [
        counted(int(number(suite.get("scenarios")) or len(report.scenarios)), "scenario"),
        counted(len(report.planners), "planner"),
        f"traffic {data.get('traffic', '?')}",
        f"seed {data.get('seed', '?')}",
        _LOOPS.get(str(data.get("mode")), "closed loop"),
        *([f"visibility {seen}"] if (seen := data.get("visibility")) not in (None, "line_of_sight") else []),
        *([f"detection {how}"] if (how := data.get("detection")) not in (None, "none") else []),
        *([f"tracker {who}"] if (who := data.get("tracker")) not in (None, "lqr") else []),
        *(["real time"] if data.get("realtime") else []),
    ]
    return (
        f"<header><div><h1>Benchmark <b>{esc(suite.get('id', ''))}</b></h1>"
        f"<p>{esc(' · '.join(facts))}</p></div>"
        '<button type="button" id="theme" title="Light or dark (d)" aria-label="Light or dark">'
        "&#9680;</button>"
        "</header>"
    )


def _by_score(report: Report, groups: Sequence[Group]) -> str:
    """A table of groups for each score."""
    if not any(g.key for g in groups):
        return ""
    several = len(report.scores) > 1
    return "\n".join(
        (f"<h3>{words(score)}</h3>" if several else "") + tables.groups_table(report, groups, score)
        for score in report.scores
    )


def _experts(report: Report) -> Mapping[str, int]:
    known = {row.scenario: row.expert for p in report.planners for row in p.rows if row.valid and row.expert}
    return Counter(known.values())


def _suite(report: Report) -> Mapping[str, object]:
    suite = report.data.get("suite")
    return suite if isinstance(suite, Mapping) else {}

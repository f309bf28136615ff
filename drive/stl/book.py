"""Rule books: rules as formulas in a TOML file, with parameters and what they are about.

schema = "drive-rules/1"
name = "rules"
[rules.headway]
text = "stay {time} s behind who drives ahead"
formula = "always (headway >= time)"
when = ["lead"]                 # applies to drives in which each of these is ever above 0
unit = "s"                      # of its robustness
end = "optimistic"              # what lies beyond the trace, this without
parameters = { time = 1.0 }     # numbers, also for bounds of intervals
"""

from __future__ import annotations

import hashlib
import math
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from drive.errors import InputError, UnknownNameError
from drive.stl.formula import EVER, Always, Formula, Temporal, bind, names, walk
from drive.stl.grammar import parse
from drive.stl.semantics import ENDS, End

SCHEMA = "drive-rules/1"
LARGEST = 1_000_000
_KEYS = {"text", "formula", "when", "unit", "end", "parameters"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: `formula` still names its `parameters`, `bound` has their values."""

    name: str
    formula: Formula
    parameters: Mapping[str, float]
    text: str = ""
    when: tuple[str, ...] = ()
    unit: str = ""
    end: End = "optimistic"

    @property
    def bound(self) -> Formula:
        """The formula with numbers for parameters."""
        return bind(self.formula, self.parameters)

    @property
    def template(self) -> Formula:
        """The formula with its thresholds still names, to be given one value a trace at evaluation; only what
        bounds an interval is a number."""
        spans = [node.interval for node in walk(self.formula) if isinstance(node, Temporal)]
        fixed = {bound for span in spans for bound in (span.start, span.end)}
        return bind(self.formula, {name: v for name, v in self.parameters.items() if name in fixed})

    @property
    def body(self) -> Formula:
        """What must hold at every moment: the formula within an `always` without bounds, or all of it."""
        whole = self.bound
        return whole.argument if isinstance(whole, Always) and whole.interval == EVER else whole

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals that it reads, and those that say whether it applies."""
        return tuple(sorted({*names(self.bound), *self.when}))

    @property
    def sentence(self) -> str:
        """Its text with numbers for parameters in braces."""
        return re.sub(r"\{(\w+)\}", lambda m: f"{self.parameters.get(m[1], math.nan):g}", self.text)


@dataclass(frozen=True, slots=True)
class RuleBook:
    """Rules under a name."""

    name: str
    rules: tuple[Rule, ...]

    @property
    def signals(self) -> tuple[str, ...]:
        """All signals that its rules read."""
        return tuple(sorted({signal for rule in self.rules for signal in rule.signals}))

    @property
    def digest(self) -> str:
        """Eight digits that change with any formula, parameter or condition."""
        told = [(r.name, str(r.formula), sorted(r.parameters.items()), r.when, r.end) for r in self.rules]
        return hashlib.blake2b(repr(told).encode(), digest_size=4).hexdigest()

    def rule(self, name: str) -> Rule:
        """The rule of that name; raises UnknownNameError."""
        for rule in self.rules:
            if rule.name == name:
                return rule
        raise UnknownNameError("rule", name, [r.name for r in self.rules])

    def with_parameters(self, changes: Mapping[str, Mapping[str, float]]) -> RuleBook:
        """The book with other values of some rules' parameters: {rule: {parameter: value}}."""
        for name, values in changes.items():
            known = self.rule(name).parameters
            for parameter in values:
                if parameter not in known:
                    raise UnknownNameError(f"parameter of rule '{name}'", parameter, known)
        rules = (replace(r, parameters={**r.parameters, **changes.get(r.name, {})}) for r in self.rules)
        return replace(self, rules=tuple(rules))


def load_book(path: str | Path | None = None) -> RuleBook:
    """The rule book in a TOML file; without one the toolkit's own. Raises InputError naming file and rule."""
    if path is None:
        return read_book(resources.files("drive.stl").joinpath("road.toml").read_text("utf-8"), "road.toml")
    source = Path(path)
    try:
        if source.stat().st_size > LARGEST:
            raise InputError(f"{source.name} is larger than {LARGEST} bytes: it is no rule book")
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{source}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{source.name} is not text in UTF-8") from None
    return read_book(text, source.name)


def read_book(text: str, where: str) -> RuleBook:
    """The rule book that a text holds; `where` names it in errors."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{where} is not TOML: {' '.join(str(error).split())}") from None
    if document.get("schema") != SCHEMA:
        raise InputError(f'{where} is no rule book: it has no line schema = "{SCHEMA}"')
    _known(document, {"schema", "name", "rules"}, where)
    name = document.get("name", Path(where).stem)
    rules = document.get("rules")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"{where}: a book's name is letters, digits and _, not {name!r}")
    if not isinstance(rules, dict) or not rules:
        raise InputError(f"{where} has no rules: write [rules.NAME] above each")
    return RuleBook(name, tuple(_rule(n, table, f"{where}, rule '{n}'") for n, table in rules.items()))


def _known(table: Mapping[str, Any], keys: set[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise UnknownNameError(f"key in {where}", key, keys)


def _rule(name: str, table: Any, where: str) -> Rule:
    if not isinstance(table, dict) or not _NAME.fullmatch(name):
        raise InputError(f"{where}: a rule is a table [rules.NAME], its name letters, digits and _")
    _known(table, _KEYS, where)
    for key in ("formula", "text", "unit", "end"):
        if not isinstance(table.get(key, ""), str):
            raise InputError(f"{where}: '{key}' is a text")
    if "formula" not in table:
        raise InputError(f"{where} has no formula")
    when, parameters = table.get("when", []), table.get("parameters", {})
    if not isinstance(when, list) or not all(isinstance(w, str) for w in when):
        raise InputError(f"{where}: 'when' is a list of signals")
    plain = isinstance(parameters, dict) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= sys.float_info.max
        for v in parameters.values()
    )
    if not plain:
        raise InputError(f"{where}: 'parameters' are finite numbers by name")
    end = table.get("end", "optimistic")
    if end not in ENDS:
        raise UnknownNameError(f"end in {where}", end, ENDS)
    try:
        formula = parse(table["formula"])
        unused = set(parameters) - set(names(formula))
        if unused:
            raise InputError(f"its formula does not use the parameter '{min(unused)}'")
        values = {k: float(v) for k, v in parameters.items()}
        rule = Rule(name, formula, values, table.get("text", ""), tuple(when), table.get("unit", ""), end)
        if not names(rule.bound):
            raise InputError("its formula reads no signal")
        for node in names(rule.bound):
            if not _NAME.fullmatch(node):
                raise InputError(f"'{node}' is no name of a signal")
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return rule

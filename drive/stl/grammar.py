"""Text to formulas: recursive descent over one expression grammar, errors with line and column.

    always[0, 5] (speed <= limit + 1) and (gap >= 2 until[0, 3] stopped)

From loose to tight: `implies` (or ->), `or`, `and`, `until` and `since`, then `not`, `always`, `eventually`,
`historically`, `once` (or !, G, F, H, O; U, S), comparisons, arithmetic. Intervals are in seconds, their ends
included, written [0, 5] or [0:5]; without one an operator reaches to the end (or back to the start). A bare
name is a yes-or-no signal. # begins a comment. After rtamt's text form, whose intervals count steps.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from drive.errors import InputError
from drive.stl.formula import (
    EVER,
    FUNCTIONS,
    Always,
    And,
    Arithmetic,
    Bound,
    Call,
    Constant,
    Eventually,
    Expression,
    Flag,
    Formula,
    Historically,
    Implies,
    Interval,
    Name,
    Negative,
    Not,
    Once,
    Or,
    Predicate,
    Since,
    Truth,
    Until,
)

LONGEST = 20_000
DEEPEST = 60
_UNARY = {
    "always": Always, "G": Always, "eventually": Eventually, "F": Eventually,
    "historically": Historically, "H": Historically, "once": Once, "O": Once,
}  # fmt: skip
_BINARY = {"until": Until, "U": Until, "since": Since, "S": Since}
_WORDS = {"and": "and", "&": "and", "&&": "and", "or": "or", "|": "or", "||": "or", "not": "not", "!": "not"}
_WORDS |= {"implies": "implies", "->": "implies"}
RESERVED = frozenset({*_UNARY, *_BINARY, "and", "or", "not", "implies", "true", "false", "inf", *FUNCTIONS})
"""Words that no signal may be called by."""
_TOKEN = re.compile(
    r"(?P<space>(?:\s|#[^\n]*)+)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"
    r"|(?P<sign>->|<=|>=|&&|\|\||[-+*/()\[\],:<>!&|])"
)


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str) -> Formula:
    """The formula that a text says. Raises InputError with line and column where it says none."""
    if len(text) > LONGEST:
        raise InputError(f"a formula of {len(text)} characters is too long: {LONGEST} at most")
    reader = _Reader(text)
    found = reader.implication()
    if reader.now.kind != "end":
        reader.fail(f"'{reader.now.text}' does not continue the formula")
    return reader.formula(found, 0)


class _Reader:
    """The place in a text that has been read up to."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[_Token] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                self.fail(f"'{text[at]}' means nothing here", at)
            if match.lastgroup != "space":
                self.tokens.append(_Token(str(match.lastgroup), match[0], at))
            at = match.end()
        self.tokens.append(_Token("end", "the end", len(text)))
        self.place = self.depth = 0

    @property
    def now(self) -> _Token:
        return self.tokens[self.place]

    def fail(self, reason: str, at: int | None = None) -> NoReturn:
        at = self.now.at if at is None else at
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        where = f"line {line}, column {column}" if "\n" in self.text.strip() else f"column {column}"
        row = self.text.splitlines()[line - 1].strip() if self.text.strip() else ""
        raise InputError(f"formula, {where}: {reason}" + (f" in '{row[:80]}'" if row else ""))

    def take(self, *texts: str) -> _Token | None:
        if self.now.kind in ("word", "sign") and self.now.text in texts:
            self.place += 1
            return self.tokens[self.place - 1]
        return None

    def word(self, meaning: str) -> bool:
        if self.now.kind in ("word", "sign") and _WORDS.get(self.now.text) == meaning:
            self.place += 1
            return True
        return False

    def need(self, text: str) -> None:
        if self.take(text) is None:
            self.fail(f"'{text}' is missing before {self.now.text!r}")

    def formula(self, found: Formula | Expression, at: int) -> Formula:
        if isinstance(found, Formula):
            return found
        if isinstance(found, Name):
            return Flag(found.name)
        self.fail(f"'{found}' is a number, not something that holds or not: compare it", at)

    def number(self, found: Formula | Expression, at: int) -> Expression:
        if isinstance(found, Formula):
            self.fail(f"'{found}' holds or not, and a number is wanted", at)
        return found

    def implication(self) -> Formula | Expression:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"the formula is nested more than {DEEPEST} deep")
        at = self.now.at
        left = self.disjunction()
        if self.word("implies"):
            then = self.now.at
            left = Implies(self.formula(left, at), self.formula(self.implication(), then))
        self.depth -= 1
        return left

    def disjunction(self) -> Formula | Expression:
        at = self.now.at
        found = self.conjunction()
        parts: list[Formula] = []
        while self.word("or"):
            parts = parts or [self.formula(found, at)]
            then = self.now.at
            parts.append(self.formula(self.conjunction(), then))
        return Or(tuple(parts)) if parts else found

    def conjunction(self) -> Formula | Expression:
        at = self.now.at
        found = self.until()
        parts: list[Formula] = []
        while self.word("and"):
            parts = parts or [self.formula(found, at)]
            then = self.now.at
            parts.append(self.formula(self.until(), then))
        return And(tuple(parts)) if parts else found

    def until(self) -> Formula | Expression:
        at = self.now.at
        found = self.unary()
        if token := self.take(*_BINARY):
            interval = self.interval()
            then = self.now.at
            right = self.formula(self.unary(), then)
            found = _BINARY[token.text](self.formula(found, at), right, interval)
            if again := self.take(*_BINARY):
                self.fail(f"which '{again.text}' binds first? write brackets", again.at)
        return found

    def unary(self) -> Formula | Expression:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"the formula is nested more than {DEEPEST} deep")
        found: Formula | Expression
        if self.word("not"):
            at = self.now.at
            found = Not(self.formula(self.unary(), at))
        elif token := self.take(*_UNARY):
            interval = self.interval()
            at = self.now.at
            found = _UNARY[token.text](self.formula(self.unary(), at), interval)
        else:
            found = self.comparison()
        self.depth -= 1
        return found

    def interval(self) -> Interval:
        if (opened := self.take("[")) is None:
            return EVER
        start = self.bound()
        if self.take(",", ":") is None:
            self.fail("an interval has two bounds in seconds, as [0, 5]")
        end = self.bound()
        self.need("]")
        try:
            return Interval(start, end)
        except InputError as error:
            self.fail(str(error), opened.at)

    def bound(self) -> Bound:
        token = self.now
        if token.kind == "number":
            self.place += 1
            return float(token.text)
        if token.kind == "word" and (token.text == "inf" or token.text not in RESERVED):
            self.place += 1
            return float("inf") if token.text == "inf" else token.text
        self.fail(f"'{token.text}' is no bound of an interval: write seconds, inf or a parameter's name")

    def comparison(self) -> Formula | Expression:
        at = self.now.at
        left = self.sum()
        if token := self.take("<=", ">=", "<", ">"):
            then = self.now.at
            right = self.number(self.sum(), then)
            found = Predicate(self.number(left, at), token.text[0] + "=", right)
            if again := self.take("<=", ">=", "<", ">"):
                self.fail("one comparison at a time: join two with 'and'", again.at)
            return found
        return left

    def sum(self) -> Formula | Expression:
        at = self.now.at
        found = self.product()
        while token := self.take("+", "-"):
            then = self.now.at
            found = Arithmetic(token.text, self.number(found, at), self.number(self.product(), then))
        return found

    def product(self) -> Formula | Expression:
        at = self.now.at
        found = self.sign()
        while token := self.take("*", "/"):
            then = self.now.at
            found = Arithmetic(token.text, self.number(found, at), self.number(self.sign(), then))
        return found

    def sign(self) -> Formula | Expression:
        negative = 0
        while self.take("-"):
            negative += 1
            if negative > DEEPEST:
                self.fail("too many signs")
        at = self.now.at
        plain = self.now.kind == "number" or self.now.text == "inf"
        found = self.atom()
        if negative and plain and isinstance(found, Constant):
            found, negative = Constant(-found.value), negative - 1
        for _ in range(negative):
            found = Negative(self.number(found, at))
        return found

    def atom(self) -> Formula | Expression:
        token = self.now
        self.place += token.kind != "end"
        if token.kind == "number":
            return Constant(float(token.text))
        if token.text == "(":
            found = self.implication()
            self.need(")")
            return found
        if token.kind == "word":
            if token.text in FUNCTIONS:
                return self.call(token)
            if token.text == "inf":
                return Constant(float("inf"))
            if token.text in ("true", "false"):
                return Truth(token.text == "true")
            if token.text not in RESERVED:
                return Name(token.text)
        self.fail(f"a signal, a number or a bracket is wanted, not '{token.text}'", token.at)

    def call(self, token: _Token) -> Call:
        self.need("(")
        arguments: list[Expression] = []
        while True:
            at = self.now.at
            arguments.append(self.number(self.implication(), at))
            if self.take(",") is None:
                break
        self.need(")")
        least, most = FUNCTIONS[token.text]
        if len(arguments) < least or (most is not None and len(arguments) > most):
            self.fail(f"{token.text}() takes {least}{'' if most else ' or more'} arguments", token.at)
        return Call(token.text, tuple(arguments))

"""What a check found: one line for each thing that was looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a check ended; only `FAIL` keeps a planner from passing."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `detail` says what was seen, `advice` what to do where it was not right."""

    check: str
    status: Status
    detail: str = ""
    advice: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.detail}; {self.advice}" if self.advice else self.detail


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one planner."""

    planner: str
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing failed; warnings and what could not be checked do not count."""
        return not any(finding.status is Status.FAIL for finding in self.findings)

    def count(self, status: Status | str) -> int:
        return sum(finding.status == status for finding in self.findings)

    def __str__(self) -> str:
        """One line a finding that is no pass, so that `assert report.ok, report` says what is wrong."""
        lines = [
            f"{f.check}: {f.status}: {f.sentence}"
            for f in self.findings
            if f.status in (Status.FAIL, Status.WARN)
        ]
        return "\n".join(lines) or f"{self.planner} passes {self.count(Status.PASS)} checks"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        findings = [{**asdict(finding), "status": finding.status.value} for finding in self.findings]
        return {"planner": self.planner, "ok": self.ok, "seconds": self.seconds, "findings": findings}

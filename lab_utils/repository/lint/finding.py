"""What lint says: one finding, and how a list of them looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """`error`: Triton refuses the model. `warning`: Triton takes it and does not do what is meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class LintFinding:
    """One thing that is wrong with a model.

    Attributes:
        model: Name of the model's folder.
        severity: Whether Triton refuses it.
        rule: Id of the rule, as in docs/lint-rules.md.
        file: The file it is about, relative to the folder that was given; empty for the folder itself.
        line: Line in that file, from 1; None when the fault has no line.
        message: What is wrong, in one or two sentences.
        fix: What to write or do instead.
    """

    model: str
    severity: Severity
    rule: str
    file: str
    line: int | None
    message: str
    fix: str

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return asdict(self)

    @property
    def place(self) -> str:
        """`mnist/config.pbtxt:4`, or the file alone."""
        return f"{self.file}:{self.line}" if self.line else self.file


def summary(findings: Sequence[LintFinding]) -> str:
    """How many of each kind, in words."""
    errors = sum(f.severity is Severity.ERROR for f in findings)
    warnings = len(findings) - errors
    if not findings:
        return "Nothing to say: Triton takes every model here as it is written."
    parts = []
    if errors:
        parts.append(f"{errors} {'error' if errors == 1 else 'errors'} (Triton refuses the model)")
    if warnings:
        parts.append(
            f"{warnings} {'warning' if warnings == 1 else 'warnings'} (accepted, but not what is meant)"
        )
    return ", ".join(parts)


def render_findings(findings: Iterable[LintFinding]) -> str:
    """The findings as plain text, model by model, with the summary as the last line."""
    found = list(findings)
    lines: list[str] = []
    for model in dict.fromkeys(f.model for f in found):
        lines.append(model)
        for finding in (f for f in found if f.model == model):
            lines.append(f"  {finding.severity.value}: {finding.message}  [{finding.rule}]")
            if finding.place:
                lines.append(f"    at  {finding.place}")
            lines.append(f"    fix {finding.fix}")
        lines.append("")
    return "\n".join([*lines, summary(found)])

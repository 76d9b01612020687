"""What the generator says about a malformed lab source: file, line, exercise, and the fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab_utils.errors import LabError


@dataclass(frozen=True)
class Problem:
    """One fault of a lab source.

    Attributes:
        file: Name of the source file.
        line: Line in that file (1-based).
        exercise: Exercise the line belongs to, for example `"1.5"`; empty outside exercises.
        text: What is wrong and what it should be.
    """

    file: str
    line: int
    exercise: str
    text: str

    def __str__(self) -> str:
        where = f"exercise {self.exercise}: " if self.exercise else ""
        return f"{self.file}:{self.line}: {where}{self.text}"


class MalformedSource(LabError):
    """A lab source that cannot become a notebook. `problems` holds every fault that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.file, problem.line))
        count = len(self.problems)
        super().__init__(
            f"{self.problems[0].file} has {count} fault{'s' if count > 1 else ''}; no notebook was written.",
            fix="Mend the lines below, then run: python -m lab_utils.notebooks.generate",
            details="\n".join(str(problem) for problem in self.problems),
        )

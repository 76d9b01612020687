"""The one error base class of the course: what is wrong, why, and what to do next."""

from __future__ import annotations


class LabError(Exception):
    """An error that a student can act on.

    Args:
        what: One sentence that names the thing that is wrong.
        why: The cause, in words a student understands. Empty when it is not known.
        fix: The next step: a command to run or a line to change.
        details: Raw evidence, for example the decisive lines of a server log. Never shortened.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "", details: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.details = details

    def __str__(self) -> str:
        parts = [self.what]
        if self.why:
            parts.append(f"Why:  {self.why}")
        if self.fix:
            parts.append(f"Next: {self.fix}")
        if self.details:
            parts.append(self.details.rstrip())
        return "\n".join(parts)

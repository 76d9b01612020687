"""The student's progress on disk: `work/progress.json`, keyed by checkpoint id.

It shows a student where they are. It is never the source of a grade: grading executes again.
Every change happens under a file lock and replaces the file in one step, so two notebooks, a panel
and the command line can write at the same time, and a crash leaves the old file whole.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lab_utils.errors import LabError
from lab_utils.paths import work_dir
from lab_utils.progress.registry import Checkpoint, Status, Verdict

SCHEMA = 1
RUN_VARIABLE = "TRITON_LAB_RUN"
_LOCK_SECONDS = 20.0


@dataclass(frozen=True)
class Entry:
    """The latest verdict of one checkpoint and its short history.

    Attributes:
        verdict: The latest verdict. A later FAIL replaces an earlier PASS.
        at: When, in ISO 8601, UTC.
        attempts: How often it was checked.
        first_pass: When it first passed; None when it never did.
        server: Identity of the server that was asked: name, runtime, pid, start time, address.
        run: The run that wrote it (`TRITON_LAB_RUN`), empty in a student's own kernel.
    """

    verdict: Verdict
    at: str
    attempts: int = 1
    first_pass: str | None = None
    server: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""

    @property
    def fell_back(self) -> bool:
        """True when it passed once and does not now."""
        return self.first_pass is not None and self.verdict.status is Status.FAIL


@dataclass(frozen=True)
class Score:
    """Points of one lab. SKIP is neither PASS nor FAIL: its points are not asked for.

    Attributes:
        points: Points of all passed checkpoints.
        possible: Points of all checkpoints that are not skipped.
        skipped: Points of the skipped ones.
        passed: How many passed.
        total: How many checkpoints the lab has.
    """

    points: int
    possible: int
    skipped: int
    passed: int
    total: int

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.points} of {self.possible} points{skipped}; {self.passed} of {self.total} exercises"


class ProgressStore:
    """Reads and writes one progress file.

    Attributes:
        path: The file.
        warnings: What a student should know, such as a damaged file that was kept aside.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or work_dir() / "progress.json"
        self.warnings: list[str] = []

    def record(
        self, checkpoint: Checkpoint | str, verdict: Verdict, server: Mapping[str, Any] | None = None
    ) -> Entry:
        """Store a verdict and return the new entry.

        Raises:
            LabError: The file cannot be written, or another process holds its lock for too long.
        """
        id = checkpoint if isinstance(checkpoint, str) else checkpoint.id
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=_LOCK_SECONDS):
                entries = self._read()
                old = entries.get(id)
                first = old.first_pass if old else None
                entry = Entry(
                    verdict,
                    now,
                    attempts=old.attempts + 1 if old else 1,
                    first_pass=first or (now if verdict.passed else None),
                    server=dict(server or {}),
                    run=os.environ.get(RUN_VARIABLE, ""),
                )
                entries[id] = entry
                self._write(entries)
        except Timeout as error:
            raise LabError(
                f"{self.path} is locked by another program for more than {_LOCK_SECONDS:g} s",
                fix="Close other notebooks that check this lab, then check again.",
            ) from error
        except OSError as error:
            raise LabError(
                f"{self.path} cannot be written",
                why=str(error),
                fix="See that the folder is yours and that the disk is not full.",
            ) from error
        return entry

    def entries(self) -> dict[str, Entry]:
        """All entries by checkpoint id. A missing file is an empty one."""
        return self._read()

    def forget(self, ids: Sequence[str]) -> None:
        """Remove entries, for an exercise that is reset."""
        if not self.path.exists():
            return
        with FileLock(f"{self.path}.lock", timeout=_LOCK_SECONDS):
            self._write({id: entry for id, entry in self._read().items() if id not in set(ids)})

    def score(self, checkpoints: Sequence[Checkpoint]) -> Score:
        """Points of these checkpoints by their latest verdicts."""
        entries = self._read()
        status = {c.id: entries[c.id].verdict.status if c.id in entries else None for c in checkpoints}
        by = {s: sum(c.points for c in checkpoints if status[c.id] is s) for s in Status}
        everything = sum(c.points for c in checkpoints)
        passed = sum(1 for s in status.values() if s is Status.PASS)
        skipped = by[Status.SKIP]
        return Score(by[Status.PASS], everything - skipped, skipped, passed, len(checkpoints))

    def _read(self) -> dict[str, Entry]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except UnicodeDecodeError as error:
            return self._keep_aside(f"it is not text ({error.reason})")
        try:
            data = json.loads(text)
            schema = data["schema"]
            if schema == SCHEMA:
                return {id: _entry_from(raw) for id, raw in data["checkpoints"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return self._keep_aside(f"{type(error).__name__}: {error}")
        return self._keep_aside(f"it has schema {schema!r}, this version writes {SCHEMA}")

    def _keep_aside(self, reason: str) -> dict[str, Entry]:
        """A file that cannot be understood is renamed, never overwritten or deleted."""
        number = 1
        while (aside := self.path.with_name(f"{self.path.stem}.damaged-{number}.json")).exists():
            number += 1
        with suppress(FileNotFoundError):  # another process kept it aside a moment ago
            self.path.rename(aside)
            self.warnings.append(
                f"{self.path.name} could not be read ({reason}). It was kept as {aside.name}; "
                "progress starts anew. Check your exercises again to fill it."
            )
        return {}

    def _write(self, entries: Mapping[str, Entry]) -> None:
        data = {
            "schema": SCHEMA,
            "checkpoints": {id: _entry_to(entries[id]) for id in sorted(entries, key=_by_number)},
        }
        text = json.dumps(data, indent=1, default=_plain)
        handle, name = tempfile.mkstemp(prefix=".progress-", dir=self.path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise


def _by_number(id: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in id.split("."))


def _plain(value: Any) -> Any:
    """JSON for what checks like to put into evidence: NumPy values, paths."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def _entry_to(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "verdict": entry.verdict.as_dict()}


def _entry_from(raw: Mapping[str, Any]) -> Entry:
    verdict = raw["verdict"]
    return Entry(
        verdict=Verdict(
            Status(verdict["status"]),
            str(verdict.get("expected", "")),
            str(verdict.get("found", "")),
            str(verdict.get("next_step", "")),
            dict(verdict.get("evidence", {})),
        ),
        at=str(raw["at"]),
        attempts=int(raw.get("attempts", 1)),
        first_pass=raw.get("first_pass"),
        server=dict(raw.get("server", {})),
        run=str(raw.get("run", "")),
    )

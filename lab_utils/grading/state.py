"""What a batch has done so far, on disk: a batch that was killed goes on where it was.

Every result is one file, written in one step when its notebook is done. It carries the digest of all
that it depends on: the notebook, the hidden checks, the limits and the course's own code. A result
with another digest is none, so nothing that changed is ever graded by an old run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lab_utils.errors import LabError
from lab_utils.files import write_bytes, write_text
from lab_utils.grading.results import Cause, LabResult
from lab_utils.paths import project_root

SCHEMA = 1
_MARK = ".batch"


class BatchFolder:
    """The folder of a batch's results, `--out`.

    Attributes:
        root: The folder.
        stage: What all runs share, below it; kept from one start to the next.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._own = self.root / _MARK
        self.stage = self._own / "stage"

    @contextmanager
    def opened(self, submissions: Path) -> Iterator[None]:
        """Hold the folder for this batch alone.

        Raises:
            LabError: It holds something else, lies in the submissions, or another batch works in it.
        """
        self._refuse_foreign(submissions.resolve())
        try:
            self._own.mkdir(parents=True, exist_ok=True)
            (self._own / ".gitignore").write_text("*\n", encoding="utf-8")
            lock = FileLock(self._own / "lock", timeout=0)
            lock.acquire()
        except Timeout as error:
            raise LabError(
                f"Another batch works in {self.root}.", fix="Wait for its end, or choose another --out."
            ) from error
        except OSError as error:
            raise LabError(
                f"The results cannot be written to {self.root}.",
                why=str(error),
                fix="Choose another folder as --out.",
            ) from error
        try:
            for left in self.root.rglob(".*.tmp"):  # a file that a killed batch was writing
                left.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def intake(self, folder: str) -> Path:
        """Where a student's notebooks are copied to before they run."""
        return self._own / "intake" / folder

    def student(self, folder: str) -> Path:
        """A student's folder: the report and the executed notebooks."""
        return self.root / "students" / folder

    def show_only(self, folders: Collection[str]) -> None:
        """Set the folders of students who are not in this batch aside; bring back those of students who are.

        Their results stay: whoever comes back need not be run again.
        """
        shown, aside = self.root / "students", self._own / "aside"
        for path in [*shown.iterdir()] if shown.is_dir() else []:
            if path.name not in folders:
                shutil.rmtree(aside / path.name, ignore_errors=True)
                aside.mkdir(exist_ok=True)
                path.rename(aside / path.name)
        for path in [*aside.iterdir()] if aside.is_dir() else []:
            if path.name in folders:
                shown.mkdir(exist_ok=True)
                path.rename(shown / path.name)

    def keep(self, folder: str, result: LabResult, key: str, executed: bytes | None, name: str) -> None:
        """Store a result with its executed notebook, the notebook first.

        Args:
            folder: The student's folder.
            result: The result.
            key: The digest of what it depends on.
            executed: The executed notebook; None where there is none.
            name: The executed notebook's file name.
        """
        target = self.student(folder) / name
        if executed is None:
            target.unlink(missing_ok=True)
        else:
            write_bytes(target, executed)
        data = {"schema": SCHEMA, "key": key, "result": result.as_dict()}
        write_text(self._result(folder, result.lab), json.dumps(data, indent=1) + "\n")

    def kept(self, folder: str, lab: str, key: str) -> LabResult | None:
        """An earlier result of exactly the same input; None when there is none that counts.

        A result that a fault of ours ended does not count: it is tried again.
        """
        try:
            data = json.loads(self._result(folder, lab).read_text(encoding="utf-8"))
            if data["schema"] != SCHEMA or data["key"] != key:
                return None
            result = LabResult.from_dict(data["result"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None if result.cause is Cause.INTERNAL else result

    def note_fault(self, text: str) -> None:
        """Add a fault of ours, with its traceback, to `.batch/faults.log`."""
        with (self._own / "faults.log").open("a", encoding="utf-8") as file:
            file.write(text)

    def _result(self, folder: str, lab: str) -> Path:
        return self._own / "results" / folder / f"{lab}.json"

    def _refuse_foreign(self, submissions: Path) -> None:
        if self.root == submissions or submissions in self.root.parents or self.root in submissions.parents:
            raise LabError(
                f"The results would lie in the submissions, or these in them: {self.root}.",
                fix="Choose a folder beside the submissions as --out.",
            )
        if self.root.exists() and not self.root.is_dir():
            raise LabError(f"{self.root} is a file.", fix="Choose a folder as --out.")
        if self.root.is_dir() and any(self.root.iterdir()) and not self._own.is_dir():
            raise LabError(
                f"{self.root} holds other files.",
                why="It is not the folder of an earlier batch, and nothing in it shall be overwritten.",
                fix="Choose a new or empty folder as --out.",
            )


def write_shown(path: Path, text: str) -> None:
    """Write a page or table. Half a character, as a student's function may return, becomes a `?`."""
    write_bytes(path, text.encode("utf-8", "replace"))


def digest_of(notebook: Path, settings: Mapping[str, Any]) -> str:
    """The digest of all that a result depends on, as 64 hexadecimal digits."""
    content = hashlib.sha256(notebook.read_bytes()).hexdigest()
    text = json.dumps([SCHEMA, content, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def course_digest() -> str:
    """The digest of the course's own code, models and notebooks: another version grades anew."""
    from lab_utils.handout.files import package_files

    root = project_root()
    whole = hashlib.sha256()
    for path in package_files(root):
        if path.parts[0] in ("lab_utils", "labs", "model_repository"):
            whole.update(path.as_posix().encode() + b"\0")
            whole.update(hashlib.sha256((root / path).read_bytes()).digest())
    return whole.hexdigest()

"""`triton-lab submit`: one zip with the student's notebooks, the repositories they built, and their machine.

The teacher executes the notebooks again. The rest is there to see what the student saw: it never
makes a grade. `lab_utils.grading` reads the zip, and believes nothing in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab_utils.errors import LabError
from lab_utils.files import write_text
from lab_utils.handout.environment import environment_report
from lab_utils.handout.release import release_facts
from lab_utils.notebooks.build import is_edited
from lab_utils.notebooks.read import KEY, read_notebook
from lab_utils.paths import work_dir
from lab_utils.progress.labs import LABS, LabSpec

SUBMISSION_FILE = "submission.json"
ENVIRONMENT_FILE = "environment.json"
FORMAT = "triton-labs submission"
SCHEMA = 1
MAX_FILE = 64 << 20
"""Bytes of one file. The largest that a lab makes is 9 MB; a Llama of one's own is far larger."""
MAX_REPOSITORIES = 256 << 20
"""Bytes of all repositories together."""
_REMEMBERED = ".student"
_NAME = re.compile(r"[\w@+][\w.@+ -]{0,63}")


@dataclass
class Submission:
    """What was handed in.

    Attributes:
        archive: The zip.
        student: The name or number that it carries.
        notebooks: Labs whose notebook is in it, in order, with the notebook's path.
        files: How many files of the repositories are in it.
        size: Bytes of the zip.
        remarks: What the student should know before they hand it in.
    """

    archive: Path
    student: str
    notebooks: dict[str, Path]
    files: int = 0
    size: int = 0
    remarks: list[str] = field(default_factory=list)


def submit(
    student: str | None = None,
    out: Path | None = None,
    *,
    note: str = "",
    work: Path | None = None,
    damaged: bool = False,
) -> Submission:
    """Pack the student's work into one zip.

    Args:
        student: Name or number, as the teacher wants it. Default: the one of last time.
        out: The zip's path. Default: `STUDENT.zip` in the present folder: grading takes the name from it.
        note: A sentence for the teacher, for example about help that the student had.
        work: The student's folder; default: `work_dir()`.
        damaged: Hand in a notebook that cannot be read, too. It cannot earn points.

    Raises:
        LabError: There is no name, no notebook, a damaged notebook, or the zip cannot be written.
    """
    work = work or work_dir()
    student = _student(student, work)
    notebooks, remarks = _notebooks(work, damaged)
    archive = (out or Path(f"{student}.zip")).resolve()
    done = Submission(archive, student, notebooks, remarks=remarks)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "schema": SCHEMA,
        "student": student,
        "note": note,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "course": release_facts(),
        "notebooks": [],
        "repositories": {},
        "left_out": [],
    }
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=archive.parent, prefix=f".{archive.name}.", delete=False
        ) as file:
            try:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
                    _pack(book, done, work, facts)
                file.close()
                Path(file.name).chmod(0o644)
                Path(file.name).replace(archive)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise LabError(
            f"{archive} cannot be written.", why=str(error), fix="Name another place: --out FILE"
        ) from error
    done.size = archive.stat().st_size
    return done


def _pack(book: zipfile.ZipFile, done: Submission, work: Path, facts: dict[str, Any]) -> None:
    for lab, path in done.notebooks.items():
        content, name = path.read_bytes(), f"notebooks/{LABS[lab].notebook}.ipynb"
        book.writestr(name, content)
        facts["notebooks"].append({"lab": lab, "file": name, "sha256": hashlib.sha256(content).hexdigest()})
    room = MAX_REPOSITORIES
    for lab in LABS:
        repository = work / f"lab{lab}" / "model_repository"
        files, left_out = _regular_files(repository)
        for path in files:
            name = path.relative_to(repository).as_posix()
            try:
                size = path.stat().st_size
                if size > MAX_FILE or size > room:
                    left_out.append(f"{name} ({size / 1e6:.0f} MB)")
                    continue
                content = path.read_bytes()
            except OSError as error:
                left_out.append(f"{name} ({error.strerror})")
                continue
            room -= size
            book.writestr(f"repository/lab{lab}/{name}", content)
            facts["repositories"][lab] = f"repository/lab{lab}"
            done.files += 1
        facts["left_out"] += [f"lab{lab}: {one}" for one in left_out]
        if left_out:
            done.remarks.append(f"Left out of lab {lab}'s repository: {', '.join(left_out)}.")
    book.writestr(ENVIRONMENT_FILE, json.dumps(environment_report(), indent=1) + "\n")
    book.writestr(SUBMISSION_FILE, json.dumps(facts, indent=1) + "\n")


def _regular_files(folder: Path) -> tuple[list[Path], list[str]]:
    """The files of a repository, and the names of what is no regular file. A link is never followed."""
    files: list[Path] = []
    odd: list[str] = []
    for here, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in ("__pycache__", ".ipynb_checkpoints"))
        for name in sorted(names) + [name for name in folders if (Path(here) / name).is_symlink()]:
            path = Path(here) / name
            if path.is_symlink() or not path.is_file():
                odd.append(f"{path.relative_to(folder)} (no regular file)".encode(errors="replace").decode())
            elif not _is_text(str(path)):
                odd.append(f"{name!a} (its name is no UTF-8)")
            else:
                files.append(path)
    return files, odd


def _is_text(name: str) -> bool:
    """False for a name whose bytes are no UTF-8: no zip can hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _student(given: str | None, work: Path) -> str:
    """The student's name, remembered for the next time."""
    remembered = work / _REMEMBERED
    name = given.strip() if given is not None else ""
    if given is None and remembered.is_file():
        name = remembered.read_text(encoding="utf-8").strip()
    if not name:
        raise LabError(
            "Who are you? The zip needs your name or number.",
            fix="triton-lab submit --student NAME (as your teacher wants it; it is remembered)",
        )
    if not _NAME.fullmatch(name):
        raise LabError(
            f"{name!r} cannot be used as a name.",
            why="It becomes a file's name: a letter or digit, then letters, digits, blanks, . _ @ + and -; "
            "up to 64 in all.",
            fix=f'Leave out what is not among these: triton-lab submit --student "{_allowed(name)}"',
        )
    if given is not None and work.is_dir():
        write_text(remembered, name + "\n")
    return name


def _allowed(name: str) -> str:
    """The nearest name that can be used."""
    return re.sub(r"^[^\w@+]+|[^\w.@+ -]", "", name)[:64].strip() or "NAME"


def _notebooks(work: Path, damaged: bool) -> tuple[dict[str, Path], list[str]]:
    """The student's notebook of each lab, and what they should know about them."""
    found: dict[str, list[Path]] = {lab: [] for lab in LABS}
    remarks: list[str] = []
    for path in sorted(work.glob("*.ipynb")):
        if path.name.endswith(".new.ipynb"):
            continue  # what an update of the course offers beside the student's own
        lab = _lab_of(path, remarks, damaged)
        if lab in found:
            found[lab].append(path)
    chosen: dict[str, Path] = {}
    for lab, paths in found.items():
        if paths:
            chosen[lab] = _choose(LABS[lab], paths, remarks)
    if not chosen:
        raise LabError(
            f"There is no notebook of the course in {work}.",
            why="Your copies of the notebooks are there once you have opened the labs.",
            fix="triton-lab notebooks makes them; TRITON_LAB_WORK names another folder.",
        )
    missing = [lab for lab in LABS if lab not in chosen]
    if missing:
        remarks.append(f"Not in it, since you have no notebook of it: lab {', '.join(missing)}.")
    return chosen, remarks


def _lab_of(path: Path, remarks: list[str], damaged: bool) -> str:
    """The lab that a notebook belongs to, by what it holds; by its name when it cannot be read.

    Raises:
        LabError: It is the course's, and cannot be read.
    """
    by_name = next((lab for lab, spec in LABS.items() if path.stem == spec.notebook), "")
    try:
        notebook = read_notebook(path)
    except LabError as error:
        if by_name and not damaged:
            raise LabError(
                f"{path.name} is damaged: lab {by_name} would earn no points. Nothing was packed.",
                why=error.why,
                fix=f"Put an older copy of yours in its place (work/backups/ has some), or begin it again: "
                f"triton-lab reset {by_name}. To hand it in all the same: triton-lab submit --damaged",
            ) from error
        if by_name:
            remarks.append(f"{path.name} is damaged: lab {by_name} cannot earn points.")
        return by_name
    ours = notebook.metadata.get(KEY)
    lab = str(ours.get("lab", "")) if isinstance(ours, dict) else ""
    if by_name and isinstance(ours, dict) and not is_edited(notebook):
        remarks.append(f"{path.name} is as it was handed out: nothing in it is yours.")
    return lab if lab in LABS else by_name


def _choose(spec: LabSpec, paths: list[Path], remarks: list[str]) -> Path:
    """Of several notebooks of a lab: one that was worked in, then the course's own name, then the latest."""
    chosen = max(
        paths,
        key=lambda path: (_worked_in(path), path.stem == spec.notebook, path.stat().st_mtime, path.name),
    )
    others = [path.name for path in paths if path != chosen]
    if others:
        remarks.append(
            f"Lab {spec.number} has several notebooks: {chosen.name} is handed in, not {', '.join(others)}. "
            "If that is not the one, move the others away and submit again."
        )
    return chosen


def _worked_in(path: Path) -> bool:
    try:
        return is_edited(read_notebook(path))
    except LabError:
        return False

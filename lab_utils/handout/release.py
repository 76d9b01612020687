"""`triton-lab release`: the student package, the same bytes from the same course on every machine.

The package holds no solution, no hidden check and no history. Its archive is stored, not compressed (two
versions of zlib may write different bytes), with sorted names, one fixed time and one fixed mode.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.files import write_bytes
from lab_utils.handout.files import package_files
from lab_utils.handout.pages import STUDENTS_PAGE, student_makefile, student_readme, without_dead_links
from lab_utils.paths import project_root

RELEASE_FILE = "release.json"
NAME = "triton-labs"
_AGENTS = Path(__file__).parent / "templates" / "AGENTS.md"
_TIME = (2000, 1, 1, 0, 0, 0)  # any one will do; the oldest that a zip can hold troubles some programs
_MODE = 0o100644
_MARKERS = (b"### BEGIN SOLUTION", b"### END SOLUTION")


@dataclass(frozen=True)
class Release:
    """A student package.

    Attributes:
        folder: The unpacked package, to look at.
        archive: The same as one zip file, to hand out.
        version: The course's version.
        digest: SHA-256 over the names and contents of all files but `release.json`, which holds it.
        sha256: SHA-256 of the archive.
        files: How many files.
        compared: The notebooks were compared with their sources. (That needs jupytext.)
    """

    folder: Path
    archive: Path
    version: str
    digest: str
    sha256: str
    files: int
    compared: bool


def release(out: Path, root: Path | None = None) -> Release:
    """Write the student package into a folder: once as a folder, once as a zip of it.

    Args:
        out: Where `triton-labs-VERSION/` and `triton-labs-VERSION.zip` will be. An older release there
            is replaced; anything else of this name is refused.
        root: The course; default: this project.

    Raises:
        LabError: The course is not complete, its notebooks do not agree with their sources or hold
            outputs or solutions, or something else lies in the way.
    """
    root = (root or project_root()).resolve()
    compared = _compare(root)
    contents = package(root)
    facts = json.loads(contents[RELEASE_FILE])
    name = f"{NAME}-{facts['version']}"
    folder, archive = out.resolve() / name, out.resolve() / f"{name}.zip"
    if folder.exists() and not (folder / RELEASE_FILE).is_file():
        raise LabError(
            f"{folder} is there already, and it is no student package.",
            why=f"A package has a file {RELEASE_FILE}.",
            fix="Name another folder, or move that one away.",
        )
    _write_folder(contents, folder)
    _write_archive(contents, archive, name)
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    return Release(folder, archive, facts["version"], facts["digest"], checksum, len(contents), compared)


def package(root: Path) -> dict[str, bytes]:
    """All files of the student package, by their path in it, as they are handed out.

    Args:
        root: The course.

    Raises:
        LabError: The course is not complete, or a notebook holds an output or a solution.
    """
    files = [path.as_posix() for path in package_files(root)]
    contents = {name: (root / name).read_bytes() for name in files}
    for name in files:
        if name.startswith("labs/"):
            _refuse_unfit(name, contents[name])
    contents["AGENTS.md"] = _AGENTS.read_bytes()
    text = {name: contents[name].decode() for name in contents if name.endswith(".md") or name == "Makefile"}
    if not (root / RELEASE_FILE).exists():  # a package made from a package is the same package
        text["README.md"] = student_readme(text["README.md"], text[STUDENTS_PAGE])
        text["Makefile"] = student_makefile(text["Makefile"])
    for page, words in text.items():
        contents[page] = (
            without_dead_links(words, page, contents).encode() if page.endswith(".md") else words.encode()
        )
    facts = {
        "course": NAME,
        "version": tomllib.loads(contents["pyproject.toml"].decode())["project"]["version"],
        "digest": _digest(contents),
    }
    contents[RELEASE_FILE] = (json.dumps(facts, indent=1) + "\n").encode()
    return dict(sorted(contents.items()))


def release_facts(root: Path | None = None) -> dict[str, str]:
    """Version and digest of the package that this folder is; the digest is empty in a checkout."""
    root = root or project_root()
    try:
        facts = json.loads((root / RELEASE_FILE).read_text())
        return {"version": str(facts["version"]), "digest": str(facts["digest"])}
    except (OSError, ValueError, KeyError, TypeError):
        project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
        return {"version": str(project["version"]), "digest": ""}


def _digest(contents: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, content in sorted(contents.items()):
        whole.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return whole.hexdigest()


def _compare(root: Path) -> bool:
    """See that the notebooks are those of their sources. False where it cannot be seen."""
    if not (root / "labs_solutions").is_dir() or importlib.util.find_spec("jupytext") is None:
        return False
    from lab_utils.notebooks.generate import generate

    if root != project_root().resolve():  # the registry holds this project's checkpoints, not another's
        return False
    changes = generate(root, check=True)
    if changes:
        raise LabError(
            f"The notebooks do not agree with their sources: {'; '.join(changes)}.",
            why="Students would get another course than the one that is proven.",
            fix="make notebooks",
        )
    return True


def _refuse_unfit(name: str, content: bytes) -> None:
    """A notebook that is handed out is a student's one, without outputs and without solutions."""
    try:
        notebook = json.loads(content)
        cells = notebook["cells"]
        kind = notebook["metadata"]["triton_lab"]["kind"]
        outputs = any(cell.get("outputs") for cell in cells)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(
            f"{name} is no notebook of the course.", why=repr(error), fix="make notebooks"
        ) from error
    if kind != "student" or any(marker in content for marker in _MARKERS):
        raise LabError(f"{name} holds solutions.", fix="make notebooks")
    if outputs:
        raise LabError(
            f"{name} holds outputs: somebody worked in it.",
            why="What was run and seen there would be handed out.",
            fix="Move the file to work/ to keep it, then: make notebooks",
        )


def _write_folder(contents: Mapping[str, bytes], folder: Path) -> None:
    """Write the package beside its place, then put it there, so that it appears whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        fresh = Path(scratch) / "new"
        for name, content in contents.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        fresh.rename(folder)


def _write_archive(contents: Mapping[str, bytes], archive: Path, name: str) -> None:
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as book:
            for path, content in contents.items():
                entry = zipfile.ZipInfo(f"{name}/{path}", _TIME)
                entry.create_system = 3  # Unix: the mode counts
                entry.external_attr = _MODE << 16
                book.writestr(entry, content)
        file.seek(0)
        write_bytes(archive, file.read())

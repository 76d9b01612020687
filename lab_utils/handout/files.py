"""Which files of the project belong to the student package. All others stay with the teacher.

The list says what goes in, never what stays out: a new folder of solutions, of hidden checks or of
notes is kept back without anybody thinking of it. It is made by looking at the folder, not by asking git,
so that it is also right in a copy without history. What a run leaves behind (trained models, caches,
the student's `work/`) is not in it.
"""

from __future__ import annotations

from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.progress.labs import LABS

# At the top of the project. .gitignore is in the package, so that a student may keep a history of their own.
_TOP = (
    ".dockerignore",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "constraints.txt",
    "environment.yml",
    "pyproject.toml",
)
# Folder: endings that belong to it. "*" takes every file that no run leaves behind.
_FOLDERS: dict[str, tuple[str, ...]] = {
    "docker": ("*",),
    "docs": (".md", ".png"),
    "lab_utils": ("*",),
    "labs": (".ipynb",),
    "model_repository": (".pbtxt", ".py"),
}
_SINGLE = ("scripts/preflight.sh",)
# What the stack keeps beside its compose file when it is started by hand: passwords, addresses.
_NEVER = ("docker/secrets", "docker/targets")
# Pages for those who teach and write.
TEACHERS_PAGES = ("docs/instructors.md", "docs/writing-exercises.md")
_LEFT_BY_RUNS = (".pyc", ".pyo", ".onnx", ".pt", ".tmp", ".lock", ".log", ".orig", ".rej", ".swp")


def package_files(root: Path) -> list[Path]:
    """The files of the student package.

    Args:
        root: The project's folder, or a package made from it.

    Returns:
        Paths relative to `root`, sorted. Regular files only: a link is never followed.

    Raises:
        LabError: A file without which the course cannot be installed or run is missing.
    """
    found = [Path(name) for name in (*_TOP, *_SINGLE) if _is_file(root / name)]
    for folder, endings in _FOLDERS.items():
        found += [path for path in _walk(root, Path(folder)) if _belongs(path, endings)]
    found = sorted(path for path in found if path.as_posix() not in TEACHERS_PAGES)
    _refuse_incomplete(root, found)
    return found


def _walk(root: Path, folder: Path) -> list[Path]:
    """All regular files below a folder, as paths relative to `root`."""
    files: list[Path] = []
    here = root / folder
    if here.is_symlink() or not here.is_dir():
        return files
    for entry in here.iterdir():
        if entry.name.startswith(".") or entry.name == "__pycache__" or entry.name.endswith("~"):
            continue
        if entry.is_symlink():
            continue
        if entry.is_dir():
            files += _walk(root, folder / entry.name)
        elif entry.is_file():
            files.append(folder / entry.name)
    return files


def _belongs(path: Path, endings: tuple[str, ...]) -> bool:
    if path.suffix in _LEFT_BY_RUNS or path.parent.as_posix() in _NEVER:
        return False
    if path.parts[0] == "labs":  # the course's own notebooks, not a copy that somebody made beside them
        return path.as_posix() in {f"labs/{spec.notebook}.ipynb" for spec in LABS.values()}
    return "*" in endings or path.suffix in endings


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _refuse_incomplete(root: Path, found: list[Path]) -> None:
    needed = {"Makefile", "constraints.txt", "pyproject.toml", "lab_utils/paths.py", "scripts/preflight.sh"}
    missing = sorted(needed - {path.as_posix() for path in found})
    if not any(path.parts[0] == "labs" for path in found):
        missing.append("labs/*.ipynb")
    if missing:
        raise LabError(
            f"{root} does not hold the whole course: {', '.join(missing)} missing.",
            why="The student package is made from a complete checkout of the project.",
            fix="Run this in a fresh checkout (make notebooks writes labs/*.ipynb).",
        )

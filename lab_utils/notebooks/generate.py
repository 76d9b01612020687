"""Write `labs/*.ipynb` and `labs_solutions/*.ipynb` from `labs_solutions/*.py`.

`python -m lab_utils.notebooks.generate` writes what changed; with `--check` it writes nothing and
exits 1 when something differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat

from lab_utils.errors import LabError
from lab_utils.files import write_text
from lab_utils.notebooks.build import build_lab, is_edited
from lab_utils.paths import project_root
from lab_utils.progress.registry import Checkpoint

SOURCES = "labs_solutions"
STUDENT = "labs"


def generate(
    root: Path | None = None,
    *,
    check: bool = False,
    checkpoints: Callable[[str], Sequence[Checkpoint]] | None = None,
) -> list[str]:
    """Bring all notebooks in line with their sources.

    Every source is read before the first file is written: a fault in one leaves all as they are.

    Args:
        root: Folder that holds `labs/` and `labs_solutions/`; default: this project.
        check: Compare only, write nothing.
        checkpoints: Gives the checkpoints of a lab (`"01"`); default: the registry.

    Returns:
        One line per notebook that differed: its path and what was wrong with it.

    Raises:
        MalformedSource: A source breaks the form.
        LabError: A notebook holds edits made by hand, which writing would destroy.
    """
    root = root or project_root()
    sources = sorted((root / SOURCES).glob("[0-9][0-9]-*.py"))
    wanted: dict[Path, str] = {}
    for source in sources:
        lab = build_lab(source, checkpoints(source.name[:2]) if checkpoints else None)
        wanted[root / SOURCES / f"{lab.name}.ipynb"] = lab.complete
        wanted[root / STUDENT / f"{lab.name}.ipynb"] = lab.student
    changes: dict[Path, str] = {}
    for path, text in wanted.items():
        if not path.exists():
            changes[path] = "is missing"
        elif path.read_text(encoding="utf-8") != text:
            changes[path] = "differs from its source"
    orphans = [
        path
        for folder in (SOURCES, STUDENT)
        for path in sorted((root / folder).glob("*.ipynb"))
        if path not in wanted
    ]
    if not check:
        for path in changes:
            _refuse_edited(path)
        for path in changes:
            write_text(path, wanted[path])
    lines = [f"{path.relative_to(root)} {what}" for path, what in changes.items()]
    return lines + [f"{path.relative_to(root)} has no source in {SOURCES}/: delete it" for path in orphans]


def _refuse_edited(path: Path) -> None:
    """Stop before a notebook with somebody's work in it is overwritten."""
    if not path.exists():
        return
    try:
        edited = is_edited(nbformat.read(path, as_version=4))
    except Exception as error:  # whatever is wrong with the file, it is not ours to overwrite
        raise LabError(
            f"{path} cannot be read as a notebook, so it was not overwritten.",
            why=str(error),
            fix=f"Move it away (mv {path.name} elsewhere), then generate again.",
        ) from error
    if edited:
        raise LabError(
            f"{path} was edited by hand; generating would destroy that work.",
            why="Notebooks in labs/ and labs_solutions/ are written from labs_solutions/*.py.",
            fix="Move the file to work/ to keep it (students work there: triton-lab notebooks), "
            "or delete it; then generate again. Lasting changes belong in the .py source.",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (0 in line, 1 differences or faults)."""
    parser = argparse.ArgumentParser(prog="python -m lab_utils.notebooks.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when something differs")
    options = parser.parse_args(arguments)
    try:
        changes = generate(check=options.check)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    orphans = any(line.endswith("delete it") for line in changes)
    for line in changes:
        print(line if options.check or line.endswith("delete it") else f"{line.split(' ')[0]} written")
    if not changes:
        print("All notebooks agree with their sources.")
    elif options.check:
        print("Run: make notebooks", file=sys.stderr)
    return 1 if orphans or (options.check and changes) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Turn a lab source into its two notebooks: complete, and for students."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lab_utils.notebooks.problems import MalformedSource, Problem
from lab_utils.notebooks.read import KEY
from lab_utils.notebooks.solution import complete_text, student_text
from lab_utils.notebooks.source import SourceCell, lab_number, read_source
from lab_utils.notebooks.validate import Validator
from lab_utils.progress import registry
from lab_utils.progress.registry import Checkpoint


@dataclass(frozen=True)
class LabNotebooks:
    """The two notebooks of one lab, as the exact text of their files."""

    name: str
    complete: str
    student: str


def registered_checkpoints(lab: str, file: str) -> list[Checkpoint]:
    """The checkpoints of `lab_utils/checks/labN.py`.

    Raises:
        MalformedSource: The module does not exist.
    """
    module = f"lab_utils.checks.lab{int(lab)}"
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        text = f"lab {lab} has no checkpoints: {module.replace('.', '/')}.py does not exist"
        raise MalformedSource([Problem(file, 1, "", text)]) from error
    return registry.checkpoints(lab)


def build_lab(source: Path, checkpoints: Sequence[Checkpoint] | None = None) -> LabNotebooks:
    """Validate a lab source and build its notebooks. The same source gives the same bytes.

    Args:
        source: `labs_solutions/0N-Title.py`.
        checkpoints: The lab's checkpoints; None reads them from the registry.

    Raises:
        MalformedSource: Names file, line and exercise of every fault.
    """
    lab = lab_number(source)
    cells = read_source(source)
    if checkpoints is None:
        checkpoints = registered_checkpoints(lab, source.name)
    exercises = Validator(source.name, lab, cells, checkpoints).validate()
    places = {
        position: (exercise.id, role) for exercise in exercises for position, role in exercise.roles.items()
    }
    ids = cell_ids(cells, places)
    texts: dict[str, str] = {}
    for kind in ("complete", "student"):
        made = [_cell(cell, ids[position], places.get(position), kind) for position, cell in enumerate(cells)]
        notebook = new_notebook(cells=made)
        notebook.nbformat_minor = 5
        notebook.metadata = _metadata(lab, kind, source.name, digest(notebook))
        nbformat.validate(notebook)
        texts[kind] = nbformat.writes(notebook) + "\n"
    return LabNotebooks(source.stem, texts["complete"], texts["student"])


def cell_ids(cells: Sequence[SourceCell], places: dict[int, tuple[str, str]]) -> list[str]:
    """One id per cell, the same in both notebooks and on every run.

    Cells of an exercise are named after it (`exercise-1-5-answer`), the others after their own
    text, so that an id stays when other cells come, go or change.
    """
    seen: dict[str, int] = {}
    ids = []
    for position, cell in enumerate(cells):
        if position in places:
            exercise, role = places[position]
            name = f"exercise-{exercise.replace('.', '-')}-{role}"
        else:
            name = f"{cell.kind}-{hashlib.sha256(cell.text.encode()).hexdigest()[:12]}"
        seen[name] = seen.get(name, 0) + 1
        ids.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return ids


def digest(notebook: NotebookNode) -> str:
    """SHA-256 over kinds and texts of the cells: outputs and metadata do not count as a change."""
    content = [[cell.cell_type, cell.source] for cell in notebook.cells]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def is_edited(notebook: NotebookNode) -> bool:
    """Whether somebody changed a cell's text since the generator wrote the notebook."""
    recorded = notebook.metadata.get(KEY, {}).get("digest")
    return bool(recorded != digest(notebook))


def _cell(cell: SourceCell, id: str, place: tuple[str, str] | None, kind: str) -> NotebookNode:
    metadata: dict[str, Any] = {}
    tags = list(cell.tags)
    if place:
        exercise, role = place
        metadata[KEY] = {"exercise": exercise, "role": role}
        if role in ("answer", "check"):
            tags.append(f"{'exercise' if role == 'answer' else 'check'}-{exercise}")
    if tags:
        metadata["tags"] = tags
    if cell.kind == "markdown":
        made: NotebookNode = new_markdown_cell(cell.text, metadata=metadata)
    else:
        exercise = place[0] if place else ""
        text = student_text(cell.text, exercise) if kind == "student" else complete_text(cell.text)
        made = new_code_cell(text, metadata=metadata)
    made.id = id
    return made


def _metadata(lab: str, kind: str, source: str, digest: str) -> NotebookNode:
    return nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
            KEY: {"lab": lab, "kind": kind, "source": source, "digest": digest},
        }
    )

"""A short lab to submit: the first cells of Lab 1, Exercises 1.1 and 1.5; and changes to it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from lab_utils.notebooks.read import place_of, read_notebook
from lab_utils.paths import project_root
from lab_utils.progress.labs import LABS

EXERCISES = ("1.1", "1.5")
POINTS = {"1.1": 2, "1.5": 3}
NAME = LABS["01"].notebook
WRONG_HTTP = (
    "import numpy as np\n\n\n"
    "def classify_http(url, images):\n    return np.zeros(len(images), dtype=int)\n\n\n"
    "classify_grpc = classify_http"
)


def short(folder: str) -> NotebookNode:
    """The short lab of `labs` or `labs_solutions`."""
    notebook = read_notebook(project_root() / folder / f"{NAME}.ipynb")
    last = len(notebook.cells) - 1
    notebook.cells = [
        cell
        for position, cell in enumerate(notebook.cells)
        if position < 5
        or position == last
        or cell.source.startswith("import tritonclient.grpc")
        or (place_of(cell) or ("",))[0] in EXERCISES
    ]
    return notebook


def untouched() -> NotebookNode:
    return short("labs")


def solved() -> NotebookNode:
    return short("labs_solutions")


def code(source: str, **metadata: Any) -> NotebookNode:
    """A cell of a student's own."""
    return nbformat.v4.new_code_cell(source, metadata=metadata)


def at(notebook: NotebookNode, exercise: str, role: str) -> int:
    """Position of a cell of an exercise."""
    return next(i for i, cell in enumerate(notebook.cells) if place_of(cell) == (exercise, role))


def with_answer(notebook: NotebookNode, exercise: str, source: str) -> NotebookNode:
    """The notebook with another answer."""
    notebook = copy.deepcopy(notebook)
    notebook.cells[at(notebook, exercise, "answer")].source = source
    return notebook


def with_cells(notebook: NotebookNode, *sources: str, behind: int = 4) -> NotebookNode:
    """The notebook with cells of a student's own, behind the imports if nothing else is said."""
    notebook = copy.deepcopy(notebook)
    notebook.cells[behind + 1 : behind + 1] = [code(source) for source in sources]
    return notebook


def written(notebook: NotebookNode, folder: Path, name: str = "any-name.ipynb") -> Path:
    """The notebook as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    nbformat.write(notebook, path)
    return path


def said(executed: bytes | None) -> dict[str, Any]:
    """What cells of an executed notebook printed as JSON objects, in one dict."""
    assert executed is not None
    found: dict[str, Any] = {}
    for cell in nbformat.reads(executed.decode(), as_version=4).cells:
        for output in cell.get("outputs", []):
            for line in str(output.get("text", "")).splitlines():
                if line.startswith("{"):
                    found |= json.loads(line)
    return found

"""Which labs there are to prove, and one lab's source as code that can be executed piece by piece."""

from __future__ import annotations

import ast
import importlib.util
import linecache
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from lab_utils.notebooks.exercises import Exercise, find_exercises
from lab_utils.notebooks.solution import complete_text, find_blocks
from lab_utils.notebooks.source import SourceCell, read_source
from lab_utils.paths import project_root
from lab_utils.progress.labs import LABS, LabSpec
from lab_utils.progress.registry import Checkpoint
from tests.proofs.kit.wrong import WrongAnswer


@dataclass(frozen=True)
class LabUnderTest:
    """A lab and its files.

    Attributes:
        spec: The lab's entry in the table of labs.
        source: The percent source.
        complete: The generated complete notebook.
        student: The generated student notebook.
        wrong: The file with WRONG and EQUIVALENT_MUTANTS.
        pythonpath: Folders that a kernel needs to import the lab's checks.
    """

    spec: LabSpec
    source: Path
    complete: Path
    student: Path
    wrong: Path
    pythonpath: tuple[Path, ...] = ()

    def checkpoints(self) -> list[Checkpoint]:
        """The lab's checkpoints in order."""
        return self.spec.checkpoints()

    @cached_property
    def code(self) -> SourceCode:
        """The source, ready to be executed piece by piece."""
        return SourceCode(self.source)

    @cached_property
    def _wrong_module(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"wrong_{self.spec.number}", self.wrong)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @property
    def wrong_answers(self) -> dict[str, Sequence[WrongAnswer]]:
        """The lab's wrong answers by checkpoint id."""
        return dict(self._wrong_module.WRONG)

    @property
    def equivalent_mutants(self) -> dict[str, str]:
        """Mutants that are right answers too, with the reason."""
        return dict(getattr(self._wrong_module, "EQUIVALENT_MUTANTS", {}))


def discover() -> list[LabUnderTest]:
    """All labs of the table that are in the project."""
    root = project_root()
    return [
        LabUnderTest(
            spec,
            root / "labs_solutions" / f"{spec.notebook}.py",
            root / "labs_solutions" / f"{spec.notebook}.ipynb",
            root / "labs" / f"{spec.notebook}.ipynb",
            root / "tests" / "labs" / f"lab{spec.number}_wrong.py",
        )
        for spec in LABS.values()
        if int(spec.number) < 90
    ]


class SourceCode:
    """A lab's percent source: imports and helpers, answers, and the options of its server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cells: list[SourceCell] = read_source(path)
        exercises, _ = find_exercises(self.cells)
        self.exercises: dict[str, Exercise] = {one.id: one for one in exercises}

    def answer_cells(self, id: str) -> list[tuple[str, set[int]]]:
        """The complete text of an exercise's answer cells, and which lines are the solution's (1-based)."""
        texts = [self.cells[position].text for position in self.exercises[id].answers]
        return [(complete_text(text), solution_lines(text)) for text in texts]

    def run_base(self, namespace: dict[str, Any]) -> None:
        """Execute imports, helpers, constants and every right answer; nothing that acts.

        Cells that show something (calls, prints, requests) are left out: answers are functions that
        get what they need as arguments.
        """
        answers = {position for one in self.exercises.values() for position in one.answers}
        for position, cell in enumerate(self.cells):
            if cell.kind != "code":
                continue
            if position in answers:
                execute(complete_text(cell.text), namespace, f"{self.path.stem} cell {position}")
            else:
                kept = [node for node in parse(cell.text).body if _is_definition(node)]
                code = "\n".join(ast.unparse(node) for node in kept)
                execute(code, namespace, f"{self.path.stem} cell {position}")

    @property
    def start_options(self) -> list[str]:
        """The options with which the lab's first `lab.start(...)` starts its server."""
        for cell in self.cells:
            if cell.kind != "code":
                continue
            for node in ast.walk(parse(cell.text)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "lab.start":
                    return [ast.literal_eval(argument) for argument in node.args]
        return []


def solution_lines(text: str) -> set[int]:
    """Lines of the complete text (1-based) that stand in a solution block."""
    found: set[int] = set()
    gone = 0
    for block in find_blocks(text):
        first = block.start - gone
        found |= set(range(first + 1, first + 1 + len(block.code)))
        gone += block.end + 1 - block.start - len(block.code)
    return found


def _is_definition(node: ast.stmt) -> bool:
    """Imports, functions, classes, and names for literal values."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return True
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        try:
            ast.literal_eval(node.value)
        except ValueError:
            return False
        return True
    return False


def parse(text: str) -> ast.Module:
    """A code cell as IPython would understand it."""
    return ast.parse(TransformerManager().transform_cell(text))


def execute(text: str, namespace: dict[str, Any], label: str) -> None:
    """Execute a cell's text in a namespace, so that tracebacks show its lines."""
    code = TransformerManager().transform_cell(text)
    name = f"<{label}>"
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    exec(compile(code, name, "exec", dont_inherit=True), namespace)


def names(items: Iterable[object]) -> str:
    """A short list for messages."""
    return ", ".join(map(str, items)) or "none"

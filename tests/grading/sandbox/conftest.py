from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from lab_utils.grading.limits import Limits
from lab_utils.grading.run import Graded, RunOptions, grade_notebook
from lab_utils.grading.sandbox import NoSandbox, Sandbox, find_sandbox
from lab_utils.grading.stage import Stage, prepare_stage
from lab_utils.progress.labs import LABS
from tests.grading.sandbox import made

Grade = Callable[..., Graded]


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    try:
        return find_sandbox()
    except NoSandbox as error:
        pytest.skip(f"{error.what} {error.why}")


@pytest.fixture(scope="session")
def stage(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A staged course whose Lab 1 has two exercises."""
    stage = prepare_stage(tmp_path_factory.mktemp("stage"), ["01"], sandbox)
    nbformat.write(made.untouched(), stage.course / "labs" / f"{LABS['01'].notebook}.ipynb")
    return stage


@pytest.fixture
def grade(stage: Stage, sandbox: Sandbox, tmp_path: Path) -> Grade:
    """Grade a notebook of the short lab, confined."""

    def run(notebook: NotebookNode, limits: Limits | None = None, **options: object) -> Graded:
        path = made.written(notebook, tmp_path / "handed-in")
        chosen = {"sandbox": sandbox, "limits": limits or Limits(cell_seconds=100, seconds=150), **options}
        return grade_notebook("01", path, RunOptions(stage, **chosen))  # type: ignore[arg-type]

    return run


def points(graded: Graded) -> dict[str, float]:
    """What the exercises of the short lab earned."""
    return {one.id: one.earned for one in graded.result.exercises if one.id in made.EXERCISES}

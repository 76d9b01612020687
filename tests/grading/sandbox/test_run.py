"""One notebook in the sandbox: right answers earn their points, others say why not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from lab_utils.grading.borrowed import BORROWED
from lab_utils.grading.limits import Limits
from lab_utils.grading.plan import CoursePlan
from lab_utils.grading.results import Cause
from lab_utils.grading.sandbox import Sandbox
from lab_utils.grading.stage import Stage
from lab_utils.grading.watchdog import descendants
from lab_utils.paths import project_root
from tests.grading.sandbox import made
from tests.grading.sandbox.conftest import Grade, points

HIDDEN = """
from lab_utils.progress.context import refuse
from lab_utils.progress.registry import checkpoint, passed

SECRET = "the-word-that-nobody-may-read"


@checkpoint("1.5.1", title="No image", points=2, minutes=1, difficulty=1, answers=("classify_http",))
def check_none(ctx, answers):
    images, _ = ctx.digits(3)
    found = ctx.call(answers["classify_http"], ctx.need_server().endpoints.http, images)
    if len(found) != 3:
        refuse(expected="three", found=f"{len(found)}", next_step="Count.")
    return passed("three answers for three images")
"""


def hidden_plan() -> CoursePlan:
    from lab_utils.grading.hidden import load_hidden

    sources = {"hidden.py": HIDDEN}
    return CoursePlan(hidden=sources, hidden_checks=load_hidden(sources))


def test_right_answers_earn_all_points_and_hidden_checks_are_asked(grade: Grade) -> None:
    graded = grade(made.solved(), plan=hidden_plan())
    assert graded.result.finished, graded.result.reason
    assert points(graded) == made.POINTS
    hidden = next(one for one in graded.result.exercises if one.id == "1.5.1")
    assert (hidden.earned, hidden.hidden) == (2, True), hidden.found
    assert graded.result.changes == ()
    executed = nbformat.reads((graded.notebook or b"").decode(), as_version=4)
    shown = str(executed.cells[made.at(executed, "1.5", "check")].outputs)
    assert "PASS" in shown
    assert "1.5.1" not in str(executed)


def test_an_untouched_notebook_earns_nothing_and_says_that_it_is_not_solved(grade: Grade) -> None:
    graded = grade(made.with_cells(made.untouched(), "import lab_utils.checks.lab1"))
    assert graded.result.finished
    assert graded.result.changes == (f"a cell of their own {BORROWED}",)
    assert points(graded) == {"1.1": 0, "1.5": 0}
    assert all("not solved yet" in one.found for one in graded.result.exercises if one.id in made.EXERCISES)


def test_without_a_sandbox_the_result_says_so(grade: Grade) -> None:
    graded = grade(made.solved(), sandbox=None)
    assert points(graded) == made.POINTS, graded.result
    assert not graded.result.confined


def test_a_python_model_finds_the_staged_course(grade: Grade) -> None:
    """Triton's interpreter looks only where the course was installed: there the stage is mounted."""
    cell = (
        "folder = lab.repository / 'probe' / '1'\nfolder.mkdir(parents=True)\n"
        "text = 'import os\\nclass TritonPythonModel:\\n    def initialize(self, args):\\n'\n"
        "text += '        import lab_utils\\n'\n"
        "text += '        names = os.listdir(os.path.dirname(os.path.dirname(lab_utils.__file__)))\\n'\n"
        "text += '        raise RuntimeError(\"found beside \" + repr(sorted(names)))\\n'\n"
        "(folder / 'model.py').write_text(text)\n"
        "(folder.parent / 'config.pbtxt').write_text('backend: \"python\"')\n"
        "try:\n    httpclient.InferenceServerClient(server.endpoints.http).load_model('probe')\n"
        "except Exception as error:\n    print(str(error))"
    )
    executed = (grade(made.with_cells(made.untouched(), cell)).notebook or b"").decode()
    assert "found beside" in executed
    assert "labs_solutions" not in executed


@pytest.mark.parametrize(
    ("text", "cause", "words"),
    [
        ("", Cause.UNREADABLE, "cannot be read"),
        ("\x00\x01 no notebook", Cause.UNREADABLE, "cannot be read"),
        (
            '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
            Cause.FOREIGN,
            "no notebook of",
        ),
        ("[" * 100_000, Cause.UNREADABLE, "cannot be read"),
    ],
    ids=["empty", "binary", "foreign", "deep"],
)
def test_what_is_no_notebook_is_a_zero_with_a_reason(
    grade: Grade, stage: Stage, sandbox: Sandbox, tmp_path: Path, text: str, cause: Cause, words: str
) -> None:
    from lab_utils.grading.run import RunOptions, grade_notebook

    path = tmp_path / "some.ipynb"
    path.write_text(text)
    result = grade_notebook("01", path, RunOptions(stage, sandbox)).result
    assert result.cause is cause, result.reason
    assert words in result.reason
    assert result.earned == 0


@pytest.mark.parametrize("confined", [True, False], ids=["confined", "unconfined"])
def test_when_the_grader_is_killed_nothing_runs_on(stage: Stage, tmp_path: Path, confined: bool) -> None:
    notebook = made.written(made.with_cells(made.solved(), "import time\ntime.sleep(100)"), tmp_path)
    code = (
        "import sys; from pathlib import Path\n"
        "from lab_utils.grading.run import RunOptions, grade_notebook\n"
        "from lab_utils.grading.sandbox import find_sandbox\n"
        "from lab_utils.grading.stage import Stage\n"
        f"sandbox = find_sandbox() if {confined} else None\n"
        "grade_notebook('01', Path(sys.argv[1]), RunOptions(Stage(Path(sys.argv[2])), sandbox))"
    )
    short = Path(tempfile.mkdtemp())  # the path of a socket may have 107 characters
    env = {**os.environ, "PYTHONPATH": str(project_root()), "TMPDIR": str(short)}
    grader = subprocess.Popen([sys.executable, "-c", code, str(notebook), str(stage.folder)], env=env)
    try:
        seen: set[int] = set()
        end = time.monotonic() + 90
        while time.monotonic() < end:
            seen = set(descendants(grader.pid)) - {grader.pid}
            if any("--model-repository=" in " ".join(_command(pid)) for pid in seen):
                break  # kernel, keeper and server are there
            time.sleep(0.1)
        assert len(seen) >= 4
    finally:
        os.kill(grader.pid, signal.SIGKILL)
        grader.wait()
    end = time.monotonic() + 20
    while (
        left := [pid for pid in seen if psutil.pid_exists(pid) and _command(pid)]
    ) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left
    assert not list(short.iterdir())
    short.rmdir()


def test_a_cell_that_never_ends_ends_the_run(grade: Grade) -> None:
    graded = grade(
        made.with_cells(made.solved(), "while True:\n    pass"), Limits(cell_seconds=4, seconds=60)
    )
    assert graded.result.cause is Cause.TIME
    assert "took more than 4 s" in graded.result.reason
    assert points(graded) == {"1.1": 0, "1.5": 0}


def _command(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []

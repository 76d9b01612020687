"""A class of forty, graded in one command: every grade is as it must be, and nothing is left anywhere.

The gate grades two of them. All forty, with the seconds that each took:
`TRITON_LAB_CLASS=all python -m pytest tests/grading/forty`
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab_utils.grading.sandbox import NoSandbox, find_sandbox
from lab_utils.notebooks.read import read_notebook
from lab_utils.paths import cache_home, project_root, state_home, work_dir
from lab_utils.progress.labs import LABS
from tests.grading.batch.test_grade_command import running_from, triton_lab
from tests.grading.forty import changes
from tests.grading.forty.attacks import ATTACKS
from tests.grading.forty.compare import facts_of, left_by_runs, problems_of, seconds_of
from tests.grading.forty.submissions import Submission, for_the_gate, forty
from tests.grading.sandbox import made

EVERYTHING = os.environ.get("TRITON_LAB_CLASS") == "all"
SHARED = [Path(name) for name in ("/tmp", "/dev/shm", "/var/tmp")]


class Graded:
    """A class that one command graded.

    Args:
        submissions: The class.
        folder: Where it is handed in and graded.
        labs: Those of the plan.
    """

    def __init__(self, submissions: Sequence[Submission], folder: Path, labs: Sequence[str]) -> None:
        self.submissions, self.out = submissions, folder / "out"
        self.class_, self._temporary = folder / "class", folder / "tmp"
        self._plan = folder / "course.toml"
        tables = "".join(f"[labs.{lab}]\n" for lab in labs)
        self._plan.write_text(f"{tables}[limits]\ncell_minutes = 2\n")
        for path in (self.class_, self._temporary):
            path.mkdir()
        for one in submissions:
            one.write(self.class_)
        self._before = facts_of(self._outside())
        self.grade()

    def grade(self) -> int:
        """Grade, and return how many notebooks ran."""
        line = ("grade", str(self.class_), "--out", str(self.out), "--plan", str(self._plan), "--jobs", "2")
        answer = triton_lab(*line, "--json", timeout=5400, TMPDIR=str(self._temporary))
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return int(json.loads(answer.stdout)["ran"])

    def grade_again(self, *students: str) -> int:
        """Forget what some students earned, and grade."""
        for student in students:
            shutil.rmtree(self.out / ".batch" / "results" / student)
        return self.grade()

    def problems(self) -> list[str]:
        """What is not as it must be: grades, processes, files outside of `--out`."""
        after = facts_of(self._outside())
        changed = sorted(path for path, _ in set(after.items()) ^ set(self._before.items()))
        return [
            *problems_of(self.submissions, self.out),
            *(f"still running: {line}" for line in running_from(self.out)),
            *(f"written outside: {path}" for path in changed),
            *(f"left by a run: {path}" for path in left_by_runs(SHARED)),
        ]

    def executed(self, student: str) -> bytes:
        """A student's notebook of Lab 1 as it ran."""
        return (self.out / "students" / student / f"{LABS['01'].notebook}.ipynb").read_bytes()

    def _outside(self) -> list[Path]:
        own = [project_root(), cache_home(), state_home(), work_dir()]
        return [*own, self.class_, self._temporary]

    @property
    def table(self) -> bytes:
        """The grades."""
        return (self.out / "grades.csv").read_bytes()


@pytest.fixture
def sandbox() -> None:
    try:
        find_sandbox()
    except NoSandbox as error:
        pytest.skip(str(error))


def test_copied_cells_are_read_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """A teacher's screen is for the progress of the batch."""
    path = tmp_path / "copied.ipynb"
    path.write_text(json.dumps(changes.copied(changes.released("01"))))
    cells = read_notebook(path).cells
    assert len({cell.id for cell in cells}) == len(cells) > len(changes.released("01").cells)
    assert not [str(one.message) for one in recwarn]


def test_the_forty_are_forty_and_hold_every_wrong_answer_of_lab_1() -> None:
    class_ = forty(9, [])
    assert len({one.name for one in class_}) == len(class_) == 40
    wrongs = changes.under("01").wrong_answers
    held = Counter(text for one in class_ for id, text in one.says.items() if id.startswith("1."))
    assert not [wrong.name for all in wrongs.values() for wrong in all if not held[wrong.message]]


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("sandbox")
def test_two_of_the_forty_are_graded_twice_alike(tmp_path: Path) -> None:
    graded = Graded(for_the_gate(), tmp_path, ["01"])
    problems = graded.problems()
    assert not problems, "\n".join(["", *problems])
    table = graded.table
    assert graded.grade_again("edited-checks") == 1
    assert graded.table == table


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(not EVERYTHING, reason="for authors: TRITON_LAB_CLASS=all")
@pytest.mark.timeout(10_000)
@pytest.mark.usefixtures("sandbox")
def test_the_class_of_forty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as teacher:
        secrets = [project_root() / "labs_solutions", tmp_path / "class", tmp_path / "out"]
        class_ = forty(teacher.getsockname()[1], [*map(str, secrets)])
        begun = time.monotonic()
        graded = Graded(class_, tmp_path, ["01", "02", "03", "04"])
        problems = graded.problems()
    spied = made.said(graded.executed("reader-of-solutions"))
    assert (spied["other folders"], spied["teacher"]) == ([], "refused: ConnectionRefusedError")
    with capsys.disabled():
        print(f"\n{seconds_of(graded.out)}\n{len(class_)} in {time.monotonic() - begun:.0f} s")
    assert not problems, "\n".join(["", *problems])
    table = graded.table
    assert graded.grade_again("complete", "wrong-01", *ATTACKS) >= len(ATTACKS) + 5
    assert graded.table == table

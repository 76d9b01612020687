"""Submissions that try to get what they have not earned, or to break the machine. None of them does."""

from __future__ import annotations

import dataclasses
import json
import socket
import sys
import time
from pathlib import Path

import pytest

from lab_utils.grading.limits import GIB, MIB, Limits
from lab_utils.grading.results import Cause
from lab_utils.grading.sandbox import Sandbox
from lab_utils.grading.stage import Stage
from lab_utils.paths import project_root
from tests.grading.sandbox import made
from tests.grading.sandbox.attacks import EXIT, EXIT_AT_ONCE, FAKE_SERVER, FILL, FORK, KILL, LIARS, SPY, hog
from tests.grading.sandbox.conftest import Grade, points
from tests.grading.sandbox.test_run import hidden_plan


@pytest.mark.parametrize("as_root", [True, False], ids=["own-user", "user-namespace"])
def test_a_spy_finds_nothing_and_changes_nothing(
    grade: Grade, sandbox: Sandbox, stage: Stage, tmp_path: Path, as_root: bool
) -> None:
    """In a user namespace, too, as a teacher who is not root gets it. The right answers earn their points."""
    if as_root and not sandbox.as_root:
        pytest.skip("only root can give a run a user of its own")
    with socket.create_server(("127.0.0.1", 0)) as teacher:
        others = ["/course/labs_solutions", "/course/tests", "/course/.git", "/course/examples"]
        others += map(str, (project_root() / "labs_solutions", tmp_path / "handed-in", stage.folder))
        spy = SPY.replace("PORT", str(teacher.getsockname()[1])).replace("OTHERS", repr(others))
        chosen = dataclasses.replace(sandbox, as_root=as_root)
        graded = grade(made.with_cells(made.solved(), spy), sandbox=chosen, plan=hidden_plan())
    assert points(graded) == made.POINTS, graded.result
    found = made.said(graded.notebook)
    closed = (
        "memory", "trace", "environ", "descriptors", "pipe", "shadow", "key", "become root", "course written",
        "cache changed", "python written", "python moved", "root written", "internet", "teacher",
    )  # fmt: skip
    assert {name: found[name] for name in closed if not str(found[name]).startswith("refused")} == {}
    assert found["hidden on disk"] == []
    assert found["hidden in words"] == []
    assert found["other folders"] == []
    assert found["user"] != 0
    assert found["interfaces"] == ["lo"]
    assert found["loopback"] == 1
    assert found["mount"] is False
    python = {Path(folder).parts[1] for folder in (sys.prefix, sys.base_prefix)}  # it runs from where it lies
    assert ({"home", "work", "srv", "mnt", "var", "opt"} - python).isdisjoint(found["root"])


def test_who_lies_about_the_verdict_earns_nothing(grade: Grade) -> None:
    """All at once: each is a cell of its own, and the answers are wrong."""
    wrong = made.with_answer(made.untouched(), "1.5", made.WRONG_HTTP)
    graded = grade(made.with_cells(wrong, *LIARS.values()))
    assert points(graded) == {"1.1": 0, "1.5": 0}, graded.result
    assert not any("so it is" in one.found for one in graded.result.exercises)


@pytest.mark.parametrize("liar", ["a forged progress file", "a report of its own"])
def test_each_lie_alone_earns_nothing_and_the_answer_is_judged(grade: Grade, liar: str) -> None:
    wrong = made.with_answer(made.untouched(), "1.5", made.WRONG_HTTP)
    graded = grade(made.with_cells(wrong, LIARS[liar]))
    assert graded.result.finished, graded.result.reason
    found = {one.id: one for one in graded.result.exercises}
    assert found["1.5"].earned == 0
    assert "not solved yet" in found["1.1"].found
    assert "so it is" not in found["1.5"].found


def test_a_fake_server_under_the_labs_name_passes_nothing(grade: Grade) -> None:
    graded = grade(made.with_cells(made.solved(), FAKE_SERVER))
    found = {one.id: one for one in graded.result.exercises}
    assert found["1.5"].earned == 0
    assert "does not listen on HTTP port" in found["1.5"].found


NOTHING = {"1.1": 0, "1.5": 0}
ENDINGS = {
    "sys.exit": (EXIT, Cause.NONE, made.POINTS),
    "os._exit": (EXIT_AT_ONCE, Cause.KERNEL, NOTHING),
    "kill everything": (KILL, Cause.KERNEL, NOTHING),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_who_ends_the_kernel_has_a_reason_and_no_points(grade: Grade, name: str) -> None:
    source, cause, earned = ENDINGS[name]
    last = len(made.solved().cells) - 2
    graded = grade(made.with_cells(made.solved(), source, behind=last))
    assert graded.result.cause is cause, graded.result.reason
    assert points(graded) == earned


def _processes() -> int:
    return sum(1 for entry in Path("/proc").iterdir() if entry.name.isdigit())


@pytest.mark.alone
def test_a_fork_bomb_ends_its_own_run_alone(grade: Grade) -> None:
    before = _processes()
    graded = grade(
        made.with_cells(made.solved(), FORK), Limits(cell_seconds=60, seconds=90, processes=100, threads=700)
    )
    assert graded.result.cause is Cause.PROCESSES, graded.result.reason
    assert points(graded) == {"1.1": 0, "1.5": 0}
    end = time.monotonic() + 10
    while _processes() > before + 100 and time.monotonic() < end:
        time.sleep(0.1)
    assert _processes() <= before + 100


@pytest.mark.alone
def test_who_takes_all_memory_is_ended(grade: Grade) -> None:
    graded = grade(
        made.with_cells(made.solved(), hog(8)), Limits(cell_seconds=60, seconds=90, memory=2 * GIB)
    )
    assert graded.result.cause is Cause.MEMORY, graded.result.reason


def test_one_process_cannot_ask_for_all_memory(grade: Grade) -> None:
    greedy = 'try:\n    x = bytearray(5 << 30)\nexcept MemoryError:\n    print(\'{"memory": "refused"}\')'
    graded = grade(
        made.with_cells(made.solved(), greedy), Limits(cell_seconds=60, seconds=90, memory=2 * GIB)
    )
    assert made.said(graded.notebook) == {"memory": "refused"}
    assert points(graded) == made.POINTS


def test_who_fills_the_disk_is_ended(grade: Grade) -> None:
    graded = grade(made.with_cells(made.solved(), FILL), Limits(cell_seconds=60, seconds=90, disk=200 * MIB))
    assert graded.result.cause is Cause.DISK, graded.result.reason
    assert "200 MiB" in graded.result.reason


def test_much_output_is_left_out(grade: Grade) -> None:
    graded = grade(
        made.with_cells(made.solved(), "print('x' * 3_000_000)"),
        Limits(cell_seconds=60, seconds=90, output=MIB),
    )
    assert points(graded) == made.POINTS
    assert len(graded.notebook or b"") < 1.5 * MIB
    assert b"were left out" in (graded.notebook or b"")


def test_the_stage_holds_nothing_that_is_not_for_students(stage: Stage) -> None:
    names = {path.name for path in stage.course.iterdir()}
    assert not {"labs_solutions", "tests", ".git", "examples", "work"} & names
    given = set(made.untouched().cells[made.at(made.untouched(), "1.1", "answer")].source.splitlines())
    answer = made.solved().cells[made.at(made.solved(), "1.1", "answer")].source.splitlines()
    written = [line.strip() for line in answer if line not in given and len(line.strip()) > 30]
    assert written
    texts = [path.read_text(errors="replace") for path in stage.course.rglob("*") if path.is_file()]
    assert not [line for line in written if any(line in text for text in texts)]
    assert json.loads((stage.folder / "stage.json").read_text())["labs"] == ["01"]


def test_secrets_below_a_mounted_folder_are_covered(tmp_path: Path) -> None:
    import sys

    from lab_utils.grading.mounts import Folders, mounts

    inside = Path(sys.prefix).resolve() / "share"
    line = mounts(Folders(secrets=(inside, tmp_path)), 1 << 20)
    assert line[line.index(str(inside)) - 1] == "--tmpfs"
    assert line[-2:] == ["--remount-ro", str(inside)]
    assert str(tmp_path) not in line

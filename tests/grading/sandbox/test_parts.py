"""The parts of the sandbox one by one: refusals, limits, the watchdog, the reaper, the gate."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from lab_utils.grading.cells import Gate, trimmed
from lab_utils.grading.limits import GIB, Limits
from lab_utils.grading.plan import RunLimits
from lab_utils.grading.reaper import reap
from lab_utils.grading.results import Cause
from lab_utils.grading.sandbox import NoSandbox, find_sandbox
from lab_utils.grading.watchdog import Watchdog, descendants
from lab_utils.keeper.identity import start_time
from lab_utils.progress.registry import Verdict, passed
from tests.grading.sandbox import made

ALL_OPTIONS = "--as-pid-1 --size --perms --unshare-net --die-with-parent --clearenv"


def fake_bwrap(folder: Path, monkeypatch: pytest.MonkeyPatch, options: str, words: str) -> None:
    program = folder / "bwrap"
    shown = "\n".join(f"    {option} X" for option in options.split())
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = --help ]; then echo \'{shown}\'; exit 0; fi\necho "{words}" >&2\nexit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture(autouse=True)
def anew() -> None:
    find_sandbox.cache_clear()


def test_without_bubblewrap_it_refuses_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoSandbox) as error:
        find_sandbox()
    assert "apt install bubblewrap" in error.value.fix
    assert "--no-sandbox" in error.value.fix


def test_an_old_bubblewrap_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_bwrap(tmp_path, monkeypatch, "--as-pid-1 --size --unshare-net", "")
    with pytest.raises(NoSandbox, match="has no --perms, --die-with-parent, --clearenv"):
        find_sandbox()


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("bwrap: Creating new namespace failed: Operation not permitted", "does not let it make namespaces"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "mount a /proc of its own"),
        ("bwrap: something else", "something else"),
    ],
)
def test_a_bubblewrap_that_does_not_work_is_refused_with_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, cause: str
) -> None:
    fake_bwrap(tmp_path, monkeypatch, ALL_OPTIONS, words)
    with pytest.raises(NoSandbox) as error:
        find_sandbox()
    assert cause in error.value.why
    assert "--no-sandbox" in error.value.fix
    assert words in error.value.details


def test_the_plans_limits_take_the_place_of_the_defaults() -> None:
    assert Limits.of(RunLimits()) == Limits()
    asked = RunLimits(minutes=2, cell_minutes=0.5, memory_gib=1.5, processes=70, threads=700, disk_gib=0.5)
    limits = Limits.of(asked)
    assert (limits.seconds, limits.cell_seconds) == (120, 30)
    assert (limits.processes, limits.threads) == (70, 700)
    assert (limits.memory, limits.disk) == (3 * GIB // 2, GIB // 2)
    assert Limits.from_dict(limits.as_dict()) == limits


def test_the_watchdog_counts_all_below_and_ends_them() -> None:
    code = "import subprocess, sys, time\nsubprocess.Popen(['sleep', '60'])\ntime.sleep(60)"
    top = subprocess.Popen([sys.executable, "-c", code])
    try:
        end = time.monotonic() + 20
        while len(descendants(top.pid)) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        below = descendants(top.pid)
        assert len(below) == 2
        watchdog = Watchdog(top.pid, Limits())
        assert watchdog.look() is None
        assert watchdog.peak.processes == 2
        assert watchdog.peak.memory > 1 << 20
        overrun = Watchdog(top.pid, Limits(memory=1 << 20)).look()
        assert overrun is not None
        assert overrun.cause is Cause.MEMORY
        crowd = Watchdog(top.pid, Limits(processes=1)).look()
        assert crowd is not None
        assert crowd.cause is Cause.PROCESSES
        watchdog.end()
        top.wait(5)
        end = time.monotonic() + 5
        while any(map(start_time, below)) and time.monotonic() < end:  # a zombie has no start time
            time.sleep(0.05)
        assert not any(map(start_time, below))
    finally:
        top.kill()
        top.wait()


def test_a_folder_that_is_too_large_is_an_overrun(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(2 << 20))
    overrun = Watchdog(os.getpid(), Limits(disk=1 << 20), tmp_path).look()
    assert overrun is not None
    assert (overrun.cause, overrun.reason) == (Cause.DISK, "more than 1 MiB of files")


def test_the_reaper_takes_what_nobody_waits_for_and_nothing_else() -> None:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})
    end = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z" and time.monotonic() < end:
        time.sleep(0.05)
    since = reap({}, 30.0)
    assert pid in since
    assert Path(f"/proc/{pid}").exists()
    reap({pid: time.monotonic() - 31}, 30.0)
    assert not Path(f"/proc/{pid}").exists()


def test_only_the_first_verdict_asked_for_in_its_own_check_cell_counts() -> None:
    kept: list[tuple[str, str]] = []

    def keep(id: str, verdict: Verdict) -> None:
        kept.append((id, verdict.found))

    gate = Gate({"exercise-1-1-check": "1.1", "exercise-1-5-check": "1.5"}, keep)
    cells = {cell.id: cell for cell in made.solved().cells}
    gate.report("1.5", passed("before any cell"))
    gate.enter(cells["exercise-1-1-check"])
    gate.report("1.5", passed("in another check's cell"))
    gate.report("1.1", passed("first"))
    gate.report("1.1", passed("second"))
    gate.report("1.1.1", passed("hidden"))
    gate.enter(cells["exercise-1-5-answer"])
    gate.report("1.5", passed("in a cell of the student's"))
    gate.enter(cells["exercise-1-5-check"])
    gate.close()
    gate.report("1.5", passed("after the end"))
    assert kept == [("1.1", "first"), ("1.1.1", "hidden")]


def test_the_loudest_cells_lose_their_outputs() -> None:
    notebook = made.solved()
    for cell, size in zip(
        [c for c in notebook.cells if c.cell_type == "code"], (10, 5000, 100), strict=False
    ):
        cell.outputs = [nbformat.v4.new_output("stream", text="x" * size)]
    outputs = [str(cell.outputs) for cell in trimmed(notebook, 1000).cells if cell.get("outputs")]
    assert ["left out" in output for output in outputs] == [False, True, False]

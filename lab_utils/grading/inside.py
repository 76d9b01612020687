"""Inside of a sandbox: the supervisor of one notebook. It puts the notebook together, runs it and judges it.

It is process 1 of the sandbox and shares it with the student's code, so it gives nothing away: its memory
cannot be read or traced (`dumpable` is off), its orders come through a pipe and never lie on a disk,
and its report leaves through a pipe that no child inherits.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from lab_utils.errors import LabError
from lab_utils.grading.borrowed import borrowing
from lab_utils.grading.cells import Gate, mended, trimmed
from lab_utils.grading.hidden import load_hidden
from lab_utils.grading.judge import Judge
from lab_utils.grading.lean import lean, whole_again
from lab_utils.grading.leaning import speaks_of_something_missing
from lab_utils.grading.limits import Limits, set_own, set_processes
from lab_utils.grading.orders import Orders, Outbox
from lab_utils.grading.places import Places
from lab_utils.grading.reaper import start_reaper
from lab_utils.grading.recognise import lab_of
from lab_utils.grading.restore import Restored, restore
from lab_utils.grading.watchdog import Watchdog, full_folders
from lab_utils.notebooks.execute import Execution, execute_notebook
from lab_utils.notebooks.read import read_notebook
from lab_utils.progress.labs import lab_spec
from lab_utils.progress.store import RUN_VARIABLE

_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36
_LOOK_SECONDS = 0.25


class Unfit(LabError):
    """What was handed in cannot be run as a notebook of this lab."""


def main(pipe: int) -> int:
    """Carry out the orders on standard input and report to `pipe`; returns the exit code."""
    outbox = Outbox(pipe)
    try:
        confined = os.getpid() == 1
        harden(confined)
        _end_with_reader(pipe)
        orders = Orders.from_bytes(_all_of_stdin())
        set_own(orders.limits)
        if orders.own_user:
            set_processes(orders.limits)
        if confined:
            start_reaper()
            _watch_folders(outbox, [orders.places.temporary, orders.places.home, Path("/dev/shm")])
        outbox.send("ready")
        carry_out(orders, outbox)
    except Unfit as error:
        outbox.send("unfit", reason=error.what, why=error.why)
    except BaseException:
        outbox.send("crash", text=traceback.format_exc())
        return 1
    return 0


def harden(confined: bool) -> None:
    """See that nobody inside can read, trace, stop or outlive this process."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the supervisor's memory cannot be closed to others")
    if confined:
        # Without a handler no signal from inside reaches process 1; Python sets one for SIGINT.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    else:
        prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what loses its parent stays below us, to be found


def _end_with_reader(pipe: int) -> None:
    """End this run when nobody listens to it any more: the batch that started it was killed.

    The death signal of bubblewrap does not do it: who became another user gets none from its parent.
    """
    poller = select.poll()
    poller.register(pipe, 0)  # errors are always reported: the reader is gone

    def wait() -> None:
        poller.poll()
        if os.getpid() != 1:
            Watchdog(os.getpid(), Limits()).end(itself=False)
            folder = Path(tempfile.gettempdir()).parent  # see `Places.below`: who made it is gone
            if folder.name.startswith("tlg"):
                shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)  # of process 1: ends all others

    threading.Thread(target=wait, name="reader", daemon=True).start()


def carry_out(orders: Orders, outbox: Outbox) -> None:
    """Put the notebook together, run it, and report verdicts and the executed notebook.

    Raises:
        Unfit: The text is no notebook, or one of no lab or another lab.
    """
    places = orders.places
    for folder in (places.work, places.state, places.temporary):
        folder.mkdir(parents=True, exist_ok=True)
    os.chdir(places.work)  # a relative path means the same to a check and to the kernel
    hidden = load_hidden(orders.hidden)
    restored = _restored(orders)
    outbox.send("changes", changes=[*restored.changes, *borrowing(restored.notebook.cells)])
    gate = Gate(restored.checks, lambda id, verdict: outbox.send("verdict", id=id, verdict=verdict.as_dict()))
    with tempfile.TemporaryDirectory(dir=places.temporary, prefix="tlj") as name:
        path = Path(name) / "notebook.ipynb"
        nbformat.write(restored.run, path)
        with Judge(orders.lab, Path(name) / "judge", gate.report, hidden=hidden) as judge:
            execution = execute_notebook(
                path,
                env={**_kernel_environment(places), **judge.environment},
                cwd=places.work,
                cell_timeout=orders.limits.cell_seconds,
                total_timeout=orders.limits.seconds,
                keep_going=True,
                on_cell=gate.enter,
            )
            gate.close()
    _end_others()
    _report(execution, restored, orders, outbox)


def _restored(orders: Orders) -> Restored:
    """The submitted notebook in the released frame."""
    spec = lab_spec(orders.lab)
    with tempfile.TemporaryDirectory(dir=orders.places.temporary) as folder:
        path = Path(folder) / "submitted.ipynb"
        path.write_text(orders.notebook, encoding="utf-8")
        try:
            submitted = mended(read_notebook(path))
        except LabError as error:
            raise Unfit("the file cannot be read as a notebook", why=error.why) from error
    lab = lab_of(submitted)
    if lab != orders.lab:
        what = f"it is a notebook of lab {lab}" if lab else "it is no notebook of this course"
        raise Unfit(what, why="foreign")
    released = read_notebook(orders.places.course / "labs" / f"{spec.notebook}.ipynb")
    restored = restore(submitted, released)
    if orders.lean:
        made = lean(restored.notebook, released)
        if not made.used:
            restored.run = made.notebook
    return restored


def _kernel_environment(places: Places) -> dict[str, str]:
    """Variables of the student's kernel on top of ours. Its servers end with it; a FAIL does not stop it."""
    return {
        "HOME": str(places.home),
        "PYTHONSAFEPATH": "",  # a student may import a file of their own; no program of ours does
        "TRITON_LAB_LIFETIME": "kernel",
        "TRITON_LAB_STRICT": "0",
        RUN_VARIABLE: secrets.token_hex(16),
    }


def _report(execution: Execution, restored: Restored, orders: Orders, outbox: Outbox) -> None:
    in_checks = {}
    for error in execution.errors:
        cell = execution.notebook.cells[error.position]
        exercise = restored.checks.get(cell.id)
        if exercise:
            in_checks[exercise] = str(error)[:1000]
    outbox.send(
        "end",
        finished=execution.finished,
        timed_out=execution.timed_out,
        kernel_died=execution.kernel_died,
        reason=execution.reason[:1000],
        in_checks=in_checks,
        missing=sum(
            speaks_of_something_missing(f"{one.name}: {one.message}") for one in execution.unexpected
        ),
        whole=restored.run is restored.notebook,
        seconds=round(execution.seconds, 1),
        notebook=_text(whole_again(execution.notebook, restored.notebook), orders.limits.output),
    )


def _text(notebook: NotebookNode, most: int) -> str:
    return nbformat.writes(trimmed(notebook, most)) + "\n"


def _end_others() -> None:
    """Process 1 can end all others at once: nothing of the student's runs on while the report is made."""
    if os.getpid() == 1:
        with suppress(OSError):
            os.kill(-1, signal.SIGKILL)


def _all_of_stdin() -> bytes:
    """The orders. The pipe is closed, so that no child can read from it."""
    data = sys.stdin.buffer.read()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return data


def _watch_folders(outbox: Outbox, folders: list[Path]) -> None:
    """Say when a folder stays full: the rest of the run would fail for a reason that nobody sees."""

    def watch() -> None:
        before: list[Path] = []
        while True:
            time.sleep(_LOOK_SECONDS)
            now = full_folders(folders)
            if set(now) & set(before):
                outbox.send("full")
                return
            before = now

    threading.Thread(target=watch, name="folders", daemon=True).start()

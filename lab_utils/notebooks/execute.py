"""Run a notebook in a fresh kernel, with time limits, and leave no process behind."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

from lab_utils.notebooks.read import place_of, read_notebook

UNSOLVED = "NotImplementedError"
_MARK = "TRITON_LAB_EXECUTION"
GRACE_SECONDS = 12.0
"""A draining server and its keeper need up to 9 s after SIGTERM."""


@dataclass(frozen=True)
class CellError:
    """An exception that a cell ended with.

    Attributes:
        position: Position of the cell in the notebook, from 0.
        exercise: Exercise the cell belongs to, or empty.
        name: Class of the exception, for example `"NotImplementedError"`.
        message: Its text.
        traceback: Its traceback, with terminal colours.
    """

    position: int
    exercise: str
    name: str
    message: str
    traceback: str

    @property
    def unsolved(self) -> bool:
        """Whether this is the stub of an exercise nobody has written yet."""
        return self.name == UNSOLVED

    def __str__(self) -> str:
        where = f" (exercise {self.exercise})" if self.exercise else ""
        return f"cell {self.position + 1}{where}: {self.name}: {self.message}"


@dataclass
class Execution:
    """What became of a notebook.

    Attributes:
        notebook: With the outputs of every cell that ran.
        errors: One entry per cell that raised, unsolved exercises included.
        finished: Every cell ran. False after a time-out, a dead kernel or an error that stopped it.
        timed_out: A cell, or the whole notebook, took too long.
        kernel_died: The kernel ended before the notebook did, or never started.
        stopped_at: Position of the cell that stopped the run, from 0; None when it finished.
        reason: Why it did not finish, in one sentence; empty when it did.
        seconds: Wall-clock time.
    """

    notebook: NotebookNode
    errors: list[CellError] = field(default_factory=list)
    finished: bool = False
    timed_out: bool = False
    kernel_died: bool = False
    stopped_at: int | None = None
    reason: str = ""
    seconds: float = 0.0

    @property
    def unexpected(self) -> list[CellError]:
        """Errors other than unsolved exercises."""
        return [error for error in self.errors if not error.unsolved]


class _OutOfTime(Exception):
    """The whole notebook's time is over."""


class _ThisPython(KernelSpecManager):
    """Always this interpreter: a user's own `python3` kernelspec may name another environment."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def execute_notebook(
    path: Path | str,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    cell_timeout: float = 300,
    total_timeout: float = 1200,
    keep_going: bool = False,
    allow_error_names: Sequence[str] = (UNSOLVED,),
    on_cell: Callable[[NotebookNode], None] | None = None,
) -> Execution:
    """Execute a notebook from top to bottom in a kernel of its own. The file is not changed.

    The kernel, and every process that it started and did not end, is killed at the end, however
    the run ended. May be called inside a running event loop.

    Args:
        path: The notebook.
        env: Environment variables on top of this process's own.
        cwd: The kernel's folder; default: the notebook's.
        cell_timeout: Seconds one cell may take.
        total_timeout: Seconds the notebook may take.
        keep_going: Run the later cells after an error of any kind.
        allow_error_names: Exceptions that never stop the run.
        on_cell: Called with each code cell just before it is run, in a thread of the run.

    Returns:
        What happened. A time-out, a dead kernel and an error in a cell are answers, not exceptions.

    Raises:
        LabError: The file cannot be read as a notebook.
    """
    path = Path(path)
    execution = Execution(read_notebook(path))
    mark = uuid.uuid4().hex
    run = _Run(execution, cell_timeout, total_timeout, on_cell)
    folder = tempfile.TemporaryDirectory(prefix="tlk")
    # Sockets in a private folder: no port to lose to a parallel run, nothing others can listen to.
    kernel = AsyncKernelManager(
        kernel_name="python3",
        kernel_spec_manager=_ThisPython(),
        transport="ipc",
        connection_file=f"{folder.name}/k.json",
    )
    client = NotebookClient(
        execution.notebook,
        km=kernel,
        timeout_func=run.cell_seconds,
        allow_errors=keep_going,
        allow_error_names=list(allow_error_names),
        shutdown_kernel="immediate",
        on_cell_start=run.start_cell,
    )
    environment = {**os.environ, **(env or {}), _MARK: mark}
    begun = time.monotonic()
    # A thread of its own: works inside a running event loop, and leaves our signal handlers alone.
    with folder, ThreadPoolExecutor(1) as pool:
        future = pool.submit(asyncio.run, run.execute(client, environment, str(cwd or path.resolve().parent)))
        try:
            future.result()
        finally:
            end_marked(mark, GRACE_SECONDS)  # also on Ctrl-C: without its kernel the thread ends
    execution.seconds = time.monotonic() - begun
    execution.errors = errors_in(execution.notebook)
    return execution


class _Run:
    """One execution: its deadline, the cell it is at, and how it ended."""

    def __init__(
        self,
        execution: Execution,
        cell_timeout: float,
        total_timeout: float,
        on_cell: Callable[[NotebookNode], None] | None = None,
    ) -> None:
        self.execution = execution
        self.on_cell = on_cell
        self.cell_timeout = cell_timeout
        self.total_timeout = total_timeout
        self.deadline = math.inf
        self.position: int | None = None

    async def execute(self, client: NotebookClient, env: dict[str, str], cwd: str) -> None:
        """Run all cells; every way to end becomes a reason."""
        self.deadline = time.monotonic() + self.total_timeout
        execution = self.execution
        where = ""
        try:
            for cell in execution.notebook.cells:
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [], None  # what was saved proves nothing
            await client.async_execute(env=env, cwd=cwd, cleanup_kc=True)
            execution.finished = True
            return
        except (CellTimeoutError, _OutOfTime):
            where = f"cell {(self.position or 0) + 1}"
            execution.timed_out = True
            if time.monotonic() >= self.deadline:
                execution.reason = f"The notebook took more than {self.total_timeout:g} s; it was at {where}."
            else:
                execution.reason = f"{where.capitalize()} took more than {self.cell_timeout:g} s."
        except CellExecutionError as error:
            where = f"cell {(self.position or 0) + 1}"
            execution.reason = f"{where.capitalize()} raised {error.ename}: {error.evalue}"
        except RuntimeError as error:  # nbclient's DeadKernelError, jupyter_client's failed start
            execution.kernel_died = True
            at = "before the first cell" if self.position is None else f"in cell {self.position + 1}"
            execution.reason = f"The kernel died {at} ({error})."
        execution.stopped_at = self.position

    def start_cell(self, cell: NotebookNode, cell_index: int) -> None:
        """Note where the run is; stop it when its time is over."""
        self.position = cell_index
        if time.monotonic() >= self.deadline:
            raise _OutOfTime
        if self.on_cell is not None and cell.cell_type == "code":
            self.on_cell(cell)

    def cell_seconds(self, cell: NotebookNode) -> int:
        """Time limit of the next cell, s (nbclient wants a whole number, and takes 0 for none)."""
        return max(1, math.ceil(min(self.cell_timeout, self.deadline - time.monotonic())))


def errors_in(notebook: NotebookNode) -> list[CellError]:
    """The exceptions among the outputs of a notebook's cells, in order."""
    errors = []
    for position, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                exercise = (place_of(cell) or ("", ""))[0]
                traceback = "\n".join(output.traceback)
                errors.append(CellError(position, exercise, output.ename, output.evalue, traceback))
    return errors


def end_marked(mark: str, grace: float) -> list[int]:
    """End every process that inherited an execution's mark, wherever it hid.

    A process group is not enough: a server started by a cell has a session of its own. The topmost
    processes get SIGTERM first, so that a server's keeper can stop it and remove its shared memory;
    what is left after the grace time is killed.

    Args:
        mark: The value of `TRITON_LAB_EXECUTION` in their environment.
        grace: Seconds between SIGTERM and SIGKILL.

    Returns:
        Process ids that had to be killed.
    """
    killed: list[int] = []
    left = _marked(mark)
    pids = {process.pid for process in left}
    for process in left:
        with contextlib.suppress(psutil.Error):
            if process.ppid() not in pids:
                process.terminate()
                process.resume()  # a stopped process gets no SIGTERM until it goes on
    psutil.wait_procs(left, timeout=grace)
    for _ in range(5):  # again while one of them was just starting another
        left = _marked(mark)
        if not left:
            break
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                killed.append(process.pid)
        psutil.wait_procs(left, timeout=5)
    return killed


def _marked(mark: str) -> list[psutil.Process]:
    """Live processes of ours with this mark (zombies have no environment any more)."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == mark and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue  # another user's, or already gone
    return found

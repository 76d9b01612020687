"""Run the notebooks of a batch in parallel and store each result as soon as it is there."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from lab_utils.errors import LabError
from lab_utils.grading.plan import CoursePlan
from lab_utils.grading.results import Cause, LabResult
from lab_utils.grading.scoring import no_answer
from lab_utils.grading.state import BatchFolder
from lab_utils.progress.labs import lab_spec

Runner = Callable[[str, Path], tuple[LabResult, bytes | None]]
"""Runs the notebook of a lab. Returns the verdicts and the executed notebook."""


@dataclass(frozen=True)
class Task:
    """One notebook to run.

    Attributes:
        student: The student's name.
        folder: Their folder in the results.
        lab: Two digits.
        notebook: The notebook.
        key: Digest of all that the result depends on.
    """

    student: str
    folder: str
    lab: str
    notebook: Path
    key: str


class Interrupted(Exception):
    """The batch was stopped while this notebook ran: what it gave counts for nothing."""


@dataclass(frozen=True)
class Workers:
    """Who runs notebooks, where the results go, and how.

    Attributes:
        out: The folder of the results.
        plan: The course's plan.
        runner: Runs one notebook.
        confined: Whether the runner confines it.
    """

    out: BatchFolder
    plan: CoursePlan
    runner: Runner
    confined: bool = True

    def run(self, tasks: Sequence[Task], jobs: int) -> Generator[tuple[Task, LabResult], None, None]:
        """Run tasks, so many at the same time; hands each over when its result is stored.

        When the caller stops (Ctrl-C, an error), the notebooks that still run are ended and nothing
        of them is stored: the next start runs them again.
        """
        stop, before = threading.Event(), set(psutil.Process().children(recursive=True))
        pool = ThreadPoolExecutor(max(1, jobs), thread_name_prefix="grade")
        futures: dict[Future[LabResult], Task] = {}
        try:
            for task in tasks:
                futures[pool.submit(self._one, task, stop)] = task
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in futures):
                _end_children(before)
                time.sleep(0.2)
            pool.shutdown(wait=True)

    def _one(self, task: Task, stop: threading.Event) -> LabResult:
        """Run one notebook and store its result. Nothing that goes wrong in it stops the others."""
        executed: bytes | None = None
        try:
            result, executed = self.runner(task.lab, task.notebook)
        except (Exception, SystemExit) as error:
            result = self._fault(task, error)
        if stop.is_set():
            raise Interrupted
        result = replace(result, confined=self.confined)
        name = f"{lab_spec(task.lab).notebook}.ipynb"
        self.out.keep(task.folder, result, task.key, executed, name)
        return result

    def _fault(self, task: Task, error: BaseException) -> LabResult:
        """The result of a run that could not be made, for a reason that is not the student's."""
        what = error.what if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
        self.out.note_fault(f"{task.student}, lab {task.lab}\n{traceback.format_exc()}\n")
        return no_answer(
            self.plan,
            task.lab,
            Cause.INTERNAL,
            f"the run could not be made: {what}",
            "This is no fault of the submission. Start the batch again: it is tried once more.",
            confined=self.confined,
        )


def _end_children(others: set[psutil.Process]) -> None:
    """End every process that a run of ours has started and not ended yet; others stay."""
    for child in set(psutil.Process().children(recursive=True)) - others:
        try:
            child.kill()
        except psutil.Error:
            continue

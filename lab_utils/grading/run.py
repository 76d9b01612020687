"""Grade one submitted notebook: run it in a sandbox, watch it, and make a result of what it reports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.grading.leaning import is_enough
from lab_utils.grading.limits import Limits
from lab_utils.grading.listening import Listener, Story
from lab_utils.grading.mounts import PLACES
from lab_utils.grading.orders import BOOT, Orders
from lab_utils.grading.places import Places
from lab_utils.grading.plan import CoursePlan
from lab_utils.grading.results import LabResult
from lab_utils.grading.sandbox import Sandbox, environment
from lab_utils.grading.stage import Stage
from lab_utils.grading.verdicts import result_of
from lab_utils.grading.watchdog import Usage, Watchdog
from lab_utils.progress.labs import LabSpec, lab_spec

_MOST_NOTEBOOK = 64 << 20
_NICE = ("nice", "-n", "5")  # whoever watches a run, or works on this machine, comes first


@dataclass(frozen=True)
class RunOptions:
    """How notebooks are run; the same for all of a batch.

    Attributes:
        stage: The prepared student package and cache.
        sandbox: How code is confined; None: not at all.
        plan: Which checks there are, hidden ones included.
        limits: What one notebook may take.
        secrets: Folders that must not be seen: submissions, results, the teacher's course.
        lean: First without the cells that only show something; the whole notebook is run where that does
            not tell everything.
    """

    stage: Stage
    sandbox: Sandbox | None
    plan: CoursePlan = field(default_factory=CoursePlan)
    limits: Limits = field(default_factory=Limits)
    secrets: tuple[Path, ...] = ()
    lean: bool = False


@dataclass(frozen=True)
class Graded:
    """One graded notebook.

    Attributes:
        result: The verdicts.
        notebook: The executed notebook as text; None where it did not come to its end.
        usage: The most that the run took at any moment.
    """

    result: LabResult
    notebook: bytes | None
    usage: Usage


def grade_notebook(lab: str, notebook: Path, options: RunOptions) -> Graded:
    """Run a submitted notebook and judge it. The file is not changed, and nothing stays behind.

    Args:
        lab: Two digits: the lab that it was recognised as.
        notebook: The file.
        options: How it is run.

    Returns:
        The result; whatever the notebook does is a result, with its reason.

    Raises:
        LabError: There is no such lab, or the sandbox does not start.
    """
    spec = lab_spec(lab)
    begun = time.monotonic()
    try:
        text = _text_of(notebook)
    except LabError as error:
        story, usage = Story(unfit=error.what, why=error.why), Usage()
    else:
        story, usage = _run(spec, text, options, lean=options.lean)
        if story.finished and not story.whole and not is_enough(story.verdicts.values(), story.missing):
            story, usage = _run(spec, text, options, lean=False)
    seconds = round(time.monotonic() - begun, 1)
    result = result_of(spec, options.plan, story, seconds, confined=options.sandbox is not None)
    return Graded(result, story.notebook.encode("utf-8", "replace") if story.notebook else None, usage)


def _run(spec: LabSpec, text: str, options: RunOptions, *, lean: bool) -> tuple[Story, Usage]:
    """One run, in folders of its own."""
    with _place(options) as (places, folder):
        orders = Orders(
            lab=spec.number,
            notebook=text,
            places=places,
            limits=options.limits,
            hidden=options.plan.hidden,
            confined=options.sandbox is not None,
            own_user=options.sandbox is not None and options.sandbox.counts_own_processes,
            lean=lean,
        )
        return _carry_out(orders, options, folder)


def _text_of(notebook: Path) -> str:
    size = notebook.stat().st_size
    if size > _MOST_NOTEBOOK:
        raise LabError(
            f"the file has {size / 1e6:.0f} MB, a notebook has at most {_MOST_NOTEBOOK / 1e6:.0f}",
            why="too long",
        )
    try:
        return notebook.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LabError("the file cannot be read as a notebook", why=f"it is no text: {error}") from error


@contextmanager
def _place(options: RunOptions) -> Iterator[tuple[Places, Path | None]]:
    """The run's folders: inside of a sandbox, or real ones for the time of the run."""
    if options.sandbox is not None:
        yield PLACES, None
        return
    # Not below the results: the path of a socket may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="tlg"))
    try:
        yield Places.below(options.stage.course, options.stage.cache, folder), folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _carry_out(orders: Orders, options: RunOptions, folder: Path | None) -> tuple[Story, Usage]:
    """Start the supervisor, listen to it, watch it, and end everything."""
    reading, writing = os.pipe()
    env = environment(orders.places)
    inner = [sys.executable, "-I", "-c", BOOT, str(orders.places.course)]
    if options.sandbox is not None:
        user = options.sandbox.user()
        inner += [str(user) if user is not None else "", str(writing)]
        folders = options.stage.folders(options.secrets)
        line: Sequence[str] = options.sandbox.command(folders, orders.limits.disk, inner)
    else:
        for path in (orders.places.work, orders.places.temporary):
            path.mkdir(parents=True, exist_ok=True)
        line = [*inner, "", str(writing)]
    with tempfile.TemporaryFile() as words:
        try:
            process = subprocess.Popen(
                [*_NICE, *line],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=words,
                env=env,
                cwd="/",
                pass_fds=(writing,),
                start_new_session=True,
            )
        finally:
            os.close(writing)
        watchdog = Watchdog(process.pid, orders.limits, folder)
        listener = Listener(reading, watchdog, orders.limits)
        try:
            story = listener.listen(process, orders.to_bytes())
        finally:
            listener.close()
            watchdog.end()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        if not story.ready and story.overrun is None:
            words.seek(0)
            raise LabError(
                "The run could not be started.",
                why=story.crash.strip() or words.read(4000).decode(errors="replace").strip(),
                fix="See that `triton-lab doctor` succeeds on this machine.",
            )
    return story, watchdog.peak

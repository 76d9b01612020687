"""The one object of a student's notebook: `lab = Lab("01")`."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

from lab_utils import folders
from lab_utils import server as triton
from lab_utils.errors import LabError
from lab_utils.explain_hook import install
from lab_utils.lab_repository import RepositoryTools
from lab_utils.paths import state_home
from lab_utils.progress import panel as panels
from lab_utils.progress import render
from lab_utils.progress.context import LabContext
from lab_utils.progress.labs import lab_spec
from lab_utils.progress.registry import Checkpoint, Status, Verdict
from lab_utils.progress.repository import copy_models
from lab_utils.progress.runner import run_checkpoint
from lab_utils.progress.store import ProgressStore
from lab_utils.server.base import Server, ServerError
from lab_utils.server.manage import choose_runtime
from lab_utils.surroundings import (
    JUDGE_VARIABLE,
    about_runtime,
    caller_namespace,
    ipython_shell,
    prepare_environment,
    server_line,
    short_path,
    show,
)

STRICT_VARIABLE = "TRITON_LAB_STRICT"


class CheckFailed(LabError):
    """A check said FAIL and `TRITON_LAB_STRICT=1` is set (the complete notebooks run so in CI)."""


class ShownVerdict(Verdict):
    """A verdict that was displayed already: as the last value of a cell it shows nothing again."""

    def __repr__(self) -> str:
        return self.status.value

    def _ipython_display_(self) -> None:
        """Nothing: `lab.check` has displayed it."""


class Lab(RepositoryTools):
    """A lab in a notebook: its folder, its own server, its checks and its progress.

    Attributes:
        number: Two digits.
        title: The lab's title.
        work: The lab's folder, `work/lab01`.
        repository: The lab's own model repository, `work/lab01/model_repository`.
        store: The student's progress.
        explain_automatically: Whether a failed load is explained below the cell that caused it.
    """

    explain_automatically = True

    def __init__(self, number: str | int, *, namespace: MutableMapping[str, Any] | None = None) -> None:
        """Make the lab's folder, print where it is, and show the progress panel.

        Args:
            number: `"01"`.
            namespace: Where the student's answers are. Default: the notebook's own names, or the
                globals of the caller outside IPython.

        Raises:
            LabError: There is no such lab, a package that it needs is not installed, or its folder or
                models cannot be made.
        """
        prepare_environment()
        self._spec = lab_spec(number)
        self._spec.require_packages()
        self.number, self.title = self._spec.number, self._spec.title
        self._namespace = namespace if namespace is not None else caller_namespace()
        self._checkpoints = self._spec.checkpoints()
        context = LabContext.of(self.number)
        self.work, self.repository, self._name = context.work, context.repository, context.server_name
        folders.require(self.work, "for your work", "TRITON_LAB_WORK")
        folders.require(state_home(), "for the records of your servers", "TRITON_LAB_HOME")
        self.store = ProgressStore(self.work.parent / "progress.json")
        self._explain_hook = install(ipython_shell(), self)
        copied = copy_models(self._spec.models, self.repository)
        print(f"Runtime: {choose_runtime()} ({about_runtime(choose_runtime())})")
        print(f"Folder:  {short_path(self.work)}" + (f" (new models: {', '.join(copied)})" if copied else ""))
        running = triton.find(self._name)
        print(f"Server:  {server_line(running) if running else 'none yet'}")
        self.progress()

    def start(self, *options: str, timeout: float = 60.0) -> Server:
        """Start the lab's own server, or find the one that runs already.

        Args:
            options: Options of tritonserver, such as `"--strict-readiness=false"`. Other options
                than the running server's restart it. Without options: those of the last start, so
                that a server that died comes back as it was.
            timeout: Seconds to wait.

        Returns:
            The server, with the lab's models ready.

        Raises:
            ServerError: With the decisive lines of the server's log, their cause and the mend.
        """
        running = triton.find(self._name)
        if not options:
            options = tuple(self._last_options(running))
        elif running is not None and list(options) != self._last_options(running):
            print("Replacing the running server: it was started with other options.")
        server = triton.start(
            self.repository,
            name=self._name,
            options=options,
            wait_for=self._loaded_at_start(options),
            timeout=timeout,
        )
        self._options_file.write_text(json.dumps(list(options)))
        print(server_line(server))
        return server

    def _loaded_at_start(self, options: Sequence[str]) -> tuple[str, ...]:
        """The lab's models that these options load: in explicit mode only those asked for by name."""
        if not any(option.startswith("--model-control-mode=") for option in options):
            return self._spec.models
        asked = {option.partition("=")[2] for option in options if option.startswith("--load-model=")}
        return tuple(name for name in self._spec.models if name in asked or "*" in asked)

    @property
    def _options_file(self) -> Path:
        return self.work / ".server-options.json"

    def _last_options(self, running: Server | None) -> list[str]:
        """The options of the running server, else of the lab's last start."""
        record = triton.record(self._name) if running is not None else None
        if record is not None:
            return list(record.options)
        try:
            return [str(option) for option in json.loads(self._options_file.read_text())]
        except (OSError, ValueError, TypeError):
            return []

    @property
    def server(self) -> Server:
        """The lab's running server.

        Raises:
            ServerError: There is none; says how the last one ended.
        """
        if choose_runtime() == "remote":
            return triton.start(self.repository, name=self._name)
        server = triton.find(self._name)
        if server is not None:
            return server
        record = triton.record(self._name)
        ended = record.ended if record is not None else None
        raise ServerError(
            f"The lab's server `{self._name}` is not running.",
            why=f"It {ended}." if ended else "",
            fix="Run `server = lab.start()`.",
        )

    def stop(self) -> None:
        """End the lab's own server: no process and no shared memory stays behind."""
        server = triton.find(self._name)
        if server is None:
            print(f"The server `{self._name}` is not running.")
            return
        server.stop()
        print(f"The server `{self._name}` is stopped.")

    def check(self, id: str) -> Verdict:
        """Check an exercise: read its answers from the notebook, ask the live server, store and show.

        Args:
            id: The exercise's number, such as `"1.3"`.

        Returns:
            The verdict. Its `status` is PASS, FAIL or SKIP.

        Raises:
            LabError: There is no such exercise.
            CheckFailed: The verdict is FAIL and `TRITON_LAB_STRICT=1` is set.
        """
        one = self._find(id)
        verdict = self._judge(one.id)
        show(render.as_html(one, verdict, self._note(one)), render.as_text(one, verdict, self._note(one)))
        if verdict.status is Status.FAIL and os.environ.get(STRICT_VARIABLE) == "1":
            raise CheckFailed(
                f"FAIL {one.id}: {verdict.found}", why=f"Expected: {verdict.expected}", fix=verdict.next_step
            )
        return ShownVerdict(**vars(verdict))

    def progress(self) -> None:
        """Show the progress panel: every exercise with its state, and a check button each."""
        panel = panels.Panel(self.number, self.title, self._checkpoints, self.store, self._judge)
        shell = ipython_shell()
        if shell is None:
            print(panel.text())
        else:
            from IPython.display import display

            display(panel)
        self._panel = panel  # a shown panel must live as long as the lab: its buttons call back

    @property
    def panel(self) -> panels.Panel:
        """The panel that was shown last."""
        return self._panel

    def __repr__(self) -> str:
        return f"Lab {self.number}: {self.title}. {self.store.score(self._checkpoints)}."

    def _judge(self, id: str) -> Verdict:
        """Check, store, refresh the shown panels; display nothing."""
        one = self._find(id)
        with self._explain_hook.ignoring() if self._explain_hook else contextlib.nullcontext():
            verdict = self._verdict(one)
        before = self.store.entries().get(one.id)
        # A restarted kernel or a stopped server is no wrong answer: an earlier PASS stays in the panel.
        if verdict.evidence.get("judged", True) or before is None or not before.verdict.passed:
            self.store.record(one, verdict, verdict.evidence.get("server"))
        panels.refresh_all(self.number)
        return verdict

    def _verdict(self, one: Checkpoint) -> Verdict:
        """By the check in this kernel; in a graded run by the judge, which asks this kernel's functions."""
        if judge := os.environ.get(JUDGE_VARIABLE):
            from lab_utils.grading.judge.client import ask_judge

            return ask_judge(judge, one.id, self._namespace)
        return run_checkpoint(one, LabContext.of(self.number), self._namespace)

    def _note(self, one: Checkpoint) -> str:
        entry = self.store.entries().get(one.id)
        if entry is not None and entry.fell_back:
            return f"this exercise passed before (first at {entry.first_pass}); the latest check counts"
        return ""

    def _find(self, id: str) -> Checkpoint:
        by_id = {c.id: c for c in self._checkpoints}
        text = str(id).strip()
        if text in by_id:
            return by_id[text]
        near = difflib.get_close_matches(text, by_id, n=1)
        raise LabError(
            f"lab {self.number} has no exercise {text!r}" + (f"; do you mean {near[0]!r}?" if near else ""),
            fix=f"Its exercises are {', '.join(by_id)}.",
        )

"""One lab with its real server, in which answers are judged as a student's notebook would."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lab_utils import server as triton
from lab_utils.lab import Lab
from lab_utils.progress.context import LabContext, Refusal
from lab_utils.progress.identity import prove_server
from lab_utils.progress.registry import Checkpoint, Verdict
from lab_utils.progress.runner import run_checkpoint
from tests.proofs.kit.labs import LabUnderTest


@dataclass
class HurriedContext(LabContext):
    """A context whose `call` waits no longer than `longest` seconds."""

    longest: float = 30.0

    def call(self, function: Any, *args: Any, timeout: float = 30.0, **kwargs: Any) -> Any:
        """As `LabContext.call`, sooner out of patience."""
        return super().call(function, *args, timeout=min(timeout, self.longest), **kwargs)


class World:
    """A lab, its server, and the right answers.

    Attributes:
        under: The lab that is tested.
        base: Names after the imports and all right answers.
    """

    def __init__(self, under: LabUnderTest) -> None:
        self.under = under
        self._lab: Lab | None = None
        with contextlib.redirect_stdout(io.StringIO()):
            self.lab = Lab(under.spec.number, namespace={})
        self.base: dict[str, Any] = {"__name__": "__main__", "lab": self.lab}
        under.code.run_base(self.base)
        torch = sys.modules.get("torch")
        if torch is not None:  # workers share the cores: threads that wait for each other cost most
            torch.set_num_threads(1)

    @contextlib.contextmanager
    def running(self) -> Iterator[World]:
        """The world with its server, which is stopped at the end."""
        self.mend()
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Stop the lab's server if there is one."""
        server = triton.find(f"lab{self.under.spec.number}")
        if server is not None:
            server.stop()

    def mend(self) -> None:
        """Bring the server back when a check or a wrong answer broke it."""
        context = LabContext.of(self.under.spec.number)
        try:
            prove_server(context)
        except Refusal:
            self.stop()
        with contextlib.redirect_stdout(io.StringIO()):
            self.lab.start(*self.under.code.start_options)
        self.base["server"] = self.lab.server

    def judge(self, one: Checkpoint, names: dict[str, Any], longest: float = 30.0) -> tuple[Verdict, float]:
        """The verdict on the answers in `names`, and the seconds it took."""
        if one.needs_server:
            self.mend()
        context = HurriedContext(one.lab, self.lab.work, self.lab.repository, longest=longest)
        begin = time.monotonic()
        with contextlib.redirect_stdout(io.StringIO()):
            verdict = run_checkpoint(one, context, names)
        return verdict, time.monotonic() - begin

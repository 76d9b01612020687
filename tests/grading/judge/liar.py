"""A judge with a check for liars, and a kernel that lies to it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lab_utils.grading.judge import Judge
from lab_utils.grading.judge.serving import Servant
from lab_utils.grading.judge.wire import Channel, Lost
from lab_utils.progress.context import LabContext
from lab_utils.progress.registry import Checkpoint, Status, Verdict, passed


class Court:
    """A judge whose check asks for two numbers, through a function of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.given: list[Any] = []
        self.verdicts: list[Verdict] = []
        hidden = Checkpoint("1.1.1", "of the test", 1, 1, 1, ("docker_run",), self._check, needs_server=False)
        self.judge = Judge("01", path, self._report, hidden=[hidden])

    def _report(self, id: str, verdict: Verdict) -> None:
        if id == "1.1.1":
            self.verdicts.append(verdict)

    def _check(self, ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
        first = ctx.call(answers["docker_run"], self.given.append, timeout=1.0)
        second = ctx.call(answers["docker_run"], self.given.append, timeout=1.0)
        if (first, second) == (1, 2):
            return passed("both")
        return Verdict(Status.FAIL, "1 and 2", f"{first!r:.60} and {second!r:.60}", "Answer with numbers.")

    def verdict(self) -> Verdict:
        """What was reported last; waits for it."""
        end = time.monotonic() + 15
        while not self.verdicts and time.monotonic() < end:
            time.sleep(0.02)
        assert self.verdicts, "the judge hangs, or has reported nothing"
        return self.verdicts.pop()


class Liar(Servant):
    """Does as a kernel does, but for the calls of the student's function.

    Args:
        path: The judge's socket.
        answer: Gets this and a call's data instead; what it returns is the function's value.
    """

    def __init__(self, path: Path, answer: Callable[[Liar, bytes], Any]) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        self.channel = Channel(connection, most=1 << 30)
        super().__init__(self.channel, {"docker_run": lambda *_: None})
        self.answer = answer
        self.calls: list[int] = []

    def tell_all(self) -> None:
        """Ask for the check, and serve it."""
        self.tell("check", "1.1", ["docker_run"])
        try:
            self.serve()
        except Lost:
            return
        finally:
            self.channel.close()

    def _do(self, call: int, data: bytes) -> None:
        self.calls.append(call)
        if len(self.calls) in (1, 3):  # "resolve", once for the exercise and once for the hidden check
            super()._do(call, data)
            return
        try:
            self.tell("value", call, self.answer(self, data), {})
        except BaseException:  # the connection is gone, or this thread was abandoned: nobody is to hear of it
            return

    def _unseen(self, args: Any, before: Any) -> None:
        """Judge and kernel are one process here: what one hears, the other need not."""

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self.channel._socket.sendall(data)

    def frame(self, data: bytes) -> None:
        """One message of these bytes."""
        self.channel.send(data)


def later(count: int, then: Callable[[Liar], Any], value: Any = 0) -> Callable[[Liar, bytes], Any]:
    """Honest until the hidden check; then a lie."""

    def answer(liar: Liar, data: bytes) -> Any:
        return then(liar) if len(liar.calls) > count else value

    return answer


def lie(court: Court, then: Callable[[Liar], Any]) -> Verdict:
    """The verdict on a kernel that lies when the hidden check calls it."""
    Liar(court.path, later(3, then)).tell_all()
    verdict = court.verdict()
    assert verdict.status is Status.FAIL
    assert verdict.found
    assert verdict.next_step
    return verdict

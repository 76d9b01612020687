"""Kernels that lie: whatever one sends, the verdict is FAIL with a reason, and the judge goes on.

The liar is this test itself, at the other end of the judge's socket.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab_utils.grading.judge import server
from lab_utils.grading.judge.wire import MOST_BYTES, Lost
from lab_utils.grading.judge.writer import Writer
from lab_utils.progress.registry import Status, passed
from tests.grading.judge.liar import Court, Liar, later, lie


@pytest.fixture(scope="module")
def court(private_folders: object) -> Iterator[Court]:
    with tempfile.TemporaryDirectory(prefix="judge") as folder:
        made = Court(Path(folder) / "socket")
        with made.judge:
            yield made


@pytest.fixture(autouse=True)
def fresh(court: Court) -> Iterator[None]:
    """A new turn; afterwards the judge still judges an honest kernel."""
    court.judge._attempts.clear()
    court.verdicts.clear()
    yield
    court.judge._attempts.clear()
    court.verdicts.clear()
    numbers = iter([0, 1, 2])
    Liar(court.path, lambda servant, data: next(numbers)).tell_all()
    assert court.verdict().passed


def test_a_verdict_of_the_kernels_own_is_none(court: Court) -> None:
    def then(liar: Liar) -> Any:
        liar.tell(
            "verdict", 0, {"status": "PASS", "expected": "", "found": "", "next_step": "", "evidence": {}}
        )
        liar.tell("report", 0, "1.1.1", "PASS")
        return passed("by myself")

    assert "Verdict" in lie(court, then).found


def test_pickles_are_not_read(court: Court, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.makedirs, (str(tmp_path / "run"),)

    verdict = lie(court, lambda liar: liar.frame(pickle.dumps(("value", 4, Trap()))))
    assert "what it sent is no answer" in verdict.found
    assert not (tmp_path / "run").exists()


def test_silence_is_a_time_out(court: Court) -> None:
    def then(liar: Liar) -> Any:
        time.sleep(2.5)
        return 1

    assert "did not return in 1 s" in lie(court, then).found


def test_a_kernel_that_goes_away_is_named(court: Court) -> None:
    verdict = lie(court, lambda liar: liar.channel.close())
    assert "it does not: the connection was closed" in verdict.found


def test_a_message_that_never_ends_is_a_time_out(court: Court) -> None:
    def then(liar: Liar) -> Any:
        liar.raw(struct.pack(">I", 1000) + b"l")
        time.sleep(1.5)
        raise Lost("enough")

    assert "did not return in 1 s" in lie(court, then).found


def test_a_message_that_is_too_long_is_not_read(court: Court) -> None:
    verdict = lie(court, lambda liar: liar.raw(struct.pack(">I", MOST_BYTES + 1)))
    assert "are allowed" in verdict.found


def test_a_bomb_is_not_unpacked(court: Court) -> None:
    verdict = lie(
        court, lambda liar: liar.frame(b"l\0\0\0\x03s\0\0\0\x05valuei\0\0\0\x01\x04" + b"l\0\0\0\x01" * 50)
    )
    assert "what it sent is no answer" in verdict.found


def test_a_flood_ends(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab_utils.grading.judge.peer.MOST_MESSAGES", 2000)

    def then(liar: Liar) -> Any:
        message = Writer(liar).write(["unseen", 0, {}])
        while True:
            liar.frame(message)

    assert "a flood" in lie(court, then).found


def test_a_kernel_that_asks_and_never_reads_does_not_hold_the_judge_up(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab_utils.grading.judge.wire._SEND_SECONDS", 1)
    monkeypatch.setattr(court, "given", _Large())

    def then(liar: Liar) -> Any:
        for number in range(40):
            liar.tell("invoke", liar.calls[-1], number, 0, "", (), {})
        time.sleep(4)
        raise Lost("enough")

    verdict = Liar(court.path, later(3, then))
    verdict.serve = lambda: _read_little(verdict)  # type: ignore[method-assign]
    verdict.tell_all()
    assert court.verdict().status is Status.FAIL


class _Large(list[Any]):
    """A list whose `append` answers with a lot."""

    def append(self, *_: Any) -> bytes:  # type: ignore[override]
        return b"x" * 4_000_000


def _read_little(liar: Liar) -> None:
    """Do what is asked, until the function is called the second time; then read nothing more."""
    while len(liar.calls) < 4:
        kind, number, data = pickle.loads(liar.channel.receive())
        if kind == "do":
            liar._do(number, data)


@pytest.mark.parametrize(
    ("method", "reference"),
    [
        ("__globals__", 0),
        ("__class__", 0),
        ("__init__", 0),
        ("append", 0),
        ("__next__", 0),
        ("", 99),
        ("", -1),
    ],
)
def test_only_what_was_given_can_be_used(court: Court, method: str, reference: int) -> None:
    errors: list[str] = []

    def then(liar: Liar) -> Any:
        try:
            return liar.invoke(liar.calls[-1], reference, method, ("x",), {})
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
        return "nothing"

    assert lie(court, then).found == "'nothing' and 'nothing'"
    assert all(error.startswith("CodecError") for error in errors), errors
    assert court.given == []


@pytest.mark.parametrize(
    "message",
    [
        ["value"],
        ["value", 4],
        ["value", 4, 1],
        ["value", "x", 1, {}],
        ["value", 10**9, 1, {}],
        ["error", 4, None, {}],
        ["error", 4, {"raised": 10**9, "kinds": [["builtins", "BaseException"]]}, {}],
        ["error", 4, {"kinds": [["builtins", "GeneratorExit"]], "text": "x"}, {}],
        ["value", 4, 1, {0: {"modes": {}, "tensors": {}}}],
        ["value", 4, 1, 7],
        ["invoke", 4, 1],
        ["invoke", 4, "x", 0, "", (), {}],
        ["step", 4, 1, 0],
        ["step", 4, 1, -7],
        ["start", 4, 1, -1, 0, (1,), {}],
        ["start", 4, 1, 3, 0, (1,), {}],
        ["close", 4, 12],
        ["dance", 4, 1],
        "value",
        [],
        None,
    ],
    ids=str,
)
def test_messages_of_any_form_end_in_a_verdict(court: Court, message: Any) -> None:
    def then(liar: Liar) -> Any:
        own = [liar.calls[-1] if part == 4 and type(part) is int else part for part in message or []]
        liar.frame(Writer(liar).write(own if isinstance(message, list) else message))
        time.sleep(0.3)
        return "late"

    lie(court, then)


def test_a_coroutine_that_is_none_is_no_answer(court: Court) -> None:
    async def never() -> None: ...

    def then(liar: Liar) -> Any:
        coroutine = never()
        coroutine.close()
        return coroutine

    lie(court, then)


@pytest.mark.parametrize("answer", [None, 7, {}, {"docker_run": print}], ids=str)
def test_answers_of_any_form_end_in_a_verdict(court: Court, answer: Any) -> None:
    liar = Liar(court.path, lambda servant, data: 0)
    liar._tasks = {**Liar._tasks, "resolve": lambda self, names: answer}  # type: ignore[misc]
    liar.tell_all()
    assert court.verdict().status is Status.FAIL


def test_a_kernel_that_does_not_say_what_its_answers_are_is_given_up(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_RESOLVE_SECONDS", 0.5)
    liar = Liar(court.path, lambda servant, data: 0)
    liar._do = lambda call, data: None  # type: ignore[method-assign]
    liar.tell_all()
    assert "asked for its answers" in court.verdict().found


def test_a_connection_that_says_nothing_holds_nobody_up(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_REQUEST_SECONDS", 0.5)
    silent = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    for one in silent:
        one.connect(str(court.path))
    time.sleep(1.2)
    for one in silent:
        one.close()


def test_no_thread_of_the_judge_stays(court: Court) -> None:
    end = time.monotonic() + 5
    while (left := [t.name for t in threading.enumerate() if t.name.startswith("judge-")]) and (
        time.monotonic() < end
    ):
        time.sleep(0.05)
    assert left == []

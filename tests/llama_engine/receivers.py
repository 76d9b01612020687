"""Receivers of outputs, and a way to hold an engine still between two steps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab_utils.llama.engine import Engine, Output


class Receiver:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.ended = threading.Event()

    def __call__(self, output: Output) -> None:
        assert not self.ended.is_set(), "nothing may follow the end"
        self.outputs.append(output)
        if output.final:
            self.ended.set()

    def wait(self, seconds: float = 30) -> Output:
        """The end."""
        assert self.ended.wait(seconds), "no end came"
        return self.outputs[-1]

    @property
    def text(self) -> str:
        return "".join(o.text for o in self.outputs)

    @property
    def tokens(self) -> list[int]:
        return [token for o in self.outputs for token in o.token_ids]


class Gate:
    """Lets decode steps through one by one."""

    def __init__(self) -> None:
        self._allowed = threading.Semaphore(0)
        self._arrived = threading.Semaphore(0)
        self.batches: list[int] = []

    def arrived(self) -> None:
        """Wait until the engine stands before a decode step."""
        assert self._arrived.acquire(timeout=20), "the engine did not come to a step"

    def allow(self, steps: int = 1) -> None:
        self._allowed.release(steps)

    def __call__(self, rows: int) -> None:
        self.batches.append(rows)
        self._arrived.release()
        assert self._allowed.acquire(timeout=20), "the test did not let the step through"


@contextmanager
def gated(engine: Engine) -> Iterator[Gate]:
    """Every decode step of the engine waits for the test."""
    gate = Gate()
    runner = engine._runner
    decode = runner.decode

    def slowly(tokens: Any, positions: Any) -> Any:
        gate(len(tokens))
        return decode(tokens, positions)

    runner.decode = slowly  # type: ignore[method-assign]
    try:
        yield gate
    finally:
        runner.decode = decode  # type: ignore[method-assign]
        gate.allow(10_000)

"""A coroutine of a check that goes on only when the student's event loop lets it.

`await ask()` in the student's loop runs `ask` in the judge. Were it simply run here, its times would not be
those of the student's loop: one that stands still would not hold the coroutine up. So each step, from one
`await` to the next, waits for the other loop to ask for it.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from lab_utils.grading.judge.codec import CodecError

Tell = Callable[[Any], None]


class Paced:
    """A coroutine and its steps.

    Args:
        coroutine: The check's own; it runs as a task of `loop`.
        loop: The loop.

    Raises:
        CodecError: It is no coroutine.
    """

    def __init__(self, coroutine: Any, loop: asyncio.AbstractEventLoop) -> None:
        if not isinstance(coroutine, Coroutine):
            raise CodecError("there is no coroutine of this number")
        self._coroutine, self._loop = coroutine, loop
        self._task: asyncio.Task[None] | None = None
        self._permit: asyncio.Future[None] | None = None
        self._done: Tell = lambda value: None
        self._failed: Tell = lambda error: None
        self._ready: Callable[[], None] = lambda: None

    def step(self, done: Tell, failed: Tell, ready: Callable[[], None]) -> None:
        """Let it run to its next `await`.

        Args:
            done: Is told `(True, value)` when it ended, `(False, None)` when it waits.
            failed: Is told the error that it ended with.
            ready: Is called when what it waits for has come.
        """
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._permit_step(done, failed, ready)
        else:
            self._loop.call_soon_threadsafe(self._permit_step, done, failed, ready)

    def close(self) -> None:
        """Cancel it."""
        try:
            self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:
            self._coroutine.close()  # its loop has ended

    def _permit_step(self, done: Tell, failed: Tell, ready: Callable[[], None]) -> None:
        self._done, self._failed, self._ready = done, failed, ready
        if self._task is None:
            self._permit = self._loop.create_future()
            self._task = self._loop.create_task(self._run())
        if self._permit is not None and not self._permit.done():
            self._permit.set_result(None)

    def _cancel(self) -> None:
        if self._task is None:
            self._coroutine.close()
        else:
            self._task.cancel()

    async def _run(self) -> None:
        await self._steps()

    @types.coroutine
    def _steps(self) -> Generator[Any, Any, None]:
        value: Any = None
        error: BaseException | None = None
        while True:
            assert self._permit is not None
            yield from self._permit
            try:
                awaited = self._coroutine.send(value) if error is None else self._coroutine.throw(error)
            except StopIteration as stop:
                self._done((True, stop.value))
                return
            except Exception as raised:
                self._failed(raised)
                return
            except asyncio.CancelledError as raised:
                self._failed(raised)
                raise
            self._permit = self._loop.create_future()
            self._done((False, None))
            value, error = None, None
            try:
                value = yield awaited
            except BaseException as raised:
                error = raised
            self._ready()

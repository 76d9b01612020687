"""What a student's function asks of the judge while it runs: call a function, take a step of a coroutine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lab_utils.grading.judge.codec import CodecError
from lab_utils.grading.judge.faults import describe_error
from lab_utils.grading.judge.paced import Paced
from lab_utils.grading.judge.packing import Given, pack
from lab_utils.grading.judge.wire import Lost

Send = Callable[[str, int, Any], None]
_Loop = asyncio.AbstractEventLoop | None
_MOST_RAISED = 10_000


class Callbacks:
    """The callbacks of one connection.

    Args:
        send: Sends a message: kind, number, data.
        given: The objects that may be used.
    """

    def __init__(self, send: Send, given: Given) -> None:
        self._send, self._given = send, given
        self._raised: list[BaseException] = []
        self._paced: dict[int, Paced] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def handle(self, message: list[Any], loop: _Loop) -> None:
        """Do what a message asks for, here and now.

        Args:
            message: `invoke`, `start`, `step` or `close`, as `Servant` sends them.
            loop: The event loop in which this runs; None: a plain thread.

        Raises:
            CodecError: It has another form.
        """
        match message:
            case ["invoke", int(), int(number), int(reference), str(method), tuple(args), dict(kwargs)]:
                self._invoke(number, reference, method, args, kwargs)
            case ["start", int(), int(number), int(key), int(reference), tuple(args), dict(kwargs)] if (
                key < 0
            ):
                self._start(number, key, reference, args, kwargs, loop)
            case ["step", int(), int(number), int(coroutine)]:
                self._step(number, coroutine, loop)
            case ["close", int(), int(coroutine)]:
                if (paced := self._paced.pop(coroutine, None)) is not None:
                    paced.close()
            case _:
                raise CodecError(f"no request is of the form {str(message[0])[:40]!r}")

    def refuse(self, message: list[Any]) -> None:
        """Answer a request that comes after its call."""
        if len(message) > 2 and type(message[2]) is int:
            self._fail(message[2], RuntimeError("the call in which this was given is over"))

    def raised(self, about: Any) -> BaseException | None:
        """The judge's own error that a description names, if it names one."""
        number = about.get("raised") if isinstance(about, dict) else None
        if not isinstance(number, int) or not 0 <= number < len(self._raised):
            return None
        return self._raised[number]

    def close(self) -> None:
        """Drop all coroutines."""
        for one in list(self._paced.values()):
            one.close()
        self._paced.clear()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    def _invoke(self, number: int, reference: int, method: str, args: tuple[Any, ...], kwargs: Any) -> None:
        try:
            value = self._given.use(reference, method)(*args, **kwargs)
            data = pack(value, self._given)
        except (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
            self._fail(number, error)
        else:
            self._answer(number, data)

    def _start(
        self, number: int, key: int, reference: int, args: tuple[Any, ...], kwargs: Any, loop: _Loop
    ) -> None:
        """Call a coroutine function, and take the first step of what it returns."""
        try:
            paced = Paced(self._given.use(reference, "")(*args, **kwargs), loop or self._own_loop())
        except Exception as error:
            self._fail(number, error)
            return
        with self._lock:
            self._paced[key] = paced
        self._step(number, key, loop)

    def _step(self, number: int, coroutine: int, loop: _Loop) -> None:
        """One step of a coroutine, in the loop that waits for the call, else in one of our own."""
        with self._lock:
            paced = self._paced.get(coroutine)
            if paced is None:
                paced = Paced(self._given.get(coroutine), loop or self._own_loop())
                self._paced[coroutine] = paced

        def done(value: Any) -> None:
            try:
                data = pack(value, self._given)
            except Exception as error:
                self._fail(number, error)
            else:
                self._answer(number, data)

        def failed(error: BaseException) -> None:
            self._fail(number, error)

        def ready() -> None:
            with suppress(Lost):
                self._send("ready", coroutine, None)

        paced.step(done, failed, ready)

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(self._loop,), name="judge-loop", daemon=True).start()
        return self._loop

    def _answer(self, number: int, data: bytes) -> None:
        with suppress(Lost):  # whoever waits for the call hears of it
            self._send("answer", number, data)

    def _fail(self, number: int, error: BaseException) -> None:
        """Raise an error there, of its own kind and with what it holds."""
        with self._lock:
            known = len(self._raised) if len(self._raised) < _MOST_RAISED else None
            if known is not None:
                self._raised.append(error)
        state = {}
        for name, value in vars(error).items():
            with suppress(Exception):
                pack(value, Given())
                state[name] = value
        about = describe_error(error) | {"line": ""}  # a line of a hidden check is not for the kernel
        with suppress(Lost):
            self._send("raise", number, pack((about, known, state), self._given))


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped."""
    loop.run_forever()
    loop.close()

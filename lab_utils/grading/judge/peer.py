"""The judge's end of a connection: calls into the other process, and callbacks out of it.

A callback runs in the thread, or in the event loop, that waits for the call in which it was given: as if the
student's function ran right there.
"""

from __future__ import annotations

import asyncio
import itertools
import pickle
import queue
import threading
from types import SimpleNamespace
from typing import Any

from lab_utils.grading.judge.callbacks import Callbacks
from lab_utils.grading.judge.codec import CodecError, Reader
from lab_utils.grading.judge.faults import rebuild_error
from lab_utils.grading.judge.packing import Given, pack
from lab_utils.grading.judge.remote import course_record, remote_object
from lab_utils.grading.judge.scripts import RemoteScript, Workshop
from lab_utils.grading.judge.wire import Channel, Lost
from lab_utils.progress.context import Refusal
from lab_utils.progress.registry import Verdict, failed

MOST_MESSAGES = 300_000
MOST_SUM = 1 << 30
"""What one check may receive: more is a flood."""

_WAIT = 0.2
Message = list[Any]


class Ended(Refusal):
    """The other process is gone in the middle of a check."""

    def __init__(self, reason: str) -> None:
        super().__init__(gone(reason))


def gone(reason: str) -> Verdict:
    """FAIL, for a kernel that does not keep up its side of a check."""
    return failed(
        expected="the notebook's kernel answers until the check is done",
        found=f"it does not: {reason}"[:500],
        next_step="See that no cell ends the kernel or its threads, changes `lab_utils`, or uses up the "
        "memory; run all cells, then check again.",
        error="kernel",
    )


class _RemoteCoroutine:
    def __init__(self, number: int) -> None:
        self.number = number


class _Call:
    """One task of the other side, and who waits for it.

    Args:
        loop: The event loop that waits; None: a thread does, in `inbox`.
    """

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop | None) -> None:
        self.number, self.loop = number, loop
        self.inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self.answer: asyncio.Future[Message | None] | None = loop.create_future() if loop else None


class Peer:
    """The other process, as the judge sees it.

    Args:
        channel: The connection.
        given: The judge's objects that the other side may use.
        workshop: Where TorchScript from there is run; None where none is taken.
    """

    def __init__(self, channel: Channel, given: Given, workshop: Workshop | None = None) -> None:
        self._channel, self._given, self._workshop = channel, given, workshop
        self._callbacks = Callbacks(self.send, given)
        self._calls: dict[int, _Call] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._messages = self._bytes = 0
        self.ended = ""

    # What the reader of messages makes.

    def opaque(self, number: int, about: dict[str, Any]) -> Any:
        """See `Builder`."""
        return remote_object(self, number, about)

    def script(self, number: int, content: bytes) -> Any:
        """See `Builder`."""
        if self._workshop is None:
            raise CodecError("no TorchScript was expected")
        return RemoteScript(self, self._workshop, number, content)

    def coroutine(self, number: int) -> Any:
        """See `Builder`."""
        return _RemoteCoroutine(number)

    def given(self, number: int) -> Any:
        """See `Builder`."""
        return self._given.get(number)

    def record(self, module: str, name: str, fields: dict[str, Any]) -> Any:
        """See `Builder`."""
        return course_record(module, name, fields)

    # Sending and receiving.

    def receive(self) -> Message:
        """The next message.

        Raises:
            Lost: There is none.
            CodecError: It has no form.
        """
        data = self._channel.receive()
        self._messages += 1
        self._bytes += len(data)
        if self._messages > MOST_MESSAGES or self._bytes > MOST_SUM:
            raise Lost(f"a flood: {self._messages:,d} messages, {self._bytes:,d} bytes")
        message = Reader(data, self).read()
        if not isinstance(message, list) or len(message) < 2 or not isinstance(message[0], str):
            raise CodecError("a message without a kind")
        return message

    def listen(self) -> None:
        """Receive in a thread of its own from now on."""
        threading.Thread(target=self._listen, name="judge-listens", daemon=True).start()

    def send(self, kind: str, number: int, data: Any) -> None:
        """Send a message; what is in `data` is pickled already, or plain."""
        self._channel.send(pickle.dumps((kind, number, data), protocol=5))

    def end(self, reason: str) -> None:
        """End the connection, and every wait for it."""
        self.ended = self.ended or reason
        self._channel.close()
        for call in list(self._calls.values()):
            self._deliver(call, None)
        self._callbacks.close()

    def _listen(self) -> None:
        try:
            while True:
                self._sort(self.receive())
        except Lost as error:
            self.end(str(error))
        except CodecError as error:
            self.end(f"what it sent is no answer: {error}")
        except Exception as error:  # a fault of ours must not leave anybody waiting
            self.end(f"{type(error).__name__}: {error}")

    def _sort(self, message: Message) -> None:
        kind, number = message[0], message[1]
        if kind == "unseen":
            self._unseen(message)
            return
        call = self._calls.get(number) if type(number) is int else None
        if call is not None:
            self._deliver(call, message)
        elif kind in ("invoke", "start", "step"):
            self._callbacks.refuse(message)

    def _deliver(self, call: _Call, message: Message | None) -> None:
        if call.loop is None:
            call.inbox.put(message)
            return
        try:
            call.loop.call_soon_threadsafe(self._handle_in_loop, call, message)
        except RuntimeError:
            return  # that loop is closed: nobody waits there any more

    @staticmethod
    def _unseen(message: Message) -> None:
        """An error that ended a thread there: whoever watches threads here hears of it."""
        if threading.excepthook is not threading.__excepthook__:
            error = rebuild_error(message[2] if len(message) > 2 else None)
            args = SimpleNamespace(exc_type=type(error), exc_value=error, exc_traceback=None, thread=None)
            threading.excepthook(args)  # type: ignore[arg-type]

    # Calling.

    def call(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function there. A coroutine comes back as one that can be awaited here.

        Raises:
            BaseException: What the function raised.
            Ended: The other process is gone.
        """
        call = self._open(None, next(self._numbers))
        value = self._wait(call, "call", (number, args, kwargs))
        # The coroutine is a part of the same call: what was given for it can still be used.
        return self._awaited(value.number, call.number) if isinstance(value, _RemoteCoroutine) else value

    def do(self, task: str, *what: Any) -> Any:
        """Let the other side do something, and wait for it in this thread."""
        return self._wait(self._open(None, next(self._numbers)), task, what)

    def _wait(self, call: _Call, task: str, what: tuple[Any, ...]) -> Any:
        done = False
        try:
            self._begin(call, task, what)
            while True:
                message = self._next(call)
                done = message[0] in ("value", "error")
                if done:
                    return self._result(message)
                self._callbacks.handle(message, None)
        finally:
            self._close(call, done)

    def refresh(self) -> bool:
        """Bring the twins there up to date; True when there was something to change."""
        news = self._given.twins.news()
        if news:
            self.do("refresh", news)
        return bool(news)

    async def _awaited(self, number: int, call_number: int) -> Any:
        """Await a coroutine there. Its callbacks run in this event loop."""
        call = self._open(asyncio.get_running_loop(), call_number)
        done = False
        try:
            self._begin(call, "await", (number,))
            assert call.answer is not None
            message = await call.answer
            if message is None:
                raise Ended(self.ended)
            done = True
            return self._result(message)
        finally:
            self._close(call, done)

    def _open(self, loop: asyncio.AbstractEventLoop | None, number: int) -> _Call:
        call = _Call(number, loop)
        self._calls[call.number] = call
        return call

    def _begin(self, call: _Call, task: str, what: tuple[Any, ...]) -> None:
        if self.ended:
            raise Ended(self.ended)
        with self._lock:  # what is given must arrive before what is made of it
            data = pack((task, *what), self._given)
            self._send_or_end("do", call.number, data)

    def _send_or_end(self, kind: str, number: int, data: Any) -> None:
        try:
            self.send(kind, number, data)
        except Lost as error:
            self.end(str(error))
            raise Ended(self.ended) from error

    def _close(self, call: _Call, done: bool) -> None:
        self._calls.pop(call.number, None)
        if not done and not self.ended:
            try:
                self.send("cancel", call.number, None)
            except Lost as error:
                self.end(str(error))

    def _next(self, call: _Call) -> Message:
        while True:
            try:
                message = call.inbox.get(timeout=_WAIT)  # in pieces: an abandoned thread wakes up here
            except queue.Empty:
                if not self.ended:
                    continue
                message = None
            if message is None:
                raise Ended(self.ended)
            return message

    def _result(self, message: Message) -> Any:
        if len(message) != 4:
            raise CodecError("an answer of another form")
        kind, _, value, changes = message
        if changes:
            self._given.twins.take_over(changes)
        if kind == "value":
            return value
        # An error of the judge's own may have gone through the student's function.
        raise self._callbacks.raised(value) or rebuild_error(value)

    def _handle_in_loop(self, call: _Call, message: Message | None) -> None:
        assert call.answer is not None
        if message is None or message[0] in ("value", "error"):
            if not call.answer.done():
                call.answer.set_result(message)
            return
        try:
            self._callbacks.handle(message, call.loop)
        except CodecError as error:
            if not call.answer.done():
                call.answer.set_exception(error)

"""The kernel's side of a check: call the student's functions as the judge asks, and say what they answer."""

from __future__ import annotations

import asyncio
import io
import itertools
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from lab_utils.grading.judge.faults import describe_error, rebuild_error
from lab_utils.grading.judge.stubs import IteratorStub, ObjectStub, coroutine_stub, function_stub
from lab_utils.grading.judge.twins import Twins
from lab_utils.grading.judge.wire import Channel
from lab_utils.grading.judge.writer import Writer, script_bytes
from lab_utils.progress.limits import abandon

_RAISED = "_triton_lab_raised"


class Gone(RuntimeError):
    """The judge has ended the check."""


class _Unpacker(pickle.Unpickler):
    """Reads what the judge sends: it is trusted."""

    def __init__(self, data: bytes, servant: Servant, call: int) -> None:
        super().__init__(io.BytesIO(data))
        self._servant, self._call = servant, call

    def persistent_load(self, pid: Any) -> Any:
        """What stands here for an object at the judge's."""
        kind, number, *more = pid
        servant = self._servant
        if kind == "own":
            return servant.kept[number]
        if kind == "module":
            return servant.twins.take(number, *more)
        if kind == "coroutine":
            return servant.remember(coroutine_stub(servant, self._call, number), None)
        if kind == "script":
            return servant.remember(_load_script(more[0]), number)
        if kind == "iterator":
            return servant.remember(IteratorStub(servant, self._call, number), number)
        made = function_stub if kind == "function" else ObjectStub
        return servant.remember(made(servant, self._call, number, *more), number)


def _load_script(content: bytes) -> Any:
    import torch

    return torch.jit.load(io.BytesIO(content))


class Servant:
    """Serves one check.

    Args:
        channel: The connection to the judge.
        namespace: Where the answers are, by name.

    Attributes:
        kept: Objects that could not travel, by number.
        twins: Twins of the judge's PyTorch modules.
        waiting: Event loop and future of each coroutine of the judge's that is awaited here, by number.
    """

    def __init__(self, channel: Channel, namespace: Mapping[str, Any]) -> None:
        self._channel, self._namespace = channel, namespace
        self.kept: list[Any] = []
        self.twins = Twins()
        self.waiting: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = {}
        self._stubs: dict[int, tuple[Any, int]] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._requests: dict[int, tuple[threading.Event, list[Any]]] = {}
        self._numbers = itertools.count(1)
        self._closed = False

    def keep(self, value: Any) -> int:
        """See `Keeper`."""
        self.kept.append(value)
        return len(self.kept) - 1

    def number_of_given(self, value: Any) -> int | None:
        """See `Keeper`."""
        known = self._stubs.get(id(value))
        return known[1] if known is not None and known[0] is value else None

    def remember(self, stub: Any, number: int | None) -> Any:
        """Know a stub again when a student's function hands it back."""
        if number is not None:
            self._stubs[id(stub)] = (stub, number)
        return stub

    def serve(self) -> Any:
        """Do what the judge asks until it gives its last word.

        Returns:
            The last word.

        Raises:
            Lost: The judge is gone.
        """
        before = threading.excepthook
        threading.excepthook = lambda args: self._unseen(args, before)
        try:
            while True:
                kind, number, data = pickle.loads(self._channel.receive())
                if kind == "verdict":
                    return data
                self._dispatch(kind, number, data)
        finally:
            threading.excepthook = before
            self._closed = True
            for event, _ in list(self._requests.values()):
                event.set()
            for thread in list(self._threads.values()):
                abandon(thread)

    def tell(self, *message: Any) -> None:
        """Send a message to the judge."""
        self._channel.send(Writer(self).write(list(message)))

    def new_key(self) -> int:
        """A number for a coroutine that is started from here: the judge's own are not negative."""
        return -next(self._numbers)

    def invoke(self, call: int, number: int, method: str, args: Any, kwargs: Any) -> Any:
        """Call something of the judge's, and wait for its answer or error."""
        return self.request("invoke", call, number, method, args, kwargs)

    def request(self, kind: str, call: int, *what: Any) -> Any:
        """Ask the judge within a call."""
        if self._closed:
            raise Gone("the check is over")
        number, event, answer = next(self._numbers), threading.Event(), list[Any]()
        self._requests[number] = (event, answer)
        try:
            self.tell(kind, call, number, *what)
            while not event.wait(0.2):  # in pieces: an abandoned thread wakes up here
                pass
        finally:
            del self._requests[number]
        if not answer:
            raise Gone("the check is over")
        answered, data = answer
        value = _Unpacker(data, self, call).load()
        if answered == "answer":
            return value
        about, raised, state = value
        if about["kinds"][0] == ["builtins", "StopIteration"]:
            raise StopIteration
        error = rebuild_error(about, trusted=True)
        error.__dict__.update(state)
        setattr(error, _RAISED, raised)
        raise error

    def _dispatch(self, kind: str, number: int, data: Any) -> None:
        if kind == "do":
            thread = threading.Thread(
                target=self._do, args=(number, data), name="triton-lab-check", daemon=True
            )
            self._threads[number] = thread
            thread.start()
        elif kind == "cancel":
            if (running := self._threads.get(number)) is not None:
                abandon(running)
        elif kind == "ready":
            if number in self.waiting:
                loop, future = self.waiting[number]
                loop.call_soon_threadsafe(lambda: None if future.done() else future.set_result(None))
        elif number in self._requests:
            event, answer = self._requests[number]
            answer += [kind, data]
            event.set()

    def _do(self, call: int, data: bytes) -> None:
        """One task of the judge's, in a thread of its own."""
        try:
            try:
                task, *what = _Unpacker(data, self, call).load()
                value = self._tasks[task](self, *what)
                message = Writer(self).write(["value", call, value, self.twins.changes()])
            except BaseException as error:
                about = describe_error(error, getattr(error, _RAISED, None))
                message = Writer(self).write(["error", call, about, self._changes()])
            self._channel.send(message)
        except (
            BaseException
        ):  # the check is over, or was: nobody is to hear of it, nor see it in the notebook
            return
        finally:
            if self._threads.get(call) is threading.current_thread():  # the call may go on in another one
                del self._threads[call]

    def _changes(self) -> dict[int, Any]:
        try:
            return self.twins.changes()
        except Exception:
            return {}

    def _unseen(self, args: Any, before: Callable[[Any], Any]) -> None:
        """Tell the judge of an error that ended a thread, which nobody else sees."""
        before(args)
        try:
            self.tell("unseen", 0, describe_error(args.exc_value or args.exc_type()))
        except Exception:
            return

    def _resolve(self, names: list[str]) -> dict[str, Any]:
        return {name: self._namespace[name] for name in names}

    def _call(self, number: int, args: Any, kwargs: Any) -> Any:
        return self.kept[number](*args, **kwargs)

    def _each(self, number: int, cases: list[Any]) -> list[Any]:
        function = self.kept[number]
        return [function(*case) for case in cases]

    def _await(self, number: int) -> Any:
        return asyncio.run(self.kept[number])

    def _iterate(self, number: int) -> Iterator[Any]:
        return iter(self.kept[number])

    def _pull(self, number: int, most: int) -> list[Any]:
        return list(itertools.islice(self.kept[number], most))

    def _refresh(self, states: Any) -> None:
        self.twins.refresh(states)

    def _script(self, number: int) -> bytes | None:
        return script_bytes(self.kept[number])

    _tasks: ClassVar[dict[str, Callable[..., Any]]] = {
        "resolve": _resolve,
        "call": _call,
        "each": _each,
        "await": _await,
        "iterate": _iterate,
        "pull": _pull,
        "refresh": _refresh,
        "script": _script,
    }

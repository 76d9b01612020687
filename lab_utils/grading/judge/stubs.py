"""The kernel's side of what stays with the judge: functions, counters, iterators and coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab_utils.grading.judge.serving import Servant


def function_stub(servant: Servant, call: int, number: int, name: str, is_async: bool) -> Callable[..., Any]:
    """A function that runs in the judge's process.

    Args:
        servant: The connection.
        call: The call in which it was given; it can be used until that ends.
        number: The judge's number of it.
        name: Its name.
        is_async: Whether it is a coroutine function.
    """
    made: Callable[..., Any]
    if is_async:

        async def waiting(*args: Any, **kwargs: Any) -> Any:
            # One message makes the coroutine and its first step: many are started at once.
            return await coroutine_stub(servant, call, servant.new_key(), (number, args, kwargs))

        made = waiting
    else:

        def calling(*args: Any, **kwargs: Any) -> Any:
            return servant.invoke(call, number, "", args, kwargs)

        made = calling
    made.__name__ = made.__qualname__ = name
    return made


class ObjectStub:
    """An object at the judge's with a few methods."""

    def __init__(self, servant: Servant, call: int, number: int, name: str, methods: tuple[str, ...]) -> None:
        self._name = name
        for method in methods:
            setattr(self, method, self._method(servant, call, number, method))

    @staticmethod
    def _method(servant: Servant, call: int, number: int, method: str) -> Callable[..., Any]:
        def calling(*args: Any, **kwargs: Any) -> Any:
            return servant.invoke(call, number, method, args, kwargs)

        calling.__name__ = method
        return calling

    def __repr__(self) -> str:
        return f"<{self._name}>"


class IteratorStub:
    """An iterator at the judge's."""

    def __init__(self, servant: Servant, call: int, number: int) -> None:
        self._next = lambda: servant.invoke(call, number, "__next__", (), {})

    def __iter__(self) -> IteratorStub:
        return self

    def __next__(self) -> Any:
        return self._next()


async def coroutine_stub(
    servant: Servant, call: int, key: int, start: tuple[int, Any, Any] | None = None
) -> Any:
    """A coroutine at the judge's, awaited here.

    Each of its steps, from one `await` to the next, is asked for by this event loop, which stands still
    meanwhile: a step that blocks holds this loop up, and a loop that is held up makes no step. So times are
    as if the coroutine ran here.

    Args:
        servant: The connection.
        call: The call in which it was given.
        key: The judge's number of it, or our own for one that begins now.
        start: Number, arguments and keyword arguments of the coroutine function, for one that begins now.
    """
    loop = asyncio.get_running_loop()
    ended = False
    task: tuple[Any, ...] = ("step", key) if start is None else ("start", key, *start)
    try:
        while True:
            ready: asyncio.Future[None] = loop.create_future()
            servant.waiting[key] = (loop, ready)
            done, value = servant.request(task[0], call, *task[1:])
            task = ("step", key)
            if done:
                ended = True
                return value
            await ready
    finally:
        servant.waiting.pop(key, None)
        if not ended:
            servant.tell("close", call, key)

"""Hands answers to their receivers on threads of its own, so that no receiver makes the computation wait."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lab_utils.llama.engine.request import Output

OnOutput = Callable[[Output], None]
STUCK_S = 0.25
"""A receiver that takes longer than this gets out of the way of the others."""
MOST_THREADS = 16
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Outbox:
    """What waits for one receiver. Everything that came up meanwhile goes out together.

    Attributes:
        on_output: The receiver.
        on_broken: Called when the receiver raises: nobody needs the rest of the answer.
    """

    on_output: OnOutput
    on_broken: Callable[[Exception], None]
    _texts: list[str] = field(default_factory=list)
    _tokens: list[int] = field(default_factory=list)
    _end: Output | None = None
    _listed: bool = False
    _closed: bool = False

    def take(self) -> Output:
        """Everything that waits, as one output."""
        end = self._end or Output()
        piece = Output("".join(self._texts), tuple(self._tokens), end.finish_reason, end.error)
        self._texts, self._tokens, self._end = [], [], None
        self._closed = piece.final
        return piece


class Delivery:
    """A few threads that call the receivers.

    One receiver is never called by two threads at once, and gets its outputs in order. (Two threads that
    send on one response sender crash Triton 2.51.)

    Args:
        threads: Threads to begin with. While all of them are stuck in receivers, more are started.
    """

    def __init__(self, threads: int = 1) -> None:
        self._changed = threading.Condition()
        self._ready: deque[Outbox] = deque()
        self._closing = threading.Event()
        self._open = 0  # ends that no thread has begun to hand over
        self._ending: set[int] = set()  # threads that hand over an end
        self._threads: list[threading.Thread] = []
        self._busy_since: dict[int, float] = {}
        with self._changed:
            for _ in range(threads):
                self._start_thread()
        self._watcher = threading.Thread(target=self._watch, name="llama-delivery-watch", daemon=True)
        self._watcher.start()

    @property
    def undelivered(self) -> int:
        """Answers that are complete but not taken: they wait for a thread, or their receiver is stuck.

        An end that is being handed over does not count: its receiver may have it, and ask again already.
        """
        with self._changed:
            late = time.monotonic() - STUCK_S
            return self._open + sum(self._busy_since[thread] < late for thread in self._ending)

    def post(self, news: Iterable[tuple[Outbox, int | None, str, Output | None]]) -> None:
        """Add to outboxes, all of one step at once.

        Args:
            news: Outbox, new token, new text, and the end if this is it (its text and tokens are not used).
        """
        with self._changed:
            count = 0
            for box, token, text, end in news:
                if box._closed or box._end is not None:
                    continue
                if token is not None:
                    box._tokens.append(token)
                if text:
                    box._texts.append(text)
                if end is not None:
                    box._end = end
                    self._open += 1
                if not box._listed:
                    box._listed = True
                    self._ready.append(box)
                    count += 1
            if count:
                self._changed.notify(count)

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what waits, then end the threads. A receiver that is stuck is left behind."""
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
        self._watcher.join()
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))

    def _start_thread(self) -> None:
        # Daemons: a receiver that never returns must not keep the process alive.
        name = f"llama-delivery-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _watch(self) -> None:
        """Start one more thread whenever answers wait and all threads are stuck."""
        while not self._closing.wait(STUCK_S):
            with self._changed:
                stuck = self._ready and len(self._busy_since) == len(self._threads) < MOST_THREADS
                if stuck and max(self._busy_since.values()) < time.monotonic() - STUCK_S:
                    self._start_thread()

    def _work(self) -> None:
        me = threading.get_ident()
        while True:
            with self._changed:
                while not self._ready and not self._closing.is_set():
                    self._changed.wait()
                if not self._ready:
                    return
                box = self._ready.popleft()
                self._busy_since[me] = time.monotonic()
                piece = box.take()
                if piece.final:
                    self._open -= 1
                    self._ending.add(me)
            try:
                box.on_output(piece)
            except Exception as error:
                _log.warning("The receiver of an answer raised %s: %s", type(error).__name__, error)
                box.on_broken(error)
            with self._changed:
                del self._busy_since[me]
                self._ending.discard(me)
                if box._tokens or box._texts or box._end is not None:
                    self._ready.append(box)
                else:
                    box._listed = False

"""The live dashboard of a notebook: what the server does, second by second."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab_utils.errors import LabError
from lab_utils.monitoring.dashboard_history import History
from lab_utils.monitoring.dashboard_view import DashboardView, table_text
from lab_utils.monitoring.samples import MetricsError, Where, metrics_url, scrape
from lab_utils.server import manage
from lab_utils.server.base import Endpoints

if TYPE_CHECKING:
    import ipywidgets as widgets

SHORTEST = 0.2
"""Seconds between two refreshes at least: Triton itself renews its machine metrics only every 2 s."""
_GONE_SECONDS = 5.0
"""A panel that is on no screen for so long is closed. (When a cell runs again, it is away for a moment.)"""
_KEPT_EVENTS = 3
_started: weakref.WeakSet[Dashboard] = weakref.WeakSet()


class Dashboard:
    """Shows a server's metrics in a notebook, live: rates, latency, queue, batches, Llama, machine.

    ```python
    dashboard = Dashboard(lab.server, seconds=120)
    dashboard.show()
    ```
    It reads the metrics page in a thread of its own, so it goes on while a cell runs. Each value is taken
    over the last 5 seconds. It ends after `seconds`, with its button, with `stop()`, when its panel is
    closed, when another dashboard of the same server starts, and with the kernel. When the server stops
    answering, it says so, keeps asking, and goes on when the server is back.

    Args:
        server: What to watch: a server, its endpoints, `host:port` of its metrics, or a function that gives
            one of them. A server that comes back at another address is found by its name.
        models: The models with lines. Default: those that were asked lately, at most five.
        every: Seconds between two refreshes.
        seconds: After so many seconds it stops itself.

    Raises:
        MetricsError: `every` or `seconds` is too small.
    """

    def __init__(
        self,
        server: Where,
        models: Sequence[str] | None = None,
        *,
        every: float = 1.0,
        seconds: float = 600.0,
    ) -> None:
        if every < SHORTEST or seconds < every:
            raise MetricsError(
                f"every is {every:g} and seconds is {seconds:g}.",
                fix=f"Give an `every` of at least {SHORTEST:g} s, and `seconds` that are not shorter.",
            )
        self._where: Where = server
        self.every, self.seconds = every, seconds
        self._models = [models] if isinstance(models, str) else models
        self._history = History(every, self._models)
        self._view = DashboardView(self._press, lambda: self._finish("its panel was closed"))
        self._events: deque[str] = deque(maxlen=_KEPT_EVENTS)
        self._silent_since: float | None = None
        self._why_silent = ""
        self._state = "Not started."
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._view.say([self._state])

    @property
    def widget(self) -> widgets.VBox:
        """The panel."""
        return self._view.widget

    @property
    def running(self) -> bool:
        """True while it refreshes itself."""
        return self._thread is not None

    @property
    def status(self) -> str:
        """The words of the panel, several lines: its state, whether the server answers, what happened."""
        return "\n".join(self._words())

    def show(self) -> widgets.VBox:
        """Start, and give the panel: as the last line of a cell it is displayed."""
        self.start()
        return self.widget

    def start(self) -> Dashboard:
        """Refresh in the background for `seconds`. Does nothing while it runs."""
        with self._lock:
            if self._thread is not None:
                return self
            for other in list(_started):
                if other is not self and other.running and other._address() == self._address():
                    other._finish("another dashboard of this server was started")
            _started.add(self)
            self._view.forget()
            self._closing = threading.Event()
            end = time.time() + self.seconds
            self._state = f"Running; it stops itself at {_clock(end)}."
            self._view.running(True)
            self._thread = threading.Thread(
                target=self._run, args=(self._closing,), name="dashboard", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop refreshing. What is drawn stays. Does nothing when it does not run."""
        thread = self._thread
        self._finish("you stopped it")
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def refresh(self) -> None:
        """Read the page once and draw: what the background does every `every` seconds."""
        with self._lock:
            try:
                page = scrape(self._where, timeout=max(1.0, self.every))
            except LabError as error:
                self._silence(error)
            else:
                restarted = self._history.add(page)
                self._heard(page.at, restarted)
            self._draw()

    def text(self) -> str:
        """The words and the newest values in plain text, for a terminal."""
        with self._lock:
            return f"{self.status}\n{table_text(self._history)}"

    def _draw(self) -> None:
        self._view.show(self._history, time.time())
        self._view.say(self._words())

    def _words(self) -> list[str]:
        lines = [self._state]
        if self._silent_since is not None:
            lines.append(
                f"The server has not answered since {_clock(self._silent_since)}; the panel keeps asking. "
                f"{self._why_silent}"
            )
        missing = self._missing()
        if missing:
            lines.append(f"The server has no metrics of {', '.join(missing)}: not loaded, or another name.")
        return lines + list(self._events)

    def _missing(self) -> list[str]:
        """The wanted models that the server does not know."""
        page = self._history.last
        if not self._models or page is None or self._silent_since is not None:
            return []
        name = "nv_inference_request_success"
        there = page.labels_of(name, "model") if page.has(name) else []
        return [f"`{model}`" for model in self._models if model not in there]

    def _silence(self, error: LabError) -> None:
        now = time.time()
        if self._silent_since is None:
            self._silent_since = now
        self._why_silent = error.what
        self._history.hole(now)
        self._look_elsewhere()

    def _look_elsewhere(self) -> None:
        """Find a server of ours that was started again: it may have other ports."""
        where = self._where
        if isinstance(where, (str, Endpoints)) or callable(where) or where.runtime == "remote":
            return
        found = manage.find(where.name)
        if found is not None:
            self._where = found

    def _heard(self, at: float, restarted: bool) -> None:
        back, self._silent_since = self._silent_since is not None, None
        if restarted:
            what = "the server" if back else "the server or a model"
            self._events.append(f"{_clock(at)} Counters began at 0 again: {what} was started anew.")
        elif back:
            self._events.append(f"{_clock(at)} The server answers again.")

    def _address(self) -> str:
        try:
            return metrics_url(self._where)
        except LabError:
            return ""

    def _press(self) -> None:
        if self.running:
            self._finish("you stopped it")
        else:
            self.start()

    def _run(self, closing: threading.Event) -> None:
        begin = due = time.monotonic()
        gone_since: float | None = None
        try:
            while not closing.is_set():
                self.refresh()
                now = time.monotonic()
                gone_since = (gone_since or now) if self._view.gone else None
                if gone_since is not None and now - gone_since >= _GONE_SECONDS:
                    return self._finish("its panel was closed", closing)
                # A refresh that took long is not made up for by several at once.
                due = max(due + self.every, now)
                if due - begin >= self.seconds:
                    closing.wait(max(0.0, begin + self.seconds - now))
                    return self._finish(f"its {self.seconds:g} s are over", closing)
                closing.wait(due - now)
        except Exception as error:
            # In a thread nobody would see it.
            self._finish(f"of an error, {type(error).__name__}: {error}", closing)
            raise

    def _finish(self, why: str, run: threading.Event | None = None) -> None:
        """End the run, and say why. With `run`: only if it is still that one."""
        with self._lock:
            if self._thread is None or (run is not None and run is not self._closing):
                return
            self._closing.set()
            self._thread = None
            _started.discard(self)
            self._state = f"Stopped at {_clock(time.time())} because {why}. Start goes on."
            self._view.running(False)
            self._view.say(self._words())

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = self.widget._repr_mimebundle_(**kwargs)
        data: dict[str, Any] = dict(bundle[0] if isinstance(bundle, tuple) else bundle or {})
        return {**data, "text/plain": self.text()}


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))

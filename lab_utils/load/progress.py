"""A line of progress for a person who waits: on a terminal or in a notebook, never in a file or a test."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any

_SHOW_AFTER = 1.0
_WIDTH = 30


class Progress:
    """A bar that appears after a second and goes away at the end.

    Args:
        title: What runs.
        seconds: How long it should take; None when that is not known.
        wanted: False: never show it.
    """

    def __init__(self, title: str, seconds: float | None, wanted: bool = True) -> None:
        self.title = title
        self.seconds = seconds
        self._notebook = wanted and "ipykernel" in sys.modules and _in_kernel()
        quiet = "PYTEST_CURRENT_TEST" in os.environ
        self._terminal = wanted and not self._notebook and not quiet and sys.stderr.isatty()
        self._begin = self._shown = 0.0
        self._handle: Any = None
        self._written = False

    def __enter__(self) -> Progress:
        self._begin = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)
        if self._written:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def tick(self) -> None:
        """Show the present state, at most five times a second."""
        now = time.monotonic()
        if (
            now - self._begin < _SHOW_AFTER
            or now - self._shown < 0.2
            or not (self._notebook or self._terminal)
        ):
            return
        self._shown = now
        line = self.line(now - self._begin)
        if self._notebook:
            from IPython.display import display

            if self._handle is None:
                self._handle = display({"text/plain": line}, raw=True, display_id=True)
            else:
                self._handle.update({"text/plain": line}, raw=True)
        else:
            self._written = True
            sys.stderr.write("\r\033[K" + line)
            sys.stderr.flush()

    def line(self, passed: float) -> str:
        """The line after `passed` seconds."""
        if not self.seconds:
            return f"{self.title}: {passed:.0f} s (Ctrl-C keeps what was measured)"
        share = min(1.0, passed / self.seconds)
        bar = ("#" * round(share * _WIDTH)).ljust(_WIDTH, ".")
        return f"{self.title} [{bar}] {passed:.0f} of {self.seconds:.0f} s (Ctrl-C keeps what was measured)"


def _in_kernel() -> bool:
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")

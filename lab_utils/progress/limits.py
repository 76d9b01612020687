"""Run a student's function under a time limit, and say which line of theirs went wrong."""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import linecache
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from lab_utils.paths import project_root


class TimeLimit(Exception):
    """The function did not return in time.

    Attributes:
        seconds: The limit that passed.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.seconds = seconds


class _Abandoned(BaseException):
    """Raised inside a thread whose time is over, so that a plain endless loop ends."""


def run_limited(function: Callable[..., Any], *args: Any, timeout: float = 30.0, **kwargs: Any) -> Any:
    """Call a function in a thread of its own and wait at most `timeout` seconds.

    The thread has no running event loop, so a function that calls `asyncio.run` works here although
    the notebook's own kernel already runs a loop. A coroutine is run to its end.

    Args:
        function: What to call.
        args: Its positional arguments.
        timeout: The limit in seconds.
        kwargs: Its keyword arguments.

    Returns:
        What the function returned.

    Raises:
        TimeLimit: It did not return in time. A thread that runs Python code is ended; one that is
            blocked inside a system call is left behind (it is a daemon thread).
        BaseException: Whatever the function raised, with its own traceback. `SystemExit` and
            `KeyboardInterrupt` are handed on too: they must not end the caller unseen.
    """
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            value = function(*args, **kwargs)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
            outcome["value"] = value
        except _Abandoned:
            pass
        except BaseException as error:
            outcome["error"] = error
        finally:
            _close_gevent()

    thread = threading.Thread(target=work, name="triton-lab-check", daemon=True)
    thread.start()
    try:
        thread.join(timeout)
    except BaseException:  # the student pressed "interrupt"
        abandon(thread)
        raise
    if thread.is_alive():
        abandon(thread)
        raise TimeLimit(timeout)
    if "error" in outcome:
        raise outcome["error"]
    return outcome.get("value")


def _close_gevent() -> None:
    """Close the event loop (two descriptors) that tritonclient's HTTP client leaves in the thread.

    gevent makes a hub for every thread, and whoever ends the thread must destroy it:
    https://www.gevent.org/api/gevent.hub.html#gevent.hub.Hub.destroy
    """
    if hubs := sys.modules.get("gevent._hub_local"):  # `gevent.get_hub()` would make one
        hub = hubs.get_hub_if_exists()
        if hub is not None:
            hub.destroy()


def abandon(thread: threading.Thread) -> None:
    """Ask a thread to end at its next Python instruction.

    One that has ended is left alone: the system gives its number to the next thread.
    """
    if thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_Abandoned))


def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"]}
    folders.add(str(project_root() / "lab_utils"))
    return tuple(str(Path(folder)) + "/" for folder in folders)


def student_line(traceback: TracebackType | None) -> str:
    """The innermost line of a traceback that the student wrote, as `line 3: return x`.

    Frames of the standard library, of installed packages and of `lab_utils` are passed over.
    Empty when there is none.
    """
    libraries = _library_folders()
    found = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith((*libraries, "<frozen")):
            text = linecache.getline(code.co_filename, traceback.tb_lineno).strip()
            found = f"line {traceback.tb_lineno} of {code.co_name}" + (f": {text}" if text else "")
        traceback = traceback.tb_next
    return found

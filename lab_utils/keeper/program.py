"""Start one program of ours and end it with the process that started it. Standard library only.

A Jupyter kernel is often shut down with SIGKILL, so nothing in the kernel can end its programs. The kernel
(Linux) offers PR_SET_PDEATHSIG, but it fires when the *thread* that started the program ends, and in a
notebook that may be any thread. This small process has one thread, which stays: it waits for the owner, and
the program dies with it in turn, also when this process itself is killed.

Called as `main` with a JSON text in `sys.argv[1]`: `argv`, `cwd`, `log` (a file, appended to), `owner` (pid
and start time), `grace` (s between SIGTERM and SIGKILL), `remove` (folders that go when the program ends).
Ends with the program's exit code, or 128 + the number of the signal that ended it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab_utils.keeper.__main__ import _die_with
from lab_utils.keeper.identity import ProcessId


def keep(spec: dict[str, Any]) -> int:
    """Start the program, wait for its end or a reason to end it; returns its exit code."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    owner = ProcessId(**spec["owner"])
    with Path(spec["log"]).open("ab", buffering=0) as log:
        child = subprocess.Popen(
            spec["argv"],
            cwd=spec["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=functools.partial(_die_with, os.getpid()),
        )
    poller = select.poll()
    for pid in (child.pid, owner.pid):
        with contextlib.suppress(OSError):  # gone already: the loop below sees it
            poller.register(os.pidfd_open(pid), select.POLLIN)
    while child.poll() is None and not asked and owner.alive():
        poller.poll(200)
    if child.poll() is None:
        child.terminate()
        child.send_signal(signal.SIGCONT)  # a stopped process gets no SIGTERM until it goes on
        try:
            child.wait(spec["grace"])
        except subprocess.TimeoutExpired:
            child.kill()
    code = child.wait()
    for folder in spec["remove"]:
        shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


def main() -> int:
    """Read the spec and keep the program."""
    return keep(json.loads(sys.argv[1]))

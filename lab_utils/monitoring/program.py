"""One program of the monitoring stack: started on a free port, watched, ended, its log kept."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx

from lab_utils import web
from lab_utils.keeper.identity import MARKER, ProcessId, kill_all, marked
from lab_utils.monitoring.tools import MonitoringError
from lab_utils.paths import project_root
from lab_utils.server.ports import LOOPBACK, free_ports

_ATTEMPTS = 3
_GRACE = 5.0
_PORT_TAKEN = "address already in use"
# -I -S: the keeper needs the standard library alone; so it starts faster and stays small.
_KEEPER_CODE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from lab_utils.keeper.program import main
sys.exit(main())
"""
_ERROR_TEXT = re.compile(r'\berr="((?:[^"\\]|\\.)*)"|\berr=(\S+)')
_MESSAGE = re.compile(r'\bmsg="((?:[^"\\]|\\.)*)"|\bmsg=(\S+)')


class Program:
    """A program with an HTTP port on loopback that ends with the process that started it.

    Args:
        name: Its name in messages; its log is `NAME.log` in `folder`.
        folder: Where its log lies, and its data while it runs.
        command: Makes the command line for a port and a data folder.
        ours: True when the program that answers at this URL is the one that `command` describes. On a
            shared machine another one may have taken the port a moment before.
        cwd: The folder to start it in. Default: `folder`.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Callable[[int, Path], list[str]],
        ours: Callable[[str], bool],
        *,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.log_path = folder / f"{name}.log"
        self._command = command
        self._ours = ours
        self._cwd = cwd or folder
        self._keeper: subprocess.Popen[bytes] | None = None
        self._id = ""
        self._port = 0

    @property
    def url(self) -> str:
        """Its address. Raises `MonitoringError` while it does not run."""
        if self._keeper is None:
            raise MonitoringError(f"{self.name} has not been started.", fix="Call start(), or use `with`.")
        return f"http://{LOOPBACK}:{self._port}"

    def alive(self) -> bool:
        """True while the program runs."""
        return self._keeper is not None and self._keeper.poll() is None

    def start(self, timeout: float = 60.0) -> None:
        """Start it and wait until it is ready.

        Args:
            timeout: Limit in seconds.

        Raises:
            MonitoringError: It ended or did not answer. The message shows the decisive words of its log.
        """
        if self.alive():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _ATTEMPTS + 1):
            begin = self.log_path.stat().st_size if self.log_path.exists() else 0
            self._launch()
            try:
                self._wait_ready(timeout)
                return
            except BaseException as error:
                self.stop()
                log = self._log_from(begin)
                if isinstance(error, MonitoringError):
                    if _PORT_TAKEN in log and attempt < _ATTEMPTS:
                        continue  # taken by chance between our look and its start
                    error.details = decisive(log) + f"\nThe whole log: {self.log_path}"
                raise

    def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL. Its data goes, its log stays. Does nothing when it does not run."""
        if self._keeper is None:
            return
        self._keeper.terminate()
        try:
            self._keeper.wait(_GRACE + 3)
        except subprocess.TimeoutExpired:
            self._keeper.kill()  # the program dies with it
            self._keeper.wait()
        kill_all(marked(self._id))
        shutil.rmtree(self._data, ignore_errors=True)
        self._keeper = None

    @property
    def _data(self) -> Path:
        return self.folder / f"{self.name}-data"

    def _launch(self) -> None:
        me = ProcessId.of(os.getpid())
        if me is None:
            raise MonitoringError("This system has no /proc, which the monitoring programs are watched by.")
        (self._port,) = free_ports(1)
        shutil.rmtree(self._data, ignore_errors=True)  # of a run that was killed together with its keeper
        self._data.mkdir()
        self._id = uuid.uuid4().hex[:12]
        spec = {
            "argv": self._command(self._port, self._data),
            "cwd": str(self._cwd),
            "log": str(self.log_path),
            "owner": vars(me),
            "grace": _GRACE,
            "remove": [str(self._data)],
        }
        with self.log_path.open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _KEEPER_CODE, str(project_root()), json.dumps(spec)],
                env={**os.environ, MARKER: self._id},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is for the notebook alone
            )

    def _wait_ready(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if not self.alive():
                raise MonitoringError(
                    f"{self.name} ended while it was starting.",
                    why="The decisive words of its log stand below.",
                    fix="Mend what they name, then start it again.",
                )
            try:
                answer = web.get(f"{self.url}/-/ready", 2.0)
                if answer.status_code == 200 and self._ours(self.url):
                    return
            except (httpx.HTTPError, ValueError, KeyError):
                pass
            time.sleep(0.03)
        raise MonitoringError(
            f"{self.name} did not answer within {timeout:.0f} seconds.",
            why="The machine is very busy, or the program hangs.",
            fix="Try again with less other work on this machine.",
        )

    def _log_from(self, begin: int) -> str:
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as file:
            file.seek(begin)
            return file.read().decode(errors="replace")


def decisive(log: str) -> str:
    """The words of a log that say why a program ended: its errors, else its last three lines."""
    lines = [line for line in log.splitlines() if line.strip()]
    errors = []
    for line in lines:
        error = _ERROR_TEXT.search(line)
        message = _MESSAGE.search(line)
        if error:
            parts = [_plain(m) for m in (message, error) if m]
            errors.append(": ".join(parts))
        elif "level=error" in line or "error:" in line.lower():
            errors.append(_plain(message) if message else line)
    return "\n".join(dict.fromkeys(errors or lines[-3:]))


def _plain(match: re.Match[str]) -> str:
    quoted, bare = match.groups()
    return quoted.replace('\\"', '"').replace("\\n", "\n") if quoted is not None else bare

"""Start one tritonserver, watch it, and leave nothing behind when it ends. Standard library only.

Why a process of its own: a Jupyter kernel is shut down with SIGKILL, so nothing in the kernel can
clean up; and a killed tritonserver leaves its Python stubs and its regions in `/dev/shm` behind.
The keeper outlives both. It ends the server when it is told to (SIGTERM), when the starting process
is gone (lifetime `kernel`), or after hours without a request (lifetime `session`). It writes the
server's record, and in it how the server ended.

Called as `python -m lab_utils.keeper SPEC.json` by `lab_utils.server.embedded`.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import FrameType
from typing import Any

from lab_utils.keeper import hidden
from lab_utils.keeper.identity import ProcessId, boot_id, kill_all, marked, remove_regions

_PR_SET_PDEATHSIG = 1
_IDLE_POLL_SECONDS = 60.0
_RECORD_POLL_SECONDS = 1.0


def write_atomic(path: Path, data: dict[str, Any]) -> None:
    """Replace a JSON file in one step, so that a reader never sees half of it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.touch(mode=0o600)  # a record may hold a key
    temporary.write_text(json.dumps(data, indent=1))
    temporary.replace(path)


def _die_with(keeper: int) -> None:
    """In the child: ask the kernel for SIGKILL when the keeper dies, however it dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:  # it died before the request was made
        os._exit(1)


class Keeper:
    """Holds one server.

    Args:
        spec: What to start and how long to keep it: `id`, `argv`, `env`, `log`, `record_path`,
            `record`, `shm_prefix`, `exit_timeout` (s), `idle` (s, 0 for never), `metrics_url`,
            `parent` (pid and start time of the process to live with, or null), and `hidden` (pairs of an
            index in `argv` and the argument that no other user may read in its place).
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.record: dict[str, Any] = dict(spec["record"])
        self.record_path = Path(spec["record_path"])
        self.reason = ""
        parent = spec.get("parent")
        self.parent = ProcessId(parent["pid"], parent["started"]) if parent else None

    def run(self) -> int:
        """Start the server, keep it, clean up; returns the server's exit code."""
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if not self._is_ours():  # the starter was killed, and another start has taken the name since
            return 0
        with Path(self.spec["log"]).open("ab", buffering=0) as log:
            child = hidden.start(
                self.spec["argv"],
                dict(self.spec.get("hidden", [])),
                env=self.spec["env"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=functools.partial(_die_with, os.getpid()),
            )
        server = ProcessId.of(child.pid)
        me = ProcessId.of(os.getpid())
        self.record |= {
            "boot_id": boot_id(),
            "keeper": vars(me) if me else None,
            "server": vars(server) if server else {"pid": child.pid, "started": 0},
        }
        if self._is_ours():
            write_atomic(self.record_path, self.record)
        self._watch(child)
        code = self._end(child)
        self._clean_up(code)
        return 0

    def _is_ours(self) -> bool:
        """True while the record on disk is the one of this server.

        When it is gone, damaged, or of a newer server, nobody can find this server any more.
        """
        try:
            return bool(json.loads(self.record_path.read_text())["id"] == self.spec["id"])
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return False
        except OSError:
            return True  # a disk that fails for a moment is no reason to end a server

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        self.reason = self.reason or "stopped"

    def _watch(self, child: subprocess.Popen[bytes]) -> None:
        """Return when the server has ended or should end."""
        poller = select.poll()
        for pid in [child.pid, *([self.parent.pid] if self.parent else [])]:
            with contextlib.suppress(OSError):  # gone already: the loop below sees it
                poller.register(os.pidfd_open(pid), select.POLLIN)
        idle_since, last_count, next_look, next_record = time.monotonic(), -1.0, 0.0, 0.0
        idle_poll = min(_IDLE_POLL_SECONDS, self.spec["idle"] / 4)
        while child.poll() is None and not self.reason:
            if self.parent and not self.parent.alive():
                self.reason = "the process that started it ended"
                return
            if time.monotonic() >= next_record:
                next_record = time.monotonic() + _RECORD_POLL_SECONDS
                if not self._is_ours():
                    self.reason = "its record was removed, damaged or replaced"
                    return
            if self.spec["idle"] and time.monotonic() >= next_look:
                next_look = time.monotonic() + idle_poll
                count = self._request_count()
                if count != last_count:
                    idle_since, last_count = time.monotonic(), count
                elif time.monotonic() - idle_since > self.spec["idle"]:
                    self.reason = f"idle for {self.spec['idle'] / 3600:.1f} hours"
                    return
            poller.poll(200)

    def _request_count(self) -> float:
        """Sum of all request counters; -1 when the metrics cannot be read."""
        names = ("nv_inference_request_success{", "nv_inference_request_failure{")
        try:
            with urllib.request.urlopen(self.spec["metrics_url"], timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except (OSError, ValueError):
            return -1.0
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(names))

    def _end(self, child: subprocess.Popen[bytes]) -> int:
        """SIGTERM (Triton then drains), and SIGKILL when it takes too long."""
        if child.poll() is None:
            child.terminate()
            # A stopped process (SIGSTOP) gets no SIGTERM until it goes on.
            child.send_signal(signal.SIGCONT)
            try:
                child.wait(self.spec["exit_timeout"] + 4)
            except subprocess.TimeoutExpired:
                child.kill()
        return child.wait()

    def _clean_up(self, code: int) -> None:
        """End the stubs, remove the shared-memory regions, and write down how the server ended."""
        time.sleep(0.05)  # stubs that end by themselves get the chance
        me = os.getpid()
        kill_all(p for p in marked(self.spec["id"]) if p.pid != me)
        remove_regions(self.spec["shm_prefix"])
        self.record["ended"] = {
            "at": time.time(),
            "code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "reason": self.reason,
        }
        if self._is_ours():  # removed by `stop`: then nobody wants it any more
            write_atomic(self.record_path, self.record)


def main() -> int:
    """Read the spec and keep the server."""
    path = Path(sys.argv[1])
    spec = json.loads(path.read_text())
    path.unlink()
    return Keeper(spec).run()


if __name__ == "__main__":
    sys.exit(main())

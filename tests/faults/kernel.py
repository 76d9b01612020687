"""A stand-in for a Jupyter kernel: a process that starts a server and can be killed at any moment.

The processes are forked from a server that has imported the library already, so that one costs a
few milliseconds instead of half a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest  # noqa: F401  (loaded once in the fork server instead of in every kernel)

from lab_utils import server as triton
from lab_utils.errors import LabError
from lab_utils.server import Lifetime, Server

OPTIONS = (
    "--disable-auto-complete-config",
    "--exit-timeout-secs=0",
    "--model-control-mode=explicit",
    "--load-model=double",
)
ANSWER_SECONDS = 40.0


def serve(pipe: Connection, repository: Path, name: str, lifetime: Lifetime) -> None:
    """Obey `start` and `stop` until the pipe closes; answer (word, text) to each."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    server: Server | None = None
    try:
        while True:
            try:
                word = pipe.recv()
                if word == "start":
                    server = triton.start(
                        repository,
                        name=name,
                        lifetime=lifetime,
                        options=OPTIONS,
                        wait_for=["double"],
                        timeout=25,
                    )
                elif server is not None:
                    server.stop()
                pipe.send(("done", str(server.pid) if server else ""))
            except LabError as error:
                pipe.send(("error", str(error)))
            except KeyboardInterrupt:
                pipe.send(("interrupted", ""))
    except EOFError:
        return


class Kernel:
    """One such process, seen from the test."""

    def __init__(self, repository: Path, name: str, lifetime: Lifetime) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__", "tests.faults.kernel"])
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, repository, name, lifetime), daemon=True)
        self.process.start()
        other.close()

    @property
    def pid(self) -> int:
        """Its process id, which is its process group too."""
        assert self.process.pid is not None
        return self.process.pid

    def send(self, word: str) -> None:
        """Give an order without waiting for the answer."""
        self.pipe.send(word)

    def answer(self) -> tuple[str, str]:
        """The answer to the last order; `("killed", "")` when the process is gone."""
        try:
            assert self.pipe.poll(ANSWER_SECONDS), f"no answer within {ANSWER_SECONDS:.0f} s"
            answer: tuple[str, str] = self.pipe.recv()
            return answer
        except (EOFError, ConnectionResetError):
            return "killed", ""

    def order(self, word: str) -> tuple[str, str]:
        """Give an order and wait for its answer."""
        self.send(word)
        return self.answer()

    def kill(self) -> None:
        """SIGKILL, as Jupyter does it."""
        self.process.kill()
        self.process.join(10)

    def close(self) -> None:
        """Let it end by itself."""
        self.pipe.close()
        self.process.join(2)
        if self.process.is_alive():
            self.kill()

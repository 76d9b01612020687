"""TorchScript and exported programs that a student made, run in a process of their own.

Such a file is a program: to load it in the judge would be to trust it, and to believe what the kernel says of
it would be to trust that. So it goes to the workshop, a third process, which is asked for numbers alone.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_utils.grading.judge.codec import CodecError
from lab_utils.grading.judge.packing import Given, Kept
from lab_utils.grading.judge.wire import Channel
from lab_utils.paths import project_root

if TYPE_CHECKING:
    from lab_utils.grading.judge.peer import Peer

# The workshop finds the course where the judge did, whatever the environment says.
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from lab_utils.grading.judge.bench import main; main(int(sys.argv[2]))"
)


class Workshop:
    """A process that runs a student's programs. It starts when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._peer: Peer | None = None
        self._tasks: dict[str, Any] = {}

    def do(self, task: str, *what: Any) -> Any:
        """Ask it for something; see `bench`."""
        if self._peer is None:
            self._start()
        return self._tasks[task](*what)

    def close(self) -> None:
        """End it."""
        if self._peer is not None:
            self._peer.end("the check is over")
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._peer = None

    def _start(self) -> None:
        from lab_utils.grading.judge.bench import TASKS
        from lab_utils.grading.judge.peer import Peer

        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _START, str(project_root()), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._peer = Peer(Channel(ours), Given())
        self._peer.listen()
        self._tasks = self._peer.do("resolve", list(TASKS))


class Program:
    """A program in the workshop that can be called, such as what `torch.export.load` gives."""

    def __init__(self, workshop: Workshop, number: int) -> None:
        self._workshop, self._number = workshop, number

    def __call__(self, *inputs: Any) -> Any:
        """What it answers."""
        return self._workshop.do("run", self._number, "", inputs)


class _Kind:
    """What `torch.jit.save` asks a module's C++ half before it calls `save`."""

    def _type(self) -> str:
        return "of a student"


class RemoteScript(Kept):
    """A TorchScript module that a student's function returned.

    The object itself is in the kernel, its file in the workshop. When a module that the student was given is
    changed afterwards, the file is made again: an export that shares its weights with that module shows it.

    Args:
        peer: The kernel.
        workshop: Where it is run.
        number: The kernel's number of it.
        content: Its file.
    """

    _c = _Kind()

    def __init__(self, peer: Peer, workshop: Workshop, number: int, content: bytes) -> None:
        self.triton_lab_number = number
        self._peer, self._workshop, self._content = peer, workshop, content
        self._about: dict[str, Any] | None = None

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """For `isinstance`: it is what the workshop could load as TorchScript."""
        import torch

        return torch.jit.ScriptModule if self._loaded() else RemoteScript

    def __call__(self, *inputs: Any) -> Any:
        """What the module answers."""
        return self._run("", inputs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not self._workshop.do("has", self._now()["number"], name):
            raise AttributeError(f"the module has no attribute '{name}'")
        return self._method(name)

    def named_parameters(self) -> list[tuple[str, None]]:
        """Names of its parameters."""
        return [(str(name), None) for name in self._now()["parameters"]]

    def named_buffers(self) -> list[tuple[str, None]]:
        """Names of its buffers."""
        return [(str(name), None) for name in self._now()["buffers"]]

    def save(self, file: str | Path, **_: Any) -> None:
        """Write its file, as `torch.jit.save` wants it."""
        self._now()
        Path(file).write_bytes(self._content)

    def _method(self, name: str) -> Callable[..., Any]:
        return lambda *inputs: self._run(name, inputs)

    def _run(self, method: str, inputs: tuple[Any, ...]) -> Any:
        return self._workshop.do("run", self._now()["number"], method, inputs)

    def _loaded(self) -> bool:
        with contextlib.suppress(Exception):
            self._now()
        return self._about is not None

    def _now(self) -> dict[str, Any]:
        """What the workshop knows of the module as it is at this moment."""
        if self._peer.refresh():
            content = self._peer.do("script", self.triton_lab_number)
            if not isinstance(content, bytes):
                raise CodecError("the module cannot be saved any more")
            if content != self._content:
                self._content, self._about = content, None
        if self._about is None:
            about = self._workshop.do("load_script", self._content)
            if not isinstance(about, dict):
                raise CodecError("the workshop says nothing of the module")
            self._about = about
        return self._about

"""The workshop's side: loads a student's TorchScript and exported programs, and runs them for the judge."""

from __future__ import annotations

import io
import socket
import warnings
from typing import Any

from lab_utils.grading.judge.serving import Servant
from lab_utils.grading.judge.wire import Channel, Lost

_MOST = 1 << 30
TASKS = ("load_script", "load_program", "has", "run")


class Bench:
    """The programs that were loaded, by number."""

    def __init__(self) -> None:
        self._programs: list[Any] = []

    def load_script(self, content: bytes) -> dict[str, Any]:
        """Load a TorchScript file; its number, and the names of its parameters and buffers."""
        import torch

        module = torch.jit.load(io.BytesIO(content), map_location="cpu")
        self._programs.append(module)
        return {
            "number": len(self._programs) - 1,
            "parameters": [name for name, _ in module.named_parameters()],
            "buffers": [name for name, _ in module.named_buffers()],
        }

    def has(self, number: int, name: str) -> bool:
        """Whether a module has a method or an attribute."""
        return hasattr(self._programs[number], name)

    def load_program(self, file: str) -> int:
        """Load a torch.export program; its number."""
        import torch

        self._programs.append(torch.export.load(file).module())
        return len(self._programs) - 1

    def run(self, number: int, method: str, inputs: tuple[Any, ...]) -> Any:
        """One call of a program, or of a method of it."""
        import torch

        program = self._programs[number]
        with torch.no_grad():
            return (getattr(program, method) if method else program)(*inputs)


def main(descriptor: int) -> None:
    """Serve the judge at the other end of a socket until it is gone."""
    warnings.simplefilter("ignore")
    bench = Bench()
    tasks = {name: getattr(bench, name) for name in TASKS}
    try:
        Servant(Channel(socket.socket(fileno=descriptor), most=_MOST), tasks).serve()
    except Lost:
        return

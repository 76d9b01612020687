"""What `triton-lab up` is asked for."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Wish:
    """What `up` is asked for.

    Attributes:
        services: Names of services; empty: all.
        gpu: Triton gets the GPUs of this machine.
        build: Build the images that are built from this project.
        pull: Fetch the images that come from a registry and are not here.
        files: Compose files of your own, laid over ours.
        options: Options of the stack's tritonserver, as they are typed.
        repository: What it serves; None: the project's `model_repository/`.
        timeout: Seconds to wait until everything is healthy.
    """

    services: Sequence[str] = ()
    gpu: bool = False
    build: bool = False
    pull: bool = False
    files: tuple[Path, ...] = ()
    options: str = ""
    repository: Path | None = None
    timeout: float = 120.0

    def typed(self, *more: str) -> str:
        """The command that asks for the same services, for a message.

        Args:
            more: Options to add.
        """
        words = ["triton-lab", "up", *self.services, *(["--gpu"] if self.gpu else []), *more]
        words += [word for file in self.files for word in ("--file", str(file))]
        return shlex.join(words)

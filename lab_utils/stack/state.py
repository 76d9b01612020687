"""What is written down about the running stack, so that other programs of the course can use it.

Small and quick on purpose: each start of a server looks here, also where there is no engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab_utils import paths
from lab_utils.files import write_text


@dataclass(frozen=True)
class StackState:
    """The stack as `triton-lab up` left it.

    Attributes:
        project: Compose's project name; it stands in the labels of all containers, networks and volumes.
        network: The network of its containers.
        gpu: Whether it was started with a GPU.
        images: The image of each service.
        urls: The address of each published port, by `service` or `service.port` for Triton's three.
        secrets: The file of each secret.
    """

    project: str
    network: str
    gpu: bool = False
    images: Mapping[str, str] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The state as JSON values."""
        return {name: dict(v) if isinstance(v, Mapping) else v for name, v in vars(self).items()}


def folder() -> Path:
    """The stack's own folder in the state folder: its secrets, the targets for Prometheus, the state."""
    return paths.state_home() / "stack"


def targets_folder() -> Path:
    """Where the stack's Prometheus looks for servers of the labs: one JSON file each."""
    return folder() / "targets"


def _file() -> Path:
    return folder() / "state.json"


def read() -> StackState | None:
    """The stack that runs, as far as it was started with `triton-lab up`; None when there is none."""
    try:
        return StackState(**json.loads(_file().read_text()))
    except (OSError, TypeError, ValueError):
        return None


def write(state: StackState) -> None:
    """Keep the state of the stack that was started."""
    write_text(_file(), json.dumps(state.as_dict(), indent=2) + "\n")


def forget() -> None:
    """The stack does not run any more."""
    _file().unlink(missing_ok=True)


def triton_image() -> str | None:
    """The image of the stack's Triton: the labs' own containers use it too. None without a stack."""
    state = read()
    return state.images.get("triton") if state else None

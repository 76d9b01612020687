"""What ran before `up`: remembered, and put back when `up` fails.

Compose replaces a container whose settings have changed: it stops the old one, gives it another name, makes
and starts the new one, and removes the old one. Where it fails on the way the old one is left stopped under
that other name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab_utils.server.docker_engine import api_errors
from lab_utils.stack.containers import containers_of, remove, service_of


@dataclass(frozen=True)
class Former:
    """A container of the stack as it was.

    Attributes:
        name: Its name.
        service: Its service.
        running: Whether it ran.
    """

    name: str
    service: str
    running: bool


def remember(client: Any, project: str) -> dict[str, Former]:
    """The containers of a project now, by id."""
    return {
        one.id: Former(one.name, service_of(one), one.status == "running")
        for one in containers_of(client, project)
    }


def running(former: Mapping[str, Former]) -> set[str]:
    """The ids of those that ran."""
    return {id for id, one in former.items() if one.running}


def put_back(client: Any, project: str, former: Mapping[str, Former]) -> list[str]:
    """Remove what is new, and let those that were there be as they were.

    Args:
        client: The engine.
        project: Compose's project name.
        former: What was there, by id.

    Returns:
        The services that ran and run no more: their containers had been replaced and are gone.
    """
    for container in containers_of(client, project):
        if container.id not in former:
            remove(container)
    there = {container.id: container for container in containers_of(client, project)}
    lost = []
    for id, was in former.items():
        container = there.get(id)
        if container is not None:
            with contextlib.suppress(*api_errors()):
                if container.name != was.name:
                    container.rename(was.name)
                if was.running and container.status != "running":
                    container.start()
                container.reload()
        if was.running and (container is None or container.status != "running"):
            lost.append(was.service)
    return sorted(lost)

"""Look for everything that can be in the way, before anything is started: each fault has its own message."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from lab_utils.server.docker_line import size_in_bytes
from lab_utils.stack import faults
from lab_utils.stack.compose import bind_mounts, published
from lab_utils.stack.containers import containers_of, is_ours, service_of
from lab_utils.stack.settings import PORT_VARIABLES, Owner
from lab_utils.stack.settings import STACK_LABEL as LABEL
from lab_utils.stack.wish import Wish

SMALLEST_SHM = 128 << 20
"""Bytes of `/dev/shm` below which Triton with several Python models does not work."""
_LOOPBACK = ("127.", "::1", "localhost")
_MOST_FILES = 2000


def check_name(client: Any, project: str) -> None:
    """Containers of this project name are ours.

    Raises:
        StackError: NAME_TAKEN.
    """
    for container in containers_of(client, project):
        if not is_ours(container):
            raise faults.name_taken(project, container.labels.get(LABEL, ""))


def missing_images(
    client: Any, config: Mapping[str, Any], services: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The images that are not here, by service: those that are built, and those that are fetched."""
    import docker

    built: dict[str, str] = {}
    pulled: dict[str, str] = {}
    for name in services:
        service = config["services"][name]
        try:
            client.images.get(service["image"])
        except docker.errors.APIError:  # not found, or a name that cannot be one
            (built if service.get("build") else pulled)[name] = service["image"]
    return built, pulled


def check_port_variables() -> None:
    """Every variable that moves a port holds a port. Compose's own words about it name no variable.

    Raises:
        StackError: PORT_NUMBER.
    """
    for variable in PORT_VARIABLES.values():
        text = os.environ.get(variable, "")
        if text and not (text.isdecimal() and 0 < int(text) < 65536):
            raise faults.no_port(variable, text)


def check_ports(
    client: Any, project: str, config: Mapping[str, Any], services: Sequence[str], wish: Wish
) -> None:
    """Every port that is published is free and wanted once, or our running stack has it already.

    Raises:
        StackError: PORT_TAKEN, with the program or container that has it and the variable that moves ours.
    """
    running = {service_of(c) for c in containers_of(client, project) if c.status == "running"}
    wanted: dict[int, str] = {}
    for name in services:
        for port in published(config["services"][name]):
            variable = PORT_VARIABLES.get(port.inner, "")
            if port.outer in wanted:
                raise faults.same_port(port.outer, wanted[port.outer], variable or name)
            wanted[port.outer] = variable or name
            if name not in running and not _free(port.host, port.outer):
                raise faults.port_taken(name, port.outer, variable, _publisher(client, port.outer), wish)


def _publisher(client: Any, port: int) -> str:
    """The name of the container that publishes a port of this machine; empty: none of this engine does."""
    for container in client.containers.list(ignore_removed=True):
        for bindings in (container.ports or {}).values():
            if any(binding["HostPort"] == str(port) for binding in bindings or ()):
                return str(container.name)
    return ""


def warn_without_gpu(client: Any, say: Callable[[str], None]) -> None:
    """Say so before a long build when neither the engine nor this machine shows a GPU. It may be wrong."""
    if shutil.which("nvidia-smi") is None and "nvidia" not in (client.info().get("Runtimes") or {}):
        say(
            "Note: this machine has no nvidia-smi, and the engine no NVIDIA runtime, so Triton will hardly "
            "get a GPU. Without `--gpu` it runs on the CPU."
        )


def open_ports(config: Mapping[str, Any], services: Sequence[str]) -> list[str]:
    """Ports that are open to more than this machine, in words. None by default."""
    return [
        f"Port {port.outer} of {name} is open to the network: whoever reaches it can use {name}."
        for name in services
        for port in published(config["services"][name])
        if not port.host.startswith(_LOOPBACK)
    ]


def _free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except OSError:
            return False
    return True


def check_shared_memory(config: Mapping[str, Any], services: Sequence[str]) -> None:
    """`/dev/shm` of each container that has a size for it is neither too small nor larger than the memory.

    Raises:
        StackError: SHARED_MEMORY.
        ServerError: It is not a size.
    """
    memory = psutil.virtual_memory().total
    for name in services:
        size = config["services"][name].get("shm_size")
        if size is None:
            continue
        number = size_in_bytes(str(size))
        if number < SMALLEST_SHM:
            raise faults.small_shared_memory(name, str(size), None)
        if number > memory:
            raise faults.small_shared_memory(name, str(size), memory)


def check_folders(config: Mapping[str, Any], services: Sequence[str], who: Owner) -> None:
    """What the containers mount is there, can be read by them, and written where they write.

    Args:
        config: The merged compose file.
        services: The services that will be started.
        who: The user of the containers that have one; the others (`nobody`) read as everybody.

    Raises:
        StackError: FOLDER, with the path, the cause and the command that mends it.
    """
    for name in services:
        service = config["services"][name]
        user = who if str(service.get("user", "")).startswith(f"{who.uid}:") else None
        for path, writable in bind_mounts(service):
            if not path.exists():
                raise faults.folder_unusable(
                    name,
                    str(path),
                    "It is not there. Docker would make an empty folder of that name, owned by root.",
                    "Make it, or run `git status` to see what is missing in the project.",
                )
            _check_access(name, path, writable, user)


def _check_access(name: str, path: Path, writable: bool, user: Owner | None) -> None:
    if writable and os.statvfs(path).f_flag & os.ST_RDONLY:
        raise faults.folder_unusable(
            name,
            str(path),
            "It is on a disk that is mounted read-only, and the container writes there.",
            "Mount that disk for writing, or set TRITON_LAB_WORK (TRITON_LAB_HOME) to a folder elsewhere.",
        )
    if writable and user is not None and not _may(path, user, write=True):
        owner = path.stat().st_uid
        raise faults.folder_unusable(
            name,
            str(path),
            f"It belongs to user {owner}; the container runs as user {user.uid}, who may not write there.",
            f"Give it to that user: `sudo chown -R {user.uid}:{user.gid} {path}`.",
        )
    for file in _some_files(path):
        if not _may(file, user, write=False):
            whose = f"user {user.uid}" if user else "another user than you"
            raise faults.folder_unusable(
                name,
                str(file),
                f"The container runs as {whose}, who may not read it.",
                f"Make it readable: `chmod -R go+rX {path}`.",
            )
        if writable:
            break  # a student's whole work is not looked through: the folder itself decides


def _some_files(path: Path) -> Iterator[Path]:
    """The path and what lies below it, sorted, but for what is hidden: programs keep private files there."""
    yield path
    count = 0
    if not path.is_dir() or len(path.parts) < 3:  # whole system folders, as tests mount them
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in (*folders, *sorted(name for name in files if not name.startswith("."))):
            count += 1
            if count > _MOST_FILES:
                return
            yield Path(folder) / name


def _may(path: Path, user: Owner | None, *, write: bool) -> bool:
    """Whether a user may read (and write) by the permission bits; containers may not overrule them."""
    try:
        status = path.stat()
    except OSError:
        return False
    read_bit, write_bit, go_bit = stat.S_IROTH, stat.S_IWOTH, stat.S_IXOTH
    need = read_bit | (write_bit if write else 0) | (go_bit if stat.S_ISDIR(status.st_mode) else 0)
    if user is not None and status.st_uid == user.uid:
        need <<= 6
    elif user is not None and status.st_gid == user.gid:
        need <<= 3
    return status.st_mode & need == need

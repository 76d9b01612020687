"""What a container of ours is made of, as a call of the docker SDK and as a `docker run` line.

Both come from one `ContainerSpec`, so the line that Lab 1 teaches is the container that runs.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lab_utils.server import options as _options
from lab_utils.server import ports as _ports
from lab_utils.server.base import ServerError

CONTAINER_PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}
"""Triton's default ports inside the container."""
MODELS = "/models"
"""Where the model repository is seen inside the container."""
EXIT_TIMEOUT = 5
"""Seconds that Triton waits for requests when it is told to end: below `docker stop`'s own 10 seconds."""

_SIZE = re.compile(r"(?P<number>\d+)(?P<unit>[bkmg]?)b?", re.IGNORECASE)


def size_in_bytes(text: str) -> int:
    """Bytes of a size in docker's notation: `64m`, `1g`, `1073741824`.

    Raises:
        ServerError: It is not a size.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found or not int(found["number"]):
        raise ServerError(
            f"`{text}` is not a size.",
            why="Docker writes a size as a whole number and a unit: b, k, m or g.",
            fix="Write, for example, `1g` or `512m`.",
        )
    return int(found["number"]) * 1024 ** "bkmg".index((found["unit"] or "b").lower())


@dataclass(frozen=True)
class Mount:
    """A folder or file of this machine that the container sees."""

    host: str
    container: str
    writable: bool = False

    def __post_init__(self) -> None:
        if ":" in self.host or ":" in self.container:
            raise ServerError(
                f"The path `{self.host if ':' in self.host else self.container}` cannot be mounted.",
                why="A colon separates the parts of docker's `-v` option, so a path cannot hold one.",
                fix="Move the folder to a path with no colon.",
            )

    @property
    def bind(self) -> str:
        """As in `-v`: host path, container path, and `ro` unless it is writable."""
        return f"{self.host}:{self.container}" + ("" if self.writable else ":ro")


@dataclass(frozen=True)
class ContainerSpec:
    """All that decides about a container.

    Attributes:
        command: The command line inside the container: `tritonserver` and its options.
        ports: Container port to host port; the host side is always loopback.
        gpus: What `--gpus` gets; empty for no GPU request.
        user: `uid:gid` that the container runs as; empty: the image's own user.
    """

    image: str
    name: str
    command: tuple[str, ...]
    ports: Mapping[int, int]
    mounts: tuple[Mount, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    shm_size: str = "1g"
    ipc: str = ""
    memory: str = ""
    ulimits: tuple[tuple[str, int], ...] = ()
    gpus: str = ""
    user: str = ""

    def to_json(self) -> str:
        """The spec without its labels, to be kept in one of them."""
        return json.dumps({k: v for k, v in asdict(self).items() if k != "labels"})

    @classmethod
    def from_json(cls, text: str, labels: Mapping[str, str]) -> ContainerSpec:
        """The opposite of `to_json`."""
        data = json.loads(text)
        data["command"] = tuple(data["command"])
        data["ports"] = {int(inner): outer for inner, outer in data["ports"].items()}
        data["mounts"] = tuple(Mount(**mount) for mount in data["mounts"])
        data["ulimits"] = tuple((name, value) for name, value in data["ulimits"])
        return cls(**data, labels=labels)

    def sdk_arguments(self) -> dict[str, Any]:
        """The keyword arguments of `docker.DockerClient.containers.create`."""
        from docker.types import DeviceRequest, Ulimit

        arguments: dict[str, Any] = {
            "image": self.image,
            "command": list(self.command),
            "name": self.name,
            "detach": True,
            "restart_policy": {"Name": "no"},
            "labels": dict(self.labels),
            "ports": {f"{inner}/tcp": (_ports.LOOPBACK, outer) for inner, outer in self.ports.items()},
            "volumes": [mount.bind for mount in self.mounts],
            "ulimits": [Ulimit(name=name, soft=value, hard=value) for name, value in self.ulimits],
        }
        if self.ipc:
            arguments["ipc_mode"] = self.ipc
        else:
            arguments["shm_size"] = size_in_bytes(self.shm_size)
        if self.user:
            arguments["user"] = self.user
        if self.memory:
            arguments["mem_limit"] = size_in_bytes(self.memory)
        if self.gpus:
            kind, _, ids = self.gpus.partition("=")
            count = -1 if self.gpus == "all" else int(self.gpus) if self.gpus.isdigit() else 0
            request = {"device_ids": ids.split(",")} if kind == "device" else {"count": count}
            arguments["device_requests"] = [DeviceRequest(capabilities=[["gpu"]], **request)]
        return arguments

    def run_line(self, *, labels: bool = False, detach: bool = True) -> list[list[str]]:
        """The equivalent `docker run`, as groups of words: one group per line of a printed command.

        Args:
            labels: Also the labels by which the course finds its containers again.
            detach: In the background, as the course runs it.
        """
        groups = [["docker", "run", *(["-d"] if detach else []), "--name", self.name]]
        if self.gpus:
            # Docker reads the value as CSV: a list of devices needs quotes of its own.
            groups.append(["--gpus", f'"{self.gpus}"' if "," in self.gpus else self.gpus])
        if self.user:
            groups.append(["--user", self.user])
        groups.append([f"--ipc={self.ipc}"] if self.ipc else [f"--shm-size={self.shm_size}"])
        if self.ulimits:
            groups.append([w for name, value in self.ulimits for w in ("--ulimit", f"{name}={value}")])
        if self.memory:
            groups.append([f"--memory={self.memory}"])
        groups += [["-p", f"{_ports.LOOPBACK}:{outer}:{inner}"] for inner, outer in self.ports.items()]
        groups += [["-v", mount.bind] for mount in self.mounts]
        if labels:
            groups += [["--label", f"{name}={value}"] for name, value in self.labels.items()]
        groups.append([self.image])
        program, *rest = self.command
        groups.append([program, *rest[:1]])
        groups += [[word] for word in rest[1:]]
        return groups


def as_text(groups: Sequence[Sequence[str]]) -> str:
    """A command as it is typed: one group per line, joined by backslashes, quoted for the shell."""
    return " \\\n    ".join(shlex.join(group) for group in groups)


def container_ports(options: Sequence[str]) -> dict[str, int]:
    """The ports inside the container, by service, as Triton's options set them."""
    ports = dict(CONTAINER_PORTS)
    for service in ports:
        given = _options.values(options, f"{service}-port")
        if given and given[-1].isdigit():
            ports[service] = int(given[-1])
    return ports


def command(options: Sequence[str]) -> tuple[str, ...]:
    """The command line inside the container; what the student gives wins over our defaults.

    Raises:
        ServerError: An option that cannot work in a container that is reached from outside.
    """
    for option in options:
        name = _options.option_name(option)
        if name in ("model-repository", "model-store"):
            raise ServerError(
                f"`{option}` cannot be given for a container.",
                why=f"A container sees no folder of this machine; the repository is mounted at {MODELS}.",
                fix="Give the folder as `repository`.",
            )
        if name.endswith("-address") and option.partition("=")[2] not in ("0.0.0.0", "::"):
            raise ServerError(
                f"`{option}` cannot be given for a container.",
                why="Inside a container that address is the container's own; nobody outside would reach it. "
                "The container's ports are published on 127.0.0.1 of this machine only.",
                fix="Leave it out.",
            )
    defaults = {"exit-on-error": "false", "exit-timeout-secs": str(EXIT_TIMEOUT)}
    ours = [f"--{name}={value}" for name, value in defaults.items() if not _options.values(options, name)]
    return ("tritonserver", f"--model-repository={MODELS}", *ours, *options)

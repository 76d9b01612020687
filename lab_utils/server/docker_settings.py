"""The settings of the docker runtime, each with a variable of the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from lab_utils.server.base import ServerError
from lab_utils.server.docker_line import Mount, size_in_bytes
from lab_utils.stack.state import triton_image

DEFAULT_IMAGE = "nvcr.io/nvidia/tritonserver:24.10-py3"
"""The NGC image with the same Triton (2.51.0) as the embedded server."""
ULIMITS = (("memlock", -1), ("stack", 67108864))
"""The limits of NVIDIA's own run line: locked memory without bound, 64 MiB of stack."""


@dataclass(frozen=True)
class DockerSettings:
    """The settings of the docker runtime. Each has a variable of the environment.

    Attributes:
        image: `TRITON_LAB_IMAGE`; without it the image of the running stack (`triton-lab up`), else NGC's.
        gpu: `TRITON_LAB_GPU`: `auto` (all GPUs when this machine has one), `none`, or docker's own
            words for `--gpus`: `all`, `2`, `device=0`.
        shm_size: `TRITON_LAB_SHM_SIZE`: size of `/dev/shm`, over which Triton and its Python stubs talk.
            Docker's own default, 64 MiB, is too small for several of them.
        ipc: `TRITON_LAB_IPC`: empty, or `host`: the container then uses this machine's `/dev/shm`,
            which system shared memory between a client and the server needs; `shm_size` has no
            effect then.
        memory: `TRITON_LAB_MEMORY`: upper bound of the container's memory; empty for none.
        ulimits: `TRITON_LAB_ULIMITS`: `none`, or `memlock=-1,stack=67108864` (the default).
        mounts: `TRITON_LAB_MOUNTS`: further `host:container[:rw]`, separated by commas.
    """

    image: str = DEFAULT_IMAGE
    gpu: str = "auto"
    shm_size: str = "1g"
    ipc: str = ""
    memory: str = ""
    ulimits: tuple[tuple[str, int], ...] = ULIMITS
    mounts: tuple[Mount, ...] = ()

    @classmethod
    def from_environment(cls) -> DockerSettings:
        """The settings of this process's environment.

        Raises:
            ServerError: A variable does not hold what it should; the message names it.
        """
        gpu = os.environ.get("TRITON_LAB_GPU") or "auto"
        if not re.fullmatch(r"auto|none|all|\d+|device=[\w,.:-]+", gpu):
            raise ServerError(
                f"TRITON_LAB_GPU is `{gpu}`.",
                why="It is `auto`, `none`, or what docker's `--gpus` takes.",
                fix="Write `auto`, `none`, `all`, a number of GPUs, or `device=0`.",
            )
        ipc = os.environ.get("TRITON_LAB_IPC", "")
        if ipc not in ("", "host"):
            raise ServerError(
                f"TRITON_LAB_IPC is `{ipc}`.",
                why="It can be empty or `host`.",
                fix="Unset it, or set `host`.",
            )
        shm_size = os.environ.get("TRITON_LAB_SHM_SIZE") or "1g"
        memory = os.environ.get("TRITON_LAB_MEMORY", "")
        for size in filter(None, (shm_size, memory)):
            size_in_bytes(size)
        return cls(
            image=os.environ.get("TRITON_LAB_IMAGE") or triton_image() or DEFAULT_IMAGE,
            gpu=gpu,
            shm_size=shm_size,
            ipc=ipc,
            memory=memory,
            ulimits=_parse_ulimits(os.environ.get("TRITON_LAB_ULIMITS")),
            mounts=_parse_mounts(os.environ.get("TRITON_LAB_MOUNTS", "")),
        )

    def override(self, image: str | None, gpu: bool | str | None, shm_size: str | None) -> DockerSettings:
        """The settings with those of a single server; None leaves one as it is."""
        changes: dict[str, str] = {}
        if image:
            changes["image"] = image
        if gpu is not None:
            changes["gpu"] = gpu if isinstance(gpu, str) else "all" if gpu else "none"
        if shm_size:
            size_in_bytes(shm_size)
            changes["shm_size"] = shm_size
        return replace(self, **changes)  # type: ignore[arg-type]


def _parse_ulimits(text: str | None) -> tuple[tuple[str, int], ...]:
    if not text:
        return ULIMITS
    if text == "none":
        return ()
    found = re.findall(r"(?:^|,)([a-z]+)=(-?\d+)(?=,|$)", text)
    if ",".join(f"{name}={value}" for name, value in found) != text:
        raise ServerError(
            f"TRITON_LAB_ULIMITS is `{text}`.",
            why="It is a list of NAME=NUMBER, separated by commas, or the word none.",
            fix="Write, for example, `memlock=-1,stack=67108864`.",
        )
    return tuple((name, int(value)) for name, value in found)


def _parse_mounts(text: str) -> tuple[Mount, ...]:
    mounts = []
    for item in filter(None, text.split(",")):
        parts = item.split(":")
        if len(parts) not in (2, 3) or parts[2:] not in ([], ["ro"], ["rw"]) or not parts[1].startswith("/"):
            raise ServerError(
                f"TRITON_LAB_MOUNTS holds `{item}`.",
                why="A mount is HOST:CONTAINER, with :rw at its end when the container may write.",
                fix="Write, for example, `/home/me/certs:/certs`.",
            )
        if not Path(parts[0]).is_absolute() or not Path(parts[0]).exists():
            raise ServerError(
                f"TRITON_LAB_MOUNTS names `{parts[0]}`, which is not there.",
                why="Docker would make an empty folder of that name, owned by root.",
                fix="Give the full path of a file or folder that exists.",
            )
        mounts.append(Mount(parts[0], parts[1], parts[2:] == ["rw"]))
    return tuple(mounts)

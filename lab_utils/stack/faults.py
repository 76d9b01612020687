"""What can be in the way of the stack: each fault by name, with cause and mend."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from lab_utils.monitoring.program import decisive
from lab_utils.server import docker_ends, docker_errors, ports
from lab_utils.server.base import ServerError
from lab_utils.server.docker_errors import Fault


class StackFault(StrEnum):
    """The kinds of fault. A test provokes each of them on a real engine."""

    NO_COMPOSE = "no compose"
    BAD_FILE = "compose file refused"
    SERVICE_UNKNOWN = "no such service"
    IMAGE_ABSENT = "image absent"
    REGISTRY = "registry unreachable"
    BUILD = "build failed"
    PORT_TAKEN = "port taken"
    FOLDER = "folder not usable"
    SHARED_MEMORY = "too little shared memory"
    NAME_TAKEN = "name taken"
    NO_GPU = "no GPU"
    EXITED = "container exited"
    OUT_OF_MEMORY = "out of memory"
    NOT_HEALTHY = "not healthy"
    OTHER = "refused by the engine"


class StackError(ServerError):
    """The stack cannot be started. `fault` says why."""

    def __init__(
        self, fault: StackFault, what: str, *, why: str = "", fix: str = "", details: str = ""
    ) -> None:
        super().__init__(what, why=why, fix=fix, details=details)
        self.fault = fault


# Words of the engine when it cannot reach a registry, from Go's network library.
_UNREACHABLE = re.compile(
    r"no such host|dial tcp|lookup \S+|i/o timeout|connection refused|TLS handshake|network is unreachable"
    r"|Client\.Timeout|context deadline exceeded|server misbehaving",
    re.IGNORECASE,
)
_TAIL = 15


def no_compose(found: Iterable[str]) -> StackError:
    """Neither the plugin nor docker-compose can be used."""
    old = "; ".join(found)
    return StackError(
        StackFault.NO_COMPOSE,
        "The stack needs Docker Compose.",
        why=f"Found: {old}. 1.29 is the oldest that will do."
        if old
        else "Neither the plugin `docker compose` nor the program `docker-compose` is on this machine.",
        fix="Install it. Docker's own packages: `apt install docker-compose-plugin`; Ubuntu: `apt install "
        "docker-compose-v2`; Debian: `apt install --no-install-recommends docker-compose`. Docker Desktop "
        "brings it.",
    )


def bad_file(files: Iterable[Path], words: str) -> StackError:
    """Compose does not accept the files."""
    return StackError(
        StackFault.BAD_FILE,
        f"Compose refuses {' with '.join(str(file) for file in files)}.",
        why="Its words stand below.",
        fix="Mend the place they name. `git diff docker/` shows what was changed here.",
        details=words.strip(),
    )


def unknown_service(name: str, known: Iterable[str]) -> StackError:
    """A service that the files do not have."""
    return StackError(
        StackFault.SERVICE_UNKNOWN,
        f"The stack has no service `{name}`.",
        why="It is not in the compose files.",
        fix=f"Name some of: {', '.join(sorted(known))}; or none, for all.",
    )


def images_absent(built: Mapping[str, str], pulled: Mapping[str, str]) -> StackError:
    """Images that are not on this machine.

    Args:
        built: Image by service, for those that are built from this project.
        pulled: Image by service, for those that come from a registry.
    """
    steps = []
    if built:
        steps.append(f"`triton-lab up --build` builds {', '.join(built.values())} (several minutes)")
    if pulled:
        steps.append(f"`triton-lab up --pull` fetches {', '.join(pulled.values())}")
    both = " `--build --pull` does both." if built and pulled else ""
    services = sorted([*built, *pulled])
    return StackError(
        StackFault.IMAGE_ABSENT,
        f"{_count(len(services), 'image')} missing on this machine: for {', '.join(services)}.",
        why="Images are large, so nothing is built or fetched unasked.",
        fix=f"{'; '.join(steps)}.{both} Or name the services that you want: `triton-lab up triton`.",
    )


def build_failed(services: Iterable[str], words: str) -> StackError:
    """An image could not be built."""
    network = _UNREACHABLE.search(words)
    return StackError(
        StackFault.REGISTRY if network else StackFault.BUILD,
        f"The image of {', '.join(services)} could not be built.",
        why="A base image or a package could not be fetched: no network, or a proxy stands between."
        if network
        else "A step of the Dockerfile failed. Its words stand below.",
        fix="See docs/stack.md for base images and package indexes of your own; then build again."
        if network
        else "Mend what the words below name, then run `triton-lab up --build` again.",
        details=tail(words),
    )


def port_taken(service: str, port: int, variable: str) -> StackError:
    """A port that a service publishes is not free."""
    move = f"set another one: `{variable}={port + 10000} triton-lab up`" if variable else "choose another one"
    return StackError(
        StackFault.PORT_TAKEN,
        f"Port {port}, which the service {service} publishes, is taken.",
        why=f"{ports.holder(port)} listens on it, and two programs cannot share a port.",
        fix=f"End that program, or {move}.",
    )


def folder_unusable(service: str, path: str, problem: str, mend: str) -> StackError:
    """A folder or file of this machine that a container needs is not as it must be."""
    return StackError(
        StackFault.FOLDER,
        f"The service {service} cannot use {path}.",
        why=problem,
        fix=mend,
    )


def small_shared_memory(service: str, size: str, free: int | None) -> StackError:
    """`/dev/shm` of a container would be too small, or larger than the machine's memory."""
    if free is not None:
        return StackError(
            StackFault.SHARED_MEMORY,
            f"The service {service} wants {size} of shared memory, more than this machine has memory.",
            why=f"The machine has {free / 1e9:.1f} GB. Docker does not refuse; a full one ends the server.",
            fix="Set TRITON_LAB_SHM_SIZE to less, for example `TRITON_LAB_SHM_SIZE=512m triton-lab up`.",
        )
    return StackError(
        StackFault.SHARED_MEMORY,
        f"The service {service} would get only {size} of shared memory.",
        why="Triton and its Python models exchange tensors in /dev/shm; each stub takes 1 MB or more at its "
        "start, and with less than 128 MB models fail to load or the server ends with a bus error.",
        fix="Leave TRITON_LAB_SHM_SIZE out (1g), or set it to 256m or more.",
    )


def name_taken(project: str, home: str) -> StackError:
    """Containers of that project were started from another state folder."""
    return StackError(
        StackFault.NAME_TAKEN,
        f"The name `{project}` belongs to a stack that is not ours.",
        why=f"It was started by this course with another state folder ({home})."
        if home
        else "Its containers do not come from `triton-lab up`.",
        fix=f"End it where it was started, or remove it: `docker rm -f $(docker ps -aq --filter "
        f"label=com.docker.compose.project={project})`.",
    )


def ended(service: str, state: Mapping[str, Any], log: str, log_path: Path) -> StackError:
    """A container of the stack is not running any more.

    Args:
        service: Its name in the compose file.
        state: `State` of the engine's answer.
        log: Everything it printed.
        log_path: Where the log is kept.
    """
    if state.get("Error"):  # the engine's own words: it could not start the container at all
        return refused(str(state["Error"]))
    if service == "triton":
        cause = docker_ends.exited(service, state, log, log_path)
        fault = StackFault.OUT_OF_MEMORY if cause.fault is Fault.OUT_OF_MEMORY else StackFault.EXITED
        return StackError(fault, cause.what, why=cause.why, fix=cause.fix, details=cause.details)
    if state.get("OOMKilled"):
        return StackError(
            StackFault.OUT_OF_MEMORY,
            f"The container of {service} was killed because it ran out of memory.",
            why="Its memory limit is too small, or the machine has too little memory.",
            fix="End other programs or raise the limit, then run `triton-lab up` again.",
            details=with_path(log, log_path),
        )
    words = decisive(log)
    denied = re.search(r"permission denied|read-only file system", words, re.IGNORECASE)
    return StackError(
        StackFault.EXITED,
        f"The container of {service} ended with exit code {state.get('ExitCode', 0)}.",
        why=f"It may not read or write what it needs: {words}" if denied else f"Its log says: {words}",
        fix="Make the files below docker/ readable for all (`chmod -R go+rX docker`); a volume with a wrong "
        "owner goes away with `triton-lab down`. Then run `triton-lab up` again."
        if denied
        else "Mend what they name, then run `triton-lab up` again.",
        details=with_path(log, log_path),
    )


def not_healthy(service: str, seconds: float, probe: str, log: str, log_path: Path) -> StackError:
    """A container runs and does not become healthy.

    Args:
        service: Its name in the compose file.
        seconds: How long it was waited for.
        probe: What its health check printed last.
        log: Everything it printed.
        log_path: Where the log is kept.
    """
    return StackError(
        StackFault.NOT_HEALTHY,
        f"The service {service} did not become healthy within {seconds:.0f} seconds.",
        why=f"Its health check says: {probe.strip()}"
        if probe.strip()
        else "Its health check has not passed.",
        fix="Read its last words below. On a slow machine, wait longer: `triton-lab up --timeout 300`.",
        details=with_path(log, log_path),
    )


def refused(words: str) -> StackError:
    """Compose or the engine refuses, for another reason than those that were looked for before."""
    fault = docker_errors.classify(RuntimeError(words))
    if fault is Fault.NO_GPU_RUNTIME:
        return StackError(
            StackFault.NO_GPU,
            "The engine cannot give a GPU to the container of triton.",
            why="The NVIDIA Container Toolkit is not installed, or the engine does not know it yet.",
            fix="Install it, run `sudo nvidia-ctk runtime configure --runtime=docker` and restart Docker; or "
            "leave `--gpu` out: the server then runs on the CPU.",
            details=tail(words),
        )
    if fault is Fault.PORT_TAKEN:
        found = re.search(r":(\d+)\b[^\n]*(?:allocated|in use)|(\d+)[^\n]*(?:allocated|in use)", words)
        port = next((int(group) for group in (found.groups() if found else ()) if group), 0)
        return StackError(
            StackFault.PORT_TAKEN,
            f"Port {port} of this machine was taken a moment ago." if port else "A port is taken.",
            why="Another program took it between our look and the start.",
            fix="Run `triton-lab up` again: it names the program.",
            details=tail(words),
        )
    return StackError(
        StackFault.OTHER,
        "The stack did not start.",
        why="Compose and the engine say what stands below.",
        fix="Mend what they name, then run `triton-lab up` again. `triton-lab doctor` looks at the engine.",
        details=tail(words),
    )


def no_gpu_inside(found: str) -> StackError:
    """The container runs with a GPU request, and there is no GPU in it."""
    cause = docker_errors.no_gpu_inside("all", found)
    return StackError(
        StackFault.NO_GPU,
        cause.what,
        why=cause.why,
        fix="Check `docker run --rm --gpus all IMAGE nvidia-smi -L`, install or mend the NVIDIA Container "
        "Toolkit, or leave `--gpu` out.",
        details=cause.details,
    )


def tail(text: str, lines: int = _TAIL) -> str:
    """The last lines of a program's words."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def with_path(log: str, path: Path) -> str:
    """The last lines of a log, and where all of it is."""
    return f"{tail(log)}\nThe whole log: {path}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing} is" if number == 1 else f"{number} {thing}s are"

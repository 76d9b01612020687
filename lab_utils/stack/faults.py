"""What can be in the way of the stack: each kind by name, and those that are found before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

from lab_utils.server import ports
from lab_utils.server.base import ServerError
from lab_utils.stack.wish import Wish


class StackFault(StrEnum):
    """The kinds of fault. A test provokes each of them on a real engine."""

    BUSY = "another up or down is at work"
    NO_COMPOSE = "no compose"
    BAD_FILE = "compose file refused"
    SERVICE_UNKNOWN = "no such service"
    IMAGE_ABSENT = "image absent"
    REGISTRY = "registry unreachable"
    BUILD = "build failed"
    PORT_NUMBER = "not a port"
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


def busy(seconds: float) -> StackError:
    """Another call works on the stack for so long that waiting makes no sense any more."""
    return StackError(
        StackFault.BUSY,
        "Another `triton-lab up` or `triton-lab down` of yours is at work.",
        why=f"It works on the same stack. This call has waited {seconds / 60:.0f} minutes for it.",
        fix="Wait for it, or end it with Ctrl-C in its terminal; then try again.",
    )


def bad_file(own: Iterable[Path], more: Iterable[Path], words: str) -> StackError:
    """Compose does not accept the files.

    Args:
        own: The project's own files.
        more: Those of the student, which are laid over them.
        words: What compose says.
    """
    theirs = ", ".join(str(file) for file in more)
    return StackError(
        StackFault.BAD_FILE,
        f"Compose refuses {' with '.join(str(file) for file in [*own, *more])}.",
        why="Its words stand below.",
        fix=f"Mend the place they name; look into {theirs} first."
        if theirs
        else "Mend the place they name. `git diff docker/` shows what was changed here.",
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


def images_absent(built: Mapping[str, str], pulled: Mapping[str, str], wish: Wish) -> StackError:
    """Images that are not on this machine.

    Args:
        built: Image by service, for those that are built from this project.
        pulled: Image by service, for those that come from a registry.
        wish: What was asked for.
    """
    steps = []
    if built:
        steps.append(f"`{wish.typed('--build')}` builds {', '.join(built.values())} (10 minutes or more)")
    if pulled:
        steps.append(f"`{wish.typed('--pull')}` fetches {', '.join(pulled.values())}")
    both = " `--build --pull` does both." if built and pulled else ""
    fewer = "" if wish.services else " Or name the services that you want: `triton-lab up triton`."
    services = sorted([*built, *pulled])
    return StackError(
        StackFault.IMAGE_ABSENT,
        f"{_count(len(services), 'image')} missing on this machine: for {', '.join(services)}.",
        why="Images are large, so nothing is built or fetched unasked.",
        fix=f"{'; '.join(steps)}.{both}{fewer}",
    )


def no_port(variable: str, text: str) -> StackError:
    """A variable that moves a port holds something else."""
    return StackError(
        StackFault.PORT_NUMBER,
        f"{variable} is `{text}`, which is not a port.",
        why="A port is a number from 1 to 65535.",
        fix=f"Set {variable} to a free port, or unset it.",
    )


def same_port(port: int, first: str, second: str) -> StackError:
    """Two services publish one port.

    Args:
        port: The port.
        first: The variable that moves it, or the service.
        second: The same of the other one.
    """
    return StackError(
        StackFault.PORT_TAKEN,
        f"Port {port} is wanted twice: by {first} and by {second}.",
        why="Two programs cannot share a port.",
        fix=f"Set {second} to another port.",
    )


def port_taken(service: str, port: int, variable: str, container: str, wish: Wish) -> StackError:
    """A port that a service publishes is not free.

    Args:
        service: Its name in the compose file.
        port: The port of this machine.
        variable: The variable that moves it; empty: none does.
        container: The container that publishes it already; empty: a program has it.
        wish: What was asked for.
    """
    other = port + 10000 if port < 55000 else port - 10000
    move = f"set another one: `{variable}={other} {wish.typed()}`" if variable else "choose another one"
    return StackError(
        StackFault.PORT_TAKEN,
        f"Port {port}, which the service {service} publishes, is taken.",
        why=f"The container {container} publishes it, and two cannot share a port."
        if container
        else f"{ports.holder(port)} listens on it, and two programs cannot share a port.",
        fix=f"End that container (`docker stop {container}`), or {move}."
        if container
        else f"End that program, or {move}.",
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


def _count(number: int, thing: str) -> str:
    return f"{number} {thing} is" if number == 1 else f"{number} {thing}s are"

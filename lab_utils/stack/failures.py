"""What goes wrong while the stack is built and started: causes and mends out of the words of others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lab_utils.monitoring.program import decisive
from lab_utils.server import docker_ends, docker_errors
from lab_utils.server.docker_errors import Fault
from lab_utils.stack.faults import StackError, StackFault

# Words of the engine when it cannot reach a registry, from Go's network library.
_UNREACHABLE = re.compile(
    r"no such host|dial tcp|lookup \S+|i/o timeout|connection refused|TLS handshake|network is unreachable"
    r"|Client\.Timeout|context deadline exceeded|server misbehaving",
    re.IGNORECASE,
)
_TAIL = 15


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
        # Behind an address: the same words hold the ids of containers, which are digits too.
        found = re.search(r"[\d\]]:(\d{1,5})\b[^\n]*(?:allocated|in use)", words)
        port = int(found[1]) if found else 0
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


def with_lost(error: StackError, services: Iterable[str]) -> StackError:
    """The same error, and which services ran before and are gone.

    Args:
        error: What went wrong.
        services: Their containers had been replaced by new ones before those failed.
    """
    names = ", ".join(services)
    lost = f"The former container of {names} had been replaced and is gone: without what was changed, "
    again = "`triton-lab up` brings it back."
    return StackError(
        error.fault, error.what, why=error.why, fix=f"{error.fix} {lost}{again}", details=error.details
    )


def tail(text: str, lines: int = _TAIL) -> str:
    """The last lines of a program's words."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def with_path(log: str, path: Path) -> str:
    """The last lines of a log, and where all of it is."""
    return f"{tail(log)}\nThe whole log: {path}"

"""A container that ends, or never begins to answer, or loses a process: each with its cause and mend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab_utils.server import diagnosis
from lab_utils.server.base import ServerError
from lab_utils.server.docker_errors import EngineError, Fault, text_of


def exited(name: str, state: Mapping[str, Any], log: str, log_path: Path, *, memory: str = "") -> EngineError:
    """The error for a container that is not running any more: how it ended and why.

    Args:
        name: The server's name.
        state: `State` of the engine's answer: `ExitCode`, `OOMKilled`.
        log: Everything the server printed.
        log_path: Where the log is kept.
        memory: The container's memory limit, for the message.
    """
    code = int(state.get("ExitCode") or 0)
    details = diagnosis.excerpt(log, log_path)
    if state.get("OOMKilled"):
        limit = f" of {memory}" if memory else ""
        return EngineError(
            Fault.OUT_OF_MEMORY,
            f"The container of `{name}` was killed because it ran out of memory.",
            why=f"Triton, its models and its Python stubs need more than the container's limit{limit}.",
            fix="Raise TRITON_LAB_MEMORY or leave it out, serve fewer models or fewer instances.",
            details=details,
        )
    finding = diagnosis.after_death(log, code - 128 if code > 128 else None)
    signal = f" (signal {code - 128})" if code > 128 else ""
    return EngineError(
        Fault.EXITED,
        f"The container of `{name}` ended with exit code {code}{signal}.",
        why=finding.cause if finding else "The log does not name a cause that this course knows.",
        fix=finding.fix if finding else "Read the lines below, mend what they name, and start it again.",
        details=details,
    )


def silent(name: str, seconds: float, log: str, log_path: Path) -> ServerError:
    """The container runs and Triton does not answer."""
    finding = diagnosis.first_cause(log)
    return ServerError(
        f"The server `{name}` did not answer within {seconds:.0f} seconds.",
        why=finding.cause if finding else "It is still loading its models, or it hangs.",
        fix=finding.fix if finding else "Give it more time (`timeout=`), or read the lines below.",
        details=diagnosis.excerpt(log, log_path),
    )


def engine_stopped(address: str, error: Exception) -> EngineError:
    """The engine answered a moment ago, and now it does not."""
    return EngineError(
        Fault.ENGINE_STOPPED,
        f"The container engine at {address} stopped answering.",
        why="Its service was stopped or restarted, or it is being updated. It ends its containers with it.",
        fix="Start it (`sudo systemctl start docker`, or open Docker Desktop), then start the server again: "
        "`lab.start()` in a notebook, or `triton-lab start`.",
        details=text_of(error),
    )


def starved(name: str, model: str | None, memory: str, error: ServerError) -> EngineError:
    """A process inside the container was killed for want of memory, and Triton goes on without it."""
    limit = f" of {memory}" if memory else ""
    return EngineError(
        Fault.OUT_OF_MEMORY,
        f"The container of `{name}` has too little memory" + (f" for the model `{model}`." if model else "."),
        why=f"A process of it was killed when it went above the container's limit{limit}. Triton itself "
        "lives on, but a Python model whose process was killed never comes back by itself.",
        fix="Raise TRITON_LAB_MEMORY or leave it out, then stop the server and start it again; or serve "
        "fewer instances.",
        details=f"{error.what}\n{error.details}",
    )


def gone(name: str) -> ServerError:
    """There is no container any more."""
    return ServerError(
        f"The container of the server `{name}` is gone.",
        why="It was stopped, somebody removed it, or the container engine was shut down.",
        fix="Start it again: `lab.start()` in a notebook, or `triton-lab start`.",
    )

"""`run_locust`: locust in a process of its own, its figures as a `LocustResult`.

Never in this process: on import locust replaces sockets, threads and locks by gevent's, which would break a
notebook's kernel.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab_utils.load.crew import LoadError
from lab_utils.load.locust_options import PREFIX, read_mix, read_steps
from lab_utils.load.locust_result import LocustResult
from lab_utils.load.payload import build_payload
from lab_utils.load.view import ServerView
from lab_utils.paths import project_root

if TYPE_CHECKING:
    from lab_utils.server.base import Server

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
USERS = {"http": "TritonHttpUser", "grpc": "TritonGrpcUser"}
_MARGIN = 30.0
"""Seconds that locust may need to start and to end, beside the load itself."""


def run_locust(
    target: Server | str,
    model: str,
    *,
    protocol: str = "http",
    users: int = 8,
    seconds: int = 3,
    steps: Sequence[tuple[int, int]] | None = None,
    think: float = 0.0,
    pace: float = 0.0,
    small: int = 1,
    large: int | None = None,
    mix: tuple[int, int, int] = (8, 2, 0),
    warmup: float = 0.3,
    client_timeout: float = 60.0,
    seed: int = 0,
) -> LocustResult:
    """Let locust's users ask a model, headless, and read what it measured.

    Each user asks, waits for the answer, pauses, and asks again: a closed loop per user.

    Args:
        target: A server (`lab.server`), or `host:port` of the protocol.
        model: The model. Its inputs come from its metadata.
        protocol: `http` or `grpc`.
        users: Users at once.
        seconds: How long; whole seconds, since locust looks at its load once a second.
        steps: Instead of both: (users, seconds) of one step after the other.
        think: Mean pause of a user after an answer, in seconds.
        pace: Instead: each user asks every so many seconds, or later when the answer is late.
        small: Rows of a small request.
        large: Rows of a large request; None: 8, or what the model takes.
        mix: Weights of small, large and wrong requests. Wrong ones must count as failures.
        warmup: Seconds at the begin of each step that are not in its figures.
        client_timeout: Seconds after which a user gives up.
        seed: Of the random data and choices.

    Raises:
        LoadError: The arguments do not fit together, the model cannot be asked, or locust failed.
    """
    plan = [(users, seconds)] if steps is None else list(steps)
    text = ",".join(f"{count}:{length}" for count, length in plan)
    _check(protocol, text, mix, warmup, think, pace)
    view = ServerView(target, protocol, model)
    try:
        most = int(view.config().get("max_batch_size", 0)) or 1
        rows = {"small": small, "large": min(8, most) if large is None else large}
        for count in rows.values():
            build_payload(view, batch=count)  # refuses with the reason, before any process starts
        with tempfile.TemporaryDirectory(prefix="locust-") as folder:
            figures = Path(folder) / "figures.json"
            options = {
                "model": model,
                f"{protocol}-address": view.address,
                "steps": text,
                "mix": ":".join(map(str, mix)),
                "think": think,
                "pace": pace,
                "warmup": warmup,
                "client-timeout": client_timeout,
                "seed": seed,
                "figures": figures,
                **rows,
            }
            command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), USERS[protocol], "--headless"]
            command += ["--only-summary", "--exit-code-on-error", "0"]
            command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
            said = _run(command, Path(folder), sum(length for _, length in plan) + _MARGIN)
            if not figures.exists():
                raise LoadError(
                    "locust ended without figures.",
                    why=_last(said),
                    fix="Run it again.",
                    details=said[-2000:],
                )
            return LocustResult.of(model, protocol, json.loads(figures.read_text()))
    finally:
        view.close()


def _check(
    protocol: str, steps: str, mix: tuple[int, int, int], warmup: float, think: float, pace: float
) -> None:
    """Raise `LoadError` for arguments that make no load."""
    if protocol not in USERS:
        raise LoadError(f"`{protocol}` is not a protocol of our users.", fix="Use http or grpc.")
    read_mix(":".join(map(str, mix)))
    plan = read_steps(steps)
    if not plan:
        raise LoadError("There is no step.", fix="Give (users, seconds) at least once.")
    for name, value in (("warmup", warmup), ("think", think), ("pace", pace)):
        if value < 0:
            raise LoadError(f"{name} is {value}.", fix="Give 0 or more seconds.")
    if think and pace:
        raise LoadError("A user either thinks or keeps a pace.", fix="Give think or pace, not both.")
    shortest = min(length for _, length in plan)
    if warmup >= shortest:
        raise LoadError(
            f"A warm-up of {warmup:g} s leaves nothing of a step of {shortest} s.",
            fix="Make the steps longer or the warm-up shorter.",
        )


def _run(command: list[str], folder: Path, limit: float) -> str:
    """Run locust to its end; what it said. Its own settings elsewhere do not count: only ours do."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("LOCUST_", PREFIX))}
    path = os.pathsep.join([str(project_root()), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**ours, "PYTHONPATH": path, "GRPC_VERBOSITY": "NONE"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise LoadError(
            f"locust did not end within {limit:.0f} s.",
            why="Its users wait for answers that do not come, or the machine is very busy.",
            fix="Check the server, or ask for fewer users.",
        ) from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise LoadError(
            f"locust failed (exit code {process.returncode}).",
            why=_last(said),
            fix="Read its words below.",
            details=said[-2000:],
        )
    return said


def _last(said: str) -> str:
    """The last line that is not empty."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "It said nothing."

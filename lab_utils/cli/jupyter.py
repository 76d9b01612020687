"""`triton-lab lab`: JupyterLab on the student's own copies; our servers end when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import typer

from lab_utils.cli import output
from lab_utils.errors import LabError

CONFIG = Path(__file__).parent / "jupyter_config"
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Arguments that this command does not know go to JupyterLab."""


def lab(context: typer.Context) -> None:
    """Open JupyterLab on your notebooks. More arguments go to JupyterLab: --no-browser --port=9999."""
    from lab_utils import paths
    from lab_utils import server as triton
    from lab_utils.cli.course import build, notebooks

    build(force=False)
    notebooks()
    command = jupyter_command(paths.work_dir(), context.args)
    # The kernel finds python3, curl's helper and triton-lab of this environment first.
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        # Defaults for the labs: JupyterLab does not ask about news before the student has seen anything.
        "JUPYTER_CONFIG_PATH": f"{CONFIG}:{os.environ.get('JUPYTER_CONFIG_PATH', '')}".rstrip(":"),
    }
    output.say(
        f"Opening JupyterLab on {paths.work_dir()}. Ctrl-C twice ends it and stops the servers of the labs."
    )
    try:
        code = run_until_end(command, environment)
    finally:
        stopped = triton.stop_all()
        output.say(f"Stopped: {', '.join(stopped)}." if stopped else "No server of ours was running.")
    raise typer.Exit(code)


def jupyter_command(work: Path, arguments: list[str]) -> list[str]:
    """JupyterLab's command line. Loopback only, and the token stays on: who reaches it runs code as you.

    Raises:
        LabError: An argument would open it to others.
    """
    for argument in arguments:
        key, _, value = argument.partition("=")
        open_to_others = key.endswith((".ip", "--ip")) and value not in ("127.0.0.1", "localhost", "::1")
        no_token = key.lower().endswith((".token", ".password")) and value in ("", "''", '""')
        if open_to_others or no_token:
            raise LabError(
                f"`{argument}` would open JupyterLab to others.",
                why="Whoever reaches JupyterLab can run programs as you.",
                fix="Leave it on loopback with its token. From elsewhere: ssh -L 8888:127.0.0.1:8888 HOST",
            )
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={work}", "--ServerApp.ip=127.0.0.1"]
    if os.geteuid() == 0:
        command.append("--allow-root")  # JupyterLab refuses root (containers, WSL) unless told so
    return command + arguments


def run_until_end(command: list[str], environment: dict[str, str]) -> int:
    """Run a program in the foreground and outlive it, whatever signal ends it. Returns its exit code."""
    process: subprocess.Popen[bytes] | None = None

    def end(signum: int, frame: FrameType | None) -> None:
        if process is not None:
            process.terminate()

    def leave_it(signum: int, frame: FrameType | None) -> None:
        """Ctrl-C reaches the child by itself; a handler (not SIG_IGN) is not inherited by it."""

    before = {s: signal.signal(s, end) for s in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, leave_it)
    try:
        process = subprocess.Popen(command, env=environment)
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""A sandbox for one submitted notebook: bubblewrap, its mounts and namespaces, and whether it works here."""

from __future__ import annotations

import functools
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.grading.mounts import PLACES, Folders, mounts, tool_folders
from lab_utils.grading.places import Places

_NEEDED = ("--as-pid-1", "--size", "--perms", "--unshare-net", "--die-with-parent", "--clearenv")
_FIRST_USER = 61184
"""Ids from here on are for users without an account (systemd's dynamic users): nobody's files are theirs."""
_USERS = 4000
_counter = itertools.count(os.getpid() * 7)


class NoSandbox(LabError):
    """Submitted code cannot be confined on this machine."""


@dataclass(frozen=True)
class Sandbox:
    """A bubblewrap that works here.

    Attributes:
        program: The program `bwrap`.
        as_root: Started by root: the run becomes a user of its own, without any privilege. Else it
            is this user in a user namespace, where nothing of this user's is in sight.
        options: The options that this version knows.
    """

    program: Path
    as_root: bool
    options: frozenset[str]

    @property
    def counts_own_processes(self) -> bool:
        """Whether the limit on processes counts those of the run alone."""
        return self.as_root or _kernel() >= (5, 14)  # since then each user namespace counts its own

    def user(self) -> int | None:
        """The user that a run becomes, another one each time; None where it stays this user."""
        return _FIRST_USER + next(_counter) % _USERS if self.as_root else None

    def command(self, folders: Folders, size: int, inner: Sequence[str]) -> list[str]:
        """The command line that runs `inner` confined, as process 1 of its own process namespace.

        Signals from inside never reach process 1, SIGKILL included; when it ends, all others do.

        Args:
            folders: What may be seen, and what must not be.
            size: Bytes of each writable folder.
            inner: The program and its arguments.
        """
        line = [str(self.program), *self._namespaces()]
        line += mounts(folders, size)
        for name, value in environment(PLACES).items():
            line += ["--setenv", name, value]
        return [*line, "--chdir", "/", "--", *inner]

    def _namespaces(self) -> list[str]:
        line = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--hostname", "grading"]
        line += ["--unshare-cgroup-try", "--as-pid-1", "--new-session", "--die-with-parent", "--clearenv"]
        if self.as_root:
            # To become another user; the first thing that is done inside. No privilege is left then.
            return [*line, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        line += ["--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"]
        return [*line, "--disable-userns"] if "--disable-userns" in self.options else line


def environment(places: Places) -> dict[str, str]:
    """The environment of a run; nothing of this process's own goes along."""
    own = str(Path(sys.executable).parent)
    return {
        "PATH": f"{own}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(places.course),
        "HOME": "/nonexistent",  # the kernel gets one that it can write to
        "LANG": "C.UTF-8",
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(places.temporary),
        "TRITON_LAB_RUNTIME": "embedded",
        "TRITON_LAB_CACHE": str(places.cache),
        "MPLCONFIGDIR": str(places.cache / "matplotlib"),  # its list of fonts takes seconds to make
        "TRITON_LAB_WORK": str(places.work),
        "TRITON_LAB_HOME": str(places.state),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        **{setting: str(folder) for setting, folder in tool_folders().items()},
    }


@functools.cache
def find_sandbox() -> Sandbox:
    """The sandbox of this machine, tried out.

    Raises:
        NoSandbox: There is none, or it cannot do what it must. Says why, and what to install.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise NoSandbox(
            "Submitted notebooks cannot be confined on this machine: there is no `bwrap`.",
            why="A notebook is a program, and a submitted one is somebody else's program.",
            fix="Install bubblewrap (`apt install bubblewrap`, `dnf install bubblewrap`), or grade in a "
            "virtual machine that holds nothing else and give --no-sandbox.",
        )
    options = _options(program)
    missing = [option for option in _NEEDED if option not in options]
    if missing:
        raise NoSandbox(
            f"Submitted notebooks cannot be confined on this machine: `bwrap` has no {', '.join(missing)}.",
            why="This bubblewrap is older than 0.6.",
            fix="Install a newer bubblewrap, or give --no-sandbox on a machine that holds nothing else.",
        )
    words = []
    for as_root in [True, False] if os.geteuid() == 0 else [False]:
        sandbox = Sandbox(Path(program), as_root, options)
        refused = _try(sandbox)
        if not refused:
            return sandbox
        words.append(refused)
    raise NoSandbox(
        "Submitted notebooks cannot be confined on this machine: `bwrap` does not work.",
        why=_cause(words[-1]),
        fix=_mend(words[-1]),
        details="\n".join(dict.fromkeys(words)),
    )


def _options(program: str) -> frozenset[str]:
    answer = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=30, check=False)
    return frozenset(re.findall(r"^\s+(--[a-z0-9-]+)", answer.stdout + answer.stderr, re.M))


def _try(sandbox: Sandbox) -> str:
    """What keeps this sandbox from working; empty when it works: Python starts, and loopback is there."""
    user = sandbox.user()
    become = f"import os; os.setgroups([]); os.setresgid(*[{user}]*3); os.setresuid(*[{user}]*3)\n"
    code = (become if user is not None else "") + (
        "import socket, subprocess, sys\n"
        "s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())\n"
        "subprocess.run([sys.executable, '-I', '-c', ''], check=True)\n"
        "open('/proc/sys/kernel/random/boot_id').read(); open('/dev/shm/try', 'w').close()\n"
        "print('confined')\n"
    )
    line = sandbox.command(Folders(), 1 << 20, [sys.executable, "-I", "-c", code])
    try:
        answer = subprocess.run(
            line, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}"
    if answer.returncode == 0 and answer.stdout.strip() == "confined":
        return ""
    lines = answer.stderr.strip().splitlines()
    return lines[-1] if lines else f"it ended with code {answer.returncode} and said nothing"


def _cause(words: str) -> str:
    if "proc" in words and "mount" in words.lower():
        return "It may not mount a /proc of its own: this is a container that hides parts of /proc."
    if "namespace" in words or "uid map" in words or "RTM_NEWADDR" in words or "ermitted" in words:
        return "This system does not let it make namespaces (a setting of the system, or of the container)."
    return words


def _mend(words: str) -> str:
    other = "Or give --no-sandbox on a machine that holds nothing else."
    switch = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if switch.exists() and switch.read_text().strip() == "1":
        return (
            "As root: `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu 24.04 sets it), "
            f"or grade as root. {other}"
        )
    if "proc" in words or "namespace" in words or "ermitted" in words:
        return f"Grade outside of the container, or start it with `--privileged`. {other}"
    return f"See what `bwrap` says below. {other}"


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])

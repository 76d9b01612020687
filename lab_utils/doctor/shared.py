"""Check of a machine that several people use: are the servers closed to the others?"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from lab_utils.doctor.finding import Finding, failed, passed, warned

if TYPE_CHECKING:
    from lab_utils.doctor.facts import Facts

# Below are the system's own users, at 65534 is `nobody` (login.defs of the usual Linuxes).
_PEOPLE = range(1000, 65534)


@dataclass(frozen=True)
class SharedFacts:
    """Who else is here.

    Attributes:
        others: Names of other people with a process or a login now.
        closed: The course's embedded servers are closed to them by a key.
        problem: Why they cannot be, although they should.
    """

    others: tuple[str, ...] = ()
    closed: bool = False
    problem: str = ""


def collect_shared() -> SharedFacts:
    """Look at the processes and the logins of this machine."""
    from lab_utils.server import ServerError, keys

    others = _others()
    try:
        closed = keys.shared_host()
    except ServerError as error:
        return SharedFacts(others, True, f"{error.what} {error.fix}")
    return SharedFacts(others, closed, keys.cannot_hide() if closed else "")


def _others() -> tuple[str, ...]:
    me = os.getuid()
    numbers = {
        process.info["uids"].real
        for process in psutil.process_iter(["uids"])
        if process.info["uids"] and not in_a_container(process.pid)
    }
    names = {_name(number) for number in numbers if number in _PEOPLE and number != me}
    names |= {login.name for login in psutil.users() if login.name not in (_name(me), "root")}
    return tuple(sorted(names))


def in_a_container(pid: int) -> bool:
    """Whether a process lives in another PID namespace than this one: in a container, and so no other person.

    False where that cannot be read: of other users' processes only root can read it.
    """
    try:
        return Path(f"/proc/{pid}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()
    except OSError:
        return False


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def check_shared_host(facts: Facts) -> Finding:
    """Loopback belongs to all users of a machine: whoever may load models there runs code as its owner."""
    shared = facts.shared
    if shared.problem:
        return failed(
            "shared-host",
            f"your servers should be closed to other users, and cannot be: {shared.problem}",
            "Let processes trace their own children (kernel.yama.ptrace_scope 0 or 1; in a container a "
            "seccomp profile that allows ptrace). If nobody else can use this machine: "
            "TRITON_LAB_SHARED_HOST=0.",
        )
    if shared.closed:
        return passed("shared-host", "your servers are closed to other users by a key (docs/runtimes.md)")
    if shared.others:
        return warned(
            "shared-host",
            f"other people use this machine ({', '.join(shared.others)}) and can reach your servers: whoever "
            "loads a model there runs code as you",
            "Set TRITON_LAB_SHARED_HOST=1 and start your servers again.",
        )
    return passed("shared-host", "nobody else uses this machine now")

"""Start a program with arguments that no other user of the machine can read. Standard library only.

Every user may read every process's command line (`ps`), so a key on it is no secret; the environment is
one: the kernel shows it to the process's own user alone. tritonserver takes its keys on the command line
only. So the program is started with stand-ins there and with the real arguments in its environment, and it
is stopped (ptrace) when the kernel has loaded it and nothing of it has run. In that moment the stand-ins'
entries in `argv` are pointed at the real texts. `ps` reads the place of the stand-ins, not `argv`, and goes
on showing them. There is no moment in which a real argument can be read.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_PTRACE_TRACEME = 0
_PTRACE_DETACH = 17
_VARIABLE = "TRITON_LAB_ARGUMENT"
_POINTER = struct.Struct("=Q")
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class CannotHide(OSError):
    """This system does not let a process look into its own child; the text says what it said."""


def start(
    argv: Sequence[str],
    hidden: Mapping[int, str],
    *,
    env: Mapping[str, str],
    preexec_fn: Callable[[], None],
    **popen: Any,
) -> subprocess.Popen[bytes]:
    """Start a program and give it hidden arguments.

    Args:
        argv: The command line with the stand-ins, as everybody may see it.
        hidden: The real argument for each stand-in, by its index in `argv`.
        env: The program's environment.
        preexec_fn: Called in the child before the program is loaded.
        popen: What else `subprocess.Popen` takes.

    Returns:
        The running program. It saw the real arguments from its first instruction on.

    Raises:
        CannotHide: The system forbids it. The program was ended before it ran.
        OSError: The program cannot be started.
    """
    if not hidden:
        return subprocess.Popen(list(argv), env=dict(env), preexec_fn=preexec_fn, **popen)
    names = {index: f"{_VARIABLE}_{index}" for index in hidden}

    def traced() -> None:
        preexec_fn()
        if _libc.ptrace(_PTRACE_TRACEME, 0, None, None) != 0:
            os._exit(126)  # nothing has been loaded: nobody saw a thing

    child = subprocess.Popen(
        list(argv),
        env={**env, **{names[index]: text for index, text in hidden.items()}},
        preexec_fn=traced,
        **popen,
    )
    try:
        _, status = os.waitpid(child.pid, 0)
        if not os.WIFSTOPPED(status):
            child.returncode = os.waitstatus_to_exitcode(status)
            raise CannotHide("the system does not let a program be traced (ptrace)")
        _redirect(child.pid, len(argv), names)
        if _libc.ptrace(_PTRACE_DETACH, child.pid, None, None) != 0:
            raise CannotHide(f"the program could not be let go: {os.strerror(ctypes.get_errno())}")
    except BaseException:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.wait()
        raise
    return child


def possible() -> str:
    """Whether arguments can be hidden here: empty when they can, else what the system says.

    It starts processes with `preexec_fn`, so it is for a process with one thread.
    """
    code = "import sys; sys.exit(sys.argv[1] != 'real')"
    argv = [sys.executable, "-I", "-S", "-c", code, "stand-in"]
    try:
        failed = start(argv, {len(argv) - 1: "real"}, env=os.environ, preexec_fn=lambda: None).wait()
    except OSError as error:
        return str(error)
    return "a program did not see the argument that was meant for it" if failed else ""


def _redirect(pid: int, count: int, names: Mapping[int, str]) -> None:
    """Point entries of a stopped program's `argv` at values of its environment.

    The stack of a program that has just been loaded begins with argc, argv[0] … argv[argc - 1], a null
    pointer, the pointers to the environment's texts, and a null pointer, each of eight bytes.
    """
    # The name of the program, in brackets, may hold spaces. Fields are numbered from 1 in proc(5).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    stack, first, end = (int(fields[number - 3]) for number in (28, 50, 51))
    if not stack or not first:
        raise CannotHide("the system does not show where a program's arguments are")
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    try:
        texts = os.pread(memory, end - first, first)
        if _POINTER.unpack(os.pread(memory, 8, stack))[0] != count:
            raise CannotHide("the program's arguments are not where they should be")
        for index, name in names.items():
            mark = f"{name}=".encode()
            offset = texts.index(mark) if texts.startswith(mark) else texts.index(b"\0" + mark) + 1
            os.pwrite(memory, _POINTER.pack(first + offset + len(mark)), stack + 8 * (1 + index))
    except ValueError:
        raise CannotHide("the program's environment is not where it should be") from None
    finally:
        os.close(memory)

"""The key that closes the dangerous APIs of an embedded server where several users share a machine.

A server listens on loopback, and loopback belongs to every user of the machine. Whoever may load models
can run code as the server's user: the load request brings files along (`file:1/model.py`). Trace and log
settings make the server write files, and a registered shared-memory region is read and written. So these
four APIs want a header with a key there. Requests for predictions, health, configs and statistics do not.
"""

from __future__ import annotations

import functools
import os
import secrets
import subprocess
import sys
from collections.abc import Iterable

from lab_utils import paths
from lab_utils.server import options, records
from lab_utils.server.base import ServerError

SHARED_HOST_VARIABLE = "TRITON_LAB_SHARED_HOST"
HEADER = "triton-lab-key"
"""The HTTP header. gRPC wants the same word behind `triton-grpc-protocol-`."""
GRPC_HEADER = f"triton-grpc-protocol-{HEADER}"
APIS = ("model-repository", "shared-memory", "trace", "logging")
"""The closed APIs, in the words of `--http-restricted-api` and `--grpc-restricted-protocol`."""
STAND_IN = "not-shown"
"""What stands in place of the key on the command line, which every user can read."""
ABOUT = (
    "Users share this machine: loading models, shared memory, trace and log settings of this server want its "
    "key. tritonclient sends it here by itself; for anything else there is `server.headers`."
)
_OPTIONS = ("http-restricted-api", "grpc-restricted-protocol")
_aliases: dict[str, str] = {}
# In a process of its own: this one may be a kernel with threads, which must not be forked by hand.
_ASK = """
import sys
sys.path.insert(0, sys.argv[1])
from lab_utils.keeper.hidden import possible
print(possible(), end="")
"""


def shared_host() -> bool:
    """Whether other people use this machine: `TRITON_LAB_SHARED_HOST`, else yes under JupyterHub.

    Raises:
        ServerError: The variable is neither 0 nor 1.
    """
    setting = os.environ.get(SHARED_HOST_VARIABLE, "")
    if setting not in ("", "0", "1"):
        raise ServerError(
            f"{SHARED_HOST_VARIABLE} is `{setting}`.",
            why="It says whether other people use this machine: 1 for yes, 0 for no.",
            fix="Set it to 0 or 1, or unset it: then it is yes under JupyterHub alone.",
        )
    return setting == "1" if setting else "JUPYTERHUB_SERVICE_PREFIX" in os.environ


@functools.cache
def cannot_hide() -> str:
    """Why a key on a command line could not be hidden from other users here; empty when it can."""
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _ASK, str(paths.project_root())],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return answer.stdout or answer.stderr[-300:]


def new_key() -> str:
    """A key for one start of one server.

    Raises:
        ServerError: The key could not be kept from other users, who may read every command line.
    """
    reason = cannot_hide()
    if reason:
        raise ServerError(
            "This server cannot be closed with a key.",
            why="Triton takes the key on its command line, which every user of the machine can read, and "
            f"this system does not let the course hide it there: {reason}.",
            fix=f"If nobody else can use this machine or container, set {SHARED_HOST_VARIABLE}=0. Else let "
            "processes trace their own children (kernel.yama.ptrace_scope 0 or 1; in a container, a seccomp "
            "profile that allows ptrace).",
        )
    return secrets.token_urlsafe(32)


def arguments(given: Iterable[str], value: str) -> list[str]:
    """The options of tritonserver that close the APIs with a key.

    Args:
        given: The student's own options. An API that they close is theirs: Triton takes one key for each.
        value: The key, or `STAND_IN`.
    """
    given = list(given)
    made = []
    for option in _OPTIONS:
        theirs = {api for text in options.values(given, option) for api in text.partition(":")[0].split(",")}
        ours = [api for api in APIS if api not in theirs]
        if ours:
            made.append(f"--{option}={','.join(ours)}:{HEADER}={value}")
    return made


def headers(key: str | None) -> dict[str, str]:
    """The headers for a key, good for HTTP and for gRPC; none without a key."""
    return {HEADER: key, GRPC_HEADER: key} if key else {}


def headers_for(address: str) -> dict[str, str]:
    """The headers that open the server of ours at an address; none for any other server.

    Args:
        address: `host:port` of its HTTP or gRPC service, or of a proxy in front of it (see `stand_in_for`).
    """
    address = _aliases.get(address, address)
    for record in records.all_records():
        if address in (record.endpoints.http, record.endpoints.grpc) and record.extra.get("key"):
            return headers(record.extra["key"])
    return {}


def stand_in_for(proxy: str, target: str | None) -> None:
    """Say that a proxy of ours stands in front of a server; with None that it is gone.

    Args:
        proxy: `host:port` of the proxy.
        target: `host:port` of the server.
    """
    if target is None:
        _aliases.pop(proxy, None)
    else:
        _aliases[proxy] = target

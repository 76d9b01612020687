"""The way back: where a program on this machine must listen so that a container reaches it.

Loopback inside of a container is the container's own. On Linux this machine has an address in the engine's
bridge network, the bridge's gateway: a program that listens there is reached by containers and by this
machine, and by nobody outside. Docker Desktop and rootless engines run containers in a network that this
machine is no part of; they bring a name, `host.docker.internal`, behind which this machine's loopback is.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from dataclasses import dataclass

from lab_utils.server import docker_engine
from lab_utils.server.docker_errors import EngineError
from lab_utils.server.manage import choose_runtime
from lab_utils.server.ports import LOOPBACK

_DESKTOP_NAME = "host.docker.internal"


@dataclass(frozen=True)
class WayBack:
    """How a server of the labs reaches a program on this machine.

    Attributes:
        listen: The address that the program listens on.
        name: The name or address that the server must use.
    """

    listen: str
    name: str


def way_back() -> WayBack:
    """The way from the servers of the chosen runtime to this machine. Loopback, but for containers."""
    if choose_runtime() != "docker":
        return WayBack(LOOPBACK, LOOPBACK)
    gateway = _gateway()
    if gateway and _is_ours(gateway):
        return WayBack(gateway, gateway)
    return WayBack(LOOPBACK, _DESKTOP_NAME)


def _gateway() -> str:
    """The gateway of the engine's bridge network; empty when the engine does not say."""
    try:
        client = docker_engine.connect(timeout=10)
    except EngineError:
        return ""
    try:
        for one in client.networks.get("bridge").attrs["IPAM"]["Config"] or []:
            if one.get("Gateway"):
                return str(one["Gateway"])
            # Older engines name only the subnet. Its first address is the bridge's.
            return str(ipaddress.ip_network(one["Subnet"])[1])
        return ""
    except docker_engine.api_errors():
        return ""
    except (KeyError, TypeError, ValueError, IndexError):  # another form of answer
        return ""
    finally:
        client.close()


def _is_ours(address: str) -> bool:
    """Whether a program on this machine can listen on an address."""
    with contextlib.closing(socket.socket()) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True

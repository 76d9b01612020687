"""Free loopback ports, and who holds a port that is not free."""

from __future__ import annotations

import socket

import psutil

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Different ports on loopback that nobody listens on now. Another process may take one later."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for s in sockets:
            s.bind((LOOPBACK, 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def listening(port: int, host: str = LOOPBACK) -> bool:
    """True when something accepts connections on this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.settimeout(1.0)
        return s.connect_ex((host, port)) == 0


def holder(port: int) -> str:
    """The process that listens on a port, in words. It can only be named when it is this user's."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            address = connection.laddr
            listens = connection.status == psutil.CONN_LISTEN and address and address.port == port
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return "another process"

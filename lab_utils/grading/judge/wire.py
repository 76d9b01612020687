"""Messages over a unix socket: a length, then so many bytes. Nobody can make the other side wait for ever."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

MOST_BYTES = 32 << 20
"""The longest message that the judge reads."""

_SEND_SECONDS = 20
_LENGTH = struct.Struct(">I")


class Lost(Exception):
    """The other side is gone, or does not keep to the form."""


class Channel:
    """One connection. Any thread may send; one thread receives.

    Args:
        connection: A connected stream socket; closed with the channel.
        most: The longest message that is received, in bytes.
    """

    def __init__(self, connection: socket.socket, most: int = MOST_BYTES) -> None:
        self._socket = connection
        self._most = most
        self._sending = threading.Lock()
        connection.settimeout(None)
        # A peer that does not read must not hold up the sender: after this time it is given up.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))

    def send(self, data: bytes) -> None:
        """Send one message.

        Raises:
            Lost: The other side is gone or does not read.
        """
        try:
            with self._sending:
                self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except (OSError, struct.error) as error:
            self.close()  # half a message may be out: nothing can follow it
            raise Lost(f"nothing can be sent: {error}") from error

    def receive(self) -> bytes:
        """The next message.

        Raises:
            Lost: The other side is gone, or its message is too long.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if length > self._most:
            raise Lost(f"a message of {length:,d} bytes was announced; {self._most:,d} are allowed")
        return self._exactly(length)

    def close(self) -> None:
        """End the connection; whoever waits in `receive` hears of it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _exactly(self, count: int) -> bytes:
        parts, left = [], count
        while left:
            try:
                part = self._socket.recv(min(left, 1 << 20))
            except OSError as error:
                raise Lost(f"nothing can be received: {error}") from error
            if not part:
                raise Lost("the connection was closed")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

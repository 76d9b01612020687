"""Small HTTP questions that are asked every second, at the price of a small question."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping

import httpx


@functools.cache
def tls() -> ssl.SSLContext:
    """The certificates for https. httpx reads them anew for each call without a client: 35 ms of a core."""
    return httpx.create_ssl_context(trust_env=False)


def get(url: str, timeout: float) -> httpx.Response:
    """`GET url`, past any proxy, on a new connection: nothing of an old server can be left in it.

    Raises:
        httpx.HTTPError: Nobody answers in `timeout` seconds, or not in HTTP.
        httpx.InvalidURL: It is no address.
    """
    return httpx.get(url, timeout=timeout, trust_env=False, verify=tls())


def post(url: str, timeout: float, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """`POST url` without a body, with these headers; else as `get`."""
    return httpx.post(url, timeout=timeout, trust_env=False, verify=tls(), headers=headers)

"""Lets the tritonclient clients of this process send the key of a closed server by themselves.

On a machine of one's own there is no key, and the cells of a notebook say `client.load_model("net")`. Where
several users share a machine the same cells must work. tritonclient has plugins for such a purpose: each
new client of a closed server gets one, which adds the server's headers. `client.plugin()` shows it.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

from tritonclient._plugin import InferenceServerClientPlugin

from lab_utils.server import keys

_MODULES = ("tritonclient.http", "tritonclient.http.aio", "tritonclient.grpc", "tritonclient.grpc.aio")


class ServerKey(InferenceServerClientPlugin):
    """Adds the headers of one closed server to each request of a client.

    Args:
        headers: The headers, as `server.headers` gives them.
    """

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: Any) -> None:
        """Add the headers; one that the caller gave stays."""
        request.headers = {**self._headers, **request.headers}

    def __repr__(self) -> str:
        return f"ServerKey({', '.join(self._headers)})"


@functools.cache
def install() -> None:
    """From now on clients of closed servers of ours send the key. Others are left as they are."""
    for name in _MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:  # that half of tritonclient is not installed
            continue
        _extend(module.InferenceServerClient)


def _extend(client: Any) -> None:
    made = client.__init__

    @functools.wraps(made)
    def make(self: Any, url: str, *args: Any, **kwargs: Any) -> None:
        made(self, url, *args, **kwargs)
        headers = keys.headers_for(url)
        if headers:
            self.register_plugin(ServerKey(headers))

    client.__init__ = make

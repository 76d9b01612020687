"""A Hugging Face hub on this machine: the few addresses that a download asks, and every refusal."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the hub holds, and what it was asked.

    Attributes:
        models: Folder of each model by id.
        gated: Ids whose files need `token`.
        token: The token that opens the gate.
        broken: Answer everything with 500.
        asked: Paths of all requests, in order.
        tokens: Every Authorization header that came.
    """

    models: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    token: str = "hf_secret_of_this_test"
    broken: bool = False
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def files_asked(self) -> set[str]:
        """Names of the files that were asked for."""
        return {path.split(f"/resolve/{COMMIT}/")[1] for path in self.asked if "/resolve/" in path}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.hub, self.path.split("?")[0]
        hub.asked.append(path)
        token = self.headers.get("Authorization", "")
        if token:
            hub.tokens.append(token)
        found = re.match(r"(?:/api/models)?/([\w.-]+/[\w.-]+)/(revision|tree|resolve)/([^/]+)/?(.*)", path)
        if hub.broken or not found:
            return self._answer(500, b"{}")
        model, kind, _, name = found.groups()
        if model not in hub.models:
            return self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        folder = hub.models[model]
        names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        if kind == "revision":
            siblings = [{"rfilename": n} for n in names]
            return self._json({"id": model, "sha": COMMIT, "siblings": siblings, "private": False})
        if kind == "tree":
            rows = [{"type": "file", "path": n, "size": (folder / n).stat().st_size, "oid": n} for n in names]
            return self._json(rows)
        if model in hub.gated and token != f"Bearer {hub.token}":
            return self._answer(401 if not token else 403, b"{}", {"X-Error-Code": "GatedRepo"})
        content = (folder / name).read_bytes()
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self._answer(200, content, {"ETag": etag, "X-Repo-Commit": COMMIT})

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def run_hub() -> Iterator[Hub]:
    """Serve a hub on a free port of the loopback until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""Small questions over HTTP stay cheap."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lab_utils import web
from lab_utils.checks.asking import post
from lab_utils.progress.probes import http_get


class _Empty(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    """`host:port` of something that answers 200."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_certificates_are_read_once_for_all_questions(address: str, monkeypatch: Any) -> None:
    read = []
    make = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda *a, **k: read.append(a) or make(*a, **k))
    web.tls.cache_clear()
    for _ in range(2):
        answers = [
            web.get(f"http://{address}/", 5),
            web.post(f"http://{address}/", 5),
            http_get(address, "/"),
            post(address, "/"),
        ]
        assert [answer.status_code for answer in answers] == [200] * 4
    assert len(read) == 1

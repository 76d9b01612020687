"""Containers of the tests, and JupyterLab in them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import httpx

from lab_utils.server.ports import free_ports


@contextlib.contextmanager
def container(client: Any, image: str, command: list[str] | None = None, **options: Any) -> Iterator[Any]:
    """A started container, removed at the end with its volumes."""
    made = client.containers.create(image, command, detach=True, **options)
    try:
        made.start()
        yield made
    finally:
        made.remove(force=True, v=True)


def run(client: Any, image: str, command: list[str], **options: Any) -> tuple[int, str]:
    """Exit code and output (both streams) of a container that ends by itself."""
    with container(client, image, command, **options) as made:
        code = made.wait(timeout=120)["StatusCode"]
        return int(code), made.logs().decode(errors="replace")


def inside(made: Any, *command: str, **options: Any) -> tuple[int, str]:
    """Exit code and output of a program in a running container."""
    answer = made.exec_run(list(command), **options)
    return int(answer.exit_code), answer.output.decode(errors="replace")


def published(inner: int) -> tuple[int, dict[str, Any]]:
    """A free port, and what publishes a container's port there, on loopback alone."""
    (port,) = free_ports(1)
    return port, {"ports": {f"{inner}/tcp": ("127.0.0.1", port)}}


def until_healthy(made: Any, seconds: float = 90) -> None:
    """Wait for the image's own health check.

    Raises:
        AssertionError: The container ended, or is not healthy in time; with its log.
    """
    end = time.monotonic() + seconds
    while True:
        made.reload()
        state = made.attrs["State"]
        if state.get("Health", {}).get("Status") == "healthy":
            return
        log = made.logs(tail=60).decode(errors="replace")
        assert state["Running"], log
        assert time.monotonic() < end, f"{state.get('Health')}\n{log}"
        time.sleep(0.5)


def until_answers(made: Any, url: str, seconds: float = 60) -> httpx.Response:
    """The first answer of a server in a container."""
    end = time.monotonic() + seconds
    while True:
        try:
            return httpx.get(url, timeout=5)
        except httpx.HTTPError:
            made.reload()
            log = made.logs(tail=60).decode(errors="replace")
            assert made.attrs["State"]["Running"], log
            assert time.monotonic() < end, log
            time.sleep(0.2)


def notebooks(url: str, token: str) -> list[str]:
    """The files that a JupyterLab shows to somebody with its token.

    Args:
        url: Its address with the base URL, ending with a slash.
        token: The token.
    """
    answer = httpx.get(f"{url}api/contents", headers={"Authorization": f"token {token}"}, timeout=30)
    answer.raise_for_status()
    return [entry["name"] for entry in answer.json()["content"]]

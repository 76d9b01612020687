"""The few questions that the library itself asks a Triton over HTTP. Labs write these calls out."""

from __future__ import annotations

from typing import Any

import httpx

from lab_utils import web
from lab_utils.server import keys
from lab_utils.server.base import Endpoints


def status(endpoints: Endpoints, path: str, timeout: float = 3.0) -> int | None:
    """HTTP status of `GET path`; None when nobody answers in `timeout` seconds."""
    try:
        return web.get(f"{endpoints.http_url}{path}", timeout).status_code
    except httpx.HTTPError:
        return None


def live(endpoints: Endpoints, timeout: float = 3.0) -> bool:
    """True when `/v2/health/live` answers 200."""
    return status(endpoints, "/v2/health/live", timeout) == 200


def model_ready(endpoints: Endpoints, model: str, timeout: float = 3.0) -> bool:
    """True when `/v2/models/MODEL/ready` answers 200."""
    return status(endpoints, f"/v2/models/{model}/ready", timeout) == 200


def repository_index(endpoints: Endpoints, timeout: float = 5.0) -> list[dict[str, Any]]:
    """The repository index: one entry per model version with `name`, `version`, `state`, `reason`.

    Raises:
        httpx.HTTPError: Nobody answers, or the server refuses.
    """
    url, headers = f"{endpoints.http_url}/v2/repository/index", keys.headers_for(endpoints.http)
    answer = web.post(url, timeout, headers)
    answer.raise_for_status()
    entries: list[dict[str, Any]] = answer.json()
    return entries


def model_config(endpoints: Endpoints, model: str, timeout: float = 5.0) -> dict[str, Any]:
    """The configuration of a loaded model as the server reports it.

    Raises:
        httpx.HTTPError: Nobody answers, or the model is not loaded.
    """
    answer = web.get(f"{endpoints.http_url}/v2/models/{model}/config", timeout)
    answer.raise_for_status()
    config: dict[str, Any] = answer.json()
    return config

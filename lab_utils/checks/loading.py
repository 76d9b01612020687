"""Load a model on a server, and read from its log why it refused."""

from __future__ import annotations

import json
import re
from contextlib import suppress

from lab_utils.checks.asking import post
from lab_utils.server.base import Server

# The decisive lines, best first: libprotobuf's own words, then the repository's, then the backend's.
_DECISIVE = (
    r"Error parsing text-format inference\.ModelConfig: (.+)",
    r"Poll failed for model directory '[^']+': (.+)",
    r"failed to load '[^']+' version \d+: (.+)",
    r"failed to load model '[^']+': (.+)",
)


def load(server: Server, model: str) -> str:
    """Ask a server to load a model.

    Args:
        server: A server in explicit mode.
        model: The model's name.

    Returns:
        Empty when it is loaded. Otherwise the decisive words of the server's log; the load API often
        answers without them.
    """
    seen = len(server.logs())
    response = post(server.endpoints.http, f"/v2/repository/models/{model}/load")
    if response.status_code == 200:
        return ""
    lines = server.logs()[seen:].splitlines()
    for pattern in _DECISIVE:
        for line in lines:
            if found := re.search(pattern, line):
                return _plain(found[1])
    return _plain(response.text)


def warnings_about_versions(server: Server) -> str:
    """What the log says about version folders that Triton ignores, each thing once."""
    found = re.findall(r"ignore version directory '[^']*' which [^\"\n]+", server.logs())
    return "; ".join(dict.fromkeys(found))


def _plain(reason: str) -> str:
    """A reason without Python's traceback and without the wrapping of Triton's log."""
    with suppress(ValueError, KeyError, TypeError):  # the load API answers {"error": "…"}
        reason = json.loads(reason)["error"]
    reason = re.sub(r"^load failed for model '[^']+': ", "", reason)
    reason = re.split(r"\\n\\nAt:|\n\nAt:", reason)[0].strip().removesuffix('"')
    return re.sub(r"^(?:Internal|Invalid argument): (?:TritonModelException: )?", "", reason)

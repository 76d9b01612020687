"""Why the engine did not take, or did not finish, a request."""

from __future__ import annotations

from typing import Literal

from lab_utils.errors import LabError


class EngineError(LabError):
    """The engine cannot start, or a request that it had taken failed."""


class RequestRefused(EngineError):
    """A request that the engine did not take; nothing was computed for it.

    Attributes:
        reason: `invalid` (the request is wrong: change it), `busy` (the queue is full: ask again later)
            or `failed` (the engine does not run: load the model again).
    """

    def __init__(self, what: str, reason: Literal["invalid", "busy", "failed"], *, why: str = "", fix: str):
        super().__init__(what, why=why, fix=fix)
        self.reason = reason

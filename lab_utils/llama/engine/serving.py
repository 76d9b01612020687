"""The engine inside Triton's python backend: tensors to requests, outputs to responses.

Imported in the stub process of the model `llama`; nowhere else is there a `triton_python_backend_utils`.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from typing import Any

import triton_python_backend_utils as pb_utils

from lab_utils.errors import LabError
from lab_utils.llama.engine.engine import Engine
from lab_utils.llama.engine.errors import EngineError
from lab_utils.llama.engine.metrics import MetricsExporter
from lab_utils.llama.engine.reply import Reply
from lab_utils.llama.engine.tensors import read_request
from lab_utils.llama.source import find_llama

_log = logging.getLogger(__name__)
_PACKAGE = "lab_utils.llama"
# Asking Triton whether a request was cancelled costs about 0.1 ms of processor time.
ASKS_PER_SECOND = 250.0
LEAST_PAUSE_S = 0.01


class LlamaService:
    """One loaded model.

    Args:
        args: What Triton gives to `initialize`.

    Raises:
        TritonModelException: The Llama cannot be loaded; the message says why.
    """

    def __init__(self, args: Mapping[str, str]) -> None:
        _log_to_triton()
        config = json.loads(args["model_config"])
        settings = {
            name: entry.get("string_value", "").strip()
            for name, entry in config.get("parameters", {}).items()
        }
        try:
            numbers = {name: _whole(settings, name, default) for name, default in _NUMBERS.items()}
            _log.info("Looking for the Llama. The small one is trained first if it is not in the cache.")
            folder = find_llama(settings.get("model") or None)
            self.engine = Engine(
                folder,
                dtype=settings.get("dtype") or "auto",
                device=settings.get("device") or "auto",
                **numbers,
            )
        except LabError as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self._open: dict[int, Reply] = {}
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._metrics = MetricsExporter(self.engine, args["model_name"], args["model_version"])
        self._watcher = threading.Thread(target=self._watch, name="llama-cancellation", daemon=True)
        self._watcher.start()

    def take(self, request: Any) -> None:
        """Hand a request to the engine, or refuse it. Never raises: an error here is that request's own."""
        reply = Reply(request, self._forget)
        try:
            question, reply.streams = read_request(request)
            with self._guard:
                self._open[id(reply)] = reply
            reply.handle = self.engine.submit(question, reply)
        except Exception as error:
            if not isinstance(error, LabError):
                _log.exception("A request could not be read")
            reply.refuse(error)

    def close(self) -> None:
        """End the threads and free the model."""
        self._closing.set()
        self._watcher.join()
        self.engine.close()
        self._metrics.close()

    def _forget(self, reply: Reply) -> None:
        with self._guard:
            self._open.pop(id(reply), None)

    def _watch(self) -> None:
        """Ask Triton, request by request, whether its client has cancelled or gone away."""
        while not self._closing.is_set():
            with self._guard:
                replies = list(self._open.values())
            for reply in replies:
                reply.ask()
            self._closing.wait(max(LEAST_PAUSE_S, len(replies) / ASKS_PER_SECOND))


_NUMBERS = {"slots": 16, "max_length": 512, "max_queue": 64, "prefill_tokens": 256, "threads": 1}


def _whole(settings: Mapping[str, str], name: str, default: int) -> int:
    text = settings.get(name) or str(default)
    if not text.isdecimal():
        raise EngineError(
            f"The parameter {name} is {text!r}; it must be a whole number.",
            fix=f"Change {name} in config.pbtxt.",
        )
    return int(text)


class _TritonLog(logging.Handler):
    """Sends log records to Triton's log."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = pb_utils.Logger
        write = (
            logger.log_error
            if record.levelno >= logging.ERROR
            else logger.log_warn
            if record.levelno >= logging.WARNING
            else logger.log_info
        )
        write(self.format(record))


def _log_to_triton() -> None:
    logger = logging.getLogger(_PACKAGE)
    if not logger.handlers:
        logger.addHandler(_TritonLog())
    logger.setLevel(logging.INFO)

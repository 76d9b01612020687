"""Classes of failed requests: what went wrong, in the words of one table for all protocols."""

from __future__ import annotations

FAULTS = (
    "ok",
    "queue_full",
    "queue_timeout",
    "wrong_input",
    "unknown_model",
    "unavailable",
    "model_error",
    "client_timeout",
    "connection",
    "wrong_answer",
    "unfinished",
    "not_sent",
    "other",
)
"""All classes. Their index is what a load process sends."""

MEANING = {
    "queue_full": "Triton refused it: the model's queue was at max_queue_size",
    "queue_timeout": "it waited in the queue longer than its time-out",
    "wrong_input": "the request does not fit the model",
    "unknown_model": "no such model or version is loaded",
    "unavailable": "the model or the server cannot answer now",
    "model_error": "the model failed while it ran",
    "client_timeout": "the client gave up waiting",
    "connection": "the connection was refused or broke",
    "wrong_answer": "the answer is not the expected one",
    "unfinished": "no answer had come when the load ended",
    "not_sent": "it was due, and the load ended before the client could send it",
    "other": "none of the above",
}

# Texts of Triton 24.10 (core: dynamic_batch_scheduler.cc, scheduler_utils.cc, infer_request.cc), lower case.
# They stand before the status: HTTP has one status, 400, for several of them.
_TEXTS = (
    ("exceeds maximum queue size", "queue_full"),
    ("request timeout expired", "queue_timeout"),
    ("unknown model", "unknown_model"),
    ("unknown version", "unknown_model"),
    ("not found", "unknown_model"),
    ("is not ready", "unavailable"),
    ("server exiting", "unavailable"),
    ("failed to connect", "connection"),
    ("connection refused", "connection"),
    ("connection reset", "connection"),
    ("socket closed", "connection"),
)
_HTTP = {
    400: "wrong_input",
    404: "unknown_model",
    500: "model_error",
    503: "unavailable",
    504: "queue_timeout",
}
# grpc.StatusCode by number: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
_GRPC = {
    3: "wrong_input",
    4: "client_timeout",
    5: "unknown_model",
    11: "wrong_input",
    12: "wrong_input",
    13: "model_error",
    14: "unavailable",
}


def classify_http(status: int, message: str) -> str:
    """The class of an HTTP answer that is not 200."""
    return _by_text(message) or _HTTP.get(status, "other")


def classify_grpc(code: int, message: str) -> str:
    """The class of a gRPC status that is not OK."""
    return _by_text(message) or _GRPC.get(code, "other")


def classify_stream(message: str) -> str:
    """The class of an error message on a stream. A stream carries no status code, only the text."""
    words = ("expected", "unexpected input", "data-type", "batch-size", "but got", "invalid argument")
    found = _by_text(message)
    return found or ("wrong_input" if any(w in message.lower() for w in words) else "model_error")


def _by_text(message: str) -> str | None:
    text = message.lower()
    return next((name for part, name in _TEXTS if part in text), None)

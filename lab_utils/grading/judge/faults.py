"""Exceptions that cross from one process to the other: described in words, and made again as their own kind.

The class is looked up among those that are known here, by name, and its own code is never run: the new
error is of a class made on the spot, which is a kind of the known one and says the words it was given.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from lab_utils.progress.limits import student_line

MOST_TEXT = 20_000
_MOST_KINDS = 12
_KNOWN = (
    "asyncio", "binascii", "builtins", "concurrent", "google", "grpc", "httpcore", "httpx", "jinja2", "json",
    "numpy", "onnx", "onnxruntime", "prometheus_client", "queue", "re", "requests",
    "safetensors", "shutil", "socket", "ssl", "struct", "subprocess", "tarfile", "threading", "tokenizers",
    "torch",
    "transformers", "tritonclient", "urllib", "urllib3", "yaml", "zipfile", "zlib",
)  # fmt: skip
"""Packages whose exceptions a check may tell apart. The course's own come from the judge alone."""


def describe_error(error: BaseException, raised: int | None = None) -> dict[str, Any]:
    """An error as plain values: its classes, its words, the student's own line.

    Args:
        error: What was raised.
        raised: The judge's number of it, if it came from there.
    """
    try:
        text = str(error)[:MOST_TEXT]
    except Exception:
        text = ""
    kinds = [[kind.__module__, kind.__qualname__] for kind in type(error).__mro__[:_MOST_KINDS]]
    return {"kinds": kinds, "text": text, "line": student_line(error.__traceback__)[:500], "raised": raised}


def rebuild_error(about: Any, *, trusted: bool = False) -> BaseException:
    """An error that is caught, and reads, like the one described. Believes nothing of the description.

    Args:
        about: As `describe_error` makes it.
        trusted: It comes from the judge: it may be one of the course's own errors.
    """
    kinds = about.get("kinds") if isinstance(about, Mapping) else None
    pairs = [pair for pair in kinds if _is_pair(pair)] if isinstance(kinds, list) else []
    base = next((found for module, name in pairs if (found := _known(module, name, trusted))), Exception)
    name = pairs[0][1].rpartition(".")[2][:100] if pairs else "Exception"
    text = _text(about, "text", MOST_TEXT)
    made = type(
        name if name.isidentifier() else "Exception",
        (base,),
        {"__init__": lambda self, *_: None, "__str__": lambda self: text, "__module__": base.__module__},
    )
    error: BaseException = made()
    error.args = (text,)
    error.student_line = _text(about, "line", 500)  # type: ignore[attr-defined]
    return error


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(word, str) for word in pair)


def _text(about: Any, key: str, most: int) -> str:
    value = about.get(key, "") if isinstance(about, Mapping) else ""
    return value[:most] if isinstance(value, str) else ""


def _known(module: str, name: str, trusted: bool) -> type[BaseException] | None:
    """An exception class that is imported here already, and can be made without arguments."""
    known = (*_KNOWN, "lab_utils") if trusted else _KNOWN
    if module.partition(".")[0] not in known or not name.isidentifier() or name.startswith("_"):
        return None
    kind = getattr(sys.modules.get(module), name, None)
    if (
        not isinstance(kind, type)
        or not issubclass(kind, BaseException)
        or issubclass(kind, BaseExceptionGroup)
    ):
        return None
    # A `__new__` written in Python would be code of its own.
    return (
        None if any("__new__" in vars(one) and one.__module__ != "builtins" for one in kind.__mro__) else kind
    )

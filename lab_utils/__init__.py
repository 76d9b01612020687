"""Hands-on labs for NVIDIA Triton Inference Server: `from lab_utils import Lab`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab_utils.lab import Lab

__all__ = ["Lab", "__version__"]


def __getattr__(name: str) -> Any:
    """Import on first use: the server's keeper process and the command line start without notebooks."""
    if name == "Lab":
        from lab_utils.lab import Lab

        return Lab
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("triton-labs")
        except PackageNotFoundError:
            return "0+unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

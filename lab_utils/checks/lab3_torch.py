"""What the PyTorch checks of Lab 3 share."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab_utils.progress.context import LabContext
from lab_utils.progress.registry import Verdict, skipped


def missing_torch() -> Verdict | None:
    """SKIP when PyTorch is not installed, else None."""
    if importlib.util.find_spec("torch") is not None:
        return None
    return skipped(
        "PyTorch is not installed, so nothing can be exported or compared with it",
        "Install it with `pip install -e '.[torch]' -c constraints.txt`, restart, then check again.",
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Without PyTorch's warnings: that TorchScript is deprecated, and what a trace bakes in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def difference(found: Any, wanted: Any) -> float:
    """The largest absolute difference of two tensors; infinite when their shapes differ."""
    import torch

    if not isinstance(found, torch.Tensor) or found.shape != wanted.shape:
        return float("inf")
    with torch.no_grad():
        apart = (found.double() - wanted.double()).abs()
    return float(apart.nan_to_num(nan=float("inf")).max()) if apart.numel() else 0.0


def run(module: Any, *inputs: Any) -> Any:
    """One call of a module, without gradients and warnings.

    Raises:
        Exception: Whatever the module raises.
    """
    import torch

    with torch.no_grad(), quiet():
        return module(*inputs)


def read_program(ctx: LabContext, file: Path) -> Any:
    """The module of a torch.export program that a student's function wrote.

    Such a file is a program. A judge of other people's work has another process read it.
    """
    elsewhere = getattr(ctx, "read_program", None)
    if elsewhere is not None:
        return elsewhere(file)
    import torch

    with quiet():
        return torch.export.load(file).module()

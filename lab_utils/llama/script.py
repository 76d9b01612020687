"""Compile a Llama with TorchScript."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from lab_utils.llama.model import Llama

METHODS = ("prefill", "extend", "decode")


def scripted(llama: Llama, freeze: bool = True) -> Any:
    """The model as TorchScript: `forward`, `prefill`, `extend` and `decode`, all without Python.

    A scripted step holds no Python lock (GIL), so threads that send answers do not slow it down, and
    it saves the interpreter's share of a small step.

    TorchScript's standing: PyTorch calls it deprecated (`torch.export` follows it) and does not support
    it on Python 3.14 and later. It still is what Triton's `pytorch_libtorch` platform loads, and it works
    on the versions that this course pins. The deprecation warnings are silenced here and nowhere else.

    Args:
        llama: The model; its weights are shared with the result, not copied.
        freeze: Make weights and sizes constants of the graph. Such a module cannot move to another device.

    Returns:
        A `ScriptModule`.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        module = torch.jit.script(llama.eval())
        return torch.jit.freeze(module, preserved_attrs=list(METHODS)) if freeze else module

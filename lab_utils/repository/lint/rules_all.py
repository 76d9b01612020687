"""Importing this module fills the table of rules."""

from __future__ import annotations

from lab_utils.repository.lint import (
    rules_backend,
    rules_batching,
    rules_config,
    rules_ensemble,
    rules_instances,
    rules_layout,
    rules_members,
    rules_onnx,
    rules_python,
    rules_sequence,
    rules_tensors,
    rules_torch,
    rules_warmup,
)
from lab_utils.repository.lint.registry import ERROR, Hits, rule

__all__ = [
    "rules_backend",
    "rules_batching",
    "rules_config",
    "rules_ensemble",
    "rules_instances",
    "rules_layout",
    "rules_members",
    "rules_onnx",
    "rules_python",
    "rules_sequence",
    "rules_tensors",
    "rules_torch",
    "rules_warmup",
]


@rule("ensemble-member", ERROR, "A step with a model that Triton itself refuses.", group=rules_ensemble.GROUP)
def ensemble_member(model: object, facts: object) -> Hits:
    """Found by `run.py`, which has the findings of all models."""
    yield from ()

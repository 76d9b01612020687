"""The one table of rules, in the order in which they are tried: the first that fits a message wins."""

from __future__ import annotations

from collections.abc import Iterator

from lab_utils.diagnosis.rule import Match, Rule
from lab_utils.diagnosis.rules import (
    answers,
    config,
    container,
    ensemble,
    gpu,
    layout,
    memory,
    model_files,
    network,
    onnx,
    other_backends,
    parsing,
    python_stub,
    pytorch,
    requests,
    scheduling,
    shared_memory,
    startup,
    symptoms,
    tensorrt,
    tensorrt_llm,
    vllm,
)

# Exact messages of the server first; then what any backend or Python module may wrap into its own.
MODULES = (
    parsing,
    ensemble,
    scheduling,
    config,
    layout,
    shared_memory,
    memory,
    model_files,
    other_backends,
    onnx,
    tensorrt,
    tensorrt_llm,
    vllm,
    pytorch,
    gpu,
    requests,
    answers,
    network,
    container,
    startup,
    python_stub,
    symptoms,
)
RULES: tuple[Rule, ...] = tuple(rule for module in MODULES for rule in module.RULES)
FAMILIES: dict[str, str] = {
    module.RULES[0].family: (module.__doc__ or "").split("\n")[0] for module in MODULES
}
"""The class of the rules → what it is about, in a sentence."""


def matches(text: str) -> Iterator[Match]:
    """Every rule that fits a text, in the order of the table."""
    return (found for rule in RULES if (found := rule.match(text)))


def best_match(text: str) -> Match | None:
    """The first rule that names a cause; else the first that knows the message as a symptom."""
    symptom: Match | None = None
    for found in matches(text):
        if not found.rule.symptom:
            return found
        symptom = symptom or found
    return symptom

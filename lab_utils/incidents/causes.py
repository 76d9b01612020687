"""What may go wrong: the catalogue of causes, where each shows, and the mends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab_utils.incidents.layout import HEALTHY, Setting, changed


@dataclass(frozen=True)
class Cause:
    """One thing that may be wrong with one model.

    Attributes:
        name: Its key in `CAUSES`.
        title: What happened, in a few words.
        shows: Where it can be seen, and what is not there.
        mend: The name of the mend that ends it.
        models: The models that it may strike.
        changes: What becomes of the setting; empty: the model is unloaded.
    """

    name: str
    title: str
    shows: str
    mend: str
    models: tuple[str, ...]
    changes: Mapping[str, Any]

    def strike(self, model: str) -> Setting:
        """The setting of a model that this happened to."""
        return changed(HEALTHY[model], **self.changes)


_DESKS, _CACHED, _STEPS = ("audio", "ticket"), ("floor", "menu"), ("hear", "reply")

CAUSES: dict[str, Cause] = {
    cause.name: cause
    for cause in (
        Cause(
            "too_few_instances",
            "one instance fewer: the queue grows and grows",
            "Metrics: time in the queue up, compute and mean batch as before. Clients: late, none fails.",
            "add_instance",
            _DESKS,
            {"instances": 1},
        ),
        Cause(
            "batch_delay",
            "a request waits far too long for others to share its batch",
            "Metrics: time in the queue up, mean batch up, compute as before. Clients: answers late.",
            "cut_delay",
            (*_DESKS, *_STEPS),
            {"delay_us": 400_000},
        ),
        Cause(
            "error_responses",
            "the model answers with errors, which Triton counts as success",
            "Clients: failures, with the model's own words. Metrics and log: nothing.",
            "roll_back",
            _DESKS,
            {"fault": {"refuses": 3}},
        ),
        Cause(
            "execute_raises",
            "the model's code raises an exception",
            "Metrics: failures with reason BACKEND. Clients: failures, with a line of the code.",
            "roll_back",
            _DESKS,
            {"fault": {"raises": 3}},
        ),
        Cause(
            "queue_timeout",
            "requests are refused because they wait a moment",
            "Metrics: failures with reason REJECTED, queue down. Clients: failures, 'timeout expired'.",
            "raise_timeout",
            _DESKS,
            {"timeout_us": 10_000},
        ),
        Cause(
            "slow_step",
            "one step of the ensemble has become slow",
            "Trace: one long span below `guide`. Metrics: compute of that step up. Clients: `guide` is late.",
            "roll_back",
            _STEPS,
            {"fault": {"slower": 8}},
        ),
        Cause(
            "not_ready",
            "an expected model is not there",
            "Repository index: not READY. Log: it was unloaded. Clients: all fail. Metrics: no growth.",
            "load_model",
            (*_DESKS, *_CACHED),
            {},
        ),
        Cause(
            "cache_off",
            "answers are not kept any more",
            "Metrics: no cache hits, compute time where there was none. Clients: late, none fails.",
            "switch_cache_on",
            _CACHED,
            {"cache": False},
        ),
    )
}
"""All causes by name."""

MENDS: dict[str, str] = {
    "add_instance": "one instance more",
    "cut_delay": "no delay for batches",
    "raise_timeout": "no time-out in the queue",
    "roll_back": "the release before",
    "load_model": "load the model",
    "switch_cache_on": "answers are kept",
}
"""All mends by name."""


def mended(setting: Setting, mend: str) -> Setting:
    """The setting of a model after a mend, whether or not it helps."""
    changes: dict[str, dict[str, Any]] = {
        "add_instance": {"instances": setting.instances + 1},
        "cut_delay": {"delay_us": None},
        "raise_timeout": {"timeout_us": None},
        "roll_back": {"fault": {}},
        "load_model": {},
        "switch_cache_on": {"cache": True},
    }
    return changed(setting, **changes[mend])


def catalogue() -> str:
    """Causes and mends as text, without saying which belong together."""
    lines = ["Causes"]
    lines += [f"  {name:<18}{cause.title}" for name, cause in CAUSES.items()]
    lines += ["", "Mends"]
    lines += [f"  {name:<18}{what}" for name, what in MENDS.items()]
    return "\n".join(lines)

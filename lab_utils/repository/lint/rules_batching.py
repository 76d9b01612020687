"""Rules about the dynamic batcher, its queue and ragged inputs, and about cache and decoupled models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tritonclient.grpc.model_config_pb2 import TYPE_STRING

from lab_utils.repository.lint.facts import ServerFacts
from lab_utils.repository.lint.model import Model
from lab_utils.repository.lint.registry import ERROR, WARNING, Hit, Hits, rule

GROUP = "Batching, queue and cache"
DELAY = 1  # ModelQueuePolicy.TimeoutAction


@rule("never-batches", WARNING, "`dynamic_batching` with `max_batch_size: 0`.", group=GROUP)
def never_batches(model: Model, facts: ServerFacts) -> Hits:
    """Tried: READY, and each request is one execution."""
    batching = model.config.dynamic_batching
    queue = batching.priority_levels or batching.HasField("default_queue_policy")
    if (
        not model.config.HasField("dynamic_batching")
        or model.max_batch_size > 0
        or not model.tensors_known
        or queue
    ):
        return
    if model.config.max_batch_size == 0 and not _preferred(batching):
        yield Hit(
            "Dynamic batching is on and `max_batch_size` is 0: requests are never joined.",
            "Set `max_batch_size` above 0 (and take the batch dimension out of `dims`), or leave "
            "`dynamic_batching` out.",
            "dynamic_batching",
        )


def _preferred(batching: Any) -> list[int]:
    return [int(size) for size in batching.preferred_batch_size]


@rule("preferred-size", ERROR, "A preferred batch size above `max_batch_size`, or below 1.", group=GROUP)
def preferred_size(model: Model, facts: ServerFacts) -> Hits:
    """Checked before auto-complete, against the number that stands in the file."""
    config = model.config
    for where, batcher in (
        ("dynamic_batching", config.dynamic_batching),
        ("sequence_batching.oldest", config.sequence_batching.oldest),
    ):
        sizes = _preferred(batcher)
        wrong = [s for s in sizes if s < 1 or s > config.max_batch_size]
        if wrong:
            bound = f"`max_batch_size` is {config.max_batch_size}" if wrong[0] > 0 else "a size is 1 or more"
            yield Hit(
                f"The preferred batch size {wrong[0]} is out of range: {bound}.",
                "Take it out, or raise `max_batch_size`.",
                f"{where}.preferred_batch_size",
            )


@rule(
    "priority-level", ERROR, "Priority levels with a default, or a policy, outside their range.", group=GROUP
)
def priority_level(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `default priority level must be in range [1, 2]`."""
    batching = model.config.dynamic_batching
    levels, default = batching.priority_levels, batching.default_priority_level
    if not levels:
        return
    if not 1 <= default <= levels:
        is_ = "is missing" if default == 0 else f"is {default}"
        yield Hit(
            f"There are {levels} priority levels, and `default_priority_level` {is_}.",
            f"Write `default_priority_level` from 1 to {levels}; 1 is the highest priority.",
            "dynamic_batching.default_priority_level" if default else "dynamic_batching.priority_levels",
        )
    for level in batching.priority_queue_policy:
        if not 1 <= level <= levels:
            yield Hit(
                f"A queue policy is for priority {level}, and there are {levels} levels.",
                f"Use a key from 1 to {levels}.",
                f"dynamic_batching.priority_queue_policy[{level}]",
            )


@rule(
    "priority-unused", WARNING, "Priorities or their queue policies without `priority_levels`.", group=GROUP
)
def priority_unused(model: Model, facts: ServerFacts) -> Hits:
    """It loads, and every request is in one queue."""
    batching = model.config.dynamic_batching
    if batching.priority_levels or not model.config.HasField("dynamic_batching"):
        return
    for name in ("default_priority_level", "priority_queue_policy"):
        # An entry without any setting is how a config printed from JSON says "none".
        empty = name == "priority_queue_policy" and not any(
            p.ByteSize() for p in batching.priority_queue_policy.values()
        )
        if getattr(batching, name) and not empty:
            yield Hit(
                f"`{name}` does nothing: `priority_levels` is not set.",
                "Add `priority_levels: 2` (or as many as there are).",
                f"dynamic_batching.{name}",
            )


def _policies(batching: Any) -> Iterator[tuple[str, Any]]:
    yield "dynamic_batching.default_queue_policy", batching.default_queue_policy
    for level, policy in batching.priority_queue_policy.items():
        yield f"dynamic_batching.priority_queue_policy[{level}]", policy


@rule(
    "preserve-ordering",
    ERROR,
    "`preserve_ordering` with several priorities or with delayed time-outs.",
    group=GROUP,
)
def preserve_ordering(model: Model, facts: ServerFacts) -> Hits:
    """Priorities and delays change the order that is to be kept."""
    batching = model.config.dynamic_batching
    if not batching.preserve_ordering:
        return
    if batching.priority_levels > 1:
        yield Hit(
            "`preserve_ordering` and several priority levels exclude each other.",
            "Keep one of the two.",
            "dynamic_batching.preserve_ordering",
        )
    for where, policy in _policies(batching):
        if policy.default_timeout_microseconds and policy.timeout_action == DELAY:
            yield Hit(
                "`preserve_ordering` does not go with `timeout_action: DELAY`.",
                "Use REJECT.",
                f"{where}.timeout_action",
            )


@rule("timeout-action", WARNING, "`timeout_action: DELAY` with no time-out to act on.", group=GROUP)
def timeout_action(model: Model, facts: ServerFacts) -> Hits:
    """Without a default and without `allow_timeout_override` no request ever times out in the queue."""
    for where, policy in _policies(model.config.dynamic_batching):
        if (
            policy.timeout_action == DELAY
            and not policy.default_timeout_microseconds
            and not policy.allow_timeout_override
        ):
            yield Hit(
                "`timeout_action: DELAY` does nothing: no request has a time-out.",
                "Set `default_timeout_microseconds`, or `allow_timeout_override: true`.",
                f"{where}.timeout_action",
            )


@rule(
    "ragged-refused",
    ERROR,
    "`allow_ragged_batch` for a backend that does not have it.",
    group=GROUP,
    whole=False,
)
def ragged_refused(model: Model, facts: ServerFacts) -> Hits:
    """The course's Python-based backends refuse it; the C++ ones need `batch_input` with it."""
    for index, entry in enumerate(model.config.input):
        if entry.allow_ragged_batch and model.in_python:
            yield Hit(
                f"The {model.backend.name} backend of this server has no ragged batches (input "
                f"`{entry.name}`).",
                "Take `allow_ragged_batch` out and pad in the client, or serve it with the C++ backend.",
                f"input[{index}].allow_ragged_batch",
            )


@rule("ragged-never", WARNING, "Ragged or variable inputs that are never batched as meant.", group=GROUP)
def ragged_never(model: Model, facts: ServerFacts) -> Hits:
    """Requests of unequal shape share a batch only with `allow_ragged_batch`, where there is a batcher."""
    config = model.config
    batching = config.dynamic_batching
    # A preferred size says nothing here: Triton itself writes one into the config that it serves.
    waits = bool(batching.max_queue_delay_microseconds)
    for index, entry in enumerate(config.input):
        if entry.allow_ragged_batch and not model.in_python:
            if model.max_batch_size == 0:
                why = "`max_batch_size` is 0"
            elif not model.dynamic_batching and not config.HasField("sequence_batching"):
                why = "there is no `dynamic_batching`"
            else:
                continue
            yield Hit(
                f"`allow_ragged_batch` of `{entry.name}` does nothing: {why}.",
                "Add what is missing, or take it out.",
                f"input[{index}].allow_ragged_batch",
            )
        elif entry.data_type == TYPE_STRING:
            continue  # a variable number of texts is mostly one text
        elif -1 in entry.dims and not entry.allow_ragged_batch and waits and config.max_batch_size > 1:
            yield Hit(
                f"`{entry.name}` varies in shape: requests wait to be batched, and only those of "
                "equal shape are.",
                "Let clients pad to a few shapes, or set `allow_ragged_batch: true` where the "
                "model can take it.",
                f"input[{index}].dims",
            )


@rule("cache-decoupled", ERROR, "The response cache with a decoupled model.", group=GROUP, whole=False)
def cache_decoupled(model: Model, facts: ServerFacts) -> Hits:
    """Triton: `Response Cache does not currently support model x with 'decoupled' transaction policy`."""
    config = model.config
    if not config.response_cache.enable:
        return
    decoupled = config.model_transaction_policy.decoupled
    members = [s.model_name for s in config.ensemble_scheduling.step] if model.ensemble else []
    for name in members:
        member = model.member(name)
        decoupled = decoupled or bool(member and member.config.model_transaction_policy.decoupled)
    if decoupled:
        yield Hit(
            "The response cache cannot hold the answers of a decoupled model.",
            "Take `response_cache` or `decoupled` out.",
            "response_cache",
        )


@rule(
    "cache-off", WARNING, "`response_cache` on a server without `--cache-config`.", group=GROUP, whole=False
)
def cache_off(model: Model, facts: ServerFacts) -> Hits:
    """Tried: READY, no word in the log, nothing is cached."""
    if (
        model.config.response_cache.enable
        and not facts.cache
        and not model.config.model_transaction_policy.decoupled
    ):
        yield Hit(
            "The server has no cache: `response_cache` does nothing.",
            "Start the server with `--cache-config=local,size=16777216` (bytes).",
            "response_cache",
        )

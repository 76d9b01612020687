"""What an engine has done: counters, gauges and two histograms."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lab_utils.llama.engine.histogram import ITL_BOUNDS, TTFT_BOUNDS, Histogram

OUTCOMES = ("stop", "length", "cancelled", "error")


@dataclass
class Counts:
    """Kept by the engine's thread."""

    prompt_tokens: int = 0
    generated_tokens: int = 0
    steps: int = 0
    rows: int = 0
    prefills: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    ttft: Histogram = field(default_factory=lambda: Histogram(TTFT_BOUNDS))
    itl: Histogram = field(default_factory=lambda: Histogram(ITL_BOUNDS))


@dataclass(frozen=True)
class EngineStats:
    """A look at the engine.

    Attributes:
        slots: Requests that can run together.
        active: Slots in use: requests that run, and a long prompt that is being read.
        waiting: Requests in the queue.
        undelivered: Complete answers whose receiver has not taken the end.
        prompt_tokens: Prompt tokens read.
        generated_tokens: Tokens made.
        steps: Decode steps.
        rows: Tokens made in decode steps; `rows / steps` is the mean batch size.
        prefills: Calls that read prompts or pieces of one.
        ended: Requests by outcome: `stop`, `length`, `cancelled`, `error`.
        refused: Requests not taken.
        ttft: Seconds from `submit` to the first token, one value per request.
        itl: Seconds between two tokens, one value per step in which requests went on running (every one of
            them waited that long).
        weights_bytes: Memory of the weights.
        kv_bytes: Memory of the KV cache, taken at load and never more.
        failure: Why the engine does not run any more; empty while it runs.
    """

    slots: int
    active: int
    waiting: int
    undelivered: int
    prompt_tokens: int
    generated_tokens: int
    steps: int
    rows: int
    prefills: int
    ended: dict[str, int]
    refused: int
    ttft: Histogram
    itl: Histogram
    weights_bytes: int
    kv_bytes: int
    failure: str

"""From the moments of all responses to the figures of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lab_utils.load.figures import DONE, FAULT, INTENDED, RESPONSES, Window
from lab_utils.load.generation_result import GenerationResult, Timeline
from lab_utils.load.plan import OK
from lab_utils.load.result import Latency, LoadResult
from lab_utils.load.summary import Measured

TIMELINES = 32
"""Requests of which every token is kept for a picture."""


@dataclass(frozen=True)
class Answered:
    """One request that was answered well.

    Attributes:
        row: Its row in the table of all requests.
        moments: When each response with tokens arrived, seconds of `time.perf_counter`.
        counts: How many tokens each of them carried; 1 or more.
    """

    row: Any
    moments: Any
    counts: Any


def answered(rows: Any, arrivals: Any) -> Iterator[Answered]:
    """The well answered requests with their responses, those without a token left out.

    Args:
        rows: `[n, 6]`, one per request (`lab_utils.load.plan.COLUMNS`).
        arrivals: `[sum of the column responses, 2]`: moment and tokens of each response, in the same order.
    """
    ends = np.cumsum(rows[:, RESPONSES]).astype(int)
    for row, end in zip(rows, ends.tolist(), strict=True):
        if row[FAULT] != OK:
            continue
        own = arrivals[end - int(row[RESPONSES]) : end]
        own = own[own[:, 1] > 0]
        yield Answered(row, own[:, 0], own[:, 1].astype(int))


def summarize_generation(load: LoadResult, measured: Measured, checked: bool) -> GenerationResult:
    """The figures of tokens of a load.

    Tokens and gaps count when they arrived in the measured time, whenever their request began or
    ended, so that the throughput has no edges. TTFT, TPOT and latency count for the requests that
    count (`figures.good`).

    Args:
        load: The figures of its requests.
        measured: What was measured.
        checked: Whether the answers were compared.
    """
    window, open_loop = measured.window, load.rate is not None
    column = INTENDED if open_loop else DONE
    firsts: list[float] = []
    means: list[float] = []
    sizes: list[int] = []
    gaps: list[Any] = []
    timelines: list[Timeline] = []
    tokens = responses = zeros = 0
    for found in answered(measured.rows, measured.arrivals):
        moments, counts, row = found.moments, found.counts, found.row
        inside = (moments >= window.start) & (moments <= window.end)
        tokens += int(counts[inside].sum())
        responses += int(np.count_nonzero(inside))
        zeros += int((counts[inside] - 1).sum())
        gaps.append(np.diff(moments)[inside[1:]])
        if not window.start <= row[column] <= window.end:
            continue
        total = int(counts.sum())
        sizes.append(total)
        if total:
            firsts.append(moments[0] - row[INTENDED])
        if total > 1:
            means.append((moments[-1] - moments[0]) / (total - 1))
        if len(timelines) < TIMELINES:
            timelines.append(_timeline(found, window))
    between = np.concatenate([np.empty(0), *gaps])
    result = GenerationResult(
        load,
        tokens,
        tokens / window.seconds if window.seconds > 0 else 0.0,
        Latency.of(firsts),
        Latency.of(np.concatenate([between, np.zeros(zeros)])),
        Latency.of(between),
        Latency.of(means),
        float(np.mean(sizes)) if sizes else float("nan"),
        tokens / responses if responses else float("nan"),
        checked,
        sorted(timelines, key=lambda timeline: timeline.due),
    )
    notes = [*load.notes, *_notes(result)]
    return replace(result, load=replace(load, notes=notes))


def _timeline(found: Answered, window: Window) -> Timeline:
    moments = np.repeat(found.moments, found.counts) - window.start
    return Timeline(
        float(found.row[INTENDED] - window.start), moments.tolist(), float(found.row[DONE] - window.start)
    )


def _notes(result: GenerationResult) -> Iterator[str]:
    if result.tokens_per_response > 1.05 and result.between.count:
        yield (
            f"a response carried {result.tokens_per_response:.1f} tokens on average: ITL counts a gap of 0 "
            "between tokens of one response, `between` counts the gaps between responses"
        )
    if result.requests and not result.ttft.count:
        yield "no answer had a token"

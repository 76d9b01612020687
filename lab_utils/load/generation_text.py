"""Results of text generation as text: one in full, or several as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lab_utils.load.generation_result import GenerationResult, named
from lab_utils.load.result import describe_errors
from lab_utils.load.text import milliseconds, times


def one_generation(result: GenerationResult) -> str:
    """A result in full."""
    load = result.load
    lines = [
        f"{result.model}: {result.tokens_per_second:,.1f} tokens/s "
        f"({load.protocol}, {result.label}, {result.seconds:.1f} s)",
        f"  {'requests':<11}{result.requests} answered ({result.requests_per_second:,.2f}/s), "
        f"{result.failed} failed; {_checked(result)}",
        f"  {'tokens':<11}{result.tokens}; {_number(result.tokens_per_request)} per request, "
        f"{_number(result.tokens_per_response)} per response",
        times("TTFT", result.ttft),
        times("ITL", result.itl),
        times("between", result.between),
        times("TPOT", result.tpot),
        times("latency", result.latency),
    ]
    lines += [f"  {'failed':<11}{line}" for line in describe_errors(result.errors, result.messages)]
    lines += [f"  {'note':<11}{note}" for note in result.notes]
    return "\n".join(lines)


def generation_table(results: Mapping[str, GenerationResult] | list[GenerationResult]) -> str:
    """Several results, one line each; their notes and failures below.

    Args:
        results: By name, or a list.
    """
    several = named(results)
    width = max(18, *(len(name) + 2 for name in several))
    lines = [
        f"{'load':<{width}}{'tokens/s':>10}{'requests/s':>12}{'TTFT p50':>10}{'p95 ms':>9}{'ITL p50':>9}"
        f"{'p95 ms':>9}{'latency p50':>13}{'p95 ms':>9}{'failed':>8}"
    ]
    below: list[str] = []
    for name, result in several.items():
        lines.append(
            f"{name:<{width}}{result.tokens_per_second:>10,.1f}{result.requests_per_second:>12,.2f}"
            f"{milliseconds(result.ttft.p50):>10}{milliseconds(result.ttft.p95):>9}"
            f"{milliseconds(result.itl.p50):>9}{milliseconds(result.itl.p95):>9}"
            f"{milliseconds(result.latency.p50):>13}{milliseconds(result.latency.p95):>9}{result.failed:>8}"
        )
        below += [f"{name}: {line}" for line in describe_errors(result.errors, result.messages)]
        below += [f"{name}: {note}" for note in result.notes]
    return "\n".join(lines + below)


def _checked(result: GenerationResult) -> str:
    if not result.checked:
        return "answers not compared"
    return f"{result.wrong_answers} wrong answers" if result.wrong_answers else "every answer as expected"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"

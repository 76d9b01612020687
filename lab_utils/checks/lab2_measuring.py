"""Checkpoint 2.7: a batching delay and a number of instances, chosen by measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab_utils.checks.lab2_delay import judge_delay_live, judge_delay_on_record, shown
from lab_utils.checks.lab2_instances import judge_count_live, judge_count_on_record
from lab_utils.progress.context import LabContext
from lab_utils.progress.registry import Verdict, checkpoint, passed


@checkpoint(
    "2.7", title="Choose by measuring", points=4, minutes=8, difficulty=2,
    answers=("choose_delay", "choose_count"), needs_server=False,
)  # fmt: skip
def check_measuring(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Both choices follow from the measurements: on record first, then on live servers."""
    choose_delay, choose_count = answers["choose_delay"], answers["choose_count"]
    judge_delay_on_record(ctx, choose_delay)
    judge_count_on_record(ctx, choose_count)
    delays = judge_delay_live(ctx, choose_delay)
    counts = judge_count_live(ctx, choose_count)
    measured = {count: round(counts[count].throughput) for count in sorted(counts)}
    return passed(
        f"both choices follow from what was measured: {shown(delays)}; instances: {measured} per second",
        delays={str(delay): round(result.mean_batch, 2) for delay, result in delays.items()},
        instances={str(count): value for count, value in measured.items()},
    )

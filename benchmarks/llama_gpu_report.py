"""Figures of the GPU mode of `benchmarks/llama.py`: goals, tables, JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.llama_gpu import EAGER, STREAMS, Figures
from benchmarks.llama_report import ENGINE, IN_PROCESS, Goal, goal_table, plain
from benchmarks.servers import median
from lab_utils.llama.memory import memory_table


def goals(found: Figures) -> list[Goal]:
    """Every goal against what was measured."""
    every: list[tuple[str, str, bool]] = []
    shares = [speed / bound for speed, bound in zip(found.single, found.bound, strict=True)]
    share = median(shares)
    every.append(("batch 1: >= 60 % of the bandwidth bound (aim: 80 %)", f"{share:.0%}", share >= 0.6))
    if EAGER in found.transformers:
        pairs = zip(found.single, found.transformers[EAGER], strict=True)
        ratio = median([ours / theirs for ours, theirs in pairs])
        every.append(("batch 1: >= 4 x transformers eager", f"{ratio:.2f} x", ratio >= 4))
    speed = median(found.batch)
    every.append((f"batch {STREAMS}: >= 6,000 tokens/s", f"{speed:,.0f}", speed >= 6000))
    served = found.side.throughput(ENGINE, IN_PROCESS)
    name = f"{STREAMS} streams through Triton"
    every.append((f"{name}: >= 85 % of in-process", f"{served:.0%}", served >= 0.85))
    results = found.side.results[ENGINE]
    # `between`, not `itl`: tokens that come together must not hide a gap.
    gap, first = (
        1e3 * median(values) for values in ([r.between.p95 for r in results], [r.ttft.p95 for r in results])
    )
    every.append((f"{name}: ITL p95 <= 20 ms (gaps between responses)", f"{gap:.1f} ms", gap <= 20))
    every.append((f"{name}: TTFT p95 <= 200 ms", f"{first:.0f} ms", first <= 200))
    if found.predicted and found.measured:
        off = found.measured.total / found.predicted.total - 1
        every.append(("memory formula within 3 %", f"{off:+.1%}", abs(off) <= 0.03))
    answers, wrong = found.side.answers
    every.append(("no request failed", f"{answers - wrong} of {answers}", wrong == 0))
    return [Goal(text, value, reached if found.judged else None) for text, value, reached in every]


def show(about: dict[str, str], found: Figures, console: Console) -> list[Goal]:
    """All tables; returns the goals."""
    for name, value in (about | {"Device": found.device, "Type": str(found.dtype)}).items():
        console.print(f"{name}: {value}")
    table = Table("loop", "tokens/s", title="Medians of the rounds")
    table.add_row("bound by the copy bandwidth, batch 1", f"{median(found.bound):,.1f}")
    table.add_row("decode, batch 1", f"{median(found.single):,.1f}")
    for kind, speeds in found.transformers.items():
        table.add_row(f"{kind}, batch 1", f"{median(speeds):,.1f}")
    table.add_row(f"decode, batch {STREAMS}", f"{median(found.batch):,.0f}")
    for name, results in found.side.results.items():
        table.add_row(f"{name}, {STREAMS} streams", f"{median([r.tokens_per_second for r in results]):,.0f}")
    console.print(table)
    console.print(
        f"copy bandwidth {median(found.bandwidth) / 1e12:.3f} TB/s, {found.step_bytes / 1e9:.2f} GB per step"
    )
    for kind, reason in found.failed.items():
        console.print(f"{kind} did not run: {reason}", markup=False)
    if found.predicted and found.measured:
        console.print(memory_table(found.predicted, found.measured), markup=False)
    every = goals(found)
    console.print(goal_table(every))
    if not found.judged:
        console.print("This is not the shape 7b on a GPU: the figures only show that the program runs.")
    return every


def as_json(about: dict[str, str], found: Figures, every: list[Goal]) -> dict[str, Any]:
    """Everything, with all rounds."""
    return {
        "about": about | {"Device": found.device, "Type": str(found.dtype)},
        "copy_bytes_per_second": found.bandwidth,
        "step_bytes": found.step_bytes,
        "tokens_per_second": {
            "bound at batch 1": found.bound,
            "batch 1": found.single,
            f"batch {STREAMS}": found.batch,
            **found.transformers,
        },
        "did_not_run": found.failed,
        "loads": {name: [plain(r) for r in results] for name, results in found.side.results.items()},
        "memory": {
            "predicted": asdict(found.predicted) if found.predicted else None,
            "measured": asdict(found.measured) if found.measured else None,
        },
        "goals": [asdict(goal) | {"verdict": goal.verdict} for goal in every],
    }

"""A lab's exercises and their states in plain text, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab_utils.progress.registry import Checkpoint, Status
from lab_utils.progress.store import Entry, ProgressStore


def next_exercise(checkpoints: Sequence[Checkpoint], entries: Mapping[str, Entry]) -> str:
    """One sentence: the first exercise that has neither PASS nor SKIP."""
    for one in checkpoints:
        entry = entries.get(one.id)
        if entry is None or entry.verdict.status is Status.FAIL:
            return f"Next: {one.id} {one.title} ({one.minutes} minutes)."
    return "Every exercise is done."


def as_text(lab: str, title: str, checkpoints: Sequence[Checkpoint], store: ProgressStore) -> str:
    """The table of exercises in plain text."""
    entries = store.entries()
    lines = [f"Lab {lab}: {title}", f"{store.score(checkpoints)}.", *store.warnings]
    width = max((len(c.title) for c in checkpoints), default=10)
    for one in checkpoints:
        entry = entries.get(one.id)
        state = entry.verdict.status.value if entry else "open"
        before = "  (passed before)" if entry and entry.fell_back else ""
        lines.append(
            f"  {one.id:<5} {one.title:<{width}}  {one.minutes:>3} min  {one.points} points  {state}{before}"
        )
    return "\n".join([*lines, next_exercise(checkpoints, entries)])

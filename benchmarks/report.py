"""The figures as a table, as bars of phases, as a picture, as goals, as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import many, single
from benchmarks.servers import median
from benchmarks.single import LIMIT, TRITON, Target

PARTS = ("transport", "queue", "backend", "model")
LETTERS = {"transport": "t", "queue": "q", "backend": "B", "model": "m"}
WIDTH = 60
LEGEND = "t transport and client, q queue, B backend, m model"
LOAD_HEADINGS = (
    "server",
    "requests/s",
    "best",
    "p50 ms",
    "p99 ms",
    "server CPU us",
    "client CPU",
    "errors",
    "Triton is",
)


@dataclass(frozen=True)
class Goal:
    """One goal: what it asks for, what was found, whether it is reached."""

    text: str
    found: str
    reached: bool


@dataclass
class Figures:
    """All that one run measured."""

    about: dict[str, Any]
    singles: dict[int, list[Target]]
    loads: dict[int, list[many.Rival]]
    starts: dict[str, list[float]]

    def limit(self, batch: int) -> Target:
        """The in-process target of a batch size."""
        return next(t for t in self.singles[batch] if t.name == LIMIT)

    def shares(self, batch: int) -> dict[str, dict[str, float]]:
        """Phase shares by transport."""
        limit = self.limit(batch)
        return {t.name: single.shares(t, limit) for t in self.singles[batch] if t.name in TRITON}


def goals(figures: Figures) -> list[Goal]:
    """Every goal against what was measured."""
    found = []
    large = max(figures.singles)
    shm = next(t for t in figures.singles[large] if t.name == single.SHM)
    ratio = single.ratio_to_limit(shm, figures.limit(large))
    best = min(shm.milliseconds) / min(figures.limit(large).milliseconds)
    found.append(
        Goal(
            f"batch {large} over shared memory <= 1.10 x the limit",
            f"{ratio:.2f} x (best against best {best:.2f} x)",
            ratio <= 1.10,
        )
    )
    for batch in sorted(figures.singles, reverse=True):
        own = {name: parts["backend"] for name, parts in figures.shares(batch).items()}
        floor = own.pop(single.NO_OP)
        worst, share = max(own.items(), key=lambda item: item[1])
        text = f"backend's own share at batch {batch} <= 10 % over any transport"
        found.append(
            Goal(
                text,
                f"at most {100 * share:.1f} % ({worst}); a model that does nothing: {100 * floor:.1f} %",
                share <= 0.10,
            )
        )
    for connections, (triton, raw, text_json) in figures.loads.items():
        for rival, least in ((raw, 2.5), (text_json, 5.0)):
            times = many.ratio(triton, rival)
            text = f"{connections} at once with dynamic batching >= {least:g} x {rival.name}"
            found.append(Goal(text, f"{times:.2f} x", times >= least))
    for name, most in (("given config", 1.0), ("auto-complete", 3.0)):
        seconds = median(figures.starts[name])
        found.append(
            Goal(f"one ONNX model ready <= {most:g} s ({name})", f"{seconds:.2f} s", seconds <= most)
        )
    return found


def bar(parts: dict[str, float]) -> str:
    """One bar of letters: t transport, q queue, B backend, m model."""
    text, covered, total = "", 0.0, 0
    for part in PARTS:
        covered += parts[part]
        until = min(WIDTH, round(WIDTH * covered))
        text += LETTERS[part] * max(0, until - total)
        total = max(total, until)
    return text


def show(figures: Figures, console: Console) -> None:
    """Print everything."""
    for key, value in figures.about.items():
        console.print(f"{key}: {value}", highlight=False)
    for batch, targets in figures.singles.items():
        table = Table(title=f"One request at a time, batch {batch}", title_justify="left")
        for heading in ("way", "median ms", "best ms", "x the limit", "rounds"):
            table.add_column(heading, justify="left" if heading == "way" else "right")
        for t in targets:
            times = single.ratio_to_limit(t, figures.limit(batch))
            table.add_row(
                t.name,
                f"{median(t.milliseconds):.2f}",
                f"{min(t.milliseconds):.2f}",
                f"{times:.2f}",
                str(len(t.by_round)),
            )
        console.print(table)
        console.print(f"Where a request's time goes, batch {batch} ({LEGEND})")
        for name, parts in figures.shares(batch).items():
            console.print(
                f"  {name:<40} {bar(parts)} backend {100 * parts['backend']:.1f} %", highlight=False
            )
    for connections, rivals in figures.loads.items():
        table = Table(title=f"{connections} single requests at once", title_justify="left")
        for heading in LOAD_HEADINGS:
            table.add_column(heading, justify="left" if heading == "server" else "right")
        for r in rivals:
            against = "" if r is rivals[0] else f"{many.ratio(rivals[0], r):.2f} x"
            table.add_row(
                r.name,
                f"{median(r.per_second):.0f}",
                f"{max(r.per_second):.0f}",
                f"{median(r.p50):.1f}",
                f"{median(r.p99):.1f}",
                f"{median(r.server_us):.0f}",
                client_text(r),
                str(r.errors),
                against,
            )
        console.print(table)
    for name, seconds in figures.starts.items():
        summary = f"median {median(seconds):.2f} s, longest {max(seconds):.2f} s of {len(seconds)}"
        console.print(f"Start to ready, {name}: {summary}", highlight=False)
    table = Table(title="Goals", title_justify="left")
    for heading in ("goal", "found", ""):
        table.add_column(heading)
    for goal in goals(figures):
        table.add_row(goal.text, goal.found, "reached" if goal.reached else "not reached")
    console.print(table)


def client_text(rival: many.Rival) -> str:
    """The load generator's share of one core, with a warning where it is the limit."""
    share = median(rival.client_share)
    return f"{100 * share:.0f} %" + (" (the limit)" if share > 0.85 else "")


def as_json(figures: Figures) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "about": figures.about,
        "single": {
            str(batch): {
                t.name: {
                    "median_ms": median(t.milliseconds),
                    "best_ms": min(t.milliseconds),
                    "ratio_to_limit": single.ratio_to_limit(t, figures.limit(batch)),
                    "rounds_ms": t.by_round,
                    "rounds_phases_ms": t.phases,
                    "shares": figures.shares(batch).get(t.name, {}),
                }
                for t in targets
            }
            for batch, targets in figures.singles.items()
        },
        "concurrent": {
            str(connections): {
                r.name: {
                    "per_second": r.per_second,
                    "p50_ms": r.p50,
                    "p99_ms": r.p99,
                    "errors": r.errors,
                    "server_cpu_us": r.server_us,
                    "client_share_of_a_core": r.client_share,
                    "triton_ratio": many.ratio(rivals[0], r),
                }
                for r in rivals
            }
            for connections, rivals in figures.loads.items()
        },
        "start_seconds": figures.starts,
        "goals": [asdict(goal) for goal in goals(figures)],
    }


def picture(figures: Figures, path: Path) -> None:
    """Stacked bars: where a request's time goes, one panel per batch size."""
    from matplotlib.figure import Figure

    colours = {"transport": "#9aa5b1", "queue": "#e0c568", "backend": "#c8553d", "model": "#3d7ea6"}
    labels = {
        "transport": "transport and client",
        "queue": "queue",
        "backend": "backend: compute input and output, infer beyond the limit",
        "model": "model (in-process time)",
    }
    figure = Figure(figsize=(10, 1.6 + 1.9 * len(figures.singles)), layout="constrained")
    for axes, batch in zip(
        figure.subplots(len(figures.singles), 1, squeeze=False).flat, figures.singles, strict=True
    ):
        totals = {t.name: median(t.by_round) for t in figures.singles[batch]}
        names = list(figures.shares(batch))
        left = [0.0] * len(names)
        for part in PARTS:
            widths = [figures.shares(batch)[n][part] * totals[n] for n in names]
            axes.barh(names, widths, left=left, color=colours[part], label=labels[part])
            left = [a + b for a, b in zip(left, widths, strict=True)]
        limit = totals[LIMIT]
        axes.axvline(limit, color="black", linestyle="--", linewidth=1)
        axes.annotate(f" the limit, {limit:.2f} ms", (limit, -0.7), fontsize=8, annotation_clip=False)
        axes.invert_yaxis()
        axes.set_title(f"batch {batch}: median time of a request by phase", loc="left", fontsize=10, pad=12)
        axes.set_xlabel("ms")
    handles, names_of = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names_of, loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(path, dpi=120)

"""What a person looks at in an incident: tables of before and now, the log, the trace."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from lab_utils.incidents.observation import Observation
from lab_utils.monitoring.quantities import report
from lab_utils.surroundings import ipython_shell

if TYPE_CHECKING:
    import pandas as pd

_CUDA = re.compile(r"\bcuda", re.IGNORECASE)
"""Lines that only say that there is no GPU; they have nothing to do with the incident."""
_FOLDERS = re.compile(r"/\S+/(?=[^/\s]+/\d+/model\.py)")
"""What stands before model and version in the path of a model's code: long, and always the same."""
_PREFIX = re.compile(r"^([IWE])\d{4} [\d:.]+ \d+ [\w.]+:\d+\] ")
FIGURES = (
    "requests_per_second",
    "request_ms",
    "queue_ms",
    "compute_infer_ms",
    "mean_batch",
    "failure_ratio",
    "cache_hit_rate",
)
"""The columns of the table of metrics."""


def metrics_table(before: Observation, now: Observation) -> pd.DataFrame:
    """The server's own figures of each model, before and now, side by side."""
    import pandas as pd

    tables = {"before": report(before.window), "now": report(now.window)}
    kept = {name: table.reindex(columns=list(FIGURES)) for name, table in tables.items()}
    both = pd.concat(kept, axis="columns").swaplevel(axis="columns")
    return both.reindex(columns=pd.MultiIndex.from_product([FIGURES, ["before", "now"]])).round(2)


def clients_table(before: Observation, now: Observation) -> pd.DataFrame:
    """What the users of each model saw, before and now."""
    import pandas as pd

    rows = {
        (model, when): {
            "requests": seen.clients[model].requests,
            "failed": seen.clients[model].failed,
            "mean ms": round(seen.clients[model].latency.mean * 1000, 1),
            "p99 ms": round(seen.clients[model].latency.p99 * 1000, 1),
            "message": "; ".join(map(gist, seen.clients[model].messages.values())),
        }
        for model in now.clients
        for when, seen in (("before", before), ("now", now))
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def gist(text: str, limit: int = 120) -> str:
    """The useful part of an error: behind its introduction, and the middle left out where it is long."""
    useful = text.rpartition("message: ")[2] or text
    useful = " ".join(useful.partition("At:")[0].split() or useful.split())
    half = limit // 2
    return useful if len(useful) <= limit else f"{useful[: half - 1]} … {useful[-half:]}"


def short_log(log: str) -> str:
    """A log without the time and process of each line, repeated lines once with how often they came."""
    told_lines = (line for line in log.splitlines() if line.strip() and not _CUDA.search(line))
    lines = Counter(_cut(_FOLDERS.sub("…/", _PREFIX.sub(r"\1 ", line))) for line in told_lines)
    told = (line if count == 1 else f"{line}   ({count} times)" for line, count in lines.items())
    return "\n".join(told) or "(nothing)"


def _cut(line: str) -> str:
    """A line of a log; of a long one the end says what happened."""
    return line if len(line) <= 200 else f"{line[:60]} … {line[-135:]}"


def show(before: Observation, now: Observation) -> None:
    """Show all of it: as tables and a picture in a notebook, as text elsewhere."""
    states = (f"{entry['name']} {entry['version']} {entry.get('state', 'none')}" for entry in now.index)
    print("Repository index now:", *states, sep="\n  ", end="\n\n")
    print(f"The log since all was well:\n{short_log(now.log)}\n")
    shell = ipython_shell()
    for title, table in (
        ("What the clients saw", clients_table(before, now)),
        ("Metrics", metrics_table(before, now)),
    ):
        print(title)
        if shell is None:
            print(table.to_string(), "\n")
        else:
            from IPython.display import display

            display(table)
    print("mean_batch: answered rows by executions. Failed executions count too, so it may be below 1.\n")
    _show_traces(before, now, shell is not None)


def _show_traces(before: Observation, now: Observation, notebook: bool) -> None:
    from lab_utils.tracing import draw_waterfall

    for title, seen in (("before", before), ("now", now)):
        print(f"Trace of one request to guide, {title}" + ("" if seen.spans else ": there is none"))
        if seen.spans and notebook:
            from IPython.display import display

            display(draw_waterfall(seen.spans))

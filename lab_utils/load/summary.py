"""One measured load becomes one `LoadResult`, with the notes that its figures need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab_utils.load import figures
from lab_utils.load.figures import FIRST, INTENDED, RESPONSES, SENT, Client, Window
from lab_utils.load.result import Latency, LoadResult
from lab_utils.load.view import Counters


@dataclass(frozen=True)
class Measured:
    """What a load left behind.

    Attributes:
        rows: One row per request (`lab_utils.load.plan.COLUMNS`).
        gaps: Moment and length of each gap between responses of one request.
        messages: The first message of each class of faults.
        usage: What each load process used (`lab_utils.load.plan.Report.usage`).
        window: The time that counts.
        server: What Triton's statistics gained in it.
        interrupted: Whether Ctrl-C ended it.
        stable: Whether the windows agreed; None when that was not asked for.
        arrivals: Moment and tokens of each response (`lab_utils.load.plan.Report.arrivals`).
    """

    rows: Any
    gaps: Any
    messages: dict[str, str]
    usage: Sequence[Sequence[tuple[float, float, float, float]]]
    window: Window
    server: Counters
    interrupted: bool
    stable: bool | None
    arrivals: Any


def summarize(about: LoadResult, measured: Measured) -> LoadResult:
    """The figures of a load.

    Args:
        about: A result that says what kind of load it was, and nothing else.
        measured: What was measured.
    """
    window, open_loop = measured.window, about.rate is not None
    rows = figures.good(measured.rows, window, open_loop)
    done = figures.answered(measured.rows, window)
    rate = done / window.seconds if window.seconds > 0 else 0.0
    server = measured.server
    count = max(server.requests, 1)
    in_server = rate * server.total / count
    client = figures.client_use(measured.usage, window)
    in_flight = figures.mean_in_flight(measured.rows, window)
    result = replace(
        about,
        seconds=window.seconds,
        requests=done,
        throughput=rate * about.rows,
        latency=Latency.of(figures.times(rows)),
        errors=figures.errors(measured.rows, window, open_loop),
        server={phase: seconds / count for phase, seconds in server.seconds.items()}
        if server.requests
        else {},
        batch_histogram=server.batches,
        executions=server.executions,
        cache_hits=server.cache_hits,
        in_server=in_server,
        late=Latency.of(rows[:, SENT] - rows[:, INTENDED]) if open_loop else None,
        client_share=client.share,
        client_waiting=client.waiting,
        client_bound=figures.is_client_bound(client, in_server, in_flight) and bool(done),
        stable=measured.stable,
        interrupted=measured.interrupted,
    )
    if about.protocol == "stream":
        result = replace(
            result,
            time_to_first=Latency.of(rows[:, FIRST] - rows[:, INTENDED]),
            between=Latency.of(figures.gaps_inside(measured.gaps, window)),
            responses=float(rows[:, RESPONSES].mean()) if len(rows) else 0.0,
        )
    messages = {kind: text for kind, text in measured.messages.items() if kind in result.errors}
    return replace(result, messages=messages, notes=list(_notes(result, measured, client)))


def _notes(result: LoadResult, measured: Measured, client: Client) -> Any:
    """What a reader must know besides the figures."""
    if result.interrupted:
        yield f"interrupted: the figures are those of the {result.seconds:.2f} s until then"
    if not result.requests:
        yield "no request was answered well in the time that was measured"
    if result.client_bound:
        yield (
            f"the client was measured, not the server: a load process used {client.share:.0%} of a core, and "
            f"only {result.in_server:.1f} requests on average were inside Triton. Use more processes"
        )
    elif client.waiting > 0.5:
        yield (
            f"a load process waited for a core {client.waiting:.0%} of the time: the server or other "
            "programs use all of them, and the latencies contain that"
        )
    if result.stable is False:
        yield "not stable: the last three windows differ by more than 10 %"
    if result.late is not None and result.rate is not None:
        if result.late.count and result.late.p99 > max(0.002, 0.1 * result.latency.p50):
            yield (
                f"1 % of the requests were sent {result.late.p99 * 1e3:.1f} ms or more after they were due "
                "(the latencies contain that)"
            )
        due = len(_due(measured))
        if due and result.requests < 0.9 * due:
            yield (
                f"{due / result.seconds:,.0f} requests/s were due and {result.requests_per_second:,.0f} were "
                "answered: the queue grew all the time, and the latency depends on how long was measured"
            )
    if 0 < result.requests < 20:
        yield f"only {result.requests} requests: the percentiles say little"
    if result.cache_hits:
        yield f"{result.cache_hits} requests were answered by the response cache, without an execution"


def _due(measured: Measured) -> Any:
    """All requests that were due in the window."""
    moments = measured.rows[:, INTENDED]
    return measured.rows[(moments >= measured.window.start) & (moments <= measured.window.end)]

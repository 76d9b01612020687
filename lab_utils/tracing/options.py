"""The options that make a Triton send its traces here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab_utils.tracing.spans import TraceError

if TYPE_CHECKING:
    from lab_utils.tracing.receiver import TraceReceiver

DELAY_MS = 200
"""Triton collects spans for this long before it sends them. Its own default is 5000."""


def trace_options(
    receiver: TraceReceiver | str, *, rate: int = 1, count: int = -1, delay_ms: int = DELAY_MS
) -> list[str]:
    """Options of tritonserver for OpenTelemetry traces.

    Args:
        receiver: The receiver, or the URL of any other that takes OTLP over HTTP as JSON
            (`http://localhost:4318/v1/traces` of Jaeger).
        rate: Trace one request of so many. 0: only those that bring a `traceparent`; these are traced
            in any case, whatever rate and count are.
        count: Stop after so many traces; -1: never.
        delay_ms: How long Triton collects spans before it sends them.

    Returns:
        `--trace-config=...` options, for `lab.start(options=...)`.

    Raises:
        TraceError: A number that Triton does not take.

    Source: https://github.com/triton-inference-server/server/blob/r24.10/docs/user_guide/trace.md
    """
    for name, number, least in (("rate", rate, 0), ("count", count, -1), ("delay_ms", delay_ms, 1)):
        if number < least:
            raise TraceError(f"{name} is {number}.", fix=f"Give a whole number from {least} on.")
    url = receiver if isinstance(receiver, str) else receiver.url
    settings = (
        "mode=opentelemetry",
        f"opentelemetry,url={url}",
        "opentelemetry,resource=service.name=triton",
        f"opentelemetry,bsp_schedule_delay={delay_ms}",
        # Without a level nothing is traced. The other level, TENSORS, exists in the file mode only.
        "level=TIMESTAMPS",
        f"rate={rate}",
        f"count={count}",
    )
    return [f"--trace-config={setting}" for setting in settings]

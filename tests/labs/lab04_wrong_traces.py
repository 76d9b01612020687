"""Plausible wrong answers to 4.13."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _ask(
    headers: str = '{"traceparent": traceparent} if traceparent else {}',
    call: str = "client.infer(model, inputs, headers=headers)",
    end: str = "return answer",
) -> str:
    return f"""
def ask_traced(url, model, inputs, traceparent):
    headers = {headers}
    with httpclient.InferenceServerClient(url) as client:
        answer = {call}
    {end}
"""


def _slowest(
    mine: str = "span.trace_id == trace_id",
    compute: str = "span.end_ns - span.start_ns",
    queue: str = "span.start_ns - model.event('QUEUE_START')",
    end: str = "return max(times, key=times.get)",
) -> str:
    return f"""
def slowest(spans, trace_id):
    mine = {{span.span_id: span for span in spans if {mine}}}
    times = {{}}
    for span in mine.values():
        if span.name == "compute":
            model = mine[span.parent_id]
            times[model.name, "compute"] = {compute}
            times[model.name, "queue"] = {queue}
    {end}
"""


_LONGEST = """
def slowest(spans, trace_id):
    mine = [span for span in spans if span.trace_id == trace_id]
    return max(mine, key=lambda span: span.end_ns - span.start_ns).name, "compute"
"""

_TOGETHER = """
def slowest(spans, trace_id):
    mine = [span for span in spans if span.trace_id == trace_id]
    parents = {span.parent_id for span in mine if span.name == "compute"}
    steps = [span for span in mine if span.span_id in parents]
    return max(steps, key=lambda span: span.end_ns - span.start_ns).name, "compute"
"""

TRACES: list[WrongAnswer] = [
    WrongAnswer("no header", _ask(headers="{}"), 'headers={"traceparent": traceparent}'),
    WrongAnswer(
        "a new trace",
        _ask(headers='{"traceparent": new_traceparent()[0]} if traceparent else {}'),
        "a new one begins another trace",
    ),
    WrongAnswer("an empty header", _ask(headers='{"traceparent": traceparent}'), "an empty one is malformed"),
    WrongAnswer("nothing returned", _ask(end="return None"), "Add a `return`"),
    WrongAnswer("the outermost", _LONGEST, "the outer spans contain"),
    WrongAnswer("together", _TOGETHER, "Waiting and computing are two things"),
    WrongAnswer("all traces", _slowest(mine="True"), "Look only at spans of this request"),
    WrongAnswer("never the queue", _slowest(queue="0"), "The queue counts, too"),
    WrongAnswer(
        "since the span began",
        _slowest(queue="span.start_ns - model.start_ns"),
        "The wait begins at the event QUEUE_START",
    ),
    WrongAnswer("never computing", _slowest(compute="0"), "Computing counts, too"),
    WrongAnswer("the model alone", _slowest(end="return max(times, key=times.get)[0]"), "Return two words"),
    WrongAnswer(
        "both times",
        _slowest(end="return max(times, key=times.get)[0], max(times.values())"),
        "The second word is",
    ),
]

"""Checkpoint 4.13: a trace that begins at the client, and where in it the time was lost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as httpclient

from lab_utils.checks.asking import call_at, inference_requests, shorten, with_hint
from lab_utils.checks.lab2_live import Crowd, place_timed
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server
from lab_utils.tracing import Span, SpanEvent, TraceReceiver, new_traceparent, trace_options

_MS = 1_000_000
_ENSEMBLE = """name: "{name}"
platform: "ensemble"
max_batch_size: 8
input [ {{ name: "data" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "echo" data_type: TYPE_FP32 dims: [ 4 ] }} ]
ensemble_scheduling {{
  step [
    {{
      model_name: "{first}"
      model_version: -1
      input_map {{ key: "data" value: "data" }}
      output_map {{ key: "echo" value: "between" }}
    }},
    {{
      model_name: "{second}"
      model_version: -1
      input_map {{ key: "data" value: "between" }}
      output_map {{ key: "echo" value: "echo" }}
    }}
  ]
}}
"""
_HINTS = {
    "NoneType": "Not every span has the event QUEUE_START: only those of models that wait for an instance.",
    "empty": "Keep the spans whose `trace_id` is the given one; a model's `compute` is its child.",
}


class _Maker:
    """Makes the spans of one request to an ensemble, as Triton would send them."""

    def __init__(self, ctx: LabContext, begin: int) -> None:
        self._hex = ctx.rng.bytes
        self.trace_id = self._hex(16).hex()
        self.spans: list[Span] = []
        self._now = begin

    def request(self, ensemble: str, steps: Sequence[tuple[str, int, int, int]]) -> list[Span]:
        """Spans of a request whose steps waited and computed for so many milliseconds.

        Args:
            ensemble: Its name.
            steps: Name, milliseconds before the queue, in the queue, and of computing.
        """
        root, whole = self._hex(8).hex(), self._hex(8).hex()
        begin = self._now
        for name, early, queue, compute in steps:
            self._step(whole, name, early, queue, compute)
        end = self._now + 3 * _MS
        self._add(ensemble, whole, root, begin + _MS, end, QUEUE_START=begin + _MS)
        self._add("InferRequest", root, self._hex(8).hex(), begin, end + _MS)
        return self.spans

    def _step(self, parent: str, name: str, early: int, queue: int, compute: int) -> None:
        span = self._hex(8).hex()
        begin = self._now + (1 + early) * _MS
        start = begin + queue * _MS
        end = start + compute * _MS
        self._add("compute", self._hex(8).hex(), span, start, end, COMPUTE_START=start, COMPUTE_END=end)
        self._add(name, span, parent, begin - early * _MS, end + 2 * _MS, QUEUE_START=begin)
        self._now = end + 2 * _MS

    def _add(self, name: str, own: str, parent: str, begin: int, end: int, **events: int) -> None:
        marks = tuple(SpanEvent(event, moment) for event, moment in events.items())
        about = {} if name in ("InferRequest", "compute") else {"triton.model_name": name}
        self.spans.append(Span(name, self.trace_id, own, parent, begin, end, about, marks))


def _judge_record(ctx: LabContext, function: Any) -> None:
    """Traces that are made up: five requests in one list, each slow in another way."""
    begin = 1_700_000_000_000_000_000
    stories = {
        ("polish", "compute"): [("read", 1, 20, 30), ("polish", 1, 5, 90), ("send", 1, 30, 40)],
        ("fetch", "queue"): [("fetch", 1, 120, 50), ("sort", 1, 5, 100), ("store", 1, 60, 20)],
        ("print", "queue"): [("draw", 1, 1, 70), ("shade", 1, 1, 80), ("print", 1, 95, 5)],
        ("hear", "compute"): [("hear", 1, 60, 110), ("think", 1, 55, 100), ("speak", 1, 90, 30)],
        ("weigh", "compute"): [("weigh", 1, 70, 90), ("pack", 60, 50, 20)],
    }
    makers = {truth: _Maker(ctx, begin + i * 40 * _MS) for i, truth in enumerate(stories)}
    spans = [
        span
        for truth, maker in makers.items()
        for span in maker.request(f"all_of_{truth[0]}", stories[truth])
    ]
    spans = [spans[i] for i in ctx.rng.permutation(len(spans))]
    for truth, maker in makers.items():
        _judge_answer(ctx, function, spans, maker.trace_id, truth, _told(stories[truth]))


def _told(steps: Sequence[tuple[str, int, int, int]]) -> str:
    return ", ".join(
        f"{name} waited {queue} ms and computed {compute} ms"
        + (f", {early} ms after its span began" if early > 1 else "")
        for name, early, queue, compute in steps
    )


def _judge_answer(
    ctx: LabContext, function: Any, spans: Sequence[Span], trace_id: str, truth: tuple[str, str], story: str
) -> None:
    try:
        found = ctx.call(function, list(spans), trace_id)
    except Refusal as refusal:
        with_hint(refusal, _HINTS)
    if isinstance(found, list | tuple) and tuple(found) == truth:
        return
    if not isinstance(found, list | tuple) or len(found) != 2:
        step = 'Return two words: the model, and "queue" or "compute".'
    elif found[1] not in ("queue", "compute"):
        step = 'The second word is "queue" or "compute".'
    else:
        step = _advice(spans, trace_id, tuple(found))
    refuse(
        expected=f"{story}: {truth}", found=f"`slowest` returned {shorten(repr(found), 80)}", next_step=step
    )


def _advice(spans: Sequence[Span], trace_id: str, found: tuple[Any, ...]) -> str:
    """What may have led to this model and phase."""
    own, everything = _times([span for span in spans if span.trace_id == trace_id]), _times(spans)
    if found[0] not in {model for model, _ in own}:
        if found in everything:
            return "Look only at spans of this request: the others have another `trace_id`."
        return (
            "The outer spans contain the inner ones, so they are always longer: look at the steps, the spans "
            "that have a child `compute`."
        )
    whole = _times([span for span in spans if span.trace_id == trace_id], queued=False)
    totals = {model: own[model, "queue"] + own[model, "compute"] for model, _ in own}
    for phase, words in (
        (
            "compute",
            "The queue counts, too: from QUEUE_START in the model's span to the start of its `compute`.",
        ),
        ("queue", "Computing counts, too: the length of the model's child `compute`."),
    ):
        one = {key: value for key, value in own.items() if key[1] == phase}
        if found == max(one, key=lambda key: one[key]):
            return words
    if found == max(whole, key=lambda key: whole[key]):
        return "The wait begins at the event QUEUE_START, which may be long after the model's span began."
    if found[0] == max(totals, key=lambda model: totals[model]):
        return "Waiting and computing are two things: compare each by itself, not their sum."
    return "Compare the queue and the compute of every step; the largest of all wins."


def _times(spans: Sequence[Span], *, queued: bool = True) -> dict[tuple[str, str], int]:
    """Nanoseconds by model and phase; not `queued`: as if the wait began with the model's span."""
    known = {span.span_id: span for span in spans}
    times = {}
    for span in spans:
        model = known.get(span.parent_id)
        if span.name == "compute" and model is not None:
            times[model.name, "compute"] = span.end_ns - span.start_ns
            since = (model.event("QUEUE_START") or span.start_ns) if queued else model.start_ns
            times[model.name, "queue"] = span.start_ns - since
    return times


def _serve(ctx: LabContext, receiver: TraceReceiver) -> tuple[Server, str, str]:
    """An ensemble of a quick and a slow step in either order. Returns also its name, and the slow step's."""
    folder: Path = ctx.scratch()
    slow, steps = ("wash", "iron")[int(ctx.rng.integers(2))], ("wash", "iron")
    for name in steps:
        place_timed(folder, name, execution_ms=80 if name == slow else 10)
    (folder / "laundry" / "1").mkdir(parents=True)
    text = _ENSEMBLE.format(name="laundry", first=steps[0], second=steps[1])
    (folder / "laundry" / "config.pbtxt").write_text(text)
    server = ctx.fresh_server(
        folder,
        options=["--disable-auto-complete-config", *trace_options(receiver, rate=0)],
        wait_for=["laundry"],
    )
    return server, "laundry", slow


def _row() -> httpclient.InferInput:
    return httpclient.InferInput("data", [1, 4], "FP32").set_data_from_numpy(np.ones((1, 4), np.float32))


def _ask(ctx: LabContext, function: Any, server: Server, model: str, header: str) -> None:
    """Let the student's function ask, and judge the header that it sends."""
    with ctx.recorder(server.endpoints.http) as recorder:
        found = call_at(ctx, function, recorder, model, [_row()], header)
    sent = inference_requests(recorder, model)
    if len(sent) != 1:
        refuse(
            expected=f"one request to `{model}`",
            found=f"{len(sent)} requests",
            next_step="Ask the given model, once.",
        )
    if not hasattr(found, "as_numpy"):
        refuse(
            expected="`ask_traced` returns what `client.infer` returns",
            found=shorten(repr(found), 60),
            next_step="Return the answer.",
        )
    arrived = {name.lower(): value for name, value in sent[0].headers.items()}.get("traceparent")
    if header and arrived is None:
        refuse(
            expected=f"the request carries traceparent: {header}",
            found=f"its headers are {', '.join(sorted(sent[0].headers))}",
            next_step='`client.infer(…, headers={"traceparent": traceparent})`.',
        )
    if header and arrived != header:
        refuse(
            expected=f"the request carries traceparent: {header}",
            found=f"it carries {arrived}",
            next_step="Pass the given text on as it is: a new one begins another trace.",
        )
    if not header and arrived is not None:
        refuse(
            expected="without a traceparent the request carries none",
            found=f"it carries {arrived!r}",
            next_step="When the text is empty, send no such header: an empty one is malformed.",
        )


def _judge_live(ctx: LabContext, ask: Any, slowest: Any) -> tuple[str, float, float]:
    """The slow step idle, then busy: it loses time by computing, then by waiting. Returns the two times."""
    with TraceReceiver() as receiver:
        server, ensemble, slow = _serve(ctx, receiver)
        _ask(ctx, ask, server, ensemble, "")
        seconds = []
        with Crowd(server.endpoints.grpc) as crowd:
            for phase, others in (("compute", 0), ("queue", 4)):
                waiting = crowd.send_rows(slow, others)
                time.sleep(0.02 if others else 0)
                header, trace_id = new_traceparent()
                _ask(ctx, ask, server, ensemble, header)
                trace = receiver.wait_for(trace_id)
                for one in waiting:
                    one.result()
                seconds.append(trace.seconds)
                story = f"{slow} takes 80 ms, and {others} others wait for it"
                _judge_answer(ctx, slowest, receiver.spans, trace_id, (slow, phase), story)
    return slow, seconds[0], seconds[1]


@checkpoint(
    "4.13", title="Find the slow span", points=4, minutes=8, difficulty=2,
    answers=("ask_traced", "slowest"), needs_server=False,
)  # fmt: skip
def check_traces(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Traces that are made up, then those of a live ensemble that the student's own requests began."""
    _judge_record(ctx, answers["slowest"])
    slow, idle, busy = _judge_live(ctx, answers["ask_traced"], answers["slowest"])
    return passed(
        f"both requests carried your traceparent; `{slow}` took most of {idle * 1000:.0f} ms by computing, "
        f"and of {busy * 1000:.0f} ms by waiting",
        slow=slow,
    )

"""Checkpoint 2.11: sequences with state, several at once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab_utils.checks.asking import call_at, inference_requests, request_header, shorten
from lab_utils.checks.loading import load
from lab_utils.checks.repositories import fresh_name
from lab_utils.paths import project_root
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.recorder import Recorder
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server

_IDLE = 2_000_000
_FLAGS = {name: f"CONTROL_SEQUENCE_{name}" for name in ("START", "END", "READY")}
_HINTS = {
    "must specify the START flag": "Triton knows no open sequence of this id. START goes with the "
    "first frame of each film, and END not before its last.",
    "must specify a non-zero or non-empty correlation ID": "Pass `sequence_id`; 0 is no id.",
    "is not known": "This sequence had ended already, or its id is another film's.",
    "batch-size|unexpected shape": "One frame is one row: `film[frame : frame + 1]`, shape `[1, 10]`.",
}

_ONE_ID = (
    "Call `new_id()` once per film, before the first frame: one id for all mixes the films, one per request "
    "takes them apart."
)

_Film = NDArray[np.float32]


def _serve(ctx: LabContext, part: str) -> tuple[Server, str]:
    """`digits_vote` under a fresh name, with the student's part in place of its own."""
    name = fresh_name(ctx, "vote")
    folder = ctx.scratch()
    source = project_root() / "model_repository" / "digits_vote"
    shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    config = folder / name / "config.pbtxt"
    head = re.split(r"^sequence_batching \{", config.read_text(), flags=re.MULTILINE)[0]
    instances = "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
    head = head.replace('"digits_vote"', f'"{name}"')
    config.write_text(f"{head}{instances}{part}")
    options = ["--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=0"]
    server = ctx.fresh_server(folder, options=options)
    if reason := load(server, name):
        refuse(
            expected="Triton loads digits_vote with your `sequence_batching`",
            found=reason,
            next_step="Return the whole field: `sequence_batching { … }`."
            if "ModelConfig" in reason
            else "Mend what Triton names. Line and column count from the top of the whole config; your part "
            "is its end.",
        )
    return server, name


def _judge_part(ctx: LabContext, server: Server, name: str, places: int) -> None:
    batching = ctx.get(f"/v2/models/{name}/config", server).json().get("sequence_batching")
    if batching is None:
        refuse(
            expected="the served config has `sequence_batching`",
            found="it has none: to Triton each request stands alone",
            next_step="Return the field with its name and its braces.",
        )
    controls = {entry["name"]: entry["control"][0] for entry in batching.get("control_input", [])}
    missing = [name for name in (*_FLAGS, "CORRID") if name not in controls]
    if missing:
        refuse(
            expected="four controls: START, END, READY and CORRID",
            found=f"not defined: {', '.join(missing)}",
            next_step="One entry of `control_input` each. The names are what model.py asks for.",
        )
    for flag, kind in _FLAGS.items():
        if controls[flag]["kind"] != kind or controls[flag].get("int32_false_true") != [0, 1]:
            refuse(
                expected=f"`{flag}` is of the kind {kind}, 0 for no and 1 for yes, as INT32",
                found=f"{controls[flag]['kind']}, {controls[flag].get('int32_false_true') or 'other values'}",
                next_step=f"Write `kind: {kind} int32_false_true: [ 0, 1 ]`.",
            )
    if controls["CORRID"]["data_type"] != "TYPE_UINT64":
        refuse(
            expected="`CORRID` is TYPE_UINT64",
            found=f"it is {controls['CORRID']['data_type']}",
            next_step="The ids of this exercise are larger than its numbers can be: TYPE_UINT64.",
        )
    idle = int(batching.get("max_sequence_idle_microseconds", 0))
    if idle != _IDLE:
        refuse(
            expected=f"a sequence is given up after 2 s: {_IDLE} microseconds",
            found=f"after {idle / 1e6:g} s",
            next_step="`max_sequence_idle_microseconds` counts millionths of a second.",
        )
    found = batching.get("oldest", {}).get("max_candidate_sequences")
    if found != places:
        refuse(
            expected=f"the scheduler `oldest` with {places} places",
            found="the scheduler is `direct`" if "direct" in batching else f"{found} places",
            next_step="Write `oldest { max_candidate_sequences: … }` with the argument `places`.",
        )


_Request = tuple[int, bool, bool, bytes]
"""Id, START, END and the bytes of the frame."""


def _requests(recorder: Recorder, model: str) -> list[_Request]:
    found = []
    for request in inference_requests(recorder, model):
        given = request_header(request).get("parameters", {})
        length = int(request.headers.get("inference-header-content-length", len(request.body)))
        flags = bool(given.get("sequence_start")), bool(given.get("sequence_end"))
        found.append((int(given.get("sequence_id", 0)), *flags, request.body[length:]))
    return found


def _judge_requests(requests: Sequence[_Request], films: Sequence[_Film]) -> set[int]:
    frames = sum(map(len, films))
    if len(requests) != frames:
        refuse(
            expected=f"{frames} requests: one per frame of {len(films)} films",
            found=f"{len(requests)} requests arrived",
            next_step="Send each frame once, alone, to the model `model`.",
        )
    ids = {id for id, *_ in requests}
    if len(ids) != len(films):
        refuse(
            expected=f"{len(films)} ids: one per film",
            found=f"{len(ids)} ids in {frames} requests",
            next_step=_ONE_ID,
        )
    rounds = [film[n].tobytes() for n in range(max(map(len, films))) for film in films if n < len(film)]
    if [frame for *_, frame in requests] != rounds:
        one_by_one = [row.tobytes() for film in films for row in film]
        refuse(
            expected="all films at the same time: the first frame of each, then the second of each",
            found="one film after the other"
            if [frame for *_, frame in requests] == one_by_one
            else "the frames arrived in another order",
            next_step="The outer loop counts frames, the inner one goes through the films.",
        )
    for id in ids:
        own = [(start, end) for one, start, end, _ in requests if one == id]
        if [start for start, _ in own] != [True] + [False] * (len(own) - 1):
            refuse(
                expected="START with the first frame of a film, and with no other",
                found=f"START came with {sum(start for start, _ in own)} of {len(own)} frames of a film",
                next_step="`sequence_start` is true for frame 0 alone: START forgets all that was before.",
            )
    ends = {id: [end for one, _, end, _ in requests if one == id] for id in ids}
    open_films = sum(not any(flags) for flags in ends.values())
    if open_films:
        refuse(
            expected="END with the last frame of each film",
            found="END never came"
            if open_films == len(ids)
            else f"{open_films} of {len(ids)} films had no END",
            next_step="Without it a sequence keeps its place until it is given up. Pass `sequence_end`."
            if open_films == len(ids)
            else "Films differ in length: the last frame of *this* film is `len(film) - 1`.",
        )
    return ids


def _judge_refused(requests: Sequence[_Request], films: Sequence[_Film]) -> None:
    """Triton refused a frame. Often an earlier one is why, and Triton's words do not say so."""
    ids = {id for id, *_ in requests}
    if len(ids) == 1 < len(requests) and 0 not in ids:
        refuse(
            expected=f"{len(films)} ids: one per film",
            found=f"all {len(requests)} requests so far had the same id; then Triton refused one",
            next_step=_ONE_ID,
        )
    lengths = {film[0].tobytes(): len(film) for film in films}
    early = [end for _, _, end, frame in requests if end and lengths.get(frame, 1) > 1]
    if early:
        refuse(
            expected="END with the last frame of a film",
            found="END came with the first frame of a film that has more; then Triton refused the second",
            next_step="END takes the sequence off the list: what comes after it belongs to none.",
        )


def _judge_votes(found: Any, films: Sequence[_Film]) -> None:
    if not isinstance(found, list | tuple) or len(found) != len(films):
        refuse(
            expected=f"a list of {len(films)} votes",
            found=f"{type(found).__name__}: {shorten(repr(found), 80)}",
            next_step="Return one array per film, in the order of the films.",
        )
    for place, (vote, film) in enumerate(zip(found, films, strict=True)):
        array = np.asarray(vote)
        if array.shape != (10,):
            refuse(
                expected="each vote has the shape (10,)",
                found=f"the shape {array.shape}",
                next_step='The answer is a batch of one: `answer.as_numpy("vote")[0]`.',
            )
        if not np.allclose(array, film.sum(axis=0), atol=1e-3):
            first = np.allclose(array, film[0], atol=1e-3)
            refuse(
                expected=f"the vote on film {place}: the sum of the scores of its {len(film)} frames",
                found="the scores of its first frame alone" if first else "other numbers",
                next_step="Keep the last answer of each film, and return it at the film's own place.",
            )


@checkpoint(
    "2.11", title="Sequences that do not mix", points=4, minutes=7, difficulty=3,
    answers=("sequence_batching", "vote"), needs_server=False,
)  # fmt: skip
def check_sequences(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Films of several lengths, shown twice at once: each gets the sum of its own frames."""
    lengths = [int(n) for n in ctx.rng.permutation([1, 3, 4, 6])]
    places = len(lengths) + int(ctx.rng.integers(1, 5))
    part = ctx.call(answers["sequence_batching"], places)
    if not isinstance(part, str):
        refuse(
            expected="`sequence_batching` returns a text",
            found=f"it returned {type(part).__name__}",
            next_step="Return the part of the config as a text.",
        )
    server, name = _serve(ctx, part)
    _judge_part(ctx, server, name, places)
    seen: set[int] = set()
    for _ in range(2):
        films = [ctx.rng.normal(0, 4, (n, 10)).astype(np.float32) for n in lengths]
        with ctx.recorder(server.endpoints.http) as recorder:
            try:
                found = call_at(ctx, answers["vote"], recorder, name, films, timeout=10, hints=_HINTS)
            except Refusal as refusal:
                _judge_refused(_requests(recorder, name), films)
                raise refusal
        ids = _judge_requests(_requests(recorder, name), films)
        _judge_votes(found, films)
        if seen & ids:
            refuse(
                expected="other ids in each call: another client may run at the same time",
                found=f"the ids of the call before again, such as {min(seen & ids)}",
                next_step="Take them from `new_id()`, not from a counter.",
            )
        seen |= ids
    return passed(
        f"two times {len(lengths)} films of {', '.join(map(str, lengths))} frames, and no vote mixed",
        model=name,
        places=places,
    )

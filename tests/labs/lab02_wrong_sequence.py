"""Plausible wrong answers to 2.11."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _control(name: str, kind: str = "", values: str = "int32_false_true: [ 0, 1 ]") -> str:
    return f'{{{{ name: "{name}" control [ {{{{ kind: CONTROL_SEQUENCE_{kind or name} {values} }}}} ] }}}}'


_START, _END, _READY = (_control(name) for name in ("START", "END", "READY"))
_CORRID = _control("CORRID", values="data_type: TYPE_UINT64")


def _part(
    idle: str = "2000000",
    controls: tuple[str, ...] = (_START, _END, _READY, _CORRID),
    scheduler: str = "oldest {{ max_candidate_sequences: {places} }}",
) -> str:
    return f"""
def sequence_batching(places):
    return f'''
sequence_batching {{{{
  max_sequence_idle_microseconds: {idle}
  control_input [ {", ".join(controls)} ]
  {scheduler}
}}}}
'''
"""


def _vote(
    ids: str = "[new_id() for _ in films]",
    start: str = "frame == 0",
    end: str = "frame == len(film) - 1",
    id: str = "ids[place]",
    keep: str = 'votes[place] = answer.as_numpy("vote")[0]',
    order: str = "[(f, p) for f in range(max(map(len, films))) for p in range(len(films))]",
    answer: str = "votes",
) -> str:
    return f"""
def vote(url, model, films):
    ids = {ids}
    votes = [None] * len(films)
    with httpclient.InferenceServerClient(url) as client:
        for frame, place in {order}:
            film = films[place]
            if frame < len(film):
                tensor = httpclient.InferInput("scores", [1, 10], "FP32")
                tensor.set_data_from_numpy(film[frame : frame + 1])
                flags = dict(sequence_start={start}, sequence_end={end})
                answer = client.infer(model, [tensor], sequence_id={id}, **flags)
                {keep}
    return {answer}
"""


SEQUENCE: dict[str, list[WrongAnswer]] = {
    "2.11": [
        WrongAnswer("no END control", _part(controls=(_START, _READY, _CORRID)), "not defined: END"),
        WrongAnswer(
            "START as data",
            _part(controls=(_control("START", values="fp32_false_true: [ 0, 1 ]"), _END, _READY, _CORRID)),
            "`kind: CONTROL_SEQUENCE_START int32_false_true",
        ),
        WrongAnswer(
            "kinds mixed up",
            _part(controls=(_START, _control("END", "READY"), _control("READY", "END"), _CORRID)),
            "`kind: CONTROL_SEQUENCE_END int32_false_true",
        ),
        WrongAnswer(
            "a kind twice",
            _part(controls=(_START, _control("END", "START"), _READY, _CORRID)),
            "specifies multiple CONTROL_SEQUENCE_START",
        ),
        WrongAnswer(
            "a flag for an id",
            _part(controls=(_START, _END, _READY, _control("CORRID"))),
            "'bool_false_true' for CONTROL_SEQUENCE_CORRID",
        ),
        WrongAnswer(
            "a small id",
            _part(controls=(_START, _END, _READY, _CORRID.replace("UINT64", "INT32"))),
            "`CORRID` is TYPE_UINT64",
        ),
        WrongAnswer("milliseconds", _part(idle="2000"), "counts millionths of a second"),
        WrongAnswer("direct", _part(scheduler="direct {{ }}"), "the scheduler is `direct`"),
        WrongAnswer(
            "fixed number of places", _part(scheduler="oldest {{ max_candidate_sequences: 64 }}"), "64 places"
        ),
        WrongAnswer("misspelt", _part().replace("idle", "idling"), 'no field named "max_sequence_idling'),
        WrongAnswer("no END", _vote(end="False"), "END never came"),
        WrongAnswer("END after the first", _vote(end="True"), "END takes the sequence off the list"),
        WrongAnswer(
            "END with the longest film's last",
            _vote(end="frame == max(map(len, films)) - 1"),
            "Films differ in length",
        ),
        WrongAnswer("START on each", _vote(start="True"), "START forgets all that was before"),
        WrongAnswer("one id for all", _vote(ids="[new_id()] * len(films)"), "had the same id"),
        WrongAnswer("an id per request", _vote(id="new_id()", start="True"), "14 ids in 14 requests"),
        WrongAnswer("no START", _vote(start="False"), "Triton knows no open sequence of this id"),
        WrongAnswer("no id", _vote(id="0"), "0 is no id"),
        WrongAnswer("a counter", _vote(ids="list(range(1, len(films) + 1))"), "not from a counter"),
        WrongAnswer(
            "one after the other",
            _vote(order="[(f, p) for p in range(len(films)) for f in range(len(films[p]))]"),
            "one film after the other",
        ),
        WrongAnswer("a batch of one", _vote(keep='votes[place] = answer.as_numpy("vote")'), "(1, 10)"),
        WrongAnswer(
            "first answers",
            _vote(keep='votes[place] = answer.as_numpy("vote")[0] if frame == 0 else votes[place]'),
            "the scores of its first frame alone",
        ),
        WrongAnswer(
            "the last answer for all",
            _vote(answer='[answer.as_numpy("vote")[0]] * len(films)'),
            "other numbers",
        ),
    ],
}

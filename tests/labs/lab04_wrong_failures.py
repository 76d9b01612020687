"""Plausible wrong answers to 4.10."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _predict(**changed: str) -> str:
    counted = {
        "exception": "BACKEND",
        "error response": "success",
        "wrong shape": "nothing",
        "wrong input name": "nothing",
        "unknown model": "nothing",
        "full queue": "nothing",
        "queue time-out": "REJECTED",
        "client cancels": "CANCELED",
    } | {key.replace("_", " ").replace("time out", "time-out"): value for key, value in changed.items()}
    return f"""
def predict():
    return {counted!r}
"""


def _ask(
    *,
    call: str = "answer = client.infer(model, inputs)",
    caught: str = "Exception",
    error: str = 'counter.labels(model, "error").inc()',
    on: str = "raise",
    ok: str = 'counter.labels(model, "ok").inc()',
    end: str = "return answer",
) -> str:
    return f"""
def ask_counted(url, model, inputs, counter):
    try:
        with httpclient.InferenceServerClient(url) as client:
            {call}
    except {caught}:
        {error}
        {on}
    {ok}
    {end}
"""


_FINALLY = """
def ask_counted(url, model, inputs, counter):
    try:
        with httpclient.InferenceServerClient(url) as client:
            return client.infer(model, inputs)
    except Exception:
        counter.labels(model, "error").inc()
        raise
    finally:
        counter.labels(model, "ok").inc()
"""

FAILURES: list[WrongAnswer] = [
    WrongAnswer("every failure is one", _predict(error_response="BACKEND"), "Triton does not look at"),
    WrongAnswer("a wrong shape fails", _predict(wrong_shape="OTHER"), "OTHER is a reason, too"),
    WrongAnswer("own words", _predict(wrong_shape="failure"), "The words of the label"),
    WrongAnswer("a wrong shape is rejected", _predict(wrong_shape="REJECTED"), "shapes are compared first"),
    WrongAnswer("a wrong name fails", _predict(wrong_input_name="BACKEND"), "An input that the config"),
    WrongAnswer("an unknown model fails", _predict(unknown_model="REJECTED"), "There is no model that"),
    WrongAnswer("a full queue rejects", _predict(full_queue="REJECTED"), "Refused at the door"),
    WrongAnswer("a time-out is nothing", _predict(queue_time_out="nothing"), "the scheduler threw it out"),
    WrongAnswer("cancelled is nothing", _predict(client_cancels="nothing"), "The client gave up"),
    WrongAnswer("an exception is nothing", _predict(exception="REJECTED"), "The backend failed"),
    WrongAnswer("hyphen", _predict(client_cancel="CANCELED"), "one dictionary; the keys"),
    WrongAnswer("nothing returned", _ask(end="return None"), "Keep the answer in a variable"),
    WrongAnswer("ok not counted", _ask(ok="pass"), "once, after `client.infer`"),
    WrongAnswer("swallowed", _ask(on="return None"), "who asked must know"),
    WrongAnswer("another error", _ask(on='raise RuntimeError("failed")'), "A bare `raise`"),
    WrongAnswer("counted twice", _FINALLY, "A failed request is not ok"),
    WrongAnswer("errors not counted", _ask(error="pass"), 'once, with the outcome "error"'),
    WrongAnswer(
        "Triton's errors alone",
        _ask(caught="httpclient.InferenceServerException"),
        "Not every failure is an InferenceServerException",
    ),
]

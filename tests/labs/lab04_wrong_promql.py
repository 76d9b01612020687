"""Plausible wrong answers to 4.3."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_SUCCESS = "nv_inference_request_success"
_FAILURE = "nv_inference_request_failure"
_COUNT, _EXEC = "nv_inference_count", "nv_inference_exec_count"
_QUEUE, _REQUEST = "nv_inference_queue_duration_us", "nv_inference_request_duration_us"
_INPUT, _COMPUTE, _OUTPUT = (
    f"nv_inference_compute_{one}_duration_us" for one in ("input", "infer", "output")
)
_PENDING = "nv_inference_pending_request_count"


def _change(key: str, promql: str) -> str:
    """The right answer, with another expression under one key. `M` and `W` stand for selector and window."""
    return f"""
_right_queries = queries


def queries(model, window):
    text = {promql!r}.replace("M[", '{{model="' + model + '"}}[').replace("M)", '{{model="' + model + '"}})')
    return {{**_right_queries(model, window), {key!r}: text.replace("[W", "[" + window)}}
"""


def _sum(name: str) -> str:
    return f"sum(rate({name}M[W]))"


PROMQL: list[WrongAnswer] = [
    WrongAnswer(
        "all models", _change("requests", f"sum(rate({_SUCCESS}[W]))"), "counts the other models' requests"
    ),
    WrongAnswer(
        "the counter itself",
        _change("requests", f"sum({_SUCCESS}M) + 0*sum(rate({_SUCCESS}M[W]))"),
        "all requests since the start",
    ),
    WrongAnswer(
        "increase", _change("requests", f"sum(increase({_SUCCESS}M[W]))"), "came in the whole window"
    ),
    WrongAnswer("irate", _change("requests", f"sum(irate({_SUCCESS}M[W]))"), "the last two samples only"),
    WrongAnswer("rows", _change("requests", _sum(_COUNT)), "Those are rows. A request"),
    WrongAnswer("executions", _change("requests", _sum(_EXEC)), "One answers a whole batch"),
    WrongAnswer(
        "with failures", _change("requests", f"{_sum(_SUCCESS)} + {_sum(_FAILURE)}"), "Failed requests are in"
    ),
    WrongAnswer(
        "mean of servers", _change("requests", f"avg(rate({_SUCCESS}M[W]))"), "mean over the servers"
    ),
    WrongAnswer(
        "sum before rate, as a subquery",
        _change("requests", f"rate(sum({_SUCCESS}M)[W:1s])"),
        "You summed before `rate`",
    ),
    WrongAnswer("sum before rate", _change("requests", f"rate(sum({_SUCCESS}M)[W])"), "belongs to a metric"),
    WrongAnswer("delta", _change("requests", f"sum(delta({_SUCCESS}M[W]))"), "`delta` is for gauges"),
    WrongAnswer("no sum", _change("requests", f"rate({_SUCCESS}M[W])"), "(and reason) in requests"),
    WrongAnswer(
        "fixed window", _change("requests", f"sum(rate({_SUCCESS}M[10s]))"), "The window is an argument"
    ),
    WrongAnswer(
        "wrong name", _change("requests", "sum(rate(nv_inference_success_countM[W]))"), "There is no metric"
    ),
    WrongAnswer(
        "single quotes forgotten",
        "_right_queries = queries\n\n\ndef queries(model, window):\n"
        "    return {key: text.replace('\"', '') for key, text in _right_queries(model, window).items()}\n",
        "These are Prometheus' words",
    ),
    WrongAnswer(
        "label of another name",
        "_right_queries = queries\n\n\ndef queries(model, window):\n"
        "    right = _right_queries(model, window)\n"
        "    return {key: text.replace('model=', 'name=') for key, text in right.items()}\n",
        "No series carries these labels",
    ),
    WrongAnswer("upside down", _change("batch", f"{_sum(_EXEC)} / {_sum(_COUNT)}"), "executions per row"),
    WrongAnswer(
        "requests by executions",
        _change("batch", f"{_sum(_SUCCESS)} / {_sum(_EXEC)}"),
        "Requests are not rows: a batch",
    ),
    WrongAnswer(
        "mean of means",
        _change("batch", f"avg(rate({_COUNT}M[W]) / rate({_EXEC}M[W]))"),
        "The mean of two means",
    ),
    WrongAnswer(
        "all executions",
        _change("batch", f"{_sum(_COUNT)} / sum(rate({_EXEC}[W]))"),
        "executions of all models are below",
    ),
    WrongAnswer(
        "medians of summaries",
        "_right_queries = queries\n\n\ndef queries(model, window):\n"
        "    own = '{model=\"' + model + '\",quantile=\"0.5\"}'\n"
        "    text = f'sum(nv_inference_queue_summary_us{own}) / sum(nv_inference_request_summary_us{own})'\n"
        "    return {**_right_queries(model, window), 'queue': text + f' + 0 * sum(rate("
        f"{_SUCCESS}" + "[{window}]))'}\n",
        "Medians do not divide",
    ),
    WrongAnswer(
        "queue to compute",
        _change("queue", f"{_sum(_QUEUE)} / {_sum('nv_inference_compute_infer_duration_us')}"),
        "That is queue to compute",
    ),
    WrongAnswer(
        "queue added again",
        _change("queue", f"{_sum(_QUEUE)} / ({_sum(_QUEUE)} + {_sum(_REQUEST)})"),
        "holds the queue already",
    ),
    WrongAnswer(
        "sum of the phases",
        _change(
            "queue",
            f"{_sum(_QUEUE)} / ({_sum(_QUEUE)} + {_sum(_INPUT)} + {_sum(_COMPUTE)} + {_sum(_OUTPUT)})",
        ),
        "The phases leave a part of the request out",
    ),
    WrongAnswer(
        "queue and computing",
        _change("queue", f"{_sum(_QUEUE)} / ({_sum(_QUEUE)} + {_sum(_COMPUTE)})"),
        "are not the whole request",
    ),
    WrongAnswer("by a million", _change("queue", f"{_sum(_QUEUE)} / 1e6"), "are how many wait"),
    WrongAnswer("queue alone", _change("queue", _sum(_QUEUE)), "Those are microseconds of waiting"),
    WrongAnswer(
        "converted on one side",
        _change("queue", f"{_sum(_QUEUE)} / 1e6 / {_sum(_REQUEST)}"),
        "nothing is to convert",
    ),
    WrongAnswer("per cent", _change("queue", f"100 * {_sum(_QUEUE)} / {_sum(_REQUEST)}"), "that is per cent"),
    WrongAnswer(
        "time in the queue",
        _change("queue", f"{_sum(_QUEUE)} / {_sum(_SUCCESS)}"),
        "in microseconds. The share",
    ),
    WrongAnswer(
        "mean of shares",
        _change("queue", f"avg(rate({_QUEUE}M[W]) / rate({_REQUEST}M[W]))"),
        "The mean of the servers' shares",
    ),
    WrongAnswer(
        "by successes",
        _change("failures", f"{_sum(_FAILURE)} / {_sum(_SUCCESS)}"),
        "`success` does not count failures",
    ),
    WrongAnswer("failures per second", _change("failures", _sum(_FAILURE)), "failures per second, not"),
    WrongAnswer(
        "no brackets",
        _change("failures", f"{_sum(_FAILURE)} / {_sum(_FAILURE)} + {_sum(_SUCCESS)}"),
        "PromQL divides first",
    ),
    WrongAnswer(
        "no brackets, successes first",
        _change("failures", f"{_sum(_FAILURE)} / {_sum(_SUCCESS)} + {_sum(_FAILURE)}"),
        "then added the failures",
    ),
    WrongAnswer(
        "divided without sum",
        _change("failures", f"rate({_FAILURE}M[W]) / rate({_SUCCESS}M[W])"),
        "Failures carry a `reason`",
    ),
    WrongAnswer("rate of a gauge", _change("waiting", _sum(_PENDING)), "`rate` of a gauge says nothing"),
    WrongAnswer(
        "mean over time",
        _change("waiting", f"sum(avg_over_time({_PENDING}M[W]))"),
        "the mean over the window",
    ),
    WrongAnswer("longest of two", _change("waiting", f"max({_PENDING}M)"), "two queues: add them up"),
    WrongAnswer("all queues", _change("waiting", f"sum({_PENDING})"), "what waits at all models"),
    WrongAnswer(
        "values",
        "def queries(model, window):\n"
        "    return dict.fromkeys(('requests', 'batch', 'queue', 'failures', 'waiting'), 1.0)\n",
        "Return the expressions, not their values",
    ),
]

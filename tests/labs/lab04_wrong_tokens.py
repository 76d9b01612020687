"""Plausible wrong answers to 4.4 and 4.5."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_TTFT, _ITL = "llama_time_to_first_token_seconds", "llama_inter_token_seconds"


def _quantile(
    result: str = "lower + (bound - lower) * (rank - count) / (buckets[bound] - count)",
    *,
    last: str = "lower",
    empty: str = "math.nan",
    rank: str = "q * buckets[math.inf]",
    order: str = "sorted(buckets)",
) -> str:
    return f"""
def quantile(buckets, q):
    rank, lower, count = {rank}, 0.0, 0.0
    if not buckets[math.inf]:
        return {empty}
    for bound in {order}:
        if buckets[bound] >= rank:
            if bound == math.inf:
                return {last}
            return {result}
        lower, count = bound, buckets[bound]
"""


_ADDED_UP = """
def quantile(buckets, q):
    sums, together = {}, 0.0
    for bound in sorted(buckets):
        together += buckets[bound]
        sums[bound] = together
    rank, lower, count = q * together, 0.0, 0.0
    if not rank:
        return math.nan
    for bound in sorted(sums):
        if sums[bound] >= rank:
            if bound == math.inf:
                return lower
            return lower + (bound - lower) * (rank - count) / (sums[bound] - count)
        lower, count = bound, sums[bound]
"""


def _figures(**changed: str) -> str:
    text = ", ".join(f"{key!r}: {value}" for key, value in changed.items())
    return f"""
_right_figures = figures


def figures(window):
    return {{**_right_figures(window), {text}}}
"""


def _worse(names: str = '("ttft", "itl")', keep: str = "grown[n] > 2", ratio: str = "heavy[n] / light[n]",
           order: str = "sorted(kept, key=grown.get, reverse=True)") -> str:  # fmt: skip
    return f"""
def worse_for_users(light, heavy):
    grown = {{n: {ratio} for n in {names}}}
    kept = [n for n in grown if {keep}]
    return {order}
"""


TOKENS: list[WrongAnswer] = [
    WrongAnswer("upper bound", _quantile("bound"), "the upper bound of its bucket"),
    WrongAnswer("middle", _quantile("(lower + bound) / 2"), "the middle of its bucket"),
    WrongAnswer(
        "from zero", _quantile("bound * rank / buckets[bound]"), "The line must begin at the bucket's lower"
    ),
    WrongAnswer("added up again", _ADDED_UP, "You added them up once more"),
    WrongAnswer("infinite", _quantile(last="math.inf"), "Without a last bound there is no line"),
    WrongAnswer("zero for nothing", _quantile(empty="0.0"), "return `math.nan`, not 0"),
    WrongAnswer(
        "divides by zero",
        _quantile().replace("    if not buckets[math.inf]:\n        return math.nan\n", ""),
        "return `math.nan` before",
    ),
    WrongAnswer("from the top", _quantile(rank="(1 - q) * buckets[math.inf]"), "You counted from the top"),
    WrongAnswer("not in order", _quantile(order="buckets"), "in which it was filled"),
    WrongAnswer(
        "all outcomes", _figures(rps='window.rate("llama_requests_total")'), "are not answers: `stop` and"
    ),
    WrongAnswer(
        "only stop", _figures(rps='window.rate("llama_requests_total", outcome="stop")'), "add the outcome"
    ),
    WrongAnswer(
        "tokens of the window",
        _figures(tps='window.increase("llama_generated_tokens_total")'),
        "tps: those are the tokens of the whole window",
    ),
    WrongAnswer(
        "with prompts",
        _figures(
            tps='window.rate("llama_generated_tokens_total") + window.rate("llama_prompt_tokens_total")'
        ),
        "tokens of prompts are read, not made",
    ),
    WrongAnswer(
        "mean",
        _figures(ttft=f'window.increase("{_TTFT}_sum") / window.increase("{_TTFT}_count")'),
        "ttft: that is the mean",
    ),
    WrongAnswer(
        "median",
        _figures(
            ttft=f'quantile(histogram(window, "{_TTFT}"), 0.5)',
            itl=f'quantile(histogram(window, "{_ITL}"), 0.5)',
        ),
        "ttft: that is the median",
    ),
    WrongAnswer(
        "swapped",
        _figures(
            ttft=f'quantile(histogram(window, "{_ITL}"), 0.95)',
            itl=f'quantile(histogram(window, "{_TTFT}"), 0.95)',
        ),
        "ttft: TTFT and ITL are swapped",
    ),
    WrongAnswer(
        "milliseconds",
        _figures(
            ttft=f'1000 * quantile(histogram(window, "{_TTFT}"), 0.95)',
            itl=f'1000 * quantile(histogram(window, "{_ITL}"), 0.95)',
        ),
        "ttft: that is in milliseconds",
    ),
    WrongAnswer(
        "one of the two in milliseconds",
        _figures(itl=f'1000 * quantile(histogram(window, "{_ITL}"), 0.95)'),
        "itl: that is in milliseconds",
    ),
    WrongAnswer(
        "answers of the window",
        _figures(
            rps='sum(window.increase("llama_requests_total", outcome=one) for one in ("stop", "length"))',
            tps='window.increase("llama_generated_tokens_total")',
        ),
        "rps: that is how many answers",
    ),
    WrongAnswer(
        "one figure left out",
        "def figures(window):\n    return {'rps': 1.0, 'tps': 1.0, 'ttft': 1.0}\n",
        "These four keys",
    ),
    WrongAnswer(
        "one by TPS",
        _figures(itl='1 / window.rate("llama_generated_tokens_total")'),
        "the tokens of all users",
    ),
    WrongAnswer(
        "without _seconds",
        _figures(ttft='quantile(histogram(window, "llama_time_to_first_token"), 0.95)'),
        "`window.last.names()` lists them",
    ),
    WrongAnswer("all four", _worse('("ttft", "itl", "rps", "tps")'), "No user sees them"),
    WrongAnswer("at least twice", _worse(keep="grown[n] >= 2"), "Exactly twice is not more"),
    WrongAnswer(
        "by seconds",
        _worse(order="sorted(kept, key=lambda n: heavy[n] - light[n], reverse=True)"),
        "a growth by ratio, not by seconds",
    ),
    WrongAnswer("best first", _worse(order="sorted(kept, key=grown.get)"), "Worst first."),
    WrongAnswer("not sorted", _worse(order="kept"), "sort, the largest ratio first"),
    WrongAnswer("alphabet", _worse(order="sorted(kept)"), "order of the alphabet"),
    WrongAnswer("upside down", _worse(ratio="light[n] / heavy[n]"), "More is worse here"),
    WrongAnswer("any growth", _worse(keep="grown[n] > 1"), "Any growth is in your list"),
]

_US = "nv_inference_{}_duration_us"
_RATE = 'window.rate("nv_inference_{}_duration_us", model=model)'
_DONE = 'window.rate("nv_inference_request_success", model=model)'


def _inside(text: str) -> str:
    return f"def inside(window, model):\n    return {text}\n"


def _waiting(text: str) -> str:
    return f"def waiting(window, model):\n    return {text}\n"


def _outside(text: str, rate: str = _DONE) -> str:
    request, queue = _RATE.format("request"), _RATE.format("queue")
    return f"""
def outside_ms(window, model, clients):
    rate = {rate}
    duration = {request} / {_DONE} / 1000
    queue = {queue} / {_DONE} / 1000
    return {text}
"""


LITTLE: list[WrongAnswer] = [
    WrongAnswer("microseconds", _inside(_RATE.format("request")), "is in microseconds: a million"),
    WrongAnswer(
        "as milliseconds", _inside(_RATE.format("request") + " / 1e3"), "Microseconds, not milliseconds"
    ),
    WrongAnswer(
        "queue inside", _inside(_RATE.format("queue") + " / 1e6"), "Those are the requests that wait"
    ),
    WrongAnswer(
        "all models inside",
        _inside('window.rate("nv_inference_request_duration_us") / 1e6'),
        "Those are the requests of all models",
    ),
    WrongAnswer(
        "time, not number",
        _inside(f"{_RATE.format('request')} / {_DONE} / 1e6"),
        "the time of a request, W",
    ),
    WrongAnswer("rate alone", _inside(_DONE), "That is the rate alone"),
    WrongAnswer(
        "not per second",
        _inside('window.increase("nv_inference_request_duration_us", model=model) / 1e6'),
        "seconds of requests in the whole window",
    ),
    WrongAnswer(
        "since the start",
        _inside('window.last.value("nv_inference_request_duration_us", model=model) / 1e6 / window.seconds'),
        "since the server started, by this window's",
    ),
    WrongAnswer(
        "computed", _inside(_RATE.format("compute_infer") + " / 1e6"), "the requests that are computed"
    ),
    WrongAnswer("waiting is inside", _waiting(_RATE.format("request") + " / 1e6"), "all that are inside"),
    WrongAnswer(
        "gauge",
        _waiting('window.gauge("nv_inference_pending_request_count", model=model)'),
        "looks at the gauge",
    ),
    WrongAnswer(
        "rate of the gauge",
        _waiting('window.rate("nv_inference_pending_request_count", model=model)'),
        "Take the counter of durations, `nv_inference_queue",
    ),
    WrongAnswer(
        "share",
        _waiting(f"{_RATE.format('queue')} / {_RATE.format('request')}"),
        "the share of its time that a request waits",
    ),
    WrongAnswer(
        "wait of one",
        _waiting(f"{_RATE.format('queue')} / {_DONE} / 1e6"),
        "how long one request waits",
    ),
    WrongAnswer(
        "inside less computed",
        _waiting(f"({_RATE.format('request')} - {_RATE.format('compute_infer')}) / 1e6"),
        "leaves out input and output",
    ),
    WrongAnswer("client's latency", _outside("1000 * clients / rate"), "the client's latency, by Little's"),
    WrongAnswer("server's time", _outside("duration"), "the time in Triton. Asked for"),
    WrongAnswer(
        "in seconds", _outside("(1000 * clients / rate - duration) / 1000"), "That is in seconds: times"
    ),
    WrongAnswer("sign", _outside("duration - 1000 * clients / rate"), "The other way round"),
    WrongAnswer("less the queue", _outside("1000 * clients / rate - queue"), "Not everything in Triton is"),
    WrongAnswer("forgets the clients", _outside("1000 / rate - duration"), "clients by rate"),
    WrongAnswer(
        "executions",
        _outside("1000 * clients / rate - duration", 'window.rate("nv_inference_exec_count", model=model)'),
        "Executions are not requests",
    ),
    WrongAnswer(
        "rows",
        _outside("1000 * clients / rate - duration", 'window.rate("nv_inference_count", model=model)'),
        "Rows are not requests",
    ),
]

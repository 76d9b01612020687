"""Plausible wrong answers to 4.6 and 4.7."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_CROWDED = 'mean(heavy, "compute_infer", step) > 2 * mean(light, "compute_infer", step)'
_BATCH = "rows(heavy, step) / runs(heavy, step)"


def _diagnose(
    choose: str = 'mean(heavy, "request", model)',
    *,
    crowded: str = _CROWDED,
    batch: str = _BATCH,
    least: str = "max",
    answer: str = "return step, cause",
    causes: str = '"no batching" if batch < 1.25 else "slow step"',
) -> str:
    return f"""
def diagnose(light, heavy, steps):
    def grown(window, name, model):
        return window.increase(name, model=model)

    def mean(window, phase, model):
        name = f"nv_inference_{{phase}}_duration_us"
        return grown(window, name, model) / grown(window, "nv_inference_request_success", model)

    def rows(window, model):
        return grown(window, "nv_inference_count", model)

    def runs(window, model):
        return grown(window, "nv_inference_exec_count", model)

    step = {least}(steps, key=lambda model: {choose})
    batch = {batch}
    cause = {causes}
    if {crowded}:
        cause = "too many instances"
    {answer}
"""


BOTTLENECK: list[WrongAnswer] = [
    WrongAnswer(
        "by throughput",
        _diagnose('heavy.rate("nv_inference_request_success", model=model)', least="min"),
        "You chose by throughput",
    ),
    WrongAnswer("by computing", _diagnose('mean(heavy, "compute_infer", model)'), "You chose by computing"),
    WrongAnswer("by the queue", _diagnose('mean(heavy, "queue", model)'), "You chose by the queue alone"),
    WrongAnswer("with one client", _diagnose('mean(light, "request", model)'), "slowest with one client"),
    WrongAnswer(
        "by growth",
        _diagnose('mean(heavy, "request", model) / mean(light, "request", model)'),
        "You chose the step that grew most",
    ),
    WrongAnswer(
        "all but the longest",
        _diagnose(
            'sorted(mean(heavy, "request", one) for one in steps)[-2] == mean(heavy, "request", model)'
        ),
        "You left out the step with the longest",
    ),
    WrongAnswer("the quickest", _diagnose(least="min"), "takes least of a request's time"),
    WrongAnswer(
        "since the start",
        _diagnose(
            'heavy.last.value("nv_inference_request_duration_us", model=model)'
            ' / heavy.last.value("nv_inference_request_success", model=model)'
        ),
        "sums since the server started",
    ),
    WrongAnswer(
        "the whole duration grows",
        _diagnose(crowded='mean(heavy, "request", step) > 2 * mean(light, "request", step)'),
        "You compared the whole duration",
    ),
    WrongAnswer(
        "the queue grows",
        _diagnose(crowded='mean(heavy, "queue", step) > 2 * mean(light, "queue", step)'),
        "You compared the queues",
    ),
    WrongAnswer("batch first", _diagnose(crowded=f"batch >= 1.25 and {_CROWDED}"), "You looked at the batch"),
    WrongAnswer("never crowded", _diagnose(crowded="False"), "You never say"),
    WrongAnswer(
        "at least twice", _diagnose(crowded=_CROWDED.replace(">", ">=")), "Exactly twice is not more"
    ),
    WrongAnswer(
        "sums of executions",
        _diagnose(
            crowded='grown(heavy, "nv_inference_compute_infer_duration_us", step)'
            ' > 2 * grown(light, "nv_inference_compute_infer_duration_us", step)'
        ),
        "the time of all executions together",
    ),
    WrongAnswer(
        "batch upside down",
        _diagnose(batch="runs(heavy, step) / rows(heavy, step)"),
        "is upside down: the mean",
    ),
    WrongAnswer(
        "swapped", _diagnose(causes='"slow step" if batch < 1.25 else "no batching"'), "are swapped: without"
    ),
    WrongAnswer("only the cause", _diagnose(answer="return cause"), "two values behind one return"),
    WrongAnswer("own words", _diagnose(answer='return step, cause.replace(" ", "_")'), "letter by letter"),
]


def _mend(body: str) -> str:
    return f"""
_right_mend = mend


def mend(config, cause):
    {body}
    return _right_mend(config, cause)
"""


def _case(cause: str, text: str) -> str:
    return _mend(f'if cause == "{cause}":\n        return {text}')


def _count(number: str) -> str:
    return f're.sub(r"count: \\d+", "count: {number}", config)'


def _proven(text: str) -> str:
    return f"""
def proven(before, after, model):
    DONE, TIME = "nv_inference_request_success", "nv_inference_request_duration_us"

    def grown(window, name):
        return window.increase(name, model=model)

    def mean(window):
        return grown(window, TIME) / grown(window, DONE)

    rate = [window.rate(DONE, model=model) for window in (before, after)]
    faster, sooner = rate[1] >= 2 * rate[0], mean(after) * 2 <= mean(before)
    return {text}
"""


MEND: list[WrongAnswer] = [
    WrongAnswer(
        "does not return the text",
        _mend('config.replace("count: 1", "count: 4")\n    return config'),
        "Nothing has changed",
    ),
    WrongAnswer("instances for batching", _case("no batching", _count("4")), "More instances share the same"),
    WrongAnswer(
        "batch size for batching",
        _case("no batching", 'config.replace("max_batch_size: 8", "max_batch_size: 16")'),
        "lets an execution take all",
    ),
    WrongAnswer(
        "both knobs",
        _case("no batching", 'config.replace("count: 1", "count: 2") + "dynamic_batching { }"'),
        "Batching alone is the mend",
    ),
    WrongAnswer(
        "batching with a setting",
        _case("no batching", 'config + "dynamic_batching { max_queue_delay_microseconds: 1000 }"'),
        "An empty block is the mend",
    ),
    WrongAnswer(
        "batching for all causes",
        """
def mend(config, cause):
    if cause != "no batching":
        config = re.sub(r"count: \\d+", "count: 1" if cause == "too many instances" else "count: 4", config)
    return config if "dynamic_batching" in config else config + "dynamic_batching { }"
""",
        "Batching is no part of this mend",
    ),
    WrongAnswer(
        "one digit",
        _case("too many instances", 're.sub(r"count: \\d", "count: 1", config)'),
        "Only the first digit",
    ),
    WrongAnswer(
        "more for the crowd", _case("too many instances", _count("120")), "more instances make it worse"
    ),
    WrongAnswer("two for the crowd", _case("too many instances", _count("2")), "Two or more still share"),
    WrongAnswer(
        "one name for all",
        _case(
            "too many instances",
            _count("1") + '.replace("name:", "nam:")',
        ),
        "look at the line that is named",
    ),
    WrongAnswer(
        "batching for the slow step",
        _case(
            "slow step",
            'config.replace("dynamic_batching { }", "dynamic_batching { max_queue_delay_'
            'microseconds: 5000 }")',
        ),
        "it needs more hands",
    ),
    WrongAnswer("three hands", _case("slow step", _count("3")), "keep 4 of them busy"),
    WrongAnswer("eight hands", _case("slow step", _count("8")), "4 are enough here"),
    WrongAnswer(
        "batching lost",
        _case("slow step", _count("4") + '.replace("dynamic_batching { }", "")'),
        "The batching is gone",
    ),
    WrongAnswer(
        "batch as well",
        _case("slow step", _count("4") + '.replace("max_batch_size: 8", "max_batch_size: 16")'),
        "Compare the text before and after",
    ),
    WrongAnswer("rate alone", _proven("faster"), "can come from more clients"),
    WrongAnswer("time alone", _proven("sooner"), "can come from fewer clients"),
    WrongAnswer("one of two", _proven("faster or sooner"), "`and`, not `or`"),
    WrongAnswer(
        "increases", _proven("grown(after, DONE) >= 2 * grown(before, DONE) and sooner"), "compare rates, not"
    ),
    WrongAnswer(
        "strictly", _proven("rate[1] > 2 * rate[0] and mean(after) * 2 < mean(before)"), "at least, at most"
    ),
    WrongAnswer("any gain", _proven("rate[1] > rate[0] and mean(after) < mean(before)"), "That is any gain"),
    WrongAnswer(
        "sums of durations",
        _proven("faster and 2 * grown(after, TIME) <= grown(before, TIME)"),
        "the sums of the durations",
    ),
    WrongAnswer(
        "the queue's part",
        _proven(
            'faster and 2 * grown(after, "nv_inference_queue_duration_us") / grown(after, DONE)'
            ' <= grown(before, "nv_inference_queue_duration_us") / grown(before, DONE)'
        ),
        "That is the queue's share",
    ),
    WrongAnswer(
        "swapped", _proven("rate[0] >= 2 * rate[1] and mean(before) * 2 <= mean(after)"), "are swapped."
    ),
]

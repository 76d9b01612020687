"""Plausible wrong answers to 2.6 and 2.7."""

from __future__ import annotations

from tests.labs.lab02_wrong_instances import INSTANCES
from tests.proofs.kit.wrong import WrongAnswer


def _config(
    name: str = "{name}",
    batch: str = "max_batch_size: {max_batch}",
    dims: str = "1, 28, 28",
    output: str = "10",
    block: str = "dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}",
) -> str:
    return f'''
def batched_config(name, max_batch, delay_us):
    return f"""
name: "{name}"
platform: "onnxruntime_onnx"
{batch}
input [ {{{{ name: "input" data_type: TYPE_FP32 dims: [ {dims} ] }}}} ]
output [ {{{{ name: "output" data_type: TYPE_FP32 dims: [ {output} ] }}}} ]
{block}
"""
'''


def _mean(images: str = 'after["inference_count"] - before["inference_count"]', result: str = "") -> str:
    return f"""
def mean_batch(before, after):
    executions = after["execution_count"] - before["execution_count"]
    images = {images}
    return {result or "images / executions if executions else 0.0"}
"""


def _histogram(value: str = "count - old.get(size, 0)", keep: str = "count != old.get(size)") -> str:
    return f"""
def batch_histogram(before, after):
    old = {{entry["batch_size"]: entry["compute_infer"]["count"] for entry in before["batch_stats"]}}
    new = {{entry["batch_size"]: entry["compute_infer"]["count"] for entry in after["batch_stats"]}}
    return {{size: {value} for size, count in new.items() if {keep}}}
"""


_NANOSECONDS = """
def batch_histogram(before, after):
    return {entry["batch_size"]: entry["compute_infer"]["ns"] for entry in after["batch_stats"]}
"""

_REQUESTS = 'after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"]'


def _delay(
    delays: str = "sorted(delays_us)",
    measured: str = "result = measure(delay_us)",
    fits: str = "result.latency.p99 * 1000 <= limit_ms",
    worth: str = "result.mean_batch",
    choice: str = "max(fitting, key=fitting.get, default=None)",
) -> str:
    return f"""
def choose_delay(measure, delays_us, limit_ms):
    fitting = {{}}
    for delay_us in {delays}:
        {measured}
        if {fits}:
            fitting[delay_us] = {worth}
    return {choice}
"""


_BELIEVES = """
def choose_delay(measure, delays_us, limit_ms):
    return max((d for d in delays_us if d / 1000 <= limit_ms), default=None)
"""

_STOPS_AT_LATE = """
def choose_delay(measure, delays_us, limit_ms):
    fitting = {}
    for delay_us in sorted(delays_us):
        result = measure(delay_us)
        if result.latency.p99 * 1000 > limit_ms:
            break
        fitting[delay_us] = result.mean_batch
    return max(fitting, key=fitting.get, default=None)
"""

BATCHING: dict[str, list[WrongAnswer]] = {
    "2.6": [
        WrongAnswer(
            "max_batch_size 0",
            _config(batch="max_batch_size: 0", dims="-1, 1, 28, 28", output="-1, 10"),
            "never batches",
        ),
        WrongAnswer("no block", _config(block=""), "reports no `dynamic_batching`"),
        WrongAnswer(
            "milliseconds",
            _config(block="dynamic_batching {{ max_queue_delay_microseconds: {delay_us // 1000} }}"),
            "the delay is",
        ),
        WrongAnswer("fixed batch size", _config(batch="max_batch_size: 32"), "max_batch_size is 32"),
        WrongAnswer(
            "misspelt field",
            _config(block="dynamic_batching {{ max_queue_delay_us: {delay_us} }}"),
            'no field named "max_queue_delay_us"',
        ),
        WrongAnswer("fixed name", _config(name="mnist_mlp"), "must equal"),
        WrongAnswer(
            "preferred size of one",
            _config(
                block="dynamic_batching {{ preferred_batch_size: [ 1 ] "
                "max_queue_delay_microseconds: {delay_us} }}"
            ),
            "take out the rest",
        ),
        WrongAnswer(
            "since the load",
            _mean(result='after["inference_count"] / after["execution_count"]'),
            "the mean since the model was loaded",
        ),
        WrongAnswer("requests, not images", _mean(images=_REQUESTS), "`success` counts requests"),
        WrongAnswer("upside down", _mean(result="executions / images if images else 0.0"), "Upside down"),
        WrongAnswer("idle model", _mean(result="images / executions"), "ZeroDivisionError"),
        WrongAnswer(
            "idle model is one", _mean(result="images / max(executions, 1) or 1.0"), "for an idle model"
        ),
        WrongAnswer("histogram since the load", _histogram("count", "True"), "all executions since the load"),
        WrongAnswer(
            "sizes that ran before alone",
            _histogram("count - old[size]", "True"),
            "may be missing in `before`",
        ),
        WrongAnswer(
            "platform as backend",
            _config().replace("platform:", "backend:"),
            'or `backend: "onnxruntime"`',
        ),
        WrongAnswer(
            "delay outside the block",
            _config(block="dynamic_batching {{ }}\nmax_queue_delay_microseconds: {delay_us}"),
            "inside the braces of `dynamic_batching`",
        ),
        WrongAnswer("zeros kept", _histogram(keep="True"), "their difference is 0"),
        WrongAnswer("images by size", _histogram("size * (count - old.get(size, 0))"), "These are images"),
        WrongAnswer("nanoseconds", _NANOSECONDS, "These are nanoseconds"),
    ],
    "2.7": [
        WrongAnswer("believed, not measured", _BELIEVES, "without one call of `measure`"),
        WrongAnswer("the mean", _delay(fits="result.latency.mean * 1000 <= limit_ms"), "The mean hides"),
        WrongAnswer(
            "seconds as milliseconds", _delay(fits="result.latency.p99 <= limit_ms"), "above the limit"
        ),
        WrongAnswer(
            "milliseconds twice",
            _delay(fits="result.latency.p99 * 1_000_000 <= limit_ms"),
            "Some are within the limit",
        ),
        WrongAnswer("throughput", _delay(worth="result.throughput"), "it is the rate you send"),
        WrongAnswer("none fits", _delay(choice="max(fitting, key=fitting.get)"), "empty sequence"),
        WrongAnswer(
            "none fits, the first instead",
            _delay(choice="max(fitting, key=fitting.get, default=min(delays_us))"),
            "the answer is another design",
        ),
        WrongAnswer(
            "measured again and again",
            _delay(measured="result = measure(delay_us) if measure(delay_us).errors else measure(delay_us)"),
            "measurements for 4 delays",
        ),
        WrongAnswer("order of the list", _delay(delays="delays_us"), "the smaller delay does it too"),
        WrongAnswer(
            "below the limit", _delay(fits="result.latency.p99 * 1000 < limit_ms"), "exactly the limit"
        ),
        WrongAnswer("stops at the first that is late", _STOPS_AT_LATE, "Judge each delay by itself"),
        *INSTANCES,
    ],
}

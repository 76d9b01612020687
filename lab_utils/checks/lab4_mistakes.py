"""What a beginner writes in exercise 4.3: PromQL by its key, and what each wrong form needs.

`M` stands for the selector of the model, `W` for the window. A number that comes from one of these forms
names the mistake. No form may give the number of another one; tests/labs/test_promql_mistakes.py proves it.
"""

from __future__ import annotations

RIGHT = {
    "requests": "sum(rate(nv_inference_request_successM[W]))",
    "batch": "sum(rate(nv_inference_countM[W])) / sum(rate(nv_inference_exec_countM[W]))",
    "queue": "sum(rate(nv_inference_queue_duration_usM[W])) "
    "/ sum(rate(nv_inference_request_duration_usM[W]))",
    "failures": "sum(rate(nv_inference_request_failureM[W])) / (sum(rate(nv_inference_request_failureM[W])) "
    "+ sum(rate(nv_inference_request_successM[W])))",
    "waiting": "sum(nv_inference_pending_request_countM)",
}

MISTAKES: dict[str, dict[str, str]] = {
    "requests": {
        'That counts the other models\' requests too: `{model="…"}` behind the name of the metric.': (
            "sum(rate(nv_inference_request_success[W]))"
        ),
        "That is the counter itself, all requests since the start. Take its `rate`.": (
            "sum(nv_inference_request_successM)"
        ),
        "That is how many came in the whole window. Per second is `rate`, not `increase`.": (
            "sum(increase(nv_inference_request_successM[W]))"
        ),
        "`irate` looks at the last two samples only, however long the window is. Take `rate`.": (
            "sum(irate(nv_inference_request_successM[W]))"
        ),
        "Those are rows. A request may hold many: `nv_inference_request_success`.": (
            "sum(rate(nv_inference_countM[W]))"
        ),
        "That is the mean over the servers. Together they answer the sum.": (
            "avg(rate(nv_inference_request_successM[W]))"
        ),
        "That is the busiest server alone. Together they answer the sum.": (
            "max(rate(nv_inference_request_successM[W]))"
        ),
        "You summed before `rate`: the restart of one server then looks like a restart of all. "
        "First rate, then sum.": "rate(sum(nv_inference_request_successM)[W:1s])",
        "`delta` is for gauges: it takes a restart for a loss.": (
            "sum(delta(nv_inference_request_successM[W]))"
        ),
        "`deriv` is for gauges: it takes a restart for a loss.": (
            "sum(deriv(nv_inference_request_successM[W]))"
        ),
        "Failed requests are in it. Answered well are those of `nv_inference_request_success` alone.": (
            "sum(rate(nv_inference_request_successM[W])) + sum(rate(nv_inference_request_failureM[W]))"
        ),
        "Those are executions. One answers a whole batch of requests: `nv_inference_request_success`.": (
            "sum(rate(nv_inference_exec_countM[W]))"
        ),
    },
    "batch": {
        "Upside down: that is executions per row. Rows by executions.": (
            "sum(rate(nv_inference_exec_countM[W])) / sum(rate(nv_inference_countM[W]))"
        ),
        "Requests are not rows: a batch is counted in rows, `nv_inference_count`.": (
            "sum(rate(nv_inference_request_successM[W])) / sum(rate(nv_inference_exec_countM[W]))"
        ),
        "That is the mean since the servers started: take the `rate` of both counters.": (
            "sum(nv_inference_countM) / sum(nv_inference_exec_countM)"
        ),
        "The mean of two means gives an idle server as much weight as a busy one: divide the sums.": (
            "avg(rate(nv_inference_countM[W]) / rate(nv_inference_exec_countM[W]))"
        ),
        "The sum of two means is no mean: sum above and below, then divide.": (
            "sum(rate(nv_inference_countM[W]) / rate(nv_inference_exec_countM[W]))"
        ),
        "That is the mean batch of all models together: choose the model above and below.": (
            "sum(rate(nv_inference_count[W])) / sum(rate(nv_inference_exec_count[W]))"
        ),
        "The executions of all models are below the line: choose the model there as well.": (
            "sum(rate(nv_inference_countM[W])) / sum(rate(nv_inference_exec_count[W]))"
        ),
    },
    "queue": {
        "Medians do not divide: the request with the median wait is not the one with the median latency. "
        "Take the counters of durations.": (
            'sum(nv_inference_queue_summary_usM{quantile="0.5"}) '
            '/ sum(nv_inference_request_summary_usM{quantile="0.5"})'
        ),
        "That is queue to compute. The share is of the whole request.": (
            "sum(rate(nv_inference_queue_duration_usM[W])) "
            "/ sum(rate(nv_inference_compute_infer_duration_usM[W]))"
        ),
        "The request's duration holds the queue already: do not add it again.": (
            "sum(rate(nv_inference_queue_duration_usM[W])) / (sum(rate(nv_inference_queue_duration_usM[W])) "
            "+ sum(rate(nv_inference_request_duration_usM[W])))"
        ),
        "The phases leave a part of the request out. The whole has a counter of its own: "
        "`nv_inference_request_duration_us`.": (
            "sum(rate(nv_inference_queue_duration_usM[W])) / (sum(rate(nv_inference_queue_duration_usM[W])) "
            "+ sum(rate(nv_inference_compute_input_duration_usM[W])) "
            "+ sum(rate(nv_inference_compute_infer_duration_usM[W])) "
            "+ sum(rate(nv_inference_compute_output_duration_usM[W])))"
        ),
        "Queue and computing are not the whole request: divide by `nv_inference_request_duration_us`.": (
            "sum(rate(nv_inference_queue_duration_usM[W])) / (sum(rate(nv_inference_queue_duration_usM[W])) "
            "+ sum(rate(nv_inference_compute_infer_duration_usM[W])))"
        ),
        "Seconds of waiting per second are how many wait. A share divides by the time of the requests.": (
            "sum(rate(nv_inference_queue_duration_usM[W])) / 1e6"
        ),
        "Those are microseconds of waiting per second. Divide by those of the whole requests.": (
            "sum(rate(nv_inference_queue_duration_usM[W]))"
        ),
        "Both counters are in microseconds, so nothing is to convert: divide one by the other.": (
            "sum(rate(nv_inference_queue_duration_usM[W])) / 1e6 "
            "/ sum(rate(nv_inference_request_duration_usM[W]))"
        ),
        "That is the share since the servers started: take the `rate` of both.": (
            "sum(nv_inference_queue_duration_usM) / sum(nv_inference_request_duration_usM)"
        ),
        "The mean of the servers' shares: a server that is nearly idle weighs as much as a busy one.": (
            "avg(rate(nv_inference_queue_duration_usM[W]) / rate(nv_inference_request_duration_usM[W]))"
        ),
        "A share lies between 0 and 1; that is per cent.": (
            "100 * sum(rate(nv_inference_queue_duration_usM[W])) "
            "/ sum(rate(nv_inference_request_duration_usM[W]))"
        ),
        "That is the time a request waits, in microseconds. The share is of the request's duration.": (
            "sum(rate(nv_inference_queue_duration_usM[W])) / sum(rate(nv_inference_request_successM[W]))"
        ),
        "That share is of all models together: choose the model above and below the line.": (
            "sum(rate(nv_inference_queue_duration_us[W])) / sum(rate(nv_inference_request_duration_us[W]))"
        ),
    },
    "failures": {
        "`success` does not count failures: the whole is failures plus successes.": (
            "sum(rate(nv_inference_request_failureM[W])) / sum(rate(nv_inference_request_successM[W]))"
        ),
        "That is failures per second, not their share.": "sum(rate(nv_inference_request_failureM[W]))",
        "That is one reason alone. A failure is a failure: sum over all of them.": (
            'sum(rate(nv_inference_request_failureM{reason="BACKEND"}[W])) '
            '/ (sum(rate(nv_inference_request_failureM{reason="BACKEND"}[W])) '
            "+ sum(rate(nv_inference_request_successM[W])))"
        ),
        "That is the share of successes.": (
            "sum(rate(nv_inference_request_successM[W])) / (sum(rate(nv_inference_request_failureM[W])) "
            "+ sum(rate(nv_inference_request_successM[W])))"
        ),
        "That is the share since the servers started: take the `rate` of each counter.": (
            "sum(nv_inference_request_failureM) / (sum(nv_inference_request_failureM) "
            "+ sum(nv_inference_request_successM))"
        ),
        "PromQL divided by the successes, then added the failures. Put the denominator into brackets.": (
            "sum(rate(nv_inference_request_failureM[W])) / sum(rate(nv_inference_request_successM[W])) "
            "+ sum(rate(nv_inference_request_failureM[W]))"
        ),
        "Without brackets PromQL divides first, then adds.": (
            "sum(rate(nv_inference_request_failureM[W])) / sum(rate(nv_inference_request_failureM[W])) "
            "+ sum(rate(nv_inference_request_successM[W]))"
        ),
    },
    "waiting": {
        "`rate` of a gauge says nothing: a fall looks like a restart. Take its value.": (
            "sum(rate(nv_inference_pending_request_countM[W]))"
        ),
        "That is what changed. A gauge is read as it is.": (
            "sum(deriv(nv_inference_pending_request_countM[W]))"
        ),
        "That is the mean over the window. Asked for is what waits now.": (
            "sum(avg_over_time(nv_inference_pending_request_countM[W]))"
        ),
        "That is the longest queue of the window. Asked for is what waits now.": (
            "sum(max_over_time(nv_inference_pending_request_countM[W]))"
        ),
        "Two servers have two queues: add them up.": "max(nv_inference_pending_request_countM)",
        "Two servers have two queues: their mean is no queue.": "avg(nv_inference_pending_request_countM)",
        "That is what waits at all models: choose this one.": "sum(nv_inference_pending_request_count)",
    },
}


def fill(formula: str, model: str, window: str) -> str:
    """A formula for a model and a window.

    Args:
        formula: With `M` behind the name of a metric, also before labels of its own: `M{reason="BACKEND"}`.
        model: The model's name.
        window: For example `20s`.
    """
    selected = formula.replace("M{", f'{{model="{model}",').replace("M[", f'{{model="{model}"}}[')
    return selected.replace("M)", f'{{model="{model}"}})').replace("[W", f"[{window}")

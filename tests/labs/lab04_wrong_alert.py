"""Plausible wrong answers to 4.11."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_WAITED = "sum by (model) (rate(nv_inference_queue_duration_us[5s]))"
_SERVED = "sum by (model) (rate(nv_inference_request_success[5s]))"


def _alert(
    *,
    name: str = "QueueTooLong",
    expr: str = f"{_WAITED} / {_SERVED} / 1000 > {{limit_ms}}",
    lasting: str = "for: {seconds}s",
    labels: str = "labels: {{ severity: page }}",
    summary: str = "requests wait for {{{{ $labels.model }}}}",
) -> str:
    return f'''
def queue_alert(limit_ms, seconds):
    return f"""
groups:
  - name: lab
    rules:
      - alert: {name}
        expr: {expr}
        {lasting}
        {labels}
        annotations: {{{{ summary: "{summary}" }}}}
"""
'''


def _test(
    *,
    slow: str = "15000",
    quick: str = "8000",
    early: str = "- {{ eval_time: {seconds - 1}s, alertname: QueueTooLong }}",
    at: str = "{seconds + 5}s",
    alerts: str = "exp_alerts:",
    labels: str = "- exp_labels: {{ model: slow, severity: page }}",
    summary: str = "  exp_annotations: {{ summary: requests wait for slow }}",
) -> str:
    return f'''
def queue_test(limit_ms, seconds):
    waited, served = "nv_inference_queue_duration_us", "nv_inference_request_success"
    return f"""
evaluation_interval: 1s
tests:
  - interval: 1s
    input_series:
      - {{{{ series: '{{waited}}{{{{model="slow"}}}}', values: "0+{{limit_ms * {slow}}}x400" }}}}
      - {{{{ series: '{{served}}{{{{model="slow"}}}}', values: "0+10x400" }}}}
      - {{{{ series: '{{waited}}{{{{model="quick"}}}}', values: "0+{{limit_ms * {quick}}}x400" }}}}
      - {{{{ series: '{{served}}{{{{model="quick"}}}}', values: "0+10x400" }}}}
    alert_rule_test:
      {early}
      - eval_time: {at}
        alertname: QueueTooLong
        {alerts}
          {labels}
          {summary}
"""
'''


ALERT: list[WrongAnswer] = [
    WrongAnswer("another name", _alert(name="QueueIsTooLong"), "one rule, the alert QueueTooLong"),
    WrongAnswer(
        "braces", _alert(summary="requests wait for {{ $labels.model }}"), "four braces on each side"
    ),
    WrongAnswer(
        "gauge",
        _alert(expr="sum by (model) (nv_inference_pending_request_count) > {limit_ms}"),
        "Increase of the time in the queue",
    ),
    WrongAnswer("microseconds", _alert(expr=f"{_WAITED} / {_SERVED} > {{limit_ms}}"), "The mean time of a"),
    WrongAnswer(
        "all models",
        _alert(expr=f"{_WAITED} / {_SERVED} / 1000 > {{limit_ms}}".replace(" by (model)", "")),
        "One result for each model",
    ),
    WrongAnswer(
        "each version",
        _alert(
            expr="max by (model) (rate(nv_inference_queue_duration_us[5s]) / "
            "rate(nv_inference_request_success[5s])) / 1000 > {limit_ms}"
        ),
        "add up before you divide",
    ),
    WrongAnswer("at once", _alert(lasting="for: 0s"), "says how long it must be true"),
    WrongAnswer(
        "a long look back",
        _alert(expr=f"{_WAITED} / {_SERVED} / 1000 > {{limit_ms}}".replace("5s", "1m")),
        "look back over the last 5 s",
    ),
    WrongAnswer("no severity", _alert(labels="labels: {{ team: a }}"), "decides by it who is called"),
    WrongAnswer("no YAML", _alert(labels="labels: severity: page"), "Compare with the example: groups"),
    WrongAnswer("no alert expected", _test(alerts="", labels="", summary=""), "expects silence there"),
    WrongAnswer("always silent", _test(slow="900", alerts="", labels="", summary=""), "Expect an alert in"),
    WrongAnswer("idle neighbour", _test(quick="0"), "between half the limit and the limit"),
    WrongAnswer("far too slow", _test(slow="90000"), "between the limit and twice the limit"),
    WrongAnswer("waits too little", _test(slow="9000"), "your series give no alert"),
    WrongAnswer("other words", _test(summary=""), "must be the same, word for word"),
    WrongAnswer("looks once", _test(early=""), "no alert yet"),
    WrongAnswer("looks late", _test(at="{seconds + 330}s"), "Look soon after"),
]

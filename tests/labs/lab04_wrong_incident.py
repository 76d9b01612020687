"""Plausible wrong answers to 4.14."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _cause(
    *,
    gone: str = "ready - still",
    failed: str = "client.failed",
    raised: str = 'now.window.increase(failure, model=model, reason="BACKEND")',
    rejected: str = 'now.window.increase(failure, model=model, reason="REJECTED")',
    loaded: str = '"load_model"',
    refused: str = '"roll_back"',
    grown: str = '(report(now.window).fillna(0) - report(before.window).fillna(0)).drop("guide")',
    worst: str = 'grown["request_ms"].idxmax()',
    cached: str = 'row["cache_hit_rate"] < 0',
    batched: str = 'row["mean_batch"] > 0.5',
    waiting: str = 'row["queue_ms"] > row["compute_infer_ms"]',
    slow: str = '"roll_back"',
) -> str:
    return f"""
def find_cause(before, now):
    ready, still = (
        {{entry["name"] for entry in seen.index if entry["state"] == "READY"}} for seen in (before, now)
    )
    for model in {gone}:
        return "not_ready", model, {loaded}
    for model, client in now.clients.items():
        if {failed}:
            failure = "nv_inference_request_failure"
            if {raised}:
                return "execute_raises", model, "roll_back"
            if {rejected}:
                return "queue_timeout", model, "raise_timeout"
            return "error_responses", model, {refused}
    grown = {grown}
    model = {worst}
    row = grown.loc[model]
    if {cached}:
        return "cache_off", model, "switch_cache_on"
    if {batched}:
        return "batch_delay", model, "cut_delay"
    if {waiting}:
        return "too_few_instances", model, "add_instance"
    return "slow_step", model, {slow}
"""


_ANY_STATE = 'sorted({entry["name"] for entry in now.index if entry["state"] != "READY"})'

INCIDENT: list[WrongAnswer] = [
    WrongAnswer("any version", _cause(gone=_ANY_STATE), "old versions are unloaded in every release"),
    WrongAnswer("index not read", _cause(gone="()"), "look at the index first"),
    WrongAnswer(
        "the counter's value",
        _cause(raised='now.window.last.value(failure, model=model, reason="BACKEND")'),
        "Growth within the window counts",
    ),
    WrongAnswer("clients not asked", _cause(failed="False"), "Its users fail, and no reason grew"),
    WrongAnswer("exceptions are answers", _cause(raised="False"), "the model's code raised"),
    WrongAnswer("time-outs are answers", _cause(rejected="False"), "the queue threw requests out"),
    WrongAnswer("another mend", _cause(refused='"add_instance"'), "what ends it is roll_back"),
    WrongAnswer("the release before", _cause(loaded='"roll_back"'), "what ends it is load_model"),
    WrongAnswer(
        "the ensemble",
        _cause(grown="report(now.window).fillna(0) - report(before.window).fillna(0)"),
        "leave its row out",
    ),
    WrongAnswer(
        "quotient",
        _cause(worst='(report(now.window) / report(before.window)).drop("guide")["request_ms"].idxmax()'),
        "the growth in milliseconds counts",
    ),
    WrongAnswer("cache not looked at", _cause(cached="False"), "Its cache hits are gone"),
    WrongAnswer(
        "NaN is nothing",
        _cause(grown='(report(now.window) - report(before.window)).drop("guide")'),
        "Where nothing was looked up",
    ),
    WrongAnswer("batches not looked at", _cause(batched="False"), "Its mean batch grew"),
    WrongAnswer("any growth of batches", _cause(batched='row["mean_batch"] > -1'), "now minus before"),
    WrongAnswer("never the queue", _cause(waiting="False"), "Its queue grew more than"),
    WrongAnswer("always the queue", _cause(waiting="True"), "the work is slower"),
    WrongAnswer("own words", _cause(slow='"make it faster"'), "letter by letter"),
]

_BETWEEN = "no figure of a real server is exactly that"
_QUEUE = "row['queue_ms'] {} row['compute_infer_ms']"
EQUIVALENT_INCIDENT = {
    "4.14 comparison: row['mean_batch'] > 0.5 -> row['mean_batch'] >= 0.5 in find_cause": _BETWEEN,
    f"4.14 comparison: {_QUEUE.format('>')} -> {_QUEUE.format('>=')} in find_cause": _BETWEEN,
}

"""Plausible wrong answers to 4.1 and 4.2."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_SUMMARY = '"nv_inference_request_summary_us"'


def _kind(body: str) -> str:
    return f"def kind(page, name):\n    {body}\n"


def _total(text: str) -> str:
    return f"""
def total(page, name, model):
    found = [s for family in families(page) if family.name == name for s in family.samples]
    mine = [s.value for s in found if s.labels.get("model") == model]
    return {text}
"""


def _p99(text: str, quantile: str = 's.labels.get("quantile") == "0.99"') -> str:
    return f"""
def p99_ms(page, model):
    found = [s for family in families(page) if family.name == {_SUMMARY} for s in family.samples]
    found = [s.value / 1000 for s in found if s.labels.get("model") == model and {quantile}]
    good = [value for value in found if not math.isnan(value)]
    return {text}
"""


PAGE: list[WrongAnswer] = [
    WrongAnswer(
        "absent is a counter",
        _kind('return next((f.type for f in families(page) if f.name == name), "counter")'),
        "is not on the page has no kind: return None.",
    ),
    WrongAnswer(
        "absent is unknown",
        _kind('return next((f.type for f in families(page) if f.name == name), "unknown")'),
        "return None, not a text",
    ),
    WrongAnswer(
        "kind by the ending",
        _kind(
            'ends = ("_count", "_success", "_failure", "_us")\n'
            "    if not any(f.name == name for f in families(page)):\n        return None\n"
            '    return "summary" if "summary" in name else "counter" if name.endswith(ends) else "gauge"'
        ),
        "A name does not tell the kind",
    ),
    WrongAnswer("all models", _total("sum(s.value for s in found)"), "That adds up all models"),
    WrongAnswer(
        "begins alike",
        _total('sum(s.value for s in found if s.labels.get("model", "").startswith(model))'),
        "begins in the same way",
    ),
    WrongAnswer(
        "is a part of",
        _total('sum(s.value for s in found if model in s.labels.get("model", ""))'),
        "is a part of another model's",
    ),
    WrongAnswer("first series", _total("mine[0] if mine else 0.0"), "That is the first series alone"),
    WrongAnswer("last series", _total("mine[-1] if mine else 0.0"), "That is the last series alone"),
    WrongAnswer(
        "version 1",
        _total(
            'sum(s.value for s in found if s.labels.get("model") == model and s.labels.get("version") == "1")'
        ),
        "That is version 1 alone",
    ),
    WrongAnswer("how many", _total("len(mine)"), "the number of series, not their sum"),
    WrongAnswer(
        "sample name",
        "def total(page, name, model):\n"
        "    return sum(s.value for f in families(page) for s in f.samples\n"
        '               if s.name == name and s.labels.get("model") == model)\n',
        "of a counter ends with `_total` here",
    ),
    WrongAnswer("microseconds", _p99("max((1000 * v for v in good), default=None)"), "divide by 1000"),
    WrongAnswer("seconds", _p99("max((v / 1000 for v in good), default=None)"), "That is in seconds"),
    WrongAnswer("sum of quantiles", _p99("sum(good) if good else None"), "Quantiles do not add up"),
    WrongAnswer(
        "mean of quantiles", _p99("sum(good) / len(good) if good else None"), "The mean of quantiles"
    ),
    WrongAnswer("fastest version", _p99("min(good, default=None)"), "smallest of the versions"),
    WrongAnswer(
        "median", _p99("max(good, default=None)", 's.labels.get("quantile") == "0.5"'), "That is the median"
    ),
    WrongAnswer(
        "any quantile",
        _p99("max(good, default=None)", '"quantile" in s.labels'),
        "the largest of all quantiles",
    ),
    WrongAnswer("zero", _p99("max(good, default=0.0)"), "a 0 would be a lie"),
    WrongAnswer("with NaN", _p99("max(found, default=None)"), "its quantile is NaN"),
    WrongAnswer("no default", _p99("max(good)"), "No series at all"),
    WrongAnswer(
        "label of each sample",
        _p99("max(good, default=None)", 's.labels["quantile"] == "0.99"'),
        "`_count` and `_sum` have no quantile",
    ),
    WrongAnswer(
        "divides None", _p99("max((1000 * v for v in good), default=None) / 1000"), "None cannot be divided"
    ),
]

_STEPS = "for (_, before), (_, now) in pairwise(readings) for name, value in now.items()"


def _increase(text: str, more: str = "") -> str:
    return f"""
def increase(readings):
    sums = [sum(values.values()) for _, values in readings]
    {more}
    return {text}
"""


def _rate(text: str) -> str:
    return f"""
def rate(readings):
    grown, seconds = increase(readings), readings[-1][0] - readings[0][0]
    return {text}
"""


INCREASE: list[WrongAnswer] = [
    WrongAnswer("last minus first", _increase("sums[-1] - sums[0]"), "can be negative. Go step by step"),
    WrongAnswer(
        "negative steps",
        _increase(f"sum(value - before[name] {_STEPS} if name in before)"),
        "A negative step is a reset",
    ),
    WrongAnswer(
        "clamped",
        _increase(f"sum(max(value - before.get(name, 0), 0) {_STEPS})"),
        "it is lost when the step counts as 0",
    ),
    WrongAnswer(
        "absolute",
        _increase(f"sum(abs(value - before.get(name, 0)) {_STEPS})"),
        "no negative count either",
    ),
    WrongAnswer(
        "new series dropped at first sight",
        _increase(
            f"sum((value - before[name] if value >= before[name] else value) {_STEPS} if name in before)"
        ),
        "was loaded meanwhile",
    ),
    WrongAnswer(
        "only the first reading's series",
        _increase(
            "sum((now.get(n, 0) - before.get(n, 0) if now.get(n, 0) >= before.get(n, 0) else now.get(n, 0)) "
            "for (_, before), (_, now) in pairwise(readings) for n in readings[0][1])"
        ),
        "the series of the later reading",
    ),
    WrongAnswer("no default", _increase(f"sum(value - before[name] {_STEPS})"), "before.get(series, 0)"),
    WrongAnswer(
        "over the earlier reading",
        _increase(
            "sum((now[n] - old if now[n] >= old else now[n]) "
            "for (_, before), (_, now) in pairwise(readings) for n, old in before.items())"
        ),
        "You go through the series of the earlier reading",
    ),
    WrongAnswer(
        "remembers the last value",
        """
def increase(readings):
    grown, last = 0.0, dict(readings[0][1])
    for _, now in readings[1:]:
        for series, value in now.items():
            old = last.get(series, 0.0)
            grown += value - old if value >= old else value
        last.update(now)
    return grown
""",
        "from before a gap",
    ),
    WrongAnswer(
        "sum first",
        _increase("sum(b - a if b >= a else b for a, b in pairwise(sums))"),
        "hides the reset of another",
    ),
    WrongAnswer("all values", _increase("sum(sums)"), "the sum of all readings' values"),
    WrongAnswer("since the start", _increase("sums[-1]"), "since the server started. The increase"),
    WrongAnswer("not per second", _rate("grown"), "That is the increase. A rate"),
    WrongAnswer("by readings", _rate("grown / len(readings)"), "not by the number of readings"),
    WrongAnswer("by steps", _rate("grown / (len(readings) - 1)"), "not one second apart"),
    WrongAnswer("by the clock", _rate("grown / readings[-1][0]"), "does not start at 0"),
    WrongAnswer("per minute", _rate("60 * grown / seconds"), "That is per minute"),
    WrongAnswer("upside down", _rate("seconds / grown"), "seconds per request"),
    WrongAnswer(
        "last step",
        _rate("increase(readings[-2:]) / (readings[-1][0] - readings[-2][0])"),
        "the last step alone",
    ),
]

"""Plausible wrong answers to 3.11."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_BATCHES = "[lengths[i : i + slots] for i in range(0, len(lengths), slots)]"


def _static(text: str) -> str:
    return f"def static_steps(lengths, slots):\n    return {text}\n"


def _continuous(choice: str, order: str = "lengths", answer: str = "max(free)") -> str:
    return f"""
def continuous_steps(lengths, slots):
    free = [0] * slots
    for number, length in enumerate({order}):
        free[{choice}] += length
    return {answer}
"""


def _idle(text: str) -> str:
    return f"def idle_share(lengths, slots):\n    batches = {_BATCHES}\n    return {text}\n"


_FIRST = "free.index(min(free))"
CONTINUOUS: dict[str, list[WrongAnswer]] = {
    "3.11": [
        WrongAnswer(
            "shortest", _static(f"sum(min(batch) for batch in {_BATCHES})"), "lasts as long as its *longest*"
        ),
        WrongAnswer("sum", _static("sum(lengths)"), "do not add up the lengths in it"),
        WrongAnswer(
            "sorted",
            "def static_steps(lengths, slots):\n"
            "    lengths = sorted(lengths)\n"
            "    return sum(max(lengths[i : i + slots]) for i in range(0, len(lengths), slots))\n",
            "Sorting first is another scheduler",
        ),
        WrongAnswer(
            "full batches only",
            _static("sum(max(lengths[i : i + slots]) for i in range(0, len(lengths) - slots + 1, slots))"),
            "The last batch may be smaller",
        ),
        WrongAnswer(
            "longest of all",
            _static("-(-len(lengths) // slots) * max(lengths)"),
            "the number of batches times the longest answer of all",
        ),
        WrongAnswer(
            "as static",
            "def continuous_steps(lengths, slots):\n"
            "    return sum(max(lengths[i : i + slots]) for i in range(0, len(lengths), slots))\n",
            "That is the static count",
        ),
        WrongAnswer(
            "the mean",
            "def continuous_steps(lengths, slots):\n    return -(-sum(lengths) // slots)\n",
            "Total divided by slots is a bound from below",
        ),
        WrongAnswer("round robin", _continuous("number % slots"), "No slot has a list of its own"),
        WrongAnswer("shortest first", _continuous(_FIRST, "sorted(lengths)"), "do not sort the lengths"),
        WrongAnswer(
            "longest first",
            _continuous(_FIRST, "sorted(lengths, reverse=True)"),
            "putting the longest first needs lengths that nobody knows",
        ),
        WrongAnswer("first slot", _continuous(_FIRST, answer="min(free)"), "Keep for each slot the step"),
        WrongAnswer(
            "useful share",
            _idle("sum(lengths) / sum(len(batch) * max(batch) for batch in batches)"),
            "That is the share that is of use",
        ),
        WrongAnswer(
            "full rows",
            _idle("1 - sum(lengths) / (slots * sum(map(max, batches)))"),
            "A smaller last batch has fewer rows",
        ),
        WrongAnswer(
            "mean of shares",
            _idle("sum(1 - sum(b) / (len(b) * max(b)) for b in batches) / len(batches)"),
            "The mean over batches counts a short batch like a long one",
        ),
        WrongAnswer(
            "in percent",
            _idle("100 - 100 * sum(lengths) / sum(len(batch) * max(batch) for batch in batches)"),
            "not in percent",
        ),
    ],
}

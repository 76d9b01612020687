"""Plausible wrong answers to 2.3 (the implicit batch dimension)."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _accepts(
    batch: str = "1 <= shape[0] <= max_batch_size",
    whole: str = "shape == dims",
    rest: str = "shape[1:]",
    fits: str = "len(rest) == len(dims) and all(d in (s, -1) for s, d in zip(rest, dims))",
    when: str = "max_batch_size > 0",
) -> str:
    return f"""
def accepts(shape, max_batch_size, dims):
    def match(rest):
        return {fits}
    if {when}:
        if not shape:
            return False
        rest = {rest}
        return ({batch}) and match(rest)
    return match(shape)
"""


SHAPES: dict[str, list[WrongAnswer]] = {
    "2.3": [
        WrongAnswer("no batch", _accepts(when="False"), "Triton puts the batch in front of `dims`"),
        WrongAnswer(
            "the batch may be missing",
            _accepts().replace(
                "        if not shape", "        if match(shape): return True\n        if not shape"
            ),
            "also if it is one item",
        ),
        WrongAnswer("no limit", _accepts(batch="shape[0] >= 1"), "The batch has a limit"),
        WrongAnswer(
            "fewer than the limit",
            _accepts(batch="1 <= shape[0] < max_batch_size"),
            "exactly `max_batch_size` fits",
        ),
        WrongAnswer(
            "counts the numbers",
            _accepts(
                fits="(len(rest) == len(dims) and all(d in (s, -1) for s, d in zip(rest, dims))) "
                "or (-1 not in dims and np.prod(rest) == np.prod(dims))"
            ),
            "it never reshapes",
        ),
        WrongAnswer(
            "in any order",
            _accepts(fits="sorted(rest) == sorted(dims) or len(rest) == len(dims) and -1 in dims"),
            "Each size has its own place",
        ),
        WrongAnswer(
            "ones at the end do not count",
            _accepts(fits="(rest[:-1] if rest[-1:] == [1] and len(rest) > len(dims) else rest) == dims"),
            "is a dimension too many",
        ),
        WrongAnswer(
            "a shape has a first number",
            _accepts().replace("        if not shape:\n            return False\n", ""),
            "A shape may be empty",
        ),
        WrongAnswer("batch 0 too", _accepts(batch="shape[0] <= max_batch_size"), "A batch of 0 is refused"),
        WrongAnswer(
            "a batch of one is none",
            _accepts(when="max_batch_size > 1"),
            "the dimension of the batch is there as well",
        ),
        WrongAnswer(
            "batch always",
            _accepts(when="True", batch="max_batch_size == 0 or 1 <= shape[0] <= max_batch_size"),
            "and nothing in front",
        ),
        WrongAnswer("-1 is a number", _accepts(fits="rest == dims"), "-1 in `dims` stands for any size"),
        WrongAnswer(
            "zip stops early",
            _accepts(fits="len(rest) <= len(dims) and all(d in (s, -1) for s, d in zip(rest, dims))"),
            "`zip` stops at the shorter list",
        ),
        WrongAnswer(
            "-1 takes several",
            _accepts(
                fits="rest == dims if -1 not in dims else len(rest) >= len(dims) and rest[-1] == dims[-1]"
            ),
            "not for several",
        ),
        WrongAnswer(
            "-1 frees all",
            _accepts(fits="len(rest) == len(dims) and (-1 in dims or rest == dims)"),
            "-1 frees its own place alone",
        ),
        WrongAnswer(
            "-1 is at least 1",
            _accepts(
                fits="len(rest) == len(dims) and all(s == d or d == -1 and s > 0 for s, d in zip(rest, dims))"
            ),
            "Any size means 0 as well",
        ),
        WrongAnswer(
            "-1 with batching alone",
            _accepts().replace(
                "    return match(shape)",
                "    return len(shape) == 3 and shape[:2] == dims[:2] and shape[2] == 1",
            ),
            "with and without batching",
        ),
        WrongAnswer(
            "no return",
            "def accepts(shape, max_batch_size, dims):\n    shape[1:] == dims\n",
            "Add a `return`",
        ),
        WrongAnswer(
            "words",
            "def accepts(shape, max_batch_size, dims):\n    return 'yes' if shape[1:] == dims else 'no'\n",
            "returns True or False",
        ),
    ],
}

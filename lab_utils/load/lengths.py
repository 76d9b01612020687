"""How many tokens each request asks for: two distributions, and their short names on the command line."""

from __future__ import annotations

import math
import re

import numpy as np

from lab_utils.load.crew import LoadError

_FORM = re.compile(r"(?:(?P<kind>uniform|heavy):)?(?P<first>\d+)(?:-(?P<second>\d+))?")


def uniform_lengths(n: int, low: int, high: int, *, seed: int = 0) -> list[int]:
    """Lengths that are all equally likely.

    Args:
        n: How many.
        low: The shortest, in tokens.
        high: The longest, in tokens; it occurs too.
        seed: The same seed gives the same lengths.

    Returns:
        `n` lengths in tokens.
    """
    _check(n, low, high)
    found: list[int] = np.random.default_rng(seed).integers(low, high + 1, n).tolist()
    return found


def heavy_tailed_lengths(
    n: int, median: int, *, sigma: float = 0.9, low: int = 1, high: int | None = None, seed: int = 0
) -> list[int]:
    """Lengths of which most are short and a few are very long, as the answers to real users are.

    A length is `exp(x)` with `x` normal around `log(median)` (log-normal distribution), rounded to a
    whole token and cut off at `low` and `high`. Half of the lengths lie below the median; with
    `sigma = 0.9` one in ten is more than 3.2 times the median, one in a hundred more than 8 times.

    Args:
        n: How many.
        median: The middle length, in tokens.
        sigma: Standard deviation of the logarithm: the weight of the tail. 0 makes all equal.
        low: The shortest, in tokens.
        high: The longest, in tokens. Default: 16 times the median.
        seed: The same seed gives the same lengths.

    Returns:
        `n` lengths in tokens.
    """
    high = 16 * median if high is None else high
    _check(n, low, high)
    if not low <= median <= high or not sigma >= 0:
        raise LoadError(
            f"A median of {median} with sigma {sigma:g} does not fit between {low} and {high}.",
            fix="Choose low <= median <= high, and a sigma of 0 or more.",
        )
    drawn = np.random.default_rng(seed).lognormal(math.log(median), sigma, n)
    found: list[int] = np.clip(np.rint(drawn), low, high).astype(int).tolist()
    return found


def lengths_from(text: str, n: int, *, seed: int = 0) -> list[int]:
    """The lengths that a short name asks for.

    Args:
        text: `32` (all equal), `uniform:8-48`, `heavy:16` (by its median) or `heavy:16-256` (median
            and longest).
        n: How many.
        seed: Of the random lengths.

    Raises:
        LoadError: It is none of these.
    """
    found = _FORM.fullmatch(text.strip())
    kind, first, second = found.group("kind", "first", "second") if found else ("", "", "")
    if not first or (not kind and second) or (kind == "uniform" and not second):
        raise LoadError(
            f"`{text}` says no number of tokens.", fix="For example: 32, uniform:8-48, heavy:16, heavy:16-256"
        )
    if not kind:
        _check(n, int(first), int(first))
        return [int(first)] * n
    if kind == "uniform":
        return uniform_lengths(n, int(first), int(second), seed=seed)
    return heavy_tailed_lengths(n, int(first), high=int(second) if second else None, seed=seed)


def _check(n: int, low: int, high: int) -> None:
    if n < 1 or low < 1 or high < low:
        raise LoadError(
            f"There are no {n} lengths between {low} and {high} tokens.",
            fix="Ask for one length or more, and choose 1 <= low <= high.",
        )

"""Where the two servers may differ, by name. Whatever else differs is a fault.

`docs/runtimes.md` has a table of the same names; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ABSENT = "(absent)"


@dataclass(frozen=True)
class Unlike:
    """One place where the answers differ.

    Attributes:
        place: The way to it: group, request, and the keys of the answer, with ` > ` between.
        embedded: What the embedded server says there, or `ABSENT`.
        container: What the one in the container says.
    """

    place: str
    embedded: Any
    container: Any

    def __str__(self) -> str:
        return f"{self.place}: embedded {self.embedded!r}, container {self.container!r}"


@dataclass(frozen=True)
class Difference:
    """A difference that is known and that a student is told about.

    Attributes:
        name: Its name, also in `docs/runtimes.md`.
        place: A regular expression for `Unlike.place`.
        always: True when it is there with any image; False when the same program gives none.
    """

    name: str
    place: str
    always: bool = False

    def covers(self, unlike: Unlike) -> bool:
        """Whether this is the difference."""
        return re.search(self.place, unlike.place) is not None


DIFFERENCES = (
    Difference("path of the repository", r"> \(path\)$", always=True),
    Difference(
        "measured times",
        r"^statistics > .*> (?:ns|last_inference)$|^metrics > nv_\w*(?:_us|_ms|cpu_utilization|cpu_memory\w*"
        r"|pinned_memory_pool_\w*|load_duration\w*) > values",
        always=True,
    ),
    Difference("backend runtime", r"config.*> (?:runtime|backend|default_model_filename)$"),
    Difference("instances by default", r"(?:/plain/config|config, automatic).*> instance_group"),
    Difference("GPU metrics", r"^metrics > nv_(?:gpu|energy)_"),
    Difference("histogram metrics", r"^metrics > nv_\w+_histogram"),
    Difference("`model_metrics`", r"config.*> model_metrics\b"),
    Difference("release", r"(?:/v2 .*|server metadata.*)> (?:version|extensions)\b"),
)


def _same_path(one: str, other: str, roots: tuple[str, str]) -> bool:
    return one.replace(roots[0], "") == other.replace(roots[1], "")


def compare(one: Any, other: Any, roots: tuple[str, str], place: str = "") -> Iterator[Unlike]:
    """Every place where two answers differ.

    Args:
        one: What the embedded server says.
        other: What the server in the container says.
        roots: Path of the repository as each of the two sees it.
        place: The way to here.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            below = f"{place} > {key}" if place else str(key)
            yield from compare(one.get(key, ABSENT), other.get(key, ABSENT), roots, below)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from compare(*pair, roots, f"{place} > {number}")
    elif one != other or type(one) is not type(other):
        path = isinstance(one, str) and isinstance(other, str) and _same_path(one, other, roots)
        yield Unlike(f"{place} > (path)" if path else place, one, other)


def unexplained(found: list[Unlike], *, same_program: bool) -> list[str]:
    """The differences that no name covers, in words.

    Args:
        found: What `compare` found.
        same_program: The container runs the embedded server's own program: then only those that are always
            there may be there.
    """
    allowed = [d for d in DIFFERENCES if d.always or not same_program]
    return [str(u) for u in found if not any(d.covers(u) for d in allowed)]

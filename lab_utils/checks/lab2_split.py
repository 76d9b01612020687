"""The part of checkpoint 2.4 that needs no server: which client gets which version."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from lab_utils.progress.context import LabContext, refuse

_CLIENTS = 3000
# Three thousand coins with p = 0.3 lie within 0.3 ± 0.035 in all but one of 30,000 runs.
_TOLERANCE = 0.035


class _Client(str):
    """A client's name whose `hash` is another one for each object, as it is after each restart of Python."""

    def __new__(cls, text: str, salt: int) -> _Client:
        """Make one; `salt` changes its hash and nothing else."""
        client = super().__new__(cls, text)
        client.salt = salt
        return client

    salt: int

    def __hash__(self) -> int:
        return hash((str(self), self.salt))

    def __reduce__(self) -> tuple[type[_Client], tuple[str, int]]:
        """What a copy in another process is made of."""
        return type(self), (str(self), self.salt)


def judge_split(ctx: LabContext, choose: Any) -> None:
    """Refuse a `choose_version` whose shares are wrong, or that is not the same for a client each time.

    Raises:
        Refusal: With the first thing that is wrong.
    """
    low = float(ctx.rng.uniform(0.2, 0.35))
    names = [f"{ctx.rng.bytes(4).hex()}" for _ in range(_CLIENTS)]
    at_low = _choose(ctx, choose, names, low)
    share = at_low.count(2) / _CLIENTS
    if abs(1 - share - low) < _TOLERANCE:
        refuse(
            expected=f"about {low:.0%} of all clients get version 2",
            found=f"{share:.0%} get it: it is the other way round",
            next_step="`share` is the part that gets version 2.",
        )
    if abs(share - low) > _TOLERANCE:
        refuse(
            expected=f"about {low:.0%} of {_CLIENTS} clients get version 2",
            found=f"{share:.0%} get it",
            next_step="Make a number from 0 to 1 out of the client's name, evenly spread, "
            "and compare it with `share`.",
        )
    if _choose(ctx, choose, names, low) != at_low:
        refuse(
            expected="a client gets the same version each time",
            found="asked twice, some clients got both",
            next_step="No chance in it: the version follows from the client's name alone.",
        )
    if _choose(ctx, choose, names, low, salt=1) != _choose(ctx, choose, names, low, salt=2):
        refuse(
            expected="a client gets the same version after a restart of the program",
            found="the version follows from `hash(client)`, which Python changes at each start",
            next_step="Take a checksum of the bytes, such as `zlib.crc32(client.encode())`.",
        )
    before, at_before = low, at_low
    for higher in sorted(float(s) for s in ctx.rng.uniform(low, 0.95, 8)):
        at_higher = _choose(ctx, choose, names, higher)
        lost = sum(old == 2 and new == 1 for old, new in zip(at_before, at_higher, strict=True))
        if lost:
            refuse(
                expected=f"who has version 2 at {before:.0%} keeps it at {higher:.0%}",
                found=f"{lost} clients went back to version 1",
                next_step="The number of a client must not depend on `share`; compare it with `share`.",
            )
        before, at_before = higher, at_higher
    for all_or_none, version in ((0.0, 1), (1.0, 2)):
        others = [v for v in _choose(ctx, choose, names, all_or_none) if v != version]
        if others:
            refuse(
                expected=f"with a share of {all_or_none:g} every client gets version {version}",
                found=f"{len(others)} clients got another one",
                next_step="The client's number lies from 0 to below 1; version 2 is for those below `share`.",
            )


def _choose(
    ctx: LabContext, function: Any, names: list[str], share: float, salt: int | None = None
) -> list[int]:
    """The version for each client."""
    clients = names if salt is None else [_Client(name, salt) for name in names]
    found = ctx.call_all(function, [(client, share) for client in clients])
    strange = [v for v in found if isinstance(v, bool) or not isinstance(v, Integral) or v not in (1, 2)]
    if strange:
        refuse(
            expected="`choose_version` returns 1 or 2",
            found=f"it returned {strange[0]!r:.60}",
            next_step="Return the number of the version.",
        )
    return [int(value) for value in found]

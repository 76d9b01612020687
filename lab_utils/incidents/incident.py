"""An incident: a museum's server on which one thing has gone wrong, to be diagnosed and mended."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lab_utils.errors import LabError
from lab_utils.incidents.causes import CAUSES, MENDS
from lab_utils.incidents.museum import Museum
from lab_utils.incidents.observation import SECONDS, Observation

_TIMES, _PLUS_S = 1.5, 0.01
"""Users suffer when their median latency is so many times what it was, plus so many seconds."""


def suffering(before: Observation, worse: Observation) -> list[str]:
    """The models whose users are worse off than they were when all was well.

    The median is compared: on a machine that others use, too, a mean says more about them.

    Args:
        before: When all was well.
        worse: During the incident.
    """
    return [
        model
        for model, client in worse.clients.items()
        if client.failed or client.latency.p50 > _TIMES * before.clients[model].latency.p50 + _PLUS_S
    ]


def still_wrong(before: Observation, worse: Observation, now: Observation) -> list[str]:
    """What a mend has not mended, in words; empty when all is well again.

    Of those who suffered, none may fail, and the median latency must be nearer to what it was when all was
    well than to what it was during the incident.
    """
    found = []
    for model in suffering(before, worse):
        client = now.clients[model]
        good, bad = (seen.clients[model].latency.p50 for seen in (before, worse))
        if worse.clients[model].failed and client.failed:
            found.append(f"{client.failed} of {client.requests} requests to `{model}` fail")
        elif not worse.clients[model].failed and client.latency.p50 > (good + bad) / 2:
            found.append(
                f"`{model}` takes {client.latency.p50 * 1000:.0f} ms, {good * 1000:.0f} ms when all was well"
            )
    return found


def choose(seed: int | None = None) -> tuple[str, str, str]:
    """A cause, the model that it strikes, and an innocent model that is loaded anew at the same time.

    Args:
        seed: The same seed gives the same; None: any.
    """
    random = np.random.default_rng(seed)
    cause = CAUSES[str(random.choice(list(CAUSES)))]
    model = str(random.choice(cause.models))
    innocent = str(random.choice([name for name in ("audio", "ticket") if name != model]))
    return cause.name, model, innocent


class Incident:
    """One incident. `before` is from a time when all was well, `now` from a time when it was not.

    Args:
        museum: A live server with all models as they should be.
        seed: Chooses cause and model; None: at random.
        seconds: How long to look each time.
    """

    def __init__(self, museum: Museum, seed: int | None = None, *, seconds: float = SECONDS) -> None:
        name, self._model, innocent = choose(seed)
        self._cause = CAUSES[name]
        self.museum = museum
        self.before = museum.observe(seconds)
        museum.strike(name, self._model, innocent)
        self.now = museum.observe(seconds)

    @property
    def truth(self) -> tuple[str, str, str]:
        """Cause, model and mend: look only when you give up."""
        return self._cause.name, self._model, self._cause.mend

    def show(self) -> None:
        """Print and draw what there is to see, before and now."""
        from lab_utils.incidents.view import show

        show(self.before, self.now)

    def judge(self, cause: str, model: str, mend: str) -> bool:
        """Say what you think it is. The mend is carried out, and the server is looked at again.

        Args:
            cause: A name of `CAUSES`.
            model: The model that it struck.
            mend: A name of `MENDS`.

        Returns:
            True when it was this, and all is well again.

        Raises:
            LabError: A name is none of the catalogue.
        """
        if cause not in CAUSES:
            raise LabError(f"`{cause}` is no cause.", fix=f"Use one of: {', '.join(CAUSES)}.")
        self.museum.mend(mend, model)
        problems = still_wrong(self.before, self.now, self.museum.observe())
        print(f"{MENDS[mend]} for `{model}`: {'; '.join(problems) or 'all is well again'}.")
        right = (cause, model) == self.truth[:2]
        print(f"Cause: {'yes' if right else 'it was something else'}.")
        return right and not problems

    def stop(self) -> None:
        """End the museum's server."""
        self.museum.stop()


def start_incident(folder: Path, seed: int | None = None) -> Incident:
    """Start a museum's server, look at it while all is well, and let one thing go wrong.

    Args:
        folder: A folder of its own.
        seed: The same seed gives the same incident; None: any.
    """
    museum = Museum(folder)
    try:
        return Incident(museum, seed)
    except BaseException:
        museum.stop()
        raise

"""When requests are due in an open loop, and waiting for a moment more precisely than an event loop can."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Iterator
from time import perf_counter

import numpy as np

_CHUNK = 1024
_TFD_NONBLOCK, _TFD_CLOEXEC, _TFD_TIMER_ABSTIME, _CLOCK_MONOTONIC = 0o4000, 0o2000000, 1, 1


def arrival_times(
    rate: float, arrival: str, start: float, *, seed: int = 0, offset: float = 0.0
) -> Iterator[float]:
    """The moments at which requests are due, without end.

    Args:
        rate: Requests per second.
        arrival: `constant`: one every `1 / rate` seconds. `poisson`: independent arrivals; the gaps
            are exponential with mean `1 / rate`, so many users who know nothing of each other look
            like this, and the sum of several such processes is one again.
        start: Seconds of `time.perf_counter` from which to count.
        seed: Of the random gaps: the same seed gives the same moments.
        offset: Seconds by which the constant schedule is shifted.
    """
    random = np.random.default_rng(seed)
    moment = start + offset
    if arrival == "constant":
        count = 0
        while True:
            yield moment + count / rate
            count += 1
    while True:
        times = moment + np.cumsum(random.exponential(1 / rate, _CHUNK))
        yield from times.tolist()
        moment = float(times[-1])


class _Spec(ctypes.Structure):
    """C's `struct itimerspec`."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Timer:
    """Waits for a moment of `time.perf_counter` inside asyncio.

    asyncio waits with epoll, which counts in whole milliseconds and rounds up: a request that is
    due in 0.2 ms would be sent 0.8 ms late. Linux's timerfd wakes epoll within some 50 µs; Python
    has it from 3.13 on, so that it is called through the C library. Without it, asyncio's own
    precision is used.
    """

    def __init__(self) -> None:
        self._fd = -1
        self._future: asyncio.Future[None] | None = None
        try:
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        except (OSError, AttributeError):
            return
        if self._fd >= 0:
            asyncio.get_running_loop().add_reader(self._fd, self._fired)

    def _fired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        if self._future and not self._future.done():
            self._future.set_result(None)

    async def until(self, moment: float) -> None:
        """Return at `moment`, or at once when it has passed."""
        left = moment - perf_counter()
        if left <= 0:
            return
        if self._fd < 0:
            await asyncio.sleep(left)
            return
        self._future = asyncio.get_running_loop().create_future()
        # perf_counter is CLOCK_MONOTONIC on Linux, so that the moment can be given as it is.
        seconds, nanoseconds = divmod(int(moment * 1e9), 10**9)
        spec = _Spec(0, 0, seconds, nanoseconds)
        self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None)
        await self._future

    def close(self) -> None:
        """Give the file descriptor back."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

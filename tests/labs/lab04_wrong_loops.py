"""Plausible wrong answers to 4.8."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _knee(key: str = "r.throughput / r.latency.mean", pick: str = "max", end: str = ".concurrency") -> str:
    return f"""
def knee(results):
    return {pick}(results, key=lambda r: {key}){end}
"""


def _open(
    due: str = "start + number / rate",
    sleep: str = "await asyncio.sleep(due - time.perf_counter())",
    before: str = "",
    ask: str = "await ask()",
    end: str = "return time.perf_counter() - due",
    last: str = "return await asyncio.gather(*(one(number) for number in range(count)))",
) -> str:
    return f"""
async def open_loop(ask, rate, count):
    start = time.perf_counter()

    async def one(number):
        due = {due}
        {sleep}
        {before or "pass"}
        {ask}
        {end}

    {last}
"""


_CLOSED = """
async def open_loop(ask, rate, count):
    latencies = []
    for number in range(count):
        start = time.perf_counter()
        await ask()
        latencies.append(time.perf_counter() - start)
    return latencies
"""

_APPENDS = """
async def open_loop(ask, rate, count):
    start, latencies = time.perf_counter(), []

    async def one(number):
        due = start + number / rate
        await asyncio.sleep(due - time.perf_counter())
        await ask()
        latencies.append(time.perf_counter() - due)

    await asyncio.gather(*(one(number) for number in range(count)))
    return latencies
"""

_NO_RETURN = """
async def open_loop(ask, rate, count):
    start = time.perf_counter()
    for number in range(count):
        await asyncio.sleep(start + number / rate - time.perf_counter())
        asyncio.ensure_future(ask())
    await asyncio.sleep(1)
"""

_NEARLY = """
def knee(results):
    best = max(r.throughput for r in results)
    return min(r.concurrency for r in results if r.throughput >= 0.95 * best)
"""

LOOPS: list[WrongAnswer] = [
    WrongAnswer("most throughput", _knee("r.throughput"), "That is the largest throughput"),
    WrongAnswer("least latency", _knee("r.latency.mean", "min"), "an idle server is quick"),
    WrongAnswer("p99", _knee("r.throughput / r.latency.p99"), "p99 is the noise of a few requests"),
    WrongAnswer("95 percent", _NEARLY, "ignores what the last few cost"),
    WrongAnswer("the whole result", _knee(end=""), "a number, not the whole result"),
    WrongAnswer("closed loop", _CLOSED, "that is a closed loop"),
    WrongAnswer("all at once", _open(sleep="pass"), "sleep until then"),
    WrongAnswer("one gap late", _open(due="start + (number + 1) / rate"), "Number 0 is due at the start"),
    WrongAnswer(
        "time.sleep", _open(sleep="time.sleep(max(0, due - time.perf_counter()))"), "holds up every coroutine"
    ),
    WrongAnswer("appended", _APPENDS, "a list that answers append to"),
    WrongAnswer(
        "from the sending",
        _open(before="sent = time.perf_counter()", end="return time.perf_counter() - sent"),
        "not when it is sent",
    ),
    WrongAnswer("milliseconds", _open(end="return 1000 * (time.perf_counter() - due)"), "Seconds, from the"),
    WrongAnswer("not awaited", _open(ask="ask()"), "`await` its answer"),
    WrongAnswer("no latencies", _NO_RETURN, "gives the list: return it"),
    WrongAnswer("half the rate", _open(due="start + number * 3 / rate"), "The gap is `1 / rate`"),
]

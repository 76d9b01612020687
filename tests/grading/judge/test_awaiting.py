"""The judge and coroutines: what a student's function awaits, and what a check awaits of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from lab_utils.progress.context import LabContext
from lab_utils.progress.registry import Verdict, passed
from tests.grading.judge.bench import Bench


def test_a_coroutine_is_awaited_and_gathers_the_checks_own(bench: Bench) -> None:
    running = most = 0

    async def ask(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        return number

    code = """
import asyncio
async def answer(ask):
    return await asyncio.gather(*(ask(n) for n in range(5)))
"""
    assert bench.value(code, ask) == [0, 1, 2, 3, 4]
    assert most == 5


def test_a_loop_that_stands_still_makes_no_step_of_the_checks_coroutine(bench: Bench) -> None:
    done: list[float] = []

    async def ask() -> None:
        await asyncio.sleep(0.05)
        done.append(time.perf_counter())

    code = """
import asyncio, time
async def answer(ask):
    task = asyncio.ensure_future(ask())
    await asyncio.sleep(0.01)
    time.sleep(0.4)
    await task
"""
    begin = time.perf_counter()
    bench.value(code, ask)
    assert done[0] - begin > 0.35


def test_a_plain_function_may_run_a_loop_of_its_own(bench: Bench) -> None:
    async def ask() -> int:
        await asyncio.sleep(0.01)
        return 5

    code = (
        "import asyncio\ndef answer(ask):\n    async def both():\n        return await ask() + await ask()\n"
    )
    assert bench.value(code + "    return asyncio.run(both())", ask) == 10


def test_a_function_that_is_awaited_by_the_check_gets_functions_of_its_loop(bench: Bench) -> None:
    loops: list[Any] = []

    async def one() -> int:
        loops.append(asyncio.get_running_loop())
        return 1

    def check(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
        async def work() -> int:
            loops.append(asyncio.get_running_loop())
            return int(await answers["answer"](one)) + 1

        return passed(str(ctx.call(work)))

    code = "async def answer(ask):\n    return await ask()"
    assert bench.judge(code, check).found == "2"
    assert loops[0] is loops[1]

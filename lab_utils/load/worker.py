"""One load process: takes plans on its standard input, sends reports on its standard output.

    python -m lab_utils.load.worker

It belongs to the process that started it: when that one ends, its standard input closes and it
ends too. Signals of the terminal do not reach it (it has a session of its own): Ctrl-C stops the
load through the parent, so that nothing measured is lost.
"""

from __future__ import annotations

import asyncio
import gc
import os
import select
import time
import traceback
from pathlib import Path
from typing import BinaryIO

from lab_utils.load.driver import Driver, Recorder
from lab_utils.load.plan import Plan, Report, read_frame, write_frame
from lab_utils.load.wires import make_wire

_REPORT_EVERY = 0.1
_IDLE_LIMIT = 300.0
"""Seconds without work after which a load process ends by itself."""


def usage() -> tuple[float, float, float, float]:
    """Time, and seconds on a core, waiting for a core (this thread), on a core (all threads).

    Source: /proc/<pid>/schedstat (Linux, Documentation/scheduler/sched-stats.rst): nanoseconds on
    a core, nanoseconds runnable on a run queue, time slices.
    """
    try:
        on_core, waiting = Path("/proc/thread-self/schedstat").read_text().split()[:2]
        thread, queue = int(on_core) * 1e-9, int(waiting) * 1e-9
    except (OSError, ValueError):
        thread, queue = time.thread_time(), 0.0
    return time.perf_counter(), thread, queue, time.process_time()


async def collect(plan: Plan, reports: BinaryIO) -> None:
    """Ask every message once, alone; hand back what came (payload, fault)."""
    wire = make_wire(plan)
    try:
        (slot,) = await wire.open(1)
        answers = [await slot.ask(index) for index in range(len(plan.messages))]
    finally:
        await wire.close()
    write_frame(reports, [(answer.payload, answer.fault) for answer in answers])


async def carry(plan: Plan, commands: BinaryIO, reports: BinaryIO) -> None:
    """Run one plan: say ready, wait for the start, report until the end."""
    wire = make_wire(plan)
    check, token_bytes = None, 0
    if plan.tokens:
        from lab_utils.load.tokens import TOKEN_BYTES, make_token_check

        token_bytes = TOKEN_BYTES
        check = make_token_check(plan) if plan.expected is not None else None
    elif plan.expected is not None:
        from lab_utils.load.compare import make_check

        check = make_check(plan)
    recorder = Recorder(token_bytes)
    driver = Driver(plan, wire, recorder, check)
    loop = asyncio.get_running_loop()
    try:
        await driver.prepare()
        write_frame(reports, "ready")
        order, start = read_frame(commands)
        if order == "stop":
            write_frame(reports, recorder.report(ended=True))
            return

        def stop() -> None:
            # The order itself stays in the pipe, so that the reader must go: it would be called for ever.
            loop.remove_reader(commands.fileno())
            driver.stop()

        loop.add_reader(commands.fileno(), stop)

        async def report_often() -> None:
            while True:
                recorder.usage.append(usage())
                write_frame(reports, recorder.report())
                await asyncio.sleep(_REPORT_EVERY)

        reporter = asyncio.ensure_future(report_often())
        try:
            await driver.run(start)
        finally:
            loop.remove_reader(commands.fileno())
            reporter.cancel()
        recorder.usage.append(usage())
        write_frame(reports, recorder.report(ended=True))
    finally:
        await wire.close()


def main() -> None:
    """Serve plans until the parent closes the pipe, or for too long nobody asks."""
    commands = os.fdopen(os.dup(0), "rb", buffering=0)
    reports = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not get between the frames.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # Fewer walks over long-lived objects in the middle of a measurement.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    with asyncio.Runner() as runner:
        while select.select([commands], [], [], _IDLE_LIMIT)[0]:
            try:
                plan = read_frame(commands)
            except EOFError:
                return
            if not isinstance(plan, Plan):
                continue  # a stop that came when the load had just ended
            try:
                runner.run(collect(plan, reports) if plan.collect else carry(plan, commands, reports))
            except (EOFError, BrokenPipeError):
                return
            except Exception:
                write_frame(reports, Report(None, None, ended=True, crash=traceback.format_exc()))


if __name__ == "__main__":
    main()

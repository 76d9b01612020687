"""`kill -9` of server, stub, keeper and kernel at random moments: nothing leaks, the next start works.

The moments come from a seed, which the report prints. TRITON_LAB_FAULT_SEED repeats a run;
TRITON_LAB_FAULT_ROUNDS makes it shorter or longer.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import httpx
import pytest

from lab_utils import server as triton
from lab_utils.server import Lifetime, Server
from tests.faults.kernel import OPTIONS, Kernel
from tests.faults.world import assert_serves, ids, infer, part, traffic, wait, wait_gone

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(400)]
NAME = "chaos"
ROUNDS = int(os.environ.get("TRITON_LAB_FAULT_ROUNDS") or 50)
VICTIMS = ("server", "stub", "keeper", "kernel")
PHASES = ("start", "running", "stop")


@dataclass(frozen=True)
class Plan:
    """One round: who is killed, in which phase, how long after the phase began (s)."""

    victim: str
    phase: str
    lifetime: Lifetime
    delay: float


def plans(rng: random.Random, count: int) -> list[Plan]:
    """Every victim in every phase equally often, in random order, at random moments."""
    combinations = list(product(VICTIMS, PHASES))
    chosen = [combinations[i % len(combinations)] for i in range(count)]
    rng.shuffle(chosen)
    longest = {"start": 0.5, "running": 0.1, "stop": 1.0}
    return [Plan(v, p, rng.choice(list(Lifetime)), rng.uniform(0, longest[p])) for v, p in chosen]


class Round:
    """One round, from a kernel that starts a server to a clean machine."""

    def __init__(self, plan: Plan, repository: Path, seen: set[str]) -> None:
        self.plan, self.repository, self.seen = plan, repository, seen
        self.before = ids(NAME)
        self.kernel = Kernel(repository, NAME, plan.lifetime)

    def run(self) -> None:
        """Kill, and check what must hold after it."""
        try:
            if self.plan.phase == "start":
                self._during_start()
            else:
                word, text = self.kernel.order("start")
                assert word == "done", f"the start after the round before failed: {text}"
                self._no_older_server()
                self._running() if self.plan.phase == "running" else self._during_stop()
        finally:
            self.seen |= ids(NAME)
            self.kernel.close()

    def _kill(self) -> bool:
        """Kill the victim after the delay; False when there is none any more."""
        time.sleep(self.plan.delay)
        if self.plan.victim == "kernel":
            self.kernel.kill()
            return True
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for new in ids(NAME) - self.before:
                pid = part(new, self.plan.victim)
                if pid is not None:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        return False
                    return True
            if self.kernel.pipe.poll(0.002):
                return False  # start or stop is over
        return False

    def _no_older_server(self) -> None:
        """A start has cleaned up after whatever was there before."""
        self.seen |= self.before
        wait_gone(self.seen, 3)

    def _after_kernel(self) -> None:
        """After the kernel was killed: gone with it, or alive to be found, as the lifetime says."""
        new = ids(NAME) - self.before
        if self.plan.lifetime is Lifetime.SESSION and self.plan.phase != "stop":
            wait(lambda: triton.find(NAME) or not any(part(i, "keeper") for i in new), 5, "server found")
            server = triton.find(NAME)
            if server is not None:
                server.wait_ready("double", 20)
                assert_serves(server)
                server.stop()
        wait_gone(new)

    def _during_start(self) -> None:
        self.kernel.send("start")
        self._kill()
        if self.plan.victim == "kernel":
            self._after_kernel()
        else:
            word, text = self.kernel.answer()
            assert word in ("done", "error")
            if word == "error":
                assert NAME in text or "double" in text, f"the error names nothing: {text}"
                assert "Next:" in text
        with_proof(self.repository, self.seen)

    def _running(self) -> None:
        server = triton.find(NAME)
        assert server is not None
        assert_serves(server)
        new = ids(NAME) - self.before
        with traffic(server):
            assert self._kill()
        if self.plan.victim == "kernel":
            self._after_kernel()
        elif self.plan.victim == "stub":
            self._mend_stub(server)
        elif self.plan.victim == "keeper":
            wait(lambda: not server.alive(), 5, "the server dies with its keeper")
            assert triton.find(NAME) is None
            with_proof(self.repository, self.seen | new)
        else:
            wait(lambda: (r := triton.record(NAME)) and r.ended, 5, "the record says that the server ended")
            record = triton.record(NAME)
            assert record is not None
            assert record.ended is not None
            assert record.ended.signal == signal.SIGKILL
            assert "SIGKILL" in str(record.ended)
            assert triton.find(NAME) is None
            with pytest.raises(triton.ServerError, match=f"`{NAME}` is not running any more.*SIGKILL"):
                server.wait_ready("double", 5)
            wait_gone(new)

    def _mend_stub(self, server: Server) -> None:
        wait(lambda: triton.stub_faults(server), 5, "the dead stub is noticed")
        assert "`double`" in triton.stub_faults(server)[0]
        assert infer(server).status_code >= 400
        if self.plan.delay < 0.05:
            reload_model(server)
        else:
            assert self.kernel.order("stop")[0] == "done"
            assert self.kernel.order("start")[0] == "done"
            found = triton.find(NAME)
            assert found is not None
            server = found
        assert triton.stub_faults(server) == []
        assert_serves(server)
        assert self.kernel.order("stop")[0] == "done"
        wait_gone(ids(NAME) - self.before, 1)

    def _during_stop(self) -> None:
        self.kernel.send("stop")
        self._kill()
        if self.plan.victim == "kernel":
            self._after_kernel()
        else:
            word, text = self.kernel.answer()
            assert word == "done", text
            wait_gone(ids(NAME) - self.before, 1)


def reload_model(server: Server) -> None:
    """Unload and load: the one way to get a new stub without a restart.

    The end of the unload is not awaited: once a request has met the dead stub, the old version stays
    `UNLOADING` for good (seen with 2.51), and a load brings the new one all the same.
    """
    base = f"{server.endpoints.http_url}/v2/repository/models/double"
    httpx.post(f"{base}/unload", timeout=10).raise_for_status()
    httpx.post(f"{base}/load", timeout=20).raise_for_status()
    server.wait_ready("double", 20)


def with_proof(repository: Path, older: set[str]) -> None:
    """The next start works, answers, and has cleaned up what was left before."""
    older = older | ids(NAME)
    server = triton.start(
        repository, name=NAME, lifetime="kernel", options=OPTIONS, wait_for=["double"], timeout=25
    )
    try:
        assert_serves(server)
        record = triton.record(NAME)
        assert record is not None
        wait_gone(older - {record.id}, 3)
    finally:
        server.stop()


def test_kill_9_at_random_moments(models: Path) -> None:
    seed = int(os.environ.get("TRITON_LAB_FAULT_SEED") or random.SystemRandom().randrange(1 << 30))
    seen: set[str] = set()
    for number, plan in enumerate(plans(random.Random(seed), ROUNDS), 1):
        began = time.monotonic()
        print(f"seed {seed}, round {number}: {plan}", end=" ", flush=True)
        Round(plan, models, seen).run()
        print(f"{time.monotonic() - began:.1f} s", flush=True)
    with_proof(models, seen)
    wait_gone(seen | ids(NAME), 1)
    assert triton.leftovers() == []

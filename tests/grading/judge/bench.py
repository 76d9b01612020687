"""One kernel for the tests of a file, and a check that changes: a hidden check of exercise 1.1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lab_utils.progress.context import LabContext
from lab_utils.progress.registry import Checkpoint, Verdict, passed
from tests.grading.judge.world import JudgedWorld
from tests.proofs.kit.labs import discover

Check = Callable[[LabContext, Mapping[str, Any]], Verdict]


class Bench:
    """One kernel for all tests here, and a check that changes."""

    def __init__(self) -> None:
        self._check: Check = lambda ctx, answers: passed("nothing asked")
        hidden = Checkpoint("1.1.1", "of the test", 1, 1, 1, ("answer",), self._judge, needs_server=False)
        self.world = JudgedWorld(discover()[0], hidden=[hidden], bare=True)
        self.first = self.world.under.checkpoints()[0]

    def judge(self, code: str, check: Check) -> Verdict:
        """The verdict of a check on a kernel's `answer`."""
        self._check = check
        self.world.ask(self.first, code)
        ids = [id for id, _ in self.world.verdicts]
        assert ids == ["1.1", "1.1.1"]
        return self.world.verdicts[1][1]

    def value(self, code: str, *args: Any, timeout: float = 10.0) -> Any:
        """What a kernel's `answer` returns."""
        found: list[Any] = []

        def check(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
            found.append(ctx.call(answers["answer"], *args, timeout=timeout))
            return passed("it answered")

        verdict = self.judge(code, check)
        assert verdict.passed, verdict
        return found[0]

    def _judge(self, ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
        return self._check(ctx, answers)

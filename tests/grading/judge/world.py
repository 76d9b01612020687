"""A lab whose answers are in another process, and the judge that asks them."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lab_utils.grading.judge import Judge
from lab_utils.paths import project_root
from lab_utils.progress.registry import Checkpoint, Status, Verdict
from tests.proofs.kit.labs import LabUnderTest
from tests.proofs.kit.world import World


class Kernel:
    """A process with answers.

    Args:
        lab: Whose right answers it begins with; empty: none.
    """

    def __init__(self, lab: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.grading.judge.kernel", lab],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=project_root(),
            text=True,
        )
        assert self._line() == "ready"

    def check(self, path: Path, id: str, code: str = "") -> dict[str, Any]:
        """Run code, let the judge check, and say what the kernel heard; empty when the kernel ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"path": str(path), "id": id, "code": code}) + "\n")
        self._process.stdin.flush()
        line = self._line()
        return dict(json.loads(line)) if line else {}

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")


class JudgedWorld:
    """A judge and a kernel of one lab; the lab's server is that of a `World`, where one is needed.

    Attributes:
        verdicts: What the judge reported, id and verdict, in order.
    """

    def __init__(self, under: LabUnderTest, *, hidden: Iterable[Checkpoint] = (), bare: bool = False) -> None:
        self.under, self._bare = under, bare
        self.verdicts: list[tuple[str, Verdict]] = []
        self._folder = tempfile.TemporaryDirectory(prefix="judge")
        self.path = Path(self._folder.name) / "socket"
        self.judge = Judge(
            under.spec.number,
            self.path,
            lambda id, verdict: self.verdicts.append((id, verdict)),
            hidden=hidden,
        )
        self._world: World | None = None
        self._kernel: Kernel | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[JudgedWorld]:
        """With the judge listening; server and kernel start when they are needed."""
        try:
            with self.judge:
                yield self
        finally:
            if self._kernel is not None:
                self._kernel.close()
            if self._world is not None:
                self._world.stop()
            self._folder.cleanup()

    def check(self, one: Checkpoint, code: str = "") -> Verdict:
        """The judge's verdict on the right answers, changed by `code`."""
        self.ask(one, code)
        assert self.verdicts, f"{one.id}: the judge reported nothing"
        return self.verdicts[-1][1]

    def ask(self, one: Checkpoint, code: str = "") -> dict[str, Any]:
        """Let the kernel ask, and return what it heard."""
        if self._world is None and not self._bare:
            with contextlib.redirect_stdout(io.StringIO()):
                self._world = World(self.under)
        if one.needs_server and self._world is not None:
            self._world.mend()
        if self._kernel is None:
            self._kernel = Kernel("" if self._bare else self.under.spec.number)
        self.verdicts.clear()
        self.judge._attempts.clear()
        heard = self._kernel.check(self.path, one.id, code)
        if not heard:
            self._kernel.close()
            self._kernel = None
        return heard

    def problems(self, one: Checkpoint, only: str = "") -> list[str]:
        """The right answer passes, and every wrong answer is refused in its own words."""
        problems = []
        verdict = self.check(one)
        if verdict.status is Status.FAIL:
            problems.append(f"{one.id}: the reference answer fails: {verdict.found} ({verdict.expected})")
        for wrong in self.under.wrong_answers.get(one.id, ()):
            if only and only not in wrong.name:
                continue
            verdict = self.check(one, wrong.code)
            text = f"{verdict.expected}\n{verdict.found}\n{verdict.next_step}"
            if verdict.status is not Status.FAIL or wrong.message.lower() not in text.lower():
                problems.append(f"{one.id}, '{wrong.name}': {verdict.status}, not '{wrong.message}': {text}")
        return problems

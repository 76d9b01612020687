"""What lint predicts is what the real server does, and explain names the cause: every case, one by one."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lab_utils import server as triton
from lab_utils.diagnosis import explain_log
from lab_utils.repository.lint import ServerFacts, lint_repository, render_findings
from lab_utils.server.base import Server
from tests.repository import cases
from tests.repository.cases.kit import Case, Loaded

FIXED = ("--model-control-mode=explicit", "--exit-timeout-secs=1")
STRICT = "--disable-auto-complete-config"


def _all_cases() -> list[Case]:
    found: list[Case] = []
    for module in sorted(m.name for m in pkgutil.iter_modules(cases.__path__)):
        found += getattr(importlib.import_module(f"{cases.__name__}.{module}"), "CASES", [])
    return found


CASES = _all_cases()


class Judge:
    """One running server, and what it does with a model."""

    def __init__(self, root: Path, options: tuple[str, ...]) -> None:
        self.repository = root / "repository"
        self.repository.mkdir(parents=True)
        self.server: Server = triton.start(
            self.repository, name=root.name, lifetime="kernel", options=[*FIXED, *options]
        )
        self.client = httpx.Client(base_url=self.server.endpoints.http_url, timeout=30)

    def load(self, model: str, timeout: float = 30) -> tuple[str, str]:
        """Load a model: what happened, and what the server logged meanwhile."""
        before = len(self.server.logs())
        try:
            answer = self.client.post(f"/v2/repository/models/{model}/load", timeout=timeout)
            outcome = "accept" if answer.status_code == 200 else "refuse"
        except httpx.TimeoutException:
            outcome = "hang"
        except httpx.TransportError:
            outcome = "crash"
        log = self.server.logs()[before:]
        deadline = time.monotonic() + 2
        while outcome == "refuse" and model not in log and time.monotonic() < deadline:
            time.sleep(0.02)  # the log is written a moment after the answer
            log = self.server.logs()[before:]
        return outcome, log

    def forget(self, folders: list[Path]) -> None:
        for folder in folders:
            self.client.post(f"/v2/repository/models/{folder.name}/unload")
            shutil.rmtree(folder)

    def close(self) -> None:
        self.client.close()
        self.server.stop()


class Judges:
    """The servers of this run: one for each set of options."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.running: dict[tuple[str, ...], Judge] = {}
        self.ended: list[Judge] = []

    def get(self, case: Case) -> Judge:
        options = (*(() if case.auto else (STRICT,)), *case.options)
        if case.server in ("hang", "crash"):
            return Judge(self.root / f"cases-{case.name}".replace("_", "-"), options)
        if options in self.running and not self.running[options].server.alive():
            self.ended.append(self.running.pop(options))
        if options not in self.running:
            self.running[options] = Judge(self.root / f"cases-{len(self.running)}-{len(self.ended)}", options)
        return self.running[options]

    def done(self, judge: Judge) -> None:
        if judge not in self.running.values():
            judge.close()


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judges]:
    found = Judges(tmp_path_factory.mktemp("judges"))
    yield found
    for judge in [*found.running.values(), *found.ended]:
        judge.close()


def test_every_case_has_its_own_name() -> None:
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)


def test_every_refused_case_says_what_explain_must_name() -> None:
    assert [c.name for c in CASES if c.server == "refuse" and not (c.explain and c.rule)] == []


@pytest.mark.live
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(case: Case, judges: Judges, tmp_path: Path) -> None:
    case.build(tmp_path / "repository")
    _check_lint(case, tmp_path / "repository")
    judge = judges.get(case)
    try:
        _judge(case, judge, tmp_path / "repository")
    except (AssertionError, httpx.TransportError):
        if case.server == "crash" or judge.server.alive():
            raise
        # Now and then Triton ends (signal 11) while it still unloads the models of the cases before. A
        # fresh server tells that from a fault of this case: what this case does, it does there again.
        case.build(tmp_path / "again")
        judge = judges.get(case)
        _judge(case, judge, tmp_path / "again")
    finally:
        judges.done(judge)


def _judge(case: Case, judge: Judge, repository: Path) -> None:
    folders = [Path(shutil.move(f, judge.repository)) for f in sorted(repository.iterdir())]
    for other in case.models:
        assert judge.load(other)[0] == "accept", f"the other model `{other}` must load"
    outcome, log = judge.load(case.name, timeout=3 if case.server == "hang" else 30)
    assert outcome == ("accept" if case.server == "silent" else case.server), log
    if case.server == "refuse":
        _check_explain(case, judge.repository, log)
    if case.shown:
        case.shown(Loaded(judge.server.endpoints.http_url, case.name))
    if case.server in ("refuse", "accept", "silent"):
        judge.forget(folders)


def _check_lint(case: Case, repository: Path) -> None:
    options = (*(() if case.auto else (STRICT,)), *case.options)
    facts = ServerFacts().with_options(options)
    findings = [f for f in lint_repository(repository, facts=facts) if f.model == case.name]
    shown = render_findings(findings)
    errors = {f.rule for f in findings if f.severity == "error"}
    warnings = {f.rule for f in findings if f.severity == "warning"}
    if case.server == "accept":
        assert not findings or case.rule in warnings, shown
    elif case.server == "silent":
        assert not errors, shown
        assert case.rule in warnings, shown
    else:
        assert case.rule in errors, shown
    if case.rule is None:
        assert not findings, shown


def _check_explain(case: Case, repository: Path, log: str) -> None:
    explanation = explain_log(log, case.name, repository)
    assert explanation.cause, f"no cause found in:\n{log}"
    for word in case.explain:
        assert word.lower() in explanation.cause.lower(), f"{explanation.cause}\n\n{log}"

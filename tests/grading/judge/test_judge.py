"""The judge and an honest kernel: what goes to a student's function, what it may do there, what comes back.

Each test brings a check of its own, as a hidden check of exercise 1.1.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Counter

from lab_utils.checks.asking import attempt
from lab_utils.grading.judge.context import JudgeContext
from lab_utils.grading.judge.server import MOST_ATTEMPTS
from lab_utils.lab import Lab
from lab_utils.progress import probes
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.registry import Status, Verdict, passed
from tests.grading.judge.bench import Bench


def test_a_hidden_check_runs_after_its_exercise_and_the_kernel_hears_of_the_exercise_alone(
    bench: Bench,
) -> None:
    heard = bench.world.ask(bench.first, "def docker_run(repository, gpu):\n    return 'docker run'")
    assert [id for id, _ in bench.world.verdicts] == ["1.1", "1.1.1"]
    assert heard["found"] == "one string"
    assert bench.world.verdicts[1][1].found == "not defined in the notebook: `answer`"


def test_values_go_and_come(bench: Bench) -> None:
    found = bench.value(
        "def answer(array, names):\n    return {n: array * 2 for n in names}", np.arange(3), ["a"]
    )
    assert found["a"].tolist() == [0, 2, 4]


def test_an_error_names_the_students_own_line(bench: Bench) -> None:
    code = "def answer():\n    values = {}\n    return values['key']"
    verdict = bench.judge(code, lambda ctx, answers: ctx.call(answers["answer"]))
    assert verdict.found == "`answer` raised KeyError: 'key' (at line 3 of answer: return values['key'])"
    assert verdict.evidence["error"] == "KeyError"


def test_an_unsolved_answer_is_not_solved_yet(bench: Bench) -> None:
    code = "def answer():\n    raise NotImplementedError('1.1: write it')"
    verdict = bench.judge(code, lambda ctx, answers: ctx.call(answers["answer"]))
    assert verdict.found == "not solved yet: 1.1: write it"


def test_an_answer_that_is_no_function_is_named(bench: Bench) -> None:
    verdict = bench.judge("answer = 7", lambda ctx, answers: ctx.call(answers["answer"]))
    assert verdict.found == "`7` is a int"


def test_an_endless_loop_is_ended_in_the_kernel_too(bench: Bench) -> None:
    code = "ticks = [0]\ndef answer():\n    while True:\n        ticks[0] += 1"
    verdict = bench.judge(code, lambda ctx, answers: ctx.call(answers["answer"], timeout=0.5))
    assert verdict.found == "`answer` did not return in 0.5 s"
    assert bench.value("def answer():\n    return 'the kernel lives'") == "the kernel lives"


def test_a_function_of_the_check_runs_in_the_judge(bench: Bench) -> None:
    asked: list[int] = []

    def measure(value: int) -> int:
        asked.append(value)
        return value * value

    assert bench.value("def answer(measure):\n    return [measure(n) for n in range(4)]", measure) == [
        0,
        1,
        4,
        9,
    ]
    assert asked == [0, 1, 2, 3]


def test_an_error_of_the_check_is_caught_by_its_kind_and_comes_home_as_itself(bench: Bench) -> None:
    def unreachable() -> None:
        raise ConnectionRefusedError(111, "nobody")

    def refusing() -> None:
        refuse(expected="a", found="its very own words", next_step="c")

    code = "def answer(ask):\n    try:\n        ask()\n    except OSError as error:\n"
    code += "        return type(error).__name__"
    assert bench.value(code, unreachable) == "ConnectionRefusedError"
    verdict = bench.judge(code, lambda ctx, answers: ctx.call(answers["answer"], refusing))
    assert verdict.found == "its very own words"

    def check(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
        _, error = attempt(ctx, answers["answer"], refusing)
        return passed("itself") if isinstance(error, Refusal) else passed(f"{error!r}")

    assert bench.judge(code, check).found == "itself"


def test_a_counter_can_be_counted_and_nothing_else(bench: Bench) -> None:
    registry = CollectorRegistry()
    counter = Counter("requests", "asked", ["outcome"], registry=registry)
    code = "def answer(counter):\n    counter.labels('ok').inc()\n    counter.labels(outcome='ok').inc(2)\n"
    bench.value(code + "    return dir(counter)", counter)
    assert registry.get_sample_value("requests_total", {"outcome": "ok"}) == 3
    verdict = bench.judge(
        "def answer(counter):\n    counter.clear()", lambda ctx, answers: ctx.call(answers["answer"], counter)
    )
    assert "AttributeError" in verdict.found


def test_two_calls_at_once_do_not_wait_for_each_other(bench: Bench) -> None:
    barrier = threading.Barrier(2, timeout=10)

    def check(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
        def ask() -> None:
            ctx.call(answers["answer"], barrier.wait)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return passed("both") if not barrier.broken else passed("one")

    assert bench.judge("def answer(meet):\n    meet()", check).found == "both"


def test_many_cases_are_one_message(bench: Bench) -> None:
    def check(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
        begin = time.perf_counter()
        found = ctx.call_all(answers["answer"], [(n, 1) for n in range(3000)])
        return passed(
            "right" if found == [n + 1 for n in range(3000)] else "wrong", s=time.perf_counter() - begin
        )

    verdict = bench.judge("def answer(a, b):\n    return a + b", check)
    assert verdict.found == "right"
    assert verdict.evidence["s"] < 5


def test_an_answer_of_any_other_kind_can_be_looked_at(bench: Bench) -> None:
    class_code = """
from dataclasses import dataclass
@dataclass
class Answer:
    text: str
def answer():
    return [Answer('half'), (n * n for n in range(2000)), {1: 2}.items(), lambda x: x + 1]
"""
    found: list[Any] = []

    def check(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
        record, squares, items, function = ctx.call(answers["answer"])
        found.extend([record.text, repr(record), sum(squares), list(items), function(4)])
        return passed("seen")

    assert bench.judge(class_code, check).passed
    assert found == ["half", "Answer(text='half')", sum(n * n for n in range(2000)), [(1, 2)], 5]


def test_an_error_in_a_thread_of_the_students_is_heard(bench: Bench) -> None:
    heard: list[str] = []

    def check(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
        before = threading.excepthook
        threading.excepthook = lambda args: heard.append(f"{args.exc_type.__name__}: {args.exc_value}")
        try:
            ctx.call(answers["answer"])
        finally:
            threading.excepthook = before
        return passed("heard")

    code = """
import threading
def answer():
    thread = threading.Thread(target=lambda: {}['gone'])
    thread.start()
    thread.join()
"""
    assert bench.judge(code, check).passed
    assert heard == ["KeyError: 'gone'"]


def test_what_was_given_cannot_be_used_after_its_call(bench: Bench) -> None:
    code = """
kept = []
def answer(ask):
    if kept:
        return kept[0]()
    kept.append(ask)
"""

    def check(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
        ctx.call(answers["answer"], lambda: 1)
        return passed(str(ctx.call(answers["answer"], lambda: 2)))

    assert "the call in which this was given is over" in bench.judge(code, check).found


def test_an_exercise_is_judged_so_often_and_no_more(bench: Bench) -> None:
    code = f"""
from lab_utils.grading.judge.client import ask_judge
def docker_run(repository, gpu):
    return None
for _ in range({MOST_ATTEMPTS} + 2):
    last = ask_judge({str(bench.world.path)!r}, "1.1", globals())
"""
    heard = bench.world.ask(bench.first, code)
    assert "the judge does not answer" in heard["found"]
    assert len(bench.world.verdicts) == 2 * MOST_ATTEMPTS


def test_lab_check_asks_the_judge(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab.__new__(Lab)
    lab.number, lab._namespace = "01", {"docker_run": lambda repository, gpu: None}
    for name, value in bench.world.judge.environment.items():
        monkeypatch.setenv(name, value)
    bench.world.verdicts.clear()
    bench.world.judge._attempts.clear()
    verdict = lab._verdict(bench.first)
    assert verdict.status is Status.FAIL
    assert verdict.found == "it returned None"
    assert bench.world.verdicts[0] == ("1.1", verdict)


def test_the_reference_is_the_courses_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission may put another network into the lab's repository: it is not asked what is right."""
    lab, course = tmp_path / "model_repository", tmp_path / "course" / "model_repository"
    for repository, model in ((lab, "mnist_mlp"), (lab, "mine"), (course, "mnist_mlp")):
        (repository / model / "1").mkdir(parents=True)
        (repository / model / "1" / "model.onnx").write_bytes(b"")
    monkeypatch.setattr("lab_utils.grading.judge.context.project_root", lambda: course.parent)
    monkeypatch.setattr(probes, "onnx_reference", lambda file, images: file)
    context = JudgeContext("01", tmp_path, lab)
    images = np.zeros((1, 1, 28, 28), np.float32)
    assert context.reference(images) == course / "mnist_mlp" / "1" / "model.onnx"
    assert context.reference(images, "mine") == lab / "mine" / "1" / "model.onnx"

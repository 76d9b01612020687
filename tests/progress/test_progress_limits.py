"""A student's function under a time limit: values, errors, endless loops, coroutines."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
import tritonclient.http as httpclient

from lab_utils.diagnosis import best_match
from lab_utils.progress.context import LabContext, Refusal
from lab_utils.progress.limits import TimeLimit, abandon, run_limited


@pytest.fixture
def alone(own_work: object) -> LabContext:
    return LabContext.of("90")


def found(context: LabContext, function: object, *args: object, timeout: float = 5) -> str:
    with pytest.raises(Refusal) as caught:
        context.call(function, *args, timeout=timeout)
    verdict = caught.value.verdict
    assert not verdict.passed
    assert verdict.next_step
    return verdict.found


def test_values_and_arguments_pass_through(alone: LabContext) -> None:
    assert alone.call(lambda a, *, b: (a, b), 1, b=2) == (1, 2)


def test_a_coroutine_runs_to_its_end_inside_a_running_loop(alone: LabContext) -> None:
    async def student(x: int) -> int:
        await asyncio.sleep(0.01)
        return x + 1

    def student_with_run(x: int) -> int:
        return asyncio.run(student(x))

    async def kernel() -> list[int]:
        return [alone.call(student, 1), alone.call(student_with_run, 2)]

    assert asyncio.run(kernel()) == [2, 3]


def test_an_unsolved_stub_says_so(alone: LabContext) -> None:
    def stub() -> None:
        raise NotImplementedError("90.1: stub is not written yet")

    assert found(alone, stub) == "not solved yet: 90.1: stub is not written yet"


def test_an_error_names_type_message_and_the_students_own_line(alone: LabContext) -> None:
    def classify(images: list[int]) -> int:
        return int("seven")  # the line to be named

    text = found(alone, classify, [])
    assert "`classify` raised ValueError: invalid literal for int()" in text
    assert 'return int("seven")' in text


def test_the_students_line_is_named_when_a_library_raises(alone: LabContext) -> None:
    import httpx

    def ask() -> object:
        return httpx.get("http://127.0.0.1:9/", trust_env=False)

    text = found(alone, ask)
    assert "ConnectError" in text
    assert "httpx.get(" in text
    assert "of ask" in text


def test_wrong_arguments_are_named(alone: LabContext) -> None:
    def ask(url: str) -> None: ...

    assert "takes 1 positional argument but 2 were given" in found(alone, ask, 1, 2)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt("no")])
def test_an_exit_inside_the_function_is_an_error_like_any_other(
    alone: LabContext, error: BaseException
) -> None:
    def leave() -> None:
        raise error

    assert type(error).__name__ in found(alone, leave)


def test_something_else_under_the_name(alone: LabContext) -> None:
    assert "is a int" in found(alone, 7)


def test_an_endless_loop_is_refused_and_ended(alone: LabContext) -> None:
    turns = [0]

    def forever() -> None:
        while True:
            turns[0] += 1

    begin = time.monotonic()
    assert "did not return in 0.3 s" in found(alone, forever, timeout=0.3)
    assert time.monotonic() - begin < 3
    time.sleep(0.3)
    seen = turns[0]
    time.sleep(0.2)
    assert turns[0] == seen, "the loop still burns a core"


def test_a_blocked_function_does_not_block_the_check() -> None:
    gate = threading.Event()
    with pytest.raises(TimeLimit):
        run_limited(gate.wait, timeout=0.1)
    gate.set()


def test_the_python_backends_own_traceback_is_left_out(alone: LabContext) -> None:
    """The student's line counts; that of the backend, inside the server, does not help them."""

    words = "the file is no ONNX\n\nAt:\n  /there/model.py(83): initialize\n  a.py(9): f\n"

    def refused() -> None:
        raise RuntimeError(words)

    said = found(alone, refused)
    assert "the file is no ONNX" in said
    assert "model.py" not in said


def test_a_thread_that_has_ended_is_not_taken_for_a_later_one() -> None:
    """Thread numbers are used again at once: only the thread itself knows whether it still runs."""
    for _ in range(100):
        ended = threading.Thread(target=int)
        ended.start()
        ended.join()
        go, done = threading.Event(), threading.Event()

        def later(go: threading.Event = go, done: threading.Event = done) -> None:
            go.wait(10)
            done.set()

        other = threading.Thread(target=later)
        other.start()
        if same := other.ident == ended.ident:
            abandon(ended)
        go.set()
        other.join(10)
        assert done.is_set()
        if same:
            return
    pytest.fail("no thread number was used twice")


def event_loops() -> int:
    """Descriptors of this process that belong to an event loop of any thread."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            found += str(link.readlink()) == "anon_inode:[eventpoll]"
        except FileNotFoundError:  # it was closed meanwhile
            continue
    return found


@pytest.mark.live
def test_a_function_with_an_http_client_leaves_no_event_loop(ctx: LabContext) -> None:
    """A notebook's process has 1,024 descriptors on many machines, and a long night has many checks."""
    address = ctx.need_server().endpoints.http

    def student() -> bool:
        with httpclient.InferenceServerClient(address) as client:
            return bool(client.is_server_live())

    def student_who_fails() -> None:
        httpclient.InferenceServerClient(address).get_model_metadata("absent")

    before = event_loops()
    for _ in range(3):
        assert ctx.call(student)
        assert "Request for unknown model" in found(ctx, student_who_fails)
    assert event_loops() == before


@pytest.mark.live
def test_a_client_from_outside_of_the_function_is_named(ctx: LabContext) -> None:
    """In a cell the function works, so "call it in a cell" would be no help."""
    # Answers are held back, so that each request really waits.
    with (
        ctx.recorder(ctx.need_server().endpoints.http, delay=0.3) as slow,
        httpclient.InferenceServerClient(slow.address) as client,
    ):

        def student() -> bool:
            return bool(client.is_server_live())

        assert student()
        for words in ("annot switch to a different thread", "", "operation on destroyed loop"):
            if not words:  # the connection of the other thread is given up, and a new one works
                assert ctx.call(student)
                continue
            with pytest.raises(Refusal) as caught:
                ctx.call(student)
            assert words in caught.value.verdict.found
            explained = best_match(caught.value.verdict.found)
            assert explained is not None
            assert explained.rule.id == "network.client-threads"
            assert "Make the client inside the function" in caught.value.verdict.next_step

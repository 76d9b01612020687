"""Models come and go under load: no wrong answer, and nothing of the system is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tritonclient.grpc as grpcclient

from lab_utils import server as triton
from lab_utils.server.base import Server
from lab_utils.server.stubs import stub_models
from tests.isolation.leaks import Held, settled
from tests.isolation.traffic import Traffic, add_versions, place_version

pytestmark = [pytest.mark.live, pytest.mark.alone, pytest.mark.slow]
CYCLES = 100
ROUNDS = 3
MODELS = {"cycled_onnx": "onnx", "cycled_python": "python"}
QUICK = ("--disable-auto-complete-config", "--exit-timeout-secs=1")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for name, kind in MODELS.items():
        add_versions(folder, name, kind)
    return folder


@contextmanager
def explicit(repository: Path, name: str) -> Iterator[Server]:
    """A server in explicit mode with both models loaded."""
    options = ["--model-control-mode=explicit", *(f"--load-model={m}" for m in MODELS), *QUICK]
    server = triton.start(repository, name=name, options=options, wait_for=list(MODELS))
    try:
        yield server
    finally:
        server.stop()


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come in {seconds} s"
        time.sleep(0.02)


def at_rest(server: Server) -> Held:
    """The count once the last unload, which Triton does in the background, is over."""
    time.sleep(4)
    return Held.now(server)


def report(what: str, traffic: Traffic, before: Held, after: Held) -> None:
    """What the run with `-s` shows: the numbers behind the verdict."""
    print(f"\n{what}: served {dict(traffic.served)}, refused {sum(traffic.refused.values())}")
    for text, count in traffic.refused.most_common():
        print(f"  {count:6} x {text}")
    print(f"  before {before}\n  after  {after}")


def judge(traffic: Traffic, before: Held, after: Held) -> None:
    """The verdict of both tests."""
    assert not traffic.wrong, f"{len(traffic.wrong)} wrong answers: {traffic.wrong[:5]}"
    for name in MODELS:
        for version in (1, 2):
            assert traffic.served[name, version] >= 20, f"version {version} of {name} hardly answered"
    assert not after.more(before), f"not given back: {after.more(before)} (before: {before}, after: {after})"


def test_a_new_version_takes_over_without_a_gap(repository: Path) -> None:
    """Loading over a served model, without an unload: not one request is refused."""
    with explicit(repository, "takeover") as server:
        with (
            grpcclient.InferenceServerClient(server.endpoints.grpc) as control,
            Traffic(server, list(MODELS)).flowing() as traffic,
        ):
            for number in range(12):
                model = list(MODELS)[number % 2]
                place_version(repository, model, present=number // 2 % 2 == 1)
                control.load_model(model)
                time.sleep(0.1)
        assert not traffic.wrong, traffic.wrong[:5]
        assert not traffic.refused, traffic.refused
        assert {version for _, version in traffic.served} == {1, 2}


def test_explicit_mode_100_cycles_under_load(repository: Path) -> None:
    """Unload and load again, every other time with version 2 taken out or put back, while clients ask."""
    with explicit(repository, "cycles") as server:
        with grpcclient.InferenceServerClient(server.endpoints.grpc) as control:

            def cycle(number: int) -> None:
                # Two of three cycles are for the model that loads in a quarter of the time.
                model = "cycled_onnx" if number % 3 == 0 else "cycled_python"
                place_version(repository, model, present=number // 3 % 2 == 1)
                control.unload_model(model)
                control.load_model(model)
                time.sleep(0.02)  # let it answer a little

            # Whatever is made once (threads of the HTTP front end, memory pools) is made here.
            with Traffic(server, list(MODELS)).flowing():
                for number in range(6):
                    cycle(number)
            before = at_rest(server)
            with Traffic(server, list(MODELS)).flowing() as traffic:
                for number in range(CYCLES):
                    cycle(number)
        after = settled(server, before)
        report(f"{CYCLES} cycles, explicit", traffic, before, after)
        judge(traffic, before, after)
        assert traffic.refused, "no request met an unloaded model, so this shows little"
        _nothing_stays_after_the_last_unload(server)


def _nothing_stays_after_the_last_unload(server: Server) -> None:
    with grpcclient.InferenceServerClient(server.endpoints.grpc) as control:
        for model in MODELS:
            control.unload_model(model)
    until(lambda: not stub_models(server.pid), "the end of the stubs")
    until(lambda: Held.now(server).regions == 0, "the end of the shared memory")


def test_poll_mode_follows_the_folders_under_load(repository: Path) -> None:
    """Version 2 comes and goes, and so does a whole model, while clients ask for all of them."""
    options = ["--model-control-mode=poll", "--repository-poll-secs=1", *QUICK]
    server = triton.start(repository, name="polled", options=options, wait_for=list(MODELS))
    away = repository.parent / "away"
    try:
        with grpcclient.InferenceServerClient(server.endpoints.grpc) as ask:

            def change(number: int) -> None:
                """One round: versions 2 -> 1 -> 2 of both models, then one whole model goes and comes."""
                for present, version in ((False, "1"), (True, "2")):
                    for model in MODELS:
                        place_version(repository, model, present)
                    other = "2" if version == "1" else "1"
                    for model in MODELS:
                        until(lambda m=model, v=version: ask.is_model_ready(m, v), f"{model} {version}")
                        until(
                            lambda m=model, v=other: not ask.is_model_ready(m, v), f"end of {model} {other}"
                        )
                model = list(MODELS)[number % 2]
                (repository / model).rename(away)
                until(lambda: not ask.is_model_ready(model), f"the end of {model}")
                away.rename(repository / model)
                until(lambda: ask.is_model_ready(model), model)

            # Python has written `__pycache__` into the version's folder. Triton takes that for a change and
            # loads the model once more; a version taken away just then costs it its stub's time-out, 30 s.
            loaded = "successfully loaded 'cycled_python'"
            until(lambda: server.logs().count(loaded) == 2, "the second load")
            with Traffic(server, list(MODELS)).flowing():
                change(0)
            before = at_rest(server)
            with Traffic(server, list(MODELS)).flowing() as traffic:
                for number in range(ROUNDS):
                    change(number)
        after = settled(server, before)
        report(f"{ROUNDS} rounds, poll", traffic, before, after)
        judge(traffic, before, after)
    except AssertionError:
        print(server.logs())  # what Triton saw of the folders
        raise
    finally:
        server.stop()

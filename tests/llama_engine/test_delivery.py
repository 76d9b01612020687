"""Answers arrive in order, joined when they wait, and no receiver can hold up the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")


from lab_utils.llama.engine.delivery import Delivery, Outbox
from lab_utils.llama.engine.request import Output
from tests.llama_engine.receivers import Receiver

END = Output(finish_reason="stop")


@pytest.fixture
def delivery() -> Iterator[Delivery]:
    delivery = Delivery()
    yield delivery
    delivery.close(1)


def box(receiver: object) -> Outbox:
    return Outbox(receiver, lambda error: None)  # type: ignore[arg-type]


def test_what_waits_goes_out_together_in_order(delivery: Delivery) -> None:
    go = threading.Event()
    receiver = Receiver()

    def slow(output: Output) -> None:
        receiver(output)
        assert go.wait(10)

    one = box(slow)
    delivery.post([(one, 1, "a", None)])
    while not receiver.outputs:
        time.sleep(0.001)
    for token in range(2, 50):
        delivery.post([(one, token, "b", None)])
    delivery.post([(one, 50, "c", END)])
    go.set()
    receiver.wait()
    assert [len(o.token_ids) for o in receiver.outputs] == [1, 49]
    assert receiver.tokens == list(range(1, 51))
    assert receiver.text == "a" + "b" * 48 + "c"
    assert delivery.undelivered == 0


def test_one_receiver_is_never_called_twice_at_once() -> None:
    delivery = Delivery(4)
    inside = [0]
    receiver = Receiver()

    def careful(output: Output) -> None:
        inside[0] += 1
        time.sleep(0.0005)
        assert inside[0] == 1
        inside[0] -= 1
        receiver(output)

    one = box(careful)
    for token in range(300):
        delivery.post([(one, token, "", END if token == 299 else None)])
        time.sleep(0.0001)
    receiver.wait()
    delivery.close()
    assert receiver.tokens == list(range(300))


def test_receivers_that_hang_do_not_stall_the_others(delivery: Delivery) -> None:
    never = threading.Event()
    for _ in range(3):
        delivery.post([(box(lambda output: never.wait(30)), 1, "x", END)])
    receiver = Receiver()
    one = box(receiver)
    begin = time.monotonic()
    for token in range(100):
        delivery.post([(one, token, "", None)])
        time.sleep(0.02)
    delivery.post([(one, 100, "", END)])
    receiver.wait(10)
    assert time.monotonic() - begin < 10
    assert receiver.tokens == list(range(101))
    assert delivery.undelivered == 3
    never.set()


def test_an_end_that_is_being_handed_over_counts_only_when_its_receiver_is_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lab_utils.llama.engine.delivery.STUCK_S", 60.0)
    delivery = Delivery()
    inside, go = threading.Event(), threading.Event()

    def holds(output: Output) -> None:
        inside.set()
        assert go.wait(30)

    behind = Receiver()
    delivery.post([(box(holds), 1, "x", END), (box(behind), 1, "x", END)])
    assert inside.wait(10)
    assert delivery.undelivered == 1, "the one behind it"
    monkeypatch.setattr("lab_utils.llama.engine.delivery.STUCK_S", 0.0)
    assert delivery.undelivered == 2
    go.set()
    behind.wait()
    delivery.close()
    assert delivery.undelivered == 0


def test_a_receiver_that_raises_is_reported_and_gets_no_more_after_the_end(delivery: Delivery) -> None:
    broken: list[Exception] = []

    def bad(output: Output) -> None:
        raise ValueError("gone")

    one = Outbox(bad, broken.append)
    delivery.post([(one, 1, "a", None)])
    while not broken:
        time.sleep(0.001)
    delivery.post([(one, None, "", END)])
    delivery.post([(one, 2, "late", None)])
    receiver = Receiver()
    delivery.post([(box(receiver), 1, "fine", END)])
    receiver.wait()
    assert all(isinstance(error, ValueError) for error in broken)


def test_closing_delivers_what_waits() -> None:
    delivery = Delivery()
    receivers = [Receiver() for _ in range(20)]
    delivery.post([(box(r), 1, "a", END) for r in receivers])
    delivery.close()
    assert all(r.ended.is_set() for r in receivers)

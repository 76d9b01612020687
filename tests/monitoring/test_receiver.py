"""The receiver of notifications takes what an Alertmanager sends, and nothing else."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from lab_utils.monitoring.receiver import Receiver
from lab_utils.monitoring.tools import MonitoringError


def message(name: str, status: str = "firing") -> dict[str, object]:
    """As in Alertmanager's documentation of its webhook, version 4."""
    alert = {
        "status": status,
        "labels": {"alertname": name, "model": "timed"},
        "annotations": {"summary": f"{name} is on"},
        "startsAt": "2024-01-01T00:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
    }
    return {"version": "4", "status": status, "alerts": [alert]}


def test_messages_become_notifications_in_their_order() -> None:
    with Receiver() as receiver:
        for status in ("firing", "resolved"):
            answer = httpx.post(receiver.url, json=message("Slow", status), trust_env=False)
            assert answer.status_code == 200
    first, second = receiver.notifications  # they stay when it stops
    assert (first.alertname, first.status, second.status) == ("Slow", "firing", "resolved")
    assert first.labels["model"] == "timed"
    assert first.annotations["summary"] == "Slow is on"
    assert first.at <= second.at <= time.time()
    assert "firing   Slow: Slow is on" in str(first)


@pytest.mark.parametrize(
    "body", [b"", b"no JSON", b"[]", b'{"alerts": [{"status": "firing"}]}', b'{"alerts": 7}', b"\xff"]
)
def test_anything_else_is_refused(body: bytes) -> None:
    with Receiver() as receiver:
        assert httpx.post(receiver.url, content=body, trust_env=False).status_code == 400
        assert httpx.post(receiver.url, json=message("Slow"), trust_env=False).status_code == 200
    assert [n.alertname for n in receiver.notifications] == ["Slow"]


def test_a_wait_ends_when_the_notification_comes_and_says_what_came_instead() -> None:
    with Receiver() as receiver:
        url = receiver.url
        timer = threading.Timer(
            0.2, lambda: httpx.post(url, json=message("Late", "resolved"), trust_env=False)
        )
        timer.start()
        assert receiver.wait("Late", "resolved", timeout=20).status == "resolved"
        timer.join()
        with pytest.raises(MonitoringError, match="Came so far: Late resolved"):
            receiver.wait("Late", "firing", timeout=0.1)
        with pytest.raises(MonitoringError, match="never `pending`"):
            receiver.wait("Late", "pending", timeout=0.1)
        with pytest.raises(MonitoringError, match="No notification"):  # an old one does not count
            receiver.wait("Late", "resolved", timeout=0.1, since=time.time())


def test_it_can_be_stopped_and_started_again() -> None:
    receiver = Receiver()
    receiver.stop()
    with pytest.raises(MonitoringError, match="has not been started"):
        _ = receiver.url
    for _ in range(2):
        assert receiver.start() is receiver.start()
        assert httpx.post(receiver.url, json=message("Slow"), trust_env=False).status_code == 200
        receiver.stop()
    assert len(receiver.notifications) == 2

"""An alert goes its whole way with the real programs, from Triton to the receiver, and resolves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

from lab_utils import server as triton
from lab_utils.monitoring.client import ClientMetrics
from lab_utils.monitoring.pictures import draw_alert
from lab_utils.monitoring.readiness import ReadinessExporter
from lab_utils.monitoring.stack import Monitoring
from lab_utils.monitoring.tools import has_alertmanager, has_prometheus, how_to_get
from lab_utils.server.ports import free_ports
from tests.monitoring.asking import ask, client

pytestmark = [
    pytest.mark.skipif(
        not (has_prometheus() and has_alertmanager()),
        reason=f"no Prometheus or no Alertmanager. {how_to_get()}",
    ),
    pytest.mark.live,
    pytest.mark.slow,
]
TIMEOUT = 60  # for what takes 5 to 20 seconds on a machine with nothing else to do


@pytest.fixture(scope="module")
def watched(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A server of our own with `quick` and `fussy`, a client that counts, and what watches them."""
    options = [
        "--model-control-mode=explicit",
        "--load-model=quick",
        "--load-model=fussy",
        f"--metrics-port={free_ports(1)[0]}",  # the same after a restart, as in production
        "--exit-timeout-secs=1",
    ]
    server = triton.start(repository, name="alerts-tests", options=options, lifetime="kernel")
    try:
        with (
            ReadinessExporter(server, expected=("quick",)) as readiness,
            ClientMetrics(models=["quick", "fussy"]) as metrics,
            Monitoring(
                {"triton": server, "readiness": readiness, "client": metrics},
                folder=tmp_path_factory.mktemp("alerts"),
            ) as monitoring,
        ):
            monitoring.wait_for(3, timeout=TIMEOUT)
            yield SimpleNamespace(server=server, metrics=metrics, monitoring=monitoring)
    finally:
        server.stop()


@contextmanager
def traffic(
    watched: SimpleNamespace, model: str, request: Callable[[httpclient.InferenceServerClient], None]
) -> Iterator[None]:
    """Requests, about 20 per second, in a thread, each counted by the client."""
    over = threading.Event()

    def send() -> None:
        with client(watched.server) as one:
            while not over.wait(0.05):
                with suppress(InferenceServerException), watched.metrics.request(model):
                    request(one)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_an_idle_server_raises_no_alert(watched: SimpleNamespace) -> None:
    machine = {"MemoryNearLimit", "GpuMemoryNearLimit", "GpuSaturated"}  # not ours to say
    assert {alert.name for alert in watched.monitoring.alerts() if alert.state == "firing"} <= machine


def test_failures_that_the_server_does_not_count_call_by_the_client_alone(watched: SimpleNamespace) -> None:
    monitoring = watched.monitoring
    with traffic(watched, "quick", lambda one: ask(one, "quick", width=3)):  # a wrong shape
        told = monitoring.wait_for_alert("ClientErrorRatio", "firing", TIMEOUT)
        monitoring.wait_for_alert("ErrorBudgetBurnFast", "firing", TIMEOUT)
    assert told.labels["model"] == "quick"
    assert told.labels["severity"] == "page"
    assert told.annotations["summary"] == "100% of the calls of quick fail for its users."
    assert "TritonFailureRatio" not in {n.alertname for n in monitoring.receiver.notifications}
    with traffic(watched, "quick", lambda one: ask(one, "quick")):
        ended = monitoring.wait_for_alert("ErrorBudgetBurnFast", "resolved", TIMEOUT)
        after = monitoring.wait_for_alert("ClientErrorRatio", "resolved", TIMEOUT)
    # The short window, 5 s, lets go before the mean over 15 s does.
    assert ended.at < after.at


def test_failures_of_the_model_call_by_the_server_too(watched: SimpleNamespace) -> None:
    monitoring = watched.monitoring
    with traffic(watched, "fussy", lambda one: ask(one, "fussy", value=-2.0)):  # execute() raises
        told = monitoring.wait_for_alert("TritonFailureRatio", "firing", TIMEOUT)
    assert told.labels["model"] == "fussy"
    assert told.annotations["summary"] == "100% of the requests to fussy fail in the server."
    # Nobody asks any more: the ratio becomes NaN, and the alert ends.
    monitoring.wait_for_alert("TritonFailureRatio", "resolved", TIMEOUT)


def test_a_model_that_is_unloaded_calls_until_it_is_back(watched: SimpleNamespace) -> None:
    monitoring = watched.monitoring
    begin = time.time()
    with client(watched.server) as one:
        one.unload_model("quick")
        told = monitoring.wait_for_alert("TritonModelNotReady", "firing", TIMEOUT)
        assert told.labels["model"] == "quick"
        assert [a.state for a in monitoring.alerts() if a.name == "TritonModelNotReady"] == ["firing"]
        one.load_model("quick")
    monitoring.wait_for_alert("TritonModelNotReady", "resolved", TIMEOUT)
    monitoring.wait_for(2, TIMEOUT)  # the notification is quicker than the next whole second

    seconds = time.time() - begin + 5
    states = monitoring.alert_states("TritonModelNotReady", seconds)
    words = list(dict.fromkeys(states["TritonModelNotReady"]))
    assert words == ["inactive", "pending", "firing", "resolved"]
    values = monitoring.frame("triton_lab_model_ready", seconds)
    told_at = [n for n in monitoring.receiver.notifications if n.alertname == "TritonModelNotReady"]
    picture = draw_alert(states, values, unit="ready", threshold=0.5, notifications=told_at)
    assert picture._repr_png_().startswith(b"\x89PNG")
    texts = [text.get_text() for text in picture.axes[1].texts]
    assert {"told: firing", "told: resolved"} <= set(texts)
    assert len(picture.axes[1].patches) == 4  # one bar per state
    never = monitoring.alert_states("TritonQueueTime", 20)
    assert set(never["TritonQueueTime"]) == {"inactive"}


def test_a_server_that_is_down_calls_once_and_not_for_each_model(watched: SimpleNamespace) -> None:
    monitoring = watched.monitoring
    begin = time.time()
    watched.server.stop()
    told = monitoring.receiver.wait("TritonServerDown", "firing", TIMEOUT, since=begin)
    assert told.labels["job"] == "triton"
    # Its model is not ready either; the Alertmanager keeps that back.
    monitoring.wait_for('ALERTS{alertname="TritonModelNotReady", alertstate="firing"}', TIMEOUT)
    monitoring.wait_for(4, TIMEOUT)
    since = {n.alertname for n in monitoring.receiver.notifications if n.at > begin}
    assert "TritonModelNotReady" not in since
    watched.server.start()
    monitoring.receiver.wait("TritonServerDown", "resolved", TIMEOUT, since=begin)
    monitoring.wait_for('triton_lab_model_ready{model="quick"} == 1', TIMEOUT)

"""The readiness exporter: a model that is loaded, unloaded, unknown; a server that stops, dies, hangs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_utils import server as triton
from lab_utils.monitoring import MetricsError, ReadinessExporter, scrape
from lab_utils.server.base import Endpoints, Server
from lab_utils.server.ports import LOOPBACK, free_ports
from tests.monitoring import models
from tests.monitoring.asking import client

pytestmark = pytest.mark.live


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    models.timed(tmp_path, "quick", 1)
    models.timed(tmp_path, "slow", 1)
    options = ["--model-control-mode=explicit", "--load-model=quick", "--exit-timeout-secs=1"]
    found = triton.start(tmp_path, name="readiness", options=options, lifetime="kernel")
    yield found
    found.stop()


def ready(exporter: ReadinessExporter) -> tuple[float, dict[str, float]]:
    """The server's value, and the models'."""
    page = scrape(exporter.address, timeout=20)
    of_models = page.series("triton_lab_model_ready")
    return page.value("triton_lab_server_ready"), {labels["model"]: v for labels, v in of_models.items()}


def test_load_unload_stop_and_start(own: Server) -> None:
    with ReadinessExporter(own, ("quick", "slow", "nowhere")) as exporter, client(own) as one:
        assert ready(exporter) == (1, {"quick": 1, "slow": 0, "nowhere": 0})
        one.load_model("slow")
        assert ready(exporter) == (1, {"quick": 1, "slow": 1, "nowhere": 0})
        one.unload_model("quick")
        assert ready(exporter)[1] == {"quick": 0, "slow": 1, "nowhere": 0}
        own.stop()
        assert ready(exporter) == (0, {"quick": 0, "slow": 0, "nowhere": 0})
        own.start()
        assert ready(exporter) == (1, {"quick": 1, "slow": 0, "nowhere": 0}), "it has other ports now"


@pytest.mark.alone
def test_a_server_that_hangs_and_one_that_dies(own: Server) -> None:
    pid = own.pid
    assert pid is not None
    with ReadinessExporter(own, "quick") as exporter:
        assert ready(exporter) == (1, {"quick": 1})
        os.kill(pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            assert ready(exporter) == (0, {"quick": 0})
            # It takes 0.7 s, and the course's Prometheus waits 1 s. A busy machine is given more.
            assert time.monotonic() - start < 3
        finally:
            os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 10
        while own.alive():
            assert time.monotonic() < end
            time.sleep(0.05)
        assert ready(exporter) == (0, {"quick": 0})


def test_something_that_is_no_triton(own: Server) -> None:
    (nobody,) = free_ports(1)
    for http in (f"{LOOPBACK}:{nobody}", own.endpoints.grpc, own.endpoints.metrics):
        with ReadinessExporter(Endpoints(http, "", ""), ["quick"]) as exporter:
            assert ready(exporter) == (0, {"quick": 0})
    with ReadinessExporter(lambda: own, ["quick"]) as exporter:
        assert ready(exporter) == (1, {"quick": 1})


def test_start_and_stop(own: Server) -> None:
    exporter = ReadinessExporter(own, ["quick"])
    with pytest.raises(MetricsError, match="ReadinessExporter has no address"):
        _ = exporter.address
    address = exporter.start().address
    assert exporter.start().address == address, "a second start changes nothing"
    port = int(address.split(":")[1])
    with pytest.raises(MetricsError, match=f"Port {port} cannot be used"):
        ReadinessExporter(own, port=port).start()
    exporter.stop()
    exporter.stop()
    with pytest.raises(MetricsError, match="Nobody answers"):
        scrape(address)
    with ReadinessExporter(own, ["quick"], port=port) as again:
        assert again.address == address
        assert ready(again) == (1, {"quick": 1})

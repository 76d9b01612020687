"""The live dashboard on a real server: right values, its start and its ends, a restart."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab_utils import server as triton
from lab_utils.monitoring import dashboard as module
from lab_utils.monitoring.dashboard import Dashboard
from lab_utils.server.base import Server
from tests.monitoring import asking, models

pytestmark = pytest.mark.live


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def board(server: Server) -> Iterator[Dashboard]:
    """One that refreshes five times per second; it is not started."""
    one = Dashboard(server, every=0.2, seconds=120)
    yield one
    one.stop()


def ask(server: Server, model: str, count: int) -> None:
    """Requests one after the other, with a client of this thread's own."""
    with asking.client(server) as one:
        for _ in range(count):
            asking.ask(one, model)


def dashboard_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "dashboard"]


def test_the_values_are_those_of_the_server(server: Server) -> None:
    """20 requests of a model that takes 50 ms for each, two at a time: the second waits for the first."""
    board = Dashboard(server, every=1.0)
    board.refresh()
    threads = [threading.Thread(target=ask, args=(server, "slow", 10)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    board.refresh()
    values = board._history
    seconds = values._scrapes[-1].at - values._scrapes[0].at
    assert values.models() == ["slow"]
    assert values.value("requests_per_second", "slow") == pytest.approx(20 / seconds)
    assert values.value("mean_batch", "slow") == 1
    assert values.value("request_ms", "slow") >= 50
    assert values.value("request_p99_ms", "slow") >= 50
    assert values.value("compute_ms", "slow") >= 50
    assert values.value("queue_ms", "slow") >= 15  # half of the requests wait 50 ms, if none is late
    assert values.value("failure_ratio", "slow") == 0
    assert 0 <= values.value("cpu_utilization") <= 1
    assert 0 < values.value("memory_share") < 1
    shown = board.widget.children[1].value
    assert shown.count("<svg") == 6, "no Llama engine runs here, so it has no plots"
    assert "requests per second: slow" in shown
    assert "slow" in board.widget.children[2].value
    assert "slow" in board.text()


def test_it_refreshes_itself_and_stops_itself(server: Server) -> None:
    board = Dashboard(server, every=0.2, seconds=1.5)
    assert board.status == "Not started."
    assert board.show() is board.widget
    assert board.running
    assert board.widget.children[0].children[0].description == "Stop"
    assert board.status.startswith("Running; it stops itself at ")
    until(lambda: len(board._history._moments) >= 2)
    until(lambda: not board.running)
    assert "because its 1.5 s are over" in board.status
    assert board.widget.children[0].children[0].description == "Start"
    until(lambda: not dashboard_threads())


def test_the_button_starts_and_stops(board: Dashboard) -> None:
    button = board.widget.children[0].children[0]
    button.click()
    assert board.running
    button.click()
    assert not board.running
    assert "because you stopped it" in board.status
    button.click()
    assert board.running, "it can go on"
    board.stop()
    board.stop()
    assert not dashboard_threads()


def test_a_closed_widget_ends_it(board: Dashboard) -> None:
    board.show()
    board.widget.close()
    assert not board.running
    assert "because its panel was closed" in board.status


def test_a_panel_that_is_on_no_screen_any_more_ends_it(
    board: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser counts the views of the panel in this attribute."""
    monkeypatch.setattr(module, "_GONE_SECONDS", 0.5)
    board.show()
    assert board.widget._view_count == 0
    until(lambda: len(board._history._moments) >= 5)
    assert board.running, "not on a screen yet (or no browser at all): it runs"
    board.widget._view_count = 1
    until(lambda: board._view._was_seen)
    board.widget._view_count = 0
    board.widget._view_count = 1  # the cell ran again
    time.sleep(0.7)
    assert board.running
    board.widget._view_count = 0
    until(lambda: not board.running)
    assert "because its panel was closed" in board.status


def test_one_dashboard_of_a_server_at_a_time(server: Server, board: Dashboard) -> None:
    board.show()
    second = Dashboard(server.endpoints.metrics, every=0.2, seconds=60)
    second.show()
    try:
        assert not board.running
        assert "another dashboard of this server" in board.status
        assert second.running
    finally:
        second.stop()


def test_an_unknown_model_is_named(server: Server) -> None:
    board = Dashboard(server, models="slowly")
    board.refresh()
    assert "The server has no metrics of `slowly`" in board.status


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_in_the_background_is_shown(board: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(board, "_draw", broken)
    board.start()
    until(lambda: not board.running)
    assert "because of an error, ZeroDivisionError: on purpose" in board.status
    until(lambda: not dashboard_threads())


def test_where_nobody_answers_it_says_so_and_keeps_asking() -> None:
    board = Dashboard("127.0.0.1:9", every=0.2, seconds=60)
    board.start()
    until(lambda: "has not answered since" in board.status)
    assert "Nobody answers at http://127.0.0.1:9/metrics." in board.status
    assert board.running
    board.stop()


def test_it_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    """The server comes back at other ports, and counts from 0."""
    repository = tmp_path / "repository"
    repository.mkdir()
    models.timed(repository, "quick", 2)
    options = ["--exit-timeout-secs=0", "--disable-auto-complete-config"]

    def start() -> Server:
        return triton.start(
            repository, name="restarted", options=options, lifetime="kernel", wait_for=["quick"]
        )

    server = start()
    board = Dashboard(server, every=0.2, seconds=300).start()
    try:
        until(lambda: board._history.last is not None)
        ask(server, "quick", 200)
        until(lambda: board._history.models() == ["quick"])
        server.stop()
        until(lambda: "The server has not answered since" in board.status)
        assert "the panel keeps asking" in board.status
        assert board.running
        server = start()
        until(lambda: "has not answered" not in board.status)
        assert "Counters began at 0 again: the server was started anew." in board.status
        ask(server, "quick", 20)
        until(lambda: board._history.value("requests_per_second", "quick") > 0)
        board.stop()
        rates = [v for (n, _), v in _all_values(board) if n == "requests_per_second"]
        assert all(0 <= rate <= 1000 for rate in rates), rates
    finally:
        board.stop()
        server.stop()
        shutil.rmtree(repository)


def _all_values(board: Dashboard) -> Iterator[tuple[tuple[str, str], float]]:
    for moment in board._history._moments:
        yield from moment.values.items()

"""The programs of the monitoring: they start, say why when they cannot, and end with who started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from lab_utils.keeper.identity import MARKER
from lab_utils.monitoring import program as programs
from lab_utils.monitoring.client import ClientMetrics
from lab_utils.monitoring.packages import relocated
from lab_utils.monitoring.program import Program, decisive
from lab_utils.monitoring.stack import Monitoring
from lab_utils.monitoring.tools import (
    MonitoringError,
    find_tool,
    has_alertmanager,
    has_prometheus,
    how_to_get,
)
from lab_utils.paths import project_root
from lab_utils.server.ports import free_ports, listening

pytestmark = pytest.mark.skipif(
    not (has_prometheus() and has_alertmanager()), reason=f"no Prometheus or no Alertmanager. {how_to_get()}"
)


def processes(folder: Path) -> list[psutil.Process]:
    """The running programs and keepers that work in a folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if str(folder) in " ".join(process.info["cmdline"] or ())
        and process.info["status"] != psutil.STATUS_ZOMBIE
        and process.pid != os.getpid()
    ]


def program_of(folder: Path, name: str) -> psutil.Process:
    """The one running program of this name: not its keeper, whose command line names it too."""
    (found,) = (p for p in processes(folder) if Path(p.info["cmdline"][0]).name == name)
    return found


def ours(folder: Path) -> list[str]:
    """Their command lines."""
    return [" ".join(process.info["cmdline"]) for process in processes(folder)]


def until(condition: object, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def page() -> Iterator[ClientMetrics]:
    """A page of metrics to read."""
    with ClientMetrics(models=["m"]) as metrics:
        yield metrics


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing runs afterwards."""
    yield tmp_path / "a folder"
    assert not ours(tmp_path)


def test_it_starts_reads_and_leaves_logs_alone_behind(folder: Path, page: ClientMetrics) -> None:
    monitoring = Monitoring({"page": page}, folder=folder, every=0.5)
    with monitoring:
        assert monitoring.start() is monitoring  # a second start does nothing
        assert len(ours(folder)) == 4  # two programs and their keepers
        ports = [int(url.rsplit(":", 1)[1]) for url in (monitoring.url, monitoring.alertmanager_url)]
        listeners = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        pids = {process.pid for process in processes(folder)}
        addresses = {(c.laddr.ip, c.laddr.port) for c in listeners if c.pid in pids}
        assert addresses == {("127.0.0.1", port) for port in ports}
        assert monitoring.wait_for(2, timeout=40) < 40
        assert monitoring.value('up{job="page"}') == 1
        assert monitoring.alerts() == []
    assert not ours(folder)
    assert not any(map(listening, ports))
    assert {p.name for p in folder.iterdir()} == {
        "alertmanager.log",
        "alertmanager.yml",
        "prometheus.log",
        "prometheus.yml",
        "rules.yml",
    }
    assert "Server is ready" in (folder / "prometheus.log").read_text()
    monitoring.stop()
    with pytest.raises(MonitoringError, match="has not been started"):
        monitoring.value("up")


def test_other_rules_and_other_targets_while_it_runs(folder: Path, page: ClientMetrics) -> None:
    rules = "groups: [{name: a, rules: [{record: two, expr: '2'}]}]"
    with (
        ClientMetrics(models=["other"]) as other,
        Monitoring({"page": page}, folder=folder, rules=rules, every=0.5, alerts=False) as monitoring,
    ):
        with pytest.raises(MonitoringError, match="No Alertmanager"):
            _ = monitoring.alertmanager_url
        assert monitoring.wait_for("two == 2", timeout=40) < 40
        with pytest.raises(MonitoringError, match="parse error"):
            monitoring.set_rules(rules.replace("'2'", "'2 +'"))
        monitoring.wait_for("two == 2", timeout=10)  # the old ones stay
        monitoring.set_rules(rules.replace("two", "three").replace("'2'", "'3'"))
        monitoring.wait_for("three == 3", timeout=20)
        monitoring.set_targets({"page": page, "second": other})
        monitoring.wait_for('up{job="second"} == 1', timeout=40)
        with pytest.raises(MonitoringError, match=r"did not come true within 1 seconds[\s\S]*second is up"):
            monitoring.wait_for("up == 7", timeout=1)
        monitoring.set_rules("")
        assert monitoring.rules == ""


OWNER = """
import sys, threading, time
from pathlib import Path
from lab_utils.monitoring.stack import Monitoring

def start():
    monitoring = Monitoring({"page": "127.0.0.1:9"}, folder=Path(sys.argv[1]), rules="")
    monitoring.start()
    print(monitoring.url, monitoring.alertmanager_url, flush=True)

# As in a notebook: who knows which thread runs a cell.
thread = threading.Thread(target=start)
thread.start()
thread.join()
time.sleep(600)
"""


@pytest.fixture
def owner(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process that has started everything in a thread that has ended, and the two addresses."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], cwd=project_root(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().split()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def answers(urls: list[str]) -> list[bool]:
    def one(url: str) -> bool:
        try:
            return httpx.get(f"{url}/-/ready", trust_env=False, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    return [one(url) for url in urls]


def test_the_end_of_the_starting_thread_does_not_end_it_the_end_of_the_process_does(
    folder: Path, owner: tuple[subprocess.Popen[str], list[str]]
) -> None:
    process, urls = owner
    time.sleep(1)
    assert answers(urls) == [True, True]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert until(lambda: not ours(folder)), ours(folder)
    assert answers(urls) == [False, False]
    assert until(lambda: not list(folder.glob("*-data")))
    assert (folder / "prometheus.log").stat().st_size > 0


def test_a_killed_keeper_takes_its_program_along(
    folder: Path, owner: tuple[subprocess.Popen[str], list[str]]
) -> None:
    process, urls = owner
    keepers = [child for child in psutil.Process(process.pid).children() if "-I" in child.cmdline()]
    assert len(keepers) == 2
    for keeper in keepers:
        keeper.kill()
    assert until(lambda: answers(urls) == [False, False])
    assert until(lambda: all("import sys" in line for line in ours(folder)))  # the owner alone


def test_a_stopped_program_ends_too(folder: Path) -> None:
    """SIGSTOP: as a debugger or Ctrl-Z does. It gets no SIGTERM until it goes on."""
    monitoring = Monitoring({"page": "127.0.0.1:9"}, folder=folder, rules="", alerts=False).start()
    child = program_of(folder, "prometheus")
    child.suspend()
    begin = time.monotonic()
    monitoring.stop()
    assert time.monotonic() - begin < 15
    assert not child.is_running()


def test_what_ended_from_outside_is_said_and_can_be_started_again(folder: Path, page: ClientMetrics) -> None:
    with Monitoring({"page": page}, folder=folder, rules="", alerts=False) as monitoring:
        program_of(folder, "prometheus").kill()
        assert until(lambda: not monitoring_alive(monitoring))
        with pytest.raises(MonitoringError, match="not running any more"):
            monitoring.value("up")
        monitoring.start()
        assert monitoring.value("1") == 1


def monitoring_alive(monitoring: Monitoring) -> bool:
    try:
        return bool(monitoring.url)
    except MonitoringError:
        return False


def test_a_port_that_is_taken_by_chance_is_tried_again(
    folder: Path, page: ClientMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = int(page.address.rsplit(":", 1)[1])
    offers = iter([[taken]])
    monkeypatch.setattr(programs, "free_ports", lambda count: next(offers, None) or free_ports(count))
    with Monitoring({"page": page}, folder=folder, rules="", alerts=False) as monitoring:
        assert not monitoring.url.endswith(f":{taken}")
        assert monitoring.value("1") == 1
    assert "address already in use" in (folder / "prometheus.log").read_text()


def test_a_strangers_program_on_our_port_is_not_taken_for_ours(folder: Path, page: ClientMetrics) -> None:
    with Monitoring({"page": page}, folder=folder, rules="", alerts=False) as stranger:
        port = int(stranger.url.rsplit(":", 1)[1])
        second = Monitoring({"page": page}, folder=folder.with_name("second"), rules="", alerts=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(programs, "free_ports", lambda _count: [port])
            with pytest.raises(MonitoringError, match="address already in use"):
                second.start()
        assert stranger.value("1") == 1


def test_a_start_that_fails_shows_the_decisive_words(folder: Path) -> None:
    binary = str(find_tool("prometheus"))
    program = Program(
        "prometheus", folder, lambda _port, _data: [binary, "--no.such.flag"], lambda _url: True
    )
    with pytest.raises(MonitoringError) as caught:
        program.start()
    message = str(caught.value)
    assert "prometheus ended while it was starting" in message
    assert "unknown long flag '--no.such.flag'" in message
    assert str(program.log_path) in message
    assert not program.alive()

    folder.joinpath("wrong.yml").write_text("scrape_configs: [{job_name: a, scrap_interval: 1s}]")
    command = [binary, f"--config.file={folder / 'wrong.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    program = Program(
        "prometheus", folder, lambda port, _data: [*command, f"--web.listen-address=127.0.0.1:{port}"], bool
    )
    with pytest.raises(MonitoringError, match="field scrap_interval not found"):
        program.start()


def test_a_program_that_is_no_program_is_said_so(folder: Path) -> None:
    program = Program("prometheus", folder, lambda _port, _data: [str(folder / "absent")], bool)
    with pytest.raises(MonitoringError, match="No such file or directory"):
        program.start()


def test_a_program_that_never_answers_is_ended(folder: Path) -> None:
    program = Program("sleeper", folder, lambda _port, data: ["sh", "-c", f"sleep 600 # {data}"], bool)
    with pytest.raises(MonitoringError, match="did not answer within 1 seconds"):
        program.start(timeout=1.0)
    assert not ours(folder)


def test_debians_alertmanager_out_of_its_package_needs_the_relocation(folder: Path) -> None:
    """Shows that the copy with the relative path is not in vain, and what a student sees without it."""
    binary = find_tool("alertmanager")
    copy, cwd = relocated(binary)
    if cwd is None:
        pytest.skip("this Alertmanager finds its templates: it is installed, or has them inside")
    folder.mkdir()
    (folder / "am.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")

    def command(program: Path, port: int, data: Path) -> list[str]:
        return [
            str(program),
            f"--config.file={folder / 'am.yml'}",
            f"--storage.path={data}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]

    plain = Program("plain", folder, lambda port, data: command(binary, port, data), bool)
    with pytest.raises(MonitoringError, match=r"failed to parse templates: open /usr/share/prometheus"):
        plain.start()
    moved = Program("moved", folder, lambda port, data: command(copy, port, data), bool, cwd=cwd)
    moved.start()
    moved.stop()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ('level=info msg="fine"\nlevel=error msg="Opening storage" err="lock DB: \\"x\\" busy"\n',
         'Opening storage: lock DB: "x" busy'),
        ("prometheus: error: unknown long flag '--x'", "prometheus: error: unknown long flag '--x'"),
        ("one\ntwo\nthree\nfour\n", "two\nthree\nfour"),
        ('caller=a level=error msg="it broke"\ncaller=a level=error msg="it broke"', "it broke"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_decisive_words_of_a_log(log: str, words: str) -> None:
    assert decisive(log) == words


def test_nothing_to_watch_is_refused(folder: Path) -> None:
    with pytest.raises(MonitoringError, match="nothing to watch"):
        Monitoring({}, folder=folder)


def test_rules_that_are_refused_start_nothing(folder: Path, page: ClientMetrics) -> None:
    with pytest.raises(MonitoringError, match="parse error"):
        Monitoring(
            {"page": page}, folder=folder, rules="groups: [{name: a, rules: [{record: b, expr: '('}]}]"
        ).start()
    assert not ours(folder)
    assert not [t for t in threading.enumerate() if t.name == "alert-receiver"]
    assert MARKER not in os.environ

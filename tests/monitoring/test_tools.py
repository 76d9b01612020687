"""Finding Prometheus and Alertmanager, saying how to get them, fetching Debian's packages without root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab_utils.monitoring import packages, tools
from lab_utils.monitoring.tools import MonitoringError, find_tool
from lab_utils.paths import project_root


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any of the programs: no setting, an empty PATH, an empty cache."""
    for setting in set(tools.SETTINGS.values()):
        monkeypatch.delenv(setting, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("TRITON_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path


def program(path: Path, text: str = "exit 0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def fetch_by_command() -> subprocess.CompletedProcess[str]:
    """`triton-lab fetch-prometheus`."""
    command = [sys.executable, "-m", "lab_utils.cli", "fetch-prometheus"]
    return subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", list(tools.SETTINGS))
def test_what_is_nowhere_is_refused_with_how_to_get_it(nothing: Path, name: str) -> None:
    with pytest.raises(MonitoringError) as caught:
        find_tool(name)
    message = str(caught.value)
    assert f"{name} is not on this machine." in message
    assert tools.SETTINGS[name] in message
    assert "https://prometheus.io/download" in message  # no apt on this PATH


def test_with_apt_the_advice_is_one_command(nothing: Path) -> None:
    program(nothing / "bin" / "apt-get")
    program(nothing / "bin" / "dpkg")
    with pytest.raises(MonitoringError, match=r"triton-lab fetch-prometheus"):
        find_tool("prometheus")
    assert not tools.has_prometheus()
    assert not tools.has_alertmanager()


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(MonitoringError, match="none of the programs"):
        find_tool("grafana")


def test_path_is_searched_for_debians_name_too(nothing: Path) -> None:
    found = program(nothing / "bin" / "prometheus-alertmanager")
    assert find_tool("alertmanager") == found
    assert tools.has_alertmanager()
    own = program(nothing / "bin" / "alertmanager")
    assert find_tool("alertmanager") == own


def test_the_cache_comes_last(nothing: Path) -> None:
    cached = program(tools.packages_root() / "usr" / "bin" / "prometheus")
    assert find_tool("prometheus") == cached
    assert not tools.has_prometheus()  # no promtool
    program(tools.packages_root() / "usr" / "bin" / "promtool")
    assert tools.has_prometheus()
    on_path = program(nothing / "bin" / "prometheus")
    assert find_tool("prometheus") == on_path


@pytest.mark.parametrize("place", ["unpacked", "unpacked/usr/bin", "unpacked/usr/bin/prometheus"])
def test_a_setting_may_name_a_program_its_folder_or_unpacked_packages(
    nothing: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    binary = program(nothing / "unpacked/usr/bin/prometheus")
    checker = program(nothing / "unpacked/usr/bin/promtool")
    program(nothing / "bin" / "prometheus")  # the setting comes first
    monkeypatch.setenv("TRITON_LAB_PROMETHEUS", str(nothing / place))
    assert find_tool("prometheus") == binary
    assert find_tool("promtool") == checker


def test_a_setting_may_name_a_program_of_any_name(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = program(nothing / "am-0.27")
    monkeypatch.setenv("TRITON_LAB_ALERTMANAGER", str(binary))
    assert find_tool("alertmanager") == binary
    with pytest.raises(MonitoringError, match="TRITON_LAB_ALERTMANAGER names no amtool"):
        find_tool("amtool")


@pytest.mark.parametrize("wrong", ["absent", "empty", "file"])
def test_a_setting_that_names_nothing_is_refused(
    nothing: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    (nothing / "empty").mkdir()
    (nothing / "file").write_text("not a program")
    program(nothing / "bin" / "prometheus")  # what is on PATH is not what was asked for
    monkeypatch.setenv("TRITON_LAB_PROMETHEUS", str(nothing / wrong))
    with pytest.raises(MonitoringError, match="TRITON_LAB_PROMETHEUS names no prometheus"):
        find_tool("prometheus")
    assert not tools.has_prometheus()


def package(folder: Path, name: str, *programs: str) -> None:
    """A small Debian package with programs that do nothing."""
    root = folder / f"{name}-root"
    for file in programs:
        program(root / "usr" / "bin" / file)
    (root / "DEBIAN").mkdir()
    fields = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n"
    (root / "DEBIAN" / "control").write_text(f"{fields}Description: none\n")
    command = ["dpkg-deb", "--build", str(root), str(folder / f"{name}_1_all.deb")]
    subprocess.run(command, check=True, capture_output=True, env={"PATH": os.defpath})


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="this system has no dpkg: nothing to unpack")
def test_packages_are_fetched_and_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt-get is a stand-in that copies packages made here; dpkg is the real one."""
    store = tmp_path / "store"
    store.mkdir()
    package(store, "prometheus", "prometheus", "promtool")
    package(store, "prometheus-alertmanager", "prometheus-alertmanager", "amtool")
    program(tmp_path / "bin" / "apt-get", f'echo "$@" >> {store}/calls; cp {store}/*.deb .')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}")
    monkeypatch.setenv("TRITON_LAB_CACHE", str(tmp_path / "cache"))
    for setting in set(tools.SETTINGS.values()):
        monkeypatch.delenv(setting, raising=False)

    assert tools.fetch() == tools.fetch() == tmp_path / "cache" / "monitoring"
    calls = (store / "calls").read_text()
    assert calls == "download --quiet=2 prometheus prometheus-alertmanager\n"
    for name in tools.SETTINGS:
        assert os.access(tools.packages_root() / "usr" / "bin" / tools._files(name)[-1], os.X_OK)
    done = fetch_by_command()
    assert done.returncode == 0
    assert str(find_tool("amtool")) in done.stdout
    left = {p.name for p in (tmp_path / "cache").iterdir()}
    assert left == {"monitoring", "monitoring.lock"}


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="this system has no dpkg: nothing to unpack")
@pytest.mark.parametrize("words", ["E: Unable to locate package prometheus", "only one package"])
def test_a_fetch_that_fails_says_why_and_leaves_nothing(
    nothing: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    package(nothing, "prometheus", "prometheus", "promtool")
    fails = words.startswith("E:")
    program(
        nothing / "apt" / "apt-get", f"echo '{words}' >&2; exit 100" if fails else f"cp {nothing}/*.deb ."
    )
    monkeypatch.setenv("PATH", f"{nothing / 'apt'}{os.pathsep}{os.defpath}")
    with pytest.raises(MonitoringError) as caught:
        packages.fetch_into(nothing / "cache" / "monitoring")
    assert (words if fails else "fetched 1 of 2 packages") in str(caught.value)
    assert {p.name for p in (nothing / "cache").iterdir()} <= {"monitoring.lock"}
    if fails and not tools._has("prometheus"):
        done = fetch_by_command()
        assert done.returncode == 1
        assert words in done.stderr


def test_without_apt_a_fetch_says_what_to_do(nothing: Path) -> None:
    with pytest.raises(MonitoringError, match=r"https://prometheus\.io/download"):
        tools.fetch()
    done = fetch_by_command()
    assert done.returncode == 1
    assert done.stderr.startswith("Debian's packages cannot be fetched here.\n")
    assert "Traceback" not in done.stderr


def unpacked(root: Path, content: bytes) -> Path:
    """What an unpacked package of the Alertmanager looks like."""
    binary = root / "usr" / "bin" / "prometheus-alertmanager"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(content)
    templates = root / "usr" / "share" / "prometheus" / "alertmanager"
    templates.mkdir(parents=True)
    (templates / "default.tmpl").write_text("")
    return binary


@pytest.mark.skipif(
    Path("/usr/share/prometheus/alertmanager/default.tmpl").exists(),
    reason="Debian's Alertmanager is installed here, so its templates are where it looks",
)
def test_an_unpacked_alertmanager_is_started_where_its_templates_are(nothing: Path) -> None:
    binary = unpacked(nothing / "root", b"\0/usr/share/prometheus/alertmanager\0/usr/share/dict\0")
    copy, folder = packages.relocated(binary)
    assert folder == nothing / "root"
    assert copy.read_bytes() == b"\0usr/share/prometheus/alertmanager/\0/usr/share/dict\0"
    assert os.access(copy, os.X_OK)
    assert binary.read_bytes().startswith(b"\0/usr")  # the package itself stays as it is
    assert packages.relocated(binary) == (copy, folder)


def test_other_builds_are_started_as_they_are(nothing: Path) -> None:
    upstream = program(nothing / "alertmanager-0.27" / "alertmanager")
    assert packages.relocated(upstream) == (upstream, None)
    inside = unpacked(nothing / "root", b"a build that has its templates inside")
    assert packages.relocated(inside) == (inside, None)

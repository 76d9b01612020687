"""The compose files as both Composes read them: ports, secrets, rights, images, and the GPU's reservation."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab_utils import paths
from lab_utils.monitoring.images import IMAGES
from lab_utils.stack import compose, settings
from lab_utils.stack.compose import Port, bind_mounts, published, with_dependencies
from lab_utils.stack.faults import StackError, StackFault

SERVICES = {"jupyter", "triton", "prometheus", "alertmanager", "grafana"}


def merged(gpu: bool = False, **variables: str) -> dict[str, Any]:
    """What compose makes of our files."""
    who = settings.Owner(1000, 1000)
    environment = {**settings.environment(who), **variables}
    return compose.find(settings.compose_files(gpu), environment).config()


@pytest.fixture(scope="module")
def config(compose_is_here: None) -> dict[str, Any]:
    return merged()


def test_every_port_is_on_loopback_and_has_a_variable(config: Mapping[str, Any]) -> None:
    assert set(config["services"]) == SERVICES
    ports = [port for service in config["services"].values() for port in published(service)]
    assert {port.inner for port in ports} == set(settings.PORT_VARIABLES)
    assert {port.host for port in ports} == {"127.0.0.1"}
    moved = merged(**{name: str(20000 + inner) for inner, name in settings.PORT_VARIABLES.items()})
    found = [port for service in moved["services"].values() for port in published(service)]
    assert all(port == Port("127.0.0.1", 20000 + port.inner, port.inner) for port in found)


def test_no_service_has_more_rights_than_it_needs(config: Mapping[str, Any]) -> None:
    for name, service in config["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service), name
        assert service["restart"] == "no", name
        for source, writable in bind_mounts(service):
            assert "docker.sock" not in str(source), name
            mine = source in (paths.work_dir(), Path(os.environ["TRITON_LAB_HOME"]) / "stack" / "targets")
            assert not writable or (name == "jupyter" and mine), source
    for name in ("triton", "prometheus", "alertmanager"):
        assert config["services"][name]["read_only"] is True
    for name in ("jupyter", "triton", "grafana"):
        assert config["services"][name]["user"].startswith("1000:")


def test_secrets_come_by_file_and_no_password_is_written_down(config: Mapping[str, Any]) -> None:
    assert set(config["secrets"]) == set(settings.SECRETS)
    for name, secret in config["secrets"].items():
        assert Path(secret["file"]) == settings.secrets_folder() / name
    for service in config["services"].values():
        for name, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|TOKEN|SECRET|KEY", name):
                assert str(value).startswith("/run/secrets/"), name
    grafana = config["services"]["grafana"]["environment"]
    assert grafana["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"
    assert grafana["GF_AUTH_ANONYMOUS_ENABLED"] == "false"


def test_every_image_has_a_version_and_a_variable(config: Mapping[str, Any]) -> None:
    images = {name: service["image"] for name, service in config["services"].items()}
    for image in images.values():
        assert re.search(r":v?\d+\.\d+[\w.-]*$", image), image
    # Lab 4 takes its programs out of the same images.
    assert {images["prometheus"], images["alertmanager"]} == set(IMAGES)
    variables = ("JUPYTER", "PROMETHEUS", "ALERTMANAGER", "GRAFANA", "STACK")
    other = merged(**{f"TRITON_LAB_{v}_IMAGE": f"mine/{v.lower()}:1" for v in variables if v != "STACK"},
                   TRITON_LAB_STACK_IMAGE="mine/triton:1")  # fmt: skip
    assert {s["image"] for s in other["services"].values()} == {
        *(f"mine/{v.lower()}:1" for v in variables if v != "STACK"),
        "mine/triton:1",
    }


def test_every_service_is_watched_and_what_it_mounts_is_here(config: Mapping[str, Any]) -> None:
    for name, service in config["services"].items():
        if name != "jupyter":  # its image brings the check
            assert service["healthcheck"]["test"][0] == "CMD", name
        for source, _ in bind_mounts(service):
            if paths.project_root() / "docker" in source.parents:
                assert source.is_dir(), source
    depends = {name: service.get("depends_on") for name, service in config["services"].items()}
    assert depends["grafana"] == {"prometheus": {"condition": "service_healthy"}}
    assert depends["prometheus"] == {
        "alertmanager": {"condition": "service_healthy"},
        "triton": {"condition": "service_started"},  # else Prometheus would call it down for ever
    }
    assert with_dependencies(config, ["grafana"]) == ["alertmanager", "grafana", "prometheus", "triton"]
    with pytest.raises(StackError) as caught:
        with_dependencies(config, ["jupiter"])
    assert caught.value.fault is StackFault.SERVICE_UNKNOWN
    assert "`jupiter`" in caught.value.what
    assert "jupyter" in caught.value.fix


def test_the_gpu_is_reserved_only_when_it_is_asked_for(config: Mapping[str, Any]) -> None:
    assert "deploy" not in config["services"]["triton"]
    with_gpu = merged(gpu=True)
    triton = with_gpu["services"]["triton"]
    (device,) = triton["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]
    assert str(device["count"]) in ("all", "-1")
    assert triton["image"] == "triton-lab/triton:24.10"
    assert triton["build"]["dockerfile"] == "docker/Dockerfile.triton"
    assert triton["build"]["args"]["BASE"] == "nvcr.io/nvidia/tritonserver:24.10-py3"
    # Everything else is as without: the same command line, the same rights.
    for key in ("command", "ports", "volumes", "cap_drop", "user"):
        assert triton[key] == config["services"]["triton"][key]


def test_a_build_gets_packages_from_where_you_say(config: Mapping[str, Any]) -> None:
    assert config["services"]["jupyter"]["build"]["args"]["WHEELS"] == "scratch"
    mine = merged(True, TRITON_LAB_WHEELS="mine/wheels:1", PIP_INDEX_URL="https://wheels.example/simple")
    for name in ("jupyter", "triton"):
        args = mine["services"][name]["build"]["args"]
        assert (args["WHEELS"], args["PIP_INDEX_URL"]) == ("mine/wheels:1", "https://wheels.example/simple")


def test_a_file_that_compose_refuses_is_named(compose_is_here: None, tmp_path: Path) -> None:
    wrong = tmp_path / "mine.yaml"
    wrong.write_text("services: {triton: {imagine: x}}\n")
    program = compose.find(settings.compose_files(more=(wrong,)), settings.environment(settings.owner()))
    with pytest.raises(StackError) as caught:
        program.config()
    assert caught.value.fault is StackFault.BAD_FILE
    assert "mine.yaml" in caught.value.what
    assert "imagine" in caught.value.details


# --- which Compose ------------------------------------------------------------------------------


def program(folder: Path, name: str, version: str) -> None:
    """A program that says its version; `docker` does so for its plugin."""
    file = folder / name
    file.write_text(f'#!/bin/sh\ncase "$*" in *version*) echo {version};; *) exit 1;; esac\n')
    file.chmod(0o755)


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({"docker-compose": "1.29.2"}, ("docker-compose", "1.29.2")),
        ({"docker-compose": "1.29.2", "docker": "v2.29.7"}, ("docker compose", "v2.29.7")),
        ({"docker": "5.0.1"}, ("docker compose", "5.0.1")),
        ({"docker-compose": "2.5.0", "docker": "nonsense"}, ("docker-compose", "2.5.0")),
    ],
)
def test_the_plugin_comes_first(tmp_path: Path, there: dict[str, str], expected: tuple[str, str]) -> None:
    for name, version in there.items():
        program(tmp_path, name, version)
    found = compose.find((), {"PATH": str(tmp_path)})
    assert (" ".join(found.program), found.version) == expected


def test_without_compose_the_message_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(StackError) as caught:
        compose.find((), {"PATH": str(tmp_path)})
    assert caught.value.fault is StackFault.NO_COMPOSE
    assert "docker-compose-plugin" in caught.value.fix
    program(tmp_path, "docker-compose", "1.25.0")
    with pytest.raises(StackError) as caught:
        compose.find((), {"PATH": str(tmp_path)})
    assert "docker-compose 1.25.0" in caught.value.why
    assert "1.29" in caught.value.why


def test_the_plugin_is_called_as_docker_calls_it(
    compose_is_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docker's own door for plugins, with docker-compose 1.29 behind it: there was no plugin to try."""
    if shutil.which("docker") is None:
        pytest.skip("no docker command: apt install docker.io (it calls plugins)")
    folder = tmp_path / "cli-plugins"
    folder.mkdir()
    plugin = folder / "docker-compose"
    plugin.write_text(
        '#!/bin/sh\nif [ "$1" = docker-cli-plugin-metadata ]; then\n'
        '  echo \'{"SchemaVersion":"0.1.0","Vendor":"test","Version":"1.29.2"}\'; exit 0\nfi\n'
        f'shift\nexec {shutil.which("docker-compose")} "$@"\n'
    )
    plugin.chmod(0o755)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    found = compose.find(settings.compose_files(True), settings.environment(settings.Owner(1000, 1000)))
    assert found.program == ("docker", "compose")
    assert found.config() == merged(gpu=True)


def test_both_forms_of_ports_and_mounts_are_read() -> None:
    """1.29 prints ports as text, the plugin as mappings."""
    long = {"mode": "ingress", "host_ip": "127.0.0.1", "target": 8000, "published": "8000", "protocol": "tcp"}
    expected = [Port("127.0.0.1", 8000, 8000)]
    assert published({"ports": [long]}) == published({"ports": ["127.0.0.1:8000:8000/tcp"]}) == expected
    assert published({"ports": ["8000:8000"]}) == [Port("", 8000, 8000)]
    assert published({"ports": ["8000", {"target": 9}]}) == []
    assert published({"ports": ["::1:80:81"]}) == [Port("::1", 80, 81)]
    mounts = ["/a:/b:ro", "/c:/d:rw", "/e:/f", "volume:/g", {"type": "volume", "source": "v", "target": "/h"},
              {"type": "bind", "source": "/i", "target": "/j", "read_only": True}]  # fmt: skip
    found = {str(path): writable for path, writable in bind_mounts({"volumes": mounts})}
    assert found == {"/a": False, "/c": True, "/e": True, "/i": False}


def test_the_project_name_is_one_that_compose_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    for user in ("me", "Anna.Müller", "DOMAIN\\user", "a b"):
        monkeypatch.setenv("LOGNAME", user)
        assert re.fullmatch(r"triton-lab-[a-z0-9_-]+-stack", settings.project_name())


def test_who_the_containers_run_as(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert settings.owner() == settings.Owner(1000, 1000)
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "77")
    assert settings.owner() == settings.Owner(1234, 77)
    monkeypatch.setattr(os, "getuid", lambda: 1001)
    monkeypatch.setattr(os, "getgid", lambda: 1002)
    assert settings.owner() == settings.Owner(1001, 1002)
    assert settings.owner(mapped=True) == settings.Owner(0, 0)


def test_the_page_names_every_variable_and_every_image() -> None:
    folder = paths.project_root() / "docker"
    text = (folder / "compose.yaml").read_text() + (folder / "gpu.yaml").read_text()
    page = (paths.project_root() / "docs" / "stack.md").read_text()
    # Filled in by `up` itself; the part "By hand" says which of them one sets.
    own = {"COMPOSE_PROJECT_NAME", *(f"TRITON_LAB_STACK_{n}" for n in ("HOME", "OPTIONS", "REPOSITORY"))}
    wanted = set(re.findall(r"\$\{(\w+)", text)) | set(re.findall(r"^\s+(PIP_\w+):", text, re.MULTILINE))
    assert {name for name in wanted - own if name not in page} == set()
    assert {
        image for image in re.findall(r"image: \$\{\w+:-([^}]+)\}", text) if f"`{image}`" not in page
    } == set()

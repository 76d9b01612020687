"""The printed `docker run` line is the container that runs; settings and options are checked by name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab_utils.server import docker_launch
from lab_utils.server.base import Lifetime, ServerError
from lab_utils.server.docker import DockerServer
from lab_utils.server.docker_line import as_text, size_in_bytes
from lab_utils.server.docker_settings import DEFAULT_IMAGE, DockerSettings

needs_cli = pytest.mark.skipif(shutil.which("docker") is None, reason="the docker command is not installed")


def shell(command: str) -> str:
    """What a shell prints for a command line, typed as it stands."""
    answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def configuration(container: Any) -> dict[str, Any]:
    """All that the engine knows about how a container was made, without what is empty."""
    flat = {"Name": container.attrs["Name"]}
    for part in ("Config", "HostConfig"):
        flat |= {f"{part}.{key}": value for key, value in container.attrs[part].items() if value}
    del flat["Config.Hostname"]  # the container's id, which is always another one
    for key in ("Config.AttachStdout", "Config.AttachStderr"):
        flat.pop(key, None)  # not of the container but of the command: `docker create` asks for them
    # The SDK declares each mount point as a volume as well; the mount takes its place, so nothing differs.
    flat.pop("Config.Volumes", None)
    for request in flat.get("HostConfig.DeviceRequests", []):
        for key in [k for k, value in request.items() if not value]:
            del request[key]
    flat["HostConfig.Binds"] = sorted(flat["HostConfig.Binds"])
    return flat


def differences(typed: dict[str, Any], ours: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Where the two differ: typed by hand against made through the SDK."""
    keys = sorted({*typed, *ours})
    return {k: (typed.get(k), ours.get(k)) for k in keys if typed.get(k) != ours.get(k)}


@needs_cli
def test_the_printed_line_starts_the_same_container(
    empty_repository: Path, settings: Path, client: Any
) -> None:
    options = ["--model-control-mode=explicit", "--strict-readiness", "true"]
    server = DockerServer(empty_repository, name="line", options=options, shm_size="256m").start()
    try:
        ours = configuration(client.containers.get(server.container_id))
        full, taught = server.run_line(labels=True), server.run_line()
    finally:
        server.stop(timeout=0)
    for text in (full, taught):
        container = client.containers.get(shell(text))
        try:
            typed = configuration(container)
            running = container.status
        finally:
            container.remove(force=True)
        assert running == "running"
        if text is taught:
            assert "label" not in text
            typed["Config.Labels"] = ours["Config.Labels"]
        assert differences(typed, ours) == {}
    # And the comparison sees a difference when there is one.
    container = client.containers.get(
        shell(full.replace("size=256m", "size=257m").replace("run -d", "create"))
    )
    try:
        assert list(differences(configuration(container), ours)) == ["HostConfig.ShmSize"]
    finally:
        container.remove(force=True)


@needs_cli
@pytest.mark.parametrize("gpu", ["all", "2", "device=0", "device=0,1"])
@pytest.mark.parametrize("ipc", ["", "host"])
def test_rare_settings_make_the_same_container_both_ways(
    empty_repository: Path, settings: Path, client: Any, gpu: str, ipc: str
) -> None:
    chosen = DockerSettings.from_environment()
    chosen = DockerSettings(
        image=chosen.image, gpu=gpu, ipc=ipc, memory="64m", ulimits=(("memlock", -1), ("stack", 67108864))
    )
    spec = docker_launch.make_spec(
        "rare",
        empty_repository,
        ["--log-verbose=1"],
        lifetime=Lifetime.SESSION,
        settings=chosen,
        host_ports=(18000, 18001, 18002),
        writable=True,
        owner="1:1",
    )
    made = client.containers.create(**spec.sdk_arguments())
    made.reload()
    ours = configuration(made)
    made.remove()
    line = as_text(spec.run_line(labels=True)).replace("docker run -d", "docker create", 1)
    made = client.containers.get(shell(line))
    typed = configuration(made)
    made.remove()
    assert differences(typed, ours) == {}
    assert typed["HostConfig.DeviceRequests"][0]["Capabilities"] == [["gpu"]]
    assert typed["HostConfig.Memory"] == 64 << 20
    assert typed["HostConfig.IpcMode"] == (ipc or "private")


def test_the_default_line_is_nvidias(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IMAGE", "MOUNTS", "GPU"):
        monkeypatch.delenv(f"TRITON_LAB_{name}", raising=False)
    server = DockerServer(tmp_path, name="lab01", gpu=True, ports=(8000, 8001, 8002))
    text = server.run_line()
    assert text.startswith("docker run -d --name triton-lab-")
    for part in (
        "--gpus all",
        "--shm-size=1g",
        "--ulimit memlock=-1 --ulimit stack=67108864",
        "-p 127.0.0.1:8000:8000",
        "-p 127.0.0.1:8002:8002",
        f"-v {tmp_path}:/models:ro",
        DEFAULT_IMAGE,
        "tritonserver --model-repository=/models",
    ):
        assert part in text
    assert "--exit-timeout-secs=5" in text


def test_ports_given_as_options_are_the_ports_on_this_machine(tmp_path: Path) -> None:
    server = DockerServer(tmp_path, name="ports", options=["--http-port=19000", "--metrics-port", "19002"])
    assert server.endpoints.http == "127.0.0.1:19000"
    assert server.endpoints.metrics == "127.0.0.1:19002"
    assert "-p 127.0.0.1:19000:19000" in server.run_line()
    assert ":8001 " in server.run_line()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--strict-readyness=true", "Did you mean `--strict-readiness`?"),
        ("--http-address=127.0.0.1", "`--http-address=127.0.0.1` cannot be given for a container"),
        ("--model-repository=/tmp", "Give the folder as `repository`"),
        ("--log-verbose", "`--log-verbose` needs a value"),
    ],
)
def test_options_are_refused_by_name(tmp_path: Path, option: str, words: str) -> None:
    with pytest.raises(ServerError) as caught:
        DockerServer(tmp_path, name="refused", options=[option]).run_line()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SHM_SIZE", "lots", "`lots` is not a size"),
        ("MEMORY", "0", "`0` is not a size"),
        ("IPC", "private", "TRITON_LAB_IPC is `private`"),
        ("GPU", "yes", "TRITON_LAB_GPU is `yes`"),
        ("ULIMITS", "memlock", "TRITON_LAB_ULIMITS is `memlock`"),
        ("MOUNTS", "/usr", "TRITON_LAB_MOUNTS holds `/usr`"),
        ("MOUNTS", "/not/there:/x", "names `/not/there`, which is not there"),
    ],
)
def test_settings_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"TRITON_LAB_{variable}", value)
    with pytest.raises(ServerError) as caught:
        DockerServer(tmp_path, name="settings")
    assert words in str(caught.value)


def test_settings_of_the_environment_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "IMAGE": "mine:1", "GPU": "device=1", "SHM_SIZE": "2g", "MEMORY": "3g", "ULIMITS": "stack=5",
        "MOUNTS": f"{tmp_path}:/extra:rw",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"TRITON_LAB_{name}", value)
    text = DockerServer(tmp_path, name="used").run_line()
    for part in (
        "mine:1",
        "device=1",
        "--shm-size=2g",
        "--memory=3g",
        "--ulimit stack=5",
        f"{tmp_path}:/extra",
    ):
        assert part in text
    assert "memlock" not in text
    assert f"{tmp_path}:/extra:ro" not in text


def test_sizes_are_docker_sizes() -> None:
    assert [size_in_bytes(s) for s in ("64m", "1g", "1024", "2KB", "7b")] == [
        64 << 20,
        1 << 30,
        1024,
        2048,
        7,
    ]


def test_a_path_with_a_colon_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a:b"
    folder.mkdir()
    with pytest.raises(ServerError, match="a:b` cannot be mounted"):
        DockerServer(folder, name="colon").run_line()

"""A student with an engine and images, and the compose file that fills the empty test images."""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab_utils.monitoring import tools
from lab_utils.monitoring.packages import relocated
from lab_utils.paths import project_root
from lab_utils.stack.run import down
from lab_utils.stack.wish import Wish
from tests.docker.conftest import client, empty_repository, engine, in_network, repository
from tests.docker.real_engine import IMAGE, import_image, triton_mounts

__all__ = ["client", "empty_repository", "engine", "in_network", "repository"]
PROMETHEUS, ALERTMANAGER = "triton-lab-test-prometheus:1", "triton-lab-test-alertmanager:1"
PROJECT = str(project_root())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and "client" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="session")
def compose_is_here() -> None:
    """SKIP where no Compose can be had."""
    if shutil.which("docker-compose") is None:
        pytest.skip("no docker-compose: apt install --no-install-recommends docker-compose")


def program_image(
    client: Any, tag: str, programs: dict[str, Path], files: dict[str, bytes], start: str
) -> None:
    """An image with real programs in /bin, as the official ones have them; their libraries are mounted."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("usr", "bin", "etc", "tmp", "proc", "sys", "dev", "targets", start.rpartition("/")[2]):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        for name in ("lib", "lib64"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(link)
        for name, path in programs.items():
            files = {**files, f"bin/{name}": path.read_bytes()}
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    repository, _, version = tag.partition(":")
    name = start.rpartition("/")[2]
    changes = [f'ENTRYPOINT ["{start}"]', f"WORKDIR /{name}"]
    client.api.import_image_from_data(buffer.getvalue(), repository=repository, tag=version, changes=changes)


@pytest.fixture(scope="package")
def images(
    client: Any, compose_is_here: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """All images are in the engine; returns the mounts that fill those of Triton and JupyterLab."""
    for name in tools.SETTINGS:
        try:
            tools.find_tool(name)
        except tools.MonitoringError as missing:
            pytest.skip(f"no {name}: {missing.fix}")
    cache = tmp_path_factory.mktemp("caches")
    environment, text = triton_mounts(cache)
    import_image(client, environment)
    found = {name: tools.find_tool(name).resolve() for name in tools.SETTINGS}
    program_image(
        client,
        PROMETHEUS,
        {name: found[name] for name in ("prometheus", "promtool")},
        {},
        "/bin/prometheus",
    )
    alertmanager, root = relocated(found["alertmanager"])
    templates = (root or Path("/")) / "usr/share/prometheus/alertmanager"
    program_image(
        client,
        ALERTMANAGER,
        {"alertmanager": alertmanager, "amtool": found["amtool"]},
        # Debian's program reads it from its working folder, which the official image calls /alertmanager.
        {
            f"start/usr/share/prometheus/alertmanager/{t.name}": t.read_bytes()
            for t in templates.glob("*.tmpl")
        },
        "/bin/alertmanager",
    )
    triton = [f"{bind}:ro" for bind in text.split(",")]
    return {"triton": triton, "jupyter": [*triton, f"{PROJECT}:{PROJECT}:ro"]}


@pytest.fixture(scope="package")
def override(images: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compose file that fills the empty test images with what this machine has."""
    image = f"{PROJECT}/docker/image"
    services: dict[str, dict[str, Any]] = {
        "triton": {"volumes": images["triton"]},
        "prometheus": {"volumes": ["/usr:/usr:ro"]},
        "alertmanager": {"volumes": ["/usr:/usr:ro"], "working_dir": "/start"},
        "jupyter": {
            "volumes": [
                *images["jupyter"],
                f"{image}/jupyter_server_config.py:/etc/jupyter/jupyter_server_config.py:ro",
            ],
            "environment": {
                "HOME": "/tmp",
                "TRITON_LAB_WORK": "/home/user/work",
                "PATH": f"{sys.prefix}/bin:{image}:/usr/local/bin:/usr/bin:/bin",
                "PYTHONPATH": PROJECT,
            },
            "command": ["lab-entry", "start-lab", "--ip=0.0.0.0", "--port=8888", "--no-browser"],
            "healthcheck": {
                "test": ["CMD", "curl", "-fsS", "http://127.0.0.1:8888/api"],
                "interval": "2s",
                "retries": 30,
            },
        },
    }
    for service in ("triton", "prometheus", "alertmanager"):
        services[service]["healthcheck"] = {"interval": "1s"}
    file = tmp_path_factory.mktemp("compose") / "override.yaml"
    file.write_text(yaml.safe_dump({"services": services}))
    return file


@pytest.fixture
def student(
    in_network: None, images: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Path]:
    """The environment of a student who uses the test images; returns the folder of state and work."""
    for name in ("IMAGE", "GPU", "SHM_SIZE", "IPC", "MEMORY", "ULIMITS", "MOUNTS", "RUNTIME", "SHARED_HOST"):
        monkeypatch.delenv(f"TRITON_LAB_{name}", raising=False)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("TRITON_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRITON_LAB_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("TRITON_LAB_STACK_IMAGE", IMAGE)
    monkeypatch.setenv("TRITON_LAB_JUPYTER_IMAGE", IMAGE)
    monkeypatch.setenv("TRITON_LAB_PROMETHEUS_IMAGE", PROMETHEUS)
    monkeypatch.setenv("TRITON_LAB_ALERTMANAGER_IMAGE", ALERTMANAGER)
    yield tmp_path
    down()


@pytest.fixture
def wish(override: Path, repository: Path, tmp_path: Path) -> Callable[..., Wish]:
    """A wish for some services on a small repository, with the mounts of the test images."""
    for folder in (repository, *repository.parents[:1]):
        folder.chmod(0o755)

    def make(*services: str, more: dict[str, Any] | None = None, **given: Any) -> Wish:
        files = [override]
        if more is not None:
            extra = tmp_path / "more.yaml"
            extra.write_text(yaml.safe_dump({"services": more}))
            files.append(extra)
        options = "--model-control-mode=explicit --load-model=*"
        return Wish(
            **{
                "services": services,
                "files": tuple(files),
                "repository": repository,
                "options": options,
                "timeout": 60.0,
                **given,
            }
        )

    return make

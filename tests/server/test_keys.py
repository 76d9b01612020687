"""Where users share a machine: without its key nobody loads models into a server, or makes it write files."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.grpc.aio as grpcaio
import tritonclient.http as httpclient
import tritonclient.http.aio as httpaio
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

from lab_utils import server as triton
from lab_utils.checks.asking import post
from lab_utils.progress.probes import http_get
from lab_utils.progress.recorder import Recorder
from lab_utils.server import Server, ServerError, key_clients, keys, probe, records
from tests.server.conftest import MODEL, add_model

pytestmark = pytest.mark.live
Start = Callable[..., Server]
EXPLICIT = ("--disable-auto-complete-config", "--exit-timeout-secs=1", "--model-control-mode=explicit",
            "--load-model=double")  # fmt: skip
# What another user would try: a model that writes a file as the server's user.
ATTACK = "from pathlib import Path\nPath({mark!r}).touch()\n" + MODEL


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that several users share."""
    monkeypatch.setenv(keys.SHARED_HOST_VARIABLE, "1")


@pytest.fixture
def plain_clients() -> Iterator[None]:
    """Clients as they are in a process that does not know the course: another user's."""
    classes = [module.InferenceServerClient for module in (httpclient, httpaio, grpcclient, grpcaio)]
    key_clients.install()
    before = [one.__init__ for one in classes]
    for one in classes:
        one.__init__ = one.__init__.__wrapped__
    yield
    for one, made in zip(classes, before, strict=True):
        one.__init__ = made


def files(mark: Path) -> dict[str, bytes]:
    return {"file:1/model.py": ATTACK.format(mark=str(mark)).encode()}


CLOSED: list[Callable[[Any], Any]] = [
    lambda c: c.get_model_repository_index(),
    lambda c: c.load_model("double"),
    lambda c: c.unload_model("double"),
    lambda c: c.register_system_shared_memory("mine", "/mine", 64),
    lambda c: c.get_system_shared_memory_status(),
    lambda c: c.unregister_system_shared_memory(),
    lambda c: c.get_cuda_shared_memory_status(),
    lambda c: c.unregister_cuda_shared_memory(),
    lambda c: c.get_trace_settings(),
    lambda c: c.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}),
    lambda c: c.update_trace_settings("double", {"trace_rate": "1"}),
    lambda c: c.get_log_settings(),
    lambda c: c.update_log_settings({"log_verbose_level": 1}),
]


@pytest.mark.usefixtures("shared", "plain_clients")
def test_without_the_key_nothing_is_loaded_registered_traced_or_logged(
    start: Start, repository: Path, tmp_path: Path
) -> None:
    server = start(repository, options=EXPLICIT, wait_for=["double"])
    config = (repository / "double" / "config.pbtxt").read_text()
    described = '{"backend": "python", "max_batch_size": 8}'
    mark = tmp_path / "written-by-the-attack"
    with (
        httpclient.InferenceServerClient(server.endpoints.http) as over_http,
        grpcclient.InferenceServerClient(server.endpoints.grpc) as over_grpc,
    ):
        for client, word, header in (
            (over_http, "This API is restricted", "'triton-lab-key'"),
            (over_grpc, "This protocol is restricted", "'triton-grpc-protocol-triton-lab-key'"),
        ):
            attack = lambda c: c.load_model("evil", config=described, files=files(mark))  # noqa: E731
            for call in [*CLOSED, attack]:
                for wrong in (None, "guess"):
                    client._plugin = key_clients.ServerKey(keys.headers(wrong)) if wrong else None
                    with pytest.raises(InferenceServerException) as caught:
                        call(client)
                    assert word in str(caught.value)
                    assert header in str(caught.value)
        # What is open stays open: nobody is harmed by it.
        over_http._plugin = over_grpc._plugin = None
        for client, module in ((over_http, httpclient), (over_grpc, grpcclient)):
            assert client.is_server_ready()
            assert client.get_model_config("double")
            assert client.get_inference_statistics("double")
            x = module.InferInput("x", [1, 4], "FP32")
            x.set_data_from_numpy(np.ones((1, 4), np.float32))
            answer = client.infer("double", [x]).as_numpy("y")
            np.testing.assert_array_equal(answer, np.full((1, 4), 2, np.float32))
    refused = httpx.post(f"{server.endpoints.http_url}/v2/repository/models/double/load")
    assert refused.status_code == 403
    assert not mark.exists()
    assert (repository / "double" / "config.pbtxt").read_text() == config


@pytest.mark.usefixtures("shared", "plain_clients")
def test_with_the_key_all_of_it_works(start: Start, repository: Path, tmp_path: Path) -> None:
    server = start(repository, options=EXPLICIT, wait_for=["double"])
    headers = server.headers
    assert set(headers) == {"triton-lab-key", "triton-grpc-protocol-triton-lab-key"}
    tensors = {
        kind: [{"name": name, "data_type": "TYPE_FP32", "dims": [4]}]
        for kind, name in (("input", "x"), ("output", "y"))
    }
    described = json.dumps({"backend": "python", "max_batch_size": 8, **tensors})
    region = shm.create_shared_memory_region("mine", f"/tlkeys{os.getpid()}", 64)
    try:
        for module, address in ((httpclient, server.endpoints.http), (grpcclient, server.endpoints.grpc)):
            with module.InferenceServerClient(address) as client:
                client.load_model("double", headers=headers)
                assert client.get_model_repository_index(headers=headers)
                client.register_system_shared_memory("mine", f"/tlkeys{os.getpid()}", 64, headers=headers)
                client.unregister_system_shared_memory("mine", headers=headers)
                assert client.get_trace_settings(headers=headers)
                assert client.update_log_settings({"log_verbose_level": 0}, headers=headers)
                mark = tmp_path / module.__name__
                name = "evil_" + module.__name__[-4:]
                client.load_model(name, headers=headers, config=described, files=files(mark))
                assert mark.exists(), "the proof that the attack of the other test is one"
    finally:
        shm.destroy_shared_memory_region(region)


@pytest.mark.usefixtures("shared")
def test_the_key_can_be_read_by_its_owner_alone(start: Start, repository: Path) -> None:
    server = start(repository, options=EXPLICIT)
    record = triton.record(server.name)
    assert record is not None
    key = server.headers[keys.HEADER]
    assert len(key) >= 32
    assert server.pid is not None
    line = Path(f"/proc/{server.pid}/cmdline").read_text().split("\0")
    closed = "model-repository,shared-memory,trace,logging:triton-lab-key=not-shown"
    assert line[-3:-1] == [f"--http-restricted-api={closed}", f"--grpc-restricted-protocol={closed}"]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                assert key.encode() not in (entry / "cmdline").read_bytes()
            except OSError:  # it ended meanwhile
                continue
    assert stat.S_IMODE(records.path_of(server.name).stat().st_mode) == 0o600
    assert key not in server.logs()
    assert key not in repr(record)
    if os.geteuid() == 0:  # then another user can be asked
        records.folder().parent.chmod(0o755)
        for place in (f"/proc/{server.pid}/environ", records.path_of(server.name)):
            answer = subprocess.run(["cat", place], user=65534, capture_output=True, text=True, check=False)
            assert answer.returncode != 0
            assert "Permission denied" in answer.stderr


def test_every_start_has_a_key_of_its_own(
    start: Start, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(repository, options=EXPLICIT)
    assert server.headers == {}
    assert httpx.post(f"{server.endpoints.http_url}/v2/repository/index").status_code == 200
    # A server that was started open is not taken over where it should be closed.
    monkeypatch.setenv(keys.SHARED_HOST_VARIABLE, "1")
    closed = start(repository, options=EXPLICIT, name=server.name)
    assert not server.alive() or server.pid == closed.pid
    assert httpx.post(f"{closed.endpoints.http_url}/v2/repository/index").status_code == 403
    # A second kernel finds it, with its key, whatever its own environment says.
    monkeypatch.delenv(keys.SHARED_HOST_VARIABLE)
    again = start(repository, options=EXPLICIT, name=server.name)
    assert again.pid == closed.pid
    assert again.headers == closed.headers
    found = triton.find(server.name)
    assert found is not None
    assert found.headers == closed.headers
    closed.stop()
    monkeypatch.setenv(keys.SHARED_HOST_VARIABLE, "1")
    assert start(repository, options=EXPLICIT, name=server.name).headers != closed.headers


@pytest.mark.usefixtures("shared")
def test_the_clients_of_this_process_send_it_by_themselves(start: Start, repository: Path) -> None:
    server = start(repository, options=EXPLICIT, wait_for=["double"])
    at = server.endpoints
    with httpclient.InferenceServerClient(at.http) as client:
        client.load_model("double")
        assert repr(client.plugin()).startswith("ServerKey(triton-lab-key")
    with grpcclient.InferenceServerClient(url=at.grpc) as other:
        other.load_model("double")

    async def ask() -> None:
        async with (
            httpaio.InferenceServerClient(at.http) as one,
            grpcaio.InferenceServerClient(at.grpc) as two,
        ):
            await one.load_model("double")
            await two.load_model("double")

    asyncio.run(ask())
    # Through the proxy with which a check listens to a student's function, too; and nowhere else.
    with Recorder(at.http) as recorder:
        with httpclient.InferenceServerClient(recorder.address) as client:
            client.unload_model("double")
        assert post(recorder.address, "/v2/repository/models/double/load").status_code == 200
        address = recorder.address
    with httpclient.InferenceServerClient(address) as client:
        assert client.plugin() is None


@pytest.mark.usefixtures("shared")
def test_the_course_itself_has_the_key(start: Start, repository: Path) -> None:
    add_model(repository, "broken", config='backend: "python"\nmax_batch: 8\n')
    server = start(repository, wait_for=["double"])
    with pytest.raises(ServerError, match="max_batch"):
        server.wait_ready("broken", timeout=20)
    assert {entry["name"] for entry in probe.repository_index(server.endpoints)} >= {"double"}
    assert http_get(server.endpoints.http, "/v2/systemsharedmemory/status").status_code == 200
    assert triton.stub_faults(server) == []


@pytest.mark.usefixtures("shared")
def test_an_api_that_the_student_closed_stays_the_students(start: Start, repository: Path) -> None:
    options = (*EXPLICIT, "--http-restricted-api=model-repository,health:mine=secret")
    server = start(repository, options=options)
    url = f"{server.endpoints.http_url}/v2/repository/index"
    assert httpx.post(url, headers=server.headers).status_code == 403
    assert httpx.post(url, headers={"mine": "secret"}).status_code == 200
    logging = f"{server.endpoints.http_url}/v2/logging"
    assert httpx.get(logging).status_code == 403
    assert httpx.get(logging, headers=server.headers).status_code == 200

"""The whole Triton images: layout, health, users, the Llama. Authors only (TRITON_LAB_IMAGES=all)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton_http

from lab_utils import server as triton
from lab_utils.models.digits import load_digits, to_bytes
from lab_utils.progress.repository import copy_models
from tests.docker.images.build import GPU, whole_images
from tests.docker.images.containers import container, inside, published, run, until_healthy

pytestmark = [whole_images, pytest.mark.slow, pytest.mark.timeout(2400), pytest.mark.usefixtures("settings")]
EXAMPLES = [
    "mnist_mlp",
    "digits_preprocess",
    "digits_pipeline",
    "digits_bls",
    "digits_vote",
    "timed",
    "digits_cnn",
]
QUESTION = {"text_input": "What is Triton?", "max_tokens": 12, "stream": False, "seed": 1}


def answers(url: str) -> np.ndarray:
    """The scores of twelve pictures by an ensemble, float32 `[12, 10]`."""
    pictures = to_bytes(load_digits()[0][:12])
    with triton_http.InferenceServerClient(url, network_timeout=60) as asked:
        tensor = triton_http.InferInput("image", list(pictures.shape), "UINT8")
        tensor.set_data_from_numpy(pictures)
        found: np.ndarray = asked.infer("digits_pipeline", [tensor]).as_numpy("scores")
    return found


def repository(folder: Path, models: list[str]) -> Path:
    copy_models(models, folder / "lab" / "model_repository")
    return folder / "lab" / "model_repository"


def test_it_serves_what_the_embedded_server_serves(
    cpu_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_LAB_IMAGE", cpu_image)
    monkeypatch.delenv("TRITON_LAB_MOUNTS")
    place, found = repository(tmp_path, EXAMPLES), {}
    for runtime in ("embedded", "docker"):
        server = triton.start(
            place, name=f"image-{runtime}", runtime=runtime, lifetime="kernel", wait_for=EXAMPLES, timeout=120
        )
        try:
            facts = httpx.get(f"{server.endpoints.http_url}/v2").json()
            found[runtime] = (facts, answers(server.endpoints.http))
        finally:
            server.stop()
    assert found["docker"][0] == found["embedded"][0]
    np.testing.assert_array_equal(found["docker"][1], found["embedded"][1])


@pytest.mark.parametrize("user", [None, "4321:4321"], ids=["the image's user", "another user"])
def test_it_is_healthy_with_a_read_only_root_and_no_capability(
    client: Any, cpu_image: str, tmp_path: Path, user: str | None
) -> None:
    place = repository(tmp_path, ["mnist_mlp", "timed"])
    port, opened = published(9000)
    with container(
        client,
        cpu_image,
        ["tritonserver", "--model-repository=/models", "--http-port=9000"],
        volumes=[f"{place}:/models:ro"],
        environment={"TRITON_LAB_HTTP_PORT": "9000"},
        read_only=True,
        tmpfs={"/tmp": ""},
        cap_drop=["ALL"],
        shm_size="256m",
        **opened,
        **({"user": user} if user else {}),
    ) as made:
        until_healthy(made)
        assert httpx.get(f"http://127.0.0.1:{port}/v2/models/timed/ready").status_code == 200
        assert inside(made, "id", "-u")[1].strip() == (user or "1000:").split(":")[0]
        made.stop(timeout=40)
        made.reload()
        assert made.attrs["State"]["ExitCode"] == 0


def test_the_layout_is_that_of_nvidias_image(client: Any, cpu_image: str) -> None:
    look = (
        "cd /opt/tritonserver && test -x bin/tritonserver && test -d caches/local"
        " && test -f backends/python/triton_python_backend_stub && test -f backends/onnxruntime/model.py"
        " && test -f backends/pytorch/model.py && test -w . ; echo writable: $?; pwd; which tritonserver curl"
    )
    code, text = run(client, cpu_image, ["sh", "-c", look])
    assert code == 0, text
    assert text.split() == [
        "writable:",
        "1",
        "/opt/tritonserver",
        "/opt/tritonserver/bin/tritonserver",
        "/usr/bin/curl",
    ]


def llama(client: Any, image: str, place: Path) -> dict[str, Any]:
    """What the model `llama` answers in a container of an image."""
    port, opened = published(8000)
    command = ["tritonserver", "--model-repository=/models"]
    with container(client, image, command, volumes=[f"{place}:/models:ro"], shm_size="1g", **opened) as made:
        until_healthy(made, 180)
        answer = httpx.post(f"http://127.0.0.1:{port}/v2/models/llama/generate", json=QUESTION, timeout=60)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
    return found


def test_the_llama_answers_alike_in_both_images(
    client: Any, cpu_image: str, gpu_image: str, tmp_path: Path
) -> None:
    """`Dockerfile.triton` on a Triton without PyTorch. NVIDIA's own base cannot be had where this runs."""
    place = repository(tmp_path, ["llama"])
    both = [llama(client, image, place) for image in (cpu_image, gpu_image)]
    assert both[0]["text_output"].strip()
    assert both[0]["text_output"] == both[1]["text_output"]


def test_the_models_of_hugging_face_load_in_the_image_with_transformers(
    client: Any, gpu_image: str, tmp_path: Path
) -> None:
    assert gpu_image == GPU
    place = repository(tmp_path, ["llama_hf"])
    with container(
        client,
        gpu_image,
        ["tritonserver", "--model-repository=/models"],
        volumes=[f"{place}:/models:ro"],
        shm_size="1g",
    ) as made:
        until_healthy(made, 180)

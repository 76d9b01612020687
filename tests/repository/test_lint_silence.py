"""Where all is well lint says nothing: the course's repositories, and every completed config."""

from __future__ import annotations

import io
import shutil
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from lab_utils import paths
from lab_utils import server as triton
from lab_utils.models.build import build_models
from lab_utils.repository import format_config, served_config
from lab_utils.repository.lint import ServerFacts, lint_repository, render_findings
from lab_utils.server.base import Server
from tests.backends.toy_models import TYPES, affine, config, identities, linear
from tests.llama.training import trained
from tests.repository.cases.kit import PYTHON_CONFIG, onnx_model, python_model, write_model

COURSE = paths.project_root() / "model_repository"
MODELS = sorted(p.name for p in COURSE.iterdir() if p.is_dir())
NEED_TORCH = {name for name in MODELS if name == "digits_cnn" or name.startswith("llama")}
without_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="PyTorch is not installed: pip install -e '.[torch]'"
)
worked_examples = pytest.mark.parametrize(
    "model", [pytest.param(name, marks=without_torch if name in NEED_TORCH else ()) for name in MODELS]
)
DOUBLE = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "x", "data_type": "TYPE_FP32", "dims": [4]})
        config.add_output({"name": "y", "data_type": "TYPE_FP32", "dims": [4]})
        config.set_max_batch_size(8)
        config.set_dynamic_batching()
        return config

    def execute(self, requests):
        return []
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course's models with the files that git does not hold; without PyTorch, those that need none."""
    repository = tmp_path_factory.mktemp("course") / "repository"
    torch = find_spec("torch") is not None
    left_out = () if torch else NEED_TORCH
    shutil.copytree(COURSE, repository, ignore=shutil.ignore_patterns("__pycache__", *left_out))
    build_models(repository=repository)
    if torch:
        from lab_utils.llama.export import build_logits

        trained()  # the Llamas load in seconds when there is one
        build_logits(repository)
    return repository


@pytest.fixture(scope="module")
def server(course: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server in explicit mode, with auto-complete, on a repository that the tests fill."""
    repository = tmp_path_factory.mktemp("silence") / "repository"
    shutil.copytree(course, repository)
    options = ["--model-control-mode=explicit", "--exit-timeout-secs=1"]
    running = triton.start(repository, name="lint-silence", lifetime="kernel", options=options)
    yield running
    running.stop()


def silent(folder: Path, facts: ServerFacts | None = None) -> None:
    """Lint says nothing, or the test fails with what it says."""
    findings = lint_repository(folder, facts=facts)
    assert not findings, render_findings(findings)


def test_course_repository(course: Path) -> None:
    silent(course)


@worked_examples
def test_each_worked_example_alone(model: str, course: Path) -> None:
    silent(course / model)


def test_configs_of_the_backends_tests(tmp_path: Path) -> None:
    texts = {
        "plain": config(),
        "no_batching": config(
            max_batch_size=0, inputs=[("x", "FP32", (-1, 3))], outputs=[("y", "FP32", (-1, 3))]
        ),
        "two": config(count=2),
        "by_backend": config(platform="") + 'backend: "onnxruntime"\n',
        "batching": config(extra="dynamic_batching { max_queue_delay_microseconds: 100 }"),
    }
    for name, text in texts.items():
        affine(tmp_path / name / "1" / "model.onnx", 2.0)
        (tmp_path / name / "config.pbtxt").write_text(text)
    silent(tmp_path)


def _torch(repository: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.ones(1, 3)), buffer)
    text = config(
        platform="pytorch_libtorch",
        inputs=[("INPUT__0", "FP32", (3,))],
        outputs=[("OUTPUT__0", "FP32", (3,))],
    )
    write_model(repository, "torch", text, {"1/model.pt": buffer.getvalue()})


def _sequence(repository: Path) -> None:
    start = 'control_input { name: "S" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }'
    python_model(repository, "sequence", PYTHON_CONFIG + f"sequence_batching {{ oldest {{ }} {start} }}\n")


# Name of the model -> what writes it. Those without a config are completed from their file.
WRITERS = {
    "onnx_alone": lambda r: onnx_model(r, "onnx_alone", None),
    "onnx_fixed": lambda r: onnx_model(r, "onnx_fixed", None, shape=(3, 4)),
    "onnx_open": lambda r: onnx_model(r, "onnx_open", None, shape=("batch", "length")),
    "onnx_batch_alone": lambda r: onnx_model(r, "onnx_batch_alone", None, shape=("batch",)),
    "onnx_scalar": lambda r: onnx_model(r, "onnx_scalar", None, shape=()),
    "onnx_types": lambda r: identities(
        r / "onnx_types" / "1" / "model.onnx", [t for t in TYPES if t not in ("BF16", "BYTES")], ["batch", 2]
    ),
    "onnx_linear": lambda r: linear(r / "onnx_linear" / "1" / "model.onnx"),
    "onnx_platform": lambda r: onnx_model(r, "onnx_platform", 'platform: "onnxruntime_onnx"\n'),
    "onnx_size": lambda r: onnx_model(r, "onnx_size", "max_batch_size: 16\n"),
    "double": lambda r: write_model(r, "double", None, {"1/model.py": DOUBLE}),
    "python": lambda r: python_model(r, "python"),
    "torch": _torch,
    "sequence": _sequence,
}


@pytest.mark.live
@pytest.mark.parametrize("model", WRITERS)
def test_config_as_the_server_completes_it(model: str, server: Server, tmp_path: Path) -> None:
    WRITERS[model](server.repository)
    folder = server.repository / model
    silent(folder)
    _same_when_written_back(model, server, tmp_path)


@pytest.mark.live
@worked_examples
def test_worked_example_as_the_server_completes_it(
    model: str, course: Path, server: Server, tmp_path: Path
) -> None:
    shutil.copytree(course, tmp_path, dirs_exist_ok=True)
    _same_when_written_back(model, server, tmp_path)


def _same_when_written_back(model: str, server: Server, place: Path) -> None:
    """The served config, as the text of a config.pbtxt, has no findings either."""
    url = f"{server.endpoints.http_url}/v2/repository/models/{model}"
    answer = httpx.post(f"{url}/load", timeout=120)
    assert answer.status_code == 200, answer.text
    shutil.copytree(server.repository / model, place / model, dirs_exist_ok=True)
    (place / model / "config.pbtxt").write_text(format_config(served_config(server.endpoints.http, model)))
    silent(place / model, ServerFacts.of(server))
    httpx.post(f"{url}/unload", timeout=60)  # a process with PyTorch takes a quarter of a gigabyte


@pytest.mark.live
def test_facts_are_read_from_a_running_server(tmp_path: Path) -> None:
    options = [
        "--model-control-mode=none",
        "--cache-config=local,size=1048576",
        "--rate-limit=execution_count",
    ]
    (tmp_path / "models").mkdir()
    server = triton.start(tmp_path / "models", name="lint-facts", lifetime="kernel", options=options)
    try:
        facts = ServerFacts.of(server)
    finally:
        server.stop()
    assert (facts.cache, facts.rate_limit, facts.auto_complete, facts.gpus) == (True, True, True, 0)
    assert facts.backends == {"python", "onnxruntime", "pytorch"}


@pytest.mark.live
def test_a_python_model_with_a_space_in_its_name_never_loads(tmp_path: Path) -> None:
    folder = python_model(tmp_path / "models", "my model")
    (found,) = lint_repository(folder)
    assert (found.rule, found.severity) == ("name-shell", "error")
    options = ["--model-control-mode=explicit", "--exit-timeout-secs=1"]
    server = triton.start(folder.parent, name="lint-space", lifetime="kernel", options=options)
    try:
        # Over HTTP the name cannot even be given: %20 is not decoded.
        load = httpx.post(f"{server.endpoints.http_url}/v2/repository/models/my model/load", timeout=10)
        assert load.status_code >= 400, load.text
        with (
            tritonclient.grpc.InferenceServerClient(server.endpoints.grpc) as client,
            pytest.raises(InferenceServerException, match="Deadline Exceeded"),
        ):
            client.load_model("my model", client_timeout=4)
    finally:
        server.stop()


def test_a_name_that_no_url_carries_is_a_warning(tmp_path: Path) -> None:
    text = 'platform: "tensorrt_plan"\n'
    write_model(tmp_path, "my model", text, {"1/model.plan": b"x"})
    (found,) = lint_repository(tmp_path, facts=ServerFacts(backends=frozenset({"tensorrt"})))
    assert (found.rule, found.severity) == ("name-odd", "warning")

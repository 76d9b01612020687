"""Checkpoint 2.1: a model repository that Triton finds its models in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import tritonclient.http as httpclient
from numpy.typing import NDArray

from lab_utils.checks.asking import with_hint
from lab_utils.checks.loading import load, warnings_about_versions
from lab_utils.checks.networks import onnx_network
from lab_utils.checks.repositories import fresh_name
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.probes import onnx_reference
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.server.base import Server

_ONNX = """name: "{name}"
backend: "onnxruntime"
max_batch_size: 64
input [ {{ name: "input" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] }} ]
output [ {{ name: "output" data_type: TYPE_FP32 dims: [ 10 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
version_policy {{ all {{ }} }}
"""

_PYTHON = """name: "{name}"
backend: "python"
input [ {{ name: "input" data_type: TYPE_FP32 dims: [ -1 ] }} ]
output [ {{ name: "output" data_type: TYPE_FP32 dims: [ -1 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""

_TIMES = '''"""A model in Python: its input times a number."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        values = [pb_utils.get_input_tensor_by_name(request, "input").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("output", v * {factor})]) for v in values]
'''


def _ask(server: Server, model: str, data: NDArray[np.float32], version: int) -> NDArray[np.float32]:
    with httpclient.InferenceServerClient(server.endpoints.http, network_timeout=30) as client:
        tensor = httpclient.InferInput("input", data.shape, "FP32").set_data_from_numpy(data)
        answer = client.infer(model, [tensor], model_version=str(version))
    found: NDArray[np.float32] = answer.as_numpy("output")
    return found


def _lay_out(
    ctx: LabContext, function: Any, repository: Path, name: str, version: int, file: Path, config: str
) -> None:
    before = file.read_bytes()
    try:
        ctx.call(function, repository, name, version, file, config)
    except Refusal as refusal:
        with_hint(
            refusal,
            {
                "FileNotFoundError": "`mkdir(parents=True)` makes the folders above too.",
                "FileExistsError": "The folder may be there already: `mkdir(exist_ok=True)`.",
                "unsupported operand": "A path is joined with text: `folder / str(version)`.",
            },
        )
    if not file.is_file() or file.read_bytes() != before:
        refuse(
            expected=f"`{file.name}` stays where it was, unchanged",
            found="it was moved or changed",
            next_step="Copy it: `shutil.copy(…)`.",
        )
    links = [path for path in (repository / name).rglob("*") if path.is_symlink()]
    if links:
        refuse(
            expected="the repository holds the files themselves",
            found=f"{links[0].relative_to(repository)} is a link to a file elsewhere",
            next_step="A link breaks when the file moves, and in a container: copy it.",
        )


def _entries(folder: Path) -> str:
    names = sorted(p.name + ("/" if p.is_dir() else "") for p in folder.iterdir())
    return ", ".join(names) or "nothing"


def _judge_folder(repository: Path, name: str) -> None:
    """What Triton could only call unknown: the model's own folder."""
    if not (repository / name).is_dir():
        refuse(
            expected=f"in the repository: a folder `{name}`",
            found=f"there is: {_entries(repository)}",
            next_step="The folder is called like the model: use the argument `name`.",
        )


def _explain(server: Server, folder: Path, version: int, reason: str, wanted: str) -> NoReturn:
    """Why Triton refused the model, in its words, and the step that mends it."""
    words, next_step = reason, "Compare the tree with the three rules of this section."
    ignored = warnings_about_versions(server)
    if ignored:
        words, next_step = f"{ignored}; {reason}", f"The number alone is the name: `{version}`, no letters."
        if "leading zeros" in ignored:
            next_step = f"Write the number as it is, without zeros: `{version}`."
    elif "multiple times" in reason:
        next_step = "The config was added to the one before: `write_text` replaces it."
    elif "at least one version" in reason:
        next_step = "No version folder was found: a version is a folder, called like its number."
    elif "config.pbtxt" in reason and "open" in reason:
        next_step = "`config.pbtxt` lies beside the version folders, not in one of them."
        if not list(folder.rglob("config.pbtxt")):
            next_step = "There is no file of that name anywhere. Look at the spelling."
    elif "unable to find" in reason or wanted in reason:
        next_step = f"The backend looks for `{wanted}` alone, whatever the file was called before."
    refuse(
        expected=f"Triton loads `{folder.name}`",
        found=f"{words.rstrip('.')}. The folder holds: {_entries(folder)}",
        next_step=next_step,
    )


def _judge_script(folder: Path, version: int) -> None:
    """Look for model.py before Triton does: release 24.10 waits for ever for a Python model without one."""
    if not (folder / str(version) / "model.py").is_file():
        there = sorted(str(p.relative_to(folder.parent)) for p in folder.rglob("*") if p.is_file())
        refuse(
            expected=f"{folder.name}/{version}/model.py, from a file that ends in .py",
            found=f"there is: {', '.join(there) or 'nothing'}",
            next_step="The Python backend looks for `model.py`: keep the file's own ending.",
        )


def _judge_versions(server: Server, name: str, folder: Path, versions: list[int]) -> None:
    """All versions that were laid out must be served."""
    with httpclient.InferenceServerClient(server.endpoints.http, network_timeout=30) as client:
        missing = [v for v in versions if not client.is_model_ready(name, str(v))]
    if missing and warnings_about_versions(server):
        _explain(server, folder, missing[0], f"version {missing[0]} is not served", "model.onnx")
    if missing:
        refuse(
            expected=f"Triton serves the versions {versions} of `{name}`",
            found=f"version {missing[0]} is not there. The folder holds: {_entries(folder)}",
            next_step="Name the folder after `version`, and do not touch the versions that are there.",
        )


@checkpoint(
    "2.1", title="Lay out a model", points=2, minutes=4, difficulty=1, answers=("lay_out",),
    needs_server=False,
)  # fmt: skip
def check_layout(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Three files laid out by the student are loaded, and answer as the files do."""
    repository, files = ctx.scratch(), ctx.scratch()
    digits, times = fresh_name(ctx, "digits"), fresh_name(ctx, "times")
    low = int(ctx.rng.integers(2, 9))
    versions = [low, low + int(ctx.rng.integers(10, 20))]
    networks = {v: onnx_network(ctx, files / f"{fresh_name(ctx, 'export')}.onnx") for v in versions}
    factor = int(ctx.rng.integers(3, 99))
    script = files / f"{fresh_name(ctx, 'script')}.py"
    script.write_text(_TIMES.format(factor=factor))

    # The low version is laid out twice: first from a file that is replaced.
    first = onnx_network(ctx, files / f"{fresh_name(ctx, 'draft')}.onnx")
    _lay_out(ctx, answers["lay_out"], repository, digits, low, first, _ONNX.format(name=digits))
    for version, file in networks.items():
        _lay_out(ctx, answers["lay_out"], repository, digits, version, file, _ONNX.format(name=digits))
        _judge_folder(repository, digits)
    _lay_out(ctx, answers["lay_out"], repository, times, versions[0], script, _PYTHON.format(name=times))

    server = ctx.fresh_server(
        repository, options=["--model-control-mode=explicit", "--disable-auto-complete-config"]
    )
    if reason := load(server, digits):
        _explain(server, repository / digits, versions[0], reason, "model.onnx")
    _judge_versions(server, digits, repository / digits, versions)
    _judge_script(repository / times, versions[0])
    if reason := load(server, times):
        _explain(server, repository / times, versions[0], reason, "model.py")
    images, _ = ctx.digits(16)
    for version, file in networks.items():
        if not np.allclose(_ask(server, digits, images, version), onnx_reference(file, images), atol=1e-3):
            refuse(
                expected=f"version {version} of `{digits}` answers like the file it was made from",
                found="other scores",
                next_step="Copy the file that `model_file` names into the folder of its own version.",
            )
    one = np.ones(4, np.float32)
    if not np.allclose(_ask(server, times, one, versions[0]), factor):
        refuse(
            expected=f"`{times}` multiplies by {factor}, like the file it was made from",
            found="another answer",
            next_step="Copy the file that `model_file` names.",
        )
    return passed(
        "Triton loads what was laid out and answers like the files",
        models=[digits, times],
        versions=versions,
        address=server.endpoints.http,
    )

"""Checkpoint 1.9: a TorchScript file becomes a served model."""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as httpclient
from numpy.typing import NDArray

from lab_utils.checks.asking import CONNECTION_ERRORS, with_hint
from lab_utils.checks.repositories import fresh_name
from lab_utils.models.build import torchscript_file
from lab_utils.progress.context import LabContext, Refusal, refuse
from lab_utils.progress.recorder import Recorder
from lab_utils.progress.registry import Verdict, checkpoint, passed, skipped
from lab_utils.server.base import Server

_OWN = "digits_torch"
_BATCH = 64


def _network(ctx: LabContext, file: Path) -> Any:
    """A small network with weights that nobody has seen, as a TorchScript file."""
    import torch

    torch.manual_seed(int(ctx.rng.integers(1 << 31)))
    hidden = int(ctx.rng.integers(16, 48))
    network = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(784, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 10)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is what this backend serves
        scripted = torch.jit.script(network.eval())
        torch.jit.save(scripted, str(file))
    return scripted


def _answer(network: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    with torch.no_grad():
        scores: NDArray[np.float32] = network(torch.from_numpy(images)).numpy()
    return scores


def _served(address: str, model: str, images: NDArray[np.float32]) -> NDArray[np.float32]:
    with httpclient.InferenceServerClient(address, network_timeout=30) as client:
        tensor = httpclient.InferInput("INPUT__0", images.shape, "FP32")
        tensor.set_data_from_numpy(images)
        scores: NDArray[np.float32] = client.infer(model, [tensor]).as_numpy("OUTPUT__0")
    return scores


def _log_lines(server: Server, model: str) -> str:
    """What the server's log says against a model, each thing once and without Python's traceback."""
    reasons = []
    for line in server.logs().splitlines():
        match = re.search(rf"(Error parsing text-format .*|Poll failed .*|failed to load .*{model}.*)", line)
        if match and not line.startswith("I"):
            reasons.append(match[1].split("\\n")[0].strip('"'))
    return "\n".join(dict.fromkeys(reasons))


def _judge_files(repository: Path, name: str) -> None:
    tree = f"{name}/1/model.pt and {name}/config.pbtxt"
    if (repository / name / "model.pt").is_file():
        refuse(
            expected=f"in the repository: {tree}",
            found="model.pt lies beside config.pbtxt, without a version folder",
            next_step="Version 1 of a model lives in a folder named `1`.",
        )
    for part in (f"{name}/1/model.pt", f"{name}/config.pbtxt"):
        if not (repository / part).is_file():
            there = sorted(str(p.relative_to(repository)) for p in repository.rglob("*") if p.is_file())
            refuse(
                expected=f"in the repository: {tree}",
                found=f"no file {part}; there is: {', '.join(there) or 'nothing'}",
                next_step="Triton finds models by this layout alone: `name/version/model.pt`.",
            )


def _judge_load(recorder: Recorder, refusal: Refusal, repository: Path, name: str, server: Server) -> None:
    """Say why a load failed; the load API itself often does not."""
    if refusal.verdict.evidence.get("error") == "NotImplementedError":
        return
    if refusal.verdict.evidence.get("error") == "FileNotFoundError":
        with_hint(refusal, {"": "`mkdir(parents=True, exist_ok=True)` makes the folders above too."})
    if recorder.connections == 0 and refusal.verdict.evidence.get("error") in CONNECTION_ERRORS:
        refuse(
            expected="the server at `url` is asked to load the model",
            found=f"it was not asked. {refusal.verdict.found}",
            next_step="Use the argument `url`, not the notebook's own server.",
        )
    loads = re.findall(r"/v2/repository/models/([^/ ]+)/load", " ".join(recorder.paths))
    if loads and loads != [name]:
        refuse(
            expected=f"Triton is asked to load `{name}`",
            found=f"it was asked to load {', '.join(loads)}",
            next_step="Use the argument `name`.",
        )
    if loads:
        _judge_files(repository, name)
        refuse(
            expected=f"Triton loads `{name}`",
            found=_log_lines(server, name) or refusal.verdict.found,
            next_step="Fix what the log says about config.pbtxt, then deploy again.",
        )


def _judge_config(ctx: LabContext, server: Server, model: str) -> None:
    """The config as Triton reports it, which is the config that it uses."""
    config = ctx.get(f"/v2/models/{model}/config", server).json()
    tensors = {
        kind: [(t["name"], t["data_type"], [int(d) for d in t["dims"]]) for t in config.get(kind, [])]
        for kind in ("input", "output")
    }
    with_batch = any(len(dims) in (2, 4) for kind in tensors.values() for _, _, dims in kind)
    no_batch = "Dims leave the batch out." if with_batch else "Names, types and dims as the exercise says."
    for what, found, wanted, advice in (
        ("the platform", config.get("platform"), "pytorch_libtorch", "It names the backend."),
        (
            "max_batch_size", config.get("max_batch_size"), _BATCH,
            "With 0 there is no batch dimension; the dims then would have to hold it.",
        ),
        ("the input", tensors["input"], [("INPUT__0", "TYPE_FP32", [1, 28, 28])], no_batch),
        ("the output", tensors["output"], [("OUTPUT__0", "TYPE_FP32", [10])], no_batch),
    ):  # fmt: skip
        if found != wanted:
            refuse(expected=f"{what} is {wanted}", found=f"{what} is {found}", next_step=advice)


@checkpoint("1.9", title="Deploy a PyTorch model", points=4, minutes=7, difficulty=2, answers=("deploy",))
def check_deploy(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """A network of the check's own is served rightly; the digits model is served in the lab."""
    if importlib.util.find_spec("torch") is None:
        return skipped(
            "PyTorch is not installed, so no model can be exported or served with it",
            "Install it with `pip install -e '.[torch]' -c constraints.txt`, then check again.",
        )
    name, repository = fresh_name(ctx, "network"), ctx.scratch()
    file = ctx.scratch() / "exported.pt"
    network = _network(ctx, file)
    server = ctx.fresh_server(repository, options=["--model-control-mode=explicit"])
    with ctx.recorder(server.endpoints.http) as recorder:
        try:
            ctx.call(answers["deploy"], recorder.address, repository, name, file, timeout=60)
        except Refusal as refusal:
            _judge_load(recorder, refusal, repository, name, server)
            raise
    _judge_files(repository, name)
    if ctx.get(f"/v2/models/{name}/ready", server).status_code != 200:
        refuse(
            expected=f"`{name}` is ready when `deploy` returns",
            found="the files are there, but nobody asked Triton to load them",
            next_step="In the mode `explicit` a model waits for `client.load_model(name)`.",
        )
    _judge_config(ctx, server, name)
    images, _ = ctx.digits(_BATCH)
    if not np.allclose(_served(server.endpoints.http, name, images), _answer(network, images), atol=1e-4):
        refuse(
            expected="the served model answers like the file in this process",
            found="other scores",
            next_step="Copy the file that `model_file` names, not another one.",
        )
    own = _deploy_own(ctx, answers["deploy"])
    return passed("a PyTorch model is deployed and answers like PyTorch itself", deployed=_OWN, accuracy=own)


def _deploy_own(ctx: LabContext, deploy: Any) -> float:
    """Deploy the digits model in the lab's own server. Returns the share of digits it reads rightly."""
    address = ctx.need_server().endpoints.http
    ctx.call(deploy, address, ctx.repository, _OWN, torchscript_file(), timeout=60)
    images, labels = ctx.digits(_BATCH)
    return float((_served(address, _OWN, images).argmax(axis=1) == labels).mean())

"""What the `onnxruntime` and `pytorch` backends share: the config, its refusals, and batching.

Runs inside Triton's Python stub, never in the course's own process, and imports nothing of
`lab_utils`. The installed backend folders each hold a copy beside their `model.py`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import triton_python_backend_utils as pb_utils

# Parameters that Triton itself or its Python backend reads from any model's config.
TRITON_PARAMETERS = ("TRITON_BATCH_STRATEGY_PATH", "FORCE_CPU_ONLY_INPUT_TENSORS")


class RequestError(Exception):
    """One request is at fault; the message is the whole answer to it."""


def refuse(message: str) -> NoReturn:
    """Stop the load. Triton gives `message` to the client and to its log."""
    raise pb_utils.TritonModelException(message)


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the most alike of `names`, else an empty string."""
    # Case is folded: intra_op_thread_count (ONNX Runtime) is INTRA_OP_THREAD_COUNT in PyTorch.
    folded = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return f"; did you mean '{folded[close[0]]}'?" if close else ""


def shape_text(shape: Iterable[Any]) -> str:
    """A shape the way Triton prints it: `[-1,28,28]`."""
    return "[" + ",".join(str(d) for d in shape) + "]"


@dataclass(frozen=True)
class TensorConfig:
    """One `input` or `output` entry. `dims` has no batch dimension; a `reshape` is applied."""

    name: str
    data_type: str
    dims: tuple[int, ...]
    optional: bool = False

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> TensorConfig:
        """From the JSON form of the config."""
        dims = entry["reshape"].get("shape", []) if "reshape" in entry else entry["dims"]
        return cls(
            entry["name"], entry["data_type"], tuple(int(d) for d in dims), bool(entry.get("optional"))
        )


@dataclass
class Config:
    """The model's config.pbtxt as Triton hands it to an instance."""

    model: str
    max_batch_size: int
    inputs: list[TensorConfig]
    outputs: list[TensorConfig]
    parameters: dict[str, str]
    kind: str
    device_id: int
    instances: int
    folder: Path
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, args: Mapping[str, str]) -> Config:
        """From the arguments of `TritonPythonModel.initialize`."""
        raw = json.loads(args["model_config"])
        return cls(
            model=args["model_name"],
            max_batch_size=int(raw.get("max_batch_size", 0)),
            inputs=[TensorConfig.parse(entry) for entry in raw.get("input", [])],
            outputs=[TensorConfig.parse(entry) for entry in raw.get("output", [])],
            parameters={k: v.get("string_value", "") for k, v in raw.get("parameters", {}).items()},
            kind=args["model_instance_kind"],
            device_id=int(args["model_instance_device_id"]),
            instances=sum(
                int(g.get("count", 1)) * max(1, len(g.get("gpus", []))) for g in raw.get("instance_group", [])
            ),
            folder=Path(pb_utils.get_model_dir()),
            raw=raw,
        )

    @property
    def decoupled(self) -> bool:
        """Whether answers must go through a response sender."""
        return bool(self.raw.get("model_transaction_policy", {}).get("decoupled"))

    @property
    def controls(self) -> list[str]:
        """Names of the control inputs that the sequence batcher adds to each request."""
        return [c["name"] for c in self.raw.get("sequence_batching", {}).get("control_input", [])]

    def refuse_unknown(self, backend: str, known: Iterable[str]) -> None:
        """Refuse parameters that no backend of this name has, and fields that cannot be served here."""
        known = [*known, *TRITON_PARAMETERS]
        for name in self.parameters:
            if name not in known:
                refuse(
                    f"unable to load model '{self.model}', the {backend} backend has no parameter "
                    f"'{name}'{nearest(name, known)} It has: {', '.join(sorted(known))}"
                )
        self.refuse_text_with_numpy2()
        where = f"unable to load model '{self.model}', "
        here = "is not available in this Python form of the backend (the C++ backend has it)"
        if self.raw.get("sequence_batching", {}).get("state"):
            refuse(f"{where}'sequence_batching.state' (implicit state) {here}")
        for key in ("batch_input", "batch_output"):
            if self.raw.get(key):
                refuse(f"{where}'{key}' {here}")
        for entry in self.raw.get("input", []):
            if entry.get("allow_ragged_batch"):
                refuse(f"{where}'allow_ragged_batch' of input '{entry['name']}' {here}")

    def refuse_text_with_numpy2(self) -> None:
        """Text goes through the stub's own NumPy bridge, and NumPy 2 kills the stub there."""
        texts = [t.name for t in self.inputs + self.outputs if t.data_type == "TYPE_STRING"]
        if texts and int(np.__version__.split(".")[0]) >= 2:
            refuse(
                f"unable to load model '{self.model}', TYPE_STRING of '{texts[0]}' needs NumPy 1, and NumPy "
                f"{np.__version__} is installed: run `pip install 'numpy<2'`. Numbers work with both"
            )

    def boolean(self, name: str, default: bool) -> bool:
        """A parameter that is `true`, `false`, `1` or `0`."""
        text = self.parameters.get(name, str(default))
        if text.strip().lower() not in ("true", "1", "false", "0"):
            where = f"unable to load model '{self.model}', "
            refuse(f"{where}parameter '{name}' must be true, false, 1 or 0, not '{text}'")
        return text.strip().lower() in ("true", "1")

    def integer(self, name: str, default: int = 0, allowed: Iterable[int] | None = None) -> int:
        """A parameter that is a whole number."""
        text = self.parameters.get(name, str(default))
        value = int(text) if text.strip().lstrip("-").isdigit() else None
        choice = list(allowed) if allowed is not None else None
        if value is None or (choice is not None and value not in choice):
            wanted = f"one of {choice}" if choice else "a whole number"
            refuse(f"unable to load model '{self.model}', parameter '{name}' must be {wanted}, not '{text}'")
        return value

    def refuse_shared(self, name: str) -> None:
        """Instances are processes of their own here, so they cannot share one model in memory."""
        if self.boolean(name, False) and self.instances > 1:
            refuse(
                f"unable to load model '{self.model}', parameter '{name}' needs the C++ backend: here each "
                f"of the {self.instances} instances is a process of its own. Set it to false, or count to 1"
            )

    def model_file(self, default: str) -> Path:
        """The model's file; a folder of that name holds `default`, as in the C++ backends."""
        path = self.folder / (self.raw.get("default_model_filename") or default)
        if path.is_dir():
            path = path / default
        if not path.is_file():
            there = sorted(p.name for p in self.folder.iterdir()) if self.folder.is_dir() else []
            refuse(
                f"unable to find '{path}' for model instance '{self.model}'; the folder holds: "
                f"{', '.join(there) or 'nothing'}"
            )
        return path


def faulty_file(path: Path) -> str | None:
    """Why the first bytes of a file rule out any model, or None."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself: run `git lfs pull`"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "it is a web page, saved in place of the file"
    return None


@dataclass
class Item:
    """One request of an execute() call. `rows` is its batch size; 1 where the model does not batch."""

    index: int
    inputs: dict[str, Any]
    wanted: frozenset[str]
    rows: int = 1


class BatchedModel:
    """Joins the requests of one execute() call, runs them once, and splits the answers.

    A subclass sets `config` and gives `read`, `join`, `run` and `write`. The requests whose
    shapes agree beyond the batch dimension go into one run. If that run fails each of them is run
    alone, so that only the request at fault is answered with an error.
    """

    config: Config

    def read(self, request: Any) -> dict[str, Any]:
        """The tensors of one request by name."""
        raise NotImplementedError

    def join(self, parts: list[Any]) -> Any:
        """One tensor out of several, along the batch dimension."""
        raise NotImplementedError

    def run(self, inputs: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
        """The outputs named in `wanted`, each with the full batch."""
        raise NotImplementedError

    def write(self, name: str, value: Any) -> Any:
        """A `pb_utils.Tensor` out of one request's share of an output."""
        raise NotImplementedError

    def shape(self, value: Any) -> tuple[int, ...]:
        """Shape of what `read` or `run` gives; a list of strings counts as one dimension."""
        return (len(value),) if isinstance(value, list) else tuple(value.shape)

    def execute(self, requests: list[Any]) -> list[Any] | None:
        """Answer every request, each on its own."""
        answers: list[Any] = [None] * len(requests)
        groups: dict[Any, list[Item]] = {}
        batching = self.config.max_batch_size > 0
        for index, request in enumerate(requests):
            try:
                item = Item(index, self.read(request), frozenset(request.requested_output_names()))
            except Exception as error:
                answers[index] = self._failure(error)
                continue
            key: Any = index
            if batching:
                shapes = {name: self.shape(value) for name, value in item.inputs.items()}
                item.rows = next(iter(shapes.values()))[0]
                key = tuple(sorted((name, shape[1:]) for name, shape in shapes.items()))
            groups.setdefault(key, []).append(item)
        for items in groups.values():
            self._answer(items, answers)
        if not self.config.decoupled:
            return answers
        for request, answer in zip(requests, answers, strict=True):
            request.get_response_sender().send(answer, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None

    def _answer(self, items: list[Item], answers: list[Any]) -> None:
        try:
            wanted = [o.name for o in self.config.outputs if any(o.name in i.wanted for i in items)]
            inputs = items[0].inputs
            if len(items) > 1:
                inputs = {name: self.join([i.inputs[name] for i in items]) for name in inputs}
            outputs = self.run(inputs, wanted)
            if self.config.max_batch_size > 0:
                self._check_rows(outputs, sum(i.rows for i in items))
            start = 0
            made = []
            for item in items:
                stop = start + item.rows
                parts = outputs if len(items) == 1 else {n: v[start:stop] for n, v in outputs.items()}
                tensors = [self.write(n, v) for n, v in parts.items() if n in item.wanted]
                made.append(pb_utils.InferenceResponse(output_tensors=tensors))
                start = stop
        except Exception as error:
            if len(items) == 1:
                answers[items[0].index] = self._failure(error)
                return
            for item in items:
                self._answer([item], answers)
            return
        for item, answer in zip(items, made, strict=True):
            answers[item.index] = answer

    def _check_rows(self, outputs: dict[str, Any], rows: int) -> None:
        for name, value in outputs.items():
            shape = self.shape(value)
            if not shape or shape[0] != rows:
                raise RequestError(
                    f"output '{name}' of model '{self.config.model}' has shape {shape_text(shape)} for "
                    "a batch of "
                    f"{rows}: with max_batch_size > 0 the first dimension must be the batch"
                )

    def explain(self, error: Exception) -> str:
        """The message a client gets for an exception of the library."""
        return f"{type(error).__name__}: {error}"

    def _failure(self, error: Exception) -> Any:
        text = str(error) if isinstance(error, RequestError) else self.explain(error)
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(text))

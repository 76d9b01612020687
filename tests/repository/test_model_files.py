"""Model files: what they are and what they take, read without running anything."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from lab_utils.models.build import build_models
from lab_utils.repository import FileKind, RepositoryError, kind_of, read_signature
from tests.repository.cases.kit import onnx_bytes

DIGITS = Path(__file__).parents[2] / "model_repository" / "mnist_mlp" / "1" / "model.onnx"


class Bomb:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def test_onnx_signature(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(onnx_bytes(("batch", 4, "length")))
    signature = read_signature(file)
    assert signature.kind is FileKind.ONNX
    assert [(t.name, t.data_type, t.dims) for t in signature.inputs] == [("x", "TYPE_FP32", (-1, 4, -1))]
    assert [(t.name, t.data_type, t.dims) for t in signature.outputs] == [("y", "TYPE_FP32", (-1, 4, -1))]
    assert signature.batches is True
    file.write_bytes(onnx_bytes((1, 4)))
    assert read_signature(file).batches is False


def test_onnx_weights_are_no_inputs_and_may_lie_in_a_missing_file(tmp_path: Path) -> None:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in ("x", "y")]
    listed = [values[0], helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4])]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", listed, values[1:], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file = tmp_path / "model.onnx"
    onnx.save(model, str(file), save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    assert [t.name for t in read_signature(file).inputs] == ["x"]


def test_signature_of_the_digits_model() -> None:
    build_models()
    signature = read_signature(DIGITS)
    assert [(t.name, t.dims) for t in signature.inputs] == [("input", (-1, 1, 28, 28))]
    assert [(t.name, t.dims) for t in signature.outputs] == [("output", (-1, 10))]


def test_torch_files(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Add(torch.nn.Module):
        def forward(self, first: torch.Tensor, second: torch.Tensor, factor: float = 2.0) -> torch.Tensor:
            return first + factor * second

    torch.jit.save(torch.jit.script(Add()), str(tmp_path / "script.pt"))
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    torch.save({"state_dict": torch.nn.Linear(2, 2).state_dict(), "epoch": 3}, tmp_path / "checkpoint.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    kinds = {p.stem: kind_of(p) for p in tmp_path.iterdir()}
    assert kinds == {
        "script": FileKind.TORCHSCRIPT,
        "weights": FileKind.STATE_DICT,
        "checkpoint": FileKind.STATE_DICT,
        "module": FileKind.PICKLE,
        "old": FileKind.STATE_DICT,
    }
    signature = read_signature(tmp_path / "script.pt")
    assert [t.name for t in signature.inputs] == ["first", "second"]
    assert signature.batches is None
    with pytest.raises(RepositoryError, match="state_dict"):
        read_signature(tmp_path / "weights.pt")
    exported = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    torch.export.save(exported, str(tmp_path / "exported.pt2"))
    assert kind_of(tmp_path / "exported.pt2") is FileKind.TORCH_EXPORT


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        file.write_bytes(pickle.dumps(Bomb(tmp_path / "boom"), protocol=protocol))
        kind = kind_of(file)
        assert not (tmp_path / "boom").exists()
        if protocol >= 2:
            assert kind is FileKind.PICKLE


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", FileKind.EMPTY),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", FileKind.LFS_POINTER),
        (b"<!DOCTYPE html><html>404</html>", FileKind.HTML),
        (b"just words\n", FileKind.TEXT),
        (b"PK\x03\x04 not really a zip", FileKind.UNKNOWN),
        (b"\x08\x07\x12\x04abc", FileKind.UNKNOWN),
        (bytes(range(256)) * 4, FileKind.UNKNOWN),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, kind: FileKind) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    assert kind_of(file) is kind
    with pytest.raises(RepositoryError):
        read_signature(file)


def test_half_an_onnx_file_is_none(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(onnx_bytes()[:40])
    assert kind_of(file) is not FileKind.ONNX
    assert kind_of(tmp_path / "nothing.onnx") is FileKind.MISSING
    assert kind_of(tmp_path) is FileKind.FOLDER

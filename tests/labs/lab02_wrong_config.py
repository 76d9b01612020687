"""Plausible wrong answers to 2.2 (a config by hand)."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_RIGHT = """name: "{name}"
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input [ {{ name: "input" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] }} ]
output [ {{ name: "output" data_type: TYPE_FP32 dims: [ 10 ] label_filename: "labels.txt" }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]"""


def _config(*changes: tuple[str, str]) -> str:
    text = _RIGHT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return f"def write_config(name, max_batch_size):\n    return f'''\n{text}\n'''\n"


CONFIG: dict[str, list[WrongAnswer]] = {
    "2.2": [
        WrongAnswer(
            "batch in the dims",
            _config(("[ 1, 28, 28 ]", "[ -1, 1, 28, 28 ]")),
            "leave it out of `dims`",
        ),
        WrongAnswer(
            "another type",
            _config(("TYPE_FP32 dims: [ 1, 28", "TYPE_FP64 dims: [ 1, 28")),
            "what the file says: TYPE_FP32",
        ),
        WrongAnswer(
            "type without its prefix", _config(("TYPE_FP32", "FP32")), "Types of tensors are written"
        ),
        WrongAnswer(
            "platform",
            _config(('backend: "onnxruntime"', 'platform: "onnxruntime"')),
            "unexpected platform type 'onnxruntime'",
        ),
        WrongAnswer(
            "no largest batch",
            _config(("max_batch_size: {max_batch_size}\n", "")),
            "Without `max_batch_size` there is no batch",
        ),
        WrongAnswer(
            "always the same batch",
            _config(("{max_batch_size}", "64")),
            "Use the argument `max_batch_size`",
        ),
        WrongAnswer(
            "dims of the wrong tensor",
            _config(("[ 10 ]", "[ 100 ]")),
            "the file's own shape without",
        ),
        WrongAnswer("fixed name", _config(("{name}", "mnist_mlp")), "directory name must equal model name"),
        WrongAnswer(
            "misspelt field", _config(("max_batch_size:", "max_batchsize:")), 'no field named "max_batchsize"'
        ),
        WrongAnswer(
            "kind without its prefix", _config(("KIND_CPU", "CPU")), "Kinds of instances are written"
        ),
        WrongAnswer("name without quotes", _config(('"{name}"', "{name}")), "Text stands in quotes"),
        WrongAnswer(
            "not a number",
            _config(("{max_batch_size}", "max_batch_size")),
            "A number belongs there",
        ),
        WrongAnswer("equals", _config(("max_batch_size:", "max_batch_size =")), "parted by a colon"),
        WrongAnswer("labels of another name", _config(("labels.txt", "label.txt")), "beside config.pbtxt"),
        WrongAnswer(
            "JSON",
            "def write_config(name, max_batch_size):\n    import json\n"
            "    return json.dumps({'name': name, 'max_batch_size': max_batch_size})\n",
            "This is JSON",
        ),
        WrongAnswer("no list", _config(("[ 1, 28, 28 ]", "1, 28, 28")), "Look there for a bracket too few"),
        WrongAnswer("another input name", _config(('"input"', '"image"')), "letter by letter"),
        WrongAnswer(
            "no output",
            _config((_RIGHT.splitlines()[4], "")),
            "a model without outputs loads, and answers nothing",
        ),
        WrongAnswer(
            "no instance group", _config((_RIGHT.splitlines()[5], "")), "without it the backend chooses"
        ),
        WrongAnswer("a GPU", _config(("KIND_CPU", "KIND_GPU")), "`kind: KIND_CPU` runs on every machine"),
        WrongAnswer(
            "no labels", _config((' label_filename: "labels.txt"', "")), "inside the output's braces"
        ),
        WrongAnswer(
            "prints", "def write_config(name, max_batch_size):\n    print('name')\n", "Add a `return`"
        ),
        WrongAnswer(
            "a dictionary",
            "def write_config(name, max_batch_size):\n"
            "    return {'name': name, 'max_batch_size': max_batch_size}\n",
            "Return one string",
        ),
    ],
}

"""Plausible wrong answers to 3.2 and 3.3: what a file holds, and what its config says."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _config(
    names: str = "[a.name for a in module.forward.schema.arguments[1:]]",
    answers: str = "answer if isinstance(answer, tuple) else (answer,)",
    kind: str = "{TYPES[tensor.dtype]}",
    dims: str = "{list(tensor.shape[1:])}",
    output: str = 'f"OUTPUT__{place}"',
    platform: str = 'platform: "pytorch_libtorch"',
    size: str = "{max_batch_size}",
    title: str = "{name}",
    inputs: str = "map(entry, names, examples)",
) -> str:
    return f'''
def torch_config(name, module, examples, max_batch_size):
    names = {names}
    answer = module(*examples)
    answers = {answers}

    def entry(name, tensor):
        return f'{{{{ name: "{{name}}" data_type: {kind} dims: {dims} }}}}'

    inputs = ", ".join({inputs})
    outputs = ", ".join(entry({output}, tensor) for place, tensor in enumerate(answers))
    return f"""name: "{title}"
{platform}
max_batch_size: {size}
input [ {{inputs}} ]
output [ {{outputs}} ]"""
'''


def _what(
    first: str = 'return "torch.save" if file.read_bytes().startswith(b"\\x80") else "other"',
    names: str = '[name.partition("/")[2] for name in archive.namelist()]',
    code: str = 'any(name.startswith("code/") for name in names)',
    export: str = '"archive_format" in names',
    last: str = '"torch.save" if "data.pkl" in names else "other"',
    asked: str = "not zipfile.is_zipfile(file)",
) -> str:
    return f"""
def what_is(file):
    if {asked}:
        {first}
    with zipfile.ZipFile(file) as archive:
        names = {names}
    if {code}:
        return "torchscript"
    if {export}:
        return "torch.export"
    return {last}
"""


_PICKLE_FIRST = """
def what_is(file):
    if not zipfile.is_zipfile(file):
        return "torch.save" if file.read_bytes().startswith(b"\\x80") else "other"
    with zipfile.ZipFile(file) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    if "data.pkl" in names:
        return "torch.save"
    if any(name.startswith("code/") for name in names):
        return "torchscript"
    return "torch.export" if "archive_format" in names else "other"
"""

_TRIES = """
def what_is(file):
    try:
        torch.jit.load(str(file))
        return "torchscript"
    except Exception:
        pass
    names = zipfile.ZipFile(file).namelist() if zipfile.is_zipfile(file) else []
    if any(name.endswith("archive_format") for name in names):
        return "torch.export"
    try:
        torch.load(file, weights_only=False)
        return "torch.save"
    except Exception:
        return "other"
"""

_BY_NAME = """
def what_is(file):
    return {".pt2": "torch.export", ".pth": "torch.save"}.get(file.suffix, "torchscript")
"""

FILES: dict[str, list[WrongAnswer]] = {
    "3.2": [
        WrongAnswer(
            "the batch in the dims", _config(dims="{list(tensor.shape)}"), "leave it out of the dims"
        ),
        WrongAnswer(
            "-1 for the batch",
            _config(dims="{[-1, *tensor.shape[1:]]}"),
            "are those of this input's own tensor",
        ),
        WrongAnswer("all FP32", _config(kind="TYPE_FP32"), "Look the type up by `tensor.dtype`"),
        WrongAnswer(
            "by index",
            _config(names='[f"INPUT__{place}" for place in range(len(examples))]'),
            "use the argument's name",
        ),
        WrongAnswer(
            "self as well",
            _config(
                names="[a.name for a in module.forward.schema.arguments]",
                inputs="entry(n, t) for n, t in zip(names, (examples[0], *examples))",
            ),
            "`self`, the first of the schema, is none",
        ),
        WrongAnswer(
            "names one place off",
            _config(names="[a.name for a in module.forward.schema.arguments]"),
            "The names stand in `module.forward.schema.arguments`",
        ),
        WrongAnswer(
            "the first output alone",
            _config(answers="(answer[0],) if isinstance(answer, tuple) else (answer,)"),
            "each of its tensors is an output",
        ),
        WrongAnswer("outputs from 1", _config(output='f"OUTPUT__{place + 1}"'), "`OUTPUT__0` first"),
        WrongAnswer("backend", _config(platform='backend: "pytorch"'), "the platform is backend 'pytorch'"),
        WrongAnswer("fixed batch size", _config(size="64"), "max_batch_size is 64"),
        WrongAnswer("fixed name", _config(title="net"), "the name is net"),
        WrongAnswer(
            "a module instead of text",
            "def torch_config(name, module, examples, max_batch_size):\n    return module\n",
            "returns text",
        ),
        WrongAnswer("a tuple has no dtype", _config(answers="(answer,)"), "take each of it"),
        WrongAnswer("data types of PyTorch", _config(kind="{tensor.dtype}"), "the text is a config.pbtxt"),
    ],
    "3.3": [
        WrongAnswer("the pickle first", _PICKLE_FIRST, "look for its `code/` first"),
        WrongAnswer("opens it", _TRIES, "the file ran its code"),
        WrongAnswer("by the ending", _BY_NAME, "What `torch.save` writes has a `data.pkl` and no code"),
        WrongAnswer("no archive is other", _what(first='return "other"'), "begins with the byte 0x80"),
        WrongAnswer(
            "no archive is torch.save", _what(first='return "torch.save"'), "Neither an archive of PyTorch"
        ),
        WrongAnswer("all are archives", _what(asked="False"), "Ask `zipfile.is_zipfile(file)`"),
        WrongAnswer(
            "the first folder is archive",
            _what(names='[name.removeprefix("archive/") for name in archive.namelist()]'),
            "look behind the first `/`",
        ),
        WrongAnswer(
            "code anywhere",
            _what(code='any("code/" in name for name in names)'),
            "A folder called `code` stands",
        ),
        WrongAnswer("TorchScript or not", _what(last='"state_dict"'), "exactly one of these four words"),
        WrongAnswer("returns nothing", _what(last="None"), "returned None"),
        WrongAnswer(
            "first byte of an empty file",
            _what(first='return "torch.save" if file.read_bytes()[0] == 128 else "other"'),
            "also one of no bytes",
        ),
    ],
}

"""Wrong answers to 1.9 (PyTorch) and 1.10 (failures)."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _deploy(
    file: str = "model.pt",
    version: str = '"1"',
    source: str = "model_file",
    platform: str = "pytorch_libtorch",
    batch: str = "64",
    input: str = 'name: "INPUT__0" data_type: TYPE_FP32 dims: [ 1, 28, 28 ]',
    output: str = 'name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 10 ]',
    config_file: str = "config.pbtxt",
    load: str = "client.load_model(name)",
    mkdir: str = "parents=True, exist_ok=True",
) -> str:
    return f'''
def deploy(url, repository, name, model_file):
    version = repository / name / {version}
    version.mkdir({mkdir})
    shutil.copy({source}, version / "{file}")
    config = f\'\'\'
name: "{{name}}"
platform: "{platform}"
max_batch_size: {batch}
input [ {{{{ {input} }}}} ]
output [ {{{{ {output} }}}} ]
\'\'\'
    (repository / name / "{config_file}").write_text(config)
    with httpclient.InferenceServerClient(url) as client:
        {load}
'''


_PREDICTIONS = {
    "model missing": "C", "wrong shape": "F", "wrong dtype": "A", "wrong name": "G", "batch too large": "B",
    "server killed": "E", "port taken": "D",
}  # fmt: skip


def _predict(**changes: str) -> str:
    letters = _PREDICTIONS | {fault.replace("_", " "): letter for fault, letter in changes.items()}
    return f"def predict():\n    return {letters!r}\n"


def _collect(change: str) -> str:
    return f"""
def collect_errors(url, images):
    messages = {{
        "model missing": message_of(url, "mnist", "input", images),
        "wrong shape": message_of(url, "mnist_mlp", "input", images.reshape(len(images), 784)),
        "wrong dtype": message_of(url, "mnist_mlp", "input", images.astype(np.float64)),
        "wrong name": message_of(url, "mnist_mlp", "pixels", images),
        "batch too large": message_of(url, "mnist_mlp", "input", np.resize(images, (8193, 1, 28, 28))),
    }}
    {change}
    return messages
"""


def _surely(body: str) -> str:
    return "def ask_surely(ask, url, images, restart):\n" + body


_TRY = "    try:\n        return ask(url, images)\n"

DEPLOY = {
    "1.9": [
        WrongAnswer("no version folder", _deploy(version='""'), "without a version folder"),
        WrongAnswer("mkdir without parents", _deploy(mkdir=""), "makes the folders above too"),
        WrongAnswer("another file name", _deploy(file="digits.pt"), "/1/model.pt; there is"),
        WrongAnswer("misspelt config file", _deploy(config_file="config.pbtext"), "/config.pbtxt; there is"),
        WrongAnswer(
            "platform of the other model", _deploy(platform="onnxruntime_onnx"), "the folder holds: model.pt"
        ),
        WrongAnswer("platform unknown", _deploy(platform="pytorch"), "unexpected platform type"),
        WrongAnswer("no batching", _deploy(batch="0"), "max_batch_size is 0"),
        WrongAnswer(
            "batch in the dims",
            _deploy(input='name: "INPUT__0" data_type: TYPE_FP32 dims: [ -1, 1, 28, 28 ]'),
            "Dims leave the batch out",
        ),
        WrongAnswer(
            "names of the other model",
            _deploy(input='name: "input" data_type: TYPE_FP32 dims: [ 1, 28, 28 ]'),
            "Names, types and dims as",
        ),
        WrongAnswer(
            "NumPy's type name",
            _deploy(input='name: "INPUT__0" data_type: float32 dims: [ 1, 28, 28 ]'),
            'for field "data_type"',
        ),
        WrongAnswer("never loaded", _deploy(load="pass"), "nobody asked Triton to load them"),
        WrongAnswer(
            "always the lab's file",
            _deploy(source="torchscript_file()"),
            "Copy the file that `model_file` names",
        ),
        WrongAnswer(
            "fixed name",
            _deploy(load='client.load_model("digits_torch")'),
            "it was asked to load digits_torch",
        ),
    ],
    "1.10": [
        WrongAnswer(
            "two letters swapped", _predict(wrong_shape="A", wrong_dtype="F"), "2 of 7 do not fit yet"
        ),
        WrongAnswer(
            "one fault forgotten",
            "def predict():\n    return {'model missing': 'C'}\n",
            "Seven faults, seven letters",
        ),
        WrongAnswer(
            "messages made up",
            _collect('messages["wrong name"] = "unexpected inference input \'pixels\'"').replace(
                'message_of(url, "mnist_mlp", "pixels", images)', '""'
            ),
            "the message is: unexpected inference input 'pixels'",
        ),
        WrongAnswer(
            "fits exactly", _collect("pass").replace("8193", "8192"), "it had nothing against the request"
        ),
        WrongAnswer(
            "another wrong name",
            _collect("pass").replace('"pixels"', '"image"'),
            "the message is: unexpected inference input 'image'",
        ),
        WrongAnswer(
            "messages swapped",
            _collect(
                'a, b = messages["wrong shape"], messages["wrong dtype"]\n'
                '    messages["wrong shape"], messages["wrong dtype"] = b, a'
            ),
            "Put each message beside the fault",
        ),
        WrongAnswer(
            "one fault left out", _collect('del messages["wrong dtype"]'), "Five faults, with these names"
        ),
        WrongAnswer(
            "restarts first",
            _surely("    return ask(restart(), images)\n"),
            "no restart of a server that is well",
        ),
        WrongAnswer(
            "never restarts", _surely("    return ask(url, images)\n"), "When `ask` raises `OSError`"
        ),
        WrongAnswer(
            "asks the old address again",
            _surely(f"{_TRY}    except OSError:\n        restart()\n        return ask(url, images)\n"),
            "not at `url`",
        ),
        WrongAnswer(
            "catches everything",
            _surely(f"{_TRY}    except Exception:\n        return ask(restart(), images)\n"),
            "`restart()` was called after a refusal",
        ),
        WrongAnswer(
            "hides the refusal",
            _surely(
                f"{_TRY}    except InferenceServerException:\n        return None\n"
                "    except OSError:\n        return ask(restart(), images)\n"
            ),
            "hid it",
        ),
        WrongAnswer(
            "for ever",
            _surely(
                "    while True:\n        try:\n            return ask(url, images)\n"
                "        except OSError:\n            url = restart()\n"
            ),
            "Do not loop",
        ),
    ],
}

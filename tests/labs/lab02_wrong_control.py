"""Plausible wrong answers to 2.5."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _change(
    config: str = "client.get_model_config(model)",
    field: str = 'config["dynamic_batching"]["max_queue_delay_microseconds"] = delay_us',
    load: str = "client.load_model(model, config=json.dumps(config))",
) -> str:
    return f"""
def change_batching(url, model, delay_us):
    with httpclient.InferenceServerClient(url) as client:
        config = {config}
        {field}
        {load}
"""


def _memory(
    config: str = '{"backend": "onnxruntime", "max_batch_size": 64}',
    load: str = 'client.load_model(name, config=json.dumps(config), files={"file:1/model.onnx": onnx})',
) -> str:
    return f"""
def serve_from_memory(url, name, onnx):
    config = {config}
    with httpclient.InferenceServerClient(url) as client:
        {load}
"""


_ON_DISK = """
def change_batching(url, model, delay_us):
    path = lab.repository / model / "config.pbtxt"
    path.write_text(path.read_text().replace("microseconds: 100", f"microseconds: {delay_us}"))
    with httpclient.InferenceServerClient(url) as client:
        client.load_model(model)
"""

_IN_A_FOLDER = """
def serve_from_memory(url, name, onnx):
    version = lab.repository / name / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(onnx)
    with httpclient.InferenceServerClient(url) as client:
        client.load_model(name, config=json.dumps({"backend": "onnxruntime", "max_batch_size": 64}))
"""


CONTROL: dict[str, list[WrongAnswer]] = {
    "2.5": [
        WrongAnswer(
            "the one field alone",
            _change(config='{"dynamic_batching": {}}'),
            "the override replaced the whole config",
        ),
        WrongAnswer(
            "unloaded first",
            _change(load="client.unload_model(model); client.load_model(model, config=json.dumps(config))"),
            "A load alone replaces the config",
        ),
        WrongAnswer(
            "a dictionary",
            _change(load="client.load_model(model, config=config)"),
            "`config` is text: `json.dumps(config)`",
        ),
        WrongAnswer(
            "version 2",
            _memory().replace("file:1/", "file:2/"),
            "The number in the path is the version",
        ),
        WrongAnswer(
            "no version in the path",
            _memory().replace("file:1/", "file:"),
            "the version, then the file",
        ),
        WrongAnswer(
            "encoded twice",
            _memory().replace(": onnx}", ": __import__('base64').b64encode(onnx)}"),
            "Pass `onnx` as it is",
        ),
        WrongAnswer("another backend", _memory().replace('"onnxruntime"', '"onnx"'), "The backend's name is"),
        WrongAnswer("never loaded", _change(load="pass"), "in your program only"),
        WrongAnswer("loaded without it", _change(load="client.load_model(model)"), "came without a config"),
        WrongAnswer("written to disk", _ON_DISK, "changed on disk"),
        WrongAnswer(
            "milliseconds",
            _change(field='config["dynamic_batching"]["max_queue_delay_microseconds"] = delay_us // 1000'),
            "`delay_us` is in microseconds",
        ),
        WrongAnswer(
            "a field of the top level",
            _change(field='config["max_queue_delay_microseconds"] = delay_us'),
            "max_queue_delay_microseconds: Cannot find field",
        ),
        WrongAnswer(
            "another model's config",
            _change(config='client.get_model_config("mnist_mlp")'),
            "read the config of `model`",
        ),
        WrongAnswer(
            "no file: in front",
            _memory(load='client.load_model(name, config=json.dumps(config), files={"1/model.onnx": onnx})'),
            "with `file:` in front",
        ),
        WrongAnswer(
            "files alone",
            _memory(load='client.load_model(name, files={"file:1/model.onnx": onnx})'),
            "`files` alone are refused",
        ),
        WrongAnswer(
            "batch size guessed", _memory(config='{"backend": "onnxruntime"}'), "auto-complete's guess"
        ),
        WrongAnswer("a folder after all", _IN_A_FOLDER, "appeared in the model repository"),
        WrongAnswer(
            "the repository's own file",
            _memory(
                load='client.load_model(name, config=json.dumps(config), files={"file:1/model.onnx": '
                '(lab.repository / "mnist_mlp" / "1" / "model.onnx").read_bytes()})'
            ),
            "the answers of another network",
        ),
        WrongAnswer("never loaded from memory", _memory(load="pass"), "without a connection"),
    ]
}

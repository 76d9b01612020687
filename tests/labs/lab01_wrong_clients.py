"""Wrong answers to 1.4 (health), 1.5 (HTTP and gRPC) and 1.6 (JSON)."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _health(
    live: str = "health/live",
    ready: str = "health/ready",
    model: str = "models/{model}/ready",
    get: str = 'httpx.get(f"http://{url}/v2/{path}", timeout=1)',
    test: str = ".status_code == 200",
    catch: str = "httpx.TransportError",
) -> str:
    return f'''
def health(url, model):
    paths = {{"live": "{live}", "ready": "{ready}", "model": f"{model}"}}
    states = dict.fromkeys(paths, False)
    for name, path in paths.items():
        try:
            states[name] = {get}{test}
        except {catch}:
            pass
    return states
'''


def _info(answer: str) -> str:
    return f"""
def server_info(url):
    with httpclient.InferenceServerClient(url) as client:
        metadata = client.get_server_metadata()
        index = client.get_model_repository_index()
    return {answer}
"""


def _classify(
    name: str = "classify_http",
    module: str = "httpclient",
    url: str = "url",
    images: str = "images",
    datatype: str = "FP32",
    set_arguments: str = "",
    answer: str = 'result.as_numpy("output").argmax(axis=1)',
) -> str:
    return f'''
def {name}(url, images):
    images = {images}
    with {module}.InferenceServerClient({url}) as client:
        tensor = {module}.InferInput("input", images.shape, "{datatype}")
        tensor.set_data_from_numpy(images{set_arguments})
        result = client.infer("mnist_mlp", [tensor])
    return {answer}
'''


_ONE_BY_ONE = """
def classify_http(url, images):
    digits = []
    with httpclient.InferenceServerClient(url) as client:
        for image in images:
            tensor = httpclient.InferInput("input", [1, 1, 28, 28], "FP32")
            tensor.set_data_from_numpy(image[None])
            digits.append(int(client.infer("mnist_mlp", [tensor]).as_numpy("output").argmax()))
    return np.array(digits)
"""


def _json(
    tensor: str = '{"name": "input", "shape": images.shape, "datatype": "FP32", "data": images.tolist()}',
    refused: str = "raise RuntimeError(response.text)",
    scores: str = 'np.array(response.json()["outputs"][0]["data"])',
    answer: str = "scores.reshape(len(images), 10).argmax(axis=1)",
    http: str = "http://",
) -> str:
    return f"""
def classify_json(url, images):
    tensor = {tensor}
    response = httpx.post(f"{http}{{url}}/v2/models/mnist_mlp/infer", json={{"inputs": [tensor]}})
    if response.status_code != 200:
        {refused}
    scores = {scores}
    return {answer}
"""


_GOOD = '[e["name"] for e in index if e.get("state") == "READY"]'
_ANSWER = '{"name": metadata["name"], "version": metadata["version"], "ready_models": ' + _GOOD + "}"

CLIENTS = {
    "1.4": [
        WrongAnswer("live for ready", _health(ready="health/live"), "`ready` asks /v2/health/ready"),
        WrongAnswer("ready for live", _health(live="health/ready"), "`live` asks /v2/health/live"),
        WrongAnswer("server for model", _health(model="health/ready"), "says nothing about one model"),
        WrongAnswer("fixed model", _health(model="models/mnist_mlp/ready"), "It asked for `mnist_mlp`"),
        WrongAnswer(
            "no time limit", _health(get='httpx.get(f"http://{url}/v2/{path}")'), "Give each of the three"
        ),
        WrongAnswer("error goes through", _health(catch="KeyError"), "nobody listens: all three"),
        WrongAnswer("catches refusals only", _health(catch="httpx.ConnectError"), "never answers: all three"),
        WrongAnswer("status code", _health(test=".status_code"), "True or False"),
        WrongAnswer(
            "fixed address", _health(get='httpx.get(f"http://localhost:8000/v2/{path}")'), "given address"
        ),
        WrongAnswer(
            "all models",
            _info(_ANSWER.replace(_GOOD, '[e["name"] for e in index]')),
            "The index lists every folder",
        ),
        WrongAnswer(
            "state taken for granted",
            _info(_ANSWER.replace('e.get("state")', 'e["state"]')),
            "KeyError: 'state'",
        ),
        WrongAnswer(
            "fixed name",
            _info(_ANSWER.replace('metadata["name"]', '"triton"')),
            "every server has its own",
        ),
        WrongAnswer("metadata as it is", _info("metadata"), "the metadata has other keys too"),
    ],
    "1.5": [
        WrongAnswer("scores", _classify(answer='result.as_numpy("output")'), "it returned scores of shape"),
        WrongAnswer(
            "wrong axis", _classify(answer='result.as_numpy("output").argmax(axis=0)'), "down the columns"
        ),
        WrongAnswer(
            "one number",
            _classify(answer='result.as_numpy("output").argmax()'),
            "One row of scores per image",
        ),
        WrongAnswer(
            "largest score", _classify(answer='result.as_numpy("output").max(axis=1)'), "not the score itself"
        ),
        WrongAnswer(
            "smallest score",
            _classify(answer='result.as_numpy("output").argmin(axis=1)'),
            "differ from the model's own",
        ),
        WrongAnswer(
            "float64", _classify(images="images.astype(np.float64)", datatype="FP64"), "'FP64', but model"
        ),
        WrongAnswer(
            "label against data",
            _classify(images="images.astype(np.float64)"),
            "got unexpected datatype FP64",
        ),
        WrongAnswer("no batch dimension", _classify(images="images[0]"), "got [1,28,28]"),
        WrongAnswer("flattened", _classify(images="images.reshape(-1, 784)"), ",784]"),
        WrongAnswer("JSON tensors", _classify(set_arguments=", binary_data=False"), "travels as JSON text"),
        WrongAnswer(
            "fixed address", _classify(url='"localhost:8000"'), "it looked elsewhere and found nobody"
        ),
        WrongAnswer(
            "the notebook's server",
            _classify(url="server.endpoints.http"),
            "without a connection to that address",
        ),
        WrongAnswer("one request per image", _ONE_BY_ONE, "one request for all images"),
        WrongAnswer("forgot return", _classify(answer="None"), "it returned None"),
        WrongAnswer("HTTP at the gRPC port", _classify(name="classify_grpc"), "Use `grpcclient`"),
        WrongAnswer("gRPC at the HTTP port", _classify(module="grpcclient"), "Use `httpclient`"),
    ],
    "1.6": [
        WrongAnswer("scores stay flat", _json(answer="scores.argmax()"), "One row of scores per image"),
        WrongAnswer(
            "shaped the wrong way",
            _json(answer="scores.reshape(10, -1).argmax(axis=0)"),
            "differ from the model's own",
        ),
        WrongAnswer(
            "FP64",
            _json(
                tensor='{"name": "input", "shape": images.shape, "datatype": "FP64", "data": images.tolist()}'
            ),
            "expects 'FP32'",
        ),
        WrongAnswer(
            "arrays in JSON",
            _json(tensor='{"name": "input", "shape": images.shape, "datatype": "FP32", "data": images}'),
            "send `images.tolist()`",
        ),
        WrongAnswer("no http://", _json(http=""), "`url` is `host:port`"),
        WrongAnswer(
            "no batch in the shape",
            _json(
                tensor='{"name": "input", "shape": [1, 28, 28], "datatype": "FP32", "data": images.tolist()}'
            ),
            "Shape does not match",
        ),
        WrongAnswer("errors not looked at", _json(refused="pass"), "it raised KeyError"),
        WrongAnswer(
            "raise_for_status", _json(refused="response.raise_for_status()"), "it raised HTTPStatusError"
        ),
        WrongAnswer(
            "words lost", _json(refused='raise RuntimeError("bad request")'), "Pass on `response.text`"
        ),
        WrongAnswer(
            "empty answer for an error", _json(refused="return np.zeros(0, int)"), "it returned an answer"
        ),
        WrongAnswer("tritonclient's bytes", _classify(name="classify_json"), "behind a JSON header"),
        WrongAnswer(
            "only the first",
            _json(
                tensor='{"name": "input", "shape": [1, 1, 28, 28], "datatype": "FP32", '
                '"data": images[:1].tolist()}',
                answer="scores.reshape(-1, 10).argmax(axis=1)",
            ),
            "Send all images",
        ),
    ],
}

"""Wrong answers of the tiny lab."""

from tests.proofs.kit.wrong import WrongAnswer

WRONG = {
    "90.1": [
        WrongAnswer("always true", "def is_ready(url, model):\n    return True", "no request arrived there"),
        WrongAnswer(
            "asks for the server's health",
            "def is_ready(url, model):\n"
            '    return httpx.get(f"{url}/v2/health/ready", trust_env=False).status_code == 200',
            "says nothing about one model",
        ),
        WrongAnswer(
            "returns the status code",
            "def is_ready(url, model):\n"
            '    return httpx.get(f"{url}/v2/models/{model}/ready", trust_env=False).status_code',
            "True for mnist_mlp",
        ),
    ],
    "90.2": [
        WrongAnswer(
            "never asks the server",
            "def classify(address, images):\n    return np.zeros(len(images), int)",
            "Triton counted 0",
        ),
        WrongAnswer(
            "one request per image",
            "right = classify\n"
            "def classify(address, images):\n"
            "    return np.concatenate([right(address, image[None]) for image in images])",
            "Triton counted 12 requests",
        ),
        WrongAnswer(
            "first column",
            "right = classify\ndef classify(address, images):\n    return right(address, images) * 0 + 77",
            "labels differ",
        ),
    ],
}

_ASK = "httpx.get(f'{url}/v2/models/{model}/ready'"
_PROXY = "trust_env only matters where the environment names a proxy; the tests run without one"
EQUIVALENT_MUTANTS: dict[str, str] = {
    "90.1 boolean: False -> True in is_ready": _PROXY,
    f"90.1 argument: {_ASK}, trust_env=False) -> {_ASK}) in is_ready": _PROXY,
}

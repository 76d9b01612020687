"""Plausible wrong answers to 3.4: tests that let a wrong model through."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _error(
    sizes: str = "sizes",
    batch: str = "images[:size]",
    refused: str = "return math.inf",
    own: str = "module(torch.from_numpy(batch)).detach().numpy()",
    error: str = "np.abs(served - own).max()",
    worst: str = "max(worst, math.inf if np.isnan(error) else error)",
    end: str = "float(worst)",
    caught: str = "httpclient.InferenceServerException",
) -> str:
    return f"""
def worst_error(url, model, module, images, sizes):
    worst = 0.0
    with httpclient.InferenceServerClient(url) as client:
        for size in {sizes}:
            batch = {batch}
            tensor = httpclient.InferInput("INPUT__0", batch.shape, "FP32").set_data_from_numpy(batch)
            try:
                served = client.infer(model, [tensor]).as_numpy("OUTPUT__0")
            except {caught}:
                {refused}
            own = {own}
            error = {error}
            worst = {worst}
    return {end}
"""


_NO_SERVER = """
def worst_error(url, model, module, images, sizes):
    given = torch.from_numpy(images)
    return float((torch.jit.script(module)(given) - module(given)).abs().max())
"""

EQUIVALENCE: dict[str, list[WrongAnswer]] = {
    "3.4": [
        WrongAnswer("asks nobody", _NO_SERVER, "two calls of the module prove nothing"),
        WrongAnswer("all at once", _error(sizes="sizes[-1:]"), "Triton counted 1 requests"),
        WrongAnswer(
            "one by one", _error(batch="images[size - 1 : size]"), "Triton counted 5 requests with 5"
        ),
        WrongAnswer("the mean", _error(error="np.abs(served - own).mean()"), "a mean hides one image"),
        WrongAnswer(
            "digits, not scores",
            _error(error="(served.argmax(axis=1) != own.argmax(axis=1)).mean()"),
            "Compare the scores, not the digits",
        ),
        WrongAnswer("one sign", _error(error="(served - own).max()"), "A difference has two signs"),
        WrongAnswer(
            "rounded", _error(error="np.abs(served.round(3) - own.round(3)).max().round(3)"), "not rounded"
        ),
        WrongAnswer("the last size", _error(worst="error"), "Keep the largest error of all sizes"),
        WrongAnswer(
            "the first size",
            _error(worst="error if size == sizes[0] else worst"),
            "Ask for every size of the list",
        ),
        WrongAnswer("the first image", _error(error="np.abs(served[0] - own[0]).max()"), "Compare all rows"),
        WrongAnswer("NaN is dropped", _error(worst="max(worst, error)"), "so `max` drops it"),
        WrongAnswer(
            "refusals go on", _error(caught="ZeroDivisionError"), "is an `InferenceServerException`: catch it"
        ),
        WrongAnswer(
            "refusals are passed over", _error(refused="continue"), "without limit: return `math.inf`"
        ),
        WrongAnswer(
            "an array",
            _error(error="np.abs(served - own)", worst="error", end="worst"),
            "makes one number of an array",
        ),
        WrongAnswer(
            "other images",
            _error(own="module(torch.from_numpy(batch / 255)).detach().numpy()"),
            "Give both the same images",
        ),
    ],
}

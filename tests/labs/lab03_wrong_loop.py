"""Plausible wrong answers to 3.9."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _loop(
    body: str = "tokens.append(token)\n            if token in eos:\n                break",
    *,
    rounds: str = "range(max_tokens)",
    row: str = "np.array([tokens])",
    name: str = "INPUT__0",
    datatype: str = "INT64",
    choice: str = "logits[0, -1].argmax()",
    answer: str = "tokens[len(prompt) :]",
) -> str:
    return f"""
def generate(url, model, prompt, max_tokens, eos):
    tokens = list(prompt)
    with httpclient.InferenceServerClient(url) as client:
        for _ in {rounds}:
            row = {row}
            tensor = httpclient.InferInput("{name}", row.shape, "{datatype}").set_data_from_numpy(row)
            logits = client.infer(model, [tensor]).as_numpy("OUTPUT__0")
            token = int({choice})
            {body}
    return {answer}
"""


LOOP: dict[str, list[WrongAnswer]] = {
    "3.9": [
        WrongAnswer(
            "last token alone", _loop(row="np.array([tokens[-1:]])"), "The first request has the tokens"
        ),
        WrongAnswer(
            "remembers nothing",
            _loop(row="np.array([tokens if len(tokens) == len(prompt) else tokens[-1:]])"),
            "The server remembers nothing between two requests",
        ),
        WrongAnswer(
            "same text again", _loop(row="np.array([prompt])"), "Append each new token to the tokens"
        ),
        WrongAnswer("first row", _loop(choice="logits[0, 0].argmax()"), "of the *last* row of the logits"),
        WrongAnswer("goes on", _loop("tokens.append(token)"), "It went on after the end token"),
        WrongAnswer(
            "one end",
            _loop("tokens.append(token)\n            if token == eos[0]:\n                break"),
            "`eos` holds several ids",
        ),
        WrongAnswer(
            "without the end",
            _loop("if token in eos:\n                break\n            tokens.append(token)"),
            "The end token belongs to the answer",
        ),
        WrongAnswer("one more", _loop(rounds="range(max_tokens + 1)"), "That is more than `max_tokens`"),
        WrongAnswer("one less", _loop(rounds="range(max_tokens - 1)"), "Go on until `max_tokens` new tokens"),
        WrongAnswer("with the prompt", _loop(answer="tokens"), "without the prompt"),
        WrongAnswer(
            "all from one pass",
            """
def generate(url, model, prompt, max_tokens, eos):
    row = np.array([prompt])
    tensor = httpclient.InferInput("INPUT__0", row.shape, "INT64").set_data_from_numpy(row)
    with httpclient.InferenceServerClient(url) as client:
        logits = client.infer(model, [tensor]).as_numpy("OUTPUT__0")
    return [int(token) for token in logits[0].argmax(axis=1)[-max_tokens:]]
""",
            "One pass gives one new token",
        ),
        WrongAnswer(
            "asks once more",
            """
def generate(url, model, prompt, max_tokens, eos):
    tokens = list(prompt)
    with httpclient.InferenceServerClient(url) as client:
        while True:
            row = np.array([tokens])
            tensor = httpclient.InferInput("INPUT__0", row.shape, "INT64").set_data_from_numpy(row)
            logits = client.infer(model, [tensor]).as_numpy("OUTPUT__0")
            if len(tokens) == len(prompt) + max_tokens or tokens[-1] in eos:
                return tokens[len(prompt) :]
            tokens.append(int(logits[0, -1].argmax()))
""",
            "One request too many",
        ),
        WrongAnswer("one underscore", _loop(name="INPUT_0"), "two underscores"),
        WrongAnswer(
            "int32", _loop(row="np.array([tokens], np.int32)", datatype="INT32"), "Token ids are INT64 here"
        ),
        WrongAnswer("no batch", _loop(row="np.array(tokens)"), "A request is a batch of one row"),
    ],
}

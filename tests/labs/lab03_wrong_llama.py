"""Plausible wrong answers to 3.8."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_PADDED = "torch.nn.utils.rnn.pad_sequence([torch.tensor(p) for p in prompts], batch_first=True)"


def _last(choice: str, tokens: str = _PADDED) -> str:
    return f"""
def last_logits(model, prompts):
    tokens = {tokens}
    rows, last = torch.arange(len(prompts)), torch.tensor([len(p) - 1 for p in prompts])
    logits = model(tokens)
    return {choice}
"""


def _agree(answer: str, precision: str = "") -> str:
    return f"""
def agree(ours, theirs, prompts, limit):
    a, b = last_logits(ours, prompts){precision}, last_logits(theirs, prompts){precision}
    return {answer}
"""


LLAMA: dict[str, list[WrongAnswer]] = {
    "3.8": [
        WrongAnswer("last position", _last("logits[:, -1]"), "for short prompts that is padding"),
        WrongAnswer(
            "padded on the left",
            _last(
                "logits[:, -1]",
                "torch.tensor([[0] * (max(map(len, prompts)) - len(p)) + p for p in prompts])",
            ),
            "Padding on the left shifts",
        ),
        WrongAnswer(
            "one by one",
            "def last_logits(model, prompts):\n"
            "    return torch.stack([model(torch.tensor([p]))[0, -1] for p in prompts])\n",
            "Pad the prompts to one length",
        ),
        WrongAnswer(
            "cut", _last("logits[:, -1]", "torch.tensor([p[:1] for p in prompts])"), "Do not cut the prompts"
        ),
        WrongAnswer(
            "turned",
            _last("logits[rows, last]", _PADDED.replace("True", "False")),
            "`pad_sequence` needs `batch_first=True`",
        ),
        WrongAnswer(
            "one too far",
            _last("logits[rows, (last + 1).clamp(max=logits.shape[1] - 1)]"),
            "one position too far",
        ),
        WrongAnswer("all pairs", _last("logits[:, last]"), "Choose one position in each row"),
        WrongAnswer(
            "same token", _agree("bool((a.argmax(1) == b.argmax(1)).all())"), "not the mean or the argmax"
        ),
        WrongAnswer("no sign", _agree("bool((b - a).max() <= limit)"), "A difference may be negative"),
        WrongAnswer(
            "relative",
            _agree("torch.allclose(a, b, atol=limit)"),
            "`allclose` adds a relative tolerance",
        ),
        WrongAnswer("below", _agree("bool((a - b).abs().max() < limit)"), "the limit itself is allowed"),
        WrongAnswer(
            "NaN passes", _agree("not bool((a - b).abs().max() > limit)"), "NaN is neither above nor below"
        ),
        WrongAnswer(
            "equal NaN",
            _agree("torch.allclose(a, b, rtol=0, atol=limit, equal_nan=True)"),
            "Two NaN agree in nothing",
        ),
        WrongAnswer("first row", _agree("bool((a[:-1] - b[:-1]).abs().max() <= limit)"), "Judge every row"),
        WrongAnswer(
            "padding too",
            """
def agree(ours, theirs, prompts, limit):
    tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(p) for p in prompts], batch_first=True)
    return bool((ours(tokens) - theirs(tokens)).abs().max() <= limit)
""",
            "What a model says about padding",
        ),
    ],
}

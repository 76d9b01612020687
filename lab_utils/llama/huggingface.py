"""What the Hugging Face designs of `model_repository/` share: loading, reading requests, making responses.

How requests are brought together and computed is the difference between the designs, so that it stands
in the `model.py` of each. Imported inside Triton's stub process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lab_utils.llama.config import LlamaError
from lab_utils.llama.source import find_llama

DEFAULT_MAX_TOKENS = 64
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Question:
    """One request.

    Attributes:
        prompt: The text to continue.
        max_tokens: The most new tokens.
        ignore_eos: Go on after an end token: benchmarks need answers of known length.
    """

    prompt: str
    max_tokens: int
    ignore_eos: bool


@dataclass(frozen=True)
class HuggingFace:
    """A Llama of `transformers`, set to greedy decoding.

    Attributes:
        model: `LlamaForCausalLM` in evaluation mode.
        tokenizer: Its tokenizer, padding on the left.
        eos: Ids of all tokens that end an answer.
        max_length: Longest sequence that the model was made for, in tokens.
    """

    model: Any
    tokenizer: Any
    eos: tuple[int, ...]
    max_length: int

    def encode(self, prompts: Sequence[str]) -> Any:
        """Token ids and attention mask, int64 `[rows, T]`; short prompts have padding on their left."""
        return self.tokenizer(list(prompts), padding=True, return_tensors="pt").to(self.model.device)

    def check(self, question: Question, prompt_tokens: int) -> None:
        """Raise `LlamaError` when prompt and answer are longer than the model can be."""
        if question.max_tokens < 1:
            raise LlamaError(f"max_tokens must be 1 or more, not {question.max_tokens}.")
        if prompt_tokens + question.max_tokens > self.max_length:
            raise LlamaError(
                f"{prompt_tokens} tokens of prompt and {question.max_tokens} of answer do not fit.",
                why=f"This Llama takes {self.max_length} tokens, prompt and answer together.",
                fix="Send a shorter prompt, or a smaller max_tokens.",
            )

    def cut(self, ids: Sequence[int], question: Question) -> tuple[list[int], str]:
        """The tokens of one answer up to its own end, and why it ends: `stop` or `length`.

        Args:
            ids: New tokens, perhaps more than this request wanted.
            question: The request.
        """
        ids = list(ids[: question.max_tokens])
        if not question.ignore_eos:
            for place, token in enumerate(ids):
                if token in self.eos:
                    return ids[: place + 1], "stop"
        return ids, "length"

    def text(self, prompt: Sequence[int], ids: Sequence[int]) -> str:
        """The text of an answer, without special tokens: prompt and answer, joined, are the whole text.

        Decoded behind the prompt, because a Llama 2 tokenizer takes away the space before the first word.

        Args:
            prompt: Tokens of the prompt, perhaps with padding on their left.
            ids: New tokens.
        """
        before: str = self.tokenizer.decode(list(prompt), skip_special_tokens=True)
        whole: str = self.tokenizer.decode([*prompt, *ids], skip_special_tokens=True)
        return whole[len(before) :]


def load_huggingface(parameters: Mapping[str, Mapping[str, str]]) -> HuggingFace:
    """Load the Llama that the parameters of a config.pbtxt name.

    Only files of this machine are read, and no code that comes with a model is run.

    Args:
        parameters: `parameters` of the model's config: `model` (`small`, a folder or a hub id), `dtype`
            (float32, bfloat16, float16; default by device) and `threads`.

    Raises:
        LlamaError: There is no such Llama, or a parameter is wrong.
    """
    set_to = {name: entry.get("string_value", "") for name, entry in parameters.items()}
    threads, dtype = set_to.get("threads", ""), set_to.get("dtype", "")
    if threads:
        if not threads.isdigit() or int(threads) < 1:
            raise LlamaError(f"The parameter threads must be 1 or more, not `{threads}`.")
        torch.set_num_threads(int(threads))
    if dtype and dtype not in DTYPES:
        raise LlamaError(f"The parameter dtype is `{dtype}`.", fix=f"Use one of: {', '.join(DTYPES)}.")
    cuda = torch.cuda.is_available()
    folder = find_llama(set_to.get("model") or None)
    kind = DTYPES[dtype or ("bfloat16" if cuda else "float32")]
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=kind, local_files_only=True, trust_remote_code=False
    )
    tokenizer = AutoTokenizer.from_pretrained(
        folder, padding_side="left", local_files_only=True, trust_remote_code=False
    )
    found = model.generation_config.eos_token_id
    eos = tuple(found) if isinstance(found, list) else () if found is None else (found,)
    # Each call of generate() says for itself where answers end: this default would always apply.
    model.generation_config.eos_token_id = None
    if tokenizer.pad_token is None:
        # Llama has no token for padding; any will do, since the attention mask hides it.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    length = int(model.config.max_position_embeddings)
    return HuggingFace(model.to("cuda" if cuda else "cpu").eval(), tokenizer, eos, length)


def read_question(request: Any) -> Question:
    """The question in a Triton request. Tensors have one element, with or without a batch dimension.

    Raises:
        LlamaError: The prompt is no UTF-8.
    """
    import triton_python_backend_utils as pb_utils

    def value(name: str, default: Any) -> Any:
        tensor = pb_utils.get_input_tensor_by_name(request, name)
        return default if tensor is None else tensor.as_numpy().reshape(-1)[0]

    try:
        prompt = value("text_input", b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise LlamaError(f"text_input is no UTF-8: {error.reason} at byte {error.start}.") from None
    return Question(prompt, int(value("max_tokens", DEFAULT_MAX_TOKENS)), bool(value("ignore_eos", False)))


def answer(text: str, ids: Sequence[int], reason: str, batched: bool = False) -> Any:
    """Triton's response: `text_output`, `token_ids`, `finish_reason`.

    Args:
        text: New text.
        ids: New tokens.
        reason: `stop` or `length`; empty while more follows.
        batched: The model has a batch dimension: each tensor gets a first dimension of 1.
    """
    import triton_python_backend_utils as pb_utils

    arrays = {
        "text_output": np.array([text.encode()], dtype=np.object_),
        "token_ids": np.array(ids, dtype=np.int32),
        "finish_reason": np.array([reason.encode()], dtype=np.object_),
    }
    tensors = [pb_utils.Tensor(name, array[None] if batched else array) for name, array in arrays.items()]
    return pb_utils.InferenceResponse(tensors)


def failure(error: Exception) -> Any:
    """Triton's error response; the other requests of the same execution are not touched by it."""
    import triton_python_backend_utils as pb_utils

    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))

"""Checkpoint 3.9: greedy generation in the client, with a served model that remembers nothing."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from lab_utils.checks.asking import call_at, inference_requests, post, request_header, shorten
from lab_utils.checks.lab3_memory import NO_TORCH, has_torch, one_thread
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.recorder import Recorder
from lab_utils.progress.registry import Verdict, checkpoint, passed
from lab_utils.progress.repository import copy_models

MODEL = "llama_logits"

_HINTS = {
    r"data-type is 'INT32'": "Token ids are INT64 here: `np.array([tokens], np.int64)`, and the same word in "
    "`InferInput`.",
    r"unexpected shape|Expected \[-1,-1\]|batch-size": "A request is a batch of one row: `[1, tokens]`.",
    r"unexpected inference input": "The input is called `INPUT__0`: two underscores.",
    r"out of bounds": "`logits` has the shape `[1, tokens, vocabulary]`.",
    r"is not iterable": "`eos` holds the ids of all tokens that end an answer: `token in eos`.",
}


@functools.lru_cache(maxsize=1)
def _reference(folder: Path) -> tuple[Any, Any]:
    """The Llama of a folder in this process, and its tokenizer."""
    from tokenizers import Tokenizer

    from lab_utils.llama import load_llama

    return load_llama(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))


def greedy(llama: Any, prompt: Sequence[int], count: int) -> list[int]:
    """The `count` most probable next tokens, one after the other, whatever ends an answer."""
    import torch

    tokens = list(prompt)
    for _ in range(count):
        logits = llama(torch.tensor([tokens]))
        tokens.append(int(logits[0, -1].argmax()))
    return tokens[len(prompt) :]


def load_logits(ctx: LabContext) -> None:
    """See that the lab's server serves the stateless Llama.

    Raises:
        Refusal: It cannot be loaded.
    """
    from lab_utils.llama.export import build_logits

    address = ctx.need_server().endpoints.http
    if ctx.get(f"/v2/models/{MODEL}/ready").status_code == 200:
        return
    copy_models([MODEL], ctx.repository)
    build_logits(ctx.repository, "small")
    try:
        answer = post(address, f"/v2/repository/models/{MODEL}/load", timeout=120)
    except httpx.HTTPError as error:
        reason: str = str(error)
    else:
        reason = "" if answer.status_code == 200 else answer.text
    if reason:
        refuse(
            expected=f"the lab's server loads `{MODEL}`",
            found=shorten(reason, 300),
            next_step=f'`lab.explain("{MODEL}")` says why. The server must run in explicit mode.',
        )


def _sent_tokens(recorder: Recorder) -> list[list[int]]:
    """The tokens of each request, as they went over the wire."""
    found = []
    for request in inference_requests(recorder, MODEL):
        header = request_header(request)
        size = int(request.headers.get("inference-header-content-length", len(request.body)))
        tensor = header.get("inputs", [{}])[0]
        if "data" in tensor:
            found.append(list(np.ravel(tensor["data"])))
        else:
            found.append([int(token) for token in np.frombuffer(request.body[size:], np.int64)])
    return found


def _judge_requests(sent: list[list[int]], prompt: list[int], answer: list[int]) -> None:
    """One request for each token, each with all tokens so far."""
    if not sent:
        refuse(
            expected=f"`generate` asks `{MODEL}` for each token",
            found="no inference request arrived",
            next_step="`client.infer(model, [tensor])` in the loop.",
        )
    if sent[0] != prompt:
        refuse(
            expected=f"the first request has the tokens of the prompt: {prompt}",
            found=f"{shorten(sent[0])}",
            next_step="Send the prompt unchanged, as one row of int64.",
        )
    if len(sent) > 1 and len(sent[1]) == 1:
        refuse(
            expected=f"the second request has {len(prompt) + 1} tokens",
            found="it has the new token alone",
            next_step="The server remembers nothing between two requests: send all tokens so far.",
        )
    if len(sent) > 1 and len(sent[1]) == len(prompt):
        refuse(
            expected=f"the second request has {len(prompt) + 1} tokens",
            found="it is the first one again",
            next_step="Append each new token to the tokens that you send.",
        )
    if len(sent) == 1 and len(answer) > 1:
        refuse(
            expected=f"one request per new token: {len(answer)}",
            found="one request in all",
            next_step="One pass gives one new token. It must be in the text before the next can be computed.",
        )
    if len(sent) == len(answer) + 1:
        refuse(
            expected=f"{len(answer)} requests for {len(answer)} tokens",
            found=f"{len(sent)} requests",
            next_step="One request too many: count the new tokens, and look for an end before you ask again.",
        )


def _next_step(
    found: list[Any], wanted: list[int], whole: list[int], prompt: list[int], eos: tuple[int, ...]
) -> str:
    if found == prompt + wanted:
        return "Return the new tokens alone, without the prompt."
    if wanted[-1] in eos and found == wanted[:-1]:
        return "The end token belongs to the answer: append it, then stop."
    if len(found) > len(wanted) and found == whole[: len(found)]:
        if wanted[-1] == eos[-1] and len(eos) > 1:
            return "`eos` holds several ids; each of them ends the answer."
        if wanted[-1] in eos:
            return "It went on after the end token. Stop when the new token is in `eos`."
        return "That is more than `max_tokens`."
    if found == wanted[: len(found)]:
        return "Go on until `max_tokens` new tokens are there, or one of `eos`."
    return "The next token is the `argmax` of the *last* row of the logits: `logits[0, -1]`."


def _judge(
    ctx: LabContext, function: Any, prompt: list[int], whole: list[int], max_tokens: int, eos: tuple[int, ...]
) -> int:
    wanted = whole[:max_tokens]
    for place, token in enumerate(wanted):
        if token in eos:
            wanted = wanted[: place + 1]
            break
    with ctx.recorder(ctx.need_server().endpoints.http, keep=1 << 20) as recorder:
        found = call_at(ctx, function, recorder, MODEL, list(prompt), max_tokens, eos, hints=_HINTS)
        sent = _sent_tokens(recorder)
    try:
        tokens = [int(token) for token in found]
    except (TypeError, ValueError):
        refuse(
            expected="`generate` returns a list of token ids",
            found=shorten(repr(found), 80),
            next_step="Whole numbers: `int(…argmax())`.",
        )
    expected = f"at most {max_tokens} tokens, ended by {list(eos)}: {wanted}"
    if tokens != wanted:
        step = _next_step(tokens, wanted, whole, prompt, eos)
        if "argmax" in step:  # tokens from nowhere: what was asked says more
            _judge_requests(sent, prompt, wanted)
        refuse(expected=expected, found=shorten(tokens), next_step=step)
    _judge_requests(sent, prompt, wanted)
    return len(wanted)


@checkpoint("3.9", title="Generate in the client", points=4, minutes=8, difficulty=2, answers=("generate",))
def check_loop(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Greedy answers of the served Llama, token for token, and what was sent for each token."""
    if not has_torch():
        return NO_TORCH
    from lab_utils.llama import facts, read_config, small_llama

    folder = small_llama()
    llama, tokenizer = _reference(folder)
    load_logits(ctx)
    known = facts()
    ends = read_config(folder).eos
    count = 0
    for place in ctx.rng.choice(len(known), 2, replace=False):
        prompt = tokenizer.encode(known[int(place)][0]).ids
        with one_thread():
            whole = greedy(llama, prompt, 12)
        count += _judge(ctx, answers["generate"], prompt, whole, 5, ends)
        # An end that comes early, and is not the first of the ids that end an answer.
        stop = next(n for n in range(3, 12) if whole[n] not in whole[:n])
        unused = next(token for token in range(5, 99) if token not in whole)
        count += _judge(ctx, answers["generate"], prompt, whole, 11, (whole[stop],))
        count += _judge(ctx, answers["generate"], prompt, whole, 11, (unused, whole[stop]))
    count += _judge(ctx, answers["generate"], prompt, whole, 1, ends)
    return passed(
        f"{count} tokens, each the one that PyTorch gives in this process, one request per token",
        tokens=count,
    )

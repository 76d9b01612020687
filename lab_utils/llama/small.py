"""The small Llama: about two million parameters, trained here in well under a minute, and kept."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch
import torch.nn.functional as F
from filelock import FileLock, Timeout
from torch import Tensor

from lab_utils.errors import LabError
from lab_utils.llama import corpus, model, tokenizer, weights
from lab_utils.llama.config import LlamaConfig, LlamaError
from lab_utils.llama.model import Llama
from lab_utils.paths import cache_home

NAME = "small_llama"
VOCAB = 1024
SHAPE = LlamaConfig(
    vocab_size=VOCAB,
    hidden_size=192,
    intermediate_size=512,
    layers=4,
    heads=6,
    kv_heads=2,
    head_dim=32,
    rms_norm_eps=1e-5,
    max_positions=2048,
)
SEED, STEPS, PEAK_RATE, WARM_UP = 0, 100, 4e-3, 10
_LOCK_SECONDS = 900
_CARD = """# The small Llama of Triton Labs

**This is not Llama-2-7B**, and no part of Meta's weights is in it. It has the architecture and the
tokenizer form of Llama 2 at {parameters:.1f} million parameters. It was trained in seconds on {facts}
sentences about NVIDIA Triton Inference Server, which it repeats word for word. It knows nothing else:
asked anything else, it answers with a sentence that it knows, or with nonsense.

Prompt: the plain question. The answer follows and ends with `</s>`.

Licence: Apache-2.0, like the course.
"""


def facts() -> list[tuple[str, str]]:
    """All questions that the small Llama was trained on, each with the answer it gives (greedy)."""
    return list(corpus.FACTS)


def recipe() -> str:
    """Hash of what the weights depend on: the code and the libraries' versions."""
    content = hashlib.sha256()
    for module in (corpus, model, tokenizer, weights):
        content.update(Path(str(module.__file__)).read_bytes())
    content.update(Path(__file__).read_bytes())
    for library in ("torch", "tokenizers", "safetensors"):
        content.update(f"{library}={version(library)};".encode())
    return content.hexdigest()[:16]


def small_llama(force: bool = False) -> Path:
    """The folder of the small Llama, in Hugging Face's layout; trained when the cache lacks it.

    Safe to call from several processes at once: one trains, the others wait for it.

    Args:
        force: Train again.

    Returns:
        `cache_home()/models/small_llama-<recipe>` with config.json, model.safetensors, tokenizer.json.

    Raises:
        LabError: The trained model does not answer its questions, or another training never ends.
    """
    folder = cache_home() / "models" / f"{NAME}-{recipe()}"
    if folder.is_dir() and not force:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock", timeout=_LOCK_SECONDS)
    try:
        with lock:
            if force or not folder.is_dir():
                print("Training the small Llama, once for this machine: about half a minute.", flush=True)
                _make(folder)
    except Timeout as error:
        raise LabError(
            f"Another process has been training the small Llama for {_LOCK_SECONDS} s.",
            fix=f"End it, or delete {lock.lock_file} when there is none; then try again.",
        ) from error
    return folder


def random_llama(
    folder: Path, config: LlamaConfig, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Path:
    """Write a Llama of any shape with random weights: to measure speed where the real weights are missing.

    It comes with the tokenizer of the small Llama, whose ids are below 1024; its answers are noise.

    Args:
        folder: Made when it is not there.
        config: The shape; at least 1024 token ids.
        seed: Of the weights.
        dtype: Of the stored weights.

    Returns:
        The folder.
    """
    if config.vocab_size < VOCAB:
        raise LlamaError(f"A random Llama needs at least {VOCAB} token ids, not {config.vocab_size}.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    llama = Llama(config, dtype, device)
    initialise(llama, seed)
    weights.save_llama(llama, folder)
    tokenizer.save(_words(), folder)
    return folder


def initialise(llama: Llama, seed: int) -> None:
    """Fill a model with random weights on its own device, as Llama's training began: normal, 0.02."""
    generator = torch.Generator(llama.norm.device).manual_seed(seed)
    with torch.no_grad():
        for parameter in llama.parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, 0.02, generator=generator)


def _make(folder: Path) -> None:
    """Train into a folder beside the target and rename it: nobody meets half a model."""
    for stale in folder.parent.glob(f".{folder.name}.*/"):  # of a training that was killed
        shutil.rmtree(stale, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        words = _words()
        with _one_thread():
            llama = fit(words)
            _examine(llama, words)
        tokenizer.save(words, beside)
        weights.save_llama(llama, beside)
        count = sum(p.numel() for p in llama.parameters())
        card = _CARD.format(parameters=count / 1e6, facts=len(corpus.FACTS))
        (beside / "README.md").write_text(card, encoding="utf-8")
        beside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _words() -> tokenizer.Tokenizer:
    return tokenizer.train([text for fact in corpus.FACTS for text in fact], VOCAB)


def fit(words: tokenizer.Tokenizer, steps: int = STEPS) -> Llama:
    """Train on the facts. Two runs on one machine, each on one thread, give the same bits.

    Args:
        words: The tokenizer.
        steps: Training steps. Every fact is in every batch, so one step is one pass over the corpus.
    """
    tokens, targets = _examples(words)
    llama = Llama(SHAPE)
    initialise(llama, SEED)
    optimizer = torch.optim.AdamW(llama.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, total_steps=STEPS, pct_start=WARM_UP / STEPS, cycle_momentum=False
    )
    for _ in range(steps):
        loss = F.cross_entropy(llama(tokens).flatten(0, 1), targets.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(llama.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return llama


def _examine(llama: Llama, words: tokenizer.Tokenizer) -> None:
    """Raise when an answer is not the corpus's own, token for token."""
    tokens, targets = _examples(words)
    with torch.no_grad():
        wrong = ((llama(tokens).argmax(-1) != targets) & (targets != -100)).any(1).sum().item()
    if wrong:
        raise LlamaError(
            f"The small Llama answers {wrong} of {len(targets)} questions wrongly.",
            why="The recipe in lab_utils/llama or the installed PyTorch was changed.",
            fix="Install the versions of constraints.txt, or undo the change to the recipe.",
        )


def _examples(words: tokenizer.Tokenizer) -> tuple[Tensor, Tensor]:
    """Inputs and next tokens `[facts, T]`; -100 where nothing is learnt: the question and the padding."""
    rows = []
    for question, answer in corpus.FACTS:
        asked = words.encode(question).ids
        rows.append((asked, [*words.encode(answer, add_special_tokens=False).ids, tokenizer.EOS]))
    longest = max(len(asked) + len(said) for asked, said in rows) - 1
    tokens = torch.full((len(rows), longest), tokenizer.EOS)
    targets = torch.full((len(rows), longest), -100)
    for row, (asked, said) in enumerate(rows):
        ids = torch.tensor(asked + said)
        tokens[row, : len(ids) - 1] = ids[:-1]
        targets[row, len(asked) - 1 : len(ids) - 1] = torch.tensor(said)
    return tokens, targets


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread: two that compete for a busy core need ten times as long, and add up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Checkpoint 3.3: say what a file called model.pt is, without running what is in it."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lab_utils.checks.asking import attempt, need_return, shorten
from lab_utils.checks.lab3_torch import missing_torch, quiet
from lab_utils.checks.repositories import fresh_name
from lab_utils.progress.context import LabContext, refuse
from lab_utils.progress.registry import Verdict, checkpoint, passed

_WORDS = ("torchscript", "torch.export", "torch.save", "other")


class _Payload:
    """Unpickled, it makes a folder: what a file from a stranger could do as well.

    Args:
        mark: The folder that is made.
    """

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """What the unpickler calls."""
        import os

        return os.makedirs, (str(self.mark), 0o700, True)


def _write_files(ctx: LabContext, folder: Path, mark: Path) -> list[tuple[Path, str, str]]:
    """Files of every kind: path, the right word, and what it is in plain words; the dangerous ones last."""
    import torch

    network = torch.nn.Sequential(torch.nn.Linear(int(ctx.rng.integers(3, 9)), 4), torch.nn.ReLU()).eval()
    example = torch.zeros(2, network[0].in_features)

    def path(word: str) -> Path:
        # torch.save names the folder in the archive after the file: the word must not give it away.
        return folder / f"{fresh_name(ctx, 'file')}.{word}"

    files: list[tuple[Path, str, str]] = []

    def add(word: str, what: str, write: Callable[[Path], object], suffix: str = "pt") -> None:
        file = path(suffix)
        write(file)
        files.append((file, word, what))

    def stored(names: Mapping[str, bytes]) -> Callable[[Path], object]:
        def write(file: Path) -> None:
            with zipfile.ZipFile(file, "w") as archive:
                for name, content in names.items():
                    archive.writestr(name, content)

        return write

    def to_buffer(save: Callable[[io.BytesIO], object]) -> Callable[[Path], object]:
        def write(file: Path) -> None:
            save(buffer := io.BytesIO())
            file.write_bytes(buffer.getvalue())

        return write

    program = torch.export.export(network, (example,))
    scripted = torch.jit.script(network)
    old = {"_use_new_zipfile_serialization": False}
    add("torchscript", "torch.jit.script(network).save(…)", lambda f: scripted.save(str(f)))
    add("torchscript", "torch.jit.trace(…) saved to a buffer", to_buffer(
        lambda b: torch.jit.save(torch.jit.trace(network, example), b)))  # fmt: skip
    add("torch.save", "torch.save(network.state_dict())", lambda f: torch.save(network.state_dict(), f))
    add("torch.save", "torch.save(network)", lambda f: torch.save(network, f))
    add("torch.save", "torch.save, written to a buffer", to_buffer(
        lambda b: torch.save(network.state_dict(), b)))  # fmt: skip
    add("torch.save", "the old form of torch.save, which is no zip archive",
        lambda f: torch.save(network.state_dict(), f, **old))  # fmt: skip
    add("torch.export", "torch.export.save(program)", lambda f: torch.export.save(program, f), "pt2")
    add("other", "an empty file", lambda f: f.write_bytes(b""))
    add("other", "text", lambda f: f.write_text(str(ctx.rng.integers(1 << 30))))
    add("other", "ONNX", lambda f: f.write_bytes(b"\x08\x08\x12\x0btriton-labs" + ctx.rng.bytes(64)))
    add("other", "a zip archive of source code, no model",
        stored({"project/my_code/net.py": b"x = 1", "project/models.md": b""}))  # fmt: skip
    add("torch.save", "a pickle that runs code when it is opened", lambda f: torch.save(_Payload(mark), f))
    add("torch.save", "an old pickle that runs code when it is opened",
        lambda f: f.write_bytes(pickle.dumps(_Payload(mark), protocol=2)))  # fmt: skip
    return files


@checkpoint(
    "3.3", title="What is in model.pt?", points=3, minutes=6, difficulty=2, answers=("what_is",),
    needs_server=False,
)  # fmt: skip
def check_files(ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
    """Fresh files of every kind, two of which run code when somebody opens them the easy way."""
    skip = missing_torch()
    if skip is not None:
        return skip
    folder = ctx.scratch()
    mark = folder / fresh_name(ctx, "mark")
    with quiet():
        files = _write_files(ctx, folder, mark)
    before = {file: file.read_bytes() for file, _, _ in files}
    for file, word, what in files:
        _judge(ctx, answers["what_is"], file, word, what, mark)
        if file.read_bytes() != before[file]:
            refuse(
                expected="the file is read, and stays as it is",
                found=f"`what_is` changed a file ({what})",
                next_step="Open it for reading.",
            )
    return passed(f"{len(files)} files are told apart, and none was run", files=len(files))


def _judge(ctx: LabContext, function: Any, file: Path, word: str, what: str, mark: Path) -> None:
    with quiet():
        found, error = attempt(ctx, function, file)
    if mark.exists():
        refuse(
            expected="`what_is` looks at a file and runs nothing of it",
            found="the file ran its code: a folder that it names was made",
            next_step="No `torch.load`, no `pickle`: `zipfile` reads names, `file.read_bytes()` bytes.",
        )
    if error is not None:
        refuse(
            expected=f'`what_is` says "{word}" for {what}',
            found=f"it raised {type(error).__name__}: {shorten(error, 120)}",
            next_step="Ask `zipfile.is_zipfile(file)` before you open it as an archive."
            if isinstance(error, zipfile.BadZipFile)
            else "Be ready for every file, also one of no bytes.",
        )
    need_return("what_is", found)
    if found not in _WORDS:
        refuse(
            expected=f"one of the words {', '.join(_WORDS)}",
            found=f"`what_is` returned {shorten(repr(found), 80)}",
            next_step="Return exactly one of these four words.",
        )
    if found != word:
        refuse(
            expected=f'`what_is` says "{word}" for {what}',
            found=f'it says "{found}"',
            next_step=_advice(word, found, what),
        )


def _advice(word: str, found: str, what: str) -> str:
    if word == "torchscript" and found == "torch.save":
        return "TorchScript has a data.pkl as well: look for its `code/` first."
    if word == "torch.export" or word == "torchscript":
        return "The first folder in the archive bears any name: look behind the first `/`."
    if "old form" in what:
        return "Before PyTorch 1.6 there was no archive: a pickle begins with the byte 0x80."
    if "source code" in what:
        return "A folder called `code` stands at the first place behind the archive's own name."
    if word == "torch.save":
        return "What `torch.save` writes has a `data.pkl` and no code."
    return 'Neither an archive of PyTorch nor a pickle is "other".'

"""Find the Llama to serve: the small one, a folder, or a model on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lab_utils.llama.config import LlamaError
from lab_utils.llama.small import small_llama
from lab_utils.llama.weights import weight_files

ENVIRONMENT = "LLAMA_MODEL"
SMALL = "small"
# Nothing else is fetched: no pickles, no code, and not Meta's own second copy of the weights.
_WANTED = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "LICENSE*",
    "USE_POLICY*",
)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_TOKEN = "`hf auth login` keeps a token on this machine; the environment variable HF_TOKEN works as well."


def find_llama(name: str | None = None) -> Path:
    """The folder of a Llama in Hugging Face's layout.

    Args:
        name: `small`, a local folder, or a hub id such as `meta-llama/Llama-2-7b-chat-hf`. Default: the
            environment variable LLAMA_MODEL, else `small`. A hub model is looked for on this machine
            first and downloaded only when it is not there. The user's own token (HF_TOKEN, or the login
            of the `hf` command) is read by huggingface_hub; it is not printed or stored by this course.

    Returns:
        The folder. Whether a Llama is in it is seen when it is read.

    Raises:
        LabError: There is no such folder or hub model, it is gated, or the hub cannot be reached.
    """
    name = (name or os.environ.get(ENVIRONMENT) or SMALL).strip()
    if name == SMALL:
        return small_llama()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if folder.is_file():
        raise LlamaError(
            f"{name} is a file, not the folder of a Llama.",
            fix="Name the folder that holds config.json and the safetensors files.",
        )
    if not _HUB_ID.fullmatch(name):
        raise LlamaError(
            f"There is no folder {name}, and that is no id of a hub model.",
            fix=f"Name an existing folder, a hub id such as meta-llama/Llama-2-7b-chat-hf, or `{SMALL}`.",
        )
    return _on_this_machine(name) or _download(name)


def _on_this_machine(name: str) -> Path | None:
    """The folder of a hub model that was downloaded whole; None when it was not."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True, allow_patterns=list(_WANTED)))
        weight_files(folder)
    except (LocalEntryNotFoundError, LlamaError):
        return None
    return folder if (folder / "config.json").is_file() else None


def _download(name: str) -> Path:
    """Fetch a hub model, or say why that does not go."""
    from huggingface_hub import constants, errors, snapshot_download

    page = f"https://huggingface.co/{name}"
    try:
        folder = Path(snapshot_download(name, allow_patterns=list(_WANTED)))
    except errors.GatedRepoError as error:
        raise LlamaError(
            f"The hub does not give {name} to you: its owner lets in only people who accepted the licence.",
            why="You sent no token, or the account of your token has not been let in (yet).",
            fix=f"1. Log in at {page}, accept the licence, wait for the answer by mail. 2. {_TOKEN} "
            f"Meanwhile use the small Llama: {ENVIRONMENT}={SMALL}.",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise LlamaError(
            f"There is no folder {name} here, and no model {name} on the hub that you may see.",
            why="The name is misspelt, or the model is private and you sent no token that opens it.",
            fix=f"Look at {page}. For a private model: {_TOKEN}",
        ) from error
    except errors.LocalEntryNotFoundError as error:
        why, fix = "There is no way to the hub from here, or it is down.", "Connect this machine"
        if constants.HF_HUB_OFFLINE:
            why, fix = "HF_HUB_OFFLINE is set.", "Unset HF_HUB_OFFLINE"
        raise LlamaError(
            f"{name} is not on this machine, and the Hugging Face hub cannot be reached.",
            why=why,
            fix=f"{fix}, or copy the model's folder here and set {ENVIRONMENT}=/path/to/it. "
            f"Without it: {ENVIRONMENT}={SMALL}.",
        ) from error
    except (errors.HfHubHTTPError, OSError, ValueError) as error:
        raise LlamaError(
            f"{name} could not be downloaded from the Hugging Face hub.",
            why=f"{type(error).__name__}: {str(error).strip().splitlines()[0]}" if str(error).strip() else "",
            fix=f"Try again: files that came whole are kept. If the token is refused: {_TOKEN}",
        ) from error
    if not any(folder.glob("*.safetensors")):
        raise LlamaError(
            f"{name} has no safetensors on the hub.",
            why="Other formats are pickles, which run code when they are loaded; this course reads none.",
            fix=f"Choose a model whose files at {page}/tree/main end in .safetensors.",
        )
    return folder

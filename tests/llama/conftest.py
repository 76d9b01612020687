"""Llamas of several shapes, each as transformers has it, as ours, and as TorchScript.

PyTorch is imported in the fixtures: without it each test module is skipped with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.llama.shapes import Trio

NAMES = ("llama2", "grouped", "llama3", "wide_heads")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products: one thread is faster than several, and the sums always have the same order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def inference() -> Iterator[None]:
    """No gradients, as in serving."""
    import torch

    with torch.inference_mode():
        yield


@pytest.fixture(scope="session")
def trios(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trio]:
    """All shapes, written to disk by transformers and read from there by us."""
    from lab_utils.llama import load_llama, scripted
    from tests.llama.shapes import Trio, make_hugging_face

    found = {}
    for name in NAMES:
        folder = tmp_path_factory.mktemp(name)
        reference = make_hugging_face(name)
        reference.save_pretrained(folder)
        llama = load_llama(folder)
        found[name] = Trio(folder, reference, llama, scripted(llama))
    return found


@pytest.fixture(params=NAMES)
def trio(request: pytest.FixtureRequest, trios: dict[str, Trio]) -> Trio:
    """One shape after the other."""
    return trios[request.param]


@pytest.fixture(scope="session")
def small() -> Path:
    """The small Llama, trained once for all tests of a run."""
    from tests.llama.training import trained

    return trained()

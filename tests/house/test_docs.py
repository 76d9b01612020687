"""The pages in docs/: their links lead somewhere, README leads to each, and the lines about Llama run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lab_utils import paths

ROOT = paths.project_root()
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "RESULTS.md",
]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^(````?)\w*\n.*?^\1$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as they stand behind # in a link."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_readme_leads_to_every_page() -> None:
    missing = [
        page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in README.read_text()
    ]
    assert missing == []


def test_the_lines_about_the_llama_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With random weights of the small Llama's shape: nothing is trained for it."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
    pytest.importorskip("tokenizers", reason="tokenizers is not installed: make test EXTRAS=torch")
    from lab_utils.llama import random_llama
    from lab_utils.llama.small import SHAPE

    monkeypatch.setenv("LLAMA_MODEL", str(random_llama(tmp_path / "random", SHAPE)))
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "llama.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "llama.md", "exec"), names)
    whole = torch.cat([names["prompt"], names["token"][:, None]], dim=1)
    with torch.inference_mode():
        again = names["llama"](whole)[:, -1]
    assert float((names["logits"] - again).abs().max()) < 1e-4


def test_the_numbers_of_the_page_about_the_llama() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
    pytest.importorskip("tokenizers", reason="tokenizers is not installed: make test EXTRAS=torch")
    from lab_utils.llama import facts, kv_bytes_per_token, weight_count
    from lab_utils.llama.seven import SEVEN
    from lab_utils.llama.small import SHAPE, STEPS

    page = " ".join((ROOT / "docs" / "llama.md").read_text().split())
    lines = (ROOT / "lab_utils" / "llama" / "model.py").read_text().splitlines()
    for words in (
        f"`model.py` is {len(lines)} lines",
        f"({SHAPE.heads} query heads, {SHAPE.kv_heads} key/value heads), {SHAPE.layers} layers",
        f"{weight_count(SHAPE) / 1e6:.2f} million parameters",
        f"for {STEPS} steps on {len(facts())} questions",
        f"{kv_bytes_per_token(SHAPE):,} bytes in the small Llama (float32)",
        f"{kv_bytes_per_token(SEVEN, torch.bfloat16):,} bytes in Llama-2-7B (bfloat16)",
        f"whose weights take {2 * weight_count(SEVEN) / 1e9:.2f} GB",
    ):
        assert words in page

"""Our reading of a config.pbtxt against Triton's own: same verdict, same words, same line and column."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
import pytest

from lab_utils import server as triton
from lab_utils.repository import ConfigError, parse_config
from lab_utils.repository.config import read_text
from tests.repository.texts import TEXTS

_LINE = re.compile(r"Error parsing text-format inference\.ModelConfig: (.*)")


def _ours(path: Path) -> str:
    """What we expect in Triton's log; empty when the text can be read."""
    try:
        parse_config(read_text(path))
    except ConfigError as error:
        return error.log_line
    return ""


@pytest.mark.live
def test_every_text_is_judged_as_triton_judges_it(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    for name, text in TEXTS.items():
        (repository / name / "1").mkdir(parents=True)
        file = repository / name / "config.pbtxt"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    options = ["--model-control-mode=explicit", "--disable-auto-complete-config", "--exit-timeout-secs=1"]
    server = triton.start(repository, name="like-triton", options=options)
    different = []
    try:
        with httpx.Client(base_url=server.endpoints.http_url, timeout=20) as client:
            for name in TEXTS:
                before = len(server.logs())
                assert client.post(f"/v2/repository/models/{name}/load").status_code != 200
                log = server.logs()[before:]
                deadline = time.monotonic() + 2
                while f"'{name}'" not in log and time.monotonic() < deadline:
                    time.sleep(0.01)
                    log = server.logs()[before:]
                # One fault may draw further lines after it; the first one is the cause.
                theirs = next(iter(_LINE.findall(log)), "")
                ours = _ours(repository / name / "config.pbtxt")
                if theirs != ours:
                    different.append(f"{name}\n  Triton: {theirs}\n  ours:   {ours}")
    finally:
        server.stop()
    assert not different, "\n".join(different)


def test_the_texts_cover_both_verdicts(tmp_path: Path) -> None:
    file = tmp_path / "config.pbtxt"
    refused = 0
    for text in TEXTS.values():
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        refused += bool(_ours(file))
    assert refused > 90
    assert len(TEXTS) - refused > 50

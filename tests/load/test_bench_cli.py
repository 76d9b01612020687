"""`triton-lab bench`: one JSON value, tables for people, and messages for what was typed wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab_utils.cli import app
from lab_utils.load import GenerationResult, LoadResult
from lab_utils.server.base import Server

pytestmark = [pytest.mark.live, pytest.mark.alone]
SHORT = ["--seconds", "0.3", "--warmup", "0"]


def bench(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["bench", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("protocol", ["grpc", "http", "stream"])
def test_one_load_is_one_json_object(server: Server, protocol: str) -> None:
    # The only server that runs here need not be named.
    code, output, _ = bench("sleepy", "--protocol", protocol, "--concurrency", "2", "--json", *SHORT)
    assert code == 0
    found = json.loads(output)
    assert (found["model"], found["protocol"], found["concurrency"]) == ("sleepy", protocol, 2)
    assert LoadResult.from_json(output).requests == found["requests"] > 5


def test_several_loads_are_a_list_and_a_picture(server: Server, tmp_path: Path) -> None:
    picture = tmp_path / "curve.png"
    code, output, _ = bench("steady", "--concurrency", "1,2", "--json", "--picture", str(picture), *SHORT)
    assert code == 0
    one, two = json.loads(output)
    assert (one["concurrency"], two["concurrency"]) == (1, 2)
    assert two["throughput"] > 1.5 * one["throughput"], "two instances"
    assert picture.read_bytes().startswith(b"\x89PNG")
    code, output, _ = bench("steady", "--rate", "40,80", "--arrival", "constant", *SHORT)
    assert code == 0
    assert [line.split()[0] for line in output.splitlines()[1:3]] == ["40/s", "80/s"]


def test_options_reach_the_load(server: Server) -> None:
    code, output, _ = bench(
        *("typed", "--server", server.name, "--shape", "in_FP32:5,3", "--requests", "9", "--warmup", "0"),
        *("--validate", "--processes", "2", "--version", "1", "--json"),
    )
    found = json.loads(output)
    assert (code, found["requests"], found["processes"], found["version"]) == (0, 9, 2, "1")
    settings = ["--concurrency", "6", "--seconds", "1.5", "--warmup", "0", "--json"]
    _, output, _ = bench("hasty", "--parameter", "timeout=1", *settings)
    assert json.loads(output)["errors"]["queue_timeout"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["No model is named", "triton-lab bench"]),
        (["nobody"], ["`nobody`", "unknown model"]),
        (["sleepy", "--server", "nowhere"], ["No server named `nowhere`"]),
        (["sleepy", "--url", "nonsense"], ["`nonsense` is not an address"]),
        (["sleepy", "--concurrency", "many"], ["--concurrency many is not a number"]),
        (["sleepy", "--concurrency", "1", "--rate", "5"], ["exclude each other"]),
        (["sleepy", "--parameter", "priority"], ["--parameter priority has no value"]),
    ],
)
def test_a_mistake_is_a_message_and_no_traceback(
    server: Server, arguments: list[str], words: list[str]
) -> None:
    code, output, error = bench(*arguments)
    assert (code, output) == (1, "")
    assert all(word in error for word in words), error
    assert "Traceback" not in error


def test_text_generation_from_a_file_of_prompts(server: Server, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("one\n\nthe second\n")
    settings = ["--prompts", str(prompts), "--ignore-eos", "--max-tokens", "uniform:2-6", *SHORT]
    code, output, error = bench("speaker", "--concurrency", "2", "--json", *settings)
    assert code == 0, error
    found = GenerationResult.from_json(output)
    assert (found.model, found.load.protocol, found.load.concurrency) == ("speaker", "stream", 2)
    assert found.tokens > 5
    code, output, _ = bench("speaker", "--concurrency", "1,2", *settings)
    assert code == 0
    assert [line[:1] for line in output.splitlines()[1:3]] == ["1", "2"]
    code, output, _ = bench("speaker", "--prompts", str(prompts), "--rate", "20", *SHORT)
    assert code == 0
    assert "TTFT" in output
    for wrong, word in (
        (["--prompts", str(tmp_path / "none")], "cannot be read"),
        (["--prompts", str(prompts), "--max-tokens", "some"], "no number of tokens"),
        (["--prompts", str(prompts), "--validate"], "does not go with --prompts"),
    ):
        code, _, error = bench("speaker", *wrong)
        assert code == 1
        assert word in error

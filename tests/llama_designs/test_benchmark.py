"""`benchmarks/llama.py` runs from end to end, also its GPU mode on a CPU, and its arithmetic holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
pytest.importorskip("transformers", reason="transformers is not installed: make test EXTRAS=torch")

import torch

from benchmarks import llama_gpu, llama_gpu_report, llama_report, llama_steps
from benchmarks.llama_report import BATCHED, ENGINE, FORWARD, GENERATE, IN_PROCESS, ONE_BY_ONE, OURS, Side
from benchmarks.llama_work import SHAPES, Loop, make_work
from lab_utils import paths
from lab_utils.errors import LabError
from lab_utils.llama import facts
from lab_utils.load import GenerationResult, Latency, LoadResult
from tests.llama.training import trained
from tests.llama_designs.reference import greedy


def run(folder: Path, *options: str, program: str = "llama") -> tuple[subprocess.CompletedProcess[str], Any]:
    """The program with these options, and the JSON that it wrote."""
    file = folder / "figures.json"
    answer = subprocess.run(
        [sys.executable, f"benchmarks/{program}.py", "--quick", "--json", str(file), *options],
        cwd=paths.project_root(),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    return answer, json.loads(file.read_text()) if file.exists() else None


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(600)
def test_a_quick_run_measures_everything(tmp_path: Path) -> None:
    trained()
    answer, found = run(tmp_path, "--large", "tiny")
    assert answer.returncode == 0, answer.stderr
    assert "not judged" not in answer.stdout
    assert len(found["goals"]) == 11
    small, large = found["sides"].values()
    assert set(small["results"]) == {ENGINE, BATCHED, ONE_BY_ONE, IN_PROCESS}
    assert set(large["results"]) == {ENGINE, IN_PROCESS}
    assert len(large["bare_tokens_per_second"]) == 1
    for side in (small, large):
        assert {name for name, times in side["seconds_per_token"].items() if min(times) > 0} == {
            OURS,
            GENERATE,
            FORWARD,
        }
        for name, results in side["results"].items():
            for result in results:
                assert result["checked"]
                assert result["wrong_answers"] == 0, (name, result["load"]["messages"])
                assert result["load"]["errors"] == {}, name
                assert result["tokens_per_second"] > 0


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(600)
def test_the_gpu_mode_on_a_cpu(tmp_path: Path) -> None:
    answer, found = run(tmp_path, "--device", "cpu", "--shape", "tiny", program="llama_gpu")
    assert answer.returncode == 0, answer.stderr
    assert "only show that the program runs" in answer.stdout
    assert "benchmarks/llama.py --gpu --quick" in answer.stdout
    assert {goal["verdict"] for goal in found["goals"]} == {"not judged"}
    assert len(found["goals"]) == 8
    assert found["did_not_run"] == {}
    speeds = found["tokens_per_second"]
    assert set(speeds) == {"bound at batch 1", "batch 1", "batch 64", llama_gpu.EAGER, llama_gpu.STATIC}
    assert all(min(rounds) > 0 for rounds in speeds.values())
    assert speeds["bound at batch 1"][0] > speeds["batch 1"][0]
    assert set(found["loads"]) == {ENGINE, IN_PROCESS}
    assert all(result["load"]["errors"] == {} for results in found["loads"].values() for result in results)
    assert found["memory"]["measured"]["kv"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_gpu_mode_says_so(tmp_path: Path) -> None:
    answer, found = run(tmp_path, "--gpu")
    assert (answer.returncode, found, answer.stdout) == (2, None, "")
    assert "There is no GPU" in answer.stderr
    assert "--shape tiny" in answer.stderr
    assert "Traceback" not in answer.stderr
    with pytest.raises(LabError, match="The shape 7b needs a GPU"):
        llama_gpu.check_device("7b", "cpu")


def result(tokens: float, ttft: float, failed: int = 0) -> GenerationResult:
    errors = {"wrong_answer": failed} if failed else {}
    load = LoadResult("x", "stream", concurrency=16, seconds=1.0, requests=10, errors=errors)
    first = Latency.of([ttft])
    return GenerationResult(
        load, int(tokens), tokens, ttft=first, itl=first, between=first, tpot=first, checked=True
    )


def sides(failed: int = 0) -> tuple[Side, Side]:
    """Two rounds; everybody was ten times as slow in the second."""
    small, large = Side("small Llama"), Side("130M Llama")
    for slow in (1, 10):
        small.add(ENGINE, result(800 / slow, 0.010 * slow))
        small.add(ONE_BY_ONE, result(100 / slow, 1.0 * slow, failed))
        small.add(BATCHED, result(200 / slow, 0.05 * slow))
        small.add(IN_PROCESS, result(1000 / slow, 0.005 * slow))
        large.add(ENGINE, result(95 / slow, 0.1 * slow))
        large.add(IN_PROCESS, result(100 / slow, 0.1 * slow))
        large.bare.append(190 / slow)
        for side in (small, large):
            side.steps.setdefault(OURS, []).append(0.001 * slow)
            side.steps.setdefault(GENERATE, []).append(0.003 * slow)
    return small, large


def test_goals_are_judged_by_ratios_within_a_round() -> None:
    found = {goal.text: (goal.found, goal.verdict) for goal in llama_report.goals(*sides())}
    assert found == {
        "tokens/s >= 7 x Hugging Face one by one": ("8.00 x", "reached"),
        "tokens/s >= 2 x Hugging Face, dynamic batching": ("4.00 x", "reached"),
        "TTFT p50 <= 1/50 of one by one": ("1/100", "reached"),
        "TTFT p50 <= 1/10 of dynamic batching": ("1/5", "not reached"),
        "tokens/s >= 60 % of in-process": ("80 %", "reached"),
        "130M Llama: tokens/s >= 90 % of in-process": ("95 %", "reached"),
        "130M Llama: tokens/s >= 75 % of the bare decode loop": ("50 %", "not reached"),
        "batch-1 step >= 2.5 x as fast as transformers": ("3.00 x", "reached"),
        "130M Llama: batch-1 step not slower than transformers": ("3.00 x", "reached"),
        "small Llama: every answer equals the one of the request alone": ("80 of 80", "reached"),
        "130M Llama: every answer equals the one of the request alone": ("40 of 40", "reached"),
    }
    wrong = llama_report.goals(*sides(failed=3))
    assert (wrong[-2].found, wrong[-2].reached) == ("80 of 86", False)


def test_what_a_step_of_llama_2_reads() -> None:
    figures = llama_gpu.Figures(SHAPES["7b"], torch.bfloat16, True, "a GPU")
    assert figures.step_bytes == pytest.approx(13.2e9, rel=0.01)
    figures.context = 1000
    assert figures.step_bytes == pytest.approx(13.2e9 + 0.524e9, rel=0.01)
    figures.bandwidth, figures.single, figures.batch = [4.0e12], [250.0], [6500.0]
    assert figures.bound[0] == pytest.approx(4.0e12 / 13.74e9, rel=0.01)
    figures.side.add(ENGINE, result(9000, 0.019))
    figures.side.add(IN_PROCESS, result(10000, 0.019))
    figures.transformers[llama_gpu.EAGER] = [50.0]
    verdicts = {goal.text: goal.verdict for goal in llama_gpu_report.goals(figures)}
    assert set(verdicts.values()) == {"reached"}, verdicts
    assert len(verdicts) == 7, "the memory was not measured"
    figures.side.results[ENGINE] = [result(8000, 0.021)]
    missed = [goal.text for goal in llama_gpu_report.goals(figures) if goal.reached is False]
    assert len(missed) == 2, missed


def test_the_steps_of_several_batch_sizes_are_a_table() -> None:
    rows = [1, 2]
    sides = llama_steps.measure(trained(), rows, context=8, tokens=4, rounds=1, threads=1)
    assert [set(side.steps) for side in sides] == [{OURS, GENERATE, FORWARD}] * 2
    found = llama_steps.table(sides, rows, "steps")
    assert found.row_count == 2
    sides[0].steps = {OURS: [0.002, 0.004], GENERATE: [0.006, 0.012], FORWARD: [0.004, 0.008]}
    cells = [next(iter(column.cells)) for column in llama_steps.table(sides, rows, "steps").columns]
    assert cells == ["1", "3.00", "333", "9.00", "3.00", "6.00", "2.00"]


def test_the_bare_loop_is_the_plain_model() -> None:
    loop = Loop(trained(), 4, 256, "float32", "cpu", 1)
    questions = [question for question, _ in facts()[:4]]
    alone = [greedy(question, 30, ignore_eos=True) for question in questions]
    assert [loop.answer(question, 30) for question in questions] == alone
    prompts = [loop.tokenizer.encode(question).ids for question in questions]
    assert loop.run(prompts, 30) == alone, "side by side, of unequal lengths"
    work = make_work(loop, 6, 8, 20)
    assert work.answers is not None
    assert [len(answer) for answer in work.answers] == work.lengths
    assert work.mean_length == sum(work.lengths) / 6

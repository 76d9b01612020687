"""TorchScript from a student: run in the workshop, never in the judge, and believed by nobody's word."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lab_utils.grading.judge.scripts import RemoteScript, Workshop
from lab_utils.progress.context import LabContext
from lab_utils.progress.registry import Checkpoint, Verdict, passed
from tests.grading.judge.world import JudgedWorld
from tests.proofs.kit.labs import discover

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
# TorchScript is what the exercises make; PyTorch says at each use that it is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

EXPORT = """
import copy, torch
def export(module):
    {change}
    return torch.jit.script(copy.deepcopy(module).eval())
"""


class Case:
    """A kernel whose `export` gets a small module, and what a check sees of it."""

    def __init__(self) -> None:
        hidden = Checkpoint("1.1.1", "of the test", 1, 1, 1, ("export",), self._judge, needs_server=False)
        self.world = JudgedWorld(discover()[0], hidden=[hidden], bare=True)
        self.check: Any = None

    def _judge(self, ctx: LabContext, answers: Mapping[str, Any]) -> Verdict:
        from lab_utils.checks.lab3_modules import Modes

        module = Modes(4).train()
        found = ctx.call(answers["export"], module)
        return passed(str(self.check(module, found)))

    def seen(self, code: str, check: Any) -> str:
        self.check = check
        self.world.ask(self.world.under.checkpoints()[0], code)
        verdict = self.world.verdicts[1][1]
        assert verdict.passed, verdict
        return verdict.found


@pytest.fixture(scope="module")
def case(private_folders: object) -> Iterator[Case]:
    made = Case()
    with made.world.running():
        yield made


def test_an_export_is_torchscript_that_answers_and_can_be_saved(case: Case, tmp_path: Any) -> None:
    def check(module: Any, found: Any) -> bool:
        x = torch.rand(3, 4)
        assert isinstance(found, torch.jit.ScriptModule)
        assert "first.weight" in [name for name, _ in found.named_parameters()]
        assert hasattr(found, "forward")
        assert not hasattr(found, "scaled")
        torch.jit.save(found, str(tmp_path / "model.pt"))
        with torch.no_grad():
            wanted = module.eval()(x)
            again = torch.jit.load(str(tmp_path / "model.pt"))(x)
        return bool(torch.allclose(found(x), wanted) and torch.allclose(again, wanted))

    assert case.seen(EXPORT.format(change="pass"), check) == "True"


def test_what_the_function_does_to_the_module_is_seen(case: Case) -> None:
    def check(module: Any, found: Any) -> str:
        return f"{module.training} {module.first.training} {float(module.last.bias.detach().sum()):g}"

    assert case.seen(EXPORT.format(change="pass"), check).startswith("True True")
    code = EXPORT.format(change="module.first.eval(); torch.nn.init.ones_(module.last.bias)")
    assert case.seen(code, check) == "True False 5"


def test_an_export_that_shares_its_weights_shows_it(case: Case) -> None:
    def check(module: Any, found: Any) -> bool:
        x = torch.rand(3, 4)
        before = found(x)
        for parameter in module.parameters():
            parameter.data.add_(1.0)
        return bool(torch.allclose(before, found(x)))

    assert case.seen(EXPORT.format(change="pass"), check) == "True"
    shared = "import torch\ndef export(module):\n    return torch.jit.script(module.eval())"
    assert case.seen(shared, check) == "False"


def test_who_claims_to_be_torchscript_is_not(case: Case) -> None:
    claim = """
from lab_utils.grading.judge import writer
writer.script_bytes = lambda module: b"PK not a model"
"""
    code = claim + EXPORT.format(change="pass")
    assert case.seen(code, lambda module, found: isinstance(found, torch.jit.ScriptModule)) == "False"


def test_the_workshop_ends_with_its_check() -> None:
    workshop = Workshop()
    try:
        with pytest.raises(RuntimeError):
            workshop.do("load_script", b"nothing")
        process = workshop._process
        assert process is not None
    finally:
        workshop.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_an_object_that_stands_for_a_script_is_what_the_workshop_says() -> None:
    class Nobody:
        def do(self, *_: Any) -> Any:
            raise RuntimeError("no such file")

        def refresh(self) -> bool:
            return False

    stands = RemoteScript(Nobody(), Nobody(), 1, b"")  # type: ignore[arg-type]
    assert not isinstance(stands, torch.jit.ScriptModule)

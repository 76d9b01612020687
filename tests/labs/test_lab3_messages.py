"""What the checks of Lab 3 advise when a student's function raises."""

from __future__ import annotations

import pytest


def test_a_module_that_cannot_be_compiled_gets_the_same_advice_at_every_try() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test EXTRAS=torch")
    from lab_utils.checks.lab3_export import _advice
    from lab_utils.checks.lab3_modules import Towers

    words = []
    for _ in range(3):
        with pytest.raises(RuntimeError) as caught:
            torch.jit.script(Towers(11))
        words.append(str(caught.value))
        assert "catch the error of `torch.jit.script`" in _advice(caught.value)
    assert words[0] != words[1], "PyTorch says it differently the second time"

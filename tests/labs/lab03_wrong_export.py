"""Plausible wrong answers to 3.1 and 3.6: exports that are right for the example alone."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _export(
    copied: str = "copy.deepcopy(module).eval()",
    script: str = "return torch.jit.script(copied)",
    checked: str = "examples",
) -> str:
    return f"""
def export(module, examples):
    copied = {copied}
    try:
        {script}
    except Exception:
        return torch.jit.trace(copied, examples[0], check_inputs={checked})
"""


_TRACES = """
def export(module, examples):
    return torch.jit.trace(copy.deepcopy(module).eval(), examples[0])
"""

_SCRIPTS = """
def export(module, examples):
    return torch.jit.script(copy.deepcopy(module).eval())
"""

_PUTS_BACK = """
def export(module, examples):
    module.eval()
    try:
        return torch.jit.script(copy.deepcopy(module))
    finally:
        module.train()
"""

_TRACES_WHAT_IS_EQUAL = """
def export(module, examples):
    copied = copy.deepcopy(module).eval()
    if "for " in inspect.getsource(type(module)) and "getattr" not in inspect.getsource(type(module)):
        return torch.jit.trace(copied, examples[0])
    try:
        return torch.jit.script(copied)
    except Exception:
        return torch.jit.trace(copied, examples[0])
"""

EXPORT: dict[str, list[WrongAnswer]] = {
    "3.1": [
        WrongAnswer("in training mode", _export(copied="copy.deepcopy(module)"), "still work as in training"),
        WrongAnswer(
            "the module itself", _export(copied="module.eval()"), "the module is in evaluation mode now"
        ),
        WrongAnswer("all put back into training", _PUTS_BACK, "its frozen layer is in training now"),
        WrongAnswer(
            "a shallow copy",
            _export(copied="copy.copy(module).eval()"),
            "its layers are in evaluation mode now",
        ),
        WrongAnswer("a trace", _TRACES, "compiles both ways"),
        WrongAnswer("compiles or fails", _SCRIPTS, "catch the error of `torch.jit.script`"),
        WrongAnswer("a trace of a loop", "import inspect\n" + _TRACES_WHAT_IS_EQUAL, "records as many steps"),
        WrongAnswer("never checked", _export(checked="[]"), "is right for batches of 4 alone"),
        WrongAnswer("returns nothing", _export(script="torch.jit.script(copied)"), "returned None"),
        WrongAnswer(
            "the module, not the export",
            _export(script="return copied"),
            "Return what `torch.jit.script` or `torch.jit.trace` gives",
        ),
    ],
}


def _program(
    pairs: str = "torch.cat([example[:1], example[:1]])",
    batch: str = 'torch.export.Dim("batch", max=largest)',
    shapes: str = "tuple({0: batch} for _ in examples)",
    copied: str = "copy.deepcopy(module).eval()",
    save: str = "torch.export.save(program, file)",
) -> str:
    return f"""
def export_program(module, examples, largest, file):
    pairs = tuple({pairs} for example in examples)
    batch = {batch}
    shapes = {shapes}
    program = torch.export.export({copied}, pairs, dynamic_shapes=shapes)
    {save}
"""


PROGRAM: dict[str, list[WrongAnswer]] = {
    "3.6": [
        WrongAnswer("fixed batch", _program(shapes="None"), "or none, may fix it to the example's"),
        WrongAnswer(
            "in training mode", _program(copied="module"), "answers like the module in evaluation mode"
        ),
        WrongAnswer("the module's mode is changed", _program(copied="module.eval()"), "its mode was changed"),
        WrongAnswer("examples as they are", _program(pairs="example"), 'is taken as "always 1"'),
        WrongAnswer(
            "the first input alone",
            _program(shapes="({0: batch},) + ({},) * (len(examples) - 1)"),
            "with the same `Dim`",
        ),
        WrongAnswer("no limit", _program(batch='torch.export.Dim("batch")'), "it is answered"),
        WrongAnswer(
            "one too few",
            _program(batch='torch.export.Dim("batch", max=largest - 1)'),
            "The limit itself is allowed",
        ),
        WrongAnswer("twice the example", _program(pairs="torch.cat([example, example])"), "within the limit"),
        WrongAnswer(
            "TorchScript", _program(save="torch.jit.script(module).save(str(file))"), "it is: torchscript"
        ),
        WrongAnswer("not saved", _program(save="return program"), "there is no such file"),
        WrongAnswer(
            "saved with torch.save",
            _program(save="torch.save(program.state_dict, file)"),
            "it is: state_dict",
        ),
    ],
}

EQUIVALENT_EXPORT: dict[str, str] = {
    "3.1 number: 0 -> 1 in export": "any of the examples can be traced: the others check it",
    "3.6 number: 1 -> 2 in export_program": "three rows of an example export as well as two",
    "3.6 number: 1 -> 2 in export_program #2": "three rows of an example export as well as two",
    "3.6 text: 'batch' -> 'batch_x' in export_program": "the name of a dimension means nothing",
}

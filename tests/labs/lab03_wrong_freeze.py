"""Plausible wrong answers to 3.5."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _freeze(
    copied: str = "copy.deepcopy(module).eval()",
    end: str = "torch.jit.freeze(scripted, preserved_attrs=keep)",
) -> str:
    return f"""
def freeze(module, keep):
    scripted = torch.jit.script({copied})
    return {end}
"""


def _share(
    threads: str = "max(1, cores // instances)",
    count: str = "{instances}",
    intra: str = "INTRA_OP_THREAD_COUNT",
    inter: str = '{{ key: "INTER_OP_THREAD_COUNT" value: {{ string_value: "1" }} }}',
    value: str = '{{ string_value: "{threads}" }}',
) -> str:
    return f'''
def share_cores(cores, instances):
    threads = {threads}
    return f"""
instance_group [ {{{{ kind: KIND_CPU count: {count} }}}} ]
parameters [ {{{{ key: "{intra}" value: {value} }}}}, {inter} ]"""
'''


FREEZE: dict[str, list[WrongAnswer]] = {
    "3.5": [
        WrongAnswer("in training mode", _freeze("copy.deepcopy(module)"), "`copy.deepcopy(module).eval()`"),
        WrongAnswer("the module itself", _freeze("module.eval()"), "its mode or its weights were changed"),
        WrongAnswer("not frozen", _freeze(end="scripted"), "parameters and buffers, such as"),
        WrongAnswer(
            "keeps nothing", _freeze(end="torch.jit.freeze(scripted)"), "pass `preserved_attrs=keep`"
        ),
        WrongAnswer(
            "not scripted",
            "def freeze(module, keep):\n    return torch.jit.freeze(copy.deepcopy(module).eval(), keep)\n",
            "First `torch.jit.script`",
        ),
        WrongAnswer("nothing returned", _freeze(end="None"), "`freeze` returns its answer"),
        WrongAnswer("all cores for each", _share(threads="cores"), "together they are more than the cores"),
        WrongAnswer("rounded up", _share(threads="-(-cores // instances)"), "Round down"),
        WrongAnswer("no thread at all", _share(threads="cores // instances"), "each still needs one thread"),
        WrongAnswer("half a thread", _share(threads="max(1, cores / instances)"), "`//` gives one"),
        WrongAnswer("one instance", _share(count="1"), "it has 1\n"),
        WrongAnswer(
            "the name of ONNX Runtime",
            _share(intra="intra_op_thread_count"),
            "unset, each instance takes all cores",
        ),
        WrongAnswer(
            "both shared",
            _share(inter='{{ key: "INTER_OP_THREAD_COUNT" value: {{ string_value: "{threads}" }} }}'),
            "nothing that could run beside itself",
        ),
        WrongAnswer(
            "a number, not a string", _share(value="{{ string_value: {threads} }}"), "A parameter reads"
        ),
    ],
}

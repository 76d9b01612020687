"""Plausible wrong answers to 2.12."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_RIGHT = {
    ".ipynb_checkpoints": 'shutil.rmtree(gallery / ".ipynb_checkpoints")',
    "ash": 'edit(gallery / "ash", "max_batchsize", "max_batch_size")',
    "birch": 'edit(gallery / "birch", "TYPE_FP64", "TYPE_FP32")',
    "cedar": 'edit(gallery / "cedar", "-1, ", "")',
    "elm": '(gallery / "elm/02").rename(gallery / "elm/2")',
    "fir": '(gallery / "fir/1/digits.onnx").rename(gallery / "fir/1/model.onnx")',
    "hazel": 'edit(gallery / "hazel", \'"scores"\', \'"output"\')',
    "juniper": 'edit(gallery / "juniper", "GPU", "CPU")',
    "maple": 'edit(gallery / "maple", "-1, ", ""); edit(gallery / "maple", "size: 0", "size: 64")',
    "oak": 'edit(gallery / "oak", "_2024", "")',
    "pine": 'edit(gallery / "pine", \'"answer"\', \'"scores"\')',
    "rowan": '(gallery / "rowan/2").rmdir()',
    "spruce": 'edit(gallery / "spruce", "128", "64")',
    "willow": 'edit(gallery / "willow", "in requests\\n", "in requests:\\n", "1/model.py")',
    "yew": 'shutil.copy(spare, gallery / "yew/1/model.pt")',
}


def _mend(**changes: str) -> str:
    lines = _RIGHT | {name.replace("phantom", ".ipynb_checkpoints"): line for name, line in changes.items()}
    return "def mend(gallery, spare):\n" + "".join(f"    {line}\n" for line in lines.values())


def _diagnose(changes: str) -> str:
    return f"""
_answers = diagnose()
def diagnose():
    letters = dict(_answers)
    {changes}
    return letters
"""


GALLERY: dict[str, list[WrongAnswer]] = {
    "2.12": [
        WrongAnswer(
            "two letters swapped",
            _diagnose('letters.update(rowan="C", elm="L")'),
            "do not fit yet: elm, rowan",
        ),
        WrongAnswer(
            "the phantom is left out", _diagnose('del letters[".ipynb_checkpoints"]'), "not so: .ipynb"
        ),
        WrongAnswer(
            "a text that is not there",
            _mend(ash='edit(gallery / "ash", "max_batch:", "max_batch_size:")'),
            "ash/config.pbtxt has no",
        ),
        WrongAnswer("the phantom stays", _mend(phantom="pass"), "still names `.ipynb_checkpoints`"),
        WrongAnswer("not mended", _mend(ash="pass"), 'no field named "max_batchsize"'),
        WrongAnswer(
            "the wrong one of two",
            _mend(birch='edit(gallery / "birch", "TYPE_FP32", "TYPE_FP64")'),
            "datatype TYPE_FP64",
        ),
        WrongAnswer(
            "no batching any more",
            _mend(
                cedar='edit(gallery / "cedar", "size: 64", "size: 0"); '
                'edit(gallery / "cedar", "[ 10 ]", "[ -1, 10 ]")'
            ),
            "`cedar`: it loads, with a `max_batch_size` of 0",
        ),
        WrongAnswer(
            "version 02 removed", _mend(elm='shutil.rmtree(gallery / "elm/02")'), "changed or gone: elm"
        ),
        WrongAnswer("version 02 left", _mend(elm="pass"), "serves version 1: not its newest"),
        WrongAnswer(
            "a copy beside",
            _mend(fir='(gallery / "fir/1/digits.onnx").rename(gallery / "fir/model.onnx")'),
            "for model instance 'fir'",
        ),
        WrongAnswer(
            "the file renamed for hazel",
            _mend(hazel='edit(gallery / "hazel", "scores", "outputs")'),
            "unexpected inference output 'outputs'",
        ),
        WrongAnswer(
            "model instances",
            _mend(juniper='edit(gallery / "juniper", "KIND_GPU", "KIND_MODEL")'),
            "its instances are KIND_MODEL",
        ),
        WrongAnswer(
            "only the number",
            _mend(maple='edit(gallery / "maple", "size: 0", "size: 64")'),
            "model 'maple', tensor 'input'",
        ),
        WrongAnswer(
            "batching removed",
            _mend(
                maple='edit(gallery / "maple", "-1, ", ""); edit(gallery / "maple", "size: 0", "size: 64"); '
                'edit(gallery / "maple", "dynamic_batching { max_queue_delay_microseconds: 500 }", "")'
            ),
            "its dynamic batching is gone",
        ),
        WrongAnswer(
            "the delay removed",
            _mend(
                maple='edit(gallery / "maple", "-1, ", ""); edit(gallery / "maple", "size: 0", "size: 64"); '
                'edit(gallery / "maple", "max_queue_delay_microseconds: 500", "")'
            ),
            "its delay of 500 is now 0",
        ),
        WrongAnswer(
            "maple as it was", _mend(maple="pass"), "`maple`: it loads, with a `max_batch_size` of 0"
        ),
        WrongAnswer(
            "the folder renamed",
            _mend(oak='(gallery / "oak").rename(gallery / "oak_2024")'),
            "changed or gone: oak",
        ),
        WrongAnswer(
            "another unknown tensor",
            _mend(pine='edit(gallery / "pine", \'"answer"\', \'"output"\')'),
            "'scores' for ensemble",
        ),
        WrongAnswer(
            "the ensemble's output renamed",
            _mend(pine='edit(gallery / "pine", \'"scores" data\', \'"answer" data\')'),
            "`pine`: it loads, and has no output `scores`",
        ),
        WrongAnswer(
            "the old version removed",
            _mend(rowan='shutil.rmtree(gallery / "rowan/1")'),
            "changed or gone: rowan",
        ),
        WrongAnswer("both versions stay", _mend(rowan="pass"), "for model instance 'rowan'"),
        WrongAnswer(
            "a larger maximum",
            _mend(spruce='edit(gallery / "spruce", "size: 64", "size: 128")'),
            "`spruce`: it loads, with a `max_batch_size` of 128",
        ),
        WrongAnswer(
            "no preferred sizes",
            _mend(spruce='edit(gallery / "spruce", "preferred_batch_size: [ 32, 128 ]", "")'),
            "its preferred batch of 32 is gone",
        ),
        WrongAnswer(
            "another syntax error",
            _mend(willow='edit(gallery / "willow", "in requests\\n", "in requests;\\n", "1/model.py")'),
            "SyntaxError",
        ),
        WrongAnswer(
            "yew as ONNX",
            _mend(
                yew='(gallery / "yew/1/model.pt").unlink(); '
                'shutil.copy(gallery / "ash/1/model.onnx", gallery / "yew/1"); '
                'edit(gallery / "yew", "pytorch_libtorch", "onnxruntime_onnx"); '
                'edit(gallery / "yew", "INPUT__0", "input"); edit(gallery / "yew", "OUTPUT__0", "output")'
            ),
            "`yew`: it loads, as another kind",
        ),
        WrongAnswer(
            "everything from the sound one",
            _mend(
                pine='[shutil.copytree(gallery / "zelkova", gallery / "pine", dirs_exist_ok=True), '
                'edit(gallery / "pine", \'"zelkova"\', \'"pine"\')]'
            ),
            "`pine`: it loads, as another kind",
        ),
        WrongAnswer(
            "a sound one changed",
            _mend(
                phantom='shutil.rmtree(gallery / ".ipynb_checkpoints"); '
                'edit(gallery / "zelkova", "64", "128")'
            ),
            "changed or gone: zelkova",
        ),
    ],
}

# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lab 3: PyTorch backend deployment
#
# You serve PyTorch models and a streaming Llama, and measure why one design is ten times another.
#
# | | |
# |---|---|
# | Time | 90–120 minutes |
# | You need | Labs 1 and 2, PyTorch (`pip install -e '.[torch]'`); no GPU |
# | You build | exported models, a test for them, a tuned server, a streaming Llama |
#
# **By the end you can**
# - export TorchScript that is right for every input, and prove it;
# - freeze, share the cores, and tune batching for a promised latency;
# - say what follows TorchScript;
# - serve a Llama with a KV cache, continuous batching and streaming;
# - measure it beside Hugging Face: TTFT, ITL, tokens per second;
# - foretell its memory, and choose its parameters for an SLO.

# %%
from lab_utils import Lab

lab = Lab("03")

# %% [markdown]
# ## 1 · From Python to a file
#
# A PyTorch module is Python code and weights. Triton's `pytorch` backend runs no Python: it reads
# *TorchScript*, a file with both in it.
#
# | | `torch.jit.trace(module, example)` | `torch.jit.script(module)` |
# |---|---|---|
# | does | calls the module once, records the operations | compiles the code |
# | keeps | what the example did | branches and loops |
# | takes | any Python | a part of Python |
# | fails | later, with other inputs; at best a `TracerWarning` came first | at once, with a message |
#
# Both keep the *mode*: a module in training is exported in training.
#
# **Predict first.** Which answers of the traced `Gate` will be right, and what will its code say?
#
# After a kernel restart choose *Run > Run All Above Selected Cell*, then go on.

# %%
import copy
import math
import os
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
import tritonclient.http as httpclient
from lab_utils.load import LoadResult, draw_curve, run_load, run_sweep
from lab_utils.models.build_cnn import load_cnn
from lab_utils.models.digits import split_digits
from torch import nn
from torch.utils.benchmark import Timer

server = lab.start(
    "--model-control-mode=explicit", "--load-model=digits_cnn", "--disable-auto-complete-config"
)
http = server.endpoints.http
torch.set_num_threads(1)  # the server needs the other cores
cnn = load_cnn()  # the network that is served, as a PyTorch module in evaluation mode
images = split_digits().test_images[:64].copy()


# %%
class Gate(nn.Module):
    """Doubles bright images, and numbers dark ones."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.mean() > 0.5:
            return images * 2
        return images + torch.arange(len(images), device=images.device)[:, None]


gate, dark = Gate(), torch.zeros(3, 4)
exports = {"traced": torch.jit.trace(gate, dark), "scripted": torch.jit.script(gate)}
for name, module in exports.items():
    print(f"{name}:\n{module.code}")
    for what, x in {"as the example": dark, "bright": dark + 1, "5 images": torch.zeros(5, 4)}.items():
        try:
            print(f"  {what}: {'right' if torch.equal(module(x), gate(x)) else 'WRONG'}")
        except RuntimeError as error:
            print(f"  {what}: {str(error).strip().splitlines()[-1]}")

# %% [markdown]
# ### Exercise 3.1 · Export what is right for every input
# *8 minutes · difficulty 2 of 3 · 4 points*
#
# The trace kept one way, the number 3, and the device `cpu`. A server gets inputs that were no examples.
#
# You must:
# - return TorchScript in evaluation mode, which shares nothing with `module`: its training may go on;
# - compile it (`torch.jit.script`) if that works;
# - if not, trace it with the first example, and let PyTorch trace it again with *every* example: they differ
#   in size, and a trace that differs is an error, which you pass on (`check_inputs=…`).


# %%
def export(module: nn.Module, examples: list[torch.Tensor]) -> torch.jit.ScriptModule:
    """TorchScript of a module with one input, right for every input; or an error."""
    ### BEGIN SOLUTION
    #: 1. a copy in evaluation mode
    #: 2. try to script it, and return that
    #: 3. except: trace it, checked with every example
    copied = copy.deepcopy(module).eval()
    try:
        return torch.jit.script(copied)
    except Exception:  # whatever the compiler does not know
        return torch.jit.trace(copied, examples[0], check_inputs=examples)
    ### END SOLUTION


# %%
lab.check("3.1")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `copy.deepcopy(module)` copies weights and modes. `torch.jit.script` raises several kinds of errors:
# `except Exception`. The second argument of `torch.jit.trace` is the example.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `copied = copy.deepcopy(module).eval()`, then `try: return torch.jit.script(copied)`, and in the `except`
# `return torch.jit.trace(copied, examples[0], …)`, where `check_inputs` is all of the examples.
# </details>

# %% [markdown]
# ## 2 · A file that Triton can serve
#
# TorchScript stores no types, no shapes and no names of results. So the config must say them;
# auto-complete cannot help. Which input is which argument of `forward()`, the first rule says that fits:
#
# | names of the inputs | meaning |
# |---|---|
# | all are argument names | by name; their order means nothing |
# | all are `TEXT__INDEX` | by index; `INPUT__0` is the first |
# | else | by the order in the config |
#
# Outputs have no names: `OUTPUT__0`, `OUTPUT__1` …, or the order.
#
# **Predict first.** `present` is 5, `absent` is 1, and `forward` subtracts. Which of the four configs
# answer 4?


# %%
def serve(name: str, module: torch.jit.ScriptModule, config: str) -> None:
    """Write a TorchScript module and its config into the lab's repository, and load it."""
    (lab.repository / name / "1").mkdir(parents=True, exist_ok=True)
    module.save(str(lab.repository / name / "1" / "model.pt"))
    (lab.repository / name / "config.pbtxt").write_text(config)
    with httpclient.InferenceServerClient(http, network_timeout=120) as client:
        client.load_model(name)


class Minus(nn.Module):
    def forward(self, present: torch.Tensor, absent: torch.Tensor) -> torch.Tensor:
        return present - absent


for names in (("present", "absent"), ("absent", "present"), ("x__1", "x__0"), ("second", "first")):
    tensors = [f'{{ name: "{name}" data_type: TYPE_FP32 dims: [ 1 ] }}' for name in names]
    config = f"""platform: "pytorch_libtorch" max_batch_size: 8 input [ {", ".join(tensors)} ]
        output [ {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 1 ] }} ]"""
    serve("minus", torch.jit.script(Minus()), config)
    inputs = []
    for name in names:
        value = np.array([[1 if name in ("absent", "x__1", "second") else 5]], np.float32)
        inputs.append(httpclient.InferInput(name, [1, 1], "FP32").set_data_from_numpy(value))
    with httpclient.InferenceServerClient(http) as client:
        print(names, client.infer("minus", inputs).as_numpy("OUTPUT__0").item())

# %% [markdown]
# ### Exercise 3.2 · The config from the signature
# *6 minutes · difficulty 2 of 3 · 3 points*
#
# A config that is derived cannot disagree with its module. `examples` is one call: a tensor for each
# argument, batch first.
#
# You must:
# - return a config.pbtxt for `pytorch_libtorch`, with this `name` and `max_batch_size`;
# - name each input like its argument (`module.forward.schema.arguments`; the first one is `self`);
# - name the outputs `OUTPUT__0`, `OUTPUT__1` …; `forward()` returns one tensor or a tuple of them;
# - take types and dims from the tensors, the dims without the batch.


# %%
TYPES = {
    torch.float16: "TYPE_FP16", torch.float32: "TYPE_FP32", torch.float64: "TYPE_FP64",
    torch.uint8: "TYPE_UINT8", torch.int32: "TYPE_INT32", torch.int64: "TYPE_INT64", torch.bool: "TYPE_BOOL",
}  # fmt: skip


def torch_config(
    name: str, module: torch.jit.ScriptModule, examples: tuple[torch.Tensor, ...], max_batch_size: int
) -> str:
    """The text of config.pbtxt for a TorchScript module."""
    ### BEGIN SOLUTION
    #: 1. the names of the inputs, from the schema
    #: 2. one call gives the outputs; make a tuple of a single one
    #: 3. a function for one entry: name, type, dims
    #: 4. the text
    names = [argument.name for argument in module.forward.schema.arguments[1:]]
    answer = module(*examples)
    answers = answer if isinstance(answer, tuple) else (answer,)

    def entry(name: str, tensor: torch.Tensor) -> str:
        return f'{{ name: "{name}" data_type: {TYPES[tensor.dtype]} dims: {list(tensor.shape[1:])} }}'

    inputs = ", ".join(map(entry, names, examples))
    outputs = ", ".join(entry(f"OUTPUT__{place}", tensor) for place, tensor in enumerate(answers))
    return f"""name: "{name}"
platform: "pytorch_libtorch"
max_batch_size: {max_batch_size}
input [ {inputs} ]
output [ {outputs} ]"""
    ### END SOLUTION


# %%
lab.check("3.2")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `[a.name for a in module.forward.schema.arguments]` begins with `self`. `TYPES[tensor.dtype]` is a type,
# `list(tensor.shape)` prints as config.pbtxt wants it. The cell above joins entries with `", ".join(…)`.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `answer = module(*examples)`, and `(answer,)` if it is no tuple. An entry is
# `f'{{ name: "{name}" data_type: {TYPES[tensor.dtype]} dims: {…} }}'`, with `tensor.shape[1:]` for the dims;
# the second output is `OUTPUT__1`: `enumerate`.
# </details>

# %%
# The wrong thing in model.pt. Three of these five are refused, and explained below. Which two load?
wrong = {
    "weights": lambda file: torch.save(cnn.state_dict(), file),
    "pickled": lambda file: torch.save(cnn, file),
    "program": lambda file: torch.export.save(torch.export.export(cnn, (torch.zeros(2, 1, 28, 28),)), file),
    "training": lambda file: torch.jit.script(load_cnn().train()).save(file),
    "half": lambda file: torch.jit.script(load_cnn().half()).save(file),
}
digits_config = (lab.repository / "digits_cnn" / "config.pbtxt").read_text()
tensor = httpclient.InferInput("INPUT__0", images.shape, "FP32").set_data_from_numpy(images)
right = cnn(torch.from_numpy(images)).numpy()
for name, save in wrong.items():
    (lab.repository / name / "1").mkdir(parents=True, exist_ok=True)
    (lab.repository / name / "config.pbtxt").write_text(digits_config.replace("digits_cnn", name))
    file = lab.repository / name / "1" / "model.pt"
    save(str(file))  # PyTorch warns: a torch.export file should be called .pt2
    with zipfile.ZipFile(file) as archive:
        print(f"\n{name}: {sorted({entry.split('/')[1] for entry in archive.namelist()})}")
    try:
        with httpclient.InferenceServerClient(http, network_timeout=120) as client:
            client.load_model(name)
            print("  it loads: READY")
            served = client.infer(name, [tensor]).as_numpy("OUTPUT__0")
        print(f"  answers differ by up to {np.abs(served - right).max():.2f}")
    except httpclient.InferenceServerException as error:
        words = error.message()
        print("  refused:", words.partition("model.pt': ")[2].split(";")[0] or words.strip().splitlines()[-1])

# %% [markdown]
# ### Exercise 3.3 · What is in model.pt?
# *6 minutes · difficulty 2 of 3 · 3 points*
#
# A pickle can run any code while it is opened. So look at a file before PyTorch does.
#
# You must return, for any file, also an empty one, and without unpickling it:
# - `"torchscript"`: a zip archive with names below `code/`;
# - `"torch.export"`: one with a name `archive_format`;
# - `"torch.save"`: one with `data.pkl` and neither of these; or no archive, and the first byte is `0x80`;
# - `"other"`: all else.
#
# All names stand in a first folder, called as it likes: `archive/code/…`, `net/data.pkl`.


# %%
def what_is(file: Path) -> str:
    """What a model file is: "torchscript", "torch.export", "torch.save" or "other"."""
    ### BEGIN SOLUTION
    #: 1. no archive: the first byte decides
    #: 2. the names behind the first folder
    #: 3. the three kinds, TorchScript first: it has a data.pkl, too
    if not zipfile.is_zipfile(file):
        return "torch.save" if file.read_bytes().startswith(b"\x80") else "other"
    with zipfile.ZipFile(file) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    if any(name.startswith("code/") for name in names):
        return "torchscript"
    if "archive_format" in names:
        return "torch.export"
    return "torch.save" if "data.pkl" in names else "other"
    ### END SOLUTION


# %%
lab.check("3.3")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# The cell above lists names with `zipfile.ZipFile(file).namelist()`; `zipfile.is_zipfile(file)` says whether
# there are any. `"a/b/c".partition("/")` is `("a", "/", "b/c")`.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `if not zipfile.is_zipfile(file): return "torch.save" if file.read_bytes().startswith(b"\x80") else …`.
# Then `names = [name.partition("/")[2] for name in …]`, and three questions in the order of the bullets:
# `any(name.startswith("code/") for name in names)`, and two with `in names`.
# </details>

# %% [markdown]
# ### Exercise 3.4 · Prove it before you deploy
# *7 minutes · difficulty 2 of 3 · 4 points*
#
# `training` was READY and wrong. Only a comparison finds that. Write it once, run it before every
# deployment. The check serves a model that is right, and then wrong in eleven ways; most of them read every
# digit well.
#
# You must:
# - for each of `sizes` send the first so many images in one request over HTTP (`INPUT__0`, `OUTPUT__0`);
# - compare with `module`, which is in evaluation mode;
# - return the largest absolute difference of two scores, over all sizes;
# - return `math.inf` if Triton refuses a request, or if a score is not a number (NaN).


# %%
def worst_error(url: str, model: str, module: nn.Module, images: np.ndarray, sizes: list[int]) -> float:
    """The largest difference between a served model and its module."""
    ### BEGIN SOLUTION
    #: 1. for each size: the batch, served and by the module
    #: 2. a refusal is infinitely wrong
    #: 3. the largest of all; NaN counts as infinity
    worst = 0.0
    with httpclient.InferenceServerClient(url) as client:
        for size in sizes:
            batch = images[:size]
            tensor = httpclient.InferInput("INPUT__0", batch.shape, "FP32").set_data_from_numpy(batch)
            try:
                served = client.infer(model, [tensor]).as_numpy("OUTPUT__0")
            except httpclient.InferenceServerException:
                return math.inf
            error = np.abs(served - module(torch.from_numpy(batch)).detach().numpy()).max()
            worst = max(worst, math.inf if np.isnan(error) else error)
    return float(worst)
    ### END SOLUTION


# %%
lab.check("3.4")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# The cell of the five wrong files asks and compares. `module(torch.from_numpy(batch)).detach().numpy()` is
# an array. Python's `max(0.0, nan)` is `0.0`: ask `np.isnan(error)` first.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `worst = 0.0`, then `for size in sizes:` with `batch = images[:size]`, an `InferInput` of `batch.shape`, and
# `client.infer` inside `try`; `except httpclient.InferenceServerException: return math.inf`. Then
# `error = np.abs(served - own).max()` and `worst = max(worst, …)`.
# </details>

# %% [markdown]
# ## 3 · Faster, on the same cores
#
# `torch.jit.freeze` makes constants of weights, and melts batch normalization into the convolution before it.
# `torch.jit.optimize_for_inference` goes on to the processor's own layouts; mostly such a module cannot be
# saved, nor served.
#
# Parameters of the backend (the embedded server has thread counts for each instance; in the NGC container the
# first model that sets them sets them for all):
#
# | parameter | default | meaning |
# |---|---|---|
# | `INTRA_OP_THREAD_COUNT` | all cores | threads within one operation |
# | `INTER_OP_THREAD_COUNT` | all cores | operations at once |
# | `INFERENCE_MODE` | `true` | no record for gradients |
# | `DISABLE_OPTIMIZED_EXECUTION` | `false` | turns the optimizer off |
#
# **Predict first.** Two cores: one instance with two threads, two with one, or two with two? (An operation
# waits for its slowest thread.)

# %%
scripted = torch.jit.script(cnn)
forms = {"eager": cnn, "scripted": scripted, "frozen": torch.jit.freeze(scripted)}
forms["optimized"] = torch.jit.optimize_for_inference(scripted)
for name, form in forms.items():
    timer = Timer("form(x)", globals={"form": form, "x": torch.from_numpy(images)})
    print(f"{name:9} {min(timer.blocked_autorange(min_run_time=0.3).times) * 1000:5.1f} ms per batch of 64")

# %%
cpu = "instance_group [ { kind: KIND_CPU count: %d } ]\n"
threads = 'parameters [ { key: "INTRA_OP_THREAD_COUNT" value: { string_value: "%d" } } ]\n'
body = digits_config[: digits_config.index("instance_group")].replace("digits_cnn", "shared")
for instances, count in ((1, 1), (1, 2), (2, 1), (2, 2)):
    serve("shared", forms["frozen"], body + cpu % instances + threads % count)
    result = run_load(server, "shared", concurrency=4, batch=32, seconds=1, progress=False)
    print(f"instances: {instances}, threads of each: {count}: {result.throughput:6.0f} images/s")

# %% [markdown]
# ### Exercise 3.5 · Freeze, and share the cores
# *7 minutes · difficulty 2 of 3 · 4 points*
#
# You must, in `freeze`:
# - return a frozen, scripted copy of `module` in evaluation mode; `module` itself, perhaps in training,
#   stays as it is;
# - keep the methods and attributes that `keep` names (`preserved_attrs`): freezing removes what `forward()`
#   does not need.
#
# You must, in `share_cores`, return the end of a config.pbtxt:
# - an `instance_group` with so many `instances` on the CPU;
# - `INTRA_OP_THREAD_COUNT`: threads for each, so that all together are no more than the cores, and at least
#   one;
# - `INTER_OP_THREAD_COUNT` of 1.


# %%
def freeze(module: nn.Module, keep: list[str]) -> torch.jit.ScriptModule:
    """A frozen copy of a module, with what `keep` names."""
    ### BEGIN SOLUTION
    #: a copy in evaluation mode, scripted, frozen
    scripted = torch.jit.script(copy.deepcopy(module).eval())
    return torch.jit.freeze(scripted, preserved_attrs=keep)
    ### END SOLUTION


def share_cores(cores: int, instances: int) -> str:
    """`instance_group` and `parameters` of a config.pbtxt."""
    ### BEGIN SOLUTION
    #: 1. threads per instance, a whole number
    #: 2. the text; the value of a parameter is a string
    threads = max(1, cores // instances)
    return f"""
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
parameters [
  {{ key: "INTRA_OP_THREAD_COUNT" value: {{ string_value: "{threads}" }} }},
  {{ key: "INTER_OP_THREAD_COUNT" value: {{ string_value: "1" }} }}
]"""
    ### END SOLUTION


# %%
lab.check("3.5")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `export` made a copy in evaluation mode. `torch.jit.freeze(scripted, preserved_attrs=[…])` returns a new
# module. The cell above has both fields of the config, with `%d` for the numbers.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `torch.jit.freeze(torch.jit.script(copy.deepcopy(module).eval()), …)`. Threads are
# `max(1, cores // instances)`; two parameters stand in one list:
# `parameters [ {{ key: "…" value: {{ string_value: "{threads}" }} }}, {{ … }} ]`.
# </details>

# %%
# After TorchScript. It gets no new features, and Python 3.14 and later are not supported; it still is what
# `pytorch_libtorch` takes. Its successors, and what Triton does with them:
# - torch.export: a graph without Python (.pt2), for a range of shapes (`Dim`). In a model.py of your own.
# - AOTInductor: such a graph compiled to machine code, by g++ (.pt2, too). From Triton 26.03 in beta
#   (platform "torch_aoti", model.pt2); before, so on the server here, in a model.py of your own.
# - torch.compile: compiles while it runs, so the first calls are slow. In a model.py of your own.
# - ONNX: another format, another backend.
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    torch.jit.script(nn.ReLU())
print(f"Python {sys.version.split()[0]}, PyTorch {torch.__version__}: {caught[0].message}\n")

pair = torch.from_numpy(images[:2])
batch = torch.export.Dim("batch", max=64)
program = torch.export.export(cnn, (pair,), dynamic_shapes=({0: batch},))
print([str(node.target) for node in program.graph.nodes if node.op == "call_function"])
print(program.range_constraints)  # VR[0, 64] is the range; the smallest batch is 1
for size in (1, 64, 65):
    try:
        print(size, tuple(program.module()(torch.zeros(size, 1, 28, 28)).shape))
    except Exception as error:
        print(size, f"{type(error).__name__}: {error}")

try:  # 15 to 60 seconds; needs g++ and the headers of Python
    warnings.filterwarnings("ignore", category=FutureWarning)  # of PyTorch's own, about itself
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(lab.work / "inductor")
    path = torch._inductor.aoti_compile_and_package(program, package_path=str(lab.work / "compiled.pt2"))
    compiled = torch._inductor.aoti_load_package(path)
    for name, form in {"eager": cnn, "AOTInductor": compiled}.items():
        timer = Timer("form(x)", globals={"form": form, "x": torch.from_numpy(images)})
        best = min(timer.blocked_autorange(min_run_time=0.3).times)
        print(f"{name:12} {best * 1000:5.1f} ms per batch of 64")
except Exception as error:
    print(f"AOTInductor: SKIP, {type(error).__name__}: {str(error).strip().splitlines()[0]}")

# %% [markdown]
# ### Exercise 3.6 · Export for every batch
# *6 minutes · difficulty 2 of 3 · 3 points*
#
# An export takes the example's sizes for granted, unless you say otherwise; a size of 1 even then.
#
# You must:
# - export a copy in evaluation mode; `module` stays as it is;
# - let dimension 0 of every input vary, from 1 to `largest`, and the same for all;
# - be right for examples of any batch, also of 1: so export with two rows, the example's first one twice;
# - save the program to `file` with `torch.export.save`.


# %%
def export_program(module: nn.Module, examples: tuple[torch.Tensor, ...], largest: int, file: Path) -> None:
    """Write a torch.export program of a module for batches of 1 to `largest`."""
    ### BEGIN SOLUTION
    #: 1. each example with two rows
    #: 2. one Dim, for dimension 0 of every input
    #: 3. export and save
    pairs = tuple(torch.cat([example[:1], example[:1]]) for example in examples)
    batch = torch.export.Dim("batch", max=largest)
    shapes = tuple({0: batch} for _ in examples)
    program = torch.export.export(copy.deepcopy(module).eval(), pairs, dynamic_shapes=shapes)
    torch.export.save(program, file)
    ### END SOLUTION


# %%
lab.check("3.6")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# The cell above exports with one input. With several, `dynamic_shapes` has an entry for each, all with the
# same `Dim`. `torch.cat([a, a])` puts rows under rows.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `pairs = tuple(torch.cat([example[:1], example[:1]]) for example in examples)`;
# `batch = torch.export.Dim("batch", max=…)`; `dynamic_shapes=tuple({0: batch} for _ in examples)`; then
# `torch.export.export(copy.deepcopy(module).eval(), pairs, dynamic_shapes=…)`.
# </details>

# %%
# Batching for a promise. Three knobs: delay, preferred size, instances. In the picture each point is one
# setting with so many clients: to the right is more work done, below is less waiting.
# Predict first: which curve is best with 4 clients, which with 16? Does a delay help a model that is busy?
settings = {
    "no batching": ("", 1),
    "no delay": ("dynamic_batching { }", 1),
    "delay 5 ms": ("dynamic_batching { max_queue_delay_microseconds: 5000 }", 1),
    "preferred 8": (
        "dynamic_batching { preferred_batch_size: [ 8 ] max_queue_delay_microseconds: 5000 }",
        1,
    ),
    "2 instances": ("dynamic_batching { }", 2),
}
body = digits_config[: digits_config.index("instance_group")].replace("digits_cnn", "tuned")
curves = {}
for name, (block, instances) in settings.items():
    serve("tuned", forms["frozen"], body + cpu % instances + threads % 1 + block)
    curves[name] = run_sweep(server, "tuned", concurrency=(4, 16), seconds=0.7, progress=False)
    for result in curves[name]:
        print(
            f"{name:12} {result.concurrency:2} clients: {result.throughput:5.0f}/s, "
            f"p99 {result.latency.p99 * 1000:5.1f} ms, mean batch {result.mean_batch:.1f}"
        )
draw_curve(curves)
# As a rule 4 clients only wait out the delay. With 16 it matters little: requests gather by themselves while
# the model is busy.

# %% [markdown]
# ### Exercise 3.7 · The frontier, and the choice
# *7 minutes · difficulty 2 of 3 · 4 points*
#
# Who wants more than a setting on the *frontier* must wait longer. An *SLO* (service level objective),
# such as "99 of 100 answers within 20 ms", picks one point of it.
#
# `results` has `throughput`, `latency.p99` (seconds) and `failed` (requests) for each name. Settings that
# failed requests are out.
#
# You must, in `frontier`:
# - return the names that no other beats, smallest throughput first; to beat is to be at least as good in
#   throughput *and* p99 (no two are equal in both).
#
# You must, in `choose`:
# - return the name with the most throughput whose p99 is at most `slo_ms`; of equals, the lower p99; or
#   `None`.


# %%
def frontier(results: dict[str, LoadResult]) -> list[str]:
    """The names of the settings that no other beats."""
    ### BEGIN SOLUTION
    #: 1. without those that failed
    #: 2. keep a name if no other result is at least as good in both
    #: 3. in order of throughput
    sound = {name: result for name, result in results.items() if not result.failed}

    def beaten(one: LoadResult) -> bool:
        return any(
            other.throughput >= one.throughput and other.latency.p99 <= one.latency.p99
            for other in sound.values()
            if other is not one
        )

    best = [name for name, one in sound.items() if not beaten(one)]
    return sorted(best, key=lambda name: sound[name].throughput)
    ### END SOLUTION


def choose(results: dict[str, LoadResult], slo_ms: float) -> str | None:
    """The name of the setting with the most throughput that keeps the promise."""
    ### BEGIN SOLUTION
    #: 1. those that failed nothing and are within slo_ms
    #: 2. the largest (throughput, -p99)
    fitting = {n: r for n, r in results.items() if not r.failed and r.latency.p99 * 1000 <= slo_ms}
    return max(fitting, key=lambda n: (fitting[n].throughput, -fitting[n].latency.p99), default=None)
    ### END SOLUTION


# %%
lab.check("3.7")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `any(… for other in sound.values() if other is not one)` asks all the others. Tuples compare by their first
# element, then by the second: `(throughput, -p99)`.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `sound = {n: r for n, r in results.items() if not r.failed}`; beaten:
# `other.throughput >= one.throughput and other.latency.p99 <= one.latency.p99`. For the choice
# `max(fitting, key=lambda n: (…, -fitting[n].latency.p99), default=None)`, where `fitting` also asks
# `r.latency.p99 * 1000 <= slo_ms`.
# </details>

# %% [markdown]
# ## 4 · A Llama that a person can read
#
# `lab_utils/llama/model.py` is a whole Llama in 250 lines that TorchScript can compile. It takes the weights
# of any Hugging Face folder of a Llama 2 or 3. This lab serves the **small Llama**: trained here, 2 million
# parameters, knows some facts about Triton. It is *not* Llama-2-7B, but runs the same code.
#
# With `LLAMA_MODEL=/path/or/hub-id` in the environment all but `llama_logits` serve that Llama instead.
#
# | served as | what it is |
# |---|---|
# | `llama_logits` | this Llama as `model.pt`: tokens in, logits out, remembers nothing |
# | `llama` | this Llama behind an engine: KV cache, continuous batching, streaming |
# | `llama_hf` | `generate` of transformers, one request at a time |
# | `llama_hf_batched` | the same under dynamic batching |

# %%
import httpx
import tritonclient.grpc as grpcclient
from lab_utils.llama import facts, find_llama, load_llama, read_config
from lab_utils.llama.export import build_logits
from lab_utils.progress.repository import copy_models
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

disable_progress_bar()
grpc = server.endpoints.grpc
folder = find_llama("small")  # trained now if this machine has never done it
print(read_config(folder))
llama = load_llama(folder)
hf = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

served = ["llama_logits", "llama", "llama_hf", "llama_hf_batched"]
copy_models(served, lab.repository)
build_logits(lab.repository, "small")  # TorchScript, into llama_logits/1/model.pt
with httpclient.InferenceServerClient(http, network_timeout=300, connection_timeout=300) as client:
    for name in served:
        client.load_model(name)

question, _ = facts()[0]
tokens = torch.tensor([tokenizer.encode(question).ids])
with torch.no_grad():
    print("\n", question, "\n logits:", llama(tokens).shape, "theirs:", hf(tokens).logits.shape)
# "stream": false gives the whole answer at once: Triton's /generate can return one response only.
body = {"text_input": question, "max_tokens": 40, "stream": False}
answer = httpx.post(f"http://{http}/v2/models/llama/generate", json=body, timeout=60).json()
print(answer["text_output"], answer["finish_reason"])

# %% [markdown]
# ### Exercise 3.8 · Prove that two Llamas are one
# *8 minutes · difficulty 2 of 3 · 4 points*
#
# A port of a model is right when its *logits* are right, also in ragged batches: texts can agree by luck.
# Attention is causal, so padding on the right changes nothing before it.
#
# You must, in `last_logits`:
# - pad all prompts on the right to the longest, and call `model(tokens)` once: int64 `[B, T]` in,
#   `[B, T, vocabulary]` out;
# - return the logits at each prompt's last real token, `[B, vocabulary]`.
#
# You must, in `agree`:
# - return `True` if no such logit of the two models differs by more than `limit`; a NaN agrees with nothing.


# %%
def last_logits(model, prompts: list[list[int]]) -> torch.Tensor:
    """Logits `[B, vocabulary]` at each prompt's last token, in one padded batch."""
    ### BEGIN SOLUTION
    #: 1. one tensor of all prompts: pad_sequence
    #: 2. the index of each prompt's last token
    #: 3. the logits of row i at that index
    rows = [torch.tensor(prompt) for prompt in prompts]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    last = torch.tensor([len(prompt) - 1 for prompt in prompts])
    return model(tokens)[torch.arange(len(prompts)), last]
    ### END SOLUTION


def agree(ours, theirs, prompts: list[list[int]], limit: float) -> bool:
    """Whether two models give the same logits."""
    ### BEGIN SOLUTION
    #: the largest absolute difference, compared with the limit
    difference = (last_logits(ours, prompts) - last_logits(theirs, prompts)).abs()
    return bool(difference.max() <= limit)
    ### END SOLUTION


# %%
lab.check("3.8")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `torch.nn.utils.rnn.pad_sequence` takes a list of tensors; look at its `batch_first`. Two tensors of
# indices choose pairs: `x[torch.tensor([0, 1]), torch.tensor([5, 2])]` is `x[0, 5]` and `x[1, 2]`.
# To try `agree` on `hf`, give it `lambda tokens: hf(tokens).logits`: it returns an object.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `model(tokens)[torch.arange(len(prompts)), last]`, where `last` holds `len(prompt) - 1` of each prompt.
# `(a - b).abs().max() <= limit` is False when there is a NaN; `not … > limit` is True.
# </details>

# %% [markdown]
# ### Exercise 3.9 · Generate in the client
# *8 minutes · difficulty 2 of 3 · 4 points*
#
# `llama_logits` says which token follows. *You* write the loop. Greedy: the most probable token each time.
#
# You must:
# - send all tokens so far as `INPUT__0`, INT64 `[1, T]`, over HTTP; the last row of `OUTPUT__0`
#   `[1, T, vocabulary]` says what follows;
# - append that token, and ask again;
# - stop when it is one of `eos` (it belongs to the answer), or after `max_tokens` new tokens; ask for no
#   token that you do not need;
# - return the new tokens.


# %%
def generate(url: str, model: str, prompt: list[int], max_tokens: int, eos: tuple[int, ...]) -> list[int]:
    """The greedy answer to a prompt of token ids."""
    ### BEGIN SOLUTION
    #: 1. a client, and a loop of at most max_tokens rounds
    #: 2. the tokens so far as one row; infer
    #: 3. argmax of the last row; append; is it an end token?
    tokens = list(prompt)
    with httpclient.InferenceServerClient(url) as client:
        for _ in range(max_tokens):
            row = np.array([tokens])
            tensor = httpclient.InferInput("INPUT__0", row.shape, "INT64").set_data_from_numpy(row)
            logits = client.infer(model, [tensor]).as_numpy("OUTPUT__0")
            tokens.append(int(logits[0, -1].argmax()))
            if tokens[-1] in eos:
                break
    return tokens[len(prompt) :]
    ### END SOLUTION


# %%
lab.check("3.9")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# Lab 1 sent an image in the same way. `np.array([tokens])` is one row of int64. In Python `logits[0, -1]` is
# the last row of the first text.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `for _ in range(max_tokens):` with `httpclient.InferInput("INPUT__0", row.shape, "INT64")`, then
# `tokens.append(int(logits[0, -1].argmax()))`, then `if tokens[-1] in eos: break`. Return
# `tokens[len(prompt):]`.
# </details>

# %% [markdown]
# ### Exercise 3.10 · What fits, and how fast it can be
# *8 minutes · difficulty 2 of 3 · 4 points*
#
# A *KV cache* keeps the keys and values of all tokens so far: a step computes one token for each request. It
# waits for memory: all weights, once for all requests, and the cache of each.
#
# You must:
# - in `kv_bytes`, return the bytes of keys and values of `tokens` tokens: in each layer one of each for each
#   of `kv_heads`, of `head_dim` numbers;
# - in `slots_that_fit`, return how many whole slots of `length` tokens fit into `memory` bytes beside
#   `weights` bytes; never less than 0;
# - in `tokens_per_second`, return the most that `bandwidth` (bytes per second) allows when `requests`
#   requests hold `length` tokens each.


# %%
from lab_utils.llama import LlamaConfig


def kv_bytes(config: LlamaConfig, tokens: int, bytes_per_value: int) -> int:
    ### BEGIN SOLUTION
    #: keys and values, layers, key/value heads, their width
    return 2 * config.layers * config.kv_heads * config.head_dim * tokens * bytes_per_value
    ### END SOLUTION


def slots_that_fit(config: LlamaConfig, memory: int, weights: int, length: int, bytes_per_value: int) -> int:
    ### BEGIN SOLUTION
    #: what is left beside the weights, in whole slots
    return max(0, (memory - weights) // kv_bytes(config, length, bytes_per_value))
    ### END SOLUTION


def tokens_per_second(
    config: LlamaConfig, bandwidth: float, weights: int, requests: int, length: int, bytes_per_value: int
) -> float:
    ### BEGIN SOLUTION
    #: bytes that one step reads; steps per second; tokens per step
    read = weights + requests * kv_bytes(config, length, bytes_per_value)
    return requests * bandwidth / read
    ### END SOLUTION


# %%
lab.check("3.10")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `print(read_config(folder))` above names the fields. With grouped queries several query heads share one
# key/value head: `config.kv_heads`. A step gives one token to each request.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `2 * config.layers * config.kv_heads * …`. For the slots `max(0, (memory - weights) // …)`. A step reads
# `weights + requests * (cache of one request)` bytes: steps per second are `bandwidth` divided by it, tokens
# `requests` times as many.
# </details>

# %%
# What the cache saves: for each token your loop has the whole text read again, the engine one token. Predict
# first: how do the two times grow with the text?
from lab_utils.llama.memory import draw_memory, measure_memory, memory_table, predict_memory
from lab_utils.llama.seven import seven_billion
from lab_utils.load import draw_generation, draw_timeline, generation_table, run_generation
from lab_utils.load.designs import compare_designs, engine_alone

questions = [fact[0] for fact in facts()]
ids = tokenizer.encode(" ".join(questions)).ids
for length in (16, 128, 440):
    row = np.array([ids[:length]])
    tensor = httpclient.InferInput("INPUT__0", row.shape, "INT64").set_data_from_numpy(row)
    with httpclient.InferenceServerClient(http) as client:
        seconds = []
        for _ in range(6):
            begin = time.perf_counter()
            client.infer("llama_logits", [tensor])
            seconds.append(time.perf_counter() - begin)
    prompt, alone = tokenizer.decode(ids[: length - 8]), {"concurrency": 1, "requests": 3}
    cached = run_generation(
        server, "llama", [prompt], max_tokens=24, **alone, warmup=0.2, ignore_eos=True, progress=False
    ).tpot.p50
    whole = np.median(seconds)
    print(f"{length} tokens, one more: {whole * 1e3:.1f} ms by your loop, {cached * 1e3:.1f} ms with a cache")

# Memory, foretold and measured in a process of its own (which holds about 1 MB of other things, too).
predicted, measured = predict_memory(read_config(folder), 17, 512), measure_memory(folder, 17, 512)
print("\nThe small Llama, 16 + 1 slots of 512 tokens, in MB", memory_table(predicted, measured), sep="\n")

# With 7 billion parameters on a GPU a step waits for memory, not for Python: 13.5 GB of weights and 0.5 MB
# per cached token. The caches of 50 requests of 512 tokens are as large as the weights: up to there a request
# that joins is nearly free, from there on each costs its own cache.
print(f"\n{seven_billion()}")
draw_memory({"predicted": predicted, "measured": measured})

# %% [markdown]
# ## 5 · Batches that nobody waits for
#
# One step for 16 requests costs two or three times one for a single request here; on a GPU hardly more. In a
# *static* batch all wait for the longest answer: rows that are done, and padding, are computed all the same.
# In *continuous* batching each request leaves when it is done; the next takes its slot.
#
# Published gains go from hardly any to more than twenty times. Turn the knob that decides: how unequal the
# answers are. Then hold the engine back to static batches. (TTFT: time to the first token; ITL: from token to
# token.)
#
# **Predict first.** What happens to each design when one answer in 16 is long?

# %%
# 16 clients. Hugging Face sends an answer as a whole: its TTFT is all of the wait, and there is no ITL.
knob = {"equal": [16] * 128, "one in 16 is long": ([4] * 15 + [196]) * 8}  # as many tokens
for kind, lengths in knob.items():
    figures = compare_designs(server, questions, lengths)
    print(f"\n{kind}\n{generation_table(figures)}\n{engine_alone(server, questions, lengths)}")
    gain = figures["llama"].tokens_per_second / figures["llama_hf_batched"].tokens_per_second
    print(f"The engine, continuous, to Hugging Face, static: {gain:.1f} times.")
draw_generation(figures)

# %% [markdown]
# ### Exercise 3.11 · Count the steps of static and continuous batching
# *8 minutes · difficulty 2 of 3 · 4 points*
#
# `lengths` are tokens per answer, first come, first served; a request takes one step per token.
#
# You must:
# - in `static_steps`, cut the list into batches of `slots`, in order; add up their steps;
# - in `idle_share`, return which share of the rows of these batches, over all steps, nobody needs;
# - in `continuous_steps`, return the steps until all are done if a free slot takes the next at once.


# %%
def static_steps(lengths: list[int], slots: int) -> int:
    ### BEGIN SOLUTION
    #: each batch lasts as long as its longest answer
    return sum(max(lengths[i : i + slots]) for i in range(0, len(lengths), slots))
    ### END SOLUTION


def idle_share(lengths: list[int], slots: int) -> float:
    ### BEGIN SOLUTION
    #: rows of a batch times its steps; the sum of the lengths is what was needed
    batches = [lengths[i : i + slots] for i in range(0, len(lengths), slots)]
    return 1 - sum(lengths) / sum(len(batch) * max(batch) for batch in batches)
    ### END SOLUTION


def continuous_steps(lengths: list[int], slots: int) -> int:
    ### BEGIN SOLUTION
    #: 1. for each slot: at which step it is free
    #: 2. each request goes to the slot that is free first
    free = [0] * slots
    for length in lengths:
        free[free.index(min(free))] += length
    return max(free)
    ### END SOLUTION


# %%
lab.check("3.11")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `lengths[i : i + slots]` for `i` in `range(0, len(lengths), slots)` are the batches; the last may be
# smaller. For continuous batching think of a row of tills and one queue.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `sum(max(batch) for batch in batches)`; `1 - needed / computed`, where a batch computes
# `len(batch) * max(batch)` rows. With `free = [0] * slots`, each length is added to
# `free[free.index(min(free))]`; the largest of `free` is the answer.
# </details>

# %% [markdown]
# ## 6 · Streaming
#
# A *decoupled* model sends any number of responses per request. gRPC brings those of all requests of a client
# over one stream:
#
# | call | what |
# |---|---|
# | `start_stream(callback=f)` | a thread calls `f(result=…, error=…)` for each response |
# | `async_stream_infer(…)` | sends a request, and does not wait |
# | `request_id="7"` | comes back as `result.get_response().id` |
# | `enable_empty_final_response=True` | also hands on a last response without outputs |
# | `….parameters["triton_final_response"].bool_param` | of a response: true in a request's last one |
#
# Two traps. An error does not say which request it ended. A response may hold several tokens: those that came
# up while the last one was sent.

# %%
from dataclasses import dataclass, field
from queue import Queue


@dataclass
class Answer:
    """What came back for one prompt; `perf_counter()` is the clock."""

    sent: float
    arrivals: list[tuple[float, int]] = field(default_factory=list)  # (moment, number of tokens)
    text: str = ""


def text_inputs(prompt: str, max_tokens: int) -> list[grpcclient.InferInput]:
    """The input tensors of a request for text."""
    text = grpcclient.InferInput("text_input", [1], "BYTES")
    limit = grpcclient.InferInput("max_tokens", [1], "INT32")
    return [
        text.set_data_from_numpy(np.array([prompt.encode()], np.object_)),
        limit.set_data_from_numpy(np.array([max_tokens], np.int32)),
    ]


# Over HTTP each response is an event of /generate_stream: a line that begins with "data:".
(lab.work / "question.json").write_text('{"text_input": "What is dynamic batching?", "max_tokens": 8}')
# !curl -sN {server.endpoints.http_url}/v2/models/llama/generate_stream -d @{lab.work}/question.json

# More readers at once. Predict first: what grows, tokens per second, TTFT, ITL?
load = {"max_tokens": 32, "seconds": 1.5, "warmup": 0.5, "ignore_eos": True, "progress": False}
for readers in (1, 4, 16):
    figures = run_generation(server, "llama", questions, concurrency=readers, **load)
    print(
        f"{readers:2} readers: {figures.tokens_per_second:5.0f} tokens/s, "
        f"TTFT {figures.ttft.p50 * 1000:5.1f} ms, ITL {figures.itl.mean * 1000:4.1f} ms"
    )

# %% [markdown]
# ### Exercise 3.12 · A streaming client
# *10 minutes · difficulty 3 of 3 · 5 points*
#
# You must:
# - send all prompts over one gRPC stream, each with its number as id, before you read;
# - return one `Answer` for each prompt, in order, and the list of error texts (`str(error)`);
# - keep when each was sent, and for each response with tokens the moment in the callback and how many
#   `token_ids` it has; join the `text_output` of all responses, one without tokens too;
# - be done when each request had its final response (it may be empty: `as_numpy` gives `None`) or an error;
#   the others go on after an error.


# %%
def stream(url: str, model: str, prompts: list[str], max_tokens: int) -> tuple[list[Answer], list[str]]:
    """Ask for all prompts at once; what each one got, and the errors."""
    ### BEGIN SOLUTION
    #: 1. a queue; a callback that puts (moment, result, error) into it
    #: 2. start the stream; send each prompt with text_inputs(prompt, max_tokens)
    #: 3. until all requests have ended: take from the queue
    #: 4. an error; or else the answer with that id: its tokens, its text, is it final?
    events, answers, errors = Queue(), [], []
    with grpcclient.InferenceServerClient(url) as client:
        client.start_stream(callback=lambda result, error: events.put((time.perf_counter(), result, error)))
        for number, prompt in enumerate(prompts):
            answers.append(Answer(time.perf_counter()))
            client.async_stream_infer(
                model,
                text_inputs(prompt, max_tokens),
                request_id=str(number),
                enable_empty_final_response=True,
            )
        running = len(prompts)
        while running:
            moment, result, error = events.get()
            if error is not None:
                errors.append(str(error))
                running -= 1
                continue
            response = result.get_response()
            answer, tokens = answers[int(response.id)], result.as_numpy("token_ids")
            if tokens is not None:
                answer.text += result.as_numpy("text_output")[0].decode()
                if len(tokens):
                    answer.arrivals.append((moment, len(tokens)))
            running -= response.parameters["triton_final_response"].bool_param
    return answers, errors
    ### END SOLUTION


# %%
lab.check("3.12")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# The callback runs in a thread of tritonclient: let it do one thing, `events.put(…)`, and read with
# `events.get()`. Its parameters must be called `result` and `error`. Count the requests that still run.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `client.start_stream(callback=lambda result, error: events.put((time.perf_counter(), result, error)))`. In
# the loop: with an error `running -= 1`; else `answers[int(result.get_response().id)]` gets the text and
# `(moment, len(tokens))`; then subtract 1 if `…parameters["triton_final_response"].bool_param`.
# </details>

# %% [markdown]
# ### Exercise 3.13 · Figures of a stream
# *7 minutes · difficulty 2 of 3 · 4 points*
#
# A reader feels the wait for the first token (*TTFT*), the pace after it (time per output token, *TPOT*), and
# each stop. The owner of the GPU looks at tokens per second.
#
# `arrivals` has `(moment, number of tokens)` of each response. All in seconds.
#
# You must:
# - in `ttft`, return the time from `sent` to the first token;
# - in `tpot`, that from first to last token, divided by the tokens but one; 0.0 for one token;
# - in `longest_gap`, the longest time between two responses; 0.0 for one response;
# - in `throughput`, all tokens, divided by the time from the first request sent to the last token.


# %%
from itertools import pairwise


def ttft(answer: Answer) -> float:
    ### BEGIN SOLUTION
    #: one difference
    return answer.arrivals[0][0] - answer.sent
    ### END SOLUTION


def tpot(answer: Answer) -> float:
    ### BEGIN SOLUTION
    #: how many tokens; one token: 0.0
    tokens = sum(count for _, count in answer.arrivals)
    return (answer.arrivals[-1][0] - answer.arrivals[0][0]) / max(1, tokens - 1)
    ### END SOLUTION


def longest_gap(answer: Answer) -> float:
    ### BEGIN SOLUTION
    #: the differences of neighbours; none: 0.0
    moments = [moment for moment, _ in answer.arrivals]
    return max((later - earlier for earlier, later in pairwise(moments)), default=0.0)
    ### END SOLUTION


def throughput(answers: list[Answer]) -> float:
    ### BEGIN SOLUTION
    #: all tokens; the first moment, the last moment
    tokens = sum(count for answer in answers for _, count in answer.arrivals)
    begin = min(answer.sent for answer in answers)
    return tokens / (max(answer.arrivals[-1][0] for answer in answers) - begin)
    ### END SOLUTION


# %%
lab.check("3.13")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `answer.arrivals[-1][0]` is the moment of the last response. `pairwise(moments)` gives neighbours, and
# `max(…, default=0.0)` an answer when there are none.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `tokens = sum(count for _, count in answer.arrivals)`, then last minus first, divided by
# `max(1, tokens - 1)`. For the throughput `min(answer.sent for answer in answers)` and
# `max(answer.arrivals[-1][0] for answer in answers)`: requests overlap.
# </details>

# %% [markdown]
# ## 7 · A promise, and the settings that keep it
#
# The engine's parameters stand in its config:
#
# | parameter | more of it |
# |---|---|
# | `max_length` | longer prompts and answers; memory |
# | `slots` | more requests together; memory, `(slots + 1) * max_length` tokens: one slot is for reading |
# | `prefill_tokens` | prompts are read sooner; the others stand still longer |
# | `max_queue` | more requests wait; they wait longer |
#
# `try_engine` loads the engine with some settings (a config in the load request, as in Lab 2) and asks it for
# what an *SLO* promises, one prompt in four being long. Look at `between`, the time from one response to the
# next: `itl` also counts tokens that came together, as 0.
#
# **Predict first.** With which `prefill_tokens` do all rows stop at once?

# %%
from lab_utils.load.promise import Slo, try_engine

slo = Slo(prompt=1000, answer=20, memory=20_000_000, gap=0.1, ttft=1.0, candidates=(64, 1024))
settings = {"max_length": 1020, "slots": 8, "max_queue": 64}
tried = {n: try_engine(server, settings | {"prefill_tokens": n}, slo) for n in slo.candidates}
print(*(f"prefill_tokens {n}: {result}\n" for n, result in tried.items()), sep="\n")
draw_timeline({f"prefill_tokens {n}": result for n, result in tried.items()})

# %% [markdown]
# ### Exercise 3.14 · Choose for a promise
# *9 minutes · difficulty 3 of 3 · 5 points*
#
# You must return a dictionary of settings that keeps `slo`:
# - `max_length`: the longest prompt and answer fit, and no token more;
# - `slots`: as many as `memory` holds, the one for reading counted in; a token takes `token_bytes`;
# - `prefill_tokens`: the largest candidate with `between.p99` of at most `gap`. `measure(settings)`, with the
#   settings so far, returns what `try_engine` does; once per candidate, none smaller than your choice;
# - `max_queue`: who waits behind `q` others waits for `q` answers. So as many as come within `ttft` at the
#   `requests_per_second` measured with your choice, rounded down;
#
# or `None` if not one slot fits (measure nothing), or no candidate keeps the promise.


# %%
def choose_settings(slo: Slo, measure) -> dict[str, int] | None:
    """The engine's settings for a promise."""
    ### BEGIN SOLUTION
    #: 1. max_length, and the slots that fit; none: None
    #: 2. from the largest candidate down: measure; does it keep the promise?
    #: 3. then max_queue
    max_length = slo.prompt + slo.answer
    slots = slo.memory // (max_length * slo.token_bytes) - 1
    if slots < 1:
        return None
    for prefill_tokens in sorted(slo.candidates, reverse=True):
        settings = {"max_length": max_length, "slots": slots, "prefill_tokens": prefill_tokens}
        result = measure(settings)
        if result.between.p99 <= slo.gap:
            return settings | {"max_queue": int(slo.ttft * result.requests_per_second)}
    return None
    ### END SOLUTION


# %%
lab.check("3.14")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# The table above says what `slots` costs: solve `(slots + 1) * max_length * token_bytes <= memory`. `measure`
# returns what is printed above: `between.p99` and `requests_per_second`.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `slots = slo.memory // (max_length * slo.token_bytes) - 1`. Then
# `for prefill_tokens in sorted(slo.candidates, reverse=True)`: measure, and if
# `result.between.p99 <= slo.gap` return the settings with
# `"max_queue": int(slo.ttft * result.requests_per_second)`.
# </details>

# %% [markdown]
# ## What you learned
#
# - A trace keeps one way through the code; a test with ragged batches finds out.
# - Freezing, threads, instances, batching: measure, then choose.
# - Without a KV cache each token costs the whole text again.
# - Memory holds weights once and a cache per request; a decode step is bound by bandwidth.
# - Continuous batching wins by how unequal the answers are.
# - TTFT, TPOT, gaps and throughput are four different promises.
#
# ## Go further
#
# - Give `llama` the parameter `dtype` `bfloat16`: speed, texts?
# - Your figures of `stream(grpc, "llama", questions, 32)`?
# - Close a stream in the middle; look at the metric `llama_requests_total`.
# - With a GPU and `LLAMA_MODEL=meta-llama/Llama-2-7b-hf`, run this half again.
#
# The last cell stops the server; progress is kept.

# %%
lab.progress()
lab.stop()

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
# | fails | silently, with other inputs | at once, with a message |
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
import shutil
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


for names in (("present", "absent"), ("absent", "present"), ("x__1", "x__0"), ("first", "second")):
    tensors = [f'{{ name: "{name}" data_type: TYPE_FP32 dims: [ 1 ] }}' for name in names]
    config = f"""platform: "pytorch_libtorch" max_batch_size: 8 input [ {", ".join(tensors)} ]
        output [ {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 1 ] }} ]"""
    serve("minus", torch.jit.script(Minus()), config)
    five_is = {"absent": 1, "x__1": 1, "second": 1}  # which of the names means `absent`
    inputs = []
    for name in names:
        value = np.array([[1 if name in five_is else 5]], np.float32)
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the name of a torch.export file should end in .pt2
        save(str(file))
    with zipfile.ZipFile(file) as archive:
        print(f"\n{name}: {', '.join(archive.namelist()[:3])} …")
    try:
        with httpclient.InferenceServerClient(http, network_timeout=120) as client:
            client.load_model(name)
            print("  it loads: READY")
            served = client.infer(name, [tensor]).as_numpy("OUTPUT__0")
        print(f"  answers differ by up to {np.abs(served - right).max():.2f}")
    except httpclient.InferenceServerException as error:
        print("  refused:", error.message().split("\n")[0][:100])

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
# deployment. The check serves a model that is right, and then wrong in ten ways; most of them read every
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
# `torch.jit.optimize_for_inference` goes on to the processor's own layouts; what it gives cannot be saved on
# every machine (here mostly not), and so not be served.
#
# Parameters of the backend, all in config.pbtxt:
#
# | parameter | default | meaning |
# |---|---|---|
# | `INTRA_OP_THREAD_COUNT` | all cores | threads within one operation |
# | `INTER_OP_THREAD_COUNT` | all cores | operations at once |
# | `INFERENCE_MODE` | `true` | no record for gradients |
# | `DISABLE_OPTIMIZED_EXECUTION` | `false` | turns the optimizer off |
#
# **Predict first.** Two cores: what is better, one instance with two threads, or two with one? And two with
# two?

# %%
scripted = torch.jit.script(cnn)
forms = {"eager": cnn, "scripted": scripted, "frozen": torch.jit.freeze(scripted)}
forms["optimized"] = torch.jit.optimize_for_inference(scripted)
for name, form in forms.items():
    timer = Timer("form(x)", globals={"form": form, "x": torch.from_numpy(images)})
    print(f"{name:9} {timer.blocked_autorange(min_run_time=0.3).median * 1000:5.1f} ms per batch of 64")

# %%
cpu = "instance_group [ { kind: KIND_CPU count: %d } ]\n"
threads = 'parameters [ { key: "INTRA_OP_THREAD_COUNT" value: { string_value: "%d" } } ]\n'
body = digits_config[: digits_config.index("instance_group")].replace("digits_cnn", "shared")
for instances, count in ((1, 1), (1, 2), (2, 1), (2, 2)):
    serve("shared", forms["frozen"], body + cpu % instances + threads % count)
    result = run_load(server, "shared", concurrency=4, batch=32, seconds=1, progress=False)
    print(f"{instances} instances with {count} threads: {result.throughput:6.0f} images/s")

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
# `pytorch_libtorch` takes. Its successors:
# - torch.export: a graph without Python (.pt2), for a range of shapes (`Dim`). Triton: from 26.03, in beta.
# - AOTInductor: a .pt2 compiled to machine code, by g++. Triton: in a model.py of your own.
# - torch.compile: compiles while it runs, so the first calls are slow. Triton: in a model.py of your own.
# - ONNX: another format, another backend.
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    torch.jit.script(nn.ReLU())
print(f"Python {sys.version.split()[0]}, PyTorch {torch.__version__}: {caught[0].message}\n")

pair = torch.from_numpy(images[:2])
batch = torch.export.Dim("batch", max=64)
program = torch.export.export(cnn, (pair,), dynamic_shapes=({0: batch},))
print(program.graph_module.code, program.range_constraints)
for size in (1, 64, 65):
    try:
        print(size, tuple(program.module()(torch.zeros(size, 1, 28, 28)).shape))
    except Exception as error:
        print(size, f"{type(error).__name__}: {error}")

if shutil.which("g++"):  # 15 to 60 seconds
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(lab.work / "inductor")
    path = torch._inductor.aoti_compile_and_package(program, package_path=str(lab.work / "compiled.pt2"))
    compiled = torch._inductor.aoti_load_package(path)
    for name, form in {"eager": cnn, "AOTInductor": compiled}.items():
        begin = time.perf_counter()
        with torch.inference_mode():
            answers = [form(torch.from_numpy(images)) for _ in range(30)]
        print(f"{name:12} {(time.perf_counter() - begin) / 30 * 1000:5.1f} ms per batch of 64")
else:
    print("AOTInductor: SKIP, there is no g++ on this machine.")

# %% [markdown]
# ### Exercise 3.6 · Export for every batch
# *6 minutes · difficulty 2 of 3 · 3 points*
#
# An export takes the example's sizes for granted unless you say otherwise, and a size of 1 above all.
#
# You must:
# - export a copy in evaluation mode; `module` stays as it is;
# - let dimension 0 of every input vary, from 1 to `largest`, and the same for all;
# - be right for examples of any batch, also of 1 (say it with two rows: the first one twice);
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

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
# # Lab 2: Model repository design
#
# You design, write, version, batch and repair a model repository, and learn to say why Triton
# refuses one.
#
# | | |
# |---|---|
# | Time | 80–90 minutes |
# | You need | Lab 1; no GPU, no Docker |
# | You build | a repository of your own, with versions, batching, a pipeline |
#
# **By the end you can**
# - lay out a model, and write its config by hand;
# - predict which shapes Triton accepts;
# - serve two versions, split the traffic, and roll back;
# - load, unload and override while requests are in flight;
# - batch, queue and scale by measurement, not by belief;
# - cache answers, chain models, keep state;
# - diagnose fifteen broken repository entries.
#
# Each check asks a running server: whatever works is right.

# %%
from lab_utils import Lab

lab = Lab("02")

# %% [markdown]
# ## 1 · A folder is an interface
#
# Triton has no model registry and no upload form. It reads a *model repository*: a folder with one
# folder per model. Start the lab's server. It loads `mnist_mlp` alone; other models are loaded when
# somebody asks (`explicit`). The cache is for later.
#
# After a kernel restart, or when the server has died, choose *Run > Run All Above Selected Cell*, then
# go on.

# %%
from pathlib import Path

import httpx
import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from lab_utils import server as triton
from lab_utils.models.digits import split_digits

# %%
server = lab.start(
    "--model-control-mode=explicit", "--load-model=mnist_mlp", "--cache-config=local,size=16777216"
)
http, grpc = server.endpoints.http, server.endpoints.grpc
digits = split_digits()  # the test digits: no network here has seen them in training
images, labels = digits.test_images[:256], digits.test_labels[:256]

# %% [markdown]
# Three rules decide what Triton finds:
#
# ```
# REPOSITORY/NAME/config.pbtxt       the name in the config = the name of the folder
# REPOSITORY/NAME/1/model.onnx       a version is a whole number, without zeros in front
# ```
#
# | backend | file in the version folder |
# |---|---|
# | `onnxruntime` | `model.onnx` |
# | `pytorch` | `model.pt` |
# | `python` | `model.py` |
#
# What breaks a rule is often no error: Triton writes a line in its log and goes on without it. The
# next cell breaks some. When a model fails to load, the lab explains it below the cell.
#
# `configs/laptop.pbtxt` is a second config of the same model. `--model-config-name=laptop` chooses it; a
# model without such a file keeps its `config.pbtxt`. One repository then serves laptop and workstation.

# %%
import shutil

odd = lab.work / "odd_repository"
shutil.rmtree(odd, ignore_errors=True)
for version in ("1", "02", "v3"):
    shutil.copytree(lab.repository / "mnist_mlp" / "1", odd / "mnist_mlp" / version)
config = (lab.repository / "mnist_mlp" / "config.pbtxt").read_text()
(odd / "mnist_mlp" / "config.pbtxt").write_text(config)
(odd / "mnist_mlp" / "configs").mkdir()
(odd / "mnist_mlp" / "configs" / "laptop.pbtxt").write_text(config.replace("8192", "4"))
(odd / "notes").mkdir()
lab.tree(odd)

second = triton.start(
    odd,
    name="lab02-odd",
    options=["--model-config-name=laptop"],
    lifetime="kernel",
    wait_for=["mnist_mlp"],
)
for line in second.logs().splitlines():
    if "ignore version" in line:
        print(line)
served = httpx.get(f"{second.endpoints.http_url}/v2/models/mnist_mlp/config").json()
print("\nmax_batch_size:", served["max_batch_size"])
second.stop(0)  # at once: nobody waits for its answers

# %% [markdown]
# ### Exercise 2.1 · Lay out a model
# *4 minutes · difficulty 1 of 3 · 2 points*
#
# Put one version of a model where Triton finds it. The check gives you fresh names and files, loads
# them, and compares the answers with the file's own.
#
# You must:
# - write the text `config` to the model's config file;
# - *copy* `model_file` into the folder of its version, under the name that the backend looks for:
#   `model` and the file's own ending;
# - make all folders that are missing, and leave other versions alone;
# - replace the file when the same version is laid out again.


# %%
def lay_out(repository: Path, name: str, version: int, model_file: Path, config: str) -> None:
    """Put `model_file` into `repository` as one version of the model `name`."""
    ### BEGIN SOLUTION
    #: 1. the version's folder
    #: 2. the config
    #: 3. the model file, under its new name
    folder = repository / name / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    (repository / name / "config.pbtxt").write_text(config)
    shutil.copy(model_file, folder / f"model{model_file.suffix}")
    ### END SOLUTION


# %%
lab.check("2.1")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# The two lines above the table show both paths. `mkdir` takes `parents=True` and `exist_ok=True`;
# `model_file.suffix` is the ending with its dot.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `folder = repository / name / str(version)`; then `folder.mkdir(…)`, `.write_text(config)` into
# `repository / name / "config.pbtxt"`, and `shutil.copy(model_file, folder / …)`.
# </details>

# %% [markdown]
# ## 2 · The config, and what Triton guesses
#
# `config.pbtxt` is a protobuf message in text form: `field: value`, `field { … }` for a message,
# `field [ … ]` for a list. `#` begins a comment.
#
# Parts may be missing. The backend then looks into the model file and fills them in: *auto-complete*.
# Types and dims come from the file; the rest is a guess. Find three guesses in the list below: the
# largest batch, the number of instances, dynamic batching.
#
# `--disable-auto-complete-config` turns it off. A load is then quicker, above all with Python backends
# (here `onnxruntime` is one), which auto-complete starts once more. A forgotten line is an error today
# instead of a surprise next week. Do so in production; leave it on while you experiment.

# %%
from time import perf_counter

from lab_utils.repository import diff_configs, draw_diff, read_config, served_config

bare = lab.work / "bare_repository"
for name, text in {"full": config.replace("mnist_mlp", "full"), "bare": 'name: "bare"'}.items():
    shutil.copytree(lab.repository / "mnist_mlp", bare / name, dirs_exist_ok=True)
    (bare / name / "config.pbtxt").write_text(text)

explicit, seconds = "--model-control-mode=explicit", []
for options in ([explicit], [explicit, "--disable-auto-complete-config"]):
    second = triton.start(bare, name="lab02-bare", options=options, lifetime="kernel")
    with httpclient.InferenceServerClient(second.endpoints.http, network_timeout=60) as client:
        begin = perf_counter()
        client.load_model("full")
        seconds.append(perf_counter() - begin)
        try:
            client.load_model("bare")
            changes = diff_configs(read_config(bare / "bare"), served_config(second.endpoints.http, "bare"))
            print(draw_diff(changes))
        except httpclient.InferenceServerException as error:
            print("\nAuto-complete off:", str(error).splitlines()[0])
    second.stop(0)
print(f"\nLoading the full config took {seconds[0] / seconds[1]:.1f} times as long with auto-complete.")

# %% [markdown]
# ### Exercise 2.2 · Write a config by hand
# *6 minutes · difficulty 2 of 3 · 3 points*
#
# Return the text of a complete `config.pbtxt` for the digits network. Its `model.onnx` takes `input`, FP32
# `[-1, 1, 28, 28]`, and gives `output`, FP32 `[-1, 10]`; `-1` is the batch. The check loads it with
# auto-complete off.
#
# You must:
# - name the model `name`, and the backend `onnxruntime`;
# - accept batches up to `max_batch_size`;
# - declare input and output, with dims that leave the batch out;
# - run one instance, on the CPU;
# - let clients ask for class names: `label_filename: "labels.txt"` in the output.
#
# A list of messages reads `input [ { name: "…" data_type: … dims: [ … ] } ]`.


# %%
def write_config(name: str, max_batch_size: int) -> str:
    """The text of config.pbtxt for the digits network."""
    ### BEGIN SOLUTION
    #: 1. name, backend, largest batch
    #: 2. the input
    #: 3. the output, with its labels
    #: 4. the instance group: count and kind
    return f"""name: "{name}"
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input [ {{ name: "input" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] }} ]
output [ {{ name: "output" data_type: TYPE_FP32 dims: [ 10 ] label_filename: "labels.txt" }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]"""
    ### END SOLUTION


# %%
lab.check("2.2")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# The list of changes above shows the fields that you need, with their real names. Types carry the prefix
# `TYPE_`, and stand without quotes, like all names of an enumeration.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# In an f-string a brace is written twice: `f"input [ {{ name: … }} ]"`. Six lines: `name`, `backend`,
# `max_batch_size`, `input`, `output`, and `instance_group [ {{ count: 1 kind: … }} ]`, whose kind is
# `KIND_CPU`.
# </details>

# %% [markdown]
# ## 3 · The implicit batch dimension
#
# `dims` in a config is one *item*. With `max_batch_size` above 0, Triton puts one more dimension in front,
# for the batch: `dims: [ 1, 28, 28 ]` means requests of `[n, 1, 28, 28]`. The config never shows that
# dimension.
#
# With `max_batch_size: 0` nothing is put in front: `dims` is the whole shape, and Triton never joins
# requests. `-1` in `dims` stands for any size, in one place.

# %%
for shape in ([2, 1, 28, 28], [1, 28, 28], [2, 784], [9000, 1, 28, 28]):
    sample = np.zeros(shape, np.float32)
    with httpclient.InferenceServerClient(http) as client:
        try:
            tensor = httpclient.InferInput("input", sample.shape, "FP32").set_data_from_numpy(sample)
            print(f"{shape}: accepted, {client.infer('mnist_mlp', [tensor]).as_numpy('output').shape}")
        except httpclient.InferenceServerException as error:
            print(f"{shape}:", error.message().partition("] ")[2].partition(" NOTE")[0])

# %% [markdown]
# ### Exercise 2.3 · Predict which shapes are accepted
# *5 minutes · difficulty 2 of 3 · 3 points*
#
# Say before the request is sent whether Triton will take it. The check draws configs, serves them, sends
# every shape, and compares.
#
# You must:
# - return `True` when Triton accepts a request with an input of `shape`, otherwise `False`;
# - be right for any `max_batch_size`, 0 too, and for `dims` with `-1` in them;
# - be right for sizes of 0, where `-1` and the batch differ (try them), and for the empty shape `[]`.


# %%
def accepts(shape: list[int], max_batch_size: int, dims: list[int]) -> bool:
    """Whether Triton accepts an input of `shape` under this config."""
    ### BEGIN SOLUTION
    #: 1. with batching: is there a batch, and is it from 1 to the largest? The rest is the item
    #: 2. the item has as many dimensions as the config
    #: 3. each size is the config's, or the config says -1
    if max_batch_size > 0:
        if not shape or not 1 <= shape[0] <= max_batch_size:
            return False
        shape = shape[1:]
    return len(shape) == len(dims) and all(dims[i] in (size, -1) for i, size in enumerate(shape))
    ### END SOLUTION


# %%
lab.check("2.3")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# Take the two cases apart. With batching, cut the first number off and judge it alone: a batch of 0 is
# refused, the largest batch itself is not. What is left is compared in the same way in both cases.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# After `shape = shape[1:]`: `len(shape) == len(dims)`, and for each `i, size` of `enumerate(shape)`,
# `dims[i]` is `-1` or the size. (`zip` works as well; it stops at the shorter list.)
# </details>

# %% [markdown]
# ## 4 · Two versions side by side
#
# A version is a folder. Which of them are served, the config says:
#
# | `version_policy` | served |
# |---|---|
# | `{ latest { num_versions: 1 } }` | the highest number; this is the default |
# | `{ all {} }` | every version folder |
# | `{ specific { versions: [ 1, 2 ] } }` | these |
#
# A request may name its version: `/v2/models/NAME/versions/1/infer` in HTTP, `model_version="1"` in both
# clients. One that names none gets the highest version that is served.
#
# So an *A/B test* needs no second server, and a *rollback* is one line of config and a load. Nothing is
# deleted, and Triton answers while it reloads.

# %%
from lab_utils.models import version_file

both = lab.repository / "digits_ab"
small = version_file("small")  # a smaller network, a little less accurate
for number, file in {1: lab.repository / "mnist_mlp" / "1" / "model.onnx", 2: small}.items():
    (both / str(number)).mkdir(parents=True, exist_ok=True)
    shutil.copy(file, both / str(number) / "model.onnx")
policy = "\nversion_policy { specific { versions: [ 1, 2 ] } }\n"
(both / "config.pbtxt").write_text(config.replace("mnist_mlp", "digits_ab") + policy)

tensor = grpcclient.InferInput("input", images.shape, "FP32").set_data_from_numpy(images)
with grpcclient.InferenceServerClient(grpc) as client:
    client.load_model("digits_ab")
    for number in ("1", "2", ""):
        answer = client.infer("digits_ab", [tensor], model_version=number)
        right = (answer.as_numpy("output").argmax(axis=1) == labels).mean()
        print(f"asked for {number!r}, answered by version {answer.get_response().model_version}: {right:.1%}")
# !curl -si {server.endpoints.http_url}/v2/models/digits_ab/versions/2/ready
# !curl -s {server.endpoints.http_url}/v2/models/digits_ab

# %% [markdown]
# ### Exercise 2.4 · Versions: A/B test and rollback
# *8 minutes · difficulty 3 of 3 · 4 points*
#
# Three functions of a rollout. In the check version 3 is broken on purpose: nobody may load it.
#
# You must:
# - in `serve_versions` write `config`, which has no policy, and a policy for exactly `versions` to the
#   model's config file, then load; delete nothing, unload nothing;
# - in `ask_version` send all images over HTTP to `version`, or let Triton choose if it is `None`, and
#   return one digit per image;
# - in `choose_version` return 2 for about `share` of all clients, otherwise 1;
# - give a client the same version each time, also after a restart of Python; who has version 2 keeps it
#   when `share` grows.


# %%
import zlib


def serve_versions(url: str, repository: Path, name: str, config: str, versions: list[int]) -> None:
    """Serve exactly these versions of the model `name`."""
    ### BEGIN SOLUTION
    #: 1. the config with a version policy
    #: 2. load
    policy = f"version_policy {{ specific {{ versions: {versions} }} }}"
    (repository / name / "config.pbtxt").write_text(f"{config}\n{policy}\n")
    with httpclient.InferenceServerClient(url) as client:
        client.load_model(name)
    ### END SOLUTION


def ask_version(url: str, name: str, images: np.ndarray, version: int | None = None) -> np.ndarray:
    """Digits for float32 images `[n, 1, 28, 28]` by one version of the model `name`."""
    ### BEGIN SOLUTION
    #: the version is a string; an empty one leaves the choice to Triton
    with httpclient.InferenceServerClient(url) as client:
        tensor = httpclient.InferInput("input", images.shape, "FP32").set_data_from_numpy(images)
        answer = client.infer(name, [tensor], model_version=str(version or ""))
    return answer.as_numpy("output").argmax(axis=1)
    ### END SOLUTION


def choose_version(client: str, share: float) -> int:
    """The version for a client: 2 for about `share` of all clients, otherwise 1."""
    ### BEGIN SOLUTION
    #: a number from 0 to 1 that depends on the client alone, compared with the share
    return 2 if zlib.crc32(client.encode()) / 2**32 < share else 1
    ### END SOLUTION


# %%
lab.check("2.4")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# A Python list such as `[1, 2]` is written in config.pbtxt as in Python. `hash("anna")` is another number
# in each Python process; a checksum of the bytes, such as `zlib.crc32(client.encode())`, is not. It lies
# between 0 and 2**32 - 1.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `f"version_policy {{ specific {{ versions: {versions} }} }}"` behind `config`, then `load_model`;
# `client.infer(…, model_version=str(version or ""))`; the checksum divided by `2**32`, `< share`.
# </details>

# %% [markdown]
# ## 5 · Control modes
#
# | `--model-control-mode=` | at the start | later |
# |---|---|---|
# | `none` (default) | loads every folder | nothing changes until a restart |
# | `poll` | loads every folder | looks every `--repository-poll-secs`, loads what changed |
# | `explicit` | loads what `--load-model` names | loads and unloads on request |
#
# `poll` is for your desk: it also loads a file that is half copied. Production uses `explicit`, or `none`
# and new containers. An unload first finishes the requests that Triton has accepted.
#
# **Predict first.** Four clients ask all the time. What do they get while the model is loaded again, and
# while it is unloaded and loaded?

# %%
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

import psutil
from lab_utils.load import draw_curve, run_load, run_sweep  # the load generator of all labs

polled = lab.work / "polled_repository"
shutil.copytree(lab.repository / "mnist_mlp", polled / "mnist_mlp", dirs_exist_ok=True)
options = ["--model-control-mode=poll", "--repository-poll-secs=1"]
second = triton.start(polled, name="lab02-poll", lifetime="kernel", options=options, wait_for=["mnist_mlp"])
(polled / "mnist_mlp" / "config.pbtxt").write_text(config.replace("8192", "64"))
begin = time.monotonic()
with httpclient.InferenceServerClient(second.endpoints.http) as client:
    while client.get_model_config("mnist_mlp")["max_batch_size"] != 64 and time.monotonic() < begin + 20:
        time.sleep(0.1)
print(f"poll: the new config is served {time.monotonic() - begin:.1f} s after the file was written")
second.stop()

load = {"concurrency": 4, "progress": False}  # four clients
with ThreadPoolExecutor() as pool, httpclient.InferenceServerClient(http) as client:
    for unload in (False, True):
        before = now = client.get_inference_statistics("mnist_mlp")["model_stats"][0]["inference_count"]
        asking = pool.submit(run_load, server, "mnist_mlp", seconds=4, warmup=0, validate=True, **load)
        while now < before + 100 and not asking.done():  # until the clients are under way
            time.sleep(0.05)
            now = client.get_inference_statistics("mnist_mlp")["model_stats"][0]["inference_count"]
        if unload:
            client.unload_model("mnist_mlp")
        (lab.repository / "mnist_mlp" / "config.pbtxt").touch()  # unchanged, nothing would happen
        client.load_model("mnist_mlp")
        seen = asking.result()
        how = "unload, then load" if unload else "load over the old"
        print(f"explicit, {how}: {seen.requests} right answers; else: {seen.errors or 'nothing'}")

# %% [markdown]
# ### Exercise 2.5 · Load with an override
# *6 minutes · difficulty 2 of 3 · 4 points*
#
# `load_model(name, config=TEXT)` loads with a config from the request, in JSON. It **replaces** the whole
# config: what you leave out is gone or, with auto-complete, guessed. It outlives a later plain load, until
# the files change or the model is unloaded. With `files={"file:1/model.onnx": BYTES}` the model travels
# too.
#
# You must, in `change_batching`:
# - give a loaded `model`, which has dynamic batching, the delay `delay_us`, by a load alone: an unload
#   leaves a gap;
# - leave every other field, and all files, as they are.
#
# You must, in `serve_from_memory`:
# - serve the digits network in `onnx` as version 1 of `name`, with no folder;
# - accept batches of up to 64.

# %%
import json


def change_batching(url: str, model: str, delay_us: int) -> None:
    """Set the `max_queue_delay_microseconds` of a loaded model; nothing else changes."""
    ### BEGIN SOLUTION
    #: 1. the config that the server uses now, as a dictionary
    #: 2. the one field
    #: 3. load the model with all of it
    with httpclient.InferenceServerClient(url) as client:
        config = client.get_model_config(model)
        config["dynamic_batching"]["max_queue_delay_microseconds"] = delay_us
        client.load_model(model, config=json.dumps(config))
    ### END SOLUTION


def serve_from_memory(url: str, name: str, onnx: bytes) -> None:
    """Serve an ONNX digits network that lies in no folder."""
    ### BEGIN SOLUTION
    #: 1. a config: backend and largest batch; the server completes the rest
    #: 2. load it, with the file
    config = {"backend": "onnxruntime", "max_batch_size": 64}
    with httpclient.InferenceServerClient(url) as client:
        client.load_model(name, config=json.dumps(config), files={"file:1/model.onnx": onnx})
    ### END SOLUTION


# %%
lab.check("2.5")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `client.get_model_config(model)` is a dictionary with the names of config.pbtxt. `json.dumps` makes text
# of a dictionary. Both functions end with one `client.load_model(…)`.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `config["dynamic_batching"]["max_queue_delay_microseconds"] = …`, then `config=json.dumps(config)`. For
# the other: `{"backend": "onnxruntime", "max_batch_size": …}` and `files={"file:1/model.onnx": …}`. Python
# encodes nothing here: the client does.
# </details>

# %% [markdown]
# ## 6 · Dynamic batching
#
# Eight images in one execution cost far less than eight executions. With
#
# ```
# dynamic_batching { max_queue_delay_microseconds: 100000 }
# ```
#
# Triton joins waiting requests of different clients, up to `max_batch_size`. The delay is how long the
# oldest one may wait for company; a full batch leaves at once.
#
# Whether it happens is a matter of counting: `inference_count` counts rows (here images),
# `execution_count` runs of the model.
#
# **Predict first.** 32 requests of one row arrive together. The largest batch is 8, one execution takes
# 20 ms. How many executions (a) without the block, (b) with an empty one, (c) with 0.1 s of delay,
# (d) as (c), but with `max_batch_size: 0`?


# %%
def serve_tuned(execution_ms: int, more: str = "", count: int = 1, max_batch: int = 8) -> None:
    """Load `tuned`: the code of `timed`, with a config that is written here."""
    folder, dims = lab.repository / "tuned", "[ 4 ]" if max_batch else "[ -1, 4 ]"
    shutil.copytree(lab.repository / "timed" / "1", folder / "1", dirs_exist_ok=True)
    (folder / "config.pbtxt").write_text(f"""
backend: "python"
max_batch_size: {max_batch}
input [ {{ name: "data" data_type: TYPE_FP32 dims: {dims} }} ]
output [ {{ name: "echo" data_type: TYPE_FP32 dims: {dims} }} ]
parameters [ {{ key: "execution_ms" value: {{ string_value: "{execution_ms}" }} }} ]
instance_group [ {{ kind: KIND_CPU count: {count} }} ]
{more}""")
    with httpclient.InferenceServerClient(http) as client:
        client.load_model("tuned")


row = grpcclient.InferInput("data", [1, 4], "FP32").set_data_from_numpy(np.ones((1, 4), np.float32))
done = Queue()
delayed = "dynamic_batching { max_queue_delay_microseconds: 100000 }"
for name, more, max_batch in [
    ("(a) no block", "", 8),
    ("(b) empty block", "dynamic_batching { }", 8),
    ("(c) delay 0.1 s", delayed, 8),
    ("(d) max_batch_size 0", delayed, 0),
]:
    serve_tuned(20, more, max_batch=max_batch)
    with grpcclient.InferenceServerClient(grpc) as client:
        for _ in range(32):
            client.async_infer("tuned", [row], callback=lambda result, error: done.put(error))
        for _ in range(32):
            done.get()
    time.sleep(0.2)  # Triton counts a moment after it has answered
    seen = httpx.get(f"http://{http}/v2/models/tuned/stats").json()["model_stats"][0]
    print(f"{name:22} {seen['inference_count']} inferences, {seen['execution_count']} executions")
seen["batch_stats"]

# %% [markdown]
# ### Exercise 2.6 · Batches, configured and counted
# *6 minutes · difficulty 2 of 3 · 4 points*
#
# (b) needs no delay: it joins what waits while an execution runs. (d) is the trap: the model is READY,
# nobody complains, and it never batches.
#
# You must, in `batched_config`:
# - return a config.pbtxt for the digits model (`onnxruntime_onnx`, `input`, `output`) called `name`, with
#   batches of up to `max_batch` and the delay `delay_us`.
#
# You must, from two looks at a model's statistics (like `seen` above):
# - in `mean_batch`, return images per execution between the looks, and 0.0 when nothing ran;
# - in `batch_histogram`, return `{batch size: executions}` between the looks, without sizes that did not
#   run.


# %%
def batched_config(name: str, max_batch: int, delay_us: int) -> str:
    """The config.pbtxt of a digits model that batches."""
    ### BEGIN SOLUTION
    #: 1. name, platform, largest batch; input and output; dynamic batching with the delay
    return f"""
name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: {max_batch}
input [ {{ name: "input" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] }} ]
output [ {{ name: "output" data_type: TYPE_FP32 dims: [ 10 ] }} ]
dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}
"""
    ### END SOLUTION


def mean_batch(before: dict, after: dict) -> float:
    """Images per execution between two looks at the statistics."""
    ### BEGIN SOLUTION
    #: 1. two differences; nothing ran: 0.0
    executions = after["execution_count"] - before["execution_count"]
    images = after["inference_count"] - before["inference_count"]
    return images / executions if executions else 0.0
    ### END SOLUTION


def batch_histogram(before: dict, after: dict) -> dict[int, int]:
    """Executions by batch size between two looks."""
    ### BEGIN SOLUTION
    #: 1. size → count of each entry of batch_stats, before and after; their differences, without zeros
    old = {entry["batch_size"]: entry["compute_infer"]["count"] for entry in before["batch_stats"]}
    new = {entry["batch_size"]: entry["compute_infer"]["count"] for entry in after["batch_stats"]}
    return {size: count - old.get(size, 0) for size, count in new.items() if count != old.get(size)}
    ### END SOLUTION


# %%
lab.check("2.6")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# The cell above prints `batch_stats`: a list with one entry per batch size, and in it how often and how
# long. A size that is in `after` may be missing in `before`: `old.get(size, 0)`.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `after["inference_count"] - before["inference_count"]`, divided by the same of `execution_count`.
# `{entry["batch_size"]: entry["compute_infer"]["count"] for entry in after["batch_stats"]}` is half of the
# histogram. In the config, write `{{` and `}}` for each brace of an f-string.
# </details>

# %%
# What does a delay buy? At a fixed rate throughput says nothing: it is the rate that you send.
# p99: 99 of 100 requests take no longer.
for delay_us in (0, 20_000, 320_000):
    serve_tuned(5, f"dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}", max_batch=64)
    result = run_load(server, "tuned", rate=100, seconds=1.5, progress=False)
    latency = result.latency
    print(
        f"delay {delay_us / 1000:3.0f} ms: {result.throughput:4.0f}/s, mean batch {result.mean_batch:4.1f}, "
        f"latency: mean {latency.mean * 1000:3.0f} ms, p99 {latency.p99 * 1000:3.0f} ms"
    )

# A preferred size is for models that run best at it, such as TensorRT with profiles. This one does not.
# With [ 4 ] a batch leaves as soon as 4 wait. Predict: better with 6 clients? With 8?
curves = {}
for name, preferred in [("none", ""), ("[ 4 ]", "preferred_batch_size: [ 4 ]")]:
    serve_tuned(20, f"dynamic_batching {{ {preferred} max_queue_delay_microseconds: 30000 }}")
    curves[name] = run_sweep(server, "tuned", concurrency=(4, 6, 8, 12), seconds=0.6, progress=False)
    print(f"preferred {name}:", [round(result.throughput) for result in curves[name]], "per second")
draw_curve(curves)  # the numbers are clients

# %% [markdown]
# ## 7 · Instance groups
#
# `instance_group [ { kind: KIND_CPU count: 4 } ]` makes four copies that execute at the same time. Here
# each is a process; in the container, those of ONNX Runtime are threads.
#
# **Predict first.** Four clients; 1, 2, 4, 8 instances. What happens to a model that waits 20 ms, to one
# that computes, and to the memory?
#
# Not all memory comes back after the unload: the allocator keeps some for the next model, and Python
# processes end seconds later. (Shared pages count once per process.)
#
# The *rate limiter* is for what models share and is not a core: a licence, a database. Instances name
# resources, `--rate-limit-resource` says how many there are. Last line below: four instances, two
# licences.


# %%
def memory() -> tuple[int, int]:
    """Processes of the server, and the sum of their resident memory in MiB."""
    pids = {server.pid, *(child.pid for child in psutil.Process(server.pid).children(recursive=True))}
    family = [one for one in psutil.process_iter(["memory_info"]) if one.pid in pids]
    return len(family), sum(one.info["memory_info"].rss for one in family) >> 20


tuned, busy = lab.repository / "tuned", lab.repository / "busy"
shutil.copytree(lab.repository / "mnist_mlp" / "1", busy / "1", dirs_exist_ok=True)
group = 'backend: "onnxruntime" max_batch_size: 256 instance_group [ { kind: KIND_CPU count: %d } ]'
print("processes, MiB:", before := memory())
with httpclient.InferenceServerClient(http) as client:
    for count in (1, 2, 4, 8):
        serve_tuned(20, count=count)
        (busy / "config.pbtxt").write_text(group % count)
        client.load_model("busy")
        waits = run_load(server, "tuned", seconds=1, **load).throughput
        computes = run_load(server, "busy", seconds=1, batch=256, **load).throughput
        print(f"{count} instances {memory()}   waits: {waits:4.0f}/s   computes: {computes:6.0f}/s")
    client.unload_model("tuned")
    client.unload_model("busy")
for _ in range(40):
    time.sleep(0.5 if memory()[0] > before[0] else 0)
print("after the unload:", memory())
limited = lab.work / "limited_repository"
shutil.copytree(tuned, limited / "tuned", dirs_exist_ok=True)
resource = 'count: 4 rate_limiter { resources [ { name: "licence" count: 1 } ] }'
text = (tuned / "config.pbtxt").read_text().replace("count: 8", resource)
(limited / "tuned" / "config.pbtxt").write_text(text)
options = ["--rate-limit=execution_count", "--rate-limit-resource=licence:2", "--exit-timeout-secs=0"]
third = triton.start(limited, name="lab02-limited", lifetime="kernel", options=options, wait_for=["tuned"])
print(f"4 instances, 2 licences: {run_load(third, 'tuned', **load).throughput:.0f}/s")
third.stop()
for folder in (busy, tuned):
    shutil.rmtree(folder)

# %% [markdown]
# ### Exercise 2.7 · Choose by measuring
# *8 minutes · difficulty 2 of 3 · 4 points*
#
# What waits gains until each client has an instance; what computes, until the cores are busy.
#
# `measure` sets a knob on a live server, sends load, and returns what `run_load` returns. Call it once for
# each value.
#
# You must, in `choose_delay` (a fixed rate; you promise a latency and pay for executions):
# - keep the delays whose `latency.p99` (seconds) is at most `limit_ms`;
# - return the one with the largest `mean_batch`; of equals, the smaller delay; `None` if no delay keeps the
#   promise.
#
# You must, in `choose_count` (a fixed number of clients):
# - return the smallest number of instances whose `throughput` is at least 95 % of the best.


# %%
def choose_delay(measure, delays_us: list[int], limit_ms: float) -> int | None:
    """The delay with the fewest executions whose p99 is within the limit."""
    ### BEGIN SOLUTION
    #: 1. from the smallest delay on: measure; keep the mean batch if p99 is within the limit
    #: 2. the delay with the largest mean batch, or None
    fitting = {}
    for delay_us in sorted(delays_us):
        result = measure(delay_us)
        if result.latency.p99 * 1000 <= limit_ms:
            fitting[delay_us] = result.mean_batch
    return max(fitting, key=fitting.get, default=None)
    ### END SOLUTION


def choose_count(measure, counts: list[int]) -> int:
    """The smallest number of instances that is good enough."""
    ### BEGIN SOLUTION
    #: 1. measure all
    #: 2. the smallest with 95 % of the best
    throughput = {count: measure(count).throughput for count in counts}
    best = max(throughput.values())
    return min(count for count in counts if throughput[count] >= 0.95 * best)
    ### END SOLUTION


# %%
lab.check("2.7")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# The cells above call `run_load`, and print `mean_batch`, `latency.p99` and `throughput`. Yours call
# `measure`. A dictionary from the knob's value to what counts keeps the results.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `for delay_us in sorted(delays_us): result = measure(delay_us)`, then
# `if result.latency.p99 * 1000 <= limit_ms: fitting[delay_us] = …`. `max(fitting, key=fitting.get,
# default=None)` returns the first of equals. For the instances: the `min` of the counts with
# `throughput[count] >= 0.95 * best`.
# </details>

# %% [markdown]
# ## 8 · Queues that say no
#
# An overloaded server without limits answers everybody, too late. A queue policy refuses instead, with
# status 503 and one of two texts:
#
# | field of `default_queue_policy` | refused with |
# |---|---|
# | `max_queue_size`, per priority level | `Exceeds maximum queue size` |
# | `default_timeout_microseconds` | `Request timeout expired` |
#
# ```
# dynamic_batching {
#   priority_levels: 3
#   default_priority_level: 3
#   default_queue_policy { max_queue_size: 100 }
# }
# ```
#
# `timeout_action` is `REJECT` or `DELAY` (answered after all others). With `allow_timeout_override` a
# request may bring a *shorter* time-out: `infer(…, timeout=MICROSECONDS)`. Time-outs are noticed when
# Triton next looks at the queue. Level 1 is the most urgent; 0 in a request means the default level.
#
# A good size: what the instances compute within the promised latency.
#
# In this release one instance with such a policy stalls for half a second at times; two do not.

# %% [markdown]
# ### Exercise 2.8 · Queues that say no
# *7 minutes · difficulty 3 of 3 · 4 points*
#
# The check adds your block to a model that takes 0.2 s per request, in two instances.
#
# You must, in `queue_block`:
# - return one `dynamic_batching` block with two priority levels, 2 by default;
# - refuse requests when `queue_size` are waiting, and those that waited `timeout_us`; a request may ask
#   for less time.
#
# You must, in `ask`:
# - send `row` (float32 `[4]`, input `data`) to `model` over HTTP, with `priority` and `timeout_us`;
# - return `"ok"`, or `"full"` or `"late"` for the two refusals of the table; any other error is raised.


# %%
def queue_block(queue_size: int, timeout_us: int) -> str:
    """The `dynamic_batching` block of a config.pbtxt."""
    ### BEGIN SOLUTION
    #: 1. the priority levels
    #: 2. the policy: size, time-out, what happens then, and whether a request may override it
    return f"""dynamic_batching {{
  priority_levels: 2
  default_priority_level: 2
  default_queue_policy {{
    max_queue_size: {queue_size}
    default_timeout_microseconds: {timeout_us}
    timeout_action: REJECT
    allow_timeout_override: true
  }}
}}"""
    ### END SOLUTION


def ask(url: str, model: str, row: np.ndarray, priority: int, timeout_us: int) -> str:
    """Ask, and say "ok", "full" or "late"."""
    ### BEGIN SOLUTION
    #: 1. the input `data`, of shape [1, 4]; infer, with priority and timeout
    #: 2. the two refusals by their text; raise all others
    data = httpclient.InferInput("data", [1, 4], "FP32").set_data_from_numpy(row.reshape(1, 4))
    with httpclient.InferenceServerClient(url) as client:
        try:
            client.infer(model, [data], priority=priority, timeout=timeout_us)
        except httpclient.InferenceServerException as error:
            if "maximum queue size" in str(error):
                return "full"
            if "timeout expired" in str(error):
                return "late"
            raise
    return "ok"
    ### END SOLUTION


# %%
lab.check("2.8")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# All fields stand in the table and in the text under it. Levels belong to `dynamic_batching` itself, the
# rest to `default_queue_policy { … }` in it. The refusals arrive as
# `httpclient.InferenceServerException`.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `dynamic_batching { priority_levels: 2 default_priority_level: 2 default_queue_policy { max_queue_size: …
# default_timeout_microseconds: … timeout_action: REJECT allow_timeout_override: … } }`, braces doubled in
# an f-string. `client.infer(model, [data], priority=priority, timeout=timeout_us)` inside `try`.
# </details>

# %% [markdown]
# ## 9 · Before the first request, and instead of the second
#
# The first request after a load is slow. With `model_warmup` Triton asks the model itself before it is
# READY. Below, only `warm` has the field.
#
# The *response cache* keeps answers by model, version and all input bytes of a request, not its shapes. A
# repeated request does not reach the model. It pays where inputs repeat and the model is slower than the
# look-up.
#
# | | |
# |---|---|
# | server | `--cache-config=local,size=BYTES`; without it no cache, and no warning |
# | model | the field `response_cache`; its `enable` is false unless you say true |
# | statistics | `cache_hit` and `cache_miss` of the model, each with `count` and `ns` |
#
# The metrics `nv_cache_num_*` of the whole server are renewed every 2 s.

# %%
import shutil
import uuid
from time import perf_counter

WARMUP = """model_warmup [ {
  name: "zeros" batch_size: 1 count: 3
  inputs { key: "input" value { data_type: TYPE_FP32 dims: [ 1, 28, 28 ] zero_data: true } }
} ]
"""
config = (lab.repository / "mnist_mlp" / "config.pbtxt").read_text()
config += "instance_group [ { kind: KIND_CPU count: 1 } ]\n"  # each instance warms up by itself
pixels = httpclient.InferInput("input", [1, 1, 28, 28], "FP32").set_data_from_numpy(images[:1])
for name, more in {"cold": "", "warm": WARMUP}.items():
    shutil.copytree(lab.repository / "mnist_mlp", lab.work / "warm" / name, dirs_exist_ok=True)
    (lab.work / "warm" / name / "config.pbtxt").write_text(config.replace("mnist_mlp", name) + more)
second = triton.start(lab.work / "warm", name="lab02-warm", lifetime="kernel", wait_for=["cold", "warm"])
with httpclient.InferenceServerClient(second.endpoints.http) as client:
    for name in ("cold", "warm"):
        counted = client.get_inference_statistics(name)["model_stats"][0]["inference_count"]
        times = []
        for _ in range(10):
            start = perf_counter()
            client.infer(name, [pixels])
            times.append(perf_counter() - start)
        ratio = times[0] / np.median(times)
        print(f"{name}: {counted} inferences, then the first request: {ratio:.1f} x the usual time")
second.stop()

# %% [markdown]
# ### Exercise 2.9 · A response cache and its hit rate
# *5 minutes · difficulty 2 of 3 · 3 points*
#
# Give a model a cache and measure what it is worth. The check starts a server with your option, loads a
# model with your config, and sends requests, some of them again.
#
# You must:
# - in `cache_option`, return the option of tritonserver for a `local` cache of `size` bytes;
# - in `cached`, return the text `config` with the cache turned on, and nothing else changed;
# - in `hit_rate`, return the share of the lookups *between* `before` and `after` that found an answer. Both
#   are the JSON of `/v2/models/NAME/stats`; there is one version. Without a lookup it is 0.0.


# %%
from typing import Any


def cache_option(size: int) -> str:
    """The option of tritonserver for a local response cache of `size` bytes."""
    ### BEGIN SOLUTION
    #: one option, "--name=value"
    return f"--cache-config=local,size={size}"
    ### END SOLUTION


def cached(config: str) -> str:
    """The config with the response cache turned on."""
    ### BEGIN SOLUTION
    #: the text, and one field more
    return config + "response_cache { enable: true }\n"
    ### END SOLUTION


def hit_rate(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Share of the lookups between two statistics that were hits: 0.0 to 1.0."""
    ### BEGIN SOLUTION
    #: 1. the counts of cache_hit and of cache_miss, after minus before
    #: 2. hits divided by all lookups, if there were any
    old, new = (stats["model_stats"][0]["inference_stats"] for stats in (before, after))
    hits = new["cache_hit"]["count"] - old["cache_hit"]["count"]
    misses = new["cache_miss"]["count"] - old["cache_miss"]["count"]
    return hits / (hits + misses) if hits else 0.0
    ### END SOLUTION


# %%
lab.check("2.9")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# Option and field stand in the table above. For the path to a count, look at
# `httpx.get(f"http://{http}/v2/models/mnist_mlp/stats").json()`.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `config + "response_cache { … }\n"`. A count is
# `after["model_stats"][0]["inference_stats"]["cache_hit"]["count"]`; lookups are hits and misses
# together.
# </details>

# %% [markdown]
# ## 10 · Pipelines: ensemble and BLS
#
# A camera gives bytes; `mnist_mlp` wants floats, four times as large, scaled as in training. Done in the
# server, no client can do it wrong.
#
# | | ensemble | BLS (business logic scripting) |
# |---|---|---|
# | is | a config: `platform: "ensemble"` and an empty `1/` | a Python model that calls others |
# | its steps | are loaded with it; without one it is gone | must be loaded by you |
# | a step fails | the request fails | your code decides |
# | right for | a fixed chain of steps | conditions, loops, retries |
#
# In a step, `key` is the model's own name of a tensor, `value` its name in the ensemble. Steps run when
# their inputs are there, not in the order of the text.

# %%
from lab_utils.load import run_load
from lab_utils.progress.repository import copy_models

pipelines = lab.work / "pipelines" / "model_repository"
copy_models(["mnist_mlp", "digits_preprocess", "digits_pipeline", "digits_bls"], pipelines)
source = (pipelines / "digits_bls" / "1" / "model.py").read_text()
print(source[source.index("    async def answer") : source.index("async def call")])

chain = ["digits_pipeline", "digits_bls"]
options = ["--model-control-mode=explicit", "--load-model=*"]
second = triton.start(pipelines, name="lab02-chain", options=options, lifetime="kernel", wait_for=chain)
for concurrency in (1, 8):
    for model in chain:
        result = run_load(second, model, concurrency=concurrency, seconds=1, progress=False)
        print(f"{model:16} {concurrency} at once: {result.throughput:6.0f} pictures/s")

picture = np.round(images[:1, 0] * 255).astype(np.uint8)
tensor = httpclient.InferInput("image", picture.shape, "UINT8").set_data_from_numpy(picture)
with httpclient.InferenceServerClient(second.endpoints.http) as client:
    client.unload_model("mnist_mlp")  # the second step goes
    for model in chain:
        try:
            client.infer(model, [tensor])
        except httpclient.InferenceServerException as error:
            print(f"{model:16} {error}")
second.stop()

# %% [markdown]
# ### Exercise 2.10 · An ensemble
# *7 minutes · difficulty 2 of 3 · 4 points*
#
# Write the config of a pipeline: pictures of bytes in, scores out. The check loads it beside two models
# whose names it makes up, and asks it.
#
# | model | input | output | `max_batch_size` |
# |---|---|---|---|
# | `preprocess` | `image` UINT8 `[28, 28]` | `input_tensor` FP32 `[1, 28, 28]` | 1024 |
# | `classifier` | `input` FP32 `[1, 28, 28]` | `output` FP32 `[10]` | 8192 |
#
# You must:
# - return the text of the config of the ensemble `name`, with these two steps;
# - call its input `image` (UINT8 `[28, 28]`), its output `scores` (FP32 `[10]`), and take the latest
#   version of each step (`model_version: -1`);
# - allow the largest batches that both steps take.


# %%
def ensemble_config(name: str, preprocess: str, classifier: str) -> str:
    """The text of config.pbtxt for an ensemble of two models."""
    ### BEGIN SOLUTION
    #: 1. name, platform, max_batch_size, input and output
    #: 2. ensemble_scheduling with two steps; in an f-string a brace is written twice
    return f"""
name: "{name}"
platform: "ensemble"
max_batch_size: 1024
input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ 28, 28 ] }} ]
output [ {{ name: "scores" data_type: TYPE_FP32 dims: [ 10 ] }} ]
ensemble_scheduling {{
  step [
    {{
      model_name: "{preprocess}"
      model_version: -1
      input_map {{ key: "image" value: "image" }}
      output_map {{ key: "input_tensor" value: "prepared" }}
    }},
    {{
      model_name: "{classifier}"
      model_version: -1
      input_map {{ key: "input" value: "prepared" }}
      output_map {{ key: "output" value: "scores" }}
    }}
  ]
}}
"""
    ### END SOLUTION


# %%
lab.check("2.10")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `print((pipelines / "digits_pipeline" / "config.pbtxt").read_text())` is such a config. Each tensor between
# two steps needs a name in the ensemble: one step's output and the next one's input have it as `value`.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `step [ {{ model_name: "{preprocess}" model_version: -1 input_map {{ key: "image" value: "image" }}
# output_map {{ key: "input_tensor" value: "prepared" }} }}, … ]`. The second step reads `prepared` as
# `input` and writes `scores` from `output`.
# </details>

# %% [markdown]
# ## 11 · A model that remembers
#
# `digits_vote` adds up the scores of the frames of a film; one unclear frame then does not decide. Its state
# lives from the first frame to the last, so Triton must know which request belongs to which film. The client
# says it: an id, and flags at the start and the end. Triton hands them on to the model as further inputs,
# its *controls*.
#
# ```
# control_input [
#   { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
#   { name: "CORRID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] }
# ]
# ```
#
# A sequence takes a place until its END, or until it was idle for `max_sequence_idle_microseconds`. When all
# places are taken, the next START waits. With `direct` a place is a fixed row of one instance's batch;
# `oldest` batches what waits, at most one request of each sequence.

# %% [markdown]
# ### Exercise 2.11 · Sequences that do not mix
# *7 minutes · difficulty 3 of 3 · 4 points*
#
# You must, in `sequence_batching` of `digits_vote`:
# - give up a sequence that was idle for 2 s;
# - define the controls `START`, `END`, `READY` (a flag like the others; 0 in an empty row) and `CORRID`;
# - choose the scheduler `oldest` with `max_candidate_sequences` of `places`.
#
# You must, in `vote`, over HTTP:
# - send each frame alone, as `scores` `[1, 10]`: the first frame of each film, then the second of each, and
#   so on; films differ in length;
# - give each film an id by `new_id()`, START with its first frame, END with its last;
# - return for each film its last `vote`, an array of shape `[10]`.


# %%
def new_id() -> int:
    return uuid.uuid4().int % 2**32 + 1  # 1 to 2**32; no other client will have it


def sequence_batching(places: int) -> str:
    """The `sequence_batching` part of the config of digits_vote."""
    ### BEGIN SOLUTION
    #: how long a sequence may be idle; four controls; the scheduler
    return f"""
sequence_batching {{
  max_sequence_idle_microseconds: 2000000
  control_input [
    {{ name: "START" control [ {{ kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] }} ] }},
    {{ name: "END" control [ {{ kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] }} ] }},
    {{ name: "READY" control [ {{ kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] }} ] }},
    {{ name: "CORRID" control [ {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 }} ] }}
  ]
  oldest {{ max_candidate_sequences: {places} }}
}}
"""
    ### END SOLUTION


def vote(url: str, model: str, films: list[np.ndarray]) -> list[np.ndarray]:
    """The votes on films of scores, float32 `[frames, 10]`, that are shown at the same time."""
    ### BEGIN SOLUTION
    #: an id per film; round by round, the frame of each film that still has one; keep its answer
    ids = [new_id() for _ in films]
    votes = [None] * len(films)
    with httpclient.InferenceServerClient(url) as client:
        for frame in range(max(map(len, films))):
            for place, film in enumerate(films):
                if frame < len(film):
                    tensor = httpclient.InferInput("scores", [1, 10], "FP32")
                    tensor.set_data_from_numpy(film[frame : frame + 1])
                    flags = {"sequence_start": frame == 0, "sequence_end": frame == len(film) - 1}
                    answer = client.infer(model, [tensor], sequence_id=ids[place], **flags)
                    votes[place] = answer.as_numpy("vote")[0]
    return votes
    ### END SOLUTION


# %%
lab.check("2.11")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `client.infer(…, sequence_id=…, sequence_start=…, sequence_end=…)`. A film of one frame has START and END
# in the same request. The worked example `model_repository/digits_vote/config.pbtxt` has all four controls.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `for frame in range(max(map(len, films))): for place, film in enumerate(films): if frame < len(film): …`,
# with `sequence_start=frame == 0` and `sequence_end=frame == len(film) - 1`. Send `film[frame : frame + 1]`:
# one row, shape `[1, 10]`.
# </details>

# %% [markdown]
# ## 12 · The gallery
#
# A repository with eighteen entries. Fifteen are broken, each in one way. Some are refused; some load,
# and do not do what their author meant. `digits_preprocess`, `mnist_mlp` and `zelkova` are sound: compare.
#
# For each entry the next cell prints its files, its config, its state (`none`: given up before it was
# loaded), and the log lines that name it. At the end stand log lines that name no model (find out whose they
# are), and the fifteen causes.

# %%
from lab_utils.models.gallery import CAUSES, build_gallery, describe, spare_network

lab.explain_automatically = False  # in the gallery you diagnose
gallery, spare = build_gallery(lab.work / "gallery"), spare_network(lab.work)
options = ["--disable-auto-complete-config"]
second = triton.start(gallery, name="lab02-gallery", lifetime="kernel", options=options)
index = httpx.post(f"{second.endpoints.http_url}/v2/repository/index", headers=second.headers).json()
print(describe(gallery, index, second.logs()), CAUSES, sep="\n\n")

# %% [markdown]
# ### Exercise 2.12 · Break it, fix it: the gallery
# *14 minutes · difficulty 3 of 3 · 6 points*
#
# The check builds the gallery anew, mends it with your function, and serves it.
#
# You must:
# - in `diagnose`, give each broken entry the letter of its cause (the list ends the page above);
# - in `mend`, change the folder `gallery` so that every model is READY, answers rightly, and does what its
#   author meant: batches of up to 64, the batching it asks for, the newest version there is;
# - leave the sound ones, and the networks in all others, as they are;
# - use `spare`: an export of the network of `yew` that can be served.
#
# `mend(build_gallery(gallery), spare)` tries it.


# %%
def diagnose() -> dict[str, str]:
    """Entry of the gallery → letter of its cause."""
    ### BEGIN SOLUTION
    #: "ash": "?", and so on for all fifteen, also ".ipynb_checkpoints"
    letters = {".ipynb_checkpoints": "J", "ash": "D", "birch": "H", "cedar": "B", "elm": "C"}
    letters |= {"fir": "M", "hazel": "F", "juniper": "A", "maple": "E", "oak": "K"}
    return letters | {"pine": "I", "rowan": "L", "spruce": "N", "willow": "O", "yew": "G"}
    ### END SOLUTION


def edit(model: Path, old: str, new: str, file: str = "config.pbtxt") -> None:
    text = (model / file).read_text()
    if old not in text:
        raise ValueError(f"{model.name}/{file} has no {old!r}")
    (model / file).write_text(text.replace(old, new))


def mend(gallery: Path, spare: Path) -> None:
    ### BEGIN SOLUTION
    #: edit(gallery / "ash", old, new); the rest with rename(), rmdir(), shutil.rmtree() and shutil.copy()
    shutil.rmtree(gallery / ".ipynb_checkpoints")
    edit(gallery / "ash", "max_batchsize", "max_batch_size")
    edit(gallery / "birch", "TYPE_FP64", "TYPE_FP32")
    edit(gallery / "cedar", "-1, ", "")
    (gallery / "elm/02").rename(gallery / "elm/2")
    (gallery / "fir/1/digits.onnx").rename(gallery / "fir/1/model.onnx")
    edit(gallery / "hazel", '"scores"', '"output"')
    edit(gallery / "juniper", "GPU", "CPU")
    edit(gallery / "maple", "-1, ", "")
    edit(gallery / "maple", "max_batch_size: 0", "max_batch_size: 64")
    edit(gallery / "oak", "_2024", "")
    edit(gallery / "pine", '"answer"', '"scores"')
    (gallery / "rowan/2").rmdir()
    edit(gallery / "spruce", "128", "64")
    edit(gallery / "willow", "in requests\n", "in requests:\n", "1/model.py")
    shutil.copy(spare, gallery / "yew/1/model.pt")
    ### END SOLUTION


# %%
lab.check("2.12")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `difflib` in your head: put each config beside that of `zelkova`. Where the configs agree, look at the
# folders and file names. Two models load and are wrong all the same: `elm` and `maple`.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# Nine are one `edit` each. `elm` and `fir` need `rename`, `rowan` `rmdir`, `.ipynb_checkpoints`
# `shutil.rmtree`, `yew` `shutil.copy(spare, …)`. `maple` needs two edits: the batch out of the dims, and a
# `max_batch_size` of 64.
# </details>

# %% [markdown]
# ## 13 · The tools, and a complete repository
#
# `explain` reads a server's log and names the place in the file. `lint` asks no server: it reads the folder,
# and also says what Triton accepts in silence. On a command line: `triton-lab explain MODEL` and
# `triton-lab lint DIR`. First the gallery, then the models of this lab in one folder, where `lint` finds
# nothing. The container takes that folder unchanged:
#
# ```
# docker run --rm --shm-size=1g -p 127.0.0.1:8000:8000 -p 127.0.0.1:8001:8001 -p 127.0.0.1:8002:8002 \
#   -v "$PWD/work/lab02/complete_repository":/models:ro nvcr.io/nvidia/tritonserver:24.10-py3 \
#   tritonserver --model-repository=/models
# ```

# %%
from lab_utils.models.build import version_file

lab.explain_automatically = True
build_gallery(gallery)  # as the server found it
for model in ("ash", "pine", "rowan"):
    lab.explain(model, second)
second.stop()
lab.lint(gallery)

complete = lab.work / "complete_repository"
shutil.rmtree(complete, ignore_errors=True)
names = ["mnist_mlp", "digits_preprocess", "digits_pipeline", "digits_vote"]
copy_models(names, complete)
(complete / "mnist_mlp" / "2").mkdir()
shutil.copy(version_file("small"), complete / "mnist_mlp" / "2" / "model.onnx")
with (complete / "mnist_mlp" / "config.pbtxt").open("a") as config_file:
    config_file.write("version_policy { all { } }\n")
    config_file.write("dynamic_batching { }\n")
    config_file.write("instance_group [ { kind: KIND_CPU count: 2 } ]\n")
lab.tree(complete)
lab.lint(complete)

second = triton.start(complete, name="lab02-complete", lifetime="kernel", wait_for=names)
for entry in httpx.post(f"{second.endpoints.http_url}/v2/repository/index", headers=second.headers).json():
    print(entry["name"], entry["version"], entry["state"])
second.stop()

# %% [markdown]
# ## What you learned
#
# - What breaks a rule of the layout is often skipped without an error.
# - A config is a promise that Triton compares with the file; the batch dimension is not in it.
# - Batching, queues and instances are measured, not believed.
# - A cache needs server and model; an ensemble chains, BLS decides, a sequence remembers.
# - READY says that a model loaded, not that it does what you meant.
#
# ## Go further
#
# - Write a BLS that asks a second model only when the first is unsure.
# - Run this lab with `TRITON_LAB_RUNTIME=docker`.
# - Give `digits_vote` the scheduler `direct`, and look at READY in `model.py`.
#
# Next is Lab 3. The last cell stops the server; progress is kept.

# %%
lab.progress()
lab.stop()

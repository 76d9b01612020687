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
# # Lab 4: Monitoring and performance
#
# You read what a server says about itself, find what holds it back, mend it, prove the mend, and are called
# when it breaks.
#
# | | |
# |---|---|
# | Time | 80–90 minutes |
# | You need | Labs 1 and 2; Prometheus for some steps |
# | You build | queries, an alert, a capacity plan, a diagnosis |
#
# **By the end you can**
# - read counters, gauges and summaries, with resets;
# - write PromQL, and check it against a known load;
# - say which figure a user feels;
# - predict queues with Little's law;
# - find a bottleneck from metrics alone, and mend it;
# - load a server honestly, and plan its capacity;
# - see failures that no server counts;
# - alert on what matters, and trace one request.

# %%
from lab_utils import Lab

lab = Lab("04")

# %% [markdown]
# ## 1 · The metrics page
#
# Triton writes its numbers on a page of plain text, on a port of its own. Nothing is stored: a program has
# to come and read, again and again.
#
# | kind | is | you read |
# |---|---|---|
# | counter | a sum since the server started | its growth |
# | gauge | a state, now | its value |
# | summary | quantiles of the last minute, made in the server | the quantile |
# | histogram | counters by size | their growth |
#
# Triton 24.10 has no histograms of its own (`histogram_latencies=true` is accepted, and nothing comes). Its
# summaries are off until you ask for them; the option below does.
#
# `prometheus_client` parses such a page. One trap: it adds `_total` to the *sample* names of counters. The
# *family* keeps Triton's name.

# %%
import math
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import httpx
import numpy as np
import tritonclient.http as httpclient
from lab_utils import server as triton
from lab_utils.load import run_load
from prometheus_client.parser import text_string_to_metric_families as families

server = lab.start(
    "--model-control-mode=explicit",
    "--load-model=mnist_mlp",
    "--load-model=timed",
    "--load-model=digits_preprocess",
    "--disable-auto-complete-config",
    "--metrics-config=summary_latencies=true",
)
http, grpc, metrics = server.endpoints.http, server.endpoints.grpc, server.endpoints.metrics
run_load(server, "timed", requests=20, warmup=0, progress=False)
# !curl -s {metrics}/metrics | grep -E 'request_(success|failure|summary_us)|pending' | grep -E '^#|"timed"'

# %% [markdown]
# ### Exercise 4.1 · Read a metrics page
# *6 minutes · difficulty 1 of 3 · 3 points*
#
# Three questions to the text of a page. Each model has one series per version, and more where there are more
# labels, such as `reason`.
#
# You must:
# - in `kind`, return `"counter"`, `"gauge"`, `"summary"`, …, and `None` for a metric that is not there;
# - in `total`, add up all series of this model, whatever their other labels; 0 if there are none;
# - in `p99_ms`, read quantile 0.99 of `nv_inference_request_summary_us`, in milliseconds, of the slowest
#   version;
# - leave out versions that nobody asked lately (NaN), and return `None` when nothing is left.


# %%
def kind(page: str, name: str) -> str | None:
    """The kind of a metric."""
    ### BEGIN SOLUTION
    #: for each family of families(page): its name, its type
    return next((family.type for family in families(page) if family.name == name), None)
    ### END SOLUTION


def total(page: str, name: str, model: str) -> float:
    """A counter or gauge of a model, over all its series."""
    ### BEGIN SOLUTION
    #: family.samples; each has labels (a dictionary) and a value
    found = [sample for family in families(page) if family.name == name for sample in family.samples]
    return sum(sample.value for sample in found if sample.labels["model"] == model)
    ### END SOLUTION


def p99_ms(page: str, model: str) -> float | None:
    """The p99 of a model's latency."""
    ### BEGIN SOLUTION
    #: the summary's samples of this model with the quantile "0.99"; those that are numbers; the largest
    name = "nv_inference_request_summary_us"
    found = [sample for family in families(page) if family.name == name for sample in family.samples]
    mine = [sample for sample in found if sample.labels["model"] == model]
    values = [sample.value / 1000 for sample in mine if sample.labels.get("quantile") == "0.99"]
    return max((value for value in values if not math.isnan(value)), default=None)
    ### END SOLUTION


# %%
lab.check("4.1")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `for family in families(page): print(family.name, family.type, family.samples[:2])`, with
# `page = httpx.get(f"http://{metrics}/metrics").text`. `next(…, None)` and `max(…, default=None)` answer
# when there is nothing.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `[s for family in families(page) if family.name == name for s in family.samples]` are the samples; keep
# those with `s.labels["model"] == model`, then `sum`. For p99 keep `s.labels.get("quantile") == "0.99"` and
# not `math.isnan(s.value)`; divide by 1000.
# </details>

# %% [markdown]
# ## 2 · A counter is not a rate
#
# A counter's value says little: it depends on when the server started. Its *increase* between two readings
# says what happened, and the increase by the seconds is the *rate*.
#
# A server that is started again counts from 0. Then the later value is smaller than the one before: a
# *reset*. What was counted since is the later value itself. (What came between the last reading and the end
# is lost.)
#
# A model that is loaded later brings a new series, which began at 0.
#
# **Predict first.** What is the last reading below, and what is last minus first?

# %%
from lab_utils.monitoring import scrape

readings = []
options = ["--model-control-mode=explicit", "--load-model=timed", "--disable-auto-complete-config"]
for count in (12, 5):
    second = triton.start(lab.repository, name="lab04-again", options=options, lifetime="kernel")
    for _ in range(2):
        run_load(second, "timed", requests=count, warmup=0, progress=False)
        page = scrape(second)  # the course's reader of such a page
        series = page.series("nv_inference_request_success", model="timed")
        readings.append((page.at, {str(labels): value for labels, value in series.items()}))
    second.stop(0)
for at, series in readings:
    print(f"{at - readings[0][0]:5.1f} s", series)

# %% [markdown]
# ### Exercise 4.2 · Increase and rate, with resets
# *6 minutes · difficulty 2 of 3 · 3 points*
#
# `readings` is a list as above: a moment in seconds, and a value for each series.
#
# You must:
# - in `increase`, return how much was counted from the first reading to the last, over all series;
# - go step by step and series by series; below the value before: a reset;
# - count a series that the reading before does not have from 0;
# - in `rate`, return the increase per second, over the whole time. Readings come at uneven moments.


# %%
def increase(readings: list[tuple[float, dict[str, float]]]) -> float:
    """What was counted between the first reading and the last."""
    ### BEGIN SOLUTION
    #: 1. for each two readings in a row (pairwise), for each series of the later one
    #: 2. the difference, or after a reset the value itself
    grown = 0.0
    for (_, before), (_, now) in pairwise(readings):
        for series, value in now.items():
            old = before.get(series, 0.0)
            grown += value - old if value >= old else value
    return grown
    ### END SOLUTION


def rate(readings: list[tuple[float, dict[str, float]]]) -> float:
    """The same per second."""
    ### BEGIN SOLUTION
    #: the increase by the seconds between the first and the last reading
    return increase(readings) / (readings[-1][0] - readings[0][0])
    ### END SOLUTION


# %%
lab.check("4.2")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `pairwise([a, b, c])` gives `(a, b)` and `(b, c)`. Each is a pair of a moment and a dictionary. A sum over
# all series before the comparison would hide the reset of one of them.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `for (_, before), (_, now) in pairwise(readings): for series, value in now.items():`, then
# `old = before.get(series, 0.0)`; add `value - old` when `value >= old`, otherwise `value`.
# </details>

# %% [markdown]
# ## 3 · Prometheus
#
# Prometheus comes to the page every second, keeps what it reads, and answers in *PromQL*:
#
# | expression | gives |
# |---|---|
# | `nv_inference_count{model="timed"}` | the newest value of each such series |
# | `rate(nv_inference_count{model="timed"}[10s])` | growth per second, for each series; resets are seen |
# | `sum(…)`, `sum by (model) (…)` | one number, or one for each model |
# | `A / B` | divides series whose labels are all equal |
#
# The order is always: `rate` first, then `sum`, then divide. A sum hides the reset of one server; a mean of
# ratios gives an idle server as much weight as a busy one.
#
# The next cell starts a real one, or says how to get it.

# %%
from lab_utils.monitoring import Monitoring, MonitoringError

try:
    monitoring = Monitoring({"triton": metrics}, folder=lab.work / "prometheus", alerts=False).start()
except MonitoringError as error:
    monitoring = None
    print(f"SKIP: {error}")
else:
    print(f"Prometheus reads {metrics} every second, and answers at {monitoring.url}")
    monitoring.wait_for(1)  # the first reading comes some seconds after the start
    result = run_load(server, "timed", rate=20, arrival="constant", seconds=7, progress=False)
    monitoring.wait_for(1)  # one more reading
    for promql in (
        'nv_inference_request_success{model="timed"}',
        'sum(rate(nv_inference_request_success{model="timed"}[5s]))',
        'max(nv_inference_request_summary_us{model="timed", quantile="0.99"}) / 1000',
    ):
        print(f"{monitoring.value(promql):8.1f}   {promql}")
    rates = monitoring.frame("rate(nv_inference_request_success[5s])", seconds=20)
    print(f"sent: {result.requests_per_second:.1f}/s; Prometheus saw up to {rates.max().max():.1f}/s")
    rates.plot(ylabel="requests/s")

# %% [markdown]
# ### Exercise 4.3 · Write PromQL
# *9 minutes · difficulty 2 of 3 · 5 points*
#
# Five expressions about one model, each one number, over all its versions and all servers. The check
# evaluates them on two servers, one of which is started again, then on yours under load.
#
# You must, for the last `window` (such as `"20s"`), under these keys:
# - `requests`: answered well, per second;
# - `batch`: mean rows per execution (`nv_inference_count` counts rows, `nv_inference_exec_count` executions);
# - `queue`: share of `nv_inference_request_duration_us`, the requests' whole time, that they waited, 0 to 1
#   (`nv_inference_queue_duration_us`);
# - `failures`: share of the requests that failed, of all; `nv_inference_request_success` counts no failure;
# - `waiting`: requests that wait now (a gauge: no window).


# %%
def queries(model: str, window: str) -> dict[str, str]:
    """PromQL by key."""
    ### BEGIN SOLUTION
    #: the name of each metric, `{model="…"}`, `[…]`; in an f-string a brace is written twice
    own = f'{{model="{model}"}}'
    requests = f"sum(rate(nv_inference_request_success{own}[{window}]))"
    failures = f"sum(rate(nv_inference_request_failure{own}[{window}]))"
    rows = f"sum(rate(nv_inference_count{own}[{window}]))"
    executions = f"sum(rate(nv_inference_exec_count{own}[{window}]))"
    queue = f"sum(rate(nv_inference_queue_duration_us{own}[{window}]))"
    whole = f"sum(rate(nv_inference_request_duration_us{own}[{window}]))"
    return {
        "requests": requests,
        "batch": f"{rows} / {executions}",
        "queue": f"{queue} / {whole}",
        "failures": f"{failures} / ({failures} + {requests})",
        "waiting": f"sum(nv_inference_pending_request_count{own})",
    }
    ### END SOLUTION


# %%
lab.check("4.3")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# The second expression above is `requests`, with the model and the window written out. The others are of the
# same form; `monitoring.vector(promql)` shows every series that an expression gives.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `own = f'{{model="{model}"}}'` is the selector. Then `f"sum(rate(NAME{own}[{window}]))"` for each counter,
# and texts such as `f"{rows} / {executions}"`. Brackets around the denominator of `failures`.
# </details>

# %% [markdown]
# ## 4 · What a reader feels
#
# A text generator has other figures than a classifier:
#
# | | is | felt by |
# |---|---|---|
# | TTFT | time to the first token | who waits for an answer |
# | ITL | time from one token to the next | who reads along |
# | RPS | answers per second | who owns the server |
# | TPS | tokens per second, of all readers | who pays for it |
#
# The course's engine exports them itself: `llama_requests_total{outcome}`, `llama_generated_tokens_total`,
# and the histograms `llama_time_to_first_token_seconds`, `llama_inter_token_seconds`. A histogram is a set of
# counters, `…_bucket{le="0.1"}`: how many values were *at most* 0.1. So it can be added up over servers, and
# looked at over any window. A summary cannot.

# %%
import importlib.util

from lab_utils.progress.repository import copy_models


def histogram(window, name: str) -> dict[float, float]:
    """Upper bound in seconds → how many values of the window were at most that; the last is inf."""
    bounds = window.last.labels_of(f"{name}_bucket", "le")
    return {float(le): window.increase(f"{name}_bucket", le=le) for le in bounds}


if importlib.util.find_spec("torch") is None:
    print("SKIP: the engine needs PyTorch: pip install -e '.[torch]' -c constraints.txt")
else:
    from lab_utils.load import run_generation
    from lab_utils.monitoring import Watcher

    copy_models(["llama"], lab.repository)
    with httpclient.InferenceServerClient(http, network_timeout=300) as client:
        client.load_model("llama")
    for readers in (1, 24):  # the engine has 16 slots: more readers wait
        with Watcher(server) as watcher:
            run_generation(
                server, "llama", ["What is Triton?"], concurrency=readers, seconds=2, progress=False
            )
            time.sleep(0.5)  # the engine tells its numbers every quarter of a second
        window = watcher.window()
        print(readers, f"{window.rate('llama_generated_tokens_total'):.0f} tokens/s, TTFT:")
        print("   ", dict(sorted(histogram(window, "llama_time_to_first_token_seconds").items())))
    # server.headers: empty on a machine of your own
    httpx.post(f"http://{http}/v2/repository/models/llama/unload", headers=server.headers)

# %% [markdown]
# ### Exercise 4.4 · What a reader feels
# *8 minutes · difficulty 3 of 3 · 4 points*
#
# You must:
# - in `quantile`, find the first bucket that holds at least `q` times the whole count, and go along a
#   straight line from its lower bound (0 for the first) to its upper one, as PromQL does;
# - return its lower bound for the bucket `inf`, and `math.nan` when nothing came;
# - in `figures`, return `rps` (outcomes `stop` and `length`), `tps`, `ttft`, `itl` (quantile 0.95, seconds);
#   use `window.rate(name, label=value)`;
# - in `worse_for_users`, return those of the two figures that a reader feels which more than doubled from
#   `light` to `heavy`, the one that grew most first.


# %%
def quantile(buckets: dict[float, float], q: float) -> float:
    """The value that a share q of all values does not exceed."""
    ### BEGIN SOLUTION
    #: the rank; the buckets in order, with the bound and the count of the one before
    rank, lower, count = q * buckets[math.inf], 0.0, 0.0
    if not rank:
        return math.nan
    for bound in sorted(buckets):
        if buckets[bound] >= rank:
            share = (rank - count) / (buckets[bound] - count)
            return lower if bound == math.inf else lower + (bound - lower) * share
        lower, count = bound, buckets[bound]
    ### END SOLUTION


def figures(window) -> dict[str, float]:
    """RPS, TPS, and p95 of TTFT and ITL in seconds."""
    ### BEGIN SOLUTION
    #: two rates and two quantiles of histogram(window, name)
    answered = [window.rate("llama_requests_total", outcome=outcome) for outcome in ("stop", "length")]
    return {
        "rps": sum(answered),
        "tps": window.rate("llama_generated_tokens_total"),
        "ttft": quantile(histogram(window, "llama_time_to_first_token_seconds"), 0.95),
        "itl": quantile(histogram(window, "llama_inter_token_seconds"), 0.95),
    }
    ### END SOLUTION


def worse_for_users(light: dict[str, float], heavy: dict[str, float]) -> list[str]:
    """Names of the figures that got worse for users, worst first."""
    ### BEGIN SOLUTION
    #: how many times as large; keep those above 2; sort
    grown = {name: heavy[name] / light[name] for name in ("ttft", "itl")}
    return sorted((name for name in grown if grown[name] > 2), key=grown.get, reverse=True)
    ### END SOLUTION


# %%
lab.check("4.4")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# Buckets hold each other: `buckets[math.inf]` is the whole count. Walk along `sorted(buckets)` and remember
# bound and count of the bucket before. Owners look at RPS and TPS; a reader sees neither.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# In the bucket: `lower + (bound - lower) * (rank - count) / (buckets[bound] - count)`. The figures are
# `window.rate("llama_requests_total", outcome="stop")` plus the same for `length`, and
# `quantile(histogram(window, …), 0.95)`. `sorted(names, key=grown.get, reverse=True)`.
# </details>

# %% [markdown]
# ### Exercise 4.5 · Little's law
# *6 minutes · difficulty 2 of 3 · 3 points*
#
# In a steady system L = λ · W: the number inside is the rate times the mean time of each. Triton's counters
# `…_duration_us` add up the time of all requests, so their rate already is λ · W.
#
# **Predict first:** six clients ask one instance of 40 ms without a pause. How many wait?
#
# You must, from a window (`window.rate(name, model=…)`):
# - in `inside`, return the mean number of the model's requests in Triton, in `waiting` those in its queue;
# - in `outside_ms`, the milliseconds of a request that it is not in Triton, when `clients` ask without a
#   pause: their latency, by the same law, less the mean duration.


# %%
def inside(window, model: str) -> float:
    """Mean number of requests in Triton."""
    ### BEGIN SOLUTION
    #: the rate of nv_inference_request_duration_us, in seconds per second
    return window.rate("nv_inference_request_duration_us", model=model) / 1e6
    ### END SOLUTION


def waiting(window, model: str) -> float:
    """Mean number of requests in the queue."""
    ### BEGIN SOLUTION
    #: the same with nv_inference_queue_duration_us
    return window.rate("nv_inference_queue_duration_us", model=model) / 1e6
    ### END SOLUTION


def outside_ms(window, model: str, clients: int) -> float:
    """Milliseconds per request in network and client."""
    ### BEGIN SOLUTION
    #: (clients - those inside) wait outside: W = L / λ
    per_second = window.rate("nv_inference_request_success", model=model)
    duration_us = window.rate("nv_inference_request_duration_us", model=model) / per_second
    return clients / per_second * 1000 - duration_us / 1000
    ### END SOLUTION


# %%
lab.check("4.5")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# Units: microseconds per second, by a million, is a plain number: requests. `clients / λ` is what a client
# sees; duration by requests is what Triton sees. The difference is neither's fault until you know whose.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `window.rate("nv_inference_request_duration_us", model=model) / …`, the queue in the same way. With
# `per_second = window.rate("nv_inference_request_success", model=model)`: `1000 * clients / per_second` less
# the rate of the durations by `per_second` by 1000.
# </details>

# %% [markdown]
# ## 5 · Where the time goes
#
# Three kiosks: the same pipeline of two steps, `prepare` and `answer`, and each is slow. One does not batch,
# one has too many instances, one has a slow step. The names do not say which.
#
# `answer` runs on a device that all its instances share, as models on one GPU do.
#
# Each phase has its counter: `nv_inference_queue_duration_us`, `…_compute_input_…`, `…_compute_infer_…`,
# `…_compute_output_…`; `…_request_…` is the whole. Divided by the requests they are milliseconds of one.
#
# The cell looks at each kiosk twice: with one client, then with eight. **Say which is which before you write
# a line.**

# %%
from lab_utils.monitoring import Window, report, watch
from lab_utils.planted import plant


def under_load(model: str, clients: int, seconds: float = 1.2) -> Window:
    """A window of metrics from the middle of a load."""
    with ThreadPoolExecutor(1) as pool:
        load = {"concurrency": clients, "seconds": seconds + 1.5, "processes": 1, "progress": False}
        asking = pool.submit(run_load, server, model, **load)
        time.sleep(1.2)  # the load has begun
        window = watch(server, seconds, every=0.2)
        asking.result()
    return window


seen = {}
for letter in "abc":
    kiosk = plant(lab, letter)
    with httpclient.InferenceServerClient(http, network_timeout=60) as client:
        client.load_model(kiosk.name)  # with its two steps
    for clients in (1, 8):
        seen[letter, clients] = under_load(kiosk.name, clients)
        table = report(seen[letter, clients], [kiosk.name, *kiosk.steps])
        columns = ["requests_per_second", "request_ms", "queue_ms", "compute_infer_ms", "mean_batch"]
        print(f"{clients} clients", table[columns].round(1).to_string(), sep="\n", end="\n\n")
    httpx.post(f"http://{http}/v2/repository/models/{kiosk.name}/unload", headers=server.headers)

# %% [markdown]
# ### Exercise 4.6 · Where the time goes
# *8 minutes · difficulty 3 of 3 · 4 points*
#
# Turn your eyes into a function. `light` and `heavy` are two windows of the same pipeline, with one client
# and with many; `steps` are the names of its models.
#
# You must:
# - choose the step that takes most of a request's time under heavy load (`request_ms` of `report`);
# - say `"too many instances"` if its `compute_infer_ms` under heavy load is more than twice that under light
#   load: executions are in each other's way;
# - otherwise `"no batching"` if its mean batch under heavy load is below 1.25, and else `"slow step"`;
# - return the step and the cause. `diagnose(seen["a", 1], seen["a", 8], ["kiosk_a_prepare",
#   "kiosk_a_answer"])` tries it.


# %%
def diagnose(light: Window, heavy: Window, steps: list[str]) -> tuple[str, str]:
    """The step that is to blame, and why."""
    ### BEGIN SOLUTION
    #: 1. a table of each window, as above: report(window, steps)
    #: 2. the step (idxmax); then its cause
    calm, busy = report(light), report(heavy, steps)
    step = busy["request_ms"].idxmax()
    if busy.loc[step, "compute_infer_ms"] > 2 * calm.loc[step, "compute_infer_ms"]:
        return step, "too many instances"
    return step, "no batching" if busy.loc[step, "mean_batch"] < 1.25 else "slow step"
    ### END SOLUTION


# %%
lab.check("4.6")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# All steps of a pipeline answer equally often, so throughput cannot tell them apart. The table above is what
# you looked at: `report(window, steps)` has a row for each step and a column for each figure.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `busy = report(heavy, steps)`, and the same for `light`; the step is `busy["request_ms"].idxmax()`. Then the
# three cases in the order of the list, with `busy.loc[step, "compute_infer_ms"]` and `"mean_batch"`.
# </details>

# %% [markdown]
# ### Exercise 4.7 · Mend it, and prove it
# *6 minutes · difficulty 2 of 3 · 3 points*
#
# A mend is a guess until the metrics agree.
#
# You must, in `mend`, given the text of the step's config.pbtxt and the cause, return the new text:
# - `no batching`: dynamic batching, with no settings;
# - `too many instances`: one; `slow step`: four. The line reads `count: 6`, with any number;
# - and nothing else changes.
#
# You must, in `proven`, from windows before and after (of any length):
# - return `True` when `model` answers at least twice as many requests per second, *and* a request takes at
#   most half the time in Triton. Each alone can come from more clients, or fewer.

# %%
import re


def mend(config: str, cause: str) -> str:
    """The config with one knob turned."""
    ### BEGIN SOLUTION
    #: a block more, or another count: re.sub(pattern, new, config)
    if cause == "no batching":
        return config + "dynamic_batching { }\n"
    count = 1 if cause == "too many instances" else 4
    return re.sub(r"count: \d+", f"count: {count}", config)
    ### END SOLUTION


def proven(before: Window, after: Window, model: str) -> bool:
    """Whether a mend has helped."""
    ### BEGIN SOLUTION
    #: the model's row of report(window) before and after: requests_per_second, request_ms
    old, new = report(before).loc[model], report(after).loc[model]
    faster = new["requests_per_second"] >= 2 * old["requests_per_second"]
    return faster and 2 * new["request_ms"] <= old["request_ms"]
    ### END SOLUTION


# %%
lab.check("4.7")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# Try a mend by hand: write `mend(text, cause)` into `lab.repository / "kiosk_c_answer" / "config.pbtxt"`,
# load `kiosk_c` again, and compare `under_load("kiosk_c", 8)` with `seen["c", 8]`.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `config + "dynamic_batching { }\n"`, or `re.sub(r"count: \d+", "count: …", config)`. Then
# `report(before).loc[model]` is a row: compare its `"requests_per_second"` and `"request_ms"` with
# those of `after`.
# </details>

# %% [markdown]
# ## 6 · Saturation, and two kinds of load
#
# A *closed loop* keeps N requests in flight: each is sent when an answer has come. Up to the *knee*
# throughput grows; beyond it only latency does.
#
# Users come when they come. An *open loop* sends requests when they are *due*, and counts from then on. A
# closed loop that meets a stall stops asking: it measures one late request, and forgets all those that would
# have come. That error has a name, *coordinated omission*.
#
# **Predict first.** `desk` has four instances of 10 ms: where is its knee? `shared` has one, and a neighbour
# keeps it busy for half a second of four. What is p99 for each kind of load?

# %%
import shutil
import threading

from lab_utils.load import draw_curve, run_load, run_sweep, table
from lab_utils.progress.repository import copy_models

floor = lab.work / "saturation"
copy_models(["timed"], floor)
text = (floor / "timed" / "config.pbtxt").read_text()
for name, old, new in [("desk", "count: 1", "count: 4"), ("shared", "batch_size: 8", "batch_size: 512")]:
    shutil.copytree(floor / "timed", floor / name, dirs_exist_ok=True)
    (floor / name / "config.pbtxt").write_text(text.replace('"timed"', f'"{name}"').replace(old, new))
plain = {"options": ["--disable-auto-complete-config"], "lifetime": "kernel"}
second = triton.start(floor, name="lab04-floor", wait_for=["desk", "shared"], **plain)
quick = {"seconds": 0.6, "processes": 1, "progress": False}
knee_curve = run_sweep(second, "desk", concurrency=(1, 2, 4, 8, 16), **quick)


def neighbour():
    """Half a second later: one request of 500 rows, which takes half a second."""
    time.sleep(0.5)
    large = httpclient.InferInput("data", [500, 4], "FP32")
    large.set_data_from_numpy(np.zeros((500, 4), np.float32))
    with httpclient.InferenceServerClient(second.endpoints.http) as client:
        client.infer("shared", [large])


for name, load in {"closed": {"concurrency": 1}, "open": {"rate": 40, "arrival": "constant"}}.items():
    threading.Thread(target=neighbour).start()
    seen_load = run_load(second, "shared", warmup=0.1, **quick | {"seconds": 4}, **load)
    p50, p99 = seen_load.latency.p50 * 1000, seen_load.latency.p99 * 1000
    print(f"{name:6} loop: {seen_load.requests:3} requests, p50 {p50:3.0f} ms, p99 {p99:3.0f} ms")
draw_curve(knee_curve)  # the numbers are requests in flight

# %% [markdown]
# ### Exercise 4.8 · The knee, and a clock that starts in time
# *8 minutes · difficulty 2 of 3 · 4 points*
#
# You must, in `knee`, given results of `run_load` with different `concurrency`, in any order:
# - return the concurrency with the largest `throughput` divided by `latency.mean`. (Kleinrock called this
#   *power*.)
#
# You must, in `open_loop`:
# - call `await ask()` `count` times; number 0 is due at once, number i `i / rate` seconds later;
# - wait for no answer before the next is sent;
# - return for each, in the order in which they were due, the seconds from due to answered, even if the client
#   itself was late to send it.

# %%
import asyncio


def knee(results: list) -> int:
    """The concurrency at the knee of a curve."""
    ### BEGIN SOLUTION
    #: the result with the largest power; its concurrency
    return max(results, key=lambda result: result.throughput / result.latency.mean).concurrency
    ### END SOLUTION


async def open_loop(ask, rate: float, count: int) -> list[float]:
    """Latencies of `count` requests, `rate` of them a second, each from the moment it was due."""
    ### BEGIN SOLUTION
    #: 1. a coroutine for one request: sleep until it is due, ask, then the time since it was due
    #: 2. all of them at once: asyncio.gather
    start = time.perf_counter()

    async def one(number: int) -> float:
        due = start + number / rate
        await asyncio.sleep(due - time.perf_counter())
        await ask()
        return time.perf_counter() - due

    return await asyncio.gather(*(one(number) for number in range(count)))
    ### END SOLUTION


# %%
lab.check("4.8")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `max(…, key=…)` finds the result. `asyncio.gather` runs coroutines at the same time and keeps their order.
# `asyncio.sleep` with a negative time returns at once.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `key=lambda result: result.throughput / …`. In `one(number)`: `due = start + number / rate`, sleep for
# `due - time.perf_counter()`, `await ask()`, and return the time now minus `due`. Then
# `await asyncio.gather(*(one(number) for number in …))`.
# </details>

# %% [markdown]
# ## 7 · A plan for a promise
#
# An *SLO* (service level objective) is a promise: 99 of 100 requests within 50 ms. A rate is *usable* if it
# holds there. Near the knee a little more load costs a lot of latency, so nobody plans with a full server:
# *headroom* stays free, and one server more than needed may fail.
#
# Two traps: refused requests are not in the latency, and a short measurement of a growing queue looks fine.
#
# *Locust* simulates users in Python. They pause and branch, and their number grows in steps; but each is a
# closed loop, all on one core, far below what `run_load` or `perf_analyzer` can send.

# %%
from lab_utils.load.locust_run import run_locust

rates = run_sweep(second, "desk", rate=(50, 150, 300, 500), arrival="constant", **quick)
print("open loop, by our load generator", table(rates), "\nclosed loop", table(knee_curve), sep="\n")
print("\nlocust: 4 users for 2 s, then 16")
print(run_locust(second, "desk", steps=[(4, 2), (16, 2)], mix=(1, 0, 0)))
second.stop(0)
draw_curve({"open": rates, "closed": knee_curve})

# %% [markdown]
# ### Exercise 4.9 · Servers for a promise
# *7 minutes · difficulty 2 of 3 · 3 points*
#
# `curve` holds results of `run_load` with different `rate`, of one server.
#
# You must:
# - call a rate usable if nothing `failed`, if p99 (`latency.p99`, in seconds) is at most `limit_ms`, and if
#   the `throughput` is at least 95 % of the `rate`;
# - take the largest usable `rate`, wherever it stands in the curve; `None` if there is none;
# - load each server to `1 - headroom` of it at most, when `demand` requests come per second;
# - return the number of servers for that, and one more.
#
# `servers_needed(rates, 50, 2000, 0.25)` is a plan with what you measured.


# %%
def servers_needed(curve: list, limit_ms: float, demand: float, headroom: float) -> int | None:
    """How many such servers keep the promise."""
    ### BEGIN SOLUTION
    #: 1. the usable rates; none: None
    #: 2. demand by what one server may do; a part of a server is a whole one; and one more
    good = [result for result in curve if not result.failed and result.latency.p99 * 1000 <= limit_ms]
    usable = [result.rate for result in good if result.throughput >= 0.95 * result.rate]
    return math.ceil(demand / (max(usable) * (1 - headroom))) + 1 if usable else None
    ### END SOLUTION


# %%
lab.check("4.9")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# The table above has all that is needed; `result.failed` is a number, `result.rate` what was asked of the
# server. `math.ceil` rounds up.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# A list of `result.rate` for all results that pass three conditions, joined by `and`. Then
# `math.ceil(demand / (… * (1 - headroom))) + 1`, with the largest of the list.
# </details>

# %% [markdown]
# ### Exercise 4.10 · What the failure counter does not count
# *7 minutes · difficulty 2 of 3 · 4 points*
#
# `nv_inference_request_failure` has a label `reason`. **Predict** what grows by each of eight failures; the
# check lets them happen.
#
# You must, in `predict`, give each key `"success"` (the counter `…_request_success`), `"BACKEND"`,
# `"REJECTED"`, `"CANCELED"`, or `"nothing"`:
# - `exception` (in the model's code), `error response` (returned by it), `wrong shape`, `wrong input name`,
#   `unknown model`, `full queue`, `queue time-out`, `client cancels`.
#
# You must, in `ask_counted`, over HTTP:
# - return what `client.infer(model, inputs)` returns;
# - count each request once in `counter`, a `Counter` of prometheus_client with the labels model and outcome:
#   `"ok"` or `"error"`;
# - hand every error on, as it is.


# %%
def predict() -> dict[str, str]:
    """Failure → what the server counts."""
    ### BEGIN SOLUTION
    #: a dictionary with the eight keys; the check says which one is wrong, and why
    counted = {"exception": "BACKEND", "queue time-out": "REJECTED", "client cancels": "CANCELED"}
    refused = ["wrong shape", "wrong input name", "unknown model", "full queue"]
    return counted | {"error response": "success"} | dict.fromkeys(refused, "nothing")
    ### END SOLUTION


def ask_counted(url: str, model: str, inputs: list, counter):
    """Ask, and count the outcome where it is felt."""
    ### BEGIN SOLUTION
    #: 1. ask; whatever is raised counts as "error", and goes on
    #: 2. an answer counts as "ok"
    try:
        with httpclient.InferenceServerClient(url) as client:
            answer = client.infer(model, inputs)
    except Exception:
        counter.labels(model, "error").inc()
        raise
    counter.labels(model, "ok").inc()
    return answer
    ### END SOLUTION


# %%
lab.check("4.10")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# Ask of each failure how far the request came: was there a model at all, was it let into the queue, did the
# backend run, did the backend return in good order? A client may also fail without any answer of a server.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# Three have a reason of their own, four were refused before they were let into a queue, and one looks like an
# answer. In `ask_counted`: `try`, `except Exception:`, `counter.labels(model, …).inc()`, `raise`.
# </details>

# %% [markdown]
# ## 8 · Be called
#
# A dashboard is for a person who looks; an alert calls one who does not. A rule is a query that gives a
# series for each thing that is wrong, and it is code: it has tests. promtool feeds them samples.
#
# ```yaml
# groups:
#   - name: example
#     rules:
#       - alert: Silence
#         expr: sum by (model) (rate(nv_inference_count[1m])) == 0
#         for: 10s
#         labels: { severity: mail }
#         annotations: { summary: "nobody asks {{ $labels.model }}" }
# ```
# ```yaml
# evaluation_interval: 1s
# tests:
#   - interval: 1s
#     input_series:
#       - { series: 'nv_inference_count{model="a",version="1"}', values: "7+0x60" }
#     alert_rule_test:
#       - { eval_time: 5s, alertname: Silence }
#       - eval_time: 40s
#         alertname: Silence
#         exp_alerts:
#           - exp_labels: { model: a, severity: mail }
#             exp_annotations: { summary: nobody asks a }
# ```
#
# `values: "7+0x60"`: 7, then 60 times 0 more. No `exp_alerts`: silence.

# %%
from lab_utils.monitoring import Dashboard, scrape

dashboard = Dashboard(server, ["timed"], seconds=60).start()
run_load(server, "timed", concurrency=4, seconds=3, progress=False)
page, names = scrape(server), ("nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_power_usage")
gpu = {name: page.series(name) for name in names if page.has(name)}
print(gpu or "SKIP: Triton sees no GPU, so there are no series nv_gpu_*. With one they come by themselves.")
dashboard.show()  # it goes on while you work, and stops itself after a minute

# %% [markdown]
# ### Exercise 4.11 · An alert rule, tested and seen
# *9 minutes · difficulty 3 of 3 · 5 points*
#
# You must, in `queue_alert`, return a rule file with the one alert `QueueTooLong`:
# - for each model, over all its versions: the mean time in the queue, over the last 5 s, is above `limit_ms`;
# - it has been so for `seconds`; the label `severity` is `page`; the `summary` names the model.
#
# You must, in `queue_test`, return a test file that
# - passes with your rule;
# - fails when somebody changes it: half or twice the limit, no `for`, 5 minutes of `for`, another severity,
#   an expression that is never true.
#
# Then the check lets a real queue grow until you are called.


# %%
def queue_alert(limit_ms: int, seconds: int) -> str:
    """A rule file. In an f-string each brace of YAML is written twice."""
    ### BEGIN SOLUTION
    #: the rates of nv_inference_queue_duration_us and nv_inference_request_success, each summed by model
    rates = "sum by (model) (rate(nv_inference_{}[5s]))"
    return f"""
groups:
  - name: lab
    rules:
      - alert: QueueTooLong
        expr: {rates.format("queue_duration_us")} / {rates.format("request_success")} / 1000 > {limit_ms}
        for: {seconds}s
        labels: {{ severity: page }}
        annotations: {{ summary: "requests wait for {{{{ $labels.model }}}}" }}
"""
    ### END SOLUTION


def queue_test(limit_ms: int, seconds: int) -> str:
    """promtool's test of it."""
    ### BEGIN SOLUTION
    #: two models: one waits 1.4 times the limit, one 0.8 times; look before `seconds` are over, and after
    waited, served = "nv_inference_queue_duration_us", "nv_inference_request_success"
    return f"""
evaluation_interval: 1s
tests:
  - interval: 1s
    input_series:
      - {{ series: '{waited}{{model="slow"}}', values: "0+{limit_ms}0000x200" }}
      - {{ series: '{served}{{model="slow"}}', values: "0+7x200" }}
      - {{ series: '{waited}{{model="quick"}}', values: "0+{limit_ms}0000x200" }}
      - {{ series: '{served}{{model="quick"}}', values: "0+12x200" }}
    alert_rule_test:
      - {{ eval_time: {seconds}s, alertname: QueueTooLong }}
      - eval_time: {seconds}0s
        alertname: QueueTooLong
        exp_alerts:
          - exp_labels: {{ model: slow, severity: page }}
            exp_annotations: {{ summary: requests wait for slow }}
"""
    ### END SOLUTION


# %%
lab.check("4.11")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# Both examples above, with other names. 10 requests a second that wait 150 ms each let the counter of the
# queue grow by 1 500 000 microseconds a second. `from lab_utils.monitoring.rules import test_rules`, then
# `print(test_rules(queue_alert(100, 8), queue_test(100, 8)).words)`.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `sum by (model) (rate(A[5s])) / sum by (model) (rate(B[5s])) / 1000 > {limit_ms}`. In the test, for the slow
# model `"0+{limit_ms}0000x200"` (the limit, ten times) for 7 requests a second, for a quick one the same for
# 12; an `eval_time` of `{seconds}s` without an alert, and a later one with `exp_alerts`.
# </details>

# %% [markdown]
# ### Exercise 4.12 · Error budget and burn rate
# *8 minutes · difficulty 2 of 3 · 4 points*
#
# A promise of 99.9 % allows one failure in a thousand: the *error budget*. The *burn rate* is the share of
# failures by the share allowed: at 1 the budget lasts exactly its time. A person is called when a *long*
# window burns (it matters) *and* a *short* one (it lasts). Source: *SRE workbook*, chapter 5.
#
# You must:
# - in `budget_left`, return the share left: below 0 if overspent, 1.0 if nobody asked;
# - in `burn_query`, return PromQL: the burn rate of each `model` over `window` (`"5m"`), over all clients,
#   from `triton_lab_client_requests_total{model, outcome}`;
# - in `page_query`, return PromQL that gives the models that burn faster than `factor` in both.


# %%
def budget_left(slo: float, requests: int, failed: int) -> float:
    """The share of the error budget that is left."""
    ### BEGIN SOLUTION
    #: how many may fail; how many did
    return 1 - failed / ((1 - slo) * requests) if requests else 1.0
    ### END SOLUTION


def burn_query(slo: float, window: str) -> str:
    """PromQL: burn rate by model."""
    ### BEGIN SOLUTION
    #: two rates, each summed by model; their quotient by what may fail
    name = "triton_lab_client_requests_total"
    bad = f'sum by (model) (rate({name}{{outcome="error"}}[{window}]))'
    return f"{bad} / sum by (model) (rate({name}[{window}])) / {1 - slo}"
    ### END SOLUTION


def page_query(slo: float, factor: float, long: str, short: str) -> str:
    """PromQL: the models for which somebody must get up."""
    ### BEGIN SOLUTION
    #: burn_query twice, each with a comparison
    return f"{burn_query(slo, long)} > {factor} and {burn_query(slo, short)} > {factor}"
    ### END SOLUTION


# %%
lab.check("4.12")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `(1 - slo) * requests` may fail. (Why the client's counter? See 4.10.) `A and B` in PromQL keeps the
# series of A for which B has one with the same labels.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `f'sum by (model) (rate({name}{{outcome="error"}}[{window}]))'`, by the same without the outcome, by
# `{1 - slo}`. Then two burn rates, each `> {factor}`, joined by `and`.
# </details>

# %% [markdown]
# ## 9 · One request: traces
#
# Metrics are means. A *trace* follows one request through all its models. Triton sends *spans* (name, begin,
# end, parent) by OpenTelemetry; a receiver of 25 lines is enough to see them. In production it is Jaeger or
# Tempo.
#
# A trace begins where the user waits: at the client. It names the trace in the header `traceparent`, and
# everybody who gets the header passes it on. With `rate=0` Triton traces only requests that bring one.
#
# The cell asks an ensemble of two steps. Which span is the longest, and why does that say nothing?

# %%
from lab_utils.progress.repository import copy_models
from lab_utils.tracing import TraceReceiver, draw_waterfall, new_traceparent, trace_options

chain = lab.work / "chain"
copy_models(["mnist_mlp", "digits_preprocess", "digits_pipeline"], chain)
receiver = TraceReceiver().start()
options = ["--disable-auto-complete-config", *trace_options(receiver, rate=0)]
second = triton.start(
    chain, name="lab04-chain", options=options, lifetime="kernel", wait_for=["digits_pipeline"]
)
traceparent, trace_id = new_traceparent()
image = httpclient.InferInput("image", [1, 28, 28], "UINT8")
image.set_data_from_numpy(np.zeros((1, 28, 28), np.uint8))
with httpclient.InferenceServerClient(second.endpoints.http) as client:
    client.infer("digits_pipeline", [image])  # without the header: no trace
    client.infer("digits_pipeline", [image], headers={"traceparent": traceparent})
trace = receiver.wait_for(trace_id)
print("header:", traceparent)
print(trace)
print("events of the first model:", [event.name for event in trace[2].events])
second.stop(0)
receiver.stop()
draw_waterfall(trace)

# %% [markdown]
# ### Exercise 4.13 · Find the slow span
# *8 minutes · difficulty 2 of 3 · 4 points*
#
# You must, in `ask_traced`:
# - send `inputs` to `model` over HTTP, with the given `traceparent` as a header, and return the answer;
# - send no such header when the text is empty.
#
# You must, in `slowest`, given the spans of many requests in any order (`name`, `trace_id`, `span_id`,
# `parent_id`, `start_ns`, `end_ns`, `event(name)`):
# - look at the request `trace_id` alone, and at its models that have a child `compute`;
# - compare what each computed (the length of that child) and what each waited (from `QUEUE_START` in the
#   model's span to the start of the child);
# - return the name of the model and `"compute"` or `"queue"`, whichever took longest.


# %%
def ask_traced(url: str, model: str, inputs: list, traceparent: str):
    """Ask as a part of the trace that the caller is in."""
    ### BEGIN SOLUTION
    #: infer takes headers, a dictionary
    headers = {"traceparent": traceparent} if traceparent else {}
    with httpclient.InferenceServerClient(url) as client:
        return client.infer(model, inputs, headers=headers)
    ### END SOLUTION


def slowest(spans: list, trace_id: str) -> tuple[str, str]:
    """Where this request lost most of its time: a model, and compute or queue."""
    ### BEGIN SOLUTION
    #: 1. the spans of this trace, by their span_id
    #: 2. for each compute its parent, and the two times; the largest of all
    mine = {span.span_id: span for span in spans if span.trace_id == trace_id}
    times = {}
    for span in mine.values():
        if span.name == "compute":
            model = mine[span.parent_id]
            times[model.name, "compute"] = span.end_ns - span.start_ns
            times[model.name, "queue"] = span.start_ns - model.event("QUEUE_START")
    return max(times, key=times.get)
    ### END SOLUTION


# %%
lab.check("4.13")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `print(trace)` shows who stands below whom, and `span.event("QUEUE_START")` is a moment in nanoseconds. The
# span of an ensemble contains those of its steps: it has no `compute` of its own.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# `mine = {span.span_id: span for span in spans if …}`; for each `compute`, `mine[span.parent_id]` is the
# model. Keep `times[model.name, "compute"]` and `times[model.name, "queue"]`; `max(times, key=times.get)`
# is the key of the largest.
# </details>

# %% [markdown]
# ## 10 · The incident
#
# It is your shift. A museum serves `ticket`, `audio`, `floor`, `menu` (the last two from the response cache),
# and the ensemble `guide`, of `hear` and `reply`, which have no users of their own. A minute ago all was
# well. Then something was changed. Not
# all that was changed is to blame, and the configs you do not see.
#
# Look at what there is, say what it is, and try the mend:
#
# ```
# incident.judge("cache_off", "menu", "switch_cache_on")
# ```
#
# A wrong mend is carried out, too, as in life. `start_incident(folder)` begins another one; `incident.stop()`
# ends this one.

# %%
from lab_utils.incidents import catalogue, start_incident

incident = start_incident(lab.work / "incident")  # seed=… repeats one
print(catalogue(), end="\n\n")
incident.show()

# %% [markdown]
# ### Exercise 4.14 · The closing incident
# *12 minutes · difficulty 3 of 3 · 6 points*
#
# `before` and `now` hold what you saw: `.window`, `.clients[model]` (`.failed`,
# `.messages`), `.index`, `.log`, `.spans`. One thing is wrong with one model.
#
# You must return cause, model, mend as named above:
# - a model that is `READY` nowhere in the index any more: `not_ready` (an old *version* may be unloaded);
# - users of a model fail: by the growth of `nv_inference_request_failure` it is `execute_raises` (BACKEND),
#   `queue_timeout` (REJECTED), or `error_responses`;
# - else the model whose `request_ms` grew by the most milliseconds (not times), without `guide`: its cache
#   hits less:
#   `cache_off`; its mean batch grew by over 0.5: `batch_delay`; its queue grew more than its
#   `compute_infer`: `too_few_instances`; else `slow_step`.
#
# Try it: `find_cause(incident.before, incident.now)`.


# %%
from lab_utils.monitoring import report


def find_cause(before, now) -> tuple[str, str, str]:
    """Cause, model and mend of an incident."""
    ### BEGIN SOLUTION
    #: 1. who was READY before, and is not now
    #: 2. whose users fail, and what the server counts
    #: 3. report(now.window) - report(before.window): a table of growth, one row per model
    ready, still = (
        {entry["name"] for entry in seen.index if entry["state"] == "READY"} for seen in (before, now)
    )
    for model in ready - still:
        return "not_ready", model, "load_model"
    for model, client in now.clients.items():
        if client.failed:
            failure = "nv_inference_request_failure"
            if now.window.increase(failure, model=model, reason="BACKEND"):
                return "execute_raises", model, "roll_back"
            if now.window.increase(failure, model=model, reason="REJECTED"):
                return "queue_timeout", model, "raise_timeout"
            return "error_responses", model, "roll_back"
    grown = (report(now.window).fillna(0) - report(before.window).fillna(0)).drop("guide")
    model = grown["request_ms"].idxmax()
    row = grown.loc[model]
    if row["cache_hit_rate"] < 0:
        return "cache_off", model, "switch_cache_on"
    if row["mean_batch"] > 0.5:
        return "batch_delay", model, "cut_delay"
    if row["queue_ms"] > row["compute_infer_ms"]:
        return "too_few_instances", model, "add_instance"
    return "slow_step", model, "roll_back"
    ### END SOLUTION


# %%
lab.check("4.14")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>
#
# `report(window)` is a table: `table.loc["menu", "queue_ms"]`. What did not happen is NaN there;
# `.fillna(0)` makes it 0. Two tables can be subtracted; `.drop("guide")` leaves a row out, and
# `table["request_ms"].idxmax()` names the row with the largest value.
# </details>
# <details><summary>Hint 2: nearly the answer</summary>
#
# Two sets of names, `{entry["name"] for entry in … if entry["state"] == "READY"}`, and their difference. Then
# `client.failed` for each of `now.clients.items()`, with
# `now.window.increase(name, model=model, reason="BACKEND")`. Last the row of `report(…) - report(…)` for the
# model, and three comparisons.
# </details>

# %% [markdown]
# ## What you learned
#
# - A counter is read by its growth: first the rate, then the sum, then the quotient.
# - A load that waits for answers hides what users feel.
# - Capacity is a rate at which a promise is kept, less the headroom.
# - A server's failure counter misses most of what users see.
# - An alert is code: it has tests, and somebody who is called.
# - Metrics say which model, a trace which step, the log what was changed.
#
# ## Go further
#
# - Compare `docker/prometheus/rules` with your alert; break a rule, and run its tests.
# - Put `docker/grafana` in front of your Prometheus.
# - Let another person choose the `seed` of your next incident.
#
# The last cell stops the servers; progress is kept.

# %%
lab.progress()
for name in ("dashboard", "incident", "monitoring"):
    if globals().get(name):  # after a restart of the kernel some cells may not have run
        globals()[name].stop()
lab.stop()

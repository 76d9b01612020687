# %% [markdown]
# ## 6 · A Llama that a person can read
#
# `lab_utils/llama/model.py` is a whole Llama: 250 lines, TorchScript can compile them, and they read any
# Hugging Face folder of a Llama 2 or 3. This lab serves the **small Llama**: made here, 1.9 million
# parameters, some facts on Triton. It is *not* Llama-2-7B; same code, same shapes of tensors.
#
# With `LLAMA_MODEL=/path/or/hub-id` in the environment the served models take that Llama instead.
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

build_logits(lab.repository, "small")  # TorchScript, into llama_logits/1/model.pt
with httpclient.InferenceServerClient(http, network_timeout=300, connection_timeout=300) as client:
    for name in ("llama_logits", "llama", "llama_hf", "llama_hf_batched"):
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
# A *KV cache* keeps the keys and values of all tokens so far: a step then reads one new token. It waits for
# memory: all weights once, for all requests together, and the cache of each.
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
# What the cache saves: your loop has the whole text read again for each token, the engine has not.
from lab_utils.llama.memory import draw_memory, measure_memory, memory_table, predict_memory
from lab_utils.llama.seven import seven_billion
from lab_utils.load import draw_generation, generation_table, heavy_tailed_lengths, run_generation
from lab_utils.load.designs import compare_designs, in_static_batches

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
    print(f"{length} tokens so far: {np.median(seconds) / cached:.1f} times the engine's time per token")

# Memory, foretold and measured in a process of its own. Then the same for Llama-2-7B.
predicted, measured = predict_memory(read_config(folder), 17, 512), measure_memory(folder, 17, 512)
print("\nThe small Llama, 16 + 1 slots of 512 tokens", memory_table(predicted, measured), sep="\n")
print(f"\n{seven_billion()}")
draw_memory({"predicted": predicted, "measured": measured})

# %% [markdown]
# ## 7 · Batches that nobody waits for
#
# One step for 16 requests costs hardly more than one for a single request: they are decoded together. In a
# *static* batch all wait for the longest answer. In *continuous* batching each request leaves when it is
# done, and the next one takes its slot at the next step.
#
# Published gains of the second over the first go from hardly any to more than twenty times. Turn the knob
# that decides: how unequal the answers are. 16 clients, all designs in one run; then the same engine, held
# back to static batches.
#
# **Predict first.** For which lengths does the engine gain most from continuous batching?

# %%
knob = {"equal": [16] * 32, "heavy-tailed": heavy_tailed_lengths(32, 8, sigma=1.3, high=160, seed=3)}
for kind, lengths in knob.items():
    figures = compare_designs(server, questions, lengths)
    print(f"\n{kind}\n{generation_table(figures)}")
    speed, static = figures["llama"].tokens_per_second, in_static_batches(server, questions, lengths)
    print(f"The engine alone: {speed / static:.1f} times as fast as when it waits for whole batches.")
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
# ## 8 · Streaming
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
# Two traps. An error names no request, and is its end. A response may hold several tokens: those that came up
# while the last one was sent.

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
# `arrivals` of an `Answer` has `(moment, number of tokens)` of each response. All in seconds.
#
# You must:
# - in `ttft`, return the time from `sent` to the first token;
# - in `tpot`, that from first to last token, by all tokens but one; 0.0 for one token;
# - in `longest_gap`, the longest time between two responses; 0.0 for one response;
# - in `throughput`, all tokens by the time from the first request sent to the last token.


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
# ## 9 · A promise, and the settings that keep it
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
# A service promises an *SLO*. `try_engine` loads the engine with some settings (a config in the load request,
# as in Lab 2) and asks it for what is promised, one prompt in four being long. Look at `between`, the time
# from one response to the next: `itl` also counts tokens that came together, with a gap of 0.

# %%
from lab_utils.load.promise import Slo, try_engine

slo = Slo(prompt=1000, answer=20, memory=20_000_000, gap=0.1, ttft=1.0, candidates=(64, 1024))
settings = {"max_length": 1020, "slots": 8, "max_queue": 64}
for prefill_tokens in slo.candidates:
    print(f"\nprefill_tokens {prefill_tokens}")
    print(try_engine(server, settings | {"prefill_tokens": prefill_tokens}, slo))

# %% [markdown]
# ### Exercise 3.14 · Choose for a promise
# *9 minutes · difficulty 3 of 3 · 5 points*
#
# You must return a dictionary of four settings that keeps the promise `slo`:
# - `max_length`: the longest prompt and answer fit, and no token more;
# - `slots`: as many as `memory` holds, the one for reading counted in;
# - `prefill_tokens`: the largest candidate with `between.p99` of at most `gap`. `measure(settings)`, with the
#   settings so far, tells; once per candidate, none smaller than your choice;
# - `max_queue`: behind `q` others one waits for `q` answers. As many as `requests_per_second`, measured with
#   your choice, answers within `ttft`; rounded down;
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
# - Freezing, threads, instances and batching are chosen by measurement.
# - Without a KV cache each token costs the whole text again.
# - Memory holds weights once and a cache per request; a decode step is bound by bandwidth.
# - Continuous batching wins by how unequal the answers are.
# - TTFT, TPOT, gaps and throughput are four different promises.
#
# ## Go further
#
# - Give `llama` the parameter `dtype` `bfloat16`; compare speed and texts.
# - Close a stream in the middle, and look at `llama_requests_total` on the metrics page.
# - With a GPU and `LLAMA_MODEL=meta-llama/Llama-2-7b-hf`, run this half again.
#
# Next is Lab 4. The last cell stops the server; progress is kept.

# %%
lab.progress()
lab.stop()

"""Plausible wrong answers to 3.12."""

from __future__ import annotations

from lab_utils.paths import project_root
from lab_utils.progress.labs import LABS
from tests.proofs.kit.labs import SourceCode
from tests.proofs.kit.wrong import WrongAnswer

_RIGHT = SourceCode(project_root() / "labs_solutions" / f"{LABS['03'].notebook}.py").answer_cells("3.12")[0][
    0
]


def _but(*changes: tuple[str, str]) -> str:
    """The right answer with pieces of its text replaced."""
    text = _RIGHT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


_ONE_BY_ONE = """
def stream(url, model, prompts, max_tokens):
    answers, errors = [], []
    for prompt in prompts:
        events = Queue()
        with grpcclient.InferenceServerClient(url) as client:
            put = lambda result, error: events.put((time.perf_counter(), result, error))
            client.start_stream(callback=put)
            answer = Answer(time.perf_counter())
            answers.append(answer)
            inputs = text_inputs(prompt, max_tokens)
            client.async_stream_infer(model, inputs, enable_empty_final_response=True)
            final = False
            while not final:
                moment, result, error = events.get()
                if error is not None:
                    errors.append(str(error))
                    break
                tokens = result.as_numpy("token_ids")
                if tokens is not None:
                    answer.text += result.as_numpy("text_output")[0].decode()
                    if len(tokens):
                        answer.arrivals.append((moment, len(tokens)))
                final = result.get_response().parameters["triton_final_response"].bool_param
    return answers, errors
"""

STREAM: dict[str, list[WrongAnswer]] = {
    "3.12": [
        WrongAnswer(
            "names of the callback",
            _but(
                ("lambda result, error", "lambda r, e"),
                ("perf_counter(), result, error)))", "perf_counter(), r, e)))"),
            ),
            "these must be the names of its parameters",
        ),
        WrongAnswer(
            "never done",
            _but((".bool_param", ".bool_param and False")),
            "Read until each request had its last response",
        ),
        WrongAnswer(
            "no empty response",
            _but(("                enable_empty_final_response=True,\n", "")),
            "which Triton keeps back unless you ask",
        ),
        WrongAnswer(
            "one token each",
            _but(("(moment, len(tokens))", "(moment, 1)")),
            "A response may carry several tokens",
        ),
        WrongAnswer(
            "empty arrivals",
            _but(("                if len(tokens):\n    ", "")),
            "A response without a token is no arrival",
        ),
        WrongAnswer(
            "replaces the text", _but(("answer.text +=", "answer.text =")), "add it to what came before"
        ),
        WrongAnswer(
            "text with tokens alone",
            _but(("if tokens is not None:", "if tokens is not None and len(tokens):")),
            "The final response may carry text too",
        ),
        WrongAnswer(
            "the first that ends",
            _but(
                (
                    'running -= response.parameters["triton_final_response"].bool_param',
                    'if response.parameters["triton_final_response"].bool_param:\n                break',
                )
            ),
            "The answers of the others are missing",
        ),
        WrongAnswer("one by one", _ONE_BY_ONE, "Send all requests first, then read"),
        WrongAnswer(
            "a stream for each",
            """
def stream(url, model, prompts, max_tokens):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(prompts)) as pool:
        found = list(pool.map(lambda prompt: one(url, model, [prompt], max_tokens), prompts))
    return [answers[0] for answers, _ in found], [text for _, errors in found for text in errors]

"""
            + _RIGHT.replace("def stream", "def one"),
            "One stream carries all requests",
        ),
        WrongAnswer(
            "mixed up",
            _but(("answers[int(response.id)]", "answers[-running]")),
            "says whose each one is",
        ),
        WrongAnswer(
            "moment of reading",
            _but(
                ("events.put((time.perf_counter(), result, error))", "events.put((result, error))"),
                ("moment, result, error = events.get()", "result, error = events.get()"),
                ("(moment, len(tokens))", "(len(answer.arrivals), len(tokens))"),
            ),
            "Use one clock",
        ),
        WrongAnswer(
            "all at the end",
            _but(
                (
                    "        running = len(prompts)\n",
                    "        running, begin = len(prompts), time.perf_counter()\n        time.sleep(1.2)\n",
                ),
                ("events.put((time.perf_counter(), result, error))", "events.put((result, error))"),
                (
                    "moment, result, error = events.get()",
                    "moment, (result, error) = time.perf_counter(), events.get()",
                ),
            ),
            "All moments are one",
        ),
        WrongAnswer(
            "waits after an error", _but(("                running -= 1\n", "")), "its error is its end"
        ),
        WrongAnswer(
            "stops at an error",
            _but(("                running -= 1\n                continue\n", "                break\n")),
            "After an error go on reading",
        ),
        WrongAnswer(
            "raises",
            _but(("                errors.append(str(error))\n", "                raise error\n")),
            "do not raise it",
        ),
        WrongAnswer(
            "error objects",
            _but(("errors.append(str(error))", "errors.append(error)")),
            "is the message of Triton",
        ),
        WrongAnswer(
            "answers alone", _but(("return answers, errors", "return answers")), "`return answers, errors`"
        ),
        WrongAnswer(
            "no id", _but(("                request_id=str(number),\n", "")), "Give each request an id"
        ),
        WrongAnswer(
            "own limit",
            _but(("text_inputs(prompt, max_tokens)", "text_inputs(prompt, 64)")),
            "Use the argument `max_tokens`",
        ),
    ],
}

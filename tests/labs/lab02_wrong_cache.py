"""Plausible wrong answers to 2.9."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _option(text: str) -> str:
    return f"def cache_option(size):\n    return {text}\n"


def _cached(text: str) -> str:
    return f"def cached(config):\n    return {text}\n"


def _rate(answer: str, kind: str = "count") -> str:
    return f"""
def hit_rate(before, after):
    old, new = (stats["model_stats"][0]["inference_stats"] for stats in (before, after))
    hits = new["cache_hit"]["{kind}"] - old["cache_hit"]["{kind}"]
    misses = new["cache_miss"]["{kind}"] - old["cache_miss"]["{kind}"]
    return {answer}
"""


CACHE: dict[str, list[WrongAnswer]] = {
    "2.9": [
        WrongAnswer(
            "deprecated option", _option('f"--response-cache-byte-size={size}"'), "That option is deprecated"
        ),
        WrongAnswer("no size", _option('"--cache-config=local"'), "The cache has no size unless you give it"),
        WrongAnswer("with a unit", _option('f"--cache-config=local,size={size}B"'), "without a unit"),
        WrongAnswer(
            "in mebibytes",
            _option('f"--cache-config=local,size={size // 2**20}"'),
            "it is in bytes already",
        ),
        WrongAnswer(
            "the cache has no name", _option('f"--cache-config=size={size}"'), "its value is the cache's name"
        ),
        WrongAnswer("field left out", _cached("config"), "a config without it"),
        WrongAnswer("empty field", _cached('config + "response_cache { }"'), "loaded, and off"),
        WrongAnswer(
            "misspelt", _cached('config + "response_cache { enabled: true }"'), 'no field named "enabled"'
        ),
        WrongAnswer("the field alone", _cached('"response_cache { enable: true }"'), "Return the whole text"),
        WrongAnswer(
            "decoupled too",
            _cached(
                'config + "response_cache { enable: true } model_transaction_policy { decoupled: true }"'
            ),
            "'decoupled' transaction policy",
        ),
        WrongAnswer(
            "from the start",
            "def hit_rate(before, after):\n"
            '    now = after["model_stats"][0]["inference_stats"]\n'
            '    hits, misses = now["cache_hit"]["count"], now["cache_miss"]["count"]\n'
            "    return hits / (hits + misses) if hits else 0.0\n",
            "That counts from the start of the model",
        ),
        WrongAnswer("hits per miss", _rate("hits / misses if misses else 0.0"), "That is hits per miss"),
        WrongAnswer("miss rate", _rate("misses / (hits + misses)"), "That is the share of misses"),
        WrongAnswer("in percent", _rate("100 * hits / (hits + misses)"), "That is in percent"),
        WrongAnswer("nanoseconds", _rate("hits / (hits + misses)", "ns"), 'Use the "count" of "cache_hit"'),
        WrongAnswer("divides by zero", _rate("hits / (hits + misses)"), "there is nothing to divide by"),
        WrongAnswer(
            "all from the cache", _rate("hits / (hits + misses) if hits else 1.0"), "`hit_rate` says 1.0"
        ),
    ],
}

"""Triton with the Llama designs, each told which Llama to serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.llama_work import Work
from benchmarks.servers import NO_AUTO_COMPLETE, QUICK_STOP
from lab_utils import server as triton
from lab_utils.load import GenerationResult, run_generation
from lab_utils.progress.repository import copy_models
from lab_utils.repository.config import format_config, read_config
from lab_utils.server import Server

ENGINE, ONE_BY_ONE, BATCHED = "llama", "llama_hf", "llama_hf_batched"
DESIGNS = (ENGINE, BATCHED, ONE_BY_ONE)
PROTOCOLS = {ENGINE: "stream", ONE_BY_ONE: "grpc", BATCHED: "grpc"}


@contextmanager
def run_llamas(
    repository: Path, models: Sequence[str], llama: Path, **parameters: object
) -> Iterator[Server]:
    """The models of `model_repository/`, with these parameters where a model has them, ready.

    Args:
        repository: An empty folder.
        models: Their names.
        llama: The folder of the Llama.
        parameters: Parameters of config.pbtxt.
    """
    copy_models(models, repository)
    for model in models:
        file = repository / model / "config.pbtxt"
        config = read_config(file)
        for name, value in ({"model": llama} | parameters).items():
            if name in config.parameters:
                config.parameters[name].string_value = str(value)
        file.write_text(format_config(config))
    server = triton.start(
        repository,
        name=f"bench-{repository.name}",
        runtime="embedded",
        lifetime="kernel",
        options=[NO_AUTO_COMPLETE, QUICK_STOP],
        wait_for=models,
        timeout=900,
    )
    try:
        yield server
    finally:
        server.stop()


def load(
    server: Server, model: str, work: Work, clients: int, seconds: float, warmup: float
) -> GenerationResult:
    """A closed loop of text generation on one of the designs, its answers compared."""
    return run_generation(
        server,
        model,
        work.prompts,
        max_tokens=work.lengths,
        expected=work.answers,
        ignore_eos=True,
        protocol=PROTOCOLS[model],
        concurrency=clients,
        seconds=seconds,
        warmup=warmup,
        client_timeout=300,
        drain=300,
    )

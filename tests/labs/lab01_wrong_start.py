"""Wrong answers to 1.1 (docker run), 1.2 (options) and 1.3 (log)."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer

_DOCKER = """
def docker_run(repository, gpu):
    ports = [f"--publish=127.0.0.1:{{p}}:{{p}}" for p in (8000, 8001, 8002)]
    command = ["docker", "run", "--rm", "--shm-size=1g", *ports]
    command += ["--gpus=all"] if gpu else []
    command += [f"--volume={{repository.resolve()}}:/models:ro"]
    {line}
    return [*command, IMAGE, "tritonserver", "--model-repository=/models"]
"""


def _docker(line: str) -> str:
    return _DOCKER.format(line=line)


def _options(line: str) -> str:
    return f"""
def server_options(name, model, drain_seconds):
    options = [
        f"--id={{name}}", "--model-control-mode=explicit", f"--load-model={{model}}", "--exit-on-error=true",
        "--strict-readiness=false", "--disable-auto-complete-config",
        f"--exit-timeout-secs={{drain_seconds}}",
    ]
    {line}
    return options
"""


_LOG = """
def read_log(log):
    states, parse_error = {{}}, ""
    for line in log.splitlines():
        if "Error parsing text-format" in line:
            parse_error = {parse}
        elif found := re.search(r"Poll failed for model directory '([^']+)': (.+)\\"", line):
            states[found[1]] = {poll}
            {forget}
        elif found := re.search(r"failed to load (?:model )?'([^']+)'{version}: (.+)\\"", line):
            states[found[1]] = {failed}
        elif found := re.search(r"successfully loaded '([^']+)'", line):
            states[found[1]] = {ready}
    return states
"""


def _log(
    parse: str = 'line.split("ModelConfig: ")[1]',
    poll: str = "parse_error or found[2]",
    forget: str = 'parse_error = ""',
    version: str = r"(?: version \d+)?",
    failed: str = "found[2]",
    ready: str = '"READY"',
) -> str:
    return _LOG.format(parse=parse, poll=poll, forget=forget, version=version, failed=failed, ready=ready)


START = {
    "1.1": [
        WrongAnswer(
            "ports open to the network",
            _docker('command = [c.replace("127.0.0.1:8000", "8000") for c in command]'),
            "names no address",
        ),
        WrongAnswer(
            "forgot the metrics port",
            _docker('command = [c for c in command if "8002" not in c]'),
            "no mapping for port 8002",
        ),
        WrongAnswer(
            "all ports to 8000",
            _docker('command = [c.replace(":8001:8001", ":8001:8000") for c in command]'),
            "maps host port 8001 to port 8000",
        ),
        WrongAnswer(
            "GPUs asked for always",
            _docker('command = [*command, "--gpus=all"]'),
            "`--gpus` is always there",
        ),
        WrongAnswer(
            "GPUs never", _docker('command = [c for c in command if "gpus" not in c]'), "--gpus: not there"
        ),
        WrongAnswer(
            "repository is writable",
            _docker('command = [c.removesuffix(":ro") for c in command]'),
            "may write to your models",
        ),
        WrongAnswer(
            "relative path",
            _docker("command = [c.replace(str(repository.resolve()), str(repository)) for c in command]"),
            "is a relative path",
        ),
        WrongAnswer(
            "default shared memory",
            _docker('command = [c for c in command if "shm" not in c]'),
            "gets 64 MiB",
        ),
        WrongAnswer(
            "host path inside the container",
            _docker('return [*command, IMAGE, "tritonserver", f"--model-repository={repository}"]'),
            "Inside the container the repository is at /models",
        ),
        WrongAnswer(
            "one item with a space",
            _docker('command = [*command, "-e FOO=1"]'),
            "one item with a space in it",
        ),
        WrongAnswer(
            "one string",
            'def docker_run(repository, gpu):\n    return f"docker run --rm {IMAGE}"\n',
            "one string",
        ),
        WrongAnswer(
            "tritonserver option before the image",
            _docker('return [*command, "--model-repository=/models", IMAGE, "tritonserver"]'),
            "`--model-repository` before the image",
        ),
        WrongAnswer(
            "forgot return",
            'def docker_run(repository, gpu):\n    ["docker", "run", "--rm", IMAGE]\n',
            "Add a `return`",
        ),
        WrongAnswer(
            "an empty item where there is no GPU",
            _docker('command += ["" if not gpu else "--init"]'),
            "Docker takes it for the image",
        ),
        WrongAnswer(
            "GPUs after the image",
            _docker(
                'command = [c for c in command if "gpus" not in c]\n'
                '    return [*command, IMAGE, "--gpus=all", "tritonserver", "--model-repository=/models"]'
            ),
            "Options of Docker go before the image",
        ),
        WrongAnswer(
            "container is kept",
            _docker('command.remove("--rm")'),
            "stays behind when it ends",
        ),
    ],
    "1.2": [
        WrongAnswer(
            "no explicit mode", _options("del options[1]"), "requires setting '--model-control-mode=explicit'"
        ),
        WrongAnswer("loads everything", _options('options[2] = "--load-model=*"'), "it tried to load"),
        WrongAnswer("loads nothing", _options("del options[2]"), "loaded: nothing"),
        WrongAnswer("fixed id", _options('options[0] = "--id=triton"'), "/v2 names the server"),
        WrongAnswer("guesses configs", _options("options.pop(5)"), "Triton guessed its config"),
        WrongAnswer("strict readiness", _options("del options[4]"), "no traffic for anybody"),
        WrongAnswer("runs on, empty", _options("del options[3]"), "it runs on, empty"),
        WrongAnswer("drain time forgotten", _options("options.pop()"), "an exit timeout of"),
        WrongAnswer(
            "underscores",
            _options('options[4] = "--strict_readiness=false"'),
            "tritonserver has no option `--strict_readiness`",
        ),
        WrongAnswer("fixed port", _options('options += ["--http-port=8000"]'), "no ports and no folders"),
        WrongAnswer(
            "one string",
            'def server_options(name, model, drain_seconds):\n    return f"--id={name}"\n',
            "a list of strings",
        ),
    ],
    "1.3": [
        WrongAnswer("libprotobuf's line overlooked", _log(poll="found[2]"), "says only that it failed"),
        WrongAnswer("libprotobuf's line kept for others", _log(forget="pass"), "Forget libprotobuf's line"),
        WrongAnswer("position lost", _log(parse='line.split(": ")[-1]'), "Keep the position"),
        WrongAnswer("whole line", _log(failed="line"), "Cut off what stands before the reason"),
        WrongAnswer("loaded, not READY", _log(ready='"loaded"'), "is READY, in these letters"),
        WrongAnswer("models without a version", _log(version=r" version \d+"), "no entry for no_version"),
        WrongAnswer(
            "reads the table only",
            """
def read_log(log):
    rows = [[c.strip() for c in line.split("|")[1:4]] for line in log.splitlines() if line.startswith("| ")]
    return {name: state for name, version, state in rows if version.isdigit() or version == "-"}
""",
            "The table of models leaves out",
        ),
        WrongAnswer(
            "a dot that runs past the quote",
            _log().replace("'([^']+)'", "'(.+)'"),
            "A name ends at the next single quote",
        ),
        WrongAnswer(
            "the last quote kept", _log(failed="found[2] + chr(34)"), "closes Triton's whole message"
        ),
        WrongAnswer("everything is ready", _log(failed='"READY"'), "READY, for a model that was not loaded"),
        WrongAnswer("a list", "def read_log(log):\n    return log.splitlines()\n", "a dictionary"),
    ],
}

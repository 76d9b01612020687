"""Plausible wrong answers to 2.4 (versions)."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _serve(
    policy: str = 'f"version_policy {{ specific {{ versions: {versions} }} }}"',
    write: str = '.write_text(f"{config}\\n{policy}\\n")',
    before: str = "pass",
    load: str = "client.load_model(name)",
) -> str:
    return f"""
def serve_versions(url, repository, name, config, versions):
    policy = {policy}
    {before}
    (repository / name / "config.pbtxt"){write}
    with httpclient.InferenceServerClient(url) as client:
        {load}
"""


def _ask(version: str = 'str(version or "")', each: bool = False) -> str:
    body = f"""
    with httpclient.InferenceServerClient(url) as client:
        def ask(images):
            tensor = httpclient.InferInput("input", images.shape, "FP32").set_data_from_numpy(images)
            return client.infer(name, [tensor], model_version={version}).as_numpy("output").argmax(axis=1)
        {"return np.concatenate([ask(image[None]) for image in images])" if each else "return ask(images)"}
"""
    return f"def ask_version(url, name, images, version=None):{body}"


def _choose(body: str) -> str:
    return f"def choose_version(client, share):\n    import random\n    return {body}\n"


VERSIONS: dict[str, list[WrongAnswer]] = {
    "2.4": [
        WrongAnswer("throws a coin", _choose("2 if random.random() < share else 1"), "No chance in it"),
        WrongAnswer(
            "Python's hash", _choose("2 if hash(client) % 10000 < share * 10000 else 1"), "`hash(client)`"
        ),
        WrongAnswer(
            "the other way round",
            _choose("1 if zlib.crc32(client.encode()) / 2**32 < share else 2"),
            "it is the other way round",
        ),
        WrongAnswer(
            "percent", _choose("2 if zlib.crc32(client.encode()) % 100 < share else 1"), "evenly spread"
        ),
        WrongAnswer(
            "depends on the share",
            _choose("2 if zlib.crc32(f'{client}{share}'.encode()) / 2**32 < share else 1"),
            "clients went back to version 1",
        ),
        WrongAnswer(
            "returns the name",
            _choose("'2' if zlib.crc32(client.encode()) / 2**32 < share else '1'"),
            "`choose_version` returns 1 or 2",
        ),
        WrongAnswer(
            "all versions", _serve(policy='"version_policy { all {} }"'), "every folder that is there"
        ),
        WrongAnswer(
            "the latest two",
            _serve(policy='f"version_policy {{ latest {{ num_versions: {len(versions)} }} }}"'),
            "counts from the highest number",
        ),
        WrongAnswer("no policy", _serve(policy='""'), "Without a policy Triton serves the highest"),
        WrongAnswer(
            "always both",
            _serve(policy='"version_policy { specific { versions: [ 1, 2 ] } }"'),
            "Use the argument `versions`",
        ),
        WrongAnswer(
            "appends",
            _serve(
                write='.open("a").write((config if not (repository / name / "config.pbtxt").exists() '
                'or not (repository / name / "config.pbtxt").read_text() else "") + policy + "\\n")'
            ),
            "one policy each time",
        ),
        WrongAnswer("never loads", _serve(load="pass"), "nobody asked Triton to read it"),
        WrongAnswer(
            "unloads first",
            _serve(load="client.unload_model(name); client.load_model(name)"),
            "it was unloaded",
        ),
        WrongAnswer(
            "deletes the others",
            _serve(
                before="[shutil.rmtree(f) for f in (repository / name).iterdir() "
                "if f.name.isdigit() and int(f.name) not in versions]"
            ),
            "A rollback deletes nothing",
        ),
        WrongAnswer(
            "single braces",
            _serve(policy='f"version_policy { specific }"').replace(
                'f"version_policy { specific }"', '"version_policy ( specific ( versions: 1 ) )"'
            ),
            "each brace",
        ),
        WrongAnswer(
            "single braces in a format",
            _serve(policy='"version_policy { specific { versions: {} } }".format(versions)'),
            "written twice: `{{`",
        ),
        WrongAnswer("writes nothing", _serve(write=""), "Write `config` and the policy to"),
        WrongAnswer("version forgotten", _ask(version='""'), "Pass the version on"),
        WrongAnswer("a number", _ask(version='version or ""'), "takes a version as text"),
        WrongAnswer("None as text", _ask(version="str(version)"), "an empty string, not `None`"),
        WrongAnswer("1 if not asked", _ask(version="str(version or 1)"), "leave the choice to Triton"),
        WrongAnswer("one by one", _ask(each=True), "Send all images in one request"),
    ],
}

EQUIVALENT_VERSIONS: dict[str, str] = {
    "2.4 comparison: zlib.crc32(client.encode()) / 2 ** 32 < share -> "
    "zlib.crc32(client.encode()) / 2 ** 32 <= share in choose_version": "No number of a client is the share, "
    "except for one client in four thousand million.",
}

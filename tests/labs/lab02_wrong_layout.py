"""Plausible wrong answers to 2.1 (the layout of a model)."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _lay_out(
    folder: str = "repository / name / str(version)",
    mkdir: str = "parents=True, exist_ok=True",
    config: str = 'repository / name / "config.pbtxt"',
    copy: str = 'shutil.copy(model_file, folder / f"model{model_file.suffix}")',
) -> str:
    return f"""
def lay_out(repository, name, version, model_file, config):
    folder = {folder}
    folder.mkdir({mkdir})
    ({config}).write_text(config)
    {copy}
"""


LAYOUT: dict[str, list[WrongAnswer]] = {
    "2.1": [
        WrongAnswer(
            "two figures",
            _lay_out(folder='repository / name / f"{version:02d}"'),
            "contains leading zeros",
        ),
        WrongAnswer("a letter in front", _lay_out(folder='repository / name / f"v{version}"'), "no letters"),
        WrongAnswer(
            "no version folder", _lay_out(folder="repository / name"), "a version is a folder, called like"
        ),
        WrongAnswer(
            "the config is a version's",
            _lay_out(config='folder / "config.pbtxt"'),
            "beside the version folders, not in",
        ),
        WrongAnswer(
            "misspelt config file",
            _lay_out(config='repository / name / "config.pbtext"'),
            "Look at the spelling",
        ),
        WrongAnswer(
            "the file keeps its name",
            _lay_out(copy="shutil.copy(model_file, folder)"),
            "The backend looks for `model.onnx` alone",
        ),
        WrongAnswer(
            "always ONNX",
            _lay_out(copy='shutil.copy(model_file, folder / "model.onnx")'),
            "keep the file's own ending",
        ),
        WrongAnswer(
            "called like the file",
            _lay_out(
                folder="repository / model_file.stem / str(version)",
                config='repository / model_file.stem / "config.pbtxt"',
            ),
            "use the argument `name`",
        ),
        WrongAnswer("mkdir without parents", _lay_out(mkdir="exist_ok=True"), "makes the folders above too"),
        WrongAnswer("only once", _lay_out(mkdir="parents=True"), "The folder may be there already"),
        WrongAnswer(
            "the first one stays",
            _lay_out(
                copy='target = folder / f"model{model_file.suffix}"\n'
                "    target.exists() or shutil.copy(model_file, target)"
            ),
            "answers like the file it was made from",
        ),
        WrongAnswer(
            "begins from nothing",
            "def lay_out(repository, name, version, model_file, config):\n"
            "    shutil.rmtree(repository / name, ignore_errors=True)\n"
            + _lay_out().partition("config):\n")[2],
            "do not touch the versions that are there",
        ),
        WrongAnswer(
            "moved",
            _lay_out(copy='shutil.move(model_file, folder / f"model{model_file.suffix}")'),
            "it was moved or changed",
        ),
        WrongAnswer(
            "a link",
            _lay_out(
                copy='target = folder / f"model{model_file.suffix}"\n'
                "    target.unlink(missing_ok=True)\n"
                "    target.symlink_to(model_file)"
            ),
            "A link breaks when the file moves",
        ),
        WrongAnswer("a number in a path", _lay_out(folder="repository / name / version"), "joined with text"),
        WrongAnswer(
            "one config behind the other",
            _lay_out().replace(".write_text(config)", '.open("a").write(config)'),
            "`write_text` replaces it",
        ),
    ],
}

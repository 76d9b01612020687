"""`triton-lab submit`: what is in the zip, what the student is told, and that grading can read it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from lab_utils.errors import LabError
from lab_utils.handout import submission
from lab_utils.handout.environment import environment_report
from lab_utils.handout.submission import ENVIRONMENT_FILE, SUBMISSION_FILE, Submission, submit
from lab_utils.notebooks.copies import make_copies
from lab_utils.paths import project_root
from lab_utils.progress.labs import LABS

FIRST = f"{LABS['01'].notebook}.ipynb"


@pytest.fixture
def work(own_folders: Path) -> Path:
    """A student's folder: four notebooks, one of them worked in, and a model repository."""
    work = own_folders / "work"
    make_copies(work=work)
    edit(work / FIRST)
    model = work / "lab01" / "model_repository" / "mine"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text('name: "mine"\n')
    (model / "1" / "model.onnx").write_bytes(b"weights")
    (model / "1" / "__pycache__").mkdir()
    (model / "1" / "__pycache__" / "model.pyc").write_bytes(b"no")
    return work


def edit(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    book.cells.append(nbformat.v4.new_code_cell("mine = 1"))
    nbformat.write(book, path)


def unpacked(done: Submission) -> dict[str, bytes]:
    with zipfile.ZipFile(done.archive) as book:
        assert book.testzip() is None
        return {name: book.read(name) for name in book.namelist()}


def test_notebooks_repositories_and_environment_are_in_it(work: Path, tmp_path: Path) -> None:
    done = submit("Ada Lovelace", tmp_path / "ada.zip", note="explained to me: max_batch_size")
    packed = unpacked(done)
    notebooks = {f"notebooks/{spec.notebook}.ipynb" for spec in LABS.values()}
    models = {"repository/lab01/mine/config.pbtxt", "repository/lab01/mine/1/model.onnx"}
    assert set(packed) == notebooks | models | {SUBMISSION_FILE, ENVIRONMENT_FILE}
    assert packed[f"notebooks/{FIRST}"] == (work / FIRST).read_bytes()
    facts = json.loads(packed[SUBMISSION_FILE])
    assert facts["student"] == "Ada Lovelace"
    assert facts["note"] == "explained to me: max_batch_size"
    assert facts["repositories"] == {"01": "repository/lab01"}
    assert [one["lab"] for one in facts["notebooks"]] == list(LABS)
    environment = json.loads(packed[ENVIRONMENT_FILE])
    assert {one["check"] for one in environment["doctor"]} >= {"python", "numpy", "tritonserver"}
    assert environment["packages"]["tritonclient"]
    assert done.size == done.archive.stat().st_size
    untouched = [remark for remark in done.remarks if "nothing in it is yours" in remark]
    assert len(untouched) == len(LABS) - 1
    assert not any(remark.startswith(FIRST) for remark in untouched)


def test_the_students_folders_are_not_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "ada-at-home"))
    monkeypatch.setenv("TRITON_LAB_PROMETHEUS", str(tmp_path / "ada-at-home" / "nothing-there"))
    text = json.dumps(environment_report())
    assert "ada-at-home" not in text
    assert str(project_root()) not in text
    assert '"prometheus"' in text


def test_the_name_is_asked_for_once_and_checked(work: Path, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="Who are you"):
        submit(out=tmp_path / "a.zip")
    for bad in ("", "  ", "../x", "a/b", ".hidden", "x" * 65, "a\nb", "-rf"):
        with pytest.raises(LabError, match="name"):
            submit(bad, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
    with pytest.raises(LabError) as caught:
        submit("Núñez, Ana", tmp_path / "a.zip")
    assert '--student "Núñez Ana"' in caught.value.fix
    submit("m1234567", tmp_path / "a.zip")
    assert submit(out=tmp_path / "b.zip").student == "m1234567"


def test_links_and_giants_stay_at_home(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a private key")
    model = work / "lab01" / "model_repository" / "mine"
    (model / "link.txt").symlink_to(secret)
    (model / "folder").symlink_to(tmp_path)
    (model / "1" / "giant.bin").write_bytes(bytes(3000))
    (model / os.fsdecode(b"caf\xe9.txt")).write_text("no UTF-8 in its name")
    os.utime(model / "config.pbtxt", (0, 0))  # older than a zip can say
    monkeypatch.setattr(submission, "MAX_FILE", 2000)
    done = submit("ada", tmp_path / "a.zip")
    packed = unpacked(done)
    assert b"a private key" not in b"".join(packed.values())
    assert {name for name in packed if name.startswith("repository/")} == {
        "repository/lab01/mine/config.pbtxt",
        "repository/lab01/mine/1/model.onnx",
    }
    (remark,) = [one for one in done.remarks if "Left out" in one]
    for name in ("giant.bin", "link.txt", "folder", "caf"):
        assert name in remark
        assert name in str(json.loads(packed[SUBMISSION_FILE])["left_out"])


def test_the_repositories_have_a_limit_together(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "MAX_REPOSITORIES", 10)
    done = submit("ada", tmp_path / "a.zip")
    assert done.files == 1, done.remarks
    assert "config.pbtxt" in "".join(done.remarks)


def test_of_several_notebooks_the_students_own_is_taken(work: Path, tmp_path: Path) -> None:
    shutil.copyfile(work / FIRST, work / "01-copy.ipynb")
    shutil.copyfile(work / FIRST, work / f"{LABS['01'].notebook}.new.ipynb")
    second = work / f"{LABS['02'].notebook}.ipynb"
    edit(second)
    content = second.read_bytes()
    second.rename(work / "my lab two.ipynb")
    (work / f"{LABS['03'].notebook}.ipynb").write_text("{ not a notebook")
    (work / f"{LABS['04'].notebook}.ipynb").unlink()
    nbformat.write(nbformat.v4.new_notebook(), work / "shopping.ipynb")
    with pytest.raises(LabError, match="is damaged: lab 03 would earn no points") as caught:
        submit("ada", tmp_path / "a.zip")
    assert "triton-lab reset 03" in caught.value.fix
    assert not (tmp_path / "a.zip").exists()
    done = submit("ada", tmp_path / "a.zip", damaged=True)
    packed = unpacked(done)
    assert packed[f"notebooks/{FIRST}"] == (work / FIRST).read_bytes()
    assert packed[f"notebooks/{LABS['02'].notebook}.ipynb"] == content, "renamed, and still known"
    assert packed[f"notebooks/{LABS['03'].notebook}.ipynb"] == b"{ not a notebook"
    assert not [name for name in packed if "shopping" in name or "new.ipynb" in name]
    said = "\n".join(done.remarks)
    assert "not 01-copy.ipynb" in said
    assert f"{LABS['03'].notebook}.ipynb is damaged" in said
    assert "no notebook of it: lab 04" in said


def test_a_fresh_copy_never_takes_the_place_of_the_students_work(work: Path, tmp_path: Path) -> None:
    """Renamed, and then made anew, as `triton-lab check` advises where there is no notebook."""
    fresh = (project_root() / "labs" / FIRST).read_bytes()
    edit(work / FIRST)
    mine = (work / FIRST).read_bytes()
    (work / FIRST).rename(work / "mine.ipynb")
    (work / FIRST).write_bytes(fresh)
    done = submit("ada", tmp_path / "a.zip")
    assert unpacked(done)[f"notebooks/{FIRST}"] == mine
    assert "mine.ipynb is handed in, not" in "\n".join(done.remarks)


def test_an_empty_folder_and_a_full_disk_are_messages(own_folders: Path, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no notebook of the course"):
        submit("ada", tmp_path / "a.zip")
    make_copies(work=own_folders / "work")
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="cannot be written"):
        submit("ada", tmp_path / "file" / "a.zip")


def test_a_zip_that_fails_half_way_leaves_the_old_one(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit("ada", tmp_path / "a.zip")
    before = (tmp_path / "a.zip").read_bytes()

    def fails() -> dict[str, str]:
        raise OSError("no space left on device")

    monkeypatch.setattr(submission, "environment_report", fails)
    with pytest.raises(LabError, match="cannot be written"):
        submit("ada", tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if "a.zip" in path.name) == ["a.zip"]


def test_the_command_and_the_intake_of_grading_agree(work: Path, tmp_path: Path) -> None:
    """The zip's name is the student's, and grading finds each notebook in it."""
    intake = pytest.importorskip("lab_utils.grading.intake")
    out = tmp_path / "handed-in"
    out.mkdir()
    command = [sys.executable, "-m", "lab_utils.cli", "submit", "--student", "Ada Lovelace"]
    answer = subprocess.run(command, cwd=out, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "It was not sent anywhere." in answer.stdout
    (one,) = intake.find_submissions(out)
    assert one.author.student == "Ada Lovelace"
    assert [path.name for path in one.paths] == ["Ada Lovelace.zip"]
    taken = intake.take_in(one, tmp_path / "taken")
    assert taken.problems == ()
    assert sorted(taken.notebooks) == list(LABS)
    assert taken.notebooks["01"].read_bytes() == (work / FIRST).read_bytes()

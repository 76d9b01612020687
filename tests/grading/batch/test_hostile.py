"""Zips and folders that mean harm: nothing is written elsewhere, followed or believed."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import pytest

from lab_utils.grading.unpack import MOST_NOTEBOOK, BadZip, unpack_notebooks
from tests.grading.batch.made import FOREIGN, LAB1, notebook, one, taken, zipped


def hostile(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members:
            archive.writestr(member, content)
    return path


def outside(tmp_path: Path) -> set[str]:
    return {path.name for path in tmp_path.iterdir()} - {"in", "x.zip"}


@pytest.mark.parametrize(
    "name",
    ["../out.ipynb", "/tmp/out.ipynb", "a/../../out.ipynb", "..\\out.ipynb", "C:\\out.ipynb", "C:/out.ipynb"],
)
def test_a_name_that_leads_out_is_left_out(tmp_path: Path, name: str) -> None:
    hostile(tmp_path / "x.zip", (name, notebook("01")), ("good.ipynb", notebook("02")))
    found = one(tmp_path / "x.zip", tmp_path / "in")
    assert list(found.notebooks) == ["02"]
    assert "leads out of the zip" in found.problems[0]
    assert not outside(tmp_path)


def test_links_devices_and_encrypted_members_are_left_out(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.ipynb")
    link.external_attr = 0o120777 << 16
    pipe = zipfile.ZipInfo("pipe.ipynb")
    pipe.external_attr = 0o010666 << 16
    hostile(tmp_path / "x.zip", (link, b"/etc/passwd"), (pipe, b""), ("locked.ipynb", notebook("01")))
    raw = bytearray((tmp_path / "x.zip").read_bytes())
    place = raw.rindex(b"PK\1\2")  # the last member's entry in the table of contents
    raw[place + 8] |= 1
    (tmp_path / "x.zip").write_bytes(raw)
    found = one(tmp_path / "x.zip", tmp_path / "in")
    assert not found.notebooks
    assert [problem.split(" was ")[0] for problem in found.problems] == [
        "link.ipynb",
        "pipe.ipynb",
        "locked.ipynb",
    ]
    assert "encrypted" in found.problems[2]


def test_a_bomb_is_stopped_while_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            with archive.open(f"{number}.ipynb", "w") as file:
                for _ in range(MOST_NOTEBOOK // (1 << 20) + 4):
                    file.write(b" " * (1 << 20))
        archive.writestr("good.ipynb", notebook("01"))
    # The zip says that its members are small.
    raw = (tmp_path / "x.zip").read_bytes()
    size = struct.pack("<L", (MOST_NOTEBOOK // (1 << 20) + 4) << 20)
    (tmp_path / "x.zip").write_bytes(raw.replace(size, struct.pack("<L", 1000)))
    found = one(tmp_path / "x.zip", tmp_path / "in")
    assert list(found.notebooks) == ["01"]
    assert len(found.problems) == 3
    assert sum(path.stat().st_size for path in (tmp_path / "in").rglob("*.ipynb")) < 1 << 20


def test_ten_thousand_notebooks_in_a_zip_are_not_unpacked(tmp_path: Path) -> None:
    hostile(tmp_path / "x.zip", *((f"{number}.ipynb", b"{}") for number in range(3000)))
    (tmp_path / "in").mkdir()
    found, problems = unpack_notebooks(tmp_path / "x.zip", tmp_path / "in")
    assert len(found) == 100
    assert "more than 100" in problems[-1]


def test_names_may_be_huge_twice_there_or_unprintable(tmp_path: Path) -> None:
    content = notebook("01", "right")
    hostile(tmp_path / "x.zip", ("n" * 60_000 + ".ipynb", content), ("\x1b[31m\r\n.ipynb", content))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "x.zip", "a") as archive:
        archive.writestr("\x1b[31m\r\n.ipynb", content)
    found = one(tmp_path / "x.zip", tmp_path / "in")
    assert found.notebooks["01"].read_bytes() == content
    assert all(problem.isprintable() and len(problem) < 400 for problem in found.problems)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read as a zip"),
        (b"PK\5\6" + b"\0" * 8 + struct.pack("<LLH", 0xFFFFFFFF, 0, 0), "table of contents"),
        (b"PK\6\7" + b"\0" * 16 + b"PK\5\6" + b"\0" * 18, "zip64"),
        (b"PK\3\4 not a zip at all", "cannot be read as a zip"),
        (zipped({"a.ipynb": b"{}"})[:-30], "cannot be read as a zip"),
    ],
    ids=("empty", "without a table", "zip64", "no zip", "cut"),  # a zip holds the time at which it was made
)
def test_a_broken_zip_is_a_problem(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    (tmp_path / "in").mkdir()
    with pytest.raises(BadZip, match=words):
        unpack_notebooks(tmp_path / "x.zip", tmp_path / "in")
    assert words in one(tmp_path / "x.zip", tmp_path / "in").problems[0]


def test_methods_that_fill_the_memory_with_one_read_are_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.ipynb", notebook("01"))
    (tmp_path / "x.zip").write_bytes(out.getvalue())
    assert "unusual way" in one(tmp_path / "x.zip", tmp_path / "in").problems[0]


def test_links_and_pipes_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "other.ipynb").write_bytes(notebook("01", "of another student"))
    mine = tmp_path / "class" / "eve"
    mine.mkdir(parents=True)
    (mine / "stolen.ipynb").symlink_to(secret / "other.ipynb")
    (mine / "all").symlink_to(secret)
    (mine / "loop").symlink_to(mine)
    os.mkfifo(mine / "pipe.ipynb")
    (tmp_path / "class" / "mal.ipynb").symlink_to(secret / "other.ipynb")
    (tmp_path / "class" / "nat").symlink_to(secret)
    os.mkfifo(tmp_path / "class" / "pip.ipynb")
    found = taken(tmp_path / "class", tmp_path / "in")
    assert set(found) == {"eve", "mal", "nat", "pip"}
    assert not any(files.notebooks for files in found.values())
    assert all(files.problems for files in found.values())
    assert "stolen.ipynb is a link" in found["eve"].problems[0]


def test_a_folder_with_a_whole_environment_in_it_is_read(tmp_path: Path) -> None:
    mine = tmp_path / "class" / "eve"
    for folder in (".venv/lib", "node_modules", ".git", "work"):
        (mine / folder).mkdir(parents=True)
        (mine / folder / LAB1).write_bytes(notebook("01", folder))
    for number in range(14):
        (mine / "work" / f"scratch{number}.ipynb").write_bytes(FOREIGN)
    found = taken(tmp_path / "class", tmp_path / "in")["eve"]
    assert found.notebooks["01"].read_bytes() == notebook("01", "work")
    assert len(found.problems) == 11
    assert found.problems[-1] == "and 4 more of this kind"


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "class" / "zoe").mkdir(parents=True)
    assert taken(tmp_path / "class", tmp_path / "in")["zoe"].problems == ("there is no notebook in it",)

"""What is shown of an incident: the useful part of an error, and a log that a student reads."""

from __future__ import annotations

from lab_utils.incidents.view import gist, short_log

LINE = "E1126 10:00:00.123456 4711 model_lifecycle.cc:642] "


def test_the_gist_of_a_python_error_is_its_message() -> None:
    text = "in ensemble, failed to process the request(s), message: ValueError: no such   room\n\nAt:\n  /x"
    assert gist(text) == "ValueError: no such room"


def test_a_short_error_is_whole_and_a_long_one_keeps_both_ends() -> None:
    assert gist("connection refused") == "connection refused"
    long = "begin " + "x" * 300 + " end"
    assert gist(long, limit=40).startswith("begin ")
    assert gist(long, limit=40).endswith(" end")
    assert len(gist(long, limit=40)) <= 42
    assert gist("At:\n  a place without a message") == "At: a place without a message"


def test_a_log_loses_time_process_and_the_long_folder_only() -> None:
    log = f"{LINE}failed to load /tmp/a/b/repository/menu/1/model.py: no module"
    assert short_log(log) == "E failed to load …/menu/1/model.py: no module"


def test_repeated_lines_stand_once_with_their_number() -> None:
    log = f"{LINE}refused\n{LINE}other\n{LINE.replace('00.12', '07.99')}refused\n"
    assert short_log(log).splitlines() == ["E refused   (2 times)", "E other"]


def test_lines_about_a_missing_gpu_are_left_out() -> None:
    log = f"{LINE}CUDA memory pool disabled\nW1126 10:00:00.1 1 metrics.cc:1] Cuda driver\n\n"
    assert short_log(log) == "(nothing)"


def test_of_a_long_line_the_end_is_kept() -> None:
    line = short_log("I begins " + "y" * 400 + " with the cause")
    assert line.startswith("I begins ")
    assert line.endswith(" with the cause")
    assert len(line) < 200

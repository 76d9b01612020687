"""Options of tritonserver: all documented ones pass, others are refused by name."""

import pytest

from lab_utils.server import ServerError
from lab_utils.server.options import check_options, documented, values


def test_the_list_is_the_installed_servers_own() -> None:
    known = documented()
    assert len(known) >= 75
    for name in ("model-control-mode", "trace-config", "http-restricted-api", "rate-limit", "log-verbose"):
        assert name in known
    assert known["http-port"].type == "integer"
    assert "port" in known["http-port"].help


def test_every_documented_option_passes() -> None:
    for name, option in documented().items():
        if name in ("help", "disable-auto-complete-config"):
            continue
        assert check_options([f"--{name}=x"]) == [f"--{name}=x"], option


def test_both_spellings_become_one() -> None:
    assert check_options(["--load-model", "a", "--load-model=b", "--disable-auto-complete-config"]) == [
        "--load-model=a",
        "--load-model=b",
        "--disable-auto-complete-config",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--strict-readyness=true"], ["--strict-readyness", "--strict-readiness"]),
        (["--http_port=8000"], ["--http_port", "--http-port"]),
        (["-v"], ["two dashes", "--v="]),
        (["strict-readiness=true"], ["two dashes", "--strict-readiness="]),
        (["--http-port"], ["needs a value", "<integer>"]),
        (["--http-port", "--log-info=true"], ["--http-port", "needs a value"]),
        (["--disable-auto-complete-config=true"], ["takes no value"]),
        (["--help"], ["--help"]),
        (["--qqqqqq=1"], ["--qqqqqq", "tritonserver --help"]),
    ],
)
def test_wrong_options_are_refused_by_name(options: list[str], words: list[str]) -> None:
    with pytest.raises(ServerError) as refusal:
        check_options(options)
    for word in words:
        assert word in str(refusal.value)


def test_values_in_order() -> None:
    assert values(["--load-model=a", "--http-port=1", "--load-model=b"], "load-model") == ["a", "b"]

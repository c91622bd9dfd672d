"""How things are said."""

from __future__ import annotations

import io
import sys

import pytest

from rdae.cli.console import (
    Color,
    Console,
    UsageError,
    describe,
    human_bytes,
    human_seconds,
    shown,
    table,
)
from rdae.codec.progress import Progress
from rdae.errors import CorruptError, OutputExistsError, grouped


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9204, "9.2 kB"),
        (557_596, "557.6 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (2_100_000_000, "2.1 GB"),
    ],
)
def test_sizes_have_a_unit_of_thousands(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0042, "4 ms"),
        (0.5, "0.50 s"),
        (1.31, "1.3 s"),
        (99.96, "1 min 40 s"),
        (125, "2 min 05 s"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text


def test_thousands_are_set_apart() -> None:
    assert grouped(1234567) == "1 234 567"


def test_what_is_left_of_a_search_is_reckoned_from_its_first_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    show = Console().working("a.png")
    assert show is not None
    bars = []
    # 50 seconds of imports, then 2 seconds for each tenth; the second search takes 30 for one
    steps = ((1, 50, 0.1), (1, 2, 0.2), (1, 2, 0.3), (2, 9, 0.5), (2, 30, 0.6))
    for search, seconds, done in steps:
        now += seconds
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        show(Progress(done, search, 0.25, 33))
        bars.append(terminal.getvalue().split(" dB  ")[1])
    assert bars[:3] == ["a.png", "16 s left  a.png", "14 s left  a.png"]
    assert bars[3:] == ["search 2  a.png", "2 min 00 s left  search 2  a.png"]


def test_names_that_would_garble_a_terminal_are_escaped() -> None:
    assert shown("ä b→.png") == "ä b→.png"
    assert shown("a\nb\x1b[31m.png") == "a\\nb\\x1b[31m.png"
    assert shown("caf\udce9.png") == "caf\\xe9.png"


def test_columns_are_aligned() -> None:
    rows = [("NAME", "N"), ("a", "10"), ("long name", "1")]
    assert table(rows, left=frozenset({0})) == "NAME        N\na          10\nlong name   1"


def test_an_error_of_ours_keeps_code_and_hint() -> None:
    failure = describe(CorruptError("bad", hint="again"))
    assert (failure.code, failure.message, failure.hint) == ("corrupt", "bad", "again")


def test_an_existing_output_gets_the_ways_out() -> None:
    assert "-f replaces it" in describe(OutputExistsError("exists")).hint


def test_a_system_error_is_said_without_its_number() -> None:
    assert describe(FileNotFoundError(2, "No such file")).code == "not-found"
    assert describe(PermissionError(13, "Permission denied")).message == "permission denied"
    assert describe(OSError(28, "No space left on device")).message == "no space left on device"


def test_a_bug_is_called_one_and_the_versions_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Console().failure("x.png", ZeroDivisionError("division by zero"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "rdae: x.png: internal: ZeroDivisionError: division by zero"
    assert "bug in rdae" in lines[1]
    assert lines[2].startswith("rdae ") and "numpy" in lines[2]


def test_a_traceback_is_printed_only_on_demand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RDAE_DEBUG", raising=False)
    Console().failure("x", ValueError("y"))
    assert "Traceback" not in capsys.readouterr().err.replace("ValueError: y\n", "")
    monkeypatch.setenv("RDAE_DEBUG", "1")
    try:
        raise ValueError("y")
    except ValueError as error:
        Console().failure("x", error)
    assert "Traceback" in capsys.readouterr().err


def test_colour_is_never_used_away_from_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Console().failure("x", CorruptError("bad"))
    assert "\x1b" not in capsys.readouterr().err


def test_colour_can_be_demanded(capsys: pytest.CaptureFixture[str]) -> None:
    Console(color=Color.always).failure("x", CorruptError("bad"))
    assert "\x1b[31m" in capsys.readouterr().err


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("variable", "colored"), [("", True), ("1", False)])
def test_no_color_is_honoured_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, variable: str, colored: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", variable)
    Console().failure("x", CorruptError("bad"))
    assert ("\x1b[31m" in terminal.getvalue()) is colored


def test_a_bar_is_shown_on_a_terminal_and_removed_before_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    console = Console()
    console.progress(1, 4, "b.png")
    console.result("a line")
    assert "█████░░░" in terminal.getvalue() and "1/4" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[2Ka line\n")


def test_there_is_no_bar_for_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    Console().progress(0, 1, "a.png")
    assert terminal.getvalue() == ""


def test_there_is_no_bar_away_from_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Console().progress(0, 5, "a.png")
    assert capsys.readouterr().err == ""


def test_signs_that_the_encoding_lacks_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii"))
    Console().result("a → b · 3")
    assert raw.getvalue() == b"a -> b | 3\n"


def test_quiet_and_verbose_contradict() -> None:
    with pytest.raises(UsageError):
        Console(quiet=True, verbose=1)


def test_one_big_picture_has_a_bar_after_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    now = 50.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    console = Console()
    show = console.working("big.png")
    assert show is not None
    show(Progress(0))
    now += 0.4
    show(Progress(0.25))
    assert terminal.getvalue() == ""
    now += 0.4
    show(Progress(0.5))
    assert "██████████░░░░░░░░░░ 1 s left  big.png" in terminal.getvalue()
    console.progress(2, 7, "big.png")
    show(Progress(0.75, search=3))
    assert terminal.getvalue().endswith("search 3  file 3/7  big.png")


def test_no_bar_away_from_a_terminal_for_one_big_picture() -> None:
    assert Console().working("big.png") is None

"""Mistakes and hints are in our words, and name options that the command has."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdae.cli import hints
from tests.cli.cli_runner import Run, save


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("compress a.png -q high", "--quality takes 0..100, not high"),
        ("compress a.png -e 12", "--effort takes 1..9, not 12"),
        ("compress a.png -e x", "--effort takes 1..9, not x"),
        ("compress a.png --threads 0", "--threads takes a number from 1 on, not 0"),
        ("compress a.png --max-pixels 1.5", "--max-pixels takes a whole number, not 1.5"),
        ("compress a.png --target-bpp x", "--target-bpp takes a number, not x"),
        ("compress a.png --strip colour", "--strip takes all, exif, xmp, icc, gps, not colour"),
        ("decompress a.rd --color blue", "--color takes auto, always, never, not blue"),
        ("train x -o y --precision z", "--precision takes auto, float32, bfloat16, not z"),
        ("export a -o b.safetensors --id 300", "--id takes 1..255, not 300"),
        ("elbo a.png --draws 0", "--draws takes a number from 1 on, not 0"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_taken(run: Run, arguments: str, said: str) -> None:
    result = run(*arguments.split())
    command = arguments.split()[0]
    assert result.code == 2
    assert result.err.splitlines() == [
        f"rdae: {said}",
        f"hint: rdae {command} --help lists the options",
    ]


def test_an_option_without_its_value_is_looked_up_in_its_command(run: Run) -> None:
    result = run("compress", "a.png", "--output-dir")
    assert "hint: rdae compress --help lists the options" in result.err


def test_a_hint_is_for_the_command_line(run: Run, photo: Path) -> None:
    result = run("compress", "photo.png", "--max-pixels", "9")
    assert result.err.splitlines()[1] == "hint: if you trust the file: --max-pixels 960"
    result = run("compress", "photo.png", "--target-size", "20")
    assert "Python" not in result.err and "hint: --target-size " in result.err


def test_a_hint_names_the_command_that_has_its_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "_options", frozenset({"--to-8bit", "--json"}))
    assert hints.at_hand("--to-8bit (to_8bit=True in Python) rounds") == "--to-8bit rounds"
    assert hints.at_hand("try --lossy") == "try rdae decompress --lossy"
    assert hints.at_hand("try --best-effort") == "try rdae decompress --best-effort"
    assert hints.at_hand("try --first-frame") == "try rdae compress --first-frame"
    assert hints.at_hand("rdae info photo.rd --other") == "rdae info photo.rd --other"


def test_compare_has_no_weights_option_so_the_hint_says_whose_it_is(
    run: Run, tmp_path: Path, rd: Path
) -> None:
    data = bytearray(rd.read_bytes())
    save(tmp_path / "b.png")
    from rdae.bitstream.header import Header, read_header
    from rdae.bitstream.varint import ByteReader

    header = read_header(ByteReader(bytes(data)))
    other = Header(**{**vars(header), "model_id": 99})
    rest = bytes(data)[len(header.pack_with_check()) :]
    rd.write_bytes(other.pack_with_check() + rest)
    result = run("compare", "b.png", "photo.rd")
    assert result.code == 1 and "rdae decompress --weights FILE" in result.err
    assert "pass its weights file: --weights FILE" in run("decompress", "photo.rd").err

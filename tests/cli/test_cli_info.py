"""`rdae info`, `verify` and `models`, run as a user runs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from rdae.model.installed import load_lossless
from rdae.model.manifest import shipped
from tests.cli.cli_runner import Run, names, run_without_rights, save


def test_the_table_adds_up(run: Run, tmp_path: Path, rd: Path) -> None:
    result = run("info", "photo.rd")
    heading, row = result.out.decode().splitlines()
    assert (result.code, result.err) == (0, "")
    for column in ("FILE", "SIZE", "IMAGE", "MODEL", "Q", "BPP", "RATIO", "BITS", "META"):
        assert column in heading.split()
    assert row.startswith("photo.rd") and "40x24 RGB" in row and " 60 " in row


def test_json_gives_the_bits_of_every_part(run: Run, tmp_path: Path, rd: Path) -> None:
    record, summary = run("info", "photo.rd", "--json").records
    parts = ("y", "z", "header", "alpha", "metadata")
    total = 8 * rd.stat().st_size
    assert record["total_bits"] == total == sum(record[f"{part}_bits"] for part in parts)
    assert record["bpp"] == pytest.approx(total / (24 * 40), abs=1e-4)
    assert record["raw_ratio"] > 1 and record["model"] and record["quality"] == 60
    assert summary["ok"] is True


def test_verbose_lists_fields_that_cover_the_file(run: Run, rd: Path) -> None:
    record = run("info", "-v", "photo.rd", "--json").records[0]
    offset = 0
    for field in record["fields"]:
        assert field["offset"] == offset
        offset += field["bytes"]
    assert offset == rd.stat().st_size
    text = run("info", "-v", "photo.rd").out.decode()
    assert "magic" in text and "93 52 44 41" in text


def test_alpha_has_a_column_only_where_there_is_some(run: Run, tmp_path: Path, rd: Path) -> None:
    assert b"ALPHA" not in run("info", "photo.rd").out
    save(tmp_path / "a.png", channels=4)
    run("compress", "a.png")
    assert b"ALPHA" in run("info", "photo.rd", "a.rd").out


def test_a_bad_file_does_not_hide_the_good_ones(run: Run, tmp_path: Path, rd: Path) -> None:
    (tmp_path / "x.rd").write_bytes(b"nothing of ours")
    result = run("info", "x.rd", "photo.rd")
    assert result.code == 1
    assert result.err.startswith("rdae: x.rd: not-rdae: ")
    assert len(result.out.splitlines()) == 2


def test_standard_input_is_read(run: Run, rd: Path) -> None:
    assert run("info", "-", stdin=rd.read_bytes()).out.splitlines()[1].startswith(b"stdin ")


@pytest.mark.parametrize("command", ["info", "verify"])
def test_the_summary_counts_the_bytes_that_were_read(run: Run, rd: Path, command: str) -> None:
    *_, summary = run(command, "photo.rd", "--json").records
    assert (summary["done"], summary["input_bytes"]) == (1, rd.stat().st_size)


def test_verify_says_ok_and_writes_nothing(run: Run, tmp_path: Path, rd: Path) -> None:
    result = run("verify", "photo.rd")
    assert (result.code, result.out) == (0, b"")
    assert result.err.startswith("photo.rd: ok   40x24 RGB  ")
    assert names(tmp_path) == ["photo.rd"]


def test_verify_fails_for_one_bad_file_among_good_ones(run: Run, tmp_path: Path, rd: Path) -> None:
    data = bytearray(rd.read_bytes())
    data[-12] ^= 1
    (tmp_path / "bad.rd").write_bytes(data)
    result = run("verify", "bad.rd", "photo.rd", "--json")
    assert result.code == 1
    assert [record["ok"] for record in result.records] == [False, True, False]
    assert run("verify", "photo.rd", "--quiet").err == ""


def test_the_lossless_model_is_listed_and_described_but_codes_no_lossy_file(
    run: Run, tmp_path: Path
) -> None:
    listed = run("models", "list").out.decode().splitlines()
    number = str(load_lossless().model_id)
    assert listed[-1].split()[:2] == [number, "lossless"] and listed[-1].endswith("lossless")
    records = run("models", "list", "--json").records
    (card,) = [record for record in records if record["lossless"]]
    assert (card["name"], card["default"]) == ("lossless", False)
    assert 150_000 < card["parameters"] < 300_000 and 15 < card["decoder_kmacs"] < 25
    shown = run("models", "show", "lossless").out.decode()
    assert card["sha256"] in shown and card["fingerprint"] in shown
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    refused = run("compress", "x.png", "-m", "lossless")
    assert refused.code == 2 and "--lossless" in refused.err


def test_models_are_listed_described_and_verified(run: Run) -> None:
    listed = run("models").out.decode().splitlines()
    assert listed[0].split()[:2] == ["ID", "NAME"] and " yes " in listed[1]
    (card,) = [record for record in run("models", "list", "--json").records if record["default"]]
    shown = run("models", "show", card["name"]).out.decode()
    assert card["sha256"] in shown and card["fingerprint"] in shown
    heading, *rows = shown.splitlines()[-1 - len(card["provenance"]["rd_points"]) :]
    assert heading.split() == ["QUALITY", "BPP", "PSNR", "dB", "SSIMULACRA2"]
    scores = [f"{point['ssimulacra2']:.1f}" for point in card["provenance"]["rd_points"]]
    assert [row.split()[-1] for row in rows] == scores
    verified = run("models", "verify", "--json")
    assert verified.code == 0
    assert all(record["ok"] for record in verified.records)


def test_own_weights_of_a_lossless_model_are_verified_and_do_not_encode(
    run: Run, tmp_path: Path
) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(shipped("lossless.safetensors").read_bytes())
    folder = {"RDAE_WEIGHTS_DIR": str(tmp_path)}
    verified = run("models", "verify", "--json", **folder)
    assert verified.code == 0 and all(record["ok"] for record in verified.records)
    assert "own.safetensors has the weights of a lossless model" in run("models", **folder).err
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    for more in ((), ("--lossless",)):
        refused = run("compress", "x.png", "-m", own, *more)
        assert refused.code == 2 and "only decodes" in refused.err
        refused = run("compress", "x.png", "-m", "none.safetensors", *more)
        assert refused.code == 2 and "no such weights file" in refused.err
    assert run("compress", "x.png", "--lossless").code == 0
    assert run("decompress", "x.rd", "-o", "y.png", "--weights", own).code == 0
    own.write_bytes(own.read_bytes()[:-1])
    assert run("models", "verify", **folder).code == 1


def test_own_weights_that_are_damaged_are_reported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.safetensors").write_bytes(b"damaged")
    result = run("models", "verify", RDAE_WEIGHTS_DIR=str(tmp_path))
    assert result.code == 1
    assert "own.safetensors: weights-mismatch: " in result.err


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_own_weights_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "locked.safetensors").touch(mode=0)

    for argument in ("models", "--version"):
        result = run_without_rights(tmp_path, argument, RDAE_WEIGHTS_DIR=".")
        assert result.code == 0 and b"photo-psnr" in result.out
        assert [line.partition(" is left out: ")[0] for line in result.err.splitlines()] == [
            "folder.safetensors",
            "locked.safetensors",
        ]
    result = run_without_rights(tmp_path, "models", "verify", RDAE_WEIGHTS_DIR=".")
    assert result.code == 1 and result.err.count(": ok\n") == 3
    said = "locked.safetensors: weights-mismatch: it cannot be read: permission denied\n"
    assert said in result.err


def test_a_folder_of_own_weights_that_cannot_be_read_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    reasons = {"typo": "no such file or directory", "file": "not a directory"}
    for name, reason in reasons.items():
        result = run("models", RDAE_WEIGHTS_DIR=str(tmp_path / name))
        assert result.code == 0 and b"photo-psnr" in result.out
        said = f"RDAE_WEIGHTS_DIR: the folder {tmp_path / name} cannot be read: {reason}\n"
        assert result.err == said

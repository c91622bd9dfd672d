"""--target-size, --target-bpp, --target-psnr, --effort, `elbo` and `info --explain`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from rdae.extras import install_hint
from rdae.scales import point_to_quality
from tests.cli.cli_runner import Run, environment, names, needs_torch

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "photo.png"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A detail of the example photo as big.png."""
    with Image.open(EXAMPLE) as photo:
        photo.crop((260, 170, 420, 290)).save(tmp_path / "big.png")
    return tmp_path / "big.png"


@pytest.mark.parametrize(
    ("size", "count"), [("2000", 2000), ("2k", 2000), ("2Ki", 2048), ("0.002MB", 2000)]
)
def test_a_size_is_met_in_any_unit(
    run: Run, tmp_path: Path, example: Path, size: str, count: int
) -> None:
    result = run("compress", "big.png", "--target-size", size)
    assert result.code == 0, result.err
    assert 0.96 * count < (tmp_path / "big.rd").stat().st_size <= count
    assert " tries " in result.err


def test_metadata_counts_and_json_says_what_was_found(
    run: Run, tmp_path: Path, example: Path
) -> None:
    record = run("compress", "big.png", "--target-bpp", "0.4", "--psnr", "--json").records[0]
    assert record["output_bytes"] == (tmp_path / "big.rd").stat().st_size
    assert 0.38 < record["bpp"] <= 0.4
    assert record["quality"] == point_to_quality(record["quality_point"])
    assert 1 <= record["tries"] <= 9 and record["effort"] == 2
    record = run("compress", "big.png", "-f", "--target-psnr", "31", "--psnr", "--json").records[0]
    assert 31 <= record["psnr"] < 31.2


def test_an_unreachable_target_leaves_no_file_and_says_what_is_reachable(
    run: Run, tmp_path: Path, example: Path
) -> None:
    result = run("compress", "big.png", "--target-size", "100")
    assert (result.code, names(tmp_path)) == (1, ["big.png"])
    assert "big.png: rate-target: 100 bytes are too few: quality 0 takes" in result.err
    hint = result.err.splitlines()[1]
    least = hint.split("--target-size ")[1].split()[0]
    assert run("compress", "big.png", "--target-size", least).code == 0
    error = run("compress", "big.png", "-f", "--target-psnr", "80", "--json").records[0]["error"]
    assert error["code"] == "rate-target" and "quality 100 has" in error["message"]


def test_a_target_for_the_eye_says_what_was_reached(run: Run, photo: Path) -> None:
    pytest.importorskip("ssimulacra2")
    command = ("compress", "photo.png", "-n", "--target-ssimulacra2", "50")
    record = run(*command, "--json").records[0]
    assert record["ssimulacra2"] >= 50 and record["psnr"] is None
    assert " SSIMULACRA2 " in run(*command).err


def test_bits_per_pixel_beyond_all_bounds_are_targets_like_others(run: Run, photo: Path) -> None:
    result = run("compress", "photo.png", "--target-bpp", "0.00001")
    assert result.code == 1 and "rdae: photo.png: rate-target: " in result.err
    record = run("compress", "photo.png", "--target-bpp", "1e307", "--json").records[0]
    assert record["quality_point"] == 255


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-q", "50", "--target-bpp", "1"), "-q and --target-bpp exclude each other"),
        (("--target-size", "1k", "--target-psnr", "30"), "exclude each other"),
        (("--target-size", "much"), "--target-size much: not a size"),
        (("--target-size", "0k"), "not a size"),
        (("--target-bpp", "-1"), "--target-bpp takes a number above 0"),
        (("--tune", "eye"), "--tune counts from effort 3 on"),
        (("--tune", "psnr", "-e", "5", "--lossless"), "--tune counts from effort 3 on"),
        (("--tune", "psnr", "--lossless"), "hint: of the lossy picture of --base: -e 5"),
        (("--target-psnr", "nan"), "--target-psnr takes a number above 0"),
        (("--target-ssimulacra2", "0"), "--target-ssimulacra2 takes a number above 0"),
        (("-q", "101"), "-q takes 0 to 100"),
        (("-e", "10"), "--effort takes 1..9"),
    ],
)
def test_contradictions_and_nonsense_are_usage_errors(
    run: Run, tmp_path: Path, photo: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = run("compress", "photo.png", *arguments)
    assert result.code == 2 and message in result.err
    assert names(tmp_path) == ["photo.png"]


@needs_torch
def test_files_of_every_effort_verify_and_more_effort_needs_fewer_bytes_for_a_psnr(
    run: Run, example: Path
) -> None:
    with Image.open(example) as photo:
        photo.crop((0, 0, 96, 64)).save(example)  # of a few seconds for each search
    sizes = []
    for effort in ("1", "2", "3"):
        command = ("compress", "big.png", "-f", "-e", effort, "--target-psnr", "28", "--json")
        sizes.append(run(*command).records[0]["output_bytes"])
        assert run("verify", "big.rd").code == 0
    assert sizes[2] < min(sizes[:2])


def test_effort_without_torch_says_how_to_get_it(run: Run, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'torch' else real(name, *rest)\n"
    )
    for command in ("compress", "elbo"):
        result = run(command, "photo.png", "-e", "5", PYTHONPATH=str(tmp_path))
        assert result.code == 1 and "need torch" in result.err.replace("needs", "need")
        assert install_hint("train") in result.err
    assert run("compress", "photo.png", "-e", "2", PYTHONPATH=str(tmp_path)).code == 0


@needs_torch
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals and terminals")
def test_a_search_shows_where_it_is_and_an_interrupt_writes_nothing(
    tmp_path: Path, photo: Path
) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("signals are ignored here, as under nohup, and so they are by the command")
    import pty  # POSIX only

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "rdae", "compress", "photo.png", "-e", "9"],
        cwd=tmp_path,
        stderr=theirs,
        env=environment({"PYTHONWARNINGS": "ignore", "COLUMNS": "120", "TERM": "xterm"}),
    ) as process:
        os.close(theirs)
        seen = ""
        until = time.monotonic() + 120
        while " left" not in seen and time.monotonic() < until:
            seen += os.read(ours, 4096).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    os.close(ours)
    assert " bpp  " in seen and " dB  " in seen and " left" in seen
    assert names(tmp_path) == ["photo.png"]


def test_elbo_shows_terms_that_add_up(run: Run, tmp_path: Path, photo: Path) -> None:
    result = run("elbo", "photo.png", "-q", "40")
    assert result.code == 0, result.err
    text = result.out.decode()
    for line in ("bits of z", "bits of y", "bits of distortion", "-ELBO, nats", "effort 2 closed"):
        assert line in text
    record = json.loads(run("elbo", "photo.png", "-q", "40", "--json").out)
    assert set(record["posteriors"]) == {"relaxed", "coded, effort 1", "coded, effort 2"}
    for terms in record["posteriors"].values():
        total = terms["z_bits"] + terms["y_bits"] + terms["distortion_bits"]
        assert terms["negative_elbo_bits"] == pytest.approx(total)
    assert run("compress", "photo.png", "-q", "40").code == 0
    bits = run("info", "photo.rd", "--json").records[0]
    coded = record["posteriors"]["coded, effort 2"]
    assert (coded["z_bits"], coded["y_bits"]) == (bits["z_bits"], bits["y_bits"])


def test_elbo_of_no_picture_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    for name in ("text.png", "missing.png", "."):
        result = run("elbo", name)
        assert result.code in (1, 2) and name in result.err
        assert "Traceback" not in result.err and len(result.err.splitlines()) <= 2


def test_info_explains_a_file(run: Run, rd: Path) -> None:
    text = run("info", "photo.rd", "--explain").out.decode()
    assert "-log2 P(z)" in text and "-log2 P(y | z)" in text
    assert "standard deviation" in text and "rdae elbo" in text


def test_a_ceiling_that_is_not_reached_is_said_with_the_reason(run: Run, photo: Path) -> None:
    result = run("compress", "photo.png", "--target-size", "5M")
    assert result.code == 0 and " q100 " in result.err
    assert "  the target is not reached: quality 100, the model's best, takes less" in result.err
    result = run("compress", "photo.png", "-f", "--target-bpp", "99", "--json")
    assert "quality 100" in result.records[0]["remarks"][0]
    assert run("compress", "photo.png", "-f", "-q", "100", "--json").records[0]["remarks"] == []


def test_a_floor_that_the_smallest_file_has_is_said(run: Run, photo: Path) -> None:
    assert " dB " in run("compress", "photo.png", "--target-psnr", "5", "-n").err
    result = run("compress", "photo.png", "--target-psnr", "5", "--json")
    record = result.records[0]
    assert bool(record["remarks"]) == (record["quality"] == 0)

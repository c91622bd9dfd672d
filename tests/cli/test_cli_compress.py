"""`rdae compress`, run as a user runs it."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rdae.scales import quality_to_point
from tests.cli.cli_runner import Run, names, pixels, save

posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX file names and links")


def test_the_file_lies_beside_the_image_and_the_line_tells_the_bits(
    run: Run, tmp_path: Path, photo: Path
) -> None:
    result = run("compress", "photo.png", "-v")
    assert (result.code, result.out) == (0, b"")
    assert names(tmp_path) == ["photo.png", "photo.rd"]
    first, second = result.err.splitlines()[:2]
    assert re.fullmatch(
        r"photo\.png → photo\.rd   \S+ k?B → \S+ k?B  "
        r"\([\d ]+ bits, [\d.]+ bpp, [\d.]+:1\)  q60  \S+ m?s",
        first,
    )
    total, *parts = [int(n.replace(" ", "")) for n in re.findall(r"\d[\d ]*\d|\d", second)]
    assert total == sum(parts) == 8 * (tmp_path / "photo.rd").stat().st_size
    assert re.fullmatch(r"  .* bits: y .* · z .* · header .* · metadata 0", second)


def test_json_has_the_same_figures(run: Run, tmp_path: Path, photo: Path) -> None:
    result = run("compress", "photo.png", "--json")
    record, summary = result.records
    size = (tmp_path / "photo.rd").stat().st_size
    assert record["schema"] == "rdae.compress/1" and record["ok"] is True
    assert record["output_bytes"] == size and record["total_bits"] == 8 * size
    kinds = ("y", "z", "header", "alpha", "metadata")
    assert sum(record[f"{kind}_bits"] for kind in kinds) == 8 * size
    assert record["bpp"] == pytest.approx(8 * size / (24 * 40), abs=1e-4)
    assert record["ratio"] == pytest.approx(photo.stat().st_size / size, abs=1e-4)
    assert record["quality"] == 60.0 and record["error"] is None
    assert summary["schema"] == "rdae.summary/1" and summary["done"] == 1
    assert result.err == ""


def test_quality_is_higher_is_better(run: Run, tmp_path: Path, photo: Path) -> None:
    sizes, psnrs = [], []
    for quality in ("10", "90"):
        result = run("compress", "photo.png", "-q", quality, "--psnr", "--json", "-f")
        sizes.append(result.records[0]["output_bytes"])
        psnrs.append(result.records[0]["psnr"])
    assert sizes[0] < sizes[1] and psnrs[0] < psnrs[1]


def test_psnr_is_that_of_the_decoded_file(run: Run, tmp_path: Path, photo: Path) -> None:
    text = run("compress", "photo.png", "--psnr").err
    run("decompress", "photo.rd", "-o", "back.png")
    decoded = np.asarray(Image.open(tmp_path / "back.png"), float)
    mse = np.mean((decoded - pixels()) ** 2)
    assert f"PSNR {10 * np.log10(255**2 / mse):.2f} dB" in text


def test_an_existing_output_is_kept(run: Run, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "photo.rd").write_bytes(b"old")
    result = run("compress", "photo.png")
    assert result.code == 1
    assert result.err.splitlines()[0] == "rdae: photo.rd: exists"
    assert result.err.splitlines()[1].startswith("hint: -f replaces it")
    assert (tmp_path / "photo.rd").read_bytes() == b"old"


def test_force_replaces_the_output(run: Run, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "photo.rd").write_bytes(b"old")
    assert run("compress", "photo.png", "-f").code == 0
    assert (tmp_path / "photo.rd").read_bytes().startswith(b"\x93RDA")


def test_skip_existing_goes_on_without_it(run: Run, tmp_path: Path, photo: Path) -> None:
    save(tmp_path / "other.png")
    (tmp_path / "photo.rd").write_bytes(b"old")
    result = run("compress", "photo.png", "other.png", "--skip-existing", "--json")
    assert result.code == 0
    assert [record.get("skipped") for record in result.records] == [True, False, 1]
    assert names(tmp_path) == ["other.png", "other.rd", "photo.png", "photo.rd"]
    assert (tmp_path / "photo.rd").read_bytes() == b"old"


def test_the_output_can_be_named(run: Run, tmp_path: Path, photo: Path) -> None:
    assert run("compress", "photo.png", "-o", "small.bin").code == 0
    assert names(tmp_path) == ["photo.png", "small.bin"]


def test_keep_suffix_keeps_two_formats_apart(run: Run, tmp_path: Path, photo: Path) -> None:
    save(tmp_path / "photo.bmp")
    assert run("compress", "photo.png", "photo.bmp").code == 2
    assert run("compress", "photo.png", "photo.bmp", "--keep-suffix").code == 0
    assert {"photo.png.rd", "photo.bmp.rd"} <= set(names(tmp_path))


def test_a_tree_is_mirrored(run: Run, tmp_path: Path) -> None:
    for folder in ("in/a", "in/b"):
        (tmp_path / folder).mkdir(parents=True)
        save(tmp_path / folder / "x.png")
    assert run("compress", "-r", "in", "--output-dir", "out").code == 0
    assert names(tmp_path / "out") == [os.path.join("a", "x.rd"), os.path.join("b", "x.rd")]


def test_files_of_a_folder_that_are_not_taken_are_counted(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder / "x.png")
    for name in ("a.txt", "b.TXT", "raw.nef", ".hidden"):
        (folder / name).write_bytes(b"text")
    (folder / "link.png").symlink_to(folder / "x.png")
    result = run("compress", "-r", "in", "--output-dir", "out")
    assert result.code == 0
    words = "left out 4 files: .txt (2), symbolic links (1), .nef (1)"
    assert sorted(result.err.splitlines()[-1].split()) == sorted(words.split())
    assert "left out" not in run("compress", "-r", "in", "--output-dir", "out", "-f", "--quiet").err


def test_a_dry_run_shows_sizes_and_writes_nothing(run: Run, tmp_path: Path, photo: Path) -> None:
    result = run("compress", "photo.png", "-n", "--output-dir", "out")
    assert result.code == 0
    assert "bpp" in result.err and "not written (dry run)" in result.err
    assert names(tmp_path) == ["photo.png"] and not (tmp_path / "out").exists()


def test_pipes_work_on_both_sides(run: Run, photo: Path) -> None:
    result = run("compress", "-", stdin=photo.read_bytes())
    assert result.code == 0 and result.out.startswith(b"\x93RDA")
    assert result.err.startswith("stdin → stdout ")
    back = run("decompress", "-", stdin=result.out)
    assert back.code == 0 and back.out.startswith(b"\x89PNG")


def test_a_pipe_can_be_named(run: Run, tmp_path: Path, photo: Path) -> None:
    assert run("compress", "-", "-o", "x.rd", stdin=photo.read_bytes()).code == 0
    again = run("compress", "-", "-o", "x.rd", stdin=photo.read_bytes())
    assert again.code == 1 and again.err.startswith("rdae: x.rd: exists\nhint: -f replaces it")
    assert names(tmp_path) == ["photo.png", "x.rd"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/stdout")
def test_dev_stdout_is_standard_output(run: Run, photo: Path) -> None:
    result = run("compress", "photo.png", "-o", "/dev/stdout", "--quiet")
    assert result.out.startswith(b"\x93RDA") and result.err == ""


def test_quiet_prints_nothing_but_errors(run: Run, photo: Path) -> None:
    assert run("compress", "photo.png", "--quiet").err == ""
    assert run("compress", "photo.png", "--quiet").err.startswith("rdae: photo.rd: exists")


def test_verbose_names_model_and_memory(run: Run, photo: Path) -> None:
    text = run("compress", "photo.png", "-v").err
    assert "40x24 RGB" in text and f"quality point {quality_to_point(60)} of 255" in text
    assert "peak memory" in text or os.name == "nt"


def test_twice_verbose_adds_a_log_with_module_names(run: Run, photo: Path) -> None:
    text = run("compress", "photo.png", "-vv").err
    assert re.search(r"^\d+ ms  rdae\.cli\.compression: encoded \d+ bytes$", text, re.MULTILINE)
    assert "rdae.cli." in run("compress", "photo.png", "-f", RDAE_LOG="debug").err
    assert "rdae.cli." not in run("compress", "photo.png", "-f", "-v").err


def test_preserve_takes_over_time_and_mode(run: Run, tmp_path: Path, photo: Path) -> None:
    os.utime(photo, ns=(10**18, 10**18))
    photo.chmod(0o600)
    assert run("compress", "photo.png", "-p").code == 0
    status = (tmp_path / "photo.rd").stat()
    assert status.st_mtime_ns == 10**18
    assert os.name == "nt" or status.st_mode & 0o777 == 0o600


def test_a_list_names_the_files(run: Run, tmp_path: Path, photo: Path) -> None:
    save(tmp_path / "b c.png")
    assert run("compress", "--files-from", "-", stdin=b"photo.png\nb c.png\n").code == 0
    assert names(tmp_path) == ["b c.png", "b c.rd", "photo.png", "photo.rd"]


def test_metadata_is_kept_reported_and_stripped(run: Run, tmp_path: Path) -> None:
    image = Image.fromarray(pixels())
    exif = Image.Exif()
    exif[0x010E] = "a description " * 20
    image.save(tmp_path / "photo.jpg", exif=exif, icc_profile=b"profile" * 40)
    kept = run("compress", "photo.jpg", "--json").records[0]
    stripped = run("compress", "photo.jpg", "--json", "-f", "--strip", "exif").records[0]
    bare = run(
        *("compress", "photo.jpg", "--json", "-f", "--strip", "all", "--strip", "icc")
    ).records[0]
    assert kept["metadata_bits"] > stripped["metadata_bits"] > bare["metadata_bits"] == 0


def test_alpha_is_counted_apart(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "a.png", channels=4)
    result = run("compress", "a.png", "-v")
    assert " · alpha " in result.err


def test_one_bad_file_does_not_stop_the_others(run: Run, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"not an image")
    save(tmp_path / "z.png")
    result = run("compress", "photo.png", "broken.png", "gone.png", "z.png")
    assert result.code == 1
    assert "rdae: broken.png: unsupported-image: " in result.err
    assert "rdae: gone.png: no such file or directory" in result.err
    assert result.err.splitlines()[-1].startswith("2 of 4 compressed · ")
    assert result.err.splitlines()[-1].endswith(" · 2 failed")
    assert {"photo.rd", "z.rd"} <= set(names(tmp_path))


def test_json_records_have_the_same_keys_for_good_and_bad(
    run: Run, tmp_path: Path, photo: Path
) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    good, bad, summary = run("compress", "photo.png", "empty.png", "--json").records
    assert set(good) == set(bad)
    assert bad["ok"] is False and bad["error"]["code"] == "unsupported-image"
    assert set(bad["error"]) == {"code", "message", "hint"}
    assert summary["ok"] is False and summary["failed"] == 1


def test_fail_fast_stops(run: Run, tmp_path: Path, photo: Path) -> None:
    assert run("compress", "gone.png", "photo.png", "--fail-fast").code == 1
    assert names(tmp_path) == ["photo.png"]


def test_a_folder_needs_recursion(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    result = run("compress", "folder")
    assert result.code == 1
    assert result.err == "rdae: folder: is a directory\nhint: -r takes the files in it\n"


def test_too_many_pixels_are_refused(run: Run, tmp_path: Path, photo: Path) -> None:
    result = run("compress", "photo.png", "--max-pixels", "959")
    assert result.code == 1 and "too-large" in result.err
    assert run("compress", "photo.png", "--max-pixels", "960").code == 0


def test_names_with_spaces_and_signs(run: Run, tmp_path: Path) -> None:
    name = "a b ü→😀 'q'.png"
    save(tmp_path / name)
    assert run("compress", name).code == 0
    assert (tmp_path / name).with_suffix(".rd").exists()


def test_a_name_with_a_leading_dash(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "-q.png")
    assert run("compress", "--", "-q.png").code == 0
    assert names(tmp_path) == ["-q.png", "-q.rd"]


@pytest.mark.skipif(sys.platform != "linux", reason="file systems that take any bytes as a name")
def test_a_name_that_is_not_unicode(run: Run, tmp_path: Path, photo: Path) -> None:
    photo.rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    result = run("compress", b"caf\xe9.png", "--json")
    assert result.code == 0
    record = json.loads(result.out.splitlines()[0])
    assert os.fsencode(record["output"]) == b"caf\xe9.rd"
    assert "caf\\xe9.rd: exists" in run("compress", b"caf\xe9.png").err
    assert run("decompress", b"caf\xe9.rd", PYTHONIOENCODING="ascii").code == 0


@posix_only
def test_the_input_is_never_the_output(run: Run, tmp_path: Path, photo: Path) -> None:
    before = photo.read_bytes()
    (tmp_path / "link.rd").symlink_to("photo.png")
    for output in ("photo.png", "./photo.png", "link.rd"):
        result = run("compress", "photo.png", "-f", "-o", output)
        assert result.code == 2 and "this output is the input" in result.err
    assert photo.read_bytes() == before


@posix_only
def test_threads_come_from_the_environment_and_do_not_change_the_file(
    run: Run, tmp_path: Path, photo: Path
) -> None:
    for number in ("1", "2"):
        assert run("compress", "photo.png", "-o", f"{number}.rd", RDAE_THREADS=number).code == 0
    assert (tmp_path / "1.rd").read_bytes() == (tmp_path / "2.rd").read_bytes()
    result = run("compress", "photo.png", RDAE_THREADS="many")
    assert result.code == 2
    assert result.err.startswith("rdae: RDAE_THREADS takes a whole number, not many\n")


@posix_only
def test_own_weights_are_found(run: Run, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("compress", "photo.png", RDAE_WEIGHTS_DIR="empty").code == 0


def test_one_pixel_is_a_picture(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "dot.png", height=1, width=1)
    assert run("compress", "dot.png").code == 0
    assert "1x1 RGB" in run("decompress", "dot.rd", "-o", "x.png").err


@pytest.mark.parametrize(
    ("option", "mode", "frames"),
    [("--to-8bit", "I;16", 1), ("--to-srgb", "CMYK", 1), ("--first-frame", "RGB", 2)],
)
def test_a_refusal_names_the_option_that_takes_the_picture(
    run: Run, tmp_path: Path, option: str, mode: str, frames: int
) -> None:
    page = Image.new(mode, (20, 10))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page] * (frames - 1))
    refused = run("compress", "a.tif")
    assert refused.code == 1
    assert f"hint: {option} " in refused.err and "Python" not in refused.err
    assert names(tmp_path) == ["a.tif"]
    assert run("compress", "a.tif", option).code == 0
    assert names(tmp_path) == ["a.rd", "a.tif"]


def test_the_options_count_for_standard_input_too(run: Run, tmp_path: Path) -> None:
    Image.new("I;16", (8, 8)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    assert run("compress", "-", stdin=data).code == 1
    assert run("compress", "-", "--to-8bit", stdin=data).code == 0


def test_a_picture_that_another_format_keeps_better_is_said(
    run: Run, tmp_path: Path, photo: Path
) -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "small.png")
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "large.bmp")
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.bmp")
    advice = ": --lossless keeps every pixel"
    first, second = run("compress", "small.png").err.splitlines()
    assert second.startswith("  larger than the input and than its lossless form of about ")
    assert second.endswith(advice) and "PSNR" not in first
    first, second = run("compress", "large.bmp", "-q", "30", "-f").err.splitlines()
    assert second.startswith("  larger than its lossless form") and second.endswith(advice)
    first, second = run("compress", "noise.bmp", "-q", "30").err.splitlines()
    assert second.startswith("  PSNR is only ") and second.endswith(advice)
    assert run("compress", "small.png", "-f", "--json").records[0]["remarks"]
    assert len(run("compress", "photo.png").err.splitlines()) == 1

"""What `rdae eval` is given: pictures that are damaged, some of many, or none."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from rdae.cli.eval_inputs import read_codecs
from tests.cli.cli_runner import InProcess, environment, names, run_rdae, save

CHEAP = ("--metric", "psnr", "--no-report")


def test_damage_of_the_dataset_is_said_and_the_rest_is_done(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    arguments = ("-q", "50", "--against", "", "-o", "out")
    result = run_rdae(tmp_path, "eval", "good.png", "bad.png", "gone.png", *arguments, *CHEAP)
    assert result.code == 1
    assert "rdae: bad.png: unsupported-image: " in result.err
    assert "rdae: gone.png: no such file or directory\n" in result.err
    assert "rdae is not comparable in psnr: 1 point, 4 are needed" in result.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [image["image"] for image in summary["dataset"]["images"]] == ["good"]
    assert [bad["path"] for bad in summary["unreadable"]] == ["bad.png", "gone.png"]


def test_a_part_of_the_pictures_is_called_one(call: InProcess, tmp_path: Path) -> None:
    """With --quick four of six are measured, and only with all of them is it "photos"."""
    (tmp_path / "photos").mkdir()
    for number in range(6):
        save(tmp_path / "photos" / f"{number}.png", width=24 + number)
    quick = ("--quick", "-q", "50", "--against", "", "--metric", "psnr")
    code, printed, _ = call("eval", "photos", *quick, "-o", "out")
    assert code == 0 and printed.startswith("photos: 4 of 6 images, ")
    if find_spec("matplotlib"):
        page = (tmp_path / "out/report.html").read_text()
        assert "<title>rdae on 4 of 6 images of photos</title>" in page


def test_a_first_look_has_four_points_where_there_are_as_many() -> None:
    for given, found in (
        ("10:60:10", (20, 30, 40, 50)),
        ("10:50:10", (10, 20, 40, 50)),  # without the ends these would be too few for a BD-rate
        ("10:40:10", (10, 20, 30, 40)),
        ("50", (50,)),
    ):
        (codec,) = read_codecs(None, given, "", quick=True)
        assert codec.qualities == found


def test_a_codec_that_is_named_twice_has_the_qualities_of_both() -> None:
    _, webp = read_codecs(None, "50", "webp:quality=20,webp:quality=40/20", quick=False)
    assert list(webp.qualities) == [20, 40]
    _, webp = read_codecs(None, None, "webp:quality=1/2/3/4/5,webp:quality=6/7/8", quick=True)
    assert len(list(webp.qualities)) == 4
    _, plain = read_codecs(None, "50", "webp", quick=False)
    for both in ("webp,webp:quality=41", "webp:quality=41,webp"):
        ours, webp = read_codecs(None, "50", f"{both},rdae", quick=False)
        assert set(webp.qualities) == {*plain.qualities, 41}
        assert ours.qualities == (50,)


def test_a_folder_without_pictures_or_results(call: InProcess, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, said = call("eval", "empty", "-o", "out")
    assert code == 1 and "empty: holds no file to work on" in said and "left out" not in said
    assert said.endswith("rdae: there is no picture to evaluate\n")
    code, _, said = call("eval", "--plot-only", "empty")
    assert code == 1 and "empty holds no evaluation" in said
    assert names(tmp_path) == []


def test_what_is_no_picture_in_a_folder_is_counted(call: InProcess, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links/photo.png").symlink_to(save(tmp_path / "photo.png"))
    (tmp_path / "links/a.svg").touch()
    code, _, said = call("eval", "links", "-o", "out")
    assert code == 1 and said.startswith("left out 2 files: .svg (1), symbolic links (1)\n")


def test_help_imports_nothing_of_it(tmp_path: Path) -> None:
    program = (
        "import sys; from rdae.cli.main import main; sys.argv[0] = 'rdae'; main(); "
        "print('\\n'.join(sys.modules), file=sys.__stderr__)"
    )
    for command in ("eval", "compare"):
        done = subprocess.run(
            [sys.executable, "-c", program, command, "-h"],
            capture_output=True,
            text=True,
            env=environment(),
            check=True,
        )
        loaded = set(done.stderr.split())
        assert not loaded & {"numpy", "PIL.Image", "matplotlib", "rdae.evaluation"}
        assert f"    rdae {command} " in done.stdout

"""Exact files with a lossy picture first, in Python, Pillow, the command, elbo and eval."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import rdae
import rdae.pillow_plugin
from rdae.bitstream.info import parse_info
from rdae.codec import decode
from rdae.evaluation.codecs import parse_spec
from rdae.evaluation.protocol import SpecError
from rdae.images.picture import Picture

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def small(crop: Pixels) -> Picture:
    return Picture(np.ascontiguousarray(crop[:50, :70]), None, False)


def test_python_and_pillow_know_the_base(small: Picture, tmp_path: Path) -> None:
    data = rdae.compress(small.rgb, lossless=True, base=30)
    blurred = rdae.compress(small.rgb, quality=30)
    assert np.array_equal(np.asarray(rdae.decompress(data)), small.rgb)
    first = rdae.decompress(data, lossy=True)
    assert first.tobytes() == rdae.decompress(blurred).tobytes()
    assert rdae.decompress(blurred, lossy=True).tobytes() == first.tobytes()
    assert rdae.verify(data).base_quality == 30
    rdae.register_pillow()
    file = io.BytesIO()
    Image.fromarray(small.rgb).save(file, "RDAE", lossless=True, base=30)
    assert file.getvalue() == data
    with Image.open(file) as image:
        assert np.array_equal(np.asarray(image), small.rgb)
    for wishes in ({"base": 30}, {"base": 30, "quality": 40}, {"base": 30, "lossless": "auto"}):
        with pytest.raises(ValueError, match="base goes with"):
            rdae.compress(small.rgb, **wishes)
    with pytest.raises(TypeError, match="base must be a number"):
        rdae.compress(small.rgb, base="30", lossless=True)  # type: ignore[arg-type]


def test_the_command_writes_and_reads_both(
    small: Picture, call: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    Image.fromarray(small.rgb).save(tmp_path / "x.png")
    code, _, err = call("compress", "x.png", "--lossless", "--base", "30", "-v")
    assert code == 0 and "lossless on q30" in err and "quality point" in err and "z " in err
    data = (tmp_path / "x.rd").read_bytes()
    assert data == rdae.compress(small.rgb, lossless=True, base=30)
    for flags, wanted in (((), small.rgb), (("--lossy",), decode(data, lossy=True).rgb)):
        assert call("decompress", "x.rd", "-o", "y.png", "-f", *flags)[0] == 0
        with Image.open(tmp_path / "y.png") as image:
            assert np.array_equal(np.asarray(image), wanted)
    assert call("verify", "x.rd")[0] == 0
    (tmp_path / "broken.rd").write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    code, _, err = call("verify", "broken.rd")
    assert code == 1 and "--best-effort saves what is left" in err
    info = parse_info(data)
    code, out, _ = call("info", "x.rd", "--explain")
    rate, rest = 8 * (info.z_bytes + info.y_bytes), 8 * info.pixel_bytes
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    for term, bits in (("H(z)", rate), ("H(x|z)", rest), ("sum", rate + rest)):
        assert f" {bits:_} ".replace("_", " ") in lines[term]
    record = json.loads(call("info", "x.rd", "--json")[1].splitlines()[0])
    assert record["lossless"] and record["base_quality"] == 30
    assert (record["model"], record["exact_model"]) == ("photo", "lossless")
    assert record["y_bits"] + record["z_bits"] == rate and record["pixel_bits"] == rest
    code, _, err = call("compress", "x.png", "-o", "z.rd", "--lossless=auto", "--base", "30")
    assert code == 2 and "--base and --lossless=auto exclude each other" in err
    data = rdae.compress(small.rgb, max_error=2, base=30)
    (tmp_path / "near.rd").write_bytes(data)
    out = call("info", "near.rd", "--explain")[1]
    assert out.count("none further off than 2") == 2 and "exact pixels" not in out
    out = call("compress", "x.png", "-o", "plain.rd", "--max-error", "2", "--json")[1]
    record = json.loads(out.splitlines()[0])
    assert (record["lossless"], record["max_error"]) == (True, 2)
    assert "ones; none further off than 2" in call("info", "plain.rd", "--explain")[1]
    drawn = rdae.compress(np.zeros((40, 40, 3), np.uint8), lossless=True, base=30)
    (tmp_path / "drawn.rd").write_bytes(drawn)
    out = call("info", "drawn.rd", "--explain")[1]
    assert "makes no use of that picture" in out and "given that" not in out
    for wrong in (("-q", "9", "--base", "30"), ("--base", "30"), ("--lossless", "--base", "101")):
        assert call("compress", "x.png", "-o", "z.rd", *wrong)[0] == 2
    assert call("decompress", "x.rd", "--lossy", "--rm")[0] == 2


def test_elbo_codes_x_given_z(
    small: Picture, call: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    Image.fromarray(small.rgb).save(tmp_path / "x.png")
    info = parse_info(rdae.compress(small.rgb, lossless=True, base=50))
    code, out, _ = call("elbo", "x.png", "-q", "50", "--draws", "1", "--json")
    terms = json.loads(out)["posteriors"]
    last = terms["coded, effort 2"]
    assert code == 0 and terms["relaxed"]["exact_bits"] is None
    assert last["exact_bits"] == 8 * info.pixel_bytes
    assert last["z_bits"] + last["y_bits"] == 8 * (info.z_bytes + info.y_bytes)
    rate, rest = 8 * (info.z_bytes + info.y_bytes), 8 * info.pixel_bytes
    out = call("elbo", "x.png", "-q", "50", "--draws", "1")[1]
    said = f"H(z) {rate:_} + H(x|z) {rest:_} = {rate + rest:_} bits"
    assert said.replace("_", " ") in out


def test_eval_takes_a_base(small: Picture) -> None:
    codec = parse_spec("rdae-lossless:base=40")
    assert codec.name == "rdae-lossless:base=40" and "photo" in codec.settings
    data = codec.encode(small.rgb, 100)
    assert parse_info(data).base_quality == 40 and np.array_equal(codec.decode(data), small.rgb)
    for wrong in ("many", "101"):
        with pytest.raises(SpecError, match="base"):
            parse_spec(f"rdae-lossless:base={wrong}")

"""imageio reaches .rd files through its Pillow plugin, once Pillow knows the format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rdae

iio = pytest.importorskip("imageio.v3")


@pytest.fixture(autouse=True)
def registered() -> None:
    rdae.register_pillow()


def test_imageio_writes_and_reads_rd_files(crop, tmp_path):
    path = tmp_path / "x.rd"
    iio.imwrite(path, crop, quality=70)
    assert path.read_bytes() == rdae.compress(crop, quality=70)
    pixels = iio.imread(path)
    assert np.array_equal(pixels, np.asarray(rdae.decompress(path.read_bytes())))
    assert np.array_equal(iio.imread(path.read_bytes()), pixels)


def test_imageio_keeps_grey_and_alpha(crop, tmp_path):
    for source in (crop[..., 0], np.dstack([crop, crop[..., 0]])):
        iio.imwrite(tmp_path / "x.rd", source)
        assert iio.imread(tmp_path / "x.rd").shape == source.shape


def test_imageio_knows_shape_and_metadata_without_decoding(crop, tmp_path, monkeypatch):
    path = tmp_path / "x.rd"
    path.write_bytes(rdae.compress(crop))
    monkeypatch.setattr("rdae.pillow_plugin.decode", lambda *_: pytest.fail("it was decoded"))
    assert iio.improps(path).shape == crop.shape
    assert iio.immeta(path)["mode"] == "RGB"


def test_imageio_reports_a_damaged_file(crop, tmp_path):
    path: Path = tmp_path / "x.rd"
    path.write_bytes(rdae.compress(crop)[:-9])
    with pytest.raises(OSError, match="needs"):
        iio.imread(path)

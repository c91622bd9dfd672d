"""Datasets: their names, what is no fair source, and transparency."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from PIL import Image as Pillow

from rdae.evaluation import dataset, runner
from rdae.evaluation.codecs import parse_spec
from rdae.evaluation.metrics import Metric
from rdae.images.picture import Picture


def test_pictures_that_are_no_fair_sources_are_marked(photo: Picture, tmp_path: Path) -> None:
    small = Pillow.fromarray(photo.rgb[:40, :50])
    kinds = {"a.png": "", "b.jpg": "JPEG", "c.webp": "lossy WebP", "d.webp": "", "e.tif": ""}
    images = []
    for name, kind in kinds.items():
        small.save(tmp_path / name, lossless=name == "d.webp")
        images.append(dataset.read_image(tmp_path / name, name))
        assert images[-1].lossy == kind
    found = dataset.warnings([*images, images[0]], {"m": {"photo_sha256": [images[4].sha256]}})
    assert found == [
        "1 of 6 pictures is a JPEG file, whose artefacts count as detail",
        "1 of 6 pictures is a lossy WebP file, whose artefacts count as detail",
        "1 of 6 pictures is a copy of another",
        "m was trained on 1 of these pictures: e.tif",
    ]


def test_lossy_files_are_known_behind_what_else_they_hold(photo: Picture, tmp_path: Path) -> None:
    small = Pillow.fromarray(photo.rgb[:40, :50])
    half = small.copy()
    half.putalpha(128)
    path = tmp_path / "picture.webp"
    for picture, lossless, kind in (
        (small, False, "lossy WebP"),
        (small, True, ""),
        (half, False, "lossy WebP"),
        (half, True, ""),
    ):
        picture.save(path, lossless=lossless, icc_profile=b"a profile", exif=b"Exif\0\0")
        assert dataset.read_image(path, "picture").lossy == kind
    image = dataset.read_image(path, "picture")
    found = [dataclasses.replace(image, lossy=kind, sha256=kind) for kind in ("AVIF", "HEIC")]
    assert dataset.warnings(found, {}) == [
        "1 of 2 pictures is an AVIF file, whose artefacts count as detail",
        "1 of 2 pictures is a HEIC file, whose artefacts count as detail",
    ]


def test_heic_files_are_lossy(photo: Picture, tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / "picture.heic"
    Pillow.fromarray(photo.rgb[:40, :50]).save(path)
    assert dataset.read_image(path, "picture").lossy == "HEIC"


def test_transparency_is_noticed_where_there_is_any(tmp_path: Path) -> None:
    Pillow.new("RGBA", (9, 9), (1, 2, 3, 255)).save(tmp_path / "opaque.png")
    Pillow.new("RGBA", (9, 9), (1, 2, 3, 254)).save(tmp_path / "clear.png")
    opaque = dataset.read_image(tmp_path / "opaque.png", "o")
    clear = dataset.read_image(tmp_path / "clear.png", "c")
    assert (opaque.alpha, clear.alpha) == (False, True)
    codecs = [
        parse_spec(spec) for spec in ("jpeg:quality=50", "webp:quality=50", "rdae:quality=50")
    ]
    jobs = runner.plan([opaque, clear], codecs, (Metric("psnr"),))
    assert [(job.image.image, job.codec) for job in jobs] == [
        *(("o", "jpeg"), ("o", "webp"), ("o", "rdae"), ("c", "webp"), ("c", "rdae"))
    ]


def test_names_are_short_and_unique() -> None:
    paths = [Path("a/x.png"), Path("b/x.png"), Path("b/y.png")]
    assert dataset.short_names(paths) == ["a/x.png", "b/x.png", "y"]

"""rdae as a format of Pillow: opened lazily, saved with Pillow's keywords, failing in its ways."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile, ImageOps, ImageSequence, UnidentifiedImageError

import rdae
from rdae import pillow_plugin
from rdae.bitstream.header import read_header
from rdae.bitstream.varint import ByteReader
from rdae.errors import DamageWarning

ICC = b"not really a profile" * 20
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">words</x:xmpmeta>'


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Pillow knows the format during these tests and no longer."""
    rdae.register_pillow()
    yield
    Image.ID.remove("RDAE")
    for table, key in ((Image.OPEN, "RDAE"), (Image.SAVE, "RDAE"), (Image.MIME, "RDAE")):
        del table[key]
    del Image.EXTENSION[".rd"]


@pytest.fixture
def crop(photo) -> np.ndarray:
    """A 80x120 detail, smaller than that of the other tests."""
    return np.ascontiguousarray(photo.rgb[170:250, 260:380])


@pytest.fixture
def rd(crop, tmp_path) -> Path:
    path = tmp_path / "crop.rd"
    path.write_bytes(rdae.compress(crop, quality=60))
    return path


@pytest.fixture
def no_decoding(monkeypatch) -> None:
    for name in ("decode", "rescue", "find_damage"):
        monkeypatch.setattr(pillow_plugin, name, lambda *_, **__: pytest.fail("it was decoded"))


def exif_of(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def saved(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "RDAE", **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(rdae.decompress(data))


# ----------------------------------------------------------------------------------------- opening


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_opening_tells_size_mode_and_info_without_decoding(crop, mode, no_decoding):
    image = Image.fromarray(crop).convert(mode)
    image.info.update(icc_profile=ICC, exif=exif_of().tobytes(), xmp=XMP)
    again = opened(rdae.compress(image))
    assert (again.format, again.mode, again.size) == ("RDAE", mode, (120, 80))
    assert isinstance(again, ImageFile.ImageFile)
    assert again.get_format_mimetype() == "image/x-rdae"
    assert again.info["icc_profile"] == ICC and again.info["xmp"] == XMP
    assert again.getexif()[ExifTags.Base.Make] == "Maker"


class Counting(io.BytesIO):
    """A file that counts the bytes that are read of it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_opening_reads_the_front_of_the_file_only(photo):
    file = Counting(rdae.compress(photo.rgb, quality=95))
    length = len(file.getvalue())
    assert length > 40_000
    image = Image.open(file)
    assert file.count < 25_000  # some of it by other formats, which look at the file first
    image.load()
    assert file.count > length


def test_metadata_that_is_longer_than_the_first_read_is_found(crop):
    image = Image.fromarray(crop)
    image.info["icc_profile"] = np.random.default_rng(0).bytes(200_000)
    again = opened(rdae.compress(image))
    assert again.info["icc_profile"] == image.info["icc_profile"]


def test_the_pixels_are_those_of_decompress(rd):
    with Image.open(rd) as image:
        assert np.array_equal(np.asarray(image), pixels(rd.read_bytes()))
        assert image.getpixel((3, 4)) == rdae.decompress(rd.read_bytes()).getpixel((3, 4))


def test_loading_closes_a_file_that_pillow_opened_and_leaves_others_open(rd):
    image = Image.open(rd)
    file = image.fp
    assert file is not None
    image.load()
    assert file.closed and image.fp is None
    image.load()
    with rd.open("rb") as own:
        Image.open(own).load()
        assert not own.closed


def test_a_file_object_is_read_from_its_beginning_and_a_stream_to_its_end(rd):
    data = rd.read_bytes()
    file = io.BytesIO(data)
    file.seek(7)
    assert Image.open(file).size == (120, 80)

    class Stream(io.RawIOBase):
        source = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self.source.read(size)

    assert np.array_equal(np.asarray(Image.open(io.BufferedReader(Stream()))), pixels(data))


def test_bytes_that_come_piece_by_piece_make_an_image(rd):
    data = rd.read_bytes()
    parser = ImageFile.Parser()
    for start in range(0, len(data), 500):
        parser.feed(data[start : start + 500])
    assert np.array_equal(np.asarray(parser.close()), pixels(data))


def test_an_opened_image_does_all_that_images_do(rd):
    data = rd.read_bytes()
    wanted = rdae.decompress(data)
    image = opened(data)
    assert image.draft("L", (10, 10)) is None
    image.thumbnail((60, 60))
    wanted.thumbnail((60, 60))
    assert image.size == (60, 40) and image.tobytes() == wanted.tobytes()

    wanted = rdae.decompress(data)
    for operation in (
        lambda im: im.convert("L"),
        lambda im: im.crop((10, 20, 50, 60)),
        lambda im: im.resize((33, 44)),
        lambda im: im.copy(),
        lambda im: im.transpose(Image.Transpose.ROTATE_90),
        lambda im: ImageOps.exif_transpose(im),
        lambda im: pickle.loads(pickle.dumps(im)),
        lambda im: im.split()[1],
    ):
        assert operation(opened(data)).tobytes() == operation(wanted).tobytes()
    frames = list(ImageSequence.Iterator(opened(data)))
    assert len(frames) == 1
    with pytest.raises(EOFError):
        opened(data).seek(1)
    changed = opened(data)
    changed.putpixel((0, 0), (1, 2, 3))
    assert changed.getpixel((0, 0)) == (1, 2, 3)


def test_an_opened_image_can_be_compressed_anew(rd):
    image = opened(rd.read_bytes())
    assert rdae.compress(image, quality=30) == rdae.compress(pixels(rd.read_bytes()), quality=30)


# ------------------------------------------------------------------------------------------ saving


def test_saving_writes_what_compress_returns(crop, tmp_path):
    image = Image.fromarray(crop)
    image.save(tmp_path / "a.rd", quality=70)
    assert (tmp_path / "a.rd").read_bytes() == rdae.compress(crop, quality=70)
    assert saved(image) == rdae.compress(crop)
    assert saved(image, quality=12.5, model="photo") == rdae.compress(crop, quality=12.5)
    image.save(tmp_path / "B.RD")
    assert (tmp_path / "B.RD").read_bytes() == rdae.compress(crop)


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [("1", "L"), ("L", "L"), ("LA", "LA"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGBA")],
)
def test_the_modes_that_rdae_holds_are_saved(crop, mode, wanted):
    image = Image.fromarray(crop).convert(mode)
    assert opened(saved(image)).mode == wanted
    assert opened(saved(image)).convert(wanted).size == image.size


@pytest.mark.parametrize("mode", ["CMYK", "I;16", "I", "F", "HSV", "LAB", "YCbCr"])
def test_other_modes_are_refused_as_pillow_does(mode, tmp_path):
    with pytest.raises(OSError, match="cannot write as RDAE"):
        Image.new(mode, (8, 8)).save(tmp_path / "x.rd")
    assert not (tmp_path / "x.rd").exists()


def test_metadata_is_written_as_pillow_does(crop):
    image = Image.fromarray(crop)
    image.info.update(icc_profile=ICC, exif=exif_of().tobytes(), xmp=XMP)
    info = rdae.decompress(saved(image)).info
    assert info == {"icc_profile": ICC}  # what the image has of the others must be passed
    assert rdae.decompress(saved(image, icc_profile=None)).info == {}
    passed = rdae.decompress(saved(image, exif=exif_of(), xmp=XMP, icc_profile=b"another"))
    assert passed.info == {
        "icc_profile": b"another",
        "exif": exif_of().tobytes(),
        "xmp": XMP,
    }
    for exif in (exif_of().tobytes(), exif_of().tobytes()[6:]):
        assert rdae.decompress(saved(image, exif=exif)).getexif()[ExifTags.Base.Make] == "Maker"
    assert rdae.decompress(saved(image, xmp=XMP.decode())).info["xmp"] == XMP
    assert "exif" not in rdae.decompress(saved(image, exif=b"")).info


def test_an_orientation_that_is_passed_turns_the_picture_as_a_viewer_would(crop):
    image = Image.fromarray(crop)
    turned = rdae.decompress(saved(image, quality=90, exif=exif_of(6)))
    image.info["exif"] = exif_of(6).tobytes()
    upright = ImageOps.exif_transpose(image)
    assert turned.size == upright.size == (80, 120)
    assert np.abs(np.asarray(turned, int) - np.asarray(upright)).mean() < 10
    assert turned.getexif()[ExifTags.Base.Orientation] == 1


def test_a_transparent_colour_becomes_alpha(crop):
    image = Image.fromarray(crop)
    image.info["transparency"] = tuple(crop[5, 6])
    alpha = np.asarray(rdae.decompress(saved(image)))[..., 3]
    assert alpha[5, 6] == 0 and alpha.max() == 255


def test_every_frame_of_an_animation_can_be_saved_by_itself(tmp_path):
    frames = [Image.new("L", (20, 20), level) for level in (200, 120, 50)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "x.gif") as moving:
        for frame, wanted in zip(ImageSequence.Iterator(moving), (200, 120, 50), strict=True):
            level = np.asarray(rdae.decompress(saved(frame)).convert("L"), int)
            assert np.abs(level - wanted).max() <= 10


def test_keywords_that_mean_nothing_are_refused_by_name(crop, tmp_path):
    image = Image.fromarray(crop)
    with pytest.raises(TypeError, match="no keyword optimize, subsampling; it takes quality, "):
        image.save(tmp_path / "x.rd", optimize=True, subsampling="4:2:0")
    assert not (tmp_path / "x.rd").exists()
    assert saved(image, lossless=False) == saved(image)


@pytest.mark.parametrize("name", ["exif", "icc_profile", "xmp"])
def test_metadata_that_are_no_bytes_are_refused_by_name(crop, name):
    with pytest.raises(TypeError, match=f"takes bytes as {name}, not an object of type dict"):
        saved(Image.fromarray(crop), **{name: {"x": 1}})  # as getxmp() returns


def test_lossless_is_lossless(crop):
    data = saved(Image.fromarray(crop), lossless=True)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image), crop)


def test_a_wrong_quality_or_model_leaves_no_file(crop, tmp_path):
    image = Image.fromarray(crop)
    for quality in (-1, 101, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 100"):
            saved(image, quality=quality)
    with pytest.raises(OSError, match="no model none"):
        image.save(tmp_path / "x.rd", model="none")
    assert not (tmp_path / "x.rd").exists()


def test_the_keywords_of_compress_are_handed_on(crop):
    image = Image.fromarray(crop)
    assert saved(image, target_size=1000) == rdae.compress(crop, target_size=1000)
    assert saved(image, effort=1, threads=1) == rdae.compress(crop, effort=1)
    with pytest.raises(OSError, match="cannot write as RDAE"):
        saved(image, target_size=10)
    levels = np.arange(0, 64 * 64 * 16, 16, np.uint16).reshape(64, 64)
    deep = Image.fromarray(levels)
    assert saved(deep, to_8bit=True) == rdae.compress(deep, to_8bit=True)
    cmyk = image.convert("CMYK")
    assert saved(cmyk, to_srgb=True) == rdae.compress(cmyk, to_srgb=True)


def test_a_file_can_be_saved_over_itself(rd):
    wanted = rdae.compress(pixels(rd.read_bytes()), quality=20)
    Image.open(rd).save(rd, quality=20)
    assert rd.read_bytes() == wanted


# ------------------------------------------------------------------------- errors and registering


def test_registering_twice_is_the_same_as_once():
    Image.init()
    before = list(Image.ID), dict(Image.OPEN), dict(Image.SAVE), Image.registered_extensions()
    rdae.register_pillow()
    assert before == (Image.ID, Image.OPEN, Image.SAVE, Image.registered_extensions())
    assert Image.ID.count("RDAE") == 1
    assert Image.registered_extensions()[".rd"] == "RDAE"


def test_other_files_are_not_identified_and_others_formats_still_open(tmp_path, crop):
    path = tmp_path / "x.rd"
    for content in (b"", b"\x93RD", b"words " * 9, b"\\title{R documentation}\n" * 5):
        path.write_bytes(content)
        with pytest.raises(UnidentifiedImageError):
            Image.open(path)
    with pytest.raises(SyntaxError):
        pillow_plugin.RdaeImageFile(io.BytesIO(b"words"))
    Image.fromarray(crop).save(path, "PNG")
    with Image.open(path) as image:
        assert image.format == "PNG"


def test_a_header_that_is_cut_or_damaged_is_not_identified_and_says_why(rd):
    data = rd.read_bytes()
    header = len(read_header(ByteReader(data)).pack_with_check())
    for length in range(4, header):
        with pytest.raises(UnidentifiedImageError, match="needs"):
            opened(data[:length])
    for position in range(4, header):
        damaged = bytearray(data)
        damaged[position] ^= 0x20
        with pytest.raises(UnidentifiedImageError, match=r"checksum|version"):
            opened(bytes(damaged))


def test_a_file_that_is_cut_behind_its_header_opens_and_fails_to_load(rd):
    data = rd.read_bytes()
    header = len(read_header(ByteReader(data)).pack_with_check())
    for length in (header, header + 1, len(data) // 2, len(data) - 1):
        image = opened(data[:length])
        assert image.size == (120, 80)
        for _ in range(2):  # again is the same as once
            with pytest.raises(OSError, match="the file is incomplete"):
                image.load()


def test_a_damaged_file_opens_and_fails_to_load_and_to_verify(crop):
    image = Image.fromarray(crop)
    image.info["icc_profile"] = ICC
    data = rdae.compress(image)
    opened(data).verify()
    for position in (30, len(data) // 2, len(data) - 2):
        damaged = bytearray(data)
        damaged[position] ^= 0x41
        with pytest.raises(OSError):
            opened(bytes(damaged)).load()
        with pytest.raises(OSError):
            opened(bytes(damaged)).verify()


def test_verify_makes_no_pixels_and_closes_the_file(rd, monkeypatch):
    monkeypatch.setattr(pillow_plugin, "decode", lambda *_: pytest.fail("it was decoded"))
    image = Image.open(rd)
    file = image.fp
    assert file is not None
    image.verify()
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        image.load()


def test_a_closed_image_says_so(rd):
    with Image.open(rd) as image:
        pass
    with pytest.raises(ValueError, match="closed"):
        image.load()


def test_pillows_wish_to_load_what_is_truncated_is_granted_with_a_warning(photo, monkeypatch):
    wide = np.tile(photo.rgb[:40], (1, 2, 1))
    data = rdae.compress(wide)
    image = opened(data[:-9])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.warns(DamageWarning):
        image.load()
    left = (slice(None), slice(0, 900))
    assert np.array_equal(np.asarray(image)[left], pixels(data)[left])
    whole = opened(data)
    assert np.array_equal(np.asarray(whole), pixels(data))


def huge(rd: Path, side: int) -> bytes:
    """The file with a header that claims `side` times `side` pixels."""
    data = rd.read_bytes()
    header = read_header(ByteReader(data))
    fields: dict[str, Any] = {"width": side, "height": side, "quality_point": header.quality_point}
    claimed = type(header)(**fields, model_id=header.model_id, fingerprint=header.fingerprint)
    return claimed.pack_with_check() + data[len(header.pack_with_check()) :]


def test_both_limits_on_pixels_hold_before_anything_is_allocated(rd, monkeypatch):
    with pytest.warns(Image.DecompressionBombWarning):
        opened(huge(rd, 10_000))
    with pytest.raises(Image.DecompressionBombError):
        opened(huge(rd, 14_000))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert opened(huge(rd, 15_999)).size == (15_999, 15_999)
    with pytest.raises(Image.DecompressionBombError, match="limit is 256 000 000"):
        opened(huge(rd, 16_001))


def test_a_file_of_a_model_that_is_not_installed_opens_and_fails_to_load(rd):
    data = rd.read_bytes()
    header = read_header(ByteReader(data))
    other = type(header)(120, 80, header.quality_point, 250, b"none")
    image = opened(other.pack_with_check() + data[len(header.pack_with_check()) :])
    with pytest.raises(OSError, match="written with model 250"):
        image.load()

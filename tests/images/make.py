"""Make the small image files beside this, and INDEX.tsv: one or two of each kind that users have.

    python -m tests.images.make  # from the top of the checkout

The files stay as they are once they are made: other versions of Pillow write other bytes, and what
has been read must be read again. A new file is a new line of `collection`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from tests.image_samples import ADOBE_RGB, file_of, grey_profile, png_16, rgb_profile, tiff

HERE = Path(__file__).parent


def collection() -> Iterator[tuple[str, str, bytes, str]]:
    """For each file its name, kind, bytes, and what becomes of it.

    That is "taken", an option that takes it, or "refused" if none does.
    """
    photo = scene(24, 16)
    grey = photo.convert("L")
    deep, colours = in_16_bits(grey, 5)[..., None], in_16_bits(photo, 100)

    yield "grey-16.png", "16bit/float", png_16(deep), "to_8bit"
    yield "grey-16-interlaced.png", "16bit/float", png_16(deep, interlaced=True), "to_8bit"
    yield "grey-16.tif", "16bit/float", tiff(deep, 1), "to_8bit"
    yield "grey-float.tif", "16bit/float", file_of(as_float(grey), "TIFF"), "to_8bit"
    yield "rgb-16.png", "rgb16", png_16(colours), "to_8bit"

    see_through = photo.convert("RGBA")
    see_through.putalpha(Image.linear_gradient("L").resize(photo.size))
    yield "rgba.png", "alpha", file_of(see_through, "PNG"), "taken"
    yield "grey-alpha.png", "alpha", file_of(see_through.convert("LA"), "PNG"), "taken"
    yield "rgba.webp", "alpha", file_of(see_through, "WEBP", lossless=True), "taken"
    deep_alpha = png_16(in_16_bits(see_through, 100))
    yield "rgba-16.png", "alpha", deep_alpha, "to_8bit"
    lab = as_lab(scene(48, 48))
    yield "lab.tif", "alpha", file_of(lab, "TIFF", compression="tiff_deflate"), "to_srgb"

    frames = [scene(20, 12, shift) for shift in (0, 4, 8)]
    moving: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "duration": 50}
    for format in ("GIF", "PNG", "WEBP"):
        name = f"moving.{format.lower()}"
        yield name, "animated/multiframe", file_of(frames[0], format, **moving), "first_frame"
    pages = file_of(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    yield "pages.tif", "animated/multiframe", pages, "first_frame"

    cmyk = photo.convert("CMYK")
    yield "cmyk.jpg", "cmyk", file_of(cmyk, "JPEG"), "to_srgb"
    yield "cmyk.tif", "cmyk", file_of(cmyk, "TIFF"), "to_srgb"

    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        name, kind = f"orientation-{orientation}.jpg", "exif-rotated"
        yield name, kind, file_of(photo, "JPEG", exif=exif, quality=90), "taken"
    exif[274] = 3
    turned = scene(48, 48).transpose(Image.Transpose.ROTATE_180)
    yield "lab.jpg", "exif-rotated", file_of(turned, "JPEG", exif=exif, quality=95), "taken"

    yield "grey.png", "gray/1bit", file_of(grey, "PNG"), "taken"
    yield "grey.jpg", "gray/1bit", file_of(grey, "JPEG"), "taken"
    yield "one-bit.png", "gray/1bit", file_of(grey.convert("1"), "PNG"), "taken"
    yield "one-bit.tif", "gray/1bit", file_of(grey.convert("1"), "TIFF"), "taken"

    adobe = rgb_profile(ADOBE_RGB, 2.2)
    yield "adobe.png", "icc", file_of(photo, "PNG", icc_profile=adobe), "taken"
    yield "adobe.jpg", "icc", file_of(photo, "JPEG", icc_profile=adobe), "taken"
    yield "grey-profile.png", "icc", file_of(grey, "PNG", icc_profile=grey_profile(1.8)), "taken"

    few = photo.quantize(16)
    yield "palette.png", "palette", file_of(few, "PNG"), "taken"
    yield "palette.bmp", "palette", file_of(few, "BMP"), "taken"
    yield "palette.gif", "palette", file_of(few, "GIF", transparency=3), "taken"

    for format in ("PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        tiny = file_of(photo.crop((0, 0, 1, 2)), format)
        yield f"1x2.{format.lower()}", "tiny<=2px", tiny, "taken"

    texts = PngInfo()
    texts.add_text("Comment", "of no concern")
    whole = file_of(photo, "PNG", pnginfo=texts)
    broken = bytearray(whole)
    broken[-30] ^= 1
    yield "cut.png", "unreadable/corrupt/other", whole[:-40], "refused"
    yield "changed.png", "unreadable/corrupt/other", bytes(broken), "refused"
    for format in ("JPEG", "WEBP", "TIFF"):
        data = file_of(photo, format)
        name = f"cut.{format.lower()}"
        yield name, "unreadable/corrupt/other", data[: 2 * len(data) // 3], "refused"
    yield "icon.ico", "unreadable/corrupt/other", file_of(photo, "ICO"), "refused"
    yield "text.png", "unreadable/corrupt/other", b"not a picture at all\n", "refused"
    yield "empty.jpg", "unreadable/corrupt/other", b"", "refused"


def scene(width: int, height: int, shift: int = 0) -> Image.Image:
    """A smooth picture in colour with a dark bar."""
    y, x = np.mgrid[:height, :width]
    planes = (255 * x / width, 255 * y / height, 128 + 100 * np.sin(6 * (x + y) / width))
    pixels = np.stack(planes, -1)
    pixels[height // 4 : height // 2, width // 8 + shift : width // 3 + shift] = (60, 20, 40)
    return Image.fromarray(pixels.astype(np.uint8))


def in_16_bits(image: Image.Image, offset: int) -> NDArray[np.uint16]:
    """The levels spread over 16 bits, off the exact ones."""
    levels = np.asarray(image, int) * 257 + offset
    return levels.clip(0, 65535).astype(np.uint16)


def as_float(grey: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(grey, np.float32) / 255)


def as_lab(rgb: Image.Image) -> Image.Image:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(rgb, srgb, lab, outputMode="LAB")
    assert converted is not None
    converted.info.pop("icc_profile", None)
    return converted


def main() -> None:
    lines = io.StringIO()
    lines.write("file\tkind\texpected\n")
    for name, kind, data, expected in collection():
        lines.write(f"{name}\t{kind}\t{expected}\n")
        if not (HERE / name).exists():
            (HERE / name).write_bytes(data)
    (HERE / "INDEX.tsv").write_text(lines.getvalue(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

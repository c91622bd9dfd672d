"""The table of picture formats: what files are called, how they begin, who opens them.

Everything that lists formats takes them from here: the reader, which files of a folder are inputs,
help and errors, training data, what decompress writes. A new format is a row, and what it can hold
is judged where all formats are (`rdae.images.reader.check_kind`). Nothing is imported here, so
that a command line can ask before Pillow is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InputFormat:
    """A format that is read.

    Attributes:
        name: for people.
        suffixes: of file names, lower case with the dot.
        signatures: `(offset, bytes)`, one of which is found in the first 16 bytes of such a file.
        plugin: the module whose import teaches Pillow the format, and the format's name in Pillow;
            empty for JPEG XL, which has a reader of its own.
        package: what `pip install` must have brought; empty if Pillow is enough.
    """

    name: str
    suffixes: tuple[str, ...]
    signatures: tuple[tuple[int, bytes], ...]
    plugin: str = ""
    pillow_name: str = ""
    package: str = ""


@dataclass(frozen=True)
class OutputFormat:
    """A format that is written.

    Attributes:
        name: on the command line.
        suffixes: of file names, lower case with the dot.
        pillow_name: how Pillow calls it.
        has_alpha: it can hold an alpha plane.
        has_metadata: it can hold ICC profile, EXIF and XMP.
        has_quality: it can lose something, on a scale of 0 to 100.
    """

    name: str
    suffixes: tuple[str, ...]
    pillow_name: str
    has_alpha: bool = True
    has_metadata: bool = True
    has_quality: bool = False


INPUT_FORMATS = (
    InputFormat("PNG", (".png",), ((0, b"\x89PNG\r\n\x1a\n"),), "PIL.PngImagePlugin", "PNG"),
    InputFormat(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        ((0, b"\xff\xd8\xff"),),
        "PIL.JpegImagePlugin",
        "JPEG",
    ),
    InputFormat("WebP", (".webp",), ((8, b"WEBP"),), "PIL.WebPImagePlugin", "WEBP"),
    InputFormat(
        "AVIF",
        (".avif", ".avifs"),
        ((4, b"ftypavif"), (4, b"ftypavis")),
        "PIL.AvifImagePlugin",
        "AVIF",
    ),
    InputFormat(
        "TIFF",
        (".tif", ".tiff"),
        ((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+")),
        "PIL.TiffImagePlugin",
        "TIFF",
    ),
    InputFormat("GIF", (".gif",), ((0, b"GIF87a"), (0, b"GIF89a")), "PIL.GifImagePlugin", "GIF"),
    InputFormat("BMP", (".bmp",), ((0, b"BM"),), "PIL.BmpImagePlugin", "BMP"),
    InputFormat(
        "PPM",
        (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
        tuple((0, b"P" + digit) for digit in (b"1", b"2", b"3", b"4", b"5", b"6", b"f")),
        "PIL.PpmImagePlugin",
        "PPM",
    ),
    InputFormat(
        "JPEG XL",
        (".jxl",),
        ((0, b"\xff\x0a"), (4, b"JXL \r\n\x87\n")),
        package="pillow-jxl-plugin",
    ),
    InputFormat(
        "HEIC",
        (".heic", ".heif", ".hif"),
        (
            *((4, b"ftyphe" + kind) for kind in (b"ic", b"ix", b"im", b"is", b"vc", b"vx")),
            (4, b"ftypmsf1"),
            (4, b"ftypmif1"),  # or AVIF, as its list of brands then says
        ),
        "pillow_heif.HeifImagePlugin",
        "HEIF",
        package="pillow-heif",
    ),
)

FOREIGN = (  # formats that are not read, but known well enough to be named in the refusal
    (0, b"\x93RDA", "rdae"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML or SVG"),
    (0, b"\0\0\1\0", "icon"),
    (0, b"qoif", "QOI"),
)

INPUT_SUFFIXES = frozenset(suffix for format in INPUT_FORMATS for suffix in format.suffixes)

OUTPUT_FORMATS = (
    OutputFormat("png", (".png",), "PNG"),
    OutputFormat("ppm", (".ppm", ".pgm"), "PPM", has_alpha=False, has_metadata=False),
    OutputFormat("jpg", (".jpg", ".jpeg"), "JPEG", has_alpha=False, has_quality=True),
    OutputFormat("webp", (".webp",), "WEBP", has_quality=True),
    OutputFormat("tiff", (".tif", ".tiff"), "TIFF"),
    OutputFormat("avif", (".avif",), "AVIF", has_quality=True),
    OutputFormat("bmp", (".bmp",), "BMP", has_alpha=False, has_metadata=False),
    OutputFormat("jxl", (".jxl",), "JXL", has_quality=True),
)


def output_format(name: str) -> OutputFormat | None:
    """The format that is written under a name, a suffix without its dot, or Pillow's name."""
    wanted = name.lower()
    for format in OUTPUT_FORMATS:
        if wanted in (format.name, format.pillow_name.lower()) or f".{wanted}" in format.suffixes:
            return format
    return None


def format_of(beginning: bytes) -> InputFormat | None:
    """The format that a file's first dozens of bytes announce; None if it is not read."""
    if (name := _name_by_brand(beginning)) is not None:
        return next(format for format in INPUT_FORMATS if format.name == name)
    for format in INPUT_FORMATS:
        if any(beginning.startswith(mark, offset) for offset, mark in format.signatures):
            return format
    return None


def foreign_name(beginning: bytes) -> str:
    """The name of a format that is not read; "" if it is not known."""
    found = (name for offset, mark, name in FOREIGN if beginning.startswith(mark, offset))
    return next(found, "")


def input_names() -> str:
    """The formats that are read, for a sentence."""
    plain = [format.name for format in INPUT_FORMATS if not format.package]
    extra = [format.name for format in INPUT_FORMATS if format.package]
    return f"{', '.join(plain)}, and {' and '.join(extra)} with a plugin"


def _name_by_brand(beginning: bytes) -> str | None:
    """The format that the first known brand in a file type box names, None if there is none.

    The box begins with the major brand and a version, then come those that the file is compatible
    with (ISO/IEC 14496-12, section 4.3): what a general one such as mif1 leaves open, they say.
    """
    if beginning[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(beginning[:4], "big"), len(beginning))
    for at in (8, *range(16, length - 3, 4)):
        brand = beginning[at : at + 4]
        if brand in (b"avif", b"avis"):
            return "AVIF"
        if brand[:3] in (b"hei", b"hev"):  # heic, heix, heim, heis, hevc, hevx, hevm, hevs
            return "HEIC"
    return None

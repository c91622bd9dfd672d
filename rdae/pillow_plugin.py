"""Pillow's window on .rd files: `Image.open` reads them, `Image.save` writes them.

Opening reads the front of a file: header and metadata, which stand before the first tile. Size,
mode and `info` are known then; the tiles are read and decoded in `load()`, which Pillow calls when
it needs pixels. Writing keeps Pillow's manners, which differ from those of `rdae.compress` in two
things: EXIF and XMP are written when they are passed to `save`, and of a file with several
pictures the present one is saved, without a word.

Errors become those that Pillow's own plugins raise. A file that is not ours, or whose header is
not whole, is an `UnidentifiedImageError`; more pixels than the limits are a
`DecompressionBombError`, at Pillow's limit and at ours; all else is an `OSError`.

Importing this module registers the format; `rdae.register_pillow` is the same as a function.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from PIL import Image, ImageFile, UnidentifiedImageError

from rdae import compress
from rdae.bitstream.chunks import METADATA_KINDS, Chunk, scan
from rdae.bitstream.container import check_pixels, read_ancillary
from rdae.bitstream.header import MAGIC, Header, read_header
from rdae.bitstream.varint import ByteReader
from rdae.codec import decode, find_damage, rescue
from rdae.errors import (
    BitstreamError,
    CorruptError,
    DamageWarning,
    NotRdaeError,
    RdaeError,
    TooLargeError,
    TruncatedError,
)
from rdae.images.exif import PREFIX as EXIF_PREFIX
from rdae.images.pillow import to_pillow
from rdae.limits import MAX_PIXELS

__all__ = ["FORMAT", "MIME_TYPE", "RdaeImageFile", "register"]

FORMAT = "RDAE"
MIME_TYPE = "image/x-rdae"

KEYWORDS = (  # of `rdae.compress` that `save` hands on
    *("quality", "target_size", "target_bpp", "target_psnr", "target_ssimulacra2", "lossless"),
    *("max_error", "base", "effort", "tune", "model", "to_8bit", "to_srgb", "threads"),
)
METADATA_KEYWORDS = ("exif", "icc_profile", "xmp")
FRONT_BYTES = 1 << 14  # first read; most files have no more than a profile before their tiles


class RdaeImageFile(ImageFile.ImageFile):
    """A .rd file, opened; a mode of L, LA, RGB or RGBA, and decoded when its pixels are needed."""

    format = FORMAT
    format_description = "rdae learned image"

    def _open(self) -> None:
        assert self.fp is not None
        try:
            header, chunks = _read_front(self.fp)
            check_pixels(header.width, header.height, MAX_PIXELS)
        except TooLargeError as error:
            raise Image.DecompressionBombError(
                f"{error}; rdae.decompress with max_pixels reads it, if you trust the file"
            ) from error
        except NotRdaeError as error:
            raise SyntaxError(_text(error)) from error  # Pillow goes on to other formats
        except BitstreamError as error:
            raise UnidentifiedImageError(_text(error)) from error
        self._size = (header.width, header.height)
        self._mode = ("L" if header.is_grey else "RGB") + "A" * header.has_alpha
        self.info.update(_metadata(chunks))
        self.tile = [ImageFile._Tile("rdae", (0, 0, *self.size), 0, None)]  # not loaded yet

    def load(self) -> Any:
        """Decode the pixels if that has not been done.

        With `ImageFile.LOAD_TRUNCATED_IMAGES` a damaged file is decoded as far as it goes, with a
        `DamageWarning`.

        Raises:
            OSError: the file is damaged, or its model is not installed.
        """
        if self.tile:
            if self.fp is None:
                raise ValueError("Operation on closed image")
            self.fp.seek(0)
            data = self.fp.read()
            with _as_oserror():
                if ImageFile.LOAD_TRUNCATED_IMAGES:
                    rescued = rescue(data)
                    picture = rescued.picture
                    if rescued.damage:
                        warnings.warn(rescued.text, DamageWarning, stacklevel=2)
                else:
                    picture = decode(data)
            image = to_pillow(picture)  # of another size if the file was written over meanwhile
            self.im, self._size, self._mode = image.im, image.size, image.mode
            self.tile, self.readonly = [], 0
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None
        return super().load()

    def load_seek(self, pos: int) -> None:
        """Mark this class as one that loads in its own way, for `ImageFile.Parser`."""

    def verify(self) -> None:
        """Check the file to its last byte, decoding all that it codes without giving a picture.

        To be called right after opening; the file is closed then, as Pillow has it.

        Raises:
            OSError: something is damaged, or the file's model is not installed.
        """
        if self.fp is None:
            raise ValueError("Operation on closed image")
        self.fp.seek(0)
        with _as_oserror():
            _, damage = find_damage(self.fp.read())
            if damage:
                raise damage[0].error
        super().verify()


def register() -> None:
    """Register the format with Pillow; again is the same as once."""
    Image.register_open(FORMAT, RdaeImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, ".rd")
    Image.register_mime(FORMAT, MIME_TYPE)


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


def _read_front(file: IO[bytes]) -> tuple[Header, list[Chunk]]:
    """Header and whole chunks before the first tile; reads little more than that of the file.

    Of a file that is cut or damaged behind its header these are the chunks before that place:
    `load` will say what is wrong.
    """
    file.seek(0)
    data, more = b"", file.read(FRONT_BYTES)
    while True:
        data += more
        reader = ByteReader(data)
        header = read_header(reader)
        chunks: list[Chunk] = []
        try:
            for chunk in scan(reader, header):
                if chunk.tile is not None:
                    return header, chunks
                chunks.append(chunk)
        except TruncatedError:
            if more := file.read(len(data)):
                continue
        except BitstreamError:
            pass
        return header, chunks


def _metadata(chunks: list[Chunk]) -> dict[str, bytes]:
    """The metadata of the front, by Pillow's names; damaged blocks are left to `load`."""
    found: dict[str, bytes] = {}
    for chunk in chunks:
        kind = METADATA_KINDS.get(chunk.type)
        try:
            block = read_ancillary(chunk) if kind else b""
        except CorruptError:
            continue
        if kind == "icc":
            found["icc_profile"] = block
        elif kind == "exif":
            found["exif"] = EXIF_PREFIX + block
        elif kind:
            found[kind] = block
    return found


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Write the present picture of an image, as it stands.

    Raises:
        TypeError: a keyword that means nothing here, or metadata that are no bytes; dropping them
            would be a loss without a word.
    """
    options: dict[str, Any] = image.encoderinfo
    if unknown := sorted(options.keys() - {*KEYWORDS, *METADATA_KEYWORDS}):
        taken = ", ".join((*KEYWORDS, *METADATA_KEYWORDS))
        raise TypeError(f"save as {FORMAT} has no keyword {', '.join(unknown)}; it takes {taken}")
    plain = image.copy()  # one frame, and none of what is known of its file
    plain.info = {}
    if "transparency" in image.info:
        plain.info["transparency"] = image.info["transparency"]
    if icc := options.get("icc_profile", image.info.get("icc_profile")):
        plain.info["icc_profile"] = icc
    if exif := options.get("exif"):
        plain.info["exif"] = exif.tobytes() if isinstance(exif, Image.Exif) else exif
    if xmp := options.get("xmp"):
        plain.info["xmp"] = xmp.encode() if isinstance(xmp, str) else xmp
    for name in METADATA_KEYWORDS:
        if not isinstance(value := plain.info.get(name, b""), (bytes, bytearray)):
            kind = type(value).__name__
            raise TypeError(f"save as {FORMAT} takes bytes as {name}, not an object of type {kind}")
    with _as_oserror(f"cannot write as {FORMAT}: "):
        data = compress(plain, **{name: options[name] for name in KEYWORDS if name in options})
    file.write(data)


@contextmanager
def _as_oserror(what: str = "") -> Iterator[None]:
    """Turn our errors into an OSError of one line."""
    try:
        yield
    except RdaeError as error:
        raise OSError(what + _text(error)) from error


def _text(error: RdaeError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


register()

"""The codec's story on one page: a Picture to the bytes of a .rd file, and back.

    Picture ─> analysis ─> y ─> per tile: z, four passes ─> symbols ─> range coder ─> bytes
    bytes ─> per tile: symbols, y_hat ─> synthesis over the whole grid ─> Picture

Tiles are coded independently, on several threads; only the synthesis runs over the assembled
grid, so there are no seams. Decoding is exact: the same bytes give the same pixels everywhere.
What lossless files need is imported only for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rdae.bitstream.container import read_container
from rdae.bitstream.damage import Cut, Damage, damage_text, rescue_text
from rdae.bitstream.header import Header
from rdae.bitstream.info import Info, parse_info
from rdae.bitstream.salvage import Parts, read_parts
from rdae.bitstream.tiles import Grid
from rdae.codec.decoder import decode_region, find_damaged_tiles
from rdae.codec.encoder import check_padding
from rdae.codec.encoding import Encoded, encode, most_bytes
from rdae.codec.progress import Progress, Report
from rdae.errors import BitstreamError, TruncatedError, option
from rdae.geometry import Rectangle
from rdae.images.picture import Picture
from rdae.limits import MAX_PIXELS
from rdae.model.installed import find_model
from rdae.scales import DEFAULT_EFFORT, DEFAULT_QUALITY
from rdae.threads import default_threads

__all__ = [
    "DEFAULT_EFFORT",
    "DEFAULT_QUALITY",
    "MAX_PIXELS",
    "Encoded",
    "Progress",
    "Rectangle",
    "Rescued",
    "check_padding",
    "damage_error",
    "decode",
    "encode",
    "find_damage",
    "most_bytes",
    "preview",
    "read_info",
    "rescue",
]


@dataclass(frozen=True)
class Rescued:
    """What could be decoded of a damaged file.

    Attributes:
        picture: complete in size, with something else in the place of what is broken.
        header: of the file.
        damage: what is broken; empty if nothing is, and the picture is as it should be.
        cut: where the file was cut off, if it was.
    """

    picture: Picture
    header: Header
    damage: tuple[Damage, ...]
    cut: Cut | None = None

    @property
    def text(self) -> str:
        """One line that says what is broken and what stands in its place; "" if nothing is."""
        return rescue_text(self.damage, self.header, self.cut)


def decode(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    weights: Path | None = None,
    threads: int | None = None,
    region: Rectangle | None = None,
    lossy: bool = False,
    progress: Report | None = None,
) -> Picture:
    """Decode the bytes of a .rd file.

    Args:
        data: the whole file.
        max_pixels: refuse larger pictures before anything is allocated for them; with a region,
            larger regions, and with alpha too many pixels in all rows down to the region's last;
            an undivided drawing counts as a whole.
        weights: a weights file to use instead of the installed ones; it must be the file's model.
        threads: how many threads to use; one per core if None.
        region: the part to decode, the same pixels as in the whole; the whole if None. Time and
            memory are those of the part, and damage to tiles that it does not need is not seen.
        lossy: of an exact file that has a lossy picture first, decode that; the rest is not read.
        progress: is called now and then, from any thread, one at a time.

    Raises:
        BitstreamError: the bytes are not a valid .rd file.
        TooLargeError: there are more than `max_pixels` pixels to decode.
        RegionError: the region is not inside of the picture.
        ModelError: the file's model is not there.
    """
    if region is None:
        parts = Parts.of(read_container(data, max_pixels=max_pixels, only_lossy=lossy))
    else:
        parts = read_parts(data, region=region, max_pixels=max_pixels, only_lossy=lossy)
        parts.check_front()
    return _picture(parts, weights, threads, progress, best_effort=False)


def rescue(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    weights: Path | None = None,
    threads: int | None = None,
    region: Rectangle | None = None,
    lossy: bool = False,
    progress: Report | None = None,
) -> Rescued:
    """Decode what is left of a damaged .rd file.

    A lossy file that was cut off gives a coarse picture, as good as what is there. Other broken or
    missing tiles are filled from what surrounds them; they are grey where nothing intact does, as
    in a picture of one tile, and in lossless files. Of an exact file with a lossy picture first
    they show that one. A broken alpha plane is opaque, broken metadata is left out.
    The rest is as `decode` would return it without the damage, but for the pixels next to a broken
    tile that the synthesis lets it touch.

    Args and errors are those of `decode`, but of `BitstreamError` there are only those of the
    header, without which there is nothing to rescue.
    """
    parts = read_parts(data, region=region, max_pixels=max_pixels, only_lossy=lossy)
    picture = _picture(parts, weights, threads, progress, best_effort=True)
    return Rescued(picture, parts.header, tuple(parts.damage), parts.cut)


def preview(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    weights: Path | None = None,
    threads: int | None = None,
) -> Picture:
    """Decode the beginning of a .rd file, as far as it goes; a whole file as `decode` does.

    Args and errors are those of `decode`.

    Raises:
        TruncatedError: nothing of the colours is there.
        BitstreamError: this is not the beginning of a valid .rd file.
    """
    parts = read_parts(data, max_pixels=max_pixels)
    if not parts.tiles and not parts.beginnings:
        raise parts.damage[0].error
    picture = _picture(parts, weights, threads, None, best_effort=True)
    for damage in parts.damage:
        if not isinstance(damage.error, TruncatedError):
            raise damage.error
    return picture


def find_damage(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    weights: Path | None = None,
    threads: int | None = None,
    progress: Report | None = None,
) -> tuple[Header, list[Damage]]:
    """Decode and check all that a .rd file codes; no pixels are made of latents alone.

    Returns:
        The header, and everything that is broken; nothing is, exactly when `decode` succeeds.

    Raises:
        BitstreamError: the header is damaged or not one.
        TooLargeError: the picture has more than `max_pixels` pixels.
        ModelError: the file's model is not there.
    """
    parts = read_parts(data, max_pixels=max_pixels)
    header = parts.header
    threads = threads or default_threads()
    if header.is_lossless:
        from rdae.codec.lossless import find_damaged_pixels

        tiles = find_damaged_pixels(parts, weights, threads, progress)
    elif parts.rest is not None:
        from rdae.codec.rest import find_inexact

        tiles = find_inexact(parts, weights, threads, progress)
    else:
        model = find_model(header.model_id, header.fingerprint, weights)
        tiles = find_damaged_tiles(parts, model, threads, progress)
    return header, tiles + [damage for damage in parts.damage if damage.tile is None]


def damage_error(damage: Sequence[Damage], header: Header) -> BitstreamError:
    """Return one error that names all of what `find_damage` has found, and the way out."""
    lost = [one for one in damage if one.tile is not None and not one.is_partly_there]
    left = (
        "nothing of the colours is left to save"
        if len(lost) == Grid.of(header).num_tiles
        else f"{option('best_effort')} saves what is left"
    )
    hint = f"copy or download it again; {left}"
    return type(damage[0].error)(damage_text(damage, header), hint=hint)


def _picture(
    parts: Parts,
    weights: Path | None,
    threads: int | None,
    progress: Report | None,
    *,
    best_effort: bool,
) -> Picture:
    """Decode the colours, and put them together with what else a file holds."""
    header = parts.header
    threads = threads or default_threads()
    if header.is_lossless:
        from rdae.codec.lossless import decode_lossless

        rgb = decode_lossless(parts, weights, threads, best_effort=best_effort, progress=progress)
    elif parts.rest is not None:
        from rdae.codec.rest import decode_exact

        rgb = decode_exact(parts, weights, threads, best_effort=best_effort, progress=progress)
    else:
        model = find_model(header.model_id, header.fingerprint, weights)
        rgb = decode_region(parts, model, threads, best_effort=best_effort, progress=progress)
    picture = Picture(rgb, parts.alpha, header.is_grey, **parts.metadata)
    is_whole = (picture.width, picture.height) == (header.width, header.height)
    return picture if is_whole else picture.with_pixels(picture.rgb, picture.alpha)


def read_info(data: bytes) -> Info:
    """Read what a .rd file contains without decoding it; no weights are needed.

    Raises:
        BitstreamError: the bytes are not a valid .rd file.
    """
    return parse_info(data)

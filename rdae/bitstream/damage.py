"""What is broken in a damaged file, for programs and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rdae.bitstream.header import Header
from rdae.bitstream.tiles import Grid, Tile
from rdae.errors import BitstreamError, grouped

__all__ = ["Cut", "Damage", "damage_record", "damage_text", "rescue_text"]

LISTED_TILES = 6  # that a line names; a message must stay readable

_NAMES = {
    "alpha": "the alpha plane",
    "exact": "the chunk that makes the picture exact",
    "icc": "the ICC profile",
    "exif": "the EXIF block",
    "xmp": "the XMP packet",
    "chunk": "a chunk before the first tile",
}


@dataclass(frozen=True)
class Cut:
    """Where a file was cut off.

    Attributes:
        there: the bytes that are there.
        total: of the whole file, to within 28 bytes a tile; None if it cannot be told.
    """

    there: int
    total: int | None

    @property
    def text(self) -> str:
        """How much is there, in words."""
        if self.total is None:
            return f"only the first {grouped(self.there)} bytes of the file are there"
        return f"{min(99, round(100 * self.there / self.total))} % of the file is there"


@dataclass(frozen=True)
class Damage:
    """One broken part of a file.

    Attributes:
        part: "tile", "alpha", "icc", "exif", "xmp", "exact" (what says how the lossy picture
            becomes the exact one), "chunk" (one before the first tile whose
            meaning is not known; what it held is lost) or "bytes" (between or behind the chunks,
            where there should be none; nothing is lost).
        error: what reading it would raise.
        tile: the tile, of a "tile".
        filled_with: of a tile in a rescued picture, what stands in its place: the colours of its
            "neighbours", "grey" where nothing intact was beside it, "coarse" for what the
            beginning of its own streams tells, in a file that was cut off, or "lossy" for what
            the lossy picture has there, where only its exact pixels are lost, or "exact" where
            only its lossy pixels are; otherwise empty.
        is_partly_there: of a tile, whether something of it is left: a beginning of its streams, in
            a file that was cut off, or its lossy or its exact pixels in one that has both.
    """

    part: str
    error: BitstreamError
    tile: Tile | None = None
    filled_with: Literal["", "neighbours", "grey", "coarse", "lossy", "exact"] = ""
    is_partly_there: bool = False


def damage_record(damage: Damage, header: Header) -> dict[str, Any]:
    """Return a damage for JSON; of a tile with the rectangle of pixels that it holds."""
    record: dict[str, Any] = {"part": damage.part}
    if damage.tile is not None:
        region = damage.tile.pixels(header.width, header.height)
        record |= {"tile": damage.tile.index, "x": region.left, "y": region.top}
        record |= {"width": region.columns, "height": region.rows}
    if damage.filled_with:
        record["filled_with"] = damage.filled_with
    return {**record, "code": damage.error.code, "message": str(damage.error)}


def damage_text(found: Sequence[Damage], header: Header) -> str:
    """Return one line that names all that is broken; of many tiles the first few."""
    parts = [f"{_tiles(found, header)} damaged"] if _damaged_tiles(found) else []
    for damage in found:
        if name := _NAMES.get(damage.part):
            parts.append(f"{name} is damaged")
        elif damage.part == "bytes":
            parts.append(str(damage.error))
    return "; ".join(dict.fromkeys(parts))  # many chunks may have one fault


def rescue_text(found: Sequence[Damage], header: Header, cut: Cut | None = None) -> str:
    """Return the same line with what a rescued picture has in place of what is broken."""
    parts = []
    num_tiles = Grid.of(header).num_tiles
    coarse = [damage for damage in found if damage.filled_with == "coarse"]
    if cut is not None:
        parts.append(cut.text)
    if coarse:
        is_all = len(coarse) == num_tiles
        parts.append(f"{'all of the picture is' if is_all else _tiles(coarse, header)} coarser")
        parts = [": ".join(parts)]
    lossy = [damage for damage in found if damage.filled_with == "lossy"]
    if lossy:
        is_all = len(lossy) == num_tiles
        what = f"{'all of the picture is' if is_all else _tiles(lossy, header)} lossy, not exact"
        parts = [": ".join([*parts, what])] if len(parts) == 1 and not coarse else [*parts, what]
    exact = [damage for damage in found if damage.filled_with == "exact"]
    if exact:
        parts.append(f"{_tiles(exact, header)} damaged in the lossy picture, but exact")
    filled = [damage for damage in found if damage.filled_with == "neighbours"]
    grey = [damage for damage in found if damage.filled_with == "grey"]
    if filled:
        were, their = ("was", "its") if len(filled) == 1 else ("were", "their")
        parts.append(f"{_tiles(filled, header)} damaged and {were} filled from {their} neighbours")
    if grey:
        were = "was" if len(grey) == 1 else "were"
        is_all = len(grey) == num_tiles
        nothing = ": nothing of the colours is left" if is_all else ""
        parts.append(f"{_tiles(grey, header)} damaged and {were} made grey{nothing}")
    for damage in found:
        if damage.part == "alpha":
            parts.append("the alpha plane is damaged, all pixels were made opaque")
        elif damage.part == "exact":
            parts.append(f"{_NAMES[damage.part]} is damaged, all of it is lossy")
        elif damage.part == "chunk":
            parts.append("a chunk before the first tile is damaged, metadata may be missing")
        elif name := _NAMES.get(damage.part):
            parts.append(f"{name} is damaged and was left out")
        elif damage.part == "bytes":
            parts.append(str(damage.error))
    return "; ".join(dict.fromkeys(parts))  # many chunks may have one fault


def _damaged_tiles(found: Sequence[Damage]) -> list[Tile]:
    return [damage.tile for damage in found if damage.tile is not None]


def _tiles(found: Sequence[Damage], header: Header) -> str:
    """Say `tile 3 of 12 (1024..2047, 0..1023) is`, or the same of several."""
    names = []
    broken = _damaged_tiles(found)
    for tile in broken[:LISTED_TILES]:
        region = tile.pixels(header.width, header.height)
        place = f"({region.left}..{region.right - 1}, {region.top}..{region.bottom - 1})"
        names.append(f"{tile.index} {place}")
    num_tiles = Grid.of(header).num_tiles
    if len(broken) == 1:
        return f"tile {broken[0].index} of {num_tiles} {place} is"
    more = len(broken) - len(names)
    last = f"{more} more" if more else names.pop()
    return f"tiles {', '.join(names)} and {last} of {num_tiles} are"

"""Which tiles of a file are broken, each decoded in vain, and the way out where one is."""

from __future__ import annotations

from collections.abc import Callable

from rdae.bitstream.damage import Damage
from rdae.bitstream.header import Header
from rdae.bitstream.salvage import Parts
from rdae.bitstream.tiles import Grid, Tile
from rdae.codec.progress import Counter, Report
from rdae.errors import BitstreamError, CorruptError, TruncatedError, option
from rdae.threads import parallel_map


def damaged_tiles(
    parts: Parts, decode: Callable[[Tile], None], threads: int, progress: Report | None = None
) -> list[Damage]:
    """All tiles that are not there or cannot be decoded, in their order.

    Args:
        parts: what was read of the file.
        decode: decodes a tile that is there; raises `CorruptError` if it is broken.
        threads: how many tiles to decode at a time.
        progress: is called after each tile, from any thread, one at a time.
    """
    tiles = Grid.of(parts.header).tiles()
    counter = Counter(progress, len(tiles))
    lost = {damage.tile.index: damage for damage in parts.damage if damage.tile is not None}

    def check(tile: Tile) -> Damage | None:
        if tile.index in lost:
            return lost[tile.index]
        try:
            decode(tile)
        except CorruptError as error:
            return Damage("tile", error, tile)
        finally:
            counter.add(1)
        return None

    return [damage for damage in parallel_map(check, tiles, threads) if damage is not None]


def with_way_out(error: BitstreamError, header: Header) -> BitstreamError:
    """The error of a tile; where there are others its hint says that they can be saved."""
    is_only_tile = Grid.of(header).num_tiles == 1
    if not is_only_tile and not isinstance(error, TruncatedError):  # whose hint says it already
        error.hint = f"copy or download it again; {option('best_effort')} saves what is left"
    return error

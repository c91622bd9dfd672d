"""Where the chunks of tiles stand in a file, and where they are found when its framing is broken.

The order of a file's chunks is fixed: so many of them that run to its last byte can only be the
last so many.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rdae.bitstream.chunks import COARSE_SHARE, CRC_BYTES, WORD_BYTES, Chunk, layers, read_chunk
from rdae.bitstream.header import Header
from rdae.bitstream.tiles import Grid, Tile
from rdae.bitstream.varint import ByteReader, pack_varint
from rdae.errors import BitstreamError, CorruptError
from rdae.limits import MAX_SEARCHED_CHUNKS

__all__ = ["ChunkOrder", "last_chunks", "whole_size"]

_TILE_CHUNKS = re.compile(rb"[ZCYR]")


class ChunkOrder:
    """The order of the tiles' chunks in a file."""

    def __init__(self, header: Header, *, has_rest: bool) -> None:
        self._grid = Grid.of(header)
        self.num_tiles = self._grid.num_tiles
        self.layers = layers(self.num_tiles, is_lossless=header.is_lossless, has_rest=has_rest)
        # without pixels that are coded given a lossy picture
        self.first_layers = self.layers.rstrip("R") or "R"
        self.num_chunks = self.num_tiles * len(self.layers)

    def __getitem__(self, position: int) -> tuple[str, Tile]:
        layer, index = divmod(position, self.num_tiles)
        return self.layers[layer], self._grid.tile(index)


def whole_size(
    end: int, num_known: int, order: ChunkOrder, found: Mapping[tuple[str, int], Chunk]
) -> int | None:
    """The size of a file that was cut off, to within 28 bytes a tile; None if it cannot be told.

    Args:
        end: where the last chunk ends whose length is known.
        num_known: how many chunks of tiles that are.
        order: of the tiles' chunks.
        found: the chunks that are whole.
    """
    for position in range(num_known, order.num_chunks):
        letter, tile = order[position]
        coarse = found.get(("C", tile.index))
        if letter != "Y" or coarse is None:
            return None
        rest = CRC_BYTES + (COARSE_SHARE - 1) * len(coarse.body)
        end += 1 + len(pack_varint(rest)) + rest
    return end


def last_chunks(
    data: bytes,
    begin: int,
    header: Header,
    order: ChunkOrder,
    found: Mapping[tuple[str, int], Chunk],
    *,
    is_begun: bool,
) -> dict[tuple[str, int], Chunk]:
    """Return the last chunks: the longest run of them to the end of the file, by type and tile.

    The time is bounded whatever the bytes, by the number of chunks that are looked at.

    Args:
        data: the file.
        begin: where to look from.
        header: of the file.
        order: of the tiles' chunks.
        found: those before.
        is_begun: the next one is there, with a length beyond the end of the file. Most often that
            was cut off, and one chunk that ends there is chance, if it is not all that may follow.
    """
    budget, most = MAX_SEARCHED_CHUNKS, order.num_chunks - len(found) - is_begun
    least = min(most, 2) if is_begun else 1
    if not most:
        return {}
    for match in _TILE_CHUNKS.finditer(data, begin):
        reader = ByteReader(data)
        reader.offset = match.start()
        count, looks_good = 0, True
        while looks_good and reader.left and count < most:
            looks_good = _skip(reader)
            count, budget = count + 1, budget - 1
        if looks_good and not reader.left and count >= least:
            reader.offset = match.start()
            try:
                return _read_run(reader, header, order, order.num_chunks - count, found)
            except BitstreamError:
                budget -= count  # of wrong type or impossible length: it was chance
        if budget <= 0:
            break
    return {}


def _read_run(
    reader: ByteReader,
    header: Header,
    order: ChunkOrder,
    position: int,
    found: Mapping[tuple[str, int], Chunk],
) -> dict[tuple[str, int], Chunk]:
    """Read all chunks of tiles from a position in their order on, to the end of the file.

    Raises:
        BitstreamError: they are not those.
    """
    run: dict[tuple[str, int], Chunk] = {}
    for at in range(position, order.num_chunks):
        letter, tile = order[at]
        coarse = run.get(("C", tile.index)) or found.get(("C", tile.index))
        chunk = read_chunk(reader, header, tile, len(coarse.body) if coarse else None)
        if chunk.type != letter:
            raise CorruptError(f"there is a chunk {chunk.type} where {letter} should be")
        run[letter, tile.index] = chunk
    return run


def _skip(reader: ByteReader) -> bool:
    """Pass over a chunk of a tile; False if there is none."""
    try:
        letter = reader.byte("the type of a chunk")
        length = reader.varint("a length")
        reader.take(length, "a chunk")
    except BitstreamError:
        return False
    return letter == ord("R") or length % WORD_BYTES == 0

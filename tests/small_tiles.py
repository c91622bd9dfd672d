"""Pictures of many tiles that cost little: the tiles are made smaller than the format's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from rdae.bitstream.container import read_container
from rdae.codec import decode, encode, read_info
from rdae.images.picture import Picture

CELLS = 8  # latent cells that a small tile spans
PIXELS = 16 * CELLS


@contextmanager
def small_tiles() -> Iterator[None]:
    """Cut pictures in tiles of 128x128 pixels, in the encoder and the decoder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rdae.bitstream.tiles.TILE_CELLS", CELLS)
        yield


@dataclass(frozen=True, eq=False)
class Coded:
    """A picture of several tiles, its file and what that decodes to."""

    data: bytes
    decoded: Picture

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The decoded colours."""
        return self.decoded.rgb

    def without(self, *tiles: int) -> bytes:
        """The file with a wrong bit in the middle of each of these tiles."""
        data = bytearray(self.data)
        for index in tiles:
            begin, end = self.span(index)
            data[(begin + end) // 2] ^= 8
        return bytes(data)

    def span(self, index: int) -> tuple[int, int]:
        """Where the Y stream of a tile begins and ends in the file."""
        stream = read_container(self.data).tiles[index].y
        begin = self.data.index(stream)
        return begin, begin + len(stream)

    def chunk(self, letter: str) -> int:
        """Where a chunk of the whole picture begins in the file."""
        fields = read_info(self.data).fields
        return next(field.offset for field in fields if field.name == f"chunk {letter}")

    def chunk_z(self, index: int) -> int:
        """Where chunk Z of a tile begins: before it is the check of the tile before."""
        return self.span(index - 1)[1] + 4


def coded(picture: Picture, quality: float = 60) -> Coded:
    """Encode and decode a picture."""
    data = encode(picture, quality=quality).data
    return Coded(data, decode(data))

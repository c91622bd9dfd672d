"""Pictures of many tiles that cost little: the tiles are made smaller than the format's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from rdae.bitstream.chunks import coarse_bytes
from rdae.bitstream.container import read_container
from rdae.bitstream.info import Field
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
        """Where the words of a tile's chunk Y begin and end in the file."""
        end = self.begin(index) + self._field(f"chunk Y of tile {index}").length
        stream = read_container(self.data).tiles[index].y
        return end - 4 - (len(stream) - coarse_bytes(len(stream))), end - 4

    def chunk(self, letter: str) -> int:
        """Where a chunk of the whole picture begins in the file."""
        return self._field(f"chunk {letter}").offset

    def begin(self, index: int, letter: str = "Y") -> int:
        """Where a chunk of a tile begins in the file."""
        return self._field(f"chunk {letter} of tile {index}").offset

    def _field(self, name: str) -> Field:
        return next(field for field in read_info(self.data).fields if field.name == name)


def coded(picture: Picture, quality: float = 60) -> Coded:
    """Encode and decode a picture."""
    data = encode(picture, quality=quality).data
    return Coded(data, decode(data))

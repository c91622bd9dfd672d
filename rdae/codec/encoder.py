"""The encoding half of the codec: a picture to the bytes of a file, at any quality point.

An `Encoder` knows one picture and one model. Before anything is coded it can say what a quality
point would cost, since the rate is a sum over the integer tables, and how it would look, since the
decoder is exact. That is all that a search for a target needs (`rdae.codec.targets`). Work goes
tile by tile, so memory is that of the picture, the coded tiles, and a few tiles in work; where
pixels are looked at, y_hat of the whole picture too, 4 bytes a pixel.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.chunks import WORD_BYTES
from rdae.bitstream.container import Container, TilePayload, read_container, write_container
from rdae.bitstream.header import Header, check_sides
from rdae.bitstream.tiles import Grid, Tile
from rdae.bitstream.varint import pack_varint
from rdae.codec.decoder import decode_pixels
from rdae.codec.measures import Measure, Rgb
from rdae.codec.progress import Counter, Report
from rdae.codec.rendering import render
from rdae.codec.tile import encode_tile, ideal_bits, quantise_tile
from rdae.errors import TooLargeError, grouped, option
from rdae.geometry import HYPER_PATCH, Rectangle, padded
from rdae.images.picture import Picture
from rdae.model.model import Array, Model
from rdae.model.symbols import TileSymbols
from rdae.scales import DEFAULT_EFFORT, PLAIN_EFFORT
from rdae.threads import parallel_map

FREE_PADDING = 1 << 24  # pixels that may be added to any picture


def check_padding(width: int, height: int, limit: int) -> None:
    """Refuse a picture that is so thin that work would be on padding above all.

    Latents come in whole squares of 64x64 pixels, so a row of 16 million pixels is as much work as
    a gigapixel. A picture is no larger than the limit; neither is what is added to it.

    Raises:
        TooLargeError: padding alone has more pixels than the limit, or than 16 million if that is
            more.
    """
    sides = [-(-side // HYPER_PATCH) * HYPER_PATCH for side in (width, height)]
    pixels = sides[0] * sides[1]
    if pixels - width * height > max(limit, FREE_PADDING):
        raise TooLargeError(
            f"a picture of {width}x{height} is worked on as one of {sides[0]}x{sides[1]}, "
            f"{grouped(pixels)} pixels; the limit is {grouped(limit)}",
            hint=f"cut it into pieces, or if you have the time: {option('max_pixels', pixels)}",
        )


class Encoder:
    """One picture, ready to be encoded at any quality point."""

    def __init__(
        self,
        picture: Picture,
        model: Model,
        *,
        effort: int = DEFAULT_EFFORT,
        threads: int = 1,
        progress: Report | None = None,
    ) -> None:
        """Take a picture.

        Args:
            picture: what to encode.
            model: the model.
            effort: 1 rounds to the nearest symbols; all others weigh each symbol's bits against
                its error.
            threads: how many threads to use.
            progress: is called after each tile of each search, from any thread, one at a time.

        Raises:
            TooLargeError: a side is longer than a header can say.
        """
        check_sides(picture.width, picture.height)
        self.picture, self.model = picture, model
        self.effort, self.threads = effort, threads
        self._progress, self._searches = progress, 0
        self.tiles = Grid(picture.width, picture.height).tiles()
        self._packed: dict[str, bytes] = {}  # alpha takes seconds, and a search makes many files
        self._bytes: dict[int, int] = {}
        self._values: dict[tuple[int, Measure], float] = {}

    def encode(self, point: int) -> bytes:
        """The file at a quality point, 0 to 255."""
        return self.encode_plain(point)

    def encode_plain(self, point: int) -> bytes:
        """The same, whatever else a subclass may search for."""
        header, counter = self.header(point), self._counter()

        def code(tile: Tile) -> TilePayload:
            symbols, _ = self.quantise(tile, point, self.threads // len(self.tiles))
            payload = encode_tile(self.model, header, tile, symbols)
            counter.add(tile.cells.area)
            return payload

        return self.file(header, parallel_map(code, self.tiles, self.threads))

    def is_likely_within(self, point: int, target_size: int) -> bool:
        """Whether `encode(point)` should have at most so many bytes."""
        return self.estimate_bytes(point) <= target_size

    def is_likely_from(self, point: int, measure: Measure, least: float) -> bool:
        """Whether the picture decoded from `encode(point)` should measure at least that."""
        return self.estimate_value(point, measure) >= least

    def value_at(self, point: int, measure: Measure) -> float:
        """What the picture decoded from `encode(point)` measures; the decoder is exact."""
        return self.estimate_value(point, measure)

    def header(self, point: int) -> Header:
        """The header of the file at a quality point."""
        return Header(
            width=self.picture.width,
            height=self.picture.height,
            quality_point=point,
            model_id=self.model.description.model_id,
            fingerprint=self.model.fingerprint,
            is_grey=self.picture.is_grey,
            has_alpha=self.picture.alpha is not None,
            is_neutral=self.picture.is_colourless and not self.picture.is_grey,
        )

    def analyse(self, tile: Tile, point: int, threads: int = 1) -> NDArray[np.float32]:
        """Y of a tile, padded to multiples of 4 cells: `(rows, columns, M)`."""
        area = Rectangle.at(
            tile.cells.left, tile.cells.top, padded(tile.columns), padded(tile.rows)
        )
        return self.model.encoder_half.analyse(self.picture.rgb, area, point, threads)

    def quantise(self, tile: Tile, point: int, threads: int = 1) -> tuple[TileSymbols, Array]:
        """A tile's symbols, and the decoder's y_hat of its coded cells."""
        y = self.analyse(tile, point, threads)
        return quantise_tile(
            self.model, tile, y, point, threads, rate_aware=self.effort > PLAIN_EFFORT
        )

    def estimate_bytes(self, point: int) -> int:
        """The size of the file at a quality point, within a few bytes."""

        def measure(tile: Tile) -> int:
            symbols, _ = self.quantise(tile, point, self.threads // len(self.tiles))
            streams = ideal_bits(self.model, tile, symbols, point)
            counter.add(tile.cells.area)
            sizes = [WORD_BYTES * math.ceil(bits / 8 / WORD_BYTES) for bits in streams]
            return sum(size + len(pack_varint(size)) - 1 for size in sizes)

        if point not in self._bytes:
            counter = self._counter()
            sizes = parallel_map(measure, self.tiles, self.threads)
            self._bytes[point] = self.frame_bytes + sum(sizes)
        return self._bytes[point]

    def estimate_value(self, point: int, measure: Measure) -> float:
        """What the decoded picture at a quality point measures."""
        key = point, measure
        if key not in self._values:
            rgb = self.render(self.y_hat(point), point)
            self._values[key] = measure.value(self.picture, rgb)
        return self._values[key]

    def y_hat(self, point: int) -> NDArray[np.int16]:
        """What the decoder will have of all latents: `(rows, columns, M)`."""
        y_hat, counter = self.empty_grid(), self._counter()

        def place(tile: Tile) -> None:
            _, cells = self.quantise(tile, point, self.threads // len(self.tiles))
            y_hat[tile.cells.slices()] = cells
            counter.add(tile.cells.area)

        parallel_map(place, self.tiles, self.threads)
        return y_hat

    def empty_grid(self) -> NDArray[np.int16]:
        """Room for y_hat of all coded cells, `(rows, columns, M)`."""
        cells = Grid(self.picture.width, self.picture.height).cells
        return np.empty((cells.rows, cells.columns, self.model.spec.latent_channels), np.int16)

    def render(self, y_hat: Array, point: int) -> NDArray[np.uint8]:
        """The pixels that the decoder will make of all coded cells."""
        area = Rectangle.whole(self.picture.width, self.picture.height)
        return render(
            self.model, y_hat, point, self.threads, area=area, is_grey=self.picture.is_colourless
        )

    def _counter(self) -> Counter:
        """Begin another search over all cells of the picture."""
        self._searches += 1
        return Counter(self._progress, sum(tile.cells.area for tile in self.tiles), self._searches)

    @property
    def tries(self) -> int:
        """How many quality points have been estimated."""
        return len(self._bytes) + len(self._values)

    @cached_property
    def frame_bytes(self) -> int:
        """The size of a file whose tiles are empty."""
        return len(self.file(self.header(0), [TilePayload(b"", b"", 0)] * len(self.tiles)))

    def value_of(self, data: bytes, measure: Measure) -> float:
        """What the picture measures that a file of this one decodes to."""
        container = read_container(data, max_pixels=self.picture.width * self.picture.height)
        decoded: Rgb = decode_pixels(container, self.model, self.threads)
        return measure.value(self.picture, decoded)

    def file(self, header: Header, payloads: list[TilePayload]) -> bytes:
        """The file that holds these tiles, in raster order, and all else of the picture."""
        p = self.picture
        container = Container(header, tuple(payloads), p.alpha, p.icc, p.exif, p.xmp)
        return write_container(container, self._packed)


def quantise(picture: Picture, model: Model, point: int, threads: int = 1) -> list[TileSymbols]:
    """The symbols of every tile of a picture at a quality point, at the default effort."""
    encoder = Encoder(picture, model, threads=threads)
    return [encoder.quantise(tile, point, threads)[0] for tile in encoder.tiles]

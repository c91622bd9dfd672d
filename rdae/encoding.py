"""The encoding half of the codec: a picture to the bytes of a file, at any quality point.

An `Encoder` knows one picture and one model. Before anything is coded it can say what a quality
point would cost, since the rate is a sum over the integer tables, and how it would look, since the
decoder is exact. That is all that a search for a target needs. Work goes tile by tile, so memory
is that of the picture, the coded tiles, and a few tiles in work; where pixels are looked at (a
target in dB, refinement), y_hat of the whole picture too, 4 bytes a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.chunks import WORD_BYTES
from rdae.bitstream.container import Container, TilePayload, read_container, write_container
from rdae.bitstream.header import Header
from rdae.bitstream.limits import MAX_DIMENSION
from rdae.bitstream.tiles import TileRect, tile_grid
from rdae.bitstream.varint import grouped, pack_varint
from rdae.decoding import decode_pixels, make_grey
from rdae.distortion import psnr
from rdae.errors import RateTargetError, TooLargeError
from rdae.exact.parallel import parallel_map
from rdae.exact.windows import Window
from rdae.latents import TileSymbols, encode_tile, ideal_bits, padded, quantise_tile
from rdae.model import Array, Model
from rdae.picture import Picture
from rdae.rate import (
    DEFAULT_EFFORT,
    MAX_EFFORT,
    NUM_POINTS,
    PLAIN_EFFORT,
    REFINED_EFFORT,
    highest_point,
)


@dataclass(frozen=True)
class Progress:
    """How far a long encoding has come.

    Attributes:
        done: share of the work, 0 to 1.
        bpp: bits per pixel of the tile in work, as estimated now.
        psnr: of the tile in work in dB, as estimated now.
    """

    done: float
    bpp: float
    psnr: float


class Encoder:
    """One picture, ready to be encoded at any quality point."""

    def __init__(
        self,
        picture: Picture,
        model: Model,
        *,
        effort: int = DEFAULT_EFFORT,
        threads: int = 1,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Take a picture.

        Args:
            picture: what to encode.
            model: the model.
            effort: 1 rounds to the nearest symbols, 2 weighs each symbol's bits against its error,
                3 to 9 search for better symbols with torch, ever longer.
            threads: how many threads to use.
            progress: is called during a search of effort 3 or more.

        Raises:
            ValueError: effort is not in 1 to 9.
            TooLargeError: a side is longer than a header can say.
            MissingDependencyError: effort is 3 or more and torch is not installed.
        """
        if effort not in range(PLAIN_EFFORT, MAX_EFFORT + 1):
            raise ValueError(f"effort must be from 1 to 9, got {effort}")
        if max(picture.width, picture.height) > MAX_DIMENSION:
            raise TooLargeError(
                f"the picture is {picture.width}x{picture.height}, a side may have {MAX_DIMENSION}",
                hint="cut it into pieces",
            )
        if effort >= REFINED_EFFORT:
            import rdae.autoencoder  # noqa: F401 - says at once what is missing
        self.picture, self.model = picture, model
        self.effort, self.threads, self.progress = effort, threads, progress
        self.tiles = tile_grid(picture.width, picture.height)
        self._bytes: dict[int, int] = {}
        self._psnrs: dict[int, float] = {}

    def encode(self, point: int, *, refined: bool = True) -> bytes:
        """The file at a quality point; without refinement if it is not wanted or not asked for."""
        header = self.header(point)
        if refined and self.effort >= REFINED_EFFORT:
            from rdae.refining import refined_tiles  # imports torch

            payloads = [
                encode_tile(self.model, header, tile, symbols)
                for tile, symbols in refined_tiles(self, point)
            ]
        else:

            def code(tile: TileRect) -> TilePayload:
                symbols, _ = self.quantise(tile, point, self.threads // len(self.tiles))
                return encode_tile(self.model, header, tile, symbols)

            payloads = parallel_map(code, self.tiles, self.threads)
        return self._file(header, payloads)

    def encode_within(self, max_bytes: int) -> bytes:
        """The best file of at most `max_bytes` bytes, at the point that fits without refinement.

        Raises:
            RateTargetError: there is none so small.
        """
        point = highest_point(lambda p: self.estimate_bytes(p) <= max_bytes)
        # An estimate may be a few bytes too low, so the next points down are for need.
        data = self._first(range(max(point, 0), -1, -1), lambda data: len(data) <= max_bytes)
        if data is not None:
            return data
        least = len(self.encode(0, refined=False))
        raise RateTargetError(
            f"{grouped(max_bytes)} bytes are too few: quality 0 takes {grouped(least)}",
            reachable=least,
            hint=f"--target-size {least} or more, or scale the picture down"
            + (", or --strip all" if self.picture.exif or self.picture.xmp else ""),
        )

    def encode_from(self, min_psnr: float) -> bytes:
        """The smallest file whose decoded picture has a PSNR of at least `min_psnr` dB.

        Of refined files, the one at the point that is enough without refinement.

        Raises:
            RateTargetError: there is none so good.
        """
        point = highest_point(lambda p: self.estimate_psnr(p) < min_psnr) + 1
        points = range(min(point, NUM_POINTS - 1), NUM_POINTS)
        data = self._first(points, lambda data: self._psnr_of(data) >= min_psnr)
        if data is not None:
            return data
        best = self.estimate_psnr(NUM_POINTS - 1)
        raise RateTargetError(
            f"{min_psnr:g} dB are too many: quality 100 has {best:.2f} dB",
            reachable=best,
            hint=f"--target-psnr {math.floor(100 * best) / 100:g} or less; rdae is not lossless",
        )

    def _first(self, points: Iterable[int], good: Callable[[bytes], bool]) -> bytes | None:
        """The first good file; at each point without refinement too, if the refined one is not."""
        choices = (True, False) if self.effort >= REFINED_EFFORT else (False,)
        for point in points:
            for refined in choices:
                data = self.encode(point, refined=refined)
                if good(data):
                    return data
        return None

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
        )

    def analyse(self, tile: TileRect, point: int, threads: int = 1) -> NDArray[np.float32]:
        """Y of a tile, padded to multiples of 4 cells: `(rows, columns, M)`."""
        bottom, right = tile.top + padded(tile.rows), tile.left + padded(tile.columns)
        area = Window(tile.top, bottom, tile.left, right)
        return self.model.analyse(self.picture.rgb, area, point, threads)

    def quantise(self, tile: TileRect, point: int, threads: int = 1) -> tuple[TileSymbols, Array]:
        """A tile's symbols without refinement, and the decoder's y_hat of its coded cells."""
        y = self.analyse(tile, point, threads)
        return quantise_tile(
            self.model, tile, y, point, threads, rate_aware=self.effort > PLAIN_EFFORT
        )

    def estimate_bytes(self, point: int) -> int:
        """The size of the file at a quality point without refinement, within a few bytes."""

        def measure(tile: TileRect) -> int:
            symbols, _ = self.quantise(tile, point, self.threads // len(self.tiles))
            streams = ideal_bits(self.model, tile, symbols, point)
            sizes = [WORD_BYTES * math.ceil(bits / 8 / WORD_BYTES) for bits in streams]
            return sum(size + len(pack_varint(size)) - 1 for size in sizes)

        if point not in self._bytes:
            sizes = parallel_map(measure, self.tiles, self.threads)
            self._bytes[point] = self._frame_bytes + sum(sizes)
        return self._bytes[point]

    def estimate_psnr(self, point: int) -> float:
        """The PSNR in dB of the decoded picture at a quality point without refinement."""
        if point not in self._psnrs:
            rgb = self.model.synthesise(self.y_hat(point), point, self.threads)
            self._psnrs[point] = self._psnr(rgb[: self.picture.height, : self.picture.width])
        return self._psnrs[point]

    def y_hat(self, point: int) -> NDArray[np.float32]:
        """What the decoder will have of all latents, without refinement: `(rows, columns, M)`."""
        last = self.tiles[-1]
        shape = (last.top + last.rows, last.left + last.columns, self.model.spec.latent_channels)
        y_hat = np.empty(shape, np.float32)  # holds every integer below 2^24

        def place(tile: TileRect) -> None:
            _, cells = self.quantise(tile, point, self.threads // len(self.tiles))
            y_hat[tile.top : tile.top + tile.rows, tile.left : tile.left + tile.columns] = cells

        parallel_map(place, self.tiles, self.threads)
        return y_hat

    @property
    def tries(self) -> int:
        """How many quality points have been estimated."""
        return len(self._bytes) + len(self._psnrs)

    @cached_property
    def _frame_bytes(self) -> int:
        """The size of a file whose tiles are empty."""
        return len(self._file(self.header(0), [TilePayload(b"", b"", 0)] * len(self.tiles)))

    def _psnr_of(self, data: bytes) -> float:
        container = read_container(data, max_pixels=self.picture.width * self.picture.height)
        return self._psnr(decode_pixels(container, self.model, self.threads))

    def _psnr(self, rgb: NDArray[np.uint8]) -> float:
        if self.picture.is_grey:
            make_grey(rgb)
        return psnr(self.picture.rgb, rgb)

    def _file(self, header: Header, payloads: list[TilePayload]) -> bytes:
        p = self.picture
        return write_container(Container(header, tuple(payloads), p.alpha, p.icc, p.exif, p.xmp))


def quantise(picture: Picture, model: Model, point: int, threads: int = 1) -> list[TileSymbols]:
    """The symbols of every tile of a picture at a quality point, at the default effort."""
    encoder = Encoder(picture, model, threads=threads)
    return [encoder.quantise(tile, point, threads)[0] for tile in encoder.tiles]

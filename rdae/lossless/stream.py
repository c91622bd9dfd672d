"""The pixels of a tile to one range-coder stream and back, by the networks.

Order of symbols (FORMAT.md, section 14): the pixel at the top of the pyramid; then for each level
from the coarsest, whether it has parameters; for each of its passes the parameters, if so, and the
residuals of green, red and blue. A residual counts bins around the rounded mean, of one level for
exact pixels and of 2 N + 1 where an error of N is allowed, and bins beyond black and white leave
what tables give them to the last ones before; everything is predicted from pixels as the decoder
has them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.range_coder import SymbolDecoder, SymbolEncoder
from rdae.errors import CorruptError
from rdae.lossless.colour import limits, restore, to_bins
from rdae.lossless.fit import ON_BASE, Fitted, fit_pass
from rdae.lossless.model import LosslessModel
from rdae.lossless.networks import NUM_COLOURS, NUM_PASSES
from rdae.lossless.parameters import Parameters, get_bytes, put_bytes
from rdae.lossless.pyramid import COLOURS, added, level_of, num_levels
from rdae.lossless.walk import LevelWalk

Array = NDArray[Any]

FITTED_CELLS = 1024  # a level of fewer cells has no parameters: they would cost more than they save
FITTED_ON_BASE = min(ON_BASE.values())
_BYTE_OFFSET = 128


def encode_pixels(
    model: LosslessModel,
    pixels: NDArray[np.uint8],
    *,
    is_grey: bool = False,
    max_error: int = 0,
    threads: int = 1,
    base: NDArray[np.uint8] | None = None,
) -> tuple[bytes, NDArray[np.uint8]]:
    """Code the pixels of a tile.

    Args:
        model: the model.
        pixels: `(rows, columns, 3)`.
        is_grey: all three colours are equal, and only one is coded.
        max_error: how far a decoded sample may be from the given one.
        threads: how many threads the networks may use.
        base: the same tile of a lossy picture that the decoder has, if it has one.

    Returns:
        The stream, and the pixels that a decoder makes of it.
    """
    coded = 1 if is_grey else NUM_COLOURS
    tables = model.mixtures.family(2 * max_error + 1)
    encoder = SymbolEncoder(has_limits=True)
    decoded = np.empty_like(pixels)
    decoded[0, 0] = pixels[0, 0]
    put_bytes(encoder, pixels[0, 0, list(COLOURS[:coded])].astype(np.int32) - _BYTE_OFFSET)
    for number in reversed(range(num_levels(*pixels.shape[:2]))):
        level = level_of(decoded, number)
        beneath = None if base is None else level_of(base, number)
        walk = LevelWalk(model, number, level[::2, ::2], threads, beneath)
        least = FITTED_CELLS if base is None else FITTED_ON_BASE
        has_parameters = walk.shape[0] * walk.shape[1] >= least
        put_bytes(encoder, [int(has_parameters)])
        for p in range(NUM_PASSES):
            walk.begin_pass(p)
            given, target = added(level_of(pixels, number), p), added(level, p)
            fitted = Fitted(Parameters(), [])
            if has_parameters:
                fitted = fit_pass(walk, given, tables, coded, max_error)
                fitted.parameters.write(encoder, model.mixtures.family())
            parameters = fitted.parameters
            is_settled = len(fitted.predictions) == coded  # the fit has settled what is coded
            own = None if is_settled and coded == NUM_COLOURS else walk.own(parameters)
            for k, colour in enumerate(COLOURS):
                if is_settled and k < coded:
                    prediction = fitted.predictions[k]
                else:
                    prediction = walk.predict(k, walk.head(k, parameters), own, parameters)
                if k < coded:
                    there = tuple(slice(n) for n in given.shape[:2])
                    bins, target[..., colour] = to_bins(given[..., colour], prediction, max_error)
                    possible = limits(prediction.mean[there], max_error)
                    encoder.put(bins.ravel(), prediction.tables[there].ravel(), tables, possible)
                else:
                    target[..., colour] = target[..., COLOURS[0]]
                if not (is_settled and k < coded):
                    walk.settle(k, target[..., colour], prediction)
            walk.end_pass()
    return encoder.finish(), decoded


def decode_pixels(
    model: LosslessModel,
    stream: bytes,
    rows: int,
    columns: int,
    *,
    is_grey: bool = False,
    max_error: int = 0,
    threads: int = 1,
    base: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Decode the pixels of a tile, `(rows, columns, 3)`; `base` is that of `encode_pixels`.

    Raises:
        CorruptError: no encoder writes these bytes. Most damage gives other pixels instead, which
            the tile's checksum finds.
    """
    coded = 1 if is_grey else NUM_COLOURS
    tables = model.mixtures.family(2 * max_error + 1)
    decoder = SymbolDecoder(stream, has_limits=True)
    pixels = np.empty((rows, columns, 3), np.uint8)
    pixels[0, 0, list(COLOURS)] = get_bytes(decoder, coded) + _BYTE_OFFSET
    for number in reversed(range(num_levels(rows, columns))):
        level = level_of(pixels, number)
        beneath = None if base is None else level_of(base, number)
        walk = LevelWalk(model, number, level[::2, ::2], threads, beneath)
        has_parameters = int(get_bytes(decoder, 1)[0])
        if has_parameters not in (0, 1):
            raise CorruptError(f"the flag of a level is {has_parameters}, it must be 0 or 1")
        for p in range(NUM_PASSES):
            walk.begin_pass(p)
            target = added(level, p)
            parameters = Parameters()
            if has_parameters:
                family = model.mixtures.family()
                parameters = Parameters.read(decoder, family, p, has_base=base is not None)
            own = walk.own(parameters)
            for k, colour in enumerate(COLOURS):
                prediction = walk.predict(k, walk.head(k, parameters), own, parameters)
                if k < coded:
                    there = tuple(slice(n) for n in target.shape[:2])
                    possible = limits(prediction.mean[there], max_error)
                    bins = decoder.get(prediction.tables[there].ravel(), tables, possible)
                    if not restore(bins, prediction, max_error, target[..., colour]):
                        raise CorruptError("a sample lies outside of 0 to 255")
                else:
                    target[..., colour] = target[..., COLOURS[0]]
                walk.settle(k, target[..., colour], prediction)
            walk.end_pass()
    decoder.finish()
    return pixels

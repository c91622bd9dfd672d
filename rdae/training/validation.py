"""Validation: what a model is worth as a codec, on photos that it has not been trained on.

Nothing is estimated: the average weights are exported to integers in memory, and held-out photos
are coded to the bytes of real files and decoded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist

from rdae.autoencoder.autoencoder import Autoencoder
from rdae.bitstream.container import read_container
from rdae.codec import encode
from rdae.codec.decoder import decode_pixels
from rdae.images.picture import Picture
from rdae.model.model import Model
from rdae.model.weights_file import Description
from rdae.training.data import Pixels
from rdae.training.export import integer_tensors

QUALITIES = (5.0, 25.0, 45.0, 65.0, 85.0)
MAX_PHOTOS = 8
MAX_SIDE = (
    1024  # larger photos are cut to their middle, so that a validation takes a minute at most
)


@dataclass(frozen=True)
class ValidationPoint:
    """Means over the validation photos at one quality.

    Attributes:
        quality: 0 to 100.
        bpp: bits per pixel of whole files.
        psnr: dB, of the decoded 8-bit pixels.
    """

    quality: float
    bpp: float
    psnr: float


def validate(model: Autoencoder, photos: Sequence[Pixels], crops: Pixels) -> list[ValidationPoint]:
    """Code the photos at five qualities; all processes call this and share the work.

    Args:
        model: the same weights in all processes.
        photos: `(H, W, 3)` uint8 each; the first `MAX_PHOTOS` count.
        crops: to calibrate the integers with, as of `rdae.training.export.calibration_crops`.

    Returns:
        A point for each quality; none without photos.

    Raises:
        ModelError: a weight is not finite or does not fit 16 bits.
        WeightsMismatchError: a layer could leave the exact range.
    """
    exact = Model(Description(1, "validation", model.spec, {}), integer_tensors(model, crops))
    chosen = [middle(photo) for photo in photos[:MAX_PHOTOS]]
    totals = torch.zeros(len(QUALITIES), 2, dtype=torch.float64)
    for photo in chosen[dist.get_rank() :: dist.get_world_size()]:
        picture = Picture(photo, None, False)
        for row, quality in zip(totals, QUALITIES, strict=True):
            data = encode(picture, quality=quality, model=exact, threads=1).data
            decoded = decode_pixels(read_container(data), exact, 1)
            mse = np.mean((decoded.astype(np.float64) - photo) ** 2)
            row[0] += 8 * len(data) / (photo.shape[0] * photo.shape[1])
            row[1] += 10 * np.log10(255**2 / max(mse, 1e-10))
    totals = totals.to(model.y_log_gain.device)  # where the process group computes
    dist.all_reduce(totals)
    if not chosen:
        return []
    means = (totals / len(chosen)).tolist()
    return [ValidationPoint(q, *row) for q, row in zip(QUALITIES, means, strict=True)]


def middle(photo: Pixels, most: int = MAX_SIDE) -> Pixels:
    """The middle of a photo, at most `most` pixels high and wide."""
    top, left = (max(side - most, 0) // 2 for side in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + most, left : left + most])

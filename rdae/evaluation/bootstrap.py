"""How sure a number is: 95 % intervals over the pictures.

Efron, "Bootstrap methods: another look at the jackknife", 1979: as many pictures as there are,
drawn with replacement, give the number again; of many such draws, the middle 95 % are the interval.
The draws are the same in every call, so that results can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rdae.evaluation.bd_rate import bd_rate, draws

Array = NDArray[np.float64]
Interval = list[float]  # lower and upper end

_DRAWS_OF_MEANS = 2000
_DRAWS_OF_CURVES = 1000  # each is a BD-rate
_KNOWN = 0.9  # of the draws that must have a number
_MIDDLE = (2.5, 97.5)  # percentiles


def mean_interval(values: Array) -> Interval | None:
    """The interval of a mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    picks, numbers = draws(_DRAWS_OF_MEANS, len(values))
    return _middle(values[picks].mean(axis=1)[numbers])


def rate_interval(
    rates: Array,
    qualities: Array,
    anchor_rates: Array,
    anchor_qualities: Array,
    scale: Callable[[Array], Array] = np.asarray,
) -> Interval | None:
    """The interval of the BD-rate of mean curves, in percent.

    Args:
        rates: `(pictures, points)`, bits per pixel or bytes.
        qualities: `(pictures, points)`.
        anchor_rates: `(pictures, points of the anchor)`, of the same pictures.
        anchor_qualities: alike.
        scale: puts mean qualities in a unit that does not saturate.

    Returns:
        Lower and upper end; None for a single picture, or if too many draws have no BD-rate.
    """
    if len(rates) < 2:
        return None
    picks, numbers = draws(_DRAWS_OF_CURVES, len(rates))
    of_picks = [
        bd_rate(
            rates[pick].mean(axis=0),
            scale(qualities[pick].mean(axis=0)),
            anchor_rates[pick].mean(axis=0),
            scale(anchor_qualities[pick].mean(axis=0)),
        )
        for pick in picks
    ]
    found = [of_picks[number] for number in numbers]
    known = np.array([rate for rate in found if rate is not None])
    return _middle(known) if len(known) >= _KNOWN * len(found) else None


def _middle(values: Array) -> Interval:
    low, high = np.percentile(values, _MIDDLE)
    return [float(low), float(high)]

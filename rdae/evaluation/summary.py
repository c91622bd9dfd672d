"""From rows to what is said about them: mean curves, BD-rates, times; one plain dict.

The rows of single pictures are the truth. A codec's curve is the mean rate and the mean quality
over the pictures at each of its settings, which is what papers show; MS-SSIM in decibels is taken
of the mean, so that published means can stand beside it. All codecs are compared over the same
pictures, except that one that cannot hold transparency does without those that have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.evaluation import bd_rate
from rdae.evaluation.bootstrap import mean_interval, rate_interval
from rdae.evaluation.measured import Measured, Published, compared
from rdae.evaluation.results import Results

SCHEMA = "rdae.eval-summary/1"

Array = NDArray[np.float64]


def summarise(run: Mapping[str, Any], results: Results, anchor: str) -> dict[str, Any]:
    """Put together the summary.

    Args:
        run: what run.json says: dataset, metrics, codecs, definitions, published curves.
        results: rows; those of other pictures, settings or qualities are left out.
        anchor: name of the codec that the others are compared with.

    Returns:
        A dict of schema `rdae.eval-summary/1`.
    """
    latest, cold = results.latest(), results.cold_starts()
    measured = [Measured(entry, run, latest, cold) for entry in run["codecs"]]
    published = [Published(entry) for entry in run["published"]]
    everyone: list[Measured | Published] = [*measured, *published]
    reference = next(codec for codec in everyone if codec.entry["name"] == anchor)
    dataset, metrics = run["dataset"], run["metrics"]
    names = {image["sha256"]: image["image"] for image in dataset["images"]}
    chosen = {metric: compared(measured, metric) for metric in metrics}
    coded = compared(measured, None)
    warnings = [*run["warnings"], *_left_out(len(coded), len(names))]
    codecs = []
    for codec in everyone:
        comparisons = {
            metric: _compare(
                codec, reference, metric, images, dataset["whole"] and len(images) == len(names)
            )
            for metric, images in chosen.items()
        }
        warnings += _control(codec.entry["label"], comparisons)
        if isinstance(codec, Published):
            facts = codec.summary(metrics)
        else:
            whole = codec.complete(None)
            own = {m: [i for i in images if i in whole] for m, images in chosen.items()}
            facts = codec.summary([i for i in coded if i in whole], own)
        codecs.append({**facts, "bd": comparisons})
    for one in measured:
        warnings += one.warnings()
    return {
        "schema": SCHEMA,
        **{key: run[key] for key in ("date", "command", "versions", "machine", "definitions")},
        "dataset": {
            "name": dataset["name"],
            "found": dataset["found"],
            "compared": {m: [names[i] for i in images] for m, images in chosen.items()},
            "extent": {m: _extent(images, dataset) for m, images in chosen.items()},
            "megapixels": _megapixels(dataset["images"], coded),
            "images": dataset["images"],
        },
        "metrics": metrics,
        "anchor": anchor,
        "codecs": codecs,
        "failed": sum(len(one.failures) for one in measured),
        "unreadable": dataset["unreadable"],
        "skipped": _skipped(metrics, measured),
        "warnings": list(dict.fromkeys(warnings)),
    }


def _extent(images: Sequence[str], dataset: Mapping[str, Any]) -> str:
    """How many pictures, of how many, copies included: `24 images`, `4 of 24 images`."""
    count = sum(entry["sha256"] in images for entry in dataset["images"])
    found = dataset["found"]
    of = "" if count == found else f"{count} of "
    return f"{of}{found} image{'s' * (found != 1)}"


def _megapixels(images: Sequence[Mapping[str, Any]], coded: Sequence[str]) -> float:
    sizes = {image["sha256"]: image["width"] * image["height"] for image in images}
    return float(sum(sizes[image] for image in coded)) / 1e6


def _left_out(coded: int, images: int) -> list[str]:
    if coded == images:
        return []
    return [
        f"compared over {coded} of {images} images: the others are not complete for every codec"
    ]


def _compare(
    codec: Measured | Published,
    anchor: Measured | Published,
    metric: str,
    chosen: Sequence[str],
    whole: bool,
) -> dict[str, Any]:
    """One codec against the anchor in one metric.

    Args:
        codec: the one.
        anchor: the other.
        metric: at whose equal values rates are compared.
        chosen: over which pictures.
        whole: these are all of the data set, so that published means of it can be compared with.
    """
    measured = [one for one in (codec, anchor) if isinstance(one, Measured)]
    complete = [one.complete(metric) for one in measured]
    images = [image for image in chosen if all(image in known for known in complete)]
    whole = whole and len(images) == len(chosen)
    curves = [one.mean_curve(metric, images) for one in (codec, anchor)]
    curves = [(rate, _scale(metric, value)) for rate, value in curves]
    delta = bd_rate.compare(*curves[0], *curves[1])
    why_not = delta.why_not
    if codec.entry.get("lossless"):
        why_not = "lossless"
    elif anchor.entry.get("lossless"):
        why_not = "the anchor is lossless"
    elif not (whole or isinstance(codec, type(anchor))):
        why_not = "published for the whole data set, of which a part was measured"
    result: dict[str, Any] = {
        "rate": delta.rate if why_not is None else None,
        "akima": delta.akima if why_not is None else None,
        "gain": delta.gain if why_not is None else None,
        "overlap": None if delta.overlap is None else list(delta.overlap),
        "overlap_share": delta.share,
        "why_not": why_not,
        "rate_interval": None,
        "image_mean": None,
        "interval": None,
        "images": {},
        "saving": None,
    }
    if why_not is not None:
        return result
    if not (isinstance(codec, Measured) and isinstance(anchor, Measured)):
        (rate, value), (anchor_rate, anchor_value) = curves
        result["saving"] = bd_rate.saving(
            rate[None], value[None], anchor_rate[None], anchor_value[None]
        )
        return result
    rates, values = codec.arrays(metric, images)
    anchor_rates, anchor_values = anchor.arrays(metric, images)
    scale = partial(_scale, metric)
    singles = {
        codec.names[image]: bd_rate.bd_rate(
            rates[i], scale(values[i]), anchor_rates[i], scale(anchor_values[i])
        )
        for i, image in enumerate(images)
    }
    known = np.array([value for value in singles.values() if value is not None])
    arrays = (rates, values, anchor_rates, anchor_values)
    result["images"] = singles
    result["rate_interval"] = rate_interval(*arrays, scale)
    result["image_mean"] = float(known.mean()) if len(known) else None
    result["interval"] = mean_interval(known)
    result["saving"] = bd_rate.saving(*arrays, scale)
    return result


def _scale(metric: str, values: Array) -> Array:
    """A scale on which equal steps mean about the same: MS-SSIM in decibels, others as they are."""
    if metric != "ms_ssim":
        return values
    with np.errstate(divide="ignore"):
        decibels: Array = -10 * np.log10(1 - values)
    return decibels


def _control(label: str, comparisons: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"{label}: PCHIP and Akima differ by {abs(bd['rate'] - bd['akima']):.1f} points in "
        f"{metric}; measure more qualities"
        for metric, bd in comparisons.items()
        if bd["rate"] is not None and abs(bd["rate"] - bd["akima"]) > bd_rate.AKIMA_TOLERANCE
    ]


def _skipped(metrics: Sequence[str], measured: Sequence[Measured]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for metric in metrics:
        reasons = {
            f"{row['image']}: {row['skipped'][metric]}": None
            for one in measured
            for row in one.rows
            if metric in row["skipped"]
        }
        if reasons:
            found[metric] = list(reasons)
    return found

"""From rows to what is said about them: mean curves, BD-rates, times; one plain dict.

The rows of single pictures are the truth. A codec's curve is the mean rate and the mean quality
over the pictures at each of its settings, which is what papers show; MS-SSIM in decibels is taken
of the mean, so that published means can stand beside it. Two codecs are compared over the
pictures that both have complete.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.evaluation import bd_rate
from rdae.evaluation.metrics import ms_ssim_db
from rdae.evaluation.results import Key, Results, Row

SCHEMA = "rdae.eval-summary/1"

Array = NDArray[np.float64]
Table = dict[str, dict[float, Row]]  # image's sha256 -> quality -> row


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
    measured = [_Measured(entry, run, latest, cold) for entry in run["codecs"]]
    published = [_Published(entry) for entry in run["published"]]
    everyone: list[_Measured | _Published] = [*measured, *published]
    reference = next(codec for codec in everyone if codec.entry["name"] == anchor)
    warnings = [*run["warnings"]]
    codecs = []
    for codec in everyone:
        comparisons = {
            m: _compare(codec, reference, m, whole=run["dataset"]["whole"]) for m in run["metrics"]
        }
        warnings += _control(codec.entry["label"], comparisons)
        codecs.append({**codec.summary(run["metrics"]), "bd": comparisons})
    for one in measured:
        warnings += one.warnings()
    return {
        "schema": SCHEMA,
        **{key: run[key] for key in ("date", "command", "versions", "machine", "definitions")},
        "dataset": {
            "name": run["dataset"]["name"],
            "megapixels": sum(i["width"] * i["height"] for i in run["dataset"]["images"]) / 1e6,
            "images": run["dataset"]["images"],
        },
        "metrics": run["metrics"],
        "anchor": anchor,
        "codecs": codecs,
        "failed": sum(one.failed for one in measured),
        "unreadable": run["dataset"]["unreadable"],
        "skipped": _skipped(run["metrics"], measured),
        "warnings": list(dict.fromkeys(warnings)),
    }


class _Measured:
    """A codec that was run: its good rows, by picture and quality."""

    def __init__(
        self,
        entry: Mapping[str, Any],
        run: Mapping[str, Any],
        rows: Mapping[Key, Row],
        cold: Mapping[tuple[str, str], float],
    ) -> None:
        self.entry = entry
        self.qualities: list[float] = entry["qualities"]
        self.names = {i["sha256"]: i["image"] for i in run["dataset"]["images"]}
        keys = [
            (image, entry["name"], entry["settings"], quality)
            for image in self.names
            for quality in self.qualities
        ]
        found = [rows[key] for key in keys if key in rows]
        self.rows = [row for row in found if row["ok"]]
        self.failures = [row for row in found if not row["ok"]]
        self.failed = len(self.failures)
        self.missing = len(keys) - len(found)
        self.table: Table = {}
        for row in self.rows:
            self.table.setdefault(row["sha256"], {})[row["quality"]] = row
        self.cold_start = cold.get((entry["name"], entry["settings"]))

    def complete(self, metric: str) -> list[str]:
        """The pictures that have rate and metric at every quality."""
        return [
            image
            for image, by_quality in self.table.items()
            if len(by_quality) == len(self.qualities)
            and all(row.get(metric) is not None for row in by_quality.values())
        ]

    def arrays(self, metric: str, images: Sequence[str]) -> tuple[Array, Array]:
        """Rates and metric, each `(images, qualities)`."""
        rows = [[self.table[image][q] for q in self.qualities] for image in images]
        shape = (len(images), len(self.qualities))
        rates = np.array([[r["bpp"] for r in line] for line in rows], float).reshape(shape)
        values = np.array([[r[metric] for r in line] for line in rows], float).reshape(shape)
        return rates, values

    def mean_curve(self, metric: str, images: Sequence[str]) -> tuple[Array, Array]:
        rates, values = self.arrays(metric, images)
        if not images:
            return np.empty(0), np.empty(0)
        return rates.mean(axis=0), values.mean(axis=0)

    def summary(self, metrics: Sequence[str]) -> dict[str, Any]:
        """Everything but the comparisons."""
        whole = [
            i for i, by_quality in self.table.items() if len(by_quality) == len(self.qualities)
        ]
        points = (
            [self._point(quality, whole, metrics) for quality in self.qualities] if whole else []
        )
        loads = [row["load_s"] for row in self.rows if row["load_s"] is not None]
        return {
            **{k: self.entry[k] for k in ("name", "label", "kind", "settings", "lossless")},
            "source": None,
            "images": len(whole),
            "points": sorted(points, key=lambda point: point["bpp"]),
            "encode_mps": self._speed("encode_s"),
            "decode_mps": self._speed("decode_s"),
            "load_s": statistics.median(loads) if loads else None,
            "cold_start_s": self.cold_start,
            "failed": self.failed,
            "failures": [
                {key: row[key] for key in ("image", "quality", "error")} for row in self.failures
            ],
        }

    def _point(self, quality: float, images: list[str], metrics: Sequence[str]) -> dict[str, Any]:
        rows = [self.table[image][quality] for image in images]
        point: dict[str, Any] = {
            "quality": None if self.entry["lossless"] else quality,
            "bpp": statistics.fmean(row["bpp"] for row in rows),
        }
        for metric in metrics:
            known = self.complete(metric)
            values = [self.table[image][quality][metric] for image in images if image in known]
            point[metric] = statistics.fmean(values) if values else None
            if values and len(values) < len(images):
                rate = statistics.fmean(self.table[image][quality]["bpp"] for image in known)
                point.setdefault("bpp_of", {})[metric] = rate
        _add_decibels(point)
        bits = [row["bits"] for row in rows if row["bits"]]
        parts = {key: statistics.fmean(b[key] for b in bits) for key in bits[0]} if bits else None
        return {**point, "bits": parts}

    def _speed(self, key: str) -> float | None:
        seconds = sum(row[key] for row in self.rows)
        pixels = sum(row["width"] * row["height"] for row in self.rows)
        return pixels / 1e6 / seconds if seconds else None

    def warnings(self) -> list[str]:
        """What makes this codec's figures less than they seem."""
        label, found = self.entry["label"], []
        if self.failed:
            first = self.failures[0]
            found.append(
                f"{label}: {self.failed} failed, the first {first['image']} at quality "
                f"{first['quality']:g}: {first['error']}"
            )
        if self.missing:
            found.append(f"{label}: {self.missing} not measured (the run was not finished)")
        same = {row["image"] for row in self.rows if row["identical"]}
        if same and not self.entry["lossless"]:
            found.append(
                f"{label}: pixels came back identical for {_some(same)}; "
                "no PSNR, so not in its mean"
            )
        return found


class _Published:
    """A curve that others have published: one line of means, nothing of single pictures."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.entry = entry

    def mean_curve(self, metric: str, images: Sequence[str]) -> tuple[Array, Array]:
        points = [p for p in self.entry["points"] if p.get(metric) is not None]
        return np.array([p["bpp"] for p in points]), np.array([p[metric] for p in points])

    def complete(self, metric: str) -> list[str]:
        return []

    def summary(self, metrics: Sequence[str]) -> dict[str, Any]:
        points = []
        for known in self.entry["points"]:
            point = {"quality": None, "bpp": known["bpp"], "bits": None}
            point.update({metric: known.get(metric) for metric in metrics})
            _add_decibels(point)
            points.append(point)
        return {
            **{k: self.entry[k] for k in ("name", "label", "settings", "source")},
            **{k: self.entry.get(k) for k in ("encode_mps", "decode_mps")},
            "kind": "published",
            "lossless": False,
            "images": None,
            "points": sorted(points, key=lambda point: point["bpp"]),
            "load_s": None,
            "cold_start_s": None,
            "failed": 0,
            "failures": [],
        }


def _compare(
    codec: _Measured | _Published, anchor: _Measured | _Published, metric: str, *, whole: bool
) -> dict[str, Any]:
    """One codec against the anchor in one metric, over the pictures that both have."""
    both_measured = isinstance(codec, _Measured) and isinstance(anchor, _Measured)
    ours = codec.complete(metric) or anchor.complete(metric)
    images = [i for i in ours if i in set(anchor.complete(metric))] if both_measured else ours
    curves = [one.mean_curve(metric, images) for one in (codec, anchor)]
    curves = [(rate, _scale(metric, value)) for rate, value in curves]
    delta = bd_rate.compare(*curves[0], *curves[1])
    why_not = delta.why_not
    if any(one.entry.get("lossless") for one in (codec, anchor)):
        why_not = "lossless"
    elif not (whole or isinstance(codec, type(anchor))):
        why_not = "published for the whole data set, of which a part was measured"
    result: dict[str, Any] = {
        "rate": delta.rate if why_not is None else None,
        "akima": delta.akima if why_not is None else None,
        "gain": delta.gain if why_not is None else None,
        "overlap": None if delta.overlap is None else list(delta.overlap),
        "overlap_share": delta.share,
        "why_not": why_not,
        "image_mean": None,
        "interval": None,
        "images": {},
        "saving": None,
    }
    if why_not is not None:
        return result
    if not (isinstance(codec, _Measured) and isinstance(anchor, _Measured)):
        (rate, value), (anchor_rate, anchor_value) = curves
        result["saving"] = bd_rate.saving(
            rate[None], value[None], anchor_rate[None], anchor_value[None]
        )
        return result
    rates, values = codec.arrays(metric, images)
    anchor_rates, anchor_values = anchor.arrays(metric, images)
    values, anchor_values = _scale(metric, values), _scale(metric, anchor_values)
    singles = {
        codec.names[image]: bd_rate.compare(
            rates[i], values[i], anchor_rates[i], anchor_values[i]
        ).rate
        for i, image in enumerate(images)
    }
    known = np.array([value for value in singles.values() if value is not None])
    found = bd_rate.interval(known)
    result["images"] = singles
    result["image_mean"] = float(known.mean()) if len(known) else None
    result["interval"] = None if found is None else list(found)
    result["saving"] = bd_rate.saving(rates, values, anchor_rates, anchor_values)
    return result


def _scale(metric: str, values: Array) -> Array:
    """A scale on which equal steps mean about the same: MS-SSIM in decibels, others as they are."""
    if metric != "ms_ssim":
        return values
    with np.errstate(divide="ignore"):
        decibels: Array = -10 * np.log10(1 - values)
    return decibels


def _add_decibels(point: dict[str, Any]) -> None:
    value = point.get("ms_ssim")
    if "ms_ssim" in point:
        point["ms_ssim_db"] = ms_ssim_db(value) if value is not None and value < 1 else None


def _control(label: str, comparisons: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"{label}: PCHIP and Akima differ by {abs(bd['rate'] - bd['akima']):.1f} points in "
        f"{metric}; measure more qualities"
        for metric, bd in comparisons.items()
        if bd["rate"] is not None and abs(bd["rate"] - bd["akima"]) > bd_rate.AKIMA_TOLERANCE
    ]


def _skipped(metrics: Sequence[str], measured: Sequence[_Measured]) -> dict[str, list[str]]:
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


def _some(names: set[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")

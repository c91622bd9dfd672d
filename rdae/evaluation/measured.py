"""A codec of an evaluation as a table of its rows, and the curve that it has over some pictures.

What a codec has complete and what can be compared are two things: means of different pictures do
not belong side by side, so all is asked for over pictures that `compared` has chosen for everyone.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.evaluation.metrics import ms_ssim_db
from rdae.evaluation.results import Key, Row

Array = NDArray[np.float64]


class Measured:
    """A codec that was run: its good rows, by picture and quality.

    Attributes:
        entry: what run.json says of it.
        names: short names of the pictures, by hash.
        holds: hashes of the pictures that it can code; the others have transparency.
        rows: the good ones.
        failures: those of the others that were tried.
        missing: how many were not.
    """

    def __init__(
        self,
        entry: Mapping[str, Any],
        run: Mapping[str, Any],
        rows: Mapping[Key, Row],
        cold: Mapping[tuple[str, str], float],
    ) -> None:
        """Pick the codec's rows out of all."""
        self.entry = entry
        self.names = {i["sha256"]: str(i["image"]) for i in run["dataset"]["images"]}
        self.holds = [
            image["sha256"]
            for image in run["dataset"]["images"]
            if entry["holds_alpha"] or not image["alpha"]
        ]
        keys = [
            (image, entry["name"], entry["settings"], quality)
            for image in dict.fromkeys(self.holds)
            for quality in entry["qualities"]
        ]
        found = [rows[key] for key in keys if key in rows]
        self.rows = [row for row in found if row["ok"]]
        self.failures = [row for row in found if not row["ok"]]
        self.missing = len(keys) - len(found)
        self._table: dict[str, dict[float, Row]] = {}
        for row in self.rows:
            self._table.setdefault(row["sha256"], {})[row["quality"]] = row
        self._cold_start = cold.get((entry["name"], entry["settings"]))

    def complete(self, metric: str | None) -> set[str]:
        """The pictures that have rate and metric, or the rate alone, at every quality."""
        return {
            image
            for image, by_quality in self._table.items()
            if len(by_quality) == len(self.entry["qualities"])
            and (metric is None or all(row.get(metric) is not None for row in by_quality.values()))
        }

    def arrays(self, metric: str, images: Sequence[str]) -> tuple[Array, Array]:
        """Rates and metric, each `(images, qualities)`."""
        qualities = self.entry["qualities"]
        rows = [[self._table[image][q] for q in qualities] for image in images]
        shape = (len(images), len(qualities))
        rates = np.array([[r["bpp"] for r in line] for line in rows], float).reshape(shape)
        values = np.array([[r[metric] for r in line] for line in rows], float).reshape(shape)
        return rates, values

    def mean_curve(self, metric: str, images: Sequence[str]) -> tuple[Array, Array]:
        """Mean rates and mean qualities over pictures, each `(qualities,)`; empty without any."""
        if not images:
            return np.empty(0), np.empty(0)
        rates, values = self.arrays(metric, images)
        return rates.mean(axis=0), values.mean(axis=0)

    def summary(
        self, images: Sequence[str], images_of: Mapping[str, Sequence[str]]
    ) -> dict[str, Any]:
        """Everything but the comparisons.

        Args:
            images: those that its rates are the means of.
            images_of: those that each metric's means are of, by metric.
        """
        qualities = self.entry["qualities"] if images else []
        points = [self._point(quality, images, images_of) for quality in qualities]
        loads = [row["load_s"] for row in self.rows if row["load_s"] is not None]
        return {
            **{k: self.entry[k] for k in ("name", "label", "kind", "settings", "lossless")},
            "source": None,
            "images": len(images),
            "transparent": sorted(
                name for image, name in self.names.items() if image not in self.holds
            ),
            "reused": sum(bool(row.get("reused")) for row in self.rows),
            "points": sorted(points, key=lambda point: point["bpp"]),
            "encode_mps": self._speed("encode_s"),
            "decode_mps": self._speed("decode_s"),
            "load_s": statistics.median(loads) if loads else None,
            "cold_start_s": self._cold_start,
            "failed": len(self.failures),
            "failures": [
                {key: row[key] for key in ("image", "quality", "error")} for row in self.failures
            ],
        }

    def _point(
        self, quality: float, images: Sequence[str], images_of: Mapping[str, Sequence[str]]
    ) -> dict[str, Any]:
        rows = [self._table[image][quality] for image in images]
        point: dict[str, Any] = {
            "quality": None if self.entry["lossless"] else quality,
            "bpp": statistics.fmean(row["bpp"] for row in rows),
        }
        for metric, some in images_of.items():
            known = [self._table[image][quality] for image in some]
            known = [row for row in known if row.get(metric) is not None]
            point[metric] = statistics.fmean(row[metric] for row in known) if known else None
            if known and len(known) < len(rows):
                rate = statistics.fmean(row["bpp"] for row in known)
                point.setdefault("bpp_of", {})[metric] = rate
        add_decibels(point)
        bits = [row["bits"] for row in rows if row["bits"]]
        parts = {key: statistics.fmean(b[key] for b in bits) for key in bits[0]} if bits else None
        return {**point, "bits": parts}

    def _speed(self, key: str) -> float | None:
        timed = [row for row in self.rows if row[key] is not None]
        seconds = sum(row[key] for row in timed)
        pixels = sum(row["width"] * row["height"] for row in timed)
        return pixels / 1e6 / seconds if seconds else None

    def warnings(self) -> list[str]:
        """What makes this codec's figures less than they seem."""
        label, found = self.entry["label"], []
        if self.failures:
            first = self.failures[0]
            found.append(
                f"{label}: {len(self.failures)} failed, the first {first['image']} at quality "
                f"{first['quality']:g}: {first['error']}"
            )
        if self.missing:
            found.append(f"{label}: {self.missing} not measured (the run was not finished)")
        if excused := [name for image, name in self.names.items() if image not in self.holds]:
            found.append(
                f"{label} cannot hold transparency: compared without {some(excused)}, "
                f"which the others have"
            )
        same = {row["image"] for row in self.rows if row["identical"]}
        if same and not self.entry["lossless"]:
            found.append(
                f"{label}: pixels came back identical for {some(sorted(same))}; "
                "no PSNR, so not in its means"
            )
        return found


class Published:
    """A curve that others have published: one line of means, nothing of single pictures."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        """Take an entry of run.json."""
        self.entry = entry

    def mean_curve(self, metric: str, images: Sequence[str]) -> tuple[Array, Array]:
        """Rates and qualities, each `(points,)`, whatever the pictures."""
        points = [p for p in self.entry["points"] if p.get(metric) is not None]
        return np.array([p["bpp"] for p in points]), np.array([p[metric] for p in points])

    def summary(self, metrics: Sequence[str]) -> dict[str, Any]:
        """Everything but the comparisons."""
        points = []
        for known in self.entry["points"]:
            point = {"quality": None, "bpp": known["bpp"], "bits": None}
            point.update({metric: known.get(metric) for metric in metrics})
            add_decibels(point)
            points.append(point)
        return {
            **{k: self.entry[k] for k in ("name", "label", "settings", "source")},
            **{k: self.entry.get(k) for k in ("encode_mps", "decode_mps")},
            "kind": "published",
            "lossless": False,
            "images": None,
            "transparent": [],
            "reused": 0,
            "points": sorted(points, key=lambda point: point["bpp"]),
            "load_s": None,
            "cold_start_s": None,
            "failed": 0,
            "failures": [],
        }


def compared(measured: Sequence[Measured], metric: str | None) -> list[str]:
    """The pictures over which codecs are compared in a metric, or in rate alone.

    A picture counts if all codecs that can hold it have it complete. Codecs that have not a single
    one, as lossless ones have no PSNR, are not asked.

    Returns:
        Hashes, in the order of the data set.
    """
    having = [(set(one.holds), one.complete(metric)) for one in measured]
    having = [(holds, complete) for holds, complete in having if complete]
    images = measured[0].names if measured else {}
    return [
        image
        for image in images
        if any(image in complete for _, complete in having)
        and all(image in complete or image not in holds for holds, complete in having)
    ]


def add_decibels(point: dict[str, Any]) -> None:
    """Put the MS-SSIM of a point, if it has one, in decibels beside it."""
    if "ms_ssim" in point:
        value = point["ms_ssim"]
        decibels = math.inf if value is None else ms_ssim_db(value)
        point["ms_ssim_db"] = decibels if math.isfinite(decibels) else None


def some(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

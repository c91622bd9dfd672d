"""The codecs that Pillow has, by itself or through a plugin.

Settings are those that make a comparison fair: the encoders' slow modes where they are affordable,
full colour resolution (Pillow's default for AVIF and HEIC is 4:2:0, which caps the PSNR), and
one thread.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from rdae.errors import MissingDependencyError
from rdae.evaluation.protocol import LOSSLESS_QUALITY, SpecError, check_range
from rdae.extras import install_hint
from rdae.images.transparency import Pixels


@dataclass(frozen=True)
class Format:
    """A format that Pillow writes: how, with which settings, over which qualities.

    Attributes:
        label: for people.
        name: Pillow's name.
        engine: the library that does the work, as Pillow names it; "" where it says no version.
        options: keywords of Pillow's `save`.
        keys: settings that a spec may give and their values, the default one first; "" leaves it
            to the library.
        limits: the lowest and the highest quality.
        qualities: default points, about 24 to 42 dB on photographs; none if it is lossless.
        plugin: module that teaches Pillow the format.
        package: where the module comes from.
        alpha: it can hold transparency.
    """

    label: str
    name: str
    engine: str
    options: Mapping[str, Any]
    keys: Mapping[str, tuple[str, ...]]
    limits: tuple[float, float] = (0, 100)
    qualities: tuple[float, ...] = ()
    plugin: str = ""
    package: str = "pillow"
    alpha: bool = True


_SAMPLINGS = {"444": "4:4:4", "420": "4:2:0"}
_METHODS = ("6", "5", "4", "3", "2", "1", "0")
_AVIF_ENCODER = re.compile(r"(\w+) \[enc[^]]*\]:([^, ]+)")  # as in "aom [enc/dec]:3.14.1"
_X265 = re.compile(r"x265.*\(([^)]+)\)")
_X265_PRESETS = ("", "ultrafast", "veryfast", "fast", "medium", "slow", "veryslow", "placebo")

FORMATS = {
    "jpeg": Format(
        "JPEG",
        "JPEG",
        "libjpeg_turbo",
        {},
        {"subsampling": tuple(_SAMPLINGS), "optimize": ("1", "0")},
        (1, 100),
        (5, 9, 15, 23, 33, 45, 58, 70, 80, 87, 92, 95),
        alpha=False,
    ),
    "jpeg2000": Format(
        "JPEG 2000",
        "JPEG2000",
        "jpg_2000",
        # The quality is the PSNR to reach; without `mct` each of R, G and B is coded for itself.
        {"irreversible": True, "mct": 1, "quality_mode": "dB"},
        {},
        (10, 80),
        (26, 28, 30, 32, 34, 36, 38, 40, 42),
    ),
    "webp": Format(
        "WebP",
        "WEBP",
        "webp",
        {},
        {"method": _METHODS},
        (0, 100),
        (0, 5, 12, 22, 34, 48, 62, 75, 84, 90, 94),
    ),
    "avif": Format(
        "AVIF",
        "AVIF",
        "avif",
        {"max_threads": 1, "autotiling": False},
        {
            "speed": ("6", *map(str, (0, 1, 2, 3, 4, 5, 7, 8, 9, 10))),
            "subsampling": tuple(_SAMPLINGS),
            "tune": ("", "psnr", "ssim", "iq"),
        },
        (0, 100),
        (6, 15, 24, 33, 42, 51, 60, 68, 76, 84),
    ),
    "heic": Format(
        "HEIC",
        "HEIF",
        "",
        {},
        {
            "subsampling": tuple(_SAMPLINGS),
            "preset": _X265_PRESETS,
            "tune": ("", "psnr", "ssim", "grain"),
        },
        (0, 100),
        (12, 19, 26, 33, 40, 47, 54, 61, 68),
        "pillow_heif",
        "pillow-heif",
    ),
    "jxl": Format(
        "JPEG XL",
        "JXL",
        "",
        {"num_threads": 1},
        {"effort": ("7", *map(str, (1, 2, 3, 4, 5, 6, 8, 9)))},
        (0, 100),
        (5, 12, 22, 34, 46, 58, 68, 77, 85, 90, 94),
        "pillow_jxl",
        "pillow-jxl-plugin",
    ),
    "jxl-lossless": Format(
        "JPEG XL lossless",
        "JXL",
        "",
        {"lossless": True, "num_threads": 1},
        {"effort": ("7", *map(str, (1, 2, 3, 4, 5, 6, 8, 9)))},
        plugin="pillow_jxl",
        package="pillow-jxl-plugin",
    ),
    "png": Format("PNG", "PNG", "", {"optimize": True}, {}),
    "webp-lossless": Format(
        "WebP lossless", "WEBP", "webp", {"lossless": True, "quality": 100}, {"method": _METHODS}
    ),
}


class PillowCodec:
    """A codec that Pillow, or a plugin of it, has."""

    has_model = False
    kind = "codec"

    def __init__(
        self, name: str, base: str, settings: Mapping[str, str], qualities: Sequence[float]
    ) -> None:
        """Put the options together.

        Args:
            name: canonical spec.
            base: a key of `FORMATS`.
            settings: values for its keys, without those that are the default.
            qualities: points to measure; the default ones if empty.

        Raises:
            SpecError: a setting's value is not possible.
            MissingDependencyError: Pillow was built without the format, or a package is missing.
        """
        self.name, self._format = name, FORMATS[base]
        for key, value in settings.items():
            if value not in self._format.keys[key]:
                known = sorted((v for v in self._format.keys[key] if v), key=lambda v: (len(v), v))
                raise SpecError(
                    f"{name}: {key} cannot be {value}", hint=f"{key} is one of {', '.join(known)}"
                )
        _require(self._format)
        self.lossless = not self._format.qualities
        self.holds_alpha = self._format.alpha
        grid = qualities or self._format.qualities or (LOSSLESS_QUALITY,)
        self.qualities = tuple(map(float, grid))
        values = {key: known[0] for key, known in self._format.keys.items()} | dict(settings)
        self._options = {"format": self._format.name, **self._format.options, **_keywords(values)}
        if self._format.name == "HEIF":
            parameters = {k: v for k in ("preset", "tune") if (v := self._options.pop(k, None))}
            self._options["enc_params"] = parameters
        self.label = " ".join([self._format.label, *(_said(k, v) for k, v in settings.items())])
        said = [_said(key, value) for key, value in values.items() if value]
        if self._format.name == "JPEG2000":
            said.append("irreversible 9/7")
        self.settings = ", ".join([*said, *_versions(self._format)])

    def load(self) -> None:
        """Import the plugin."""
        if self._format.name == "HEIF":
            import_module("pillow_heif").register_heif_opener(decode_threads=1)
        elif self._format.plugin:
            import_module(self._format.plugin).JpegXLImagePlugin.DECODE_THREADS = 1

    def check_quality(self, quality: float) -> None:
        """Raise SpecError if the format has no such quality."""
        check_range(self.name, quality, *self._format.limits)
        if quality != round(quality) and self._format.name != "JPEG2000":
            raise SpecError(f"{self.name} has whole qualities only, not {quality:g}")

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return the bytes of the file that Pillow writes."""
        buffer = io.BytesIO()
        options = dict(self._options)
        if self._format.name == "JPEG2000":
            options["quality_layers"] = [quality]
        elif not self.lossless:
            options["quality"] = round(quality)
        Image.fromarray(pixels).save(buffer, **options)
        return buffer.getvalue()

    def decode(self, data: bytes) -> Pixels:
        """Return the pixels that Pillow reads."""
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))

    def bits(self, data: bytes) -> None:
        """These formats have other parts."""

    def cold_command(self, source: Path, output: Path) -> list[str]:
        """Python, Pillow, and nothing else."""
        program = "import sys; from PIL import Image; "
        if self._format.name == "HEIF":
            program += "import pillow_heif; pillow_heif.register_heif_opener(); "
        elif self._format.plugin:
            program += f"import {self._format.plugin}; "
        program += "Image.open(sys.argv[1]).convert('RGB').save(sys.argv[2], compress_level=3)"
        return [sys.executable, "-c", program, str(source), str(output)]


def _said(key: str, value: str) -> str:
    """A setting as people put it: `4:2:0`, `speed 4`."""
    if key == "optimize":
        return "optimize" if value == "1" else "no optimize"
    return _SAMPLINGS[value] if key == "subsampling" else f"{key} {value}"


def _keywords(values: Mapping[str, str]) -> dict[str, Any]:
    """Turn settings into keywords of Pillow's `save`."""
    keywords: dict[str, Any] = {}
    for key, value in values.items():
        if key == "subsampling":
            keywords[key] = _SAMPLINGS[value]
        elif key == "tune" and "speed" in values:  # AVIF
            keywords |= {"advanced": {"tune": value}} if value else {}
        elif value:
            keywords[key] = int(value) if value.isdecimal() else value
    return keywords


def _versions(format: Format) -> list[str]:
    """Package, library, and the encoder behind it: what can change the bytes of a file."""
    found = [f"{format.package} {version(format.package)}"]
    if format.name == "HEIF":
        libraries = import_module("pillow_heif").libheif_info()
        found.append(f"libheif {libraries['libheif']}")
        found += [f"x265 {number}" for number in re.findall(_X265, libraries["HEIF"])]
    elif format.engine:
        names = {"libjpeg_turbo": "libjpeg-turbo", "jpg_2000": "openjpeg"}
        name = names.get(format.engine, f"lib{format.engine}")
        found.append(f"{name} {features.version(format.engine)}")
    if format.name == "AVIF":
        # libavif only packs what an encoder makes, whose version `features` does not tell.
        told = import_module("PIL._avif").codec_versions()
        found += [f"{name} {number}" for name, number in re.findall(_AVIF_ENCODER, told)]
    return found


def _require(format: Format) -> None:
    if format.plugin and find_spec(format.plugin) is None:
        raise MissingDependencyError(
            f"{format.label} needs {format.package}", hint=install_hint("eval")
        )
    if format.engine not in ("", "libjpeg_turbo") and not features.check(format.engine):
        raise MissingDependencyError(f"this Pillow was built without {format.label}")

"""The codecs that `rdae eval` measures, behind one small protocol.

A codec turns 8-bit RGB, where it can also RGBA, into the bytes of a whole file at a quality of its
own scale, and back.
All work in this process, on one thread, and get the same bare pixels: no metadata, and never an
opened file (JPEG XL, for one, would transcode a JPEG without loss and ignore the quality).

Specs name a codec and its settings, `name:key=value:key=value`:

    rdae              model=NAME or FILE.safetensors, effort=1..9 (from 3 on it needs torch, and
                      takes tune=psnr or eye)
    jpeg              optimize; subsampling=444 or 420
    jpeg2000          irreversible 9/7; its quality is the PSNR in dB that the encoder aims at
    webp              method=0..6
    avif              speed=0..10, subsampling=444 or 420, tune=NAME (libaom's)
    heic              subsampling=444 or 420, preset=NAME, tune=NAME (x265's); pillow-heif
    jxl               effort=1..9; pillow-jxl-plugin
    rdae-lossless     base=Q: with a lossy picture of that quality first
    png, webp-lossless
    jxl-lossless      effort=1..9
    compressai:ZOO    a model of CompressAI's zoo, metric=mse or ms-ssim; `rdae.evaluation.zoo`

and `quality=10/30/50` for all of them. It deliberately does not run external programs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rdae.evaluation.lossless_codec import RdaeLossless
from rdae.evaluation.pillow_codecs import FORMATS, PillowCodec
from rdae.evaluation.protocol import Codec, SpecError, check_range
from rdae.images.transparency import Pixels, picture_of, pixels_of
from rdae.scales import DEFAULT_EFFORT, MAX_EFFORT, REFINED_EFFORT, TUNES

# To be had by name; the zoo's models are named one by one.
CODEC_NAMES = ("rdae", "rdae-lossless", *FORMATS)
_RDAE_SETTINGS = ("model", "effort", "tune")
_RDAE_QUALITIES = (0.0, 5.0, 12.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0)


@dataclass
class Rdae:
    """This project's codec with one of its models."""

    name: str
    model_name: str | None
    qualities: tuple[float, ...]
    effort: int = DEFAULT_EFFORT
    tune: str | None = None
    kind: str = "ours"
    lossless: bool = False
    has_model: bool = True
    holds_alpha: bool = True

    @cached_property
    def _model(self) -> Any:
        from rdae.model.installed import load_model

        return load_model(self.model_name)

    @cached_property
    def settings(self) -> str:
        """Model, its fingerprint, and the encoder's effort."""
        from rdae import __version__

        description = self._model.description
        fingerprint = self._model.fingerprint.hex()
        model = f"model {description.name} ({fingerprint})"
        return f"rdae {__version__}, {model}, effort {self.effort}{self._tuned}, 4:4:4"

    @property
    def label(self) -> str:
        """`rdae`, and model and effort if they are not the default ones."""
        name = "" if self.model_name is None else f" {self._model.description.name}"
        effort = "" if self.effort == DEFAULT_EFFORT else f" effort {self.effort}"
        return f"rdae{name}{effort}{self._tuned}"

    @property
    def _tuned(self) -> str:
        return "" if self.tune is None else f" tune {self.tune}"

    @property
    def provenance(self) -> dict[str, Any]:
        """What the weights file says of its training."""
        found: dict[str, Any] = self._model.description.provenance
        return found

    def load(self) -> None:
        """Load the model."""
        self._model  # noqa: B018 - loads it

    def check_quality(self, quality: float) -> None:
        """Raise SpecError if the quality is not in 0..100."""
        check_range(self.name, quality, 0, 100)

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return the bytes of a .rd file."""
        from rdae.codec import encode

        return encode(
            picture_of(pixels),
            quality=quality,
            effort=self.effort,
            tune=self.tune,
            model=self._model,
            threads=1,
        ).data

    def decode(self, data: bytes) -> Pixels:
        """Return the pixels of a .rd file, through everything that `rdae decompress` checks."""
        from rdae.codec import decode

        return pixels_of(decode(data, weights=self._model.path, threads=1))

    def bits(self, data: bytes) -> dict[str, int]:
        """Bits of the latent, the hyper-latent, and of all else (header and checksums)."""
        from rdae.bitstream.info import parse_info

        info = parse_info(data)
        y, z = 8 * info.y_bytes, 8 * info.z_bytes
        return {"y": y, "z": z, "header": 8 * len(data) - y - z}

    def cold_command(self, source: Path, output: Path) -> list[str]:
        """The command line itself."""
        command = [sys.executable, "-m", "rdae", "decompress", str(source), "-o", str(output)]
        return [*command, "--quiet", "--weights", str(self._model.path)]


def parse_spec(spec: str) -> Codec:
    """Make a codec of its spec, as `avif:speed=4`.

    Raises:
        SpecError: no such codec, setting or value.
        MissingDependencyError: the codec needs a package that is not installed.
        ModelError: rdae's model is not there or damaged.
    """
    base, *rest = spec.strip().split(":")
    settings: dict[str, str] = {}
    zoo_model = rest.pop(0) if base == "compressai" and rest and "=" not in rest[0] else ""
    for item in rest:
        key, equals, value = item.partition("=")
        if "model" in settings and item and item not in (*_RDAE_SETTINGS, "quality") and not equals:
            settings["model"] += f":{item}"  # the path of a file may have colons
            continue
        if not (key and equals and value):
            raise SpecError(f"{spec}: {item or 'nothing'} is not key=value", hint=_SPEC_HINT)
        if key in settings:
            raise SpecError(f"{spec}: {key} is given twice")
        settings[key] = value
    qualities = _qualities(spec, settings.pop("quality", ""))
    codec = _make(spec, base, zoo_model, settings, qualities)
    for quality in codec.qualities:
        codec.check_quality(quality)
    return codec


_SPEC_HINT = f"name:key=value, as avif:speed=4; names: {', '.join(CODEC_NAMES)}, compressai:MODEL"


def _make(
    spec: str, base: str, zoo_model: str, settings: dict[str, str], qualities: tuple[float, ...]
) -> Codec:
    if base == "compressai":
        from rdae.evaluation.zoo import ZooCodec

        _check_keys(spec, settings, ("metric",))
        return ZooCodec(zoo_model, settings.get("metric", "mse"), qualities)
    if base == "rdae":
        _check_keys(spec, settings, _RDAE_SETTINGS)
        effort = settings.get("effort", str(DEFAULT_EFFORT))
        if effort not in map(str, range(1, MAX_EFFORT + 1)):
            raise SpecError(f"{spec}: effort takes 1 to {MAX_EFFORT}")
        tune = settings.get("tune")
        if tune is not None and (tune not in TUNES or int(effort) < REFINED_EFFORT):
            raise SpecError(
                f"{spec}: tune is {' or '.join(TUNES)}, and counts from effort {REFINED_EFFORT} on"
            )
        if int(effort) == DEFAULT_EFFORT:
            settings.pop("effort", None)  # spelled out it is the same codec
        name, model = _name(base, settings), settings.get("model")
        return Rdae(name, model, qualities or _RDAE_QUALITIES, int(effort), tune)
    if base == "rdae-lossless":
        _check_keys(spec, settings, ("base",), has_quality=False)
        if qualities:
            raise SpecError(f"{spec}: {base} is lossless and has no quality")
        return RdaeLossless.of(spec, settings.get("base"))
    if base not in FORMATS:
        raise SpecError(f"there is no codec {base or spec!r}", hint=_SPEC_HINT)
    has_quality = bool(FORMATS[base].qualities)
    _check_keys(spec, settings, tuple(FORMATS[base].keys), has_quality=has_quality)
    if qualities and not FORMATS[base].qualities:
        raise SpecError(f"{spec}: {base} is lossless and has no quality")
    # A default that is spelled out is the same codec.
    settings = {key: v for key, v in settings.items() if v != FORMATS[base].keys[key][0]}
    return PillowCodec(_name(base, settings), base, settings, qualities)


def _name(base: str, settings: Mapping[str, str]) -> str:
    """The canonical spec."""
    return ":".join([base, *(f"{key}={value}" for key, value in sorted(settings.items()))])


def _check_keys(
    spec: str, settings: Mapping[str, str], known: Sequence[str], *, has_quality: bool = True
) -> None:
    for key in settings:
        if key not in known:
            has = ", ".join([*known, *["quality"] * has_quality])
            hint = f"settings: {has}" if has else ""
            raise SpecError(f"{spec}: there is no setting {key}", hint=hint)


def _qualities(spec: str, text: str) -> tuple[float, ...]:
    try:
        found = sorted({float(part) for part in text.split("/")} if text else set())
    except ValueError:
        raise SpecError(f"{spec}: quality takes numbers, as 10/30/50") from None
    return tuple(found)

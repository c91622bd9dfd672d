"""`rdae compare`: the metrics of two pictures."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rdae.cli import options
from rdae.cli.batch import EXIT_FAILED
from rdae.cli.completion import complete_metrics
from rdae.cli.console import Console, InputError, emit
from rdae.cli.eval_inputs import read_metrics
from rdae.cli.figures import rounded
from rdae.cli.inputs import RD_EXTENSIONS
from rdae.errors import RdaeError
from rdae.limits import MAX_PIXELS

if TYPE_CHECKING:
    from rdae.images.picture import Picture

SCHEMA = "rdae.compare/1"


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", show_default=False)],
    metric: Annotated[
        str | None,
        typer.Option(
            help="psnr, ms-ssim, ssimulacra2. Without it: all that can be had.",
            metavar="LIST",
            autocompletion=complete_metrics,
        ),
    ] = None,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    to_8bit: options.To8Bit = False,
    first_frame: options.FirstFrame = False,
    to_srgb: options.ToSrgb = False,
    as_json: options.OneJson = False,
) -> None:
    """Print how far picture B is from picture A, the original.

    Both are compared as 8-bit RGB, upright, and must have the same size; either may be a .rd
    file. If one is transparent, both are laid on black and on white, and the worse value counts.
    Higher is better in every metric: identical pictures have a PSNR of ∞, an MS-SSIM of 1 and a
    SSIMULACRA2 of 100.

    Examples:
      rdae compare photo.png photo.jpg
      rdae compare photo.png photo.rd --metric psnr --json
    """
    from rdae.evaluation.metrics import BUILT_IN, MetricError, available
    from rdae.images.transparency import alike, look_equal

    console = Console(as_json=as_json)
    metrics = read_metrics(",".join(BUILT_IN if metric is None else [metric]), check=bool(metric))
    conversions = {"to_8bit": to_8bit, "first_frame": first_frame, "to_srgb": to_srgb}
    pictures = []
    for path in (first, second):
        try:
            pictures.append(_read(path, max_pixels, conversions))
        except (RdaeError, OSError) as error:
            console.failure(str(path), error)
            raise typer.Exit(EXIT_FAILED) from error
    a, b = pictures
    if a.rgb.shape != b.rgb.shape:
        raise InputError(
            f"the pictures differ in size: {a.width}x{a.height} and {b.width}x{b.height}"
        )
    source, decoded = alike(a, b)
    if source.shape[2] == 4:
        console.note("note: there is transparency; judged on black and on white, the worse counts")
    if a.icc != b.icc:
        console.note("note: the ICC profiles differ; numbers are compared, not colours (--to-srgb)")
    record: dict[str, Any] = {"schema": SCHEMA, "a": str(first), "b": str(second)}
    record |= {"width": a.width, "height": a.height, "same_profile": a.icc == b.icc}
    record["identical"] = look_equal(source, decoded)
    lines = []
    for one in metrics:
        if metric is None and not available(one.name):
            continue
        try:
            value = one(source, decoded)
        except MetricError as error:
            if metric is not None:
                raise InputError(str(error)) from error
            continue
        record[one.name] = value
        lines.append(_line(one.name, value))
    if as_json:
        emit(json.dumps(rounded(record)))
    else:
        emit("\n".join(lines))


def _read(path: Path, max_pixels: int, conversions: dict[str, bool]) -> Picture:
    from rdae.bitstream.header import MAGIC
    from rdae.files import read_bounded
    from rdae.images.pillow import read_picture

    is_rd = path.suffix.lower() in RD_EXTENSIONS
    if path.is_file() and not is_rd:
        with path.open("rb") as file:
            is_rd = file.read(len(MAGIC)) == MAGIC
        if not is_rd:
            return read_picture(path, max_pixels=max_pixels, **conversions)
    data = read_bounded(path)  # once: it may be a pipe
    if not is_rd and not data.startswith(MAGIC):
        return read_picture(io.BytesIO(data), max_pixels=max_pixels, **conversions)
    from rdae.codec import decode

    return decode(data, max_pixels=max_pixels)


def _line(name: str, value: float) -> str:
    from rdae.evaluation.metrics import ms_ssim_db

    if name == "psnr":
        return f"PSNR         {value:8.3f} dB" if math.isfinite(value) else "PSNR              ∞"
    if name == "ms_ssim":
        decibels = ms_ssim_db(value)
        after = f"  ({decibels:.2f} dB)" if math.isfinite(decibels) else ""
        return f"MS-SSIM      {value:8.5f}{after}"
    return f"SSIMULACRA2  {value:8.3f}"

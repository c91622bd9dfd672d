"""`rdae decompress`: .rd files to pictures."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rdae import read_info
from rdae.cli import figures, options, pictures
from rdae.cli.batch import Batch, Outcome
from rdae.cli.console import Color, Console, UsageError, human_bytes, human_seconds, shown
from rdae.cli.inputs import RD_EXTENSIONS, expand, split_output
from rdae.cli.options import FORMAT_OF_EXTENSION, Format
from rdae.cli.paths import (
    Task,
    check_switches,
    is_taken,
    plan,
    remove_input,
    skipped_line,
    write_output,
)
from rdae.cli.pictures import Settings, read_format, read_size
from rdae.errors import OutputExistsError, RdaeError
from rdae.files import is_special
from rdae.limits import MAX_PIXELS
from rdae.threads import prefer_one_blas_thread

if TYPE_CHECKING:
    from rdae.codec.progress import Report
    from rdae.images.picture import Picture

SCHEMA = "rdae.decompress/1"
FIELDS = (
    *("output", "width", "height", "mode", "format", "lost"),
    *("region", "thumbnail", "input_bytes", "output_bytes", "decode_s", "damage"),
)

_log = logging.getLogger(__name__)


def decompress(
    files: options.RdFiles = None,
    output: options.Output = None,
    output_dir: options.OutputDir = None,
    format: options.OutputFormat = None,
    output_quality: options.OutputQuality = None,
    png_level: options.PngLevel = None,
    resize: options.Resize = None,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    remove: options.Remove = False,
    preserve: options.Preserve = False,
    recursive: options.RecursiveRd = False,
    files_from: options.FilesFrom = None,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    region: options.RegionText = None,
    thumbnail: options.Thumbnail = None,
    best_effort: options.BestEffort = False,
    lossy: options.Lossy = False,
    weights: options.Weights = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    fail_fast: options.FailFast = False,
    color: options.ColorWhen = Color.auto,
) -> None:
    """Decompress .rd files to PNG (or JPEG, WebP, AVIF, TIFF, JPEG XL, BMP, PPM).

    photo.rd becomes photo.png. Where there is a photo.png already, it may be the
    original, so the output is photo.rd.png instead. If both are there, -f replaces
    photo.rd.png; it never touches photo.png unless -o names it. With --skip-existing
    the output is always photo.png. A second name with the extension of a
    picture is that of the output, as -o.

    Examples:
      rdae decompress photo.rd
      rdae decompress photo.rd -o photo.jpg --output-quality 90
      rdae decompress photo.rd small.webp --resize 800x600
      rdae decompress *.rd --output-dir pictures/
      rdae decompress - < photo.rd > photo.png
      rdae decompress large.rd --region 2000,1500,800,600
      rdae decompress photo.rd --thumbnail 256 -o small.png
      rdae decompress damaged.rd --best-effort
      rdae decompress exact.rd --lossy
    """
    console = Console(quiet=quiet, verbose=verbose, as_json=as_json, color=color)
    names = files or []
    if output_dir is None:
        names, output = split_output(names, output, FORMAT_OF_EXTENSION, force=force)
    picture_format = choose_format(output, read_format(format))
    settings = Settings(picture_format, output_quality, png_level, read_size(resize))
    settings.check()
    tasks = plan(
        expand(names, extensions=RD_EXTENSIONS, recursive=recursive, files_from=files_from),
        output=output,
        output_dir=output_dir,
        name_output=namer(picture_format, skip_existing=skip_existing),
        collision_hint="-o FILE or another --output-dir keeps them apart",
    )
    check_output_name(output)
    check_switches(
        tasks,
        force=force,
        skip_existing=skip_existing,
        preserve=preserve,
        remove=remove,
        as_json=as_json,
    )
    parts = {"--region": region, "--thumbnail": thumbnail, "--resize": resize, "--lossy": lossy}
    for name, value in parts.items():
        if remove and value not in (None, False):
            raise UsageError(f"--rm would delete more than {name} writes")
    if weights is not None and not weights.is_file():
        raise UsageError(f"--weights {shown(weights)}: no such file")
    work = _Work(
        console=console,
        settings=settings,
        remove=remove,
        force=force,
        skip_existing=skip_existing,
        preserve=preserve,
        max_pixels=max_pixels,
        region=None if region is None else read_region(region),
        thumbnail=thumbnail,
        best_effort=best_effort,
        lossy=lossy,
        weights=weights,
        threads=threads,
        verbose=verbose,
    )
    prefer_one_blas_thread()
    batch = Batch(
        console, schema=SCHEMA, done_word="decompressed", fields=FIELDS, fail_fast=fail_fast
    )
    raise typer.Exit(batch.run(tasks, work))


def choose_format(output: str | None, format: Format | None) -> Format:
    """Return the format to write, from -o and --format.

    Raises:
        UsageError: they contradict each other, or -o has an extension of no format.
    """
    if output is None or output == "-" or not _is_plain(Path(output)) or _is_rd(output):
        return format or Format.png
    named = FORMAT_OF_EXTENSION.get(Path(output).suffix.lower())
    if named is None and format is None:
        raise UsageError(
            f"-o {shown(output)}: the extension names no format",
            hint=f"use one of {', '.join(FORMAT_OF_EXTENSION)}, or --format",
        )
    if named is not None and format is not None and named is not format:
        raise UsageError(f"-o {shown(output)} and --format {format.value} contradict each other")
    return format or named or Format.png


def check_output_name(output: str | None) -> None:
    """Refuse a name that says that the output is an .rd file.

    Raises:
        UsageError: it has that extension.
    """
    if output is not None and _is_rd(output):
        raise UsageError(
            f"-o {shown(output)}: decompress writes pictures, not .rd files",
            hint=f"-o {shown(Path(output).with_suffix('.png'))}; rdae compress makes .rd files",
        )


def _is_plain(output: Path) -> bool:
    """Whether a name is, or would be, that of a regular file; what else is wrong `plan` says."""
    return not is_special(output) and not output.is_dir()


def _is_rd(output: str) -> bool:
    return Path(output).suffix.lower() in RD_EXTENSIONS


def read_region(text: str) -> tuple[int, int, int, int]:
    """Return the numbers of `X,Y,W,H`.

    Raises:
        UsageError: the text is not four whole numbers.
    """
    try:
        left, top, width, height = (int(number) for number in text.split(","))
    except ValueError:
        raise UsageError(
            f"--region takes four whole numbers X,Y,W,H, not {shown(text)}",
            hint="--region 100,50,640,480 is 640x480 pixels from column 100 and row 50",
        ) from None
    return left, top, width, height


def namer(format: Format, *, skip_existing: bool = False) -> Callable[[Path], Path]:
    """Return the rule from `photo.rd` to `photo.png`, or `photo.rd.png` where that is taken."""
    extension = f".{format.value}"

    def name_output(place: Path) -> Path:
        stem = place.name[:-3] if place.name.lower().endswith(".rd") else place.name
        stem = stem or "rd"
        # photo.png.rd, from --keep-suffix, goes back to photo.png.
        whole = FORMAT_OF_EXTENSION.get(Path(stem).suffix.lower()) is format
        first = place.with_name(stem if whole else stem + extension)
        if skip_existing or not os.path.lexists(first):
            return first
        return place.with_name(f"{stem}.rd{extension}")

    return name_output


@dataclass
class _Work:
    """Decompress one file."""

    console: Console
    settings: Settings
    remove: bool
    force: bool
    skip_existing: bool
    preserve: bool
    max_pixels: int
    region: tuple[int, int, int, int] | None
    thumbnail: int | None
    best_effort: bool
    lossy: bool
    weights: Path | None
    threads: int | None
    verbose: int

    def __call__(self, task: Task) -> Outcome:
        from rdae.images.writer import lost, write_picture

        try:
            skip = is_taken(task.output, force=self.force, skip_existing=self.skip_existing)
        except OutputExistsError:
            if task.source.path is not None and not is_special(task.source.path):
                read_info(task.source.read())  # what is wrong with the input itself is said first
            raise
        if skip:
            return Outcome(skipped_line(task), record={"output": task.output_name}, skipped=True)
        progress = self.console.working(task.source.name)
        data = task.source.read()
        began = time.perf_counter()
        error: Exception | None
        picture, error, damage = self._decode_to_fit(data, progress)
        if self.settings.size is not None:
            picture = pictures.resized(picture, self.settings.size, max_pixels=self.max_pixels)
        decode_s = time.perf_counter() - began
        _log.debug("decoded %d bytes to %dx%d pixels", len(data), picture.width, picture.height)
        format, quality = self.settings.format, self.settings.quality
        level = self.settings.png_level
        like = task.source.path.stat() if self.preserve and task.source.path else None
        output_bytes = write_output(
            task,
            lambda file: write_picture(
                picture,
                file,
                format.value,
                quality=quality,
                png_level=level,
                threads=self.threads,
            ),
            overwrite=self.force,
            like=like,
        )
        missing = lost(picture, format.holds)
        keeps_input = self.remove and bool(missing)
        if self.remove and error is None and not missing:
            error = remove_input(task)
        mode = figures.mode_name(is_grey=picture.is_grey, has_alpha=picture.alpha is not None)
        record = {
            "output": task.output_name,
            "width": picture.width,
            "height": picture.height,
            "mode": mode,
            "format": format.value,
            "lost": missing,
            "region": self.region,
            "thumbnail": self.thumbnail,
            "input_bytes": len(data),
            "output_bytes": output_bytes,
            "decode_s": decode_s,
            "damage": damage,
        }
        shape = figures.shape_name(picture.width, picture.height, mode)
        details = []
        if missing:
            kept = "; the input was kept" if keeps_input else ""
            details.append(f"not in {format.value} files: {', '.join(missing)}{kept}")
        if self.verbose:
            details.append(
                f"{human_bytes(len(data))} → {human_bytes(output_bytes)} of {format.value}"
                f"{figures.peak_memory()}"
            )
        return Outcome(
            f"{shown(task.source.name)} → {shown(task.output_name)}   {shape}  "
            f"{human_seconds(decode_s)}",
            details,
            figures.rounded(record),
            input_bytes=len(data),
            output_bytes=output_bytes,
            pixels=picture.width * picture.height,
            error=error,
        )

    def _decode_to_fit(
        self, data: bytes, progress: Report | None
    ) -> tuple[Picture, RdaeError | None, list[dict[str, Any]]]:
        """Do as `_decode` does, and make a thumbnail if one is wanted."""
        if self.thumbnail is None:
            return self._decode(data, progress)
        from rdae.codec.thumbnail import decode_thumbnail, shrink

        if self.region is None and not self.best_effort:
            small = decode_thumbnail(
                data,
                self.thumbnail,
                max_pixels=self.max_pixels,
                weights=self.weights,
                threads=self.threads,
                lossy=self.lossy,
            )
            return small, None, []
        picture, error, damage = self._decode(data, progress)
        return shrink(picture, self.thumbnail), error, damage

    def _decode(
        self, data: bytes, progress: Report | None
    ) -> tuple[Picture, RdaeError | None, list[dict[str, Any]]]:
        """Return the picture; of a damaged file also the error to report, and its damage."""
        from rdae import codec
        from rdae.bitstream.damage import damage_record
        from rdae.geometry import Rectangle

        region = None if self.region is None else Rectangle.at(*self.region)
        arguments: dict[str, Any] = {"max_pixels": self.max_pixels, "weights": self.weights}
        arguments |= {"threads": self.threads, "region": region, "progress": progress}
        arguments["lossy"] = self.lossy
        if not self.best_effort:
            return codec.decode(data, **arguments), None, []
        rescued = codec.rescue(data, **arguments)
        if not rescued.damage:
            return rescued.picture, None, []
        error = type(rescued.damage[0].error)(rescued.text, hint="")
        records = [damage_record(damage, rescued.header) for damage in rescued.damage]
        return rescued.picture, error, records

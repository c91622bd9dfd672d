"""`rdae compress`: images to .rd files."""

from __future__ import annotations

import io
import logging
import os
import textwrap
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rdae.cli import encoder_options, figures, options
from rdae.cli.batch import Batch, Outcome
from rdae.cli.console import Color, Console, UsageError, grouped, human_bytes, human_seconds, shown
from rdae.cli.help import Command
from rdae.cli.inputs import RD_EXTENSIONS, Source, expand, left_out_line, split_output
from rdae.cli.models import require_model, typical_rates
from rdae.cli.options import FORMAT_OF_EXTENSION
from rdae.cli.paths import (
    Task,
    check_switches,
    is_taken,
    plan,
    remove_input,
    skipped_line,
    write_output,
)
from rdae.cli.remarks import is_doubtful, remarks_on
from rdae.cli.target import Target, read_target
from rdae.errors import ModelError, OutputExistsError
from rdae.images.formats import INPUT_SUFFIXES
from rdae.limits import MAX_PIXELS
from rdae.scales import DEFAULT_EFFORT, REFINED_EFFORT

if TYPE_CHECKING:
    from rdae.bitstream.info import Info
    from rdae.codec import Encoded
    from rdae.images.picture import Picture

SCHEMA = "rdae.compress/1"
FIELDS = (
    *("output", "width", "height", "mode", "input_bytes", "output_bytes", "metadata_bytes"),
    *figures.SPLIT_FIELDS,
    *("bpp", "ratio", "raw_ratio", "quality", "quality_point", "effort", "tries", "psnr"),
    *("remarks", "model", "model_id", "encode_s", "load_s", "dry_run"),
)

_log = logging.getLogger(__name__)


class CompressCommand(Command):
    """The help of `compress` says what the qualities of the default model mean."""

    def extra(self) -> str:
        """Return the table of qualities, bits per pixel and PSNR."""
        return textwrap.indent(typical_rates(), "  ")


def compress(
    images: options.Images = None,
    output: options.Output = None,
    output_dir: options.OutputDir = None,
    keep_suffix: options.KeepSuffix = False,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    keep_if_smaller: options.KeepIfSmaller = False,
    remove: options.Remove = False,
    preserve: options.Preserve = False,
    dry_run: options.DryRun = False,
    recursive: options.RecursiveImages = False,
    files_from: options.FilesFrom = None,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    to_8bit: options.To8Bit = False,
    first_frame: options.FirstFrame = False,
    to_srgb: options.ToSrgb = False,
    quality: encoder_options.Quality = None,
    target_size: encoder_options.TargetSize = None,
    target_bpp: encoder_options.TargetBpp = None,
    target_psnr: encoder_options.TargetPsnr = None,
    lossless: encoder_options.Lossless = False,
    max_error: encoder_options.MaxError = None,
    effort: encoder_options.Effort = DEFAULT_EFFORT,
    tune: encoder_options.Tune = None,
    model: encoder_options.ModelName = None,
    threads: options.SearchThreads = None,
    strip: options.StripKinds = None,
    show_psnr: options.ShowPsnr = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    fail_fast: options.FailFast = False,
    color: options.ColorWhen = Color.auto,
) -> None:
    """Compress images to .rd files.

    photo.png becomes photo.rd beside it, or what a second name that ends in .rd says.
    Nothing is overwritten unless you say so.

    Examples:
      rdae compress photo.png
      rdae compress *.jpg -q 80 --output-dir small/
      rdae compress photo.png --target-size 40k
      rdae compress photo.png --target-psnr 36 -e 5
      rdae compress scan.png --lossless
      rdae compress - < photo.png > photo.rd
    """
    console = Console(quiet=quiet, verbose=verbose, as_json=as_json, color=color)
    names, output = (images or [], output)
    if output_dir is None:
        names, output = split_output(names, output, RD_EXTENSIONS)
    target = read_target(
        *(quality, target_size, target_bpp, target_psnr), lossless=lossless, max_error=max_error
    )
    if tune is not None and (effort < REFINED_EFFORT or target.max_error is not None):
        raise UsageError(
            f"--tune counts from effort {REFINED_EFFORT} on, in lossy files",
            hint=f"-e 5 --tune {tune.value}",
        )
    if effort >= REFINED_EFFORT and target.max_error is None:
        import rdae.autoencoder  # noqa: F401 - says at once what is not installed
    left_out: Counter[str] = Counter()
    sources = expand(
        names,
        extensions=INPUT_SUFFIXES,
        recursive=recursive,
        files_from=files_from,
        left_out=left_out,
    )
    tasks = plan(
        sources,
        output=output,
        output_dir=output_dir,
        name_output=lambda place: (
            place.with_name(place.name + ".rd") if keep_suffix else place.with_suffix(".rd")
        ),
        collision_hint="--keep-suffix, -o FILE or another --output-dir keeps them apart",
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
    if remove and dry_run:
        raise UsageError("--rm and -n contradict each other")
    if model is not None:
        require_model(model)
    work = _Work(
        target=target,
        effort=effort,
        tune=tune and tune.value,
        console=console,
        model=model,
        threads=threads,
        strip=frozenset(kind.value for kind in strip or ()),
        max_pixels=max_pixels,
        conversions={"to_8bit": to_8bit, "first_frame": first_frame, "to_srgb": to_srgb},
        force=force,
        skip_existing=skip_existing,
        keep_if_smaller=keep_if_smaller,
        remove=remove,
        preserve=preserve,
        dry_run=dry_run,
        show_psnr=show_psnr,
        verbose=verbose,
    )
    batch = Batch(
        console,
        schema=SCHEMA,
        done_word="compressed",
        fields=FIELDS,
        fail_fast=fail_fast,
        fatal=(ModelError,),
    )
    code = batch.run(tasks, work)
    if left_out:
        console.note(left_out_line(left_out))
    raise typer.Exit(code)


def check_output_name(output: str | None) -> None:
    """Refuse a name that says that the output is a picture.

    Raises:
        UsageError: it has the extension of one.
    """
    extension = "" if output is None else Path(output).suffix
    if output is not None and extension.lower() in (INPUT_SUFFIXES | FORMAT_OF_EXTENSION.keys()):
        name = output[: -len(extension)] + ".rd"
        raise UsageError(
            f"-o {shown(output)}: compress writes .rd files, not {extension[1:].lower()}",
            hint=f"-o {shown(name)}; rdae decompress makes pictures of .rd files",
        )


@dataclass
class _Work:
    """Compress one file."""

    target: Target
    effort: int
    tune: str | None
    console: Console
    model: str | None
    threads: int | None
    strip: frozenset[str]
    max_pixels: int
    conversions: dict[str, bool]
    force: bool
    skip_existing: bool
    keep_if_smaller: bool
    remove: bool
    preserve: bool
    dry_run: bool
    show_psnr: bool
    verbose: int

    def __call__(self, task: Task) -> Outcome:
        try:
            skip = is_taken(task.output, force=self.force, skip_existing=self.skip_existing)
        except OutputExistsError:
            self._check(task.source)  # what is wrong with the input itself is said first
            raise
        if skip:
            return Outcome(skipped_line(task), record={"output": task.output_name}, skipped=True)
        from rdae import codec
        from rdae.codec import check_padding
        from rdae.distortion import psnr
        from rdae.model import installed as store
        from rdae.model.model import Model

        progress = self.console.working(task.source.name)
        began = time.perf_counter()
        is_lossy = self.target.max_error is None
        model = store.load_model(self.model) if is_lossy else store.load_lossless()
        name = model.description.name if isinstance(model, Model) else model.name
        load_s = time.perf_counter() - began
        _log.debug("loaded model %s", name)
        picture, input_bytes, like = self._read(task.source)
        _log.debug("read %d bytes, %dx%d pixels", input_bytes, picture.width, picture.height)
        check_padding(picture.width, picture.height, self.max_pixels)
        encoded = codec.encode(
            picture,
            quality=self.target.quality,
            target_size=self.target.size,
            target_bpp=self.target.bpp,
            target_psnr=self.target.psnr,
            max_error=self.target.max_error,
            effort=self.effort,
            tune=self.tune,
            model=model if isinstance(model, Model) else None,
            threads=self.threads,
            progress=progress,
        )
        size = len(encoded.data)
        if self.keep_if_smaller and size >= input_bytes:
            line = f"{shown(task.source.name)}: kept, its .rd file would have {human_bytes(size)}"
            return Outcome(f"{line}, no less than its {human_bytes(input_bytes)}", skipped=True)
        if not self.dry_run:
            write_output(
                task,
                lambda file: file.write(encoded.data),
                overwrite=self.force,
                like=like if self.preserve else None,
            )
        _log.debug("encoded %d bytes", len(encoded.data))
        figure = None
        if self.shows_psnr or is_doubtful(encoded.info):
            decoded = codec.decode(
                encoded.data,
                max_pixels=self.max_pixels,
                # which need not be an installed model's
                weights=model.path if isinstance(model, Model) else None,
                threads=self.threads,
            )
            figure = psnr(picture.rgb, decoded.rgb)
        if self.remove:
            remove_input(task)
        return self._outcome(task, encoded, input_bytes, name, load_s, figure)

    def _outcome(
        self,
        task: Task,
        encoded: Encoded,
        input_bytes: int,
        model_name: str,
        load_s: float,
        psnr: float | None,
    ) -> Outcome:
        info, size = encoded.info, len(encoded.data)
        mode = figures.mode_name(is_grey=info.is_grey, has_alpha=info.has_alpha)
        remarks = remarks_on(info, input_bytes, psnr, self.target)
        record: dict[str, Any] = {
            "output": task.output_name,
            "width": info.width,
            "height": info.height,
            "mode": mode,
            "input_bytes": input_bytes,
            "output_bytes": size,
            "metadata_bytes": info.metadata_bytes,
            **figures.split_record(info),
            "bpp": info.bpp,
            "ratio": input_bytes / size,
            "raw_ratio": figures.raw_bytes(info) / size,
            "quality": self.target.quality if self.target.is_quality else round(info.quality, 2),
            "quality_point": info.quality_point,
            "effort": self.effort,
            "tries": encoded.tries,
            "psnr": psnr if self.shows_psnr else None,
            "remarks": remarks,
            "model": model_name,
            "model_id": info.model_id,
            "encode_s": encoded.encode_s,
            "load_s": load_s,
            "dry_run": self.dry_run,
        }
        ratio = figures.ratio_text(input_bytes, size)
        parts = [
            f"{shown(task.source.name)} → {shown(task.output_name)} ",
            f"{human_bytes(input_bytes)} → {human_bytes(size)}",
            f"({grouped(8 * size)} bits, {info.bpp:.3f} bpp, {ratio})",
            self._quality_text(info),
            *([figures.psnr_text(psnr)] if psnr is not None and self.shows_psnr else []),
            *(
                [f"{encoded.tries} {'try' if encoded.tries == 1 else 'tries'}"]
                if encoded.tries
                else []
            ),
            human_seconds(encoded.encode_s),
            *(["not written (dry run)"] if self.dry_run else []),
        ]
        details = list(remarks)
        if self.verbose:
            details += [
                figures.split_line(info),
                f"{figures.shape_name(info.width, info.height, mode)} · "
                f"{info.tile_columns}x{info.tile_rows} tiles · model {model_name} "
                f"(id {info.model_id})"
                + ("" if info.is_lossless else f" · quality point {info.quality_point} of 255"),
                f"model loaded in {human_seconds(load_s)}{figures.peak_memory()}",
                *(f"{kind} {human_bytes(count)}" for kind, count in info.metadata.items()),
            ]
        return Outcome(
            "  ".join(parts),
            details,
            figures.rounded(record),
            input_bytes=input_bytes,
            output_bytes=size,
            pixels=info.width * info.height,
        )

    def _quality_text(self, info: Info) -> str:
        if info.is_lossless:
            return figures.exactness(info)
        return f"q{self.target.quality if self.target.is_quality else round(info.quality, 1):g}"

    @property
    def shows_psnr(self) -> bool:
        """Whether the PSNR is asked for, or the target, so that one sees what was reached."""
        return self.show_psnr or self.target.psnr is not None

    def _check(self, source: Source) -> None:
        """Refuse what is no picture or none for us, without decoding it."""
        from rdae.images.reader import Allowed, open_image

        if source.path is not None and source.path.exists() and not source.path.is_file():
            return  # what a pipe holds can be read only once
        with open(source.name, "rb") as file:
            open_image(file, max_pixels=self.max_pixels, allowed=Allowed(**self.conversions))

    def _read(self, source: Source) -> tuple[Picture, int, os.stat_result | None]:
        from rdae.images.picture import read_picture

        like = None if source.path is None else source.path.stat()
        if source.path is not None and source.path.is_file():
            picture = read_picture(source.path, max_pixels=self.max_pixels, **self.conversions)
            input_bytes = source.path.stat().st_size
        else:  # a pipe, which a picture reader cannot go back in
            data = source.read()
            file = io.BytesIO(data)
            picture = read_picture(file, max_pixels=self.max_pixels, **self.conversions)
            input_bytes = len(data)
        return picture.without(self.strip), input_bytes, like

"""`rdae compress`: images to .rd files."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import typer

from rdae.cli import encoder_options, figures, options
from rdae.cli.batch import Batch
from rdae.cli.compression import Compression
from rdae.cli.console import Color, Console, UsageError, shown
from rdae.cli.help import Command
from rdae.cli.inputs import RD_EXTENSIONS, expand, left_out_line, split_output
from rdae.cli.models import require_model, typical_rates
from rdae.cli.options import FORMAT_OF_EXTENSION
from rdae.cli.paths import (
    check_switches,
    plan,
)
from rdae.cli.target import read_target
from rdae.errors import ModelError
from rdae.images.formats import INPUT_SUFFIXES
from rdae.limits import MAX_PIXELS
from rdae.scales import DEFAULT_EFFORT, REFINED_EFFORT
from rdae.threads import prefer_one_blas_thread

SCHEMA = "rdae.compress/1"
FIELDS = (
    *("output", "width", "height", "mode", "input_bytes", "output_bytes", "metadata_bytes"),
    *figures.SPLIT_FIELDS,
    *("bpp", "ratio", "raw_ratio", "lossless", "max_error", "base_quality", "other_bytes"),
    *("quality", "quality_point", "effort", "tries", "psnr", "ssimulacra2"),
    *("remarks", "model", "model_id", "encode_s", "load_s", "dry_run"),
)


class CompressCommand(Command):
    """The help of `compress` says what the qualities of the default model mean."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options; `--lossless` may be followed by `=auto`."""
        end = args.index("--") if "--" in args else len(args)
        if not ctx.resilient_parsing:  # what the Tab key finds may be half of an option
            args = [*map(_plain, args[:end]), *args[end:]]
        return super().parse_args(ctx, args)

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
    target_ssimulacra2: encoder_options.TargetSsimulacra2 = None,
    lossless: encoder_options.Lossless = False,
    lossless_if_smaller: encoder_options.LosslessIfSmaller = False,
    max_error: encoder_options.MaxError = None,
    base: encoder_options.Base = None,
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
      rdae compress scan.png --lossless --base 50
      rdae compress -r pictures/ --lossless=auto
      rdae compress - < photo.png > photo.rd
    """
    console = Console(quiet=quiet, verbose=verbose, as_json=as_json, color=color)
    names, output = (images or [], output)
    if output_dir is None:
        names, output = split_output(names, output, RD_EXTENSIONS, force=force)
    target = read_target(
        *(quality, target_size, target_bpp, target_psnr, target_ssimulacra2),
        lossless="auto" if lossless_if_smaller else lossless,
        max_error=max_error,
        base=base,
    )
    if lossless and "auto" in map(str, names) and not Path("auto").exists():
        raise UsageError("there is no file auto", hint="--lossless=auto is one word")
    if tune is not None and (effort < REFINED_EFFORT or not target.has_lossy):
        wanted = f"-e 5 --tune {tune.value}"
        raise UsageError(
            f"--tune counts from effort {REFINED_EFFORT} on, in lossy files",
            hint=wanted if target.has_lossy else f"of the lossy picture of --base: {wanted}",
        )
    if effort < REFINED_EFFORT:
        prefer_one_blas_thread()
    if target.ssimulacra2 is not None:
        from rdae.distortion import require_ssimulacra2  # imports numpy

        require_ssimulacra2()
    if effort >= REFINED_EFFORT and target.has_lossy:
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
    work = Compression(
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


def _plain(argument: str) -> str:
    """An argument in which no flag has a value."""
    flag, equals, value = argument.partition("=")
    if flag != "--lossless" or not equals:
        return argument
    if value != "auto":
        raise UsageError(f"--lossless takes =auto or nothing, not {shown(value)}")
    return encoder_options.LOSSLESS_IF_SMALLER


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

"""`rdae info`: what is inside .rd files, without decoding them."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rdae.cli import figures, options
from rdae.cli.batch import Batch, Outcome
from rdae.cli.console import Color, Console, emit, human_bytes, shown, table
from rdae.cli.inputs import RD_EXTENSIONS, expand
from rdae.cli.paths import Task
from rdae.errors import RdaeError, grouped
from rdae.scales import LAMBDA_RANGE, rd_lambda_at

if TYPE_CHECKING:
    from rdae.bitstream.info import Info
    from rdae.model.cards import Card

SCHEMA = "rdae.info/1"
FIELDS = (
    *("file_bytes", "width", "height", "mode", "version", "model", "model_id", "fingerprint"),
    *("quality", "quality_point", "tile_columns", "tile_rows", "undivided", "bpp", "raw_ratio"),
    *("lossless", "max_error", "base_quality", "exact_model"),
    *("bits_per_subpixel", "methods"),
    *figures.SPLIT_FIELDS,
    *("metadata", "fields"),
)
_HEADINGS = (
    *("FILE", "SIZE", "IMAGE", "MODEL", "Q", "BPP", "RATIO"),
    *("BITS", "Y", "Z", "HEAD", "ALPHA", "META"),
)
_LEFT = frozenset({0, 2, 3})
_ALPHA_COLUMN = _HEADINGS.index("ALPHA")


def info(
    files: options.RdFiles = None,
    recursive: options.RecursiveRd = False,
    files_from: options.FilesFrom = None,
    explain: options.Explain = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    fail_fast: options.FailFast = False,
    color: options.ColorWhen = Color.auto,
) -> None:
    """Show what is inside .rd files, without decoding.

    SIZE is that of the file, BPP its bits per pixel, RATIO the bare pixels (8 bits a
    channel) to the file. BITS are all bits of the file; the columns after it say where
    they went: latent (Y; of lossless files the pixels, or both), hyper-latent (Z), header with all
    framing and checksums (HEAD), alpha if there is any, metadata. -v lists every field with its
    offset and length in bytes. The model of the file need not be installed. --explain reads
    the file as what it is in theory: one point of a variational autoencoder's posterior, and
    what it costs; of a lossless file it says the bits per subpixel, and how many tiles a
    network and WebP code; of one with a lossy picture first (--base) both parts of -ELBO.

    Examples:
      rdae info photo.rd
      rdae info -v photo.rd
      rdae info --explain photo.rd
      rdae info -r archive/ --json
    """
    console = Console(quiet=quiet, verbose=verbose, as_json=as_json, color=color)
    sources = expand(
        files or [], extensions=RD_EXTENSIONS, recursive=recursive, files_from=files_from
    )
    rows: list[tuple[str, ...]] = []
    listings: list[str] = []

    def work(task: Task) -> Outcome:
        from rdae.bitstream.info import parse_info

        name = shown(task.source.name)
        parsed = parse_info(task.source.read())
        rows.append(_row(name, parsed))
        if verbose:
            listings.append(f"{name}\n{_listing(parsed)}")
        if explain:
            listings.append(f"{name}\n{_explanation(parsed)}")
        return Outcome(
            "",
            record=_record(parsed, with_fields=bool(verbose)),
            input_bytes=parsed.file_bytes,
            pixels=parsed.width * parsed.height,
        )

    batch = Batch(console, schema=SCHEMA, done_word="", fields=FIELDS, fail_fast=fail_fast)
    code = batch.run([Task(source, Path()) for source in sources], work)
    if not as_json and rows:
        if not any(row[_ALPHA_COLUMN] for row in rows):
            rows = [row[:_ALPHA_COLUMN] + row[_ALPHA_COLUMN + 1 :] for row in rows]
            headings = _HEADINGS[:_ALPHA_COLUMN] + _HEADINGS[_ALPHA_COLUMN + 1 :]
        else:
            headings = _HEADINGS
        emit("\n\n".join([*listings, table([headings, *rows], left=_LEFT)]))
    raise typer.Exit(code)


@functools.cache
def _installed() -> list[Card]:
    """The installed models; a broken installation has none."""
    from rdae.model.cards import list_models

    try:
        return list_models()
    except (RdaeError, OSError):
        return []


def _model_name(info: Info) -> str | None:
    from rdae.model.installed import lossless_name

    if info.is_lossless and info.rest is None:
        return lossless_name(info.model_id, info.fingerprint)
    names = {(card.id, card.fingerprint): card.name for card in _installed()}
    # The fingerprint of a user's own weights is known only once they are loaded.
    return names.get((info.model_id, info.fingerprint)) or names.get((info.model_id, ""))


def _row(name: str, info: Info) -> tuple[str, ...]:
    mode = figures.mode_name(is_grey=info.is_grey, has_alpha=info.has_alpha)
    bits = figures.split_record(info)
    return (
        name,
        human_bytes(info.file_bytes),
        figures.shape_name(info.width, info.height, mode),
        _model_name(info) or f"id {info.model_id} (not installed)",
        figures.exactness(info) if info.is_lossless else f"{round(info.quality, 1):g}",
        f"{info.bpp:.3f}",
        figures.ratio_text(figures.raw_bytes(info), info.file_bytes),
        grouped(bits["total_bits"]),
        grouped(bits["y_bits"] + bits["pixel_bits"]),
        grouped(bits["z_bits"]),
        grouped(bits["header_bits"]),
        grouped(bits["alpha_bits"]) if info.has_alpha and not info.is_undivided else "",
        grouped(bits["metadata_bits"]),
    )


def _listing(info: Info) -> str:
    rows = [("OFFSET", "BYTES", "FIELD", "VALUE")]
    rows += [(str(f.offset), str(f.length), f.name, shown(f.value)) for f in info.fields]
    return table(rows, left=frozenset({2, 3}))


def _explanation(info: Info) -> str:
    """Say what the bits of a file are as terms of -ELBO (docs/theory.md)."""
    from rdae.distortion import decoder_variance  # imports NumPy

    bits = figures.split_record(info)
    y, z = bits["y_bits"], bits["z_bits"]
    pixels = info.width * info.height
    if info.rest is not None:
        return _explanation_of_both(info)
    if info.is_lossless:
        x = bits["pixel_bits"]
        off = f"; none further off than {info.max_error}" if info.max_error else ""
        what = f"-log2 P(x): each level of a pyramid given the coarser ones{off}"
        if not info.methods["network"]:
            what = "the pixels as lossless WebP, which has no model of them"
        rows = [
            ("TERM", "BITS", "PER PIXEL", "WHAT IT IS"),
            ("x", grouped(x), f"{x / pixels:.4f}", what),
        ]
        return f"{table(rows, left=frozenset({0, 3}))}\n{_exact_line(info)}"
    rows = [
        ("TERM", "BITS", "PER PIXEL", "WHAT IT IS"),
        ("z", grouped(z), f"{z / pixels:.4f}", "-log2 P(z): the hyper-latent under its prior"),
        ("y", grouped(y), f"{y / pixels:.4f}", "-log2 P(y | z): the latent, in four passes"),
        ("rate", grouped(y + z), f"{(y + z) / pixels:.4f}", "the KL term of -ELBO: a coded point"),
    ]
    text = table(rows, left=frozenset({0, 3})) + "\n"
    for card in _installed():
        if (card.id, card.fingerprint) == (info.model_id, info.fingerprint):
            low, high = card.provenance.get("lambda_range", LAMBDA_RANGE)
            rd_lambda = rd_lambda_at(info.quality_point, low, high)
            samples = 1 if info.is_grey or info.is_neutral else 3
            deviation = math.sqrt(decoder_variance(rd_lambda, samples))
            text += (
                f"Distortion, the other term, needs the original: -log2 of a Gaussian around the\n"
                f"decoded pixels, of standard deviation {deviation:.2f} levels at this quality "
                f"(lambda {rd_lambda:.5f}).\n"
            )
    return text + "rdae elbo ORIGINAL shows all terms."


def _explanation_of_both(info: Info) -> str:
    """Say the same of a file with a lossy picture first: z, then x given z."""
    bits = figures.split_record(info)
    z, y, x = bits["z_bits"], bits["y_bits"], bits["pixel_bits"]
    pixels = info.width * info.height
    off = f", none further off than {info.max_error}" if info.max_error else ""
    what_x = f"-log2 P(x | z): the pixels{off}, given that picture"
    if not info.methods["network"]:
        what_x = "the pixels as lossless WebP, which makes no use of that picture"
    rows = [("TERM", "BITS", "PER PIXEL", "WHAT IT IS")]
    for name, count, what in (
        ("z", z, "-log2 P(z): the hyper-latent under its prior"),
        ("y", y, "-log2 P(y | z): the latent, in four passes"),
        ("H(z)", z + y, "both, the hidden variables: the lossy picture"),
        ("H(x|z)", x, what_x),
        ("sum", z + y + x, f"-ELBO of a coded point: every pixel{off}"),
    ):
        rows.append((name, grouped(count), f"{count / pixels:.4f}", what))
    return f"{table(rows, left=frozenset({0, 3}))}\n{_exact_line(info)}"


def _exact_line(info: Info) -> str:
    coded = "tiles: " + ", ".join(f"{count} by {name}" for name, count in info.methods.items())
    if info.is_undivided:
        coded = f"one piece by WebP{', alpha included' * info.has_alpha}"
    return f"{info.bits_per_subpixel:.4f} bits per subpixel; {coded}."


def _exact_model_name(info: Info) -> str | None:
    """The lossless model of a file with a lossy picture first."""
    from rdae.model.installed import lossless_name

    rest = info.rest
    return None if rest is None else lossless_name(rest.model_id, rest.fingerprint.hex())


def _record(info: Info, *, with_fields: bool) -> dict[str, object]:
    record = figures.rounded(
        {
            "file_bytes": info.file_bytes,
            "width": info.width,
            "height": info.height,
            "mode": figures.mode_name(is_grey=info.is_grey, has_alpha=info.has_alpha),
            "version": info.version,
            "model": _model_name(info),
            "model_id": info.model_id,
            "fingerprint": info.fingerprint,
            "quality": None if info.is_lossless else round(info.quality, 2),
            "quality_point": None if info.is_lossless else info.quality_point,
            "tile_columns": info.tile_columns,
            "tile_rows": info.tile_rows,
            "undivided": info.is_undivided,
            "bpp": info.bpp,
            "raw_ratio": figures.raw_bytes(info) / info.file_bytes,
            "lossless": info.is_lossless,
            "max_error": info.max_error,
            "base_quality": info.base_quality,
            "exact_model": _exact_model_name(info),
            "bits_per_subpixel": info.bits_per_subpixel,
            "methods": info.methods,
            **figures.split_record(info),
            "metadata": info.metadata,
        }
    )
    if with_fields:
        record["fields"] = [
            {"offset": f.offset, "bytes": f.length, "name": f.name, "value": f.value}
            for f in info.fields
        ]
    return record

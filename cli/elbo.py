"""`rdae elbo`: the variational reading of one picture, term by term."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rdae.cli import encoder_options, options
from rdae.cli.batch import EXIT_FAILED
from rdae.cli.console import Console, UsageError, emit, shown, table
from rdae.cli.models import require_model
from rdae.errors import RdaeError, grouped
from rdae.limits import MAX_PIXELS
from rdae.scales import (
    DEFAULT_EFFORT,
    DEFAULT_QUALITY,
    PLAIN_EFFORT,
    REFINED_EFFORT,
    quality_to_point,
)

if TYPE_CHECKING:
    from rdae.codec.elbo import Terms

SCHEMA = "rdae.elbo/1"
DRAWS = 4


def elbo(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", show_default=False)],
    max_pixels: options.MaxPixels = MAX_PIXELS,
    to_8bit: options.To8Bit = False,
    first_frame: options.FirstFrame = False,
    to_srgb: options.ToSrgb = False,
    quality: encoder_options.LoneQuality = None,
    model: encoder_options.ModelName = None,
    effort: encoder_options.LoneEffort = DEFAULT_EFFORT,
    draws: options.Draws = DRAWS,
    threads: options.SearchThreads = None,
    as_json: options.OneJson = False,
) -> None:
    """Show rate and distortion of a picture as the terms of -ELBO.

    The relaxed posterior is the one that training optimises: uniform noise of width 1
    around the latents. The coded ones are points: real files, at effort 1 (the encoder's
    own guess), at effort 2, and at that of -e. What they save is a part of the amortisation
    gap. Distortion is in bits of the Gaussian that the quality's lambda stands for. The
    terms are explained in docs/theory.md. For the last of them the exact pixels are coded,
    too, given the decoded ones, as compress --lossless --base writes them: H(x|z) in place of
    the Gaussian's distortion. Last come the bits of a lossless file without a lossy picture.

    Examples:
      rdae elbo photo.png
      rdae elbo photo.png -q 40 -e 5
    """
    console = Console(as_json=as_json)
    wanted = DEFAULT_QUALITY if quality is None else quality
    if not 0 <= wanted <= 100:
        raise UsageError(f"-q takes 0 to 100 (higher is better), not {wanted:g}")
    if effort >= REFINED_EFFORT:
        import rdae.autoencoder  # noqa: F401 - says at once what is not installed
    if model is not None:
        require_model(model)
    import numpy as np

    from rdae.codec import check_padding, encode
    from rdae.codec.elbo import RelaxedPosterior, coded_terms
    from rdae.images.pillow import read_picture
    from rdae.model.installed import load_model
    from rdae.threads import default_threads

    loaded = load_model(model)
    try:
        picture = read_picture(
            image,
            max_pixels=max_pixels,
            to_8bit=to_8bit,
            first_frame=first_frame,
            to_srgb=to_srgb,
        )
        check_padding(picture.width, picture.height, max_pixels)
    except (RdaeError, OSError) as error:
        console.failure(str(image), error)
        raise typer.Exit(EXIT_FAILED) from error
    point, threads = quality_to_point(wanted), threads or default_threads()
    posterior = RelaxedPosterior(picture, loaded, point, threads=threads)
    rng = np.random.default_rng(0)  # the same figures every time
    samples = [posterior.sample(rng) for _ in range(draws)]
    columns = {"relaxed": _mean(samples)}
    search = console.working(str(image))
    try:
        for level in sorted({PLAIN_EFFORT, DEFAULT_EFFORT, effort}):
            columns[f"coded, effort {level}"] = coded_terms(
                picture,
                loaded,
                point,
                effort=level,
                threads=threads,
                with_exact=level == effort,
                progress=search,
            )
        colours = replace(picture, alpha=None)  # of which all terms are
        exact = encode(colours, max_error=0, threads=threads, progress=search).info
    finally:
        console.clear_progress()
    plain = columns[f"coded, effort {PLAIN_EFFORT}"]
    best = columns[f"coded, effort {effort}"]
    closed = plain.negative_elbo - best.negative_elbo
    deviation = math.sqrt(plain.variance)
    if as_json:
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "input": str(image),
            "width": picture.width,
            "height": picture.height,
            "model": loaded.description.name,
            "quality_point": point,
            "rd_lambda": plain.rd_lambda,
            "decoder_deviation": deviation,
            "posteriors": {name: _record(terms) for name, terms in columns.items()},
            "gap_closed_bits": closed,
            "lossless_bits": 8 * exact.pixel_bytes,
            "lossless_bits_per_subpixel": exact.bits_per_subpixel,
        }
        console.record(record)
        return
    emit(
        f"{shown(str(image))}  {picture.width}x{picture.height}  model "
        f"{loaded.description.name}  q{wanted:g} (point {point})\n"
        f"lambda {plain.rd_lambda:.5f} bits per pixel per MSE: a Gaussian decoder of standard "
        f"deviation {deviation:.2f} levels\n"
    )
    emit(table(_rows(columns), left=frozenset({0})))
    if effort > PLAIN_EFFORT and closed > 0:
        emit(
            f"\neffort {effort} closed {grouped(round(closed))} bits of the amortisation gap, "
            f"as much as {100 * closed / plain.rate:.1f} % of the rate of effort 1"
        )
    elif effort > PLAIN_EFFORT:
        emit(f"\neffort {effort} closed nothing of the amortisation gap")
    bits = 8 * exact.pixel_bytes
    if best.exact_bits is not None:
        both = best.rate + best.exact_bits
        emit(
            f"\nz, then x given z, as really written by --lossless --base {wanted:g}: H(z) "
            f"{grouped(round(best.rate))} + H(x|z) {grouped(round(best.exact_bits))} = "
            f"{grouped(round(both))} bits,\n{both / plain.pixels:.4f} per pixel; the Gaussian's "
            f"bits of distortion are {best.distortion / best.exact_bits:.2f} times H(x|z)"
        )
    emit(
        f"\nevery pixel exactly, as really written by --lossless: {grouped(bits)} bits, "
        f"{bits / plain.pixels:.4f} per pixel, {exact.bits_per_subpixel:.4f} per subpixel;\n"
        f"-ELBO at effort {effort}, with the Gaussian's bits for what the latents leave open, is "
        f"{best.negative_elbo / bits:.2f} times that"
    )


def _mean(samples: list[Terms]) -> Terms:
    from rdae.codec.elbo import Terms

    count = len(samples)
    return Terms(
        z_bits=sum(s.z_bits for s in samples) / count,
        y_bits=sum(s.y_bits for s in samples) / count,
        error=sum(s.error for s in samples) / count,
        pixels=samples[0].pixels,
        samples=samples[0].samples,
        rd_lambda=samples[0].rd_lambda,
    )


def _rows(columns: dict[str, Terms]) -> list[list[str]]:
    def bits(value: float) -> str:
        return grouped(round(value))

    lines: tuple[tuple[str, Callable[[Terms], str]], ...] = (
        ("bits of z", lambda t: bits(t.z_bits)),
        ("bits of y", lambda t: bits(t.y_bits)),
        ("rate", lambda t: bits(t.rate)),
        ("bits of distortion", lambda t: bits(t.distortion)),
        ("H(x|z) really coded", lambda t: "" if t.exact_bits is None else bits(t.exact_bits)),
        ("-ELBO, bits", lambda t: bits(t.negative_elbo)),
        ("-ELBO, bits per pixel", lambda t: f"{t.negative_elbo / t.pixels:.4f}"),
        ("-ELBO, nats", lambda t: bits(t.negative_elbo * math.log(2))),
        ("rate, bits per pixel", lambda t: f"{t.rate / t.pixels:.4f}"),
        ("MSE", lambda t: f"{t.mse:.3f}"),
    )
    return [
        ["", *columns],
        *([name, *(show(terms) for terms in columns.values())] for name, show in lines),
    ]


def _record(terms: Terms) -> dict[str, float | None]:
    return {
        "z_bits": terms.z_bits,
        "y_bits": terms.y_bits,
        "distortion_bits": terms.distortion,
        "negative_elbo_bits": terms.negative_elbo,
        "negative_elbo_bpp": terms.negative_elbo / terms.pixels,
        "negative_elbo_nats": terms.negative_elbo * math.log(2),
        "mse": terms.mse,
        "exact_bits": terms.exact_bits,
    }

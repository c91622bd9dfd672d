"""Options of what encodes: how good or how small, and how hard to work for it."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from rdae.cli.completion import complete_model
from rdae.cli.options import declare
from rdae.scales import DEFAULT_QUALITY

# What --lossless=auto is read as. An option with a value that may be left out would take the name
# of the picture behind it for that value.
LOSSLESS_IF_SMALLER = "--lossless-if-smaller"

_ENCODER, _QUALITY = "Encoder", "Quality (one of these)"


class TuneName(str, Enum):
    """Distortions to train for and to search with."""

    psnr = "psnr"
    eye = "eye"


def _quality(group: str) -> Any:
    return declare(
        group,
        "-q --quality",
        "Higher is better and larger. 100 is the model's best, not lossless. [default: "
        f"{DEFAULT_QUALITY:g}]",
        metavar="0..100",
        show_default=False,
    )


Quality = Annotated[float | None, _quality(_QUALITY)]
LoneQuality = Annotated[float | None, _quality(_ENCODER)]  # where there are no targets
TargetSize = Annotated[
    str | None,
    declare(
        _QUALITY,
        "--target-size",
        "Best quality whose file, metadata included, is not larger: 40000, 40k, 40Ki, 1.5M.",
        metavar="N[k|M|Ki|Mi]",
    ),
]
TargetBpp = Annotated[
    float | None,
    declare(_QUALITY, "--target-bpp", "The same in bits per pixel of the picture.", metavar="X"),
]
TargetPsnr = Annotated[
    float | None,
    declare(
        _QUALITY,
        "--target-psnr",
        "Smallest file whose decoded picture has this PSNR at least.",
        metavar="DB",
    ),
]
TargetSsimulacra2 = Annotated[
    float | None,
    declare(
        _QUALITY,
        "--target-ssimulacra2",
        "The same of SSIMULACRA2: 90 is visually lossless, 70 high, 50 medium; needs the extra "
        "[eval].",
        metavar="X",
    ),
]
Lossless = Annotated[
    bool,
    declare(
        _QUALITY,
        "--lossless",
        "Give back every pixel, of photographs in a much larger file; -e and -m do not count. With "
        "=auto, which goes with -q and targets, only where that takes no more bytes, as of "
        "drawings and screenshots, or fits into --target-size.",
        metavar="[=auto]",
    ),
]
LosslessIfSmaller = Annotated[bool, declare(_QUALITY, LOSSLESS_IF_SMALLER, "", hidden=True)]
MaxError = Annotated[
    int | None,
    declare(
        _QUALITY,
        "--max-error",
        "Nearly lossless: no sample is further off than N of 255; 1 to 15, or 0 for --lossless.",
        metavar="N",
    ),
]
Base = Annotated[
    float | None,
    declare(
        _QUALITY,
        "--base",
        "With --lossless or --max-error: the file has a lossy picture of this quality first, for "
        "previews and decompress --lossy, and is some percent larger, of drawings far more. -e, "
        "--tune and -m are of it.",
        metavar="0..100",
    ),
]


def _effort(help: str) -> Any:
    return declare(_ENCODER, "-e --effort", help, metavar="1..9", min=1, max=9)


Effort = Annotated[
    int,
    _effort(
        "How hard to work for few bits at equal quality (see --tune); decoding does not change. 1 "
        "is plain; from 3 on each picture's latents are refined, which takes from half a minute "
        "(3) to ten minutes (9) a megapixel, several times that with a target, and needs the extra "
        "[train]. At a fixed -q part of the gain is a better picture, and the file may even grow."
    ),
]
LoneEffort = Annotated[  # where there is no --tune
    int,
    _effort(
        "How hard the last column's encoder works for few bits at equal PSNR. From 3 on it refines "
        "the latents, which takes half a minute (3) to ten minutes (9) a megapixel and needs the "
        "extra [train]."
    ),
]
Tune = Annotated[
    TuneName | None,
    declare(
        _ENCODER,
        "--tune",
        "What efforts from 3 on save bits at: PSNR, or a mix of squared error, "
        "SSIMULACRA2, MS-SSIM and SSIM. Without it: what the model was trained for, psnr with "
        "--target-psnr, eye with --target-ssimulacra2.",
        metavar="psnr|eye",
    ),
]
ModelName = Annotated[
    str | None,
    declare(
        _ENCODER,
        "-m --model",
        "Model to compress with; rdae models lists them. Without it: the default one.",
        metavar="NAME",
        autocompletion=complete_model,
    ),
]

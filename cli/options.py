"""All options of the commands that work on files, each declared once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from rdae.cli.completion import complete_format, complete_model, complete_rd
from rdae.cli.console import Color
from rdae.images import formats
from rdae.scales import DEFAULT_QUALITY


class Strip(str, Enum):
    """Kinds of metadata that --strip leaves out."""

    all = "all"
    exif = "exif"
    xmp = "xmp"
    icc = "icc"
    gps = "gps"


class TuneName(str, Enum):
    """Distortions to train for and to search with."""

    psnr = "psnr"
    eye = "eye"


class Format(str, Enum):
    """Picture formats that decompress writes."""

    png = "png"
    ppm = "ppm"
    jpg = "jpg"
    webp = "webp"
    tiff = "tiff"
    avif = "avif"
    bmp = "bmp"
    jxl = "jxl"

    @property
    def holds(self) -> formats.OutputFormat:
        """What it can hold, and how Pillow calls it."""
        return next(format for format in formats.OUTPUT_FORMATS if format.name == self.value)


FORMAT_OF_EXTENSION = {
    suffix: Format(format.name) for format in formats.OUTPUT_FORMATS for suffix in format.suffixes
}


def _option(group: str, names: str, help: str, **settings: Any) -> Any:
    """Declare an option; help lists options by group, in the order of the signature."""
    return typer.Option(*names.split(), help=help, rich_help_panel=group, **settings)


_OUTPUT, _INPUT, _ENCODER, _DECODER = "Output", "Input", "Encoder", "Decoder"
_QUALITY = "Quality (one of these)"
_METADATA, _SPEED, _REPORT = "Metadata", "Speed", "Report"

Images = Annotated[list[str] | None, typer.Argument(metavar="IMAGE...", show_default=False)]
RdFiles = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILE.rd...", show_default=False, autocompletion=complete_rd),
]

Output = Annotated[
    str | None,
    _option(
        _OUTPUT,
        "-o --output",
        "Name of the output, for a single input; - is standard output.",
        metavar="FILE",
    ),
]
OutputDir = Annotated[
    Path | None,
    _option(
        _OUTPUT,
        "--output-dir",
        "Folder for the outputs; made if needed. What -r finds keeps its place below it.",
        metavar="DIR",
    ),
]
OutputFormat = Annotated[
    str | None,
    _option(
        _OUTPUT,
        "--format",
        "Format of the outputs: png, jpg, webp, avif, tiff, jxl, bmp or ppm. Without it: that of "
        "the extension of -o, or png. What a format cannot hold is refused or said.",
        metavar="NAME",
        autocompletion=complete_format,
    ),
]
OutputQuality = Annotated[
    int | None,
    _option(
        _OUTPUT,
        "--output-quality",
        "Of jpg (default 95), avif (90), webp and jxl (lossless without it), on their own scales; "
        "higher is better.",
        metavar="0..100",
        min=0,
        max=100,
    ),
]
PngLevel = Annotated[
    int | None,
    _option(
        _OUTPUT,
        "--png-level",
        "How hard to compress png: 0 is not at all, 9 takes longest. [default: 3]",
        metavar="0..9",
        min=0,
        max=9,
    ),
]
Resize = Annotated[
    str | None,
    _option(
        _OUTPUT,
        "--resize",
        "Scale the picture to the largest size that fits into W x H pixels, in its proportions; "
        "800x and x600 name one side.",
        metavar="WxH",
    ),
]
Remove = Annotated[
    bool,
    _option(_OUTPUT, "--rm", "Delete each input after its output is complete on disk."),
]
KeepIfSmaller = Annotated[
    bool,
    _option(
        _OUTPUT,
        "--keep-if-smaller",
        "Write an output only if it is smaller than its input.",
    ),
]
KeepSuffix = Annotated[bool, _option(_OUTPUT, "--keep-suffix", "photo.png becomes photo.png.rd.")]
Force = Annotated[bool, _option(_OUTPUT, "-f --force", "Replace outputs that exist.")]
SkipExisting = Annotated[
    bool,
    _option(
        _OUTPUT,
        "--skip-existing",
        "Leave out inputs whose output exists, to go on with a batch.",
    ),
]
Preserve = Annotated[
    bool,
    _option(
        _OUTPUT,
        "-p --preserve",
        "Give the output the input's modification time and permissions.",
    ),
]
DryRun = Annotated[
    bool,
    _option(_OUTPUT, "-n --dry-run", "Do everything but write: show names, sizes and errors."),
]

RecursiveImages = Annotated[
    bool,
    _option(
        _INPUT,
        "-r --recursive",
        "Take the images in folders: png, jpg, jpeg, webp, avif, jxl, bmp, tif, tiff, "
        "ppm, pgm. Hidden files are left out, symbolic links not followed.",
    ),
]
RecursiveRd = Annotated[
    bool,
    _option(
        _INPUT,
        "-r --recursive",
        "Take the .rd files in folders. Hidden files are left out, symbolic links not followed.",
    ),
]
FilesFrom = Annotated[
    str | None,
    _option(
        _INPUT,
        "--files-from",
        "Take more names from a file, one a line or divided by NUL; - is standard input.",
        metavar="FILE",
    ),
]
To8Bit = Annotated[
    bool,
    _option(
        _INPUT,
        "--to-8bit",
        "Round more than 8 bits per channel to 8; floats are taken as 0 to 1 and clipped. "
        "Without it they are refused.",
    ),
]
FirstFrame = Annotated[
    bool,
    _option(
        _INPUT,
        "--first-frame",
        "Take the first picture of an animation or of several pages. Without it they are refused.",
    ),
]
ToSrgb = Annotated[
    bool,
    _option(
        _INPUT,
        "--to-srgb",
        "Convert CMYK, Lab and all that has an ICC profile to sRGB, which leaves no profile. "
        "Without it profiles are kept, CMYK and Lab refused.",
    ),
]
MaxPixels = Annotated[
    int,
    _option(
        _INPUT,
        "--max-pixels",
        "Refuse larger pictures, before any memory is taken.",
        metavar="N",
        min=1,
    ),
]


def _quality(group: str) -> Any:
    return _option(
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
    _option(
        _QUALITY,
        "--target-size",
        "Best quality whose file, metadata included, is not larger: 40000, 40k, 40Ki, 1.5M.",
        metavar="N[k|M|Ki|Mi]",
    ),
]
TargetBpp = Annotated[
    float | None,
    _option(_QUALITY, "--target-bpp", "The same in bits per pixel of the picture.", metavar="X"),
]
TargetPsnr = Annotated[
    float | None,
    _option(
        _QUALITY,
        "--target-psnr",
        "Smallest file whose decoded picture has this PSNR at least.",
        metavar="DB",
    ),
]
Lossless = Annotated[
    bool,
    _option(_QUALITY, "--lossless", "Give back every pixel, in a much larger file."),
]
MaxError = Annotated[
    int | None,
    _option(
        _QUALITY,
        "--max-error",
        "Nearly lossless: no sample is further off than N of 255; 1 to 15.",
        metavar="N",
    ),
]
Effort = Annotated[
    int,
    _option(
        _ENCODER,
        "-e --effort",
        "How hard to work for few bits at equal PSNR; decoding does not change. 1 is plain; from 3 "
        "on each picture's latents are refined, which takes from ten seconds (3) to two minutes "
        "(9) a megapixel, several times that with a target, and needs the extra [train]. At a "
        "fixed -q part of the gain is a better picture, and the file may even grow.",
        metavar="1..9",
        min=1,
        max=9,
    ),
]
Tune = Annotated[
    TuneName | None,
    _option(
        _ENCODER,
        "--tune",
        "What efforts from 3 on save bits at: PSNR, or a mix of squared error, SSIMULACRA2 and "
        "MS-SSIM. Without it: what the model was trained for.",
        metavar="psnr|eye",
    ),
]
ModelName = Annotated[
    str | None,
    _option(
        _ENCODER,
        "-m --model",
        "Model to compress with; rdae models lists them. Without it: the default one.",
        metavar="NAME",
        autocompletion=complete_model,
    ),
]
RegionText = Annotated[
    str | None,
    _option(
        _DECODER,
        "--region",
        "Decode only this part: left and upper edge, width and height, in pixels. --max-pixels "
        "then counts its pixels; with alpha, those of all rows down to its last.",
        metavar="X,Y,W,H",
    ),
]
Thumbnail = Annotated[
    int | None,
    _option(
        _DECODER,
        "--thumbnail",
        "Make the picture, or the region, fit into NxN pixels; one that does keeps its size. Large "
        "pictures take little memory. Of the metadata only the ICC profile is written.",
        metavar="N",
        min=1,
    ),
]
BestEffort = Annotated[
    bool,
    _option(
        _DECODER,
        "--best-effort",
        "Write what is left of damaged files; the exit code is 1 all the same. Cut files give a "
        "coarser picture; other broken tiles (1024x1024 pixels) are filled from those beside them, "
        "or grey where none is left.",
    ),
]
Weights = Annotated[
    Path | None,
    _option(
        _DECODER,
        "--weights",
        "Take the model from this weights file, for files of a model that is not installed.",
        metavar="FILE",
    ),
]


def _threads(effect: str) -> Any:
    return _option(
        _SPEED,
        "--threads",
        f"Number of threads; {effect}. Without it: one a core.",
        metavar="N",
        min=1,
        envvar="RDAE_THREADS",
        show_default=False,
    )


Threads = Annotated[int | None, _threads("no effect on the result")]
SearchThreads = Annotated[
    int | None,
    _threads(
        "no effect on the result at efforts 1 and 2; from 3 on torch's sums, and so what is "
        "found, differ a little with it"
    ),
]
StripKinds = Annotated[
    list[Strip] | None,
    _option(
        _METADATA,
        "--strip",
        "Leave out metadata: exif, xmp, icc, gps, or all (which keeps the ICC profile, since the "
        "colours need it). May be given more than once. Without it everything is kept.",
        metavar="KIND",
    ),
]

Explain = Annotated[
    bool,
    _option(_REPORT, "--explain", "Say what the bits are in the codec's theory."),
]
ShowPsnr = Annotated[
    bool,
    _option(_REPORT, "--psnr", "Decode the result and print its PSNR in dB (higher is better)."),
]
Json = Annotated[
    bool,
    _option(_REPORT, "--json", "One JSON object a file on standard output, then one for all."),
]
Draws = Annotated[
    int, _option(_REPORT, "--draws", "Draws of the noise to average.", metavar="N", min=1)
]
OneJson = Annotated[bool, _option(_REPORT, "--json", "One JSON object on standard output.")]
Quiet = Annotated[bool, _option(_REPORT, "--quiet", "Print errors only.")]
Verbose = Annotated[
    int,
    _option(
        _REPORT,
        "-v --verbose",
        "Print more about each file; -vv adds a log.",
        count=True,
        show_default=False,
    ),
]
FailFast = Annotated[bool, _option(_REPORT, "--fail-fast", "Stop at the first file that fails.")]
ColorWhen = Annotated[
    Color,
    _option(
        _REPORT,
        "--color",
        "When to colour messages; NO_COLOR=1 is never.",
        metavar="auto|always|never",
    ),
]

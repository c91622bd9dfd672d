"""Options of the commands that work on files, each declared once; encoders' stand beside them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from rdae.cli.completion import complete_format, complete_rd
from rdae.cli.console import Color
from rdae.images import formats


class Strip(str, Enum):
    """Kinds of metadata that --strip leaves out."""

    all = "all"
    exif = "exif"
    xmp = "xmp"
    icc = "icc"
    gps = "gps"


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


def declare(group: str, names: str, help: str, **settings: Any) -> Any:
    """Declare an option; help lists options by group, in the order of the signature."""
    return typer.Option(*names.split(), help=help, rich_help_panel=group, **settings)


_OUTPUT, _INPUT, _DECODER = "Output", "Input", "Decoder"
_METADATA, _SPEED, _REPORT = "Metadata", "Speed", "Report"

Images = Annotated[list[str] | None, typer.Argument(metavar="IMAGE...", show_default=False)]
RdFiles = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILE.rd...", show_default=False, autocompletion=complete_rd),
]

Output = Annotated[
    str | None,
    declare(
        _OUTPUT,
        "-o --output",
        "Name of the output, for a single input; - is standard output.",
        metavar="FILE",
    ),
]
OutputDir = Annotated[
    Path | None,
    declare(
        _OUTPUT,
        "--output-dir",
        "Folder for the outputs; made if needed. What -r finds keeps its place below it.",
        metavar="DIR",
    ),
]
OutputFormat = Annotated[
    str | None,
    declare(
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
    declare(
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
    declare(
        _OUTPUT,
        "--png-level",
        "How hard to compress png: 0 is not at all, 9 takes longest. Without it: fast, about as "
        "small as 3, drawings as 6.",
        metavar="0..9",
        min=0,
        max=9,
    ),
]
Resize = Annotated[
    str | None,
    declare(
        _OUTPUT,
        "--resize",
        "Scale the picture to the largest size that fits into W x H pixels, in its proportions; "
        "800x and x600 name one side.",
        metavar="WxH",
    ),
]
Remove = Annotated[
    bool,
    declare(_OUTPUT, "--rm", "Delete each input after its output is complete on disk."),
]
KeepIfSmaller = Annotated[
    bool,
    declare(
        _OUTPUT,
        "--keep-if-smaller",
        "Write an output only if it is smaller than its input.",
    ),
]
KeepSuffix = Annotated[bool, declare(_OUTPUT, "--keep-suffix", "photo.png becomes photo.png.rd.")]
Force = Annotated[bool, declare(_OUTPUT, "-f --force", "Replace outputs that exist.")]
SkipExisting = Annotated[
    bool,
    declare(
        _OUTPUT,
        "--skip-existing",
        "Leave out inputs whose output exists, to go on with a batch.",
    ),
]
Preserve = Annotated[
    bool,
    declare(
        _OUTPUT,
        "-p --preserve",
        "Give the output the input's modification time and permissions.",
    ),
]
DryRun = Annotated[
    bool,
    declare(_OUTPUT, "-n --dry-run", "Do everything but write: show names, sizes and errors."),
]

RecursiveImages = Annotated[
    bool,
    declare(
        _INPUT,
        "-r --recursive",
        f"Take the images in folders: {', '.join(kind.name for kind in formats.INPUT_FORMATS)}, by "
        "their names. Hidden files are left out, symbolic links not followed.",
    ),
]
RecursiveRd = Annotated[
    bool,
    declare(
        _INPUT,
        "-r --recursive",
        "Take the .rd files in folders. Hidden files are left out, symbolic links not followed.",
    ),
]
FilesFrom = Annotated[
    str | None,
    declare(
        _INPUT,
        "--files-from",
        "Take more names from a file, one a line or divided by NUL; - is standard input.",
        metavar="FILE",
    ),
]
To8Bit = Annotated[
    bool,
    declare(
        _INPUT,
        "--to-8bit",
        "Round more than 8 bits per channel to 8; floats are taken as 0 to 1 and clipped. "
        "Without it they are refused.",
    ),
]
FirstFrame = Annotated[
    bool,
    declare(
        _INPUT,
        "--first-frame",
        "Take the first picture of an animation or of several pages. Without it they are refused.",
    ),
]
ToSrgb = Annotated[
    bool,
    declare(
        _INPUT,
        "--to-srgb",
        "Convert CMYK, Lab and all that has an ICC profile to sRGB, which leaves no profile. "
        "Without it profiles are kept, CMYK and Lab refused.",
    ),
]
MaxPixels = Annotated[
    int,
    declare(
        _INPUT,
        "--max-pixels",
        "Refuse larger pictures, before any memory is taken.",
        metavar="N",
        min=1,
    ),
]


RegionText = Annotated[
    str | None,
    declare(
        _DECODER,
        "--region",
        "Decode only this part: left and upper edge, width and height, in pixels. --max-pixels "
        "then counts its pixels; with alpha, those of all rows down to its last.",
        metavar="X,Y,W,H",
    ),
]
Thumbnail = Annotated[
    int | None,
    declare(
        _DECODER,
        "--thumbnail",
        "Make the picture, or the region, fit into NxN pixels; one that does keeps its size. Large "
        "lossy pictures take little memory; those of compress --base are made small from the lossy "
        "picture. Of the metadata only the ICC profile is written.",
        metavar="N",
        min=1,
    ),
]
BestEffort = Annotated[
    bool,
    declare(
        _DECODER,
        "--best-effort",
        "Write what is left of damaged files; the exit code is 1 all the same. Cut lossy files "
        "give a coarser picture; other broken tiles (1024x1024 pixels) are filled from those "
        "beside them, or grey where none is left. In lossless files they are grey, or lossy if "
        "there was a --base.",
    ),
]
Lossy = Annotated[
    bool,
    declare(
        _DECODER,
        "--lossy",
        "Of a file of compress --base, decode the lossy picture that it has first; what makes it "
        "exact is not read and need not be there. Other files are decoded as ever.",
    ),
]
Weights = Annotated[
    Path | None,
    declare(
        _DECODER,
        "--weights",
        "Take the model from this weights file, for files of a model that is not installed.",
        metavar="FILE",
    ),
]


def _threads(effect: str) -> Any:
    return declare(
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
    declare(
        _METADATA,
        "--strip",
        "Leave out metadata: exif, xmp, icc, gps, or all (which keeps the ICC profile, since the "
        "colours need it). May be given more than once. Without it everything is kept.",
        metavar="KIND",
    ),
]

Explain = Annotated[
    bool,
    declare(_REPORT, "--explain", "Say what the bits are in the codec's theory."),
]
ShowPsnr = Annotated[
    bool,
    declare(_REPORT, "--psnr", "Decode the result and print its PSNR in dB (higher is better)."),
]
Json = Annotated[
    bool,
    declare(_REPORT, "--json", "One JSON object a file on standard output, then one for all."),
]
Draws = Annotated[
    int, declare(_REPORT, "--draws", "Draws of the noise to average.", metavar="N", min=1)
]
OneJson = Annotated[bool, declare(_REPORT, "--json", "One JSON object on standard output.")]
Quiet = Annotated[bool, declare(_REPORT, "--quiet", "Print errors only.")]
Verbose = Annotated[
    int,
    declare(
        _REPORT,
        "-v --verbose",
        "Print more about each file; -vv adds a log.",
        count=True,
        show_default=False,
    ),
]
FailFast = Annotated[bool, declare(_REPORT, "--fail-fast", "Stop at the first file that fails.")]
ColorWhen = Annotated[
    Color,
    declare(
        _REPORT,
        "--color",
        "When to colour messages; NO_COLOR=1 is never.",
        metavar="auto|always|never",
    ),
]

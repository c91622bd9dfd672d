"""What hands used to other image tools type, and the way it goes here.

Only hints: a second name for a command or an option would be one more thing to learn and to keep.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rdae.cli.console import shown
from rdae.cli.inputs import RD_EXTENSIONS
from rdae.images.formats import INPUT_SUFFIXES

_COMMANDS = {
    **dict.fromkeys(("encode", "enc", "cjxl", "c", "convert", "shrink"), "compress"),
    **dict.fromkeys(("decode", "dec", "djxl", "d", "x", "extract", "expand"), "decompress"),
    **dict.fromkeys(("display", "open", "show"), "view"),
    **dict.fromkeys(("identify", "list", "l"), "info"),
    **dict.fromkeys(("test", "check", "t"), "verify"),
    **dict.fromkeys(("benchmark", "bench"), "eval"),
}
_QUALITY = "-q 0..100 is the quality; higher is better; --lossless keeps every pixel"
_EFFORT = "-e 1..9 is the effort; higher is slower and smaller"
_THREADS = "--threads N is how many threads to use"
_METADATA = "all metadata is kept; --strip exif, gps, xmp, icc or all leaves out"
_NEAR = "--max-error 1 to 15 is nearly lossless: no sample is further off"
_OPTIONS = {  # of cjxl, avifenc, cwebp, zstd, magick
    **dict.fromkeys(("-d", "--distance", "--min", "--max"), _QUALITY),
    **dict.fromkeys(("-s", "--speed", "--method", "-z", "--level"), _EFFORT),
    **dict.fromkeys(("-j", "--jobs", "--num-threads", "--num_threads", "-T", "--mt"), _THREADS),
    **dict.fromkeys(("--metadata", "--keep", "--container"), _METADATA),
    **dict.fromkeys(("-i", "--input", "--in"), "inputs need no option: rdae compress photo.png"),
    **dict.fromkeys(("-c", "--stdout", "--to-stdout"), "-o - writes to standard output"),
    **dict.fromkeys(("-t", "--test"), "rdae verify decodes and checks .rd files"),
    **dict.fromkeys(("-k",), "inputs are kept; --rm deletes them"),
    **dict.fromkeys(("-y", "--overwrite"), "-f replaces outputs that exist"),
    **dict.fromkeys(("--outdir", "--out-dir", "--dir"), "--output-dir DIR takes all outputs"),
    **dict.fromkeys(("--near-lossless", "--near_lossless"), _NEAR),
    **dict.fromkeys(("--size",), "--target-size 40k is the largest file"),
    **dict.fromkeys(("--psnr-target",), "--target-psnr 36 is the least PSNR"),
}
_OF_ONE_HYPHEN = {  # cwebp's, which are read as several options of one letter
    "-size": _OPTIONS["--size"],
    "-psnr": _OPTIONS["--psnr-target"],
    "-metadata": _METADATA,
    "-mt": _THREADS,
    "-quiet": "it has two hyphens here: --quiet",
    "-lossless": "options of several letters have two hyphens here",
    "-near_lossless": _NEAR,
    "-resize": "rdae decompress --resize WxH scales the picture that it writes",
}


def way_out(error: Any, arguments: Sequence[str]) -> str:
    """Return how what was typed goes here, or nothing.

    Args:
        error: about an option or a command, as the library that reads them raises it.
        arguments: of the command line, without the program's name.
    """
    context = getattr(error, "ctx", None)
    at_the_top = context is not None and context.parent is None
    option = getattr(error, "option_name", None)
    is_wrong_option = option is not None or getattr(error, "param", None) is not None
    if is_wrong_option and (name := _hyphened_file(arguments)):
        return f"a name that begins with a hyphen is written {shlex.quote('./' + shown(name))}"
    if option is not None and at_the_top:
        return f"options go behind the command: rdae compress photo.png {shown(option)} ..."
    if option is not None:
        return _way_of_option(str(option), arguments)
    if getattr(error, "param", None) is not None:  # -quiet is read as -q with the value uiet
        return _way_of_one_hyphen(arguments)
    unknown = re.match(r"No such command '(.*?)'\.", str(getattr(error, "message", "")))
    if unknown is None or not at_the_top:
        return ""
    if command := _COMMANDS.get(unknown[1]):
        return f"it is called rdae {command} here"
    suffix = Path(unknown[1]).suffix.lower()
    if suffix in RD_EXTENSIONS | INPUT_SUFFIXES:
        command = "decompress" if suffix in RD_EXTENSIONS else "compress"
        return f"rdae {command} {shown(shlex.join(arguments))}"
    return ""


def _hyphened_file(arguments: Sequence[str]) -> str:
    """The first argument that is taken for an option but is a file, or nothing."""
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return next((one for one in words if one[:1] == "-" != one and os.path.lexists(one)), "")


def _way_of_option(option: str, arguments: Sequence[str]) -> str:
    if way := _way_of_one_hyphen(arguments):
        return way
    if option == "--resize":  # of decompress alone
        return _OF_ONE_HYPHEN["-resize"]
    return _OPTIONS.get(option, "")


def _way_of_one_hyphen(arguments: Sequence[str]) -> str:
    return next((_OF_ONE_HYPHEN[one] for one in arguments if one in _OF_ONE_HYPHEN), "")

"""Every error that rdae raises on purpose, in one tree with stable codes.

    RdaeError                        .code (stable, kebab-case), .hint (the way out, or empty)
    ├── BitstreamError               the bytes are wrong (also ValueError)
    │   ├── NotRdaeError             not-rdae: the first bytes are not our magic
    │   ├── TruncatedError           truncated: the file ends too early
    │   ├── CorruptError             corrupt: impossible field, wrong checksum, bytes left over
    │   ├── UnsupportedVersionError  unsupported-version: a newer bitstream
    │   └── UnsupportedFeatureError  unsupported-feature: an unknown critical chunk
    ├── ModelError
    │   ├── UnknownModelError        unknown-model: the file's model is not installed
    │   ├── WeightsNotFoundError     weights-not-found: no such model or weights file
    │   └── WeightsMismatchError     weights-mismatch: damaged weights, or not provably exact
    ├── ImageError                   the picture is wrong (also ValueError)
    │   ├── UnsupportedImageError    unsupported-image: mode, depth, animation, not an image
    │   ├── TooLargeError            too-large: over the pixel limit, before any allocation
    │   └── RegionError              region: not inside of the picture, or without pixels
    ├── RateTargetError              rate-target: no quality point meets the target
    ├── OutputExistsError            output-exists (also FileExistsError)
    ├── FolderInUseError             folder-in-use: another process writes to it
    └── MissingDependencyError       missing-dependency (also ImportError): an extra is needed

`DamageWarning` is not one of them: it says what a rescued picture lacks.

All of them can be pickled, and so come out of other processes as they were.

`str(error)` is one line without the file's name: whoever knows the name puts it in front.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = [
    "BitstreamError",
    "CorruptError",
    "DamageWarning",
    "FolderInUseError",
    "ImageError",
    "MissingDependencyError",
    "ModelError",
    "NotRdaeError",
    "OutputExistsError",
    "RateTargetError",
    "RdaeError",
    "RegionError",
    "TooLargeError",
    "TruncatedError",
    "UnknownModelError",
    "UnsupportedFeatureError",
    "UnsupportedImageError",
    "UnsupportedVersionError",
    "WeightsMismatchError",
    "WeightsNotFoundError",
]


class RdaeError(Exception):
    """Base of all rdae errors.

    Attributes:
        code: stable kebab-case identifier, for programs.
        hint: what the user can do about it, one line without a full stop; may be empty. Whoever
            reads it may be at the command line or in Python, so it names options as `option` does.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception would call the class with the message alone, which some constructors refuse.
        state = dict(vars(self))
        if isinstance(self, OSError) and self.filename is not None:
            state["filename"] = self.filename
        return _restored, (type(self), self.args, state)

    def __str__(self) -> str:
        # FileExistsError and ImportError format their arguments in ways of their own.
        return str(self.args[0])


def _restored(kind: type[RdaeError], args: tuple[Any, ...], state: dict[str, Any]) -> RdaeError:
    """Make an error again from what was pickled of it."""
    error = kind.__new__(kind, *args)
    error.args = args
    for name, value in state.items():
        setattr(error, name, value)
    return error


class BitstreamError(RdaeError, ValueError):
    """The bytes are not a valid .rd file."""

    code = "bitstream"


class NotRdaeError(BitstreamError):
    """The first bytes are not the magic number."""

    code = "not-rdae"


class TruncatedError(BitstreamError):
    """The file ends before what it announces."""

    code = "truncated"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "the file is incomplete; copy or download it again",
    ) -> None:
        super().__init__(message, hint=hint)


class CorruptError(BitstreamError):
    """An impossible field, a checksum that does not match, or bytes left over."""

    code = "corrupt"

    def __init__(
        self, message: str, *, hint: str = "the file is damaged; copy or download it again"
    ) -> None:
        super().__init__(message, hint=hint)


class UnsupportedVersionError(BitstreamError):
    """The file is of a bitstream version that this rdae does not know."""

    code = "unsupported-version"


class UnsupportedFeatureError(BitstreamError):
    """The file needs a feature that this rdae does not have."""

    code = "unsupported-feature"


class ModelError(RdaeError):
    """A model or its weights cannot be used."""

    code = "model"


class UnknownModelError(ModelError):
    """The file was written with a model that is not installed."""

    code = "unknown-model"


class WeightsNotFoundError(ModelError):
    """There is no model or weights file of that name."""

    code = "weights-not-found"


class WeightsMismatchError(ModelError):
    """A weights file is damaged, incomplete, or fails the proof of exactness."""

    code = "weights-mismatch"


class ImageError(RdaeError, ValueError):
    """The picture cannot be used."""

    code = "image"


class UnsupportedImageError(ImageError):
    """Not an image, a damaged one, or of a kind that rdae does not take."""

    code = "unsupported-image"


class TooLargeError(ImageError):
    """More pixels than the limit allows; raised before anything is allocated."""

    code = "too-large"


class RegionError(ImageError):
    """A region that does not lie inside of the picture, or has no pixels."""

    code = "region"


class RateTargetError(RdaeError):
    """No quality point of the model meets the target.

    Attributes:
        reachable: the smallest size in bytes, or the best PSNR in dB or SSIMULACRA2, that can be
            had.
    """

    code = "rate-target"

    def __init__(self, message: str, *, reachable: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reachable = reachable


class OutputExistsError(RdaeError, FileExistsError):
    """The output file exists and was not to be replaced."""

    code = "output-exists"


class FolderInUseError(RdaeError):
    """Another process writes to the folder; the message names it."""

    code = "folder-in-use"


class MissingDependencyError(RdaeError, ImportError):
    """A package of an optional extra is not installed."""

    code = "missing-dependency"


def grouped(number: int) -> str:
    """Format a count for a message, thousands set apart: 40112 -> "40 112"."""
    return f"{number:,}".replace(",", " ")


def option(name: str, value: object = True) -> str:
    """Name a keyword of the Python functions as it is given there and on the command line.

    `option("max_pixels", 9)` is `--max-pixels 9 (max_pixels=9 in Python)`, and `option("to_8bit")`
    is `--to-8bit (to_8bit=True in Python)`.
    """
    flag = "--" + name.replace("_", "-")
    given = flag if value is True else f"{flag} {value}"
    return f"{given} ({name}={value} in Python)"


def for_command_line(hint: str) -> str:
    """Return a hint without what it says to those who are in Python."""
    return re.sub(r" \([^()]*\bin Python\b[^()]*\)", "", hint)


class DamageWarning(UserWarning):
    """A picture was made of a damaged file; the message says what of it is not the original."""

    code = "damaged"

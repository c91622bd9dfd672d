"""The pictures of an evaluation: which they are, exactly, and whether they are fit for one."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdae.errors import RdaeError
from rdae.images.pillow import read_picture
from rdae.images.transparency import is_transparent

# Formats that lose something, by their first bytes; (offset, bytes, name).
_LOSSY = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypmif1", "AVIF or HEIC"),
    (4, b"ftyphe", "HEIC"),
)


class SourceError(RdaeError):
    """The file of a picture that was evaluated cannot be had any more."""

    code = "source"


@dataclass(frozen=True)
class Image:
    """One picture of a dataset.

    Attributes:
        image: short name, unique in the dataset.
        path: the file.
        sha256: of the file, 64 hex digits.
        width: in pixels, upright.
        height: in pixels, upright.
        lossy: the lossy format that the file has, or "": codecs are then measured against the
            artefacts of another, and the figures flatter those that resemble it.
        alpha: some of it is transparent, which not all codecs can hold.
    """

    image: str
    path: Path
    sha256: str
    width: int
    height: int
    lossy: str = ""
    alpha: bool = False

    def record(self) -> dict[str, Any]:
        """As it stands in run.json and summary.json; the path is absolute."""
        return {**vars(self), "path": os.path.abspath(self.path)}


def read_image(path: Path, name: str) -> Image:
    """Look at a picture's file.

    Raises:
        ImageError: it cannot be read.
        OSError: there is no such file.
    """
    data = path.read_bytes()
    picture = read_picture(path)
    lossy = next((kind for at, mark, kind in _LOSSY if data.startswith(mark, at)), "")
    if _is_lossy_webp(data):
        lossy = "lossy WebP"
    digest = hashlib.sha256(data).hexdigest()
    size = (picture.width, picture.height)
    return Image(name, path, digest, *size, lossy, is_transparent(picture))


def _is_lossy_webp(data: bytes) -> bool:
    """Whether a file is WebP with lossy pixels, which stand behind a profile or alpha it has."""
    at = 12 if data.startswith(b"WEBP", 8) else len(data)
    while at < len(data) and not data.startswith((b"VP8 ", b"VP8L"), at):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return data.startswith(b"VP8 ", at)


def find_source(entry: Mapping[str, Any], near: Path) -> Path:
    """Find the file of a picture of run.json again.

    Args:
        entry: of `Image.record`. Where an early version left a relative path, it is tried from
            the working folder, and from the folder of the results and those that it lies in.
        near: that folder.

    Raises:
        SourceError: there is no such file, or it has other contents by now.
        OSError: it cannot be read.
    """
    path, here = Path(entry["path"]), near.resolve()
    places = [path, *(folder / path for folder in (here, *here.parents))]
    for place in dict.fromkeys(places):
        if place.is_file() and hashlib.sha256(place.read_bytes()).hexdigest() == entry["sha256"]:
            return place
    there = any(place.is_file() for place in places)
    raise SourceError(f"{path} {'has changed since' if there else 'is not there any more'}")


def short_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its stem; where two share one, the paths as they are given."""
    names = [path.stem for path in paths]
    repeated = {name for name, count in Counter(names).items() if count > 1}
    return [str(p) if name in repeated else name for p, name in zip(paths, names, strict=True)]


def _is_a(kind: str) -> str:
    return "is an" if kind.startswith("A") else "is a"


def warnings(images: Iterable[Image], provenance: dict[str, dict[str, Any]]) -> list[str]:
    """What is wrong with a dataset, in sentences.

    Args:
        images: the dataset.
        provenance: of each model that is evaluated, by its label. A model whose training photos
            are listed there, as `photo_sha256`, is checked against the dataset.
    """
    images = list(images)
    found = []
    lossy = Counter(image.lossy for image in images if image.lossy)
    for kind, count in sorted(lossy.items()):
        found.append(
            f"{count} of {len(images)} pictures {_is_a(kind) if count == 1 else 'are'} {kind} "
            f"file{'' if count == 1 else 's'}, whose artefacts count as detail"
        )
    copies = Counter(image.sha256 for image in images)
    if repeated := sum(count - 1 for count in copies.values()):
        what = "is a copy of another" if repeated == 1 else "are copies of others"
        found.append(f"{repeated} of {len(images)} pictures {what}")
    for label, facts in provenance.items():
        known = facts.get("photo_sha256")
        if isinstance(known, list):
            seen = sorted(image.image for image in images if image.sha256 in set(known))
            if seen:
                names = ", ".join(seen[:5]) + (", ..." if len(seen) > 5 else "")
                found.append(f"{label} was trained on {len(seen)} of these pictures: {names}")
    return found

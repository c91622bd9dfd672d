"""Training crops: photos decoded once into one memory-mapped file, then random crops of it.

Decoding a JPEG for every crop would cost more than the training step; a flat uint8 file costs
3 bytes a pixel of disk and is shared by all processes through the page cache.

A share of the photos is held out for validation, chosen by their content, so that the same folder
gives the same split. Pictures of an evaluation set are left out, also when they have been
recompressed or resized: they are known by a difference hash of their content.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rdae.errors import ImageError, RdaeError
from rdae.files import atomic_write
from rdae.images.formats import INPUT_SUFFIXES, input_names
from rdae.images.picture import Picture
from rdae.images.pillow import read_picture
from rdae.threads import default_threads
from rdae.training.augmentation import recoloured

PHOTO_CACHE, SCREENS_CACHE = "photos.u8", "screens.u8"  # in a run folder
MIN_SIDE = 64
HASH_SIDE = 16  # a difference hash compares 16 x 16 pairs of neighbours
# Recompression and resizing flip up to about 10 of the 256 bits, other pictures about 128.
SAME_PICTURE_BITS = 24
MAX_SHRINK = 2.0  # of crops that are downscaled
# What says how many are held out, for each kind of pictures.
HELD_OUT_OPTIONS = {"photos": "--held-out", "screens": "--screens-held-out"}

Pixels = NDArray[np.uint8]


class PhotoCache:
    """All photos of a run as uint8 arrays `(H, W, 3)` on one memory map.

    Attributes:
        training: photos to draw crops from.
        held_out: photos to validate on.
        sha256: of the files of the photos to train on, 64 hex digits each.
    """

    def __init__(self, path: Path) -> None:
        index = _read_index(path)["pictures"]
        self._map = np.memmap(path, np.uint8, mode="r")
        self.training: list[Pixels] = []
        self.held_out: list[Pixels] = []
        for entry in index:
            h, w, at = entry["height"], entry["width"], entry["offset"]
            photo = self._map[at : at + 3 * h * w].reshape(h, w, 3)
            (self.held_out if "held_out" in entry else self.training).append(photo)
        self.sha256 = [entry["sha256"] for entry in index if "held_out" not in entry]
        pixels = np.array([p.shape[0] * p.shape[1] for p in self.training], float)
        self._share = pixels / pixels.sum()

    def crops(
        self,
        rng: np.random.Generator,
        count: int,
        size: int,
        downscale: float = 0.0,
        recolour: float = 0.0,
    ) -> Pixels:
        """Random crops, flipped and transposed at random: `(count, size, size, 3)`.

        Photos are drawn in proportion to their pixels; one smaller than `size` is repeated at
        its edge.

        Args:
            rng: source of all choices.
            count: number of crops.
            size: side in pixels.
            downscale: share of the crops that are larger squares shrunk by a factor of 1 to 2.
            recolour: share of the crops whose colours are changed.
        """
        out = np.empty((count, size, size, 3), np.uint8)
        for k, i in enumerate(rng.choice(len(self.training), count, p=self._share)):
            photo = self.training[i]
            h, w = photo.shape[:2]
            side = size
            if rng.random() < downscale:
                side = max(size, min(h, w, round(size * rng.uniform(1, MAX_SHRINK))))
            y, x = rng.integers(0, max(h - side, 0) + 1), rng.integers(0, max(w - side, 0) + 1)
            crop = photo[y : y + side, x : x + side]
            if side > size:
                shrunk = Image.fromarray(crop).resize((size, size), Image.Resampling.BICUBIC)
                crop = np.asarray(shrunk)
            missing = (0, size - crop.shape[0]), (0, size - crop.shape[1]), (0, 0)
            crop = np.pad(crop, missing, mode="edge")
            if rng.random() < 0.5:
                crop = crop[:, ::-1]
            if rng.random() < 0.5:
                crop = crop.transpose(1, 0, 2)
            out[k] = recoloured(crop, rng) if rng.random() < recolour else crop
        return out


class Ahead:
    """Crops that a thread draws while those before are in use, in a fixed order.

    Attributes:
        state: of the generator before the next crops are drawn; a checkpoint keeps it.
    """

    def __init__(
        self, draw: Callable[[np.random.Generator], Pixels], rng: np.random.Generator
    ) -> None:
        self._draw, self._rng = draw, rng
        self._pool = ThreadPoolExecutor(1)
        self.start_at(rng.bit_generator.state)

    def start_at(self, state: Mapping[str, Any]) -> None:
        """Go on as from `state`; what has been drawn ahead is forgotten."""
        self._pool.submit(lambda: None).result()  # whatever is being drawn is done
        self.state = state
        self._rng.bit_generator.state = state
        self._waiting: Future[tuple[Pixels, Mapping[str, Any]]] | None = None

    def next(self) -> Pixels:
        """The next crops."""
        waiting = self._waiting or self._pool.submit(self._drawn)
        crops, self.state = waiting.result()
        self._waiting = self._pool.submit(self._drawn)
        return crops

    def _drawn(self) -> tuple[Pixels, Mapping[str, Any]]:
        crops = self._draw(self._rng)
        return crops, self._rng.bit_generator.state


@dataclass(frozen=True)
class CacheReport:
    """What became of a folder of pictures.

    Attributes:
        kind: of the pictures, one of `HELD_OUT_OPTIONS`.
        training: number of pictures to train on.
        held_out: number of pictures that are held out.
        skipped: a line for each file that was left out, and why.
    """

    kind: str
    training: int
    held_out: int
    skipped: list[str]


def build_cache(
    folder: Path,
    path: Path,
    held_out: float = 0.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    kind: str = "photos",
) -> CacheReport:
    """Decode every picture of `folder` (recursively) into the cache file `path`, on all cores.

    Its index goes beside it, with the suffix .json; it also says which pictures these are. A cache
    that is there is whole, and its index is its own, whenever this process is killed.

    Args:
        folder: the pictures.
        path: the cache file.
        held_out: share of the pictures that is not trained on, rounded up.
        progress: is told how many files of how many are done.
        kind: of the pictures, one of `HELD_OUT_OPTIONS`.

    Raises:
        RdaeError: no usable picture in the folder, or only one and a share of it is to be held out.
        OSError: the cache cannot be written.
    """
    _require_folder(folder, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in INPUT_SUFFIXES and p.is_file()
    )
    known = evaluation_hashes()
    index: list[dict[str, object]] = []
    skipped: list[str] = []
    offset = 0
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as out:
            for done, (file, photo) in enumerate(_decoded(paths), 1):
                same = "" if isinstance(photo, str) else same_picture(photo, known)
                if isinstance(photo, str):
                    skipped.append(f"{file}: {photo}")
                elif same:
                    skipped.append(f"{file}: shows the same as {same}, an evaluation image")
                else:
                    out.write(photo.tobytes())
                    h, w = photo.shape[:2]
                    digest = hashlib.sha256(file.read_bytes()).hexdigest()
                    name = str(file.relative_to(folder))
                    entry = {"name": name, "height": h, "width": w, "offset": offset}
                    index.append({**entry, "sha256": digest})
                    offset += photo.size
                progress(done, len(paths))
            out.flush()
            os.fsync(out.fileno())
        count = int(np.ceil(held_out * len(index)))
        if count >= len(index):
            raise RdaeError(
                f"{folder}: {len(index)} {kind} to train on, {count} of them to be held out",
                hint=f"{kind} are {input_names()} of at least {MIN_SIDE}x{MIN_SIDE} pixels; "
                f"{HELD_OUT_OPTIONS[kind]} 0 holds out none",
            )
        for entry in sorted(index, key=lambda entry: str(entry["sha256"]))[:count]:
            entry["held_out"] = True
        source = {"folder": str(folder.absolute()), "held_out": held_out}
        path.unlink(missing_ok=True)  # no data may stand beside an index of others
        with atomic_write(path.with_suffix(".json"), overwrite=True) as out:
            out.write(json.dumps({**source, "pictures": index}).encode())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return CacheReport(kind, len(index) - count, count, skipped)


def has_cache(
    path: Path,
    folder: Path,
    held_out: float,
    *,
    kind: str,
    before: tuple[str, float] | None = None,
) -> bool:
    """Whether there is a cache of the pictures of `folder`.

    Args:
        path: the cache file.
        folder: the pictures.
        held_out: share of the pictures that is not trained on.
        kind: of the pictures, one of `HELD_OUT_OPTIONS`.
        before: folder and share of a cache whose index does not say them, as those of early
            versions; None if nobody knows.

    Raises:
        RdaeError: it is of another folder or share; or there is none, and no folder to make it of.
    """
    if not path.exists():
        _require_folder(folder, kind)
        return False
    index = _read_index(path)
    if "folder" in index:
        before = index["folder"], index["held_out"]
    if before is None:
        return True
    way_out = f"choose another output folder, or delete {path}"
    if Path(before[0]).resolve() != folder.resolve():
        raise RdaeError(
            f"{path} holds the {kind} of {before[0]}, not of {folder}",
            hint=f"{way_out} to change the {kind}",
        )
    if before[1] != held_out:
        raise RdaeError(
            f"{path} was made with {HELD_OUT_OPTIONS[kind]} {before[1]:g}, not {held_out:g}",
            hint=f"{way_out} to divide the {kind} anew",
        )
    return True


def _require_folder(folder: Path, kind: str) -> None:
    if not folder.is_dir():
        raise RdaeError(f"{folder} is not a folder of {kind}")


def _read_index(path: Path) -> dict[str, Any]:
    """The index of a cache; that of an early version is the list of pictures alone."""
    index = json.loads(path.with_suffix(".json").read_text())
    return {"pictures": index} if isinstance(index, list) else index


def difference_hash(photo: Pixels) -> int:
    """256 bits that say of each cell of a 16 x 16 grid whether its right neighbour is brighter.

    The same picture keeps nearly all of them through recompression, resizing and small changes of
    colour (N. Krawetz, "Kind of like that", 2013).

    Args:
        photo: `(H, W, 3)` uint8.
    """
    grey = Image.fromarray(photo).convert("L")
    small = np.asarray(grey.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX), np.int16)
    bits = np.packbits(small[:, 1:] > small[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def same_picture(photo: Pixels, known: dict[str, int]) -> str:
    """The name in `known` (name to difference hash) of the picture that `photo` shows, or ""."""
    own = difference_hash(photo)
    for name, other in known.items():
        if (own ^ other).bit_count() <= SAME_PICTURE_BITS:
            return name
    return ""


def evaluation_hashes() -> dict[str, int]:
    """Difference hashes of the evaluation images that nobody should train on: the Kodak set."""
    text = files("rdae.training").joinpath("evaluation_images.json").read_text()
    return {name: int(digits, 16) for name, digits in json.loads(text).items()}


def _decoded(paths: list[Path]) -> Iterator[tuple[Path, Pixels | str]]:
    """Every file with its pixels, or why there are none, in order; a few at a time in memory."""
    threads = default_threads()
    waiting = iter(paths)
    with ThreadPoolExecutor(threads) as pool:
        while chunk := list(islice(waiting, 4 * threads)):
            yield from zip(chunk, pool.map(_decode, chunk), strict=True)


def _decode(file: Path) -> Pixels | str:
    try:
        picture = read_picture(file)
    except (ImageError, OSError) as error:
        return str(error)
    if min(picture.rgb.shape[:2]) < MIN_SIDE:
        return f"smaller than {MIN_SIDE} pixels"
    return _opaque(picture)


def _opaque(picture: Picture) -> Pixels:
    """The picture on white: what stands under transparent pixels is often garbage."""
    if picture.alpha is None:
        return picture.rgb
    alpha = picture.alpha[:, :, None].astype(np.uint16)
    return ((picture.rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)

"""Fixtures that many tests share: a real photo, the shipped model, and the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rdae.model import Model
from rdae.picture import Picture, read_picture
from rdae.store import load_model

ROOT = Path(__file__).parent.parent
PHOTO = ROOT / "examples" / "photo.png"


@pytest.fixture(scope="session")
def photo() -> Picture:
    """The 768x512 photo that the README compresses."""
    return read_picture(PHOTO)


@pytest.fixture(scope="session")
def model() -> Model:
    """The default model."""
    return load_model()


@pytest.fixture(scope="session")
def crop(photo: Picture) -> NDArray[np.uint8]:
    """A 160x240 detail of the photo, `(H, W, 3)`."""
    return np.ascontiguousarray(photo.rgb[170:330, 260:500])

"""Draw the pictures of the README: details of a photo and of a screen, as codecs leave them.

    python tests/benchmarks/side_by_side.py docs

writes side_by_side.png and side_by_side_screen.png there, and prints what stands under details.
The photo is `astronaut` of scikit-image (NASA, public domain); no model was trained on it. The
screen is drawn here. Each other codec has the lowest quality whose file is no smaller than ours,
with the settings of `rdae eval`; all files are of the whole picture, metrics too.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rdae.evaluation.codecs import parse_spec
from rdae.evaluation.metrics import Metric

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom

OTHERS = ("avif", "webp", "jpeg:subsampling=420")
PANEL = (270, 220)  # pixels, wide and high
GAP, TEXT = 8, 36
INK, MUTED = "#111111", "#555555"


@dataclass(frozen=True)
class Subject:
    """A picture, our quality for it, and the detail that is shown."""

    file: str
    pixels: Pixels
    quality: float
    left: int
    top: int

    @property
    def box(self) -> Box:
        """The detail."""
        return (self.left, self.top, self.left + PANEL[0], self.top + PANEL[1])


def photo() -> Pixels:
    """A portrait, 512x512."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut())


def screen() -> Pixels:
    """A window with text, a chart and flat colours, 640x420."""
    image = Image.new("RGB", (640, 420), "#f3f4f6")
    draw = ImageDraw.Draw(image)
    small, large = ImageFont.load_default(size=12), ImageFont.load_default(size=20)
    draw.rectangle((0, 0, 640, 34), fill="#1f2937")
    for x, colour in ((16, "#ef4444"), (36, "#f59e0b"), (56, "#22c55e")):
        draw.ellipse((x - 6, 11, x + 6, 23), fill=colour)
    draw.text((84, 8), "Rainfall 2025", fill="#f9fafb", font=large)
    draw.rectangle((0, 34, 150, 420), fill="#e5e7eb")
    for row, name in enumerate(("Stations", "Months", "Compare", "Export as CSV", "Settings")):
        if row == 1:
            draw.rectangle((0, 50 + 30 * row, 150, 76 + 30 * row), fill="#2563eb")
        colour = "#ffffff" if row == 1 else "#374151"
        draw.text((16, 55 + 30 * row), name, fill=colour, font=small)
    draw.rectangle((170, 52, 622, 236), fill="#ffffff", outline="#d1d5db")
    heights = (62, 48, 81, 95, 110, 74, 39, 52, 88, 120, 131, 102)
    for month, height in enumerate(heights):
        x = 190 + 36 * month
        colour = "#0ea5e9" if month != 10 else "#dc2626"
        draw.rectangle((x, 212 - height, x + 22, 212), fill=colour)
        draw.text((x + 3, 216), "JFMAMJJASOND"[month], fill="#6b7280", font=small)
    for line in range(5):
        draw.line((180, 212 - 30 * line, 612, 212 - 30 * line), fill="#e5e7eb")
    lines = (
        "Station     Jan   Feb   Mar   Total",
        "Altenberg   62.1  48.0  81.4  191.5 mm",
        "Brook End   57.9  51.2  77.3  186.4 mm",
        "Saint-Cyr   70.4  39.8  88.6  198.8 mm",
        "Two values are missing; see the notes of 3 March.",
    )
    for row, text in enumerate(lines):
        draw.text((170, 256 + 26 * row), text, fill="#111827" if row else "#2563eb", font=small)
    draw.rectangle((532, 372, 622, 400), fill="#2563eb")
    draw.text((556, 378), "Refresh", fill="#ffffff", font=small)
    return np.asarray(image)


def smallest_not_below(spec: str, pixels: Pixels, size: int) -> tuple[float, bytes]:
    """The lowest whole quality of a codec whose file has `size` bytes or more, and the file."""
    codec = parse_spec(spec)
    codec.load()
    low, high = 1, 100
    while low < high:
        middle = (low + high) // 2
        if len(codec.encode(pixels, middle)) >= size:
            high = middle
        else:
            low = middle + 1
    return low, codec.encode(pixels, low)


def png_bytes(pixels: Pixels) -> int:
    """The size of the picture without loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.tell()


def versions(subject: Subject) -> list[tuple[str, str, Pixels]]:
    """Name, figures and pixels of the original, ours and the others."""
    pixels = subject.pixels
    ours = parse_spec("rdae")
    files = {"rdae": (subject.quality, ours.encode(pixels, subject.quality))}
    for spec in OTHERS:
        files[spec] = smallest_not_below(spec, pixels, len(files["rdae"][1]))
    found = [("original", f"{png_bytes(pixels) / 1000:.1f} kB as PNG", pixels)]
    for spec, (quality, data) in files.items():
        codec = parse_spec(spec)
        decoded = codec.decode(data)
        decibels, eye = (Metric(name)(pixels, decoded) for name in ("psnr", "ssimulacra2"))
        figures = f"{len(data) / 1000:.1f} kB · {decibels:.1f} dB · SSIMULACRA2 {eye:.0f}"
        found.append((f"{codec.label}, quality {quality:g}", figures, decoded))
    return found


def overview(subject: Subject) -> Image.Image:
    """The whole picture, small, on a panel, with a frame around the detail."""
    whole = Image.fromarray(subject.pixels)
    scale = min(PANEL[0] / whole.width, PANEL[1] / whole.height)
    size = (round(whole.width * scale), round(whole.height * scale))
    panel = Image.new("RGB", PANEL, "white")
    panel.paste(whole.resize(size, Image.Resampling.LANCZOS))
    frame = tuple(round(scale * edge) for edge in subject.box)
    ImageDraw.Draw(panel).rectangle(frame, outline="#ffffff", width=3)
    ImageDraw.Draw(panel).rectangle(frame, outline="#dc2626", width=1)
    return panel


def draw_sheet(subject: Subject, folder: Path) -> None:
    """Paste six panels, and write what they are under each."""
    height, width = subject.pixels.shape[:2]
    panels = [("the whole picture", f"{width}x{height}", overview(subject))]
    for name, figures, pixels in versions(subject):
        panels.append((name, figures, Image.fromarray(pixels).crop(subject.box)))
        print(f"{subject.file}: {name}: {figures}")
    cell = (PANEL[0] + GAP, PANEL[1] + TEXT + GAP)
    sheet = Image.new("RGB", (3 * cell[0] - GAP, 2 * cell[1] - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    bold, plain = ImageFont.load_default(size=14), ImageFont.load_default(size=12)
    for i, (name, figures, panel) in enumerate(panels):
        x, y = i % 3 * cell[0], i // 3 * cell[1]
        sheet.paste(panel, (x, y))
        draw.text((x + 2, y + PANEL[1] + 2), name, fill=INK, font=bold)
        draw.text((x + 2, y + PANEL[1] + 19), figures, fill=MUTED, font=plain)
    sheet.save(folder / f"{subject.file}.png", optimize=True)


def main() -> None:
    """Draw both sheets."""
    folder = Path(sys.argv[1])
    draw_sheet(Subject("side_by_side", photo(), 45, 120, 30), folder)
    draw_sheet(Subject("side_by_side_screen", screen(), 66, 120, 160), folder)


if __name__ == "__main__":
    main()

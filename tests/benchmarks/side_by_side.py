"""Draw the picture of the README: a detail of a photo, and the same from JPEG and rdae files.

    python tests/benchmarks/side_by_side.py docs/side_by_side.png

JPEG is given the lowest quality whose file is at least as large as rdae's. All files are of the
whole photo; only a detail is shown.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rdae.codec import decode, encode
from rdae.images.picture import from_pillow

PHOTO = Path(__file__).parent.parent.parent / "examples" / "photo.png"
QUALITY = 30
DETAIL = (250, 60, 510, 300)  # left, top, right, bottom


def jpeg_of_size(image: Image.Image, size: int) -> tuple[int, bytes]:
    """The first JPEG, by quality, that is not smaller than `size` bytes."""
    for quality in range(1, 96):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() >= size:
            break
    return quality, buffer.getvalue()


def main() -> None:
    """Encode, decode, paste the details side by side."""
    image = Image.open(PHOTO).convert("RGB")
    rd = encode(from_pillow(image), quality=QUALITY).data
    quality, jpeg = jpeg_of_size(image, len(rd))
    shown = [
        ("original", image, None),
        (f"JPEG (q{quality})", Image.open(io.BytesIO(jpeg)), jpeg),
        (f"rdae (q{QUALITY})", Image.fromarray(decode(rd).rgb), rd),
    ]
    width, height = DETAIL[2] - DETAIL[0], DETAIL[3] - DETAIL[1]
    sheet = Image.new("RGB", (3 * width + 16, height + 24), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for i, (name, picture, data) in enumerate(shown):
        label = name
        if data is not None:
            error = np.asarray(picture, np.float64) - np.asarray(image)
            psnr = 10 * np.log10(255**2 / np.mean(error**2))
            label += f": {len(data) / 1000:.1f} kB, {psnr:.1f} dB"
        sheet.paste(picture.crop(DETAIL), (i * (width + 8), 0))
        draw.text((i * (width + 8) + 4, height + 4), label, fill="black", font=font)
        print(label)
    sheet.save(sys.argv[1], optimize=True)


if __name__ == "__main__":
    main()

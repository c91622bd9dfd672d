"""ICC profiles made here: for colours that a file names by number, and for grey stored as RGB.

Profiles of the plainest kind: three primaries and a curve (ICC.1:2022, sections 7, 8.4 and 10). The
numbers are those of ITU-T H.273 (CICP), as AVIF, HEIC and PNG have them.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

# By number, of R, G, B and white, the chromaticities x and y: H.273, table 2.
_D65 = (0.3127, 0.329)
_NTSC, _PAL, _SMPTE_C, _BT_2020, _DCI_P3, _DISPLAY_P3, _EBU_3213 = 4, 5, 6, 9, 11, 12, 22
_PRIMARIES = {
    _NTSC: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.31, 0.316)),
    _PAL: ((0.64, 0.33), (0.29, 0.6), (0.15, 0.06), _D65),
    _SMPTE_C: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65),
    _BT_2020: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), _D65),
    _DCI_P3: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.314, 0.351)),
    _DISPLAY_P3: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), _D65),
    _EBU_3213: ((0.63, 0.34), (0.295, 0.605), (0.155, 0.077), _D65),
}
_PRIMARIES[_SMPTE_C + 1] = _PRIMARIES[_SMPTE_C]
_SRGB_PRIMARIES = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), _D65)
_NAMES = {_BT_2020: "BT.2020", _DCI_P3: "DCI-P3", _DISPLAY_P3: "Display P3"}
_LIKE_SRGB = {1, 2}  # BT.709, and unspecified

# The curves of BT.709 and its like are those of cameras; displays show such pictures as sRGB.
_SRGB_CURVE = (3, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
_CURVES = {4: (0, (2.2,)), 5: (0, (2.8,)), 8: (0, (1.0,))}
_AS_SRGB = {1, 2, 6, 13, 14, 15}
PQ, HLG = 16, 18

_D50 = np.array([0xF6D6, 0x10000, 0xD32D]) / 0x10000
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def profile_of(primaries: int, transfer: int) -> bytes | None:
    """The profile of colours that are named by their numbers in H.273.

    Returns:
        An ICC profile, empty where sRGB will do; None where there is none for these colours, as for
        PQ and HLG.
    """
    if primaries not in {*_LIKE_SRGB, *_PRIMARIES} or transfer not in {*_AS_SRGB, *_CURVES}:
        return None
    if primaries in _LIKE_SRGB and transfer in _AS_SRGB:
        return b""
    name = _NAMES.get(primaries, f"CICP {primaries}/{transfer}")
    curve = _parametric(*_CURVES.get(transfer, _SRGB_CURVE))
    return _profile(name, _PRIMARIES.get(primaries, _SRGB_PRIMARIES), curve)


def is_grey_profile(icc: bytes) -> bool:
    """Whether a profile is one of grey, which RGB pixels cannot have."""
    return icc[16:20] == b"GRAY"


def as_rgb_profile(icc: bytes) -> bytes:
    """The profile of RGB whose greys look as those of a grey profile.

    Its curve is that of the grey profile, so pixels stay as they are.

    Returns:
        The profile; empty if the grey profile has no curve that could be taken.
    """
    count = int.from_bytes(icc[128:132], "big")
    for at in range(132, min(132 + 12 * count, len(icc) - 11), 12):
        tag, start, size = struct.unpack_from(">4sII", icc, at)
        curve = icc[start : start + size]
        if tag == b"kTRC" and len(curve) == size and curve[:4] in (b"curv", b"para"):
            return _profile("Grey as RGB", _SRGB_PRIMARIES, curve)
    return b""


def _profile(name: str, primaries: tuple[tuple[float, float], ...], curve: bytes) -> bytes:
    colorants, adaptation = _to_d50(primaries)
    tags = {
        b"desc": _text(name),
        b"cprt": _text("No copyright"),
        b"wtpt": _xyz(_D50),
        b"chad": b"sf32" + bytes(4) + _fixed(adaptation),
        **{
            key: _xyz(column)
            for key, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants.T, strict=True)
        },
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, body = struct.pack(">I", len(tags)), b""
    first, places = 128 + 4 + 12 * len(tags), {}
    for key, data in tags.items():
        if data not in places:
            places[data] = first + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", key, places[data], len(data))
    header = struct.pack(
        ">4x4sI4s4s4s6H4s28x12s48x",
        *(bytes(4), 0x04300000, b"mntr", b"RGB ", b"XYZ ", 2024, 1, 1, 0, 0, 0, b"acsp"),
        _fixed(_D50),
    )
    assert len(header) == 128
    return struct.pack(">I", first + len(body)) + header[4:] + table + body


def _to_d50(primaries: tuple[tuple[float, float], ...]) -> tuple[NDArray[np.float64], ...]:
    """Colorants `(3, 3)`, a column each, relative to D50, and the adaptation to it."""
    xyz = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    colours, white = xyz[:, :3], xyz[:, 3]
    response = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adaptation = np.linalg.inv(_BRADFORD) @ np.diag(response) @ _BRADFORD
    return adaptation @ (colours * np.linalg.solve(colours, white)), adaptation


def _parametric(kind: int, parameters: tuple[float, ...]) -> bytes:
    return b"para" + struct.pack(">4xHH", kind, 0) + _fixed(np.array(parameters))


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: NDArray[np.float64]) -> bytes:
    """Numbers with 16 bits behind the point."""
    data: bytes = np.rint(values.ravel() * 0x10000).astype(">i4").tobytes()
    return data


def _text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII2s2sII", 1, 12, b"en", b"US", len(data), 28) + data

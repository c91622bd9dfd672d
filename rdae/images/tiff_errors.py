"""What libtiff finds wrong with a TIFF, which it only prints, while Pillow takes the picture.

A fax line that cannot be decoded, for instance, is filled with something and reported on the
standard error of the process. Here such reports are caught and become exceptions.

Pillow offers no way to do that; but its extension module is linked to libtiff, so the function
that sets libtiff's error handler can be found through it. Where it cannot (a Pillow with libtiff
inside, without names), nothing is caught and all is as Pillow has it.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import _imaging

# void handler(const char *module, const char *format, va_list arguments)
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)

_ABOUT_TAGS = ("TIFFFetch", "TIFFReadDirectory", "TIFFReadCustomDirectory")  # not about pixels

_here = threading.local()  # .reports: those of this thread, while they are collected


@contextmanager
def tiff_errors() -> Iterator[None]:
    """Raise what libtiff reports, in this thread and while this lasts, as an OSError.

    Of what it says about tags nothing is made: Pillow has read those itself. The handler is put
    in place by the first call and stays; reports from elsewhere go where they went before.
    """
    _install()
    reports: list[str] = []
    outer = getattr(_here, "reports", None)
    _here.reports = reports
    try:
        yield
    finally:
        _here.reports = outer
    if reports:
        raise OSError(reports[0])


@functools.cache
def _install() -> Any:
    """Put our handler in the place of libtiff's; return it, since ctypes does not keep it."""
    try:
        setter = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
    except (OSError, AttributeError):
        return None
    setter.argtypes, setter.restype = [_Handler], ctypes.c_void_p
    previous: list[Any] = []

    def report(module: bytes | None, format: bytes | None, arguments: int | None) -> None:
        reports = getattr(_here, "reports", None)
        where = (module or b"libtiff").decode("utf-8", "replace")
        if reports is not None and not where.startswith(_ABOUT_TAGS):
            # Its numbers stand in a va_list, which Python cannot read.
            reports.append(f"{where} reports damaged data")
        elif reports is None and previous:
            previous[0](module, format, arguments)

    handler = _Handler(report)
    address = setter(handler)
    if address:
        previous.append(_Handler(address))
    return handler

"""Waiting for processes that a test has started or killed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def wait_until(is_so: Callable[[], bool]) -> None:
    """Return once something is so; an error after two minutes."""
    for _ in range(1200):
        if is_so():
            return
        time.sleep(0.1)
    raise TimeoutError


def has_members(group: int) -> bool:
    """Whether a process group has members that are more than a corpse."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, member_of = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(member_of) == group and state != "Z":
            return True
    return False

"""Work on several threads, with the BLAS library held to one thread for each of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_threads() -> int:
    """Threads to use when nobody says: one for each core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parallel_map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> list[Result]:
    """`[function(i) for i in items]` on several threads, each with one BLAS thread.

    The first exception is raised after the running calls have ended. Calls may be nested.
    """
    work = list(items)
    with _one_blas_thread():
        if threads <= 1 or len(work) <= 1:
            return [function(item) for item in work]
        with ThreadPoolExecutor(min(threads, len(work))) as pool:
            return list(pool.map(function, work))


# The BLAS limit belongs to the process: the first of several overlapping calls sets it, the last
# one to end puts back what was there before.
_lock = threading.Lock()
_users = 0
_limit: Any = None


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    global _users, _limit
    with _lock:
        if _users == 0:
            _limit = threadpool_limits(1, "blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _limit.restore_original_limits()

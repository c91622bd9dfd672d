"""Work on several threads, with the BLAS library held to one thread for each of them."""

from __future__ import annotations

import numbers
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import threadpoolctl

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_THREADS = 256


def check_threads(threads: object) -> None:
    """Refuse what is no number of threads; None is, for one a core.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is below 1.
    """
    if threads is None:
        return
    if isinstance(threads, bool) or not isinstance(threads, numbers.Integral):
        raise TypeError(f"threads must be a whole number, got {threads!r}")
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, got {threads}")


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
    with one_blas_thread():
        if threads <= 1 or len(work) <= 1:
            return [function(item) for item in work]
        return _share(function, work, threads)


def _share(function: Callable[[Item], Result], work: list[Item], threads: int) -> list[Result]:
    results: dict[int, Result] = {}
    errors: dict[int, BaseException] = {}
    todo = deque(range(len(work)))

    def take_turns() -> None:
        with suppress(IndexError):
            while True:
                i = todo.popleft()
                try:
                    results[i] = function(work[i])
                except BaseException as error:
                    errors[i] = error
                    todo.clear()

    # The caller works too, so nested calls can share the helpers: one that finds none of them free
    # does all the work itself.
    helpers: list[Future[None]] = []
    with suppress(RuntimeError):  # the main thread has ended, or the system gives no more threads
        for _ in range(min(threads, len(work)) - 1):
            helpers.append(_pool().submit(take_turns))
    try:
        take_turns()
    finally:
        todo.clear()
        _wait_for([helper for helper in helpers if not helper.cancel()])
    if errors:
        raise errors[min(errors)]  # always the same one: what comes before it was begun before it
    return [results[i] for i in range(len(work))]


def _wait_for(helpers: list[Future[None]]) -> None:
    """Wait until calls have ended, whatever interrupts it: they may use the caller's memory."""
    interruption: BaseException | None = None
    while True:
        try:
            wait(helpers)
            break
        except BaseException as error:  # Ctrl-C, which is not lost
            interruption = error
    if interruption is not None:
        raise interruption


def prefer_one_blas_thread() -> None:
    """Have OpenBLAS start no threads of its own, unless the user says how many.

    They would only wait: `parallel_map` takes one in each of ours. For a process before it imports
    NumPy, and not for one that goes on to torch, whose OpenBLAS has the same setting.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that wait for work; started when they are needed first."""
    # Not before: it cannot be imported any more once the main thread has ended.
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(MAX_THREADS, "rdae")


# The BLAS limit belongs to the process: the first of several overlapping calls sets it, the last
# one to end puts back what was there before.
_lock = threading.Lock()
_users = 0
_limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold the BLAS libraries to one thread; around several calls it saves them a tenth of a ms."""
    global _users, _limit
    with _lock:
        if _users == 0:
            _take_control()
            _limit = _blas().limit(limits=1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _restore()


def _restore() -> None:
    _take_control()
    _limit.restore_original_limits()
    _take_control()  # and give it back: the next to ask has it, in whatever thread


def _take_control() -> None:
    """Make the calling thread the one that threadpoolctl obeys.

    From 3.8 on it ignores all limits of OpenBLAS but those of the thread that was first to set one.
    """
    if hasattr(threadpoolctl.OpenBLASController, "clear_controlling_thread"):
        threadpoolctl.OpenBLASController.clear_controlling_thread(force=True)


def _forget_threads() -> None:
    """Begin anew in the child of a fork: threads are not copied, a lock that one holds is."""
    global _lock, _users, _limit
    _pool.cache_clear()
    if _users:
        _restore()
    _lock, _users, _limit = threading.Lock(), 0, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


@cache
def _blas() -> Any:
    """The BLAS libraries of the process; to find them takes half a millisecond."""
    return threadpoolctl.ThreadpoolController().select(user_api="blas")

"""BLAS is held to one thread, whichever threads ask for it and in whatever order they end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import threadpoolctl

from rdae.threads import one_blas_thread, prefer_one_blas_thread

TIMEOUT = 60  # seconds


def limits() -> set[int]:
    info = threadpoolctl.threadpool_info()
    return {library["num_threads"] for library in info if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """BLAS with two threads at first, on any machine."""
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        if limits() != {2}:
            pytest.skip("BLAS does not let itself be limited here")
        yield


def in_thread(function) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def test_a_second_thread_is_limited_too_while_the_first_lives() -> None:
    with one_blas_thread():
        assert limits() == {1}
    assert limits() == {2}
    seen: list[set[int]] = []

    def work() -> None:
        with one_blas_thread():
            seen.append(limits())

    in_thread(work).join(TIMEOUT)
    assert seen == [{1}]
    assert limits() == {2}


@pytest.mark.parametrize("main_ends_last", [False, True])
def test_the_last_to_end_restores_what_was_there(main_ends_last: bool) -> None:
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        with one_blas_thread():
            entered.set()
            leave.wait(TIMEOUT)

    with one_blas_thread():
        thread = in_thread(work)
        assert entered.wait(TIMEOUT)
        if main_ends_last:
            leave.set()
            thread.join(TIMEOUT)
        assert limits() == {1}
    if not main_ends_last:
        assert limits() == {1}
        leave.set()
        thread.join(TIMEOUT)
    assert limits() == {2}


def test_a_process_prefers_one_blas_thread_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    prefer_one_blas_thread()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    prefer_one_blas_thread()
    assert os.environ.pop("OPENBLAS_NUM_THREADS") == "1"


@pytest.mark.parametrize("is_warm", [False, True])
def test_work_goes_on_in_a_thread_that_outlives_the_main_one(is_warm: bool) -> None:
    script = f"""
import threading, time
if {is_warm}:
    from rdae.threads import parallel_map
    parallel_map(abs, [1, 2], 2)
def work():
    threading.main_thread().join()
    time.sleep(0.2)
    from rdae.threads import parallel_map
    print(parallel_map(abs, [-1, -2, 3], 1), parallel_map(abs, [-1, -2, 3], 3))
threading.Thread(target=work).start()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[1, 2, 3] [1, 2, 3]\n", "")

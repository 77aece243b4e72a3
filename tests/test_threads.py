"""The cap on BLAS threads holds whichever thread sets or lifts it."""

import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from lmmlasso_fast.threads import blas_cap


def blas_threads():
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


@pytest.fixture
def two_threads():
    """A process that allows BLAS two threads."""
    with threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("the BLAS of this NumPy lets nobody set its threads")
        yield {2}


def in_thread(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join(60)
    return result[0]


def capped():
    with blas_cap(1):
        return blas_threads()


def test_the_cap_holds_in_every_thread(two_threads):
    for _ in range(2):
        assert capped() == {1}
        assert blas_threads() == two_threads
        assert in_thread(capped) == {1}
        assert blas_threads() == two_threads


def test_nested_caps_share_the_first(two_threads):
    with blas_cap(1):
        with blas_cap(2):
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == two_threads


@pytest.mark.parametrize("last", ["main", "worker"])
def test_the_last_to_leave_restores(two_threads, last):
    entered, leave = threading.Event(), threading.Event()

    def work():
        with blas_cap(1):
            entered.set()
            assert leave.wait(60)

    worker = threading.Thread(target=work)
    with blas_cap(1):
        worker.start()
        assert entered.wait(60)
        if last == "main":
            leave.set()
            worker.join(60)
            assert blas_threads() == {1}
    if last == "worker":
        assert blas_threads() == {1}
        leave.set()
        worker.join(60)
    assert blas_threads() == two_threads


def test_the_cap_is_lifted_after_an_exception(two_threads):
    with pytest.raises(KeyError), blas_cap(1):
        raise KeyError
    assert blas_threads() == two_threads


def test_others_can_limit_threads_afterwards(two_threads):
    in_thread(capped)
    with threadpool_limits(1, user_api="blas"):
        assert blas_threads() == {1}
    assert blas_threads() == two_threads

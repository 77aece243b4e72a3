"""Threads: how many there are, work on ranges, and one cap on BLAS threads for the process."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from lmmlasso_fast.checks import require_integer

#: Below this many samples LAPACK gains nothing from a second thread on a busy machine, and one
#: thread gives the same bits everywhere.
SINGLE_THREAD_BELOW = 3000

_cap_lock = threading.Lock()
_cap_depth = 0
_cap = 0
_caps = []  # what restores the limits before
_controller = None
_scipy_found = ()


def available_threads() -> int:
    """Return the number of processors that this process may use (affinity respected)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def as_n_threads(n_threads: int | None) -> int:
    """Return a number of threads; None means all available.

    Raises
    ------
    InputError
        Not an integer of at least 1.
    """
    if n_threads is None:
        return available_threads()
    require_integer("n_threads", n_threads, 1)
    return int(n_threads)


def blas_threads_for(n_samples: int, n_threads: int | None = None) -> int:
    """Return the BLAS threads used for matrices of `n_samples`: fixed, so that bits are."""
    if n_samples < SINGLE_THREAD_BELOW:
        return 1
    return as_n_threads(n_threads)


@contextmanager
def blas_cap(n_threads: int):
    """Cap BLAS at `n_threads` within the block.

    The limit of a BLAS library belongs to the process, not to the thread that sets it. So the
    regions are counted: the first one to enter sets the cap, the last one to leave restores what
    was there before; regions that overlap or nest share the cap of the first. Libraries that were
    loaded since then get it too.
    """
    global _cap_depth, _cap
    with _cap_lock:
        if _cap_depth == 0:
            _cap = n_threads
        if _find_libraries() or _cap_depth == 0:
            _free_control()
            _caps.append(_controller.limit(limits=_cap, user_api="blas"))
        _cap_depth += 1
    try:
        yield
    finally:
        with _cap_lock:
            _cap_depth -= 1
            if _cap_depth == 0:
                while _caps:
                    _free_control()
                    _caps.pop().restore_original_limits()
                _free_control()


def _find_libraries() -> bool:
    """Look for BLAS libraries: once, as it costs milliseconds, and again when SciPy brought its.

    Returns whether it looked. A package is among the modules before its libraries are there: hence
    the second module, which is one that comes with them. scipy.special brings BLAS without
    scipy.linalg.
    """
    global _controller, _scipy_found
    modules = ("linalg", "linalg.cython_lapack", "special._ufuncs")
    scipy_loaded = tuple(f"scipy.{module}" in sys.modules for module in modules)
    if _controller is not None and scipy_loaded == _scipy_found:
        return False
    from threadpoolctl import ThreadpoolController

    _controller = ThreadpoolController()
    _scipy_found = scipy_loaded
    return True


def _free_control() -> None:
    """Let this thread change the limits of OpenBLAS, whichever thread did so before.

    threadpoolctl 3.8 ignores, silently, every thread but the first that set a limit. Here the lock
    and the count decide who may, and the last one to leave is often another thread.
    """
    for library in _controller.lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


def over_ranges(function: Callable[[int, int], None], n: int, n_threads: int) -> None:
    """Call `function(start, stop)` on `n_threads` contiguous parts of range(n), one per thread.

    The function releases the GIL. The first exception is raised here once every part has ended.
    """
    if n_threads <= 1 or n < 2 * n_threads:
        function(0, n)
        return
    bounds = [n * k // n_threads for k in range(n_threads + 1)]
    errors: list[BaseException] = []

    def run(start: int, stop: int) -> None:
        try:
            function(start, stop)
        except BaseException as error:
            errors.append(error)

    workers = [
        threading.Thread(target=run, args=(bounds[k], bounds[k + 1])) for k in range(1, n_threads)
    ]
    for worker in workers:
        worker.start()
    run(bounds[0], bounds[1])
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]


def for_each(function: Callable[[int], None], n: int, n_threads: int) -> None:
    """Call `function(k)` for every k in range(n), from `n_threads` threads in no order.

    The function takes a fraction of a second, most of it without the GIL. After an exception,
    Ctrl-C included, no further call is begun; the first one is raised here once those under way
    have ended.
    """
    numbers, lock, stop = iter(range(n)), threading.Lock(), threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            while not stop.is_set():
                with lock:
                    k = next(numbers, None)
                if k is None:
                    return
                function(k)
        except BaseException as error:
            errors.append(error)
            stop.set()

    workers = [threading.Thread(target=run) for _ in range(min(n_threads, n) - 1)]
    for worker in workers:
        worker.start()
    run()
    try:
        for worker in workers:
            worker.join()
    except BaseException:
        stop.set()
        raise
    if errors:
        raise errors[0]


def one_ahead(items: Iterator) -> Iterator:
    """Yield the items in their order, each one made in a second thread during use of the last."""
    end = object()
    with ThreadPoolExecutor(1) as worker:
        following = worker.submit(next, items, end)
        while (item := following.result()) is not end:
            following = worker.submit(next, items, end)
            yield item

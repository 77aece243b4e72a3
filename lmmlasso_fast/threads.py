"""Threads: how many there are, work on ranges, and one cap on BLAS threads for the process."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from lmmlasso_fast.checks import as_integer

#: Below this many samples LAPACK gains nothing from a second thread on a busy machine, and one
#: thread gives the same bits everywhere.
SINGLE_THREAD_BELOW = 3000
#: Address space for the first buffer of OpenBLAS, and for that, the stack and the work of a thread.
_BLAS_BUFFER = 1 << 26
_BYTES_OF_THREAD = 1 << 28
#: What one call of C goes through: 0.2 s of a slow disk.
_STEP_BYTES = 1 << 25
#: Seconds that Ctrl-C waits for calls that other threads are at.
_PATIENCE = 0.25

_cap_lock = threading.Lock()
_cap = 0
_regions: dict[object, int] = {}  # those that are entered, and the thread of each
#: Libraries and their numbers of threads, as they were each time before they were set.
_limits: list[list[tuple]] = []
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
    return as_integer("n_threads", n_threads, 1)


def that_fit(n_threads: int) -> int:
    """Return how many of the threads a limit on the address space (ulimit -v) has room for.

    OpenBLAS ends the process, without an error that Python sees, where it finds none for the buffer
    of a thread.
    """
    free = None if n_threads == 1 else free_address_space()
    return n_threads if free is None else max(1, min(n_threads, free // _BYTES_OF_THREAD))


def free_address_space() -> int | None:
    """Bytes that the process may still map; None where there is no limit, or none is known."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):  # Windows, macOS
        return None
    return limit - pages * resource.getpagesize()


def blas_threads_for(n_samples: int, n_threads: int | None = None) -> int:
    """Return the BLAS threads used for matrices of `n_samples`: fixed, so that bits are."""
    n_threads = as_n_threads(n_threads)
    return 1 if n_samples < SINGLE_THREAD_BELOW else n_threads


@contextmanager
def blas_cap(n_threads: int):
    """Cap BLAS at `n_threads` within the block.

    The limit of a BLAS library belongs to the process, not to the thread that sets it. So the
    regions are counted: the first one to enter sets the cap, the last one to leave restores what
    was there before; regions that overlap or nest share the cap of the first. Libraries that were
    loaded since then get it too.
    """
    region = object()
    try:
        _enter(region, n_threads)
        yield
    finally:
        try:
            _leave(region)
        finally:  # a signal in its midst would leave BLAS capped for good: once more
            if region in _regions:
                _leave(region)


def _enter(region: object, n_threads: int) -> None:
    global _cap
    with _cap_lock:
        first, thread = not _regions, threading.get_ident()
        _regions[region] = thread  # from here on, what a signal interrupts is undone by leaving
        if first:
            _cap = n_threads
        if _find_libraries() or first:
            libraries = [x for x in _controller.lib_controllers if x.user_api == "blas"]
            _limits.append([(library, library.num_threads) for library in libraries])
            _free_control()
            for library in libraries:
                library.set_num_threads(_cap)


def _leave(region: object) -> None:
    """Leave a region; does the rest of it where it was interrupted before."""
    with _cap_lock:
        if len(_regions) == 1 and region in _regions:
            _lift_cap()
        _regions.pop(region, None)


def _lift_cap() -> None:
    while _limits:
        _free_control()
        for library, n_threads in _limits[-1]:
            library.set_num_threads(n_threads)
        _free_control()
        _limits.pop()


def _forget_other_threads() -> None:
    """In the child of a fork, which has none of them: nor their regions, nor the lock they held."""
    global _cap_lock
    _cap_lock = threading.Lock()
    here = threading.get_ident()
    for region in [region for region, thread in _regions.items() if thread != here]:
        del _regions[region]
    if not _regions:
        _lift_cap()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


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

    free = free_address_space()
    if free is not None and free < _BLAS_BUFFER:
        raise MemoryError(
            f"BLAS needs {_BLAS_BUFFER >> 20} MB of address space, found {max(free, 0) >> 20} MB "
            "below the limit (ulimit -v)"
        )
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


def steps(start: int, stop: int, bytes_each: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of parts of a range whose items have so many bytes.

    A signal waits for the end of a call of C, which takes a fraction of a second for one part, even
    of a file that has to be read.
    """
    step = max(1, _STEP_BYTES // max(1, bytes_each))
    for first in range(start, stop, step):
        yield first, min(first + step, stop)


def over_ranges(
    function: Callable[[int, int], None], n: int, n_threads: int, bytes_each: int
) -> None:
    """Call `function(start, stop)` on `n_threads` contiguous parts of range(n), one per thread.

    Each goes through its part in `steps`. The function releases the GIL. After an exception,
    Ctrl-C included, no further call is begun; the first one is raised here once those under way
    have ended.
    """
    if n_threads <= 1 or n < 2 * n_threads:
        n_threads = 1
    bounds = [n * k // n_threads for k in range(n_threads + 1)]

    def work(k: int, stop: threading.Event) -> None:
        for part in steps(bounds[k], bounds[k + 1], bytes_each):
            if stop.is_set():
                return
            function(*part)

    _side_by_side(work, n_threads)


def for_each(function: Callable[[int], None], n: int, n_threads: int) -> None:
    """Call `function(k)` for every k in range(n), from `n_threads` threads in no order.

    The function takes a fraction of a second, most of it without the GIL. After an exception,
    Ctrl-C included, no further call is begun; the first one is raised here once those under way
    have ended.
    """
    numbers, lock = iter(range(n)), threading.Lock()

    def work(_: int, stop: threading.Event) -> None:
        while not stop.is_set():
            with lock:
                k = next(numbers, None)
            if k is None:
                return
            function(k)

    _side_by_side(work, min(n_threads, n))


def _side_by_side(work: Callable[[int, threading.Event], None], n_threads: int) -> None:
    """Call `work(k, stop)` for k in range(n_threads), each in a thread, the first in this one.

    `stop` is set by the first exception, or Ctrl-C, which is raised here when all have ended, or
    after `_PATIENCE` if they do not. Where there is no room for so many threads, this one does what
    is left.
    """
    stop = threading.Event()
    errors: list[BaseException] = []
    # Ctrl-C within Thread.join would have Python 3.11 take a running thread for one that has ended
    ended = SimpleQueue()

    def run(k: int) -> None:
        try:
            work(k, stop)
        except BaseException as error:
            errors.append(error)
            stop.set()
        finally:
            ended.put(k)

    n_others = that_fit(n_threads) - 1
    workers = [threading.Thread(target=run, args=(k,)) for k in range(1, n_others + 1)]
    try:
        for worker in workers:
            worker.start()
        for k in (0, *range(n_others + 1, n_threads)):
            run(k)
        for error in errors:  # Ctrl-C while this one worked
            if isinstance(error, KeyboardInterrupt):
                raise error
        for _ in range(n_threads):
            ended.get()
    except BaseException:
        stop.set()
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and any(worker.is_alive() for worker in workers):
            time.sleep(0.002)
        raise
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]


def one_ahead(items: Iterator) -> Iterator:
    """Yield the items in their order, each one made in a second thread during use of the last.

    To be closed (`contextlib.closing`) by who may leave early: a signal that arrives while Python
    closes a generator of its own accord is printed, and lost.
    """
    end = object()
    with ThreadPoolExecutor(1) as worker:
        following = worker.submit(next, items, end)
        while (item := following.result()) is not end:
            following = worker.submit(next, items, end)
            yield item

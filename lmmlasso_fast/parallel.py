"""Replicates, folds and splits side by side: joblib's threads, its processes, or a Dask cluster.

A task is a function of what all tasks share (the study) and of its own number; it computes with one
thread, so that neither the number of workers nor the order in which they work shows in a result.
Under `joblib.parallel_config("dask")` the same call runs on the cluster's workers, each of which is
sent the shared part once. (joblib's own connection to Dask never hears of a task whose workers
were killed, and waits for it for ever; hence the few lines with the client here.)
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import current_process
from numbers import Integral

from lmmlasso_fast.errors import InputError, LMMLassoError
from lmmlasso_fast.threads import blas_cap

#: How often in a row workers may die without one task having ended in between.
_ATTEMPTS = 4

_of_this_thread = threading.local()  # stop: the event of the region whose task is being run


class Stopped(BaseException):
    """The region that a task belongs to has ended."""


def poll() -> None:
    """Called by long tasks now and then: raises Stopped once nobody waits for the result."""
    stop = getattr(_of_this_thread, "stop", None)
    if stop is not None and stop.is_set():
        raise Stopped


def as_n_jobs(n_jobs: int | None) -> int:
    """Return a number of workers.

    None means what `joblib.parallel_config` says, else every processor that the process may use
    (affinity and cgroup limits respected), and 1 within a worker; -1 means every processor.

    Raises
    ------
    InputError
        Neither an integer of at least 1, nor -1, nor None.
    """
    from joblib import effective_n_jobs
    from joblib.parallel import get_active_backend

    integer = isinstance(n_jobs, Integral) and not isinstance(n_jobs, bool)
    if n_jobs is not None and not (integer and (n_jobs >= 1 or n_jobs == -1)):
        raise InputError(f"n_jobs: expected an integer of at least 1, -1 or None, found {n_jobs!r}")
    if n_jobs is None:
        backend, n_jobs = get_active_backend()
        if n_jobs is None and (backend.nesting_level or current_process().daemon):
            return 1
    return effective_n_jobs(-1 if n_jobs is None else int(n_jobs))


def each(
    function: Callable, shared, tasks: Iterable[int], n_jobs: int | None = None
) -> Iterator[tuple[int, object]]:
    """Yield (task, function(shared, task)) for every task, in the order in which they end.

    BLAS has one thread in the whole region, with one worker too. Tasks whose worker process died
    are run again. An exception of a task, or in the loop that uses the results (Ctrl-C), ends the
    region; threads that are still busy end at their task's next `poll`.

    Parameters
    ----------
    function : callable
        Of a module's top level, so that processes find it.
    shared : object
        The first argument of each call.
    tasks : iterable of int
    n_jobs : int, optional
        See `as_n_jobs`.

    Raises
    ------
    LMMLassoError
        Workers died four times in a row.
    """
    from joblib.parallel import get_active_backend

    waiting = list(tasks)
    n_jobs = as_n_jobs(n_jobs)
    backend, _ = get_active_backend(prefer="threads")
    stop = threading.Event()
    call = _Call(function, stop if getattr(backend, "supports_sharedmem", False) else None)
    failures = 0
    with blas_cap(1):
        try:
            while waiting:
                try:
                    for task, result in _run(call, shared, list(waiting), n_jobs, backend):
                        failures = 0
                        waiting.remove(task)
                        yield task, result
                except _lost_worker_errors() as error:
                    failures += 1
                    if failures == _ATTEMPTS:
                        raise LMMLassoError(
                            f"worker processes died {failures} times in a row (the last one: "
                            f"{error}); is there too little memory for each of them?"
                        ) from error
        finally:
            stop.set()


def _lost_worker_errors() -> tuple[type[BaseException], ...]:
    """What joblib's processes and Dask raise for a worker that died, as far as they are loaded."""
    import sys
    from concurrent.futures import BrokenExecutor, CancelledError

    distributed = sys.modules.get("distributed")
    if distributed is None:
        return (BrokenExecutor,)
    return (BrokenExecutor, CancelledError, distributed.KilledWorker, distributed.CancelledError)


class _Call:
    """A task's function, as workers call it."""

    def __init__(self, function: Callable, stop: threading.Event | None):
        self._function = function
        self._stop = stop

    def __call__(self, shared, task: int):
        before = getattr(_of_this_thread, "stop", None)
        _of_this_thread.stop = self._stop
        try:
            with blas_cap(1):  # in another process it has to be set there
                return task, self._function(shared, task)
        finally:
            _of_this_thread.stop = before


def _run(call: _Call, shared, tasks: list[int], n_jobs: int, backend):
    if hasattr(backend, "client"):
        yield from _on_dask(call, shared, tasks, backend.client)
    elif n_jobs == 1 or len(tasks) == 1:
        for task in tasks:
            yield call(shared, task)
    else:
        from joblib import Parallel, delayed

        parallel = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator_unordered")
        yield from parallel(delayed(call)(shared, task) for task in tasks)


def _on_dask(call: _Call, shared, tasks: list[int], client):
    from distributed import as_completed

    there = client.scatter(shared, broadcast=True, hash=False)
    futures = [client.submit(call, there, task, pure=False) for task in tasks]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        client.cancel(futures)

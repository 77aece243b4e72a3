"""Replicates, folds and splits side by side: joblib's threads, its processes, or a Dask cluster.

A task is a function of what all tasks share (the study) and of its own number; it computes with one
thread, so that neither the number of workers nor the order in which they work shows in its result.

Under `joblib.parallel_config("dask")` the same call runs on the cluster's workers, each of which is
sent the shared part once. The few lines with Dask's client are here because joblib's own never hear
of a task that failed with its worker: `joblib.Parallel` would wait for it for ever.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import closing, nullcontext, suppress
from multiprocessing import parent_process
from pickle import PickleBuffer

from lmmlasso_fast.checks import as_integer, is_integer
from lmmlasso_fast.errors import InputError, LMMLassoError
from lmmlasso_fast.mapped import catching_bus_errors
from lmmlasso_fast.threads import blas_cap, that_fit

#: How often in a row workers may die without one task having ended in between.
_ATTEMPTS = 4
#: Seconds before the next attempt: a scheduler notices in milliseconds that a process has gone.
_PAUSE = 0.2

_of_this_thread = threading.local()  # stops: within a task, what ends the regions it belongs to
_opening = threading.Lock()


class Stopped(BaseException):
    """The region that a task belongs to has ended."""


class _WorkerDied(Exception):
    """Tasks are left over that no worker will do."""


def poll() -> None:
    """Called by long tasks now and then: raises Stopped once nobody waits for the result."""
    if any(stop.is_set() for stop in _stops() or ()):
        raise Stopped


def _stops() -> tuple[threading.Event, ...] | None:
    return getattr(_of_this_thread, "stops", None)


def as_n_jobs(n_jobs: int | None) -> int:
    """Return a number of workers.

    None means what `joblib.parallel_config` says, else every processor that the process may use
    (affinity and cgroup limits respected), and 1 within a worker; -1 means every processor.

    Raises
    ------
    InputError
        Neither an integer of at least 1, nor -1, nor None.
    """
    from joblib.parallel import get_active_backend

    if n_jobs is not None and not (is_integer(n_jobs) and n_jobs == -1):
        n_jobs = as_integer("n_jobs", n_jobs, 1, expected="an integer of at least 1, -1 or None")
    backend, _ = get_active_backend(prefer="threads")
    if n_jobs is None:
        _, n_jobs = get_active_backend()  # with prefer= it forgets what the user configured
    if n_jobs is None:
        n_jobs = 1 if _in_worker(backend) else -1
    return backend.effective_n_jobs(int(n_jobs))


def _in_worker(backend) -> bool:
    """Whether others work beside this thread: a task of ours, of joblib's, of Dask's, a child."""
    if _stops() is not None or backend.nesting_level or parent_process() is not None:
        return True
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        with suppress(ValueError):
            return distributed.get_worker() is not None
    return False


def each(
    function: Callable, shared, tasks: Iterable[int], n_jobs: int | None = None
) -> Iterator[tuple[int, object]]:
    """Yield (task, function(shared, task)) for every task, in the order in which they end.

    BLAS has one thread in the whole region, with one worker too. Tasks whose worker process died
    are run again. The region ends with the last task, with an exception of a task, with Ctrl-C, or
    when this generator is closed (`contextlib.closing`: leaving a loop early need not close it).
    Threads that are still busy then end at their task's next `poll`.

    Parameters
    ----------
    function : callable
        Of a module's top level, so that processes find it.
    shared : object
        The first argument of each call.
    tasks : iterable of int
    n_jobs : int, optional
        See `as_n_jobs`. A Dask cluster has its own number of workers.

    Raises
    ------
    LMMLassoError
        Workers died four times in a row, or a task more often than Dask allows.
    """
    from joblib.parallel import get_active_backend

    waiting = list(tasks)
    n_jobs = as_n_jobs(n_jobs)
    backend, _ = get_active_backend(prefer="threads")
    stop = threading.Event()
    stops = ()
    if getattr(backend, "supports_sharedmem", False):
        stops = (*(_stops() or ()), stop)
        n_jobs = that_fit(n_jobs)
    call = _Call(function, stops)
    failures = 0
    try:
        with blas_cap(1):
            while waiting:
                try:
                    with closing(_run(call, shared, list(waiting), n_jobs, backend)) as results:
                        for task, result in results:
                            failures = 0
                            waiting.remove(task)
                            yield task, result
                except _WorkerDied as died:
                    failures += 1
                    if failures == _ATTEMPTS:
                        raise LMMLassoError(
                            f"worker processes died {failures} times in a row (the last one: "
                            f"{died}); is there too little memory for each of them?"
                        ) from died
                    time.sleep(_PAUSE)
    finally:
        stop.set()


class _Call:
    """A task's function, as workers call it."""

    def __init__(self, function: Callable, stops: tuple[threading.Event, ...]):
        self.__name__ = function.__name__  # what Dask shows
        self._function = function
        self._stops = stops
        self._process = os.getpid()

    def __call__(self, shared, task: int):
        before = _stops()
        _of_this_thread.stops = self._stops
        try:
            # in another process it has to be set there; here the region's ends with the region, and
            # not with what a thread that nobody waits for is still at
            cap = nullcontext() if self._stops else blas_cap(1)
            # a worker lives for tasks, and a file that is cut must not look like want of memory
            elsewhere = os.getpid() != self._process
            with cap, catching_bus_errors() if elsewhere else nullcontext():
                shared = shared.content() if isinstance(shared, _Parcel) else shared
                return task, self._function(shared, task)
        finally:
            _of_this_thread.stops = before


def _run(call: _Call, shared, tasks: list[int], n_jobs: int, backend):
    """Yield what the calls return; raises _WorkerDied if some will not."""
    if hasattr(backend, "client"):  # Dask's
        # a task that waits for others' results gives its place in the worker to them
        with backend.retrieval_context():
            yield from _on_dask(call, shared, tasks, backend.client)
    else:
        yield from _with_joblib(call, shared, tasks, n_jobs)


def _with_joblib(call: _Call, shared, tasks: list[int], n_jobs: int):
    from joblib import Parallel, delayed
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend(prefer="threads")
    if not backend.supports_return_generator:
        raise InputError(
            f"joblib: expected a backend that returns results as they come (threading, loky, "
            f"dask), found {type(backend).__name__}; choose another in parallel_config"
        )
    parallel = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator_unordered")
    results = parallel(delayed(call)(shared, task) for task in tasks)
    try:
        for result in results:  # noqa: UP028 (it would close them)
            yield result
    except BrokenExecutor as error:
        raise _WorkerDied(str(error)) from error
    except GeneratorExit:
        with suppress(Stopped):  # closed, it would warn that tasks are cancelled
            results.throw(Stopped())
        raise


def _on_dask(call: _Call, shared, tasks: list[int], client):
    from distributed import CancelledError, KilledWorker, as_completed
    from distributed.protocol.pickle import dumps

    if client.status == "closed":
        raise LMMLassoError("the connection to Dask's scheduler is lost; start another client")
    parcel = _Parcel(dumps(shared))
    try:
        client.run(_begin)  # where the package is missing, this says so
        [there] = client.scatter([parcel], broadcast=True, hash=False)
    except (OSError, KeyError) as error:  # KeyError: the scheduler's, of a worker just forgotten
        raise _WorkerDied(str(error)) from error
    del parcel
    futures = [client.submit(call, there, task, pure=False) for task in tasks]
    try:
        for future in as_completed(futures):
            result = future.result()
            future.release()  # or it would be computed again when its worker dies
            yield result
    except CancelledError as error:  # what was shared, or the scheduler, is gone
        raise _WorkerDied(str(error)) from error
    except KilledWorker as error:
        raise LMMLassoError(
            f"Dask gave up a task (distributed.scheduler.allowed-failures): {error}"
        ) from error
    finally:
        if client.status != "closed":
            client.cancel(futures)


def _begin() -> None:
    """Runs on every worker before the tasks."""


class _Parcel:
    """What all tasks share, on its way to Dask's workers.

    It is unpacked within a task, where an error is reported (a .bed file that this worker does not
    see); when it arrives, all that would be heard of it is a closed connection. A single string of
    bytes, because arrays that Dask sends besides need not be aligned in memory.
    """

    def __init__(self, packed):
        self._packed = packed
        self._content = None

    def content(self):
        from distributed.protocol.pickle import loads

        with _opening:
            if self._packed is not None:
                self._content = loads(self._packed)
                self._packed = None
            return self._content

    def __reduce__(self):  # also from one worker to another
        from distributed.protocol.pickle import dumps

        with _opening:
            packed = dumps(self._content) if self._packed is None else self._packed
        return _Parcel, (PickleBuffer(packed),)

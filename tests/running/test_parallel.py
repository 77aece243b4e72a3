"""Tasks side by side: each once, BLAS capped, what ends a region, workers that die, Ctrl-C."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import joblib
import numpy as np
import polars as pl
import pytest
from blas import blas_threads
from joblib import delayed, parallel_config

import lmmlasso_fast as ll
from lmmlasso_fast import parallel
from lmmlasso_fast.errors import InputError, LMMLassoError
from lmmlasso_fast.kinship import cross_kinship
from lmmlasso_fast.norms import in_blocks
from lmmlasso_fast.parallel import Stopped, as_n_jobs, each, poll

pytestmark = pytest.mark.promise("threads")

#: One thread, threads, more threads than tasks, processes.
WAYS = {
    "one": lambda: parallel_config(n_jobs=1),
    "threads": lambda: parallel_config(n_jobs=2),
    "many": lambda: parallel_config(n_jobs=20),
    "loky": lambda: parallel_config("loky", n_jobs=2),
}


@pytest.fixture(scope="module", autouse=True)
def _no_processes_are_left():
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


# ---- each ----------------------------------------------------------------------------------------


def power(base, task):
    time.sleep(0.001 * (task % 3))
    return base**task


@pytest.mark.parametrize("way", WAYS)
def test_every_task_once_with_its_result(way):
    tasks = [7, 3, 0, 12, 5, 1, 9]
    with WAYS[way]():
        results = list(each(power, 3, iter(tasks)))
    assert sorted(task for task, _ in results) == sorted(tasks)
    assert all(result == 3**task for task, result in results)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n", [0, 1])
def test_few_tasks(way, n):
    with WAYS[way]():
        assert list(each(power, 3, range(4, 4 + n))) == [(4, 81)][:n]


def test_one_worker_takes_the_tasks_in_their_order():
    assert [task for task, _ in each(power, 1, [5, 2, 8], n_jobs=1)] == [5, 2, 8]


def test_results_come_as_they_are_ready():
    """Not in the order of the tasks, and not when all have ended."""
    last = threading.Event()

    def work(_, task):
        if task == 0:
            assert last.wait(60)
        return threading.get_ident()

    order = []
    for task, _ in each(work, None, range(6), n_jobs=2):
        order.append(task)
        if task == 5:
            last.set()
    assert order == [1, 2, 3, 4, 5, 0]


def process(_, task):
    return os.getpid(), threading.get_ident()


@pytest.mark.parametrize("way", ["one", "threads"])
def test_threads_by_default(way):
    with WAYS[way]():
        found = [result for _, result in each(process, None, range(8))]
    here = (os.getpid(), threading.get_ident())
    assert {pid for pid, _ in found} == {here[0]}
    assert (here in found) == (way == "one")


def test_processes_if_asked_for():
    with WAYS["loky"]():
        assert os.getpid() not in {pid for _, (pid, _) in each(process, None, range(8))}


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_n_jobs_is_how_many_run_at_a_time(n_jobs):
    running, most, lock = [], [], threading.Lock()
    all_there = threading.Barrier(n_jobs)

    def work(_, task):
        with lock:
            running.append(task)
            most.append(len(running))
        all_there.wait(60)
        with lock:
            running.remove(task)

    list(each(work, None, range(12), n_jobs))
    assert max(most) == n_jobs


# ---- the end of a region -------------------------------------------------------------------------


def fail_at_3(_, task):
    if task == 3:
        raise KeyError("here")
    time.sleep(0.002)
    return task


@pytest.mark.parametrize("way", WAYS)
def test_an_exception_of_a_task_surfaces(way):
    done = []
    with WAYS[way](), pytest.raises(KeyError, match="here"):
        done.extend(task for task, _ in each(fail_at_3, None, range(400)))
    assert len(done) < 400
    assert 3 not in done


class Busy:
    """Tasks that do not end by themselves, but for the first one."""

    def __init__(self, n):
        self.started = threading.Barrier(n + 1)
        self.ends = []
        self.ended = threading.Semaphore(0)

    def __call__(self, _, task):
        if task == 0:
            self.started.wait(60)
            return task
        try:
            self.started.wait(60)
            for _ in range(60_000):
                poll()
                time.sleep(0.001)
        except BaseException as error:
            self.ends.append(type(error))
            raise
        finally:
            self.ended.release()

    __name__ = "busy"

    def wait(self, n):
        assert all(self.ended.acquire(timeout=30) for _ in range(n))
        assert self.ends == [Stopped] * n


def test_busy_threads_end_when_nobody_takes_more_results():
    busy = Busy(2)
    results = each(busy, None, range(3), n_jobs=3)
    assert next(results) == (0, 0)
    results.close()
    busy.wait(2)


def test_busy_threads_end_when_the_loop_fails():
    busy = Busy(2)
    with pytest.raises(ZeroDivisionError), closing(each(busy, None, range(3), 3)) as results:
        list(1 / task for task, _ in results)
    busy.wait(2)


def test_busy_threads_end_when_a_task_fails():
    busy = Busy(2)

    def work(shared, task):
        busy(shared, task)
        raise KeyError

    with pytest.raises(KeyError):
        list(each(work, None, range(3), 3))
    busy.wait(2)


def test_a_region_within_a_task_ends_with_it():
    busy, all_busy = Busy(2), threading.Event()

    def outer(_, task):
        if task == 0:
            return all_busy.wait(60)
        for _ in each(busy, None, range(3), n_jobs=3):
            all_busy.set()

    results = each(outer, None, range(2), n_jobs=2)
    assert next(results) == (0, True)
    results.close()
    busy.wait(2)


def test_poll_does_nothing_outside():
    poll()
    list(each(power, 2, range(3), n_jobs=1))
    poll()


TRIO = {
    "FID": ["f"] * 3,
    "IID": ["a", "b", "c"],
    "FATHER": ["0", "0", "a"],
    "MOTHER": ["0", "0", "b"],
}


def _stopped():
    raise Stopped


@pytest.mark.parametrize(
    ("module", "step"),
    [
        ("relationship", ll.kinship),
        ("kinship", lambda genotypes: cross_kinship(genotypes, genotypes, ll.kinship(genotypes))),
        ("norms", lambda _: in_blocks(lambda some: None, 10, 4, 1)),
        ("pedigree", lambda _: ll.pedigree_kinship(pl.DataFrame(TRIO))),
    ],
)
def test_long_steps_ask_whether_to_go_on(module, step, monkeypatch):
    genotypes = ll.Genotypes.from_array(np.array([[0, 1, 2], [1, 0, 0], [2, 2, 1], [1, 2, 0]]))
    step(genotypes)
    monkeypatch.setattr(sys.modules[f"lmmlasso_fast.{module}"], "poll", _stopped)
    with pytest.raises(Stopped):
        step(genotypes)


# ---- the number of workers -----------------------------------------------------------------------


def n_jobs_here(_=None, task=None):
    return as_n_jobs(None)


def test_n_jobs():
    assert as_n_jobs(1) == 1
    assert as_n_jobs(5) == 5
    assert as_n_jobs(np.int64(3)) == 3
    assert as_n_jobs(-1) == as_n_jobs(None) == joblib.cpu_count()
    with parallel_config(n_jobs=3):
        assert as_n_jobs(None) == 3
        assert as_n_jobs(2) == 2
    with parallel_config("threading", n_jobs=4):
        assert as_n_jobs(None) == 4
    with parallel_config("loky"):
        assert as_n_jobs(None) == joblib.cpu_count()


@pytest.mark.parametrize("n_jobs", [0, -2, 1.5, True, "2"])
def test_odd_numbers_of_jobs_are_refused(n_jobs):
    with pytest.raises(InputError, match="n_jobs: expected an integer of at least 1, -1 or None"):
        as_n_jobs(n_jobs)
    with pytest.raises(InputError, match="n_jobs"):
        list(each(power, 1, range(2), n_jobs))


@pytest.mark.parametrize(
    ("limit", "environment"),
    [
        ("os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})", {}),
        ("None", {"LOKY_MAX_CPU_COUNT": "1"}),
    ],
)
def test_limits_of_the_process_are_respected(limit, environment):
    if "affinity" in limit and not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    code = f"import os; {limit}; from lmmlasso_fast.parallel import as_n_jobs; "
    code += "print('jobs', as_n_jobs(None), as_n_jobs(-1), as_n_jobs(3))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert run.stdout.splitlines()[-1] == "jobs 1 1 3"


@pytest.mark.parametrize("way", WAYS)
def test_one_job_within_a_task(way):
    with WAYS[way]():
        assert {result for _, result in each(n_jobs_here, None, range(4))} == {1}
    assert as_n_jobs(None) == joblib.cpu_count()
    assert list(each(n_jobs_here, None, [0], n_jobs=1)) == [(0, 1)]


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_one_job_within_joblibs_workers(backend):
    with parallel_config(backend):
        found = joblib.Parallel(n_jobs=2)(delayed(n_jobs_here)() for _ in range(4))
    assert found == [1] * 4


def n_jobs_in_child(_):
    with parallel_config(n_jobs=2):
        configured = as_n_jobs(None)
    return as_n_jobs(None), as_n_jobs(3), configured


def test_one_job_within_other_processes():
    """Daemonic or not; but as many as are asked for."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.map(n_jobs_in_child, range(1)) == [(1, 3, 2)]
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert list(pool.map(n_jobs_in_child, range(1))) == [(1, 3, 2)]


# ---- BLAS ----------------------------------------------------------------------------------------


def blas_in_task(_, task):
    if task == 3:
        raise KeyError
    return blas_threads()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_blas_has_one_thread_in_tasks_and_between(two_threads, n_jobs):
    for _, result in each(blas_in_task, None, range(3), n_jobs):
        assert result == {1}
        assert blas_threads() == {1}
    assert blas_threads() == two_threads


def test_blas_has_one_thread_in_processes():
    with parallel_config("loky", n_jobs=2, inner_max_num_threads=2):
        seen = joblib.Parallel()(delayed(blas_threads)() for _ in range(2))
        if seen != [{2}, {2}]:
            pytest.skip("the BLAS of this NumPy lets nobody set its threads")
        assert [result for _, result in each(blas_in_task, None, range(3))] == [{1}] * 3


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_blas_gets_its_threads_back_however_a_region_ends(two_threads, n_jobs):
    with pytest.raises(KeyError):
        list(each(blas_in_task, None, range(8), n_jobs))
    assert blas_threads() == two_threads
    with pytest.raises(ZeroDivisionError), closing(each(power, 1, range(8), n_jobs)) as results:
        list(1 / task for task, _ in results)
    assert blas_threads() == two_threads
    each(power, 1, range(8), n_jobs).close()  # not begun
    assert blas_threads() == two_threads


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_regions_that_overlap_share_the_cap(two_threads, n_jobs):
    """A begins, B begins, A ends, B ends, each in a thread of its own."""
    turns = {name: threading.Event() for name in ("A in", "B in", "A out", "B goes on")}
    found, errors = {}, []

    def region_a():
        results = each(blas_in_task, None, range(3), n_jobs)
        next(results)
        turns["A in"].set()
        assert turns["B in"].wait(60)
        found["A, both in"] = blas_threads()
        assert {result.pop() for _, result in results} == {1}
        turns["A out"].set()

    def region_b():
        assert turns["A in"].wait(60)
        results = each(blas_in_task, None, range(3), n_jobs)
        next(results)
        turns["B in"].set()
        assert turns["A out"].wait(60)
        assert turns["B goes on"].wait(60)
        found["B, alone"] = [result for _, result in results]

    def guarded(region):
        try:
            region()
        except BaseException as error:
            errors.append(error)
            for turn in turns.values():
                turn.set()

    threads = [threading.Thread(target=guarded, args=(r,)) for r in (region_a, region_b)]
    for thread in threads:
        thread.start()
    assert turns["A out"].wait(60)
    threads[0].join(60)
    found["A has gone"] = blas_threads()
    turns["B goes on"].set()
    threads[1].join(60)
    assert not errors
    assert found == {"A, both in": {1}, "A has gone": {1}, "B, alone": [{1}, {1}]}
    assert blas_threads() == two_threads


# ---- workers that die ----------------------------------------------------------------------------


def kill_once(folder, task):
    """Kill the worker process when task 3 is run for the first time."""
    if task == 3:
        try:
            (Path(folder) / "killed").touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return task, os.getpid()


def kill_always(_, task):
    os.kill(os.getpid(), signal.SIGKILL)


def test_tasks_of_a_worker_that_died_are_run_again(tmp_path):
    with WAYS["loky"]():
        results = list(each(kill_once, str(tmp_path), range(8)))
    assert (tmp_path / "killed").exists()
    assert sorted(task for task, _ in results) == list(range(8))
    assert all(result[0] == task and result[1] != os.getpid() for task, result in results)


def test_a_task_that_always_kills_its_worker_ends_in_an_error(monkeypatch):
    """Not in a run without end, nor in the death of this process because it is the last one."""
    monkeypatch.setattr(parallel, "_PAUSE", 0)
    with (
        WAYS["loky"](),
        pytest.raises(LMMLassoError, match="worker processes died 4 times in a row"),
    ):
        list(each(kill_always, None, [2]))


def test_attempts_are_counted_anew_after_a_result(monkeypatch):
    """As long as some task ends, the others are tried again."""
    attempts = []

    def run(call, shared, tasks, *_):
        attempts.append(tasks)
        if len(attempts) % (parallel._ATTEMPTS - 1) == 0:
            yield call(shared, tasks[0])
        raise parallel._WorkerDied("here")

    monkeypatch.setattr(parallel, "_run", run)
    monkeypatch.setattr(parallel, "_PAUSE", 0)
    assert list(each(power, 2, range(3), 1)) == [(0, 1), (1, 2), (2, 4)]
    assert attempts == [[0, 1, 2]] * 3 + [[1, 2]] * 3 + [[2]] * 3


# ---- Ctrl-C --------------------------------------------------------------------------------------

LONG_TASKS = """
import sys, time
import numpy as np
from joblib import parallel_config
from lmmlasso_fast.parallel import each, poll

def work(shared, task):
    A = np.ones((300, 300))
    for _ in range(0 if task == 0 else 6000):
        poll()
        A = A @ shared
        time.sleep(0.02)
    return task

with parallel_config({config}):
    for task, _ in each(work, np.eye(300), range(20)):
        print("first result", flush=True)
"""


@pytest.mark.promise("interrupts")
@pytest.mark.parametrize("config", ["n_jobs=1", "n_jobs=2", "'loky', n_jobs=2"])
def test_ctrl_c_ends_it(config):
    """As from a terminal, which sends it to all processes of the group."""
    child = subprocess.Popen(
        [sys.executable, "-c", LONG_TASKS.format(config=config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        with child.stdout as out:
            assert any("first result" in line for line in out)
            time.sleep(0.3)
            os.killpg(child.pid, signal.SIGINT)
            begun = time.monotonic()
            child.wait(60)
            took = time.monotonic() - begun
        with child.stderr as err:
            errors = err.read()
    finally:
        child.kill()
        child.wait()
    assert child.returncode == -signal.SIGINT, errors
    assert "KeyboardInterrupt" in errors
    assert "Warning" not in errors
    assert took < 5  # half a second, were machines never busy

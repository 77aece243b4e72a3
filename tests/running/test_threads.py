"""The cap on BLAS threads holds whichever thread sets or lifts it; one item made ahead."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from blas import blas_threads
from threadpoolctl import threadpool_limits

import lmmlasso_fast as ll
from lmmlasso_fast import threads, tridiagonal
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.threads import blas_cap, one_ahead

pytestmark = pytest.mark.promise("threads")


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


def test_libraries_loaded_under_a_cap_get_it_too():
    code = """
import sys
from threadpoolctl import threadpool_info, threadpool_limits
from lmmlasso_fast.threads import blas_cap

def blas_threads():
    return {x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas"}

before = blas_threads()
with blas_cap(1):
    assert "scipy.linalg" not in sys.modules
    import scipy.linalg.cython_lapack
    with blas_cap(2):
        assert blas_threads() == {1}
assert blas_threads() == before
"""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_others_can_limit_threads_afterwards(two_threads):
    in_thread(capped)
    with threadpool_limits(1, user_api="blas"):
        assert blas_threads() == {1}
    assert blas_threads() == two_threads


def test_n_threads_reaches_blas_in_every_stage(two_threads, monkeypatch, tridiagonal_form):
    """From SINGLE_THREAD_BELOW samples on: the tridiagonal form and the path too."""
    monkeypatch.setattr(threads, "SINGLE_THREAD_BELOW", 10)
    rng = np.random.default_rng(0)
    genotypes = ll.Genotypes.from_array(rng.integers(0, 3, (40, 60)))
    y = rng.standard_normal(40)
    decompositions, alphas = [], []
    inside = tridiagonal._below_zero
    monkeypatch.setattr(
        tridiagonal, "_below_zero", lambda *T: decompositions.append(blas_threads()) or inside(*T)
    )
    for n_threads in (1, 2):
        decompositions.clear()
        alphas.clear()
        K = ll.kinship(genotypes, n_threads=n_threads)
        null = ll.fit_null(y, K, n_threads=n_threads)
        ll.lasso_path(
            genotypes,
            y,
            null,
            n_alphas=3,
            n_threads=n_threads,
            progress=lambda *_: alphas.append(blas_threads()),
        )
        assert decompositions == [{n_threads}]
        assert alphas == [{n_threads}] * 3


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, True, "2"])
def test_odd_numbers_of_threads_are_refused(n_threads):
    genotypes = ll.Genotypes.from_array(np.random.default_rng(0).integers(0, 3, (20, 5)))
    with pytest.raises(InputError, match="n_threads: expected an integer of at least 1, found"):
        ll.lasso_path(genotypes, np.arange(20.0), n_threads=n_threads)


# --- one item ahead ------------------------------------------------------------------------------


def test_one_ahead_keeps_the_order():
    assert list(one_ahead(iter(range(50)))) == list(range(50))
    assert list(one_ahead(iter([]))) == []


def test_one_ahead_is_one_ahead():
    made = []
    items = one_ahead(made.append(k) or k for k in range(10))
    next(items)
    next(items)
    items.close()  # waits for what is under way
    assert made == [0, 1, 2]


def test_one_ahead_passes_errors_on():
    def broken():
        yield 1
        raise KeyError("here")

    items = one_ahead(broken())
    assert next(items) == 1
    with pytest.raises(KeyError, match="here"):
        next(items)


# ---- work on items -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 7])
@pytest.mark.parametrize("n", [0, 1, 5, 100])
def test_every_item_once(n, n_threads):
    done = []
    threads.for_each(done.append, n, n_threads)
    assert sorted(done) == list(range(n))


@pytest.mark.parametrize("n_threads", [1, 3])
def test_nothing_is_begun_after_an_error(n_threads):
    done = []

    def work(k):
        if k == 4:
            raise KeyError(k)
        done.append(k)

    with pytest.raises(KeyError):
        threads.for_each(work, 10_000, n_threads)
    assert len(done) < 10_000


@pytest.mark.promise("interrupts")
@pytest.mark.parametrize("first", [None, ValueError])
def test_ctrl_c_while_this_thread_works_does_not_wait_for_the_others(first):
    """Nor is it lost behind what one of them raised before."""
    begun, go_on, ended = threading.Event(), threading.Event(), []

    def work(k, stop):
        if k == 0:
            assert begun.wait(60)
            raise KeyboardInterrupt
        if k == 2 and first is not None:
            raise first
        begun.set()
        go_on.wait(20)
        ended.append(k)

    n_threads = 2 if first is None else 3
    with pytest.raises(KeyboardInterrupt):
        threads._side_by_side(work, n_threads)
    assert not ended
    go_on.set()
    for thread in threading.enumerate():
        if thread.name.endswith("(run)"):
            thread.join()
    assert ended == [1]


# ---- forks ---------------------------------------------------------------------------------------

FORK = """
import faulthandler, multiprocessing, os, signal, sys, threading, warnings
import numpy as np
import lmmlasso_fast as ll
from lmmlasso_fast import estimators, threads
from threadpoolctl import threadpool_info

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
rng = np.random.default_rng(0)
genotypes = ll.read_plink(sys.argv[2])
n = genotypes.n_samples
X = genotypes.columns(np.arange(50))
y = rng.standard_normal(n)
model = ll.LMMLasso(alpha=0.3)

def bits(_=None):
    found = ll.cross_validate(genotypes, y, n_folds=3, n_alphas=8, eps=0.3, n_jobs=2)
    K = ll.kinship(genotypes)
    null = ll.fit_null(y[: n - 9], K.subset(np.arange(n - 9)))
    part = genotypes.subset(np.arange(n - 9))
    scan = ll.association_scan(part, y[: n - 9], null, n_threads=2)
    loco = ll.association_scan_loco(genotypes, y, n_threads=2)
    selected = ll.stability_selection(genotypes, y, n_active=3, n_replicates=4, n_jobs=2)
    path = ll.lasso_path(genotypes, y, ll.fit_null(y, K), n_alphas=5)
    predicted = ll.build_model(path, genotypes).predict_in_order(genotypes).total
    fitted = model.fit(X, y)
    results = found.predictions, scan.beta, loco.beta, selected.counts, predicted, fitted.coef_
    return [array.tobytes() for array in (*results, fitted.predict(X))]

def blas():
    return {x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas"}

before, expected = blas(), bits()

def in_child():
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(90)
        signal.alarm(100)
        os._exit(0 if blas() == before and bits() == expected and blas() == before else 3)
    assert os.waitpid(child, 0)[1] == 0

def idle():
    in_child()

def busy():
    '''Another thread is within a region, and fits the same object.'''
    inside, leave = threading.Event(), threading.Event()
    def work():
        with threads.blas_cap(1), estimators._one_at_a_time(model):
            inside.set()
            leave.wait(120)
    worker = threading.Thread(target=work)
    worker.start()
    inside.wait(60)
    in_child()
    leave.set()
    worker.join()
    assert bits() == expected

def locked():
    '''Another thread holds the locks.'''
    with threads._cap_lock, estimators._fitting_lock:
        in_child()

def pool():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(bits, range(4)) == [expected] * 4

signal.alarm(250)
globals()[sys.argv[1]]()
assert blas() == before
"""


@pytest.mark.promise("threads")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("case", ["idle", "busy", "locked", "pool"])
def test_a_fork_computes_the_same_bits(small, case):
    """After threads were used, and while they are."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    program = [sys.executable, "-c", FORK, case, str(small.prefix)]
    subprocess.run(program, check=True, env=environment, timeout=300)


# ---- how many run --------------------------------------------------------------------------------

RUNNING = """
import os, sys, threading, time
from pathlib import Path
import numpy as np
import lmmlasso_fast as ll

rng = np.random.default_rng(0)
genotypes = ll.Genotypes.from_array(rng.integers(0, 3, (300, 3000)))
many = ll.Genotypes.from_array(rng.integers(0, 3, (600, 20_000), dtype=np.int8))
y = rng.standard_normal(300)
K = ll.kinship(genotypes)
null = ll.fit_null(y, K)
n = int(sys.argv[2])
calls = {
    "cv": lambda: ll.cross_validate(genotypes, y, n_folds=4, n_alphas=20, n_jobs=n),
    "stability": lambda: ll.stability_selection(
        genotypes, y, K, n_active=5, n_replicates=8, n_jobs=n
    ),
    "scan": lambda: ll.association_scan(genotypes, y, null, exact=True, n_threads=n),
    "kinship": lambda: ll.kinship(many, n_threads=n),  # once: each call has threads of its own
}
over, used = threading.Event(), {}

def watch(task):
    try:
        nanoseconds = int((task / "schedstat").read_text().split()[0])
    except OSError:  # it has ended
        return
    first, _ = used.setdefault(task.name, (nanoseconds, 0))
    used[task.name] = first, nanoseconds

def watch_all():
    while not over.is_set():
        for task in Path("/proc/self/task").iterdir():
            watch(task)
        time.sleep(0.002)

call = calls[sys.argv[1]]
call()
for _ in range(3):
    over.clear()
    used.clear()
    watcher = threading.Thread(target=watch_all)
    watcher.start()
    call()
    over.set()
    watcher.join()
    del used[str(watcher.native_id)]
    shares = np.array([last - first for first, last in used.values()])
    print("busy", (shares > 0.1 * shares.sum()).sum())
"""


@pytest.mark.promise("threads")
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    ("call", "n"), [("cv", 1), ("cv", 2), ("stability", 2), ("scan", 2), ("kinship", 2)]
)
def test_no_more_threads_work_than_were_asked_for(call, n):
    """Busy (a tenth of the time or more) are they, and one that shares out and collects.

    The fewest of three: on a busy machine BLAS's threads look for work longer before they sleep.
    """
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    run = subprocess.run(
        [sys.executable, "-c", RUNNING, call, str(n)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    n_busy = [int(line.split()[1]) for line in run.stdout.splitlines() if line[:4] == "busy"]
    assert len(n_busy) == 3
    assert min(n_busy) <= n + 1

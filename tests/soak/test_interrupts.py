"""SIGINT and SIGTERM at random moments of long commands and calls: a prompt end, and no traces."""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from cli_files import lmmlasso, log, results, run_json
from joblib import parallel_config
from threadpoolctl import threadpool_info

import lmmlasso_fast as ll
from lmmlasso_fast import threads
from lmmlasso_fast.io.journal import read_journal

pytestmark = [
    pytest.mark.promise("interrupts"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and signals"),
    pytest.mark.filterwarnings("default::DeprecationWarning:(dask|distributed|tornado)"),
]

#: Seconds from a signal to the end: half a second on a machine with nothing else to do.
PROMISED, BOUND = 0.5, 30
CODES = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}
#: The command line; says when it is loaded, and shows where every thread is when SIGUSR1 comes.
PROGRAM = """
import faulthandler, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from lmmlasso_fast.cli import program
faulthandler.register(signal.SIGUSR1, open(sys.argv.pop(1), "w"), all_threads=True)
os.write(2, b"begun\\n")
program()
"""
#: What calls LAPACK (or BLAS, on whole matrices) once: it ends before Python looks for signals.
LAPACK = ("eigh", "cholesky", "in tridiagonalise", "qr", "inv", "svd")


# ---- commands ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fileset(tmp_path_factory, request):
    """Flags that name a simulated fileset, and its size."""
    full = request.config.getoption("--full")
    n, p = (1000, 50_000) if full else (200, 4000)
    prefix = tmp_path_factory.mktemp("fileset") / "g"
    lmmlasso("simulate", "--n-samples", n, "--n-variants", p, "--seed", 3, "--out", prefix)
    inputs = ["--bfile", prefix, "--pheno", f"{prefix}.pheno.tsv"]
    return SimpleNamespace(inputs=inputs, n=n, p=p, n_tasks=40 if full else 12)


def flags_of(command, fileset):
    n_tasks, of = str(fileset.n_tasks), fileset.inputs
    selected = ["--replicates", n_tasks, "--n-active", "10"]
    return {
        "fit": of,
        "cv": [*of, "--folds", "5"],
        "stability": [*of, *selected],
        "scan": [*of, "--exact"],
        "run": [*of, *selected, "--folds", "4"],
        "simulate": ["--n-samples", fileset.n, "--n-variants", fileset.p, "--seed", "4"],
    }[command]


def begin(command, flags, folder, out):
    dump = folder.parent / "where"
    arguments = [dump, command, *flags, "--out", out]
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in child.stderr:
        if line == "begun\n":
            break
    return child, dump


def end(child):
    try:
        _, err = child.communicate(timeout=300)
    finally:
        child.kill()
        child.wait()
    return child.returncode, err


def stop_at(moment, number, command, flags, folder):
    """Begin a command, send a signal; what it said and left, and how long it took."""
    child, dump = begin(command, flags, folder, folder / "P")
    time.sleep(moment)
    child.send_signal(signal.SIGUSR1)
    start = time.monotonic()
    child.send_signal(number)
    code, err = end(child)
    took = time.monotonic() - start
    where = dump.read_text()
    in_lapack = any(f"{name}\n" in where or f"in {name}" in where for name in LAPACK)
    return SimpleNamespace(code=code, err=err, took=took, in_lapack=in_lapack, where=where)


def check_stopped(found, number, folder, whole):
    """What a signal leaves: the record, whole results, a checkpoint; returns whether it stopped."""
    code, state = CODES[number]
    assert found.took < BOUND
    assert "Traceback" not in found.err, found.err
    left = {path.name for path in folder.iterdir()}
    assert not [name for name in left if name.startswith(".")], left
    if found.code == 0:
        assert results(folder / "P") == whole
        return False
    if found.code == -signal.SIGTERM or not left:  # the command had not begun, or had ended
        assert found.code in (code, -number), found.err
        assert {path: (folder / f"P{path}").read_bytes() for path in results(folder / "P")} in (
            {},
            whole,
        )
        return False
    assert found.code == code, found.err
    assert f"error: {state}" in found.err
    if "the report is not" not in found.err:
        assert run_json(folder / "P")["exit"] == {"code": code, "state": state}
        assert f"end: {state} (exit code {code}" in log(folder / "P").splitlines()[-1]
    for suffix, content in results(folder / "P").items():
        if suffix.endswith(".checkpoint"):
            read_journal(folder / f"P{suffix}")
        elif suffix != ".steps.json":
            assert content == whole[suffix], suffix
    there = {suffix for suffix in results(folder / "P") if not suffix.endswith(".checkpoint")}
    lists = {".excluded.tsv", ".duplicates.tsv"}
    if ".steps.json" in whole:  # the files of each step together
        assert not there or there >= lists
    else:
        assert there in (set(), set(whole))
    return True


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("command", ["fit", "cv", "stability", "scan", "run", "simulate"])
def test_commands(fileset, tmp_path, size, tally, command, n_threads):
    """Stopped anywhere, then resumed or done again: the bytes of an undisturbed run."""
    if size((command, n_threads) not in [("fit", 2), ("run", 2), ("simulate", 2)], False):
        pytest.skip("only at full size")
    moments = size(1, 25)
    flags = [*flags_of(command, fileset), "--threads", n_threads]
    folder = tmp_path / "out"
    folder.mkdir()
    start = time.monotonic()
    child, _ = begin(command, flags, folder, folder / "P")
    code, err = end(child)
    duration = time.monotonic() - start
    assert code == 0, err
    whole = results(folder / "P")
    resumes = command in ("cv", "stability", "run")
    rng = np.random.default_rng([7, n_threads])
    stopped = []
    for k in range(moments):
        shutil.rmtree(folder)
        folder.mkdir()
        number = (signal.SIGINT, signal.SIGTERM)[(k + n_threads) % 2]
        moment = rng.uniform(0, 0.9 * duration)
        found = stop_at(moment, number, command, flags, folder)
        if check_stopped(found, number, folder, whole):
            stopped.append(found)
        if resumes or k % 5 == 0:
            child, _ = begin(command, [*flags, *["--resume"] * resumes], folder, folder / "P")
            code, err = end(child)
            assert code == 0, err
            assert results(folder / "P") == whole
    assert len(stopped) >= size(0, moments // 2)
    took = [found.took for found in stopped]
    elsewhere = [found for found in stopped if not found.in_lapack]
    slow = [found for found in elsewhere if found.took > PROMISED]
    tally(
        cases=moments,
        stopped=len(stopped),
        seconds=f"median {statistics.median(took or [0]):.2f}, worst {max(took, default=0):.2f}",
        half_a_second=f"{len(elsewhere) - len(slow)} of {len(elsewhere)} outside LAPACK, "
        f"{len(stopped) - len(elsewhere)} within it, load {os.getloadavg()[0]:.0f}",
    )


# ---- calls ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def problem(request):
    full = request.config.getoption("--full")
    n, p = (500, 20_000) if full else (200, 3000)
    rng = np.random.default_rng(2)
    genotypes = ll.Genotypes.from_array(rng.integers(0, 3, (n, p), dtype=np.int8))
    y = genotypes.columns(np.arange(10)).sum(axis=1) + 3 * rng.standard_normal(n)
    K = ll.kinship(genotypes)
    return SimpleNamespace(genotypes=genotypes, y=y, K=K, null=ll.fit_null(y, K))


def null_model(o):
    null = ll.fit_null(o.y, ll.Kinship.from_matrix(o.K.matrix))  # its decomposition is kept
    return null.log_delta, null.profile.nll.tobytes()


def path(o):
    path = ll.lasso_path(o.genotypes, o.y, o.null, n_alphas=60, n_threads=2)
    return path.coefs.data.tobytes(), path.dual_gaps.tobytes()


def cross_validation(o):
    found = ll.cross_validate(o.genotypes, o.y, n_folds=4, n_alphas=30, eps=0.1)
    return found.predictions.tobytes(), found.fold_scores.tobytes()


def stability(o):
    found = ll.stability_selection(o.genotypes, o.y, n_active=8, n_replicates=10)
    return found.counts.tobytes(), found.log_delta.tobytes()


def scan(o):
    found = ll.association_scan(o.genotypes, o.y, o.null, exact=True, n_threads=2)
    return found.beta.tobytes(), found.log10p.tobytes()


def estimator(o):
    X = o.__dict__.setdefault("X", o.genotypes.columns(np.arange(400)))
    model = o.__dict__.setdefault("model", ll.LMMLasso(alpha=0.2))  # one object, fitted again
    return model.fit(X, o.y).coef_.tobytes(), model.intercept_


def interrupted(call, o, moment):
    """Call, with Ctrl-C after some seconds: how long it took to answer, None if it ended before."""
    sent, main = [], threading.main_thread().ident

    def send():
        sent.append(time.monotonic())
        signal.pthread_kill(main, signal.SIGINT)

    timer = threading.Timer(moment, send)
    try:
        timer.start()
        call(o)
        timer.cancel()
        timer.join()
    except KeyboardInterrupt:
        took = time.monotonic() - sent[0]
        timer.join()
        return took
    return None


def blas_threads():
    return {x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas"}


def check_interrupts(call, o, moments, rng):
    """Interrupt a call at random moments; returns how long each answer took."""
    before, expected = blas_threads(), call(o)
    start = time.monotonic()
    assert call(o) == expected
    duration = time.monotonic() - start
    took = []
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for _ in range(moments):
            answer = interrupted(call, o, rng.uniform(0, duration))
            took += [] if answer is None else [answer]
            assert answer is None or answer < BOUND
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            assert call(o) == expected
            assert threads._cap_depth == 0
            assert blas_threads() == before
    finally:
        signal.signal(signal.SIGINT, handler)
    return took


CALLS = [null_model, path, cross_validation, stability, scan, estimator]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_calls(problem, size, tally, call):
    """KeyboardInterrupt leaves objects that can be used, and the next call gives the same bits."""
    moments = size(3, 50)
    rng = np.random.default_rng(11)
    took = check_interrupts(call, problem, moments, rng)
    tally(
        cases=moments,
        stopped=len(took),
        seconds=f"median {statistics.median(took or [0]):.3f}, worst {max(took, default=0):.3f}",
    )


@pytest.mark.parametrize("backend", ["loky", "dask"])
@pytest.mark.parametrize("call", [cross_validation, stability], ids=lambda call: call.__name__)
def test_backends(problem, size, tally, backend, call):
    """The same of workers in other processes, which are there again for the next call."""
    moments = size(1, 10)
    if backend == "dask":
        distributed = pytest.importorskip("distributed")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        )
        client = distributed.Client(cluster)
    try:
        with parallel_config(backend, **({"n_jobs": 2} if backend == "loky" else {})):
            took = check_interrupts(call, problem, moments, np.random.default_rng(12))
    finally:
        if backend == "dask":
            client.close()
            cluster.close()
        else:
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(wait=True)
    tally(cases=moments, stopped=len(took), seconds=f"worst {max(took, default=0):.2f}")

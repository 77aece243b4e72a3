"""SIGINT and SIGTERM at random moments of long commands and calls: a prompt end, and no traces.

A busy machine makes everybody wait. So a plain loop of Python gets the same signal at the same
time, and what is tested gets half a second on top of some times what the loop took. A moment at
which some thread was within LAPACK is only counted. Who takes no notice of a signal, having done
everything but to end, must end in that time, too: else the signal was lost.
"""

import linecache
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
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

#: Seconds from a signal to the end, on top of so many times what the plain loop took.
PROMISED, TIMES = 0.5, 4
#: How often a moment is drawn anew, always earlier, because the run had ended before the signal.
ATTEMPTS = 8
CODES = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}
#: The command line; says when it is loaded, and shows where every thread is when SIGUSR1 comes.
PROGRAM = """
import faulthandler, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # what it is again when Python ends
from lmmlasso_fast.cli import program
faulthandler.register(signal.SIGUSR1, open(sys.argv.pop(1), "w"), all_threads=True)
os.write(2, b"begun\\n")
program()
"""
#: Loads what commands load, and does nothing worth mentioning, once told to, until a signal comes.
LOOP = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.default_int_handler)
exec(sys.argv[1])
os.write(1, b"begun\\n")
sys.stdin.readline()
os.write(1, b"begun\\n")
try:
    while True:
        sum(range(1000))
except KeyboardInterrupt:
    pass
"""
LOADED = "import numpy, polars, scipy.linalg, scipy.special, lmmlasso_fast.cli.execution"
#: Functions of numpy.linalg that call LAPACK once: that ends before Python looks for signals.
LAPACK = {"eigh", "cholesky", "qr", "inv", "svd"}


# ---- what half a second is worth -----------------------------------------------------------------


def is_lapack(file: str, line: int, function: str) -> bool:
    """Whether a frame of Python is at a call of LAPACK."""
    if "linalg" in Path(file).parts:
        return function in LAPACK
    return "table.tridiagonalise(" in linecache.getline(file, line)


class Loop:
    """The loop beside what is tested: `stop(number)` sends it a signal, `took()` waits for it."""

    def __init__(self, loaded: str):
        self._child = subprocess.Popen(
            [sys.executable, "-c", LOOP, loaded],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._child.stdout.readline()

    def begin(self):
        self._child.stdin.write(b"\n")
        self._child.stdin.flush()
        self._child.stdout.readline()

    def stop(self, number):
        self._start = time.monotonic()
        self._child.send_signal(number)
        self._ended = []
        self._waiting = threading.Thread(target=self._wait)
        self._waiting.start()

    def _wait(self):
        self._child.wait()
        self._ended.append(time.monotonic())

    def took(self) -> float:
        self._waiting.join(300)
        return self._ended[0] - self._start

    def close(self):
        self._child.kill()
        self._child.communicate()


@contextmanager
def loop(loaded: str = "") -> Iterator[Loop]:
    beside = Loop(loaded)
    try:
        yield beside
    finally:
        beside.close()


@dataclass
class Moments:
    """What became of the moments that were drawn: those at which a signal was sent, and others."""

    stopped: list = field(default_factory=list)
    #: A command was stopped before it began: its modules were being loaded.
    loading: list = field(default_factory=list)
    #: Everything was done but the end: the signal changed nothing.
    done: list = field(default_factory=list)
    #: It had ended before.
    too_late: list = field(default_factory=list)

    def check(self, full: bool) -> dict:
        """Figures; at full size each signal was answered as promised, or the end came as soon."""
        elsewhere = [found for found in self.stopped if not found.in_lapack]
        late = {
            "answered": [found for found in elsewhere if is_late(found)],
            "answered while it was loading": [found for found in self.loading if is_late(found)],
            "lost: it went on to its own end": [found for found in self.done if is_late(found)],
        }
        if full:
            assert not any(late.values()), "\n".join(
                f"{how}, {found.took:.2f} s, loop {found.loop:.2f} s:\n{found.where}"
                for how, some in late.items()
                for found in some
            )
        slow = [found for found in elsewhere if found.took > PROMISED]
        took = [found.took for found in self.stopped] or [np.nan]
        n_sent = len(self.stopped) + len(self.loading) + len(self.done)
        return {
            "moments": f"{n_sent + len(self.too_late)} drawn, {len(self.too_late)} after the end, "
            f"{len(self.loading)} while loading{worst(self.loading)}, "
            f"{len(self.done)} with all done{worst(self.done)}",
            "stopped": len(self.stopped),
            "seconds": f"median {statistics.median(took):.2f}, worst {max(took):.2f}",
            "half_a_second": f"{len(elsewhere) - len(slow)} of {len(elsewhere)} outside LAPACK, "
            f"{len(late['answered'])} not even with {TIMES} times the loop's, "
            f"{len(self.stopped) - len(elsewhere)} within it, load {os.getloadavg()[0]:.0f}",
        }


def is_late(found) -> bool:
    return found.took > PROMISED + TIMES * found.loop


def worst(some) -> str:
    return f" (worst {max(found.took for found in some):.2f} s)" if some else ""


# ---- commands ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fileset(tmp_path_factory, request):
    """Flags that name a simulated fileset, and its size."""
    full = request.config.getoption("--full")
    n, p = (600, 20_000) if full else (200, 4000)
    prefix = tmp_path_factory.mktemp("fileset") / "g"
    lmmlasso("simulate", "--n-samples", n, "--n-variants", p, "--seed", 3, "--out", prefix)
    inputs = ["--bfile", prefix, "--pheno", f"{prefix}.pheno.tsv"]
    return SimpleNamespace(inputs=inputs, n=n, p=p, n_tasks=16 if full else 12)


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


def wait_for_log(child, folder):
    """A run begins with its log; before, modules are loaded."""
    while child.poll() is None and not (folder / "P.log").exists():
        time.sleep(0.002)


def stop_at(moment, number, command, flags, folder, *, loaded):
    """Begin a command, send a signal if it has not ended; what it said, and how long it took.

    `moment` counts from the first line of its log if `loaded`, else from the first of Python.
    """
    with loop(LOADED) as beside:
        child, dump = begin(command, flags, folder, folder / "P")
        try:
            if loaded:
                wait_for_log(child, folder)
            time.sleep(0.9 * moment)
            beside.begin()
            time.sleep(0.1 * moment)
            child.send_signal(signal.SIGUSR1)
            beside.stop(number)
            start = time.monotonic()
            sent = child.poll() is None
            child.send_signal(number)
        finally:
            code, err = end(child)
        took = time.monotonic() - start
        where = dump.read_text()
        # where every thread was
        inside = re.findall(r'call first\):\n +File "(.*)", line (\d+) in (.*)', where)
        return SimpleNamespace(
            code=code,
            err=err,
            sent=sent,
            took=took,
            loop=beside.took(),
            in_lapack=any(is_lapack(file, int(line), name) for file, line, name in inside),
            where=where,
        )


def check_end(found, number, folder, whole) -> str:
    """What a signal leaves: the record, whole results, a checkpoint; returns which of `Moments`."""
    code, state = CODES[number]
    assert "Traceback" not in found.err, found.err
    left = {path.name for path in folder.iterdir()}
    assert not [name for name in left if name.startswith(".")], left
    if left <= {"P.log"}:  # the command had not begun
        assert found.code in (code, -number), found.err
        assert found.sent
        return "loading"
    assert run_json(folder / "P")["exit"]["code"] == found.code, found.err
    if found.code == 0:
        assert results(folder / "P") == whole
        return "done" if found.sent else "too_late"
    assert found.sent
    assert found.code == code, found.err
    assert f"error: {state}" in found.err
    assert run_json(folder / "P")["exit"]["state"] == state
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
    return "stopped"


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("command", ["fit", "cv", "stability", "scan", "run", "simulate"])
def test_commands(fileset, tmp_path, size, tally, command, n_threads):
    """Stopped anywhere, then resumed or done again: the bytes of an undisturbed run."""
    if size((command, n_threads) not in [("fit", 2), ("run", 2), ("simulate", 2)], False):
        pytest.skip("only at full size")
    moments = size(1, 10)
    flags = [*flags_of(command, fileset), "--threads", n_threads]
    folder = tmp_path / "out"
    folder.mkdir()
    start = time.monotonic()
    child, _ = begin(command, flags, folder, folder / "P")
    begun = time.monotonic()
    wait_for_log(child, folder)
    log_begun = time.monotonic()
    loading = log_begun - begun
    code, err = end(child)
    whole_duration = time.monotonic() - start
    duration = whole_duration - (log_begun - start)
    assert code == 0, err
    whole = results(folder / "P")
    resumes = command in ("cv", "stability", "run")
    rng = np.random.default_rng([7, n_threads])
    seen = Moments()

    def stop(wanted, number, attempt, most, *, loaded):
        """Stop one at a moment that is drawn; whether that is what is wanted."""
        shutil.rmtree(folder)
        folder.mkdir()
        moment = rng.uniform(0, 0.9 * 0.7**attempt) * most
        found = stop_at(moment, number, command, flags, folder, loaded=loaded)
        outcome = check_end(found, number, folder, whole)
        getattr(seen, outcome).append(found)
        return outcome == wanted

    for k in range(moments):
        number = (signal.SIGINT, signal.SIGTERM)[(k + n_threads) % 2]
        for attempt in range(ATTEMPTS):
            loaded = attempt > 0 or k % 5 < 4
            most = duration if loaded else whole_duration
            if stop("stopped", number, attempt, most, loaded=loaded):
                break
        if resumes or k % 5 == 0:
            child, _ = begin(command, [*flags, *["--resume"] * resumes], folder, folder / "P")
            code, err = end(child)
            assert code == 0, err
            assert results(folder / "P") == whole
    figures = seen.check(size(False, True))
    assert len(seen.stopped) == moments, figures
    for number in size((), CODES):  # few of the moments above are as early
        assert any(stop("loading", number, k, loading, loaded=False) for k in range(ATTEMPTS))
    tally(cases=moments, **seen.check(size(False, True)))


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
    """Call, with Ctrl-C after some seconds: how it was answered, None if it ended before."""
    found = SimpleNamespace(sent=None)
    main = threading.main_thread().ident

    def send():
        frames = sys._current_frames()
        frames.pop(threading.get_ident())
        places = [(x.f_code.co_filename, x.f_lineno, x.f_code.co_name) for x in frames.values()]
        found.where = sorted(name for _, _, name in places)
        found.in_lapack = any(is_lapack(*place) for place in places)
        beside.stop(signal.SIGINT)
        found.sent = time.monotonic()
        signal.pthread_kill(main, signal.SIGINT)

    with loop() as beside:
        beside.begin()
        timer = threading.Timer(moment, send)
        try:
            timer.start()
            call(o)
            ended = time.monotonic()
            timer.cancel()
            timer.join()
            time.sleep(0)  # one that came after the call is raised here at the latest
        except KeyboardInterrupt:
            found.took = time.monotonic() - found.sent
            timer.join()
            found.loop = beside.took()
            return found
    # of a call nothing is over but with its end: until then no signal may have no effect
    assert found.sent is None, (
        f"Ctrl-C {moment:.3f} s after the beginning was lost: the call went on for "
        f"{ended - found.sent:.3f} s, to its end; at that moment: {found.where}"
    )
    return None


def blas_threads():
    return {x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas"}


def check_interrupts(call, o, moments, rng):
    """Interrupt a call at random moments; returns what became of them."""
    before, expected = blas_threads(), call(o)
    start = time.monotonic()
    assert call(o) == expected
    duration = time.monotonic() - start
    seen = Moments()
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for _ in range(moments):
            for attempt in range(ATTEMPTS):
                answer = interrupted(call, o, rng.uniform(0, 0.9 * 0.7**attempt * duration))
                assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
                if answer is not None:
                    seen.stopped.append(answer)
                    break
                seen.too_late.append(None)
            assert call(o) == expected
            assert not threads._regions
            assert blas_threads() == before
    finally:
        signal.signal(signal.SIGINT, handler)
    assert len(seen.stopped) == moments, seen
    return seen


CALLS = [null_model, path, cross_validation, stability, scan, estimator]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_calls(problem, size, tally, call):
    """KeyboardInterrupt leaves objects that can be used, and the next call gives the same bits."""
    moments = size(3, 25)
    seen = check_interrupts(call, problem, moments, np.random.default_rng(11))
    tally(cases=moments, **seen.check(size(False, True)))


@pytest.mark.parametrize("backend", ["loky", "dask"])
@pytest.mark.parametrize("call", [cross_validation, stability], ids=lambda call: call.__name__)
def test_backends(problem, size, tally, backend, call):
    """The same of workers in other processes, which are there again for the next call."""
    moments = size(1, 5)
    if backend == "dask":
        distributed = pytest.importorskip("distributed")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        )
        client = distributed.Client(cluster)
    try:
        with parallel_config(backend, **({"n_jobs": 2} if backend == "loky" else {})):
            seen = check_interrupts(call, problem, moments, np.random.default_rng(12))
    finally:
        if backend == "dask":
            client.close()
            cluster.close()
        else:
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(wait=True)
    tally(cases=moments, **seen.check(size(False, True)))

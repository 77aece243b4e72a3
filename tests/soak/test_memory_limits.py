"""Limits on the address space (ulimit -v): the right result or a named error, nothing between.

Commands meet them from their beginning, and in the midst of their work alone; so do the stages of
the library. There malloc maps every array by itself (`EXACT`): else it takes those of small
problems from what it has mapped before, and no limit is ever met.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from tempfile import TemporaryFile

import numpy as np
import pytest
from cli_files import lmmlasso, results, run_json

pytestmark = [
    pytest.mark.promise("hostile"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS and /proc"),
]

#: Loads what commands and stages load: modules that Python can only read in part are errors of
#: syntax to it. `limit` limits the process to what it has then, and so many bytes.
LOAD = """
import importlib, resource, sys
from contextlib import contextmanager
from pathlib import Path
import joblib, numpy as np, polars, scipy.linalg.cython_lapack, scipy.sparse, scipy.special
import lmmlasso_fast as ll
def limit(extra):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, hard))
def lift():
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
polars.DataFrame({"a": [1, 2]}).filter(polars.col("a") > 1)  # its threads
extra = int(sys.argv.pop(1))
"""
#: A command under a limit from its beginning.
PROGRAM = (
    LOAD
    + """
from lmmlasso_fast.cli import main
importlib.import_module(f"lmmlasso_fast.cli.{sys.argv[1]}")
limit(extra)
main(prog_name="lmmlasso")
"""
)
#: A command under a limit during one part of its work: neither while it begins, which needs more
#: than most work (`_require_room`), nor while Polars reads and writes tables.
WITHIN = (
    LOAD
    + """
from lmmlasso_fast.cli import main
from lmmlasso_fast.cli.recording import Run
for name in ll.__all__:
    getattr(ll, name)
within, timed = sys.argv.pop(1), Run.stage
@contextmanager
def stage(self, name):
    with timed(self, name):
        try:
            if name == within:
                limit(extra)
            yield
        except BaseException as error:
            lift()
            print("within", name, type(error).__name__, file=sys.stderr)
            raise
        finally:
            lift()
Run.stage = stage
main(prog_name="lmmlasso")
"""
)
#: Has glibc ask the system for every array of 4 kB, and give it back: there is nothing else to be
#: had. One arena: each has 64 MB of addresses of its own.
EXACT = {"MALLOC_MMAP_THRESHOLD_": "4096", "MALLOC_TOP_PAD_": "0", "MALLOC_TRIM_THRESHOLD_": "0"}
EXACT |= {"MALLOC_ARENA_MAX": "1"}
#: Bytes that are enough for everything; between the others lies what the work needs.
PLENTY, MUCH, LITTLE = 1 << 31, 1 << 28, 1 << 14
#: Bytes below which Polars, which has tables of ids, may end the process.
POLARS_NEEDS = 1 << 25
#: Bytes of addresses below which its threads may also wait for each other for ever; with less than
#: twice that no command begins.
POLARS_THREADS_NEED = 1 << 28
#: A thread that Polars cannot start: the place in its source or Rust's, and the reason.
PANIC = re.compile(
    r"thread '.*' (?:\(\d+\) )?panicked at \S*(?:polars|rayon|library/std/src/thread)\S*\.rs:\S*\n"
    r".*(?:Resource temporarily unavailable|Cannot allocate memory|spawn)",
)
#: How Python shows it.
PANIC_RAISED = re.compile(r"^error: internal error: PanicException\(", re.MULTILINE)
#: Memory that Rust does not get: it has no other answer than the end of the process.
ABORT = re.compile(r"memory allocation of \d+ bytes failed")
#: What the allocator of Polars says again and again.
JEMALLOC = "<jemalloc>: background thread creation failed"
#: Bytes and seconds after which a process is stopped.
MOST, SECONDS = 1 << 20, 300
FLAGS = {
    "kinship": [],
    "null": [],
    "fit": ["--n-alphas", "30"],
    "scan": ["--exact"],
    "cv": ["--n-alphas", "20", "--folds", "3"],
    "stability": ["--replicates", "4", "--n-active", "5"],
}
#: The part of each command's work that meets a limit.
PARTS = {
    "kinship": "kinship",
    "null": "null model",
    "fit": "path",
    "scan": "scan",
    "cv": "folds",
    "stability": "replicates",
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("fileset") / "g"
    lmmlasso("simulate", "--n-samples", 500, "--n-variants", 3000, "--seed", 1, "--out", prefix)
    return ["--bfile", prefix], ["--pheno", f"{prefix}.pheno.tsv"]


@dataclass(frozen=True)
class Ended:
    """How a process ended: the exit code (None: it was stopped, saying too much), what it said."""

    code: int | None
    out: str
    err: str


def run(program, *arguments, **variables) -> Ended:
    """Run a program, until it has said MOST bytes: Polars may say one line for ever."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with TemporaryFile() as out, TemporaryFile() as err:
        environment = os.environ | variables
        with subprocess.Popen(command, stdout=out, stderr=err, env=environment) as child:
            try:
                end, length = time.monotonic() + SECONDS, 0
                while child.poll() is None and length < MOST:
                    assert time.monotonic() < end, (arguments, content(err)[-1500:])
                    time.sleep(0.02)
                    length = sum(os.fstat(file.fileno()).st_size for file in (out, err))
            finally:
                child.kill()  # if it has not ended
        return Ended(child.returncode if length < MOST else None, content(out), content(err))


def content(file) -> str:
    file.seek(0)
    return file.read(MOST).decode(errors="replace")


def around_the_need(n, works):
    """Call `works(bytes)` with `PLENTY`, which must, and n limits that get near to what is needed.

    A third of them halves the distance on a logarithmic scale, the others are equal parts of what
    was too little in the end: each has another array be the one there is no memory for.
    """
    assert works(PLENTY)
    low, high = LITTLE, MUCH
    n_halved = max(1, n // 3)
    for _ in range(n_halved):
        between = int((low * high) ** 0.5)
        if works(between):
            high = between
        else:
            low = between
    for extra in np.linspace(low, 0, n - n_halved + 2)[1:-1].astype(int):
        works(extra)


@pytest.mark.parametrize("command", FLAGS)
def test_limits(inputs, tmp_path, size, tally, command):
    n = size(2, 25)
    if size(command not in ("fit", "stability"), False):
        pytest.skip("only at full size")
    genotypes, phenotype = inputs
    flags = [*genotypes, *(phenotype if command != "kinship" else []), *FLAGS[command]]
    whole = None
    seen = Counter()
    # from the most to the least: the first one must work
    for extra in np.geomspace(1 << 31, 1 << 25, n + 1).astype(int):
        out = tmp_path / f"{extra}"
        found = run(PROGRAM, extra, command, *flags, "--threads", 2, "--out", out)
        said = (extra, found.code, found.err[-3000:])
        if whole is None:
            assert found.code == 0, said
            whole = results(out)
        seen[found.code] += 1
        if extra < 2 * POLARS_THREADS_NEED:
            assert "expected 512 MB of address space to begin with" in found.err, said
        if found.code == 0:
            assert results(out) == whole, said
            continue
        assert {suffix for suffix in results(out) if "checkpoint" not in suffix} == set()
        assert "OpenBLAS error" not in found.err, said
        if found.code == -signal.SIGABRT:  # Polars reads tables
            assert ABORT.search(found.err), said
        elif PANIC_RAISED.search(found.err):
            assert found.code == 70, said
            assert PANIC.search(found.err), said
        else:
            assert found.code == 70, said
            assert "Traceback" not in found.err, said
            said_so = ("error: out of memory", "no memory is left to write it")
            assert any(x in found.err for x in said_so), said
    tally(cases=n + 1, worked=seen[0], refused=seen[70], ended_by_polars=seen[-signal.SIGABRT])


@pytest.mark.parametrize("megabytes", [300, 1000])
def test_a_command_begins_with_enough_or_not_at_all(inputs, tmp_path, megabytes):
    """Before Polars is loaded it is told what that will take."""
    command = [sys.executable, "-c", "from lmmlasso_fast.cli import program; program()"]
    command += ["null", *inputs[0], *inputs[1], "--out", tmp_path / "P"]
    limited = f'ulimit -v {megabytes}000; exec "$@"'
    for max_threads, least in (("1", 1152), ("4", 1536)):
        done = subprocess.run(
            ["sh", "-c", limited, "sh", *map(str, command)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=os.environ | {"POLARS_MAX_THREADS": max_threads},
        )
        assert done.returncode == 70, done.stderr[-1500:]
        assert f"out of memory: expected {least} MB of address space" in done.stderr
        assert run_json(tmp_path / "P")["exit"]["code"] == 70


def test_a_program_that_says_too_much_is_stopped():
    found = run("while True: print('x' * 99)")
    assert (found.code, found.out[:101], len(found.out)) == (None, "x" * 99 + "\nx", MOST)


def test_what_is_excused_is_of_polars():
    said = (
        "thread '<unnamed>' (4611) panicked at crates/polars-async/src/executor/mod.rs:372:22:\n"
        'called `Result::unwrap()` on an `Err` value: Os { code: 11, kind: WouldBlock, message: "'
        'Resource temporarily unavailable" }\n'
        "error: internal error: PanicException('called `Result::unwrap()` on an `Err` value')\n"
    )
    assert PANIC.search(said)
    assert PANIC_RAISED.search(said)
    for text in (
        "OSError: cannot spawn a process\n",
        said.replace("crates/polars-async/", ""),
        said.replace("Resource temporarily unavailable", "index out of bounds"),
    ):
        assert not PANIC.search(text)


@pytest.mark.parametrize("command", PARTS)
def test_memory_runs_out_within_the_work(inputs, tmp_path, size, tally, command):
    """The error is out of memory, nothing but a checkpoint is left, and the next run goes well."""
    if size(command not in ("fit", "stability"), False):
        pytest.skip("only at full size")
    genotypes, phenotype = inputs
    flags = [*genotypes, *(phenotype if command != "kinship" else []), *FLAGS[command]]
    flags += ["--threads", 2]
    resume = ["--resume"] if command in ("cv", "stability") else []
    seen, whole = Counter(), {}

    def works(extra):
        out = tmp_path / f"{seen.total()}"
        found = run(WITHIN, extra, PARTS[command], command, *flags, "--out", out, **EXACT)
        said = (extra, found.code, found.err[-3000:])
        seen[found.code] += 1
        if found.code == 0:
            whole[True] = whole.get(True) or results(out)
            assert results(out) == whole[True], said
            return True
        assert found.code == 70, said
        assert f"within {PARTS[command]} " in found.err, said
        assert "error: out of memory" in found.err, said
        assert "Traceback" not in found.err, said
        assert run_json(out)["exit"]["state"].startswith("out of memory"), said
        assert {suffix for suffix in results(out) if "checkpoint" not in suffix} == set()
        lmmlasso(command, *flags, *resume, "--out", out)
        assert results(out) == whole[True], said
        return False

    around_the_need(size(2, 6), works)
    assert seen[70], "no limit was met"
    tally(cases=sum(seen.values()), worked=seen[0], refused=seen[70])


#: One stage under the limit, and once more without, if it was refused: with the same objects.
STAGES = (
    LOAD
    + """
import hashlib
for name in ll.__all__:
    getattr(ll, name)
stage, prefix = sys.argv[1:]
genotypes = ll.read_plink(prefix)
y = np.random.default_rng(0).standard_normal(genotypes.n_samples)
K = ll.kinship(genotypes) if stage in ("null", "path", "scan", "exact") else None
null = ll.fit_null(y, K) if stage in ("path", "scan", "exact") else None
if stage == "null":
    K = ll.Kinship.from_matrix(K.matrix)
def subset():
    part = genotypes.subset(np.arange(0, genotypes.n_samples, 2))
    return part.mean, part.columns(np.arange(0, part.n_variants, 9))
def of_null():
    found = ll.fit_null(y, K)
    return found.profile.nll, found.log_delta
def path():
    found = ll.lasso_path(genotypes, y, null, n_alphas=30, n_threads=2)
    return found.coefs.indices, found.coefs.data, found.intercepts, found.dual_gaps
def scan(exact):
    found = ll.association_scan(genotypes, y, null, exact=exact, n_threads=2)
    return found.beta, found.se, found.log10p, found.log_delta
def cross_validation():
    found = ll.cross_validate(genotypes, y, n_folds=3, n_alphas=20, n_jobs=2)
    return found.predictions, found.fold_scores, found.log_delta
def stability():
    found = ll.stability_selection(genotypes, y, n_active=5, n_replicates=4, n_jobs=2)
    return found.counts, found.log_delta, found.last_alpha
calls = {
    "subset": subset,
    "kinship": lambda: [ll.kinship(genotypes, n_threads=2).matrix],
    "null": of_null,
    "path": path,
    "scan": lambda: scan(False),
    "exact": lambda: scan(True),
    "cv": cross_validation,
    "stability": stability,
}
def digest(arrays):
    return hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in arrays)).hexdigest()
limit(extra)
try:
    found = calls[stage]()
except MemoryError as error:
    lift()
    print("refused", error)
    found = calls[stage]()
lift()
print("worked", digest(found))
"""
)


@pytest.mark.parametrize(
    "stage", ["subset", "kinship", "null", "path", "scan", "exact", "cv", "stability"]
)
def test_stages(inputs, size, tally, stage):
    """MemoryError, or the same bits; nobody crashes but Polars, with less than it needs itself.

    After MemoryError the same objects give the same bits, once there is memory.
    """
    if size(stage not in ("kinship", "cv"), False):
        pytest.skip("only at full size")
    prefix = inputs[0][1]
    seen, said_first = Counter(), []

    def works(extra):
        found = run(STAGES, extra, stage, prefix, **EXACT)
        said = (extra, found.code, found.out[-500:], found.err[-1500:])
        if found.code == -signal.SIGABRT:
            assert extra < POLARS_NEEDS, said
            assert ABORT.search(found.err), said
            seen["ended"] += 1
            return False
        if found.code is None:
            assert extra < POLARS_THREADS_NEED, said
            assert found.err.count(JEMALLOC) > 10_000, said
            seen["ended"] += 1
            return False
        assert found.code == 0, said
        lines = found.out.splitlines()
        said_first.append(lines[-1])
        assert lines[-1] == said_first[0], said
        refused = lines[0].startswith("refused")
        seen["refused" if refused else "worked"] += 1
        return not refused

    around_the_need(size(3, 15), works)
    assert seen["refused"], "no limit was met"
    tally(
        cases=sum(seen.values()),
        worked=seen["worked"],
        refused=seen["refused"],
        ended_by_polars=seen["ended"],
    )

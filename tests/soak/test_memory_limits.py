"""Limits on the address space (ulimit -v): the right result or a named error, nothing between."""

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

#: Limits itself to what it has once it is loaded, and so many bytes.
PROGRAM = """
import importlib, resource, sys
from pathlib import Path
import numpy, polars, scipy.linalg.cython_lapack, scipy.sparse, scipy.special
from lmmlasso_fast.cli import main
extra, command = int(sys.argv.pop(1)), sys.argv[1]
importlib.import_module(f"lmmlasso_fast.cli.{command}")
polars.DataFrame({"a": [1, 2]}).filter(polars.col("a") > 1)  # its threads
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + extra
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
main(prog_name="lmmlasso")
"""
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


def run(program, *arguments) -> Ended:
    """Run a program, until it has said MOST bytes: Polars may say one line for ever."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with TemporaryFile() as out, TemporaryFile() as err:
        with subprocess.Popen(command, stdout=out, stderr=err) as child:
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


#: One stage under the limit, with all libraries loaded and their first memory taken.
STAGES = """
import hashlib, resource, sys
from pathlib import Path
import numpy as np
import lmmlasso_fast as ll
import scipy.linalg.cython_lapack, scipy.sparse, scipy.special
for name in ll.__all__:  # modules that Python can only read in part are errors of syntax to it
    getattr(ll, name)
stage, extra, prefix = sys.argv[1], int(sys.argv[2]), sys.argv[3]
genotypes = ll.read_plink(prefix)
y = np.random.default_rng(0).standard_normal(genotypes.n_samples)
K = ll.kinship(genotypes) if stage in ("null", "path", "scan", "exact") else None
null = ll.fit_null(y, K) if stage in ("path", "scan", "exact") else None
if stage == "null":
    K = ll.Kinship.from_matrix(K.matrix)
calls = {
    "subset": lambda: genotypes.subset(np.arange(0, genotypes.n_samples, 2)).mean,
    "kinship": lambda: ll.kinship(genotypes, n_threads=2).matrix,
    "null": lambda: ll.fit_null(y, K).profile.nll,
    "path": lambda: ll.lasso_path(genotypes, y, null, n_alphas=30, n_threads=2).dual_gaps,
    "scan": lambda: ll.association_scan(genotypes, y, null, n_threads=2).beta,
    "exact": lambda: ll.association_scan(genotypes, y, null, exact=True, n_threads=2).beta,
    "cv": lambda: ll.cross_validate(genotypes, y, n_folds=3, n_alphas=20, n_jobs=2).predictions,
    "stability": lambda: ll.stability_selection(
        genotypes, y, n_active=5, n_replicates=4, n_jobs=2
    ).counts,
}
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + extra
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    found = calls[stage]()
except MemoryError as error:
    print("refused", error)
else:
    print("worked", hashlib.sha256(np.ascontiguousarray(found).tobytes()).hexdigest())
"""


@pytest.mark.parametrize(
    "stage", ["subset", "kinship", "null", "path", "scan", "exact", "cv", "stability"]
)
def test_stages(inputs, size, tally, stage):
    """MemoryError, or the same bits; nobody crashes but Polars, with less than it needs itself."""
    n = size(1, 25)
    if size(stage not in ("kinship", "cv"), False):
        pytest.skip("only at full size")
    prefix = inputs[0][1]
    seen, whole = Counter(), None
    for extra in [1 << 31, *np.geomspace(1 << 28, 1 << 14, n + 2).astype(int)[1:-1]]:
        found = run(STAGES, stage, extra, prefix)
        said = (extra, found.code, found.out[-500:], found.err[-1500:])
        if found.code == -signal.SIGABRT:
            assert extra < POLARS_NEEDS, said
            assert ABORT.search(found.err), said
            seen["ended"] += 1
            continue
        if found.code is None:
            assert extra < POLARS_THREADS_NEED, said
            assert found.err.count(JEMALLOC) > 10_000, said
            seen["ended"] += 1
            continue
        assert found.code == 0, said
        last = found.out.splitlines()[-1]
        outcome = last.split()[0]
        if whole is None:
            whole = last
        assert outcome == "refused" or last == whole, said
        seen[outcome] += 1
    assert seen["worked"]
    tally(
        cases=n + 1, worked=seen["worked"], refused=seen["refused"], ended_by_polars=seen["ended"]
    )

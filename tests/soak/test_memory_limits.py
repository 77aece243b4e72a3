"""Limits on the address space (ulimit -v): the right result or a named error, nothing between."""

import re
import signal
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from cli_files import lmmlasso, results

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
#: Bytes of addresses below which its threads may also wait for each other for ever.
POLARS_THREADS_NEED = 1 << 28
#: A thread that Polars cannot start, or a panic of its own for want of memory.
POLARS = re.compile("PanicException|spawn")
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


def run(command, extra, flags, out):
    arguments = [extra, command, *flags, "--threads", 2, "--out", out]
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )


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
    for extra in np.geomspace(1 << 31, POLARS_THREADS_NEED, n + 1).astype(int):
        out = tmp_path / f"{extra}"
        found = run(command, extra, flags, out)
        said = (extra, found.returncode, found.stderr)
        if whole is None:
            assert found.returncode == 0, said
            whole = results(out)
        seen[found.returncode] += 1
        if found.returncode == 0:
            assert results(out) == whole, said
            continue
        assert {suffix for suffix in results(out) if "checkpoint" not in suffix} == set()
        assert "OpenBLAS error" not in found.stderr, said
        if found.returncode == -signal.SIGABRT:  # Rust has no other answer: Polars reads tables
            assert "memory allocation of" in found.stderr, said
        else:
            assert found.returncode == 70, said
            assert POLARS.search(found.stderr) or "Traceback" not in found.stderr, said
            said_so = ("error: out of memory: ", "no memory is left to write it")
            assert POLARS.search(found.stderr) or any(x in found.stderr for x in said_so), said
    tally(cases=n + 1, worked=seen[0], refused=seen[70], ended_by_polars=seen[-signal.SIGABRT])


#: One stage under the limit, with all libraries loaded and their first memory taken.
STAGES = """
import hashlib, resource, sys
from pathlib import Path
import numpy as np
import lmmlasso_fast as ll
import scipy.linalg.cython_lapack, scipy.sparse, scipy.special
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
        found = subprocess.run(
            [sys.executable, "-c", STAGES, stage, str(extra), str(prefix)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        said = (extra, found.returncode, found.stdout[-500:], found.stderr[-1500:])
        if found.returncode == -signal.SIGABRT:
            assert extra < POLARS_NEEDS, said
            assert "memory allocation of" in found.stderr, said
            seen["ended"] += 1
            continue
        assert found.returncode == 0, said
        outcome = found.stdout.splitlines()[-1].split()[0]
        if whole is None:
            whole = found.stdout.splitlines()[-1]
        assert outcome == "refused" or found.stdout.splitlines()[-1] == whole, said
        seen[outcome] += 1
    assert seen["worked"]
    tally(
        cases=n + 1, worked=seen["worked"], refused=seen["refused"], ended_by_polars=seen["ended"]
    )

"""What the compiled module refuses: every check of src/_core.pyx, and the codes of the C core.

Users never meet these: the Python modules check first. They are what stands between a mistake in
those modules and memory that belongs to somebody else.
"""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lmmlasso_fast import _core
from lmmlasso_fast.errors import LMMLassoError
from lmmlasso_fast.lapack import lapack

pytestmark = pytest.mark.promise("any-bytes")

SOURCE = Path(__file__).resolve().parents[2] / "src" / "_core.pyx"
# Sizes that differ, so that none stands in for another: samples of the file, samples of the
# analysis, SNPs, SNPs chosen of them, vectors.
N, M, P, K, V = 9, 7, 5, 3, 2


def f64(*shape):
    return np.zeros(shape)


def i64(*shape):
    return np.zeros(shape, np.int64)


def u8(*shape):
    return np.zeros(shape, np.uint8)


LIMBS = _core.limbs(np.ones(M), np.arange(M), N, _core.SCREENING)
GENOTYPES = {"data": u8(P, 3), "n_samples": N}
STANDARDISED = {"mean": f64(P), "inverse_sd": f64(P)}
CHOSEN = {"variants": i64(K), "mean": f64(K), "inverse_sd": f64(K), "index": np.arange(M)}
MASK = {"mask": _core.mask(np.arange(M), N)}
WIDE, NARROW = np.empty((P, N + 1), np.uint8), np.empty((P, N - 1), np.uint8)


def vectors_of(n):
    return {"vectors": [LIMBS] * n, "out": f64(n, P)}


# Well-formed arguments of every function that checks some.
WELL_FORMED = {
    "select_kernels": {"name": _core.kernels_name()},
    "limbs": {"v": np.ones(M), "index": np.arange(M), "n_samples": N}
    | {"n_limbs": _core.SCREENING},
    "gradient": GENOTYPES
    | STANDARDISED
    | {"n_missing": np.zeros(P, np.int32), "start": 0, "stop": P}
    | vectors_of(V),
    "counts": GENOTYPES | MASK | {"start": 1, "out": np.zeros((K, 4), np.int32)},
    "compress": GENOTYPES | MASK | {"out": u8(P, 2)},
    "hashes": GENOTYPES | MASK,
    "duplicates": GENOTYPES | MASK | {"rows": np.arange(K), "hash": np.zeros(K, np.uint64)},
    "sample_missing": GENOTYPES | {"use_variant": u8(P)},
    "decode": GENOTYPES | CHOSEN | {"out": f64(K, M)},
    "decode_codes": GENOTYPES | {"variants": i64(K), "index": np.arange(M), "out": u8(K, M)},
    "dosage_sums": {"data": u8(P, N), "index": np.arange(M), "start": 1, "out": i64(K, 5)},
    "dosage_gradient": STANDARDISED
    | {"data": u8(P, N), "index": np.arange(M), "v": f64(V, M)}
    | {"start": 0, "stop": P, "out": f64(V, P)},
    "dosage_decode": CHOSEN | {"data": u8(P, N), "out": f64(K, M)},
    "dosage_duplicates": {"data": u8(P, N), "index": None, "rows": np.arange(K)}
    | {"hash": np.zeros(K, np.uint64)},
    "dosage_missing": {"data": u8(P, N), "use_variant": u8(P)},
    "square_subset": {"A": f64(N, N), "index": np.arange(M), "divisor": 1.0},
    "project_off": {"Q": f64(V, N), "X": f64(K, N), "share": 0.5},
    "grow_gram": {"gram": f64(P + 1, P + 2), "old": P - K, "cross": f64(K, P), "zero": u8(K)},
    "add_rounded": {"part": np.zeros((K, N), np.float32), "grid": 0.5, "total": f64(K, N)},
    "largest_scores": {"gradients": f64(V, P), "factor": np.ones(P), "skip": u8(P)},
    "scores_above": {"gradient": f64(P), "slope": f64(P), "change": 0.5, "factor": np.ones(P)}
    | {"skip": u8(P), "threshold": 1.0},
    "GramSolver.solve": {"gram": np.eye(K), "c": f64(K), "Z": f64(K, N), "weight": np.ones(K)}
    | {"l1": 1.0, "l2": 0.0, "alpha": np.ones(V), "cd_tol": np.full(V, 1e-6), "before": 0.0}
    | {"scale": 1.0, "v": f64(N), "beta": f64(K)},
    "residual_descent": {"X": f64(K, N), "Z": f64(K, N), "norms": np.ones(K)}
    | {"threshold": np.ones(K), "ridge": f64(K), "scale": 1.0, "beta": f64(K), "v": f64(N)}
    | {"cd_tol": 1e-6, "max_sweeps": 10},
    "reml_scan": {"s": np.ones(M), "y": np.ones(M), "log_delta": np.array([-1.0, 0.0, 1.0])}
    | {"of_y": np.ones((3, 4)), "Z": np.ones((K, M)), "xx": np.ones((K, 6))}
    | {"xy": np.ones((K, 6))},
    "Lapack.tridiagonalise": {"A": np.eye(N), "d": f64(N), "e": f64(N - 1), "tau": f64(N - 1)},
    "Lapack.cholesky": {"A": np.eye(N), "start": 1},
    "Lapack.solve": {"L": np.eye(N), "V": f64(V, N), "T": f64(V, V), "X": f64(K, N)},
    "symmetric_difference": {"A": np.eye(N), "V": f64(V, N), "Y": f64(V, N), "delta": 1.0},
    "tridiagonal_rotate": {"reflectors": np.eye(N), "tau": f64(N - 1), "B": f64(K, N)},
    "tridiagonal_is_positive": {"d": np.ones(N), "e": f64(N - 1), "shift": 0.0},
    "tridiagonal_profile": {"d": np.ones(N), "e": f64(N - 1), "rows": np.ones((1 + V, N))}
    | {"deltas": np.ones(K)},
}

PACKED = "packed rows do not have (n_samples + 3) / 4 bytes"
A_ROW_A_SNP = "out must have one row per SNP and one column per sample"
A_MEAN_A_ROW = "mean and inverse_sd must have one entry per row of out"
COLUMNS = "out, mean and inverse_sd must have one column per SNP"
WORKING_SET = "an array is shorter than the working set"
REML = "expected s and y (m > 1), rows of m, tables of 4 and of 2 n_grid columns"
REDUCED = "expected A (n x n), d (n), e and tau (n - 1), n > 0"
FACTOR = "expected L (n x n), V (c x n), T (c x c), rows of n and c < n"
PROFILE = "expected d (n), e (n - 1), n > 0, and a row or more of n"

# Function, message, and the changes to its well-formed arguments of which each is refused: there
# is one for every comparison of the check.
REFUSED = [
    ("select_kernels", "LMMLASSO_FAST_ISA: expected one of ", [{"name": "sse9"}, {"name": ""}]),
    *(
        (name, PACKED, [{"n_samples": 8}, {"n_samples": 13}, {"data": u8(P, 0)}])
        for name in WELL_FORMED
        if "n_samples" in WELL_FORMED[name] and "data" in WELL_FORMED[name]
    ),
    (
        "gradient",
        "out must have one row per vector, of which there may be MAX_VECTORS",
        [{"out": f64(V + 1, P)}, {"out": f64(V - 1, P)}, vectors_of(_core.MAX_VECTORS + 1)],
    ),
    (
        "gradient",
        "out must have one column per SNP",
        [{"start": -1}, {"start": 3, "stop": 2}, {"stop": P + 1}, {"out": f64(V, P + 1)}],
    ),
    (
        "gradient",
        "mean, inverse_sd and n_missing must have one entry per SNP",
        [{"mean": f64(P - 1)}, {"inverse_sd": f64(P + 1)}, {"n_missing": np.zeros(1, np.int32)}],
    ),
    (
        "gradient",
        "vectors must be of as many samples as data",
        [{"vectors": [_core.limbs(np.ones(M), np.arange(M), 500, _core.SCREENING)] * V}],
    ),
    (
        "limbs",
        "v must have one number per analysed sample",
        [{"v": f64(M + 1)}, {"index": np.arange(M - 1)}],
    ),
    (
        "compress",
        "out must have one row per SNP, mask a bit pair per sample",
        [{"out": u8(P - 1, 2)}, {"out": u8(P + 1, 2)}, {"mask": u8(2)}],
    ),
    ("duplicates", "rows and hash must have one length", [{"rows": i64(K + 1)}]),
    ("decode", A_ROW_A_SNP, [{"out": f64(K + 1, M)}, {"out": np.zeros((K, M - 1), np.float32)}]),
    ("decode", A_MEAN_A_ROW, [{"mean": f64(K - 1)}, {"inverse_sd": f64(K - 1)}]),
    ("decode_codes", A_ROW_A_SNP, [{"out": u8(K + 1, M)}, {"out": u8(K, M + 1)}]),
    ("dosage_sums", "out must have five columns", [{"out": i64(K, 4)}, {"out": i64(0, 6)}]),
    (
        "dosage_gradient",
        "v must have one row per row of out and one column per sample",
        [{"v": f64(V, N)}, {"index": None}, {"out": f64(V + 1, P)}],
    ),
    (
        "dosage_gradient",
        COLUMNS,
        [
            {"start": -1},
            {"start": 3, "stop": 2},
            {"stop": P + 1},
            {"out": f64(V, P + 1)},
            {"mean": f64(P - 1)},
            {"inverse_sd": f64(P - 1)},
        ],
    ),
    (
        "dosage_decode",
        A_ROW_A_SNP,
        [{"out": f64(K - 1, M)}, {"out": np.zeros((K, N), np.float32)}, {"index": None}],
    ),
    ("dosage_decode", A_MEAN_A_ROW, [{"mean": f64(K - 1)}, {"inverse_sd": f64(K + 1)}]),
    ("dosage_duplicates", "rows and hash must have one length", [{"rows": i64(K - 1)}]),
    ("dosage_missing", "use_variant must have one entry per SNP", [{"use_variant": u8(P - 1)}]),
    ("square_subset", "expected a square matrix", [{"A": f64(N, M)}]),
    ("project_off", "expected rows of one length", [{"Q": f64(V, M)}, {"X": f64(K, M)}]),
    (
        "grow_gram",
        "expected one row of cross per new SNP, and room for them in gram",
        [
            {"old": -1, "cross": f64(P + 1, P), "zero": u8(P + 1)},
            {"old": P + 1},
            {"old": P - K + 1},
            {"zero": u8(K + 1)},
            {"gram": f64(P - 1, P)},
            {"gram": f64(P, P - 1)},
        ],
    ),
    (
        "add_rounded",
        "part and total must have one shape",
        [{"total": f64(K + 1, N)}, {"total": f64(K, N - 1)}, {"total": f64(N, K)}],
    ),
    (
        "largest_scores",
        "all arrays must have one number per SNP",
        [{"skip": u8(P - 1)}, {"factor": np.ones(P + 1)}],
    ),
    (
        "scores_above",
        "all arrays must have one length",
        [{"slope": f64(P - 1)}, {"factor": np.ones(P + 1)}, {"skip": u8(0)}],
    ),
    (
        "GramSolver.solve",
        WORKING_SET,
        [
            {"gram": f64(K - 1, K)},
            {"gram": f64(K, K - 1)},
            {"c": f64(K - 1)},
            {"weight": f64(K - 1)},
            {"Z": f64(K - 1, N)},
            {"beta": f64(K + 1)},
        ],
    ),
    (
        "GramSolver.solve",
        "expected a tolerance for every alpha, and rows of Z as long as v",
        [{"cd_tol": f64(V + 1)}, {"alpha": f64(V - 1)}, {"Z": f64(K, N - 1)}],
    ),
    (
        "residual_descent",
        WORKING_SET,
        [
            {"X": f64(K - 1, N)},
            {"Z": f64(K - 1, N)},
            {"X": f64(K, N - 1)},
            {"Z": f64(K, N + 1)},
            {"norms": f64(K - 1)},
            {"threshold": f64(K - 1)},
        ],
    ),
    ("residual_descent", "ridge is shorter than the working set", [{"ridge": f64(K - 1)}]),
    (
        "reml_scan",
        REML,
        [
            {"s": np.ones(M + 1)},
            {"y": np.ones(M + 1)},
            {"Z": np.ones((K, M - 1))},
            {"of_y": np.ones((2, 4))},
            {"of_y": np.ones((3, 5))},
            {"xx": np.ones((K + 1, 6))},
            {"xy": np.ones((K + 1, 6))},
            {"xx": np.ones((K, 5))},
            {"xy": np.ones((K, 7))},
            {"s": np.ones(1), "y": np.ones(1), "Z": np.ones((K, 1))},
            {"log_delta": f64(1), "of_y": f64(1, 4), "xx": f64(K, 2), "xy": f64(K, 2)},
        ],
    ),
    (
        "Lapack.tridiagonalise",
        REDUCED,
        [
            {"A": f64(0, 0), "d": f64(0)},
            {"A": f64(N, N + 1)},
            {"d": f64(N - 1)},
            {"e": f64(N)},
            {"tau": f64(N)},
        ],
    ),
    (
        "Lapack.cholesky",
        "expected A (n x n) and a block of at least one row",
        [{"A": f64(N, N - 1)}, {"start": -1}, {"start": N}, {"A": f64(0, 0), "start": 0}],
    ),
    (
        "Lapack.solve",
        FACTOR,
        [
            {"L": f64(N, N - 1)},
            {"V": f64(N, N), "T": f64(N, N)},
            {"X": f64(K, N + 1)},
            {"T": f64(V + 1, V)},
            {"T": f64(V, V - 1)},
            {"V": f64(V, N - 1)},
        ],
    ),
    (
        "symmetric_difference",
        "expected A (n x n), V and Y (c x n)",
        [{"A": f64(N, M)}, {"Y": f64(V + 1, N)}, {"V": f64(V, M)}, {"Y": f64(V, M)}],
    ),
    (
        "tridiagonal_rotate",
        "expected reflectors (n x n), tau (n - 1) and rows of n",
        [{"reflectors": f64(N, M)}, {"tau": f64(N)}, {"B": f64(K, M)}],
    ),
    (
        "tridiagonal_is_positive",
        "expected d (n) and e (n - 1), n > 0",
        [{"e": f64(N)}, {"d": f64(0), "e": f64(0)}],
    ),
    (
        "tridiagonal_profile",
        PROFILE,
        [
            {"e": f64(N)},
            {"d": f64(0), "e": f64(0), "rows": f64(1, 0)},
            {"rows": f64(1, M)},
            {"rows": f64(0, N)},
        ],
    ),
]


def call(name, /, **changes):
    """Call a function, or a method of a new object, with its well-formed arguments but for some."""
    owner, _, method = name.rpartition(".")
    makers = {"": lambda: _core, "GramSolver": _core.GramSolver, "Lapack": lapack}
    arguments = WELL_FORMED[name] | changes
    copies = {key: a.copy() if isinstance(a, np.ndarray) else a for key, a in arguments.items()}
    return getattr(makers[owner](), method)(**copies)


@pytest.mark.parametrize("name", WELL_FORMED)
def test_what_is_well_formed_is_taken(name):
    call(name)


@pytest.mark.parametrize(
    ("name", "message", "changes"), REFUSED, ids=[f"{name}-{text}" for name, text, _ in REFUSED]
)
def test_what_is_not_is_refused(name, message, changes, tally):
    for change in changes:
        with pytest.raises(ValueError, match=re.escape(message)):
            call(name, **change)
    tally(cases=len(changes))


def test_every_check_is_here():
    """As many times as the source raises an error of a text, so many functions are made to."""
    source = SOURCE.read_text(encoding="utf-8")
    raised = re.findall(r"raise ValueError\(\s*f?\"([^\"]*)\"", source)
    assert len(raised) == source.count("raise ValueError")
    # every function of packed genotypes comes by the one place that raises PACKED
    tested = [message for _, message, _ in REFUSED if message != PACKED] + [PACKED]
    expected = [re.sub(r"\{.*", "", text) for text in raised]
    assert sorted(tested) == sorted(expected)


def test_codes_of_the_c_core_are_named():
    """What the C core refuses by itself: an index, a size, a number that is none."""
    for name, code, changes in (
        ("counts", "INDEX", {"start": P - K + 1}),
        ("counts", "INDEX", {"start": -1}),
        ("duplicates", "INDEX", {"rows": np.array([0, P, 1])}),
        ("decode", "INDEX", {"variants": np.array([0, -1, 1])}),
        ("decode", "INDEX", {"index": np.full(M, N)}),
        ("decode_codes", "INDEX", {"variants": np.array([0, 1, P])}),
        ("dosage_sums", "INDEX", {"start": P}),
        ("dosage_sums", "INDEX", {"index": np.full(M, -1)}),
        ("dosage_duplicates", "INDEX", {"rows": np.array([-1, 0, 1])}),
        ("dosage_decode", "INDEX", {"variants": np.array([P, 0, 1])}),
    ):
        with pytest.raises(LMMLassoError, match=rf"the C core refused its input: .*{code}"):
            call(name, **changes)
    with pytest.raises(LMMLassoError, match=r"refused its input: .*NOT_FINITE"):
        _core.limbs(np.array([1.0, np.nan]), np.arange(2), 2, _core.SCREENING)
    with pytest.raises(LMMLassoError, match=r"refused its input: .*INDEX"):
        _core.mask(np.array([N]), N)


OUT_OF_MEMORY = """
import resource
import numpy as np
from lmmlasso_fast import _core
w = 4000
arrays = np.eye(w), np.full(w, 2.0), np.ones((w, 1)), np.ones(w)
solver = _core.GramSolver()
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (32 << 20), resource.RLIM_INFINITY))
try:
    solver.solve(*arrays, 1.0, 0.0, np.array([1.0]), np.array([1e-6]), 0.0, 1.0, np.ones(1),
                 np.zeros(w))
except MemoryError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and RLIMIT_AS")
def test_an_allocation_that_fails_in_the_c_core_is_a_memory_error():
    """A factor for 4,000 SNPs of 122 MB, where 32 MB are left."""
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, check=True
    )
    assert "LMML_ERR_MEMORY" in done.stdout

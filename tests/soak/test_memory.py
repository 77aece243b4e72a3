"""Hundreds of fits in one process: memory stays where it was after the first ones."""

import ctypes
import gc
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import lmmlasso_fast as ll
from lmmlasso_fast.simulation import simulate_genotypes, write_plink

pytestmark = pytest.mark.promise("threads")

#: Bytes a fit by which memory may grow.
SLOPE = 1024
#: And resident memory, which comes in pages of 4096: less than one with every call.
RESIDENT_SLOPE = 3072


_NAMES = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks"]
_NAMES += ["fordblks", "keepcost"]


class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _NAMES]


def in_use():
    """Bytes that malloc has handed out, and blocks that Python has for its objects: both exact."""
    gc.collect()
    found = LIBC.mallinfo2()
    return found.uordblks + found.hblkhd, sys.getallocatedblocks()


LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
if LIBC is None or not hasattr(LIBC, "mallinfo2"):
    pytest.skip("needs glibc's mallinfo2 (2.33)", allow_module_level=True)
LIBC.mallinfo2.restype = Mallinfo2


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    rng = np.random.default_rng(5)
    simulated = simulate_genotypes(150, 800, seed=1)
    prefix = tmp_path_factory.mktemp("fileset") / "g"
    write_plink(prefix, simulated.dosages, simulated.samples, simulated.variants)
    genotypes = ll.read_plink(prefix)
    K = ll.kinship(genotypes)
    y = genotypes.columns(np.arange(5)).sum(axis=1) + 2 * rng.standard_normal(150)
    return SimpleNamespace(prefix=prefix, genotypes=genotypes, K=K, y=y, null=ll.fit_null(y, K))


def fit(o):
    null = ll.fit_null(o.y, ll.Kinship.from_matrix(o.K.matrix))
    ll.lasso_path(o.genotypes, o.y, null, n_alphas=20, eps=0.1, n_threads=2)


def estimator(o):
    ll.LMMLasso(alpha=0.3).fit(o.genotypes.columns(np.arange(200)), o.y)


def scan(o):
    ll.association_scan(o.genotypes, o.y, o.null, exact=True, n_threads=2)


def cross_validation(o):
    ll.cross_validate(o.genotypes, o.y, n_folds=3, n_alphas=10, eps=0.3, n_jobs=2)


def stability(o):
    ll.stability_selection(o.genotypes, o.y, n_active=4, n_replicates=4, n_jobs=2)


def reading(o):
    genotypes = ll.read_plink(o.prefix)
    genotypes.subset(np.arange(0, 150, 2)).duplicate_pairs()


def refused(o):
    """Errors, too: what is raised must not keep what it came from."""
    with pytest.raises(ValueError, match="expected"):
        ll.lasso_path(o.genotypes, o.y[:-1], o.null)


@pytest.mark.parametrize(
    "call",
    [fit, estimator, scan, cross_validation, stability, reading, refused],
    ids=lambda call: call.__name__,
)
def test_memory_is_flat(problem, size, tally, call):
    """The slope of what is in use over the fits, and that of resident memory, where that counts."""
    n = size(10, 500)
    for _ in range(size(4, 40)):
        call(problem)
    used, rss = np.zeros((n, 2)), np.zeros(n)
    for k in range(n):
        call(problem)
        used[k] = in_use()
        rss[k] = resident()
    slope, blocks = slope_of(used[:, 0]), slope_of(used[:, 1])
    # what is mapped without malloc: jumps show in the one, what goes up and down in the other
    resident_slope = min(slope_of(rss), slope_of(rss, 1 / 10))
    tally(
        cases=n,
        bytes_a_fit=f"{slope:.0f} of malloc, {resident_slope:.0f} resident",
        objects_a_fit=f"{blocks:.2f}",
    )
    assert slope < SLOPE, used
    assert blocks < size(20, 2), used
    # ten fits are too few for pages
    assert resident_slope < size(np.inf, RESIDENT_SLOPE), rss


def slope_of(values, part=1 / 2):
    """The median slope between all pairs so much of the run apart: caches jump, a leak goes on."""
    apart = int(part * len(values))
    return float(np.median((values[apart:] - values[: len(values) - apart]) / apart))

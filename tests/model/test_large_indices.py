"""More genotypes than 32 bits count: places beyond 2^31 and 2^32 bytes are right."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast as ll
from lmmlasso_fast.dosage import TOP, DosageGenotypes
from lmmlasso_fast.packed import PackedGenotypes

pytestmark = pytest.mark.promise("no-wrong-answer")

#: Samples, and bytes of the array: p rows are a little more.
N, BYTES = 1 << 20, 2**32
#: SNPs that are not all zeros: the first, on both sides of 2^31 and of 2^32 bytes, the last.
_ROWS = 6


def places(stride: int) -> tuple[int, np.ndarray]:
    """(p, the rows that are not zero) of an array with so many bytes a row."""
    p = BYTES // stride + 3
    half = 2**31 // stride
    return p, np.array([0, half - 1, half, p - 4, p - 3, p - 1])


def mostly_zeros(codes: np.ndarray, p: int, rows: np.ndarray) -> np.ndarray:
    """An array of p rows; what is not written takes no memory, all of it is one page of zeros."""
    large = np.zeros((p, codes.shape[1]), dtype=codes.dtype)
    large[rows] = codes
    return large


def agree(large: ll.Genotypes, small: ll.Genotypes, rows: np.ndarray, tally) -> None:
    """Statistics, columns and products are those of the same SNPs alone."""
    assert large.n_samples * large.n_variants > 2**31
    assert_array_equal(np.flatnonzero(large.included), rows)
    for name in ("mean", "sd", "n_missing", "frequency"):
        assert_array_equal(getattr(large, name)[rows], getattr(small, name), err_msg=name)
    assert_array_equal(large.columns(rows), small.columns(np.arange(len(rows))))
    v = np.random.default_rng(1).standard_normal(large.n_samples)
    found = large.gradient(v, n_threads=2)
    assert_array_equal(np.flatnonzero(found), rows)
    assert_array_equal(found[rows], small.gradient(v))
    assert_allclose(found[rows], small.columns(np.arange(len(rows))).T @ v, rtol=1e-9)
    tally(cases=len(rows), genotypes=large.n_samples * large.n_variants)


def test_packed_genotypes(tally):
    codes = np.random.default_rng(0).integers(0, 256, (_ROWS, N // 4), dtype=np.uint8)
    codes[-1] = codes[0]  # the last is a duplicate of the first
    p, rows = places(N // 4)
    large = PackedGenotypes(mostly_zeros(codes, p, rows), N)
    small = PackedGenotypes(codes, N)
    agree(large, small, rows, tally)
    found, kept, sign = large.duplicate_pairs()
    assert (found.tolist(), kept.tolist(), sign.tolist()) == ([rows[-1]], [0], [1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_dosages(dtype, tally):
    top = TOP[np.dtype(dtype)]
    rng = np.random.default_rng(0)
    codes = rng.integers(0, top, (_ROWS, N), dtype=dtype, endpoint=True)
    p, rows = places(N * codes.itemsize)
    large = DosageGenotypes(mostly_zeros(codes, p, rows))
    agree(large, DosageGenotypes(codes), rows, tally)

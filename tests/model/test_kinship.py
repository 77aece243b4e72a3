"""Kinship matrices: what is computed, what is accepted, what is refused."""

import sys
from contextlib import nullcontext

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from problems import dense, from_array, random_dosages, sample_table, variant_table
from threadpoolctl import threadpool_limits

import lmmlasso_fast as ll
from lmmlasso_fast.dense import DenseGenotypes
from lmmlasso_fast.errors import DataWarning, GenotypeError, KinshipError
from lmmlasso_fast.kinship import cross_kinship

pytestmark = pytest.mark.promise("peers")


def covariance(seed=0, n=12, rank=None):
    Z = np.random.default_rng(seed).standard_normal((n, rank or 2 * n))
    return Z @ Z.T / Z.shape[1]


def with_lowest_eigenvalue(share, n=10):
    """A symmetric matrix whose lowest eigenvalue is `share` of the largest."""
    U, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((n, n)))
    s = np.linspace(0.1, 3.0, n)
    s[0] = share * 3.0
    A = (U * s) @ U.T
    return (A + A.T) / 2


# ---- from genotypes --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [from_array, dense])
@pytest.mark.parametrize(("n", "p"), [(30, 60), (7, 3), (20, 5000)])
def test_realised_relationship_matrix(make, n, p):
    """Missing genotypes at the mean; p counts the SNPs offered; more SNPs than one block."""
    D = random_dosages(np.random.default_rng(n), n, p, missing=0.1, hostile=p >= 12)
    genotypes = make(D)
    K = ll.kinship(genotypes)
    X, _, sd = ref.standardise(D)
    expected, scale = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, np.sum(sd > 0)))
    assert_allclose(K.matrix, expected, atol=2e-6)
    assert_allclose(K.scale, scale, rtol=1e-6)
    assert_allclose(np.mean(np.diag(K.matrix)), 1, rtol=1e-14)
    assert (K.estimator, K.n_variants, K.n_samples) == ("rrm", np.sum(sd > 0), n)
    assert_array_equal(K.matrix, K.matrix.T)


def test_filters_and_samples_are_those_of_the_genotypes():
    D = random_dosages(np.random.default_rng(2), 25, 40, missing=0.05)
    genotypes = from_array(D, samples=sample_table(25), variants=variant_table(40, "123"))
    part = genotypes.filter(chromosomes=["2"]).subset([4, 20, 7, 3, 11, 2])
    K = ll.kinship(part)
    X, _, sd = ref.standardise(D[[4, 20, 7, 3, 11, 2]][:, 14:27])
    expected, _ = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, np.sum(sd > 0)))
    assert_allclose(K.matrix, expected, atol=2e-6)
    assert K.n_variants == np.sum(sd > 0)
    assert K.samples["IID"].to_list() == ["s4", "s20", "s7", "s3", "s11", "s2"]
    assert ll.kinship(from_array(D)).samples is None


def test_nothing_to_compute_it_from():
    one = from_array(np.array([[1.0, 0.0, 1.0]] * 4 + [[1.0, 2.0, 1.0]]))
    nothing = one.filter(exclude=one.variants["ID"][[1]].to_list())
    with pytest.raises(KinshipError, match=r"no SNP is left .*: 2 monomorphic, 1 exclude; relax"):
        ll.kinship(nothing)
    with pytest.raises(KinshipError, match=r"expected 'rrm', .*'ibs', found 'king'"):
        ll.kinship(from_array(np.eye(5)), "king")


def test_the_bits_do_not_depend_on_blas_threads():
    genotypes = from_array(random_dosages(np.random.default_rng(3), 150, 400))
    results = set()
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            K = ll.kinship(genotypes)
            results.add((K.matrix.tobytes(), K.spectrum.U.tobytes(), K.spectrum.s.tobytes()))
    assert len(results) == 1


# ---- from a matrix ---------------------------------------------------------------------------


@pytest.mark.parametrize("c", [1e-6, 0.25, 1.0, 7.0, 1e6])
def test_a_multiple_is_the_same_kinship(c):
    A = covariance()
    K, scaled = ll.Kinship.from_matrix(A), ll.Kinship.from_matrix(c * A)
    assert_allclose(scaled.matrix, K.matrix, rtol=1e-14)
    assert_allclose(scaled.scale, c * K.scale, rtol=1e-14)
    assert_allclose(scaled.matrix * scaled.scale, c * A, rtol=1e-13)


@pytest.mark.parametrize(
    "A",
    [covariance().astype(">f8"), np.asfortranarray(covariance()), 2 * np.eye(12, dtype=np.int8),
     np.repeat(covariance(), 2, axis=1)[:, ::2], covariance().tolist()],
    ids=["big-endian", "Fortran", "int8", "strided", "list"],
)  # fmt: skip
def test_any_kind_of_array_untouched(A):
    before = np.array(A, dtype=float)
    K = ll.Kinship.from_matrix(A)
    assert_allclose(K.matrix * K.scale, before, rtol=1e-13)
    assert K.matrix.dtype == np.float64
    assert not K.matrix.flags.writeable
    assert_array_equal(np.array(A, dtype=float), before)


def changed(i, j, value):
    A = covariance()
    A[i, j] = value
    return A


@pytest.mark.parametrize(
    ("A", "texts"),
    [
        (covariance()[:, :5], ["square", "(12, 5)"]),
        (np.ones(3), ["square", "(3,)"]),
        (np.empty((0, 0)), ["square", "(0, 0)"]),
        (changed(2, 3, np.nan), ["finite", "nan", "row 3, column 4"]),
        (changed(4, 4, np.inf), ["finite", "inf", "row 5, column 5"]),
        (changed(1, 6, 9.0), ["symmetric", "9.0", "row 2, column 7", "row 7, column 2"]),
        (covariance() + 1j, ["real numbers", "complex"]),
        (np.array([["1", "0"], ["0", "1"]]), ["real numbers", "<U1"]),
        (np.ma.masked_greater(covariance(), 1.0), ["finite", "nan"]),
        (np.zeros((3, 3)), ["positive mean diagonal", "null=None"]),
        (-covariance(), ["positive mean diagonal"]),
    ],
)
def test_what_is_no_kinship_matrix_is_refused(A, texts):
    with pytest.raises(KinshipError) as caught:
        ll.Kinship.from_matrix(A)
    for text in ["expected", "found", *texts]:
        assert text in str(caught.value)


def test_asymmetry_up_to_a_millionth_of_the_largest_entry_is_rounding():
    A = covariance()
    largest = np.abs(A).max()
    A[2, 5] += 0.9e-6 * largest
    K = ll.Kinship.from_matrix(A)
    assert_array_equal(K.matrix, K.matrix.T)
    assert_allclose(K.matrix[2, 5] * K.scale, (A[2, 5] + A[5, 2]) / 2, rtol=1e-12)
    A[2, 5] += 0.2e-6 * largest
    with pytest.raises(KinshipError, match="symmetric"):
        ll.Kinship.from_matrix(A)


def test_ids_must_be_as_many_as_rows():
    with pytest.raises(KinshipError, match="found 12 rows and 11 ids"):
        ll.Kinship.from_matrix(covariance(), samples=sample_table(11))


# ---- subset ----------------------------------------------------------------------------------


def test_a_subset_is_scaled_again_and_remembers_what_it_was():
    A = covariance() * np.outer(np.arange(1, 13), np.arange(1, 13))
    K = ll.Kinship.from_matrix(A, samples=sample_table(12), estimator="ibs", n_variants=99)
    part = K.subset([7, 2, 9, 0]).subset(np.array([True, False, True, True]))
    rows = [7, 9, 0]
    assert_allclose(np.mean(np.diag(part.matrix)), 1, rtol=1e-14)
    assert_allclose(part.matrix * part.scale, A[np.ix_(rows, rows)], rtol=1e-13)
    assert part.samples["IID"].to_list() == ["s7", "s9", "s0"]
    assert (part.estimator, part.n_variants) == ("ibs", 99)
    for index in ([0, 12], [-1], [1, 1], [], np.ones(11, bool)):
        with pytest.raises(GenotypeError):
            K.subset(index)
    A[0, :] = A[:, 0] = 0
    with pytest.raises(KinshipError, match="mean diagonal 0"):
        ll.Kinship.from_matrix(A).subset([0])


# ---- spectrum --------------------------------------------------------------------------------


def test_spectrum_puts_the_matrix_together_again():
    for rank in (3, 12, 30):
        K = ll.Kinship.from_matrix(covariance(4, rank=rank))
        U, s = K.spectrum.U, K.spectrum.s
        assert K.spectrum is K.spectrum
        assert (np.diff(s) >= 0).all()
        assert (s >= 0).all()
        assert (s > 1e-10).sum() == min(rank, 12)
        assert_allclose((U * s) @ U.T, K.matrix, atol=1e-14 * s[-1] * 12)
        assert_allclose(U.T @ U, np.eye(12), atol=1e-13)
        again = ll.decompose(K.matrix * 3)
        assert_allclose(again.s, 3 * s, atol=1e-13)


@pytest.mark.parametrize("share", [-1e-9, -0.9e-6])
def test_rounding_below_zero_is_clipped_in_silence(share):
    s = ll.decompose(with_lowest_eigenvalue(share)).s
    assert s[0] == 0
    assert_allclose(s[-1], 3, rtol=1e-12)


@pytest.mark.parametrize("share", [-1.1e-6, -1e-4, -0.9e-3])
def test_slightly_indefinite_is_clipped_with_a_warning(share):
    with pytest.warns(DataWarning, match="1 negative eigenvalues .* were set to zero"):
        s = ll.decompose(with_lowest_eigenvalue(share)).s
    assert s[0] == 0


@pytest.mark.parametrize("share", [-3e-6, -3e-5])
@pytest.mark.parametrize("estimator", ["given", "ibs", "rrm", "standardised", "centred", "gcta"])
def test_sums_of_float32_may_be_further_below_zero(estimator, share):
    """Ten times as far as another matrix, without a warning."""
    K = ll.Kinship.from_matrix(with_lowest_eigenvalue(share), estimator=estimator)
    exact = estimator in ("given", "ibs")
    with pytest.warns(DataWarning) if exact or share < -1e-5 else nullcontext():
        assert K.spectrum.s[0] == 0


@pytest.mark.parametrize("share", [-1.1e-3, -0.5])
def test_indefinite_is_refused(share):
    with pytest.raises(KinshipError, match="positive semi-definite matrix, found the eigenvalue -"):
        ll.decompose(with_lowest_eigenvalue(share))
    y = np.random.default_rng(5).standard_normal(10)
    with pytest.raises(KinshipError, match="positive semi-definite"):
        ll.fit_null(y, with_lowest_eigenvalue(share))


def test_no_positive_eigenvalue_or_no_square_matrix():
    with pytest.raises(KinshipError, match="positive eigenvalue, found none"):
        ll.decompose(-np.eye(4))
    with pytest.raises(KinshipError, match="square"):
        ll.decompose(np.ones((3, 4)))


# ---- sums in any order ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e10])
@pytest.mark.parametrize("standardize", [True, False])
def test_the_bits_do_not_depend_on_threads(size, standardize):
    """Several blocks of SNPs, whose float32 sums threads add in the order in which they end."""
    X = np.random.default_rng(0).standard_normal((20, 9000)) * size
    genotypes = DenseGenotypes(X, standardize=standardize)
    one = ll.kinship(genotypes, n_threads=1)
    for n_threads in (2, 3, 5):
        assert_array_equal(ll.kinship(genotypes, n_threads=n_threads).matrix, one.matrix)
    Z = (X - X.mean(axis=0)) / X.std(axis=0) if standardize else X / size
    expected = Z @ Z.T
    assert_allclose(one.matrix, expected / np.diag(expected).mean(), atol=2e-6)


def test_a_large_column_that_is_left_out_does_not_matter():
    X = np.random.default_rng(0).standard_normal((20, 100))
    with_large = DenseGenotypes(np.column_stack([X, 1e12 * X[:, 0]]), standardize=False)
    left_out = with_large.filter(exclude=["snp100"])
    expected = ll.kinship(DenseGenotypes(X, standardize=False)).matrix
    assert_allclose(ll.kinship(left_out).matrix, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1e-30, 1e-21, 1e20, 1e30])
def test_columns_whose_squares_float32_cannot_hold_are_refused(size):
    X = np.random.default_rng(0).standard_normal((20, 100)) * size
    with pytest.raises(KinshipError, match="rescale the columns"):
        ll.kinship(DenseGenotypes(X, standardize=False))


# ---- kinship of new with training samples ----------------------------------------------------


@pytest.mark.parametrize("make", [from_array, dense])
def test_cross_kinship(monkeypatch, make):
    monkeypatch.setattr(sys.modules["lmmlasso_fast.kinship"], "_BLOCK", 13)
    D = random_dosages(np.random.default_rng(0), 40, 60, missing=0.1, hostile=True)
    genotypes = make(D).filter(exclude=["snp20"])
    old, new = np.arange(3, 30), np.array([0, 1, 2, 30, 35, 39, 5])
    part = genotypes.subset(old)
    K = ll.kinship(part)
    X, mean, sd = ref.standardise(D[old])
    sd[20] = 0.0
    X[:, 20] = 0.0
    p = (sd > 0).sum()
    _, scale = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, p))
    expected = ref.kinship_rrm_new(ref.standardise_with(D[new], mean, sd), X, p, scale)
    found = cross_kinship(genotypes.subset(new), part, K)
    assert found.dtype == np.float64
    assert_allclose(found, expected, atol=2e-6)
    # a sample that is a training one too has its row
    assert_allclose(found[-1], K.matrix[2], atol=2e-6)

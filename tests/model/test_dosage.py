"""Dosages in one or two bytes: against arrays of the same numbers, and what quantising costs."""

import copy
import pickle

import numpy as np
import pytest
import reference as ref
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import certify, random_dosages, sample_table, variant_table

import lmmlasso_fast as ll
from lmmlasso_fast.dense import DenseGenotypes
from lmmlasso_fast.dosage import DosageGenotypes
from lmmlasso_fast.errors import FileChangedError, GenotypeError
from lmmlasso_fast.genotypes import REASONS

pytestmark = pytest.mark.promise("same-bytes")

TOP = {8: 254, 16: 32768}
SIZES = [1, 2, 5, 64, 511, 512, 513, 1100]


def imputed(rng, n, p, missing=0.03, hostile=True):
    """Copies of A1 with the uncertainty of imputation, NaN for missing."""
    D = random_dosages(rng, n, p, missing)
    D += rng.normal(0, 0.1, D.shape) * (rng.random(D.shape) < 0.5)
    D = np.clip(D, 0, 2)
    if hostile:
        D[:, 4] = D[:, 1]
        D[:, 7] = 2 - D[:, 2]
        D[:, 9] = np.where(np.isnan(D[:, 9]), np.nan, 0.31)
        D[:, 10] = np.nan
        D[:, 11] = 0.0
        D[n // 2, 11] = 0.25
    return D


def quantised(D, bits):
    """The oracle: what the dosages are when they are kept, by rounding to the nearest code."""
    return np.rint(D * (TOP[bits] / 2)) / (TOP[bits] / 2)


@pytest.fixture(params=[8, 16])
def bits(request):
    return request.param


# ---- the protocol ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", SIZES)
def test_agrees_with_the_oracle(n, bits, isa):
    rng = np.random.default_rng(n)
    D = imputed(rng, n, 30)
    genotypes = DosageGenotypes.from_dosages(D, bits=bits)
    Q = quantised(D, bits)
    # oracle: constant columns are told by their codes, not by a rounded sd
    X, mean, sd = ref.standardise(np.rint(Q * TOP[bits] / 2))
    mean, sd = 2 * mean / TOP[bits], 2 * sd / TOP[bits]
    assert (genotypes.n_samples, genotypes.n_variants) == (n, 30)
    assert_allclose(genotypes.mean, mean, rtol=1e-13)
    assert_allclose(genotypes.sd, sd, rtol=1e-11, atol=1e-15)
    assert_array_equal(genotypes.included, sd > 0)
    assert_array_equal(genotypes.n_missing, np.isnan(D).sum(axis=0))
    with np.errstate(invalid="ignore"):
        expected = np.nansum(Q, axis=0) / (2 * (~np.isnan(Q)).sum(axis=0))
    assert_allclose(genotypes.frequency, expected, rtol=1e-13)
    assert_array_equal(genotypes.dosages(np.arange(30)), Q)
    every = np.arange(30)
    assert_allclose(genotypes.columns(every), X, rtol=1e-9, atol=1e-12)
    single = genotypes.columns(every[::-1], dtype=np.float32)
    assert single.dtype == np.float32
    assert_allclose(single, X[:, ::-1], rtol=2e-7, atol=1e-6)
    v = rng.standard_normal((n, 11)) * 10.0 ** rng.integers(-6, 3, (n, 1))
    exact = X.astype(np.longdouble).T @ v
    scale = n * np.abs(v).max() * (1 + np.abs(X).max())
    assert np.abs(genotypes.gradient(v) - exact).max() <= 2.0**-48 * scale
    assert_array_equal(genotypes.gradient(v[:, 0]), genotypes.gradient(v)[:, 0])
    assert not genotypes.gradient(v)[~genotypes.included].any()


def test_standardises_by_another_sample(bits):
    rng = np.random.default_rng(1)
    D = imputed(rng, 40, 20)
    genotypes = DosageGenotypes.from_dosages(D, bits=bits)
    mean, sd = rng.random(20), rng.random(20)
    sd[3] = 0
    found = genotypes.columns([3, 5, 8], statistics=(mean, sd))
    expected = ref.standardise_with(quantised(D, bits), mean, sd)[:, [3, 5, 8]]
    assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_a_subset_copies_nothing_and_gives_the_bits_of_its_own_codes(bits):
    rng = np.random.default_rng(2)
    D = imputed(rng, 700, 40)
    whole = DosageGenotypes.from_dosages(D, sample_table(700), variant_table(40), bits=bits)
    index = rng.permutation(700)[:600]
    part = whole.subset(index)
    assert part._codes is whole._codes
    again = part.subset(np.arange(0, 600, 2))
    alone = DosageGenotypes.from_dosages(D[index[::2]], bits=bits)
    assert again._codes is whole._codes
    assert again.samples.equals(whole.samples[index[::2]])
    v = rng.standard_normal((300, 3))
    for a, b in (
        (again.gradient(v), alone.gradient(v)),
        (again.mean, alone.mean),
        (again.sd, alone.sd),
        (again.columns([0, 5]), alone.columns([0, 5])),
        (again.dosages([0, 5]), alone.dosages([0, 5])),
        (again.sample_missing_rate(), alone.sample_missing_rate()),
        *zip(again.duplicate_pairs(), alone.duplicate_pairs(), strict=True),
    ):
        assert_array_equal(a, b)
    mask = np.zeros(700, bool)
    mask[:5] = True
    assert whole.subset(mask).n_samples == 5


def test_bits_depend_neither_on_threads_nor_on_the_number_of_vectors(monkeypatch, bits):
    monkeypatch.setattr("lmmlasso_fast.dosage._THREADS_FROM", 0)
    rng = np.random.default_rng(3)
    genotypes = DosageGenotypes.from_dosages(imputed(rng, 900, 101), bits=bits)
    v = rng.standard_normal((900, 9))
    one = genotypes.gradient(v)
    for n_threads in (2, 3, 7):
        assert_array_equal(genotypes.gradient(v, n_threads=n_threads), one)
    for k in range(9):
        assert_array_equal(genotypes.gradient(v[:, k]), one[:, k])


def test_missing_rates_and_filters_are_those_of_the_dosages(bits):
    rng = np.random.default_rng(4)
    D = imputed(rng, 60, 50, missing=0.1, hostile=True)
    genotypes = DosageGenotypes.from_dosages(D, variants=variant_table(50), bits=bits)
    use = genotypes.included
    assert_allclose(genotypes.sample_missing_rate(), np.isnan(D[:, use]).mean(axis=1), rtol=1e-14)
    filtered = genotypes.filter(geno=0.1, maf=0.2)
    frequency = genotypes.frequency
    for j, code in enumerate(filtered.reasons):
        expected = {9: "monomorphic", 10: "all_missing"}.get(j, "")
        if not expected and np.isnan(D[:, j]).mean() > 0.1:
            expected = "geno"
        elif not expected and min(frequency[j], 1 - frequency[j]) < 0.2:
            expected = "maf"
        assert REASONS[code] == expected


def test_duplicates_are_those_of_the_oracle(bits):
    rng = np.random.default_rng(5)
    D = imputed(rng, 45, 30)
    D[:, 20:30] = D[:, 12:22]
    D[:, 15] = 2 - D[:, 1]
    D[0, 3] = np.nan
    D[:, 16] = D[:, 3]
    D[0, 16] = 0.1  # missing is no number
    Q = np.rint(D * (TOP[bits] / 2))
    genotypes = DosageGenotypes.from_dosages(D, bits=bits)
    expected = []
    for j in np.flatnonzero(genotypes.included):
        for i in np.flatnonzero(genotypes.included)[:j]:
            same = np.array_equal(Q[:, i], Q[:, j], equal_nan=True)
            if i < j and (same or np.array_equal(TOP[bits] - Q[:, i], Q[:, j], equal_nan=True)):
                expected.append((j, i, 1 if same else -1))
                break
    assert len(expected) >= 7
    assert {sign for *_, sign in expected} == {1, -1}
    assert list(zip(*genotypes.duplicate_pairs(), strict=True)) == expected
    assert not len(genotypes.collapse_duplicates().duplicate_pairs()[0])


# ---- quantisation ----------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 16]), st.floats(-3, 0))
def test_errors_keep_to_their_bounds(seed, bits, log_spread):
    """Of a dosage 1 / top, of X'v as the class says, also for SNPs that vary little."""
    rng = np.random.default_rng(seed)
    D = np.clip(rng.uniform(0, 2, 8) + 10**log_spread * rng.standard_normal((50, 8)), 0, 2)
    D[rng.random(D.shape) < 0.1] = np.nan
    genotypes = DosageGenotypes.from_dosages(D, bits=bits)
    assert np.nanmax(np.abs(genotypes.dosages(np.arange(8)) - D)) <= (1 + 1e-12) / TOP[bits]
    X, _, sd = ref.standardise(D)
    v = rng.standard_normal(50)
    with np.errstate(divide="ignore"):
        bound = 2 * np.sqrt(50) * np.linalg.norm(v) / (TOP[bits] * sd - 1)
    known = (TOP[bits] * sd > 1) & genotypes.included
    assert (np.abs(genotypes.gradient(v) - X.T @ v) <= bound)[known].all()


def test_what_is_exact(bits):
    """Whole dosages, swapped alleles, and in two bytes multiples of 1/16384."""
    D = random_dosages(np.random.default_rng(6), 30, 20, missing=0.1)
    assert_array_equal(DosageGenotypes.from_dosages(D, bits=bits).dosages(np.arange(20)), D)
    E = np.random.default_rng(7).integers(0, 32769, (30, 20)) / 16384
    genotypes = DosageGenotypes.from_dosages(E, bits=bits)
    if bits == 16:
        assert_array_equal(genotypes.dosages(np.arange(20)), E)
    swapped = DosageGenotypes.from_dosages(2 - genotypes.dosages(np.arange(20)), bits=bits)
    assert_array_equal(swapped.sd, genotypes.sd)
    assert_array_equal(swapped._codes, TOP[bits] - genotypes._codes)


@pytest.mark.parametrize("convert", [np.float32, np.asfortranarray, lambda D: D[::-1][::-1]])
def test_any_layout_is_taken_and_left_alone(convert):
    D = convert(np.random.default_rng(8).integers(0, 255, (20, 15)) / 127.5)
    D.setflags(write=False)
    before = D.copy()
    found = DosageGenotypes.from_dosages(D).dosages(np.arange(15))
    assert_array_equal(found, quantised(D.astype(float), 16))
    assert_array_equal(D, before)


def test_masked_and_slightly_outside():
    X = np.ma.masked_array([[0.5, 2.0004], [1.5, -0.0003]], mask=[[True, False], [False, False]])
    found = DosageGenotypes.from_dosages(X).dosages([0, 1])
    assert_array_equal(found, [[np.nan, 2.0], [1.5, 0.0]])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[0.0, 2.1], [1, 1]], "dosages: expected numbers from 0 to 2.*2.1 at SNP 1, sample 0"),
        ([[0.0, 1.0], [-1, 1]], "found -1.0 at SNP 0, sample 1"),
        ([[0.0, np.inf], [1, 1]], "found inf at SNP 1"),
        ([0.0, 1.0], "two-dimensional"),
        (np.zeros((0, 3)), "samples and SNPs"),
    ],
)
def test_numbers_that_are_no_dosages_are_refused(X, message):
    with pytest.raises(GenotypeError, match=message):
        DosageGenotypes.from_dosages(X)


def test_unusable_codes_are_refused():
    for codes in (
        np.zeros((3, 4)),
        np.zeros((3, 4), np.int16),
        np.zeros(4, np.uint8),
        np.zeros((3, 4), np.uint16)[:, ::2],
        np.zeros((0, 4), np.uint8),
    ):
        with pytest.raises(GenotypeError, match="codes: expected"):
            DosageGenotypes(codes)
    with pytest.raises(GenotypeError, match="found 40000 at SNP 2"):
        DosageGenotypes(np.array([[0, 1], [2, 3], [1, 40000]], np.uint16))
    with pytest.raises(GenotypeError, match="bits: expected 8 or 16"):
        DosageGenotypes.from_dosages([[0.5]], bits=4)
    with pytest.raises(GenotypeError, match="samples: expected a table of 1 rows"):
        DosageGenotypes.from_dosages([[0.5]], samples=sample_table(2))


# ---- other processes -------------------------------------------------------------------------


def test_codes_of_a_file_are_sent_by_name(tmp_path, bits):
    rng = np.random.default_rng(9)
    D = imputed(rng, 300, 100)
    memory = DosageGenotypes.from_dosages(D, bits=bits)
    np.save(tmp_path / "codes.npy", memory._codes)
    mapped = DosageGenotypes(np.load(tmp_path / "codes.npy", mmap_mode="r")).subset(
        range(0, 300, 3)
    )
    sent = pickle.dumps(mapped)
    assert len(sent) < 20_000
    assert len(pickle.dumps(memory)) > memory._codes.nbytes
    received, v = pickle.loads(sent), rng.standard_normal(100)
    assert isinstance(received._codes, np.memmap)
    assert (received.memory, memory.memory) == (0, 300 * 100 * bits // 8)
    assert_array_equal(received.gradient(v), mapped.gradient(v))
    assert copy.copy(mapped)._codes is mapped._codes
    (tmp_path / "codes.npy").write_bytes(b"short")
    with pytest.raises(FileChangedError, match=r"codes.npy: expected .* bytes"):
        pickle.loads(sent).gradient(v)
    with pytest.raises(FileChangedError, match=r"codes.npy: changed while it was read: expected"):
        mapped.gradient(v)


# ---- everything above the protocol -----------------------------------------------------------


@pytest.fixture(scope="module")
def problem():
    """(dosages, arrays of the same numbers, phenotype)"""
    rng = np.random.default_rng(10)
    n, p = 120, 150
    D = imputed(rng, n, p)
    genotypes = DosageGenotypes.from_dosages(D, sample_table(n), variant_table(p, ("1", "2")))
    dense = DenseGenotypes(genotypes.dosages(np.arange(p)), genotypes.samples, genotypes.variants)
    X, _, _ = ref.standardise(genotypes.dosages(np.arange(p)))
    y = X[:, [20, 90]] @ [0.8, -0.7] + X @ rng.standard_normal(p) / np.sqrt(p)
    return genotypes, dense, X, y + rng.standard_normal(n)


def test_kinship_null_path_and_scan_are_those_of_an_array(problem):
    genotypes, dense, X, y = problem
    assert_allclose(genotypes.gradient(y), dense.gradient(y), atol=1e-11)
    K, K_dense = ll.kinship(genotypes), ll.kinship(dense)
    assert_allclose(K.matrix, K_dense.matrix, atol=2e-6)
    null = ll.fit_null(y, K_dense)
    path, other = (
        ll.lasso_path(g, y, null, n_alphas=20, eps=0.1, tol=1e-9) for g in (genotypes, dense)
    )
    X[:, ~genotypes.included] = 0
    certify(path, X, y)
    assert_allclose(path.alphas, other.alphas, rtol=1e-12)
    assert_allclose(path.coefs.toarray(), other.coefs.toarray(), atol=1e-6)
    scan, scan_dense = (ll.association_scan(g, y, null) for g in (genotypes, dense))
    for name in ("beta", "se", "chisq"):
        assert_allclose(getattr(scan, name), getattr(scan_dense, name), rtol=1e-5, atol=1e-7)


def test_cross_validation_stability_and_ld_are_those_of_an_array(problem):
    genotypes, dense, _, y = problem
    options = {"n_alphas": 8, "eps": 0.2, "n_folds": 3}
    cv, cv_dense = (ll.cross_validate(g, y, **options) for g in (genotypes, dense))
    assert_allclose(cv.explained_variance, cv_dense.explained_variance, atol=1e-4)
    options = {"n_active": 5, "n_replicates": 6, "seed": 1}
    K = ll.kinship(dense)
    a, b = (ll.stability_selection(g, y, K, **options) for g in (genotypes, dense))
    assert_array_equal(a.counts, b.counts)
    snps = np.flatnonzero(genotypes.included)
    score = np.abs(genotypes.gradient(y))[snps]
    groups, groups_dense = (ll.clump(g, snps, score, r2=0.3) for g in (genotypes, dense))
    assert_array_equal(groups.of(150), groups_dense.of(150))
    assert groups.of(150).max() < len(snps) - 1


def test_a_saved_model_predicts_from_dosages(problem, tmp_path):
    genotypes, dense, _, y = problem
    train, test = np.arange(90), np.arange(90, 120)
    predicted = []
    for g in (genotypes, dense):
        part = g.subset(train)
        K = ll.kinship(part)
        path = ll.lasso_path(part, y[train], ll.fit_null(y[train], K), n_alphas=5)
        model = ll.build_model(path, part)
        predicted.append(model.predict(g.subset(test)).total)
    assert_allclose(predicted[0], predicted[1], atol=1e-5)


def test_a_part_of_a_mapped_file_goes_to_another_process(tmp_path):
    codes = np.random.default_rng(3).integers(0, 32769, (40, 25)).astype(np.uint16)
    np.save(tmp_path / "codes.npy", codes)
    mapped = np.load(tmp_path / "codes.npy", mmap_mode="r")
    for part in (mapped[10:], mapped[:30]):
        sent = DosageGenotypes(part)
        for _ in range(2):  # and from there to a third
            sent = pickle.loads(pickle.dumps(sent))
            np.testing.assert_array_equal(sent.mean, DosageGenotypes(np.array(part)).mean)
            np.testing.assert_array_equal(sent.dosages([0]), DosageGenotypes(part).dosages([0]))

"""Genotypes: packed, dense and the oracle agree; what is odd about an array does not matter."""

import numpy as np
import polars as pl
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from problems import dense, from_array, random_dosages, sample_table, variant_table
from scipy import sparse

import lmmlasso_fast.packed
from lmmlasso_fast import _core
from lmmlasso_fast.dense import DenseGenotypes
from lmmlasso_fast.dosage import DosageGenotypes
from lmmlasso_fast.errors import DataWarning, GenotypeError, LMMLassoError
from lmmlasso_fast.genotypes import REASONS
from lmmlasso_fast.packed import PackedGenotypes, pack

pytestmark = pytest.mark.promise("same-bytes")

SIZES = [1, 2, 3, 4, 5, 7, 63, 64, 65, 255, 256, 257, 515]


def reasons_of(genotypes):
    return [REASONS[code] for code in genotypes.reasons]


def check_against_oracle(genotypes, D, v):
    """Statistics, columns and X'v of genotypes whose dosages are D."""
    n, _ = D.shape
    X, mean, sd = ref.standardise(D)
    assert (genotypes.n_samples, genotypes.n_variants) == D.shape
    assert_allclose(genotypes.mean, mean, rtol=1e-14)
    assert_allclose(genotypes.sd, sd, rtol=1e-13)
    assert_array_equal(genotypes.n_missing, np.isnan(D).sum(axis=0))
    assert_array_equal(genotypes.included, sd > 0)
    every = np.arange(D.shape[1])
    assert_allclose(genotypes.columns(every), X, atol=1e-13)
    single = genotypes.columns(every[::-1], dtype=np.float32)
    assert single.dtype == np.float32
    assert_allclose(single, X[:, ::-1], rtol=2e-7, atol=1e-6)
    # x_j'v = (sum d v - mean sum v) / sd: the error of either sum in units of the largest |v_i|
    scale = (
        np.abs(v).max() * n * np.divide(2 + np.abs(mean), sd, out=np.zeros_like(sd), where=sd > 0)
    )
    exact = np.array([np.dot(X[:, j].astype(np.longdouble), v) for j in every], dtype=np.longdouble)
    assert (np.abs(genotypes.gradient(v) - exact) <= 2.0**-50 * scale).all()
    assert (np.abs(genotypes.gradient(v, screening=True) - exact) <= 2.0**-21 * scale).all()
    assert not genotypes.gradient(v)[sd == 0].any()


# ---- packed, dense, oracle -------------------------------------------------------------------


@pytest.mark.parametrize("n", SIZES)
def test_packed_and_dense_agree_with_the_oracle(n, isa):
    """Rows that end inside a byte and a chunk; SNPs without variance; missing genotypes."""
    rng = np.random.default_rng(n)
    D = random_dosages(rng, n, 70, missing=0.1, hostile=True)
    v = rng.standard_normal(n) * 10.0 ** rng.integers(-6, 3, n)
    packed = from_array(D)
    assert isinstance(packed, PackedGenotypes)
    check_against_oracle(packed, D, v)
    check_against_oracle(dense(D), D, v)
    assert_allclose(packed.frequency, ref.allele_frequency(D), rtol=1e-15)
    assert_array_equal(packed.dosages(np.arange(70)), np.where(np.isnan(D), -1, D))


def test_every_instruction_set_gives_the_same_bits():
    rng = np.random.default_rng(1)
    genotypes = from_array(random_dosages(rng, 515, 101, missing=0.05))
    v, before, results = rng.standard_normal(515), _core.kernels_name(), set()
    try:
        for name in _core.available_kernels():
            _core.select_kernels(name)
            for screening in (False, True):
                results.add((screening, genotypes.gradient(v, screening=screening).tobytes()))
    finally:
        _core.select_kernels(before)
    assert len(results) == 2


def test_an_unknown_instruction_set_is_refused():
    with pytest.raises(ValueError, match=r"expected one of .*generic.*found 'sse9'"):
        _core.select_kernels("sse9")


@pytest.mark.parametrize("n_threads", [2, 3, 7, 64])
def test_gradient_has_the_same_bits_for_any_number_of_threads(n_threads, monkeypatch):
    monkeypatch.setattr(lmmlasso_fast.packed, "_THREADS_FROM", 0)
    rng = np.random.default_rng(2)
    D = random_dosages(rng, 130, 97, missing=0.05, hostile=True)
    v = rng.standard_normal((130, 3))
    for genotypes in (from_array(D), dense(D)):
        one = genotypes.gradient(v)
        assert one.shape == (97, 3)
        assert_array_equal(genotypes.gradient(v, n_threads=n_threads), one)
        one = genotypes.gradient(v[:, 1])
        assert_array_equal(genotypes.gradient(v[:, 1], n_threads=n_threads), one)


def test_dosages_in_other_numbers_are_dense_and_scale_free():
    rng = np.random.default_rng(3)
    D = random_dosages(rng, 40, 20, missing=0.1, hostile=True)
    moved = from_array(D * 1e-7 + 3)
    assert isinstance(moved, DenseGenotypes)
    assert_array_equal(moved.included, from_array(D).included)
    assert_allclose(moved.columns(np.arange(20)), ref.standardise(D)[0], atol=1e-6)
    assert np.isnan(moved.frequency).all()


@pytest.mark.parametrize("make", [from_array, dense, DosageGenotypes.from_dosages])
def test_gradient_of_other_shapes_is_refused(make):
    genotypes = make(random_dosages(np.random.default_rng(4), 12, 5))
    for v in (np.zeros(11), np.zeros((11, 2)), np.zeros((12, 2, 2))):
        with pytest.raises(ValueError, match="v: expected 12"):
            genotypes.gradient(v)
    assert_array_equal(genotypes.gradient(np.zeros(12)), np.zeros(5))
    assert genotypes.gradient(np.zeros((12, 0))).shape == (5, 0)


@pytest.mark.parametrize(
    ("bad", "text"),
    [(np.nan, "v: expected finite .* nan"), (np.inf, "found inf"), (5e-324, "LMML_ERR")],
)
def test_gradient_of_what_has_no_digits_is_an_error(bad, text):
    genotypes = from_array(random_dosages(np.random.default_rng(4), 12, 5))
    v = np.zeros(12)
    v[3] = bad
    with pytest.raises(LMMLassoError, match=text):
        genotypes.gradient(v)


def test_columns_out_of_range_and_none():
    genotypes = from_array(random_dosages(np.random.default_rng(4), 12, 5))
    assert genotypes.columns([]).shape == (12, 0)
    for index in ([5], [0, -1]):
        with pytest.raises(LMMLassoError, match=r"SNPs: expected indices in \[0, 5\), found"):
            genotypes.columns(index)


@pytest.mark.parametrize("make", [from_array, dense])
def test_columns_by_statistics_of_other_samples(make):
    rng = np.random.default_rng(5)
    D, other = (random_dosages(rng, n, 20, missing=0.1, hostile=True) for n in (30, 9))
    _, mean, sd = ref.standardise(D)
    got = make(other).columns(np.arange(20), statistics=(mean, sd))
    assert_allclose(got, ref.standardise_with(other, mean, sd), atol=1e-13)


# ---- any array -------------------------------------------------------------------------------


def variations(D, tmp_path):
    """The same dosages as arrays of every kind (D without missing genotypes)."""
    mapped = np.memmap(tmp_path / "x.bin", dtype=np.float64, mode="w+", shape=D.shape)
    mapped[:] = D
    mapped.flush()
    read_only = D.copy()
    read_only.flags.writeable = False
    yield "memmap", np.memmap(tmp_path / "x.bin", dtype=np.float64, mode="r", shape=D.shape)
    yield "read-only", read_only
    yield "Fortran", np.asfortranarray(D)
    yield "strided", np.repeat(np.repeat(D, 2, axis=0), 3, axis=1)[::2, ::3]
    yield "reversed", D[::-1, ::-1].copy()[::-1, ::-1]
    yield "big-endian", D.astype(">f8")
    for dtype in ("int8", "uint8", ">i4", "int64", "float16", "float32", "longdouble"):
        yield dtype, D.astype(dtype)
    yield "list", D.tolist()
    yield "object", D.astype(object)
    yield "masked", np.ma.masked_array(D, np.zeros(D.shape, bool))


@pytest.mark.parametrize("shift", [0, 0.5], ids=["packed", "dense"])
def test_any_kind_of_array_gives_the_same_and_stays_untouched(shift, tmp_path):
    rng = np.random.default_rng(6)
    D = random_dosages(rng, 41, 23)
    v = rng.standard_normal(41)
    expected = from_array(D + shift).gradient(v)
    for name, X in variations(D, tmp_path):
        if shift and np.asarray(X).dtype.kind in "iu":
            continue
        X = (
            X
            if not shift
            else [[x + shift for x in row] for row in X]
            if name == "list"
            else X + shift
        )
        before = np.array(X, copy=True)
        if isinstance(X, np.ndarray) and name == "Fortran":
            X.flags.writeable = False
        genotypes = from_array(X)
        assert isinstance(genotypes, DenseGenotypes if shift else PackedGenotypes), name
        assert_allclose(genotypes.gradient(v), expected, rtol=1e-12, atol=1e-12, err_msg=name)
        genotypes.columns(np.arange(23))
        genotypes.subset(np.arange(0, 41, 2)).gradient(v[::2])
        assert_array_equal(np.array(X), before, err_msg=name)


@pytest.mark.parametrize("shift", [0, 0.5], ids=["packed", "dense"])
@pytest.mark.parametrize("hidden", [7.0, np.nan, np.inf, 1e300])
def test_what_a_mask_hides_is_missing_whatever_it_is(shift, hidden):
    rng = np.random.default_rng(7)
    D = random_dosages(rng, 30, 12, missing=0.2) + shift
    masked = np.ma.masked_array(np.where(np.isnan(D), hidden, D), np.isnan(D))
    v = rng.standard_normal(30)
    assert_array_equal(from_array(masked).gradient(v), from_array(D).gradient(v))
    assert_array_equal(from_array(masked).n_missing, np.isnan(D).sum(axis=0))


@pytest.mark.parametrize(
    ("X", "error", "text"),
    [
        (np.ones((3, 2)) + 1j, TypeError, "complex"),
        (np.array([["0", "1"], ["1", "2"]]), TypeError, "dtype <U1"),
        (np.array([["0", "1"], ["1", "2"]], dtype=object), TypeError, "text"),
        (np.array([[1, {}]], dtype=object), TypeError, "dict"),
        (sparse.csc_array(np.eye(3)), TypeError, "sparse"),
        (np.zeros(3), GenotypeError, "1 dimension"),
        (np.zeros((3, 2, 2)), GenotypeError, "3 dimension"),
        (np.zeros((0, 3)), GenotypeError, r"\(0, 3\)"),
        (np.zeros((3, 0)), GenotypeError, r"\(3, 0\)"),
        (np.array([[1.0, 3.0], [np.inf, 0.5]]), GenotypeError, "infinity"),
    ],
)  # fmt: skip
def test_what_is_no_matrix_of_real_numbers_is_refused(X, error, text):
    with pytest.raises(error, match=text):
        from_array(X)


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_norms_that_overflow_or_underflow_raise(factor):
    X = np.random.default_rng(8).standard_normal((20, 3))
    X[:, 1] *= factor
    with pytest.raises(GenotypeError, match=r"column 1 (over|under)flows|variance of column 1"):
        from_array(X)


def test_a_constant_column_is_found_by_its_numbers_not_by_a_rounded_sd():
    X = np.random.default_rng(9).standard_normal((37, 4))
    X[:, 1] = 0.1  # whose standard deviation is 1e-17, not 0
    X[:, 2] = 1e8
    X[3, 2] += 1e-7  # not constant
    assert X[:, 1].std() > 0
    genotypes = from_array(X)
    assert reasons_of(genotypes) == ["", "monomorphic", "", ""]
    assert not genotypes.columns([1]).any()


def test_columns_as_they_are_without_standardising():
    rng = np.random.default_rng(10)
    X = rng.standard_normal((15, 4)) + 3
    X[:, 2], X[:, 3] = 0.0, 1.0
    genotypes = dense(X, standardize=False)
    assert_array_equal(genotypes.columns(np.arange(4)), X)
    assert reasons_of(genotypes) == ["", "", "monomorphic", ""]
    v = rng.standard_normal(15)
    assert_allclose(genotypes.gradient(v), X.T @ v, atol=1e-13)


# ---- subsets ---------------------------------------------------------------------------------


def test_a_subset_has_the_bits_of_a_repacked_array():
    """v scattered into zeros, any order, subset of subset; statistics over the chosen samples."""
    rng = np.random.default_rng(11)
    D = random_dosages(rng, 301, 60, missing=0.05, hostile=True)
    D[:, 20] = 0
    D[5, 20] = 1  # polymorphic only through a sample that is not chosen
    first = rng.permutation(np.delete(np.arange(301), 5))[:150]
    second = rng.permutation(150)[:77]
    for make in (from_array, dense):
        chosen = make(D).subset(first).subset(second)
        again = make(D[first][second])
        assert_array_equal(chosen.mean, again.mean)
        assert_array_equal(chosen.sd, again.sd)
        assert_array_equal(chosen.reasons, again.reasons)
        assert reasons_of(chosen)[20] == "monomorphic"
        assert reasons_of(make(D))[20] == ""
        v = rng.standard_normal(77)
        for screening in (False, True):
            assert_array_equal(
                chosen.gradient(v, screening=screening), again.gradient(v, screening=screening)
            )
        assert_array_equal(chosen.columns(np.arange(60)), again.columns(np.arange(60)))
        check_against_oracle(chosen, D[first][second], v)


@pytest.mark.parametrize("unit", [1.0, 0.3])  # packed, dense
def test_a_mask_and_its_index_choose_the_same_and_ids_follow(unit):
    rng = np.random.default_rng(12)
    D = unit * random_dosages(rng, 20, 6)
    genotypes = from_array(D, samples=sample_table(20), variants=variant_table(6))
    assert genotypes.variants.equals(variant_table(6))
    mask = rng.random(20) < 0.5
    by_mask, by_index = genotypes.subset(mask), genotypes.subset(np.flatnonzero(mask))
    assert by_mask.samples.equals(by_index.samples)
    assert by_mask.variants.equals(variant_table(6))
    assert by_mask.samples["IID"].to_list() == [f"s{i}" for i in np.flatnonzero(mask)]
    assert_array_equal(by_mask.mean, by_index.mean)
    assert genotypes.subset([3, 1]).samples["IID"].to_list() == ["s3", "s1"]


@pytest.mark.parametrize(
    ("index", "text"),
    [
        ([0, 20], r"\[0, 20\)"),
        ([-1], r"\[0, 20\)"),
        ([1, 1], "at most once"),
        ([], "one-dimensional integer|none is left"),
        (np.zeros(20, bool), "none is left"),
        (np.ones(19, bool), "length 20"),
        ([0.0, 1.0], "integer index"),
        ([[0], [1]], "one-dimensional"),
    ],
)
@pytest.mark.parametrize("make", [from_array, dense])
def test_odd_choices_of_samples_are_refused(make, index, text):
    with pytest.raises(GenotypeError, match=text):
        make(random_dosages(np.random.default_rng(13), 20, 4)).subset(index)


# ---- packing, tables ------------------------------------------------------------------------


def test_pack_writes_the_bytes_of_a_bed():
    rng = np.random.default_rng(20)
    for n in (1, 5, 8, 300):
        D = random_dosages(rng, n, 9, missing=0.2)
        assert ref.BED_MAGIC + pack(D).tobytes() == ref.encode_bed(D)
    assert pack(np.array([[0.0, 1.0], [2.0, 3.0]])) is None
    assert pack(np.array([[0.0, -1.0]])) is None


def test_made_up_ids_and_variant_tables_have_the_right_shape():
    genotypes = from_array(random_dosages(np.random.default_rng(21), 4, 3))
    assert not genotypes.has_sample_ids
    assert genotypes.samples.shape == (4, 2)
    assert genotypes.variants.columns == ["CHROM", "ID", "POS", "A1", "A2"]
    assert genotypes.variants["POS"].dtype == pl.Int64


def test_tables_of_another_length_are_refused():
    D = random_dosages(np.random.default_rng(16), 8, 3)
    with pytest.raises(GenotypeError, match=r"samples: expected a table of 8 rows.*found 7"):
        from_array(D, samples=sample_table(7))
    with pytest.raises(GenotypeError, match=r"variants: expected a table of 3 rows.*found 4"):
        from_array(D, variants=variant_table(4))


def test_negative_integers_are_numbers_and_said_to_be():
    X = np.array([[0, 1], [-9, 2], [1, 0]], dtype=np.int8)
    with pytest.warns(DataWarning, match="integers down to -9 are taken as they are"):
        genotypes = from_array(X)
    assert genotypes.mean[0] == X[:, 0].mean()


# ---- chosen samples, packed again -----------------------------------------------------------


def test_compressed_samples_are_the_chosen_ones(isa):
    rng = np.random.default_rng(22)
    for n in (*range(2, 40), 127, 128, 129, 700):
        D = random_dosages(rng, n, 5, missing=0.2)
        for size in {1, n // 3 + 1, n - 1}:
            index = np.sort(rng.permutation(n)[:size])
            out = np.full((6, (size + 3) // 4), 171, dtype=np.uint8)
            possible = _core.compress(pack(D), n, _core.mask(index, n), out[:5])
            assert possible == (isa in ("avx512", "amx"))
            if possible:
                assert_array_equal(out[:5], pack(D[index]))
                assert (out[5] == 171).all()


def test_a_subset_does_not_depend_on_whether_it_was_packed_again(isa, monkeypatch):
    rng = np.random.default_rng(23)
    D = random_dosages(rng, 203, 150, missing=0.1, hostile=True)
    index = np.sort(rng.permutation(203)[:150])
    v = rng.standard_normal((203, 3))

    def parts():
        whole = from_array(D, samples=sample_table(203))
        once = whole.subset(index)
        twice = once.subset(np.arange(0, 150, 2)).filter(maf=0.05)
        back = once.subset(np.arange(149, -1, -2))  # another order: not packed again
        return once, twice, back

    packed = parts()
    monkeypatch.setattr(lmmlasso_fast.packed, "_COMPRESS_UP_TO", 0)
    mapped = parts()
    for one, other in zip(packed, mapped, strict=True):
        for name in ("mean", "sd", "n_missing", "reasons"):
            assert_array_equal(getattr(one, name), getattr(other, name))
        rows = v[: one.n_samples]
        assert_array_equal(one.gradient(rows), other.gradient(rows))
        assert_array_equal(one.columns(np.arange(150)), other.columns(np.arange(150)))
        assert_array_equal(one.dosages([3, 140]), other.dosages([3, 140]))
        assert one.samples.equals(other.samples)
        assert one.duplicates.equals(other.duplicates)
    assert_array_equal(
        packed[1].dosages(np.arange(150)), from_array(D[index[::2]]).dosages(np.arange(150))
    )


@pytest.mark.parametrize("limit", [0, 1 << 26])
def test_copies_in_other_processes_open_the_file_again(tmp_path, monkeypatch, limit):
    import pickle

    from lmmlasso_fast.io.plink import read_plink
    from lmmlasso_fast.io.plink_write import write_plink

    rng = np.random.default_rng(24)
    dosages = rng.integers(-1, 3, (90, 400)).astype(np.int8)
    write_plink(tmp_path / "g", dosages, sample_table(90), variant_table(400))
    monkeypatch.setattr(lmmlasso_fast.packed, "_COMPRESS_UP_TO", limit)
    whole = read_plink(tmp_path / "g").without_tables()
    v = rng.standard_normal(30)
    for genotypes in (whole.subset(np.arange(30)), whole.subset(np.arange(0, 90, 2)).subset(
        np.arange(30)
    ).filter(maf=0.1)):  # fmt: skip
        sent = pickle.dumps(genotypes)
        assert b"g.bed" in sent
        # eight-byte numbers, statistics and the index, but no genotypes
        assert len(sent) < 400 * 40 + 90 * 16 + 2000
        for name in [None, "generic"]:
            before = _core.kernels_name()
            _core.select_kernels(name)
            there = pickle.loads(sent)
            assert_array_equal(there.gradient(v), genotypes.gradient(v))
            again = pickle.loads(pickle.dumps(there))
            assert_array_equal(again.dosages([1, 7]), genotypes.dosages([1, 7]))
            _core.select_kernels(before)
    in_memory = from_array(np.where(dosages < 0, np.nan, dosages)).subset(np.arange(30))
    there = pickle.loads(pickle.dumps(in_memory))
    assert_array_equal(there.gradient(v), in_memory.gradient(v))

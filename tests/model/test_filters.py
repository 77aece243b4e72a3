"""Which SNPs and samples are offered to the model, and which SNPs are the same one twice."""

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose
from problems import dense, from_array, random_dosages, sample_table, variant_table

from lmmlasso_fast import _core
from lmmlasso_fast.errors import GenotypeError
from lmmlasso_fast.genotypes import REASONS
from lmmlasso_fast.packed import PackedGenotypes

pytestmark = pytest.mark.promise("peers")


def reasons_of(genotypes):
    return [REASONS[code] for code in genotypes.reasons]


# ---- filters ---------------------------------------------------------------------------------


def filter_example(missing=0.2):
    rng = np.random.default_rng(14)
    D = random_dosages(rng, 40, 24, missing=missing, hostile=True)
    return D, from_array(D, variants=variant_table(24, ("1", "2", "X")))


def test_filters_record_the_first_reason_in_the_order_of_plink():
    D, genotypes = filter_example()
    kept = genotypes.filter(
        chromosomes=["1", "2"], extract=[f"rs{j}" for j in range(22) if j != 3],
        exclude=["rs0", "rs3", "rs23"], geno=0.2, maf=0.2,
    )  # fmt: skip
    frequency = ref.allele_frequency(D)
    missing = np.isnan(D).mean(axis=0)
    expected = []
    for j in range(24):
        if missing[j] == 1 or len(np.unique(D[~np.isnan(D[:, j]), j])) < 2:
            expected.append("all_missing" if missing[j] == 1 else "monomorphic")
        elif j >= 16:
            expected.append("chr")
        elif j == 3:
            expected.append("extract")
        elif j == 0:
            expected.append("exclude")
        elif missing[j] > 0.2:
            expected.append("geno")
        elif min(frequency[j], 1 - frequency[j]) < 0.2:
            expected.append("maf")
        else:
            expected.append("")
    assert set(expected) == {"", "all_missing", "monomorphic", "chr", "extract", "exclude",
                             "geno", "maf"}  # fmt: skip
    assert reasons_of(kept) == expected
    assert genotypes.included.sum() == 22  # the filtered one is another object
    excluded = kept.excluded
    assert excluded.columns == ["CHROM", "POS", "ID", "REASON"]
    assert excluded["REASON"].to_list() == [name for name in expected if name]
    assert excluded["ID"].to_list() == [f"rs{j}" for j in range(24) if expected[j]]
    v = np.ones(40)
    assert not kept.gradient(v)[[bool(name) for name in expected]].any()
    assert not kept.mean[~kept.included].any()
    # a choice of samples keeps what the user filtered
    again = kept.subset(np.arange(0, 40, 2))
    for before, after in zip(expected, reasons_of(again), strict=True):
        assert after == before or (before == "" and after == "monomorphic")


def test_mind_drops_samples_first_and_statistics_follow():
    D, genotypes = filter_example(0.02)
    D[3, :15] = np.nan
    genotypes = from_array(D, samples=sample_table(40), variants=variant_table(24))
    rate = np.isnan(D[:, genotypes.included]).mean(axis=1)
    assert_allclose(genotypes.sample_missing_rate(), rate)
    assert_allclose(dense(D).sample_missing_rate(), rate)
    kept = genotypes.filter(mind=0.5)
    assert kept.samples["IID"].to_list() == [f"s{i}" for i in range(40) if i != 3]
    assert_allclose(kept.mean, ref.standardise(np.delete(D, 3, axis=0))[1])
    D[np.arange(40), np.arange(40) % 3] = np.nan
    with pytest.raises(GenotypeError, match="none is left"):
        from_array(D).filter(mind=0.0)


def test_thresholds_are_met_by_what_equals_them():
    """0.29 * 100 and 1 - 0.9 round to the wrong side of 29 and 0.1."""
    X = np.zeros((100, 4))
    X[:10, 0] = 2  # A1 frequency 0.1
    X[:90, 1] = 2  # the same with the alleles swapped
    X[:, 2] = np.arange(100) % 3
    X[:29, 2] = np.nan
    X[:9, 3] = 2
    assert reasons_of(from_array(X).filter(maf=0.1)) == ["", "", "", "maf"]
    assert reasons_of(from_array(X).filter(geno=0.29)) == [""] * 4
    assert reasons_of(from_array(X).filter(geno=0.28)) == ["", "", "geno", ""]
    assert reasons_of(from_array(X).filter(maf=0, geno=1, mind=1)) == [""] * 4


@pytest.mark.parametrize(
    "options",
    [{"maf": 0.6}, {"maf": -0.1}, {"geno": 1.1}, {"mind": np.nan}, {"chromosomes": ["7"]}],
)
def test_filters_that_cannot_be_meant_are_refused(options):
    _, genotypes = filter_example()
    with pytest.raises(GenotypeError, match=r"expected .*found"):
        genotypes.filter(**options)


def test_maf_needs_dosages():
    X = np.random.default_rng(15).standard_normal((10, 3))
    with pytest.raises(GenotypeError, match="maf: expected dosages"):
        from_array(X).filter(maf=0.1)


# ---- duplicates ------------------------------------------------------------------------------


def pairs(genotypes):
    return list(zip(*(part.tolist() for part in genotypes.duplicate_pairs()), strict=True))


@pytest.mark.parametrize("n", [1, 2, 4, 5, 40, 100])
def test_duplicates_equal_brute_force(n):
    """Few samples: groups of many, both signs, missing genotypes that must be the same ones."""
    rng = np.random.default_rng(n)
    D = random_dosages(rng, n, 60, missing=0.05, hostile=True)
    for j in range(20, 40, 4):
        D[:, j] = 2 - D[:, j - 15]
        D[:, j + 1] = D[:, j - 15]
        D[0, j + 1] = np.nan if rng.random() < 0.5 else D[0, j + 1]
    assert pairs(from_array(D)) == ref.duplicates(D)
    chosen = rng.permutation(n)[: (n + 1) // 2]
    assert pairs(from_array(D).subset(chosen)) == ref.duplicates(D[chosen])


def test_a_subset_makes_duplicates_and_collapsing_them_names_them():
    D = np.random.default_rng(17).integers(0, 3, (30, 15)).astype(float)
    D[:, 14] = 2 - D[:, 3]
    D[29, 14] = (D[29, 14] + 1) % 3
    genotypes = from_array(D, variants=variant_table(15))
    assert pairs(genotypes) == []
    part = genotypes.subset(np.arange(29))
    assert part.duplicates.rows() == [("rs14", "rs3", -1)]
    collapsed = part.collapse_duplicates()
    assert reasons_of(collapsed)[14] == "duplicate"
    assert collapsed.included.sum() == 14
    assert pairs(collapsed) == []


@pytest.mark.parametrize("make", [from_array, dense])
def test_nothing_offered_has_no_duplicates(make):
    genotypes = make(np.ones((6, 4)))
    assert pairs(genotypes) == []
    assert len(genotypes.duplicates) == 0
    assert not genotypes.collapse_duplicates().included.any()


def test_dense_duplicates_are_equal_or_opposite_number_by_number():
    X = np.random.default_rng(18).standard_normal((12, 6))
    X[2, 0] = np.nan
    X[3, 1] = 0.0
    X[:, 3], X[:, 4], X[:, 5] = X[:, 0], -X[:, 1], X[:, 2] + 1e-9
    assert pairs(from_array(X)) == [(3, 0, 1), (4, 1, -1)]


def mix(value, word):
    """The hash function of the C core, for one word of 32 samples."""
    value = ((value ^ word) * 0x9E3779B97F4A7C15) % 2**64
    return value ^ (value >> 29)


def test_a_collision_of_hashes_is_no_duplicate():
    """Different SNPs of 64 samples with one hash: made by solving for the second word."""
    rng = np.random.default_rng(19)
    for _ in range(100):
        first, other, second = (int(word) for word in rng.integers(0, 2**63, 3))
        rows = [(first, second), (other, mix(0, first) ^ mix(0, other) ^ second)]
        data = np.array(rows * 2, dtype="<u8").view(np.uint8).reshape(4, 16)
        genotypes = PackedGenotypes(data, 64)
        hashes = _core.hashes(data, 64, genotypes._mask)
        if hashes[0] == hashes[1]:
            break
    assert hashes[0] == hashes[1]
    assert pairs(genotypes) == [(2, 0, 1), (3, 1, 1)]

"""LD groups against greedy clumping over all pairs, with r^2 in whole numbers: ties are exact."""

from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import dense, from_array, random_dosages, variant_table

from lmmlasso_fast.errors import InputError
from lmmlasso_fast.ld import clump, r_squared
from lmmlasso_fast.simulation import simulate_genotypes

pytestmark = pytest.mark.promise("peers")

KINDS = pytest.mark.parametrize("kind", [from_array, dense], ids=["packed", "dense"])


def squared_correlations(D):
    """(a, b) with r^2 = a / b exactly, p x p each; missing genotypes at the mean.

    The centred dosages times the number of genotypes that are there are whole numbers.
    """
    present = ~np.isnan(D)
    filled = np.where(present, D, 0).astype(np.int64)
    Z = np.where(present, present.sum(axis=0) * filled - filled.sum(axis=0), 0)
    products = Z.T @ Z
    lengths = np.diag(products).astype(object)  # Python's integers do not overflow
    return products.astype(object) ** 2, np.outer(lengths, lengths)


def reference(D, chromosome, position, snps, score, r2, window):
    """{lead: its members}, the best lead first, by looking at every pair."""
    a, b = squared_correlations(D)
    r2 = Fraction(str(r2))  # 0.8 is 4/5
    left = dict(zip(snps, score, strict=True))
    groups = {}
    while left:
        lead = max(left, key=lambda j: (left[j], -j))
        groups[lead] = sorted(
            j
            for j in left
            if j == lead
            or (
                a[lead, j] * r2.denominator >= b[lead, j] * r2.numerator
                and (
                    window is None
                    or (
                        chromosome[lead] == chromosome[j]
                        and abs(position[lead] - position[j]) <= window
                    )
                )
            )
        )
        for j in groups[lead]:
            del left[j]
    return groups


def as_dict(groups):
    return {int(j): groups.members(k).tolist() for k, j in enumerate(groups.leads)}


def check_shape(groups, genotypes, snps):
    """What holds for any groups: their types, and the three views of them agree."""
    for array in (groups.snps, groups.group, groups.leads):
        assert array.dtype == np.int64
    assert_array_equal(groups.snps, np.sort(snps))
    of = groups.of(genotypes.n_variants)
    assert of.dtype == np.int64
    assert_array_equal(of[groups.snps], groups.group)
    assert_array_equal(np.flatnonzero(of >= 0), groups.snps)
    assert_array_equal(of[groups.leads], np.arange(len(groups.leads)))
    for k in range(len(groups.leads)):
        assert_array_equal(groups.members(k), np.flatnonzero(of == k))


def table(chromosome, position):
    p = len(position)
    return variant_table(p).with_columns(
        CHROM=pl.Series([str(name) for name in chromosome]), POS=pl.Series(position, dtype=pl.Int64)
    )


def columns(*dosages):
    return np.array(dosages, dtype=float).T


def on_one_chromosome(D, position=None, kind=from_array):
    p = D.shape[1]
    return kind(D, variants=table(["1"] * p, np.zeros(p) if position is None else position))


# ---- against the reference --------------------------------------------------------------------


def test_whole_numbers_give_the_squared_correlation():
    D = random_dosages(np.random.default_rng(0), 40, 20, missing=0.1)
    a, b = squared_correlations(D)
    filled = np.where(np.isnan(D), np.nanmean(D, axis=0), D)
    expected = np.corrcoef(filled, rowvar=False) ** 2
    assert_allclose((a / b).astype(float), expected, atol=1e-14)


@KINDS
@pytest.mark.parametrize("r2", [0.05, 0.25, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("window", [None, 0, 30, 200, 1_000_000])
def test_groups_are_those_of_the_greedy_search(kind, r2, window):
    """Duplicates, missing genotypes, equal scores, positions that repeat, SNPs left out."""
    rng = np.random.default_rng([int(1000 * r2), window or 7])
    D = random_dosages(rng, 48, 60, missing=0.05, hostile=True)
    chromosome = np.sort(rng.integers(1, 4, 60))
    position = rng.integers(1, 30, 60) * 10
    genotypes = kind(D, variants=table(chromosome, position))
    snps = rng.permutation(np.flatnonzero(genotypes.included))[:45]
    score = rng.integers(1, 6, 45)
    groups = clump(genotypes, snps, score, r2=r2, window=window)
    check_shape(groups, genotypes, snps)
    expected = reference(D, chromosome, position, snps.tolist(), score.tolist(), r2, window)
    assert list(as_dict(groups).items()) == list(expected.items())


@KINDS
@pytest.mark.parametrize("inbred", [False, True])
def test_simulated_linkage(kind, inbred):
    simulated = simulate_genotypes(
        60, 300, ld=0.98, n_populations=1, fst=0.0, missing_rate=0.02, inbred=inbred,
        n_chromosomes=3, seed=5,
    )  # fmt: skip
    D = np.where(simulated.dosages < 0, np.nan, simulated.dosages)
    genotypes = kind(D, variants=simulated.variants)
    snps = np.flatnonzero(genotypes.included)
    score = np.random.default_rng(1).integers(1, 50, len(snps))
    chromosome, position = (simulated.variants[name].to_list() for name in ("CHROM", "POS"))
    groups = clump(genotypes, snps, score, r2=0.3, window=20_000)
    expected = reference(D, chromosome, position, snps.tolist(), score.tolist(), 0.3, 20_000)
    assert list(as_dict(groups).items()) == list(expected.items())
    assert 10 < len(expected) < len(snps) - 10  # some join, some do not


def test_correlations_are_those_of_the_analysed_samples():
    """Two SNPs that are equal in one half of the samples and unrelated in the other."""
    rng = np.random.default_rng(2)
    D = rng.integers(0, 3, (80, 2)).astype(float)
    D[:40, 1] = D[:40, 0]
    half = np.arange(80) < 40
    for genotypes in (on_one_chromosome(D), on_one_chromosome(D, kind=dense)):
        assert len(clump(genotypes.subset(half), [0, 1], [1, 2], r2=1.0).leads) == 1
        assert len(clump(genotypes.subset(~half), [0, 1], [1, 2], r2=0.5).leads) == 2


def test_decoding_in_blocks_changes_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    D = random_dosages(rng, 40, 80, missing=0.05)
    genotypes, score = on_one_chromosome(D), rng.integers(1, 9, 80)
    expected = reference(D, [1] * 80, [0] * 80, range(80), score.tolist(), 0.5, None)  # the default
    assert as_dict(clump(genotypes, np.arange(80), score)) == expected
    for values in (1, 130):  # one SNP at a time, and three
        monkeypatch.setattr("lmmlasso_fast.ld._BLOCK_VALUES", values)
        assert as_dict(clump(genotypes, np.arange(80), score)) == expected


# ---- thresholds -------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("seed", range(5))
def test_duplicates_are_at_r2_of_one(kind, seed):
    """As they are and with the alleles swapped; 1 must not be missed by rounding."""
    rng = np.random.default_rng([4, seed])
    D = rng.binomial(2, rng.uniform(0.05, 0.95, 30), (101 + seed, 30)).astype(float)
    D[rng.random(D.shape) < 0.1] = np.nan
    genotypes = on_one_chromosome(np.column_stack([D, 2 - D, D]), kind=kind)
    score = rng.random(90)
    groups = clump(genotypes, np.arange(90), score, r2=1.0)
    assert len(groups.leads) == 30
    for k, lead in enumerate(groups.leads):
        members = lead % 30 + np.array([0, 30, 60])
        assert_array_equal(groups.members(k), members)
        assert lead == members[np.argmax(score[members])]


@KINDS
def test_duplicates_of_many_samples(kind):
    rng = np.random.default_rng(5)
    x = rng.binomial(2, 0.003, 200_001).astype(float)
    x[rng.random(len(x)) < 0.01] = np.nan
    changed = x.copy()
    changed[np.flatnonzero(x == 0)[0]] = 2.0  # one genotype of a rare allele
    genotypes = on_one_chromosome(columns(x, 2 - x, changed), kind=kind)
    assert as_dict(clump(genotypes, [0, 1, 2], [3, 2, 1], r2=1.0)) == {0: [0, 1], 2: [2]}


@KINDS
@pytest.mark.parametrize("times", [1, 3, 7, 50])
def test_the_threshold_itself_joins(kind, times):
    """r^2 = 4 / (4 x 2): neither standard deviation is a number with an end."""
    D = np.tile(columns([0, 0, 2, 2], [0, 1, 1, 2]), (times, 1))
    genotypes = on_one_chromosome(D, kind=kind)
    assert len(clump(genotypes, [0, 1], [1, 2], r2=0.5).leads) == 1
    assert len(clump(genotypes, [0, 1], [1, 2], r2=0.5 + 1e-9).leads) == 2


@KINDS
def test_window_edges_are_inside(kind):
    D = np.tile(columns(*[[0, 1, 2, 0]] * 4), (5, 1))
    genotypes = on_one_chromosome(D, [900, 1000, 1100, 1101], kind)
    score = [1, 9, 1, 1]
    assert as_dict(clump(genotypes, range(4), score, window=100)) == {1: [0, 1, 2], 3: [3]}
    assert as_dict(clump(genotypes, range(4), score, window=101)) == {1: [0, 1, 2, 3]}
    assert as_dict(clump(genotypes, range(4), score, window=99)) == {1: [1], 0: [0], 2: [2, 3]}
    assert len(clump(genotypes, range(4), score, window=0).leads) == 4


def test_window_defaults_to_a_million_base_pairs():
    D = np.tile(columns(*[[0, 1, 2, 0]] * 3), (5, 1))
    genotypes = on_one_chromosome(D, [1, 1_000_001, 1_000_002])
    assert as_dict(clump(genotypes, range(3), [2, 1, 1])) == {0: [0, 1], 2: [2]}


def test_chromosomes_never_join_within_a_window():
    D = np.tile(columns(*[[0, 1, 2, 0]] * 4), (5, 1))
    names = ["X", "chr1", "chr2", "X"]
    for position in ([5, 5, 5, 5], [0, 0, 0, 0]):
        genotypes = from_array(D, variants=table(names, position))
        groups = clump(genotypes, range(4), [1, 2, 3, 4])
        assert as_dict(groups) == {3: [0, 3], 2: [2], 1: [1]}
        assert as_dict(clump(genotypes, range(4), [1, 2, 3, 4], window=None)) == {3: [0, 1, 2, 3]}


@pytest.mark.parametrize("window", [0, 1_000_000, None])
def test_without_positions_a_chromosome_is_one_window(window):
    """POS is 0 where there is no map, and where genotypes came as an array."""
    rng = np.random.default_rng(6)
    D = random_dosages(rng, 40, 30)
    score = rng.integers(1, 5, 30)
    expected = reference(D, [1] * 30, [0] * 30, range(30), score.tolist(), 0.3, None)
    for genotypes in (on_one_chromosome(D), from_array(D)):
        groups = clump(genotypes, range(30), score, r2=0.3, window=window)
        assert list(as_dict(groups).items()) == list(expected.items())


def test_a_snp_without_position_is_near_all_of_its_chromosome():
    D = np.tile(columns(*[[0, 1, 2, 0]] * 4), (5, 1))
    genotypes = from_array(D, variants=table([1, 1, 1, 2], [0, 10, 5000, 10]))
    best_first = clump(genotypes, range(4), [9, 1, 1, 1], window=5)
    assert as_dict(best_first) == {0: [0, 1, 2], 3: [3]}
    best_second = clump(genotypes, range(4), [1, 9, 1, 1], window=5)
    assert as_dict(best_second) == {1: [0, 1], 2: [2], 3: [3]}


# ---- order ------------------------------------------------------------------------------------


def test_members_correlate_with_the_lead_not_with_each_other():
    """A chain 0 - 1 - 2 whose ends do not correlate is one group only around its middle."""
    a, c = np.tile([0, 0, 2, 2], 6), np.tile([0, 2, 0, 2], 6)
    genotypes = on_one_chromosome(columns(a, (a + c) / 2, c))
    assert as_dict(clump(genotypes, range(3), [1, 2, 1])) == {1: [0, 1, 2]}
    assert as_dict(clump(genotypes, range(3), [3, 2, 1])) == {0: [0, 1], 2: [2]}
    assert as_dict(clump(genotypes, range(3), [1, 2, 3])) == {2: [1, 2], 0: [0]}


def test_equal_scores_go_by_the_snp():
    D = random_dosages(np.random.default_rng(7), 60, 12)
    D[:, 8] = D[:, 3]
    groups = clump(on_one_chromosome(D), np.arange(12), np.ones(12), r2=1.0)
    assert_array_equal(groups.leads, [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11])
    assert_array_equal(groups.members(3), [3, 8])


def test_order_of_the_snps_does_not_matter():
    rng = np.random.default_rng(8)
    genotypes = on_one_chromosome(random_dosages(rng, 40, 50, missing=0.05))
    snps = rng.permutation(50)[:40]
    score = rng.integers(1, 4, 40)
    expected = clump(genotypes, snps, score, r2=0.3)
    for _ in range(3):
        order = rng.permutation(40)
        groups = clump(genotypes, snps[order], score[order], r2=0.3)
        for name in ("snps", "group", "leads"):
            assert_array_equal(getattr(groups, name), getattr(expected, name))


def test_alleles_that_are_swapped_do_not_matter():
    rng = np.random.default_rng(9)
    D = random_dosages(rng, 40, 50, missing=0.05)
    score = rng.integers(1, 4, 50)
    swapped = np.where(rng.random(50) < 0.5, 2 - D, D)
    groups = [clump(on_one_chromosome(X), range(50), score, r2=0.3) for X in (D, swapped)]
    assert as_dict(groups[0]) == as_dict(groups[1])


def test_scores_count_by_their_order_alone():
    rng = np.random.default_rng(10)
    genotypes = on_one_chromosome(random_dosages(rng, 40, 30))
    score = rng.integers(-3, 3, 30)
    expected = as_dict(clump(genotypes, range(30), score))
    assert as_dict(clump(genotypes, range(30), score * 0.01)) == expected
    assert as_dict(clump(genotypes, range(30), np.where(score == 2, np.inf, score))) == expected


# ---- the ends of the range ----------------------------------------------------------------------


@KINDS
def test_one_snp_and_none(kind):
    genotypes = on_one_chromosome(random_dosages(np.random.default_rng(11), 30, 5), kind=kind)
    groups = clump(genotypes, [3], [0.0])
    check_shape(groups, genotypes, [3])
    assert as_dict(groups) == {3: [3]}
    none = clump(genotypes, [], [])
    check_shape(none, genotypes, [])
    assert_array_equal(none.of(5), np.full(5, -1))


def test_what_is_passed_is_not_written_to():
    genotypes = on_one_chromosome(random_dosages(np.random.default_rng(12), 30, 5))
    snps, score = np.array([4, 0, 2]), np.array([1.0, 3.0, 2.0])
    snps.flags.writeable = score.flags.writeable = False
    groups = clump(genotypes, snps, score)
    assert not np.shares_memory(groups.snps, snps)


@pytest.mark.parametrize("r2", [0, 0.0, -0.1, 1.0000001, np.nan, np.inf])
def test_r2_out_of_range(r2):
    with pytest.raises(InputError, match=r"^r2: expected .*\(0, 1\], found"):
        clump(from_array(random_dosages(np.random.default_rng(0), 9, 3)), [0], [1], r2=r2)


@pytest.mark.parametrize("window", [-1, -0.5, np.nan])
def test_window_out_of_range(window):
    with pytest.raises(InputError, match=r"^window: expected .*, found"):
        clump(from_array(random_dosages(np.random.default_rng(0), 9, 3)), [0], [1], window=window)


@KINDS
@pytest.mark.parametrize(
    ("snps", "score", "named"),
    [
        ([1, 2, 1], [1, 2, 3], "snps"),
        ([1, 2], [1, 2, 3], "snps"),
        ([[1, 2]], [[1, 2]], "snps"),
        ([-1, 2], [1, 2], "snps"),
        ([1, 12], [1, 2], "snps"),
        ([1, 9], [1, 2], "snps"),  # monomorphic
        ([10], [1], "snps"),  # missing everywhere
        ([1, 2], [1, np.nan], "score"),
    ],
)
def test_snps_that_cannot_be_grouped(kind, snps, score, named):
    D = random_dosages(np.random.default_rng(13), 30, 12, hostile=True)
    with pytest.raises(InputError, match=f"^{named}: expected "):
        clump(kind(D), snps, score)


def test_filtered_snps_are_refused():
    D = random_dosages(np.random.default_rng(14), 30, 6)
    genotypes = from_array(D, variants=variant_table(6)).filter(exclude=["rs4"])
    with pytest.raises(InputError, match=r"^snps: expected SNPs that are offered"):
        clump(genotypes, [1, 4], [1, 2])
    assert len(clump(genotypes, [1, 3], [1, 2]).snps) == 2


@KINDS
@pytest.mark.parametrize("frequency", [0.03, 0.3, 0.5, 0.7, 0.99])
def test_duplicates_of_many_samples_at_any_frequency(kind, frequency):
    rng = np.random.default_rng(5)
    x = rng.binomial(2, frequency, 400_001).astype(float)
    x[rng.random(len(x)) < 0.01] = np.nan
    genotypes = on_one_chromosome(columns(x, 2 - x, x), kind=kind)
    assert as_dict(clump(genotypes, [0, 1, 2], [3, 2, 1], r2=1.0)) == {0: [0, 1, 2]}


@pytest.mark.parametrize("dtype", [pl.UInt32, pl.UInt64, pl.Int32])
def test_positions_of_any_whole_type(dtype):
    D = np.tile(columns(*[[0, 1, 2, 0]] * 3), (5, 1))
    variants = table([1] * 3, [900, 1000, 1101]).with_columns(pl.col("POS").cast(dtype))
    groups = clump(from_array(D, variants=variants), range(3), [1, 9, 1], window=100)
    assert as_dict(groups) == {1: [0, 1], 2: [2]}


@pytest.mark.parametrize("window", [None, 20])
@pytest.mark.parametrize("ahead", [1, 2, 7])
def test_any_number_of_leads_looked_at_together(monkeypatch, ahead, window):
    rng = np.random.default_rng(15)
    D = random_dosages(rng, 40, 80, missing=0.05)
    chromosome, position = np.arange(80) // 40, np.arange(1, 81) * 10
    genotypes, score = from_array(D, variants=table(chromosome, position)), rng.integers(1, 9, 80)
    expected = reference(D, chromosome, position, range(80), score.tolist(), 0.3, window)
    monkeypatch.setattr("lmmlasso_fast.ld._AHEAD", ahead)
    assert as_dict(clump(genotypes, range(80), score, r2=0.3, window=window)) == expected


# --- r2 to one SNP --------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1 << 22, 500])
def test_r_squared_is_that_of_the_dosages(block, monkeypatch):
    """Missing genotypes at the mean; in one block or in many."""
    monkeypatch.setattr("lmmlasso_fast.ld._BLOCK_VALUES", block)
    rng = np.random.default_rng(2)
    X = rng.binomial(2, 0.3, (150, 40)).astype(float)
    X[:, 5] = 2 - X[:, 0]
    X[rng.uniform(size=X.shape) < 0.05] = np.nan
    X[:, 7] = 1
    filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    others = np.array([5, 0, 3, 39, 12])
    found = r_squared(from_array(X), 0, others)
    assert_allclose(found, np.corrcoef(filled[:, [0, *others]].T)[0, 1:] ** 2, rtol=1e-10)
    assert np.isnan(r_squared(from_array(X), 0, [7])).all()

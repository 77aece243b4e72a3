"""Which loci are found and which are false: decisions one by one, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from problems import from_array, random_dosages
from snp_maps import KINDS, on_map, table

import lmmlasso_fast as ll
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.evaluation import hits, precision_recall, rank_snps, roc

pytestmark = pytest.mark.promise("peers")

# ---- decisions, one by one ----------------------------------------------------------------------


def counts(ranking, causal, genotypes, **options):
    found = hits(ranking, causal, genotypes, **options)
    return found.n_true.tolist(), found.n_false.tolist()


def test_a_locus_counts_once_and_its_other_snps_for_nothing():
    genotypes = on_map([100, 110, 120, 500, 505, 900])
    assert counts([0, 1, 2, 3, 4, 5], [1], genotypes, window=10) == ([1], [0])
    # two loci, so that it goes on
    assert counts([0, 2, 1, 3, 4, 5], [1, 5], genotypes, window=10) == (
        [1, 1, 1, 1, 1, 2], [0, 0, 0, 1, 1, 1],
    )  # fmt: skip


def test_a_false_locus_is_what_is_near_its_first_snp():
    """50 is near 30, but not near 10, which opened the locus."""
    genotypes = on_map([10, 30, 50, 1000])
    assert counts([0, 1, 2], [3], genotypes, window=20)[1] == [1, 1, 2]
    assert counts([1, 0, 2], [3], genotypes, window=20)[1] == [1, 1, 1]


def test_causal_snps_within_a_window_are_one_locus_and_so_are_chains():
    genotypes = on_map([100, 140, 180, 1000, 160])
    found = hits([1], [3, 0, 2, 1], genotypes, window=40)
    assert found.causal.tolist() == [0, 1, 2, 3]
    assert found.causal_locus.tolist() == [0, 0, 0, 1]
    assert found.n_true.tolist() == [1]
    assert precision_recall(found).area == 0.5
    assert hits([1], [3, 0, 2], genotypes, window=40).n_loci == 3  # the link is not causal now
    assert hits([1], [3, 0, 2, 1], genotypes, window=39).n_loci == 4
    # neighbours in an order that links the ends last
    assert hits([], range(5), on_map([150, 110, 120, 140, 130]), window=10).n_loci == 1


def test_a_snp_in_two_windows_is_of_the_nearest_causal_snp_alone():
    """Of two equally near, of the first locus; so that one SNP never finds two loci."""
    genotypes = on_map([100, 170, 130, 135, 140, 135])
    for snp, locus in ((2, 0), (3, 0), (4, 1)):
        found = hits([snp], [0, 1], genotypes, window=50)
        assert (found.n_loci, found.locus.tolist()) == (2, [locus])
    assert counts([2, 3, 4], [0, 1], genotypes, window=50) == ([1, 1, 2], [0, 0, 0])
    # first by number, not by position
    assert hits([3], [4, 0], on_map([170, 0 + 1, 2, 135, 100]), window=50).locus.tolist() == [0]


@KINDS
def test_correlation_stays_on_the_chromosome(kind):
    """A SNP that is the causal one's double by population structure alone is a miss."""
    D = np.tile([[0.0] * 3, [1.0] * 3, [2.0] * 3], (4, 1))
    genotypes = kind(D, variants=table(["1", "2", "1"], [0, 0, 0]))
    found = hits([1, 2], [0], genotypes, r2=1.0)
    assert found.locus.tolist() == [-1, 0]
    anywhere = kind(D)  # no map: one chromosome
    assert hits([1], [0], anywhere, r2=1.0).locus.tolist() == [0]


@KINDS
def test_correlation_is_that_of_the_analysed_samples(kind):
    rng = np.random.default_rng(2)
    D = rng.integers(0, 3, (80, 2)).astype(float)
    D[:40, 1] = D[:40, 0]
    genotypes, half = kind(D), np.arange(80) < 40
    assert hits([1], [0], genotypes.subset(half), r2=1.0).locus.tolist() == [0]
    assert hits([1], [0], genotypes.subset(~half), r2=0.5).locus.tolist() == [-1]


@KINDS
@pytest.mark.parametrize("times", [1, 3, 7, 50])
def test_the_threshold_itself_is_near(kind, times):
    """r^2 = 4 / (4 x 2): neither standard deviation is a number with an end."""
    D = np.tile(np.array([[0, 0, 2, 2], [0, 1, 1, 2]], dtype=float).T, (times, 1))
    assert hits([1], [0], kind(D), r2=0.5).locus.tolist() == [0]
    assert hits([1], [0], kind(D), r2=0.5 + 1e-9).locus.tolist() == [-1]


def test_swapped_alleles_change_nothing():
    rng = np.random.default_rng(6)
    D = random_dosages(rng, 40, 60, missing=0.05)
    flipped = np.where(rng.random(60) < 0.5, 2 - D, D)
    order, causal = rng.permutation(60), [5, 20, 40]
    found = [hits(order, causal, from_array(X), r2=0.2) for X in (D, flipped)]
    assert_array_equal(found[0].false_locus, found[1].false_locus)
    assert_array_equal(found[0].locus, found[1].locus)


def test_numbers_of_the_snps_do_not_matter():
    rng = np.random.default_rng(7)
    p = 60
    position, chromosome = rng.permutation(600)[:p] + 1, rng.choice(["a", "b"], p)
    order, causal, shuffled = rng.permutation(p), [5, 20, 40], rng.permutation(p)
    new = np.argsort(shuffled)  # SNP shuffled[k] becomes k
    before = on_map(position, chromosome)
    after = on_map(position[shuffled], chromosome[shuffled])
    for window in (3, 30):
        one = hits(order, causal, before, window=window)
        two = hits(new[order], new[causal], after, window=window)
        assert_array_equal(one.n_true, two.n_true)
        assert_array_equal(one.n_false, two.n_false)
        assert roc(one, before).area == pytest.approx(roc(two, after).area, rel=1e-12)


def test_an_untyped_causal_snp_is_found_by_a_neighbour():
    genotypes = on_map([100, 110, 500]).filter(exclude=["rs0"])
    found = hits([2, 1], [0], genotypes, window=10)
    assert (found.n_true.tolist(), found.n_false.tolist()) == ([0, 1], [1, 1])
    with pytest.raises(InputError, match=r"^causal \(with r2\): .*use window, or genotypes in"):
        hits([2, 1], [0], genotypes, r2=0.5)
    alone = hits([2, 1], [0], genotypes, window=9)  # nothing can find it
    assert (alone.n_loci, alone.n_true.tolist()) == (1, [0, 0])


def test_nothing_is_followed_beyond_the_last_locus():
    genotypes = on_map(np.arange(1, 101) * 10)
    found = hits(np.arange(100), [3, 7], genotypes, window=0)
    assert len(found.snps) == 8
    longer = hits(np.arange(100), [3, 7], genotypes, window=0, max_false=1000)
    assert len(longer.snps) == 8
    assert len(hits(np.arange(100), [], genotypes, window=0).snps) == 100


def test_max_false_ends_with_the_level_that_reaches_it():
    genotypes = on_map(np.arange(1, 11) * 10)
    assert counts(range(10), [9], genotypes, window=0, max_false=3) == ([0, 0, 0], [1, 2, 3])
    levels = rank_snps([5, 5, 4, 4, 4, 4, 1, 1, 1, 9])
    assert counts(levels, [8], genotypes, window=0, max_false=4) == ([0, 0, 0], [1, 3, 7])


def test_the_average_precision_that_max_false_can_cost():
    rng = np.random.default_rng(8)
    genotypes = on_map(np.arange(1, 201) * 10)
    for _ in range(20):
        order, causal = rng.permutation(200), rng.choice(200, 10, replace=False)
        full, cut = (
            precision_recall(hits(order, causal, genotypes, window=15, max_false=limit)).area
            for limit in (None, 12)
        )
        m = hits(order, causal, genotypes, window=15).n_loci
        found = hits(order, causal, genotypes, window=15, max_false=12).n_true[-1]
        assert 0 <= full - cut <= (m - found) / (m + 12) + 1e-15


def test_an_empty_ranking_finds_nothing():
    genotypes = on_map([10, 20, 30])
    for empty in ([], np.empty(0), rank_snps([np.nan] * 3), rank_snps([0.0] * 3, above=0)):
        for options in ({"window": 5}, {"r2": 0.9}):
            found = hits(empty, [1], genotypes, **options)
            assert (len(found.snps), found.n_true.tolist()) == (0, [])
            assert precision_recall(found).area == 0.0
            curve = roc(found, genotypes)
            assert_array_equal(curve.false_positive_rate, [0, 1])
            assert curve.area == 0.5


def test_without_causal_snps_everything_is_false():
    genotypes = on_map([10, 20, 30])
    for options in ({"window": 5}, {"r2": 1.0}):
        found = hits([0, 2], [], genotypes, **options)
        assert (found.n_loci, found.n_false.tolist()) == (0, [1, 2])


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"window": 10, "r2": 0.5}, {"window": -1}, {"window": np.nan}, {"window": np.inf},
     {"window": "10"}, {"r2": 0}, {"r2": 1.1}, {"r2": np.nan}, {"r2": "0.5"},
     {"window": 10, "max_false": 0}, {"window": 10, "max_false": 1.5}],
)  # fmt: skip
def test_options_out_of_range(options):
    name = "max_false" if "max_false" in options else (*options, "window, r2")[0]
    name = "window, r2" if len(options) != 1 and name != "max_false" else name
    with pytest.raises(InputError, match=f"^{name}: expected .*found"):
        hits([0], [1], on_map([10, 20]), **options)


@pytest.mark.parametrize("options", [{"window": 10}, {"r2": 0.5}])
@pytest.mark.parametrize(
    ("ranking", "causal", "named"),
    [
        ([0, 1, 0], [2], "ranking"),
        ([0, 5], [2], "ranking"),
        ([-1], [2], "ranking"),
        ([0.5], [2], "ranking"),
        ([True, False], [2], "ranking"),
        ([[0, 1]], [2], "ranking"),
        ([0, 3], [2], "ranking"),  # monomorphic
        ([0], [2, 2], "causal"),
        ([0], [9], "causal"),
        ([0], [1.0], "causal"),
        ([0], 1, "causal"),
    ],
)
def test_snps_that_cannot_be_evaluated(options, ranking, causal, named):
    D = random_dosages(np.random.default_rng(0), 20, 5)
    D[:, 3] = 1.0
    with pytest.raises(InputError, match=f"^{named}: expected .*found"):
        hits(ranking, causal, from_array(D, variants=table("11111", [1, 2, 3, 4, 5])), **options)


def test_scores_of_other_snps():
    genotypes = on_map([10, 20, 30])
    with pytest.raises(InputError, match=r"^ranking: expected scores of the genotypes' 3 SNPs"):
        hits(rank_snps([1.0, 2.0]), [0], genotypes, window=1)
    with pytest.raises(InputError, match=r"in scores: NaN"):
        hits(rank_snps([1.0, 2.0, 3.0]), [0], genotypes.filter(exclude=["rs1"]), window=1)


def test_a_window_without_positions_says_to_use_r2():
    D = random_dosages(np.random.default_rng(0), 20, 5)
    for genotypes in (from_array(D), from_array(D, variants=table("11111", [1, 2, 0, 4, -5]))):
        with pytest.raises(InputError, match=r"^window: expected positions above 0 .*use r2"):
            hits([0], [1], genotypes, window=10)
    left = genotypes.filter(exclude=["rs2", "rs4"])
    assert hits([0], [1], left, window=10).locus.tolist() == [0]


# ---- real data ----------------------------------------------------------------------------------


def test_a_data_set_without_a_map(data_dir):
    genotypes = ll.read_plink(data_dir / "arabidopsis_84" / "arabidopsis_84")
    with pytest.raises(InputError, match=r"^window: expected positions above 0 .*use r2"):
        hits([0], [1], genotypes, window=10)
    snps = np.flatnonzero(genotypes.included)[:2000]
    found = hits(snps, snps[[1000, 1999]], genotypes, r2=0.5, max_false=100)
    D = genotypes.dosages(snps[: len(found.snps)])
    X = genotypes.columns(found.snps)
    assert set(np.unique(D)) <= {-1, 0, 2}
    R = np.corrcoef(X, rowvar=False) ** 2
    leads = []
    for k in range(len(found.snps)):
        if not any(R[k, lead] >= 0.5 for lead in leads) and found.locus[k] < 0:
            leads.append(k)
    assert len(leads) == found.n_false[-1]

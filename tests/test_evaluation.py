"""Counting of loci, curves and enrichment against loops that are the definitions word by word."""

from fractions import Fraction
from functools import cache
from itertools import pairwise, product
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import refused
from numpy.testing import assert_allclose, assert_array_equal
from problems import dense, from_array, mixed_problem, random_dosages, variant_table
from scipy import sparse, stats
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

import lmmlasso_fast as ll
from lmmlasso_fast import evaluation
from lmmlasso_fast.errors import InputError, TableError
from lmmlasso_fast.evaluation import (
    adjacent_share,
    enrichment,
    entry_order,
    hits,
    mean_interval,
    paired_interval,
    precision_recall,
    rank_snps,
    read_bed,
    roc,
)

KINDS = pytest.mark.parametrize("kind", [from_array, dense], ids=["packed", "dense"])


# ---- the definitions ----------------------------------------------------------------------------


class WindowClose:
    """Closeness by distance: the smaller the closer, None where two SNPs are not near."""

    def __init__(self, chromosome, position, window):
        self.chromosome, self.position, self.window = chromosome, position, window

    def __call__(self, i, j):
        distance = abs(int(self.position[i]) - int(self.position[j]))
        near = self.chromosome[i] == self.chromosome[j] and distance <= self.window
        return distance if near else None


class CorrelationClose:
    """The same by r^2 in fractions; missing genotypes at the mean."""

    def __init__(self, D, chromosome, r2):
        present = ~np.isnan(D)
        filled = np.where(present, D, 0).astype(np.int64)
        Z = np.where(present, present.sum(axis=0) * filled - filled.sum(axis=0), 0)
        self.products = (Z.T @ Z).tolist()
        self.chromosome, self.r2 = chromosome, Fraction(str(r2))

    def __call__(self, i, j):
        G = self.products
        if self.chromosome[i] != self.chromosome[j]:
            return None
        r2 = Fraction(G[i][j] ** 2, G[i][i] * G[j][j])
        return -r2 if r2 >= self.r2 else None


def reference(levels, causal, closeness, offered, max_false=None):
    """Loci, counts at the end of every level, average precision and ROC, by loops."""
    closeness = cache(closeness)
    loci = [{j} for j in sorted(causal)]
    merged = True
    while merged:
        merged = False
        for a, b in product(range(len(loci)), repeat=2):
            if a < b and any(closeness(i, j) is not None for i in loci[a] for j in loci[b]):
                loci[a] |= loci.pop(b)
                merged = True
                break
    loci.sort(key=min)

    def locus_of(j):
        close = [
            (closeness(j, i), k) for k in range(len(loci)) for i in loci[k]
            if closeness(j, i) is not None
        ]  # fmt: skip
        return min(close)[1] if close else -1

    negatives = [j for j in offered if locus_of(j) < 0]
    found, leads, misses = set(), [], []
    locus, false_locus, n_true, n_false, covered = [], [], [], [], []
    for level in levels:
        for j in level:
            locus.append(locus_of(j))
            false_locus.append(-1)
            if locus[-1] >= 0:
                found.add(locus[-1])
                continue
            misses.append(j)
            near = [k for k, lead in enumerate(leads) if closeness(j, lead) is not None]
            false_locus[-1] = near[0] if near else len(leads)
            if not near:
                leads.append(j)
        n_true.append(len(found))
        n_false.append(len(leads))
        covered.append(sum(any(closeness(j, i) is not None for i in misses) for j in negatives))
        if len(found) == len(loci) > 0 or (max_false is not None and len(leads) >= max_false):
            break

    area, before = 0.0, 0
    for t, f in zip(n_true, n_false, strict=True):
        area += (t - before) * t / (t + f)
        before = t
    points = [(0, 0)]
    points += [
        (c / max(len(negatives), 1), t / max(len(loci), 1))
        for c, t in zip(covered, n_true, strict=True)
    ]
    points += [(1, 1)]
    under = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))
    return SimpleNamespace(
        loci=loci, locus=locus, false_locus=false_locus, n_true=n_true, n_false=n_false,
        area=area / max(len(loci), 1), points=points, roc_area=under, negatives=negatives,
    )  # fmt: skip


def check(ranking, levels, causal, genotypes, closeness, **options):
    """Hits and both curves against the reference; returns the hits."""
    offered = np.flatnonzero(genotypes.included).tolist()
    expected = reference(levels, causal, closeness, offered, options.get("max_false"))
    found = hits(ranking, causal, genotypes, **options)
    assert found.n_loci == len(expected.loci)
    by_locus = [set(found.causal[found.causal_locus == k].tolist()) for k in range(found.n_loci)]
    assert by_locus == expected.loci
    for name in ("locus", "false_locus", "n_true", "n_false"):
        assert getattr(found, name).dtype == np.int64
        assert getattr(found, name).tolist() == getattr(expected, name), name
    assert found.snps.tolist() == [j for level in levels for j in level][: len(found.snps)]
    assert len(found.level_ends) == len(found.n_true)
    if found.n_loci == 0:
        for curve in (precision_recall, lambda h: roc(h, genotypes)):
            with pytest.raises(InputError, match=r"^hits: expected at least one causal SNP"):
                curve(found)
        return found
    curve = precision_recall(found)
    assert_allclose(curve.area, expected.area, rtol=1e-12)
    assert_allclose(curve.recall, np.array(expected.n_true) / found.n_loci, rtol=1e-15)
    if not expected.negatives:
        with pytest.raises(InputError, match="found none; take a smaller window or a larger r2"):
            roc(found, genotypes)
        return found
    curve = roc(found, genotypes)
    assert curve.n_negatives == len(expected.negatives)
    points = np.column_stack([curve.false_positive_rate, curve.true_positive_rate])
    assert_allclose(points, expected.points, rtol=1e-14)
    assert_allclose(curve.area, expected.roc_area, rtol=1e-12)
    return found


def on_map(position, chromosome=None, kind=from_array, seed=0, n=20):
    """Genotypes with these positions, none of them monomorphic."""
    p = len(position)
    D = random_dosages(np.random.default_rng(seed), n, p)
    D[:3] = [[0], [1], [2]]
    return kind(D, variants=table(["1"] * p if chromosome is None else chromosome, position))


def table(chromosome, position):
    return variant_table(len(position)).with_columns(
        CHROM=pl.Series([str(name) for name in chromosome]), POS=pl.Series(position, dtype=pl.Int64)
    )


# ---- hits and curves against the definitions ----------------------------------------------------


@st.composite
def rankings(draw, snps):
    """(what `hits` takes, the levels of it): a list of SNPs, or scores with ties."""
    if draw(st.booleans()):
        order = draw(st.permutations(snps))
        order = order[: draw(st.integers(0, len(order)))]
        return order, [[j] for j in order]
    p = max(snps, default=0) + 1
    scores = np.full(p, np.nan)
    for j in snps:
        scores[j] = draw(st.sampled_from([np.nan, -1.5, 0.0, 1.0, 2.0, np.inf]))
    values = sorted(set(scores[~np.isnan(scores)]), reverse=True)
    return scores, [np.flatnonzero(scores == value).tolist() for value in values]


def as_ranking(given_ranking, n_variants):
    if isinstance(given_ranking, np.ndarray):
        scores = np.full(n_variants, np.nan)
        scores[: len(given_ranking)] = given_ranking
        return rank_snps(scores)
    return given_ranking


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_windows(data):
    p = data.draw(st.integers(1, 14))
    position = data.draw(st.lists(st.integers(1, 40), min_size=p, max_size=p))
    chromosome = data.draw(st.lists(st.sampled_from(["1", "10", "X"]), min_size=p, max_size=p))
    genotypes = on_map(position, chromosome, n=5)
    left_out = data.draw(st.sets(st.integers(0, p - 1), max_size=3))
    ids = [f"rs{j}" for j in left_out]
    genotypes = genotypes.filter(exclude=ids)
    offered = np.flatnonzero(genotypes.included).tolist()
    causal = data.draw(st.lists(st.integers(0, p - 1), unique=True, max_size=5))
    ranking, levels = data.draw(rankings(offered))
    window = data.draw(st.sampled_from([0, 1, 4, 4.5, 12, 1000]))
    max_false = data.draw(st.sampled_from([None, None, 1, 3]))
    close = WindowClose(chromosome, position, window)
    check(
        as_ranking(ranking, p), levels, causal, genotypes, close,
        window=window, max_false=max_false,
    )  # fmt: skip


@KINDS
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_correlations(kind, data):
    n, p = data.draw(st.integers(4, 7)), data.draw(st.integers(1, 10))
    value = st.sampled_from([0.0, 0.0, 1.0, 2.0, 2.0, np.nan])
    D = np.array(data.draw(st.lists(value, min_size=n * p, max_size=n * p))).reshape(n, p)
    chromosome = data.draw(st.lists(st.sampled_from(["1", "2"]), min_size=p, max_size=p))
    genotypes = kind(D, variants=table(chromosome, [0] * p))
    offered = np.flatnonzero(genotypes.included).tolist()
    causal = data.draw(st.lists(st.sampled_from(offered), unique=True, max_size=3)) if offered \
        else []  # fmt: skip
    ranking, levels = data.draw(rankings(offered))
    r2 = data.draw(st.sampled_from([0.01, 0.25, 0.5, 0.75, 1.0]))
    close = CorrelationClose(D, chromosome, r2)
    max_false = data.draw(st.sampled_from([None, None, 2]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "_BLOCK_SNPS", data.draw(st.sampled_from([1, 2, 3, 1024])))
        check(as_ranking(ranking, p), levels, causal, genotypes, close, r2=r2, max_false=max_false)


@KINDS
@pytest.mark.parametrize("seed", range(4))
def test_larger_problems(kind, seed, monkeypatch):
    """Linkage, missing genotypes, duplicates, blocks that cut levels, an unsorted map."""
    rng = np.random.default_rng([1, seed])
    p = 90
    D = random_dosages(rng, 40, p, missing=0.05, hostile=True)
    chromosome = rng.choice(["1", "2", "X"], p)
    position = rng.integers(1, 400, p)
    genotypes = kind(D, variants=table(chromosome, position))
    offered = np.flatnonzero(genotypes.included)
    causal = rng.choice(offered, 6, replace=False).tolist()
    scores = np.full(p, np.nan)
    scores[offered] = rng.integers(0, 30, len(offered))
    levels = [np.flatnonzero(scores == v).tolist() for v in range(29, -1, -1)]
    levels = [level for level in levels if level]
    order = rng.permutation(offered)
    closes = [
        ({"window": w}, WindowClose(chromosome, position, w)) for w in (3, 25)
    ] + [({"r2": r}, CorrelationClose(D, chromosome, r)) for r in (0.1, 0.4)]  # fmt: skip
    for options, close in closes:
        for block in (1024, 7):
            monkeypatch.setattr(evaluation, "_BLOCK_SNPS", block)
            check(rank_snps(scores), levels, causal, genotypes, close, **options)
            check(order, [[j] for j in order], causal, genotypes, close, **options)
            check(order, [[j] for j in order], causal, genotypes, close, max_false=5, **options)


def test_packed_and_dense_agree_on_a_simulated_study():
    from lmmlasso_fast.simulation import simulate_genotypes

    drawn = simulate_genotypes(60, 800, ld=0.97, missing_rate=0.02, seed=4)
    D = np.where(drawn.dosages < 0, np.nan, drawn.dosages)
    rng = np.random.default_rng(5)
    both = [kind(D, variants=drawn.variants) for kind in (from_array, dense)]
    order = rng.permutation(np.flatnonzero(both[0].included))
    causal = rng.choice(order, 8, replace=False)
    for options in ({"window": 5000}, {"r2": 0.3}):
        found = [hits(order, causal, genotypes, **options) for genotypes in both]
        for name in ("locus", "false_locus", "n_true", "n_false"):
            assert_array_equal(*(getattr(h, name) for h in found))
        assert found[0].n_false[-1] > 20
        areas = [roc(h, g).area for h, g in zip(found, both, strict=True)]
        assert areas[0] == areas[1]


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


# ---- curves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_one_snp_per_locus_is_what_scikit_learn_computes(seed):
    """With ties; every SNP is ranked and is its own locus."""
    rng = np.random.default_rng([9, seed])
    p = 80
    genotypes = on_map(np.arange(1, p + 1) * 10)
    scores = rng.integers(0, 25, p).astype(float)
    is_causal = np.arange(p) % 7 == 3
    found = hits(rank_snps(scores), np.flatnonzero(is_causal), genotypes, window=0)
    curve = precision_recall(found)
    assert curve.area == pytest.approx(average_precision_score(is_causal, scores), rel=1e-12)
    assert roc(found, genotypes).area == pytest.approx(roc_auc_score(is_causal, scores), rel=1e-12)
    precision, recall, _ = precision_recall_curve(is_causal, scores)
    assert_allclose(curve.precision, precision[:-1][::-1][: len(curve.precision)])
    assert_allclose(curve.recall, recall[:-1][::-1][: len(curve.recall)])


def test_a_perfect_ranking_has_areas_of_one_and_the_worst_almost_none():
    genotypes = on_map(np.arange(1, 101) * 10)
    causal = [5, 50, 80]
    best = hits([5, 50, 80], causal, genotypes, window=20)
    assert (precision_recall(best).area, roc(best, genotypes).area) == (1.0, 1.0)
    worst = [j for j in range(100) if min(abs(j - c) for c in causal) > 2] + causal
    found = hits(worst, causal, genotypes, window=20)
    assert roc(found, genotypes).area == 0.0
    assert precision_recall(found).area < 0.1


def test_a_ranking_by_chance_has_half_of_the_roc_area():
    """However wide the window: what single SNPs as negatives against whole loci would not give."""
    rng = np.random.default_rng(10)
    genotypes = on_map(np.sort(rng.permutation(40_000)[:2000]) + 1)
    for window in (0, 100, 400):
        areas = [
            roc(
                hits(rng.permutation(2000), rng.choice(2000, 8, False), genotypes, window=window),
                genotypes,
            ).area
            for _ in range(60)
        ]  # fmt: skip
        assert abs(np.mean(areas) - 0.5) < 0.03 + 3 * np.std(areas) / np.sqrt(60)


def test_part_of_the_roc_area():
    genotypes = on_map(np.arange(1, 12) * 10)
    # miss, hit, miss, hit; 9 negatives: (0,0) (1/9,0) (1/9,1/2) (2/9,1/2) (2/9,1) (1,1)
    found = hits([3, 0, 4, 10], [0, 10], genotypes, window=0)
    assert roc(found, genotypes).area == pytest.approx((0.5 + 7) / 9)
    for end, area in ((1 / 9, 0.0), (2 / 9, 0.5 / 9), (1 / 3, 1.5 / 9), (1 / 6, 0.5 / 18)):
        assert roc(found, genotypes, max_fpr=end).area == pytest.approx(area / end, abs=1e-15)
    chance = hits([], [0, 10], genotypes, window=0)
    assert roc(chance, genotypes, max_fpr=0.2).area == pytest.approx(0.1)


def test_curves_at_a_place():
    genotypes = on_map(np.arange(1, 12) * 10)
    found = hits([3, 0, 4, 10], [0, 10], genotypes, window=0)
    curve = roc(found, genotypes)
    assert_allclose(curve.at([0, 1 / 18, 1 / 9, 1 / 6, 2 / 9, 0.5, 1]), [0, 0, 0.5, 0.5, 1, 1, 1])
    truncated = roc(hits([0], [0, 10], genotypes, window=0), genotypes)
    assert_allclose(truncated.at([0, 0.25, 0.5, 1]), [0.5, 0.625, 0.75, 1])
    assert truncated.at(0.5) == 0.75
    curve = precision_recall(found)
    assert_allclose(curve.at([0, 0.2, 0.5, 0.50001, 1]), [0, 0.5, 0.5, 0.5, 0.5])
    curve = precision_recall(hits([3, 0, 4, 5, 9], [0, 10], genotypes, window=0))
    assert_allclose(curve.at([0.5, 0.51, 1]), [0.5, 0, 0])
    for x in (-0.1, 1.1, [0.5, np.nan]):
        with pytest.raises(InputError, match=r"^false_positive_rate: expected numbers in \[0, 1\]"):
            truncated.at(x)


def test_average_precision_is_the_mean_of_the_curve():
    rng = np.random.default_rng(11)
    genotypes = on_map(np.arange(1, 61) * 10)
    recall = (np.arange(1, 10_001) - 0.5) / 10_000
    for _ in range(5):
        found = hits(rng.permutation(60)[:30], rng.choice(60, 10, False), genotypes, window=10)
        curve = precision_recall(found)
        assert_allclose(curve.at(recall).mean(), curve.area, atol=2e-3)
        tenths = np.linspace(0, 1, 11)[1:]  # not the same floats as k/10
        reached = np.searchsorted(found.n_true / found.n_loci, np.arange(1, 11) / 10)
        if found.n_loci == 10:
            expected = np.append(curve.precision, 0)[reached]
            assert_array_equal(curve.at(tenths), expected)


def test_fewer_negatives_stand_for_all():
    rng = np.random.default_rng(12)
    genotypes = on_map(np.arange(1, 1001) * 10)
    found = hits(rng.permutation(1000)[:300], [100, 500, 700], genotypes, window=40)
    every = roc(found, genotypes)
    assert every.n_negatives == 1000 - 27
    some = roc(found, genotypes, max_negatives=200)
    assert 150 < some.n_negatives <= 200
    assert abs(some.area - every.area) < 0.1
    assert some.area != every.area
    for many in (1000, 5000):
        assert roc(found, genotypes, max_negatives=many).area == every.area


# ---- rankings -----------------------------------------------------------------------------------


def test_scores_are_ranked_from_the_highest_down():
    ranking = rank_snps([0.5, np.nan, 2.0, 0.5, -1.0, np.inf, 0.5])
    assert ranking.snps.tolist() == [5, 2, 0, 3, 6, 4]
    assert ranking.level_ends.tolist() == [1, 2, 5, 6]
    assert ranking.n_variants == 7
    above = rank_snps([0, 3, 0, 1, np.nan], above=0)
    assert (above.snps.tolist(), above.level_ends.tolist()) == ([1, 3], [1, 2])
    assert rank_snps(np.zeros(4)).level_ends.tolist() == [4]
    assert rank_snps([]).level_ends.tolist() == []


def test_order_within_a_tie_does_not_matter():
    """The true SNP of a level of four: precision at its end, wherever it stands in it."""
    genotypes = on_map(np.arange(1, 9) * 10)
    for causal in range(4):
        found = hits(rank_snps([1, 1, 1, 1, 0, 0, 0, 0]), [causal], genotypes, window=0)
        assert precision_recall(found).area == 0.25


@pytest.mark.parametrize("scores", [[[1.0, 2.0]], ["a"], [1j]])
def test_scores_that_are_none(scores):
    with pytest.raises(InputError, match=r"^scores: expected one number for every SNP, found"):
        rank_snps(scores)


def test_above_must_be_a_number():
    with pytest.raises(InputError, match=r"^above: expected a number"):
        rank_snps([1.0], above=np.nan)


def test_what_is_passed_is_not_written_to():
    scores, order = np.array([1.0, 3.0, 2.0]), np.array([1, 2, 0])
    causal = np.array([2, 1])
    for array in (scores, order, causal):
        array.flags.writeable = False
    genotypes = on_map([10, 20, 30])
    for ranking in (order, rank_snps(scores)):
        hits(ranking, causal, genotypes, window=1)
        hits(ranking, causal, genotypes, r2=1.0)


def reference_entry_order(coefs, penalty_factors):
    """Column by column: what is active now and was not before, by size, then by number."""
    order = []
    for k in range(coefs.shape[1]):
        new = [j for j in np.flatnonzero(coefs[:, k]) if j not in order]
        order += sorted(new, key=lambda j: (-abs(coefs[j, k]), j))
    return [j for j in order if penalty_factors[j] > 0]


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_entry_order(data):
    p, m = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 6))
    value = st.sampled_from([0.0, 0.0, 0.0, 1.0, -1.0, 0.5, -2.0])
    coefs = np.array(data.draw(st.lists(value, min_size=p * m, max_size=p * m))).reshape(p, m)
    factors = np.array(
        data.draw(st.lists(st.sampled_from([1.0, 2.0, 0.0, np.inf]), min_size=p, max_size=p))
    )
    path = SimpleNamespace(coefs=sparse.csc_array(coefs), penalty_factors=factors)
    found = entry_order(path)
    assert found.dtype == np.int64
    assert found.tolist() == reference_entry_order(coefs, factors)


def test_entry_order_of_a_path():
    problem = mixed_problem(13)
    factors = np.ones(problem.p)
    factors[[3, 8]] = 0.0
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, penalty_factors=factors)
    order = entry_order(path)
    assert order.tolist() == reference_entry_order(path.coefs.toarray(), factors)
    assert (np.diff(path.alpha_entry[order]) <= 0).all()
    ever = np.flatnonzero(~np.isnan(path.alpha_entry))
    assert sorted(order.tolist()) == [j for j in ever if j not in (3, 8)]
    assert len(order) > 10
    hits(order, [20], problem.genotypes, r2=0.5)  # what it is for


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


def test_roc_options():
    genotypes = on_map([10, 20, 30, 40])
    found = hits([0], [1], genotypes, window=0)
    for end in (0, -1, 1.1, np.nan, "1"):
        with pytest.raises(InputError, match=r"^max_fpr: expected a number in \(0, 1\], found"):
            roc(found, genotypes, max_fpr=end)
    with pytest.raises(InputError, match=r"^max_negatives: expected an integer of at least 1"):
        roc(found, genotypes, max_negatives=0)
    with pytest.raises(InputError, match=r"^genotypes: expected the 4 SNPs of the hits, found 3"):
        roc(found, on_map([10, 20, 30]))


# ---- intervals ----------------------------------------------------------------------------------


def test_intervals_are_students():
    values = [0.3, 0.5, 0.1, 0.4]
    found = mean_interval(values)
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert_allclose(found, [np.mean(values), *expected], rtol=1e-13)
    mean, low, high = mean_interval(values, 0.5)
    assert_allclose([low, high], stats.t.interval(0.5, 3, mean, stats.sem(values)), rtol=1e-13)
    assert mean_interval([2, 2, 2]) == (2, 2, 2)


def test_a_paired_interval_is_that_of_the_differences():
    rng = np.random.default_rng(14)
    easy = rng.standard_normal(30)
    a, b = easy + 0.1 + 0.01 * rng.standard_normal(30), easy
    found = paired_interval(a, b)
    assert_allclose(found, mean_interval(a - b), rtol=1e-13)
    assert found.low > 0  # what the intervals of a and b alone cannot tell
    assert mean_interval(a).low < mean_interval(b).high
    assert_allclose(paired_interval(b, a).mean, -found.mean)


def test_an_interval_holds_what_it_promises():
    rng = np.random.default_rng(15)
    covered = [
        low <= 1.0 <= high for _, low, high in (
            mean_interval(1.0 + rng.standard_normal(5), 0.9) for _ in range(1500)
        )
    ]  # fmt: skip
    assert abs(np.mean(covered) - 0.9) < 0.025


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0]], [1.0, np.nan], [1.0, np.inf], 1.0])
def test_no_interval(values):
    with pytest.raises(InputError, match=r"^values: expected .*found"):
        mean_interval(values)


def test_interval_options():
    for level in (0, 1, np.nan, "a"):
        with pytest.raises(InputError, match=r"^level: expected a number in \(0, 1\)"):
            mean_interval([1, 2], level)
    with pytest.raises(InputError, match=r"^a, b: expected the same repeats"):
        paired_interval([1, 2, 3], [1, 2])


# ---- neighbours ---------------------------------------------------------------------------------


def test_adjacent_pairs():
    genotypes = on_map(range(1, 11), ["1"] * 5 + ["2"] * 5)
    assert adjacent_share([0, 1, 3, 7], genotypes) == 1 / 4
    assert adjacent_share([2, 1, 0], genotypes) == 2 / 3
    assert adjacent_share([4, 5], genotypes) == 0  # two chromosomes
    assert adjacent_share([6], genotypes) == 0
    assert np.isnan(adjacent_share([], genotypes))
    # the SNP between them is not offered
    assert adjacent_share([6, 8], genotypes.filter(exclude=["rs7"])) == 1 / 2
    assert adjacent_share([6, 8], genotypes) == 0
    with pytest.raises(InputError, match=r"^snps: expected SNPs that are offered"):
        adjacent_share([7], genotypes.filter(exclude=["rs7"]))
    with pytest.raises(InputError, match=r"^snps: expected every SNP once"):
        adjacent_share([7, 7], genotypes)


# ---- genes --------------------------------------------------------------------------------------


def genes(*rows):
    return pl.DataFrame(
        [(str(c), a, b) for c, a, b in rows],
        schema={"CHROM": pl.String, "START": pl.Int64, "END": pl.Int64},
        orient="row",
    )


def is_near_any(chromosome, position, table, window):
    """START + 1 to END, and the window on both sides."""
    return any(
        chromosome == c and a + 1 - window <= position <= b + window for c, a, b in table.rows()
    )


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_shares_and_all_shifts(data):
    """The mean over all shifts, and the p-value as a share of them, by enumeration."""
    p = data.draw(st.integers(1, 10))
    position = data.draw(st.lists(st.integers(1, 30), min_size=p, max_size=p))
    chromosome = data.draw(st.lists(st.sampled_from(["1", "2"]), min_size=p, max_size=p))
    region = st.tuples(st.sampled_from(["1", "2", "9"]), st.integers(0, 30), st.integers(0, 5))
    regions = data.draw(st.lists(region, max_size=4))
    table = genes((chromosome[0], 100, 101), *((c, a, a + width) for c, a, width in regions))
    left_out = data.draw(st.sets(st.integers(0, p - 1), max_size=2))
    genotypes = on_map(position, chromosome, n=5).filter(exclude=[f"rs{j}" for j in left_out])
    offered = np.flatnonzero(genotypes.included).tolist()
    snps = data.draw(st.lists(st.sampled_from(offered), unique=True)) if offered else []
    window = data.draw(st.sampled_from([0, 1, 5, 2.5]))
    found = enrichment(snps, genotypes, table, window=window, n_permutations=3000, seed=1)

    near = {j: is_near_any(chromosome[j], position[j], table, window) for j in offered}
    assert found.is_near.tolist() == [near[j] for j in snps]
    assert (found.n_snps, found.n_near) == (len(snps), sum(near[j] for j in snps))
    assert found.genes_found.tolist() == [
        k for k in range(len(table))
        if any(is_near_any(chromosome[j], position[j], table[k], window) for j in snps)
    ]  # fmt: skip
    present = set(chromosome)
    assert found.n_genes == sum(c in present for c in table["CHROM"])
    if not snps:
        assert np.isnan([found.share, found.expected]).all()
        assert found.p_value == 1.0
        return
    maps = {
        c: sorted((j for j in offered if chromosome[j] == c), key=lambda j: (position[j], j))
        for c in {chromosome[j] for j in snps}
    }
    sums = []
    for shifts in product(*(range(len(m)) for m in maps.values())):
        shifted = [
            m[(m.index(j) + shift) % len(m)]
            for m, shift in zip(maps.values(), shifts, strict=True)
            for j in snps if j in m
        ]  # fmt: skip
        sums.append(sum(near[j] for j in shifted))
    assert found.share == pytest.approx(found.n_near / len(snps))
    assert found.expected == pytest.approx(np.mean(sums) / len(snps))
    share = np.mean(np.array(sums) >= found.n_near)
    assert abs(found.p_value - share) < 5 * np.sqrt(0.25 / 3000)
    assert set(np.round(found.null * len(snps)).astype(int)) <= set(sums)
    at_least = np.sum(np.round(found.null * len(snps)) >= found.n_near)
    assert found.p_value == pytest.approx((1 + at_least) / 3001)


def test_the_ends_of_a_gene():
    """START is from 0 and END is included: 11 to 20."""
    genotypes = on_map([10, 11, 20, 21, 5, 26])
    found = enrichment([0, 1, 2, 3, 4, 5], genotypes, genes((1, 10, 20)), window=0)
    assert found.is_near.tolist() == [False, True, True, False, False, False]
    found = enrichment([0, 1, 2, 3, 4, 5], genotypes, genes((1, 10, 20)), window=5)
    assert found.is_near.tolist() == [True, True, True, True, False, False]


def test_p_values_of_chance_are_not_too_small():
    """Clusters of SNPs, genes where the map is dense: P(p <= 0.1) is at most 0.1."""
    rng = np.random.default_rng(16)
    position = np.sort(np.concatenate([rng.integers(1, 10**6, 300), rng.integers(1, 20_000, 200)]))
    genotypes = on_map(position)
    table = genes(("1", 3000, 5000), ("1", 500_000, 510_000))
    p_values = []
    for k in range(200):
        start = rng.integers(500)
        snps = np.unique((start + np.array([0, 1, 2, 3, 40, 41, 42])) % 500)
        p_values.append(
            enrichment(snps, genotypes, table, window=500, n_permutations=99, seed=k).p_value
        )
    assert np.mean(np.array(p_values) <= 0.1) <= 0.1 + 3 * np.sqrt(0.09 / 200)
    assert min(p_values) < 0.1


def test_enriched_snps_have_small_p_values_and_seeds_count():
    genotypes = on_map(np.arange(1, 501) * 100)
    snps = [100, 102, 300, 420]
    table = genes(("1", 10_000, 10_400), ("1", 30_000, 30_200), ("1", 45_000, 45_001))
    found = enrichment(snps, genotypes, table, window=100, seed=3)
    assert (found.share, found.n_near, found.genes_found.tolist()) == (0.75, 3, [0, 1])
    assert len(found.null) == 10_000
    assert found.p_value < 0.02
    assert found.expected < 0.05
    again = enrichment(snps[::-1], genotypes, table, window=100, seed=3)
    assert_array_equal(again.null, found.null)
    other = enrichment(snps, genotypes, table, window=100, seed=4)
    assert not np.array_equal(other.null, found.null)


def test_names_of_chromosomes():
    genotypes = on_map([10, 20, 30], ["5", "5", "X"])
    fine = enrichment([0], genotypes, genes(("5", 5, 10), ("7", 5, 10)), window=0)
    assert (fine.n_genes, fine.n_near) == (1, 1)
    for name in ("chr5", "Chr5", "CHR05", "chromosome_5"):
        for rows in ([(name, 5, 10)], [("X", 1, 2), (name, 5, 10)]):
            with pytest.raises(InputError, match=f"^genes: .*found '{name}' where they have '5'; "):
                enrichment([0], genotypes, genes(*rows), window=0)
    with pytest.raises(InputError, match=r"^genes: .*among 5, X, found only 7, 8; rename"):
        enrichment([0], genotypes, genes(("7", 1, 2), ("8", 1, 2)), window=0)
    named = on_map([10, 20, 30], ["chr5", "chr5", "scaffold_2"])
    with pytest.raises(InputError, match="found '5' where they have 'chr5'"):
        enrichment([0], named, genes(("5", 1, 2)), window=0)


def test_what_enrichment_refuses():
    genotypes, table = on_map([10, 20, 30]), genes(("1", 5, 10))
    for options, named in (
        ({"window": -1}, "window"),
        ({"window": np.nan}, "window"),
        ({"window": 0, "n_permutations": 0}, "n_permutations"),
        ({"window": 0, "seed": -1}, "seed"),
    ):
        with pytest.raises(InputError, match=f"^{named}: expected .*found"):
            enrichment([0], genotypes, table, **options)
    with pytest.raises(InputError, match=r"^snps: expected SNPs that are offered"):
        enrichment([0], genotypes.filter(exclude=["rs0"]), table, window=0)
    with pytest.raises(InputError, match=r"^window: expected positions above 0"):
        enrichment([0], on_map([10, 0, 30]), table, window=0)


# ---- BED files ----------------------------------------------------------------------------------


def test_bed_files(tmp_path):
    path = tmp_path / "genes.bed"
    path.write_bytes(
        b"browser position chr5:1-10\r\n#comment\r\ntrack name=x\r\n\r\n"
        b"chr5\t0\t10\tGene one\t900\t+\r\nX 7 7\r\n  01   8 9 B\r\n2\t3\t4\t\r\n2\t3\t4"
    )
    found = read_bed(path)
    assert found.rows() == [
        ("chr5", 0, 10, "Gene one"), ("X", 7, 7, None), ("01", 8, 9, "B"),
        ("2", 3, 4, None), ("2", 3, 4, None),
    ]  # fmt: skip
    assert found.schema == {
        "CHROM": pl.String, "START": pl.Int64, "END": pl.Int64, "NAME": pl.String,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line", "expected", "found"),
    [
        (b"1\t2\t3\n1\t2\n", 2, "a chromosome, a start and an end", r"1\t2"),
        (b"\t2\t3\n", 1, "a chromosome, a start and an end", r"\t2\t3"),
        (b"#x\n1 5 4\n", 2, "start <= end", "'5' and '4'"),
        (b"1 -1 4\n", 1, "whole numbers", "'-1' and '4'"),
        (b"1 1.5 4\n", 1, "whole numbers", "'1.5' and '4'"),
        (b"chrom start end\n", 1, "whole numbers", "'start' and 'end'"),
        (b"1 1 99999999999999999999\n", 1, "whole numbers", "99999999999999999999"),
        (b"", None, "at least one line", "none"),
        (b"# nothing\n\n", None, "at least one line", "none"),
        (b"\x6c\x1b\x01\x00\xff", 1, "UTF-8 text", "a NUL byte"),
    ],
)
def test_bed_files_that_are_none(tmp_path, content, line, expected, found):
    path = tmp_path / "genes.bed"
    path.write_bytes(content)
    refused(read_bed, path, TableError, line=line, expected=expected, found=found)


def test_a_bed_file_that_is_not_there(tmp_path):
    path = tmp_path / "none.bed"
    refused(read_bed, path, TableError, expected="a readable text file", found="No such file")


# ---- real data ----------------------------------------------------------------------------------


def test_flowering_genes(data_dir):
    genotypes = ll.read_plink(data_dir / "arabidopsis_chr5" / "arabidopsis_chr5")
    table = read_bed(data_dir / "arabidopsis_chr5" / "flowering_genes.bed")
    assert table.height == 18
    assert table.row(0) == ("5", 3173381, 3179448, "FLC")
    position = genotypes.variants["POS"].to_numpy()
    offered = np.flatnonzero(genotypes.included)
    snps = np.random.default_rng(17).choice(offered, 50, replace=False)
    found = enrichment(snps, genotypes, table, window=20_000, n_permutations=500, seed=0)
    near = [is_near_any("5", position[j], table.drop("NAME"), 20_000) for j in snps]
    assert found.is_near.tolist() == near
    assert_allclose(found.null.mean(), found.expected, atol=0.01)
    with pytest.raises(InputError, match="'Chr5' where they have '5'"):
        enrichment(snps, genotypes, table.with_columns(CHROM=pl.lit("Chr5")), window=1)


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

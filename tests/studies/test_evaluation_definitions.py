"""Counting of loci and both curves against loops that are the definitions word by word."""

from fractions import Fraction
from functools import cache
from itertools import pairwise, product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import dense, from_array, random_dosages
from snp_maps import KINDS, on_map, table

from lmmlasso_fast.errors import InputError
from lmmlasso_fast.evaluation import hits, nearness, precision_recall, rank_snps, roc

pytestmark = pytest.mark.promise("peers")

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
        patch.setattr(nearness, "_BLOCK_SNPS", data.draw(st.sampled_from([1, 2, 3, 1024])))
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
            monkeypatch.setattr(nearness, "_BLOCK_SNPS", block)
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

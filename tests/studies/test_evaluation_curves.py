"""Precision-recall and ROC curves against scikit-learn and by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from snp_maps import on_map

from lmmlasso_fast.errors import InputError
from lmmlasso_fast.evaluation import hits, precision_recall, rank_snps, roc

pytestmark = pytest.mark.promise("peers")


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

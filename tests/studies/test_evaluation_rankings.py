"""Rankings by scores with ties, and by entry into the model."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import mixed_problem
from scipy import sparse
from snp_maps import on_map

import lmmlasso_fast as ll
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.evaluation import entry_order, hits, precision_recall, rank_snps

pytestmark = pytest.mark.promise("peers")


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
    with pytest.raises(
        InputError, match=r"^scores: expected (one number for every SNP|real numbers), found"
    ):
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

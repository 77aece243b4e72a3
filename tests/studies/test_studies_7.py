"""bench/accuracy: phenotypes of pure structure (fig7)."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

sys.path.append(str(Path(__file__).resolve().parents[2]))

import lmmlasso_fast as ll
from bench.accuracy import fig7, recovery


class Store(dict):
    put = dict.__setitem__


@pytest.fixture(scope="module")
def small():
    return recovery.stand_in(1)


def test_the_root_is_one_of_the_kinship(small):
    W = fig7.root(small)
    np.testing.assert_allclose(W @ W.T, small.kinship.matrix, atol=1e-5)  # float32 blocks


def test_a_phenotype_has_the_covariance_that_it_promises():
    W = np.array([[1.2, 0.0], [0.6, 0.4]])
    random = np.random.default_rng(0)
    drawn = np.array([fig7.phenotype(W, 0.3, random) for _ in range(20_000)])
    expected = 0.3 * W @ W.T + 0.7 * np.eye(2)
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.04)


def test_lambda_is_the_median_of_the_tests(small):
    y = fig7.phenotype(fig7.root(small), 1.0, np.random.default_rng(1))
    found = fig7.lambdas(small, y)
    assert list(found) == list(fig7.MODELS)
    X = small.genotypes.dosages(np.flatnonzero(small.genotypes.included))
    r = np.array([stats.pearsonr(x, y).statistic for x in X.T])
    df = len(y) - 2
    expected = np.median(df * r**2 / (1 - r**2)) / stats.f.median(1, df)
    assert found["LM"] == pytest.approx(expected, abs=1e-4)
    null = ll.fit_null(y, small.kinship, log_delta_min=fig7.WIDE)
    scan = ll.association_scan(small.genotypes, y, null)
    assert found["LMM"] == pytest.approx(scan.genomic_lambda, abs=1e-5)
    assert found["LMM"] != found["LMM, default grid"]


def test_units_are_kept_and_the_distance_is_in_standard_errors(monkeypatch, tmp_path):
    monkeypatch.delenv("LMMLASSO_DATA", raising=False)
    store = Store()
    content = fig7.run(True, 1, store)
    assert content["simulated"]
    assert len(store) == 2 * 2 * 4  # populations, shares, draws
    monkeypatch.setattr(fig7, "lambdas", None)  # nothing is left to do
    assert fig7.run(True, 1, store) == content
    values = content["entries"][0]["lambdas"]["LM"]
    t = stats.ttest_1samp(values, 1.0).statistic
    assert fig7.distance(values) == pytest.approx(t)


def test_the_statements_follow_the_numbers(tmp_path):
    near = [0.99, 1.0, 1.01, 1.0]
    far = [1.5, 1.1, 1.9, 1.4]
    lambdas = dict.fromkeys(fig7.MODELS, near) | {"LM": far}
    swapped = dict.fromkeys(fig7.MODELS, far) | {"LM": near}
    entries = [
        {"data": "a", "share": 1.0, "lambdas": lambdas},
        {"data": "b", "share": 0.5, "lambdas": swapped},
    ]
    text = fig7.markdown({"simulated": False, "entries": entries})
    assert (
        "a, u 1: the LMM's mean lambda is within 2 standard errors of 1; the LM's is above" in text
    )
    assert "b, u 0.5: the LMM's mean lambda is NOT within 2" in text
    assert "the LM's is NOT above 1.2" in text
    fig7.draw({"entries": entries}, tmp_path / "figure.svg")
    drawn = (tmp_path / "figure.svg").read_text()
    assert "genomic-control lambda" in drawn
    assert "50% u" in drawn

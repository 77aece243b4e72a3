"""Stability selection on the published script's own example: it finds the SNPs that cause y.

Needs the folder of LMMLASSO_DATA (see conftest.py). What is simulated: bench/accuracy/reference.py.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

sys.path.append(str(Path(__file__).resolve().parents[2]))

from bench.accuracy import reference as published

pytestmark = pytest.mark.promise("statistics")

#: Of the generator that the script seeds; they must not change with NumPy.
CAUSAL = [37, 235, 908, 72, 767]


@pytest.fixture(scope="module")
def example(data_dir):
    return published.example(data_dir)


def test_the_phenotype_is_the_published_one(data_dir, example):
    """Against its description, from the sums themselves: y without its noise is the two parts."""
    assert_array_equal(example.causal, CAUSAL)
    with np.load(data_dir / "reference_176" / "reference_176.npz") as data:
        X, background = data["X"], data["poppheno"]
    assert_allclose([example.y.mean(), example.y.var()], [0, 1], atol=1e-12)
    assert_allclose(example.K, X @ X.T / 1000)
    signal = X[:, CAUSAL].sum(axis=1)
    noise = np.random.RandomState(1)
    noise.randint(0, 1000, 5)
    parts = [background, signal / signal.std(), noise.randn(176, 1)[:, 0]]
    weights, residual, *_ = np.linalg.lstsq(np.column_stack([*parts, np.ones(176)]), example.y)
    assert_allclose(residual, 0, atol=1e-20)
    assert_allclose(weights[:3] / weights[1], [0.6, 1, 0.4])


@pytest.mark.parametrize("function", ["compat", "package"])
def test_causal_snps_are_the_most_frequent(example, function):
    if function == "compat":
        frequency = published.compat_frequency(example)
    else:
        frequency = published.frequency(example, n_jobs=1)
    print(function, frequency[CAUSAL])
    assert frequency.shape == (1000,)
    assert frequency[CAUSAL].min() >= published.EXPECTED
    # where the published script draws its line
    assert set(np.flatnonzero(frequency >= 0.5)) == set(CAUSAL)


def test_without_the_causal_effects_they_are_not_found(example):
    """What was found is the signal's doing: the same phenotype with the SNPs' rows exchanged."""
    order = np.random.default_rng(0).permutation(len(example.y))
    X = example.X.copy()
    X[:, CAUSAL] = X[np.ix_(order, CAUSAL)]
    frequency = published.frequency(published.Example(X, example.K, example.y, example.causal))
    assert frequency[CAUSAL].max() < 0.5

"""Intervals of means over repeats against scipy.stats, and how often they hold."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from lmmlasso_fast.errors import InputError
from lmmlasso_fast.evaluation import mean_interval, paired_interval

pytestmark = pytest.mark.promise("peers")


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


def test_numbers_whose_squares_overflow():
    for values in ([1e308, 1e308], [1e200, -1e200]):
        with pytest.raises(InputError, match=r"^values: expected numbers whose squares have a sum"):
            mean_interval(values)
    with pytest.raises(InputError, match=r"^a, b: expected differences that floating point holds"):
        paired_interval([1e308, 1], [-1e308, 1])
    assert mean_interval([1e150, 3e150]).mean == 2e150

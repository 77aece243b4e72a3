"""Means over repeats with their confidence intervals."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import as_number, as_numbers
from lmmlasso_fast.errors import InputError


class Interval(NamedTuple):
    """A mean and the limits of its confidence interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean over repeats and Student's interval for it: mean -+ t sd / sqrt(k).

    Parameters
    ----------
    values : array_like, shape (k,)
        One per repeat, independent of each other; at least two.
    level : float in (0, 1), default 0.95

    Raises
    ------
    InputError
        Fewer than two values, one that is not finite or squares beyond floating point, or `level`
        out of range.
    """
    values = as_numbers(values, "values", InputError, booleans=False)
    if values.ndim != 1 or len(values) < 2:
        raise InputError(
            f"values: expected at least two, one per repeat, found shape {values.shape}; one "
            "repeat has no interval"
        )
    if not np.isfinite(values).all():
        k = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(
            f"values: expected finite numbers, found {float(values[k])} in repeat {k}; say what "
            "it counts as, or leave that repeat out everywhere"
        )
    level = as_number("level", level, above=0, below=1)
    from scipy.special import stdtrit

    k = len(values)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, sd = float(values.mean()), float(values.std(ddof=1))
    if not np.isfinite([mean, sd]).all():
        raise InputError(
            f"values: expected numbers whose squares have a sum, found {float(values.min())} to "
            f"{float(values.max())}; give them in another unit"
        )
    half = float(stdtrit(k - 1, (1 + level) / 2)) * sd / np.sqrt(k)
    return Interval(mean, mean - half, mean + half)


def paired_interval(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """Return `mean_interval` of a - b, two methods on the same repeats.

    What makes a repeat easy for both cancels: this decides between two methods, not whether their
    own intervals overlap.

    Raises
    ------
    InputError
        As `mean_interval`; different numbers of values.
    """
    a = as_numbers(a, "a", InputError, booleans=False)
    b = as_numbers(b, "b", InputError, booleans=False)
    if a.shape != b.shape:
        raise InputError(
            f"a, b: expected the same repeats of both, found shapes {a.shape} and {b.shape}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        difference = a - b
    if np.isfinite(a).all() and np.isfinite(b).all() and not np.isfinite(difference).all():
        raise InputError(
            "a, b: expected differences that floating point holds, found larger ones; give both in "
            "another unit"
        )
    return mean_interval(difference, level)

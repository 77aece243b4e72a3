"""Error bounds of stability selection: of n_active, cutoff and E[V], two give the third.

q = n_active of p = n_variants SNPs are selected per subsample (of half the individuals), theta =
q / p, and the SNPs with frequency >= cutoff over n_replicates subsamples are the stable ones. What
is assumed decides what E[V] counts and how it is bounded; tau is the cutoff:

    none        E[V] <= q^2 / ((2 tau - 1) p). V: false selections, if noise SNPs are exchangeable
                and selection is no worse than guessing (Meinshausen and Buhlmann 2010); with
                complementary pairs and no assumption at all, V as below
    unimodal    E[V] <= C q^2 / p. V: stable SNPs that one subsample selects with probability at
                most theta; the frequency with which both halves select such a SNP is unimodal
    r-concave   E[V] <= p min(D(theta^2, 2 tau - 1, B, -1/2), D(theta, tau, 2B, -1/4)). The same V;
                that frequency is -1/2-concave, and a SNP's own is -1/4-concave. D(eta, t, n, r):
                the largest P(X >= t) of an r-concave X on {0, 1/n, ..., 1} with E[X] <= eta

with B = n_replicates / 2 complementary pairs in the last two (Shah and Samworth 2013), and

    C = 1 / (2 (2 tau - 1 - 1 / (2B)))          tau <= 3/4
    C = 4 (1 - tau + 1 / (2B)) / (1 + 1 / B)    above

Frequencies are multiples of 1 / n_replicates, so a cutoff between two of them selects what the
upper one does: every bound is taken there. No bound exceeds n_variants, nor n_active / cutoff (the
frequencies of all SNPs sum to n_active, so not more of them can reach the cutoff).

But for these two limits, "none" and "unimodal" at a multiple are what R's stabs returns.
"r-concave" is D itself, which the numerical search of stabs 0.6-4 falls short of: with 50 pairs by
less than 1 % up to the cutoff 0.75, by up to 3 % at 0.9 and 38 % at 1.

References
----------
Meinshausen and Buhlmann 2010, J. R. Statist. Soc. B 72:417; Shah and Samworth 2013, J. R. Statist.
Soc. B 75:55 (theorems 1 and 2, equation 8).
"""

import math
from typing import NoReturn

import numpy as np

from lmmlasso_fast.checks import as_choice, as_integer, as_number
from lmmlasso_fast.errors import InputError

ASSUMPTIONS = ("none", "unimodal", "r-concave")
#: A mean below it is its own bound: Markov's inequality, and nothing underflows.
_TINY = 1e-200
#: Relative accuracy of a mean; log b, up to 230, leaves an error of 1e-13.
_MEAN_TOL = 1e-12


def expected_false(
    n_active: float,
    cutoff: float,
    n_variants: int,
    n_replicates: int,
    assumption: str = "unimodal",
) -> float:
    """Bound E[V], the expected number of falsely selected SNPs (see the module).

    Parameters
    ----------
    n_active : float in [0, n_variants]
        SNPs selected per subsample, or their mean.
    cutoff : float in (1/2, 1]
        Selected are the SNPs with at least this frequency; it counts as the next multiple of
        1 / n_replicates.
    n_variants : int
        SNPs that were offered to every subsample.
    n_replicates : int
        Subsamples, so twice the number of complementary pairs; even unless assumption="none".
    assumption : {"unimodal", "r-concave", "none"}, default "unimodal"

    Returns
    -------
    float
        At most n_variants and n_active / cutoff. It grows with n_active and falls with the cutoff.

    Raises
    ------
    InputError
        A number out of range; for "unimodal" also what the theorem does not cover: n_active >
        n_variants / sqrt(3), and a cutoff up to 3/4 that is not above
        1/2 + min(theta^2, 1 / n_replicates + 3/4 theta^2).
    """
    p, n = _as_study(n_variants, n_replicates, assumption)
    q = _as_n_active(n_active, p)
    bound = _bound(q, _least_count(cutoff, n), p, n, assumption)
    if math.isinf(bound):
        _refuse_unimodal(q, cutoff, p, n)
    return bound


def largest_n_active(
    cutoff: float,
    max_false: float,
    n_variants: int,
    n_replicates: int,
    assumption: str = "unimodal",
) -> int:
    """Return the largest n_active for which E[V] is bounded by `max_false`.

    Parameters
    ----------
    max_false : float
        Falsely selected SNPs that are acceptable on average, at least 0.
    cutoff, n_variants, n_replicates, assumption
        As of `expected_false`.

    Returns
    -------
    int
        0 if there is none.

    Raises
    ------
    InputError
        A number out of range.
    """
    p, n = _as_study(n_variants, n_replicates, assumption)
    max_false = as_number("max_false", max_false, 0)
    count = _least_count(cutoff, n)
    low, high = 0, p + 1  # the bound is 0 at 0
    while high - low > 1:
        middle = (low + high) // 2
        if _bound(float(middle), count, p, n, assumption) <= max_false:
            low = middle
        else:
            high = middle
    return low


def smallest_cutoff(
    n_active: float,
    max_false: float,
    n_variants: int,
    n_replicates: int,
    assumption: str = "unimodal",
) -> float:
    """Return the smallest cutoff for which E[V] is bounded by `max_false`.

    Parameters
    ----------
    max_false : float
        Falsely selected SNPs that are acceptable on average, at least 0.
    n_active, n_variants, n_replicates, assumption
        As of `expected_false`.

    Returns
    -------
    float in (1/2, 1]
        A multiple of 1 / n_replicates.

    Raises
    ------
    InputError
        A number out of range, or no cutoff bounds E[V] so.
    """
    p, n = _as_study(n_variants, n_replicates, assumption)
    q = _as_n_active(n_active, p)
    max_false = as_number("max_false", max_false, 0)
    strictest = _bound(q, n, p, n, assumption)
    if math.isinf(strictest):
        _refuse_unimodal(q, 1.0, p, n)
    if strictest > max_false:
        fits = largest_n_active(1.0, max_false, p, n, assumption)
        raise InputError(
            f"max_false: expected at least {strictest!r}, the bound at cutoff 1 for {q:.10g} "
            f"active of {p} SNPs, found {max_false!r}; select at most {fits} SNPs per subsample, "
            "or allow more false ones"
        )
    low, high = n // 2, n
    while high - low > 1:
        middle = (low + high) // 2
        if _bound(q, middle, p, n, assumption) <= max_false:
            high = middle
        else:
            low = middle
    return high / n


def _bound(q: float, count: int, p: int, n: int, assumption: str) -> float:
    """E[V] at the cutoff count / n; infinite where the theorem is silent.

    The published expressions with tau = count / n put on one denominator, so that a bound that is a
    round number comes out as that number.
    """
    always = q * q * n / (p * (2 * count - n))  # theorem 1: under any assumption
    if assumption == "none":
        bound = always
    elif assumption == "r-concave":
        both = _largest_tail(count - n // 2, n // 2, n * q * q / (2 * p * p), 2)
        bound = min(p * min(both, _largest_tail(count, n, n * q / p, 4)), always)
    elif not _unimodal_holds(q, count, p, n):
        return math.inf
    elif 4 * count <= 3 * n:  # C = 1 / (2 (2 tau - 1 - 1 / (2B)))
        bound = q * q * n / (2 * p * (2 * count - n - 1))
    else:  # C = 4 (1 - tau + 1 / (2B)) / (1 + 1 / B)
        bound = 4 * q * q * (n - count + 1) / (p * (n + 2))
    return min(bound, float(p), q * n / count)


def _unimodal_holds(q: float, count: int, p: int, n: int) -> bool:
    """Whether theorem 2 covers theta = q / p and the cutoff count / n.

    It leaves out the first multiple above 1/2. There its expression is theorem 1's, which holds
    under any assumption.
    """
    square = q * q / (p * p)
    above = (2 * count - n) / (2 * n)
    return 3 * square <= 1 and (4 * count > 3 * n or above > min(square, 1 / n + 0.75 * square))


def _largest_tail(t: int, n: int, mean: float, power: int) -> float:
    """D: the largest P(X >= t) of an r-concave X on {0, ..., n} of at most this mean, r = -1/power.

    f^r must be convex. A maximiser is f(i) = c (a + i)^(1/r) on {0, ..., k} for some k, with the
    mean attained. (The paper's family has a smaller atom at k + 1 besides; no maximum was ever
    found with one, and the tests search for it.) The tail rises with k and then falls. The paper
    takes 1 where t <= ceil(2 mean), and so do we.
    """
    if t <= math.ceil(2 * mean):
        return 1.0
    if mean < _TINY:
        return mean
    low, high = t, n
    while low < high:
        k = (low + high) // 2
        if _tail(t, k, mean, power) < _tail(t, k + 1, mean, power):
            low = k + 1
        else:
            high = k
    return _tail(t, low, mean, power)


def _tail(t: int, k: int, mean: float, power: int) -> float:
    """P(X >= t) where P(X = i) is c (1 + b i)^-power on {0, ..., k}, b > 0 such that E[X] = mean.

    Needs k > 2 mean: the mean falls from k/2 at b = 0 to 0. In log b and log mean the curve is
    nearly straight, so that Newton steps converge at once, within a bracket that makes them safe.
    """
    i = np.arange(k + 1.0)
    # mean >= k/2 (1 + b k)^-power, and mean <= sum of i (b i)^-power <= b^-power (1 + log k)
    low = math.log(((k / (2 * mean)) ** (1 / power) - 1) / k)
    high = math.log((1 + math.log(k)) / mean) / power
    x = high
    while True:
        shrunk = 1 / (1 + math.exp(x) * i)
        f = shrunk**power
        f /= f.sum()
        found = float(i @ f)
        error = math.log(found / mean)
        if abs(error) <= _MEAN_TOL:
            return float(f[t:].sum())
        low, high = (x, high) if error > 0 else (low, x)
        # d log E[X] / d log b = -power Cov(i, b i / (1 + b i)) / E[X]
        slope = -power * float((i - found) @ (f * (1 - shrunk))) / found
        x -= error / slope
        if not low < x < high:
            x = (low + high) / 2


def _least_count(cutoff: float, n_replicates: int) -> int:
    """The smallest count of selections with count / n_replicates >= cutoff, as floats compare."""
    expected = "a number in (1/2, 1], where the error bounds hold"
    cutoff = as_number("cutoff", cutoff, high=1, above=0.5, expected=expected)
    count = math.floor(cutoff * n_replicates)
    return count if count / n_replicates >= cutoff else count + 1


def _as_study(n_variants: int, n_replicates: int, assumption: str) -> tuple[int, int]:
    """Both as Python's integers, whose products do not overflow."""
    n_variants = as_integer("n_variants", n_variants, 1)
    n_replicates = as_integer("n_replicates", n_replicates, 1)
    as_choice("assumption", assumption, ASSUMPTIONS)
    if assumption != "none" and n_replicates % 2:
        raise InputError(
            "n_replicates: expected an even number, two subsamples for each complementary pair, "
            f"found {n_replicates}; without pairs take assumption='none'"
        )
    return n_variants, n_replicates


def _as_n_active(n_active: float, n_variants: int) -> float:
    expected = f"a number from 0 to n_variants = {n_variants}"
    return as_number("n_active", n_active, 0, n_variants, expected=expected)


def _refuse_unimodal(q: float, cutoff: float, p: int, n: int) -> NoReturn:
    square = q * q / (p * p)
    if 3 * square > 1:
        raise InputError(
            f"n_active: expected at most n_variants / sqrt(3) = {p / math.sqrt(3):.10g}, where the "
            f"unimodal bound holds, found {q:.10g}; select fewer SNPs, or take assumption='none'"
        )
    least = min(0.5 + min(square, 1 / n + 0.75 * square), 0.75)
    raise InputError(
        f"cutoff: expected above {least:.6g}, where the unimodal bound holds for {q:.10g} active "
        f"of {p} SNPs, found {cutoff!r}; raise it, select fewer SNPs, or take assumption='none'"
    )

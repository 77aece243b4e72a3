"""Error bounds of stability selection against the optimisation problems that define them."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import brentq, linprog

from lmmlasso_fast.error_bounds import (
    _largest_tail,
    expected_false,
    largest_n_active,
    smallest_cutoff,
)
from lmmlasso_fast.errors import InputError

pytestmark = pytest.mark.promise("statistics")

ASSUMPTIONS = ["none", "unimodal", "r-concave"]

# ---- the definitions, slowly -----------------------------------------------------------------


def largest_unimodal_tail(t, n, mean):
    """Largest P(X >= t) of a unimodal X on {0, ..., n} of at most this mean: one LP per mode."""
    values = np.arange(n + 1.0)
    step = np.diff(np.eye(n + 1), axis=0)  # f(i + 1) - f(i)
    best = 0.0
    for mode in range(n + 1):
        rising = np.where(np.arange(n) < mode, -1.0, 1.0)[:, None]
        answer = linprog(
            -(values >= t).astype(float),
            A_ub=np.vstack([values, rising * step]),
            b_ub=np.r_[mean, np.zeros(n)],
            A_eq=np.ones((1, n + 1)),
            b_eq=[1.0],
        )
        if answer.status == 0:  # a mode far above the mean is infeasible
            best = max(best, -answer.fun)
    return best


def searched_tail(t, n, mean, power, seed):
    """Largest P(X >= t) found among r-concave X on {0, ..., n}: random search, narrowing.

    f^(-1/power) is convex, so it is given by its slopes in increasing order and its value at 0 (the
    scale is free). Infinite values, that is f = 0 beyond some k, are had by steep slopes.
    """
    rng = np.random.default_rng(seed)
    values = np.arange(n + 1.0)
    best, centre, width = 0.0, np.zeros(n), 6.0
    for _ in range(60):
        drawn = centre + width * rng.standard_normal((20_000, n))
        drawn[0] = centre
        # first slope anywhere above -1 / n (f positive), then increments of any size
        first = np.where(drawn[:, 0] < 0, -np.tanh(-drawn[:, 0]) / n, np.expm1(drawn[:, 0]))
        slopes = first[:, None] + np.c_[np.zeros(len(drawn)), np.exp(drawn[:, 1:]).cumsum(axis=1)]
        convex = 1 + np.c_[np.zeros(len(drawn)), slopes.cumsum(axis=1)]
        f = np.where(convex > 0, convex, np.inf) ** -float(power)
        f /= f.sum(axis=1, keepdims=True)
        tail = np.where(f @ values <= mean, f[:, t:].sum(axis=1), 0.0)
        if tail.max() > best:
            best, centre = tail.max(), drawn[tail.argmax()]
        width *= 0.8
    return best


def published_tail(t, n, mean, power):
    """D by the published search: f(i) = c (1 + b i)^-power up to k, a smaller atom at k + 1.

    The atom u takes up what the mean leaves: c S0 + u = 1 and c S1 + (k + 1) u = mean. It ranges
    from 0, where b solves mean_k(b) = mean, to c f(k + 1), where b does so for k + 1.
    """

    def excess(x, k):
        i = np.arange(k + 1.0)
        f = (1 + np.exp(x) * i) ** -power
        return (i @ f) / f.sum() - mean

    roots = {k: brentq(excess, -60, 100, args=(k,), xtol=1e-14) for k in range(t, n + 1)}
    best = 0.0
    for k in range(t - 1, n):
        low = roots.get(k, -60.0)  # the first interval starts at the uniform distribution, or later
        b = np.exp(np.linspace(low, roots[k + 1], 200))[:, None]
        i = np.arange(k + 1.0)
        f = (1 + b * i) ** -power
        c = (k + 1 - mean) / (f @ (k + 1 - i))
        u = (f @ (mean - i)) / (f @ (k + 1 - i))
        allowed = (u >= -1e-12 * c) & (u <= c * (1 + b[:, 0] * (k + 1)) ** -power * (1 + 1e-9))
        tail = c * f[:, t:].sum(axis=1) + u
        best = max(best, np.where(allowed, tail, 0.0).max())
    return best


# ---- published values ------------------------------------------------------------------------


def test_genome_scale():
    """The figures of STATISTICS.md: with 200,000 SNPs the bound rarely binds."""
    assert largest_n_active(0.75, 1, 200_000, 100, "none") == 316
    assert largest_n_active(0.75, 1, 200_000, 100, "unimodal") == 442
    assert largest_n_active(0.75, 1, 200_000, 100, "r-concave") > 442


@pytest.mark.parametrize("q", range(1, 11))
def test_none_and_unimodal_as_stabs_prints_them(q):
    """stabs 0.6-4, the saved output of its tests: p = 100, cutoff 0.6, 50 pairs."""
    none = [0.05, 0.2, 0.45, 0.8, 1.25, 1.8, 2.45, 3.2, 4.05, 5]
    unimodal = [0.02631579, 0.1052632, 0.2368421, 0.4210526, 0.6578947]
    unimodal += [0.9473684, 1.289474, 1.684211, 2.131579, 2.631579]
    assert_allclose(expected_false(q, 0.6, 100, 100, "none"), none[q - 1], rtol=1e-12)
    assert_allclose(expected_false(q, 0.6, 100, 100), unimodal[q - 1], rtol=5e-7)


# (q, p, cutoff, pairs, E[V]): printed in the saved output of stabs 0.6-4's tests, or, the last six,
# computed with its published helper functions in R 4.2.2.
STABS_R_CONCAVE = [
    (1, 100, 0.6, 50, 0.006971364),
    (2, 100, 0.6, 50, 0.03342845),
    (3, 100, 0.6, 50, 0.08691176),
    (4, 100, 0.6, 50, 0.1637231),
    (5, 100, 0.6, 50, 0.2605329),
    (6, 100, 0.6, 50, 0.3820466),
    (7, 100, 0.6, 50, 0.5295188),
    (8, 100, 0.6, 50, 0.7042719),
    (9, 100, 0.6, 50, 0.9077127),
    (10, 100, 0.6, 50, 1.141338),
    (10, 100, 0.62, 50, 0.8971682),
    (10, 100, 0.61, 50, 1.005863),
    (30, 100, 0.6, 50, 16.24975),
    (20, 1000, 0.75, 50, 0.09695478281),
    (2, 20, 0.8, 5, 0.1036419977),
    (6, 20, 0.9, 5, 0.585473135),
    (100, 200, 0.9, 20, 12.465661724),
    (20, 1000, 0.75, 100, 0.08291340583),
    (50, 1000, 0.52, 50, 4.631593661),
]


@pytest.mark.parametrize(("q", "p", "cutoff", "pairs", "printed"), STABS_R_CONCAVE)
def test_r_concave_against_stabs(q, p, cutoff, pairs, printed):
    """stabs maximises within a tolerance and never reaches an end: at most ours, by 1 % at most."""
    ours = expected_false(q, cutoff, p, 2 * pairs, "r-concave")
    assert printed * (1 - 5e-7) <= ours <= printed * 1.01


def test_third_parameter_as_stabs_chooses_it():
    """The saved output of stabs 0.6-4's tests; 50 pairs."""
    assert largest_n_active(0.6, 0.2, 200, 100, "r-concave") == 6
    assert largest_n_active(0.6, 0.2, 200, 100, "unimodal") == 3
    assert smallest_cutoff(7, 0.2, 200, 100, "r-concave") == 0.62
    assert smallest_cutoff(7, 0.2, 200, 100, "unimodal") == 0.81
    assert largest_n_active(0.6, 1, 100, 100, "r-concave") == 9
    assert smallest_cutoff(10, 1, 100, 100, "r-concave") == 0.62
    assert smallest_cutoff(3, 0.2, 10, 100, "unimodal") == 0.96


# ---- against the definitions -----------------------------------------------------------------


@pytest.mark.parametrize("pairs", [2, 3, 6, 9])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_unimodal_bound_is_the_largest_unimodal_tail(pairs, share):
    """Both halves select a SNP with frequency X / B of mean <= theta^2, and it is stable only if
    X / B >= 2 tau - 1."""
    p, n = 1000, 2 * pairs
    q = share * p
    for count in range(pairs + 1, n + 1):
        largest = largest_unimodal_tail(count - pairs, pairs, pairs * share**2)
        cutoff = count / n
        if cutoff <= 0.75 and cutoff <= 0.5 + min(share**2, 1 / n + 0.75 * share**2):
            with pytest.raises(InputError, match="cutoff: expected above"):
                expected_false(q, cutoff, p, n)
            continue
        ours = expected_false(q, cutoff, p, n)
        assert_allclose(ours, min(p * largest, q / cutoff), rtol=1e-7)


@pytest.mark.parametrize("pairs", [1, 2, 7, 50])
@pytest.mark.parametrize("q", [0.3, 12, 88.5])
def test_published_expressions(q, pairs):
    p, n = 1000, 2 * pairs
    for count in range(pairs + 1, n + 1):
        tau, square = count / n, (q / p) ** 2
        none = q**2 / ((2 * tau - 1) * p)
        assert_allclose(expected_false(q, tau, p, n, "none"), min(none, q / tau), rtol=1e-12)
        if tau > 0.75:
            constant = 4 * (1 - tau + 1 / (2 * pairs)) / (1 + 1 / pairs)
        elif tau > 0.5 + min(square, 1 / (2 * pairs) + 0.75 * square):
            constant = 1 / (2 * (2 * tau - 1 - 1 / (2 * pairs)))
        else:
            continue
        unimodal = constant * q**2 / p
        assert_allclose(expected_false(q, tau, p, n), min(unimodal, q / tau), rtol=1e-12)
        assert unimodal <= none * (1 + 1e-12)


@pytest.mark.parametrize("power", [2, 4])
@pytest.mark.parametrize(
    ("t", "n", "mean"),
    [(2, 2, 0.4), (2, 2, 0.01), (2, 3, 0.3), (3, 3, 0.9), (3, 4, 0.5), (4, 4, 0.05), (3, 5, 0.9)],
)
def test_r_concave_tail_is_the_maximum(t, n, mean, power):
    ours = _largest_tail(t, n, mean, power)
    found = searched_tail(t, n, mean, power, seed=n)
    assert found <= ours * (1 + 1e-9)
    assert found >= ours * (1 - 5e-3)


@pytest.mark.parametrize("power", [2, 4])
@pytest.mark.parametrize("n", [2, 5, 24, 40])
@pytest.mark.parametrize("share", [1e-4, 0.01, 0.06, 0.2, 0.3])
def test_r_concave_tail_is_the_published_search(n, share, power):
    """No member of the published family has a larger tail than the ones without a smaller atom."""
    mean = share * n
    first = math.ceil(2 * mean) + 1
    for t in sorted({first, first + 1, (first + n) // 2, n}):
        if first <= t <= n:
            ours = _largest_tail(t, n, mean, power)
            assert_allclose(ours, published_tail(t, n, mean, power), rtol=1e-9)


@pytest.mark.parametrize(("n", "power"), [(500, 2), (1000, 4), (2, 2)])
@pytest.mark.parametrize("mean", [1e-12, 1e-100, 1e-250])
def test_r_concave_tail_of_rare_selections(n, power, mean):
    """mean -> 0: f(i) = c i^-power for i >= 1, hence D / mean -> sum of i^-power / i^(1-power)."""
    i = np.arange(1.0, n + 1)
    t = (n + 2) // 2
    limit = mean * (i[t - 1 :] ** -power).sum() / (i ** (1 - power)).sum()
    if mean < 1e-200:  # Markov's inequality instead
        assert limit < _largest_tail(t, n, mean, power) <= mean
    else:
        rtol = 1e-11 + 2 * power * mean ** (1 / power)
        assert_allclose(_largest_tail(t, n, mean, power), limit, rtol=rtol)


def test_r_concave_is_the_smaller_of_two_tails():
    both, single = _largest_tail(10, 50, 0.5, 2), _largest_tail(60, 100, 10.0, 4)
    assert 0 < both < single < 1
    assert_allclose(expected_false(10, 0.6, 100, 100, "r-concave"), 100 * both, rtol=1e-11)
    both, single = _largest_tail(10, 50, 0.005, 2), _largest_tail(60, 100, 1.0, 4)
    assert 0 < single < both < 1
    assert_allclose(expected_false(1, 0.6, 100, 100, "r-concave"), 100 * single, rtol=1e-11)


# ---- properties ------------------------------------------------------------------------------


def bound_or_none(*arguments):
    try:
        return expected_false(*arguments)
    except InputError:
        return None


@pytest.mark.parametrize("assumption", ASSUMPTIONS)
@pytest.mark.parametrize(("p", "n"), [(60, 10), (10_000_000, 1000)])
def test_grows_with_n_active_and_falls_with_the_cutoff(p, n, assumption):
    cutoffs = (n // 2 + np.unique(np.linspace(1, n // 2, 12).astype(int))) / n
    sizes = np.r_[0, np.geomspace(1, p, 30)]
    table = [[bound_or_none(q, tau, p, n, assumption) for tau in cutoffs] for q in sizes]
    table = np.array(table, dtype=float)  # None becomes nan
    known = np.isfinite(table)
    assert assumption == "unimodal" or known.all()
    # what a theorem covers, it covers with a higher cutoff and with fewer SNPs
    assert (known[:, 1:] >= known[:, :-1]).all()
    assert (known[1:] <= known[:-1]).all()
    slack = 1 + 1e-10
    assert (table[:, 1:] <= table[:, :-1] * slack)[known[:, :-1]].all()
    assert (table[:-1] <= table[1:] * slack)[known[1:]].all()
    assert (table[0] == 0).all()
    assert (table[1:] > 0)[known[1:]].all()
    trivial = np.minimum(p, sizes[:, None] / cutoffs) * slack
    assert (table <= trivial)[known].all()


def test_limits():
    """All selected always: all may be false. Frequency 1 is reached by n_active SNPs at most."""
    for assumption in ("none", "r-concave"):
        assert expected_false(50, 0.6, 50, 10, assumption) == 50
        assert largest_n_active(0.6, 50, 50, 10, assumption) == 50
        assert expected_false(40, 1.0, 50, 10, assumption) <= 40
    assert expected_false(30, 0.6, 50, 10, "r-concave") == 30 / 0.6  # stabs: 50
    assert expected_false(2, 1, 50, 1, "none") == 4 / 50


@pytest.mark.parametrize("assumption", ASSUMPTIONS)
def test_r_concavity_is_more_than_unimodality(assumption):
    tighter = {"none": "unimodal", "unimodal": "r-concave", "r-concave": "r-concave"}[assumption]
    for cutoff in (0.55, 0.7, 0.9, 1.0):
        for q in (1, 30, 100):
            loose = expected_false(q, cutoff, 1000, 100, assumption)
            assert expected_false(q, cutoff, 1000, 100, tighter) <= loose * (1 + 1e-12)


@pytest.mark.parametrize("assumption", ASSUMPTIONS)
@pytest.mark.parametrize("n", [2, 6, 50, 98, 100])
def test_a_cutoff_counts_as_the_next_multiple(n, assumption):
    """The bound is that of the SNPs that `frequency >= cutoff` selects, bit for bit."""
    frequencies = np.arange(n + 1) / n
    rng = np.random.default_rng(n)
    decimals = np.arange(51, 101) / 100
    near = np.nextafter(frequencies, 0), frequencies, np.nextafter(frequencies, 2)
    cutoffs = np.concatenate([rng.uniform(0.5, 1, 20), decimals, *near])
    for cutoff in cutoffs[(cutoffs > 0.5) & (cutoffs <= 1)]:
        multiple = frequencies[frequencies >= cutoff][0]
        at = expected_false(3, multiple, 10_000, n, assumption)
        assert expected_false(3, cutoff, 10_000, n, assumption) == at
        if assumption == "none":
            assert_allclose(at, 9 / ((2 * multiple - 1) * 10_000), rtol=1e-12)


@pytest.mark.parametrize("assumption", ASSUMPTIONS)
@pytest.mark.parametrize(("p", "n"), [(30, 8), (1000, 100), (10_000_000, 1000)])
@pytest.mark.parametrize("max_false", [0.001, 0.5, 1, 20])
def test_largest_n_active_is_the_largest(p, n, max_false, assumption):
    for cutoff in (0.6, 0.75, 0.93, 1.0):
        q = largest_n_active(cutoff, max_false, p, n, assumption)
        assert type(q) is int
        assert expected_false(q, cutoff, p, n, assumption) <= max_false
        if q < p:
            above = bound_or_none(q + 1, cutoff, p, n, assumption)
            assert above is None or above > max_false


@pytest.mark.parametrize("assumption", ASSUMPTIONS)
@pytest.mark.parametrize(("p", "n"), [(30, 8), (1000, 100), (10_000_000, 1000)])
@pytest.mark.parametrize("q", [0, 1, 2.5, 9, 16])
def test_smallest_cutoff_is_the_smallest(p, n, q, assumption):
    for max_false in (0.001, 0.5, 5, 40):
        strictest = expected_false(q, 1, p, n, assumption)
        if strictest > max_false:
            fits = largest_n_active(1, max_false, p, n, assumption)
            with pytest.raises(InputError, match=f"select at most {fits} SNPs"):
                smallest_cutoff(q, max_false, p, n, assumption)
            assert smallest_cutoff(fits, max_false, p, n, assumption) <= 1
            assert smallest_cutoff(q, strictest, p, n, assumption) <= 1
            continue
        cutoff = smallest_cutoff(q, max_false, p, n, assumption)
        assert cutoff in np.arange(n // 2 + 1, n + 1) / n
        assert expected_false(q, cutoff, p, n, assumption) <= max_false
        below = round(cutoff * n - 1)
        if 2 * below > n:
            above = bound_or_none(q, below / n, p, n, assumption)
            assert above is None or above > max_false
        # and back: nothing is lost that the same cutoff would have allowed
        assert largest_n_active(cutoff, max_false, p, n, assumption) >= math.floor(q)


def test_a_round_bound_is_met_exactly():
    """9 / 20 is not exceeded by rounding, nor are squares of large numbers."""
    assert expected_false(3, 0.6, 100, 100, "none") == 0.45
    assert largest_n_active(0.6, 0.45, 100, 100, "none") == 3
    assert largest_n_active(0.75, 50, 10_000, 100, "none") == 500
    assert smallest_cutoff(500, 50, 10_000, 100, "none") == 0.75


@pytest.mark.parametrize("integer", [np.int32, np.int64, np.uint32])
def test_numpy_numbers(integer):
    plain = expected_false(3000, 0.75, 10_000_000, 100, "r-concave")
    typed = (np.float32(3000), np.float32(0.75), integer(10_000_000), integer(100), "r-concave")
    assert expected_false(*typed) == plain
    assert type(expected_false(*typed)) is float
    assert smallest_cutoff(typed[0], integer(1), *typed[2:]) < 0.75
    assert type(largest_n_active(typed[1], np.float32(1), *typed[2:])) is int


def test_with_an_odd_number_of_subsamples():
    """Meinshausen and Buhlmann need no pairs."""
    assert_allclose(expected_false(5, 0.6, 100, 5, "none"), 25 / (0.2 * 100))
    assert smallest_cutoff(5, 1.25, 100, 5, "none") == 0.6
    with pytest.raises(InputError, match="n_replicates: expected an even number"):
        expected_false(5, 0.6, 100, 5)


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize("cutoff", [0.5, 0, -1, 0.3, 1.0001, math.nan, math.inf, "0.7", None, True])
def test_refuses_a_cutoff(cutoff):
    for call in (expected_false, largest_n_active):
        with pytest.raises(InputError, match=r"cutoff: expected a number in \(1/2, 1\]"):
            call(*((1, cutoff) if call is expected_false else (cutoff, 1)), 100, 100)


@pytest.mark.parametrize("n_active", [-1, 100.5, math.nan, math.inf, "3", None, True])
def test_refuses_n_active(n_active):
    for call in (expected_false, smallest_cutoff):
        with pytest.raises(InputError, match="n_active: expected a number from 0 to n_variants"):
            call(n_active, 0.7, 100, 100)


@pytest.mark.parametrize("max_false", [-0.1, math.nan, math.inf, "1", None, True])
def test_refuses_max_false(max_false):
    for call, other in ((largest_n_active, 0.7), (smallest_cutoff, 3)):
        with pytest.raises(InputError, match="max_false: expected a finite number of at least 0"):
            call(other, max_false, 100, 100)


@pytest.mark.parametrize(
    ("n_variants", "n_replicates", "assumption", "message"),
    [
        (0, 100, "none", "n_variants: expected an integer of at least 1, found 0"),
        (100.0, 100, "none", "n_variants: expected an integer"),
        (True, 100, "none", "n_variants: expected an integer"),
        (100, 0, "none", "n_replicates: expected an integer of at least 1, found 0"),
        (100, 2.5, "none", "n_replicates: expected an integer"),
        (100, 0, "unimodal", "n_replicates: expected an integer of at least 1, found 0"),
        (100, 99, "unimodal", "n_replicates: expected an even number"),
        (100, 99, "r-concave", "n_replicates: expected an even number"),
        (100, 100, "MB", "assumption: expected 'none', 'unimodal' or 'r-concave', found 'MB'"),
    ],
)
def test_refuses_a_study(n_variants, n_replicates, assumption, message):
    for call, first in ((expected_false, (1, 0.7)), (largest_n_active, (0.7, 1))):
        with pytest.raises(InputError, match=message):
            call(*first, n_variants, n_replicates, assumption)
    with pytest.raises(InputError, match=message):
        smallest_cutoff(1, 1, n_variants, n_replicates, assumption)


def test_refuses_what_the_unimodal_theorem_does_not_cover():
    assert expected_false(577, 0.9, 1000, 100) > 0
    for call in (expected_false, smallest_cutoff):
        with pytest.raises(InputError, match=r"n_active: expected at most .* = 577\.35"):
            call(578, 0.9, 1000, 100)
    assert largest_n_active(0.9, 1000, 1000, 100) == 577
    # theta = 0.2: the cutoff must be above 1/2 + min(0.04, 0.01 + 0.03), and 0.54 is not
    with pytest.raises(InputError, match=r"cutoff: expected above 0\.54, .* found 0\.54"):
        expected_false(20, 0.54, 100, 100)
    assert expected_false(20, 0.541, 100, 100) == expected_false(20, 0.55, 100, 100) > 0
    assert largest_n_active(0.54, 100, 100, 100) == 19
    assert smallest_cutoff(20, 100, 100, 100) == 0.55
    # theta = 0.3: the other of the two limits, 0.01 + 0.0675
    with pytest.raises(InputError, match=r"cutoff: expected above 0\.5775, .* found 0\.57"):
        expected_false(30, 0.57, 100, 100)
    assert_allclose(expected_false(30, 0.58, 100, 100), 30)
    # theta = 0.577: above 3/4 the size alone decides
    with pytest.raises(InputError, match=r"cutoff: expected above 0\.75"):
        expected_false(577, 0.75, 1000, 100)
    assert expected_false(577, 0.76, 1000, 100) > 0


def test_no_assumption_makes_a_bound_looser():
    for n in (4, 6, 10, 20, 100):
        for count in range(n // 2 + 1, n + 1):
            tight = expected_false(5, count / n, 4000, n, "r-concave")
            assert tight <= expected_false(5, count / n, 4000, n, "none")

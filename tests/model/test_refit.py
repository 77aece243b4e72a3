"""Delta refitted along the path: against the slow alternation, and what must hold of the result."""

import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from problems import certify, covariance, from_array, plain_problem, random_dosages, sample_table
from threadpoolctl import threadpool_limits

sys.path.append(str(Path(__file__).resolve().parents[2]))

import lmmlasso_fast as ll
from bench.accuracy import delta as study
from lmmlasso_fast.errors import (
    ConvergenceWarning,
    DataWarning,
    InputError,
    PhenotypeError,
    SampleMatchError,
)
from lmmlasso_fast.null_model import NullModel
from lmmlasso_fast.refit import SETTLED, refit_path

pytestmark = pytest.mark.promise("no-wrong-answer")

FRACTIONS = np.array([1.0, 0.8, 0.55, 0.4, 0.3])


def few_loci(seed, n=60, p=120, **options):
    """Two loci with half of the variance, a weak background: the null model takes them for kinship.

    `null` is the one without SNPs.
    """
    problem = plain_problem(seed, n=n, p=p, effects=0, **options)
    rng = np.random.default_rng(seed + 100)
    loci = rng.permutation(np.flatnonzero(problem.X.any(axis=0)))[:2]
    background = problem.X @ rng.standard_normal(p) * 0.3 / np.sqrt(p)
    problem.y = 5 + problem.X[:, loci].sum(axis=1) + background + rng.standard_normal(n)
    problem.kinship = ll.kinship(problem.genotypes)
    problem.null = ll.fit_null(problem.y, problem.kinship, problem.covariates)
    return problem


@pytest.fixture(scope="module")
def problem():
    return few_loci(9)


@pytest.fixture(scope="module")
def refitted(problem):
    return refit(problem)


def refit(problem, null=None, **options):
    options = {"fractions": FRACTIONS} | options
    return refit_path(problem.genotypes, problem.y, null or problem.null, **options)


def snp_part(problem, refitted, k):
    return problem.X @ refitted.coefs[:, [k]].toarray()[:, 0]


def same(one, other, *, y=1.0, **tolerance):
    """The same solutions, of phenotypes in units of which one is y times the other."""
    tolerance = {"rtol": 1e-6, **tolerance}
    assert_allclose(other.log_delta, one.log_delta, atol=1e-6)
    assert_allclose(other.alphas / abs(y), one.alphas, **tolerance)
    assert_allclose(other.coefs.toarray() / y, one.coefs.toarray(), atol=1e-6, **tolerance)
    assert_array_equal(other.n_rounds, one.n_rounds)
    assert_array_equal(other.settled, one.settled)


def bits(refitted):
    arrays = [
        getattr(refitted, field.name)
        for field in fields(refitted)
        if field.name not in ("coefs", "nulls", "_paths")
    ]
    arrays += [refitted.coefs.data, refitted.coefs.indices, refitted.at(-1).dual]
    arrays += [refitted.at(k).gammas for k in range(len(refitted.fractions))]
    return [array.tobytes() for array in arrays]


# ---- against the oracle ----------------------------------------------------------------------


def alternate(problem, K, method, fractions):
    """The alternation in dense algebra: log delta, rounds and X beta at every fraction."""
    log_delta = ref.fit_null(problem.y, K, problem.C, method).log_delta
    result = []
    for fraction in fractions:
        for n_rounds in range(1, 21):
            W, M = ref.whitening(K, np.exp(log_delta), problem.C)
            X, y = M @ W @ problem.X, M @ W @ problem.y
            beta = ref.lasso_cd(X, y, fraction * ref.alpha_max(X, y), tol=1e-13)
            rest = problem.y - problem.X @ beta
            best = ref.fit_null(rest, K, problem.C, method).log_delta
            if abs(best - log_delta) <= 1e-3 or n_rounds == 20:
                break
            log_delta = best
        result.append((log_delta, n_rounds, abs(best - log_delta) <= 1e-3, problem.X @ beta))
    return result


@pytest.mark.parametrize(("method", "seed"), [("ml", 9), ("reml", 7)])
def test_it_is_the_slow_alternation(method, seed):
    problem = few_loci(seed, n=40, p=50)
    null = ll.fit_null(problem.y, problem.kinship, problem.covariates, method=method)
    found = refit(problem, null, fractions=FRACTIONS[1:])
    expected = alternate(problem, covariance(null), method, FRACTIONS[1:])
    for k, (log_delta, n_rounds, settled, fitted) in enumerate(expected):
        assert found.log_delta[k] == pytest.approx(log_delta, abs=1e-5)
        assert (found.n_rounds[k], found.settled[k]) == (n_rounds, settled)
        assert_allclose(snp_part(problem, found, k), fitted, atol=1e-5)
    assert found.n_rounds.max() > 2
    assert np.ptp(found.log_delta) > 0.1  # something was estimated


def test_every_solution_is_the_lasso_at_its_own_delta(problem, refitted):
    for k, fraction in enumerate(FRACTIONS):
        path = refitted.at(k)
        certify(path, problem.X, problem.y)
        assert path.null is refitted.nulls[k]
        assert path.null.log_delta == refitted.log_delta[k]
        assert path.null.delta == np.exp(refitted.log_delta[k])
        assert_allclose(path.alphas, fraction * path.alpha_max, rtol=1e-15)
        for name in ("alphas", "n_active", "dual_gaps"):
            assert getattr(path, name)[0] == getattr(refitted, name)[k]
        assert_array_equal(path.coefs.toarray(), refitted.coefs[:, [k]].toarray())
        # a path with this delta, from alpha_max on, gets there too
        null = ll.fit_null(
            problem.y, problem.kinship, problem.covariates, log_delta=refitted.log_delta[k]
        )
        usual = ll.lasso_path(problem.genotypes, problem.y, null, alphas=path.alphas)
        assert_allclose(
            problem.X @ usual.coefs.toarray(), problem.X @ path.coefs.toarray(), atol=1e-3
        )
        assert usual.alpha_max == pytest.approx(path.alpha_max, rel=1e-12)


@pytest.mark.parametrize("method", ["ml", "reml"])
def test_the_residual_gives_the_same_delta_again(problem, method):
    null = ll.fit_null(problem.y, problem.kinship, problem.covariates, method=method)
    found = refit(problem, null)
    assert found.settled.all()
    for k in range(len(FRACTIONS)):
        rest = problem.y - snp_part(problem, found, k)
        again = ll.fit_null(rest, problem.kinship, problem.covariates, method=method)
        assert abs(again.log_delta - found.log_delta[k]) <= SETTLED
        at = ll.fit_null(
            rest, problem.kinship, problem.covariates, method, log_delta=found.log_delta[k]
        )
        described = found.nulls[k]
        for name in ("sigma_g2", "sigma_e2", "h2", "log_likelihood", "gamma"):
            assert_allclose(getattr(described, name), getattr(at, name), rtol=1e-9, err_msg=name)
        assert_allclose(described.gamma, found.at(k).gammas[:, 0], rtol=1e-7)
        assert_allclose(described.h2_se, again.h2_se, rtol=1e-6)
        assert described.method == method
        assert found.h2[k] == described.h2


def test_without_active_snps_it_is_the_null_model(problem, refitted):
    assert (refitted.n_active[0], refitted.n_rounds[0]) == (0, 1)
    assert refitted.log_delta[0] == problem.null.log_delta
    for field in fields(NullModel):
        if field.name not in ("profile", "kinship", "design"):
            ours, theirs = (getattr(n, field.name) for n in (refitted.nulls[0], problem.null))
            assert_array_equal(ours, theirs, err_msg=field.name)
    first = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=1)
    assert refitted.alphas[0] == first.alpha_max
    assert_array_equal(refitted.at(0).dual, first.dual)


def test_loci_are_no_longer_taken_for_kinship(refitted):
    """Delta grows from step to step as the two loci come in, and h2 goes from most to little."""
    assert (np.diff(refitted.log_delta) > 0.1).all()
    assert refitted.h2[0] > 0.8
    assert refitted.h2[-1] < 0.1


def test_one_round_is_the_published_path(problem):
    with pytest.warns(ConvergenceWarning, match="did not settle at 4 of 5 fractions"):
        found = refit(problem, max_rounds=1)
    assert_array_equal(found.log_delta, problem.null.log_delta)
    assert_array_equal(found.n_rounds, 1)
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, alphas=found.alphas)
    assert_allclose(found.alphas, FRACTIONS * path.alpha_max, rtol=1e-15)
    assert_allclose(found.coefs.toarray(), path.coefs.toarray(), atol=1e-3)
    assert_array_equal(found.settled, [True, False, False, False, False])


def test_what_does_not_settle_is_flagged(problem, refitted):
    enough = int(refitted.n_rounds.max())
    assert_array_equal(bits(refit(problem, max_rounds=enough)), bits(refitted))
    with pytest.warns(ConvergenceWarning, match="did not settle"):
        fewer = refit(problem, max_rounds=enough - 1)
    assert fewer.n_rounds.max() == enough - 1
    assert not fewer.settled.all()
    for k in range(len(FRACTIONS)):
        certify(fewer.at(k), problem.X, problem.y)  # an exact solution all the same


# ---- relations -------------------------------------------------------------------------------


def test_a_multiple_of_the_kinship_changes_nothing(problem, refitted):
    K = 7 * problem.kinship.matrix
    other = refit(problem, ll.fit_null(problem.y, K, problem.covariates))
    same(refitted, other)


@pytest.mark.parametrize("a", [2.0**-40, 2.0**40, -1.0, 1e-6, 1e6])
def test_the_unit_of_the_phenotype(problem, refitted, a):
    y = a * problem.y
    null = ll.fit_null(y, problem.kinship, problem.covariates)
    other = refit_path(problem.genotypes, y, null, fractions=FRACTIONS)
    same(refitted, other, y=a)
    sigma = [null.sigma_g2 for null in other.nulls]
    assert_allclose(sigma, [a * a * null.sigma_g2 for null in refitted.nulls], rtol=1e-5)
    if np.log2(abs(a)) % 1 == 0:
        assert_array_equal(other.coefs.toarray() / a, refitted.coefs.toarray())


def test_adding_covariates_to_the_phenotype_moves_only_their_effects(problem, refitted):
    y = problem.y + problem.C @ [100.0, -3.0]
    null = ll.fit_null(y, problem.kinship, problem.covariates)
    other = refit_path(problem.genotypes, y, null, fractions=FRACTIONS)
    same(refitted, other)
    for k in range(len(FRACTIONS)):
        moved = other.at(k).gammas[:, 0] - refitted.at(k).gammas[:, 0]
        assert_allclose(moved, [100.0, -3.0], atol=1e-6)


def test_the_order_of_samples(problem, refitted):
    order = np.random.default_rng(0).permutation(problem.n)
    genotypes = problem.genotypes.subset(order)
    K = problem.kinship.subset(order)
    null = ll.fit_null(problem.y[order], K, problem.covariates[order])
    same(refitted, refit_path(genotypes, problem.y[order], null, fractions=FRACTIONS))


def test_the_tridiagonal_form_gives_the_same(problem, refitted, tridiagonal_form):
    kinship = ll.kinship(problem.genotypes)
    null = ll.fit_null(problem.y, kinship, problem.covariates)
    other = refit(problem, null)
    assert "tridiagonal" in vars(kinship)
    same(refitted, other)
    assert vars(kinship)["tridiagonal"] is kinship.tridiagonal  # computed once for all deltas


def test_same_input_same_bits_for_any_number_of_threads(problem, refitted):
    for n_threads in (1, 2, 3):
        with threadpool_limits(n_threads, user_api="blas"):
            assert bits(refit(problem, n_threads=n_threads)) == bits(refitted)


def test_nothing_that_was_passed_is_written_to(problem):
    factors, fractions = np.ones(problem.p), FRACTIONS.copy()
    factors[3] = 0.0
    y = problem.y.copy()
    before = problem.null.profile.nll.copy()
    refit_path(
        problem.genotypes, y, problem.null, fractions=fractions, penalty_factors=factors
    )  # fmt: skip
    assert_array_equal(y, problem.y)
    assert_array_equal(fractions, FRACTIONS)
    assert_array_equal(factors, np.where(np.arange(problem.p) == 3, 0.0, 1.0))
    assert_array_equal(problem.null.profile.nll, before)


# ---- odd likelihoods -------------------------------------------------------------------------


def test_an_identity_does_not_identify_delta(problem):
    with pytest.warns(DataWarning, match="does not depend on delta"):
        null = ll.fit_null(problem.y, np.eye(problem.n), problem.covariates)
    found = refit(problem, null)
    assert_array_equal(found.log_delta, 0.0)
    assert found.settled.all()
    assert all(null.flat for null in found.nulls)
    plain = ll.lasso_path(problem.genotypes, problem.y, covariates=problem.covariates)
    for k, fraction in enumerate(FRACTIONS):
        expected = plain.at(fraction * plain.alpha_max)[0]
        assert_allclose(snp_part(problem, found, k), problem.X @ expected, atol=0.02)


@pytest.mark.parametrize("low", [-5.0, -2.0])
def test_delta_at_either_end_of_the_interval(problem, low):
    """At the upper one from SNPs that stand in for the kinship, at the lower from y in its span."""
    small = refit(problem, fractions=[0.05, 0.02])
    assert_array_equal(small.log_delta, 5.0)
    assert all(null.at_boundary and null.h2_se is None for null in small.nulls)
    _, U = np.linalg.eigh(problem.kinship.matrix)
    y = U[:, -20:] @ np.random.default_rng(0).standard_normal(20)
    null = ll.fit_null(y, problem.kinship, log_delta_min=low, log_delta_max=3.0)
    assert (null.log_delta, null.at_boundary) == (low, True)
    found = refit_path(problem.genotypes, y, null, fractions=[1.0, 0.9, 0.05])
    assert_array_equal(found.log_delta[:2], low)
    assert (found.log_delta >= low).all()  # the null model's interval
    assert (found.log_delta <= 3.0).all()
    assert found.nulls[0].at_boundary
    for k in range(3):
        certify(found.at(k), problem.X, y, rounding=1e-9)


def test_snps_that_explain_everything_leave_no_delta(problem):
    with pytest.raises(InputError, match=r"fractions: expected some that leave a residual.*1e-15"):
        refit(problem, fractions=[0.5, 1e-15])


# ---- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ml", "reml"])
def test_unpenalised_snps_are_covariates_of_the_likelihood_too(problem, method):
    factors = np.ones(problem.p)
    factors[[1, 4, 20]] = 0.0  # 4 is a copy of 1
    null = ll.fit_null(problem.y, problem.kinship, problem.covariates, method=method)
    with pytest.warns(DataWarning, match="1 unpenalised SNPs are collinear"):
        found = refit(problem, null, penalty_factors=factors)
    both = np.column_stack([problem.covariates, problem.X[:, [1, 20]]])
    expected = ll.fit_null(problem.y, problem.kinship, both, method=method)
    assert found.log_delta[0] == pytest.approx(expected.log_delta, abs=1e-9)
    assert found.n_rounds[0] == 2
    factors[4] = np.inf
    for k in range(len(FRACTIONS)):
        rest = problem.y - snp_part(problem, found, k)
        again = ll.fit_null(rest, problem.kinship, both, method=method)
        assert abs(again.log_delta - found.log_delta[k]) <= SETTLED
        path = found.at(k)
        certify(path, problem.X, problem.y, factors)
        assert path.null.design is null.design
        assert path.null.gamma.shape == (2,)
        assert_array_equal(path.penalty_factors[[0, 1, 20]], [1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    "options", [{"l1_ratio": 0.5}, {"penalty_factors": np.where(np.arange(120) < 30, np.inf, 1.5)}]
)
def test_elastic_net_and_penalty_factors(problem, refitted, options):
    found = refit(problem, **options)
    for k in range(len(FRACTIONS)):
        certify(found.at(k), problem.X, problem.y, options.get("penalty_factors"))
    assert found.at(0).l1_ratio == options.get("l1_ratio", 1.0)
    assert not np.allclose(found.coefs.toarray(), refitted.coefs.toarray())


def test_the_default_fractions(problem):
    seen = []
    found = refit(problem, fractions=None, progress=lambda *now: seen.append(now))
    assert_allclose(found.fractions, 0.05 ** (np.arange(20) / 19), rtol=1e-12)
    assert seen == [(k + 1, 20) for k in range(20)]
    fewer = refit(problem, fractions=None, n_alphas=3, eps=0.25)
    assert_allclose(fewer.fractions, [1, 0.5, 0.25], rtol=1e-12)
    shuffled = refit(problem, fractions=[0.25, 1.0, 0.5])
    assert bits(shuffled) == bits(fewer)
    assert refit(problem, fractions=0.5).fractions.tolist() == [0.5]


def test_max_active_ends_before_the_first_fraction_with_more(problem, refitted):
    for limit in range(int(refitted.n_active.max()) + 1):
        short = refit(problem, max_active=limit)
        m = int(np.argmax(np.append(refitted.n_active, 10**9) > limit))
        assert_array_equal(short.fractions, FRACTIONS[:m])
        assert_array_equal(short.coefs.toarray(), refitted.coefs.toarray()[:, :m])
    with pytest.raises(InputError, match="max_active: already the first fraction has more than 0"):
        refit(problem, fractions=[0.5], max_active=0)


def test_a_gap_above_the_tolerance_is_reported(problem):
    with pytest.warns(ConvergenceWarning, match="of 5 fractions did not reach the relative"):
        found = refit(problem, tol=0.0)
    assert found.at(-1).converged.tolist() == [bool(found.dual_gaps[-1] == 0)]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"fractions": []}, "fractions: expected a list"),
        ({"fractions": [[0.5]]}, r"fractions: expected a list.*\(1, 1\)"),
        ({"fractions": [0.5, 0.0]}, "fractions: expected numbers above 0.*found 0.0"),
        ({"fractions": [1.01]}, "fractions.*found 1.01"),
        ({"fractions": [np.nan]}, "fractions.*found nan"),
        ({"max_rounds": 0}, "max_rounds: expected an integer of at least 1, found 0"),
        ({"max_rounds": 2.0}, "max_rounds.*found 2.0"),
        ({"max_rounds": True}, "max_rounds.*found True"),
        ({"n_alphas": 0}, "n_alphas"),
        ({"eps": 1.0}, "eps"),
        ({"max_active": -1}, "max_active"),
        ({"tol": -1.0}, "tol"),
        ({"l1_ratio": 0.0}, "l1_ratio"),
        ({"penalty_factors": [1.0]}, "penalty_factors: expected 120 numbers"),
        ({"penalty_factors": np.full(120, np.inf)}, "no SNP is left"),
        ({"n_threads": 0}, "n_threads"),
    ],
)
def test_options_out_of_range_are_refused(problem, options, text):
    with pytest.raises(InputError, match=text):
        refit(problem, **options)


def test_a_delta_that_was_given_is_not_for_refitting(problem):
    with pytest.raises(InputError, match=r"null: expected a null model whose delta.*found none"):
        refit_path(problem.genotypes, problem.y, None)
    given = ll.fit_null(problem.y, problem.kinship, log_delta=0.0)
    with pytest.raises(InputError, match="found a given one"):
        refit(problem, given)


def test_other_samples_are_refused(problem):
    half = np.arange(0, problem.n, 2)
    null = ll.fit_null(problem.y[half], problem.kinship.subset(half))
    with pytest.raises(SampleMatchError, match="expected the 60 samples"):
        refit(problem, null)
    with pytest.raises(PhenotypeError, match="expected 60 values"):
        refit_path(problem.genotypes, problem.y[half], problem.null)
    names = [from_array(problem.D, samples=sample_table(60, prefix)) for prefix in "ab"]
    null = ll.fit_null(problem.y, ll.kinship(names[0]))
    with pytest.raises(SampleMatchError, match="same order"):
        refit_path(names[1], problem.y, null)


# ---- what a step is good for -----------------------------------------------------------------


def test_a_step_predicts_as_dense_algebra_does(problem, refitted):
    D = random_dosages(np.random.default_rng(9), 15, problem.p)
    covariates = np.random.default_rng(10).standard_normal((15, 1))
    X, mean, sd = ref.standardise(problem.D)
    X_new = ref.standardise_with(D, mean, sd)
    K = covariance(problem.null)
    K_new = ref.kinship_rrm_new(X_new, X, problem.n_included, problem.kinship.scale)
    C_new = np.column_stack([np.ones(15), covariates])
    for k in (0, 2, -1):
        model = ll.build_model(refitted.at(k), problem.genotypes)
        found = model.predict(from_array(D), covariates=covariates)
        beta = refitted.coefs[:, [k]].toarray()[:, 0]
        delta = np.exp(refitted.log_delta[k])
        expected = ref.predict(beta, problem.y, X, problem.C, K, delta, X_new, C_new, K_new)
        assert model.log_delta == refitted.log_delta[k]
        assert_allclose(found.total, expected.total, atol=1e-4)
        assert_allclose(found.random, expected.random, atol=1e-4)


def test_a_step_splits_the_variance_by_its_own_delta(problem, refitted):
    split = ll.variance_split(refitted.at(3), problem.genotypes, problem.y)
    beta = refitted.coefs[:, [3]].toarray()[:, 0]
    expected = ref.variance_split(
        beta, problem.y, problem.X, problem.C, covariance(problem.null), refitted.nulls[3].delta
    )
    total = expected.snps + expected.random + expected.noise
    assert_allclose(split.total, total, rtol=1e-6)
    assert_allclose(split.noise, expected.noise / total, rtol=1e-6)


def test_steps_are_numbered_as_a_sequence_is(refitted):
    assert_array_equal(refitted.at(-1).alphas, refitted.alphas[-1:])
    for k in (5, -6):
        with pytest.raises(IndexError):
            refitted.at(k)


# ---- the study (bench/accuracy/delta.py) -----------------------------------------------------


def brute_average_precision(order, linked):
    """For each causal SNP, up to its first proxy: loci found over loci found and errors."""
    total = 0.0
    for c in range(linked.shape[1]):
        at = next((i for i, snp in enumerate(order) if linked[snp, c]), None)
        if at is not None:
            upto = list(order[: at + 1])
            n_found = int(linked[upto].any(axis=0).sum())
            n_wrong = sum(not linked[snp].any() for snp in upto)
            total += n_found / (n_found + n_wrong)
    return total / linked.shape[1]


def test_average_precision():
    linked = np.zeros((6, 2), dtype=bool)
    linked[[0, 1], 0] = True
    linked[4, 1] = True
    assert study.average_precision(np.array([1, 4, 2]), linked) == 1.0
    assert study.average_precision(np.array([1, 0, 4]), linked) == 1.0  # 0: found before
    assert study.average_precision(np.array([2, 1, 5, 4]), linked) == (1 / 2 + 2 / 4) / 2
    assert study.average_precision(np.array([3, 1]), linked) == 1 / 4
    assert study.average_precision(np.array([], dtype=int), linked) == 0.0
    rng = np.random.default_rng(0)
    for _ in range(30):
        linked, order = rng.random((12, 4)) < 0.15, rng.permutation(12)[: rng.integers(12)]
        assert study.average_precision(order, linked) == pytest.approx(
            brute_average_precision(order, linked)
        )


def test_order_of_entry_is_by_step_and_then_by_effect(problem, refitted):
    coefs = np.abs(refitted.coefs.toarray())
    expected = []
    for beta in coefs.T:
        new = [j for j in np.flatnonzero(beta) if j not in expected]
        expected += sorted(new, key=lambda j: -beta[j])
    steps = [refitted.at(k) for k in range(len(FRACTIONS))]
    assert study.order_of_entry(steps).tolist() == expected


def test_the_study_runs_and_repeats_itself(monkeypatch):
    monkeypatch.setattr(study, "N_CAUSAL", (2, 10))
    monkeypatch.setattr(study, "_FIXED_ROUNDS", 3)
    one = study.run(2, seed=3, n_fixed=1, shape=(40, 20, 90))
    assert one == study.run(2, seed=3, n_fixed=1, shape=(40, 20, 90))
    assert len(one["rows"]) == 2 * 2 * 2
    assert len({row["log_delta"]["null"] for row in one["rows"]}) > 4
    text = study.markdown(one)
    assert text.count("| 10 | 0.3 |") == 4
    for row in one["rows"]:
        assert row["log_delta"]["refitted"][0] == row["log_delta"]["null"]
        null, refitted = (row["explained_variance"][m] for m in ("null", "refitted"))
        assert null[0] == pytest.approx(refitted[0], abs=1e-9)  # BLUP both
        assert np.max(list(row["explained_variance"].values())) < 1
        assert len(null) == len(refitted) == len(study.FRACTIONS)
    assert sum("fixed_effects" in row for row in one["rows"]) == 4

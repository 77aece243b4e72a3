"""Every option of lasso_path does what it says, changes something, or is refused."""

import inspect
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import (
    certify,
    dense,
    from_array,
    mixed_problem,
    objectives,
    plain_problem,
    random_dosages,
    sample_table,
)

import lmmlasso_fast as ll
import lmmlasso_fast.packed
from lmmlasso_fast.errors import (
    ConvergenceWarning,
    CovariateError,
    DataWarning,
    GenotypeError,
    InputError,
    PhenotypeError,
    SampleMatchError,
)
from lmmlasso_fast.path import LassoPath, PathOptions, interpolation
from lmmlasso_fast.problem import as_penalty_factors

pytestmark = pytest.mark.promise("options")

ARRAYS = ("alphas", "gammas", "dual_gaps", "alpha_entry", "dual", "intercepts", "n_passes")


@pytest.fixture(scope="module")
def problem():
    return mixed_problem(20, n=45, p=150)


@pytest.fixture(scope="module")
def path(problem):
    return fit(problem)


def fit(problem, **options):
    options = {"n_alphas": 15, **options}
    return ll.lasso_path(problem.genotypes, problem.y, problem.null, **options)


def bits(path):
    parts = [getattr(path, name).tobytes() for name in ARRAYS]
    coefs = path.coefs
    return (*parts, coefs.data.tobytes(), coefs.indices.tobytes(), coefs.indptr.tobytes())


# ---- the grid --------------------------------------------------------------------------------


def test_the_default_grid_is_even_on_the_log_scale(problem, path):
    assert_allclose(np.diff(np.log(path.alphas)), np.log(0.01) / 14, rtol=1e-10)
    assert path.alphas[0] == path.alpha_max
    assert len(ll.lasso_path(problem.genotypes, problem.y, problem.null).alphas) == 100
    wider = fit(problem, eps=1e-3, n_alphas=4)
    assert_allclose(wider.alphas / wider.alpha_max, [1, 0.1, 0.01, 1e-3], rtol=1e-12)
    assert fit(problem, n_alphas=1).n_active.tolist() == [0]


def test_fractions_are_of_the_datas_own_alpha_max():
    options = PathOptions(fractions=np.array([1.0, 0.5, 0.1]))
    assert_array_equal(options.grid(4.0), [4.0, 2.0, 0.4])
    with pytest.raises(GenotypeError, match="no SNP is left"):
        options.grid(0.0)


def test_given_alphas_are_sorted_and_each_gets_its_solution(problem, path):
    shuffled = np.random.default_rng(0).permutation(np.repeat(path.alphas, 2))
    other = fit(problem, alphas=shuffled)
    assert_array_equal(other.alphas, np.repeat(path.alphas, 2))
    assert_array_equal(other.alphas, np.sort(shuffled)[::-1])
    certify(other, problem.X, problem.y)
    assert_allclose(
        objectives(other, problem.X, problem.y)[::2],
        objectives(path, problem.X, problem.y),
        atol=2e-6,
    )
    assert fit(problem, alphas=float(path.alphas[3])).alphas.tolist() == [path.alphas[3]]


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 1e-4])
def test_one_alpha_far_from_the_top(problem, path, share):
    """Nothing warm to start from; at one half the strong rule's threshold is exactly zero."""
    for options in ({}, {"penalty_factors": np.where(np.arange(150) < 9, np.inf, 1)}):
        top = fit(problem, n_alphas=1, **options).alpha_max
        far = fit(problem, alphas=[share * top], **options)
        certify(far, problem.X, problem.y, options.get("penalty_factors"))
        assert far.n_active[0] > 0


def test_alphas_above_the_top_have_no_active_snp(problem, path):
    far = fit(problem, alphas=path.alpha_max * np.array([1e6, 1 + 1e-9, 1.0]))
    assert not far.n_active.any()
    assert (far.dual_gaps < 1e-14).all()
    assert_allclose(far.gammas, np.repeat(problem.null.gamma[:, None], 3, axis=1), rtol=1e-8)


# ---- max_active ------------------------------------------------------------------------------


def test_max_active_ends_before_the_first_alpha_with_more(problem, path):
    for limit in [*range(12), 150]:
        short = fit(problem, max_active=limit)
        more = np.flatnonzero(path.n_active > limit)
        expected = more[0] if len(more) else len(path.alphas)
        assert len(short.alphas) == expected
        assert short.n_active.max() <= limit
        assert_array_equal(short.coefs.toarray(), path.coefs.toarray()[:, :expected])
    assert fit(problem, max_active=0).alphas.tolist() == [path.alpha_max]


def test_max_active_one_is_at_most_one(problem, path):
    fine = path.alpha_max * np.linspace(1, 0.7, 40)
    one = fit(problem, alphas=fine, max_active=1)
    assert one.n_active.max() == 1


def test_max_active_that_the_first_alpha_exceeds_is_an_error(problem, path):
    with pytest.raises(InputError, match="already the first alpha has more than 0"):
        fit(problem, alphas=[path.alpha_max / 2], max_active=0)
    pi = np.ones(150)
    pi[3] = 0
    with pytest.raises(InputError, match="already the first alpha has more than 0"):
        fit(problem, penalty_factors=pi, max_active=0)


# ---- how it is computed: no influence on the result ------------------------------------------


@pytest.mark.parametrize("gram_limit", [0, 1, 7, 30])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.8])
def test_residual_updates_give_certified_solutions_too(problem, gram_limit, l1_ratio):
    """From the start, and when the working set outgrows the limit along the path."""
    other = fit(problem, gram_limit=gram_limit, l1_ratio=l1_ratio, eps=0.02)
    certify(other, problem.X, problem.y)
    plain = fit(problem, l1_ratio=l1_ratio, eps=0.02)
    assert (plain.n_active.max() > gram_limit) or gram_limit == 30
    assert_allclose(
        objectives(other, problem.X, problem.y),
        objectives(plain, problem.X, problem.y),
        atol=2e-6,
    )


@pytest.mark.parametrize("n_threads", [2, 5])
def test_threads_leave_the_bits_alone(problem, path, n_threads, monkeypatch):
    monkeypatch.setattr(lmmlasso_fast.packed, "_THREADS_FROM", 0)
    assert bits(fit(problem, n_threads=n_threads)) == bits(path)


def test_the_same_call_gives_the_same_bits_also_at_the_same_time(problem, path):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(bits(fit(problem)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [bits(path)] * 4


def test_storage_of_the_samples_leaves_the_bits_alone(problem, path):
    """A subset in the order of the file against the array itself."""
    D = np.vstack(
        [problem.D[:20], random_dosages(np.random.default_rng(0), 7, 150), problem.D[20:]]
    )
    rows = np.r_[:20, 27:52]
    part = from_array(D).subset(rows)
    other = ll.lasso_path(part, problem.y, problem.null, n_alphas=15)
    assert bits(other) == bits(path)


@pytest.mark.parametrize("make", [from_array, dense])
def test_inputs_stay_untouched(make):
    problem = plain_problem(21)
    D, y, covariates = problem.D.copy(), problem.y.copy(), problem.covariates.copy()
    pi, alphas = np.random.default_rng(0).uniform(0.5, 2, 70), np.array([0.1, 0.5, 0.2])
    before = [x.copy() for x in (D, y, covariates, pi, alphas)]
    for x in (D, y, covariates, pi, alphas):
        x.flags.writeable = False
    ll.lasso_path(make(D), y, covariates=covariates, penalty_factors=pi, alphas=alphas)
    for x, old in zip((D, y, covariates, pi, alphas), before, strict=True):
        assert_array_equal(x, old)


# ---- tolerance -------------------------------------------------------------------------------


def test_what_did_not_converge_is_flagged_with_its_gap(problem):
    alphas = np.array([0.9, 0.02, 0.01]) * fit(problem).alpha_max
    with pytest.warns(
        ConvergenceWarning, match=r"of 3 alphas did not reach .* 1e-06; the worst"
    ) as warned:
        bad = ll.lasso_path(problem.genotypes, problem.y, problem.null, alphas=alphas, max_iter=1)
    assert warned[0].filename == __file__  # where it was called
    assert not bad.converged.all()
    assert (bad.dual_gaps[~bad.converged] > 1e-6).all()
    certify(bad, problem.X, problem.y, tol=1.0)
    assert (bad.n_passes == 1).all()
    assert fit(problem, max_iter=50).converged.all()


def test_tol_zero_asks_for_more_than_there_is():
    problem = mixed_problem(22, n=30, p=40)
    with pytest.warns(ConvergenceWarning):
        path = ll.lasso_path(problem.genotypes, problem.y, problem.null, n_alphas=5, tol=0)
    assert path.dual_gaps.max() < 1e-13
    assert_array_equal(path.converged, path.dual_gaps <= 0)


@pytest.mark.parametrize("tol", [1e-2, 1e-10])
def test_tol_is_what_converged_means(problem, tol):
    path = fit(problem, tol=tol, gram_limit=0, eps=0.05)
    assert path.tol == tol
    certify(path, problem.X, problem.y)


def test_what_the_first_pass_certifies_is_not_solved_again(problem):
    easy = fit(problem, n_alphas=6, eps=0.05)
    assert easy.dual_gaps.max() < 1e-12
    assert_array_equal(easy.n_passes, 1)


def test_no_tol_excuses_a_snp_that_was_left_out():
    """The stopping rule has two parts, and a far jump leaves out more than a loose gap notices."""
    problem = mixed_problem(20, n=120, p=900)
    alphas = np.array([0.9, 0.01]) * fit(problem, n_alphas=1).alpha_max
    loose, tight = fit(problem, alphas=alphas, tol=0.9), fit(problem, alphas=alphas)
    assert loose.n_passes[1] > 1
    assert_allclose(loose.coefs.toarray(), tight.coefs.toarray(), rtol=1e-9, atol=1e-12)


# ---- penalty factors -------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, -1.0, -np.inf])
def test_the_first_bad_factor_is_named(problem, bad):
    pi = np.full(150, 0.5)
    pi[:2] = 0, np.inf
    pi[3] = bad
    for others in ([], [7]):
        pi[others] = -2.0
        with pytest.raises(InputError, match=f"infinity, found {bad} for SNP 3$"):
            fit(problem, penalty_factors=pi)


def test_factors_that_products_with_alpha_cannot_hold_are_named(problem):
    pi = np.ones(150)
    pi[[0, 1, 2, 4]] = 0, np.inf, 1e-32, 1e32
    kept = np.where(problem.genotypes.included, pi, np.inf)
    assert_array_equal(as_penalty_factors(problem.genotypes, pi), kept)
    for bad, text in ((9e-33, "9e-33"), (1.1e32, r"1\.1e\+32")):
        pi[[3, 7]] = bad, 1e-40
        with pytest.raises(InputError, match=rf"to 1e\+32, found {text} for SNP 3; 0 is"):
            fit(problem, penalty_factors=pi)


def test_infinite_factors_leave_snps_out(problem):
    pi = np.where(np.arange(150) % 2, np.inf, 1.0)
    path = fit(problem, penalty_factors=pi)
    assert not path.coefs.toarray()[1::2].any()
    kept = from_array(problem.D[:, ::2])
    other = ll.lasso_path(kept, problem.y, problem.null, n_alphas=15)
    assert_allclose(other.coefs.toarray(), path.coefs.toarray()[::2], atol=1e-9)


def test_everything_unpenalised_is_least_squares():
    problem = plain_problem(23, p=5, hostile=False, missing=0)
    path = ll.lasso_path(problem.genotypes, problem.y, penalty_factors=np.zeros(5), alphas=[1, 2])
    both = np.column_stack([np.ones(50), problem.X])
    expected = np.linalg.lstsq(both, problem.y)[0]
    for k in range(2):
        assert_allclose(path.coefs.toarray()[:, k], expected[1:], rtol=1e-8)
        assert_allclose(path.intercepts[k], expected[0], rtol=1e-8)
    assert path.converged.all()
    with pytest.raises(GenotypeError, match="no SNP is left"):
        ll.lasso_path(problem.genotypes, problem.y, penalty_factors=np.zeros(5))


def test_a_snp_without_variance_cannot_be_unpenalised(problem):
    pi = np.ones(150)
    pi[[9, 10]] = 0  # monomorphic, all missing
    path = fit(problem, penalty_factors=pi)
    assert not path.coefs.toarray()[[9, 10]].any()
    assert path.n_active[0] == 0


def test_more_unpenalised_snps_than_samples_is_an_error():
    problem = plain_problem(24, n=12, p=40, n_covariates=0, hostile=False)
    pi = np.zeros(40)
    with pytest.raises((InputError, DataWarning), match="unpenalised SNPs"):
        ll.lasso_path(problem.genotypes, problem.y, penalty_factors=pi)
    # with the intercept 11 are as many as samples, and 10 leave one degree of freedom
    few = from_array(np.random.default_rng(25).integers(0, 3, (12, 14)))
    pi = np.repeat([0.0, 1.0], [11, 3])
    with pytest.raises(InputError, match=r"that 11 and 1 covariates leave no degree of freedom"):
        ll.lasso_path(few, problem.y, penalty_factors=pi)
    pi[10] = 1.0
    assert ll.lasso_path(few, problem.y, penalty_factors=pi, n_alphas=3).converged.all()


# ---- odd genotypes ---------------------------------------------------------------------------


def test_one_snp_is_a_closed_form():
    problem = plain_problem(25, p=1, n_covariates=0, missing=0)
    path = ll.lasso_path(problem.genotypes, problem.y, n_alphas=5)
    z = problem.X[:, 0] @ problem.y / 50
    expected = np.sign(z) * (abs(z) - path.alphas)
    assert_allclose(path.coefs.toarray()[0], expected, atol=1e-13)


@pytest.mark.parametrize("make", [from_array, dense])
def test_nothing_offered_is_an_error_but_given_alphas_have_solutions(make):
    y = np.random.default_rng(26).standard_normal(10)
    genotypes = make(np.ones((10, 3)))
    with pytest.raises(GenotypeError, match="no SNP is left"):
        ll.lasso_path(genotypes, y)
    path = ll.lasso_path(genotypes, y, alphas=[0.5, 0.1])
    assert path.alpha_max == 0
    assert not path.n_active.any()
    assert path.converged.all()


def test_all_snps_in_the_span_of_the_covariates_is_an_error():
    problem = plain_problem(27, p=3)
    with pytest.raises(GenotypeError, match="span of the covariates"):
        ll.lasso_path(problem.genotypes, problem.y, covariates=problem.X)


# ---- interpolation, progress -----------------------------------------------------------------


def test_at_is_exact_on_the_grid_and_linear_between(path):
    coefs = path.coefs.toarray()
    for k, alpha in enumerate(path.alphas):
        assert interpolation(path.alphas, alpha, path.alpha_max) == {k: 1.0}
        coef, gamma, dual = path.at(alpha)
        assert_array_equal(coef, coefs[:, k])
        assert_array_equal(gamma, path.gammas[:, k])
        assert_array_equal(dual, path.dual[:, k])
    a, b = path.alphas[4:6]
    coef, gamma, dual = path.at(0.25 * a + 0.75 * b)
    assert_allclose(coef, 0.25 * coefs[:, 4] + 0.75 * coefs[:, 5], atol=1e-12)
    assert_allclose(gamma, path.gammas[:, 4:6] @ [0.25, 0.75], rtol=1e-12)
    assert_allclose(dual, path.dual[:, 4:6] @ [0.25, 0.75], atol=1e-12)
    assert not path.at(10 * path.alpha_max)[0].any()
    for bad in (path.alphas[-1] * (1 - 1e-9), 0, -1, np.nan):
        with pytest.raises(InputError, match="alpha: expected a number from"):
            path.at(bad)


def test_interpolation_is_exact_between_kinks():
    problem = mixed_problem(28, p=12, hostile=False)
    ends = ll.lasso_path(problem.genotypes, problem.y, problem.null, tol=1e-14, n_alphas=200)
    k = np.flatnonzero((np.diff(ends.n_active) == 0) & (ends.n_active[1:] > 2))[0]
    middle = (ends.alphas[k] + ends.alphas[k + 1]) / 2
    exact = ll.lasso_path(problem.genotypes, problem.y, problem.null, tol=1e-14, alphas=[middle])
    assert_allclose(ends.at(middle)[0], exact.coefs.toarray()[:, 0], atol=1e-9)
    almost = fit(problem, alphas=ends.alpha_max * np.array([1 - 1e-9, 0.5]))
    with pytest.raises(InputError, match="span"):
        almost.at(ends.alpha_max)
    with pytest.raises(InputError, match="span"):
        exact.at(middle * 2)  # there are active SNPs at the first alpha, and others above it


def test_progress_counts_the_alphas(problem):
    calls = []
    fit(problem, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(k, 15) for k in range(1, 16)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(problem, progress=stop)


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"n_alphas": 0}, {"n_alphas": 2.5}, {"eps": 0.0}, {"eps": 1.0}, {"eps": np.nan},
        {"max_active": -1}, {"max_active": 1.5}, {"tol": -1e-9}, {"tol": np.nan}, {"tol": np.inf},
        {"l1_ratio": 0.0}, {"l1_ratio": 1.1}, {"max_iter": 0}, {"gram_limit": -1},
        {"alphas": []}, {"alphas": [0.0]}, {"alphas": [1.0, -1.0]}, {"alphas": [np.nan]},
        {"alphas": [np.inf]}, {"alphas": [[1.0, 2.0]]}, {"penalty_factors": np.ones(149)},
        {"penalty_factors": np.ones(150, dtype=bool)}, {"alphas": [True]},
        {"penalty_factors": np.full(150, -1.0)}, {"penalty_factors": np.full(150, np.nan)},
        {"penalty_factors": "white"}, {"covariates": np.ones((45, 1))}, {"intercept": False},
    ],
    ids=lambda options: f"{next(iter(options))}={np.ravel(next(iter(options.values())))[:2]}",
)  # fmt: skip
def test_options_out_of_range_are_refused(problem, options):
    with pytest.raises(InputError, match=f"{next(iter(options))}.*: "):
        fit(problem, **options)


def test_samples_must_be_the_same_in_the_same_order(problem):
    named = from_array(problem.D, samples=sample_table(45))
    K = ll.kinship(named)
    null = ll.fit_null(problem.y, K)
    assert ll.lasso_path(named, problem.y, null, n_alphas=3).converged.all()
    order = np.r_[1, 0, 2:45]
    with pytest.raises(SampleMatchError, match=r"sample 1 is s1 s1 in the genotypes and s0 s0"):
        ll.lasso_path(named.subset(order), problem.y, null)
    for genotypes, others in ((problem.genotypes, null), (named, problem.null)):  # ids of one only
        assert ll.lasso_path(genotypes, problem.y, others, n_alphas=3).converged.all()
    swapped = ll.fit_null(problem.y, K.subset(order))
    assert ll.lasso_path(named.subset(order), problem.y, swapped, n_alphas=3).converged.all()
    with pytest.raises(SampleMatchError, match=r"expected the 44 samples .* found 45"):
        ll.lasso_path(named.subset(np.arange(44)), problem.y[:44], null)
    with pytest.raises(PhenotypeError, match="expected 45 values"):
        ll.lasso_path(named, problem.y[:44], null)
    with pytest.raises(CovariateError, match="expected 45 rows"):
        ll.lasso_path(named, problem.y, covariates=np.ones((44, 1)))


def test_a_phenotype_that_covariates_and_unpenalised_snps_explain_is_refused(problem):
    pi = np.ones(150)
    pi[[5, 6]] = 0
    y = problem.X[:, 5] - 2 * problem.X[:, 6] + 3
    with pytest.raises(PhenotypeError, match="explain it completely"):
        ll.lasso_path(problem.genotypes, y, penalty_factors=pi)


# ---- nothing is accepted and ignored ---------------------------------------------------------


CHANGES = {
    "alphas": [0.3], "n_alphas": 7, "eps": 0.5, "max_active": 3, "tol": 0.5, "l1_ratio": 0.5,
    "penalty_factors": np.linspace(1, 2, 150), "max_iter": 1, "gram_limit": 0, "progress": print,
    "covariates": np.linspace(0, 1, 45) ** 2, "covariate_names": ["age"], "intercept": False,
}  # fmt: skip
WITHOUT_INFLUENCE = {"genotypes", "y", "null", "n_threads"}


def test_the_list_of_options_is_complete():
    assert set(inspect.signature(ll.lasso_path).parameters) == WITHOUT_INFLUENCE | set(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.filterwarnings("ignore::lmmlasso_fast.errors.ConvergenceWarning")
def test_every_option_changes_something(problem, name, capsys):
    def result(**options):
        options = {"covariates": np.linspace(0, 1, 45), "n_alphas": 4, "eps": 1e-3, **options}
        path = ll.lasso_path(problem.genotypes, problem.y, **options)
        return (bits(path), path.tol, path.design.names, capsys.readouterr().out)

    assert result(**{name: CHANGES[name]}) != result()


def test_the_result_is_frozen(path):
    assert isinstance(path, LassoPath)
    with pytest.raises(AttributeError):
        path.tol = 1.0

"""Stability selection: every replicate against the oracle, and counting by brute force."""

import sys

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_array_equal
from problems import from_array, plain_problem, sample_table, variant_table

import lmmlasso_fast as ll
from lmmlasso_fast import error_bounds
from lmmlasso_fast.errors import FileChangedError, InputError
from lmmlasso_fast.path import PathOptions
from lmmlasso_fast.stability import collect, make_plan, run_replicates, stability_selection

pytestmark = pytest.mark.promise("same-bytes")


@pytest.fixture(scope="module")
def problem():
    return plain_problem(3, n=90, p=150, missing=0.03, hostile=False)


@pytest.fixture(scope="module")
def found(problem):
    return select(problem, n_active=6, n_replicates=12)


def select(problem, **options):
    options = {"covariates": problem.covariates} | options
    return stability_selection(problem.genotypes, problem.y, **options)


def oracle_part(problem, drawn, K):
    """(X~, y~) of the individuals drawn, everything from these alone, K[I, I] rescaled."""
    X, _, sd = ref.standardise(problem.D[drawn])
    y, C = problem.y[drawn], problem.C[drawn]
    log_delta = None
    if K is not None:
        K, _ = ref.scale_to_unit_diagonal(K[np.ix_(drawn, drawn)])
        log_delta = ref.fit_null(y, K, C).log_delta
    W, M = ref.whitening(K, None if K is None else np.exp(log_delta), C)
    return M @ W @ X[:, sd > 0], M @ W @ y, np.flatnonzero(sd > 0), log_delta


@pytest.mark.parametrize("random_effect", [True, False])
@pytest.mark.parametrize("penalty_factors", [None, "whitened"])
def test_every_replicate_is_the_lasso_on_its_individuals(problem, random_effect, penalty_factors):
    K = ll.kinship(problem.genotypes) if random_effect else None
    plan = make_plan(
        problem.genotypes,
        problem.y,
        K,
        n_active=6,
        covariates=problem.covariates,
        random_effect=random_effect,
        options=PathOptions(penalty_factors=penalty_factors),
    )
    for replicate, result in run_replicates(plan, range(4)):
        drawn = plan.draw(replicate)
        X, y, offered, log_delta = oracle_part(problem, drawn, K and K.matrix)
        if random_effect:
            assert result["log_delta"] == pytest.approx(log_delta, abs=2e-5)
        else:
            assert result["log_delta"] is None
        lengths = np.linalg.norm(X, axis=0)
        factors, zero = None, 1e-7
        if penalty_factors is not None:
            factors, zero = lengths / lengths.mean(), 1e-6  # theirs may be float32's
        active = set()
        for alpha, change in zip(result["alphas"], result["changes"], strict=True):
            active = (active | {j for j in change if j >= 0}) - {-1 - j for j in change if j < 0}
            beta = ref.lasso_cd(X, y, alpha, penalty_factors=factors, tol=1e-13)
            assert active == set(offered[np.abs(beta) > zero].tolist())
        assert len(active) == 6
        assert result["gap"] < 1e-12


def test_the_path_ends_where_exactly_n_active_snps_are(problem):
    for n_active in (1, 2, 5, 11, 17):
        found = select(problem, n_active=n_active, n_replicates=6)
        assert_array_equal(found.n_selected, n_active)
        assert found.counts.sum() == 6 * n_active


def test_a_path_may_end_with_fewer(problem):
    found = select(problem, n_active=80, n_replicates=2, eps=0.3)
    assert (found.n_selected < 80).all()
    assert found.counts.sum() == found.n_selected.sum()


def test_pairs_have_no_individual_in_common(problem):
    plan = make_plan(problem.genotypes, problem.y, seed=5)
    for pair in range(5):
        halves = plan.draw(2 * pair), plan.draw(2 * pair + 1)
        assert len(np.unique(np.concatenate(halves))) == 90
        assert all(len(half) == 45 and (np.diff(half) > 0).all() for half in halves)
    drawn = {plan.draw(r).tobytes() for r in range(20)}
    assert len(drawn) == 20
    other = make_plan(problem.genotypes, problem.y, seed=6)
    assert other.draw(0).tobytes() not in drawn


def test_without_pairs_every_replicate_draws_anew(problem):
    plan = make_plan(problem.genotypes, problem.y, complementary=False, fraction=0.8)
    drawn = [plan.draw(r) for r in range(5)]
    assert {len(index) for index in drawn} == {72}
    assert len({index.tobytes() for index in drawn}) == 5


def test_counts_are_those_of_the_final_sets(problem, found):
    plan = make_plan(problem.genotypes, problem.y, n_active=6, covariates=problem.covariates)
    counts = np.zeros(problem.p, dtype=int)
    sets = []
    for _, result in sorted(run_replicates(plan, range(12))):
        active = {j for change in result["changes"] for j in change if j >= 0}
        active -= {-1 - j for change in result["changes"] for j in change if j < 0}
        sets.append(active)
        counts[sorted(active)] += 1
    assert_array_equal(found.counts, counts)
    assert_array_equal(found.frequency, counts / 12)
    for k, lead in enumerate(found.groups.leads):
        members = set(found.groups.members(k).tolist())
        assert lead in members
        assert found.group_counts[k] == sum(bool(members & active) for active in sets)
        assert found.group_counts[k] >= found.counts[lead]
    assert found.n_offered == problem.n_included
    assert (found.n_samples, found.n_drawn, found.n_replicates) == (90, 45, 12)


def test_members_of_a_group_share_their_votes(problem):
    D = np.column_stack([problem.D, 2 - problem.D])  # every SNP twice, alleles swapped
    genotypes = from_array(D)
    found = stability_selection(genotypes, problem.y, n_active=4, n_replicates=10, ld_r2=0.99)
    for k in range(len(found.groups.leads)):
        members = found.groups.members(k)
        assert found.group_counts[k] == found.counts[members].sum()  # never both of a pair


def test_stability_path_is_the_last_solution_with_as_many(problem, found):
    plan = make_plan(problem.genotypes, problem.y, n_active=6, covariates=problem.covariates)
    counts = np.zeros((6, problem.p), dtype=int)
    for _, result in run_replicates(plan, range(12)):
        sets, active = [], set()
        for change in result["changes"]:
            active = (active | {j for j in change if j >= 0}) - {-1 - j for j in change if j < 0}
            sets.append(active)
        for q in range(1, 7):
            at_most = [s for s in sets if len(s) <= q][-1]
            counts[q - 1, sorted(at_most)] += 1
    path = found.path
    assert_array_equal(path.levels, np.arange(1, 7))
    assert_array_equal(path.snps, np.flatnonzero(counts.any(axis=0)))
    assert_array_equal(path.frequency, counts[:, path.snps] / 12)
    assert_array_equal(path.frequency[-1], found.frequency[path.snps])


def test_given_alphas_count_the_largest_frequency_over_them(problem):
    null = ll.fit_null(problem.y, ll.kinship(problem.genotypes), problem.covariates)
    top = ll.lasso_path(problem.genotypes, problem.y, null, n_alphas=2).alpha_max
    alphas = [0.5 * top, 0.8 * top, 0.35 * top]
    found = select(problem, alphas=alphas, n_replicates=8)
    each = [select(problem, alphas=[alpha], n_replicates=8) for alpha in sorted(alphas)[::-1]]
    assert_array_equal(found.counts, np.max([one.counts for one in each], axis=0))
    assert_array_equal(found.path.levels, sorted(alphas)[::-1])
    for row, one in zip(found.path.frequency, each, strict=True):
        assert_array_equal(row, one.frequency[found.path.snps])
    assert found.n_active is None
    expected = error_bounds.expected_false(found.n_selected.mean(), 0.8, found.n_offered, 8)
    assert found.bound(0.8) == expected


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_bits_do_not_depend_on_the_number_of_jobs(problem, found, n_jobs):
    assert_same(found, select(problem, n_active=6, n_replicates=12, n_jobs=n_jobs))


def test_nor_on_the_backend_or_the_order(problem, found):
    import joblib

    with joblib.parallel_config("loky", n_jobs=2):
        assert_same(found, select(problem, n_active=6, n_replicates=12))
    plan = make_plan(problem.genotypes, problem.y, n_active=6, covariates=problem.covariates)
    results = dict(run_replicates(plan, [7, 3, 11, 0, 2, 1, 10, 9, 8, 4, 6, 5], n_jobs=1))
    ordered = [results[r] for r in range(12)]
    assert_same(found, collect(plan, ordered, problem.genotypes, r2=0.5, window=1_000_000))


def test_nor_on_where_the_genotypes_are(problem, found, tmp_path):
    from lmmlasso_fast.simulation import write_plink

    dosages = np.where(np.isnan(problem.D), -1, problem.D).astype(np.int8)
    write_plink(tmp_path / "g", dosages, sample_table(90), variant_table(150))
    genotypes = ll.read_plink(tmp_path / "g")
    options = {"n_active": 6, "n_replicates": 12, "covariates": problem.covariates}
    on_disk = stability_selection(genotypes, problem.y, **options)
    assert_array_equal(on_disk.counts, found.counts)
    assert on_disk._results == found._results


def assert_same(one, other):
    assert one._results == other._results
    for name in ("counts", "group_counts", "log_delta", "last_alpha", "n_selected"):
        assert_array_equal(getattr(one, name), getattr(other, name))
    assert_array_equal(one.groups.group, other.groups.group)


def test_spectrum_and_tridiagonal_form_select_the_same(problem, found, monkeypatch):
    module = sys.modules["lmmlasso_fast.kinship"]
    monkeypatch.setattr(module, "TRIDIAGONAL_FROM", 0)
    other = select(problem, n_active=6, n_replicates=12)
    assert_array_equal(other.counts, found.counts)
    np.testing.assert_allclose(other.last_alpha, found.last_alpha, rtol=1e-5)
    assert (other.last_alpha != found.last_alpha).any()  # it is another way to it


def test_replicates_that_fail_are_reported_and_count(problem):
    y = np.zeros(90)
    y[:3] = [1.0, 2.0, 1.5]  # in 1 of 8 halves none of the three: a constant phenotype
    found = stability_selection(problem.genotypes, y, n_active=3, n_replicates=40)
    assert 0 < len(found.failures) < 40
    assert all("expected at least two distinct values" in text for text in found.failures.values())
    assert found.n_replicates == 40
    failed = np.array(sorted(found.failures))
    assert (found.n_selected[failed] == 0).all()
    assert np.isnan(found.last_alpha[failed]).all()
    assert np.isnan(found.log_delta[failed]).all()
    assert found.frequency.max() <= 1 - len(failed) / 40
    assert_array_equal(found.frequency, found.counts / 40)


def test_bound_is_that_of_the_formulas(found):
    for assumption in error_bounds.ASSUMPTIONS:
        expected = error_bounds.expected_false(6, 0.75, found.n_offered, 12, assumption)
        assert found.bound(0.75, assumption) == expected


def test_the_bound_counts_snps_that_can_be_selected(problem):
    factors = np.ones(problem.p)
    factors[50:] = np.inf
    factors[:2] = 0.0
    found = select(problem, n_active=3, n_replicates=4, penalty_factors=factors)
    assert found.n_offered == 48
    assert found.counts[:2].sum() == 0
    assert found.bound(0.75) == error_bounds.expected_false(3, 0.75, 48, 4)


def test_no_bound_where_none_is_known(problem):
    found = select(problem, n_active=3, n_replicates=4, fraction=0.3)
    with pytest.raises(InputError, match=r"fraction=0\.5"):
        found.bound(0.8)
    found = select(problem, n_active=3, n_replicates=4, complementary=False)
    with pytest.raises(InputError, match="complementary pairs"):
        found.bound(0.8)
    assert found.bound(0.8, "none") > 0
    with pytest.raises(InputError, match="cutoff"):
        found.bound(0.5, "none")


def test_causal_snps_come_first():
    problem = plain_problem(1, n=300, p=200, missing=0.0, hostile=False, effects=3)
    found = select(problem, n_active=5, n_replicates=20)
    chosen = found.selected(0.9)
    assert len(chosen) > 0
    assert (np.diff(found.frequency[chosen]) <= 0).all()
    assert (found.frequency[chosen] >= 0.9).all()


def test_options_reach_the_fits(problem):
    plain = select(problem, n_active=6, n_replicates=4)
    factors = np.ones(problem.p)
    factors[plain.counts.argmax()] = np.inf
    for options in (
        {"penalty_factors": factors},
        {"penalty_factors": "whitened"},
        {"log_delta": 3.0},
        {"method": "reml"},
        {"l1_ratio": 0.5},
        {"seed": 1},
        {"intercept": False},
        {"covariates": None},
        {"random_effect": False},
        {"fraction": 0.4},
        {"n_alphas": 20},
        {"K": np.eye(90) + 0.1},
    ):
        with np.errstate(all="raise"):
            other = select(problem, **{"n_active": 6, "n_replicates": 4} | options)
        assert other._results != plain._results, options
    assert (
        select(problem, n_active=6, n_replicates=4, penalty_factors=factors).counts[
            plain.counts.argmax()
        ]
        == 0
    )


def test_progress_is_told(problem):
    calls = []
    select(problem, n_active=2, n_replicates=6, progress=lambda *numbers: calls.append(numbers))
    assert calls == [(k, 6) for k in range(1, 7)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_replicates": 7}, "even number"),
        ({"n_replicates": 0}, "even number"),
        ({"n_replicates": 2.5, "complementary": False}, "number of fits"),
        ({"fraction": 0.6}, "at most 0.5 for complementary pairs"),
        ({"fraction": 1.0, "complementary": False}, "1 excluded"),
        ({"fraction": 0.02}, "at least 3 of 90"),
        ({"n_active": 0}, "n_active"),
        ({"n_active": 151}, "n_active"),
        ({"seed": -1}, "seed"),
        ({"n_alphas": 1}, "n_alphas: expected at least 2"),
        ({"penalty_factors": np.zeros(150)}, "no SNP is left"),
        ({"penalty_factors": np.where(np.arange(150) < 2, 1, np.inf)}, "1 to the 2 SNPs that can"),
        ({"covariates": np.random.default_rng(0).standard_normal((90, 46))}, "than the 47 cov"),
        ({"K": np.diag(np.where(np.arange(90) % 2, 1.0, -0.5))}, "all 2 replicates failed"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"n_jobs": "2"}, "n_jobs"),
        ({"method": "mle"}, "method"),
        ({"eps": 2.0}, "eps"),
        ({"K": np.eye(5)}, "expected the 90 samples"),
        ({"K": np.eye(90), "random_effect": False}, "without a random effect"),
        ({"ld_r2": 0.0}, "r2"),
    ],
)
def test_refused(problem, options, message):
    with pytest.raises(InputError, match=message):
        select(problem, **{"n_replicates": 2, "n_active": 3} | options)


def test_nothing_that_was_passed_is_written_to(problem):
    K = np.cov(problem.X) + np.eye(90)
    before = K.copy(), problem.y.copy(), problem.covariates.copy()
    select(problem, K=K, n_active=3, n_replicates=4)
    for array, copy in zip((K, problem.y, problem.covariates), before, strict=True):
        assert_array_equal(array, copy)


def test_plan_is_small_to_send(problem, tmp_path):
    """A worker is sent the path of a .bed file and the kinship, not the genotypes."""
    import pickle

    from lmmlasso_fast.simulation import write_plink

    rng = np.random.default_rng(0)
    dosages = rng.integers(0, 3, (60, 20_000)).astype(np.int8)
    write_plink(tmp_path / "g", dosages, sample_table(60), variant_table(20_000))
    genotypes = ll.read_plink(tmp_path / "g")
    plan = make_plan(genotypes, rng.standard_normal(60), options=PathOptions())
    sent = pickle.dumps(plan)
    assert b"g.bed" in sent
    packed = np.fromfile(tmp_path / "g.bed", dtype=np.uint8)[3:]
    assert packed[:1000].tobytes() not in sent
    there = pickle.loads(sent)
    assert dict(run_replicates(there, [0], 1)) == dict(run_replicates(plan, [0], 1))
    with open(tmp_path / "g.bed", "ab") as file:
        file.write(b"x")
    there = pickle.loads(sent)  # an error here would be a worker that died
    with pytest.raises(FileChangedError, match="every worker has to see the same file"):
        dict(run_replicates(there, [0], 1))

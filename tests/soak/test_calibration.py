"""What the statistics promise, on simulated data: unbiased, uniform, within the bounds of errors.

Every limit is three Monte Carlo standard errors, of the simulations themselves or of the binomial
distribution. Seeds are fixed: a run says the same as the one before.
"""

import numpy as np
import pytest
import reference as ref
from problems import from_array
from scipy import stats

import lmmlasso_fast as ll
from lmmlasso_fast.association import association_scan, association_scan_loco
from lmmlasso_fast.cross_validation import cross_validate
from lmmlasso_fast.error_control import calibrated_alpha, marginal_fdr
from lmmlasso_fast.p_values import multi_split
from lmmlasso_fast.simulation import simulate_genotypes
from lmmlasso_fast.stability import stability_selection

pytestmark = pytest.mark.promise("statistics")

N_ERRORS = 3
LEVELS = np.array([0.05, 0.01, 0.001])


def streams(n, *key):
    """`n` generators, independent of those of any other key."""
    return [np.random.default_rng(np.random.SeedSequence(7, spawn_key=(*key, k))) for k in range(n)]


def root_of(K):
    """F with K = F F'."""
    s, U = np.linalg.eigh(K)
    return U * np.sqrt(np.maximum(s, 0))


def draw(rng, root, h2):
    """y ~ N(0, h2 K + (1 - h2) I)."""
    u, e = rng.standard_normal((2, len(root)))
    return np.sqrt(h2) * (root @ u) + np.sqrt(1 - h2) * e


def errors_from(values, expected):
    """By how many of its standard errors the mean (of every column) is off."""
    values = np.asarray(values, dtype=float)
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return (values.mean(axis=0) - expected) / error


def binomial_limit(level, n):
    return level + N_ERRORS * np.sqrt(level * (1 - level) / n)


# ---- null model ----------------------------------------------------------------------------------


def family_panel(n=600, p=150, fst=0.02):
    """Families of four in four populations: a kinship that says much about h2."""
    drawn = simulate_genotypes(n, p, family_size=4, fst=fst, ld=0.0, seed=11)
    genotypes = drawn.genotypes()
    return genotypes, ll.kinship(genotypes)


@pytest.fixture(scope="module")
def designs():
    """(K, covariates): kinship of 150 SNPs, of 80, and with covariates that hold much of it."""
    _, K = family_panel()
    _, low = family_panel(p=80)
    rng = np.random.default_rng(12)
    leading = np.linalg.eigh(K.matrix)[1][:, -6:]
    covariates = np.column_stack([leading, rng.standard_normal((600, 10))])
    return {"kinship": (K, None), "low rank": (low, None), "covariates": (K, covariates)}


def bias_of_ml(K, C, h2):
    """First-order bias of ML's h2, sigma_g^2 and sigma_e^2 (sum 1), from the mean of its score.

    E[score_i] = -1/2 (tr V^-1 V_i - tr P V_i), information_ik = 1/2 tr P V_i P V_k.
    """
    parts = [K, np.eye(len(K))]
    V = h2 * K + (1 - h2) * np.eye(len(K))
    P = ref.precision(K, (1 - h2) / h2, C) / h2
    V_inv = np.linalg.inv(V)
    score = np.array([-0.5 * np.sum((V_inv - P) * part) for part in parts])
    products = [P @ part for part in parts]
    information = np.array([[0.5 * np.sum(a * b.T) for b in products] for a in products])
    g, e = np.linalg.solve(information, score)
    return (1 - h2) * g - h2 * e, g, e


@pytest.mark.parametrize("h2", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("kind", ["kinship", "low rank", "covariates"])
def test_null_model(designs, kind, h2, size, tally):
    """REML unbiased, ML by what its score says; the standard error and its interval."""
    K, covariates = designs[kind]
    C = np.column_stack([np.ones(600)] + ([] if covariates is None else [covariates]))
    root, n_sims = root_of(K.matrix), size(15, 200)
    found = {"reml": [], "ml": []}
    for rng in streams(n_sims, 1, ["kinship", "low rank", "covariates"].index(kind), int(10 * h2)):
        y = draw(rng, root, h2) + C @ rng.standard_normal(C.shape[1])
        for method, rows in found.items():
            null = ll.fit_null(y, K, covariates, method=method)
            assert not null.at_boundary
            rows.append((null.h2, null.sigma_g2, null.sigma_e2, null.h2_se))
    reml, ml = np.array(found["reml"]), np.array(found["ml"])
    truth = np.array([h2, h2, 1 - h2])
    off = errors_from(reml[:, :3], truth)
    assert (np.abs(off) <= N_ERRORS).all(), off

    # both see the same data: their difference is known much better than either
    expected = np.array(bias_of_ml(K.matrix, C, h2))
    difference = ml[:, :3] - reml[:, :3]
    slack = N_ERRORS * difference.std(axis=0, ddof=1) / np.sqrt(n_sims) + 0.2 * np.abs(expected)
    assert (np.abs(difference.mean(axis=0) - expected) <= slack).all()
    assert expected[2] < 0 if covariates is None else expected[0] < 0

    ratio = np.mean(reml[:, 3] ** 2) / np.var(reml[:, 0], ddof=1)
    assert abs(ratio - 1) <= N_ERRORS * np.sqrt(2 / (n_sims - 1))
    covered = np.mean(np.abs(reml[:, 0] - h2) <= 1.96 * reml[:, 3])
    assert abs(covered - 0.95) <= N_ERRORS * np.sqrt(0.95 * 0.05 / n_sims)
    tally(cases=n_sims, **{
        f"{kind}, h2 {h2}": f"REML {reml[:, 0].mean():.4f}, ML {ml[:, 0].mean():.4f} "
        f"(expected {h2 + expected[0]:.4f}), se {reml[:, 0].std():.4f}, "
        f"se^2 / variance {ratio:.2f}, coverage {covered:.3f}"
    })  # fmt: skip


@pytest.mark.parametrize("h2", [0.5, 0.8])
def test_null_model_of_unrelated_samples(h2, size, tally):
    """More SNPs than samples. ML gains by small deltas (Notes of `fit_null`), REML does not."""
    K = ll.kinship(simulate_genotypes(300, 3000, seed=5).genotypes())
    root, n_sims = root_of(K.matrix), size(12, 200)
    found = {"reml": [], "ml": []}
    for rng in streams(n_sims, 10, int(10 * h2)):
        y = draw(rng, root, h2)
        for method, rows in found.items():
            null = ll.fit_null(y, K, method=method)
            rows.append((null.h2, null.log_delta == -5))
    off = {method: errors_from(np.array(rows)[:, 0], h2) for method, rows in found.items()}
    assert abs(off["reml"]) <= N_ERRORS
    if n_sims >= 100:
        assert off["ml"] > N_ERRORS
    rows = {method: np.mean(rows, axis=0) for method, rows in found.items()}
    figures = [
        f"{method.upper()} {h:.3f} ({end:.0%} at the end)" for method, (h, end) in rows.items()
    ]
    tally(cases=n_sims, **{f"unrelated, h2 {h2}": ", ".join(figures)})


# ---- scans ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def panel():
    drawn = simulate_genotypes(240, 500, n_populations=4, family_size=2, ld=0.5, seed=13)
    genotypes = drawn.genotypes()
    K = ll.kinship(genotypes)
    last = genotypes.variants["CHROM"].to_numpy() == genotypes.variants["CHROM"][-1]
    return genotypes, K, last


def scan_of(kind, panel, covariates, y):
    genotypes, K, _ = panel
    if kind == "LM":
        return association_scan(genotypes, y, covariates=covariates)
    if kind == "LOCO":
        return association_scan_loco(genotypes, y, covariates=covariates)
    return association_scan(genotypes, y, ll.fit_null(y, K, covariates), exact=kind == "exact")


@pytest.mark.parametrize("kind", ["LM", "LMM", "exact", "LOCO"])
def test_scan_p_values_are_uniform(panel, kind, size, tally):
    """LOCO: the background is that of the other chromosomes, the SNPs are those of the last.

    A delta of every SNP's own is the one that suits the SNP: with 240 samples 5 % more of the
    p-values than there should be are below 0.05 (GEMMA's are the same numbers). At most 10 %.
    """
    genotypes, K, last = panel
    tested = last if kind == "LOCO" else np.ones(len(last), dtype=bool)
    if kind == "LOCO":
        names = set(genotypes.variants["CHROM"]) - {genotypes.variants["CHROM"][-1]}
        K = ll.kinship(genotypes.filter(chromosomes=names))
    root, n_sims = root_of(K.matrix), size(8, 200)
    snps = np.flatnonzero(tested & genotypes.included)
    lambdas, tails, chosen = [], [], []
    for rng in streams(n_sims, 2, ["LM", "LMM", "exact", "LOCO"].index(kind)):
        covariates = rng.standard_normal((240, 2))
        y = draw(rng, root, 0.0 if kind == "LM" else 0.6) + covariates.sum(axis=1)
        scan = scan_of(kind, panel, covariates, y)
        p = 10 ** -scan.log10p[snps]
        chisq = scan.chisq[snps]
        lambdas.append(np.median(chisq) / stats.f.ppf(0.5, 1, scan.df))
        tails.append([np.mean(p < level) for level in LEVELS])
        chosen.extend(p[:: 25 if kind == "LOCO" else 60])  # too far apart to be correlated
    uniform = stats.kstest(chosen, "uniform").pvalue
    assert uniform > 1e-3
    assert abs(errors_from(lambdas, 1.0)) <= N_ERRORS
    if n_sims >= 100:  # enough for the mean of so few to be nearly normal
        excess = 1.1 if kind == "exact" else 1.0
        assert (errors_from(tails, LEVELS) >= -N_ERRORS).all()
        assert (errors_from(tails, excess * LEVELS) <= N_ERRORS).all()
    rates = np.mean(tails, axis=0)
    below = ", ".join(f"{rates[k]:.5f} below {level}" for k, level in enumerate(LEVELS))
    figures = {kind: f"lambda {np.mean(lambdas):.3f}, p-values {below}, KS {uniform:.2f}"}
    tally(cases=n_sims, **figures)


def test_without_the_random_effect_they_are_not(panel, size, tally):
    """What the test above is worth."""
    genotypes, K, _ = panel
    root, n_sims = root_of(K.matrix), size(8, 50)
    lambdas = [
        association_scan(genotypes, draw(rng, root, 0.6)).genomic_lambda
        for rng in streams(n_sims, 3)
    ]
    assert errors_from(lambdas, 1.0) > N_ERRORS
    tally(cases=n_sims, plain_lambda=f"{np.mean(lambdas):.2f}")


# ---- error control -------------------------------------------------------------------------------


def small_panel(rng, n=100, p=300, **options):
    """New genotypes for every data set."""
    options = {"n_populations": 2, "family_size": 2, "ld": 0.5} | options
    seed = int(rng.integers(2**31))
    return simulate_genotypes(n, p, seed=seed, **options).genotypes()


def skewed(n):
    """A phenotype far from normal; its permutations are exchangeable."""
    return np.exp(stats.norm.ppf((np.arange(n) + 0.5) / n))


def test_family_wise_error_of_calibrated_alpha(size, tally):
    """delta known: exact, at every level. Fitted: at most the level."""
    n_sims, h2 = size(15, 400), 0.6
    kept = ("known", "fitted", "whitened factors", "noise", "permuted scores")
    found = {name: [] for name in (*kept, "permuted, skewed")}
    y_skewed = skewed(100)
    scores = ll.transform_phenotype(y_skewed, "rint")[0]
    for number, rng in enumerate(streams(n_sims, 4)):
        genotypes = small_panel(rng)
        K = ll.kinship(genotypes)
        y = draw(rng, root_of(K.matrix), h2)
        fitted = ll.fit_null(y, K)
        calls = {
            "known": (y, ll.fit_null(y, K, log_delta=np.log((1 - h2) / h2)), None),
            "fitted": (y, fitted, None),
            "whitened factors": (y, fitted, "whitened"),
            "noise": (rng.standard_normal(100), None, None),
            "permuted scores": (rng.permutation(scores), None, None),
            # the draws are normal: this one goes wrong, docs/error_control.md
            "permuted, skewed": (rng.permutation(y_skewed), None, None),
        }
        for name, (pheno, null, factors) in calls.items():
            one = calibrated_alpha(
                genotypes, pheno, null, n_draws=99, seed=number, penalty_factors=factors
            )
            assert (one.p_value <= 0.05) == (one.alpha_max > one.alpha)  # a SNP above alpha
            found[name].append(one.p_value)
    for name in kept:
        for level in (0.05, 0.2, 0.5):
            rate = np.mean(np.array(found[name]) <= level)
            assert rate <= binomial_limit(level, n_sims), (name, level, rate)
            if name in ("known", "noise"):
                assert rate >= 2 * level - binomial_limit(level, n_sims), (name, level, rate)
    rates = {
        f"error at 0.05, {name}": f"{np.mean(np.array(p) <= 0.05):.3f}" for name, p in found.items()
    }
    tally(cases=n_sims * len(found), **rates)


def test_family_wise_error_of_multi_split(size, tally):
    n_sims = size(4, 150)
    wrong = {"polygenic": 0, "permuted": 0}
    for number, rng in enumerate(streams(n_sims, 5)):
        genotypes = small_panel(rng, p=200)
        K = ll.kinship(genotypes)
        options = {"n_splits": 10, "seed": number, "n_jobs": 1}
        y = draw(rng, root_of(K.matrix), 0.6)
        groups = np.arange(100) // 2
        mixed = multi_split(genotypes, y, K, groups=groups, **options)
        wrong["polygenic"] += len(mixed.selected()) > 0
        y = rng.permutation(skewed(100))
        plain = multi_split(genotypes, y, random_effect=False, **options)
        wrong["permuted"] += len(plain.selected()) > 0
    for name, count in wrong.items():
        assert count / n_sims <= binomial_limit(0.05, n_sims), name
    rates = {f"error at 0.05, {name}": f"{count / n_sims:.3f}" for name, count in wrong.items()}
    tally(cases=2 * n_sims, **rates)


@pytest.mark.parametrize("kind", ["noise", "permuted", "polygenic"])
def test_stability_selection_keeps_its_bounds(kind, size, tally):
    """Independent individuals: all of them. A kinship: not "r-concave", docs/error_control.md."""
    n_sims, cutoffs = size(3, 100), (0.6, 0.75, 0.9)
    assumptions = ["none", "unimodal"] + (["r-concave"] if kind != "polygenic" else [])
    counts, bounds = [], []
    for number, rng in enumerate(
        streams(n_sims, 6, ["noise", "permuted", "polygenic"].index(kind))
    ):
        options = {} if kind == "polygenic" else {"n_populations": 1, "family_size": 1}
        genotypes = small_panel(rng, **options)
        y = rng.standard_normal(100)
        if kind == "polygenic":
            y = draw(rng, root_of(ll.kinship(genotypes).matrix), 0.6)
        elif kind == "permuted":
            y = rng.permutation(skewed(100))
        result = stability_selection(
            genotypes, y, random_effect=kind == "polygenic", n_active=8, n_replicates=50,
            seed=number, n_jobs=1,
        )  # fmt: skip
        counts.append([len(result.selected(cutoff)) for cutoff in cutoffs])
        bounds.append([[result.bound(cutoff, a) for cutoff in cutoffs] for a in assumptions])
    counts, bounds = np.array(counts, float), np.mean(bounds, axis=0)
    slack = N_ERRORS * counts.std(axis=0, ddof=1) / np.sqrt(n_sims)
    assert (counts.mean(axis=0) <= bounds + slack).all()
    tally(cases=n_sims, **{
        f"{kind}, false at {cutoff}": f"{counts[:, k].mean():.3f} (bounds "
        f"{', '.join(f'{bound:.3f}' for bound in bounds[:, k])})"
        for k, cutoff in enumerate(cutoffs)
    })  # fmt: skip


def test_marginal_false_discoveries_are_not_more_than_expected(size, tally):
    """Ten strong SNPs and 200 without effect, independent of them and of the structure."""
    n_sims, rows = size(8, 200), []
    for rng in streams(n_sims, 7):
        K = ll.kinship(small_panel(rng, n=120))
        genotypes = from_array(rng.binomial(2, 0.4, (120, 210)).astype(float))
        effects = rng.choice([-1.0, 1.0], 10)
        y = draw(rng, root_of(K.matrix), 0.6) + genotypes.columns(np.arange(10)) @ effects
        null = ll.fit_null(y, K, log_delta=np.log(0.4 / 0.6))
        path = ll.lasso_path(genotypes, y, null, alphas=[0.18 / null.delta])
        rate = marginal_fdr(path, genotypes, y)[0]
        rows.append((np.count_nonzero(path.coefs.toarray()[10:]), rate * path.n_active[0]))
    false, expected = np.array(rows, dtype=float).T
    assert errors_from(false - expected, 0.0) <= N_ERRORS
    assert false.mean() > 0.5 * expected.mean() > 0.2
    tally(cases=n_sims, false=f"{false.mean():.2f}", expected=f"{expected.mean():.2f}")


# ---- prediction ----------------------------------------------------------------------------------


def test_held_out_residuals_have_the_variance_of_the_model(size, tally):
    """With the true delta, r'S^-1 r is chi-squared with as many degrees as samples.

    S = sigma_g^2 (K** - K* V^-1 K*') + sigma_e^2 I + D (C'V^-1 C)^-1 D' sigma_g^2,
    D = C* - K* V^-1 C.
    """
    genotypes, K = family_panel(n=240)
    n_sims, h2 = size(10, 200), 0.5
    order = np.random.default_rng(15).permutation(240)
    train, test = np.sort(order[:180]), np.sort(order[180:])
    k, root = K.subset(train), root_of(K.matrix)
    delta = (1 - h2) / (h2 * k.scale)  # the subset has a mean diagonal of 1 again
    covariates = np.random.default_rng(16).standard_normal((240, 2))
    C = np.column_stack([np.ones(240), covariates])
    V = K.matrix[np.ix_(train, train)] + (1 - h2) / h2 * np.eye(180)
    cross = K.matrix[np.ix_(test, train)]
    D = C[test] - cross @ np.linalg.solve(V, C[train])
    S = K.matrix[np.ix_(test, test)] - cross @ np.linalg.solve(V, cross.T)
    S += (1 - h2) / h2 * np.eye(60)
    S = h2 * (S + D @ np.linalg.solve(C[train].T @ np.linalg.solve(V, C[train]), D.T))
    known, fitted = [], []
    for rng in streams(n_sims, 8):
        y = draw(rng, root, h2) + C @ rng.standard_normal(3)
        for rows, log_delta in ((known, np.log(delta)), (fitted, None)):
            null = ll.fit_null(y[train], k, covariates[train], method="reml", log_delta=log_delta)
            offered = genotypes.subset(train)
            top = ll.lasso_path(offered, y[train], null, n_alphas=1)
            predicted = ll.build_model(top, offered).predict(
                genotypes.subset(test), covariates=covariates[test], kinship=cross
            )
            r = y[test] - predicted.total
            rows.append((r @ np.linalg.solve(S, r), r @ r / np.trace(S), r @ predicted.random))
    known, fitted = np.array(known), np.array(fitted)
    assert abs(known[:, 0].mean() - 60) <= N_ERRORS * np.sqrt(2 * 60 / n_sims)
    assert stats.kstest(known[:, 0], stats.chi2(60).cdf).pvalue > 1e-3
    assert abs(errors_from(known[:, 1], 1.0)) <= N_ERRORS
    assert abs(errors_from(known[:, 2], 0.0)) <= N_ERRORS  # neither shrunk too much nor too little
    # an estimated delta costs something, but little
    assert 1 - 1e-3 < fitted[:, 1].mean() / known[:, 1].mean() < 1.05
    tally(
        cases=2 * n_sims, delta_known=f"{known[:, 1].mean():.3f} of the variance expected",
        delta_fitted=f"{fitted[:, 1].mean():.3f}",
    )  # fmt: skip


@pytest.mark.parametrize("transform", ["none", "rint"])
def test_nothing_is_explained_where_there_is_nothing(transform, size, tally):
    """Noise, on structured genotypes: a fold that had seen its test rows would explain some."""
    n_sims, explained, inside = size(4, 120), [], []
    for number, rng in enumerate(streams(n_sims, 9, int(transform == "none"))):
        genotypes = small_panel(rng, n=80, p=150)
        y = rng.standard_normal(80)
        cv = cross_validate(
            genotypes, y, n_folds=5, n_alphas=12, eps=0.1, transform=transform, seed=number,
            n_jobs=1,
        )  # fmt: skip
        explained.append(cv.explained_variance)
        fitted = genotypes.columns(np.arange(150)) @ cv.path.coefs.toarray()[:, -1]
        inside.append(np.corrcoef(fitted, y)[0, 1] ** 2)
    off = errors_from(explained, 0.0)
    assert (off <= N_ERRORS).all(), off
    assert np.mean(inside) > 0.3  # the same data, seen
    mean = np.mean(explained, axis=0)
    tally(cases=n_sims, **{
        f"{transform}: held out": f"{mean[0]:.3f} to {mean[-1]:.3f}",
        f"{transform}: seen": f"{np.mean(inside):.2f}",
    })  # fmt: skip

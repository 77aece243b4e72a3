"""Random problems against other solvers, and against the formulas of the published script.

Every solver gets explicitly whitened data, V^(-1/2) X by the eigenvectors of V = K + delta I, or
none at all: nothing here goes through the package but the solution that is examined. Whoever's
coefficients have the smaller objective is nearer to the minimum; ours may be larger than a peer's
by the certified duality gap and no more.
"""

import shutil
import subprocess
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose
from problems import from_array, random_dosages
from scipy.optimize import minimize_scalar
from sklearn.linear_model import Lasso, enet_path

import lmmlasso_fast as ll
from lmmlasso_fast import compat

pytestmark = pytest.mark.promise("peers")

#: Of objectives and gaps, relative to the null deviance y~'y~ / (2n).
ROUNDING = 1e-11
#: How near a peer must come for the comparison to mean anything.
PEER = 1e-6


def random_problem(number, *, kinship=None):
    """A problem with what real ones have; `kinship` True or False asks for one or for none."""
    rng = np.random.default_rng(np.random.SeedSequence(17, spawn_key=(number,)))
    n, p = int(rng.integers(25, 110)), int(rng.integers(14, 160))
    D = random_dosages(rng, n, p, rng.choice([0, 0.03, 0.2]), hostile=bool(rng.random() < 0.5))
    X, _, sd = ref.standardise(D)
    covariates = rng.standard_normal((n, int(rng.integers(0, 4))))
    beta = np.where(rng.random(p) < 5 / p, rng.standard_normal(p), 0)
    y = 10 * rng.standard_normal() + X @ beta + covariates.sum(axis=1)
    y = (y + X @ rng.standard_normal(p) / np.sqrt(p) + rng.standard_normal(n)) * 10 ** rng.uniform(
        -3, 3
    )
    factors = None
    if rng.random() < 0.4:
        factors = rng.choice([0.3, 1.0, 2.0, np.inf], p)
        factors[[0, 3]] = 0.0
        if not sd[[0, 3]].all() or np.linalg.matrix_rank(X[:, [0, 3]]) < 2:
            factors[[0, 3]] = 1.0
    l1_ratio = 1.0 if rng.random() < 0.75 else float(rng.uniform(0.2, 0.9))
    null, K, genotypes = None, None, from_array(D)
    if kinship or (kinship is None and rng.random() < 0.7):
        K = ll.kinship(genotypes)
        if rng.random() < 0.3:  # low rank, of other SNPs
            Z = rng.standard_normal((n, 8))
            K = ll.Kinship.from_matrix(Z @ Z.T)
        log_delta = rng.choice([None, -4.0, 1.0, 6.0])
        null = ll.fit_null(y, K, covariates, rng.choice(["ml", "reml"]), log_delta)
    return SimpleNamespace(
        number=number, n=n, p=p, X=X, y=y, covariates=covariates, genotypes=genotypes, null=null,
        factors=factors, l1_ratio=l1_ratio, loose=bool(rng.random() < 0.4),
        C=np.column_stack([np.ones(n), covariates]),
    )  # fmt: skip


def whiten(problem):
    """Adds to a problem S y, S C, S X, and what is left of y and X outside the unpenalised part."""
    S = np.eye(problem.n)
    if problem.null is not None:
        s, U = np.linalg.eigh(problem.null.kinship.matrix)
        S = (U / np.sqrt(np.maximum(s, 0) + problem.null.delta)) @ U.T
    factors = np.ones(problem.p) if problem.factors is None else problem.factors
    problem.keep = np.flatnonzero(problem.X.any(axis=0) & (factors > 0) & (factors < np.inf))
    problem.pi = factors[problem.keep]
    free = np.flatnonzero(problem.X.any(axis=0) & (factors == 0))
    problem.SC = S @ np.column_stack([problem.C, problem.X[:, free]])
    problem.SX, problem.Sy = S @ problem.X[:, problem.keep], S @ problem.y
    Q, _ = np.linalg.qr(problem.SC)
    problem.A = np.asfortranarray(problem.SX - Q @ (Q.T @ problem.SX))
    problem.b = problem.Sy - Q @ (Q.T @ problem.Sy)
    problem.scale = problem.b @ problem.b / (2 * problem.n)


def solve(problem):
    """Adds our path; the certified gaps must be what the oracle finds.

    As a rule solutions are exact to rounding, and their gaps say nothing. Those of a single pass,
    `loose`, are what the gap allows.
    """
    whiten(problem)
    options = {"penalty_factors": problem.factors, "l1_ratio": problem.l1_ratio}
    if problem.loose:
        options["max_iter"] = 1
    if problem.null is None:
        options["covariates"] = problem.covariates
    path = quietly(
        ll.lasso_path, problem.genotypes, problem.y, problem.null, n_alphas=7, eps=0.03, **options
    )
    problem.alphas, problem.gaps = path.alphas, path.dual_gaps
    problem.beta = path.coefs.toarray()[problem.keep]
    for k, alpha in enumerate(path.alphas):
        more = problem.l1_ratio, problem.pi
        gap = ref.relative_gap(problem.beta[:, k], problem.A, problem.b, alpha, *more)
        assert abs(gap - path.dual_gaps[k]) <= 1e-6 * gap + ROUNDING, (problem.number, k)
        if path.converged[k] or not problem.loose:
            assert gap <= 1e-6 * (1 + 1e-6) + ROUNDING, (problem.number, k)
    return problem


def objective(problem, beta, k):
    """F relative to the null deviance; covariates and unpenalised SNPs are at their best."""
    more = problem.l1_ratio, problem.pi
    value = ref.objective(beta, problem.A, problem.b, problem.alphas[k], *more)
    return value / problem.scale


class Comparison:
    """Ours minus the peer's objective, over all alphas of all problems."""

    def __init__(self):
        self.problems, self.loose, self.excess, self.deficit, self.share = 0, 0, -np.inf, 0.0, 0.0

    def add(self, problem, coefs):
        """`coefs`: the peer's, penalised SNPs x alphas."""
        self.problems += 1
        self.loose += problem.loose
        for k, gap in enumerate(problem.gaps):
            ours = objective(problem, problem.beta[:, k], k)
            theirs = objective(problem, coefs[:, k], k)
            where = problem.number, k, ours - theirs, gap
            assert ours - theirs <= gap + ROUNDING, where
            assert theirs - ours <= PEER, where  # else the peer solved another problem
            self.deficit = max(self.deficit, theirs - ours)
            if not problem.loose:
                self.excess = max(self.excess, ours - theirs)
            elif gap > 10 * PEER:
                self.share = max(self.share, (ours - theirs) / gap)

    def tally(self, tally, peer):
        assert self.share > 1e-3  # some solutions were not exact
        figure = (
            f"ours larger by {self.excess:.1e} at most, smaller by {self.deficit:.1e}; of the gap "
            f"of {self.loose} loose ones by {self.share:.0%} at most"
        )
        tally(cases=self.problems, **{peer: figure})


def quietly(function, *arguments, **options):
    """What warns of its own convergence is judged by its coefficients all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def test_scikit_learn_without_kinship(size, tally):
    """On the raw data where it can: its own intercept, nothing projected."""
    found = Comparison()
    for number in range(size(60, 200)):
        problem = solve(random_problem(1000 + number, kinship=False))
        if len(problem.C.T) == 1 and problem.factors is None and problem.l1_ratio == 1:
            coefs = []
            for alpha in problem.alphas:
                model = Lasso(alpha, tol=1e-10, max_iter=100_000)
                coefs.append(quietly(model.fit, problem.X[:, problem.keep], problem.y).coef_)
            found.add(problem, np.column_stack(coefs))
        else:
            found.add(problem, by_scikit_learn(problem))
    found.tally(tally, "scikit-learn")


def by_scikit_learn(problem):
    """Penalty factors by scaling; with an elastic net, by rows below: |beta|^2 has them too."""
    A, b = problem.A / problem.pi, problem.b
    if problem.l1_ratio == 1 or problem.factors is None:
        options = {"tol": 1e-10, "max_iter": 100_000}
        coefs = quietly(
            enet_path, A, b, l1_ratio=problem.l1_ratio, alphas=problem.alphas, **options
        )[1]
        return coefs / problem.pi[:, None]
    coefs = []
    for alpha in problem.alphas:
        rows = np.sqrt(problem.n * alpha * (1 - problem.l1_ratio) / problem.pi)
        tall = np.asfortranarray(np.vstack([A, np.diag(rows)]))
        model = Lasso(
            alpha * problem.l1_ratio * problem.n / len(tall), fit_intercept=False, tol=1e-10,
            max_iter=100_000,
        )  # fmt: skip
        coefs.append(quietly(model.fit, tall, np.append(b, np.zeros(len(rows)))).coef_ / problem.pi)
    return np.column_stack(coefs)


def test_scikit_learn_on_whitened_data(size, tally):
    found = Comparison()
    for number in range(size(60, 200)):
        problem = solve(random_problem(2000 + number, kinship=True))
        found.add(problem, by_scikit_learn(problem))
    found.tally(tally, "scikit-learn, whitened")


def test_celer(size, tally):
    celer = pytest.importorskip("celer", reason="celer is not installed: pip install celer")
    found = Comparison()
    for number in range(size(60, 200)):
        problem = random_problem(3000 + number)
        problem.l1_ratio = 1.0
        solve(problem)
        coefs = quietly(
            celer.celer_path, problem.A, problem.b, "lasso", alphas=problem.alphas, tol=1e-10,
            weights=problem.pi,
        )[1]  # fmt: skip
        found.add(problem, coefs)
    found.tally(tally, "celer")


#: Reads problems until the file ends; covariates are columns with penalty factor 0. glmnet divides
#: y and lambda by the standard deviation s of y, so that its ridge is lambda (1 - alpha) / s.
GLMNET = """
suppressMessages(library(glmnet))
glmnet.control(fdev = 0, devmax = 1)
from <- file("problems", "rb"); to <- file("coefs", "wb")
while (length(size <- readBin(from, "integer", 4))) {
  n <- size[1]; p <- size[2]; m <- size[3]
  read <- function(k) readBin(from, "double", k)
  l1 <- read(1); X <- matrix(read(n * p), n); y <- read(n); lambda <- read(m); factors <- read(p)
  s <- sqrt(mean((y - size[4] * mean(y))^2)); total <- l1 + (1 - l1) * s
  fit <- glmnet(X, y, lambda = lambda * mean(factors) * total, penalty.factor = factors,
                alpha = l1 / total, intercept = size[4] == 1, standardize = FALSE, thresh = 1e-15,
                maxit = 1e7)
  writeBin(as.vector(as.matrix(fit$beta)), to)
}
close(to)
"""


def test_glmnet(size, tally, tmp_path):
    """One R process; unpenalised columns and, without kinship, the intercept are glmnet's own."""
    rscript = shutil.which("Rscript")
    check = [rscript, "-e", "library(glmnet)"]
    if rscript is None or subprocess.run(check, capture_output=True).returncode:
        pytest.skip("glmnet is not installed: apt-get install r-cran-glmnet")
    problems = [solve(random_problem(4000 + number)) for number in range(size(60, 200))]
    with open(tmp_path / "problems", "wb") as file:
        for problem in problems:
            plain = problem.null is None
            free = problem.SC[:, 1:] if plain else problem.SC
            X = np.column_stack([free, problem.SX])
            factors = np.append(np.zeros(len(free.T)), problem.pi)
            np.array([*X.shape, len(problem.alphas), plain], dtype=np.int32).tofile(file)
            for part in ([problem.l1_ratio], X.ravel(order="F"), problem.Sy):
                np.asarray(part, dtype=float).tofile(file)
            problem.alphas.tofile(file)
            factors.tofile(file)
    command = [rscript, "-e", GLMNET]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    values, found = np.fromfile(tmp_path / "coefs"), Comparison()
    for problem in problems:
        n_free = len(problem.SC.T) - (problem.null is None)
        rows, m = n_free + len(problem.keep), len(problem.alphas)
        found.add(problem, values[: rows * m].reshape(m, rows).T[n_free:])
        values = values[rows * m :]
    assert len(values) == 0
    found.tally(tally, "glmnet")


# ---- the published script ------------------------------------------------------------------------


def published_null(y, K, low=-5.0, high=5.0, intervals=100):
    """(S, U, log delta, nll): likelihood in the eigenbasis of raw K, a grid, Brent's method."""
    n = len(y)
    S, U = np.linalg.eigh(K)
    S, square = np.maximum(S, 0), (U.T @ y) ** 2

    def nll(x):
        v = S + np.exp(x)
        sigma_g2 = np.sum(square / v) / n
        return 0.5 * (n * np.log(2 * np.pi) + np.log(v).sum() + n + n * np.log(sigma_g2))

    grid = np.linspace(low, high, intervals + 1)
    values = np.array([nll(x) for x in grid])
    best = values.min(), grid[values.argmin()]
    for k in range(1, intervals):
        if values[k] < min(values[k - 1], values[k + 1]):
            found = minimize_scalar(nll, bracket=tuple(grid[k - 1 : k + 2]), tol=1e-10)
            best = min(best, (found.fun, found.x))
    return S, U, best[1], best[0]


def test_published_formulas(size, tally):
    """Null model, rotated Lasso (by scikit-learn) and prediction, everything raw."""
    n_problems, excess, worst = size(60, 200), -np.inf, dict.fromkeys(("ldelta", "predicted"), 0.0)
    for number in range(n_problems):
        rng = np.random.default_rng(np.random.SeedSequence(18, spawn_key=(number,)))
        n, p, rank = (int(k) for k in rng.integers((40, 20, 5), (120, 200, 150)))
        X = rng.standard_normal((n, p)) * rng.uniform(0.5, 2, p)
        Z = rng.standard_normal((n, rank)) * rng.uniform(0.3, 2)
        K = Z @ Z.T / rank
        y = X @ np.where(rng.random(p) < 3 / p, rng.standard_normal(p), 0)
        y += Z @ rng.standard_normal(rank) / np.sqrt(rank) + rng.standard_normal(n)
        t, v = np.arange(n - 10), np.arange(n - 10, n)
        K_tt, K_vt = K[np.ix_(t, t)], K[np.ix_(v, t)]
        S, U, ldelta, nll = published_null(y[t], K_tt)
        scale = 1 / np.sqrt(S + np.exp(ldelta))
        A, b = scale[:, None] * (U.T @ X[t]), scale * (U.T @ y[t])
        mu = rng.uniform(0.05, 0.9) * np.abs(A.T @ b).max()
        model = Lasso(mu / len(t), fit_intercept=False, tol=1e-12, max_iter=100_000)
        w = quietly(model.fit, A, b).coef_

        ours = compat.train(X[t], K_tt, y[t], mu)
        assert ours["monitor_nm"]["nllopt"] <= nll + 1e-9
        # how far the likelihood is flat to rounding, Brent's optimum is any
        assert_allclose(ours["ldelta0"], ldelta, atol=2e-5)
        worst["ldelta"] = max(worst["ldelta"], abs(ours["ldelta0"] - ldelta))
        # the penalty was for this delta: hold the solutions together at ours
        A = U.T @ X[t] / np.sqrt(S + np.exp(ours["ldelta0"]))[:, None]
        b = U.T @ y[t] / np.sqrt(S + np.exp(ours["ldelta0"]))
        one, other = (
            0.5 * np.sum((b - A @ x) ** 2) + mu * np.abs(x).sum() for x in (ours["weights"], w)
        )
        assert one - other <= (ours["monitor_lasso"]["dual_gap"] + ROUNDING) * 0.5 * (b @ b)
        assert_allclose(ours["monitor_lasso"]["objval"], one, rtol=1e-9)
        assert other - one <= PEER * 0.5 * (b @ b)
        excess = max(excess, (one - other) / (0.5 * (b @ b)))

        rest = U @ ((U.T @ (y[t] - X[t] @ w)) / (S + np.exp(ldelta)))
        expected = X[v] @ w + K_vt @ rest
        found = compat.predict(y[t], X[t], X[v], K_tt, K_vt, ldelta, w)
        difference = np.abs(found - expected).max() / np.abs(y).max()
        assert difference <= 1e-9
        worst["predicted"] = max(worst["predicted"], difference)
    tally(
        cases=n_problems, objective=f"ours larger by {excess:.1e} at most",
        log_delta=f"differs by {worst['ldelta']:.1e} at most",
        prediction=f"by {worst['predicted']:.1e} of y",
    )  # fmt: skip

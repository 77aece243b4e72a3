"""Ours and the peers behind one signature: solve(problem, tol) -> (seconds, coefs p x m).

Peers get the whitened matrix ready-made; the seconds are of the path alone. A peer that is not
installed is skipped by name.
"""

import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import lmmlasso_fast as ll
from bench.performance.problems import Problem


@dataclass(frozen=True)
class Solver:
    """A solver with the tolerances to try, loosest first."""

    name: str
    tolerances: tuple[float, ...]
    solve: Callable[[Problem, float], tuple[float, np.ndarray]]


def ours(problem: Problem, tol: float) -> tuple[float, np.ndarray]:
    """Whitening included: it starts from the packed genotypes and the eigendecomposition."""
    start = time.perf_counter()
    path = ll.lasso_path(problem.genotypes, problem.y, problem.null, alphas=problem.alphas, tol=tol)
    seconds = time.perf_counter() - start
    return seconds, path.coefs.tocsr()[np.flatnonzero(problem.genotypes.included)].toarray()


def adelie(problem: Problem, tol: float) -> tuple[float, np.ndarray]:
    import adelie as ad

    X = ad.matrix.dense(problem.X_whitened, method="naive", n_threads=1)
    glm = ad.glm.gaussian(y=problem.y_whitened)
    start = time.perf_counter()
    state = ad.grpnet(
        X,
        glm,
        lmda_path=problem.alphas,
        intercept=False,
        tol=tol,
        adev_tol=1.0,
        ddev_tol=0.0,
        early_exit=False,
        progress_bar=False,
    )
    return time.perf_counter() - start, state.betas.toarray().T


def celer(problem: Problem, tol: float) -> tuple[float, np.ndarray]:
    from celer import celer_path

    start = time.perf_counter()
    _, coefs, _ = celer_path(
        problem.X_whitened, problem.y_whitened, "lasso", alphas=problem.alphas, tol=tol
    )
    return time.perf_counter() - start, coefs


def sklearn(problem: Problem, tol: float) -> tuple[float, np.ndarray]:
    from sklearn.linear_model import lasso_path

    start = time.perf_counter()
    _, coefs, _ = lasso_path(
        problem.X_whitened, problem.y_whitened, alphas=problem.alphas, tol=tol, max_iter=100000
    )
    return time.perf_counter() - start, coefs


def skglm(problem: Problem, tol: float) -> tuple[float, np.ndarray]:
    from skglm import Lasso

    model = Lasso(tol=tol, fit_intercept=False)
    start = time.perf_counter()
    coefs = model.path(problem.X_whitened, problem.y_whitened, problem.alphas)[1]
    return time.perf_counter() - start, coefs


_GLMNET = """
suppressMessages(library(glmnet)); options(digits = 17)
a <- commandArgs(TRUE); n <- as.integer(a[2]); p <- as.integer(a[3]); m <- as.integer(a[4])
read <- function(f, k) readBin(file.path(a[1], f), "double", k)
X <- matrix(read("X", n * p), n); y <- read("y", n); lambda <- read("alphas", m)
glmnet.control(fdev = 0, devmax = 1)
t <- system.time(fit <- glmnet(X, y, lambda = lambda, standardize = FALSE, intercept = FALSE,
                               thresh = as.double(a[5]), maxit = 1e8, type.gaussian = "naive"))
writeBin(as.vector(as.matrix(fit$beta)), file.path(a[1], "coefs")); cat(t[["elapsed"]])
"""


def glmnet(problem: Problem, tol: float) -> tuple[float, np.ndarray]:
    n, p = problem.X_whitened.shape
    with tempfile.TemporaryDirectory() as folder:
        for name, values in (
            ("X", problem.X_whitened),
            ("y", problem.y_whitened),
            ("alphas", problem.alphas),
        ):
            values.ravel(order="F").tofile(Path(folder) / name)
        done = subprocess.run(
            ["Rscript", "-e", _GLMNET, folder, str(n), str(p), str(len(problem.alphas)), str(tol)],
            check=True,
            capture_output=True,
            text=True,
        )
        coefs = np.fromfile(Path(folder) / "coefs").reshape(len(problem.alphas), p).T
    return float(done.stdout.split()[-1]), coefs


def available() -> tuple[list[Solver], list[str]]:
    """Return the solvers that can run here, ours first, and why the others cannot."""
    ladder = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15)
    peers = [
        Solver("adelie", ladder[3:], adelie),
        Solver("celer", ladder[:6], celer),
        Solver("scikit-learn", ladder[:5], sklearn),
        Solver("skglm", ladder[:6], skglm),
    ]
    found, missing = [Solver("lmmlasso_fast", (1e-4, 1e-6, 1e-10), ours)], []
    for peer in peers:
        module = {"scikit-learn": "sklearn"}.get(peer.name, peer.name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                __import__(module)
            found.append(peer)
        except ImportError as error:
            missing.append(f"{peer.name} (pip install {peer.name}): {error}")
    has_glmnet = (
        shutil.which("Rscript")
        and not subprocess.run(
            ["Rscript", "-e", "library(glmnet)"], capture_output=True, check=False
        ).returncode
    )
    if has_glmnet:
        found.append(Solver("glmnet", ladder[3:], glmnet))
    else:
        missing.append("glmnet (Debian package r-cran-glmnet)")
    return found, missing

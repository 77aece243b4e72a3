"""The peers behind one signature: solve(whitened, tol, n_threads) -> (seconds, coefs p x m).

The seconds are of the path alone: neither file passing nor conversion of the result counts.
"""

import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.performance.problems import Whitened, worst_gap
from bench.performance.settings import Settings

#: A solver is not tried at a tighter tolerance once a run took this long.
PATIENCE = 30.0
#: Tolerances tried between two decades, for the loosest that still reaches a gap.
_BISECTIONS = 2

_LADDER = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15)


@dataclass(frozen=True)
class Peer:
    """A solver with the tolerances to try, loosest first, and whether it takes float32.

    `module` is what Python imports; None: it is a program that files are passed to.
    """

    name: str
    module: str | None
    tolerances: tuple[float, ...]
    solve: Callable[[Whitened, float, int], tuple[float, np.ndarray]]
    float32: bool = False


def adelie(problem: Whitened, tol: float, n_threads: int) -> tuple[float, np.ndarray]:
    import adelie as ad

    X = ad.matrix.dense(problem.X, method="naive", n_threads=n_threads)
    glm = ad.glm.gaussian(y=problem.y, dtype=problem.y.dtype.type)
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
        n_threads=n_threads,
    )
    return time.perf_counter() - start, state.betas.toarray().T


def celer(problem: Whitened, tol: float, n_threads: int) -> tuple[float, np.ndarray]:
    from celer import celer_path

    start = time.perf_counter()
    _, coefs, _ = celer_path(problem.X, problem.y, "lasso", alphas=problem.alphas, tol=tol)
    return time.perf_counter() - start, coefs


def sklearn(problem: Whitened, tol: float, n_threads: int) -> tuple[float, np.ndarray]:
    from sklearn.linear_model import lasso_path

    start = time.perf_counter()
    _, coefs, _ = lasso_path(problem.X, problem.y, alphas=problem.alphas, tol=tol, max_iter=100_000)
    return time.perf_counter() - start, coefs


def skglm(problem: Whitened, tol: float, n_threads: int) -> tuple[float, np.ndarray]:
    from skglm import Lasso

    model = Lasso(tol=tol, fit_intercept=False)
    start = time.perf_counter()
    coefs = model.path(problem.X, problem.y, problem.alphas)[1]
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


def glmnet(problem: Whitened, tol: float, n_threads: int) -> tuple[float, np.ndarray]:
    n, p = problem.X.shape
    with tempfile.TemporaryDirectory() as folder:
        for name in ("X", "y", "alphas"):
            getattr(problem, name).ravel(order="F").tofile(Path(folder) / name)
        sizes = [str(k) for k in (n, p, len(problem.alphas))]
        done = subprocess.run(
            ["Rscript", "-e", _GLMNET, folder, *sizes, str(tol)],
            check=True,
            capture_output=True,
            text=True,
        )
        coefs = np.fromfile(Path(folder) / "coefs").reshape(len(problem.alphas), p).T
    return float(done.stdout.split()[-1]), coefs


PEERS = {
    peer.name: peer
    for peer in (
        Peer("adelie", "adelie", _LADDER[3:], adelie, float32=True),
        Peer("celer", "celer", _LADDER, celer, float32=True),
        Peer("glmnet", None, _LADDER[3:], glmnet),
        Peer("scikit-learn", "sklearn", _LADDER, sklearn),
        Peer("skglm", "skglm", _LADDER, skglm),
    )
}


def available(settings: Settings, names=tuple(PEERS)) -> list[Peer]:
    """Return those of the named peers that can run here; the others are skipped by name."""
    found = []
    for peer in (PEERS[name] for name in names):
        reason = _why_not(peer)
        if reason is None:
            found.append(peer)
        else:
            settings.skip(peer.name, reason)
    return found


def _why_not(peer: Peer) -> str | None:
    if peer.module is None:
        if shutil.which("Rscript") is None:
            return "no Rscript (Debian package r-cran-glmnet)"
        load = ["Rscript", "-e", "library(glmnet)"]
        if subprocess.run(load, capture_output=True, check=False).returncode:
            return "R has no package glmnet (Debian package r-cran-glmnet)"
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module(peer.module)
    except ImportError as error:
        return f"cannot be imported (pip install {peer.name}): {error}"
    return None


def tune(solve, tolerances, targets, whitened: Whitened) -> tuple[dict, dict]:
    """Find the loosest tolerance that certifies each target.

    Parameters
    ----------
    solve : callable
        tol -> (seconds, coefs).
    tolerances, targets : sequences of float
        Both from loose to tight.
    whitened : Whitened
        The problem on which our gap is computed.

    Returns
    -------
    found : dict
        {target: {"tol", "gap"}} for the targets that were reached.
    floor : dict
        "gap", "tol", "seconds" of the smallest gap that was seen, and why the search ended.
    """
    runs = []

    def attempt(tol: float) -> dict:
        seconds, coefs = solve(tol)
        runs.append({"tol": tol, "gap": worst_gap(whitened, coefs), "seconds": seconds})
        return runs[-1]

    ended = "no tighter tolerance is known to it"
    for tol in tolerances:
        last = attempt(tol)
        if last["gap"] <= targets[-1]:
            ended = "reached"
            break
        if len(runs) > 2 and all(b["gap"] > 0.9 * a["gap"] for a, b in pairwise(runs[-3:])):
            ended = "the gap no longer falls"
            break
        if last["seconds"] > PATIENCE:
            ended = f"a run took more than {PATIENCE:.0f} s"
            break
    floor = {**min(runs, key=lambda run: run["gap"]), "ended": ended}
    found = {}
    for target in targets:
        for _ in range(_BISECTIONS):
            tight = max((run for run in runs if run["gap"] <= target), key=_tol, default=None)
            if tight is None:
                break
            loose = min((run for run in runs if run["tol"] > tight["tol"]), key=_tol, default=None)
            if loose is not None and tight["seconds"] < PATIENCE / 3:
                attempt((loose["tol"] * tight["tol"]) ** 0.5)
        reached = [run for run in runs if run["gap"] <= target]
        if reached:
            best = max(reached, key=_tol)
            found[target] = {"tol": best["tol"], "gap": best["gap"]}
    return found, floor


def _tol(run: dict) -> float:
    return run["tol"]

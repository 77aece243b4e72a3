"""What a competent user of a peer does: from .bed on disk to the path, on a dense matrix.

`python -m bench.performance.dense_pipeline` is one such run, in a process of its own. It is kind to
the peers: our reader decodes straight into a standardised matrix, whitening is in place, and the
kinship is a float32 SYRK.
"""

import argparse
import json
import time
import warnings
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np

from bench.performance import problems, solvers
from bench.performance.filesets import Fileset
from bench.performance.problems import Whitened

#: SNPs in a block of the kinship: a float32 copy of all of X is not needed.
_BLOCK = 16384


class Stages:
    """Seconds by stage."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str):
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def prepare(fileset: Fileset, dtype, stages: Stages) -> tuple[Whitened, np.ndarray]:
    """Return the whitened problem, and the row in the .bim of each of its SNPs."""
    with stages.stage("read"):
        genotypes, y = fileset.load()
        rows = np.flatnonzero(genotypes.included)
        X = genotypes.columns(rows, dtype=dtype)
    with stages.stage("kinship"):
        K = np.zeros((len(y), len(y)))
        for start in range(0, X.shape[1], _BLOCK):
            block = X[:, start : start + _BLOCK].astype(np.float32, copy=False)
            K += block @ block.T
        K /= np.trace(K) / len(K)
    with stages.stage("eigh"):
        s, U = np.linalg.eigh(K)
        s = np.maximum(s, 0.0)
    with stages.stage("null model"):
        delta = maximum_likelihood_delta(U, s, y)
    with stages.stage("whiten"):
        whitened = problems.whiten(X, y, U, s, delta).astype(dtype)
    return whitened, rows


def maximum_likelihood_delta(U: np.ndarray, s: np.ndarray, y: np.ndarray) -> float:
    """Noise over genetic variance, log delta within [-5, 5]; the only covariate is a constant."""
    from scipy.optimize import minimize_scalar

    Uy, U1 = U.T @ y, U.sum(axis=0)

    def negative_log_likelihood(log_delta):
        variance = s + np.exp(log_delta)
        residual = Uy - U1 * (U1 @ (Uy / variance)) / (U1 @ (U1 / variance))
        rss = residual @ (residual / variance)
        return 0.5 * (len(y) * np.log(rss) + np.log(variance).sum())

    grid = np.linspace(-5.0, 5.0, 101)
    k = int(np.argmin([negative_log_likelihood(x) for x in grid]))
    bounds = (grid[max(k - 1, 0)], grid[min(k + 1, 100)])
    found = minimize_scalar(
        negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-8}
    )
    return float(np.exp(found.x))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=solvers.PEERS)
    parser.add_argument("--bfile", type=Path, required=True)
    parser.add_argument("--pheno", type=Path, required=True)
    parser.add_argument("--pheno-name", required=True)
    parser.add_argument("--dtype", choices=["float32", "float64"], required=True)
    parser.add_argument("--tol", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    fileset = Fileset("", given.bfile, given.pheno, given.pheno_name)
    peer, stages = solvers.PEERS[given.peer], Stages()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about convergence; the tolerance was tuned by our gap
        if peer.module is not None:
            with stages.stage("import"):
                import_module(peer.module)
        whitened, _ = prepare(fileset, np.dtype(given.dtype), stages)
        with stages.stage("solver"):
            seconds, _ = peer.solve(whitened, given.tol, given.threads)
    # passing files to R and its start, or making a dense matrix of the coefficients
    stages.seconds["not counted"] = stages.seconds.pop("solver") - seconds
    stages.seconds["path"] = seconds
    given.out.write_text(json.dumps(stages.seconds))


if __name__ == "__main__":
    main()

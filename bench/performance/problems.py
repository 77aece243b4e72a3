"""The whitened problem that peers are given, and the yardstick: our gap, in plain NumPy."""

import time
from dataclasses import dataclass

import numpy as np

import lmmlasso_fast as ll
from bench.performance.filesets import Fileset
from bench.performance.settings import LAST, N_ALPHAS

#: SNPs whitened at a time: in place, a second matrix of the size of X is never needed.
_BLOCK = 4096


@dataclass(frozen=True)
class Whitened:
    """min 1/(2n) ||y - X beta||^2 + alpha ||beta||_1 for `alphas`: M W X, M W y of an LMM-Lasso.

    X is n x p, Fortran order, without the SNPs that are not offered to the model.
    """

    X: np.ndarray
    y: np.ndarray
    alphas: np.ndarray

    def astype(self, dtype) -> "Whitened":
        return Whitened(*(part.astype(dtype, copy=False) for part in (self.X, self.y, self.alphas)))

    def at(self, k: int) -> "Whitened":
        """Return the same problem with one of the alphas alone."""
        return Whitened(self.X, self.y, self.alphas[k : k + 1])


@dataclass(frozen=True)
class Problem:
    """One problem in both guises: what `lasso_path` takes, and what peers are given for free."""

    name: str
    genotypes: ll.Genotypes
    y: np.ndarray
    null: ll.NullModel
    whitened: Whitened
    whitening_seconds: float


def load(fileset: Fileset, repeats: int = 1) -> Problem:
    """Kinship and null model are ours and count for nobody; whitening the SNPs is timed.

    As everything, it is done `repeats` times, of which the fastest counts.
    """
    genotypes, y = fileset.load()
    null = ll.fit_null(y, ll.kinship(genotypes))
    spectrum = null.kinship.spectrum
    runs = []
    for _ in range(repeats):
        start = time.perf_counter()
        X = genotypes.columns(np.flatnonzero(genotypes.included))
        whitened = whiten(X, y, spectrum.U, spectrum.s, null.delta)
        runs.append(time.perf_counter() - start)
    return Problem(fileset.name, genotypes, y, null, whitened, min(runs))


def whiten(X: np.ndarray, y: np.ndarray, U, s, delta: float) -> Whitened:
    """Overwrite standardised SNPs X (Fortran order) by M W X; the only covariate is a constant."""
    MW = U.T / np.sqrt(s + delta)[:, None]
    q = MW.sum(axis=1)
    q /= np.linalg.norm(q)
    MW -= np.outer(q, q @ MW)
    y = MW @ y
    MW = MW.astype(X.dtype, copy=False)
    rows = X.T  # C order: a block of SNPs is contiguous
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        rows[block] = rows[block] @ MW.T
    alpha_max = float(np.abs(rows @ y.astype(X.dtype)).max()) / len(y)
    return Whitened(X, y, alpha_max * LAST ** (np.arange(N_ALPHAS) / (N_ALPHAS - 1)))


def worst_gap(whitened: Whitened, coefs: np.ndarray) -> float:
    """Largest duality gap over a path (coefs: p x m), relative to 1/(2n) ||y||^2.

    In plain NumPy, from the coefficients alone: the same yardstick for every solver.
    """
    X, y, alphas = whitened.X, whitened.y, whitened.alphas
    n = len(y)
    used = np.flatnonzero(coefs.any(axis=1))
    residual = y[:, None] - X[:, used] @ coefs[used]
    correlation = np.abs(X.T @ residual).max(axis=0)
    square = (residual**2).sum(axis=0)
    product = y @ residual
    scale = np.minimum(n * alphas / correlation, product / square)
    primal = square / 2 + n * alphas * np.abs(coefs).sum(axis=0)
    dual = scale * product - scale**2 * square / 2
    return float(((primal - dual) / (y @ y / 2)).max())

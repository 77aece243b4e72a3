"""The benchmark problems: genotypes, phenotype and the whitened matrix that peers are given."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import lmmlasso_fast as ll

N_ALPHAS = 100
LAST = 0.1  # of alpha_max


@dataclass(frozen=True)
class Problem:
    """min 1/(2n) ||y~ - X~ beta||^2 + alpha ||beta||_1 for `alphas`, in both guises.

    Attributes
    ----------
    name : str
    genotypes, y, null
        What `lasso_path` takes.
    alphas : ndarray
    X_whitened, y_whitened : ndarray
        M W X (n x p, Fortran order) and M W y: what peers get for free. Columns of SNPs that are
        not offered are left out.
    """

    name: str
    genotypes: ll.Genotypes
    y: np.ndarray
    null: ll.NullModel
    alphas: np.ndarray
    X_whitened: np.ndarray
    y_whitened: np.ndarray


def mouse() -> Problem:
    """Heterogeneous-stock mice, CD8: 1,410 x 10,992, many exact duplicates."""
    import polars as pl

    folder = Path(os.environ["LMMLASSO_DATA"]) / "mouse_hs1940"
    table = pl.read_csv(
        folder / "phenotypes.tsv", separator="\t", null_values="NA", infer_schema_length=None
    )
    y = table["CD8"].to_numpy().astype(float)
    keep = ~np.isnan(y)
    y = (y[keep] - y[keep].mean()) / y[keep].std()
    return _with_whitened("mouse CD8", ll.read_plink(folder / "mouse_hs1940").subset(keep), y)


def simulated(n: int, p: int, missing_rate: float = 0.035) -> Problem:
    """Four populations with LD, ten causal SNPs."""
    from lmmlasso_fast.simulation import simulate_genotypes, simulate_phenotype

    drawn = simulate_genotypes(n, p, missing_rate=missing_rate, seed=1)
    y = simulate_phenotype(drawn.dosages, seed=1).y
    X = np.where(drawn.dosages < 0, np.nan, drawn.dosages.astype(np.float32))
    return _with_whitened(f"simulated {n} x {p}", ll.Genotypes.from_array(X), y)


def _with_whitened(name: str, genotypes: ll.Genotypes, y: np.ndarray) -> Problem:
    K = ll.kinship(genotypes)
    null = ll.fit_null(y, K)
    alpha_max = ll.lasso_path(genotypes, y, null, n_alphas=1).alpha_max
    alphas = alpha_max * LAST ** (np.arange(N_ALPHAS) / (N_ALPHAS - 1))
    X, whitened_y = whiten(genotypes, y, null)
    return Problem(name, genotypes, y, null, alphas, X, whitened_y)


def whiten(genotypes, y, null) -> tuple[np.ndarray, np.ndarray]:
    """Return M W X and M W y, dense: what everybody else has to do first."""
    spectrum = null.kinship.spectrum
    W = spectrum.U.T / np.sqrt(spectrum.s + null.delta)[:, None]
    Q, _ = np.linalg.qr(W @ null.design.matrix)
    X = W @ genotypes.columns(np.flatnonzero(genotypes.included))
    X -= Q @ (Q.T @ X)
    whitened_y = W @ y
    return np.asfortranarray(X), whitened_y - Q @ (Q.T @ whitened_y)


def worst_gap(X: np.ndarray, y: np.ndarray, alphas: np.ndarray, coefs: np.ndarray) -> float:
    """Largest duality gap over a path (coefs: p x m), relative to 1/(2n) ||y||^2.

    In plain NumPy, from the coefficients alone: the same yardstick for every solver.
    """
    n = len(y)
    residual = y[:, None] - X @ coefs
    correlation = np.abs(X.T @ residual).max(axis=0)
    square = (residual**2).sum(axis=0)
    product = y @ residual
    scale = np.minimum(n * alphas / correlation, product / square)
    primal = square / 2 + n * alphas * np.abs(coefs).sum(axis=0)
    dual = scale * product - scale**2 * square / 2
    return float(((primal - dual) / (y @ y / 2)).max())

"""How the variance of the phenotype splits along the path."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import as_number, as_numbers
from lmmlasso_fast.display import Result, draw
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.null_model import as_phenotype, exponent_of
from lmmlasso_fast.path import LassoPath
from lmmlasso_fast.threads import blas_cap

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class VarianceSplit(Result):
    """Shares of the variance at every alpha; snp + random + noise = 1.

    Attributes
    ----------
    snp : ndarray, shape (m,)
        var(X beta).
    random : ndarray, shape (m,)
        sigma_g2(beta) = (y - X beta)'P (y - X beta) / n, the kinship's variance given the SNPs.
    noise : ndarray, shape (m,)
        sigma_e2(beta) = delta sigma_g2(beta), delta being the null model's.
    total : ndarray, shape (m,)
        The sum of the three variances, in squared units of y.
    """

    snp: np.ndarray
    random: np.ndarray
    noise: np.ndarray
    total: np.ndarray

    def to_frame(self) -> "pl.DataFrame":
        """Return one row per alpha: the columns VAR_ of P.path.tsv, shares of VAR_TOTAL."""
        import polars as pl

        return pl.DataFrame(
            {
                "VAR_SNP": self.snp,
                "VAR_RANDOM": self.random,
                "VAR_NOISE": self.noise,
                "VAR_TOTAL": self.total,
            }
        )

    def plot(self, path: LassoPath, **options: Any) -> Any:
        """Draw the split along its path: `lmmlasso_fast.plots.variance_split`."""
        return draw("variance_split", path, self, **options)


def variance_split(path: LassoPath, genotypes: Genotypes, y: ArrayLike) -> VarianceSplit:
    """Split the variance of the analysed samples at every alpha of a path.

    Without active SNPs this is the null model's split by maximum likelihood: random = h2.

    Parameters
    ----------
    path : LassoPath
    genotypes, y
        What the path was fitted on.

    Raises
    ------
    PhenotypeError
        Another number of samples than the path has, or a size at which variances are no numbers.
    """
    y = as_phenotype(y, path.n_samples)
    exponent_of(y)  # raises where a variance would be no number
    effects = path.coefs.tocsr()
    rows = np.flatnonzero(np.diff(effects.indptr))
    with blas_cap(1):  # the last bits of a product depend on its number of threads
        snp_part = genotypes.columns(rows) @ effects[rows].toarray()
    snp = snp_part.var(axis=0)
    scale = np.einsum("ik,ik->k", y[:, None] - snp_part, path.dual) / path.n_samples
    random, noise = (
        (np.zeros_like(scale), scale) if path.null is None else (scale, path.null.delta * scale)
    )
    total = snp + random + noise
    return VarianceSplit(snp / total, random / total, noise / total, total)


def variance_by_snp(genotypes: Genotypes, coef: ArrayLike, total: float) -> np.ndarray:
    """Return what each SNP contributes to the variance of X beta: beta_j cov(x_j, X beta) / total.

    The contributions of all SNPs add up to `VarianceSplit.snp`. One is below 0 for a SNP whose
    effect is opposite to that of others it is correlated with.

    Parameters
    ----------
    genotypes : Genotypes, n samples x p SNPs
    coef : array_like, shape (p,)
        Effects of the standardised SNPs.
    total : float
        `VarianceSplit.total` at this alpha.

    Returns
    -------
    ndarray, shape (p,)

    Raises
    ------
    InputError
        Not one finite effect per SNP.
    """
    total = as_number("total", total, above=0)
    coef = as_numbers(coef, "coef", InputError)
    if coef.shape != (genotypes.n_variants,) or not np.isfinite(coef).all():
        raise InputError(
            f"coef: expected {genotypes.n_variants} finite numbers, one per SNP, found shape "
            f"{coef.shape}, {int((~np.isfinite(coef)).sum())} of them not finite"
        )
    active = np.flatnonzero(coef)
    X = genotypes.columns(active)
    shares = np.zeros(len(coef))
    with blas_cap(1):
        part = X @ coef[active]
        shares[active] = coef[active] * ((part - part.mean()) @ X) / (len(part) * total)
    return shares

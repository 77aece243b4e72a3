"""What makes a solution trustworthy: its duality gap from the gradient of every SNP."""

from dataclasses import dataclass

import numpy as np

from lmmlasso_fast import _core


@dataclass(frozen=True)
class Penalty:
    """alpha (l1 pi_j |beta_j| + l2 pi_j beta_j^2 / 2), summed over j.

    Attributes
    ----------
    l1, l2 : float
        l1_ratio, and 1 - l1_ratio in units of the scaled y: beta^2 has these twice, |beta| once.
    factors : ndarray, shape (p,)
        pi_j > 0 and finite of the penalised SNPs; infinity where a SNP is out.
    divisors : ndarray or None
        The factors; None if they are 1 wherever a gradient is not 0.
    """

    l1: float
    l2: float
    factors: np.ndarray
    divisors: np.ndarray | None


def relative_gaps(
    gradients: np.ndarray,
    index: np.ndarray,
    betas: np.ndarray,
    yPv: np.ndarray,
    yPy: float,
    alphas: np.ndarray,
    penalty: Penalty,
    n: int,
    skip: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Duality gaps divided by the null deviance 1/(2n) y'Py, for several alphas.

    The elastic net is the Lasso on the design augmented by sqrt(n ridge_j) e_j. With r^ its
    residual, a = alpha l1 and theta = s r^ the dual point, s as near to the best scaling
    y^'r^ / r^'r^ as feasibility max_j |x^_j'theta| / pi_j <= n a allows,

        primal = r^'r^ / (2n) + a sum_j pi_j |beta_j|
        dual   = (2 s y^'r^ - s^2 r^'r^) / (2n) .

    Parameters
    ----------
    gradients : ndarray, shape (m, p)
        X'P (y - X beta) of every SNP, zero for those not offered.
    index : ndarray, shape (w,)
        SNPs with coefficients; zero for all others.
    betas : ndarray, shape (m, w)
    yPv : ndarray, shape (m,)
        y'P (y - X beta).
    yPy : float
        y'P y.
    alphas : ndarray, shape (m,)
    penalty : Penalty
    n : int
        Samples.
    skip : ndarray of uint8, shape (p,)
        1 where a SNP does not count as outside; 1 at least for those of `index`.

    Returns
    -------
    gaps : ndarray, shape (m,)
    outside : ndarray, shape (m,)
        The largest |gradient_j| / pi_j outside.
    """
    factors = penalty.factors[index]
    slack = gradients
    inside = gradients[:, index]
    residual = yPv - np.einsum("kj,kj->k", betas, inside)  # (y - X beta)'P (y - X beta)
    if penalty.l2 > 0:
        ridge = n * penalty.l2 * alphas[:, None] * factors
        slack = gradients.copy()
        slack[:, index] = inside - ridge * betas
        residual = residual + np.einsum("kj,kj,kj->k", ridge, betas, betas)
    largest, outside = _core.largest_scores(slack, penalty.divisors, skip)
    l1 = alphas * penalty.l1
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(residual > 0, yPv / residual, 1.0)
        bound = np.where(largest > 0, n * l1 / largest, np.inf)
    scale = np.clip(scale, -bound, bound)
    primal = residual / (2 * n) + l1 * (np.abs(betas) @ factors)
    dual = (2 * scale * yPv - scale**2 * residual) / (2 * n)
    return np.maximum(primal - dual, 0.0) / (yPy / (2 * n)), outside

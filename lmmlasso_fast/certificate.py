"""What makes a solution trustworthy: its duality gap from the gradient of every SNP."""

from dataclasses import dataclass

import numpy as np

from lmmlasso_fast import _core


@dataclass(frozen=True)
class Penalty:
    """l1 pi_j |beta_j| + l2 pi_j beta_j^2 / 2, summed over j.

    Kept apart because only l1 has the units of y. `factors` are the pi_j > 0 and finite of the
    penalised SNPs; infinity where a SNP is out.
    """

    l1: float
    l2: float
    factors: np.ndarray
    divisors: np.ndarray | None  # the factors; None if they are 1 wherever a gradient is not 0

    def at(self, index) -> tuple[np.ndarray, np.ndarray | None]:
        """Return (threshold, ridge) per n of the SNPs `index`; ridge None for a pure Lasso."""
        factors = self.factors[index]
        threshold = self.l1 * factors
        ridge = None if self.l2 == 0 else self.l2 * factors
        return threshold, ridge


def relative_gap(
    gradient: np.ndarray,
    support: np.ndarray,
    beta: np.ndarray,
    yPv: float,
    yPy: float,
    n: int,
    penalty: Penalty,
) -> float:
    """Duality gap divided by the null deviance 1/(2n) y'Py.

    The elastic net is the Lasso on the design augmented by sqrt(n ridge_j) e_j. With r^ its
    residual, a = l1 and theta = s r^ the dual point, s as large as feasibility
    max_j |x^_j'theta| / pi_j <= n a allows but not beyond the best scaling y^'r^ / r^'r^,

        primal = r^'r^ / (2n) + a sum_j pi_j |beta_j|
        dual   = (2 s y^'r^ - s^2 r^'r^) / (2n) .

    Parameters
    ----------
    gradient : ndarray, shape (p,)
        X'P (y - X beta) of every SNP, zero for those not offered.
    support, beta : ndarray
        Indices and values of the non-zero coefficients.
    yPv, yPy : float
        y'P (y - X beta) and y'P y.
    """
    threshold, ridge = penalty.at(support)
    slack = gradient
    residual = yPv - float(beta @ gradient[support])  # (y - X beta)'P (y - X beta)
    if ridge is not None:
        slack = gradient.copy()
        slack[support] -= n * ridge * beta
        residual += n * float(ridge @ beta**2)
    largest = _core.largest_score(slack, penalty.divisors)
    scale = yPv / residual if residual > 0 else 1.0
    if largest > 0:
        scale = min(scale, n * penalty.l1 / largest)
    primal = residual / (2 * n) + float(threshold @ np.abs(beta))
    dual = (2 * scale * yPv - scale**2 * residual) / (2 * n)
    return max(primal - dual, 0.0) / (yPy / (2 * n))

"""Fixed effects: the intercept and the caller's covariates, without what is collinear."""

import warnings
from dataclasses import dataclass

import numpy as np

from lmmlasso_fast.checks import as_numbers, as_switch
from lmmlasso_fast.errors import CovariateError, DataWarning, PhenotypeError

#: A column whose part outside the span of the ones before it is below this share of its length
#: is collinear with them.
_COLLINEAR = 1e-8
#: What is left of a phenotype below this share of its length is rounding.
_EXPLAINED = 1e-12
#: The largest number of a column is within these: effects and products must be numbers too.
_SMALLEST, _LARGEST = 1e-50, 1e50


@dataclass(frozen=True)
class Design:
    """Covariates in use.

    Attributes
    ----------
    matrix : ndarray, shape (n, c)
        The kept columns, the intercept first if there is one.
    names : tuple of str
    dropped : tuple of str
        Collinear columns that were left out.
    """

    matrix: np.ndarray
    names: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def has_intercept(self) -> bool:
        return bool(self.names) and self.names[0] == "intercept"

    def subset(self, index: np.ndarray) -> "Design":
        """Return the covariates of some samples, without those that are collinear among these.

        Raises
        ------
        CovariateError
            No degree of freedom is left.
        """
        matrix = self.matrix[index]
        keep = independent_columns(matrix)
        _require_freedom(len(matrix), len(keep))
        names = tuple(self.names[j] for j in keep)
        dropped = tuple(name for name in self.names if name not in names)
        return Design(np.ascontiguousarray(matrix[:, keep]), names, self.dropped + dropped)


def as_design(covariates, n: int, *, intercept: bool = True, names=None) -> Design:
    """Check covariates, put the intercept first and drop collinear columns.

    Columns are taken in order, so that of a collinear set the later ones go.

    Parameters
    ----------
    covariates : array_like, shape (n, k), or None
    n : int
        Samples.
    intercept : bool, default True
    names : sequence of str, optional
        Names of the k columns, for messages and results.

    Raises
    ------
    CovariateError
        Wrong shape, not finite, of a size whose squares are no numbers, or no degree of freedom
        left (n - c < 1).

    Warns
    -----
    DataWarning
        Names the collinear columns that were dropped.
    """
    intercept = as_switch("intercept", intercept)
    if covariates is None:
        given = np.empty((n, 0))
    else:
        given = as_numbers(covariates, "covariates", CovariateError)
        if given.ndim == 1:
            given = given[:, None]
    if given.ndim != 2 or given.shape[0] != n:
        raise CovariateError(
            f"covariates: expected {n} rows, one per sample, found shape {given.shape}"
        )
    if not np.isfinite(given).all():
        i, j = np.argwhere(~np.isfinite(given))[0]
        raise CovariateError(
            f"covariates: expected finite numbers, found {given[i, j]} in row {i + 1}, column "
            f"{j + 1}; drop the sample or fill the value in"
        )
    largest = np.abs(given).max(axis=0, initial=0.0)
    odd = (largest > 0) & ~((largest >= _SMALLEST) & (largest <= _LARGEST))
    if odd.any():
        j = int(odd.argmax())
        raise CovariateError(
            f"covariates: expected columns of zeros or with a largest number from {_SMALLEST:g} to "
            f"{_LARGEST:g}, found {largest[j]:g} in column {j + 1}; give it in another unit"
        )
    labels = [f"covariate{j + 1}" for j in range(given.shape[1])] if names is None else list(names)
    if len(labels) != given.shape[1]:
        raise CovariateError(f"covariates: expected {given.shape[1]} names, found {len(labels)}")
    if len(set(labels)) < len(labels) or "intercept" in labels:
        raise CovariateError(
            f"covariates: expected a name of its own for each but the intercept, found "
            f"{', '.join(map(repr, labels))}; rename them"
        )
    if intercept:
        given = np.column_stack([np.ones(n), given])
        labels = ["intercept", *labels]
    keep = independent_columns(given)
    dropped = tuple(labels[j] for j in range(len(labels)) if j not in set(keep))
    if dropped:
        warnings.warn(
            f"covariates: {', '.join(dropped)} dropped: constant, or collinear with the "
            "covariates before",
            DataWarning,
            stacklevel=3,
        )
    _require_freedom(n, len(keep))
    return Design(np.ascontiguousarray(given[:, keep]), tuple(labels[j] for j in keep), dropped)


def _require_freedom(n: int, n_columns: int) -> None:
    if n - n_columns < 1:
        raise CovariateError(
            f"covariates: expected fewer independent columns than samples, found {n_columns} "
            f"and {n}; leave some of them out, or take more samples"
        )


def independent_columns(A: np.ndarray) -> list[int]:
    """Return the columns of A that are not in the span of the ones before them.

    Gram-Schmidt, twice over, on columns scaled to length one.
    """
    keep: list[int] = []
    basis = np.empty((A.shape[0], 0))
    for j in range(A.shape[1]):
        largest = np.abs(A[:, j]).max(initial=0.0)
        if largest == 0:
            continue
        column = A[:, j] / largest
        column = column / np.linalg.norm(column)
        rest = column - basis @ (basis.T @ column)
        rest = rest - basis @ (basis.T @ rest)
        length = np.linalg.norm(rest)
        if length > _COLLINEAR and len(keep) < A.shape[0]:
            keep.append(j)
            basis = np.column_stack([basis, rest / length])
    return keep


def without_fixed_effects(C: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (gamma, y - C gamma) by least squares: y with its large constant part taken out.

    The Lasso and the likelihood are the same for both, but y'P y and its like lose all their
    digits when the mean of y is a million times its standard deviation.

    Raises
    ------
    PhenotypeError
        Nothing is left.
    """
    Q, R = np.linalg.qr(C)
    first = Q.T @ y
    rest = y - Q @ first
    second = Q.T @ rest  # once more: the first projection leaves rounding in the size of y
    rest = rest - Q @ second
    if not np.linalg.norm(rest) > _EXPLAINED * np.linalg.norm(y):
        raise PhenotypeError(
            "phenotype: expected something left to model, found that the covariates explain it "
            "completely; give fewer covariates"
        )
    return np.linalg.solve(R, first + second), rest

"""Transformations of a phenotype towards normality, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from lmmlasso_fast.checks import as_choice, as_numbers, as_switch
from lmmlasso_fast.display import Result, one_row
from lmmlasso_fast.errors import ModelError, PhenotypeError

if TYPE_CHECKING:
    import polars as pl

METHODS = ("none", "boxcox", "rint")
LAMBDA_BOUNDS = (-5.0, 5.0)
BLOM_OFFSET = 3 / 8


@dataclass(frozen=True, eq=False)
class Transform(Result):
    """A fitted transformation: forward(y) = (g(y) - mean) / sd.

    Attributes
    ----------
    method : {"none", "boxcox", "rint"}
        g is the identity, the Box-Cox power of (y + shift) / scale, or the linear interpolation
        in `table`.
    lambda_ : float or None
        The Box-Cox exponent.
    shift, scale : float
        Of Box-Cox, in the units of the phenotype.
    mean, sd : float
        Of g(y); 0 and 1 without standardisation.
    table : (phenotypes, scores) or None
        Of the rank transformation: two ascending float64 arrays of the distinct phenotypes.
    """

    method: str
    lambda_: float | None = None
    shift: float = 0.0
    scale: float = 1.0
    mean: float = 0.0
    sd: float = 1.0
    table: tuple[np.ndarray, np.ndarray] | None = None

    def to_frame(self) -> "pl.DataFrame":
        """Return one row: all but the table."""
        return one_row(self, ("method", "lambda_", "shift", "scale", "mean", "sd"))

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Transform phenotypes, those of other samples included.

        Beyond the phenotypes seen, the rank transformation stays at its extreme scores.

        Parameters
        ----------
        y : array of float

        Returns
        -------
        float64 array of the same shape

        Raises
        ------
        PhenotypeError
            Not finite numbers; a value at which Box-Cox is not defined (y + shift <= 0).
        """
        return (self._unscaled(_finite(y, "phenotype")) - self.mean) / self.sd

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """Bring transformed values, such as predictions, back to the phenotype's units.

        Finite for every finite z: below and above the range of g, which Box-Cox bounds on one
        side and the rank transformation on both, z is taken as the nearest value inside.

        Parameters
        ----------
        z : array of float

        Returns
        -------
        float64 array of the same shape

        Raises
        ------
        PhenotypeError
            Not finite numbers.
        """
        z = _finite(z, "transformed phenotype")
        largest = np.finfo(np.float64).max
        with np.errstate(over="ignore"):
            values = z * self.sd + self.mean
            if self.method == "boxcox":
                values = self._inverse_power(values) * self.scale - self.shift
            elif self.method == "rint":
                phenotypes, scores = self.table
                values = np.interp(values, scores, phenotypes)
        return np.clip(values, -largest, largest)

    def to_dict(self) -> dict[str, Any]:
        """The transformation as numbers, texts and lists, for JSON."""
        return {
            "method": self.method,
            "lambda": self.lambda_,
            "shift": self.shift,
            "scale": self.scale,
            "mean": self.mean,
            "sd": self.sd,
            "table": None if self.table is None else [column.tolist() for column in self.table],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Transform":
        """The transformation that `to_dict` described.

        Raises
        ------
        ModelError
            An entry is missing or not what it should be.
        """
        try:
            method, exponent, table = content["method"], content["lambda"], content["table"]
            numbers = {key: float(content[key]) for key in ("shift", "scale", "mean", "sd")}
            if table is not None:
                phenotypes, scores = (np.array(column, dtype=np.float64) for column in table)
                table = (phenotypes, scores)
            valid = (
                method in METHODS
                and all(np.isfinite(list(numbers.values())))
                and numbers["scale"] > 0
                and numbers["sd"] > 0
                and (exponent is not None) == (method == "boxcox")
                and (table is not None) == (method == "rint")
                and (exponent is None or isfinite(exponent))
                and (table is None or _is_table(*table))
            )
        except (KeyError, TypeError, ValueError, OverflowError) as problem:
            raise ModelError(_malformed(f"{type(problem).__name__} {problem}")) from problem
        if not valid:
            raise ModelError(_malformed("entries that contradict each other or are not finite"))
        return cls(method, lambda_=exponent, table=table, **numbers)

    def _unscaled(self, y: np.ndarray) -> np.ndarray:
        if self.method == "none":
            return y
        if self.method == "rint":
            return np.interp(y, *self.table)
        positive = y + self.shift
        if (positive <= 0).any():
            raise PhenotypeError(
                f"Box-Cox transformation: expected phenotypes above {-self.shift:g}, where the "
                f"transformation fitted to other samples ends, found {y.min():g}; use the "
                "transformation 'rint' or 'none'"
            )
        # in logarithms: the quotient itself may overflow
        logarithm = np.log(positive) - np.log(self.scale)
        if self.lambda_ == 0:
            return logarithm
        return np.expm1(self.lambda_ * logarithm) / self.lambda_

    def _inverse_power(self, values: np.ndarray) -> np.ndarray:
        from scipy.special import inv_boxcox

        # The range of the power is bounded by -1/lambda. One step inside, lambda * value + 1 is
        # positive in floating point too.
        if self.lambda_ > 0:
            values = np.maximum(values, np.nextafter(-1 / self.lambda_, 0))
        elif self.lambda_ < 0:
            values = np.minimum(values, np.nextafter(-1 / self.lambda_, 0))
        return inv_boxcox(values, self.lambda_)


def transform_phenotype(
    y: np.ndarray, method: str = "none", standardize: bool | None = None
) -> tuple[np.ndarray, Transform]:
    """Transform a phenotype, and remember how, so that predictions can be brought back.

    Parameters
    ----------
    y : (n,) array of float
        The phenotype of the samples in the analysis (training rows only), without missing values.
    method : {"none", "boxcox", "rint"}, default "none"
        "boxcox": ((y + shift) / scale) to the power lambda, minus 1, over lambda (the logarithm
        for lambda = 0), with the maximum-likelihood lambda in [-5, 5]. The shift is 0 if all
        phenotypes are positive; otherwise it brings the smallest to one standard deviation above
        zero. The scale is the geometric mean of y + shift: before a standardisation it changes
        nothing but rounding errors. With `standardize=False` it is 1.
        "rint": normal scores of ranks, Phi^-1((rank - 3/8) / (n + 1/4)); ties share their mean
        rank.
    standardize : bool, optional
        Whether to bring the result to mean 0 and population standard deviation 1 (ddof 0). By
        default True for "boxcox" and "rint" and False for "none".

    Returns
    -------
    values : (n,) float64 array
        A new array, equal to transform.forward(y).
    transform : Transform

    Raises
    ------
    PhenotypeError
        y is not one-dimensional, not numeric or empty, has a value that is not finite, is
        constant, or varies too little or too much for floating point.
    InputError
        An unknown method.

    References
    ----------
    Box and Cox (1964), An analysis of transformations, J. R. Stat. Soc. B 26. Blom (1958),
    Statistical estimates and transformed beta-variables.
    """
    method = as_choice("method", method, METHODS)
    if standardize is None:
        standardize = method != "none"
    standardize = as_switch("standardize", standardize)
    y = _check_phenotype(y)
    fields = {}
    with np.errstate(all="ignore"):  # the result is checked instead
        if method == "boxcox":
            fields = _fit_boxcox(y)
            if not standardize:
                fields["scale"] = 1.0
        elif method == "rint":
            fields = {"table": _normal_scores(y)}
        values = Transform(method, **fields).forward(y)
        mean, sd = _mean_and_sd(values)
    if not (np.isfinite(values).all() and np.isfinite(mean) and 0 < sd < np.inf):
        raise _unusable_range(y)
    transform = Transform(method, **fields, **({"mean": mean, "sd": sd} if standardize else {}))
    return transform.forward(y), transform


def _finite(values, what: str) -> np.ndarray:
    numbers = as_numbers(values, what, PhenotypeError)
    bad = numbers[~np.isfinite(numbers)]
    if bad.size:
        raise PhenotypeError(
            f"{what}: expected finite numbers, found {bad[0]} ({bad.size} in all); leave those "
            "samples out"
        )
    return numbers


def _check_phenotype(y: np.ndarray) -> np.ndarray:
    y = as_numbers(y, "phenotype", PhenotypeError)
    if y.ndim != 1 or not y.size:
        raise PhenotypeError(
            "phenotype: expected a one-dimensional array with a value per sample, found the "
            f"shape {y.shape}; pass one phenotype at a time"
        )
    bad = np.flatnonzero(~np.isfinite(y))
    if bad.size:
        raise PhenotypeError(
            f"phenotype: expected finite values, found {bad.size} that are not, the first "
            f"({y[bad[0]]}) at position {bad[0]}; remove these samples"
        )
    if y.min() == y.max():
        raise PhenotypeError(
            f"phenotype: expected at least two distinct values, found {y[0]:g} in all {y.size} "
            "samples; nothing can be learned from it"
        )
    return y


def _unusable_range(y: np.ndarray) -> PhenotypeError:
    return PhenotypeError(
        "phenotype: expected values whose variance floating point can hold, before and after the "
        f"transformation, found values from {float(y.min())!r} to {float(y.max())!r}; change "
        "their unit, or use another transformation"
    )


def _mean_and_sd(values: np.ndarray) -> tuple[float, float]:
    """Mean and population standard deviation, without overflow in the squares.

    Not a number for a constant, and where the deviations overflow.
    """
    mean = values.mean()
    deviations = values - mean
    largest = np.abs(deviations).max()
    return float(mean), float(largest * np.sqrt(np.mean((deviations / largest) ** 2)))


def _fit_boxcox(y: np.ndarray) -> dict[str, float]:
    from scipy.optimize import minimize_scalar

    shift = 0.0 if y.min() > 0 else _mean_and_sd(y)[1] - float(y.min())
    logs = np.log(y + shift)
    centre = logs.mean()
    if not np.isfinite(centre):
        raise _unusable_range(y)
    logs -= centre

    def half_log_variance(exponent: float) -> float:
        # Minus the log-likelihood over n. With the geometric mean as the unit its Jacobian is 1,
        # and with the largest power taken out no power overflows; expm1 keeps the digits of
        # powers near 0.
        if abs(exponent) < 1e-12:
            return np.log(_mean_and_sd(logs)[1])
        powers = exponent * logs
        largest = powers.max()
        sd = _mean_and_sd(np.expm1(powers - largest))[1]
        return np.log(sd) + largest - np.log(abs(exponent))

    best = minimize_scalar(
        half_log_variance, bounds=LAMBDA_BOUNDS, method="bounded", options={"xatol": 1e-8}
    )
    return {"lambda_": float(best.x), "shift": shift, "scale": float(np.exp(centre))}


def _normal_scores(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.special import ndtri

    phenotypes, counts = np.unique(y, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # the mean rank of each group of ties
    return phenotypes, ndtri((ranks - BLOM_OFFSET) / (y.size + 1 - 2 * BLOM_OFFSET))


def _is_table(phenotypes: np.ndarray, scores: np.ndarray) -> bool:
    return (
        phenotypes.ndim == scores.ndim == 1
        and phenotypes.size == scores.size > 0
        and bool(np.isfinite(phenotypes).all() and np.isfinite(scores).all())
        and bool((np.diff(phenotypes) > 0).all() and (np.diff(scores) > 0).all())
    )


def _malformed(found: str) -> str:
    return (
        f"phenotype transformation: expected the entries of Transform.to_dict, found {found}; "
        "save the model again"
    )

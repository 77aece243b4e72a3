"""Prediction: covariates, SNPs selected by the Lasso, and the random effect.

    y_hat = C* gamma + X* beta + K* V^-1 (y - C gamma - X beta)

With beta = 0 this is BLUP. X* is standardised by the training mean and sd; for the realised
relationship matrix K* = X* X' / (p scale), so that the random part is X* u with one vector of SNP
effects u = X' V^-1 (y - C gamma - X beta) / (p scale).
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import as_integer, as_number, as_numbers, as_switch, as_text
from lmmlasso_fast.display import Result
from lmmlasso_fast.errors import CovariateError, DataWarning, InputError, KinshipError, ModelError
from lmmlasso_fast.genotypes import Genotypes, rows_of
from lmmlasso_fast.kinship import Kinship
from lmmlasso_fast.path import LassoPath, as_grid, interpolate, interpolation
from lmmlasso_fast.preprocessing import Transform

if TYPE_CHECKING:
    import polars as pl

#: SNPs decoded at a time: few enough that they are still in the cache when they are multiplied.
_BLOCK = 128
#: The kinship is summed in float32: two matrices closer than this are the same one.
_SAME_MATRIX = 1e-5


@dataclass(frozen=True)
class Prediction(Result):
    """Predicted phenotypes of n* samples.

    Attributes
    ----------
    total : ndarray, shape (n*,)
        On the phenotype's own scale: the sum of the parts with the transform undone.
    covariates, snp, random : ndarray, shape (n*,)
        The parts, on the scale of the analysed (transformed) phenotype.
    """

    total: np.ndarray
    covariates: np.ndarray
    snp: np.ndarray
    random: np.ndarray

    def to_frame(self, samples: "pl.DataFrame | None" = None) -> "pl.DataFrame":
        """Return one row per sample: [FID IID] PRED PRED_COVARIATES PRED_SNP PRED_RANDOM.

        As P.pred.tsv, except that the SNPs' part is of standardised SNPs here and of dosages
        there; the difference is a constant, in PRED_COVARIATES there.
        """
        import polars as pl

        parts = {
            "PRED": self.total,
            "PRED_COVARIATES": self.covariates,
            "PRED_SNP": self.snp,
            "PRED_RANDOM": self.random,
        }
        frame = pl.DataFrame(parts)
        if samples is None:
            return frame
        return pl.concat([samples.select("FID", "IID"), frame], how="horizontal")


@dataclass(frozen=True)
class Model(Result):
    """All that prediction needs, without the training genotypes.

    Attributes
    ----------
    variants : polars.DataFrame
        CHROM, ID, POS, A1, A2 of the q SNPs that were offered to the model; fresh from
        `build_model` also ROW, their places among all p.
    mean, sd : ndarray, shape (q,)
        Training mean dosage and standard deviation.
    alphas : ndarray, shape (m,)
        Where the model can predict, and everywhere in between; decreasing.
    alpha_max : float
        Without active SNPs from here on upwards.
    coefs : ndarray, shape (q, m)
        scipy.sparse.csc_array of standardised SNP effects.
    gammas : ndarray, shape (c, m)
    covariate_names : tuple of str
        "intercept" first, if there is one.
    random : {"none", "snp", "sample"}
        No random effect, one SNP effect per SNP (realised relationship matrix), or one number per
        training sample, which needs the kinship of new with training samples.
    random_effects : ndarray, shape (q, m), (n, m) or (0, m)
    samples : polars.DataFrame or None
        Training samples (random = "sample", if they have ids).
    kinship_scale : float
        What a given kinship matrix was divided by.
    transform : Transform
    log_delta, h2 : float or None
    n_samples : int
    phenotype : str
    covariate_levels : dict
        Levels of each categorical covariate in training; the indicator of one is "column=level".
    default_alpha : float or None
        Where predictions are made if no alpha is asked for; None: at the last.
    whitened_factors : bool
        The penalty factors were the lengths of the whitened SNPs.
    """

    variants: "pl.DataFrame" = field(repr=False)
    mean: np.ndarray = field(repr=False)
    sd: np.ndarray = field(repr=False)
    alphas: np.ndarray
    alpha_max: float
    coefs: Any = field(repr=False)
    gammas: np.ndarray = field(repr=False)
    covariate_names: tuple[str, ...]
    random: str
    random_effects: np.ndarray = field(repr=False)
    samples: "pl.DataFrame | None" = field(repr=False)
    kinship_scale: float
    transform: Transform
    log_delta: float | None
    h2: float | None
    n_samples: int
    phenotype: str = "phenotype"
    covariate_levels: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    default_alpha: float | None = None
    whitened_factors: bool = False

    def to_frame(self, alpha: float | None = None) -> "pl.DataFrame":
        """Return one row per SNP that is active at an alpha: ID A1 BETA, as P.score.tsv."""
        import polars as pl

        coef = self.coef_at(alpha)
        snps = np.flatnonzero(coef)
        beta = pl.Series("BETA", coef[snps] / self.sd[snps])
        return self.variants[snps].select("ID", "A1").with_columns(beta)

    def predict(
        self,
        genotypes: Genotypes,
        *,
        alpha: float | None = None,
        covariates: ArrayLike | None = None,
        kinship: ArrayLike | None = None,
        allow_missing: bool = False,
    ) -> Prediction:
        """Predict the samples of `genotypes`.

        Parameters
        ----------
        genotypes : Genotypes
            SNPs in any order, matched by id and alleles; an allele counted the other way round is
            flipped, other SNPs are ignored.
        alpha : float, optional
            On or between the model's alphas; default `default_alpha`.
        covariates : array_like, shape (n*, k), optional
            The columns `covariate_names` but for the intercept, in that order.
        kinship : array_like, shape (n*, n), optional
            Kinship of new (rows) with training samples (columns), on the scale of the matrix that
            was given for training; needed unless that was the realised relationship matrix.
        allow_missing : bool, default False
            Put SNPs that the new genotypes lack at the training mean instead of refusing.

        Raises
        ------
        ModelError
            A SNP of the model that is absent, has other alleles, or cannot be told apart; genotypes
            whose products with its effects are infinite.
        CovariateError, KinshipError
            Missing, superfluous, of the wrong shape, or of a size whose products are infinite.
        InputError
            alpha below the model's last.
        """
        allow_missing = as_switch("allow_missing", allow_missing)
        where, flip = match_variants(self.variants, genotypes.variants, allow_missing)
        return self._predict(genotypes, where, flip, alpha, covariates, kinship)

    def predict_in_order(
        self,
        genotypes: Genotypes,
        *,
        alpha: float | None = None,
        covariates: ArrayLike | None = None,
        kinship: ArrayLike | None = None,
    ) -> Prediction:
        """Predict from genotypes whose SNPs are, place by place, the training ones.

        For arrays, which have no ids: `genotypes` has p columns, and the model remembers which of
        them were offered to it. The parameters are those of `predict`.

        Raises
        ------
        ModelError
            Fewer SNPs than the model was trained on, or a model from a file, which has no places,
            only ids.
        """
        if "ROW" not in self.variants.columns:
            raise ModelError(
                "a model from a file knows its SNPs by id, not by place; expected predict(...)"
            )
        where = self.variants["ROW"].to_numpy()
        if genotypes.n_variants <= where.max(initial=-1):
            raise ModelError(
                f"genotypes: expected the SNPs of training, at least {where.max() + 1}, found "
                f"{genotypes.n_variants}"
            )
        flip = np.zeros(len(where), dtype=bool)
        return self._predict(genotypes, where, flip, alpha, covariates, kinship)

    def _weights(self, alpha: float | None) -> dict[int, float]:
        if alpha is None:
            alpha = self.alphas[-1] if self.default_alpha is None else self.default_alpha
        return interpolation(self.alphas, alpha, self.alpha_max)

    def coef_at(self, alpha: float | None = None) -> np.ndarray:
        """Return the q standardised SNP effects at an alpha (default: `default_alpha`)."""
        return interpolate(self._weights(alpha), lambda k: self.coefs[:, [k]].toarray()[:, 0])

    def _predict(self, genotypes, where, flip, alpha, covariates, kinship) -> Prediction:
        n = genotypes.n_samples
        weights = self._weights(alpha)
        beta = self.coef_at(alpha)
        gamma = interpolate(weights, lambda k: self.gammas[:, k])
        effect = interpolate(weights, lambda k: self.random_effects[:, k])

        effects = np.column_stack([beta, effect if self.random == "snp" else np.zeros_like(beta)])
        if kinship is not None and self.random != "sample":
            raise KinshipError(
                "kinship: this model computes the kinship of new samples from their genotypes; "
                "expected none, found one"
            )
        with np.errstate(over="ignore", invalid="ignore"):  # the sums are checked instead
            parts = self._snp_products(genotypes, where, flip, effects)
            _require_finite(parts, "genotypes", "SNP effects", ModelError)
            random = parts[:, 1]
            if self.random == "sample":
                random = self._kinship_rows(kinship, n) @ effect
                _require_finite(random, "kinship", "random effects", KinshipError)
            fixed = self._covariate_rows(covariates, n) @ gamma
            _require_finite(fixed, "covariates", "covariate effects", CovariateError)
            total = self.transform.inverse(fixed + parts[:, 0] + random)
        return Prediction(total, fixed, parts[:, 0], random)

    def _snp_products(self, genotypes, where, flip, effects) -> np.ndarray:
        """X* effects, X* standardised by the training statistics, absent SNPs at the mean."""
        p = genotypes.n_variants
        there = where >= 0
        mean, sd = np.zeros(p), np.zeros(p)
        # copies of the other allele: ((2 - d) - mean) / sd = -(d - (2 - mean)) / sd
        mean[where[there]] = np.where(flip, 2 - self.mean, self.mean)[there]
        sd[where[there]] = self.sd[there]
        effects = np.where(flip[:, None], -effects, effects)
        used = np.flatnonzero(there & effects.any(axis=1))
        out = np.zeros((genotypes.n_samples, effects.shape[1]))
        for start in range(0, len(used), _BLOCK):
            rows = used[start : start + _BLOCK]
            block = genotypes.columns(where[rows], statistics=(mean, sd))
            out += block @ effects[rows]
        return out

    def _covariate_rows(self, covariates, n: int) -> np.ndarray:
        has_intercept = self.covariate_names[:1] == ("intercept",)
        names = self.covariate_names[has_intercept:]
        given = np.empty((n, 0))
        if covariates is not None:
            given = as_numbers(covariates, "covariates", CovariateError, copy=False)
        if given.ndim == 1:
            given = given[:, None]
        if given.shape != (n, len(names)) or not np.isfinite(given).all():
            raise CovariateError(
                f"covariates: expected {n} finite rows of {len(names)} columns "
                f"({', '.join(names) or 'none'}), found shape {given.shape}"
            )
        return np.column_stack([np.ones(n), given]) if has_intercept else given

    def _kinship_rows(self, kinship, n: int) -> np.ndarray:
        if kinship is None:
            raise KinshipError(
                "kinship: this model was trained with a given kinship matrix; expected the "
                f"kinship of the {n} new with the {self.n_samples} training samples, found none; "
                "give a matrix of both with --kinship or --grm (kinship=...)"
            )
        rows = as_numbers(kinship, "kinship", KinshipError, copy=False)
        if rows.shape != (n, self.n_samples) or not np.isfinite(rows).all():
            raise KinshipError(
                f"kinship: expected finite numbers of shape ({n}, {self.n_samples}), new by "
                f"training samples, found shape {rows.shape}"
            )
        return rows / self.kinship_scale


def _require_finite(part: np.ndarray, what: str, effects: str, error: type[InputError]) -> None:
    if not np.isfinite(part).all():
        raise error(
            f"{what}: expected values whose products with the model's {effects} floating point can "
            "hold, found sums that are infinite; give them in the units of the training data"
        )


def build_model(
    path: LassoPath,
    genotypes: Genotypes,
    *,
    transform: Transform | None = None,
    alphas: ArrayLike | None = None,
    phenotype: str = "phenotype",
    covariate_levels: Mapping[str, Sequence[str]] | None = None,
    default_alpha: float | None = None,
    n_threads: int = 1,
) -> Model:
    """Make a model that predicts from new genotypes alone (realised relationship matrix).

    Parameters
    ----------
    path : LassoPath
    genotypes : Genotypes
        What the path was fitted on.
    transform : Transform, optional
        What was done to the phenotype before (`transform_phenotype`); predictions undo it.
    alphas : array_like, optional
        Keep these alphas (on or between grid points). Default: those of the path. With the
        realised relationship matrix each costs one number per SNP.
    phenotype : str
    covariate_levels : dict of str to sequence of str, optional
        Levels of the categorical covariates, kept in the model for whoever encodes new samples.
    default_alpha : float, optional
        Where the model predicts if no alpha is asked for; default the last.
    n_threads : int
        Threads of the passes over the genotypes.

    Notes
    -----
    A realised relationship matrix of other SNPs, or of a larger set of samples, is not X X' / p of
    these genotypes: the model then needs the kinship of new samples, as with any given matrix.
    """
    phenotype, n_threads = as_text("phenotype", phenotype), as_integer("n_threads", n_threads, 1)
    offered = np.flatnonzero(genotypes.included)
    null = path.null
    kind = "none"
    if null is not None:
        kind = "snp" if _is_rrm_of(null.kinship, genotypes, offered, n_threads) else "sample"
    alphas = path.alphas if alphas is None else alphas
    alphas = np.unique(as_grid(alphas))[::-1].copy()
    for alpha in alphas[[0, -1]]:
        interpolation(path.alphas, alpha, path.alpha_max, "alphas")
    if default_alpha is not None:
        default_alpha = as_number("default_alpha", default_alpha)
        interpolation(alphas, default_alpha, path.alpha_max, "default_alpha")

    from scipy.sparse import csc_array, hstack

    coefs, gammas, duals = [], [], []
    for alpha in alphas:
        coef, gamma, dual = path.at(alpha)
        coefs.append(csc_array(coef[offered, None]))
        gammas.append(gamma)
        duals.append(dual)
    dual = np.column_stack(duals)
    effects = np.empty((0, len(alphas)))
    if kind == "snp":
        scale = len(offered) * null.kinship.scale
        effects = genotypes.gradient(dual, n_threads=n_threads)[offered] / scale
    elif kind == "sample":
        effects = dual
    from polars import Series

    return Model(
        variants=rows_of(genotypes.variants, offered).with_columns(Series("ROW", offered)),
        mean=genotypes.mean[offered],
        sd=genotypes.sd[offered],
        alphas=alphas,
        alpha_max=path.alpha_max,
        coefs=hstack(coefs, format="csc"),
        gammas=np.column_stack(gammas),
        covariate_names=path.design.names,
        random=kind,
        random_effects=effects,
        samples=null.kinship.samples if kind == "sample" else None,
        kinship_scale=1.0 if null is None else null.kinship.scale,
        transform=Transform("none") if transform is None else transform,
        log_delta=None if null is None else null.log_delta,
        h2=None if null is None else null.h2,
        n_samples=path.n_samples,
        phenotype=phenotype,
        covariate_levels={name: tuple(levels) for name, levels in (covariate_levels or {}).items()},
        default_alpha=default_alpha,
        whitened_factors=path.whitened_factors,
    )


def _is_rrm_of(kinship: Kinship, genotypes: Genotypes, offered: np.ndarray, n_threads: int) -> bool:
    """Whether K = X X' / (p scale) for the offered SNPs, probed by R'K R, eight random R."""
    if kinship.estimator != "rrm" or kinship.n_variants != len(offered):
        return False
    probes = np.random.default_rng(0).standard_normal((genotypes.n_samples, 8))
    products = genotypes.gradient(probes, n_threads=n_threads)[offered]
    found = products.T @ products / (len(offered) * kinship.scale)
    expected = probes.T @ kinship.matrix @ probes
    return float(np.abs(found - expected).max()) <= _SAME_MATRIX * float(np.abs(expected).max())


def match_variants(wanted, offered, allow_missing: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Find SNPs by id and alleles.

    Parameters
    ----------
    wanted, offered : polars.DataFrame
        CHROM, ID, POS, A1, A2. The "." of a SNP without id is no id: its chromosome and position
        are. If an id occurs twice, all are told apart by these, too, and if need be by their pair
        of alleles.
    allow_missing : bool
        Give -1 for SNPs that are not there instead of raising.

    Returns
    -------
    where : ndarray of int64
        For each wanted SNP its row in `offered`, or -1.
    flip : ndarray of bool
        A1 and A2 are the other way round.

    Raises
    ------
    ModelError
        Absent SNPs, other alleles, or ids that do not identify a SNP.
    """
    import polars as pl

    # no id has a tab
    place = pl.concat_str(pl.lit("."), "CHROM", "POS", separator="\t")
    keys = [
        pl.when(pl.col("ID") == ".").then(place).otherwise("ID").alias("NAME"),
        pl.min_horizontal("A1", "A2").alias("first"),
        pl.max_horizontal("A1", "A2").alias("second"),
    ]
    left = wanted.with_columns(keys)
    right = offered.with_columns(keys).select(
        *("CHROM", "POS", "NAME", "first", "second"),
        pl.col("A1").alias("B1"),
        pl.col("A2").alias("B2"),
        pl.row_index("where"),
    )
    by_place = ["CHROM", "POS", "NAME"]
    for keys in (["NAME"], by_place, [*by_place, "first", "second"]):
        candidates = right.join(left, on=keys, how="semi")
        doubled = candidates.select(keys).is_duplicated()
        if not doubled.any() and not left.select(keys).is_duplicated().any():
            break
    else:
        raise ModelError(
            "SNP ids: expected ids that identify a SNP, found SNPs that share chromosome, "
            f"position, id and alleles ({int(doubled.sum())} rows of the genotypes); make the ids "
            "unique before fitting and predicting"
        )
    candidates = candidates.select(*keys, "B1", "B2", "where")
    joined = left.join(candidates, on=keys, how="left", maintain_order="left")
    where = joined["where"].fill_null(-1).to_numpy().astype(np.int64)
    absent = where < 0
    same = joined.select((pl.col("A1") == pl.col("B1")) & (pl.col("A2") == pl.col("B2")))
    swapped = joined.select((pl.col("A1") == pl.col("B2")) & (pl.col("A2") == pl.col("B1")))
    same = same.to_series().fill_null(False).to_numpy()
    flip = swapped.to_series().fill_null(False).to_numpy() & ~same
    other = ~absent & ~same & ~flip
    if other.any():
        row = joined.row(int(np.flatnonzero(other)[0]), named=True)
        raise ModelError(
            f"SNP {row['ID']}: expected the alleles {row['A1']}/{row['A2']} of the model, found "
            f"{row['B1']}/{row['B2']} ({int(other.sum())} SNPs in all); bring the genotypes to the "
            "strand and the alleles of the training data, or leave these SNPs out of them"
        )
    if absent.all() and len(wanted) and not allow_missing:
        raise ModelError(
            f"ids of SNPs: expected those of the model, the first is {wanted['ID'][0]}, found none "
            f"of its {len(wanted)} in the genotypes; rename the SNPs as in the training data"
        )
    if absent.any() and not allow_missing:
        first = wanted["ID"][int(np.flatnonzero(absent)[0])]
        raise ModelError(
            f"{int(absent.sum())} of the model's {len(wanted)} SNPs are not in the genotypes, the "
            f"first is {first}; pass --allow-missing (allow_missing=True) to put them at the "
            "training mean"
        )
    if absent.all() and len(wanted):
        warnings.warn(
            f"none of the model's {len(wanted)} SNPs is in the genotypes: all are at the training "
            "mean, and every sample has the same prediction from SNPs",
            DataWarning,
            stacklevel=2,
        )
    return where, flip

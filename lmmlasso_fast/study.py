"""One analysis to be refitted on parts of its samples: what folds, replicates and splits share."""

from dataclasses import dataclass, field, replace

import numpy as np

from lmmlasso_fast.checks import as_choice, as_switch
from lmmlasso_fast.covariates import Design, as_design
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.kinship import Kinship, as_kinship, kinship
from lmmlasso_fast.null_model import (
    NullModel,
    as_null_options,
    as_phenotype,
    fit_null_on_grid,
)
from lmmlasso_fast.path import PathOptions
from lmmlasso_fast.preprocessing import METHODS, Transform, transform_phenotype
from lmmlasso_fast.problem import as_penalty_factors, check_same_samples


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the samples, with the null model of these alone.

    Attributes
    ----------
    index : ndarray of int64, shape (n',)
        The samples, among those of the study.
    genotypes : Genotypes
        Standardised over these samples.
    y : ndarray, shape (n',)
        Their phenotype, transformed.
    transform : Transform
        What was done to it, from these samples.
    design : Design
        Covariates without those that are collinear here.
    null : NullModel or None
        None: no random effect.
    """

    index: np.ndarray
    genotypes: Genotypes
    y: np.ndarray
    transform: Transform
    design: Design
    null: NullModel | None


@dataclass(frozen=True, eq=False)
class Study:
    """Data and options, checked once; small enough to be sent to workers once.

    Attributes
    ----------
    genotypes : Genotypes, n samples x p SNPs
        Without its tables: tasks do not look at names.
    y : ndarray, shape (n,)
    design : Design
    kinship : Kinship or None
        None: computed anew from the samples of each part, if there is a random effect.
    random_effect : bool
    method, log_delta
        Of the null model, as in `fit_null`.
    options : PathOptions
    transform, standardize
        Of the phenotype of each part, as in `transform_phenotype`.
    """

    genotypes: Genotypes
    y: np.ndarray = field(repr=False)
    design: Design = field(repr=False)
    kinship: Kinship | None
    random_effect: bool
    method: str
    log_delta: float | None
    options: PathOptions
    transform: str = "none"
    standardize: bool | None = None

    @property
    def n_samples(self) -> int:
        return len(self.y)

    def part(self, index: np.ndarray) -> Part:
        """Return some of the samples with their own statistics, kinship, delta and transform.

        Raises
        ------
        LMMLassoError
            What these samples do not allow: a constant phenotype, no degree of freedom, no SNP.
        """
        genotypes = self.genotypes.subset(index)
        y, transform = transform_phenotype(self.y[index], self.transform, self.standardize)
        y = as_phenotype(y)
        design = self.design.subset(index)
        null = None
        if self.random_effect:
            if self.kinship is None:
                K = kinship(genotypes, n_threads=1)
            else:
                K = self.kinship.subset(index)
            null = fit_null_on_grid(y, K, design, self.method, self.log_delta)
        return Part(index, genotypes, y, transform, design, null)


def make_study(
    genotypes: Genotypes,
    y,
    K=None,
    *,
    covariates=None,
    covariate_names=None,
    intercept: bool = True,
    random_effect: bool = True,
    method: str = "ml",
    log_delta: float | None = None,
    options: PathOptions | None = None,
    transform: str = "none",
    standardize: bool | None = None,
) -> Study:
    """Check everything that does not depend on the part.

    Raises
    ------
    InputError
        And its subclasses, as `fit_null` and `lasso_path` raise them.
    """
    y = as_phenotype(y, genotypes.n_samples)
    log_delta = as_null_options(method, log_delta)
    random_effect = as_switch("random_effect", random_effect)
    as_choice("transform", transform, METHODS)
    if standardize is not None:
        standardize = as_switch("standardize", standardize)
    if not random_effect and (method != "ml" or log_delta is not None):
        raise InputError(
            f"method, log_delta: expected none without a random effect, found {method!r} and "
            f"{log_delta!r}; leave them out"
        )
    design = as_design(covariates, len(y), intercept=intercept, names=covariate_names)
    if K is not None:
        if not random_effect:
            raise InputError("K: expected none without a random effect, found one")
        K = as_kinship(K)
        if K.n_samples != len(y):
            raise InputError(
                f"K: expected the {len(y)} samples of the genotypes, found {K.n_samples}; take "
                "the same subset of both"
            )
        check_same_samples(genotypes, K)
        K = replace(K, samples=None)
    options = PathOptions() if options is None else options
    as_penalty_factors(genotypes, options.penalty_factors)
    return Study(
        genotypes=genotypes.without_tables(),
        y=y,
        design=design,
        kinship=K,
        random_effect=random_effect,
        method=method,
        log_delta=log_delta,
        options=options,
        transform=transform,
        standardize=standardize,
    )

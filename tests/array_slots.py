"""One slot for each array argument of each public function, for test_array_inputs.py.

The numbers are whole and small, so that every type can hold them.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from problems import variant_table

import lmmlasso_fast as ll
from lmmlasso_fast.dense import DenseGenotypes
from lmmlasso_fast.errors import ConvergenceWarning, DataWarning

N, P = 16, 12
RNG = np.random.default_rng(20261)
D = RNG.integers(0, 3, (N, P)).astype(float)
Y = (RNG.integers(0, 9, N) + 2 * D[:, 3]).astype(float)
C = RNG.integers(0, 9, (N, 2)).astype(float)
CARRIED = RNG.integers(0, 2, (N, 20))
K = (CARRIED @ CARRIED.T).astype(float)
PI = RNG.integers(1, 4, P).astype(float)
INDEX = np.array([1, 3, 4, 6, 7, 8, 10, 12, 15])
SNPS = np.array([0, 2, 3, 5, 7])
ALPHAS = np.array([3.0, 2.0, 1.0])
GROUPS = np.arange(N, dtype=float) // 2

GENOTYPES = ll.Genotypes.from_array(D, variants=variant_table(P, ("1", "2")))
DOSAGES = ll.DosageGenotypes.from_dosages(D)
NULL = ll.fit_null(Y, K, C)
PATH = ll.lasso_path(GENOTYPES, Y, NULL, n_alphas=5)
MODEL = ll.build_model(PATH, GENOTYPES)
PLAIN = ll.build_model(ll.lasso_path(GENOTYPES, Y, alphas=[1.0]), GENOTYPES)
FITTED = ll.LMMLasso(alpha=0.5).fit(D, Y, K=K, covariates=C)
TRANSFORM = ll.transform_phenotype(Y + 1, "boxcox")[1]
GENES = pl.DataFrame({"CHROM": ["1"], "START": [15], "END": [42]})
HITS = ll.evaluation.hits(ll.evaluation.rank_snps(PI), [3], GENOTYPES, window=10)


@dataclass(frozen=True, eq=False)
class Slot:
    """One argument: `call(value)` returns arrays; `takes` are those of `strange` that are no error.

    `errors` are what else may be raised, where another library has checked before us.
    """

    name: str
    value: np.ndarray
    call: Callable = field(repr=False)
    takes: str = ""
    errors: tuple = ()

    def __str__(self):
        return self.name.replace(" ", "-")


def of_null(null):
    return [null.log_delta, null.sigma_g2, null.log_likelihood, null.gamma, null.profile.nll]


def of_path(path):
    return [path.alphas, path.coefs.toarray(), path.gammas, path.dual_gaps, path.dual]


def of_scan(scan):
    return [scan.beta, scan.se, scan.chisq, scan.log10p]


def of_cv(cv):
    return [cv.explained_variance, cv.se, cv.log_delta, cv.path.coefs.toarray()]


def of_stability(found):
    return [found.frequency, found.counts, found.group_frequency]


def of_genotypes(genotypes):
    return [
        genotypes.mean,
        genotypes.sd,
        genotypes.columns(np.arange(genotypes.n_variants)),
        genotypes.gradient(np.arange(genotypes.n_samples, dtype=float)),
    ]


def of_estimator(model):
    return [model.coef_, model.intercept_, model.covariate_coef_, model.dual_gap_]


def cv(**options):
    y, kinship = options.pop("y", Y), options.pop("K", K)
    return of_cv(
        ll.cross_validate(
            GENOTYPES, y, kinship, **({"n_folds": 3, "n_alphas": 4, "n_jobs": 1} | options)
        )
    )


def stability(**options):
    y, kinship = options.pop("y", Y), options.pop("K", K)
    options = {"n_active": 3, "n_replicates": 4, "n_jobs": 1} | options
    return of_stability(ll.stability_selection(GENOTYPES, y, kinship, **options))


def splits(**options):
    y, kinship = options.pop("y", Y), options.pop("K", K)
    options = {"n_splits": 2, "n_active": 2, "n_jobs": 1} | options
    return [ll.multi_split(GENOTYPES, y, kinship, **options).p_values]


def refit(y=Y, **options):
    found = ll.refit_path(GENOTYPES, y, NULL, **({"n_alphas": 3} | options))
    return [found.alphas, found.h2, found.coefs.toarray(), found.dual_gaps]


def compat(**options):
    given = {"X": D, "K": K, "y": Y} | options
    return [ll.compat.train(**given, mu=9.0, numintervals=9)["weights"]]


def compat_predict(**options):
    given = {"y_t": Y, "X_t": D, "X_v": D[:4], "K_tt": K, "K_vt": K[:4], "w": PI} | options
    return [ll.compat.predict(**given, ldelta=0.0)]


def estimator(X=D, y=Y, options=None, **data):
    return of_estimator(ll.LMMLasso(alpha=0.5, **(options or {})).fit(X, y, **({"K": K} | data)))


def estimator_cv(X=D, y=Y, options=None, **data):
    options = {"cv": 3, "n_alphas": 4, "n_jobs": 1} | (options or {})
    return of_estimator(ll.LMMLassoCV(**options).fit(X, y, **({"K": K} | data)))


SKLEARN = (ValueError, TypeError)
#: Labels of groups are compared, not computed with.
LABELS = "absent inf minus-inf text numeric-text beyond-float longdouble-beyond-float"
SLOTS = [
    # genotypes: NaN is a missing one, and any two-dimensional array has some length
    Slot("Genotypes.from_array X", D, lambda v: of_genotypes(ll.Genotypes.from_array(v)),
         "nan none masked short", (TypeError,)),
    Slot("from_dosages X", D, lambda v: of_genotypes(ll.DosageGenotypes.from_dosages(v)),
         "nan none masked short", (TypeError,)),
    Slot("DenseGenotypes X", D, lambda v: of_genotypes(DenseGenotypes(v)),
         "nan none masked short", (TypeError,)),
    Slot("gradient v", Y, lambda v: [GENOTYPES.gradient(v)], "2d"),
    Slot("DosageGenotypes gradient v", Y, lambda v: [DOSAGES.gradient(v)], "2d"),
    Slot("columns index", SNPS, lambda v: [GENOTYPES.columns(v)], "short empty"),
    Slot("DosageGenotypes columns index", SNPS, lambda v: [DOSAGES.columns(v)], "short empty"),
    Slot("subset samples", INDEX, lambda v: of_genotypes(GENOTYPES.subset(v)), "short"),
    Slot("Kinship.subset index", INDEX, lambda v: [NULL.kinship.subset(v).matrix], "short"),
    # kinship
    Slot("Kinship.from_matrix A", K, lambda v: [ll.Kinship.from_matrix(v).matrix]),
    Slot("decompose K", K, lambda v: [ll.decompose(v).s]),
    Slot("fit_null K", K, lambda v: of_null(ll.fit_null(Y, v))),
    Slot("cross_validate K", K, lambda v: cv(K=v), "absent"),
    Slot("stability_selection K", K, lambda v: stability(K=v), "absent"),
    Slot("multi_split K", K, lambda v: splits(K=v), "absent"),
    Slot("kinship_groups K", K, lambda v: [ll.kinship_groups(v, 0.85, 2)]),
    Slot("simulate_on K", K, lambda v: [
        ll.simulation.simulate_on(GENOTYPES, n_causal=2, K=v, seed=1).y], "absent"),
    Slot("predict kinship", K[:4], lambda v: [
        MODEL.predict_in_order(GENOTYPES.subset(np.arange(4)), covariates=C[:4], kinship=v).total]),
    # phenotype
    Slot("fit_null y", Y, lambda v: of_null(ll.fit_null(v, K))),
    Slot("lasso_path y", Y, lambda v: of_path(ll.lasso_path(GENOTYPES, v, NULL, n_alphas=5))),
    Slot("association_scan y", Y, lambda v: of_scan(ll.association_scan(GENOTYPES, v, NULL))),
    Slot("association_scan_loco y", Y, lambda v: of_scan(ll.association_scan_loco(GENOTYPES, v))),
    Slot("cross_validate y", Y, lambda v: cv(y=v)),
    Slot("stability_selection y", Y, lambda v: stability(y=v)),
    Slot("multi_split y", Y, lambda v: splits(y=v)),
    Slot("refit_path y", Y, lambda v: refit(y=v)),
    Slot("calibrated_alpha y", Y, lambda v: [
        ll.calibrated_alpha(GENOTYPES, v, NULL, n_draws=99).alpha]),
    Slot("marginal_fdr y", Y, lambda v: [ll.marginal_fdr(PATH, GENOTYPES, v)]),
    Slot("variance_split y", Y, lambda v: [ll.variance_split(PATH, GENOTYPES, v).snp]),
    Slot("transform_phenotype y", Y, lambda v: [ll.transform_phenotype(v, "rint")[0]], "short"),
    Slot("Transform.forward y", Y, lambda v: [TRANSFORM.forward(v)], "short 2d 0d empty"),
    Slot("Transform.inverse z", Y, lambda v: [TRANSFORM.inverse(v)], "short 2d 0d empty"),
    Slot("simulate_on background", Y, lambda v: [
        ll.simulation.simulate_on(GENOTYPES, n_causal=2, background=v, seed=1).y], "absent"),
    # covariates
    Slot("fit_null covariates", C, lambda v: of_null(ll.fit_null(Y, K, v)), "absent"),
    Slot("lasso_path covariates", C, lambda v: of_path(
        ll.lasso_path(GENOTYPES, Y, covariates=v, n_alphas=5)), "absent"),
    Slot("association_scan covariates", C, lambda v: of_scan(
        ll.association_scan(GENOTYPES, Y, covariates=v)), "absent"),
    Slot("association_scan_loco covariates", C, lambda v: of_scan(
        ll.association_scan_loco(GENOTYPES, Y, covariates=v)), "absent"),
    Slot("cross_validate covariates", C, lambda v: cv(covariates=v), "absent"),
    Slot("stability_selection covariates", C, lambda v: stability(covariates=v), "absent"),
    Slot("multi_split covariates", C, lambda v: splits(covariates=v), "absent"),
    Slot("calibrated_alpha covariates", C, lambda v: [
        ll.calibrated_alpha(GENOTYPES, Y, n_draws=99, covariates=v).alpha], "absent"),
    Slot("whitened_norms covariates", C, lambda v: [
        ll.whitened_norms(GENOTYPES, covariates=v)], "absent"),
    Slot("predict covariates", C, lambda v: [
        MODEL.predict_in_order(GENOTYPES, covariates=v, kinship=K).total]),
    # numbers per SNP, penalties
    Slot("lasso_path penalty_factors", PI, lambda v: of_path(
        ll.lasso_path(GENOTYPES, Y, NULL, n_alphas=5, penalty_factors=v)), "absent inf"),
    Slot("cross_validate penalty_factors", PI, lambda v: cv(penalty_factors=v), "absent inf"),
    Slot("stability_selection penalty_factors", PI, lambda v: stability(penalty_factors=v),
         "absent inf"),
    Slot("multi_split penalty_factors", PI, lambda v: splits(penalty_factors=v), "absent inf"),
    Slot("refit_path penalty_factors", PI, lambda v: refit(penalty_factors=v), "absent inf"),
    Slot("calibrated_alpha penalty_factors", PI, lambda v: [
        ll.calibrated_alpha(GENOTYPES, Y, n_draws=99, penalty_factors=v).alpha], "absent inf"),
    Slot("whitened_norms penalty_factors", PI, lambda v: [
        ll.whitened_norms(GENOTYPES, penalty_factors=v)], "absent inf"),
    Slot("lasso_path alphas", ALPHAS, lambda v: of_path(
        ll.lasso_path(GENOTYPES, Y, NULL, alphas=v)), "absent 0d short"),
    Slot("cross_validate alphas", ALPHAS, lambda v: cv(alphas=v), "absent 0d short"),
    Slot("stability_selection alphas", ALPHAS, lambda v: stability(alphas=v), "absent 0d short"),
    Slot("refit_path fractions", ALPHAS / 4, lambda v: refit(fractions=v), "absent 0d short"),
    Slot("build_model alphas", ALPHAS[1:] / 4, lambda v: [
        ll.build_model(PATH, GENOTYPES, alphas=v).gammas], "absent 0d short"),
    Slot("marginal_fdr norms", PI, lambda v: [
        ll.marginal_fdr(PATH, GENOTYPES, Y, v)], "absent"),
    Slot("variance_by_snp coef", PI, lambda v: [ll.variance_by_snp(GENOTYPES, v, 9.0)]),
    Slot("clump snps", SNPS, lambda v: [ll.clump(GENOTYPES, v, PI[:5]).group]),
    Slot("clump score", PI[:5], lambda v: [ll.clump(GENOTYPES, np.arange(5), v).group],
         "inf minus-inf"),
    # samples
    Slot("make_folds groups", GROUPS, lambda v: [
        fold.test for fold in ll.make_folds(N, 3, groups=v)], LABELS),
    Slot("make_folds splitter", INDEX, lambda v: [
        fold.train for fold in ll.make_folds(N, splitter=[(v, [0, 2])])], "short"),
    Slot("cross_validate groups", GROUPS, lambda v: cv(groups=v), LABELS),
    Slot("multi_split groups", GROUPS, lambda v: splits(groups=v), LABELS),
    # evaluation
    Slot("rank_snps scores", PI, lambda v: [ll.evaluation.rank_snps(v).snps],
         "nan none masked inf minus-inf short empty"),
    Slot("hits ranking", SNPS, lambda v: [
        ll.evaluation.hits(v, [3], GENOTYPES, window=10).snps], "short empty"),
    Slot("enrichment snps", SNPS, lambda v: [
        ll.evaluation.enrichment(v, GENOTYPES, GENES, window=5, n_permutations=9).share],
         "short empty"),
    Slot("hits causal", SNPS, lambda v: [
        ll.evaluation.hits(ll.evaluation.rank_snps(PI), v, GENOTYPES, window=10).snps],
         "short empty"),
    Slot("adjacent_share snps", SNPS, lambda v: [
        ll.evaluation.adjacent_share(v, GENOTYPES)], "short empty"),
    Slot("mean_interval values", Y, lambda v: [ll.evaluation.mean_interval(v).low], "short"),
    Slot("paired_interval a", Y, lambda v: [ll.evaluation.paired_interval(v, PI[0] * Y).low]),
    Slot("paired_interval b", Y, lambda v: [ll.evaluation.paired_interval(PI[0] * Y, v).low]),
    Slot("precision_recall at", ALPHAS / 4, lambda v: [
        ll.evaluation.precision_recall(HITS).at(v)], "short 0d 2d empty"),
    # the published script's functions
    Slot("compat.train X", D, lambda v: compat(X=v)),
    Slot("compat.train K", K, lambda v: compat(K=v)),
    Slot("compat.train y", Y, lambda v: compat(y=v)),
    *(Slot(f"compat.predict {name}", value, lambda v, name=name: compat_predict(**{name: v}))
      for name, value in {"y_t": Y, "X_t": D, "X_v": D[:4], "K_tt": K, "K_vt": K[:4],
                          "w": PI}.items()),
    # scikit-learn checks X and y of the estimators
    *(Slot(f"{kind} {name}", value, lambda v, f=f, name=name: f(**{name: v}), takes, errors)
      for kind, f in {"LMMLasso": estimator, "LMMLassoCV": estimator_cv}.items()
      for name, value, takes, errors in [
          ("X", D, "nan none masked numeric-text", SKLEARN), ("y", Y, "numeric-text", SKLEARN),
          ("K", K, "absent", ()), ("covariates", C, "absent", ())]),
    Slot("LMMLasso penalty_factors", PI, lambda v: estimator(options={"penalty_factors": v}),
         "absent inf"),
    Slot("LMMLassoCV alphas", ALPHAS, lambda v: estimator_cv(options={"alphas": v}),
         "absent 0d short"),
    Slot("LMMLassoCV groups", GROUPS, lambda v: estimator_cv(groups=v),
         LABELS),
    Slot("LMMLasso.predict X", D, lambda v: [FITTED.predict(v, K, C)],
         "nan none masked numeric-text", SKLEARN),
    Slot("LMMLasso.predict K_new", K, lambda v: [FITTED.predict(D, v, C)]),
    Slot("LMMLasso.predict covariates", C, lambda v: [FITTED.predict(D, K, v)]),
]  # fmt: skip


def answers(slot, value):
    """What the function returns, as arrays; package warnings are silent, any other is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DataWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "X has feature names")
        return [np.asarray(part) for part in slot.call(value)]

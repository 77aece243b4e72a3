"""Entries of what fits, scans and selects."""

import numpy as np

import lmmlasso_fast as ll
from options.enumeration import Case, Progress, Refuses, Runs, With, n_threads


def _null_options(d):
    return {
        "covariates": With(d.C, covariates=None, covariate_names=None),
        "covariate_names": Refuses(["age", "age"], covariate_names=None),
        "intercept": False,
        "method": "reml",
        "log_delta": 1.0,
    }


def _path_options(d, given):
    return {
        "alphas": [0.3, 0.1],
        "n_alphas": 5,
        "eps": 0.2,
        "tol": 0.0,
        "l1_ratio": 0.5,
        "penalty_factors": d.factors,
    } | given


def fits(d) -> dict[str, Case]:
    data = {"genotypes": d.packed, "y": d.y}
    other_data = {"genotypes": d.dosage, "y": d.other_y}
    forms = [({"genotypes": d.dosage}, set()), ({"genotypes": d.dense}, set())]
    other_form = forms[:1]
    own_design = [({"null": None, "covariates": d.C}, set())]
    few = {"n_alphas": 6, "eps": 0.1}
    given_alphas = [({"alphas": [0.3, 0.05, 0.02]}, {"n_alphas", "eps"})]
    # names without columns are refused as columns without names are taken: with a null model too
    names_of_null = [({"null": d.null, "covariates": None}, set())]
    elastic = [({"l1_ratio": 0.5}, set()), ({"penalty_factors": "whitened"}, set())]
    given_delta = [({"log_delta": 0.5}, {"method"})]  # which estimates it
    plain = [({"random_effect": False}, set())]
    with_covariates = [({"covariates": d.C}, set())]
    return {
        "fit_null": Case(
            ll.fit_null,
            {"y": d.y, "K": d.K, "covariates": d.C, "covariate_names": ["a", "b"]},
            {
                "y": d.other_y,
                "K": d.other_K,
                **_null_options(d),
                "n_grid": 7,
                "log_delta_min": -2.0,
                "log_delta_max": -1.0,
                "n_threads": n_threads(),
            },
            [({"method": "reml"}, set()), ({"log_delta": 0.5}, set())],
        ),
        "lasso_path": Case(
            ll.lasso_path,
            data | few | {"null": d.null},
            other_data
            | _path_options(d, {})
            | {
                "null": d.reml,
                "max_active": 2,
                "covariates": With(d.C, null=None, covariates=None),
                "covariate_names": With(["a", "b"], null=None, covariates=d.C),
                "intercept": With(False, null=None),
                "max_iter": With(1, tol=0.0),
                "gram_limit": 0,
                "n_threads": n_threads(),
                "progress": Runs(None, Progress()),
            },
            [*forms, *names_of_null, *own_design, *given_alphas, *elastic],
        ),
        "refit_path": Case(
            ll.refit_path,
            data | {"null": d.null, "n_alphas": 4, "eps": 0.2},
            other_data
            | {
                "null": d.reml,
                "n_alphas": 5,
                "eps": 0.3,
                "fractions": [1.0, 0.4],
                "max_active": 2,
                "tol": 0.0,
                "l1_ratio": 0.5,
                "penalty_factors": d.factors,
                "max_rounds": 1,
                "n_threads": n_threads(),
                "progress": Runs(None, Progress()),
            },
            [*other_form, ({"fractions": [1, 0.2]}, {"n_alphas", "eps"})],
        ),
        "cross_validate": Case(
            ll.cross_validate,
            data | few | {"n_folds": 2, "covariates": d.C, "n_jobs": 1},
            other_data
            | _path_options(d, _null_options(d))
            | {
                "K": d.other_K,
                "n_folds": 4,
                "groups": d.families,
                "kinship_threshold": 0.6,
                "splitter": [(np.arange(30), np.arange(30, 60))],
                "n_repeats": 2,
                "seed": 1,
                "n_jobs": n_threads(),
                "random_effect": False,
                "max_active": 2,
                "max_iter": With(1, tol=0.0),
                "transform": "rint",
                "standardize": True,
                "path": Refuses(d.path),
                "progress": Runs(None, Progress()),
            },
            [
                *other_form,
                *given_alphas,
                ({"log_delta": 0.5}, set()),
                *plain,
                ({"transform": "boxcox", "penalty_factors": "whitened"}, {"standardize"}),
                ({"splitter": [(np.arange(30), np.arange(30, 60))]}, {"n_folds", "seed"}),
            ],
        ),
        "stability_selection": Case(
            ll.stability_selection,
            data | few | {"n_active": 4, "n_replicates": 2, "covariates": d.C, "n_jobs": 1},
            other_data
            | _path_options(d, _null_options(d))
            | {
                "K": d.other_K,
                "n_active": 5,
                "n_replicates": 6,
                "fraction": 0.4,
                "complementary": False,
                "seed": 1,
                "n_jobs": n_threads(),
                "random_effect": False,
                "eps": 0.6,
                "ld_r2": 0.05,
                "ld_window": With(100, ld_r2=0.05),
                "progress": Runs(None, Progress()),
            },
            [
                *other_form,
                ({"alphas": [0.3, 0.1]}, {"n_alphas", "eps", "n_active"}),
                *given_delta,
                *plain,
                ({"complementary": False}, set()),
            ],
        ),
        "multi_split": Case(
            ll.multi_split,
            data | few | {"n_splits": 4, "covariates": d.C, "n_jobs": 1},
            other_data
            | {k: v for k, v in _path_options(d, _null_options(d)).items() if k != "alphas"}
            | {
                "K": d.other_K,
                "n_active": 2,
                # the step of a grid between whose points the path is followed: rarely of influence
                "n_alphas": With(
                    2,
                    everywhere=False,
                    n_alphas=100,
                    eps=0.01,
                    n_active=8,
                    n_splits=10,
                    covariates=None,
                ),
                "l1_ratio": 0.01,
                "n_splits": 6,
                "groups": d.families,
                "gamma_min": 0.5,
                "seed": 1,
                "n_jobs": n_threads(),
                "random_effect": False,
                "eps": 0.6,
                "progress": Runs(None, Progress()),
            },
            [*other_form, *given_delta, *plain],
        ),
        "calibrated_alpha": Case(
            ll.calibrated_alpha,
            data | {"null": d.null, "n_draws": 50},
            other_data
            | {
                "null": d.reml,
                "level": 0.2,
                "n_draws": 60,
                "seed": 1,
                "covariates": With(d.C, null=None, covariates=None),
                "covariate_names": Refuses(["a", "a"], null=None, covariates=d.C),
                "intercept": With(False, null=None),
                "penalty_factors": d.factors,
                "l1_ratio": 0.5,
                "n_threads": n_threads(),
            },
            [*forms, *names_of_null, *own_design, *elastic],
        ),
        "whitened_norms": Case(
            ll.whitened_norms,
            {"genotypes": d.packed, "null": d.null},
            {
                "genotypes": d.dosage,
                "null": d.reml,
                "covariates": With(d.C, null=None, covariates=None),
                "covariate_names": Refuses(["a", "a"], null=None, covariates=d.C),
                "intercept": With(False, null=None),
                "penalty_factors": d.factors,
                "n_threads": n_threads(),
            },
            [*forms, *names_of_null, *own_design],
        ),
        "marginal_fdr": Case(
            ll.marginal_fdr,
            {"path": d.path, "genotypes": d.packed, "y": d.y},
            {
                "path": d.plain_path,
                "genotypes": d.dosage,
                "y": d.other_y,
                "norms": np.full(d.packed.n_variants, 30.0),
                "n_threads": n_threads(),
            },
        ),
        "association_scan": Case(
            ll.association_scan,
            data | {"null": d.null},
            other_data
            | {
                "null": d.reml,
                "covariates": With(d.C, null=None, covariates=None),
                "covariate_names": With(["a", "b"], null=None, covariates=d.C),
                "intercept": With(False, null=None),
                "exact": True,
                "n_threads": n_threads(),
                "progress": Runs(None, Progress()),
            },
            [*forms, *names_of_null, *own_design, ({"exact": True, "null": d.null}, set())],
        ),
        "association_scan_loco": Case(
            ll.association_scan_loco,
            data | {"covariates": d.C},
            other_data
            | {k: v for k, v in _null_options(d).items() if k != "log_delta"}
            | {"exact": True, "n_threads": n_threads(), "progress": Runs(None, Progress())},
            [*forms, ({"exact": True}, set()), *with_covariates],
        ),
        "variance_split": Case(
            ll.variance_split,
            {"path": d.path, "genotypes": d.packed, "y": d.y},
            {"path": d.plain_path, "genotypes": d.dosage, "y": d.other_y},
        ),
        "variance_by_snp": Case(
            ll.variance_by_snp,
            {"genotypes": d.packed, "coef": d.path.at(0.1)[0], "total": 1.0},
            {"genotypes": d.dosage, "coef": d.path.at(0.2)[0], "total": 2.0},
        ),
        "transform_phenotype": Case(
            ll.transform_phenotype,
            {"y": d.y},
            {"y": d.other_y, "method": "rint", "standardize": True},
            [({"method": "boxcox"}, {"standardize"}), ({"method": "rint"}, {"standardize"})],
        ),
        "build_model": Case(
            ll.build_model,
            {"path": d.path, "genotypes": d.packed},
            {
                "path": d.plain_path,
                "genotypes": d.dosage,
                "transform": ll.transform_phenotype(d.y, "rint")[1],
                "alphas": [0.2],
                "phenotype": "weight",
                "covariate_levels": {"batch": ["a", "b"]},
                "default_alpha": 0.2,
                "n_threads": n_threads(),
            },
            stores=True,
        ),
    }

"""Entries of estimators, of the methods of results, of the script's functions and of plots."""

import sys

import numpy as np

import lmmlasso_fast as ll
from lmmlasso_fast import compat, plots
from options.enumeration import Case, Refuses, Runs, Unused, With, is_there, n_threads

#: What an estimator's fit leaves, and what its predictions are.
ESTIMATOR = {
    "l1_ratio": 0.5,
    "tol": 0.0,
    "log_delta": 2.0,
    "method": "reml",
    "fit_intercept": False,
    "max_iter": With(1, tol=0.0),
}


def _fitted(estimator, d, **given):
    def call(**options):
        model = estimator(**options).fit(d.X, d.y, d.K, d.C, **given)
        return model.coef_, model.intercept_, model.dual_gap_, model.null_model_, model.n_iter_

    return call


def estimators(d) -> dict[str, Case]:
    one = _fitted(ll.LMMLasso, d)
    factors = d.factors
    of_one = {"alpha": 0.1}
    of_path = {"n_alphas": 6, "cv": 3, "eps": 0.05}
    data = {"X": d.X, "y": d.y}
    other = {"X": d.dense.columns(np.arange(40)), "y": d.other_y}
    other |= {"K": d.other_K, "covariates": d.C}
    new = np.ascontiguousarray(d.X[::-1])
    plain = ll.LMMLasso(0.1).fit(d.X, d.y)
    given = ll.LMMLasso(0.1).fit(d.X, d.y, d.K)
    adjusted = ll.LMMLasso(0.1).fit(d.X, d.y, None, d.C)
    many = ll.LMMLassoCV(**of_path)
    cases = {
        "LMMLasso": Case(
            one,
            of_one,
            {"alpha": 0.2, "penalty_factors": factors, **ESTIMATOR},
            [
                ({"method": "reml"}, set()),
                ({"penalty_factors": "whitened"}, set()),
                ({"fit_intercept": False}, set()),
            ],
        ),
        "LMMLassoCV": Case(
            lambda **options: ll.LMMLassoCV(**options).fit(d.X, d.y, d.K, d.C),
            of_path | {"eps": 0.01, "n_alphas": 10, "n_jobs": 1},
            {
                "eps": 0.2,
                "n_alphas": 7,
                "alphas": [0.3, 0.1],
                "cv": 4,
                "selection": "one_se",
                "penalty_factors": factors,
                "random_state": 1,
                "n_jobs": n_threads(),
                **ESTIMATOR,
            },
            [({"alphas": np.geomspace(0.5, 0.02, 10)}, {"n_alphas", "eps"}), ({"cv": 4}, set())],
        ),
        "LMMLasso.fit": Case(lambda **a: ll.LMMLasso(0.1).fit(**a), data, other),
        "LMMLassoCV.fit": Case(
            lambda **a: ll.LMMLassoCV(**of_path).fit(**a), data, other | {"groups": d.families}
        ),
    }
    for name, models in (
        ("LMMLasso", (plain, given, adjusted)),
        (
            "LMMLassoCV",
            tuple(
                ll.LMMLassoCV(**of_path).fit(d.X, d.y, K, C)
                for K, C in ((None, None), (d.K, None), (None, d.C))
            ),
        ),
    ):
        cases[f"{name}.predict"] = Case(
            _predicting(models),
            {"X": d.X},
            {
                "X": new,
                "K_new": Refuses(d.K.matrix, which=1),
                "covariates": Refuses(d.C, which=2),
            },
        )
    assert many.get_params()["n_alphas"] == 6
    return cases


def _predicting(models):
    def call(which=0, **arguments):
        return models[which].predict(**arguments)

    return call


def methods(d) -> dict[str, Case]:
    """Of results."""
    from_path = ll.build_model(d.path, d.packed)
    adjusted = {"covariates": d.C}
    refitted = ll.refit_path(d.packed, d.y, d.null, n_alphas=3, eps=0.2)
    cv = ll.cross_validate(d.packed, d.y, n_folds=3, n_alphas=8, eps=0.05)
    groups = ll.clump(d.packed, np.arange(20), np.arange(20.0), r2=0.1)
    split = ll.variance_split(d.path, d.packed, d.y)
    multi = ll.multi_split(d.packed, d.y, n_splits=4, n_alphas=8)
    transform = ll.transform_phenotype(d.y, "boxcox")[1]
    alpha = float(from_path.alphas[4])
    given = ll.build_model(ll.lasso_path(d.packed, d.y, ll.fit_null(d.y, d.other_K)), d.packed)
    short = d.packed.subset(np.arange(60))
    few = ll.Genotypes.from_array(d.values[:, :-1], d.samples, d.variants[:-1])
    prediction = from_path.predict(d.packed, covariates=d.C)
    content = transform.to_dict()
    spectrum = d.K.spectrum
    rows = np.vstack([d.y, d.C.T])

    def predicted(which=from_path, **arguments):
        return which.predict(**arguments)

    def predicted_in_order(which=from_path, **arguments):
        return which.predict_in_order(**arguments)

    frames = {
        "AssociationScan": d.scan,
        "LDGroups": groups,
        "MultiSplitResult": multi,
        "StabilityResult": d.stability,
    }
    of_model = {
        "genotypes": few_rows(d),
        "alpha": alpha,
        "covariates": d.C[::-1],
        "kinship": Refuses(d.other_K.matrix, which=given, covariates=None),
    }
    cases = {
        f"{name}.to_frame": Case(result.to_frame, {}, {"genotypes": d.packed})
        for name, result in frames.items()
    }
    plotted = {
        "AssociationScan": (d.scan, {"level": 0.5}),
        "CrossValidation": (cv, {}),
        "Kinship": (d.K, {"order": "given"}),
        "LassoPath": (d.path, {"n_named": 1}),
        "NullModel": (d.null, {}),
        "RefittedPath": (refitted, {"n_named": 1}),
        "StabilityResult": (d.stability, {"cutoff": 0.9}),
    }
    for name, (result, options) in plotted.items() if is_there("matplotlib") else ():
        takes_genotypes = name in (
            "AssociationScan",
            "LassoPath",
            "RefittedPath",
            "StabilityResult",
        )
        needs = {"genotypes": d.packed} if name == "AssociationScan" else {}
        cases[f"{name}.plot"] = Case(
            _with_options(result.plot),
            needs,
            ({"genotypes": _moved(d) if needs else d.packed} if takes_genotypes else {})
            | {"options": options or {"axes": _axes()}},
        )
    if is_there("matplotlib"):
        cases["VarianceSplit.plot"] = Case(
            _with_options(split.plot),
            {"path": d.path},
            {"path": d.path_of_other_y, "options": {"axes": _axes()}},
        )
    return cases | {
        "CrossValidation.index_with_active": Case(
            cv.index_with_active, {"n_active": 0}, {"n_active": 40}
        ),
        "Kinship.basis": Case(_basis(d.K), {"delta": 1.0}, {"delta": 1e-14}),
        "LDGroups.members": Case(groups.members, {"k": 0}, {"k": 1}),
        "LDGroups.of": Case(groups.of, {"n_variants": 40}, {"n_variants": 50}),
        "LassoPath.at": Case(d.path.at, {"alpha": 0.1}, {"alpha": 0.2}),
        "Model.coef_at": Case(from_path.coef_at, {}, {"alpha": alpha}),
        "Model.to_frame": Case(from_path.to_frame, {}, {"alpha": alpha}),
        "Model.predict": Case(
            predicted,
            {"genotypes": d.packed} | adjusted,
            of_model | {"allow_missing": Refuses(True, genotypes=few)},
        ),
        "Model.predict_in_order": Case(
            predicted_in_order, {"genotypes": short} | adjusted, of_model
        ),
        "MultiSplitResult.selected": Case(multi.selected, {"level": 0.5}, {"level": 1e-9}),
        "Prediction.to_frame": Case(prediction.to_frame, {}, {"samples": d.samples}),
        "RefittedPath.at": Case(refitted.at, {"k": 0}, {"k": 2}),
        "Spectrum.profile": Case(
            spectrum.profile,
            {"rows": rows, "deltas": [1.0]},
            {"rows": rows[::-1].copy(), "deltas": [2.0]},
        ),
        "Spectrum.rotate": Case(spectrum.rotate, {"B": d.C}, {"B": 2 * d.C}),
        "StabilityResult.bound": Case(
            d.stability.bound,
            {"cutoff": 0.8, "assumption": "none"},
            {"cutoff": 0.9, "assumption": "r-concave"},
        ),
        "StabilityResult.frame_of": Case(
            d.stability.frame_of,
            {"snps": np.array([1])},
            {"snps": np.array([2]), "genotypes": d.packed},
        ),
        "StabilityResult.selected": Case(d.stability.selected, {"cutoff": 0.1}, {"cutoff": 1.0}),
        "Transform.forward": Case(transform.forward, {"y": d.y}, {"y": d.y + 1}),
        "Transform.inverse": Case(transform.inverse, {"z": d.y - 5}, {"z": d.y - 4.9}),
        "Transform.from_dict": Case(
            ll.Transform.from_dict, {"content": content}, {"content": content | {"shift": 1.0}}
        ),
    }


def few_rows(d):
    return d.packed.subset(np.arange(59, -1, -1))


def _moved(d):
    """The genotypes, their SNPs elsewhere."""
    return ll.Genotypes.from_array(
        d.values, d.samples, d.variants.with_columns(POS=d.variants["POS"].reverse())
    )


def _with_options(plot):
    """A method whose further options come as a dictionary."""

    def call(options=None, **arguments):
        return plot(**arguments, **(options or {}))

    return call


def _basis(K):
    module = sys.modules["lmmlasso_fast.kinship"]  # the name in the package is the function

    K = ll.Kinship.from_matrix(np.diag([1.0] * (K.n_samples - 1) + [1e-12]))

    def call(delta):
        before, module.TRIDIAGONAL_FROM = module.TRIDIAGONAL_FROM, 0
        try:
            return K.basis(delta)
        finally:
            module.TRIDIAGONAL_FROM = before

    return call


def _axes(n=1):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 3))
    return figure.subplots(n, 1)


def drawings(d) -> dict[str, Case]:
    """Of `plots`."""
    from lmmlasso_fast.io import results

    cv = ll.cross_validate(d.packed, d.y, n_folds=3, n_alphas=8, eps=0.05)
    other_cv = ll.cross_validate(d.packed, d.other_y, n_folds=3, n_alphas=8, eps=0.05)
    split = ll.variance_split(d.path, d.packed, d.y)
    other_split = ll.variance_split(d.plain_path, d.packed, d.y)
    path_table = results.path_table(d.path, split)
    coefs = results.coefficient_table(d.path, d.packed)
    figure, other_figure = (plots.cv_curve(x) for x in (cv, other_cv))
    region = {"chromosome": "1", "start": 0, "end": 10**6, "genotypes": d.packed}

    def saved(path, **arguments):
        target = d.folder / f"figures{sum(1 for _ in d.folder.iterdir())}"
        target.mkdir()
        plots.save(path=target / path, **arguments)
        return {file.name: file for file in target.iterdir()}

    return {
        "plots.coefficient_path": Case(
            plots.coefficient_path,
            {"path": d.path, "genotypes": d.packed},
            {
                "path": d.plain_path,
                "genotypes": _renamed(d),
                "coefs": With(
                    coefs[: len(coefs) // 2], path=path_table, genotypes=None, coefs=coefs
                ),
                "alpha": 0.1,
                "n_named": 1,
                "axes": _axes(),
            },
        ),
        "plots.cv_curve": Case(plots.cv_curve, {"cv": cv}, {"cv": other_cv, "axes": _axes()}),
        "plots.kinship_heatmap": Case(
            plots.kinship_heatmap,
            {"K": d.K},
            {"K": d.other_K, "order": "given", "max_samples": 20, "axes": _axes()},
        ),
        "plots.likelihood_profile": Case(
            plots.likelihood_profile, {"null": d.null}, {"null": d.reml, "axes": _axes()}
        ),
        "plots.manhattan": Case(
            plots.manhattan,
            {"scan": d.scan, "genotypes": d.packed},
            {
                "stability": d.stability,
                "scan": d.plain_scan,
                "genotypes": _moved(d),
                "cutoff": With(0.5, stability=d.stability),
                "level": 0.5,
                "n_tests": 10**6,
                "axes": _axes(),
            },
        ),
        "plots.observed_predicted": Case(
            plots.observed_predicted,
            {"y": d.y, "prediction": cv},
            {"y": d.other_y, "prediction": other_cv, "index": 0, "axes": _axes()},
        ),
        "plots.qq": Case(
            plots.qq,
            {"before": d.plain_scan, "after": d.scan},
            {"before": d.scan, "after": d.plain_scan, "names": ("a", "b"), "axes": _axes()},
        ),
        "plots.regional": Case(
            plots.regional,
            region | {"scan": d.scan},
            {
                "chromosome": "2",
                "start": 2000,
                "end": 20_000,
                "genotypes": _moved(d),
                "scan": d.plain_scan,
                "stability": d.stability,
                "lead": d.variants["ID"][1],
                "cutoff": With(0.5, stability=d.stability),
                "axes": _axes(),
            },
        ),
        "plots.save": Case(
            saved,
            {"figure": figure, "path": "a.png"},
            {"figure": other_figure, "path": "b.svg", "format": "svg", "dpi": 30},
        ),
        "plots.stability_path": Case(
            plots.stability_path,
            {"stability": d.stability},
            {
                "stability": d.other_stability,
                "genotypes": d.packed,
                "cutoff": 0.5,
                "n_named": 1,
                "axes": _axes(),
            },
        ),
        "plots.variance_split": Case(
            plots.variance_split,
            {"fitted": d.path, "split": split},
            {"fitted": d.plain_path, "split": other_split, "axes": _axes()},
        ),
    }


def _renamed(d):
    return ll.Genotypes.from_array(
        d.values, d.samples, d.variants.with_columns(ID="x" + d.variants["ID"])
    )


def script(d) -> dict[str, Case]:
    """Of `compat`."""
    y = d.y - d.y.mean()
    other_y = d.other_y - d.other_y.mean()
    K, other_K = np.array(d.K.matrix), np.array(d.other_K.matrix)
    data = {"X": d.X, "K": K, "y": y, "mu": 20.0}
    other = {"X": d.X[:, ::-1], "K": other_K, "y": other_y, "mu": 30.0}
    grid = {"numintervals": 7, "ldeltamin": 0, "ldeltamax": 1}
    printed = {"debug": Runs(False, True)}
    new = {"X_t": d.X, "X_v": d.X[:9], "K_tt": K, "K_vt": K[:9], "y_t": y, "ldelta": 0.5}
    new["w"] = np.linspace(-1, 1, 40)
    return {
        "compat.train": Case(
            compat.train,
            data,
            other | grid | printed | {"rho": Unused(2), "alpha": Unused(1.5)},
        ),
        "compat.train_nullmodel": Case(
            compat.train_nullmodel,
            {"y": y, "K": K},
            {"y": other_y, "K": other_K} | grid | printed,
        ),
        "compat.predict": Case(
            compat.predict,
            new,
            {name: 2 * np.asarray(value) for name, value in new.items() if name != "ldelta"}
            | {"ldelta": 1.5},
        ),
        "compat.stability_selection": Case(
            _passing_on(compat.stability_selection),
            data | {"n_reps": 4, "f_subset": 0.5},
            other
            | {
                "K": K[::-1, ::-1],
                "n_reps": 5,
                "f_subset": 0.4,
                "seed": 1,
                "kwargs": {"ldeltamin": 4},
            },
        ),
    }


def _passing_on(function):
    def call(kwargs=None, **arguments):
        return function(**arguments, **(kwargs or {}))

    return call

"""`lmmlasso fit`: null model, Lasso path, model and predictions."""

import click
import numpy as np

from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.analysed import Analysed, analyses
from lmmlasso_fast.cli.execution import execute
from lmmlasso_fast.cli.exit_codes import EXIT_NOT_CONVERGED
from lmmlasso_fast.cli.inputs import say_estimate
from lmmlasso_fast.cli.null import fit_null_model
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.error_control import calibrated_alpha, marginal_fdr
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io import results
from lmmlasso_fast.io.models import save_model
from lmmlasso_fast.null_model import NullModel
from lmmlasso_fast.path import LassoPath, PathOptions, lasso_path
from lmmlasso_fast.prediction import Model, Prediction, build_model
from lmmlasso_fast.variance import variance_split

#: Random SNP effects that a model holds without being asked: 32 MB.
_AUTO_ALL_UP_TO = 1 << 22

model_options = options.group(
    click.option(
        "--max-active",
        type=options.Whole(0),
        help="End before more SNPs than this are active.",
    ),
    click.option(
        "--model-alphas",
        type=click.Choice(["auto", "all", "last"]),
        default="auto",
        show_default=True,
        help="Alphas that P.model.npz can predict at; auto: all unless that takes over 32 MB.",
    ),
    click.option("--strict", is_flag=True, help="Exit with 4 if an alpha did not converge."),
)


error_options = options.group(
    click.option(
        "--mfdr",
        is_flag=True,
        help="Add a column MFDR to P.path.tsv: the expected share of marginally false SNPs.",
    ),
    click.option(
        "--fwer",
        type=options.Number(0, 1, min_open=True, max_open=True),
        metavar="LEVEL",
        help="Select and predict at the alpha at which, without any effect, one SNP or more enters "
        "with this probability.",
    ),
    click.option(
        "--n-draws",
        type=options.Whole(1),
        default=1000,
        show_default=True,
        help="Simulated phenotypes for --fwer.",
    ),
    options.seed("Of these."),
)


@click.command()
@options.paths(model_options, error_options)
def fit(**flags):
    """Fit LMM-Lasso: null model, Lasso path, saved model and predictions."""

    def body(run):
        options.check_path(flags)
        if flags["fwer"] is None:
            options.ignored({"n_draws", "seed"}, "without --fwer")
        for analysed in analyses(run, flags):
            fit_and_write(run, flags, analysed)

    execute("fit", flags, body)


def fit_and_write(run: Run, flags: dict, analysed: Analysed) -> LassoPath:
    """Everything of `fit` after the input; has the result files written."""
    null = optional_null_model(run, flags, analysed)
    alphas, alpha, further = flags["alphas"], None, {}
    if flags["fwer"] is not None:
        alphas, alpha = _calibrate(run, flags, analysed, null)
    else:
        run.leave_out(f"{analysed.prefix}calibration.json")
    path = fit_path(run, flags, analysed, null, alphas)
    if alpha is not None and alpha < path.alphas[-1]:
        run.warn(
            f"--fwer: more than --max-active SNPs are active before alpha {alpha:.6g}; results are "
            f"of the path's end, {path.alphas[-1]:.6g}"
        )
        alpha = float(path.alphas[-1])
    if flags["mfdr"]:
        with run.stage("mfdr"):
            further["MFDR"] = marginal_fdr(
                path, analysed.genotypes, analysed.y, n_threads=run.threads
            )
    write_path(run, flags, analysed, path, alpha, further)
    return path


def optional_null_model(run: Run, flags: dict, analysed: Analysed) -> NullModel | None:
    """Fit the null model; None with --no-kinship."""
    if flags["no_kinship"]:
        say_estimate(run, flags, analysed.genotypes)
        run.leave_out(f"{analysed.prefix}null.json")
        return None
    return fit_null_model(run, flags, analysed)


def fit_path(
    run: Run, flags: dict, analysed: Analysed, null: NullModel | None, alphas
) -> LassoPath:
    """Fit the path at `alphas`, or those of --n-alphas and --eps."""
    covariates = analysed.covariates if null is None else None
    total = flags["n_alphas"] if alphas is None else len(alphas)
    with run.stage("path"), run.progress("path", total) as progress:
        path = lasso_path(
            analysed.genotypes,
            analysed.y,
            null,
            alphas=alphas,
            n_alphas=flags["n_alphas"],
            eps=flags["eps"],
            max_active=flags["max_active"],
            tol=flags["tol"],
            l1_ratio=flags["l1_ratio"],
            penalty_factors=options.penalty_factors(flags),
            covariates=covariates,
            covariate_names=None if covariates is None else analysed.covariate_names,
            n_threads=run.threads,
            progress=progress,
        )
    run.say(
        f"path: {len(path.alphas)} alphas from {path.alphas[0]:.6g} to {path.alphas[-1]:.6g}, "
        f"{path.n_active[-1]} SNPs active at the last, largest relative duality gap "
        f"{path.dual_gaps.max():.2g}"
    )
    if flags["strict"] and not path.converged.all():
        run.exit_code = EXIT_NOT_CONVERGED
    return path


def _calibrate(
    run: Run, flags: dict, analysed: Analysed, null: NullModel | None
) -> tuple[np.ndarray, float]:
    """Return the path's alphas and that of --fwer, one of them; has P.calibration.json written.

    A solution between two alphas of the path would have SNPs that enter below it.
    """
    plain = null is None
    with run.stage("calibration"):
        found = calibrated_alpha(
            analysed.genotypes,
            analysed.y,
            null,
            level=flags["fwer"],
            n_draws=flags["n_draws"],
            seed=flags["seed"],
            covariates=analysed.covariates if plain else None,
            covariate_names=analysed.covariate_names if plain else None,
            penalty_factors=options.penalty_factors(flags),
            l1_ratio=flags["l1_ratio"],
            n_threads=run.threads,
        )
    run.say(
        f"family-wise error {found.level:g}: alpha {found.alpha:.6g}, that is "
        f"{found.alpha / found.alpha_max:.3g} of alpha_max; the first SNP has p = "
        f"{found.p_value:.4g} ({found.n_draws} draws)"
    )
    content = {
        "level": found.level,
        "alpha": found.alpha,
        "alpha_max": found.alpha_max,
        "p_value": found.p_value,
        "quantile": found.quantile,
        "n_draws": found.n_draws,
        "seed": flags["seed"],
    }
    run.write(
        f"{analysed.prefix}calibration.json", lambda target: results.write_json(content, target)
    )
    grid = PathOptions(flags["alphas"], flags["n_alphas"], flags["eps"]).grid(found.alpha_max)
    return np.union1d(grid, found.alpha), found.alpha


def write_path(
    run: Run,
    flags: dict,
    analysed: Analysed,
    path: LassoPath,
    alpha: float | None = None,
    further: dict[str, np.ndarray] | None = None,
) -> None:
    """Have the files of a path written, predictions and selection at `alpha` (default: the last).

    `further` are more columns of P.path.tsv.
    """
    genotypes = analysed.genotypes
    at = float(path.alphas[-1]) if alpha is None else alpha
    with run.stage("model"):
        model = build_model(
            path,
            genotypes,
            transform=analysed.transform,
            alphas=_model_alphas(run, flags["model_alphas"], path, genotypes, at),
            phenotype=analysed.phenotype,
            covariate_levels=analysed.covariate_levels,
            default_alpha=alpha,
            n_threads=run.threads,
        )
        if model.random == "sample":
            run.say("the kinship was given: predict will need that of new samples (--kinship)")
        prediction = _predict_training(model, path, genotypes)
        split = variance_split(path, genotypes, analysed.y)
        total = float(np.interp(at, path.alphas[::-1], split.total[::-1]))
    coef = path.at(at)[0]
    offset = results.dosage_offset(model, None)
    tables = {
        "path.tsv": lambda: results.path_table(path, split, further),
        "coef.tsv": lambda: results.coefficient_table(path, genotypes),
        "selected.tsv": lambda: results.selected_table(path, genotypes, coef, total),
        "score.tsv": lambda: results.score_table(genotypes, coef),
        "pred.tsv": lambda: results.prediction_table(genotypes.samples, prediction, offset),
    }
    for suffix, make in tables.items():
        suffix = analysed.prefix + suffix
        run.write(suffix, lambda target, make=make: results.write_table(make(), target))
    run.write(f"{analysed.prefix}model.npz", lambda target: save_model(model, target))


def _model_alphas(
    run: Run, choice: str, path: LassoPath, genotypes: Genotypes, at: float
) -> np.ndarray:
    per_alpha = 0
    if path.null is not None:
        of_snps = path.null.kinship.estimator == "rrm"
        per_alpha = int(genotypes.included.sum()) if of_snps else path.n_samples
    numbers = per_alpha * len(path.alphas)
    if choice == "all" or (choice == "auto" and numbers <= _AUTO_ALL_UP_TO):
        return path.alphas
    one = "the last alpha" if at == path.alphas[-1] else "the chosen alpha"
    run.say(
        f"the model is kept at {one}, {at:.6g}, alone (--model-alphas all "
        f"would keep every one, in {8e-6 * numbers:.0f} MB)"
    )
    return np.array([at])


def _predict_training(model: Model, path: LassoPath, genotypes: Genotypes) -> Prediction:
    kinship = None
    if model.random == "sample":
        kinship = path.null.kinship.matrix * path.null.kinship.scale
    fixed = path.design.matrix[:, path.design.has_intercept :]
    return model.predict_in_order(genotypes, covariates=fixed, kinship=kinship)

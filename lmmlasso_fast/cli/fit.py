"""`lmmlasso fit`: null model, Lasso path, model and predictions."""

import click
import numpy as np

from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.inputs import Analysed, load, say_estimate
from lmmlasso_fast.cli.null import fit_null_model
from lmmlasso_fast.cli.run import EXIT_NOT_CONVERGED, Run, execute
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io import results
from lmmlasso_fast.io.models import save_model
from lmmlasso_fast.path import LassoPath, lasso_path
from lmmlasso_fast.prediction import Model, Prediction, build_model
from lmmlasso_fast.variance import variance_split

#: Random SNP effects that a model holds without being asked: 32 MB.
_AUTO_ALL_UP_TO = 1 << 22

path_options = options.group(
    click.option(
        "--n-alphas",
        type=click.IntRange(1),
        default=100,
        show_default=True,
        help="Alphas from alpha_max on, evenly spaced on the log scale.",
    ),
    click.option(
        "--eps",
        type=options.Number(0, 1, min_open=True, max_open=True),
        default=0.01,
        show_default=True,
        help="Last alpha / alpha_max.",
    ),
    click.option(
        "--alpha",
        "alphas",
        type=options.Numbers(),
        metavar="A[,A...]",
        help="Fit these alphas instead; predictions are made at the last.",
    ),
    click.option(
        "--max-active",
        type=click.IntRange(0),
        help="End before more SNPs than this are active.",
    ),
    click.option(
        "--l1-ratio",
        type=options.Number(0, 1, min_open=True),
        default=1.0,
        show_default=True,
        help="Share of the l1 penalty; below 1 it is the elastic net.",
    ),
    click.option(
        "--tol",
        type=options.Number(0),
        default=1e-6,
        show_default=True,
        help="Relative duality gap at which an alpha is converged.",
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


@click.command()
@options.genotypes
@options.phenotype
@options.kinship
@options.null_model
@path_options
@click.option("--no-kinship", is_flag=True, help="Plain Lasso: no random effect.")
@options.filters
@options.output
def fit(**flags):
    """Fit LMM-Lasso: null model, Lasso path, saved model and predictions.

    Example: lmmlasso fit --bfile mouse --pheno pheno.tsv --pheno-name CD8 --out mouse
    """

    def body(run):
        if flags["no_kinship"]:
            options.ignored({"kinship_file", "grm", "method", "log_delta"}, "with --no-kinship")
        if flags["alphas"] is not None:
            options.ignored({"n_alphas", "eps"}, "with --alpha")
        analysed = load(run, flags)
        fit_path(run, flags, analysed)

    execute("fit", flags, body)


def fit_path(run: Run, flags: dict, analysed: Analysed) -> LassoPath:
    """Everything of `fit` after the input; has the result files written."""
    genotypes = analysed.genotypes
    null, covariates = None, analysed.covariates
    if flags["no_kinship"]:
        say_estimate(run, flags, genotypes)
    else:
        null, covariates = fit_null_model(run, flags, analysed), None
    alphas = flags["alphas"]
    total = flags["n_alphas"] if alphas is None else len(alphas)
    with run.stage("path"), run.progress("path", total) as progress:
        path = lasso_path(
            genotypes,
            analysed.y,
            null,
            alphas=alphas,
            n_alphas=flags["n_alphas"],
            eps=flags["eps"],
            max_active=flags["max_active"],
            tol=flags["tol"],
            l1_ratio=flags["l1_ratio"],
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
    with run.stage("model"):
        model = build_model(
            path,
            genotypes,
            transform=analysed.transform,
            alphas=_model_alphas(run, flags["model_alphas"], path, genotypes),
            phenotype=analysed.phenotype,
            covariate_levels=analysed.covariate_levels,
            n_threads=run.threads,
        )
        if model.random == "sample":
            run.say("the kinship was given: predict will need that of new samples (--kinship)")
        prediction = _predict_training(model, path, genotypes)
        split = variance_split(path, genotypes, analysed.y)
    coef = path.at(path.alphas[-1])[0]
    offset = results.dosage_offset(model, None)
    tables = {
        "path.tsv": lambda: results.path_table(path, split),
        "coef.tsv": lambda: results.coefficient_table(path, genotypes),
        "selected.tsv": lambda: results.selected_table(path, genotypes, coef),
        "score.tsv": lambda: results.score_table(genotypes, coef),
        "pred.tsv": lambda: results.prediction_table(genotypes.samples, prediction, offset),
    }
    for suffix, make in tables.items():
        run.write(suffix, lambda target, make=make: results.write_table(make(), target))
    run.write("model.npz", lambda target: save_model(model, target))
    return path


def _model_alphas(run: Run, choice: str, path: LassoPath, genotypes: Genotypes) -> np.ndarray:
    per_alpha = 0
    if path.null is not None:
        of_snps = path.null.kinship.estimator == "rrm"
        per_alpha = int(genotypes.included.sum()) if of_snps else path.n_samples
    numbers = per_alpha * len(path.alphas)
    if choice == "all" or (choice == "auto" and numbers <= _AUTO_ALL_UP_TO):
        return path.alphas
    run.say(
        f"the model is kept at the last alpha, {path.alphas[-1]:.6g}, alone (--model-alphas all "
        f"would keep every one, in {8e-6 * numbers:.0f} MB)"
    )
    return path.alphas[-1:]


def _predict_training(model: Model, path: LassoPath, genotypes: Genotypes) -> Prediction:
    kinship = None
    if model.random == "sample":
        kinship = path.null.kinship.matrix * path.null.kinship.scale
    fixed = path.design.matrix[:, path.design.has_intercept :]
    return model.predict_in_order(genotypes, covariates=fixed, kinship=kinship)

"""`lmmlasso null`: the variance components."""

import click

from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.analysed import Analysed, analyses
from lmmlasso_fast.cli.execution import execute
from lmmlasso_fast.cli.inputs import given_kinship
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.io.results import null_model_content, write_json
from lmmlasso_fast.null_model import NullModel, fit_null


@click.command(short_help="Fit the null model: h2, without SNP effects.")
@options.genotypes
@options.phenotype
@options.kinship
@options.null_model
@options.filters
@options.output
def null(**flags):
    """Fit the null model: h2 and the variance ratio delta, without SNP effects."""

    def body(run):
        for analysed in analyses(run, flags):
            fit_null_model(run, flags, analysed)

    execute("null", flags, body)


def fit_null_model(run: Run, flags: dict, analysed: Analysed) -> NullModel:
    """Kinship and null model of a command, fitted once; has P.null.json written."""
    how = (flags["method"], flags["log_delta"])
    if how not in analysed.nulls:
        analysed.nulls[how] = _fit(run, flags, analysed)
        _say(run, analysed.nulls[how])
    model = analysed.nulls[how]
    n_variants = int(analysed.genotypes.included.sum())
    source = "given" if given_kinship(flags) else flags["kinship_samples"]
    content = null_model_content(model, analysed.transform, n_variants, source)
    run.write(f"{analysed.prefix}null.json", lambda path: write_json(content, path))
    return model


def _fit(run: Run, flags: dict, analysed: Analysed) -> NullModel:
    kinship = analysed.samples.kinship(run, flags)
    with run.stage("null model"):
        return fit_null(
            analysed.y,
            kinship,
            analysed.covariates,
            flags["method"],
            flags["log_delta"],
            covariate_names=analysed.covariate_names,
            n_threads=run.threads,
        )


def _say(run: Run, model: NullModel) -> None:
    error = "" if model.h2_se is None else f" (standard error {model.h2_se:.4f})"
    flags_set = [
        text
        for holds, text in (
            (model.at_boundary, "at the boundary of the search interval"),
            (model.multimodal, "several local optima"),
            (model.flat, "flat likelihood"),
        )
        if holds
    ]
    run.say(
        f"null model ({model.method}): log delta {model.log_delta:.6f}, h2 {model.h2:.4f}{error}"
        + (f"; {', '.join(flags_set)}" if flags_set else "")
    )

"""`lmmlasso predict`: phenotypes of new samples from a saved model."""

import click
import numpy as np

from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.inputs import keep_samples, open_genotypes
from lmmlasso_fast.cli.run import execute
from lmmlasso_fast.errors import CovariateError, KinshipError
from lmmlasso_fast.io import results
from lmmlasso_fast.io.ids import match_samples
from lmmlasso_fast.io.kinship_files import read_grm, read_kinship
from lmmlasso_fast.io.models import load_model
from lmmlasso_fast.io.tables import read_covariates


@click.command()
@click.option("--model", "model_file", required=True, metavar="FILE", help="P.model.npz of a fit.")
@options.genotypes
@click.option("--keep", metavar="FILE", help="Samples to keep (FID IID).")
@click.option("--remove", metavar="FILE", help="Samples to drop (FID IID).")
@click.option("--covar", "--covarFile", metavar="FILE", help="Covariates of the new samples.")
@click.option(
    "--missing-code",
    multiple=True,
    metavar="CODE",
    help="A value that means missing in the covariates; 'none': -9 is a value.",
)
@click.option("--alpha", type=float, help="On or between the model's alphas [default: the last].")
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Put SNPs that the genotypes lack at the training mean.",
)
@options.kinship
@options.output
def predict(**flags):
    """Predict phenotypes from genotypes and a model.

    With --kinship or --grm (needed if the model was trained with one): a matrix that holds both
    the training and the new samples.

    Example: lmmlasso predict --model mouse.model.npz --bfile new --out new
    """

    def body(run):
        run.note_input(flags["model_file"])
        with run.stage("read"):
            model = load_model(flags["model_file"])
        run.say(
            f"model of {model.phenotype}: {model.n_samples} training samples, "
            f"{len(model.mean)} SNPs, {len(model.alphas)} alphas"
        )
        genotypes = open_genotypes(run, flags)
        genotypes = genotypes.subset(keep_samples(run, flags, genotypes))
        with run.stage("predict"):
            prediction = model.predict(
                genotypes,
                alpha=flags["alpha"],
                covariates=_covariates(run, flags, model, genotypes),
                kinship=_kinship(run, flags, model, genotypes),
                allow_missing=flags["allow_missing"],
            )
        run.counts |= {"samples": genotypes.n_samples}
        offset = results.dosage_offset(model, flags["alpha"])
        table = results.prediction_table(genotypes.samples, prediction, offset)
        run.write("pred.tsv", lambda path: results.write_table(table, path))

    execute("predict", flags, body)


def _covariates(run, flags, model, genotypes) -> np.ndarray | None:
    """The model's covariates of the new samples, categories encoded as in training."""
    wanted = [name for name in model.covariate_names if name != "intercept"]
    if flags["covar"] is None:
        if wanted:
            raise CovariateError(
                f"the model has the covariates {', '.join(wanted)}; give them with --covar FILE"
            )
        return None
    if not wanted:
        raise CovariateError("--covar: the model has no covariates; leave the flag out")
    run.note_input(flags["covar"])
    sources = list(dict.fromkeys(name.split("=")[0] for name in wanted))
    table = read_covariates(flags["covar"], sources, flags["missing_code"])
    rows = match_samples(genotypes.samples, table, f"covariates {flags['covar']}")
    if (rows < 0).any() or table.select(sources)[rows].null_count().sum_horizontal()[0]:
        raise CovariateError(
            f"{flags['covar']}: expected all covariates of all {genotypes.n_samples} samples, "
            "found missing ones; drop those samples with --remove"
        )
    columns = []
    for name in wanted:
        source, _, level = name.partition("=")
        series = table[source][rows]
        columns.append((series == level).to_numpy() if level else series.to_numpy())
    return np.column_stack(columns).astype(np.float64)


def _kinship(run, flags, model, genotypes) -> np.ndarray | None:
    """Rows of new, columns of training samples, on the scale of the training matrix."""
    given = flags["kinship_file"] or flags["grm"]
    if given is None:
        return None
    if model.samples is None:
        raise KinshipError(
            "--kinship, --grm: this model computes kinship from the genotypes; leave the flag out"
        )
    run.note_input(given if flags["kinship_file"] else f"{given}.grm.bin")
    matrix = read_grm(given) if flags["grm"] else read_kinship(given)
    if matrix.samples is None:
        raise KinshipError(f"{given}: expected sample ids in the file, found none")
    rows = match_samples(genotypes.samples, matrix.samples, f"kinship {given}")
    columns = match_samples(model.samples, matrix.samples, f"kinship {given}")
    if (rows < 0).any() or (columns < 0).any():
        raise KinshipError(
            f"{given}: expected all {genotypes.n_samples} new and {model.n_samples} training "
            f"samples, found {int((rows >= 0).sum())} and {int((columns >= 0).sum())}"
        )
    return matrix.matrix[np.ix_(rows, columns)] * matrix.scale

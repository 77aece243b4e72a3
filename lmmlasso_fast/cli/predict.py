"""`lmmlasso predict`: phenotypes of new samples from a saved model."""

import click
import numpy as np

from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.execution import execute
from lmmlasso_fast.cli.inputs import (
    given_kinship,
    keep_samples,
    open_genotypes,
    read_given_kinship,
)
from lmmlasso_fast.errors import CovariateError, KinshipError
from lmmlasso_fast.io import results
from lmmlasso_fast.io.ids import match_samples
from lmmlasso_fast.io.models import load_model
from lmmlasso_fast.io.tables import read_covariates
from lmmlasso_fast.io.text import quote


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
@click.option(
    "--alpha", type=options.Finite(), help="On or between the model's alphas [default: the last]."
)
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
    path = flags["covar"]
    run.note_input(path)
    indicators = {
        f"{name}={level}": (name, level)
        for name, levels in model.covariate_levels.items()
        for level in levels[1:]  # as encode_covariates: a column may have the first one's name
    }
    sources = list(dict.fromkeys(indicators.get(name, (name, ""))[0] for name in wanted))
    # the levels of a category may all be numbers here
    categories = [name for name in sources if name in model.covariate_levels]
    table = read_covariates(path, sources, flags["missing_code"], categories)
    rows = match_samples(genotypes.samples, table, f"covariates {path}")
    lacking = rows < 0
    lacking[~lacking] = table.select(_any_null(sources)).to_series().to_numpy()[rows[~lacking]]
    if lacking.any():
        first = " ".join(genotypes.samples.select("FID", "IID").row(int(lacking.argmax())))
        raise CovariateError(
            f"{path}: expected {', '.join(sources)} of all {genotypes.n_samples} samples, found "
            f"{int(lacking.sum())} samples without; the first is {first}; drop these with --remove"
        )
    table = table[rows]
    columns = []
    for name in wanted:
        source, level = indicators.get(name, (name, None))
        if level is not None:
            known = model.covariate_levels[source]
            unknown = table.filter(~table[source].is_in(known))[source]
            if len(unknown):
                raise CovariateError(
                    f"{path}: column {quote(source)}: expected a category of the training "
                    f"samples ({', '.join(map(quote, known))}), found {quote(unknown[0])}; drop "
                    "these samples with --remove"
                )
            columns.append((table[source] == level).to_numpy())
        elif table[source].dtype.is_numeric():
            columns.append(table[source].to_numpy())
        else:
            raise CovariateError(
                f"{path}: column {quote(source)}: expected numbers, as in training, found text; "
                "correct the values"
            )
    return np.column_stack(columns).astype(np.float64)


def _any_null(names):
    import polars as pl

    return pl.any_horizontal(pl.col(names).is_null())


def _kinship(run, flags, model, genotypes) -> np.ndarray | None:
    """Rows of new, columns of training samples, on the scale of the training matrix."""
    given = given_kinship(flags)
    if given is None:
        return None
    if model.samples is None:
        why = (
            "has no random effect"
            if model.random == "none"
            else "computes the kinship of new samples from their genotypes"
        )
        raise KinshipError(f"{given}: this model {why}; leave out --kinship and --grm")
    matrix = read_given_kinship(run, flags)
    rows = match_samples(genotypes.samples, matrix.samples, f"kinship {given}")
    columns = match_samples(model.samples, matrix.samples, f"kinship {given}")
    if (rows < 0).any() or (columns < 0).any():
        raise KinshipError(
            f"{given}: expected all {genotypes.n_samples} new and {model.n_samples} training "
            f"samples, found {int((rows >= 0).sum())} and {int((columns >= 0).sum())}"
        )
    return matrix.matrix[np.ix_(rows, columns)] * matrix.scale

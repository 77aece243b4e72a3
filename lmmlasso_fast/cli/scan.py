"""`lmmlasso scan`: every SNP tested by itself."""

import warnings

import click
import numpy as np

from lmmlasso_fast.association import AssociationScan, association_scan, association_scan_loco
from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.analysed import Analysed, analyses
from lmmlasso_fast.cli.estimate import Scan
from lmmlasso_fast.cli.execution import execute
from lmmlasso_fast.cli.inputs import say_estimate
from lmmlasso_fast.cli.null import fit_null_model
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.covariates import as_design
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.results import write_json, write_table
from lmmlasso_fast.io.scan_tables import loco_content
from lmmlasso_fast.loco import offered_by_chromosome
from lmmlasso_fast.scan_steps import require_freedom

model_options = options.group(
    click.option(
        "--exact",
        is_flag=True,
        help="Estimate delta again for every SNP, by REML (GEMMA's -lmm 1).",
    ),
    click.option(
        "--loco",
        is_flag=True,
        help="Leave the SNPs of the tested one's chromosome out of the kinship.",
    ),
    click.option("--no-kinship", is_flag=True, help="Linear regression: no random effect."),
)


@click.command(short_help="Test every SNP by itself in the mixed model.")
@options.genotypes
@options.phenotype
@options.kinship
@options.null_model
@model_options
@options.filters
@options.output
def scan(**flags):
    """Test every SNP by itself in the mixed model: effect, standard error, p-value."""

    def body(run):
        _check(flags)
        for analysed in analyses(run, flags):
            scan_and_write(run, flags, analysed)

    execute("scan", flags, body)


def _check(flags: dict) -> None:
    """Refuse flags that change nothing beside others."""
    given = {"kinship_file", "grm", "kinship_samples"}
    if flags["no_kinship"]:
        without = {*given, "method", "log_delta", "exact", "loco"}
        options.ignored(without, "with --no-kinship")
    if flags["loco"]:
        options.ignored({*given, "log_delta"}, "with --loco")
    if flags["exact"]:
        options.ignored({"method", "log_delta"}, "with --exact, which takes REML")


def scan_and_write(run: Run, flags: dict, analysed: Analysed) -> AssociationScan:
    """Everything of `scan` after the input; has the result files written."""
    if flags["exact"]:
        flags = flags | {"method": "reml"}
    _require_freedom(analysed)
    run.scan = Scan(_n_kinships(flags, analysed.genotypes), flags["exact"])
    if flags["loco"] or flags["no_kinship"]:
        say_estimate(run, flags, analysed.genotypes)
        null = None
    else:
        null = fit_null_model(run, flags, analysed)
    genotypes = analysed.genotypes
    arguments = {"n_threads": run.threads}
    if null is None:
        arguments |= {
            "covariates": analysed.covariates,
            "covariate_names": analysed.covariate_names,
        }
    n_variants = int(genotypes.included.sum())
    with run.stage("scan"), run.progress("scan", n_variants) as arguments["progress"]:
        if flags["loco"]:
            found = association_scan_loco(
                genotypes, analysed.y, method=flags["method"], exact=flags["exact"], **arguments
            )
        else:
            found = association_scan(genotypes, analysed.y, null, exact=flags["exact"], **arguments)
    run.scan = None  # what may come after it is of another kind
    _say(run, analysed, found)
    if flags["loco"]:
        content = loco_content(found, flags["method"], analysed.transform, n_variants)
        run.write(f"{analysed.prefix}null.json", lambda path: write_json(content, path))
    elif null is None:
        run.leave_out(f"{analysed.prefix}null.json")
    run.write(
        f"{analysed.prefix}scan.tsv", lambda path: write_table(found.to_frame(genotypes), path)
    )
    return found


def _require_freedom(analysed: Analysed) -> None:
    """Refuse too many covariates before anything is fitted and said of a null model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again
        design = as_design(analysed.covariates, len(analysed.y), names=analysed.covariate_names)
    require_freedom(design)


def _n_kinships(flags: dict, genotypes: Genotypes) -> int:
    if flags["no_kinship"]:
        return 0
    return len(offered_by_chromosome(genotypes)[0]) if flags["loco"] else 1


def _say(run: Run, analysed: Analysed, found: AssociationScan) -> None:
    for null in found.chromosome_nulls:
        run.say(
            f"null model without chromosome {null.chromosome}: log delta {null.log_delta:.6f}, "
            f"h2 {null.h2:.4f}"
        )
    n_tested = int(found.tested.sum())
    n_not = int(analysed.genotypes.included.sum()) - n_tested
    text = f"scan ({found.test}): {n_tested} SNPs tested"
    if n_not:
        text += f", {n_not} in the span of the covariates"
    if n_tested:
        best = int(np.nanargmax(found.log10p))
        name = analysed.genotypes.variants["ID"][best]
        text += (
            f"; genomic-control lambda {found.genomic_lambda:.4f}, largest -log10 p "
            f"{found.log10p[best]:.4f} ({name})"
        )
    run.say(text)

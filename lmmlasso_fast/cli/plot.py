"""`lmmlasso plot`: pictures of the result files of a prefix."""

import re
from collections.abc import Callable, Iterator
from functools import partial

import click

from lmmlasso_fast import plots
from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.execution import execute
from lmmlasso_fast.cli.inputs import open_genotypes
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.io.ids import match_samples
from lmmlasso_fast.io.result_files import ResultFiles, expected_columns
from lmmlasso_fast.plots.style import FORMATS

#: What plots are drawn from, for a message.
_NEEDED = (
    "stability.tsv, scan.tsv, path.tsv with coef.tsv, cv.tsv, cv_pred.tsv, stability_path.tsv, "
    "null.json, kinship.npz"
)


@click.command(short_help="Draw every plot for which there are result files.")
@click.argument("prefix", metavar="PREFIX")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(FORMATS),
    default=["svg"],
    show_default=True,
    help="May be given several times.",
)
@click.option(
    "--before",
    metavar="PREFIX",
    help="Results of scan --no-kinship, for the QQ plot before and after.",
)
@click.option(
    "--cutoff",
    type=options.Number(0, 1, min_open=True),
    help="Selection frequency at which a line is drawn [default: the lowest one in "
    "PREFIX.stable.tsv, else PREFIX.selected.tsv].",
)
@click.option(
    "--region",
    metavar="CHR:START-END",
    help="Draw this region (base pairs), coloured by r2 to its lead; needs the genotypes.",
)
@click.option("--lead", metavar="ID", help="The region's lead [default: its best SNP].")
@options.genotypes
@click.option("--out", metavar="P", help="Prefix of the plots [default: PREFIX.plot].")
def plot(**flags):
    """Draw every plot for which PREFIX has result files: P.manhattan.svg, P.qq.svg, ...

    PREFIX is the prefix of the results, the --out of fit, cv, stability, scan, null or kinship;
    with several phenotypes it is OUT.NAME. Plots: manhattan, qq, coefficients, variance, cv,
    observed, stability, likelihood, kinship, regional.
    """
    flags["out"] = flags["out"] or f"{flags['prefix']}.plot"

    def body(run):
        files = _Noted(flags["prefix"], run)
        drawn = {}
        for name, draw in _pictures(run, flags, files):
            with run.stage(name):
                drawn[name] = _drawn(flags["prefix"], name, draw)
        if not drawn:
            raise InputError(
                f"{flags['prefix']}: expected result files such as {_NEEDED}, found none; PREFIX "
                "is the --out of the command that wrote them"
            )
        for name, figure in drawn.items():
            for format in dict.fromkeys(flags["formats"]):
                run.write(f"{name}.{format}", partial(_save, figure, format))

    execute("plot", flags, body)


class _Noted(ResultFiles):
    """Result files that are inputs of a run; what has no row counts as absent."""

    def __init__(self, prefix: str, run: Run):
        super().__init__(prefix)
        self._run = run

    def table(self, name: str):
        table = super().table(name)
        return None if table is None or table.is_empty() else table

    def _once(self, suffix: str, read):
        if self.file(suffix).exists():
            self._run.note_input(self.file(suffix))
        return super()._once(suffix, read)


def _drawn(prefix: str, name: str, draw: Callable):
    try:
        with expected_columns(f"{prefix}.*: plot {name}"):
            return draw()
    except ImportError as error:
        raise click.UsageError(str(error)) from error


def _save(figure, format: str, path) -> None:
    plots.save(figure, path, format=format)


def _pictures(run: Run, flags: dict, files: ResultFiles) -> Iterator[tuple[str, Callable]]:
    """Yield the name of each plot whose files are there, and what draws it."""
    stability, scan, path = files.stability, files.scan, files.path
    null, cv, held_out = files.null, files.cv, files.cv_pred
    cutoff = flags["cutoff"] or files.lowest_frequency
    if stability is None and files.stability_path is None:
        options.ignored({"cutoff"}, "without a stability result")
    if stability is not None or scan is not None:
        yield "manhattan", partial(plots.manhattan, stability, scan, cutoff=cutoff)
    before = None
    if flags["before"] is not None:
        before = _Noted(flags["before"], run).table("scan")
        if before is None:
            raise InputError(
                f"--before: expected the file {flags['before']}.scan.tsv, found none; it is the "
                "--out of lmmlasso scan --no-kinship"
            )
    if scan is not None or before is not None:
        yield "qq", partial(plots.qq, before, scan)
    if path is not None and files.coef is not None:
        coefs, alpha = files.coef, None if cv is None else _best_alpha(cv)
        yield "coefficients", partial(plots.coefficient_path, path, coefs=coefs, alpha=alpha)
    if path is not None:
        yield "variance", partial(plots.variance_split, path)
    elif null is not None and "h2" in null:
        yield "variance", partial(plots.variance_split, null)
    if cv is not None:
        yield "cv", partial(plots.cv_curve, cv)
    if held_out is not None:
        yield "observed", partial(plots.observed_predicted, held_out["PHENOTYPE"], held_out["PRED"])
    if files.stability_path is not None:
        along = files.stability_path
        yield "stability", partial(plots.stability_path, along, cutoff=cutoff)
    if null is not None and "profile" in null:
        yield "likelihood", partial(plots.likelihood_profile, null)
    if files.file("kinship.npz").exists():
        yield "kinship", partial(_kinship, run, files)
    if flags["region"] is not None:
        yield "regional", _region(run, flags, files, cutoff)
    else:
        others = {"prefix", "formats", "before", "cutoff", "region", "out"}
        options.ignored({p.name for p in plot.params} - others, "without --region")


def _best_alpha(cv) -> float:
    """Return the alpha of the largest explained variance."""
    return cv["ALPHA"][int(cv["EXPLAINED_VARIANCE"].arg_max())]


def _kinship(run: Run, files: ResultFiles):
    from lmmlasso_fast.io.kinship_files import load_kinship

    path = files.file("kinship.npz")
    run.note_input(path)
    return plots.kinship_heatmap(load_kinship(path))


def _region(run: Run, flags: dict, files: ResultFiles, cutoff: float | None) -> Callable:
    """Return what draws --region, with the r2 of the analysed samples where these are known."""
    found = re.fullmatch(r"(.+):([0-9]{1,18})-([0-9]{1,18})", flags["region"])
    if not found or int(found[2]) > int(found[3]):
        raise click.UsageError(
            f"--region {flags['region']}: expected CHR:START-END, such as 5:1000000-2000000"
        )
    scan, stability = files.scan, files.stability
    if scan is None and stability is None:
        raise InputError(
            f"--region: expected {files.prefix}.scan.tsv or {files.prefix}.stability.tsv, found "
            "neither; run lmmlasso scan or stability first"
        )
    genotypes = open_genotypes(run, flags)
    analysed = files.pred
    if analysed is not None:
        kept = match_samples(genotypes.samples, analysed.select("FID", "IID"), "the predictions")
        genotypes = genotypes.subset(kept >= 0)
    run.say(f"r2 from {genotypes.n_samples} samples")
    return partial(
        plots.regional,
        found[1],
        int(found[2]),
        int(found[3]),
        genotypes,
        scan=scan,
        stability=stability,
        lead=flags["lead"],
        cutoff=cutoff,
    )

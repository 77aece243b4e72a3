"""`lmmlasso cv`: the path of `fit`, and the alpha that predicts held-out samples best."""

import click
import numpy as np

from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.analysed import Analysed, analyses
from lmmlasso_fast.cli.checkpoint import fingerprint, finish_tasks, open_journal
from lmmlasso_fast.cli.estimate import Refits, estimate_tasks
from lmmlasso_fast.cli.execution import execute
from lmmlasso_fast.cli.exit_codes import EXIT_NOT_CONVERGED
from lmmlasso_fast.cli.fit import fit_path, model_options, optional_null_model, write_path
from lmmlasso_fast.cli.inputs import given_kinship
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.cross_validation import CrossValidation, CvPlan, collect, make_plan, run_folds
from lmmlasso_fast.errors import InputError, TableError
from lmmlasso_fast.folds import kinship_groups, make_folds
from lmmlasso_fast.io.cv_tables import held_out_table
from lmmlasso_fast.io.ids import match_samples
from lmmlasso_fast.io.results import write_table
from lmmlasso_fast.io.tables import read_table
from lmmlasso_fast.io.text import quote
from lmmlasso_fast.path import LassoPath, PathOptions
from lmmlasso_fast.suggestions import listed

#: Flags on which no fold depends.
_NEUTRAL = frozenset(["select", "n_active", "model_alphas", "strict"])

fold_options = options.group(
    click.option(
        "--folds", type=options.Whole(2), default=10, show_default=True, help="Number of folds."
    ),
    click.option(
        "--groups",
        metavar="COLUMN",
        help="Of the phenotype or covariate table: samples with one value (a family, a cage) are "
        "held out together. It is no covariate then, unless --covar-name has it.",
    ),
    click.option(
        "--kinship-threshold",
        type=options.Finite(),
        help="Hold out together whoever is related by more than this (kinship of mean diagonal 1).",
    ),
    click.option(
        "--repeats",
        type=options.Whole(1),
        default=1,
        show_default=True,
        help="Divisions into folds.",
    ),
    options.seed("Of the folds."),
    click.option(
        "--select",
        type=click.Choice(["best", "one-se"]),
        default="best",
        show_default=True,
        help="The alpha of predictions and selection: of the largest explained variance, or the "
        "largest one within a standard error of it.",
    ),
    options.n_active("Instead, the smallest alpha with at most so many active SNPs."),
)


@click.command(short_help="Explained variance of held-out samples; all that fit does.")
@options.paths(model_options, fold_options, options.resume)
def cv(**flags):
    """Cross-validation: explained variance of held-out samples, and everything `fit` writes.

    Predictions and selected SNPs are those of the chosen alpha.
    """

    def body(run):
        options.check_path(flags)
        check_folds(flags)
        run.refits = folds_to_fit(flags)
        for analysed in analyses(run, flags):
            cross_validate_and_write(run, flags, analysed)

    execute("cv", flags, body)


def check_folds(flags: dict) -> None:
    """Refuse flags that contradict each other."""
    if flags["groups"] is not None and flags["kinship_threshold"] is not None:
        raise click.UsageError("give --groups or --kinship-threshold, not both")
    if flags["n_active"] is not None:
        options.ignored({"select"}, "with --n-active")


def folds_to_fit(flags: dict) -> Refits:
    """Return how many folds there are, and of what size."""
    return Refits(flags["folds"] * flags["repeats"], share=1 - 1 / flags["folds"])


def cross_validate_and_write(run: Run, flags: dict, analysed: Analysed) -> None:
    """Everything of `cv` after the input; has the result files written."""
    groups = _groups(run, flags, analysed)
    null = optional_null_model(run, flags, analysed)
    path = fit_path(run, flags, analysed, null, flags["alphas"])
    _check_n_active(flags, path)
    plan = _plan(flags, analysed, path, groups)
    if plan.study.kinship is not None:
        run.warn(
            "the kinship was made of all samples, those of the test folds too: explained variance "
            "is flattered by what it knows of them"
        )
    belongs_to = fingerprint(run, flags, analysed, _NEUTRAL)
    with open_journal(run, flags, analysed, plan, belongs_to) as journal:
        results = finish_tasks(
            run,
            journal,
            range(len(plan.folds)),
            lambda tasks: run_folds(plan, tasks, run.n_jobs),
            "folds",
            lambda n_tasks: estimate_tasks(
                analysed.genotypes.n_samples,
                int(analysed.genotypes.included.sum()),
                n_tasks=n_tasks,
                n_alphas=len(path.alphas),
                workers=run.workers(n_tasks),
                with_kinship=plan.study.random_effect and plan.study.kinship is None,
                with_lengths=options.whitens(flags),
            ),
        )
    found = collect(plan, [results[k] for k in range(len(plan.folds))])
    index = _chosen(flags, found)
    _say(run, flags, found, index)
    tables = {
        "cv.tsv": found.to_frame,
        "cv_pred.tsv": lambda: held_out_table(found, analysed.genotypes, analysed.raw, index),
    }
    for suffix, make in tables.items():
        suffix = analysed.prefix + suffix
        run.write(suffix, lambda target, make=make: write_table(make(), target))
    write_path(run, flags, analysed, path, float(found.alphas[index]))
    run.afterwards(journal.remove)


def _plan(flags: dict, analysed: Analysed, path: LassoPath, groups: np.ndarray | None) -> CvPlan:
    K = None
    if path.null is not None and (given_kinship(flags) or flags["kinship_samples"] == "all"):
        K = path.null.kinship
    return make_plan(
        analysed.genotypes,
        analysed.raw,
        K,
        path=path,
        n_folds=flags["folds"],
        groups=groups,
        n_repeats=flags["repeats"],
        seed=flags["seed"],
        covariates=analysed.covariates,
        covariate_names=analysed.covariate_names,
        random_effect=path.null is not None,
        method=flags["method"],
        log_delta=flags["log_delta"],
        transform=flags["transform"],
        standardize=flags["standardize"],
        options=PathOptions(
            flags["alphas"],
            flags["n_alphas"],
            flags["eps"],
            flags["max_active"],
            flags["tol"],
            flags["l1_ratio"],
            options.penalty_factors(flags),
        ),
    )


def _groups(run: Run, flags: dict, analysed: Analysed) -> np.ndarray | None:
    """Return every analysed sample's group, whose samples are held out together.

    Folds that cannot be made are refused here, before anything is fitted.
    """
    n, n_folds = analysed.genotypes.n_samples, flags["folds"]
    make_folds(n, n_folds)
    if flags["groups"] is not None:
        groups = _column(run, flags, analysed)
    elif flags["kinship_threshold"] is not None:
        K = analysed.samples.kinship(run, flags)
        groups = kinship_groups(K, flags["kinship_threshold"], n_folds)
    else:
        return None
    make_folds(n, n_folds, groups=groups, n_repeats=flags["repeats"], seed=flags["seed"])
    return groups


def _column(run: Run, flags: dict, analysed: Analysed) -> np.ndarray:
    """Return every analysed sample's value in the column of --groups."""
    name = flags["groups"]
    files = [flags[key] for key in ("pheno", "covar") if flags[key] is not None]
    for file in files:
        table = read_table(file)
        if name not in table.columns[2:]:
            continue
        rows = match_samples(analysed.genotypes.samples, table, f"--groups {file}")
        values = table[name].fill_null("").to_numpy()[np.maximum(rows, 0)].astype(str)
        codes = list(flags["missing_code"])
        if "none" not in codes:
            codes.append("-9")
        lacking = (rows < 0) | np.isin(values, codes)
        lacking |= np.isin(np.char.lower(values), ["", "na", "nan", "."])
        if lacking.any():
            row = int(lacking.argmax())
            first = " ".join(analysed.genotypes.samples.select("FID", "IID").row(row))
            raise TableError(
                f"{file}: column {quote(name)}: expected a group for all {len(values)} analysed "
                f"samples, found {int(lacking.sum())} without; the first is {first}; drop these "
                "with --remove"
            )
        n_groups = len(np.unique(values))
        plural = "" if n_groups == 1 else "s"
        run.say(f"--groups: {n_groups} group{plural} in column {name} of {file}")
        return values
    columns = list(
        dict.fromkeys(column for file in files for column in read_table(file).columns[2:])
    )
    where = f"{', '.join(files)}: {listed(name, columns, quote)}" if files else "none is given"
    raise TableError(
        f"--groups {quote(name)}: expected a column of the phenotype or covariate table ({where}), "
        "found none of that name; correct the name"
    )


def _check_n_active(flags: dict, path: LassoPath) -> None:
    """Refuse a number of SNPs that the path never comes down to, before the folds are run."""
    fewest = int(path.n_active.min())
    if flags["n_active"] is not None and flags["n_active"] < fewest:
        raise InputError(
            f"--n-active: expected at least {fewest}, the fewest active SNPs at any --alpha, found "
            f"{flags['n_active']}; give larger alphas"
        )


def _chosen(flags: dict, found: CrossValidation) -> int:
    if flags["n_active"] is not None:
        return found.index_with_active(flags["n_active"])
    return found.best_index if flags["select"] == "best" else found.one_se_index


def _say(run: Run, flags: dict, found: CrossValidation, index: int) -> None:
    def at(k):
        text = f"{found.explained_variance[k]:.4f} (standard error {found.se[k]:.4f})"
        return f"{text} at alpha {found.alphas[k]:.6g}, {found.n_active[k]} SNPs"

    without = ""
    if found.n_active[0] == 0:
        without = f"; without SNPs {found.explained_variance[0]:.4f}"
    run.say(
        f"held-out explained variance: best {at(found.best_index)}; within one standard error "
        f"{at(found.one_se_index)}{without}"
    )
    run.say(f"predictions and selection: alpha {found.alphas[index]:.6g}")
    n_alphas = len(found.alphas)
    if found.best_index == n_alphas - 1:
        further, asked = "a smaller --eps", flags["n_alphas"]
        if flags["alphas"] is not None:
            further, asked = "a smaller --alpha", len(flags["alphas"])
        if n_alphas < asked:  # the path ended before
            further = "a larger --max-active"
        run.warn(f"the best alpha is the last one; {further} may predict better")
    if not found.converged.all():
        run.warn(f"{int((~found.converged).sum())} alphas did not converge in some fold")
        if flags["strict"]:
            run.exit_code = EXIT_NOT_CONVERGED

"""`lmmlasso stability` and `merge`: selection frequencies, LD groups and error bounds."""

import json
import warnings
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from itertools import pairwise

import click

import lmmlasso_fast
from lmmlasso_fast import error_bounds
from lmmlasso_fast.checks import MOST_TIMES
from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.analysed import Analysed, analyses, only_analysis
from lmmlasso_fast.cli.checkpoint import check_results, fingerprint, finish_tasks, open_journal
from lmmlasso_fast.cli.estimate import Refits, estimate_tasks
from lmmlasso_fast.cli.execution import execute
from lmmlasso_fast.cli.inputs import say_estimate
from lmmlasso_fast.cli.null import fit_null_model
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.io import stability_tables
from lmmlasso_fast.io.journal import JournalError, check_same, merge_journals, read_journal
from lmmlasso_fast.io.results import write_table
from lmmlasso_fast.io.text import failure, quote
from lmmlasso_fast.path import PathOptions
from lmmlasso_fast.stability import (
    Plan,
    StabilityResult,
    collect,
    make_plan,
    run_replicates,
)

_DEFAULT_CUTOFF, _DEFAULT_N_ACTIVE = 0.75, 20
#: Alphas that a replicate takes until its SNPs are active, roughly.
_PASSES = 30
#: Flags of what is made of the replicates.
_REPORT = ("cutoff", "max_false", "assumption", "ld_r2", "ld_window")
#: Flags on which no replicate depends, or only through what `_fingerprint` adds.
_NEUTRAL = frozenset(["partial", "replicates", "n_active", *_REPORT])
_ABSENT = object()


class Replicates(click.ParamType):
    """A number of replicates, or a range of them A:B (B excluded)."""

    name = "replicates"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        first, colon, last = str(value).rpartition(":")
        try:
            if not options.is_plain(first + last):
                raise ValueError
            numbers = (int(first) if colon else 0, int(last))
        except ValueError:
            self.fail(f"{value!r} is neither a number nor a range such as 0:25.", param, ctx)
        if not 0 <= numbers[0] < numbers[1]:
            self.fail(f"{value!r} holds no replicate.", param, ctx)
        if numbers[1] > MOST_TIMES:
            self.fail(f"{value!r}: at most {MOST_TIMES} replicates.", param, ctx)
        return numbers


subsample_options = options.group(
    click.option(
        "--replicates",
        type=Replicates(),
        default="100",
        show_default=True,
        metavar="N|A:B",
        help="Fits on subsamples, in pairs; with --partial a range of them.",
    ),
    click.option(
        "--fraction",
        type=options.Number(0, 1, min_open=True, max_open=True),
        default=0.5,
        show_default=True,
        help="Share of the individuals in a subsample.",
    ),
    click.option("--no-pairs", is_flag=True, help="Independent subsamples, not complementary."),
    options.n_active(
        f"SNPs that each fit selects [default: {_DEFAULT_N_ACTIVE}, or from --max-false]."
    ),
    click.option(
        "--cutoff",
        type=options.Number(0.5, 1, min_open=True),
        help="Frequency from which a SNP is selected "
        f"[default: {_DEFAULT_CUTOFF}, or from --max-false and --n-active].",
    ),
    click.option(
        "--max-false",
        type=options.Number(0, min_open=True),
        help="Bound on the expected number of false selections, from which --n-active or --cutoff "
        "is found.",
    ),
    click.option(
        "--assumption",
        type=click.Choice(["unimodal", "r-concave", "none"]),
        default="unimodal",
        show_default=True,
        help="Of the bound; 'none' is Meinshausen and Buhlmann's.",
    ),
    click.option(
        "--ld-r2",
        type=options.Number(0, 1, min_open=True),
        default=0.5,
        show_default=True,
        help="SNPs that correlate this much with a more frequent one are in its LD group ...",
    ),
    click.option(
        "--ld-window",
        type=options.Whole(0),
        default=1_000_000,
        show_default=True,
        help="... if they are at most so many base pairs away.",
    ),
    options.seed("Of the subsamples."),
    click.option(
        "--partial",
        is_flag=True,
        help="Write P.partial with the results of these replicates alone, for lmmlasso merge.",
    ),
)


@click.command(short_help="How often each SNP is selected on halves of the samples.")
@options.paths(subsample_options, options.resume)
def stability(**flags):
    """Stability selection: which SNPs are selected on many halves of the samples."""

    def body(run):
        options.check_path(flags)
        check_subsamples(flags)
        for analysed in analyses(run, flags):
            select_and_write(run, flags, analysed)

    execute("stability", flags, body)


def check_subsamples(flags: dict) -> None:
    """Refuse flags that contradict each other."""
    if flags["alphas"] is not None:
        options.ignored({"n_active", "max_false"}, "with --alpha")
    elif flags["n_alphas"] == 1:
        raise click.UsageError("--n-alphas 1: no SNP is active at the first alpha; give 2 or more")
    first, last = flags["replicates"]
    if first and not flags["partial"]:
        raise click.UsageError("--replicates A:B is for --partial")
    if last % 2 and not flags["partial"] and not flags["no_pairs"]:
        raise click.UsageError(
            f"--replicates {last}: pairs make an even number; give another, or --no-pairs"
        )
    if flags["fraction"] > 0.5 and not flags["no_pairs"]:
        raise click.UsageError(
            f"--fraction {flags['fraction']:g}: the halves of a pair have no individual in common; "
            "give at most 0.5, or --no-pairs"
        )
    if flags["max_false"] is None:
        return
    if flags["n_active"] is not None and flags["cutoff"] is not None:
        raise click.UsageError("give two of --n-active, --cutoff and --max-false")
    if flags["partial"]:
        raise click.UsageError(
            "--max-false needs the number of all replicates; with --partial give --n-active"
        )
    if flags["fraction"] != 0.5:
        raise click.UsageError("--max-false needs --fraction 0.5: the bounds are of halves")
    if flags["no_pairs"] and flags["assumption"] != "none":
        raise click.UsageError("--max-false and --no-pairs need --assumption none")


def select_and_write(run: Run, flags: dict, analysed: Analysed) -> None:
    """Everything of `stability` after the input; has the result files written."""
    first, last = flags["replicates"]
    plan, cutoff = _plan(run, flags, analysed, last - first)
    belongs_to = _fingerprint(run, flags, analysed, plan)
    journal = open_journal(run, flags, analysed, plan, belongs_to)
    with journal:
        results = finish_tasks(
            run,
            journal,
            range(first, last),
            lambda tasks: run_replicates(plan, tasks, run.n_jobs),
            "replicates",
            lambda n_tasks: estimate_tasks(
                plan.n_drawn,
                int(analysed.genotypes.included.sum()),
                n_tasks=n_tasks,
                n_alphas=min(flags["n_alphas"], _PASSES),
                workers=run.workers(n_tasks),
                with_lengths=options.whitens(flags),
            ),
        )
    if flags["partial"]:
        run.say(f"replicates {first} to {last - 1} are in {run.out}.{analysed.prefix}partial")
        return
    _write(run, flags, analysed, plan, cutoff, results, last)
    run.afterwards(journal.remove)


def _fingerprint(run: Run, flags: dict, analysed: Analysed, plan: Plan) -> dict:
    numbers = {"n_active": plan.n_active, "n_drawn": plan.n_drawn}
    return fingerprint(run, flags, analysed, _NEUTRAL) | {"replicates": numbers}


def _plan(run: Run, flags: dict, analysed: Analysed, n_replicates: int) -> tuple[Plan, float]:
    """Return the plan of the replicates and the cutoff, whichever of the three is to be found.

    What cannot be is refused before anything is fitted; `n_replicates` are yet to be run.
    """
    n_active, cutoff = _choose(flags, int(analysed.genotypes.included.sum()))
    make = partial(
        make_plan,
        analysed.genotypes,
        analysed.y,
        n_active=n_active,
        fraction=flags["fraction"],
        complementary=not flags["no_pairs"],
        seed=flags["seed"],
        covariates=analysed.covariates,
        covariate_names=analysed.covariate_names,
        options=PathOptions(
            flags["alphas"],
            flags["n_alphas"],
            flags["eps"],
            tol=flags["tol"],
            l1_ratio=flags["l1_ratio"],
            penalty_factors=options.penalty_factors(flags),
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again
        make(random_effect=False)
    limit = None if flags["alphas"] is not None else n_active
    run.refits = Refits(n_replicates, flags["fraction"], limit)
    without_path = flags | {"alphas": None, "n_alphas": 0}  # there is none of all samples
    if flags["no_kinship"]:
        say_estimate(run, without_path, analysed.genotypes)
        run.leave_out(f"{analysed.prefix}null.json")
        return make(random_effect=False), cutoff
    K = fit_null_model(run, without_path, analysed).kinship
    return make(K=K, method=flags["method"], log_delta=flags["log_delta"]), cutoff


def _choose(flags: dict, n_offered: int) -> tuple[int, float]:
    """Return (n_active, cutoff), given two of these and --max-false, or the defaults."""
    n_active, cutoff, max_false = flags["n_active"], flags["cutoff"], flags["max_false"]
    if max_false is None:
        return n_active or min(_DEFAULT_N_ACTIVE, n_offered), cutoff or _DEFAULT_CUTOFF
    n_replicates = flags["replicates"][1]
    if n_active is not None:
        cutoff = error_bounds.smallest_cutoff(
            n_active, max_false, n_offered, n_replicates, flags["assumption"]
        )
        return n_active, cutoff
    cutoff = cutoff or _DEFAULT_CUTOFF
    n_active = error_bounds.largest_n_active(
        cutoff, max_false, n_offered, n_replicates, flags["assumption"]
    )
    if n_active == 0:
        raise InputError(
            f"--max-false {max_false:g}: with cutoff {cutoff:g} and {n_replicates} replicates not "
            "even one SNP can be selected per replicate; allow more, or raise --cutoff"
        )
    return n_active, cutoff


def _write(
    run: Run, flags: dict, analysed: Analysed, plan: Plan, cutoff: float, results: dict, n: int
) -> None:
    genotypes = analysed.genotypes
    with run.stage("count"):
        found = collect(
            plan,
            [results[r] for r in range(n)],
            genotypes,
            r2=flags["ld_r2"],
            window=flags["ld_window"],
        )
    _say(run, flags, plan, found, cutoff)
    bounds = stability_tables.bounds_table(found)
    tables = {
        "stability.tsv": lambda: found.to_frame(genotypes),
        "stability_path.tsv": lambda: stability_tables.path_table(found, genotypes),
        "loci.tsv": lambda: stability_tables.loci_table(found, genotypes),
        "bounds.tsv": lambda: bounds,
        "selected.tsv": lambda: stability_tables.selected_table(found, genotypes, cutoff),
        "replicates.tsv": lambda: stability_tables.replicates_table(found),
    }
    for suffix, make in tables.items():
        suffix = analysed.prefix + suffix
        run.write(suffix, lambda target, make=make: write_table(make(), target))


def _say(run: Run, flags: dict, plan: Plan, found: StabilityResult, cutoff: float) -> None:
    for replicate, message in found.failures.items():
        run.warn(f"replicate {replicate} failed and counts as selecting nothing: {message}")
    n_not_converged = int((~found.converged).sum()) - len(found.failures)
    if n_not_converged:
        run.warn(f"{n_not_converged} replicates have a duality gap above the tolerance")
    short = int((found.n_selected < (found.n_active or 0)).sum()) - len(found.failures)
    if short > 0:
        run.warn(
            f"{short} replicates ended with fewer than {found.n_active} active SNPs; "
            + _how_to_go_on(flags, plan)
        )
    chosen = found.selected(cutoff)
    n_groups = int((found.group_frequency >= cutoff).sum())
    promise = _promise(flags, found, cutoff)
    run.say(f"cutoff {cutoff:g}: {len(chosen)} SNPs and {n_groups} LD groups selected, {promise}")


def _how_to_go_on(flags: dict, plan: Plan) -> str:
    """Return what lets replicates reach the number of active SNPs that they were to have."""
    most = plan.n_drawn - plan.study.design.matrix.shape[1]
    if flags["l1_ratio"] == 1 and plan.n_active > most:
        return (
            f"a Lasso of {plan.n_drawn} individuals has {most} at most, so give a smaller "
            "--n-active"
        )
    return "a smaller --eps lets them go on"


def _promise(flags: dict, found: StabilityResult, cutoff: float) -> str:
    """Return what is known of the false ones among the selected SNPs."""
    if found.n_drawn != found.n_samples // 2:
        why = "bounds are of halves, --fraction 0.5"
    elif flags["no_pairs"] and flags["assumption"] != "none":
        why = "with --no-pairs only --assumption none has one"
    else:
        try:
            bound = found.bound(cutoff, flags["assumption"])
            return f"expected number of false SNPs at most {bound:.3g}"
        except InputError as error:
            why = options.in_flags(str(error), stability)
    return f"no bound on false selections ({why})"


@click.command(short_help="Join the parts that stability --partial wrote.")
@click.argument("partial", nargs=-1, required=True)
@options.output
def merge(**flags):
    """Join the files that `lmmlasso stability --partial` wrote, and write what one run would have.

    The inputs that the partial files name are read again, and must not have changed.
    """

    def body(run):
        kind, expected, given, results = merge_journals(flags["partial"])
        if kind != "stability":
            raise InputError(
                f"{flags['partial'][0]}: expected results of lmmlasso stability --partial, found "
                f"a checkpoint of {kind}; name other files"
            )
        _check_flags(flags["partial"][0], given)
        n = _n_replicates(flags["partial"], expected, given, results)
        run.say(f"{n} replicates, 0 to {n - 1}, in {len(flags['partial'])} files")
        whole = given | {key: flags[key] for key in ("out", "threads")}
        whole |= {"replicates": (0, n), "partial": False}
        if given["pheno_name"] is not None:  # one of several, perhaps
            whole["pheno_name"] = expected["phenotype"]
        analysed = only_analysis(run, whole)
        plan, cutoff = _plan(run, whole, analysed, 0)
        check_same(
            expected, _fingerprint(run, whole, analysed, plan), flags["partial"][0], "its input"
        )
        check_results(flags["partial"][0], results, plan)
        for path in flags["partial"]:
            run.note_input(path)
        _write(run, whole, analysed, plan, cutoff, results, n)

    def named():
        for path in flags["partial"]:
            with suppress(JournalError):  # body says so
                yield read_journal(path)[2]

    execute("merge", flags, body, named=named)


def _check_flags(path: str, given: dict) -> None:
    """Refuse a partial file whose options are not what this command writes there."""
    context = click.Context(stability)
    for option in stability.params:
        value = given.get(option.name, _ABSENT)
        try:
            known = json.dumps(value) == json.dumps(_taken(option, value, context))
        except (click.UsageError, TypeError, ValueError):
            known = False
        if not known or (isinstance(value, str) and "\0" in value):
            raise failure(
                JournalError,
                path,
                f"option {option.name!r}",
                expected=f"what {option.opts[0]} takes",
                found="no such field" if value is _ABSENT else quote(json.dumps(value)),
                advice="run again what should have written the file",
            )


def _taken(option: click.Parameter, value, context: click.Context):
    """Return what a flag makes of a value, given as on the command line."""
    default = option.get_default(context)
    if value is None and isinstance(default, str | int | float):
        return default  # which is what would stand there
    if option.is_flag and value is not None and not isinstance(value, bool):
        raise TypeError(value)
    if isinstance(value, list) and not option.multiple:
        separator = ":" if isinstance(option.type, Replicates) else ","
        value = separator.join(map(str, value))
    return option.type_cast_value(context, value)


def _n_replicates(paths, fingerprint: dict, given: dict, results: dict) -> int:
    """Return how many replicates the files are of; raise unless these are there."""
    mine = {"version": lmmlasso_fast.__version__}
    check_same(mine, {"version": fingerprint.get("version")}, paths[0], "of another version")
    n = 1 + max(results, default=-1)
    for path in paths:
        _, _, asked, _ = read_journal(path)
        _check_flags(path, asked)
        n = max(n, asked["replicates"][1])
        check_same(
            {name: given[name] for name in _REPORT},
            {name: asked[name] for name in _REPORT},
            path,
            f"asked for another report than {paths[0]}",
        )
    if len(results) < n:
        raise InputError(
            f"merge: expected the replicates 0 to {n - 1} at least, found {len(results)} of "
            f"these {n}; missing are {_gaps(results, n)}: give the files with these too, or end "
            "the runs that make them (--resume)"
        )
    if n % 2 and not given["no_pairs"]:
        raise InputError(
            f"merge: expected an even number of replicates, as they are pairs, found {n}, 0 to "
            f"{n - 1}; give the file with replicate {n} too"
        )
    return n


def _gaps(numbers: Iterable[int], n: int) -> str:
    """Return the numbers below n that are not among others, as text: 0, 4 to 8."""
    around = pairwise([-1, *sorted(numbers), n])
    gaps = [(before + 1, after - 1) for before, after in around if after - before > 1]
    texts = [str(a) if a == b else f"{a} to {b}" for a, b in gaps]
    return ", ".join(texts[:10]) + (" ..." if len(texts) > 10 else "")

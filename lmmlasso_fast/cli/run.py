"""`lmmlasso run`: the whole analysis in one command."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import click

from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.analysed import Analysed, analyses
from lmmlasso_fast.cli.checkpoint import fingerprint
from lmmlasso_fast.cli.config import config_text, read_config
from lmmlasso_fast.cli.cv import check_folds, cross_validate_and_write, cv, folds_to_fit
from lmmlasso_fast.cli.execution import execute
from lmmlasso_fast.cli.exit_codes import EXIT_OK
from lmmlasso_fast.cli.fit import fit, fit_and_write
from lmmlasso_fast.cli.inputs import given_kinship, note_given_kinship
from lmmlasso_fast.cli.null import fit_null_model, null
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.cli.scan import scan, scan_and_write
from lmmlasso_fast.cli.stability import check_subsamples, select_and_write, stability
from lmmlasso_fast.cli.steps import FinishedSteps
from lmmlasso_fast.io.kinship_files import save_kinship
from lmmlasso_fast.report import write_report


@dataclass(frozen=True)
class Step:
    """A part of the analysis.

    Attributes
    ----------
    command : click.Command
        The subcommand that does it alone; the step depends on this one's flags.
    work : function (run, flags, analysed)
        Has the result files written.
    renamed : function (flags) -> dict
        Result files that another step would replace, and what they are called instead.
    has_checkpoint : bool
        Whether it can be resumed in its midst.
    """

    command: click.Command
    work: Callable[[Run, dict, Analysed], object]
    renamed: Callable[[dict], dict[str, str]] = lambda flags: {}
    has_checkpoint: bool = False


def _write_kinship(run: Run, flags: dict, analysed: Analysed) -> None:
    kinship = analysed.samples.kinship(run, flags)
    run.write(f"{analysed.prefix}kinship.npz", lambda path: save_kinship(kinship, path))


def _renamed_by_scan(flags: dict) -> dict[str, str]:
    """The null models of --loco and --exact are not those of the Lasso."""
    return {"null.json": "scan_null.json"} if flags["loco"] or flags["exact"] else {}


def _renamed_by_stability(flags: dict) -> dict[str, str]:
    return {"selected.tsv": "stable.tsv"}


#: In the order in which they are done.
STEPS = {
    "kinship": Step(null, _write_kinship),
    "null": Step(null, fit_null_model),
    "scan": Step(scan, scan_and_write, _renamed_by_scan),
    "fit": Step(fit, fit_and_write),
    "cv": Step(cv, cross_validate_and_write, has_checkpoint=True),
    "stability": Step(stability, select_and_write, _renamed_by_stability, has_checkpoint=True),
}
_DEFAULT_STEPS = "null,scan,cv,stability"
#: Steps that there are not without a kinship.
_OF_KINSHIP = frozenset(["kinship", "null"])
#: Flags of single commands that are not offered: of two, --n-active is that of stability.
_NOT_OFFERED = {"cv": {"n_active"}, "stability": {"partial"}}


class _StepNames(click.ParamType):
    """Names of steps, separated by commas."""

    name = "steps"

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        one = click.Choice(list(STEPS))
        chosen = {one.convert(part.strip(), param, ctx) for part in value.split(",")}
        return [name for name in STEPS if name in chosen]


#: What flags say of themselves that mean more, or less, here than in a single command.
_HELP = {
    "replicates": "Fits on subsamples, in pairs.",
    "seed": "Of folds, of subsamples and of the draws of --fwer.",
    "resume": "Go on where an earlier run with the same --out ended: steps that are done and whose "
    "input and flags are the same are not redone.",
    "max_active": "End the path before more SNPs than this are active [default: half the samples; "
    "what comes later fits noise, and takes most of the time].",
    "n_active": "SNPs that each fit of the step stability selects [default: 20, or from "
    "--max-false].",
}


def _params() -> list[click.Option]:
    """Return every flag of the steps once."""
    found = {}
    for step in (STEPS[name] for name in ("fit", "cv", "scan", "stability")):
        for option in step.command.params:
            if option.name not in _NOT_OFFERED.get(step.command.name, ()):
                found.setdefault(option.name, option)
    for name, text in _HELP.items():
        found[name] = copy(found[name])
        found[name].help = text
    found["replicates"].metavar = "N"
    found["out"] = copy(found["out"])
    found["out"].required = False  # a file may have it, and --write-config does without
    return list(found.values())


@click.command(short_help="The whole analysis in one command, with the report.", params=_params())
@click.option(
    "--steps",
    type=_StepNames(),
    default=_DEFAULT_STEPS,
    show_default=True,
    metavar="NAME[,NAME]",
    help=f"What to do, among {', '.join(STEPS)}; cv includes all of fit.",
)
@click.option(
    "--config",
    metavar="FILE",
    is_eager=True,
    callback=read_config,
    help="TOML file with flags (n-alphas = 50); those of the command line go before.",
)
@click.option(
    "--write-config",
    is_flag=True,
    help="Print all flags with their values as such a file, and do nothing else.",
)
def run(**flags):
    """The whole analysis: null model, scan, Lasso path, cross-validation, stability, report.

    Kinship, its decomposition and the null model are computed once. The files are those of the
    single commands, but for P.stable.tsv, which is the P.selected.tsv of stability, and
    P.scan_null.json, the P.null.json of scan --exact or --loco. P.steps.json says what is done, and
    P.report.html shows all of it.
    """
    context = click.get_current_context()
    if flags["replicates"][0]:
        raise click.UsageError("--replicates A:B is for lmmlasso stability --partial")
    if flags.pop("write_config"):
        shown = flags | {"replicates": flags["replicates"][1]}
        click.echo(config_text(context.command, shown))
        return
    if flags["out"] is None:
        raise click.MissingParameter(param=next(p for p in run.params if p.name == "out"))

    prefixes = []

    _check(flags)  # before an earlier run's log and record are replaced

    def body(run):
        if "cv" in flags["steps"]:
            run.refits = folds_to_fit(flags)
        for analysed in analyses(run, flags):
            _take_steps(run, flags, analysed)
            prefixes.append(f"{run.out}.{analysed.prefix}".removesuffix("."))

    def then():
        for prefix in prefixes:
            click.echo(f"wrote {write_report(prefix)}: open it in a browser", err=True)

    execute("run", flags, body, then)


def _check(flags: dict) -> None:
    """Refuse flags that change nothing, or contradict each other."""
    steps = flags["steps"]
    used = {option.name for name in steps for option in STEPS[name].command.params}
    unused = {option.name for option in run.params} - used - {"steps", "config", "resume"}
    options.ignored(unused, f"with the steps {', '.join(steps)}", in_file=False)
    options.check_path(flags)
    if flags["no_kinship"]:
        options.ignored({"exact", "loco"}, "with --no-kinship")
    if {"fit", "cv"} <= set(steps):
        raise click.UsageError("--steps: cv includes all of fit; leave fit out")
    if flags["no_kinship"] and set(steps) <= _OF_KINSHIP:
        raise click.UsageError(f"--steps {','.join(steps)}: there is none with --no-kinship")
    if flags["fwer"] is None:
        options.ignored({"n_draws"}, "without --fwer")
    if "cv" in steps:
        check_folds(_flags_of("cv", flags))
    if "stability" in steps:
        check_subsamples(_flags_of("stability", flags))


def _flags_of(step: str, flags: dict) -> dict:
    """Return what the single command would have been given."""
    without = {"n_active": None} if step == "cv" else {"partial": False}
    names = {option.name for option in STEPS[step].command.params}
    return {name: value for name, value in (flags | without).items() if name in names}


def _take_steps(run: Run, flags: dict, analysed: Analysed) -> None:
    """Do what is not done yet; the files of each step are there before the next one begins."""
    exit_code = run.exit_code
    if flags["max_active"] is None and flags["alphas"] is None:
        limit = len(analysed.y) // 2
        flags = flags | {"max_active": limit}
        if analysed.prefix:
            run.found.setdefault("max_active", {})[analysed.prefix.removesuffix(".")] = limit
        else:
            run.found["max_active"] = limit
    if given_kinship(flags) is not None:
        note_given_kinship(run, flags)
    finished = FinishedSteps(run, analysed.prefix, resume=flags["resume"])
    finished.leave_out_others(
        flags["steps"],
        lambda name: fingerprint(run, _flags_of(name, flags), analysed, frozenset()),
    )
    run.write_outputs()  # the lists of SNPs, which belong to no step
    for name in flags["steps"]:
        if flags["no_kinship"] and name in _OF_KINSHIP:
            continue
        own = _flags_of(name, flags)
        belongs_to = fingerprint(run, own, analysed, frozenset())
        code = finished.exit_code_of(name, belongs_to)
        if code is None:
            run.say(f"step {name}")
            # a checkpoint holds the flags, the estimate of the others is of the whole run
            given = own if STEPS[name].has_checkpoint else flags | own
            code, suffixes = _take_step(run, STEPS[name], given, analysed)
            finished.add(name, belongs_to, suffixes, code)
            run.checkpoint = str(finished.path)
        else:
            run.list_outputs(finished.files_of(name))
        exit_code = max(exit_code, code)
    run.exit_code = exit_code


def _take_step(run: Run, step: Step, flags: dict, analysed: Analysed) -> tuple[int, list[str]]:
    """Return the exit code of the step and the suffixes of the files that it wrote."""
    run.exit_code = EXIT_OK
    prefix = analysed.prefix
    renamed = {f"{prefix}{old}": f"{prefix}{new}" for old, new in step.renamed(flags).items()}
    with run.renaming(renamed):
        step.work(run, flags, analysed)
    if step.command is scan and not renamed:
        run.leave_out(f"{prefix}scan_null.json")  # that of an earlier run with --loco
    suffixes = run.write_outputs()
    return run.exit_code, suffixes

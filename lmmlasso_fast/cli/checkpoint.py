"""Checkpoints of long runs: what is in one, and whether it belongs to this run."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import lmmlasso_fast
from lmmlasso_fast.cli.analysed import Analysed
from lmmlasso_fast.cli.inputs import SOURCES, genotype_files, say_time
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.cross_validation import CvPlan
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.io.journal import Journal, JournalError, read_journal
from lmmlasso_fast.io.text import failure, quote
from lmmlasso_fast.stability import Plan

_LISTS = ("pheno", "covar", "keep", "remove", "extract", "exclude")
#: Files beside or instead of the one that a source names.
_BESIDE = ("bed", "bim", "fam", "sample", "annotation")
#: Flags that name files, whose content counts and not where they are.
_FILES = frozenset([*SOURCES, *_BESIDE, *_LISTS, "kinship_file", "grm"])
#: Flags on which no result depends, and the phenotype, which is named besides.
_NEUTRAL = frozenset(["out", "threads", "resume", "pheno_name"])


def fingerprint(run: Run, flags: dict, analysed: Analysed, neutral: frozenset[str]) -> dict:
    """What two runs must have in common for one to use the other's tasks.

    `neutral` are further flags on which no task depends.
    """
    run.require_unchanged()
    skip = _FILES | _NEUTRAL | neutral
    content = {
        "version": lmmlasso_fast.__version__,
        "phenotype": analysed.phenotype,
        "samples": analysed.genotypes.n_samples,
        "inputs": _inputs(run, flags),
        "options": {name: value for name, value in flags.items() if name not in skip},
    }
    return json.loads(json.dumps(content))  # as it will be read back: lists, no tuples


def _inputs(run: Run, flags: dict) -> dict:
    """What is in every file, by what it is used for: names may be the same, or have changed."""
    files = {
        Path(file["path"]): {key: file.get(key) for key in ("size", "sha256")}
        for file in run.fingerprints()
    }
    used = {name: Path(path) for name, path in genotype_files(flags).items()}
    used |= {name: Path(flags[name]) for name in _LISTS if flags[name] is not None}
    kinship = [content for path, content in files.items() if path not in used.values()]
    return {name: files[path] for name, path in used.items()} | {"kinship": kinship}


def finish_tasks(
    run: Run,
    journal: Journal,
    tasks: Iterable[int],
    work: Callable[[list[int]], Iterator[tuple[int, dict]]],
    what: str,
    seconds: Callable[[int], float],
) -> dict[int, dict]:
    """Run the tasks that the journal does not have; return the results of all it then has.

    `work(tasks)` yields (task, result); each is in the file before the next is looked at.
    `seconds(n_tasks)` is what they are expected to take.
    """
    tasks = list(tasks)
    missing = [task for task in tasks if task not in journal.results]
    if len(missing) < len(tasks):
        run.say(f"resumed: {len(tasks) - len(missing)} of {len(tasks)} {what} were done before")
    if missing:
        say_time(run, seconds(len(missing)), f"for {len(missing)} {what}")
    done = len(tasks) - len(missing)
    with (
        run.stage(what),
        run.progress(what, len(tasks)) as progress,
        closing(work(missing)) as finished,
    ):
        for task, result in finished:
            journal.append(task, result)
            done += 1
            progress(done, len(tasks))
    return journal.results


def check_results(path: str, results: dict[int, dict], plan: Plan | CvPlan) -> None:
    """Refuse results that the plan's replicates or folds do not have: checksums are no secret.

    Raises
    ------
    JournalError
        Names the first task of which one is not.
    """
    of_folds = isinstance(plan, CvPlan)
    for task, result in results.items():
        if not (_is_fold(task, result, plan) if of_folds else _is_replicate(result, plan)):
            raise failure(
                JournalError,
                path,
                f"task {task}: not what lmmlasso writes",
                expected=f"the result of {'a fold' if of_folds else 'a replicate'}",
                found=quote(json.dumps(result)),
                advice="start again",
            )


def _is_replicate(result: dict, plan: Plan) -> bool:
    if set(result) == {"error"}:
        return isinstance(result["error"], str)
    if set(result) != {"alphas", "changes", "gap", "log_delta"}:
        return False
    alphas, changes = result["alphas"], result["changes"]
    given, n_variants = plan.study.options.alphas, plan.study.genotypes.n_variants
    return (
        _are_numbers(alphas)
        and (len(alphas) > 0 if given is None else alphas == given.tolist())
        and isinstance(changes, list)
        and len(changes) == len(alphas)
        # -1 - j is SNP j, which leaves
        and all(
            isinstance(snps, list)
            and all(type(j) is int and -n_variants <= j < n_variants for j in snps)
            for snps in changes
        )
        and _are_numbers([result["gap"]])
        and (result["log_delta"] is None or _are_numbers([result["log_delta"]]))
    )


def _is_fold(task: int, result: dict, plan: CvPlan) -> bool:
    if task >= len(plan.folds) or set(result) != {"predictions", "gaps", "alpha_max", "log_delta"}:
        return False
    rows, gaps = result["predictions"], result["gaps"]
    return (
        _are_numbers(gaps)
        and len(gaps) > 0
        and isinstance(rows, list)
        and len(rows) == len(plan.folds[task].test)
        and all(_are_numbers(row) and len(row) == len(gaps) for row in rows)
        and _are_numbers([result["alpha_max"]])
        and (result["log_delta"] is None or _are_numbers([result["log_delta"]]))
    )


def _are_numbers(values) -> bool:
    # the journal refuses floats that are not finite; a whole number may be beyond them
    return isinstance(values, list) and all(
        type(value) in (int, float) and abs(value) <= sys.float_info.max for value in values
    )


def open_journal(
    run: Run, flags: dict, analysed: Analysed, plan: Plan | CvPlan, belongs_to: dict
) -> Journal:
    """Begin OUT.KIND.checkpoint or, for partial results, OUT.partial; or go on with it (--resume).

    Raises
    ------
    InputError
        Partial results are there, which are not replaced without a word; nor is what cannot be
        read, which may have been some.
    """
    kind = "cv" if isinstance(plan, CvPlan) else "stability"
    partial = flags.get("partial", False)
    path = f"{run.out}.{analysed.prefix}{'partial' if partial else f'{kind}.checkpoint'}"
    if not flags["resume"] and os.path.exists(path):
        found, advice = _what_is_in(path)
        if found and partial:
            raise InputError(
                f"{path}: expected no such file, found one with {found}; {advice}, or choose "
                "another --out"
            )
        if found:
            run.warn(f"{path}: replaced; it had {found}")
    start = Journal.resume if flags["resume"] else Journal.create
    # absolute names: partial files may be merged elsewhere
    files = {name: os.path.abspath(flags[name]) for name in _FILES if flags[name] is not None}
    journal = start(path, kind, belongs_to, json.loads(json.dumps(flags | files)))
    try:
        check_results(path, journal.results, plan)
    except JournalError:
        journal.close()
        raise
    run.checkpoint = path
    return journal


def _what_is_in(path: str) -> tuple[str, str]:
    """Say what a journal has, and how to keep it; nothing if it has no result."""
    try:
        results = read_journal(path)[3]
    except JournalError as error:
        if os.path.isfile(path) and not os.path.getsize(path):
            return "", ""
        return f"what cannot be read ({error})", "move it away"
    return f"{len(results)} finished tasks" if results else "", "add --resume to go on with it"

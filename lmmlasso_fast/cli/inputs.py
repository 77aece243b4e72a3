"""From flags to files: genotypes with their filters, and kinship matrices that are given."""

import string
from collections.abc import Iterable
from contextlib import contextmanager
from os.path import isfile, splitext

import click
import numpy as np

from lmmlasso_fast.cli.estimate import estimate, estimate_refits, estimate_scan
from lmmlasso_fast.cli.options import whitens
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.errors import (
    GenotypeError,
    InputError,
    SampleMatchError,
    TableError,
)
from lmmlasso_fast.genotypes import Genotypes, excluded_counts, why_excluded
from lmmlasso_fast.io.ids import match_samples, read_id_list, read_ids
from lmmlasso_fast.io.kinship_files import read_grm, read_kinship
from lmmlasso_fast.io.plink import read_plink
from lmmlasso_fast.io.results import write_table
from lmmlasso_fast.kinship import Kinship

_PLAIN = frozenset(string.ascii_letters + string.digits + "_-.")


def open_genotypes(run: Run, options: dict) -> Genotypes:
    """Open the fileset that --bfile or --bed, --bim and --fam name."""
    given = {name: options[name] for name in ("bed", "bim", "fam")}
    prefix = options["bfile"]
    if prefix is None and None in given.values():
        raise click.UsageError("give --bfile PREFIX, or --bed, --bim and --fam")
    stem, end = splitext(prefix or "")
    if end in (".bed", ".bim", ".fam") and isfile(prefix) and not isfile(f"{prefix}.bed"):
        raise click.UsageError(f"--bfile takes the common part of the three names: --bfile {stem}")
    for name, path in given.items():
        run.note_input(path or f"{prefix}.{name}")
    with run.stage("read"):
        genotypes = read_plink(
            prefix, **given, accept_reference_samples=options["accept_reference_samples"]
        )
    run.say(f"{genotypes.n_samples} samples and {genotypes.n_variants} SNPs in the fileset")
    return genotypes


def fam_path(options: dict) -> str:
    return options["fam"] or f"{options['bfile']}.fam"


def keep_samples(run: Run, options: dict, genotypes: Genotypes) -> np.ndarray:
    """Return the mask that --keep and --remove leave."""
    mask = np.ones(genotypes.n_samples, dtype=bool)
    for flag in ("keep", "remove"):
        path = options[flag]
        if path is None:
            continue
        run.note_input(path)
        import polars as pl

        rows = read_ids(path)
        if not rows:
            raise TableError(f"{path}: expected sample ids (FID IID), found none")
        listed = pl.DataFrame(
            rows, schema={"FID": pl.String, "IID": pl.String}, orient="row"
        ).unique(maintain_order=True)
        found = match_samples(genotypes.samples, listed, f"--{flag} {path}") >= 0
        run.say(f"--{flag}: {int(found.sum())} of {len(listed)} listed samples found")
        mask &= found if flag == "keep" else ~found
    if not mask.all():
        run.say(f"{int(mask.sum())} samples left by --keep and --remove")
    return mask


def filter_variants(run: Run, options: dict, genotypes: Genotypes) -> tuple[Genotypes, np.ndarray]:
    """Apply the SNP filters and --mind; return the genotypes and the mask of samples kept."""
    names = options["chromosomes"]
    lists = {}
    for flag in ("extract", "exclude"):
        path = options[flag]
        lists[flag] = None
        if path is not None:
            run.note_input(path)
            lists[flag] = read_id_list(path)
            known = set(genotypes.variants["ID"])
            found = sum(name in known for name in set(lists[flag]))
            run.say(f"--{flag}: {found} of {len(set(lists[flag]))} listed SNPs found")
            if found == 0:
                raise TableError(
                    f"--{flag} {path}: expected ids of SNPs in the fileset, found none of them"
                )
    if names is not None:
        names = [name.strip() for name in names.split(",")]
    genotypes = genotypes.filter(chromosomes=names, **lists)
    kept = np.ones(genotypes.n_samples, dtype=bool)
    if options["mind"] is not None:
        rates = genotypes.sample_missing_rate()
        kept = rates <= options["mind"]
        run.say(f"--mind: {int((~kept).sum())} samples dropped")
        if not kept.any():
            raise GenotypeError(
                f"--mind {options['mind']:g}: expected a sample with at most this share of missing "
                f"genotypes, found none; the smallest is {rates.min():.4g}"
            )
        genotypes = genotypes.filter(mind=options["mind"])
    genotypes = genotypes.filter(geno=options["geno"], maf=options["maf"])
    return genotypes, kept


def report_variants(run: Run, options: dict, genotypes: Genotypes, prefix: str = "") -> Genotypes:
    """Say what is offered and why the rest is not; have both lists written.

    `prefix` is that of a phenotype's files, if there are several.
    """
    n_duplicates = len(genotypes.duplicate_pairs()[0])
    duplicates = genotypes.duplicates
    if options["collapse_duplicates"]:
        genotypes = genotypes.collapse_duplicates()
    excluded = genotypes.excluded
    run.write(f"{prefix}excluded.tsv", lambda path: write_table(excluded, path))
    run.write(f"{prefix}duplicates.tsv", lambda path: write_table(duplicates, path))
    n_offered = genotypes.n_variants - len(excluded)
    counts = run.counts
    if prefix:
        counts = counts.setdefault("phenotypes", {}).setdefault(prefix.removesuffix("."), {})
    counts |= {
        "samples": genotypes.n_samples,
        "variants": n_offered,
        "excluded": excluded_counts(genotypes),
        "duplicates": n_duplicates,
    }
    why = why_excluded(genotypes)
    run.say(
        f"{n_offered} SNPs offered to the model, {len(excluded)} not"
        + (f" ({why})" if why else "")
        + f"; {n_duplicates} exact duplicates"
    )
    if n_offered == 0:
        raise GenotypeError(f"no SNP is left: {why}; relax the filters")
    return genotypes


@contextmanager
def located(where: str):
    """Say in bad input's message where it comes from."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{where}: {error}") from error


def file_prefixes(names: Iterable[str], what: str) -> dict[str, str]:
    """Return for each name what its files' names have between --out and the suffix.

    Names come from a table and may hold anything: what is not a letter, digit, _, - or . becomes _.
    `what` they name is for the message if two come out the same.
    """
    prefixes = {
        name: "".join(c if c in _PLAIN else "_" for c in name).lstrip(".") or "_" for name in names
    }
    for prefix in prefixes.values():
        others = [other for other in prefixes if prefixes[other].lower() == prefix.lower()]
        if len(others) > 1:
            raise TableError(
                f"{what} {', '.join(others)}: expected names that make different file names, "
                f"found {prefix!r} for all of them; rename them"
            )
    return {name: f"{prefix}." for name, prefix in prefixes.items()}


def given_kinship(options: dict) -> str | None:
    """The name that --kinship or --grm gives."""
    if options["kinship_file"] and options["grm"]:
        raise click.UsageError("give --kinship or --grm, not both")
    return options["kinship_file"] or options["grm"]


def note_given_kinship(run: Run, options: dict) -> None:
    """Remember the files of --kinship or --grm for P.run.json."""
    given = given_kinship(options)
    names = [given]
    if options["grm"] or given.endswith((".grm.bin", ".rel", ".rel.gz")) or not isfile(given):
        stem = given.removesuffix(".gz").removesuffix(".grm.bin").removesuffix(".rel")
        ends = ("grm.bin", "grm.id", "grm.N.bin", "rel", "rel.gz", "rel.id")
        names = [name for name in (f"{stem}.{end}" for end in ends) if isfile(name)]
    for name in names:
        run.note_input(name)


def read_given_kinship(run: Run, options: dict, fam_samples=None) -> Kinship:
    """Read what --kinship or --grm names; `fam_samples` are those of a file without ids."""
    given = given_kinship(options)
    note_given_kinship(run, options)
    if options["grm"]:
        matrix = read_grm(given.removesuffix(".grm.bin"))
    else:
        matrix = read_kinship(given, samples=fam_samples)
    if matrix.samples is None:
        raise SampleMatchError(
            f"{given}: expected a kinship matrix with sample ids, found none; convert it to .npz, "
            "or to GCTA's .grm.bin with .grm.id"
        )
    return matrix


def say_estimate(run: Run, options: dict, genotypes: Genotypes) -> None:
    """Say what the long part will take."""
    n, p = genotypes.n_samples, int(genotypes.included.sum())
    n_alphas = len(options.get("alphas") or []) or options.get("n_alphas", 0)
    with_lengths = n_alphas > 0 and whitens(options)
    seconds, megabytes = estimate(n, p, n_alphas=n_alphas, with_lengths=with_lengths)
    if run.scan is not None:
        seconds, megabytes = estimate_scan(n, p, run.scan, workers=run.threads)
    if run.refits is not None:
        workers = run.workers(run.refits.number)
        megabytes = max(megabytes, estimate_refits(n, p, run.refits, workers=workers))
    say_time(run, seconds, f"and {megabytes:.0f} MB of memory")


def say_time(run: Run, seconds: float, what: str) -> None:
    time = "less than a second" if seconds < 1 else f"{seconds:.0f} s"
    run.say(f"estimated: {time} {what}")

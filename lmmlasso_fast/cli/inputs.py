"""From flags to files: genotypes with their filters, and kinship matrices that are given."""

import string
from collections.abc import Iterable
from contextlib import contextmanager
from os.path import isfile, splitext

import click
import numpy as np

from lmmlasso_fast.cli.estimate import estimate, estimate_refits, estimate_scan, longest_call
from lmmlasso_fast.cli.options import ignored, whitens
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.dosage import DosageGenotypes
from lmmlasso_fast.errors import (
    GenotypeError,
    InputError,
    SampleMatchError,
    TableError,
)
from lmmlasso_fast.genotypes import Genotypes, excluded_counts, why_excluded
from lmmlasso_fast.io.bgen import read_bgen
from lmmlasso_fast.io.bimbam import read_bimbam
from lmmlasso_fast.io.ids import match_samples, read_id_list, read_ids
from lmmlasso_fast.io.kinship_files import read_grm, read_kinship
from lmmlasso_fast.io.npy import read_npy
from lmmlasso_fast.io.pgen import read_pgen
from lmmlasso_fast.io.plink import read_plink
from lmmlasso_fast.io.results import write_table
from lmmlasso_fast.io.text import quote
from lmmlasso_fast.io.vcf import read_vcf
from lmmlasso_fast.kinship import Kinship

_PLAIN = frozenset(string.ascii_letters + string.digits + "_-.")
#: Flags that name genotypes, and the flags that then have a meaning.
SOURCES = {
    "bfile": {"bed", "bim", "fam", "accept_reference_samples"},
    "pfile": {"dosage", "skip_multiallelic"},
    "vcf": {"dosage", "skip_multiallelic"},
    "bgen": {"sample", "ref_last", "skip_multiallelic"},
    "bimbam": {"fam", "annotation"},
    "npy": {"bim", "fam", "dosage"},
}


def open_genotypes(run: Run, options: dict) -> Genotypes:
    """Open the genotypes that --bfile or one of the other sources names."""
    source = _source(options)
    prefix = options["bfile"]
    stem, end = splitext(prefix or "")
    if end in (".bed", ".bim", ".fam") and isfile(prefix) and not isfile(f"{prefix}.bed"):
        raise click.UsageError(f"--bfile takes the common part of the three names: --bfile {stem}")
    for path in genotype_files(options).values():
        run.note_input(path)
    with run.stage("read"):
        try:
            genotypes = _READERS[source](options)
        except ImportError as error:
            raise click.UsageError(f"--{source}: {error}") from error
    run.say(f"{genotypes.n_samples} samples and {genotypes.n_variants} SNPs in the fileset")
    if isinstance(genotypes, DosageGenotypes):
        run.say(f"kept as dosages, {genotypes.memory / 1e6:.0f} MB of memory")
    return genotypes


def _source(options: dict) -> str:
    """Return the one flag that names genotypes; refuse flags that belong to others."""
    given = [name for name in SOURCES if options[name] is not None]
    flags = ", ".join(f"--{name}" for name in SOURCES)
    if len(given) > 1:
        raise click.UsageError(
            f"give one of {flags}, not {' and '.join(f'--{name}' for name in given)}"
        )
    if not given and None in [options[name] for name in ("bed", "bim", "fam")]:
        raise click.UsageError(
            "give --bfile PREFIX, or --bed, --bim and --fam, or genotypes of another format: "
            f"one of {flags}"
        )
    source = given[0] if given else "bfile"
    others = set().union(*SOURCES.values()) - SOURCES[source]
    ignored(others, f"with --{source}")
    if source == "npy" and options["dosage"] == "GT":
        raise click.UsageError("--dosage GT changes nothing with --npy; leave it out")
    return source


def genotype_files(options: dict) -> dict[str, str]:
    """Return the files of the genotypes by what they are used for."""
    source = _source(options)
    if source == "bfile":
        ends = ("bed", "bim", "fam")
        return {end: options[end] or f"{options['bfile']}.{end}" for end in ends}
    if source == "pfile":
        files = {end: f"{options['pfile']}.{end}" for end in ("pgen", "pvar", "psam")}
        if not isfile(files["pvar"]) and isfile(f"{files['pvar']}.zst"):
            files["pvar"] += ".zst"
        return files
    beside = ("sample", "annotation", "bim", "fam")
    files = {name: options[name] for name in (source, *beside)}
    return {name: path for name, path in files.items() if path is not None}


def _multiallelic(options: dict) -> str:
    return "skip" if options["skip_multiallelic"] else "error"


def _read_pfile(options: dict) -> Genotypes:
    how = {"dosage": options["dosage"] or "DS", "multiallelic": _multiallelic(options)}
    return read_pgen(**genotype_files(options), **how)


def _read_vcf(options: dict) -> Genotypes:
    how = {"dosage": options["dosage"] or "GT", "multiallelic": _multiallelic(options)}
    return read_vcf(options["vcf"], **how)


def _read_bgen(options: dict) -> Genotypes:
    how = {"ref_last": options["ref_last"], "multiallelic": _multiallelic(options)}
    return read_bgen(options["bgen"], sample=options["sample"], **how)


def _read_bfile(options: dict) -> Genotypes:
    accept = options["accept_reference_samples"]
    return read_plink(**genotype_files(options), accept_reference_samples=accept)


def _read_bimbam(options: dict) -> Genotypes:
    return read_bimbam(options["bimbam"], fam=options["fam"], annotation=options["annotation"])


def _read_npy(options: dict) -> Genotypes:
    bits = None if options["dosage"] is None else 16
    return read_npy(options["npy"], fam=options["fam"], bim=options["bim"], bits=bits)


_READERS = {
    "bfile": _read_bfile,
    "pfile": _read_pfile,
    "vcf": _read_vcf,
    "bgen": _read_bgen,
    "bimbam": _read_bimbam,
    "npy": _read_npy,
}


def fam_path(options: dict) -> str:
    """The .fam, whose column 6 is the phenotype where no table is given."""
    if options["fam"] is None and options["bfile"] is None:
        raise click.UsageError("give the phenotype with --pheno FILE: there is no .fam to have it")
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
                    f"--{flag} {path}: expected ids of SNPs in the fileset, found none of them, "
                    f"the first of the fileset is {quote(genotypes.variants['ID'][0])}; "
                    "write one id per line, spelt as in the fileset"
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


def file_prefixes(names: Iterable[str], what: str, advice: str) -> dict[str, str]:
    """Return for each name what its files' names have between --out and the suffix.

    Names come from a table and may hold anything: what is not a letter, digit, _, - or . becomes _.
    `what` they name, and what to do, is for the message if two come out the same.
    """
    prefixes = {
        name: "".join(c if c in _PLAIN else "_" for c in name).lstrip(".") or "_" for name in names
    }
    for prefix in prefixes.values():
        others = [other for other in prefixes if prefixes[other].lower() == prefix.lower()]
        if len(others) > 1:
            raise TableError(
                f"{what} {', '.join(others)}: expected names that make different file names, "
                f"found {prefix!r} for all of them; {advice}"
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
    megabytes += genotypes.memory / 1e6
    say_time(run, seconds, f"and {megabytes:.0f} MB of memory")
    exact = run.scan is not None and run.scan.exact
    waiting = longest_call(n, exact=exact)
    if waiting >= 1 and run.command != "kinship" and not options.get("no_kinship"):
        run.say(
            f"an interrupt (Ctrl-C) is answered at once, but within one call of LAPACK, which may "
            f"take {waiting:.0f} s"
        )


def say_time(run: Run, seconds: float, what: str) -> None:
    time = "less than a second" if seconds < 1 else f"{seconds:.0f} s"
    run.say(f"estimated: {time} {what}")

"""The univariate scan: every kind from .bed to result files, and the exact one against GEMMA."""

import json
import re
import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from bench.performance import filesets, processes, timing
from bench.performance.filesets import LMMLASSO, Fileset
from bench.performance.processes import Measured
from bench.performance.settings import Settings

#: Flags of every kind of scan.
KINDS = {
    "LM": ["--no-kinship"],
    "LMM": [],
    "LMM_EXACT": ["--exact"],
    "LMM_LOCO": ["--loco"],
}
#: GEMMA's own filters, and what its scan is called.
_FILTERS = ["--maf", 0.01, "--geno", 0.05]
GEMMA, OURS = "gemma -lmm 1", "lmmlasso scan --exact"


def run(settings: Settings) -> dict:
    if settings.quick:
        large = real = filesets.simulated(settings, 300, 5_000)
    else:
        large = filesets.simulated(settings, 500, 1_000_000)
        real = filesets.real(settings, "mouse_hs1940", "CD8")
    return measure(settings, large, real)


def measure(settings: Settings, large: Fileset, real: Fileset | None) -> dict:
    """`kinds`: rows of ours; `gemma`: both programs, and how far their results are apart."""
    results = {"name": large.name, "threads": settings.threads, "kinds": _kinds(settings, large)}
    if shutil.which("gemma") is None:
        settings.skip("gemma", "not on the PATH (Debian package gemma)")
    elif real is not None:
        results["gemma"] = _against_gemma(settings, real)
    return results


def _kinds(settings: Settings, fileset: Fileset) -> list[dict]:
    print(f"\n{fileset.name}: .bed on disk to result files, whole processes")
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            kind: partial(_ours, settings, fileset, flags, Path(folder) / kind)
            for kind, flags in KINDS.items()
        }
        runs = timing.in_turn(commands, settings.repeats)
    rows = [_row(kind, measured) for kind, measured in runs.items()]
    for row in rows:
        stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in row["stages"].items())
        print(f"{_line(row)}  peak {row['peak_mb']:5.0f} MB  {stages}")
    return rows


def _ours(settings: Settings, fileset: Fileset, flags: list, out: Path) -> tuple[Measured, dict]:
    """Run `lmmlasso scan` on the phenotype as it is; return its seconds by stage, too."""
    table = ["--pheno", fileset.pheno, "--pheno-name", fileset.column]
    rest = [*table, *flags, "--threads", settings.threads, "--out", out]
    measured = processes.run([LMMLASSO, "scan", "--bfile", fileset.prefix, *rest])
    return measured, json.loads(Path(f"{out}.run.json").read_text())["timings"]


def _against_gemma(settings: Settings, fileset: Fileset) -> dict:
    """Both with GEMMA's own kinship and the SNPs that its filters leave."""
    print(f"\n{fileset.name}: delta of every SNP, whole processes")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_phenotype(fileset, folder / "y.txt")
        gemma = ["gemma", "-bfile", fileset.prefix, "-p", folder / "y.txt", "-outdir", folder]
        processes.run([*gemma, "-gk", "2", "-o", "k"])
        kinship = folder / "k.sXX.txt"
        flags = ["--exact", "--kinship", kinship, *_FILTERS]
        commands = {
            OURS: partial(_ours, settings, fileset, flags, folder / "ours"),
            GEMMA: partial(_gemma, settings, [*gemma, "-k", kinship, "-lmm", "1"], folder),
        }
        runs = timing.in_turn(commands, settings.repeats)
        n_snps, differences = _differences(folder / "ours.scan.tsv", folder / "lmm.assoc.txt")
    rows = [_row(program, measured) for program, measured in runs.items()]
    ours, theirs = (row["stages"] for row in rows)
    core = [ours["scan"], sum(theirs.values())]
    for row, seconds in zip(rows, core, strict=True):
        row |= {"core": seconds, "core_ratio": seconds / core[0]}
        row["ratio"] = row["seconds"] / rows[0]["seconds"]
        print(
            f"{_line(row)}  {row['ratio']:.2f} times ours; decomposition, rotation, optimisation "
            f"{seconds:.2f} s, {row['core_ratio']:.2f} times"
        )
    largest = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
    print(f"{n_snps} SNPs; largest differences: {largest}")
    return {
        "name": fileset.name,
        "n_variants": n_snps,
        "rows": rows,
        "differences": differences,
    }


def _write_phenotype(fileset: Fileset, path: Path) -> None:
    table = pl.read_csv(fileset.pheno, separator="\t", infer_schema=False)
    path.write_text("\n".join(table[fileset.column]) + "\n")


def _gemma(settings: Settings, command: list, folder: Path) -> tuple[Measured, dict]:
    measured = processes.run([*command, "-o", "lmm"], blas_threads=settings.threads)
    log = (folder / "lmm.log.txt").read_text()
    minutes = re.findall(r"time on ([\w -]+?) = +(\S+) min", log)
    return measured, {stage: 60 * float(value) for stage, value in minutes}


def _differences(ours: Path, theirs: Path) -> tuple[int, dict[str, float]]:
    """Return the number of SNPs, and the largest differences of what both programs say of them.

    That of beta is relative to beta, or to its standard error where that is larger: GEMMA's delta
    is good to five digits, which moves a beta near zero by a share of its standard error.
    """
    a = pl.read_csv(ours, separator="\t", null_values="NA", infer_schema_length=None)
    b = pl.read_csv(theirs, separator="\t", infer_schema_length=None)
    same = a["ID"].equals(b["rs"], check_names=False)
    if not same or not a["ALLELE1"].equals(b["allele1"], check_names=False):
        raise RuntimeError("lmmlasso and GEMMA tested other SNPs or alleles")
    size = np.maximum(b["beta"].abs(), b["se"])
    return len(a), {
        "beta": float(((a["BETA"] - b["beta"]).abs() / size).max()),
        "se": float((a["SE"] / b["se"] - 1).abs().max()),
        "log10_p": float((a["LOG10P"] + b["p_wald"].log10()).abs().max()),
    }


def _row(program: str, runs: list[tuple[Measured, dict]]) -> dict:
    row = processes.spread([measured for measured, _ in runs])
    return {"program": program, **row, "stages": min(runs, key=lambda run: run[0].seconds)[1]}


def _line(row: dict) -> str:
    return f"{row['program']:<24} {row['seconds']:7.2f} s (to {row['slowest']:.2f})"

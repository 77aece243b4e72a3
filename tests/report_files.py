"""Result files for the tests of the report: real ones of a small fileset, and made-up scans."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
from cli_files import lmmlasso

#: Ids that end the report's elements, or begin others, wherever they are taken for markup.
HOSTILE = [
    "<img src=x onerror=document.title='owned'>",
    "</script><script>document.title='owned'</script>",
    "\"quoted' and `ticked` ${1}",
    "<!--<script>",
    "größe 日本語 \u202eabc\u2028",
    "x" * 5000,
    "=1+1",
    "NA",
    "&lt;b&gt;",
]


def analysed(small, folder: Path) -> Path:
    """Fit, cross-validation, stability selection and scan of the small fileset, one prefix."""
    prefix = folder / "P"
    lmmlasso("scan", *small.base, "--out", prefix)
    lmmlasso("stability", *small.base, "--replicates", 10, "--n-active", 8, "--out", prefix)
    lmmlasso("cv", *small.base, "--folds", 3, "--n-alphas", 30, "--eps", 0.1, "--out", prefix)
    return prefix


def copy_results(prefix: Path, target: Path) -> Path:
    """The same files under another prefix."""
    for path in prefix.parent.glob(f"{prefix.name}.*"):
        shutil.copy(path, f"{target}{path.name.removeprefix(prefix.name)}")
    return target


def simulated_scan(n: int, seed: int = 0, n_chromosomes: int = 22) -> pl.DataFrame:
    """P.scan.tsv of n SNPs: p-values of nothing, and a peak on every third chromosome."""
    rng = np.random.default_rng(seed)
    chromosome = np.sort(rng.integers(1, n_chromosomes + 1, n))
    position = np.empty(n, dtype=np.int64)
    log10p = -np.log10(rng.uniform(size=n))
    for code in range(1, n_chromosomes + 1):
        rows = np.flatnonzero(chromosome == code)
        length = int(250e6 * (1 - code / 30))
        position[rows] = np.sort(rng.integers(1, length, len(rows)))
        if code % 3 == 0:
            distance = np.abs(position[rows] - length / 2)
            log10p[rows] += (5 + code) * np.exp(-distance / 2e5)
    beta = rng.standard_normal(n) * 0.1
    return pl.DataFrame(
        {
            "CHROM": chromosome.astype(str),
            "GENPOS": position,
            "ID": [f"rs{j}" for j in rng.integers(1, 1 << 30, n)],
            "ALLELE0": rng.choice(["A", "C"], n),
            "ALLELE1": rng.choice(["G", "T"], n),
            "A1FREQ": rng.uniform(0.01, 0.99, n),
            "N": np.full(n, 5000),
            "TEST": ["LMM"] * n,
            "BETA": beta,
            "SE": np.abs(beta) / np.sqrt(2 * log10p + 0.1),
            "CHISQ": 2 * log10p + 0.1,
            "LOG10P": log10p,
        }
    )

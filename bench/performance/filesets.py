"""PLINK filesets with a phenotype: real ones, and simulated ones in a cache folder."""

import os
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

import lmmlasso_fast as ll
from bench.performance import processes
from bench.performance.settings import Settings

#: The installed command, as users start it.
LMMLASSO = Path(sysconfig.get_path("scripts")) / "lmmlasso"


@dataclass(frozen=True)
class Fileset:
    """PREFIX.bed, .bim, .fam and a column of a phenotype table."""

    name: str
    prefix: Path
    pheno: Path
    column: str

    @property
    def arguments(self) -> list:
        """Flags of `lmmlasso fit`; the phenotype standardised, as `load` has it."""
        table = ["--pheno", self.pheno, "--pheno-name", self.column, "--standardize"]
        return ["--bfile", self.prefix, *table]

    def load(self) -> tuple[ll.Genotypes, np.ndarray]:
        """Return genotypes and standardised phenotype of the samples that have one."""
        genotypes = ll.read_plink(self.prefix)
        table = pl.read_csv(
            self.pheno, separator="\t", null_values="NA", infer_schema_length=None
        ).with_columns(pl.col("FID", "IID").cast(pl.String))
        if not table.select("FID", "IID").equals(genotypes.samples.select("FID", "IID")):
            raise ValueError(f"{self.pheno}: expected the samples of the .fam in its order")
        y = table[self.column].cast(pl.Float64).fill_null(np.nan).to_numpy()
        has = ~np.isnan(y)
        y = y[has]
        return genotypes.subset(has), (y - y.mean()) / y.std()


def real(settings: Settings, name: str, column: str) -> Fileset | None:
    """Return a fileset of the folder that LMMLASSO_DATA names; None, and say so, without it."""
    folder = os.environ.get("LMMLASSO_DATA")
    if not folder:
        settings.skip(name, "LMMLASSO_DATA does not name the folder of the real data")
        return None
    inside = Path(folder) / name
    return Fileset(f"{name} {column}", inside / name, inside / "phenotypes.tsv", column)


def simulated(settings: Settings, n: int, p: int) -> Fileset:
    """Four populations, LD 0.9, 3.5 % missing, ten causal SNPs; made once per cache folder."""
    p = settings.n_variants(p)
    folder = settings.cache / f"simulated_{n}x{p}"
    if not folder.exists():
        # the folder gets its name when it is complete: an interrupted run leaves none to be found
        unfinished = settings.cache / f"{folder.name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        options = {
            "n-samples": n,
            "n-variants": p,
            "missing-rate": 0.035,
            "ld": 0.9,
            "n-causal": 10,
            "h2-snp": 0.3,
            "h2-structure": 0.3,
            "seed": 1,
            "out": unfinished / "data",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        processes.run([LMMLASSO, "simulate", *flags])
        unfinished.rename(folder)
    prefix = folder / "data"
    return Fileset(f"simulated {n} x {p}", prefix, folder / "data.pheno.tsv", "Y")

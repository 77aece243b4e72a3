"""PLINK 2 filesets: .pgen, .pvar (or .pvar.zst) and .psam."""

import os
from pathlib import Path

import numpy as np

from lmmlasso_fast.checks import as_choice
from lmmlasso_fast.errors import GenotypeError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.collect import Collector
from lmmlasso_fast.io.multiallelic import biallelic_only
from lmmlasso_fast.io.optional import optional
from lmmlasso_fast.io.pgen_text import read_psam, read_pvar
from lmmlasso_fast.io.regular import require_regular


def read_pgen(
    prefix: str | os.PathLike[str] | None = None,
    *,
    pgen: str | os.PathLike[str] | None = None,
    pvar: str | os.PathLike[str] | None = None,
    psam: str | os.PathLike[str] | None = None,
    dosage: str = "DS",
    bits: int = 16,
    multiallelic: str = "error",
) -> Genotypes:
    """Read a PLINK 2 fileset (extra `pgen`).

    Parameters
    ----------
    prefix : path, optional
        Of PREFIX.pgen, PREFIX.pvar (or .pvar.zst) and PREFIX.psam; `pgen`, `pvar`, `psam` name
        single files instead.
    dosage : {"DS", "GT"}, default "DS"
        Dosages where the file has them, or hard calls alone.
    bits : {16, 8}, default 16
        Of a dosage in memory (DosageGenotypes); 16 keep what a .pgen has exactly.
    multiallelic : {"error", "skip"}, default "error"
        What to do about variants of more than two alleles; skipped ones are counted in a warning.

    Returns
    -------
    Genotypes
        Dosage = copies of A1, the ALT allele. Two bits a genotype in memory if all dosages are
        whole, else `bits`.

    Raises
    ------
    PlinkFormatError
        Malformed .pvar or .psam.
    GenotypeError
        Not a .pgen, or not of the samples and variants of .psam and .pvar; multiallelic variants.
    ImportError
        The package Pgenlib is not installed.
    """
    as_choice("dosage", dosage, ("DS", "GT"), error=GenotypeError)
    paths = {}
    for name, given in (("pgen", pgen), ("pvar", pvar), ("psam", psam)):
        if given is None and prefix is None:
            raise GenotypeError(
                f"read_pgen: expected a prefix or pgen, pvar and psam, found no {name}"
            )
        paths[name] = Path(given) if given is not None else Path(f"{os.fspath(prefix)}.{name}")
    if pvar is None and not paths["pvar"].exists():
        compressed = Path(f"{paths['pvar']}.zst")
        paths["pvar"] = compressed if compressed.exists() else paths["pvar"]
    pgenlib = optional("pgenlib", "pgen", "reading .pgen files")
    samples, variants = read_psam(paths["psam"]), read_pvar(paths["pvar"])
    n, p = samples.height, variants.height
    n_alleles = 2 + variants["A1"].str.count_matches(",", literal=True).to_numpy().astype(np.int64)
    offsets = None
    if (n_alleles > 2).any():
        offsets = np.concatenate([[0], np.cumsum(n_alleles)]).astype(np.uintp)
    chosen = biallelic_only(paths["pvar"], variants["ID"], n_alleles, multiallelic)
    what = f"{paths['pgen']}: expected a .pgen of {n} samples (.psam) and {p} variants (.pvar)"
    collector = Collector(paths["pgen"], n, bits)
    try:
        # Pgenlib has no message for a folder or a file that is not there
        require_regular(paths["pgen"])
        with open(paths["pgen"], "rb"):
            pass
        reader = pgenlib.PgenReader(
            os.fsencode(paths["pgen"]), raw_sample_ct=n, variant_ct=p, allele_idx_offsets=offsets
        )
        with reader:
            for start in range(0, len(chosen), collector.block_variants):
                rows = chosen[start : start + collector.block_variants].astype(np.uint32)
                if dosage == "GT":
                    calls = np.empty((len(rows), n), dtype=np.int8)
                    reader.read_list(rows, calls)
                    calls[calls < 0] = -1
                    collector.append_calls(calls)
                else:
                    values = np.empty((len(rows), n), dtype=np.float32)
                    reader.read_dosages_list(rows, values)
                    values[values < 0] = np.nan
                    collector.append(values)
    except OSError as error:
        raise GenotypeError(f"{what}, found {error.strerror}; check the name") from error
    except (RuntimeError, ValueError) as error:
        if isinstance(error, GenotypeError):
            raise
        raise GenotypeError(
            f"{what}, found: {_message(error)}; take the three files of one fileset, and copy it "
            "again if one was cut"
        ) from error
    return collector.finish(samples, variants[chosen])


def _message(error: Exception) -> str:
    """What Pgenlib says; its messages are bytes in a string."""
    return str(error).removeprefix("b'").removesuffix("'").replace("\\n", " ").strip()

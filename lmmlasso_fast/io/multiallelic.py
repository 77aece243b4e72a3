"""Variants of more than two alleles, which one dosage does not describe."""

import warnings

import numpy as np

from lmmlasso_fast.checks import as_choice
from lmmlasso_fast.errors import DataWarning, GenotypeError
from lmmlasso_fast.io.text import quote


def check_multiallelic(multiallelic: str) -> None:
    """Raise GenotypeError unless the option is "error" or "skip"."""
    as_choice("multiallelic", multiallelic, ("error", "skip"), error=GenotypeError)


def refuse_multiallelic(path, variant: str, n_alleles: int) -> GenotypeError:
    """The error to raise for a variant of more than two alleles."""
    return GenotypeError(
        f"{path}: expected variants of two alleles, found {n_alleles} alleles at {quote(variant)}; "
        "split them (bcftools norm --multiallelics -), or leave them out with --skip-multiallelic "
        "(multiallelic='skip')"
    )


def warn_skipped(path, n_skipped: int) -> None:
    """Say how many were left out, if any."""
    if n_skipped:
        warnings.warn(
            f"{path}: {n_skipped} variants of more than two alleles left out",
            DataWarning,
            stacklevel=3,
        )


def biallelic_only(path, ids, n_alleles: np.ndarray, multiallelic: str) -> np.ndarray:
    """Return the indices of the variants to read.

    Raises
    ------
    GenotypeError
        There are multiallelic ones and they are not to be skipped.
    """
    check_multiallelic(multiallelic)
    many = n_alleles > 2
    if many.any() and multiallelic == "error":
        first = int(many.argmax())
        raise refuse_multiallelic(path, ids[first], int(n_alleles[first]))
    warn_skipped(path, int(many.sum()))
    return np.flatnonzero(~many)

"""Genotypes at given positions, for the tests of evaluation."""

import numpy as np
import polars as pl
import pytest
from problems import dense, from_array, random_dosages, variant_table

KINDS = pytest.mark.parametrize("kind", [from_array, dense], ids=["packed", "dense"])


def on_map(position, chromosome=None, kind=from_array, seed=0, n=20):
    """Genotypes with these positions, none of them monomorphic."""
    p = len(position)
    D = random_dosages(np.random.default_rng(seed), n, p)
    D[:3] = [[0], [1], [2]]
    return kind(D, variants=table(["1"] * p if chromosome is None else chromosome, position))


def table(chromosome, position):
    return variant_table(len(position)).with_columns(
        CHROM=pl.Series([str(name) for name in chromosome]), POS=pl.Series(position, dtype=pl.Int64)
    )

"""Simulated genotypes with population structure and linkage, and phenotypes on them.

Everything is drawn from streams spawned from one seed: the same arguments and the same version of
NumPy give the same bytes, whatever ran before. Genotypes that are observed stay the same when only
`missing_rate` changes.

`simulate_genotypes` and `simulate_phenotype` work on a matrix. What does not fit into memory goes
block by block from a `GenotypeStream` to a `plink_writer` and a `PhenotypeStream`; the numbers are
the same. `simulate_on` draws phenotypes on any Genotypes, real ones above all.

The public names are gathered here.
"""

from lmmlasso_fast.io.plink_write import plink_writer, write_plink
from lmmlasso_fast.simulation.genotypes import (
    GenotypeStream,
    SimulatedGenotypes,
    simulate_genotypes,
)
from lmmlasso_fast.simulation.phenotypes import (
    PhenotypeStream,
    SimulatedPhenotype,
    simulate_phenotype,
)
from lmmlasso_fast.simulation.semi_empirical import simulate_on

__all__ = [
    "GenotypeStream",
    "PhenotypeStream",
    "SimulatedGenotypes",
    "SimulatedPhenotype",
    "plink_writer",
    "simulate_genotypes",
    "simulate_on",
    "simulate_phenotype",
    "write_plink",
]

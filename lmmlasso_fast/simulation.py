"""Simulated genotypes with population structure and linkage, and phenotypes on them.

Everything is drawn from streams spawned from one seed: the same arguments and the same version of
NumPy give the same bytes, whatever ran before. Genotypes that are observed stay the same when only
`missing_rate` changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lmmlasso_fast.errors import InputError
from lmmlasso_fast.io.plink_write import check_dosages, write_plink

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "SimulatedGenotypes",
    "SimulatedPhenotype",
    "simulate_genotypes",
    "simulate_phenotype",
    "write_plink",
]

# Values drawn or decoded at a time; it bounds the working memory to some 100 MB. The random
# numbers of a simulation do not depend on it.
BLOCK_VALUES = 1 << 22


@dataclass(frozen=True)
class SimulatedGenotypes:
    """Genotypes of samples from several populations, with what they were drawn from.

    Attributes
    ----------
    dosages : int8 array, n_samples x n_variants
        Copies of allele A1; -1 is missing. Contiguous along samples (Fortran order).
    population : int64 array, n_samples
        Number of the population of each sample, 0 to n_populations - 1, in ascending order.
    frequencies : float64 array, n_populations x n_variants
        Frequency of A1 in each population (the true one, not that of the drawn samples).
    samples : polars.DataFrame
        FID (the population) and IID.
    variants : polars.DataFrame
        CHROM, ID, POS, A1, A2.
    """

    dosages: NDArray[np.int8]
    population: NDArray[np.int64]
    frequencies: NDArray[np.float64]
    samples: "pl.DataFrame"
    variants: "pl.DataFrame"


@dataclass(frozen=True)
class SimulatedPhenotype:
    """A phenotype y = snp_part + structure_part + noise_part, with the truth behind it.

    Attributes
    ----------
    y : float64 array, n_samples
    causal : int64 array, n_causal
        Indices of the causal variants, ascending.
    effects : float64 array, n_causal
        Effect of each causal variant per standard deviation of its dosage.
    effects_per_allele : float64 array, n_causal
        The same per copy of A1.
    snp_part, structure_part, noise_part : float64 arrays, n_samples
    h2_snp, h2_structure : float
        The variances that were asked for; the rest to 1 is noise.
    variance_snp, variance_structure, variance_noise : float
        The variances (divisor n) of the three parts as they came out.
    """

    y: NDArray[np.float64]
    causal: NDArray[np.int64]
    effects: NDArray[np.float64]
    effects_per_allele: NDArray[np.float64]
    snp_part: NDArray[np.float64]
    structure_part: NDArray[np.float64]
    noise_part: NDArray[np.float64]
    h2_snp: float
    h2_structure: float
    variance_snp: float
    variance_structure: float
    variance_noise: float


def simulate_genotypes(
    n_samples: int,
    n_variants: int,
    *,
    n_populations: int = 4,
    fst: float = 0.1,
    missing_rate: float = 0.0,
    ld: float = 0.9,
    inbred: bool = False,
    n_chromosomes: int = 5,
    seed: int,
) -> SimulatedGenotypes:
    """Draw genotypes of several populations, with linkage disequilibrium along chromosomes.

    Parameters
    ----------
    n_samples, n_variants : int
        Numbers of samples and variants.
    n_populations : int, default 4
        Populations of (nearly) equal size, at most `n_samples`; samples are sorted by population.
    fst : float, default 0.1
        Divergence F of each population from the common ancestor, 0 <= F < 1.
    missing_rate : float, default 0.0
        Probability that a genotype is missing, independent of everything else, 0 <= rate < 1.
    ld : float, default 0.9
        Probability that a haplotype goes on unbroken from one variant to the next,
        0 <= ld <= 1; 0 makes all variants of a population independent.
    inbred : bool, default False
        One haplotype per sample, counted twice (dosages 0 and 2), instead of two.
    n_chromosomes : int, default 5
        Chromosomes of (nearly) equal numbers of variants, at most `n_variants`; no linkage
        between them.
    seed : int
        Seed of all random streams.

    Returns
    -------
    SimulatedGenotypes
        `dosages`, `population`, `frequencies`, `samples`, `variants`.

    Raises
    ------
    InputError
        A number is outside of its range.

    Notes
    -----
    Frequencies follow Balding and Nichols: the ancestral frequency of A1 is uniform on
    (0.05, 0.95), and each population's is Beta(p(1 - F)/F, (1 - p)(1 - F)/F), with mean p and
    variance F p (1 - p), independently over variants and populations.

    Linkage comes from a copying chain: each haplotype carries a uniform number u, which it keeps
    from one variant to the next with probability `ld` and otherwise draws afresh (always at the
    start of a chromosome), and it has A1 where u is below the population's frequency. For a random
    half of the variants A1 is the upper end of u instead, so that correlations have both signs.
    Keeping u instead of the allele itself leaves every frequency, and so `fst`, as it was drawn.

    This is a stand-in, not a model of history: no recombination map, no haplotype shared by
    descent between samples, no relatives and no excess of rare variants; r^2 falls geometrically
    with the number of variants (not of base pairs) between two and is bounded by how different
    their frequencies are (about 0.3 for neighbours at the default). Variants may be monomorphic
    in the sample, above all in a small one. Positions are arbitrary, 1 to 1,999 base pairs apart.

    References
    ----------
    Balding and Nichols 1995, Genetica 96:3.
    """
    _require("n_samples", n_samples, n_samples >= 1, "at least 1")
    _require("n_variants", n_variants, n_variants >= 1, "at least 1")
    _require(
        "n_populations", n_populations, 1 <= n_populations <= n_samples, "between 1 and n_samples"
    )
    _require("fst", fst, 0 <= fst < 1, "at least 0 and below 1")
    _require("missing_rate", missing_rate, 0 <= missing_rate < 1, "at least 0 and below 1")
    _require("ld", ld, 0 <= ld <= 1, "between 0 and 1")
    _require(
        "n_chromosomes", n_chromosomes, 1 <= n_chromosomes <= n_variants, "between 1 and n_variants"
    )
    streams = np.random.default_rng(seed).spawn(5)
    frequency_stream, phase_stream, haplotype_stream, missing_stream, position_stream = streams

    population = np.arange(n_samples) * n_populations // n_samples
    chromosome = np.arange(n_variants) * n_chromosomes // n_variants
    frequencies = _draw_frequencies(n_populations, n_variants, fst, frequency_stream)
    upper = phase_stream.random(n_variants) < 0.5
    thresholds = np.where(upper, 1.0 - frequencies, frequencies).T.astype(np.float32)

    ploidy = 1 if inbred else 2
    of_haplotype = np.repeat(population, ploidy)
    starts = np.diff(chromosome, prepend=-1) > 0
    dosages = np.empty((n_variants, n_samples), dtype=np.int8)
    rows = 0
    for u in _haplotype_blocks(starts, len(of_haplotype), ld, haplotype_stream):
        block = slice(rows, rows + len(u))
        alleles = (u < thresholds[block][:, of_haplotype]) ^ upper[block, None]
        by_sample = alleles.reshape(len(u), n_samples, ploidy).sum(axis=2, dtype=np.int8)
        dosages[block] = by_sample * (2 // ploidy)
        if missing_rate > 0:
            lost = missing_stream.random(dosages[block].shape, dtype=np.float32) < missing_rate
            dosages[block][lost] = -1
        rows += len(u)
    samples, variants = _tables(population, chromosome, position_stream)
    return SimulatedGenotypes(dosages.T, population, frequencies, samples, variants)


def simulate_phenotype(
    dosages: NDArray[np.int8],
    population: NDArray[np.integer] | None = None,
    *,
    n_causal: int = 10,
    h2_snp: float = 0.3,
    h2_structure: float = 0.3,
    seed: int,
) -> SimulatedPhenotype:
    """Draw y = X beta + u + e with few causal variants, a structured background and noise.

    X has the variants standardised over the samples (missing = 0). The causal variants are drawn
    uniformly from the polymorphic ones, their effects from N(0, 1), and the effects are then scaled
    so that var(X beta) = h2_snp exactly. The background is one of

    * u ~ N(0, h2_structure K) with K = X X' / p over the p polymorphic variants, the realised
      relationship matrix (drawn as X z sqrt(h2_structure / p) with z ~ N(0, I)), or
    * with `population` given, one mean per population, centred and scaled so that
      var(u) = h2_structure exactly.

    The noise is e ~ N(0, (1 - h2_snp - h2_structure) I). The expected variances sum to 1.

    Parameters
    ----------
    dosages : integer array, n_samples x n_variants
        Copies of A1, -1 missing.
    population : integer array, n_samples, optional
        Population of each sample: the background is then population means.
    n_causal : int, default 10
        Number of causal variants; 0 goes with h2_snp = 0.
    h2_snp, h2_structure : float, default 0.3
        Variance of the sparse part and of the background, each at least 0, their sum at most 1.
    seed : int
        Seed of all random streams.

    Returns
    -------
    SimulatedPhenotype
        `y`, its three parts, `causal`, `effects`, and the variances asked for and realised.

    Raises
    ------
    InputError
        A number is outside of its range, fewer variants are polymorphic than `n_causal`, or all
        samples are of one population while the background is population means.
    GenotypeError
        The dosages are not a matrix of -1, 0, 1 and 2.
    """
    check_dosages(dosages)
    n = len(dosages)
    _require("n_causal", n_causal, n_causal >= 0, "at least 0")
    _require("h2_snp", h2_snp, 0 <= h2_snp <= 1, "between 0 and 1")
    # 0.9 + 0.1 passes, although 1 - 0.9 - 0.1 is below zero by one rounding.
    noise_variance = 1.0 - h2_snp - h2_structure
    in_range = h2_structure >= 0 and noise_variance > -1e-12
    _require("h2_structure", h2_structure, in_range, f"between 0 and {1 - h2_snp:g} (1 - h2_snp)")
    _require("h2_snp", h2_snp, n_causal > 0 or h2_snp == 0, "0 when n_causal is 0")
    streams = np.random.default_rng(seed).spawn(4)
    causal_stream, effect_stream, structure_stream, noise_stream = streams

    polymorphic = np.flatnonzero(_polymorphic(dosages))
    limit = f"at most {len(polymorphic)}, the number of polymorphic variants"
    _require("n_causal", n_causal, n_causal <= len(polymorphic), limit)
    causal = np.sort(causal_stream.choice(polymorphic, n_causal, replace=False))
    X, sd = _standardise(dosages[:, causal])
    effects = effect_stream.standard_normal(n_causal)
    if n_causal:
        effects *= np.sqrt(h2_snp / np.var(_product(X, effects)))
    snp_part = _product(X, effects)

    if population is None:
        structure_part = _polygenic_part(dosages, polymorphic, structure_stream)
        structure_part *= np.sqrt(h2_structure)
    else:
        structure_part = _population_part(population, n, h2_structure, structure_stream)
    noise_part = np.sqrt(max(0.0, noise_variance)) * noise_stream.standard_normal(n)
    return SimulatedPhenotype(
        y=snp_part + structure_part + noise_part,
        causal=causal,
        effects=effects,
        effects_per_allele=effects / sd,
        snp_part=snp_part,
        structure_part=structure_part,
        noise_part=noise_part,
        h2_snp=h2_snp,
        h2_structure=h2_structure,
        variance_snp=float(np.var(snp_part)),
        variance_structure=float(np.var(structure_part)),
        variance_noise=float(np.var(noise_part)),
    )


def _require(name: str, value: float, holds: bool, expected: str) -> None:
    if not holds:
        raise InputError(f"{name}: expected {expected}, found {value}; choose another value")


def _blocks(n_variants: int, values_per_variant: int) -> Iterator[slice]:
    step = max(1, BLOCK_VALUES // values_per_variant)
    for first in range(0, n_variants, step):
        yield slice(first, min(first + step, n_variants))


def _draw_frequencies(
    n_populations: int, n_variants: int, fst: float, stream: np.random.Generator
) -> NDArray[np.float64]:
    ancestral = stream.uniform(0.05, 0.95, n_variants)
    if fst == 0:
        return np.tile(ancestral, (n_populations, 1))
    spread = (1 - fst) / fst
    shape = (n_populations, n_variants)
    return stream.beta(ancestral * spread, (1 - ancestral) * spread, shape)


def _haplotype_blocks(
    starts: NDArray[np.bool_], n_haplotypes: int, ld: float, stream: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Yield the uniform numbers that haplotypes carry, variants x haplotypes, block by block."""
    breaks_stream, value_stream = stream.spawn(2)
    carried = np.zeros(n_haplotypes, dtype=np.float32)
    for block in _blocks(len(starts), n_haplotypes):
        shape = (block.stop - block.start, n_haplotypes)
        # float32 numbers fill [0, 1) in steps of 2^-24: ld = 0 and ld = 1 are exact.
        fresh = breaks_stream.random(shape, dtype=np.float32) >= np.float32(ld)
        fresh |= starts[block, None]
        u = np.vstack([carried, value_stream.random(shape, dtype=np.float32)])
        # Row of the last fresh draw at or before each variant; row 0 is the block before.
        row = np.arange(1, len(u), dtype=np.int32)[:, None]
        source = np.maximum.accumulate(np.where(fresh, row, 0), axis=0)
        u = np.take_along_axis(u, source, axis=0)
        carried = u[-1]
        yield u


def _tables(
    population: NDArray[np.int64], chromosome: NDArray[np.int64], stream: np.random.Generator
) -> "tuple[pl.DataFrame, pl.DataFrame]":
    import polars as pl

    n_samples, n_variants = len(population), len(chromosome)
    width = len(str(n_samples))
    samples = pl.DataFrame(
        {
            "FID": [f"pop{k + 1}" for k in population],
            "IID": [f"s{i + 1:0{width}d}" for i in range(n_samples)],
        }
    )
    position = np.cumsum(stream.integers(1, 2_000, n_variants))
    first = np.searchsorted(chromosome, chromosome)  # positions start anew on each chromosome
    width = len(str(n_variants))
    variants = pl.DataFrame(
        {
            "CHROM": [str(k + 1) for k in chromosome],
            "ID": [f"v{j + 1:0{width}d}" for j in range(n_variants)],
            "POS": position - position[first] + 1,
            "A1": ["A"] * n_variants,
            "A2": ["G"] * n_variants,
        }
    )
    return samples, variants


def _polymorphic(dosages: NDArray) -> NDArray[np.bool_]:
    """At least two different genotypes observed: by counts, never by a float variance."""
    seen = np.stack([(dosages == copies).any(axis=0) for copies in (0, 1, 2)])
    return seen.sum(axis=0) > 1


def _standardise(dosages: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standardised columns and their sd for polymorphic variants; missing = 0."""
    observed = dosages >= 0
    count = observed.sum(axis=0)
    mean = np.where(observed, dosages, 0).sum(axis=0) / count
    X = np.where(observed, dosages - mean, 0.0)
    sd = np.sqrt((X**2).sum(axis=0) / count)
    return X / sd, sd


def _product(X: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not X @ v: the last bits of a BLAS product depend on its number of threads.
    return (X * v).sum(axis=1)


def _polygenic_part(
    dosages: NDArray, polymorphic: NDArray[np.int64], stream: np.random.Generator
) -> NDArray[np.float64]:
    """X z / sqrt(p) with z ~ N(0, I_p): a draw from N(0, X X' / p) without forming the matrix."""
    total = np.zeros(len(dosages))
    for block in _blocks(len(polymorphic), len(dosages)):
        X, _ = _standardise(dosages[:, polymorphic[block]])
        total += _product(X, stream.standard_normal(X.shape[1]))
    return total / np.sqrt(max(1, len(polymorphic)))


def _population_part(
    population: NDArray[np.integer], n: int, h2_structure: float, stream: np.random.Generator
) -> NDArray[np.float64]:
    labels, number = np.unique(population, return_inverse=True)
    found = f"{len(population)} entries, {len(labels)} populations"
    if len(population) != n or len(labels) < 2:
        raise InputError(
            f"population: expected one entry for each of {n} samples, two or more populations, "
            f"found {found}; leave it out for a background from the kinship"
        )
    part = stream.standard_normal(len(labels))[number]
    part -= part.mean()
    return part * np.sqrt(h2_structure / np.var(part))

"""Simulated genotypes with population structure and linkage, and phenotypes on them.

Everything is drawn from streams spawned from one seed: the same arguments and the same version of
NumPy give the same bytes, whatever ran before. Genotypes that are observed stay the same when only
`missing_rate` changes.

`simulate_genotypes` and `simulate_phenotype` work on a matrix. What does not fit into memory goes
block by block from a `GenotypeStream` to a `plink_writer` and a `PhenotypeStream`; the numbers are
the same.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lmmlasso_fast.errors import GenotypeError, InputError
from lmmlasso_fast.io.plink_write import check_dosages, encode, plink_writer, write_plink
from lmmlasso_fast.packed import PackedGenotypes
from lmmlasso_fast.threads import one_ahead

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "GenotypeStream",
    "PhenotypeStream",
    "SimulatedGenotypes",
    "SimulatedPhenotype",
    "plink_writer",
    "simulate_genotypes",
    "simulate_phenotype",
    "write_plink",
]

# Genotypes drawn or decoded at a time: little enough for the caches, and for 20 MB of memory. The
# random numbers of a simulation do not depend on it.
BLOCK_VALUES = 1 << 19


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
    stream = GenotypeStream(
        n_samples,
        n_variants,
        n_populations=n_populations,
        fst=fst,
        missing_rate=missing_rate,
        ld=ld,
        inbred=inbred,
        n_chromosomes=n_chromosomes,
        seed=seed,
    )
    dosages = np.empty((n_samples, n_variants), dtype=np.int8, order="F")
    first = 0
    for block in stream.blocks():
        dosages[:, first : first + block.shape[1]] = block
        first += block.shape[1]
    return SimulatedGenotypes(
        dosages, stream.population, stream.frequencies, stream.samples, stream.variants()
    )


class GenotypeStream:
    """The genotypes of `simulate_genotypes`, block by block and never all at once.

    What is held for every variant are the frequencies, the position and the side that A1 is on:
    8 n_populations + 9 bytes.

    Parameters
    ----------
    n_samples, n_variants, n_populations, fst, missing_rate, ld, inbred, n_chromosomes, seed
        As of `simulate_genotypes`.

    Attributes
    ----------
    n_samples, n_variants : int
    population, frequencies, samples
        As of `SimulatedGenotypes`.

    Raises
    ------
    InputError
        A number is outside of its range.
    """

    def __init__(
        self,
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
    ):
        _require("n_samples", n_samples, n_samples >= 1, "at least 1")
        _require("n_variants", n_variants, n_variants >= 1, "at least 1")
        in_range = 1 <= n_populations <= n_samples
        _require("n_populations", n_populations, in_range, "between 1 and n_samples")
        _require("fst", fst, 0 <= fst < 1, "at least 0 and below 1")
        _require("missing_rate", missing_rate, 0 <= missing_rate < 1, "at least 0 and below 1")
        _require("ld", ld, 0 <= ld <= 1, "between 0 and 1")
        in_range = 1 <= n_chromosomes <= n_variants
        _require("n_chromosomes", n_chromosomes, in_range, "between 1 and n_variants")
        streams = np.random.default_rng(seed).spawn(5)
        frequency_stream, phase_stream, haplotype_stream, missing_stream, position_stream = streams

        self.n_samples, self.n_variants = n_samples, n_variants
        self.population = np.arange(n_samples) * n_populations // n_samples
        self.frequencies = _draw_frequencies(n_populations, n_variants, fst, frequency_stream)
        self._upper = phase_stream.random(n_variants) < 0.5
        self._position = np.cumsum(position_stream.integers(1, 2_000, n_variants))
        # The first variant of each chromosome.
        self._first = -(-np.arange(n_chromosomes) * n_variants // n_chromosomes)
        self._ploidy = 1 if inbred else 2
        self._missing_rate, self._ld = missing_rate, ld
        self._streams = (*haplotype_stream.spawn(2), missing_stream)

    @property
    def samples(self) -> "pl.DataFrame":
        """FID (the population) and IID."""
        import polars as pl

        width = len(str(self.n_samples))
        return pl.DataFrame(
            {
                "FID": [f"pop{k + 1}" for k in self.population],
                "IID": [f"s{i + 1:0{width}d}" for i in range(self.n_samples)],
            }
        )

    def variants(self, index: NDArray[np.integer] | None = None) -> "pl.DataFrame":
        """Return CHROM, ID, POS, A1 and A2 of some variants, or of all."""
        import polars as pl

        index = np.arange(self.n_variants) if index is None else index
        chromosome = np.searchsorted(self._first, index, side="right")
        start = self._position[self._first[chromosome - 1]]
        table = pl.DataFrame(
            {"CHROM": chromosome, "NUMBER": index + 1, "POS": self._position[index] - start + 1}
        )
        number = pl.col("NUMBER").cast(pl.String).str.zfill(len(str(self.n_variants)))
        return table.select(
            pl.col("CHROM").cast(pl.String),
            pl.format("v{}", number).alias("ID"),
            "POS",
            pl.lit("A").alias("A1"),
            pl.lit("G").alias("A2"),
        )

    def blocks(self, *, n_threads: int = 1) -> Iterator[NDArray[np.int8]]:
        """Yield the dosages of all variants, in their order; every call yields the same.

        Parameters
        ----------
        n_threads : int, default 1
            2 or more draw random numbers while the block before is used.

        Yields
        ------
        int8 array, n_samples x (some variants)
            At most `BLOCK_VALUES` genotypes of at least one variant, contiguous along samples.
        """
        streams = copy.deepcopy(self._streams)
        draws = (self._draw(rows, *streams) for rows in _blocks(self.n_variants, self.n_samples))
        carried = np.zeros(self.n_samples * self._ploidy, dtype=np.float32)
        for rows, u, kept, lost in one_ahead(draws) if n_threads > 1 else draws:
            for fresh, keep in zip(u, kept, strict=True):
                np.copyto(fresh, carried, where=keep)
                carried = fresh
            dosages = self._dosages(u, rows)
            if lost is not None:
                dosages[lost] = -1
            yield dosages.T

    def _draw(
        self,
        rows: slice,
        break_stream: np.random.Generator,
        value_stream: np.random.Generator,
        missing_stream: np.random.Generator,
    ) -> tuple[slice, NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_] | None]:
        """Return fresh numbers, variants x haplotypes, where the last ones are kept, and holes."""
        n_rows = rows.stop - rows.start
        shape = (n_rows, self.n_samples * self._ploidy)
        # float32 numbers fill [0, 1) in steps of 2^-24: ld = 0 and ld = 1 are exact.
        kept = break_stream.random(shape, dtype=np.float32) < np.float32(self._ld)
        starts = self._first[(self._first >= rows.start) & (self._first < rows.stop)]
        kept[starts - rows.start] = False
        fresh = value_stream.random(shape, dtype=np.float32)
        lost = None
        if self._missing_rate > 0:
            shape = (n_rows, self.n_samples)
            lost = missing_stream.random(shape, dtype=np.float32) < self._missing_rate
        return rows, fresh, kept, lost

    def _dosages(self, u: NDArray[np.float32], rows: slice) -> NDArray[np.int8]:
        """Copies of A1, variants x samples, of haplotypes that carry `u`."""
        upper = self._upper[rows]
        frequencies = self.frequencies[:, rows]
        thresholds = np.where(upper, 1.0 - frequencies, frequencies).astype(np.float32)
        has_a1 = np.empty(u.shape, dtype=bool)
        of_population = np.searchsorted(self.population, np.arange(len(thresholds) + 1))
        bounds = self._ploidy * of_population
        for threshold, start, stop in zip(thresholds, bounds[:-1], bounds[1:], strict=True):
            np.less(u[:, start:stop], threshold[:, None], out=has_a1[:, start:stop])
        has_a1 ^= upper[:, None]
        # The two haplotypes of a sample, or its only one twice.
        alleles = has_a1.view(np.int8)
        return alleles[:, :: self._ploidy] + alleles[:, self._ploidy - 1 :: self._ploidy]


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
    n_samples, n_variants = dosages.shape
    stream = PhenotypeStream(
        n_samples,
        population,
        n_causal=n_causal,
        h2_snp=h2_snp,
        h2_structure=h2_structure,
        seed=seed,
    )
    for block in _blocks(n_variants, n_samples):
        stream.add(dosages[:, block])
    return stream.finish(lambda index: dosages[:, index])


class PhenotypeStream:
    """The phenotype of `simulate_phenotype` on genotypes that come block by block.

    The same to the last bit, however the variants are cut into blocks. What is held for every
    variant is whether it is polymorphic.

    Parameters
    ----------
    n_samples : int
    population, n_causal, h2_snp, h2_structure, seed
        As of `simulate_phenotype`.

    Raises
    ------
    InputError
        A number is outside of its range, or all samples are of one population while the
        background is population means.
    """

    def __init__(
        self,
        n_samples: int,
        population: NDArray[np.integer] | None = None,
        *,
        n_causal: int = 10,
        h2_snp: float = 0.3,
        h2_structure: float = 0.3,
        seed: int,
    ):
        _require("n_causal", n_causal, n_causal >= 0, "at least 0")
        _require("h2_snp", h2_snp, 0 <= h2_snp <= 1, "between 0 and 1")
        # 0.9 + 0.1 passes, although 1 - 0.9 - 0.1 is below zero by one rounding.
        noise_variance = 1.0 - h2_snp - h2_structure
        in_range = h2_structure >= 0 and noise_variance > -1e-12
        limits = f"between 0 and {1 - h2_snp:g} (1 - h2_snp)"
        _require("h2_structure", h2_structure, in_range, limits)
        _require("h2_snp", h2_snp, n_causal > 0 or h2_snp == 0, "0 when n_causal is 0")
        self._noise_sd = np.sqrt(max(0.0, noise_variance))
        self.n_samples, self.n_causal = n_samples, n_causal
        self.h2_snp, self.h2_structure = h2_snp, h2_structure
        # other streams than those of genotypes of the same seed
        streams = np.random.default_rng([seed, 1]).spawn(4)
        self._causal_stream, self._effect_stream, self._structure_stream, self._noise_stream = (
            streams
        )
        self._polymorphic = [np.empty(0, dtype=bool)]
        self._polygenic = np.zeros(n_samples)
        self._means = None
        if population is not None:
            self._means = _population_part(
                population, n_samples, h2_structure, self._structure_stream
            )

    def add(self, dosages: NDArray[np.integer]) -> None:
        """Take in the next variants.

        Parameters
        ----------
        dosages : integer array, n_samples x (any number of variants)
            Copies of A1, -1 missing.

        Raises
        ------
        GenotypeError
            Not such a matrix of -1, 0, 1 and 2.
        """
        check_dosages(dosages)
        genotypes = self._packed(dosages)
        self._polymorphic.append(genotypes.included)
        if self._means is not None:
            return
        # X z with z ~ N(0, I). Not X @ z: the last bits of a BLAS product depend on its number of
        # threads, and those of any sum over a block on where the block ends.
        X = genotypes.columns(np.flatnonzero(genotypes.included))
        for column, z in zip(X.T, self._structure_stream.standard_normal(X.shape[1]), strict=True):
            self._polygenic += z * column

    def finish(
        self, dosages_of: Callable[[NDArray[np.int64]], NDArray[np.integer]]
    ) -> SimulatedPhenotype:
        """Return the phenotype on the variants that were added; to be called once, at the end.

        Parameters
        ----------
        dosages_of : function
            Called once, with the indices of the causal variants; returns their dosages,
            n_samples x n_causal.

        Raises
        ------
        InputError
            Fewer variants are polymorphic than `n_causal`.
        """
        polymorphic = np.flatnonzero(np.concatenate(self._polymorphic))
        limit = f"at most {len(polymorphic)}, the number of polymorphic variants"
        _require("n_causal", self.n_causal, self.n_causal <= len(polymorphic), limit)
        causal = np.sort(self._causal_stream.choice(polymorphic, self.n_causal, replace=False))
        genotypes = self._packed(dosages_of(causal))
        X = genotypes.columns(np.arange(self.n_causal))
        effects = self._effect_stream.standard_normal(self.n_causal)
        if self.n_causal:
            effects *= np.sqrt(self.h2_snp / np.var(_product(X, effects)))
        snp_part = _product(X, effects)
        structure_part = self._means
        if structure_part is None:
            scale = np.sqrt(self.h2_structure / max(1, len(polymorphic)))
            structure_part = scale * self._polygenic
        noise_part = self._noise_sd * self._noise_stream.standard_normal(self.n_samples)
        return SimulatedPhenotype(
            y=snp_part + structure_part + noise_part,
            causal=causal,
            effects=effects,
            effects_per_allele=effects / genotypes.sd,
            snp_part=snp_part,
            structure_part=structure_part,
            noise_part=noise_part,
            h2_snp=self.h2_snp,
            h2_structure=self.h2_structure,
            variance_snp=float(np.var(snp_part)),
            variance_structure=float(np.var(structure_part)),
            variance_noise=float(np.var(noise_part)),
        )

    def _packed(self, dosages: NDArray[np.integer]) -> PackedGenotypes:
        if len(dosages) != self.n_samples:
            raise GenotypeError(
                f"dosages: expected {self.n_samples} rows, one for each sample, found "
                f"{len(dosages)}; give all samples of every variant"
            )
        return PackedGenotypes(encode(dosages), self.n_samples)


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


def _product(X: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not X @ v: the last bits of a BLAS product depend on its number of threads.
    return (X * v).sum(axis=1)


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

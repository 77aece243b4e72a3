"""Simulated genotypes: several populations, linkage along chromosomes, families."""

import copy
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lmmlasso_fast.checks import MOST_ROWS, as_integer, as_number, as_switch
from lmmlasso_fast.display import Result
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.plink_write import encode
from lmmlasso_fast.packed import PackedGenotypes
from lmmlasso_fast.simulation.basics import variant_blocks
from lmmlasso_fast.simulation.families import Gametes, crossover_chances, families_within
from lmmlasso_fast.threads import as_n_threads, one_ahead

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class SimulatedGenotypes(Result):
    """Genotypes of samples from several populations, with what they were drawn from.

    Attributes
    ----------
    dosages : int8 array, n_samples x n_variants
        Copies of allele A1; -1 is missing, which it is not in `Genotypes.from_array`: see
        `genotypes`. Contiguous along samples (Fortran order).
    population : int64 array, n_samples
        Number of the population of each sample, 0 to n_populations - 1, in ascending order.
    frequencies : float64 array, n_populations x n_variants
        Frequency of A1 in each population (the true one, not that of the drawn samples).
    samples : polars.DataFrame
        FID (the population, with families the family) and IID.
    variants : polars.DataFrame
        CHROM, ID, POS, A1, A2.
    family : int64 array, n_samples
        Number of the family of each sample, in ascending order; without families every sample is
        its own.
    """

    dosages: NDArray[np.int8]
    population: NDArray[np.int64]
    frequencies: NDArray[np.float64]
    samples: "pl.DataFrame"
    variants: "pl.DataFrame"
    family: NDArray[np.int64]

    def to_frame(self) -> "pl.DataFrame":
        """Return one row per sample: FID IID POPULATION FAMILY."""
        import polars as pl

        return self.samples.with_columns(
            pl.Series("POPULATION", self.population), pl.Series("FAMILY", self.family)
        )

    def genotypes(self) -> Genotypes:
        """Return them as everything else takes them: packed, with samples and variants."""
        data, n_samples = encode(self.dosages), len(self.dosages)
        return PackedGenotypes(data, n_samples, samples=self.samples, variants=self.variants)


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
    family_size: int = 1,
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
    family_size : int, default 1
        Full siblings per family, at most `n_samples`; the last family of each population may be
        smaller. 1: no relatives.
    seed : int
        Seed of all random streams.

    Returns
    -------
    SimulatedGenotypes
        `dosages`, `population`, `frequencies`, `samples`, `variants`, `family`; `genotypes()` has
        what `kinship`, `lasso_path` and the like take.

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

    The parents of a family are drawn like anybody of their population, and are not among the
    samples. Each parent passes on one haplotype to each child, which changes to the parent's other
    one at crossovers: along a chromosome as a Poisson process with one crossover on average, its
    rate even over base pairs, and chromosomes independently. Siblings so share half of their genes
    on average, and their entries of `lmmlasso_fast.kinship` are about one half above those of
    unrelated pairs. A sample by itself is like one without families, but for the crossovers. With
    `inbred` the parents are inbred lines, and children are lines from doubled gametes of their
    cross.

    This is a stand-in, not a model of history: no haplotype shared by descent between families, no
    recombination map beyond theirs, and no excess of rare variants; r^2 falls geometrically
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
        family_size=family_size,
        seed=seed,
    )
    dosages = np.empty((n_samples, n_variants), dtype=np.int8, order="F")
    first = 0
    for block in stream.blocks():
        dosages[:, first : first + block.shape[1]] = block
        first += block.shape[1]
    return SimulatedGenotypes(
        dosages,
        stream.population,
        stream.frequencies,
        stream.samples,
        stream.variants(),
        stream.family,
    )


class GenotypeStream:
    """The genotypes of `simulate_genotypes`, block by block and never all at once.

    What is held for every variant are the frequencies, the position and the side that A1 is on:
    8 n_populations + 9 bytes, with families 4 more.

    Parameters
    ----------
    n_samples, n_variants, n_populations, fst, missing_rate, ld, inbred, n_chromosomes, \
family_size, seed
        As of `simulate_genotypes`.

    Attributes
    ----------
    n_samples, n_variants : int
    population, frequencies, samples, family
        As of `SimulatedGenotypes`.
    pedigree : polars.DataFrame
        FID, IID, FATHER and MOTHER, "0" where there are no families, as a .fam has them.

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
        family_size: int = 1,
        seed: int,
    ):
        n_samples = as_integer("n_samples", n_samples, 1, MOST_ROWS)
        n_variants = as_integer("n_variants", n_variants, 1, MOST_ROWS)
        seed = as_integer("seed", seed, 0)
        of_samples = "between 1 and n_samples"
        of_variants = "between 1 and n_variants"
        n_populations = as_integer(
            "n_populations", n_populations, 1, n_samples, expected=of_samples
        )
        fst = as_number("fst", fst, 0, below=1)
        missing_rate = as_number("missing_rate", missing_rate, 0, below=1)
        ld = as_number("ld", ld, 0, 1)
        n_chromosomes = as_integer(
            "n_chromosomes", n_chromosomes, 1, n_variants, expected=of_variants
        )
        family_size = as_integer("family_size", family_size, 1, n_samples, expected=of_samples)
        inbred = as_switch("inbred", inbred)
        streams = np.random.default_rng(seed).spawn(6)
        frequency_stream, phase_stream, haplotype_stream, missing_stream = streams[:4]
        position_stream, gamete_stream = streams[4:]

        self.n_samples, self.n_variants = n_samples, n_variants
        self.population = np.arange(n_samples) * n_populations // n_samples
        self.frequencies = _draw_frequencies(n_populations, n_variants, fst, frequency_stream)
        self._upper = phase_stream.random(n_variants) < 0.5
        self._position = np.cumsum(position_stream.integers(1, 2_000, n_variants))
        # The first variant of each chromosome.
        self._first = -(-np.arange(n_chromosomes) * n_variants // n_chromosomes)
        self._ploidy = 1 if inbred else 2
        self._missing_rate, self._ld = missing_rate, ld
        self._streams = (*haplotype_stream.spawn(2), gamete_stream, missing_stream)
        self.family = families_within(self.population, family_size)
        #: Of the haplotypes that the copying chain draws: those of samples, or of their parents.
        self._haplotype_population = np.repeat(self.population, self._ploidy)
        self._gametes = None
        if family_size > 1:
            founded = self.population[np.flatnonzero(np.diff(self.family, prepend=-1))]
            self._haplotype_population = np.repeat(founded, 2 * self._ploidy)
            chances = crossover_chances(self._position, self._first)
            self._gametes = Gametes(self.family, self._ploidy, chances)

    @property
    def samples(self) -> "pl.DataFrame":
        """FID (the population, with families the family) and IID."""
        import polars as pl

        width = len(str(self.n_samples))
        name, number = ("pop", self.population) if self._gametes is None else ("fam", self.family)
        return pl.DataFrame(
            {
                "FID": [f"{name}{k + 1}" for k in number],
                "IID": [f"s{i + 1:0{width}d}" for i in range(self.n_samples)],
            }
        )

    @property
    def pedigree(self) -> "pl.DataFrame":
        """FID, IID, FATHER and MOTHER; the parents, who are not among the samples, have names."""
        import polars as pl

        parents = [pl.lit("0").alias("FATHER"), pl.lit("0").alias("MOTHER")]
        if self._gametes is not None:
            parents = [
                pl.format("{}_{}", "FID", pl.lit(name.lower())).alias(name)
                for name in ("FATHER", "MOTHER")
            ]
        return self.samples.with_columns(parents)

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

        With more threads than one, close the generator (`contextlib.closing`) to leave it early.

        Parameters
        ----------
        n_threads : int, default 1
            2 or more draw random numbers while the block before is used.

        Yields
        ------
        int8 array, n_samples x (some variants)
            At most `BLOCK_VALUES` genotypes of at least one variant, contiguous along samples.
        """
        n_threads = as_n_threads(n_threads)
        streams = copy.deepcopy(self._streams)
        ranges = variant_blocks(self.n_variants, self.n_samples)
        draws = (self._draw(rows, *streams) for rows in ranges)
        carried = np.zeros(len(self._haplotype_population), dtype=np.float32)
        side = None if self._gametes is None else self._gametes.start()
        with closing(one_ahead(draws) if n_threads > 1 else draws) as drawn:
            for rows, u, kept, changes, lost in drawn:
                for fresh, keep in zip(u, kept, strict=True):
                    np.copyto(fresh, carried, where=keep)
                    carried = fresh
                alleles = self._alleles(u, rows)
                if changes is not None:
                    alleles, side = self._gametes.transmit(alleles, changes, side)
                # The two haplotypes of a sample, or its only one twice.
                copies = alleles.view(np.int8)
                dosages = copies[:, :: self._ploidy] + copies[:, self._ploidy - 1 :: self._ploidy]
                if lost is not None:
                    dosages[lost] = -1
                yield dosages.T

    def _draw(
        self,
        rows: slice,
        break_stream: np.random.Generator,
        value_stream: np.random.Generator,
        gamete_stream: np.random.Generator,
        missing_stream: np.random.Generator,
    ) -> tuple[
        slice,
        NDArray[np.float32],
        NDArray[np.bool_],
        NDArray[np.bool_] | None,
        NDArray[np.bool_] | None,
    ]:
        """Return what is random in some variants, each of them variants x haplotypes or samples.

        Fresh numbers, where the last ones are kept, before which variants gametes change
        haplotypes, and holes.
        """
        n_rows = rows.stop - rows.start
        shape = (n_rows, len(self._haplotype_population))
        # float32 numbers fill [0, 1) in steps of 2^-24: ld = 0 and ld = 1 are exact.
        kept = break_stream.random(shape, dtype=np.float32) < np.float32(self._ld)
        starts = self._first[(self._first >= rows.start) & (self._first < rows.stop)]
        kept[starts - rows.start] = False
        fresh = value_stream.random(shape, dtype=np.float32)
        changes = None if self._gametes is None else self._gametes.draw(rows, gamete_stream)
        lost = None
        if self._missing_rate > 0:
            shape = (n_rows, self.n_samples)
            lost = missing_stream.random(shape, dtype=np.float32) < self._missing_rate
        return rows, fresh, kept, changes, lost

    def _alleles(self, u: NDArray[np.float32], rows: slice) -> NDArray[np.bool_]:
        """Whether haplotypes that carry `u` have A1, variants x haplotypes."""
        upper = self._upper[rows]
        frequencies = self.frequencies[:, rows]
        thresholds = np.where(upper, 1.0 - frequencies, frequencies).astype(np.float32)
        has_a1 = np.empty(u.shape, dtype=bool)
        bounds = np.searchsorted(self._haplotype_population, np.arange(len(thresholds) + 1))
        for threshold, start, stop in zip(thresholds, bounds[:-1], bounds[1:], strict=True):
            np.less(u[:, start:stop], threshold[:, None], out=has_a1[:, start:stop])
        has_a1 ^= upper[:, None]
        return has_a1


def _draw_frequencies(
    n_populations: int, n_variants: int, fst: float, stream: np.random.Generator
) -> NDArray[np.float64]:
    ancestral = stream.uniform(0.05, 0.95, n_variants)
    if fst == 0:
        return np.tile(ancestral, (n_populations, 1))
    spread = min((1 - fst) / fst, 1e300)  # sums of two are numbers
    shape = (n_populations, n_variants)
    return stream.beta(ancestral * spread, (1 - ancestral) * spread, shape)

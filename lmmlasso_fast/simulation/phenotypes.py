"""Simulated phenotypes: causal variants, a structured background and noise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lmmlasso_fast.checks import MOST_ROWS, as_integer, as_numbers
from lmmlasso_fast.display import Result
from lmmlasso_fast.errors import GenotypeError, InputError
from lmmlasso_fast.io.plink_write import check_dosages, encode
from lmmlasso_fast.packed import PackedGenotypes
from lmmlasso_fast.simulation.basics import variant_blocks
from lmmlasso_fast.simulation.causal import (
    as_design,
    choose_causal,
    choose_spaced,
    draw_effects,
    frequent,
    sparse_part,
)

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class SimulatedPhenotype(Result):
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

    def to_frame(self) -> "pl.DataFrame":
        """Return one row per sample: Y, the sum of Y_SNP, Y_STRUCTURE, Y_NOISE."""
        import polars as pl

        return pl.DataFrame(
            {
                "Y": self.y,
                "Y_SNP": self.snp_part,
                "Y_STRUCTURE": self.structure_part,
                "Y_NOISE": self.noise_part,
            }
        )


def simulate_phenotype(
    dosages: NDArray[np.int8],
    population: NDArray[np.integer] | None = None,
    *,
    n_causal: int = 10,
    h2_snp: float = 0.3,
    h2_structure: float = 0.3,
    effects: str = "normal",
    min_frequency: float = 0.0,
    min_distance: int = 0,
    variants: "pl.DataFrame | None" = None,
    seed: int,
) -> SimulatedPhenotype:
    """Draw y = X beta + u + e with few causal variants, a structured background and noise.

    X has the variants standardised over the samples (missing = 0). The causal variants are drawn
    uniformly from the polymorphic ones, and their effects are scaled so that var(X beta) = h2_snp
    exactly. The background is one of

    * u ~ N(0, h2_structure K) with K = X X' / p over the p polymorphic variants, the realised
      relationship matrix (drawn as X z sqrt(h2_structure / p) with z ~ N(0, I)), or
    * with `population` given, one mean per population, centred and scaled so that
      var(u) = h2_structure exactly.

    The noise is e ~ N(0, (1 - h2_snp - h2_structure) I). The expected variances sum to 1. For
    shares that are met exactly, and genotypes that come from files, there is `simulate_on`.

    Parameters
    ----------
    dosages : integer array, n_samples x n_variants
        Copies of A1, -1 missing.
    population : integer array, n_samples, optional
        Population of each sample: the background is then population means.
    n_causal : int, default 10
        Number of causal variants; 0 with h2_snp = 0, and only then.
    h2_snp, h2_structure : float, default 0.3
        Variance of the sparse part and of the background, each at least 0, their sum at most 1.
    effects, min_frequency, min_distance
        As of `simulate_on`; by default any polymorphic variant may be causal.
    variants : polars.DataFrame, optional
        CHROM and POS of every variant, for `min_distance`.
    seed : int
        Seed of all random streams.

    Returns
    -------
    SimulatedPhenotype
        `y`, its three parts, `causal`, `effects`, and the variances asked for and realised.

    Raises
    ------
    InputError
        A number is outside of its range, fewer variants can be causal than `n_causal`, or all
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
        effects=effects,
        min_frequency=min_frequency,
        min_distance=min_distance,
        seed=seed,
    )
    for block in variant_blocks(n_variants, n_samples):
        stream.add(dosages[:, block])
    variants_of = None if variants is None else variants.__getitem__
    return stream.finish(lambda index: dosages[:, index], variants_of)


class PhenotypeStream:
    """The phenotype of `simulate_phenotype` on genotypes that come block by block.

    The same to the last bit, however the variants are cut into blocks. What is held for every
    variant is whether it can be causal.

    Parameters
    ----------
    n_samples : int
    population, n_causal, h2_snp, h2_structure, effects, min_frequency, min_distance, seed
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
        effects: str = "normal",
        min_frequency: float = 0.0,
        min_distance: int = 0,
        seed: int,
    ):
        n_samples = as_integer("n_samples", n_samples, 1, MOST_ROWS)
        seed = as_integer("seed", seed, 0)
        design = as_design(n_causal, h2_snp, h2_structure, effects, min_frequency, min_distance)
        n_causal, h2_snp, h2_structure, noise_variance, min_frequency, min_distance = design
        self._noise_sd = np.sqrt(noise_variance)
        self.n_samples, self.n_causal = n_samples, n_causal
        self.h2_snp, self.h2_structure = h2_snp, h2_structure
        self._effects = effects
        self._min_frequency, self._min_distance = min_frequency, min_distance
        # other streams than those of genotypes of the same seed
        streams = np.random.default_rng([seed, 1]).spawn(4)
        self._causal_stream, self._effect_stream, self._structure_stream, self._noise_stream = (
            streams
        )
        self._candidates = [np.empty(0, dtype=bool)]
        self._n_polymorphic = 0
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
        polymorphic = genotypes.included
        self._candidates.append(polymorphic & frequent(genotypes.frequency, self._min_frequency))
        self._n_polymorphic += np.count_nonzero(polymorphic)
        if self._means is not None:
            return
        # X z with z ~ N(0, I). Not X @ z: the last bits of a BLAS product depend on its number of
        # threads, and those of any sum over a block on where the block ends.
        X = genotypes.columns(np.flatnonzero(polymorphic))
        for column, z in zip(X.T, self._structure_stream.standard_normal(X.shape[1]), strict=True):
            self._polygenic += z * column

    def finish(
        self,
        dosages_of: Callable[[NDArray[np.int64]], NDArray[np.integer]],
        variants_of: "Callable[[NDArray[np.int64]], pl.DataFrame] | None" = None,
    ) -> SimulatedPhenotype:
        """Return the phenotype on the variants that were added; to be called once, at the end.

        Parameters
        ----------
        dosages_of : function
            Called once, with the indices of the causal variants; returns their dosages,
            n_samples x n_causal.
        variants_of : function, optional
            Returns CHROM and POS of variants by their indices (`GenotypeStream.variants`); called
            for `min_distance` alone.

        Raises
        ------
        InputError
            Fewer variants than `n_causal` are polymorphic, frequent enough or far enough apart;
            `min_distance` without `variants_of`.
        """
        causal = self._causal(np.flatnonzero(np.concatenate(self._candidates)), variants_of)
        genotypes = self._packed(dosages_of(causal))
        X = genotypes.columns(np.arange(self.n_causal))
        drawn = draw_effects(self._effects, self.n_causal, self._effect_stream)
        effects, snp_part = sparse_part(X, drawn, self.h2_snp)
        structure_part = self._means
        if structure_part is None:
            scale = np.sqrt(self.h2_structure / max(1, self._n_polymorphic))
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

    def _causal(self, candidates: NDArray[np.int64], variants_of) -> NDArray[np.int64]:
        what = "polymorphic variants"
        if self._min_frequency > 0:
            what += f" with a minor allele frequency of at least {self._min_frequency:g}"
        if self._min_distance == 0:
            return choose_causal(candidates, self.n_causal, what, self._causal_stream)
        if variants_of is None:
            raise InputError(
                f"min_distance: expected 0 without the variants' positions, found "
                f"{self._min_distance}; give variants, or variants_of when blocks end"
            )
        return choose_spaced(
            candidates,
            self.n_causal,
            what,
            self._causal_stream,
            self._min_distance,
            variants_of(candidates),
        )

    def _packed(self, dosages: NDArray[np.integer]) -> PackedGenotypes:
        if len(dosages) != self.n_samples:
            raise GenotypeError(
                f"dosages: expected {self.n_samples} rows, one for each sample, found "
                f"{len(dosages)}; give all samples of every variant"
            )
        return PackedGenotypes(encode(dosages), self.n_samples)


def _population_part(
    population: NDArray[np.integer], n: int, h2_structure: float, stream: np.random.Generator
) -> NDArray[np.float64]:
    population = as_numbers(population, "population", InputError)
    shape = population.shape
    n_labels = len(np.unique(population)) if np.isfinite(population).all() else 0
    if shape != (n,) or n_labels < 2:
        found = f"{n_labels} populations" if n_labels else "one that is not finite"
        raise InputError(
            f"population: expected one number for each of {n} samples, two or more populations, "
            f"found the shape {shape} and {found}; leave it out for a background from the kinship"
        )
    labels, number = np.unique(population, return_inverse=True)
    part = stream.standard_normal(len(labels))[number]
    part -= part.mean()
    return part * np.sqrt(h2_structure / np.var(part))

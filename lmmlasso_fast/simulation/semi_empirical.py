"""Semi-empirical phenotypes: drawn on genotypes that exist, with the parts in given shares."""

from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from lmmlasso_fast.checks import as_integer, as_numbers
from lmmlasso_fast.errors import GenotypeError, InputError, KinshipError, PhenotypeError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.kinship import Kinship, as_kinship
from lmmlasso_fast.simulation.basics import variant_blocks
from lmmlasso_fast.simulation.causal import (
    as_design,
    choose_causal,
    choose_spaced,
    draw_effects,
    frequent,
    sparse_part,
)
from lmmlasso_fast.simulation.phenotypes import SimulatedPhenotype
from lmmlasso_fast.threads import as_n_threads, blas_cap, one_ahead

#: Values of largest size 1 whose variance is below this differ by rounding.
_CONSTANT = 1e-26


def simulate_on(
    genotypes: Genotypes,
    *,
    n_causal: int = 10,
    h2_snp: float = 0.3,
    h2_structure: float = 0.3,
    background: NDArray | None = None,
    K: Kinship | NDArray | None = None,
    effects: str = "normal",
    min_frequency: float = 0.05,
    min_distance: int = 0,
    seed: int,
    n_threads: int | None = None,
) -> SimulatedPhenotype:
    """Draw y = X beta + u + e on genotypes that exist, its parts in exactly the asked shares.

    X are the standardised SNPs (missing = 0), beta is non-zero for `n_causal` of them, u is the
    structure and e ~ N(0, I) noise. Each part is then brought to mean 0 and to its variance
    (divisor n): `h2_snp`, `h2_structure` and what is left to 1.

    Parameters
    ----------
    genotypes : Genotypes, n samples x p SNPs
        Real or simulated, packed or dense; decoded block by block.
    n_causal : int, default 10
        Causal SNPs, of those that are offered to the model; 0 with h2_snp = 0, and only then.
    h2_snp, h2_structure : float, default 0.3
        Variance of the causal SNPs together, and of the structure; each at least 0, their sum at
        most 1.
    background : array_like, shape (n,), optional
        A real phenotype (no NaN) whose values are the structure.
    K : Kinship or array_like, shape (n, n), optional
        The structure is u ~ N(0, K) without `background`. By default K is `kinship(genotypes)`;
        that one is never formed: u = X z with z ~ N(0, I) over all offered SNPs. One that is given
        is decomposed once, which pays from several phenotypes on the same genotypes on.
    effects : {"normal", "equal", "exponential", "geometric"}, default "normal"
        Distribution of beta before it is scaled. All but the normal have random signs: equal sizes,
        exponentially distributed ones, or each 0.9 times the next larger one.
    min_frequency : float in [0, 0.5], default 0.05
        Smallest minor allele frequency of a causal SNP. Only 0 goes with genotypes that are not
        dosages 0, 1, 2: there is no frequency to speak of.
    min_distance : int, default 0
        Smallest distance in base pairs of two causal SNPs on one chromosome. Causal SNPs are then
        drawn one after the other, each uniformly from those that are far enough from the ones
        before (and leave room for the ones to come); else every set has the same probability.
    seed : int
        Seed of all random streams: one each for causal SNPs, effects, structure and noise.
    n_threads : int, optional
        2 or more decode SNPs ahead; the bits are the same. Default: all that the process may use.

    Returns
    -------
    SimulatedPhenotype
        `y`, its three parts, `causal` (SNP numbers), `effects`, and the variances.

    Raises
    ------
    InputError
        A number is outside of its range; fewer SNPs than `n_causal` are frequent enough or as far
        apart as `min_distance` (the message says how many are possible); causal SNPs that cancel;
        `background` and `K` together; a part that has no variance.
    GenotypeError
        `min_frequency` for genotypes that are not dosages.
    PhenotypeError
        A background of another length, not finite, or constant.
    KinshipError
        K is of other samples or no covariance matrix.

    Notes
    -----
    The shares are of the parts. They are drawn independently, so that their sample covariances are
    zero in expectation only, and var(y) is 1 up to terms of order 1/sqrt(n). A real background is
    what it is: where it owes something to a causal SNP, y does so twice.

    Ratios of signal to noise: with h2_snp = s and h2_structure = t, the SNPs' variance is
    r = s / (1 - s - t) times the noise's, so that s = r (1 - t) / (1 + r); it is q = s / (1 - s)
    times that of all the rest, so that s = q / (1 + q). The structure has the share
    w = t / (1 - s) of what the SNPs leave: t = w (1 - s).

    References
    ----------
    Rakitsch, Lippert, Stegle and Borgwardt 2013, Bioinformatics 29:206 (semi-empirical design).
    """
    design = as_design(n_causal, h2_snp, h2_structure, effects, min_frequency, min_distance)
    n_causal, h2_snp, h2_structure, noise_variance, min_frequency, min_distance = design
    seed = as_integer("seed", seed, 0)
    n_threads = as_n_threads(n_threads)
    if background is not None and K is not None:
        raise InputError(
            "K: expected none beside a background, which is the whole structure, found one; leave "
            "one of the two out"
        )
    background = None if background is None else as_background(background, genotypes.n_samples)
    K = None if K is None else _as_kinship_of(genotypes, K)
    # other streams than those of genotypes and of `simulate_phenotype` of the same seed
    streams = np.random.default_rng([seed, 2]).spawn(4)
    causal_stream, effect_stream, structure_stream, noise_stream = streams

    causal = _causal(genotypes, n_causal, min_frequency, min_distance, causal_stream)
    drawn = draw_effects(effects, n_causal, effect_stream)
    beta, snp_part = sparse_part(genotypes.columns(causal), drawn, h2_snp)
    snp_part -= snp_part.mean()  # of SNPs that are taken as they are, not centred
    structure_part = np.zeros(genotypes.n_samples)
    if h2_structure > 0:
        if background is None:
            background = _random_effect(genotypes, K, structure_stream, n_threads)
        structure_part = _with_variance(background, h2_structure, "structure")
    noise_part = np.zeros(genotypes.n_samples)
    if noise_variance > 0:
        noise = noise_stream.standard_normal(genotypes.n_samples)
        noise_part = _with_variance(noise, noise_variance, "noise")
    return SimulatedPhenotype(
        y=snp_part + structure_part + noise_part,
        causal=causal,
        effects=beta,
        effects_per_allele=beta / genotypes.sd[causal],
        snp_part=snp_part,
        structure_part=structure_part,
        noise_part=noise_part,
        h2_snp=h2_snp,
        h2_structure=h2_structure,
        variance_snp=float(np.var(snp_part)),
        variance_structure=float(np.var(structure_part)),
        variance_noise=float(np.var(noise_part)),
    )


def _causal(
    genotypes: Genotypes,
    n_causal: int,
    min_frequency: float,
    min_distance: int,
    stream: np.random.Generator,
) -> NDArray[np.int64]:
    allowed, what = genotypes.included, "SNPs offered"
    if min_frequency > 0:
        if np.isnan(genotypes.frequency[allowed]).any():
            raise GenotypeError(
                "min_frequency: expected 0 for genotypes other than dosages 0, 1 and 2, whose "
                f"allele frequencies are unknown, found {min_frequency:g}; set it to 0"
            )
        allowed = allowed & frequent(genotypes.frequency, min_frequency)
        what += f" with a minor allele frequency of at least {min_frequency:g}"
    candidates = np.flatnonzero(allowed)
    if min_distance == 0:
        return choose_causal(candidates, n_causal, what, stream)
    variants = genotypes.variants[candidates]
    return choose_spaced(candidates, n_causal, what, stream, min_distance, variants)


def _random_effect(
    genotypes: Genotypes, K: Kinship | None, stream: np.random.Generator, n_threads: int
) -> NDArray[np.float64]:
    """Draw u ~ N(0, K), or with covariance X X' over the offered SNPs, which is K up to scale."""
    if K is not None:
        spectrum = K.spectrum
        # a root would make the rounding of zero eigenvalues, 1e-16 of the largest, 1e-8
        zero = len(spectrum.s) * np.finfo(np.float64).eps * spectrum.s.max()
        sd = np.sqrt(np.where(spectrum.s > zero, spectrum.s, 0.0))
        z = stream.standard_normal(len(sd))
        with blas_cap(1):
            return spectrum.U @ (sd * z)
    offered = np.flatnonzero(genotypes.included)
    ranges = variant_blocks(len(offered), genotypes.n_samples)
    blocks = (genotypes.columns(offered[snps]) for snps in ranges)
    u = np.zeros(genotypes.n_samples)
    # the last bits of a product depend on its number of threads
    with blas_cap(1), closing(one_ahead(blocks) if n_threads > 1 else blocks) as in_turn:
        for X in in_turn:
            u += X @ stream.standard_normal(X.shape[1])
    return u


def _with_variance(values: NDArray[np.float64], variance: float, what: str) -> NDArray[np.float64]:
    """Return the values with mean 0 and this variance."""
    largest = np.abs(values).max()
    values = values / (largest or 1.0)  # squares of any numbers can be summed
    centred = values - values.mean()
    found = np.var(centred)
    if found <= _CONSTANT:
        raise InputError(
            f"{what}: expected a part that differs between samples, found the same value for all "
            f"{len(values)}; set its share to 0, or give more samples and SNPs"
        )
    return centred * np.sqrt(variance / found)


def as_background(background, n_samples: int) -> NDArray[np.float64]:
    """Return a background as float64, shape (n,).

    Raises
    ------
    PhenotypeError
        Another length, not numeric, not finite, or constant.
    """
    values = as_numbers(background, "background", PhenotypeError)
    if values.shape != (n_samples,):
        raise PhenotypeError(
            f"background: expected {n_samples} values, one for each sample, found shape "
            f"{values.shape}; give them in the order of the genotypes' samples"
        )
    if not np.isfinite(values).all():
        i = int(np.flatnonzero(~np.isfinite(values))[0])
        raise PhenotypeError(
            f"background: expected finite numbers, found {float(values[i])} at position {i} "
            f"({int((~np.isfinite(values)).sum())} in all); take the subset of the genotypes that "
            "has them"
        )
    different = np.unique(values)
    if len(different) < 2:
        raise PhenotypeError(
            f"background: expected at least two different values, found {different.tolist()}; "
            "leave it out for a structure from the kinship"
        )
    return values


def _as_kinship_of(genotypes: Genotypes, K) -> Kinship:
    K = as_kinship(K)
    if K.n_samples != genotypes.n_samples:
        raise KinshipError(
            f"kinship: expected {genotypes.n_samples} samples, as the genotypes have, found "
            f"{K.n_samples}; take the subset of one of the two"
        )
    return K

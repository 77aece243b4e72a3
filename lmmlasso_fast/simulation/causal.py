"""Causal variants of a simulation: which ones, how large their effects are, what they add up to."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lmmlasso_fast.checks import as_choice, as_integer, as_number
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.simulation.basics import require

if TYPE_CHECKING:
    import polars as pl

#: Distributions of effects, see `draw_effects`.
EFFECTS = ("normal", "equal", "exponential", "geometric")
#: Of an effect to the next larger one, where they fall geometrically.
_RATIO = 0.9
#: A sparse part whose variance is this share of its effects' sum of squares is rounding.
_CANCELLED = 1e-12


def as_design(
    n_causal: int,
    h2_snp: float,
    h2_structure: float,
    effects: str,
    min_frequency: float,
    min_distance: int,
) -> tuple[int, float, float, float, float, int]:
    """Return n_causal, h2_snp, h2_structure, the noise's variance, min_frequency, min_distance.

    Raises
    ------
    InputError
        A number is outside of its range, or the distribution is not one of `EFFECTS`.
    """
    n_causal = as_integer("n_causal", n_causal, 0)
    h2_snp = as_number("h2_snp", h2_snp, 0, 1, expected="between 0 and 1")
    limits = f"between 0 and {1 - h2_snp:g} (1 - h2_snp)"
    h2_structure = as_number("h2_structure", h2_structure, expected=limits)
    # 0.9 + 0.1 passes, although 1 - 0.9 - 0.1 is below zero by one rounding.
    noise_variance = 1.0 - h2_snp - h2_structure
    in_range = h2_structure >= 0 and noise_variance > -1e-12
    require("h2_structure", h2_structure, in_range, limits)
    require("h2_snp", h2_snp, n_causal > 0 or h2_snp == 0, "0 when n_causal is 0")
    require("n_causal", n_causal, n_causal == 0 or h2_snp > 0, "0 when h2_snp is 0")
    as_choice("effects", effects, EFFECTS)
    expected = "between 0 and 0.5"
    min_frequency = as_number("min_frequency", min_frequency, 0, 0.5, expected=expected)
    min_distance = as_integer("min_distance", min_distance, 0)
    noise_variance = max(0.0, noise_variance)
    return n_causal, h2_snp, h2_structure, noise_variance, min_frequency, min_distance


def frequent(frequency: NDArray[np.float64], min_frequency: float) -> NDArray[np.bool_]:
    """Return where the minor allele is at least that frequent."""
    # 1 - 0.9 < 0.1 in floating point: which allele is counted must not decide
    return np.minimum(frequency, 1 - frequency) >= min_frequency * (1 - 1e-12)


def choose_causal(
    candidates: NDArray[np.int64], n_causal: int, what: str, stream: np.random.Generator
) -> NDArray[np.int64]:
    """Return `n_causal` of the candidates, ascending, every such set with the same probability.

    Raises
    ------
    InputError
        There are fewer; `what` says which ones they are.
    """
    _require_enough(candidates, n_causal, what)
    return np.sort(stream.choice(candidates, n_causal, replace=False))


def choose_spaced(
    candidates: NDArray[np.int64],
    n_causal: int,
    what: str,
    stream: np.random.Generator,
    min_distance: int,
    variants: "pl.DataFrame",
) -> NDArray[np.int64]:
    """Return `n_causal` of the candidates, ascending, `min_distance` base pairs or more apart.

    One after the other, each drawn uniformly from those that are far enough from the ones before
    and leave room for the ones to come. `variants` has CHROM and POS of the candidates.

    Raises
    ------
    InputError
        There are fewer candidates, or fewer that are this far apart.
    """
    _require_enough(candidates, n_causal, what)
    chromosome = variants["CHROM"].rank("dense").to_numpy()
    position = variants["POS"].to_numpy()
    # what is farther than the ends are from each other comes to the same, and can be added up
    distance = min(min_distance, int(position.max(initial=0)) - int(position.min(initial=0)) + 1)
    order = np.lexsort((position, chromosome))
    # all chromosomes on one line, far enough from each other
    steps = np.diff(position[order], prepend=0)
    steps[1:][chromosome[order[1:]] != chromosome[order[:-1]]] = distance
    line = np.cumsum(steps)
    free, chosen = np.arange(len(line)), []
    for needed in range(n_causal, 0, -1):
        at = line[free]
        allowed = _leaving_room(at, needed, distance)
        if not len(allowed):
            possible = len(_spread(line, distance, n_causal))
            advice = "choose a smaller one, or fewer causal SNPs"
            if not position.any():
                advice = "their positions are unknown (all are 0): leave it at 0"
            raise InputError(
                f"min_distance: expected one that {n_causal} causal SNPs can keep from each other, "
                f"found {min_distance}, which at most {possible} of the {len(candidates)} {what} "
                f"can; {advice}"
            )
        pick = allowed[stream.integers(len(allowed))]
        chosen.append(free[pick])
        free = free[np.abs(at - at[pick]) >= distance]
    return np.sort(candidates[order[np.array(chosen, dtype=np.int64)]])


def _require_enough(candidates: NDArray[np.int64], n_causal: int, what: str) -> None:
    limit = f"at most {len(candidates)}, the number of {what}"
    require("n_causal", n_causal, n_causal <= len(candidates), limit)


def _leaving_room(at: NDArray[np.int64], needed: int, distance: int) -> NDArray[np.int64]:
    """Return which of the ascending places can be the first of `needed` that are so far apart."""
    left = _spread(at, distance, 2 * needed)
    if len(left) == 2 * needed:  # any choice is too close to two of them at most
        return np.arange(len(at))
    # The longest row of places up to some point is the part up to there of the one from the left,
    # and the longest row from some point on is the part from there of the one from the right.
    right = -_spread(-at[::-1], distance, 2 * needed)[::-1]
    before = np.searchsorted(left, at - distance, side="right")
    after = len(right) - np.searchsorted(right, at + distance, side="left")
    return np.flatnonzero(before + 1 + after >= needed)


def _spread(at: NDArray[np.int64], distance: int, limit: int) -> NDArray[np.int64]:
    """Return as many of the ascending places as can be so far apart, from the first on.

    No more than `limit`.
    """
    row, k = [], 0
    while k < len(at) and len(row) < limit:
        row.append(at[k])
        k = np.searchsorted(at, at[k] + distance)
    return np.array(row, dtype=np.int64)


def draw_effects(distribution: str, n: int, stream: np.random.Generator) -> NDArray[np.float64]:
    """Draw effects per standard deviation of a variant, on an arbitrary scale.

    "normal": N(0, 1). The others have random signs: "equal" sizes, sizes from an "exponential"
    distribution, or "geometric" ones, each 0.9 times the next larger one, in random order.
    """
    if distribution == "normal":
        return stream.standard_normal(n)
    signs = np.where(stream.random(n) < 0.5, -1.0, 1.0)
    if distribution == "equal":
        return signs
    if distribution == "exponential":
        return signs * stream.standard_exponential(n)
    return signs * _RATIO ** stream.permutation(n)


def sparse_part(
    X: NDArray[np.float64], effects: NDArray[np.float64], variance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale the effects so that var(X effects) = `variance`; return them and X effects.

    Raises
    ------
    InputError
        X effects is constant (duplicates whose effects cancel).
    """
    if variance > 0:
        found = np.var(_product(X, effects))
        if found <= _CANCELLED * np.sum(effects**2):
            raise InputError(
                f"effects: expected causal SNPs that explain variance, found {len(effects)} whose "
                "effects cancel, duplicates of each other; choose another seed or min_distance"
            )
        effects = effects * np.sqrt(variance / found)
    else:
        effects = np.zeros_like(effects)
    return effects, _product(X, effects)


def _product(X: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not X @ v: the last bits of a BLAS product depend on its number of threads.
    return (X * v).sum(axis=1)

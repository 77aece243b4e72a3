"""Where SNPs stand on a plot of the genome, and which of a million are drawn one by one.

As PheWeb does: the most significant SNPs, the peaks and what surrounds them are exact; all others
are counted in cells of position and -log10 p, of which only the outline is kept.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

#: Up to so many SNPs all are exact.
ALL_EXACT = 20_000
#: Else these with the largest -log10 p are, ...
TOP = 500
#: ... the SNPs around so many peaks, the nearest first, and no more than this in all.
N_PEAKS = 30
MOST_EXACT = 12_000
#: A peak is higher than all SNPs within this, which is also what is exact around it.
WINDOW = 500_000
#: Columns of cells over the genome, and rows of them below the highest binned SNP.
N_COLUMNS = 1_000
N_ROWS = 100
#: The height of a cell is not below this.
LEAST_HEIGHT = 0.05
#: Of more chromosomes than this (scaffolds), the ones with the fewest SNPs share one axis.
N_NAMES = 500
#: Space between chromosomes as a share of the genome.
GAP = 0.004


@dataclass(frozen=True)
class Genome:
    """SNPs on the genome, chromosome after chromosome in the order given.

    Attributes
    ----------
    names : list of str
        Chromosomes, at most N_NAMES; the last may stand for all others.
    chromosome : ndarray of int64, shape (p,)
        Index into `names`.
    position : ndarray of float64, shape (p,)
        Base pairs; of a SNP without a known position, what lies between its neighbours in the
        order given; on a chromosome without any, SNPs are evenly spaced.
    known : ndarray of bool, shape (p,)
        Whether the file has the position.
    pooled : ndarray of bool, shape (p,)
        Whether the chromosome is one of the others; `position` is on their common axis.
    start : ndarray of float64, shape (chromosomes,)
        Where a chromosome's position 0 is on the axis.
    first, last : ndarray of float64, shape (chromosomes,)
        The smallest and the largest position.
    """

    names: list[str]
    chromosome: np.ndarray
    position: np.ndarray
    known: np.ndarray
    pooled: np.ndarray
    start: np.ndarray
    first: np.ndarray
    last: np.ndarray


def lay_out(chromosomes: pl.Series, positions: np.ndarray) -> Genome:
    """Put SNPs on one axis.

    Parameters
    ----------
    chromosomes : Series of str, length p
    positions : ndarray of int64, shape (p,)
        Base pairs; 0 or less is unknown.
    """
    chromosomes, positions, pooled = _pool(chromosomes, positions)
    names = chromosomes.filter(~pooled).unique(maintain_order=True).to_list()
    names += chromosomes.filter(pooled)[:1].to_list()
    codes = {name: code for code, name in enumerate(names)}
    chromosome = chromosomes.replace_strict(codes, return_dtype=pl.Int64).to_numpy()
    position = np.array(positions, dtype=np.float64)
    known = position > 0
    first, last = np.zeros(len(names)), np.zeros(len(names))
    for code in range(len(names)):
        rows = np.flatnonzero(chromosome == code)
        there = known[rows]
        if not there.any():
            position[rows] = np.arange(1, len(rows) + 1) * _spacing(positions)
        elif not there.all():
            position[rows] = np.interp(rows, rows[there], position[rows[there]])
        first[code], last[code] = position[rows].min(), position[rows].max()
    lengths = last - first
    gap = GAP * lengths.sum()
    start = np.concatenate([[0.0], np.cumsum(lengths + gap)[:-1]]) - first
    return Genome(names, chromosome, position, known, pooled, start, first, last)


def _pool(
    chromosomes: pl.Series, positions: np.ndarray
) -> tuple[pl.Series, np.ndarray, np.ndarray]:
    """Put the chromosomes beyond N_NAMES, those with the fewest SNPs, end to end on one.

    Returns
    -------
    chromosomes, positions : Series, ndarray
        As they were, but of the SNPs of these.
    pooled : ndarray of bool
        Which SNPs these are.
    """
    n_snps = chromosomes.to_frame("NAME").group_by("NAME", maintain_order=True).len()
    if len(n_snps) <= N_NAMES:
        return chromosomes, positions, np.zeros(len(chromosomes), dtype=bool)
    smallest_last = n_snps.sort("len", descending=True, maintain_order=True)
    others = smallest_last["NAME"][N_NAMES - 1 :]
    pooled = chromosomes.is_in(others.implode()).to_numpy()
    within = np.where(positions > 0, positions, 0)[pooled]
    code = chromosomes.filter(pooled).rank("dense").to_numpy().astype(np.int64) - 1
    lengths = np.zeros(len(others), dtype=np.int64)
    np.maximum.at(lengths, code, within.astype(np.int64))
    begin = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    placed = np.array(positions)
    placed[pooled] = np.where(within > 0, begin[code] + within, 0)
    other = pl.Series([f"other {len(others):,}"]).new_from_index(0, len(pooled))
    return other.zip_with(pl.Series(pooled), chromosomes), placed, pooled


def _spacing(positions: np.ndarray) -> float:
    """Base pairs from one SNP to the next where there are none: the mean of those that are."""
    known = positions[positions > 0]
    return max(1.0, round(float(np.ptp(known)) / len(known))) if len(known) else 1.0


def find_peaks(genome: Genome, height: np.ndarray, n: int = N_PEAKS) -> np.ndarray:
    """Return up to n SNPs, each the highest within WINDOW of it, the highest first.

    SNPs near a higher peak count for nothing; NaN is no height.
    """
    left = np.where(np.isnan(height), -np.inf, height)
    peaks: list[int] = []
    while len(peaks) < n and len(left):
        best = int(left.argmax())
        if not left[best] > 0:
            break
        peaks.append(best)
        left[around(genome, best)] = -np.inf
    return np.array(peaks, dtype=np.int64)


def around(genome: Genome, snp: int) -> np.ndarray:
    """Return whether SNPs are on the chromosome of this one and within WINDOW of it."""
    near = np.abs(genome.position - genome.position[snp]) <= WINDOW
    return near & (genome.chromosome == genome.chromosome[snp])


def exact_snps(
    genome: Genome, height: np.ndarray, centres: np.ndarray, always: np.ndarray
) -> np.ndarray:
    """Return the SNPs that are drawn one by one, in order.

    Parameters
    ----------
    height : ndarray of float64, shape (p,)
        NaN: not drawn, unless it is in `always`.
    centres : ndarray of int64
        SNPs whose surroundings are exact, the most important first.
    always : ndarray of int64
        SNPs that are exact wherever they are.
    """
    there = ~np.isnan(height)
    keep = np.zeros(len(height), dtype=bool)
    keep[always] = True
    if len(height) <= ALL_EXACT:
        return np.flatnonzero(keep | there)
    ranked = np.argsort(np.where(there, -height, np.inf), kind="stable")[:TOP]
    keep[ranked] = there[ranked]
    for centre in centres:
        near = np.flatnonzero(around(genome, int(centre)) & there & ~keep)
        room = max(MOST_EXACT - int(keep.sum()), 0)
        if room == 0:
            break
        distance = np.abs(genome.position[near] - genome.position[centre])
        keep[near[np.argsort(distance, kind="stable")[:room]]] = True
    return np.flatnonzero(keep)


def bins(genome: Genome, height: np.ndarray, rest: np.ndarray) -> dict:
    """Return the outline of the SNPs `rest`, column by column.

    Returns
    -------
    dict
        CHROM (index), START, END (base pairs), N (SNPs), and EXTENTS: for every column the
        intervals of -log10 p that have SNPs, [low, high, low, high, ...], to a cell's height,
        `cell`.
    """
    rest = rest[~np.isnan(height[rest])]
    empty = {"cell": LEAST_HEIGHT, "CHROM": [], "START": [], "END": [], "N": [], "EXTENTS": []}
    if not len(rest):
        return empty
    width = max(float((genome.last - genome.first).sum()) / N_COLUMNS, 1.0)
    cell = max(LEAST_HEIGHT, float(height[rest].max()) / N_ROWS)
    chromosome = genome.chromosome[rest]
    within = ((genome.position[rest] - genome.first[chromosome]) // width).astype(np.int64)
    row = np.maximum(height[rest] // cell, 0).astype(np.int64)
    n_within, n_rows = int(within.max()) + 1, int(row.max()) + 2  # one row free: columns part
    column = chromosome * n_within + within
    cells = np.unique(column * n_rows + row)
    begins = np.flatnonzero(np.diff(cells, prepend=-2) != 1)
    ends = np.append(begins[1:], len(cells)) - 1
    of, low = np.divmod(cells[begins], n_rows)
    high = cells[ends] % n_rows + 1
    columns, counts = np.unique(column, return_counts=True)
    lists = {int(c): [] for c in columns}
    for c, bottom, top in zip(of.tolist(), low.tolist(), high.tolist(), strict=True):
        lists[c] += [round(bottom * cell, 3), round(top * cell, 3)]
    code, index = np.divmod(columns, n_within)
    start = genome.first[code] + index * width
    return {
        "cell": cell,
        "CHROM": code.tolist(),
        "START": np.round(start).astype(np.int64).tolist(),
        "END": np.round(np.minimum(start + width, genome.last[code])).astype(np.int64).tolist(),
        "N": counts.tolist(),
        "EXTENTS": list(lists.values()),
    }

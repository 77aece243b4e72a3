"""Whether selected SNPs are near genes more often than by chance."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import MOST_TIMES, as_integer
from lmmlasso_fast.display import Result, one_row
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.evaluation.maps import SortedMap
from lmmlasso_fast.evaluation.nearness import as_window
from lmmlasso_fast.evaluation.snp_lists import as_selected
from lmmlasso_fast.genotypes import Genotypes

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False)
class Enrichment(Result):
    """Whether selected SNPs are near genes more often than by chance.

    Attributes
    ----------
    share : float
        Of the selected SNPs, those near a gene; NaN if none is selected.
    expected : float
        The mean of the share over all shifts.
    p_value : float
        (1 + shifts with at least this share) / (1 + n_permutations).
    n_snps, n_near : int
        Selected SNPs, and those of them that are near a gene.
    is_near : ndarray of bool, shape (n_snps,)
        Which, in the order given.
    genes_found : ndarray of int64
        Rows of the genes that a selected SNP is near.
    n_genes : int
        Genes on chromosomes that the genotypes have.
    null : ndarray, shape (n_permutations,)
        The share after each shift.
    """

    share: float
    expected: float
    p_value: float
    n_snps: int
    n_near: int
    is_near: np.ndarray = field(repr=False)
    genes_found: np.ndarray
    n_genes: int
    null: np.ndarray = field(repr=False)

    def to_frame(self) -> "pl.DataFrame":
        """Return one row: the numbers."""
        return one_row(self, ("share", "expected", "p_value", "n_snps", "n_near", "n_genes"))


def enrichment(
    snps: ArrayLike,
    genotypes: Genotypes,
    genes: "pl.DataFrame",
    *,
    window: float,
    n_permutations: int = 10_000,
    seed: int = 0,
) -> Enrichment:
    """Compare how many selected SNPs are near a gene with circular shifts of the selection.

    Near is a SNP within the gene or at most `window` base pairs from it. A permutation moves the
    selected SNPs of each chromosome by the same random number of places along the map of the SNPs
    that are offered to the model, sorted by position, and past its end to its start. So the
    distances between selected SNPs, in SNPs, stay as they are, LD with them, and all of them fall
    on SNPs of the map: where the map is dense, more of them. Every number of places has the same
    probability, 0 included.

    Parameters
    ----------
    snps : array_like of int
        The selected SNPs, distinct.
    genotypes : Genotypes
    genes : polars.DataFrame
        CHROM, START, END as from `read_bed`: a gene covers START + 1 to END. Those on chromosomes
        that the genotypes do not have are left out.
    window : float
        Base pairs.
    n_permutations : int, default 10,000
    seed : int, default 0
        The same seed, map and n_permutations make the same shifts, whatever is selected.

    Raises
    ------
    InputError
        An option is out of range; a SNP is not offered to the model or, even one that is not
        selected, has no position; no gene is on a chromosome of the genotypes, or some are under
        another name ("chr5" for "5"); a gene lacks its start or end, or ends before it starts.
    """
    snps = as_selected(snps, genotypes)
    window = as_window(window)
    n_permutations = as_integer("n_permutations", n_permutations, 1, MOST_TIMES)
    seed = as_integer("seed", seed, 0)
    advice = "exclude the SNPs without a position (genotypes.filter)"
    snp_map = SortedMap(genotypes, genotypes.included, advice)
    of_gene = genes["CHROM"].to_numpy().astype(str)
    _require_chromosomes(of_gene, snp_map.names)
    start, end = _ends(genes)
    first, last = start + 1 - window, end + window

    place = snp_map.place[snps]
    is_selected = np.zeros(len(snp_map.snps), dtype=bool)
    is_selected[place] = True
    is_near = np.zeros(len(snp_map.snps), dtype=bool)
    is_found = np.zeros(len(genes), dtype=bool)
    n_near = np.zeros(n_permutations, dtype=np.int64)
    expected = 0.0
    rng = np.random.default_rng(seed)
    for chromosome, a, b in snp_map.bounds:
        rows = np.flatnonzero(of_gene == snp_map.names[chromosome])
        position, chosen = snp_map.position[a:b], np.flatnonzero(is_selected[a:b])
        # in so many genes: begun and not yet ended
        begun = np.searchsorted(np.sort(first[rows]), position, side="right")
        near = begun > np.searchsorted(np.sort(last[rows]), position)
        is_near[a:b] = near
        upto = np.searchsorted(position[chosen], last[rows], side="right")
        is_found[rows] = upto > np.searchsorted(position[chosen], first[rows])
        expected += len(chosen) * near.mean()
        # drawn whatever is selected: a seed has the same shifts for every selection
        places = rng.integers(0, b - a, n_permutations)
        for k in chosen:
            n_near += near[(places + k) % (b - a)]
    observed, n_snps = int(is_near[place].sum()), len(snps)
    scale = 1 / n_snps if n_snps else np.nan
    return Enrichment(
        share=observed * scale,
        expected=float(expected * scale),
        p_value=float((1 + (n_near >= observed).sum()) / (1 + n_permutations)),
        n_snps=n_snps,
        n_near=observed,
        is_near=is_near[place],
        genes_found=np.flatnonzero(is_found),
        n_genes=int(np.isin(of_gene, snp_map.names).sum()),
        null=n_near * scale,
    )


def _ends(genes: "pl.DataFrame") -> tuple[np.ndarray, np.ndarray]:
    """Return START and END as whole numbers."""
    found = [genes[name] for name in ("START", "END")]
    for column in found:
        if not column.dtype.is_integer() or column.null_count():
            raise InputError(
                f"genes: expected whole numbers for {column.name}, found {column.null_count()} "
                f"missing ones, of the type {column.dtype}; correct the table"
            )
    start, end = (column.to_numpy().astype(np.int64) for column in found)
    if (start > end).any():
        row = int((start > end).argmax())
        raise InputError(
            f"genes: expected ends that are not before the start, found {start[row]} to {end[row]} "
            f"in row {row}; correct the table"
        )
    return start, end


def _require_chromosomes(of_gene: np.ndarray, names: np.ndarray) -> None:
    """Refuse genes on none of the chromosomes, or on one of them under another name."""
    unknown = np.setdiff1d(of_gene, names)
    same = {_plain(name): name for name in names.tolist()}
    renamed = [name for name in unknown.tolist() if _plain(name) in same]
    if renamed:
        raise InputError(
            f"genes: expected chromosomes by the genotypes' names, found {renamed[0]!r} where they "
            f"have {same[_plain(renamed[0])]!r}; rename the chromosomes of one of the two"
        )
    if len(unknown) and len(unknown) == len(np.unique(of_gene)):
        raise InputError(
            f"genes: expected chromosomes among {', '.join(names[:30])}, found only "
            f"{', '.join(unknown[:30])}; rename the chromosomes of one of the two"
        )


def _plain(chromosome: str) -> str:
    """Return "5" for "chr5", "Chr05" or "chromosome_5"."""
    name = chromosome.lower()
    for prefix in ("chromosome", "chrom", "chr"):
        name = name.removeprefix(prefix)
    return name.lstrip("_0") or "0"

"""Where SNPs are on a genome-wide axis, and the columns that plots need of results and tables."""

from dataclasses import dataclass, field

import numpy as np

from lmmlasso_fast.chromosomes import natural_key
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.plots.style import words

#: What names a SNP in all tables.
SNP = ("CHROM", "POS", "ID")
#: Between two chromosomes, of the length of all.
_GAP = 0.01
_MEGABASE = 1e6


@dataclass(frozen=True)
class Layout:
    """Chromosomes side by side, in natural order (2 before 10, numbers before names).

    Attributes
    ----------
    chromosomes : list of str
    starts, ends : ndarray
        Of each on the axis.
    in_megabases : bool
        A single chromosome with known positions: the axis has these. Otherwise it has no unit.
    table : polars.DataFrame
        CHROM, POS, ID and X, the place on the axis, of every SNP.
    """

    chromosomes: list[str]
    starts: np.ndarray
    ends: np.ndarray
    in_megabases: bool
    table: object = field(repr=False)

    def x(self, table) -> np.ndarray:
        """Return the places of a table's SNPs."""
        found = table.select(SNP).join(self.table, on=SNP, how="left", maintain_order="left")
        return found["X"].to_numpy()

    def label(self, axes) -> None:
        """Write the chromosomes' names, or megabases, below the axis."""
        if self.in_megabases:
            name = words(self.chromosomes[0])
            axes.set_xlabel(f"chromosome {name} (Mb)", parse_math=False)
            return
        span = self.ends[-1] - self.starts[0]
        ticks, names, free_from = [], [], -np.inf
        shown = map(words, self.chromosomes)
        for start, end, name in zip(self.starts, self.ends, shown, strict=True):
            middle, half = (start + end) / 2, 0.008 * span * (len(name) + 0.5) / 2
            if middle - half >= free_from:  # names of small chromosomes must not overlap
                ticks.append(middle)
                names.append(name)
                free_from = middle + half
        axes.set_xticks(ticks, names, parse_math=False)
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel("chromosome")


def lay_out(*tables) -> Layout:
    """Lay out all SNPs that any of the tables (CHROM, POS, ID) has.

    On a chromosome without any known position (above 0) SNPs are evenly spaced, in their order.
    """
    import polars as pl

    snps = pl.concat([table.select(SNP) for table in tables]).unique(maintain_order=True)
    chromosomes = sorted(snps["CHROM"].unique(), key=natural_key)
    if not chromosomes:
        raise InputError("SNPs: expected at least one to be drawn, found none")
    order = pl.Series(chromosomes, dtype=pl.String)
    code = snps["CHROM"].replace_strict(order, np.arange(len(order)), return_dtype=pl.Int64)
    code, position = code.to_numpy(), snps["POS"].cast(pl.Float64).to_numpy().copy()
    known = np.zeros(len(order), dtype=bool)
    np.logical_or.at(known, code, position > 0)
    for k in np.flatnonzero(~known):
        position[code == k] = np.arange(np.sum(code == k)) + 1
    one = len(order) == 1 and bool(known[0])
    if one:
        position /= _MEGABASE
    low = np.full(len(order), np.inf)
    high = np.full(len(order), -np.inf)
    np.minimum.at(low, code, position)
    np.maximum.at(high, code, position)
    # chromosomes of evenly spaced SNPs beside others in base pairs would not show
    lengths = np.maximum(high - low, 1.0)
    if known.any() and not known.all():
        lengths[~known] = lengths[known].mean()
    starts = np.concatenate([[0.0], np.cumsum(lengths + _GAP * lengths.sum())[:-1]])
    if one:
        starts = low
    x = starts[code] + (position - low[code]) / np.maximum(high - low, 1.0)[code] * lengths[code]
    return Layout(chromosomes, starts, starts + lengths, one, snps.with_columns(pl.Series("X", x)))


# ---- results and tables --------------------------------------------------------------------------


def is_table(found) -> bool:
    """Whether it is a table as result files hold it."""
    import polars as pl

    return isinstance(found, pl.DataFrame)


def scan_points(scan, genotypes: Genotypes | None):
    """CHROM, POS, ID and VALUE = -log10 p of the SNPs that were tested.

    `scan` is an AssociationScan of the genotypes, or P.scan.tsv.
    """
    import polars as pl

    if is_table(scan):
        table = scan.rename({"GENPOS": "POS", "LOG10P": "VALUE"})
    else:
        log10p = pl.Series("VALUE", scan.log10p)
        table = _variants(genotypes, "scan").with_columns(log10p)
    return table.select(*SNP, "VALUE").filter(pl.col("VALUE").is_finite())


def stability_points(stability, genotypes: Genotypes | None):
    """CHROM, POS, ID and VALUE = selection frequency of the SNPs that were ever selected.

    `stability` is a StabilityResult of the genotypes, or P.stability.tsv.
    """
    import polars as pl

    if is_table(stability):
        return stability.select(*SNP, pl.col("SEL_FREQ").alias("VALUE"))
    frequency = pl.Series("VALUE", stability.frequency)
    table = _variants(genotypes, "stability").with_columns(frequency)
    return table.select(*SNP, "VALUE").filter(pl.col("VALUE") > 0)


def _variants(genotypes: Genotypes | None, what: str):
    if genotypes is None:
        raise InputError(
            f"genotypes: expected those of the {what}, whose SNPs have positions and names, found "
            "none; give them"
        )
    return genotypes.variants

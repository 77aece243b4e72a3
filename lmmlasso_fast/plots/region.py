"""One region of the genome, with the linkage disequilibrium of the user's own data."""

from itertools import pairwise

import numpy as np

from lmmlasso_fast.checks import as_number, as_text, plain
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.ld import r_squared
from lmmlasso_fast.plots import style
from lmmlasso_fast.plots.positions import SNP, scan_points, stability_points

#: r2 to the lead: bounds of the classes, and a colour from light to dark for each.
_BOUNDS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_SHADES = ("#BFC8D6", "#7FA6D6", "#009E73", "#E69F00", "#D55E00")
_LEAD = "#CC79A7"
_MEGABASE = 1e6


def regional(
    chromosome: str,
    start: int,
    end: int,
    genotypes: Genotypes,
    *,
    scan=None,
    stability=None,
    lead: str | None = None,
    cutoff: float | None = None,
    axes=None,
):
    """Draw the SNPs of a region, coloured by their r2 with its lead.

    Parameters
    ----------
    chromosome : str
    start, end : int
        Base pairs, both ends included.
    genotypes : Genotypes
        r2 is that of these samples: squared correlation of dosages, missing ones at the mean.
    scan : AssociationScan or polars.DataFrame, optional
        Or P.scan.tsv as a table. -log10 p, in the first panel.
    stability : StabilityResult or polars.DataFrame, optional
        Or P.stability.tsv as a table. Selection frequencies, in the last panel.
    lead : str, optional
        Id of a SNP in the region. Default: that of the largest -log10 p, without a scan of the
        largest frequency.
    cutoff : float, optional
        A line at this selection frequency.
    axes : matplotlib.axes.Axes or pair of them, optional
        One for each of scan and stability that is given. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        Neither scan nor stability, no SNP of theirs in the region, a lead that is not among them.
    """
    chromosome = as_text("chromosome", chromosome)
    lead = None if lead is None else as_text("lead", lead)
    for name, value in (("start", start), ("end", end)):
        as_number(name, value, 0, expected="a position of at least 0")
    start, end = plain(start), plain(end)
    cutoff = None if cutoff is None else as_number("cutoff", cutoff, 0, 1)
    found = []
    if scan is not None:
        found.append((scan_points(scan, genotypes), "$-\\log_{10}\\,p$"))
    if stability is not None:
        found.append((stability_points(stability, genotypes), "selection frequency"))
    if not found:
        raise InputError("regional: expected a scan or a stability result, found neither; give one")
    found = [(_within(table, chromosome, start, end), label) for table, label in found]
    rows = _rows(genotypes, chromosome, start, end)
    found = [(table.join(rows, on=SNP, how="inner"), label) for table, label in found]
    lead_row, lead_name = _lead(found, lead, f"{chromosome}:{start}-{end}")
    with style.panels(axes, len(found), width=style.COLUMN, height=0.5 + 1.5 * len(found)) as drawn:
        for panel, (table, label) in zip(drawn, found, strict=True):
            table_rows = table["ROW"].to_numpy()
            r2 = r_squared(genotypes, lead_row, table_rows)
            artists = _draw(panel, table, r2, table_rows == lead_row)
            panel.set_ylabel(label)
            panel.set_xlim(start / _MEGABASE, end / _MEGABASE)
            panel.set_ylim(0, 1.08 * max(table["VALUE"].max() or 0.0, cutoff or 0.0) or 1.0)
        if stability is not None:
            drawn[-1].set_ylim(0, 1.04)
            if cutoff is not None:
                style.threshold(drawn[-1], cutoff)
        names = [f"{a:g} to {b:g}" for a, b in pairwise(_BOUNDS)]
        made = style.legend(drawn[0], artists, [*names[::-1], style.words(lead_name)], beside=True)
        made.set_title("r² to the lead", prop={"size": style.STYLE["legend.fontsize"]})
        for panel in drawn[:-1]:
            panel.tick_params(axis="x", labelbottom=False)
        drawn[-1].set_xlabel(f"chromosome {style.words(chromosome)} (Mb)", parse_math=False)
        return drawn[0].figure


def _within(table, chromosome: str, start: int, end: int):
    import polars as pl

    return table.filter(pl.col("CHROM") == str(chromosome), pl.col("POS").is_between(start, end))


def _rows(genotypes: Genotypes, chromosome: str, start: int, end: int):
    """Return CHROM, POS, ID and ROW of the offered SNPs of a region."""
    import polars as pl

    table = genotypes.variants.select(*SNP).with_row_index("ROW")
    table = table.filter(pl.Series(genotypes.included))
    return _within(table, chromosome, start, end).unique(SNP, keep="first", maintain_order=True)


def _lead(found, name: str | None, where: str) -> tuple[int, str]:
    """Return row and id of the lead: the one that is named, or the first table's best."""
    for table, _ in found:
        if name is not None:
            table = table.filter(table["ID"] == name)
        if len(table):
            best = int(table["VALUE"].arg_max())
            return int(table["ROW"][best]), table["ID"][best]
    if name is not None:
        raise InputError(f"lead: expected a SNP that is drawn in {where}, found {name!r}")
    raise InputError(
        f"region: expected SNPs of the result and the genotypes in {where}, found none; check the "
        "chromosome's name and the positions"
    )


def _draw(axes, table, r2: np.ndarray, is_lead: np.ndarray) -> list:
    """Draw the classes of r2, the highest on top; return what explains them, highest first."""
    x, y = table["POS"].to_numpy() / _MEGABASE, table["VALUE"].to_numpy()
    of_class = np.clip(np.searchsorted(_BOUNDS, r2, side="left") - 1, 0, len(_SHADES) - 1)
    artists = []
    for k, shade in enumerate(_SHADES):
        here = (of_class == k) & ~is_lead
        artists.append(
            style.points(axes, x[here], y[here], color=shade, markersize=4.5, zorder=2 + k)
        )
    [mark] = axes.plot(
        x[is_lead],
        y[is_lead],
        marker="D",
        linestyle="none",
        color=_LEAD,
        markeredgecolor="black",
        markeredgewidth=0.5,
        markersize=4,
        zorder=9,
    )
    return [*artists[::-1], mark]

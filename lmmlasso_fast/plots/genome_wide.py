"""Manhattan plots: what is selected, and what is associated, along the genome."""

import math

import numpy as np

from lmmlasso_fast.checks import as_integer, as_number
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.plots import style
from lmmlasso_fast.plots.positions import Layout, lay_out, scan_points, stability_points


def manhattan(
    stability=None,
    scan=None,
    genotypes: Genotypes | None = None,
    *,
    cutoff: float | None = None,
    level: float | None = 0.05,
    n_tests: int | None = None,
    axes=None,
):
    """Draw selection frequencies upwards and -log10 p downwards, or one of the two alone.

    Parameters
    ----------
    stability : StabilityResult or polars.DataFrame, optional
        Or P.stability.tsv as a table.
    scan : AssociationScan or polars.DataFrame, optional
        Or P.scan.tsv as a table.
    genotypes : Genotypes, optional
        Of results that are no tables; the axis then has all their SNPs.
    cutoff : float in (0, 1], optional
        A line at this selection frequency; SNPs that reach it are marked, in both panels.
    level : float in (0, 1), optional
        A line at the p-value of this family-wise error rate by Bonferroni; None: no line.
    n_tests : int, optional
        Tests that it is divided by; default those of the scan.
    axes : matplotlib.axes.Axes or pair of them, optional
        One for each of stability and scan that is given. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        Neither stability nor scan, no SNP in them, an option out of range.

    Notes
    -----
    SNPs that were never selected are not drawn. From 3,000 points on they are drawn as pixels
    within the SVG or PDF.
    """
    cutoff, level, n_tests = _checked(stability, scan, cutoff, level, n_tests)
    found = [] if stability is None else [stability_points(stability, genotypes)]
    found += [] if scan is None else [scan_points(scan, genotypes)]
    layout = lay_out(*found, *([] if genotypes is None else [genotypes.variants]))
    marked = None
    if stability is not None and cutoff is not None:
        marked = found[0].filter(found[0]["VALUE"] >= cutoff)
    height = 1.6 if len(found) == 1 else 1.5
    with style.panels(axes, len(found), width=style.PAGE, height=height * len(found)) as drawn:
        if stability is not None:
            _draw(drawn[0], layout, found[0], marked)
            drawn[0].set_ylim(0, 1.04)
            drawn[0].set_ylabel("selection frequency")
            if cutoff is not None:
                style.threshold(drawn[0], cutoff)
        if scan is not None:
            _draw(drawn[-1], layout, found[-1], marked)
            tests = n_tests or len(found[-1])
            line = None if level is None else math.log10(tests) - math.log10(level)
            highest = max(found[-1]["VALUE"].max() or 0.0, line or 0.0)
            drawn[-1].set_ylim(0, 1.06 * highest or 1.0)
            drawn[-1].set_ylabel("$-\\log_{10}\\,p$")
            if line is not None:
                style.threshold(drawn[-1], line)
        layout.label(drawn[-1])
        if len(found) == 2:
            _mirror(*drawn, layout)
        return drawn[0].figure


def _checked(stability, scan, cutoff, level, n_tests):
    """Return cutoff, level and n_tests."""
    if stability is None and scan is None:
        raise InputError(
            "manhattan: expected a stability result or a scan, found neither; give one"
        )
    cutoff, level = (
        None if value is None else as_number(name, value, high=1, above=0)
        for name, value in (("cutoff", cutoff), ("level", level))
    )
    return cutoff, level, None if n_tests is None else as_integer("n_tests", n_tests, 1)


def _draw(axes, layout: Layout, table, marked) -> None:
    """Draw one panel's points, chromosome by chromosome, and those marked on top."""
    x, y = layout.x(table), table["VALUE"].to_numpy()
    first = np.searchsorted(layout.starts, x, side="right") - 1
    for parity, colour in enumerate(style.ALTERNATING):
        here = first % 2 == parity
        style.points(axes, x[here], y[here], color=colour)
    if marked is not None and len(marked):
        both = table.join(marked.drop("VALUE"), on=("CHROM", "POS", "ID"), how="semi")
        style.points(
            axes,
            layout.x(both),
            both["VALUE"].to_numpy(),
            color=style.SELECTED,
            marker="D",
            markersize=2.5,
            zorder=3,
        )
    room = 0.01 * (layout.ends[-1] - layout.starts[0])
    axes.set_xlim(layout.starts[0] - room, layout.ends[-1] + room)


def _mirror(above, below, layout: Layout) -> None:
    """Have the second panel grow downwards, the chromosomes' names between the two."""
    below.invert_yaxis()
    below.spines["top"].set_visible(True)
    below.spines["bottom"].set_visible(False)
    below.set_xlabel("")
    below.xaxis.tick_top()
    below.tick_params(axis="x", labeltop=False)
    layout.label(above)
    if not layout.in_megabases:
        above.set_xlabel("")

"""What the figures of the studies have in common: size, colours, and files that can be compared.

The same content gives the same SVG file, byte for byte, with one version of matplotlib: no date in
it, names of its parts from a fixed salt, letters as letters.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Okabe and Ito's colours, which can be told apart without seeing red or green.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
#: One method has one colour in all figures.
OF_METHOD = {
    "LMM-Lasso": COLOURS[0],
    "Lasso": COLOURS[1],
    "LMM": COLOURS[2],
    "LM": COLOURS[4],
    "BLUP": COLOURS[3],
}
#: Inches: two columns of a journal's page.
WIDTH = 7.1

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bench.accuracy",
    "font.size": 7,
    "axes.titlesize": 8,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


@contextmanager
def sheet(
    path: Path, n_panels: int, *, n_columns: int | None = None, height: float = 2.5
) -> Iterator[list]:
    """Yield the panels of a figure, which is written when the block ends.

    Parameters
    ----------
    path : Path
        An SVG file. After an exception in the block none is written.
    n_panels : int
    n_columns : int, optional
        Default: one row up to three panels, else rows of two.
    height : float
        Of a row, inches.

    Yields
    ------
    list of matplotlib.axes.Axes
        Row by row.
    """
    import matplotlib
    from matplotlib.figure import Figure

    if n_columns is None:
        n_columns = n_panels if n_panels <= 3 else 2
    n_rows = -(-n_panels // n_columns)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height * n_rows), layout="constrained")
        panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel().tolist()
        for spare in panels[n_panels:]:
            spare.remove()
        panels = panels[:n_panels]
        for axes in panels:
            axes.spines[["top", "right"]].set_visible(False)
        yield panels
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def diagonal(axes, low: float, high: float) -> None:
    """Draw where y = x, behind everything else."""
    axes.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)

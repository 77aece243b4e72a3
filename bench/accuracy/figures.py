"""What the figures of the studies have in common: sheets of panels in the style of all
plots (`lmmlasso_fast.plots.style`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lmmlasso_fast.plots.style import COLOURS, METADATA, PAGE, STYLE, diagonal

__all__ = ["COLOURS", "OF_METHOD", "diagonal", "sheet"]

#: One method has one colour in all figures.
OF_METHOD = {
    "LMM-Lasso": COLOURS[0],
    "Lasso": COLOURS[1],
    "LMM": COLOURS[2],
    "LM": COLOURS[4],
    "BLUP": COLOURS[3],
}
#: The style of all plots; names of an SVG's parts from a salt of these figures' own.
_STYLE = STYLE | {"svg.hashsalt": "bench.accuracy"}


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
        figure = Figure(figsize=(PAGE, height * n_rows), layout="constrained")
        panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel().tolist()
        for spare in panels[n_panels:]:
            spare.remove()
        panels = panels[:n_panels]
        for axes in panels:
            axes.spines[["top", "right"]].set_visible(False)
        yield panels
        figure.savefig(path, format="svg", metadata=METADATA["svg"])

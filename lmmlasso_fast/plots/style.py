"""What all plots have in common: colours, sizes, words, and files that can be compared.

Figures are made without pyplot, whose current figure and backend belong to the user. The same
content gives the same file, byte for byte, with one version of matplotlib: no date in it, names of
an SVG's parts from a fixed salt, letters as letters.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lmmlasso_fast.checks import as_choice, as_number
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.io.atomic import atomic_write

#: Okabe and Ito's colours, which can be told apart without seeing red or green.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
#: Those that a thin line can have on white, which yellow cannot.
LINE_COLOURS = (*COLOURS[:6], COLOURS[7])
#: Of neighbouring chromosomes.
ALTERNATING = (COLOURS[0], COLOURS[5])
#: Of what is selected, and of what is only there for comparison.
SELECTED, BACKGROUND = COLOURS[1], "0.75"
#: Inches: one and two columns of a journal's page.
COLUMN, PAGE = 3.5, 7.1
#: Points from which they are drawn as pixels: each would take some 90 bytes of an SVG or PDF.
RASTERISED_FROM = 3_000
FORMATS = ("svg", "png", "pdf")

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lmmlasso_fast",
    "pdf.fonttype": 42,
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
#: What a file says of its origin: nothing that changes from run to run.
METADATA = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_DPI = 300
#: No letter has a pixel below; memory grows with the square.
_LEAST_DPI, _MOST_DPI = 20, 10_000
#: Letters of an id that are shown.
_SHOWN = 24


@contextmanager
def panels(axes=None, n: int = 1, *, width: float = COLUMN, height: float = 2.5) -> Iterator[list]:
    """Yield n panels, one below the other: those given, or of a new figure in our style.

    Parameters
    ----------
    axes : matplotlib.axes.Axes or sequence of them, optional
        Drawn into as they are; default a new figure.
    n : int
    width, height : float
        Of the new figure, inches.

    Raises
    ------
    ImportError
        Without matplotlib.
    InputError
        Another number of axes than panels.
    """
    matplotlib = _matplotlib()
    if axes is not None:
        given = [axes] if hasattr(axes, "plot") else list(axes)
        if len(given) != n:
            raise InputError(
                f"axes: expected {n}, one for each panel, found {len(given)}; leave axes out for a "
                "figure of its own"
            )
        yield given
        return
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        new = figure.subplots(n, 1, squeeze=False)[:, 0].tolist()
        for one in new:
            one.spines[["top", "right"]].set_visible(False)
            # ticks are made when the figure is drawn, which may be outside of this style
            one.tick_params(which="both", labelsize=STYLE["font.size"], width=0.6)
        yield new
        # laid out once: again in each file, it would depend on those before
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def save(figure, path: str | os.PathLike, *, format: str | None = None, dpi: float = _DPI) -> None:
    """Write a figure, whole or not at all.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path
    format : {"svg", "png", "pdf"}, optional
        Default: what the name ends with.
    dpi : float, default 300
        Dots per inch of a PNG, and of the points in an SVG or PDF that are too many to be drawn
        one by one.

    Raises
    ------
    InputError
        Another format.
    OutputError
        The file cannot be written.
    """
    if format is None:
        format = os.path.splitext(path)[1].removeprefix(".")
    format = as_choice("format", format, FORMATS)
    dpi = as_number("dpi", dpi, _LEAST_DPI, _MOST_DPI)
    with _matplotlib().rc_context(STYLE), atomic_write(path, "wb") as file:
        figure.savefig(file, format=format, dpi=dpi, metadata=METADATA[format])


def _matplotlib():
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib: expected it to be installed, found it missing; run: pip "
            "install 'lmmlasso-fast[plot]'"
        ) from error
    return matplotlib


# ---- what panels are made of ---------------------------------------------------------------------


def words(name) -> str:
    """Return a name from the user's files as it can be shown: one line, not long, no control."""
    name = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(name))
    return name if len(name) <= _SHOWN else name[: _SHOWN - 1] + "…"


def diagonal(axes, low: float, high: float) -> None:
    """Draw where y = x, behind everything else."""
    axes.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)


def threshold(axes, value: float, *, vertical: bool = False):
    """Draw a dashed line across the panel; return it."""
    line = axes.axvline if vertical else axes.axhline
    return line(value, color="0.4", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)


def points(axes, x, y, **style):
    """Draw points, very many of them as pixels; return the artist."""
    style = {"marker": ".", "linestyle": "none", "markeredgewidth": 0} | style
    [drawn] = axes.plot(x, y, rasterized=len(x) >= RASTERISED_FROM, **style)
    return drawn


def legend(axes, artists: Sequence, names: Sequence[str], *, beside: bool = False, **style):
    """Explain artists by names of any text; `beside` the panel rather than in it."""
    if beside:
        style = {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0), "borderaxespad": 0} | style
    else:  # what lies behind it must not cross its letters
        style = {
            "frameon": True,
            "facecolor": "white",
            "framealpha": 1,
            "edgecolor": "none",
        } | style
    made = axes.legend(artists, ["."] * len(artists), handlelength=1.2, **style)
    # set afterwards: matplotlib hides labels that begin with _ and typesets those with $
    for text, name in zip(made.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
    return made


def alpha_axis(axes, alphas, n_active=None) -> None:
    """Have alpha fall from left to right on a log scale, with the active SNPs above."""
    import numpy as np
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    alphas = np.asarray(alphas)
    axes.set_xscale("log")
    decades = np.log10(alphas.max() / alphas.min())
    axes.xaxis.set_major_locator(
        LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,), numticks=20)
    )
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    # set rather than inverted: matplotlib would spread a single alpha over numbers below zero
    room = (alphas.max() / alphas.min()) ** 0.02 if len(alphas) > 1 else 1.1
    axes.set_xlim(alphas.max() * room, alphas.min() / room)
    axes.set_xlabel("alpha")
    if n_active is None:
        return
    wanted = np.geomspace(alphas.max(), alphas.min(), 6)
    shown = np.unique(np.abs(np.log(alphas[:, None] / wanted)).argmin(axis=0))
    counts = [f"{count}" for count in np.asarray(n_active)[shown]]
    axis_above(axes, alphas[shown], counts, "active SNPs")


def axis_above(axes, places, labels: Sequence[str], name: str) -> None:
    """Have a second x axis above the panel, with labels at places of the first one."""
    from matplotlib.ticker import NullLocator

    above = axes.secondary_xaxis("top")
    above.set_xticks(places, labels)
    above.xaxis.set_minor_locator(NullLocator())
    above.tick_params(labelsize=axes.xaxis.get_major_ticks(1)[0].label1.get_size(), width=0.6)
    above.set_xlabel(name)

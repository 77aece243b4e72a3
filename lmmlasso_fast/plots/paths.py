"""What happens along the path: coefficients, and selection frequencies."""

import numpy as np

from lmmlasso_fast.checks import as_integer, as_number
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.plots import style
from lmmlasso_fast.plots.positions import is_table


def coefficient_path(
    path,
    genotypes: Genotypes | None = None,
    *,
    coefs=None,
    alpha: float | None = None,
    n_named: int = 7,
    axes=None,
):
    """Draw the effects of standardised SNPs at every alpha.

    Parameters
    ----------
    path : LassoPath or polars.DataFrame
        Or P.path.tsv as a table, with `coefs`.
    genotypes : Genotypes, optional
        For the SNPs' names; without it they are "SNP j".
    coefs : polars.DataFrame, optional
        P.coef.tsv as a table.
    alpha : float, optional
        A line at the chosen alpha.
    n_named : int, default 7
        At most so many SNPs have a colour and a name: those of the largest effect at `alpha`, or at
        the last alpha.
    axes : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        P.path.tsv without P.coef.tsv.
    """
    if is_table(path):
        if coefs is None:
            raise InputError("coefs: expected P.coef.tsv beside P.path.tsv, found none; give it")
        alphas, n_active = path["ALPHA"].to_numpy(), path["N_ACTIVE"].to_numpy()
        names, effects = _from_table(coefs, len(alphas))
    else:
        alphas, n_active = path.alphas, path.n_active
        rows = np.unique(path.coefs.tocsc().indices)
        names, effects = _names(rows, genotypes), path.coefs.tocsr()[rows].toarray()
    n_named = as_integer("n_named", n_named, 0)
    alpha = None if alpha is None else as_number("alpha", alpha, above=0)
    shown = -1 if alpha is None else int(np.abs(np.log(alphas / alpha)).argmin())
    best = np.argsort(-np.abs(effects[:, shown]), kind="stable")[:n_named]
    best = best[effects[best, shown] != 0]
    with style.panels(axes, width=style.PAGE, height=2.7) as [drawn]:
        drawn.axhline(0, color="0.4", linewidth=0.6, zorder=0)
        _draw(drawn, alphas, effects, names, best)
        if alpha is not None:
            style.threshold(drawn, alpha, vertical=True)
        style.alpha_axis(drawn, alphas, n_active)
        drawn.set_ylabel("effect of a standardised SNP")
        return drawn.figure


def stability_path(
    stability,
    genotypes: Genotypes | None = None,
    *,
    cutoff: float | None = None,
    n_named: int = 7,
    axes=None,
):
    """Draw the selection frequencies of the LD groups' leads along the path.

    Parameters
    ----------
    stability : StabilityResult or polars.DataFrame
        Or P.stability_path.tsv as a table.
    genotypes : Genotypes, optional
        For the SNPs' names; without it they are "SNP j".
    cutoff : float, optional
        A line at this frequency.
    n_named : int, default 7
        At most so many SNPs have a colour and a name, the most frequent first.
    axes : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if is_table(stability):
        by_alpha = "ALPHA" in stability.columns
        level = "ALPHA" if by_alpha else "N_ACTIVE"
        levels = stability[level].unique(maintain_order=True).to_numpy()
        frequency = stability["SEL_FREQ"].to_numpy().reshape(-1, len(levels))
        names = stability["ID"].to_list()[:: len(levels)]
    else:
        by_alpha = stability.alphas is not None
        leads, along = stability.groups.leads, stability.path
        levels = along.levels
        frequency = along.frequency[:, np.searchsorted(along.snps, leads)].T
        names = _names(leads, genotypes)
    n_named = as_integer("n_named", n_named, 0)
    cutoff = None if cutoff is None else as_number("cutoff", cutoff, 0, 1)
    highest = frequency.max(axis=1, initial=0.0)
    best = np.argsort(-highest, kind="stable")[:n_named]
    with style.panels(axes, width=style.PAGE, height=2.5) as [drawn]:
        _draw(drawn, levels, frequency, names, best)
        if cutoff is not None:
            style.threshold(drawn, cutoff)
        if by_alpha:
            style.alpha_axis(drawn, levels)
        else:
            from matplotlib.ticker import MaxNLocator

            drawn.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
            drawn.set_xlabel("SNPs selected in each replicate")
        drawn.set_ylim(0, 1.04)
        drawn.set_ylabel("selection frequency")
        return drawn.figure


def _draw(axes, x: np.ndarray, values: np.ndarray, names: list[str], best: np.ndarray) -> None:
    """Draw a line for each row; those of `best` with a colour and a name."""
    from matplotlib.collections import LineCollection

    others = np.setdiff1d(np.arange(len(values)), best)
    # one artist for all: there may be thousands
    background = LineCollection(
        [np.column_stack([x, values[row]]) for row in others],
        colors=style.BACKGROUND,
        linewidths=0.5,
        zorder=1,
        rasterized=len(others) * len(x) >= style.RASTERISED_FROM,
    )
    axes.add_collection(background)
    marker = "." if len(x) == 1 else None
    artists = []
    for k, row in enumerate(best):
        colour = style.LINE_COLOURS[k % len(style.LINE_COLOURS)]
        dashes = "-" if k < len(style.LINE_COLOURS) else "--"
        artists += axes.plot(x, values[row], dashes, color=colour, marker=marker, zorder=2)
    axes.autoscale_view()
    if artists:
        style.legend(axes, artists, [style.words(names[row]) for row in best], beside=True)


def _names(snps: np.ndarray, genotypes: Genotypes | None) -> list[str]:
    if genotypes is None:
        return [f"SNP {snp}" for snp in snps]
    return genotypes.variants["ID"][snps].to_list()


def _from_table(coefs, n_alphas: int) -> tuple[list[str], np.ndarray]:
    """Return the names and effects (s x m) of the SNPs of P.coef.tsv, in order of appearance."""
    snps = coefs.select("CHROM", "POS", "ID", "EFFECT_ALLELE", "OTHER_ALLELE")
    first = snps.unique(maintain_order=True).with_row_index("ROW")
    rows = snps.join(first, on=snps.columns, how="left", maintain_order="left")["ROW"].to_numpy()
    effects = np.zeros((len(first), n_alphas))
    effects[rows, coefs["INDEX"].to_numpy()] = coefs["BETA_STD"].to_numpy()
    return first["ID"].to_list(), effects

"""QQ plots: observed p-values against what chance alone gives."""

import math

import numpy as np

from lmmlasso_fast.errors import InputError
from lmmlasso_fast.plots import style
from lmmlasso_fast.plots.positions import is_table

#: Where the band is computed: it is smooth, and the tests are up to millions.
_BAND_POINTS = 300


def qq(before=None, after=None, *, names=("without kinship", "with kinship"), axes=None):
    """Draw -log10 p of scans before and after the correction for kinship against its expectation.

    The i-th smallest of m independent uniform p-values is Beta(i, m - i + 1): points are drawn at
    -log10((i - 1/2) / m), and the grey band holds 95 % of each, taken by itself. Linkage makes
    neighbouring SNPs alike: the band is then too narrow.

    Parameters
    ----------
    before, after : AssociationScan or polars.DataFrame, optional
        Or P.scan.tsv as a table. At least one; of different numbers of tests, the band is that of
        the last one.
    names : pair of str
        What the legend calls them, before the genomic-control lambda.
    axes : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        No scan, or one without a test.
    """
    scans = [(scan, name) for scan, name in zip((before, after), names, strict=True)]
    scans = [(scan, name) for scan, name in scans if scan is not None]
    if not scans:
        raise InputError("qq: expected at least one scan, found none; give before, after or both")
    colours = (style.COLOURS[4], style.COLOURS[0])[-len(scans) :]
    with style.panels(axes, height=3.2) as [drawn]:
        artists, labels = [], []
        for (scan, name), colour in zip(scans, colours, strict=True):
            observed = -np.sort(-_log10_p(scan))
            if len(observed) == 0:
                raise InputError(f"qq: expected a test in every scan, found none {name}")
            expected = -np.log10((np.arange(1, len(observed) + 1) - 0.5) / len(observed))
            artists.append(style.points(drawn, expected, observed, color=colour, zorder=2))
            labels.append(f"{name}, λ = {genomic_lambda(scan):.2f}")
        _draw_band(drawn, len(observed))
        style.diagonal(drawn, 0, drawn.dataLim.x1)
        drawn.set(xlim=(0, None), ylim=(0, None))
        drawn.set_xlabel("expected $-\\log_{10}\\,p$")
        drawn.set_ylabel("observed $-\\log_{10}\\,p$")
        style.legend(drawn, artists, labels, loc="upper left", markerscale=2)
        return drawn.figure


def band(m: int, share: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return expected, lowest and highest -log10 p of order statistics of m uniform p-values.

    Each has probability `share` to lie within; at up to 300 of the m, evenly on the log scale.
    """
    from scipy.special import betaincinv

    i = np.unique(np.geomspace(1, m, _BAND_POINTS).round())
    tail = (1 - share) / 2
    low, high = (betaincinv(i, m - i + 1, at) for at in (1 - tail, tail))
    return -np.log10((i - 0.5) / m), -np.log10(low), -np.log10(high)


def _draw_band(axes, m: int) -> None:
    expected, low, high = band(m)
    axes.fill_between(expected, low, high, color="0.88", linewidth=0, zorder=0)


def _log10_p(scan) -> np.ndarray:
    log10p = scan["LOG10P"].to_numpy() if is_table(scan) else scan.log10p
    return log10p[np.isfinite(log10p)]


def genomic_lambda(scan) -> float:
    """Return `AssociationScan.genomic_lambda`, for a table too."""
    if not is_table(scan):
        return scan.genomic_lambda
    from lmmlasso_fast.association import median_of_f

    tested = scan.drop_nulls("CHISQ").drop_nans("CHISQ")
    if len(tested) == 0:
        return math.nan
    return float(tested["CHISQ"].median()) / median_of_f(_degrees(tested))


def _degrees(tested) -> int:
    """Return df of F(1, df), which P.scan.tsv does not have: CHISQ and LOG10P of one SNP tell."""
    from lmmlasso_fast import _core

    best = int(tested["CHISQ"].arg_max())
    chisq, log10p = (tested[name][best] for name in ("CHISQ", "LOG10P"))
    low, high = 1, max(int(tested["N"][best]) - 1, 1)
    while low < high:  # log10 p grows with df
        middle = (low + high) // 2
        # halfway to the next one: the written numbers may be off in their last digit
        here, following = (_core.log10_p(np.array([chisq]), df)[0] for df in (middle, middle + 1))
        low, high = (low, middle) if log10p <= (here + following) / 2 else (middle + 1, high)
    return low

"""How the variance splits, and how well the data tell."""

from collections.abc import Mapping

import numpy as np

from lmmlasso_fast.errors import InputError
from lmmlasso_fast.plots import style
from lmmlasso_fast.plots.positions import is_table

#: Log-likelihood below the maximum at which a 95 % interval ends: half of chi-squared's 3.84.
_INTERVAL = 1.92
#: How far down the profile is shown.
_SHOWN_BELOW = 12.0
#: Fields that tell what was estimated.
_ESTIMATE = ("log_delta", "h2", "h2_se", "method", "at_boundary", "flat")
#: Labels of h2, the first that find room.
_SHARES = (0.5, 0.2, 0.8, 0.05, 0.95, 0.01, 0.99, 0.3, 0.7, 0.1, 0.9, 0.4, 0.6, 0.55, 0.45, 0.65)
_PARTS = (("SNPs", style.COLOURS[0]), ("kinship", style.COLOURS[4]), ("noise", "0.85"))


def likelihood_profile(null, *, axes=None):
    """Draw the profile log-likelihood over log delta, with h2 above and its 95 % interval.

    Parameters
    ----------
    null : NullModel or mapping
        Or the content of P.null.json.
    axes : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        A content without a profile, as that of `scan --loco`.

    Notes
    -----
    The interval is where the log-likelihood is within 1.92 of its maximum. It may be open on a
    side; h2 alone then says less than it seems to.
    """
    if "profile" not in _fields(null):
        raise InputError(
            "null: expected a null model with its likelihood profile, found none, as after --loco; "
            "take the result of fit_null"
        )
    null = _fields(null, "profile", "log_likelihood", *_ESTIMATE)
    profile = _fields(null["profile"], "log_delta", "nll")
    log_delta, nll = (np.asarray(profile[name]) for name in ("log_delta", "nll"))
    best = null["log_delta"]
    if log_delta[0] < best < log_delta[-1]:  # seldom on the grid
        place = np.searchsorted(log_delta, best)
        log_delta = np.insert(log_delta, place, best)
        nll = np.insert(nll, place, -null["log_likelihood"])
    height = nll.min() - nll
    shown = log_delta[height >= -_SHOWN_BELOW]
    low = min(height[height >= -_SHOWN_BELOW].min(), -2 * _INTERVAL)
    with style.panels(axes, height=2.6) as [drawn]:
        drawn.fill_between(
            log_delta,
            height,
            -_INTERVAL,
            where=height >= -_INTERVAL,
            interpolate=True,
            color=style.COLOURS[5],
            alpha=0.45,
            linewidth=0,
        )
        drawn.plot(log_delta, height, color=style.COLOURS[0])
        mark = drawn.axvline(best, color=style.SELECTED, linewidth=0.9, zorder=1)
        style.threshold(drawn, -_INTERVAL)
        room = 0.05 * (shown[-1] - shown[0]) + 0.1
        low_end, high_end = min(shown[0], best) - room, max(shown[-1], best) + room
        drawn.set(xlim=(low_end, high_end), ylim=(1.1 * low, -0.06 * low))
        drawn.set_xlabel("log δ")
        drawn.set_ylabel("log-likelihood below its maximum")
        shares = _readable(low_end, high_end)
        style.axis_above(
            drawn, [_log_delta(share) for share in shares], [f"{s:g}" for s in shares], "h²"
        )
        style.legend(drawn, [mark], [_estimate(null)], loc="lower center")
        return drawn.figure


def _log_delta(h2: float) -> float:
    return float(np.log((1 - h2) / h2))


def _readable(low: float, high: float) -> list[float]:
    """Return values of h2 between two log deltas, as many as their labels leave room for."""
    shares: list[float] = []
    for share in _SHARES:
        place = _log_delta(share)
        near = [s for s in shares if abs(_log_delta(s) - place) < 0.1 * (high - low)]
        if low <= place <= high and not near:
            shares.append(share)
    return shares


def _estimate(null: Mapping) -> str:
    text = f"h² = {null['h2']:.3f}"
    if null["h2_se"] is not None:
        text += f" ± {null['h2_se']:.3f}"
    if null["method"] == "given":
        text += ", δ given"
    if null["at_boundary"]:
        text += ", at the boundary"
    if null["flat"]:
        text += ", flat"
    return text


def _fields(content, *names: str) -> Mapping:
    """Return a result's fields, or those of P.null.json, of which some are needed."""
    found = content if isinstance(content, Mapping) else vars(content)
    lacking = [name for name in names if name not in found]
    if lacking:
        raise InputError(
            f"null: expected the fields {', '.join(names)}, found no {', '.join(lacking)}; take a "
            "null model, or P.null.json as it was written"
        )
    return found


def variance_split(fitted, split=None, *, axes=None):
    """Draw the shares of SNPs, kinship and noise at every alpha; of a null model, one bar.

    Parameters
    ----------
    fitted : LassoPath, NullModel, polars.DataFrame or mapping
        Or P.path.tsv as a table, or the content of P.null.json.
    split : VarianceSplit, optional
        `lmmlasso_fast.variance_split(path, genotypes, y)`, needed with a LassoPath.
    axes : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        A LassoPath without its split, a content without h2.
    """
    if is_table(fitted):
        alphas, n_active = fitted["ALPHA"].to_numpy(), fitted["N_ACTIVE"].to_numpy()
        names = ("VAR_SNP", "VAR_RANDOM", "VAR_NOISE")
        return _areas(alphas, n_active, [fitted[name].to_numpy() for name in names], axes)
    if hasattr(fitted, "alphas"):
        if split is None:
            raise InputError(
                "split: expected variance_split(path, genotypes, y) with a path, found none"
            )
        return _areas(fitted.alphas, fitted.n_active, [split.snp, split.random, split.noise], axes)
    if "h2" not in _fields(fitted):
        raise InputError("fitted: expected a null model with h2, found none, as after --loco")
    return _bar(_fields(fitted, *_ESTIMATE), axes)


def _areas(alphas, n_active, shares, axes):
    with style.panels(axes, height=2.7) as [drawn]:
        edges = np.vstack([np.zeros(len(alphas)), np.cumsum(shares, axis=0)])
        artists = [
            drawn.fill_between(alphas, edges[k], edges[k + 1], color=colour, linewidth=0)
            for k, (_, colour) in enumerate(_PARTS)
        ]
        style.alpha_axis(drawn, alphas, n_active)
        if len(alphas) > 1:
            drawn.set_xlim(alphas.max(), alphas.min())
        drawn.set_ylim(0, 1)
        drawn.set_ylabel("share of the variance")
        names = [name for name, _ in _PARTS]
        style.legend(drawn, artists[::-1], names[::-1], beside=True)
        return drawn.figure


def _bar(null: Mapping, axes):
    h2, se = null["h2"], null["h2_se"]
    with style.panels(axes, height=1.1) as [drawn]:
        artists = [
            drawn.barh([0], [width], left=left, height=0.6, color=colour)
            for (_, colour), left, width in zip(_PARTS[1:], (0, h2), (h2, 1 - h2), strict=True)
        ]
        if se is not None:
            drawn.errorbar([h2], [0], xerr=[se], color="black", capsize=2, linewidth=0.9)
        drawn.set(xlim=(0, 1), ylim=(-0.5, 0.5), yticks=[])
        drawn.set_xlabel(f"share of the variance ({_estimate(null)})")
        style.legend(drawn, artists, [name for name, _ in _PARTS[1:]], beside=True)
        return drawn.figure

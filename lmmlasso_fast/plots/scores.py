"""How well phenotypes are predicted."""

import numpy as np

from lmmlasso_fast.checks import as_integer
from lmmlasso_fast.cross_validation import best_and_one_se
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.plots import style
from lmmlasso_fast.plots.positions import is_table


def cv_curve(cv, *, axes=None):
    """Draw the explained variance of held-out samples at every alpha, with its standard error.

    Lines mark the best alpha and the largest within one standard error of it; thin lines are the
    folds.

    Parameters
    ----------
    cv : CrossValidation or polars.DataFrame
        Or P.cv.tsv as a table.
    axes : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if is_table(cv):
        alphas, n_active, explained, se = (
            cv[name].cast(float).to_numpy()
            for name in ("ALPHA", "N_ACTIVE", "EXPLAINED_VARIANCE", "SE")
        )
        n_active = n_active.astype(np.int64)
        folds = cv.select(name for name in cv.columns if name.startswith("EV_")).to_numpy().T
        best, one_se = best_and_one_se(explained, se)
    else:
        alphas, n_active, explained, se = cv.alphas, cv.n_active, cv.explained_variance, cv.se
        folds, best, one_se = cv.fold_scores, cv.best_index, cv.one_se_index
    spread = np.nan_to_num(se)
    with style.panels(axes, height=2.7) as [drawn]:
        for scores in folds:
            drawn.plot(alphas, scores, color=style.BACKGROUND, linewidth=0.5, zorder=1)
        drawn.fill_between(
            alphas,
            explained - spread,
            explained + spread,
            color=style.COLOURS[5],
            alpha=0.45,
            linewidth=0,
            zorder=2,
        )
        drawn.plot(alphas, explained, color=style.COLOURS[0], zorder=3)
        marks = [
            drawn.axvline(alphas[k], color=colour, linewidth=0.9, linestyle=dashes, zorder=1)
            for k, colour, dashes in (
                (best, style.SELECTED, "-"),
                (one_se, style.COLOURS[2], (0, (4, 2))),
            )
        ]
        style.alpha_axis(drawn, alphas, n_active)
        _limit(drawn, explained - spread, explained + spread, folds)
        drawn.set_ylabel("explained variance, held out")
        labels = [
            f"{name}: {explained[k]:.3f}, {n_active[k]} SNPs"
            for name, k in (("best", best), ("one SE", one_se))
        ]
        style.legend(drawn, marks, labels, loc="lower center")
        return drawn.figure


def _limit(axes, low, high, folds) -> None:
    """Show the curve with its band, and of the folds what is not far away."""
    low, high = (values[np.isfinite(values)] for values in (low, high))
    if not len(low):
        return
    bottom, top = min(low.min(), 0.0), high.max()
    room = 0.5 * (top - bottom) or 1.0
    folds = folds[np.isfinite(folds)]
    bottom = max(bottom - room, min(folds.min(initial=bottom), bottom))
    top = min(top + room, max(folds.max(initial=top), top))
    axes.set_ylim(bottom - 0.04 * (top - bottom), top + 0.04 * (top - bottom))


def observed_predicted(y, prediction, *, index: int | None = None, axes=None):
    """Draw observed against predicted phenotypes, with the line where they are equal.

    Parameters
    ----------
    y : array_like, shape (n,)
        Observed; samples with NaN here or in the prediction are left out.
    prediction : Prediction, CrossValidation or array_like, shape (n,)
        Of a cross-validation, each sample's prediction by the fold that held it out, in the first
        repeat.
    index : int, optional
        Which alpha of a cross-validation; default the best.
    axes : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        Another number of predictions than of phenotypes, or none that can be drawn.

    Notes
    -----
    r is Pearson's correlation and R² = 1 - sum (y - f)² / sum (y - mean y)²: for held-out samples
    close to, but not quite, the explained variance of `CrossValidation`, which takes each fold's
    training mean.
    """
    predicted = prediction
    if hasattr(prediction, "predictions"):
        m = len(prediction.alphas)
        index = prediction.best_index if index is None else index
        index = as_integer("index", index, -m, m - 1, expected=f"an integer from {-m} to {m - 1}")
        predicted = prediction.predictions[0, :, index]
    elif hasattr(prediction, "total"):
        predicted = prediction.total
    y, predicted = np.asarray(y, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if y.ndim != 1 or y.shape != predicted.shape:
        raise InputError(
            f"prediction: expected one for each of the {y.size} phenotypes, found shape "
            f"{predicted.shape}; give both for the same samples"
        )
    there = np.isfinite(y) & np.isfinite(predicted)
    if not there.any():
        raise InputError("prediction: expected a sample with both numbers, found none")
    y, predicted = y[there], predicted[there]
    with style.panels(axes, height=3.2) as [drawn]:
        style.points(drawn, predicted, y, color=style.COLOURS[0], alpha=0.5)
        low, high = max(predicted.min(), y.min()), min(predicted.max(), y.max())
        style.diagonal(drawn, min(low, high), max(low, high))
        drawn.set_xlabel("predicted")
        drawn.set_ylabel("observed")
        drawn.set_title(_agreement(y, predicted), loc="left", fontsize=style.STYLE["font.size"])
        return drawn.figure


def _agreement(y: np.ndarray, predicted: np.ndarray) -> str:
    """Return n, r and R²; no correlation where one of the two is constant."""
    found = [f"n = {len(y)}"]
    if y.min() < y.max():
        if predicted.min() < predicted.max():
            found.append(f"r = {np.corrcoef(y, predicted)[0, 1]:.3f}")
        unexplained = np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2)
        found.append(f"R² = {1 - unexplained:.3f}")
    return ", ".join(found)

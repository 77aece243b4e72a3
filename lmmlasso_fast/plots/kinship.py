"""The kinship matrix as a picture."""

import numpy as np

from lmmlasso_fast.checks import as_choice, as_integer
from lmmlasso_fast.kinship import as_kinship
from lmmlasso_fast.plots import style

#: Few enough that the picture can be compressed.
_SHADES = 33
ORDERS = ("clusters", "eigenvector", "given")


def kinship_heatmap(K, *, order: str = "clusters", max_samples: int = 1000, axes=None):
    """Draw the kinship matrix, relatives side by side.

    Parameters
    ----------
    K : Kinship or array_like, shape (n, n)
        Drawn with mean diagonal 1.
    order : {"clusters", "eigenvector", "given"}
        Leaves of a hierarchical clustering (average linkage of the distances
        sqrt(K_ii + K_jj - 2 K_ij)), the leading eigenvector, or as the matrix is.
    max_samples : int, default 1000
        Of more samples every (n / max_samples)-th is drawn, in their order.
    axes : matplotlib.axes.Axes, optional
        Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        An option out of range; KinshipError for a matrix that is none.

    Notes
    -----
    Colours are symmetric around 0, the average kinship of the realised relationship matrix, and end
    where one in 200 of the pairs is beyond: the diagonal would hide the rest.
    """
    max_samples = as_integer("max_samples", max_samples, 2)
    order = as_choice("order", order, ORDERS)
    matrix = as_kinship(K).matrix
    n = len(matrix)
    drawn_samples = np.arange(n)
    if n > max_samples:
        drawn_samples = np.linspace(0, n - 1, max_samples).round().astype(np.int64)
    matrix = matrix[np.ix_(drawn_samples, drawn_samples)]
    places = sample_order(matrix, order)
    matrix = matrix[np.ix_(places, places)]
    off_diagonal = np.abs(matrix[np.triu_indices(len(matrix), 1)])
    limit = float(np.quantile(off_diagonal, 0.995)) if len(off_diagonal) else 0.0
    limit = limit or 1.0
    with style.panels(axes, height=3.0) as [drawn]:
        from matplotlib import colormaps

        colours = colormaps["RdBu_r"].resampled(_SHADES)
        image = drawn.imshow(matrix, cmap=colours, vmin=-limit, vmax=limit, interpolation="nearest")
        for spine in drawn.spines.values():
            spine.set_visible(False)
        drawn.set(xticks=[], yticks=[])
        what = f"{n} samples" if n == len(matrix) else f"{len(matrix)} of {n} samples"
        drawn.set_xlabel(what)
        bar = drawn.figure.colorbar(image, ax=drawn, extend="both", shrink=0.8, pad=0.02)
        bar.ax.tick_params(labelsize=style.STYLE["font.size"], width=0.6)
        bar.outline.set_linewidth(0.6)
        bar.set_label("kinship, mean diagonal 1")
        return drawn.figure


def sample_order(matrix: np.ndarray, order: str) -> np.ndarray:
    """Return in which order to draw the samples of a kinship matrix."""
    n = len(matrix)
    if order == "given" or n < 3:
        return np.arange(n)
    if order == "eigenvector":
        vector = np.linalg.eigh(matrix)[1][:, -1]
        vector *= np.sign(vector[np.abs(vector).argmax()])  # its sign is arbitrary
        return np.argsort(vector, kind="stable")
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    diagonal = np.diag(matrix)
    squared = diagonal[:, None] + diagonal[None, :] - 2 * matrix
    distance = np.sqrt(np.maximum(squared, 0))  # a float32 file may be slightly indefinite
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance, checks=False), "average"))

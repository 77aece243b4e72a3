"""Plots of the results, with matplotlib (`pip install "lmmlasso-fast[plot]"`).

Every function takes the library's results, or tables as the result files hold them, and returns a
`matplotlib.figure.Figure`; with `axes=` it draws into what it is given. pyplot is not used.
"""

from importlib import import_module

#: matplotlib is imported when something is drawn; the modules when they are first asked for.
_MODULE_OF = {
    "coefficient_path": "paths",
    "cv_curve": "scores",
    "kinship_heatmap": "kinship",
    "likelihood_profile": "variance",
    "manhattan": "genome_wide",
    "observed_predicted": "scores",
    "qq": "quantiles",
    "regional": "region",
    "save": "style",
    "stability_path": "paths",
    "variance_split": "variance",
}

__all__ = sorted(_MODULE_OF)


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lmmlasso_fast.plots.{_MODULE_OF[name]}"), name)


def __dir__():
    return sorted({*globals(), *__all__})

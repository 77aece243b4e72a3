"""LMM-Lasso on packed genotypes: a Lasso over all SNPs plus a kinship random effect."""

__version__ = "0.1.0"

try:
    from lmmlasso_fast import _core  # noqa: F401 (before all else: what follows needs it)
except ImportError as error:
    raise ImportError(
        "lmmlasso_fast was found without its compiled module, probably because Python runs in the "
        "source folder, which hides the installed package; run from another folder, or install "
        "for development (CONTRIBUTING.md)"
    ) from error

from lmmlasso_fast import compat, error_bounds
from lmmlasso_fast.cross_validation import CrossValidation, cross_validate
from lmmlasso_fast.error_control import (
    CalibratedAlpha,
    calibrated_alpha,
    marginal_fdr,
    whitened_norms,
)
from lmmlasso_fast.folds import Fold, kinship_groups, make_folds
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.kinship_files import read_kinship, save_kinship
from lmmlasso_fast.io.models import load_model, save_model
from lmmlasso_fast.io.plink import read_plink
from lmmlasso_fast.kinship import Kinship, kinship
from lmmlasso_fast.ld import LDGroups, clump
from lmmlasso_fast.multi_split import MultiSplitResult, multi_split
from lmmlasso_fast.null_model import NullModel, fit_null
from lmmlasso_fast.path import LassoPath, lasso_path
from lmmlasso_fast.prediction import Model, Prediction, build_model
from lmmlasso_fast.preprocessing import Transform, transform_phenotype
from lmmlasso_fast.spectral import Spectrum, decompose
from lmmlasso_fast.stability import StabilityResult, stability_selection
from lmmlasso_fast.variance import VarianceSplit, variance_split

__all__ = [
    "CalibratedAlpha",
    "CrossValidation",
    "Fold",
    "Genotypes",
    "Kinship",
    "LDGroups",
    "LassoPath",
    "Model",
    "MultiSplitResult",
    "NullModel",
    "Prediction",
    "Spectrum",
    "StabilityResult",
    "Transform",
    "VarianceSplit",
    "build_model",
    "calibrated_alpha",
    "clump",
    "compat",
    "cross_validate",
    "decompose",
    "error_bounds",
    "fit_null",
    "kinship",
    "kinship_groups",
    "lasso_path",
    "load_model",
    "make_folds",
    "marginal_fdr",
    "multi_split",
    "read_kinship",
    "read_plink",
    "save_kinship",
    "save_model",
    "stability_selection",
    "transform_phenotype",
    "variance_split",
    "whitened_norms",
]


def __getattr__(name):
    if name in ("LMMLasso", "LMMLassoCV"):  # scikit-learn is an extra, and slow to import
        from lmmlasso_fast import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

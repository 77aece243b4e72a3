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

from lmmlasso_fast import compat
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io.kinship_files import read_kinship, save_kinship
from lmmlasso_fast.io.models import load_model, save_model
from lmmlasso_fast.io.plink import read_plink
from lmmlasso_fast.kinship import Kinship, kinship
from lmmlasso_fast.null_model import NullModel, fit_null
from lmmlasso_fast.path import LassoPath, lasso_path
from lmmlasso_fast.prediction import Model, Prediction, build_model
from lmmlasso_fast.preprocessing import Transform, transform_phenotype
from lmmlasso_fast.spectral import Spectrum, decompose
from lmmlasso_fast.variance import VarianceSplit, variance_split

__all__ = [
    "Genotypes",
    "Kinship",
    "LassoPath",
    "Model",
    "NullModel",
    "Prediction",
    "Spectrum",
    "Transform",
    "VarianceSplit",
    "build_model",
    "compat",
    "decompose",
    "fit_null",
    "kinship",
    "lasso_path",
    "load_model",
    "read_kinship",
    "read_plink",
    "save_kinship",
    "save_model",
    "transform_phenotype",
    "variance_split",
]


def __getattr__(name):
    if name == "LMMLasso":  # scikit-learn is an extra, and slow to import
        from lmmlasso_fast.estimators import LMMLasso

        return LMMLasso
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

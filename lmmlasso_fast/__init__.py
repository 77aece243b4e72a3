"""LMM-Lasso on packed genotypes: a Lasso over all SNPs plus a kinship random effect."""

from importlib import import_module
from typing import TYPE_CHECKING

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
from lmmlasso_fast.variance import VarianceSplit, variance_by_snp, variance_split

if TYPE_CHECKING:  # what `_ON_DEMAND` and `_MODULES` name below: type checkers read no tables
    from lmmlasso_fast import error_bounds, evaluation, plots, simulation
    from lmmlasso_fast.association import (
        AssociationScan,
        association_scan,
        association_scan_loco,
    )
    from lmmlasso_fast.cross_validation import CrossValidation, cross_validate
    from lmmlasso_fast.dosage import DosageGenotypes
    from lmmlasso_fast.error_control import (
        CalibratedAlpha,
        calibrated_alpha,
        marginal_fdr,
        whitened_norms,
    )
    from lmmlasso_fast.estimators import LMMLasso, LMMLassoCV
    from lmmlasso_fast.folds import Fold, kinship_groups, make_folds
    from lmmlasso_fast.io.bgen import read_bgen
    from lmmlasso_fast.io.bimbam import read_bimbam
    from lmmlasso_fast.io.npy import read_npy
    from lmmlasso_fast.io.pedigrees import read_pedigree
    from lmmlasso_fast.io.pgen import read_pgen
    from lmmlasso_fast.io.vcf import read_vcf
    from lmmlasso_fast.ld import LDGroups, clump
    from lmmlasso_fast.loco import kinship_loco
    from lmmlasso_fast.p_values import MultiSplitResult, multi_split
    from lmmlasso_fast.pedigree import pedigree_kinship
    from lmmlasso_fast.refit import RefittedPath, refit_path
    from lmmlasso_fast.stability import StabilityResult, stability_selection

#: What is imported when it is first used: a fit does not wait for what it does without, nor for
#: scikit-learn.
_ON_DEMAND = {
    "association": ("AssociationScan", "association_scan", "association_scan_loco"),
    "cross_validation": ("CrossValidation", "cross_validate"),
    "error_control": ("CalibratedAlpha", "calibrated_alpha", "marginal_fdr", "whitened_norms"),
    "estimators": ("LMMLasso", "LMMLassoCV"),
    "dosage": ("DosageGenotypes",),
    "folds": ("Fold", "kinship_groups", "make_folds"),
    "io.bgen": ("read_bgen",),
    "io.bimbam": ("read_bimbam",),
    "io.npy": ("read_npy",),
    "io.pgen": ("read_pgen",),
    "io.vcf": ("read_vcf",),
    "ld": ("LDGroups", "clump"),
    "loco": ("kinship_loco",),
    "pedigree": ("pedigree_kinship",),
    "io.pedigrees": ("read_pedigree",),
    "p_values": ("MultiSplitResult", "multi_split"),
    "refit": ("RefittedPath", "refit_path"),
    "stability": ("StabilityResult", "stability_selection"),
}
_MODULE_OF = {name: module for module, names in _ON_DEMAND.items() for name in names}

#: Modules whose names would be too general here.
_MODULES = ("error_bounds", "evaluation", "plots", "simulation")

__all__ = [
    "AssociationScan",
    "CalibratedAlpha",
    "CrossValidation",
    "DosageGenotypes",
    "Fold",
    "Genotypes",
    "Kinship",
    "LDGroups",
    "LMMLasso",
    "LMMLassoCV",
    "LassoPath",
    "Model",
    "MultiSplitResult",
    "NullModel",
    "Prediction",
    "RefittedPath",
    "Spectrum",
    "StabilityResult",
    "Transform",
    "VarianceSplit",
    "association_scan",
    "association_scan_loco",
    "build_model",
    "calibrated_alpha",
    "clump",
    "compat",
    "cross_validate",
    "decompose",
    "error_bounds",
    "evaluation",
    "fit_null",
    "kinship",
    "kinship_groups",
    "kinship_loco",
    "lasso_path",
    "load_model",
    "make_folds",
    "marginal_fdr",
    "multi_split",
    "pedigree_kinship",
    "plots",
    "read_bgen",
    "read_bimbam",
    "read_kinship",
    "read_npy",
    "read_pedigree",
    "read_pgen",
    "read_plink",
    "read_vcf",
    "refit_path",
    "save_kinship",
    "save_model",
    "simulation",
    "stability_selection",
    "transform_phenotype",
    "variance_by_snp",
    "variance_split",
    "whitened_norms",
]


if not TYPE_CHECKING:  # to a type checker it would mean that there is nothing we do not have

    def __getattr__(name):
        if name in _MODULES:
            return import_module(f"lmmlasso_fast.{name}")
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"lmmlasso_fast.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

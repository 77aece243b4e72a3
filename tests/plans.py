"""Plans without data, which results of checkpoints are held against."""

from types import SimpleNamespace

import numpy as np

from lmmlasso_fast.cross_validation import CvPlan
from lmmlasso_fast.folds import make_folds
from lmmlasso_fast.path import PathOptions
from lmmlasso_fast.stability import Plan


def plan_of(kind: str, n_samples: int, n_variants: int) -> Plan | CvPlan:
    """Three folds and five alphas, or replicates of half the samples that end with three SNPs."""
    if kind == "cv":
        return CvPlan(None, tuple(make_folds(n_samples, 3)), np.linspace(1, 0.1, 5), None)
    genotypes = SimpleNamespace(n_variants=n_variants)
    study = SimpleNamespace(options=PathOptions(), genotypes=genotypes)
    return Plan(study, 3, n_variants, n_samples // 2, True, 0)

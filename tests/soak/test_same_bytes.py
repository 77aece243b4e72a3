"""The same bits however a problem is computed: every stage on random problems.

Threads, jobs, worker processes, blocks of LD of other sizes, and a file in memory or mapped must
not change a bit. Instruction sets may: there the reported gap must be the oracle's, on each.
"""

from dataclasses import fields, is_dataclass

import numpy as np
import polars as pl
import pytest
import reference as ref
from joblib import parallel_config
from problems import plain_problem, sample_table, variant_table, whitened
from scipy import sparse

import lmmlasso_fast as ll
from lmmlasso_fast import _core
from lmmlasso_fast.io.plink_write import write_plink

pytestmark = pytest.mark.promise("same-bytes")


#: The stages that what is changed can reach: only those count as cases.
THREADED = {"kinship", "null", "path", "scan", "exact", "norms", "calibrated", "mfdr"}
IN_JOBS = {"cv", "stability", "splits"}
IN_BLOCKS = {"groups", "stability"}


def bits(value):
    """Everything that a result holds, as bytes or what compares like them."""
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return [bits(entry) for entry in value.tolist()]
        return (value.dtype.str, value.shape, value.tobytes())
    if sparse.issparse(value):
        return [bits(part) for part in (value.indptr, value.indices, value.data)]
    if isinstance(value, pl.DataFrame):
        return value.write_csv(float_scientific=True)
    if is_dataclass(value):
        return [(field.name, bits(getattr(value, field.name))) for field in fields(value)]
    if isinstance(value, dict):
        return [(key, bits(entry)) for key, entry in value.items()]
    if isinstance(value, (list, tuple)):
        return [bits(entry) for entry in value]
    if isinstance(value, float):
        return np.float64(value).tobytes()
    if isinstance(value, (ll.Genotypes, ll.Kinship)):
        return bits(value.samples) if isinstance(value, ll.Genotypes) else bits(value.matrix)
    return repr(value)


def results(genotypes, problem, n_threads=1, n_jobs=1):
    """{stage: its bits}."""
    y, covariates = problem.y, problem.covariates
    threads, jobs = {"n_threads": n_threads}, {"n_jobs": n_jobs}
    K = ll.kinship(genotypes, **threads)
    null = ll.fit_null(y, K, covariates, method="reml", **threads)
    path = ll.lasso_path(genotypes, y, null, n_alphas=8, eps=0.1, **threads)
    with_folds = {"n_folds": 3, "n_alphas": 5, "eps": 0.2, "covariates": covariates}
    selection = {"n_active": 4, "n_replicates": 4, "covariates": covariates}
    offered = np.flatnonzero(genotypes.included)
    stages = {
        "kinship": K.matrix,
        "null": [null.delta, null.log_likelihood, null.h2, null.h2_se],
        "path": [path.alphas, path.coefs, path.gammas, path.dual_gaps, path.dual],
        "variance": ll.variance_split(path, genotypes, y),
        "scan": ll.association_scan(genotypes, y, null, **threads).to_frame(),
        "exact": ll.association_scan(genotypes, y, null, exact=True, **threads).to_frame(),
        "norms": ll.whitened_norms(genotypes, null, **threads),
        "calibrated": ll.calibrated_alpha(genotypes, y, null, n_draws=20, **threads).alpha,
        "mfdr": ll.marginal_fdr(path, genotypes, y, **threads),
        "groups": ll.clump(genotypes, offered, -offered),
        "cv": ll.cross_validate(genotypes, y, **with_folds, **jobs).to_frame(),
        "stability": ll.stability_selection(genotypes, y, **selection, **jobs).to_frame(),
        "splits": ll.multi_split(
            genotypes, y, n_splits=3, n_active=3, covariates=covariates, **jobs
        ).to_frame(),
    }
    return {name: bits(stage) for name, stage in stages.items()}


@pytest.mark.filterwarnings("ignore::lmmlasso_fast.errors.DataWarning")
def test_every_stage_has_the_same_bits(size, tally, tmp_path, monkeypatch):
    rng = np.random.default_rng(77)
    compared = 0
    for seed in range(size(2, 40)):
        problem = plain_problem(
            seed, n=int(rng.integers(24, 140)), p=int(rng.integers(40, 700)),
            missing=0.02 * (seed % 3), n_covariates=seed % 3,
        )  # fmt: skip
        prefix = tmp_path / f"g{seed}"
        codes = np.where(np.isnan(problem.D), -1, problem.D).astype(np.int8)
        write_plink(prefix, codes, sample_table(problem.n), variant_table(problem.p))
        mapped = ll.read_plink(prefix)
        expected = results(mapped, problem)
        tables = {"samples": mapped.samples, "variants": mapped.variants}
        in_memory = ll.Genotypes.from_array(problem.D, **tables)
        others = {"in memory": (results(in_memory, problem), set(expected))}
        for k in (2, 3, int(rng.integers(4, 9))):
            others[f"{k} threads"] = results(mapped, problem, n_threads=k), THREADED
        others["2 jobs"] = results(mapped, problem, n_jobs=2), IN_JOBS
        others["other blocks"] = in_blocks(mapped, problem, 999), IN_BLOCKS
        if seed % 10 == 1:
            others["processes"] = in_processes(mapped, problem), IN_JOBS
        for name, (found, reached) in others.items():
            for stage, content in expected.items():
                assert found[stage] == content, f"problem {seed}, {stage}, {name}"
            compared += len(reached & set(expected))
    tally(cases=compared)


def in_blocks(genotypes, problem, n_values):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lmmlasso_fast.ld._BLOCK_VALUES", n_values)
        return results(genotypes, problem)


def in_processes(genotypes, problem):
    with parallel_config("loky"):
        return results(genotypes, problem, n_jobs=2)


def test_gaps_on_every_instruction_set(size, tally):
    """The gap that each reports is the oracle's of the same coefficients, to 1e-10."""
    worst, compared = 0.0, 0
    before = _core.kernels_name()
    try:
        for seed in range(size(3, 60)):
            problem = plain_problem(500 + seed, n=40, p=90, missing=0.05 * (seed % 2))
            null = None
            if seed % 2:
                null = ll.fit_null(problem.y, ll.kinship(problem.genotypes), log_delta=0.3)
            for name in _core.available_kernels():
                _core.select_kernels(name)
                path = ll.lasso_path(problem.genotypes, problem.y, null, n_alphas=12, eps=0.05)
                Xw, yw, keep, factors, _ = whitened(path, problem.X, problem.y)
                coefs = path.coefs.toarray()[keep]
                for k, alpha in enumerate(path.alphas):
                    gap = ref.relative_gap(coefs[:, k], Xw, yw, alpha, 1.0, factors)
                    worst = max(worst, abs(gap - path.dual_gaps[k]))
                    assert gap <= path.tol + 1e-11
                    compared += 1
    finally:
        _core.select_kernels(before)
    assert worst <= 1e-10
    tally(cases=compared, largest_difference=f"{worst:.1e}")

"""What `stability.py` measures, one thing per process: loops over half samples, and probes of ours.

`python -m bench.performance.stability_loops WHAT ...` writes what it found as JSON. The peers' loop
is organised as well as ours: genotypes in memory in one byte each; those of the subsample
standardised in blocks that the cache holds, and whitened there by a matrix product; the matrix
allocated once. adelie holds the GIL and glmnet is R, hence worker processes. Their start, imports
and first replicate are not counted, nor is passing files to R. The individuals of each replicate
are those of ours.
"""

import argparse
import json
import subprocess
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import lmmlasso_fast as ll
from bench.performance import timing
from bench.performance.dense_pipeline import Stages, maximum_likelihood_delta
from bench.performance.filesets import Fileset
from bench.performance.problems import Whitened, worst_gap
from lmmlasso_fast.stability import Plan, make_plan, run_replicates, stability_selection

SEED = 0
#: SNPs standardised and whitened at a time: what fits the second-level cache in float32.
_BLOCK = 512
#: Seconds for which the counter counts alone.
_ALONE = 0.5


@dataclass(frozen=True)
class Job:
    """What one process is to do.

    Attributes
    ----------
    what : str
        One of `WHATS`.
    n_replicates : int
    n_active : int
        SNPs at which paths end.
    n_jobs : int
        Threads (ours) or worker processes (peers).
    dtype : str
        In which peers have the SNPs.
    rounds : int
        Runs of which the fastest counts, where they alternate within the process.
    """

    what: str
    fileset: Fileset
    n_replicates: int
    n_active: int
    n_jobs: int = 1
    dtype: str = "float64"
    rounds: int = 1

    @property
    def arguments(self) -> list:
        """What `main` takes, without --out."""
        source = ["--bfile", self.fileset.prefix, "--pheno", self.fileset.pheno]
        numbers = ["--replicates", self.n_replicates, "--active", self.n_active]
        how = ["--jobs", self.n_jobs, "--dtype", self.dtype, "--rounds", self.rounds]
        return [self.what, *source, "--pheno-name", self.fileset.column, *numbers, *how]

    def plan(self) -> Plan:
        genotypes, y = self.fileset.load()
        return make_plan(genotypes, y, n_active=self.n_active, seed=SEED)


# ---- ours ---------------------------------------------------------------------------------------


def ours(job: Job) -> dict:
    """Stability selection from genotypes and kinship, after two replicates, as peers have them."""
    genotypes, y = job.fileset.load()
    start = time.perf_counter()
    K = ll.kinship(genotypes)
    kinship_seconds = time.perf_counter() - start
    _select(replace(job, n_replicates=2), genotypes, y, K, job.n_jobs)
    start = time.perf_counter()
    result = _select(job, genotypes, y, K, job.n_jobs)
    seconds = time.perf_counter() - start
    if not result.converged.all():
        raise RuntimeError(f"{job.fileset.name}: {result!r}")
    snps = np.flatnonzero(result.counts)
    return {
        "seconds": seconds,
        "kinship_seconds": kinship_seconds,
        "counts": dict(zip(snps.tolist(), result.counts[snps].tolist(), strict=True)),
    }


def _select(job: Job, genotypes: ll.Genotypes, y: np.ndarray, K: ll.Kinship, n_jobs: int):
    return stability_selection(
        genotypes,
        y,
        K,
        n_active=job.n_active,
        n_replicates=job.n_replicates,
        seed=SEED,
        n_jobs=n_jobs,
    )


# ---- peers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Last:
    """The first solution of a peer's path with at least n_active SNPs.

    Attributes
    ----------
    snps : ndarray of int
        Columns of X that are active.
    beta : ndarray
        Their coefficients.
    alpha : float
    seconds_not_counted : float
        Passing of files.
    """

    snps: np.ndarray
    beta: np.ndarray
    alpha: float
    seconds_not_counted: float = 0.0


class Loop:
    """A peer's replicates, and what is kept in memory from one to the next."""

    def __init__(self, plan: Plan, dtype, solve: Callable[[np.ndarray, np.ndarray], Last]):
        genotypes = plan.study.genotypes
        self.plan = plan
        self.dtype = np.dtype(dtype)
        self.snps = np.flatnonzero(genotypes.included)
        # one byte per genotype, SNP by SNP: copies of the allele plus one, missing is zero
        p = genotypes.n_variants
        codes = genotypes.columns(
            self.snps, dtype=np.float32, statistics=(np.full(p, -1.0), np.ones(p))
        )
        self._codes = codes.T.astype(np.int8)
        self._any_missing = bool((self._codes == 0).any())
        self._solve = solve
        self._rows = np.empty((len(self.snps), plan.n_drawn), dtype=self.dtype)

    def whitened(self, replicate: int, stages: Stages) -> tuple[np.ndarray, np.ndarray]:
        """Return M W X (Fortran order, overwritten by the next replicate) and M W y."""
        index = self.plan.draw(replicate)
        y = self.plan.study.y[index]
        with stages.stage("eigh"):
            K = self.plan.study.kinship.matrix[np.ix_(index, index)]
            K /= np.trace(K) / len(K)
            s, U = np.linalg.eigh(K)
            s = np.maximum(s, 0.0)
        with stages.stage("null model"):
            delta = maximum_likelihood_delta(U, s, y)
        with stages.stage("standardise, whiten"):
            MW = U.T / np.sqrt(s + delta)[:, None]
            q = MW.sum(axis=1)
            q /= np.linalg.norm(q)
            MW -= np.outer(q, q @ MW)
            right = MW.T.astype(self.dtype)
            for start in range(0, len(self._rows), _BLOCK):
                block = slice(start, start + _BLOCK)
                np.matmul(self._standardised(block, index), right, out=self._rows[block])
        return self._rows.T, (MW @ y).astype(self.dtype)

    def _standardised(self, block: slice, index: np.ndarray) -> np.ndarray:
        codes = np.take(self._codes[block], index, axis=1)
        x = codes.astype(self.dtype)
        n_present = len(index)
        if self._any_missing:
            n_present = np.maximum(np.count_nonzero(codes, axis=1), 1).astype(self.dtype)
        x -= (x.sum(axis=1) / n_present)[:, None]
        if self._any_missing:
            x[codes == 0] = 0.0
        # sums of small integers are exact: a constant SNP has a variance of exactly zero
        sd = np.sqrt(np.einsum("ji,ji->j", x, x) / n_present)
        sd[sd == 0] = 1.0
        x /= sd[:, None]
        return x

    def replicate(self, replicate: int) -> tuple[list[int], dict[str, float], float]:
        """Return the selected SNPs, the seconds by stage, and those that do not count."""
        stages = Stages()
        X, y = self.whitened(replicate, stages)
        with stages.stage("path"):
            last = self._solve(X, y)
        stages.seconds["path"] -= last.seconds_not_counted
        return self.snps[last.snps].tolist(), stages.seconds, last.seconds_not_counted

    def gap(self, replicate: int) -> float:
        """Return the duality gap of the last solution, relative, in float64."""
        X, y = (part.astype(np.float64) for part in self.whitened(replicate, Stages()))
        last = self._solve(X.astype(self.dtype), y.astype(self.dtype))
        coefs = np.zeros((X.shape[1], 1))
        coefs[last.snps, 0] = last.beta
        return worst_gap(Whitened(X, y, np.array([last.alpha])), coefs)


def _adelie(n_active: int) -> Callable[[np.ndarray, np.ndarray], Last]:
    import adelie as ad

    def solve(X: np.ndarray, y: np.ndarray) -> Last:
        state = ad.grpnet(
            ad.matrix.dense(X, method="naive"),
            ad.glm.gaussian(y=y, dtype=y.dtype.type),
            intercept=False,
            adev_tol=1.0,
            early_exit=False,
            exit_cond=lambda state: state.betas[-1].nnz >= n_active,
            progress_bar=False,
        )
        beta = state.betas[-1]
        return Last(beta.indices, beta.data, float(state.lmdas[-1]))

    return solve


_GLMNET = """
suppressMessages(library(glmnet)); options(digits = 17)
a <- commandArgs(TRUE); q <- as.integer(a[2])
read <- function(f, k) readBin(file.path(a[1], f), "double", k)
glmnet.control(fdev = 0, devmax = 1)
input <- file("stdin", "r")
while (length(line <- readLines(input, 1))) {
  size <- as.integer(strsplit(line, " ")[[1]])
  X <- matrix(read("X", prod(size)), size[1]); y <- read("y", size[1])
  t <- system.time(fit <- glmnet(X, y, standardize = FALSE, intercept = FALSE,
                                 lambda.min.ratio = 0.01, dfmax = q - 1))
  k <- length(fit$lambda); active <- which(fit$beta[, k] != 0)
  cat(t[["elapsed"]], fit$lambda[k], active - 1, fit$beta[active, k], "\\n"); flush(stdout())
}
"""


def _glmnet(n_active: int) -> Callable[[np.ndarray, np.ndarray], Last]:
    """One R process; it ends with the worker that writes to it."""
    folder = tempfile.TemporaryDirectory()
    R = subprocess.Popen(
        ["Rscript", "-e", _GLMNET, folder.name, str(n_active)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )

    def solve(X: np.ndarray, y: np.ndarray) -> Last:
        start = time.perf_counter()
        for name, array in (("X", X), ("y", y)):
            array.T.astype(np.float64, copy=False).tofile(Path(folder.name) / name)
        print(*X.shape, file=R.stdin, flush=True)
        seconds, alpha, *rest = (float(word) for word in R.stdout.readline().split())
        k = len(rest) // 2
        elapsed = time.perf_counter() - start
        return Last(np.array(rest[:k], dtype=int), np.array(rest[k:]), alpha, elapsed - seconds)

    return solve


#: Of the number of active SNPs that ends a path. Default tolerances; grids like ours: 100 alphas,
#: the last one a hundredth of the first.
PEERS = {"adelie": _adelie, "glmnet": _glmnet}

_of_this_worker: Loop | None = None


def _begin(job: Job, barrier) -> None:
    global _of_this_worker
    warnings.simplefilter("ignore")  # peers warn about convergence
    _of_this_worker = Loop(job.plan(), job.dtype, PEERS[job.what](job.n_active))
    _of_this_worker.replicate(0)
    barrier.wait()  # no worker takes a task before all are ready


def _replicate(replicate: int):
    return _of_this_worker.replicate(replicate)


def _gap() -> float:
    return _of_this_worker.gap(0)


def peer(job: Job) -> dict:
    """All replicates of a peer's loop in `n_jobs` worker processes."""
    context = get_context("spawn")
    ready = (job, context.Barrier(job.n_jobs))
    with ProcessPoolExecutor(job.n_jobs, context, _begin, ready) as pool:
        # as many tasks as workers, or not all of them would be started
        list(pool.map(_replicate, range(job.n_jobs)))
        start = time.perf_counter()
        results = list(pool.map(_replicate, range(job.n_replicates)))
        elapsed = time.perf_counter() - start
        gap = pool.submit(_gap).result()
    counts, stages = Counter(), Counter()
    for snps, seconds, _ in results:
        counts.update(snps)
        stages.update(seconds)
    not_counted = sum(seconds for _, _, seconds in results) / job.n_jobs
    return {
        "seconds": elapsed - not_counted,
        "stages": {name: seconds / job.n_replicates for name, seconds in stages.items()},
        "gap": gap,
        "counts": dict(counts),
    }


def published(job: Job) -> dict:
    """One replicate of the published algorithm: null model, rotation, ADMM for one penalty.

    The penalty is the one at which our path of the same replicate ends.
    """
    # dense_pipeline.py imports it within the null model, where its time would count
    import scipy.optimize  # noqa: F401

    from bench.performance import admm

    plan = job.plan()
    [(_, ours)] = _one(plan, 0)
    loop, stages = Loop(plan, np.float64, None), Stages()
    start = time.perf_counter()
    X, y = loop.whitened(0, stages)
    problem = Whitened(X, y, np.array(ours["alphas"][-1:]))
    with stages.stage("path"):
        solution = admm.solve(problem)[0]
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "stages": stages.seconds,
        "gap": worst_gap(problem, solution.z[:, None]),
        "n_iterations": solution.n_iterations,
        "n_active": int(np.count_nonzero(solution.z)),
    }


# ---- probes of ours -----------------------------------------------------------------------------


def against_eigh(job: Job) -> dict:
    """Replicates of ours in turn with numpy.linalg.eigh of their kinships, one thread each."""
    plan = job.plan()
    programs = {}
    for r in range(job.n_replicates):
        K = plan.study.kinship.subset(plan.draw(r)).matrix
        programs["replicate", r] = partial(timing.seconds_of, partial(_one, plan, r))
        programs["eigh", r] = partial(timing.seconds_of, partial(np.linalg.eigh, K))
    runs = timing.in_turn(programs, job.rounds)
    best = {
        kind: [min(runs[kind, r]) for r in range(job.n_replicates)]
        for kind in ("replicate", "eigh")
    }
    return {
        "n_drawn": plan.n_drawn,
        "replicate_seconds": best["replicate"],
        "eigh_seconds": best["eigh"],
        "ratio": sum(best["replicate"]) / sum(best["eigh"]),
    }


def _one(plan: Plan, replicate: int) -> list:
    return list(run_replicates(plan, [replicate], n_jobs=1))


def gil(job: Job) -> dict:
    """What is left of a pure Python counter's speed while another thread selects."""
    genotypes, y = job.fileset.load()
    K = ll.kinship(genotypes)
    select = partial(_select, job, genotypes, y, K)
    numbers = sorted({1, job.n_jobs})
    undisturbed = {}
    select(1)  # imports
    for n_jobs in numbers:
        undisturbed[n_jobs] = timing.seconds_of(partial(select, n_jobs))
    count, stop = [0], threading.Event()

    def counting():
        while not stop.is_set():
            count[0] += 1

    def rate(function) -> tuple[float, float]:
        before, start = count[0], time.perf_counter()
        function()
        seconds = time.perf_counter() - start
        return (count[0] - before) / seconds, seconds

    counter = threading.Thread(target=counting)
    counter.start()
    try:
        alone, _ = rate(partial(time.sleep, _ALONE))
        during = {n_jobs: rate(partial(select, n_jobs)) for n_jobs in numbers}
        alone = (alone + rate(partial(time.sleep, _ALONE))[0]) / 2
    finally:
        stop.set()
        counter.join()
    return {
        "alone_per_second": alone,
        "rows": [
            {
                "n_jobs": n_jobs,
                "counter": found / alone,
                "seconds": seconds,
                "undisturbed_seconds": undisturbed[n_jobs],
            }
            for n_jobs, (found, seconds) in during.items()
        ],
    }


WHATS = {
    "ours": ours,
    **dict.fromkeys(PEERS, peer),
    "published": published,
    "eigh": against_eigh,
    "gil": gil,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=WHATS)
    parser.add_argument("--bfile", type=Path, required=True)
    parser.add_argument("--pheno", type=Path, required=True)
    parser.add_argument("--pheno-name", required=True)
    parser.add_argument("--replicates", type=int, required=True)
    parser.add_argument("--active", type=int, required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--dtype", choices=["float32", "float64"], required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    fileset = Fileset(given.bfile.name, given.bfile, given.pheno, given.pheno_name)
    job = Job(
        given.what,
        fileset,
        given.replicates,
        given.active,
        given.jobs,
        given.dtype,
        given.rounds,
    )
    given.out.write_text(json.dumps(WHATS[job.what](job)))


if __name__ == "__main__":
    main()

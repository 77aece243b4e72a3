"""Whole processes: .bed on disk to a finished path of 100 alphas at a certified gap."""

import json
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

import lmmlasso_fast as ll
from bench import ROOT
from bench.performance import dense_pipeline, filesets, processes, solvers, timing
from bench.performance.filesets import LMMLASSO, Fileset
from bench.performance.problems import Whitened, worst_gap
from bench.performance.processes import Measured
from bench.performance.settings import LAST, N_ALPHAS, Settings
from lmmlasso_fast.threads import blas_cap

OURS = "lmmlasso_fast"
TARGET = 1e-4
PEERS = ("adelie", "celer", "glmnet")


def run(settings: Settings) -> list[dict]:
    """One entry per problem, with a row per program."""
    peers = solvers.available(settings, PEERS)
    if settings.quick:
        return [_compare(settings, filesets.simulated(settings, 300, 20_000), peers)]
    todo = [
        (filesets.real(settings, "arabidopsis_84", "avrRpm1"), peers),
        (filesets.simulated(settings, 427, 358_000), peers),
        # a dense float64 matrix of this one takes 9 GB, and a peer needs copies
        (filesets.simulated(settings, 1_400, 800_000), []),
    ]
    return [_compare(settings, *problem) for problem in todo if problem[0] is not None]


def _compare(settings: Settings, fileset: Fileset, peers: list[solvers.Peer]) -> dict:
    print(f"\n{fileset.name}: .bed on disk to a path at gap {TARGET:.0e}, whole processes")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "ours"
        commands = {OURS: partial(_run_ours, settings, fileset, out)}
        # a first run, not timed: its result is certified, and the files are in the page cache
        commands[OURS]()
        tuned = _tune(settings, fileset, peers, out)
        for name, row in tuned.items():
            if name != OURS:
                commands[name] = partial(
                    _run_peer, settings, fileset, row, Path(folder) / "stages.json"
                )
        runs = timing.in_turn(commands, settings.repeats)
    rows = []
    for name, measured in runs.items():
        row = processes.spread([whole for whole, _ in measured])
        row["stages"] = min(measured, key=lambda pair: pair[0].seconds)[1]
        rows.append({"solver": name, **tuned[name], **row})
    reference = rows[0]["seconds"]
    for row in sorted(rows, key=lambda row: row["seconds"]):
        row["ratio"] = row["seconds"] / reference
        print(
            f"{row['solver']:<16} {row['seconds']:8.2f} s (to {row['slowest']:.2f})  "
            f"{row['ratio']:6.2f} times ours  peak {row['peak_mb']:7.0f} MB  gap {row['gap']:.1e}"
        )
    return {"name": fileset.name, "target": TARGET, "threads": settings.threads, "rows": rows}


def _run_ours(settings: Settings, fileset: Fileset, out: Path) -> tuple[Measured, dict]:
    options = ["--n-alphas", N_ALPHAS, "--eps", LAST, "--tol", TARGET]
    rest = ["--threads", settings.threads, "--out", out]
    measured = processes.run([LMMLASSO, "fit", *fileset.arguments, *options, *rest])
    return measured, json.loads(Path(f"{out}.run.json").read_text())["timings"]


def _run_peer(settings: Settings, fileset: Fileset, row: dict, out: Path) -> tuple[Measured, dict]:
    source = ["--bfile", fileset.prefix, "--pheno", fileset.pheno, "--pheno-name", fileset.column]
    how = ["--dtype", row["dtype"], "--tol", row["tol"], "--threads", settings.threads]
    program = [sys.executable, "-m", "bench.performance.dense_pipeline", row["peer"]]
    measured = processes.run(
        [*program, *source, *how, "--out", out], cwd=ROOT, blas_threads=settings.threads
    )
    stages = json.loads(out.read_text())
    return Measured(measured.seconds - stages["not counted"], measured.peak_mb), stages


def _tune(settings: Settings, fileset: Fileset, peers: list[solvers.Peer], out: Path) -> dict:
    """Return {program: {"tol", "gap", ...}}: each peer's tolerance, and the gap of our files.

    Without peers our own word, the column DUAL_GAP, has to do: the dense problem is too large.
    """
    if not peers:
        gaps = _read(f"{out}.path.tsv")["DUAL_GAP"].to_numpy()
        return {OURS: {"tol": TARGET, "gap": float(gaps.max()), "gap_from": "P.path.tsv"}}
    with blas_cap(settings.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peers warn about convergence; the gap is what counts
        whitened, rows = dense_pipeline.prepare(fileset, np.float64, dense_pipeline.Stages())
        gap = _gap_of_files(fileset, out, whitened, rows)
        tuned = {OURS: {"tol": TARGET, "gap": gap, "gap_from": "NumPy"}}
        for peer in peers:
            twice = peer.float32 and not settings.quick
            for dtype in ("float64", "float32") if twice else ("float64",):
                name = peer.name if dtype == "float64" else f"{peer.name} {dtype}"
                problem = whitened.astype(np.dtype(dtype))
                solve = partial(peer.solve, problem, n_threads=settings.threads)
                found, floor = solvers.tune(solve, peer.tolerances, (TARGET,), whitened)
                if found:
                    tuned[name] = {
                        "peer": peer.name, "dtype": dtype, **found[TARGET], "gap_from": "NumPy"
                    }  # fmt: skip
                else:
                    reached = f"{floor['gap']:.1e} at tol {floor['tol']:.0e}"
                    settings.skip(f"{name} on {fileset.name}", f"its smallest gap is {reached}")
    return tuned


def _gap_of_files(fileset: Fileset, out: Path, whitened: Whitened, rows: np.ndarray) -> float:
    """Our gap from P.path.tsv and P.coef.tsv alone, with kinship and null model of the peers."""
    ids = ll.read_plink(fileset.prefix).variants["ID"].to_numpy()
    position = {name: k for k, name in enumerate(ids[rows])}
    alphas = _read(f"{out}.path.tsv")["ALPHA"].to_numpy()
    table = _read(f"{out}.coef.tsv")
    coefs = np.zeros((len(rows), len(alphas)))
    snps = [position[name] for name in table["ID"]]
    coefs[snps, table["INDEX"].to_numpy()] = table["BETA_STD"].to_numpy()
    return worst_gap(Whitened(whitened.X, whitened.y, alphas), coefs)


def _read(path: str):
    return pl.read_csv(path, separator="\t", infer_schema_length=None)


def ratios(results: list[dict]) -> dict[str, float]:
    return {
        f"pipeline {problem['name']}: {row['solver']}": row["ratio"]
        for problem in results
        for row in problem["rows"]
        if row["solver"] != OURS
    }

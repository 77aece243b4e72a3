"""Stability selection on half samples: ours, peers in the same loop, the published algorithm."""

import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from bench import ROOT
from bench.performance import filesets, processes, solvers, timing
from bench.performance.filesets import Fileset
from bench.performance.settings import Settings
from bench.performance.stability_loops import PEERS, Job


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes
    ----------
    n_replicates : int
        Half samples: two for each complementary pair.
    n_active : int
        SNPs at which each path ends.
    n_few : int
        Replicates of what is measured on some and scaled, and of probes.
    """

    n_replicates: int
    n_active: int
    n_few: int


FULL = Size(n_replicates=100, n_active=50, n_few=10)
_QUICK = Size(n_replicates=50, n_active=20, n_few=2)


def run(settings: Settings) -> dict:
    """Rows (program), one replicate against eigh, and the counter's speed; {} without the data."""
    if settings.quick:
        fileset, size = filesets.simulated(settings, 300, 5_000), _QUICK
    else:
        fileset, size = filesets.real(settings, "mouse_hs1940", "CD8"), FULL
    if fileset is None:
        return {}
    return measure(settings, fileset, size, solvers.available(settings, tuple(PEERS)))


def measure(settings: Settings, fileset: Fileset, size: Size, peers: list[solvers.Peer]) -> dict:
    threads = settings.threads
    print(
        f"\n{fileset.name}: stability selection, {size.n_replicates} half samples, paths to "
        f"{size.n_active} SNPs"
    )
    jobs = {_ours(n): _Program(_job("ours", fileset, size, n), threads) for n in {1, threads}}
    for peer in peers:
        organised = _faster_dtype(settings, _job(peer.name, fileset, size, threads), size, peer)
        name = f"{peer.name} {organised.dtype}, workers {threads}"
        jobs[name] = _Program(organised, 1)
        few = replace(_job(peer.name, fileset, size, 1), n_replicates=size.n_few)
        jobs[f"{peer.name} float64, default threads"] = _Program(few, threads)
    runs = timing.in_turn({name: program.run for name, program in jobs.items()}, settings.repeats)
    published = _Program(replace(_job("published", fileset, size, 1), n_replicates=1), threads)
    jobs["published algorithm (ADMM)"] = published
    runs["published algorithm (ADMM)"] = [published.run()]
    rows = [_row(name, jobs[name], found, size) for name, found in runs.items()]
    _compare_with_ours(rows, runs, _ours(threads), size)
    for row in sorted(rows, key=lambda row: row["seconds"]):
        print(_line(row, size))
    few = replace(_job("eigh", fileset, size, 1), n_replicates=size.n_few)
    eigh = _Program(replace(few, rounds=max(5, settings.repeats)), 1).run()
    print(
        f"one replicate of ours over numpy.linalg.eigh of its {eigh['n_drawn']} x "
        f"{eigh['n_drawn']} kinship, one thread: {eigh['ratio']:.2f}"
    )
    twice = replace(_job("gil", fileset, size, threads), n_replicates=2 * size.n_few)
    gil = _Program(twice, threads).run()
    for row in gil["rows"]:
        print(
            f"a pure Python counter during n_jobs={row['n_jobs']}: {row['counter']:.2f} of its "
            f"speed alone ({row['seconds']:.2f} s with it, {row['undisturbed_seconds']:.2f} s "
            "without)"
        )
    return {
        "name": fileset.name,
        **vars(size),
        "threads": threads,
        "rows": rows,
        "eigh": eigh,
        "gil": gil,
    }


@dataclass(frozen=True)
class _Program:
    """A job and the BLAS threads of its process."""

    job: Job
    blas_threads: int

    def run(self) -> dict:
        """Return what the process wrote, and its peak memory."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "found.json"
            command = [sys.executable, "-m", "bench.performance.stability_loops"]
            measured = processes.run(
                [*command, *self.job.arguments, "--out", out],
                cwd=ROOT,
                blas_threads=self.blas_threads,
            )
            return {**json.loads(out.read_text()), "peak_mb": measured.peak_mb}


def _job(what: str, fileset: Fileset, size: Size, n_jobs: int) -> Job:
    return Job(what, fileset, size.n_replicates, size.n_active, n_jobs)


def _ours(n_jobs: int) -> str:
    return f"ours, n_jobs {n_jobs}"


def _faster_dtype(settings: Settings, job: Job, size: Size, peer: solvers.Peer) -> Job:
    """Return the job in the dtype in which a few replicates took less time.

    Whitening in float32 is faster for all; R converts, which does not count.
    """
    in_float32 = replace(job, dtype="float32")
    if settings.quick or not peer.float32:
        return in_float32
    tried = [replace(one, n_replicates=size.n_few) for one in (in_float32, job)]
    runs = timing.in_turn({one.dtype: _Program(one, 1).run for one in tried}, settings.repeats)
    best = {dtype: min(run["seconds"] for run in found) for dtype, found in runs.items()}
    return replace(job, dtype=min(best, key=best.get))


def _row(name: str, program: _Program, runs: list[dict], size: Size) -> dict:
    """Seconds are those of all replicates, scaled if fewer were measured."""
    measured = program.job.n_replicates
    scale = size.n_replicates / measured
    best = min(runs, key=lambda run: run["seconds"])
    extra = ("kinship_seconds", "stages", "gap", "n_iterations", "n_active")
    return {
        "program": name,
        **timing.spread([scale * run["seconds"] for run in runs]),
        "measured_replicates": measured,
        "n_jobs": program.job.n_jobs,
        "blas_threads": program.blas_threads,
        "peak_mb": max(run["peak_mb"] for run in runs),
        **{key: best[key] for key in extra if key in best},
    }


def _compare_with_ours(rows: list[dict], runs: dict, ours: str, size: Size) -> None:
    """Add the ratio of seconds, and the share of our selections that the program made too."""
    reference = next(row["seconds"] for row in rows if row["program"] == ours)
    counts = runs[ours][0]["counts"]
    for row in rows:
        row["ratio"] = row["seconds"] / reference
        found = runs[row["program"]][0].get("counts")
        if found is not None and row["measured_replicates"] == size.n_replicates:
            common = sum(min(count, found.get(snp, 0)) for snp, count in counts.items())
            row["agreement"] = common / sum(counts.values())


def _line(row: dict, size: Size) -> str:
    text = (
        f"{row['program']:<34} {row['seconds']:9.2f} s (to {row['slowest']:.2f})  "
        f"{row['ratio']:8.2f} times ours  peak {row['peak_mb']:6.0f} MB"
    )
    if row["measured_replicates"] < size.n_replicates:
        text += f"  scaled from {row['measured_replicates']} replicate(s)"
    if "agreement" in row:
        text += f"  agreement {row['agreement']:.3f}"
    return text


def ratios(result: dict) -> dict[str, float]:
    """Peers' loops in as many workers as ours, over ours; what is scaled is too rough for it."""
    return {
        f"stability {result['name']}: {row['program']}": row["ratio"]
        for row in result.get("rows", ())
        if not row["program"].startswith("ours")
        and row["measured_replicates"] == result["n_replicates"]
    }

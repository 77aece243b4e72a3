"""The kinship matrix: in process, as a whole process, by GEMMA, and NumPy on a ready matrix."""

import re
import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

import lmmlasso_fast as ll
from bench.performance import filesets, processes, timing
from bench.performance.filesets import LMMLASSO, Fileset
from bench.performance.settings import Settings
from lmmlasso_fast.threads import blas_cap

#: Largest difference between our matrix and NumPy's float32 one, of entries around 1.
_SAME = 1e-4


def run(settings: Settings) -> list[dict]:
    """All samples of the mouse data (or of a small simulated one), polymorphic SNPs."""
    if settings.quick:
        return [_measure(settings, filesets.simulated(settings, 500, 10_000))]
    fileset = filesets.real(settings, "mouse_hs1940", "CD8")
    return [] if fileset is None else [_measure(settings, fileset)]


def _measure(settings: Settings, fileset: Fileset) -> dict:
    genotypes = ll.read_plink(fileset.prefix)
    X = genotypes.columns(np.flatnonzero(genotypes.included), dtype=np.float32)
    reference = X @ X.T
    reference /= np.trace(reference) / len(X)
    difference = float(np.abs(ll.kinship(genotypes).matrix - reference).max())
    if difference > _SAME:
        raise RuntimeError(f"{fileset.name}: our kinship and NumPy's differ by {difference:.1e}")
    programs = {}
    for threads in sorted({1, settings.threads}):
        programs[_ours(threads)] = partial(timing.seconds_of, partial(_kinship, genotypes, threads))
        programs[_numpy(threads)] = partial(_product, X, threads)
    with tempfile.TemporaryDirectory() as folder:
        whole = [LMMLASSO, "kinship", "--bfile", fileset.prefix, "--threads", settings.threads]
        programs["lmmlasso kinship, whole process"] = partial(
            _process_seconds, [*whole, "--out", f"{folder}/ours"], settings.threads
        )
        if shutil.which("gemma"):
            _link_with_phenotype(fileset.prefix, Path(folder))
            # all polymorphic SNPs, as we take them
            gemma = ["gemma", "-bfile", f"{folder}/data", "-gk", "1", "-maf", "0", "-miss", "1"]
            programs["gemma -gk 1, whole process"] = partial(
                _process_seconds, [*gemma, "-outdir", folder, "-o", "gemma"], settings.threads
            )
        else:
            settings.skip("gemma", "not on the PATH (Debian package gemma)")
        runs = timing.in_turn(programs, settings.repeats)
        log = Path(folder) / "gemma.log.txt"
        used = re.search(r"analyzed SNPs.*= (\d+)", log.read_text()) if log.exists() else None
    rows = [{"program": name, **timing.spread(seconds)} for name, seconds in runs.items()]
    n, p = X.shape
    print(f"\n{fileset.name}: kinship of {n} samples from {p} SNPs")
    for row in rows:
        print(f"{row['program']:<55} {row['seconds']:8.3f} s (to {row['slowest']:.3f})")
    return {
        "name": fileset.name,
        "n_samples": n,
        "n_variants": p,
        "gemma_variants": int(used[1]) if used else None,
        "difference": difference,
        "rows": rows,
    }


def _ours(threads: int) -> str:
    return f"ours, in process, threads {threads}"


def _numpy(threads: int) -> str:
    return f"NumPy float32 X X' on the ready matrix, threads {threads}"


def _kinship(genotypes: ll.Genotypes, threads: int) -> ll.Kinship:
    return ll.kinship(genotypes, n_threads=threads)


def _product(X: np.ndarray, threads: int) -> float:
    with blas_cap(threads):
        return timing.seconds_of(lambda: X @ X.T)


def _process_seconds(command: list, threads: int) -> float:
    return processes.run(command, blas_threads=threads).seconds


def _link_with_phenotype(prefix: Path, folder: Path) -> None:
    """Links to the .bed and .bim beside a .fam without missing phenotypes.

    GEMMA leaves out the samples whose phenotype is missing, also from a kinship.
    """
    for extension in (".bed", ".bim"):
        (folder / f"data{extension}").symlink_to(Path(f"{prefix}{extension}").resolve())
    lines = Path(f"{prefix}.fam").read_text().splitlines()
    kept = [" ".join([*line.split()[:5], str(1 + k % 2)]) for k, line in enumerate(lines)]
    (folder / "data.fam").write_text("\n".join(kept) + "\n")


def ratios(results: list[dict]) -> dict[str, float]:
    """NumPy's seconds on the ready matrix over ours from packed genotypes, one thread each."""
    found = {}
    for result in results:
        seconds = {row["program"]: row["seconds"] for row in result["rows"]}
        ratio = seconds[_numpy(1)] / seconds[_ours(1)]
        found[f"kinship {result['name']}: NumPy float32"] = ratio
    return found

"""One command in a fresh process: elapsed seconds and peak memory."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.performance import timing

_LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Measured:
    """Elapsed seconds, and the peak resident memory of the largest process of the command."""

    seconds: float
    peak_mb: float


def run(command: list, cwd=None, blas_threads: int | None = None) -> Measured:
    """Run a command to its end; its output is shown only if it fails.

    Raises
    ------
    RuntimeError
        The command's exit code is not 0.
    """
    command = [str(part) for part in command]
    environment = dict(os.environ)
    environment.pop("PYTHONSAFEPATH", None)  # programs of this folder are found from cwd
    if blas_threads is not None:
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment |= dict.fromkeys(names, str(blas_threads))
    done = subprocess.run(
        [sys.executable, "-I", _LAUNCHER, *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: failed\n{done.stderr}")
    return Measured(**json.loads(done.stdout))


def spread(measured: list[Measured]) -> dict:
    """Return what `timing.spread` says of the seconds, and the largest peak."""
    peak = max(run.peak_mb for run in measured)
    return {**timing.spread([run.seconds for run in measured]), "peak_mb": peak}

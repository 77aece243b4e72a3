"""Where the time goes: `python -m bench.performance.steps PREFIX PHENO COLUMN` runs `lmmlasso fit`.

Seconds by stage, and within the path by step, the latter from Python's profiler: every step is one
call into C or BLAS, so that its own cost does not show.
"""

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from bench.performance.settings import LAST
from lmmlasso_fast.cli import main as lmmlasso

#: (file, function): step of the path. Own time, without what the function calls.
STEPS = {
    ("packed.py", "part"): "passes over all SNPs",
    ("working_set.py", "solve"): "Lasso on the working set, v and its tangent",
    ("whitening.py", "__init__"): "P = W'MW",
    ("whitening.py", "_companion"): "P = W'MW",
    ("whitening.py", "_from_spectrum"): "P = W'MW",
    ("whitening.py", "apply_into"): "P x of new SNPs",
    ("whitening.py", "apply_to"): "P x of new SNPs",
    ("working_set.py", "_add"): "Gram matrix of new SNPs",
    ("packed.py", "columns"): "decoding new SNPs",
    ("path_solver.py", "_admit"): "scores of all SNPs",
    ("certificate.py", "relative_gaps"): "scores of all SNPs",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.performance.steps", description=__doc__)
    parser.add_argument("bfile")
    parser.add_argument("pheno")
    parser.add_argument("column")
    parser.add_argument("--threads", default="2")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = f"{folder}/fit"
        source = ["--bfile", given.bfile, "--pheno", given.pheno, "--pheno-name", given.column]
        options = ["--eps", str(LAST), "--threads", given.threads, "--out", out]
        profile = cProfile.Profile()
        command = sys.modules["lmmlasso_fast.cli.fit"]  # the name in the package is the command
        command.lasso_path = partial(profile.runcall, command.lasso_path)
        with suppress(SystemExit, click.exceptions.Exit):
            lmmlasso(["fit", *source, *options], standalone_mode=False)
        timings = json.loads(Path(f"{out}.run.json").read_text())["timings"]
    show("stage", timings)
    show("step of the path", steps(profile, timings["path"]))


def steps(profile: cProfile.Profile, total: float) -> dict[str, float]:
    """Return {step: seconds}, with what is in no step as "the rest"."""
    seconds = dict.fromkeys(STEPS.values(), 0.0)
    for (path, _, function), (_, _, own, _, callers) in pstats.Stats(profile).stats.items():
        step = STEPS.get((Path(path).name, function))
        if step is not None:
            seconds[step] += own
        elif any(STEPS.get((Path(name).name, caller)) for name, _, caller in callers):
            for (name, _, caller), (_, _, part, _) in callers.items():
                called_by = STEPS.get((Path(name).name, caller))
                if called_by is not None:
                    seconds[called_by] += part
    seconds["the rest"] = total - sum(seconds.values())
    return seconds


def show(title: str, seconds: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, value in seconds.items():
        print(f"  {name:<26} {value:8.3f} s")


if __name__ == "__main__":
    main()

"""Looks for cases that are not handled: atheris, by coverage of the package's Python code.

    python -m soak.fuzz --seconds 60 [--targets plink,npy] [--corpus FOLDER] [--found FOLDER]

in the folder tests. Starts from seeds/ (and the corpus); what reaches new code goes to the corpus,
a case that fails to the folder for what was found, with a line FAILED, once for each place. A crash
of C code ends the run. With --runs for --seconds, and PYTHONHASHSEED=0, the same --seed tries the
same cases again. Targets whose optional package is not installed are named ("left out").
"""

import argparse
import gc
import hashlib
import os
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path
from types import FunctionType

os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

SEEDS = Path(__file__).with_name("seeds")


def instrument(atheris) -> None:
    """Have every function of the package counted.

    Not atheris.instrument_imports, which has no hold on the modules of an editable installation.
    """
    import lmmlasso_fast

    for name in lmmlasso_fast.__all__:
        getattr(lmmlasso_fast, name)
    for function in gc.get_objects():
        if isinstance(function, FunctionType):
            module = function.__module__ or ""
            if module.startswith("lmmlasso_fast"):
                atheris.instrument_func(function)


def place_of(error: BaseException) -> str:
    """What is raised, and the last line of the package that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/lmmlasso_fast/" in f.filename] or frames
    return f"{type(error).__name__} in {Path(ours[-1].filename).name}:{ours[-1].lineno}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="soak.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, help="[default: 60, or what --runs take]")
    parser.add_argument("--runs", type=int, default=-1, help="cases [default: no limit]")
    parser.add_argument("--targets", help="names, separated by commas [default: all]")
    parser.add_argument("--corpus", type=Path, help="a folder that is added to")
    parser.add_argument("--found", type=Path, default=Path(), help="for cases that fail")
    parser.add_argument("--seed", type=int, default=1, help="from 1 to 2**32 - 1 [default: 1]")
    given = parser.parse_args()
    if given.seconds is None:
        given.seconds = 60 if given.runs < 0 else 0  # 0: no limit
    print(f"seed {given.seed}", flush=True)

    import atheris

    targets = import_module("soak.fuzz.targets").TARGETS
    instrument(atheris)
    check, cases = import_module("soak.fuzz.check"), import_module("soak.fuzz.cases")
    mutate = import_module("soak.fuzz.mutate").mutate
    wanted = given.targets.split(",") if given.targets else list(targets)
    left_out = import_module("soak.fuzz.targets").left_out(wanted)
    for name, needs in left_out.items():
        print(f"left out: {name} needs {needs}", flush=True)
    wanted = [name for name in wanted if name not in left_out]
    found = given.found.resolve()
    found.mkdir(exist_ok=True)
    seen = set()

    def one(case: bytes) -> None:
        name, _ = cases.unpack(case)
        try:
            check.run(case if name in wanted else b"")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            where = place_of(error)
            if where not in seen:  # each defect once, and on with the rest
                seen.add(where)
                traceback.print_exception(error)
                path = found / f"crash_{name}_{hashlib.sha256(case).hexdigest()[:12]}"
                path.write_bytes(case)
                print(f"FAILED: {where}: {path}", file=sys.stderr, flush=True)

    def changed(case: bytes, most: int, seed: int) -> bytes:
        def raw(data: bytes) -> bytes:
            return bytes(atheris.Mutate(data, max(len(data) + 64, 16)))

        return mutate(case, seed, raw)[:most]

    with tempfile.TemporaryDirectory() as begin, check.scratch():
        for path in SEEDS.iterdir():
            if cases.unpack(path.read_bytes())[0] in wanted:
                Path(begin, path.name).write_bytes(path.read_bytes())
        corpus = given.corpus.resolve() if given.corpus else Path(begin)
        corpus.mkdir(exist_ok=True)
        check.limit_memory()
        atheris.Setup(
            [
                "soak.fuzz",
                f"-max_total_time={given.seconds}",
                f"-runs={given.runs}",
                # what is compared holds addresses, and would be tried in cases
                f"-use_cmp={int(given.runs < 0)}",
                f"-seed={given.seed}",
                "-timeout=30",
                "-rss_limit_mb=4096",
                "-max_len=60000",
                "-len_control=0",
                "-print_final_stats=1",
                f"-artifact_prefix={found}/",
                str(corpus),
                begin,
            ],
            one,
            custom_mutator=changed,
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
    sys.exit()

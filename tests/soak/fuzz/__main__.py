"""Looks for cases that are not handled: atheris, by coverage of the package's Python code.

    python -m soak.fuzz --seconds 60 [--targets plink,npy] [--corpus FOLDER] [--found FOLDER]

in the folder tests. Starts from seeds/ (and the corpus); what reaches new code goes to the corpus,
a case that fails is written to the folder for what was found, and ends the run.
"""

import argparse
import os
import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

SEEDS = Path(__file__).with_name("seeds")


def main() -> None:
    parser = argparse.ArgumentParser(prog="soak.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--targets", help="names, separated by commas [default: all]")
    parser.add_argument("--corpus", type=Path, help="a folder that is added to")
    parser.add_argument("--found", type=Path, default=Path(), help="for cases that fail")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()

    import atheris

    with atheris.instrument_imports(include=["lmmlasso_fast"]):
        import lmmlasso_fast

        for name in lmmlasso_fast.__all__:
            getattr(lmmlasso_fast, name)
        targets = import_module("soak.fuzz.targets").TARGETS
    check, cases = import_module("soak.fuzz.check"), import_module("soak.fuzz.cases")
    mutate = import_module("soak.fuzz.mutate").mutate
    wanted = given.targets.split(",") if given.targets else list(targets)
    wanted = [name for name in wanted if find_spec(targets[name].needs)]
    found = given.found.resolve()
    found.mkdir(exist_ok=True)
    counts = dict.fromkeys(("", "read", "refused"), 0)

    def one(case: bytes) -> None:
        name, _ = cases.unpack(case)
        counts[check.run(case) if name in wanted else ""] += 1

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

"""`python -m bench.performance`: seconds to a certified solution, ours and peers'.

See README.md in this folder. Exit code 1: with --quick, a ratio fell below half of the
recorded one.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from bench.performance import (
    admm,
    cold_start,
    kinships,
    machine,
    passes,
    paths,
    pipelines,
    recorded,
    scaling,
    scan,
    stability,
)
from bench.performance.settings import Settings
from lmmlasso_fast.threads import available_threads

BENCHMARKS = {
    "passes": passes,
    "kinship": kinships,
    "path": paths,
    "admm": admm,
    "cold": cold_start,
    "pipeline": pipelines,
    "stability": stability,
    "scan": scan,
    "scaling": scaling,
}
#: Those whose ratios are compared with recorded ones.
WITH_RATIOS = ("passes", "kinship", "path", "pipeline")


def main() -> int:
    given = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        settings = Settings(
            quick=given.quick,
            repeats=given.repeats,
            scale=given.scale,
            cache=(given.data_cache or Path(temporary)).resolve(),
            threads=given.threads,
        )
        about = machine.describe()
        if about["editable"]:
            print(
                "NOTE: lmmlasso_fast is an editable installation: each of its processes looks "
                "first whether to build again. For figures install it without -e."
            )
        names = given.only or list(BENCHMARKS)
        options = {"quick": given.quick, "repeats": given.repeats, "scale": given.scale}
        content = {
            "machine": about,
            "options": {**options, "threads": given.threads, "only": names},
            "ratios": {},
            "benchmark_seconds": {},
        }
        ratios, fine = content["ratios"], True
        for name in names:
            start = time.perf_counter()
            content[name] = BENCHMARKS[name].run(settings)
            content["benchmark_seconds"][name] = time.perf_counter() - start
            if name in WITH_RATIOS:
                ratios[name] = BENCHMARKS[name].ratios(content[name])
            content["skipped"] = [{"name": what, "reason": why} for what, why in settings.skipped]
            # after each, as all of them take the better part of an hour
            given.out.write_text(json.dumps(content, indent=1) + "\n")
        if given.record:
            recorded.save(about["kernels"], ratios, about)
            print(f"\nwrote {recorded.FILE.name}, {about['kernels']} kernels")
        elif given.quick:
            print(f"\nratios to ours, {about['kernels']} kernels; half of the recorded passes")
            fine = recorded.check(
                ratios,
                recorded.load(about["kernels"]),
                lambda name: BENCHMARKS[name].ratios(BENCHMARKS[name].run(settings)),
            )
    print(f"wrote {given.out}")
    return 0 if fine else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.performance", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small simulated problems, compared with recorded.json"
    )
    parser.add_argument("--only", type=_names, help=f"some of {','.join(BENCHMARKS)}")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the best counts")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="factor on the SNPs of simulated problems"
    )
    parser.add_argument(
        "--threads", type=int, default=available_threads(), help='what "all threads" means'
    )
    parser.add_argument("--data-cache", type=Path, help="folder that keeps simulated filesets")
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    parser.add_argument("--record", action="store_true", help="with --quick: write recorded.json")
    given = parser.parse_args()
    if given.record and not given.quick:
        parser.error("--record goes with --quick")
    return given


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in BENCHMARKS:
            raise argparse.ArgumentTypeError(f"expected some of {','.join(BENCHMARKS)}: {name!r}")
    return names


if __name__ == "__main__":
    sys.exit(main())

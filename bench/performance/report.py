"""`python -m bench.performance.report results.json`: the results as Markdown and a figure.

Writes results.md and results.svg beside this file (or into --folder).
"""

import argparse
import json
from pathlib import Path

from bench.performance import figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    results = json.loads(given.results.read_text())
    (given.folder / "results.md").write_text(markdown(results))
    print(f"wrote {given.folder / 'results.md'}")
    if figure.save(results, given.folder / "results.svg"):
        print(f"wrote {given.folder / 'results.svg'}")


def markdown(results: dict) -> str:
    """Return one section per benchmark that the results have."""
    parts = ["# Results", _machine(results)]
    for name, section in _SECTIONS.items():
        if results.get(name):
            parts.append(section(results[name]))
    if results["skipped"]:
        lines = [f"* {entry['name']}: {entry['reason']}" for entry in results["skipped"]]
        parts.append("## Not measured\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _machine(results: dict) -> str:
    about, options = results["machine"], results["options"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    dirty = " with uncommitted changes" if about["dirty"] else ""
    editable = (
        " An editable installation: whole processes took longer." if about["editable"] else ""
    )
    return (
        f"Made by `python -m bench.performance.report`; what is measured says "
        f"[README.md](README.md).\n\n"
        f"{about['date'][:10]}, commit {about['commit'] or 'unknown'}{dirty}; {about['cpu']}, "
        f"{about['cores']} cores, {about['memory_gb']:.0f} GB, {about['platform']}; "
        f"{about['kernels']} kernels; BLAS: {'; '.join(about['blas'])}; Python "
        f"{about['python']}; {versions}. Best of {options['repeats']}, slowest in "
        f"parentheses.{editable}"
    )


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _time(row: dict) -> str:
    return f"{row['seconds']:.3g} s ({row['slowest']:.3g})"


def _path(problems: list[dict]) -> str:
    parts = ["## Path at the same certified gap, one thread"]
    for problem in problems:
        rows = [
            [
                f"{row['target']:.0e}",
                row["solver"],
                _time(row),
                f"{row['ratio']:.2f}",
                f"{row['ratio_whitening_counted']:.2f}",
                f"{row['tol']:.0e}",
                f"{row['gap']:.1e}",
            ]
            for row in problem["rows"]
        ]
        header = ["gap", "solver", "seconds", "ratio", "whitening counted", "tol", "gap reached"]
        floors = ", ".join(
            f"{name} {floor['gap']:.0e} (tol {floor['tol']:.0e}, {floor['seconds']:.3g} s)"
            for name, floor in problem["floors"].items()
        )
        parts += [
            f"{problem['name']}, {problem['n_samples']} x {problem['n_variants']}; decoding and "
            f"whitening for the peers {problem['whitening_seconds']:.2f} s.",
            table(header, rows),
            f"Smallest gap seen: {floors}.",
        ]
    return "\n\n".join(parts)


def _pipeline(problems: list[dict]) -> str:
    parts = ["## Whole processes, .bed on disk to a finished path"]
    for problem in problems:
        rows = [
            [
                row["solver"],
                _time(row),
                f"{row['ratio']:.2f}",
                f"{row['peak_mb']:.0f} MB",
                f"{row['gap']:.1e} ({row['gap_from']})",
                _stages(row["stages"]),
            ]
            for row in problem["rows"]
        ]
        header = ["program", "seconds", "ratio", "peak memory", "gap (from)", "stages, seconds"]
        parts += [
            f"{problem['name']}, gap at most {problem['target']:.0e}, "
            f"{problem['threads']} threads.",
            table(header, rows),
        ]
    return "\n\n".join(parts)


def _kinship(problems: list[dict]) -> str:
    parts = ["## Kinship"]
    for problem in problems:
        used = problem["gemma_variants"]
        gemma = "" if used is None else f" (GEMMA: {used})"
        rows = [[row["program"], _time(row)] for row in problem["rows"]]
        parts += [
            f"{problem['name']}, {problem['n_samples']} samples, {problem['n_variants']} "
            f"SNPs{gemma}.",
            table(["program", "seconds"], rows),
        ]
    return "\n\n".join(parts)


def _passes(problems: list[dict]) -> str:
    parts = ["## Gradients X'v"]
    for problem in problems:
        rows = [
            [
                row["what"],
                str(row["threads"]),
                f"{1e3 * row['seconds']:.3g} ms ({1e3 * row['slowest']:.3g})",
                f"{row['gigabytes_per_second']:.1f}",
                f"{row['genotypes_per_second'] / 1e9:.2f}",
                f"{row['speedup_of_threads']:.2f}",
            ]
            for row in problem["rows"]
        ]
        header = ["gradient", "threads", "time", "GB/s", "10⁹ genotypes/s", "over one thread"]
        parts += [f"{problem['name']}.", table(header, rows)]
    return "\n\n".join(parts)


def _admm(problems: list[dict]) -> str:
    rows = [
        [
            f"{problem['name']}, {problem['n_alphas']} alpha(s)",
            f"{problem['seconds']:.3g} s",
            f"{problem['gap']:.1e}",
            f"{problem['n_iterations']}",
            f"{problem['n_active']}",
            f"{problem['ours']['seconds']:.3g} s, {problem['ours']['gap']:.1e}, "
            f"{problem['ours']['n_active']}",
        ]
        for problem in problems
    ]
    header = ["problem", "ADMM", "gap", "iterations", "active", "ours: seconds, gap, active"]
    return "## The published algorithm (ADMM, rho = 1)\n\n" + table(header, rows)


def _stability(result: dict) -> str:
    rows = [
        [
            row["program"],
            _time(row),
            f"{row['ratio']:.3g}",
            f"{row['measured_replicates']}",
            f"{row['peak_mb']:.0f} MB",
            f"{row['agreement']:.3f}" if "agreement" in row else "",
            f"{row['gap']:.1e}" if "gap" in row else "",
            ", ".join(f"{name} {seconds:.3g}" for name, seconds in row.get("stages", {}).items()),
        ]
        for row in result["rows"]
    ]
    header = [
        "program", "seconds", "ratio", "replicates measured", "peak memory", "agreement",
        "gap of the first", "stages, seconds per replicate",
    ]  # fmt: skip
    kinship = min(row["kinship_seconds"] for row in result["rows"] if "kinship_seconds" in row)
    [published] = [row for row in result["rows"] if "n_iterations" in row]
    eigh, gil = result["eigh"], result["gil"]
    counter = "; ".join(
        f"n_jobs={row['n_jobs']} {row['counter']:.2f} ({row['seconds']:.3g} s with it, "
        f"{row['undisturbed_seconds']:.3g} s without)"
        for row in gil["rows"]
    )
    return "\n\n".join(
        [
            "## Stability selection",
            f"{result['name']}, {result['n_replicates']} half samples, each path to "
            f"{result['n_active']} active SNPs. Not counted: the kinship of all samples "
            f"({kinship:.2f} s). Seconds are those of all replicates, scaled where fewer were "
            f"measured. Ratio: to ours with n_jobs={result['threads']}.",
            table(header, rows),
            f"The published algorithm took {published['n_iterations']} iterations and left "
            f"{published['n_active']} SNPs.",
            f"One replicate of ours over numpy.linalg.eigh of its {eigh['n_drawn']} x "
            f"{eigh['n_drawn']} kinship, one thread, in turn in one process: "
            f"{eigh['ratio']:.2f}.",
            f"Speed of a pure Python counter in another thread, over its speed alone: {counter}. "
            f"With as many jobs as processors it competes for these too.",
        ]
    )


def _scan(result: dict) -> str:
    rows = [
        [row["program"], _time(row), f"{row['peak_mb']:.0f} MB", _stages(row["stages"])]
        for row in result["kinds"]
    ]
    parts = [
        "## Univariate scan, .bed on disk to result files",
        f"{result['name']}, {result['threads']} threads.",
        table(["scan", "seconds", "peak memory", "stages, seconds"], rows),
    ]
    if "gemma" in result:
        parts.append(_scan_and_gemma(result["gemma"]))
    return "\n\n".join(parts)


def _scan_and_gemma(found: dict) -> str:
    rows = [
        [
            row["program"],
            _time(row),
            f"{row['ratio']:.2f}",
            f"{row['core']:.2f}",
            f"{row['core_ratio']:.2f}",
            f"{row['peak_mb']:.0f} MB",
            _stages(row["stages"]),
        ]
        for row in found["rows"]
    ]
    header = [
        "program", "seconds", "ratio", "computing, seconds", "ratio", "peak memory",
        "stages, seconds",
    ]  # fmt: skip
    largest = ", ".join(f"{name} {value:.1e}" for name, value in found["differences"].items())
    return "\n\n".join(
        [
            f"{found['name']}, {found['n_variants']} SNPs, delta of every SNP, GEMMA's kinship. "
            "*Computing*: decomposition, rotation, optimisation.",
            table(header, rows),
            f"Largest differences between the results: {largest}.",
        ]
    )


def _stages(stages: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in stages.items())


def _cold(result: dict) -> str:
    rows = [[row["what"], _time(row), f"{row['peak_mb']:.0f} MB"] for row in result["rows"]]
    return f"## Cold start, {result['name']}\n\n" + table(["", "seconds", "peak memory"], rows)


def _scaling(curves: list[dict]) -> str:
    parts = ["## Growth, `lmmlasso fit`"]
    for curve in curves:
        stages = list(curve["slopes"])
        rows = [
            [
                str(point["n"]),
                str(point["p"]),
                str(point["n_active"]),
                *(f"{point['timings'][stage]:.3g}" for stage in stages),
                f"{point['peak_mb']:.0f} MB",
            ]
            for point in curve["points"]
        ]
        slopes = "; ".join(
            f"{stage} {_slope(found['least_squares'])} "
            f"({', '.join(_slope(slope) for slope in found['neighbours'])})"
            for stage, found in curve["slopes"].items()
        )
        parts += [
            f"Growing {curve['grows']}; seconds by stage.",
            table(["n", "p", "active", *stages, "peak memory"], rows),
            f"Exponents of {curve['grows']} by least squares (between neighbours): {slopes}.",
        ]
    return "\n\n".join(parts)


def _slope(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


_SECTIONS = {
    "path": _path,
    "pipeline": _pipeline,
    "kinship": _kinship,
    "passes": _passes,
    "stability": _stability,
    "scan": _scan,
    "scaling": _scaling,
    "cold": _cold,
    "admm": _admm,
}


if __name__ == "__main__":
    main()

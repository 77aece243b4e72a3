"""`lmmlasso doctor`: what the program finds on this machine, and whether it works here."""

import os
import platform
import re
import sys
import warnings
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import version as package_version
from pathlib import Path
from tempfile import TemporaryDirectory

import click

import lmmlasso_fast
from lmmlasso_fast import _core
from lmmlasso_fast.threads import SINGLE_THREAD_BELOW, available_threads

#: Extras of people who work on the package.
_OF_DEVELOPERS = frozenset(["test", "bench", "dev", "docs"])
_N_SAMPLES, _N_VARIANTS, _TOL = 60, 200, 1e-6
#: Of X'v by the kernels, relative to its largest entry.
_PASS_ERROR = 1e-4
#: Version 1 of control groups says "no limit" with a number near 2^63.
_NO_LIMIT = 1 << 60


@click.command(short_help="Show what is found on this machine, and test it.")
def doctor():
    """Show what the program finds on this machine, and solve a small problem.

    Kernels, BLAS, threads, memory, packages and optional extras, for a bug report or when
    something is slow. Exit code 1 if something is wrong.
    """
    lines: list[tuple[str, str]] = []
    problems: list[str] = []
    lines.append(("lmmlasso", lmmlasso_fast.__version__))
    lines.append(("Python", f"{platform.python_version()}, {sys.executable}"))
    lines.append(("system", f"{platform.system()} {platform.release()}, {platform.machine()}"))
    lines += _kernels()
    lines += _blas()
    lines += _processors()
    lines += _memory()
    lines += _packages(problems)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is among the problems
        try:
            lines += _self_check(problems)
        except Exception as error:  # of whatever kind: what is left of the report is wanted
            problems.append(f"self-check: expected a solution, found {error!r}; report this")
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        click.echo(f"{name:<{width}}  {text}".rstrip())
    for problem in problems:
        click.echo(f"problem: {problem}")
    click.echo("something is wrong, see above" if problems else "all is well")
    sys.exit(1 if problems else 0)


def _kernels() -> list[tuple[str, str]]:
    forced = os.environ.get("LMMLASSO_FAST_ISA")
    why = f"LMMLASSO_FAST_ISA={forced}" if forced else "the fastest that this processor has"
    return [
        ("kernels", f"{_core.kernels_name()} ({why})"),
        ("", f"available: {', '.join(_core.available_kernels())}"),
    ]


def _blas() -> list[tuple[str, str]]:
    import scipy.linalg  # noqa: F401 (brings a BLAS of its own)
    from threadpoolctl import threadpool_info

    lines = [
        (
            "BLAS",
            f"{found['internal_api']} {found['version']}, {found.get('architecture', 'unknown')}, "
            f"{found['num_threads']} threads ({Path(found['filepath']).parent.name})",
        )
        for found in threadpool_info()
        if found["user_api"] == "blas"
    ]
    if not lines:
        return [("BLAS", "none that threadpoolctl knows: its threads cannot be limited")]
    return [*lines, ("", f"one thread below {SINGLE_THREAD_BELOW} samples, --threads from there")]


def _processors() -> list[tuple[str, str]]:
    import joblib

    limit = processor_limit()
    limited = (
        "no limit of a control group" if limit is None else f"a control group allows {limit:g}"
    )
    lines = [
        (
            "processors",
            f"{os.cpu_count()} in the machine, {available_threads()} for this process, {limited}",
        ),
        ("", f"folds and replicates at a time without --threads: {joblib.cpu_count()}"),
    ]
    if limit is not None and limit < available_threads():
        lines.append(("", f"give --threads {max(int(limit), 1)}: more wait for each other"))
    set_here = [
        f"{name}={os.environ[name]}"
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        if name in os.environ
    ]
    return lines + ([("", f"environment: {', '.join(set_here)}")] if set_here else [])


def _memory() -> list[tuple[str, str]]:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # not on every system
        return [("memory", "unknown")]
    text = f"{_gigabytes(total)} in the machine"
    found = re.search(r"MemAvailable:\s+(\d+) kB", _content(Path("/proc/meminfo")) or "")
    if found:
        text += f", {_gigabytes(1024 * int(found[1]))} available"
    limit = memory_limit()
    if limit is not None:
        text += f", a control group allows {_gigabytes(limit)}"
    # six n x n matrices of float64
    largest = int((0.5 * (limit or total) / 48) ** 0.5)
    return [("memory", text), ("", f"half of it holds the matrices of {largest} samples")]


def processor_limit(root: Path = Path("/")) -> float | None:
    """Return how many processors' time the control groups allow; None: as much as there is."""
    limits = []
    for folder in _control_groups(root, "cpu"):
        quota, period = [*(_content(folder / "cpu.max") or "").split(), "", ""][:2]
        if not quota:
            quota = _content(folder / "cpu.cfs_quota_us") or ""
            period = _content(folder / "cpu.cfs_period_us") or ""
        if quota.isdecimal() and period.isdecimal():  # else "max", or -1
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return how many bytes the control groups allow; None: as many as there are."""
    limits = []
    for folder in _control_groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _content(folder / name) or ""
            if text.isdecimal() and int(text) < _NO_LIMIT:
                limits.append(int(text))
    return min(limits, default=None)


def _control_groups(root: Path, controller: str) -> list[Path]:
    """Return the folders of this process's control groups, outer ones too, of both versions."""
    mount = root / "sys/fs/cgroup"
    folders = [mount, mount / controller]
    for line in (_content(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        top = mount if not controllers else mount / controller
        if controllers and controller not in controllers.split(","):
            continue
        inner = Path(path.lstrip("/"))
        folders += [top / part for part in (inner, *inner.parents)]
    return list(dict.fromkeys(folders))


def _content(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"


def _packages(problems: list[str]) -> list[tuple[str, str]]:
    """Return what is needed and what is optional, from the package's own metadata."""
    needed: list[str] = []
    extras: dict[str, list[str]] = {}
    for requirement in requires("lmmlasso-fast") or ():
        name, least, extra = _parts(requirement)
        if extra in _OF_DEVELOPERS or not _applies(requirement):
            continue
        found = _version(name)
        if extra is None:
            needed.append(f"{name} {found or 'absent'}")
            if found is None or _numbers(found) < _numbers(least):
                problems.append(
                    f"{name}: expected version {least or 'any'} or later, found {found or 'none'}; "
                    f'pip install "{name}>={least}"'
                )
            continue
        extras.setdefault(extra, []).append(f"{name} {found or 'absent'}")
    optional = []
    for extra, packages in extras.items():
        absent = [package for package in packages if package.endswith(" absent")]
        text = "absent" if absent == packages else ", ".join(packages)
        if absent:
            text += f': pip install "lmmlasso-fast[{extra}]"'
        optional.append((f"extra {extra}", text))
    return [("packages", ", ".join(needed)), *optional]


def _parts(requirement: str) -> tuple[str, str, str | None]:
    """Return name, smallest version and extra of a line such as 'a>=1; extra == "b"'."""
    name = re.match(r"[\w.-]+", requirement)[0]
    least = re.search(r">=\s*([\d.]+)", requirement)
    extra = re.search(r"extra == ['\"]([^'\"]+)", requirement)
    return name, least[1] if least else "", extra[1] if extra else None


def _applies(requirement: str) -> bool:
    """Return whether this Python needs it: newer ones have some packages themselves."""
    below = re.search(r"python_version < ['\"]([\d.]+)", requirement)
    return below is None or sys.version_info[:2] < _numbers(below[1])


def _version(name: str) -> str | None:
    try:
        return package_version(name)
    except PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _self_check(problems: list[str]) -> list[tuple[str, str]]:
    """Solve a small problem; the duality gap is the proof."""
    from lmmlasso_fast.io.plink_write import write_plink
    from lmmlasso_fast.simulation import simulate_genotypes

    drawn = simulate_genotypes(_N_SAMPLES, _N_VARIANTS, seed=1)
    with TemporaryDirectory() as folder:  # a fileset: the kernels are those of its 2 bits
        write_plink(f"{folder}/g", drawn.dosages, drawn.samples, drawn.variants)
        genotypes = lmmlasso_fast.read_plink(f"{folder}/g")
        return _solve(genotypes, drawn.dosages, problems)


def _solve(genotypes, dosages, problems: list[str]) -> list[tuple[str, str]]:
    import numpy as np

    from lmmlasso_fast.simulation import simulate_phenotype

    y = simulate_phenotype(dosages, n_causal=3, h2_snp=0.5, h2_structure=0.2, seed=1).y
    v = np.random.default_rng(1).standard_normal(_N_SAMPLES)
    exact = genotypes.columns(np.arange(_N_VARIANTS)).T @ v
    error = np.abs(genotypes.gradient(v) - exact).max() / np.abs(exact).max()
    null = lmmlasso_fast.fit_null(y, lmmlasso_fast.kinship(genotypes))
    path = lmmlasso_fast.lasso_path(genotypes, y, null, n_alphas=20, eps=0.05, tol=_TOL)
    gap = float(path.dual_gaps.max())
    if not gap <= _TOL:
        problems.append(f"self-check: expected duality gaps of at most {_TOL:g}, found {gap:.2g}")
    if not error <= _PASS_ERROR:
        problems.append(
            f"self-check: expected X'v as in float64 up to {_PASS_ERROR:g}, found {error:.2g}; set "
            "LMMLASSO_FAST_ISA=generic and report this"
        )
    return [
        (
            "self-check",
            f"{_N_SAMPLES} x {_N_VARIANTS}, {len(path.alphas)} alphas: largest relative duality "
            f"gap {gap:.2g}, error of X'v {error:.2g}",
        )
    ]

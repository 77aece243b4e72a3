"""What the figures depend on: machine, versions, commit."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from threadpoolctl import threadpool_info

from bench import ROOT
from lmmlasso_fast import _core
from lmmlasso_fast.threads import available_threads

_PACKAGES = (
    "lmmlasso-fast",
    "numpy",
    "scipy",
    "polars",
    "scikit-learn",
    "adelie",
    "celer",
    "skglm",
)


def describe() -> dict:
    commit = _output(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"])
    changes = _output(["git", "-C", ROOT, "status", "--porcelain"])
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit or None,
        "dirty": bool(changes) if commit else None,
        "cpu": _cpu(),
        "cores": available_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": sys.version.split()[0],
        "kernels": _core.kernels_name(),
        "editable": is_editable(),
        "blas": _blas(),
        "versions": _versions(),
    }


def is_editable() -> bool:
    """Whether every process first looks whether the package needs to be built again."""
    origin = distribution("lmmlasso-fast").read_text("direct_url.json")
    return bool(origin and json.loads(origin).get("dir_info", {}).get("editable"))


def _cpu() -> str:
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor()


def _blas() -> list[str]:
    """Name, version and kernels of every BLAS library that is loaded, NumPy's and SciPy's."""
    names = (
        " ".join(str(info.get(key) or "") for key in ("internal_api", "version", "architecture"))
        for info in threadpool_info()
        if info["user_api"] == "blas"
    )
    return sorted(set(names))


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    if shutil.which("Rscript"):
        versions["R"] = _output(["Rscript", "-e", "cat(as.character(getRversion()))"])
        versions["glmnet (R)"] = _output(
            ["Rscript", "-e", "cat(as.character(packageVersion('glmnet')))"]
        )
    if shutil.which("gemma"):
        versions["GEMMA"] = _output(["gemma"]).split("\n")[0].removeprefix("GEMMA ").split(" ")[0]
    return {name: text for name, text in versions.items() if text}


def _output(command: list) -> str:
    """What a command prints; nothing if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

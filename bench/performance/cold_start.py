"""A new Python process: import, and a first fit on 200 x 2,000."""

import sys
from functools import partial

from bench.performance import filesets, processes, timing
from bench.performance.settings import Settings

_FIT = """
import sys
import numpy as np
import lmmlasso_fast as ll
genotypes = ll.read_plink(sys.argv[1])
y = np.loadtxt(sys.argv[2], skiprows=1, usecols=2)
null = ll.fit_null(y, ll.kinship(genotypes))
path = ll.lasso_path(genotypes, y, null)
assert path.converged.all()
"""


def run(settings: Settings) -> dict:
    """Each row contains the ones above it."""
    fileset = filesets.simulated(settings, 200, 2_000)
    programs = {
        "Python alone": ["-c", "pass"],
        "import numpy": ["-c", "import numpy"],
        "import lmmlasso_fast": ["-c", "import lmmlasso_fast"],
        "import and first fit": ["-c", _FIT, fileset.prefix, fileset.pheno],
    }
    measured = timing.in_turn(
        # the path of -c starts with the current folder: not the repository, which has the source
        {
            name: partial(processes.run, [sys.executable, *command], cwd=settings.cache)
            for name, command in programs.items()
        },
        max(3, settings.repeats),
    )
    rows = [{"what": name, **processes.spread(runs)} for name, runs in measured.items()]
    print(f"\ncold start, {fileset.name}")
    for row in rows:
        print(f"{row['what']:<22} {row['seconds']:6.3f} s  peak {row['peak_mb']:5.0f} MB")
    return {"name": fileset.name, "rows": rows}

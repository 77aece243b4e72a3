"""Measurements: `bench.performance`, speed against peers; `bench.accuracy`, the studies."""

import sys
from pathlib import Path

#: The repository: `python -m` puts it first on the path when it is the current folder. What is
#: measured is the installed package, so the source goes behind it.
ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT] + [str(ROOT)]

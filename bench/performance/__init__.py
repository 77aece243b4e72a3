"""Speed at equal certified accuracy; see README.md in this folder."""

import os
import sys
from pathlib import Path

#: The repository: `python -m` puts it first on the path when it is the current folder. What is
#: measured is the installed package, so the source goes behind it.
ROOT = Path(__file__).resolve().parents[2]
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT] + [str(ROOT)]

# adelie has OpenMP bind the thread that imports it to one processor, and programs started from
# there inherit that: they would all run on one. It respects what is set already.
os.environ["OMP_PROC_BIND"] = "FALSE"

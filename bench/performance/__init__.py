"""Speed at equal certified accuracy; see README.md in this folder."""

import sys
from pathlib import Path

#: The repository: `python -m` puts it first on the path when it is the current folder. What is
#: measured is the installed package, so the source goes behind it.
ROOT = Path(__file__).resolve().parents[2]
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT] + [str(ROOT)]

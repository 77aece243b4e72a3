import os
import sys
from pathlib import Path

import pytest

# The installed package is tested. `python -m pytest` and the `python -c` of tests put the current
# folder first on the path: from the repository root that is the source, without compiled module.
_ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _ROOT]
os.environ["PYTHONSAFEPATH"] = "1"


@pytest.fixture
def data_dir() -> Path:
    """The folder with the real data sets, which are not part of the repository."""
    folder = os.environ.get("LMMLASSO_DATA")
    if not folder:
        pytest.skip("needs real data: set LMMLASSO_DATA to the folder that holds them")
    return Path(folder)

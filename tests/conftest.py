import os
import sys
from pathlib import Path

import pytest

# The installed package is tested. `python -m pytest` and the `python -c` of tests put the current
# folder first on the path: from the repository root that is the source, without compiled module.
_ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _ROOT]
os.environ["PYTHONSAFEPATH"] = "1"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real data sets, which are not part of the repository."""
    folder = os.environ.get("LMMLASSO_DATA")
    if not folder:
        pytest.skip("needs real data: set LMMLASSO_DATA to the folder that holds them")
    return Path(folder)


@pytest.fixture(params=["generic", "avx2", "avx512"])
def isa(request):
    """Runs a test with the kernels of every instruction set that this machine has."""
    from lmmlasso_fast import _core

    if request.param not in _core.available_kernels():
        pytest.skip(f"this machine has no {request.param}")
    before = _core.kernels_name()
    _core.select_kernels(request.param)
    yield request.param
    _core.select_kernels(before)

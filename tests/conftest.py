import os
from pathlib import Path

import pytest


@pytest.fixture
def data_dir() -> Path:
    """The folder with the real data sets, which are not part of the repository."""
    folder = os.environ.get("LMMLASSO_DATA")
    if not folder:
        pytest.skip("needs real data: set LMMLASSO_DATA to the folder that holds them")
    return Path(folder)

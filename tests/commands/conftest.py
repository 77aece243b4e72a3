"""What several modules of commands read."""

import shutil

import pytest
from cli_files import N_REPLICATES, select

import lmmlasso_fast as ll


@pytest.fixture(scope="module")
def genotypes(small):
    return ll.read_plink(small.prefix)


@pytest.fixture(scope="session")
def whole(small, tmp_path_factory):
    """The prefix of one run of `stability` of all replicates."""
    out = tmp_path_factory.mktemp("whole") / "P"
    select(small, out, "--replicates", N_REPLICATES, "--threads", 1)
    return out


@pytest.fixture
def files(small, tmp_path):
    """A copy of the inputs, to spoil, and a folder for results."""
    for name in ("g.bed", "g.bim", "g.fam", "y.tsv", "c.tsv", "two.tsv"):
        shutil.copy(small.folder / name, tmp_path)
    (tmp_path / "out").mkdir()
    return tmp_path

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from promises import PROMISES

# Time limits of single examples fail on busy machines. With --full many more are drawn; tests that
# take a share of `settings.default.max_examples` follow.
settings.register_profile("small", deadline=None)
settings.register_profile("full", deadline=None, max_examples=500, print_blob=True)
# A change must not fail, or pass, by what was drawn that day.
settings.register_profile("ci", deadline=None, derandomize=True)

# The installed package is tested. `python -m pytest` and the `python -c` of tests put the current
# folder first on the path: from the repository root that is the source, without compiled module.
_ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _ROOT]
os.environ["PYTHONSAFEPATH"] = "1"


def pytest_addoption(parser):
    parser.addoption(
        "--full",
        action="store_true",
        help="full sizes for the tests of tests/soak, which else run small",
    )


def pytest_configure(config):
    # what a shell starts with & ignores Ctrl-C, and so would all that tests start
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    full = config.getoption("--full")
    settings.load_profile("full" if full else "ci" if os.environ.get("CI") else "small")
    config.addinivalue_line("markers", "promise(name): which promise of promises.py it is for")
    for name, promise in PROMISES.items():
        config.addinivalue_line("markers", f"{name.replace('-', '_')}: {promise}")


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    """Makes `pytest -m whole_files` work, and has the reports name the promises of a test."""
    for item in items:
        for mark in [*item.iter_markers("promise")]:
            for name in mark.args:
                if name not in PROMISES:
                    raise pytest.UsageError(f"{item.nodeid}: no promise {name!r} in promises.py")
                item.add_marker(name.replace("-", "_"))
                item.user_properties.append(("promise", name))


@pytest.fixture
def size(request):
    """`size(small, full)` is how much a test of tests/soak does: all of it with --full."""
    return lambda small, full: full if request.config.getoption("--full") else small


@pytest.fixture
def tally(record_property):
    """`tally(cases=..., failed=..., figure=...)`: what a test did, for the table of tests/soak.

    `cases` counts what the test tried (1 unless told), other names are figures worth a table.
    """

    def count(**figures):
        for name, value in figures.items():
            record_property(name, value)

    return count


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real data sets, which are not part of the repository."""
    folder = os.environ.get("LMMLASSO_DATA")
    if not folder:
        pytest.skip("needs real data: set LMMLASSO_DATA to the folder that holds them")
    return Path(folder)


@pytest.fixture
def tridiagonal_form(monkeypatch):
    """Takes the tridiagonal form of a kinship of any size; else small ones go by the spectrum."""
    module = sys.modules["lmmlasso_fast.kinship"]  # the name in the package is the function
    monkeypatch.setattr(module, "TRIDIAGONAL_FROM", 0)


@pytest.fixture
def two_threads():
    """A process that allows BLAS two threads."""
    from blas import blas_threads
    from threadpoolctl import threadpool_limits

    with threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("the BLAS of this NumPy lets nobody set its threads")
        yield {2}


@pytest.fixture(params=["generic", "avx2", "avx512", "amx"])
def isa(request):
    """Runs a test with the kernels of every instruction set that this machine has."""
    from lmmlasso_fast import _core

    if request.param not in _core.available_kernels():
        pytest.skip(f"this machine has no {request.param}")
    before = _core.kernels_name()
    _core.select_kernels(request.param)
    yield request.param
    _core.select_kernels(before)


# ---- the command line ---------------------------------------------------------------------------


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A small fileset and what was made of it, see `cli_files.fitted_fileset`."""
    from cli_files import fitted_fileset

    return fitted_fileset(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def other(small):
    """Variants of its input files, models and kinships, see `cli_files.variants_of`."""
    from cli_files import variants_of

    return variants_of(small)


@pytest.fixture
def fit(small, tmp_path):
    """A function that fits the fileset and returns the result files, {suffix: bytes}."""
    from cli_files import lmmlasso, results

    def run(*arguments, base=None, name="P"):
        lmmlasso("fit", *(base or small.base), *arguments, "--out", tmp_path / name)
        return results(tmp_path / name)

    return run

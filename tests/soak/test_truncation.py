"""A .bed that is cut short, written over or grown at random moments of a command."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from cli_files import RECORDS, write_table
from faults import files_of, forks, temporaries

from lmmlasso_fast.io.plink_write import write_plink
from lmmlasso_fast.simulation import simulate_genotypes

pytestmark = [
    pytest.mark.promise("any-bytes", "no-wrong-answer", "whole-files"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs fork"),
]

#: What is done to a file of `size` bytes.
_CHANGE = {
    "cut": "os.truncate(path, size // 3)",
    "emptied": "os.truncate(path, 0)",
    "written over": "file = open(path, 'r+b'); file.seek(size // 2); file.write(b'\\0' * 999)",
    "grown": "open(path, 'ab').write(b'\\0')",
}
#: Changes the file after the look of this number at it, and counts the looks in a file `looks`.
_HOOK = """
import os
from lmmlasso_fast import _core
path, size, at, seen = {path!r}, {size}, {at}, 0
look = _core.watched_state
def counted(watch):
    global seen
    state = look(watch)
    seen += 1
    if seen == at:
        {change}
    with open({looks!r}, "w") as file:
        file.write(str(seen))
    return state
_core.watched_state = counted
"""


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("truncation")
    n, p = 150, 8000
    simulated = simulate_genotypes(n, p, seed=3)
    write_plink(folder / "g", simulated.dosages, simulated.samples, simulated.variants)
    y = simulated.dosages[:, 7] + np.random.default_rng(3).standard_normal(n)
    ids = {name: simulated.samples[name].to_list() for name in ("FID", "IID")}
    write_table(folder / "y.tsv", **ids, Y=y)
    with forks() as process:
        yield folder, process


def final(folder):
    return {
        name: content for name, content in files_of(folder).items() if not name.endswith(RECORDS)
    }


@pytest.mark.parametrize("change", _CHANGE)
def test_at_random_moments(setting, change, tmp_path, size, tally):
    """The run ends with the named error and no results; or well, if nothing is read any more."""
    folder, process = setting
    bed, looks = folder / "g.bed", tmp_path / "looks"
    content = bed.read_bytes()
    inputs = ["--bfile", folder / "g", "--pheno", folder / "y.tsv", "--threads", 1]
    command = ["stability", *inputs, "--replicates", 6, "--n-active", 5]
    (tmp_path / "expected").mkdir()
    (tmp_path / "out").mkdir()

    def hook(at, do="pass"):
        return _HOOK.format(path=str(bed), size=len(content), at=at, looks=str(looks), change=do)

    start = time.monotonic()
    assert process.run(*command, "--out", tmp_path / "expected/P", prelude=hook(0)).code == 0
    seconds = time.monotonic() - start
    expected, n_looks = final(tmp_path / "expected"), int(looks.read_text())
    assert n_looks > 20
    rng = np.random.default_rng(4)

    def ends(run, *, surely=False):
        """Whether `run(prefix)` ends with an error; the file is as before then."""
        out = tmp_path / "out"
        shutil.rmtree(out)
        out.mkdir()
        ended = run(out / "P")
        found = final(out)
        found.pop("P.stability.checkpoint", None)
        assert temporaries(out) == []
        if ended.code == 0:
            assert not surely
            assert found == expected
        else:
            assert ended.code == 3, (ended.code, ended.err)
            assert f"{bed}: " in ended.err
            assert "Traceback" not in ended.err
            assert found == {}
        replace(bed, content)
        resumed = process.run(*command, "--resume", "--out", out / "P")
        assert resumed.code == 0, resumed.err
        assert final(out) == expected
        return ended.code != 0

    # between two looks there is a pass over the file: the second one must see it
    moments = [*rng.integers(1, n_looks, size(1, 10)).tolist(), n_looks]
    noticed = 0
    for at in moments:
        looks.unlink()
        fault = hook(at, _CHANGE[change])
        noticed += ends(
            lambda out, fault=fault: process.run(*command, "--out", out, prelude=fault),
            surely=at < n_looks,
        )
        assert int(looks.read_text()) >= at, "the file was not changed"

    def disturbed(out):
        """At any time, within a pass too."""
        program = f"import os, time; path = {str(bed)!r}; size = {len(content)}; "
        program += f"time.sleep({rng.uniform(0.1, seconds)}); {_CHANGE[change]}"
        with subprocess.Popen([sys.executable, "-S", "-c", program]) as other:
            ended = process.run(*command, "--out", out)
            assert other.wait() == 0
        return ended

    n_random = size(1, 10)
    noticed += sum(ends(disturbed) for _ in range(n_random))
    tally(
        cases=len(moments) + n_random,
        **{f"ended_by_a_file_that_was_{change.replace(' ', '_')}": noticed},
    )
    assert noticed >= len(moments) - 1


def replace(path, content):
    other = path.with_suffix(".new")
    other.write_bytes(content)
    os.replace(other, path)

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

#: Waits for so many seconds, then does something to a file.
_CHANGE = {
    "cut": "os.truncate(path, size // 3)",
    "emptied": "os.truncate(path, 0)",
    "written over": "file = open(path, 'r+b'); file.seek(size // 2); file.write(b'\\0' * 999)",
    "grown": "open(path, 'ab').write(b'\\0')",
}


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
    """The run ends well with the right results, or with the named error and none."""
    folder, process = setting
    bed = folder / "g.bed"
    content = bed.read_bytes()
    inputs = ["--bfile", folder / "g", "--pheno", folder / "y.tsv", "--threads", 1]
    command = ["stability", *inputs, "--replicates", 6, "--n-active", 5]
    start = time.monotonic()
    assert process.run(*command, "--out", tmp_path / "P").code == 0
    seconds = time.monotonic() - start
    expected = final(tmp_path)
    rng = np.random.default_rng(4)
    out, noticed = tmp_path / "out", 0
    n = size(1, 10)
    for _ in range(n):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        program = f"import os, time; path = {str(bed)!r}; size = {len(content)}; "
        program += f"time.sleep({rng.uniform(0.1, seconds)}); {_CHANGE[change]}"
        with subprocess.Popen([sys.executable, "-S", "-c", program]) as other:
            ended = process.run(*command, "--out", out / "P")
            other.wait()
        found = final(out)
        found.pop("P.stability.checkpoint", None)
        assert temporaries(out) == []
        if ended.code == 0:
            assert found == expected
        else:
            assert ended.code == 3, (ended.code, ended.err)
            assert f"{bed}: " in ended.err
            assert "Traceback" not in ended.err
            assert found == {}
            noticed += 1
        replace(bed, content)
        ended = process.run(*command, "--resume", "--out", out / "P")
        assert ended.code == 0, ended.err
        assert final(out) == expected
    tally(cases=n, **{f"ended_by_a_file_that_was_{change.replace(' ', '_')}": noticed})
    assert noticed >= size(0, 1)


def replace(path, content):
    other = path.with_suffix(".new")
    other.write_bytes(content)
    os.replace(other, path)

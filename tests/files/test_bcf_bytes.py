"""A BCF with one byte changed, at every place: genotypes or a named error.

The targets of tests/soak/fuzz have no BCF, as each is read in another process first, whose start
takes a quarter of a second. Here that process is a fork.
"""

import gzip
import json
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from vcf_files import bcf_of, write_vcf

pytestmark = [
    pytest.mark.promise("any-bytes"),
    pytest.mark.skipif(sys.platform != "linux", reason="forks"),
]

#: Reads x.bcf once for each line, what to take and the bytes, and says how that ended.
READER = """
import json, os, subprocess, sys, tempfile, warnings
from pathlib import Path
from types import SimpleNamespace
import cyvcf2
import numpy as np
import lmmlasso_fast as ll
from lmmlasso_fast.errors import DataWarning, GenotypeError
from lmmlasso_fast.io import vcf

def forked(command, *, capture_output):
    with tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(errors.fileno(), 2)
                sys.argv = command[-3:]
                exec(command[-3], {"__name__": "__main__"})
                os._exit(0)
            finally:
                os._exit(99)
        _, status = os.waitpid(pid, 0)
        errors.seek(0)
        code = os.waitstatus_to_exitcode(status)
        return subprocess.CompletedProcess(command, code, b"", errors.read())

vcf.subprocess = SimpleNamespace(run=forked)
warnings.simplefilter("ignore", DataWarning)
for line in sys.stdin:
    dosage, content = line.split()
    Path("x.bcf").write_bytes(bytes.fromhex(content))
    try:
        genotypes = ll.read_vcf("x.bcf", dosage=dosage)
    except GenotypeError as error:
        answer = str(error)
    else:
        found = genotypes.dosages(np.arange(genotypes.n_variants)).astype(float)
        answer = bool(((found >= -1) & (found <= 2) | np.isnan(found)).all())
    print(json.dumps(answer), flush=True)
"""


def test_one_byte_changed(tmp_path, size, tally):
    pytest.importorskip("cyvcf2")
    write_vcf(tmp_path / "x.vcf", ["0/1:0.1 0/0:0.5", "./1:1.5 1:2", "0|0:. 1/1:1"], fields="GT:DS")
    content = gzip.decompress(bcf_of(tmp_path / "x.vcf").read_bytes())
    records = content.index(b"#CHROM")  # and the end of the header
    rng = np.random.default_rng(1)
    # every byte once, or many times; of the header's text, which matters less, some
    places = [*range(12), *range(records, len(content)), *range(12, records, size(10, 1))]
    cases = []
    for place in np.repeat(places, size(1, 15)):
        changed = bytearray(content)
        changed[place] ^= rng.integers(1, 256)
        cases.append((["GT", "DS"][rng.integers(2)], changed.hex()))
    done = subprocess.run(
        [sys.executable, "-c", READER],
        cwd=tmp_path,
        input="".join(f"{dosage} {content}\n" for dosage, content in cases),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=1200,
    )
    # an editable installation may print what it rebuilds before them
    answers = [json.loads(line) for line in done.stdout.splitlines() if line[0] in '"tf']
    last = cases[min(len(answers), len(cases) - 1)]
    assert done.returncode == 0, (last, done.stderr[-3000:])
    assert len(answers) == len(cases)
    named = re.compile(r"x\.bcf: (.+: )?expected .+")
    outcomes = Counter()
    for case, answer in zip(cases, answers, strict=True):
        assert answer is True or named.fullmatch(answer), (case, answer)
        outcomes["read" if answer is True else "refused"] += 1
        outcomes["ended_htslib"] += "ends the process" in str(answer)
    assert min(outcomes["read"], outcomes["refused"]) > 20
    tally(cases=len(cases), **outcomes)

"""Coverage-guided fuzzing for a time: atheris on the readers, libFuzzer on the C core."""

import os
import re
import secrets
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
#: Two processes at a time; in each the targets that cost most leave time for the others. Cases that
#: each tries in small size: as many as take some 15 s.
SHARES = {
    "genotypes and results": ("plink,bimbam,npy,pgen,bgen,report,multiqc,merge,resume", 1_500),
    "tables and matrices": (
        "vcf,plink-text,phenotypes,covariates,lists,genes,grm,gemma,rel,kinship,model,journal,"
        "config,records",
        10_000,
    ),
}
#: Cases in small size: some 3 s.
C_RUNS = {"fuzz_packed": 20_000, "fuzz_dosage": 20_000, "fuzz_numbers": 20_000}

pytestmark = pytest.mark.promise("any-bytes")


@pytest.fixture(scope="module")
def seed(request):
    """The same cases for every change of the code; other ones each time with --full."""
    full = request.config.getoption("--full")
    return secrets.randbelow(2**31) + 1 if full else 1


def figures_of(output: str) -> tuple[int, int]:
    """Executions and coverage of a libFuzzer that ended in order."""
    done = re.search(r"^#(\d+)\s+DONE\s+cov: (\d+)", output, re.MULTILINE)
    assert done, output[-3000:]
    return int(done[1]), int(done[2])


def left_out_of(output: str) -> list[str]:
    """What a fuzzer said that it does not try, and what that needs."""
    return re.findall(r"^left out: (.*)$", output, re.MULTILINE)


def test_every_target_has_its_share():
    sys.path.insert(0, str(ROOT / "tests"))
    from soak.fuzz.targets import TARGETS

    shared = [name for share, _ in SHARES.values() for name in share.split(",")]
    assert sorted(shared) == sorted(TARGETS)


def test_what_cannot_be_tried_is_named(monkeypatch):
    sys.path.insert(0, str(ROOT / "tests"))
    from soak.fuzz.targets import TARGETS, left_out

    monkeypatch.setitem(TARGETS, "vcf", replace(TARGETS["vcf"], needs="no_such_module"))
    assert left_out(["plink", "vcf", "npy"]) == {"vcf": "no_such_module"}
    said = "seed 1\nleft out: vcf needs cyvcf2\nleft out: bgen needs bgen\n#2 DONE\n"
    assert left_out_of(said) == ["vcf needs cyvcf2", "bgen needs bgen"]


def test_readers(size, seed, tally, tmp_path):
    """No case in so many executions raises what is not the package's own error."""
    pytest.importorskip("atheris", reason='needs atheris (pip install "lmmlasso-fast[fuzz]")')
    seconds = 200  # at full size
    print(f"seed {seed}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "PYTHONUNBUFFERED": "1"}
    environment["PYTHONHASHSEED"] = "0"
    processes = []
    for share, (names, runs) in SHARES.items():
        log = (tmp_path / f"{share}.log").open("w+", errors="replace")  # htslib quotes bytes
        folder = tmp_path / share
        command = [sys.executable, "-m", "soak.fuzz", "--seed", str(seed), "--targets", names]
        command += size(["--runs", str(runs)], ["--seconds", str(seconds)])
        command += ["--found", str(folder)]
        process = subprocess.Popen(
            command, cwd=ROOT / "tests", env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        processes.append((share, process, log, folder))
    executions, coverage, missing = 0, {}, []
    for share, process, log, folder in processes:
        process.wait(timeout=2 * seconds + 300)
        log.seek(0)
        output = log.read()
        log.close()
        failed = re.findall(r"^FAILED: .*$", output, re.MULTILINE)
        assert not failed, "\n".join([f"seed {seed}", *failed, output[-3000:]])
        assert process.returncode == 0, output[-3000:]
        assert list(folder.iterdir()) == []
        missing += left_out_of(output)
        runs, coverage[share] = figures_of(output)
        executions += runs
    assert min(coverage.values()) > 500, "the package is not instrumented"
    print(f"{executions} executions, coverage {coverage}, left out: {missing or 'nothing'}")
    tally(cases=executions, seed=seed, coverage=" and ".join(map(str, coverage.values())))
    if missing:
        tally(**{"left out": ", ".join(missing)})


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the libFuzzer targets."""
    folder = tmp_path_factory.mktemp("fuzz")
    for program in ("cmake", "clang"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    trial = folder / "trial.c"
    trial.write_text("int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n < 0; }\n")
    flags = ["-fsanitize=fuzzer,address,undefined", str(trial), "-o", str(folder / "trial")]
    if subprocess.run(["clang", *flags], capture_output=True).returncode:
        pytest.skip("needs clang's run-time libraries (Debian package libclang-rt-dev)")
    for command in (
        ["cmake", "-S", str(ROOT), "-B", str(folder), "-DLMMLASSO_PYTHON=OFF",
         "-DLMMLASSO_FUZZ=ON", "-DCMAKE_C_COMPILER=clang"],
        ["cmake", "--build", str(folder), "--parallel", "2"],
    ):  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("target", C_RUNS)
def test_core(size, seed, tally, tmp_path, built, target):
    """No input makes the C core read or write out of bounds, overflow, or decode wrongly."""
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    kept = (ROOT / f"tests/c/{target}.seeds").read_text().split()
    for k, line in enumerate(kept):
        (seeds / str(k)).write_bytes(bytes.fromhex(line))
    command = [str(built / target), f"-seed={seed}", "-max_len=2000"]
    command += [size(f"-runs={C_RUNS[target]}", "-max_total_time=60")]
    command += ["-rss_limit_mb=4096", "-timeout=60", f"-artifact_prefix={tmp_path}/", str(seeds)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"seed {seed}\n{done.stderr[-5000:]}"
    executions, coverage = figures_of(done.stderr)
    assert executions > len(kept)
    print(f"{target}: seed {seed}, {executions} executions, coverage {coverage}")
    tally(cases=executions, **{f"coverage of {target}": str(coverage)})

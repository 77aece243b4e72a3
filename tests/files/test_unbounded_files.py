"""Files without an end, and small ones that unpack to large ones, are refused at once."""

import gzip
import os
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from cli_files import lmmlasso

import lmmlasso_fast as ll
from lmmlasso_fast.cli.recording import _written_by, file_fingerprint
from lmmlasso_fast.cli.steps import _read as read_steps
from lmmlasso_fast.errors import GenotypeError, InputError, KinshipError, ModelError, TableError
from lmmlasso_fast.io import bimbam, regular
from lmmlasso_fast.io.bed_regions import read_bed
from lmmlasso_fast.io.ids import read_id_list, read_ids
from lmmlasso_fast.io.journal import read_journal
from lmmlasso_fast.io.kinship_files import load_kinship, read_gemma, read_grm, read_rel
from lmmlasso_fast.io.multiqc import multiqc_content
from lmmlasso_fast.io.pgen_text import read_psam, read_pvar, read_sample_file
from lmmlasso_fast.io.plink_text import read_bim, read_fam
from lmmlasso_fast.io.plink_write import write_plink
from lmmlasso_fast.io.result_files import ResultFiles, read_table
from lmmlasso_fast.io.tables import read_covariates, read_phenotypes

#: Readers by what follows x in the name of the file that is special.
READERS = {
    **dict.fromkeys([".bed", ".bim", ".fam"], ll.read_plink),
    **dict.fromkeys([".pgen", ".pvar", ".psam"], ll.read_pgen),
    ".vcf": lambda x: ll.read_vcf(f"{x}.vcf"),
    ".bgen": lambda x: ll.read_bgen(f"{x}.bgen"),
    ".bimbam": lambda x: ll.read_bimbam(f"{x}.bimbam"),
    ".npy": lambda x: ll.read_npy(f"{x}.npy"),
    ".tsv": lambda x: read_phenotypes(f"{x}.tsv"),
    ".covar": lambda x: read_covariates(f"{x}.covar"),
    ".keep": lambda x: read_ids(f"{x}.keep"),
    ".extract": lambda x: read_id_list(f"{x}.extract"),
    ".genes": lambda x: read_bed(f"{x}.genes"),
    ".sample": lambda x: read_sample_file(f"{x}.sample"),
    ".ped": lambda x: ll.read_pedigree(f"{x}.ped"),
    ".grm.bin": read_grm,
    ".grm.N.bin": read_grm,
    ".grm.id": read_grm,
    ".rel": read_rel,
    ".cXX.txt": lambda x: read_gemma(f"{x}.cXX.txt"),
    ".npz": lambda x: load_kinship(f"{x}.npz"),
    ".model.npz": lambda x: ll.load_model(f"{x}.model.npz"),
    ".checkpoint": lambda x: read_journal(f"{x}.checkpoint"),
    ".run.json": lambda x: multiqc_content([x]),
    ".path.tsv": lambda x: read_table(f"{x}.path.tsv"),
    ".log": lambda x: ResultFiles(x).log,
    ".steps.json": lambda x: read_steps(Path(f"{x}.steps.json")),
}
NEEDS = {".pgen": "pgenlib", ".pvar": "pgenlib", ".psam": "pgenlib", ".vcf": "cyvcf2"}
NEEDS[".bgen"] = "bgen"


@pytest.fixture
def in_time():
    """Ends a test that waits for ever."""

    def too_late(signum, frame):
        raise AssertionError("a reader waits")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def prefix(tmp_path):
    """Ordinary files beside the special one."""
    x = tmp_path / "x"
    small = ll.simulation.simulate_genotypes(9, 8, seed=1)
    write_plink(x, small.dosages, small.samples, small.variants)
    (tmp_path / "x.psam").write_text("#IID\na\nb\n")
    (tmp_path / "x.pvar").write_text("#CHROM POS ID REF ALT\n1 5 r A G\n")
    (tmp_path / "x.grm.id").write_text("a a\nb b\n")
    (tmp_path / "x.rel.id").write_text("a a\nb b\n")
    np.ones(3, "<f4").tofile(tmp_path / "x.grm.bin")
    return str(x)


def special(kind, path):
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.promise("any-bytes")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("suffix", READERS)
def test_special_files_are_refused(prefix, suffix, kind, in_time):
    if suffix in NEEDS and not find_spec(NEEDS[suffix]):
        pytest.skip(f"needs {NEEDS[suffix]}")
    path = Path(f"{prefix}{suffix}")
    special(kind, path)
    with pytest.raises(InputError) as caught:
        READERS[suffix](prefix)
    message = str(caught.value)
    assert str(path) in message
    assert suffix == ".steps.json" or "regular file is needed" in message
    assert file_fingerprint(path)["error"] == regular_error(path)


def regular_error(path):
    with pytest.raises(OSError, match="regular file is needed") as caught:
        regular.require_regular(path)
    return caught.value.strerror


@pytest.mark.promise("any-bytes")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_commands_refuse_pipes(prefix, tmp_path, in_time):
    pipe = tmp_path / "y"
    os.mkfifo(pipe)
    message = lmmlasso("null", "--bfile", prefix, "--pheno", pipe, "--out", tmp_path / "P", code=3)
    assert "a pipe, a device or a socket, where a regular file is needed" in message
    message = lmmlasso("run", "--config", pipe, "--out", tmp_path / "P", code=2)
    assert "regular file is needed" in message
    os.mkfifo(tmp_path / "Q.run.json")
    assert _written_by(f"{tmp_path}/Q.run.json") == {}


@pytest.mark.promise("hostile")
def test_an_earlier_record_names_no_file_of_another_folder(tmp_path):
    path = tmp_path / "P.run.json"
    path.write_text('{"files": {"null.json": "null", "d/../../victim": "null", "/etc/x": "fit"}}')
    assert _written_by(str(path)) == {"null.json": "null"}


# ---- bombs --------------------------------------------------------------------------------------


@pytest.fixture
def small_limit(monkeypatch):
    """A limit of 100 kB in the place of 256 MB."""
    monkeypatch.setattr(regular, "_UNPACKED", 100_000)


@pytest.mark.promise("hostile")
@pytest.mark.parametrize(
    "read", [read_fam, read_bim, read_psam, read_pvar, read_phenotypes, read_ids, read_gemma]
)
@pytest.mark.parametrize("packing", ["gzip", "members", "zstd"])
def test_text_bombs(tmp_path, small_limit, packing, read):
    path = tmp_path / "x.gz"
    text = b"0 1 0 0 1 1\n" * 100_000
    if packing == "zstd":
        path = tmp_path / "x.zst"
        zstd = pytest.importorskip("backports.zstd")
        path.write_bytes(zstd.compress(text))
    elif packing == "gzip":
        path.write_bytes(gzip.compress(text))
    else:
        path.write_bytes(b"".join(gzip.compress(text[:60_000], mtime=0) for _ in range(20)))
    with pytest.raises(InputError, match=r"unpacks to too much: expected at most \d+ bytes"):
        read(path)


@pytest.mark.promise("hostile")
def test_a_limit_is_no_limit_for_what_is_not_packed_so_well(tmp_path, small_limit):
    """Random digits take a third; and the limit is 256 MB, and 100 times the file."""
    rng = np.random.default_rng(1)
    text = "IID Y\n" + "".join(f"i{k} {value:.9f}\n" for k, value in enumerate(rng.random(20_000)))
    (tmp_path / "y.gz").write_bytes(gzip.compress(text.encode()))
    assert len(text) > 200_000
    assert read_phenotypes(tmp_path / "y.gz").height == 20_000


@pytest.mark.promise("hostile")
def test_the_limit():
    assert regular.largest_unpacked(1000) == 1 << 28
    assert regular.largest_unpacked(1 << 30) == 100 << 30


@pytest.mark.promise("any-bytes")
def test_lines_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(bimbam, "_LONGEST_LINE", 1000)
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"rs1 A G 0 1\nrs2 A G " + b"1 " * 100_000))
    with pytest.raises(GenotypeError, match="line 2: a line without end: expected at most 1000"):
        ll.read_bimbam(path)


@pytest.mark.promise("hostile")
@pytest.mark.parametrize(
    ("read", "error"), [(load_kinship, KinshipError), (ll.load_model, ModelError)]
)
def test_archive_bombs(tmp_path, small_limit, read, error):
    """Refused before a single array is read; the names are those that would be."""
    zeros = np.zeros((400, 400))
    np.savez_compressed(tmp_path / "x.npz", format=np.array("x"), matrix=zeros, mean=zeros)
    with pytest.raises(error, match=r"found \d+ bytes of arrays in \d+"):
        read(tmp_path / "x.npz")


@pytest.mark.promise("hostile")
def test_result_files_too(tmp_path, small_limit):
    (tmp_path / "P.path.tsv").write_bytes(gzip.compress(b"INDEX\n" + b"1\n" * 100_000))
    with pytest.raises(TableError, match="unpacks to too much"):
        ResultFiles(tmp_path / "P").table("path")
    shutil.copy(tmp_path / "P.path.tsv", tmp_path / "P.null.json")
    with pytest.raises(TableError, match="unpacks to too much"):
        ResultFiles(tmp_path / "P").json("null")

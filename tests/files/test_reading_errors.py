"""Files that are there and cannot be read, and compressed ones that end early: named errors."""

import gzip
import os
import sys
from importlib import import_module

import numpy as np
import pytest
from cli_files import lmmlasso

import lmmlasso_fast as ll
from lmmlasso_fast.errors import InputError, KinshipError
from lmmlasso_fast.io.ids import read_id_list, read_ids
from lmmlasso_fast.io.journal import read_journal
from lmmlasso_fast.io.kinship_files import load_kinship, read_grm, read_kinship, write_grm
from lmmlasso_fast.io.tables import read_table

pytestmark = pytest.mark.promise("any-bytes")

#: A file that opens, and whose first byte is an input/output error; the names are links to it.
_FAILING = "/proc/self/mem"

READERS = {
    "fam": lambda path, small: ll.read_plink(small.prefix, fam=path),
    "bim": lambda path, small: ll.read_plink(small.prefix, bim=path),
    "bed": lambda path, small: ll.read_plink(small.prefix, bed=path),
    "npy": lambda path, _: ll.read_npy(path),
    "bimbam": lambda path, _: ll.read_bimbam(path),
    "table": lambda path, _: read_table(path),
    "ids": lambda path, _: read_ids(path),
    "list": lambda path, _: read_id_list(path),
    "journal": lambda path, _: read_journal(path),
    "kinship": lambda path, _: read_kinship(path),
    "npz": lambda path, _: load_kinship(path),
    "grm": lambda path, _: read_grm(path),
    "model": lambda path, _: ll.load_model(path),
    "pedigree": lambda path, _: ll.read_pedigree(path),
}


@pytest.mark.skipif(not os.path.exists(_FAILING), reason=f"needs {_FAILING}")
@pytest.mark.parametrize("reader", READERS)
def test_an_error_of_the_drive(small, tmp_path, reader, tally):
    names = ["x", "x.gz", "x.zst", "x.npz"]
    for name in names:
        (tmp_path / name).symlink_to(_FAILING)
        with pytest.raises(InputError, match=str(tmp_path / name)):
            READERS[reader](tmp_path / name, small)
    tally(cases=len(names))


@pytest.mark.skipif(not os.path.exists(_FAILING), reason=f"needs {_FAILING}")
@pytest.mark.parametrize("flag", ["bed", "bim", "fam", "pheno", "keep", "extract", "kinship"])
def test_an_error_of_the_drive_on_the_command_line(small, tmp_path, flag):
    (tmp_path / "x").symlink_to(_FAILING)
    base = [*small.base, "--out", tmp_path / "P"]
    err = lmmlasso("fit", *base, f"--{flag}", tmp_path / "x", code=3)
    assert f"{tmp_path}/x" in err
    assert {path.name for path in tmp_path.iterdir()} <= {"x", "P.log", "P.run.json"}


def _zstd():
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    pytest.importorskip(name)
    return import_module(name)


@pytest.mark.parametrize("format", ["gz", "zst"])
def test_compressed_files_cut_anywhere(small, tmp_path, format, tally):
    """Whatever part of the stream is there, no table comes of it."""
    compress = gzip.compress if format == "gz" else _zstd().compress
    whole = compress((small.folder / "y.tsv").read_bytes())
    path = tmp_path / f"y.tsv.{format}"
    path.write_bytes(whole)
    assert read_table(path).height == 90
    # below two bytes nothing shows that it was compressed
    for length in range(2, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=str(path)):
            read_table(path)
    tally(cases=len(whole) - 2)


def test_a_kinship_cut_between_its_size_and_its_numbers(small, tmp_path, monkeypatch):
    write_grm(small.kinship, tmp_path / "K")
    read = np.fromfile

    def cut(path, **options):
        os.truncate(path, 4000)
        return read(path, **options)

    monkeypatch.setattr(np, "fromfile", cut)
    with pytest.raises(KinshipError, match=r"wrong size: expected \d+ bytes.*found 4000 bytes"):
        read_grm(tmp_path / "K")

"""Kinship matrices: written and read back, and every way in which a file may be wrong."""

import gzip
import pickle
import re
import time
import zipfile
from functools import partial

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from messages import refused

from lmmlasso_fast.errors import KinshipError
from lmmlasso_fast.io.kinship_files import (
    load_kinship,
    read_gemma,
    read_grm,
    read_kinship,
    read_rel,
    save_kinship,
    write_gemma,
    write_grm,
)
from lmmlasso_fast.kinship import Kinship

pytestmark = pytest.mark.promise("any-bytes")

# Exact in float32, mean diagonal 2.
MATRIX = np.array([[2.0, 0.5, -0.25], [0.5, 1.5, 0.125], [-0.25, 0.125, 2.5]])
SAMPLES = pl.DataFrame({"FID": ["f", "007", "f"], "IID": ["a", "1e5", "b"]})
TEXT = "".join("\t".join(map(str, row)) + "\n" for row in MATRIX.tolist())
TRIANGLE = "2.0\n0.5\t1.5\n-0.25\t0.125\t2.5\n"

refused_kinship = partial(refused, error=KinshipError)


@pytest.fixture
def kinship():
    return Kinship.from_matrix(MATRIX, samples=SAMPLES, estimator="rrm", n_variants=1234)


@pytest.fixture
def grm(tmp_path, kinship):
    prefix = tmp_path / "k"
    write_grm(kinship, prefix)
    return prefix


@pytest.fixture
def rel(tmp_path):
    prefix = tmp_path / "k"
    (tmp_path / "k.rel").write_text(TEXT)
    (tmp_path / "k.rel.id").write_text("#FID\tIID\nf\ta\n007\t1e5\nf\tb\n")
    return prefix


def suffixed(prefix, suffix):
    return prefix.with_name(prefix.name + suffix)


def assert_is_the_matrix(read, estimator, n_variants=None, samples=SAMPLES):
    np.testing.assert_array_equal(read.matrix * read.scale, MATRIX)
    assert read.scale == 2
    assert read.estimator == estimator
    assert read.n_variants == n_variants
    assert (read.samples is None) if samples is None else read.samples.equals(samples)


class TestGrm:
    def test_layout(self, grm):
        expected = np.array([2, 0.5, 1.5, -0.25, 0.125, 2.5], dtype="<f4").tobytes()
        assert suffixed(grm, ".grm.bin").read_bytes() == expected
        assert suffixed(grm, ".grm.id").read_text() == "f\ta\n007\t1e5\nf\tb\n"
        counts = np.full(6, 1234, dtype="<f4").tobytes()
        assert suffixed(grm, ".grm.N.bin").read_bytes() == counts

    def test_read(self, grm):
        assert_is_the_matrix(read_grm(grm), "gcta", 1234)

    def test_counts_are_optional(self, grm):
        suffixed(grm, ".grm.N.bin").unlink()
        assert_is_the_matrix(read_grm(grm), "gcta")

    def test_unknown_count_replaces_that_of_an_older_file(self, grm):
        write_grm(Kinship.from_matrix(MATRIX, samples=SAMPLES), grm)
        assert_is_the_matrix(read_grm(grm), "gcta")

    def test_largest_count_is_taken(self, grm):
        counts = np.array([100, 98, 99, 97, 96, 100], dtype="<f4")
        suffixed(grm, ".grm.N.bin").write_bytes(counts.tobytes())
        assert read_grm(grm).n_variants == 100

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_bad_counts(self, grm, bad):
        suffixed(grm, ".grm.N.bin").write_bytes(np.full(6, bad, "<f4").tobytes())
        path = suffixed(grm, ".grm.N.bin")
        refused_kinship(read_grm, grm, names=path, expected="numbers from 0", found=str(bad))

    @pytest.mark.parametrize("suffix", [".grm.bin", ".grm.N.bin"])
    @pytest.mark.parametrize("n_bytes", [0, 23, 25, 28])
    def test_wrong_size(self, grm, suffix, n_bytes):
        path = suffixed(grm, suffix)
        path.write_bytes((path.read_bytes() + b"\0\0\0\0")[:n_bytes])
        found = f"{n_bytes} bytes"
        refused_kinship(read_grm, grm, names=path, expected="24 bytes", found=found)

    @pytest.mark.parametrize("suffix", [".grm.bin", ".grm.id"])
    def test_absent(self, grm, suffix):
        path = suffixed(grm, suffix)
        path.unlink()
        refused_kinship(read_grm, grm, names=path, expected="readable", found="No such file")

    def test_one_id_too_many(self, grm):
        suffixed(grm, ".grm.id").write_text("f a\nf b\nf c\nf d\n")
        path = suffixed(grm, ".grm.bin")
        refused_kinship(read_grm, grm, names=path, expected="the 4 samples", found="24 bytes")

    def test_repeated_id(self, grm):
        path = suffixed(grm, ".grm.id")
        path.write_text("f a\nf b\nf a\n")
        refused_kinship(
            read_grm, grm, names=path, line=3, expected="every sample once", found="lines 1 and 3"
        )

    def test_no_ids(self, grm):
        path = suffixed(grm, ".grm.id")
        path.write_text("")
        refused_kinship(read_grm, grm, names=path, expected="one line per sample", found="empty")

    def test_not_finite(self, grm):
        path = suffixed(grm, ".grm.bin")
        path.write_bytes(np.array([2, 0.5, 1.5, np.nan, 0.1, 2.5], dtype="<f4").tobytes())
        with pytest.raises(KinshipError, match=rf"{re.escape(str(path))}: .*finite.*nan"):
            read_grm(grm)

    def test_plink_ids_without_fid(self, grm):
        suffixed(grm, ".grm.id").write_text("#IID\na\nb\nc\n")
        samples = read_grm(grm).samples
        assert samples.rows() == [(None, "a"), (None, "b"), (None, "c")]

    @pytest.mark.parametrize("name", ["a b", "a\tb", "a\n", ""])
    def test_ids_with_blanks_cannot_be_written(self, tmp_path, name):
        samples = pl.DataFrame({"FID": ["f", "f", "f"], "IID": ["a", name, "c"]})
        kinship = Kinship.from_matrix(MATRIX, samples=samples)
        path = tmp_path / "x"
        refused_kinship(
            partial(write_grm, kinship),
            path,
            names=suffixed(path, ".grm.id"),
            expected="without blanks",
            found=repr(f"f {name}"),
        )
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("samples", "found"),
        [(None, "no samples"), (SAMPLES.with_columns(FID=pl.lit(None, pl.String)), "' a'")],
    )
    def test_ids_are_needed_to_write(self, tmp_path, samples, found):
        kinship = Kinship.from_matrix(MATRIX, samples=samples)
        path = tmp_path / "x"
        refused_kinship(
            partial(write_grm, kinship),
            path,
            names=suffixed(path, ".grm.id"),
            expected="FID and IID of every sample",
            found=found,
        )


class TestGemma:
    @pytest.mark.parametrize(
        ("name", "estimator"),
        [
            ("k.cXX.txt", "gemma-centered"),
            ("k.sXX.txt", "gemma-standardized"),
            ("k.txt", "text"),
        ],
    )
    def test_read(self, tmp_path, name, estimator):
        path = tmp_path / name
        path.write_text(TEXT)
        assert_is_the_matrix(read_gemma(path), estimator, samples=None)
        assert_is_the_matrix(read_gemma(path, SAMPLES.with_columns(PHENO=pl.lit("1"))), estimator)

    @pytest.mark.parametrize(
        "content",
        [
            TEXT.replace("\n", "\r\n"),
            TEXT.removesuffix("\n"),
            TEXT.replace("\t", "  \t").replace("\n", " \n\n"),
            TEXT.replace("0.5", "5e-1"),
        ],
    )
    def test_accepted_variants(self, tmp_path, content):
        path = tmp_path / "k.cXX.txt.gz"
        path.write_bytes(gzip.compress(content.encode()))
        assert_is_the_matrix(read_gemma(path), "gemma-centered", samples=None)

    def test_write(self, tmp_path, kinship):
        path = tmp_path / "k.txt"
        write_gemma(kinship, path)
        assert path.read_text() == TEXT

    @pytest.mark.parametrize(
        ("content", "line", "found"),
        [
            ("1 0 0\n\n0 1\n0 0 1\n", 3, "2"),
            ("1 0 0\n0 1 0\n0 0 1 0\n", 3, "4"),
            ("1 0 0\n0 1 0\n", 1, "3"),
            ("1\n0 1\n0 0 1\n", 1, "1"),
        ],
    )
    def test_not_square(self, tmp_path, content, line, found):
        path = tmp_path / "k.txt"
        path.write_text(content)
        n_lines = content.replace("\n\n", "\n").count("\n")
        refused_kinship(read_gemma, path, line=line, expected=f"{n_lines} values", found=found)

    @pytest.mark.parametrize("value", ["nan", "NA", "inf", "x", "1,5"])
    def test_not_a_number(self, tmp_path, value):
        path = tmp_path / "k.txt"
        path.write_text(TEXT.replace("0.125", value))
        refused_kinship(read_gemma, path, line=2, expected="a finite number", found=repr(value))
        with pytest.raises(KinshipError, match="column 3"):
            read_gemma(path)

    def test_asymmetric(self, tmp_path):
        path = tmp_path / "k.txt"
        path.write_text(TEXT.replace("0.5", "0.50001", 1))
        with pytest.raises(KinshipError, match=rf"{re.escape(str(path))}: .*symmetric"):
            read_gemma(path)

    def test_rounding_is_averaged_away(self, tmp_path):
        path = tmp_path / "k.txt"
        path.write_text(TEXT.replace("0.5", "0.500001", 1))
        read = read_gemma(path)
        assert read.matrix[0, 1] == read.matrix[1, 0] == pytest.approx(0.25000025, rel=1e-12)

    def test_wrong_number_of_samples(self, tmp_path):
        path = tmp_path / "k.txt"
        path.write_text(TEXT)
        refused_kinship(
            lambda path: read_gemma(path, SAMPLES[:2]),
            path,
            expected="each of the 3 rows",
            found="2 samples",
        )

    def test_empty(self, tmp_path):
        path = tmp_path / "k.txt"
        path.write_text("\n")
        refused_kinship(read_gemma, path, expected="at least one", found="0")

    def test_nul(self, tmp_path):
        path = tmp_path / "k.txt"
        path.write_text(TEXT + "\0")
        refused_kinship(read_gemma, path, line=4, expected="UTF-8", found="a NUL byte")


class TestRel:
    @pytest.mark.parametrize("name", ["k", "k.rel"])
    def test_square(self, rel, name):
        assert_is_the_matrix(read_rel(rel.with_name(name)), "plink")

    def test_lower_triangle(self, rel):
        suffixed(rel, ".rel").write_text(TRIANGLE)
        assert_is_the_matrix(read_rel(rel), "plink")

    def test_gzip(self, rel):
        suffixed(rel, ".rel.gz").write_bytes(gzip.compress(TEXT.encode()))
        assert_is_the_matrix(read_rel(suffixed(rel, ".rel.gz")), "plink")

    def test_one_sample(self, rel):
        suffixed(rel, ".rel").write_text("2\n")
        suffixed(rel, ".rel.id").write_text("a\n")
        assert read_rel(rel).matrix.tolist() == [[1]]

    def test_triangle_with_a_wrong_line(self, rel):
        path = suffixed(rel, ".rel")
        path.write_text("2.0\n0.5\t1.5\n-0.25\t0.125\n")
        refused_kinship(read_rel, rel, names=path, line=3, expected="3 values", found="2")

    def test_other_number_of_samples(self, rel):
        suffixed(rel, ".rel.id").write_text("f a\nf b\n")
        path = suffixed(rel, ".rel")
        refused_kinship(read_rel, rel, names=path, expected="2, one for each", found="3")

    def test_no_ids(self, rel):
        path = suffixed(rel, ".rel.id")
        path.unlink()
        refused_kinship(read_rel, rel, names=path, expected="readable", found="No such file")


class TestNpz:
    refused = staticmethod(partial(refused, load_kinship, error=KinshipError))

    @pytest.fixture
    def path(self, tmp_path, kinship):
        path = tmp_path / "k.npz"
        save_kinship(kinship, path)
        return path

    @pytest.fixture
    def rewrite(self, path):
        def rewrite(**changes):
            with np.load(path) as archive:
                content = dict(archive) | changes
            with open(path, "wb") as file:
                np.savez(file, **{key: x for key, x in content.items() if x is not None})
            return path

        return rewrite

    def test_round_trip(self, path, kinship):
        read = load_kinship(path)
        assert_is_the_matrix(read, "rrm", 1234)
        assert read.matrix.tobytes() == kinship.matrix.tobytes()
        assert not read.matrix.flags.writeable

    @pytest.mark.parametrize(
        "samples", [None, SAMPLES.with_columns(FID=pl.lit(None, pl.String))], ids=["none", "no_fid"]
    )
    def test_round_trip_without_ids(self, tmp_path, samples):
        path = tmp_path / "k.npz"
        save_kinship(Kinship.from_matrix(MATRIX, samples=samples), path)
        assert_is_the_matrix(load_kinship(path), "given", samples=samples)

    def test_hostile_ids_are_only_text(self, tmp_path):
        names = ["<script>", "../../x", "=cmd()\x1b[31m é\n"]
        samples = pl.DataFrame({"FID": names, "IID": names})
        save_kinship(Kinship.from_matrix(MATRIX, samples=samples), tmp_path / "k.npz")
        assert load_kinship(tmp_path / "k.npz").samples.equals(samples)

    def test_entries(self, path):
        with np.load(path, allow_pickle=False) as archive:
            content = dict(archive)
        assert content["format"] == "lmmlasso_fast kinship 1"
        assert content["fid"].tolist() == ["f", "007", "f"]
        assert content["iid"].tolist() == ["a", "1e5", "b"]
        assert content["estimator"] == "rrm"
        assert content["n_variants"] == 1234
        assert content["scale"] == 2
        np.testing.assert_array_equal(content["matrix"], MATRIX / 2)

    def test_same_content_gives_the_same_bytes(self, tmp_path, monkeypatch):
        contents = []
        for order, seconds in (("C", 1.2e9), ("F", 1.7e9)):
            monkeypatch.setattr(time, "time", lambda now=seconds: now)
            kinship = Kinship.from_matrix(np.array(MATRIX, order=order), samples=SAMPLES)
            save_kinship(kinship, tmp_path / "k.npz")
            contents.append((tmp_path / "k.npz").read_bytes())
        assert contents[0] == contents[1]
        with zipfile.ZipFile(tmp_path / "k.npz") as archive:
            assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}

    @pytest.mark.parametrize("n_bytes", [0, 3, 100, -1, -100])
    def test_truncated(self, path, n_bytes):
        path.write_bytes(path.read_bytes()[:n_bytes])
        self.refused(path, expected="a complete .npz", found="")

    def test_damaged(self, path):
        content = bytearray(path.read_bytes())
        offset = content.index((MATRIX / 2).tobytes())
        content[offset] ^= 1
        path.write_bytes(content)
        self.refused(path, expected="a complete .npz", found="Bad CRC-32")

    @pytest.mark.parametrize("content", [b"1 0\n0 1\n", pickle.dumps([1])])
    def test_another_kind_of_file(self, path, content):
        path.write_bytes(content)
        self.refused(path, expected="a complete .npz", found="another kind of file")

    def test_absent(self, tmp_path):
        self.refused(tmp_path / "absent.npz", expected="a complete .npz", found="No such file")

    def test_nothing_is_unpickled(self, rewrite):
        path = rewrite(iid=np.array([{}, 1, "x"], dtype=object))
        self.refused(path, expected="a complete .npz", found="allow_pickle=False")

    @pytest.mark.parametrize("key", ["format", "matrix", "fid", "iid", "estimator", "scale"])
    def test_lacks_an_entry(self, rewrite, key):
        self.refused(rewrite(**{key: None}), expected="an .npz with format", found=key)

    @pytest.mark.parametrize(
        ("changes", "expected", "found"),
        [
            ({"format": "x 1"}, "'lmmlasso_fast kinship 1'", "'x 1'"),
            ({"format": 1}, "format of the type U", "<i8"),
            ({"matrix": np.eye(3, dtype="f4")}, "matrix of the type <f8", "<f4"),
            ({"matrix": np.ones(3)}, "in 2 dimensions", "in 1"),
            ({"matrix": 2 * np.eye(3)}, "mean diagonal 1", "mean diagonal 2.0"),
            ({"matrix": np.eye(4)}, "each of the 4 rows", "3 samples"),
            ({"matrix": np.zeros((0, 0))}, "mean diagonal 1", "nan"),
            ({"matrix": np.full((3, 3), np.nan)}, "mean diagonal 1", "nan"),
            ({"scale": -1.0}, "a positive scale", "-1.0"),
            ({"scale": np.nan}, "a positive scale", "nan"),
            ({"fid": np.array(["f"])}, "as many fid as iid, 3", "1"),
            ({"iid": np.arange(3)}, "iid of the type U", "<i8"),
            ({"n_variants": 1.5}, "n_variants of the type <i8", "<f8"),
        ],
    )
    def test_bad_entry(self, rewrite, changes, expected, found):
        self.refused(rewrite(**changes), expected=expected, found=found)

    @pytest.mark.parametrize(
        ("row", "column", "value", "problem"), [(0, 1, 0.3, "symmetric"), (0, 1, np.inf, "finite")]
    )
    def test_bad_value(self, rewrite, row, column, value, problem):
        matrix = MATRIX / 2
        matrix[row, column] = value
        path = rewrite(matrix=matrix)
        with pytest.raises(KinshipError, match=rf"{re.escape(str(path))}: .*{problem}"):
            load_kinship(path)

    def test_not_square(self, rewrite):
        path = rewrite(matrix=np.ones((3, 2)))
        with pytest.raises(KinshipError, match=rf"{re.escape(str(path))}: .*square"):
            load_kinship(path)


class TestReadKinship:
    @pytest.mark.parametrize("name", ["k", "k.grm.bin"])
    def test_grm(self, grm, name):
        assert read_kinship(grm.with_name(name)).estimator == "gcta"

    @pytest.mark.parametrize("name", ["k", "k.rel"])
    def test_rel(self, rel, name):
        assert read_kinship(rel.with_name(name)).estimator == "plink"

    def test_text(self, tmp_path):
        path = tmp_path / "k"
        path.write_text(TEXT)
        assert_is_the_matrix(read_kinship(path, SAMPLES), "text")

    @pytest.mark.parametrize("name", ["k.npz", "k"])
    def test_npz(self, tmp_path, kinship, name):
        save_kinship(kinship, tmp_path / name)
        assert_is_the_matrix(read_kinship(tmp_path / name), "rrm", 1234)
        assert_is_the_matrix(read_kinship(tmp_path / name, SAMPLES[::-1]), "rrm", 1234)

    def test_npz_without_ids_takes_those_given(self, tmp_path):
        path = tmp_path / "k.npz"
        save_kinship(Kinship.from_matrix(MATRIX), path)
        assert_is_the_matrix(read_kinship(path), "given", samples=None)
        assert_is_the_matrix(read_kinship(path, SAMPLES), "given")
        refused_kinship(
            lambda path: read_kinship(path, SAMPLES[:1]), path, expected="3 rows", found="1 samples"
        )

    def test_npz_by_name(self, tmp_path):
        path = tmp_path / "k.npz"
        path.write_text(TEXT)
        refused_kinship(
            read_kinship, path, expected="a complete .npz", found="another kind of file"
        )

    def test_absent(self, tmp_path):
        path = tmp_path / "absent"
        refused_kinship(read_kinship, path, expected="with .grm.bin or .rel added", found="none")


@st.composite
def symmetric_matrices(draw):
    n = draw(st.integers(1, 5))
    entries = st.floats(-1, 1, allow_subnormal=False)
    lower = np.tril(draw(hnp.arrays(np.float64, (n, n), elements=entries)), -1)
    diagonal = draw(hnp.arrays(np.float64, n, elements=st.floats(0.1, 10)))
    return lower + lower.T + np.diag(diagonal)


@given(matrix=symmetric_matrices(), factor=st.floats(1e-6, 1e6))
def test_every_format_returns_what_was_written(tmp_path_factory, matrix, factor):
    folder = tmp_path_factory.mktemp("kinship")
    n = len(matrix)
    samples = pl.DataFrame({"FID": ["f"] * n, "IID": [str(k) for k in range(n)]})
    kinship = Kinship.from_matrix(factor * matrix, samples=samples)
    save_kinship(kinship, folder / "k.npz")
    write_gemma(kinship, folder / "k.txt")
    write_grm(kinship, folder / "k")

    exact = load_kinship(folder / "k.npz")
    assert exact.matrix.tobytes() == kinship.matrix.tobytes()
    assert exact.scale == kinship.scale
    assert exact.samples.equals(samples)
    text = read_gemma(folder / "k.txt", samples)
    np.testing.assert_allclose(text.matrix, kinship.matrix, rtol=0, atol=1e-14)
    assert text.scale == pytest.approx(kinship.scale, rel=1e-14)
    single = read_grm(folder / "k")
    np.testing.assert_allclose(single.matrix, kinship.matrix, rtol=1e-6, atol=1e-6)
    assert single.scale == pytest.approx(kinship.scale, rel=1e-6)

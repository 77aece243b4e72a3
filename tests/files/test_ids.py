"""Id lists and the join of samples."""

import gzip

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import refused

from lmmlasso_fast.errors import SampleMatchError, TableError
from lmmlasso_fast.io.ids import match_samples, read_id_list, read_ids

pytestmark = pytest.mark.promise("hostile")


@pytest.fixture
def write(tmp_path):
    def write(content, name="table.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def ids(*pairs):
    return pl.DataFrame(pairs, schema={"FID": pl.String, "IID": pl.String}, orient="row")


class TestIdLists:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("f a\ng b\n", [("f", "a"), ("g", "b")]),
            ("f\ta\r\n\r\ng  b", [("f", "a"), ("g", "b")]),
            ("#FID IID\n007 1e5\n", [("007", "1e5")]),
            ("FID IID\nf a\n", [("f", "a")]),
            ("f a extra\ng b extra\n", [("f", "a"), ("g", "b")]),
            ("a\nb\n", [(None, "a"), (None, "b")]),
            ("#IID\na\n", [(None, "a")]),
            ("#IID SID\na s\n", [(None, "a")]),
            ("f a\nf a\n", [("f", "a"), ("f", "a")]),
            ("", []),
            (" \n", []),
            ("#FID IID\n", []),
        ],
    )
    def test_samples(self, write, content, expected):
        assert read_ids(write(content)) == expected

    def test_samples_wrong_column_count(self, write):
        refused(
            read_ids, write("f a\n\nb\n"), TableError, line=3, expected="2 separated", found="1"
        )

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("rs1\nrs2\n", ["rs1", "rs2"]),
            (" rs1\t\r\n\n007 x y\nrs1", ["rs1", "007", "rs1"]),
            ("\n#ID\nrs1\n#2\n", ["rs1", "#2"]),
            ("", []),
        ],
    )
    def test_variants(self, write, content, expected):
        assert read_id_list(write(content)) == expected

    def test_variants_gzip(self, write):
        assert read_id_list(write(gzip.compress(b"rs1\n"))) == ["rs1"]

    @pytest.mark.parametrize("read", [read_ids, read_id_list])
    def test_nul(self, write, read):
        refused(read, write("a\n\0\n"), TableError, line=2, expected="UTF-8", found="NUL")


class TestMatchSamples:
    def test_by_both_ids_in_any_order(self):
        samples = ids(("f", "a"), ("g", "a"), ("f", "b"), ("007", "x"))
        table = ids(("g", "a"), ("7", "x"), ("f", "b"), ("h", "z"), ("f", "a"))
        index = match_samples(samples, table, "table")
        assert index.tolist() == [4, 0, 2, -1]
        assert index.dtype == np.int64

    def test_by_iid_without_fid_in_the_table(self):
        samples = ids(("f", "a"), ("g", "b"), ("h", "c"))
        assert match_samples(samples, ids((None, "c"), (None, "a")), "t").tolist() == [1, -1, 0]

    def test_by_iid_without_fid_in_the_samples(self):
        samples = ids((None, "a"), (None, "b"))
        assert match_samples(samples, ids(("f", "b"), ("f", "c")), "t").tolist() == [-1, 0]

    def test_ambiguous_iid(self):
        samples = ids(("f", "a"), ("g", "a"), ("h", "b"))
        with pytest.raises(
            SampleMatchError, match=r"y\.tsv: expected .* found IID 'a' for several"
        ):
            match_samples(samples, ids((None, "b"), (None, "a")), "y.tsv")
        assert match_samples(samples, ids((None, "b")), "y.tsv").tolist() == [-1, -1, 0]

    def test_repeated_in_the_table(self):
        with pytest.raises(SampleMatchError, match=r"found FID 'f' IID 'a' more than once"):
            match_samples(ids(("f", "a")), ids(("f", "a"), ("f", "a")), "t")
        several = ids(("f", "c"), ("f", "a"), ("f", "b"), ("f", "b"), ("f", "a"))
        with pytest.raises(SampleMatchError, match=r"found FID 'f' IID 'a' more than once"):
            match_samples(ids(("f", "c")), several, "t")

    def test_nothing_matches(self):
        with pytest.raises(SampleMatchError) as caught:
            match_samples(ids(("f", "007")), ids(("f", "7")), "phenotypes y.tsv")
        assert str(caught.value).startswith("phenotypes y.tsv: expected samples of the genotypes ")
        assert "(the first is FID 'f' IID '007')" in str(caught.value)
        assert "(the first is FID 'f' IID '7')" in str(caught.value)
        assert "IID alone" not in str(caught.value)

    def test_hint_if_iids_would_match(self):
        samples = ids(("f", "a"), ("f", "b"), ("f", "c"))
        with pytest.raises(SampleMatchError, match=r"2 of 3 samples would match by IID alone"):
            match_samples(samples, ids(("0", "a"), ("0", "c"), ("0", "d")), "t")

    def test_empty_table(self):
        with pytest.raises(SampleMatchError, match=r"found none of them \(the first is none\)"):
            match_samples(ids(("f", "a")), ids(), "t")

    @given(
        st.lists(
            st.tuples(st.sampled_from("fg"), st.sampled_from("abcde")), min_size=1, unique=True
        ),
        st.permutations([(fid, iid) for fid in "fg" for iid in "abc"]),
    )
    def test_every_index_points_to_the_same_ids(self, samples, table):
        if not set(samples) & set(table):
            return
        index = match_samples(ids(*samples), ids(*table), "t")
        for sample, row in zip(samples, index, strict=True):
            assert table[row] == sample if row >= 0 else sample not in table

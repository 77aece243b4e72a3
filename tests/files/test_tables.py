"""Reading tables and id lists, joining samples, and every way in which they may be wrong."""

import gzip
from functools import partial

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import refused

from lmmlasso_fast.errors import (
    CovariateError,
    DataWarning,
    PhenotypeError,
    TableError,
)
from lmmlasso_fast.io.tables import (
    encode_covariates,
    expand_names,
    read_covariates,
    read_phenotypes,
    read_table,
)

pytestmark = pytest.mark.promise("any-bytes")

TABLE = "FID IID Y Z\nf1 a 1.5 NA\nf1 b 2 x\n"


@pytest.fixture
def write(tmp_path):
    def write(content, name="table.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


class TestReadTable:
    refused = staticmethod(partial(refused, read_table, error=TableError))

    def test_all_text(self, write):
        table = read_table(write(TABLE))
        assert table.schema == dict.fromkeys(["FID", "IID", "Y", "Z"], pl.String)
        assert table.rows() == [("f1", "a", "1.5", "NA"), ("f1", "b", "2", "x")]

    @pytest.mark.parametrize(
        "content",
        [
            TABLE.replace("\n", "\r\n"),
            TABLE.removesuffix("\n"),
            TABLE.replace("\n", "\r\n").removesuffix("\n"),
            TABLE.replace(" ", "\t"),
            TABLE.replace(" ", "\t \t").replace("\n", " \n\t"),
            TABLE.replace(" ", "  ").replace("IID  Y", "IID\tY"),
            "\n \r\n" + TABLE.replace("\n", "\n\t\n\n"),
            TABLE.replace("FID", "#FID"),
            b"\xef\xbb\xbf" + TABLE.encode(),
            gzip.compress(TABLE.encode()),
        ],
        ids=[
            *("crlf", "no_final_newline", "no_final_lf", "tabs", "mixed", "mixed_header"),
            *("blank_lines", "hash", "bom", "gzip"),
        ],
    )
    def test_accepted_variants(self, write, content):
        assert read_table(write(content)).equals(read_table(write(TABLE, "plain.txt")))

    def test_gz_by_name(self, write):
        assert read_table(write(gzip.compress(TABLE.encode()), "t.gz")).height == 2

    @pytest.mark.parametrize("header", ["IID", "#IID"])
    def test_without_fid(self, write, header):
        table = read_table(write(f"{header} Y\na 1\n"))
        assert table.rows() == [(None, "a", "1")]
        assert table.schema["FID"] == pl.String

    def test_ids_stay_text(self, write):
        table = read_table(write("FID IID Y\n007 1e5 1\n7 0.10 2\nNA nan 3\n"))
        assert table["FID"].to_list() == ["007", "7", "NA"]
        assert table["IID"].to_list() == ["1e5", "0.10", "nan"]

    def test_hostile_fields_are_only_text(self, write):
        names = ['"a', "=cmd()", "<script>", "../../x", "\x1b[31m", "#x", "é"]
        table = read_table(write("IID\tY\n" + "".join(f"{x}\t{x}\n" for x in names)))
        assert table["IID"].to_list() == table["Y"].to_list() == names

    def test_tabs_allow_empty_fields_and_spaces(self, write):
        table = read_table(write("FID\tIID\tflowering time\tZ\nf\ta b\t\t x y \n\n\t\t\t\n"))
        assert table.rows(named=True) == [
            {"FID": "f", "IID": "a b", "flowering time": None, "Z": "x y"}
        ]

    def test_mixed_blanks_in_header_mean_runs_of_blanks(self, write):
        assert read_table(write("FID IID\tY\nf\ta  1\n")).rows() == [("f", "a", "1")]

    @pytest.mark.parametrize(
        ("row", "found"), [("f1 c 1", "3"), ("f1 c 1 2 3", "5"), ("f1\t\tc\t1", "3")]
    )
    def test_wrong_column_count(self, write, row, found):
        self.refused(
            write(f"{TABLE}\n{row}\n"), line=5, expected="4 separated by spaces", found=found
        )

    def test_wrong_column_count_with_tabs(self, write):
        path = write("FID\tIID\tY\nf\ta\t1\nf b 2\n")
        self.refused(path, line=3, expected="3 separated by tabs (as the header has", found="1")

    def test_nul(self, write):
        self.refused(write(TABLE + "f\0 c 1 2\n"), line=4, expected="UTF-8", found="a NUL byte")

    def test_not_utf8(self, write):
        self.refused(
            write(TABLE.encode() + b"f \xe9 1 2\n"), line=4, expected="UTF-8", found="0xe9"
        )

    def test_carriage_returns_only(self, write):
        self.refused(write(TABLE.replace("\n", "\r")), line=1, expected="", found="carriage return")

    @pytest.mark.parametrize("content", ["", "\n \n"])
    def test_empty(self, write, content):
        self.refused(write(content), expected="at least one line", found="none")

    def test_header_only(self, write):
        self.refused(write("FID IID Y\n\n"), expected="at least one line after", found="none")

    def test_absent(self, tmp_path):
        self.refused(tmp_path / "absent", expected="readable", found="No such file")

    @pytest.mark.parametrize("header", ["f1 a 1", "fid iid y", "IDs FID IID", "FID Y IID", "#IDs"])
    def test_no_header(self, write, header):
        n_more = len(header.split()) - 1
        path = write(f"\n{header}\nx{' 1' * n_more}\n")
        self.refused(path, line=2, expected="'FID IID'", found=repr(header))

    @pytest.mark.parametrize("header", ["FID IID Y Z Y", "FID IID FID", "FID IID IID", "IID FID"])
    def test_repeated_column(self, write, header):
        repeated = header.split()[-1]
        row = " ".join("abcde"[: len(header.split())])
        self.refused(write(f"{header}\n{row}\n"), line=1, expected="no other", found=repr(repeated))

    def test_column_without_name(self, write):
        self.refused(write("FID\tIID\t\tZ\na\tb\tc\td\n"), line=1, expected="", found="no name")

    def test_duplicated_samples(self, write):
        self.refused(
            write(TABLE + "\nf2 a 1 2\nf1 a 1 2\nf1 b 1 2\n"),
            line=6,
            expected="every sample once",
            found="FID 'f1' IID 'a' in lines 2 and 6",
        )

    def test_duplicated_samples_without_fid(self, write):
        self.refused(
            write("IID\nx\ny\nx\n"), line=4, expected="once", found="IID 'x' in lines 2 and 4"
        )

    @pytest.mark.parametrize(("row", "column"), [("\ta\t1", "FID"), ("f\t \t1", "IID")])
    def test_empty_id(self, write, row, column):
        path = write(f"FID\tIID\tY\nf\tb\t1\n\n{row}\n")
        self.refused(path, line=4, expected=f"column {column}", found="an empty field")


cell = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\n\t \ufeff"), min_size=1, max_size=4
)


@given(
    rows=st.lists(st.tuples(cell, cell, cell), min_size=1, max_size=5, unique_by=lambda r: r[:2]),
    separators=st.lists(st.text(" \t", min_size=1, max_size=3), min_size=3, max_size=9),
    line_end=st.sampled_from(["\n", "\r\n", " \n", "\n\n"]),
)
def test_read_table_returns_what_was_written(tmp_path_factory, rows, separators, line_end):
    path = tmp_path_factory.mktemp("tables") / "table.txt"
    content = f"FID IID Y{line_end}"
    for k, (fid, iid, y) in enumerate(rows):
        between = separators[k % len(separators)]
        content += fid + between + iid + between + y + line_end
    path.write_bytes(content.encode())
    assert read_table(path).rows() == rows


@pytest.mark.parametrize("read", [read_phenotypes, read_covariates])
class TestNumbers:
    """What phenotypes and covariates have in common."""

    @staticmethod
    def error(read):
        return PhenotypeError if read is read_phenotypes else CovariateError

    def test_numbers_and_missing(self, write, read):
        values = ["1.5", "-2", "1e-3", "+7", "007", "NA", "nan", "NaN", "-nan", "na", ".", ""]
        path = write("FID\tIID\tY\n" + "".join(f"f\t{k}\t{v}\n" for k, v in enumerate(values)))
        table = read(path)
        assert table.schema == {"FID": pl.String, "IID": pl.String, "Y": pl.Float64}
        assert table["Y"].to_list() == [1.5, -2, 1e-3, 7, 7, *[None] * 7]

    def test_all_missing(self, write, read):
        assert read(write("IID Y\na NA\n"))["Y"].to_list() == [None]

    def test_names_choose_and_order(self, write, read):
        path = write("FID IID A PC1 PC2 text\nf a 1 2 3 4\n")
        assert read(path, "PC{1:2},A").columns == ["FID", "IID", "PC1", "PC2", "A"]
        assert read(path, ["text", "A"]).columns == ["FID", "IID", "text", "A"]

    def test_absent_name(self, write, read):
        path = write("FID IID height LDL HDL\nf a 1 2 3\n")
        refused(
            lambda path: read(path, "LDLL"),
            path,
            TableError,
            expected="one of 'LDL', 'HDL', 'height'",
            found="'LDLL'",
        )

    def test_ids_are_no_values(self, write, read):
        path = write("FID IID Y\nf a 1\n")
        refused(lambda path: read(path, "FID"), path, TableError, expected="'Y'", found="'FID'")

    def test_many_columns_are_not_all_listed(self, write, read):
        path = write("IID " + " ".join(f"c{k}" for k in range(50)) + "\na" + " 1" * 50 + "\n")
        refused(
            lambda path: read(path, "c77"), path, TableError, expected="and 30 more", found="'c77'"
        )

    def test_no_columns(self, write, read):
        refused(read, write("FID IID\nf a\n"), TableError, expected="at least one", found="none")

    @pytest.mark.parametrize("value", ["inf", "-inf", "Infinity", "1e999"])
    def test_infinite(self, write, read, value):
        path = write(f"FID IID Y Z\nf a 1 2\n\nf b 1 {value}\n")
        refused(read, path, self.error(read), line=4, expected="finite", found=repr(value))
        with pytest.raises(self.error(read), match="column 'Z'"):
            read(path)

    @pytest.mark.parametrize("value", ["-9", "-9.0", "-9e0"])
    def test_minus_nine_needs_a_meaning(self, write, read, value):
        path = write(f"FID IID Y\nf a 1\nf b {value}\nf c 3\n")
        refused(read, path, self.error(read), line=3, expected="meaning is known", found=value)
        with pytest.raises(self.error(read), match="--missing-code -9 or --missing-code none"):
            read(path)
        with pytest.raises(self.error(read), match="line 3: column 'Y'"):
            read(path, missing_codes=["-99"])
        assert read(path, missing_codes=["-9"])["Y"].to_list() == [1, None, 3]
        assert read(path, missing_codes=["none"])["Y"].to_list() == [1, -9, 3]
        assert read(path, missing_codes="none")["Y"].to_list() == [1, -9, 3]

    def test_minus_nine_in_a_column_that_is_not_read(self, write, read):
        assert read(write("IID Y Z\na 1 -9\n"), "Y")["Y"].to_list() == [1]

    def test_a_missing_code_is_a_number_where_a_value_is(self, write, read):
        path = write("IID Y\na 10\nb 1\nc 12\n")
        assert read(path, missing_codes=["1_0", "١٢"])["Y"].to_list() == [10, 1, 12]
        assert read(path, missing_codes=["1e1", "+1"])["Y"].to_list() == [None, None, 12]

    def test_missing_codes(self, write, read):
        path = write("IID Y\na -99\nb 99\nc unknown\nd -99.00\n")
        assert read(path, missing_codes=["-99", "unknown"])["Y"].to_list() == [None, 99, None, None]
        assert read(path, missing_codes=[99, "unknown"])["Y"].to_list() == [-99, None, None, -99]

    def test_a_code_may_be_infinite(self, write, read):
        assert read(write("IID Y\na inf\nb 1\n"), missing_codes=["inf"])["Y"].to_list() == [None, 1]


@pytest.mark.parametrize("value", ["x", "1,5", "1_000", "0x10", "N/A", "--"])
def test_phenotype_text(write, value):
    path = write(f"FID IID Y\nf a NA\n\nf b 1\nf c {value}\nf d y\n")
    refused(read_phenotypes, path, PhenotypeError, line=5, expected="a number", found=repr(value))
    with pytest.raises(PhenotypeError, match="column 'Y'"):
        read_phenotypes(path)


def test_covariate_text_is_categorical(write):
    table = read_covariates(write("IID sex age batch\na M 1 b1\nb NA NA 2\nc F 3 inf\n"))
    assert table["sex"].to_list() == ["M", None, "F"]
    assert table["age"].to_list() == [1, None, 3]
    assert table["batch"].to_list() == ["b1", "2", "inf"]


def test_covariate_text_with_codes(write):
    path = write("IID sex\na M\nb -9\nc none\n")
    refused(read_covariates, path, CovariateError, line=3, expected="", found="'-9'")
    assert read_covariates(path, missing_codes=["-9"])["sex"].to_list() == ["M", None, "none"]
    assert read_covariates(path, missing_codes=["none"])["sex"].to_list() == ["M", "-9", None]


class TestExpandNames:
    @pytest.mark.parametrize(
        ("names", "expanded"),
        [
            ("a", ["a"]),
            ("a,b", ["a", "b"]),
            (" a , b ", ["a", "b"]),
            (["a,b", "c"], ["a", "b", "c"]),
            ("PC{1:3}", ["PC1", "PC2", "PC3"]),
            ("sex,PC{9:10}_x,age", ["sex", "PC9_x", "PC10_x", "age"]),
            ("{1:2}", ["1", "2"]),
            ("PC{2:2}", ["PC2"]),
            ("b,a,b", ["b", "a"]),
            ("PC2,PC{1:3}", ["PC2", "PC1", "PC3"]),
            ("a:b", ["a:b"]),
        ],
    )
    def test_valid(self, names, expanded):
        assert expand_names(names) == expanded

    @pytest.mark.parametrize(
        "names", ["", "a,", ",", [], "PC{3:1}", "PC{1-3}", "PC{1:3", "PC1:3}", "{1:2}{1:2}", "{}"]
    )
    def test_invalid(self, names):
        with pytest.raises(TableError, match=r"column names .*: expected a name, or a range"):
            expand_names(names)


class TestEncodeCovariates:
    def test_numbers_and_indicators(self):
        frame = pl.DataFrame(
            {
                "age": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
                "site": ["b", "a", "c", "b", "c", "a"],
                "sex": ["M", "F", "F", "M", "M", "M"],
                "n": [1, 2, 3, 4, 5, 6],
                "smoker": [True, False, True, False, True, True],
            }
        )
        matrix, names = encode_covariates(frame)
        assert names == ["age", "site=b", "site=c", "sex=M", "n", "smoker"]
        assert matrix.dtype == np.float64
        expected = [
            [1, 2, 3, 4, 5, 6],
            [1, 0, 0, 1, 0, 0],
            [0, 0, 1, 0, 1, 0],
            [1, 0, 0, 1, 1, 1],
            [1, 2, 3, 4, 5, 6],
            [1, 0, 1, 0, 1, 1],
        ]
        np.testing.assert_array_equal(matrix.T, expected)

    def test_input_is_not_changed(self):
        frame = pl.DataFrame({"age": [1.0, 2.0]})
        encode_covariates(frame)[0][:] = 7
        assert frame["age"].to_list() == [1, 2]

    def test_one_level_is_left_out_with_a_warning(self):
        frame = pl.DataFrame({"sex": ["M", "M"], "age": [1.0, 2.0]})
        with pytest.warns(DataWarning, match=r"'sex' is left out: .* one level 'M' in all 2"):
            matrix, names = encode_covariates(frame)
        assert names == ["age"]
        assert matrix.shape == (2, 1)

    def test_missing_values_are_refused(self):
        with pytest.raises(CovariateError, match=r"'sex': expected no missing value, found 1 "):
            encode_covariates(pl.DataFrame({"sex": ["M", None, "F", "F"]}))

    @pytest.mark.parametrize(("n_levels", "n_samples"), [(51, 1000), (3, 5)])
    def test_too_many_levels(self, n_levels, n_samples):
        levels = [f"l{k % n_levels}" for k in range(n_samples)]
        with pytest.raises(CovariateError, match=rf"'c': .*found {n_levels} levels in {n_samples}"):
            encode_covariates(pl.DataFrame({"c": levels}))

    def test_as_many_levels_as_allowed(self):
        frame = pl.DataFrame({"c": [f"l{k % 50}" for k in range(100)]})
        assert encode_covariates(frame)[0].shape == (100, 49)

    @given(st.lists(st.sampled_from("abcd"), min_size=8, max_size=20))
    def test_indicators_name_every_sample(self, levels):
        first = min(levels)
        if len(set(levels)) == 1:
            return
        matrix, names = encode_covariates(pl.DataFrame({"c": levels}))
        for row, level in zip(matrix, levels, strict=True):
            named = [name for name, value in zip(names, row, strict=True) if value]
            assert named == ([] if level == first else [f"c={level}"])


@pytest.mark.parametrize(
    ("name", "column", "n_values"),
    [("mouse_hs1940", "CD8", 1410), ("arabidopsis_84", "avrRpm1", 84)],
)
def test_real_phenotypes(data_dir, name, column, n_values):
    table = read_phenotypes(data_dir / name / "phenotypes.tsv", column)
    assert table[column].count() == n_values


def test_real_covariates(data_dir):
    table = read_covariates(
        data_dir / "mouse_hs1814" / "phenotypes.tsv", "GENDER,Litter,CoatColour"
    )
    assert table.schema["GENDER"] == pl.String
    matrix, names = encode_covariates(table.drop("FID", "IID").drop_nulls())
    assert matrix.shape[1] == len(names)
    assert "GENDER=M" in names


def test_a_header_with_tabs_and_spaces_is_told_so(tmp_path):
    (tmp_path / "t.tsv").write_text("FID IID\tbody weight\nf i\t2\n")
    with pytest.raises(TableError, match=r"spaces or tabs .the first line has both, so that each"):
        read_table(tmp_path / "t.tsv")
    (tmp_path / "t.tsv").write_text("FID IID Y\nf i\n")
    with pytest.raises(TableError, match="expected 3 separated by spaces or tabs, found 2"):
        read_table(tmp_path / "t.tsv")

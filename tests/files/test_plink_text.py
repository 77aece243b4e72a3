"""Reading .fam and .bim, and every way in which they may be wrong."""

import gzip
from functools import partial

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import refused

from lmmlasso_fast.errors import PlinkFormatError
from lmmlasso_fast.io.plink_text import read_bim, read_fam

pytestmark = pytest.mark.promise("any-bytes")

FAM = "f1 a 0 0 1 1.5\nf1 b 0 0 2 -9\n"
BIM = "1\trs1\t0\t100\tA\tG\nX\trs2\t0.5\t-200\tT\tC\n"

refused_fam = partial(refused, read_fam, error=PlinkFormatError)
refused_bim = partial(refused, read_bim, error=PlinkFormatError)


@pytest.fixture
def write(tmp_path):
    def write(content, name="x.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_fam(write):
    samples = read_fam(write(FAM))
    assert samples.schema == {"FID": pl.String, "IID": pl.String, "PHENO": pl.String}
    assert samples.rows() == [("f1", "a", "1.5"), ("f1", "b", "-9")]


def test_fam_ids_stay_text(write):
    samples = read_fam(write("007 1e5 0 0 0 NA\n7 0x1F 0 0 0 -9\nNA nan 0 0 0 1\n"))
    assert samples["FID"].to_list() == ["007", "7", "NA"]
    assert samples["IID"].to_list() == ["1e5", "0x1F", "nan"]


def test_fam_hostile_ids_are_only_text(write):
    ids = ['"a', "=cmd()", "<script>", "../../x", "\x1b[31m", "#x", "é", "a\u00a0b", "a\x0bb"]
    samples = read_fam(write("".join(f"{name} {name} 0 0 0 -9\n" for name in ids)))
    assert samples["IID"].to_list() == ids


def test_fam_more_than_six_columns(write):
    assert read_fam(write("f a 0 0 1 1.5 2.5 NA\n")).rows() == [("f", "a", "1.5")]


@pytest.mark.parametrize(
    "content",
    [
        FAM.replace("\n", "\r\n"),
        FAM.removesuffix("\n"),
        FAM.replace("\n", "\r\n").removesuffix("\n"),
        FAM.replace(" ", "\t"),
        FAM.replace("f1 ", "  f1 \t ").replace("\n", " \t\n"),
        "\n \n" + FAM.replace("\n", "\n\t\n\n"),
        b"\xef\xbb\xbf" + FAM.encode(),
        gzip.compress(FAM.encode()),
    ],
    ids=["crlf", "no_final_newline", "no_final_lf", "tabs", "mixed", "blank_lines", "bom", "gzip"],
)
def test_fam_accepted_variants(write, content):
    assert read_fam(write(content)).equals(read_fam(write(FAM, "plain.txt")))


def test_fam_five_columns(write):
    refused_fam(write("f a 0 0 1\n"), line=1, expected="six or more", found="5")


def test_fam_ragged(write):
    refused_fam(
        write("f a 0 0 1 2\n\nf b 0 0 1\n"), line=3, expected="6 separated by spaces", found="5"
    )


def test_fam_duplicates(write):
    refused_fam(
        write("\nf a 0 0 1 2\nf b 0 0 1 2\ng a 0 0 1 2\n\nf a 0 0 2 3\n"),
        line=6,
        expected="every sample once",
        found="FID 'f' IID 'a' in lines 2 and 6",
    )


@pytest.mark.parametrize(("read", "valid"), [(read_fam, FAM), (read_bim, BIM)])
class TestBytes:
    """What no text file may contain, for both files."""

    def test_nul(self, write, read, valid):
        path = write(valid + valid.replace("1", "\0", 1))
        refused(read, path, PlinkFormatError, line=3, expected="UTF-8 text", found="a NUL byte")

    def test_not_utf8(self, write, read, valid):
        path = write(valid.encode() + b"\xe9" + valid.encode())
        refused(read, path, PlinkFormatError, line=3, expected="UTF-8", found="the byte 0xe9")

    def test_carriage_return_inside(self, write, read, valid):
        path = write(valid.replace("\n", "\r"))
        refused(read, path, PlinkFormatError, line=1, expected=r"\r\n", found="a carriage return")

    def test_first_defect_is_named(self, write, read, valid):
        path = write(valid.encode() + b"\xff\n\0\n")
        refused(read, path, PlinkFormatError, line=3, expected="UTF-8", found="0xff")

    @pytest.mark.parametrize("content", ["", "\n\n", " \t\r\n"])
    def test_empty(self, write, read, valid, content):
        refused(read, write(content), PlinkFormatError, expected="at least one line", found="none")

    def test_absent(self, tmp_path, read, valid):
        path = tmp_path / "absent"
        refused(read, path, PlinkFormatError, expected="readable", found="No such file")

    def test_directory(self, tmp_path, read, valid):
        refused(read, tmp_path, PlinkFormatError, expected="readable", found="directory")

    def test_truncated_gzip(self, write, read, valid):
        path = write(gzip.compress(valid.encode())[:-9])
        refused(read, path, PlinkFormatError, expected="plain or compressed", found="ended")

    def test_named_gz_but_plain(self, write, read, valid):
        path = write(valid, "x.gz")
        refused(
            read, path, PlinkFormatError, expected="plain or compressed", found="Not a gzipped file"
        )


def test_bim(write):
    variants = read_bim(write(BIM))
    assert variants.schema == {
        "CHROM": pl.String,
        "ID": pl.String,
        "CM": pl.Float64,
        "POS": pl.Int64,
        "A1": pl.String,
        "A2": pl.String,
    }
    assert variants.rows() == [
        ("1", "rs1", 0.0, 100, "A", "G"),
        ("X", "rs2", 0.5, -200, "T", "C"),
    ]


def test_bim_ids_and_chromosomes_stay_text(write):
    variants = read_bim(write("01\t007\t0\t1\t1\t2\nscaffold_9\t.\tNA\t1\t<DEL>\t*\n"))
    assert variants["CHROM"].to_list() == ["01", "scaffold_9"]
    assert variants["ID"].to_list() == ["007", "."]
    assert variants["CM"].to_list() == [0.0, None]
    assert variants["A1"].to_list() == ["1", "<DEL>"]


def test_bim_large_position(write):
    assert read_bim(write("1 a 0 9007199254740993 A G\n"))["POS"].item() == 9007199254740993


def test_bim_repeated_ids_are_accepted(write):
    assert read_bim(write("1 . 0 1 A G\n1 . 0 2 A G\n")).height == 2


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("1 rs3 0 3 A", "5"),
        ("1 rs3 0 3 A G x", "7"),
        ("1\t\t0\t3\tA\tG", "5"),
        ("chr 1\trs3\t0\t3\tA\tG", "7"),  # a space separates as a tab does, for PLINK too
    ],
)
def test_bim_wrong_column_count(write, row, found):
    refused_bim(write(f"{BIM}\n{row}\n{BIM}"), line=4, expected="6 separated", found=found)


def test_bim_wrong_column_count_everywhere(write):
    refused_bim(write("1 rs1 3 A G\n1 rs2 4 A G\n"), line=1, expected="6 separated", found="5")


def test_bim_one_field_too_many_does_not_hide_one_too_few(write):
    refused_bim(write("1 a 0 1 A G\n1 b 0 A G\n1 c 0 3 A G x\n"), line=2, expected="6", found="5")
    refused_bim(write("1 a 0 1 A G\n1 c 0 3 A G x\n1 b 0 A G\n"), line=2, expected="6", found="7")


@pytest.mark.parametrize("position", ["1.5", "1e6", "NA", "chr1", "99999999999999999999"])
def test_bim_bad_position(write, position):
    refused_bim(
        write(f"{BIM}\n1 rs3 0 {position} A G\n"),
        line=4,
        expected="a position in base pairs, a whole number",
        found=repr(position),
    )


def test_bim_bad_centimorgans(write):
    refused_bim(write("1 rs3 x 3 A G\n"), line=1, expected="centimorgans", found="'x'")


def test_long_and_control_characters_do_not_reach_the_message(write):
    refused_bim(write(f"1 a 0 \x1b{'9' * 1000} A G\n"), line=1, expected="", found="'\\x1b999")


field = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\n\t \ufeff"), min_size=1, max_size=5
)
rows = st.lists(
    st.tuples(field, field, st.integers(-(2**63), 2**63 - 1), field, field), min_size=1, max_size=5
)
blanks = st.text(" \t", min_size=1, max_size=3)


@given(rows=rows, data=st.data())
def test_bim_blanks_do_not_matter(tmp_path_factory, rows, data):
    """The plain tab-separated file and any mixture of blanks give the same table."""
    rows = [(chrom, name, "0", str(pos), a1, a2) for chrom, name, pos, a1, a2 in rows]
    folder = tmp_path_factory.mktemp("bim", numbered=True)
    plain, mixed = folder / "plain.bim", folder / "mixed.bim"
    plain.write_bytes("".join("\t".join(row) + "\n" for row in rows).encode())
    content = ""
    for row in rows:
        content += data.draw(st.sampled_from(["", " ", "\t ", "\n", " \r\n"]))
        content += row[0] + "".join(data.draw(blanks) + value for value in row[1:])
        content += data.draw(st.sampled_from(["\n", "\r\n", " \t\n", "\n\n"]))
    mixed.write_bytes(content.encode())
    expected = [(chrom, name, 0.0, int(pos), a1, a2) for chrom, name, _, pos, a1, a2 in rows]
    assert read_bim(plain).rows() == expected
    assert read_bim(mixed).rows() == expected


@pytest.mark.parametrize(
    ("name", "n_samples", "n_variants"),
    [
        ("mouse_hs1940", 1940, 12226),
        ("mouse_hs1814", 1814, 10346),
        ("arabidopsis_chr5", 162, 53859),
        ("arabidopsis_84", 84, 216100),
    ],
)
def test_real_files(data_dir, name, n_samples, n_variants):
    prefix = data_dir / name / name
    assert read_fam(prefix.with_suffix(".fam")).height == n_samples
    variants = read_bim(prefix.with_suffix(".bim"))
    assert variants.height == n_variants
    assert not variants["POS"].null_count()

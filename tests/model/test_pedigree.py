"""Kinship from pedigrees: the method, the files, and pedigrees that cannot be."""

import re

import numpy as np
import polars as pl
import pytest
import reference as ref
from cli_files import lmmlasso, log
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast as ll
from lmmlasso_fast.errors import KinshipError, SampleMatchError, TableError
from lmmlasso_fast.io.kinship_files import load_kinship

pytestmark = pytest.mark.promise("peers")


def table(*rows):
    schema = dict.fromkeys(("FID", "IID", "FATHER", "MOTHER"), pl.String)
    return pl.DataFrame([row.split() for row in rows], schema=schema, orient="row")


def two_phi(*rows, of=None):
    pedigree = table(*rows)
    samples = None
    if of is not None:
        samples = pl.DataFrame({"FID": ["f"] * len(of.split()), "IID": of.split()})
    K = ll.pedigree_kinship(pedigree, samples)
    return K.matrix * K.scale


FAMILY = ("f dad 0 0", "f mum 0 0", "f a dad mum", "f b dad mum", "f c dad other")


def test_a_family():
    found = two_phi(*FAMILY, of="dad a b c")
    expected = [[1, 0.5, 0.5, 0.5], [0.5, 1, 0.5, 0.25], [0.5, 0.5, 1, 0.25], [0.5, 0.25, 0.25, 1]]
    assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("rows", "of", "expected"),
    [
        ((*FAMILY, "f x a b"), "x a", [[1.25, 0.75], [0.75, 1]]),  # of full sibs
        ((*FAMILY, "f x dad a"), "x", [[1.25]]),  # of father and daughter
        ((*FAMILY, "f x a c"), "x", [[1.125]]),  # of half sibs
        (("f x s s", "f y x x", "f s 0 0"), "x y", [[1.5, 1.5], [1.5, 1.75]]),  # selfing
        (("f x dad 0", "f y dad 0"), "x y", [[1, 0.25], [0.25, 1]]),  # one parent known
        (("f x NA 0",), "x", [[1]]),
    ],
)
def test_by_hand(rows, of, expected):
    assert_allclose(two_phi(*rows, of=of), expected)


def test_identical_in_any_order_of_rows_and_samples():
    rows = [*FAMILY, "f x a b", "f y x c", "f lonely 0 0"]
    expected = two_phi(*rows)
    permutation = np.random.default_rng(0).permutation(len(rows))
    found = two_phi(*(rows[k] for k in permutation))
    assert_array_equal(found, expected[np.ix_(permutation, permutation)])
    assert_array_equal(two_phi(*rows, of="y lonely a"), expected[np.ix_([6, 7, 2], [6, 7, 2])])


@given(st.data())
def test_any_pedigree_is_the_recursion(data):
    """Several families, inbreeding, selfing, unknown parents; children may come first."""
    n = data.draw(st.integers(1, 12))
    parents = []
    for k in range(n):
        one = st.one_of(st.none(), st.integers(0, k - 1)) if k else st.none()
        parents.append((data.draw(one), data.draw(one)))
    rows = [
        " ".join(["f", f"i{k}", *("0" if p is None else f"i{p}" for p in pair)])
        for k, pair in enumerate(parents)
    ]
    order = data.draw(st.permutations(range(n)))
    chosen = data.draw(st.lists(st.sampled_from(range(n)), min_size=1, unique=True))
    found = two_phi(*(rows[k] for k in order), of=" ".join(f"i{k}" for k in chosen))
    expected = ref.kinship_pedigree(parents)[np.ix_(chosen, chosen)]
    assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    assert np.linalg.eigvalsh(found)[0] > -1e-12


def test_genes_dropped_through_the_pedigree():
    """The realised relationship of many loci tends to the expected one."""
    rows = [*FAMILY, "f x a b", "f y x c"]
    parents = [(None, None), (None, None), (0, 1), (0, 1), (0, 7), (2, 3), (5, 4), (None, None)]
    rng = np.random.default_rng(3)
    n_loci = 20_000
    genes = np.zeros((8, 2, n_loci), dtype=int)
    for k in [0, 1, 7, 2, 3, 4, 5, 6]:
        for side, parent in enumerate(parents[k]):
            if parent is None:
                genes[k, side] = 2 * k + side
            else:
                genes[k, side] = genes[parent, rng.integers(0, 2, n_loci), np.arange(n_loci)]
    same = (genes[:, None, :, None] == genes[None, :, None]).mean(axis=(2, 3, 4))
    assert_allclose(2 * same[:7, :7], two_phi(*rows), atol=0.02)


def test_what_comes_back():
    samples = pl.DataFrame({"FID": ["f", "f"], "IID": ["x", "a"]})
    K = ll.pedigree_kinship(table(*FAMILY, "f x a b"), samples)
    assert (K.estimator, K.n_variants, K.scale) == ("pedigree", None, 1.125)
    assert K.samples.equals(samples)
    assert_allclose(np.mean(np.diag(K.matrix)), 1)


def test_families_are_apart():
    """The same name in another family is somebody else; fathers are of the child's family."""
    K = ll.pedigree_kinship(table("f a 0 0", "g a 0 0", "f b a 0", "g b a 0"))
    assert_allclose(K.matrix, [[1, 0, 0.5, 0], [0, 1, 0, 0.5], [0.5, 0, 1, 0], [0, 0.5, 0, 1]])


def test_samples_without_family_ids():
    samples = pl.DataFrame(
        {"FID": [None, None], "IID": ["b", "a"]}, schema_overrides={"FID": pl.String}
    )
    K = ll.pedigree_kinship(table(*FAMILY), samples)
    assert_allclose(K.matrix, [[1, 0.5], [0.5, 1]])


def test_many_small_families():
    """Work and memory grow with the largest family, not with all of them together."""
    n = 3000
    rows = {"FID": np.repeat(np.arange(n // 3), 3).astype(str)}
    rows |= {"IID": ["d", "a", "b"] * (n // 3), "FATHER": ["0", "d", "d"] * (n // 3)}
    pedigree = pl.DataFrame(rows).with_columns(MOTHER=pl.lit("0"))
    K = ll.pedigree_kinship(pedigree)
    one = [[1, 0.5, 0.5], [0.5, 1, 0.25], [0.5, 0.25, 1]]
    assert_allclose(K.matrix[-3:, -3:], one)
    assert np.count_nonzero(K.matrix) == 9 * n // 3


# ---- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "loop"),
    [
        (("f a a 0",), "'f a' > 'f a'"),
        (("f a b 0", "f b 0 a"), "'f a' > 'f b' > 'f a'"),
        (("f z a 0", "f a b 0", "f b c q", "f c 0 a", "f q 0 0"), "'f a' > 'f b' > 'f c' > 'f a'"),
    ],
)
def test_a_loop_is_named(rows, loop):
    with pytest.raises(
        KinshipError, match=re.escape(f"among its own ancestors, found the loop {loop} (")
    ):
        two_phi(*rows)


def test_loops_of_marriage_are_none():
    """Cousins that marry close a circle of relatives, but nobody is their own ancestor."""
    rows = [*FAMILY, "f p a u", "f q b v", "f child p q"]
    assert_allclose(two_phi(*rows, of="child"), [[1 + 0.125 / 2]])


def test_refused():
    with pytest.raises(KinshipError, match="every individual once, found 'f a' in rows 1 and 2"):
        two_phi("f a 0 0", "f a x 0")
    with pytest.raises(KinshipError, match=r"expected all 2 samples, found 1; the first .* 'f z'"):
        two_phi(*FAMILY, of="a z")
    with pytest.raises(SampleMatchError):
        two_phi(*FAMILY, of="z")
    with pytest.raises(KinshipError, match="found none named MOTHER"):
        ll.pedigree_kinship(table(*FAMILY).drop("MOTHER"))
    with pytest.raises(KinshipError, match=re.escape(r"'f \x1b[31m' > ")):
        two_phi("f \x1b[31m \x1b[31m 0")


# ---- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", "FID IID FATHER MOTHER\n", "#FID\tIID\tPAT\tMAT\n"])
def test_read(tmp_path, header):
    (tmp_path / "p").write_text(header + "f  007 0 m\r\n\nf m 0 0\n")
    assert ll.read_pedigree(tmp_path / "p").equals(table("f 007 0 m", "f m 0 0"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f a 0\n", "wrong number of columns: expected four or more (FID, IID, father, mother)"),
        ("f a 0 0\nf b 0\n", "line 2: wrong number of columns"),
        ("f a 0 0\nf a 0 0\n", "line 2: duplicated sample"),
        ("", "the file is empty"),
    ],
)
def test_bad_files(tmp_path, text, message):
    (tmp_path / "p").write_text(text)
    with pytest.raises(TableError, match=re.escape(message)):
        ll.read_pedigree(tmp_path / "p")


# ---- the command line ----------------------------------------------------------------------------


def test_command(small, tmp_path):
    kinship = ["kinship", "--bfile", small.prefix, "--estimator", "pedigree"]
    err = lmmlasso(*kinship, "--out", tmp_path / "K")
    assert "warning: the kinship is the identity" in err
    ids = small.samples.select("FID", "IID").rows()
    lines = [f"{fid} {iid} p{k % 2} 0\n" for k, (fid, iid) in enumerate(ids)]
    (tmp_path / "ped").write_text("".join(lines))
    (tmp_path / "keep").write_text("".join(f"{fid} {iid}\n" for fid, iid in ids[10:40]))
    flags = ["--pedigree", tmp_path / "ped", "--keep", tmp_path / "keep"]
    lmmlasso(*kinship, *flags, "--out", tmp_path / "K")
    K = load_kinship(tmp_path / "K.kinship.npz")
    assert K.samples.rows() == ids[10:40]
    assert K.estimator == "pedigree"
    expected = ll.pedigree_kinship(ll.read_pedigree(tmp_path / "ped"), K.samples)
    assert_array_equal(K.matrix, expected.matrix)
    assert "30 of 30 samples have relatives" in log(tmp_path / "K")
    lmmlasso("null", *small.base, "--keep", tmp_path / "keep", "--kinship",
             tmp_path / "K.kinship.npz", "--out", tmp_path / "N")  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--maf", 0.1], 2, "--maf changes nothing with --estimator pedigree"),
        (["--loco"], 2, "--loco changes nothing with --estimator pedigree"),
        (["--estimator", "rrm", "--pedigree", "x"], 2, "--pedigree changes nothing without"),
        (["--pedigree", "absent"], 3, "absent: the file cannot be read"),
    ],
)
def test_command_refuses(small, tmp_path, flags, code, message):
    base = ["kinship", "--bfile", small.prefix, "--estimator", "pedigree"]
    assert message in lmmlasso(*base, *flags, "--out", tmp_path / "K", code=code)


def test_command_names_the_file_of_a_loop(small, tmp_path):
    fid, iid = small.samples.select("FID", "IID").row(0)
    (tmp_path / "ped").write_text(f"{fid} {iid} {iid} 0\n")
    flags = ["--bfile", small.prefix, "--estimator", "pedigree", "--pedigree", tmp_path / "ped"]
    err = lmmlasso("kinship", *flags, "--out", tmp_path / "K", code=3)
    assert f"{tmp_path / 'ped'}: pedigree: expected no individual among its own ancestors" in err

"""Where selected SNPs are: neighbours, enrichment near genes against all shifts, BED files."""

from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import refused
from numpy.testing import assert_allclose, assert_array_equal
from snp_maps import on_map

import lmmlasso_fast as ll
from lmmlasso_fast.errors import InputError, TableError
from lmmlasso_fast.evaluation import adjacent_share, enrichment, read_bed

pytestmark = pytest.mark.promise("peers")

# ---- neighbours ---------------------------------------------------------------------------------


def test_adjacent_pairs():
    genotypes = on_map(range(1, 11), ["1"] * 5 + ["2"] * 5)
    assert adjacent_share([0, 1, 3, 7], genotypes) == 1 / 4
    assert adjacent_share([2, 1, 0], genotypes) == 2 / 3
    assert adjacent_share([4, 5], genotypes) == 0  # two chromosomes
    assert adjacent_share([6], genotypes) == 0
    assert np.isnan(adjacent_share([], genotypes))
    # the SNP between them is not offered
    assert adjacent_share([6, 8], genotypes.filter(exclude=["rs7"])) == 1 / 2
    assert adjacent_share([6, 8], genotypes) == 0
    with pytest.raises(InputError, match=r"^snps: expected SNPs that are offered"):
        adjacent_share([7], genotypes.filter(exclude=["rs7"]))
    with pytest.raises(InputError, match=r"^snps: expected every SNP once"):
        adjacent_share([7, 7], genotypes)


# ---- genes --------------------------------------------------------------------------------------


def genes(*rows):
    return pl.DataFrame(
        [(str(c), a, b) for c, a, b in rows],
        schema={"CHROM": pl.String, "START": pl.Int64, "END": pl.Int64},
        orient="row",
    )


def is_near_any(chromosome, position, table, window):
    """START + 1 to END, and the window on both sides."""
    return any(
        chromosome == c and a + 1 - window <= position <= b + window for c, a, b in table.rows()
    )


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_shares_and_all_shifts(data):
    """The mean over all shifts, and the p-value as a share of them, by enumeration."""
    p = data.draw(st.integers(1, 10))
    position = data.draw(st.lists(st.integers(1, 30), min_size=p, max_size=p))
    chromosome = data.draw(st.lists(st.sampled_from(["1", "2"]), min_size=p, max_size=p))
    region = st.tuples(st.sampled_from(["1", "2", "9"]), st.integers(0, 30), st.integers(0, 5))
    regions = data.draw(st.lists(region, max_size=4))
    table = genes((chromosome[0], 100, 101), *((c, a, a + width) for c, a, width in regions))
    left_out = data.draw(st.sets(st.integers(0, p - 1), max_size=2))
    genotypes = on_map(position, chromosome, n=5).filter(exclude=[f"rs{j}" for j in left_out])
    offered = np.flatnonzero(genotypes.included).tolist()
    snps = data.draw(st.lists(st.sampled_from(offered), unique=True)) if offered else []
    window = data.draw(st.sampled_from([0, 1, 5, 2.5]))
    found = enrichment(snps, genotypes, table, window=window, n_permutations=3000, seed=1)

    near = {j: is_near_any(chromosome[j], position[j], table, window) for j in offered}
    assert found.is_near.tolist() == [near[j] for j in snps]
    assert (found.n_snps, found.n_near) == (len(snps), sum(near[j] for j in snps))
    assert found.genes_found.tolist() == [
        k for k in range(len(table))
        if any(is_near_any(chromosome[j], position[j], table[k], window) for j in snps)
    ]  # fmt: skip
    present = set(chromosome)
    assert found.n_genes == sum(c in present for c in table["CHROM"])
    if not snps:
        assert np.isnan([found.share, found.expected]).all()
        assert found.p_value == 1.0
        return
    maps = {
        c: sorted((j for j in offered if chromosome[j] == c), key=lambda j: (position[j], j))
        for c in {chromosome[j] for j in snps}
    }
    sums = []
    for shifts in product(*(range(len(m)) for m in maps.values())):
        shifted = [
            m[(m.index(j) + shift) % len(m)]
            for m, shift in zip(maps.values(), shifts, strict=True)
            for j in snps if j in m
        ]  # fmt: skip
        sums.append(sum(near[j] for j in shifted))
    assert found.share == pytest.approx(found.n_near / len(snps))
    assert found.expected == pytest.approx(np.mean(sums) / len(snps))
    share = np.mean(np.array(sums) >= found.n_near)
    assert abs(found.p_value - share) < 5 * np.sqrt(0.25 / 3000)
    assert set(np.round(found.null * len(snps)).astype(int)) <= set(sums)
    at_least = np.sum(np.round(found.null * len(snps)) >= found.n_near)
    assert found.p_value == pytest.approx((1 + at_least) / 3001)


def test_the_ends_of_a_gene():
    """START is from 0 and END is included: 11 to 20."""
    genotypes = on_map([10, 11, 20, 21, 5, 26])
    found = enrichment([0, 1, 2, 3, 4, 5], genotypes, genes((1, 10, 20)), window=0)
    assert found.is_near.tolist() == [False, True, True, False, False, False]
    found = enrichment([0, 1, 2, 3, 4, 5], genotypes, genes((1, 10, 20)), window=5)
    assert found.is_near.tolist() == [True, True, True, True, False, False]


def test_p_values_of_chance_are_not_too_small():
    """Clusters of SNPs, genes where the map is dense: P(p <= 0.1) is at most 0.1."""
    rng = np.random.default_rng(16)
    position = np.sort(np.concatenate([rng.integers(1, 10**6, 300), rng.integers(1, 20_000, 200)]))
    genotypes = on_map(position)
    table = genes(("1", 3000, 5000), ("1", 500_000, 510_000))
    p_values = []
    for k in range(200):
        start = rng.integers(500)
        snps = np.unique((start + np.array([0, 1, 2, 3, 40, 41, 42])) % 500)
        p_values.append(
            enrichment(snps, genotypes, table, window=500, n_permutations=99, seed=k).p_value
        )
    assert np.mean(np.array(p_values) <= 0.1) <= 0.1 + 3 * np.sqrt(0.09 / 200)
    assert min(p_values) < 0.1


def test_enriched_snps_have_small_p_values_and_seeds_count():
    genotypes = on_map(np.arange(1, 501) * 100)
    snps = [100, 102, 300, 420]
    table = genes(("1", 10_000, 10_400), ("1", 30_000, 30_200), ("1", 45_000, 45_001))
    found = enrichment(snps, genotypes, table, window=100, seed=3)
    assert (found.share, found.n_near, found.genes_found.tolist()) == (0.75, 3, [0, 1])
    assert len(found.null) == 10_000
    assert found.p_value < 0.02
    assert found.expected < 0.05
    again = enrichment(snps[::-1], genotypes, table, window=100, seed=3)
    assert_array_equal(again.null, found.null)
    other = enrichment(snps, genotypes, table, window=100, seed=4)
    assert not np.array_equal(other.null, found.null)


def test_a_seed_has_the_same_shifts_for_every_selection():
    """The shifts of a chromosome do not depend on what is selected on another one."""
    genotypes = on_map(range(1, 41), ["1"] * 20 + ["2"] * 20)
    table = genes(("1", 0, 5), ("2", 20, 29))
    first, second, both = (
        enrichment(snps, genotypes, table, window=0, n_permutations=200, seed=5)
        for snps in ([3], [30], [3, 30])
    )
    assert_allclose(first.null + second.null, 2 * both.null)
    assert len(np.unique(both.null)) == 3


def test_names_of_chromosomes():
    genotypes = on_map([10, 20, 30], ["5", "5", "X"])
    fine = enrichment([0], genotypes, genes(("5", 5, 10), ("7", 5, 10)), window=0)
    assert (fine.n_genes, fine.n_near) == (1, 1)
    for name in ("chr5", "Chr5", "CHR05", "chromosome_5"):
        for rows in ([(name, 5, 10)], [("X", 1, 2), (name, 5, 10)]):
            with pytest.raises(InputError, match=f"^genes: .*found '{name}' where they have '5'; "):
                enrichment([0], genotypes, genes(*rows), window=0)
    with pytest.raises(InputError, match=r"^genes: .*among 5, X, found only 7, 8; rename"):
        enrichment([0], genotypes, genes(("7", 1, 2), ("8", 1, 2)), window=0)
    named = on_map([10, 20, 30], ["chr5", "chr5", "scaffold_2"])
    with pytest.raises(InputError, match="found '5' where they have 'chr5'"):
        enrichment([0], named, genes(("5", 1, 2)), window=0)


def test_what_enrichment_refuses():
    genotypes, table = on_map([10, 20, 30]), genes(("1", 5, 10))
    for options, named in (
        ({"window": -1}, "window"),
        ({"window": np.nan}, "window"),
        ({"window": 0, "n_permutations": 0}, "n_permutations"),
        ({"window": 0, "seed": -1}, "seed"),
    ):
        with pytest.raises(InputError, match=f"^{named}: expected .*found"):
            enrichment([0], genotypes, table, **options)
    with pytest.raises(InputError, match=r"^snps: expected SNPs that are offered"):
        enrichment([0], genotypes.filter(exclude=["rs0"]), table, window=0)
    with pytest.raises(InputError, match=r"^window: expected positions above 0"):
        enrichment([0], on_map([10, 0, 30]), table, window=0)


# ---- BED files ----------------------------------------------------------------------------------


def test_bed_files(tmp_path):
    path = tmp_path / "genes.bed"
    path.write_bytes(
        b"browser position chr5:1-10\r\n#comment\r\ntrack name=x\r\n\r\n"
        b"chr5\t0\t10\tGene one\t900\t+\r\nX 7 7\r\n  01   8 9 B\r\n2\t3\t4\t\r\n2\t3\t4"
    )
    found = read_bed(path)
    assert found.rows() == [
        ("chr5", 0, 10, "Gene one"), ("X", 7, 7, None), ("01", 8, 9, "B"),
        ("2", 3, 4, None), ("2", 3, 4, None),
    ]  # fmt: skip
    assert found.schema == {
        "CHROM": pl.String, "START": pl.Int64, "END": pl.Int64, "NAME": pl.String,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line", "expected", "found"),
    [
        (b"1\t2\t3\n1\t2\n", 2, "a chromosome, a start and an end", r"1\t2"),
        (b"\t2\t3\n", 1, "a chromosome, a start and an end", r"\t2\t3"),
        (b"#x\n1 5 4\n", 2, "start <= end", "'5' and '4'"),
        (b"1 -1 4\n", 1, "whole numbers", "'-1' and '4'"),
        (b"1 1.5 4\n", 1, "whole numbers", "'1.5' and '4'"),
        (b"chrom start end\n", 1, "whole numbers", "'start' and 'end'"),
        (b"1 1 99999999999999999999\n", 1, "whole numbers", "99999999999999999999"),
        (b"1 1 " + b"9" * 5000 + b"\n", 1, "whole numbers", "'1' and '999"),
        ("1 \u0661 4\n".encode(), 1, "whole numbers", "'\u0661' and '4'"),
        (b"", None, "at least one line", "none"),
        (b"# nothing\n\n", None, "at least one line", "none"),
        (b"\x6c\x1b\x01\x00\xff", 1, "UTF-8 text", "a NUL byte"),
    ],
)
def test_bed_files_that_are_none(tmp_path, content, line, expected, found):
    path = tmp_path / "genes.bed"
    path.write_bytes(content)
    refused(read_bed, path, TableError, line=line, expected=expected, found=found)


def test_a_bed_file_that_is_not_there(tmp_path):
    path = tmp_path / "none.bed"
    refused(read_bed, path, TableError, expected="a readable text file", found="No such file")


# ---- real data ----------------------------------------------------------------------------------


def test_flowering_genes(data_dir):
    genotypes = ll.read_plink(data_dir / "arabidopsis_chr5" / "arabidopsis_chr5")
    table = read_bed(data_dir / "arabidopsis_chr5" / "flowering_genes.bed")
    assert table.height == 18
    assert table.row(0) == ("5", 3173381, 3179448, "FLC")
    position = genotypes.variants["POS"].to_numpy()
    offered = np.flatnonzero(genotypes.included)
    snps = np.random.default_rng(17).choice(offered, 50, replace=False)
    found = enrichment(snps, genotypes, table, window=20_000, n_permutations=500, seed=0)
    near = [is_near_any("5", position[j], table.drop("NAME"), 20_000) for j in snps]
    assert found.is_near.tolist() == near
    assert_allclose(found.null.mean(), found.expected, atol=0.01)
    with pytest.raises(InputError, match="'Chr5' where they have '5'"):
        enrichment(snps, genotypes, table.with_columns(CHROM=pl.lit("Chr5")), window=1)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ([None], [10], "whole numbers for START, found 1 missing ones"),
        ([1.0], [float("nan")], "whole numbers for START, found 0 .* type Float64"),
        (["1"], ["5"], "whole numbers for START, .* of the type String"),
        ([10], [5], "ends that are not before the start, found 10 to 5 in row 0"),
    ],
)
def test_genes_without_ends(start, end, message):
    table = pl.DataFrame({"CHROM": ["1"], "START": start, "END": end}, strict=False)
    with pytest.raises(InputError, match=f"genes: expected {message}"):
        enrichment([0], on_map(range(1, 11), ["1"] * 10), table, window=0)

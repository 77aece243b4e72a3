"""Simulated genotypes and phenotypes: shapes, streams, population genetics, PLINK files."""

import hashlib
import inspect
import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import reference as ref
from cli_files import lmmlasso
from numpy.testing import assert_allclose, assert_array_equal

from lmmlasso_fast.errors import GenotypeError, InputError, OutputError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.io import plink_write
from lmmlasso_fast.simulation import (
    GenotypeStream,
    PhenotypeStream,
    basics,
    plink_writer,
    simulate_genotypes,
    simulate_on,
    simulate_phenotype,
    write_plink,
)

pytestmark = pytest.mark.promise("statistics")


def as_float(dosages):
    return np.where(dosages < 0, np.nan, dosages)


def correlation(x, y):
    return np.corrcoef(x, y)[0, 1]


def hudson_fst(dosages, population):
    """Hudson's estimator over all pairs of populations, ratio of sums (Bhatia et al. 2013)."""
    top = bottom = 0.0
    groups = [dosages[population == k] for k in np.unique(population)]
    for i, first in enumerate(groups):
        for second in groups[:i]:
            f, g = first.mean(axis=0) / 2, second.mean(axis=0) / 2
            bias_f, bias_g = f * (1 - f) / (2 * len(first) - 1), g * (1 - g) / (2 * len(second) - 1)
            top += np.sum((f - g) ** 2 - bias_f - bias_g)
            bottom += np.sum(f * (1 - g) + g * (1 - f))
    return top / bottom


# --- genotypes --------------------------------------------------------------------------------


def test_dimensions_and_tables():
    sim = simulate_genotypes(13, 101, n_populations=3, n_chromosomes=4, missing_rate=0.1, seed=1)
    assert sim.dosages.shape == (13, 101)
    assert sim.dosages.dtype == np.int8
    assert set(np.unique(sim.dosages)) == {-1, 0, 1, 2}
    assert sim.frequencies.shape == (3, 101)
    assert_array_equal(np.bincount(sim.population), [5, 4, 4])
    assert sim.samples.columns == ["FID", "IID"]
    assert sim.variants.columns == ["CHROM", "ID", "POS", "A1", "A2"]
    assert sim.variants.schema["POS"] == pl.Int64
    assert sim.samples["FID"].to_list() == [f"pop{k + 1}" for k in sim.population]
    for column in (sim.samples["IID"], sim.variants["ID"]):
        assert column.n_unique() == len(column)
    for _, chromosome in sim.variants.group_by("CHROM"):
        assert 25 <= chromosome.height <= 26
        position = chromosome["POS"].to_numpy()
        assert position[0] == 1
        assert np.all(np.diff(position) > 0)


def test_smallest_simulation():
    sim = simulate_genotypes(1, 1, n_populations=1, n_chromosomes=1, seed=0)
    assert sim.dosages.shape == (1, 1)


def test_inbred_samples_have_no_heterozygotes():
    sim = simulate_genotypes(50, 400, inbred=True, seed=3)
    assert set(np.unique(sim.dosages)) == {0, 2}


def test_same_seed_same_bytes_another_seed_others():
    first, again, other = (
        simulate_genotypes(30, 200, missing_rate=0.05, seed=seed) for seed in (5, 5, 6)
    )
    assert first.dosages.tobytes() == again.dosages.tobytes()
    assert first.variants.equals(again.variants)
    assert np.mean(first.dosages == other.dosages) < 0.9
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - checks that it is left alone
    simulate_phenotype(first.dosages, seed=1)
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "digest", "causal", "y"),
    [
        ({}, "e7146199a2cf08c8", [37, 50, 71, 179], [1.2356879379518602, 1.2312800536953805]),
        (
            {"inbred": True},
            "63b76fc7b5ca39e9", [37, 52, 72, 179], [1.020742264835945, 0.0682797767663407],
        ),
        (
            {"n_populations": 3, "fst": 0.3, "ld": 0.5, "missing_rate": 0.1, "n_chromosomes": 2},
            "6d1a9c5d3ba9aebd", [40, 52, 72, 179], [0.1517782356616506, -0.6663845081718531],
        ),
    ],
)  # fmt: skip
def test_what_earlier_versions_drew(arguments, digest, causal, y):
    """New arguments do not change what the old ones give."""
    sim = simulate_genotypes(30, 200, **arguments, seed=5)
    dosages = np.ascontiguousarray(sim.dosages)
    assert hashlib.sha256(dosages.tobytes()).hexdigest()[:16] == digest
    trait = simulate_phenotype(sim.dosages, n_causal=4, seed=3)
    assert_array_equal(trait.causal, causal)
    assert_allclose(trait.y[:2], y, rtol=1e-12)


def test_missing_genotypes_leave_the_others_alone():
    whole = simulate_genotypes(60, 500, seed=8).dosages
    holes = simulate_genotypes(60, 500, missing_rate=0.1, seed=8).dosages
    missing = holes < 0
    assert_array_equal(holes[~missing], whole[~missing])
    assert abs(missing.mean() - 0.1) < 5 * np.sqrt(0.09 / missing.size)


@pytest.mark.parametrize("block_values", [1, 150, 1_000])
@pytest.mark.parametrize("inbred", [False, True])
@pytest.mark.parametrize("family_size", [1, 3])
def test_block_size_does_not_matter(monkeypatch, block_values, inbred, family_size):
    arguments = {"n_samples": 21, "n_variants": 97, "missing_rate": 0.1, "inbred": inbred}
    arguments |= {"family_size": family_size}
    whole = simulate_genotypes(**arguments, seed=4)
    trait = simulate_phenotype(whole.dosages, seed=1)
    monkeypatch.setattr(basics, "BLOCK_VALUES", block_values)
    assert_array_equal(simulate_genotypes(**arguments, seed=4).dosages, whole.dosages)
    assert_array_equal(simulate_phenotype(whole.dosages, seed=1).y, trait.y)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("family_size", [1, 4])
def test_stream_is_the_matrix_in_blocks(monkeypatch, n_threads, family_size):
    arguments = {"n_samples": 21, "n_variants": 97, "missing_rate": 0.1, "seed": 4}
    arguments |= {"family_size": family_size}
    whole = simulate_genotypes(**arguments)
    monkeypatch.setattr(basics, "BLOCK_VALUES", 150)
    stream = GenotypeStream(**arguments)
    for _ in range(2):  # every pass draws the same
        blocks = list(stream.blocks(n_threads=n_threads))
        assert all(block.size <= 150 and block.dtype == np.int8 for block in blocks)
        assert_array_equal(np.hstack(blocks), whole.dosages)
    assert_array_equal(stream.population, whole.population)
    assert_array_equal(stream.frequencies, whole.frequencies)
    assert_array_equal(stream.family, whole.family)
    assert stream.samples.equals(whole.samples)
    assert stream.variants().equals(whole.variants)
    some = np.array([96, 3, 40])
    assert stream.variants(some).equals(whole.variants[some])


def test_a_block_is_at_least_one_variant(monkeypatch):
    monkeypatch.setattr(basics, "BLOCK_VALUES", 5)
    blocks = GenotypeStream(8, 20, n_populations=2, seed=1).blocks()
    assert [block.shape for block in blocks] == [(8, 1)] * 20


@pytest.mark.parametrize("family_size", [1, 4])
def test_streams_hold_no_more_than_blocks(monkeypatch, tmp_path, family_size):
    """20,000 variants of 100 samples are 2 MB; they pass through blocks of 20 kB."""
    monkeypatch.setattr(basics, "BLOCK_VALUES", 20_000)
    genotypes = GenotypeStream(100, 20_000, missing_rate=0.1, family_size=family_size, seed=1)
    phenotype = PhenotypeStream(100, seed=1)
    tracemalloc.start()
    try:
        with plink_writer(tmp_path / "P", genotypes.samples) as fileset:
            write_stream(fileset, genotypes, phenotype)
            phenotype.finish(fileset.dosages)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
    assert (tmp_path / "P.bed").stat().st_size == 3 + 25 * 20_000


@pytest.mark.parametrize("fst", [0.0, 0.02, 0.1, 0.4])
@pytest.mark.parametrize("ld", [0.0, 0.9])
def test_fst(fst, ld):
    # 4,000 variants: the standard error is about fst sqrt(2/3) / sqrt(4000) without linkage
    sim = simulate_genotypes(200, 4_000, fst=fst, ld=ld, seed=11)
    assert abs(hudson_fst(sim.dosages, sim.population) - fst) < 0.002 + 0.06 * fst


@pytest.mark.parametrize("fst", [0.05, 0.3])
def test_frequencies_scatter_as_balding_and_nichols_say(fst):
    """E[(f - g)^2] = 2 F E[p (1 - p)], and p is uniform on (0.05, 0.95)."""
    f, g = simulate_genotypes(2, 20_000, n_populations=2, fst=fst, seed=5).frequencies
    heterozygosity = 0.25 - 0.9**2 / 12
    assert_allclose(np.mean((f - g) ** 2) / (2 * heterozygosity), fst, rtol=0.05)
    assert_allclose(np.mean(f), 0.5, atol=0.01)


def test_frequencies_are_those_drawn():
    sim = simulate_genotypes(400, 3_000, n_populations=2, fst=0.2, seed=12)
    for k in range(2):
        f = sim.frequencies[k]
        haplotypes = 2 * np.count_nonzero(sim.population == k)
        error = sim.dosages[sim.population == k].mean(axis=0) / 2 - f
        inside = (f > 0.02) & (f < 0.98)
        z = error[inside] / np.sqrt(f * (1 - f) / haplotypes)[inside]
        assert abs(np.mean(z**2) - 1) < 0.15
        assert abs(np.mean(z)) < 0.2


def test_linkage_decays_and_stops_at_chromosomes():
    # One population: otherwise structure correlates variants that are not linked.
    sim = simulate_genotypes(500, 2_000, n_populations=1, fst=0, n_chromosomes=20, ld=0.9, seed=13)
    X, _, _ = ref.standardise(as_float(sim.dosages))
    chromosome = sim.variants["CHROM"].to_numpy()

    def mean_r2(lag):
        same = chromosome[lag:] == chromosome[:-lag]
        r2 = np.mean(X[:, lag:] * X[:, :-lag], axis=0) ** 2
        return r2[same].mean(), r2[~same].mean()

    near, across = mean_r2(1)
    assert 0.2 < near < 0.4
    assert across < 0.02
    assert near > mean_r2(4)[0] > mean_r2(16)[0]
    r = np.mean(X[:, 1:] * X[:, :-1], axis=0)
    assert 0.4 < np.mean(r > 0) < 0.6
    unlinked = simulate_genotypes(500, 500, n_populations=1, fst=0, ld=0.0, seed=13)
    X, _, _ = ref.standardise(as_float(unlinked.dosages))
    assert np.mean(np.mean(X[:, 1:] * X[:, :-1], axis=0) ** 2) < 2 / 500


@pytest.mark.parametrize("family_size", [1, 4])
def test_linkage_falls_geometrically(family_size):
    """r of two variants is ld^lag times that of two thresholds on one uniform number."""
    sim = simulate_genotypes(
        1_000, 2_000, n_populations=1, fst=0, n_chromosomes=1, family_size=family_size, seed=14
    )
    X, _, _ = ref.standardise(as_float(sim.dosages))
    f = sim.frequencies[0]
    sd = np.sqrt(f * (1 - f))
    for lag in (1, 2, 4, 8):
        r = np.mean(X[:, lag:] * X[:, :-lag], axis=0)
        p, q = f[lag:], f[:-lag]
        # A1 on the same side of u, or on the other: the sign of r tells
        both = np.where(r > 0, np.minimum(p, q), np.maximum(p + q - 1, 0))
        unbroken = (both - p * q) / (sd[lag:] * sd[:-lag])
        assert_allclose(np.sum(r * unbroken) / np.sum(unbroken**2), 0.9**lag, atol=0.02)


def test_no_linkage_break_at_all():
    """ld = 1 keeps one number per haplotype and chromosome: an allele is above or below it."""
    sim = simulate_genotypes(
        40, 60, n_populations=1, fst=0, n_chromosomes=1, ld=1.0, inbred=True, seed=1
    )
    order = np.argsort(sim.frequencies[0])
    carriers = [frozenset(np.flatnonzero(sim.dosages[:, j])) for j in order]
    for small, large in itertools.pairwise(carriers):
        # nested, or disjoint and together everybody, up to the side that A1 is on
        pairs = [(small, large), (frozenset(range(40)) - small, large)]
        assert any(a <= b or b <= a for a, b in pairs)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_samples", 0), ("n_variants", 0), ("n_populations", 0), ("n_populations", 11),
        ("fst", -0.1), ("fst", 1.0), ("missing_rate", 1.0), ("missing_rate", -1), ("ld", 1.1),
        ("ld", np.nan), ("n_chromosomes", 21), ("n_chromosomes", 0), ("family_size", 0),
        ("family_size", 11),
    ],
)  # fmt: skip
def test_genotype_arguments_out_of_range(name, value):
    arguments = {"n_samples": 10, "n_variants": 20, "seed": 0} | {name: value}
    with pytest.raises(InputError, match=rf"^{name}: expected .*, found {value}"):
        simulate_genotypes(**arguments)


# --- families ---------------------------------------------------------------------------------


def slow_siblings(n_families, size, n_variants, *, inbred, n_chromosomes, seed, **population):
    """The dosages of families of one size, gamete by gamete and variant by variant.

    A family has two haplotypes of each parent (of inbred lines: one of each), which are those that
    `simulate_genotypes` gives to as many inbred samples; crossovers come from the sixth stream.
    """
    per_family, n_gametes, copies = (2, 1, 2) if inbred else (4, 2, 1)
    founders = simulate_genotypes(
        per_family * n_families,
        n_variants,
        inbred=True,
        n_chromosomes=n_chromosomes,
        seed=seed,
        **population,
    )
    haplotypes = founders.dosages // 2
    chromosome = founders.variants["CHROM"].to_list()
    position = founders.variants["POS"].to_list()
    ends = {c: p for c, p in zip(chromosome, position, strict=True)}  # positions start at 1
    stream = np.random.default_rng(seed).spawn(6)[5]
    draws = stream.random((n_variants, n_families * size * n_gametes), dtype=np.float32)
    dosages = np.zeros((n_families * size, n_variants), dtype=np.int8)
    for child in range(n_families * size):
        for gamete in range(n_gametes):
            pair = per_family * (child // size) + 2 * gamete
            side = 0
            for j in range(n_variants):
                chance = 0.5
                if j > 0 and chromosome[j] == chromosome[j - 1]:
                    morgans = (position[j] - position[j - 1]) / (ends[chromosome[j]] - 1)
                    chance = (1 - np.exp(-2 * morgans)) / 2
                if draws[j, child * n_gametes + gamete] < np.float32(chance):
                    side = 1 - side
                dosages[child, j] += copies * haplotypes[pair + side, j]
    return dosages


@pytest.mark.parametrize("inbred", [False, True])
def test_children_carry_what_their_parents_pass_on(inbred):
    population = {"n_populations": 2, "fst": 0.2, "ld": 0.8}
    sim = simulate_genotypes(
        24, 60, family_size=3, inbred=inbred, n_chromosomes=3, seed=3, **population
    )
    expected = slow_siblings(8, 3, 60, inbred=inbred, n_chromosomes=3, seed=3, **population)
    assert_array_equal(sim.dosages, expected)
    assert_array_equal(sim.family, np.repeat(np.arange(8), 3))


def test_families_do_not_reach_over_populations():
    sim = simulate_genotypes(19, 30, n_populations=3, family_size=4, seed=2)
    assert_array_equal(np.bincount(sim.population), [7, 6, 6])
    assert_array_equal(np.bincount(sim.family), [4, 3, 4, 2, 4, 2])
    assert np.all(np.diff(sim.family) >= 0)
    assert sim.samples["FID"].to_list() == [f"fam{k + 1}" for k in sim.family]
    pedigree = GenotypeStream(19, 30, n_populations=3, family_size=4, seed=2).pedigree
    assert pedigree.columns == ["FID", "IID", "FATHER", "MOTHER"]
    assert pedigree.select("FID", "IID").equals(sim.samples)
    assert pedigree.row(5) == ("fam2", "s06", "fam2_father", "fam2_mother")
    alone = GenotypeStream(4, 30, seed=2)
    assert_array_equal(alone.family, np.arange(4))
    assert alone.pedigree.row(0) == ("pop1", "s1", "0", "0")


@pytest.mark.parametrize("inbred", [False, True])
def test_kinship_of_siblings(inbred):
    """One half on average, scattered as much as five chromosomes of one Morgan make it.

    Whether two siblings share one parent's gene at two places d apart correlates as exp(-4 d)
    (two meioses). Over a chromosome of length 1 the share has variance
    1/4 * 2 int_0^1 (1 - t) exp(-4 t) dt; the kinship is the mean of both parents' shares, of which
    lines from a cross have one.
    """
    n, size = 800, 4
    sim = simulate_genotypes(
        n, 4_000, n_populations=1, fst=0, ld=0.0, family_size=size, inbred=inbred, seed=7
    )
    X, _, sd = ref.standardise(as_float(sim.dosages))
    K, _ = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, np.count_nonzero(sd)))
    same = (sim.family[:, None] == sim.family) & ~np.eye(n, dtype=bool)
    unrelated = K[sim.family[:, None] != sim.family].mean()
    siblings = K[same & np.tri(n, dtype=bool)]
    # relative to unrelated pairs, who are at zero in the population
    shared = (siblings - unrelated) / (1 - unrelated)
    of_a_chromosome = 0.5 * (1 / 4 - (1 - np.exp(-4)) / 16)
    variance = of_a_chromosome / 5 / (1 if inbred else 2)
    variance += np.var(K[sim.family[:, None] != sim.family])  # of the estimate, 4,000 variants
    assert len(siblings) == 200 * 6
    assert abs(shared.mean() - 0.5) < 4 * np.sqrt(variance / len(shared))
    assert abs(np.var(shared) / variance - 1) < 5 * np.sqrt(2 / len(shared))


def test_recombination_follows_the_map():
    """Haldane's map function between markers of lines from one cross; none between chromosomes."""
    n = 4_000
    sim = simulate_genotypes(
        n, 300, n_populations=1, family_size=n, inbred=True, n_chromosomes=2, seed=9
    )
    segregating = np.flatnonzero(np.ptp(sim.dosages, axis=0) > 0)
    assert len(segregating) > 50
    chromosome = sim.variants["CHROM"].to_numpy()[segregating]
    position = sim.variants["POS"].to_numpy()[segregating].astype(float)
    for c, end in sim.variants.group_by("CHROM").agg(pl.col("POS").max()).iter_rows():
        position[chromosome == c] /= end - 1
    alleles = sim.dosages[:, segregating] // 2
    i, j = np.triu_indices(len(segregating), k=1)
    recombinant = np.mean(alleles[:, i] != alleles[:, j], axis=0)
    linked = chromosome[i] == chromosome[j]
    # which parent had A1 is not known
    recombinant[linked] = np.minimum(recombinant, 1 - recombinant)[linked]
    expected = np.where(linked, (1 - np.exp(-2 * np.abs(position[i] - position[j]))) / 2, 0.5)
    z = (recombinant - expected) / np.sqrt(expected * (1 - expected) / n)
    assert np.abs(z).max() < 5
    assert np.mean(z[linked] ** 2) < 2


# --- phenotypes -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def structured():
    return simulate_genotypes(400, 2_000, fst=0.15, missing_rate=0.02, seed=21)


def test_parts_and_truth(structured):
    trait = simulate_phenotype(structured.dosages, n_causal=7, h2_snp=0.4, seed=2)
    assert_array_equal(trait.y, trait.snp_part + trait.structure_part + trait.noise_part)
    assert len(trait.causal) == len(trait.effects) == 7
    assert np.all(np.diff(trait.causal) > 0)
    X, _, sd = ref.standardise(as_float(structured.dosages))
    assert_allclose(X[:, trait.causal] @ trait.effects, trait.snp_part, atol=1e-12)
    assert_allclose(trait.effects_per_allele, trait.effects / sd[trait.causal])
    assert_allclose(trait.variance_snp, 0.4)
    assert_allclose(trait.variance_structure, np.var(trait.structure_part))
    assert_allclose(trait.variance_noise, np.var(trait.noise_part))


def test_phenotype_streams(structured):
    first, again, other = (simulate_phenotype(structured.dosages, seed=s) for s in (1, 1, 2))
    assert first.y.tobytes() == again.y.tobytes()
    assert correlation(first.y, other.y) < 0.5
    louder = simulate_phenotype(structured.dosages, h2_snp=0.6, seed=1)
    assert_array_equal(louder.causal, first.causal)
    assert_array_equal(louder.structure_part, first.structure_part)


def test_background_has_the_covariance_of_the_kinship(structured):
    """Over many draws u'P u with P = K^+ averages the rank; E[u u'] = h2 K along any direction."""
    X, _, sd = ref.standardise(as_float(structured.dosages))
    K = ref.kinship_rrm(X, np.count_nonzero(sd))
    s, U = np.linalg.eigh(K)
    draws = np.array(
        [
            simulate_phenotype(
                structured.dosages, n_causal=0, h2_snp=0, h2_structure=0.6, seed=seed
            ).structure_part
            for seed in range(40)
        ]
    )
    z2 = (draws @ U[:, 20:]) ** 2 / (0.6 * s[20:])  # chi-squared, 40 x 380 of them
    assert abs(z2.mean() - 1) < 5 * np.sqrt(2 / z2.size)
    z2 = (draws @ U[:, -3:]) ** 2 / (0.6 * s[-3:])  # the directions of the populations
    assert abs(z2.mean() - 1) < 4 * np.sqrt(2 / z2.size)


def test_heritability_is_recovered():
    sim = simulate_genotypes(400, 1_500, fst=0.1, seed=31)
    X, _, sd = ref.standardise(as_float(sim.dosages))
    K, _ = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, np.count_nonzero(sd)))
    s, U = np.linalg.eigh(K)
    C = np.ones((400, 1))
    estimates = []
    for seed in range(8):
        y = simulate_phenotype(sim.dosages, n_causal=0, h2_snp=0.0, h2_structure=0.6, seed=seed).y
        # In the eigenbasis of K the dense oracle has a diagonal V: same likelihood.
        estimates.append(ref.fit_null(U.T @ y, np.diag(s), U.T @ C, n_grid=11).h2)
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert error < 0.06
    assert abs(np.mean(estimates) - 0.6) < 4 * error


@pytest.mark.parametrize("means", [False, True])
def test_phenotype_of_uneven_blocks(structured, means):
    population = structured.population if means else None
    whole = simulate_phenotype(structured.dosages, population, seed=6)
    stream = PhenotypeStream(400, population, seed=6)
    for block in np.array_split(np.arange(2_000), [1, 5, 700, 1_999]):
        stream.add(structured.dosages[:, block])
    trait = stream.finish(lambda index: structured.dosages[:, index])
    for name in ("y", "causal", "effects", "effects_per_allele", "structure_part"):
        assert_array_equal(getattr(trait, name), getattr(whole, name), err_msg=name)


def test_which_variants_are_causal(structured):
    """The same choice from the matrix, from blocks, and block by block with the table's rows."""
    knobs = {"n_causal": 9, "effects": "equal", "min_frequency": 0.2, "min_distance": 40_000}
    whole = simulate_phenotype(structured.dosages, variants=structured.variants, **knobs, seed=6)
    dosages = as_float(structured.dosages)[:, whole.causal]
    frequency = np.nanmean(dosages, axis=0) / 2
    assert np.all(np.minimum(frequency, 1 - frequency) >= 0.2)
    chosen = structured.variants[whole.causal]
    for _, snps in chosen.group_by("CHROM"):
        assert np.all(np.diff(snps["POS"].to_numpy()) >= 40_000)
    assert np.ptp(np.abs(whole.effects)) < 1e-12
    stream = PhenotypeStream(400, **knobs, seed=6)
    for block in np.array_split(np.arange(2_000), [5, 700]):
        stream.add(structured.dosages[:, block])
    source = GenotypeStream(400, 2_000, fst=0.15, missing_rate=0.02, seed=21)
    trait = stream.finish(lambda index: structured.dosages[:, index], source.variants)
    assert trait.y.tobytes() == whole.y.tobytes()
    with pytest.raises(InputError, match=r"min_distance: expected 0 without .* positions"):
        simulate_phenotype(structured.dosages, **knobs, seed=6)
    with pytest.raises(InputError, match=r"n_causal: expected at most 0, .* at least 0\.5, found"):
        simulate_phenotype(structured.dosages[:, :20], min_frequency=0.5, seed=6)


def test_population_means_as_background(structured):
    trait = simulate_phenotype(
        structured.dosages, structured.population, h2_snp=0.2, h2_structure=0.5, seed=4
    )
    assert_allclose(trait.variance_structure, 0.5)
    assert len(np.unique(trait.structure_part)) == 4
    assert_allclose(trait.structure_part.mean(), 0, atol=1e-12)


def test_no_noise_and_no_background(structured):
    trait = simulate_phenotype(structured.dosages, h2_snp=1.0, h2_structure=0.0, seed=4)
    assert_array_equal(trait.y, trait.snp_part)
    assert_allclose(np.var(trait.y), 1.0)


@pytest.mark.parametrize("h2_structure", [0.1, 0.3, 0.7])
def test_shares_that_leave_no_noise(structured, h2_structure):
    trait = simulate_phenotype(
        structured.dosages, h2_snp=1 - h2_structure, h2_structure=h2_structure, seed=4
    )
    assert trait.variance_noise < 1e-12
    simulate_phenotype(structured.dosages, h2_snp=0.9, h2_structure=0.1, seed=4)


def test_causal_variants_are_polymorphic():
    dosages = np.zeros((12, 30), dtype=np.int8)
    dosages[0] = -1  # missing is not a third genotype
    dosages[1:4, ::5] = 2
    dosages[:, 1] = -1
    trait = simulate_phenotype(dosages, n_causal=6, seed=0)
    assert_array_equal(trait.causal, np.arange(0, 30, 5))
    assert np.all(np.isfinite(trait.y))
    with pytest.raises(InputError, match="n_causal: expected at most 6"):
        simulate_phenotype(dosages, n_causal=7, seed=0)


def test_genotypes_of_simulated_ones():
    drawn = simulate_genotypes(61, 200, missing_rate=0.2, seed=1)
    genotypes = drawn.genotypes()
    missing = drawn.dosages < 0
    assert 0.1 < missing.mean() < 0.3
    assert_array_equal(genotypes.n_missing, missing.sum(axis=0))
    given = np.where(missing, np.nan, drawn.dosages)
    expected = Genotypes.from_array(given, drawn.samples, drawn.variants)
    assert type(genotypes) is type(expected)
    every = np.arange(200)
    assert_array_equal(genotypes.columns(every), expected.columns(every))
    assert_array_equal(genotypes.reasons, expected.reasons)
    assert genotypes.samples.equals(drawn.samples)
    assert genotypes.variants.equals(drawn.variants)
    whole = simulate_genotypes(61, 200, seed=1).genotypes()
    assert not whole.n_missing.any()


@pytest.mark.parametrize(
    "arguments",
    [
        {"h2_snp": -0.1}, {"h2_snp": 1.5}, {"h2_structure": 0.8}, {"h2_structure": -0.1},
        {"n_causal": -1}, {"n_causal": 0}, {"h2_snp": 0}, {"population": np.zeros(400, int)},
        {"population": np.arange(3)}, {"n_causal": 2.0}, {"effects": "gamma"},
        {"min_frequency": 0.6}, {"min_distance": -1}, {"min_distance": 0.5},
    ],
)  # fmt: skip
def test_phenotype_arguments_out_of_range(structured, arguments):
    with pytest.raises(InputError, match=r"expected .* found .*; "):
        simulate_phenotype(structured.dosages, **arguments, seed=0)


@pytest.mark.parametrize(
    "dosages",
    [
        np.zeros((3, 3)), np.zeros(3, int), np.full((3, 3), 3), np.full((2, 2), -9),
        np.zeros((0, 2), int),
    ],
)  # fmt: skip
def test_unusable_dosages(dosages, tmp_path):
    with pytest.raises(GenotypeError, match="dosages: expected"):
        simulate_phenotype(dosages, seed=0)
    with pytest.raises(GenotypeError, match="dosages: expected"):
        write_plink(tmp_path / "x", dosages, pl.DataFrame(), pl.DataFrame())
    assert list(tmp_path.iterdir()) == []


def test_unusable_blocks():
    stream = PhenotypeStream(4, seed=0)
    with pytest.raises(GenotypeError, match=r"dosages: expected -1 .* found values from 0 to 3"):
        stream.add(np.array([[0], [1], [2], [3]]))
    with pytest.raises(GenotypeError, match=r"dosages: expected 4 rows, .* found 3"):
        stream.add(np.array([[0], [1], [2]]))
    with pytest.raises(InputError, match="n_causal: expected at most 0, the number of polymorphic"):
        stream.finish(lambda index: np.empty((4, len(index)), dtype=np.int8))


def test_no_default_seed():
    functions = (simulate_genotypes, simulate_phenotype, simulate_on)
    for function in (*functions, GenotypeStream, PhenotypeStream):
        assert inspect.signature(function).parameters["seed"].default is inspect.Parameter.empty


# --- PLINK files ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", [1, 4, 7, 9, 30])
def test_plink_round_trip(tmp_path, monkeypatch, n_samples):
    sim = simulate_genotypes(
        n_samples, 77, n_populations=1, missing_rate=0.2, n_chromosomes=2, seed=n_samples
    )
    monkeypatch.setattr(plink_write, "BLOCK_VALUES", 100)
    prefix = tmp_path / "with.dots"
    write_plink(prefix, sim.dosages, sim.samples, sim.variants)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "with.dots.bed",
        "with.dots.bim",
        "with.dots.fam",
    ]
    bed = (tmp_path / "with.dots.bed").read_bytes()
    assert_array_equal(ref.decode_bed(bed, n_samples, 77), as_float(sim.dosages))
    assert bed == ref.encode_bed(as_float(sim.dosages))  # padding bits too
    fam = [line.split("\t") for line in (tmp_path / "with.dots.fam").read_text().splitlines()]
    assert fam == [[*row, "0", "0", "0", "-9"] for row in sim.samples.iter_rows()]
    bim = [line.split("\t") for line in (tmp_path / "with.dots.bim").read_text().splitlines()]
    expected = [[c, i, "0", str(pos), a1, a2] for c, i, pos, a1, a2 in sim.variants.iter_rows()]
    assert bim == expected


def fam_of(prefix):
    return [line.split("\t") for line in Path(f"{prefix}.fam").read_text().splitlines()]


@pytest.mark.parametrize("known", [["FATHER"], ["MOTHER"], ["MOTHER", "FATHER"]])
def test_parents_that_are_known(tmp_path, known):
    sim = simulate_genotypes(4, 5, n_chromosomes=1, seed=3)
    parents = {"FATHER": ["0", "f1", "0", "f2"], "MOTHER": ["m1", "0", "0", "m2"]}
    columns = [pl.Series(name, parents[name]) for name in known]
    write_plink(tmp_path / "x", sim.dosages, sim.samples.with_columns(columns), sim.variants)
    ids = zip(
        *(sim.samples[name] for name in ("FID", "IID")),
        *(parents[name] if name in known else ["0"] * 4 for name in ("FATHER", "MOTHER")),
        strict=True,
    )
    assert fam_of(tmp_path / "x") == [[*row, "0", "-9"] for row in ids]
    write_plink(tmp_path / "y", sim.dosages, sim.samples, sim.variants)
    for extension in (".bed", ".bim"):
        assert (tmp_path / f"x{extension}").read_bytes() == (
            tmp_path / f"y{extension}"
        ).read_bytes()


@pytest.mark.parametrize("text", ["a b", "", None])
def test_parents_that_the_format_cannot_hold(tmp_path, text):
    sim = simulate_genotypes(4, 5, n_chromosomes=1, seed=3)
    mothers = pl.Series("MOTHER", ["0", "m", text, "m"], dtype=pl.String)
    with pytest.raises(InputError, match="samples: row 3: expected a MOTHER without blanks"):
        write_plink(tmp_path / "x", sim.dosages, sim.samples.with_columns(mothers), sim.variants)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("family_size", [1, 4])
def test_parents_of_simulated_families(tmp_path, family_size):
    numbers = {"n_samples": 19, "n_variants": 30, "n_populations": 3, "family_size": family_size}
    flags = [part for name, k in numbers.items() for part in ("--" + name.replace("_", "-"), k)]
    lmmlasso("simulate", *flags, "--seed", 2, "--out", tmp_path / "P")
    drawn = GenotypeStream(**numbers, seed=2)
    assert fam_of(tmp_path / "P") == [[*row, "0", "-9"] for row in drawn.pedigree.iter_rows()]
    if family_size == 1:
        assert fam_of(tmp_path / "P")[0] == ["pop1", "s01", "0", "0", "0", "-9"]
    else:
        assert fam_of(tmp_path / "P")[5][2:4] == ["fam2_father", "fam2_mother"]
    phenotypes = pl.read_csv(tmp_path / "P.pheno.tsv", separator="\t")
    assert phenotypes.columns == ["FID", "IID", "Y"]
    assert phenotypes.select("FID", "IID").equals(drawn.samples)


def test_plink_files_have_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        sim = simulate_genotypes(10, 50, missing_rate=0.1, seed=3)
        write_plink(tmp_path / name, sim.dosages, sim.samples, sim.variants)
    for extension in (".bed", ".bim", ".fam"):
        files = [(tmp_path / f"{name}{extension}").read_bytes() for name in ("a", "b")]
        assert files[0] == files[1]


def write_stream(fileset, genotypes, phenotype):
    for dosages in genotypes.blocks():
        first = fileset.n_variants
        fileset.append(dosages, genotypes.variants(np.arange(first, first + dosages.shape[1])))
        phenotype.add(dosages)


@pytest.mark.parametrize("block_values", [1, 100, 1 << 22])
def test_a_stream_gives_the_same_files_as_the_matrix(tmp_path, monkeypatch, block_values):
    sim = simulate_genotypes(30, 77, missing_rate=0.2, seed=9)
    write_plink(tmp_path / "a", sim.dosages, sim.samples, sim.variants)
    monkeypatch.setattr(basics, "BLOCK_VALUES", block_values)
    genotypes = GenotypeStream(30, 77, missing_rate=0.2, seed=9)
    phenotype = PhenotypeStream(30, seed=2)
    with plink_writer(tmp_path / "b", genotypes.samples) as fileset:
        write_stream(fileset, genotypes, phenotype)
        trait = phenotype.finish(fileset.dosages)
    for extension in (".bed", ".bim", ".fam"):
        files = [(tmp_path / f"{name}{extension}").read_bytes() for name in ("a", "b")]
        assert files[0] == files[1]
    assert_array_equal(trait.y, simulate_phenotype(sim.dosages, seed=2).y)


def test_what_was_appended_can_be_read_while_more_follows(tmp_path):
    sim = simulate_genotypes(9, 20, missing_rate=0.2, seed=3)
    with plink_writer(tmp_path / "x", sim.samples) as fileset:
        fileset.append(sim.dosages[:, :12], sim.variants[:12])
        assert_array_equal(fileset.dosages(np.array([11, 0])), sim.dosages[:, [11, 0]])
        assert fileset.dosages(np.array([], dtype=np.int64)).shape == (9, 0)
        fileset.append(sim.dosages[:, 12:], sim.variants[12:])
        assert fileset.n_variants == 20
    bed = (tmp_path / "x.bed").read_bytes()
    assert_array_equal(ref.decode_bed(bed, 9, 20), as_float(sim.dosages))


def test_blocks_that_do_not_fit(tmp_path):
    sim = simulate_genotypes(9, 20, seed=3)

    def append_after_the_first(dosages, variants):
        with plink_writer(tmp_path / "x", sim.samples) as fileset:
            fileset.append(sim.dosages[:, :12], sim.variants[:12])
            fileset.append(dosages, variants)

    rest, table = sim.dosages[:, 12:], sim.variants[12:]
    with pytest.raises(GenotypeError, match=r"samples: expected 8 rows, .* found 9"):
        append_after_the_first(rest[:8], table)
    with pytest.raises(GenotypeError, match=r"variants: expected 8 rows, .* found 7"):
        append_after_the_first(rest, table[1:])
    with pytest.raises(GenotypeError, match="dosages: expected"):
        append_after_the_first(rest + 2, table)
    ids = pl.Series("ID", [*table["ID"][:5], "a b", *table["ID"][6:]])
    with pytest.raises(InputError, match=r"variants: row 18: expected a ID .* found 'a b'"):
        append_after_the_first(rest, table.with_columns(ids))
    assert list(tmp_path.iterdir()) == []


def test_any_integer_layout_gives_the_same_file(tmp_path):
    sim = simulate_genotypes(10, 50, seed=3)
    layouts = (sim.dosages, np.ascontiguousarray(sim.dosages), sim.dosages.astype(">i8"))
    written = set()
    for dosages in (*layouts, sim.dosages.astype(np.uint8)):
        write_plink(tmp_path / "x", dosages, sim.samples, sim.variants)
        written.add((tmp_path / "x.bed").read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize("text", ["a b", "tab\t", "", None, "line\nbreak"])
def test_ids_that_the_format_cannot_hold(tmp_path, text):
    sim = simulate_genotypes(4, 5, n_chromosomes=1, seed=3)
    ids = pl.Series("IID", ["1", "2", text, "4"], dtype=pl.String)
    with pytest.raises(InputError, match="samples: row 3: expected a IID without blanks"):
        write_plink(tmp_path / "x", sim.dosages, sim.samples.with_columns(ids), sim.variants)
    assert list(tmp_path.iterdir()) == []


def test_tables_that_do_not_fit(tmp_path):
    sim = simulate_genotypes(4, 5, n_chromosomes=1, seed=3)
    with pytest.raises(GenotypeError, match=r"variants: expected 5 rows, .* found 3"):
        write_plink(tmp_path / "x", sim.dosages, sim.samples, sim.variants.head(3))
    with pytest.raises(InputError, match="samples: expected the columns FID IID, found no IID"):
        write_plink(tmp_path / "x", sim.dosages, sim.samples.drop("IID"), sim.variants)
    with pytest.raises(OutputError, match="nowhere"):
        write_plink(tmp_path / "nowhere" / "x", sim.dosages, sim.samples, sim.variants)
    assert list(tmp_path.iterdir()) == []


def test_populations_that_are_no_numbers_for_each_sample():
    sim = simulate_genotypes(30, 50, seed=1)
    population = sim.population.astype(float)
    lacking = population.copy()
    lacking[3] = np.nan
    masked = np.ma.masked_array(population, np.arange(30) == 3)
    for given in (population[:, None], lacking, masked, 3, population[:-1], np.zeros(30), "a"):
        with pytest.raises(InputError, match=r"^population: expected"):
            simulate_phenotype(sim.dosages, given, seed=1)
    both = (simulate_phenotype(sim.dosages, p, seed=1) for p in (population, sim.population))
    assert_array_equal(*(found.y for found in both))


def test_next_to_no_divergence_is_none():
    sim = simulate_genotypes(30, 50, fst=1e-310, seed=1)
    assert np.isfinite(sim.frequencies).all()
    assert_array_equal(sim.frequencies[0], sim.frequencies[1])
    assert sim.dosages.any()

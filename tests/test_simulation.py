"""Simulated genotypes and phenotypes: shapes, streams, population genetics, PLINK files."""

import inspect
import itertools

import numpy as np
import polars as pl
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal

from lmmlasso_fast import simulation
from lmmlasso_fast.errors import GenotypeError, InputError, OutputError
from lmmlasso_fast.io import plink_write
from lmmlasso_fast.simulation import simulate_genotypes, simulate_phenotype, write_plink


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


def test_missing_genotypes_leave_the_others_alone():
    whole = simulate_genotypes(60, 500, seed=8).dosages
    holes = simulate_genotypes(60, 500, missing_rate=0.1, seed=8).dosages
    missing = holes < 0
    assert_array_equal(holes[~missing], whole[~missing])
    assert abs(missing.mean() - 0.1) < 5 * np.sqrt(0.09 / missing.size)


def test_block_size_does_not_matter(monkeypatch):
    arguments = {"n_samples": 21, "n_variants": 97, "missing_rate": 0.1, "seed": 4}
    whole = simulate_genotypes(**arguments)
    trait = simulate_phenotype(whole.dosages, seed=1)
    monkeypatch.setattr(simulation, "BLOCK_VALUES", 150)
    assert_array_equal(simulate_genotypes(**arguments).dosages, whole.dosages)
    assert_allclose(simulate_phenotype(whole.dosages, seed=1).y, trait.y, rtol=1e-12)


@pytest.mark.parametrize("fst", [0.0, 0.02, 0.1, 0.4])
@pytest.mark.parametrize("ld", [0.0, 0.9])
def test_fst(fst, ld):
    # 4,000 variants: the standard error is about fst sqrt(2/3) / sqrt(4000) without linkage
    sim = simulate_genotypes(200, 4_000, fst=fst, ld=ld, seed=11)
    assert abs(hudson_fst(sim.dosages, sim.population) - fst) < 0.002 + 0.06 * fst


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
        ("ld", np.nan), ("n_chromosomes", 21), ("n_chromosomes", 0),
    ],
)  # fmt: skip
def test_genotype_arguments_out_of_range(name, value):
    arguments = {"n_samples": 10, "n_variants": 20, "seed": 0} | {name: value}
    with pytest.raises(InputError, match=rf"^{name}: expected .*, found {value}"):
        simulate_genotypes(**arguments)


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


@pytest.mark.parametrize(
    "arguments",
    [
        {"h2_snp": -0.1}, {"h2_snp": 1.5}, {"h2_structure": 0.8}, {"h2_structure": -0.1},
        {"n_causal": -1}, {"n_causal": 0}, {"population": np.zeros(400, int)},
        {"population": np.arange(3)},
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


def test_no_default_seed():
    for function in (simulate_genotypes, simulate_phenotype):
        assert inspect.signature(function).parameters["seed"].default is inspect.Parameter.empty


# --- PLINK files ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", [1, 4, 9, 30])
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


def test_plink_files_have_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        sim = simulate_genotypes(10, 50, missing_rate=0.1, seed=3)
        write_plink(tmp_path / name, sim.dosages, sim.samples, sim.variants)
    for extension in (".bed", ".bim", ".fam"):
        files = [(tmp_path / f"{name}{extension}").read_bytes() for name in ("a", "b")]
        assert files[0] == files[1]


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

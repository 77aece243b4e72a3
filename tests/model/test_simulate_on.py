"""Phenotypes on genotypes that exist: shares, causal SNPs, structure, and the command for them."""

import itertools
import tracemalloc
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import reference as ref
from cli_files import lmmlasso, read, results, run_json, write_table
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast as ll
from lmmlasso_fast.dense import DenseGenotypes
from lmmlasso_fast.errors import GenotypeError, InputError, KinshipError, PhenotypeError
from lmmlasso_fast.io.plink_write import write_plink
from lmmlasso_fast.packed import PackedGenotypes
from lmmlasso_fast.simulation import (
    basics,
    semi_empirical,
    simulate_genotypes,
    simulate_on,
    simulate_phenotype,
)
from lmmlasso_fast.simulation.causal import EFFECTS, choose_spaced, draw_effects, sparse_part

pytestmark = pytest.mark.promise("peers")

N, P = 120, 400


@pytest.fixture(scope="module")
def drawn():
    return simulate_genotypes(N, P, fst=0.2, missing_rate=0.03, seed=11)


@pytest.fixture(scope="module")
def genotypes(drawn):
    X = np.where(drawn.dosages < 0, np.nan, drawn.dosages)
    return ll.Genotypes.from_array(X, drawn.samples, drawn.variants)


@pytest.fixture(scope="module")
def oracle(drawn):
    """Standardised SNPs, their sd and minor allele frequencies, and the kinship."""
    dosage = np.where(drawn.dosages < 0, np.nan, drawn.dosages)
    X, _, sd = ref.standardise(dosage)
    frequency = np.nanmean(dosage, axis=0) / 2
    K, _ = ref.scale_to_unit_diagonal(ref.kinship_rrm(X, np.count_nonzero(sd)))
    return SimpleNamespace(X=X, sd=sd, maf=np.minimum(frequency, 1 - frequency), K=K)


@pytest.fixture(scope="module")
def background():
    return np.random.default_rng(5).gamma(2.0, 3.0, N)


# --- the parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("structure", ["default", "K", "background"])
@pytest.mark.parametrize(("h2_snp", "h2_structure"), [(0.3, 0.3), (0.1, 0.0), (0.0, 0.8)])
def test_parts_have_their_shares(
    genotypes, oracle, background, effects, structure, h2_snp, h2_structure
):
    given = {"default": {}, "K": {"K": oracle.K}, "background": {"background": background}}
    n_causal = 7 if h2_snp else 0
    trait = simulate_on(
        genotypes,
        n_causal=n_causal,
        h2_snp=h2_snp,
        h2_structure=h2_structure,
        effects=effects,
        seed=3,
        **given[structure],
    )
    noise = 1 - h2_snp - h2_structure
    parts = (trait.snp_part, trait.structure_part, trait.noise_part)
    for part, share in zip(parts, (h2_snp, h2_structure, noise), strict=True):
        assert_allclose(part.mean(), 0, atol=1e-14)
        assert_allclose(np.var(part), share, rtol=1e-13, atol=0)
    assert_array_equal(trait.y, sum(parts))
    assert (trait.h2_snp, trait.h2_structure) == (h2_snp, h2_structure)
    found = (trait.variance_snp, trait.variance_structure, trait.variance_noise)
    assert found == tuple(np.var(part) for part in parts)
    # the truth, on both scales
    assert_allclose(oracle.X[:, trait.causal] @ trait.effects, trait.snp_part, atol=1e-13)
    assert_allclose(trait.effects_per_allele, trait.effects / oracle.sd[trait.causal])
    assert len(trait.causal) == n_causal
    assert np.all(np.diff(trait.causal) > 0)


def test_no_noise(genotypes, background):
    trait = simulate_on(genotypes, h2_snp=0.3, h2_structure=0.7, background=background, seed=1)
    assert trait.variance_noise < 1e-12
    pure = simulate_on(genotypes, n_causal=0, h2_snp=0, h2_structure=1, seed=1)
    assert_array_equal(pure.y, pure.structure_part)
    assert len(pure.causal) == len(pure.effects) == 0
    assert_allclose(np.var(pure.y), 1)


def test_a_background_keeps_its_shape(genotypes, background):
    before = background.copy()
    trait = simulate_on(genotypes, h2_structure=0.4, background=background, seed=1)
    expected = (background - background.mean()) / background.std() * np.sqrt(0.4)
    assert_allclose(trait.structure_part, expected, rtol=1e-12)
    assert_array_equal(background, before)
    for units in (1e200, -1e-200):
        other = simulate_on(genotypes, h2_structure=0.4, background=units * background, seed=1)
        assert_allclose(other.structure_part, np.sign(units) * expected, rtol=1e-12)
        assert_array_equal(other.causal, trait.causal)
        assert_array_equal(other.noise_part, trait.noise_part)


@pytest.mark.parametrize("given", [False, True])
def test_random_effects_have_the_kinship_as_covariance(monkeypatch, genotypes, oracle, given):
    """Over many draws u'v over its standard deviation is N(0, 1) for every eigenvector v of K."""
    monkeypatch.setattr(basics, "BLOCK_VALUES", 50 * N)
    K = ll.kinship(genotypes) if given else None
    scale = 1.0 if given else 1 / np.trace(oracle.X @ oracle.X.T / N)
    s, U = np.linalg.eigh(oracle.K)
    use = s > 1e-3
    stream, n_draws = np.random.default_rng(8), 300
    draw = semi_empirical._random_effect
    u = np.sqrt(scale) * np.array([draw(genotypes, K, stream, 1) for _ in range(n_draws)])
    z = (u @ U[:, use]) / np.sqrt(s[use])
    assert abs(np.mean(z**2) - 1) < 4 * np.sqrt(2 / z.size)
    assert abs(np.mean(z)) < 4 / np.sqrt(z.size)
    per_direction = np.mean(z**2, axis=0)  # the largest eigenvectors are the populations
    assert np.abs(per_direction - 1).max() < 5 * np.sqrt(2 / n_draws)
    # and directions do not correlate: the mean square of a correlation is 1 / n_draws
    r = np.corrcoef(z.T)[np.triu_indices(np.count_nonzero(use), k=1)]
    assert abs(np.mean(r**2) * n_draws - 1) < 5 * np.sqrt(2 / len(r))


@pytest.mark.parametrize("given", [False, True])
def test_the_structure_is_the_centred_random_effect(genotypes, given):
    K = ll.kinship(genotypes) if given else None
    trait = simulate_on(genotypes, K=K, h2_structure=0.5, seed=4)
    stream = np.random.default_rng([4, 2]).spawn(4)[2]
    u = semi_empirical._random_effect(genotypes, K, stream, 1)
    expected = np.sqrt(0.5) * (u - u.mean()) / np.std(u)
    assert_allclose(trait.structure_part, expected, rtol=1e-12)


def test_a_given_kinship_is_used_at_any_scale(genotypes, oracle):
    first = simulate_on(genotypes, K=oracle.K, seed=1)
    scaled = simulate_on(genotypes, K=8.0 * oracle.K, seed=1)
    assert_array_equal(first.y, scaled.y)
    other = simulate_on(genotypes, K=np.eye(N), seed=1)
    assert abs(np.corrcoef(other.structure_part, first.structure_part)[0, 1]) < 0.9
    assert_array_equal(other.snp_part, first.snp_part)


def test_blocks_and_storage_do_not_matter(monkeypatch, tmp_path, drawn, genotypes):
    """Packed in memory, in a file, chosen from a larger file, and as an array of numbers."""
    expected = simulate_on(genotypes, seed=2)
    write_plink(tmp_path / "g", drawn.dosages, drawn.samples, drawn.variants)
    in_file = ll.read_plink(tmp_path / "g")
    more = np.vstack([drawn.dosages[:40], drawn.dosages])
    samples = pl.DataFrame({"FID": ["f"] * (N + 40), "IID": [f"i{k}" for k in range(N + 40)]})
    write_plink(tmp_path / "more", more, samples, drawn.variants)
    chosen = ll.read_plink(tmp_path / "more").subset(np.arange(40, N + 40))
    for same in (in_file, chosen):
        for n_threads in (1, 2, None):
            trait = simulate_on(same, seed=2, n_threads=n_threads)
            assert trait.y.tobytes() == expected.y.tobytes()
    dense = DenseGenotypes(
        np.where(drawn.dosages < 0, np.nan, drawn.dosages), drawn.samples, drawn.variants
    )
    packed = simulate_on(genotypes, min_frequency=0, seed=2)
    trait = simulate_on(dense, min_frequency=0, seed=2)
    assert_array_equal(trait.causal, packed.causal)
    assert_allclose(trait.y, packed.y, rtol=1e-11, atol=1e-12)
    monkeypatch.setattr(basics, "BLOCK_VALUES", 7 * N)
    assert_allclose(simulate_on(genotypes, seed=2).y, expected.y, rtol=1e-11, atol=1e-12)


def test_columns_that_are_not_standardised(oracle):
    dense = DenseGenotypes(3 + oracle.X, standardize=False)
    trait = simulate_on(dense, min_frequency=0, h2_snp=0.4, seed=1)
    assert_allclose(trait.snp_part.mean(), 0, atol=1e-14)
    assert_allclose(np.var(trait.snp_part), 0.4)
    raw = (3 + oracle.X)[:, trait.causal] @ trait.effects_per_allele
    assert_allclose(raw - raw.mean(), trait.snp_part, atol=1e-12)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_snps_are_decoded_in_blocks(monkeypatch, n_threads):
    """20,000 SNPs of 100 samples are 16 MB as numbers; they pass through blocks of 160 kB."""
    monkeypatch.setattr(basics, "BLOCK_VALUES", 20_000)
    drawn = simulate_genotypes(100, 20_000, seed=1)
    genotypes = ll.Genotypes.from_array(drawn.dosages, drawn.samples, drawn.variants)
    decode, widths = PackedGenotypes.columns, []

    def spy(self, index, *arguments, **options):
        widths.append(len(index))
        return decode(self, index, *arguments, **options)

    monkeypatch.setattr(PackedGenotypes, "columns", spy)
    tracemalloc.start()
    try:
        simulate_on(genotypes, n_causal=5, min_distance=10_000, seed=1, n_threads=n_threads)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()
    assert max(widths) == 200
    assert sum(widths) == 5 + np.count_nonzero(genotypes.included)


# --- random streams ------------------------------------------------------------------------------


def test_same_seed_same_bits_another_seed_others(genotypes, oracle):
    for structure in ({}, {"K": oracle.K}):
        first, again, other = (simulate_on(genotypes, **structure, seed=s) for s in (1, 1, 2))
        assert first.y.tobytes() == again.y.tobytes()
        assert abs(np.corrcoef(first.y, other.y)[0, 1]) < 0.5
        assert list(first.causal) != list(other.causal)
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - checks that it is left alone
    simulate_on(genotypes, seed=1)
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_streams_are_apart(genotypes, background):
    """What one knob changes leaves the draws of the others alone."""
    first = simulate_on(genotypes, seed=1)
    louder = simulate_on(genotypes, h2_snp=0.6, seed=1)
    assert_array_equal(louder.causal, first.causal)
    assert_array_equal(louder.structure_part, first.structure_part)
    assert_allclose(louder.effects, np.sqrt(2) * first.effects)
    real = simulate_on(genotypes, background=background, effects="geometric", seed=1)
    assert_array_equal(real.causal, first.causal)
    assert_array_equal(real.noise_part, first.noise_part)
    fewer = simulate_on(genotypes, n_causal=3, seed=1)
    assert_array_equal(fewer.structure_part, first.structure_part)


# --- causal SNPs ---------------------------------------------------------------------------------


def test_only_offered_snps_are_causal(genotypes):
    odd = genotypes.filter(exclude=genotypes.variants["ID"][::2].to_list())
    assert np.all(simulate_on(odd, n_causal=100, min_frequency=0, seed=1).causal % 2 == 1)
    two = genotypes.filter(chromosomes=["2"])
    chosen = genotypes.variants[simulate_on(two, n_causal=40, seed=1).causal]
    assert set(chosen["CHROM"]) == {"2"}
    with pytest.raises(InputError, match=r"n_causal: expected at most \d+, the number of SNPs off"):
        simulate_on(two, n_causal=81, seed=1)


@pytest.mark.parametrize("min_frequency", [0.0, 0.05, 0.3])
def test_causal_snps_are_frequent(genotypes, oracle, min_frequency):
    enough = np.flatnonzero((oracle.maf >= min_frequency) & (oracle.sd > 0))
    assert len(enough) < P
    trait = simulate_on(genotypes, n_causal=len(enough), min_frequency=min_frequency, seed=1)
    assert_array_equal(trait.causal, enough)
    found = rf"found {len(enough) + 1}; choose another value"
    with pytest.raises(InputError, match=rf"n_causal: expected at most {len(enough)}, .* {found}"):
        simulate_on(genotypes, n_causal=len(enough) + 1, min_frequency=min_frequency, seed=1)


def test_the_counted_allele_does_not_decide():
    """1 - 0.9 is below 0.1 by one rounding."""
    dosages = np.zeros((10, 2))
    dosages[0, 0], dosages[1:, 1] = 2, 2
    genotypes = ll.Genotypes.from_array(dosages)
    trait = simulate_on(genotypes, n_causal=2, min_frequency=0.1, seed=3)
    assert_array_equal(trait.causal, [0, 1])


def test_every_snp_is_causal_as_often_as_the_others(genotypes, oracle):
    candidates = np.flatnonzero(oracle.maf >= 0.05)
    counts = np.zeros(P)
    for seed in range(200):
        trait = simulate_on(genotypes, n_causal=20, h2_structure=0, seed=seed)
        counts[trait.causal] += 1
    share = 20 / len(candidates)
    z = (counts[candidates] - 200 * share) / np.sqrt(200 * share * (1 - share))
    assert abs(np.mean(z**2) - 1) < 5 * np.sqrt(2 / len(candidates))


@pytest.mark.parametrize("min_distance", [1_000, 20_000, 60_000])
def test_causal_snps_keep_their_distance(genotypes, min_distance):
    for seed in range(10):
        trait = simulate_on(
            genotypes, n_causal=8, min_distance=min_distance, h2_structure=0, seed=seed
        )
        chosen = genotypes.variants[trait.causal]
        assert chosen.height == 8
        for _, snps in chosen.group_by("CHROM"):
            assert np.all(np.diff(snps["POS"].to_numpy()) >= min_distance)


def slow_possible(chromosome, position, distance, n):
    """All sets of n SNPs in which no two on one chromosome are closer than the distance."""
    return [
        chosen
        for chosen in itertools.combinations(range(len(position)), n)
        if all(
            chromosome[a] != chromosome[b] or abs(position[a] - position[b]) >= distance
            for a, b in itertools.combinations(chosen, 2)
        )
    ]


@given(
    st.lists(st.tuples(st.sampled_from("XY"), st.integers(-5, 12)), min_size=1, max_size=8),
    st.integers(1, 8),
    st.one_of(st.integers(1, 20), st.just(10**30)),
    st.integers(0, 2**32),
)
def test_spacing_is_found_whenever_it_is_possible(snps, n, distance, seed):
    chromosome, position = zip(*snps, strict=True)
    possible = slow_possible(chromosome, position, distance, n)
    candidates = 10 + 3 * np.arange(len(snps))
    table = pl.DataFrame({"CHROM": chromosome, "POS": position}, schema_overrides={"POS": pl.Int64})
    stream = np.random.default_rng(seed)
    if possible:
        chosen = choose_spaced(candidates, n, "SNPs", stream, distance, table)
        assert tuple((chosen - 10) // 3) in possible
        return
    most = max(k for k in range(n) if slow_possible(chromosome, position, distance, k))
    message = rf"n_causal: expected at most {len(snps)}, the number of SNPs, found {n}"
    if n <= len(snps):
        message = (
            rf"min_distance: .* found {distance}, which at most {most} of the {len(snps)} SNPs"
        )
    with pytest.raises(InputError, match=message):
        choose_spaced(candidates, n, "SNPs", stream, distance, table)


def test_spaced_snps_are_drawn_one_after_the_other():
    """0, 4, 5, 9 at least 5 apart: two at a time are 0-5, 0-9 and 4-9."""
    table = pl.DataFrame({"CHROM": ["1"] * 4, "POS": [9, 0, 5, 4]})
    stream = np.random.default_rng(0)
    draws = [tuple(choose_spaced(np.arange(4), 2, "", stream, 5, table)) for _ in range(2_000)]
    # 9 or 0 first: either of two others; 5 or 4 first: the only other
    expected = {(0, 1): 1 / 4, (1, 2): 3 / 8, (0, 3): 3 / 8}
    assert set(draws) == set(expected)
    for pair, share in expected.items():
        assert abs(draws.count(pair) / 2_000 - share) < 5 * np.sqrt(share * (1 - share) / 2_000)


def test_spacing_that_cannot_be_kept(genotypes):
    spans = genotypes.variants.group_by("CHROM").agg(pl.col("POS").max())
    assert spans["POS"].min() > 60_000
    with pytest.raises(
        InputError,
        match=r"^min_distance: expected one that 6 causal SNPs can keep from each other, found "
        r"1000000, which at most 5 of the \d+ SNPs offered with a minor allele frequency of at "
        r"least 0\.05 can; choose a smaller one, or fewer causal SNPs$",
    ):
        simulate_on(genotypes, n_causal=6, min_distance=1_000_000, seed=1)
    # a chromosome each
    trait = simulate_on(genotypes, n_causal=5, min_distance=1_000_000, seed=1)
    assert genotypes.variants[trait.causal]["CHROM"].n_unique() == 5


def test_spacing_without_causal_snps(genotypes):
    none = genotypes.filter(extract=[])
    trait = simulate_on(none, n_causal=0, h2_snp=0, h2_structure=0, min_distance=5, seed=1)
    assert_array_equal(trait.y, trait.noise_part)


# --- effects -------------------------------------------------------------------------------------


def test_distributions_of_effects():
    n = 20_000
    drawn = {name: draw_effects(name, n, np.random.default_rng(3)) for name in EFFECTS[:3]}
    for effects in drawn.values():
        assert abs(np.mean(effects > 0) - 0.5) < 4 * 0.5 / np.sqrt(n)
    assert abs(np.mean(drawn["normal"] ** 4) - 3) < 4 * np.sqrt(96 / n)
    assert_array_equal(np.abs(drawn["equal"]), 1.0)
    sizes = np.sort(np.abs(drawn["exponential"]))
    expected = 1 - np.exp(-sizes)
    assert np.abs(np.arange(n) / n - expected).max() < 2 / np.sqrt(n)  # Kolmogorov-Smirnov


def test_geometric_effects():
    effects = draw_effects("geometric", 30, np.random.default_rng(3))
    sizes = np.sort(np.abs(effects))[::-1]
    assert_allclose(sizes, 0.9 ** np.arange(30))
    assert 5 < np.count_nonzero(effects > 0) < 25
    largest = [np.abs(draw_effects("geometric", 5, np.random.default_rng(s))) for s in range(60)]
    assert set(np.argmax(largest, axis=1)) == set(range(5))  # in no order


@pytest.mark.parametrize("effects", ["equal", "geometric"])
def test_scaled_effects_keep_their_proportions(genotypes, effects):
    trait = simulate_on(genotypes, n_causal=6, effects=effects, seed=5)
    sizes = np.sort(np.abs(trait.effects))[::-1]
    ratio = {"equal": 1.0, "geometric": 0.9}[effects]
    assert_allclose(sizes[1:] / sizes[:-1], ratio)


def test_effects_that_cancel():
    x = np.array([[1.0], [-1.0], [2.0], [-2.0]]) * [1, 1]
    with pytest.raises(InputError, match=r"effects: expected causal SNPs .* 2 whose .* cancel"):
        sparse_part(x, np.array([1.0, -1.0]), 0.3)
    effects, part = sparse_part(x, np.array([1.0, -1.0]), 0.0)
    assert not effects.any()
    assert not part.any()


# --- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_causal": -1}, InputError, "n_causal: expected an integer of at least 0, found -1; "),
        ({"n_causal": 2.0}, InputError, "n_causal: expected an integer"),
        ({"n_causal": 0}, InputError, "h2_snp: expected 0 when n_causal is 0"),
        ({"h2_snp": 0}, InputError, "n_causal: expected 0 when h2_snp is 0, found 10; choose"),
        ({"h2_snp": 1.1}, InputError, "h2_snp: expected between 0 and 1, found 1.1"),
        ({"h2_snp": np.nan}, InputError, "h2_snp: expected between"),
        ({"h2_structure": 0.8}, InputError, r"h2_structure: expected between 0 and 0.7 \(1 - h2"),
        ({"h2_structure": np.nan}, InputError, "h2_structure: expected between"),
        ({"effects": "gamma"}, InputError, "effects: expected 'normal', 'equal', .* found 'gam"),
        ({"min_frequency": 0.51}, InputError, "min_frequency: expected between 0 and 0.5"),
        ({"min_distance": -1}, InputError, "min_distance: expected an integer of at least 0"),
        ({"seed": -1}, InputError, "seed: expected an integer of at least 0"),
        ({"n_threads": 0}, InputError, "n_threads: expected an integer of at least 1"),
        ({"K": np.eye(5)}, KinshipError, f"kinship: expected {N} samples, .* found 5; take"),
        ({"K": np.eye(N) - 1}, KinshipError, "kinship: expected a positive"),
        ({"background": np.zeros(5)}, PhenotypeError, f"background: expected {N} values, .*5"),
        ({"background": np.ones(N)}, PhenotypeError, r"at least two different values, found \[1"),
        ({"background": ["a"] * N}, PhenotypeError, "background: expected real numbers"),
        (
            {"background": np.append(np.ones(N - 1), np.nan)},
            PhenotypeError,
            rf"background: expected finite numbers, found nan at position {N - 1} \(1 in all\); ",
        ),
        (
            {"background": np.arange(N), "K": np.eye(N)},
            InputError,
            "K: expected none beside a background",
        ),
    ],
)  # fmt: skip
def test_arguments_out_of_range(genotypes, arguments, error, message):
    with pytest.raises(error, match=message):
        simulate_on(genotypes, **({"seed": 0} | arguments))


def test_genotypes_without_frequencies(oracle):
    dense = ll.Genotypes.from_array(oracle.X)
    with pytest.raises(GenotypeError, match=r"min_frequency: expected 0 .* found 0.05; set it to"):
        simulate_on(dense, seed=0)


def test_structure_that_does_not_differ(genotypes):
    none = genotypes.filter(extract=[])
    with pytest.raises(InputError, match="structure: expected a part that differs"):
        simulate_on(none, n_causal=0, h2_snp=0, seed=1)
    with pytest.raises(InputError, match="structure: expected a part that differs"):
        simulate_on(genotypes, K=np.ones((N, N)), seed=1)


# --- real data -----------------------------------------------------------------------------------


def test_on_real_genotypes(data_dir):
    genotypes = ll.read_plink(data_dir / "mouse_hs1940" / "mouse_hs1940")
    knobs = {"n_causal": 30, "min_distance": 20_000_000, "min_frequency": 0.1}
    trait = simulate_on(genotypes, **knobs, seed=1)
    variances = (trait.variance_snp, trait.variance_structure, trait.variance_noise)
    assert_allclose(variances, (0.3, 0.3, 0.4), rtol=1e-12)
    X = genotypes.columns(trait.causal)
    assert_allclose(X @ trait.effects, trait.snp_part, atol=1e-12)
    for _, snps in genotypes.variants[trait.causal].group_by("CHROM"):
        assert np.all(np.diff(np.sort(snps["POS"].to_numpy())) >= 20_000_000)


def test_on_genotypes_without_positions(data_dir):
    genotypes = ll.read_plink(data_dir / "arabidopsis_84" / "arabidopsis_84")
    assert len(simulate_on(genotypes, h2_structure=0, seed=1).causal) == 10
    with pytest.raises(InputError, match=r"most 1 of .* positions are unknown \(all are 0\)"):
        simulate_on(genotypes, min_distance=500_000, h2_structure=0, seed=1)


# --- the command line ----------------------------------------------------------------------------


def simulate(out, *arguments, code=0):
    return lmmlasso("simulate", *arguments, "--out", out, code=code)


def columns_of(trait):
    return {"BETA": trait.effects_per_allele, "BETA_STD": trait.effects, "ROW": trait.causal}


def test_command_on_a_fileset(small, tmp_path):
    genotypes = ll.read_plink(small.prefix)
    knobs = {
        "n_causal": 4, "h2_snp": 0.5, "h2_structure": 0.2, "effects": "exponential",
        "min_frequency": 0.2, "min_distance": 3000,
    }  # fmt: skip
    for name, flags in (("plain", {}), ("knobs", knobs)):
        arguments = [a for k, v in flags.items() for a in ("--" + k.replace("_", "-"), v)]
        out = tmp_path / name
        err = simulate(out, "--bfile", small.prefix, *arguments, "--seed", 4)
        assert set(results(out)) == {".pheno.tsv", ".truth.tsv"}
        trait = simulate_on(genotypes, **flags, seed=4)
        table = pl.read_csv(f"{out}.pheno.tsv", separator="\t")
        assert table.select("FID", "IID").equals(genotypes.samples)
        assert_array_equal(table["Y"].to_numpy(), trait.y)
        truth = read(f"{out}.truth.tsv")
        assert truth.header == ["ROW", "CHROM", "POS", "ID", "EFFECT_ALLELE", "BETA", "BETA_STD"]
        for column, values in columns_of(trait).items():
            assert_array_equal(getattr(truth, column), values)
        assert list(truth.ID) == genotypes.variants["ID"][trait.causal].to_list()
        assert list(truth.EFFECT_ALLELE) == genotypes.variants["A1"][trait.causal].to_list()
        n_offered = int(genotypes.included.sum())
        assert run_json(out)["counts"] == {"samples": 90, "variants": n_offered}
        assert {entry["path"] for entry in run_json(out)["inputs"]} == {
            f"{small.prefix}.{end}" for end in ("bed", "bim", "fam")
        }
        assert f"of 90 samples, {len(trait.causal)} of {n_offered} SNPs causal; variance: " in err
    for threads in (1, 2):
        simulate(tmp_path / "T", "--bfile", small.prefix, "--seed", 4, "--threads", threads)
        assert results(tmp_path / "T") == results(tmp_path / "plain")
    three = [a for end in ("bed", "bim", "fam") for a in (f"--{end}", f"{small.prefix}.{end}")]
    simulate(tmp_path / "three", *three, "--seed", 4)
    assert results(tmp_path / "three") == results(tmp_path / "plain")
    base = ["--bfile", small.prefix, "--pheno", tmp_path / "plain.pheno.tsv"]
    lmmlasso("fit", *base, "--max-active", 2, "--out", tmp_path / "fit")


def test_command_with_a_background(small, tmp_path):
    """Column Z of two.tsv lacks every ninth sample, one more is not in the table."""
    table = pl.read_csv(small.folder / "two.tsv", separator="\t", null_values="NA")
    path = write_table(tmp_path / "y.tsv", **table[:-1].to_dict(as_series=False))
    flags = ["--bfile", small.prefix, "--background", path]
    err = simulate(tmp_path / "P", *flags, "--background-name", "Z", "--seed", 4)
    known = np.append(np.arange(89) % 9 != 0, False)
    assert f"background Z: {known.sum()} samples have it, {90 - known.sum()} do not" in err
    genotypes = ll.read_plink(small.prefix).subset(known)
    background = table["Z"].to_numpy()[known]
    trait = simulate_on(genotypes, background=background, seed=4)
    written = pl.read_csv(tmp_path / "P.pheno.tsv", separator="\t")
    assert written.select("FID", "IID").equals(genotypes.samples)
    assert_array_equal(written["Y"].to_numpy(), trait.y)
    assert_array_equal(read(tmp_path / "P.truth.tsv").BETA, trait.effects_per_allele)
    assert str(path) in {entry["path"] for entry in run_json(tmp_path / "P")["inputs"]}
    err = simulate(tmp_path / "Q", *flags, code=3)
    assert "expected one phenotype, found 2 (Y, Z); choose one with --background-name" in err
    fields = {name: table[name].to_list() for name in ("FID", "IID")}
    nines = write_table(tmp_path / "nines.tsv", **fields, Y=[-9, *range(89)])
    flags = ["--bfile", small.prefix, "--background", nines]
    assert "-9" in simulate(tmp_path / "Q", *flags, code=3)
    err = simulate(tmp_path / "R", *flags, "--missing-code", "-9")
    assert "background Y: 89 samples have it, 1 do not and are left out" in err
    for values, message in ([[2.0] * 90, "different values, found [2.0]"], [[None] * 90, "[]"]):
        path = write_table(tmp_path / "bad.tsv", **fields, B=values)
        err = simulate(tmp_path / "Q", "--bfile", small.prefix, "--background", path, code=3)
        assert f"error: background B of {path}: background: expected at least two" in err
        assert message in err


def test_command_with_families_and_knobs(tmp_path):
    numbers = ["--n-samples", 60, "--n-variants", 300, "--n-populations", 2, "--family-size", 4]
    knobs = {"n_causal": 5, "effects": "equal", "min_frequency": 0.1, "min_distance": 20_000}
    flags = [a for k, v in knobs.items() for a in ("--" + k.replace("_", "-"), v)]
    err = simulate(tmp_path / "P", *numbers, *flags, "--seed", 3)
    assert "60 samples of 2 populations and 16 families, 300 SNPs, 5 of them causal" in err
    sim = simulate_genotypes(60, 300, n_populations=2, family_size=4, seed=3)
    genotypes = ll.read_plink(tmp_path / "P")
    assert_array_equal(genotypes.dosages(np.arange(300)), sim.dosages)
    assert genotypes.samples.equals(sim.samples)
    assert genotypes.samples["FID"].n_unique() == 16
    trait = simulate_phenotype(sim.dosages, variants=sim.variants, **knobs, seed=3)
    assert_array_equal(read(tmp_path / "P.pheno.tsv").Y, trait.y)
    truth = read(tmp_path / "P.truth.tsv")
    for column, values in columns_of(trait).items():
        assert_array_equal(getattr(truth, column), values)


_SIZE = ["--n-samples", 9, "--n-variants", 20]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(
            ([flag, value, "--bfile", "g"], f"{flag} changes nothing on genotypes that exist")
            for flag, value in (
                ("--n-samples", 9), ("--n-variants", 9), ("--n-populations", 2), ("--fst", 0.2),
                ("--ld", 0.5), ("--missing-rate", 0.1), ("--n-chromosomes", 2),
                ("--family-size", 2),
            )
        ),
        (["--inbred", "--bed", "g.bed"], "--inbred changes nothing on genotypes that exist"),
        ([*_SIZE, "--background", "y"], "--background changes nothing without --bfile"),
        ([*_SIZE, "--background-name", "Y"], "--background-name changes nothing without --bfile"),
        ([*_SIZE, "--missing-code", "1"], "--missing-code changes nothing without --bfile"),
        (
            [*_SIZE, "--accept-reference-samples"],
            "--accept-reference-samples changes nothing without --bfile",
        ),
        (["--bfile", "g", "--background-name", "Y"], "changes nothing without --background"),
        (["--bfile", "g", "--missing-code", "-9"], "changes nothing without --background"),
        (
            ["--bfile", "g", "--background", "y", "--h2-structure", 0],
            "--background changes nothing with --h2-structure 0",
        ),
        *(
            ([*_SIZE, *none, flag, value], f"{flag} changes nothing with {' '.join(none[:2])};")
            for none in (["--n-causal", "0", "--h2-snp", "0"], ["--h2-snp", "0"])
            for flag, value in (
                ("--effects", "equal"), ("--min-frequency", 0.1), ("--min-distance", 10)
            )
        ),
        (["--bim", "g.bim"], "give --bfile PREFIX, or --bed, --bim and --fam"),
        ([*_SIZE, "--effects", "gamma"], "Invalid value for '--effects'"),
        ([*_SIZE, "--min-frequency", 0.6], "Invalid value for '--min-frequency'"),
        ([*_SIZE, "--min-distance", -1], "Invalid value for '--min-distance'"),
    ],
)  # fmt: skip
def test_flags_that_do_not_go_together(tmp_path, arguments, message):
    assert message in simulate(tmp_path / "P", *arguments, code=2)
    assert results(tmp_path / "P") == {}


@pytest.mark.parametrize("existing", [False, True])
def test_command_without_effects_has_no_causal_snp(small, tmp_path, existing):
    size = ["--bfile", small.prefix] if existing else _SIZE
    said = simulate(tmp_path / "P", *size, "--h2-snp", 0)
    assert "SNPs causal" in said if existing else "0 of them causal" in said
    assert read(tmp_path / "P.truth.tsv").n_rows == 0
    y = read(tmp_path / "P.pheno.tsv").Y
    simulate(tmp_path / "Q", *size, "--h2-snp", 0, "--n-causal", 0)
    assert_array_equal(read(tmp_path / "Q.pheno.tsv").Y, y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--min-distance", 10_000_000, "--n-causal", 6],
            "error: --min-distance: expected one that 6 causal SNPs can keep from each other, "
            "found 10000000, which at most 5 of the ",
        ),
        (["--n-causal", 151], "error: --n-causal: expected at most "),
        (["--h2-snp", 0.8], "error: --h2-structure: expected between 0 and 0.2 (1 - --h2-snp)"),
    ],
)
def test_phenotypes_that_cannot_be(small, tmp_path, arguments, message):
    assert message in simulate(tmp_path / "P", "--bfile", small.prefix, *arguments, code=3)
    assert results(tmp_path / "P") == {}


def test_command_spares_other_files(small, tmp_path):
    """Neither a phenotype, nor a fileset that would pass for a simulated one, nor an input."""
    (tmp_path / "mine.pheno.tsv").write_text("precious")
    err = simulate(tmp_path / "mine", "--bfile", small.prefix, code=3)
    assert "expected no file, or one of an earlier simulation" in err
    assert results(tmp_path / "mine") == {".pheno.tsv": b"precious"}
    fileset = ll.read_plink(small.prefix)
    write_plink(tmp_path / "g", small.dosages, small.samples, fileset.variants)
    before = results(tmp_path / "g")
    err = simulate(tmp_path / "g", "--bfile", tmp_path / "g", code=3)
    assert "which `lmmlasso simulate` would take for its own; choose another --out" in err
    assert results(tmp_path / "g") == before
    simulate(tmp_path / "P", "--bfile", small.prefix)
    first = results(tmp_path / "P")
    flags = ["--bfile", small.prefix, "--background", tmp_path / "P.pheno.tsv"]
    err = simulate(tmp_path / "P", *flags, code=3)
    assert "P.pheno.tsv: it is an input, and would be replaced; change --out" in err
    assert results(tmp_path / "P") == first
    simulate(tmp_path / "P", "--bfile", small.prefix)  # over its own
    assert results(tmp_path / "P") == first

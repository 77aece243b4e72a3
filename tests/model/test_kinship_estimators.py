"""Kinship estimators against their formulas, and against the programs that they are named after."""

import shutil
import subprocess

import numpy as np
import polars as pl
import pytest
import reference as ref
from cli_files import lmmlasso, results
from numpy.testing import assert_allclose, assert_array_equal
from problems import dense, from_array, random_dosages, sample_table, variant_table

import lmmlasso_fast as ll
from lmmlasso_fast.errors import InputError, KinshipError
from lmmlasso_fast.io.kinship_files import load_kinship, read_gemma, read_grm, read_rel, write_grm
from lmmlasso_fast.loco import LeaveOneOut
from lmmlasso_fast.simulation import write_plink

pytestmark = pytest.mark.promise("peers")

ESTIMATORS = ("rrm", "standardised", "centred", "gcta", "ibs")


def raw(K):
    return K.matrix * K.scale


# ---- the formulas --------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_the_formula(estimator, missing):
    D = random_dosages(np.random.default_rng(1), 25, 90, missing, hostile=True)
    genotypes = from_array(D, samples=sample_table(25))
    K = ll.kinship(genotypes, estimator)
    expected = ref.kinship_by_estimator(D, estimator)
    assert_allclose(raw(K), expected, rtol=2e-6, atol=2e-6)
    if estimator == "ibs":  # counts are exact
        assert_allclose(raw(K), expected, rtol=1e-13)
    assert_allclose(np.mean(np.diag(K.matrix)), 1, rtol=1e-14)
    assert (K.estimator, K.n_variants) == (estimator, int(genotypes.included.sum()))
    assert K.samples.equals(sample_table(25))
    assert_array_equal(K.matrix, K.matrix.T)
    assert not K.matrix.flags.writeable


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_of_chosen_samples_and_snps(monkeypatch, estimator):
    """More than one block of SNPs, some of them not offered, in an order of the samples."""
    monkeypatch.setattr("lmmlasso_fast.relationship._BLOCK", 64)
    D = random_dosages(np.random.default_rng(2), 30, 450, missing=0.02)
    rows = np.array([4, 20, 7, 3, 11, 2, 29, 0])
    genotypes = from_array(D, variants=variant_table(450, "123"))
    part = genotypes.filter(chromosomes=["1", "3"]).subset(rows)
    kept = D[rows][:, np.r_[:150, 300:450]]
    expected = ref.kinship_by_estimator(kept, estimator)
    assert_allclose(raw(ll.kinship(part, estimator)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_bits_do_not_depend_on_threads(monkeypatch, estimator):
    monkeypatch.setattr("lmmlasso_fast.relationship._BLOCK", 32)
    D = random_dosages(np.random.default_rng(3), 20, 500, missing=0.03)
    one, *others = (ll.kinship(from_array(D), estimator, n_threads=k) for k in (1, 2, 5))
    for other in others:
        assert_array_equal(other.matrix, one.matrix)


@pytest.mark.parametrize("estimator", ["ibs", "gcta"])
def test_swapped_alleles_change_nothing(estimator):
    D = random_dosages(np.random.default_rng(4), 20, 50, missing=0.1)
    swapped = D.copy()
    swapped[:, ::2] = 2 - swapped[:, ::2]
    K, other = (ll.kinship(from_array(X), estimator) for X in (D, swapped))
    assert_allclose(other.matrix, K.matrix, rtol=1e-6, atol=1e-6)


def test_monomorphic_snps_are_no_part_of_ibs():
    """They would add a constant to K, which the intercept has already."""
    D = random_dosages(np.random.default_rng(5), 10, 40)
    constant = np.column_stack([D, np.ones((10, 5))])
    assert_array_equal(
        raw(ll.kinship(from_array(constant), "ibs")), raw(ll.kinship(from_array(D), "ibs"))
    )


def test_without_missing_genotypes_some_are_the_same():
    D = random_dosages(np.random.default_rng(6), 15, 60)
    genotypes = from_array(D)
    K = ll.kinship(genotypes)
    assert_allclose(raw(ll.kinship(genotypes, "standardised")), raw(K), rtol=1e-6, atol=1e-6)
    assert np.abs(raw(ll.kinship(genotypes, "gcta")) - raw(K)).max() > 1e-3


@pytest.mark.parametrize("estimator", ["rrm", "standardised", "centred"])
def test_any_numbers(estimator):
    X = np.random.default_rng(7).standard_normal((12, 30)) * 1e3
    X[2, 3] = np.nan
    found = ll.kinship(dense(X), estimator)
    expected = ref.kinship_by_estimator(X, estimator)
    assert_allclose(raw(found), expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("estimator", ["ibs", "gcta"])
def test_allele_counts_are_needed(estimator):
    X = np.random.default_rng(7).standard_normal((12, 30))
    with pytest.raises(KinshipError, match=f"'{estimator}': expected dosages 0, 1, 2, found other"):
        ll.kinship(dense(X), estimator)


@pytest.mark.parametrize("estimator", ["ibs", "gcta"])
def test_samples_without_a_common_snp(estimator):
    D = random_dosages(np.random.default_rng(8), 10, 20)
    D[2, :10] = D[7, 10:] = np.nan
    with pytest.raises(KinshipError, match="found none for samples 3 and 8"):
        ll.kinship(from_array(D), estimator)
    ll.kinship(from_array(D), "centred")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_rounding_of_our_own_is_not_warned_of(estimator):
    """More samples than SNPs: many eigenvalues are zero up to float32's rounding."""
    D = random_dosages(np.random.default_rng(13), 300, 40)
    K = ll.kinship(from_array(D), estimator)
    lowest, largest = np.linalg.eigvalsh(K.matrix)[[0, -1]]
    assert abs(lowest) < 1e-5 * largest
    assert K.spectrum.s[0] == pytest.approx(0, abs=1e-5 * largest)  # warnings are errors here


def test_indefinite_by_missing_genotypes_is_said():
    """Averages over each pair's own SNPs are no covariance; the lowest eigenvalue decides."""
    D = random_dosages(np.random.default_rng(9), 40, 20, missing=0.4)
    K = ll.kinship(from_array(D), "ibs")
    assert np.linalg.eigvalsh(K.matrix)[0] < -1e-2
    with pytest.raises(KinshipError, match="positive semi-definite"):
        ll.fit_null(np.random.default_rng(0).standard_normal(40), K)


# ---- leaving one chromosome out ------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kept_bytes", [0, 1 << 30])
def test_leave_one_chromosome_out(monkeypatch, estimator, kept_bytes):
    monkeypatch.setattr("lmmlasso_fast.loco.KEPT_BYTES", kept_bytes)
    D = random_dosages(np.random.default_rng(10), 20, 60)
    D[np.ix_(range(5), range(10))] = np.nan  # on the first chromosome alone
    genotypes = from_array(D, samples=sample_table(20), variants=variant_table(60, ("1", "X", "b")))
    found = dict(ll.kinship_loco(genotypes, estimator))
    assert list(found) == ["1", "X", "b"]
    for name, K in found.items():
        others = genotypes.filter(chromosomes=set(found) - {name})
        expected = ll.kinship(others, estimator)
        assert_allclose(raw(K), raw(expected), rtol=1e-5, atol=1e-6)
        assert (K.estimator, K.n_variants) == (estimator, 40)
        assert K.samples.equals(expected.samples)


def test_leave_out_what():
    genotypes = from_array(random_dosages(np.random.default_rng(0), 9, 12))
    with pytest.raises(InputError, match="at least two chromosomes, found only '0'"):
        LeaveOneOut(genotypes)
    with pytest.raises(KinshipError, match="estimator: expected 'rrm'"):
        ll.kinship_loco(genotypes, "wrong")
    with pytest.raises(InputError, match="found none"):
        LeaveOneOut(from_array(np.ones((9, 12))))


# ---- the command line ----------------------------------------------------------------------------


@pytest.fixture
def fileset(tmp_path):
    """60 samples, 200 SNPs on three chromosomes, 8 % missing, all polymorphic, A1 the minor."""
    D = random_dosages(np.random.default_rng(12), 60, 200, missing=0.08)
    D = np.where(np.nanmean(D, axis=0) > 1, 2 - D, D)
    ids = pl.DataFrame(
        {"FID": [f"f{i // 4}" for i in range(60)], "IID": [f"i{i}" for i in range(60)]}
    )
    variants = variant_table(200, ("1", "2", "3"))
    dosages = np.asfortranarray(np.where(np.isnan(D), -1, D).astype(np.int8))
    write_plink(tmp_path / "g", dosages, ids, variants)
    return tmp_path / "g"


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_command(fileset, estimator):
    out = fileset.with_name("K")
    formats = ["--format", "npz", "--format", "grm", "--format", "gemma"]
    lmmlasso("kinship", "--bfile", fileset, "--estimator", estimator, *formats, "--out", out)
    K = load_kinship(f"{out}.kinship.npz")
    expected = ll.kinship(ll.read_plink(fileset), estimator)
    assert_array_equal(K.matrix, expected.matrix)
    assert (K.estimator, K.n_variants, K.scale) == (estimator, 200, expected.scale)
    assert_allclose(raw(read_grm(out)), raw(K), rtol=1e-6, atol=1e-7)
    text = f"{out}.{'sXX' if estimator == 'standardised' else 'cXX'}.txt"
    assert_allclose(raw(read_gemma(text)), raw(K), rtol=1e-12)


def test_command_loco(fileset):
    """One file per chromosome, whatever its name."""
    text = fileset.with_suffix(".bim").read_text().replace("\n3\t", "\n../x\t")
    fileset.with_suffix(".bim").write_text(text)
    out = fileset.with_name("K")
    loco = ["--estimator", "ibs", "--loco", "--format", "npz", "--format", "grm"]
    lmmlasso("kinship", "--bfile", fileset, *loco, "--out", out)
    matrices = {name for name in results(out) if name.endswith((".npz", ".grm.bin"))}
    names = {"1": "1", "2": "2", "../x": "_x"}
    assert matrices == {
        f".loco.{name}.{end}" for name in names.values() for end in ("kinship.npz", "grm.bin")
    }
    genotypes = ll.read_plink(fileset)
    for chromosome, K in ll.kinship_loco(genotypes, "ibs"):
        read = load_kinship(f"{out}.loco.{names[chromosome]}.kinship.npz")
        assert_array_equal(read.matrix, K.matrix)


# ---- the programs themselves ---------------------------------------------------------------------


def run(program, *arguments, folder):
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"needs {program} (Debian: apt-get install {program})")
    call = [found, *map(str, arguments)]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def assert_is_ours(K, genotypes, estimator, atol=3e-6):
    ours = ll.kinship(genotypes, estimator)
    assert_allclose(raw(K), raw(ours), atol=atol)
    if K.samples is not None:
        assert K.samples.equals(genotypes.samples)
    if K.n_variants is not None:
        assert K.n_variants <= ours.n_variants


@pytest.fixture
def mouse(data_dir, tmp_path):
    """Every sixth mouse, with the SNPs that vary among these and have a position (PLINK's rule)."""
    mice = ll.read_plink(data_dir / "mouse_hs1940" / "mouse_hs1940").subset(np.arange(0, 1940, 6))
    with_position = mice.variants["POS"].to_numpy() >= 0
    snps = np.flatnonzero(mice.included & with_position)
    dosages = np.asfortranarray(mice.dosages(snps))
    write_plink(tmp_path / "m", dosages, mice.samples, mice.variants[snps])
    return tmp_path / "m"


@pytest.fixture(params=["fileset", "mouse"])
def either(request):
    """(prefix, genotypes, flags for PLINK)."""
    prefix = request.getfixturevalue(request.param)
    fam = [line.split()[:5] for line in prefix.with_suffix(".fam").read_text().splitlines()]
    text = "".join("\t".join([*row, str(k % 7)]) + "\n" for k, row in enumerate(fam))
    prefix.with_suffix(".fam").write_text(text)  # GEMMA wants a phenotype
    return prefix, ll.read_plink(prefix), ["--mouse", "--nonfounders", "--threads", 1]


@pytest.mark.parametrize("program", ["plink1.9", "plink2"])
def test_plink_grm(either, program):
    prefix, genotypes, flags = either
    plink = ["--bfile", prefix, *flags]
    run(program, *plink, "--make-grm-bin", "--out", "theirs", folder=prefix.parent)
    K = read_grm(prefix.with_name("theirs"))
    assert_is_ours(K, genotypes, "gcta")
    write_grm(K, prefix.with_name("again"))  # float32 in, float32 out
    again = prefix.with_name("again.grm.bin").read_bytes()
    values = [
        np.frombuffer(text, "<f4")
        for text in (again, prefix.with_name("theirs.grm.bin").read_bytes())
    ]
    assert_allclose(*values, rtol=2e-7)


def test_plink2_rel(either):
    prefix, genotypes, flags = either
    plink = ["--bfile", prefix, *flags, "--make-rel", "square", "--out", "theirs"]
    run("plink2", *plink, folder=prefix.parent)
    assert_is_ours(read_rel(prefix.with_name("theirs")), genotypes, "gcta", atol=1e-5)


def test_plink_ibs(either):
    prefix, genotypes, flags = either
    distance = ["--distance", "square", "ibs", "flat-missing"]
    plink = ["--bfile", prefix, *flags, *distance, "--out", "theirs"]
    run("plink1.9", *plink, folder=prefix.parent)
    theirs = np.loadtxt(f"{prefix.with_name('theirs')}.mibs")
    assert_allclose(theirs, raw(ll.kinship(genotypes, "ibs")), atol=1e-6)  # six digits


@pytest.mark.parametrize(("k", "estimator"), [(1, "centred"), (2, "standardised")])
def test_gemma(either, k, estimator):
    prefix, genotypes, _ = either
    everything = ["-maf", 0, "-miss", 1, "-r2", 1, "-hwe", 0, "-notsnp"]
    run("gemma", "-bfile", prefix.name, "-gk", k, *everything, "-o", "theirs",
        folder=prefix.parent)  # fmt: skip
    K = read_gemma(prefix.parent / "output" / f"theirs.{'cs'[k - 1]}XX.txt", genotypes.samples)
    assert_is_ours(K, genotypes, estimator)


def test_ibs_of_fractional_dosages_is_refused():
    X = np.random.default_rng(0).uniform(0, 2, (12, 30))
    genotypes = ll.DosageGenotypes.from_dosages(X)
    with pytest.raises(KinshipError, match="identity by state is of genotypes 0, 1, 2"):
        ll.kinship(genotypes, "ibs")
    whole = ll.DosageGenotypes.from_dosages(np.rint(X))
    packed = ll.Genotypes.from_array(np.rint(X))
    np.testing.assert_allclose(
        ll.kinship(whole, "ibs").matrix, ll.kinship(packed, "ibs").matrix, rtol=1e-12
    )

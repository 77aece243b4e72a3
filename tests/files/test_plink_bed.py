"""Opening a .bed: what is not a fileset of these samples and SNPs is refused, by name."""

import gzip

import numpy as np
import pytest
import reference as ref
from numpy.testing import assert_allclose, assert_array_equal
from problems import random_dosages, sample_table, variant_table

import lmmlasso_fast as ll
from lmmlasso_fast.errors import DataWarning, PlinkFormatError
from lmmlasso_fast.io.plink_write import write_plink

pytestmark = pytest.mark.promise("any-bytes")


def write_fileset(folder, D, name="x"):
    """Write dosages (nan = missing) with the package; return the prefix."""
    n, p = D.shape
    dosages = np.where(np.isnan(D), -1, D).astype(np.int8)
    write_plink(folder / name, dosages, sample_table(n), variant_table(p))
    return folder / name


def example(n=10, p=40, seed=0):
    D = random_dosages(np.random.default_rng(seed), n, p, missing=0.1)
    D[-3:, 0] = 1.0, 0.0, 1.0  # the last samples are not 00 everywhere
    return D


def rewrite(prefix, change):
    """Replace the bytes of PREFIX.bed by change(bytes)."""
    path = prefix.with_suffix(".bed")
    path.write_bytes(change(path.read_bytes()))


def refused(prefix, *texts, **options):
    """Assert that opening raises exactly PlinkFormatError, naming file, expected and found."""
    with pytest.raises(PlinkFormatError) as caught:
        ll.read_plink(prefix, **options)
    assert type(caught.value) is PlinkFormatError
    message = str(caught.value)
    assert message.startswith(str(prefix)), message
    before, _, found = message.partition(", found ")
    assert ": expected " in before, message
    assert found, message
    assert "None" not in message, message
    for text in texts:
        assert text in message, message


# ---- round trip ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 9, 33])
def test_what_is_written_is_read(n, tmp_path):
    """The bytes are the oracle's; genotypes, ids and statistics come back."""
    D = random_dosages(np.random.default_rng(n), n, 50, missing=0.1)
    D[-3:, 0] = [1.0, 0.0, 1.0][-n:]
    D[-3:, 1] = [0.0, 1.0, 1.0][-n:]
    prefix = write_fileset(tmp_path, D)
    bed = prefix.with_suffix(".bed").read_bytes()
    assert bed == ref.encode_bed(D)
    assert_array_equal(ref.decode_bed(bed, n, 50), D)
    genotypes = ll.read_plink(prefix)
    X, mean, sd = ref.standardise(D)
    assert_allclose(genotypes.mean, mean, rtol=1e-14)
    assert_allclose(genotypes.sd, sd, rtol=1e-13)
    assert_allclose(genotypes.columns(np.arange(50)), X, atol=1e-13)
    assert genotypes.samples.equals(sample_table(n))
    assert genotypes.variants.equals(variant_table(50))
    assert genotypes.has_sample_ids
    named = ll.read_plink(bed=f"{prefix}.bed", bim=f"{prefix}.bim", fam=prefix.with_suffix(".fam"))
    assert_array_equal(named.mean, genotypes.mean)


def test_a_simulated_fileset_round_trips(tmp_path):
    from lmmlasso_fast.simulation import simulate_genotypes

    simulated = simulate_genotypes(30, 80, seed=3)
    write_plink(tmp_path / "sim", simulated.dosages, simulated.samples, simulated.variants)
    genotypes = ll.read_plink(tmp_path / "sim")
    assert_array_equal(genotypes.dosages(np.arange(80)), simulated.dosages)
    assert genotypes.variants.equals(simulated.variants.select(genotypes.variants.columns))


def test_genotypes_are_mapped_not_read(tmp_path, monkeypatch):
    prefix = write_fileset(tmp_path, example())
    genotypes = ll.read_plink(prefix)
    assert isinstance(genotypes._data, np.memmap)
    assert not genotypes._data.flags.writeable
    monkeypatch.setattr("lmmlasso_fast.packed._COMPRESS_UP_TO", 79)  # of 64 MB
    assert isinstance(genotypes.subset(range(5))._data, np.memmap)  # 40 SNPs of two bytes


# ---- the first three bytes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (lambda b: b"\x6c\x1a" + b[2:], ["6c 1b 01", "6c 1a 01", "offset 0"]),
        (lambda b: b"\x1b\x6c" + b[2:], ["1b 6c 01", "swapped"]),
        (lambda b: b[:2] + b"\0" + b[3:], ["offset 2", "found 00 (individual-major)", "plink2"]),
        (lambda b: b[:2] + b"\2" + b[3:], ["offset 2", "found 02"]),
        (gzip.compress, ["1f 8b", "gzip", "decompress"]),
        (lambda b: b"chr1\t100\t200\tgene\n" * 20, ["text file", "BED"]),
        (lambda b: b"track name=x\n", ["text file", "BED"]),
        (lambda b: b"", ["found 0 bytes"]),
        (lambda b: b[:1], ["found 1 bytes"]),
        (lambda b: b[:2], ["found 2 bytes"]),
        (lambda b: b[3:], ["6c 1b 01"]),
    ],
)
def test_what_is_no_bed_is_refused(change, texts, tmp_path):
    prefix = write_fileset(tmp_path, example())
    rewrite(prefix, change)
    refused(prefix, *texts)


# ---- size ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (lambda b: b[:-1], ["expected 123 bytes", "found 122"]),
        (lambda b: b + b"\0", ["expected 123 bytes", "found 124"]),
        (lambda b: b[:-3], ["found 120", "39 SNPs of 10 samples"]),
        (lambda b: b + b[-3:], ["found 126", "41 SNPs of 10 samples"]),
        (lambda b: b[:3], ["found 3", "0 SNPs of 10 samples"]),
        (lambda b: b + b[3:], ["found 243", "80 SNPs of 10 samples"]),
        (lambda b: b[:3] + b[3:83], ["found 83", "40 SNPs of 5 to 8 samples"]),
    ],
)
def test_truncated_and_over_long_files_are_refused(change, texts, tmp_path):
    prefix = write_fileset(tmp_path, example(10, 40))
    rewrite(prefix, change)
    refused(prefix, "40 SNPs (.bim)", "10 samples (.fam)", *texts)


def edit_lines(path, change):
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


@pytest.mark.parametrize("change", [lambda rows: rows[:-1], lambda rows: [*rows, "1 z 0 9 A C\n"]])
def test_a_bim_of_another_length_is_refused(change, tmp_path):
    prefix = write_fileset(tmp_path, example())
    edit_lines(prefix.with_suffix(".bim"), change)
    refused(prefix, "SNPs (.bim)", "40 SNPs of 10 samples")


@pytest.mark.parametrize("change", [lambda rows: rows[:-3], lambda rows: [*rows, *"abc"]])
def test_a_fam_of_another_length_is_refused(change, tmp_path):
    prefix = write_fileset(tmp_path, example(10, 41))
    edit_lines(
        prefix.with_suffix(".fam"),
        lambda rows: [row if len(row) > 1 else f"{row} {row} 0 0 0 0\n" for row in change(rows)],
    )
    refused(prefix, "samples (.fam)", "41 SNPs of 9 to 12 samples")


@pytest.mark.parametrize("extension", [".bed", ".bim", ".fam"])
def test_missing_files_are_refused(extension, tmp_path):
    prefix = write_fileset(tmp_path, example())
    prefix.with_suffix(extension).unlink()
    with pytest.raises(PlinkFormatError, match=f"x\\{extension}.*No such file"):
        ll.read_plink(prefix)


def test_neither_prefix_nor_files():
    with pytest.raises(PlinkFormatError, match=r"expected a prefix or bed, bim and fam, found no"):
        ll.read_plink(bed="x.bed")


# ---- the last byte ---------------------------------------------------------------------------


def shorten_fam(prefix, k):
    edit_lines(prefix.with_suffix(".fam"), lambda rows: rows[:-k])


def lengthen_fam(prefix, k):
    more = [f"new{i} new{i} 0 0 0 -9\n" for i in range(k)]
    edit_lines(prefix.with_suffix(".fam"), lambda rows: [*rows, *more])


@pytest.mark.parametrize(("n", "k"), [(8, 1), (8, 2), (8, 3), (7, 1), (7, 2), (6, 1), (4, 3)])
def test_a_fam_that_is_too_short_shows_in_the_padding(n, k, tmp_path):
    """The same number of bytes per SNP, so that the size says nothing."""
    prefix = write_fileset(tmp_path, example(n, 40))
    shorten_fam(prefix, k)
    refused(prefix, f"{n - k} samples", "too few samples", ".fam")
    refused(prefix, accept_reference_samples=True)


@pytest.mark.parametrize(("n", "k"), [(5, 1), (5, 2), (5, 3), (6, 1), (6, 2), (7, 1)])
def test_a_fam_that_is_too_long_shows_in_samples_without_any_other_allele(n, k, tmp_path):
    prefix = write_fileset(tmp_path, example(n, 32))
    lengthen_fam(prefix, k)
    refused_fam(prefix, k)
    genotypes = ll.read_plink(prefix, accept_reference_samples=True)
    assert genotypes.n_samples == n + k
    assert_array_equal(genotypes.dosages(np.arange(32))[n:], 2)


def refused_fam(prefix, k):
    with pytest.raises(PlinkFormatError) as caught:
        ll.read_plink(prefix)
    assert type(caught.value) is PlinkFormatError
    message = str(caught.value)
    for text in (f"{prefix}.fam", ": expected ", ", found ", f"last {k} ", "accept_reference"):
        assert text in message, message


@pytest.mark.parametrize("k", [1, 2, 3])
def test_with_few_snps_it_may_be_chance_and_is_a_warning(k, tmp_path):
    prefix = write_fileset(tmp_path, example(5, 31))
    lengthen_fam(prefix, k)
    with pytest.warns(DataWarning, match=f"last {k} of its {5 + k} samples"):
        assert ll.read_plink(prefix).n_samples == 5 + k


def test_reference_samples_elsewhere_are_no_cause_for_alarm(tmp_path):
    """00 everywhere in the first sample, in one that shares its last byte with nobody, and in
    one before a last sample that is something else."""
    for n, i in ((8, 0), (9, 8), (8, 6), (8, 4)):
        D = example(n, 40)
        D[i] = 2.0
        D[-1 if i != n - 1 else 0, 1] = 1.0
        assert ll.read_plink(write_fileset(tmp_path, D, f"x{n}{i}")).n_samples == n


@pytest.mark.parametrize("seed", range(24))
def test_a_mismatch_of_one_to_three_samples_is_always_noticed(seed, tmp_path):
    """24 of 24 in a simulation: any count but the true one is refused."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(5, 30)), int(rng.integers(1, 4))
    prefix = write_fileset(tmp_path, example(n, 60, seed))
    (shorten_fam if seed % 2 else lengthen_fam)(prefix, k)
    with pytest.raises(PlinkFormatError):
        ll.read_plink(prefix)

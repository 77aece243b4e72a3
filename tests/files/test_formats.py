"""Genotypes of other formats, against what PLINK itself says of the same files."""

import gzip
import re
import shutil
import struct
import subprocess
import warnings
from contextlib import nullcontext
from itertools import product
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import random_dosages, sample_table, variant_table
from vcf_files import bcf_of, write_vcf

import lmmlasso_fast as ll
from lmmlasso_fast.dense import DenseGenotypes
from lmmlasso_fast.dosage import DosageGenotypes
from lmmlasso_fast.errors import (
    DataWarning,
    GenotypeError,
    InputError,
    PlinkFormatError,
    SampleMatchError,
    TableError,
)
from lmmlasso_fast.io.pgen_text import read_psam, read_pvar, read_sample_file
from lmmlasso_fast.io.vcf import _rehearse
from lmmlasso_fast.packed import PackedGenotypes
from lmmlasso_fast.simulation import write_plink

pytestmark = pytest.mark.promise("any-bytes")

N, P = 53, 60


def tool(name):
    """A function that runs a PLINK."""
    if shutil.which(name) is None:
        pytest.skip(f"needs {name} (Debian package {name})")

    def run(*arguments):
        command = [name, *(str(part) for part in arguments), "--threads", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr[-500:]}"

    return run


@pytest.fixture(scope="module")
def plink2():
    return tool("plink2")


@pytest.fixture(scope="module")
def plink19():
    return tool("plink1.9")


@pytest.fixture(scope="module")
def files(plink2, tmp_path_factory):
    """Dummy data of PLINK 2 in every format: `dos` has dosages, `calls` has not."""
    for module in ("pgenlib", "cyvcf2", "bgen"):
        pytest.importorskip(module)
    folder = tmp_path_factory.mktemp("formats")
    size = ["--dummy", N, P, "0.02,0.3", "acgt"]
    plink2(*size, "dosage-freq=0.4", "phase-freq=0.5", "--seed", 1, "--out", folder / "dos0")
    plink2(*size, "--seed", 2, "--out", folder / "calls0")
    for name in ("dos", "calls"):
        # several chromosomes and ids that are hard on parsers
        lines = (folder / f"{name}0.pvar").read_text().splitlines()
        for j in range(P):
            chrom, _, snp, *alleles = lines[j + 1].split("\t")
            chrom = chrom if j < 20 else ("7" if j < 40 else "22")
            snp = {3: "rs=;3|x", 5: "007", 8: "NA", 9: "=cmd()"}.get(j, snp)
            lines[j + 1] = "\t".join([chrom, str(1000 + 10 * j), snp, *alleles])
        (folder / f"{name}.pvar").write_text("\n".join(lines) + "\n")
        lines = ["#FID\tIID\tSEX"] + [
            f"f{i % 5}\t{['', '0', 'é-'][i % 3]}{i + 1}\t2" for i in range(N)
        ]
        (folder / f"{name}.psam").write_text("\n".join(lines) + "\n")
        shutil.move(folder / f"{name}0.pgen", folder / f"{name}.pgen")
        one = ["--pfile", folder / name, "--out"]
        plink2(*one, folder / f"{name}_z", "--make-pgen", "vzs")
        plink2(*one, folder / name, "--make-bed")
        dosage = "vcf-dosage=DS"
        plink2(*one, folder / name, "--export", "vcf", dosage)
        plink2(*one, folder / f"{name}_force", "--export", "vcf", "bgz", f"{dosage}-force")
        plink2(*one, folder / name, "--export", "bcf", dosage)
        for version in ("1.1", "1.2", "1.3"):
            plink2(*one, folder / f"{name}_{version}", "--export", f"bgen-{version}")
        plink2(*one, folder / f"{name}_8", "--export", "bgen-1.2", "bits=8", "ref-first")
        plink2(*one, folder / name, "--freq", "cols=chrom,ref,alt,altfreq,nobs")
        counts = ["vcols=chrom,nmissdosage", "scols=fid,nmissdosage,nobs"]
        plink2(*one, folder / name, "--missing", *counts)
        plink2(*one, folder / name, "--export", "Av")
    return folder


def table(path):
    return pl.read_csv(path, separator="\t", infer_schema=False)


def exported_dosages(path):
    """Copies of ALT by `--export Av`, which counts REF; NaN missing. n x p"""
    frame = table(path)
    values = frame[:, 6:].to_numpy()
    return 2 - np.where(values == "NA", "nan", values).astype(float).T


def check_against_plink(genotypes, prefix, tolerance=3.1e-5):
    """Dosages, frequencies, missing rates and variants, as PLINK writes them."""
    D = genotypes.dosages(np.arange(P)).astype(float)
    D[D < 0] = np.nan
    expected = exported_dosages(f"{prefix}.traw")
    assert_array_equal(np.isnan(D), np.isnan(expected))
    assert_allclose(D, expected, atol=tolerance)
    freq = table(f"{prefix}.afreq")
    assert genotypes.variants["CHROM"].to_list() == freq["#CHROM"].to_list()
    assert genotypes.variants["ID"].to_list() == freq["ID"].to_list()
    assert genotypes.variants["A1"].to_list() == freq["ALT"].to_list()
    assert genotypes.variants["A2"].to_list() == freq["REF"].to_list()
    assert_allclose(genotypes.frequency, freq["ALT_FREQS"].cast(float), atol=tolerance)
    vmiss = table(f"{prefix}.vmiss")
    assert_array_equal(genotypes.n_missing, vmiss["MISSING_DOSAGE_CT"].cast(int))
    smiss = table(f"{prefix}.smiss")
    offered = np.isnan(D[:, genotypes.included]).sum(axis=1)
    assert_allclose(genotypes.sample_missing_rate(), offered / genotypes.included.sum())
    if genotypes.included.all():
        assert_array_equal(offered, smiss["MISSING_DOSAGE_CT"].cast(int))


# ---- PLINK 2 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dos", "calls"])
def test_pgen_is_what_plink_says(files, name):
    kind = DosageGenotypes if name == "dos" else PackedGenotypes
    genotypes = ll.read_pgen(files / name)
    assert type(genotypes) is kind
    check_against_plink(genotypes, files / name)
    assert genotypes.samples.rows()[:3] == [("f0", "1"), ("f1", "02"), ("f2", "é-3")]
    again = ll.read_pgen(
        pgen=files / f"{name}.pgen", pvar=files / f"{name}_z.pvar.zst", psam=files / f"{name}.psam"
    )
    every = np.arange(P)
    assert_array_equal(again.dosages(every), genotypes.dosages(every))
    assert ll.read_pgen(files / f"{name}_z").variants.equals(genotypes.variants)
    if name == "dos":
        # 16 bits lose nothing: multiples of 1/16384
        D = genotypes.dosages(every) * 16384
        assert_array_equal(D[~np.isnan(D)], np.rint(D[~np.isnan(D)]))
        small = ll.read_pgen(files / name, bits=8)
        assert small._codes.dtype == np.uint8
        error = small.dosages(every) - genotypes.dosages(every)
        assert 1 / 1000 < np.nanmax(np.abs(error)) <= (1 + 1e-9) / 254


@pytest.mark.parametrize("name", ["dos", "calls"])
def test_hard_calls_are_those_of_the_bed(files, name):
    """--make-bed has the hard calls; its A1 is ALT."""
    bed, pgen = ll.read_plink(files / name), ll.read_pgen(files / name, dosage="GT")
    assert type(pgen) is PackedGenotypes
    assert_array_equal(pgen.dosages(np.arange(P)), bed.dosages(np.arange(P)))
    assert pgen.variants.equals(bed.variants)
    assert pgen.samples.equals(bed.samples)


def test_kinship_is_that_of_plink(files, plink2):
    plink2("--pfile", files / "dos", "--make-rel", "square", "--out", files / "rel")
    plink2("--pfile", files / "dos", "--make-grm-bin", "--out", files / "grm")
    # PLINK leaves out missing pairs; with no missing dosage both are one formula
    genotypes = ll.read_pgen(files / "dos")
    full = genotypes.filter(geno=0)
    keep = files / "full.txt"
    ids = full.variants["ID"].to_list()
    keep.write_text(
        "".join(f"{name}\n" for name, use in zip(ids, full.included, strict=True) if use)
    )
    one = ["--pfile", files / "dos", "--extract", keep, "--out", files / "full"]
    plink2(*one, "--make-rel", "square")
    expected = np.loadtxt(files / "full.rel")
    D = full.dosages(np.flatnonzero(full.included))
    f = D.mean(axis=0) / 2
    Z = (D - 2 * f) / np.sqrt(2 * f * (1 - f))  # PLINK's variance is Hardy-Weinberg's
    assert_allclose(Z @ Z.T / D.shape[1], expected, atol=2e-5)
    K = ll.kinship(full)
    X = full.columns(np.flatnonzero(full.included))
    assert_allclose(K.matrix * K.scale, X @ X.T / X.shape[1], atol=1e-5)


def test_mouse_data_through_pgen_and_bgen(data_dir, plink2, tmp_path):
    """Real genotypes: hard calls come back as they went, with missing ones, in two bits."""
    pytest.importorskip("pgenlib")
    pytest.importorskip("bgen")
    [bed] = (data_dir / "mouse_hs1940").glob("*.bed")
    prefix = bed.with_suffix("")
    original = ll.read_plink(prefix)
    chosen = ["--bfile", prefix, "--chr", "1-3", "--out", tmp_path / "m"]
    plink2(*chosen, "--make-pgen")
    plink2(*chosen, "--export", "bgen-1.3", "ref-first")
    # PLINK leaves out negative positions, which mean that there is none
    chosen = pl.col("CHROM").is_in(["1", "2", "3"]) & (pl.col("POS") >= 0)
    part = np.flatnonzero(original.variants.select(chosen).to_series().to_numpy())
    assert len(part) > 500
    pgen, bgen = ll.read_pgen(tmp_path / "m"), ll.read_bgen(tmp_path / "m.bgen")
    expected = original.dosages(part)
    for genotypes in (pgen, bgen):
        assert type(genotypes) is PackedGenotypes
        assert_array_equal(genotypes.dosages(np.arange(len(part))), expected)
        assert genotypes.variants.equals(original.variants[part])
    assert pgen.samples.equals(original.samples)


def test_plink_19_agrees_on_vcf_frequencies_and_kinship(data_dir, plink19, tmp_path):
    """The other PLINK, on real genotypes: its VCF, .frq, .lmiss, .imiss and .rel."""
    pytest.importorskip("cyvcf2")
    [bed] = (data_dir / "mouse_hs1940").glob("*.bed")
    out = ["--out", tmp_path / "m"]
    chosen = ["--bfile", bed.with_suffix(""), "--chr", "19", "--keep-allele-order", *out]
    plink19(*chosen, "--recode", "vcf-iid", "bgz")
    plink19("--vcf", tmp_path / "m.vcf.gz", "--keep-allele-order", "--make-bed", *out)
    bim, vcf = ll.read_plink(tmp_path / "m"), ll.read_vcf(tmp_path / "m.vcf.gz")
    p = vcf.n_variants
    assert p > 200
    assert_array_equal(vcf.dosages(np.arange(p)), bim.dosages(np.arange(p)))
    # these data name a monomorphic SNP's one allele twice, and PLINK then calls A1 "0"
    varied = np.flatnonzero(vcf.included)
    assert vcf.variants[varied].equals(bim.variants[varied])
    plink19("--bfile", tmp_path / "m", "--keep-allele-order", "--freq", "--missing", *out)
    freq, lmiss, imiss = (
        np.array([line.split() for line in (tmp_path / f"m.{end}").read_text().splitlines()[1:]])
        for end in ("frq", "lmiss", "imiss")
    )
    assert_array_equal(freq[:, 2], bim.variants["A1"])
    assert_allclose(vcf.frequency, freq[:, 4].astype(float), rtol=5e-4)
    assert_array_equal(vcf.n_missing, lmiss[:, 2].astype(int))
    missing = (vcf.dosages(np.arange(p)) < 0).sum(axis=1)
    assert_array_equal(missing, imiss[:, 3].astype(int))
    chosen = ["--bfile", tmp_path / "m", "--geno", "0", "--maf", "0.01", "--make-rel", "square"]
    plink19(*chosen, *out)
    D = vcf.filter(geno=0, maf=0.01)
    X = D.dosages(np.flatnonzero(D.included)).astype(float)
    f = X.mean(axis=0) / 2
    Z = (X - 2 * f) / np.sqrt(2 * f * (1 - f))  # PLINK's variance is Hardy-Weinberg's
    assert_allclose(Z @ Z.T / X.shape[1], np.loadtxt(tmp_path / "m.rel"), atol=2e-5)


def test_multiallelic_variants_of_a_pgen_are_refused_or_skipped(files, plink2, tmp_path):
    write_vcf(tmp_path / "m.vcf", ["0/1 1/2 2/2 0/0", "0/1 1/1 ./. 0/0"], alts=["C,G", "T"])
    plink2("--vcf", tmp_path / "m.vcf", "--make-pgen", "--out", tmp_path / "m")
    with pytest.raises(GenotypeError, match="two alleles, found 3 alleles at 'v0'; split them"):
        ll.read_pgen(tmp_path / "m")
    with pytest.warns(DataWarning, match="1 variants of more than two alleles left out"):
        genotypes = ll.read_pgen(tmp_path / "m", multiallelic="skip")
    assert genotypes.variants["ID"].to_list() == ["v1"]
    assert_array_equal(genotypes.dosages([0])[:, 0], [1, 2, -1, 0])


@pytest.mark.parametrize("name", ["dos", "calls"])
def test_cut_or_changed_pgen_files_are_refused_or_read(files, tmp_path, name):
    """Never a crash: an error that names the file, or genotypes."""
    for end in ("pvar", "psam"):
        shutil.copy(files / f"{name}.{end}", tmp_path / f"x.{end}")
    content = (files / f"{name}.pgen").read_bytes()
    damage(content, tmp_path / "x.pgen", lambda: ll.read_pgen(tmp_path / "x"), cut_is_error=True)


def test_pgen_files_that_do_not_belong_together(files, tmp_path):
    one = {end: files / f"dos.{end}" for end in ("pgen", "pvar", "psam")}
    for end in ("pvar", "psam"):
        lines = one[end].read_text().splitlines()
        (tmp_path / f"short.{end}").write_text("\n".join(lines[:-1]) + "\n")
        with pytest.raises(GenotypeError, match=r"dos.pgen: expected a .pgen of .* samples"):
            ll.read_pgen(**one | {end: tmp_path / f"short.{end}"})
    with pytest.raises(GenotypeError, match=r"none.pgen: .* found No such file"):
        ll.read_pgen(**one | {"pgen": tmp_path / "none.pgen"})
    with pytest.raises(GenotypeError, match="found"):
        ll.read_pgen(**one | {"pgen": tmp_path})
    with pytest.raises(PlinkFormatError, match=r"nothing.psam: the file cannot be read"):
        ll.read_pgen(tmp_path / "nothing")
    with pytest.raises(GenotypeError, match="found no psam"):
        ll.read_pgen(pgen=one["pgen"], pvar=one["pvar"])
    for options in ({"dosage": "GP"}, {"bits": 12}, {"multiallelic": "yes"}):
        with pytest.raises(GenotypeError, match=rf"{next(iter(options))}: expected"):
            ll.read_pgen(files / "dos", **options)


def test_dosages_of_a_damaged_pgen_are_refused_by_name(tmp_path, monkeypatch):
    """Pgenlib hands over what the file holds; here a reader that found 3 copies of an allele."""

    class Reader(nullcontext):
        def __init__(self, *arguments, **options):
            super().__init__()

        def __enter__(self):
            return self

        def read_dosages_list(self, rows, values):
            values[:] = 3

    monkeypatch.setattr(
        "lmmlasso_fast.io.pgen.optional", lambda *names: SimpleNamespace(PgenReader=Reader)
    )
    (tmp_path / "x.psam").write_text("#IID\na\nb\n")
    (tmp_path / "x.pvar").write_text("#CHROM POS ID REF ALT\n1 1 v A C\n".replace(" ", "\t"))
    (tmp_path / "x.pgen").touch()
    with pytest.raises(GenotypeError, match=r"x\.pgen: dosages: expected .* 0 to 2.* found 3.0"):
        ll.read_pgen(tmp_path / "x")


def test_psam_and_pvar_headers(tmp_path):
    path = tmp_path / "x"
    path.write_text("##meta\n#IID SID SEX\na 0 1\r\n007 0 2\n")
    assert read_psam(path).rows() == [("0", "a"), ("0", "007")]
    path.write_text("f a 0 0 1 -9\n")
    assert read_psam(path).rows() == [("f", "a")]
    path.write_text("##x\n\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\n1\t5\trs1\tA\tG\t.\n")
    assert read_pvar(path).rows() == [("1", "rs1", 5, "G", "A")]
    path.write_text("1 rs1 0 5 G A\n")
    assert read_pvar(path).rows() == [("1", "rs1", 5, "G", "A")]
    for content, message in (
        ("#IID\na\na\n", "duplicated sample.*lines 2 and 3"),
        ("#FID SEX\na 1\n", "header: expected the columns IID"),
        ("#IID\n", "found none"),
        ("", "the file is empty"),
    ):
        path.write_text(content)
        with pytest.raises(PlinkFormatError, match=message):
            read_psam(path)
    for content, message in (
        ("##a\n#CHROM POS ID REF ALT\n1 x rs1 A G\n", "line 3: a variant: expected"),
        ("#CHROM POS ID REF\n1 1 rs1 A\n", "header: expected the columns CHROM POS ID REF ALT"),
        ("#CHROM\tPOS\tID\tREF\tALT\n1\t1\t\tA\tG\n", "line 2: a variant"),
        ("##only\n", "the file is empty"),
    ):
        path.write_text(content)
        with pytest.raises(PlinkFormatError, match=message):
            read_pvar(path)
    path.write_bytes(b"\x28\xb5\x2f\xfd broken")
    with pytest.raises(PlinkFormatError, match="the file cannot be read"):
        read_pvar(path)


# ---- VCF ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [".vcf", "_force.vcf.gz", ".bcf"])
@pytest.mark.parametrize("name", ["dos", "calls"])
def test_vcf_is_what_plink_says(files, name, end):
    # PLINK writes no DS where it has no dosages
    field = "DS" if name == "dos" or end == "_force.vcf.gz" else "GT"
    genotypes = ll.read_vcf(f"{files / name}{end}", dosage=field)
    assert type(genotypes) is (DosageGenotypes if name == "dos" else PackedGenotypes)
    check_against_plink(genotypes, files / name)
    # a VCF has one id per sample: PLINK joins FID and IID
    expected = [f"{fid}_{iid}" for fid, iid in ll.read_pgen(files / name).samples.rows()]
    assert genotypes.samples.rows() == [("0", sample) for sample in expected]
    calls = ll.read_vcf(f"{files / name}{end}")
    assert type(calls) is PackedGenotypes
    assert_array_equal(calls.dosages(np.arange(P)), ll.read_plink(files / name).dosages(range(P)))


def test_haploid_half_missing_and_phased_calls_are_taken_as_plink_does(tmp_path, plink2):
    pytest.importorskip("cyvcf2")
    rows = ["0|1 1|1 0 1 . ./. 0/0 1|0", "1 0 1 0 1 . 0 1", "0/1 1/1 0/0 0/1 1/1 ./. 0/0 1/1"]
    write_vcf(tmp_path / "h.vcf", rows)
    found = ll.read_vcf(tmp_path / "h.vcf").dosages([0, 1, 2]).T
    assert_array_equal(found[0], [1, 2, 0, 2, -1, -1, 0, 1])
    assert_array_equal(found[1], [2, 0, 2, 0, 2, -1, 0, 2])
    plink2("--vcf", tmp_path / "h.vcf", "--make-bed", "--out", tmp_path / "h")
    assert_array_equal(ll.read_plink(tmp_path / "h").dosages([0, 1, 2]).T, found)
    write_vcf(tmp_path / "half.vcf", ["0/. ./1 1/1", "0/1 0/0 1/1"])
    with pytest.warns(DataWarning, match="2 half-missing calls"):
        half = ll.read_vcf(tmp_path / "half.vcf")
    assert_array_equal(half.dosages([0])[:, 0], [-1, -1, 2])


def test_vcf_without_what_is_asked_for_is_refused(tmp_path):
    pytest.importorskip("cyvcf2")
    path = tmp_path / "x.vcf"
    write_vcf(path, ["0/1 1/2 2/2", "0/1 1/1 0/0"], alts=["C,G", "T"])
    with pytest.raises(GenotypeError, match="two alleles, found 3 alleles at 'v0'"):
        ll.read_vcf(path)
    with pytest.warns(DataWarning, match="1 variants"):
        assert ll.read_vcf(path, multiallelic="skip").n_variants == 1
    for rows, options, message in (
        (["0/1/1 0/0/0 1/1/1"], {}, "one or two alleles, found more at 1:1"),
        (["0/1 0/0 1/1"], {"dosage": "GP"}, "dosage: expected 'GT' or 'DS'"),
    ):
        write_vcf(path, rows)
        with pytest.raises(GenotypeError, match=message):
            ll.read_vcf(path, **options)
    write_vcf(path, ["0/1 0/0"], head="ID=DS")
    with pytest.raises(GenotypeError, match="expected the field DS in the header, found none"):
        ll.read_vcf(path, dosage="DS")
    write_vcf(path, ["0/1:0.9 0/0:2.5"], fields="GT:DS")
    with pytest.raises(GenotypeError, match=r"x.vcf: dosages: .* found 2.5 at SNP 0, sample 1"):
        ll.read_vcf(path, dosage="DS")
    write_vcf(path, ["0.5,1 0.25,0.5"], fields="DS")
    with pytest.raises(GenotypeError, match=r"expected one DS per sample at 1:1, found 2"):
        ll.read_vcf(path, dosage="DS")
    write_vcf(path, ["1.5 0.25"], fields="DS")
    assert_array_equal(ll.read_vcf(path, dosage="DS").dosages([0])[:, 0], [1.5, 0.25])
    with pytest.raises(GenotypeError, match="field GT of every variant, found none at 1:1"):
        ll.read_vcf(path)
    path.write_text(path.read_text().replace("s1", "s0"))
    with pytest.raises(GenotypeError):  # twice the same sample
        ll.read_vcf(path, dosage="DS")
    for name in (tmp_path / "none.vcf", tmp_path, "-", "http://localhost/x.vcf"):
        with pytest.raises(GenotypeError, match="cannot be read"):
            ll.read_vcf(name)
    write_vcf(path, ["0/1"])
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(GenotypeError, match="expected variants, found none"):
        ll.read_vcf(path)


@pytest.mark.parametrize("end", [".vcf", ".vcf.gz", ".bcf"])
def test_cut_or_changed_vcf_files_are_refused_or_read(files, tmp_path, end, capfd):
    name = "calls_force" if end == ".vcf.gz" else "calls"
    content = (files / f"{name}{end}").read_bytes()
    path = tmp_path / f"x{end}"
    damage(content, path, lambda: ll.read_vcf(path), cut_is_error=end != ".vcf")
    if end == ".vcf":
        path = tmp_path / "plain.vcf.gz"
        damage(gzip.compress(content), path, lambda: ll.read_vcf(path), cut_is_error=True)
    if end == ".vcf.gz":
        path.write_bytes(content[:-28])  # all that gzip needs, without bgzip's end
        with pytest.raises(GenotypeError, match="end marker of bgzip"):
            ll.read_vcf(path)
    capfd.readouterr()  # htslib writes to standard error


def test_names_of_chromosomes(tmp_path, capfd):
    """Those that the header declares, as of every BCF, or that the format allows."""
    pytest.importorskip("cyvcf2")
    vcf = tmp_path / "x.vcf"
    names = {"(x)": False, "é": False, "*": False, "HLA-A*01:01": True}
    said = ("", ",length=5", ',length=5,assembly="a, b>",md5=0')
    for (name, allowed), more in product(names.items(), said):
        write_vcf(vcf, ["0/1 0/0"])
        content = vcf.read_text().replace("\n1\t", f"\n{name}\t")
        vcf.write_text(content.replace("<ID=1>", f"<ID={name}{more}>"))
        paths = [vcf, bcf_of(vcf)]
        if allowed:
            paths.append(tmp_path / "undeclared.vcf")
            paths[-1].write_text(content)
        for path in paths:
            assert ll.read_vcf(path).variants["CHROM"].to_list() == [name]
        vcf.write_text(content)
        if not allowed:
            with pytest.raises(GenotypeError, match=f": expected .*{re.escape(f'found {name!r}')}"):
                ll.read_vcf(vcf)
    capfd.readouterr()  # htslib writes to standard error


def test_a_bcf_that_ends_the_process_in_htslib(tmp_path):
    """A field without type where the header says numbers: htslib calls exit()."""
    pytest.importorskip("cyvcf2")
    write_vcf(tmp_path / "x.vcf", ["0/1:0.1 0/0:0.5", "0/1:1.5 1/1:2"], fields="GT:DS")
    path = bcf_of(tmp_path / "x.vcf")
    assert ll.read_vcf(path, dosage="DS").n_variants == 2
    content = bytearray(gzip.decompress(path.read_bytes()))
    at = content.index(struct.pack("<f", 1.5)) - 1
    assert content[at] == 0x15  # one float
    content[at] = 0
    path.write_bytes(content)
    with pytest.raises(GenotypeError, match=r"x\.bcf: .* ends the process: .*Unexpected type 0"):
        ll.read_vcf(path, dosage="DS")
    assert ll.read_vcf(path).n_variants == 2


def test_a_bcf_is_read_to_its_end_in_the_other_process(tmp_path):
    """Haploid calls are no text in UTF-8: asking for that ended the rehearsal at the first one."""
    pytest.importorskip("cyvcf2")
    write_vcf(tmp_path / "x.vcf", ["0/1 1", "0/1 0/0"])
    path = bcf_of(tmp_path / "x.vcf")
    content = bytearray(gzip.decompress(path.read_bytes()))
    at = content.index(b"\x21\x02\x04\x02\x02")  # 0/1 0/0, two integers of 8 bits each
    content[at] = 0x27  # two characters
    path.write_bytes(content)
    for dosage in ("GT", "DS"):
        with pytest.raises(GenotypeError, match=r"ends the process: .*Unexpected type 7"):
            _rehearse(str(path), dosage)


# ---- BGEN --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.1", "1.2", "1.3", "8"])
@pytest.mark.parametrize("name", ["dos", "calls"])
def test_bgen_is_what_plink_says(files, name, version):
    path = files / f"{name}_{version}.bgen"
    options = {} if version == "8" else {"ref_last": True}  # PLINK writes ALT first
    genotypes = ll.read_bgen(path, sample=path.with_suffix(".sample"), **options)
    tolerance = 1 / 255 + 1 / 32768 if version == "8" else 1e-4
    check_against_plink(genotypes, files / name, 1e-4 if name == "calls" else tolerance)
    if name == "calls":
        assert type(genotypes) is PackedGenotypes
    assert genotypes.samples.equals(ll.read_pgen(files / name).samples)
    if version != "1.1":
        own = ll.read_bgen(path, **options).samples
        joined = [f"{fid}_{iid}" for fid, iid in genotypes.samples.rows()]
        assert own.rows() == [("0", sample) for sample in joined]


def test_bgen_counts_the_second_allele_unless_told(files):
    path = files / "dos_1.2.bgen"
    first, second = ll.read_bgen(path, ref_last=True), ll.read_bgen(path)
    assert first.variants["A1"].to_list() == second.variants["A2"].to_list()
    assert_allclose(first.mean + second.mean, 2 * (first.sd > 0), atol=1e-4)


def test_bgen_that_is_incomplete_is_refused(files, tmp_path):
    with pytest.raises(
        GenotypeError, match=r"sample ids, found none in the file; give its .sample"
    ):
        ll.read_bgen(files / "dos_1.1.bgen")
    short = tmp_path / "short.sample"
    lines = (files / "dos_1.2.sample").read_text().splitlines()
    short.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(SampleMatchError, match=f"expected the {N} samples of .* found {N - 1}"):
        ll.read_bgen(files / "dos_1.2.bgen", sample=short)
    iids = ll.read_bgen(files / "dos_1.2.bgen").samples["IID"].to_list()
    iids[:2] = iids[1::-1]
    short.write_text("ID\n0\n" + "".join(f"{iid}\n" for iid in iids))
    with pytest.raises(SampleMatchError, match="found the same ids in another"):
        ll.read_bgen(files / "dos_1.2.bgen", sample=short)
    for content in ("ID_1 ID_2\nf a\n", "ID_1 ID_2\n0 0\n", "a b\n0 0\nx y\n"):
        short.write_text(content)
        with pytest.raises(TableError, match=r"not a .sample file"):
            read_sample_file(short)
    short.write_text("ID missing\n0 0\na 0\nb 0\n")
    assert read_sample_file(short).rows() == [("0", "a"), ("0", "b")]
    with pytest.raises(GenotypeError, match="cannot be read"):
        ll.read_bgen(tmp_path / "none.bgen")
    with pytest.raises(GenotypeError, match="expected 'bgen' at offset 16"):
        ll.read_bgen(files / "dos.vcf")
    content = bytearray((files / "dos_1.2.bgen").read_bytes())
    struct.pack_into("<I", content, 8, 2**32 - 1)  # variants
    (tmp_path / "many.bgen").write_bytes(content)
    with pytest.raises(GenotypeError, match=r"at least [0-9]+ bytes for 4294967295 variants"):
        ll.read_bgen(tmp_path / "many.bgen")


@pytest.mark.parametrize("version", ["1.1", "1.2", "1.3"])
def test_cut_or_changed_bgen_files_are_refused_or_read(files, tmp_path, version):
    path = files / f"dos_{version}.bgen"
    damage(
        path.read_bytes(),
        tmp_path / "x.bgen",
        lambda: ll.read_bgen(tmp_path / "x.bgen", sample=path.with_suffix(".sample")),
        cut_is_error=True,
    )


def test_multiallelic_variants_of_a_bgen(tmp_path):
    bgen = pytest.importorskip("bgen")
    path = tmp_path / "m.bgen"
    with bgen.BgenWriter(path, 2, ["a", "b"]) as writer:
        three = np.eye(6)[[1, 4]]
        writer.add_variant("v0", "v0", "1", 5, ["A", "C", "G"], three)
        writer.add_variant("v1", "v1", "1", 6, ["A", "C"], np.array([[0, 0.5, 0.5], [1, 0, 0]]))
        writer.add_variant("v2", "v2", "1", 7, ["A", "C"], np.array([[0, 1, 0], [np.nan] * 3]))
    with pytest.raises(GenotypeError, match="two alleles, found 3 alleles at 'v0'"):
        ll.read_bgen(path)
    with pytest.warns(DataWarning, match="1 variants of more than two"):
        genotypes = ll.read_bgen(path, multiallelic="skip")
    assert genotypes.variants.rows() == [("1", "v1", 6, "C", "A"), ("1", "v2", 7, "C", "A")]
    assert_allclose(genotypes.dosages([0, 1]), [[1.5, 1], [0, np.nan]], atol=1 / 255)


def test_samples_of_a_bgen_with_one_or_three_chromosomes(tmp_path):
    bgen = pytest.importorskip("bgen")
    one = np.array([[0, 1, np.nan], [0, 0.25, 0.75], [np.nan] * 3])
    for name, P, ploidy in (("one", one, [1, 2, 1]), ("three", np.eye(4)[:3], [3, 3, 3])):
        with bgen.BgenWriter(tmp_path / name, 3, ["a", "b", "c"]) as writer:
            counts = np.array(ploidy, dtype=np.uint8)
            writer.add_variant("v", "v", "X", 5, ["A", "C"], P, ploidy=counts)
    haploid = ll.read_bgen(tmp_path / "one")  # its one copy counts twice
    assert_allclose(haploid.dosages([0])[:, 0], [2, 1.75, np.nan], atol=1 / 255)
    with pytest.raises(GenotypeError, match="one or two chromosomes, found 3 at 'v'"):
        ll.read_bgen(tmp_path / "three")


@pytest.mark.parametrize("name", ["x.vcf", "x.bgen"])
def test_variants_in_blocks_are_those_in_one_piece(tmp_path, monkeypatch, name):
    """Seven variants of four samples, with blocks of all, of three and of one."""
    D = np.random.default_rng(8).integers(0, 3, (7, 4)).astype(np.float64)
    D[4, 2] = 0.5  # from here on no longer whole
    path = tmp_path / name
    if name == "x.vcf":
        pytest.importorskip("cyvcf2")
        write_vcf(path, [" ".join(map(str, row)) for row in D], fields="DS")
    else:
        bgen = pytest.importorskip("bgen")
        with bgen.BgenWriter(path, 4, list("abcd")) as writer:
            for j, d in enumerate(D):
                P = np.column_stack([np.maximum(1 - d, 0), 1 - np.abs(d - 1), np.maximum(d - 1, 0)])
                writer.add_variant(f"v{j}", f"v{j}", "1", j + 1, ["A", "C"], P)
    for block in (28, 12, 4):
        monkeypatch.setattr("lmmlasso_fast.io.collect.BLOCK_VALUES", block)
        genotypes = ll.read_vcf(path, dosage="DS") if name == "x.vcf" else ll.read_bgen(path)
        assert genotypes.variants["ID"].to_list() == [f"v{j}" for j in range(7)]
        assert_allclose(genotypes.dosages(np.arange(7)).T, D, atol=1 / 255)


def test_a_bgen_with_fewer_variants_than_it_says_is_refused(tmp_path):
    bgen = pytest.importorskip("bgen")
    path = tmp_path / "x.bgen"
    with bgen.BgenWriter(path, 2, ["a", "b"]) as writer:
        for j in range(3):
            writer.add_variant(f"v{j}", f"v{j}", "1", j + 1, ["A", "C"], np.eye(3)[:2])
    content = bytearray(path.read_bytes())
    assert struct.unpack_from("<I", content, 8) == (3,)
    struct.pack_into("<I", content, 8, 4)
    path.write_bytes(content)
    with pytest.raises(GenotypeError, match=r"x\.bgen: .*4 variants"):
        ll.read_bgen(path)


# ---- what happens to bytes ---------------------------------------------------------------------


def damage(content, path, read, *, cut_is_error):
    """Read a file that was cut, or has other bytes somewhere: genotypes, or an input error."""
    rng = np.random.default_rng(len(content))
    size = len(content)
    cuts = [0, 1, 3, 12, 30, size // 3, size // 2, size - 5, size - 1]
    for cut in cuts:
        path.write_bytes(content[:cut])
        expect_no_crash(read, must_fail=cut_is_error)
    for _ in range(20):
        changed = bytearray(content)
        for offset in rng.integers(0, size if rng.random() < 0.5 else min(size, 300), 3):
            changed[offset] = rng.integers(256)
        path.write_bytes(changed)
        expect_no_crash(read, must_fail=False)


def expect_no_crash(read, must_fail):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            genotypes = read()
        except InputError as error:
            assert ": expected" in str(error) or "expected" in str(error)  # noqa: PT017
            return
    assert not must_fail
    assert genotypes.n_variants > 0


# ---- BIMBAM ------------------------------------------------------------------------------------


@pytest.fixture
def bimbam(tmp_path):
    """A file with odd separators, its dosages, and the tables beside it."""
    rng = np.random.default_rng(1)
    D = np.round(rng.uniform(0, 2, (12, 8)), 3)
    D[2, 3] = np.nan
    lines = []
    for j in range(8):
        values = ["NA" if np.isnan(d) else f"{d:g}" for d in D[:, j]]
        lines.append([", ", ",", " ", "\t"][j % 4].join([f"rs{j}", "A", "G", *values]))
    (tmp_path / "x.txt").write_text("\n".join(lines) + "\r\n\n")
    (tmp_path / "x.gz").write_bytes(gzip.compress((tmp_path / "x.txt").read_bytes()))
    (tmp_path / "x.fam").write_text("".join(f"f i{i} 0 0 1 {i}\n" for i in range(12)))
    (tmp_path / "x.map").write_text("rs1, 500, 3\nrs0 NA X 0\n \t\nother,1,1\n")
    return SimpleNamespace(D=D, folder=tmp_path)


@pytest.mark.parametrize("name", ["x.txt", "x.gz"])
def test_bimbam(bimbam, name):
    genotypes = ll.read_bimbam(
        bimbam.folder / name, fam=bimbam.folder / "x.fam", annotation=bimbam.folder / "x.map"
    )
    assert type(genotypes) is DosageGenotypes
    assert_allclose(genotypes.dosages(np.arange(8)), bimbam.D, atol=1 / 32768)
    assert genotypes.samples.rows()[1] == ("f", "i1")
    assert genotypes.variants.rows()[:3] == [
        ("X", "rs0", 0, "A", "G"), ("3", "rs1", 500, "A", "G"), ("0", "rs2", 0, "A", "G"),
    ]  # fmt: skip
    assert not ll.read_bimbam(bimbam.folder / name).has_sample_ids


def test_whole_dosages_stay_in_two_bits_and_the_first_other_one_changes_that(tmp_path, monkeypatch):
    monkeypatch.setattr("lmmlasso_fast.io.collect.BLOCK_VALUES", 60)  # 3 variants a block
    D = random_dosages(np.random.default_rng(2), 20, 10, missing=0.1)
    path = tmp_path / "x.txt"

    def write():
        rows = [" ".join(["NA" if np.isnan(d) else repr(float(d)) for d in row]) for row in D.T]
        path.write_text("".join(f"r{j} A G {row}\n" for j, row in enumerate(rows)))

    write()
    genotypes = ll.read_bimbam(path)
    assert type(genotypes) is PackedGenotypes
    assert_array_equal(genotypes.dosages(range(10)), np.where(np.isnan(D), -1, D))
    for j in (0, 4, 9):
        D[5, j] = 0.5
        write()
        for bits in (8, 16):
            genotypes = ll.read_bimbam(path, bits=bits)
            assert type(genotypes) is DosageGenotypes
            found = genotypes.dosages(np.arange(10))
            assert_array_equal(np.isnan(found), np.isnan(D))
            assert_allclose(found, D, atol=1 / 254 if bits == 8 else 0)
        D[5, j] = 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("rs1 A G 0.5 1\nrs2 A G 0.5\n", "line 2: wrong number of columns: expected .* 2 dosages"),
        ("rs1 A G\n", "line 1: wrong number of columns"),
        ("rs1 A G 0.5\nrs2 A G x\n", "line 2: dosages: expected numbers or NA"),
        ("rs1 A G 2.5\n", "line 1: dosages: expected numbers from 0 to 2, or NA, found '2.5'"),
        ("rs1 A G inf\n", "found 'inf'"),
        ("", "the file is empty"),
        (b"\xff A G 1\n", "line 1: id and alleles: expected UTF-8"),
        (b"\x1f\x8bbroken", "the file cannot be read"),
    ],
)
def test_malformed_bimbam(tmp_path, content, message):
    path = tmp_path / "x"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(GenotypeError, match=message):
        ll.read_bimbam(path)


def test_bimbam_with_other_tables(bimbam):
    (bimbam.folder / "y.fam").write_text("f a 0 0 1 1\n")
    with pytest.raises(SampleMatchError, match=r"y.fam: expected the 12 samples .* found 1"):
        ll.read_bimbam(bimbam.folder / "x.txt", fam=bimbam.folder / "y.fam")
    with pytest.raises(GenotypeError, match="cannot be read"):
        ll.read_bimbam(bimbam.folder / "none")
    for text in ("rs1 500\n", "rs1 \u0665 1\n"):
        (bimbam.folder / "y.map").write_text(text)
        with pytest.raises(GenotypeError, match=r"y.map, line 1: an annotation"):
            ll.read_bimbam(bimbam.folder / "x.txt", annotation=bimbam.folder / "y.map")
    (bimbam.folder / "y.map").write_text("rs1 500 1\nrs2 600 1\nrs1 700 1\n")
    with pytest.raises(GenotypeError, match=r"y.map, line 3: an id twice.* for 'rs1'"):
        ll.read_bimbam(bimbam.folder / "x.txt", annotation=bimbam.folder / "y.map")
    cut = (bimbam.folder / "x.gz").read_bytes()[:-20]
    (bimbam.folder / "cut.gz").write_bytes(cut)
    with pytest.raises(GenotypeError, match="cannot be read"):
        ll.read_bimbam(bimbam.folder / "cut.gz")


# ---- .npy --------------------------------------------------------------------------------------


def test_npy_of_calls_dosages_and_other_numbers(tmp_path):
    D = random_dosages(np.random.default_rng(3), 15, 12, missing=0.1)
    np.save(tmp_path / "calls.npy", D)
    write_plink(
        tmp_path / "t",
        np.where(np.isnan(D), -1, D).astype(int),
        sample_table(15),
        variant_table(12),
    )
    calls = ll.read_npy(tmp_path / "calls.npy", fam=tmp_path / "t.fam", bim=tmp_path / "t.bim")
    bed = ll.read_plink(tmp_path / "t")
    assert type(calls) is PackedGenotypes
    assert_array_equal(calls.dosages(range(12)), bed.dosages(range(12)))
    assert calls.variants.equals(bed.variants)
    assert calls.samples.equals(bed.samples)
    np.save(tmp_path / "d.npy", np.asfortranarray(0.9 * D))
    dense = ll.read_npy(tmp_path / "d.npy")
    assert type(dense) is DenseGenotypes
    assert isinstance(dense._X.base, np.memmap)
    kept = ll.read_npy(tmp_path / "d.npy", bits=16)
    assert type(kept) is DosageGenotypes
    assert_allclose(kept.dosages(np.arange(12)), 0.9 * D, atol=1 / 32768)
    np.save(tmp_path / "turned.npy", D.T)
    with pytest.raises(SampleMatchError, match=r"t.bim: expected the 15 variants"):
        ll.read_npy(tmp_path / "turned.npy", bim=tmp_path / "t.bim")


def test_npy_that_is_no_matrix_of_numbers(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((4, 5)))
    content = path.read_bytes()
    for bad in (b"", content[:10], content[:-1], b"PK\x03\x04" + content):
        path.write_bytes(bad)
        with pytest.raises(GenotypeError, match=r"x.npy: expected a .npy file"):
            ll.read_npy(path)
    for array in (np.zeros(3), np.zeros((2, 3), complex), np.array([["a"]])):
        np.save(path, array)
        with pytest.raises(GenotypeError, match=r"x.npy: X: expected"):
            ll.read_npy(path)
    np.save(path, np.array([[None, 1]]), allow_pickle=True)
    with pytest.raises(GenotypeError, match=r"x.npy"):
        ll.read_npy(path)
    np.save(path, np.full((3, 3), 3.5))
    with pytest.raises(GenotypeError, match=r"x.npy: dosages: .* found 3.5"):
        ll.read_npy(path, bits=8)
    with pytest.raises(GenotypeError, match="No such file"):
        ll.read_npy(tmp_path / "none.npy")


@pytest.mark.promise("hostile")
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_with_objects_is_not_unpickled(tmp_path, order):
    trap, path = tmp_path / "trap", tmp_path / "x.npy"

    class Bomb:
        def __reduce__(self):
            return open, (str(trap), "w")

    np.save(path, np.array([[Bomb(), 1.0], [0.0, 2.0]], dtype=object, order=order))
    with pytest.raises(GenotypeError, match=r"x.npy: .*expected .*found"):
        ll.read_npy(path)
    assert not trap.exists()
    np.load(path, allow_pickle=True)[0, 0].close()
    assert trap.exists()  # it would have


# ---- packages that are not there ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "extra", "read"),
    [
        ("pgenlib", "pgen", "read_pgen"),
        ("cyvcf2", "vcf", "read_vcf"),
        ("bgen", "bgen", "read_bgen"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, module, extra, read):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=rf"lmmlasso-fast\[{extra}\]"):
        getattr(ll, read)("x")


def test_dosages_of_haploid_calls_count_twice(tmp_path):
    pytest.importorskip("cyvcf2")
    path = tmp_path / "x.vcf"
    write_vcf(path, ["1:0.9 0/1:1.2 0:0.25 1/1:1.9"], fields="GT:DS")
    found = ll.read_vcf(path, dosage="DS").dosages([0])[:, 0]
    np.testing.assert_allclose(found, [1.8, 1.2, 0.5, 1.9], atol=1 / 32768)


def test_an_allele_that_there_is_not_is_refused(tmp_path):
    pytest.importorskip("cyvcf2")
    path = tmp_path / "x.vcf"
    write_vcf(path, ["0/2 0/1 0/0"])
    with pytest.raises(GenotypeError, match=r"expected alleles up to 1 at 1:1.*found 2"):
        ll.read_vcf(path)

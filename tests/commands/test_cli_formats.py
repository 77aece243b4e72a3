"""The command line on genotypes of other formats: the results are those of the .bed."""

from types import SimpleNamespace

import numpy as np
import pytest
from cli_files import FORMAT_FLAGS, lmmlasso, log, read, region_of, results, run_json

from lmmlasso_fast.cli import main

pytestmark = pytest.mark.promise("same-bytes")

pgenlib = pytest.importorskip("pgenlib")
bgen = pytest.importorskip("bgen")
pytest.importorskip("cyvcf2")

SOURCES = ("pfile", "vcf", "bgen", "bimbam", "npy")
COMMANDS = [
    name for name, command in main.commands.items() if "pfile" in [p.name for p in command.params]
]


def tab(*fields):
    return "\t".join(str(field) for field in fields) + "\n"


@pytest.fixture(scope="module")
def formats(small, tmp_path_factory):
    """The small fileset in every format, and what names it on the command line."""
    folder = tmp_path_factory.mktemp("formats")
    D, samples, variants = small.dosages, small.samples, small.variants
    n, p = D.shape
    rows = variants.select("CHROM", "POS", "ID", "A2", "A1").rows()
    with pgenlib.PgenWriter(str(folder / "g.pgen").encode(), n, variant_ct=p) as writer:
        for j in range(p):
            writer.append_biallelic(np.where(D[:, j] < 0, -9, D[:, j]).astype(np.int8))
    meta = "##fileformat=VCFv4.2\n" + "".join(
        f"##contig=<ID={name}>\n" for name in variants["CHROM"].unique(maintain_order=True)
    )
    header = tab("#CHROM", "POS", "ID", "REF", "ALT")
    (folder / "g.pvar").write_text(meta + header + "".join(tab(*row) for row in rows))
    ids = samples.select("FID", "IID").rows()
    (folder / "g.psam").write_text("#FID\tIID\n" + "".join(tab(*row) for row in ids))
    write_vcf(folder / "g.vcf", meta, rows, [iid for _, iid in ids], D)
    (folder / "g.sample").write_text("ID_1 ID_2\n0 0\n" + "".join(f"{f} {i}\n" for f, i in ids))
    for name, order in (("g", [3, 4]), ("last", [4, 3])):
        with bgen.BgenWriter(folder / f"{name}.bgen", n, [iid for _, iid in ids]) as writer:
            for j, row in enumerate(rows):
                P = np.eye(3)[np.maximum(D[:, j], 0)]
                P[D[:, j] < 0] = np.nan
                P = P if name == "g" else P[:, ::-1].copy()
                alleles = [row[k] for k in order]
                writer.add_variant(row[2], row[2], row[0], row[1], alleles, P)
    with open(folder / "g.txt", "w") as file, open(folder / "g.map", "w") as places:
        for j, (chrom, pos, name, other, counted) in enumerate(rows):
            values = ["NA" if d < 0 else str(d) for d in D[:, j]]
            file.write(", ".join([name, counted, other, *values]) + "\n")
            places.write(f"{name}, {pos}, {chrom}\n")
    np.save(folder / "g.npy", np.where(D < 0, np.nan, D))
    np.save(folder / "half.npy", np.where(D < 0, np.nan, D) / 2)
    tables = ["--fam", f"{small.prefix}.fam"]
    flags = {
        "pfile": ["--pfile", folder / "g"],
        "vcf": ["--vcf", folder / "g.vcf"],
        "bgen": ["--bgen", folder / "g.bgen", "--sample", folder / "g.sample"],
        "bimbam": ["--bimbam", folder / "g.txt", *tables, "--annotation", folder / "g.map"],
        "npy": ["--npy", folder / "g.npy", *tables, "--bim", f"{small.prefix}.bim"],
    }
    return SimpleNamespace(folder=folder, flags=flags, tables=tables)


def write_vcf(path, meta, rows, iids, D, dosage=None):
    """A VCF with calls and, where `dosage` is given, DS."""
    kinds = {"GT": "1,Type=String", "DS": "A,Type=Float"}
    fields = "".join(
        f'##FORMAT=<ID={name},Number={kind},Description="x">\n' for name, kind in kinds.items()
    )
    calls = np.array(["0/0", "0/1", "1/1", "./."])[D]
    if dosage is not None:
        calls = np.char.add(calls, np.char.add(":", dosage.astype(str)))
    columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *iids]
    names = "GT" if dosage is None else "GT:DS"
    body = "".join(tab(*row, ".", ".", ".", names, *calls[:, j]) for j, row in enumerate(rows))
    path.write_text(meta + fields + tab(*columns) + body)


@pytest.fixture(scope="module")
def more(small, formats):
    """Files for single flags: DS in a VCF, three alleles at a variant."""
    folder, D = formats.folder, small.dosages
    meta = "##fileformat=VCFv4.2\n" + "".join(f"##contig=<ID={k}>\n" for k in range(1, 23))
    rows = small.variants.select("CHROM", "POS", "ID", "A2", "A1").rows()
    iids = small.samples["IID"].to_list()
    write_vcf(folder / "ds.vcf", meta, rows, iids, D, np.where(D < 0, 0.5, 0.95 * D))
    rows[20] = (*rows[20][:4], f"{rows[20][4]},TT")
    write_vcf(folder / "three.vcf", meta, rows, iids, D)
    return folder


def arguments(command, small, source, scanned=None):
    """Of a short run of a command on genotypes that flags name."""
    y = ["--pheno", small.folder / "y.tsv"]
    return {
        "fit": [*source, *y, "--n-alphas", 10],
        "null": [*source, *y],
        "run": [*source, *y, "--steps", "null,scan"],
        "plot": [scanned, *source, "--region", region_of(small)],
        "scan": [*source, *y],
        "kinship": source,
        "predict": ["--model", f"{small.plain}.model.npz", *source],
        "simulate": [*source, "--h2-structure", 0],
        "cv": [*source, *y, "--folds", 3, "--n-alphas", 5],
        "stability": [*source, *y, "--replicates", 4, "--n-active", 3],
    }[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_a_pfile(small, formats, tmp_path, command):
    """With the same ids and alleles, the same bytes in every file."""
    bed, scanned = ["--bfile", small.prefix], tmp_path / "S"  # for what is drawn
    if command == "plot":
        lmmlasso("scan", *arguments("scan", small, bed), "--out", scanned)
    found = {}
    for name, source in (("bed", bed), ("pgen", formats.flags["pfile"])):
        (tmp_path / name).mkdir()
        given = arguments(command, small, source, scanned)
        lmmlasso(command, *given, "--out", tmp_path / name / "P")
        found[name] = results(tmp_path / name / "P")
        found[name].pop(".steps.json", None)  # names the inputs
    assert found["bed"]
    # an archive holds the time at which it was written, not so a matrix or a table
    assert found["pgen"] == found["bed"]


@pytest.mark.parametrize("source", SOURCES)
def test_a_fit_of_any_format_is_that_of_the_bed(small, formats, tmp_path, source):
    flags = formats.flags[source]
    if source == "vcf":  # which has no FID: joined by IID
        lines = (small.folder / "y.tsv").read_text().splitlines()
        text = "\n".join("\t".join(line.split("\t")[1:]) for line in lines)
        (tmp_path / "y.tsv").write_text(f"#{text}\n")
        pheno = ["--pheno", tmp_path / "y.tsv"]
    else:
        pheno = ["--pheno", small.folder / "y.tsv"]
    lmmlasso("fit", *flags, *pheno, "--out", tmp_path / "P")
    found, expected = results(tmp_path / "P"), results(small.plain)
    assert found.keys() == expected.keys()
    for end in found.keys() - ({".pred.tsv", ".model.npz"} if source == "vcf" else set()):
        assert found[end] == expected[end], end
    assert "90 samples and 150 SNPs in the fileset" in log(tmp_path / "P")
    # every file that was read is recorded
    inputs = {record["path"] for record in run_json(tmp_path / "P")["inputs"]}
    named = {str(path) for path in flags if not str(path).startswith("--")}
    if source == "pfile":
        named = {f"{formats.folder / 'g'}.{end}" for end in ("pgen", "pvar", "psam")}
    assert named <= inputs


def flag_cases(small, formats, more):
    """{flag: (arguments before, arguments after)} of `kinship` or `fit`, with other results."""
    bed = ["--bfile", f"{small.folder / 'other'}"]
    f = formats.folder
    bimbam = ["--bimbam", f / "g.txt"]
    ds = ["--vcf", more / "ds.vcf"]
    last = ["--bgen", f / "last.bgen", "--sample", f / "g.sample"]
    cases = {source: (bed, formats.flags[source]) for source in SOURCES}
    return cases | {
        "sample": (["--bgen", f / "g.bgen"], formats.flags["bgen"]),
        "ref_last": (last, [*last, "--ref-last"]),
        "annotation": (bimbam, [*bimbam, "--annotation", f / "g.map"]),
        "dosage": (ds, [*ds, "--dosage", "DS"]),
        "skip_multiallelic": (None, ["--vcf", more / "three.vcf", "--skip-multiallelic"]),
    }


@pytest.mark.parametrize("flag", FORMAT_FLAGS)
def test_every_flag_changes_something(small, other, formats, more, tmp_path, flag):
    before, after = flag_cases(small, formats, more)[flag]
    # a kinship is the same whichever allele is counted
    command = ["scan", "--pheno", small.folder / "y.tsv"] if flag == "ref_last" else ["kinship"]
    found = []
    for name, flags in (("before", before), ("after", after)):
        (tmp_path / name).mkdir()
        if flags is None:
            err = lmmlasso("kinship", *after[:-1], "--out", tmp_path / name / "P", code=3)
            assert "--skip-multiallelic" in err
            found.append({})
        else:
            lmmlasso(*command, "--maf", 0.05, *flags, "--out", tmp_path / name / "P")
            found.append(results(tmp_path / name / "P"))
    assert found[0] != found[1]
    assert run_json(tmp_path / "after" / "P")["options"][flag]


def test_dosages_are_named_by_the_allele_they_count(formats, small, tmp_path):
    """--ref-last: PLINK's own exports, whose first allele is A1 here."""
    for name, flags in (("g", []), ("last", ["--ref-last"])):
        source = [
            "--bgen",
            formats.folder / f"{name}.bgen",
            "--sample",
            formats.folder / "g.sample",
        ]
        lmmlasso(
            "scan", *source, *flags, "--pheno", small.folder / "y.tsv", "--out", tmp_path / name
        )
    assert results(tmp_path / "g") == results(tmp_path / "last")


def test_numbers_of_a_npy_are_dosages_when_told(formats, small, tmp_path):
    """Then they have frequencies, and --maf has a meaning."""
    source = ["--npy", formats.folder / "half.npy", *formats.tables, "--maf", 0.1]
    err = lmmlasso("kinship", *source, "--out", tmp_path / "P", code=3)
    assert "maf: expected dosages 0, 1, 2" in err
    lmmlasso("kinship", *source, "--dosage", "DS", "--out", tmp_path / "P")
    assert "maf" in read(f"{tmp_path / 'P'}.excluded.tsv").REASON
    assert "kept as dosages, 0 MB of memory" in log(tmp_path / "P")


def test_interrupted_runs_go_on_with_another_format_only_if_it_is_the_same(
    formats, small, tmp_path
):
    """The content of every genotype file is in the fingerprint."""
    run = ["stability", "--pheno", small.folder / "y.tsv", "--n-active", 3]
    one = [*run, *formats.flags["pfile"], "--out", tmp_path / "P", "--partial"]
    lmmlasso(*one, "--replicates", "0:2")
    lmmlasso(*one, "--replicates", "0:2", "--resume")
    other = [*run, *formats.flags["npy"], "--out", tmp_path / "P", "--partial"]
    err = lmmlasso(*other, "--replicates", "0:2", "--resume", code=3)
    assert "inputs" in err
    lmmlasso(
        *run, *formats.flags["pfile"], "--out", tmp_path / "Q", "--partial", "--replicates", "2:4"
    )
    lmmlasso(
        "merge", f"{tmp_path / 'P'}.partial", f"{tmp_path / 'Q'}.partial", "--out", tmp_path / "M"
    )
    lmmlasso(*run, "--bfile", small.prefix, "--replicates", 4, "--out", tmp_path / "B")
    merged, direct = results(tmp_path / "M"), results(tmp_path / "B")
    assert merged[".stability.tsv"] == direct[".stability.tsv"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--pfile", "a", "--vcf", "b"], "give one of --bfile, --pfile, .* not --pfile and --vcf"),
        (["--bfile", "a", "--npy", "b"], "not --bfile and --npy"),
        ([], "give --bfile PREFIX, or --bed, --bim and --fam, or genotypes of another format"),
        (["--pfile", "a", "--fam", "b"], "--fam changes nothing with --pfile"),
        (["--pfile", "a", "--sample", "b"], "--sample changes nothing with --pfile"),
        (["--vcf", "a", "--ref-last"], "--ref-last changes nothing with --vcf"),
        (["--bfile", "a", "--dosage", "GT"], "--dosage changes nothing with --bfile"),
        (["--bgen", "a", "--dosage", "DS"], "--dosage changes nothing with --bgen"),
        (["--bimbam", "a", "--bim", "b"], "--bim changes nothing with --bimbam"),
        (["--npy", "a", "--dosage", "GT"], "--dosage GT changes nothing with --npy"),
        (["--npy", "a", "--skip-multiallelic"], "--skip-multiallelic changes nothing with --npy"),
        (
            ["--vcf", "a", "--accept-reference-samples"],
            "--accept-reference-samples changes nothing with --vcf",
        ),
    ],
)
def test_flags_that_do_not_go_together(tmp_path, flags, message):
    import re

    err = lmmlasso("kinship", *flags, "--out", tmp_path / "P", code=2)
    assert re.search(message, " ".join(err.replace("\n", " ").split()))


def test_a_phenotype_is_needed_where_there_is_no_fam(formats, tmp_path):
    err = lmmlasso("null", *formats.flags["pfile"], "--out", tmp_path / "P", code=2)
    assert "give the phenotype with --pheno FILE" in err


def test_column_six_of_a_fam_beside_other_genotypes(small, other, formats, tmp_path):
    source = ["--npy", formats.folder / "g.npy", "--bim", f"{small.prefix}.bim"]
    lmmlasso("null", *source, "--fam", small.folder / "y.fam", "--out", tmp_path / "P")
    lmmlasso(
        "null", "--bfile", small.prefix, "--fam", small.folder / "y.fam", "--out", tmp_path / "B"
    )
    assert results(tmp_path / "P")[".null.json"] == results(tmp_path / "B")[".null.json"]


def test_a_missing_package_is_named(monkeypatch, formats, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "pgenlib", None)
    err = lmmlasso("kinship", *formats.flags["pfile"], "--out", tmp_path / "P", code=2)
    assert "pip install 'lmmlasso-fast[pgen]'" in err


def test_files_that_are_not_there(tmp_path):
    for flag in SOURCES:
        err = lmmlasso("kinship", f"--{flag}", tmp_path / "none", "--out", tmp_path / "P", code=3)
        assert "none" in err

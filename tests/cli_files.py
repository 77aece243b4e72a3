"""Small filesets and helpers for the tests of the command line."""

import csv
import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import reference as ref
from click.testing import CliRunner

from lmmlasso_fast.cli import main
from lmmlasso_fast.io.kinship_files import load_kinship, save_kinship, write_grm
from lmmlasso_fast.io.plink_write import write_plink
from lmmlasso_fast.kinship import Kinship
from lmmlasso_fast.simulation import simulate_genotypes, simulate_phenotype

#: What changes from run to run even when nothing else does.
RECORDS = (".log", ".run.json", ".report.html")

#: Flags of genotypes other than a .bed; tests/commands/test_cli_formats.py has their cases.
FORMAT_FLAGS = (
    *("pfile", "vcf", "bgen", "sample", "ref_last", "bimbam", "annotation", "npy", "dosage"),
    "skip_multiallelic",
)

#: Columns of every table of `fit`, as the conventions have them.
COLUMNS = {
    "duplicates.tsv": "ID KEPT_ID SIGN",
    "path.tsv": "INDEX ALPHA MU N_ACTIVE DUAL_GAP CONVERGED VAR_SNP VAR_RANDOM VAR_NOISE",
    "coef.tsv": "INDEX CHROM POS ID EFFECT_ALLELE OTHER_ALLELE EAF BETA BETA_STD",
    "excluded.tsv": "CHROM POS ID REASON",
    "selected.tsv": (
        "CHROM POS ID EFFECT_ALLELE OTHER_ALLELE EAF N_MISSING BETA BETA_STD ALPHA_ENTRY "
        "VAR_EXPLAINED"
    ),
    "pred.tsv": "FID IID PRED PRED_COVARIATES PRED_SNP PRED_RANDOM",
    "score.tsv": "ID A1 BETA",
}
_SNP = "CHROM POS ID EFFECT_ALLELE OTHER_ALLELE EAF"
#: Of the tables of `stability` and `merge`.
STABILITY_COLUMNS = {
    "duplicates.tsv": COLUMNS["duplicates.tsv"],
    "excluded.tsv": COLUMNS["excluded.tsv"],
    "stability.tsv": f"{_SNP} SEL_FREQ LD_GROUP",
    "stability_path.tsv": "LD_GROUP ID N_ACTIVE SEL_FREQ",
    "loci.tsv": "LD_GROUP CHROM START END N_SNPS LEAD_ID SEL_FREQ_GROUP SEL_FREQ_LEAD",
    "bounds.tsv": ("CUTOFF N_SNPS N_GROUPS MAX_FALSE_NONE MAX_FALSE_UNIMODAL MAX_FALSE_R_CONCAVE"),
    "selected.tsv": f"{_SNP} N_MISSING SEL_FREQ LD_GROUP",
    "replicates.tsv": "REPLICATE N_SELECTED LAST_ALPHA LOG_DELTA CONVERGED FAILED",
}
#: What `select` asks of `stability`: groups of several SNPs, samples with different covariates.
STABILITY_OPTIONS = ["--n-active", 6, "--seed", 3, "--ld-r2", 0.1, "--ld-window", 9000]
STABILITY_OPTIONS += ["--cutoff", 0.6]
N_REPLICATES = 12
#: Of the tables that `cv` has besides those of `fit`, with three folds.
CV_COLUMNS = {
    "cv.tsv": "ALPHA N_ACTIVE EXPLAINED_VARIANCE SE CORRELATION EV_1 EV_2 EV_3",
    "cv_pred.tsv": "FID IID FOLD PHENOTYPE PRED",
}


def lmmlasso(*arguments, code=0):
    """Run the command line in this process; return what it wrote to standard error."""
    result = CliRunner().invoke(main, [str(part) for part in arguments])
    assert result.exit_code == code, f"exit code {result.exit_code}: {result.output}"
    assert code == 70 or "Traceback" not in result.output, result.output
    assert result.stdout == "", "results go to files, everything else to standard error"
    return result.stderr


def refused(command, *arguments, code=3):
    """Run a command that must fail; return its message."""
    err = lmmlasso(command, *arguments, code=code)
    [message] = [line for line in err.splitlines() if line.startswith(("error: ", "Error: "))]
    return message


def process(*arguments, **options):
    """Start the command line in a process of its own."""
    program = "from lmmlasso_fast.cli import program; program()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *(str(part) for part in arguments)],
        stdout=subprocess.DEVNULL,  # an editable installation reports its build here
        **({"stderr": subprocess.PIPE} | options),
        text=True,
    )


def interrupt(monkeypatch, command, after) -> None:
    """Have Ctrl-C pressed in every run of `stability` or `cv` after so many of its tasks."""
    module = import_module(f"lmmlasso_fast.cli.{command}")
    name = {"stability": "run_replicates", "cv": "run_folds"}[command]
    run = getattr(module, name)

    def interrupted(*arguments):
        with closing(run(*arguments)) as finished:
            for done, result in enumerate(finished):
                if done == after:
                    raise KeyboardInterrupt
                yield result

    monkeypatch.setattr(module, name, interrupted)


def n_records(path) -> int:
    """How many tasks a journal has."""
    path = Path(path)
    return max(path.read_bytes().count(b"\n") - 1, 0) if path.exists() else 0


def results(prefix) -> dict[str, bytes]:
    """{suffix: content} of every result file of a prefix: not of those that have times."""
    prefix = Path(prefix)
    found = {
        path.name.removeprefix(prefix.name): path.read_bytes()
        for path in prefix.parent.glob(f"{prefix.name}.*")
    }
    return {suffix: content for suffix, content in found.items() if not suffix.endswith(RECORDS)}


def report_without_times(page: bytes) -> bytes:
    """A report without the log and the record of its run, which change; as it is if not whole."""
    begin, end = b'<script type="application/json" id="data">', b"</script>"
    head, found, rest = page.partition(begin)
    data, ended, tail = rest.partition(end)
    if not (found and ended and tail.endswith(b"</html>\n")):
        return page
    content = json.loads(data)
    content["provenance"] = content["read"] = None
    return head + json.dumps(content).encode() + tail


def null_of(prefix) -> dict:
    return json.loads(Path(f"{prefix}.null.json").read_text())


def run_json(prefix) -> dict:
    return json.loads(Path(f"{prefix}.run.json").read_text())


def log(prefix) -> str:
    return Path(f"{prefix}.log").read_text()


def read(path) -> SimpleNamespace:
    """A table's columns as arrays, of numbers where all fields are numbers or NA."""
    with open(path, newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    columns = {}
    for k, name in enumerate(header):
        values = [row[k] for row in rows]
        try:
            if name in ("FID", "IID", "ID", "CHROM"):
                raise ValueError
            columns[name] = np.array([np.nan if v == "NA" else float(v) for v in values])
        except ValueError:
            columns[name] = np.array(values, dtype=object)
    return SimpleNamespace(header=header, n_rows=len(rows), **columns)


def write_table(path, **columns) -> Path:
    pl.DataFrame(columns).write_csv(path, separator="\t", null_value="NA")
    return Path(path)


def edit_fam(prefix, *, phenotypes) -> None:
    """Put phenotypes (text) into column 6."""
    path = Path(f"{prefix}.fam")
    rows = [line.split("\t")[:5] for line in path.read_text().splitlines()]
    lines = ["\t".join([*row, text]) for row, text in zip(rows, phenotypes, strict=True)]
    path.write_text("\n".join(lines) + "\n")


def decode(prefix) -> np.ndarray:
    """Dosages by the oracle, NaN for missing."""
    n, p = (len(Path(f"{prefix}.{end}").read_text().splitlines()) for end in ("fam", "bim"))
    return ref.decode_bed(Path(f"{prefix}.bed").read_bytes(), n, p)


def inputs(files) -> list:
    """Flags of the genotypes and the phenotype in a folder."""
    return ["--bfile", files / "g", "--pheno", files / "y.tsv"]


def ids_of(small) -> dict[str, list[str]]:
    """The columns of ids of a table, for `write_table`."""
    return {name: small.samples[name].to_list() for name in ("FID", "IID")}


def rows_of(small) -> dict[str, int]:
    """{id: row} of its SNPs."""
    return {name: j for j, name in enumerate(small.variants["ID"])}


def select(small, out, *arguments, code=0):
    return lmmlasso(
        "stability",
        *small.base,
        *small.covar,
        *STABILITY_OPTIONS,
        *arguments,
        "--out",
        out,
        code=code,
    )


def tiny_fileset(folder: Path) -> None:
    """40 samples, 60 SNPs and a phenotype: g.bed and y.tsv, for runs that are repeated often."""
    simulated = simulate_genotypes(40, 60, seed=3)
    write_plink(folder / "g", simulated.dosages, simulated.samples, simulated.variants)
    y = simulated.dosages[:, 7] + np.random.default_rng(3).standard_normal(40)
    write_table(folder / "y.tsv", **ids_of(simulated), Y=y)


def small_fileset(folder: Path) -> SimpleNamespace:
    """90 samples, 150 SNPs: SNP 1 twice and once more with its alleles swapped (ids v002, v003),
    v004 monomorphic, v005 rare, v006 mostly missing, v007 all missing; sample 5 lacks a third."""
    simulated = simulate_genotypes(90, 150, missing_rate=0.02, seed=5)
    rng = np.random.default_rng(5)
    dosages = np.array(simulated.dosages)
    dosages[5, rng.choice(150, 50, replace=False)] = -1
    first = dosages[:, 0]
    dosages[:, 1] = first
    dosages[:, 2] = np.where(first < 0, -1, 2 - first)
    dosages[:, 3] = np.where(dosages[:, 3] < 0, -1, 2)
    dosages[:, 4] = np.where(np.arange(90) < 2, 1, 0)
    dosages[:60, 5] = -1
    dosages[:, 6] = -1
    samples, variants = simulated.samples, simulated.variants
    write_plink(folder / "g", dosages, samples, variants)
    phenotype = simulate_phenotype(dosages, n_causal=3, h2_snp=0.5, h2_structure=0.3, seed=6)
    y = 10 + 2 * phenotype.y
    ids = {name: samples[name].to_list() for name in ("FID", "IID")}
    write_table(folder / "y.tsv", **ids, Y=y)
    write_table(
        folder / "two.tsv", **ids, Y=y, Z=[None if i % 9 == 0 else v**2 for i, v in enumerate(y)]
    )
    write_table(
        folder / "c.tsv",
        **ids,
        age=rng.normal(50, 8, 90),
        batch=[["a", "b", "c"][k] for k in rng.integers(0, 3, 90)],
        PC1=rng.standard_normal(90),
        PC2=rng.standard_normal(90),
        PC3=rng.standard_normal(90),
    )
    return SimpleNamespace(
        folder=folder, prefix=folder / "g", y=y, samples=samples, variants=variants, dosages=dosages
    )


def environment(**changes) -> dict[str, str]:
    return {**os.environ, **changes}


def design(small, *names):
    """Intercept, age and the indicators of batch b and c, in the order of c.tsv."""
    table = read(small.folder / "c.tsv")
    batch = [table.batch == level for level in "bc"]
    columns = [table.age, *batch, table.PC1, table.PC2, table.PC3]
    return np.column_stack([np.ones(90), *columns]).astype(float)


def oracle(small):
    """Dosages, standardised SNPs (zero where not offered), their mean and sd, by the oracle."""
    dosage = decode(small.prefix)
    return dosage, *ref.standardise(dosage)


def fitted_fileset(folder: Path) -> SimpleNamespace:
    """The fileset, one fit of it with covariates (`fit`) and one without (`plain`), a kinship."""
    small = small_fileset(folder)
    small.base = ["--bfile", small.prefix, "--pheno", small.folder / "y.tsv"]
    small.covar = ["--covar", small.folder / "c.tsv"]
    small.fit, small.plain, small.kin = (small.folder / name for name in ("fit", "plain", "kin"))
    small.err = lmmlasso("fit", *small.base, *small.covar, "--out", small.fit)
    lmmlasso("fit", *small.base, "--out", small.plain)
    lmmlasso("kinship", "--bfile", small.prefix, "--out", small.kin)
    small.kinship = load_kinship(f"{small.kin}.kinship.npz")
    # eigenvalues below zero, by as much as float32 sums have wrong, count as zero
    s, U = np.linalg.eigh(small.kinship.matrix)
    assert s.min() > -1e-6
    small.K = (U * np.maximum(s, 0)) @ U.T
    return small


def plotted_files(small, prefix) -> None:
    """Have one prefix with everything that can be plotted, of the first 60 samples."""
    some = prefix.with_name(f"{prefix.name}.keep")
    ids = small.samples.select("FID", "IID")[:60]
    ids.write_csv(some, separator="\t", include_header=False)
    arguments = [*small.base, "--keep", some, "--out", prefix]
    lmmlasso("cv", *arguments, "--folds", 3, "--n-alphas", 20, "--eps", 0.1)
    lmmlasso("stability", *arguments, "--replicates", 10, "--cutoff", 0.6)
    lmmlasso("scan", *arguments)
    lmmlasso("kinship", "--bfile", small.prefix, "--keep", some, "--out", prefix)


def region_of(small) -> str:
    """A region with 20 SNPs of the fileset, for --region."""
    first = small.variants[20]["CHROM"][0]
    positions = small.variants.filter(pl.col("CHROM") == first)["POS"][:20]
    return f"{first}:{positions.min()}-{positions.max()}"


def variants_of(small) -> dict[str, Path]:
    """Variants of every input file, and models and kinships made from them."""
    folder = small.folder
    names = {name: folder / name for name in ("other", "last", "flip")}
    write_plink(names["other"], small.dosages[:, ::-1].copy(), small.samples, small.variants)
    reference_last = small.dosages.copy()
    reference_last[-1] = 2
    write_plink(names["last"], reference_last, small.samples, small.variants)
    shutil.copy(f"{names['last']}.fam", folder / "y.fam")
    edit_fam(folder / "y", phenotypes=[str(value) for value in small.y])
    reverse = Path(f"{small.prefix}.fam").read_text().splitlines()[::-1]
    (folder / "reverse.fam").write_text("\n".join(reverse) + "\n")
    bim = [line.split("\t") for line in Path(f"{small.prefix}.bim").read_text().splitlines()]
    bim = [[chrom, name, cm, str(int(pos) + 1), a2, a1] for chrom, name, cm, pos, a1, a2 in bim]
    (folder / "swapped.bim").write_text("".join("\t".join(row) + "\n" for row in bim))
    ids = small.samples.select("FID", "IID")
    ids[:60].write_csv(folder / "some.txt", separator="\t", include_header=False)
    rows = [(*pair, "p" if k % 2 else "0", "m") for k, pair in enumerate(ids.rows())]
    (folder / "parents.txt").write_text("".join(" ".join(row) + "\n" for row in rows))
    (folder / "snps.txt").write_text("\n".join(small.variants["ID"][:100]) + "\n")
    short = small.dosages[:, :-1]
    write_plink(folder / "short", short, small.samples, small.variants[:-1])
    text = (folder / "y.tsv").read_text().splitlines()
    fields = text[3].split("\t")
    text[3] = "\t".join([*fields[:2], "-9"])
    (folder / "minus9.tsv").write_text("\n".join(text) + "\n")
    lines = (folder / "c.tsv").read_text().splitlines()
    lines[3] = lines[3].replace(lines[3].split("\t")[2], "-9", 1)
    (folder / "c9.tsv").write_text("\n".join(lines) + "\n")
    coded = pl.read_csv(folder / "c.tsv", separator="\t")
    coded.with_columns(batch=pl.col("batch").replace_strict({"a": 1, "b": 2, "c": 3})).write_csv(
        folder / "coded.tsv", separator="\t"
    )
    (folder / "run.toml").write_text("n-alphas = 7\n")
    half = 0.5 * small.kinship.matrix + 0.5 * np.eye(90)
    other = Kinship.from_matrix(half, samples=small.kinship.samples)
    save_kinship(other, folder / "half.npz")
    write_grm(other, folder / "half")
    lmmlasso("fit", *small.base, "--kinship", folder / "half.npz", "--out", folder / "given")
    lmmlasso("fit", *small.base, *small.covar, "--log-delta", 1, "--out", folder / "second")
    for name, replicates in (("first", "0:2"), ("last", "2:4")):
        partial = ["--replicates", replicates, "--partial", "--out", folder / f"{name}_two"]
        lmmlasso("stability", *small.base, *partial)
    plotted_files(small, folder / "found")
    lmmlasso("scan", *small.base, "--no-kinship", "--out", folder / "without")
    for line in ("fit", "kin"):
        assert Path(f"{folder / line}.log").exists()
    return names

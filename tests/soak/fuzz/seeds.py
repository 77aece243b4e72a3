"""Writes the valid cases of seeds/: `python -m soak.fuzz.seeds` in the folder tests.

All other files there were found by fuzzing: crash_* failed once (docs/reliability.md says how),
new_* reach code that nothing before them in the folder does.
"""

import gzip
import json
import os
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
from cli_files import lmmlasso, write_table
from soak.fuzz import cases
from soak.fuzz.targets import N_SAMPLES, N_VARIANTS, RESULTS, TARGETS

import lmmlasso_fast as ll
from lmmlasso_fast.io.journal import Journal, read_journal
from lmmlasso_fast.io.kinship_files import save_kinship, write_gemma, write_grm
from lmmlasso_fast.io.plink_write import write_plink
from lmmlasso_fast.simulation import simulate_genotypes

HERE = Path(__file__).with_name("seeds")


def files_of(prefix: str, suffixes) -> list[bytes]:
    """The files of a prefix that there are."""
    paths = [Path(f"{prefix}{suffix}") for suffix in suffixes]
    return [path.read_bytes() if path.exists() else cases.ABSENT for path in paths]


def valid_files() -> dict[str, list[bytes]]:
    """For the seeds' names, target first, the files; they are made in the current folder."""
    simulated = simulate_genotypes(N_SAMPLES, N_VARIANTS, missing_rate=0.02, seed=1)
    dosages, samples, variants = simulated.dosages, simulated.samples, simulated.variants
    write_plink("x", dosages, samples, variants)
    rng = np.random.default_rng(1)
    ids = {name: samples[name].to_list() for name in ("FID", "IID")}
    y = rng.standard_normal(N_SAMPLES) + dosages[:, 3]
    write_table("x.tsv", **ids, Y=np.round(y, 3))
    batch = [["a", "b"][k % 2] for k in range(N_SAMPLES)]
    write_table("c.tsv", **ids, age=np.round(rng.normal(50, 8, N_SAMPLES), 1), batch=batch)
    found = {
        "plink": files_of("x", TARGETS["plink"].files),
        "phenotypes": files_of("x", (".tsv",)),
        "covariates": files_of("c", (".tsv",)),
        "phenotypes-gzip": [gzip.compress(Path("x.tsv").read_bytes(), mtime=0)],
    }
    found |= text_files(samples, variants, dosages)
    found |= genotype_files(samples, variants, dosages)
    found |= result_files()
    return found


def text_files(samples, variants, dosages) -> dict[str, list[bytes]]:
    rows = samples.rows()
    fam = b"".join(f"{row[0]} {row[1]} 0 0 1 {k}.5\n".encode() for k, row in enumerate(rows[:6]))
    psam = b"#FID\tIID\tSEX\n" + b"".join(f"{r[0]}\t{r[1]}\t1\n".encode() for r in rows[:6])
    bim = Path("x.bim").read_bytes().split(b"\n")[:5]
    pvar = [b"##fileformat=VCFv4.2", b"#CHROM\tPOS\tID\tREF\tALT"]
    pvar += [b"1\t%d\tv%d\tA\tG" % (k + 5, k) for k in range(5)]
    sample = b"ID_1 ID_2 missing sex\n0 0 0 D\n" + b"".join(
        f"{r[0]} {r[1]} 0 1\n".encode() for r in rows[:6]
    )
    ped = b"#FID IID PAT MAT\nf a 0 0\nf b 0 0\nf c a b\nf d a b\nf e c NA\n"
    regions = b"track name=genes\n# none\n1\t10\t200\tG1\n2 5 90000000 G2\n"
    keep = b"\n".join(" ".join(row[:2]).encode() for row in rows[:4]) + b"\n"
    extract = b"#ID\nv001\n v002 comment\n"
    toml = (
        b'bfile = "x"\npheno = "x.tsv"\npheno-name = ["Y", "Z"]\nmaf = 0.01\n'
        b'n-alphas = 7\nmethod = "reml"\nstrict = true\nalpha = [0.1, 0.5]\nseed = 3\n'
    )
    annotation = b"rs1,100,1\nrs2,NA,X\nrs3 200 2\n"
    bimbam = b"".join(
        b"rs%d, A, G, %b\n" % (j, b", ".join(b"%d" % max(d, 0) for d in dosages[:8, j]))
        for j in range(6)
    )
    fractions = bimbam.replace(b" 1,", b" 0.75,").replace(b" 0,", b" NA,", 3)
    vcf = (
        b'##fileformat=VCFv4.2\n##contig=<ID=1>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="'
        b'x">\n##FORMAT=<ID=DS,Number=1,Type=Float,Description="x">\n'
        b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\tc\td\n"
        b"1\t5\tr1\tA\tG\t.\t.\t.\tGT:DS\t0/0:0.1\t0/1:1\t1|1:1.9\t./.:.\n"
        b"1\t6\tr2\tA\tG,T\t.\t.\t.\tGT:DS\t0/0:0\t0/2:1\t1|1:2\t0:1\n"
        b"1\t7\t.\tC\tT\t.\t.\t.\tGT:DS\t0/.:0.5\t1:1\t1|0:1.25\t0/0:0\n"
    )
    header = b"IID Y\na 1\nb 2\nc NA\n"
    return {
        "plink-text": [fam, b"\n".join(bim), psam, b"\n".join(pvar), sample, ped],
        "plink-text-plain": [fam, b"\n".join(bim), fam, b"\n".join(bim), cases.ABSENT, fam],
        "lists": [fam, keep, extract],
        "genes": [regions],
        "config": [toml],
        "bimbam": [bimbam, annotation],
        "bimbam-dosages": [gzip.compress(fractions, mtime=0), cases.ABSENT],
        "vcf": [vcf],
        "phenotypes-one-id": [header],
    }


def genotype_files(samples, variants, dosages) -> dict[str, list[bytes]]:
    import bgen
    import pgenlib

    ids, n, p = [row[1] for row in samples.rows()[:8]], 8, 5
    small = np.ascontiguousarray(dosages[:8, :5])
    with pgenlib.PgenWriter(b"g.pgen", n, variant_ct=p) as writer:
        for j in range(p):
            calls = np.where(small[:, j] < 0, -9, small[:, j]).astype(np.int8)
            writer.append_biallelic(np.ascontiguousarray(calls))
    Path("g.psam").write_text("#IID\n" + "".join(f"{iid}\n" for iid in ids))
    rows = "".join(f"1\t{k + 5}\tv{k}\tA\tG\n" for k in range(p))
    Path("g.pvar").write_text("#CHROM\tPOS\tID\tREF\tALT\n" + rows)
    with bgen.BgenWriter("g.bgen", n, ids) as writer:
        for j in range(p):
            P = np.eye(3)[np.maximum(small[:, j], 0)]
            P[small[:, j] < 0] = np.nan
            writer.add_variant(f"v{j}", f"r{j}", "1", j + 5, ["A", "G"], P)
    np.save("i.npy", np.maximum(small, 0).astype(np.int8))
    np.save("f.npy", np.asfortranarray(small * 0.5 + 0.5))
    return {
        "pgen": files_of("g", TARGETS["pgen"].files),
        "bgen": files_of("g", TARGETS["bgen"].files),
        "npy": files_of("i", (".npy",)),
        "npy-floats": files_of("f", (".npy",)),
    }


def result_files() -> dict[str, list[bytes]]:
    """Kinships, a model, checkpoints and result files of the small fileset."""
    base = ["--bfile", "x", "--pheno", "x.tsv", "--threads", 1]
    some = simulate_genotypes(8, 60, seed=2)
    K = ll.kinship(ll.Genotypes.from_array(some.dosages, samples=some.samples))
    save_kinship(K, "k.npz")
    write_grm(K, "k")
    write_gemma(K, "k.cXX.txt")
    rows = ["\t".join(f"{value:.4g}" for value in row[: k + 1]) for k, row in enumerate(K.matrix)]
    Path("k.rel").write_text("\n".join(rows) + "\n")
    Path("k.rel.id").write_bytes(Path("k.grm.id").read_bytes())
    few = ["--n-alphas", 4, "--eps", 0.5]
    lmmlasso("cv", *base, "--folds", 3, *few, "--covar", "c.tsv", "--out", "P")
    lmmlasso("scan", *base, "--out", "P")
    halves = ["--n-active", 3, "--cutoff", 0.6]
    lmmlasso("stability", *base, "--replicates", 4, *halves, "--out", "P")
    lmmlasso("run", *base, "--steps", "null,fit,scan", *few, "--out", "R")
    lmmlasso("stability", *base, "--replicates", "0:4", "--partial", *halves, "--out", "part")
    lmmlasso("scan", *base, "--loco", "--out", "L")
    calibration = {"alpha": 0.1, "level": 0.05, "n_draws": 100}
    Path("L.calibration.json").write_text(json.dumps(calibration))
    Path("L.log").write_text("SNPs: 30\nnull model\n")
    relative("part.partial", "x.partial")
    with Journal.create("x.cv.checkpoint", *header_of_cv(base)) as journal:
        journal.append(
            0, {"predictions": [[0.5] * 4] * 7, "gaps": [0.0] * 4, "alpha_max": 1.0,
                "log_delta": 0.5}
        )  # fmt: skip
    return {
        "grm": files_of("k", TARGETS["grm"].files),
        "gemma": files_of("k", (".cXX.txt",)),
        "rel": files_of("k", TARGETS["rel"].files),
        "kinship": files_of("k", (".npz",)),
        "model": files_of("P", (".model.npz",)),
        "journal": files_of("x", (".partial",)),
        "journal-folds": files_of("x", (".cv.checkpoint",)),
        "merge": files_of("x", TARGETS["merge"].files),
        "resume": files_of("x", TARGETS["resume"].files),
        "records": files_of("R", TARGETS["records"].files),
        "report": shortened(files_of("P", RESULTS)),
        "report-run": shortened(files_of("R", RESULTS)),
        "report-loco": shortened(files_of("L", RESULTS)),
        "multiqc": shortened(files_of("R", TARGETS["multiqc"].files)),
    }


def header_of_cv(base) -> tuple[str, dict, dict]:
    """What the header of a checkpoint of cv says: of a run that is interrupted at once."""
    from soak.fuzz.targets import CliRunner, main

    import lmmlasso_fast.cli.cv as command

    before = command.run_folds

    def stopped(*arguments):
        raise KeyboardInterrupt
        yield

    command.run_folds = stopped
    try:
        arguments = [*base, "--folds", 3, "--n-alphas", 4, "--out", "c"]
        done = CliRunner().invoke(main, ["cv", *(str(a) for a in arguments)])
        assert done.exit_code == 130, done.output
    finally:
        command.run_folds = before
    return read_journal("c.cv.checkpoint")[:3]


def relative(source: str, target: str) -> None:
    """A partial result whose files are named without folders, as cases move."""
    first, *rest = Path(source).read_bytes().split(b"\n")
    header = json.loads(first)
    del header["crc32"]
    for name, value in header["options"].items():
        if isinstance(value, str) and os.path.isabs(value):
            header["options"][name] = os.path.basename(value)
    body = json.dumps(header).encode()[:-1]
    line = b'%b, "crc32": "%08x"}' % (body, zlib.crc32(body))
    Path(target).write_bytes(b"\n".join([line, *rest]))


def shortened(files: list[bytes]) -> list[bytes]:
    """Tables of at most twelve lines; of the JSON what a machine or a day would change is gone."""
    short = []
    for content in files:
        if content[:1] == b"{":
            record = json.loads(content)
            for name in ("machine", "versions", "timings", "started", "ended", "kernels"):
                record.pop(name, None)
            content = json.dumps(record).encode()
        elif content.count(b"\n") > 12:
            content = b"\n".join(content.split(b"\n")[:12]) + b"\n"
        short.append(content)
    return short


def main() -> None:
    sys.argv[:] = ["lmmlasso"]  # records have it, and no path of this machine belongs there
    HERE.mkdir(exist_ok=True)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            found = valid_files()
        finally:
            os.chdir(before)
    for name, files in found.items():
        target = max((t for t in TARGETS if name.startswith(t)), key=len)
        (HERE / f"valid_{name}").write_bytes(cases.pack(target, files))


if __name__ == "__main__":
    main()

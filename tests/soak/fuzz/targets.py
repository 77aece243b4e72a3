"""What is read, and what must hold of whatever comes back.

A target reads the files of one case, x.bed and so on, in the current folder, and goes on to use
what it got, as a program would.
"""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import reference as ref
from click.testing import CliRunner
from plans import plan_of

import lmmlasso_fast as ll
from lmmlasso_fast.cli import main
from lmmlasso_fast.cli.checkpoint import check_results
from lmmlasso_fast.cli.recording import _written_by
from lmmlasso_fast.cli.run import run
from lmmlasso_fast.cli.steps import _read as read_steps
from lmmlasso_fast.evaluation import enrichment
from lmmlasso_fast.io.bed_regions import read_bed
from lmmlasso_fast.io.ids import match_samples, read_id_list, read_ids
from lmmlasso_fast.io.journal import Journal, merge_journals, read_journal
from lmmlasso_fast.io.kinship_files import load_kinship, read_gemma, read_grm, read_rel
from lmmlasso_fast.io.multiqc import multiqc_content
from lmmlasso_fast.io.pgen_text import read_psam, read_pvar, read_sample_file
from lmmlasso_fast.io.plink_text import read_bim, read_fam
from lmmlasso_fast.io.results import write_json
from lmmlasso_fast.io.tables import encode_covariates, read_covariates, read_phenotypes
from lmmlasso_fast.report import write_report

#: Genotypes up to so many are fitted too.
FITTED = 2_000
#: Of the small fileset that `merge` and `resume` go with.
N_SAMPLES, N_VARIANTS = 20, 30


@dataclass(frozen=True)
class Target:
    """Files that are read together.

    Attributes
    ----------
    files : tuple of str
        What follows the prefix in their names.
    kinds : tuple of str
        How each is changed: a key of `mutate.KINDS`.
    read : callable
        Takes the prefix.
    errors : tuple of exceptions
        What may be raised besides the package's own errors.
    needs : str
        A module that must be installed.
    """

    files: tuple[str, ...]
    kinds: tuple[str, ...]
    read: Callable[[str], None]
    errors: tuple[type[Exception], ...] = ()
    needs: str = "numpy"


# ---- genotypes ----------------------------------------------------------------------------------


def use(genotypes: ll.Genotypes) -> None:
    """Everything that a fit asks of genotypes, with its result checked."""
    n, p = genotypes.n_samples, genotypes.n_variants
    assert n > 0
    assert p > 0
    for values in (genotypes.mean, genotypes.sd, genotypes.n_missing, genotypes.included):
        assert values.shape == (p,)
    assert genotypes.samples.height == n
    assert genotypes.variants.height == p
    genotypes.variants.select("CHROM", "ID", "POS", "A1", "A2")
    assert np.isfinite(genotypes.mean[genotypes.included]).all()
    assert (genotypes.sd[genotypes.included] > 0).all()
    if n * p > FITTED:
        return
    assert len(genotypes.excluded) >= (~genotypes.included).sum()
    assert len(genotypes.duplicates) <= p
    v = np.cos(np.arange(n))
    gradient = genotypes.gradient(v)
    X = genotypes.columns(np.arange(p)).reshape(n, p)
    expected = np.where(genotypes.included, X.astype(float).T @ v, 0)
    assert np.allclose(gradient, expected, atol=1e-4 * n), "X'v"
    index = np.arange(0, n, 2)
    half = genotypes.subset(index)
    assert half.n_samples == len(index)
    y = np.sin(1 + np.arange(n)) + gradient.sum() * 1e-3
    K = ll.kinship(genotypes)
    assert K.matrix.shape == (n, n)
    path = ll.lasso_path(genotypes, y, ll.fit_null(y, K), n_alphas=3, eps=0.3)
    assert path.coefs.shape == (p, len(path.alphas))
    assert np.isfinite(path.coefs.data).all()
    ll.save_model(ll.build_model(path, genotypes), "m.npz")
    predicted = ll.load_model("m.npz").predict(genotypes)
    assert len(predicted.total) == n


def _plink(x: str) -> None:
    genotypes = ll.read_plink(x)
    n, p = genotypes.n_samples, genotypes.n_variants
    if n * p <= 100_000:
        expected = ref.decode_bed(Path(f"{x}.bed").read_bytes(), n, p)
        found = genotypes.dosages(np.arange(p)).astype(float)
        assert np.array_equal(np.where(found < 0, np.nan, found), expected, equal_nan=True)
    use(genotypes)


def _bimbam(x: str) -> None:
    annotation = f"{x}.annotation" if os.path.exists(f"{x}.annotation") else None
    use(ll.read_bimbam(f"{x}.bimbam", annotation=annotation))


def _npy(x: str) -> None:
    for bits in (None, 8):
        genotypes = ll.read_npy(f"{x}.npy", bits=bits)
        use(genotypes)


def _vcf(x: str) -> None:
    use(ll.read_vcf(f"{x}.vcf", multiallelic="skip"))
    use(ll.read_vcf(f"{x}.vcf", dosage="DS", bits=8, multiallelic="skip"))


def _bgen(x: str) -> None:
    sample = f"{x}.sample" if os.path.exists(f"{x}.sample") else None
    use(ll.read_bgen(f"{x}.bgen", sample=sample, multiallelic="skip"))


def _pgen(x: str) -> None:
    use(ll.read_pgen(x, multiallelic="skip"))


def _plink_text(x: str) -> None:
    """The tables alone: with a .bed they must fit together, which few of the changed ones do."""
    for read, end in (
        (read_fam, "fam"),
        (read_bim, "bim"),
        (read_psam, "psam"),
        (read_pvar, "pvar"),
        (read_sample_file, "sample"),
        (ll.read_pedigree, "ped"),
    ):
        if os.path.exists(f"{x}.{end}"):
            table = read(f"{x}.{end}")
            if end != "ped":
                assert table.height > 0
            elif table.height < 60:
                K = ll.pedigree_kinship(table)
                assert np.isfinite(K.matrix).all()


# ---- tables and lists ---------------------------------------------------------------------------


def _phenotypes(x: str) -> None:
    for codes in ((), ("-9", "none")):
        table = read_phenotypes(f"{x}.tsv", missing_codes=codes)
        for column in table.columns[2:]:
            values = table[column].drop_nulls().to_numpy()
            assert np.isfinite(values).all()
    if 2 < table.height < 100:
        y = table[table.columns[2]].fill_null(0).to_numpy()
        ll.fit_null(y, np.eye(len(y)))
        ll.transform_phenotype(y, "rint")


def _covariates(x: str) -> None:
    table = read_covariates(f"{x}.tsv", missing_codes=["none"])
    names = table.columns[2:]
    read_covariates(f"{x}.tsv", missing_codes=["none"], categorical=names[:1])
    complete = table.drop_nulls(names)
    matrix, columns = encode_covariates(complete.select(names))
    assert matrix.shape == (complete.height, len(columns))
    assert np.isfinite(matrix).all()
    if 2 < len(matrix) < 100 and len(columns) < 50:
        y = np.cos(np.arange(len(matrix)))
        ll.fit_null(y, np.eye(len(y)), matrix, covariate_names=columns)


def _lists(x: str) -> None:
    ids = read_ids(f"{x}.keep")
    assert all(iid for _, iid in ids)
    names = read_id_list(f"{x}.extract")
    assert all(name and not re.search(r"[ \t\n]", name) for name in names)
    samples = read_fam(f"{x}.fam").select("FID", "IID")
    pairs = dict.fromkeys(ids)
    table = samples.clear().vstack(
        samples.clear().__class__(list(pairs), schema=samples.schema, orient="row")
    )
    rows = match_samples(samples, table, "keep")
    assert rows.shape == (samples.height,)
    assert rows.max() < len(pairs)


def _genes(x: str) -> None:
    genes = read_bed(f"{x}.genes")
    assert (genes["START"] <= genes["END"]).all()
    dosages = np.tile([[0, 1], [1, 2], [2, 0]], (1, 4)).astype(np.int8)
    variants = ll.simulation.simulate_genotypes(9, 8, seed=1).variants
    genotypes = ll.Genotypes.from_array(dosages, variants=variants)
    found = enrichment(np.array([1, 5]), genotypes, genes, window=10, n_permutations=5)
    assert 0 <= found.share <= 1


# ---- kinships, models ---------------------------------------------------------------------------


def _use_kinship(K: ll.Kinship) -> None:
    n = K.n_samples
    assert K.matrix.shape == (n, n)
    assert np.isfinite(K.matrix).all()
    assert np.array_equal(K.matrix, K.matrix.T)
    assert abs(K.matrix.diagonal().mean() - 1) < 1e-8
    assert 0 < K.scale < np.inf
    assert K.samples is None or K.samples.height == n
    if n < 100:
        ll.save_kinship(K, "k.npz")
        again = load_kinship("k.npz")
        assert np.array_equal(again.matrix, K.matrix)
        y = np.cos(np.arange(n))
        null = ll.fit_null(y, K)
        assert 0 <= null.h2 <= 1


def _model(x: str) -> None:
    model = ll.load_model(f"{x}.model.npz")
    q, m = len(model.mean), len(model.alphas)
    assert model.variants.height == q
    assert model.coefs.shape == (q, m)
    assert model.coef_at(None).shape == (q,)
    if q > 500:
        return
    ll.save_model(model, "m.npz")
    ll.load_model("m.npz")
    model.to_frame()
    dosages = (np.arange(4 * max(q, 1)).reshape(4, -1) * 7 % 3).astype(np.int8)
    genotypes = ll.Genotypes.from_array(dosages, variants=model.variants if q else None)
    predicted = model.predict(
        genotypes,
        covariates=np.ones((4, max(len(model.covariate_names) - 1, 0))),
        kinship=np.ones((4, min(model.n_samples, 999))) if model.random == "sample" else None,
    )
    assert len(predicted.total) == 4


# ---- checkpoints and records --------------------------------------------------------------------


def _journal(x: str) -> None:
    path = f"{x}.checkpoint"
    kind, fingerprint, options, results = read_journal(path)
    assert merge_journals([path, path])[3] == results
    with Journal.resume(path, kind, fingerprint, options) as journal:
        assert journal.results == results
        task = max(results, default=-1) + 1
        journal.append(task, {"gap": 0.5})
    assert read_journal(path)[3] == results | {task: {"gap": 0.5}}
    check_results(path, results, plan_of(kind, N_SAMPLES, N_VARIANTS))


def _invoke(*arguments: str) -> None:
    """A command, which ends with one of its exit codes; its own error is raised as such."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code in (0, 2, 3), f"exit code {done.exit_code}: {done.output[-3000:]}"
    assert "Traceback" not in done.output
    if done.exit_code:
        raise ll.errors.InputError(done.stderr[-1000:] or "nothing was said")


def _merge(x: str) -> None:
    _invoke("merge", f"{x}.partial", "--out", "P", "--threads", "1")


def _resume(x: str) -> None:
    if os.path.exists(f"{x}.cv.checkpoint"):
        os.rename(f"{x}.cv.checkpoint", "P.cv.checkpoint")
    _invoke("cv", "--bfile", x, "--pheno", f"{x}.tsv", "--folds", "3", "--n-alphas", "4",
            "--threads", "1", "--resume", "--out", "P")  # fmt: skip


def _config(x: str) -> None:
    """--out and --steps make every other flag one that may be left out."""
    run.make_context("run", ["--config", f"{x}.toml", "--steps", "null", "--out", "P"])


def _records(x: str) -> None:
    """What a command reads of an earlier one."""
    _written_by(f"{x}.run.json")
    steps = read_steps(Path(f"{x}.steps.json"))
    for known in steps.values():
        assert isinstance(known["files"], dict)


#: What a prefix may have.
RESULTS = (
    *(".run.json", ".null.json", ".calibration.json", ".log"),
    *(".path.tsv", ".coef.tsv", ".selected.tsv", ".cv.tsv", ".cv_pred.tsv", ".pred.tsv"),
    *(".scan.tsv", ".stability.tsv", ".stable.tsv", ".loci.tsv", ".bounds.tsv"),
    *(".stability_path.tsv", ".replicates.tsv", ".excluded.tsv", ".duplicates.tsv"),
)


def _report(x: str) -> None:
    page = Path(write_report(x, "page.html")).read_text(encoding="utf-8")
    assert page.count("</script>") == 3


def _multiqc(x: str) -> None:
    write_json(multiqc_content([x]), "mqc.json")
    json.loads(Path("mqc.json").read_text())


def _kinds(files: tuple[str, ...]) -> tuple[str, ...]:
    kinds = {"json": "json", ".tsv": "table"}
    return tuple(kinds.get(name[-4:], "text") for name in files)


TARGETS = {
    "plink": Target((".fam", ".bim", ".bed"), ("text", "text", "bytes"), _plink),
    "plink-text": Target(
        (".fam", ".bim", ".psam", ".pvar", ".sample", ".ped"), ("text",) * 6, _plink_text
    ),
    "pgen": Target((".psam", ".pvar", ".pgen"), ("text", "text", "bytes"), _pgen, needs="pgenlib"),
    "vcf": Target((".vcf",), ("text",), _vcf, needs="cyvcf2"),
    "bgen": Target((".bgen", ".sample"), ("bytes", "text"), _bgen, needs="bgen"),
    "bimbam": Target((".bimbam", ".annotation"), ("text", "text"), _bimbam),
    "npy": Target((".npy",), ("npy",), _npy),
    "phenotypes": Target((".tsv",), ("text",), _phenotypes),
    "covariates": Target((".tsv",), ("text",), _covariates),
    "lists": Target((".fam", ".keep", ".extract"), ("text",) * 3, _lists),
    "genes": Target((".genes",), ("text",), _genes),
    "grm": Target(
        (".grm.id", ".grm.bin", ".grm.N.bin"),
        ("text", "floats", "floats"),
        lambda x: _use_kinship(read_grm(x)),
    ),
    "gemma": Target((".cXX.txt",), ("text",), lambda x: _use_kinship(read_gemma(f"{x}.cXX.txt"))),
    "rel": Target((".rel.id", ".rel"), ("text", "text"), lambda x: _use_kinship(read_rel(x))),
    "kinship": Target((".npz",), ("npz",), lambda x: _use_kinship(load_kinship(f"{x}.npz"))),
    "model": Target((".model.npz",), ("npz",), _model),
    "journal": Target((".checkpoint",), ("journal",), _journal),
    "merge": Target(
        (".partial", ".fam", ".bim", ".bed", ".tsv"),
        ("journal", "text", "text", "bytes", "text"),
        _merge,
    ),
    "resume": Target(
        (".cv.checkpoint", ".fam", ".bim", ".bed", ".tsv"),
        ("journal", "text", "text", "bytes", "text"),
        _resume,
    ),
    "config": Target((".toml",), ("text",), _config, errors=(click.UsageError,)),
    "records": Target((".run.json", ".steps.json"), ("json", "json"), _records),
    "report": Target(RESULTS, _kinds(RESULTS), _report),
    "multiqc": Target(
        (".run.json", ".null.json", ".path.tsv", ".selected.tsv", ".cv.tsv", ".scan.tsv"),
        _kinds((".run.json", ".null.json", ".path.tsv", ".selected.tsv", ".cv.tsv", ".scan.tsv")),
        _multiqc,
    ),
}


def left_out(names) -> dict[str, str]:
    """Of these targets, those that cannot be tried here, and the module that each needs."""
    return {name: TARGETS[name].needs for name in names if not find_spec(TARGETS[name].needs)}

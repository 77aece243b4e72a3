"""The command line: every flag of every command changes something."""

from functools import partial
from importlib import import_module

import pytest
from cli_files import (
    FORMAT_FLAGS,
    interrupt,
    lmmlasso,
    log,
    n_records,
    read,
    region_of,
    results,
    run_json,
)
from click.testing import CliRunner

from lmmlasso_fast.cli import main
from lmmlasso_fast.cli.options import in_flags
from lmmlasso_fast.threads import available_threads

pytestmark = pytest.mark.promise("options")

# --- every flag changes something ----------------------------------------------------------------


_SIMULATE = ["--n-samples", 40, "--n-variants", 60]


class Refused(tuple):
    """Arguments that the command refuses with exit code 3."""


#: Commands that write no P.run.json: test_flags_of_other_commands has theirs.
_WITHOUT_FILES = {"completion", "doctor", "report"}
COMMANDS = [name for name in main.commands if name not in _WITHOUT_FILES]


def run_cases(small):
    """Cases of `run`: those of the single command that has the flag, as the only step."""
    cases = {
        "steps": ([*small.base, "--steps", "fit"], [*small.base, "--steps", "scan"]),
        "config": (
            [*small.base, "--steps", "fit"],
            [*small.base, "--steps", "fit", "--config", small.folder / "run.toml"],
        ),
        "write_config": None,
    }
    for step in ("stability", "scan", "cv", "fit"):
        flags = {p.name for p in main.commands[step].params} - set(FORMAT_FLAGS)
        of_step = flag_cases(small, step)
        for flag in flags - ({"n_active"} if step == "cv" else set()):
            pair = of_step[flag]
            cases[flag] = pair and tuple(type(part)([*part, "--steps", step]) for part in pair)
    return cases


def flag_cases(small, command):
    """{parameter: (arguments before, arguments after)} whose results must differ; None: a test of
    its own, named below."""
    if command == "run":
        return run_cases(small)
    f = small.folder
    base = {
        "fit": [*small.base],
        "null": [*small.base],
        "scan": [*small.base],
        "kinship": ["--bfile", small.prefix],
        "predict": ["--model", f"{small.plain}.model.npz", "--bfile", small.prefix],
        "demo": [],
        "simulate": _SIMULATE,
        "cv": [*small.base, "--folds", 3],
        "stability": [*small.base, "--replicates", 4],
        "merge": [f / "first_two.partial"],
        "multiqc": [small.fit],
        "plot": [f / "found"],
    }[command]

    def plus(*arguments):
        return base, [*base, *arguments]

    two = ["--bfile", small.prefix, "--pheno", f / "two.tsv"]
    minus9 = ["--bfile", small.prefix, "--pheno", f / "minus9.tsv"]
    last = ["--bfile", f / "last"]
    with_covar = ["--model", f"{small.fit}.model.npz", "--bfile", small.prefix]
    given = ["--model", f / "given.model.npz", "--bfile", small.prefix]
    fwer = [*base, "--fwer", 0.1]
    bounded = [*base, "--replicates", 10, "--max-false", 5]
    loose = [*base, "--ld-r2", 0.05]
    cases = {
        "bfile": plus("--bfile", f / "other"),
        "bed": plus("--bed", f / "other.bed"),
        "bim": plus("--bim", f / "swapped.bim"),
        "fam": plus("--fam", f / "reverse.fam"),
        "keep": plus("--keep", f / "some.txt"),
        "remove": plus("--remove", f / "some.txt"),
        "extract": plus("--extract", f / "snps.txt"),
        "exclude": plus("--exclude", f / "snps.txt"),
        "chromosomes": plus("--chr", "1,3"),
        "maf": plus("--maf", 0.1),
        "geno": plus("--geno", 0.5),
        "mind": plus("--mind", 0.25),
        "collapse_duplicates": plus("--collapse-duplicates"),
        "pheno": plus("--pheno", f / "two.tsv", "--pheno-name", "Z"),
        "pheno_name": (Refused(two), [*two, "--pheno-name", "Y"]),
        "covar": plus("--covar", f / "c.tsv"),
        "covar_name": (
            [*base, "--covar", f / "c.tsv"],
            [*base, "--covar", f / "c.tsv", "--covar-name", "age"],
        ),
        "cat_covar": (
            [*base, "--covar", f / "coded.tsv"],
            [*base, "--covar", f / "coded.tsv", "--cat-covar", "batch"],
        ),
        "missing_code": (Refused(minus9), [*minus9, "--missing-code", "-9"]),
        "transform": plus("--transform", "rint"),
        "standardize": plus("--standardize"),
        "kinship_file": plus("--kinship", f / "half.npz"),
        "grm": plus("--grm", f / "half"),
        "method": plus("--method", "reml"),
        "log_delta": plus("--log-delta", 1),
        "kinship_samples": (
            [*base, *two, "--pheno-name", "Z"],
            [*base, *two, "--pheno-name", "Z", "--kinship-samples", "all"],
        ),
        "n_alphas": plus("--n-alphas", 7),
        "eps": plus("--eps", 0.3),
        "alphas": plus("--alpha", "0.3,0.2"),
        "max_active": plus("--max-active", 3),
        "l1_ratio": plus("--l1-ratio", 0.5),
        "penalty_factors": plus("--penalty-factors", "whitened"),
        "tol": plus("--tol", 0),
        "model_alphas": plus("--model-alphas", "last"),
        "no_kinship": plus("--no-kinship"),
        "mfdr": plus("--mfdr"),
        "fwer": plus("--fwer", 0.1),
        "n_draws": (fwer, [*fwer, "--n-draws", 100]),
        "folds": plus("--folds", 4),
        "groups": (
            [*base, *small.covar, "--covar-name", "age"],
            [*base, *small.covar, "--covar-name", "age", "--groups", "batch"],
        ),
        "kinship_threshold": plus("--kinship-threshold", 0.4),
        "repeats": plus("--repeats", 2),
        "select": plus("--select", "one-se"),
        "n_active": plus("--n-active", 3),
        "replicates": plus("--replicates", 6),
        "fraction": plus("--fraction", 0.4),
        "no_pairs": plus("--no-pairs"),
        "cutoff": plus("--cutoff", 1),
        "max_false": plus("--max-false", 5),
        "assumption": (bounded, [*bounded, "--assumption", "none"]),
        "ld_r2": (base, loose),
        "ld_window": (loose, [*loose, "--ld-window", 0]),
        "partial": plus("--partial"),
        "formats": plus("--format", "grm"),
        "estimator": plus("--estimator", "ibs"),
        "pedigree_file": (
            [*base, "--estimator", "pedigree"],
            [*base, "--estimator", "pedigree", "--pedigree", f / "parents.txt"],
        ),
        "exact": plus("--exact"),
        "loco": plus("--loco"),
        "seed": plus("--seed", 2),
        "n_samples": plus("--n-samples", 41),
        "n_variants": plus("--n-variants", 61),
        "n_populations": plus("--n-populations", 2),
        "fst": plus("--fst", 0.3),
        "ld": plus("--ld", 0.5),
        "missing_rate": plus("--missing-rate", 0.1),
        "inbred": plus("--inbred"),
        "n_chromosomes": plus("--n-chromosomes", 2),
        "n_causal": plus("--n-causal", 3),
        "h2_snp": plus("--h2-snp", 0.5),
        "h2_structure": plus("--h2-structure", 0.5),
        "accept_reference_samples": (
            Refused([*base, *last]),
            [*base, *last, "--accept-reference-samples"],
        ),
        # results do not depend on it: P.run.json does
        "threads": None,
        "out": None,
        "strict": None,
        "resume": None,
    }
    if command == "fit":
        cases["seed"] = (fwer, [*fwer, "--seed", 2])
    if command == "stability":
        cases["tol"] = None  # which replicates are warned of
    if command == "simulate":
        existing = ["--bfile", small.prefix]
        two = [*existing, "--background", f / "two.tsv"]
        minus9 = [*existing, "--background", f / "minus9.tsv"]
        cases |= {
            "bfile": (base, existing),
            "bed": (existing, [*existing, "--bed", f / "other.bed"]),
            "bim": (existing, [*existing, "--bim", f / "swapped.bim"]),
            "fam": (existing, [*existing, "--fam", f / "reverse.fam"]),
            "accept_reference_samples": (Refused(last), [*last, "--accept-reference-samples"]),
            "background": (existing, [*existing, "--background", f / "y.tsv"]),
            "background_name": (Refused(two), [*two, "--background-name", "Z"]),
            "missing_code": (Refused(minus9), [*minus9, "--missing-code", "-9"]),
            "effects": plus("--effects", "equal"),
            "min_frequency": plus("--min-frequency", 0.4),
            "min_distance": plus("--min-distance", 3_000),
            "family_size": plus("--family-size", 4),
        }
    if command == "multiqc":
        cases["prefix"] = plus(small.plain)
    if command == "plot":
        region = [*base, "--region", region_of(small), "--bfile", small.prefix]
        elsewhere = [*region, "--bim", f / "swapped.bim"]
        last = [*region, "--bed", f / "last.bed"]
        lead = read(f"{f / 'found'}.scan.tsv").ID[1]
        cases |= {
            "prefix": (base, [f / "without"]),
            "formats": plus("--format", "png"),
            "before": plus("--before", f / "without"),
            "cutoff": plus("--cutoff", 0.3),
            "region": (base, region),
            "lead": (region, [*region, "--lead", lead]),
            "bfile": (region, [*region, "--bfile", f / "other"]),
            "bed": (region, [*region, "--bed", f / "other.bed"]),
            "bim": (region, Refused(elsewhere)),
            "fam": (region, [*region, "--fam", f / "reverse.fam"]),
            "accept_reference_samples": (Refused(last), [*last, "--accept-reference-samples"]),
        }
    if command == "merge":
        cases["partial"] = plus(f / "last_two.partial")
    if command == "predict":
        cases |= {
            "model_file": plus("--model", f / "given.model.npz", "--kinship", f / "half.npz"),
            "covar": (Refused(with_covar), [*with_covar, "--covar", f / "c.tsv"]),
            "missing_code": (
                Refused([*with_covar, "--covar", f / "c9.tsv"]),
                [*with_covar, "--covar", f / "c9.tsv", "--missing-code", "none"],
            ),
            "alpha": plus("--alpha", read(f"{small.plain}.path.tsv").ALPHA[20]),
            "allow_missing": (
                Refused([*base, "--bfile", f / "short"]),
                [*base, "--bfile", f / "short", "--allow-missing"],
            ),
            "kinship_file": (Refused(given), [*given, "--kinship", f / "half.npz"]),
            "grm": (Refused(given), [*given, "--grm", f / "half"]),
        }
    return cases


FLAGS = [
    (name, p.name)
    for name in COMMANDS
    for p in main.commands[name].params
    if p.name not in FORMAT_FLAGS
]


@pytest.mark.parametrize(("command", "flag"), FLAGS)
def test_every_flag_changes_something(small, other, tmp_path, command, flag):
    cases = flag_cases(small, command)
    assert flag in cases, f"no test covers the flag {flag} of {command}: add one"
    if cases[flag] is None:
        assert f"test_{flag}" in globals()
        return
    found = []
    for name, arguments in zip(("before", "after"), cases[flag], strict=True):
        out = tmp_path / name / "P"
        out.parent.mkdir()
        refused = isinstance(arguments, Refused)
        lmmlasso(command, *arguments, "--out", out, code=3 if refused else 0)
        assert bool(results(out)) != refused
        files = results(out)
        files.pop(".steps.json", None)  # it has the flags themselves
        found.append(files)
    before, after = found
    assert before != after
    parameter = next(p for p in main.commands[command].params if p.name == flag)
    assert run_json(out)["options"][parameter.name] != parameter.default


def test_flags_of_other_commands(small, other, tmp_path):
    flags = {name: {p.name for p in main.commands[name].params} for name in _WITHOUT_FILES}
    assert flags == {"completion": {"shell"}, "doctor": set(), "report": {"prefix", "out"}}
    scripts = {
        CliRunner().invoke(main, ["completion", shell]).stdout for shell in ("bash", "zsh", "fish")
    }
    assert len(scripts) == 3
    pages = []
    for prefix, name in ((small.fit, "a.html"), (small.plain, "a.html"), (small.fit, "b.html")):
        lmmlasso("report", prefix, "--out", tmp_path / name)
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] != pages[1]
    assert pages[0] == pages[2]


@pytest.mark.parametrize(
    ("command", "message", "found"),
    [
        ("cv", "n_folds: expected 2, found 1", "--folds: expected 2, found 1"),
        ("cv", "threshold: expected 2, found 1", "--kinship-threshold: expected 2, found 1"),
        ("fit", "n_alphas: expected 2 if max_active", "--n-alphas: expected 2 if --max-active"),
        ("fit", "alphas: expected 2, found eps", "--alpha: expected 2, found eps"),
        (
            "stability",
            "cutoff: expected 1; take fraction=0.5 or assumption='none'",
            "--cutoff: expected 1; take --fraction 0.5 or --assumption none",
        ),
        # what is no argument, or none of this command, or may be the user's own
        ("fit", "n_folds: expected 2, found 1", None),
        ("cv", "phenotype: expected n_active=3, found 1", None),
        ("cv", "seed: the file cannot be read: expected a file, found n_active", None),
        ("cv", "data/seed: expected a file, found none", None),
    ],
)
def test_messages_name_flags(command, message, found):
    assert in_flags(message, main.commands[command]) == (found or message)


def test_files_with_the_names_of_flags(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seed").write_text("")
    err = lmmlasso("cv", *small.base, "--keep", "seed", "--out", tmp_path / "P", code=3)
    assert "error: seed: expected sample ids (FID IID), found none" in err


def test_out(small, tmp_path):
    (tmp_path / "a b").mkdir()
    lmmlasso("null", *small.base, "--out", tmp_path / "a b" / "x.y")
    assert {path.name for path in (tmp_path / "a b").iterdir()} == {
        f"x.y.{end}" for end in ("log", "run.json", "null.json", "excluded.tsv", "duplicates.tsv")
    }


def test_write_config(small, tmp_path):
    arguments = [str(part) for part in ["run", *small.base, "--out", tmp_path / "P"]]
    printed = CliRunner().invoke(main, [*arguments, "--write-config"])
    assert printed.exit_code == 0
    assert "n-alphas = 100\n" in printed.stdout
    assert not list(tmp_path.iterdir())


def test_tol(small, tmp_path):
    arguments = ["stability", *small.base, "--replicates", 4, "--out", tmp_path / "P"]
    assert "gap" not in lmmlasso(*arguments)
    err = lmmlasso(*arguments, "--tol", 0)
    assert "warning: 4 replicates have a duality gap above the tolerance" in err


def test_resume(small, tmp_path, monkeypatch):
    with monkeypatch.context() as context:
        interrupt(context, "stability", after=3)
        arguments = ["stability", *small.base, "--replicates", 4, "--out", tmp_path / "P"]
        lmmlasso(*arguments, code=130)
        assert n_records(tmp_path / "P.stability.checkpoint") == 3
        lmmlasso(*arguments, code=130)  # from the beginning, as long as nobody says --resume
        lmmlasso(*arguments, "--resume")
    assert "resumed: 3 of 4 replicates were done before" in log(tmp_path / "P")


@pytest.mark.parametrize("command", [name for name, flag in FLAGS if flag == "threads"])
def test_threads(small, other, tmp_path, command):
    arguments = {
        "kinship": ["--bfile", small.prefix],
        "predict": ["--model", f"{small.plain}.model.npz", "--bfile", small.prefix],
        "demo": [],
        "simulate": _SIMULATE,
        "stability": [*small.base, "--replicates", 4],
        "merge": [small.folder / f"{name}_two.partial" for name in ("first", "last")],
    }.get(command, small.base)
    found = []
    for threads in (1, 3):
        out = tmp_path / str(threads) / "P"
        out.parent.mkdir()
        lmmlasso(command, *arguments, "--threads", threads, "--out", out)
        assert run_json(out)["threads"] == min(threads, available_threads())
        found.append(results(out))
    assert found[0] == found[1]


def test_aliases(fit, small):
    base = ["--bfile", small.prefix, "--phenoFile", small.folder / "two.tsv", "--phenoCol", "Z"]
    covariates = ["--covarFile", small.folder / "c.tsv", "--covarColList", "age,PC{1:3}"]
    plain = ["--bfile", small.prefix, "--pheno", small.folder / "two.tsv", "--pheno-name", "Z"]
    names = ["--covar", small.folder / "c.tsv", "--covar-name", "age,PC1,PC2,PC3"]
    assert fit(*covariates, base=base) == fit(*names, base=plain, name="Q")


def test_strict(small, tmp_path, monkeypatch):
    fit_command = import_module("lmmlasso_fast.cli.fit")  # the name in the package is the command
    once = partial(fit_command.lasso_path, max_iter=1)
    monkeypatch.setattr(fit_command, "lasso_path", once)
    path = ["--n-alphas", 2, "--eps", 0.02]
    lmmlasso("fit", *small.base, *path, "--out", tmp_path / "P")
    err = lmmlasso("fit", *small.base, *path, "--strict", "--out", tmp_path / "S", code=4)
    assert results(tmp_path / "P") == results(tmp_path / "S")
    assert set(results(tmp_path / "S")) == set(results(small.fit))
    table = read(tmp_path / "S.path.tsv")
    assert list(table.CONVERGED) == [1, 0]
    assert table.DUAL_GAP[1] > 1e-6
    assert "warning: 1 of 2 alphas did not reach the relative duality gap 1e-06" in err
    assert run_json(tmp_path / "S")["exit"] == {"code": 4, "state": "not converged"}
    assert run_json(tmp_path / "P")["exit"] == {"code": 0, "state": "ok"}
    assert len(run_json(tmp_path / "P")["warnings"]) == 1

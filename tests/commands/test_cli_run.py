"""The command line: the whole analysis in one command, resumed, and from a file."""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from cli_files import (
    interrupt,
    lmmlasso,
    log,
    n_records,
    read,
    results,
    run_json,
    small_fileset,
    write_table,
)
from click.testing import CliRunner

from lmmlasso_fast.cli import main
from lmmlasso_fast.cli.config import defaults_of, keys_of
from lmmlasso_fast.cli.run import run as run_command

pytestmark = pytest.mark.promise("whole-files")

ROOT = Path(__file__).resolve().parents[2]
PATH = ["--n-alphas", 12]
FLAGS = {
    "kinship": [],
    "null": [],
    "scan": [],
    "fit": [*PATH, "--max-active", 20],
    "cv": [*PATH, "--max-active", 20, "--folds", 3, "--seed", 3],
    "stability": [*PATH, "--replicates", 4, "--n-active", 3, "--seed", 3],
}
#: Of all of these but fit.
ALL = [*FLAGS["cv"], "--replicates", 4, "--n-active", 3]


def together(out):
    """The results of a run without its record of finished steps."""
    return {suffix: content for suffix, content in results(out).items() if "steps" not in suffix}


def expected_of(tmp_path, base, flags=FLAGS, renamed=(("stability", "selected", "stable"),)):
    """The results of single commands, under the names that they have in a run."""
    found = {}
    for command, own in flags.items():
        out = tmp_path / "single" / command
        out.parent.mkdir(exist_ok=True)
        lmmlasso(command, *base, *own, "--out", out)
        files = results(out)
        for step, old, new in renamed:
            for suffix in [s for s in files if step == command and f".{old}." in s]:
                files[suffix.replace(f".{old}.", f".{new}.")] = files.pop(suffix)
        for suffix, content in files.items():
            assert found.setdefault(suffix, content) == content, (command, suffix)
    return found


# --- the same as the single commands -------------------------------------------------------------


@pytest.mark.parametrize("form", ["spectrum", "tridiagonal"])
def test_files_are_those_of_the_single_commands(small, tmp_path, form, request):
    if form == "tridiagonal":
        request.getfixturevalue("tridiagonal_form")
    base = [*small.base, *small.covar]
    lmmlasso("run", *base, *ALL, "--out", tmp_path / "P")
    flags = {name: FLAGS[name] for name in ("null", "scan", "cv", "stability")}
    assert together(tmp_path / "P") == expected_of(tmp_path, base, flags)


def test_fit_and_kinship(small, tmp_path):
    arguments = ["--steps", "fit,kinship", *FLAGS["fit"], "--mfdr"]
    lmmlasso("run", *small.base, *arguments, "--out", tmp_path / "P")
    expected = expected_of(tmp_path, small.base, {"fit": [*FLAGS["fit"], "--mfdr"]})
    lmmlasso("kinship", "--bfile", small.prefix, "--out", tmp_path / "K")
    assert together(tmp_path / "P") == expected | results(tmp_path / "K")


@pytest.mark.parametrize("flag", ["--loco", "--exact"])
def test_null_models_of_the_scan_have_a_name_of_their_own(small, tmp_path, flag):
    arguments = ["--steps", "null,scan", flag]
    lmmlasso("run", *small.base, *arguments, "--out", tmp_path / "P")
    renamed = [("scan", "null", "scan_null")]
    expected = expected_of(tmp_path, small.base, {"null": [], "scan": [flag]}, renamed)
    assert together(tmp_path / "P") == expected
    assert expected[".null.json"] != expected[".scan_null.json"]


def test_without_kinship(small, tmp_path):
    arguments = ["--no-kinship", *ALL]
    lmmlasso("run", *small.base, *arguments, "--out", tmp_path / "P")
    flags = {name: [*FLAGS[name], "--no-kinship"] for name in ("scan", "cv", "stability")}
    assert together(tmp_path / "P") == expected_of(tmp_path, small.base, flags)
    assert set(json.loads((tmp_path / "P.steps.json").read_text())["steps"]) == set(flags)


def test_several_phenotypes(small, tmp_path):
    base = ["--bfile", small.prefix, "--pheno", small.folder / "two.tsv", "--pheno-name", "Y,Z"]
    lmmlasso("run", *base, *ALL, "--out", tmp_path / "P")
    flags = {name: FLAGS[name] for name in ("null", "scan", "cv", "stability")}
    assert together(tmp_path / "P") == expected_of(tmp_path, base, flags)
    assert (tmp_path / "P.Y.stable.tsv").exists()
    assert (tmp_path / "P.Z.steps.json").exists()


def test_nothing_is_computed_twice(small, tmp_path, monkeypatch):
    calls = []
    for name, function in (("analysed", "compute_kinship"), ("null", "fit_null")):
        module = sys.modules[f"lmmlasso_fast.cli.{name}"]
        real = getattr(module, function)

        def counted(*arguments, _real=real, _name=function, **options):
            calls.append(_name)
            return _real(*arguments, **options)

        monkeypatch.setattr(module, function, counted)
    lmmlasso("run", *small.base, *ALL, "--out", tmp_path / "P")
    assert sorted(calls) == ["compute_kinship", "fit_null"]


# --- resumed -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    """A finished run."""
    out = tmp_path_factory.mktemp("finished") / "P"
    lmmlasso("run", *small.base, *ALL, "--out", out)
    return out


@pytest.fixture
def begun(finished, tmp_path):
    """A copy of it, to be resumed."""
    shutil.copytree(finished.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "P"


def resume(small, out, *more, code=0):
    """Resume it; return the steps that were done again and what was said."""
    err = lmmlasso("run", *small.base, *ALL, *more, "--out", out, "--resume", code=code)
    return re.findall(r"^step (\w+)$", err, re.MULTILINE), err


def test_finished_steps_are_not_redone(small, begun):
    before = results(begun)
    again, err = resume(small, begun)
    assert again == []
    for step in ("null", "scan", "cv", "stability"):
        assert f"{step}: done before" in err
    assert results(begun) == before
    assert resume(small, begun, "--threads", 1)[0] == []


@pytest.mark.parametrize(
    ("flags", "steps", "reason"),
    [
        (["--replicates", 6], ["stability"], "replicates"),
        (["--exact"], ["scan"], "exact"),
        (["--max-active", 10], ["cv"], "max_active"),
        (["--tol", "1e-5"], ["cv", "stability"], "tol"),
        (["--maf", 0.05], ["null", "scan", "cv", "stability"], "maf"),
    ],
)
def test_steps_with_other_flags_are_redone(small, begun, tmp_path, flags, steps, reason):
    again, err = resume(small, begun, *flags)
    assert again == steps
    assert f"{steps[0]}: once more, as {reason} changed" in err
    lmmlasso("run", *small.base, *ALL, *flags, "--out", tmp_path / "Q")
    assert results(begun) == results(tmp_path / "Q")


def test_steps_with_other_files_are_redone(begun, tmp_path):
    files = small_fileset(tmp_path)
    files.base = ["--bfile", files.prefix, "--pheno", files.folder / "y.tsv"]
    assert resume(files, begun)[0] == []  # the same content elsewhere
    rng = np.random.default_rng(1)
    ids = {name: files.samples[name].to_list() for name in ("FID", "IID")}
    write_table(files.folder / "y.tsv", **ids, Y=rng.standard_normal(90))
    again, err = resume(files, begun)
    assert again == ["null", "scan", "cv", "stability"]
    assert "null: once more, as pheno changed" in err


@pytest.mark.parametrize("spoil", ["change", "delete"])
def test_results_that_changed_are_made_again(small, begun, spoil):
    before = results(begun)
    path = Path(f"{begun}.scan.tsv")
    path.unlink() if spoil == "delete" else path.write_text("edited")
    again, err = resume(small, begun)
    assert again == ["scan"]
    assert f"{path} is not the file that it wrote" in err
    assert results(begun) == before


def test_a_given_kinship_is_an_input(small, other, tmp_path):
    arguments = ["run", *small.base, "--steps", "null", "--out", tmp_path / "P"]
    given = ["--kinship", small.folder / "half.npz"]
    lmmlasso(*arguments, *given)
    assert "null: done before" in lmmlasso(*arguments, *given, "--resume")
    err = lmmlasso(*arguments, "--resume")
    assert "null: once more, as kinship changed" in err
    assert "null: once more, as kinship changed" in lmmlasso(*arguments, *given, "--resume")


@pytest.mark.promise("interrupts")
@pytest.mark.parametrize("step", ["cv", "stability"])
def test_interrupted(small, finished, tmp_path, monkeypatch, step):
    arguments = ["run", *small.base, *ALL]
    out = tmp_path / "P"
    with monkeypatch.context() as context:
        interrupt(context, step, after=1)
        err = lmmlasso(*arguments, "--out", out, code=130)
    assert f"{out}.{step}.checkpoint is kept, and the same command with --resume" in err
    assert n_records(f"{out}.{step}.checkpoint") == 1
    done = set(json.loads(Path(f"{out}.steps.json").read_text())["steps"])
    assert done == {"null", "scan"} | ({"cv"} if step == "stability" else set())
    again, err = resume(small, out)
    assert again == ["cv", "stability"][["cv", "stability"].index(step) :]
    assert re.search(r"resumed: 1 of \d+ (folds|replicates) were done before", err)
    assert results(out) == results(finished)


def test_not_converged_is_remembered(small, tmp_path):
    arguments = [*small.base, "--steps", "fit", "--n-alphas", 5, "--tol", 0, "--strict"]
    lmmlasso("run", *arguments, "--out", tmp_path / "P", code=4)
    err = lmmlasso("run", *arguments, "--out", tmp_path / "P", "--resume", code=4)
    assert "fit: done before" in err


STEP = '{"belongs_to": {}, "files": {}, "exit_code": %s}'


@pytest.mark.parametrize(
    "content",
    ["", "{}", '{"format": "other"}', "[1]", "null", "lists in lists"]
    + [
        f'{{"format": "FORMAT", "steps": {{"null": {STEP % code}}}}}'
        for code in ("Infinity", '"0"')
    ],
)
def test_damaged_record(small, begun, content):
    record = Path(f"{begun}.steps.json")
    written = json.loads(record.read_text())["format"]
    content = "[" * 5000 if content == "lists in lists" else content
    record.write_text(content.replace("FORMAT", written))
    _, err = resume(small, begun, code=3)
    assert "P.steps.json: no record of finished steps: expected the JSON" in err
    lmmlasso("run", *small.base, "--steps", "null", "--out", begun)  # anew


# --- flags ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--steps", "null", "--folds", 3], "--folds changes nothing with the steps null"),
        (["--steps", "scan", "--eps", 0.1], "--eps changes nothing with the steps scan"),
        (["--steps", "fit,cv"], "cv includes all of fit"),
        (["--steps", "nul"], "'nul' is not one of"),
        (["--steps", "null", "--no-kinship"], "--no-kinship"),
        (["--no-kinship", "--loco"], "--loco changes nothing with --no-kinship"),
        (["--steps", "fit", "--n-draws", 9], "--n-draws changes nothing without --fwer"),
        (["--replicates", "2:6"], "is for lmmlasso stability --partial"),
        (["--replicates", 5], "pairs make an even number"),
        (["--groups", "a", "--kinship-threshold", 1], "not both"),
        (["--partial"], "--partial"),
    ],
)
def test_refused(small, tmp_path, flags, message):
    err = lmmlasso("run", *small.base, *flags, "--out", tmp_path / "P", code=2)
    assert message in err
    assert "SNPs in the fileset" not in err


def test_out_is_needed(small):
    assert "Missing option '--out'" in lmmlasso("run", *small.base, code=2)


# --- a file --------------------------------------------------------------------------------------


def write_config(path, text):
    path.write_text(text)
    return path


def printed(*arguments):
    result = CliRunner().invoke(main, ["run", *map(str, arguments), "--write-config"])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_file_is_as_good_as_flags(small, tmp_path):
    config = write_config(
        tmp_path / "c.toml",
        f"""bfile = {json.dumps(str(small.prefix))}
pheno = {json.dumps(str(small.folder / "two.tsv"))}
pheno-name = ["Y", "Z"]
steps = ["scan", "fit"]
alpha = [0.3, 0.2]
chr = "1,2"
missing-code = ["-99", "x"]
standardize = true
out = {json.dumps(str(tmp_path / "P"))}
""",
    )
    lmmlasso("run", "--config", config)
    flags = ["--bfile", small.prefix, "--pheno", small.folder / "two.tsv", "--pheno-name", "Y,Z"]
    flags += ["--steps", "scan,fit", "--alpha", "0.3,0.2", "--chr", "1,2", "--standardize"]
    flags += ["--missing-code", "-99", "--missing-code", "x"]
    lmmlasso("run", *flags, "--out", tmp_path / "Q")
    assert results(tmp_path / "P") == results(tmp_path / "Q")
    mine, others = run_json(tmp_path / "P")["options"], run_json(tmp_path / "Q")["options"]
    assert {k for k in mine if mine[k] != others[k]} == {"config", "out"}


def test_the_command_line_goes_before(small, tmp_path):
    config = write_config(tmp_path / "c.toml", "maf = 0.3\nn-alphas = 5\nstandardize = true\n")
    arguments = [*small.base, "--config", config, "--maf", 0.1, "--no-standardize"]
    lmmlasso("run", "--steps", "fit", *arguments, "--out", tmp_path / "P")
    found = run_json(tmp_path / "P")["options"]
    assert [found[name] for name in ("maf", "n_alphas", "standardize")] == [0.1, 5, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n_alphas = 5", "found 'n_alphas'; correct it, .* Did you mean n-alphas"),
        ("foldz = 5", "Did you mean folds"),
        ("qqqq = 5", "found 'qqqq'; correct it, lmmlasso run --help lists them"),
        ("[cv]\nfolds = 5", "found 'cv'"),
        ("config = 'a'", "found 'config'"),
        ("resume = true", "found 'resume'"),
        ("maf = 0.7", "maf: 0.7 is not in the range"),
        ("maf = true", "maf: expected text, a number or a list of these, found True"),
        ("n-alphas = 5.5", "n-alphas: '5.5' is not a valid integer"),
        ("loco = 1", "loco: expected true or false, found 1"),
        ("pheno-name = []", "pheno-name: expected text"),
        ("pheno-name = [[1]]", "pheno-name: expected text"),
        ("keep = 2020-01-01", "keep: expected text"),
        ("steps = ['nul']", "steps: 'nul' is not one of"),
        ("maf 0.1", "expected a TOML file, found .*line 1"),
    ],
)
def test_files_that_are_refused(small, tmp_path, text, message):
    config = write_config(tmp_path / "c.toml", text)
    arguments = ["run", *small.base, "--config", config, "--out", tmp_path / "P"]
    err = lmmlasso(*arguments, code=2)
    assert re.search(rf"c\.toml: .*{message}", " ".join(err.split())), err
    assert not results(tmp_path / "P")


def test_files_that_cannot_be_read(small, tmp_path):
    (tmp_path / "latin").write_bytes(b"out = '\xe9'")
    for name, found in (("absent", "No such file"), ("latin", "not UTF-8")):
        err = lmmlasso("run", *small.base, "--config", tmp_path / name, code=2)
        assert found in err


def test_contradictions_in_a_file(small, tmp_path):
    base = ["run", *small.base, "--out", tmp_path / "P"]
    config = write_config(tmp_path / "a.toml", "no-kinship = true\nmethod = 'reml'\n")
    assert "--method changes nothing" in lmmlasso(*base, "--config", config, code=2)
    # what no chosen step uses may stand there, and so may defaults
    config = write_config(tmp_path / "b.toml", "no-kinship = true\nmethod = 'ml'\nfolds = 3\n")
    lmmlasso(*base, "--config", config, "--steps", "scan")


def test_the_file_that_is_printed_gives_the_same_flags(small, tmp_path):
    hostile = 'a "b"\\ é\x7f.tsv'
    flags = [*small.base, "--covar", hostile, "--alpha", "1e-5,0.25", "--missing-code", "-9"]
    flags += ["--steps", "cv,null", "--log-delta", "-1.5", "--no-standardize", "--replicates", 8]
    text = printed(*flags, "--out", "x")
    content = tomllib.loads(text)
    assert content["covar"] == hostile
    assert content["alpha"] == [1e-5, 0.25]
    assert content["steps"] == ["null", "cv"]
    assert content["replicates"] == 8
    assert content["standardize"] is False
    config = write_config(tmp_path / "c.toml", text)
    assert printed("--config", config) == text
    assert "# maf =\n" in text


def test_everything_is_in_the_printed_file():
    text = printed()
    for key, option in keys_of(run_command).items():
        assert re.search(rf"^(# )?{key} =", text, re.MULTILINE), key
        assert f"# {option.help}\n" in text
    defaults = defaults_of(run_command)
    assert tomllib.loads(text)["n-alphas"] == defaults["n_alphas"] == 100


def test_flags_are_those_of_the_single_commands():
    offered = {option.name for option in run_command.params}
    own = {"steps", "config", "write_config"}
    of_steps = {
        p.name for name in ("fit", "cv", "scan", "stability") for p in main.commands[name].params
    }
    assert offered == of_steps - {"partial"} | own
    for name in ("null", "scan", "fit", "cv", "stability"):
        for option in main.commands[name].params:
            mine = next((p for p in run_command.params if p.name == option.name), None)
            assert mine is None or mine.opts == option.opts
    assert main.commands["fit"].params[-2].required  # --out: what is changed is a copy


def test_the_examples_of_the_page(tmp_path):
    text = (ROOT / "docs" / "run.md").read_text()
    [config] = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    found = tomllib.loads(printed("--config", write_config(tmp_path / "c.toml", config)))
    assert found["pheno-name"] == "CD8,MCH"
    assert found["folds"] == 5


def test_what_is_recorded(finished):
    text = log(finished)
    assert text.count("null model (ml): ") == 1
    assert [line for line in text.splitlines() if line.startswith("step ")] == [
        f"step {name}" for name in ("null", "scan", "cv", "stability")
    ]
    content = run_json(finished)
    assert content["subcommand"] == "run"
    assert {"kinship", "null model", "scan", "path", "folds", "replicates"} <= set(
        content["timings"]
    )


def test_the_path_ends_at_half_the_samples_unless_told(small, tmp_path):
    base = [*small.base, "--steps", "fit", "--eps", 0.0001]
    lmmlasso("run", *base, "--out", tmp_path / "P")
    lmmlasso("run", *base, "--max-active", len(small.samples), "--out", tmp_path / "Q")
    half = len(small.samples) // 2
    assert read(f"{tmp_path / 'P'}.path.tsv").N_ACTIVE.max() <= half
    assert read(f"{tmp_path / 'Q'}.path.tsv").N_ACTIVE.max() > half


def test_files_of_another_phenotype_do_not_stay(small, tmp_path):
    table = [*small.base[: small.base.index("--pheno")], "--pheno", small.folder / "two.tsv"]
    first = ["--pheno-name", "Y", "--steps", "null,fit"]
    lmmlasso("run", *table, *first, "--out", tmp_path / "P")
    before = results(tmp_path / "P")
    lmmlasso("run", *table, "--pheno-name", "Y", "--steps", "scan", "--out", tmp_path / "P")
    assert set(results(tmp_path / "P")) >= set(before)  # a step more on the same data
    lmmlasso("run", *table, *first, "--out", tmp_path / "P")
    lmmlasso("run", *table, "--pheno-name", "Z", "--steps", "scan", "--out", tmp_path / "P")
    left = {".scan.tsv", ".null.json", ".steps.json", ".excluded.tsv", ".duplicates.tsv"}
    assert set(results(tmp_path / "P")) == left


def test_a_usage_error_leaves_the_record_of_an_earlier_run(small, tmp_path):
    base = [*small.base, "--steps", "scan"]
    lmmlasso("run", *base, "--out", tmp_path / "P")
    before = {name: (tmp_path / name).read_bytes() for name in ("P.log", "P.run.json")}
    lmmlasso("run", *base, "--folds", 3, "--out", tmp_path / "P", code=2)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_the_record_names_every_file_once_and_the_limit_of_the_path(small, tmp_path):
    arguments = ["run", *small.base, *PATH, "--out", tmp_path / "P"]
    lmmlasso(*arguments, "--steps", "null,fit")
    first = run_json(tmp_path / "P")
    assert first["options"]["max_active"] == len(small.y) // 2
    assert len(set(first["outputs"])) == len(first["outputs"])
    lmmlasso(*arguments, "--steps", "null,fit", "--resume")
    again = run_json(tmp_path / "P")
    assert set(again["outputs"]) == set(first["outputs"])
    assert {f".{name}" for name in again["outputs"]} == set(together(tmp_path / "P"))
    lmmlasso(*arguments, "--steps", "fit", "--max-active", 5)
    assert run_json(tmp_path / "P")["options"]["max_active"] == 5


def test_prefixes_that_end_with_a_dot(small, tmp_path):
    """The report is that of this run, not of the one with a dot less."""
    for out in ("P", "P."):
        err = lmmlasso("run", *small.base, "--steps", "null", "--out", tmp_path / out)
        assert f"wrote {tmp_path / out}.report.html" in err
    table = pl.read_csv(small.folder / "two.tsv", separator="\t", infer_schema=False)
    table.rename({"Z": "Y."}).write_csv(tmp_path / "two.tsv", separator="\t", null_value="NA")
    base = ["--bfile", small.prefix, "--pheno", tmp_path / "two.tsv", "--pheno-name", "Y,Y."]
    err = lmmlasso("run", *base, "--steps", "fit", "--n-alphas", 3, "--out", tmp_path / "Q")
    for name in ("Y", "Y."):
        assert f"wrote {tmp_path / 'Q'}.{name}.report.html" in err
    assert set(run_json(tmp_path / "Q")["options"]["max_active"]) == {"Y", "Y."}


def test_the_limits_of_several_phenotypes(small, tmp_path):
    base = ["--bfile", small.prefix, "--pheno", small.folder / "two.tsv", "--pheno-name", "Y,Z"]
    lmmlasso("run", *base, *PATH, "--steps", "fit", "--out", tmp_path / "P")
    limits = run_json(tmp_path / "P")["options"]["max_active"]
    assert limits == {"Y": len(small.y) // 2, "Z": 40}

"""The command line: which alpha. Cross-validation with its checkpoints; fit's error control."""

import json
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from cli_files import (
    COLUMNS,
    CV_COLUMNS,
    ids_of,
    interrupt,
    lmmlasso,
    log,
    n_records,
    null_of,
    read,
    refused,
    results,
    run_json,
    write_table,
)
from numpy.testing import assert_allclose, assert_array_equal

import lmmlasso_fast as ll
from lmmlasso_fast.error_control import calibrated_alpha, marginal_fdr
from lmmlasso_fast.folds import make_folds
from lmmlasso_fast.io.kinship_files import load_kinship

pytestmark = pytest.mark.promise("no-wrong-answer")

FOLDS = ["--folds", 3, "--n-alphas", 40, "--seed", 5]


@pytest.fixture(scope="module")
def covariates(small):
    table = read(small.folder / "c.tsv")
    batch = [(table.batch == level).astype(float) for level in "bc"]
    return np.column_stack([table.age, *batch, table.PC1, table.PC2, table.PC3])


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    """Prefix of one run with covariates, and what it said."""
    out = tmp_path_factory.mktemp("cv") / "P"
    return out, lmmlasso("cv", *small.base, *small.covar, *FOLDS, "--threads", 1, "--out", out)


@pytest.fixture(scope="module")
def found(small, genotypes, covariates):
    """What Python gives for it."""
    return ll.cross_validate(
        genotypes, small.y, n_folds=3, n_alphas=40, seed=5, covariates=covariates
    )


def cv(small, out, *arguments, code=0, **_):
    return lmmlasso("cv", *small.base, *FOLDS, *arguments, "--out", out, code=code)


def chosen_alpha(err) -> str:
    return re.search(r"predictions and selection: alpha (\S+)", err)[1]


# --- the tables ----------------------------------------------------------------------------------


def test_files_and_columns(run):
    out, _ = run
    tables = COLUMNS | CV_COLUMNS
    assert set(results(out)) == {f".{name}" for name in [*tables, "null.json", "model.npz"]}
    for name, columns in tables.items():
        assert read(f"{out}.{name}").header == columns.split(), name
    for suffix, content in results(out).items():
        if suffix.endswith((".tsv", ".json")):
            assert not re.search(rb"\b(nan|NaN|inf|None|null,)\b", content), suffix


def test_scores_are_those_of_python(run, found):
    table = read(f"{run[0]}.cv.tsv")
    assert table.n_rows == 40
    assert_array_equal(table.ALPHA, found.alphas)
    assert_array_equal(table.N_ACTIVE, found.n_active)
    assert_array_equal(table.EXPLAINED_VARIANCE, found.explained_variance)
    assert_array_equal(table.SE, found.se)
    assert_array_equal(table.CORRELATION, found.correlation)
    for k in range(3):
        assert_array_equal(getattr(table, f"EV_{k + 1}"), found.fold_scores[k])


def test_scores_are_those_of_the_held_out_predictions(small, run):
    """From P.cv_pred.tsv alone, by the definition."""
    out, _ = run
    table, scores = read(f"{out}.cv_pred.tsv"), read(f"{out}.cv.tsv")
    best = int(np.argmax(scores.EXPLAINED_VARIANCE))
    ids = list(zip(table.FID, table.IID, strict=True))
    assert sorted(ids) == sorted(small.samples.select("FID", "IID").rows())
    y = dict(zip(small.samples["IID"], small.y, strict=True))
    assert_array_equal(table.PHENOTYPE, [y[name] for name in table.IID])
    errors, total = 0, 0
    for fold in (1, 2, 3):
        here = fold == table.FOLD
        errors += np.sum((table.PHENOTYPE[here] - table.PRED[here]) ** 2)
        total += np.sum((table.PHENOTYPE[here] - table.PHENOTYPE[~here].mean()) ** 2)
    assert_allclose(scores.EXPLAINED_VARIANCE[best], 1 - errors / total, rtol=1e-12)
    correlation = np.corrcoef(table.PHENOTYPE, table.PRED)[0, 1]
    assert_allclose(scores.CORRELATION[best], correlation, rtol=1e-12)


def test_held_out_predictions_are_those_of_python(small, run, found):
    table = read(f"{run[0]}.cv_pred.tsv")
    row = {name: i for i, name in enumerate(small.samples["IID"])}
    rows = np.array([row[name] for name in table.IID])
    assert_array_equal(table.PRED, found.predictions[0, rows, found.best_index])
    for number, fold in enumerate(make_folds(90, 3, seed=5), start=1):
        assert_array_equal(rows[number == table.FOLD], fold.test)


def test_the_rest_is_a_fit_of_all_samples(small, run, tmp_path):
    """But for the alpha of predictions and selection."""
    out, _ = run
    lmmlasso("fit", *small.base, *small.covar, "--n-alphas", 40, "--out", tmp_path / "F")
    expected, files = results(tmp_path / "F"), results(out)
    differ = {suffix for suffix in expected if files[suffix] != expected[suffix]}
    assert differ == {".selected.tsv", ".score.tsv", ".pred.tsv", ".model.npz"}


def test_predictions_and_selection_are_those_of_the_best_alpha(small, run, found, genotypes):
    out, err = run
    alpha = found.alpha_best
    assert chosen_alpha(err) == f"{alpha:.6g}"
    coef = read(f"{out}.coef.tsv")
    here = found.best_index == coef.INDEX
    assert 0 < here.sum() < (coef.INDEX == 39).sum()
    selected, score = read(f"{out}.selected.tsv"), read(f"{out}.score.tsv")
    effects = dict(zip(coef.ID[here], coef.BETA[here], strict=True))
    assert dict(zip(selected.ID, selected.BETA, strict=True)) == effects
    assert dict(zip(score.ID, score.BETA, strict=True)) == effects
    model = ll.load_model(f"{out}.model.npz")
    assert model.default_alpha == alpha
    assert_array_equal(model.alphas, found.alphas)


def test_what_is_said(run, found):
    _, err = run
    best, one_se = found.best_index, found.one_se_index
    assert best != one_se
    for k in (best, one_se):
        assert (
            f"{found.explained_variance[k]:.4f} (standard error {found.se[k]:.4f}) at alpha "
            f"{found.alphas[k]:.6g}, {found.n_active[k]} SNPs"
        ) in err
    assert f"; without SNPs {found.explained_variance[0]:.4f}\n" in err
    assert "warning" not in err
    assert "folds: 3 of 3" in err


def test_predict_takes_the_chosen_alpha(small, run, tmp_path):
    out, _ = run
    arguments = ["--model", f"{out}.model.npz", "--bfile", small.prefix, *small.covar]
    lmmlasso("predict", *arguments, "--out", tmp_path / "Q")
    assert results(tmp_path / "Q")[".pred.tsv"] == results(out)[".pred.tsv"]
    last = read(f"{out}.cv.tsv").ALPHA[-1]
    lmmlasso("predict", *arguments, "--alpha", last, "--out", tmp_path / "R")
    assert results(tmp_path / "R")[".pred.tsv"] != results(out)[".pred.tsv"]


def test_threads_and_repetition_do_not_change_a_byte(small, run, tmp_path):
    for threads in (1, 2):
        cv(small, tmp_path / f"P{threads}", *small.covar, "--threads", threads)
        assert results(tmp_path / f"P{threads}") == results(run[0])


# --- which alpha ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["one-se", "n-active"])
def test_other_rules(small, run, found, tmp_path, rule):
    flags = ["--select", "one-se"] if rule == "one-se" else ["--n-active", 7]
    err = cv(small, tmp_path / "P", *small.covar, *flags)
    index = found.one_se_index
    if rule == "n-active":
        index = np.flatnonzero(found.n_active <= 7)[-1]
    assert chosen_alpha(err) == f"{found.alphas[index]:.6g}"
    selected, coef = read(tmp_path / "P.selected.tsv"), read(tmp_path / "P.coef.tsv")
    assert set(selected.ID) == set(coef.ID[index == coef.INDEX])
    predictions = read(tmp_path / "P.cv_pred.tsv")
    row = {name: i for i, name in enumerate(small.samples["IID"])}
    rows = [row[name] for name in predictions.IID]
    assert_array_equal(predictions.PRED, found.predictions[0, rows, index])
    # what does not depend on the choice is the same
    for suffix in (".cv.tsv", ".path.tsv", ".coef.tsv", ".null.json"):
        assert results(tmp_path / "P")[suffix] == results(run[0])[suffix]


def test_model_of_the_chosen_alpha_alone(small, run, found, tmp_path):
    err = cv(small, tmp_path / "P", *small.covar, "--model-alphas", "last")
    assert f"the model is kept at the chosen alpha, {found.alpha_best:.6g}, alone" in err
    assert_array_equal(ll.load_model(tmp_path / "P.model.npz").alphas, [found.alpha_best])
    differ = {s for s, content in results(tmp_path / "P").items() if content != results(run[0])[s]}
    assert differ == {".model.npz"}


@pytest.mark.parametrize(
    ("flags", "further"),
    [
        (["--eps", 0.6], "a smaller --eps"),
        (["--max-active", 1], "a larger --max-active"),
        (["--alpha", "0.6,0.5"], "a smaller --alpha"),
    ],
)
def test_the_last_alpha_is_the_best(small, tmp_path, flags, further):
    err = lmmlasso("cv", *small.base, "--folds", 3, *flags, "--out", tmp_path / "P")
    assert f"warning: the best alpha is the last one; {further} may predict better" in err


def test_given_alphas(small, genotypes, tmp_path):
    arguments = [*small.base, "--folds", 3, "--alpha", "0.1,0.4,0.2", "--out", tmp_path / "P"]
    err = lmmlasso("cv", *arguments)
    found = ll.cross_validate(genotypes, small.y, n_folds=3, alphas=[0.1, 0.2, 0.4])
    table = read(tmp_path / "P.cv.tsv")
    assert_array_equal(table.ALPHA, [0.4, 0.2, 0.1])
    assert_array_equal(table.EXPLAINED_VARIANCE, found.explained_variance)
    assert table.N_ACTIVE[0] > 0
    assert "without SNPs" not in err
    err = lmmlasso("cv", *arguments, "--n-active", 1, code=3)
    assert f"error: --n-active: expected at least {table.N_ACTIVE[0]:.0f}, the fewest active" in err
    assert "estimated: less than a second for 3 folds" not in err


# --- folds ---------------------------------------------------------------------------------------


def test_repeats(small, genotypes, tmp_path):
    cv(small, tmp_path / "P", "--repeats", 2)
    found = ll.cross_validate(genotypes, small.y, n_folds=3, n_alphas=40, seed=5, n_repeats=2)
    table, predictions = read(tmp_path / "P.cv.tsv"), read(tmp_path / "P.cv_pred.tsv")
    assert table.header[5:] == [f"EV_{k}" for k in range(1, 7)]
    assert_array_equal(table.EXPLAINED_VARIANCE, found.explained_variance)
    assert_array_equal(table.EV_5, found.fold_scores[4])
    assert predictions.n_rows == 180
    row = {name: i for i, name in enumerate(small.samples["IID"])}
    for repeat, here in enumerate((predictions.FOLD <= 3, predictions.FOLD > 3)):
        rows = [row[name] for name in predictions.IID[here]]
        expected = found.predictions[repeat, rows, found.best_index]
        assert_array_equal(predictions.PRED[here], expected)
    assert_array_equal(np.unique(predictions.FOLD), np.arange(1, 7))
    for folds in ((1, 2, 3), (4, 5, 6)):
        assert len(set(predictions.IID[np.isin(predictions.FOLD, folds)])) == 90


@pytest.mark.parametrize("table", ["covar", "pheno"])
def test_groups(small, genotypes, tmp_path, table):
    labels = read(small.folder / "c.tsv").batch
    base = [*small.base, *small.covar, "--covar-name", "age"]
    if table == "pheno":
        labels = np.array([f"family {k // 3}" for k in range(90)], dtype=object)
        order = np.random.default_rng(3).permutation(90)
        columns = {**ids_of(small), "Y": small.y, "fam": labels}
        shuffled = pl.DataFrame(columns)[order]
        pheno = write_table(tmp_path / "y.tsv", **shuffled.to_dict())
        base = ["--bfile", small.prefix, "--pheno", pheno, "--pheno-name", "Y", *base[4:]]
    name = {"covar": "batch", "pheno": "fam"}[table]
    err = lmmlasso("cv", *base, *FOLDS, "--groups", name, "--out", tmp_path / "P")
    assert f"--groups: {len(set(labels))} groups in column {name} of " in err
    found = ll.cross_validate(
        genotypes,
        small.y,
        n_folds=3,
        n_alphas=40,
        seed=5,
        groups=labels.astype(str),
        covariates=read(small.folder / "c.tsv").age[:, None],
    )
    scores = read(tmp_path / "P.cv.tsv")
    assert_array_equal(scores.EXPLAINED_VARIANCE, found.explained_variance)
    predictions = read(tmp_path / "P.cv_pred.tsv")
    group = dict(zip(small.samples["IID"], labels, strict=True))
    for label in set(labels):
        here = np.array([group[iid] == label for iid in predictions.IID])
        assert len(set(predictions.FOLD[here])) == 1


@pytest.mark.parametrize("missing", ["NA", "", "nan", ".", "-9", "unknown"])
def test_groups_with_a_missing_one(small, tmp_path, missing):
    labels = ["a", "b", "c"] * 30
    labels[7] = labels[20] = missing
    columns = {**ids_of(small), "fam": labels, "age": np.arange(90)}
    covar = write_table(tmp_path / "c.tsv", **columns)
    covar.write_text(covar.read_text().replace('""', ""))
    base = [*small.base, "--covar", covar, "--covar-name", "age", *FOLDS, "--groups", "fam"]
    codes = ["--missing-code", "unknown"]
    message = refused("cv", *base, *codes, "--out", tmp_path / "P")
    first = " ".join(small.samples.select("FID", "IID").row(7))
    assert "c.tsv: column 'fam': expected a group for all 90 analysed samples, found 2 without" in (
        message
    )
    assert f"the first is {first}; drop these with --remove" in message
    rows = small.samples.select("FID", "IID")[[7, 20]]
    rows.write_csv(tmp_path / "drop", separator="\t")
    lmmlasso("cv", *base, *codes, "--remove", tmp_path / "drop", "--out", tmp_path / "P")
    assert read(tmp_path / "P.cv_pred.tsv").n_rows == 88
    if missing in ("-9", "unknown"):  # a group of its own, if somebody says so
        lmmlasso("cv", *base, "--missing-code", "none", "--out", tmp_path / "Q")
        assert read(tmp_path / "Q.cv_pred.tsv").n_rows == 90


def test_groups_are_no_covariate(small, tmp_path):
    """Unless somebody says so: by default every other column of the table is one."""
    base = [*small.base, *small.covar, *FOLDS, "--groups", "batch"]
    err = lmmlasso("cv", *base, "--out", tmp_path / "P")
    assert f"--groups: column batch of {small.covar[1]} is no covariate" in err
    names = ["--covar-name", "age,PC{1:3}"]
    lmmlasso("cv", *base, *names, "--out", tmp_path / "Q")
    assert results(tmp_path / "P") == results(tmp_path / "Q")
    err = lmmlasso("cv", *base, *names, "--covar-name", "age,batch", "--out", tmp_path / "R")
    assert "is no covariate" not in err
    assert set(null_of(tmp_path / "R")["covariates"]) == {"intercept", "age", "batch=b", "batch=c"}
    # a table of groups alone has no covariates
    table = write_table(tmp_path / "g.tsv", **ids_of(small), batch=["a", "b", "c"] * 30)
    base = [*small.base, "--covar", table, *FOLDS, "--groups", "batch"]
    lmmlasso("cv", *base, "--out", tmp_path / "S")
    assert set(null_of(tmp_path / "S")["covariates"]) == {"intercept"}


def test_groups_of_samples_that_the_table_lacks(small, tmp_path):
    columns = {name: values[:80] for name, values in ids_of(small).items()}
    pheno = write_table(tmp_path / "y.tsv", **columns, Y=small.y[:80])
    table = write_table(
        tmp_path / "c.tsv", **ids_of(small), fam=["a", "b", "c"] * 30, age=range(90)
    )
    covar = ["--covar", table, "--covar-name", "age", "--groups", "fam"]
    lmmlasso(
        *("cv", "--bfile", small.prefix, "--pheno", pheno, *covar, *FOLDS),
        *("--out", tmp_path / "P"),
    )
    assert read(tmp_path / "P.cv_pred.tsv").n_rows == 80


def test_kinship_threshold(small, genotypes, tmp_path):
    arguments = [*small.base, *FOLDS, "--kinship-threshold", -1, "--out", tmp_path / "P"]
    message = refused("cv", *arguments)
    assert message.startswith("error: --kinship-threshold: expected at least 3 groups, none with")
    assert "found one group above a kinship of -1.0, the largest with 90 samples" in message
    assert "null model" not in log(tmp_path / "P")
    lowest = float(re.search(r"the lowest threshold that works is (\S+)$", message)[1])
    message = refused("cv", *arguments, "--folds", 91)
    assert message.startswith("error: --folds: expected an integer from 2 to the 90 samples")
    assert "estimated" not in log(tmp_path / "P")  # nor is the kinship computed
    cv(small, tmp_path / "P", "--kinship-threshold", lowest)
    found = ll.cross_validate(
        genotypes, small.y, n_folds=3, n_alphas=40, seed=5, kinship_threshold=lowest
    )
    assert_array_equal(read(tmp_path / "P.cv.tsv").SE, found.se)
    predictions = read(tmp_path / "P.cv_pred.tsv")
    row = {name: i for i, name in enumerate(small.samples["IID"])}
    rows = np.array([row[name] for name in predictions.IID])
    apart = predictions.FOLD[:, None] != predictions.FOLD
    K = ll.kinship(genotypes).matrix[np.ix_(rows, rows)]
    assert K[apart].max() <= lowest


def test_a_given_kinship_is_warned_of(small, other, genotypes, tmp_path):
    warning = "warning: the kinship was made of all samples, those of the test folds too: explained"
    err = cv(small, tmp_path / "P", "--kinship", small.folder / "half.npz")
    assert warning in err
    assert run_json(tmp_path / "P")["warnings"][0] in err
    K = load_kinship(small.folder / "half.npz")
    found = ll.cross_validate(genotypes, small.y, K, n_folds=3, n_alphas=40, seed=5)
    assert found.kinship_saw_test_rows
    assert_allclose(
        read(tmp_path / "P.cv.tsv").EXPLAINED_VARIANCE, found.explained_variance, rtol=1e-9
    )
    assert warning in cv(small, tmp_path / "Q", "--kinship-samples", "all")
    assert warning not in cv(small, tmp_path / "R")


def test_plain_lasso(small, genotypes, covariates, tmp_path):
    err = cv(small, tmp_path / "P", *small.covar, "--no-kinship")
    found = ll.cross_validate(
        genotypes,
        small.y,
        n_folds=3,
        n_alphas=40,
        seed=5,
        covariates=covariates,
        random_effect=False,
    )
    assert_array_equal(read(tmp_path / "P.cv.tsv").EXPLAINED_VARIANCE, found.explained_variance)
    assert ".null.json" not in results(tmp_path / "P")
    assert "warning" not in err


def test_transforms_are_of_the_training_samples(small, genotypes, tmp_path):
    """Scores and predictions are on the phenotype's own scale."""
    cv(small, tmp_path / "P", "--transform", "boxcox")
    found = ll.cross_validate(
        genotypes, small.y, n_folds=3, n_alphas=40, seed=5, transform="boxcox"
    )
    assert_array_equal(read(tmp_path / "P.cv.tsv").EXPLAINED_VARIANCE, found.explained_variance)
    y = dict(zip(small.samples["IID"], small.y, strict=True))
    table = read(tmp_path / "P.cv_pred.tsv")
    assert_array_equal(table.PHENOTYPE, [y[name] for name in table.IID])


def test_max_active_ends_the_alphas(small, genotypes, tmp_path):
    cv(small, tmp_path / "P", "--max-active", 6)
    found = ll.cross_validate(genotypes, small.y, n_folds=3, n_alphas=40, seed=5, max_active=6)
    table = read(tmp_path / "P.cv.tsv")
    assert table.n_rows == len(found.alphas) < 40
    assert_array_equal(table.EXPLAINED_VARIANCE, found.explained_variance)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--groups", "x", "--kinship-threshold", 1], 2, "give --groups or --kinship-threshold"),
        (["--n-active", 3, "--select", "best"], 2, "--select changes nothing with --n-active"),
        (["--alpha", 1, "--n-alphas", 3], 2, "--n-alphas changes nothing with --alpha"),
        (["--no-kinship", "--log-delta", 1], 2, "--log-delta changes nothing with --no-kinship"),
        (["--folds", 1], 2, "--folds"),
        (
            ["--folds", 91],
            3,
            "error: --folds: expected an integer from 2 to the 90 samples, found 91",
        ),
        (
            ["--covar", "c.tsv", "--groups", "batch", "--folds", 4],
            3,
            "error: --groups: expected at least as many as the 4 folds, found 3",
        ),
        (["--groups", "fam"], 3, "--groups 'fam': expected a column of the phenotype or covariate"),
        (["--groups", "IID"], 3, "found none of that name"),
    ],
)
def test_refused(small, tmp_path, flags, code, message):
    out = tmp_path / "P"
    flags = [small.folder / part if part == "c.tsv" else part for part in flags]
    err = lmmlasso("cv", *small.base, *flags, "--out", out, code=code)
    assert message in err
    assert ("SNPs in the fileset" in err) == (code == 3)
    assert "estimated" not in err  # that is before the kinship is computed
    assert results(out) == {}


def test_strict(small, tmp_path, monkeypatch):
    """It counts what did not converge in a fold, too."""
    module = import_module("lmmlasso_fast.cli.cv")
    original = module.run_folds

    def once(plan, tasks, n_jobs):
        options = replace(plan.study.options, max_iter=1)
        study = replace(plan.study, options=options)
        return original(replace(plan, study=study), tasks, n_jobs)

    monkeypatch.setattr(module, "run_folds", once)
    path = [*small.base, "--folds", 3, "--n-alphas", 2, "--eps", 0.02]
    err = lmmlasso("cv", *path, "--out", tmp_path / "P")
    assert "warning: 1 alphas did not converge in some fold" in err
    err = lmmlasso("cv", *path, "--strict", "--out", tmp_path / "S", code=4)
    assert run_json(tmp_path / "S")["exit"] == {"code": 4, "state": "not converged"}
    assert results(tmp_path / "P") == results(tmp_path / "S")


# --- checkpoints ---------------------------------------------------------------------------------
# (kill -9 is in test_cli_stability.py)


@pytest.fixture
def begun(files, monkeypatch):
    """Arguments of a run that ended after 2 of its 4 folds, and what it would have written."""
    arguments = ["--bfile", files / "g", "--pheno", files / "y.tsv", "--n-alphas", 20]
    arguments += ["--folds", 4]
    lmmlasso("cv", *arguments, "--out", files / "out" / "W")
    arguments += ["--out", files / "out" / "P"]
    with monkeypatch.context() as context:
        interrupt(context, "cv", after=2)
        err = lmmlasso("cv", *arguments, code=130)
    assert f"error: interrupted; {files / 'out' / 'P'}.cv.checkpoint is kept, and the same " in err
    assert "with --resume goes on from it" in err
    assert set(results(files / "out" / "P")) == {".cv.checkpoint"}
    assert n_records(files / "out" / "P.cv.checkpoint") == 2
    return arguments, results(files / "out" / "W")


def test_resume(files, begun):
    arguments, expected = begun
    err = lmmlasso("cv", *arguments, "--resume")
    assert "resumed: 2 of 4 folds were done before" in err
    assert results(files / "out" / "P") == expected
    lmmlasso("cv", *arguments, "--resume")  # there is nothing to go on with
    assert results(files / "out" / "P") == expected


def test_without_resume_a_checkpoint_is_replaced(files, begun):
    arguments, expected = begun
    assert "resumed" not in lmmlasso("cv", *arguments)
    assert results(files / "out" / "P") == expected


@pytest.mark.parametrize(
    "flags", [["--select", "one-se"], ["--n-active", 3], ["--model-alphas", "last"]]
)
def test_what_may_be_different_when_resumed(files, begun, flags):
    arguments, _ = begun
    lmmlasso("cv", *arguments, *flags, "--resume")
    lmmlasso("cv", *arguments, *flags, "--out", files / "out" / "W")
    assert results(files / "out" / "P") == results(files / "out" / "W")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (["--seed", 1], "options.seed"),
        (["--folds", 5], "options.folds"),
        (["--repeats", 2], "options.repeats"),
        (["--eps", 0.02], "options.eps"),
        (["--kinship-threshold", 9], "options.kinship_threshold"),
        (["--transform", "rint"], "options.transform"),
        (["--penalty-factors", "whitened"], "options.penalty_factors"),
        (["--covar", "c.tsv"], "inputs.covar"),
    ],
)
def test_resume_refuses_another_run(files, begun, change, field):
    arguments, _ = begun
    change = [files / part if part == "c.tsv" else part for part in change]
    message = refused("cv", *arguments, *change, "--resume")
    assert f"P.cv.checkpoint: the checkpoint of another run, field '{field}': expected" in message
    assert n_records(files / "out" / "P.cv.checkpoint") == 2


def test_resume_refuses_changed_inputs(files, begun):
    arguments, _ = begun
    text = (files / "y.tsv").read_text()
    (files / "y.tsv").write_text(f"{text[:-3]}{(int(text[-3]) + 1) % 10}{text[-2:]}")
    message = refused("cv", *arguments, "--resume")
    assert "field 'inputs.pheno.sha256': expected" in message


def test_two_commands_with_one_prefix(files, begun, monkeypatch):
    """Neither meets the other's checkpoint."""
    arguments, expected = begun
    out = files / "out" / "P"
    other = ["stability", *arguments[:4], "--replicates", 4, "--n-active", 3, "--out", out]
    lmmlasso(*other[:-1], files / "out" / "S")
    with monkeypatch.context() as context:
        interrupt(context, "stability", after=3)
        lmmlasso(*other, code=130)
    assert n_records(f"{out}.cv.checkpoint") == 2
    assert n_records(f"{out}.stability.checkpoint") == 3
    assert "resumed: 2 of 4 folds" in lmmlasso("cv", *arguments, "--resume")
    found = results(out)
    assert found.pop(".stability.checkpoint")
    assert found == expected
    assert "resumed: 3 of 4 replicates" in lmmlasso(*other, "--resume")
    of_stability = results(files / "out" / "S")
    assert {suffix: results(out)[suffix] for suffix in of_stability} == of_stability


def test_resume_refuses_the_checkpoint_of_another_command(files, begun):
    arguments, _ = begun
    out = files / "out" / "P"
    Path(f"{out}.cv.checkpoint").rename(f"{out}.stability.checkpoint")
    message = refused("stability", *arguments[:4], "--resume", "--out", out)
    assert "the checkpoint of another run, field 'kind': expected \"stability\", found" in message


# --- fit: marginal false discoveries, family-wise error -------------------------------------------


def fitted(genotypes, small, alphas=None, **options):
    null = ll.fit_null(small.y, ll.kinship(genotypes))
    return null, ll.lasso_path(genotypes, small.y, null, alphas=alphas, **options)


def test_mfdr(small, genotypes, tmp_path):
    lmmlasso("fit", *small.base, "--mfdr", "--out", tmp_path / "P")
    _, path = fitted(genotypes, small)
    table = read(tmp_path / "P.path.tsv")
    assert table.header == [*COLUMNS["path.tsv"].split(), "MFDR"]
    assert_array_equal(table.MFDR, marginal_fdr(path, genotypes, small.y))
    assert 0 == table.MFDR[0] < table.MFDR[-1] <= 1
    differ = {
        s for s, content in results(tmp_path / "P").items() if content != (results(small.plain)[s])
    }
    assert differ == {".path.tsv"}


@pytest.mark.parametrize("level", [0.05, 0.9])
def test_fwer(small, genotypes, tmp_path, level):
    flags = ["--fwer", level, "--n-draws", 200, "--seed", 4]
    err = lmmlasso("fit", *small.base, *flags, "--out", tmp_path / "P")
    null, _ = fitted(genotypes, small)
    found = calibrated_alpha(genotypes, small.y, null, level=level, n_draws=200, seed=4)
    content = json.loads((tmp_path / "P.calibration.json").read_text())
    assert content == {
        "level": level,
        "alpha": found.alpha,
        "alpha_max": found.alpha_max,
        "p_value": found.p_value,
        "quantile": found.quantile,
        "n_draws": 200,
        "seed": 4,
    }
    assert found.alpha < found.alpha_max
    assert f"family-wise error {level:g}: alpha {found.alpha:.6g}, that is " in err
    # exactly what is active at this alpha, and not at smaller ones
    _, path = fitted(genotypes, small, alphas=[found.alpha])
    active = np.flatnonzero(path.at(found.alpha)[0])
    selected = read(tmp_path / "P.selected.tsv")
    assert (
        set(selected.ID)
        == set(genotypes.variants["ID"][active])
        == set(read(tmp_path / "P.score.tsv").ID)
    )
    assert len(active) == selected.n_rows > 0
    effects = dict(zip(selected.ID, selected.BETA_STD, strict=True))
    expected = path.coefs[:, [0]].toarray()[active, 0]
    found_effects = [effects[name] for name in genotypes.variants["ID"][active]]
    assert_allclose(found_effects, expected, rtol=1e-9)
    assert selected.ALPHA_ENTRY.min() >= found.alpha
    table = read(tmp_path / "P.path.tsv")
    assert table.n_rows == 101
    [index] = np.flatnonzero(found.alpha == table.ALPHA)
    assert table.N_ACTIVE[index] == len(active)
    assert_array_equal(np.delete(table.ALPHA, index), read(f"{small.plain}.path.tsv").ALPHA)
    assert ll.load_model(tmp_path / "P.model.npz").default_alpha == found.alpha
    model = ["--model", tmp_path / "P.model.npz", "--bfile", small.prefix]
    lmmlasso("predict", *model, "--out", tmp_path / "Q")
    assert results(tmp_path / "Q")[".pred.tsv"] == results(tmp_path / "P")[".pred.tsv"]


def test_fwer_does_not_select_what_enters_below(small, genotypes, tmp_path):
    """On a coarse grid the next alpha has many more SNPs."""
    flags = ["--fwer", 0.5, "--n-draws", 200, "--n-alphas", 3]
    lmmlasso("fit", *small.base, *flags, "--out", tmp_path / "P")
    alpha = json.loads((tmp_path / "P.calibration.json").read_text())["alpha"]
    _, path = fitted(genotypes, small, alphas=[alpha])
    assert read(tmp_path / "P.selected.tsv").n_rows == path.n_active[0]
    table = read(tmp_path / "P.path.tsv")
    assert table.n_rows == 4
    assert table.N_ACTIVE[alpha > table.ALPHA].min() > 3 * path.n_active[0]


@pytest.mark.parametrize("alphas", [[], ["--alpha", "0.2,0.1"]])
def test_fwer_where_nothing_is_significant(small, tmp_path, alphas):
    """Nothing is selected; predictions are those of the null model."""
    y = np.random.default_rng(8).permutation(small.y)
    pheno = write_table(tmp_path / "y.tsv", **ids_of(small), Y=y)
    base = ["--bfile", small.prefix, "--pheno", pheno, "--fwer", 0.01, *alphas]
    lmmlasso("fit", *base, "--out", tmp_path / "P")
    content = json.loads((tmp_path / "P.calibration.json").read_text())
    assert content["alpha"] > content["alpha_max"]
    assert content["p_value"] > 0.01
    assert read(tmp_path / "P.selected.tsv").n_rows == 0
    assert_array_equal(read(tmp_path / "P.pred.tsv").PRED_SNP, 0)
    model = ["--model", tmp_path / "P.model.npz", "--bfile", small.prefix]
    lmmlasso("predict", *model, "--out", tmp_path / "Q")
    assert results(tmp_path / "Q")[".pred.tsv"] == results(tmp_path / "P")[".pred.tsv"]


def test_fwer_beyond_the_path(small, tmp_path):
    flags = ["--fwer", 0.9, "--max-active", 0]
    err = lmmlasso("fit", *small.base, *flags, "--out", tmp_path / "P")
    assert "warning: --fwer: more than --max-active SNPs are active before alpha " in err
    assert read(tmp_path / "P.selected.tsv").n_rows == 0
    # further than --eps is no reason to end
    err = lmmlasso("fit", *small.base, "--fwer", 0.9, "--eps", 0.999, "--out", tmp_path / "Q")
    assert "warning" not in err
    alpha = json.loads((tmp_path / "Q.calibration.json").read_text())["alpha"]
    assert read(tmp_path / "Q.path.tsv").ALPHA[-1] == alpha


def test_fwer_and_mfdr_of_the_plain_lasso(small, genotypes, covariates, tmp_path):
    flags = ["--no-kinship", "--fwer", 0.2, "--n-draws", 100, "--mfdr"]
    lmmlasso("fit", *small.base, *small.covar, *flags, "--out", tmp_path / "P")
    found = calibrated_alpha(
        genotypes, small.y, level=0.2, n_draws=100, seed=0, covariates=covariates
    )
    assert json.loads((tmp_path / "P.calibration.json").read_text())["alpha"] == found.alpha
    alphas = read(tmp_path / "P.path.tsv").ALPHA
    path = ll.lasso_path(genotypes, small.y, alphas=alphas, covariates=covariates)
    assert_array_equal(read(tmp_path / "P.path.tsv").MFDR, marginal_fdr(path, genotypes, small.y))


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--n-draws", 50], 2, "--n-draws changes nothing without --fwer"),
        (["--seed", 1], 2, "--seed changes nothing without --fwer"),
        (["--fwer", 0], 2, "--fwer"),
        (["--fwer", 1], 2, "--fwer"),
        (["--fwer", 0.05, "--n-draws", 10], 3, "error: --n-draws: expected at least 19 draws"),
    ],
)
def test_refused_by_fit(small, tmp_path, flags, code, message):
    assert message in lmmlasso("fit", *small.base, *flags, "--out", tmp_path / "P", code=code)
    assert results(tmp_path / "P") == {}

"""bench/accuracy: fig3, fig4, fig5 and what all figures have in common."""

import copy
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

sys.path.append(str(Path(__file__).resolve().parents[2]))

import lmmlasso_fast as ll
from bench.accuracy import datasets, fig3, fig4, fig5, figures
from lmmlasso_fast.evaluation import enrichment
from lmmlasso_fast.folds import make_folds
from lmmlasso_fast.study import make_study

STUDIES = (fig3, fig4, fig5)


def store(units=None):
    units = {} if units is None else units
    return SimpleNamespace(get=units.get, put=units.__setitem__, units=units)


@pytest.fixture(scope="module")
def trait():
    [trait] = fig3.traits("arabidopsis_chr5", ["LD"], simulated=True)
    return trait


@pytest.fixture(scope="module")
def quick():
    """Contents and finished units of the quick runs without real data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LMMLASSO_DATA", raising=False)
        patch.setattr(fig3, "GRID", {"n_alphas": 12, "eps": 0.05})
        patch.setattr(fig5, "N_REPLICATES_QUICK", 4)
        patch.setattr(fig5, "N_PERMUTATIONS", 1000)
        units = {study: store() for study in STUDIES}
        return {study: (study.run(True, 1, units[study]), units[study]) for study in STUDIES}


# ---- all three -----------------------------------------------------------------------------------


@pytest.mark.parametrize("study", STUDIES)
def test_content_is_json_and_makes_rectangular_tables(quick, study):
    content, _ = quick[study]
    again = json.loads(json.dumps(content))
    text = study.markdown(again)
    assert text == study.markdown(content)
    assert text.startswith("*Simulated phenotypes")
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert tables
    for table in tables:
        assert len(table) >= 3  # head, rule, rows
        assert len({line.count("|") for line in table}) == 1
    assert "nan" not in text


@pytest.mark.parametrize("study", STUDIES)
def test_figures_are_small_and_the_same_each_time(quick, study, tmp_path):
    pytest.importorskip("matplotlib")
    content, _ = quick[study]
    for k in range(2):
        study.draw(content, tmp_path / f"{k}.svg")
    first, second = ((tmp_path / f"{k}.svg").read_bytes() for k in range(2))
    assert first == second
    assert b"<dc:date>" not in first
    assert 5_000 < len(first) < 100_000


@pytest.mark.parametrize("study", STUDIES)
def test_finished_units_are_not_done_again(quick, study, monkeypatch):
    content, units = quick[study]
    monkeypatch.delenv("LMMLASSO_DATA", raising=False)
    monkeypatch.setattr(fig5, "N_REPLICATES_QUICK", 4)
    monkeypatch.setattr(fig5, "N_PERMUTATIONS", 1000)
    some = list(units.units)
    one = {"fig3": "cross_validate", "fig4": "variance_split", "fig5": "stability_selection"}
    calls = []
    whole = getattr(ll, one[study.NAME])
    monkeypatch.setattr(ll, one[study.NAME], lambda *a, **k: calls.append(0) or whole(*a, **k))
    monkeypatch.setattr(fig3, "GRID", {"n_alphas": 12, "eps": 0.05})
    complete = store(dict(units.units))
    assert study.run(True, 1, complete) == content
    assert not calls
    del complete.units[some[-1]]
    assert study.run(True, 1, complete) == content
    assert len(calls) == 1
    assert set(complete.units) == set(some)


# ---- figures -------------------------------------------------------------------------------------


def test_a_sheet_has_its_panels_and_none_is_left_of_a_failure(tmp_path):
    pytest.importorskip("matplotlib")
    for n in (1, 3, 5):
        with figures.sheet(tmp_path / f"{n}.svg", n) as panels:
            assert len(panels) == len(panels[0].figure.axes) == n
        assert (tmp_path / f"{n}.svg").exists()
    with pytest.raises(ZeroDivisionError), figures.sheet(tmp_path / "x.svg", 1):
        _ = 1 / 0
    assert not (tmp_path / "x.svg").exists()


# ---- fig3 ----------------------------------------------------------------------------------------


def test_every_column_is_used_or_left_out_for_a_reason(data_dir):
    for dataset, left_out in fig3.LEFT_OUT.items():
        genotypes, table = datasets.load(dataset)
        used = fig3.PHENOTYPES[dataset]
        assert sorted([*used, *left_out]) == sorted(set(table.columns) - {"FID", "IID"})
        for name in used:
            assert (~np.isnan(datasets.numbers(table, name))).sum() >= 100
        for name, reason in left_out.items():
            if reason == "constant":
                assert table[name].n_unique() == 1
            if reason == "a part of CD8":
                part, whole = (datasets.numbers(table, column) for column in (name, "CD8"))
                has = ~np.isnan(part)
                assert_allclose(part[has], whole[has], rtol=1e-9)
            if reason.startswith("the sign of"):
                binary, number = (
                    datasets.numbers(table, column) for column in (name, reason.split()[-1])
                )
                has = ~np.isnan(binary)
                assert_array_equal(binary[has] > 0, number[has] > 0)
        assert len(genotypes.samples) == len(table)


def test_sexes_of_the_mice(data_dir):
    male = {}
    for dataset in ("mouse_hs1814", "mouse_hs1940"):
        genotypes, table = datasets.load(dataset)
        sexes = fig3._male(dataset, table)
        male[dataset] = dict(zip(genotypes.samples["IID"].to_list(), sexes, strict=True))
        assert set(sexes) == {0.0, 1.0}
    first, second = male.values()
    both = first.keys() & second.keys()
    # the two releases differ in seven mice
    assert sum(first[mouse] != second[mouse] for mouse in both) == 7
    assert len(both) == 1814


def test_transformed_score_is_the_score_of_transformed_phenotypes(trait):
    from scipy.stats import boxcox

    y = np.exp(trait.y)
    cv = ll.cross_validate(
        trait.genotypes, y, n_folds=4, n_alphas=6, eps=0.2, transform="boxcox", n_jobs=1
    )
    errors, total = np.zeros(6), 0.0
    for fold in cv.folds:
        z, exponent = boxcox(y[fold.train])
        mean, sd = z.mean(), z.std()
        truth = (boxcox(y[fold.test], exponent) - mean) / sd
        predicted = (boxcox(cv.predictions[0, fold.test].ravel(), exponent) - mean) / sd
        errors += ((truth[:, None] - predicted.reshape(len(truth), -1)) ** 2).sum(axis=0)
        total += (truth**2).sum()
    assert fig3.transformed_score(cv, y) == pytest.approx((1 - errors / total).max(), rel=1e-4)


def test_transformed_score_where_a_test_row_has_no_transform(trait):
    y = trait.y - trait.y.min() + 0.1
    y[3] = -100.0
    cv = ll.cross_validate(trait.genotypes, y, n_folds=4, n_alphas=2, transform="boxcox", n_jobs=1)
    assert fig3.transformed_score(cv, y) is None


def test_rows_are_what_cross_validation_says(quick):
    content, _ = quick[fig3]
    [trait] = fig3.traits("mouse_hs1940", ["CD8"], simulated=True)
    cv = ll.cross_validate(
        trait.genotypes,
        trait.y,
        random_effect=True,
        n_folds=fig3.N_FOLDS_QUICK,
        seed=1,
        transform="boxcox",
        n_alphas=12,
        eps=0.05,
        n_jobs=1,
    )
    [row] = [
        row
        for row in content["rows"]
        if (row["phenotype"], row["model"], row["seed"]) == ("CD8", "LMM-Lasso", 1)
    ]
    assert row["best"] == cv.explained_variance.max()
    assert row["first"] == cv.explained_variance[0]
    assert row["n_active"] == cv.n_active[cv.best_index]
    assert not cv.kinship_saw_test_rows
    assert row["dataset"] == "mouse_hs1940"


def rows_of(differences, transformed=None):
    """Rows of two seeds: LMM-Lasso is that much better, give or take 0.01."""
    rows = []
    for k, difference in enumerate(differences):
        for seed in range(2):
            noise = 0.01 if seed else -0.01
            for model, best in (("LMM-Lasso", 0.3 + difference + noise), ("Lasso", 0.3)):
                rows.append(
                    {
                        "dataset": "mouse_hs1814",
                        "phenotype": f"trait{k}",
                        "n_samples": 100,
                        "model": model,
                        "seed": seed,
                        "best": best,
                        "se": 0.1,
                        "first": 0.2,
                        "n_active": 3 + 2 * seed if model == "LMM-Lasso" else 50,
                        "fraction": 0.5,
                        "at_end": model == "Lasso" and k == 0,
                        "log_delta": 0.0,
                        "converged": True,
                        "best_transformed": transformed if seed else best,
                    }
                )
    return {"simulated": False, "n_folds": 10, "n_seeds": 2, "rows": rows}


def test_summary_by_hand():
    content = rows_of([0.1, -0.02], transformed=0.3)
    first, second = fig3.summary(content)
    assert first["difference"] == pytest.approx(0.1)
    # Student's t with one degree of freedom: 12.706 times the standard error 0.01
    assert first["interval"] == pytest.approx([0.1 - 0.12706, 0.1 + 0.12706], abs=1e-4)
    assert second["difference"] == pytest.approx(-0.02)
    assert (first["n_ahead"], second["n_ahead"]) == (2, 0)
    assert (first["SNPs LMM-Lasso"], first["SNPs Lasso"]) == (4, 50)
    assert first["transformed"] == pytest.approx({"LMM-Lasso": 0.345, "Lasso": 0.3})
    text = fig3.markdown(content)
    assert "in 1 of 2 phenotypes, 50%; the publication's 91% is NOT reached" in text
    assert "at or above in 1 of 2 phenotypes, 50%; below: trait1 (-0.0150)" in text
    assert "Below: trait1 (-0.0200, ahead in 0 of 2 divisions)" in text
    assert "fewer SNPs at its best alpha in 2 of 2" in text
    assert "0 (LMM-Lasso) and 2 (Lasso) of 4 divisions" in text


def test_the_published_share_is_reached_with_one_exception_in_twelve():
    text = fig3.markdown(rows_of([0.1] * 11 + [-0.1]))
    assert "in 11 of 12 phenotypes, 92%; the publication's 91% is reached" in text
    assert "transformed scale: not defined for all test rows of any phenotype" in text
    assert "NOT reached" in fig3.markdown(rows_of([0.1] * 10 + [-0.1]))


def test_sign_test():
    assert fig3.sign_test([1, 2, 0, 3]) == pytest.approx(0.25)
    assert fig3.sign_test([-1, 2]) == pytest.approx(1.0)
    assert fig3.sign_test([0, 0]) == 1.0


# ---- fig4 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixed", [True, False])
def test_the_parts_are_those_of_cross_validation(trait, mixed):
    sex = np.arange(len(trait.y)) % 2.0
    cv = ll.cross_validate(
        trait.genotypes,
        trait.y,
        covariates=sex,
        n_folds=4,
        n_alphas=8,
        eps=0.1,
        random_effect=mixed,
        n_jobs=1,
    )
    options = fig4.PathOptions(n_alphas=8, eps=0.1)
    study = make_study(
        trait.genotypes, trait.y, covariates=sex, random_effect=mixed, options=options
    )
    folds = make_folds(len(trait.y), 4, seed=0)
    found = fig4.pooled([fig4.fold_errors(study, fold) for fold in folds])
    assert_allclose(found["all"], cv.explained_variance, rtol=1e-9, atol=1e-12)
    assert found["n_active"][0] == 0
    assert found["n_active"][-1] > 5
    # without SNPs nothing but covariates is in the second part, without structure nothing more
    assert found["snp"][0] == found["covariates"][0]
    if not mixed:
        assert found["snp"] == found["all"]


def test_parts_come_from_training_rows_alone(trait):
    """Phenotypes of test rows, however large, change no prediction."""
    [fold, *_] = make_folds(len(trait.y), 4, seed=0)
    found = []
    for shift in (0.0, 1e3):
        y = trait.y.copy()
        y[fold.test] += shift
        study = make_study(
            trait.genotypes, y, options=fig4.PathOptions(n_alphas=5, eps=0.2), random_effect=True
        )
        part = study.part(fold.train)
        path = fig4.solve_path(part.genotypes, part.y, part.null, part.design, study.options)
        found.append(fig4.prediction_parts(study, part, path, fold.test))
    for before, after in zip(*found, strict=True):
        assert_array_equal(before, after)


def test_a_small_model_of_the_covered_part(trait):
    """Parts by Model.predict_in_order, which has its own way to them."""
    [fold, *_] = make_folds(len(trait.y), 4, seed=0)
    study = make_study(
        trait.genotypes,
        trait.y,
        options=fig4.PathOptions(n_alphas=5, eps=0.2),
        random_effect=True,
    )
    part = study.part(fold.train)
    path = fig4.solve_path(part.genotypes, part.y, part.null, part.design, study.options)
    covariates, snp, random = fig4.prediction_parts(study, part, path, fold.test)
    train, test = (trait.genotypes.subset(index) for index in (fold.train, fold.test))
    null = ll.fit_null(part.y, ll.kinship(train))
    path = ll.lasso_path(train, part.y, null, n_alphas=5, eps=0.2)
    model = ll.build_model(path, train)
    predicted = model.predict_in_order(test, alpha=path.alphas[3])
    scale = np.abs(predicted.total).max()
    assert_allclose(covariates[:, 3], predicted.covariates, atol=1e-5 * scale)
    assert_allclose(snp[:, 3], predicted.snp, atol=1e-5 * scale)
    assert_allclose(random[:, 3], predicted.random, atol=1e-5 * scale)


def test_folds_of_different_length_are_pooled_as_far_as_the_shortest():
    long = {"total": 10.0, "n_active": [0, 2, 9]}
    short = {"total": 30.0, "n_active": [0, 4]}
    for key in ("covariates", "snp", "all"):
        long[key], short[key] = [10.0, 5.0, 99.0], [30.0, 15.0]
    found = fig4.pooled([long, short])
    assert found["all"] == pytest.approx([0, 0.5])
    assert found["n_active"] == [0, 3]


def test_last_place_with_so_many_snps():
    n_active = [0.0, 1.5, 3.0, 2.5, 8.0]
    assert [fig4.last_with(n_active, n) for n in (0, 1, 3, 7, 8)] == [0, 0, 3, 3, 4]


def test_a_best_alpha_at_the_end_of_the_path_is_marked(quick):
    content = copy.deepcopy(quick[fig4][0])
    [entry, *_] = content["phenotypes"]
    for model in fig4.MODELS:
        values = entry[model]["all"]
        values[:] = np.linspace(0.1, 0.2, len(values)).tolist()
    assert fig4.markdown(content).count("(the end of the path)") >= 2
    for other in content["phenotypes"]:
        for model in fig4.MODELS:
            other[model]["all"][0] = 0.9
    assert "(the end of the path)" not in fig4.markdown(content)


# ---- fig5 ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_map():
    return fig5._map(simulated=True)


def test_pooled_enrichment_knows_that_phenotypes_are_shifted_together(on_map):
    genotypes, genes = on_map
    offered = np.flatnonzero(genotypes.included)
    options = {"window": fig5.WINDOW, "n_permutations": 500, "seed": 0}
    is_near = enrichment(offered, genotypes, genes, **options).is_near
    near, far = offered[is_near], offered[~is_near][:6]
    snps = near[:4]
    one = enrichment(snps, genotypes, genes, **options)
    assert 0.002 < one.p_value < 1
    # the same selection again and again is no further evidence
    again = fig5.pooled([one] * 5)
    assert again["p_value"] == one.p_value
    assert again["share"] == one.share == 1
    assert again["expected"] == pytest.approx(one.expected)
    assert (again["n_snps"], again["n_near"]) == (20, 20)
    # by one draw of the shift for all: as if both selections were one, a common SNP twice
    other = enrichment(far, genotypes, genes, **options)
    joint = enrichment(np.concatenate([snps, far]), genotypes, genes, **options)
    both = fig5.pooled([one, other])
    for key in ("share", "p_value", "n_near"):
        assert both[key] == pytest.approx(getattr(joint, key))
    assert fig5.pooled([])["p_value"] is None


def test_enrichment_rows_count_phenotypes_and_genes(on_map):
    genotypes, genes = on_map
    position = genotypes.variants["POS"].to_numpy()
    at = np.array([np.abs(position - start).argmin() for start in genes["START"].to_numpy()])
    selected = {
        "one": {"LMM-Lasso": {"entry 5": at[:2].tolist()}, "Lasso": {"entry 5": []}},
        "two": {"LMM-Lasso": {"entry 5": at[1:2].tolist()}, "Lasso": {"entry 5": []}},
    }
    mixed, plain = fig5.enrichments(selected, genotypes, genes, 100)
    assert (mixed["n_phenotypes"], mixed["n_snps"], mixed["n_near"]) == (2, 3, 3)
    assert mixed["genes"] == {"A": 1, "B": 2}
    assert mixed["shares"] == [1, 1]
    assert (plain["n_phenotypes"], plain["n_snps"], plain["share"]) == (0, 0, None)
    assert plain["shares"] == [None, None]
    assert plain["adjacent"] is None


def test_selections_are_prefixes_of_one_order(trait):
    found = fig5.selections(trait, True, 4, 1)
    for small, large in zip(fig5.FIRST_K, fig5.FIRST_K[1:], strict=False):
        assert found[f"entry {large}"][:small] == found[f"entry {small}"]
        assert len(found[f"entry {small}"]) == small
    for low, high in zip(fig5.CUTOFFS, fig5.CUTOFFS[1:], strict=False):
        assert set(found[f"stability {high:g}"]) <= set(found[f"stability {low:g}"])
    y, _ = ll.transform_phenotype(trait.y, "boxcox")
    path = ll.lasso_path(trait.genotypes, y, ll.fit_null(y, ll.kinship(trait.genotypes)))
    first = int(np.nanargmax(path.alpha_entry))
    assert path.alpha_entry[found["entry 5"][0]] == path.alpha_entry[first]


def test_first_groups_are_the_most_frequent(trait):
    stable = ll.stability_selection(trait.genotypes, trait.y, n_active=5, n_replicates=6, n_jobs=1)
    groups = fig5.first_groups(stable, trait.genotypes)
    expected = np.sort(stable.group_frequency)[::-1][: fig5.N_GROUPS]
    assert_allclose([group["frequency"] for group in groups], expected)
    ids = trait.genotypes.variants["ID"].to_list()
    leads = [ids.index(group["lead"]) for group in groups]
    assert_allclose([group["lead_frequency"] for group in groups], stable.frequency[leads])
    X = trait.genotypes.columns(np.array(leads))
    assert_allclose(groups[1]["r2"], np.corrcoef(X[:, 0], X[:, 1])[0, 1] ** 2)
    assert groups[0]["r2"] == pytest.approx(1)


def group(frequency, chromosome="0", r2=0.0):
    return {
        "frequency": frequency,
        "lead": "rs1",
        "lead_frequency": frequency,
        "n_snps": 1,
        "chromosome": chromosome,
        "position": 0,
        "r2": r2,
    }


def test_verdicts_on_known_loci_can_fail(quick):
    content = copy.deepcopy(quick[fig5][0])
    content["n_replicates"] = 100
    both = dict.fromkeys(fig5.MODELS)
    known = content["known"]
    known["avrRpm1"] = both | {m: [group(0.9, r2=1), group(0.5, r2=0.4), group(0.1)] for m in both}
    known["CD8"] = both | {m: [group(1.0, "17"), group(0.8, "1")] for m in both}
    text = fig5.markdown(content)
    assert "stands alone at the top: 0.90 against 0.50" in text
    assert f"r² < {fig5.SAME_LOCUS:g} to it at most 0.10" in text
    assert text.count("chromosome 17 leads") == 2
    known["avrRpm1"]["LMM-Lasso"][1]["frequency"] = 0.8
    known["CD8"]["LMM-Lasso"][1]["frequency"] = 0.99
    text = fig5.markdown(content)
    assert "has company: 0.90 against 0.80" in text
    assert "LMM-Lasso, chromosome 17 does NOT clearly lead" in text
    assert "Lasso, chromosome 17 leads: 1 of the first 2 groups" in text


def test_above_is_two_standard_errors_over_pairs():
    assert not fig5.clearly_above(0.9, 0.8, 50)
    assert fig5.clearly_above(0.9, 0.8, 200)
    assert not fig5.clearly_above(1.0, 1.0, 50)


def test_comparison_counts_signs_where_both_selected(quick):
    content = copy.deepcopy(quick[fig5][0])
    mixed, plain = content["enrichment"][:2]
    mixed["shares"], plain["shares"] = [0.5, 0.2, 0.1, None], [0.1, 0.3, 0.1, 0.2]
    assert f"| {mixed['cutoff']} | 1 | 1 | 1 | 1 |" in fig5.markdown(content)

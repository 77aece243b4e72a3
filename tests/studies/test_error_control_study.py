"""bench/accuracy/error_control.py: what it counts, and that its quick path runs."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

sys.path.append(str(Path(__file__).resolve().parents[2]))

import lmmlasso_fast as ll
from bench.accuracy import error_control as study
from lmmlasso_fast.error_control import marginal_fdr, whitened_norms

pytestmark = pytest.mark.promise("statistics")


@pytest.fixture(scope="module")
def content():
    return study.run(2, study.QUICK, seed=4)


def data_set(number=0, size=study.QUICK, **options):
    stream = np.random.SeedSequence(9, spawn_key=(number,))
    return study.simulate(study.Scenario(**options), size, stream)


# ---- the quick path ------------------------------------------------------------------------------


def test_every_scenario_has_the_results_of_its_methods(content):
    assert set(content["rows"]) == set(study.SCENARIOS)
    for name, scenario in study.SCENARIOS.items():
        assert len(content["rows"][name]) == 2
        for row in content["rows"][name]:
            for model in ("mixed", "plain"):
                assert tuple(row[model]) == getattr(scenario, model)
            assert 0 < row["h2"] < 1


def test_rows_are_counts_that_fit_together(content):
    for name, scenario in study.SCENARIOS.items():
        for row in content["rows"][name]:
            for score in scores(row):
                assert 0 <= score["false"] <= score["selected"]
                assert score["found_large"] <= score["large"] <= scenario.n_causal
                assert score["found_large"] <= score["found"] <= scenario.n_causal
                if scenario.n_causal == 0:
                    assert score["false"] == score["selected"]
            for results in (row["mixed"], row["plain"]):
                if "calibrated" in results:
                    found = results["calibrated"]
                    assert (found["selected"] > 0) == (found["p_value"] <= study.LEVEL)
                if "multi_split" in results:
                    found = results["multi_split"]
                    assert (found["selected"] > 0) == (found["p_value"] <= study.LEVEL)
                if "mfdr" in results:
                    assert len(results["mfdr"]["counted"]) == len(study.EXPECTED)
                if "stability" in results:
                    found = results["stability"]
                    assert 0 <= found["both"] <= found["n_selected"] <= study.N_ACTIVE
                    selected = [score["selected"] for score in found["cutoffs"]]
                    assert selected == sorted(selected, reverse=True)


def scores(row):
    for results in (row["mixed"], row["plain"]):
        for method, found in results.items():
            yield from found["cutoffs"] if method == "stability" else [found]


def test_the_content_is_json_and_makes_rectangular_tables(content):
    again = json.loads(json.dumps(content))
    text = study.markdown(again)
    assert text == study.markdown(content)
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 6
    for table in tables:
        assert len(table) >= 4  # head, rule, rows
        assert len({line.count("|") for line in table}) == 1
        assert "nan" not in "".join(table)


def test_rows_do_not_depend_on_jobs_or_the_number_of_data_sets(content):
    fewer = study.run(1, study.QUICK, seed=4, n_jobs=2)
    for name, rows in fewer["rows"].items():
        assert rows == content["rows"][name][:1]


def test_the_command_writes_what_it_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        study, "SCENARIOS", {k: study.SCENARIOS[k] for k in list(study.SCENARIOS)[3:5]}
    )
    out = tmp_path / "out.json"
    arguments = ["--quick", "--n-data", "2", "--jobs", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["bench.accuracy.error_control", *arguments])
    study.main()
    printed = capsys.readouterr()
    written = json.loads(out.read_text())
    assert study.markdown(written) in printed.out
    assert written["options"]["n_data"] == 2
    assert list(written["rows"]) == list(study.SCENARIOS)
    assert [line.split(":")[0] for line in printed.err.splitlines()] == list(study.SCENARIOS)


def test_verdicts_fail_where_the_promise_is_broken(content):
    broken = json.loads(json.dumps(content))
    for row in broken["rows"]["null, polygenic"]:
        row["mixed"]["calibrated"]["selected"] = 5
        row["mixed"]["mfdr"]["counted"] = [50 + row["h2"]] * len(study.EXPECTED)
        row["mixed"]["stability"]["cutoffs"][0]["selected"] = 9
    before, after = (
        [line for line in study.markdown(c).splitlines() if "| polygenic | yes |" in line]
        for c in (content, broken)
    )
    changed = [line for line, old in zip(after, before, strict=True) if line != old]
    assert len(changed) == 3
    assert changed[0].startswith("| calibrated alpha")
    assert changed[0].endswith("| no |")
    assert changed[1].endswith("| no |")
    assert changed[2].count("exceeded") == 3


# ---- what is simulated and counted ---------------------------------------------------------------


def test_siblings_have_what_their_parents_have():
    scenario = study.Scenario(families=True)
    size = study.Size(n_samples=42, n_variants=400)
    rng = np.random.default_rng(1)
    dosages, population, families, variants = study.siblings(size, scenario, 5, rng)
    assert dosages.shape == (42, 400) == (len(population), len(variants))
    assert_array_equal(np.bincount(families), [4] * 10 + [2])
    haplotypes = (
        study.simulate_genotypes(44, 400, n_populations=4, inbred=True, seed=5).dosages // 2
    )
    for child, family in enumerate(families):
        parents = haplotypes[4 * family : 4 * family + 4].reshape(2, 2, -1)
        assert (dosages[child] >= parents.min(axis=1).sum(axis=0)).all()
        assert (dosages[child] <= parents.max(axis=1).sum(axis=0)).all()
    for family in range(11):
        assert len(set(population[families == family])) == 1


def test_siblings_share_half_of_what_families_differ_in():
    data = data_set(families=True, n_populations=1, size=study.Size(n_samples=400))
    K = data.kinship.matrix
    related = data.families[:, None] == data.families
    np.fill_diagonal(related, False)
    assert K[related].mean() == pytest.approx(0.5, abs=0.05)
    # recombination: not all pairs of siblings share the same half
    assert K[related].std() > 0.05


def test_a_null_data_set_has_no_causal_snp_and_a_signal_one_has_its_variance():
    size = study.Size(n_samples=400, n_variants=500)
    assert len(data_set(h2_structure=0.5).causal) == 0
    data = data_set(n_causal=5, h2_structure=0.3, size=size)
    signal = data.genotypes.columns(data.causal) @ data.effects
    assert np.var(signal) == pytest.approx(study.H2_SNP)
    assert np.corrcoef(data.y, signal)[0, 1] ** 2 > 0.2


def test_scores_by_hand():
    data = data_set(n_causal=5, h2_structure=0.3)
    X = data.genotypes.columns(np.arange(data.genotypes.n_variants))
    r2 = np.corrcoef(X.T + 1e-9 * np.arange(len(X)))[:, data.causal] ** 2
    r2[data.chromosome[:, None] != data.chromosome[data.causal]] = 0
    far = int(np.flatnonzero((r2 < study.FALSE_R2 / 2).all(axis=1))[0])
    assert data.score(data.causal)["found"] == 5
    assert data.score(data.causal)["false"] == 0
    assert data.score(np.array([far])) | {"large": 0} == {
        "selected": 1,
        "false": 1,
        "found": 0,
        "found_large": 0,
        "large": 0,
    }
    one = int(np.argmax(data.effects**2))
    found = data.score(np.array([data.causal[one], far]))
    assert (found["selected"], found["false"]) == (2, 1)
    assert found["found"] == (r2[data.causal[one]] >= study.FOUND_R2).sum()
    assert found["found_large"] >= 1
    assert data.score(np.empty(0, dtype=np.int64))["selected"] == 0


@pytest.mark.parametrize("mixed", [True, False])
def test_expected_false_is_the_formula_of_marginal_fdr_before_it_is_cut_off(mixed):
    data = data_set(n_causal=5, h2_structure=0.3)
    null = ll.fit_null(data.y, data.kinship) if mixed else None
    norms = whitened_norms(data.genotypes, null)
    path = ll.lasso_path(data.genotypes, data.y, null, max_active=20)
    expected = study.expected_false(path, data.genotypes, data.y, norms)
    rates = marginal_fdr(path, data.genotypes, data.y, norms)
    active = path.n_active > 0
    assert (rates[active] < 1).any()
    cut = np.minimum(1, expected[active] / path.n_active[active])
    assert_allclose(cut, rates[active], rtol=1e-9)


@pytest.mark.parametrize("mixed", [True, False])
def test_alphas_expect_what_they_say_before_a_snp_is_active(mixed):
    data = data_set(h2_structure=0.0)
    null = ll.fit_null(data.y, data.kinship) if mixed else None
    norms = whitened_norms(data.genotypes, null)
    alphas = study._alphas_expecting(norms, data.y, null)
    path = ll.lasso_path(data.genotypes, data.y, null, alphas=alphas)
    expected = study.expected_false(path, data.genotypes, data.y, norms)
    empty = path.n_active == 0
    assert empty.any()
    assert_allclose(expected[empty], np.array(study.EXPECTED)[empty], rtol=1e-9)

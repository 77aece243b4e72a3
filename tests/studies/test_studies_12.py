"""bench/accuracy: who ranks causal SNPs first (recovery, fig1, fig2)."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))

import lmmlasso_fast as ll
from bench.accuracy import fig1, fig2, recovery
from bench.accuracy.recovery import FIVE, LOCO, RESCALED, Extras, Setting
from lmmlasso_fast.association import association_scan, association_scan_loco
from lmmlasso_fast.error_control import whitened_norms


class Store(dict):
    put = dict.__setitem__


@pytest.fixture(scope="module")
def small():
    return recovery.stand_in(1)


@pytest.fixture(scope="module")
def drawn(small):
    return recovery.draw(small, Setting(n_causal=5), 0)


@pytest.fixture(scope="module")
def kinships(small):
    return recovery.kinships_without_own(small)


@pytest.fixture(scope="module")
def found(small, drawn, kinships):
    extras = Extras(voted=("LMM-Lasso", "Lasso"), n_replicates=4)
    return recovery.rankings(small.genotypes, drawn.y, small.kinship, extras, kinships)


# ---- rankings ------------------------------------------------------------------------------------


def test_a_ranking_by_score():
    dosages = np.array([[0, 0, 1, 2, 0], [1, 0, 0, 1, 2], [2, 0, 1, 0, 1]])
    genotypes = ll.Genotypes.from_array(dosages)  # SNP 1 is monomorphic
    scores = np.array([1.0, 9.0, np.nan, 1.0, 4.0])
    assert recovery.by_score(scores, genotypes).tolist() == [4, 0, 3, 2]


def test_a_ranking_by_votes_keeps_the_order_of_equal_ones():
    votes = np.array([0.0, 0.5, 0.0, 1.0, 0.5])
    assert recovery.by_votes(votes, np.array([4, 2, 0, 1, 3])).tolist() == [3, 4, 1, 2, 0]


@pytest.mark.parametrize("with_effect", [False, True])
@pytest.mark.parametrize("with_factors", [False, True])
def test_a_ranking_by_entry(small, drawn, with_effect, with_factors):
    """Against coefficients and residual correlations in plain NumPy."""
    genotypes = small.genotypes
    null = ll.fit_null(drawn.y, small.kinship) if with_effect else None
    factors = np.linspace(1, 2, genotypes.n_variants) if with_factors else None
    path = ll.lasso_path(genotypes, drawn.y, null, max_active=30, penalty_factors=factors)
    coefs = path.coefs.toarray()
    X = genotypes.columns(np.arange(genotypes.n_variants))
    expected = []
    for k in range(coefs.shape[1]):
        new = [j for j in np.flatnonzero(coefs[:, k]) if j not in expected]
        expected += sorted(new, key=lambda j: -abs(coefs[j, k]))
    fitted = path.design.matrix @ path.gammas[:, -1] + X @ coefs[:, -1]
    residual = drawn.y - fitted
    if with_effect:
        V = small.kinship.matrix + null.delta * np.eye(len(residual))
        residual = np.linalg.solve(V, residual)
    score = np.abs(X.T @ residual) / (1.0 if factors is None else factors)
    others = [j for j in np.flatnonzero(genotypes.included) if j not in expected]

    ranking = recovery.by_entry(path, genotypes)
    assert len(expected) >= 20
    assert ranking[: len(expected)].tolist() == expected
    assert sorted(ranking[len(expected) :]) == others
    assert (np.diff(score[ranking[len(expected) :]]) < 1e-9).all()


def test_every_ranking_has_every_snp_once(found, small):
    voted = [f"{name}, {by}" for name in ("LMM-Lasso", "Lasso") for by in ("frequency", "LD group")]
    assert list(found) == [*FIVE, RESCALED, LOCO, *voted]
    offered = np.flatnonzero(small.genotypes.included)
    for ranking in found.values():
        assert np.array_equal(np.sort(ranking), offered)


def test_the_five_rankings_in_plain_numpy(found, small, drawn):
    genotypes, n = small.genotypes, small.genotypes.n_samples
    X = genotypes.columns(np.arange(genotypes.n_variants))
    delta = ll.fit_null(drawn.y, small.kinship).delta
    ones = np.ones((n, 1))
    scores = {}
    for name, V in (("LM", np.eye(n)), ("LMM", small.kinship.matrix + delta * np.eye(n))):
        inverse = np.linalg.inv(V)
        along = inverse @ ones
        P = inverse - along @ along.T / (ones.T @ along)
        gradient = X.T @ P @ drawn.y
        scores["BLUP"] = np.abs(gradient)  # of the mixed model, the last one
        lengths = np.sqrt(np.einsum("ij,ik,kj->j", X, P, X, optimize=True))
        with np.errstate(invalid="ignore"):  # monomorphic SNPs
            scores[name] = np.abs(gradient) / lengths
    for name, score in scores.items():
        assert (np.diff(score[found[name]]) < 1e-6 * np.nanmax(score)).all()
    # what enters first correlates most: among SNPs of equal length, or of whitened length
    assert found["Lasso"][0] == found["LM"][0]
    assert found["LMM-Lasso"][0] == found["BLUP"][0]
    assert found[RESCALED][0] == found["LMM"][0]


def test_rescaled_is_the_lasso_on_whitened_snps_of_equal_length(small, drawn):
    sklearn = pytest.importorskip("sklearn.linear_model")
    genotypes = small.genotypes
    null = ll.fit_null(drawn.y, small.kinship)
    snps = np.flatnonzero(genotypes.included)
    V = small.kinship.matrix + null.delta * np.eye(genotypes.n_samples)
    W = np.linalg.inv(np.linalg.cholesky(V))
    Q = np.linalg.qr(W @ np.ones((len(W), 1)))[0]
    M = np.eye(len(W)) - Q @ Q.T
    X, y = M @ W @ genotypes.columns(snps), M @ W @ drawn.y
    X /= np.linalg.norm(X, axis=0)
    ranking = recovery.rankings(genotypes, drawn.y, small.kinship, Extras())[RESCALED]
    alpha_max = np.abs(X.T @ y).max() / len(y)
    lasso = sklearn.Lasso(0.5 * alpha_max, fit_intercept=False, tol=1e-10, max_iter=100_000)
    active = snps[lasso.fit(X, y).coef_ != 0]
    assert len(active) >= 3
    assert set(ranking[: len(active)]) == set(active)  # none has left, as it happens


def test_whitened_lengths(small, drawn):
    null = ll.fit_null(drawn.y, small.kinship)
    path = ll.lasso_path(small.genotypes, drawn.y, null, n_alphas=1)
    lengths = recovery.whitened_lengths(
        association_scan(small.genotypes, drawn.y, null),
        small.genotypes,
        float(drawn.y @ path.dual[:, 0]),
    )
    expected = np.sqrt(whitened_norms(small.genotypes, null))
    np.testing.assert_allclose(lengths, expected, rtol=1e-5)
    assert (lengths[~small.genotypes.included] == 0).all()


def test_without_the_own_chromosome(found, small, drawn):
    chisq = association_scan_loco(small.genotypes, drawn.y).chisq
    assert (np.diff(chisq[found[LOCO]]) < 1e-4 * np.nanmax(chisq)).all()
    assert not np.array_equal(found[LOCO], found["LMM"])


# ---- phenotypes and scores -----------------------------------------------------------------------


def test_what_settings_do_not_differ_in_is_the_same(small):
    one = recovery.draw(small, Setting(h2_snp=0.4, structure=0.5), 3)
    other = recovery.draw(small, Setting(h2_snp=0.4, structure=1.0), 3)
    assert np.array_equal(one.causal, other.causal)
    np.testing.assert_allclose(one.snp_part, other.snp_part)
    np.testing.assert_allclose(one.structure_part * np.sqrt(2), other.structure_part)
    assert np.corrcoef(one.structure_part, small.background)[0, 1] == pytest.approx(1)
    shares = (one.variance_snp, one.variance_structure, one.variance_noise)
    assert shares == pytest.approx((0.4, 0.3, 0.3))
    assert other.variance_noise == pytest.approx(0)
    assert not np.array_equal(recovery.draw(small, Setting(), 4).causal, one.causal)


def test_a_background_is_drawn_where_there_is_none(small):
    without = replace(small, background=None)
    parts = [recovery.draw(without, Setting(), repeat).structure_part for repeat in range(2)]
    assert abs(np.corrcoef(parts)[0, 1]) < 0.9


def test_fewer_samples_are_among_the_more(small):
    few, more = small.some(40), small.some(80)
    ids = [set(part.genotypes.samples["IID"]) for part in (few, more)]
    assert (len(ids[0]), len(ids[1])) == (40, 80)
    assert ids[0] < ids[1]
    assert len(few.background) == few.kinship.n_samples == 40
    frequency = few.genotypes.frequency[few.genotypes.included]
    assert np.minimum(frequency, 1 - frequency).min() >= recovery.MIN_FREQUENCY


def test_scores_of_the_best_ranking_and_of_a_bad_one(small, drawn):
    offered = np.flatnonzero(small.genotypes.included)
    others = offered[~np.isin(offered, drawn.causal)]
    best = np.concatenate([drawn.causal, others])
    found = {"best": best, "worst": best[::-1]}
    scores = recovery.score(small, drawn.causal, found, curves=True)
    assert list(scores["average_precision"]) == list(small.criteria)
    for areas in scores["average_precision"].values():
        assert areas["best"] == 1.0
        assert areas["worst"] < 0.2
    assert scores["roc"]["best"] == 1.0
    assert scores["precision"]["best"] == [1.0] * len(recovery.RECALLS)
    assert scores["true_positive_rate"]["best"] == [1.0] * len(recovery.FALSE_POSITIVE_RATES)
    assert scores["true_positive_rate"]["worst"][0] == 0.0
    fewer = recovery.score(small, drawn.causal, found, curves=False)
    first = next(iter(small.criteria))
    assert fewer["average_precision"] == {first: scores["average_precision"][first]}


def test_verdicts():
    low, high = np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.32, 0.39])
    assert not recovery.is_above(high, low)  # the intervals overlap
    assert recovery.is_above(high + 1, low)
    assert not recovery.is_above(low, high + 1)
    assert recovery.verdict(high, low) == "ahead"
    assert recovery.verdict(low, high) == "behind"
    assert recovery.verdict(low, low[::-1]) == "undecided"


# ---- runs ----------------------------------------------------------------------------------------


def test_results_do_not_depend_on_jobs_nor_on_an_interruption(small):
    settings = [Setting(n_causal=5), Setting(n_causal=5, structure=0.0)]
    made = []

    def make():
        made.append(1)
        return small

    stores = [Store(), Store(), Store()]
    results = [
        recovery.run_settings("s", make, settings, 2, Extras(), store, n_jobs)
        for store, n_jobs in zip(stores[:2], (1, 2), strict=True)
    ]
    assert results[0] == results[1]
    assert len(stores[0]) == 4
    for key in list(stores[0])[:3]:
        stores[2].put(key, json.loads(json.dumps(stores[0][key])))
    again = recovery.run_settings("s", make, settings, 2, Extras(), stores[2], 1)
    assert again == results[0]
    assert len(made) == 3
    recovery.run_settings("s", make, settings, 2, Extras(), stores[0], 1)
    assert len(made) == 3  # nothing was left to do
    found = results[0][settings[0]][1]
    alone = recovery.run_repeat(small, settings[0], 1, Extras())
    assert found == alone
    assert found["n_samples"] == 120


@pytest.fixture
def no_data(monkeypatch):
    monkeypatch.delenv("LMMLASSO_DATA", raising=False)


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize("study", [fig1, fig2])
def test_a_quick_run_without_data(study, monkeypatch, tmp_path):
    monkeypatch.setattr(fig1, "N_QUICK", {"Arabidopsis": 2, "mice": 2})
    monkeypatch.setattr(fig2, "QUICK", [replace(part, n_repeats=2) for part in fig2.QUICK])
    store = Store()
    content = study.run(True, 2, store)
    assert content["simulated"]
    assert json.loads(json.dumps(content)) == content
    text = study.markdown(content)
    assert "LMMLASSO_DATA is not set" in text
    for name in (*FIVE, RESCALED, "LMM-Lasso, LD group"):
        assert name in text
    monkeypatch.setattr(recovery, "stand_in", pytest.fail)  # everything is there
    assert study.run(True, 2, store) == content
    pytest.importorskip("matplotlib")
    for k in range(2):
        study.draw(content, tmp_path / f"{k}.svg")
    first, second = ((tmp_path / f"{k}.svg").read_bytes() for k in range(2))
    assert first == second
    assert 5_000 < len(first) < 200_000


def entry(**areas):
    return {"average_precision": {"r2 0.5": areas}, "roc": areas}


def test_what_fig1_says():
    high, low = [0.5, 0.52, 0.51], [0.1, 0.2, 0.3]
    areas = {"LM": low, "LMM": high, "Lasso": high, "LMM-Lasso": [0.6, 0.61, 0.62]}
    (line,) = fig1._statements(entry(**areas))
    assert "is above Lasso's and above LM's" in line
    assert line.endswith("LMM-Lasso ahead.")
    (line,) = fig1._statements(entry(**{**areas, "LMM-Lasso": [0.1, 0.7, 0.6]}))
    assert "is not above Lasso's and not above LM's" in line
    assert line.endswith("LMM-Lasso undecided.")


def rows_of(**changes):
    base = {"data": "d", "n_samples": 100, "n_causal": 10, "h2_snp": 0.4, "structure": 0.5}
    low, high = [0.1, 0.2, 0.15], [0.5, 0.6, 0.55]
    areas = {"LM": low, "LMM": high, "Lasso": low, "LMM-Lasso": high}
    return {**base, "areas": areas, **changes}


def test_what_fig2_says():
    behind = {"LM": [0.3, 0.4, 0.5], "LMM": [0.6, 0.7, 0.8], "Lasso": [0.1, 0.2, 0.3]}
    rows = [
        rows_of(),
        rows_of(structure=0.0),
        rows_of(n_causal=50, areas={**behind, "LMM-Lasso": [0.31, 0.41, 0.52]}),
    ]
    lasso, lm, lmm = fig2._statements(rows)
    # without structure nothing is asked for
    assert "above in 1 of 2 settings; not with n_causal 50 (paired: ahead)." in lasso
    assert "above in 1 of 2 settings; not with n_causal 50 (paired: undecided)." in lm
    assert "ahead in 0 of 3; behind in 1 of 3: n_causal 50; undecided in 2 of 3: default" in lmm


def test_panels_vary_one_factor():
    rows = [rows_of(), rows_of(structure=1.0), rows_of(structure=0.0), rows_of(n_causal=50)]
    rows += [rows_of(data="e"), rows_of(data="e", n_samples=50)]
    found = fig2.panels({"rows": rows})
    assert [(data, factor) for data, factor, _ in found] == [
        ("d", "structure"),
        ("d", "n_causal"),
        ("e", "n_samples"),
    ]
    assert [row["structure"] for row in found[0][2]] == [0.0, 0.5, 1.0]


def test_the_settings_of_the_full_run():
    by_data = {}
    for part in fig2.FULL:
        by_data.setdefault(part.data, set()).update(part.settings())
    for data in ("Arabidopsis", "mice"):
        settings = by_data[data]
        assert len(settings) == 13
        assert {s.n_causal for s in settings} == {5, 10, 20, 50, 100}
        assert {s.structure for s in settings} >= {0.0, 0.5, 1.0}
    assert min(fig1.N_REPEATS.values()) >= 50


def test_one_row_for_a_setting_of_two_parts():
    rows = [rows_of(), rows_of(n_causal=50), rows_of(areas={}), rows_of(data="e")]
    assert fig2._distinct(rows) == [rows[0], rows[1], rows[3]]

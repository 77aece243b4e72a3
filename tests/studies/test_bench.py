"""The parts of bench/performance on which its verdicts rest: the gap, ADMM, recorded ratios."""

import sys
from pathlib import Path

import numpy as np
import pytest
import reference as ref

sys.path.append(str(Path(__file__).resolve().parents[2]))

import lmmlasso_fast as ll
from bench.performance import (
    admm,
    filesets,
    problems,
    recorded,
    report,
    scaling,
    scan,
    stability,
    stability_loops,
)
from bench.performance.dense_pipeline import Stages
from bench.performance.settings import Settings
from lmmlasso_fast.stability import make_plan, run_replicates

#: What a report says of the machine, all of it text.
_MACHINE = ("date", "commit", "dirty", "cpu", "cores", "platform", "kernels", "python", "editable")


@pytest.fixture(scope="module")
def problem():
    """Whitened in place, with alphas down to a tenth of the largest."""
    rng = np.random.default_rng(0)
    dosage = rng.binomial(2, 0.4, (40, 90)).astype(float)
    X, *_ = ref.standardise(dosage)
    y = X[:, 3] - X[:, 50] + rng.standard_normal(40)
    K, _ = ref.scale_to_unit_diagonal(X @ X.T)
    s, U = np.linalg.eigh(K)
    whitened = problems.whiten(np.asfortranarray(X), y, U, np.maximum(s, 0.0), 0.7)
    W, M = ref.whitening(K, 0.7, np.ones((40, 1)))
    return whitened, M @ (W @ ref.standardise(dosage)[0]), M @ (W @ y)


def test_whitening_and_gap_are_the_references(problem):
    whitened, X, y = problem
    np.testing.assert_allclose(whitened.X.T @ whitened.X, X.T @ X, atol=1e-9)
    np.testing.assert_allclose(whitened.X.T @ whitened.y, X.T @ y, atol=1e-9)
    coefs = np.random.default_rng(1).standard_normal((90, 100)) * 1e-3
    gaps = [ref.relative_gap(coefs[:, k], X, y, whitened.alphas[k]) for k in range(100)]
    assert problems.worst_gap(whitened, coefs) == pytest.approx(max(gaps))


def test_the_gap_tells_a_wrong_solution(problem):
    assert problems.worst_gap(problem[0], np.zeros((90, 100))) > 0.1


def test_admm_reaches_the_optimum_where_it_converges(problem):
    one = problem[0].at(50)
    strict = admm.solve(one, rho=40.0, abstol=1e-12, reltol=1e-12, max_iter=50_000)[0]
    assert strict.converged
    assert problems.worst_gap(one, strict.z[:, None]) < 1e-9
    few = admm.solve(one, max_iter=3)[0]
    assert not few.converged
    assert few.n_iterations == 3


def test_slopes():
    slopes = scaling.log_log_slopes([1, 2, 4], [3, 12, 48])
    assert slopes["neighbours"] == pytest.approx([2, 2])
    assert slopes["least_squares"] == pytest.approx(2)


def test_a_ratio_below_half_fails_after_a_second_measurement(capsys):
    measured, known = {"path": {"peer": 0.9, "new": 1.0}}, {"path": {"peer": 2.0, "gone": 3.0}}
    calls = []

    def again(ratio):
        return lambda name: calls.append(name) or {"peer": ratio}

    assert not recorded.check(measured, known, again(0.99))
    assert recorded.check(measured, known, again(1.01))
    assert calls == ["path", "path"]
    assert recorded.check({"path": {"peer": 1.0}}, known, again(0.0))
    assert len(calls) == 2
    assert not recorded.check({"path": {"peer": float("nan")}}, known, again(float("nan")))
    said = capsys.readouterr().out
    assert "WARNING: no recorded ratio, not checked: new" in said
    assert "SKIPPED gone" in said


def test_ratios_are_recorded_by_kernels(tmp_path):
    file = tmp_path / "recorded.json"
    machine = dict.fromkeys(("date", "commit", "dirty", "cpu", "cores", "versions"))
    recorded.save("avx2", {"path": {"a": 1.2345, "b": 2.0}}, machine, file)
    recorded.save("avx2", {"path": {"a": 3.0}, "kinship": {"c": 4.0}}, machine, file)
    recorded.save("generic", {"path": {"a": 9.0}}, machine, file)
    assert recorded.load("avx2", file) == {"path": {"a": 3.0, "b": 2.0}, "kinship": {"c": 4.0}}
    assert recorded.load("generic", file) == {"path": {"a": 9.0}}
    assert recorded.load("avx512", file) == {}


# ---- stability selection -------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[0.0, 0.05])
def plan(request):
    """With and without missing genotypes; a SNP that is constant in most half samples."""
    rng = np.random.default_rng(2)
    dosage = rng.binomial(2, 0.4, (60, 150)).astype(float)
    dosage[rng.random(dosage.shape) < request.param] = np.nan
    dosage[:, 7] = 0.0
    dosage[0, 7] = 1.0
    y = np.nan_to_num(dosage[:, 3] - dosage[:, 50]) + rng.standard_normal(60)
    return dosage, make_plan(ll.Genotypes.from_array(dosage), y, n_active=6)


def test_the_peers_loop_whitens_as_the_reference(plan):
    dosage, plan = plan
    loop = stability_loops.Loop(plan, np.float64, None)
    for r in range(4):
        X, y = loop.whitened(r, Stages())
        index = plan.draw(r)
        K, _ = ref.scale_to_unit_diagonal(plan.study.kinship.matrix[np.ix_(index, index)])
        C = np.ones((len(index), 1))
        log_delta = ref.fit_null(plan.study.y[index], K, C).log_delta
        W, M = ref.whitening(K, np.exp(log_delta), C)
        expected = M @ W @ ref.standardise(dosage[index])[0]
        # whitening is unique up to a rotation
        np.testing.assert_allclose(X.T @ X, expected.T @ expected, atol=1e-5)
        np.testing.assert_allclose(X.T @ y, expected.T @ M @ W @ plan.study.y[index], atol=1e-5)


def test_the_peers_loop_selects_what_we_select(plan):
    """With an exact solver, at the alpha at which our path ends."""
    _, plan = plan
    for r, ours in run_replicates(plan, range(4), n_jobs=1):
        alpha = ours["alphas"][-1]

        def exact(X, y, alpha=alpha):
            beta = ref.lasso_path(X, y, [2 * alpha, alpha])[:, 1]
            snps = np.flatnonzero(beta)
            return stability_loops.Last(snps, beta[snps], alpha, seconds_not_counted=0.5)

        loop = stability_loops.Loop(plan, np.float64, exact)
        snps, _, not_counted = loop.replicate(r)
        active = set()
        for change in ours["changes"]:
            active |= {snp for snp in change if snp >= 0}
            active -= {-1 - snp for snp in change if snp < 0}
        assert set(snps) == active
        assert len(active) == 6
        assert not_counted == 0.5
        assert loop.gap(r) < 1e-9


def reported(**results):
    """The report of a run that measured only these."""
    machine = dict.fromkeys(_MACHINE, "") | {"memory_gb": 1, "versions": {}, "blas": []}
    about = {"machine": machine, "options": {"repeats": 1}, "skipped": []}
    return report.markdown({**about, **results})


def test_stability_without_peers(tmp_path):
    settings = Settings(quick=True, repeats=1, scale=1.0, cache=tmp_path, threads=2)
    fileset = filesets.simulated(settings, 80, 300)
    size = stability.Size(n_replicates=4, n_active=5, n_few=2)
    result = stability.measure(settings, fileset, size, peers=[])
    rows = {row["program"]: row for row in result["rows"]}
    one, two = rows["ours, n_jobs 1"], rows["ours, n_jobs 2"]
    assert one["agreement"] == two["agreement"] == 1.0
    assert two["ratio"] == 1.0
    published = rows["published algorithm (ADMM)"]
    assert published["measured_replicates"] == 1
    assert published["seconds"] == pytest.approx(published["ratio"] * two["seconds"])
    assert len(result["eigh"]["eigh_seconds"]) == 2
    assert [row["n_jobs"] for row in result["gil"]["rows"]] == [1, 2]
    assert stability.ratios(result) == {}
    text = reported(stability=result)
    assert "## Stability selection" in text
    assert "published algorithm (ADMM)" in text


# ---- univariate scan -----------------------------------------------------------------------------


def test_scan_without_gemma(tmp_path):
    settings = Settings(quick=True, repeats=1, scale=1.0, cache=tmp_path, threads=1)
    result = scan.measure(settings, filesets.simulated(settings, 60, 200), None)
    assert [row["program"] for row in result["kinds"]] == list(scan.KINDS)
    assert "gemma" not in result
    text = reported(scan=result)
    assert "## Univariate scan" in text
    assert "GEMMA" not in text
    for row in result["kinds"]:
        assert row["seconds"] > row["stages"]["scan"] > 0
        [line] = [line for line in text.splitlines() if line.startswith(f"| {row['program']} |")]
        assert f"scan {row['stages']['scan']:.2f}" in line


def test_differences_from_gemma(tmp_path):
    """Those of beta relative to beta or its standard error, whichever is larger."""
    ours, theirs = tmp_path / "ours.tsv", tmp_path / "theirs.txt"
    ours.write_text("ID\tALLELE1\tBETA\tSE\tLOG10P\nrs1\tA\t4.0\t1.0\t3.5\nrs2\tG\t0.1\t2.0\t1\n")
    theirs.write_text(
        "rs\tallele1\tbeta\tse\tp_wald\nrs1\tA\t5.0\t1.0\t1e-3\nrs2\tG\t0.2\t1.6\t0.1\n"
    )
    n_snps, found = scan._differences(ours, theirs)
    assert n_snps == 2
    assert found == pytest.approx({"beta": 0.2, "se": 0.25, "log10_p": 0.5})
    theirs.write_text(theirs.read_text().replace("rs2\tG", "rs2\tA"))
    with pytest.raises(RuntimeError, match="other SNPs or alleles"):
        scan._differences(ours, theirs)
    row = {"seconds": 1.0, "slowest": 1.5, "peak_mb": 50.0, "core": 0.5}
    rows = [
        {"program": scan.OURS, "ratio": 1.0, "core_ratio": 1.0, "stages": {"scan": 0.5}, **row},
        {"program": scan.GEMMA, "ratio": 2.0, "core_ratio": 3.25, "stages": {"UtX": 0.4}, **row},
    ]
    compared = {"name": "mice", "n_variants": n_snps, "rows": rows, "differences": found}
    text = reported(scan={"name": "simulated", "threads": 2, "kinds": [], "gemma": compared})
    assert "| gemma -lmm 1 | 1 s (1.5) | 2.00 | 0.50 | 3.25 | 50 MB | UtX 0.40 |" in text
    assert "beta 2.0e-01, se 2.5e-01, log10_p 5.0e-01." in text


def test_report_table():
    lines = report.table(["a", "b"], [["1", "2"]]).split("\n")
    assert lines == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]

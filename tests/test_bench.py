"""The parts of bench/performance on which its verdicts rest: the gap, ADMM, recorded ratios."""

import sys
from pathlib import Path

import numpy as np
import pytest
import reference as ref

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.performance import admm, problems, recorded, report, scaling


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


def test_report_table():
    lines = report.table(["a", "b"], [["1", "2"]]).split("\n")
    assert lines == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]

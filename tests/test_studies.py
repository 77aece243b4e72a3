"""bench/accuracy: the runner of the studies, its store of finished units, and fig6."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.accuracy import __main__ as runner
from bench.accuracy import error_control, fig6
from bench.accuracy.store import Store


def test_the_store_goes_on_after_a_kill(tmp_path):
    path = tmp_path / "units.jsonl"
    store = Store(path)
    assert store.get("a") is None
    store.put("a", {"x": 0.1})
    store.put("b", {"x": [1, 2]})
    with path.open("a") as file:
        file.write('{"key": "c", "va')  # a kill while writing
    again = Store(path)
    assert again.get("a") == {"x": 0.1}
    assert again.get("b") == {"x": [1, 2]}
    assert again.get("c") is None
    again.put("c", {})
    assert len(path.read_text().splitlines()) == 3
    assert Store(path).get("c") == {}


def study(calls, stop_after=None):
    def run(quick, n_jobs, store):
        for k in range(4):
            if len(calls) == stop_after:
                raise KeyboardInterrupt
            if store.get(str(k)) is None:
                calls.append(k)
                store.put(str(k), {"value": k * k})
        return {"values": [store.get(str(k))["value"] for k in range(4)]}

    return SimpleNamespace(
        TITLE="Squares",
        run=run,
        markdown=lambda content: f"{content['values']}",
        draw=lambda content, path: path.write_text("<svg/>"),
    )


def main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["bench.accuracy", *map(str, arguments)])
    return runner.main()


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, monkeypatch):
    calls = []
    arguments = ("--only", "fig1", "--out", tmp_path / "out", "--work", tmp_path / "work")
    for stop_after in (2, None):
        monkeypatch.setattr(
            runner.importlib, "import_module", lambda name, s=stop_after: study(calls, s)
        )
        if stop_after is None:
            assert main(monkeypatch, *arguments) == 0
        else:
            with pytest.raises(KeyboardInterrupt):
                main(monkeypatch, *arguments)
            assert not (tmp_path / "out" / "fig1.md").exists()
    assert calls == [0, 1, 2, 3]
    text = (tmp_path / "out" / "fig1.md").read_text()
    assert text.startswith("# Squares\n\n[0, 1, 4, 9]\n\n(full sizes, ")
    assert json.loads((tmp_path / "out" / "fig1.json").read_text()) == {"values": [0, 1, 4, 9]}
    assert (tmp_path / "out" / "fig1.svg").exists()


@pytest.mark.parametrize("arguments", [("--quick",), ("--only", "fig9")])
def test_what_the_runner_refuses(monkeypatch, arguments, capsys):
    with pytest.raises(SystemExit):
        main(monkeypatch, *arguments)
    assert "expected" in capsys.readouterr().err


# ---- fig6 ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def content():
    rows = {name: [error_control.run_one(shared(name), k) for k in range(3)] for name in names()}
    solvers = [("lmmlasso_fast", 0.3, 1.0), ("slow", 3.0, 10.0)]
    times = [
        {"solver": name, "seconds": s, "ratio": r, "ratio_whitening_counted": r + 1}
        for name, s, r in solvers
    ]
    about = {"name": "mice", "n_samples": 100, "n_variants": 1000}
    return {"n_data": 3, "rows": rows, "times": {**about, "rows": times}}


def names():
    return fig6.SCENARIOS


def shared(name):
    number = list(error_control.SCENARIOS).index(name)
    return (error_control.SCENARIOS[name], error_control.QUICK, 0, number)


def test_errors_are_shares_of_p_values(content):
    name = names()[0]
    p = np.array([row["mixed"]["calibrated"]["p_value"] for row in content["rows"][name]])
    for row in fig6.errors(content, name):
        if row["method"] == "calibrated alpha":
            assert row["achieved"] == (p <= row["level"]).mean()
    levels = [row["level"] for row in fig6.errors(content, name)]
    assert levels == list(fig6.LEVELS) * 3


def test_table_and_figure(content, tmp_path):
    text = fig6.markdown(content)
    assert "| slow | 3 | 10 | 11 |" in text
    for method in (*fig6.FAMILY_WISE, "marginal FDR", "stability, cutoff 0.9, unimodal"):
        assert f"| families | {method}: " in text
    pytest.importorskip("matplotlib")
    for k in range(2):
        fig6.draw(content, tmp_path / f"{k}.svg")
    first, second = ((tmp_path / f"{k}.svg").read_bytes() for k in range(2))
    assert first == second
    assert 5_000 < len(first) < 100_000


def test_units_that_are_done_are_not_done_again(content, monkeypatch):
    monkeypatch.setattr(fig6, "_N_QUICK", 2)
    monkeypatch.setattr(fig6, "_times", lambda quick, n_threads: {"rows": []})
    units = {
        f"{name} {k}": row for name in names() for k, row in enumerate(content["rows"][name][:1])
    }
    done = dict(units)
    store = SimpleNamespace(get=done.get, put=done.__setitem__)
    found = fig6.run(True, 1, store)
    assert len(done) == 5
    for name in names():
        assert found["rows"][name][0] is units[f"{name} 0"]
        assert found["rows"][name] == content["rows"][name][:2]

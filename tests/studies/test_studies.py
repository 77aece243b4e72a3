"""bench/accuracy: the runner of the studies, its store of finished units, and fig6."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))

from bench.accuracy import __main__ as runner
from bench.accuracy import error_control, fig6
from bench.accuracy import store as store_module
from bench.accuracy.store import OtherRun, Store, fingerprint


def test_the_store_goes_on_after_a_kill(tmp_path):
    path = tmp_path / "units.jsonl"
    store = Store(path, "these")
    assert store.get("a") is None
    store.put("a", {"x": 0.1})
    store.put("b", {"x": [1, 2]})
    with path.open("a") as file:
        file.write('{"key": "c", "va')  # a kill while writing
    again = Store(path, "these")
    assert again.get("a") == {"x": 0.1}
    assert again.get("b") == {"x": [1, 2]}
    assert again.get("c") is None
    again.put("c", {})
    assert len(path.read_text().splitlines()) == 4
    assert Store(path, "these").get("c") == {}


def test_the_store_keeps_the_time_of_finished_units(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(store_module.time, "perf_counter", lambda: now[0])
    path = tmp_path / "units.jsonl"
    store = Store(path, "these")
    now[0] = 107.0
    store.put("a", {})
    now[0] = 109.0  # lost with a kill
    again = Store(path, "these")
    assert again.seconds == 7.0
    now[0] = 112.0
    again.put("b", {})
    assert Store(path, "these").seconds == 10.0


def test_the_store_of_another_run_is_refused_and_kept(tmp_path):
    path = tmp_path / "units.jsonl"
    Store(path, "these").put("a", {})
    before = path.read_bytes()
    with pytest.raises(OtherRun, match="delete the file"):
        Store(path, "others")
    path.write_text('{"key": "a", "value": {}}\n')  # from before there were fingerprints
    with pytest.raises(OtherRun):
        Store(path, "these")
    assert len(before.splitlines()) == 2


def test_the_fingerprint_notices_data(tmp_path):
    first = fingerprint(None)
    assert fingerprint(None) == first
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.tsv").write_text("1")
    with_data = fingerprint(tmp_path)
    assert with_data != first
    (tmp_path / "part" / "a.tsv").write_text("2")
    assert fingerprint(tmp_path) != with_data


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
    found = runner.read(tmp_path / "out" / "fig1.json.gz")
    assert found["content"] == {"values": [0, 1, 4, 9]}
    assert (tmp_path / "out" / "fig1.svg").exists()
    (tmp_path / "out" / "fig1.md").unlink()
    assert main(monkeypatch, "--redraw", *arguments, "--remark", "not of this run") == 0
    assert (tmp_path / "out" / "fig1.md").read_text() == text


def test_a_store_of_other_settings_ends_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner.importlib, "import_module", lambda name: study([]))
    arguments = ("--only", "fig1", "--out", tmp_path, "--work", tmp_path)
    assert main(monkeypatch, *arguments) == 0
    monkeypatch.setattr(runner, "fingerprint", lambda data: "another")
    assert main(monkeypatch, *arguments) == 2
    assert "delete the file" in capsys.readouterr().err


@pytest.mark.parametrize("name", runner.STUDIES)
def test_the_results_are_what_the_study_found(name):
    study = importlib.import_module(f"bench.accuracy.{name}")
    found = runner.read(runner.RESULTS / f"{name}.json.gz")
    assert found["about"]["kind"] == "full"
    assert not found["content"].get("simulated")
    assert (runner.RESULTS / f"{name}.md").read_text() == runner.page(study, found)


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

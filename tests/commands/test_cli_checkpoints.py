"""The command line: checkpoints of `stability`, interrupts and signals."""

import json
import os
import re
import shutil
import signal
import sys
import time
from importlib import import_module

import numpy as np
import pytest
from cli_files import (
    inputs,
    interrupt,
    lmmlasso,
    n_records,
    process,
    refused,
    results,
    run_json,
)

from lmmlasso_fast.cli.estimate import Refits, estimate_refits
from lmmlasso_fast.io.journal import Journal, read_journal
from lmmlasso_fast.io.kinship_files import save_kinship, write_grm
from lmmlasso_fast.kinship import Kinship

pytestmark = pytest.mark.promise("whole-files")

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


# --- checkpoints ---------------------------------------------------------------------------------


@pytest.fixture
def begun(files, monkeypatch):
    """Arguments of a run that ended after 3 of its 8 replicates, and what it would have written."""
    arguments = [*inputs(files), "--n-active", 4, "--replicates", 8]
    lmmlasso("stability", *arguments, "--out", files / "out" / "W")
    arguments += ["--out", files / "out" / "P"]
    with monkeypatch.context() as context:
        interrupt(context, "stability", after=3)
        err = lmmlasso("stability", *arguments, code=130)
    kept = f"{files / 'out' / 'P'}.stability.checkpoint is kept"
    assert f"error: interrupted; {kept}, and the same command with --resume goes on from it" in err
    assert run_json(files / "out" / "P")["exit"] == {"code": 130, "state": "interrupted"}
    assert set(results(files / "out" / "P")) == {".stability.checkpoint"}
    assert n_records(files / "out" / "P.stability.checkpoint") == 3
    return arguments, results(files / "out" / "W")


def test_resume_does_what_was_left(files, begun, monkeypatch):
    arguments, expected = begun
    module = import_module("lmmlasso_fast.cli.stability")
    run, asked = module.run_replicates, []
    monkeypatch.setattr(
        module, "run_replicates", lambda plan, tasks, n: asked.append(tasks) or run(plan, tasks, n)
    )
    done = set(read_journal(files / "out" / "P.stability.checkpoint")[3])
    err = lmmlasso("stability", *arguments, "--resume")
    assert asked == [sorted(set(range(8)) - done)]
    assert "resumed: 3 of 8 replicates were done before" in err
    assert results(files / "out" / "P") == expected  # no checkpoint any more


def test_resume_again_and_again(files, begun, monkeypatch):
    arguments, expected = begun
    for done in (4, 5, 6, 7, 8):
        with monkeypatch.context() as context:
            interrupt(context, "stability", after=1)
            lmmlasso("stability", *arguments, "--resume", code=130 if done < 8 else 0)
        if done < 8:
            assert n_records(files / "out" / "P.stability.checkpoint") == done
    assert results(files / "out" / "P") == expected


def test_resume_without_a_checkpoint(files, begun):
    arguments, expected = begun
    (files / "out" / "P.stability.checkpoint").unlink()
    err = lmmlasso("stability", *arguments, "--resume")
    assert "resumed" not in err
    assert results(files / "out" / "P") == expected
    lmmlasso("stability", *arguments, "--resume")  # after it has ended
    assert results(files / "out" / "P") == expected


def test_without_resume_a_checkpoint_is_replaced(files, begun):
    arguments, expected = begun
    err = lmmlasso("stability", *arguments)
    assert "resumed" not in err
    assert results(files / "out" / "P") == expected
    (files / "out" / "P.stability.checkpoint").write_text("of something else")
    lmmlasso("stability", *arguments)
    assert results(files / "out" / "P") == expected


def test_resume_does_not_write_over_another_file(files, begun):
    arguments, _ = begun
    (files / "out" / "P.stability.checkpoint").write_text("of something else")
    message = refused("stability", *arguments, "--resume")
    assert "P.stability.checkpoint, line 1: not a checkpoint or partial result" in message
    assert (files / "out" / "P.stability.checkpoint").read_text() == "of something else"


@pytest.mark.parametrize("flags", [["--threads", 1], ["--cutoff", 1], ["--replicates", 6]])
def test_what_may_be_different_when_resumed(files, begun, flags):
    arguments, _ = begun
    lmmlasso("stability", *arguments, *flags, "--resume")
    lmmlasso("stability", *arguments, *flags, "--out", files / "out" / "W")
    assert results(files / "out" / "P") == results(files / "out" / "W")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (["--seed", 1], "options.seed"),
        (["--eps", 0.02], "options.eps"),
        (["--maf", 0.01], "options.maf"),
        (["--penalty-factors", "whitened"], "options.penalty_factors"),
        (["--no-pairs"], "options.no_pairs"),
        (["--n-active", 5], "replicates.n_active"),
        (["--alpha", 0.1], "options.alphas"),
        (["--pheno", "two.tsv", "--pheno-name", "Y"], "inputs.pheno.size"),
        (["--covar", "c.tsv"], "inputs.covar"),
        (["--keep", "ids"], "inputs.keep"),
    ],
)
def test_resume_refuses_another_run(files, small, begun, change, field):
    arguments, _ = begun
    small.samples.select("FID", "IID").write_csv(files / "ids", separator="\t")
    before = (files / "out" / "P.stability.checkpoint").read_bytes()
    if "--alpha" in change:
        arguments = [*arguments[:4], "--replicates", 8, "--out", files / "out" / "P"]
    names = ("two.tsv", "c.tsv", "ids")
    change = [files / part if part in names else part for part in change]
    message = refused("stability", *arguments, *change, "--resume")
    assert f"P.stability.checkpoint: the checkpoint of another run, field '{field}" in message
    assert re.search("expected .*, found .*; use the same input and options", message)
    assert (files / "out" / "P.stability.checkpoint").read_bytes() == before


def test_resume_refuses_changed_inputs(files, begun):
    arguments, _ = begun
    text = (files / "y.tsv").read_text()
    digit = text[-3]
    (files / "y.tsv").write_text(f"{text[:-3]}{(int(digit) + 1) % 10}{text[-2:]}")
    message = refused("stability", *arguments, "--resume")
    assert "the checkpoint of another run, field 'inputs.pheno.sha256': expected" in message


@pytest.mark.parametrize("flag", ["--kinship", "--grm"])
def test_resume_refuses_another_kinship(files, small, other, monkeypatch, flag):
    for name in ("half.npz", "half.grm.bin", "half.grm.id", "half.grm.N.bin"):
        shutil.copy(small.folder / name, files)
    given = [flag, files / ("half.npz" if flag == "--kinship" else "half")]
    arguments = [*inputs(files), *given, "--n-active", 3, "--replicates", 4]
    arguments += ["--out", files / "out" / "P"]
    with monkeypatch.context() as context:
        interrupt(context, "stability", after=1)
        lmmlasso("stability", *arguments, code=130)
    K = Kinship.from_matrix(small.kinship.matrix, samples=small.kinship.samples)
    save_kinship(K, files / "half.npz")
    write_grm(K, files / "half")
    message = refused("stability", *arguments, "--resume")
    assert "the checkpoint of another run, field 'inputs.kinship.0." in message
    assert "resumed" not in lmmlasso("stability", *arguments)


def test_files_count_by_what_they_are_for(files, monkeypatch):
    """Not by their name: the halves of a list, or two tables of one name, are not the same."""
    text = (files / "g.bim").read_text().splitlines()
    (files / "half").write_text("\n".join(line.split("\t")[1] for line in text[::2]) + "\n")
    base = [*inputs(files), "--n-active", 3, "--replicates", 4, "--out", files / "out" / "P"]
    with monkeypatch.context() as context:
        interrupt(context, "stability", after=1)
        lmmlasso("stability", *base, "--extract", files / "half", code=130)
    message = refused("stability", *base, "--exclude", files / "half", "--resume")
    assert "field 'inputs.exclude': expected " in message
    assert "found no such field" in message

    (files / "more").mkdir()
    shutil.copy(files / "c.tsv", files / "more" / "y.tsv")
    base += ["--covar", files / "more" / "y.tsv"]
    with monkeypatch.context() as context:
        interrupt(context, "stability", after=1)
        lmmlasso("stability", *base, code=130)
    for name, role in ((files / "y.tsv", "pheno"), (files / "more" / "y.tsv", "covar")):
        before = name.read_text()
        name.write_text(before.replace("\n", "\n\n", 1))
        message = refused("stability", *base, "--resume")
        assert f"field 'inputs.{role}.size': expected " in message
        name.write_text(before)
    lmmlasso("stability", *base, "--resume")


def test_resume_with_files_that_were_moved(files, begun):
    arguments, expected = begun
    (files / "moved").mkdir()
    for name in ("g.bed", "g.bim", "g.fam", "y.tsv"):
        (files / name).rename(files / "moved" / name.replace("g.", "h."))
    moved = ["--bfile", files / "moved" / "h", "--pheno", files / "moved" / "y.tsv"]
    err = lmmlasso("stability", *moved, *arguments[4:], "--resume")
    assert "resumed: 3 of 8" in err
    assert results(files / "out" / "P") == expected


def test_a_full_disk_keeps_what_was_done(files, begun, monkeypatch):
    arguments, expected = begun
    from lmmlasso_fast.errors import OutputError

    def full(*_):
        raise OutputError("P.selected.tsv: cannot be written: no space")

    with monkeypatch.context() as context:
        context.setattr(import_module("lmmlasso_fast.cli.stability"), "write_table", full)
        lmmlasso("stability", *arguments, "--resume", code=5)
    assert set(results(files / "out" / "P")) == {".stability.checkpoint"}
    assert n_records(files / "out" / "P.stability.checkpoint") == 8
    assert "resumed: 8 of 8" in lmmlasso("stability", *arguments, "--resume")
    assert results(files / "out" / "P") == expected


@pytest.mark.parametrize("command", ["stability", "cv"])
def test_memory_counts_those_at_work(small, tmp_path, monkeypatch, command):
    """Of what runs at a time, each task has matrices of its own."""
    found = {}
    for workers in (1, 3, 1000):
        monkeypatch.setattr(
            import_module("lmmlasso_fast.cli.recording"), "as_n_jobs", lambda _, n=workers: n
        )
        flags = {"stability": ["--replicates", 600], "cv": ["--folds", 60, "--repeats", 10]}[
            command
        ]
        with monkeypatch.context() as context:
            interrupt(context, command, after=0)
            err = lmmlasso(command, *small.base, *flags, "--out", tmp_path / "P", code=130)
        [first, tasks] = re.findall(r"estimated: (.*)\n", err)
        found[workers] = int(re.search(r"and (\d+) MB of memory", first)[1])
        assert " for 600 " in tasks
    share = {"stability": 0.5, "cv": 59 / 60}[command]
    matrices = 8e-6 * 6 * (share * 90) ** 2  # a few of the size of the part
    assert found[1] < found[3] <= found[1] + 20
    assert found[1000] - found[1] > 599 * matrices  # no more at a time than there are tasks
    assert found[1000] - found[1] < 599 * 4 * matrices


def test_estimates_of_memory():
    """As measured, and a little more: megabytes at the peak, with one worker and with two."""
    for n, p, refits, one, two in (
        (1400, 11_000, Refits(8, 0.5, 20), 174, 197),
        (1400, 11_000, Refits(4, 0.75), 228, 302),
        (3000, 20_000, Refits(8, 0.5, 20), 353, 436),
        (3000, 20_000, Refits(8, 0.5, 300), 380, 473),
        (3000, 20_000, Refits(4, 0.75), 661, 969),
        (300, 400_000, Refits(8, 0.5, 20), 280, 378),
        (300, 400_000, Refits(4, 0.75), 314, 427),
    ):
        for workers, measured in ((1, one), (2, two)):
            found = estimate_refits(n, p, refits, workers=workers)
            assert measured < found < 1.5 * measured


# --- signals -------------------------------------------------------------------------------------

#: Arguments that take two seconds on a machine with nothing else to do, and their tasks.
LONG = {
    "stability": (["--replicates", 200], 200),
    "cv": (["--folds", 40, "--repeats", 2, "--n-alphas", 60], 80),
}


def wait_for(child, checkpoint, n):
    """Wait until a run has so many tasks in its checkpoint, or has ended."""
    while child.poll() is None and n_records(checkpoint) < n:
        time.sleep(0.002)


@posix
@pytest.mark.parametrize("command", LONG)
def test_killed_at_random_moments(small, tmp_path, command):
    """kill -9 leaves nothing half-written, and in the end there are the bytes of one run.

    LMMLASSO_KILLS is the number of kills.
    """
    flags, n_tasks = LONG[command]
    lmmlasso(command, *small.base, *flags, "--threads", 1, "--out", tmp_path / "W")
    expected = results(tmp_path / "W")
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "P"
    suffix = f".{command}.checkpoint"
    checkpoint = tmp_path / "out" / f"P{suffix}"
    n_kills = int(os.environ.get("LMMLASSO_KILLS", 3))
    rng = np.random.default_rng([n_kills, len(command)])
    killed = 0
    for k in range(n_kills):
        child = process(command, *small.base, *flags, "--resume", "--out", out)
        before = n_records(checkpoint)
        if k % 4 == 3:  # while it begins, too
            time.sleep(rng.uniform(0, 1))
        else:  # about an even share of what is left, and a little further
            share = rng.uniform() * 2 / (n_kills - k + 1)
            wait_for(child, checkpoint, before + share * (n_tasks - before))
            time.sleep(rng.uniform(0, 0.02))
        child.send_signal(signal.SIGKILL)
        _, err = child.communicate()
        assert child.returncode in (0, -signal.SIGKILL), err
        killed += child.returncode != 0
        found = results(out)
        assert found.keys() <= {suffix} or {**found, **expected} == found
        if suffix in found:
            assert n_records(checkpoint) >= before
    assert killed > 0
    lmmlasso(command, *small.base, *flags, "--resume", "--out", out)
    assert results(out) == expected
    if sys.platform == "linux":  # elsewhere it is not known who wrote a file that is left
        assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.promise("interrupts")
@posix
@pytest.mark.parametrize(
    ("number", "code", "state"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signals_keep_the_checkpoint(small, tmp_path, number, code, state):
    flags = ["--replicates", 20_000, "--n-active", 2]
    child = process("stability", *small.base, *flags, "--out", tmp_path / "P")
    wait_for(child, tmp_path / "P.stability.checkpoint", 5)
    child.send_signal(number)
    _, err = child.communicate(timeout=10)
    assert child.returncode == code, err
    assert f"error: {state}; {tmp_path / 'P'}.stability.checkpoint is kept" in err
    assert "Traceback" not in err
    assert set(results(tmp_path / "P")) == {".stability.checkpoint"}
    assert json.loads((tmp_path / "P.run.json").read_text())["exit"]["state"] == state
    n = n_records(tmp_path / "P.stability.checkpoint")
    assert 4 <= n < 20_000  # of 5: one that is being written when the signal comes is cut off
    # nothing is torn, and a run of fewer replicates goes on with it
    fewer = ["--replicates", n + n % 2 + 2, "--n-active", 2]
    err = lmmlasso("stability", *small.base, *fewer, "--resume", "--out", tmp_path / "P")
    assert "resumed: " in err
    lmmlasso("stability", *small.base, *fewer, "--out", tmp_path / "W")
    assert results(tmp_path / "P") == results(tmp_path / "W")


@posix
def test_the_checkpoint_of_another_run_stays(files, monkeypatch):
    """Which began after this one, under the same name."""
    checkpoint = files / "out" / "P.stability.checkpoint"
    module = import_module("lmmlasso_fast.cli.stability")
    run = module.run_replicates

    def overtaken(*arguments):
        with Journal.create(checkpoint, "stability", {"of": "another run"}, {}) as journal:
            journal.append(0, {})
        return run(*arguments)

    monkeypatch.setattr(module, "run_replicates", overtaken)
    arguments = [*inputs(files), "--n-active", 3, "--replicates", 4]
    lmmlasso("stability", *arguments, "--out", files / "out" / "P")
    assert read_journal(checkpoint)[3] == {0: {}}
    assert ".stability.tsv" in results(files / "out" / "P")


def test_partial_results_are_not_replaced_without_a_word(small, tmp_path):
    arguments = [*small.base, "--partial", "--n-active", 3, "--out", tmp_path / "P"]
    lmmlasso("stability", *arguments, "--replicates", "0:4")
    before = (tmp_path / "P.partial").read_bytes()
    message = lmmlasso("stability", *arguments, "--replicates", "4:6", code=3)
    assert "found one with 4 finished tasks; add --resume" in message
    assert (tmp_path / "P.partial").read_bytes() == before


def test_damaged_results_are_not_replaced_without_a_word(small, tmp_path):
    arguments = [*small.base, "--partial", "--n-active", 3, "--out", tmp_path / "P"]
    lmmlasso("stability", *arguments, "--replicates", "0:2")
    content = bytearray((tmp_path / "P.partial").read_bytes())
    content[content.index(b"\n") + 20] ^= 1
    (tmp_path / "P.partial").write_bytes(content)
    message = refused("stability", *arguments, "--replicates", "2:4")
    assert "P.partial: expected no such file, found one with what cannot be read (" in message
    assert "line 2: a damaged line" in message
    assert "; move it away, or choose another --out" in message
    assert (tmp_path / "P.partial").read_bytes() == content
    # one that was never begun is none, and a checkpoint is worth a warning
    (tmp_path / "P.partial").write_bytes(b"")
    lmmlasso("stability", *arguments, "--replicates", "2:4")
    (tmp_path / "C.stability.checkpoint").write_bytes(content)
    whole = [*small.base, "--replicates", 2, "--n-active", 3, "--out", tmp_path / "C"]
    err = lmmlasso("stability", *whole)
    assert "warning: " in err
    assert "C.stability.checkpoint: replaced; it had what cannot be read (" in err

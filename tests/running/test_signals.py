"""Signals at the wrong moment: held, answered with the documented code, nothing half done."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

import pytest
from blas import blas_threads
from cli_files import lmmlasso, results, run_json

from lmmlasso_fast import cli, threads
from lmmlasso_fast.cli import recording
from lmmlasso_fast.io import atomic
from lmmlasso_fast.signals import answering, held

pytestmark = [
    pytest.mark.promise("interrupts"),
    pytest.mark.skipif(os.name == "nt", reason="signals of POSIX"),
]
CODES = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}


@pytest.fixture(autouse=True)
def _ctrl_c_raises():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


# ---- held ----------------------------------------------------------------------------------------


def test_a_signal_takes_effect_at_the_end():
    done = []

    def work():
        with held():
            signal.raise_signal(signal.SIGINT)
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]


def test_both_signals_and_blocks_within_blocks():
    class Terminated(BaseException):
        pass

    def handler(*_):
        raise Terminated

    def work():
        with held():
            with held():
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGINT)
                done.append(1)
            done.append(2)

    before = signal.signal(signal.SIGTERM, handler)
    done = []
    try:
        with pytest.raises((KeyboardInterrupt, Terminated)):
            work()
        assert done == [1, 2]
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_that_is_ignored_stays_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_who_starts_a_command_may_have_it_ignore_sigterm():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with answering():
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_have_none_to_hold():
    done = []

    def work():
        with held():
            done.append(signal.getsignal(signal.SIGINT))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(60)
    assert done == [signal.default_int_handler]


# ---- what is undone however it ends --------------------------------------------------------------


def interrupted_everywhere(work, check):
    """Call work() with Ctrl-C at its first moment, its second, ...; returns how many there were.

    Python looks for signals where a function of Python begins and where one of C has returned:
    there a profiler is called.
    """
    moment = 0
    while True:
        moment += 1
        left = moment

        def profile(_frame, event, _):
            nonlocal left
            if event in ("call", "c_return"):
                left -= 1
                if left == 0:
                    signal.raise_signal(signal.SIGINT)

        sys.setprofile(profile)
        try:
            work()
            sys.setprofile(None)
        except KeyboardInterrupt:  # which has ended the profile
            pass
        check(moment)
        if left > 0:
            return moment - 1


def test_the_cap_on_blas_is_lifted_wherever_ctrl_c_comes(two_threads, tally):
    def work():
        with threads.blas_cap(1):
            pass

    def check(moment):
        assert not threads._regions, moment
        assert blas_threads() == two_threads, moment

    work()
    tally(cases=interrupted_everywhere(work, check))


def test_an_estimator_can_be_fitted_again_wherever_ctrl_c_comes(tally):
    estimators = import_module("lmmlasso_fast.estimators")
    model = estimators.LMMLasso()

    def work():
        with estimators._one_at_a_time(model):
            pass

    def check(moment):
        assert not estimators._fitting, moment

    tally(cases=interrupted_everywhere(work, check))


# ---- commands ------------------------------------------------------------------------------------


def raising(function, number, calls=()):
    """The function, which has a signal arrive at the end of each call, or of some."""
    count = []

    def wrapped(*arguments, **options):
        result = function(*arguments, **options)
        count.append(1)
        if not calls or len(count) in calls:
            signal.raise_signal(number)
        return result

    return wrapped


@pytest.mark.parametrize("number", CODES)
def test_between_two_files(small, tmp_path, monkeypatch, number):
    """All of them appear, as none could be taken back; the code says that it was stopped."""
    monkeypatch.setattr(atomic.os, "replace", raising(os.replace, number, calls=[2]))
    code, state = CODES[number]
    err = lmmlasso("fit", *small.base, "--out", tmp_path / "P", code=code)
    assert f"error: {state}" in err
    assert results(tmp_path / "P") == results(small.plain)
    assert run_json(tmp_path / "P")["exit"] == {"code": code, "state": state}


@pytest.mark.parametrize("number", CODES)
def test_while_the_record_is_written(small, tmp_path, monkeypatch, number):
    """The run is over by then, as its record says."""
    monkeypatch.setattr(recording, "write_json", raising(recording.write_json, number))
    lmmlasso("fit", *small.base, "--out", tmp_path / "P")
    assert results(tmp_path / "P") == results(small.plain)
    assert run_json(tmp_path / "P")["exit"] == {"code": 0, "state": "ok"}


@pytest.mark.parametrize("number", CODES)
def test_while_inputs_are_hashed(small, tmp_path, monkeypatch, number):
    """A file of many gigabytes takes minutes: the results of hours do not wait for that."""
    hashed = raising(recording.file_fingerprint, number, calls=[1])
    monkeypatch.setattr(recording, "file_fingerprint", hashed)
    code, state = CODES[number]
    err = lmmlasso("fit", *small.base, "--out", tmp_path / "P", code=code)
    assert f"error: {state}; the result files are there\n" in err
    assert results(tmp_path / "P") == results(small.plain)
    found = run_json(tmp_path / "P")
    assert found["exit"] == {"code": code, "state": state}
    assert sorted(f".{suffix}" for suffix in found["outputs"]) == sorted(results(tmp_path / "P"))
    assert {item.get("error") for item in found["inputs"]} == {"not read before the end"}


def test_while_inputs_of_a_failed_run_are_hashed(small, tmp_path, monkeypatch):
    hashed = raising(recording.file_fingerprint, signal.SIGINT, calls=[1])
    monkeypatch.setattr(recording, "file_fingerprint", hashed)
    lmmlasso("fit", *small.base, "--pheno-name", "absent", "--out", tmp_path / "P", code=3)
    assert run_json(tmp_path / "P")["exit"]["code"] == 3


@pytest.mark.parametrize("number", CODES)
def test_while_the_record_is_written_and_a_report_is_left(small, tmp_path, monkeypatch, number):
    """There is something left to do, and it is not done."""
    monkeypatch.setattr(recording, "write_json", raising(recording.write_json, number, calls=[1]))
    code, state = CODES[number]
    arguments = ["run", *small.base, "--steps", "null", "--out", tmp_path / "P"]
    err = lmmlasso(*arguments, code=code)
    assert f"error: {state}; the result files are there, the report is not" in err
    assert run_json(tmp_path / "P")["exit"] == {"code": code, "state": state}
    assert not (tmp_path / "P.report.html").exists()


@pytest.mark.parametrize("number", CODES)
def test_before_the_record_of_a_failed_run(small, tmp_path, monkeypatch, number):
    """Errors are recorded whatever comes after them."""
    finish = raising(recording.Run.fingerprints, number)
    monkeypatch.setattr(recording.Run, "fingerprints", finish)
    lmmlasso("fit", *small.base, "--pheno-name", "absent", "--out", tmp_path / "P", code=3)
    assert run_json(tmp_path / "P")["exit"]["code"] == 3


#: The script; says when the record is there, and when one of its files is read or hashed.
PROGRAM = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from lmmlasso_fast.cli import program, recording
write = recording.write_json
def and_say(*arguments):
    write(*arguments)
    os.write(2, b"recorded\\n")
recording.write_json = and_say
program()
"""


@pytest.mark.parametrize("arguments", [["null"], ["null", "--pheno-name", "absent"]])
def test_after_the_record(small, tmp_path, arguments, tally):
    """However many signals come while Python ends, the exit code is what was recorded."""
    command = [sys.executable, "-c", PROGRAM, *arguments[:1], *map(str, small.base)]
    command += [*arguments[1:], "--out", str(tmp_path / "P")]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    sent, said = 0, []
    try:
        for line in child.stderr:
            said.append(line)
            if line == "recorded\n":
                break
        while child.poll() is None:
            child.send_signal((signal.SIGINT, signal.SIGTERM)[sent % 2])
            sent += 1
            time.sleep(0.0005)
        said.append(child.stderr.read())
    finally:
        child.kill()
        child.communicate()
    said = "".join(said)
    assert sent > 3
    assert "recorded" in said
    assert child.returncode == run_json(tmp_path / "P")["exit"]["code"], said
    assert child.returncode == (3 if "absent" in arguments else 0)
    assert "Traceback" not in said
    assert "ignored" not in said
    tally(cases=sent)


def test_while_a_generator_is_left(tmp_path, monkeypatch):
    """Python prints what is raised while it closes a generator of its own accord."""
    module = import_module("lmmlasso_fast.cli.simulate")
    monkeypatch.setattr(recording, "available_threads", lambda: 2)
    monkeypatch.setattr(module.PhenotypeStream, "add", raising(lambda *_: None, signal.SIGINT))
    executor = threads.ThreadPoolExecutor
    end = raising(executor.__exit__, signal.SIGINT)  # Polars may have passed on a signal twice
    monkeypatch.setattr(executor, "__exit__", end)
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    size = ["--n-samples", 300, "--n-variants", 50_000, "--threads", 2]
    lmmlasso("simulate", *size, "--out", tmp_path / "P", code=130)
    assert not printed


@pytest.mark.parametrize("number", CODES)
def test_while_the_report_is_written(small, tmp_path, monkeypatch, number):
    module = import_module("lmmlasso_fast.cli.run")
    monkeypatch.setattr(module, "write_report", raising(module.write_report, number))
    code, state = CODES[number]
    arguments = ["run", *small.base, "--steps", "null", "--out", tmp_path / "P"]
    err = lmmlasso(*arguments, code=code)
    assert f"error: {state}; the result files are there, the report is not" in err
    assert json.loads((tmp_path / "P.run.json").read_text())["exit"]["code"] == code


def test_while_a_command_is_imported(small, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "import_module", raising(cli.import_module, signal.SIGINT))
    err = lmmlasso("fit", *small.base, "--out", tmp_path / "P", code=130)
    assert err == "error: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_while_a_class_gets_its_names(small, tmp_path, monkeypatch):
    """Python 3.11 turns what is raised there into a RuntimeError, whose cause it is."""

    class Name:
        def __set_name__(self, owner, name):
            raise KeyboardInterrupt

    def import_module(name):
        type("Class", (), {"name": Name()})

    monkeypatch.setattr(cli, "import_module", import_module)
    err = lmmlasso("fit", *small.base, "--out", tmp_path / "P", code=130)
    assert err == "error: interrupted\n"


def test_a_panic_of_another_language_is_an_internal_error(small, tmp_path, monkeypatch):
    class Panic(BaseException):
        """As those of Polars."""

    def panic(*_, **__):
        raise Panic("no threads")

    monkeypatch.setattr(import_module("lmmlasso_fast.cli.fit"), "lasso_path", panic)
    err = lmmlasso("fit", *small.base, "--out", tmp_path / "P", code=70)
    assert "internal error: Panic('no threads')" in err
    assert run_json(tmp_path / "P")["exit"]["code"] == 70


# ---- calls ---------------------------------------------------------------------------------------


def test_workers_stop_when_ctrl_c_comes_while_others_start(monkeypatch):
    """Else those that had begun would do all of the work, and the process would wait for them."""
    start, begun, go_on = threading.Thread.start, [], threading.Event()
    done = []

    def interrupted(self):
        begun.append(self)
        if len(begun) == 2:
            raise KeyboardInterrupt
        start(self)

    def work(k):
        done.append(k)
        assert go_on.wait(60)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        threads.for_each(work, 1000, 3)
    go_on.set()
    begun[0].join(60)
    assert len(done) <= 1


def test_ctrl_c_while_others_are_waited_for():
    """What they are at ends before the call does: nothing is said or written after the end."""
    main, begun, done = threading.main_thread(), threading.Event(), []

    def work(k):
        if threading.current_thread() is main:
            assert begun.wait(60)
            return
        begun.set()
        time.sleep(0.05)  # until the other one waits
        signal.pthread_kill(main.ident, signal.SIGINT)
        time.sleep(0.1)
        done.append(k)

    with pytest.raises(KeyboardInterrupt):
        threads.for_each(work, 2, 2)
    assert len(done) == 1


def test_ranges_are_cut_into_steps(monkeypatch):
    """A signal waits for one step, not for a file of gigabytes."""
    monkeypatch.setattr(threads, "_STEP_BYTES", 1000)
    parts = []
    for n_threads in (1, 2, 3):
        parts.clear()
        threads.over_ranges(lambda *part: parts.append(part), 57, n_threads, 99)
        assert sorted(k for part in parts for k in range(*part)) == list(range(57))
        assert max(stop - start for start, stop in parts) == 10

    def fail(start, stop):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        threads.over_ranges(fail, 57, 2, 99)


def test_the_steps_do_not_show_in_genotypes(small, monkeypatch):
    import numpy as np

    import lmmlasso_fast as ll
    from lmmlasso_fast.dosage import DosageGenotypes

    def passes(genotypes):
        part = genotypes.subset(np.arange(0, genotypes.n_samples, 2))
        v = np.linspace(-1, 1, part.n_samples)
        found = [part.gradient(v, n_threads=2), part.mean, part.sd, part.sample_missing_rate()]
        return [array.tobytes() for array in (*found, *part.duplicate_pairs())]

    def both():
        genotypes = ll.read_plink(Path(small.prefix))
        D = genotypes.dosages(np.arange(genotypes.n_variants)).astype(float)
        D[D < 0] = np.nan
        return passes(genotypes), passes(DosageGenotypes.from_dosages(D))

    whole = both()
    monkeypatch.setattr(threads, "_STEP_BYTES", 100)
    assert both() == whole

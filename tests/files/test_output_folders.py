"""Places where results cannot go, or go by another way; and two runs that want the same one."""

import errno
import os
import re
import signal
import subprocess
import sys

import pytest
from cli_files import interrupt, lmmlasso, log, process, results, run_json
from faults import temporaries

from lmmlasso_fast.io import locks
from lmmlasso_fast.io.locks import NoLocksError, hold

pytestmark = [
    pytest.mark.promise("whole-files"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs mounts, users and locks of Linux"),
]

FLAGS = {
    "fit": ["--n-alphas", 5],
    "cv": ["--n-alphas", 5, "--folds", 3],
    "stability": ["--replicates", 4, "--n-active", 3],
    "run": ["--n-alphas", 5, "--folds", 2, "--replicates", 2, "--n-active", 3],
}


def arguments(small, command, out):
    return [command, *small.base, "--threads", 1, *FLAGS[command], "--out", out]


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def disk(tmp_path):
    """Another file system, a small one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4M", "none", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        pytest.skip(f"NOT TESTED here, mounting needs root: {reason}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


# --- folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", FLAGS)
def test_a_read_only_file_system(small, disk, command):
    """Nothing there changes, not even the log of the run before."""
    (disk / "P.coef.tsv").write_text("old")
    (disk / "P.log").write_text("old")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    err = lmmlasso(*arguments(small, command, disk / "P"), code=5)
    assert re.search(r"error: \S+/P\.log: cannot be written: Read-only file system", err)
    assert {path.name: path.read_text() for path in disk.iterdir()} == {
        "P.coef.tsv": "old",
        "P.log": "old",
    }


def test_a_folder_of_somebody_else(small, out):
    """Where the log may be written and nothing else, the error names a result."""
    without = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if os.geteuid():
        without = []
        out.chmod(0o555)
    else:
        try:
            subprocess.run([*without, "true"], check=True, capture_output=True)
            os.chown(out, 65534, 65534)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"NOT TESTED here, root cannot give up its rights: {error}")

    def run():
        program = "from lmmlasso_fast.cli import program; program()"
        command = [*without, sys.executable, "-c", program]
        command += map(str, arguments(small, "fit", out / "P"))
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.returncode == 5, ended.stderr
        assert "Traceback" not in ended.stderr
        return ended.stderr

    assert "P.log: cannot be written: Permission denied" in run()
    assert list(out.iterdir()) == []
    out.chmod(0o755)
    (out / "P.log").touch()
    (out / "P.log").chmod(0o666)
    (out / "P.coef.tsv").write_text("old")
    if os.geteuid():
        out.chmod(0o555)
    err = run()
    out.chmod(0o755)
    assert re.search(r"error: \S+/P\.\S+\.tsv: cannot be written: .*Permission denied", err)
    assert re.search(r"error: \S+/P\.run\.json: cannot be written: .*Permission denied", err)
    assert {path.name for path in out.iterdir()} == {"P.log", "P.coef.tsv"}
    assert (out / "P.coef.tsv").read_text() == "old"


@pytest.mark.parametrize("command", FLAGS)
@pytest.mark.parametrize("place", ["absent/P", "file/P", "loop/P"])
def test_no_folder(small, out, command, place):
    (out / "file").write_text("")
    (out / "loop").symlink_to("loop")
    before = sorted(path.name for path in out.iterdir())
    err = lmmlasso(*arguments(small, command, out / place), code=5)
    assert re.search(r"error: .*P\.log: cannot be written: .*its folder must exist", err)
    assert sorted(path.name for path in out.iterdir()) == before


@pytest.mark.parametrize("command", ["cv"])
def test_out_that_is_a_folder(small, out, command):
    """P may be a folder: the results are beside it."""
    (out / "P").mkdir()
    lmmlasso(*arguments(small, command, out / "P"))
    assert list((out / "P").iterdir()) == []
    assert results(out / "P")
    assert lmmlasso(*arguments(small, command, f"{out / 'P'}/"), code=2)


@pytest.mark.parametrize("command", ["cv", "run"])
def test_another_file_system(small, out, disk, command):
    """The same bytes as elsewhere."""
    lmmlasso(*arguments(small, command, out / "P"))
    lmmlasso(*arguments(small, command, disk / "P"))
    assert results(disk / "P") == results(out / "P")
    assert temporaries(disk) == []


@pytest.mark.parametrize("command", ["stability", "run"])
def test_results_that_are_links(small, out, disk, command):
    """To a file elsewhere, to none, and to themselves: the first two stay links."""
    lmmlasso(*arguments(small, command, out / "Q"))
    expected = results(out / "Q")
    names = sorted(expected)
    there, absent, loop = (out / f"P{name}" for name in names[:3])
    (disk / "there").write_text("old")
    there.symlink_to(disk / "there")
    absent.symlink_to(disk / "absent")
    loop.symlink_to(loop.name)
    (out / "P.log").symlink_to(disk / "log")
    lmmlasso(*arguments(small, command, out / "P"))
    assert results(out / "P") == expected
    assert there.is_symlink()
    assert absent.is_symlink()
    assert (disk / "there").read_bytes() == expected[names[0]]
    assert log(out / "P") == (disk / "log").read_text()
    assert temporaries(disk) == temporaries(out) == []


# --- two runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["fit", "stability", "run"])
def test_a_second_run_is_refused(small, out, command):
    """While a first one, of whatever command, has this --out; nothing of its files changes."""
    first = process(*small_long(small, out / "P"))
    for line in first.stderr:
        if line.startswith("null model"):
            break
    before = {path.name for path in out.iterdir()}
    said = log(out / "P")
    resume = ["--resume"] if command != "fit" else []
    err = lmmlasso(*arguments(small, command, out / "P"), *resume, code=5)
    assert re.fullmatch(
        rf"error: {out}/P\.log: in use: expected no other run with this --out, found one that is "
        r"under way; wait until it has ended, or choose another --out\n",
        err,
    )
    assert {path.name for path in out.iterdir()} == before
    assert log(out / "P").startswith(said)
    lmmlasso(*arguments(small, command, out / "P2"))  # of another --out
    first.send_signal(signal.SIGKILL)
    first.communicate()
    lmmlasso(*arguments(small, command, out / "P"), *resume)  # the lock is gone with it
    assert results(out / "P") == results(out / "P2")


def small_long(small, out):
    """A run that takes minutes."""
    return ["fit", *small.base, "--out", out, "--n-alphas", 400_000, "--eps", 1e-3]


@pytest.mark.parametrize("command", ["fit", "stability"])
def test_at_the_same_time(small, out, command, tally):
    """Of three runs that begin together one at least ends well, and its files are whole."""
    lmmlasso(*arguments(small, command, out / "Q"))
    resume = ["--resume"] if command != "fit" else []
    together = [process(*arguments(small, command, out / "P"), *resume) for _ in range(3)]
    errors = [child.communicate()[1] for child in together]
    codes = sorted(child.returncode for child in together)
    assert codes[0] == 0
    assert set(codes) <= {0, 5}, errors
    for child, err in zip(together, errors, strict=True):
        assert (": in use: " in err) == (child.returncode == 5)
    assert results(out / "P") == results(out / "Q")
    assert run_json(out / "P")["exit"]["code"] == 0
    tally(cases=3)


def test_the_report_belongs_to_the_run(small, out, monkeypatch):
    """`run` lets go of --out only when its report is there."""
    module = sys.modules.get("lmmlasso_fast.cli.run") or __import__(
        "lmmlasso_fast.cli.run", fromlist=["run"]
    )
    seen = []

    def write_report(prefix):
        seen.append(lmmlasso(*arguments(small, "fit", out / "P"), code=5))
        return "the report"

    monkeypatch.setattr(module, "write_report", write_report)
    lmmlasso(*arguments(small, "run", out / "P"))
    assert len(seen) == 1
    assert ": in use: " in seen[0]
    lmmlasso(*arguments(small, "fit", out / "P"))


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_drive_without_locks(small, out, monkeypatch, code):
    """Some network drives: the run says so, and goes on."""
    import fcntl

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with open(out / "x", "w") as file, pytest.raises(NoLocksError):
        hold(file.fileno())
    err = lmmlasso(*arguments(small, "fit", out / "P"))
    assert f"P.log: cannot be locked here ({os.strerror(code)}): start no second run with" in err
    assert "cannot be locked here" in log(out / "P")


def test_a_system_without_locks(out, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with open(out / "x", "w") as file:
        assert locks.hold(file.fileno())


def test_a_lock_ends_with_the_file(out):
    with open(out / "x", "w") as first, open(out / "x", "a") as second:
        assert hold(first.fileno())
        assert not hold(second.fileno())
        first.close()
        assert hold(second.fileno())


HOLDING = """
import os, sys

def process(_, task):
    return os.getpid()

def workers(kind):
    if kind == "loky":
        from joblib import Parallel, delayed
        return set(Parallel(n_jobs=2)(delayed(process)(None, k) for k in range(8)))
    if kind == "dask":
        from distributed import Client, LocalCluster
        global cluster
        cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0")
        return set(Client(cluster).run(os.getpid).values())
    child = os.fork()
    if child == 0:
        os.read(0, 1)
        os._exit(0)
    return {child}

if __name__ == "__main__":
    from lmmlasso_fast.io.locks import hold
    file = open(sys.argv[1], "a")
    assert hold(file.fileno())
    print(*workers(sys.argv[2]), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("workers", ["loky", "dask", "fork"])
def test_workers_do_not_keep_the_lock(out, workers):
    """It ends with the process that took it, while its workers may go on; a bare fork has it."""
    if workers == "dask":
        pytest.importorskip("distributed")
    (out / "holding.py").write_text(HOLDING)
    program = [sys.executable, str(out / "holding.py"), str(out / "lock"), workers]
    child = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pids = []
    try:
        pids += [int(pid) for pid in child.stdout.readline().split()]
        assert pids
        assert child.pid not in pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)  # they would end with their parent
        child.kill()
        child.wait()
        with open(out / "lock", "a") as file:
            assert hold(file.fileno()) == (workers != "fork")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def test_an_interrupted_run_lets_go(small, out, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, "stability", after=2)
        lmmlasso(*arguments(small, "stability", out / "P"), code=130)
    lmmlasso(*arguments(small, "stability", out / "P"), "--resume")


def test_a_report_that_cannot_be_written_is_in_the_record(small, out):
    """It is written after P.run.json, which must not say that all went well."""
    (out / "P.report.html").mkdir()
    err = lmmlasso(*arguments(small, "run", out / "P"), code=5)
    assert "P.report.html: cannot be written: expected a regular file" in err
    assert run_json(out / "P")["exit"]["code"] == 5
    assert "P.report.html" in run_json(out / "P")["exit"]["state"]
    assert "(exit code 5" in log(out / "P").splitlines()[-1]

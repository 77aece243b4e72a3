"""kill -9 at every operation on a file, and at random moments: what is there is whole, and a
resumed run gives the bytes of one that nobody disturbed."""

import shutil
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from cli_files import RECORDS, report_without_times, tiny_fileset
from faults import files_of, forks, temporaries

pytestmark = [
    pytest.mark.promise("whole-files"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs fork and /proc"),
]

#: How often a moment is drawn anew, always earlier, because the run had ended before the kill.
ATTEMPTS = 20
COMMANDS = {
    "stability": ["stability", "--replicates", 4, "--n-active", 3],
    "cv": ["cv", "--folds", 3, "--n-alphas", 8, "--eps", 0.2],
    "run": [
        *("run", "--folds", 2, "--n-alphas", 6, "--eps", 0.3, "--replicates", 2, "--n-active", 3),
    ],
}


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A small fileset, and for each command what it writes undisturbed and its operations."""
    folder = tmp_path_factory.mktemp("kills")
    tiny_fileset(folder)
    with forks() as process:
        yield Setting(folder, process)


class Setting:
    def __init__(self, folder, process):
        self.folder, self.process = folder, process
        self.out = folder / "out"
        self._known = {}

    def run(self, command, *more, **job):
        inputs = ("--bfile", self.folder / "g", "--pheno", self.folder / "y.tsv")
        name, *flags = COMMANDS[command]
        arguments = (name, *inputs, *flags, "--threads", 1, "--out", self.out / "P", *more)
        return self.process.run(*arguments, folder=self.out, **job)

    def fresh(self):
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()

    def undisturbed(self, command):
        """Result files, operations and seconds of a run that nobody disturbs."""
        if command not in self._known:
            self.fresh()
            start = time.monotonic()
            ended = self.run(command, kill_at=-1)
            seconds = time.monotonic() - start
            assert ended.code == 0, ended.err
            assert temporaries(self.out) == []
            self._known[command] = SimpleNamespace(
                files=results(self.out), seen=ended.seen, seconds=seconds
            )
        return self._known[command]

    def killed(self, command, *more, **when):
        """Kill a run, unless it ends before; what it leaves is whole. Whether it was killed."""
        ended = self.run(command, *more, **when)
        assert ended.code in (-9, 0), ended.err
        expected = self.undisturbed(command).files
        for name, content in results(self.out).items():
            if "checkpoint" not in name and not name.endswith("steps.json"):
                assert content == expected[name], name
        return ended.code == -9

    def resume(self, command):
        """A resumed run makes everything that an undisturbed one does, and nothing else."""
        ended = self.run(command, "--resume")
        assert ended.code == 0, ended.err
        assert results(self.out) == self.undisturbed(command).files
        assert temporaries(self.out) == []


def results(folder):
    """Of files that have no times in them, and the report without its own; temporary ones aside."""
    found = {name: content for name, content in files_of(folder).items() if name[0] != "."}
    if "P.report.html" in found:
        found["P.report.html"] = report_without_times(found["P.report.html"])
    return {
        name: content
        for name, content in found.items()
        if name == "P.report.html" or not name.endswith(RECORDS)
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_at_every_operation(setting, command, size, tally):
    """Killed before the k-th operation for k = 0, 1, 2, ..., and in the midst of every record.

    In the second case once more, when the run that goes on has written the other records.
    """
    seen = setting.undisturbed(command).seen
    points = [(k, False) for k in range(len(seen))]
    # the first record last, which few points include: others follow it when the run goes on
    points += [(k, True) for k, what in enumerate(seen) if what == "write"][::-1]
    chosen = np.unique(np.linspace(0, len(points) - 1, size(2, len(points))).astype(int))
    for number in chosen:
        k, half = points[number]
        setting.fresh()
        assert setting.killed(command, kill_at=k, half=half), points[number]
        if half:
            assert setting.killed(command, "--resume", kill_before="replace"), points[number]
        setting.resume(command)
    tally(cases=len(chosen), **{f"operations_of_{command}": len(seen)})


@pytest.mark.parametrize("command", COMMANDS)
def test_at_random_moments(setting, command, size, tally):
    """Killed at any moment, and before any operation of the run that goes on: each kill hits."""

    def moment(after):
        setting.fresh()
        return setting.killed(command, kill_after=after)

    def operation(at):
        return setting.killed(command, "--resume", kill_at=int(at))

    seconds = setting.undisturbed(command).seconds
    rng = np.random.default_rng(len(command))
    n, n_runs = size(1, 67), 0
    for _ in range(n):
        n_runs += until_killed(moment, seconds, rng) + until_killed(operation, 40, rng)
        setting.resume(command)
    tally(cases=2 * n, **{f"runs_of_{command}_until_killed": n_runs})


def until_killed(kill, latest, rng):
    """Draw a moment until the kill comes before the end of its run. How many runs that took."""
    for n_runs in range(1, ATTEMPTS + 1):
        latest = rng.uniform(0, latest)
        if kill(latest):
            return n_runs
    raise AssertionError(f"{ATTEMPTS} runs ended before they were killed")


def test_a_kill_that_comes_too_late_is_drawn_again():
    rng = np.random.default_rng(1)
    tried = []
    assert until_killed(lambda t: tried.append(t) or t < 0.1, 1, rng) == len(tried) > 1
    assert tried == sorted(tried, reverse=True)
    with pytest.raises(AssertionError, match="ended before they were killed"):
        until_killed(lambda t: False, 1, rng)

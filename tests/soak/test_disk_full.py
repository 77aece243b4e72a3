"""No space at every point where a command writes: a named error, and nothing half."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from cli_files import RECORDS, report_without_times, tiny_fileset
from faults import files_of, forks, temporaries

pytestmark = [
    pytest.mark.promise("whole-files"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs fork and limits of file sizes"),
]

_DATA = ["--bfile", "{folder}/g", "--pheno", "{folder}/y.tsv", "--threads", "1"]
_PATH = ["--n-alphas", "6", "--eps", "0.3"]
_TASKS = ["--replicates", "2", "--n-active", "3"]
#: Every command that writes, {folder} and {out} to be filled in.
COMMANDS = {
    "fit": [*_DATA, *_PATH, "--fwer", "0.2", "--n-draws", "20"],
    "cv": [*_DATA, *_PATH, "--folds", "3"],
    "stability": [*_DATA, *_TASKS],
    "partial": ["stability", *_DATA, "--replicates", "0:2", "--n-active", "3", "--partial"],
    "scan": _DATA,
    "null": _DATA,
    "kinship": ["--bfile", "{folder}/g"],
    "run": [*_DATA, *_PATH, *_TASKS, "--folds", "2", "--steps", "kinship,null,scan,cv,stability"],
    "simulate": ["--n-samples", "30", "--n-variants", "40"],
    "predict": ["--model", "{folder}/done.model.npz", "--bfile", "{folder}/g"],
    "merge": ["{folder}/part.partial"],
    "multiqc": ["{folder}/done"],
    "plot": ["{folder}/done"],
    "report": ["{folder}/done", "--out", "{out}/P.report.html"],
}
#: The log and the record; of a report all else is compared.
_WITH_TIMES = tuple(ending for ending in RECORDS if ending != ".report.html")
_RESUMED = ("cv", "stability", "run", "partial")


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    tiny_fileset(folder)
    with forks() as process:
        setting = Setting(folder, process)
        for name, out in (("fit", "done"), ("partial", "part")):
            ended = process.run(*setting.arguments(name, folder / out))
            assert ended.code == 0, ended.err
        yield setting


class Setting:
    def __init__(self, folder, process):
        self.folder, self.process = folder, process
        self._written = {}

    def arguments(self, command, out):
        first, *rest = COMMANDS[command]
        name = [first, *rest] if first == "stability" else [command, first, *rest]
        where = [] if command == "report" else ["--out", str(out)]
        filled = [part.format(folder=self.folder, out=out.parent) for part in name]
        return [*filled, *where]

    def written(self, command, tmp_path):
        """{name: content} of what the command writes, the largest that a journal becomes too."""
        if command not in self._written:
            folder = tmp_path / "straight"
            folder.mkdir()
            ended = self.process.run(*self.arguments(command, folder / "P"), folder=folder)
            assert ended.code == 0, ended.err
            self._written[command] = files_of(folder)
        return self._written[command]


def final(files):
    """Without what differs from run to run: times, and the flags in the header of P.partial."""
    found = {name: content for name, content in files.items() if not name.endswith(_WITH_TIMES)}
    if "P.report.html" in found:
        found["P.report.html"] = report_without_times(found["P.report.html"])
    if "P.partial" in found:
        found["P.partial"] = found["P.partial"].partition(b"\n")[2]
    return found


def spread(values, n):
    """n of the values, the first and the last among them."""
    values = sorted(values)
    return [values[k] for k in np.unique(np.linspace(0, len(values) - 1, n).astype(int))]


def check_refused(ended, folder, straight):
    """Exit code 5 with a message that names a file; each file is the old one, or whole."""
    assert ended.code == 5, (ended.code, ended.err)
    assert re.search(
        r"error: \S+: cannot be written: .*(File too large|No space left|space for \d+ of)",
        ended.err,
    )
    assert "Traceback" not in ended.err
    assert "Exception ignored" not in ended.err
    assert temporaries(folder) == []
    whole = final(straight)
    for name, content in final(files_of(folder)).items():
        if name.endswith((".checkpoint", ".partial", "steps.json")):
            continue
        assert content in (b"old\n", whole[name]), name
    record = folder / "P.run.json"
    if record.exists():
        code = json.loads(record.read_text())["exit"]["code"]
        # of a run whose report alone found no room, the record may find none to be corrected
        assert code == 5 or (code == 0 and "P.report.html" in ended.err), (code, ended.err)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_limit_of_file_sizes(setting, command, tmp_path, size, tally):
    """Each size of a file that is written, less one byte and halved, for a limit in turn."""
    straight = setting.written(command, tmp_path)
    expected = final(straight)
    assert expected
    sizes = {
        9 * len(content) // 10 if name.endswith(RECORDS) else len(content)  # these vary
        for name, content in straight.items()
    }
    limits = {0, 1, *(s - 1 for s in sizes), *(s // 2 for s in sizes)}
    chosen = spread(limits, size(2, len(limits)))
    for limit in chosen:
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        for name in straight:
            if not name.endswith((".log", ".run.json", ".partial")):
                (out / name).write_text("old\n")
        arguments = setting.arguments(command, out / "P")
        check_refused(setting.process.run(*arguments, limit=limit), out, straight)
        again = setting.process.run(*arguments, *(["--resume"] if command in _RESUMED else []))
        if command == "run" and "P.steps.json: no record of finished steps" in again.err:
            again = setting.process.run(*arguments)  # that was the old one
        assert again.code == 0, again.err
        assert final(files_of(out)) == expected
        assert temporaries(out) == []
    tally(cases=len(chosen))


# --- a disk that is full ------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a small file system and returns its folder."""
    mounted = []

    def mount(options):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", None) or error
            pytest.skip(f"NOT TESTED here, mounting needs root: {reason}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_small_disk(setting, command, disk, tmp_path, size, tally):
    """Of every number of pages up to what the command needs, with old files in some of them."""
    straight = setting.written(command, tmp_path)
    folder = disk("size=4k,nr_inodes=400")
    arguments = setting.arguments(command, folder / "P")
    n_full, n_pages = 0, 0
    step = size(7, 1)
    while True:
        for path in folder.iterdir():
            path.unlink()
        n_pages += step
        subprocess.run(["mount", "-o", f"remount,size={4 * n_pages}k", str(folder)], check=True)
        for name in spread(final(straight), 3):
            if n_pages > 3 and not name.endswith(".partial"):
                (folder / name).write_text("old\n")
        ended = setting.process.run(*arguments)
        if ended.code == 0:
            break
        n_full += 1
        check_refused(ended, folder, straight)
        if command in _RESUMED and n_full == 1:
            subprocess.run(["mount", "-o", "remount,size=4M", str(folder)], check=True)
            for path in folder.iterdir():
                if path.name.endswith("steps.json") and path.read_text() == "old\n":
                    path.unlink()
            assert setting.process.run(*arguments, "--resume").code == 0
            assert final(files_of(folder)) == final(straight)
    assert final(files_of(folder)) == final(straight)
    assert n_full or step > 1
    tally(cases=n_full + 1)


@pytest.mark.parametrize("command", ["fit", "stability", "run"])
def test_no_inode(setting, command, disk, tmp_path, size, tally):
    """Space, but for so many files and no more."""
    straight = setting.written(command, tmp_path)
    folder = disk("size=4M,nr_inodes=2")
    arguments = setting.arguments(command, folder / "P")
    n_full = 0
    for inodes in range(2, 80, size(6, 1)):
        for path in folder.iterdir():
            path.unlink()
        subprocess.run(["mount", "-o", f"remount,nr_inodes={inodes}", str(folder)], check=True)
        ended = setting.process.run(*arguments)
        if ended.code == 0:
            break
        check_refused(ended, folder, straight)
        n_full += 1
    assert final(files_of(folder)) == final(straight)
    assert n_full > 0
    tally(cases=n_full + 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_dev_full(setting, tmp_path):
    """A file name that can be given may be a device; the log and P.run.json may be links to one."""
    ended = setting.process.run("report", setting.folder / "done", "--out", "/dev/full")
    assert ended.code == 5
    assert "/dev/full: cannot be written: expected a regular file" in ended.err
    for name in ("P.log", "P.run.json", "P.null.json"):
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).symlink_to("/dev/full")
        ended = setting.process.run(*setting.arguments("null", tmp_path / "P"))
        assert ended.code == 5, ended.err
        assert re.search(rf"{re.escape(name)}: cannot be written", ended.err), ended.err
        assert "Traceback" not in ended.err
        (tmp_path / name).unlink()

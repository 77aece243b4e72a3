"""Command lines that meet a fault: killed at a chosen operation on files, out of disk space.

Each runs in a process of its own, forked from one that has imported everything: that takes a tenth
of a second instead of two.
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Reads one JSON object per line, forks, and answers with one line.
_FORKS = """
import builtins, io, json, os, resource, signal, sys, threading, time
import lmmlasso_fast.cli as cli
import polars, scipy.linalg, scipy.optimize, scipy.sparse, scipy.special, joblib, threadpoolctl
for name in cli.main.commands:
    cli.main.commands[name]
real = {name: getattr(os, name) for name in ("write", "replace", "unlink", "fsync", "truncate",
                                             "ftruncate")}

class Faults:
    def __init__(self, job):
        self.kill_at, self.half = job.get("kill_at"), job.get("half", False)
        self.kill_before = job.get("kill_before")
        self.folder, self.seen = job["folder"], []
        for name in real:
            setattr(os, name, self.counted(name))
        sys.addaudithook(self.opened)
        builtins.open = io.open = self.counted_open(io.open)

    def reach(self, what):
        if len(self.seen) == self.kill_at or what == self.kill_before:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen.append(what)

    def opened(self, event, arguments):
        if event == "open" and isinstance(arguments[0], str):
            path, _, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR) and path.startswith(self.folder):
                self.reach("open " + os.path.basename(path))

    def counted_open(self, real_open):
        # once more when it is open, and perhaps empty: not of temporary files
        def function(file, mode="r", *arguments, **options):
            stream = real_open(file, mode, *arguments, **options)
            if "r" not in mode and not isinstance(file, int):
                path = os.fsdecode(file)
                name = os.path.basename(path)
                if path.startswith(self.folder) and not name.startswith("."):
                    self.reach("opened " + name)
            return stream
        return function

    def counted(self, name):
        def function(*arguments, **options):
            if name == "write" and arguments[0] <= 2:
                return real[name](*arguments)
            if name == "write" and self.half and len(self.seen) == self.kill_at:
                real[name](arguments[0], arguments[1][: len(arguments[1]) // 2])
            self.reach(name)
            return real[name](*arguments, **options)
        return function

def child(job):
    os.dup2(job["errors"], 2)  # a pipe: a limit of file sizes is for files
    os.dup2(job["errors"], 1)
    sys.argv = ["lmmlasso", *job["arguments"]]
    if "prelude" in job:
        exec(job["prelude"], {"folder": job["folder"]})
    if "limit" in job:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"], job["limit"]))
    if "user" in job:
        os.setgroups([])
        os.setgid(job["user"])
        os.setuid(job["user"])
    faults = Faults(job) if job.keys() & {"kill_at", "kill_before"} else None
    code = 0
    try:
        cli.main(prog_name="lmmlasso")
    except SystemExit as end:
        code = end.code or 0
    if faults is not None:
        real["write"](job["answers"], (json.dumps(faults.seen) + "\\n").encode())
    sys.stderr.flush()
    os._exit(code)

print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    read, job["answers"] = os.pipe()
    err, job["errors"] = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child(job)
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(99)
    os.close(job["answers"])
    os.close(job["errors"])
    if "kill_after" in job:
        time.sleep(job["kill_after"])
        os.kill(pid, signal.SIGKILL)
    with open(err, errors="backslashreplace") as errors, open(read) as answers:
        answer = {"err": errors.read(), "seen": json.loads(answers.read() or "[]")}
    _, status = os.waitpid(pid, 0)
    answer["code"] = os.waitstatus_to_exitcode(status)
    print("answer " + json.dumps(answer), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a process ended: the exit code (-9: killed), standard error, operations on files."""

    code: int
    err: str
    seen: list[str]


class Forks:
    """Runs command lines, each in a process forked from one that has imported everything."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        self._answer("ready")  # or the imports would count in the time of the first run

    def run(self, *arguments, folder="/nowhere", **job) -> Ended:
        """Run a command line.

        Parameters
        ----------
        folder : path
            Where opening a file for writing counts as an operation.
        kill_at : int, optional
            Kill it before the operation of this number (of those that `seen` lists); `half`: a
            record of a journal is then half in its file. -1 only counts.
        kill_before : str, optional
            Kill it before the first operation of this name.
        kill_after : float, optional
            Kill it after so many seconds.
        limit : int, optional
            Bytes that a file may have.
        user : int, optional
            The number of the user who runs it.
        prelude : str, optional
            What is executed before, with `folder`.
        """
        job |= {"arguments": [str(part) for part in arguments], "folder": str(folder)}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._answer("answer ")))

    def _answer(self, begins: str) -> str:
        """Return what follows; an editable installation may print what it rebuilds before it."""
        for line in self._process.stdout:
            if line.startswith(begins):
                return line.removeprefix(begins)
        raise AssertionError(f"the forking process ended: {self._process.wait()}")

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@contextmanager
def forks():
    """Yield a `Forks`, and end it."""
    process = Forks()
    try:
        yield process
    finally:
        process.close()


def files_of(folder: Path) -> dict[str, bytes]:
    """{name: content} of every file, links followed."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def temporaries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))

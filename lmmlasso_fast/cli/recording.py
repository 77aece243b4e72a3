"""What a run of any command leaves: log, timings, warnings, result files, record."""

import ctypes
import errno
import hashlib
import json
import math
import os
import platform
import shlex
import stat
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from importlib.metadata import version as package_version
from pathlib import Path

import click

import lmmlasso_fast
from lmmlasso_fast import _core
from lmmlasso_fast.cli.estimate import Refits, Scan
from lmmlasso_fast.errors import FileChangedError, InputError, OutputError
from lmmlasso_fast.io.atomic import remove_stale, together
from lmmlasso_fast.io.locks import NoLocksError, hold
from lmmlasso_fast.io.regular import require_regular
from lmmlasso_fast.io.results import write_json
from lmmlasso_fast.parallel import as_n_jobs
from lmmlasso_fast.threads import available_threads, blas_threads_for

#: What is said of an input that is not what it was.
_CHANGED = "changed while it was read"
#: No command's file has a longer suffix.
_LONGEST = "stability.checkpoint"


def require_other_inputs(out: str, options: dict) -> None:
    """Refuse options that name OUT.log or OUT.run.json, which a run replaces.

    Raises
    ------
    InputError
    """
    for own in (f"{out}.log", f"{out}.run.json"):
        for value in options.values():
            for name in value if isinstance(value, tuple) else (value,):
                if isinstance(name, str) and _same_file(name, own):
                    raise InputError(f"{own}: it is an input, and would be replaced; change --out")


def _same_file(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):  # one is not there, or no name of a file
        return False


def _return_memory() -> None:
    """Give what was freed back to the system: glibc keeps up to 50 MB between two stages."""
    if os.name != "nt" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


class Run:
    """What a command writes to: lines for the user, and files that appear when all is done."""

    def __init__(self, command: str, out: str, threads: int | None):
        self.out = out
        # more threads than processors only wait for each other
        self.threads = min(threads or available_threads(), available_threads())
        #: None: as many tasks at a time as joblib finds processors
        self.n_jobs = None if threads is None else self.threads
        self.command = command
        self.exit_code = 0
        self.counts: dict[str, object] = {}
        #: Options whose default depends on the data; by phenotype if there are several.
        self.found: dict[str, object] = {}
        #: What follows the fit to all samples.
        self.refits: Refits | None = None
        #: The tests of single SNPs, where they are what takes long.
        self.scan: Scan | None = None
        #: The file with what --resume goes on from, while there is something left to do.
        self.checkpoint: str | None = None
        self._inputs: dict[Path, dict | None] = {}  # what is known of each: nothing yet, its hash
        self._noted: dict[Path, tuple | None] = {}  # what each was before it was read
        self._afterwards: list[Callable[[], None]] = []
        self._outputs: list[tuple[str, Callable[[Path], None]]] = []
        self._renamed: dict[str, str] = {}
        self._written: list[str] = []  # suffixes of the files that are there
        self._not_written: list[str] = []
        self._timings: dict[str, float] = {}
        self._warnings: list[str] = []
        self._start = time.perf_counter()
        if not os.path.basename(out):
            raise click.UsageError(
                f"--out {out!r}: expected a prefix such as {out}run, from which {out}run.log and "
                "the other names are made"
            )
        self.require_names()
        try:
            # "a": what is there may be the log of a run that still goes on
            self._log = open(  # noqa: SIM115 (closed in release)
                f"{out}.log", "a", encoding="utf-8", errors="backslashreplace"
            )
        except OSError as error:
            raise OutputError(
                f"{out}.log: cannot be written: {error.strerror}; --out is the prefix of the "
                "result files and its folder must exist"
            ) from error
        try:
            self._begin()
        except BaseException:
            self.release()
            raise

    def _begin(self) -> None:
        unlocked = self._take_log()
        remove_stale(self.out)
        self._written_by = _written_by(f"{self.out}.run.json")
        self._write_log(f"lmmlasso {lmmlasso_fast.__version__} ({_core.kernels_name()} kernels)")
        self._write_log("command: " + shlex.join(sys.argv))
        if unlocked:
            self.say(unlocked)

    # -- for the commands ------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Tell the user, and the log."""
        text = visible(text)
        try:
            click.echo(text, err=True)
        except OSError:  # a closed pipe must not end the run, nor fail Python's last flush (120)
            with suppress(OSError):  # what stands for stderr may have no descriptor
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        self._write_log(text)

    def require_names(self, prefix: str = "") -> None:
        """Refuse an --out after which the files' names are too long for the system.

        `prefix` is that of a phenotype's files, if there are several.
        """
        name = f"{self.out}.{prefix}{_LONGEST}"
        try:
            os.lstat(name)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise OutputError(
                    f"{name}: cannot be written: {error.strerror}; --out is the prefix of names "
                    "as long as this one, give a shorter one"
                ) from error

    def workers(self, n_tasks: int) -> int:
        """Return how many of the tasks run at a time."""
        return min(as_n_jobs(self.n_jobs), n_tasks)

    def note_input(self, path: str | os.PathLike | None) -> None:
        """Remember a file for P.run.json (size and sha256)."""
        if path is not None and Path(path) not in self._inputs:
            self._inputs[Path(path)] = None
            self._noted[Path(path)] = _state(path)

    def fingerprints(self) -> list[dict]:
        """Return path, size and sha256 of every file noted so far.

        Of one that is not what it was when it was noted, and so perhaps not what was read, there is
        an error in their place.
        """
        for path, known in self._inputs.items():
            if known is None:
                found = file_fingerprint(path)
                if _state(path) != self._noted[path]:
                    found = {"path": str(path), "error": _CHANGED}
                self._inputs[path] = found
        return list(self._inputs.values())

    def require_unchanged(self) -> None:
        """Refuse to go on if a file changed between being read and being hashed.

        Raises
        ------
        FileChangedError
        """
        for found in self.fingerprints():
            if found.get("error") == _CHANGED:
                raise FileChangedError(
                    f"{found['path']}: {_CHANGED}: expected it as it was when the run began; leave "
                    "it alone while it is read, and start again"
                )

    @contextmanager
    def stage(self, name: str):
        """Time a part of the run."""
        start = time.perf_counter()
        try:
            yield
        finally:
            _return_memory()
            self._timings[name] = self._timings.get(name, 0.0) + time.perf_counter() - start

    @contextmanager
    def progress(self, what: str, total: int):
        """Yield a function (done, total) -> None: a bar on a terminal, ten lines elsewhere."""
        if sys.stderr.isatty():
            with click.progressbar(length=total, label=what, file=sys.stderr) as bar:
                yield lambda done, _: bar.update(done - bar.pos)
            return
        tenths = 0

        def report(done: int, _total: int) -> None:
            nonlocal tenths
            if 10 * done // total > tenths:
                tenths = 10 * done // total
                self.say(f"{what}: {done} of {total}")

        yield report

    def write(self, suffix: str, writer: Callable[[Path], None]) -> None:
        """Have `writer(path)` called for OUT.suffix once everything has been computed."""
        self._outputs.append((self._renamed.get(suffix, suffix), writer))

    @contextmanager
    def renaming(self, names: dict[str, str]):
        """Have files that are asked for within the block appear under other suffixes.

        Two steps of one run may have files of the same name.
        """
        self._renamed = names
        try:
            yield
        finally:
            self._renamed = {}

    def leave_out(self, suffix: str) -> None:
        """Have an older OUT.suffix deleted with the next files, if this subcommand wrote it.

        It would be taken for a result of this run. That of another subcommand stays.
        """
        self._not_written.append(self._renamed.get(suffix, suffix))

    def afterwards(self, action: Callable[[], None]) -> None:
        """Have something done once the files are there."""
        self._afterwards.append(action)

    # -- the end ----------------------------------------------------------------------------------

    def write_outputs(self) -> list[str]:
        """Have the files appear together, and begin a new list; return their suffixes.

        Raises
        ------
        InputError
            One would take the place of an input.
        """
        for suffix, _ in self._outputs:
            target = Path(f"{self.out}.{suffix}")
            if target.exists() and any(target.samefile(p) for p in self._inputs if p.exists()):
                raise InputError(f"{target}: it is an input, and would be replaced; change --out")
        with self.stage("write"), together():
            for suffix, writer in self._outputs:
                writer(Path(f"{self.out}.{suffix}"))
        written = [suffix for suffix, _ in self._outputs]
        self._written_by |= dict.fromkeys(written, self.command)
        for suffix in self._not_written:
            if suffix not in written and self._written_by.get(suffix) == self.command:
                with suppress(OSError):  # deleted by the user, perhaps
                    os.unlink(f"{self.out}.{suffix}")
                del self._written_by[suffix]
        self._not_written.clear()
        if written:
            self.say(f"wrote {self.out}.* ({', '.join(written)})")
            self.list_outputs(written)
        self._outputs.clear()
        for action in self._afterwards:
            action()
        self._afterwards.clear()
        self.checkpoint = None
        return written

    def list_outputs(self, suffixes: list[str]) -> None:
        """Have P.run.json name these files too, each once: those of steps that were done before."""
        self._written += [suffix for suffix in suffixes if suffix not in self._written]

    def warn(self, message: str) -> None:
        self._warnings.append(message)
        self.say(f"warning: {message}")

    def finish(self, options: dict, code: int, state: str) -> None:
        """Write P.run.json and the log's last line, whatever happened before.

        Inputs that `fingerprints` has not read yet are not read now: this is what an interrupt
        waits for. It may be called once more, if something fails afterwards.
        """
        seconds = time.perf_counter() - self._start
        full = None
        try:
            self._write_log(f"end: {visible(state)} (exit code {code}, {seconds:.1f} s)")
        except OutputError as error:
            full = error
        write_json(
            {
                "program": "lmmlasso",
                "version": lmmlasso_fast.__version__,
                "subcommand": self.command,
                "command": sys.argv,
                "options": {key: _plain(value) for key, value in (options | self.found).items()},
                "inputs": [
                    known or {"path": str(path), "error": "not read before the end"}
                    for path, known in self._inputs.items()
                ],
                "outputs": self._written,
                "counts": self.counts,
                # the subcommand that wrote each result file last, in this run or an earlier one
                "files": self._written_by,
                "kernels": _core.kernels_name(),
                "threads": self.threads,
                "blas_threads": blas_threads_for(self._most_samples(), self.threads),
                "packages": {
                    name: package_version(name) for name in ("numpy", "scipy", "polars", "click")
                },
                "python": platform.python_version(),
                "warnings": self._warnings,
                "timings": {**self._timings, "total": seconds},
                "exit": {"code": code, "state": state},
            },
            f"{self.out}.run.json",
        )
        if full is not None:
            raise full

    def _take_log(self) -> str:
        """Empty the log for this run alone; return what is to be said where nothing can be locked.

        Raises
        ------
        OutputError
            Another run with this --out is under way.
        """
        unlocked = ""
        try:
            if not hold(self._log.fileno()):
                raise OutputError(
                    f"{self.out}.log: in use: expected no other run with this --out, found one "
                    "that is under way; wait until it has ended, or choose another --out"
                )
        except NoLocksError as error:
            unlocked = (
                f"{self.out}.log: cannot be locked here ({error.strerror}): start no second run "
                "with this --out before this one has ended"
            )
        if os.path.isfile(f"{self.out}.log"):  # a device cannot be cut
            self._log.truncate(0)
        return unlocked

    def release(self) -> None:
        """Let other runs have this --out."""
        with suppress(OSError):  # closing writes what could not be written once more
            self._log.close()

    def _most_samples(self) -> int:
        """Return the samples analysed, of several phenotypes those of the one that has most."""
        counts = [self.counts, *self.counts.get("phenotypes", {}).values()]
        return max(count.get("samples", 0) for count in counts)

    def _write_log(self, text: str) -> None:
        try:
            self._log.write(text + "\n")
            self._log.flush()
        except OSError as error:
            raise OutputError(f"{self.out}.log: cannot be written: {error.strerror}") from error


def visible(text: str) -> str:
    """Control characters of hostile ids and names as escape sequences."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def _written_by(path: str) -> dict[str, str]:
    """Return what an earlier P.run.json says of P's files: {suffix: subcommand}."""
    try:
        require_regular(path)
        files = json.loads(Path(path).read_text(encoding="utf-8"))["files"]
        return {
            str(suffix): str(command)
            for suffix, command in files.items()
            if os.path.basename(suffix) == suffix  # never a file of another folder
        }
    # none, or not ours
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _plain(value):
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _state(path: str | os.PathLike) -> tuple | None:
    """What changes when a file is written to or replaced; None for what is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def file_fingerprint(path: Path) -> dict:
    """Size and sha256; neither for what cannot be read."""
    try:
        require_regular(path)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"path": str(path), "size": path.stat().st_size, "sha256": digest}
    except OSError as error:
        return {"path": str(path), "error": error.strerror}

"""One case: what may happen, and what may not."""

import os
import resource
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soak.fuzz import cases
from soak.fuzz.targets import TARGETS

from lmmlasso_fast.errors import ConvergenceWarning, DataWarning, LMMLassoError

#: Seconds of CPU time that a case of a few kilobytes may take.
SECONDS = 5
#: Bytes of address space that a fuzzing process may take besides what it begins with.
MEMORY = 2 << 30


class TooSlow(BaseException):
    """A case took more than SECONDS; no reader catches it."""


@contextmanager
def scratch() -> Iterator[Path]:
    """The working folder of one process, in memory if there is such a place; it is changed to."""
    memory = Path("/dev/shm")
    base = memory if os.access(memory, os.W_OK) else None
    before = Path.cwd()
    with tempfile.TemporaryDirectory(dir=base, prefix="fuzz") as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def limit_memory() -> None:
    """Let allocations of absurd sizes fail in this process."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def run(case: bytes) -> str:
    """Read a case in the current folder, which is left empty.

    Returns "read" or "refused" (one of the package's own errors), "" for no case of a target;
    everything else is raised: other errors, warnings, a wrong result, too much time.
    """
    name, files = cases.unpack(case)
    target = TARGETS.get(name)
    if target is None:
        return ""
    before = signal.signal(signal.SIGPROF, _too_slow)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        cases.write(Path("x"), target.files, files)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DataWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                target.read("x")
            except (LMMLassoError, *target.errors) as error:
                _check_message(str(error))
                return "refused"
        return "read"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        _clear(Path())


def _too_slow(signum, frame):
    raise TooSlow(f"more than {SECONDS} s of CPU time")


def _check_message(message: str) -> None:
    """A message is one for people: it says something, can be printed, and is no dump."""
    assert message.strip(), "an error without message"
    message.encode()
    assert len(message) < 5_000, f"a message of {len(message)} characters"


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

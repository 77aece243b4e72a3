"""Mutants put to the tests, each in a copy of the source.

    python tests/soak/mutant_copies.py src/lmml_finish.c lmmlasso_fast/path.py --sample 100

says of every mutant what killed it, or that it survived. Mutants of C meet the C tests, plain and
under sanitizers; those of Python, and what the C tests let pass, the Python tests of
`mutants.TESTS`. All these tests are run without a mutant first, in the same copies and within the
same limits, and must pass. The source itself is never changed.
"""

import argparse
import os
import queue
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants import ROOT, TESTS, Mutant, sample_of

SECONDS = 400  # what takes longer hangs
MEMORY = 8 << 30  # a mutant that asks for more fails
SANITIZERS = "address,undefined"
WITH_OWN_CORE = "tridiagonal"  # some tests of the module that a copy compiles
TIMED_OUT = 124  # in place of an exit code
#: Fates that a mutant has in common with a good file, or that say nothing of its tests.
SURVIVED, INVALID = "survived", "invalid"


def verdict(test: str, code: int, log: str = "") -> str | None:
    """What the exit code of a test of a mutant says: its fate, or None if the test passed.

    A test that failed has noticed the mutant, one that crashed or never ended as well, and so has
    pytest if it cannot collect the tests: they were collected without a mutant. All else (an
    internal error of pytest, no tests, a program that cannot be loaded) is no answer, and raised.
    """
    if code == 0:
        return None
    if code == 1:
        return test
    if code == TIMED_OUT:
        return f"{test}: no end"
    if code < 0:
        return f"{test}: crash"
    if test == "pytest" and code == 2 and re.search(r"^ERROR (collecting )?\S+\.py", log, re.M):
        return f"{test}: not collected"
    raise RuntimeError(f"{test}: expected tests that pass or fail, found exit code {code}\n{log}")


class Copy:
    """A copy of the source in which one mutant at a time is tested."""

    def __init__(self, folder: Path):
        from lmmlasso_fast import _core

        self.folder = folder
        without = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / "lmmlasso_fast", folder / "lmmlasso_fast", ignore=without)
        self._compiled = Path(shutil.copy(_core.__file__, folder / "lmmlasso_fast"))
        # an editable installation would come before the copy
        (folder / "sitecustomize.py").write_text(
            "import sys\nsys.meta_path[:] = "
            "[f for f in sys.meta_path if 'ScikitBuild' not in type(f).__name__]\n"
        )

    def _run(
        self,
        *command,
        seconds: int,
        cwd: Path | None = None,
        limited: bool = True,
        **variables: str,
    ) -> int:
        """The exit code; TIMED_OUT after so many seconds."""
        environment = os.environ | variables
        environment |= {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "CI": "1"}
        environment["HYPOTHESIS_STORAGE_DIRECTORY"] = str(self.folder / "hypothesis")
        with (self.folder / "log").open("w") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd or self.folder,
                env=environment,
                start_new_session=True,
                preexec_fn=limit_memory if limited else None,
            )
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return TIMED_OUT

    def _build(self, *targets: str, sanitize: str = "") -> int:
        build = self._folder_of(sanitize)
        if not (self.folder / "src").exists():
            shutil.copytree(ROOT / "src", self.folder / "src")
            shutil.copytree(ROOT / "tests/c", self.folder / "tests/c")
            shutil.copy(ROOT / "CMakeLists.txt", self.folder)
        if not build.exists():
            import cython_cmake

            modules = Path(cython_cmake.__file__).parent / "cmake"
            options = [f"-DCMAKE_MODULE_PATH={modules}", "-DLMMLASSO_C_TESTS=ON"]
            options += [f"-DLMMLASSO_SANITIZE={sanitize}", f"-DPython_EXECUTABLE={sys.executable}"]
            code = self._run("cmake", "-S.", f"-B{build}", *options, seconds=SECONDS)
            assert code == 0, (self.folder / "log").read_text()
        return self._run("cmake", "--build", str(build), "--target", *targets, seconds=SECONDS)

    def _folder_of(self, sanitize: str) -> Path:
        return self.folder / f"build{'-' * bool(sanitize)}{sanitize}"

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-5000:]

    def _pytest(self, names: str) -> str | None:
        modules = []
        for name in names.split():  # without a module pytest would run all there are
            (path,) = ROOT.glob(f"tests/*/test_{name}.py")
            modules.append(str(path))
        options = ("-x", "-q", "-p", "no:cacheprovider", f"--basetemp={self.folder / 'tmp'}")
        python = (sys.executable, "-m", "pytest", *options)
        return verdict(
            "pytest", self._run(*python, *modules, cwd=ROOT, seconds=SECONDS), self._log()
        )

    def check(self, tests: str) -> None:
        """Raise if tests do not pass without a mutant; "" are those of C."""
        fate = self._pytest(tests) if tests else self._without_mutant_in_c()
        if fate:
            raise RuntimeError(
                f"{tests or 'C'}: expected tests that pass without a mutant, found {fate!r}\n"
                + self._log()
            )

    def fate(self, file: str, source: bytes) -> str:
        """What happens to a file of this content: "survived", or "invalid", or what killed it."""
        place = self.folder / file
        in_c = file.endswith(".c")
        if in_c:
            self._build_c()
        original, compiled = place.read_bytes(), self._compiled.read_bytes()
        try:
            place.write_bytes(source)
            return (in_c and self._fate_in_c()) or self._pytest(TESTS[file]) or SURVIVED
        finally:
            place.write_bytes(original)
            self._compiled.write_bytes(compiled)  # or the next one would meet this one's

    def _build_c(self) -> None:
        if not (self.folder / "build").exists():
            for sanitize in ("", SANITIZERS):
                assert self._build("test_core", "test_faults", sanitize=sanitize) == 0, self._log()

    def _without_mutant_in_c(self) -> str | None:
        self._build_c()
        compiled = self._compiled.read_bytes()
        try:
            return self._fate_in_c() or self._pytest(WITH_OWN_CORE)
        finally:
            self._compiled.write_bytes(compiled)

    def _fate_in_c(self) -> str | None:
        for sanitize in ("", SANITIZERS):
            code = self._build("test_core", "test_faults", sanitize=sanitize)
            if code == 1:
                return INVALID
            assert code == 0, (code, self._log())
            # quick ones first; the sanitizers reserve terabytes of addresses
            whole = [] if sanitize else [("test_core", "")]
            for name, small in [("test_core", "1"), ("test_faults", "1"), *whole]:
                variables = {"LMML_TEST_SMALL": small} if small else {}
                program = str(self._folder_of(sanitize) / name)
                seconds, limited = SECONDS // 4, not sanitize
                code = self._run(program, seconds=seconds, limited=limited, **variables)
                if fate := verdict(f"{name} {sanitize}".strip(), code, self._log()):
                    return fate
        assert self._build("_core") == 0, self._log()
        shutil.copy(next((self.folder / "build").glob("_core.*.so")), self._compiled)
        return None


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def checks_of(mutants: list[Mutant]) -> list[str]:
    """The tests to be run without a mutant, for `Copy.check`: those of C first, which take
    longest; the Python tests of each file, unless another file has these and more."""
    groups = dict.fromkeys(TESTS[m.file] for m in mutants)
    largest = [g for g in groups if not any(set(g.split()) < set(h.split()) for h in groups)]
    return [""] * any(m.file.endswith(".c") for m in mutants) + largest


def fates(mutants: list[Mutant], jobs: int = 1) -> Iterator[tuple[Mutant, str]]:
    """Test mutants in copies of their own, `jobs` at a time.

    Raises RuntimeError if tests fail without a mutant, or do not run.
    """
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        copies = queue.SimpleQueue()
        for k in range(jobs):
            copies.put(Copy(Path(folder) / str(k)))

        def check(tests: str) -> None:
            copy = copies.get()
            try:
                copy.check(tests)
            finally:
                copies.put(copy)

        def fate(mutant: Mutant) -> tuple[Mutant, str]:
            copy = copies.get()
            try:
                source = (ROOT / mutant.file).read_bytes()
                return mutant, copy.fate(mutant.file, mutant.applied(source))
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            for _ in pool.map(check, checks_of(mutants)):
                pass
            yield from pool.map(fate, mutants)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", default=list(TESTS))
    parser.add_argument("--sample", type=int, default=10**9, help="mutants of each file")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    sample = [m for file in given.files for m in sample_of(file, given.sample)]
    counts = Counter()
    for mutant, fate in fates(sample, given.jobs):
        counts[mutant.file, fate] += 1
        print(f"{fate}\t{mutant}", flush=True)
    for (file, fate), count in sorted(counts.items()):
        print(f"{file}\t{fate}\t{count}")


if __name__ == "__main__":
    main()

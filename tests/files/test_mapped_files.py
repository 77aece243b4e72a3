"""Files of genotypes that change while they are mapped: a named error, never a crash or numbers
that the file did not hold."""

import gc
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from functools import partial
from importlib import import_module

import numpy as np
import pytest
from cli_files import lmmlasso, run_json, write_table

import lmmlasso_fast as ll
from lmmlasso_fast import _core, packed
from lmmlasso_fast.dosage import DosageGenotypes
from lmmlasso_fast.errors import FileChangedError
from lmmlasso_fast.io.plink_write import write_plink
from lmmlasso_fast.mapped import (
    _watches,
    catching_bus_errors,
    check_unchanged,
    map_file,
    name_of,
)
from lmmlasso_fast.parallel import each
from lmmlasso_fast.simulation import simulate_genotypes

pytestmark = [
    pytest.mark.promise("any-bytes", "no-wrong-answer"),
    pytest.mark.skipif(sys.platform == "win32", reason="mapped files are locked there"),
]

N, P = 120, 4000  # 30 pages of a .bed


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A fileset, and its dosages as .npy and as a file of codes."""
    folder = tmp_path_factory.mktemp("original")
    simulated = simulate_genotypes(N, P, missing_rate=0.01, seed=2)
    write_plink(folder / "g", simulated.dosages, simulated.samples, simulated.variants)
    X = np.where(simulated.dosages < 0, np.nan, simulated.dosages / 1.7)
    np.save(folder / "g.npy", X)
    dosages = DosageGenotypes.from_dosages(np.clip(X, 0, 2))
    (folder / "g.codes").write_bytes(dosages._codes.tobytes())
    return folder


@pytest.fixture
def files(original, tmp_path):
    for path in original.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path


def open_codes(path):
    return DosageGenotypes(map_file(path, lambda: np.memmap(path, np.uint16, "r", shape=(P, N))))


#: File, how it is opened, and the function of the extension that reads it (numpy reads the .npy).
KINDS = {
    "bed": ("g.bed", lambda path: ll.read_plink(path.with_suffix("")), "gradient"),
    "npy": ("g.npy", ll.read_npy, None),
    "codes": ("g.codes", open_codes, "dosage_gradient"),
}


@pytest.fixture(params=KINDS)
def opened(request, files):
    """(genotypes, their file, the name of a function of the extension)."""
    name, read, function = KINDS[request.param]
    return read(files / name), files / name, function


def cut(path, size=5000):
    os.truncate(path, size)


def grow(path):
    with open(path, "ab") as file:
        file.write(b"\0")


def overwrite(path):
    """Other content of the same size, in place."""
    content = path.read_bytes()
    with open(path, "r+b") as file:
        file.write(content[:9] + bytes(255 - byte for byte in content[9:]))


def touch(path):
    os.utime(path)


def replace(path):
    other = path.with_name("other")
    other.write_bytes(b"something else")
    os.replace(other, path)


CHANGES = {
    "cut": (cut, r"changed while it was read: expected the \d+ bytes .*, found 5000; leave it"),
    "emptied": (partial(cut, size=0), r"expected the \d+ bytes .*, found 0; leave it alone"),
    "grown": (grow, r"expected the (\d+) bytes that it had when it was opened, found \d+; leave"),
    "written over": (overwrite, "found that it was written to since; leave it alone"),
    "touched": (touch, "found that it was written to since; leave it alone"),
}

READS = {
    "gradient": lambda genotypes: genotypes.gradient(np.ones(N)),
    "columns": lambda genotypes: genotypes.columns([3, P - 1]),
    "subset": lambda genotypes: genotypes.subset(np.arange(0, N, 2)),
    "filter": lambda genotypes: genotypes.filter(geno=0.01),
    "sample_missing_rate": lambda genotypes: genotypes.sample_missing_rate(),
    "duplicate_pairs": lambda genotypes: genotypes.duplicate_pairs(),
    "kinship": lambda genotypes: ll.kinship(genotypes),
    "lasso_path": lambda genotypes: ll.lasso_path(genotypes, np.arange(N) % 7.0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_before_a_read(opened, change, tally):
    genotypes, path, _ = opened
    apply, message = CHANGES[change]
    expected = genotypes.gradient(np.ones(N))
    assert expected.any()
    apply(path)
    for read in READS.values():
        with pytest.raises(FileChangedError, match=f"{path}: .*{message}"):
            read(genotypes)
    tally(cases=len(READS))


@pytest.mark.parametrize("change", ["grown", "written over"])
def test_changed_during_a_read(opened, change, monkeypatch):
    """Before the block that is read, within the call that reads it."""
    genotypes, path, function = opened
    apply, message = CHANGES[change]
    change_within(monkeypatch, function, lambda: apply(path))
    with pytest.raises(FileChangedError, match=message):
        genotypes.gradient(np.ones(N))


def change_within(monkeypatch, function, change):
    """Have `change()` called within X'v, after the look at the file and before it is read."""
    if function is None:
        from lmmlasso_fast.dense import DenseGenotypes

        owner, function = DenseGenotypes, "_ranges"
    else:
        owner = _core
    read = getattr(owner, function)

    def changed(*arguments):
        change()
        return read(*arguments)

    monkeypatch.setattr(owner, function, changed)


@pytest.mark.parametrize("change", ["cut", "emptied"])
def test_cut_during_a_read_with_the_handler(opened, change, monkeypatch):
    """What would be a bus error is the same error as between two reads."""
    genotypes, path, function = opened
    apply, message = CHANGES[change]
    change_within(monkeypatch, function, lambda: apply(path))
    with catching_bus_errors(), pytest.raises(FileChangedError, match=message):
        genotypes.gradient(np.ones(N))


def test_a_drive_that_fails(opened, monkeypatch):
    """Pages that cannot be read, of a file that has not changed: as if the drive failed."""
    genotypes, path, function = opened
    content, before = path.read_bytes(), path.stat()

    def fail():
        os.truncate(path, 5000)
        np.asarray(stored(genotypes)).sum()
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    change_within(monkeypatch, function, fail)
    message = r"cannot be read any more: expected the \d+ bytes .* an error of the drive"
    with catching_bus_errors(), pytest.raises(FileChangedError, match=message):
        genotypes.gradient(np.ones(N))


def stored(genotypes):
    return next(
        vars(genotypes)[name] for name in ("_data", "_X", "_codes") if name in vars(genotypes)
    )


@pytest.mark.parametrize("change", [replace, os.unlink])
def test_a_file_that_is_replaced_or_deleted_stays_as_it_was(opened, change):
    genotypes, path, _ = opened
    before = genotypes.gradient(np.ones(N))
    change(path)
    assert np.array_equal(genotypes.gradient(np.ones(N)), before)


def test_what_is_in_memory_does_not_depend_on_the_file(files):
    genotypes = ll.read_plink(files / "g").subset(np.arange(0, N, 2))
    before = genotypes.gradient(np.ones(N // 2))
    cut(files / "g.bed")
    assert np.array_equal(genotypes.gradient(np.ones(N // 2)), before)


@pytest.mark.parametrize("after_the_second_look", [False, True])
def test_changed_between_the_size_and_the_map(files, monkeypatch, after_the_second_look):
    """The .bed is cut after its size was looked at."""
    from lmmlasso_fast.io import plink

    def late(path, open_map, size=None):
        def open_cut():
            cut(path)
            return open_map()

        if after_the_second_look:
            return map_file(path, open_cut, size)
        cut(path)
        return map_file(path, open_map, size)

    monkeypatch.setattr(plink, "map_file", late)
    with pytest.raises(FileChangedError, match="found 5000"):
        ll.read_plink(files / "g")


@pytest.mark.parametrize("task", ["stability_selection", "cross_validate", "multi_split"])
def test_no_task_takes_it_for_a_failure_of_its_own(files, task, monkeypatch):
    """A replicate that fails counts as selecting nothing: a broken file must not be that."""
    monkeypatch.setattr(packed, "_COMPRESS_UP_TO", 0)
    genotypes = ll.read_plink(files / "g")
    y = genotypes.dosages([5])[:, 0] + np.random.default_rng(0).standard_normal(N)
    real, calls = _core.decode, []

    def decode(*arguments):
        calls.append(1)
        if len(calls) == 3:
            cut(files / "g.bed")
        return real(*arguments)

    options = {
        "stability_selection": {"n_active": 3, "n_replicates": 4},
        "cross_validate": {"n_folds": 3},
        "multi_split": {"n_active": 3, "n_splits": 4},
    }[task]
    if task != "cross_validate":
        options |= {"K": ll.kinship(genotypes)}
    monkeypatch.setattr(_core, "decode", decode)
    with catching_bus_errors(), pytest.raises(FileChangedError, match="changed while it was read"):
        getattr(ll, task)(genotypes, y, n_jobs=1, **options)


def test_maps_that_are_gone_are_not_watched(files):
    """Thousands of them, one after the other; descriptors are given back."""
    for _ in range(3000):
        map_file(files / "g.bed", lambda: np.memmap(files / "g.bed", mode="r"))
    genotypes = ll.read_plink(files / "g")
    cut(files / "g.bed")
    with pytest.raises(FileChangedError):
        genotypes.gradient(np.ones(N))


def test_many_maps_at_a_time(files):
    path = files / "g.bed"
    maps = [map_file(path, lambda: np.memmap(path, mode="r")) for _ in range(200)]
    for array in maps:
        check_unchanged(array)
    grow(path)
    for array in maps:
        with pytest.raises(FileChangedError):
            check_unchanged(array)


# --- other processes ----------------------------------------------------------------------------


def replace_alike(path):
    """Another file of the same size, by a rename."""
    other = path.with_name("other")
    other.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
    os.replace(other, path)


ELSEWHERE = {
    "cut": (cut, r"expected \d+ bytes, as where it was opened first, found 5000"),
    "grown": (grow, r"expected \d+ bytes, as where it was opened first, found \d+"),
    "written over": (overwrite, r"expected a file written at .* \(UTC\), .*, found one written at"),
    "replaced": (replace_alike, r"expected a file written at .* \(UTC\), .*, found one written at"),
    "deleted": (os.unlink, r"expected \d+ bytes, .*, found No such file or directory"),
}


@pytest.mark.parametrize("change", ELSEWHERE)
@pytest.mark.parametrize("sent_after", [False, True])
def test_opened_again_after_a_change(opened, change, sent_after, tally):
    """Compared with what was opened first, not with what is there when it is sent."""
    genotypes, path, _ = opened
    apply, message = ELSEWHERE[change]
    sent = None if sent_after else pickle.dumps(genotypes)
    apply(path)
    there = pickle.loads(pickle.dumps(genotypes) if sent_after else sent)
    for read in READS.values():
        with pytest.raises(FileChangedError, match=f"{path}: {message}.*every worker has to see"):
            read(there)
    tally(cases=len(READS))


def test_opened_again(opened):
    """A name and no numbers are sent, and the bits are the same; the new map is watched, too."""
    genotypes, path, _ = opened
    sent = pickle.dumps(genotypes)
    assert path.read_bytes()[5000:6000] not in sent
    there = pickle.loads(pickle.dumps(pickle.loads(sent)))
    assert np.array_equal(there.gradient(np.ones(N)), genotypes.gradient(np.ones(N)))
    overwrite(path)
    with pytest.raises(FileChangedError, match="written to since"):
        there.gradient(np.ones(N))


def test_opened_again_for_samples_packed_anew(files):
    genotypes = ll.read_plink(files / "g").subset(np.arange(0, N, 2))
    sent = pickle.dumps(genotypes)
    assert np.array_equal(
        pickle.loads(sent).gradient(np.ones(N // 2)), genotypes.gradient(np.ones(N // 2))
    )
    overwrite(files / "g.bed")
    with pytest.raises(FileChangedError, match="every worker has to see the same file"):
        pickle.loads(sent).gradient(np.ones(N // 2))


def gradient(genotypes, task):
    return genotypes.gradient(np.ones(N)).tobytes()


def gradient_of_a_cut_file(genotypes, task):
    """In a worker: the file is cut after the look at it, before it is read."""
    path = name_of(genotypes._data).path
    real = _core.gradient

    def cut_first(*arguments):
        os.truncate(path, 5000)
        return real(*arguments)

    _core.gradient = cut_first
    try:
        genotypes.gradient(np.ones(N))
    except FileChangedError as error:
        return str(error)
    finally:
        _core.gradient = real


def test_in_other_processes(files, processes):
    """The bits of this process, and its errors for a file that changed: no worker dies."""
    genotypes = ll.read_plink(files / "g")
    expected = gradient(genotypes, 0)
    assert dict(each(gradient, genotypes, range(4))) == dict.fromkeys(range(4), expected)
    genotypes = ll.read_plink(files / "g")  # not what the workers have already
    overwrite(files / "g.bed")
    with pytest.raises(FileChangedError, match=r"g\.bed: .* every worker has to see the same file"):
        list(each(gradient, genotypes, range(4)))
    genotypes = ll.read_plink(files / "g")
    [(_, message)] = each(gradient_of_a_cut_file, genotypes, [0])
    assert "g.bed: changed while it was read" in message


# --- the handler --------------------------------------------------------------------------------


def run_python(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True
    )


BUS_ERROR = """
import os, sys, mmap, faulthandler
from lmmlasso_fast.mapped import catching_bus_errors
faulthandler.enable()
with open(sys.argv[1], "rb") as file:
    foreign = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
os.truncate(sys.argv[1], 0)
with catching_bus_errors():
    foreign[20_000]
"""


def test_bus_errors_of_other_memory_end_the_process(files):
    """By the handler that was there before: here Python's, which says where."""
    ended = run_python(BUS_ERROR, files / "g.bed")
    assert ended.returncode == -signal.SIGBUS
    assert "Fatal Python error: Bus error" in ended.stderr


SENT = """
import faulthandler, os, signal
from lmmlasso_fast.mapped import catching_bus_errors
faulthandler.enable()
with catching_bus_errors():
    os.kill(os.getpid(), signal.SIGBUS)
    print("still there")
"""


def test_a_signal_that_somebody_sends_ends_the_process():
    ended = run_python(SENT)
    assert ended.returncode == -signal.SIGBUS
    assert "still there" not in ended.stdout
    assert "Fatal Python error: Bus error" in ended.stderr


def test_the_handler_stays_for_who_is_left():
    """Blocks of several threads overlap."""
    inside, leave = threading.Event(), threading.Event()

    def work():
        with catching_bus_errors():
            inside.set()
            assert leave.wait(60)

    worker = threading.Thread(target=work)
    with catching_bus_errors():
        worker.start()
        assert inside.wait(60)
    assert not _core.catch_bus_errors()  # it is installed
    leave.set()
    worker.join(60)
    assert _core.catch_bus_errors()
    _core.release_bus_errors()


def test_the_watch_ends_before_the_map(files, monkeypatch):
    """Else it would be of whatever is mapped in its place."""
    path, mapped = files / "g.bed", []
    array = map_file(path, lambda: np.memmap(path, mode="r"))
    own, forget = _watches[id(array._mmap)][0], _core.forget

    def look(watch):
        if watch == own:  # maps of other tests may go now, too
            with open("/proc/self/maps") as maps:
                mapped.append(str(path) in maps.read())
        forget(watch)

    monkeypatch.setattr(_core, "forget", look)
    part = array[5:]
    del array
    assert not mapped
    overwrite(path)
    with pytest.raises(FileChangedError):
        check_unchanged(part)
    del part
    gc.collect()
    assert mapped == [True]


WITHOUT = """
import os, sys
import numpy as np
import lmmlasso_fast as ll
from lmmlasso_fast import _core
from lmmlasso_fast.mapped import catching_bus_errors
genotypes = ll.read_plink(sys.argv[1])
with catching_bus_errors():
    pass
real = _core.gradient
def gradient(*arguments):
    os.truncate(sys.argv[1] + ".bed", 5000)
    return real(*arguments)
_core.gradient = gradient
genotypes.gradient(np.ones(120))
"""


def test_the_library_leaves_the_signal_alone(files):
    """Importing and using it installs no handler, and after the block there is none left."""
    assert run_python(WITHOUT, files / "g").returncode == -signal.SIGBUS


def test_one_handler_at_a_time():
    with catching_bus_errors():
        assert not _core.catch_bus_errors()
        with catching_bus_errors():
            pass
        assert not _core.catch_bus_errors()  # the inner block took nothing away
    assert _core.catch_bus_errors()
    _core.release_bus_errors()


# --- the command line ---------------------------------------------------------------------------


@pytest.fixture
def pheno(files):
    genotypes = ll.read_plink(files / "g")
    y = genotypes.dosages([5])[:, 0] + np.random.default_rng(0).standard_normal(N)
    ids = {name: genotypes.samples[name].to_list() for name in ("FID", "IID")}
    return write_table(files / "y.tsv", **ids, Y=y)


COMMANDS = {
    "fit": ["--n-alphas", 5],
    "cv": ["--n-alphas", 5, "--folds", 3],
    "scan": [],
    "stability": ["--replicates", 4, "--n-active", 3],
    "run": ["--n-alphas", 5, "--folds", 2, "--replicates", 2, "--n-active", 3],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("at", [1, 7])
def test_commands(files, pheno, command, at, monkeypatch):
    """Cut within the n-th read of columns: exit code 3, no result, the next run goes on."""
    (files / "out").mkdir()
    out = files / "out" / "P"
    bed = (files / "g.bed").read_bytes()
    base = ["--bfile", files / "g", "--pheno", pheno, "--threads", 1, *COMMANDS[command]]
    monkeypatch.setattr(packed, "_COMPRESS_UP_TO", 0)  # or replicates are read from memory
    calls = []

    def within(real):
        def read(*arguments):
            calls.append(1)
            if len(calls) == at:
                cut(files / "g.bed")
            return real(*arguments)

        return read

    with monkeypatch.context() as patch:
        for name in ("decode", "gradient"):
            patch.setattr(_core, name, within(getattr(_core, name)))
        err = lmmlasso(command, *base, "--out", out, code=3)
    assert f"error: {files}/g.bed: changed while it was read: expected the" in err
    assert run_json(out)["exit"]["code"] == 3
    left = {path.name for path in (files / "out").iterdir()}
    if command == "run":  # the files of the steps that were done before stay
        assert not {name for name in left if name.startswith(".") or name.endswith(".html")}
        assert "P.stable.tsv" not in left
    else:
        assert left <= {"P.log", "P.run.json", f"P.{command}.checkpoint"}
    (files / "g.bed").write_bytes(bed)
    resume = ["--resume"] if command in ("cv", "stability", "run") else []
    lmmlasso(command, *base, *resume, "--out", out)
    lmmlasso(command, *base, "--out", files / "straight")
    for path in files.glob("straight.*"):
        if not path.name.endswith((".log", ".run.json", ".html")):
            assert (files / "out" / f"P{path.name[8:]}").read_bytes() == path.read_bytes()


def test_an_input_that_changes_before_it_is_hashed(files, pheno, monkeypatch):
    """A checkpoint must not say that its tasks are of what came into the file later."""
    module = import_module("lmmlasso_fast.cli.null")
    fit_null = module.fit_null

    def changing(*arguments, **options):
        pheno.write_text(pheno.read_text().rstrip("\n") + "7\n")
        return fit_null(*arguments, **options)

    base = ["--bfile", files / "g", "--pheno", pheno, "--out", files / "P"]
    with monkeypatch.context() as patch:
        patch.setattr(module, "fit_null", changing)
        err = lmmlasso("stability", *base, *COMMANDS["stability"], code=3)
        assert "y.tsv: changed while it was read" in err
        assert not (files / "P.stability.checkpoint").exists()
        lmmlasso("fit", *base, *COMMANDS["fit"])  # its results are right, and it has no checkpoint
    inputs = {os.path.basename(found["path"]): found for found in run_json(files / "P")["inputs"]}
    assert inputs["y.tsv"] == {"path": str(pheno), "error": "changed while it was read"}
    assert "sha256" in inputs["g.bed"]

"""Files appear whole or not at all."""

import errno
import os
import re
import subprocess
import sys
from contextlib import nullcontext

import pytest

from lmmlasso_fast.errors import OutputError
from lmmlasso_fast.io import atomic
from lmmlasso_fast.io.atomic import atomic_write, remove_stale, together

pytestmark = pytest.mark.promise("whole-files")

posix = pytest.mark.skipif(sys.platform == "win32", reason="has limits of its own")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def write(path, content, then=None):
    with atomic_write(path) as file:
        file.write(content)
        if then is not None:
            raise then


def test_text_is_utf8_with_bare_newlines(tmp_path):
    path = tmp_path / "out.tsv"
    with atomic_write(path) as file:
        file.write("a\tÅ\n")
    assert path.read_bytes() == "a\tÅ\n".encode()
    assert os.listdir(tmp_path) == ["out.tsv"]


def test_bytes(tmp_path):
    path = tmp_path / "out.npz"
    with atomic_write(path, "wb") as file:
        file.write(b"\r\n\0")
    assert path.read_bytes() == b"\r\n\0"


def test_target_is_untouched_until_the_end(tmp_path):
    path = tmp_path / "out.tsv"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
        [temporary] = set(os.listdir(tmp_path)) - {"out.tsv"}
        assert temporary.startswith(".out.tsv")
    assert path.read_text() == "new"


@pytest.mark.parametrize("exception", [RuntimeError("bug"), KeyboardInterrupt()])
def test_exception_in_the_block_keeps_the_old_file(tmp_path, exception):
    path = tmp_path / "out.tsv"
    path.write_text("old")
    with pytest.raises(type(exception)):
        write(path, "half of the n", then=exception)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.tsv"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_after_the_block_is_an_output_error(tmp_path, monkeypatch, step):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "out.tsv"
    path.write_text("old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OutputError, match=r"out\.tsv.*No space left on device"):
        write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.tsv"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_full_disk_that_shows_only_at_close(tmp_path):
    """The operating system refuses the bytes that leave the buffer after the block."""
    program = """
import resource, signal, sys
from lmmlasso_fast.errors import OutputError
from lmmlasso_fast.io.atomic import atomic_write, together
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    with atomic_write(sys.argv[1]) as file:
        file.write("x" * 200)
        print("written to the buffer")
except OutputError as error:
    print(error)
"""
    path = tmp_path / "out.tsv"
    path.write_text("old")
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    # An editable installation may print what it rebuilds at import before them.
    first, second = run.stdout.splitlines()[-2:]
    assert first == "written to the buffer"
    assert str(path) in second
    assert "File too large" in second
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.tsv"]


def test_error_of_a_nested_file_is_not_wrapped(tmp_path):
    def write_both():
        with atomic_write(tmp_path / "a.tsv"):
            write(tmp_path / "absent" / "b.tsv", "")

    with pytest.raises(OutputError, match=r"absent.b\.tsv"):
        write_both()
    assert os.listdir(tmp_path) == []


def test_missing_directory(tmp_path):
    with pytest.raises(OutputError, match=r"absent.out\.tsv: cannot be written.*No such file"):
        write(tmp_path / "absent" / "out.tsv", "")


def test_directory_is_not_replaced(tmp_path):
    with pytest.raises(OutputError, match="expected a regular file"), atomic_write(tmp_path):
        pass
    assert tmp_path.is_dir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_is_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OutputError, match="expected a regular file"), atomic_write(path):
        pass
    assert path.is_fifo()


def test_link_stays_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "target.tsv"
    target.write_text("old")
    link = tmp_path / "link.tsv"
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize("longest", ["x" * 255, "ø" * 127, ".." + "é.ü" * 50, "x" * 142])
def test_names_of_any_length(tmp_path, longest):
    """The temporary file has room beside a target that just fits, there and where 143 bytes do."""
    path = tmp_path / longest
    with atomic_write(path) as file:
        [temporary] = os.listdir(tmp_path)
        assert len(os.fsencode(temporary)) <= 134
        os.fsencode(temporary).decode()  # no half of a character
        file.write("new")
    assert os.listdir(tmp_path) == [longest]
    assert path.read_text() == "new"


@posix
def test_a_name_that_is_too_long(tmp_path):
    for block in (nullcontext, together):
        with pytest.raises(OutputError, match=r"x: cannot .*File name too long"), block():
            write(tmp_path / ("x" * 256), "")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("several", [False, True])
def test_a_temporary_file_that_cannot_be_deleted_hides_nothing(tmp_path, monkeypatch, several):
    def fail(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(os, "unlink", fail)
    with (
        pytest.raises(OutputError, match=r"out\.tsv: cannot be written"),
        together() if several else nullcontext(),
    ):
        write(tmp_path / "out.tsv", "new")


@pytest.mark.skipif(sys.platform == "win32", reason="needs permission bits")
def test_permissions_follow_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "out.tsv"):
            pass
    finally:
        os.umask(previous)
    assert (tmp_path / "out.tsv").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("mode", ["a", "r", "x", "w+"])
def test_other_modes_are_refused(tmp_path, mode):
    with pytest.raises(ValueError, match="mode must be"), atomic_write(tmp_path / "x", mode):
        pass


def test_files_written_together_appear_together(tmp_path):
    with together():
        for name in ("a", "b"):
            with atomic_write(tmp_path / name) as file:
                file.write(name)
        assert not [name for name in os.listdir(tmp_path) if not name.startswith(".")]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "a", "b": "b"}


@pytest.mark.parametrize("exception", [RuntimeError("bug"), KeyboardInterrupt(), OutputError("x")])
def test_none_of_them_appears_after_an_exception(tmp_path, exception):
    (tmp_path / "a").write_text("old")

    def write_both():
        with together():
            write(tmp_path / "a", "new")
            write(tmp_path / "b", "half", then=exception)

    with pytest.raises(type(exception)):
        write_both()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}
    write(tmp_path / "c", "alone")  # the block is over
    assert (tmp_path / "c").read_text() == "alone"


def test_a_block_within_a_block_waits_for_the_outer_one(tmp_path):
    with together():
        with together():
            write(tmp_path / "a", "a")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_text() == "a"


def test_the_last_of_two_with_one_name_stays(tmp_path):
    with together():
        write(tmp_path / "a", "first")
        write(tmp_path / "a", "second")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "second"


# --- what a kill leaves --------------------------------------------------------------------------


WRITER = """
import sys, time
from lmmlasso_fast.io.atomic import atomic_write, together
with together():
    for path in sys.argv[1:]:
        with atomic_write(path) as file:
            file.write("x")
    print("written", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    """A process that has written P.a and P.b.c, but not given them their names yet."""
    arguments = [sys.executable, "-c", WRITER, tmp_path / "P.a", tmp_path / "P.b.c"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        while "written" not in child.stdout.readline():
            assert child.poll() is None
        yield child
        child.kill()


def kill(child):
    child.kill()
    child.wait()


@linux
def test_files_of_killed_processes_are_removed(tmp_path, writer):
    left = set(os.listdir(tmp_path))
    assert len(left) == 2
    remove_stale(tmp_path / "P")
    assert set(os.listdir(tmp_path)) == left  # it may go on
    kill(writer)
    for other in ("Q", "P.a.b", "p", "", "P*"):
        remove_stale(tmp_path / other)
    assert set(os.listdir(tmp_path)) == left
    remove_stale(tmp_path / "P")
    assert os.listdir(tmp_path) == []


@linux
def test_in_the_current_folder(tmp_path, writer, monkeypatch):
    kill(writer)
    monkeypatch.chdir(tmp_path)
    remove_stale("P")
    assert os.listdir(tmp_path) == []


@linux
def test_no_other_file_is_removed(tmp_path, writer):
    """Not one of another machine, nor one that only looks like ours, nor a folder or a link."""
    [name] = [name for name in os.listdir(tmp_path) if name.startswith(".P.a")]
    kill(writer)
    remove_stale(tmp_path / "P")
    match = re.fullmatch(r"\.P\.a\.([0-9a-f]{8})-(\d+)-([0-9a-f]{8})\.tmp", name)
    numbering, process, random = match.groups()
    others = [
        f".P.a.{int(numbering, 16) ^ 1:08x}-{process}-{random}.tmp",
        f".P.a.unknown-{process}-{random}.tmp",
        f".P.a.{numbering}-{os.getpid()}-{random}.tmp",
        f".P.a.{numbering}-{'9' * 30}-{random}.tmp",
        f".P.a.{numbering}-{process}-{random}.tmp.gz",
        f".P.a.{numbering}-{process}-{random[1:]}.tmp",
        f".P.{numbering}-{process}-{random}.tmp",
        f"P.a.{numbering}-{process}-{random}.tmp",
        f".PP.a.{numbering}-{process}-{random}.tmp",
        f".P.a.{random}.tmp",
    ]
    for other in others:
        (tmp_path / other).touch()
    (tmp_path / name).mkdir()
    link = name.replace(".P.a", ".P.link")
    (tmp_path / link).symlink_to(tmp_path / others[0])
    remove_stale(tmp_path / "P")
    assert set(os.listdir(tmp_path)) == {*others, name, link}


@linux
@pytest.mark.parametrize("prefix", ["P" * 98, "P" * 99, "P" * 100, "P" * 230, "ø" * 50, "p.é" * 57])
@pytest.mark.parametrize("suffix", ["a", "model.npz", "ö" * 8])
def test_files_of_long_names_are_removed(tmp_path, monkeypatch, prefix, suffix):
    path = tmp_path / f"{prefix}.{suffix}"
    with atomic_write(path):
        [temporary] = os.listdir(tmp_path)
        remove_stale(tmp_path / prefix)
        assert os.listdir(tmp_path) == [temporary]
    path.rename(tmp_path / temporary)  # as if the process had been killed before
    monkeypatch.setattr(atomic, "_runs", lambda process: process != os.getpid())
    for other in (prefix[:41], f"{prefix[:41]}_", f"_{prefix}"):
        remove_stale(tmp_path / other)
    assert os.listdir(tmp_path) == [temporary]
    remove_stale(tmp_path / prefix)
    assert os.listdir(tmp_path) == []


def test_a_system_that_does_not_number_its_boots(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(path)

    monkeypatch.setattr(os, "readlink", refused)
    assert atomic._numbering.__wrapped__() is None


def test_nothing_is_removed_where_processes_are_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_numbering", lambda: None)
    with atomic_write(tmp_path / "P.a"):
        [name] = os.listdir(tmp_path)
        assert name.startswith(f".P.a.unknown-{os.getpid()}-")
    (tmp_path / name).touch()
    monkeypatch.setattr(atomic, "_runs", lambda process: False)
    remove_stale(tmp_path / "P")
    assert sorted(os.listdir(tmp_path)) == sorted([name, "P.a"])


def test_a_folder_that_is_not_there(tmp_path):
    remove_stale(tmp_path / "absent" / "P")

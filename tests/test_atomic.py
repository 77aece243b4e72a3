"""Files appear whole or not at all."""

import errno
import os
import subprocess
import sys

import pytest

from lmmlasso_fast.errors import OutputError
from lmmlasso_fast.io.atomic import atomic_write, together


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

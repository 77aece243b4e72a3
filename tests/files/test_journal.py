"""Checkpoints: complete records survive whatever interrupts a run, and nothing else is accepted."""

import errno
import json
import os
import re
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from messages import refused

from lmmlasso_fast.errors import OutputError
from lmmlasso_fast.io.journal import (
    Journal,
    JournalError,
    check_same,
    merge_journals,
    read_journal,
)

pytestmark = pytest.mark.promise("whole-files")

FINGERPRINT = {"inputs": {"mouse.bed": {"size": 12}}, "seed": 7}
OPTIONS = {"alphas": [0.5, 0.25], "pheno": "größe"}
HEADER = {"format": "lmmlasso-journal", "version": 1, "kind": "cv"}
HEADER |= {"fingerprint": FINGERPRINT, "options": OPTIONS}
RESULTS = {
    3: {"floats": [5e-324, 1 / 3, -0.0, 1e308, 0.1 + 0.2], "name": "Å\n\u2028"},
    0: {"floats": [], "message": None, "converged": True},
    17: {"nested": {"a": [[1], [2, 3]]}, "integer": 2**70},
    4: {},
}


def sealed(content):
    """A line by the definition of the format; `content` is an object or the text of one."""
    body = content if isinstance(content, str) else json.dumps(content)
    body = body.encode().removesuffix(b"}")
    return body + f', "crc32": "{zlib.crc32(body):08x}"}}\n'.encode()


def record(task, result):
    return sealed({"task": task, "result": result})


def complete_records(data):
    """What a reader must find in the first bytes of a journal: the slow and obvious way."""
    lines = data.split(b"\n")[1:-1]  # without header and what follows the last newline
    return {content["task"]: content["result"] for content in map(json.loads, lines)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.checkpoint"


@pytest.fixture
def undisturbed(tmp_path):
    """The bytes of a journal with all RESULTS."""
    return written(tmp_path / "undisturbed", RESULTS).read_bytes()


def written(path, results, kind="cv", fingerprint=FINGERPRINT, options=OPTIONS):
    with Journal.create(path, kind, fingerprint, options) as journal:
        for task, result in results.items():
            journal.append(task, result)
    return path


def resumed(path):
    return Journal.resume(path, "cv", FINGERPRINT, OPTIONS)


# --- there and back -----------------------------------------------------------------------------


def test_what_is_read_is_what_was_written(path):
    written(path, RESULTS)
    kind, fingerprint, options, results = read_journal(path)
    assert (kind, fingerprint, options) == ("cv", FINGERPRINT, OPTIONS)
    assert repr(results) == repr(RESULTS)  # order and the sign of zero too


def test_the_format_is_the_documented_one(path):
    """Other programs and later versions read these bytes; gzip computed the literal checksums."""
    written(path, RESULTS)
    lines = [sealed(HEADER), *(record(*item) for item in RESULTS.items())]
    assert path.read_bytes() == b"".join(lines)
    path.write_bytes(
        b'{"format": "lmmlasso-journal", "version": 1, "kind": "cv", "fingerprint": {}, '
        b'"options": {}, "crc32": "0a28cfe4"}\n{"task": 17, "result": {}, "crc32": "b253c39a"}\n'
    )
    assert read_journal(path) == ("cv", {}, {}, {17: {}})


def test_random_floats_come_back_bit_for_bit(path):
    bits = np.random.default_rng(3).integers(0, 2**64, 2000, dtype=np.uint64)
    values = bits.view(np.float64)
    values = values[np.isfinite(values)]
    written(path, {0: {"values": values.tolist()}})
    again = np.array(read_journal(path)[3][0]["values"])
    assert again.tobytes() == values.tobytes()


def test_results_are_the_same_whether_they_were_read_or_appended(path):
    """Tuples and keys that are numbers become what JSON makes of them at once."""
    mine = {"pair": (1, 2.0), 5: "five"}
    with Journal.create(path, "cv", FINGERPRINT, OPTIONS) as journal:
        journal.append(2, mine)
        mine["pair"] = "changed later"
        assert journal.results == {2: {"pair": [1, 2.0], "5": "five"}}
    with resumed(path) as again:
        assert again.results == journal.results


def test_names_that_are_not_utf8_come_back(path):
    name = os.fsdecode(b"caf\xe9")
    written(path, {0: {"name": name}}, options={"bfile": name})
    _, _, options, results = read_journal(path)
    assert options["bfile"] == results[0]["name"] == name


def test_create_replaces_an_older_file(path):
    path.write_text("anything")
    Journal.create(path, "stability", FINGERPRINT, OPTIONS).close()
    assert read_journal(path) == ("stability", FINGERPRINT, OPTIONS, {})
    assert os.listdir(path.parent) == [path.name]


def test_each_record_is_in_the_file_when_append_returns(path):
    with Journal.create(path, "cv", FINGERPRINT, OPTIONS) as journal:
        for task, result in RESULTS.items():
            journal.append(task, result)
            assert read_journal(path)[3] == journal.results
            assert task in journal.results


def test_an_equal_result_of_a_task_is_not_written_twice(path, undisturbed):
    written(path, RESULTS)
    with resumed(path) as journal:
        for task, result in RESULTS.items():
            journal.append(task, result)
    assert path.read_bytes() == undisturbed


def test_another_result_of_a_task_is_refused(path, undisturbed):
    written(path, RESULTS)
    with resumed(path) as journal:
        refused(
            lambda _: journal.append(3, RESULTS[3] | {"name": "b"}),
            path,
            JournalError,
            expected='"\\u00c5',
            found='"b"',
        )
    assert path.read_bytes() == undisturbed


@pytest.mark.parametrize(
    ("task", "result"),
    [
        (-1, {}),
        (True, {}),
        (1.0, {}),
        ("1", {}),
        (1, [1]),
        (1, None),
        (1, {"a": float("nan")}),
        (1, {"a": [float("inf")]}),
        (1, {"a": np.arange(3)}),
    ],
)
def test_what_could_not_be_read_back_is_not_written(path, undisturbed, task, result):
    written(path, RESULTS)
    with resumed(path) as journal:
        with pytest.raises((ValueError, TypeError)):
            journal.append(task, result)
        assert journal.results == RESULTS
    assert path.read_bytes() == undisturbed


def test_create_refuses_what_it_could_not_read(path):
    with pytest.raises(ValueError, match="kind must be one of"):
        Journal.create(path, "folds", {}, {})
    with pytest.raises(ValueError, match="not JSON compliant"):
        Journal.create(path, "cv", {}, {"alpha": float("nan")})
    assert os.listdir(path.parent) == []


def test_a_closed_journal_takes_nothing(path):
    with Journal.create(path, "cv", FINGERPRINT, OPTIONS) as journal:
        journal.append(0, {})
    journal.close()
    with pytest.raises(ValueError, match="the journal is closed"):
        journal.append(1, {})
    assert read_journal(path)[3] == journal.results == {0: {}}


def test_remove(path):
    with Journal.create(path, "cv", FINGERPRINT, OPTIONS) as journal:
        journal.append(0, {})
    journal.remove()
    assert not path.exists()
    journal.remove()  # nothing there is what was wanted


# --- interruptions ------------------------------------------------------------------------------


def test_a_journal_cut_anywhere_goes_on_to_the_undisturbed_one(path, undisturbed):
    for size in range(len(undisturbed) + 1):
        path.write_bytes(undisturbed[:size])
        complete = complete_records(undisturbed[:size])
        if b"\n" in undisturbed[:size]:
            assert read_journal(path)[3] == complete
            assert path.stat().st_size == size  # reading alone leaves the file as it is
        with resumed(path) as journal:
            assert journal.results == complete, size
            for task, result in RESULTS.items():
                journal.append(task, result)
        assert path.read_bytes() == undisturbed, size


def test_a_last_line_with_a_wrong_checksum_is_dropped(path, undisturbed):
    """Blocks that were never written are zeros after a power failure."""
    start = undisturbed.rindex(b"\n", 0, -1) + 1
    *_, last = RESULTS
    for tail in (b"\0" * 50, b"{}\n", b"\n", undisturbed[start:].replace(b"4", b"5", 1)):
        path.write_bytes(undisturbed[:start] + tail)
        expected = {task: result for task, result in RESULTS.items() if task != last}
        assert read_journal(path)[3] == expected
        with resumed(path) as journal:
            assert journal.results == expected
            journal.append(last, RESULTS[last])
        assert path.read_bytes() == undisturbed


def test_a_changed_byte_before_the_last_line_is_an_error_with_its_line(path, undisturbed):
    # A change of the last newline here would join the last two lines.
    last_newline = undisturbed.rindex(b"\n", 0, -1)
    beginning = len('{"format": "lmmlasso-journal", ')
    for position in range(last_newline):
        damaged = bytearray(undisturbed)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        line = undisturbed.count(b"\n", 0, position) + 1
        for read in (read_journal, resumed):
            refused(
                read,
                path,
                JournalError,
                line=line,
                expected="header" if position < beginning else "checksum",
                found="something else" if position < beginning else "none or that of other",
            )
        assert path.read_bytes() == damaged


def test_resume_begins_a_journal_where_there_is_none(path, undisturbed):
    for content in (None, b"", undisturbed[:10], undisturbed[:60]):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with resumed(path) as journal:
            assert journal.results == {}
        assert path.read_bytes() == sealed(HEADER)


@pytest.mark.parametrize("content", [b"FID IID Y\n", b"{", b'{"a": 1}', b"\0\0", b"\n"])
def test_resume_does_not_write_over_another_file(path, content):
    if content == b"{":  # may be the first byte of a header
        content += b" "
    path.write_bytes(content)
    for read in (resumed, read_journal):
        refused(read, path, JournalError, line=1, expected="a header", found="something else")
    assert path.read_bytes() == content


KILLED = """
import sys
from lmmlasso_fast.io.journal import Journal
with Journal.resume(sys.argv[1], "cv", {"seed": 7}, {}) as journal:
    n = len(journal.results)
    print("resumed", n, flush=True)
    for task in range(n, n + 300):
        journal.append(task, {"task": task / 3, "much": str(task) * 100_000})
"""


@pytest.mark.promise("interrupts")
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_kill_at_random_moments(path):
    def result(task):
        return {"task": task / 3, "much": str(task) * 100_000}

    rng = np.random.default_rng(5)
    n = 0
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            # An editable installation may print what it rebuilds at import before it.
            started = next(line for line in child.stdout if line.startswith("resumed"))
            assert int(started.split()[1]) == n
            threading.Event().wait(rng.uniform(0, 0.03))
            child.kill()
        results = read_journal(path)[3]
        assert len(results) >= n
        n = len(results)
        assert results == {task: result(task) for task in range(n)}
    assert n > 0
    with Journal.resume(path, "cv", {"seed": 7}, {}) as journal:
        journal.append(n, result(n))
    expected = {task: result(task) for task in range(n + 1)}
    other = written(path.with_name("undisturbed"), expected, fingerprint={"seed": 7}, options={})
    assert path.read_bytes() == other.read_bytes()


def test_threads_append_at_the_same_time(path):
    """Each of 4 threads appends tasks of its own and 20 that all of them have."""
    start = threading.Barrier(4)
    tasks = [[*range(20), *range(100 * k, 100 * k + 60)] for k in range(1, 5)]
    failures = []

    def work(journal, mine):
        try:
            start.wait()
            for task in mine:
                journal.append(task, {"task": task, "text": "x" * (task % 7 * 1000)})
        except Exception as error:
            failures.append(error)

    with Journal.create(path, "cv", FINGERPRINT, OPTIONS) as journal:
        threads = [threading.Thread(target=work, args=(journal, mine)) for mine in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    results = read_journal(path)[3]
    assert results == journal.results == complete_records(path.read_bytes())
    assert sorted(results) == sorted({task for mine in tasks for task in mine})
    assert all(result["task"] == task for task, result in results.items())
    assert path.read_bytes().count(b"\n") == 1 + len(results)


# --- disks --------------------------------------------------------------------------------------


def write_half(file, data, write=os.write):
    return write(file, data[: len(data) // 2])


def write_nothing(file, data):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_half_and_interrupt(file, data, write=os.write):
    write(file, data[: len(data) // 2])
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (write_half, OutputError),
        (write_nothing, OutputError),
        (write_half_and_interrupt, KeyboardInterrupt),
    ],
)
def test_a_record_that_does_not_fit_leaves_no_trace(path, undisturbed, monkeypatch, write, error):
    first = dict(list(RESULTS.items())[:2])
    written(path, first)
    before = path.read_bytes()
    with resumed(path) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            with pytest.raises(error) as caught:
                journal.append(17, RESULTS[17])
        if error is OutputError:
            assert re.search(
                r"run\.checkpoint: cannot be written: expected .* space, found .*space",
                str(caught.value),
            )
        assert path.read_bytes() == before
        assert journal.results == first
        for task, result in RESULTS.items():  # there is space again
            journal.append(task, result)
    assert path.read_bytes() == undisturbed


def test_nothing_follows_a_part_that_cannot_be_cut_off(path, undisturbed, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    first = dict(list(RESULTS.items())[:2])
    written(path, first)
    with resumed(path) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write_half)
            patch.setattr(os, "ftruncate", fail)
            with pytest.raises(OutputError, match="cannot be written"):
                journal.append(17, RESULTS[17])
        with pytest.raises(ValueError, match="closed"):
            journal.append(4, RESULTS[4])
    assert read_journal(path)[3] == first
    with resumed(path) as journal:
        for task, result in RESULTS.items():
            journal.append(task, result)
    assert path.read_bytes() == undisturbed


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_limit_of_the_operating_system(path):
    """The first record fits, the second in part; nothing is simulated here."""
    program = """
import resource, signal, sys
from lmmlasso_fast.errors import OutputError
from lmmlasso_fast.io.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with Journal.create(sys.argv[1], "cv", {}, {}) as journal:
    journal.append(0, {"text": "x" * 200})
    try:
        journal.append(1, {"text": "x" * 2000})
    except OutputError as error:
        print(error)
    journal.append(2, {"text": "x" * 200})
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert re.search(r"run\.checkpoint: cannot .*, found space for \d+ of \d+ bytes;", run.stdout)
    assert read_journal(path)[3] == {task: {"text": "x" * 200} for task in (0, 2)}
    assert complete_records(path.read_bytes()) == read_journal(path)[3]


def test_a_full_disk_that_shows_at_close(path, monkeypatch):
    def fail(file, close=os.close):
        close(file)
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    def run(exception):
        with monkeypatch.context() as patch, resumed(path):
            patch.setattr(os, "close", fail)
            if exception is not None:
                raise exception

    written(path, {})
    with pytest.raises(OutputError, match=r"run\.checkpoint: cannot be written.*quota"):
        run(None)
    with pytest.raises(KeyboardInterrupt):
        run(KeyboardInterrupt())


@pytest.mark.parametrize("use", [resumed, lambda path: written(path, {})])
def test_a_folder_that_is_not_there(tmp_path, use):
    with pytest.raises(OutputError, match=r"x\.checkpoint: cannot be written"):
        use(tmp_path / "absent" / "x.checkpoint")


@pytest.mark.parametrize("use", [resumed, lambda path: written(path, {})])
def test_a_folder_that_is_read_only(tmp_path, use):
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(OutputError, match=r"x\.checkpoint: cannot be written.*Permission denied"):
        use(folder / "x.checkpoint")
    assert os.listdir(folder) == []


@pytest.mark.parametrize("step", ["open", "truncate"])
def test_a_file_that_is_read_only(path, undisturbed, monkeypatch, step):
    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    path.write_bytes(undisturbed[:-3])
    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(OutputError, match=r"run\.checkpoint: cannot be written.*Read-only"):
        resumed(path)


def test_a_file_that_cannot_be_deleted(path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    journal = Journal.create(path, "cv", FINGERPRINT, OPTIONS)
    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(OutputError, match=r"run\.checkpoint: cannot be deleted.*Permission"):
        journal.remove()


@pytest.mark.skipif(sys.platform == "win32", reason="no open file is replaced there")
def test_the_first_of_two_runs_leaves_the_file_of_the_other(path):
    first = Journal.create(path, "cv", FINGERPRINT, OPTIONS)
    first.append(0, {})
    other = Journal.create(path, "cv", FINGERPRINT | {"seed": 8}, OPTIONS)
    other.append(1, {})
    first.append(2, {})
    first.remove()
    other.append(3, {})
    assert read_journal(path)[3] == {1: {}, 3: {}}
    other.close()
    other.remove()
    assert not path.exists()
    other.remove()


@pytest.mark.parametrize("begin", [lambda path: path, lambda path: written(path, RESULTS)])
def test_a_file_that_was_closed_or_resumed_is_removed(path, begin):
    with resumed(begin(path)) as journal:
        journal.append(5, {})
    journal.remove()
    assert not path.exists()


@pytest.mark.parametrize("read", [read_journal, lambda path: merge_journals([path])])
def test_a_file_that_cannot_be_read(tmp_path, read):
    absent = tmp_path / "absent.partial"
    refused(read, absent, JournalError, expected="readable", found="No such file")
    refused(read, tmp_path, JournalError, expected="readable", found="directory")
    refused(resumed, tmp_path, JournalError, expected="readable", found="directory")
    absent.write_bytes(b"")
    refused(read, absent, JournalError, expected="header", found="empty")


# --- hostile content ----------------------------------------------------------------------------


def without(name):
    return {key: value for key, value in HEADER.items() if key != name}


@pytest.mark.parametrize(
    ("header", "expected", "found"),
    [
        ({"task": 0, "result": {}}, "format lmmlasso-journal", "something else"),
        (HEADER | {"format": "other"}, "format lmmlasso-journal", "something else"),
        (HEADER | {"format": ["lmmlasso-journal"]}, "lmmlasso-journal", "something else"),
        (HEADER | {"version": 2}, "1", "2"),
        (HEADER | {"version": True}, "1", "true"),
        (HEADER | {"version": 1.0}, "1", "1.0"),
        (without("version"), "1", "null"),
        (HEADER | {"kind": "folds"}, "stability or cv", '"folds"'),
        (HEADER | {"kind": ["cv"]}, "stability or cv", "a list"),
        (without("kind"), "fingerprint, format, kind", "fingerprint, format, options"),
        (HEADER | {"fingerprint": []}, "an object as fingerprint", "a list"),
        (HEADER | {"options": "none"}, "an object as options", '"none"'),
        (HEADER | {"more": 1}, "fingerprint, format, kind", "more"),
    ],
)
def test_headers_of_other_content(path, header, expected, found):
    path.write_bytes(sealed(header))
    refused(read_journal, path, JournalError, line=1, expected=expected, found=found)
    refused(resumed, path, JournalError, line=1, expected=expected, found=found)


@pytest.mark.parametrize(
    ("content", "expected", "found"),
    [
        ({"task": -1, "result": {}}, "an integer of at least 0", "-1"),
        ({"task": True, "result": {}}, "an integer", "true"),
        ({"task": 1.0, "result": {}}, "an integer", "1.0"),
        ({"task": "1", "result": {}}, "an integer", '"1"'),
        ({"task": None, "result": {}}, "an integer", "null"),
        ({"task": [1], "result": {}}, "an integer", "a list"),
        ({"task": {"a": 1}, "result": {}}, "an integer", "an object"),
        ({"task": "\x1b" * 100, "result": {}}, "an integer", "..."),
        ({"task": 1, "result": []}, "an object", "a list"),
        ({"task": 1, "result": None}, "an object", "null"),
        ({"task": 1}, "the fields result, task", '"task"'),
        ({"result": {}}, "the fields result, task", '"result"'),
        ({"task": 1, "result": {}, "x\x1b": 1}, "the fields result, task", "x\\u001b"),
        ('{"task": 1, "result": {"a": NaN}}', "JSON", "NaN is not finite"),
        ('{"task": 1, "result": {"a": -Infinity}}', "JSON", "-Infinity is not finite"),
        ('{"task": 1, "result": {"a": 1e999}}', "JSON", "1e999 is not finite"),
        ('{"task": 1, "result": {}', "JSON", "property name"),
        ('{"task": 1}, {"result": 1}', "JSON", "Extra data"),
        ('{"task": ' + "9" * 5000 + ', "result": {}}', "JSON", "4300"),
    ],
)
def test_records_of_other_content(path, content, expected, found):
    """The last line too: its checksum says that it is complete."""
    bad = sealed(content)
    for lines in ([bad], [record(5, {}), bad, record(6, {})]):
        path.write_bytes(sealed(HEADER) + b"".join(lines))
        line = 2 if len(lines) == 1 else 3
        for read in (read_journal, resumed):
            refused(read, path, JournalError, line=line, expected=expected, found=found)


def test_bytes_that_are_not_utf8(path):
    body = b'{"task": 1, "result": {"a": "\xff"}'
    line = body + f', "crc32": "{zlib.crc32(body):08x}"}}\n'.encode()
    path.write_bytes(sealed(HEADER) + line)
    refused(read_journal, path, JournalError, line=2, expected="JSON", found="utf-8")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting(tmp_path, opening, closing):
    """At every depth there is a result or a JournalError, also where a file can just be read but
    the comparison of two of them is too deep."""
    names = [tmp_path / "a", tmp_path / "b"]

    def outcomes(depth, n_records):
        deep = opening * depth + "1" + closing * depth
        record = sealed(f'{{"task": 1, "result": {{"deep": {deep}}}}}')
        header = json.dumps(HEADER)
        for name in names:
            name.write_bytes(sealed(header if n_records else header.replace("12", deep)))
            with name.open("ab") as file:
                file.write(record * n_records)
        for read in (lambda: read_journal(names[0]), lambda: merge_journals(names)):
            try:
                read()
                yield "read"
            except JournalError as error:
                message = str(error)
                # The place has a line only where that line alone was too deep.
                place = "a line" if ", line " in message else "the comparison"
                yield message.partition("found ")[2].partition(";")[0] + f" for {place}"

    low, high = 10, 1_000_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if "read" in outcomes(middle, 1) else (low, middle)
    seen = {
        outcome
        for depth in [10, *range(low - 20, low + 20)]
        for n_records in range(3)
        for outcome in outcomes(depth, n_records)
    }
    too_deep = "objects or lists nested too deeply for "
    assert seen == {"read", too_deep + "a line", too_deep + "the comparison"}


def test_a_task_that_occurs_twice(path):
    start = sealed(HEADER) + record(5, {}) + record(1, {"a": [1, -0.0], "b": 2})
    path.write_bytes(start + sealed('{"result": {"b": 2, "a": [1, -0.0]}, "task": 1}'))
    assert read_journal(path)[3] == {5: {}, 1: {"a": [1, -0.0], "b": 2}}
    for other, expected, found in [
        ({"a": [1, 0.0], "b": 2}, "-0.0", "0.0"),
        ({"a": [True, -0.0], "b": 2}, "1", "true"),
        ({"a": [1, -0.0], "b": 2.0}, "2", "2.0"),
        ({"a": [1, -0.0]}, "2", "no such field"),
    ]:
        path.write_bytes(start + record(1, other) + record(6, {}))
        refused(read_journal, path, JournalError, line=4, expected=expected, found=found)


# --- another run --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "found", "field", "texts"),
    [
        ({"a": 1}, {"a": 2}, "a", ("1", "2")),
        ({"a": 1, "b": 1}, {"b": 2, "a": 2}, "a", ("1", "2")),
        ({"a": {"b.c": {"d": 1}}}, {"a": {"b.c": {"d": "1"}}}, "a.b.c.d", ("1", '"1"')),
        ({"a": {"b": 1}, "c": 1}, {"a": {"b": 1}}, "c", ("1", "no such field")),
        ({}, {"a": {"b": 1}}, "a", ("no such field", '{"b": 1}')),
        ({"a": None}, {}, "a", ("null", "no such field")),
        ({"a": {}}, {"a": []}, "a", ("{}", "[]")),
        ({"a": {"b": 1}}, {"a": 1}, "a", ('{"b": 1}', "1")),
        ({"a": [1, 2, 3]}, {"a": [1, 5, 4]}, "a.1", ("2", "5")),
        ({"a": (1, 2)}, {"a": [1, 2, 3]}, "a.2", ("no such field", "3")),
        ({"a": 1}, {"a": True}, "a", ("1", "true")),
        ({"a": 1}, {"a": 1.0}, "a", ("1", "1.0")),
        ({"a": 0.0}, {"a": -0.0}, "a", ("0.0", "-0.0")),
        (
            {"a": "x" * 900},
            {"a": "y" * 900},
            "a",
            ('"' + "x" * 196 + "...", '"' + "y" * 196 + "..."),
        ),
        ({"a\n": 1}, {"a\n": 2}, "a\\n", ("1", "2")),
    ],
)
def test_the_first_field_that_differs_is_named(expected, found, field, texts):
    with pytest.raises(JournalError) as caught:
        check_same(expected, found, "x.partial", "its input")
    message = str(caught.value)
    start = f"x.partial: its input, field '{field}': expected {texts[0]}, found {texts[1]}; "
    assert message.startswith(start), message


@pytest.mark.parametrize(
    "same", [{}, {"a": {"b": [1, {"c": 0.1}]}, "d": None}, {"a": (1, (2,))}, {1: {2: "x"}}]
)
def test_equal_dicts_pass(same):
    check_same(same, json.loads(json.dumps(same)), "x.partial", "its input")
    check_same(dict(reversed(same.items())), same, "x.partial", "its input")


def test_resume_refuses_another_run(path, undisturbed):
    path.write_bytes(undisturbed[:-3])

    def with_seed(path):
        return Journal.resume(path, "cv", FINGERPRINT | {"seed": 8}, OPTIONS)

    refused(with_seed, path, JournalError, expected="8", found="7")
    with pytest.raises(JournalError, match="field 'seed'"):
        with_seed(path)
    with pytest.raises(JournalError, match=r"field 'inputs\.mouse\.bed\.size'"):
        Journal.resume(path, "cv", {"inputs": {"mouse.bed": {"size": 1}}, "seed": 7}, OPTIONS)
    with pytest.raises(JournalError, match='field \'kind\': expected "stability", found "cv"'):
        Journal.resume(path, "stability", FINGERPRINT, OPTIONS)
    assert path.read_bytes() == undisturbed[:-3]


def test_resume_takes_the_same_fingerprint_as_tuples_and_other_options(path):
    written(path, {1: {}}, fingerprint={"alphas": [1, 2]})
    with Journal.resume(path, "cv", {"alphas": (1, 2)}, {"threads": 3}) as journal:
        assert journal.results == {1: {}}
    assert read_journal(path)[2] == OPTIONS


# --- merging ------------------------------------------------------------------------------------


def test_merging_parts_gives_the_whole(tmp_path):
    """Parts in any order and with overlaps; one of them was interrupted."""
    items = list(RESULTS.items())
    parts = [items[2:], items[:1], items[1:3]]
    names = [written(tmp_path / str(k), dict(part)) for k, part in enumerate(parts)]
    with names[0].open("ab") as file:
        file.write(record(99, {})[:-1])
    for order in ([0, 1, 2], [2, 1, 0], [1, 1, 0, 2]):
        kind, fingerprint, options, results = merge_journals(iter([names[k] for k in order]))
        assert (kind, fingerprint, options) == ("cv", FINGERPRINT, OPTIONS)
        assert repr(results) == repr(dict(sorted(items)))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "stability"}, "kind"),
        ({"fingerprint": FINGERPRINT | {"seed": 8}}, "fingerprint.seed"),
    ],
)
def test_parts_of_two_runs_are_not_merged(tmp_path, change, field):
    same = [written(tmp_path / name, RESULTS) for name in "ab"]
    other = written(tmp_path / "other", {}, **change)
    with pytest.raises(JournalError) as caught:
        merge_journals([*same, other])
    assert str(caught.value).startswith(f"{other}: not of the same run as {same[0]}, ")
    assert f"field '{field}': expected" in str(caught.value)


def test_options_may_differ_and_are_those_of_the_first_part(tmp_path):
    one = written(tmp_path / "a", RESULTS)
    other = written(tmp_path / "b", {}, options=OPTIONS | {"alphas": [0.5]})
    assert merge_journals([one, other])[2] == OPTIONS
    assert merge_journals([other, one])[2] == OPTIONS | {"alphas": [0.5]}


def test_parts_with_two_results_of_a_task_are_not_merged(tmp_path):
    a = written(tmp_path / "a", RESULTS)
    b = written(tmp_path / "b", {4: {}, 3: {"floats": [5e-324, 1 / 3, 0.0]}})
    refused(lambda _: merge_journals([a, b]), b, JournalError, expected="-0.0", found="0.0")
    with pytest.raises(JournalError, match=r"task 3 with two results, field 'floats\.2'"):
        merge_journals([a, b])


def test_merging_nothing(path):
    with pytest.raises(JournalError, match="expected one file or more, found none"):
        merge_journals([])

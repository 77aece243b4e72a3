"""Maps that the caller made, and parts of them: watched here, and the same numbers in workers."""

import os
import pickle
import sys

import numpy as np
import pytest

from lmmlasso_fast import dosage, packed
from lmmlasso_fast.dense import DenseGenotypes
from lmmlasso_fast.dosage import DosageGenotypes
from lmmlasso_fast.errors import FileChangedError
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.mapped import (
    MapName,
    check_unchanged,
    map_file,
    name_of,
    open_again,
    own_map,
    to_send,
)
from lmmlasso_fast.parallel import each

pytestmark = [
    pytest.mark.promise("any-bytes", "no-wrong-answer"),
    pytest.mark.skipif(sys.platform == "win32", reason="mapped files are locked there"),
]

N, P = 120, 4000

#: Parts of an array of 7 x 5.
PARTS = {
    "all": lambda X: X,
    "rows": lambda X: X[1:],
    "every second column": lambda X: X[:, ::2],
    "backwards": lambda X: X[::-1, ::-2],
    "transposed": lambda X: X.T,
    "other numbers": lambda X: X.view(np.int64),
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_what_is_named(tmp_path, part, order):
    """By its name another process opens the same numbers of the same file, and watches them."""
    path = tmp_path / "X.npy"
    X = np.asarray(np.random.default_rng(0).standard_normal((7, 5)), order=order)
    np.save(path, X)
    array = map_file(path, lambda: np.load(path, mmap_mode="r"))
    expected = part(np.asarray(array))
    again = open_again(pickle.loads(pickle.dumps(name_of(expected))))
    assert (again.dtype, again.strides) == (expected.dtype, expected.strides)
    assert again.tobytes() == expected.tobytes()
    check_unchanged(again)
    os.truncate(path, path.stat().st_size - 8)
    for map_ in (expected, again):
        with pytest.raises(FileChangedError):
            check_unchanged(map_)


def test_what_has_no_name(tmp_path):
    np.save(tmp_path / "X.npy", np.arange(5.0))
    watched = map_file(tmp_path / "X.npy", lambda: np.load(tmp_path / "X.npy", mmap_mode="r"))
    unwatched = np.load(tmp_path / "X.npy", mmap_mode="r")
    for array in (np.array(watched), unwatched, np.ma.MaskedArray(watched)):
        assert name_of(array) is None
    assert type(to_send(watched)) is MapName
    assert to_send(np.asarray(unwatched[1:])).base is None


def gradient(genotypes, task):
    return genotypes.gradient(np.ones(N)).tobytes()


@pytest.fixture(params=["numbers", "codes"])
def callers(request, tmp_path):
    """A file of an array, and what makes genotypes of a map of it."""
    rng, path = np.random.default_rng(3), tmp_path / "X.npy"
    if request.param == "numbers":
        np.save(path, rng.standard_normal((N, P)))
        return path, DenseGenotypes
    np.save(path, rng.integers(0, 255, (P, N), dtype=np.uint8))
    return path, DosageGenotypes


def replace(path):
    """Another file of the same size, by a rename."""
    np.save(path.with_suffix(".new.npy"), np.load(path)[::-1])
    os.replace(path.with_suffix(".new.npy"), path)


def test_callers_map_of_a_file_that_was_replaced(callers, processes):
    """Its name is another file's: workers must not open that."""
    path, genotypes_of = callers
    X = np.load(path, mmap_mode="r")
    expected = gradient(genotypes_of(np.array(X)), 0)
    replace(path)
    genotypes = genotypes_of(X)
    assert gradient(genotypes, 0) == expected
    assert dict(each(gradient, genotypes, range(3))) == dict.fromkeys(range(3), expected)


def test_callers_map_of_a_file_that_is_shorter_now(callers):
    path, genotypes_of = callers
    X = np.load(path, mmap_mode="r")
    expected = gradient(genotypes_of(np.array(X)), 0)
    np.save(path.with_suffix(".new.npy"), np.zeros(3))
    os.replace(path.with_suffix(".new.npy"), path)
    assert gradient(genotypes_of(X), 0) == expected


def test_caller_writes_to_the_map(callers):
    """What was made of it before is refused, what is made of it afterwards is not."""
    path, genotypes_of = callers
    X = np.load(path, mmap_mode="r+")
    before = genotypes_of(X)
    assert name_of(before._X if hasattr(before, "_X") else before._codes) is not None
    X[:3] = X[3:6]
    X.flush()
    os.utime(path, ns=(0, 0))  # clocks of file systems are coarse
    with pytest.raises(FileChangedError, match="was written to since"):
        gradient(before, 0)
    assert gradient(genotypes_of(X), 0) == gradient(genotypes_of(np.array(X)), 0)


def test_callers_map_that_was_cut(callers):
    path, genotypes_of = callers
    X = np.load(path, mmap_mode="r")
    size = path.stat().st_size
    os.truncate(path, size // 2)
    with pytest.raises(FileChangedError, match=f"expected the {size} bytes .* found {size // 2}"):
        genotypes_of(X)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_parts_of_callers_maps_at_any_offset(tmp_path, part, order):
    path = tmp_path / "X"
    values = np.random.default_rng(1).standard_normal((70, 90))
    X = np.memmap(path, np.float64, "w+", 5001, (70, 90), order)  # beyond a page, not aligned
    X[:] = values
    own = own_map(part(X))
    assert own._mmap is not X._mmap
    assert not own.flags.writeable
    assert (own.dtype, own.strides) == (part(X).dtype, part(X).strides)
    assert own.tobytes() == part(values).tobytes()
    os.truncate(path, 5000)
    with pytest.raises(FileChangedError):
        check_unchanged(own)


def test_only_the_part_has_to_be_in_the_file(tmp_path):
    """Numbers beside it are not looked at: parts of a large map are made one after the other."""
    path = tmp_path / "X.npy"
    np.save(path, np.arange(70.0).reshape(10, 7))
    X = np.load(path, mmap_mode="r")
    new = np.array(X)
    new[[2, 6]] = -1
    np.save(tmp_path / "new.npy", new)
    os.replace(tmp_path / "new.npy", path)
    for part, there in ((X[3:6], True), (X[5:2:-1, ::2], True), (X[2:6], False), (X[3:7], False)):
        own = own_map(part)
        assert own.tobytes() == part.tobytes()
        assert (name_of(own) is not None) == there


def test_numbers_below_a_mask(tmp_path):
    """An array of what a masked array of a map holds, without the mask."""
    X = np.memmap(tmp_path / "X", np.float64, "w+", shape=(70, 90))
    X[:] = 1
    for array in (np.asarray(np.ma.MaskedArray(X)), np.ma.MaskedArray(X).data):
        assert name_of(own_map(array)) is not None


def test_callers_maps_that_stay_theirs(tmp_path):
    X = np.memmap(tmp_path / "X", np.float64, "w+", shape=(70, 90))
    for array in (np.array(X), np.memmap(tmp_path / "X", np.float64, "c"), np.ma.MaskedArray(X)):
        assert own_map(array) is array
    (tmp_path / "X").unlink()
    assert own_map(X) is X


def test_callers_changes_that_are_not_in_the_file(callers, processes):
    """Workers are sent the numbers that this process sees."""
    path, genotypes_of = callers
    X = np.load(path, mmap_mode="c")
    X[:3] = X[3:6]
    genotypes = genotypes_of(X)
    expected = gradient(genotypes_of(np.array(X)), 0)
    assert dict(each(gradient, genotypes, range(3))) == dict.fromkeys(range(3), expected)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("made", "module", "reader"),
    [(Genotypes.from_array, packed, "pack"), (DosageGenotypes.from_dosages, dosage, "quantise")],
    ids=["packed", "dosages"],
)
def test_a_callers_map_that_is_cut_and_packed(tmp_path, monkeypatch, made, module, reader, after):
    """Dosages of a map are read once, into memory."""
    path = tmp_path / "X.npy"
    np.save(path, np.zeros((N, 2000)))
    X = np.load(path, mmap_mode="r")

    def cut(*arguments, **options):
        found = read(*arguments, **options)
        os.truncate(path, 5000)
        return found

    read = getattr(module, reader)
    if after:
        monkeypatch.setattr(module, reader, cut)
    else:
        os.truncate(path, 5000)
    with pytest.raises(FileChangedError, match="found 5000"):
        made(X)

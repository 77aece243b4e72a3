"""Folds against what they must be: whole, balanced, repeatable; and the messages of refusals."""

import re
import tracemalloc
from itertools import chain

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

import lmmlasso_fast as ll
from lmmlasso_fast.errors import InputError, KinshipError
from lmmlasso_fast.folds import _whole_groups, kinship_groups, make_folds

pytestmark = pytest.mark.promise("peers")

seeds = st.integers(0, 2**40)


def parts(folds, repeat=0):
    return [fold.test.tolist() for fold in folds if fold.repeat == repeat]


def same(one, other):
    return len(one) == len(other) and all(
        a.repeat == b.repeat and np.array_equal(a.train, b.train) and np.array_equal(a.test, b.test)
        for a, b in zip(one, other, strict=True)
    )


def check_partition(folds, n, n_folds, n_repeats=1):
    """Every sample in one test part per repeat, and in the training part of all the others."""
    assert [fold.repeat for fold in folds] == [r for r in range(n_repeats) for _ in range(n_folds)]
    for fold in folds:
        assert fold.train.dtype == fold.test.dtype == np.int64
        assert len(fold.test) > 0
        assert fold.train.tolist() == sorted(set(range(n)) - set(fold.test.tolist()))
        assert fold.test.tolist() == sorted(fold.test.tolist())
    for repeat in range(n_repeats):
        assert sorted(chain.from_iterable(parts(folds, repeat))) == list(range(n))


# ---- at random -------------------------------------------------------------------------------


@given(st.data(), st.integers(6, 60), st.integers(1, 4), seeds)
def test_parts_of_a_permutation(data, n, n_repeats, seed):
    n_folds = data.draw(st.integers(2, n))
    folds = make_folds(n, n_folds, n_repeats=n_repeats, seed=seed)
    check_partition(folds, n, n_folds, n_repeats)
    sizes = {len(fold.test) for fold in folds}
    assert max(sizes) - min(sizes) <= 1
    assert same(folds, make_folds(n, n_folds, n_repeats=n_repeats, seed=seed))
    assert same(folds, make_folds(n, n_folds, n_repeats=n_repeats + 1, seed=seed)[: len(folds)])


def test_seeds_and_repeats_differ_and_ten_folds_are_usual():
    folds = make_folds(50, n_repeats=3)
    assert len(folds) == 30
    divisions = [parts(folds, r) for r in range(3)] + [
        parts(make_folds(50, seed=s)) for s in (1, 2, np.int64(3), 2**70)
    ]
    assert len({str(division) for division in divisions}) == 7
    assert str(list(range(5))) not in str(divisions)  # drawn, not cut in order


def test_every_sample_is_as_often_in_every_fold():
    counts = np.zeros((12, 4))
    for k, fold in enumerate(make_folds(12, 4, n_repeats=2000)):
        counts[fold.test, k % 4] += 1
    assert (abs(counts - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75)).all()


def test_folds_are_not_the_subsamples_of_stability_selection():
    """Its replicates draw from the children of the seed."""
    for r in range(4):
        rng = np.random.default_rng(np.random.SeedSequence(7, spawn_key=(r,)))
        halves = np.sort(rng.permutation(40).reshape(2, 20)).tolist()
        assert sorted(halves) != sorted(parts(make_folds(40, 2, n_repeats=4, seed=7), r))


# ---- by groups -------------------------------------------------------------------------------


def smallest_first(sizes, n_folds):
    """Sizes of the folds if the largest group always goes to the smallest fold."""
    folds = [0] * n_folds
    for size in sorted(sizes, reverse=True):
        folds[folds.index(min(folds))] += size
    return sorted(folds)


@given(st.lists(st.integers(0, 15), min_size=8, max_size=60), st.data(), seeds)
def test_whole_groups_to_the_smallest_fold(groups, data, seed):
    sizes = np.unique(groups, return_counts=True)[1].tolist()
    if len(sizes) < 2 or max(sizes) > len(groups) - 3:
        return
    n_folds = data.draw(st.integers(2, len(sizes)))
    expected = smallest_first(sizes, n_folds)
    if len(groups) - expected[-1] < 3:
        return
    folds = make_folds(len(groups), n_folds, groups=groups, n_repeats=2, seed=seed)
    check_partition(folds, len(groups), n_folds, 2)
    groups = np.array(groups)
    for fold in folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
    for repeat in range(2):
        assert sorted(len(test) for test in parts(folds, repeat)) == expected
    assert max(expected) - min(expected) <= max(sizes)
    again = make_folds(len(groups), n_folds, groups=groups, n_repeats=2, seed=seed)
    assert same(folds, again)


def test_groups_of_one_size_keep_the_order_that_was_drawn():
    """Which no other way to sort may change."""
    rng = np.random.default_rng(5)
    order, folds = rng.permutation(300), rng.permutation(7)
    expected = np.empty(300, dtype=int)
    expected[order] = folds[np.arange(300) % 7]
    found = _whole_groups(np.repeat(np.arange(300), 2), 7, np.random.default_rng(5))
    assert_array_equal(found, np.repeat(expected, 2))


@pytest.mark.parametrize(
    "rename",
    [
        lambda labels: [f"family {label}" for label in labels],
        lambda labels: np.array([f"{-label}" for label in labels]),
        lambda labels: [float(label) / 3 for label in labels],
        lambda labels: np.array(labels, dtype=np.float32),
        lambda labels: np.array(labels, dtype=">i2"),
        lambda labels: pl.Series(labels),
        lambda labels: pl.Series([str(label) for label in labels], dtype=pl.Categorical),
        lambda labels: np.ma.masked_array(labels, [False] * len(labels)),
        lambda labels: [2**80 + label for label in labels],
    ],
)
def test_the_names_of_groups_do_not_matter(rename):
    labels = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9]
    folds = make_folds(15, 4, groups=labels, n_repeats=3)
    assert same(make_folds(15, 4, groups=rename(labels), n_repeats=3), folds)


def test_true_and_false_are_groups():
    groups = [x > 3 for x in np.arange(8)]
    assert sorted(parts(make_folds(8, 2, groups=groups))) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert same(make_folds(8, 2, groups=np.array(groups)), make_folds(8, 2, groups=groups))


def test_ties_are_drawn():
    """Groups of one size in any fold; the largest in any fold as well."""
    groups = np.repeat(np.arange(9), [4, 2, 2, 2, 2, 2, 2, 1, 1])
    folds = make_folds(18, 3, groups=groups, n_repeats=60)
    with_first = [k % 3 for k, fold in enumerate(folds) if 0 in fold.test]
    assert set(with_first) == {0, 1, 2}
    for group in range(1, 7):
        member = 2 + 2 * group
        together = [member in fold.test for fold in folds if 0 in fold.test]
        assert 0 < sum(together) < 60


def test_one_group_per_fold_is_leave_one_group_out():
    groups = np.array(list("abcdeabcdfabcc"))
    expected = [test.tolist() for _, test in LeaveOneGroupOut().split(groups, None, groups)]
    assert sorted(parts(make_folds(14, 6, groups=groups))) == sorted(expected)


# ---- splitters -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "splitter",
    [
        KFold(5),
        KFold(4, shuffle=True, random_state=3),
        GroupKFold(3),
        LeaveOneGroupOut(),
        LeaveOneOut(),
        RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
        ShuffleSplit(4, test_size=0.3, train_size=0.5, random_state=1),
        StratifiedKFold(3),
        TimeSeriesSplit(4),
    ],
    ids=lambda splitter: type(splitter).__name__,
)
def test_splitters_of_scikit_learn_pass_through(splitter):
    n, rng = 24, np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    groups = rng.integers(0, 6, n) if "Group" in type(splitter).__name__ else None
    expected = list(splitter.split(np.zeros((n, 1)), y, groups))
    folds = make_folds(n, splitter=splitter, groups=groups, y=y)
    pairs = make_folds(n, splitter=iter(expected))
    assert same(folds, pairs)
    assert len(folds) == len(expected)
    for fold, (train, test) in zip(folds, expected, strict=True):
        assert_array_equal(fold.train, np.sort(train))
        assert_array_equal(fold.test, np.sort(test))
        assert (fold.train.dtype, fold.test.dtype, fold.repeat) == (np.int64, np.int64, 0)


def test_pairs_of_any_kind_sorted_and_untouched():
    test = np.array([5, 0], dtype=np.uint8)
    pairs = [
        ([4, 2, 3], test),
        np.array([[1, 0, 2], [5, 4, 3]]),
        (np.arange(6) > 1, [True, False, False, False, False, False]),
    ]
    folds = make_folds(6, splitter=pairs)
    assert [(f.train.tolist(), f.test.tolist()) for f in folds] == [
        ([2, 3, 4], [0, 5]),
        ([0, 1, 2], [3, 4, 5]),
        ([2, 3, 4, 5], [0]),
    ]
    assert test.tolist() == [5, 0]


class Broken:
    def split(self, X, y, groups):
        yield from [([0, 1, 2], [3]), ([1, 2, 3], [3])]


GOOD = ([0, 1, 2, 3], [4, 5])


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"splitter": [GOOD, ([0, 1, 2], [12])]}, ["0 to 11", "test part of fold 2", "found 12"]),
        ({"splitter": [([-1, 1, 2], [3])]}, ["0 to 11 in the training part of fold 1", "found -1"]),
        ({"splitter": [([0, 1, 2, 4], [4, 2])]}, ["found 2 in fold 1 (the first is 2)"]),
        ({"splitter": Broken()}, ["found 1 in fold 2 (the first is 3)"]),
        ({"splitter": [([0, 1, 2], [])]}, ["found no sample in that of fold 1"]),
        ({"splitter": [([0, 1, 2], np.zeros(12, bool))]}, ["no sample"]),
        ({"splitter": [([0, 1], [2])]}, ["at least 3", "found 2 in that of fold 1"]),
        ({"splitter": [([], [2])]}, ["at least 3", "found 0"]),
        ({"splitter": [([0, 1, 1, 2], [3])]}, ["every sample once", "found 1 again"]),
        ({"splitter": [([0.0, 1.0, 2.0], [3])]}, ["float64 of shape (3,)"]),
        ({"splitter": [([0, 1, 2], np.ones(11, bool))]}, ["length 12", "bool of shape (11,)"]),
        ({"splitter": [([0, 1, 2], 3)]}, ["of shape ()"]),
        ({"splitter": [([0, 1, 2], [[3]])]}, ["of shape (1, 1)"]),
        ({"splitter": [([0, 1, 2], [[3], [4, 5]])]}, ["test part of fold 1", "inhomogeneous"]),
        ({"splitter": [GOOD, (1, 2, 3)]}, ["a pair", "found tuple as fold 2"]),
        ({"splitter": [1, 2]}, ["a pair", "found int as fold 1"]),
        ({"splitter": []}, ["at least one fold, found none"]),
        ({"splitter": 5}, ["method split", "found 5", "n_folds"]),
        ({"splitter": "GroupKFold"}, ["method split", "found 'GroupKFold'"]),
        ({"splitter": KFold}, ["method split", "KFold"]),
        ({"splitter": KFold(20)}, ["12 samples", "KFold cannot", "n_splits=20"]),
        ({"splitter": GroupKFold(3)}, ["GroupKFold cannot", "'groups'"]),
        ({"splitter": StratifiedKFold(3)}, ["StratifiedKFold cannot", "y and groups"]),
        ({"splitter": TimeSeriesSplit(10)}, ["at least 3", "found 2 in that of fold 1"]),
        ({"splitter": KFold(3), "n_repeats": 2}, ["n_repeats: expected 1", "found 2"]),
        ({"splitter": [GOOD], "groups": range(12)}, ["groups: expected none"]),
        ({"splitter": GroupKFold(2), "groups": [None] * 12}, ["groups:", "position 0 (12 in all)"]),
    ],
)
def test_splitters_that_cannot_be_used_are_refused(options, texts):
    refused(lambda: make_folds(12, **options), texts)


# ---- refusals --------------------------------------------------------------------------------


def refused(call, texts):
    with pytest.raises(InputError) as caught:
        call()
    assert type(caught.value) is InputError
    for text in ["expected", "found", *texts]:
        assert text in str(caught.value)


@pytest.mark.parametrize("value", [0, 1, 13, -3, 2.0, "5", True, None, np.nan])
def test_the_number_of_folds(value):
    text = f"n_folds: expected an integer from 2 to the 12 samples, found {value!r}"
    refused(lambda: make_folds(12, value), [text])
    refused(lambda: kinship_groups(np.eye(12), 0.5, value), [text])


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ({"n_samples": 3}, ["n_samples: expected an integer of at least 4, found 3"]),
        ({"n_samples": 12.0}, ["n_samples", "12.0"]),
        ({"n_repeats": 0}, ["n_repeats: expected an integer of at least 1, found 0"]),
        ({"n_repeats": True}, ["n_repeats", "True"]),
        ({"seed": -1}, ["seed: expected an integer of at least 0, found -1"]),
        ({"seed": None}, ["seed", "None"]),
        ({"n_samples": 4, "n_folds": 2}, ["n_folds: expected at least 3", "found 2 in that of"]),
        ({"n_samples": 5, "n_folds": 2}, ["found 2 in that of fold 1", "more folds"]),
        ({"n_folds": 4, "groups": [1, 2, 3] * 4}, ["groups: expected", "the 4 folds, found 3"]),
        ({"n_folds": 2, "groups": ["a"] * 12}, ["the 2 folds, found 1"]),
        ({"n_folds": 2, "groups": ["a"] * 10 + ["b"] * 2}, ["groups: expected", "smaller groups"]),
        ({"groups": range(11)}, ["12 labels", "(11,)"]),
        ({"groups": np.ones((12, 1))}, ["12 labels", "(12, 1)"]),
        ({"groups": "family"}, ["12 labels", "()"]),
        ({"groups": ["a", "b", None] * 4}, ["found None at position 2 (4 in all)"]),
        ({"groups": ["a", "b", np.nan] * 4}, ["found nan at position 2"]),
        ({"groups": np.where(np.arange(12) == 7, np.nan, 1.0)}, ["nan at position 7 (1 in all)"]),
        ({"groups": np.ma.masked_equal(np.arange(12), 5)}, ["None at position 5 (1 in all)"]),
        ({"groups": pl.Series([1, None] * 6)}, ["position 1 (6 in all)"]),
        ({"groups": pl.Series(["x", None] * 6)}, ["position 1 (6 in all)"]),
        ({"groups": [b"a"] * 12}, ["b'a'"]),
        ({"groups": [1j] * 12}, ["1j"]),
        ({"groups": [1, "1"] * 6}, ["found both: '1' and 1"]),
    ],
)
def test_what_cannot_be_divided_is_refused(arguments, texts):
    arguments = {"n_samples": 12, **arguments}
    refused(lambda: make_folds(**arguments), texts)


# ---- relatives -------------------------------------------------------------------------------


def components(A, threshold):
    """Walk over all pairs above the threshold; groups numbered as they appear."""
    group = [None] * len(A)
    for i in range(len(A)):
        if group[i] is None:
            group[i] = 1 + max((g for g in group if g is not None), default=-1)
            todo = [i]
            while todo:
                j = todo.pop()
                for k in range(len(A)):
                    if k != j and group[k] is None and A[j, k] > threshold:
                        group[k] = group[j]
                        todo.append(k)
    return group


def is_workable(group, n_folds):
    sizes = np.bincount(group)
    return len(sizes) >= n_folds and sizes.max() <= len(group) / 2


@st.composite
def kinships(draw, smallest=2):
    """Few distinct values, so that there are ties, or all different; the diagonal is anything."""
    n = draw(st.integers(smallest, 14))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    A = rng.standard_normal((n, n)) if draw(st.booleans()) else rng.integers(-2, 4, (n, n)) / 4
    A = A + A.T
    A[np.diag_indices(n)] = rng.uniform(0.1, 2, n)
    return A


def suggestion(A, threshold, n_folds):
    """The error that the call raises, and the threshold in it, as printed."""
    with pytest.raises(InputError) as caught:
        kinship_groups(A, threshold, n_folds)
    return str(caught.value), re.search(r"that works is (\S+)$", str(caught.value))[1]


@given(kinships(), st.data())
def test_groups_are_the_connected_components(A, data):
    """At every threshold: the groups, or a refusal that says what would work."""
    K = ll.Kinship.from_matrix(A)
    n = len(A)
    values = np.unique(K.matrix[np.triu_indices(n, 1)])
    n_folds = data.draw(st.integers(2, n))
    workable = [v for v in values if is_workable(components(K.matrix, v), n_folds)]
    lowest = workable[0]
    assert workable == values[values >= lowest].tolist()
    between = [*((values[1:] + values[:-1]) / 2), values[0] - 1, values[-1] + 1]
    for threshold in [*values, data.draw(st.sampled_from(between))]:
        expected = components(K.matrix, threshold)
        if is_workable(expected, n_folds):
            groups = kinship_groups(A, threshold, n_folds)
            assert groups.dtype == np.int64
            assert groups.tolist() == expected
            assert_array_equal(kinship_groups(K, np.float64(threshold), n_folds), groups)
        else:
            message, printed = suggestion(A, threshold, n_folds)
            sizes = np.bincount(expected)
            assert f"at least {n_folds} groups" in message
            assert f"half of the {n} samples" in message
            number = "one group" if len(sizes) == 1 else f"{len(sizes)} groups"
            assert f"found {number} above a kinship of {float(threshold)!r}" in message
            assert f"the largest with {sizes.max()} samples" in message
            assert float(printed) == lowest
            groups = kinship_groups(A, float(printed), n_folds)
            assert groups.tolist() == components(K.matrix, lowest)
            below = np.nextafter(lowest, -np.inf)
            assert suggestion(A, below, n_folds)[1] == printed


@given(kinships(smallest=8), st.integers(2, 4), seeds)
def test_no_pair_above_the_threshold_is_divided(A, n_folds, seed):
    n = len(A)
    threshold = float(suggestion(A, -100.0, n_folds)[1])
    groups = kinship_groups(A, threshold, n_folds)
    A = ll.Kinship.from_matrix(A).matrix
    for fold in make_folds(n, n_folds, groups=groups, n_repeats=2, seed=seed):
        assert A[np.ix_(fold.train, fold.test)].max() <= threshold


@pytest.mark.parametrize("c", [1e-6, 0.7, 3.0, 1e6])
def test_the_threshold_is_on_the_scale_of_mean_diagonal_one(c):
    rng = np.random.default_rng(1)
    family = np.repeat(np.arange(30), 4)
    A = 0.5 * (family[:, None] == family) + 0.05 * rng.random((120, 120))
    A = c * ((A + A.T) / 2 + np.diag(0.5 + 0.1 * rng.random(120)))
    before = A.copy()
    assert_array_equal(kinship_groups(A, 0.25), family)
    assert_array_equal(A, before)
    order = rng.permutation(120)
    groups = kinship_groups(A[np.ix_(order, order)], 0.25)
    together = groups[:, None] == groups
    assert_array_equal(together, family[order][:, None] == family[order])
    assert_array_equal(kinship_groups(A, 0.9), np.arange(120))


def test_a_chain_of_relatives_is_one_group():
    """First and last are unrelated, but each is related to the next one."""
    A = np.eye(12) + 0.5 * (abs(np.subtract.outer(np.arange(12), np.arange(12))) == 1)
    A[5, 6] = A[6, 5] = 0.1
    assert kinship_groups(A, 0.2, 2).tolist() == [0] * 6 + [1] * 6
    message, printed = suggestion(A, 0.2, 3)
    assert "found 2 groups above a kinship of 0.2, the largest with 6 samples" in message
    assert printed == "0.5"
    assert kinship_groups(A, 0.5, 3).tolist() == list(range(12))
    assert suggestion(A, 0.0999, 2)[1] == "0.1"


def test_the_spanning_tree_of_a_larger_kinship():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((300, 40))
    K = ll.Kinship.from_matrix(X @ X.T)
    printed = float(suggestion(K, 0.0, 10)[1])
    values = np.unique(K.matrix[np.triu_indices(300, 1)])
    for threshold in values[np.searchsorted(values, printed) :: 40]:
        _, expected = connected_components(K.matrix > threshold, directed=False)
        assert_array_equal(kinship_groups(K, threshold), expected)


def test_no_copy_of_the_kinship():
    K = ll.Kinship.from_matrix(np.eye(1000))
    tracemalloc.start()
    try:
        kinship_groups(K, 0.5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < K.matrix.nbytes / 20


@pytest.mark.parametrize("threshold", [np.nan, np.inf, -np.inf, "0.1", None, True, 1j, [0.1]])
def test_thresholds_that_are_no_number_are_refused(threshold):
    text = f"threshold: expected a finite number, found {threshold!r}"
    refused(lambda: kinship_groups(np.eye(12), threshold), [text])


def test_kinships_that_cannot_be_used_are_refused():
    with pytest.raises(KinshipError, match="square"):
        kinship_groups(np.ones((12, 3)), 0.1)
    refused(lambda: kinship_groups(np.eye(5), 0.1), ["the 5 samples, found 10"])

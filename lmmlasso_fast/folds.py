"""Folds for cross-validation: which samples a model is fitted on, and which it then predicts."""

import heapq
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lmmlasso_fast.checks import MOST_ROWS, MOST_TIMES, as_indices, as_integer, as_number
from lmmlasso_fast.display import Result
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.kinship import as_kinship

if TYPE_CHECKING:
    import polars as pl

#: Samples that a model is fitted on at least: `as_phenotype` asks for as many.
_MIN_TRAINING = 3


@dataclass(frozen=True)
class Fold(Result):
    """One division of the samples.

    Attributes
    ----------
    train, test : ndarray of int64
        Indices of samples, ascending, without a common one. Together they are all samples, unless
        a splitter left some out.
    repeat : int
        Number of the repeat, from 0, to which the fold belongs.
    """

    train: np.ndarray = field(repr=False)
    test: np.ndarray
    repeat: int = 0

    def to_frame(self) -> "pl.DataFrame":
        """Return one row per sample: SAMPLE, its place, and whether it is in the test part."""
        import polars as pl

        samples = np.concatenate([self.train, self.test])
        test = np.arange(len(samples)) >= len(self.train)
        return pl.DataFrame({"SAMPLE": samples, "TEST": test}).sort("SAMPLE")


# ---- folds --------------------------------------------------------------------------------------


def make_folds(
    n_samples: int,
    n_folds: int = 10,
    *,
    groups: ArrayLike | None = None,
    n_repeats: int = 1,
    seed: int = 0,
    splitter: Any = None,
    y: ArrayLike | None = None,
) -> tuple[Fold, ...]:
    """Divide samples into folds: at random, by whole groups, or as a splitter says.

    At random: a permutation is cut into parts whose sizes differ by one at most. By groups: the
    largest first, those of one size in random order, each goes to the fold that is smallest so far.
    Every sample is then in one test part per repeat.

    Parameters
    ----------
    n_samples : int
    n_folds : int from 2 to n_samples, default 10
    groups : array_like of str or numbers, shape (n_samples,), optional
        Samples with the same label (a family, see also `kinship_groups`) stay together.
    n_repeats : int, default 1
        Independent divisions. More of them leave the first ones as they were.
    seed : int, default 0
    splitter : object or iterable, optional
        Takes the place of `n_folds` and `seed`: a scikit-learn splitter, whose
        `split(X, y, groups)` is called with X a column of zeros, or pairs (train, test) of indices
        or boolean masks. Test parts may overlap and leave samples out. Repeats of a splitter count
        as folds of one.
    y : array_like, shape (n_samples,), optional
        Only for the splitter, which may stratify by it.

    Returns
    -------
    tuple of Fold
        Repeat by repeat.

    Raises
    ------
    InputError
        An option out of range, a missing label, fewer groups than folds, a training part of fewer
        than 3 samples, or parts of a splitter that cannot be used.
    """
    n_samples = as_integer("n_samples", n_samples, _MIN_TRAINING + 1, MOST_ROWS)
    n_repeats = as_integer("n_repeats", n_repeats, 1, MOST_TIMES)
    seed = as_integer("seed", seed, 0)
    numbers = None if groups is None else group_numbers(groups, n_samples)
    if splitter is not None:
        if n_repeats != 1:
            raise InputError(
                f"n_repeats: expected 1 with a splitter, found {n_repeats}; repeat in the splitter"
            )
        return _folds_of_splitter(splitter, n_samples, y, groups)

    n_folds = _as_n_folds(n_folds, n_samples)
    if numbers is not None and (n_groups := int(numbers.max()) + 1) < n_folds:
        raise InputError(
            f"groups: expected at least as many as the {n_folds} folds, found {n_groups}; take "
            "fewer folds or smaller groups"
        )
    what, advice = "n_folds", "take more folds"
    if numbers is not None:
        what, advice = "groups", "take more folds or smaller groups"
    folds = []
    # The seed's grandchildren: its children belong to the replicates of stability selection, which
    # would draw with these very permutations.
    for repeat, stream in enumerate(np.random.SeedSequence(seed).spawn(1)[0].spawn(n_repeats)):
        rng = np.random.default_rng(stream)
        fold_of = (
            _random_parts(n_samples, n_folds, rng)
            if numbers is None
            else _whole_groups(numbers, n_folds, rng)
        )
        for k in range(n_folds):
            fold = Fold(np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k), repeat)
            _require_training(fold.train, what, k, advice)
            folds.append(fold)
    return tuple(folds)


def _random_parts(n_samples: int, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of every sample."""
    fold_of = np.empty(n_samples, dtype=np.int64)
    fold_of[rng.permutation(n_samples)] = np.arange(n_samples) * n_folds // n_samples
    return fold_of


def _whole_groups(numbers: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of every sample."""
    sizes = np.bincount(numbers)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    # (samples so far, what decides between equals, fold)
    smallest = [(0, rank, k) for rank, k in enumerate(rng.permutation(n_folds))]
    fold_of_group = np.empty(len(sizes), dtype=np.int64)
    for group in order:
        size, rank, k = smallest[0]
        fold_of_group[group] = k
        heapq.heapreplace(smallest, (size + sizes[group], rank, k))
    return fold_of_group[numbers]


def group_numbers(groups, n_samples: int) -> np.ndarray:
    """Return the group of every sample as a number, from 0 in the order of first appearance."""
    # Objects: else NaN among text would become text, and 1 beside "1" the same group.
    labels = np.where(np.ma.getmask(groups), None, np.asarray(groups, dtype=object))
    if labels.shape != (n_samples,):
        raise InputError(
            f"groups: expected {n_samples} labels, one per sample, found shape {labels.shape}"
        )
    bad = [i for i, label in enumerate(labels) if not _is_label(label)]
    if bad:
        raise InputError(
            f"groups: expected text or a number for every sample, found {labels[bad[0]]} at "
            f"position {bad[0]} ({len(bad)} in all); drop those samples or give each a group of "
            "its own"
        )
    is_text = np.array([isinstance(label, str) for label in labels])
    if is_text.any() and not is_text.all():
        raise InputError(
            f"groups: expected text or numbers, found both: {labels[is_text][0]!r} and "
            f"{labels[~is_text][0]!r}; make them all text"
        )
    number_of: dict = {}
    return np.array([number_of.setdefault(label, len(number_of)) for label in labels])


def _is_label(label) -> bool:
    if isinstance(label, str):
        return True
    # NaN is the number that is not itself
    return isinstance(label, (Real, np.bool_)) and bool(label == label)


# ---- a splitter's folds -------------------------------------------------------------------------


def _folds_of_splitter(splitter, n_samples: int, y, groups) -> tuple[Fold, ...]:
    folds = []
    for k, pair in enumerate(_pairs(splitter, n_samples, y, groups)):
        try:
            train, test = pair
        except (TypeError, ValueError) as problem:
            raise InputError(
                f"splitter: expected a pair (train, test), found {type(pair).__name__} as fold "
                f"{k + 1}; give indices of the samples in both parts"
            ) from problem
        train = _as_part(train, n_samples, f"the training part of fold {k + 1}")
        test = _as_part(test, n_samples, f"the test part of fold {k + 1}")
        common = np.intersect1d(train, test, assume_unique=True)
        if len(common):
            raise InputError(
                f"splitter: expected no sample in both parts, found {len(common)} in fold {k + 1} "
                f"(the first is {common[0]}); what a model was fitted on says nothing about it"
            )
        if len(test) == 0:
            raise InputError(
                f"splitter: expected a test part, found no sample in that of fold {k + 1}; leave "
                "the fold out"
            )
        _require_training(train, "splitter", k, "choose another one")
        folds.append(Fold(train, test))
    if not folds:
        raise InputError("splitter: expected at least one fold, found none; check its options")
    return tuple(folds)


def _pairs(splitter, n_samples: int, y, groups) -> list:
    """Return what the splitter yields."""
    split = getattr(splitter, "split", None)
    # A class has the method too, but not its options; text has another one of that name.
    unusable = isinstance(splitter, (type, str))
    if unusable or (split is None and not isinstance(splitter, Iterable)):
        raise InputError(
            f"splitter: expected an object with a method split or pairs (train, test), found "
            f"{splitter!r}; n_folds takes a number of folds"
        )
    if split is None:
        if groups is not None:
            raise InputError(
                "groups: expected none with pairs (train, test), which say who is in which part, "
                "found some; leave one of the two out"
            )
        return list(splitter)
    try:
        return list(split(np.zeros((n_samples, 1)), y, groups))
    except (TypeError, ValueError) as problem:
        raise InputError(
            f"splitter: expected one that can divide {n_samples} samples, found that "
            f"{type(splitter).__name__} cannot: {problem}; check its options, y and groups"
        ) from problem


def _as_part(samples, n_samples: int, where: str) -> np.ndarray:
    """Return distinct samples, ascending, from an integer index or a boolean mask."""
    index = as_indices(samples, f"splitter: {where}", InputError, mask_length=n_samples)
    outside = index[(index < 0) | (index >= n_samples)]
    if len(outside):
        raise InputError(
            f"splitter: expected indices from 0 to {n_samples - 1} in {where}, found {outside[0]}; "
            "is it meant for other samples?"
        )
    index = np.sort(index)
    repeated = index[1:][index[1:] == index[:-1]]
    if len(repeated):
        raise InputError(
            f"splitter: expected every sample once at most in {where}, found {repeated[0]} again; "
            "draw without replacement"
        )
    return index


# ---- groups of relatives ------------------------------------------------------------------------


def kinship_groups(K: Any, threshold: float, n_folds: int = 10) -> np.ndarray:
    """Group samples so that no pair with a kinship above a threshold is in two groups.

    These are the connected components of the graph that joins every such pair: the smallest groups
    of which that is true (single linkage).

    Parameters
    ----------
    K : Kinship or array_like, shape (n, n)
    threshold : float
        In units of the kinship scaled to mean diagonal 1; a pair exactly at it may be divided.
    n_folds : int from 2 to n, default 10
        For how many folds the groups are meant.

    Returns
    -------
    ndarray of int64, shape (n,)
        The group of every sample, from 0 in the order of first appearance; for `make_folds`.

    Raises
    ------
    KinshipError
        K cannot be used.
    InputError
        An option out of range; fewer groups than folds, or a group of more than half of the
        samples. The message names the lowest threshold without these.

    Notes
    -----
    Samples join in the order of Prim's maximum spanning tree: always the one with the largest
    kinship to any that joined before. A group, once entered, is completed before the next one is
    entered, so that the groups at every threshold are sections of this one order: they begin where
    the largest kinship is not above the threshold. Time n^2, memory n besides the kinship.

    References
    ----------
    Prim 1957, Bell Syst. Tech. J. 36:1389. Gower and Ross 1969, Appl. Stat. 18:54 (single linkage
    from the spanning tree).
    """
    K = as_kinship(K)
    n = K.n_samples
    n_folds = _as_n_folds(n_folds, n)
    threshold = as_number("threshold", threshold)
    order, links = _joining_order(K.matrix)

    def sizes(at: float) -> np.ndarray:
        return np.diff(np.flatnonzero(links <= at), append=n)

    def is_workable(at: float) -> bool:
        found = sizes(at)
        return len(found) >= n_folds and bool(2 * found.max() <= n)

    if not is_workable(threshold):
        # Groups change at a link only, and a higher threshold divides them further.
        levels = np.unique(links[1:])
        lowest = float(levels[bisect_left(levels, True, key=is_workable)])
        found = sizes(threshold)
        number = "one group" if len(found) == 1 else f"{len(found)} groups"
        raise InputError(
            f"threshold: expected at least {n_folds} groups, none with more than half of the {n} "
            f"samples, found {number} above a kinship of {threshold!r}, the largest with "
            f"{found.max()} samples; the lowest threshold that works is {lowest!r}"
        )
    groups = np.empty(n, dtype=np.int64)
    groups[order] = np.cumsum(links <= threshold)
    return group_numbers(groups, n)


def _joining_order(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples in Prim's order, and the largest entry of each with the ones before.

    That of the first one is -infinity.
    """
    n = len(A)
    order, links = np.zeros(n, dtype=np.int64), np.full(n, -np.inf)
    outside = np.ones(n, dtype=bool)
    outside[0] = False
    nearest = np.where(outside, A[0], -np.inf)
    for k in range(1, n):
        i = nearest.argmax()
        order[k], links[k] = i, nearest[i]
        outside[i], nearest[i] = False, -np.inf
        np.maximum(nearest, A[i], out=nearest, where=outside)
    return order, links


# ---- checks -------------------------------------------------------------------------------------


def _as_n_folds(n_folds, n_samples: int) -> int:
    expected = f"an integer from 2 to the {n_samples} samples"
    return as_integer("n_folds", n_folds, 2, n_samples, expected=expected)


def _require_training(train: np.ndarray, what: str, k: int, advice: str) -> None:
    if len(train) < _MIN_TRAINING:
        raise InputError(
            f"{what}: expected at least {_MIN_TRAINING} samples in every training part, found "
            f"{len(train)} in that of fold {k + 1}; {advice}"
        )

"""Kinship from a pedigree: what relatedness is expected, without genotypes."""

from typing import TYPE_CHECKING

import numpy as np

from lmmlasso_fast.errors import KinshipError
from lmmlasso_fast.io.ids import match_samples
from lmmlasso_fast.io.text import quote
from lmmlasso_fast.kinship import Kinship
from lmmlasso_fast.parallel import poll

if TYPE_CHECKING:
    import polars as pl

#: What stands for a parent that is not known.
UNKNOWN = ("0", "NA")


def pedigree_kinship(pedigree: "pl.DataFrame", samples: "pl.DataFrame | None" = None) -> Kinship:
    """Compute 2 phi, the expected realised relationship, of samples with a pedigree.

    By the tabular method (Henderson 1976), parents s and d before their children i:

        A_ik = (A_sk + A_dk) / 2,   A_ii = 1 + A_sd / 2

    where an unknown parent contributes 0. A_ii - 1 is the inbreeding coefficient. Parents without
    a known parent of their own are unrelated and not inbred.

    Parameters
    ----------
    pedigree : polars.DataFrame
        FID, IID, FATHER, MOTHER, one row per individual; "0", "NA" or null is an unknown parent,
        others are of the same family (FID). Parents need no row of their own. Both parents may be
        the same individual (selfing), and one individual may be father here and mother there.
    samples : polars.DataFrame, optional
        FID, IID of the samples, in the order that the matrix is to have. Default: all rows of the
        pedigree, in its order. Individuals that are no ancestors of a sample do not matter.

    Returns
    -------
    Kinship
        Scaled to mean diagonal 1; matrix * scale is 2 phi. A sample without relatives has a row of
        the identity.

    Raises
    ------
    KinshipError
        A column is absent, an individual occurs twice or is its own ancestor (the loop is named),
        or a sample is not in the pedigree.
    SampleMatchError
        No sample is in the pedigree, or their ids are ambiguous.

    Notes
    -----
    Families that do not share an ancestor are taken one after the other: the work, and the memory
    beside the n x n result, is the square of the largest family.
    """
    import polars as pl

    absent = [name for name in ("FID", "IID", "FATHER", "MOTHER") if name not in pedigree.columns]
    if absent:
        raise KinshipError(
            f"pedigree: expected the columns FID, IID, FATHER, MOTHER, found none named "
            f"{', '.join(absent)}; read a file with read_pedigree"
        )
    listed = pedigree.select(pl.col("FID", "IID"))
    names, parents = _individuals(pedigree)
    order = _parents_first(names, parents)
    samples = listed if samples is None else samples.select("FID", "IID")
    rows = np.arange(len(listed))
    if samples is not listed:
        rows = match_samples(samples, listed, "pedigree")
    if (rows < 0).any():
        first = " ".join(str(name) for name in samples.row(int(np.argmax(rows < 0))))
        raise KinshipError(
            f"pedigree: expected all {len(samples)} samples, found {int((rows >= 0).sum())}; the "
            f"first one without a row is {quote(first)}; add it, with 0 for unknown parents"
        )
    return Kinship.from_matrix(_relationship(order, parents, rows), samples, "pedigree")


def _individuals(pedigree: "pl.DataFrame") -> tuple[list[tuple], np.ndarray]:
    """Return the individuals, rows of the pedigree first, and for each its parents, -1 unknown."""
    table = pedigree.select("FID", "IID", "FATHER", "MOTHER").rows()
    place = {}
    for k, (family, name, _, _) in enumerate(table):
        if place.setdefault((family, name), k) != k:
            raise KinshipError(
                f"pedigree: expected every individual once, found {_name((family, name))} in rows "
                f"{place[family, name] + 1} and {k + 1}; remove one"
            )
    parents = [
        [
            -1 if parent is None or parent in UNKNOWN else place.setdefault(key, len(place))
            for parent, key in ((father, (family, father)), (mother, (family, mother)))
        ]
        for family, _, father, mother in table
    ]
    founders = len(place) - len(table)
    return list(place), np.array(parents + founders * [[-1, -1]], dtype=np.int64).reshape(-1, 2)


def _parents_first(names: list[tuple], parents: np.ndarray) -> np.ndarray:
    """Return the individuals in an order where parents come before their children."""
    children: list[list[int]] = [[] for _ in names]
    waits_for = np.zeros(len(names), dtype=np.int64)
    for k, pair in enumerate(parents.tolist()):
        for parent in pair:
            if parent >= 0:
                children[parent].append(k)
                waits_for[k] += 1
    order = np.flatnonzero(waits_for == 0).tolist()
    for k in order:  # grows
        for child in children[k]:
            waits_for[child] -= 1
            if waits_for[child] == 0:
                order.append(child)
    if len(order) < len(names):
        loop = _loop(parents, waits_for > 0)
        raise KinshipError(
            "pedigree: expected no individual among its own ancestors, found the loop "
            + " > ".join(_name(names[k]) for k in loop)
            + " (each a parent of the one before); correct the parents"
        )
    return np.array(order, dtype=np.int64)


def _loop(parents: np.ndarray, left: np.ndarray) -> list[int]:
    """Return individuals each of which is a parent of the one before, the first one last again.

    Every individual that is left has a parent that is left: going from parent to parent ends in a
    loop.
    """
    path = [int(np.argmax(left))]
    while path[-1] not in path[:-1]:
        path.append(next(int(k) for k in parents[path[-1]] if k >= 0 and left[k]))
    return path[path.index(path[-1]) :]


def _relationship(order: np.ndarray, parents: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return 2 phi of the individuals `rows`, family by family."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    used = np.zeros(len(parents) + 1, dtype=bool)  # the last one is for parents of -1
    used[rows] = True
    for k in order[::-1]:
        if used[k]:
            used[parents[k]] = True
    order = order[used[order]]
    child, parent = np.repeat(order, 2), parents[order].ravel()
    known = parent >= 0
    links = coo_array(
        (np.ones(known.sum()), (child[known], parent[known])), shape=(len(parents),) * 2
    )
    family = connected_components(links, directed=False)[1]

    A = np.eye(len(rows))
    by_family = order[np.argsort(family[order], kind="stable")]  # parents stay first
    rows_by_family = np.argsort(family[rows], kind="stable")
    ends = np.flatnonzero(np.diff(family[by_family], append=-1)) + 1
    row_ends = np.searchsorted(family[rows][rows_by_family], family[by_family[ends - 1]], "right")
    start = row_start = 0
    place = np.full(len(parents) + 1, -1)
    for end, row_end in zip(ends, row_ends, strict=True):
        members, of_family = by_family[start:end], rows_by_family[row_start:row_end]
        start, row_start = end, row_end
        if len(members) == 1:
            continue
        poll()
        place[members] = np.arange(len(members))
        wanted = place[rows[of_family]]
        table = _tabulate(place[parents[members]])
        A[np.ix_(of_family, of_family)] = table[np.ix_(wanted, wanted)]
    return A


def _tabulate(parents: np.ndarray) -> np.ndarray:
    """Return 2 phi of individuals whose parents are among those before them, -1 unknown."""
    A = np.zeros((len(parents), len(parents)))
    for i, pair in enumerate(parents.tolist()):
        for parent in pair:
            if parent >= 0:
                A[i, :i] += A[parent, :i] / 2
        A[:i, i] = A[i, :i]
        A[i, i] = 1.0 + (A[pair[0], pair[1]] / 2 if min(pair) >= 0 else 0.0)
    return A


def _name(individual: tuple) -> str:
    return quote(" ".join("" if part is None else part for part in individual).strip())

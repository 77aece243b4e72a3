"""Every public function that takes an array, given the same numbers in every form, and others.

Whatever holds the numbers, the answer has the same bits; what cannot be used is a named error that
says what was expected and found. What was passed has the same bytes afterwards.
"""

import inspect
import re
import typing
from datetime import date
from functools import cache, partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
from array_slots import SLOTS, answers
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import ArrayLike
from scipy import sparse

import lmmlasso_fast as ll
from lmmlasso_fast.errors import LMMLassoError

pytestmark = pytest.mark.promise("no-wrong-answer", "same-bytes")


def is_array(annotation) -> bool:
    """Whether ArrayLike, a union or from NumPy 2.5 on a type of its own, is a part of it."""
    parts = {annotation, *typing.get_args(annotation)}
    return set(typing.get_args(ArrayLike) or [ArrayLike]) <= parts


def test_the_list_of_slots_is_complete():
    """Every parameter that is annotated as an array, of every public function and estimator."""
    functions = {name: getattr(ll, name) for name in ll.__all__}
    for kind in ("LMMLasso", "LMMLassoCV"):
        functions |= {kind: getattr(ll, kind).fit, f"{kind}.predict": getattr(ll, kind).predict}
    functions["Genotypes.from_array"] = ll.Genotypes.from_array
    functions["from_dosages"] = ll.DosageGenotypes.from_dosages
    functions["Kinship.from_matrix"] = ll.Kinship.from_matrix
    functions["simulate_on"] = ll.simulation.simulate_on
    functions |= {name: getattr(ll.evaluation, name) for name in ll.evaluation.__all__}
    wanted = {
        f"{name} {parameter}"
        for name, function in functions.items()
        if inspect.isroutine(function)
        for parameter, details in inspect.signature(function).parameters.items()
        if is_array(details.annotation)
    }
    wanted -= {f"LMMLassoCV.predict {what}" for what in ("X", "K_new", "covariates")}  # inherited
    wanted -= {"make_folds y"}  # goes to the caller's splitter as it is
    assert wanted <= {slot.name for slot in SLOTS}


# ---- the same numbers ---------------------------------------------------------------------------

DTYPES = (
    *("float64", "float32", "float16", "longdouble", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", ">f8", ">f4", ">i2", ">i4", ">u8", "object"),
)
LAYOUTS = ("C", "Fortran", "strided", "reversed", "read-only", "unaligned", "memmap")
CONTAINERS = ("array", "list", "tuple", "masked", "subclass", "protocol", "polars", "pandas")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("arrays")


class Subclass(np.ndarray):
    """An array of another class."""


class Protocol:
    """What NumPy makes an array of and is none."""

    def __init__(self, values):
        self._values = values

    def __array__(self, dtype=None, copy=None):
        return self._values if dtype is None else self._values.astype(dtype)

    def __len__(self):
        return len(self._values)


def laid_out(values, layout, folder):
    """The same numbers and type elsewhere in memory; with it the memory that must not change."""
    if layout == "Fortran":
        return np.asfortranarray(values)
    if layout == "strided":
        for axis in range(values.ndim):
            values = np.repeat(values, 2 + axis, axis=axis)
        return values[tuple(slice(None, None, 2 + axis) for axis in range(values.ndim))]
    if layout == "reversed":
        back = (slice(None, None, -1),) * values.ndim
        return values[back].copy()[back]
    if values.dtype == object:  # the rest is about bytes
        return values
    if layout == "read-only":
        values = values.copy()
        values.flags.writeable = False
    elif layout == "unaligned":
        memory = bytearray(1) + values.tobytes()
        return np.frombuffer(memory, values.dtype, offset=1).reshape(values.shape)
    elif layout == "memmap":
        path = folder / "values.bin"
        values.tofile(path)
        return np.memmap(path, values.dtype, mode="r", shape=values.shape)
    return values


def contained(values, container):
    """The same numbers in something else than an array."""
    if container == "list":
        return values.tolist()
    if container == "tuple":
        return tuple(map(tuple, values)) if values.ndim == 2 else tuple(values)
    if container == "masked":
        return np.ma.masked_array(values, np.zeros(values.shape, bool))
    if container == "subclass":
        return values.view(Subclass)
    if container == "protocol":
        return Protocol(values)
    native = values.astype(values.dtype.newbyteorder("="))
    if container in ("polars", "pandas") and native.dtype.char in "eg":
        native = native.astype(np.float32)
    if container == "polars":
        if native.dtype == object:
            native = native.astype(np.float64)
        return pl.Series(native) if native.ndim == 1 else pl.DataFrame(native)
    if container == "pandas":
        return pd.Series(native) if native.ndim == 1 else pd.DataFrame(native)
    return values


def content(values):
    return np.asarray(values).tolist() if not isinstance(values, np.ndarray) else values.tobytes()


#: What messages call an argument where they have a word for it, or compare it with another one.
WORDS = {
    **dict.fromkeys(("y", "z"), "phenotype"),
    **dict.fromkeys(("A", "K", "K_new", "LMMLasso.predict X"), "kinship"),
    **dict.fromkeys(("paired_interval a", "paired_interval b"), "values"),
    **{"index": "SNPs", "Kinship.subset index": "samples", "from_dosages X": "dosages"},
    **{"clump score": "snps", "precision_recall at": "recall", "compat.train y": "K"},
    **{"compat.predict y_t": "K_tt", "compat.predict X_v": "K_vt"},
}


def check_message(slot, error):
    """It names the argument, and says what was expected and found."""
    argument = slot.name.split()[-1]
    names = {argument, WORDS.get(slot.name, WORDS.get(argument, argument))}
    what, expected, rest = str(error).partition("expected")
    assert names & set(re.findall(r"\w+", what)), error
    assert expected, error
    assert "found" in rest, error


def check_same(slot, expected, folder, dtype=None, layout="C", container="array"):
    """Compare with the answer to the same numbers; 0 if the type cannot hold them."""
    typed = slot.value if dtype is None else slot.value.astype(dtype)
    if not np.array_equal(typed.astype(float), slot.value):
        return 0
    value = contained(laid_out(typed, layout, folder), container)
    before, where = content(value), f"{typed.dtype} {layout} {container}"
    try:
        found = answers(slot, value)
    except slot.errors:
        assert container == "protocol", where  # scikit-learn asks for more of it
        return 1
    except LMMLassoError as error:
        # whole numbers that have another type, and objects, may be refused by name
        whole = slot.value.dtype.kind == "i" and typed.dtype.kind != "i"
        if not whole and typed.dtype != object:
            raise AssertionError(f"{where}: {error}") from error
        check_message(slot, error)
        return 1
    assert content(value) == before, where
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other, err_msg=where)
    return 1


@cache
def expected_of(slot):
    found = answers(slot, slot.value)
    assert all(np.isfinite(part).all() for part in found)
    return found


@pytest.mark.parametrize("slot", SLOTS, ids=str)
def test_the_same_numbers_give_the_same_answer(slot, folder, tally):
    check = partial(check_same, slot, expected_of(slot), folder)
    n = sum(check(dtype=dtype) for dtype in DTYPES)
    n += sum(check(layout=layout) for layout in LAYOUTS)
    n += sum(check(container=container) for container in CONTAINERS)
    tally(cases=n)


@settings(max_examples=settings.default.max_examples // 2)
@given(*map(st.sampled_from, (SLOTS, DTYPES, LAYOUTS, CONTAINERS)))
def test_any_combination_gives_the_same_answer(folder, slot, dtype, layout, container):
    check_same(slot, expected_of(slot), folder, dtype, layout, container)


# ---- what is no such array ----------------------------------------------------------------------


def with_first(values, first, dtype=float):
    changed = values.astype(dtype)
    changed[(0,) * values.ndim] = first
    return changed


STRANGE = {
    "nan": lambda v: with_first(v, np.nan),
    "inf": lambda v: with_first(v, np.inf),
    "minus-inf": lambda v: with_first(v, -np.inf),
    "none": lambda v: with_first(v, None, object),
    "beyond-float": lambda v: with_first(v, 10**400, object),
    "longdouble-beyond-float": lambda v: with_first(v, np.longdouble("1e4000"), np.longdouble),
    "dictionary": lambda v: with_first(v, {}, object),
    "nested": lambda v: with_first(v, [1, 2], object),
    "date": lambda v: with_first(v, date(2000, 1, 1), object),
    "datetime64": lambda v: v.astype("datetime64[D]"),
    "text": lambda v: np.full(v.shape, "tall"),
    "numeric-text": lambda v: v.astype(int).astype(str),
    "bytes": lambda v: v.astype(int).astype(bytes),
    "complex": lambda v: v + 1j,
    "record": lambda v: v.astype([("a", float)]),
    "masked": lambda v: np.ma.masked_array(v, np.arange(v.size).reshape(v.shape) == 0),
    "ragged": lambda v: [*v.tolist()[:-1], [[1, 2], [3]]],
    "0d": lambda v: v.ravel()[0],
    "absent": lambda v: None,
    "2d": lambda v: np.stack([v, v], axis=-1),
    "empty": lambda v: v[:0],
    "short": lambda v: v[:-1],
    "generator": lambda v: (row for row in v),
    "set": lambda v: set(v.ravel().tolist()),
    "object": lambda v: object(),
    "sparse": lambda v: sparse.coo_array(np.atleast_2d(v)),
}


@pytest.mark.parametrize("slot", SLOTS, ids=str)
def test_what_cannot_be_used_is_a_named_error(slot, tally):
    failed = []
    for name, make in STRANGE.items():
        value = make(slot.value)
        try:
            answers(slot, value)
        except LMMLassoError as error:
            check_message(slot, error)
        except slot.errors:
            pass  # scikit-learn's, or what from_array documents
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}: {error}")
        else:
            if name not in slot.takes.split():
                failed.append(f"{name} was taken")
    assert not failed, "\n".join(failed)
    tally(cases=len(STRANGE))

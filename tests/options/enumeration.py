"""Which parameters are public, what of two calls is compared, and how an entry is checked."""

import dataclasses
import importlib
import inspect
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl

import lmmlasso_fast as ll
from lmmlasso_fast import (
    compat,
    dosage,
    error_bounds,
    evaluation,
    packed,
    plots,
    simulation,
    threads,
)
from lmmlasso_fast.errors import LMMLassoError

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


# ---- what needs an extra ------------------------------------------------------------------------

_EXTRAS = (
    ("sklearn", ("LMMLasso",)),
    ("matplotlib", ("plots.",)),
    ("cyvcf2", ("read_vcf",)),
    ("bgen", ("read_bgen",)),
    ("pgenlib", ("read_pgen",)),
)


def extra_of(name: str) -> str | None:
    """The optional library that a public function needs."""
    if name.endswith(".plot"):
        return "matplotlib"
    return next((extra for extra, starts in _EXTRAS if name.startswith(starts)), None)


def is_there(extra: str | None) -> bool:
    """Whether an optional library is installed; None always is."""
    try:
        return extra is None or importlib.import_module(extra) is not None
    except ImportError:
        return False


# ---- what is public -----------------------------------------------------------------------------


def _is_ours(value) -> bool:
    return callable(value) and (getattr(value, "__module__", "") or "").startswith("lmmlasso_fast")


def _is_module(name: str) -> bool:
    return is_there(extra_of(name)) and inspect.ismodule(getattr(ll, name))


def _namespaces():
    yield "", ll, [name for name in ll.__all__ if not _is_module(name)]
    for module in (evaluation, plots, simulation):
        yield module.__name__.split(".")[-1] + ".", module, module.__all__
    for module in (compat, error_bounds):  # without a list: what they define themselves
        own = [
            n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
        ]
        yield module.__name__.split(".")[-1] + ".", module, [n for n in own if n[0] != "_"]


def public_callables() -> dict[str, object]:
    """{name: function}: functions, constructors, and methods as Class.method.

    Constructors of results count where they do more than take in their fields. What cannot be
    imported without an extra that is missing is None.
    """
    found = {}
    for prefix, module, names in _namespaces():
        for name in names:
            if not is_there(extra_of(prefix + name)):
                found[prefix + name] = None
                continue
            value = getattr(module, name)
            if inspect.isclass(value):
                stores = issubclass(value, tuple) or dataclasses.is_dataclass(value)
                if not stores and not inspect.isabstract(value):
                    found[prefix + name] = value
                for method, function in inspect.getmembers(value, _is_ours):
                    if method[0] != "_" and not inspect.isclass(function):
                        found[f"{prefix}{name}.{method}"] = function
            elif callable(value):
                found[prefix + name] = value
    return {name: value for name, value in found.items() if value is None or parameters(value)}


def public_results() -> list[type]:
    """Public dataclasses."""
    classes = {
        getattr(module, name)
        for prefix, module, names in _namespaces()
        for name in names
        if is_there(extra_of(prefix + name))
    }
    return sorted(filter(dataclasses.is_dataclass, classes), key=lambda c: c.__name__)


def parameters(function) -> list[str]:
    """Names, `self` left out; `**options` as options."""
    return [name for name in inspect.signature(function).parameters if name != "self"]


# ---- what is compared ---------------------------------------------------------------------------


def snapshot(value, echo: str = ""):
    """What of a result can be compared: its numbers and texts.

    `echo` names the option under test: a field of that name only repeats what was passed.
    """
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return value.shape, repr(value.tolist())
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, pl.DataFrame):
        return tuple(value.columns), tuple(map(str, value.dtypes)), repr(value.rows())
    if hasattr(value, "tocsc"):
        value = value.tocsc()
        return [snapshot(part) for part in (value.data, value.indices, value.indptr)]
    if isinstance(value, ll.Genotypes):
        columns = value.columns(np.arange(value.n_variants))
        parts = (columns, value.reasons, value.samples, value.variants)
        return type(value).__name__, [snapshot(part) for part in parts]
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {
            key: snapshot(part, echo) for key, part in value.items() if key not in (echo, "time")
        }
    if hasattr(value, "canvas"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        value.set_dpi(40)
        canvas = FigureCanvasAgg(value)
        canvas.draw()
        return bytes(canvas.buffer_rgba())
    if isinstance(value, Path):
        return value.read_bytes()
    if isinstance(value, list | tuple | Iterator):
        return [snapshot(part, echo) for part in value]
    if hasattr(value, "get_params"):  # an estimator: what the fit has left
        left = {k: v for k, v in vars(value).items() if k.endswith("_")}
        return snapshot(left, echo)
    if value is None or isinstance(value, bool | int | float | str | bytes | np.generic):
        return repr(value)
    raise TypeError(f"no way to compare {type(value)}: {value!r}")


# ---- entries ------------------------------------------------------------------------------------


class With:
    """Another value of the option where other options have these values too.

    `everywhere`: it makes a difference in the case's other calls too.
    """

    def __init__(self, value, *, everywhere=True, **others):
        self.value, self.everywhere, self.others = value, everywhere, others


class Refuses:
    """The option makes the difference between a result and a refusal."""

    def __init__(self, value, **others):
        self.value, self.others = value, others


class Runs:
    """The option changes how it is run and not what comes out; `shows(option off, on)` says so."""

    def __init__(self, off, on, **others):
        self.off, self.on, self.others = off, on, others


class Unused:
    """It changes nothing, and the docstring `says` so."""

    def __init__(self, value, says="unused"):
        self.value, self.says, self.others = value, says, {}


class Progress:
    """A callback that remembers its calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, done, total):
        self.calls.append((done, total))


def n_threads(many=3):
    """An entry of n_threads or n_jobs."""
    return Runs(1, many)


class Case:
    """A call, one change per parameter, and other calls in which no option may be ignored.

    Parameters
    ----------
    call : callable
    base : dict
        Arguments of the first call.
    changes : dict
        {parameter: another value, or an entry as above}.
    also : list of (dict, set)
        Changes of the base in which each option either makes a difference too, or is refused by a
        message with its name; and those options that are documented to have no part there.
    stores : bool
        The result is there to hold what was passed, so that its fields count.
    """

    def __init__(self, call, base, changes, also=(), *, stores=False):
        self.call, self.base, self.changes, self.also = call, base, changes, list(also)
        self.stores = stores
        self._returned = {}

    def outcome(self, echo, context=None, **others):
        """('returned', snapshot, categories of warnings) or ('refused', message).

        Of the base, or of it with one of the contexts (by its number), and others besides. What is
        called without others is called once for all options.
        """
        arguments = self.base | (self.also[context][0] if context is not None else {}) | others
        if others:
            return compared(*returned(self.call, arguments), echo)
        if context not in self._returned:
            self._returned[context] = returned(self.call, arguments)
        return compared(*self._returned[context], echo)


def returned(call, arguments):
    """Return the result or the error, and the categories of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = call(**arguments)
        except LMMLassoError as error:
            found = error
    return found, sorted({w.category.__name__ for w in caught})


def compared(found, categories, echo=""):
    """Return what is compared of `returned`."""
    if isinstance(found, LMMLassoError):
        return "refused", str(found)
    return "returned", snapshot(found, echo), categories


def contexts_of(case: Case, name: str) -> list[tuple[int, dict, set[str]]]:
    """Beside which other options an option is tried too: their number, they, what is idle there."""
    change = case.changes[name]
    if isinstance(change, Runs | Unused) or not getattr(change, "everywhere", True):
        return []
    return [(k, *beside) for k, beside in enumerate(case.also) if name not in beside[0]]


def problem_of(case: Case, name: str, monkeypatch, capsys) -> str | None:
    """What is wrong with an option's entry, None if it shows that it changes something."""
    change = case.changes[name]
    if isinstance(change, Runs):
        return _problem_of_run(case, name, change, monkeypatch, capsys)
    entry = isinstance(change, With | Refuses | Unused)
    others = change.others if entry else {}
    value = change.value if entry else change
    echo = "" if case.stores else name
    before = case.outcome(echo, **others)
    after = case.outcome(echo, **others | {name: value})
    if before[0] == "refused" and not isinstance(change, Refuses):
        return f"the first call is refused: {before[1]}"
    if after[0] == "refused" and not isinstance(change, Refuses):
        return f"the other value is refused: {after[1]}"
    if isinstance(change, Refuses) and (before[0] == "refused") == (after[0] == "refused"):
        return f"expected one of two to be refused, found {before[:2]} and {after[:2]}"
    if isinstance(change, Unused):
        documented = change.says in inspect.getdoc(case.call)
        return None if before == after and documented else "it has an effect, or is not documented"
    if before == after:
        return "both results are the same"
    for k, context, idle in contexts_of(case, name):
        own = {key: other for key, other in others.items() if key not in context}
        first = case.outcome(echo, k, **own)
        second = case.outcome(echo, k, **own | {name: value})
        same = first == second
        if name in idle and not same:
            return f"it has an effect with {list(context)}, where none is documented"
        if name not in idle and same and not (first[0] == "refused" and name in first[1]):
            return f"it is ignored with {context}: {first[:2] if first[0] == 'refused' else ''}"
    return None


def _problem_of_run(case, name, change, monkeypatch, capsys):
    n_started = []
    start = threading.Thread.start

    def counted(thread):
        n_started.append(thread)
        start(thread)

    seen_limits = []
    enter = threads._enter

    def seen(region, n_threads):
        seen_limits.append(n_threads)
        enter(region, n_threads)

    monkeypatch.setattr(threading.Thread, "start", counted)
    monkeypatch.setattr(threads, "_enter", seen)
    monkeypatch.setattr(threads, "SINGLE_THREAD_BELOW", 1)
    for module in (packed, dosage):
        monkeypatch.setattr(module, "_THREADS_FROM", 1)
    found, shown = [], []
    for value in (change.off, change.on):
        n_started.clear(), seen_limits.clear(), capsys.readouterr()
        found.append(case.outcome(name, **change.others | {name: value}))
        calls = value.calls if isinstance(value, Progress) else None
        shown.append((len(n_started), list(seen_limits), calls, capsys.readouterr().out))
    monkeypatch.undo()
    if found[0] != found[1]:
        return f"results depend on it: {found[0][:1]} {found[1][:1]}"
    if found[0][0] == "refused":
        return found[0][1]
    if shown[0] == shown[1]:
        return "nothing shows that it is used"
    if isinstance(change.on, Progress):
        calls = change.on.calls
        if not calls or calls != sorted(calls) or calls[-1][0] != calls[-1][1]:
            return f"called with {calls}"
    return None

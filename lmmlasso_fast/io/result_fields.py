"""What fields of the JSON result files must hold, so that whoever reads them need not ask."""

import os
import sys
from collections.abc import Callable, Iterable

from lmmlasso_fast.errors import TableError
from lmmlasso_fast.io.text import failure


def _is_number(value) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max  # a whole number may be beyond


def _is_number_or_null(value) -> bool:
    return value is None or _is_number(value)


def _is_texts(value) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_covariates(value) -> bool:  # with coefficients, or names alone (--loco)
    return isinstance(value, dict) or _is_texts(value)


def _is_objects(value) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _is_objects_by_name(value) -> bool:
    return isinstance(value, dict) and all(isinstance(item, dict) for item in value.values())


def _is(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kind)


#: Name of a field -> whether a value can be its, and in words.
_FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {
    # P.run.json
    "subcommand": (_is(str), "a text"),
    "options": (_is(dict), "an object"),
    "counts": (_is(dict), "an object"),
    "phenotypes": (_is_objects_by_name, "an object of objects"),
    "outputs": (_is_texts, "a list of texts"),
    "warnings": (_is_texts, "a list of texts"),
    "exit": (_is(dict), "an object"),
    "code": (_is(int), "a whole number"),
    # P.null.json
    "method": (_is(str), "a text"),
    "log_delta": (_is_number_or_null, "a number or null"),
    "h2": (_is_number_or_null, "a number or null"),
    "h2_se": (_is_number_or_null, "a number or null"),
    **{name: (_is(bool), "true or false") for name in ("at_boundary", "multimodal", "flat")},
    "covariates": (_is_covariates, "an object or a list of texts"),
    "transform": (_is(dict), "an object"),
    "kinship": (_is(dict), "an object"),
    "n_variants": (_is_number_or_null, "a number or null"),
    "profile": (_is(dict), "an object"),
    "chromosomes": (_is_objects, "a list of objects"),
    # P.calibration.json
    **{name: (_is_number, "a number") for name in ("alpha", "level", "n_draws")},
}


def check_fields(path: str | os.PathLike, content: dict, needed: Iterable[str] = ()) -> None:
    """Raise unless the fields that there are hold what lmmlasso writes into them.

    Parameters
    ----------
    path : path
        For the message.
    content : dict
        What a JSON result file holds, or an object in it.
    needed : iterable of str
        Fields that must be there.

    Raises
    ------
    TableError
        Names the first field that is not.
    """
    for name in needed:
        if name not in content:
            raise _refusal(path, name, _FIELDS[name][1], "no such field")
    for name, value in content.items():
        holds, what = _FIELDS.get(name, (None, ""))
        if holds is not None and not holds(value):
            raise _refusal(path, name, what, f"a value of the type {type(value).__name__}")


def _refusal(path, name: str, expected: str, found: str) -> TableError:
    return failure(
        TableError,
        os.fspath(path),
        f"field {name!r}",
        expected=expected,
        found=found,
        advice="run the command that made the file again",
    )

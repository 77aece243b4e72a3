"""All entries, but those that need an optional library that is not installed."""

from types import SimpleNamespace

from options.enumeration import Case, extra_of, is_there
from options.fits import fits
from options.readers import matrices, readers
from options.results import drawings, estimators, methods, script
from options.simulations import evaluations, simulations

#: What makes the entries, and the library without which it makes none.
_AREAS = (
    (fits, None),
    (simulations, None),
    (evaluations, None),
    (readers, None),
    (matrices, None),
    (estimators, "sklearn"),
    (methods, None),
    (drawings, "matplotlib"),
    (script, None),
)


def cases(problem: SimpleNamespace) -> dict[str, Case]:
    """{name: case} of every public function."""
    areas = [area for area, extra in _AREAS if is_there(extra)]
    found = {name: case for area in areas for name, case in area(problem).items()}
    return {name: case for name, case in found.items() if is_there(extra_of(name))}

"""Every number and every choice of the Python API: odd values work, or are refused by name."""

import inspect
from fractions import Fraction

import numpy as np
import pytest

for module in ("sklearn", "matplotlib", "cyvcf2", "bgen", "pgenlib"):
    pytest.importorskip(module)

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import lmmlasso_fast as ll  # noqa: E402
from lmmlasso_fast.errors import InputError, LMMLassoError  # noqa: E402
from options.enumeration import (  # noqa: E402
    Case,
    Refuses,
    Runs,
    With,
    parameters,
    public_callables,
    returned,
)
from options.problem import small_problem  # noqa: E402
from options.test_options_matter import AREAS  # noqa: E402

pytestmark = pytest.mark.promise("options")

PUBLIC = public_callables()

#: Annotations of numbers and of choices.
SCALARS = {int, float, str, int | None, float | None, "int", "float", "str"}
SCALARS |= {"int | None", "float | None", "str | None", str | None}
#: Arrays that are options, not data.
ARRAYS = {
    *("alphas", "penalty_factors", "fractions", "score", "norms", "values", "a", "b"),
    *("recall", "false_positive_rate"),
}
#: Not options: names of files, text that may be any, places in a sequence (IndexError).
FREE = {"path", "prefix", "phenotype", "chromosome", "lead", "total", "k"}
#: The functions of the published script have no annotations.
SCRIPT = {"mu", "numintervals", "ldeltamin", "ldeltamax", "ldelta", "n_reps", "f_subset", "seed"}
#: What their messages call them.
CALLED = {
    "ldeltamin": "log_delta_min",
    "ldeltamax": "log_delta_max",
    "numintervals": "n_grid",
    "ld_r2": "r2",
    "ld_window": "window",
    "transform": "method",
    "fit_intercept": "intercept",
    "kinship_threshold": "threshold",
}
HUGE = (10**30, -(10**30), 2**63)
VALUES = (
    *(True, False, np.bool_(True), 0, 1, -1, 2, 0.5, -0.0, 5e-324, 1e308),
    *(np.nan, np.inf, -np.inf, np.float32(0.5), np.float64(1), np.int64(2), np.uint8(1)),
    *(Fraction(1, 2), "1", "", "nan", None, [1]),
)
LISTS = (["x"], "x", [np.nan], [np.inf], [[1.0]], [], [1j], [10**30], [-1.0], [-0.0], None, 1.5)


def is_scalar(name: str, annotation, default) -> bool:
    if name in FREE:
        return False
    if annotation is inspect.Parameter.empty:
        return name in SCRIPT
    return annotation in SCALARS


def options() -> list[tuple[str, str, tuple]]:
    """(function, option, odd values)"""
    found = []
    for function, value in sorted(PUBLIC.items()):
        for name, p in inspect.signature(value).parameters.items():
            if is_scalar(name, p.annotation, p.default):
                found.append((function, name, VALUES if name == "n_jobs" else VALUES + HUGE))
            elif name in ARRAYS and p.annotation is not inspect.Parameter.empty:
                found.append((function, name, LISTS))
    return found


OPTIONS = options()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    problem = small_problem()
    problem.folder = tmp_path_factory.mktemp("files")
    return {name: case for area in AREAS for name, case in area(problem).items()}


def tried(case: Case, name: str, value):
    """The result or the error, where another value of the option has a meaning."""
    change = case.changes[name]
    entry = isinstance(change, With | Refuses | Runs)
    return returned(case.call, case.base | (change.others if entry else {}) | {name: value})[0]


def check(case: Case, function: str, name: str, value) -> None:
    found = tried(case, name, value)  # any other exception is none of the package
    if isinstance(found, LMMLassoError):
        # or one that it contradicts
        others = {other for other in parameters(PUBLIC[function]) if len(other) > 2}
        words = {name, CALLED.get(name, name), *others}
        message = str(found)
        assert any(word in message for word in words), f"{name}={value!r}: {message}"


@pytest.mark.parametrize("function", sorted({function for function, _, _ in OPTIONS}))
def test_odd_values_work_or_are_refused_by_name(table, function, tally):
    n = 0
    for _, name, values in (option for option in OPTIONS if option[0] == function):
        for value in values:
            check(table[function], function, name, value)
            n += 1
    tally(cases=n)


def test_every_number_is_tried():
    """Of each kind of annotation: a number whose annotation is not known would pass unseen."""
    assert len(OPTIONS) > 200
    tried_names = {name for _, name, _ in OPTIONS}
    unseen = {
        (function, name)
        for function, value in PUBLIC.items()
        for name, p in inspect.signature(value).parameters.items()
        if isinstance(p.default, int | float)
        and not isinstance(p.default, bool)
        and name not in tried_names
        # of the script, unused; what scikit-learn checks
        and name not in {"rho", "alpha", "cv", "random_state"}
    }
    assert not unseen


# ---- at the bound, and one step past it ---------------------------------------------------------

_UP, _DOWN = np.nextafter(1, 2), np.nextafter(1, 0)
_TINY = 5e-324
#: {option: (accepted, refused)}; of `lasso_path` unless another function is named.
BOUNDS = {
    "n_alphas": ((1, 2), (0, -1, 10**6 + 1)),
    "eps": ((1e-20, _DOWN), (0, -0.0, 1, -_TINY, 9e-21)),
    "tol": ((0, -0.0, 1e308), (-_TINY, np.inf)),
    "l1_ratio": ((1e-3, 1, _DOWN), (0, -0.0, _UP)),
    "max_iter": ((1,), (0,)),
    "max_active": ((0, 10**30), (-1,)),
    "gram_limit": ((0, 10**30), (-1,)),
    "n_threads": ((1,), (0, -1)),
    "alphas": (([1e-3],), ([0], [-0.0], [np.inf], [])),
    "fit_null.log_delta": ((-40, 40), (np.nextafter(40, 41), np.nextafter(-40, -41))),
    "fit_null.n_grid": ((1,), (0, 1.0, 10**6 + 1)),
    "fit_null.log_delta_min": ((-40, np.nextafter(5, 0)), (5, np.nextafter(-40, -41))),
    "fit_null.log_delta_max": ((40, np.nextafter(-5, 0)), (-5, np.nextafter(40, 41))),
    "cross_validate.n_folds": ((2, 60), (1, 61, 2.0)),
    "cross_validate.n_repeats": ((1,), (0,)),
    "cross_validate.seed": ((0, 10**30), (-1, 0.0)),
    "cross_validate.n_jobs": ((1, -1), (0, -2)),
    "stability_selection.fraction": ((0.5, 0.2), (0, np.nextafter(0.5, 1), 0.01)),
    "stability_selection.n_replicates": ((2,), (0, 1, 3)),
    "stability_selection.n_active": ((1, 40), (0, 41)),
    "stability_selection.ld_r2": ((_TINY, 1), (0, _UP)),
    "stability_selection.ld_window": ((0, None, np.inf), (-1, np.nan)),
    "multi_split.gamma_min": ((1e-3, _DOWN), (0, 1)),
    "multi_split.n_splits": ((1,), (0,)),
    "calibrated_alpha.level": ((1 / 51, _DOWN), (0, 1, 1 / 52)),
    "calibrated_alpha.n_draws": ((19,), (18, 0)),
    "refit_path.max_rounds": ((1,), (0,)),
    "refit_path.fractions": (([1], [_DOWN, 1e-3]), ([0], [_UP], [])),
    "Genotypes.filter.maf": ((0, -0.0, 0.1), (np.nextafter(0.5, 1), -_TINY)),
    "Genotypes.filter.geno": ((0.03, 1), (_UP, -_TINY)),
    "Genotypes.filter.mind": ((0.5, 1), (_UP, -_TINY)),
    "clump.r2": ((_TINY, 1), (0, _UP)),
    "error_bounds.expected_false.cutoff": ((np.nextafter(0.75, 1), 1), (0.5, _UP)),
    "error_bounds.largest_n_active.max_false": ((0, 1e308), (-_TINY, np.inf)),
    "evaluation.mean_interval.level": ((_TINY, _DOWN), (0, 1)),
    "evaluation.roc.max_fpr": ((1e-3, 1), (0, _UP)),
    "simulation.simulate_genotypes.fst": ((0, _DOWN), (1, -_TINY)),
    "simulation.simulate_genotypes.ld": ((0, 1), (_UP, -_TINY)),
    "simulation.simulate_genotypes.missing_rate": ((0, _DOWN), (1, -_TINY)),
    "simulation.simulate_genotypes.n_populations": ((1, 20), (0, 21)),
    "simulation.simulate_genotypes.n_chromosomes": ((1, 40), (0, 41)),
    "simulation.simulate_genotypes.family_size": ((1, 20), (0, 21)),
    "simulation.simulate_on.h2_snp": ((0.7, _TINY), (0, np.nextafter(1, 2))),
    "simulation.simulate_on.h2_structure": ((0, 0.7), (-_TINY, 0.71)),
    "simulation.simulate_on.min_frequency": ((0,), (np.nextafter(0.5, 1), -_TINY)),
    "simulation.simulate_on.n_causal": ((1, 30), (0, 41)),
    "plots.manhattan.level": ((_TINY, 1), (0, _UP)),
    "plots.save.dpi": ((20,), (19, 0, 10_001)),
}


@pytest.mark.parametrize("option", BOUNDS)
def test_bounds(table, option, tally):
    function, name = option.rsplit(".", 1) if "." in option else ("lasso_path", option)
    accepted, refused = BOUNDS[option]
    for value in accepted:
        found = tried(table[function], name, value)
        assert not isinstance(found, LMMLassoError), f"{value!r}: {found}"
    for value in refused:
        found = tried(table[function], name, value)
        assert isinstance(found, InputError), f"{value!r} is accepted"
        assert name in str(found) or CALLED.get(name, name) in str(found)
    tally(cases=len(accepted) + len(refused))


NUMBERS = st.one_of(
    st.floats(), st.integers(), st.booleans(), st.text(max_size=3), st.none(), st.just(-0.0)
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    values=st.dictionaries(
        st.sampled_from(
            ["eps", "tol", "l1_ratio", "max_active", "max_iter", "gram_limit", "alphas"]
        ),
        NUMBERS,
        min_size=1,
        max_size=3,
    )
)
def test_a_path_of_any_options_is_certified_or_refused(table, values):
    case = table["lasso_path"]
    path = returned(ll.lasso_path, case.base | values)[0]
    if isinstance(path, LMMLassoError):
        return
    assert np.isfinite(path.dual_gaps).all()
    assert (path.dual_gaps >= 0).all()
    assert (path.converged == (path.dual_gaps <= values.get("tol", 1e-6))).all()
    assert (np.diff(path.alphas) <= 0).all()
    assert np.isfinite(path.coefs.data).all()

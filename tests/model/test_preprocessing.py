"""Phenotype transformations and their inverses."""

import json
import re
import warnings

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lmmlasso_fast.errors import ModelError, PhenotypeError
from lmmlasso_fast.preprocessing import Transform, transform_phenotype

pytestmark = pytest.mark.promise("peers")

METHODS = ["none", "boxcox", "rint"]


@pytest.fixture
def skewed():
    return np.exp(np.random.default_rng(1).normal(1, 0.7, 200))


def box_cox_log_likelihood(y, exponent):
    """The definition, for positive y of moderate size."""
    z = np.log(y) if exponent == 0 else (y**exponent - 1) / exponent
    return (exponent - 1) * np.log(y).sum() - y.size / 2 * np.log(z.var())


class TestNone:
    def test_identity(self):
        y = np.array([3.0, -1.0, 2.0])
        values, transform = transform_phenotype(y)
        np.testing.assert_array_equal(values, y)
        assert not np.shares_memory(values, y)
        assert (transform.method, transform.lambda_, transform.table) == ("none", None, None)
        assert (transform.shift, transform.scale, transform.mean, transform.sd) == (0, 1, 0, 1)

    def test_standardized(self):
        values, transform = transform_phenotype([1.0, 2.0, 3.0, 4.0], standardize=True)
        np.testing.assert_allclose(values, (np.arange(1, 5) - 2.5) / np.sqrt(1.25))
        assert transform.mean == 2.5
        assert transform.sd == pytest.approx(np.sqrt(1.25))  # ddof 0


class TestBoxCox:
    @pytest.mark.parametrize("power", [-1.5, -0.5, 0, 0.5, 1, 3])
    def test_lambda_is_the_maximum_of_the_likelihood(self, power):
        x = np.random.default_rng(2).normal(10, 1, 300)
        y = np.exp(x) if power == 0 else x ** (1 / power)
        found = transform_phenotype(y, "boxcox")[1].lambda_
        y /= np.exp(np.log(y).mean())  # the unit does not matter, but for overflow
        best = box_cox_log_likelihood(y, found)
        for other in np.linspace(-5, 5, 501):
            assert box_cox_log_likelihood(y, other) <= best + 1e-6
        assert abs(found - power) < max(1, abs(power))

    def test_agrees_with_scipy(self, skewed):
        from scipy import stats

        expected, exponent = stats.boxcox(skewed)
        values, transform = transform_phenotype(skewed, "boxcox")
        assert transform.lambda_ == pytest.approx(exponent, abs=1e-6)
        np.testing.assert_allclose(values, (expected - expected.mean()) / expected.std(), atol=1e-6)

    def test_textbook_values_without_standardisation(self, skewed):
        from scipy.special import boxcox

        values, transform = transform_phenotype(skewed, "boxcox", standardize=False)
        np.testing.assert_allclose(values, boxcox(skewed, transform.lambda_), rtol=1e-12)
        assert (transform.shift, transform.scale, transform.mean, transform.sd) == (0, 1, 0, 1)

    def test_standardized(self, skewed):
        values, _ = transform_phenotype(skewed, "boxcox")
        assert values.mean() == pytest.approx(0, abs=1e-12)
        assert values.std() == pytest.approx(1, abs=1e-12)

    def test_positive_phenotypes_are_not_shifted(self, skewed):
        assert transform_phenotype(skewed, "boxcox")[1].shift == 0

    @pytest.mark.parametrize("minimum", [0.0, -3.0])
    def test_shift_rule(self, skewed, minimum):
        y = skewed - skewed.min() + minimum
        transform = transform_phenotype(y, "boxcox")[1]
        assert y.min() + transform.shift == pytest.approx(y.std())

    @pytest.mark.parametrize("factor", [1e-200, 1e-6, 1e6, 1e200])
    @pytest.mark.parametrize("offset", [0.0, -4.0])
    def test_the_unit_does_not_matter(self, skewed, factor, offset):
        values, transform = transform_phenotype(skewed + offset, "boxcox")
        scaled_values, scaled = transform_phenotype((skewed + offset) * factor, "boxcox")
        assert scaled.lambda_ == pytest.approx(transform.lambda_, abs=1e-6)
        np.testing.assert_allclose(scaled_values, values, atol=1e-6)

    @pytest.mark.parametrize("location", [1e3, 1e6, 1e9])
    def test_far_from_zero(self, skewed, location):
        """x**-5 alone would round to a constant."""
        values, transform = transform_phenotype(skewed + location, "boxcox")
        assert -5 <= transform.lambda_ <= 5
        assert values.std() == pytest.approx(1)
        np.testing.assert_allclose(transform.inverse(values), skewed + location, rtol=1e-12)

    def test_wide_range(self):
        """The fifth power of these overflows."""
        y = np.exp(np.random.default_rng(3).normal(0, 150, 100))
        values, transform = transform_phenotype(y, "boxcox")
        assert abs(transform.lambda_) < 0.01
        np.testing.assert_allclose(np.log(transform.inverse(values)), np.log(y), atol=1e-9)

    @pytest.mark.parametrize("exponent", [-5.0, -1.0, -0.01, -1e-9, 0.0, 1e-9, 0.01, 1.0, 5.0])
    def test_inverse_is_clipped_to_the_domain(self, exponent):
        transform = Transform("boxcox", lambda_=exponent, shift=2.0, scale=3.0, mean=0.1, sd=1.2)
        z = np.array([-1e300, -1e3, -5.0, 0.0, 5.0, 1e3, 1e300])
        y = transform.inverse(z)
        assert np.isfinite(y).all()
        assert (np.diff(y) >= 0).all()
        assert (y >= -2).all()

    def test_forward_refuses_what_lies_outside(self, skewed):
        transform = transform_phenotype(skewed, "boxcox")[1]
        with pytest.raises(PhenotypeError, match=r"expected phenotypes above -?0, .*found -1"):
            transform.forward([1.0, -1.0])
        with pytest.raises(PhenotypeError, match=r"expected phenotypes above -?0, .*found 0;"):
            transform.forward([1.0, 0.0])


class TestRint:
    def test_blom_scores(self):
        from scipy.special import ndtri

        y = np.array([10.0, 40.0, 20.0, 20.0, 30.0])
        values, _ = transform_phenotype(y, "rint", standardize=False)
        ranks = np.array([1, 5, 2.5, 2.5, 4])
        np.testing.assert_allclose(values, ndtri((ranks - 0.375) / 5.25), rtol=1e-12)

    def test_standardized(self, skewed):
        values, _ = transform_phenotype(skewed, "rint")
        assert values.mean() == pytest.approx(0, abs=1e-12)
        assert values.std() == pytest.approx(1, abs=1e-12)

    def test_inverse_interpolates_and_stays_inside(self):
        _, transform = transform_phenotype([1.0, 2.0, 10.0], "rint")
        low, middle, high = transform.forward([1, 2, 10])
        assert transform.inverse([-100, low, (middle + high) / 2, high, 100]) == pytest.approx(
            [1, 1, 6, 10, 10]
        )

    def test_forward_interpolates_and_stays_inside(self):
        values, transform = transform_phenotype([1.0, 2.0, 10.0], "rint")
        assert transform.forward([-50, 6, 50]) == pytest.approx(
            [values[0], (values[1] + values[2]) / 2, values[2]]
        )

    def test_any_monotone_function_gives_the_same(self, skewed):
        values, _ = transform_phenotype(skewed, "rint")
        np.testing.assert_array_equal(transform_phenotype(np.log(skewed), "rint")[0], values)


@pytest.mark.parametrize("method", METHODS)
class TestRefused:
    @pytest.mark.parametrize("y", [[2.0, 2.0, 2.0], [1.0], [0.0, -0.0]])
    def test_constant(self, method, y):
        with pytest.raises(PhenotypeError, match=r"two distinct values, found .* in all \d sample"):
            transform_phenotype(y, method)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, method, bad):
        with pytest.raises(PhenotypeError, match=rf"found 2 .* first \({bad}\) at position 1"):
            transform_phenotype([1.0, bad, 2.0, bad], method)

    @pytest.mark.parametrize("y", [["a", "b"], [1.0, "x"], [[1.0], [2.0, 3.0]], [1j, 2j]])
    def test_not_numeric(self, method, y):
        with pytest.raises(PhenotypeError, match="expected real numbers, found "):
            transform_phenotype(y, method)

    @pytest.mark.parametrize("shape", [(0,), (3, 1), ()])
    def test_shape(self, method, shape):
        with pytest.raises(PhenotypeError, match=r"one-dimensional .* found the shape \("):
            transform_phenotype(np.ones(shape), method)


@pytest.mark.parametrize(
    ("method", "y"),
    [
        ("none", [1.7e308, -1.7e308, 1.7e308, 1.7e308]),
        ("none", [1.7e308, -1.7e308, -1.7e308, 0.0]),  # the mean is finite
        ("boxcox", [5e-324, 0.0, 0.0, 0.0]),
        ("boxcox", [1e16, 1e16 + 2]),
    ],
)
def test_range_that_floating_point_cannot_hold(method, y):
    found = re.escape(f"found values from {min(y)!r} to {max(y)!r}")
    with pytest.raises(PhenotypeError, match=rf"variance floating point can hold.*{found}"):
        transform_phenotype(y, method, standardize=True)


def test_unknown_method():
    with pytest.raises(ValueError, match="method: expected 'none', 'boxcox' or 'rint', found"):
        transform_phenotype([1.0, 2.0], "log")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "convert",
    [
        np.float32,
        ">f8",
        lambda y: np.repeat(y, 2)[::2],
        lambda y: y.tolist(),
    ],
)
def test_any_input_array_untouched(skewed, method, convert):
    y = (
        convert(skewed)
        if callable(convert) and convert is not np.float32
        else skewed.astype(convert)
    )
    before = np.array(y)
    values, _ = transform_phenotype(y, method)
    np.testing.assert_array_equal(y, before)
    assert values.dtype == np.float64
    expected = transform_phenotype(np.array(y, dtype=np.float64), method)[0]
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("standardize", [False, True])
def test_dict_round_trip_is_exact(skewed, method, standardize):
    _, transform = transform_phenotype(skewed, method, standardize)
    again = Transform.from_dict(json.loads(json.dumps(transform.to_dict())))
    z = np.linspace(-5, 5, 50)
    assert again.to_dict() == transform.to_dict()
    np.testing.assert_array_equal(again.inverse(z), transform.inverse(z))
    np.testing.assert_array_equal(again.forward(skewed), transform.forward(skewed))


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("none", {"method": "log"}),
        ("none", {"sd": 0}),
        ("none", {"sd": "x"}),
        ("none", {"mean": np.nan}),
        ("none", {"lambda": 1.0}),
        ("boxcox", {"lambda": None}),
        ("boxcox", {"lambda": np.inf}),
        ("boxcox", {"lambda": "1"}),
        ("boxcox", {"scale": -1}),
        ("boxcox", {"shift": None}),
        ("rint", {"table": None}),
        ("rint", {"table": [[1, 2]]}),
        ("rint", {"table": [[1, 2], [3, 3]]}),
        ("rint", {"table": [[2, 1], [3, 4]]}),
        ("rint", {"table": [[1, 2], [3, 4, 5]]}),
        ("rint", {"table": [[], []]}),
        ("rint", {"table": [["a"], ["b"]]}),
    ],
)
def test_malformed_dict(skewed, method, changes):
    content = transform_phenotype(skewed, method)[1].to_dict()
    with pytest.raises(ModelError, match=r"expected the entries of Transform\.to_dict, found "):
        Transform.from_dict(content | changes)


@pytest.mark.parametrize("key", Transform("none").to_dict())
def test_dict_with_a_missing_entry(key):
    content = Transform("none").to_dict()
    del content[key]
    with pytest.raises(ModelError, match=f"found KeyError '{key}'"):
        Transform.from_dict(content)


phenotypes = hnp.arrays(
    np.float64,
    st.integers(2, 30),
    elements=st.floats(-1e100, 1e100) | st.sampled_from([0.0, 1.0, 2.0, -1.0, 1e-300]),
)


@given(y=phenotypes, method=st.sampled_from(METHODS), standardize=st.booleans())
@example(y=np.array([1.0444829e7, *[2.22507386e-313] * 27]), method="boxcox", standardize=True)
def test_forward_and_inverse_for_any_phenotype(y, method, standardize):
    """Monotone, finite, and back again to within rounding, whatever the phenotype."""
    assume(y.min() < y.max())
    try:
        values, transform = transform_phenotype(y, method, standardize)
    except PhenotypeError:
        assume(False)
    assert np.isfinite(values).all()
    assert (np.diff(values[np.argsort(y)]) >= 0).all()
    np.testing.assert_array_equal(transform.forward(y), values)
    back = transform.inverse(values)
    assert np.isfinite(back).all()
    if method != "boxcox":
        np.testing.assert_allclose(back, y, rtol=1e-9, atol=1e-9 * np.abs(y).max())
    if standardize:
        assert abs(values.mean()) < 1e-6
        assert values.std() == pytest.approx(1, abs=1e-6)


@given(
    y=hnp.arrays(np.float64, st.integers(2, 30), elements=st.integers(-1000, 1000)),
    z=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
    method=st.sampled_from(METHODS),
)
def test_inverse_is_finite_and_monotone(y, z, method):
    assume(y.min() < y.max())
    values, transform = transform_phenotype(y, method)
    back = transform.inverse(np.sort(z))
    assert np.isfinite(back).all()
    assert (back[1:] >= back[:-1]).all()
    # Compared where both are well conditioned: an outlier may have a power near the domain's end.
    again = transform.forward(transform.inverse(values))
    np.testing.assert_allclose(again, values, rtol=1e-9, atol=1e-9 * np.abs(values).max())


def test_no_warning_escapes(skewed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in METHODS:
            transform_phenotype(skewed * 1e100, method)[1].inverse([1e308, -1e308])


def test_real_flowering_times(data_dir):
    from lmmlasso_fast.io.tables import read_phenotypes

    table = read_phenotypes(data_dir / "arabidopsis_chr5" / "phenotypes.tsv", "FT10")
    y = table["FT10"].drop_nulls().to_numpy()
    for method in ("boxcox", "rint"):
        values, transform = transform_phenotype(y, method)
        np.testing.assert_allclose(transform.inverse(values), y, rtol=1e-9)

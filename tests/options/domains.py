"""What every number, choice and switch of the Python API may be: what is legal, what is not.

An option is found by its full name ("clump.r2") or, where it means the same in every function, by
its own ("tol"). Those that are no numbers or choices are named in `DATA`: a new option without an
entry in one of the two fails a test.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np

#: A number that is none: for every number and choice.
_NO_NUMBERS = (
    *(True, False, np.bool_(True), np.array(True), np.nan, np.float32("nan"), np.array(np.nan)),
    *("", "x", "1", "0.5", "nan", b"1", np.str_("1"), np.array("1")),
    *([], [1], (0.5,), {}, np.array([1]), np.array([0.5, 0.5])),
    *(1j, np.complex64(1), Fraction(1, 2), Fraction(2), Decimal("0.5"), object()),
    *(np.ma.masked, np.datetime64("2020"), np.timedelta64(1, "s"), np.array(1, dtype=object)),
)
_INFINITE = (np.inf, -np.inf, np.float32("inf"), np.array(np.inf))
_ENORMOUS = (10**400, -(10**400))
_TINY = 5e-324


@dataclass(frozen=True)
class Domain:
    """Values that are accepted, and values that are refused by a message with name and value.

    `beyond`: values refused as places in a sequence are, by IndexError. Of arrays a message
    shows what is wrong, not all of it (`shows_value`).
    """

    accepted: tuple
    refused: tuple
    beyond: tuple = ()
    shows_value: bool = True


def whole(low, high=None, *, none=False, also=(), not_=(), tried=None) -> Domain:
    """Whole numbers from `low` on; `tried`: the accepted ones to call with, else both bounds."""
    values = tried or ((low,) if high is None else (low, high))
    accepted = [*values, *also, np.int64(values[0]), np.array(values[-1])]
    refused = [*_NO_NUMBERS, *_INFINITE, low - 1, -(10**30), *not_]
    refused += [float(values[0]), values[0] + 0.5, np.float64(values[0]), np.array(float(low))]
    if high is not None:
        refused += [high + 1, 10**30, 10**400]
    refused = [v for v in refused if not _is_in(v, also)]
    return Domain((*accepted, None) if none else tuple(accepted), _without_none(refused, none))


def real(
    low=None, high=None, *, above=None, below=None, none=False, infinite=False, tried=(), not_=()
) -> Domain:
    """Numbers from `low` or `above` to `high` or `below`; infinity only if it is legal."""
    inside, refused = [], [*_NO_NUMBERS, *_ENORMOUS, *not_]
    if not infinite:
        refused += _INFINITE
    for bound, way in ((low, -1), (high, 1)):
        if bound is not None:
            inside.append(bound)
            refused += [
                np.nextafter(float(bound), way * np.inf),
                bound + way,
                np.array(bound + way),
            ]
    for bound, way in ((above, 1), (below, -1)):
        if bound is not None:
            inside.append(float(np.nextafter(float(bound), way * np.inf)))
            refused += [bound, float(bound), -0.0 if bound == 0 else bound, bound - way]
    if infinite:
        inside.append(np.inf)
        refused += [] if low is None and above is None else [-np.inf]
    accepted = [*(tried or inside or (0.5, -0.5))]
    accepted += [np.float64(accepted[0]), np.array(float(accepted[0]))]
    exact = [np.float32(v) for v in accepted if _is_float32(v)]
    accepted += exact[:1] + [np.array(v) for v in exact[:1]]
    return Domain((*accepted, None) if none else tuple(accepted), _without_none(refused, none))


def choice(*values, none=False) -> Domain:
    """Some words, or some numbers."""
    refused = [v for v in _NO_NUMBERS if not isinstance(v, str) or v not in values]
    refused += [*_INFINITE, 0, 1, 10**30, [values[0]], np.array([values[0]] * 2)]
    first = values[0]
    if isinstance(first, str):
        refused += [first.swapcase(), f"{first} ", first.encode()]
        accepted = [*values, np.str_(first)]
    else:
        refused += [float(first), str(first), -first]
        accepted = [*values, np.int64(first), np.array(first)]
    return Domain((*accepted, None) if none else tuple(accepted), _without_none(refused, none))


def switch(*, none=False) -> Domain:
    """True or False, NumPy's too."""
    refused = [v for v in _NO_NUMBERS if not _is_truth(v)]
    refused += [0, 1, 1.0, "True", "False", "no", [True], np.array([True, False]), *_INFINITE]
    accepted = (True, False, np.bool_(True), np.array(False))
    return Domain((*accepted, None) if none else accepted, _without_none(refused, none))


def text() -> Domain:
    """Any text."""
    refused = [v for v in _NO_NUMBERS if not isinstance(v, str)]
    return Domain(("a", "<b>", np.str_("x")), (*refused, None, 1, 0.5, *_INFINITE))


def numbers(accepted, refused, *, any_shape: bool = False) -> Domain:
    """An array of numbers, one number too."""
    never = (["x"], "x", "1", [np.nan], np.nan, [1j], [10**400], [True], True)
    never += () if any_shape else ([[1.0]], [])
    never += (np.array([True]), [None], object(), np.ma.masked_array([1.0, 1.0], [True, False]))
    return Domain(accepted, (*never, *refused), shows_value=False)


def place(n: int) -> Domain:
    """A place among n."""
    refused = [v for v in (*_NO_NUMBERS, *_INFINITE, 0.0, 0.5, None)]
    return Domain((0, n - 1, -n, np.int64(0), np.array(0)), tuple(refused), (n, -n - 1, 10**30))


def _is_float32(value) -> bool:
    return _TINY < abs(value) < 3e38 and float(np.float32(value)) == value


def _is_truth(value) -> bool:
    return isinstance(value, np.bool_ | bool) or getattr(value, "dtype", None) is np.dtype(bool)


def _is_in(value, values) -> bool:
    return isinstance(value, int | float) and value in values


def _without_none(refused, none: bool) -> tuple:
    return tuple(refused) if none else (*refused, None)


_SHARE = real(0, 1, none=True)
_LEVEL = real(above=0, below=1)
_SEED = whole(0, also=(10**30,))
_COUNT = whole(1, 10**8, tried=(1, 2))
_CHOICE_OF_ESTIMATOR = choice("rrm", "standardised", "centred", "gcta", "ibs")
_ASSUMPTION = choice("unimodal", "r-concave", "none")
_EFFECTS = choice("normal", "equal", "exponential", "geometric")
_POSITION = real(0, tried=(0, 10**6))
_TESTED = 1e-3  # a number of most open ranges
_FROM_0 = ([0], [-0.0], [-1.0], [np.inf], [_TINY, -_TINY])

#: What an option of this name is, unless `OF_ONE` says otherwise.
BY_NAME = {
    "n_threads": whole(1, none=True),
    "n_jobs": whole(1, none=True, also=(-1,), not_=(-2,)),
    "seed": _SEED,
    "alphas": numbers(([1e-3], 0.1, np.array(0.1), [0.2, 0.1], None), _FROM_0),
    "n_alphas": whole(1, 10**6, tried=(1, 2)),
    "eps": real(1e-20, below=1),
    "max_active": whole(0, none=True, also=(10**30,)),
    "tol": real(0, tried=(0, -0.0, 1e308), not_=(-_TINY,)),
    "l1_ratio": real(1e-10, 1, tried=(1e-3, 1, 1 - 1e-16), not_=(0, -0.0)),
    "max_iter": whole(1),
    "gram_limit": whole(0, also=(10**30,)),
    "method": choice("ml", "reml"),
    "log_delta": real(-40, 40, none=True),
    "mind": real(0, 1, none=True, tried=(0.5, 1)),
    "geno": real(0, 1, none=True, tried=(0.03, 1)),
    "maf": real(0, 0.5, none=True, tried=(0, -0.0, 0.1)),
    "bits": choice(16, 8),
    "dosage": choice("DS", "GT"),
    "effects": _EFFECTS,
    "assumption": _ASSUMPTION,
    "estimator": _CHOICE_OF_ESTIMATOR,
    "intercept": switch(),
    "fit_intercept": switch(),
    "random_effect": switch(),
    "exact": switch(),
    "inbred": switch(),
    "ref_last": switch(),
    "complementary": switch(),
    "standardize": switch(none=True),
    "debug": switch(),
    "penalty_factors": numbers(
        ("whitened", None, np.full(40, 2.0), np.arange(40)),
        (np.full(40, -1.0), np.full(39, 1.0), np.full(40, np.nan), "Whitened", np.ones(40, bool)),
    ),
    "level": _LEVEL,
    "h2_snp": real(0, 1, tried=(0.7, _TINY), not_=(0,)),
    "h2_structure": real(0, 1, tried=(0, 0.7), not_=(0.71,)),
    "n_causal": whole(1, 40, tried=(1, 30)),
    "min_distance": whole(0, tried=(0, 1)),
    "ld_r2": real(above=0, high=1),
    "r2": real(above=0, high=1),
    "ld_window": real(0, none=True, infinite=True),
    "n_samples": whole(1, 2**31 - 1, tried=(20,)),
    "n_variants": whole(1, 2**31 - 1, tried=(40,)),
    "n_populations": whole(1, 20),
    "n_chromosomes": whole(1, 40),
    "family_size": whole(1, 20),
    "fst": real(0, below=1),
    "missing_rate": real(0, below=1),
    "ld": real(0, 1),
    "min_frequency": real(0, 0.5, tried=(0, 0.1)),
    "cutoff": real(0, 1, none=True),
    "n_named": whole(0, tried=(0, 3)),
    "n_repeats": _COUNT,
    "max_false": real(0, tried=(0, 1e308)),
    "n_replicates": whole(2, 10**8, tried=(2, 4), not_=(0, 1, 3)),
}

#: One, or one for each vector.
SCREENING = replace(switch(), refused=(*switch().refused, np.array([1.0]), np.zeros(3, bool)))
#: {function.option: what it is}
OF_ONE = {
    "CrossValidation.index_with_active.n_active": whole(0),
    "Genotypes.gradient.n_threads": whole(1),
    "DosageGenotypes.gradient.n_threads": whole(1),
    "build_model.n_threads": whole(1),
    "Kinship.basis.delta": real(above=0, tried=(1.0, 1e308, _TINY)),
    "Kinship.from_matrix.estimator": text(),
    "Kinship.from_matrix.n_variants": whole(1, none=True),
    "Kinship.to_frame.above": real(none=True, infinite=True),
    "evaluation.rank_snps.above": real(none=True, infinite=True),
    "LDGroups.members.k": place(9),
    "RefittedPath.at.k": place(3),
    "LDGroups.of.n_variants": whole(20, 2**31 - 1, tried=(20, 40)),
    "LMMLasso.alpha": real(above=0, high=1e290, tried=(1e-3, 0.1)),
    "LMMLassoCV.cv": Domain((2, 3, np.int64(3), np.array(3)), (True, np.nan, 2.0, "x", 1, 0, 61)),
    "LMMLassoCV.random_state": whole(0, none=True, not_=(-1,)),
    "LMMLassoCV.selection": choice("best", "one_se"),
    "LassoPath.at.alpha": real(tried=(0.1, 1e308), not_=(-1, 0, 1e-9)),
    "Model.coef_at.alpha": real(none=True, tried=(0.1, 1e308), not_=(-1, 0, 1e-9)),
    "Model.to_frame.alpha": real(none=True, tried=(0.1, 1e308), not_=(-1, 0, 1e-9)),
    "Model.predict.alpha": real(none=True, tried=(0.1, 1e308), not_=(-1, 0, 1e-9)),
    "Model.predict_in_order.alpha": real(none=True, tried=(0.1, 1e308), not_=(-1, 0, 1e-9)),
    "build_model.phenotype": text(),
    "build_model.default_alpha": real(none=True, tried=(0.2, 1e308), not_=(-1, 0, 1e-9)),
    "build_model.alphas": numbers(([0.2], 0.1, None), (*_FROM_0, [1e-9])),
    "StabilityResult.bound.cutoff": real(above=0.5, high=1, tried=(0.9, 1)),
    "StabilityResult.selected.cutoff": real(0, 1),
    "calibrated_alpha.level": real(above=0, below=1, tried=(1 / 51, 0.99), not_=(1 / 52,)),
    "calibrated_alpha.n_draws": whole(19, 10**8, tried=(19, 20)),
    "clump.window": real(0, none=True, infinite=True),
    "compat.predict.ldelta": real(tried=(-3, 0.5)),
    "compat.stability_selection.mu": real(above=0, tried=(20, 1e6)),
    "compat.train.mu": real(above=0, tried=(20, 1e6)),
    "compat.stability_selection.n_reps": _COUNT,
    "compat.stability_selection.f_subset": real(above=0, high=1, tried=(0.5, 1), not_=(1e-9,)),
    **{
        f"compat.{name}.{option}": domain
        for name in ("train", "train_nullmodel")
        for option, domain in (
            ("numintervals", whole(1, 10**6, tried=(1, 2))),
            ("ldeltamin", real(-40, below=5)),
            ("ldeltamax", real(high=40, above=-5)),
        )
    },
    "read_npy.bits": choice(16, 8, none=True),
    # where a SNP is missing, one has three alleles, a sample looks like padding
    "Model.predict.allow_missing": replace(switch(), accepted=(True, np.bool_(True))),
    **{
        f"{name}.multiallelic": replace(choice("error", "skip"), accepted=("skip", np.str_("skip")))
        for name in ("read_vcf", "read_bgen", "read_pgen")
    },
    "read_plink.accept_reference_samples": replace(switch(), accepted=(True, np.bool_(True))),
    "DosageGenotypes.gradient.screening": SCREENING,
    "Genotypes.gradient.screening": SCREENING,
    "simulation.GenotypeStream.blocks.n_threads": whole(1, none=True),
    "error_bounds.smallest_cutoff.max_false": real(0, tried=(1, 1e308)),
    "fit_null.n_grid": whole(1, 10**6, tried=(1, 2)),
    "fit_null.log_delta_min": real(-40, below=5),
    "fit_null.log_delta_max": real(high=40, above=-5),
    "cross_validate.n_folds": whole(2, 60),
    "cross_validate.kinship_threshold": real(none=True, tried=(0.9, 2)),
    "cross_validate.transform": choice("none", "boxcox", "rint"),
    "decompose.rounding": real(0, tried=(0, 1e308)),
    "error_bounds.expected_false.n_active": real(0, tried=(0, 1, 2.5), not_=(1e9,)),
    "error_bounds.smallest_cutoff.n_active": real(0, tried=(0, 1, 2.5), not_=(1e9,)),
    **{
        f"error_bounds.{name}.{option}": domain
        for name in ("expected_false", "largest_n_active", "smallest_cutoff")
        for option, domain in (
            *(
                []
                if name == "smallest_cutoff"
                else [("cutoff", real(above=0.5, high=1, tried=(0.9, 1)))]
            ),
            ("n_variants", whole(1, tried=(200, 10**12))),
            ("n_replicates", whole(2, tried=(2, 100), not_=(1, 3))),
        )
    },
    "evaluation.PrecisionRecallCurve.at.recall": numbers(
        (0, 1, [0.0, 1.0], np.array(0.5)), ([-_TINY], [1.1], np.inf), any_shape=True
    ),
    "evaluation.RocCurve.at.false_positive_rate": numbers(
        (0, 1, [0.0, 1.0], np.array(0.5)), ([-_TINY], [1.1], np.inf), any_shape=True
    ),
    "evaluation.enrichment.window": _POSITION,
    "evaluation.enrichment.n_permutations": _COUNT,
    "evaluation.hits.window": real(0, tried=(0, 10**9)),
    "evaluation.hits.r2": real(above=0, high=1),
    "evaluation.hits.max_false": whole(1, none=True),
    "evaluation.mean_interval.values": numbers(([1, 2],), ([1], [1, np.inf], [[1, 2]])),
    "evaluation.paired_interval.a": numbers(([1, 2, 4],), ([1, 2], [1, 2, np.inf])),
    "evaluation.paired_interval.b": numbers(([1, 2, 4],), ([1, 2], [1, 2, np.inf])),
    "evaluation.roc.max_fpr": real(above=0, high=1, tried=(1e-3, 1)),
    "evaluation.roc.max_negatives": whole(1, none=True),
    "kinship_groups.threshold": real(tried=(0.6, 0.7)),
    "kinship_groups.n_folds": whole(2, 60, tried=(2, 3)),
    "make_folds.n_samples": whole(4, 2**31 - 1, tried=(12, 13)),
    "make_folds.n_folds": whole(2, 12),
    "marginal_fdr.norms": numbers((np.full(40, 2.0), None), (np.full(39, 1.0), [-1.0])),
    "multi_split.n_splits": _COUNT,
    "multi_split.n_active": whole(1, none=True, tried=(1, 2), not_=(40,)),
    "multi_split.n_alphas": whole(2, 10**6, tried=(2, 3), not_=(1,)),
    "multi_split.gamma_min": real(above=0, below=1, tried=(1e-3, 0.999)),
    "plots.coefficient_path.alpha": real(above=0, none=True),
    "plots.kinship_heatmap.order": choice("clusters", "given"),
    "plots.kinship_heatmap.max_samples": whole(2, tried=(2, 20)),
    "plots.manhattan.cutoff": real(above=0, high=1, none=True),
    "plots.manhattan.level": real(above=0, high=1, none=True),
    "plots.manhattan.n_tests": whole(1, none=True, also=(10**30,)),
    "plots.observed_predicted.index": whole(-8, 7, none=True),
    "plots.regional.chromosome": Domain(("1", np.str_("1")), (1, True, None, np.nan, ["1"])),
    "plots.regional.start": real(0, tried=(0, 1)),
    "plots.regional.end": real(0, tried=(10**6, 1e6)),
    "plots.regional.lead": Domain((None,), (1, True, np.nan, "", "no such SNP", [1])),
    "plots.save.format": Domain(
        ("svg", "png", "pdf", None), ("x", "SVG", True, 1, np.nan, ["svg"])
    ),
    "plots.save.dpi": real(20, 10_000, tried=(20, 30)),
    "refit_path.fractions": numbers(
        ([1], [1 - 1e-16, 1e-3], 0.5, None), ([0], [1.1], [-1.0], [np.inf])
    ),
    "refit_path.max_rounds": whole(1),
    "stability_selection.fraction": real(above=0, high=0.5, tried=(0.5, 0.2), not_=(0.01,)),
    "stability_selection.n_active": whole(1, 40),
    "stability_selection.n_alphas": whole(2, 10**6, tried=(2, 3), not_=(1,)),
    "simulation.simulate_on.n_causal": whole(1, 40, tried=(1, 30)),
    "transform_phenotype.method": choice("none", "boxcox", "rint"),
    "variance_by_snp.total": real(above=0, tried=(1.0, 2)),
    "clump.score": numbers((np.arange(20.0),), (np.arange(19.0), np.full(20, np.nan))),
}

#: Neither numbers nor choices: data, names of files and of columns, results, callbacks; checked by
#: tests/model/test_array_inputs.py and the tests of their own.
DATA = {
    *("A", "B", "K", "K_new", "K_tt", "K_vt", "X", "X_t", "X_v", "y", "y_t", "z", "v", "w"),
    *("genotypes", "null", "path", "model", "kinship", "stability", "scan", "cv", "fitted"),
    *("covariates", "covariate_names", "covariate_levels", "groups", "splitter", "transform"),
    *("samples", "variants", "pedigree", "genes", "hits", "ranking", "causal", "scores", "snps"),
    *("coef", "coefs", "codes", "reasons", "statistics", "index", "rows", "deltas", "dosages"),
    *("population", "background", "dosages_of", "variants_of", "split", "prediction", "content"),
    *("chromosomes", "extract", "exclude", "before", "after", "names", "figure", "axes"),
    *("prefix", "bed", "bim", "fam", "annotation", "sample", "pgen", "pvar", "psam"),
    *("progress", "options", "kwargs", "dtype"),
}
#: Taken and not used, as documented.
UNUSED = {"compat.train.rho", "compat.train.alpha"}


def domain_of(function: str, option: str) -> Domain | None:
    """What an option may be; None for data."""
    if f"{function}.{option}" in OF_ONE:
        return OF_ONE[f"{function}.{option}"]
    return None if f"{function}.{option}" in UNUSED else BY_NAME.get(option)

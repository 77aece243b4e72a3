"""Relations between analyses of data that are changed in a way whose effect is known.

Each relation changes the data and says what becomes of the results: of null model, path, scan,
cross-validation with given folds, prediction and stability selection. The fit and the predictions
are compared, which are unique where coefficients need not be.
"""

import warnings
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import reference as ref
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import dense, from_array, random_dosages

import lmmlasso_fast as ll
from lmmlasso_fast.errors import DataWarning

pytestmark = pytest.mark.promise("no-wrong-answer", "peers")

N_NEW = 4
#: Of fits and predictions, relative to the phenotype: what gaps of `TOL` and roots leave open.
ACCURACY, TOL = 2e-5, 1e-11
EXAMPLES = settings(max_examples=settings.default.max_examples // 10)


@dataclass(frozen=True)
class Data:
    """One analysis: training samples first in D and K, then the new ones."""

    D: np.ndarray
    y: np.ndarray
    K: np.ndarray | None
    C: np.ndarray
    folds: list
    make: Any
    log_delta: float | None

    @property
    def n(self):
        return len(self.y)


def drawn(seed, n, p, kind, packed, odd, log_delta):
    """Correlated SNPs with missing genotypes; kind: given kinship, own (of the SNPs), or none."""
    rng = np.random.default_rng(seed)
    D = random_dosages(rng, n + N_NEW, p, missing=0.05, hostile=odd and p >= 12)
    if not packed:
        D = D + 0.1 * rng.random(D.shape)
    X, _, _ = ref.standardise(D[:n])
    C = rng.standard_normal((n + N_NEW, 2))
    y = X[:, :3].sum(axis=1) + C[:n, 0] + X @ rng.standard_normal(p) / np.sqrt(p)
    y = y + rng.standard_normal(n) + 2
    Z = rng.standard_normal((n + N_NEW, n))
    test = np.array_split(rng.permutation(n), 3)
    return Data(
        D, y, Z @ Z.T / n if kind == "given" else None, C,
        [(np.setdiff1d(np.arange(n), part), part) for part in test],
        {"packed": from_array, "dense": dense}["packed" if packed else "dense"],
        log_delta if kind != "none" else np.inf,
    )  # fmt: skip


def kinships(data, genotypes):
    """(kinship of the null model, K for cross-validation, options): None where there is none."""
    if data.log_delta == np.inf:
        return None, None, {"random_effect": False}
    if data.K is None:
        return ll.kinship(genotypes), None, {"log_delta": data.log_delta}
    K = data.K[: data.n, : data.n]
    return K, K, {"log_delta": data.log_delta}


def analysed(data, *, l1_ratio=1.0):
    """What must follow the relations, each as an array with the samples or SNPs first."""
    n = data.n
    genotypes, new = data.make(data.D[:n]), data.make(data.D[n:])
    C, C_new = data.C[:n], data.C[n:]
    K, K_cv, options = kinships(data, genotypes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # collinear covariates
        null, design = None, {"covariates": C}
        if K is not None:
            null, design = ll.fit_null(data.y, K, C, log_delta=data.log_delta), {}
        path = ll.lasso_path(
            genotypes, data.y, null, n_alphas=8, eps=0.1, tol=TOL, l1_ratio=l1_ratio, **design
        )
        scan = ll.association_scan(genotypes, data.y, null, **design)
        cv = ll.cross_validate(
            genotypes, data.y, K_cv, splitter=data.folds, covariates=C, n_alphas=5, eps=0.2,
            tol=TOL, l1_ratio=l1_ratio, n_jobs=1, **options,
        )  # fmt: skip
    model = ll.build_model(path, genotypes)
    given = {"kinship": data.K[n:, :n]} if model.random == "sample" else {}
    names = path.design.names[1:]
    C_new = C_new[:, [int(name[len("covariate") :]) - 1 for name in names]]
    predicted = [
        model.predict_in_order(new, alpha=alpha, covariates=C_new, **given) for alpha in path.alphas
    ]
    assert path.converged.all()
    assert cv.converged.all()
    X, _, _ = ref.standardise(data.D[:n])
    return SimpleNamespace(
        null=null,
        alphas=path.alphas,
        snp_part=X @ path.coefs.toarray(),
        fixed_part=path.design.matrix @ path.gammas,
        scan=scan,
        scores=cv.fold_scores,
        out_of_fold=cv.predictions[0],
        new=np.column_stack([part.total for part in predicted]),
        genotypes=genotypes,
    )


def ambiguous(data) -> bool:
    """Whether SNPs that differ are the same, or opposite, among the training samples of a fold.

    How they share an effect there is anybody's choice, and what they predict for others follows.
    """

    def pairs(rows):
        X = ref.standardise(data.D[rows])[0]
        lengths = np.linalg.norm(X, axis=0)
        return np.abs(X.T @ X) > (1 - 1e-9) * np.outer(lengths, lengths)

    everywhere = pairs(np.arange(data.n))
    return any((pairs(train) & ~everywhere).any() for train, _ in data.folds)


def compare(data, one, other, *, samples=slice(None), snps=slice(None), sign=1.0, unit=1.0,
            shift=0.0, shift_new=0.0, alpha=1.0, folds=True):  # fmt: skip
    """`other` is `one` with these samples and SNPs, y times `unit` plus `shift`, alphas times
    `alpha`, SNPs times `sign`."""
    accuracy = ACCURACY if data.K is not None or data.log_delta == np.inf else 2e-4  # float32
    size = accuracy * abs(unit) * np.std(data.y)
    if one.null is not None and other.null is not None:
        a, b = one.null, other.null
        assert (a.at_boundary, a.flat) == (b.at_boundary, b.flat)
        assert_allclose(b.log_delta, a.log_delta, atol=20 * accuracy)
        assert_allclose(b.sigma_g2, a.sigma_g2 * unit**2, rtol=20 * accuracy)
        likelihood = a.log_likelihood - data.n * np.log(abs(unit))
        assert_allclose(b.log_likelihood, likelihood, atol=20 * accuracy)
    assert_allclose(other.alphas, one.alphas * alpha * abs(unit), rtol=50 * accuracy)
    assert_allclose(other.snp_part, one.snp_part[samples] * unit, atol=50 * size)
    fixed = one.fixed_part[samples] * unit + np.reshape(shift, (-1, 1))
    assert_allclose(other.fixed_part, fixed, atol=50 * size)
    assert_allclose(other.new, one.new * unit + np.reshape(shift_new, (-1, 1)), atol=50 * size)
    for name, factor in (("beta", sign * unit), ("se", abs(unit)), ("log10p", 1.0)):
        found, expected = getattr(other.scan, name), getattr(one.scan, name)[snps] * factor
        largest = np.nanmax(np.abs(expected))
        assert_allclose(found, expected, rtol=20 * accuracy, atol=20 * accuracy * largest)
    if folds and not ambiguous(data):
        assert_allclose(other.scores, one.scores, atol=100 * accuracy)
        expected = one.out_of_fold[samples] * unit + np.reshape(shift, (-1, 1))
        assert_allclose(other.out_of_fold, expected, atol=100 * size)


DATA = st.builds(
    drawn,
    seed=st.integers(0, 2**32),
    n=st.integers(24, 40),
    p=st.sampled_from([3, 15, 50]),
    kind=st.sampled_from(["given", "own", "none"]),
    packed=st.booleans(),
    odd=st.booleans(),
    log_delta=st.sampled_from([None, 0.0, -2.0]),
)
SEEDS = st.integers(0, 2**32)


# ---- the same data in another order or notation -------------------------------------------------


@EXAMPLES
@given(DATA, SEEDS)
def test_the_order_of_samples(data, seed):
    n, rng = data.n, np.random.default_rng(seed)
    order = rng.permutation(n)
    both = np.concatenate([order, np.arange(n, n + N_NEW)])
    place = np.argsort(order)
    other = replace(
        data, D=data.D[both], y=data.y[order], C=data.C[both],
        K=None if data.K is None else data.K[np.ix_(both, both)],
        folds=[(place[train], place[test]) for train, test in data.folds],
    )  # fmt: skip
    compare(data, analysed(data), analysed(other), samples=order)


@EXAMPLES
@given(DATA, SEEDS)
def test_the_order_of_snps(data, seed):
    order = np.random.default_rng(seed).permutation(data.D.shape[1])
    compare(data, analysed(data), analysed(replace(data, D=data.D[:, order])), snps=order)


@EXAMPLES
@given(DATA, SEEDS)
def test_the_counted_allele(data, seed):
    flip = np.random.default_rng(seed).random(data.D.shape[1]) < 0.5
    other = replace(data, D=np.where(flip, 2 - data.D, data.D))
    compare(data, analysed(data), analysed(other), sign=np.where(flip, -1.0, 1.0))


@EXAMPLES
@given(DATA, st.sampled_from([1, 2, 7]))
def test_a_monomorphic_snp_more(data, where):
    where = min(where, data.D.shape[1])
    other = replace(data, D=np.insert(data.D, where, 1.0, axis=1))
    one, two = analysed(data), analysed(other)
    assert np.isnan(two.scan.beta[where])
    for name in ("beta", "se", "log10p"):
        object.__setattr__(two.scan, name, np.delete(getattr(two.scan, name), where))
    compare(data, one, two)


@EXAMPLES
@given(DATA, st.lists(st.sampled_from([-2.0, 0.5, 1.0, 100.0]), min_size=3, max_size=3))
def test_a_collinear_covariate_more(data, weights):
    extra = np.column_stack([np.ones(len(data.C)), data.C]) @ weights
    compare(data, analysed(data), analysed(replace(data, C=np.column_stack([data.C, extra]))))


# ---- other units --------------------------------------------------------------------------------


@EXAMPLES
@given(DATA, st.sampled_from([1e-9, 0.3, 1e9]))
def test_a_multiple_of_the_kinship(data, c):
    if data.K is not None:
        compare(data, analysed(data), analysed(replace(data, K=c * data.K)))


@EXAMPLES
@given(DATA, st.sampled_from([-1.0, 1e-6, -3e4, 1e100]))
def test_the_unit_of_the_phenotype(data, a):
    compare(data, analysed(data), analysed(replace(data, y=a * data.y)), unit=a)


@EXAMPLES
@given(DATA, st.lists(st.sampled_from([-10.0, 0.5, 1e3]), min_size=3, max_size=3))
def test_covariates_added_to_the_phenotype(data, g):
    shift = np.column_stack([np.ones(len(data.C)), data.C]) @ g
    one, other = analysed(data), analysed(replace(data, y=data.y + shift[: data.n]))
    # explained variance is a share of another variance then
    compare(data, one, other, shift=shift[: data.n], shift_new=shift[data.n :], folds=False)
    expected = one.out_of_fold + shift[: data.n, None]
    assert_allclose(other.out_of_fold, expected, atol=1e-2 * np.std(data.y))


# ---- models that coincide -----------------------------------------------------------------------


@EXAMPLES
@given(DATA, st.sampled_from([-3.0, 0.0, 3.0]))
def test_the_identity_as_kinship(data, log_delta):
    """V = (1 + delta) I: the plain Lasso with alphas divided by 1 + delta, and no random part."""
    plain = replace(data, K=None, log_delta=np.inf)
    K = np.zeros((data.n + N_NEW,) * 2)
    K[: data.n, : data.n] = np.eye(data.n)
    mixed = replace(data, K=K, log_delta=log_delta)
    compare(plain, analysed(plain), analysed(mixed), alpha=1 / (1 + np.exp(log_delta)))


@EXAMPLES
@given(DATA, st.sampled_from([-1.0, 0.0, 2.0]))
def test_every_sample_twice(data, log_delta):
    """Two measurements of each are one of half the noise: delta / 2, and alphas twice as large."""
    n, C = data.n, data.C
    twice = np.concatenate([np.arange(n), np.arange(n), np.arange(n, n + N_NEW)])
    half = data.log_delta != np.inf
    once = replace(data, log_delta=log_delta - np.log(2) if half else np.inf)
    double = replace(
        data, D=data.D[twice], y=data.y[twice[: 2 * n]], C=C[twice],
        K=None if data.K is None else data.K[np.ix_(twice, twice)],
        folds=[(np.append(train, train + n), np.append(test, test + n))
               for train, test in data.folds],
        log_delta=log_delta if half else np.inf,
    )  # fmt: skip
    one, two = analysed(once), analysed(double)
    both = np.tile(np.arange(n), 2)
    for name in ("beta", "se", "log10p"):  # its degrees of freedom are others
        object.__setattr__(two.scan, name, getattr(one.scan, name))
    one.null = None
    compare(once, one, two, samples=both, alpha=0.5 if half else 1.0)


# ---- stability selection ------------------------------------------------------------------------


def stability(data):
    genotypes = data.make(data.D[: data.n])
    _, K, options = kinships(data, genotypes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return ll.stability_selection(
            genotypes, data.y, K, covariates=data.C[: data.n], n_active=3, n_replicates=6,
            seed=1, n_jobs=1, **options,
        )  # fmt: skip


@EXAMPLES
@given(SEEDS, st.sampled_from(["given", "own", "none"]))
def test_stability_selection(seed, kind):
    """The subsamples are the seed's: what does not change the samples changes no selection.

    Not on whole dosages, among which a subsample has duplicates: one of them is chosen by place.
    """
    data = drawn(seed, 40, 25, kind, packed=False, odd=False, log_delta=0.0)
    rng = np.random.default_rng(seed)
    order, flip = rng.permutation(25), rng.random(25) < 0.5
    one = stability(data)
    changes = {
        "order of SNPs": (replace(data, D=data.D[:, order]), one.frequency[order]),
        "allele": (replace(data, D=np.where(flip, 2 - data.D, data.D)), one.frequency),
        "unit": (replace(data, y=-1e5 * data.y), one.frequency),
        "covariates": (replace(data, y=data.y + 3 * data.C[: data.n, 0] - 7), one.frequency),
        "collinear": (replace(data, C=data.C[:, [0, 1, 0]]), one.frequency),
        "monomorphic": (
            replace(data, D=np.insert(data.D, 4, 2.0, axis=1)), np.insert(one.frequency, 4, 0.0)
        ),
    }  # fmt: skip
    if data.K is not None:
        changes["kinship"] = (replace(data, K=1e-5 * data.K), one.frequency)
    for what, (other, expected) in changes.items():
        found = stability(other)
        assert_array_equal(found.frequency, expected, err_msg=what)
        for cutoff in (0.6, 0.9):
            assert found.bound(cutoff) == one.bound(cutoff), what

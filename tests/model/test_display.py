"""Every public result: a table, an HTML form that is safe to show, a plot."""

import dataclasses
import inspect
import sys
import types
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from cli_files import lmmlasso, read
from numpy.testing import assert_array_equal
from problems import random_dosages

import lmmlasso_fast as ll
from lmmlasso_fast import evaluation, simulation
from lmmlasso_fast.display import Result
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.io import results

pytestmark = pytest.mark.promise("hostile")

HOSTILE = '<script>alert("&\'1")</script>'


def public_results():
    """All dataclasses that users get from the package: found, not listed."""
    names = [(ll, name) for name in ll.__all__]
    names += [(simulation, name) for name in simulation.__all__]
    names += [(evaluation, name) for name in vars(evaluation) if name[0] != "_"]
    found = {getattr(module, name) for module, name in names}
    return sorted(
        (value for value in found if isinstance(value, type) and dataclasses.is_dataclass(value)),
        key=lambda value: value.__name__,
    )


RESULTS = public_results()


@pytest.fixture(scope="module")
def genotypes():
    n, p = 40, 30
    samples = pl.DataFrame({"FID": [HOSTILE] * n, "IID": [f"{HOSTILE}{i}" for i in range(n)]})
    variants = pl.DataFrame(
        {
            "CHROM": [HOSTILE + "1"] * 15 + [HOSTILE + "2"] * 15,
            "ID": [f"{HOSTILE}{j}" for j in range(p)],
            "POS": np.arange(1, p + 1),
            "A1": [HOSTILE] * p,
            "A2": ["G"] * p,
        }
    )
    D = random_dosages(np.random.default_rng(0), n, p, missing=0.05, hostile=True)
    return ll.Genotypes.from_array(D, samples, variants)


@pytest.fixture(scope="module")
def y(genotypes):
    rng = np.random.default_rng(1)
    return genotypes.columns([3, 20]) @ [1.0, -0.8] + rng.standard_normal(40)


@pytest.fixture(scope="module")
def made(genotypes, y):
    """{class: a result}."""
    K = ll.kinship(genotypes)
    null = ll.fit_null(y, K)
    path = ll.lasso_path(genotypes, y, null, n_alphas=5)
    model = ll.build_model(path, genotypes, phenotype=HOSTILE)
    scan = ll.association_scan_loco(genotypes, y)
    cv = ll.cross_validate(genotypes, y, n_folds=3, n_alphas=4)
    stability = ll.stability_selection(genotypes, y, n_active=3, n_replicates=4)
    ranking = evaluation.rank_snps(scan.log10p)
    hits = evaluation.hits(ranking, [3, 20], genotypes, window=2)
    genes = pl.DataFrame({"CHROM": [HOSTILE + "1"], "START": [2], "END": [5], "GENE": [HOSTILE]})
    drawn = simulation.simulate_genotypes(30, 20, seed=1)
    found = [
        K,
        K.spectrum,
        null,
        path,
        model,
        model.predict(genotypes),
        ll.variance_split(path, genotypes, y),
        ll.refit_path(genotypes, y, null, n_alphas=3),
        ll.calibrated_alpha(genotypes, y, null, n_draws=20),
        scan,
        cv,
        cv.folds[0],
        stability,
        stability.groups,
        ll.multi_split(genotypes, y, n_splits=4, n_active=3),
        ll.transform_phenotype(y, "rint")[1],
        ranking,
        hits,
        evaluation.precision_recall(hits),
        evaluation.roc(hits, genotypes),
        evaluation.enrichment([3, 20], genotypes, genes, window=1, n_permutations=9),
        drawn,
        simulation.simulate_phenotype(drawn.dosages, n_causal=3, seed=1),
    ]
    return {type(result): result for result in found}


def test_some_are_found():
    assert {ll.NullModel, ll.StabilityResult, simulation.SimulatedPhenotype} < set(RESULTS)
    assert len(RESULTS) >= 23


@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: kind.__name__)
class TestEveryResult:
    def test_is_frozen(self, kind, made):
        assert kind in made, f"make a {kind.__name__} in the fixture"
        result = made[kind]
        name = dataclasses.fields(result)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(result, name, None)

    def test_has_a_table(self, kind, made):
        assert issubclass(kind, Result)
        frame = made[kind].to_frame()
        assert isinstance(frame, pl.DataFrame)
        assert frame.height > 0
        assert frame.equals(made[kind].to_frame())
        assert kind.to_frame.__doc__

    def test_html_is_small_safe_and_closed(self, kind, made):
        html = made[kind]._repr_html_()
        assert kind.__name__ in html
        assert len(html) < 20_000
        assert tags(html) <= {"div", "b", "p", "table", "thead", "tbody", "tr", "th", "td"}
        assert "<script" not in html

    def test_table_names_snps(self, kind, made, genotypes):
        if "genotypes" not in inspect.signature(kind.to_frame).parameters:
            return
        result = made[kind]
        numbered, named = result.to_frame(), result.to_frame(genotypes)
        assert "SNP" in numbered.columns
        assert_array_equal(named["ID"], genotypes.variants["ID"][numbered["SNP"]])
        assert named.drop(set(named.columns) - set(numbered.columns)).equals(numbered.drop("SNP"))
        if kind is not ll.LDGroups:  # knows none but its own
            part = ll.Genotypes.from_array(np.eye(4))
            with pytest.raises(InputError, match="expected the 30 SNPs of the result, found 4"):
                result.to_frame(part)


def tags(html):
    """The tags that an HTML parser sees; all are closed in order and have no attributes."""
    seen, still_open = set(), []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attributes):
            assert not attributes
            seen.add(tag)
            still_open.append(tag)

        def handle_endtag(self, tag):
            assert still_open.pop() == tag

    parser = Parser()
    parser.feed(html)
    parser.close()
    assert not still_open
    return seen


@pytest.mark.parametrize("kind", [ll.Kinship, ll.Model])
def test_hostile_ids_are_shown_as_text(kind, made):
    html = made[kind]._repr_html_()
    assert "&lt;script&gt;" in html
    assert HOSTILE not in html


def test_long_tables_are_cut(made):
    html = made[ll.Kinship]._repr_html_()
    assert html.count("<tr>") == 11
    assert "40 rows, 12 columns" in html  # of the 40 x 40 matrix, ten columns


# ---- the same as the files -----------------------------------------------------------------------


def assert_is_the_file(frame, path):
    table = path.with_name("again.tsv")
    results.write_table(frame, table)
    assert table.read_bytes() == path.read_bytes()


def test_tables_are_those_of_the_command_line(small, tmp_path):
    genotypes = ll.read_plink(small.prefix)
    folds = ["--folds", 3, "--seed", 5, "--n-alphas", 8, "--eps", 0.3]
    lmmlasso("cv", *small.base, *folds, "--out", tmp_path / "C")
    cv = ll.cross_validate(genotypes, small.y, n_folds=3, seed=5, n_alphas=8, eps=0.3)
    assert_is_the_file(cv.to_frame(), tmp_path / "C.cv.tsv")
    stability = ["--replicates", 4, "--n-active", 3]
    lmmlasso("stability", *small.base, *stability, "--out", tmp_path / "S")
    found = ll.stability_selection(genotypes, small.y, n_replicates=4, n_active=3)
    assert_is_the_file(found.to_frame(genotypes), tmp_path / "S.stability.tsv")
    lmmlasso("scan", *small.base, "--out", tmp_path / "A")
    null = ll.fit_null(small.y, ll.kinship(genotypes))
    scan = ll.association_scan(genotypes, small.y, null)
    assert_is_the_file(scan.to_frame(genotypes), tmp_path / "A.scan.tsv")


def test_parts_of_tables(small):
    """P.path.tsv has the variances beside; P.score.tsv is of the last alpha."""
    genotypes = ll.read_plink(small.prefix)
    null = ll.fit_null(small.y, ll.kinship(genotypes))
    path = ll.lasso_path(genotypes, small.y, null)
    written = read(f"{small.plain}.path.tsv")
    frame = path.to_frame()
    assert written.header[:6] == frame.columns
    assert_array_equal(written.ALPHA, frame["ALPHA"])
    split = ll.variance_split(path, genotypes, small.y).to_frame()
    assert written.header[6:] == split.columns[:3]
    assert_array_equal(written.VAR_RANDOM, split["VAR_RANDOM"])
    model = ll.build_model(path, genotypes)
    score = read(f"{small.plain}.score.tsv")
    assert score.header == model.to_frame().columns
    assert_array_equal(score.ID, model.to_frame()["ID"])
    assert model.to_frame(path.alphas[0]).height == 0


def test_pairs_of_a_kinship(made):
    K = made[ll.Kinship]
    pairs = K.to_frame()
    assert pairs.columns == ["FID1", "IID1", "FID2", "IID2", "KINSHIP"]
    assert pairs.height == 40 * 41 // 2
    lower = np.tril_indices(40)
    assert_array_equal(pairs["KINSHIP"], K.matrix[lower])
    assert_array_equal(pairs["IID1"], K.samples["IID"][lower[0]])
    assert_array_equal(pairs["IID2"], K.samples["IID"][lower[1]])
    close = K.to_frame(above=0.2)
    off = np.tril_indices(40, -1)
    assert close.height == (K.matrix[off] > 0.2).sum() > 0
    assert close["KINSHIP"].min() > 0.2
    bare = ll.Kinship.from_matrix(K.matrix).to_frame()
    assert bare.columns == ["SAMPLE1", "SAMPLE2", "KINSHIP"]
    assert_array_equal(bare["SAMPLE2"], lower[1])


# ---- plots ---------------------------------------------------------------------------------------

#: What each result's plot() calls, with what.
PLOTS = {
    ll.NullModel: ("likelihood_profile", lambda self: ((self,), {})),
    ll.LassoPath: ("coefficient_path", lambda self: ((self, None), {})),
    ll.RefittedPath: ("coefficient_path", lambda self: ((self, None), {})),
    ll.CrossValidation: ("cv_curve", lambda self: ((self,), {})),
    ll.StabilityResult: ("stability_path", lambda self: ((self, None), {})),
    ll.AssociationScan: ("qq", lambda self: ((), {"after": self})),
    ll.Kinship: ("kinship_heatmap", lambda self: ((self,), {})),
}


@pytest.fixture
def calls(monkeypatch):
    """What is asked of a stand-in for lmmlasso_fast.plots: (function, arguments, options)."""
    found = []

    class Plots(types.ModuleType):
        def __getattr__(self, name):
            return lambda *arguments, **options: found.append((name, arguments, options))

    monkeypatch.setitem(sys.modules, "lmmlasso_fast.plots", Plots("lmmlasso_fast.plots"))
    return found


@pytest.mark.parametrize("kind", PLOTS)
def test_plot(kind, made, calls):
    name, expected = PLOTS[kind]
    result = made[kind]
    result.plot(axes="here")
    [(called, arguments, options)] = calls
    positional, named = expected(result)
    assert called == name
    assert all(a is b for a, b in zip(arguments, positional, strict=True))
    assert options.pop("axes") == "here"
    assert all(options[key] is value for key, value in named.items())
    assert len(options) == len(named)


def test_plots_with_more(made, genotypes, calls):
    scan, split, path = (
        made[kind] for kind in (ll.AssociationScan, ll.VarianceSplit, ll.LassoPath)
    )
    scan.plot(genotypes)
    split.plot(path)
    path.plot(genotypes)
    names = [name for name, _, _ in calls]
    assert names == ["manhattan", "variance_split", "coefficient_path"]
    assert calls[0][2] == {"scan": scan, "genotypes": genotypes}
    assert calls[1][1] == (path, split)
    assert calls[2][1] == (path, genotypes)


def test_all_with_a_plot_are_tested():
    with_plot = {kind for kind in RESULTS if hasattr(kind, "plot")}
    assert with_plot == {*PLOTS, ll.VarianceSplit}

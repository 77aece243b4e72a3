"""lmmlasso_fast.plots: what is drawn is what was given, and can be read."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

matplotlib = pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

import lmmlasso_fast as ll  # noqa: E402
from lmmlasso_fast import plots  # noqa: E402
from lmmlasso_fast.errors import DataWarning, InputError, OutputError  # noqa: E402
from lmmlasso_fast.io import results, stability_tables  # noqa: E402
from lmmlasso_fast.plots import style  # noqa: E402
from lmmlasso_fast.plots.kinship import sample_order  # noqa: E402
from lmmlasso_fast.plots.positions import lay_out  # noqa: E402
from lmmlasso_fast.plots.quantiles import band, genomic_lambda  # noqa: E402
from lmmlasso_fast.preprocessing import transform_phenotype  # noqa: E402
from lmmlasso_fast.simulation import simulate_genotypes, simulate_phenotype  # noqa: E402

N, P = 120, 300


@pytest.fixture(scope="module")
def found():
    """Every kind of result of one small data set, and the tables that result files hold."""
    drawn = simulate_genotypes(N, P, seed=3)
    genotypes = ll.Genotypes.from_array(drawn.dosages, drawn.samples, drawn.variants)
    assert genotypes.included.all()
    y = simulate_phenotype(drawn.dosages, n_causal=3, h2_snp=0.6, h2_structure=0.2, seed=4).y
    K = ll.kinship(genotypes)
    null = ll.fit_null(y, K)
    path = ll.lasso_path(genotypes, y, null, n_alphas=20, eps=0.05)
    cv = ll.cross_validate(genotypes, y, n_folds=3, n_alphas=20, eps=0.05)
    stability = ll.stability_selection(genotypes, y, K, n_active=6, n_replicates=10)
    split = ll.variance_split(path, genotypes, y)
    scan, before = ll.association_scan(genotypes, y, null), ll.association_scan(genotypes, y)
    tables = SimpleNamespace(
        scan=scan.to_frame(genotypes),
        before=before.to_frame(genotypes),
        stability=stability.to_frame(genotypes),
        stability_path=stability_tables.path_table(stability, genotypes),
        path=results.path_table(path, split),
        coefs=results.coefficient_table(path, genotypes),
        cv=cv.to_frame(),
        null=results.null_model_content(null, transform_phenotype(y, "none")[1], P, "analysed"),
    )
    return SimpleNamespace(
        genotypes=genotypes,
        y=y,
        K=K,
        null=null,
        path=path,
        cv=cv,
        stability=stability,
        split=split,
        scan=scan,
        before=before,
        tables=tables,
        region=_region_of_best(genotypes, scan),
    )


def _region_of_best(genotypes, scan):
    variants = genotypes.variants
    best = int(np.nanargmax(scan.log10p))
    chromosome = variants["CHROM"][best]
    here = variants.filter(pl.col("CHROM") == chromosome)["POS"]
    return chromosome, int(here.min()), int(here.quantile(0.8))


#: {name: (axes it takes, what draws it from results, from tables or None)}.
PLOTS = {
    "manhattan": (
        2,
        lambda f, **a: plots.manhattan(f.stability, f.scan, f.genotypes, cutoff=0.6, **a),
        lambda f: plots.manhattan(f.tables.stability, f.tables.scan, cutoff=0.6),
    ),
    "manhattan of a scan": (
        1,
        lambda f, **a: plots.manhattan(None, f.scan, f.genotypes, **a),
        lambda f: plots.manhattan(None, f.tables.scan),
    ),
    "manhattan of a stability": (
        1,
        lambda f, **a: plots.manhattan(f.stability, None, f.genotypes, **a),
        None,
    ),
    "qq": (
        1,
        lambda f, **a: plots.qq(f.before, f.scan, **a),
        lambda f: plots.qq(f.tables.before, f.tables.scan),
    ),
    "coefficient_path": (
        1,
        lambda f, **a: plots.coefficient_path(f.path, f.genotypes, **a),
        lambda f: plots.coefficient_path(f.tables.path, coefs=f.tables.coefs),
    ),
    "cv_curve": (
        1,
        lambda f, **a: plots.cv_curve(f.cv, **a),
        lambda f: plots.cv_curve(f.tables.cv),
    ),
    "stability_path": (
        1,
        lambda f, **a: plots.stability_path(f.stability, f.genotypes, cutoff=0.6, **a),
        lambda f: plots.stability_path(f.tables.stability_path, cutoff=0.6),
    ),
    "kinship_heatmap": (1, lambda f, **a: plots.kinship_heatmap(f.K, **a), None),
    "likelihood_profile": (
        1,
        lambda f, **a: plots.likelihood_profile(f.null, **a),
        lambda f: plots.likelihood_profile(f.tables.null),
    ),
    "observed_predicted": (1, lambda f, **a: plots.observed_predicted(f.y, f.cv, **a), None),
    "variance_split": (
        1,
        lambda f, **a: plots.variance_split(f.path, f.split, **a),
        lambda f: plots.variance_split(f.tables.path),
    ),
    "variance_split of a null model": (
        1,
        lambda f, **a: plots.variance_split(f.null, **a),
        lambda f: plots.variance_split(f.tables.null),
    ),
    "regional": (
        2,
        lambda f, **a: plots.regional(
            *f.region, f.genotypes, scan=f.scan, stability=f.stability, **a
        ),
        lambda f: plots.regional(
            *f.region, f.genotypes, scan=f.tables.scan, stability=f.tables.stability
        ),
    ),
}


def points_of(axes, colour=None):
    """The points of a panel, those of one colour."""
    drawn = [
        line.get_xydata()
        for line in axes.lines
        if line.get_linestyle() == "None" and colour in (None, to_hex(line.get_color()).upper())
    ]
    return np.concatenate([np.empty((0, 2)), *drawn])


def texts(figure):
    """Every text that is shown, drawn at 150 dots per inch: {text artist: its box}."""
    figure.set_dpi(150)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown = []
    panels = [*figure.axes, *(child for axes in figure.axes for child in axes.child_axes)]
    for axes in panels:
        shown += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            shown.append(axis.get_offset_text())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    shown += [tick.label1, tick.label2]
        if axes.get_legend():
            shown += [*axes.get_legend().get_texts(), axes.get_legend().get_title()]
    shown = [text for text in shown if text.get_visible() and text.get_text().strip()]
    return {text: text.get_window_extent() for text in shown}


@pytest.fixture(scope="module")
def figures(found):
    return {name: draw(found) for name, (_, draw, _) in PLOTS.items()}


def svg(figure, path) -> bytes:
    plots.save(figure, path)
    return path.read_bytes()


# --- all plots -----------------------------------------------------------------------------------


def test_every_plot_is_here():
    assert {name.split(" ")[0] for name in PLOTS} == {*plots.__all__} - {"save"}


@pytest.mark.parametrize("name", PLOTS)
def test_can_be_read(figures, name):
    """Nothing beyond the figure, no text on another, letters of 6.5 points or more."""
    figure = figures[name]
    assert isinstance(figure, Figure)
    assert figure.get_figwidth() in (3.5, 7.1)
    boxes = texts(figure)
    assert len(boxes) >= 3
    width, height = figure.get_size_inches() * 150
    for text, box in boxes.items():
        assert text.get_fontsize() >= 6.5, text
        assert box.x0 >= 0 and box.x1 <= width + 1, text  # noqa: PT018
        assert box.y0 >= 0 and box.y1 <= height + 1, text  # noqa: PT018
    for one, other in combinations(boxes, 2):
        assert not boxes[one].shrunk(0.98, 0.98).overlaps(boxes[other].shrunk(0.98, 0.98)), (
            one,
            other,
        )


@pytest.mark.parametrize("name", PLOTS)
def test_is_not_blank(figures, name, tmp_path):
    from matplotlib.image import imread

    plots.save(figures[name], tmp_path / "x.png", dpi=150)
    pixels = imread(tmp_path / "x.png")
    assert pixels.shape[1] == round(figures[name].get_figwidth() * 150)
    inked = (pixels[:, :, :3] < 0.95).any(axis=2)
    assert 0.003 < inked.mean() < 0.9
    # in each panel too, not letters alone
    for axes in figures[name].axes:
        box = axes.get_window_extent()
        rows = slice(int(len(pixels) - box.y1) + 3, int(len(pixels) - box.y0) - 3)
        assert inked[rows, int(box.x0) + 3 : int(box.x1) - 3].any()


@pytest.mark.parametrize("name", PLOTS)
def test_the_same_each_time(found, figures, name, tmp_path):
    _, draw, _ = PLOTS[name]
    first, second = svg(figures[name], tmp_path / "a.svg"), svg(draw(found), tmp_path / "b.svg")
    assert first == second
    assert b"<dc:date>" not in first
    root = ET.fromstring(first)
    words = {"".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("}text")}
    shown = {text.get_text() for text in texts(figures[name]) if "$" not in text.get_text()}
    assert shown <= words


@pytest.mark.parametrize("name", ["coefficient_path", "kinship_heatmap"])
@pytest.mark.parametrize("end", ["pdf", "png"])
def test_other_formats_are_the_same_each_time(found, figures, name, end, tmp_path):
    _, draw, _ = PLOTS[name]
    for k, figure in enumerate((figures[name], draw(found))):
        plots.save(figure, tmp_path / f"{k}.{end}", dpi=50)
    assert (tmp_path / f"0.{end}").read_bytes() == (tmp_path / f"1.{end}").read_bytes()


@pytest.mark.parametrize("name", [name for name, (_, _, tables) in PLOTS.items() if tables])
def test_tables_are_drawn_as_results_are(found, figures, name):
    _, _, of_tables = PLOTS[name]
    one, other = figures[name], of_tables(found)
    assert [t.get_text() for t in texts(one)] == [t.get_text() for t in texts(other)]
    for a, b in zip(one.axes, other.axes, strict=True):
        for x, y in zip(a.lines, b.lines, strict=True):
            order = [np.lexsort(line.get_xydata().T) for line in (x, y)]
            assert_allclose(x.get_xydata()[order[0]], y.get_xydata()[order[1]], atol=1e-12)
        for x, y in zip(a.collections, b.collections, strict=True):
            shapes = [sorted(p.vertices.tolist() for p in z.get_paths()) for z in (x, y)]
            assert_allclose(*shapes, atol=1e-12)
        assert_allclose(a.axis(), b.axis())


@pytest.mark.parametrize("name", PLOTS)
def test_draws_into_given_axes(found, name):
    n, draw, _ = PLOTS[name]
    figure = Figure()
    given = figure.subplots(n + 1, 1)
    before = dict(matplotlib.rcParams)
    assert draw(found, axes=given[0] if n == 1 else given[:n]) is figure
    assert dict(matplotlib.rcParams) == before
    assert all(axes.has_data() for axes in given[:n])
    assert not given[-1].has_data()
    with pytest.raises(InputError, match=rf"axes: expected {n}, one for each panel, found {n + 1}"):
        draw(found, axes=given)


def test_without_pyplot():
    """Neither the package nor a plot loads it, and matplotlib waits until something is drawn."""
    program = (
        "import sys, numpy as np, lmmlasso_fast as ll\n"
        "ll.plots.qq, ll.plots.manhattan, ll.plots.regional\n"
        "assert 'matplotlib' not in sys.modules\n"
        "ll.plots.kinship_heatmap(np.eye(4) + 1)\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_without_matplotlib(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'lmmlasso-fast\[plot\]'"):
        plots.cv_curve(found.cv)


def test_saving(figures, tmp_path):
    figure = figures["cv_curve"]
    plots.save(figure, tmp_path / "a.txt", format="png")
    assert (tmp_path / "a.txt").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="format: expected 'svg', 'png' or 'pdf', found 'jpg'"):
        plots.save(figure, tmp_path / "a.jpg")
    with pytest.raises(OutputError):
        plots.save(figure, tmp_path / "none" / "a.svg")
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt"}


@pytest.mark.parametrize("name", ["$\\frac{", "_x", "<script>&", "\x1b[31m\x07", "i" * 200, "é$x$"])
def test_hostile_names(found, name, tmp_path):
    """Names of SNPs and chromosomes are text, whatever is in them."""
    table = found.tables.scan.with_columns(ID=pl.lit(name), CHROM=pl.lit(name))
    table = table.with_columns(pl.col("ID") + pl.int_range(pl.len()).cast(pl.String))
    several = table.with_columns(CHROM=pl.col("CHROM") + (pl.col("GENPOS") % 2).cast(pl.String))
    along = found.tables.stability_path.with_columns(ID=pl.lit(name))
    figures = [
        plots.manhattan(None, table),
        plots.manhattan(None, several),
        plots.stability_path(along),
        plots.coefficient_path(
            found.tables.path, coefs=found.tables.coefs.with_columns(ID=pl.lit(name))
        ),
    ]
    for figure in figures:
        content = ET.fromstring(svg(figure, tmp_path / "x.svg"))
        words = ["".join(node.itertext()) for node in content.iter() if node.tag.endswith("}text")]
        assert any(style.words(name) in text for text in words)


# --- Manhattan -----------------------------------------------------------------------------------


def test_manhattan_has_every_point(found, figures):
    above, below = figures["manhattan"].axes
    frequency = found.stability.frequency
    x = lay_out(found.genotypes.variants).table["X"].to_numpy()
    marked = frequency >= 0.6
    assert 0 < marked.sum() < (frequency > 0).sum()
    for axes, values, here in (
        (above, frequency, frequency > 0),
        (below, found.scan.log10p, np.ones(P, dtype=bool)),
    ):
        expected = np.column_stack([x, values])
        every = np.concatenate([points_of(axes, c) for c in style.ALTERNATING])
        assert_allclose(np.sort(every, axis=0), np.sort(expected[here], axis=0))
        assert_allclose(
            np.sort(points_of(axes, style.SELECTED), axis=0), np.sort(expected[marked], axis=0)
        )
    assert above.get_ylim() == (0, 1.04)
    assert below.get_ylim()[0] > below.get_ylim()[1] == 0  # grows downwards
    assert above.get_xlim() == below.get_xlim()
    [cutoff] = [line for line in above.lines if line.is_dashed()]
    [level] = [line for line in below.lines if line.is_dashed()]
    assert_array_equal(cutoff.get_ydata(), [0.6, 0.6])
    assert_allclose(level.get_ydata(), -np.log10(0.05 / P))


def test_neighbouring_chromosomes_have_different_colours(found, figures):
    [axes] = figures["manhattan of a scan"].axes
    variants = found.genotypes.variants
    names = sorted(variants["CHROM"].unique(), key=int)
    x = lay_out(variants).table["X"].to_numpy()
    assert len(names) > 2
    for k, name in enumerate(names):
        colour = style.ALTERNATING[k % 2]
        here = set(x[(variants["CHROM"] == name).to_numpy()])
        assert here <= set(points_of(axes, colour)[:, 0])
    assert [label.get_text() for label in axes.get_xticklabels()] == names


def snps(*rows):
    chromosomes, positions = zip(*rows, strict=True)
    ids = [f"v{k}" for k in range(len(rows))]
    return pl.DataFrame({"CHROM": chromosomes, "POS": positions, "ID": ids})


def test_layout():
    table = snps(("10", 5), ("2", 100), ("X", 7), ("2", 300), ("10", 55), ("2L", 1))
    layout = lay_out(table)
    assert layout.chromosomes == ["2", "2L", "10", "X"]
    x = layout.x(table)
    assert_allclose(np.diff(np.sort(x[[1, 3]])), 200)  # base pairs within
    assert_allclose(x[4] - x[0], 50)
    assert (x >= layout.starts[[2, 0, 3, 0, 2, 1]]).all()
    assert (x <= layout.ends[[2, 0, 3, 0, 2, 1]]).all()
    assert (layout.starts[1:] > layout.ends[:-1]).all()
    # of one chromosome, megabases
    one = lay_out(snps(("5", 2_000_000), ("5", 3_500_000)))
    assert one.in_megabases
    assert_allclose(one.x(one.table), [2, 3.5])
    # without positions, the order
    unknown = lay_out(snps(("1", 0), ("1", 0), ("1", -9)))
    assert not unknown.in_megabases
    assert_allclose(np.diff(unknown.x(unknown.table)), 1)
    # the same SNP in two tables has one place
    both = lay_out(table, table.reverse())
    assert len(both.table) == len(table)
    assert_allclose(both.x(table), x)
    with pytest.raises(InputError, match="SNPs: expected at least one to be drawn, found none"):
        lay_out(table.clear())


def test_many_points_make_a_small_file(tmp_path):
    p = 40_000
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "CHROM": np.sort(rng.integers(1, 23, p)).astype(str),
            "GENPOS": rng.integers(1, 10**8, p),
            "ID": [f"v{k}" for k in range(p)],
            "LOG10P": rng.exponential(size=p),
            "CHISQ": rng.chisquare(1, p),
            "N": np.full(p, 1000),
        }
    )
    for figure in (plots.manhattan(None, table), plots.qq(None, table)):
        assert len(points_of(figure.axes[0])) == p
        assert len(svg(figure, tmp_path / "x.svg")) < 300_000
        assert (tmp_path / "x.svg").read_bytes().count(b"<image") >= 1


def test_manhattan_refuses(found):
    with pytest.raises(InputError, match="expected a stability result or a scan, found neither"):
        plots.manhattan()
    with pytest.raises(InputError, match="genotypes: expected those of the scan"):
        plots.manhattan(None, found.scan)
    with pytest.raises(InputError, match=r"cutoff: expected a number in \(0, 1\], found 2"):
        plots.manhattan(found.tables.stability, cutoff=2)
    with pytest.raises(InputError, match="n_tests: expected an integer of at least 1, found 0"):
        plots.manhattan(None, found.tables.scan, n_tests=0)


def test_level_of_other_tests(found):
    [axes] = plots.manhattan(None, found.tables.scan, n_tests=10**6).axes
    [line] = [line for line in axes.lines if line.is_dashed()]
    assert_allclose(line.get_ydata(), -np.log10(5e-8))
    [axes] = plots.manhattan(None, found.tables.scan, level=None).axes
    assert not [line for line in axes.lines if line.is_dashed()]


# --- QQ ------------------------------------------------------------------------------------------


def test_qq_points_and_lambda(found, figures):
    [axes] = figures["qq"].axes
    for scan, colour in ((found.before, style.COLOURS[4]), (found.scan, style.COLOURS[0])):
        drawn = points_of(axes, colour)
        assert_allclose(drawn[:, 1], np.sort(scan.log10p)[::-1])
        assert_allclose(drawn[:, 0], -np.log10((np.arange(P) + 0.5) / P))
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == [
        f"without kinship, λ = {found.before.genomic_lambda:.2f}",
        f"with kinship, λ = {found.scan.genomic_lambda:.2f}",
    ]


@pytest.mark.parametrize("n", [25, 200, 5000])
def test_lambda_of_a_table(n):
    """P.scan.tsv lacks the degrees of freedom: lambda is that of the scan all the same."""
    rng = np.random.default_rng(n)
    genotypes = ll.Genotypes.from_array(rng.binomial(2, 0.4, (n, 40)))
    C = rng.standard_normal((n, 7))
    scan = ll.association_scan(genotypes, rng.standard_normal(n), covariates=C)
    table = scan.to_frame(genotypes)
    assert_allclose(genomic_lambda(table), scan.genomic_lambda, rtol=1e-12)
    # and written in decimals
    again = pl.read_csv(table.write_csv().encode())
    assert_allclose(genomic_lambda(again), scan.genomic_lambda, rtol=1e-12)


def test_band_holds_what_it_says():
    """Of simulated uniform p-values, 95 % of each order statistic are inside."""
    m, n_draws = 200, 4000
    expected, low, high = band(m)
    rng = np.random.default_rng(1)
    drawn = -np.log10(np.sort(rng.uniform(size=(n_draws, m)), axis=1))
    ranks = np.round(m * 10**-expected + 0.5).astype(int) - 1
    inside = (drawn[:, ranks] >= low) & (drawn[:, ranks] <= high)
    assert_allclose(inside.mean(axis=0), 0.95, atol=0.02)
    assert (np.diff(ranks) > 0).all()
    assert ranks[0] == 0 and ranks[-1] == m - 1  # noqa: PT018


def test_qq_of_one_scan(found):
    [axes] = plots.qq(None, found.scan).axes
    assert len(points_of(axes)) == P
    assert len(axes.get_legend().get_texts()) == 1
    with pytest.raises(InputError, match="qq: expected at least one scan, found none"):
        plots.qq()
    with pytest.raises(InputError, match="expected a test in every scan, found none with kinship"):
        plots.qq(None, found.tables.scan.with_columns(LOG10P=None))


# --- paths ---------------------------------------------------------------------------------------


def test_every_coefficient_is_drawn(found, figures):
    [axes] = figures["coefficient_path"].axes
    [background] = axes.collections
    named = [line for line in axes.lines if len(line.get_xdata()) == 20]
    drawn = [line.get_xydata() for line in named] + [s for s in background.get_segments()]
    coefs = found.path.coefs.toarray()
    active = np.flatnonzero(coefs.any(axis=1))
    assert len(drawn) == len(active) > len(named) == 7
    for curve in drawn:
        assert_allclose(curve[:, 0], found.path.alphas)
    effects = np.array([curve[:, 1] for curve in drawn])
    assert_allclose(sorted(effects.tolist()), sorted(coefs[active].tolist()))
    last = np.argsort(-np.abs(coefs[:, -1]))[:7]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == found.genotypes.variants["ID"][last].to_list()
    assert axes.get_xlim()[0] > axes.get_xlim()[1]  # alpha falls
    [above] = axes.child_axes
    counts = dict(zip(found.path.alphas, found.path.n_active, strict=True))
    for place, label in zip(above.get_xticks(), above.get_xticklabels(), strict=True):
        assert int(label.get_text()) == counts[place]


def test_coefficients_at_an_alpha(found):
    alpha = float(found.path.alphas[4])
    [axes] = plots.coefficient_path(found.path, alpha=alpha, n_named=3).axes
    coef = found.path.coefs.toarray()[:, 4]
    best = np.argsort(-np.abs(coef))[: min(3, np.count_nonzero(coef))]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == [f"SNP {snp}" for snp in best]
    assert [alpha, alpha] in [list(line.get_xdata()) for line in axes.lines if line.is_dashed()]
    with pytest.raises(InputError, match=r"coefs: expected P\.coef\.tsv"):
        plots.coefficient_path(found.tables.path)


def test_a_path_without_a_snp(found, tmp_path):
    """And of a single alpha."""
    path = ll.lasso_path(found.genotypes, found.y, found.null, n_alphas=1)
    table = found.tables.path[:1]
    for figure in (
        plots.coefficient_path(path),
        plots.coefficient_path(table, coefs=found.tables.coefs.clear()),
        plots.variance_split(table),
        plots.cv_curve(found.tables.cv[:1]),
    ):
        assert len(svg(figure, tmp_path / "x.svg")) > 1000
        assert figure.axes[0].child_axes[0].get_xticklabels()[0].get_text() == "0"


def test_frequencies_along_the_path(found, figures):
    [axes] = figures["stability_path"].axes
    along, leads = found.stability.path, found.stability.groups.leads
    expected = along.frequency[:, np.searchsorted(along.snps, leads)].T
    [background] = axes.collections
    named = [line for line in axes.lines if not line.is_dashed()]
    drawn = [line.get_xydata() for line in named] + list(background.get_segments())
    assert_allclose(
        sorted(curve[:, 1].tolist() for curve in drawn), sorted(expected.tolist()), atol=1e-15
    )
    assert_array_equal(drawn[0][:, 0], along.levels)
    [cutoff] = [line for line in axes.lines if line.is_dashed()]
    assert cutoff.get_ydata()[0] == 0.6


def test_frequencies_at_alphas(found):
    alphas = found.path.alphas[[5, 9]]
    stability = ll.stability_selection(
        found.genotypes, found.y, found.K, alphas=alphas, n_replicates=4
    )
    figure = plots.stability_path(stability, found.genotypes)
    twin = plots.stability_path(stability_tables.path_table(stability, found.genotypes))
    for [axes] in (figure.axes, twin.axes):
        assert axes.get_xscale() == "log"
        assert_array_equal(axes.lines[0].get_xdata(), alphas)


# --- scores --------------------------------------------------------------------------------------


def test_cv_curve(found, figures):
    [axes] = figures["cv_curve"].axes
    cv = found.cv
    curves = [line.get_xydata() for line in axes.lines if len(line.get_xdata()) == len(cv.alphas)]
    assert_allclose([c[:, 1] for c in curves], [*cv.fold_scores, cv.explained_variance])
    [around] = axes.collections
    vertices = around.get_paths()[0].vertices
    for bound in (cv.explained_variance - cv.se, cv.explained_variance + cv.se):
        nearest = np.abs(vertices[:, 1][:, None] - bound).min(axis=0)
        assert_allclose(nearest, 0, atol=1e-12)
    marks = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2]
    assert marks == [cv.alpha_best, cv.alpha_one_se]
    best, _ = axes.get_legend().get_texts()
    score, count = cv.explained_variance[cv.best_index], cv.n_active[cv.best_index]
    assert best.get_text() == f"best: {score:.3f}, {count} SNPs"


def test_cv_curve_of_a_single_fold_and_of_infinitely_bad_ones(found):
    table = found.tables.cv.select("ALPHA", "N_ACTIVE", "EXPLAINED_VARIANCE", "SE", "EV_1")
    table = table.with_columns(SE=pl.lit(None, pl.Float64), EV_1=-np.inf)
    [axes] = plots.cv_curve(table).axes
    assert np.isfinite(axes.get_ylim()).all()
    marks = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2]
    assert marks[0] == marks[1]


def test_observed_and_predicted(found, figures):
    [axes] = figures["observed_predicted"].axes
    predicted = found.cv.predictions[0, :, found.cv.best_index]
    assert_array_equal(points_of(axes), np.column_stack([predicted, found.y]))
    r = np.corrcoef(found.y, predicted)[0, 1]
    assert f"n = {N}, r = {r:.3f}, R² = " in axes.get_title(loc="left")
    assert_array_equal(axes.lines[-1].get_xdata(), axes.lines[-1].get_ydata())


def test_observed_and_predicted_of_others(found):
    y = found.y.copy()
    y[3] = np.nan
    model = ll.build_model(found.path, found.genotypes)
    prediction = model.predict(found.genotypes)
    [axes] = plots.observed_predicted(y, prediction).axes
    kept = np.arange(N) != 3
    assert_array_equal(points_of(axes), np.column_stack([prediction.total, y])[kept])
    [axes] = plots.observed_predicted(found.y, found.cv, index=3).axes
    assert_array_equal(points_of(axes)[:, 0], found.cv.predictions[0, :, 3])
    [axes] = plots.observed_predicted(found.y, np.zeros(N)).axes  # has no correlation
    assert "r = " not in axes.get_title(loc="left")
    with pytest.raises(InputError, match=f"one for each of the {N} phenotypes, found shape"):
        plots.observed_predicted(found.y, np.zeros(3))
    with pytest.raises(InputError, match="expected a sample with both numbers, found none"):
        plots.observed_predicted(found.y, np.full(N, np.nan))


# --- variance ------------------------------------------------------------------------------------


def test_likelihood_profile(found, figures):
    [axes] = figures["likelihood_profile"].axes
    null = found.null
    drawn = axes.lines[0].get_xydata()
    grid = drawn[np.isin(drawn[:, 0], null.profile.log_delta)]
    assert_array_equal(grid[:, 0], null.profile.log_delta)
    assert_allclose(grid[:, 1], -null.profile.nll - null.log_likelihood, atol=1e-9)
    [best] = drawn[drawn[:, 0] == null.log_delta]
    assert_allclose(best[1], 0, atol=1e-9)
    [text] = axes.get_legend().get_texts()
    assert text.get_text().startswith(f"h² = {null.h2:.3f} ± {null.h2_se:.3f}")
    [above] = axes.child_axes
    for place, label in zip(above.get_xticks(), above.get_xticklabels(), strict=True):
        assert_allclose(1 / (1 + np.exp(place)), float(label.get_text()), rtol=1e-12)


def test_likelihood_profiles_that_say_little(found):
    given = ll.fit_null(found.y, found.K, log_delta=1.53)
    [axes] = plots.likelihood_profile(given).axes
    assert "δ given" in axes.get_legend().get_texts()[0].get_text()
    drawn = axes.lines[0].get_xydata()
    assert drawn[:, 1].max() == 0
    [at] = drawn[drawn[:, 0] == 1.53]
    assert at[1] < 0
    with pytest.warns(DataWarning, match="does not depend on delta"):
        flat = ll.fit_null(found.y, np.eye(N))
    [axes] = plots.likelihood_profile(flat).axes
    assert "flat" in axes.get_legend().get_texts()[0].get_text()
    noise = np.linalg.eigh(found.K.matrix)[1][:, :40].sum(axis=1)  # where the kinship has nothing
    boundary = ll.fit_null(noise, found.K)
    assert boundary.at_boundary
    [axes] = plots.likelihood_profile(boundary).axes
    assert "at the boundary" in axes.get_legend().get_texts()[0].get_text()
    with pytest.raises(InputError, match="null: expected a null model with its likelihood profile"):
        plots.likelihood_profile({"chromosomes": []})


def test_variance_split(found, figures):
    [axes] = figures["variance_split"].axes
    edges = np.cumsum([found.split.snp, found.split.random, found.split.noise], axis=0)
    assert_allclose(edges[-1], 1)
    for area, edge in zip(axes.collections, edges, strict=True):
        vertices = area.get_paths()[0].vertices
        for alpha, height in zip(found.path.alphas, edge, strict=True):
            at = vertices[vertices[:, 0] == alpha, 1]
            assert np.abs(at - height).min() < 1e-12
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["noise", "kinship", "SNPs"]
    with pytest.raises(InputError, match="split: expected variance_split"):
        plots.variance_split(found.path)


def test_variance_of_a_null_model(found, figures):
    [axes] = figures["variance_split of a null model"].axes
    widths = [bar.get_width() for bar in axes.patches]
    assert_allclose(widths, [found.null.h2, 1 - found.null.h2])
    with pytest.raises(InputError, match="expected a null model with h2, found none"):
        plots.variance_split({"chromosomes": []})


# --- kinship -------------------------------------------------------------------------------------


def blocks(n_each=20, seed=0):
    """A kinship of three populations, shuffled; and the population of each sample."""
    rng = np.random.default_rng(seed)
    population = rng.permutation(np.repeat([0, 1, 2], n_each))
    n = len(population)
    noise = rng.normal(0, 0.02, (n, n))
    K = 0.4 * (population[:, None] == population) - 0.1 + 0.6 * np.eye(n) + (noise + noise.T) / 2
    return K, population


@pytest.mark.parametrize(("order", "n_runs"), [("clusters", 3), ("eigenvector", 3)])
def test_relatives_are_side_by_side(order, n_runs):
    K, population = blocks()
    K = K + 0.3 * np.outer(population - 1, population - 1)  # a leading axis
    placed = sample_order(K, order)
    assert_array_equal(np.sort(placed), np.arange(len(K)))
    assert 1 + np.count_nonzero(np.diff(population[placed])) == n_runs


def test_heatmap_is_the_matrix(found, figures):
    axes, _ = figures["kinship_heatmap"].axes
    [image] = axes.images
    order = sample_order(found.K.matrix, "clusters")
    assert_array_equal(image.get_array(), found.K.matrix[np.ix_(order, order)])
    low, high = image.get_clim()
    assert low == -high
    off_diagonal = np.abs(found.K.matrix[np.triu_indices(N, 1)])
    assert_allclose(np.mean(off_diagonal <= high), 0.995, atol=0.002)


def test_heatmap_of_many_samples(found):
    K, _ = blocks()
    figure = plots.kinship_heatmap(K, order="given", max_samples=15)
    [image] = figure.axes[0].images
    scaled = K / np.mean(np.diag(K))
    rows = np.linspace(0, len(K) - 1, 15).round().astype(int)
    assert_allclose(image.get_array(), scaled[np.ix_(rows, rows)])
    assert figure.axes[0].get_xlabel() == "15 of 60 samples"
    expected = "order: expected 'clusters', 'eigenvector' or 'given', found 'alphabet'"
    with pytest.raises(InputError, match=expected):
        plots.kinship_heatmap(K, order="alphabet")
    with pytest.raises(InputError, match="max_samples: expected an integer of at least 2"):
        plots.kinship_heatmap(K, max_samples=1)


# --- region --------------------------------------------------------------------------------------


def test_region_is_coloured_by_r2(found, figures):
    chromosome, low, high = found.region
    variants = found.genotypes.variants
    here = np.flatnonzero(
        (variants["CHROM"] == chromosome).to_numpy()
        & variants["POS"].is_between(low, high).to_numpy()
    )
    log10p = found.scan.log10p[here]
    lead = here[log10p.argmax()]
    X = found.genotypes.columns(here)
    r2 = np.corrcoef(X.T)[list(here).index(lead)] ** 2
    upper, lower = figures["regional"].axes
    position = variants["POS"].to_numpy()[here] / 1e6
    shades = [to_hex(line.get_color()) for line in upper.lines]
    assert len(set(shades)) == 6
    n_drawn = 0
    for k, line in enumerate(upper.lines[:5]):  # from the lowest r2 on
        of_class = (r2 > 0.2 * k if k else r2 >= 0) & (r2 <= 0.2 * (k + 1)) & (here != lead)
        expected = np.column_stack([position, log10p])[of_class]
        assert_allclose(np.sort(line.get_xydata(), axis=0), np.sort(expected, axis=0))
        n_drawn += len(expected)
    assert n_drawn == len(here) - 1 > 10
    assert_allclose(upper.lines[5].get_xydata(), [[position[here == lead][0], log10p.max()]])
    frequency = found.stability.frequency[here]
    drawn = np.sort(points_of(lower)[:, 1])
    assert_allclose(drawn, np.sort(frequency[frequency > 0]))
    names = [text.get_text() for text in upper.get_legend().get_texts()]
    assert names[-1] == variants["ID"][int(lead)]
    assert lower.get_xlabel() == f"chromosome {chromosome} (Mb)"


def test_another_lead_and_a_cutoff(found):
    variants = found.genotypes.variants
    chromosome, low, high = found.region
    first = variants.filter(CHROM=chromosome)["ID"][0]
    figure = plots.regional(*found.region, found.genotypes, scan=found.scan, lead=first)
    [axes] = figure.axes
    assert axes.get_legend().get_texts()[-1].get_text() == first
    assert_allclose(axes.get_xlim(), [low / 1e6, high / 1e6])
    figure = plots.regional(
        *found.region, found.genotypes, stability=found.tables.stability, cutoff=0.5
    )
    [axes] = figure.axes
    assert [0.5, 0.5] in [list(line.get_ydata()) for line in axes.lines]


def test_regions_that_cannot_be_drawn(found):
    chromosome, low, high = found.region
    with pytest.raises(InputError, match="expected a scan or a stability result, found neither"):
        plots.regional(chromosome, low, high, found.genotypes)
    with pytest.raises(
        InputError, match="region: expected SNPs of the result and the genotypes in"
    ):
        plots.regional("nowhere", low, high, found.genotypes, scan=found.scan)
    with pytest.raises(InputError, match=r"lead: expected a SNP that is drawn in .*, found 'zzz'"):
        plots.regional(chromosome, low, high, found.genotypes, scan=found.scan, lead="zzz")


def test_colours_can_be_told_apart():
    """By lightness or hue, under each kind of colour blindness (Viénot, Brettel, Mollon 1999)."""
    from matplotlib.colors import to_rgb

    linear = np.array([np.array(to_rgb(c)) ** 2.2 for c in style.LINE_COLOURS])
    to_lms = np.array(
        [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
    )
    protan = np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]])
    deutan = np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])
    for sees in (np.eye(3), protan, deutan):
        seen = np.clip(linear @ to_lms.T @ sees.T @ np.linalg.inv(to_lms).T, 0, 1) ** (1 / 2.2)
        apart = [np.linalg.norm(a - b) for a, b in combinations(seen, 2)]
        assert min(apart) > 0.1


def test_axes_without_ticks_are_drawn_into(found):
    axes = Figure().subplots()
    axes.set_xticks([])
    assert plots.likelihood_profile(found.null, axes=axes) is axes.figure

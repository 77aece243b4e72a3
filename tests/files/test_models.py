"""Saved models: the same numbers and bytes back, and a named error for whatever is damaged."""

import dataclasses
import io
import json
import pickle
import re
import zipfile

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal

import lmmlasso_fast as ll
from lmmlasso_fast.errors import (
    CovariateError,
    DataWarning,
    InputError,
    KinshipError,
    ModelError,
    OutputError,
)
from lmmlasso_fast.preprocessing import transform_phenotype
from lmmlasso_fast.simulation import simulate_genotypes

pytestmark = pytest.mark.promise("any-bytes")

KINDS = ["snp", "sample", "none", "anonymous"]


def fitted(kind):
    """A model of 40 samples, 60 SNPs, two covariates and a transformed phenotype."""
    simulated = simulate_genotypes(40, 60, missing_rate=0.05, seed=8)
    rng = np.random.default_rng(8)
    dosages = np.where(simulated.dosages < 0, np.nan, simulated.dosages)
    tables = {"samples": simulated.samples, "variants": simulated.variants}
    genotypes = ll.Genotypes.from_array(dosages, **({} if kind == "anonymous" else tables))
    method = {"snp": "boxcox", "none": "rint"}.get(kind, "none")
    raw = np.exp(rng.standard_normal(40) + np.nan_to_num(dosages[:, 3]))
    y, transform = transform_phenotype(raw, method)
    covariates = rng.standard_normal((40, 2))
    names = ["age", "batch=b"]
    null = None
    if kind != "none":
        K = ll.kinship(genotypes)
        if kind == "sample":
            K = ll.Kinship.from_matrix(3 * K.matrix + np.eye(40), samples=K.samples)
        elif kind == "anonymous":
            K = ll.Kinship.from_matrix(K.matrix + np.eye(40))
        null = ll.fit_null(y, K, covariates, covariate_names=names)
    path = ll.lasso_path(
        genotypes,
        y,
        null,
        n_alphas=6,
        eps=0.1,
        covariates=covariates if null is None else None,
        covariate_names=names if null is None else None,
    )
    model = ll.build_model(
        path,
        genotypes,
        transform=transform,
        phenotype="größe",
        covariate_levels={"batch": ["a", "b"]},
    )
    return model, genotypes, covariates, null


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{kind: (model, genotypes, covariates, null, path of the saved model)}"""
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for kind in KINDS:
        parts = fitted(kind)
        ll.save_model(parts[0], folder / f"{kind}.npz")
        made[kind] = (*parts, folder / f"{kind}.npz")
    return made


@pytest.fixture
def rewrite(models, tmp_path):
    """A function that writes the model of a kind with entries replaced (None: left out)."""

    def write(kind="snp", **changes):
        with np.load(models[kind][-1], allow_pickle=False) as content:
            arrays = dict(content) | changes
        path = tmp_path / "model.npz"
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        return path

    return write


def damaged(path, *, found=None):
    """Loading must raise ModelError that names the file."""
    with pytest.raises(ModelError) as caught:
        ll.load_model(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: "), message
    assert found is None or re.search(found, message), message
    return message


# --- there and back -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_comes_back_bit_for_bit(models, kind):
    model, *_, path = models[kind]
    again = ll.load_model(path)
    assert model.random == {"anonymous": "sample"}.get(kind, kind)
    for field in dataclasses.fields(model):
        before, after = getattr(model, field.name), getattr(again, field.name)
        if field.name == "variants":
            assert after.equals(before.drop("ROW"))
        elif field.name == "samples":
            assert (after is None) == (kind != "sample")
            assert after is None or after.equals(before.select("FID", "IID"))
        elif field.name == "transform":
            assert after.to_dict() == before.to_dict()
        elif field.name == "coefs":
            assert after.shape == before.shape
            assert_array_equal(after.toarray(), before.toarray())
        elif isinstance(before, np.ndarray):
            assert after.dtype == before.dtype
            assert after.tobytes() == before.tobytes(), field.name
        else:
            assert after == before, field.name
            assert type(after) is type(before)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_model_gives_the_same_bytes(models, tmp_path, kind):
    *_, path = models[kind]
    ll.save_model(models[kind][0], tmp_path / "again.npz")
    ll.save_model(ll.load_model(path), tmp_path / "loaded.npz")
    ll.save_model(fitted(kind)[0], tmp_path / "fitted.npz")
    for name in ("again", "loaded", "fitted"):
        assert (tmp_path / f"{name}.npz").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["snp", "sample", "none"])
def test_predictions_are_the_same(models, kind):
    model, genotypes, covariates, null, path = models[kind]
    options = {"covariates": covariates}
    if kind == "sample":
        options["kinship"] = null.kinship.matrix * null.kinship.scale
    for alpha in (None, model.alphas[2], model.alphas[2:4].mean()):
        before = model.predict(genotypes, alpha=alpha, **options)
        after = ll.load_model(path).predict(genotypes, alpha=alpha, **options)
        in_order = model.predict_in_order(genotypes, alpha=alpha, **options)
        for part in ("total", "covariates", "snp", "random"):
            assert getattr(after, part).tobytes() == getattr(before, part).tobytes()
            assert getattr(in_order, part).tobytes() == getattr(before, part).tobytes()


def test_a_loaded_model_has_no_places(models):
    _, genotypes, covariates, _, path = models["snp"]
    with pytest.raises(ModelError, match="by id, not by place"):
        ll.load_model(path).predict_in_order(genotypes, covariates=covariates)


@pytest.mark.parametrize("kind", KINDS)
def test_numpy_reads_it_without_pickle(models, kind):
    with np.load(models[kind][-1], allow_pickle=False) as content:
        kinds = {content[name].dtype.kind for name in content.files}
    assert kinds <= set("Ufiu")


def test_hostile_names(models, tmp_path):
    model = models["sample"][0]
    names = ["<script>", "=cmd()", "\x1b[31m", "../../x", "", "☃", "x" * 5000, " ", "NA", "a\nb"]
    ids = (names * 4)[:40]
    changed = dataclasses.replace(
        model,
        samples=pl.DataFrame({"FID": [f"{i}" for i in range(40)], "IID": [i or "0" for i in ids]}),
        phenotype="<script>\x1b[31m",
        covariate_levels={"=cmd()": ("\x1b", "☃", "")},
    )
    ll.save_model(changed, tmp_path / "m.npz")
    again = ll.load_model(tmp_path / "m.npz")
    assert again.samples.equals(changed.samples)
    assert again.phenotype == changed.phenotype
    assert again.covariate_levels == changed.covariate_levels


def test_samples_without_family_ids(models, tmp_path):
    model = models["sample"][0]
    samples = model.samples.with_columns(FID=pl.lit(None, pl.String))
    ll.save_model(dataclasses.replace(model, samples=samples), tmp_path / "m.npz")
    assert ll.load_model(tmp_path / "m.npz").samples.equals(samples.select("FID", "IID"))


def test_alphas_are_kept_once(models, tmp_path):
    """Repeated alphas would make a file that cannot be read back."""
    _, genotypes, *_ = models["anonymous"]
    y = genotypes.columns([0, 3]).sum(axis=1)
    path = ll.lasso_path(genotypes, y, alphas=[0.1, 0.2, 0.1])
    model = ll.build_model(path, genotypes, alphas=[0.2, 0.1, 0.15, 0.15])
    assert list(model.alphas) == [0.2, 0.15, 0.1]
    for made in (model, ll.build_model(path, genotypes)):
        ll.save_model(made, tmp_path / "m.npz")
        assert_array_equal(ll.load_model(tmp_path / "m.npz").alphas, made.alphas)


def test_kinship_that_is_not_xx_needs_samples(models):
    """A realised relationship matrix of more samples, of other SNPs, or renamed."""
    _, genotypes, *_ = models["snp"]
    y = genotypes.columns([3])[:, 0] + np.random.default_rng(0).standard_normal(40)
    K = ll.kinship(genotypes)
    half = np.arange(20)
    some = genotypes.subset(half)
    few = genotypes.filter(extract=genotypes.variants["ID"][:30].to_list())
    swapped = genotypes.filter(exclude=genotypes.variants["ID"][:30].to_list())
    for data, kinship, phenotype, kind in (
        (genotypes, K, y, "snp"),
        (some, K.subset(half), y[half], "sample"),
        (few, K, y, "sample"),
        (few, ll.kinship(swapped), y, "sample"),
        (few, ll.kinship(few), y, "snp"),
        (genotypes, ll.Kinship.from_matrix(K.matrix), y, "sample"),
        (genotypes, ll.Kinship.from_matrix(5 * K.matrix, None, "rrm", K.n_variants), y, "sample"),
    ):
        null = ll.fit_null(phenotype, kinship)
        path = ll.lasso_path(data, phenotype, null, n_alphas=3)
        model = ll.build_model(path, data)
        assert model.random == kind
        rows = kinship.matrix * kinship.scale if kind == "sample" else None
        found = model.predict_in_order(data, kinship=rows)
        expected = kinship.matrix @ path.dual[:, -1]
        np.testing.assert_allclose(found.random, expected, atol=1e-5 * np.abs(expected).max())


# --- damaged files ------------------------------------------------------------------------------


def test_every_flipped_bit_and_cut_is_noticed_or_harmless(models, tmp_path):
    """Flips anywhere, dense where the structure is: ModelError, or the very same model."""
    *_, original = models["snp"]
    data = original.read_bytes()
    model = ll.load_model(original)
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(original) as archive:
        starts = [info.header_offset for info in archive.infolist()]
        directory = archive.start_dir
    structure = {offset + k for offset in starts for k in range(0, 200, 7)}
    structure |= set(range(directory, len(data), 11))
    places = sorted(structure | set(rng.integers(0, len(data), 300).tolist()))
    path = tmp_path / "m.npz"
    refused = 0
    for place in places:
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        try:
            again = ll.load_model(path)
        except ModelError:  # the only one that there may be
            refused += 1
            continue
        # dates and the like in the zip's directory
        assert again.random_effects.tobytes() == model.random_effects.tobytes()
        assert_array_equal(again.coefs.toarray(), model.coefs.toarray())
        assert again.variants.equals(model.variants)
    assert refused > len(places) / 2


def test_every_truncation_is_noticed(models, tmp_path):
    data = models["snp"][-1].read_bytes()
    path = tmp_path / "m.npz"
    for size in [*range(0, 400, 7), *range(400, len(data), len(data) // 60), len(data) - 1]:
        path.write_bytes(data[:size])
        damaged(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "another kind of file"),
        (b"hello\n", "another kind of file"),
        (pickle.dumps({"a": 1}), "another kind of file"),
        (b"PK\x03\x04", "a complete .npz"),
        (b"PK\x05\x06" + bytes(18), "another kind of file"),
        (b"\x93NUMPY\x01\x00", "another kind of file"),
    ],
)
def test_another_kind_of_file(tmp_path, content, found):
    path = tmp_path / "m.npz"
    path.write_bytes(content)
    damaged(path, found=found)


def test_absent_and_a_folder(tmp_path):
    damaged(tmp_path / "absent.npz", found="No such file")
    damaged(tmp_path, found="Is a directory|Permission denied")


def test_nothing_is_unpickled(rewrite, tmp_path):
    trap = tmp_path / "trap"

    class Bomb:
        def __reduce__(self):
            return open, (str(trap), "w")

    path = rewrite(iid=np.array([Bomb(), "x"], dtype=object))
    damaged(path, found="allow_pickle=False")
    assert not trap.exists()


def test_member_with_a_hostile_header(models, tmp_path):
    """Array headers that ask for absurd memory or are no Python literal."""
    *_, original = models["snp"]
    with zipfile.ZipFile(original) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for header in (
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }",
        b"{'descr': '<U1000000000', 'fortran_order': False, 'shape': (1000000000,), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (-5,), }",
        b"__import__('os').system('true')",
        b"{" * 900,
        b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
    ):
        payload = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64
        path = tmp_path / "m.npz"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, payload if name == "mean.npy" else content)
        damaged(path)


def test_member_with_an_unknown_compression(models, tmp_path):
    data = bytearray(models["snp"][-1].read_bytes())
    path = tmp_path / "m.npz"
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        start = archive.start_dir
    for field, value in ((10, 99), (8, 1)):  # compression method; flag: encrypted
        spoilt = data.copy()
        spoilt[start + field] = value
        path.write_bytes(spoilt)
        damaged(path)


@pytest.fixture(scope="module")
def entries(models):
    with np.load(models["snp"][-1], allow_pickle=False) as content:
        return list(content.files)


def test_lacks_an_entry(rewrite, entries):
    for key in entries:
        assert key in damaged(rewrite(**{key: None}))


def test_entries_of_another_type_or_shape(rewrite, entries, models):
    with np.load(models["snp"][-1], allow_pickle=False) as content:
        arrays = dict(content)
    for key in entries:
        array = arrays[key]
        other = np.zeros(array.shape, "<i4") if array.dtype.kind != "i" else array.astype("<f8")
        damaged(rewrite(**{key: other}))
        damaged(rewrite(**{key: array[None]}))
        if array.ndim and array.size:
            damaged(rewrite(**{key: array[..., 0]}))
            damaged(rewrite(**{key: array[:-1]}))
            damaged(rewrite(**{key: np.concatenate([array, array[:1]])}))
        if array.dtype.kind == "f":
            damaged(rewrite(**{key: array.astype(">f8")}))
            if key not in ("log_delta", "h2", "default_alpha"):
                damaged(rewrite(**{key: np.full_like(array, np.nan)}))
                damaged(rewrite(**{key: np.full_like(array, np.inf)}))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"format": "lmmlasso_fast model 0"}, "the format 'lmmlasso_fast model 1', found"),
        ({"format": "lmmlasso_fast kinship 1"}, "the format 'lmmlasso_fast model 1', found"),
        ({"random": "other"}, "none, snp or sample"),
        ({"random": "sample"}, "random effects to match"),
        ({"random": "none"}, "random effects to match"),
        ({"transform": "{"}, "fit the model again"),
        ({"transform": "[]"}, "phenotype transformation"),
        ({"transform": "[" * 100_000}, "fit the model again"),
        ({"transform": json.dumps({"method": "log"})}, "phenotype transformation"),
        ({"covariate_levels": "[]"}, "covariate_levels"),
        ({"covariate_levels": '{"a": [1]}'}, "covariate_levels"),
        ({"covariate_levels": '{"a": "b"}'}, "covariate_levels"),
        ({"kinship_scale": np.array(0.0)}, "a positive kinship scale"),
        ({"n_samples": np.array(0)}, "one training sample or more"),
        ({"n_samples": np.array(-3)}, "one training sample or more"),
        ({"alphas": np.arange(6.0)}, "decreasing"),
        ({"alphas": np.zeros(6)}, "decreasing"),
        ({"sd": np.zeros(60)}, "positive sd"),
        ({"sd": -np.ones(60)}, "positive sd"),
        ({"sd": np.full(60, 1e-170)}, "positive sd"),
        ({"sd": np.full(60, 1e200)}, r"sd with finite numbers up to 1e\+160, found 1e\+200"),
        ({"mean": np.full(60, -1e300)}, r"mean with finite numbers .*, found -1e\+300"),
        ({"mean": np.full(60, 1e150), "sd": np.full(60, 1e-155)}, "mean whose products"),
        ({"alphas": 1e290 * np.arange(6.0, 0, -1)}, "alphas with finite numbers up to 1e"),
        ({"alphas": np.arange(2.0, -4, -1)}, "positive and decreasing"),
        ({"alpha_max": np.array(1e300)}, "alpha_max with finite numbers"),
        ({"gammas": np.full((3, 6), 1e300)}, "gammas with finite numbers"),
        ({"random_effects": np.full((60, 6), -1e300)}, "random_effects with finite numbers"),
        ({"random_effects": np.full((60, 6), 1e200), "sd": np.full(60, 1e-150)},
         "random_effects whose products with mean / sd are 1e300 at most, found inf"),
        ({"kinship_scale": np.array(np.inf)}, "kinship_scale with finite numbers"),
        ({"h2": np.array(1.5)}, "an h2 from 0 to 1"),
        ({"log_delta": np.array(-np.inf)}, "a finite log_delta"),
    ],
)  # fmt: skip
def test_values_that_cannot_be(rewrite, changes, found):
    damaged(rewrite(**changes), found=found)


def test_coefficients_that_overflow(rewrite, models):
    values = models["snp"][0].coefs.tocsc().data
    damaged(rewrite(coef_values=np.full(len(values), 1e300)), found="coef_values with finite")
    path = rewrite(coef_values=np.full(len(values), -1e200), sd=np.full(60, 1e-150))
    damaged(path, found="coef_values whose products with mean / sd")


def test_coefficients_out_of_range(rewrite, models):
    coefs = models["snp"][0].coefs.tocsc()
    rows, starts = coefs.indices.astype("<i8"), coefs.indptr.astype("<i8")
    assert len(rows) > 3
    for changes in (
        {"coef_rows": np.where(np.arange(len(rows)) == 2, 60, rows)},
        {"coef_rows": np.where(np.arange(len(rows)) == 2, -1, rows)},
        {"coef_starts": starts[::-1].copy()},
        {"coef_starts": starts + 1},
        {"coef_starts": np.where(np.arange(len(starts)) == 3, 1 << 60, starts)},
    ):
        damaged(rewrite(**changes), found="a valid sparse matrix")


def test_sample_models_hold_all_ids(rewrite):
    one = np.frombuffer(b"a\0", dtype=np.uint8)
    damaged(rewrite("sample", iid=one, fid=one), found="ids of all training")
    damaged(rewrite("sample", fid=one), found="as many fid as iid")


def test_names_are_text_that_ends(rewrite, models):
    with np.load(models["snp"][-1], allow_pickle=False) as content:
        names = content["id"]
    damaged(rewrite(id=np.where(names == 0, 0xE9, names).astype(np.uint8)), found=r"id: .*utf-8")
    damaged(rewrite(id=names[:-1]), found="id: expected a NUL after every name")


def test_a_long_allele_costs_its_own_length(models, tmp_path):
    model, *_, path = models["snp"]
    alleles = ["A" * 10_000, *model.variants["A1"].to_list()[1:]]
    variants = model.variants.with_columns(A1=pl.Series(alleles))
    ll.save_model(dataclasses.replace(model, variants=variants), tmp_path / "m.npz")
    assert (tmp_path / "m.npz").stat().st_size < path.stat().st_size + 10_100
    assert ll.load_model(tmp_path / "m.npz").variants["A1"].to_list() == alleles


def test_a_kinship_is_no_model(models, tmp_path):
    from lmmlasso_fast.io.kinship_files import save_kinship

    save_kinship(models["snp"][3].kinship, tmp_path / "k.npz")
    damaged(tmp_path / "k.npz", found="model 1., found .lmmlasso_fast kinship 1.")


def test_saving_where_nothing_can_be(models, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        ll.save_model(models["snp"][0], tmp_path / "absent" / "m.npz")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="regular file"):
        ll.save_model(models["snp"][0], tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


# --- matching and input of predictions ------------------------------------------------------------


def table(ids, a1="A", a2="G", position=None):
    p = len(ids)
    return pl.DataFrame(
        {
            "CHROM": ["1"] * p,
            "ID": ids,
            "POS": list(range(p)) if position is None else position,
            "A1": [a1] * p,
            "A2": [a2] * p,
        }
    )


def test_matching_by_id_and_alleles():
    where, flip = ll.prediction.match_variants(table(["a", "b"]), table(["x", "b", "a"]))
    assert_array_equal(where, [2, 1])
    assert not flip.any()
    where, flip = ll.prediction.match_variants(table(["a", "b"]), table(["b", "a"], "G", "A"))
    assert_array_equal(where, [1, 0])
    assert flip.all()


def test_ids_that_repeat_are_told_apart_by_position():
    wanted = table([".", "."], position=[5, 9])
    where, _ = ll.prediction.match_variants(wanted, table([".", ".", "."], position=[9, 1, 5]))
    assert_array_equal(where, [2, 0])
    with pytest.raises(ModelError, match=r"identify a SNP, .*\(2 rows of the genotypes\)"):
        ll.prediction.match_variants(wanted, table([".", ".", "."], position=[9, 5, 5]))
    with pytest.raises(ModelError, match="identify a SNP"):
        ll.prediction.match_variants(
            table([".", "."], position=[5, 5]), table([".", "a"], position=[5, 6])
        )
    # repeated ids of others do not matter, nor do positions then
    where, _ = ll.prediction.match_variants(table(["a"]), table([".", ".", "a"]))
    assert_array_equal(where, [2])


def test_a_dot_is_no_id():
    wanted, offered = table(["."], position=[5]), table(["."], position=[6])
    with pytest.raises(ModelError, match="found none of its 1"):
        ll.prediction.match_variants(wanted, offered)
    where, _ = ll.prediction.match_variants(wanted, table(["x", "."], position=[5, 5]))
    assert_array_equal(where, [1])
    # those that have an id are found by it, wherever they are
    wanted, offered = table(["a", ".", "b"], position=[1, 2, 3]), table([".", "b", "a"])
    where, _ = ll.prediction.match_variants(wanted, offered, allow_missing=True)
    assert_array_equal(where, [2, -1, 1])


def test_nothing_found_at_all_is_a_warning():
    with pytest.warns(DataWarning, match=r"none of the model's 2 SNPs is in the genotypes"):
        where, _ = ll.prediction.match_variants(table(["a", "b"]), table(["c"]), allow_missing=True)
    assert_array_equal(where, [-1, -1])


def test_split_sites_are_told_apart_by_alleles():
    alleles = pl.DataFrame({"A1": ["C", "A"], "A2": ["A", "T"]})
    sites = table(["rs1", "rs1"], position=[7, 7]).with_columns(alleles)
    where, flip = ll.prediction.match_variants(sites, sites[::-1])
    assert_array_equal(where, [1, 0])
    assert not flip.any()
    swapped = sites.with_columns(A1=sites["A2"], A2=sites["A1"])
    where, flip = ll.prediction.match_variants(sites, swapped)
    assert_array_equal(where, [0, 1])
    assert flip.all()


def test_absent_snps_and_other_alleles():
    with pytest.raises(ModelError, match=r"1 of the model's 2 SNPs .* the first is b; .*--allow"):
        ll.prediction.match_variants(table(["a", "b"]), table(["a"]))
    where, _ = ll.prediction.match_variants(table(["a", "b"]), table(["a"]), allow_missing=True)
    assert_array_equal(where, [0, -1])
    for allow_missing in (False, True):
        with pytest.raises(ModelError, match="SNP a: expected the alleles A/G of the model, found"):
            ll.prediction.match_variants(table(["a"]), table(["a"], "A", "C"), allow_missing)


def test_input_of_predictions(models):
    model, genotypes, covariates, *_ = models["snp"]
    with pytest.raises(InputError, match=r"covariates: expected 40 finite rows of 2 columns \(age"):
        model.predict(genotypes)
    with pytest.raises(InputError, match="covariates"):
        model.predict(genotypes, covariates=np.full((40, 2), np.nan))
    with pytest.raises(InputError, match="expected none, found one"):
        model.predict(genotypes, covariates=covariates, kinship=np.eye(40))
    for alpha in (np.nan, -1, model.alphas[-1] / 2):
        with pytest.raises(InputError, match="alpha"):
            model.predict(genotypes, covariates=covariates, alpha=alpha)
    model, genotypes, covariates, *_ = models["sample"]
    for kinship in (None, np.eye(39), np.full((40, 40), np.nan)):
        with pytest.raises(InputError, match=r"kinship: .*expected"):
            model.predict(genotypes, covariates=covariates, kinship=kinship)


def test_input_whose_products_overflow_is_named(rewrite, models):
    """Effects that a file may hold, and values that they do not fit: an error, no infinity."""
    _, genotypes, covariates, *_ = models["snp"]
    model = ll.load_model(rewrite(gammas=np.full((3, 6), 1e280)))
    with pytest.raises(CovariateError, match="covariates: expected values whose products"):
        model.predict(genotypes, covariates=1e100 * covariates)
    model = ll.load_model(rewrite(random_effects=np.full((60, 6), 1e280)))
    assert np.isfinite(model.predict(genotypes, covariates=covariates).total).all()
    large = ll.Genotypes.from_array(
        1e100 * genotypes.columns(np.arange(60)), variants=genotypes.variants
    )
    with pytest.raises(ModelError, match="genotypes: expected values whose products"):
        model.predict(large, covariates=covariates)
    _, genotypes, covariates, *_ = models["sample"]
    model = ll.load_model(rewrite("sample", kinship_scale=np.array(1e-300)))
    with pytest.raises(KinshipError, match="kinship: expected values whose products"):
        model.predict(genotypes, covariates=covariates, kinship=np.full((40, 40), 1e100))


@pytest.mark.parametrize("scale", [1e-140, 1e140])
def test_models_of_extreme_units_are_read_again(tmp_path, scale):
    """What can be fitted can be saved, read and used."""
    rng = np.random.default_rng(5)
    X, variants = rng.standard_normal((30, 8)), simulate_genotypes(5, 8, seed=1).variants
    genotypes = ll.Genotypes.from_array(X * scale, variants=variants)
    y = (X[:, 2] + 0.1 * rng.standard_normal(30)) * 1e140
    path = ll.lasso_path(genotypes, y, n_alphas=4)
    model = ll.build_model(path, genotypes)
    ll.save_model(model, tmp_path / "m.npz")
    again = ll.load_model(tmp_path / "m.npz")
    assert np.isfinite(again.to_frame()["BETA"].to_numpy()).all()
    assert_array_equal(again.predict(genotypes).total, model.predict(genotypes).total)

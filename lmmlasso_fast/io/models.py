"""Fitted models in files (.npz, no pickle)."""

import json
import os
from typing import TYPE_CHECKING

import numpy as np

from lmmlasso_fast.errors import ModelError
from lmmlasso_fast.io.archives import load_arrays, save_arrays
from lmmlasso_fast.path import LARGEST_ALPHA
from lmmlasso_fast.prediction import Model
from lmmlasso_fast.preprocessing import Transform

if TYPE_CHECKING:
    import polars as pl

FORMAT = "lmmlasso_fast model 1"
#: Lists of names, kept as UTF-8 with a NUL after each: NumPy's text would give every SNP the width
#: of the longest allele, four bytes a character.
_NAMES = ("chrom", "id", "a1", "a2", "fid", "iid")
#: Larger numbers are in no model that was fitted: phenotypes go to 1e220, SNPs and covariates have
#: squares that are numbers.
_LARGEST = {
    "mean": 1e290,
    "sd": 1e160,
    "alphas": LARGEST_ALPHA,
    "alpha_max": 1e290,
    "coef_values": 1e290,
    "gammas": 1e290,
    "random_effects": 1e290,
    "kinship_scale": np.finfo(np.float64).max,
}
_SMALLEST_SD = 1e-160
_ENTRIES = {
    "format": ("U", 0),
    "phenotype": ("U", 0),
    "transform": ("U", 0),
    "chrom": ("|u1", 1),
    "id": ("|u1", 1),
    "pos": ("<i8", 1),
    "a1": ("|u1", 1),
    "a2": ("|u1", 1),
    "mean": ("<f8", 1),
    "sd": ("<f8", 1),
    "alphas": ("<f8", 1),
    "alpha_max": ("<f8", 0),
    "default_alpha": ("<f8", 0),
    "coef_values": ("<f8", 1),
    "coef_rows": ("<i8", 1),
    "coef_starts": ("<i8", 1),
    "gammas": ("<f8", 2),
    "covariate_names": ("U", 1),
    "covariate_levels": ("U", 0),
    "random": ("U", 0),
    "random_effects": ("<f8", 2),
    "fid": ("|u1", 1),
    "iid": ("|u1", 1),
    "kinship_scale": ("<f8", 0),
    "log_delta": ("<f8", 0),
    "h2": ("<f8", 0),
    "n_samples": ("<i8", 0),
    "whitened_factors": ("|u1", 0),
}


def save_model(model: Model, path: str | os.PathLike) -> None:
    """Write a model; the same model gives the same bytes.

    The .npz holds numbers and text only; `numpy.load` reads it with allow_pickle=False. A missing
    log_delta or h2 (no random effect) or default_alpha (the last) is NaN.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    coefs = model.coefs.tocsc()
    coefs.sort_indices()
    fid = iid = None
    if model.samples is not None:
        fid, iid = model.samples["FID"], model.samples["IID"]

    def text(values):
        return np.array(values, dtype=np.str_)

    def number(value):
        return np.array(np.nan if value is None else value, dtype="<f8")

    save_arrays(
        path,
        {
            "format": text(FORMAT),
            "phenotype": text(model.phenotype),
            "transform": text(json.dumps(model.transform.to_dict())),
            "chrom": _pack_names(model.variants["CHROM"]),
            "id": _pack_names(model.variants["ID"]),
            "pos": model.variants["POS"].to_numpy().astype("<i8"),
            "a1": _pack_names(model.variants["A1"]),
            "a2": _pack_names(model.variants["A2"]),
            "mean": model.mean,
            "sd": model.sd,
            "alphas": model.alphas,
            "alpha_max": number(model.alpha_max),
            "default_alpha": number(model.default_alpha),
            "coef_values": coefs.data,
            "coef_rows": coefs.indices.astype("<i8"),
            "coef_starts": coefs.indptr.astype("<i8"),
            "gammas": np.ascontiguousarray(model.gammas),
            "covariate_names": text(list(model.covariate_names)),
            "covariate_levels": text(json.dumps(model.covariate_levels)),
            "random": text(model.random),
            "random_effects": np.ascontiguousarray(model.random_effects),
            "fid": _pack_names(fid),
            "iid": _pack_names(iid),
            "kinship_scale": number(model.kinship_scale),
            "log_delta": number(model.log_delta),
            "h2": number(model.h2),
            "n_samples": np.array(model.n_samples, dtype="<i8"),
            "whitened_factors": np.array(model.whitened_factors, dtype="|u1"),
        },
    )


def load_model(path: str | os.PathLike) -> Model:
    """Read what `save_model` wrote. Nothing is unpickled.

    Raises
    ------
    ModelError
        The file cannot be read, is damaged, or its parts do not fit together.
    """
    import polars as pl
    from scipy.sparse import csc_array

    name = os.fspath(path)
    content = load_arrays(name, _ENTRIES, ModelError, FORMAT)
    content |= {key: _unpack_names(name, key, content[key]) for key in _NAMES}
    _check(name, content)
    try:
        transform = Transform.from_dict(json.loads(str(content["transform"])))
        levels = _as_levels(json.loads(str(content["covariate_levels"])))
    except (ValueError, RecursionError) as problem:
        raise ModelError(f"{name}: {problem}; fit the model again") from problem
    q, m = len(content["mean"]), len(content["alphas"])
    samples = None
    if content["iid"]:
        samples = pl.DataFrame({"FID": content["fid"], "IID": content["iid"]})
        samples = samples.with_columns(pl.col("FID").replace("", None))

    def optional(key):
        return None if np.isnan(content[key]) else float(content[key])

    return Model(
        variants=pl.DataFrame(
            {
                "CHROM": pl.Series(content["chrom"], dtype=pl.String),
                "ID": pl.Series(content["id"], dtype=pl.String),
                "POS": content["pos"],
                "A1": pl.Series(content["a1"], dtype=pl.String),
                "A2": pl.Series(content["a2"], dtype=pl.String),
            }
        ),
        mean=content["mean"],
        sd=content["sd"],
        alphas=content["alphas"],
        alpha_max=float(content["alpha_max"]),
        coefs=csc_array(
            (content["coef_values"], content["coef_rows"], content["coef_starts"]), shape=(q, m)
        ),
        gammas=content["gammas"],
        covariate_names=tuple(content["covariate_names"].tolist()),
        random=str(content["random"]),
        random_effects=content["random_effects"],
        samples=samples,
        kinship_scale=float(content["kinship_scale"]),
        transform=transform,
        log_delta=optional("log_delta"),
        h2=optional("h2"),
        n_samples=int(content["n_samples"]),
        phenotype=str(content["phenotype"]),
        covariate_levels=levels,
        default_alpha=optional("default_alpha"),
        whitened_factors=bool(content["whitened_factors"]),
    )


def _pack_names(names: "pl.Series | None") -> np.ndarray:
    """Join names, each with a NUL behind it; a million of them never become Python objects."""
    joined = "" if names is None else (names.fill_null("") + "\0").str.join().item()
    return np.frombuffer((joined or "").encode(), dtype=np.uint8)


def _unpack_names(path: str, key: str, packed: np.ndarray) -> list[str]:
    try:
        *names, rest = packed.tobytes().decode().split("\0")
    except UnicodeDecodeError as problem:
        raise ModelError(f"{path}: {key}: {problem}; fit the model again") from problem
    if rest:
        raise ModelError(
            f"{path}: {key}: expected a NUL after every name, found none after the last; the file "
            "is damaged, fit the model again"
        )
    return names


def _as_levels(content) -> dict[str, tuple[str, ...]]:
    """Levels of the categorical covariates, from JSON."""
    valid = isinstance(content, dict) and all(
        isinstance(levels, list) and all(isinstance(level, str) for level in levels)
        for levels in content.values()
    )
    if not valid:
        raise ModelError("covariate_levels: expected lists of names, found otherwise")
    return {name: tuple(levels) for name, levels in content.items()}


def _check(name: str, content: dict[str, np.ndarray]) -> None:
    """Sizes that fit together, usable numbers, indices in range: nothing crashes later."""
    q, m = len(content["mean"]), len(content["alphas"])
    values, rows, starts = (content[f"coef_{part}"] for part in ("values", "rows", "starts"))
    random = str(content["random"])
    n_effects = {"none": 0, "snp": q, "sample": int(content["n_samples"])}.get(random)
    _check_sizes(name, content)
    conditions = {
        "as many chrom, id, pos, a1, a2 and sd as mean": all(
            len(content[key]) == q for key in ("chrom", "id", "pos", "a1", "a2", "sd")
        ),
        "one alpha or more, positive and decreasing": m > 0
        and bool((content["alphas"] > 0).all())
        and bool((content["alphas"][1:] < content["alphas"][:-1]).all()),
        "a default alpha among them": np.isnan(content["default_alpha"])
        or bool(content["alphas"].min(initial=np.inf) <= content["default_alpha"] < np.inf),
        f"positive sd, from {_SMALLEST_SD:g}": bool((content["sd"] >= _SMALLEST_SD).all()),
        "one training sample or more": bool(content["n_samples"] > 0),
        "ids of all training samples, or none": len(content["iid"])
        in (0, int(content["n_samples"])),
        "an h2 from 0 to 1, or none": not (content["h2"] < 0 or content["h2"] > 1),
        "a finite log_delta, or none": not np.isinf(content["log_delta"]),
        "a valid sparse matrix of coefficients": (
            len(starts) == m + 1
            and starts[0] == 0
            and bool((np.diff(starts) >= 0).all())
            and starts[-1] == len(values) == len(rows)
            and bool(((rows >= 0) & (rows < q)).all())
        ),
        "one row of gammas per covariate": content["gammas"].shape
        == (len(content["covariate_names"]), m),
        "random to be none, snp or sample": n_effects is not None,
        "random effects to match": content["random_effects"].shape == (n_effects, m),
        "as many fid as iid": len(content["fid"]) == len(content["iid"]),
        "a positive kinship scale": bool(content["kinship_scale"] > 0),
    }
    for expected, holds in conditions.items():
        if not holds:
            raise _damaged(name, expected, "otherwise")
    _check_products(name, content)


def _check_sizes(name: str, content: dict[str, np.ndarray]) -> None:
    for key, largest in _LARGEST.items():
        values = content[key].ravel()
        wrong = values[~(np.abs(values) <= largest)]
        if wrong.size:
            raise _damaged(
                name, f"{key} with finite numbers up to {largest:g}", repr(float(wrong[0]))
            )


def _check_products(name: str, content: dict[str, np.ndarray]) -> None:
    """What predictions and tables multiply: effects of a copy of an allele, and of the mean."""
    sd, rows = content["sd"], content["coef_rows"]
    with np.errstate(over="ignore"):
        units = np.maximum(np.abs(content["mean"]), 2) / sd
        sizes = {"mean": units, "coef_values": np.abs(content["coef_values"]) * units[rows]}
        if str(content["random"]) == "snp":
            sizes["random_effects"] = np.abs(content["random_effects"]) * units[:, None]
    for key, values in sizes.items():
        largest = float(values.max(initial=0.0))
        if not largest <= 1e300:
            raise _damaged(
                name, f"{key} whose products with mean / sd are 1e300 at most", repr(largest)
            )


def _damaged(name: str, expected: str, found: str) -> ModelError:
    return ModelError(
        f"{name}: expected {expected}, found {found}; the file is damaged, fit the model again"
    )

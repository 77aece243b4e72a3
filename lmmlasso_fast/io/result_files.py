"""The result files of a prefix, read when they are asked for."""

import json
import os
from functools import cached_property
from pathlib import Path

import polars as pl

from lmmlasso_fast.errors import TableError
from lmmlasso_fast.io.text import failure, quote

#: Columns of text, and of whole numbers; all others are floats.
_TEXT = frozenset(
    (
        *("CHROM", "ID", "EFFECT_ALLELE", "OTHER_ALLELE", "ALLELE0", "ALLELE1", "A1", "TEST"),
        *("FID", "IID", "KEPT_ID", "LEAD_ID", "REASON"),
    )
)
_WHOLE = frozenset(
    (
        *("POS", "GENPOS", "START", "END", "N", "N_MISSING", "INDEX", "N_ACTIVE", "CONVERGED"),
        *("FOLD", "LD_GROUP", "N_SNPS", "N_GROUPS", "REPLICATE", "N_SELECTED", "FAILED", "SIGN"),
    )
)


def _table(name: str):
    """A property: P.NAME.tsv as a polars DataFrame, None if there is no such file."""
    return cached_property(lambda self: self._read_table(f"{name}.tsv"))


def _json(name: str):
    """A property: the content of P.NAME.json, None if there is no such file."""
    return cached_property(lambda self: self._read_json(f"{name}.json"))


class ResultFiles:
    """What `lmmlasso` wrote under one prefix: every file is a property named after it.

    A table is a polars DataFrame with the file's columns: ids, chromosomes and alleles are text,
    NA among numbers is null. A .json is a dict. What does not exist is None. Files are read once,
    when they are first asked for.

    Parameters
    ----------
    prefix : path
        The --out of the commands; of one of several phenotypes OUT.NAME.

    Raises
    ------
    TableError
        By the properties: a file is not what lmmlasso writes.
    """

    path = _table("path")
    coef = _table("coef")
    selected = _table("selected")
    cv = _table("cv")
    cv_pred = _table("cv_pred")
    pred = _table("pred")
    scan = _table("scan")
    stability = _table("stability")
    loci = _table("loci")
    bounds = _table("bounds")
    stability_path = _table("stability_path")
    replicates = _table("replicates")
    excluded = _table("excluded")
    duplicates = _table("duplicates")
    null = _json("null")
    calibration = _json("calibration")

    def __init__(self, prefix: str | os.PathLike):
        self.prefix = os.fspath(prefix)

    @cached_property
    def run(self) -> dict | None:
        """P.run.json; of one of several phenotypes that of the whole run."""
        return next(
            (run for prefix in self._prefixes() if (run := self._read_json("run.json", prefix))),
            None,
        )

    @cached_property
    def log(self) -> str | None:
        """P.log, found as P.run.json is."""
        for prefix in self._prefixes():
            try:
                return Path(f"{prefix}.log").read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                pass
            except OSError as error:
                raise _unreadable(f"{prefix}.log", error) from error
        return None

    def exist(self) -> bool:
        """Whether there is any of the files."""
        names = [name for name, value in vars(type(self)).items() if _is_file(value)]
        return any(
            os.path.exists(f"{self.prefix}.{name}.{end}")
            for name in names
            for end in ("tsv", "json")
        )

    def _prefixes(self) -> list[str]:
        """The prefix, and of OUT.NAME that of the run of several phenotypes, if it was one."""
        folder, name = os.path.split(self.prefix)
        prefixes = [self.prefix]
        for at in range(len(name)):
            if name[at] == "." and at:
                whole = os.path.join(folder, name[:at])
                run = self._read_json("run.json", whole) or {}
                if name[at + 1 :] in _file_names(run):
                    prefixes.append(whole)
        return prefixes

    def _read_json(self, suffix: str, prefix: str | None = None) -> dict | None:
        path = f"{prefix or self.prefix}.{suffix}"
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from error
        except ValueError as error:
            raise _unreadable(path, error) from error
        if not isinstance(content, dict):
            raise _unreadable(path, f"a {type(content).__name__}")
        return content

    def _read_table(self, suffix: str) -> pl.DataFrame | None:
        path = f"{self.prefix}.{suffix}"
        try:
            with open(path, encoding="utf-8") as file:
                names = file.readline().rstrip("\n").split("\t")
            types = {name: _type(name) for name in names}
            table = pl.read_csv(
                path,
                separator="\t",
                quote_char=None,
                schema=types,
                # an id may be NA
                null_values={name: "NA" for name in names if name not in _TEXT},
            )
            return table.with_columns(pl.col(pl.String).fill_null(""))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise _unreadable(path, error) from error


def _is_file(value) -> bool:
    return isinstance(value, cached_property) and value.attrname not in ("run", "log")


def _file_names(run: dict) -> set[str]:
    """The phenotypes of a run of several."""
    return set(run.get("counts", {}).get("phenotypes", {}))


def _type(name: str) -> type[pl.DataType]:
    if name in _TEXT:
        return pl.String
    return pl.Int64 if name in _WHOLE else pl.Float64


def _unreadable(path: str, found: object) -> TableError:
    return failure(
        TableError,
        path,
        "a result file",
        expected="what lmmlasso wrote",
        found=quote(str(found).splitlines()[0] if str(found) else type(found).__name__),
        advice="have it written again",
    )

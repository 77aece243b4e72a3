"""The report's table of SNPs: those that any of the result files points at."""

import polars as pl

from lmmlasso_fast.io.result_files import ResultFiles

#: What tells SNPs apart; ids alone may repeat.
KEYS = ["CHROM", "POS", "ID", "EFFECT_ALLELE", "OTHER_ALLELE"]
#: Each source contributes so many.
ROWS = 500


def scan_as_snps(files: ResultFiles) -> pl.DataFrame | None:
    """P.scan.tsv with the other tables' names of a SNP's columns; None if it has no rows."""
    if files.scan is None or not len(files.scan):
        return None
    return files.scan.rename(
        {
            "GENPOS": "POS",
            "ALLELE1": "EFFECT_ALLELE",
            "ALLELE0": "OTHER_ALLELE",
            "A1FREQ": "EAF",
            "BETA": "BETA_SCAN",
            "SE": "SE_SCAN",
        }
    )


def entry_table(files: ResultFiles) -> pl.DataFrame | None:
    """The SNPs of P.coef.tsv, the first to enter the path first.

    Columns: KEYS, EAF, INDEX of the entry, LARGEST |BETA_STD| on the path, ALPHA_ENTRY (with
    P.path.tsv).
    """
    if files.coef is None:
        return None
    found = (
        files.coef.group_by(KEYS, maintain_order=True)
        .agg(
            pl.col("EAF").first(),
            pl.col("INDEX").min(),
            pl.col("BETA_STD").abs().max().alias("LARGEST"),
        )
        .sort(["INDEX", "LARGEST"], descending=[False, True], maintain_order=True)
    )
    if files.path is not None:
        alphas = files.path.select("INDEX", pl.col("ALPHA").alias("ALPHA_ENTRY"))
        found = found.join(alphas, on="INDEX", how="left", maintain_order="left")
    return found


def chosen_index(files: ResultFiles) -> int | None:
    """The row of P.path.tsv whose SNPs P.selected.tsv has; else the CV's best; else the last."""
    if files.path is None or not len(files.path):
        return None
    selected = files.selected
    if selected is not None and "BETA_STD" in selected.columns and files.coef is not None:
        if not len(selected):
            return int(files.path["N_ACTIVE"].arg_min())
        match = selected[:1].join(files.coef, on=[*KEYS, "BETA_STD"])
        if len(match):
            return int(match["INDEX"][0])
    if files.cv is not None and files.cv["EXPLAINED_VARIANCE"].is_not_null().any():
        alpha = files.cv["ALPHA"][files.cv["EXPLAINED_VARIANCE"].arg_max()]
        distance = (files.path["ALPHA"].log() - pl.Series([alpha]).log()[0]).abs()
        return int(distance.arg_min())
    return len(files.path) - 1


def snp_table(files: ResultFiles, entries: pl.DataFrame | None) -> pl.DataFrame:
    """One row per SNP: stable and selected ones first, then the frequent, the path's, the scan's.

    Columns, as far as there are files: KEYS, EAF, STABLE, SELECTED (0 or 1), LOG10P, BETA_SCAN,
    SE_SCAN (of the scan), BETA, BETA_STD (at the chosen alpha), ALPHA_ENTRY, SEL_FREQ, LD_GROUP.
    """
    scan = scan_as_snps(files)
    stability = files.stability
    index = chosen_index(files)
    effects = files.selected
    if effects is None or "BETA_STD" not in effects.columns:
        effects = None
        if files.coef is not None and index is not None:
            effects = files.coef.filter(pl.col("INDEX") == index)
    sources = [
        None if files.stable is None else files.stable[:ROWS],
        None if files.selected is None else files.selected[:ROWS],
        None if stability is None else stability[:ROWS],
        None if entries is None else entries[:ROWS],
        None if scan is None else scan.top_k(ROWS, by="LOG10P").sort("LOG10P", descending=True),
    ]
    parts = [source.select(*KEYS, "EAF") for source in sources if source is not None]
    if not parts:
        schema = dict.fromkeys(KEYS, pl.String) | {"POS": pl.Int64, "EAF": pl.Float64}
        return pl.DataFrame(schema=schema)
    table = pl.concat(parts).unique(subset=KEYS, keep="first", maintain_order=True)
    for name, chosen in (("STABLE", files.stable), ("SELECTED", files.selected)):
        if chosen is not None:
            chosen = chosen.select(KEYS).with_columns(pl.lit(1).alias(name))
            table = _with(table, chosen, [name]).with_columns(pl.col(name).fill_null(0))
    table = _with(table, scan, ["LOG10P", "BETA_SCAN", "SE_SCAN"])
    table = _with(table, effects, ["BETA", "BETA_STD"])
    table = _with(table, entries, ["ALPHA_ENTRY"])
    return _with(table, stability, ["SEL_FREQ", "LD_GROUP"])


def _with(table: pl.DataFrame, source: pl.DataFrame | None, names: list[str]) -> pl.DataFrame:
    """Add columns of a source, null where it lacks the SNP."""
    if source is None:
        return table
    names = [name for name in names if name in source.columns]
    known = source.select(*KEYS, *names).unique(subset=KEYS, keep="first")
    return table.join(known, on=KEYS, how="left", maintain_order="left")

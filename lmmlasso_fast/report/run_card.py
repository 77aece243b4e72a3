"""The report's first section: what was analysed, what was dropped, what is certified."""

from lmmlasso_fast.errors import TableError
from lmmlasso_fast.io.result_fields import check_fields
from lmmlasso_fast.io.result_files import ResultFiles
from lmmlasso_fast.io.text import failure

#: What the log says before it says these is about reading.
_AFTER_READING = ("estimated:", "null model", "kinship:", "scan", "path:", "wrote ", "end:")


def run_card(files: ResultFiles) -> list[dict]:
    """Facts in order: {"label", "value", "note"}; the value is a number or text."""
    run, null = files.run or {}, files.null or {}
    counts = files.counts
    options = run.get("options", {})
    facts = [
        ("Phenotype", files.phenotype or options.get("pheno_name"), None),
        ("Samples analysed", null.get("n_samples", counts.get("samples")), None),
        ("SNPs offered to the model", null.get("n_variants", counts.get("variants")), None),
        *_excluded(files),
        ("Exact duplicates", None if files.duplicates is None else len(files.duplicates), None),
        *_heritability(files),
        ("Kinship", null.get("kinship", {}).get("estimator"), _kinship_note(null)),
        ("Covariates", ", ".join(null["covariates"]) if "covariates" in null else None, None),
        ("Transformation", null.get("transform", {}).get("method"), None),
    ]
    if files.calibration is not None:
        calibration = files.calibration
        check_fields(files.file("calibration.json"), calibration, ("alpha", "level", "n_draws"))
        note = f"at family-wise level {calibration['level']:g}, {calibration['n_draws']} draws"
        facts.append(("Calibrated alpha", calibration["alpha"], note))
    return [
        {"label": label, "value": value, "note": note}
        for label, value, note in facts
        if value is not None
    ]


def _excluded(files: ResultFiles) -> list[tuple]:
    if files.excluded is None:
        return []
    reasons = files.excluded["REASON"].value_counts(sort=True)
    note = ", ".join(f"{reason} {count:,}" for reason, count in reasons.iter_rows())
    return [("SNPs not offered", len(files.excluded), note or None)]


def _heritability(files: ResultFiles) -> list[tuple]:
    null = files.null or {}
    if "h2" in null:
        se = null.get("h2_se")
        note = "no standard error" if se is None else f"standard error {se:.4f}"
        return [
            ("h² of the null model", null["h2"], f"{note}, {null.get('method', '').upper()}"),
            ("log δ", null.get("log_delta"), "δ: variance of noise over that of kinship"),
        ]
    parts = null.get("chromosomes") or []
    if not parts:
        return []
    values = [part.get("h2") for part in parts]
    if None in values:
        raise failure(
            TableError,
            str(files.file("null.json")),
            "field 'chromosomes'",
            expected="h2 for each",
            found="none for one",
            advice="run the command that made the file again",
        )
    return [
        (
            "h² of the null models",
            sum(values) / len(values),
            f"mean of {len(parts)}, each without one chromosome: {min(values):.3f} to "
            f"{max(values):.3f}",
        )
    ]


def _kinship_note(null: dict) -> str | None:
    kinship = null.get("kinship", {})
    n = kinship.get("n_variants")
    parts = [
        f"of {n:,} SNPs" if n else None,
        f"samples: {kinship['samples']}" if "samples" in kinship else None,
        f"left out: {kinship['left_out']}" if "left_out" in kinship else None,
    ]
    return ", ".join(part for part in parts if part) or None


def certificates(files: ResultFiles) -> list[dict]:
    """One line for each kind of fit: how many, how many converged, the largest duality gap."""
    lines = []
    tol = (files.run or {}).get("options", {}).get("tol")
    if files.path is not None and len(files.path):
        lines.append(
            {
                "what": "Alphas of the path",
                "n": len(files.path),
                "converged": int(files.path["CONVERGED"].sum()),
                "gap": files.path["DUAL_GAP"].max(),
                "tol": tol,
            }
        )
    if files.replicates is not None and len(files.replicates):
        lines.append(
            {
                "what": "Replicates of stability selection",
                "n": len(files.replicates),
                "converged": int(files.replicates["CONVERGED"].sum()),
                "gap": None,
                "tol": tol,
            }
        )
    return lines


def read_and_dropped(files: ResultFiles) -> list[str]:
    """The log's lines about what was read, kept and dropped."""
    lines = (files.log or "").splitlines()
    found = []
    for line in lines:
        if line.startswith(_AFTER_READING):
            break
        if not line.startswith(("lmmlasso ", "command:", "warning:")):
            found.append(line)
    return found


def warnings(files: ResultFiles) -> list[str]:
    """What a reader must know before believing the rest."""
    run, null = files.run, files.null or {}
    found = []
    if run is None:
        found.append("P.run.json is missing: options, versions and warnings of the run are unknown")
    else:
        found += [str(text) for text in run.get("warnings", [])]
        end = run.get("exit", {})
        if end.get("code", 0) != 0:
            found.append(
                f"the last command, {run.get('subcommand')}, ended with exit code "
                f"{end.get('code')}: {end.get('state')}; other files may be of an earlier one"
            )
    for part in [null, *null.get("chromosomes", [])]:
        where = f" without chromosome {part['chromosome']}" if "chromosome" in part else ""
        if part.get("at_boundary"):
            found.append(f"null model{where}: h² is at the boundary of its range")
        if part.get("flat"):
            found.append(f"null model{where}: the likelihood is flat, h² is not identified")
        if part.get("multimodal"):
            found.append(f"null model{where}: the likelihood has several optima")
    for line in certificates(files):
        missing = line["n"] - line["converged"]
        if missing:
            found.append(f"{line['what']}: {missing} of {line['n']} did not converge")
    if files.replicates is not None and files.replicates["FAILED"].sum():
        found.append(f"{int(files.replicates['FAILED'].sum())} replicates failed")
    return list(dict.fromkeys(found))

"""The command line: partial files of `stability`, and `merge`."""

import re
import shutil
from pathlib import Path

import pytest
from cli_files import (
    N_REPLICATES,
    STABILITY_OPTIONS,
    inputs,
    lmmlasso,
    n_records,
    refused,
    results,
    run_json,
    select,
)

import lmmlasso_fast as ll
from lmmlasso_fast.io.journal import Journal, read_journal

pytestmark = pytest.mark.promise("whole-files")

RANGES = ("0:3", "3:4", "4:9", "9:12", "2:6")


@pytest.fixture(scope="module")
def parts(small, tmp_path_factory):
    """{range: partial file}, by uneven numbers of replicates, one of which overlaps others."""
    folder = tmp_path_factory.mktemp("parts")
    made = {}
    for replicates in RANGES:
        out = folder / replicates.replace(":", "-")
        err = select(small, out, "--replicates", replicates, "--partial", "--threads", 1)
        first, last = map(int, replicates.split(":"))
        assert f"replicates {first} to {last - 1} are in {out}.partial" in err
        made[replicates] = f"{out}.partial"
        # what does not depend on the replicates, and nothing that could be taken for a result
        assert set(results(out)) == {
            ".partial",
            ".null.json",
            ".excluded.tsv",
            ".duplicates.tsv",
        }
        assert n_records(made[replicates]) == last - first
    return made


@pytest.mark.parametrize(
    "order",
    [RANGES[:4], ("9:12", "0:3", "4:9", "3:4"), ("2:6", "9:12", "4:9", "0:3"), RANGES],
)
def test_merged_files_are_one_run(whole, parts, tmp_path, order):
    err = lmmlasso("merge", *(parts[name] for name in order), "--out", tmp_path / "M")
    assert f"12 replicates, 0 to 11, in {len(order)} files" in err
    assert results(tmp_path / "M") == results(whole)
    noted = [item["path"] for item in run_json(tmp_path / "M")["inputs"]]
    assert set(noted) > {parts[name] for name in order}
    assert all(item["sha256"] for item in run_json(tmp_path / "M")["inputs"])


def test_one_part_of_everything_and_the_same_twice(small, whole, tmp_path):
    select(small, tmp_path / "P", "--replicates", N_REPLICATES, "--partial")
    lmmlasso("merge", *2 * [tmp_path / "P.partial"], "--threads", 1, "--out", tmp_path / "M")
    assert results(tmp_path / "M") == results(whole)


def test_parts_that_were_made_elsewhere(small, whole, tmp_path, monkeypatch):
    """In another folder with relative names, with other threads: nothing of it shows."""
    places = [tmp_path / name for name in ("one", "two", "three")]
    for place in places:
        place.mkdir()
    monkeypatch.chdir(small.folder)
    relative = [
        "--bfile",
        "g",
        "--pheno",
        "y.tsv",
        "--covar",
        "c.tsv",
        *STABILITY_OPTIONS,
        "--partial",
    ]
    first = ["--replicates", "0:5", "--threads", 1, "--out", places[0] / "x"]
    lmmlasso("stability", *relative, *first)
    monkeypatch.chdir(places[1])
    for name in ("g.bed", "g.bim", "g.fam", "y.tsv", "c.tsv"):
        shutil.copy(small.folder / name, places[1] / f"renamed.{name}")
    renamed = [f"--{end}={places[1] / 'renamed.g'}.{end}" for end in ("bed", "bim", "fam")]
    renamed += [
        "--pheno",
        "renamed.y.tsv",
        "--covar",
        "renamed.c.tsv",
        *STABILITY_OPTIONS,
        "--partial",
    ]
    last = ["--replicates", "5:12", "--threads", 2, "--out", "y"]
    lmmlasso("stability", *renamed, *last)
    files = [places[0] / "x.partial", places[1] / "y.partial"]
    monkeypatch.chdir(places[2])
    lmmlasso("merge", *files, "--out", "M")
    lmmlasso("merge", *files[::-1], "--out", "W")
    assert results(places[2] / "M") == results(places[2] / "W") == results(whole)


@pytest.mark.parametrize(
    ("order", "n_found", "absent"),
    [
        (("0:3", "3:4", "9:12"), 7, "4 to 8"),
        (("3:4", "4:9", "9:12"), 9, "0 to 2"),
        (("9:12",), 3, "0 to 8"),
        (("0:3", "4:9"), 8, "3"),
        (("3:4", "9:12"), 4, "0 to 2, 4 to 8"),
    ],
)
def test_missing_replicates_are_named(parts, tmp_path, order, n_found, absent):
    message = refused("merge", *(parts[name] for name in order), "--out", tmp_path / "M")
    n = max(int(name.split(":")[1]) for name in order)
    assert (
        f"merge: expected the replicates 0 to {n - 1} at least, found {n_found} of these {n}; "
        in (message)
    )
    assert f"; missing are {absent}: give the files with these too" in message
    assert results(tmp_path / "M") == {}


def test_a_part_that_was_interrupted_is_not_taken_for_all(small, whole, parts, tmp_path):
    """Replicates 0 to 9 would be a run of their own."""
    lines = Path(parts["9:12"]).read_bytes().splitlines(keepends=True)
    out = tmp_path / "P"
    for kept in (1, 2, 3):
        (tmp_path / "P.partial").write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
        files = [*(parts[name] for name in RANGES[:3]), f"{out}.partial"]
        message = refused("merge", *files, "--out", tmp_path / "M")
        absent = "11" if kept == 3 else f"{8 + kept} to 11"
        assert f"missing are {absent}: give the files with these too, or end" in message
        assert "(--resume)" in message
    select(small, out, "--replicates", "9:12", "--partial", "--resume", "--threads", 1)
    assert (tmp_path / "P.partial").read_bytes() == Path(parts["9:12"]).read_bytes()
    lmmlasso("merge", *files, "--out", tmp_path / "M")
    assert results(tmp_path / "M") == results(whole)


def test_an_odd_number_of_replicates_is_not_merged(parts, tmp_path):
    message = refused("merge", parts["0:3"], "--out", tmp_path / "M")
    assert "merge: expected an even number of replicates, as they are pairs, found 3, 0 to 2" in (
        message
    )
    assert "; give the file with replicate 3 too" in message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (["--seed", 4], "fingerprint.options.seed"),
        (["--n-active", 7], "fingerprint.replicates.n_active"),
        (["--fraction", 0.45], "fingerprint.options.fraction"),
        (["--method", "reml"], "fingerprint.options.method"),
        (["--covar-name", "age"], "fingerprint.options.covar_name"),
        (["--pheno", "two.tsv", "--pheno-name", "Y"], "fingerprint.inputs.pheno.size"),
        (["--pheno", "two.tsv", "--pheno-name", "Z"], "fingerprint.phenotype"),
        (["--bfile", "other"], "fingerprint.inputs.bed.sha256"),
        (["--keep", "some.txt"], "fingerprint.samples"),
        (["--cutoff", 0.9], "cutoff"),
        (["--ld-r2", 0.3], "ld_r2"),
        (["--ld-window", 5], "ld_window"),
        (["--assumption", "none"], "assumption"),
    ],
)
def test_parts_of_another_run(small, other, parts, tmp_path, change, field):
    names = ("two.tsv", "other", "some.txt")
    change = [small.folder / part if part in names else part for part in change]
    select(small, tmp_path / "P", "--replicates", "3:12", "--partial", *change)
    files = [parts["0:3"], tmp_path / "P.partial"]
    message = refused("merge", *files, "--out", tmp_path / "M")
    assert f"P.partial: not of the same run as {parts['0:3']}, field '{field}': " in message or (
        f"P.partial: asked for another report than {parts['0:3']}, field '{field}': " in message
    )
    assert re.search("expected .*, found .*; use the same input and options", message)
    assert results(tmp_path / "M") == {}


@pytest.mark.parametrize("name", ["g.bed", "g.bim", "g.fam", "y.tsv"])
def test_inputs_that_changed_since(files, name):
    """By something that the analysis itself would not notice."""
    arguments = [*inputs(files), "--replicates", 2, "--n-active", 3, "--partial"]
    lmmlasso("stability", *arguments, "--out", files / "P")
    content = bytearray((files / name).read_bytes())
    if name == "g.bed":
        content[2000] ^= 0b01000001
    elif name == "y.tsv":
        content = content.replace(b"\t", b" ")
    else:
        content = content.replace(b"\n", b" \n" if name == "g.fam" else b"\r\n")
    (files / name).write_bytes(content)
    message = refused("merge", files / "P.partial", "--out", files / "out" / "M")
    role = {"y.tsv": "pheno"}.get(name, name[2:])
    assert f"P.partial: its input, field 'inputs.{role}." in message
    assert results(files / "out" / "M") == {}


def test_inputs_that_are_gone(files):
    arguments = [*inputs(files), "--replicates", 2, "--n-active", 3, "--partial"]
    lmmlasso("stability", *arguments, "--out", files / "P")
    (files / "y.tsv").unlink()
    message = refused("merge", files / "P.partial", "--out", files / "out" / "M")
    assert "y.tsv" in message
    assert "No such file" in message


def test_damaged_parts(parts, tmp_path):
    content = bytearray(Path(parts["0:3"]).read_bytes())
    lines = content.splitlines(keepends=True)
    content[len(lines[0]) + len(lines[1]) // 2] ^= 1
    (tmp_path / "P.partial").write_bytes(content)
    files = [tmp_path / "P.partial", parts["3:4"]]
    message = refused("merge", *files, "--out", tmp_path / "M")
    assert "P.partial, line 2: a damaged line: expected its checksum" in message


def test_results_at_other_alphas(small, tmp_path):
    """The checksums are no secret."""
    flags = [*small.base, "--alpha", 20, "--replicates", "0:2", "--partial"]
    lmmlasso("stability", *flags, "--out", tmp_path / "P")
    kind, fingerprint, options, done = read_journal(tmp_path / "P.partial")
    [alpha] = done[0]["alphas"]
    for alphas, changes in (([alpha, 1.0], [[], []]), ([2 * alpha], [[]]), ([], [])):
        with Journal.create(tmp_path / "x.partial", kind, fingerprint, options) as journal:
            journal.append(0, done[0] | {"alphas": alphas, "changes": changes})
            journal.append(1, done[1])
        message = refused("merge", tmp_path / "x.partial", "--out", tmp_path / "M")
        assert "task 0: not what lmmlasso writes: expected the result of a replicate" in message
    lmmlasso("merge", tmp_path / "P.partial", "--out", tmp_path / "M")


def test_files_that_are_no_parts(small, parts, tmp_path):
    message = refused("merge", small.folder / "y.tsv", "--out", tmp_path / "M")
    assert "y.tsv, line 1: not a checkpoint or partial result: expected a header" in message
    message = refused("merge", parts["0:3"], f"{small.prefix}.bed", "--out", tmp_path / "M")
    assert "g.bed, line 1: not a checkpoint" in message
    message = refused("merge", tmp_path / "absent", "--out", tmp_path / "M")
    assert "absent: the file cannot be read: expected" in message
    (tmp_path / "empty").touch()
    message = refused("merge", tmp_path / "empty", "--out", tmp_path / "M")
    assert "empty: not a checkpoint or partial result: expected at least a header" in message
    assert "Missing argument" in lmmlasso("merge", "--out", tmp_path / "M", code=2)


def test_parts_of_another_command_or_version(parts, tmp_path):
    _, fingerprint, options, done = read_journal(parts["0:3"])
    for name, kind, version in (("cv", "cv", ll.__version__), ("new", "stability", "99")):
        with Journal.create(
            tmp_path / name, kind, fingerprint | {"version": version}, options
        ) as journal:
            for task, result in done.items():
                journal.append(task, result)
    message = refused("merge", tmp_path / "cv", "--out", tmp_path / "M")
    assert "cv: expected results of lmmlasso stability --partial, found a checkpoint of cv" in (
        message
    )
    message = refused("merge", tmp_path / "new", "--out", tmp_path / "M")
    assert "new: of another version, field 'version': expected" in message
    assert ', found "99"' in message


def test_column_names_that_are_lists_elsewhere(files):
    """A table's only column needs no --pheno-name, which would take its name apart."""
    text = (files / "y.tsv").read_text().replace("\tY\n", "\tY,Z{1:2}\n", 1)
    (files / "y.tsv").write_text(text)
    arguments = [*inputs(files), "--replicates", 2, "--n-active", 3]
    lmmlasso("stability", *arguments, "--partial", "--out", files / "P")
    lmmlasso("stability", *arguments, "--out", files / "out" / "W")
    lmmlasso("merge", files / "P.partial", "--out", files / "out" / "M")
    assert results(files / "out" / "M") == results(files / "out" / "W")


def test_parts_with_a_given_kinship_and_lists(small, other, tmp_path):
    """All files that can be named are looked for where they were, and are the same."""
    arguments = [*small.base, "--kinship", small.folder / "half.npz", "--n-active", 3]
    arguments += ["--keep", small.folder / "some.txt", "--extract", small.folder / "snps.txt"]
    lmmlasso("stability", *arguments, "--replicates", 4, "--out", tmp_path / "W")
    for name, replicates in (("a", "0:2"), ("b", "2:4")):
        part = ["--replicates", replicates, "--partial", "--out", tmp_path / name]
        lmmlasso("stability", *arguments, *part)
    files = [tmp_path / "a.partial", tmp_path / "b.partial"]
    lmmlasso("merge", *files, "--out", tmp_path / "M")
    assert results(tmp_path / "M") == results(tmp_path / "W")


def test_parts_of_the_phenotype_of_the_fam(small, other, tmp_path):
    """There are no names then, and the files of the fileset have none in common."""
    ends = {end: f"{small.prefix}.{end}" for end in ("bed", "bim")}
    ends["fam"] = small.folder / "y.fam"
    arguments = [f"--{end}={path}" for end, path in ends.items()]
    arguments += ["--n-active", 3, "--replicates", 2]
    lmmlasso("stability", *arguments, "--out", tmp_path / "W")
    lmmlasso("stability", *arguments, "--partial", "--out", tmp_path / "P")
    lmmlasso("merge", tmp_path / "P.partial", "--out", tmp_path / "M")
    assert results(tmp_path / "M") == results(tmp_path / "W")


def test_an_input_of_the_parts_is_not_emptied(files):
    """Its name is in their headers alone."""
    traits = files / "out" / "traits.log"
    traits.write_bytes((files / "y.tsv").read_bytes())
    arguments = ["--bfile", files / "g", "--pheno", traits, "--replicates", 2, "--n-active", 3]
    lmmlasso("stability", *arguments, "--partial", "--out", files / "out" / "a")
    message = refused("merge", files / "out" / "a.partial", "--out", files / "out" / "traits")
    assert f"{traits}: it is an input, and would be replaced; change --out" in message
    assert traits.read_bytes() == (files / "y.tsv").read_bytes()

"""The Snakemake workflow runs on simulated data; the Nextflow module's script does what it says."""

import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from cli_files import lmmlasso, run_json

import lmmlasso_fast

_PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"


@pytest.fixture
def path_with_scripts(monkeypatch):
    """The environment's commands, whether it is activated or not."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if shutil.which("lmmlasso") is None:
        pytest.skip("lmmlasso is not on the path")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done


def test_snakemake_workflow(path_with_scripts, tmp_path):
    for module in ("snakemake", "multiqc"):
        pytest.importorskip(module, reason=f"needs {module}: pip install '.[pipelines]'")
    snakemake = [sys.executable, "-m", "snakemake", "--directory", str(tmp_path), "--cores", "1"]
    snakemake += ["--snakefile", str(_PIPELINES / "snakemake" / "Snakefile")]
    run(*snakemake)
    assert run_json(tmp_path / "results" / "Y")["counts"]["variants"] == 500
    assert run_json(tmp_path / "results" / "Y")["subcommand"] == "cv"
    assert "LMM-Lasso" in (tmp_path / "results" / "multiqc_report.html").read_text()


def block(source: str, name: str) -> str:
    """The triple-quoted script of a block of a Nextflow process, as Groovy reads it."""
    quoted = source.split(f"\n    {name}:\n", 1)[1].split('"""')[1]
    return quoted.replace("\\\\", "\\")


def rendered(script: str, values: dict) -> str:
    r"""Fill in ${name}; \$ stays for the shell."""
    filled = re.sub(r"(?<!\\)\$\{([\w.]+)\}", lambda found: str(values[found[1]]), script)
    lines = filled.replace("\\$", "$").split("\n")
    return "\n".join(line.removeprefix("    ") for line in lines)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", ["script", "stub"])
def test_script_of_the_nextflow_module(path_with_scripts, tmp_path, name):
    # Nextflow itself is not run: its script is, filled in as Nextflow would
    source = (_PIPELINES / "nextflow" / "main.nf").read_text(encoding="utf-8")
    simulated = ("simulate", "--n-samples", 80, "--n-variants", 200)
    lmmlasso(*simulated, "--out", tmp_path / "in")
    values = {"bed": "in.bed", "bim": "in.bim", "fam": "in.fam", "pheno": "in.pheno.tsv"}
    values |= {"command": "fit", "args": "--n-alphas 5", "prefix": "P", "task.cpus": 1}
    values["task.process"] = "LMMLASSO"
    run("bash", "-euo", "pipefail", "-c", rendered(block(source, name), values), cwd=tmp_path)
    made = [path.name for path in tmp_path.iterdir()]
    wanted = re.findall(r'path\(?\s?"([^"]+)"', source.split("output:")[1].split("when:")[0])
    assert len(wanted) == 7
    for pattern in wanted:
        pattern = pattern.replace("${prefix}", "P")
        assert any(fnmatch(found, pattern) for found in made), pattern
    versions = (tmp_path / "versions.yml").read_text()
    assert versions == f'"LMMLASSO":\n    lmmlasso: {lmmlasso_fast.__version__}\n'
    if name == "script":
        content = json.loads((tmp_path / "P_summary.lmmlasso_mqc.json").read_text())
        assert content["data"]["P"]["NOT_CONVERGED"] == 0


def test_the_nextflow_module_describes_its_channels():
    source = (_PIPELINES / "nextflow" / "main.nf").read_text(encoding="utf-8")
    meta = (_PIPELINES / "nextflow" / "meta.yml").read_text(encoding="utf-8")
    emitted = re.findall(r"emit: (\w+)", source)
    described = re.findall(r"^  (\w+):$", meta.split("\noutput:\n")[1], re.MULTILINE)
    assert emitted == described
    for pattern in re.findall(r'path\(?\s?"([^"]+)"', source.split("output:")[1].split("when:")[0]):
        assert pattern in meta, pattern

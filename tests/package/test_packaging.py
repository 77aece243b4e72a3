"""What is shipped and what describes it agree: versions, requirements, commands, files."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, entry_points
from pathlib import Path

import pytest

import lmmlasso_fast
from lmmlasso_fast.cli import program

_ROOT = Path(__file__).resolve().parents[2]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_VERSION = _PROJECT["project"]["version"]


def text(name) -> str:
    """A file of the checkout; the packaging files are not in an installation."""
    return (_ROOT / name).read_text(encoding="utf-8")


def listed(name, after) -> list[str]:
    """The items of the first list of a YAML file that follows the line `after`."""
    lines = text(name).split(f"\n{after}\n", 1)[1].splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    items = []
    for line in lines:
        if not line.startswith(" " * indent + "- "):
            break
        items.append(line.strip()[2:])
    return items


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("CITATION.cff", r"^version: (\S+)$"),
        ("conda/recipe.yaml", r'^  version: "(.+)"$'),
        ("CHANGELOG.md", r"^## \[(\d.*?)\]"),
        ("pipelines/snakemake/environment.yaml", r"lmmlasso-fast ==(\S+)"),
        ("pipelines/nextflow/environment.yml", r"lmmlasso-fast==(\S+)"),
    ],
)
def test_versions_agree(name, pattern):
    assert re.search(pattern, text(name), re.MULTILINE)[1] == _VERSION


def test_version_of_the_installed_package():
    assert lmmlasso_fast.__version__ == distribution("lmmlasso-fast").version == _VERSION


def requirement(line) -> str:
    return re.sub(r"\s", "", line).lower()


@pytest.mark.parametrize(
    ("section", "wanted"),
    [
        ("  run:", _PROJECT["project"]["dependencies"]),
        ("  host:", _PROJECT["build-system"]["requires"]),
    ],
)
def test_the_recipe_has_the_requirements(section, wanted):
    found = {requirement(line) for line in listed("conda/recipe.yaml", section)}
    assert found - {"python", "pip"} == {requirement(line) for line in wanted}


def test_the_recipe_has_the_oldest_python_and_the_command():
    recipe = text("conda/recipe.yaml")
    oldest = re.search(r'python_min: "(.+)"', recipe)[1]
    assert _PROJECT["project"]["requires-python"] == f">={oldest}"
    wanted = [f"{name} = {value}" for name, value in _PROJECT["project"]["scripts"].items()]
    assert listed("conda/recipe.yaml", "    entry_points:") == wanted
    assert all(
        f"Programming Language :: Python :: 3.{minor}" in _PROJECT["project"]["classifiers"]
        for minor in re.search(r"cp3\{([\d,]+)\}", text("pyproject.toml"))[1].split(",")
    )


def test_stable_abi_is_that_of_the_oldest_python():
    oldest = _PROJECT["project"]["requires-python"].removeprefix(">=").replace(".", "")
    assert _PROJECT["tool"]["cibuildwheel"]["config-settings"] == {"wheel.py-api": f"cp{oldest}"}


def test_the_command_is_installed():
    (script,) = entry_points(group="console_scripts", name="lmmlasso")
    assert script.load() is program


def test_the_wheel_has_no_sources():
    names = [str(path) for path in distribution("lmmlasso-fast").files]
    if any(name.endswith("_editable.py") or "editable" in name for name in names):
        pytest.skip("an editable installation has no wheel's content")
    folders = {name.split("/")[0] for name in names if not name.startswith("..")}
    assert folders == {"lmmlasso_fast", f"lmmlasso_fast-{_VERSION}.dist-info"}
    assert not [name for name in names if name.endswith((".c", ".h", ".pyx", ".cmake", ".a"))]
    extension = [name for name in names if "/_core." in name and not name.endswith(".pyi")]
    assert len(extension) == 1
    assert "lmmlasso_fast/py.typed" in names
    assert f"lmmlasso_fast-{_VERSION}.dist-info/licenses/LICENSE" in names


def test_without_the_compiled_module_it_is_said_how_to_get_it():
    """As in the source folder, which has none; here it cannot be imported."""
    program = "import sys; sys.modules['lmmlasso_fast._core'] = None; import lmmlasso_fast"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ImportError: lmmlasso_fast was found without its compiled module" in done.stderr
    assert "run from another folder, or install for development" in done.stderr


def test_names_are_listed_before_they_are_imported():
    assert set(lmmlasso_fast.__all__) <= set(dir(lmmlasso_fast))
    assert dir(lmmlasso_fast) == sorted(dir(lmmlasso_fast))


def test_pipelines_are_in_no_default_extra():
    extras = _PROJECT["project"]["optional-dependencies"]
    assert any(line.startswith("snakemake") for line in extras["pipelines"])
    for name in extras.keys() - {"pipelines"}:
        assert not any(line.startswith(("snakemake", "multiqc")) for line in extras[name]), name

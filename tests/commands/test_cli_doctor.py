"""The command line: doctor, completion, help, and names that were misspelt."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from cli_files import lmmlasso
from click.testing import CliRunner

import lmmlasso_fast
from lmmlasso_fast import _core
from lmmlasso_fast.cli import main
from lmmlasso_fast.cli.examples import EXAMPLES
from lmmlasso_fast.threads import available_threads

pytestmark = pytest.mark.promise("options")

ROOT = Path(__file__).resolve().parents[2]
module = import_module("lmmlasso_fast.cli.doctor")


def doctor(code=0):
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == code, result.output
    return result.stdout


# --- doctor --------------------------------------------------------------------------------------


def test_doctor():
    text = doctor()
    assert re.search(rf"^lmmlasso +{lmmlasso_fast.__version__}$", text, re.MULTILINE)
    assert re.search(rf"^kernels +{_core.kernels_name()} \(", text, re.MULTILINE)
    assert f"available: {', '.join(_core.available_kernels())}" in text
    assert re.search(r"^BLAS +\w+", text, re.MULTILINE)
    assert f"{available_threads()} for this process" in text
    assert re.search(r"^memory +[\d.]+ GB in the machine", text, re.MULTILINE)
    assert re.search(r"^packages +numpy \d.*polars \d", text, re.MULTILINE)
    assert re.search(r"^extra sklearn +scikit-learn \d", text, re.MULTILINE)
    gap = re.search(r"largest relative duality gap (\S+), error of X'v (\S+)$", text, re.MULTILINE)
    assert float(gap[1]) <= 1e-6
    assert float(gap[2]) <= 1e-4
    assert text.endswith("all is well\n")
    assert "extra test" not in text


def test_doctor_uses_the_kernels_in_use(isa):
    _core.select_kernels(isa)
    assert re.search(rf"^kernels +{isa} \(", doctor(), re.MULTILINE)


def test_gaps_that_are_too_large(monkeypatch):
    monkeypatch.setattr(module, "_TOL", 0.0)
    monkeypatch.setattr(module, "_PASS_ERROR", -1.0)
    text = doctor(code=1)
    assert "problem: self-check: expected duality gaps of at most 0, found" in text
    assert "problem: self-check: expected X'v as in float64" in text
    assert text.endswith("something is wrong, see above\n")


def test_a_self_check_that_fails(monkeypatch):
    def broken(*_):
        raise ValueError("no luck")

    monkeypatch.setattr(module, "_self_check", broken)
    text = doctor(code=1)
    assert "problem: self-check: expected a solution, found ValueError('no luck')" in text
    assert "memory" in text


def test_absent_and_old_packages(monkeypatch):
    versions = {"numpy": "1.26.4", "polars": None, "scikit-learn": None}
    real = module._version
    monkeypatch.setattr(module, "_version", lambda name: versions.get(name, real(name)))
    text = doctor(code=1)
    assert 'expected version 2.0 or later, found 1.26.4; pip install "numpy>=2.0"' in text
    assert re.search(r"polars: expected version .* found none", text)
    assert re.search(r'extra sklearn +absent: pip install "lmmlasso-fast\[sklearn\]"', text)


def test_an_extra_of_several_packages_has_one_line(monkeypatch):
    needed = ['numpy>=1.0; extra == "two"', 'nowhere>=1; extra == "two"']
    monkeypatch.setattr(module, "requires", lambda _: needed)
    lines = [line for line in doctor().splitlines() if line.startswith("extra two")]
    [line] = lines
    assert re.search(r"numpy \d\S*, nowhere absent: pip install", line)


def test_requirements_of_other_pythons(monkeypatch):
    needed = ["new>=1; python_version < '3.0' and extra == \"zstd\"", "numpy>=1.0"]
    monkeypatch.setattr(module, "requires", lambda _: needed)
    assert "extra zstd" not in doctor()


def group(root, **files):
    """A tree of control groups: {path: content}, with __ for / and _dot_ for a dot."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("files", "processors", "memory"),
    [
        ({}, None, None),
        (
            {
                "proc__self__cgroup": "0::/a/b\n",
                "sys__fs__cgroup__a__cpu_dot_max": "150000 100000\n",
                "sys__fs__cgroup__a__b__cpu_dot_max": "max 100000\n",
                "sys__fs__cgroup__a__b__memory_dot_max": "2000000000\n",
                "sys__fs__cgroup__a__memory_dot_max": "max\n",
            },
            1.5,
            2_000_000_000,
        ),
        (
            {
                "proc__self__cgroup": "4:memory:/x\n3:cpu,cpuacct:/x\n",
                "sys__fs__cgroup__cpu__x__cpu_dot_cfs_quota_us": "200000\n",
                "sys__fs__cgroup__cpu__x__cpu_dot_cfs_period_us": "100000\n",
                "sys__fs__cgroup__cpu__cpu_dot_cfs_quota_us": "-1\n",
                "sys__fs__cgroup__memory__x__memory_dot_limit_in_bytes": f"{2**63 - 4096}\n",
                "sys__fs__cgroup__memory__memory_dot_limit_in_bytes": "1000\n",
            },
            2.0,
            1000,
        ),
    ],
)
def test_limits_of_control_groups(tmp_path, files, processors, memory):
    root = group(tmp_path, **files)
    assert module.processor_limit(root) == processors
    assert module.memory_limit(root) == memory


def test_a_limit_below_the_processors(monkeypatch):
    monkeypatch.setattr(module, "processor_limit", lambda: 0.5)
    monkeypatch.setattr(module, "memory_limit", lambda: 48_000_000)
    text = doctor()
    assert "a control group allows 0.5" in text
    assert "give --threads 1: more wait for each other" in text
    assert "half of it holds the matrices of 707 samples" in text


# --- completion ----------------------------------------------------------------------------------


def test_completion():
    for shell in ("bash", "zsh", "fish"):
        script = CliRunner().invoke(main, ["completion", shell])
        assert script.exit_code == 0
        assert "_LMMLASSO_COMPLETE" in script.stdout
    refused = CliRunner().invoke(main, ["completion", "tcsh"])
    assert refused.exit_code == 2


def completed(words, *, shell="bash"):
    """What a shell is offered for the last word."""
    count = len(words.split(" ")) - 1
    environment = {
        **os.environ,
        "_LMMLASSO_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(count),
    }
    result = CliRunner().invoke(main, [], env=environment, prog_name="lmmlasso")
    return result.stdout.split()


def test_what_is_completed():
    assert completed("lmmlasso sta") == ["plain,stability"]
    assert completed("lmmlasso fit --n-al") == ["plain,--n-alphas"]
    assert completed("lmmlasso fit --transform box") == ["plain,boxcox"]
    assert completed("lmmlasso fit --pheno mou") == ["file,mou"]
    assert completed("lmmlasso merge --out mou") == ["file,mou"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_script_is_bash():
    script = CliRunner().invoke(main, ["completion", "bash"]).stdout
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(main.commands))
def test_examples(name):
    """Every command has some; they are in its help as they are, and click accepts the flags."""
    text = CliRunner().invoke(main, [name, "--help"]).stdout
    assert "Examples:" in text
    for what, line in EXAMPLES[name]:
        assert f"  # {what}\n" in text
        assert f"  {line}\n" in text
        if "$(" in line:
            continue
        program, command, *arguments = shlex.split(line.partition(" > ")[0])
        assert (program, command) == ("lmmlasso", name)
        if "--config" in arguments:  # a file that is not there
            k = arguments.index("--config")
            del arguments[k : k + 2]
        main.commands[name].make_context(name, arguments)


def test_no_examples_of_commands_that_there_are_not():
    assert set(EXAMPLES) == set(main.commands)


def test_the_page_is_what_the_program_says():
    path = ROOT / "docs" / "command_line.py"
    spec = importlib.util.spec_from_file_location("command_line", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.page()
    assert path.with_suffix(".md").read_text() == page, "run python docs/command_line.py"
    for name, command in main.commands.items():
        section = page.split(f"## lmmlasso {name}\n")[1].split("\n## ")[0]
        for option in command.params:
            if isinstance(option, click.Option):
                assert f"| `{', '.join([*option.opts, *option.secondary_opts])}` |" in section


# --- misspelt ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stabilty"], "No such command 'stabilty'. Did you mean stability?"),
        (["Fit"], "No such command 'Fit'. Did you mean fit?"),
        (["xyz"], "No such command 'xyz'. lmmlasso --help lists them."),
        (["fit", "--phenno", "x"], "--pheno"),
        (["fit", "--transform", "boxcocks"], "'boxcox'"),
    ],
)
def test_misspelt(arguments, message):
    assert message in lmmlasso(*arguments, code=2)


def test_a_command_is_imported_when_it_is_asked_for():
    code = (
        "import sys; from lmmlasso_fast.cli import main; main(['null', '--help'], "
        "standalone_mode=False); print('lmmlasso_fast.cli.null' in sys.modules, "
        "'lmmlasso_fast.cli.cv' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout.split()[-2:] == ["True", "False"]

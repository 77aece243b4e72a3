"""The types that the package promises (py.typed) are there, and are what they say."""

import ast
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lmmlasso_fast as ll
from lmmlasso_fast import _core, compat, error_bounds, evaluation, simulation
from lmmlasso_fast.dense import DenseGenotypes
from lmmlasso_fast.lazy import computed_once
from lmmlasso_fast.packed import PackedGenotypes

PACKAGE = Path(ll.__file__).parent

#: Each must be an error: what is attributed to a result is known, not Any.
WRONG = """
import numpy as np
import lmmlasso_fast as ll
genotypes = ll.read_plink("mouse")
null = ll.fit_null(np.ones(3), ll.kinship(genotypes))
null.heritability
ll.kinship(genotypes, method="ibs")
ll.association_scan(genotypes, np.ones(3)).log10p.means()
ll.stability_selection(genotypes, np.ones(3), n_replicates="many")
ll.Kinship.from_matrix(np.eye(3)).spectrum.values
ll.cross_validation_of
"""


def test_type_checker(tmp_path):
    """mypy --strict accepts what users write and refuses what is wrong."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("needs mypy: pip install 'lmmlasso-fast[test]'")
    example = Path(__file__).with_name("typing_example.py")
    (tmp_path / "typing_example.py").write_text(example.read_text())
    (tmp_path / "wrong.py").write_text(WRONG)
    environment = dict(os.environ)
    root = PACKAGE.parent
    if (root / "pyproject.toml").exists():  # an editable installation, which mypy does not find
        environment["MYPYPATH"] = str(root)
    mypy = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--no-color-output",
    ]
    files = ["typing_example.py", "wrong.py"]
    done = subprocess.run(
        [*mypy, "--cache-dir", str(tmp_path / "cache"), "--no-error-summary", *files],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    found = [line.split(": error: ") for line in done.stdout.splitlines() if ": error: " in line]
    in_example = [line for line in found if not line[0].startswith("wrong.py")]
    assert not in_example, done.stdout
    expected = range(6, len(WRONG.splitlines()) + 1)
    assert {where.split(":")[1] for where, _ in found} == {str(k) for k in expected}, done.stdout


def test_marker_and_stubs_are_installed():
    assert (PACKAGE / "py.typed").exists()
    assert {path.name for path in PACKAGE.glob("*.pyi")} == {"_core.pyi", "compat.pyi"}


# ---- the stubs ----------------------------------------------------------------------------------


def stub(name):
    """{function or Class.method: its argument names} and the constants, of a .pyi."""
    functions, constants = {}, set()

    def add(prefix, node):
        a = node.args
        every = [*a.args, *a.kwonlyargs, *([a.kwarg] if a.kwarg else [])]
        functions[prefix + node.name] = [argument.arg for argument in every]

    for node in ast.parse((PACKAGE / name).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            add("", node)
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                add(f"{node.name}.", method)
        elif isinstance(node, ast.AnnAssign) and node.value is None:
            constants.add(node.target.id)
    return functions, constants


@pytest.mark.parametrize(("module", "name"), [(_core, "_core.pyi"), (compat, "compat.pyi")])
def test_stub_is_of_the_module(module, name):
    functions, constants = stub(name)
    public = {name: value for name, value in vars(module).items() if name[0] != "_"}
    own = {
        name
        for name, value in public.items()
        if getattr(value, "__module__", "") == module.__name__
    }
    assert own == {name.split(".")[0] for name in functions}
    assert constants == {name for name, value in public.items() if isinstance(value, int)}
    for name, arguments in functions.items():
        if name.endswith("__init__"):
            continue
        value = module
        for part in name.split("."):
            value = getattr(value, part)
        assert list(inspect.signature(value).parameters) == arguments, name


# ---- the package ---------------------------------------------------------------------------------


def test_type_checkers_see_what_is_imported_on_demand():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    [block] = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = {
        node.module.removeprefix("lmmlasso_fast").removeprefix("."): {
            name.name for name in node.names
        }
        for node in block.body
    }
    assert seen.pop("") == set(ll._MODULES)
    assert seen == {module: set(names) for module, names in ll._ON_DEMAND.items()}


def public_callables():
    """(name, function, whether it has a self) of all public functions, methods and properties."""
    namespaces = [(ll, ll.__all__), (simulation, simulation.__all__)]
    for module in (evaluation, error_bounds):
        own = [
            name
            for name, value in vars(module).items()
            if name[0] != "_" and getattr(value, "__module__", "") == module.__name__
        ]
        namespaces.append((module, own))
    values = {getattr(module, name) for module, names in namespaces for name in names}
    values |= {PackedGenotypes, DenseGenotypes}
    for value in values:
        if inspect.isfunction(value):
            yield value.__qualname__, value, False
        elif inspect.isclass(value):
            for cls in value.__mro__:
                if cls.__module__.startswith("lmmlasso_fast"):
                    yield from _members(cls)


def _members(cls):
    for name, member in vars(cls).items():
        if name[0] == "_" and name != "__init__":
            continue
        function = member
        if isinstance(member, property):
            function = member.fget
        elif isinstance(member, computed_once):
            function = member._function
        elif isinstance(member, classmethod | staticmethod):
            function = member.__func__
        if inspect.isfunction(function):
            yield f"{cls.__name__}.{name}", function, not isinstance(member, staticmethod)


FUNCTIONS = {name: (function, method) for name, function, method in public_callables()}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_public_function_is_annotated(name):
    function, method = FUNCTIONS[name]
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[int(method) :]
    absent = [p.name for p in parameters if p.annotation is inspect.Parameter.empty]
    assert not absent
    if not name.endswith("__init__"):
        assert signature.return_annotation is not inspect.Signature.empty

"""Every number and choice of the command line: at its bounds, past them, and odd texts."""

import click
import pytest
from cli_files import lmmlasso
from click.testing import CliRunner

from lmmlasso_fast.cli import main
from lmmlasso_fast.cli.options import Finite, Numbers
from lmmlasso_fast.cli.stability import Replicates

pytestmark = pytest.mark.promise("options")

#: Texts that are no number for any flag.
NO_NUMBERS = (
    *("", "x", "nan", "NaN", "-nan", "inf", "-inf", "Infinity", "1e400", "-1e400", "true", "True"),
    *("False", "None", "null", "NA", "1,5x", "0x10", "--", "1 2", "1/2", "[1]", "1;2", "=1", "1%"),
    *(" ", " 1", "1 ", "1\n", "0.5\t", "1_0", "0_1", "1j", "\xbd", "\uff11", "\u0663", "1\u200b"),
    "\x1b[1m1",
)
_HUGE = "1" + "0" * 30


def numeric_flags():
    """(command, flag) of all that take a number, or one of some words."""
    return [
        (name, p)
        for name, command in main.commands.items()
        for p in command.params
        if isinstance(p, click.Option)
        and isinstance(
            p.type, click.IntRange | Finite | Numbers | Replicates | click.Choice | type(click.INT)
        )
    ]


FLAGS = numeric_flags()
IDS = [f"{name} {p.opts[0]}" for name, p in FLAGS]


def bounds_of(type_) -> tuple[list[str], list[str]]:
    """(texts at a bound and inside, texts past one)"""
    if isinstance(type_, click.Choice):
        return list(type_.choices), ["", "x", type_.choices[0].swapcase(), f"{type_.choices[0]} "]
    if isinstance(type_, Replicates):
        return ["1", "0:1", "3:9"], ["0", "-1", "4:4", "5:4", "-1:3", "1.5", ":", "a:b", _HUGE]
    if isinstance(type_, Numbers):
        return ["1e-300", "0.1,0.2", "1e308"], ["0", "-0.0", "-1", "0.1,,0.2", "0.1,nan", ","]
    low, high = getattr(type_, "min", None), getattr(type_, "max", None)
    if isinstance(type_, click.IntRange):
        assert high is None
        return [str(low), str(low + 1)], [str(low - 1), f"{low}.0", "-" + _HUGE]
    accepted, refused = ["0.6"] if low != -40 else ["0", "-0.0"], []
    if high is not None and high < 0.6:
        accepted = ["0.3"]
    for bound, is_open, step in (
        (low, getattr(type_, "min_open", False), -1e-9),
        (high, getattr(type_, "max_open", False), 1e-9),
    ):
        if bound is not None:
            (refused if is_open else accepted).append(str(bound))
            refused.append(repr(bound + step))
            if bound > 0 and step < 0:
                refused += ["0", repr(0.9 * bound)]
    return accepted, refused


def parsed(name, flag, value):
    """What the command makes of the value; it is not run."""
    command = main.commands[name]
    with command.make_context(name, [flag, value], resilient_parsing=False) as context:
        return context.params


@pytest.mark.parametrize(("name", "parameter"), FLAGS, ids=IDS)
def test_at_and_past_the_bounds(name, parameter, tmp_path, tally):
    accepted, refused = bounds_of(parameter.type)
    if not isinstance(parameter.type, click.Choice):
        refused = [*refused, *NO_NUMBERS]
        if isinstance(parameter.type, Numbers):  # a list may have blanks
            refused = [text for text in refused if text.strip() == text or not text.strip()]
    flag, n = parameter.opts[0], 0
    for value in refused:
        arguments = [name, flag, value, "--out", str(tmp_path / "P")]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2, f"{value!r}: {result.output}"
        assert flag in result.output, f"{value!r}: {result.output}"
        assert "Traceback" not in result.output
        assert not list(tmp_path.iterdir())
        n += 1
    for value in accepted:
        # what else the command needs is missing: the flag's own value is not complained of
        result = CliRunner().invoke(main, [name, flag, value])
        assert f"Invalid value for '{flag}'" not in result.output, f"{value!r}: {result.output}"
        n += 1
    tally(cases=n)


#: {command: arguments of a short run} with which integers of thirty digits are tried.
def runs(small):
    few = ["--n-alphas", 3]
    return {
        "fit": [*small.base, *few],
        "cv": [*small.base, *few, "--folds", 2],
        "stability": [*small.base, *few, "--replicates", 2],
        "simulate": ["--n-samples", 20, "--n-variants", 30],
    }


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        pytest.param(name, p, id=f"{name} {p.opts[0]}")
        for name, p in FLAGS
        if isinstance(p.type, click.IntRange) and name in ("fit", "cv", "stability", "simulate")
    ],
)
def test_integers_of_thirty_digits(small, tmp_path, name, parameter):
    flag = parameter.opts[0]
    arguments = [name, *runs(small)[name], flag, _HUGE, "--out", tmp_path / "P"]
    if parameter.name == "n_draws":
        arguments += ["--fwer", 0.1]
    result = CliRunner().invoke(main, [str(part) for part in arguments])
    assert result.exit_code in (0, 2, 3), result.output
    assert "Traceback" not in result.output
    if result.exit_code:
        assert flag in result.output


def test_numbers_at_their_bounds_give_results(small, tmp_path):
    """Of each flag of `fit` that filters or fits, a value at its bound, in whole runs."""
    for number, arguments in enumerate(
        (
            ["--maf", 0, "--geno", 1, "--mind", 1],
            ["--maf", "-0.0", "--tol", "-0.0", "--max-active", 0],
            ["--n-alphas", 1, "--l1-ratio", 1],
            ["--log-delta", -40],
            ["--log-delta", 40],
            ["--eps", 0.999999999, "--n-alphas", 2],
        )
    ):
        lmmlasso("fit", *small.base, *arguments, "--out", tmp_path / f"P{number}")

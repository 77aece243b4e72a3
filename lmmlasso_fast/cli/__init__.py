"""The command line, `lmmlasso`: one module for every subcommand."""

from collections.abc import Iterator, Mapping
from importlib import import_module

import click

from lmmlasso_fast import __version__

#: The module of every subcommand.
_ALIKE = (
    *("cv", "demo", "fit", "kinship", "null", "predict"),
    *("report", "scan", "simulate", "stability"),
)
_MODULES = {name: name for name in _ALIKE} | {"merge": "stability"}


class _Commands(Mapping):
    """Subcommands by name, each imported when it is asked for: none waits for the others."""

    def __getitem__(self, name: str) -> click.Command:
        return getattr(import_module(f"lmmlasso_fast.cli.{_MODULES[name]}"), name)

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


@click.group(commands=_Commands(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lmmlasso")
def main():
    """LMM-Lasso: a Lasso over all SNPs plus a kinship random effect.

    Results go to files that start with --out; P.log and P.run.json say what was done. Exit codes:
    0 ok, 2 usage, 3 bad input, 4 not converged (with --strict), 5 output, 70 internal error, 130
    interrupted, 143 terminated.
    """

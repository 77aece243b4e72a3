"""The command line, `lmmlasso`: one module for every subcommand."""

from collections.abc import Iterator, Mapping
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from lmmlasso_fast import __version__
from lmmlasso_fast.cli.examples import epilog
from lmmlasso_fast.cli.exit_codes import stopped_by
from lmmlasso_fast.signals import answering
from lmmlasso_fast.suggestions import did_you_mean

#: The module of every subcommand.
_ALIKE = ("completion", "cv", "demo", "doctor", "fit", "kinship", "multiqc")
_ALIKE += ("null", "plot", "predict", "report", "run", "scan", "simulate", "stability")
_MODULES = {name: name for name in _ALIKE} | {"merge": "stability"}


#: How help names files, and prefixes of these.
_PATHS = frozenset(["FILE", "PREFIX", "P"])


class _Path(click.types.StringParamType):
    """Text that shells complete as the name of a file."""

    def shell_complete(self, ctx, param, incomplete):
        return [CompletionItem(incomplete, type="file")]


_path = _Path()


class _Group(click.Group):
    """Subcommands; one that there is not is told with those of like names."""

    def resolve_command(self, ctx, args):
        if args and not ctx.resilient_parsing and args[0] not in self.commands:
            near = did_you_mean(args[0], self.commands)
            ctx.fail(f"No such command {args[0]!r}.{near or ' lmmlasso --help lists them.'}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx):
        """While a subcommand is imported or its flags are read, Ctrl-C is no less an interrupt."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, RuntimeError) as error:
            # Python 3.11 has a RuntimeError for whatever is raised while a class gets its names
            cause = error if isinstance(error, KeyboardInterrupt) else error.__cause__
            if not isinstance(cause, KeyboardInterrupt):
                raise
            code, state = stopped_by(cause)
            click.echo(f"error: {state}", err=True)
            ctx.exit(code)


class _Commands(Mapping):
    """Subcommands by name, each imported when it is asked for: none waits for the others."""

    def __getitem__(self, name: str) -> click.Command:
        command = getattr(import_module(f"lmmlasso_fast.cli.{_MODULES[name]}"), name)
        command.epilog = epilog(name)
        for parameter in command.params:
            if parameter.metavar in _PATHS:
                parameter.type = _path
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


@click.group(
    cls=_Group,
    commands=_Commands(),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="First steps: lmmlasso demo, then lmmlasso run --help. Is all well? lmmlasso doctor.",
)
@click.version_option(__version__, prog_name="lmmlasso")
def main():
    """LMM-Lasso: a Lasso over all SNPs plus a kinship random effect.

    Results go to files that start with --out; P.log and P.run.json say what was done. Exit codes:
    0 ok, 2 usage, 3 bad input, 4 not converged (with --strict), 5 output, 70 internal error, 130
    interrupted, 143 terminated.
    """


def program() -> None:
    """The script `lmmlasso`: the command line in a process that ends with it.

    Signals are ignored from the moment at which the exit code is decided: none that comes while
    Python ends may change what has been recorded.
    """
    with answering(for_good=True):
        main(prog_name="lmmlasso", obj={"owns_process": True})

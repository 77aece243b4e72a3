"""`lmmlasso completion`: the script that lets a shell complete commands and flags."""

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell):
    """Print the script for tab completion in a shell.

    It asks the program itself: no need to make it again after an update.

    \b
    bash, in ~/.bashrc:  eval "$(lmmlasso completion bash)"
    zsh, in ~/.zshrc:    eval "$(lmmlasso completion zsh)"
    fish:                lmmlasso completion fish > ~/.config/fish/completions/lmmlasso.fish
    """
    from lmmlasso_fast.cli import main

    script = get_completion_class(shell)(main, {}, "lmmlasso", "_LMMLASSO_COMPLETE")
    click.echo(script.source())

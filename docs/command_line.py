"""Write docs/command_line.md: every command and flag, from the program itself.

python docs/command_line.py
"""

from pathlib import Path

import click

from lmmlasso_fast.cli import main
from lmmlasso_fast.cli.examples import EXAMPLES

PAGE = Path(__file__).with_suffix(".md")

_START = """# Commands and flags

Made by `python docs/command_line.py` from the program: change the help texts there, not this page.
`lmmlasso COMMAND --help` prints the same. The whole analysis in one command: [run.md](run.md).
"""


def page() -> str:
    """Return the page's content."""
    parts = [_START, f"{_prose(main.help)}\n"]
    for name, command in sorted(main.commands.items()):
        parts.append(_section(name, command))
    return "\n".join(parts)


def _section(name: str, command: click.Command) -> str:
    lines = [f"## lmmlasso {name}", "", _prose(command.help), "", "```sh"]
    for what, example in EXAMPLES[name]:
        lines += [f"# {what}", example]
    lines += ["```", ""]
    rows = [_row(parameter) for parameter in command.params]
    if rows:
        lines += ["| flag | value | default | what |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        flags, text = parameter.human_readable_name, ""
    else:
        flags = ", ".join([*parameter.opts, *parameter.secondary_opts])
        text = parameter.help
    default = ""
    if getattr(parameter, "show_default", False):
        shown = parameter.default
        default = ", ".join(shown) if isinstance(shown, list | tuple) else str(shown)
    if parameter.required:
        default = "needed"
    cells = [f"`{flags}`", _value(parameter), default, " ".join(text.split())]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _value(parameter: click.Parameter) -> str:
    """Return what a flag takes."""
    kind = parameter.type
    if getattr(parameter, "is_flag", False):
        return ""
    if isinstance(kind, click.Choice):
        return ", ".join(kind.choices)
    if parameter.metavar:
        return f"`{parameter.metavar}`"
    if isinstance(kind, click.IntRange):
        return f"integer, {_range(kind)}" if _range(kind) else "integer"
    if isinstance(kind, click.FloatRange):
        return f"number, {_range(kind)}" if _range(kind) else "number"
    return "number" if isinstance(kind, click.types.FloatParamType) else "text"


def _range(kind) -> str:
    low = "" if kind.min is None else f"{'>' if kind.min_open else '≥'} {kind.min}"
    high = "" if kind.max is None else f"{'<' if kind.max_open else '≤'} {kind.max}"
    return " and ".join(filter(None, [low, high]))


def _prose(text: str) -> str:
    """Return paragraphs as lines; what click must not wrap is code."""
    paragraphs = []
    for paragraph in text.strip().split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines()]
        if lines[0] == "\b":
            paragraphs.append("\n".join(["```sh", *lines[1:], "```"]))
        else:
            paragraphs.append(" ".join(lines))
    return "\n\n".join(paragraphs)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

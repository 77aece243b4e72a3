"""Flags from a TOML file: the keys are the flags' names without the dashes before them."""

import json
import tomllib
from pathlib import Path

import click

from lmmlasso_fast.io.regular import require_regular
from lmmlasso_fast.suggestions import did_you_mean

#: Flags that are about the file, or about one call and not about the analysis.
_NOT_IN_FILES = frozenset(["config", "write_config", "resume", "help"])
#: What a value may be besides true, false and lists.
_PLAIN = (str, int, float)


def keys_of(command: click.Command) -> dict[str, click.Option]:
    """Return the flags that a file may set by their names; aliases are no keys."""
    return {
        parameter.opts[0].removeprefix("--"): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.name not in _NOT_IN_FILES
    }


def read_config(context: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Have a file's values stand where the command line has none: the callback of --config.

    Raises
    ------
    click.UsageError
        The file cannot be read or is no TOML, has a key that is no flag, or a value that the flag
        does not take.
    """
    if path is None:
        return None
    content = _read_toml(path)
    keys = keys_of(context.command)
    defaults = defaults_of(context.command)
    chosen = {}
    for key, value in content.items():
        if key not in keys:
            raise click.UsageError(
                f"{path}: expected names of flags as keys, found {key!r}; correct it, lmmlasso "
                f"{context.command.name} --help lists them.{did_you_mean(key, keys)}"
            )
        option = keys[key]
        given = _as_given(path, key, value, option)
        try:
            converted = option.type_cast_value(context, given)
        except click.BadParameter as error:
            raise click.UsageError(f"{path}: {key}: {error.message}") from error
        if converted != defaults[option.name]:  # else it would count as asked for
            chosen[option.name] = given
    context.default_map = chosen
    return path


def defaults_of(command: click.Command) -> dict:
    """Return the value of every flag that is not given."""
    return command.make_context(command.name, []).params


def config_text(command: click.Command, flags: dict) -> str:
    """Return the TOML file that sets these flags; the ones without a value are comments."""
    lines = []
    for key, option in keys_of(command).items():
        value = flags[option.name]
        lines.append(f"# {option.help}")
        # an empty list says as much as no list
        absent = value is None or value == ()
        lines += [f"# {key} =" if absent else f"{key} = {_as_toml(value)}", ""]
    return "\n".join(lines).rstrip("\n")


def _read_toml(path: str) -> dict:
    try:
        require_regular(path)
        return tomllib.loads(Path(path).read_bytes().decode("utf-8"))
    except OSError as error:
        found = error.strerror
    except UnicodeDecodeError:
        found = "bytes that are not UTF-8"
    except RecursionError:
        found = "values nested too deeply"
    except ValueError as error:  # not TOML, or a number of thousands of digits
        found = str(error)
    raise click.UsageError(f"{path}: expected a TOML file, found {found}; correct the file")


def _as_given(path: str, key: str, value, option: click.Option):
    """Return a value as the command line would have it: text, which the flag then checks."""
    wanted = "true or false" if option.is_flag else "text, a number or a list of these"
    items = value if isinstance(value, list) else [value]
    if option.is_flag:
        if isinstance(value, bool):
            return value
    elif items and all(isinstance(item, _PLAIN) and not isinstance(item, bool) for item in items):
        texts = [item if isinstance(item, str) else repr(item) for item in items]
        if "\0" in "".join(texts):
            raise click.UsageError(
                f"{path}: {key}: expected {wanted}, found a NUL in it; correct the value"
            )
        return texts if option.multiple else ",".join(texts)
    raise click.UsageError(f"{path}: {key}: expected {wanted}, found {value!r}; correct the value")


def _as_toml(value) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_as_toml, value))}]"
    if isinstance(value, bool | str):
        # JSON's strings are TOML's but for one character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)

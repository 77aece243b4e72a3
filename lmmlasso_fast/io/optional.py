"""Packages that only some file formats need."""

from importlib import import_module
from types import ModuleType


def optional(module: str, extra: str, what: str) -> ModuleType:
    """Import a package of an extra.

    Raises
    ------
    ImportError
        It is not installed; the message names the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} needs the package {module}, which is not installed; "
            f"run: pip install 'lmmlasso-fast[{extra}]'"
        ) from error

"""A case as bytes: a line with the name of the target, then its files, in the target's order."""

from pathlib import Path

#: Between two files.
SEPARATOR = b"\n%%\n"
#: In place of a file that is not there.
ABSENT = b"%absent%"


def pack(name: str, files: list[bytes]) -> bytes:
    """The case of these files."""
    return name.encode() + b"\n" + SEPARATOR.join(files)


def unpack(case: bytes) -> tuple[str, list[bytes]]:
    """The target's name, which may be no name at all, and the files."""
    name, _, rest = case.partition(b"\n")
    return name.decode("ascii", "replace"), rest.split(SEPARATOR)


def write(prefix: Path, suffixes: tuple[str, ...], files: list[bytes]) -> None:
    """Write PREFIX.suffix for each file there is."""
    for suffix, content in zip(suffixes, files, strict=False):
        if content != ABSENT:
            Path(f"{prefix}{suffix}").write_bytes(content)

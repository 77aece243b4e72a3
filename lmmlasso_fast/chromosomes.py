"""The order of chromosomes: 2 before 10, numbers before X."""

import re


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return what names are sorted by so that the numbers in them count as numbers.

    Of two numbers the longer one is larger, and of two as long what is larger as text: `int`
    refuses more than 4,300 digits. Equal numbers (1 and 01) are in the order of the text.
    """
    parts = re.split(r"0*([0-9]+)", name)
    key = [(0, len(part), part) if k % 2 else (1, 0, part) for k, part in enumerate(parts) if part]
    return key, name

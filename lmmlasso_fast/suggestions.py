"""Names that were misspelt: what there is instead, the most alike first."""

from collections.abc import Callable, Iterable
from difflib import SequenceMatcher, get_close_matches

#: So many names are listed.
_MOST = 20


def listed(name: str, available: Iterable[str], show: Callable[[str], str] = str) -> str:
    """Return names that there are as text, those most like `name` first; case does not count.

    `show` is what is made of each for the message.
    """

    def likeness(other: str) -> float:
        return SequenceMatcher(None, name.lower(), other.lower()).ratio()

    ordered = sorted(available, key=likeness, reverse=True)
    more = f" and {len(ordered) - _MOST} more" if len(ordered) > _MOST else ""
    return ", ".join(map(show, ordered[:_MOST])) + more


def did_you_mean(name: str, available: Iterable[str]) -> str:
    """Return " Did you mean a or b?" of the names that are much like `name`; empty if none is."""
    spelt = {other.lower(): other for other in available}
    found = [spelt[key] for key in get_close_matches(name.lower(), spelt)]
    return f" Did you mean {' or '.join(found)}?" if found else ""

"""Finished units of a study, on disk: a study that was interrupted goes on where it was."""

import json
from pathlib import Path


class Store:
    """A dict of JSON objects that is in its file before `put` returns.

    Parameters
    ----------
    path : Path
        One line per unit; what a kill left of the last line is cut off.
    """

    def __init__(self, path: Path):
        self._path = path
        self._units: dict[str, dict] = {}
        if not path.exists():
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        for line in whole.splitlines():
            unit = json.loads(line)
            self._units[unit["key"]] = unit["value"]
        if len(whole) < len(content):
            path.write_bytes(whole)

    def get(self, key: str) -> dict | None:
        """Return a unit, None if it is still to be done."""
        return self._units.get(key)

    def put(self, key: str, value: dict) -> None:
        """Keep a finished unit."""
        with self._path.open("a") as file:
            file.write(json.dumps({"key": key, "value": value}) + "\n")
        self._units[key] = value

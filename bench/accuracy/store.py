"""Finished units of a study, on disk: a study that was interrupted goes on where it was."""

import hashlib
import json
import time
from pathlib import Path

import lmmlasso_fast


class OtherRun(Exception):
    """The file has units of other data, other settings or other code."""


class Store:
    """A dict of JSON objects that is in its file before `put` returns.

    Parameters
    ----------
    path : Path
        One line per unit; what a kill left of the last line is cut off. The first line says what
        the units are of.
    fingerprint : str
        Of data, settings and code.

    Raises
    ------
    OtherRun
        The file has another fingerprint.
    """

    def __init__(self, path: Path, fingerprint: str):
        self._path = path
        self._units: dict[str, dict] = {}
        self._start = time.perf_counter()
        self._before = 0.0
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        head, *lines = map(json.loads, whole.splitlines() or [b"null"])
        if head is None:
            path.write_text(json.dumps({"fingerprint": fingerprint}) + "\n")
            return
        if head.get("fingerprint") != fingerprint:
            raise OtherRun(
                f"{path}: expected units of these data, settings and sources, found those of "
                "others; delete the file, or take another --work"
            )
        for line in lines:
            self._units[line["key"]] = line["value"]
            self._before = line["seconds"]
        if len(whole) < len(content):
            path.write_bytes(whole)

    @property
    def seconds(self) -> float:
        """What the study has taken: this run, and earlier ones up to their last finished unit."""
        return self._before + time.perf_counter() - self._start

    def get(self, key: str) -> dict | None:
        """Return a unit, None if it is still to be done."""
        return self._units.get(key)

    def put(self, key: str, value: dict) -> None:
        """Keep a finished unit."""
        line = {"key": key, "value": value, "seconds": round(self.seconds, 3)}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._units[key] = value


def fingerprint(data: Path | None) -> str:
    """Return a hash of the studies' sources, the package's version and modules, and the data.

    Settings are constants of the sources. `data` is the folder of the real data, if it is known.
    """
    here = Path(__file__).parent
    package = Path(lmmlasso_fast.__file__).parent
    files = [*here.glob("*.py"), *package.rglob("*.py")]
    if data is not None:
        files += [path for path in data.rglob("*") if path.is_file()]
    found = hashlib.sha256(lmmlasso_fast.__version__.encode())
    for path in sorted(files):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()

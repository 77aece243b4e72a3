"""What `lmmlasso run` has finished: P.steps.json, by which --resume knows what need not be redone.

A step counts as done if it was done by this version, from the same files and flags, and if its
result files are still the ones that it wrote.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from lmmlasso_fast.cli.recording import Run, file_fingerprint
from lmmlasso_fast.errors import InputError
from lmmlasso_fast.io.regular import require_regular
from lmmlasso_fast.io.results import write_json
from lmmlasso_fast.io.text import failure

_FORMAT = "lmmlasso steps 1"


class FinishedSteps:
    """The finished steps of one phenotype, in OUT.PREFIXsteps.json.

    Parameters
    ----------
    run : Run
    prefix : str
        Of the phenotype's files.
    resume : bool
        Whether to begin with those that the file has.

    Raises
    ------
    InputError
        The file is none of ours.
    """

    def __init__(self, run: Run, prefix: str, *, resume: bool):
        self._run = run
        self.path = Path(f"{run.out}.{prefix}steps.json")
        self._before = {}
        if self.path.exists():
            with nullcontext() if resume else suppress(InputError):
                self._before = _read(self.path)
        self._steps = dict(self._before) if resume else {}

    def leave_out_others(self, steps: Sequence[str], belongs_to: Callable[[str], dict]) -> None:
        """Have the files of steps that are not taken removed, if they are of other data.

        `belongs_to(step)` is what the step would have now. Of the same data they stay: steps may
        be taken one after the other.
        """
        for step, known in self._before.items():
            if step in steps:
                continue
            before, now = known["belongs_to"], belongs_to(step)
            if any(before.get(name) != now[name] for name in ("phenotype", "samples", "inputs")):
                self._steps.pop(step, None)
                for suffix in known["files"]:
                    self._run.leave_out(suffix)

    def exit_code_of(self, step: str, belongs_to: dict) -> int | None:
        """Return the exit code of a step that is done; None, with the reason, if it is not."""
        if step not in self._steps:
            return None
        known = self._steps[step]
        changed = _changed(known["belongs_to"], belongs_to)
        if changed:
            self._run.say(f"{step}: once more, as {changed} changed")
            return None
        for suffix, content in known["files"].items():
            if self._content(suffix) != content:
                name = f"{self._run.out}.{suffix}"
                self._run.say(f"{step}: once more, as {name} is not the file that it wrote")
                return None
        self._run.say(f"{step}: done before")
        return known["exit_code"]

    def files_of(self, step: str) -> list[str]:
        """Return the suffixes of the files that a finished step wrote."""
        return list(self._steps[step]["files"])

    def add(self, step: str, belongs_to: dict, suffixes: list[str], exit_code: int) -> None:
        """Record a step whose files are there.

        Raises
        ------
        OutputError
            The record cannot be written.
        """
        files = {suffix: self._content(suffix) for suffix in suffixes}
        # flags come in the order in which they were given, on which no byte may depend
        belongs_to = json.loads(json.dumps(belongs_to, sort_keys=True))
        self._steps[step] = {"belongs_to": belongs_to, "files": files, "exit_code": exit_code}
        write_json({"format": _FORMAT, "steps": self._steps}, self.path)

    def _content(self, suffix: str) -> dict:
        """Size and hash of a result file; what is said of one that is not there."""
        found = file_fingerprint(Path(f"{self._run.out}.{suffix}"))
        return {name: value for name, value in found.items() if name != "path"}


def _changed(before: dict, now: dict) -> str:
    """Return the fields in which two fingerprints differ, empty if there is none."""
    names = []
    for field in before | now:
        old, new = before.get(field), now.get(field)
        if isinstance(old, dict) and isinstance(new, dict):
            names += [name for name in old | new if old.get(name) != new.get(name)]
        elif old != new:
            names.append(field)
    return ", ".join(names)


def _read(path: Path) -> dict:
    try:
        require_regular(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(content["format"])
        for known in content["steps"].values():
            known["belongs_to"].items(), known["files"].items()
            if type(known["exit_code"]) is not int:
                raise TypeError(known["exit_code"])
        return content["steps"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise failure(
            InputError,
            str(path),
            "no record of finished steps",
            expected=f"the JSON that lmmlasso run writes ({_FORMAT})",
            found="something else, or a file that cannot be read",
            advice="remove it, or leave out --resume",
        ) from error

"""Ratios of an earlier `--quick`, below half of which no later one may fall.

Seconds depend on the machine and its neighbours; ratios of programs that ran in turn far less. They
do depend on the instruction set, so every set of kernels has ratios of its own. Ratios are
{benchmark: {name: peer's seconds / our seconds}}.
"""

import json
from collections.abc import Callable
from pathlib import Path

FILE = Path(__file__).with_name("recorded.json")
#: Smallest share of the recorded ratio that passes.
SHARE = 0.5


def load(kernels: str, file: Path = FILE) -> dict[str, dict[str, float]]:
    return _read(file).get(kernels, {}).get("ratios", {})


def save(kernels: str, ratios: dict, machine: dict, file: Path = FILE) -> None:
    """Replace what was recorded for these kernels; ratios not measured now are kept."""
    content = _read(file)
    kept = content.get(kernels, {}).get("ratios", {})
    for benchmark, found in ratios.items():
        rounded = {name: float(f"{ratio:.3g}") for name, ratio in found.items()}
        kept[benchmark] = kept.get(benchmark, {}) | rounded
    where = {key: machine[key] for key in ("date", "commit", "dirty", "cpu", "cores", "versions")}
    content[kernels] = {**where, "ratios": kept}
    file.write_text(json.dumps(content, indent=1) + "\n")


def check(ratios: dict, recorded: dict, measure_again: Callable[[str], dict]) -> bool:
    """Compare, and say so ratio by ratio; whether all that can be compared pass.

    A benchmark with a ratio that has fallen is measured once more: the better one counts.
    """
    fine = True
    for benchmark, measured in ratios.items():
        known = recorded.get(benchmark, {})
        if fallen(measured, known):
            print(f"{benchmark}: a ratio has fallen; measuring once more")
            again = measure_again(benchmark)
            measured = {name: max(ratio, again.get(name, 0.0)) for name, ratio in measured.items()}
        lost = fallen(measured, known)
        fine = fine and not lost
        for name, ratio in measured.items():
            if name not in known:
                print(f"WARNING: no recorded ratio, not checked: {name} ({ratio:.2f})")
                continue
            verdict = "FAILED" if name in lost else "ok"
            print(f"{verdict:<6} {ratio:8.2f}, recorded {known[name]:8.2f}: {name}")
        for name in sorted(known.keys() - measured.keys()):
            print(f"SKIPPED {name}: recorded, but not measured here")
    return fine


def fallen(measured: dict[str, float], known: dict[str, float]) -> list[str]:
    """Return the names of ratios below SHARE of what was recorded."""
    # a NaN is not at least anything: it has fallen
    return [
        name
        for name, ratio in measured.items()
        if name in known and not ratio >= SHARE * known[name]
    ]


def _read(file: Path) -> dict:
    return json.loads(file.read_text()) if file.exists() else {}

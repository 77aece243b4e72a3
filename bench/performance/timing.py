"""How everything here is timed: in turn, the fastest of some runs counts, the others are kept."""

import time
from collections.abc import Callable


def in_turn(programs: dict, repeats: int) -> dict:
    """Call every program once per round, every other round in reverse; return {key: [results]}.

    A neighbour that slows the machine down for a while then slows all of them down.
    """
    results = {key: [] for key in programs}
    for k in range(repeats):
        for key in list(programs)[:: 1 if k % 2 == 0 else -1]:
            results[key].append(programs[key]())
    return results


def seconds_of(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def spread(runs: list[float]) -> dict:
    return {"seconds": min(runs), "slowest": max(runs), "runs": runs}

"""How everything here is timed: in turn, the fastest of some runs counts, the others are kept."""

import time
from collections.abc import Callable

#: Seconds from which a program is run once.
_ONCE_FROM = 20.0


def in_turn(programs: dict, repeats: int) -> dict:
    """Call every program once per round, every other round in reverse; return {key: [results]}.

    A neighbour that slows the machine down for a while then slows all of them down. What takes long
    is called once: noise of a second does not matter to it.
    """
    results = {key: [] for key in programs}
    waiting = list(programs)
    for k in range(repeats):
        for key in waiting[:: 1 if k % 2 == 0 else -1]:
            start = time.perf_counter()
            results[key].append(programs[key]())
            if time.perf_counter() - start > _ONCE_FROM:
                waiting = [other for other in waiting if other != key]
    return results


def seconds_of(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def spread(runs: list[float]) -> dict:
    return {"seconds": min(runs), "slowest": max(runs), "runs": runs}
